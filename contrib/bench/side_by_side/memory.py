"""A virtual machine's memory, kept from the host while a bench runs.

A guest may tell its host which of its pages are free (free page reporting, virtio-balloon); the host takes them, and
gives each back when it is written to next. Where that costs eight times an ordinary page fault, as was measured (17 us;
2.1 us), whoever comes after a pause pays seconds for pages, and rounds do not compare.
"""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

# The smallest block of free pages that is told, as a power of two of pages.
SMALLEST_TOLD = Path("/sys/module/page_reporting/parameters/page_reporting_order")

# No block has more than 2^10 pages; a kernel that does not take more as an answer goes on to tell the largest ones.
NONE, LARGEST = 11, 10

TOUCH = """
import mmap, sys
held = mmap.mmap(-1, int(sys.argv[1]))
for at in range(0, len(held), mmap.PAGESIZE):
    held[at] = 1
"""


@contextmanager
def kept(touched=True):
    """While it lasts the guest keeps its memory; with `touched`, three quarters of what is free are written to before."""
    before = told(NONE) or told(LARGEST)
    try:
        if before and touched:
            subprocess.run([sys.executable, "-c", TOUCH, str(available() * 3 // 4)], check=True)
        yield
    finally:
        if before:
            told(before)


def told(order):
    """From now on only blocks of so many pages are told; what it was before, or None where it cannot be set."""
    try:
        before = SMALLEST_TOLD.read_text()
        SMALLEST_TOLD.write_text(str(order))
    except OSError:
        return None
    return before


def available():
    """Bytes of memory that could be had."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0
