"""The tests' own tools, tried against a Postfix and against planted faults: a tool that cannot
report a loss proves nothing."""

import os

import pytest

from conftest import needs_root
from peers import ledger, ports, postfix, trace
from peers.client import Client, stuff
from peers.godwit import parse_logfmt
from peers.sink import Message, Sink


@needs_root
def test_source_through_postfix_to_sink(peers):
    with postfix.Sink() as out, postfix.Postfix(relay=("127.0.0.1", out.port)) as mta:
        postfix.run_source(("127.0.0.1", mta.port), 200, sessions=10)
        ports.wait_for(lambda: len(mta.log_matches("status=sent")) >= 200, 30, what="200 relayed")
        ports.wait_for(lambda: mta.queue_length() == 0, what="an empty queue")


@needs_root
def test_ledger_agrees_with_postfix(peers):
    book = ledger.Ledger()
    with Sink(on_message=book.arrived) as out, \
            postfix.Postfix(relay=("127.0.0.1", out.port)) as mta:
        out.reply_to("gone@example.org", "550 5.1.1 no such user")
        out.reply_to("later@example.org", "451 4.3.0 later", times=2)
        names = ("a", "gone", "later", "b")
        load = ledger.Load(
            book, mta.port, sessions=4, most=100,
            recipients=lambda n: [f"{names[n % 4]}@example.org", f"c{n}@example.com"])
        load.start().join()
        ports.wait_for(lambda: not book.missing(), 30, what="all arrived")
    assert book.verdict()["bounced"] == 25
    assert not book.clean(), book.verdict()
    assert not out.violations


def arrival(number, book, when, rcpt="a@example.org", replies=("250 2.0.0 Ok",), spoil=False):
    data = ledger.make_message(book.run, number)
    if spoil:
        data = data[:-10] + b"x" + data[-9:]
    return Message("s@sender.test", [], [rcpt], data, "", when, 1, list(replies))


ONCE = dict(when=1)


@pytest.mark.parametrize("state, arrivals, counter", [
    ("acked", [], "lost"),
    ("refused", [ONCE], "refused_seen"),
    ("unsent", [ONCE], "unsent_seen"),
    ("acked", [ONCE, dict(when=2, spoil=True)], "corrupt"),
    ("acked", [ONCE, dict(when=2)], "dup_unexcused"),
    ("acked", [ONCE, dict(when=2, rcpt="other@example.org")], "stray"),
])
def test_ledger_reports(state, arrivals, counter):
    book = ledger.Ledger()
    book.note(0, state, ["a@example.org"])
    for details in arrivals:
        book.arrived(arrival(0, book, **details))
    assert list(book.clean()) == [counter]


def test_ledger_excuses_only_near_a_kill():
    book = ledger.Ledger()
    for number, when in ((0, 100.0), (1, 200.0)):
        book.note(number, "acked", ["a@example.org"])
        book.arrived(arrival(number, book, when))
        book.arrived(arrival(number, book, when + 5))
    book.kills += [("sender", 100.3, 100.4), ("smtpd", 200.1, 200.2)]
    verdict = book.verdict()
    assert (verdict["dup_excused"], verdict["dup_unexcused"]) == (1, 1)


TRACE = """\
10 pwritev(5</s/seg-1>, [{iov_base="xx token-1 yy"...}], 1, 0) = 100
10 fdatasync(5</s/seg-1> <unfinished ...>
11 read(3<socket:[1]>, "x", 1) = 1
10 <... fdatasync resumed>) = 0
12 sendto(7<TCP:[2]>, "250 2.0.0 Ok ID1\\r\\n", 18, 0, NULL, 0) = 18
"""


@pytest.mark.parametrize("change, good", [
    (lambda t: t, True),
    (lambda t: t.replace("fdatasync(5</s/seg-1>", "fdatasync(5</s/seg-2>"), False),
    (lambda t: t.replace("resumed>) = 0", "resumed>) = -1 EIO (Input/output error)"), False),
    (lambda t: t.replace("resumed>) = 0", "resumed>) = 0 (INJECTED)"), False),
    (lambda t: "".join(line for line in t.splitlines(True) if "fdatasync" not in line), False),
    (lambda t: "".join(t.splitlines(True)[i] for i in (0, 1, 2, 4, 3)), False),
    (lambda t: "".join(t.splitlines(True)[i] for i in (1, 2, 3, 0, 4)), False),
    (lambda t: t.replace("token-1", "token-2"), False),
    (lambda t: t.replace("ID1", "ID2"), False),
])
def test_order_checker(change, good):
    verdict = trace.check(change(TRACE).splitlines(), {"ID1": "token-1"}, "/s")
    assert (bool(verdict.good), bool(verdict.bad)) == (good, not good), str(verdict)


def test_sink_rules_and_dots():
    with Sink() as out, Client(out.port) as client:
        client.hello()
        out.reply_to("b@x.test", "451 4.3.0 later", times=1)
        content = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n"
        _, rcpts = client.begin("a@x.test", ["b@x.test", "c@x.test"])
        assert [code for code, _ in rcpts] == [451, 250]
        assert client.data(content)[0] == 250
        assert client.message("a@x.test", ["b@x.test"], b"")[0] == 250
        taken = [(m.rcpts, m.data) for m in out.messages]
        assert taken == [(["c@x.test"], content), (["b@x.test"], b"")]
        assert out.pipelined and not out.violations
        client.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
        assert [client.reply()[0] for _ in range(3)] == [250, 250, 354]
        client.send(b"a\nb\r\n.\r\n")
        client.reply()
        assert out.violations == ["bare CR or LF"]


def test_sink_lmtp_mixed():
    with Sink(lmtp=True) as out, Client(out.port) as client:
        assert client.cmd("EHLO x")[0] == 500
        client.cmd("LHLO x")
        out.dot_reply_to("b@x.test", "452 4.2.2 full")
        client.begin("a@x.test", ["a@x.test", "b@x.test"])
        assert client.data("x\r\n")[0] == 250
        assert client.reply()[0] == 452


def test_stuffing():
    assert stuff(b".\r\n..a") == b"..\r\n...a\r\n.\r\n"
    assert stuff(b"") == b".\r\n"


def test_logfmt_first_field_wins():
    line = parse_logfmt('2026-11-21T19:00:02.001Z ev=reject ip=203.0.113.10 '
                        'from="x ip=1.2.3.4 \\"y\\""')
    assert (line["ev"], line["ip"], line["from"]) == ("reject", "203.0.113.10", 'x ip=1.2.3.4 "y"')


def test_fetch_peers_again_is_quick(peers):
    assert os.system(f"{ports.REPO}/tools/fetch-peers {postfix.PEERS} >/dev/null") == 0
