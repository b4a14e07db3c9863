"""Copying forward: what waits for long does not keep the log long, and is not harmed by it.

A message waits while many segments' worth of others come and go. The log stays short, because what
is alive in its oldest segments is written again at its end; kills while that is done cost nothing.
"""

import json
import random
import subprocess
import time

import pytest

from conftest import assert_same_content, needs_processes
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client

MIB = 1 << 20
STORE = "store { segment 1M; reserve 1M; spares 1 }"
LATER = "later@example.org"


def text_of(name, size, seed):
    rng = random.Random(seed)
    lines = [f"Subject: {name}", "From: <a@example.org>", ""]
    while sum(map(len, lines)) < size:
        lines += [f"{rng.getrandbits(256):064x}" for _ in range(64)]
    return ("\r\n".join(lines) + "\r\n").encode()


def serve(make_godwit, sink):
    sink.reply_to(LATER, "451 4.3.0 not today")
    return make_godwit(relay=("127.0.0.1", sink.port), store=STORE, retry="1h", expire="4d")


def send(g, contents, to):
    with Client(g.port, timeout=30) as client:
        client.hello()
        for content in contents:
            code, text = client.message("a@example.org", [to], content)
            assert code == 250, text


def waiting(g):
    """(id, the only recipient) of every message."""
    return [(message["id"], message["recipients"][0]) for message in g.queue()]


def wait_deferred(g, count):
    def all_tried():
        return len([r for _, r in waiting(g) if r["state"] == "deferred"]) == count

    ports.wait_for(all_tried, 15, 0.1, what=f"{count} deferred recipients")


def segments(g):
    return sorted(int(path.name[4:], 16) for path in (g.folder / "spool").glob("seg-*"))


def traffic(g, octets, pause=0):
    """So much mail comes and is delivered; the most segments there were meanwhile."""
    content = text_of("traffic", MIB // 2, 0)
    most = 0
    for _ in range(octets // len(content)):
        send(g, [content], "box@example.net")
        most = max(most, len(segments(g)))
        time.sleep(pause)
    return most


def wait_moved(g, below, timeout=15):
    """Until no segment is left that is as old as that."""
    ports.wait_for(lambda: segments(g)[0] > below, timeout, 0.05, what="copies of the oldest")


def check_delivered(g, sink, sent):
    """All that waited comes once, octet for octet, when its host takes it at last."""
    sink.heal()
    g.cli("queue", "retry", "all")
    sink.wait(len(sent), 20)
    g.wait_idle()
    assert len(sink.accepted()) == len(sent)
    by_subject = {content.split(b"\r\n")[0]: content for content in sent}
    arrived = {}
    for message in sink.accepted():
        subject = next(line for line in message.data.split(b"\r\n") if line.startswith(b"Subject:"))
        assert subject not in arrived
        arrived[subject] = message.data
        assert_same_content(message.data, by_subject[subject])
    assert arrived.keys() == by_subject.keys()


def test_the_log_stays_short(make_godwit, sink):
    g = serve(make_godwit, sink)
    small, large = text_of("small", 2000, 1), text_of("large", 3 * MIB, 2)
    send(g, [small], LATER)
    wait_deferred(g, 1)
    # Little of the oldest segment is alive.
    first = segments(g)[0]
    traffic(g, 3 * MIB)
    wait_moved(g, first)
    ports.wait_for(lambda: len(segments(g)) <= 3, 10, 0.1, what="a short log")
    # The large one is alive all the same: the log may be four times that, and what came within
    # the second in which nobody looked.
    send(g, [large], LATER)
    wait_deferred(g, 2)
    first = segments(g)[-1]
    assert traffic(g, 30 * MIB, pause=0.1) <= 26
    wait_moved(g, first)
    ports.wait_for(lambda: len(segments(g)) <= 18, 10, 0.1, what="a log of four times what lives")
    assert [r["attempts"] for _, r in waiting(g)] == [1, 1]
    check_delivered(g, sink, [small, large])


def spool_tool(g, *words):
    done = subprocess.run([godwit_peer.PROGRAM, "spool", *words, "--spool", str(g.folder / "spool")],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_export(folder, ids, sent):
    """Each message once, with its content and what became of it so far."""
    assert {path.stem for path in folder.glob("*.json")} == ids
    assert {path.stem for path in folder.glob("*.eml")} == ids
    contents = {content.split(b"\r\n")[0]: content for content in sent}
    for path in folder.glob("*.json"):
        recipients = json.loads(path.read_text())["recipients"]
        assert [r["state"] for r in recipients] == ["deferred"], recipients
        assert (recipients[0]["attempts"], recipients[0]["code"]) == (1, 451)
        data = path.with_suffix(".eml").read_bytes()
        subject = next(line for line in data.split(b"\r\n") if line.startswith(b"Subject:"))
        assert_same_content(data, contents.pop(subject))
    assert not contents


@needs_processes
@pytest.mark.parametrize("seed", [1])
def test_kills_while_copying(make_godwit, sink, seed):
    rng = random.Random(seed)
    g = serve(make_godwit, sink)
    g.expected_alarms |= {"role.died", "error"}
    sent = [text_of(f"small {n}", 4000, n) for n in range(60)] + [text_of("large", 2 * MIB, 99)]
    send(g, sent, LATER)
    wait_deferred(g, len(sent))
    for _ in range(4):
        traffic(g, 11 * MIB)
        time.sleep(rng.uniform(0, 1.2))
        g.kill9("queue")
        g.wait_ready()
        assert len(waiting(g)) == len(sent)
        # After a start of all nobody may still ask: segments are retired, the next copies begin.
        oldest = segments(g)[0]
        g.kill9_all()
        g.start()
        wait_moved(g, oldest)
        time.sleep(rng.uniform(0, 0.5))
        g.kill9_all()
        g.start()
    states = waiting(g)
    ids = {message_id for message_id, _ in states}
    assert len(ids) == len(states) == len(sent)
    assert {(r["attempts"], r["code"], r["reply"]) for _, r in states} == {(1, 451, "not today")}
    assert len(sink.attempts(LATER)) == len(sent)  # none was forgotten to have been tried
    g.stop()
    spool_tool(g, "verify")
    folder = g.folder / "export"
    spool_tool(g, "export", str(folder))
    check_export(folder, ids, sent)
    g.start()
    check_delivered(g, sink, sent)
