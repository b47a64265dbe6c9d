-- The catalog. fs/store/FORMAT.md explains every column.
CREATE TABLE lines (
  id    INTEGER PRIMARY KEY,
  host  TEXT NOT NULL,
  roots BLOB NOT NULL,               -- absolute paths, sorted, each ended by a zero byte
  root  INTEGER NOT NULL,            -- folders.id of "/"
  UNIQUE (host, roots)
);
CREATE TABLE snapshots (
  id      INTEGER PRIMARY KEY,
  line    INTEGER NOT NULL,
  name    TEXT NOT NULL UNIQUE,
  time    INTEGER NOT NULL,          -- seconds since 1970
  tags    TEXT NOT NULL,             -- separated by newlines
  files   INTEGER NOT NULL,
  folders INTEGER NOT NULL,
  others  INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,          -- sum of the files' sizes
  stored  INTEGER NOT NULL,          -- bytes that the push added to the repository's files
  unread  INTEGER NOT NULL,          -- paths that could not be read
  root    INTEGER NOT NULL,          -- sum of the rows' checks, wrapping at 64 bits
  sum     INTEGER NOT NULL           -- check of all above, and of the line's row
);
CREATE INDEX snapshots_line ON snapshots (line, id);
CREATE TABLE folders (
  id   INTEGER PRIMARY KEY,
  line INTEGER NOT NULL
);
CREATE TABLE owners (
  id     INTEGER PRIMARY KEY,
  uid    INTEGER NOT NULL,
  gid    INTEGER NOT NULL,
  user   TEXT NOT NULL,
  "group" TEXT NOT NULL,
  UNIQUE (uid, gid, user, "group")
);
CREATE TABLE attributes (
  id   INTEGER PRIMARY KEY,
  data BLOB NOT NULL UNIQUE
);
CREATE TABLE entries (
  id       INTEGER PRIMARY KEY,
  folder   INTEGER NOT NULL,
  name     BLOB NOT NULL,
  first    INTEGER NOT NULL,
  last     INTEGER NOT NULL,         -- 9223372036854775807 while alive
  kind     INTEGER NOT NULL,
  mode     INTEGER NOT NULL,
  owner    INTEGER NOT NULL,
  mtime    INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  size     INTEGER NOT NULL,
  content  INTEGER,
  child    INTEGER,
  link     INTEGER,
  rdev     INTEGER NOT NULL,
  target   BLOB,
  xattrs   INTEGER,
  data     INTEGER,
  sum      INTEGER NOT NULL
);
CREATE INDEX entries_last ON entries (folder, last);
CREATE INDEX entries_first ON entries (folder, first);
CREATE INDEX entries_closed ON entries (last) WHERE last < 9223372036854775807;
CREATE INDEX entries_content ON entries (content) WHERE content IS NOT NULL;
CREATE INDEX entries_child ON entries (child) WHERE child IS NOT NULL;
CREATE INDEX entries_link ON entries (link) WHERE link IS NOT NULL;
CREATE TABLE contents (
  id     INTEGER PRIMARY KEY,
  hash   BLOB NOT NULL,
  size   INTEGER NOT NULL,
  run    INTEGER,                    -- where it lies, if in one run
  skip   INTEGER NOT NULL,           -- decoded bytes of the run before it
  base   INTEGER,                    -- NULL: whole; else it is a delta against this content
  stream INTEGER NOT NULL,           -- length of the delta stream, 0 if whole
  map    BLOB,                       -- the extents of a delta, and 8 bytes of check
  push   INTEGER,                    -- NULL: committed
  sum    INTEGER NOT NULL            -- check of all above but map and push
);
CREATE INDEX contents_hash ON contents (substr(hash, 1, 8)); -- short: it is written at random places
CREATE INDEX contents_run ON contents (run) WHERE run IS NOT NULL;
CREATE INDEX contents_base ON contents (base) WHERE base IS NOT NULL;
CREATE INDEX contents_push ON contents (push) WHERE push IS NOT NULL;
CREATE TABLE parts (
  content INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  run     INTEGER,                   -- NULL: zeros
  value   BLOB NOT NULL,             -- BLAKE3 chaining value of the segment
  sum     INTEGER NOT NULL,          -- check of all above
  PRIMARY KEY (content, segment)
) WITHOUT ROWID;
CREATE INDEX parts_run ON parts (run) WHERE run IS NOT NULL;
CREATE TABLE runs (
  id       INTEGER PRIMARY KEY,
  file     INTEGER NOT NULL,
  offset   INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  length   INTEGER NOT NULL,         -- decoded
  encoding INTEGER NOT NULL,
  position INTEGER,                  -- number of the first group in its content; NULL: frames are named by themselves
  frames   BLOB NOT NULL,            -- a row of 48 bytes a frame
  sum      INTEGER NOT NULL
);
CREATE INDEX runs_file ON runs (file);
CREATE TABLE files (
  id    INTEGER PRIMARY KEY,
  kind  INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  push  INTEGER,                     -- NULL: committed
  dead  INTEGER NOT NULL             -- 1: nothing names it any more, to be unlinked
);
CREATE INDEX files_push ON files (push) WHERE push IS NOT NULL;
CREATE INDEX files_dead ON files (dead) WHERE dead = 1;
CREATE TABLE pushes (
  id       INTEGER PRIMARY KEY,
  line     INTEGER NOT NULL,
  snapshot INTEGER NOT NULL,         -- the id that its snapshot will have
  entry    INTEGER NOT NULL,         -- its entries have ids from here on
  time     INTEGER NOT NULL          -- seconds since 1970: when it began, or when it was gone on with
);
CREATE TABLE partials (
  push INTEGER NOT NULL,
  key  BLOB NOT NULL,                -- what the sender calls a large content that is not complete
  run  INTEGER NOT NULL,             -- groups of it
  PRIMARY KEY (push, key, run)
) WITHOUT ROWID;
CREATE INDEX partials_run ON partials (run);
CREATE TABLE closings (
  push  INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  PRIMARY KEY (push, entry)
) WITHOUT ROWID;
CREATE TABLE damaged (
  content INTEGER PRIMARY KEY        -- could not be read when it was looked at last
);
CREATE TABLE going (
  line     INTEGER NOT NULL,
  snapshot INTEGER NOT NULL,         -- forgotten; entries that only it had may be left
  PRIMARY KEY (line, snapshot)
) WITHOUT ROWID;
CREATE TABLE nameless (
  content INTEGER PRIMARY KEY        -- contents that may have lost their last entry
);
CREATE TABLE next_ids (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) WITHOUT ROWID;
