"""Content on its way to hosts that take less than it needs: what is {8-bit, binary, signed, nested,
with UTF-8 in its header}, to hosts with and without the extensions, through the running server.
What arrives decodes to what was sent, or comes back with 5.6.3 and says why."""

import email
import email.header
import email.policy
import subprocess

import pytest

from conftest import end_of_godwit, postfix, split_trace
from peers import certs, ports
from peers.client import Client
from peers.godwit import Godwit
from peers.sink import Sink

ALICE = "alice@example.net"  # local: bounces come to a Maildir
CONFIG = """
hostname mx.test
listen   mx 127.0.0.1:@PORT@
spool    @DIR@/spool
control  @DIR@/control.sock
log      file @DIR@/godwit.log
store    {{ segment 8M; reserve 16M; spares 1 }}
trust    127.0.0.0/8
run-as   nobody
domain   example.net {{ deliver maildir @MAIL@/%d/%u }}
{routes}
route to any via relay 127.0.0.1:1
shape *  {{ retry 1s; expire 2m }}
"""
SEVEN = ("PIPELINING", "ENHANCEDSTATUSCODES", "SIZE 104857600", "CHUNKING")
EIGHT = SEVEN + ("8BITMIME",)


class Peers:
    """One server, and hosts that take this or that: a domain each."""

    def __init__(self):
        self.seven, self.eight, self.bare = (Sink(extensions=e).start() for e in (SEVEN, EIGHT, ()))
        self.mta = postfix.Postfix(domains=["postfix.test"],
                                   options={"smtpd_discard_ehlo_keywords": "8bitmime"})
        self.mta.start()
        to = {"seven": self.seven, "eight": self.eight, "bare": self.bare, "postfix": self.mta}
        routes = "\n".join(f"route to domain {name}.test via relay 127.0.0.1:{peer.port}"
                           for name, peer in to.items())
        self.g = Godwit(CONFIG.format(routes=routes))
        self.g.expected_alarms = set()
        self.g.start()
        self.sinks = {"seven": self.seven, "eight": self.eight, "bare": self.bare}
        self.sent = 0

    def send(self, where, content, params=" BODY=8BITMIME"):
        """Sends it; the recipient."""
        self.sent += 1
        rcpt = f"r{self.sent}@{where}.test"
        with Client(self.g.port) as client:
            client.hello()
            reply = client.message(ALICE, [rcpt], content, params)
        assert reply[0] == 250, reply
        return rcpt

    def arrived(self, where, rcpt):
        """What the host got, without our trace fields."""
        if where == "postfix":
            def find():
                return [text for text in (p.read_bytes() for p in self.mta.messages())
                        if f"X-Original-To: {rcpt}\n".encode() in text]
            text = ports.wait_for(find, 15, what=rcpt)[0].replace(b"\n", b"\r\n")
        else:
            sink = self.sinks[where]
            text = ports.wait_for(lambda: [m for m in sink.accepted() if rcpt in m.rcpts], 10,
                                  what=rcpt)[0].data
        return split_trace(text)[1]

    def bounced(self, rcpt):
        """(Status, Diagnostic-Code) of the report about it."""
        def find():
            for path in self.g.mail():
                report = email.message_from_bytes(path.read_bytes())
                for part in report.walk():
                    if part.get_content_type() == "message/delivery-status":
                        fields = part.get_payload()[1]
                        if rcpt in fields["Final-Recipient"]:
                            return fields["Status"], fields["Diagnostic-Code"]
            return None
        return ports.wait_for(find, 10, what=f"a report about {rcpt}")

    def close(self):
        problems = end_of_godwit(self.g)
        self.g.close()
        self.mta.stop()
        for sink in self.sinks.values():
            sink.stop()
            problems += sink.violations
        assert not problems, problems


@pytest.fixture(scope="module")
def world(program):
    w = Peers()
    yield w
    w.close()


