"""DSN, BINARYMIME and SMTPUTF8 through running servers: two of ours in a row, and Postfix."""

import email.message
import email.policy
import smtplib
import subprocess

import pytest

from conftest import end_of_godwit, needs_root, split_trace
from peers import godwit as godwit_peer
from peers import ports, postfix
from peers.client import Client, simple_message
from peers.sink import Sink

ALL = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600", "CHUNKING", "BINARYMIME",
       "DSN", "SMTPUTF8")
FEW = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600")
ALICE = "alice@example.net"

ALIASES = """\
team: carol@example.org
ö: carol@example.org
"""


class Chain:
    """one -> two -> a sink that offers all; what goes to plain.example leaves two for one that
    offers little. one has example.net and bücher.example itself."""

    def __init__(self):
        self.sink, self.plain = Sink(extensions=ALL).start(), Sink(extensions=FEW).start()
        self.two = godwit_peer.Godwit(
            domains=("second.example",), hostname="two.test",
            relay=("127.0.0.1", self.sink.port),
            extra=f"route to domain plain.example via relay 127.0.0.1:{self.plain.port}\n"
                  f"route to domain bücher.example via relay 127.0.0.1:{self.plain.port}\n")
        text = self.two.config_path.read_text().splitlines(keepends=True)
        text.sort(key=lambda line: line.startswith("route to any"))
        self.two.config_path.write_text("".join(text))
        self.two.start()
        self.one = godwit_peer.Godwit(
            hostname="one.test", domains=(), relay=("127.0.0.1", self.two.port), extra=(
                "domain example.net { deliver maildir @DIR@/mail/%d/%u; aliases @DIR@/aliases; "
                "recipients any }\n"
                "domain straße.example { deliver maildir @DIR@/mail/%d/%u }\n"))
        folder = self.one.folder
        self.one.config_path.write_text(
            self.one.config_path.read_text().replace("@DIR@", str(folder)))
        (folder / "aliases").write_text(ALIASES)
        self.one.start()

    def client(self):
        client = Client(self.one.port)
        assert "SMTPUTF8" in client.hello()[1]
        return client

    def clear(self):
        for sink in (self.sink, self.plain):
            assert not sink.violations
            sink.messages.clear()
            sink.commands.clear()

    def close(self):
        problems = []
        for g in (self.one, self.two):
            g.expected_alarms = set()
            problems += end_of_godwit(g)
            g.close()
        self.sink.stop()
        self.plain.stop()
        assert not problems, problems


@pytest.fixture(scope="module")
def chain(program):
    made = Chain()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def afresh(request):
    yield
    if "chain" in request.fixturenames:
        request.getfixturevalue("chain").clear()


def send(client, mail, rcpts, content, chunked=False):
    """Whole lines of MAIL and RCPT; the final reply."""
    assert client.cmd("MAIL FROM:" + mail)[0] == 250
    for rcpt in rcpts:
        code, text = client.cmd("RCPT TO:" + rcpt)
        assert code == 250, text
    if chunked:
        client.send(b"BDAT %d LAST\r\n" % len(content) + content)
        return client.reply()
    return client.data(content)


def body_of(data):
    return split_trace(data)[1]


# ---- DSN -----------------------------------------------------------------------------------------


def test_dsn_goes_all_the_way(chain):
    with chain.client() as client:
        assert send(client, f"<{ALICE}> RET=HDRS ENVID=QQ+2B1",
                    ["<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@example.com",
                     "<dave@example.org> NOTIFY=NEVER", "<erin@example.org>"],
                    simple_message())[0] == 250
    params = {}
    for message in chain.sink.wait_recipients(3) and chain.sink.accepted():
        params.update(message.rcpt_params)
        assert {"RET=HDRS", "ENVID=QQ+2B1"} <= set(message.mail_params)
    assert params == {
        "bob@example.org": ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;b+2Bx@example.com"],
        "dave@example.org": ["NOTIFY=NEVER", "ORCPT=rfc822;dave@example.org"],
        "erin@example.org": []}


def test_alias_and_original_recipient(chain):
    """Behind an alias the sender's name for it goes on, or the alias; Received names the alias."""
    with chain.client() as client:
        for given in ("", " ORCPT=rfc822;old@example.com"):
            assert send(client, f"<{ALICE}>", ["<team@example.net> NOTIFY=FAILURE" + given],
                        simple_message())[0] == 250
    messages = chain.sink.wait(2)
    orcpts = sorted(m.rcpt_params["carol@example.org"][1] for m in messages)
    assert orcpts == ["ORCPT=rfc822;old@example.com", "ORCPT=rfc822;team@example.net"]
    assert all(b"for <team@example.net>" in m.data for m in messages)


def test_dsn_is_kept_from_who_does_not_offer_it(chain):
    with chain.client() as client:
        assert send(client, f"<{ALICE}> RET=FULL ENVID=x", ["<bob@plain.example> NOTIFY=FAILURE"],
                    simple_message())[0] == 250
    assert chain.plain.wait()[0].rcpt_params == {"bob@plain.example": []}


