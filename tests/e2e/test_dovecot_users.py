"""Dovecot knows the users: it is asked for recipients (auth-userdb, LMTP) and judges logins."""

import base64
import contextlib
import socket
import threading
import time

import pytest

from conftest import end_of_godwit, needs_processes, needs_root
from peers import ports
from peers.client import Client, simple_message
from peers.dovecot import PASSWORD, Dovecot
from peers.godwit import Godwit
from peers.odmr import Customer

pytestmark = needs_root

STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def dovecot():
    box = ports.scratch("godwit-boxes-")
    box.chmod(0o1777)
    users = {f"{name}@{domain}": box / domain / name
             for name in ("alice", "bob", "carol") for domain in ("users.test", "lmtp.test")}
    users |= {f"{name}@users.test": box / "users.test" / name
              for name in ("barred", "changing", "gone", "late")}
    d = Dovecot(users, more="auth_failure_delay = 0\nauth_cache_size = 0\n")
    d.extra["barred@users.test"] = ["nologin=y", "reason=no"]
    d.write_users()
    with d:
        yield d
    ports.discard(box)


def config(d):
    way = f"deliver lmtp unix:{d.lmtp_path}"
    return (f"domain users.test {{ {way}; recipients dovecot unix:{d.userdb_path} negative 1s }}\n"
            f"domain lmtp.test {{ {way}; recipients callout lmtp unix:{d.lmtp_path} }}\n"
            f"domain open.test {{ {way}; recipients dovecot unix:{d.userdb_path}.none away accept }}\n"
            f"domain pulled.test {{ deliver odmr account Bob@users.test }}\n"
            f"users dovecot unix:{d.auth_path}\n")


@pytest.fixture(scope="module")
def server(dovecot, program):
    g = Godwit(extra=config(dovecot), trust="", domains=("other.test",),
               listeners={"submission": "submission {tls off; auth plaintext}",
                          "odmr": "odmr {tls off; auth plaintext}",
                          "front": "submission {tls off; auth plaintext; xclient 127.0.0.0/8; xclient-login yes}"})
    g.expected_alarms = set()
    with contextlib.closing(g):
        g.start()
        yield g
        problems = end_of_godwit(g)
        assert not problems, problems


def rcpt(g, address, source=STRANGER):
    with Client(g.port, source=source, timeout=20) as client:
        client.hello()
        client.cmd("MAIL FROM:<sender@sender.test>")
        code, text = client.cmd(f"RCPT TO:<{address}>")
        return f"{code} {text}"


def login(g, name, password=PASSWORD, mech="PLAIN", source=None):
    """(reply, seconds, the session)."""
    client = Client(g.ports["submission"], source=source or ports_of(name), timeout=20)
    client.hello()
    began = time.monotonic()
    if mech == "PLAIN":
        secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        code, text = client.cmd(f"AUTH PLAIN {secret}")
    else:
        client.cmd("AUTH LOGIN")
        client.cmd(base64.b64encode(name.encode()).decode())
        code, text = client.cmd(base64.b64encode(password.encode()).decode())
    return f"{code} {text}", time.monotonic() - began, client


def ports_of(name):
    """An address for each name: guesses are counted by address."""
    return f"127.0.3.{sum(name.encode()) % 250 + 1}"


def said(g, *args, **more):
    reply, _, client = login(g, *args, **more)
    client.close()
    return reply


# ---- recipients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["users.test", "lmtp.test"])
def test_recipients(server, domain):
    assert rcpt(server, f"alice@{domain}").startswith("250")
    assert rcpt(server, f"ALICE@{domain}").startswith("250")
    assert rcpt(server, f"alice+lists@{domain}").startswith("250")
    assert rcpt(server, f"nobody@{domain}").startswith("550 5.1.1")
    assert rcpt(server, f"nobody+alice@{domain}").startswith("550 5.1.1")
    assert rcpt(server, f"postmaster@{domain}").startswith("250")
    assert rcpt(server, f'"a\tb"@{domain}')[:3] in ("500", "501", "550", "553")


