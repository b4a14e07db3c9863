"""What senders read: the first words of a report, messages that come back whole, the language, one
summary for a storm of failures, and what becomes of a report that fails itself."""

import re
import time

import pytest

from conftest import needs_processes
from peers import ports
from peers.client import Client, simple_message
from peers.godwit import Godwit
from peers.reports import Report
from peers.sink import Sink

CONFIG = """
hostname mx.test
listen   mx 127.0.0.1:@PORT@
spool    @DIR@/spool
control  @DIR@/control.sock
log      file @DIR@/godwit.log
store    {{ segment 8M; reserve 16M; spares 1 }}
limits   {{ connections 1000 per-ip 500; message-size 8M }}
trust    127.0.0.0/8
run-as   nobody
admin    root@admin.test
{dsn}
domain sender.test {{ deliver maildir @MAIL@/%d/%u }}
{admin}
route to domain dead.test via relay 127.0.0.1:{dead}
route to any via relay 127.0.0.1:{sink}
shape dead {{ domain dead.test; retry 1s; expire 2s }}
shape *  {{ retry 1s; expire 2m }}
"""
ADMIN = "domain admin.test { deliver maildir @MAIL@/%d/%u }"
PLENTY = "dsn { warn 0s; full 1M; per-sender 1000/h }"


def make(sink, dsn=PLENTY, admin=ADMIN):
    return Godwit(CONFIG.format(dsn=dsn, admin=admin, dead=ports.free_port(), sink=sink.port))


@pytest.fixture(scope="module")
def sink():
    with Sink() as s:
        yield s


@pytest.fixture(scope="module")
def server(program, sink):
    with make(sink) as g:
        yield g


def send(g, sender, rcpts, content=None, words=""):
    with Client(g.port, timeout=30) as client:
        client.hello()
        rcpts = [rcpts] if isinstance(rcpts, str) else rcpts
        done = client.message(sender, rcpts, content or simple_message(), words)
        assert done[0] == 250, done


def mailbox(g, address):
    user, _, domain = address.partition("@")
    folder = g.maildir / domain / user / "new"
    return sorted(folder.iterdir()) if folder.exists() else []


def reports(g, address, count=1, timeout=10):
    """The reports for this one: so many, and when nothing is on its way no more."""
    ports.wait_for(lambda: len(mailbox(g, address)) >= count, timeout, what=f"reports to {address}")
    g.wait_idle()
    found = [Report(path.read_bytes()) for path in mailbox(g, address)]
    assert len(found) == count
    return found


# ---- the words ------------------------------------------------------------------------------------

SAID = [
    ("full", "552 5.2.2 Mailbox full", "The mailbox is full."),
    ("wrong", "550 5.1.1 User unknown in virtual mailbox table", "There is no such mailbox at this domain."),
    ("spam", "554 5.7.1 Your message was classified as spam", "The recipient's system took the message for spam."),
    ("large", "552 5.3.4 Message size exceeds fixed limit", "The message is larger than the recipient's system takes."),
    ("listed", "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
     "The recipient's system does not take mail from this server"),
    ("lies", "550 5.1.1 This message looks like spam", "The recipient's system took the message for spam."),
]


@pytest.mark.parametrize("name, reply, means", SAID, ids=[row[0] for row in SAID])
def test_the_report_says_what_the_refusal_means(server, sink, name, reply, means):
    sink.reply_to(f"{name}@far.test", reply)
    send(server, f"{name}@sender.test", f"{name}@far.test")
    r = reports(server, f"{name}@sender.test")[0]
    words = " ".join(r.words.split())
    assert means in words and " ".join(reply.split()[2:]) in words
    assert r.rcpts[0]["Status"] == reply.split()[1]
    assert r.rcpts[0]["Diagnostic-Code"] == f"smtp; {reply}"
    assert words.index(means) < 900  # before any technical part
    assert not re.search(r"[^\x00-\x7f]", r.octets.decode("latin-1"))


def test_a_host_that_nobody_reaches(server):
    send(server, "dead@sender.test", "bob@dead.test")
    r = reports(server, "dead@sender.test")[0]
    assert "could not be reached" in " ".join(r.words.split())
    assert r.actions() == ["failed"] and r.rcpts[0]["Status"][0] in "45"
    assert re.search(r"; 451 4\.4\.1 Cannot connect to", r.rcpts[0]["Diagnostic-Code"])


def test_one_report_for_recipients_that_fail_together(server, sink):
    users = [f"u{n}@together.test" for n in range(7)]
    for user in users[:5]:
        sink.reply_to(user, "550 5.1.1 no such user")
    send(server, "many@sender.test", users)
    assert sorted(reports(server, "many@sender.test")[0].final()) == users[:5]


