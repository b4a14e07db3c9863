"""How a message asks to be handled: REQUIRETLS, TLS-Required, MT-PRIORITY, on both sides."""

import email
import re

import pytest

from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink
from peers.tls import context
from peers.tls_sink import TlsSink, server_context
from peers.zones import Zones

ALICE, BOB = "alice@example.net", "bob@example.org"
OFFERS = ("PIPELINING", "8BITMIME", "REQUIRETLS", "MT-PRIORITY")


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("localhost", "127.0.0.1")


def start(make_godwit, ca, pair, sink, way="", **more):
    """Mail for others goes to the sink, reports to Alice into her mailbox."""
    more.setdefault("retry", "1h")
    return make_godwit(relay=("127.0.0.1", f"{sink.port} {way}".strip()), tls=[pair],
                       extra=f"authorities {ca.cert}", **more)


def send(g, ca, params="", content=None, to=BOB):
    with Client(g.port) as client:
        client.hello()
        assert client.cmd("STARTTLS")[0] == 220
        client.sock = context(ca).wrap_socket(client.sock, server_hostname="127.0.0.1")
        client.hello()
        return client.message(ALICE, [to], content or simple_message(), " " + params)


def said(sink, verb="MAIL"):
    return [line for s in sink.sessions for line in s.said(verb)]


def report_of(g):
    return email.message_from_bytes(g.wait_mail()[0].read_bytes())


# ---- REQUIRETLS (RFC 8689) -------------------------------------------------------------------


def test_required_and_promised(make_godwit, ca, pair):
    with TlsSink(server_context(pair), extensions=OFFERS) as sink:
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca)[0] == 250
        assert sink.wait()[0].tls and "REQUIRETLS" not in said(sink)[0]
        # the connection that stands was verified for nobody: the next message has one of its own
        assert send(g, ca, "REQUIRETLS")[0] == 250
        second = sink.wait(2)[1]
        assert second.tls and second.session is not sink.messages[0].session
        assert "REQUIRETLS" in said(sink)[-1]
        assert g.wait_log("delivered", count=2)[1]["tls"] == "1.3/verified"


def test_only_under_tls(make_godwit, ca, pair, sink):
    g = start(make_godwit, ca, pair, sink)
    with Client(g.port) as client:
        assert "REQUIRETLS" not in client.cmd("EHLO client.test")[1]
        assert client.cmd(f"MAIL FROM:<{ALICE}> REQUIRETLS")[0] == 555


@pytest.mark.parametrize("lacks,code", [("REQUIRETLS", "5.7.30"), ("STARTTLS", "5.7.10")])
def test_comes_back_with_its_header_alone(make_godwit, ca, pair, lacks, code):
    """Nothing of it is said to a host that lacks it, whatever RET asks for."""
    offers = [word for word in OFFERS if word != lacks]
    tls = "220 2.0.0 go on" if lacks != "STARTTLS" else None
    with TlsSink(server_context(pair), extensions=offers, starttls=tls) as sink:
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "REQUIRETLS RET=FULL", simple_message(body="the secret\r\n"))[0] == 250
        assert g.wait_log("bounced")[0]["esc"] == code
        assert not said(sink) and not sink.messages
        report = report_of(g)
        assert report.get_payload(2).get_content_type() == "text/rfc822-headers"
        assert "the secret" not in report.as_string() and code in report.as_string()


def test_a_bad_certificate_waits(make_godwit, ca, pair):
    with TlsSink(server_context(ca.issue("elsewhere.test", file="elsewhere")),
                 extensions=OFFERS) as sink:
        g = start(make_godwit, ca, pair, sink, "tls off")  # a route cannot make it less
        assert send(g, ca, "REQUIRETLS")[0] == 250
        line = g.wait_log("deferred")[0]
        assert line["esc"] == "4.7.5" and "REQUIRETLS" in line["reply"]
        assert not said(sink)


