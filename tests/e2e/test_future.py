"""FUTURERELEASE (RFC 4865): mail that is sent later, through kills, and whoever would hurry it."""

import datetime
import re
import time

import pytest

from conftest import end_of_godwit, needs_processes
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink

ALICE = "alice@example.net"


@pytest.fixture(scope="module")
def later():
    """A Godwit with a submission listener and one for relay, and a smarthost that offers it too."""
    with Sink(extensions=("PIPELINING", "SIZE 104857600", "FUTURERELEASE 86400 2099-01-01T00:00:00Z",
                          "ENHANCEDSTATUSCODES")) as sink:
        g = godwit_peer.Godwit(
            relay=("127.0.0.1", sink.port),
            listeners={"sub": "submission {tls off}", "day": "relay {tls off; auth off; future-release 1d}",
                       "none": "submission {tls off; name none; future-release off}"})
        g.sink = sink
        g.expected_alarms = set()
        g.start()
        yield g
        problems = end_of_godwit(g)
        g.close()
    assert not problems, problems


def submit(g, parameter="", to="bob@far.test", listener="sub", subject="later"):
    """The reply to MAIL, or that to the message, and when that was."""
    with Client(g.ports[listener]) as client:
        client.hello()
        reply = client.message(ALICE, [to], simple_message(subject), f" {parameter}" if parameter else "")
        return reply, time.time()


def arrivals(g, to):
    return [m.time for m in g.sink.accepted() if to in m.rcpts]


def utc(when):
    return datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_offered(later):
    with Client(later.ports["sub"]) as client:
        words = re.search(r"^FUTURERELEASE (\d+) (\S+)$", client.hello()[1], re.M)
        assert words[1] == str(7 * 86400)
        most = datetime.datetime.fromisoformat(words[2].replace("Z", "+00:00")).timestamp()
        assert abs(most - time.time() - 7 * 86400) < 5
    with Client(later.ports["day"]) as client:
        assert "FUTURERELEASE 86400 " in client.hello()[1]
    for port in (later.port, later.ports["none"]):
        with Client(port) as client:
            assert "FUTURERELEASE" not in client.hello()[1]
            assert client.cmd(f"MAIL FROM:<{ALICE}> HOLDFOR=60")[0] == 555


def test_for_so_long(later):
    reply, at = submit(later, "HOLDFOR=2", to="for@far.test")
    assert reply[0] == 250
    now = submit(later, to="now@far.test")[1]
    ports.wait_for(lambda: arrivals(later, "now@far.test"), 5, what="mail of now")
    later.cli("queue", "retry", "all")
    rows = later.queue("to:for@far.test")
    assert rows and rows[0]["recipients"][0]["state"] == "scheduled", rows
    assert "scheduled" in later.cli("queue", "list")
    ports.wait_for(lambda: arrivals(later, "for@far.test"), 5, what="mail of later")
    assert 1.9 <= arrivals(later, "for@far.test")[0] - at < 3.5
    assert arrivals(later, "now@far.test")[0] - now < 1


def test_not_passed_on(later):
    """RFC 4865 is for submission: it goes when its time has come, and says no more of it."""
    submit(later, "HOLDFOR=1", to="plain@far.test")
    ports.wait_for(lambda: arrivals(later, "plain@far.test"), 5, what="mail of later")
    message = [m for m in later.sink.accepted() if "plain@far.test" in m.rcpts][0]
    assert not [p for p in message.mail_params if p.upper().startswith("HOLD")]


def test_until(later):
    when = int(time.time()) + 3
    assert submit(later, f"HOLDUNTIL={utc(when)}", to="until@far.test", listener="day")[0][0] == 250
    ports.wait_for(lambda: arrivals(later, "until@far.test"), 6, what="mail of then")
    assert when <= arrivals(later, "until@far.test")[0] < when + 1.5


def test_refused(later):
    for parameter in ("HOLDFOR=86401", f"HOLDUNTIL={utc(time.time() + 90000)}",
                      f"HOLDUNTIL={utc(time.time() - 5)}", "HOLDFOR=5 HOLDUNTIL=" + utc(time.time() + 50)):
        assert submit(later, parameter, listener="day")[0][0] == 501, parameter


def test_an_operator_lets_it_go(later):
    assert submit(later, "HOLDFOR=3600", to="release@far.test")[0][0] == 250
    identity = later.queue("to:release@far.test")[0]["id"]
    assert "scheduled" in later.cli("queue", "show", identity)
    later.cli("queue", "release", identity)
    ports.wait_for(lambda: arrivals(later, "release@far.test"), 5, what="what was released")


def test_and_drops_it(later):
    assert submit(later, "HOLDFOR=3600", to="drop@far.test")[0][0] == 250
    later.cli("queue", "drop", "to:drop@far.test", "--yes")
    assert not later.queue("to:drop@far.test")


def test_a_report_tells_what_was_asked_for(later):
    when = int(time.time()) + 1
    with Client(later.ports["sub"]) as client:
        client.hello()
        assert client.cmd(f"MAIL FROM:<{ALICE}> HOLDUNTIL={utc(when)}")[0] == 250
        assert client.cmd("RCPT TO:<bob@example.net> NOTIFY=SUCCESS")[0] == 250
        assert client.data(simple_message("later"))[0] == 250
    reports = ports.wait_for(lambda: [p for p in later.mail() if b"Action: delivered" in p.read_bytes()], 5)
    assert f"\nFuture-Release-Request: until; {utc(when)}\n".encode() in reports[0].read_bytes()


@needs_processes
def test_through_kills(later):
    """kill -9 of all processes, and of the queue, while it waits: not before its time, once."""
    later.expected_alarms |= {"role.died"}
    reply, at = submit(later, "HOLDFOR=5", to="kill@far.test")
    assert reply[0] == 250
    later.kill9_all()
    later.start()
    assert later.queue("to:kill@far.test")[0]["recipients"][0]["state"] == "scheduled"
    later.kill9("queue")
    ports.wait_for(lambda: arrivals(later, "kill@far.test"), 10, what="what waited")
    assert arrivals(later, "kill@far.test")[0] - at >= 4.9
    time.sleep(0.3)
    assert len(arrivals(later, "kill@far.test")) == 1


def test_godwit_send(later):
    server = f"127.0.0.1:{later.ports['sub']}"
    at = time.time()
    later.cli("send", "in@far.test", "--from", ALICE, "--server", server, "--in", "2s")
    later.cli("send", "at@far.test", "--from", ALICE, "--server", server, "--at", utc(at + 3))
    for to, wait in (("in@far.test", 2), ("at@far.test", 2)):
        ports.wait_for(lambda to=to: arrivals(later, to), 8, what=to)
        assert arrivals(later, to)[0] - at >= wait
    done = later.run("send", "no@far.test", "--server", f"127.0.0.1:{later.port}", "--in", "2s")
    assert done.returncode == 2 and "keeps no mail for later" in done.stderr
    assert later.run("send", "no@far.test", "--in", "2s", "--at", utc(at + 60)).returncode == 64
    assert later.run("send", "no@far.test", "--at", "tomorrow").returncode == 64
    assert not arrivals(later, "no@far.test")
