"""What a process made of the configuration is made anew by a reload: whom it asks, and what it
remembers of the answers."""

import base64
import os
import threading
import time

import pytest

from peers import ports
from peers.auth_service import AuthService
from peers.client import Client, Closed
from peers.sink import Sink

STRANGER = "127.0.0.2"


def edit(g, text):
    g.config_path.write_text(text)
    done = g.run("reload")
    assert done.returncode == 0, done.stdout + done.stderr


def rcpt(g, address):
    with Client(g.port, source=STRANGER, timeout=20) as client:
        client.hello()
        client.cmd("MAIL FROM:<sender@sender.test>")
        code, text = client.cmd(f"RCPT TO:<{address}>")
        return f"{code} {text}"


def rcpts_at_once(g, addresses):
    """(threads that ask, the list to which their replies come)."""
    said = []
    threads = [threading.Thread(target=lambda a=a: said.append(rcpt(g, a)), daemon=True)
               for a in addresses]
    for thread in threads:
        thread.start()
    return threads, said


def descriptors(g, role):
    return len(os.listdir(f"/proc/{g.role_pid(role)}/fd"))


# ---- users --------------------------------------------------------------------------------------


def login(g, name, password, source="127.0.3.7"):
    with Client(g.ports["submission"], source=source, timeout=20) as client:
        client.hello()
        secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        return client.cmd(f"AUTH PLAIN {secret}")[0]


@pytest.fixture
def services(tmp_path):
    first = AuthService(ports.scratch("auth-") / "a", {"alice@example.net": "the first"})
    second = AuthService(ports.scratch("auth-") / "b", {"alice@example.net": "the second"})
    with first, second:
        yield first, second


def test_users_from_elsewhere(make_godwit, services):
    """Who is known here and what was right a moment ago is so no more where others are asked."""
    a, b = services
    g = make_godwit(users={"alice@example.net": "the file"}, trust="",
                    listeners={"submission": "submission {tls off; auth plaintext}"})
    text = g.config_path.read_text()
    at_file = f"users     file {g.users_path}"
    way = {"the file": text, "the first": text.replace(at_file, f"users dovecot unix:{a.path}"),
           "the second": text.replace(at_file, f"users dovecot unix:{b.path}")}
    assert way["the first"] != text
    for who in ("the file", "the first", "the second", "the file", "the first"):
        edit(g, way[who])
        for password in ("the file", "the first", "the second"):
            # The right ones twice: the second time it is remembered; the wrong ones too.
            for _ in range(2):
                found = login(g, "alice@example.net", password)
                assert found == (235 if password == who else 535), (who, password, found)
    # One that was wrong a moment ago is right at once, when it is.
    edit(g, way["the second"])
    assert login(g, "alice@example.net", "new") == 535
    b.users["alice@example.net"] = "new"
    ports.wait_for(lambda: login(g, "alice@example.net", "new") == 235, 10, 0.5,
                   what="a new password: Dovecot's are remembered as wrong for seconds")


