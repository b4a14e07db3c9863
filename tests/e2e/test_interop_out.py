"""Godwit relays to Debian's Postfix, Exim and OpenSMTPD: pipelined, 8-bit, in chunks, refused,
greylisted. What arrives is what was sent, octet for octet."""

import email
import re

import pytest

from conftest import needs_root
from peers import ports, postfix
from peers.client import Client, simple_message
from peers.exim_server import EximServer
from peers.letters import ALICE, arrived, digests, letters, send
from peers.opensmtpd import OpenSmtpd

pytestmark = needs_root


def relay_all(g, mta):
    """A hundred small ones, and three so large that they go in chunks."""
    messages = letters(100, 1 << 20, 3 << 20, 9 << 20)
    send(g.port, messages, "box%d@example.org")
    ports.wait_for(lambda: len(arrived(mta.messages())) >= len(messages), 60, what="all mail")
    assert arrived(mta.messages()) == digests(messages)
    g.wait_idle()
    assert len(g.log_lines("delivered")) == len(messages)
    assert not g.log_lines("deferred") and not g.log_lines("bounced")


def test_to_postfix(make_godwit, peers):
    with postfix.Postfix(domains=["example.org"]) as mta:
        relay_all(make_godwit(relay=("127.0.0.1", mta.port), connections=5), mta)
        assert not mta.log_matches("warning|lost connection|improper command pipelining")
        ports.wait_for(lambda: mta.log_matches("bdat="), 15, what="a session with chunks")


def test_to_exim(make_godwit, peers):
    with EximServer() as mta:
        relay_all(make_godwit(relay=("127.0.0.1", mta.port), connections=5), mta)
        text = mta.log()
        bad = "protocol error|synchronization|unexpected|connection lost"
        assert not re.search(bad, text), text[-2000:]
        assert " K " in text, "no message came in chunks"


def test_to_opensmtpd(make_godwit, peers):
    """It cannot do PIPELINING nor CHUNKING, and closes when someone does it all the same."""
    with OpenSmtpd() as mta:
        relay_all(make_godwit(relay=("127.0.0.1", mta.port), connections=5), mta)
        assert "failed-command" not in mta.log()


# OpenSMTPD's own 550 has no enhanced code.
@pytest.mark.parametrize("server,code", [(EximServer, "5.1.1"), (OpenSmtpd, "5.0.0")])
def test_refused_and_greylisted(make_godwit, peers, server, code):
    with server() as mta:
        g = make_godwit(relay=("127.0.0.1", mta.port), retry="1s")
        with Client(g.port) as client:
            client.hello()
            to = ["refused@example.org", "grey@example.org", "box@example.org"]
            assert client.message(ALICE, to, simple_message())[0] == 250
        ports.wait_for(mta.messages, 10, what="the message for box")
        report = email.message_from_bytes(g.wait_mail()[0].read_bytes())
        status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"]
        fields = status[0].get_payload()[1]
        assert fields["Status"] == code and "refused@" in fields["Final-Recipient"]
        assert g.wait_log("deferred", to="grey@example.org")[0]["esc"] == "4.7.1"
        mta.open_the_door()
        ports.wait_for(lambda: len(mta.messages()) == 2, 15, what="the message for grey")
        g.wait_idle()
        assert len(g.mail()) == 1