def test_a_recipient_that_is_new(server, dovecot):
    assert rcpt(server, "fresh@users.test").startswith("550")
    dovecot.users["fresh@users.test"] = dovecot.users["bob@users.test"]
    dovecot.write_users()
    ports.wait_for(lambda: rcpt(server, "fresh@users.test").startswith("250"), 10,
                   what="the end of \"unknown\"")


def test_away_accept(server):
    began = time.monotonic()
    assert rcpt(server, "whoever@open.test").startswith("250")
    assert time.monotonic() - began < 8


# ---- logins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mech", ["PLAIN", "LOGIN"])
def test_logins(server, mech):
    assert said(server, "alice@users.test", mech=mech).startswith("235")
    assert said(server, "Alice@USERS.test", mech=mech).startswith("235")
    assert said(server, "alice@users.test", "wrong" + mech, mech=mech).startswith("535 5.7.8")
    assert said(server, f"nobody{mech}@users.test", mech=mech).startswith("535 5.7.8")
    assert said(server, "barred@users.test", mech=mech).startswith("535 5.7.8")
    assert said(server, "a\tb\nAUTH\t9@users.test", mech=mech)[:3] in ("535", "501", "500")
    with Client(server.ports["submission"]) as client:
        offered = client.hello()[1].splitlines()
        assert "AUTH PLAIN LOGIN" in offered


def test_who_logged_in_sends_as_himself(server, dovecot):
    reply, _, client = login(server, "Bob@users.test")
    with client:
        assert reply.startswith("235")
        assert client.cmd("MAIL FROM:<alice@users.test>")[0] == 550
        assert client.cmd("MAIL FROM:<bob@users.test>")[0] == 250
        assert client.cmd("RCPT TO:<carol@users.test>")[0] == 250
        letter = simple_message("mine").replace("alice@sender.test", "bob@users.test")
        assert client.data(letter)[0] == 250
    ports.wait_for(lambda: server.log_lines("delivered"), 10, what="the message")
    line = server.log_lines("auth.ok")[-1]
    assert line["login"] == "bob@users.test"
    forged = simple_message("forged").replace("alice@sender.test", "alice@users.test")
    reply, _, client = login(server, "bob@users.test")
    with client:
        assert client.message("bob@users.test", ["carol@users.test"], forged)[0] == 550


def test_who_logged_in_pulls_his_mail(server):
    """ATRN (RFC 2645) by a user that Dovecot alone knows, and by another one."""
    with Client(server.port, source=STRANGER) as client:
        client.hello()
        letter = simple_message("pulled")
        assert client.message("x@sender.test", ["box@pulled.test"], letter)[0] == 250
    with Customer(server.ports["odmr"], "carol@users.test", PASSWORD) as other:
        assert other.atrn("pulled.test")[0] == 450 and other.atrn()[0] == 453
    with Customer(server.ports["odmr"], "bob@users.test", PASSWORD) as bob:
        assert bob.atrn("pulled.test")[0] == 250
        assert [m.rcpts for m in bob.serve()] == [["box@pulled.test"]] and bob.quit
    with pytest.raises(AssertionError, match="535"):
        Customer(server.ports["odmr"], "barred@users.test", PASSWORD)


@pytest.mark.parametrize("name, code", [("Alice@users.test", 220), ("no+20name", 554)])
def test_a_proxy_logs_in(server, name, code):
    """Whom it vouches for is an account as if Dovecot had said so; what is no name of one is none."""
    with Client(server.ports["front"], source="127.0.0.7") as client:
        client.hello()
        assert client.cmd(f"XCLIENT ADDR=127.0.0.8 LOGIN={name}")[0] == code
        if code == 220:
            client.hello()
            assert client.cmd("MAIL FROM:<alice@users.test>")[0] == 250
            assert client.cmd("RCPT TO:<bob@users.test>")[0] == 250
            client.cmd("RSET")
            assert client.cmd("MAIL FROM:<bob@users.test>")[0] == 550


