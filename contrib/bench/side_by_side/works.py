"""The works: what every tool is given to do, step by step, each step by all tools before the next.

A work is a function of a `Round`. The order of the tools turns from round to round, so that none is always first.
"""

import os
import random
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from . import data, meter
from .peers import Borg, Pipe, RdiffBackup, Restic, Rsync, Rustic, Yore
from .stage import drop_caches, sh

# All that a peer is left out of, it cannot do or would take hours for.
PUSHERS = (Yore, Rsync, RdiffBackup, Restic, Borg, Rustic, Pipe)
FAST = (Yore, Rsync, Restic, Borg, Rustic, Pipe)


class Round:
    """One round of one work: the stage, the tools that take part and where figures go."""

    def __init__(self, stage, kinds, number, scale, record):
        self.stage, self.kinds, self.number, self.scale, self.record = stage, kinds, number, scale, record
        self.peers = []

    def tools(self, allowed, **size):
        """Begins each tool on a fresh disk, in this round's order."""
        kinds = [kind for kind in self.kinds if kind in allowed]
        turn = self.number % len(kinds) if kinds else 0
        for kind in kinds[turn:] + kinds[:turn]:
            disk = self.stage.disk(f"{kind.name}", **size)
            self.peers.append(kind(self.stage, disk, self.stage.folder / f"{kind.name}-home"))
        return self.peers

    def source(self, make, *more, gib=12, files=400_000):
        """The data on a disk of its own; read once, so that every tool finds it in memory."""
        disk = self.stage.disk("source", gib=gib, files=files)
        folder = disk.path / "data"
        folder.mkdir()
        return make(folder, *more)

    def push(self, step, made, only=None):
        """Every tool backs the folder up."""
        for peer in self.peers:
            if only and not isinstance(peer, only) or peer.once and step != "first":
                continue
            warm(made.folder)
            self.record(step, peer.name, peer.push(made.folder))

    def close(self):
        for peer in self.peers:
            peer.end()
        self.stage.clear()
        for peer in self.peers:
            shutil.rmtree(peer.home, ignore_errors=True)


def warm(folder):
    """Brings a folder into memory, as far as it fits."""
    os.sync()
    sh("tar", "-cf", "/dev/null", "--totals", "-C", str(folder), ".")
    for path in Path(folder).glob("*"):
        if path.is_file() and path.stat().st_blocks * 512 > 1 << 20:
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass


def tree(this):
    """A tree of /usr/share: first, unchanged, then days of one edited file in a hundred."""
    made = this.source(data.Tree, gib=6)
    this.tools(PUSHERS)
    this.push("first", made)
    this.push("nothing changed", made)
    for day in range(1, this.scale(10) + 1):
        made.day(day)
        this.push("1 % edited" if day == 1 else "one of ten such days", made, only=None if day == 1 else FAST)
    restore(this, made)


def source_code(this):
    """A tree of source code, once."""
    made = this.source(lambda folder: data.Tree(folder, data.source_code()), gib=6)
    this.tools(FAST)
    this.push("first", made)


def image(this):
    """A disk image of 1 GiB and a day of use."""
    made = this.source(data.Image, gib=4)
    this.tools(PUSHERS)
    this.push("first", made)
    for day in range(1, this.scale(3) + 1):
        made.day(day)
        this.push("a day's change", made)
    restore(this, made)


def restore(this, made):
    """Every tool brings the newest state back, over the network, to an empty disk."""
    for peer in [peer for peer in this.peers if not peer.once]:
        disk = this.stage.disk(f"{peer.name}-restored", gib=6)
        drop_caches()
        warm(peer.disk.path)
        done = peer.restore(made.folder, disk.path)
        began = time.monotonic()
        disk.settle()
        done.settle += time.monotonic() - began
        this.record("restore", peer.name, done)


def database(this):
    """A SQLite database with rows updated at random places."""
    made = this.source(data.Database, gib=4)
    this.tools(FAST)
    this.push("first", made)
    for day in range(1, this.scale(3) + 1):
        made.day(day)
        this.push("a day's change", made)


def log(this):
    """Logs that grow and rotate."""
    made = this.source(data.Log, gib=4)
    this.tools(FAST)
    this.push("first", made)
    for day in range(1, this.scale(6) + 1):
        made.day(day)
        this.push("a day's change", made)


def million(this):
    """1,000,000 files of 1 KiB."""
    many(this, this.scale(1_000_000, 1000))


def growth(this):
    """The same files at 10,000 and 100,000, for the slope."""
    for count in (10_000, 100_000):
        many(this, count, f"{count:,}: ", kinds=(Yore,))
        this.close()
        this.peers.clear()


