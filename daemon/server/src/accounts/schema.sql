-- Ids are never used twice: a session, a key or a repository that is gone stays gone.

CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  email TEXT,
  quota INTEGER,                    -- bytes over all repositories
  may_prune INTEGER NOT NULL DEFAULT 0,
  unix_user TEXT,                   -- who on this machine may look into the server's mount
  password TEXT,                    -- argon2id, as a PHC string
  disabled INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL);

CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  public TEXT NOT NULL,             -- algorithm and base64, no comment
  fingerprint TEXT NOT NULL,        -- SHA256:…
  comment TEXT NOT NULL,            -- the machine's name
  added INTEGER NOT NULL,
  last_used INTEGER,
  revoked INTEGER,
  UNIQUE (user, public));

CREATE TABLE invitations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  hash BLOB NOT NULL UNIQUE,        -- BLAKE3 of the token
  made INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used INTEGER);

CREATE TABLE repositories (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user INTEGER NOT NULL REFERENCES users ON DELETE RESTRICT,
  name TEXT NOT NULL,
  machine TEXT,                     -- whose files it has
  key INTEGER REFERENCES keys ON DELETE SET NULL,         -- that made it
  claimed_by INTEGER REFERENCES keys ON DELETE SET NULL,  -- whose machine pushes to it
  created INTEGER NOT NULL,
  keep TEXT,                        -- its own rules, as JSON
  keep_at_least INTEGER,            -- seconds
  max_age INTEGER,                  -- seconds
  skip_weekdays TEXT,               -- sat,sun
  success_time INTEGER,
  success_snapshot TEXT,
  failure_time INTEGER,
  failure_why TEXT,
  failed INTEGER NOT NULL DEFAULT 0, -- the last push that ended: 0 well, 1 failed, 2 lost its connection
  bytes INTEGER NOT NULL DEFAULT 0,
  interval_seen INTEGER,            -- seconds between pushes, as its agent has it
  suspended_time INTEGER,           -- pruning is suspended since, and why
  suspended_why TEXT,
  verified_until INTEGER,           -- how far verification has come
  damage_time INTEGER,
  damage TEXT,
  verify_began INTEGER,             -- when the running round of verification began
  UNIQUE (user, name));

CREATE TABLE sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user TEXT NOT NULL,
  repository TEXT,
  address TEXT NOT NULL,
  key INTEGER,
  what TEXT NOT NULL,
  since INTEGER NOT NULL,
  progress INTEGER NOT NULL,        -- when a byte came last
  bytes INTEGER NOT NULL);          -- received

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  address TEXT NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL);
CREATE INDEX audit_time ON audit (time);

CREATE TABLE mails (
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,            -- what it was about: a user, a repository
  time INTEGER NOT NULL,
  rearmed INTEGER NOT NULL,         -- what it told of is over; it may be told again
  PRIMARY KEY (kind, subject)) WITHOUT ROWID;
