"""BDAT against the running server: what comes in chunks goes out as it came, and half of it not at all."""

import random
import time

import pytest

from conftest import assert_same_content
from peers.client import Client, simple_message

ALICE, BOB, CAROL = "alice@example.net", "bob@example.org", "carol@example.net"
BODY = "".join("line %d of some length, .dots and all\r\n..\r\n" % n for n in range(150_000))


def chunks(content, sizes):
    """The content as BDAT commands with their octets."""
    content, at, out = content.encode(), 0, []
    while at < len(content):
        n = min(next(sizes), len(content) - at)
        last = " LAST" if at + n == len(content) else ""
        out.append(b"BDAT %d%s\r\n" % (n, last.encode()) + content[at:at + n])
        at += n
    return out


def forever(*sizes):
    dice = random.Random(sum(sizes))
    while True:
        yield dice.choice(sizes)


@pytest.mark.parametrize("sizes", [(10_000_000,), (65536,), (1, 7, 100, 5000, 70000, 300000)],
                         ids=["one", "even", "odd"])
def test_large_content(relay, sink, sizes):
    """More than a message may have in memory, pipelined: the end waits until all of it went on."""
    sent = simple_message(body=BODY)
    parts = chunks(sent, forever(*sizes))
    with Client(relay.port, timeout=60) as client:
        client.hello()
        client.begin(ALICE, [BOB, CAROL])
        for part in parts:
            client.send(part)
        assert [client.reply()[0] for _ in parts] == [250] * len(parts)
        assert client.cmd("QUIT")[0] == 221
    assert_same_content(sink.wait(timeout=60)[0].data, sent)
    assert_same_content(relay.wait_mail(timeout=60)[0].read_bytes(), sent)


def test_last_line_is_completed(relay, sink):
    with Client(relay.port) as client:
        client.hello()
        client.begin(ALICE, [BOB])
        client.send(b"BDAT 17 LAST\r\nSubject: x\r\n\r\nend")
        assert client.reply()[0] == 250
    assert sink.wait()[0].data.endswith(b"\r\n\r\nend\r\n")


def test_half_a_message_is_nothing(relay, sink):
    """Cut in a chunk, and between two: neither is delivered, and the next one is."""
    for octets in (b"BDAT 1000 LAST\r\nSubject: half\r\n\r\n", b"BDAT 17\r\nSubject: half\r\n\r\n"):
        with Client(relay.port) as client:
            client.hello()
            client.begin(ALICE, [BOB])
            client.send(octets)
            time.sleep(0.1)
    with Client(relay.port) as client:
        client.hello()
        assert client.message(ALICE, [BOB], simple_message())[0] == 250
    sink.wait()
    time.sleep(0.3)
    assert len(sink.accepted()) == 1


def test_refused_chunks_are_not_commands(relay, sink):
    """A group sent at once whose recipient is refused: the octets of its chunks stay octets."""
    evil = b"RSET\r\nMAIL FROM:<e@example.net>\r\nRCPT TO:<carol@example.net>\r\nBDAT 3 LAST\r\nx\r\n"
    with Client(relay.port) as client:
        client.hello()
        client.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<no one@example.org>\r\n"
                    b"BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n" % (len(evil), evil, len(evil), evil))
        assert [client.reply()[0] for _ in range(5)] == [250, 501, 503, 503, 221]
    assert not relay.mail() and not sink.accepted()
