"""godwit dev: one command, no configuration; all is caught and nothing leaves the machine."""

import email
import os
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess
import time

import pytest

from conftest import assert_same_content, needs_root, split_trace, swaks
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink

NOBODY = 65534


@pytest.fixture
def make_dev(program, scratch):
    made = []

    def make(data="data", **options):
        dev = godwit_peer.Dev(data=scratch / data if data else None, **options)
        made.append(dev)
        return dev.start()

    yield make
    for dev in made:
        dev.close()


def listening(pids):
    """Local addresses of the TCP listeners of these processes."""
    inodes = set()
    for pid in pids:
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                match = re.match(r"socket:\[(\d+)\]", os.readlink(fd))
            except OSError:
                continue
            if match:
                inodes.add(match[1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                found.add(words[1])
    return found


def test_swaks_message_is_shown_and_caught(make_dev, scratch):
    content = ("Date: Sat, 21 Nov 2026 19:00:00 +0000\nTo: bob@example.net\n"
               "From: shop@example.com\nSubject: Your order 1042\n"
               "Message-Id: <1042@example.com>\n\nThank you.\n.\n..\n.hidden\n")
    (scratch / "mail.txt").write_text(content)
    dev = make_dev()
    swaks(dev.port, "--to", "bob@example.net", "--from", "shop@example.com",
          "--data", f"@{scratch}/mail.txt")
    line = dev.wait_line("from=shop@example.com", "to=bob@example.net", "Your order 1042")
    assert re.match(r"\d\d:\d\d:\d\d ", line)
    caught = dev.wait_mail()[0].read_bytes()
    assert caught.startswith(b"Return-Path: <shop@example.com>")
    _, rest = split_trace(caught)
    assert rest.replace(b"\r\n", b"\n").rstrip(b"\n") == content.encode().rstrip(b"\n")
    assert dev.interrupt() in (0, 130)


def test_octets_are_kept(make_dev):
    dev = make_dev()
    sent = simple_message(body="tab\t end \r\n\r\n.\r\n..two\r\n" + "x" * 998 + "\r\n\r\n").encode()
    sent += "gr\u00fc\u00df Gott\r\n".encode()
    with Client(dev.port) as client:
        client.hello()
        reply = client.message("a@sender.test", ["bob@example.net"], sent, " BODY=8BITMIME")
        assert reply[0] == 250
    assert_same_content(dev.wait_mail()[0].read_bytes(), sent)


def test_says_what_it_is(make_dev):
    dev = make_dev(data=None)
    ports.wait_for(lambda: "Try it" in dev.text(), 10, what="the banner")
    assert "development mode" in dev.text()
    assert f"127.0.0.1:{dev.port}" in dev.text()


def test_any_login_is_good(make_dev):
    """With TLS or without, as the program under test will do it later; and without a login."""
    dev = make_dev()
    insecure = ssl._create_unverified_context()
    for tls, login in ((False, True), (True, True), (True, False), (False, False)):
        with smtplib.SMTP("127.0.0.1", dev.port) as s:
            if tls:
                s.starttls(context=insecure)
            if login:
                s.login("whoever", "whatever")
            assert s.sendmail("a@else.example", ["b@there.example"], "no header\n") == {}
    dev.wait_mail(4)


def test_without_data_nothing_stays(make_dev):
    dev = make_dev(data=None)
    swaks(dev.port, "--to", "bob@example.net", "--from", "a@example.com")
    dev.wait_line("to=bob@example.net")
    assert dev.interrupt() in (0, 130)
    assert list(dev.tmp.iterdir()) == []


@needs_root  # the roles are not dumpable: their descriptors are hidden from others
def test_loopback_only(make_dev):
    dev = make_dev()
    addresses = listening(dev.pids())
    assert addresses
    loopback = ("0100007F", "00000000000000000000000001000000")
    assert all(a.partition(":")[0] in loopback for a in addresses), addresses


@pytest.mark.parametrize("code", ["451", "550"])
def test_refusing_fault_addresses(make_dev, code):
    dev = make_dev()
    with Client(dev.port) as client:
        client.hello()
        _, (rcpt, other) = client.begin("a@example.com", [f"{code}@any.test", "bob@any.test"])
        assert rcpt[0] == int(code) and rcpt[1].startswith(code[0] + ".")
        assert other[0] == 250
    dev.wait_line(f"to={code}@any.test", "refused", code)


def test_slow_fault_address(make_dev):
    dev = make_dev()
    with Client(dev.port, timeout=60) as client:
        client.hello()
        begin = time.monotonic()
        reply = client.message("a@example.com", ["slow@any.test"], simple_message())
        assert reply[0] == 250
        slow = time.monotonic() - begin
        assert slow > 1
        # nobody else waits for it
        begin = time.monotonic()
        client.message("a@example.com", ["bob@any.test"], simple_message())
        assert time.monotonic() - begin < slow / 2


def test_bounce_fault_address(make_dev):
    dev = make_dev()
    with Client(dev.port) as client:
        client.hello()
        assert client.message("shop@example.com", ["bounce@any.test"], simple_message())[0] == 250

    def report():
        for path in dev.mail():
            message = email.message_from_bytes(path.read_bytes())
            if message.get_content_type() == "multipart/report":
                return message
        return None

    message = godwit_peer.ports.wait_for(report, 10, what="the bounce")
    assert message["Return-Path"] == "<>"
    assert "shop@example.com" in message["To"]


def test_queued_mail_survives_interrupt(make_dev):
    with Sink() as sink:
        sink.reply_at("rcpt", "451 4.3.0 not now")
        forward = ["--forward", f"127.0.0.1:{sink.port}"]
        dev = make_dev(arguments=forward)
        with Client(dev.port) as client:
            client.hello()
            for n in range(5):
                reply = client.message("a@example.com", [f"u{n}@example.org"], simple_message())
                assert reply[0] == 250
        godwit_peer.ports.wait_for(lambda: sink.rcpt_attempts, 10, what="a first attempt")
        assert dev.interrupt() in (0, 130)
        sink.heal()
        dev = make_dev(arguments=forward)
        assert set(sink.wait_recipients(5, 30)) == {f"u{n}@example.org" for n in range(5)}
        time.sleep(0.5)
        assert len(sink.accepted()) == 5


def test_caught_mail_survives_interrupt(make_dev):
    dev = make_dev()
    swaks(dev.port, "--to", "bob@example.net", "--from", "a@example.com")
    dev.wait_mail()
    dev.interrupt()
    dev = make_dev()
    swaks(dev.port, "--to", "eve@example.net", "--from", "a@example.com")
    assert len(dev.wait_mail(2)) == 2


@needs_root
def test_as_plain_user(program, scratch, monkeypatch):
    copy = scratch / "godwit"
    shutil.copy(program, copy)
    copy.chmod(0o755)
    monkeypatch.setattr(godwit_peer, "PROGRAM", str(copy))
    data = scratch / "home"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    with godwit_peer.Dev(data=data / "mail", user=NOBODY) as dev:
        swaks(dev.port, "--to", "bob@example.net", "--from", "a@example.com")
        assert dev.wait_mail()[0].stat().st_uid == NOBODY
        for pid in dev.pids():
            assert os.stat(f"/proc/{pid}").st_uid in (NOBODY, 0)  # 0: it is not dumpable
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^Uid:\s+65534\s+65534\s+65534", status, re.M)
            role = godwit_peer.process_role(pid)
            if role in ("smtpd", "queue", "sender", "control"):
                assert re.search(r"^Seccomp:\s+2", status, re.M), role


def test_send_talks_to_it(make_dev, program, scratch):
    dev = make_dev()
    (scratch / "body.eml").write_text(simple_message("from a file").replace("\r\n", "\n"))

    def send(*words):
        return subprocess.run([program, "send", *words, "--server", f"127.0.0.1:{dev.port}"],
                              capture_output=True, text=True, timeout=20)

    done = send("bob@example.net", "--from", "a@example.com", "--subject", "three", "--text", "hi",
                "--count", "3")
    assert done.returncode == 0, done.stderr
    assert len(dev.wait_mail(3)) == 3
    done = send("bob@example.net", "--file", str(scratch / "body.eml"), "--show", "smtp")
    assert done.returncode == 0, done.stderr
    assert "RCPT TO:<bob@example.net>" in done.stdout + done.stderr
    dev.wait_line("from a file")
    assert send("550@any.test").returncode == 2
    assert send("451@any.test").returncode == 1