def test_whose_host_it_is(make_godwit, ca):
    """A certificate says who it is; that it is a host of the domain only a signed MX does."""
    pair = ca.issue("mx.host.test", "plain.test", "127.0.0.1", file="hosts")
    port = ports.free_everywhere()
    host = "@ MX 10 mx.host.test."
    zones = {"host.test": "mx A 127.0.1.1", "plain.test": "@ A 127.0.1.1",
             "safe.test": host, "loose.test": host}
    with Zones(zones, signed=["safe.test"]) as z, \
            TlsSink(server_context(pair), extensions=OFFERS, host="127.0.1.1", port=port) as sink:
        g = make_godwit(tls=[pair], retry="1h", extra=z.config(timeout="1s") +
                        f"authorities {ca.cert}\nroute to any via mx port {port} private")
        for domain in ("safe.test", "loose.test", "plain.test"):
            assert send(g, ca, "REQUIRETLS", to=f"bob@{domain}")[0] == 250
        line = g.wait_log("bounced")[0]
        assert line["esc"] == "5.7.30" and "loose.test is not signed" in line["reply"]
        assert sorted(m.rcpts[0] for m in sink.wait(2)) == ["bob@plain.test", "bob@safe.test"]
        assert all("REQUIRETLS" in line for line in said(sink))


# ---- MT-PRIORITY (RFC 6710) ------------------------------------------------------------------


def test_priority_goes_on(make_godwit, ca, pair):
    with TlsSink(server_context(pair), extensions=OFFERS) as sink:
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "MT-PRIORITY=4")[0] == 250
        assert b"PRIORITY 4;" in sink.wait()[0].data.replace(b"\r\n\t", b" ")
        assert "MT-PRIORITY=4" in said(sink)[0]
        assert g.wait_log("accepted")[0]["class"] == "high"
    with Sink() as sink:  # who does not know of it is not told
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "MT-PRIORITY=-4")[0] == 250
        assert not any("PRIORITY" in p for p in sink.wait()[0].mail_params)
        assert g.wait_log("accepted")[0]["class"] == "bulk"


def test_a_stranger_is_lowered(make_godwit, sink):
    with Sink(lmtp=True) as mailbox:
        g = make_godwit(lmtp=("127.0.0.1", mailbox.port), trust=None)
        with Client(g.port) as client:
            client.hello()
            reply = client.cmd(f"MAIL FROM:<{ALICE}> MT-PRIORITY=9")
            assert reply[0] == 250 and reply[1].startswith("2.3.6 0 "), reply
            assert client.cmd("RCPT TO:<bob@example.net>")[0] == 250
            assert client.data(simple_message())[0] == 250
        assert b"PRIORITY 0;" in mailbox.wait()[0].data.replace(b"\r\n\t", b" ")
        assert g.wait_log("accepted")[0]["class"] == "normal"


def test_priority_in_the_header(make_godwit, ca, pair):
    """RFC 6758: of whoever may relay, and where MAIL says none. Others' field means nothing."""
    def letter(priority):
        return f"MT-Priority: {priority}\r\n" + simple_message()

    with TlsSink(server_context(pair), extensions=OFFERS) as sink:
        g = start(make_godwit, ca, pair, sink)
        for params, priority in (("", 5), ("MT-PRIORITY=-2", 5), ("", -6), ("", 10)):
            assert send(g, ca, params, letter(priority))[0] == 250
        sink.wait(4)
        assert sorted(line.partition("MT-PRIORITY=")[2] for line in said(sink)) == ["", "-2", "-6", "5"]
        assert [a["class"] for a in g.wait_log("accepted", count=4)] == [
            "high", "bulk", "bulk", "normal"]
    with Sink(lmtp=True, extensions=("MT-PRIORITY",)) as mailbox:
        g = make_godwit(lmtp=("127.0.0.1", mailbox.port), trust=None)
        with Client(g.port) as client:
            client.hello()
            assert client.message(BOB, ["bob@example.net"], letter(9))[0] == 250
        assert not any("PRIORITY" in p for p in mailbox.wait()[0].mail_params)
        assert g.wait_log("accepted")[0]["class"] == "normal"


