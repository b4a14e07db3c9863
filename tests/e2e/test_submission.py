"""What becomes of the content: a submission listener mends it and says so in the log, mx and relay
listeners leave every octet alone; loops, headers and nesting without end are refused."""

import email
import pathlib
import re
import smtplib
import ssl
import time

import pytest

from conftest import assert_same_content, needs_processes, run_as, split_trace
from peers import ports
from peers.certs import Authority
from peers.client import Client, simple_message

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    submission 127.0.0.1:{submission}
listen    relay 127.0.0.1:{relay}
trust     127.0.0.0/8
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
limits    {{ connections 1000 per-ip 500; {limits} }}
store     {{ segment 8M; reserve 16M; spares 1 }}
{run_as}
domain    example.net {{ deliver maildir @DIR@/mail/%d/%u }}
route to any via relay 127.0.0.1:{sink}
shape * {{ connections 20; per-connection 100; retry 1s; expire 2m }}
"""

SENDER = "alice@example.net"
BOB = "bob@example.org"
# A header that needs nothing.
WHOLE = "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\nMessage-ID: <x@y.example>\r\nFrom: <a@b.example>\r\n"


class Kinds:
    """A Godwit with a listener of each kind: k.send("submission", content)."""

    def __init__(self, make_godwit, sink, limits=""):
        self.sink = sink
        self.port = {"submission": ports.free_port(), "relay": ports.free_port()}
        self.godwit = make_godwit(CONFIG.format(
            sink=sink.port, limits=limits, run_as=run_as(), **self.port))
        self.port["mx"] = self.godwit.port

    def send(self, kind, content, recipients=(BOB,), sender=SENDER):
        """The final reply."""
        with Client(self.port[kind]) as client:
            client.hello()
            return client.message(sender, list(recipients), content)

    def submit(self, content, **how):
        """(what arrives without its trace fields, the line "accepted")."""
        before = len(self.sink.messages)
        code, text = self.send("submission", content, **how)
        assert code == 250, text
        message = self.sink.wait(before + 1)[before]
        accepted = self.godwit.wait_log("accepted", id=text.split()[-1])[0]
        return split_trace(message.data)[1].decode("latin-1"), accepted


@pytest.fixture
def make_kinds(make_godwit, sink):
    """make_kinds(limits): nothing is on its way any more when the sink goes."""
    made = []

    def make(limits=""):
        made.append(Kinds(make_godwit, sink, limits))
        return made[-1]

    yield make
    for k in made:
        k.godwit.wait_idle()


@pytest.fixture
def kinds(make_kinds):
    return make_kinds()


def fields(text):
    """The header as a list of (name in lower case, value with its folds)."""
    head = text.partition("\r\n\r\n")[0] + "\r\n"
    return [(m[1].lower(), m[2]) for m in
            re.finditer(r"^([!-9;-~]+)[ \t]*:((?:.*\r\n)(?:[ \t].*\r\n)*)", head, re.M)]


# ---- what is mended ---------------------------------------------------------------------------


def test_what_is_missing_is_added(kinds):
    text, accepted = kinds.submit("Subject: hello\r\n\r\nbody\r\n")
    got = dict(fields(text))
    assert text.endswith("Subject: hello\r\n\r\nbody\r\n")
    assert got["from"].strip() == SENDER
    assert got["message-id"].strip() == f"<{accepted['id']}@mx.test>"
    assert re.fullmatch(r"\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000", got["date"].strip())
    assert accepted["fixed"] == "date,message-id,from"


def test_whole_header_is_left_alone(kinds):
    sent = WHOLE + "To: Bob <bob@example.org>,\r\n\t(x) carol@example.org\r\n\r\nbody\r\n"
    text, accepted = kinds.submit(sent)
    assert text == sent and "fixed" not in accepted


def test_several_authors_get_a_sender(kinds):
    authors = "From: a@b.example,\r\n Ann <ann@b.example>\r\n"
    text, accepted = kinds.submit(f"Date: x\r\nMessage-ID: <y@z>\r\n{authors}\r\nbody\r\n")
    assert ("sender", f" {SENDER}\r\n") in fields(text) and authors in text
    assert accepted["fixed"] == "sender"


def test_nobody_sees_bcc(kinds):
    sent = (WHOLE + "Bcc: carol@example.org,\r\n \"Erin (x)\"\r\n\t<erin@example.net>\r\n"
            "To: bob@example.org\r\nbCC :\r\nResent-Bcc: dave@example.org\r\n\r\nBcc: is content\r\n")
    code, _ = kinds.send("submission", sent, [BOB, "carol@example.org", "erin@example.net"])
    assert code == 250
    assert set(kinds.sink.wait_recipients(2)) == {BOB, "carol@example.org"}
    copies = [m.data for m in kinds.sink.messages] + [kinds.godwit.wait_mail()[0].read_bytes()]
    want = (WHOLE + "To: bob@example.org\r\n\r\nBcc: is content\r\n").encode()
    for copy in copies:
        assert_same_content(copy, want)
        assert b"carol" not in copy and b"dave" not in copy
    assert all(b"erin" not in m.data for m in kinds.sink.messages)
    assert kinds.godwit.wait_log("accepted")[0]["fixed"] == "bcc"


def test_bare_addresses_get_a_domain(kinds):
    sent = ("Date: x\r\nMessage-ID: <y@z>\r\nFrom: root (Cron Daemon)\r\n"
            "To: Ann (of: a, b)\r\n\t<ann>, bob@example.org,\r\n friends: carol;\r\n"
            "Reply-To: =?utf-8?Q?J=C3=BC?= <jue>\r\nX-To: root\r\n\r\nroot\r\n")
    text, accepted = kinds.submit(sent)
    want = sent.replace("root (", "root@mx.test (").replace("<ann>", "<ann@mx.test>")
    assert text == want.replace("carol;", "carol@mx.test;").replace("<jue>", "<jue@mx.test>")
    assert accepted["fixed"] == "address"


def test_return_path_goes(kinds):
    text, accepted = kinds.submit("Return-Path: <x@y>\r\n" + WHOLE + "\r\nbody\r\n")
    assert text == WHOLE + "\r\nbody\r\n" and accepted["fixed"] == "return-path"


@pytest.mark.parametrize("body", ["no header at all\r\n", " begins: with a blank\r\n\r\nx\r\n",
                                  "From me Sat Nov 21 19:00:00 2026\r\nSubject: x\r\n\r\ny\r\n",
                                  "\r\nFrom: is content\r\n", "y" * 3000 + "\r\nSubject: x\r\n"])
def test_a_message_without_header_gets_one(kinds, body):
    text, accepted = kinds.submit(body)
    head, _, rest = text.partition("\r\n\r\n")
    assert [name for name, _ in fields(head + "\r\n\r\n")] == ["date", "message-id", "from"]
    assert rest == body.removeprefix("\r\n")
    assert accepted["fixed"] == "date,message-id,from"


def test_what_cannot_be_read_is_left_alone(kinds):
    sent = WHOLE + "To: two words, root\r\nCc: <\r\nbroken line\r\nSubject: =?x\r\n\r\nbody\r\n"
    text, accepted = kinds.submit(sent)
    assert text == sent and "fixed" not in accepted


@pytest.mark.parametrize("head, words", [
    ("From: a@b\r\nFrom: c@d\r\n", "more than one From"),
    ("From: a@b\r\nX: y\r\nFROM : a@b\r\n", "more than one From"),
    ("From: Ann Other\r\n", "From field is not a list"),
    ("From: victim@bank.example <a@b.example>\r\n", "From field is not a list"),
    ("From: undisclosed:;\r\n", "From field has no address"),
    ("From: a@b\r\nFrom\r\n : c@d\r\n", "name of the From field"),
])
def test_a_from_that_is_not_one_is_refused(kinds, head, words):
    code, text = kinds.send("submission", head + "\r\nbody\r\n")
    assert code == 550 and text.startswith("5.6.0 ") and words in text
    assert kinds.godwit.wait_log("reject")[0]["reason"] == "header_unreadable"
    for kind in ("mx", "relay"):
        assert kinds.send(kind, head + "\r\nbody\r\n")[0] == 250


def test_no_from_and_nobody_to_make_it_of(kinds):
    code, text = kinds.send("submission", "Subject: x\r\n\r\n", sender="")
    assert code == 550 and "no envelope sender" in text


def test_large_content_is_mended_too(kinds):
    """Most of it went ahead to the queue before the header was looked at."""
    body = "".join(f"{n:07d} {'x' * 60}\r\n" for n in range(10 * 1024 * 1024 // 70))
    text, accepted = kinds.submit(f"Bcc: x@y.example\r\nSubject: large\r\n\r\n{body}")
    assert text.endswith(f"From: {SENDER}\r\nSubject: large\r\n\r\n{body}")
    assert accepted["fixed"] == "date,message-id,from,bcc"


# ---- what is not touched -----------------------------------------------------------------------

def huge_header():
    lines = [f"X-{n}: {'v' * 50}\r\n\t{'w' * 20}\r\n" for n in range(3000)]
    return "".join(lines)[:255 * 1024].rpartition("\r\nX-")[0] + "\r\n\r\nbody\r\n"


NASTY = {
    "nothing": "",
    "empty header": "\r\n",
    "no body": "Subject: x\r\n\r\n",
    "no empty line": "Subject: x\r\nTo: root\r\n",
    "bcc and bare": "Bcc: secret\r\nReturn-Path: <a@b>\r\nTo: root\r\nFrom: x\r\n\r\nbody\r\n",
    "two from": "From: a@b\r\nFrom: <\r\nDate: never\r\n\r\nbody\r\n",
    "8-bit header": b"Subject: gr\xc3\xbc\xdf \xff\x01\x7f\r\nFrom: \xe4 <a@b>\r\n\r\n\xff\xfe\r\n",
    "odd folds": "Subject:\r\n \r\n\t\r\n x\r\nA :b\r\nB:\t \r\n\r\n body\r\n",
    "broken lines": "Subject: x\r\nno field\r\n\x01: y\r\nFrom\r\n : z\r\n\r\nbody\r\n",
    "blank first": "Subject: x\r\n\r\n  body begins with blanks \t \r\n\r\n\r\n",
    "dots": "A: b\r\n\r\n.\r\n..\r\n.x\r\n...\r\nx.\r\n \r\n.\r\n",
    "long lines": "Subject: " + "s" * 5000 + "\r\n\r\n" + "x" * 70000 + "\r\n",
    "huge header": huge_header(),
    "parts": "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x--\r\n--x\r\nepilogue",
    "large": "Subject: x\r\n\r\n" + ("y" * 76 + "\r\n") * (10 * 1024 * 1024 // 78),
}


@pytest.mark.parametrize("name", NASTY)
def test_mx_and_relay_change_nothing(kinds, name):
    sent = NASTY[name]
    sent = sent if isinstance(sent, bytes) else sent.encode()
    if sent and not sent.endswith(b"\r\n"):
        sent += b"\r\n"
    for number, kind in enumerate(("mx", "relay")):
        code, text = kinds.send(kind, sent, [BOB])
        assert code == 250, text
        message = kinds.sink.wait(number + 1, timeout=30)[number]
        assert_same_content(message.data, sent)
    assert not kinds.godwit.log_lines("accepted", fixed="")
    assert not kinds.sink.violations or b"\xff" in sent  # 8-bit that was not declared


@pytest.mark.parametrize("kind", ["mx", "submission", "relay"])
def test_content_without_a_header_is_none_of_ours(kinds, kind):
    """What does not begin with a field must not continue, or run into, the fields we add."""
    for number, sent in enumerate([" folded: into ours\r\n", "text\r\n", "y" * 2000 + "\r\n"]):
        assert kinds.send(kind, sent)[0] == 250
        text = kinds.sink.wait(number + 1)[number].data.decode()
        assert text.endswith("\r\n\r\n" + sent)
        assert sent.strip() not in text.partition("\r\n\r\n")[0]


# ---- the trace field ---------------------------------------------------------------------------


def test_from_a_complaint_to_the_client(kinds):
    """The id in Received finds the line that says who it was."""
    code, _ = kinds.send("submission", WHOLE + "\r\nspam\r\n")
    assert code == 250
    received = dict(fields(kinds.sink.wait()[0].data.decode()))["received"]
    assert " by mx.test with ESMTP" in received and f"for <{BOB}>;" in received
    assert all(len(line) < 78 for line in ("Received:" + received).splitlines())
    ident = re.search(r"\sid (\w{26});?\s", received)[1]
    lines = [line for line in kinds.godwit.log_text().splitlines() if f" id={ident} " in line]
    accepted = [line for line in lines if " ev=accepted " in line]
    assert len(accepted) == 1 and " ip=127.0.0.1 " in accepted[0]
    assert f" listener=submission " in accepted[0] and "msgid=<x@y.example>" in accepted[0]


def test_recipients_do_not_see_each_other(kinds):
    assert kinds.send("submission", WHOLE + "\r\n", [BOB, "carol@example.org"])[0] == 250
    kinds.sink.wait_recipients(2)
    assert all(b"for <" not in m.data and b"carol" not in m.data for m in kinds.sink.messages)


# ---- users ---------------------------------------------------------------------------------------


@pytest.fixture
def logged_in(make_godwit, sink, scratch):
    """alice@example.com, logged in under TLS at a submission listener."""
    pair = Authority(scratch).issue("mx.test")
    g = make_godwit(relay=("127.0.0.1", sink.port), trust=None, tls=[pair],
                    listeners={"submission": "submission"},
                    users={"alice@example.com": ("correct horse", "--as", "alice@example.com")})
    with smtplib.SMTP("127.0.0.1", g.ports["submission"]) as client:
        client.starttls(context=ssl._create_unverified_context())
        ports.wait_for(lambda: client.ehlo()[0] == 250 and client.has_extn("auth"), 5, what="AUTH")
        client.login("alice@example.com", "correct horse")
        client.godwit = g
        yield client
        g.wait_idle()


def submit_as_user(client, content, sender="alice@example.com"):
    client.mail(sender)
    client.rcpt(BOB)
    code, text = client.data(content)
    client.rset()
    return code, text.decode()


def test_the_trace_of_a_user(logged_in, sink):
    code, text = submit_as_user(logged_in, WHOLE.replace("a@b.example", "alice") + "\r\nhi\r\n")
    assert code == 250, text
    data = sink.wait()[0].data.decode()
    received = dict(fields(data))["received"]
    assert re.search(r"with ESMTPSA\s+\(version=TLSv1\.[23] cipher=[A-Z0-9_-]+\)\s+id ", received)
    assert "alice" not in received  # who it was is for us to know
    ident = re.search(r"\sid (\w{26})\s", received)[1]
    accepted = logged_in.godwit.wait_log("accepted", id=ident)[0]
    assert accepted["login"] == "alice@example.com" and accepted["tls"].startswith("TLSv1.")
    assert accepted["ip"] == "127.0.0.1"
    # A bare address of a user is one of his own domain, and From is judged with it.
    assert ("from", " <alice@example.com>\r\n") in fields(data) and accepted["fixed"] == "address"


def test_a_user_without_from_is_himself(logged_in, sink):
    assert submit_as_user(logged_in, "Subject: x\r\n\r\n", sender="")[0] == 250
    assert ("from", " alice@example.com\r\n") in fields(sink.wait()[0].data.decode())


@pytest.mark.parametrize("head", [
    "From: victim@example.com\r\n",
    "From: victim\r\n",
    "From: alice@example.com, victim@example.com\r\n",
    "From: alice@example.com\r\nFrom: victim@example.com\r\n",
    "From: victim@example.com <alice@example.com>\r\n",
    "From: g: alice@example.com; victim@example.com\r\n",
    "From: alice@example.com\r\nFrom\r\n : victim@example.com\r\n",
    "From: alice@example.com\r\nF\x01rom: victim@example.com\r\n",
    "From: alice@example.com\r\nno field\r\nFROM : victim@example.com\r\n",
    "From: =?utf-8?Q?=22?= <alice@example.com>,\r\n\tvictim@example.com (alice@example.com)\r\n",
    "From: (a\\)) victim@example.com (\r\n <alice@example.com>)\r\n",
])
def test_a_user_cannot_be_another(logged_in, head):
    code, text = submit_as_user(logged_in, head + "To: x@y.example\r\n\r\nsend money\r\n")
    assert code == 550 and text[:2] == "5."
    assert not logged_in.godwit.log_lines("accepted")


# ---- limits --------------------------------------------------------------------------------------


def trace(n):
    return "".join(f"Received: from a by b; Sat, 21 Nov 2026 19:00:{i % 60:02d} +0000\r\n"
                   for i in range(n))


def test_hop_limit(make_kinds):
    kinds = make_kinds("hops 25")
    assert kinds.send("mx", trace(24) + WHOLE + "\r\n")[0] == 250
    for kind in ("mx", "relay", "submission"):
        code, text = kinds.send(kind, trace(25) + WHOLE + "\r\n")
        assert code == 554 and text.startswith("5.4.6 ")
    assert kinds.godwit.log_lines("reject")[0]["reason"] == "mail_loop"


def test_header_limit(make_kinds):
    kinds = make_kinds("header-size 64K")
    field = "X: " + "y" * 59 + "\r\n"  # 64 octets
    assert kinds.send("mx", field * 1023 + "\r\nbody\r\n")[0] == 250
    for kind in ("mx", "submission"):
        code, text = kinds.send(kind, field * 1024 + "\r\nbody\r\n")
        assert code == 552 and text.startswith("5.3.4 ")
    # 120 000 fields: they are not kept either.
    assert kinds.send("mx", "a:\r\n" * 120000 + "\r\n")[0] == 552


def test_header_that_grows_too_much(kinds):
    """Every address of it would get a domain."""
    code, text = kinds.send("submission", WHOLE + "To: " + "a,\r\n " * 40000 + "a\r\n\r\n")
    assert code == 552 and text.startswith("5.3.4 ")


def test_largest_header_that_can_be_set(make_kinds):
    kinds = make_kinds("header-size 1M")
    sent = ("a:\r\n" * 262000 + "\r\nbody\r\n").encode()
    begun = time.monotonic()
    assert kinds.send("mx", sent)[0] == 250
    assert time.monotonic() - begun < 20  # a square of the lines would be minutes
    assert_same_content(kinds.sink.wait(timeout=30)[0].data, sent)


def nested(depth, message=False):
    if message:
        return "Content-Type: message/rfc822\r\n\r\n" * depth + "Subject: x\r\n\r\nbody\r\n"
    return "".join(f"Content-Type: multipart/mixed;\r\n boundary=\"b{n}\"\r\n\r\n--b{n}\r\n"
                   for n in range(depth)) + "\r\nbody\r\n"


def peak_memory(pid):
    """VmHWM in kilobytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


