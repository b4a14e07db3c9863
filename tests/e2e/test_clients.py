"""Programs that people send mail with, against the listeners: each with TLS both ways and with every
mechanism it knows."""

import pytest

from conftest import assert_same_content, needs_root
from peers.clients import CLIENTS, Mail, Server

# Dots, 8-bit octets, blanks at the ends of lines, folded fields, long lines, empty lines at the end.
CONTENT = (
    "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\n"
    "From: Alice <alice@example.com>\r\n"
    "To: bob@example.net,\r\n\tCarol <carol@example.net>\r\n"
    "Subject: dots, blanks \r\n  and length\r\n"
    "Message-ID: <matrix@example.com>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "X-Empty:\r\n"
    "\r\n"
    ".\r\n..\r\n.dot\r\nGrüße \t \r\n" + "x" * 990 + "\r\n.\r\n\r\nend\r\n\r\n"
).encode()


def mail(sender="alice@example.com", to="bob@example.net"):
    return Mail(sender, [to], CONTENT)


@needs_root
@pytest.mark.parametrize("name", CLIENTS)
def test_trusted_in_the_clear(make_godwit, peers, name):
    g = make_godwit()
    sent = CLIENTS[name].submit(Server(g.port), mail())
    assert sent.ok, sent.said
    assert_same_content(g.wait_mail()[0].read_bytes(), CONTENT)
