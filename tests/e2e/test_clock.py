"""Clocks that jump, by an hour and by twenty years, both ways: what waits keeps its time, nothing
is sent back that would not have been, nothing is tried more often than its schedule says. What
people read has the wall clock's dates, and the log shows the jump once.

    GODWIT_LONG=1     all four jumps everywhere
"""

import datetime
import email.utils
import re
import time

import pytest

from conftest import LONG, needs_processes
from peers import ledger, ports
from peers.client import Client, simple_message
from peers.limits import cpu_seconds, lasting, probe, settle
from peers.machine import Machine
from peers.sink import Sink

HOUR = 3600
YEARS = 20 * 365 * 86400
JUMPS = [HOUR, -HOUR, YEARS, -YEARS]


class Deferred:
    """Mail that waits for a sink which says 451, and what became of it."""

    def __init__(self, make_godwit, sink, machine, count=10):
        self.g = make_godwit(relay=("127.0.0.1", sink.port), env=machine.env, retry="1s",
                             expire="2h")
        self.sink = sink
        self.book = ledger.Ledger()
        sink.on_message = self.book.arrived
        self.addresses = [f"late{n}@example.org" for n in range(count)]
        for address in self.addresses:
            sink.reply_to(address, "451 4.3.0 not now")
        ledger.Load(self.book, self.g.port, sessions=2, most=count,
                    recipients=lambda n: [f"late{n}@example.org"]).start().join()
        self.wait_attempts(1)

    def attempts(self, address, after=0.0):
        return [t for t in self.sink.attempts(address) if t > after]

    def wait_attempts(self, count, timeout=10, after=0.0):
        ports.wait_for(lambda: all(len(self.attempts(a, after)) >= count for a in self.addresses),
                       timeout, what=f"{count} attempts of each")

    def no_storm(self, begin, step=1.0):
        """No more attempts than the schedule allows, no bounce, all still queued."""
        most = (time.time() - begin) / (step * 0.9) + 1
        for address in self.addresses:
            assert len(self.attempts(address, begin)) <= most, address
        assert not self.g.log_lines("expired") and not self.g.log_lines("bounced")
        assert self.g.queued() == len(self.addresses)

    def finish(self):
        self.sink.heal()
        settle(self.g, self.book, 20)
        assert not self.book.bounces


def take_mail(g, count=1):
    """The text of what came into the Maildirs, which are empty then."""
    texts = []
    for path in g.wait_mail(count):
        texts.append(path.read_text())
        path.unlink()
    return texts


def off(date, jump):
    """How far a date is from a wall clock that is off by a jump."""
    return abs(email.utils.parsedate_to_datetime(date.strip()).timestamp() - time.time() - jump)


def field(text, name):
    unfolded = re.sub(r"\n[ \t]+", " ", text)
    return re.search(rf"^{name}: *(.*)$", unfolded, re.M | re.I)[1]


def iso(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def received(text):
    return field(text, "Received").rpartition(";")[2]


def is_idle(world, jump):
    """Over two attempts of each."""
    pids = sum(lasting(world.g).values(), [])
    before, begin = cpu_seconds(pids), time.time()
    world.wait_attempts(2, after=begin)
    world.no_storm(begin)
    assert cpu_seconds(pids) - before < 0.5, f"it spins after {jump}"


def jumps_in_log(g, count, timeout=4):
    return [float(line["by"]) for line in g.wait_log("clock.jumped", timeout, count)]


@needs_processes
@pytest.mark.parametrize("jumps", [[j] for j in JUMPS] if LONG else [[-HOUR, YEARS]], ids=str)
def test_clock_jumps_while_running(make_godwit, jumps):
    """There and back; a role that is started anew meanwhile counts on as the others do."""
    with Sink() as sink, Machine() as machine:
        world = Deferred(make_godwit, sink, machine)
        g = world.g
        g.expected_alarms |= {"role.died"}
        expected, was = [], 0
        for jump in [*jumps, 0]:
            machine.jump(jump)
            expected.append(jump - was)
            was = jump
            is_idle(world, jump)
            said = jumps_in_log(g, len(expected))
            assert len(said) == len(expected), said
            assert all(abs(a - b) <= 1 for a, b in zip(said, expected)), said
            assert probe(g.port, to="box@example.net") == 250
            assert off(received(take_mail(g)[0]), jump) < 60
            if jump == jumps[-1]:
                begin = time.time()
                world.book.kills.append(("queue", *g.kill9("queue")))
                world.wait_attempts(1, after=begin)
                world.no_storm(begin)
        assert len(jumps_in_log(g, 1)) == len(expected), "said again"
        world.finish()


@needs_processes
@pytest.mark.parametrize("jump", JUMPS if LONG else [-YEARS])
def test_dates_after_a_jump(make_godwit, sink, jump):
    """Of what is delivered, of reports, and how long it says that it is up."""
    with Machine() as machine:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=machine.env)
        sink.reply_to("nobody@refused.example", "550 5.1.1 no such user")
        g.wait_log("config.loaded")  # all are up: a jump in the midst of a start is another matter
        machine.jump(jump)
        g.wait_log("clock.jumped")
        with Client(g.port) as client:
            client.hello()
            for to in ("box@example.net", "nobody@refused.example"):
                client.message("back@example.net", [to], simple_message())
        mail = {field(text, "Delivered-To"): text for text in take_mail(g, 2)}
        assert off(received(mail["box@example.net"]), jump) < 60
        report = mail["back@example.net"]
        assert off(field(report, "Date"), jump) < 60
        assert off(field(report, "Arrival-Date"), jump) < 60
        status = g.status()
        assert abs(iso(status["now"]) - time.time() - jump) < 60
        up = [iso(status["now"]) - iso(p["started"]) for p in status["processes"]]
        assert all(-1 < seconds < 60 for seconds in up), up


@needs_processes
@pytest.mark.parametrize("jump", JUMPS if LONG else [YEARS, -YEARS])
def test_clock_jumps_between_two_lives(make_godwit, jump):
    """The next start believes the wall clock: mail is tried, not sent back, and does not wait for
    the years to come round."""
    with Sink() as sink, Machine() as machine:
        world = Deferred(make_godwit, sink, machine)
        assert world.g.stop() == 0
        begin = time.time()
        machine.jump(jump)
        world.g.start()
        world.wait_attempts(2, after=begin)
        world.no_storm(begin)
        back = world.g.log_lines("clock.jumped")
        assert len(back) == (jump < 0), back
        recovered = world.g.log_lines("spool.recovered")[-1]
        assert abs(float(recovered["silent"]) - jump) < 60
        world.finish()
