"""Processes that stand still (SIGSTOP): the others go on, and when it wakes it goes on where it
was: nothing lost, nothing twice, nobody started anew.

    GODWIT_LONG=1     30 s each, else 1.8 s
"""

import contextlib
import os
import signal
import time

import pytest

from conftest import LONG, needs_processes
from peers import ledger, ports
from peers.client import Client
from peers.limits import (acked_between, arrived_between, both, first_ack, greeted, lasting,
                          settle)
from peers.sink import Sink

STOP = 30 if LONG else 1.8
# What a bystander waits at most: nobody may notice for longer than that.
BOUND = min(8.0, 0.7 * STOP)
SESSIONS = 12
# Jobs that the stopped one had: each connection to the sink has one under way.
UNDER_WAY = 20
# Without whom nothing is accepted, and without whom the sessions of one receiver wait.
ALL_WAIT, SOME_WAIT = ("queue", "all"), ("smtpd",)


def pids_to_stop(g, role):
    if role == "master":
        return [g.pid]
    found = lasting(g)
    return sum(found.values(), []) if role == "all" else found[role][:1]


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def longest_wait(load, begin, end):
    """Of each session: the slowest message of those that were under way in this time."""
    worst = {}
    for session, start, seconds in list(load.took):
        if start < end and start + seconds > begin:
            worst[session] = max(worst.get(session, 0), seconds)
    return list(worst.values())


def late(book, begin, end):
    """Messages for elsewhere, taken in this time, that came more than BOUND after their 250."""
    with book.lock:
        fates = list(book.fate.items())
    out = []
    for number, (state, when, _, rcpts) in fates:
        if state == "acked" and begin < when < end - BOUND and rcpts[0].endswith(".org"):
            came = book.arrivals.get((number, rcpts[0]), [])
            if not came or min(came) > when + BOUND:
                out.append(number)
    return out


def check_bystanders(role, load, book, before, begin, end):
    waits = longest_wait(load, begin, end)
    acked, arrived = acked_between(book, begin, end), arrived_between(book, begin, end)
    served = sum(wait < BOUND for wait in waits)
    slow = late(book, begin, end)
    print(f"\n{role}: {len(acked)} taken, {len(arrived)} came, {served} of {len(waits)} sessions "
          f"served, longest wait {max(waits):.2f} s, {len(slow)} late")
    assert len(waits) == SESSIONS
    if role in ALL_WAIT:
        assert not acked and not served
        return
    if role in SOME_WAIT:
        assert 0 < served < SESSIONS or len(before[role]) < 2, "sessions of another process"
    else:
        assert served == SESSIONS, "others wait too"
    if len(before[role]) > 1 or role not in ("smtpd", "sender"):
        assert len(acked) > 20 * STOP and len(arrived) > 10 * STOP, "others wait too"
    assert len(slow) <= (UNDER_WAY if role == "sender" else 0)


@needs_processes
def test_stopped_roles(make_godwit):
    """One after the other, under load; the sessions stay open all the time."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m", connections=UNDER_WAY)
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=SESSIONS, recipients=both, pace=0.05,
                           reuse=10**6, timeout=STOP + 30).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        before = dict(lasting(g), master=[g.pid])
        for role in ("queue", "smtpd", "sender", "mda", "control", "master", "all"):
            with stopped(pids_to_stop(g, role)):
                time.sleep(0.3)  # what was said before it stopped is read
                begin = time.time()
                time.sleep(STOP)
                end = time.time()
            ports.wait_for(lambda: first_ack(book, end), 5, what=f"a 250 after {role}")
            check_bystanders(role, load, book, before, begin, end)
        load.stop()
        settle(g, book, duplicates=False)
        assert dict(lasting(g), master=[g.pid]) == before, "somebody was started anew"


@needs_processes
def test_connections_to_a_stopped_receiver(make_godwit):
    """One of several: each connection is served or waits, none is refused."""
    g = make_godwit(relay=("127.0.0.1", 1))
    if len(g.roles()["smtpd"]) < 2:
        pytest.skip("one processor")
    with contextlib.ExitStack() as stack:
        with stopped(g.roles()["smtpd"][:1]):
            clients = [stack.enter_context(Client(g.port, greet=False)) for _ in range(20)]
            assert 0 < len(greeted(clients, 0.5)) < 20
        assert len(greeted(clients, 5)) == 20