# ---- reading, by Python's own --------------------------------------------------------------------


def leaves(text):
    return [(part.get_content_type(), part.get_filename(), part.get_payload(decode=True))
            for part in email.message_from_bytes(text, policy=email.policy.default).walk()
            if not part.is_multipart()]


def headers(text, *names):
    """As a reader shows them."""
    m = email.message_from_bytes(text, policy=email.policy.default)
    return [str(m[name]) for name in names]


def lines(*parts):
    return b"\r\n".join(part.encode() if isinstance(part, str) else part for part in parts) + b"\r\n"


HEAD = ("From: alice@example.net", "To: r@far.test", "Subject: 8-bit", "Message-ID: <1@example.net>",
        "Date: Mon, 1 Jan 2024 00:00:00 +0000", "MIME-Version: 1.0")
TEXT = ("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "",
        "Gr\u00fc\u00dfe = ", ".", "\u20ac " * 300, "--", "")
PLAIN = lines(*HEAD, *TEXT)
UNLABELLED = lines(*HEAD, "", "Gr\u00fc\u00dfe")
MIXED = lines(
    *HEAD, "Content-Type: multipart/mixed; boundary=\"a b\"", "Content-Transfer-Encoding: 8bit", "",
    "in front", "--a b", *TEXT, "--a b", "Content-Type: application/x", "Content-Transfer-Encoding: 8bit",
    "", bytes(range(128, 256)) * 5, "--a b  ", "Content-Type: text/plain", "", "nothing to do", "--a b--",
    "behind")
NESTED = lines(
    *HEAD, "Content-Type: multipart/mixed; boundary=o", "Content-Transfer-Encoding: 8bit", "", "--o",
    "Content-Type: multipart/alternative; boundary=i", "", "--i", *TEXT, "--i",
    "Content-Type: text/html; charset=utf-8", "", "<b>\u00fc</b>", "--i--", "--o",
    "Content-Type: message/rfc822", "Content-Transfer-Encoding: 8bit", "",
    "Subject: inside", "MIME-Version: 1.0", *TEXT, "--o--")
UTF8 = lines(
    "From: J\u00fcrgen M\u00fcller <alice@example.net>", "To: \"Zo\u00eb, R.\" <r@far.test>", "Subject: Gr\u00fc\u00dfe aus M\u00fcnchen " * 3,
    "Message-ID: <1@example.net>", "Date: Mon, 1 Jan 2024 00:00:00 +0000", "MIME-Version: 1.0",
    "Content-Type: multipart/mixed; boundary=b", "", "--b",
    "Content-Type: text/plain; charset=utf-8; name=\"\u00fcber.txt\"", "Content-Disposition: attachment; filename=\"\u00fcber.txt\"",
    "", "\u00fc", "--b--")
MATRIX = {"plain": PLAIN, "unlabelled": UNLABELLED, "mixed": MIXED, "nested": NESTED, "utf8": UTF8}
SHOWN = ("From", "To", "Subject")


@pytest.mark.parametrize("where", ["seven", "bare", "postfix"])
@pytest.mark.parametrize("name", MATRIX)
def test_to_a_host_without_8bitmime(world, where, name):
    sent = MATRIX[name]
    got = world.arrived(where, world.send(where, sent))
    assert got.isascii() and max(map(len, got.split(b"\r\n"))) <= 998
    assert [p[2] for p in leaves(got)] == [p[2] for p in leaves(sent)]
    assert [p[:2] for p in leaves(got)] == [p[:2] for p in leaves(sent)]
    assert headers(got, *SHOWN) == headers(sent, *SHOWN)
    assert world.g.log_lines("converted", to="7bit")


@pytest.mark.parametrize("name", MATRIX)
def test_to_a_host_with_8bitmime(world, name):
    assert world.arrived("eight", world.send("eight", MATRIX[name])) == MATRIX[name]


