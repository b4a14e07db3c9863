"""ETRN (RFC 1985): a host that was away asks, its mail is tried at once, and nobody else learns
what waits."""

import smtplib
import subprocess
import time

import pytest

from conftest import end_of_godwit, needs_processes
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink
from peers.zones import Zones

ALICE = "alice@example.net"
FETCHMAIL = ports.REPO / "build" / "peers" / "fetchmail" / "usr" / "bin" / "fetchmail"
INSIDE, OUTSIDE = "127.3.0.1", "127.4.0.1"

ZONES = {
    "x.test": "@ MX 10 mx\n mx A 127.0.1.1\n deep MX 10 mx",
    "many.test": "".join(f"d{i} MX 10 mx\n" for i in range(30)) + "mx A 127.0.1.2\n"
                 "gone MX 10 nobody\n nobody A 127.0.1.8",
    "own.test": "deep MX 10 mx\n mx A 127.0.1.9",
    "group.test": "@ MX 10 mx\n mx A 127.0.1.3",
    "slow.test": "@ MX 10 mx\n mx A 127.0.1.4",
    "after.test": "@ MX 10 mx\n mx A 127.0.1.5",
    "crash.test": "@ MX 10 mx\n mx A 127.0.1.6",
    "pulled.test": "@ MX 10 mx\n mx A 127.0.1.7",
    "asked.test": "@ MX 10 mx\n mx A 127.0.1.8",
}

RULES = """
etrn x.test *.x.test own.test shared.test asked.test slow.test after.test crash.test *.many.test from 127.3.0.0/16
etrn empty.test pulled.test from 127.0.0.1
etrn "#nightly" "#nothing" account gate
shape nightly { domain group.test; retry 1h; expire 1d }
"""


class Away:
    """Godwit, and hosts that are not there yet: each at its port of 127.0.1.N."""

    def __init__(self):
        self.zones = Zones(ZONES).start()
        self.port = ports.free_everywhere()
        self.relay = {name: ports.free_port() for name in ("own", "shared")}
        self.sinks = []
        routes = (f"route to domain own.test via relay 127.0.0.1:{self.relay['own']}\n"
                  f"route to domain shared.test via relay 127.0.0.1:{self.relay['shared']}\n"
                  f"route to domain other.test via relay 127.0.0.1:{self.relay['shared']}\n"
                  f"route to any via mx port {self.port} private\n")
        self.g = godwit_peer.Godwit(
            retry="1h", expire="1d", extra=self.zones.config() + routes + RULES,
            listeners={"sub": "submission {auth plaintext; tls off}"},
            users={"gate": "gate secret"})
        self.g.start()

    def host(self, number):
        self.sinks.append(Sink(host=f"127.0.1.{number}", port=self.port).start())
        return self.sinks[-1]

    def relay_host(self, name):
        self.sinks.append(Sink(port=self.relay[name]).start())
        return self.sinks[-1]

    def queue(self, to, count=1):
        """Messages of which at least one was tried in vain, and none is on its way."""
        before = len(self.g.log_lines("deferred"))
        with Client(self.g.port) as client:
            client.hello()
            for i in range(count):
                assert client.message(ALICE, [to], simple_message(f"{to}-{i}"))[0] == 250

        def at_rest():
            states = [r["state"] for m in self.g.queue(f"domain:{to.partition('@')[2]}")
                      for r in m["recipients"]]
            return (len(self.g.log_lines("deferred")) > before and len(states) >= count
                    and not set(states) - {"deferred", "ready", "held"})

        ports.wait_for(at_rest, 20, what=f"a failure of {to}")

    def close(self):
        for sink in self.sinks:
            sink.stop()
        problems = end_of_godwit(self.g)
        self.g.close()
        self.zones.stop()
        assert not problems, problems


@pytest.fixture(scope="module")
def away():
    a = Away()
    a.g.expected_alarms = set()
    yield a
    a.close()


