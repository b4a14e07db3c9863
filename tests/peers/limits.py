"""What the tests of the machine's limits share: a settled ledger, probes, limits of running
processes and what they use."""

import contextlib
import os
import re
import select
import subprocess
import time

from . import ledger, ports
from .client import Client, Closed, simple_message


def far(number):
    return [f"sink{number % 5}@example.org"]


def both(number):
    return far(number) if number % 3 else [f"box{number % 4}@example.net"]


# ---- the ledger --------------------------------------------------------------------------------


def read_maildirs(g, book):
    """Anew each time: what lies there now."""
    found = {}
    for path in g.mail():
        message = ledger.read_message(path.read_bytes().replace(b"\n", b"\r\n"))
        if not message or not message[2]:
            book.corrupt.append(str(path))
        else:
            key = message[1], f"{path.parts[-3]}@{path.parts[-4]}"
            found.setdefault(key, []).append(path.stat().st_mtime)
    book.arrivals.update(found)


def settle(g, book, timeout=30, duplicates=True):
    """Everything promised has come, nothing else; the verdict. duplicates: those the ledger
    excuses are allowed."""
    g.wait_idle(timeout)
    time.sleep(0.2)
    read_maildirs(g, book)
    book.stray = [s for s in book.stray if b"X-Ledger" in s]  # without probes
    verdict = book.verdict()
    print(f"\nledger: {dict(verdict)}")
    assert not book.clean(verdict), (dict(verdict), book.missing()[:3])
    assert duplicates or not verdict["dup_excused"], dict(verdict)
    return verdict


def acked_between(book, begin, end):
    with book.lock:
        return [f for f in book.fate.values() if f[0] == "acked" and begin < f[1] < end]


def arrived_between(book, begin, end):
    with book.lock:
        return [t for times in book.arrivals.values() for t in times if begin < t < end]


def first_ack(book, after):
    return min((f[1] for f in acked_between(book, after, 2e10)), default=None)


def refusals(book):
    """The replies to what was refused."""
    with book.lock:
        return [f[2] for f in book.fate.values() if f[0] == "refused"]


# ---- one message of somebody else --------------------------------------------------------------


def probe(port, timeout=5, source=None, to="probe@example.org"):
    """The code of the reply, 0 without one."""
    try:
        with Client(port, timeout=timeout, source=source) as client:
            if client.greeting[0] != 220:
                return client.greeting[0]
            client.hello()
            return client.message("a@sender.test", [to], simple_message())[0]
    except (OSError, Closed, ValueError):
        return 0


def refused_before_content(port):
    """The code that MAIL is refused with, else None: nobody sends content in vain."""
    with Client(port, timeout=5) as client:
        client.hello()
        mail, _ = client.begin("a@sender.test", ["probe@example.org"])
        return mail[0] if mail[0] != 250 else None


def back_within(port, seconds):
    """How long until a message is taken again."""
    begin = time.monotonic()
    ports.wait_for(lambda: probe(port) == 250, seconds, what="a 250")
    return time.monotonic() - begin


def greeted(clients, timeout):
    """Those that were greeted with 220, now or before."""
    end = time.monotonic() + timeout
    while True:
        silent = [c for c in clients if c.greeting is None]
        left = end - time.monotonic()
        ready = select.select([c.sock for c in silent], [], [], max(left, 0))[0] if silent else []
        for client in silent:
            if client.sock in ready:
                client.greeting = client.reply()
        if not ready or left <= 0:
            return [c for c in clients if c.greeting is not None and c.greeting[0] == 220]


# ---- processes ---------------------------------------------------------------------------------


def lasting(g):
    """The roles, without the short-lived children of the mda."""
    return {role: pids[:1] if role == "mda" else pids for role, pids in g.roles().items()}


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def does_not_spin(pids, seconds=1.0):
    """They are idle while they wait for what they cannot have."""
    before = cpu_seconds(pids)
    time.sleep(seconds)
    spent = cpu_seconds(pids) - before
    assert spent < 0.3 * seconds, f"{spent} s of processor time in {seconds} s"


def resident(pids):
    pages = sum(int(open(f"/proc/{pid}/statm").read().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def virtual(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


# ---- their limits ------------------------------------------------------------------------------

TITLES = {"nofile": "Max open files", "as": "Max address space"}


def _soft(pid, title):
    for line in open(f"/proc/{pid}/limits"):
        if line.startswith(title):
            return line[len(title):].split()[0]
    raise KeyError(title)


def _set_soft(pid, name, value):
    """As the user of the process: root may lack the right to set limits of others."""
    status = open(f"/proc/{pid}/status").read()
    uid, gid = (re.search(rf"^{key}:\t(\d+)", status, re.M)[1] for key in ("Uid", "Gid"))
    subprocess.run(["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "prlimit",
                    f"--pid={pid}", f"--{name}={value}:"], check=True, capture_output=True)


@contextlib.contextmanager
def squeezed(pids, name, most):
    """most(pid): its limit as long as the block lasts, if it lives that long."""
    old = {pid: _soft(pid, TITLES[name]) for pid in pids}
    for pid in pids:
        _set_soft(pid, name, most(pid))
    try:
        yield
    finally:
        for pid, value in old.items():
            if os.path.exists(f"/proc/{pid}"):
                _set_soft(pid, name, value)


def few_files(more):
    """A limit below which so many numbers are free."""
    def most(pid):
        used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
        limit = 0
        while limit - len([fd for fd in used if fd < limit]) < more or limit in used:
            limit += 1
        return limit
    return most