@pytest.mark.parametrize("message", [False, True])
def test_nesting_limit(kinds, message):
    assert kinds.send("mx", nested(100, message))[0] == 250
    code, text = kinds.send("mx", nested(101, message))
    assert code == 554 and text.startswith("5.6.0 ") and "nest too deep" in text
    assert kinds.godwit.wait_log("reject")[0]["reason"] == "mime_too_deep"


def test_parts_limit(make_kinds):
    kinds = make_kinds("mime-parts 100")
    head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert kinds.send("mx", head + "--b\r\n\r\n" * 100 + "--b--\r\n")[0] == 250
    code, text = kinds.send("mx", head + "--b\r\n\r\n" * 101 + "--b--\r\n")
    assert code == 554 and "too many MIME parts" in text
    assert kinds.godwit.wait_log("reject")[0]["reason"] == "mime_too_many"


@needs_processes
def test_nesting_without_end_costs_nothing(kinds):
    """20 000 levels, and a hundred open ones with 10 MiB of lines that could be boundaries."""
    pid = kinds.godwit.role_pid("smtpd")
    kinds.send("mx", simple_message())
    before, begun = peak_memory(pid), time.monotonic()
    for content in (nested(20000), nested(20000, message=True),
                    nested(100) + "--x\r\n" * (2 * 1024 * 1024)):
        code, _ = kinds.send("mx", content)
        assert code == (554 if content.startswith("Content-Type: multipart") and
                        len(content) < 5000000 or "rfc822" in content else 250)
    assert time.monotonic() - begun < 60
    assert peak_memory(pid) - before < 8 * 1024


