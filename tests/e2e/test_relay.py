"""Godwit as a relay: what it takes, what it sends on, when it tries again, what it reports back."""

import email

import pytest

from conftest import assert_same_content, split_trace, swaks
from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink

ALICE = "alice@example.net"  # local: bounces come to a Maildir


def send(g, recipients, content=None, sender=ALICE, params="", source=None):
    """One message; the final reply."""
    with Client(g.port, source=source) as client:
        client.hello()
        return client.message(sender, recipients, content or simple_message(), params)


def bounces(g):
    """Reports that arrived in Maildirs."""
    found = [email.message_from_bytes(p.read_bytes()) for p in g.mail()]
    return [m for m in found if m.get_content_type() == "multipart/report"]


def wait_bounce(g, timeout=15):
    return ports.wait_for(lambda: bounces(g), timeout, what="a bounce")[0]


def delivery_fields(report):
    """(fields of the message, [fields of a recipient]) of a report."""
    status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"]
    assert len(status) == 1
    blocks = status[0].get_payload()
    return blocks[0], blocks[1:]


# ---- on its way -----------------------------------------------------------------------------


def test_swaks_to_sink(relay, sink):
    done = swaks(relay.port, "--to", "bob@example.org", "--from", ALICE, "--body", "hello")
    reply = [line for line in done.stdout.splitlines() if line.startswith("<-  250 2.0.0 Ok")][-1]
    ident = reply.split()[-1]
    message = sink.wait()[0]
    assert (message.mail_from, message.rcpts) == (ALICE, ["bob@example.org"])
    assert len(ident) == 26 and ident.encode() in message.data.partition(b"\r\n\r\n")[0]
    delivered = relay.wait_log("delivered", id=ident)
    assert delivered[0]["to"] == "bob@example.org" and delivered[0]["code"] == "250"
    assert relay.log_lines("accepted", id=ident)[0]["from"] == ALICE


def test_greeting_means_ready(make_godwit, sink):
    """Who is greeted, however early, is served: no refusal while the queue is still starting."""
    g = make_godwit(relay=("127.0.0.1", sink.port), start=False)
    for _ in range(5):
        g.start(wait=False)
        ports.wait_for(lambda: ports.greets(g.port), step=0.001, what="greeting")
        assert send(g, ["bob@example.org"])[0] == 250
        g.stop()


def test_content_is_kept(relay, sink):
    sent = simple_message(body=".\r\n..\r\n.x\r\n\r\n \t\r\n" + "y" * 998 + "\r\nend\r\n\r\n\r\n")
    assert send(relay, ["bob@example.org"], sent)[0] == 250
    assert_same_content(sink.wait()[0].data, sent)
    assert not sink.violations


def test_8bit_goes_as_8bit(relay, sink):
    sent = simple_message().encode() + "gr\u00fc\u00df\r\n".encode()
    assert send(relay, ["bob@example.org"], sent, params=" BODY=8BITMIME")[0] == 250
    message = sink.wait()[0]
    assert_same_content(message.data, sent)
    assert "BODY=8BITMIME" in message.mail_params


def test_local_and_remote_recipients(relay, sink):
    sent = simple_message()
    assert send(relay, ["bob@example.org", "carol@example.net", "dave@example.com"], sent)[0] == 250
    assert set(sink.wait_recipients(2)) == {"bob@example.org", "dave@example.com"}
    path = relay.wait_mail()[0]
    assert path.parts[-4:-1] == ("example.net", "carol", "new")
    assert_same_content(path.read_bytes(), sent)
    assert path.read_bytes().startswith(b"Return-Path: <alice@example.net>\n")


@pytest.mark.parametrize("content", ["", "\r\n", "Subject: x\r\n\r\n", "no header at all\r\n"])
def test_odd_small_messages(relay, sink, content):
    with Client(relay.port) as client:
        client.hello()
        code, text = client.message(ALICE, ["bob@example.org"], content)
        assert code == 250
    _, rest = split_trace(sink.wait()[0].data)
    assert rest.endswith(content.encode())