def test_no_password_in_the_log(server):
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in server.log_path.read_text()


def test_a_password_that_changes(server, dovecot):
    """A login that was good is good for a minute more; one that was wrong is asked again after 5 s."""
    name = "changing@users.test"
    assert said(server, name, "other").startswith("535")
    assert said(server, name).startswith("235")
    dovecot.passwords[name] = "other"
    dovecot.write_users()
    ports.wait_for(lambda: said(server, name, "other").startswith("235"), 10, what="the new one")
    assert said(server, name).startswith("235")  # for a minute


def test_guesses_are_counted_here(server):
    source = "127.0.4.1"
    for n in range(20):
        reply, took, client = login(server, "gone@users.test", f"guess{n}", source=source)
        client.close()
        if reply.startswith("454"):
            break
        assert reply.startswith("535")
    reply, took, client = login(server, "gone@users.test", source=source)
    client.close()
    assert reply.startswith("454") and took < 5
    assert said(server, "late@users.test", source="127.0.4.2").startswith("235")


# ---- stopped and back again ---------------------------------------------------------------------


def test_dovecot_stops_and_starts(server, dovecot):
    assert said(server, "carol@users.test").startswith("235")
    assert rcpt(server, "alice@users.test").startswith("250")
    dovecot.stop()
    try:
        reply, took, client = login(server, "alice@lmtp.test")
        client.close()
        assert reply.startswith("454") and took < 8
        began = time.monotonic()
        assert rcpt(server, "new1@users.test").startswith("451 4.3.0")
        assert rcpt(server, "new2@lmtp.test").startswith("451 4.3.0")
        assert time.monotonic() - began < 5
        assert rcpt(server, "alice@users.test").startswith("250")  # remembered
        assert said(server, "carol@users.test").startswith("235")  # the same
        assert server.log_lines("dovecot.away")
    finally:
        dovecot.start()
    began = time.monotonic()
    ports.wait_for(lambda: said(server, "alice@lmtp.test").startswith("235"), 10, what="a login")
    ports.wait_for(lambda: rcpt(server, "bob@users.test").startswith("250"), 10, what="a recipient")
    ports.wait_for(lambda: rcpt(server, "carol@lmtp.test").startswith("250"), 10, what="a callout")
    assert time.monotonic() - began < 8


@needs_processes
def test_the_vault_dies(server):
    server.expected_alarms.add("role.died")
    server.kill9("vault")
    ports.wait_for(lambda: said(server, "alice@users.test").startswith("235"), 10, what="a login")
    ports.wait_for(lambda: rcpt(server, "carol@users.test").startswith("250"), 10,
                   what="a recipient")


# ---- somebody else behind the socket ------------------------------------------------------------

HELLO = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"


class Liar:
    """A server on a Unix socket: says the greeting, then `answer` to each line, octet by octet where
    drip is a pause."""

    def __init__(self, path, greeting=HELLO, answer=b"", drip=0):
        self.greeting, self.answer, self.drip = greeting, answer, drip
        self.connections = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _say(self, connection, data):
        for at in range(0, len(data), 1 if self.drip else len(data)):
            connection.sendall(data[at:at + 1] if self.drip else data)
            time.sleep(self.drip)

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.greeting:
                self._say(connection, self.greeting)
            with connection.makefile("rb") as lines:
                for line in lines:
                    words = line.split(b"\t")
                    if words[0] in (b"AUTH", b"USER") and self.answer:
                        self._say(connection, self.answer.replace(b"ID", words[1]))


