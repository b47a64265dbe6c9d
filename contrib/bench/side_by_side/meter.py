"""Measures one command and the server that it talks to: wall time, CPU of both, peak memory of each.

The client's CPU is that of the command and of what it waited for (its ssh, its fuse helper). The server's is that of
the process given, an sshd or a yored, and of the children that it has waited for; so it is read when those have ended.
Memory is the sum of the resident sets of a process and its descendants, seen every 20 ms, or the largest that the
kernel kept of one of them, whichever is more.
"""

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Measured:
    """Seconds and bytes of one run. `settle` is how long it then took to bring the stage to the disk."""

    wall: float
    client_cpu: float
    server_cpu: float
    client_peak: int
    server_peak: int
    settle: float = 0.0
    stored: int = 0
    output: str = ""

    @property
    def cpu(self):
        return self.client_cpu + self.server_cpu


class Failed(Exception):
    """A command that did not end as it should; says what it printed."""


def descendants(pid):
    """The process and all below it."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                todo += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except OSError:
            pass
    return found


def resident(pid):
    """Bytes that a process and all below it have in memory."""
    total = 0
    for one in descendants(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE
        except OSError:
            pass
    return total


def cpu_of(pid):
    """Seconds of CPU of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICK


def peak_of(pid):
    """The largest resident set that a process had since `forget_peak`, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid):
    """Begins the counting of `peak_of` anew."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass


def wait_for(what, condition, seconds=60):
    """Returns as soon as the condition is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(0.005)


class Watch(threading.Thread):
    """Looks at the memory of processes until it is stopped."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.peaks = dict.fromkeys(pids, 0)
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.02):
            for pid in self.peaks:
                self.peaks[pid] = max(self.peaks[pid], resident(pid))

    def stop(self):
        self.done.set()
        self.join()
        return self.peaks


def run(command, server=None, env=None, cwd=None, accept=(0,)):
    """Runs a command to its end and measures it. `server` is the process that serves it, if there is one."""
    before = 0.0
    if server:
        forget_peak(server)
        before = cpu_of(server)
    began = time.monotonic()
    child = subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    watch = Watch([child.pid] + ([server] if server else []))
    output = child.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    peaks = watch.stop()
    if child.returncode not in accept:
        raise Failed(f"{' '.join(map(str, command))} ended with {child.returncode}:\n{output[-2000:]}")
    server_cpu, server_peak = 0.0, 0
    if server:
        wait_for("the server's children to end", lambda: len(descendants(server)) == 1)
        server_cpu = cpu_of(server) - before
        server_peak = max(peaks[server], peak_of(server))
    return Measured(
        wall=wall,
        client_cpu=usage.ru_utime + usage.ru_stime,
        server_cpu=server_cpu,
        client_peak=max(peaks[child.pid], usage.ru_maxrss * 1024),
        server_peak=server_peak,
        output=output,
    )
