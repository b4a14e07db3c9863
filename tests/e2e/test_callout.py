"""Recipients that the server with the mailboxes is asked for (recipients callout)."""

import contextlib
import socket
import threading
import time

import pytest

from conftest import end_of_godwit, needs_processes, needs_root
from peers import ports
from peers.client import Client, simple_message
from peers.godwit import Godwit
from peers.postfix import Postfix
from peers.rude import Rude, blackhole
from peers.sink import Sink
from peers.zones import Zones

STRANGER = "127.0.0.2"


def domain(name, port, words="", protocol="smtp"):
    return (f"domain {name} {{ deliver lmtp 127.0.0.1:{port}; "
            f"recipients callout {protocol} 127.0.0.1:{port} {words} }}\n")


def rcpt(g, address, source=STRANGER, more=()):
    """(reply of RCPT, seconds it took)."""
    with Client(g.port, source=source, timeout=20) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<sender@sender.test>")[0] == 250
        began = time.monotonic()
        reply = client.cmd(f"RCPT TO:<{address}>")
        return f"{reply[0]} {reply[1]}", time.monotonic() - began


def asked(sink, address):
    return sum(1 for _, a, _ in sink.rcpt_attempts if a == address)


@contextlib.contextmanager
def running(**options):
    g = Godwit(**options)
    g.expected_alarms = set()
    with contextlib.closing(g):
        g.start()
        yield g
        problems = end_of_godwit(g)
        assert not problems, problems


@pytest.fixture(scope="module")
def sinks():
    with Sink() as smtp, Sink(lmtp=True) as lmtp:
        for sink in (smtp, lmtp):
            sink.reply_to("unknown@smtp.test", "550 5.1.1 no such user")
            sink.reply_to("unknown@lmtp.test", "550 5.1.1 no such user")
            sink.reply_to("plain@smtp.test", "550 who is that")
            sink.reply_to("lines@smtp.test", "550-5.1.1 no such user\r\n550-5.1.1\there\r\n550 5.1.1 " + "x" * 300)
            sink.reply_to("later@smtp.test", "451 4.3.0 later")
            sink.reply_to("denied@smtp.test", "550 5.7.1 you are blocked")
            sink.reply_to("full@smtp.test", "552 5.2.2 full")
        yield smtp, lmtp


@pytest.fixture(scope="module")
def server(sinks, program):
    smtp, lmtp = sinks
    extra = (domain("smtp.test", smtp.port, "cache 1h negative 2s timeout 3s")
             + domain("lmtp.test", lmtp.port, protocol="lmtp")
             + domain("from.test", smtp.port, "from probe@smtp.test"))
    with running(extra=extra, trust="127.0.0.1/32") as g:
        yield g


@pytest.mark.parametrize("address, want", [
    ("known@smtp.test", "250"),
    ("unknown@smtp.test", "550 5.1.1 <unknown@smtp.test> is not known here"),
    ("plain@smtp.test", "550 5.1.1"),
    ("lines@smtp.test", "550 5.1.1"), ("known2@smtp.test", "250"),
    ("later@smtp.test", "451 4.3.0"), ("denied@smtp.test", "451 4.3.0"), ("full@smtp.test", "451 4.3.0"),
    ("known@lmtp.test", "250"), ("unknown@lmtp.test", "550 5.1.1"),
    ("postmaster@smtp.test", "250"), ('"quoted x"@smtp.test', "250"),
])
def test_what_it_says(server, address, want):
    assert rcpt(server, address)[0].startswith(want)


def test_it_never_gets_content(server, sinks):
    assert rcpt(server, "content@smtp.test")[0].startswith("250")
    assert all(sink.messages == [] for sink in sinks)
    verbs = {line.split(" ")[0].split(":")[0].upper() for sink in sinks for line in sink.commands}
    assert verbs <= {"EHLO", "LHLO", "MAIL", "RCPT", "RSET", "QUIT"}
    assert "MAIL FROM:<>" in sinks[0].commands


