"""Faults of the machine, one at a time: the n-th call of a kind fails, or kills, while one message
goes through or while a role that died comes back.

    Cell("queue", "fdatasync", "EIO", 2).run()                  # a Run, with what is wrong with it
    Cell("master", "clone", "ENOMEM", 1, scene="smtpd").run()   # ... while a receiver comes back
    Cell("", "fsync", "EIO", 1).run()                           # all roles in one process

A role's calls are changed by nthcall.c, from inside its jail. In one process strace does it, which
sees the calls of the C library too, but whose changed calls do not pass the filter of a jail.

Each cell hands one message over for a relay and a Maildir and asks: was there a 250 without a
flush, does the next client get its 250 within BACK seconds, was a process ended by anything but
itself, and is everything there that was promised, after a kill and a restart without fault too, and
nothing that was refused? Nobody helps, with one exception: when the whole program has ended it is
started once more, as systemd does for master.
"""

import contextlib
import os
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from . import ledger, nthcall, trace
from .client import Client, Closed, stuff
from .godwit import Godwit, session_pids
from .sink import Sink

BACK = 5.0
ERRORS = ("EIO", "ENOSPC", "EMFILE", "ENOMEM", "EINTR")
FAULTS = (*ERRORS, "KILL")
# Of one process. read and close are left out: strace would leave the descriptor open, or the end of
# a file unseen.
SYSTEM_CALLS = ("pwritev", "write", "fdatasync", "fsync", "fallocate", "renameat", "renameat2",
                "openat", "unlinkat", "mkdirat", "pread64", "fstatfs", "socket", "connect",
                "getsockopt", "setsockopt", "sendmsg", "sendto", "recvmsg", "recvfrom", "accept4",
                "shutdown", "epoll_ctl", "epoll_wait", "fcntl", "clone", "pipe2", "pidfd_open",
                "wait4", "getdents64", "brk", "mmap")
DURABLE = ("fdatasync", "fsync", "pwritev")
MEMORY = "malloc"  # no system call; those of a start are many: not every n is tried
MEMORY_POINTS = 40
DELIVERY = "delivery"  # a scene; the others are named by the role that comes back
RETURNS = ("smtpd", "queue", "sender", "mda", "control")
SPIN = 4  # ticks that an idle program does not use in a tenth of a second
STORE = "store { segment 1M; reserve 4M; spares 1 }"
SENDER = "inject@sender.test"
RECIPIENTS = ["far@example.org", "near@example.net"]
# Without memory, or an event loop, master has nothing to go on with. (A kernel has no error for a
# right epoll_wait() but EINTR.)
MASTER_ENDS = (MEMORY, "epoll_wait")
# die() and the end of a role whose peer is gone; what a death by our hand looks like, in a jail too
CLEAN_DEATHS = {"6"}
KILLED = {"9", "31"}


@dataclass
class Run:
    role: str
    call: str
    fault: str
    n: int
    scene: str = DELIVERY
    fate: str = ""  # of the message, as its client saw it
    ended: bool = False  # the program, or in it a role more than the scene wants
    hit: bool = False  # the fault took place
    back: float = 0.0  # seconds until a 250
    copies: int = 0  # second deliveries
    wrong: list = field(default_factory=list)

    @property
    def where(self):
        scene = "" if self.scene == DELIVERY else f"{self.scene} back: "
        return f"{scene}{self.role or 'one process'} {self.call}"

    @property
    def name(self):
        return f"{self.where}:{self.fault}:{self.n}"