def test_large_message(relay, sink):
    line = "0123456789abcdef" * 4 + "\r\n"
    sent = simple_message(body=line * (20 * 1024 * 1024 // len(line)))
    with Client(relay.port, timeout=60) as client:
        client.hello()
        assert client.message(ALICE, ["bob@example.org", "carol@example.net"], sent)[0] == 250
    assert_same_content(sink.wait(timeout=60)[0].data, sent)
    assert_same_content(relay.wait_mail(timeout=60)[0].read_bytes(), sent)


def test_too_large_message(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port),
                    limits="limits { message-size 100K; connections 100 per-ip 100 }")
    with Client(g.port) as client:
        client.hello()
        assert client.begin(ALICE, [], " SIZE=200000")[0][0] == 552
        large = simple_message(body=("x" * 70 + "\r\n") * 2000)
        code, text = client.message(ALICE, ["bob@example.org"], large)
        assert code == 552 and text.startswith("5.3.4")
        assert client.message(ALICE, ["bob@example.org"], simple_message())[0] == 250
    assert len(sink.wait()) == 1


def test_thousand_recipients(relay, sink):
    names = [f"user{n}@example.org" for n in range(1000)]
    with Client(relay.port, timeout=30) as client:
        client.hello()
        mail, answers = client.begin(ALICE, names)
        assert mail[0] == 250 and all(code == 250 for code, _ in answers)
        assert client.data(simple_message())[0] == 250
    assert sorted(sink.wait_recipients(1000, 30)) == sorted(names)


def test_recipient_limit(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), limits="limits { recipients 100 }")
    with Client(g.port) as client:
        client.hello()
        _, answers = client.begin(ALICE, [f"user{n}@example.org" for n in range(101)])
        assert [code for code, _ in answers] == [250] * 100 + [452]
        assert answers[100][1].startswith("4.5.3")
        assert client.data(simple_message())[0] == 250
    assert len(sink.wait_recipients(100)) == 100


# ---- who may ---------------------------------------------------------------------------------


def test_stranger_may_not_relay(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), trust="127.0.0.2")
    with Client(g.port) as client:
        client.hello()
        _, answers = client.begin("x@elsewhere.test", [
            "bob@example.org", "bob%example.org@example.org", "@example.net:bob@example.org",
            '"bob@example.net"@example.org', "carol@example.net"])
        assert [code for code, _ in answers] == [550] * 4 + [250]
        assert all(text.startswith("5.7.1") for _, text in answers[:4])
        assert client.data(simple_message())[0] == 250
    g.wait_mail()
    assert send(g, ["bob@example.org"], source="127.0.0.2")[0] == 250
    assert [m.rcpts for m in sink.wait()] == [["bob@example.org"]]
    line = g.log_lines("reject", reason="relay_denied")[0]
    assert (line["ip"], line["stage"], line["to"]) == ("127.0.0.1", "rcpt", "bob@example.org")
    assert (line["code"], line["esc"]) == ("550", "5.7.1")


def test_rejecting_domain(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port),
                    extra='domain nope.example { deliver reject "550 5.1.1 send-only domain" }')
    assert send(g, ["bob@nope.example"]) == (550, "5.1.1 send-only domain")


# ---- again -----------------------------------------------------------------------------------


