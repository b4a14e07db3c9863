"""Each extension of smtp/ehlo.def towards Postfix, Exim and OpenSMTPD, which have some of them: what
becomes of a message that asks for it, and what its sender is told. The outcomes are those of
docs/extensions.md."""

import email
import email.policy
import re
from dataclasses import dataclass

import pytest

from conftest import end_of_godwit, needs_root
from peers import ports
from peers.client import Client
from peers.exim_server import EximServer
from peers.godwit import Godwit
from peers.opensmtpd import OpenSmtpd
from peers.postfix import Postfix
from peers.tls import context

pytestmark = needs_root

ALICE = "alice@example.net"
MIB = 1 << 20
OCTETS = bytes(range(256)) * 40
HOSTS = {"postfix": {"SIZE", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN",
                     "SMTPUTF8", "STARTTLS", "ETRN"},
         "exim": {"SIZE", "PIPELINING", "8BITMIME", "CHUNKING", "SMTPUTF8"},
         "opensmtpd": {"SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"}}


@dataclass(frozen=True)
class Case:
    """A message, and its outcome at (Postfix, Exim, OpenSMTPD), or at each: "as it is", "converted"
    (it arrives), "relayed" (arrives, and its sender is told that), or the code it comes back with.
    needs: what a host has to offer to be told of it. says: part of the report's reason."""
    name: str
    outcome: object
    params: str = ""
    rcpt: str = "box@example.org"
    notify: str = ""
    head: str = ""
    body: bytes = b"Hello.\r\n"
    says: str = ""
    listener: str = ""

    def content(self):
        head = (f"From: {ALICE}\r\nTo: box@example.org\r\nX-Case: {self.name}\r\n"
                f"Date: Sat, 21 Nov 2026 19:00:00 +0000\r\n{self.head}")
        return head.encode() + b"\r\n" + self.body

    def at(self, host):
        many = isinstance(self.outcome, tuple)
        return self.outcome[list(HOSTS).index(host)] if many else self.outcome


