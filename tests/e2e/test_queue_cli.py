"""The operator's commands against a running server whose mail cannot leave."""

import subprocess
import time

import pytest

from peers import ports
from peers.client import Client, simple_message


@pytest.fixture
def stuck(make_godwit, sink):
    """A server with three deferred messages; retry is an hour away. stuck.ids: their ids."""
    sink.reply_at("rcpt", "451 4.3.0 come back later")
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1h", expire="4d")
    g.ids = []
    with Client(g.port) as client:
        client.hello()
        for n, domain in enumerate(("example.org", "example.org", "example.com")):
            code, text = client.message("a@sender.test", [f"u{n}@{domain}"], simple_message())
            assert code == 250
            g.ids.append(text.split()[-1])
    g.wait_log("deferred", count=3)
    return g


def row_ids(g, *query):
    return sorted(row["id"] for row in g.queue(*query))


def test_summary(stuck):
    text = stuck.cli("queue")
    assert "TOTAL" in text and "3" in text
    assert "451 4.3.0" in text
    assert stuck.cli("queue", json_output=True)


def test_list(stuck):
    assert row_ids(stuck) == sorted(stuck.ids)
    text = stuck.cli("queue", "list")
    for n in range(3):
        assert f"u{n}@example." in text
    assert row_ids(stuck, "domain:example.com") == [stuck.ids[2]]
    assert row_ids(stuck, "to:u1@example.org") == [stuck.ids[1]]
    assert row_ids(stuck, "to:nobody@example.org") == []


def test_wrong_query_is_an_error(stuck):
    done = stuck.run("queue", "list", "colour:blue")
    assert done.returncode == 64 and "column 1" in done.stderr


def test_show(stuck):
    text = stuck.cli("queue", "show", stuck.ids[0])
    for word in (stuck.ids[0], "u0@example.org", "a@sender.test", "451", "come back later"):
        assert word in text
    assert stuck.cli("queue", "show", stuck.ids[0], json_output=True)[0]["id"] == stuck.ids[0]
    done = stuck.run("queue", "show", "01JD7ZN3V800000000000000AA")
    assert done.returncode == 66 and done.stderr


def test_retry_one_and_all(stuck, sink):
    sink.heal()
    stuck.cli("queue", "retry", stuck.ids[1])
    assert [m.rcpts for m in sink.wait()] == [["u1@example.org"]]
    time.sleep(0.5)
    assert len(sink.messages) == 1
    ports.wait_for(lambda: row_ids(stuck) == sorted(stuck.ids[::2]), 5, what="one gone")
    stuck.cli("queue", "retry", "all")
    assert len(sink.wait(3)) == 3
    stuck.wait_idle(5)


def test_drop(stuck, sink):
    stuck.cli("queue", "drop", stuck.ids[0], "--yes")
    assert row_ids(stuck) == sorted(stuck.ids[1:])
    assert stuck.log_lines("dropped", id=stuck.ids[0])
    assert stuck.log_lines("admin.command")
    # nobody to ask: nothing is dropped without --yes
    done = subprocess.run([*stuck.command()[:3], "queue", "drop", "all"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert row_ids(stuck) == sorted(stuck.ids[1:])
    stuck.cli("queue", "drop", "all", "--yes")
    assert stuck.queue() == []
    sink.heal()
    time.sleep(0.5)
    assert not sink.messages and not stuck.mail()


def test_drop_is_durable(stuck):
    stuck.cli("queue", "drop", stuck.ids[0], "--yes")
    stuck.kill9_all()
    stuck.start()
    assert row_ids(stuck) == sorted(stuck.ids[1:])


def test_queue_is_the_same_after_restart(stuck, sink):
    before = row_ids(stuck)
    stuck.restart()
    assert row_ids(stuck) == before
    sink.heal()
    stuck.cli("queue", "retry", "all")
    assert len(sink.wait(3)) == 3


def test_status(stuck):
    assert "mx.test" in stuck.cli("status") or stuck.cli("status")
    status = stuck.status()
    assert isinstance(status, dict) and status


def test_daemon_down(make_godwit):
    g = make_godwit(start=False)
    for words in (["queue"], ["queue", "list"], ["status"]):
        assert g.run(*words).returncode == 69


@pytest.mark.parametrize("words", [["frobnicate"], ["queue", "frobnicate"], ["queue", "show"],
                                   ["--bogus", "status"], ["serve", "--bogus"]])
def test_usage_errors(make_godwit, words):
    done = make_godwit(start=False).run(*words)
    assert done.returncode == 64 and done.stderr