def test_temporary_failure_is_tried_by_schedule(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1s 2s 3s")
    sink.reply_to("bob@example.org", "451 4.3.0 later", times=3)
    assert send(g, ["bob@example.org", "eve@example.org"])[0] == 250
    ports.wait_for(lambda: len(sink.attempts("bob@example.org")) == 4, 20, what="four attempts")
    at = sink.attempts("bob@example.org")
    for wait, planned in zip((b - a for a, b in zip(at, at[1:])), (1, 2, 3)):
        assert 0.7 * planned <= wait <= 1.5 * planned + 1.5, (at, planned)
    assert len(sink.attempts("eve@example.org")) == 1
    lines = g.wait_log("deferred", count=3)
    assert {(line["code"], line["esc"]) for line in lines} == {("451", "4.3.0")}
    g.wait_idle()
    assert not g.mail()


@pytest.mark.parametrize("stage, reply", [
    ("greeting", "421 4.3.2 busy"), ("helo", "451 4.3.0 no"), ("mail", "450 4.7.1 grey"),
    ("data", "451 4.3.0 no"), ("dot", "452 4.3.1 full")])
def test_temporary_failure_at_each_stage(relay, sink, stage, reply):
    sink.reply_at(stage, reply, times=1)
    assert send(relay, ["bob@example.org"])[0] == 250
    assert len(sink.wait(timeout=15)) == 1
    relay.wait_log("delivered")
    assert len(relay.log_lines("deferred")) == 1
    assert not relay.mail()


def test_dead_host_then_alive(make_godwit):
    port = ports.free_port()
    g = make_godwit(relay=("127.0.0.1", port))
    assert send(g, ["bob@example.org"])[0] == 250
    g.wait_log("deferred")
    with Sink(port=port) as sink:
        sink.wait(timeout=15)
        g.wait_log("delivered")
        assert len(sink.messages) == 1


def test_connection_lost_after_dot_is_tried_again(relay, sink):
    sink.close_after_dot = 1
    assert send(relay, ["bob@example.org"])[0] == 250
    sink.wait(timeout=15)
    relay.wait_log("delivered")
    assert len(sink.messages) == 2


def test_slow_peer_is_waited_for(make_godwit):
    with Sink(drip=0.02, dot_delay=1) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        assert send(g, ["bob@example.org"])[0] == 250
        sink.wait(timeout=20)
        g.wait_log("delivered")
        assert len(sink.messages) == 1


def test_expiry_bounces(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1s", expire="3s")
    sink.reply_at("rcpt", "451 4.2.2 mailbox busy")
    assert send(g, ["bob@example.org"])[0] == 250
    report = wait_bounce(g)
    _, (recipient,) = delivery_fields(report)
    assert recipient["Action"] == "failed" and recipient["Status"][0] in "45"
    assert g.log_lines("expired")
    g.wait_idle()


# ---- back ------------------------------------------------------------------------------------


def test_permanent_failure_bounces(relay, sink):
    sink.reply_to("gone@example.org", "550 5.1.1 no such user here")
    sent = simple_message("the subject")
    assert send(relay, ["gone@example.org", "bob@example.org"], sent)[0] == 250
    report = wait_bounce(relay)
    assert report["Return-Path"] == "<>"
    assert report["From"] and report["Date"] and report["Message-ID"] and report["Subject"]
    assert report["To"].strip("<>") == ALICE
    assert report["Auto-Submitted"] == "auto-replied"
    assert report.get_param("report-type") == "delivery-status"
    parts = report.get_payload()
    assert parts[0].get_content_type() == "text/plain"
    assert "gone@example.org" in parts[0].get_payload()
    assert parts[2].get_content_type() in ("message/rfc822", "text/rfc822-headers")
    assert "Subject: the subject" in parts[2].as_string()
    whole, (recipient,) = delivery_fields(report)
    assert whole["Reporting-MTA"].replace(" ", "") == "dns;mx.test"
    assert recipient["Final-Recipient"].replace(" ", "") == "rfc822;gone@example.org"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert "550 5.1.1 no such user here" in recipient["Diagnostic-Code"]
    assert recipient["Remote-MTA"]
    assert not report.defects and not any(p.defects for p in report.walk())
    assert [m.rcpts for m in sink.accepted()] == [["bob@example.org"]]
    relay.wait_idle()
    assert len(bounces(relay)) == 1
    assert relay.log_lines("bounced", code=550)[0]["to"] == "gone@example.org"


def test_bounce_to_remote_sender(relay, sink):
    sink.reply_to("gone@example.org", "550 5.1.1 no such user")
    assert send(relay, ["gone@example.org"], sender="shop@example.com")[0] == 250
    message = sink.wait()[0]
    assert (message.mail_from, message.rcpts) == ("", ["shop@example.com"])


def test_no_bounce_for_a_bounce(relay, sink):
    sink.reply_to("gone@example.org", "550 5.1.1 no such user")
    assert send(relay, ["gone@example.org"], sender="")[0] == 250
    relay.wait_log("bounced")
    relay.wait_idle()
    # a report that fails goes to the administrator, and if that fails, nowhere
    sink.reply_to("forged@example.com", "550 5.1.1 no such user")
    assert send(relay, ["gone@example.org"], sender="forged@example.com")[0] == 250
    relay.wait_log("bounced", count=3)
    relay.wait_idle()
    (message,) = sink.accepted()
    assert (message.mail_from, message.rcpts) == ("", ["postmaster@mx.test"])
    sink.reply_to("postmaster@mx.test", "550 5.1.1 no such user")
    assert send(relay, ["gone@example.org"], sender="forged@example.com")[0] == 250
    relay.wait_log("bounced", count=6)
    relay.wait_idle()
    assert len(sink.accepted()) == 1 and not relay.mail()
    assert [e["action"] for e in relay.log_lines("report")] == ["failed", "double-bounce"] * 2


def test_storm_ends_in_a_summary(make_godwit, sink):
    """Two reports to one sender in four seconds; what fails beyond is told in one."""
    g = make_godwit(relay=("127.0.0.1", sink.port), extra="dsn { per-sender 2/4s }\n")
    sink.reply_at("rcpt", "550 5.1.1 no such user")
    for i in range(6):
        assert send(g, [f"gone{i}@example.org"])[0] == 250
    told = [e["report"] for e in g.wait_log("bounced", count=6)]
    assert sorted(told) == ["summary"] * 4 + ["yes"] * 2
    assert "4 recipients failed" in g.cli("queue")
    ports.wait_for(lambda: len(bounces(g)) == 3, 15, what="the summary")
    g.wait_idle()
    named = sorted(len(delivery_fields(report)[1]) for report in bounces(g))
    assert named == [1, 1, 4]
    assert [e["recipients"] for e in g.log_lines("report", action="summary")] == ["4"]


def test_8bit_to_7bit_peer(make_godwit):
    """More of it is in test_8bit.py."""
    with Sink(extensions=("PIPELINING", "ENHANCEDSTATUSCODES")) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        sent = simple_message().encode() + "gr\u00fc\u00df\r\n".encode()
        assert send(g, ["bob@example.org"], sent, params=" BODY=8BITMIME")[0] == 250
        assert b"gr=C3=BC=C3=9F\r\n" in sink.wait()[0].data
        assert not sink.violations


# ---- politely --------------------------------------------------------------------------------


def test_connection_limit_and_reuse(make_godwit):
    with Sink(dot_delay=0.05) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), connections=2, per_connection=100)
        with Client(g.port) as client:
            client.hello()
            for n in range(30):
                assert client.message(ALICE, [f"u{n}@example.org"], simple_message())[0] == 250
        sink.wait(30, timeout=20)
        assert sink.most_sessions <= 2
        assert sink.sessions <= 4