# ---- BINARYMIME ----------------------------------------------------------------------------------

HEAD = (b"Subject: octets\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n")
OCTETS = bytes(range(256)) * 300 + b"\r\n.\r\nRCPT TO:<evil@example.org>\n.\n\r"
BINARY = f"<{ALICE}> BODY=BINARYMIME"


def test_octets_go_as_they_are(chain):
    with chain.client() as client:
        assert send(client, BINARY, ["<bob@example.org>"], HEAD + OCTETS, True)[0] == 250
    message = chain.sink.wait(timeout=20)[0]
    assert "BODY=BINARYMIME" in message.mail_params
    assert body_of(message.data) == HEAD + OCTETS


def test_large_octets(chain):
    """More than goes at once, from the spool's parts."""
    octets = OCTETS * 60
    with chain.client() as client:
        assert send(client, BINARY, ["<bob@example.org>"], HEAD + octets, True)[0] == 250
    assert body_of(chain.sink.wait(timeout=30)[0].data) == HEAD + octets


def test_no_way_round_chunks(chain):
    with chain.client() as client:
        assert client.cmd("MAIL FROM:" + BINARY)[0] == 250
        assert client.cmd("RCPT TO:<bob@example.org>")[0] == 250
        code, text = client.cmd("DATA")
        assert (code, text[:5]) == (503, "5.5.1")


@pytest.mark.parametrize("head", [
    b"Subject: a\nFrom: evil@example.org\r\n\r\n", b"Subject: a\rFrom: x\r\n\r\n",
    b"Subject: a\0b\r\n\r\n", b"Subject: no end", b"Subject: no end\n\n"])
def test_header_is_lines(chain, head):
    """What is a field to one and none to another can be used to say two things at once."""
    with chain.client() as client:
        code, text = send(client, BINARY, ["<bob@example.org>"], head, True)
        assert (code, text[:6]) == (550, "5.6.11")


def test_lines_announced_as_binary(chain):
    """They can go to anybody, octet for octet."""
    with chain.client() as client:
        content = HEAD + b"only lines\r\n.\r\nof \xc3\xbc\r\n"
        assert send(client, BINARY, ["<bob@plain.example>"], content, True)[0] == 250
    message = chain.plain.wait()[0]
    assert "BODY=8BITMIME" in message.mail_params
    assert body_of(message.data) == content


# ---- SMTPUTF8 ------------------------------------------------------------------------------------

UTF8_HEAD = "From: αλίκη@example.net\r\nSubject: Grüße\r\n\r\nHallo\r\n"


def test_utf8_goes_all_the_way(chain):
    with chain.client() as client:
        assert send(client, "<αλίκη@example.net> SMTPUTF8",
                    ["<böb@example.org> NOTIFY=FAILURE"], UTF8_HEAD)[0] == 250
    message = chain.sink.wait()[0]
    assert message.mail_from == "αλίκη@example.net" and "SMTPUTF8" in message.mail_params
    assert message.rcpt_params == {
        "böb@example.org": ["NOTIFY=FAILURE", "ORCPT=utf-8;böb@example.org"]}
    trace = message.data.partition(b"From:")[0]
    assert trace.isascii() and trace.count(b"with UTF8SMTP") == 2
    assert body_of(message.data).decode() == UTF8_HEAD


def test_utf8_is_not_said_without_need(chain):
    with chain.client() as client:
        assert send(client, f"<{ALICE}> SMTPUTF8", ["<bob@plain.example>"],
                    simple_message())[0] == 250
    assert chain.plain.wait()[0].mail_params[0].startswith("SIZE=")


def test_domain_goes_as_ascii(chain):
    """Only the domain is beyond ASCII: everybody can be sent it, and routes are by its labels."""
    with chain.client() as client:
        assert send(client, f"<{ALICE}> SMTPUTF8", ["<bob@bücher.example>"],
                    simple_message())[0] == 250
    message = chain.plain.wait()[0]
    assert message.rcpts == ["bob@xn--bcher-kva.example"]
    assert "SMTPUTF8" not in message.mail_params


def test_local_part_comes_back(chain):
    """A peer without SMTPUTF8: 5.6.7, and the others of the message are delivered."""
    with chain.client() as client:
        assert send(client, f"<{ALICE}> SMTPUTF8",
                    ["<böb@plain.example>", "<bob@plain.example>"], simple_message())[0] == 250
    assert chain.plain.wait()[0].rcpts == ["bob@plain.example"]
    report = chain.sink.wait()[0]  # the second server's, whose way to Alice that is
    assert (report.mail_from, report.rcpts) == ("", [ALICE])
    assert b"Status: 5.6.7" in report.data


