"""Limits on connections: exact over all receivers, and who is let in when places are short."""

import pathlib
import socket
import re
import sys
import threading
import time

import pytest

from conftest import needs_processes

from peers import ports

ATTACKS = pathlib.Path(__file__).resolve().parent.parent / "attacks"
sys.path.insert(0, str(ATTACKS))

import daemon  # noqa: E402


def make(limits, connections=1000, extra=""):
    return daemon.Daemon(limits=limits, connections=connections, extra=extra)


class Client:
    """One connection from this address; .line is what it heard first."""

    def __init__(self, server, source, to="mx", read=True, timeout=10):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", server.ports[to]))
        self.line = self.read() if read else None

    def read(self):
        try:
            return self.sock.recv(4096).decode()
        except ConnectionError:
            return ""

    def say(self, words):
        self.sock.sendall(words.encode() + b"\r\n")
        return self.read()

    def greeted(self):
        return self.line.startswith("220")

    def close(self):
        self.sock.close()


def close_all(clients):
    for c in clients:
        c.close()


def open_many(server, addresses):
    return [Client(server, a) for a in addresses]


def wait_connections(server, count):
    """What is closed is noticed a moment later."""
    def now():
        text = server.godwit.api("/metrics")[1]
        return int(re.search(r"^godwit_connections (\d+)", text, re.M)[1])

    ports.wait_for(lambda: now() == count, 5, what=f"{count} connections")


def test_per_address_over_all_receivers():
    with make("per-ip 10") as s:
        clients = open_many(s, ["127.5.0.1"] * 30)
        heard = [c.line for c in clients]
        assert sum(line.startswith("220") for line in heard) == 10
        assert all(line.startswith("421 4.7.0 Too many connections from your address")
                   for line in heard[10:])
        s.expect_log("127.5.0.1", "reject stage=connect code=421 reason=per_ip_limit")
        other = Client(s, "127.5.0.2")
        assert other.greeted()
        # Each that goes makes room for exactly one.
        for c in clients[:3]:
            c.close()
        wait_connections(s, 8)
        again = open_many(s, ["127.5.0.1"] * 6)
        assert [c.greeted() for c in again] == [True] * 3 + [False] * 3
        close_all(clients + again + [other])
        assert not s.problems()