class Cell:
    def __init__(self, role, call, fault, n, scene=DELIVERY, env=None):
        self.env = env or {}
        self.run_ = Run(role, call, fault, n, scene)
        self.tokens = {}
        self.lines = []
        self.tracer = self.nth = None

    def run(self):
        r = self.run_
        with contextlib.ExitStack() as stack:
            if r.role or r.call == MEMORY:
                self.nth = stack.enter_context(nthcall.NthCall())
                preload = [e["LD_PRELOAD"] for e in (self.env, self.nth.env) if "LD_PRELOAD" in e]
                self.env = {**self.nth.env, **self.env, "LD_PRELOAD": ":".join(preload)}
            self.open(stack, one_process=not r.role)
            try:
                self.g.start()
                self.with_fault()
                self.after_restart()
            except (TimeoutError, RuntimeError, OSError) as error:
                r.wrong.append(f"{type(error).__name__}: {str(error)[-300:]}")
            if r.wrong and os.environ.get("GODWIT_KEEP"):
                print(r.name, r.wrong, self.g.output(), "".join(self.lines[-400:]))
        return r

    def open(self, stack, one_process):
        self.sink = stack.enter_context(Sink())
        self.book = ledger.Ledger()
        self.sink.on_message = self.book.arrived
        self.g = Godwit(one_process=one_process, relay=("127.0.0.1", self.sink.port), store=STORE,
                        env=self.env)
        stack.callback(self.g.close)

    # ---- with the fault -------------------------------------------------------------------

    def with_fault(self):
        r = self.run_
        self.set_up()
        try:
            r.fate = self.play()
            self.comes_back()
            self.settle(3)
            self.comes_back()
        finally:
            self.take_down()
        self.revive()  # it may have ended just now
        r.ended = r.ended or self.deaths() > (r.scene != DELIVERY)
        if self.lines and not r.ended:
            self.judge_order()

    def play(self):
        """The scene; what became of its message."""
        scene = self.run_.scene
        if scene == DELIVERY:
            return self.send(timeout=4)
        # something is queued while the role is away
        self.sink.reply_at("rcpt", "451 4.3.0 not now")
        fate = self.send(timeout=4)
        self.g.wait_log("deferred")
        self.arm()
        self.g.kill9(scene)
        self.sink.heal()
        return fate

    def set_up(self):
        r = self.run_
        if self.nth:
            if r.scene == DELIVERY:
                self.arm()
            if r.call in DURABLE and r.fault in ERRORS and r.scene not in ("queue", "smtpd"):
                self.watch([*self.g.roles()["queue"], *self.g.roles()["smtpd"]], trace.CALLS)
        elif r.call:
            how = "signal=KILL" if r.fault == "KILL" else f"error={r.fault}"
            self.watch([self.g.pid], f"{trace.CALLS},{r.call}",
                       "-e", f"inject={r.call}:{how}:when={r.n}")

    def arm(self):
        r = self.run_
        self.nth.arm(r.role or "any", r.call, r.n, r.fault)

    def watch(self, pids, calls, *words):
        self.tracer = trace.Tracer(pids, self.g.folder / "trace", ["-e", f"trace={calls}", *words])

    def take_down(self):
        r = self.run_
        if self.tracer:
            self.lines = self.tracer.stop()
        if self.nth:
            r.hit = self.nth.hits > 0
            self.nth.heal()
        else:
            r.hit = r.fault == "KILL" or any("(INJECTED)" in line for line in self.lines)

    def running(self):
        return self.g.process.poll() is None

    def revive(self):
        """Starts it again if it ended."""
        if self.running():
            return
        r = self.run_
        if r.role and not (r.role == "master" and (r.fault == "KILL" or r.call in MASTER_ENDS)):
            r.wrong.append(f"the program ended: {self.g.process.returncode}")
        r.ended = True
        now = time.time()
        self.book.kills.append(("all", now - 1, now))
        self.g.process = None
        self.g.start()

    def deaths(self):
        """How many processes died; notes how, and that copies are excused from then."""
        r = self.run_
        allowed = CLEAN_DEATHS | (KILLED if r.fault == "KILL" or r.scene != DELIVERY else set())
        lines = self.g.log_lines("role.died")
        for line in lines:
            # libunbound 1.17.1 does not look at every allocation. With the first question:
            # ub_resolve_event() > context_finalize() > rrset_cache_create(), which hands the NULL
            # of slabhash_create() to slabhash_setmarkdel(); with each: iter_operate() >
            # processQueryTargets(), which reads *nxns_dp that target_count_create() could not have.
            # Of our own there is no such end. Master starts the resolver anew.
            library = (line["role"] == "resolver" and r.fault == "ENOMEM"
                       and line.get("signal") == "11")
            if "signal" in line and line["signal"] not in allowed and not library:
                r.wrong.append(f"{line['role']} died of signal {line['signal']}")
            when = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
            self.book.kills.append((line["role"], when - 0.5, when))
        return len(lines)

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
                client.begin(SENDER, RECIPIENTS)
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
                break
            time.sleep(0.02)
        took = time.monotonic() - begin
        self.run_.back = max(self.run_.back, took)
        if took > BACK:
            self.run_.wrong.append(f"no 250 within {BACK} s")

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
        # results are flushed up to 20 ms later; those that could not be, a second later once more
        if self.g.log_lines("spool.failed"):
            time.sleep(1.2)
        if all(self.busy() for _ in range(3)):
            self.run_.wrong.append("it spins")
        self.g.kill9_all()
        self.g.start()
        self.g.wait_idle(10)
        self.read_maildir()
        self.judge()

    def busy(self):
        """For a tenth of a second; so is a role that starts, once."""
        before = self.ticks()
        time.sleep(0.1)
        return self.ticks() - before > SPIN

    def ticks(self):
        """Processor time of all processes, in 1/100 s."""
        total = 0
        for pid in session_pids(self.g.process.pid):
            with contextlib.suppress(OSError):
                text = open(f"/proc/{pid}/stat").read()
                total += sum(int(x) for x in text.rpartition(")")[2].split()[11:13])
        return total

    def judge(self):
        r = self.run_
        verdict = self.book.verdict()
        r.copies = verdict["dup_excused"] + verdict["dup_unexcused"]
        wrong = self.book.clean(verdict)
        # a sender that could not read the reply to its dot is what at-least-once is for
        if r.role in ("", "sender") and r.copies < 2:
            wrong.pop("dup_unexcused", None)
        r.wrong += [f"{key}={count}" for key, count in wrong.items()]


