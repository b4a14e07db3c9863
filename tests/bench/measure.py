"""What a server costs, seen from outside: CPU, flushes, memory, open sessions.

All of it is read from /proc, /sys and perf; nothing is asked of the server, so that every server
is measured the same way.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """(ppid, user and system time, the same of its reaped children) of a process, or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    times = [int(field) / TICKS for field in fields[11:15]]
    return int(fields[1]), times[0] + times[1], times[2] + times[3]


def tree(root):
    """The process and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(entry)
            if stat:
                parents[int(entry)] = stat[0]
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found & set(parents))
        found |= more


def cpu_seconds(root):
    """CPU used by a process, its descendants, and those of them that ended and were waited for."""
    total = 0.0
    for pid in tree(root):
        stat = _stat(pid)
        if stat:
            total += stat[1] + stat[2]
    return total


def settle(root, quiet=0.5, most=20):
    """Until a server that was started does nothing: what it prepares (Godwit writes segments in
    advance) is no cost of the messages that come then."""
    end = time.monotonic() + most
    used = cpu_seconds(root)
    while time.monotonic() < end:
        time.sleep(quiet)
        before, used = used, cpu_seconds(root)
        if used - before <= 1 / TICKS:
            return


def memory_bytes(root):
    """Proportional set size of the whole tree: shared pages count once."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024
    return total


# ---- flushes ----------------------------------------------------------------------------------

EVENTS = ("syscalls:sys_enter_fsync", "syscalls:sys_enter_fdatasync", "syscalls:sys_enter_syncfs",
          "syscalls:sys_enter_msync")


def _device_flushes(folder):
    """Flushes completed by the disk of this folder, whoever asked for them; None if unknown."""
    device = os.stat(folder).st_dev
    path = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if (path / "partition").exists():
        path = path.parent
    with contextlib.suppress(OSError, IndexError):
        return int((path / "stat").read_text().split()[15])
    return None


class Flushes:
    """Counts the flushes of one server: its system calls by perf where that works, else those of
    the whole disk (then `what` says so)."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.count, self.disk, self.what = None, None, "disk"

    def __enter__(self):
        self.perf = None
        if shutil.which("perf"):
            self._start_perf()
        self.before = _device_flushes(self.folder)
        return self

    def _start_perf(self):
        self.output = tempfile.NamedTemporaryFile("r", suffix=".perf")
        pids = ",".join(str(pid) for pid in tree(self.root))
        self.perf = subprocess.Popen(
            ["perf", "stat", "-x", ",", "-o", self.output.name, "-e", ",".join(EVENTS), "-p", pids],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        if self.perf.poll() is not None:
            self.perf = None

    def __exit__(self, *_):
        if self.before is not None:
            self.disk = _device_flushes(self.folder) - self.before
        if self.perf:
            self.perf.send_signal(signal.SIGINT)
            self.perf.wait(10)
            counts = re.findall(r"^(\d+),", self.output.read(), re.M)
            self.output.close()
            if counts:
                self.count, self.what = sum(map(int, counts)), "calls"
                return
        self.count = self.disk


# ---- idle sessions ----------------------------------------------------------------------------

def hold_sessions(port, count, timeout=60):
    """Opens up to count sessions that said EHLO and then nothing; the sockets."""
    held = []
    end = time.monotonic() + timeout
    try:
        while len(held) < count and time.monotonic() < end:
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            held.append(s)
            if not _says(s, b"220"):
                held.pop().close()
                break
            s.sendall(b"EHLO idle.example\r\n")
            if not _says(s, b"250"):
                held.pop().close()
                break
    except OSError:
        pass
    return held


def _says(s, code):
    """Reads one reply to its end."""
    data = b""
    while not re.search(rb"^\d\d\d .*\r\n\Z", data, re.M):
        more = s.recv(4096)
        if not more:
            return False
        data += more
    return data.startswith(code)
