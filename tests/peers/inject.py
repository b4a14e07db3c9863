"""Faults of the machine, one at a time: the n-th call of a kind fails, or kills, while one message
goes through; and a machine whose limits can be moved.

    run = Cell("fdatasync", "EIO", 2).run()      # a Run: outcome, what is wrong with it
    with Machine() as m: Godwit(env=m.env); m.jump(3600); m.read_only(); m.fail_allocation(7)

A cell runs the whole program in one process under strace (its injected calls do not pass the
filter of the jail), hands it one message for a relay and a Maildir, and asks: was there a 250
without a flush, does the program work again within BACK seconds, and is everything that was
promised there after a kill and a restart without fault, and nothing that was refused? A program
that ended is started once more: that is what master does for a role, and systemd for master.
"""

import contextlib
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from . import ledger, ports, trace
from .client import Client, Closed, stuff
from .godwit import Godwit
from .sink import Sink

BACK = 5.0
ERRORS = ("EIO", "ENOSPC", "EMFILE", "ENOMEM", "EINTR")
FAULTS = (*ERRORS, "KILL")
# read and close are left out: strace would leave the descriptor open, or the end of a file unseen
CALLS = ("pwritev", "write", "fdatasync", "fsync", "fallocate", "renameat", "renameat2",
         "openat", "unlinkat", "mkdirat", "pread64", "fstatfs", "socket", "connect", "getsockopt",
         "setsockopt", "sendmsg", "sendto", "recvmsg", "recvfrom", "accept4", "shutdown",
         "epoll_ctl", "epoll_wait", "fcntl", "clone", "pipe2", "pidfd_open", "wait4", "getdents64",
         "brk", "mmap")
DURABLE = ("fdatasync", "fsync", "pwritev")
MEMORY = "malloc"  # no system call: the n-th allocation, by machine.c
STORE = "store { segment 1M; reserve 4M; spares 1 }"
SENDER = "inject@sender.test"
RECIPIENTS = ["far@example.org", "near@example.net"]


# ---- the machine ------------------------------------------------------------------------------