def test_another_sender(server, sinks):
    assert rcpt(server, "bob@from.test")[0].startswith("250")
    assert "MAIL FROM:<probe@smtp.test>" in sinks[0].commands


def test_answers_are_remembered(server, sinks):
    for _ in range(5):
        assert rcpt(server, "cached@smtp.test")[0].startswith("250")
    assert asked(sinks[0], "cached@smtp.test") == 1
    sinks[0].reply_to("new@smtp.test", "550 5.1.1 not yet", times=1)
    assert rcpt(server, "new@smtp.test")[0].startswith("550")
    assert rcpt(server, "new@smtp.test")[0].startswith("550")
    assert asked(sinks[0], "new@smtp.test") == 1
    ports.wait_for(lambda: rcpt(server, "new@smtp.test")[0].startswith("250"), 5,
                   what="the end of \"unknown\"")


def test_equal_questions_are_one(server, sinks):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port, source=STRANGER)) for _ in range(8)]
        for client in clients:
            client.hello()
            client.cmd("MAIL FROM:<sender@sender.test>")
        for client in clients:
            client.send("RCPT TO:<equal@smtp.test>\r\n")
        assert [client.reply()[0] for client in clients] == [250] * 8
    assert asked(sinks[0], "equal@smtp.test") == 1


def test_mail_goes_through(server, sinks):
    with Client(server.port, source=STRANGER) as client:
        client.hello()
        mail, rcpts = client.begin("a@sender.test", ["known@lmtp.test", "unknown@lmtp.test",
                                                     "other@lmtp.test"])
        assert [code for code, _ in rcpts] == [250, 550, 250]
        assert client.data(simple_message())[0] == 250
    got = ports.wait_for(lambda: sinks[1].messages, 10, what="the message")
    assert sorted(got[0].rcpts) == ["known@lmtp.test", "other@lmtp.test"]
    sinks[1].messages.clear()


def test_a_dictionary_is_no_flood(server, sinks):
    """One address learns 30 names a minute; from then on it is told to come later, and the target
    hears nothing of it. Others, and the names that are known already, are served."""
    smtp = sinks[0]
    attacker = "127.0.0.66"
    names = [f"guess{n}@smtp.test" for n in range(60)]
    assert rcpt(server, "known@smtp.test")[0].startswith("250")
    for name in names:
        smtp.reply_to(name, "550 5.1.1 no")
    replies = [rcpt(server, name, source=attacker)[0] for name in names]
    assert [r[:3] for r in replies] == ["550"] * 30 + ["451"] * 30
    assert "4.7.1" in replies[-1]
    assert sum(asked(smtp, name) for name in names) == 30
    assert rcpt(server, "known@smtp.test", source=attacker)[0].startswith("250")  # remembered
    assert rcpt(server, "fresh@smtp.test", source="127.0.0.67")[0].startswith("250")
    # What is not limited, since it is trusted:
    assert rcpt(server, names[-1], source="127.0.0.1")[0].startswith("550")


def test_a_host_of_ours_is_no_guesser(sinks, program):
    """What is brought by LMTP, by a mail server in front, is that of many clients."""
    port = ports.free_port()
    names = [f"many{n}@smtp.test" for n in range(34)]
    for name in names:
        sinks[0].reply_to(name, "550 5.1.1 no")
    with running(extra=domain("smtp.test", sinks[0].port) + f"listen lmtp 127.0.0.1:{port}\n", trust="127.0.0.1") as g, \
            Client(port, source="127.0.0.1") as ours:
        assert ours.cmd("LHLO front.test")[0] == 250
        ours.cmd("MAIL FROM:<sender@sender.test>")
        assert {ours.cmd(f"RCPT TO:<{name}>")[0] for name in names} == {550}


# ---- targets that are away, slow, or lie --------------------------------------------------------