def test_never_one_too_many_at_the_same_instant():
    """Threads that connect together: the sum of what all receivers let in never is above."""
    with make("per-ip 10") as s:
        for turn in range(5):
            clients, start = [], threading.Barrier(40)

            def one(clients=clients, start=start, address=f"127.6.{turn}.1"):
                start.wait()
                clients.append(Client(s, address))

            threads = [threading.Thread(target=one) for _ in range(40)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert 8 <= sum(c.greeted() for c in clients) <= 10
            close_all(clients)


def test_per_net():
    with make("per-ip 10 per-net 20", extra="trust 127.7.9.0/24") as s:
        clients = open_many(s, [f"127.7.0.{i}" for i in range(1, 31)])
        assert [c.greeted() for c in clients] == [True] * 20 + [False] * 10
        assert "from your network" in clients[-1].line
        s.expect_log("127.7.0.30", "reject stage=connect code=421 reason=per_net_limit")
        near, trusted = Client(s, "127.7.1.1"), open_many(s, [f"127.7.9.{i}" for i in range(1, 31)])
        assert near.greeted() and all(c.greeted() for c in trusted)
        close_all(clients + trusted + [near])


def test_rate():
    """Refused connections do not count: a client always gets its rate."""
    with make("per-ip 50; connection-rate 20/h", extra="trust 127.8.9.1/32") as s:
        def turn(address):
            c = Client(s, address)
            c.close()
            return c

        heard = [turn("127.8.0.1") for _ in range(40)]
        assert [c.greeted() for c in heard] == [True] * 20 + [False] * 20
        assert heard[-1].line.startswith("421 4.7.0 You connect too often")
        s.expect_log("127.8.0.1", "reject stage=connect code=421 reason=connection_rate")
        # The net around it four times as often.
        heard = [turn(f"127.8.0.{i}") for i in range(2, 82)]
        assert sum(c.greeted() for c in heard) == 60
        assert all(turn("127.8.9.1").greeted() for _ in range(40))


def test_total_and_the_reserve():
    """The last places are for trusted clients, who come in at once however full it is."""
    with make("per-ip 100 per-net 100", connections=50, extra="trust 127.9.9.1/32") as s:
        busy = open_many(s, [f"127.9.{i}.1" for i in range(45)])
        assert all(c.greeted() for c in busy)
        # Nobody has been idle for long: there is no room for strangers.
        stranger = Client(s, "127.9.100.1")
        assert stranger.line.startswith("421 4.7.0 Too many connections")
        s.expect_log("127.9.100.1", "reject stage=connect code=421 reason=connections_limit")
        trusted = open_many(s, ["127.9.9.1"] * 5)
        assert all(c.greeted() for c in trusted)
        trusted[0].close()
        wait_connections(s, 49)
        assert s.good_client("127.9.9.1") < 1
        close_all(busy + trusted)


def test_who_does_nothing_makes_room():
    with make("per-ip 100 per-net 100", connections=50) as s:
        idle = open_many(s, [f"127.10.{i}.1" for i in range(45)])
        time.sleep(2.5)
        # Each receiver has idle ones of its own.
        for i in range(10):
            assert s.good_client(f"127.11.{i}.1") < 1
        gone = [c for c in idle if ended(c)]
        assert 1 <= len(gone) <= 12
        s.read_log()
        reasons = [line.get("reason") for lines in s.lines.values() for line in lines]
        assert reasons.count("idle_under_pressure") == len(gone)
        close_all(idle)


def ended(c):
    c.sock.setblocking(False)
    try:
        return c.sock.recv(100).startswith(b"421 4.3.2")
    except BlockingIOError:
        return False


def test_pressure_ends_the_idle_and_spares_the_busy():
    with make("per-ip 100 per-net 100", connections=20) as s:
        idle = open_many(s, [f"127.12.{i}.1" for i in range(14)])
        busy = open_many(s, [f"127.13.{i}.1" for i in range(4)])
        end = time.monotonic() + 14
        while time.monotonic() < end:
            for c in busy:
                for words in ("EHLO x", "MAIL FROM:<a@example.org>", "RSET"):
                    assert c.say(words).startswith("250")
            time.sleep(2)
        gone = sum(ended(c) for c in idle)
        assert gone >= 3  # enough to be below three quarters
        assert all(c.say("NOOP").startswith("250") for c in busy)
        close_all(idle + busy)


@needs_processes
def test_a_dead_receiver_takes_its_counts_with_it():
    with make("per-ip 10") as s:
        clients = open_many(s, ["127.14.0.1"] * 10)
        assert not Client(s, "127.14.0.1").greeted()
        s.godwit.kill9("smtpd")
        ports.wait_for(lambda: ports.greets(s.godwit.port, ready=True), 10, what="new receivers")
        again = open_many(s, ["127.14.0.1"] * 12)
        assert [c.greeted() for c in again] == [True] * 10 + [False] * 2
        close_all(clients + again)


def test_greet_delay_and_from():
    with make("", extra="trust 127.15.9.1/32") as s:
        begin = time.monotonic()
        assert Client(s, "127.15.0.1", to="slow").greeted()
        assert time.monotonic() - begin >= 0.95

        def trusted():
            assert Client(s, "127.15.9.1", to="slow").greeted()

        def early():
            assert Client(s, "127.15.0.2", to="slow", read=False).say("EHLO x").startswith("554 5.5.0")

        assert ports.quickest(trusted, 0.5) < 0.5
        assert ports.quickest(early, 0.5) < 0.5  # at once, not at the end of the wait
        assert Client(s, "127.200.0.1", to="inside").greeted()
        assert Client(s, "127.201.0.1", to="inside").line.startswith("554 5.7.1")
        s.expect_log("127.201.0.1", "reject stage=connect listener=inside code=554 "
                     f"reason=not_from_here rule={s.godwit.config_path}:4")


@pytest.mark.parametrize("many", [300])
def test_waiting_for_the_greeting_costs_others_nothing(many):
    with make("per-ip 500") as s:
        waiting = [Client(s, f"127.16.{i % 50}.1", to="slow", read=False) for i in range(many)]
        assert s.good_client() < 5
        assert all(c.read().startswith("220") for c in waiting)
        close_all(waiting)