MIME = "MIME-Version: 1.0\r\nContent-Type: {}\r\nContent-Transfer-Encoding: {}\r\n"
CASES = {c.name: c for c in [
    Case("plain", "as it is"),
    Case("8BITMIME", "as it is", " BODY=8BITMIME",
         head=MIME.format("text/plain; charset=utf-8", "8bit"), body="Grüße\r\n".encode()),
    Case("BINARYMIME", "converted", " BODY=BINARYMIME", body=OCTETS,
         head=MIME.format("application/octet-stream", "binary")),
    Case("CHUNKING", "as it is", body=(b"x" * 70 + b"\r\n") * (MIB * 3 // 2 // 72)),
    Case("SIZE", "5.3.4", body=(b"x" * 70 + b"\r\n") * (3 * MIB // 72), says="larger than the peer takes"),
    Case("ENHANCEDSTATUSCODES", ("5.1.1", "5.1.1", "5.0.0"), rcpt="refused@example.org",
         says="550"),
    Case("DSN", ("as it is", "relayed", "as it is"), " RET=HDRS ENVID=e1",
         notify=" NOTIFY=SUCCESS,FAILURE"),
    Case("DSN, never", "as it is", notify=" NOTIFY=NEVER"),
    Case("SMTPUTF8, local part", ("as it is", "as it is", "5.6.7"), " SMTPUTF8",
         rcpt="böb@example.org", says="ASCII addresses only"),
    Case("SMTPUTF8, header", ("as it is", "as it is", "converted"), " SMTPUTF8",
         head="Subject: Grüße\r\n"),
    Case("MT-PRIORITY", "as it is", " MT-PRIORITY=4"),
    Case("REQUIRETLS", ("5.7.30", "5.7.10", "5.7.10"), " REQUIRETLS", says="REQUIRETLS"),
    Case("DELIVERBY, return", "5.4.7", " BY=600;R", says="cannot be guaranteed"),
    Case("DELIVERBY, notify", "relayed", " BY=600;N"),
    Case("DELIVERBY, trace", "relayed", " BY=600;NT"),
    Case("FUTURERELEASE", "as it is", " HOLDFOR=1", listener="relay"),
    Case("all but what comes back", ("relayed", "relayed", "relayed"),
         " BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e2 MT-PRIORITY=-3 BY=900;NT",
         notify=" NOTIFY=FAILURE"),
]}


def postfix(pair):
    refused = "check_recipient_access inline:{{refused@example.org = 550 5.1.1 nobody}}"
    return Postfix(domains=["example.org"], options={
        "message_size_limit": 2 * MIB, "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": pair[0], "smtpd_tls_key_file": pair[1],
        "smtpd_recipient_restrictions": f"{refused}, permit_mynetworks, reject"})


def exim(_):
    return EximServer(size="2M")


def opensmtpd(_):
    return OpenSmtpd(size="2M")


def under_tls(client, ca):
    client.hello()
    assert client.cmd("STARTTLS")[0] == 220
    client.sock = context(ca).wrap_socket(client.sock, server_hostname="127.0.0.1")
    client.hello()


def send(client, case):
    assert client.cmd(f"MAIL FROM:<{ALICE}>{case.params}")[0] == 250
    assert client.cmd(f"RCPT TO:<{case.rcpt}>{case.notify}")[0] == 250
    if "BINARY" not in case.params:
        code, text = client.data(case.content())
    else:
        content = case.content()
        client.send(b"BDAT %d LAST\r\n" % len(content) + content)
        code, text = client.reply()
    assert code == 250, text
    return text.split()[-1]


class Way:
    """A host, and a Godwit that sent it all cases."""

    def __init__(self, name, mta, ca):
        self.name, self.mta, self.ids = name, mta, {}
        self.g = Godwit(listeners={"relay": "relay {tls off; auth off; future-release 1d}"},
                        relay=("127.0.0.1", mta.port), retry="1h", tls=[ca.issue("127.0.0.1")],
                        extra=f"authorities {ca.cert}")
        self.g.expected_alarms = set()
        self.g.start()
        with Client(mta.port) as client:
            self.offers = {line.split()[0] for line in client.hello()[1].splitlines()[1:]}
        for case in CASES.values():
            with Client(self.g.ports[case.listener] if case.listener else self.g.port) as client:
                client.hello() if case.listener else under_tls(client, ca)
                self.ids[case.name] = send(client, case)
        self.g.wait_idle(60)
        self.mail = ports.wait_for(self.all_there, 60, what="mail that was taken")
        self.reports = [re.sub(r"\r?\n[ \t]+", " ", p.read_text()) for p in self.g.mail()]

    def all_there(self):
        found = {}
        for path in self.mta.messages():
            message = path.read_bytes().replace(b"\r\n", b"\n")
            name = message.partition(b"X-Case: ")[2].partition(b"\n")[0].decode()
            found.setdefault(name, []).append(message)
        taken = [c.name for c in CASES.values() if not c.at(self.name).startswith("5")]
        return found if set(taken) <= set(found) else None

    def told(self, case):
        """(Action, Status, Diagnostic-Code) of each report about it."""
        return [tuple(re.search(rf"(?m)^{field}: (.*)$", text)[1] if f"\n{field}:" in text else ""
                      for field in ("Action", "Status", "Diagnostic-Code"))
                for text in self.reports if f"X-Case: {case.name}\n" in text]

    def close(self):
        problems = end_of_godwit(self.g)
        self.g.close()
        assert not problems, problems


@pytest.fixture(scope="module", params=list(HOSTS))
def way(request, program, peers, ca):
    start = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd}[request.param]
    with start(ca.issue("127.0.0.1", file="host")) as mta:
        made = Way(request.param, mta, ca)
        yield made
        made.close()


def test_offers(way):
    """What the table is about: they lack what it says, and no more."""
    assert HOSTS[way.name] <= way.offers
    ours = {"CHUNKING", "BINARYMIME", "DSN", "SMTPUTF8", "MT-PRIORITY", "REQUIRETLS", "DELIVERBY",
            "LIMITS", "FUTURERELEASE", "ENHANCEDSTATUSCODES", "ATRN"}
    assert way.offers & ours <= HOSTS[way.name]


def comes_back(way, case, code):
    assert case.name not in way.mail
    assert way.g.log_lines("bounced", id=way.ids[case.name])
    (action, status, why), = way.told(case)
    assert (action, status) == ("failed", code)
    assert case.says in why, why


def body_of(message):
    return message.partition(b"\n\n")[2]


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_outcome(way, case):
    outcome = case.at(way.name)
    if outcome.startswith("5"):
        comes_back(way, case, outcome)
        return
    message, = way.mail[case.name]
    assert way.g.log_lines("delivered", id=way.ids[case.name])
    told = way.told(case)
    if outcome == "relayed":
        assert [t[:2] for t in told] == [("relayed", "2.0.0")]
    else:
        assert not told
    if outcome == "converted":
        assert way.g.log_lines("converted", id=way.ids[case.name])
    else:
        assert body_of(message).rstrip() == case.body.replace(b"\r\n", b"\n").rstrip()


def test_what_was_converted(way):
    message = email.message_from_bytes(way.mail["BINARYMIME"][0])
    assert message["Content-Transfer-Encoding"] == "base64"
    assert message.get_payload(decode=True) == OCTETS
    header = email.message_from_bytes(way.mail["SMTPUTF8, header"][0], policy=email.policy.SMTPUTF8)
    assert header["Subject"] == "Grüße"
    raw = way.mail["SMTPUTF8, header"][0].partition(b"\n\n")[0]
    assert raw.isascii() == ("SMTPUTF8" not in HOSTS[way.name])


def test_kept_until_then(way):
    """Nobody but us could have kept it."""
    line = way.g.log_lines("delivered", id=way.ids["FUTURERELEASE"])[0]
    assert float(line["total"]) >= 0.99