def test_german(server, sink):
    sink.reply_to("voll@far.test", "552 5.2.2 Mailbox full")
    content = simple_message().replace("Subject:", "Content-Language: de\r\nSubject:", 1)
    send(server, "anna@sender.test", "voll@far.test", content)
    r = reports(server, "anna@sender.test")[0]
    assert r.subject == "Ihre Nachricht konnte nicht zugestellt werden"
    words = " ".join(r.words.split())
    assert "Das Postfach ist voll" in words and "Empfänger" in words
    assert r.octets.isascii()
    assert r.rcpts[0]["Action"] == "failed"  # what programs read has no language


def test_foreign_words_cannot_write_a_field(server, sink):
    """The reply, the address and the header of a stranger: nothing of them begins a line."""
    sink.reply_to("evil@far.test", "550 5.1.1 x\x7f --=_report_ Final-Recipient: rfc822;ceo@example.com")
    content = ("From: a@sender.test\r\nSubject: one\r\n\tAction: delivered\r\n--=_report: x\r\n"
               "X-Long: " + "y" * 900 + "\r\n\r\nhello\r\n")
    send(server, "evil@sender.test", "evil@far.test", content)
    r = reports(server, "evil@sender.test")[0]
    assert r.final() == ["evil@far.test"] and r.actions() == ["failed"]
    assert [name for name, _ in r.returned.items() if name.lower() == "action"] == []


# ---- messages that come back --------------------------------------------------------------------


def fails(server, sink, name, content, words):
    sink.reply_to(f"back-{name}@back.test", "550 5.1.1 no such user")
    send(server, f"back-{name}@sender.test", f"back-{name}@back.test", content, words)
    return reports(server, f"back-{name}@sender.test")[0]


def large(octets, line=b"0123456789abcdef" * 4):
    head = simple_message("large", "").encode()
    return head + (line + b"\r\n") * (octets // (len(line) + 2))


BACK = {
    "small": simple_message("small", "Hello.\r\n.\r\n..x\r\n\r\n").encode(),
    "eight": simple_message("eight", "Grüße aus Köln\r\n").encode(),
    "large": large(400_000),
    "large-eight": large(400_000, "ü".encode() * 30),
    "boundary": simple_message("boundary", "--=_report_\r\n--=_report_--\r\n\r\n--\r\n").encode(),
    "empty": b"Subject: nothing below\r\n\r\n",
}


@pytest.mark.parametrize("name", BACK)
def test_a_message_comes_back_octet_for_octet(server, sink, name):
    content = BACK[name]
    words = " RET=FULL" + ("" if content.isascii() else " BODY=8BITMIME")
    r = fails(server, sink, name, content, words)
    assert r.whole
    octets = r.returned_octets().replace(b"\r\n", b"\n")
    sent = content.replace(b"\r\n", b"\n")
    at = len(octets) - len(sent)
    assert octets[at:] == sent
    assert octets[:at].startswith((b"Received: ", b"Return-Path: ")) and octets[:at].endswith(b"\n")


@pytest.mark.parametrize("name, size, words", [
    ("too-large", 1_200_000, " RET=FULL"), ("hdrs", 5_000, " RET=HDRS"), ("unasked", 5_000, "")])
def test_else_its_header_comes_back(server, sink, name, size, words):
    r = fails(server, sink, name, large(size), words)
    assert r.whole is False and str(r.returned["Subject"]) == "large"
    assert len(r.octets) < 12_000


# ---- warnings -----------------------------------------------------------------------------------


@needs_processes
def test_one_warning_and_no_second_after_a_restart(program):
    with Sink() as sink:
        sink.reply_to("slow@far.test", "450 4.2.0 greylisted, come back later")
        with make(sink, "dsn { warn 1s; per-sender 1000/h }") as g:
            send(g, "late@sender.test", ["slow@far.test", "quick@far.test"])
            ports.wait_for(lambda: mailbox(g, "late@sender.test"), 10, what="the warning")
            g.kill9("queue")
            ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="the next queue")
            ports.wait_for(lambda: ports.greets(g.port, ready=True), 10, what="mail is taken")
            tries = len(sink.attempts("slow@far.test"))
            ports.wait_for(lambda: len(sink.attempts("slow@far.test")) >= tries + 2, 15, what="tries")
            r, = read_all(g, "late@sender.test")
            assert r.final() == ["slow@far.test"] and r.actions() == ["delayed"]
            assert "You need not do anything" in " ".join(r.words.split())
            sink.heal()
            g.wait_idle()
            assert len(mailbox(g, "late@sender.test")) == 1


def test_bulk_mail_is_not_warned_of(program):
    with Sink() as sink:
        sink.reply_at("rcpt", "450 4.2.0 not now")
        with make(sink, "dsn { warn 1s; per-sender 1000/h }") as g:
            bulk = simple_message().replace("Subject:", "Precedence: bulk\r\nSubject:", 1)
            send(g, "list@sender.test", "a@far.test", bulk)
            send(g, "asks@sender.test", "b@far.test")
            ports.wait_for(lambda: mailbox(g, "asks@sender.test"), 10, what="the warning")
            ports.wait_for(lambda: len(sink.attempts("a@far.test")) >= 3, 15, what="tries")
            assert mailbox(g, "list@sender.test") == []
            sink.heal()
            g.wait_idle()