def away(reply):
    return reply.startswith("451 4.3.0 Who is known here cannot be asked now")


@pytest.mark.parametrize("words", [
    {"MAIL": "550 5.7.1 we do not like you"}, {"MAIL": "550 5.1.1 lies"}, {"MAIL": "450 later"},
    {"EHLO": "554 5.7.1 no"}, {"RCPT": None}, {"RCPT": "x" * 3000}, {"MAIL": None},
    {"RCPT": "250-x\r\n" * 5000 + "250 x"}, {"RCPT": "421 4.3.2 going down"},
], ids=lambda words: str(words)[:40])
def test_what_speaks_of_us_is_no_verdict(words, program):
    with Rude("127.0.0.1", port := ports.free_port(), words=words) as rude:
        extra = (domain("defer.test", port, "timeout 3s")
                 + domain("accept.test", port, "timeout 3s away accept"))
        with running(extra=extra, trust="") as g:
            reply, took = rcpt(g, "bob@defer.test")
            assert away(reply) and took < 10
            reply, took = rcpt(g, "bob@accept.test")
            assert reply.startswith("250") and took < 10
            assert rude.connections <= 4


def test_nobody_there_and_back_again(program):
    port = ports.free_port()
    with running(extra=domain("away.test", port, "timeout 3s"), trust="") as g:
        assert away(rcpt(g, "bob@away.test")[0])
        # It rests: nobody waits.
        assert ports.quickest(lambda: away(rcpt(g, "carol@away.test")[0]) or pytest.fail(), 0.5) < 0.5
        assert len(g.log_lines("callout.away")) == 1
        with Sink(port=port):
            ports.wait_for(lambda: rcpt(g, "bob@away.test")[0].startswith("250"), 10,
                           what="an answer")


def test_an_address_that_is_silent(program):
    """One that neither takes nor refuses a connection is passed over for the next of the host."""
    port = ports.free_port()
    with blackhole("::1", port), Sink(port=port), Zones({"who.test": "@ A 127.0.0.1\n@ AAAA ::1"}) as zones:
        extra = (f"domain named.test {{ deliver lmtp who.test:{port}; recipients callout smtp who.test:{port} }}\n"
                 + zones.config())
        with running(extra=extra, trust="") as g:
            reply, took = rcpt(g, "bob@named.test")
            assert reply.startswith("250") and took < 4


def test_one_that_drips_holds_nobody_else(program):
    """An octet now and then: the recipient has its deadline, other sessions none of it."""
    with Sink(drip=0.5) as slow, Sink() as quick:
        extra = domain("slow.test", slow.port, "timeout 4s") + domain("quick.test", quick.port)
        with running(extra=extra, trust="") as g, contextlib.ExitStack() as stack:
            waiting = []
            for n in range(20):
                client = stack.enter_context(Client(g.port, source=f"127.0.1.{n + 1}"))
                client.hello()
                client.cmd("MAIL FROM:<sender@sender.test>")
                client.send(f"RCPT TO:<bob{n}@slow.test>\r\n")
                waiting.append(client)
            began = time.monotonic()
            assert rcpt(g, "bob@quick.test")[0].startswith("250")
            assert time.monotonic() - began < 3
            for client in waiting:
                code, text = client.reply()
                assert away(f"{code} {text}")
            assert time.monotonic() - began < 15  # one after the other it would be eighty
            assert slow.most_sessions <= 4


def test_clients_that_leave(server, sinks):
    """Who leaves while its question is open takes nothing down."""
    for n in range(30):
        with Client(server.port, source="127.0.0.9") as client:
            client.hello()
            client.cmd("MAIL FROM:<sender@sender.test>")
            client.send(f"RCPT TO:<leaver{n}@smtp.test>\r\n")
    assert rcpt(server, "stays@smtp.test")[0].startswith("250")