@needs_processes
def test_large_headers_of_many_clients(make_kinds):
    """Headers wait in memory until they are whole: there is an end to that, and a small message
    still goes through."""
    kinds = make_kinds("header-size 1M")
    smtpds = kinds.godwit.roles()["smtpd"]
    begun = b"X: " + b"y" * 900000
    clients, refused = [], 0
    try:
        for _ in range(170 * len(smtpds)):  # 146 MiB each
            clients.append(Client(kinds.port["mx"], timeout=30))
            clients[-1].hello()
            clients[-1].begin(SENDER, [BOB])
            assert clients[-1].cmd("DATA")[0] == 354
            clients[-1].send(begun)
        assert kinds.send("mx", simple_message())[0] == 250
        assert all(peak_memory(pid) < 220 * 1024 for pid in smtpds)
        for client in clients:
            client.send("\r\n\r\nbody\r\n.\r\n")
            code, text = client.reply()
            assert code == 250 or (code == 452 and text.startswith("4.3.1 "))
            refused += code == 452
    finally:
        for client in clients:
            client.close()
    assert refused >= 5


# ---- two of them -----------------------------------------------------------------------------

PLAIN = """\
hostname  {hostname}
listen    {listen}
trust     127.0.0.0/8
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
limits    {{ connections 1000 per-ip 500 }}
store     {{ segment 8M; reserve 16M; spares 1 }}
{run_as}
{domain}
route to any via relay 127.0.0.1:{next}
shape * {{ connections 20; per-connection 100; retry 1s; expire 2m }}
"""
LOCAL = "domain example.net { deliver maildir @DIR@/mail/%d/%u }"