def many(this, count, prefix="", kinds=(Yore, Rsync, Restic, Borg, Rustic)):
    room = {"gib": 2 + count * 12 // 1_000_000, "files": count * 2 + 50_000}
    made = this.source(data.Many, count, **room)
    this.tools(kinds, **room)
    this.push(f"{prefix}first", made)
    this.push(f"{prefix}nothing changed", made)
    made.day(1)
    this.push(f"{prefix}100 files changed", made)


def watch(this):
    """100 of the same files changed while `yore watch` runs: from the end of the wait after a change to the commit."""
    count = this.scale(1_000_000, 1000)
    room = {"gib": 2 + count * 12 // 1_000_000, "files": count * 2 + 50_000}
    made = this.source(data.Many, count, **room)
    (peer,) = this.tools((Yore,), **room)
    peer.push(made.folder)
    with peer.watching(made.folder, wait=1) as newest:
        before = newest()
        for day in range(1, 6):
            made.day(day)
            began = time.monotonic()
            meter.wait_for("a push", lambda: newest() != before)
            this.record("100 files changed", "yore watch", time.monotonic() - began - 1)
            before = newest()


def shelf(this):
    """A repository of 1,000 snapshots, one of them of 1,000,000 entries: the first `ls` after mounting it."""
    count = this.scale(1_000_000, 1000)
    room = {"gib": 2 + count * 12 // 1_000_000, "files": count * 2 + 50_000}
    made = this.source(data.Many, count, **room)
    small = made.folder.parent / "small"
    small.mkdir()
    (peer,) = this.tools((Yore,), **room)
    for number in range(this.scale(999, 5)):
        (small / "file").write_text(f"{number}")
        peer.back_up(small)
    peer.back_up(made.folder)
    at = this.stage.folder / "yore-mount"
    at.mkdir(exist_ok=True)
    drop_caches()
    peer.mount(at)
    this.record("first ls of the mount", "yore", timed("ls", at))
    this.record("first ls of a folder of 1,000", "yore", timed("ls", "-l", peer.in_mount(at, -1, made.folder) / "000" / "00000"))
    peer.unmount(at)


def sparse(this):
    """A sparse image of 20 GiB, 2 GiB of it there, and 10 MiB changed in 160 places."""
    made = this.source(data.Sparse, gib=24)
    tools = this.tools((Yore, Restic, Borg), gib=24)
    this.push("first", made)
    made.day(1)
    before = {peer.name: written(peer) for peer in tools}
    this.push("10 MiB changed", made)
    for peer in tools:
        this.record("written by the server, MiB", peer.name, (written(peer) - before[peer.name]) / 2**20)


def written(peer):
    """Bytes that reached the peer's disk."""
    peer.disk.settle()
    device = os.stat(peer.disk.path).st_dev
    line = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    return int(line[6]) * 512


def thinning(this):
    """100 snapshots of a tree that changes: forget one, prune to a rule."""
    made = this.source(data.Tree, "/usr/share/doc", gib=6)
    tools = this.tools((Yore, Restic))
    for day in range(this.scale(100, 5)):
        if day:
            made.day(day)
        for peer in tools:
            peer.push(made.folder)
    for peer in tools:
        this.record("forget one in the middle", peer.name, peer.forget_one(this.scale(100, 5) // 2))
    for peer in tools:
        done = peer.prune(10)
        done.stored = peer.disk.used()
        this.record("prune to ten", peer.name, done)


def mounted_tree(this):
    """A tree through each tool's mount, and natively."""
    made = this.source(data.Tree, gib=6)
    tools = this.tools((Yore, Restic, Borg))
    this.push("first", made)
    native(this, made)
    with floor(this, made) as here:
        found_and_copied(this, "floor", here)
    for peer in tools:
        at = this.stage.folder / f"{peer.name}-mount"
        at.mkdir(exist_ok=True)
        drop_caches()
        began = time.monotonic()
        _, process = peer.mount(at)
        here = peer.in_mount(at, 0, made.folder)
        names = len(os.listdir(here))
        this.record("mount and first ls", peer.name, time.monotonic() - began)
        assert names, here
        found_and_copied(this, peer.name, here, lambda: warm(peer.disk.path))
        this.record("memory of the mount, MiB", peer.name, meter.peak_of(process) / 2**20)
        peer.unmount(at)


def native(this, made):
    """The same by the file system itself."""
    drop_caches()
    found_and_copied(this, "native", made.folder, lambda: warm(made.folder))


def found_and_copied(this, name, here, before_copy=lambda: None):
    """Looks at all files, for the first time and again, and copies them."""
    this.record("find -size, cold", name, timed("find", here, "-size", "+1G"))
    this.record("find -size, again", name, timed("find", here, "-size", "+1G"))
    before_copy()
    this.record("cp -a", name, copied(this, here))


@contextmanager
def floor(this, made):
    """Where a mount shows the same files out of memory, at a path as long as in ours: the least that a mount costs here."""
    at = this.stage.folder / "floor-mount"
    at.mkdir(exist_ok=True)
    below = Path("2026-01-01_00-00-00", *made.folder.parts[1:])
    command = [Yore.binaries / "examples" / "floor", made.folder, at, below]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        # It says so when it serves.
        if not process.stdout.readline():
            raise meter.Failed("floor: it did not mount")
        drop_caches()
        try:
            yield at / below
        finally:
            sh("umount", str(at))


def copied(this, here):
    """Seconds of `cp -a` to memory."""
    to = this.stage.folder / "copied"
    to.mkdir()
    sh("mount", "-t", "tmpfs", "none", str(to))
    try:
        return timed("cp", "-a", here, to)
    finally:
        sh("umount", str(to))
        to.rmdir()


def timed(*command):
    """Seconds that a command takes."""
    return meter.run([str(one) for one in command]).wall


def mounted_image(this):
    """30 days of a disk image through each tool's mount: reading it all, and 1,000 reads of 4 KiB."""
    made = this.source(data.Image, gib=4)
    tools = this.tools((Yore, Restic, Borg))
    days = this.scale(30, 2)
    for day in range(days):
        if day:
            made.day(day)
        for peer in tools:
            peer.push(made.folder)
    read_both(this, "native", lambda which: made.path, ("newest",))
    with floor(this, made) as here:
        read_both(this, "floor", lambda which: here / made.path.name, ("newest",))
    for peer in tools:
        at = this.stage.folder / f"{peer.name}-mount"
        at.mkdir(exist_ok=True)
        _, process = peer.mount(at)
        read_both(this, peer.name, lambda which: peer.in_mount(at, which, made.folder) / made.path.name)
        this.record("memory of the mount, MiB", peer.name, meter.peak_of(process) / 2**20)
        peer.unmount(at)


def read_both(this, name, path_of, which=("newest", "oldest")):
    """Reads the newest and the oldest version, from a cold cache, all of it and at random places."""
    for one in which:
        path = path_of({"newest": -1, "oldest": 0}[one])
        drop_caches()
        this.record(f"dd of the {one}, cold", name, timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"))
        drop_caches()
        this.record(f"1,000 x 4 KiB of the {one}, cold", name, random_reads(path))


def random_reads(path, count=1000):
    """Seconds that reads of 4 KiB at random places take, one after another."""
    chance = random.Random(data.SEED)
    file = os.open(path, os.O_RDONLY)
    try:
        pages = os.fstat(file).st_size // 4096
        began = time.monotonic()
        for _ in range(count):
            os.pread(file, 4096, chance.randrange(pages) * 4096)
        return time.monotonic() - began
    finally:
        os.close(file)


def mounted_head(this):
    """A file of 1 GiB that does not compress, from memory: natively, verified, and with --trust-disk."""
    made = this.source(lambda folder: data.Grown(folder, 1 << 30), gib=4)
    (peer,) = this.tools((Yore,))
    peer.push(made.folder)
    with floor(this, made) as here:
        this.record("dd, warm", "floor", timed("dd", f"if={here / 'file'}", "of=/dev/null", "bs=1M", "status=none"))
    for name, path, mount in (
        ("native", lambda at: made.path, None),
        ("yore", lambda at: peer.in_mount(at, -1, made.folder) / "file", ()),
        ("yore --trust-disk", lambda at: peer.in_mount(at, -1, made.folder) / "file", ("--trust-disk",)),
    ):
        at = this.stage.folder / "yore-mount"
        at.mkdir(exist_ok=True)
        warm(peer.disk.path)
        warm(made.folder)
        if mount is not None:
            peer.mount(at, *mount)
        # What is under the mount is in memory, what the mount itself has shown is not.
        for repository_file in peer.disk.path.rglob("*"):
            if repository_file.is_file():
                repository_file.read_bytes()
        this.record("dd, warm", name, timed("dd", f"if={path(at)}", "of=/dev/null", "bs=1M", "status=none"))
        if mount is not None:
            peer.unmount(at)


def versions(this):
    """1,000 versions of a file of 64 MiB: reading the oldest against the second newest."""
    made = this.source(data.Grown, gib=4)
    (peer,) = this.tools((Yore,))
    for day in range(this.scale(1000, 5)):
        if day:
            made.day(day)
        peer.push(made.folder)
    at = this.stage.folder / "yore-mount"
    at.mkdir(exist_ok=True)
    for step, which in (("second newest", -2), ("oldest", 0)):
        drop_caches()
        peer.mount(at)
        path = peer.in_mount(at, which, made.folder) / "file"
        this.record(f"dd of the {step}, cold", "yore", timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"))
        peer.unmount(at)


# In the order of the table. The figure is how many rounds are enough for one that takes long.
ALL = {
    "tree": (tree, None),
    "source": (source_code, None),
    "image": (image, None),
    "database": (database, None),
    "log": (log, None),
    "million": (million, 1),
    "growth": (growth, 1),
    "watch": (watch, 1),
    "shelf": (shelf, 1),
    "sparse": (sparse, 1),
    "thinning": (thinning, 1),
    "mounted-tree": (mounted_tree, None),
    "mounted-image": (mounted_image, 1),
    "mounted-head": (mounted_head, None),
    "versions": (versions, 1),
}
