"""Reports in the language of the message, and in the words of the operator, as Python reads them."""

import email
import email.policy

import pytest

from conftest import end_of_godwit
from peers import ports
from peers.client import Client
from peers.godwit import Godwit
from peers.sink import Sink

ALICE = "alice@example.net"  # local: reports come to a Maildir

TEXTS = """# ours
from = Post of Example Ltd.
[fr]
full.advice = Téléphonez à votre correspondant — c'est plus sûr.
"""


@pytest.fixture(scope="module")
def server(program):
    folder = ports.scratch()
    texts = folder / "reports"
    texts.write_text(TEXTS)
    with Sink() as sink:
        sink.reply_to("gone@example.org", "550 5.1.1 no such user")
        sink.reply_to("full@example.org", "552 5.2.2 mailbox is full")
        g = Godwit(relay=("127.0.0.1", sink.port), extra=f"dsn {{ texts {texts} }}")
        g.expected_alarms = set()
        g.start()
        yield g
        problems = end_of_godwit(g)
        g.close()
    ports.discard(folder)
    assert not problems, problems


def report_of(server, recipient, fields):
    """What Python's parser makes of the report about a message with these fields."""
    before = set(server.mail())
    content = (f"From: {ALICE}\r\nTo: {recipient}\r\nSubject: x\r\nMessage-ID: <{recipient}>\r\n{fields}"
               "\r\ntext\r\n").encode()
    with Client(server.port) as client:
        client.hello()
        assert client.message(ALICE, [recipient], content)[0] == 250
    new = ports.wait_for(lambda: set(server.mail()) - before, 15, what="a report")
    report = email.message_from_bytes(new.pop().read_bytes(), policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert not report.defects and not any(p.defects for p in report.walk())
    words, status, head = report.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    assert len(status.get_payload()) == 2
    assert f"Message-ID: <{recipient}>" in head.get_content()
    assert report["In-Reply-To"] == f"<{recipient}>"
    return report, words


@pytest.mark.parametrize("fields, subject, said", [
    ("", "Your message could not be delivered", "There is no such mailbox at this domain."),
    ("Content-Language: de-CH\r\n", "Ihre Nachricht konnte nicht zugestellt werden",
     "Was das bedeutet: Dieses Postfach gibt es in dieser Domain nicht."),
    ("Accept-Language: it, es;q=0.8, en;q=0.3\r\n", "No se ha podido entregar su mensaje",
     "Qué significa: Ese buzón no existe en este dominio."),
])
def test_language_of_the_message(server, fields, subject, said):
    report, words = report_of(server, "gone@example.org", fields)
    assert report["Subject"] == subject
    assert said in " ".join(words.get_content().split())
    assert report["From"].addresses[0].display_name == "Post of Example Ltd."


def test_words_of_the_operator(server):
    report, words = report_of(server, "full@example.org", "Content-Language: fr\r\n")
    text = " ".join(words.get_content().split())
    assert "La boîte aux lettres est pleine." in text
    assert "Téléphonez à votre correspondant — c'est plus sûr." in text
    assert words["Content-Language"] == "fr"