@pytest.mark.parametrize("offers", [("MT-PRIORITY", "DELIVERBY", "DSN"), ()])
def test_to_mailboxes_by_lmtp(make_godwit, ca, pair, offers):
    """A mailbox is the end of the way: what is to be returned goes there, offered or not, and nobody is
    told that it was passed on. Who offers them is told of both."""
    with Sink(lmtp=True, extensions=("PIPELINING", *offers)) as mailbox:
        g = make_godwit(lmtp=("127.0.0.1", mailbox.port), tls=[pair],
                        extra=f"authorities {ca.cert}\n")
        for params in ("BY=600;R", "BY=600;NT MT-PRIORITY=4"):
            with Client(g.port) as client:
                client.hello()
                assert client.message(ALICE, ["bob@example.net"], simple_message(),
                                      " " + params)[0] == 250
        lines = sorted((" ".join(m.mail_params) for m in mailbox.wait(2)), key=lambda s: "NT" in s)
        g.wait_idle()
        assert len(g.log_lines("delivered")) == 2 and len(mailbox.messages) == 2
        if offers:
            assert re.search(r"BY=(600|59\d);R$", lines[0])
            assert re.search(r"MT-PRIORITY=4 BY=(600|59\d);NT$", lines[1])
        else:
            assert not any("BY=" in line or "PRIORITY" in line for line in lines)


# ---- DELIVERBY (RFC 2852) --------------------------------------------------------------------


def by_of(sink):
    """(seconds, mode) that the sink was told, of each message."""
    found = [re.search(r" BY=(-?\d+);(\w+)", line) for line in said(sink)]
    return [(int(m[1]), m[2]) for m in found if m]


def status_of(report):
    """The fields of the message and of its first recipient, of the second part of a report."""
    return {k: v for block in report.get_payload(1).get_payload() for k, v in block.items()}


def reports(g):
    return [email.message_from_bytes(p.read_bytes()) for p in g.mail()]


def test_what_is_left_goes_on(make_godwit, ca, pair):
    with TlsSink(server_context(pair), extensions=(*OFFERS, "DELIVERBY 60", "DSN")) as sink:
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "BY=3600;R")[0] == 250
        assert send(g, ca, "BY=+7200;NT")[0] == 250
        assert send(g, ca, "BY=-5;N")[0] == 250
        assert send(g, ca, "BY=50;R")[0] == 250  # less than that host needs: nothing is said to it
        assert g.wait_log("bounced")[0]["esc"] == "5.4.7"
        assert len(sink.wait(3)) == 3
        left = sorted(by_of(sink))
        assert [mode for _, mode in left] == ["N", "R", "NT"]
        assert -9 <= left[0][0] <= -5 and 3590 <= left[1][0] < 3600 and 7190 <= left[2][0] < 7200
        # the trace, what was late before it came here, and what came back
        g.wait_mail(3)
        told = sorted((r["Action"], r["Status"]) for r in map(status_of, reports(g)))
        assert told == [("delayed", "4.4.7"), ("failed", "5.4.7"), ("relayed", "2.0.0")]
        assert all("Deliver-By-Date" in status_of(r) for r in reports(g))


@pytest.mark.parametrize("mode", ["R", "N"])
def test_to_a_host_without(make_godwit, ca, pair, mode):
    with Sink() as sink:
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, f"BY=600;{mode}")[0] == 250
        report = status_of(report_of(g))
        if mode == "R":
            assert (report["Action"], report["Status"]) == ("failed", "5.4.7")
            assert "cannot be guaranteed" in report["Diagnostic-Code"].replace("\n ", " ")
            assert not sink.messages
        else:
            assert report["Action"] == "relayed"
            assert len(sink.wait()) == 1 and not any("BY=" in p for p in sink.messages[0].mail_params)
        with Client(g.port) as client:  # whoever wants no reports has none
            client.hello()
            assert client.cmd(f"MAIL FROM:<{ALICE}> BY=600;{mode}")[0] == 250
            assert client.cmd(f"RCPT TO:<{BOB}> NOTIFY=NEVER")[0] == 250
            assert client.data(simple_message())[0] == 250
        g.wait_idle()
        assert len(reports(g)) == 1


