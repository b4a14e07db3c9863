"""Debian's Postfix, Exim and OpenSMTPD relay to Godwit, each in its way: what arrives is what was
sent, octet for octet and once; what is refused for now comes later, and what is refused for good
comes back. And Godwit in the middle, between Postfix and Exim."""

import email
import re
import threading

import pytest

from conftest import needs_root
from peers import ports, postfix
from peers.exim_server import EximServer
from peers.letters import arrived, content, digests, letters, send
from peers.opensmtpd import OpenSmtpd
from peers.tap import Tap
from peers.zones import Zones

pytestmark = needs_root

LATER = 'domain later.test {{ deliver {} }}\n'
REFUSED = 'domain refused.test { deliver reject "550 5.1.1 no such user" }\n'
MIB = 1 << 20


class Postfix(postfix.Postfix):
    def __init__(self, relay):
        super().__init__(relay=relay, options={
            "minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"})

    def hurry(self):
        """It does."""


MTAS = {"postfix": Postfix, "exim": EximServer, "opensmtpd": OpenSmtpd}
all_mtas = pytest.mark.parametrize("name", MTAS)


def numbered(g):
    """The messages of these tests in its Maildirs, without reports."""
    return [p for p in g.mail() if "/box" in str(p) or "/later.test/" in str(p)]


def wait_all(g, mta, messages, timeout=20):
    """All came, as they were and once."""
    def there():
        mta.hurry()
        return len(arrived(numbered(g))) >= len(messages)

    ports.wait_for(there, timeout, step=0.25, what="all mail")
    assert arrived(numbered(g)) == digests(messages)


# ---- content, and the words on the wire --------------------------------------------------------


def expect_words(name, tap):
    """The test is about sizes, pipelines, chunks and TLS only if the peer made them."""
    said = tap.text()
    if name == "opensmtpd":  # it needs no certificate that anybody vouches for
        assert b"STARTTLS\r\n" in said and b"MAIL FROM" not in said
        return
    mails = re.findall(rb"^MAIL FROM:<alice@example.net>(.*)\r$", said, re.M)
    assert len(mails) == 100
    assert all(b" SIZE=" in m for m in mails), mails[0]
    assert any(w.startswith(b"MAIL ") and b"\r\nRCPT " in w for w in tap.writes())
    if name == "postfix":
        assert all(b" BODY=8BITMIME" in m for m in mails), mails[0]
    else:
        assert len(re.findall(rb"^BDAT \d+", said, re.M)) >= 100
        assert not re.search(rb"^DATA\r$", said, re.M)


@all_mtas
def test_octet_for_octet(make_godwit, peers, name):
    g = make_godwit()
    messages = letters(98, MIB, 3 * MIB)
    with Tap(("127.0.0.1", g.port)) as tap, MTAS[name](relay=("127.0.0.1", tap.port)) as mta:
        send(mta.port, messages, "box%d@example.net")
        wait_all(g, mta, messages)
        for path in numbered(g):
            number = re.search(rb"^X-Number: (\d+)$", path.read_bytes(), re.M)[1].decode()
            assert f"/box{number}/" in str(path)
        expect_words(name, tap)
    assert not g.log_lines("reject")


# ---- refused for now, and for good -------------------------------------------------------------


def expect_report(g):
    """Alice hears from her server, with our words, about the refused recipient alone."""
    reports = [p for p in g.wait_mail(timeout=20) if "/alice/" in str(p)]
    assert len(reports) == 1
    data = reports[0].read_bytes()
    report = email.message_from_bytes(data)
    assert report.get_content_maintype() == "multipart"
    assert report["Return-Path"] == "<>"
    first = report.get_payload()[0].get_payload(decode=True).decode()
    assert "nobody@refused.test" in first and "5.1.1 no such user" in " ".join(first.split())
    assert b"later.test" not in data


@all_mtas
def test_refused_for_now_and_for_good(make_godwit, peers, name):
    g = make_godwit(extra=LATER.format('reject "451 4.7.1 come back later"') + REFUSED)
    messages = {n: content(n, 500) for n in range(5)}
    with MTAS[name](relay=("127.0.0.1", g.port)) as mta:
        send(mta.port, {1000: content(1000, 500)}, "nobody@refused.test")
        send(mta.port, messages, "box%d@later.test")
        g.wait_log("reject", count=5, code="451")
        expect_report(g)
        assert not numbered(g)
        g.write_config(extra=LATER.format(f"maildir {g.maildir}/%d/%u") + REFUSED)
        g.restart()
        wait_all(g, mta, messages)
    g.wait_idle()
    assert len(g.mail()) == 6


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_away_for_a_while(make_godwit, peers, name):
    """Not there yet, then there, then restarted in the middle: all comes, and once."""
    g = make_godwit(start=False)
    messages = letters(100)
    with MTAS[name](relay=("127.0.0.1", g.port)) as mta:
        send(mta.port, {n: messages[n] for n in range(50)}, "box%d@example.net")
        ports.wait_for(lambda: "refused" in mta.log(), 10, what="a connection refused")
        g.start()
        rest = {n: messages[n] for n in range(50, 100)}
        client = threading.Thread(target=send, args=(mta.port, rest, "box%d@example.net"))
        client.start()
        ports.wait_for(lambda: len(numbered(g)) >= 10, 20, step=0.01, what="some mail")
        assert len(numbered(g)) < 100
        g.restart()
        client.join()
        wait_all(g, mta, messages)
        g.wait_idle()
        assert arrived(numbered(g)) == digests(messages)


# ---- in the middle -----------------------------------------------------------------------------


def test_between_postfix_and_exim(make_godwit, peers):
    """Postfix relays to Godwit, which finds Exim by MX; what Exim refuses comes back to Alice."""
    host = "127.0.1.25"
    zones = {"example.org": f"@ MX 10 mx\n mx A {host}"}
    with EximServer(host=host) as last, Zones(zones) as z:
        g = make_godwit(extra=z.config() + f"route to any via mx port {last.port} private\n")
        messages = letters(98, MIB, 3 * MIB)
        with Postfix(relay=("127.0.0.1", g.port)) as first:
            send(first.port, messages, "box%d@example.org")
            send(first.port, {1000: content(1000, 500)}, "refused@example.org")
            ports.wait_for(lambda: len(arrived(last.messages())) >= len(messages), 30,
                           what="all mail")
            assert arrived(last.messages()) == digests(messages)
            report = email.message_from_bytes(g.wait_mail()[0].read_bytes())
            status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"]
            assert status[0].get_payload()[1]["Status"] == "5.1.1"
        g.wait_idle()
        hops = [email.message_from_bytes(p.read_bytes()).get_all("Received")
                for p in last.messages()]
        for hop in hops:
            assert [re.search(r"by (\S+)", h)[1] for h in hop] == ["exim.test", "mx.test",
                                                                   "postfix.test"]
        assert len(g.log_lines("bounced")) == 1 and not g.log_lines("deferred")