def plain(g, hostname, following, kind="mx", domain=""):
    g.write_config(PLAIN.format(hostname=hostname, listen=f"{kind} 127.0.0.1:@PORT@", next=following,
                                run_as=run_as(), domain=domain))
    return g.start()


def test_a_loop_ends(make_godwit):
    """A sends to B, B to A: each adds its trace, and the hundredth hop is the last."""
    a, b = make_godwit(start=False), make_godwit(start=False)
    plain(a, "a.test", b.port, domain=LOCAL)
    plain(b, "b.test", a.port)
    with Client(a.port) as client:
        client.hello()
        assert client.message(SENDER, ["bob@nowhere.example"], simple_message())[0] == 250
    report = email.message_from_bytes(a.wait_mail(timeout=60)[0].read_bytes())
    parts = {p.get_content_type(): p for p in report.walk()}
    fate = parts["message/delivery-status"].get_payload()[1]
    assert fate["Status"] == "5.4.6" and "554" in fate["Diagnostic-Code"]
    original = parts.get("text/rfc822-headers") or parts["message/rfc822"]
    if original.get_content_type() == "text/rfc822-headers":
        original = email.message_from_string(original.get_payload())
    else:
        original = original.get_payload()[0]
    hosts = [re.search(r"by (\w)\.test", field)[1] for field in original.get_all("Received")]
    assert "".join(hosts) == "ba" * 50  # the latest first
    assert len(a.log_lines("accepted")) + len(b.log_lines("accepted")) == 100 + 1
    a.wait_idle()
    b.wait_idle()


