"""What operators do with selections and groups: held, dropped and tried by query; paused, slowed and
resumed, under load and over deaths; hosts that are known to be bad; and the class of a message."""

import os
import subprocess
import time

import pytest

from conftest import needs_processes
from peers import ledger, ports
from peers.client import Client, simple_message
from peers.godwit import PROGRAM, make_config
from peers.limits import far
from peers.sink import Sink

LONG = os.environ.get("GODWIT_LONG") == "1"


def send(g, *rcpts, sender="a@sender.test", message=None, port=None):
    with Client(port or g.port) as client:
        client.hello()
        code, text = client.message(sender, list(rcpts), message or simple_message())
        assert code == 250
        return text.split()[-1]


def states(g):
    return {r["to"]: r["state"] for row in g.queue() for r in row["recipients"]}


@pytest.fixture
def stuck(make_godwit, sink):
    sink.reply_at("rcpt", "451 4.3.0 come back later")
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1h", expire="4d")
    g.ids = [send(g, "u0@example.org", "v0@example.com"), send(g, "u1@example.org"),
             send(g, "u2@example.com", sender="b@other.test")]
    g.wait_log("deferred", count=4)
    return g


# ---- selections --------------------------------------------------------------------------------


def test_dry_run_changes_nothing(stuck):
    before = states(stuck)
    for verb, query, n in (("drop", "domain:example.org", 2), ("hold", "to:u", 3),
                           ("retry", "from:b@other.test", 1), ("release", "all", 0),
                           ("drop", "all", 4), ("drop", stuck.ids[0], 2),
                           ("drop", "class:normal state:deferred", 4), ("drop", "class:high", 0)):
        text = stuck.cli("queue", verb, *query.split(), "--dry-run")
        assert text.startswith(f"would {verb} {n} recipient"), (verb, query, text)
    assert stuck.cli("queue", "drop", "all", "--dry-run", json_output=True) == [{"matched": 4}]
    assert states(stuck) == before
    assert not stuck.log_lines("admin.command")