@needs_processes
def test_a_sender_dies(program):
    with Sink() as sink, running(extra=domain("dies.test", sink.port, "timeout 2s"), trust="") as g:
        g.expected_alarms.add("role.died")
        assert rcpt(g, "bob@dies.test")[0].startswith("250")
        g.kill9("sender")
        ports.wait_for(lambda: rcpt(g, "carol@dies.test")[0].startswith("250"), 10,
                       what="the next sender")


class Late:
    """Greets nobody before it is told to, and notes the name behind EHLO; who is known it says by one
    word for all of them."""

    def __init__(self, verdict):
        self.verdict, self.names, self.rcpts, self.go = verdict, [], [], threading.Event()
        self.came = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                self.came += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            self.go.wait()
            connection.sendall(b"220 late.test\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.names.append(line[5:].strip().decode("latin-1"))
                if verb == b"RCPT":
                    self.rcpts.append(line)
                connection.sendall(self.verdict if verb == b"RCPT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return


def test_a_reload_while_it_connects(program):
    """The connection that is being made goes by the configuration that it was made by; what the next
    one asks is asked of whom that names, whatever was remembered."""
    with Late(b"250 ok\r\n") as first, Late(b"550 5.1.1 no\r\n") as second, contextlib.ExitStack() as stack:
        with running(extra=domain("move.test", first.port, "timeout 8s"), trust="") as g:
            def asks(name):
                client = stack.enter_context(Client(g.port, source=STRANGER, timeout=20))
                client.hello()
                client.cmd("MAIL FROM:<sender@sender.test>")
                client.send(f"RCPT TO:<{name}@move.test>\r\n")
                return client

            waiting = [asks("bob")]
            ports.wait_for(lambda: first.came, 5, what="a connection")
            text = g.config_path.read_text()
            for n in range(3):
                g.config_path.write_text(text + f"vmta v{n} {{ helo v{n}.test }}\n")
                assert g.run("reload").returncode == 0
                waiting.append(asks(f"bob{n}"))
            first.go.set()
            second.go.set()
            assert [client.reply()[0] for client in waiting] == [250] * 4
            assert set(first.names) == {"mx.test"}
            g.config_path.write_text(text.replace(str(first.port), str(second.port)))
            assert g.run("reload").returncode == 0
            assert asks("bob").reply()[0] == 550
            assert [b"<bob@move.test>" in line for line in second.rcpts] == [True]


def test_a_mistake_that_is_mended(program):
    """Whoever rests, the next configuration may name somebody else, or nobody; and it again."""
    port = ports.free_port()
    with Sink() as sink, running(extra=domain("wrong.test", port), trust="") as g:
        assert away(rcpt(g, "bob@wrong.test")[0])
        text = g.config_path.read_text()
        for words, code in ((text.replace(str(port), str(sink.port)), "250"),
                            (text.replace("domain wrong.test", "domain other.test"), "550 5.7.1"),
                            (text.replace(str(port), str(sink.port)), "250")):
            g.config_path.write_text(words)
            assert g.run("reload").returncode == 0
            assert rcpt(g, "bob@wrong.test")[0].startswith(code)


@needs_root
def test_postfix_is_asked(program):
    """Its users are known, others not; a Postfix that does not relay for us speaks of us."""
    boxes = {"virtual_mailbox_maps": "inline:{ {known@pf.test=inbox/} }",
             "smtpd_recipient_restrictions": "reject_unauth_destination, reject_unlisted_recipient, permit"}
    with Postfix(domains=["pf.test"], options=boxes) as postfix:
        extra = domain("pf.test", postfix.port) + domain("foreign.test", postfix.port)
        with running(extra=extra, trust="") as g:
            assert rcpt(g, "known@pf.test")[0].startswith("250")
            for n in range(12):  # more than Postfix bears in one session
                assert rcpt(g, f"unknown{n}@pf.test")[0].startswith("550 5.1.1")
            reply, took = rcpt(g, "bob@foreign.test")
            assert away(reply) and took < 15
            assert postfix.queue_length() == 0