@pytest.fixture(params=["one", "pair"])
def submission_and_relay(request, make_godwit, make_kinds, sink):
    """(where to submit, who has the local mail): one program for both, or one for each."""
    if request.param == "one":
        kinds = make_kinds()
        return kinds.port["submission"], kinds.godwit
    mta = plain(make_godwit(start=False), "mta.test", sink.port, domain=LOCAL)
    msa = plain(make_godwit(start=False), "msa.test", mta.port, kind="submission")
    return msa.port, mta


def test_submission_and_relay_apart_or_together(submission_and_relay, sink):
    """One local and one remote recipient: mended once, and the local copy never leaves."""
    port, local = submission_and_relay
    with Client(port) as client:
        client.hello()
        assert client.message(SENDER, ["carol@example.net", BOB],
                              "Bcc: x\r\nTo: y@z.example\r\n\r\nbody\r\n")[0] == 250
    far = split_trace(sink.wait()[0].data)[1]
    near = local.wait_mail()[0]
    assert near.parts[-4:-1] == ("example.net", "carol", "new")
    assert split_trace(near.read_bytes())[1] == far.replace(b"\r\n", b"\n")
    assert far.endswith(b"From: alice@example.net\r\nTo: y@z.example\r\n\r\nbody\r\n")
    assert [name for name, _ in fields(far.decode())] == ["date", "message-id", "from", "to"]
    time.sleep(0.3)
    assert sink.wait_recipients(1) == [BOB] and len(local.mail()) == 1
