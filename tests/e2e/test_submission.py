"""What becomes of the content: a submission listener mends it and says so in the log, mx and relay
listeners leave every octet alone; loops, headers and nesting without end are refused."""

import re

import pytest

from conftest import split_trace
from peers import ports
from peers.client import Client

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    submission 127.0.0.1:{submission}
listen    relay 127.0.0.1:{relay}
trust     127.0.0.0/8
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
limits    {{ connections 1000 per-ip 500 {limits} }}
store     {{ segment 8M; reserve 16M; spares 1 }}
run-as    {user}
domain    example.net {{ deliver maildir @DIR@/mail/%d/%u }}
route to any via relay 127.0.0.1:{sink}
shape * {{ connections 20; per-connection 100; retry 1s; expire 2m }}
"""

SENDER = "alice@example.net"
BOB = "bob@example.org"
# A header that needs nothing.
WHOLE = "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\nMessage-ID: <x@y.example>\r\nFrom: <a@b.example>\r\n"
ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class Kinds:
    """A Godwit with a listener of each kind: k.send("submission", content)."""

    def __init__(self, make_godwit, sink, limits=""):
        self.sink = sink
        self.port = {"submission": ports.free_port(), "relay": ports.free_port()}
        self.godwit = make_godwit(CONFIG.format(
            sink=sink.port, limits=limits, user="nobody" if needs_user() else "godwit", **self.port))
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


def needs_user():
    import os
    from peers import godwit
    return os.geteuid() == 0 and not godwit.has_user("godwit")


@pytest.fixture
def kinds(make_godwit, sink):
    return Kinds(make_godwit, sink)


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
