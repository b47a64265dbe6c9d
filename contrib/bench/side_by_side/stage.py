"""Where a bench runs: a scratch folder, loop-mounted file systems that are fresh, an sshd of our own on loopback.

A file system is made anew for each tool and round: right after a large deletion ext4 creates files several times
slower, and rounds would not compare. Inode tables and journal are written when it is made, not behind a measurement.
"""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from . import meter


def sh(*command, **more):
    """Runs a command that is not measured; an error says what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise meter.Failed(f"{' '.join(map(str, command))}: {done.stdout.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Disk:
    """A fresh ext4 in a sparse file, mounted. GiB of room, and inodes for `files` files."""

    def __init__(self, folder, gib=12, files=400_000):
        folder.mkdir(parents=True, exist_ok=True)
        self.image, self.path = folder / "image", folder / "disk"
        self.path.mkdir(exist_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(gib << 30)
        options = "lazy_itable_init=0,lazy_journal_init=0"
        sh("mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(files), "-E", options, str(self.image))
        sh("mount", "-o", "loop", str(self.image), str(self.path))

    def settle(self):
        """Brings everything to the disk."""
        sh("sync", "-f", str(self.path))

    def used(self):
        """Bytes of files, as `du` has them; not while a server still puts its log away."""
        du = ["du", "-s", "-B1", str(self.path)]

        def measured():
            done = subprocess.run(du, capture_output=True, check=False)
            return done.returncode == 0 and int(done.stdout.split()[0])

        return meter.wait_for(f"files below {self.path} that stay", measured)

    def remove(self):
        subprocess.run(["umount", "-l", str(self.path)], stderr=subprocess.DEVNULL, check=False)
        self.image.unlink(missing_ok=True)


class Sshd:
    """An OpenSSH server of our own for the peers, with its default ciphers, and a client's configuration for it."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        for name in ("host", "id"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copy(folder / "id.pub", folder / "authorized")
        Path("/run/sshd").mkdir(exist_ok=True)
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n"
            "Subsystem sftp internal-sftp\n"
        )
        (folder / "config").write_text(
            f"Host bench\n HostName 127.0.0.1\n Port {self.port}\n User root\n IdentityFile {folder}/id\n"
            f" StrictHostKeyChecking no\n UserKnownHostsFile {folder}/known\n LogLevel ERROR\n ControlMaster no\n"
        )
        self.ssh = f"ssh -F {folder}/config"
        self.process = subprocess.Popen([shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-f", folder / "sshd_config"])
        meter.wait_for("sshd", lambda: listening(self.port))
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait()


def listening(port):
    """Whether something takes connections there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Stage:
    """The scratch folder of one run, with all that has to be taken away at its end."""

    def __init__(self, scratch):
        self.folder = Path(scratch)
        self.folder.mkdir(parents=True)
        self.disks = []
        self.sshd = Sshd(self.folder / "ssh")

    def disk(self, name, **size):
        disk = Disk(self.folder / name, **size)
        self.disks.append(disk)
        return disk

    def clear(self):
        """Takes the disks away, for the next round."""
        while self.disks:
            self.disks.pop().remove()

    def close(self):
        self.clear()
        self.sshd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def drop_caches():
    """Makes the next read a cold one."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