def test_messages_per_connection(make_godwit):
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), connections=1, per_connection=5)
        with Client(g.port) as client:
            client.hello()
            for n in range(20):
                assert client.message(ALICE, [f"u{n}@example.org"], simple_message())[0] == 250
        sink.wait(20, timeout=20)
        per_session = {}
        for message in sink.messages:
            per_session[message.session] = per_session.get(message.session, 0) + 1
        assert max(per_session.values()) <= 5
        assert sink.most_sessions == 1


def test_limits_of_the_peer(make_godwit):
    """RFC 9422: two recipients at a time, three messages in a session. The rest goes at once, not
    by the schedule of what failed."""
    extensions = ("PIPELINING", "8BITMIME", "LIMITS MAILMAX=3 RCPTMAX=2")
    with Sink(extensions=extensions) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), connections=1, retry="60s", expire="1h")
        everybody = [f"u{n}@example.org" for n in range(11)]
        assert send(g, everybody)[0] == 250
        assert sorted(sink.wait_recipients(11, timeout=20)) == sorted(everybody)
        per_session = {}
        for message in sink.messages:
            assert len(message.rcpts) <= 2
            per_session[message.session] = per_session.get(message.session, 0) + 1
        assert max(per_session.values()) <= 3 and len(per_session) >= 2
        assert not sink.violations


def test_peer_without_extensions(make_godwit):
    with Sink(extensions=()) as sink:
        sink.reply_at("helo", "502 5.5.1 no EHLO here", times=1)
        g = make_godwit(relay=("127.0.0.1", sink.port))
        assert send(g, ["bob@example.org", "eve@example.org"])[0] == 250
        sink.wait(timeout=15)
        assert any(command.upper().startswith("HELO") for command in sink.commands)
        assert not sink.violations


def test_pipelines_when_offered(relay, sink):
    assert send(relay, ["bob@example.org", "eve@example.org"])[0] == 250
    sink.wait()
    assert sink.pipelined


# ---- LMTP ------------------------------------------------------------------------------------


def test_lmtp_mixed_replies(make_godwit):
    with Sink(lmtp=True) as store:
        g = make_godwit(lmtp=("127.0.0.1", store.port), domains=("example.net", "lists.example"),
                        retry="1s")
        store.dot_reply_to("full@example.net", "452 4.2.2 over quota", times=1)
        store.dot_reply_to("gone@example.net", "550 5.1.1 no mailbox")
        sent = simple_message()
        assert send(g, ["ok@example.net", "full@example.net", "gone@example.net"], sent,
                    sender="boss@lists.example")[0] == 250
        g.wait_log("delivered", to="full@example.net", timeout=15)
        g.wait_log("bounced", to="gone@example.net")
        copies = {}
        for message in store.messages:
            for rcpt, reply in zip(message.rcpts, message.replies):
                copies.setdefault(rcpt, []).append((reply[:3], message))
        assert [code for code, _ in copies["ok@example.net"]] == ["250"]
        assert [code for code, _ in copies["full@example.net"]] == ["452", "250"]
        assert [code for code, _ in copies["gone@example.net"]] == ["550"]
        assert_same_content(copies["ok@example.net"][0][1].data, sent)
        ports.wait_for(lambda: [m for m in store.accepted() if m.rcpts == ["boss@lists.example"]],
                       what="the bounce")


def test_log_has_no_line_breaks_from_peers(relay, sink):
    sink.reply_to("bob@example.org", "550 5.1.1 no \x1b[31m ev=delivered id=forged")
    with Client(relay.port) as client:
        assert client.hello('x" ev=accepted\x1b[31m')[0] // 100 == 5
        client.hello()
        client.message(ALICE, ["bob@example.org"], simple_message())
    lines = relay.wait_log("bounced")
    assert "\x1b" not in relay.log_text()
    assert lines[0]["id"] != "forged" and not relay.log_lines("delivered", id="forged")