def test_seven_bits_pass_as_they_are(world):
    sent = lines(*HEAD, "Content-Type: text/plain", "", "x = 1 ", "y" * 998, "", " ")
    for where in ("seven", "bare", "eight"):
        assert world.arrived(where, world.send(where, sent, params="")) == sent


def test_large_content(world):
    sent = MIXED.replace(b"nothing to do", b"\r\n".join(b"line %d" % i for i in range(100_000)))
    sent = sent.replace(b"in front", "\u00fcber \u20ac\r\n".encode() * 5000, 1)
    sent = sent.replace(bytes(range(128, 256)) * 5, b"\r\n".join([bytes(range(128, 256)) * 7] * 3000))
    got = world.arrived("seven", world.send("seven", sent))
    assert got.isascii()
    assert [p[2] for p in leaves(got)] == [p[2] for p in leaves(sent)]


# ---- what is signed -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signer():
    folder = ports.scratch()
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=alice@example.net", "-keyout", key, "-out", cert], check=True,
                   capture_output=True)

    def sign(text, *words):
        return subprocess.run(["openssl", "smime", "-sign", "-signer", cert, "-inkey", key, *words],
                              input=text, capture_output=True, check=True).stdout.replace(
                                  b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def verify(text):
        return subprocess.run(["openssl", "smime", "-verify", "-CAfile", cert, "-purpose", "any"],
                              input=text, capture_output=True).returncode == 0

    yield sign, verify
    ports.discard(folder)


def signed(signer, body, *words):
    text = lines("Content-Type: text/plain; charset=utf-8", "", body)
    return lines("Subject: \u00fcber uns", *HEAD[:2], *HEAD[3:5]) + signer[0](text, *words)


@pytest.mark.parametrize("where", ["seven", "eight", "bare", "postfix"])
def test_signed_in_seven_bits(world, signer, where):
    for words in ((), ("-nodetach",)):
        sent = signed(signer, "seven bits ", *words)
        got = world.arrived(where, world.send(where, sent))
        assert signer[1](sent) and signer[1](got)
        begin = b"\r\nMIME-Version: 1.0\r\n"  # from there on nothing may change
        assert got.partition(begin)[2] == sent.partition(begin)[2]
        assert headers(got, "Subject") == ["\u00fcber uns"]


def test_signed_in_eight_bits(world, signer):
    sent = signed(signer, "Gr\u00fc\u00dfe", "-binary")
    assert signer[1](sent)
    got = world.arrived("eight", world.send("eight", sent))
    assert signer[1](got) and got == sent
    for where in ("seven", "bare", "postfix"):
        status, why = world.bounced(world.send(where, sent))
        assert status == "5.6.3" and "signed" in why and "8-bit" in why


def test_signed_and_large(world, signer):
    """The end of it is not here yet when the host is asked: the connection ends without the dot."""
    before = len(world.seven.dots)
    sent = signed(signer, "x" * 70 + ("\r\n" + "x" * 70) * 60_000 + "\r\n\u00fc", "-binary")
    status, why = world.bounced(world.send("seven", sent))
    assert status == "5.6.3" and "signed" in why
    assert len(world.seven.dots) == before
    # and the host takes the next
    assert world.arrived("seven", world.send("seven", UNLABELLED)).isascii()


def test_encrypted_passes(world, signer):
    inside = lines("--e", "Content-Type: application/pgp-encrypted", "", "Version: 1", "--e",
                   "Content-Type: application/octet-stream", "", "-----BEGIN PGP MESSAGE-----  ", "--e--")
    kind = "Content-Type: multipart/encrypted; boundary=e; protocol=\"application/pgp-encrypted\""
    sent = lines("Subject: \u00fc", *HEAD[:2], *HEAD[3:], kind, "") + inside
    assert world.arrived("seven", world.send("seven", sent)).endswith(lines(kind, "") + inside)


# ---- attacks --------------------------------------------------------------------------------------


def test_no_part_comes_out_of_the_encoding(world):
    """A soft line break must not make a boundary of what was none."""
    for n in range(70, 78):
        evil = "\u00fc" + "x" * n + "--b\r\nContent-Type: text/html\r\n\r\n<b>\r\n--b--"
        sent = lines(*HEAD, "Content-Type: multipart/mixed; boundary=b", "", "--b", "", evil, "--b--")
        got = world.arrived("seven", world.send("seven", sent))
        assert [p[2] for p in leaves(got)] == [p[2] for p in leaves(sent)]


# ---- binary ---------------------------------------------------------------------------------------

SHORT = [line[:400] for line in TEXT]
OCTETS = bytes(range(256)) * 40 + b"\n--b\r\r\n.\r\n" + b"x" * 5000
BINARY = lines(
    *HEAD, "Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: binary", "", "--b",
    "Content-Type: application/octet-stream", "Content-Transfer-Encoding: binary", "", OCTETS, "--b",
    *SHORT, "--b", "Content-Type: text/plain; charset=utf-16le", "Content-Transfer-Encoding: binary", "",
    "\u00fc\r\n".encode("utf-16le"), "--b--")
SEALED = lines(
    *HEAD, "Content-Type: multipart/signed; boundary=b; protocol=\"x/y\"", "", "--b",
    "Content-Type: application/x", "Content-Transfer-Encoding: binary", "", OCTETS, "--b",
    "Content-Type: x/y", "", "signature", "--b--")
PARTS = [OCTETS, "\r\n".join(SHORT[3:]).encode(), "\u00fc\r\n".encode("utf-16le")]


@pytest.fixture(scope="module")
def second(program, world):
    """A server that takes BINARYMIME and has but the first one's peers to send it on to."""
    g = Godwit(CONFIG.format(routes="").replace("example.net", "second.test").replace(
        "relay 127.0.0.1:1", f"relay 127.0.0.1:{world.g.port}"))
    g.expected_alarms = set()
    g.start()
    yield g
    problems = end_of_godwit(g)
    g.close()
    assert not problems, problems


def send_binary(g, rcpt, content):
    with Client(g.port) as client:
        client.hello()
        assert client.begin(ALICE, [rcpt], " BODY=BINARYMIME")[1][0][0] == 250
        client.send(b"BDAT %d LAST\r\n" % len(content) + content)
        assert client.reply()[0] == 250


def octets(text):
    """What the leaves are, with the line ends of the content."""
    return [part.get_payload(decode=True) for part in email.message_from_bytes(text).walk()
            if not part.is_multipart()]


@pytest.mark.parametrize("where", ["seven", "eight", "bare", "postfix"])
def test_binary(world, second, where):
    """Over two servers: as it is between them, encoded where it ends."""
    rcpt = f"binary@{where}.test"
    send_binary(second, rcpt, BINARY)
    got = world.arrived(where, rcpt)
    assert octets(got) == PARTS
    assert b"\0" not in got and b"\n" not in got.replace(b"\r\n", b"")
    assert got.isascii() == (where != "eight")
    assert not second.log_lines("converted")  # the first one took it as it is


def test_binary_in_a_mailbox(world, second):
    """Readers of a Maildir know lines only."""
    send_binary(second, "carol@example.net", BINARY)
    def find():
        return [p for p in world.g.mail() if "/carol/" in str(p)]
    text = ports.wait_for(find, 10, what="a file")[0].read_bytes()
    assert b"\0" not in text and b"\r" not in text
    assert octets(text.replace(b"\n", b"\r\n")) == PARTS


@pytest.mark.parametrize("where", ["seven.test", "eight.test", "example.net"])
def test_binary_that_is_signed(world, second, where):
    send_binary(second, f"nobody@{where}", SEALED)
    status, why = world.bounced(f"nobody@{where}")
    assert status == "5.6.3" and "signed" in why