def test_drop_by_query(stuck):
    stuck.cli("queue", "drop", "domain:example.org", "--yes")
    assert sorted(a for a, s in states(stuck).items() if s == "deferred") == \
        ["u2@example.com", "v0@example.com"]
    # without a terminal nobody can say yes
    done = subprocess.run([PROGRAM, "--config", str(stuck.config_path), "queue", "drop", "to:u2"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and "nothing was dropped (1 recipient" in done.stderr
    assert states(stuck)["u2@example.com"] == "deferred"


def test_retry_by_query(stuck, sink):
    sink.heal()
    assert stuck.cli("queue", "retry", "from:other.test") == "retried: 1 recipient\n"
    assert [m.rcpts for m in sink.wait()] == [["u2@example.com"]]
    ports.wait_for(lambda: "u2@example.com" not in states(stuck), 10, what="its result")
    assert sorted(states(stuck)) == ["u0@example.org", "u1@example.org", "v0@example.com"]


@needs_processes
def test_hold_outlives_kill_and_is_released(stuck, sink):
    assert stuck.cli("queue", "hold", "domain:example.org") == "held: 2 recipients\n"
    sink.heal()
    stuck.kill9_all()
    stuck.start()
    stuck.cli("queue", "retry", "all")
    assert sorted(sum((m.rcpts for m in sink.wait(2)), [])) == ["u2@example.com", "v0@example.com"]
    time.sleep(0.5)
    assert states(stuck)["u1@example.org"] == "held"
    assert "2 recipients are held" in stuck.cli("queue")
    assert stuck.cli("queue", "release", "to:u1") == "released: 1 recipient\n"
    assert sink.wait(3)[2].rcpts == ["u1@example.org"]
    stuck.cli("queue", "release", stuck.ids[0])
    assert sorted(sum((m.rcpts for m in sink.wait(4)), [])) == \
        ["u0@example.org", "u1@example.org", "u2@example.com", "v0@example.com"]
    stuck.wait_idle(5)
    assert [line["selection"] for line in stuck.log_lines("admin.command", command="queue.hold")] \
        == ["domain:example.org"]


WRONG = [
    (["hold"], 64, "wants an id"),
    (["drop", "colour:blue", "--yes"], 64, "column 1"),
    (["drop", "to:x", "class:urgent", "--yes"], 64, 'column 6: "class:urgent" is no class'),
    (["hold", "to:"], 64, "nothing behind the colon"),
    (["hold", "to:a", "to:b"], 64, "said already"),
    (["hold", 'group:"x'], 64, "quote"),
    (["hold", "state:blue"], 64, "is no state"),
    (["hold", "u0@example.org"], 64, "is no id"),
    (["hold", "one", "two"], 64, "neither one id nor a query"),
    (["pause"], 64, "wants a group"),
    (["slow", "*"], 64, "a rate like 10/m"),
    (["slow", "*", "fast"], 64, "10/m"),
    (["slow", "*", "0/s"], 64, "10/m"),
    (["pause", "nowhere"], 66, "no group 'nowhere'"),
    (["resume", "nowhere"], 66, "no group 'nowhere'"),
    (["pause", "all", "--for", "soon"], 64, "a time like"),
    (["pause", "all", "--dry-run"], 64, "no --dry-run"),
    (["list", "--for", "5m"], 64, "no --for"),
    (["rules", "all"], 64, "takes no word"),
    (["hosts", "--clear", "192.0.2.77"], 66, ""),
    (["frobnicate"], 64, "pause"),
]


@pytest.mark.parametrize(("words", "code", "text"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_wrong_input(relay, words, code, text):
    done = relay.run("queue", *words)
    assert '{"' not in done.stderr, "what the socket wants is no advice for the command line"
    assert done.returncode == code, done
    assert text in done.stderr
    assert relay.cli("queue", "rules") == "nothing is paused or slowed\n"


# ---- groups ------------------------------------------------------------------------------------


def rules(g):
    return g.cli("queue", "rules", json_output=True)[0]["rules"]


@needs_processes
def test_pause_and_resume_under_load(make_godwit):
    """Nothing goes while it is paused, over the death of the queue too; nothing is lost."""
    book = ledger.Ledger()
    with Sink(on_message=book.arrived) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        load = ledger.Load(book, g.port, sessions=4, recipients=far, most=400).start()
        ports.wait_for(lambda: len(sink.messages) > 20, 10, what="the first messages")
        g.cli("queue", "pause", "all", "--reason", "a look at it")
        time.sleep(0.5)
        before = len(sink.messages)
        load.join()
        time.sleep(0.5)
        assert len(sink.messages) == before
        g.expected_alarms.add("role.died")
        g.kill9("queue")
        ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="a new queue")
        g.cli("queue", "retry", "all")
        time.sleep(1)
        assert len(sink.messages) == before
        (rule,) = rules(g)
        assert (rule["kind"], rule["group"], rule["reason"]) == ("pause", "all", "a look at it")
        assert rule["owner"].startswith("uid=") and "until" not in rule
        table = g.cli("queue")
        assert "paused" in table and "a look at it" in table
        g.cli("queue", "resume", "all")
        ports.wait_for(lambda: not book.missing(), 30, what="all mail")
        g.wait_idle()
        assert rules(g) == []
        assert [line["command"] for line in g.log_lines("admin.command")][:1] == ["queue.pause"]


def test_pause_one_destination(make_godwit, sink):
    """By the name the summary shows, whose group has another one; others go on."""
    with Sink() as other:
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port), retry="1h")
        text = make_config(g.port, g.folder, relay=("127.0.0.1", sink.port), retry="1h")
        route = f"route to domain one.example via relay 127.0.0.1:{other.port}"
        g.write_config(text.replace("route to any", route + "\nroute to any").replace(
            "shape *", "shape some { domain one.example; connections 2 }\nshape *"))
        g.start()
        other.reply_at("rcpt", "451 4.3.0 come back later")
        send(g, "x@one.example")
        g.wait_log("deferred")
        other.heal()
        names = {row["group"]: row["site"] for row in g.api("/v1/queue")[1]["sites"]}
        text = g.cli("queue", "pause", *names["some"].split(), "--reason", "only here")
        assert text.startswith(f"paused: {names['some']}")
        g.cli("queue", "retry", "all")
        send(g, "y@elsewhere.example")
        sink.wait()
        time.sleep(0.5)
        assert not other.messages
        (row,) = [r for r in g.api("/v1/queue")[1]["sites"] if r["group"] == "some"]
        assert row["state"] == "paused" and "only here" in row["why"]
        g.cli("queue", "resume", names["some"])
        other.wait()


def test_pause_ends_by_itself(relay, sink):
    begin = time.time()
    relay.cli("queue", "pause", "*", "--for", "2s")
    send(relay, "x@example.org")
    sink.wait(timeout=20)
    assert time.time() - begin > 1.9
    assert relay.cli("queue", "rules") == "nothing is paused or slowed\n"


@needs_processes
def test_orders_outlive_all(relay, sink):
    """Written before they are answered; and taken back for good."""
    relay.cli("queue", "pause", "*", "--for", "1h", "--reason", "they asked")
    relay.cli("queue", "slow", "all", "5/m")
    relay.kill9_all()
    relay.start()
    send(relay, "x@example.org")
    time.sleep(1)
    assert not sink.messages
    assert sorted((r["kind"], r["group"]) for r in rules(relay)) == \
        [("pause", "*"), ("slow", "all")]
    relay.cli("queue", "resume", "all")
    sink.wait()
    relay.kill9_all()
    relay.start()
    assert rules(relay) == []


def test_slow(relay, sink):
    """Ten in an interval of two seconds, and no more."""
    begin = time.time()
    relay.cli("queue", "slow", "*", "10/2s", "--for", "1h")
    for n in range(40):
        send(relay, f"u{n}@example.org")
    sink.wait(31, timeout=20)
    assert time.time() - begin > 5
    relay.cli("queue", "resume", "*")
    sink.wait(40, timeout=10)


def test_bad_hosts(make_godwit):
    port = ports.free_port()
    g = make_godwit(relay=("127.0.0.1", port), retry="1h")
    send(g, "x@example.org")
    g.wait_log("deferred")
    (host,) = g.cli("queue", "hosts", json_output=True)[0]["hosts"]
    assert host["address"] == "127.0.0.1" and host["failures"] == 1
    assert "127.0.0.1" in g.cli("queue", "hosts")
    assert g.cli("queue", "hosts", "--clear", "127.0.0.1") == "forgotten: 1 host\n"
    assert g.cli("queue", "hosts") == "no host is known to be bad\n"


# ---- classes -----------------------------------------------------------------------------------


@pytest.fixture
def classes(make_godwit):
    """A slow sink, and a listener for each class. connections 4, half a second for a message."""
    with Sink(dot_delay=0.5) as slow:
        g = make_godwit(relay=("127.0.0.1", slow.port), connections=4, retry="1h", expire="4d",
                        listeners={"bulk": "mx { priority bulk }", "high": "mx { priority high }"})
        g.sink = slow
        yield g


def test_class_of_a_message(classes):
    classes.cli("queue", "pause", "all")
    ids = {
        "normal": send(classes, "a@example.org"),
        "bulk": send(classes, "b@example.org", port=classes.ports["bulk"]),
        "high": send(classes, "c@example.org", port=classes.ports["high"]),
    }
    urgent = send(classes, "d@example.org", message="Priority: urgent\r\n" + simple_message())
    lists = send(classes, "e@example.org", message="List-Id: <l.test>\r\n" + simple_message(),
                 port=classes.ports["high"])
    for word, got in [*ids.items(), ("high", urgent), ("bulk", lists)]:
        assert classes.log_lines("accepted", id=got)[0]["class"] == word
        assert f"class {word}" in classes.cli("queue", "show", got)
    assert sorted(r["id"] for r in classes.queue("class:high")) == sorted([ids["high"], urgent])
    classes.cli("queue", "resume", "all")
    classes.wait_idle(20)


def backlog(g, port, count):
    done = subprocess.run([PROGRAM, "bench", "source", f"127.0.0.1:{port}", "--messages",
                           str(count), "--sessions", "20", "--per-session", "500",
                           "--to", "b@example.org"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def started(sink, address, timeout=30):
    """When RCPT for it came."""
    return ports.wait_for(
        lambda: next((at for at, to, _ in list(sink.rcpt_attempts) if to == address), None),
        timeout, 0.01, what=f"a transaction for {address}")


@pytest.mark.parametrize(("class_", "bound"), [("bulk", 0.25), ("normal", 1.5)])
def test_high_behind_a_backlog(classes, class_, bound):
    """Behind bulk mail it goes on the connection that is kept: at once. Behind normal mail at the
    end of a message (half a second and its dialogue), or of the one after that."""
    count = 100000 if LONG else 3000
    port = classes.ports["bulk"] if class_ == "bulk" else classes.port
    backlog(classes, port, count)
    ports.wait_for(lambda: classes.sink.messages, 10, what="the first message")
    waits = []
    for n in range(8):
        begin = time.time()
        send(classes, f"high{n}@example.org", port=classes.ports["high"])
        waits.append(started(classes.sink, f"high{n}@example.org") - begin)
        time.sleep(1.2)
    queued = classes.queued()
    print(f"high behind {queued} {class_} ({count} were sent), 0.5 s for a message, 4 connections: "
          f"started after {max(waits):.3f} s at most, {sorted(waits)[4]:.3f} s as a rule")
    assert queued > count / 2
    assert sorted(waits)[-2] < bound + 0.3, waits
    assert classes.sink.most_sessions <= 4
