"""The crash campaign: kill -9 of each role in turn and of all together, under load; the ledger has
to balance. What a killed sender or queue had delivered but not yet recorded comes twice: counted,
excused."""

import os
import random
import signal
import time

import pytest

from conftest import LONG, needs_processes
from peers import ledger, ports
from peers.godwit import session_pids
from peers.sink import Sink

VICTIMS = ("smtpd", "queue", "sender", "mda", "control", "all")
ROUNDS = 20 if LONG else 6


def recipients(number):
    """Remote ones, local ones, both; one in 16 is refused for good, one in 16 for now."""
    first = {3: "gone", 7: "later"}.get(number % 16, f"sink{number % 5}")
    remote = f"{first}@example.org"
    if number % 4 == 0:
        return [remote, f"box{number % 3}@example.net"]
    if number % 4 == 1:
        return [f"box{number % 3}@example.net"]
    return [remote]


class Campaign:
    def __init__(self, g, sink, seed):
        self.g, self.sink = g, sink
        self.rng = random.Random(seed)
        self.book = ledger.Ledger()
        sink.on_message = self.book.arrived
        self.load = ledger.Load(self.book, g.port, sessions=8, recipients=recipients, pace=0.003,
                                sender="ledger@sender.test")

    def run(self, victims, rounds):
        self.load.start()
        time.sleep(1)
        for n in range(rounds):
            self.strike(victims[n % len(victims)])
            time.sleep(self.rng.uniform(0.8, 1.6))
        self.load.stop()

    def strike(self, victim):
        begin, end = self.g.kill9_all() if victim == "all" else self.g.kill9(victim)
        self.book.kills.append((victim, begin, end))
        if victim == "all":
            self.g.start(wait=False)
        started = time.monotonic()
        self.g.wait_ready(20)
        if victim != "all":
            ports.wait_for(lambda: self.g.roles().get(victim), 10, what=f"{victim} again")
        if time.monotonic() - started > 5:
            self.book.slow_starts += 1

    def drain(self, timeout=60):
        """Waits until the queue is empty, then reads the Maildirs into the ledger."""
        self.g.wait_idle(timeout)
        for path in self.g.mail():
            found = ledger.read_message(path.read_bytes().replace(b"\n", b"\r\n"))
            if not found or found[0] != self.book.run:
                self.book.stray.append(str(path))
            elif not found[2]:
                self.book.corrupt.append(found[1])
            else:
                mailbox = path.relative_to(self.g.maildir).parts
                key = found[1], f"{mailbox[1]}@{mailbox[0]}"
                self.book.arrivals[key].append(path.stat().st_mtime)


def run_campaign(make_godwit, victims, rounds, seed=1):
    with Sink() as sink:
        sink.reply_to("gone@example.org", "550 5.1.1 no such user")
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        g.expected_alarms |= {"role.died", "error"}
        sink.reply_to("later@example.org", "451 4.3.0 later", times=15)
        campaign = Campaign(g, sink, seed)
        campaign.run(victims, rounds)
        campaign.drain()
        time.sleep(0.5)
        book = campaign.book
        verdict = book.verdict()
        print(f"\nkills: {[what for what, _, _ in book.kills]}\nledger: {dict(verdict)}")
        if book.clean(verdict):
            book.dump("/tmp/godwit-crash-ledger.jsonl")
        assert not book.clean(verdict), (dict(verdict), book.missing()[:5], book.stray[:2])
        assert not sink.violations
        if len(set(victims)) > 1 or victims == ("all",):  # else its restarts are paced on purpose
            assert verdict["slow_starts"] == 0
        assert verdict["n_acked"] >= 50 * rounds, "too little load to prove anything"
        assert verdict["bounced"] > 0


@needs_processes
def test_kill_each_role_in_turn(make_godwit):
    run_campaign(make_godwit, VICTIMS, ROUNDS)


@needs_processes
@pytest.mark.skipif(not LONG, reason="GODWIT_LONG=1")
@pytest.mark.parametrize("victim", ["queue", "sender", "smtpd", "mda", "all"])
def test_kill_one_role_often(make_godwit, victim):
    run_campaign(make_godwit, (victim,), 10)


def test_dead_master_takes_its_children_along(make_godwit):
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        g.expected_alarms |= {"role.died", "error"}
        session = g.process.pid
        os.kill(g.pid, signal.SIGKILL)
        g.process.wait(5)
        ports.wait_for(lambda: not session_pids(session), 5, what="the end of the roles")
        g.process = None
        g.start()
