"""Debian's Postfix on either side of Godwit."""

import re
import subprocess
from collections import Counter

from conftest import assert_same_content, needs_root, split_trace, swaks
from peers import ledger, ports, postfix
from peers.client import Client, simple_message
from peers.sink import Sink

pytestmark = needs_root


def test_postfix_to_godwit_to_sink(make_godwit, peers):
    book = ledger.Ledger()
    with Sink(on_message=book.arrived) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        with postfix.Postfix(relay=("127.0.0.1", g.port)) as mta:
            load = ledger.Load(book, mta.port, sessions=4, most=200, size=3000,
                               recipients=lambda n: [f"a{n}@example.org", f"b{n}@example.com"])
            load.start().join()
            ports.wait_for(lambda: not book.missing(), 30, what="all at the sink")
            assert not mta.log_matches(r"warning|fatal|status=(?:deferred|bounced)")
    assert not book.clean(), book.verdict()
    assert book.states() == {"acked": 200}
    assert not sink.violations


def test_temporary_failure_through_both(make_godwit, peers):
    """Postfix hands over; the waiting is Godwit's."""
    with Sink() as sink:
        sink.reply_to("bob@example.org", "451 4.3.0 later", times=2)
        g = make_godwit(relay=("127.0.0.1", sink.port))
        with postfix.Postfix(relay=("127.0.0.1", g.port)) as mta:
            swaks(mta.port, "--to", "bob@example.org", "--from", "a@example.com")
            sink.wait(timeout=20)
            assert len(mta.log_matches("status=sent")) == 1
    assert len(sink.attempts("bob@example.org")) == 3


def test_godwit_to_postfix(make_godwit, peers, scratch):
    with postfix.Postfix(domains=["example.org"]) as mta:
        g = make_godwit(relay=("127.0.0.1", mta.port))
        content = simple_message("to postfix", ".\r\n..\r\n.dots\r\nend\r\n").replace("\r", "")
        (scratch / "mail.txt").write_text(content)
        swaks(g.port, "--to", "bob@example.org", "--from", "a@example.com", "--data",
              f"@{scratch}/mail.txt")
        path = ports.wait_for(mta.messages, 15, what="the message at Postfix")[0]
        text = path.read_text()
        assert content.rstrip("\n") in text and text.startswith("Return-Path: <a@example.com>")
        g.wait_log("delivered")
        assert not mta.log_matches("warning|lost connection|improper command pipelining")


def test_many_to_postfix_pipelined(make_godwit, peers):
    with postfix.Postfix(domains=["example.org"]) as mta:
        g = make_godwit(relay=("127.0.0.1", mta.port), connections=5)
        sent = {}
        with Client(g.port) as client:
            client.hello()
            for n in range(100):
                sent[n] = simple_message(f"m{n}", body=f"body {n}\r\n" * (n + 1))
                assert client.message("a@example.com", [f"u{n}@example.org"], sent[n])[0] == 250
        ports.wait_for(lambda: len(mta.messages()) >= 100, 30, what="100 messages at Postfix")
        subjects = Counter()
        for path in mta.messages():
            _, rest = split_trace(path.read_bytes())
            number = int(rest.partition(b"Subject: m")[2].partition(b"\n")[0])
            subjects[number] += 1
            assert_same_content(path.read_bytes(), sent[number])
        assert subjects == Counter(range(100))
        assert len(mta.log_matches(r": connect from")) <= 5 + 1  # the connections are used again
        assert not mta.log_matches("warning|lost connection|improper command pipelining")


def test_bounce_reaches_postfix_mailbox(make_godwit, peers):
    """Postfix refuses the recipient; the report goes back through it to the sender's mailbox."""
    with postfix.Postfix(domains=["example.org"], options={
            "smtpd_recipient_restrictions":
                "check_recipient_access inline:{{gone@example.org=REJECT no such user}}, "
                "permit_mynetworks, reject"}) as mta:
        g = make_godwit(relay=("127.0.0.1", mta.port))
        swaks(g.port, "--to", "gone@example.org", "--from", "alice@example.org")
        path = ports.wait_for(mta.messages, 15, what="the bounce at Postfix")[0]
        text = path.read_text()
        assert text.startswith("Return-Path: <>") and "multipart/report" in text
        assert "gone@example.org" in text


def test_the_table_from_postfix_names_what_there_is(program, peers):
    """docs/from-postfix.md: its left side is known to postconf, its right side to godwit config explain."""
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", (ports.REPO / "docs/from-postfix.md").read_text(), re.M)
    left = {word for row in rows for word in re.findall(r"`([a-z]\w*_\w+|myhostname|my\w+)`", row[0])}
    known = subprocess.run([postfix.tool("postconf"), "-d"], env=postfix.environment(), check=True,
                           capture_output=True, text=True).stdout
    restrictions = {w for w in left if re.match(r"permit_|reject_|check_", w)}
    assert len(left) > 90
    assert not {w for w in left - restrictions if not re.search(rf"^{w} = ?", known, re.M)}
    right = {word for row in rows for word in re.findall(r"`([a-z.-]+)`", row[1])}
    assert len(right) > 40
    for word in right - {"hold", "release"}:  # of godwit queue
        done = subprocess.run([program, "config", "explain", word], capture_output=True, text=True, check=False)
        assert done.returncode == 0, word
