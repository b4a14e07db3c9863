"""Two Godwits exchange mail with every extension at once, and what the second one has is what the
first one was told. Towards servers that lack some: test_lacks.py."""

import email
import email.policy
import json

import pytest

from peers.client import Client
from peers.tls import context

ALICE, BOB, CARL = "alice@example.net", "bob@example.org", "carl@example.org"
EVERY = {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN",
         "SMTPUTF8", "MT-PRIORITY", "REQUIRETLS", "DELIVERBY", "LIMITS", "AUTH"}
SECRET = "both secret"
CONTENT = ("From: alice@example.net\r\nTo: bob@example.org\r\nSubject: Grüße\r\n"
           "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
           "Content-Transfer-Encoding: binary\r\n\r\n").encode() + bytes(range(256)) * 5000
MAIL = (f"MAIL FROM:<{ALICE}> SIZE={len(CONTENT)} BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=both+2B1 "
        "REQUIRETLS MT-PRIORITY=4 BY=3600;RT")


def offered(reply):
    return {line.split()[0] for line in reply[1].splitlines()[1:]}


def under_tls(client, ca):
    client.hello()
    assert client.cmd("STARTTLS")[0] == 220
    client.sock = context(ca).wrap_socket(client.sock, server_hostname="127.0.0.1")
    return client.cmd("EHLO client.test")


def in_chunks(client, content):
    """All of it without waiting, as PIPELINING allows."""
    half = len(content) // 2
    client.send(f"BDAT {half}\r\n".encode() + content[:half] +
                f"BDAT {len(content) - half} LAST\r\n".encode() + content[half:])
    assert client.reply()[0] == 250
    return client.reply()


@pytest.fixture
def two(make_godwit, ca):
    """The first one's mail for others goes to the second, which knows it by a login."""
    pair = ca.issue("127.0.0.1")
    second = make_godwit(listeners={"submission": "submission {tls require}"}, tls=[pair],
                         users={ALICE: SECRET}, domains=("example.org",), trust="",
                         hostname="two.test")
    first = make_godwit(start=False)
    secret = first.folder / "secret"
    secret.write_text(f"{ALICE}\n{SECRET}\n")
    secret.chmod(0o600)
    first.write_config(
        relay=("127.0.0.1", f"{second.ports['submission']} auth file:{secret} tls verify"),
        extra=f"authorities {ca.cert}", tls=[pair], hostname="one.test")
    return first.start(), second


def test_every_extension_at_once(two, ca):
    first, second = two
    second.cli("queue", "pause", "all")  # to see the message as it came
    with Client(first.port) as client:
        assert offered(under_tls(client, ca)) >= EVERY - {"AUTH"}
        client.send((f"{MAIL}\r\nRCPT TO:<{BOB}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x.example\r\n"
                     f"RCPT TO:<{CARL}> NOTIFY=NEVER\r\n").encode())
        assert [client.reply()[0] for _ in range(3)] == [250] * 3
        assert in_chunks(client, CONTENT)[0] == 250
    line = first.wait_log("delivered", count=2)[0]
    assert line["tls"] == "1.3/verified"
    taken = second.wait_log("accepted")[0]
    assert taken["class"] == "high"
    second.stop()
    folder = second.folder / "export"
    second.cli("spool", "export", str(folder))
    envelope = json.loads(next(folder.rglob("*.json")).read_text())
    check_envelope(envelope)
    second.start()
    second.cli("queue", "resume", "all")
    check_mail(second)
    check_reports(first)


def check_envelope(e):
    text = json.dumps(e)
    for key, value in {"from": ALICE, "account": ALICE, "envid": "both+1", "ret": "hdrs", "body_type": "binarymime",
                       "smtputf8": True, "require_tls": True, "mt_priority": 14, "by": "return",
                       "by_trace": True}.items():
        assert e.get(key) == value, (key, text)
    left = (e["by_at"] - e["accepted"]) / 1e6
    assert 3580 < left <= 3600
    bob, carl = sorted(e["recipients"], key=lambda r: r["address"])
    assert bob["notify"] == 6 and bob["orcpt"] == "rfc822;b@x.example"
    assert carl["notify"] == 1


def check_mail(second):
    for path in second.wait_mail(2):
        head, _, body = path.read_bytes().partition(b"\n\n")
        found = email.message_from_bytes(head.replace(b"\r\n", b"\n") + b"\n\n" + body,
                                         policy=email.policy.SMTPUTF8)
        assert found["Subject"] == "Grüße"
        received = " ".join(found.get_all("Received"))
        assert "two.test" in received and "one.test" in received and "PRIORITY 4" in received
        assert "UTF8SMTPSA" in received
        assert found.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n") == \
            (bytes(range(256)) * 5000).replace(b"\r\n", b"\n").rstrip(b"\n")


def check_reports(first):
    """The trace of the first; the success of the second comes from where it knows it."""
    first.wait_mail()
    reports = [email.message_from_bytes(p.read_bytes()) for p in first.mail()]
    fields = [{k: v for b in r.get_payload(1).get_payload() for k, v in b.items()} for r in reports]
    traced = [f for f in fields if f["Action"] == "relayed"]
    assert len(traced) == 1 and traced[0]["Original-Envelope-Id"] == "both+1"
    assert traced[0]["Original-Recipient"] == "rfc822;b@x.example"