def test_logins_meanwhile(make_godwit):
    """Whoever logs in while the configuration changes under him is let in, and needs no second try."""
    g = make_godwit(users={"alice@example.net": "the file"}, trust="",
                    listeners={"submission": "submission {tls off; auth plaintext}"})
    text, found, stop = g.config_path.read_text(), [], threading.Event()

    def log_in(i):
        while not stop.is_set():
            # Some are known already, and some have to be hashed. After a hundred wrong ones an account
            # takes no more from strangers: then it is others.
            n = len(found)
            name = "alice@example.net" if i % 2 or n < 100 else f"nobody{n}@example.net"
            password = "the file" if i % 2 else f"wrong {n}"
            found.append((i % 2, login(g, name, password, f"127.{n // 250 % 250}.{i}.{n % 250 + 1}")))

    threads = [threading.Thread(target=log_in, args=(i,), daemon=True) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for n in range(10):
        edit(g, text + f"vmta v{n} {{ helo v{n}.test }}\n")
    users = g.users_path.read_text()
    for n in range(2):  # the file itself, too
        g.users_path.write_text(users + "#" * n + "\n")
        g.wait_log("users.loaded", count=2 + n)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert set(found) == {(1, 235), (0, 535)}, set(found)


def test_dovecot_under_way(make_godwit, services):
    """Its answer comes behind the reload: it is for who waits, and for nobody else."""
    a, b = services
    g = make_godwit(trust="", listeners={"submission": "submission {tls off; auth plaintext}"},
                    extra=f"users dovecot unix:{a.path}\n"
                    f"domain d.test {{ deliver lmtp 127.0.0.1:9; recipients dovecot unix:{a.path} cache 1h }}\n")
    text = g.config_path.read_text()
    a.users["bob@d.test"] = ""
    a.hold()
    threads, said = rcpts_at_once(g, ["bob@d.test"])
    logins = []
    threads.append(threading.Thread(target=lambda: logins.append(
        login(g, "alice@example.net", "the first")), daemon=True))
    threads[-1].start()
    ports.wait_for(lambda: len(a.asked) == 2, what="the questions")
    before = descriptors(g, "vault")
    edit(g, text.replace(a.path, b.path))
    a.go()
    for thread in threads:
        thread.join(10)
    assert said[0].startswith("250"), said
    # The login is asked over a link of its own, and was good when it was asked.
    assert logins == [235]
    assert rcpt(g, "bob@d.test").startswith("550 5.1.1")
    assert login(g, "alice@example.net", "the first") == 535
    assert login(g, "alice@example.net", "the second") == 235
    # Whom nobody asks any more is left, and those that come and go leave nothing behind.
    ports.wait_for(lambda: not a.open, 5, what="the end of the links")
    for i in range(6):
        edit(g, text.replace(a.path, b.path) if i % 2 else text)
        assert rcpt(g, "bob@d.test").startswith("550" if i % 2 else "250")
        login(g, "alice@example.net", f"x{i}")
    ports.wait_for(lambda: len(a.open) == 0 and len(b.open) <= 2, 5, what="the end of the links")
    assert descriptors(g, "vault") <= before + 2


# ---- callouts ------------------------------------------------------------------------------------


def callout(port, words=""):
    return (f"domain d.test {{ deliver lmtp 127.0.0.1:9; "
            f"recipients callout smtp 127.0.0.1:{port} cache 1h negative 1h timeout 5s {words}}}\n")


def test_callouts(make_godwit):
    with Sink() as first, Sink() as second:
        for sink, other in ((first, "two"), (second, "one")):
            sink.reply_to(f"{other}@d.test", "550 5.1.1 no such user")
        g = make_godwit(extra=callout(first.port))
        text = g.config_path.read_text()
        assert rcpt(g, "one@d.test").startswith("250")
        assert rcpt(g, "two@d.test").startswith("550")
        edit(g, text.replace(str(first.port), str(second.port)))
        assert rcpt(g, "one@d.test").startswith("550")
        assert rcpt(g, "two@d.test").startswith("250")
        ports.wait_for(lambda: first.open_sessions == 0, 5, what="the end of idle connections")
        # The same one, asked in the same way: what is known is known.
        attempts = len(second.rcpt_attempts)
        edit(g, text.replace(str(first.port), str(second.port)) + "vmta x { helo x.test }\n")
        assert rcpt(g, "two@d.test").startswith("250")
        assert len(second.rcpt_attempts) == attempts
        # Who did not answer rests; who is asked instead does not.
        edit(g, text.replace(str(first.port), str(ports.free_port())))
        assert rcpt(g, "one@d.test").startswith("451")
        assert rcpt(g, "one@d.test").startswith("451")
        edit(g, text)
        assert rcpt(g, "one@d.test").startswith("250")


def test_callouts_under_way(make_godwit):
    """The answer is asked for, and another is asked meanwhile: each of them is for who asked. And
    the names that it was asked with are there as long as it is, whatever is in force."""
    with Sink(drip=0.008) as slow, Sink() as fast:
        slow.reply_to("one@d.test", "550 5.1.1 no such user")
        g = make_godwit(extra=callout(slow.port))
        text = g.config_path.read_text()
        threads, said = rcpts_at_once(g, ["one@d.test", "two@d.test"])
        ports.wait_for(lambda: slow.open_sessions > 0, what="a connection")
        # Its greeting and the answer to EHLO come over the time of these.
        for i in range(4):
            edit(g, text.replace(str(slow.port), str(fast.port))
                 .replace("hostname  mx.test", f"hostname  mx{i}.test"))
            assert rcpt(g, "one@d.test").startswith("250")
            time.sleep(0.1)
        for thread in threads:
            thread.join(10)
        assert sorted(reply[:3] for reply in said) == ["250", "550"], said
        assert [line for line in slow.commands if "mx.test" in str(line)]
        assert not slow.violations and rcpt(g, "one@d.test").startswith("250")
        ports.wait_for(lambda: slow.open_sessions == 0, 5, what="the end of the connections")


# ---- whom we believe ----------------------------------------------------------------------------------


def test_who_stands_before_us(make_godwit):
    """The lists of proxy, xclient, from and etrn: a session goes by those it began with."""
    g = make_godwit(listeners={"proxied": "mx { proxy 127.0.0.0/8 }",
                               "xclient": "mx { name x; xclient 127.0.0.0/8 }"},
                    extra="etrn waiting.test from 127.0.0.0/8\n", trust="")
    text = g.config_path.read_text()

    def proxied():
        client = Client(g.ports["proxied"], greet=False, timeout=10)
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
        return client

    def offers(client, word):
        return word in client.hello()[1]

    old_proxied, old = proxied(), Client(g.ports["xclient"])
    assert old_proxied.reply()[0] == 220 and offers(old, "XCLIENT") and offers(old, "ETRN")
    edit(g, text.replace("proxy 127.0.0.0/8", "proxy 192.0.2.0/24")
         .replace("xclient 127.0.0.0/8", "xclient 192.0.2.0/24")
         .replace("from 127.0.0.0/8", "from 192.0.2.0/24"))
    with old_proxied, old, Client(g.ports["xclient"]) as new:
        # Who began before goes by what was.
        assert old_proxied.hello()[0] == 250
        assert offers(old, "XCLIENT") and old.cmd("ETRN waiting.test")[0] in (250, 251, 253)
        assert old.cmd("XCLIENT ADDR=192.0.2.9")[0] == 220
        # Who comes now, by what is.
        assert not offers(new, "XCLIENT") and new.cmd("XCLIENT ADDR=192.0.2.9")[0] in (500, 502, 550)
        assert new.cmd("ETRN waiting.test")[0] in (458, 459)
        client = proxied()
        with client:
            try:
                assert client.reply()[0] != 220
            except Closed:
                pass
    edit(g, text)
    with proxied() as again, Client(g.ports["xclient"]) as new:
        assert again.reply()[0] == 220 and offers(new, "XCLIENT")