class Machine:
    """The page that machine.c reads."""

    CLOCK, READ_ONLY, FAIL_AT, FAIL_N, ALLOCATED, REFUSED = range(6)

    def __init__(self):
        self.folder = ports.scratch("godwit-machine-")
        library = self.folder / "machine.so"
        source = ports.REPO / "tests" / "peers" / "machine.c"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(library),
                        str(source)], check=True)
        control = self.folder / "control"
        control.write_bytes(bytes(4096))
        control.chmod(0o666)
        self._file = open(control, "r+b")
        self._page = mmap.mmap(self._file.fileno(), 4096)
        self.env = {"LD_PRELOAD": str(library), "MACHINE": str(control)}

    def _set(self, index, value):
        self._page[8 * index:8 * index + 8] = struct.pack("q", value)

    def _get(self, index):
        return struct.unpack("q", self._page[8 * index:8 * index + 8])[0]

    def jump(self, seconds):
        """The wall clock is that far off, from now on."""
        self._set(self.CLOCK, seconds)

    def read_only(self, error):
        self._set(self.READ_ONLY, error)

    def fail_allocation(self, n, most=1):
        """The n-th allocation from now on fails, and the next most - 1."""
        self._set(self.FAIL_N, most)
        self._set(self.FAIL_AT, self.allocated + n)

    def heal(self):
        self._set(self.READ_ONLY, 0)
        self._set(self.FAIL_AT, 0)

    @property
    def allocated(self):
        return self._get(self.ALLOCATED)

    @property
    def refused(self):
        return self._get(self.REFUSED)

    def close(self):
        self._page.close()
        self._file.close()
        ports.discard(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- strace -----------------------------------------------------------------------------------


class Tracer:
    """strace on a running program, all its threads and what they fork."""

    def __init__(self, pid, out, words):
        self.out = out
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-y", "-s", "100000", "-o", str(out), *words, "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ports.wait_for(lambda: self.process.poll() is not None or _traced(pid), 10, 0.005,
                       what="strace")

    def stop(self):
        """Detaches; the lines it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        with open(self.out, errors="replace") as lines:
            return lines.readlines()


def _traced(pid):
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            text = open(f"/proc/{pid}/task/{task}/status").read()
            if re.search(r"^TracerPid:\t0$", text, re.M):
                return False
    except OSError:
        return False
    return True


def injection(call, fault, n):
    how = "signal=KILL" if fault == "KILL" else f"error={fault}"
    return ["-e", f"trace={trace.CALLS},{call}", "-e", f"inject={call}:{how}:when={n}"]


# ---- one cell ---------------------------------------------------------------------------------


@dataclass
class Run:
    call: str
    fault: str
    n: int
    fate: str = ""  # of the message, as its client saw it
    ended: bool = False  # the program
    hit: bool = False  # the fault took place
    back: float = 0.0  # seconds from the fault to a 250
    copies: int = 0  # second deliveries
    wrong: list = field(default_factory=list)

    @property
    def name(self):
        return f"{self.call}:{self.fault}:{self.n}"


class Cell:
    def __init__(self, call, fault, n, env=None):
        self.env = env
        self.run_ = Run(call, fault, n)
        self.tokens = {}
        self.lines = []

    def run(self):
        with contextlib.ExitStack() as stack:
            self.sink = stack.enter_context(Sink())
            self.book = ledger.Ledger()
            self.sink.on_message = self.book.arrived
            self.machine = stack.enter_context(Machine()) if self.by_allocation else None
            self.g = Godwit(one_process=True, relay=("127.0.0.1", self.sink.port), store=STORE,
                            env=self.machine.env if self.machine else self.env)
            stack.callback(self.g.close)
            try:
                self.g.start()
                self.with_fault()
                self.after_restart()
            except (TimeoutError, RuntimeError, OSError) as error:
                self.run_.wrong.append(f"{type(error).__name__}: {str(error)[-300:]}")
            if self.run_.wrong and os.environ.get("GODWIT_KEEP"):
                print(self.run_.name, self.run_.wrong, self.g.output(), "".join(self.lines[-400:]))
        return self.run_

    @property
    def by_allocation(self):
        return self.run_.call == MEMORY

    # ---- with the fault -------------------------------------------------------------------

    def with_fault(self):
        r = self.run_
        if self.by_allocation:
            self.machine.fail_allocation(r.n)
        else:
            tracer = Tracer(self.g.pid, self.g.folder / "trace", injection(r.call, r.fault, r.n))
        try:
            r.fate = self.send(timeout=4)
            self.settle(2)
            self.comes_back()
        finally:
            if self.by_allocation:
                r.hit = self.machine.refused > 0
                self.machine.heal()
            else:
                self.lines = tracer.stop()
                r.hit = r.fault == "KILL" or any("(INJECTED)" in line for line in self.lines)
        self.revive()  # it may have ended just now
        if not self.by_allocation and not r.ended:
            self.judge_order()

    def running(self):
        return self.g.process.poll() is None

    def revive(self):
        """Starts it again if it ended."""
        if not self.running():
            self.run_.ended = True
            self.g.process = None
            self.g.start()

    def settle(self, timeout):
        """Until everything promised is there, or nothing will come."""
        end = time.monotonic() + timeout
        while self.running() and time.monotonic() < end:
            self.read_maildir()
            if not self.book.missing():
                return
            time.sleep(0.01)

    def judge_order(self):
        """No 250 without a flush before it."""
        verdict = trace.check(self.lines, self.tokens, self.g.folder / "spool")
        self.run_.wrong += [f"order: {token}: {why}" for token, why in verdict.bad]

    # ---- mail -----------------------------------------------------------------------------

    def send(self, timeout):
        """One numbered message; its fate. Never raises for what the server does."""
        number = self.book.number()
        content = ledger.make_message(self.book.run, number, 500, SENDER, RECIPIENTS[0])
        state, reply = "unsent", ""
        with contextlib.suppress(OSError, Closed, ValueError):
            with Client(self.g.port, timeout=timeout) as client:
                if client.greeting[0] != 220 or client.hello()[0] != 250:
                    raise Closed("not greeted")
                mail, rcpts = client.begin(SENDER, RECIPIENTS)
                code, text = client.cmd("DATA")
                if code != 354:
                    state, reply = "refused", f"{code} {text}"
                    raise Closed("refused")
                state = "unknown"
                client.send(stuff(content))
                code, text = client.reply()
                state, reply = ("acked" if code == 250 else "refused"), f"{code} {text}"
                if code == 250:
                    self.tokens[text.split()[-1]] = f"{self.book.run} {number} "
                client.quit()
        self.book.note(number, state, RECIPIENTS, reply)
        return state

    def comes_back(self):
        """A message of somebody else gets its 250 soon."""
        begin = time.monotonic()
        self.revive()
        while self.send(timeout=BACK) != "acked":
            self.revive()
            if time.monotonic() - begin > BACK:
                self.run_.wrong.append(f"no 250 within {BACK} s")
                return
            time.sleep(0.02)
        self.run_.back = max(self.run_.back, time.monotonic() - begin)

    def read_maildir(self):
        """What was finished since the last look."""
        for path in self.g.mail():
            found = ledger.read_message(path.read_bytes().replace(b"\n", b"\r\n"))
            if not found or not found[2]:
                self.book.corrupt.append(str(path))
            else:
                key = found[1], f"{path.parts[-3]}@{path.parts[-4]}"
                when = path.stat().st_mtime
                if when not in self.book.arrivals[key]:
                    self.book.arrivals[key].append(when)

    # ---- without ----------------------------------------------------------------------------

    def after_restart(self):
        self.g.wait_idle(10)
        self.read_maildir()
        if self.book.missing():
            self.run_.wrong.append(f"queue empty, missing {self.book.missing()}")
        time.sleep(0.1)  # results are flushed up to 20 ms later
        self.g.kill9_all()
        self.g.start()
        self.g.wait_idle(10)
        self.read_maildir()
        verdict = self.book.verdict()
        self.run_.copies = verdict["dup_excused"] + verdict["dup_unexcused"]
        for key, count in self.book.clean(verdict).items():
            if key != "dup_unexcused":
                self.run_.wrong.append(f"{key}={count}")
        for (number, rcpt), times in self.book.arrivals.items():
            if len(times) > 2 or (len(times) > 1 and number > 0 and not self.run_.ended):
                self.run_.wrong.append(f"{len(times)} copies of {number} for {rcpt}")


def run_cell(words):
    return Cell(*words).run()


# ---- the matrix -------------------------------------------------------------------------------


def count_calls():
    """{call: most calls of one thread} over one delivery without a fault."""
    with Sink() as sink, Machine() as machine:
        cell = Cell("none", "none", 0)
        cell.book, cell.sink = ledger.Ledger(), sink
        sink.on_message = cell.book.arrived
        cell.g = g = Godwit(one_process=True, relay=("127.0.0.1", sink.port), store=STORE,
                            env=machine.env)
        with contextlib.closing(g):
            g.start()
            tracer = Tracer(g.pid, g.folder / "trace", ["-e", "trace=all"])
            before = machine.allocated
            assert cell.send(timeout=10) == "acked"
            cell.settle(10)
            g.wait_idle()
            time.sleep(0.1)
            counts = Counter()
            for line in tracer.stop():
                match = re.match(r"(\d+) +(\w+)\(", line)
                if match:
                    counts[match[1], match[2]] += 1
            most = {MEMORY: machine.allocated - before}
    for (_, call), n in counts.items():
        if call in CALLS:
            most[call] = max(most.get(call, 0), n)
    return most


def all_cells(most):
    cells = [(call, fault, n) for call in CALLS for fault in FAULTS
             for n in range(1, most.get(call, 0) + 1)]
    return cells + [(MEMORY, "ENOMEM", n) for n in range(1, most[MEMORY] + 1)]


def sample(cells, seed):
    """What fits into a minute: of each call one n with KILL and with two of the errors; every n of
    the calls that make mail durable, with EIO and KILL; some allocations."""
    rng = random.Random(seed)
    pairs = {}
    for call, fault, n in cells:
        pairs.setdefault(call, {}).setdefault(fault, []).append((call, fault, n))
    chosen = []
    for call, by_fault in pairs.items():
        errors = [fault for fault in by_fault if fault != "KILL"]
        for fault in [*rng.sample(errors, min(2, len(errors))), "KILL"]:
            chosen.append(rng.choice(by_fault.get(fault) or by_fault["ENOMEM"]))
        if call in DURABLE:
            chosen += by_fault["EIO"] + by_fault["KILL"]
        if call == MEMORY:
            chosen += rng.sample(by_fault["ENOMEM"], 10)
    return sorted(set(chosen), key=cells.index)


def table(runs):
    """Rows calls, columns faults; in a cell: runs, of them a (acked) r (refused) ?, e (the program
    ended), d (second copies), and !N when N are wrong."""
    faults = [f for f in FAULTS if any(r.fault == f for r in runs)]
    lines = [f"{'call':<12}" + "".join(f"{f:>22}" for f in faults)]
    for call in dict.fromkeys(r.call for r in runs):
        line = f"{call:<12}"
        for fault in faults:
            line += f"{_summary([r for r in runs if (r.call, r.fault) == (call, fault)]):>22}"
        lines.append(line)
    return "\n".join(lines)


def _summary(runs):
    if not runs:
        return "-"
    fates = Counter(r.fate for r in runs)
    text = f"{len(runs)}:" + "".join(f" {letter}{fates[fate]}" for letter, fate in (
        ("a", "acked"), ("r", "refused"), ("?", "unknown"), ("u", "unsent")) if fates[fate])
    for letter, n in (("e", sum(r.ended for r in runs)), ("d", sum(r.copies for r in runs)),
                      ("!", sum(bool(r.wrong) for r in runs))):
        text += f" {letter}{n}" if n else ""
    return text