def test_another_dovecot(program, scratch):
    """A reload names another one: what the one before said is forgotten, and so is what it refused."""
    scratch.chmod(0o755)
    for name, answer in {"yes": b"OK\tID\tuser=al@users.test\n", "yes.userdb": b"USER\tID\tal@users.test\n",
                         "no": b"FAIL\tID\n", "no.userdb": b"NOTFOUND\tID\n"}.items():
        Liar(scratch / name, answer=answer)
    extra = (f"domain users.test {{ deliver maildir {scratch}/%u; recipients dovecot unix:{scratch}/yes.userdb "
             f"cache 1h negative 1h }}\nusers dovecot unix:{scratch}/yes\n")
    g = Godwit(extra=extra, trust="", listeners={"submission": "submission {tls off; auth plaintext}"})
    with contextlib.closing(g):
        g.start()
        text = g.config_path.read_text()
        for words, code, known in ((text, "235", "250"), (text.replace("/yes", "/no"), "535", "550"),
                                   (text, "235", "250")):
            g.config_path.write_text(words)
            assert g.run("reload").returncode == 0
            for _ in range(2):
                reply, _, client = login(g, "al@users.test")
                client.close()
                assert reply.startswith(code), reply
                assert rcpt(g, "al@users.test").startswith(known)


def test_one_address_has_its_share(program, scratch):
    """Dovecot is slow. Who has 64 passwords there has no room for more, and others have."""
    scratch.chmod(0o755)
    Liar(scratch / "auth")
    g = Godwit(extra=f"users dovecot unix:{scratch}/auth\n", trust="",
               listeners={"submission": "submission {tls off; auth plaintext}"})
    with contextlib.closing(g), contextlib.ExitStack() as stack:
        g.start()

        def connect(source):
            client = stack.enter_context(Client(g.ports["submission"], source=source))
            client.hello()
            return client

        guesses = [connect("127.0.0.9") for _ in range(66)]
        other = connect("127.0.0.10")
        for n, client in enumerate([*guesses, other]):
            client.send("AUTH PLAIN " + base64.b64encode(b"\0al@users.test\0%d" % n).decode() + "\r\n")
        # Whichever two of them came last: they are said by several processes.
        assert len(g.wait_log("auth.fail", reason="busy", count=2, ip="127.0.0.9")) == 2
        other.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            other.reply()
        g.kill9_all()  # it would wait for the verdicts


OTHER = b"OK\tID\tuser=\n"


@pytest.mark.parametrize("liar", [
    {"greeting": b""}, {"greeting": b"VERSION\t2\t0\n" + HELLO}, {"greeting": b"x" * 100000},
    {"greeting": HELLO, "drip": 0.3}, {"greeting": b"VERSION\t1\t1\nDONE\n"},
    {"answer": OTHER}, {"answer": b"OK\tID\tuser=a\x01tb\n"}, {"answer": b"CONT\tID\tAAAA\n"},
    {"answer": b"y" * 100000}, {"answer": b"FAIL\tID\ttemp\n"}, {"answer": b"NOTFOUND\t\n"},
    {"answer": b"FAIL\t0\n"}, {"answer": b"OK\tID\tuser=" + b"a" * 300 + b"\n"},
    {"answer": b"OK\tID\tuser=@@ @\n"},
], ids=str)
def test_a_liar(program, liar, scratch):
    scratch.chmod(0o755)
    path = scratch / "auth"
    served = Liar(path, **liar)
    extra = (f"domain users.test {{ deliver maildir {scratch}/%u; "
             f"recipients dovecot unix:{path}.userdb timeout 2s }}\n"
             f"users dovecot unix:{path}\n")
    userdb = Liar(scratch / "auth.userdb", **liar)
    g = Godwit(extra=extra, trust="", domains=("other.test",),
               listeners={"submission": "submission {tls off; auth plaintext}"})
    g.expected_alarms = set()
    with contextlib.closing(g):
        g.start()
        for _ in range(2):
            reply, took, client = login(g, "alice@users.test")
            client.close()
            assert reply.startswith("454") and took < 4, reply
        began = time.monotonic()
        reply = rcpt(g, "bob@users.test")
        assert reply.startswith("451 4.3.0") and time.monotonic() - began < 4, reply
        assert rcpt(g, "whoever@other.test").startswith("250")
        assert served.connections <= 12 and userdb.connections <= 12
        problems = end_of_godwit(g)
        assert not problems, problems