def run_cell(words):
    return Cell(*words).run()


# ---- the matrix -------------------------------------------------------------------------------


def count_one_process():
    """{("", call): most calls of one thread} over one delivery without a fault."""
    cell = Cell("", "", "", 0)
    with contextlib.ExitStack() as stack:
        cell.nth = stack.enter_context(nthcall.NthCall())
        cell.env = cell.nth.env
        cell.open(stack, one_process=True)
        cell.g.start()
        cell.watch([cell.g.pid], "all")
        cell.nth.counts()
        assert cell.send(timeout=10) == "acked"
        cell.settle(10)
        cell.g.wait_idle()
        time.sleep(0.1)
        counts = Counter()
        for line in cell.tracer.stop():
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                counts[match[1], match[2]] += 1
        memory = sum(n for (_, call), n in cell.nth.counts().items() if call == MEMORY)
    most = {("", MEMORY): memory}
    for (_, call), n in counts.items():
        if call in SYSTEM_CALLS:
            most["", call] = max(most.get(("", call), 0), n)
    return most


def count_roles(scene):
    """{(role, call): how many} in one scene without a fault."""
    cell = Cell("any", MEMORY, "EIO", 0, scene)
    with contextlib.ExitStack() as stack:
        cell.nth = stack.enter_context(nthcall.NthCall())
        cell.env = cell.nth.env
        cell.open(stack, one_process=False)
        cell.g.start()
        cell.arm = cell.nth.counts
        cell.arm()
        assert cell.play() == "acked"
        if scene != DELIVERY:
            cell.g.wait_log("role.started", role=scene, count=2)
        cell.settle(10)
        time.sleep(0.1)
        return cell.nth.counts()


def cells_of(most, scene):
    """One cell for each fault and n; allocations fail or are the end, at some of them."""
    cells = []
    for (role, call), count in most.items():
        step = max(1, count // MEMORY_POINTS) if call == MEMORY else 1
        faults = ("ENOMEM", "KILL") if call == MEMORY else FAULTS
        if call == MEMORY and not role:
            step, faults = 1, ("ENOMEM",)
        cells += [(role, call, fault, n, scene) for fault in faults
                  for n in range(1, count + 1, step)]
    return cells


def all_cells():
    cells = cells_of(count_one_process(), DELIVERY)
    for scene in (DELIVERY, *RETURNS):
        cells += cells_of(count_roles(scene), scene)
    return cells


def sample(cells, seed, most):
    """What fits into a minute: of the calls that make mail durable many, of the rest some; each
    fault, each role and each scene."""
    rng = random.Random(seed)
    first = [c for c in cells if c[1] in DURABLE and c[0] in ("", "queue") and c[4] == DELIVERY]
    chosen = rng.sample(first, most // 3)
    groups = {}
    for cell in cells:
        groups.setdefault((cell[0], cell[4]), []).append(cell)
    order = list(groups)
    rng.shuffle(order)
    while len(chosen) < most:
        for key in order:
            chosen.append(rng.choice(groups[key]))
    return sorted(set(chosen[:most]), key=cells.index)


def table(runs):
    """Rows calls, columns faults; in a cell: runs, of them a (acked) r (refused) ? (unknown) u (not
    sent), e (a process ended), d (second copies), and !N when N are wrong."""
    faults = [f for f in FAULTS if any(r.fault == f for r in runs)]
    lines = [f"{'':<30}" + "".join(f"{f:>25}" for f in faults)]
    for where in dict.fromkeys(r.where for r in runs):
        line = f"{where:<30}"
        for fault in faults:
            line += f"{_summary([r for r in runs if (r.where, r.fault) == (where, fault)]):>25}"
        lines.append(line)
    return "\n".join(lines)


def _summary(runs):
    if not runs:
        return ""
    text = f"{len(runs)}:"
    fates = Counter({"acked": "a", "refused": "r", "unknown": "?", "unsent": "u"}.get(r.fate, "-")
                    for r in runs)
    for letter, n in (*sorted(fates.items()), ("e", sum(r.ended for r in runs)),
                      ("d", sum(r.copies > 0 for r in runs)),
                      ("!", sum(bool(r.wrong) for r in runs))):
        text += f" {letter}{n}" if n else ""
    return text