def test_mailboxes_and_aliases_beyond_ascii(chain):
    with chain.client() as client:
        assert send(client, f"<{ALICE}> SMTPUTF8",
                    ["<jürgen@straße.example>", "<ö@example.net>"], simple_message("x"))[0] == 250
        assert client.cmd(f"MAIL FROM:<{ALICE}> SMTPUTF8")[0] == 250
        for bad in ("../x\u202e", "a\u2028b", "b\u200bc"):
            assert client.cmd(f"RCPT TO:<{bad}@straße.example>")[0] == 501
        assert client.cmd("RCPT TO:<\"../ü\"@straße.example>")[0] == 250
    assert chain.sink.wait()[0].rcpts == ["carol@example.org"]
    folder = chain.one.maildir / "xn--strae-oqa.example"
    path = ports.wait_for(lambda: list(folder.glob("*/new/*")), 10, what="the mailbox")[0]
    assert path.parent.parent.name.isascii()
    assert path.parent.parent.name.lower() == "j%c3%bcrgen"


def test_no_utf8_without_the_parameter(chain):
    with chain.client() as client:
        assert client.cmd("MAIL FROM:<älice@example.net>")[1].startswith("5.6.7")
        assert client.cmd(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert client.cmd("RCPT TO:<böb@example.org>")[1].startswith("5.6.7")
        client.send(b"RCPT TO:<b\xf6b@example.org>\r\n")
        assert client.reply()[0] == 500


# ---- other clients -------------------------------------------------------------------------------


def test_godwit_send(chain):
    done = chain.one.run("send", "böb@Bücher.example", "bob@example.org", "--from",
                         "αλίκη@example.net", "--server", f"127.0.0.1:{chain.one.port}", "--notify",
                         "success,failure", "--ret", "full", "--envid", "a+b")
    assert done.returncode == 0, done.stderr
    message = chain.sink.wait()[0]
    assert message.mail_from == "αλίκη@example.net"
    assert {"SMTPUTF8", "RET=FULL", "ENVID=a+2Bb"} <= set(message.mail_params)
    assert message.rcpt_params["bob@example.org"][0] == "NOTIFY=SUCCESS,FAILURE"
    for bad in (["--notify", "never,delay"], ["--ret", "some"], ["--envid", "a\nb"]):
        assert chain.one.run("send", ALICE, *bad).returncode == 64


def test_smtplib(chain):
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message["From"], message["To"] = "αλίκη@example.net", "böb@example.org"
    message["Subject"] = "Grüße"
    message.set_content("Hallo, Welt: äöü\n")
    with smtplib.SMTP("127.0.0.1", chain.one.port) as client:
        client.send_message(message, rcpt_options=["NOTIFY=NEVER"])
    taken = chain.sink.wait()[0]
    assert taken.rcpts == ["böb@example.org"]
    parsed = email.message_from_bytes(taken.data, policy=email.policy.SMTPUTF8)
    assert parsed["Subject"] == "Grüße" and "äöü" in parsed.get_content()


# ---- Postfix -------------------------------------------------------------------------------------


@needs_root
def test_from_postfix(chain, peers):
    """It passes on what it was told, and believes what we offer."""
    with postfix.Postfix(relay=("127.0.0.1", chain.one.port), options={
            "smtputf8_enable": "yes"}) as mta:
        with Client(mta.port) as client:
            client.hello()
            assert send(client, "<αλίκη@example.net> SMTPUTF8 RET=HDRS ENVID=p1",
                        ["<böb@example.org> NOTIFY=SUCCESS,FAILURE "
                         "ORCPT=utf-8;b\\x{F6}b@example.org"], UTF8_HEAD)[0] == 250
        message = chain.sink.wait(timeout=20)[0]
    assert message.mail_from == "αλίκη@example.net"
    assert {"SMTPUTF8", "RET=HDRS", "ENVID=p1"} <= set(message.mail_params)
    params = message.rcpt_params["böb@example.org"]
    assert params[0] == "NOTIFY=SUCCESS,FAILURE"
    assert params[1].startswith("ORCPT=")


@needs_root
def test_to_postfix(make_godwit, peers):
    """It understands what we say: its report of success comes back to the sender's mailbox."""
    with postfix.Postfix(domains=["example.org"], options={"smtputf8_enable": "yes"}) as mta:
        g = make_godwit(relay=("127.0.0.1", mta.port))
        mta_log = mta.log_matches
        with Client(g.port) as client:
            client.hello()
            assert send(client, f"<{ALICE}> SMTPUTF8 ENVID=e1+2B",
                        ["<böb@example.org> NOTIFY=SUCCESS ORCPT=rfc822;x@example.com"],
                        UTF8_HEAD)[0] == 250
        text = ports.wait_for(mta.messages, 20, what="the message at Postfix")[0].read_bytes()
        assert "böb@example.org".encode() in text and "Grüße".encode() in text
        assert not mta_log("warning|lost connection")