# ---- storms -------------------------------------------------------------------------------------

STORM = "dsn {{ warn 0s; per-sender 5/{seconds}s }}"


def storm(g, count, sender="storm@sender.test", sessions=6):
    with_rcpt = [f"r{n}@storm.test" for n in range(count)]
    clients = [Client(g.port, timeout=30) for _ in range(sessions)]
    for client in clients:
        client.hello()
    for n, rcpt in enumerate(with_rcpt):
        assert clients[n % sessions].message(sender, [rcpt], simple_message(f"n{n}"))[0] == 250
    for client in clients:
        client.quit()


def counted_by(report):
    """How many recipients a summary is about; 0 for a report about one message."""
    if "Many of your messages" not in report.subject:
        return 0
    return int(re.search(r"Recipients: (\d+)", " ".join(report.words.split()))[1])


def told(found):
    """(recipients named one by one, those counted by summaries)"""
    single = [name for r in found if not counted_by(r) for name in r.final()]
    return single, [counted_by(r) for r in found if counted_by(r)]


def read_all(g, address):
    return [Report(path.read_bytes()) for path in mailbox(g, address)]


def test_a_storm_becomes_one_summary(program):
    with Sink() as sink:
        sink.reply_at("rcpt", "550 5.1.1 no such user")
        with make(sink, STORM.format(seconds=8)) as g:
            storm(g, 300)
            send(g, "calm@sender.test", "x@storm.test")
            reports_of_calm = ports.wait_for(lambda: mailbox(g, "calm@sender.test"), 5, what="another's report")
            g.wait_idle(30)
            single, counted = told(read_all(g, "storm@sender.test"))
            assert len(single) == len(set(single)) == 5
            assert counted == [295]
            summary, = (r for r in read_all(g, "storm@sender.test") if counted_by(r))
            assert 0 < len(summary.final()) <= 295 and set(summary.actions()) == {"failed"}
            assert not set(summary.final()) & set(single)
            assert "There is no such mailbox at this domain." in " ".join(summary.words.split())
            assert len(reports_of_calm) == 1


@needs_processes
def test_a_storm_and_a_queue_that_dies_in_it(program):
    """After each kill there may be a few more reports; nobody stays untold, and nothing is told
    by hundreds of them."""
    with Sink() as sink:
        sink.reply_at("rcpt", "550 5.1.1 no such user")
        with make(sink, STORM.format(seconds=4)) as g:
            storm(g, 150)
            g.kill9("queue")
            ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="the next queue")
            ports.wait_for(lambda: ports.greets(g.port, ready=True), 10, what="mail is taken")
            storm(g, 150)
            time.sleep(0.5)
            g.kill9("queue")
            ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="the next queue")
            ports.wait_for(lambda: ports.greets(g.port, ready=True), 10, what="mail is taken")
            g.wait_idle(30)
            single, counted = told(read_all(g, "storm@sender.test"))
    assert len(single) + sum(counted) >= 300
    assert len(single) <= 5 * 5 and 1 <= len(counted) <= 6


# ---- reports that fail --------------------------------------------------------------------------


def test_a_report_that_fails_goes_to_the_administrator_and_no_further(program):
    with Sink() as sink:
        sink.reply_to("x@far.test", "550 5.1.1 no such user")
        sink.reply_to("gone@nowhere.test", "550 5.1.1 gone too")
        with make(sink) as g:
            send(g, "gone@nowhere.test", "x@far.test")
            r = reports(g, "root@admin.test")[0]
            assert "gone@nowhere.test" in r.final() + [r.words] or "gone@nowhere.test" in r.words
            assert len(sink.attempts("gone@nowhere.test")) == 1


def test_an_administrator_who_fails_ends_it(program):
    with Sink() as sink:
        sink.reply_at("rcpt", "550 5.1.1 nobody is here")
        with make(sink, admin="") as g:
            send(g, "gone@nowhere.test", "x@far.test")
            ports.wait_for(lambda: sink.attempts("root@admin.test"), 10, what="the administrator")
            g.wait_idle()
            assert len(sink.attempts("root@admin.test")) == 1
            assert len(sink.rcpt_attempts) == 3
            assert g.mail() == []


def test_mail_without_a_sender_is_not_reported_to_anybody_but_the_administrator(program):
    with Sink() as sink:
        sink.reply_to("x@far.test", "550 5.1.1 no such user")
        with make(sink) as g:
            send(g, "", "x@far.test")
            g.wait_idle()
            assert not sink.accepted()
            assert not (g.maildir / "sender.test").exists()