def ask(away, what, source=INSIDE):
    with Client(away.g.port, source=source) as client:
        client.hello()
        return client.cmd(f"ETRN {what}")


def test_a_domain(away):
    """The check of requirements row C9."""
    away.queue("bob@x.test", 5)
    stranger = ask(away, "x.test", OUTSIDE)
    assert stranger == (459, "4.7.1 Node x.test not allowed: not for this client")
    sink = away.host(1)
    asked = time.time()
    assert ask(away, "X.test") == (253, "2.0.0 OK, 5 pending messages for node x.test started")
    sink.wait(5)
    # Within a second on a machine that is its own; without the command it would be an hour.
    assert max(m.time for m in sink.messages) - asked < 5
    # The queue hears of it from its sender.
    ports.wait_for(lambda: ask(away, "x.test")[0] != 252, what="an end of the run")
    assert ask(away, "x.test") == (251, "2.0.0 OK, no messages waiting for node x.test")


def test_and_all_below(away):
    """The domain and the names below it; each of both alone is less. Its host is there by now."""
    away.queue("bob@slow.test", 1)  # not asked for
    away.queue("bob@d1.many.test", 2)
    away.queue("bob@d2.many.test", 1)
    assert ask(away, "@many.test")[0] == 459  # the names below, yes; many.test itself, no
    assert ask(away, "d1.many.test")[1].startswith("2.0.0 OK, 2 pending")
    away.queue("bob@deep.own.test", 1)
    assert ask(away, "@own.test")[0] == 459
    sink = away.host(2)
    assert ask(away, "d2.many.test")[0] == 253
    sink.wait(1)


def test_within_a_minute(away):
    """It was asked for a moment ago, in vain: it is not tried faster by asking again."""
    away.queue("bob@gone.many.test", 1)
    assert ask(away, "gone.many.test")[1].startswith("2.0.0 OK, 1 pending")
    for _ in range(2):
        assert ask(away, "gone.many.test") == (
            252, "2.0.0 OK, pending messages for node gone.many.test started a moment ago")


def test_a_smarthost_of_its_own(away):
    away.queue("bob@own.test", 2)
    sink = away.relay_host("own")
    assert ask(away, "own.test")[1] == "2.0.0 OK, 2 pending messages for node own.test started"
    sink.wait(2)


def test_a_shared_smarthost_tells_no_number(away):
    """What waits there may be somebody else's: neither how much nor whether."""
    assert ask(away, "shared.test") == (250, "2.0.0 OK, queuing for node shared.test started")
    away.queue("bob@other.test", 3)
    sink = away.relay_host("shared")
    assert ask(away, "shared.test") == (250, "2.0.0 OK, queuing for node shared.test started")
    sink.wait(3, timeout=5)  # the host is there: what else is for it goes, too


def test_a_group_by_account(away):
    """Nobody asks for a group but who logged in with that name."""
    away.queue("bob@group.test", 2)
    assert ask(away, "#nightly")[0] == 459
    sink = away.host(3)
    with smtplib.SMTP("127.0.0.1", away.g.ports["sub"], source_address=(OUTSIDE, 0)) as s:
        s.ehlo()
        assert not s.has_extn("etrn")
        assert s.docmd("ETRN", "#nightly")[0] == 459
        s.login("gate", "gate secret")
        s.ehlo()
        assert s.has_extn("etrn")
        assert s.docmd("ETRN", "#nothing")[0] == 251
        assert s.docmd("ETRN", "x.test")[0] == 459
        assert s.docmd("ETRN", "#nightly") == (
            253, b"2.0.0 OK, 2 pending messages for node #nightly started")
    sink.wait(2)


def test_offered_to_who_may(away):
    for source, offered in ((INSIDE, True), (OUTSIDE, False)):
        with Client(away.g.port, source=source) as client:
            assert ("ETRN" in client.hello()[1].split("\n")) == offered


