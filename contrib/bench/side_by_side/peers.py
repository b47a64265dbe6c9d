"""The tools that are compared, each on a disk of its own: how to begin, to push, to restore, to mount, to forget.

All go over SSH on loopback to the same machine: yore to a yored, the others through an OpenSSH of its defaults.
`durability` says what a tool has done for the bytes when its command ends, as its documentation or its system calls
(strace) tell.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from . import meter
from .stage import free_port, listening, sh


class Peer:
    """One tool with a repository of its own on `disk`, and a folder `home` for its configuration and caches."""

    name = ""
    durability = ""
    # Whether an older state can be read through a mount, and history be thinned.
    mounts = forgets = False
    # Whether it does nothing but a first push.
    once = False

    def __init__(self, stage, disk, home):
        self.stage, self.disk, self.home = stage, disk, home
        home.mkdir(parents=True, exist_ok=True)
        self.env, self.server, self.pushes = {}, stage.sshd.pid, 0
        self.begin()

    @classmethod
    def there(cls):
        """The version, or None where it is not installed."""
        program = shutil.which(cls.name)
        if not program:
            return None
        said = subprocess.run([program, "--version" if cls.name != "restic" else "version"], capture_output=True, check=False)
        found = re.search(rb"\d+\.\d+[.\d]*", said.stdout + said.stderr)
        return found.group().decode() if found else "?"

    def run(self, *command, **more):
        self.disk.settle()
        done = meter.run([str(one) for one in command], server=self.server, env=self.env, **more)
        began = meter.time.monotonic()
        self.disk.settle()
        done.settle = meter.time.monotonic() - began
        return done

    def push(self, source):
        """Backs the folder up; the first time or again."""
        self.pushes += 1
        done = self.back_up(Path(source))
        done.stored = self.disk.used()
        return done

    def begin(self):
        pass

    def end(self):
        pass


class Yore(Peer):
    name = "yore"
    durability = "fsync of each stored file, its folder and the catalog's log before the commit"
    mounts = forgets = True
    binaries = Path()

    @classmethod
    def there(cls):
        return sh(str(cls.binaries / "yore"), "--version").split()[1]

    def begin(self):
        port = free_port()
        self.yore, yored = self.binaries / "yore", self.binaries / "yored"
        for variable, folder in (
            ("YORE_CONFIG_DIR", "config"),
            ("YORE_STATE_DIR", "state"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ):
            self.env[variable] = str(self.home / folder)
        config = self.home / "yored.toml"
        config.write_text(f'data = "{self.disk.path}/data"\nlisten = "127.0.0.1:{port}"\nkeep_free = "1M"\n')
        sh(str(yored), "--config", str(config), "user", "add", "ann")
        with open(self.home / "yored.log", "wb") as log:
            self.daemon = subprocess.Popen([yored, "--config", config, "serve"], stderr=log, stdout=log)
        meter.wait_for("yored", lambda: listening(port))
        self.server = self.daemon.pid
        link = sh(str(yored), "--config", str(config), "invite", "ann").split()
        at = link.index("link")
        sh(str(self.yore), *link[at:], "--repository", "bench", env={**os.environ, **self.env})
        self.repository = self.disk.path / "data" / "users" / "ann" / "bench"

    def back_up(self, source):
        return self.run(self.yore, "snapshot", source)

    def restore(self, source, destination):
        return self.run(self.yore, "restore", f"latest:{source}", destination)

    def mount(self, at, *more):
        """Mounts the repository itself, on this machine, as the other tools' mounts are here."""
        done = self.run(self.yore, "-r", self.local(), "mount", *more, at)
        process = meter.wait_for("the mount", lambda: processes_of(str(at), "--detached"))[0]
        return done, process

    def local(self):
        found = [one.parent for one in (self.disk.path / "data").rglob("yore.toml")]
        return found[0]

    def in_mount(self, at, which, source):
        """Where the source is in the mount: `which` is a number among the snapshots, from the oldest, or -1."""
        names = sorted(one for one in os.listdir(at) if one != "latest")
        return Path(at) / names[which] / str(source).lstrip("/")

    def unmount(self, at):
        sh(str(self.yore), "umount", str(at))

    def forget_one(self, which):
        name = sorted(re.findall(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\S*", sh(str(self.yore), "-r", str(self.local()), "snapshots")))[which]
        return self.run(self.yore, "-r", self.local(), "forget", name)

    def prune(self, keep):
        return self.run(self.yore, "-r", self.local(), "prune", "--keep-last", str(keep))

    @contextmanager
    def watching(self, source, wait):
        """Runs `yore watch` with a wait of some seconds after a change; gives what tells the newest snapshot."""
        env = {**os.environ, **self.env}
        sh(str(self.yore), "include", str(source), env=env)
        sh(str(self.yore), "schedule", "hourly", "--after-change", f"{wait}s", env=env)
        watch = subprocess.Popen([self.yore, "watch"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def newest():
            last = json.loads(sh(str(self.yore), "status", "--json", env=env))["last_success"]
            return last and last["snapshot"]

        before = newest()
        meter.wait_for("the first push of yore watch", lambda: newest() != before, seconds=600)
        try:
            yield newest
        finally:
            watch.terminate()
            watch.wait()

    def end(self):
        self.daemon.terminate()
        self.daemon.wait()


class Rsync(Peer):
    name = "rsync"
    durability = "none: files are renamed into place, nothing is fsynced"

    def back_up(self, source):
        link = [f"--link-dest={self.disk.path}/{self.pushes - 1}"] if self.pushes > 1 else []
        # What is one folder's tree, with hard links, attributes and lists kept, as the other tools keep them.
        return self.run(
            "rsync", "-aHAX", "--numeric-ids", "-e", self.stage.sshd.ssh, *link, f"{source}/", f"bench:{self.disk.path}/{self.pushes}/"
        )

    def restore(self, source, destination):
        return self.run("rsync", "-aHAX", "--numeric-ids", "-e", self.stage.sshd.ssh, f"bench:{self.disk.path}/{self.pushes}/", f"{destination}/")


class Restic(Peer):
    name = "restic"
    durability = "none at the server: files are written over sftp and renamed, no fsync is asked for"
    mounts = forgets = True

    def begin(self):
        self.env = {"RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": str(self.home / "cache")}
        self.base = ["restic", "-o", f"sftp.command={self.stage.sshd.ssh} bench -s sftp", "-r", f"sftp:bench:{self.disk.path}/repo"]
        sh(*self.base, "init", env={**os.environ, **self.env})

    def back_up(self, source):
        return self.run(*self.base, "backup", "-q", source)

    def restore(self, source, destination):
        return self.run(*self.base, "restore", "latest", "--target", destination)

    def mount(self, at):
        child = subprocess.Popen(
            ["restic", "-r", f"{self.disk.path}/repo", "mount", str(at)],
            env={**os.environ, **self.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        meter.wait_for("restic's mount", lambda: os.path.ismount(at))
        return None, child.pid

    def in_mount(self, at, which, source):
        names = sorted(one for one in os.listdir(Path(at) / "snapshots") if one != "latest")
        return Path(at) / "snapshots" / names[which] / str(source).lstrip("/")

    def unmount(self, at):
        sh("fusermount3", "-u", str(at))

    def forget_one(self, which):
        listed = sh(*self.base, "snapshots", env={**os.environ, **self.env})
        one = re.findall(r"^([0-9a-f]{8}) ", listed, re.M)[which]
        return self.run(*self.base, "forget", "--prune", "-q", one)

    def prune(self, keep):
        return self.run(*self.base, "forget", "--prune", "-q", "--keep-last", str(keep), "--group-by", "host")


class Borg(Peer):
    name = "borg"
    durability = "fsync of its segments, index and folders"
    mounts = forgets = True

    def begin(self):
        base = self.home / "borg"
        self.env = {
            "BORG_BASE_DIR": str(base),
            "BORG_RSH": self.stage.sshd.ssh,
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        self.repository = f"ssh://bench{self.disk.path}/repo"
        sh("borg", "init", "-e", "none", self.repository, env={**os.environ, **self.env})

    def back_up(self, source):
        # The times of files are the inode's only where asked for; "ctime,size,inode" is its default.
        return self.run("borg", "create", f"{self.repository}::{self.pushes:05}", source)

    def restore(self, source, destination):
        return self.run("borg", "extract", "--numeric-ids", f"{self.repository}::{self.pushes:05}", cwd=destination)

    def mount(self, at):
        child = subprocess.Popen(
            ["borg", "mount", "-f", f"{self.disk.path}/repo", str(at)],
            env={**os.environ, **self.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        meter.wait_for("borg's mount", lambda: os.path.ismount(at))
        return None, child.pid

    def in_mount(self, at, which, source):
        return Path(at) / sorted(os.listdir(at))[which] / str(source).lstrip("/")

    def unmount(self, at):
        sh("borg", "umount", str(at), env={**os.environ, **self.env})


class RdiffBackup(Peer):
    name = "rdiff-backup"
    durability = "fsync of a few files of its own, not of those that it copies"

    def back_up(self, source):
        schema = f"{self.stage.sshd.ssh} %s rdiff-backup --server"
        return self.run("rdiff-backup", "--remote-schema", schema, source, f"bench::{self.disk.path}/repo")

    def restore(self, source, destination):
        schema = f"{self.stage.sshd.ssh} %s rdiff-backup --server"
        return self.run("rdiff-backup", "--remote-schema", schema, "-r", "now", f"bench::{self.disk.path}/repo", f"{destination}/r")


class Rustic(Restic):
    name = "rustic"
    durability = "of a local repository: it has no sftp of its own, so it is not on the network here"
    mounts = False

    def begin(self):
        self.env = {"RUSTIC_PASSWORD": "x", "RUSTIC_CACHE_DIR": str(self.home / "cache"), "RUSTIC_NO_PROGRESS": "true"}
        self.base = ["rustic", "-r", f"{self.disk.path}/repo"]
        self.server = None
        sh(*self.base, "init", env={**os.environ, **self.env})

    def back_up(self, source):
        return self.run(*self.base, "backup", source)

    def restore(self, source, destination):
        return self.run(*self.base, "restore", f"latest:{source}", destination)


class Pipe(Peer):
    """The work of a first push by tools that are everywhere: tar, zstd on all processors, ssh, zstd again to look at what
    has come. There is no catalog, no name of a content, nothing is looked for among what is there."""

    name = "pipe"
    durability = "fsync of the one file: `tar | zstd -3 -T0 | ssh`, there written and decompressed again"
    once = True

    @classmethod
    def there(cls):
        if not shutil.which("zstd"):
            return None
        return f"zstd {re.search(r'[0-9.]+[0-9]', sh('zstd', '--version').partition(' v')[2]).group()}"

    def back_up(self, source):
        stored = f"{self.disk.path}/{self.pushes}.tar.zst"
        there = f"set -o pipefail; tee {stored} | zstd -dq > /dev/null && sync {stored}"
        here = f"tar -cf - -C {source} . | zstd -q -3 -T0 | {self.stage.sshd.ssh} bench {shlex.quote(there)}"
        return self.run("bash", "-o", "pipefail", "-c", here)


def processes_of(*words):
    """The processes on whose command line all the words are."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            line = (one / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(one.name))
    return found


ALL = [Yore, Rsync, RdiffBackup, Restic, Borg, Rustic, Pipe]
