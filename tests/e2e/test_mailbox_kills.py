"""Deliveries while somebody is killed at random: the mda, one of its children, the launcher of its
programs, the queue, all. Every message is in its mailbox exactly once; a program gets each at least
once, one of the class at-most-once never twice. GODWIT_LONG=1: ten thousand recipients."""

import collections
import contextlib
import os
import pathlib
import random
import signal
import threading
import time

from conftest import LONG, needs_processes
from peers import godwit as godwit_peer
from peers import ledger, ports
from peers.sink import Sink

pytestmark = needs_processes

MESSAGES = 8_000 if LONG else 350  # three of seven have two recipients
VICTIMS = ("mda", "child", "child", "child", "programs", "queue", "all")

# Each run leaves a file of its own.
PROGRAM = """#!/bin/sh
cat > "{out}/$MESSAGE_ID.$RECIPIENT.$$.tmp" && mv "{out}/$MESSAGE_ID.$RECIPIENT.$$.tmp" "{out}/$MESSAGE_ID.$RECIPIENT.$$"
"""


def recipients(number):
    first = f"box{number % 5}{('', '+a', '+b.c')[number % 3]}@box.test"
    if number % 7 == 0:
        return [first, "more@pipe.test"]
    if number % 7 == 1:
        return [first, "sms@once.test"]
    if number % 7 == 2:
        return [first, f"second{number % 3}@box.test"]
    return [first]


class Reader(threading.Thread):
    """A mail reader: takes what is in new/ of one mailbox to cur/, as all of them do."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.stopping, self.moved = box, threading.Event(), 0

    def run(self):
        while not self.stopping.wait(0.02):
            for path in self.box.glob("new/*"):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(self.box / "cur" / (path.name + ":2,S"))
                    self.moved += 1


class Campaign:
    def __init__(self, make_godwit, sink, seed):
        self.rng = random.Random(seed)
        self.folder = ports.scratch("godwit-kills-")
        self.out = self.folder / "out"
        self.out.mkdir()
        self.out.chmod(0o1777)
        program = self.folder / "program"
        program.write_text(PROGRAM.format(out=self.out))
        program.chmod(0o755)
        user = "user nobody " if os.geteuid() == 0 else ""
        self.book = ledger.Ledger()
        sink.on_message = self.book.arrived
        self.g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m", domains=(), extra=f"""
domain box.test {{ deliver maildir @MAIL@/%u; quota 1G; subaddress-folder yes }}
domain pipe.test {{ deliver pipe {user}{program} }}
domain once.test {{ deliver pipe {user}{program} }}
shape once {{ domain once.test; at-most-once yes; retry 1s; expire 10m }}
""".replace("@MAIL@", str(self.folder / "mail")))
        self.load = ledger.Load(self.book, self.g.port, sessions=8, most=MESSAGES,
                                recipients=recipients, pace=0.04, sender="ledger@sender.test")
        self.reader = Reader(self.folder / "mail" / "box0")
        self.struck = collections.Counter()

    def children(self):
        """Deliveries that run now."""
        found = []
        for parent in self.g.roles().get("mda", []) + self.g.roles().get("programs", []):
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
                found += [int(pid) for pid in text.split()
                          if godwit_peer.process_role(int(pid)) != "programs" or
                          parent in self.g.roles().get("programs", [])]
        return found

    def strike(self):
        victim = self.rng.choice(VICTIMS)
        if victim == "all":
            begin, end = self.g.kill9_all()
            self.g.start(wait=False)
            self.g.wait_ready(20)
        elif victim == "child":
            pids = self.children()
            if not pids:
                return
            begin = end = time.time()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(pids), signal.SIGKILL)
        else:
            pids = self.g.roles().get(victim)
            if not pids:
                return
            begin, end = self.g.kill9(victim)
        self.struck[victim] += 1
        self.book.kills.append((victim, begin, end))

    def run(self):
        self.load.start()
        self.reader.start()
        while not self.load.done():
            self.strike()
            time.sleep(self.rng.uniform(0.0, 0.15 if self.rng.random() < 0.8 else 1))
        self.load.join(120)
        self.g.wait_ready(20)
        self.g.wait_idle(180 if LONG else 60)
        self.reader.stopping.set()
        self.reader.join()

    # ---- what is there ----------------------------------------------------------------------

    def count(self, path, rcpt):
        data = path.read_bytes().replace(b"\n", b"\r\n")
        found = ledger.read_message(data)
        if not found or found[0] != self.book.run:
            self.book.stray.append(str(path))
        elif not found[2]:
            self.book.corrupt.append(found[1])
        else:
            self.book.arrivals[found[1], rcpt].append(path.stat().st_mtime)

    def read(self):
        for path in (self.folder / "mail").rglob("*"):
            if path.parent.name in ("new", "cur") and path.is_file():
                rcpt = path.read_bytes().split(b"Delivered-To: ", 1)[1].split(b"\n")[0].decode()
                self.count(path, rcpt)
        for path in self.out.iterdir():
            if path.suffix != ".tmp":
                self.count(path, path.name.split(".", 1)[1].rsplit(".", 1)[0])

    def copies(self, domain):
        return collections.Counter(len(times) for (_, rcpt), times in self.book.arrivals.items()
                                   if rcpt.endswith("@" + domain))

    def left(self):
        return sum(1 for path in (self.folder / "mail").rglob("tmp/*"))


def test_each_is_there_once(make_godwit):
    with Sink() as sink:
        c = Campaign(make_godwit, sink, seed=7)
        c.g.expected_alarms |= {"role.died", "role.crashed", "error"}
        try:
            c.run()
            time.sleep(0.5)
            c.read()
            verdict = c.book.verdict()
            print(f"\nkilled: {dict(c.struck)}\nledger: {dict(verdict)}\n"
                  f"copies in mailboxes: {dict(c.copies('box.test'))}, given to a program: "
                  f"{dict(c.copies('pipe.test'))}, at most once: {dict(c.copies('once.test'))}, "
                  f"moved by a reader: {c.reader.moved}, left in tmp: {c.left()}")
            for key in ("lost", "refused_seen", "unsent_seen", "corrupt", "stray"):
                assert verdict[key] == 0, (dict(verdict), c.book.missing()[:5], c.book.stray[:2])
            assert set(c.copies("box.test")) == {1}
            assert set(c.copies("once.test")) <= {1}
            assert c.copies("pipe.test")[1] > 0
            bounced = {rcpt.partition("@")[2] for _, rcpt in c.book.bounces}
            assert bounced <= {"once.test"}
            assert c.reader.moved > 0
            assert sum(c.struck.values()) >= (150 if LONG else 5), "too few kills to prove anything"
            assert verdict["n_acked"] >= MESSAGES * 0.5
        finally:
            ports.discard(c.folder)