def test_paused_by_an_operator(away):
    """Who may ask hears why; who may not hears what he always does."""
    away.queue("bob@after.test", 2)
    away.g.cli("queue", "pause", "mx mx.after.test", "--reason", "their disk is full")
    reply = ask(away, "after.test")
    assert reply[0] == 458
    assert reply[1].startswith("4.3.0 Unable to queue messages for node after.test: paused (")
    assert "their disk is full" in reply[1]
    assert ask(away, "after.test", OUTSIDE)[0] == 459
    sink = away.host(5)
    away.g.cli("queue", "resume", "mx mx.after.test")
    assert ask(away, "after.test")[0] in (253, 252)
    sink.wait(2)


def test_held_mail_stays(away):
    """What an operator holds is not counted, and does not go."""
    away.queue("bob@slow.test", 2)
    ids = [m["id"] for m in away.g.queue("domain:slow.test")]
    away.g.cli("queue", "hold", ids[0])
    sink = away.host(4)
    reply = ask(away, "slow.test")
    assert reply[1] == f"2.0.0 OK, {len(ids) - 1} pending messages for node slow.test started"
    sink.wait(len(ids) - 1)
    ports.wait_for(lambda: ask(away, "slow.test")[0] == 251, what="an end of the run")
    assert len(sink.accepted()) == len(ids) - 1


@needs_processes
def test_after_a_crash_of_the_queue(away):
    """What was at rest is found again, whoever read it."""
    away.queue("bob@crash.test", 3)
    away.g.expected_alarms |= {"role.died"}
    away.g.kill9("queue")
    ports.wait_for(lambda: ask(away, "d8.many.test")[0] == 251, 10, what="a queue again")
    sink = away.host(6)
    assert ask(away, "crash.test")[1] == "2.0.0 OK, 3 pending messages for node crash.test started"
    sink.wait(3)


def test_fetchmail(away):
    """A client that people use for it."""
    away.queue("bob@pulled.test", 2)
    sink = away.host(7)
    folder = ports.scratch("fetchmail-")
    rc = folder / "rc"
    rc.write_text(f"poll 127.0.0.1 protocol ETRN service {away.g.port} "
                  "fetchdomains pulled.test empty.test\n")
    rc.chmod(0o600)
    done = subprocess.run([FETCHMAIL, "-f", rc, "-v", "--nodetach", "--nosyslog",
                           "--pidfile", folder / "pid"],
                          env={"LC_ALL": "C", "FETCHMAILHOME": str(folder), "PATH": "/usr/bin"},
                          capture_output=True, text=True, timeout=20)
    ports.discard(folder)
    said = [line.partition("ETRN< ")[2] for line in done.stdout.splitlines() if "ETRN< " in line]
    assert said == ["253 2.0.0 OK, 2 pending messages for node pulled.test started",
                    "251 2.0.0 OK, no messages waiting for node empty.test"], done.stdout
    assert "Pending messages for pulled.test started" in done.stdout, done.stdout
    sink.wait(2)


def msmtp(away, what, source):
    return subprocess.run(
        ["msmtp", f"--rmqs={what}", "--host=127.0.0.1", f"--port={away.g.port}", "--tls=off",
         "--domain=m.test", f"--source-ip={source}", "--file="], capture_output=True, text=True,
        timeout=20)


def test_msmtp(away):
    """Its Remote Message Queue Starting is ETRN. It says nothing when all went well."""
    away.queue("bob@asked.test", 2)
    refused = msmtp(away, "asked.test", OUTSIDE)  # it is not even offered there
    assert refused.returncode == 69 and "does not support Remote Message Queue" in refused.stderr
    refused = msmtp(away, "other.test", INSIDE)
    assert refused.returncode == 69
    assert "server message: 459 4.7.1 Node other.test not allowed" in refused.stderr
    sink = away.host(8)
    done = msmtp(away, "asked.test", INSIDE)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    sink.wait(2)
    assert msmtp(away, "@asked.test", INSIDE).returncode == 69  # not what is below it
    assert msmtp(away, "#nightly", INSIDE).returncode == 69