def test_returned_in_time_wherever_it_waits(make_godwit, ca, pair):
    """At rest until tomorrow, held, of a paused group, and over a death of everything."""
    with Sink(extensions=("PIPELINING", "DELIVERBY")) as sink:
        sink.reply_at("rcpt", "451 4.2.0 not now")
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "BY=4;R")[0] == 250
        g.wait_log("deferred")
        assert send(g, ca, "BY=4;R")[0] == 250
        g.wait_log("deferred", count=2)
        g.cli("queue", "hold", g.wait_log("accepted", count=2)[1]["id"])
        g.cli("queue", "pause", "all")
        assert send(g, ca, "BY=4;R")[0] == 250
        g.kill9_all()
        sink.heal()
        g.start()
        for line in g.wait_log("bounced", count=3):
            assert line["esc"] == "5.4.7"
            assert 3.9 <= float(line["total"]) < 10
            assert line["reply"].count("in the time") == 1
        g.cli("queue", "resume", "all")
        g.wait_idle()
        g.cli("queue", "retry", "all")
        assert not sink.accepted()
        g.wait_mail(3)
        assert all(status_of(r)["Status"] == "5.4.7" for r in reports(g))


def test_told_once_and_tried_on(make_godwit, ca, pair):
    with Sink(extensions=("PIPELINING", "DELIVERBY")) as sink:
        sink.reply_at("rcpt", "451 4.2.0 not now")
        g = start(make_godwit, ca, pair, sink)
        assert send(g, ca, "BY=2;N")[0] == 250
        g.wait_log("deferred")
        assert send(g, ca, "BY=2;N")[0] == 250
        g.wait_log("deferred", count=2)
        g.cli("queue", "hold", g.wait_log("accepted", count=2)[1]["id"])
        g.wait_mail(2)
        assert all(status_of(r)["Action"] == "delayed" for r in reports(g))
        g.kill9_all()
        sink.heal()
        g.start()
        assert [r["state"] for q in g.queue() for r in q["recipients"]].count("held") == 1
        g.cli("queue", "release", "all")
        g.cli("queue", "retry", "all")
        assert len(sink.wait(2)) == 2
        g.wait_idle()
        assert len(reports(g)) == 2


def test_send_says_it(make_godwit, ca, pair):
    with TlsSink(server_context(pair), extensions=(*OFFERS, "DELIVERBY")) as sink:
        g = start(make_godwit, ca, pair, sink)
        to = ["--server", f"127.0.0.1:{g.port}", "--tls-ca", str(ca.cert), "--from", ALICE, BOB]
        g.cli("send", "--deliver-by", "2h,notify,trace", "--priority", "-3", "--require-tls", *to)
        sink.wait()
        assert re.search(r" REQUIRETLS MT-PRIORITY=-3 BY=71\d\d;NT$", said(sink)[0])
        g.cli("send", "--deliver-by", "2h", *to)
        sink.wait(2)
        assert by_of(sink)[1][1] == "R"
    for bad in (["--deliver-by", "0s"], ["--deliver-by", "2h,often"], ["--deliver-by", "2h,return,x"],
                ["--priority", "10"], ["--priority", "+1"]):
        assert g.run("send", *bad, *to).returncode == 64
    with Sink() as plain:
        to[1] = f"127.0.0.1:{plain.port}"
        assert g.run("send", "--deliver-by", "2h", *to[:2], *to[4:]).returncode == 2
        assert g.run("send", "--require-tls", *to).returncode == 69
        done = g.run("send", "--priority", "3", *to[:2], *to[4:])
        assert done.returncode == 0 and "does not offer MT-PRIORITY" in done.stderr
        assert len(plain.accepted()) == 1
