"""The data that is backed up: made from what the machine has, changed by a fixed seed, so that a run can be repeated.

Every maker takes a folder that is empty and fills it; every `day` changes it as a day of use would, in place.
"""

import os
import random
import shutil
import sqlite3
from pathlib import Path

from .stage import sh

SEED = 20_260_101


def files_of(folder):
    """The regular files below, sorted, so that a seed picks the same ones."""
    found = []
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(path)
    return found


class Tree:
    """A copy of a folder of this machine; a day edits one of a hundred files."""

    def __init__(self, folder, origin="/usr/share"):
        self.folder = folder
        sh("cp", "-a", f"{origin}/.", str(folder))

    def day(self, number):
        """Of the files that a day touches, most get a line more, some are changed in the middle, some come and go."""
        chance = random.Random(SEED + number)
        files = files_of(self.folder)
        for path in chance.sample(files, len(files) // 100):
            kind = chance.random()
            if kind < 0.05:
                os.unlink(path)
            elif kind < 0.10:
                shutil.copyfile(path, f"{path}.{number}")
            elif kind < 0.15:
                os.rename(path, f"{path}.moved")
            elif kind < 0.4:
                size = os.path.getsize(path)
                with open(path, "r+b") as file:
                    file.seek(chance.randrange(size + 1))
                    file.write(chance.randbytes(chance.randrange(1, 200)))
            else:
                with open(path, "ab") as file:
                    file.write(b"one line more, of day %d\n" % number)


def source_code():
    """A folder of source code of this machine, of some size."""
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry" / "src"
    for one in (Path("/usr/src"), cargo, Path("/usr/include"), Path("/usr/lib/python3")):
        if one.is_dir() and len(files_of(one)) > 1000:
            return one
    raise FileNotFoundError("no source code to bench with: looked at /usr/src, ~/.cargo/registry/src, /usr/include")


class Image:
    """A disk image of 1 GiB with an ext4 that is two thirds full; a day mounts it, adds and removes files."""

    def __init__(self, folder, size=1 << 30):
        self.folder, self.path = folder, folder / "disk.img"
        with open(self.path, "wb") as file:
            file.truncate(size)
        sh("mkfs.ext4", "-q", "-F", "-U", "c0ffee00-0000-4000-8000-000000000000", str(self.path))
        self.within(lambda root: self.fill(root, size * 2 // 3))

    @staticmethod
    def fill(root, room):
        for origin in ("/usr/bin", "/usr/lib"):
            for path in files_of(origin):
                room -= os.path.getsize(path) + 4096
                if room < 0:
                    return
                to = Path(root) / path.lstrip("/")
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)

    def within(self, action):
        at = self.folder.parent / "image-mounted"
        at.mkdir(exist_ok=True)
        sh("mount", "-o", "loop", str(self.path), str(at))
        try:
            action(at)
        finally:
            sh("umount", str(at))

    def day(self, number):
        """Twenty files come, ten go, ten get lines more: two or three MiB of blocks."""
        chance = random.Random(SEED + number)

        def use(root):
            files = files_of(root)
            for path in chance.sample(files, 10):
                os.unlink(path)
            for path in chance.sample(files, 10):
                if os.path.exists(path):
                    with open(path, "ab") as file:
                        file.write(chance.randbytes(4000))
            for at in range(20):
                with open(Path(root) / f"of-day-{number}-{at}", "wb") as file:
                    file.write(words(chance, chance.randrange(20_000, 200_000)))

        self.within(use)


VOCABULARY = [
    "backup", "snapshot", "folder", "history", "delta", "content", "quota", "mount", "restore", "verify", "catalog",
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "are", "with", "as", "his", "they",
]  # fmt: skip


def words(chance, length):
    """Bytes of text that compress about as text does."""
    text = " ".join(f"{chance.choice(VOCABULARY)}{chance.randrange(100)}" for _ in range(length // 8 + 1))
    return text.encode()[:length]


class Database:
    """A SQLite database of some hundred MiB; a day updates rows at random places."""

    ROWS = 600_000

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "app.sqlite3"
        chance = random.Random(SEED)
        with self.open() as db:
            db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, at REAL, title TEXT, body TEXT, token BLOB)")
            db.executemany("INSERT INTO note VALUES (?, ?, ?, ?, ?)", (self.row(chance, one) for one in range(self.ROWS)))
            db.execute("CREATE INDEX note_at ON note (at)")

    def open(self):
        return sqlite3.connect(self.path)

    @staticmethod
    def row(chance, number):
        return number, chance.random(), words(chance, 40).decode(), words(chance, 300).decode(), chance.randbytes(32)

    def day(self, number):
        chance = random.Random(SEED + number)
        with self.open() as db:
            for _ in range(2_000):
                row = self.row(chance, chance.randrange(self.ROWS))
                db.execute("UPDATE note SET at = ?, body = ? WHERE id = ?", (row[1], row[3], row[0]))


class Log:
    """Logs that grow by 16 MiB a day and rotate each third day, as logrotate names them."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "app.log"
        self.day(0)

    def day(self, number):
        if number % 3 == 2:
            for older in (3, 2, 1):
                path = self.folder / f"app.log.{older}"
                if path.exists():
                    path.rename(self.folder / f"app.log.{older + 1}")
            self.path.rename(self.folder / "app.log.1")
        chance = random.Random(SEED + number)
        with open(self.path, "ab") as file:
            for line in range(120_000):
                file.write(f"2026-01-{number + 1:02} {line:06} host app[{chance.randrange(99999)}]: ".encode() + words(chance, 90) + b"\n")


class Many:
    """Files of 1 KiB, a thousand in a folder. A day changes a hundred of them."""

    def __init__(self, folder, count):
        self.folder, self.count = folder, count
        chance = random.Random(SEED)
        text = words(chance, 1 << 20)
        for at in range(count // 1000):
            inner = folder / f"{at // 100:03}" / f"{at:05}"
            inner.mkdir(parents=True)
            for number in range(1000):
                start = chance.randrange(len(text) - 1024)
                with open(inner / f"{number:03}.txt", "wb") as file:
                    file.write(f"{at} {number} ".encode().ljust(16) + text[start : start + 1008])

    def day(self, number):
        chance = random.Random(SEED + number)
        for _ in range(100):
            at, one = chance.randrange(self.count // 1000), chance.randrange(1000)
            with open(self.folder / f"{at // 100:03}" / f"{at:05}" / f"{one:03}.txt", "r+b") as file:
                file.write(b"of day %d" % number)


class Sparse:
    """A disk image of 20 GiB with 2 GiB in it, the rest holes; a day changes 10 MiB at 160 places."""

    def __init__(self, folder, size=20 << 30):
        self.folder, self.path, self.size = folder, folder / "sparse.img", size
        chance = random.Random(SEED)
        self.places = [chance.randrange(size >> 20) << 20 for _ in range(2048)]
        with open(self.path, "wb") as file:
            file.truncate(size)
            for place in self.places:
                file.seek(place)
                file.write(chance.randbytes(1 << 19) + bytes(1 << 19))

    def day(self, number):
        chance = random.Random(SEED + number)
        with open(self.path, "r+b") as file:
            for place in chance.sample(self.places, 160):
                file.seek(place + (chance.randrange(8) << 16))
                file.write(chance.randbytes(1 << 16))


class Grown:
    """One file of 64 MiB that cannot be compressed; a day changes 64 KiB at a random place."""

    def __init__(self, folder, size=64 << 20):
        self.folder, self.path, self.size = folder, folder / "file", size
        chance = random.Random(SEED)
        with open(self.path, "wb") as file:
            for _ in range(size >> 20):
                file.write(chance.randbytes(1 << 20))

    def day(self, number):
        chance = random.Random(SEED + number)
        with open(self.path, "r+b") as file:
            file.seek(chance.randrange(self.size - (1 << 16)))
            file.write(chance.randbytes(1 << 16))
