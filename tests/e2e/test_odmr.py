"""Mail that is pulled (RFC 2645): Godwit as the provider, as the customer, and both against each
other. The peers are written from the RFC alone (peers/odmr.py): Exim knows ATRN from 4.99 on, and
what Debian has is 4.96. No server of Debian 12 is a provider; its one customer is fetchmail
(test_odmr_fetchmail.py)."""

import collections
import itertools
import re
import ssl
import threading
import time

import pytest

from conftest import needs_processes
from peers import letters, ports, users
from peers.client import Client, simple_message
from peers.odmr import Customer, Letter, Provider
from peers.tls import context

SECRET = "wide open secret"
CUSTOMERS = 120
numbers = itertools.count()


def content(number, size=0):
    return simple_message(f"n{number}", "x" * 70 + "\r\n" + ("." * 60 + "\r\n") * (size // 62))


def number_of(data):
    return int(re.search(rb"Subject: n(\d+)", data)[1])


# ---- the provider --------------------------------------------------------------------------------

def accounts_text():
    """One hash for all of them: making it takes the time."""
    line = users.line("NAME", SECRET)
    return "".join(line.replace("NAME", f"c{i}") for i in range(CUSTOMERS))


def provider_rules():
    lines = ["reply-timeout 3s"]
    for i in range(CUSTOMERS):
        lines += [f"domain {kind}{i}.test {{ deliver odmr account C{i} }}" for kind in "ab"]
    return "\n".join(lines)


class Isp:
    """Godwit with customers, each test has one of its own."""

    def __init__(self, g):
        self.g = g
        self.next = itertools.count()

    def customer(self):
        return next(self.next)

    def post(self, who, count, kind="a", size=0):
        """So many messages for a customer: their numbers."""
        sent = []
        with Client(self.g.port) as client:
            client.hello()
            for _ in range(count):
                sent.append(next(numbers))
                rcpt = f"n{sent[-1]}@{kind}{who}.test"
                assert client.message("x@far.test", [rcpt], content(sent[-1], size))[0] == 250
        return sent

    def connect(self, who, port="plain", **more):
        return Customer(self.g.ports[port], f"c{who}", SECRET, **more)

    def turned(self, who, domains="", timeout=10, **more):
        """A customer whose connection was turned round; an earlier one may not be gone yet."""
        end = time.monotonic() + timeout
        while True:
            customer = self.connect(who, **more)
            code, words = customer.atrn(domains)
            if code == 250:
                return customer
            customer.close()
            assert code in (451, 453) and time.monotonic() < end, words
            time.sleep(0.05)

    def pull(self, who, count, got=None, timeout=10, **more):
        """All that is left: the numbers of what was taken until there are so many."""
        got = [] if got is None else got
        while len(got) < count:
            customer = self.turned(who, timeout=timeout, **more)
            got += [number_of(m.data) for m in customer.serve()]
            customer.close()
        return got

    def empty(self, who):
        def none():
            listed = self.g.cli("queue", "list", f"domain:a{who}.test").splitlines()
            return not any(f"@a{who}.test" in row and "unpulled" in row for row in listed)
        ports.wait_for(none, 10, what=f"the queue of c{who}")
        with self.connect(who) as customer:
            assert customer.atrn() == (453, "453 4.2.0 You have no mail")


@pytest.fixture(scope="module")
def isp(program, ca):
    from peers.godwit import Godwit

    pair = ca.issue("127.0.0.1")
    with Godwit(listeners={"plain": "odmr {tls off; auth plaintext}", "tls": "odmr {tls require}",
                           "submission": "submission {tls off; auth plaintext}"},
                users=accounts_text(), tls=[pair], extra=provider_rules()) as g:
        yield Isp(g)
        for alarm in ("role.died", "role.crashed", "peer.ended", "error"):
            assert not g.log_lines(alarm), g.log_lines(alarm)


def test_ten_messages(isp):
    """Over the connection that the customer made, in order, and not a moment before."""
    who = isp.customer()
    sent = isp.post(who, 5) + isp.post(who, 5, "b")
    listed = isp.g.cli("queue", "list", "state:unpulled")
    assert sum(f"n{n}@" in listed for n in sent) == 10
    with isp.connect(who) as customer:
        assert "250 ATRN" in customer.offers
        assert customer.atrn() == (250, "250 2.0.0 OK, now reversing the connection")
        got = [number_of(m.data) for m in customer.serve()]
        assert customer.quit
        assert customer.commands[0] == "EHLO mx.test"
    assert sorted(got) == sent and got.index(sent[0]) < got.index(sent[1]) < got.index(sent[4])
    isp.empty(who)
    log = isp.g.log_lines("odmr.ended")
    assert log[-1]["login"] == f"c{who}" and int(log[-1]["octets"]) > 3000


def test_named_domains_alone(isp):
    who = isp.customer()
    sent, others = isp.post(who, 3), isp.post(who, 2, "b")
    with isp.connect(who) as customer:
        assert customer.atrn(f"A{who}.TEST")[0] == 250
        assert [number_of(m.data) for m in customer.serve()] == sent
    assert isp.pull(who, 2) == others


def test_large_and_many_recipients(isp):
    who = isp.customer()
    sent = isp.post(who, 2, size=2_000_000)
    with Client(isp.g.port) as client:
        client.hello()
        sent.append(next(numbers))
        rcpts = [f"r{i}@a{who}.test" for i in range(150)]
        assert client.message("x@far.test", rcpts, content(sent[-1]))[0] == 250
    customer = isp.turned(who)
    messages = customer.serve()
    by_number = collections.defaultdict(list)
    for m in messages:
        by_number[number_of(m.data)] += m.rcpts
        assert len(m.data) < 10_000 or m.data.endswith(b"." * 60 + b"\r\n")
    assert sorted(by_number) == sent and sorted(by_number[sent[2]]) == sorted(rcpts)


def test_over_tls(isp, ca):
    who = isp.customer()
    sent = isp.post(who, 3, size=300_000)
    bare = Customer(isp.g.ports["tls"])
    assert bare.atrn()[0] == 530 and "ATRN" in bare.offers and "AUTH" not in bare.offers
    bare.close()
    assert isp.pull(who, 3, port="tls", context=context(ca)) == sent
    isp.empty(who)


def test_a_message_of_two_customers(isp):
    """Each gets it when he comes, whoever comes first."""
    one, two = isp.customer(), isp.customer()
    with Client(isp.g.port) as client:
        client.hello()
        n = next(numbers)
        assert client.message("x@far.test", [f"n@a{one}.test", f"n@a{two}.test"],
                              content(n))[0] == 250
    for who in (one, two):
        assert isp.pull(who, 1) == [n]
        isp.empty(who)


def test_other_recipients_do_not_wait(isp):
    """What goes elsewhere goes at once, though the message has a recipient that waits."""
    who = isp.customer()
    with Client(isp.g.port) as client:
        client.hello()
        n = next(numbers)
        assert client.message("x@far.test", [f"n@a{who}.test", f"box{n}@example.net"],
                              content(n))[0] == 250
    box = isp.g.maildir / "example.net" / f"box{n}" / "new"
    ports.wait_for(lambda: box.is_dir() and list(box.iterdir()), 10, what="the local copy")
    assert isp.pull(who, 1) == [n]


# ---- refusals

def test_what_is_refused(isp):
    who, other = isp.customer(), isp.customer()
    isp.post(other, 1)
    nobody = Customer(isp.g.ports["plain"])
    assert nobody.atrn() == (530, "530 5.7.0 Authentication required")
    assert nobody.atrn(f"a{other}.test")[0] == 530
    for command in ("MAIL FROM:<x@y.test>", "RCPT TO:<x@y.test>", "DATA", "VRFY x"):
        assert nobody.line.ask(command)[0] == 502
    nobody.close()
    with isp.connect(who) as customer:
        for domains in (f"a{other}.test", f"a{who}.test,a{other}.test", "nowhere.test",
                        "example.net", f"x.a{who}.test"):
            assert customer.atrn(domains)[0] == 450, domains
        for domains in ("a b", "a,", ",a", "<a.test>", "[127.0.0.1]", "@a.test", "#a", "a_/..",
                        "a.test;b.test", "'a'"):
            assert customer.atrn(domains)[0] == 501, domains
    with isp.connect(who) as customer:
        assert customer.atrn(",".join(f"d{i}.test" for i in range(101)))[0] == 501
        assert customer.atrn(",".join(f"d{i}.test" for i in range(10_000)))[0] == 500
        assert customer.atrn(f"a{who}.test")[0] == 453
        assert customer.atrn()[0] == 453
        assert customer.line.ask("QUIT")[0] == 221
    assert len(isp.pull(other, 1)) == 1


def test_on_other_ports(isp):
    who = isp.customer()
    isp.post(who, 1)
    for port in (isp.g.port, isp.g.ports["submission"]):
        customer = Customer(port)
        assert "ATRN" not in customer.offers
        assert customer.atrn()[0] == 502
        customer.close()
    customer = Customer(isp.g.ports["submission"], f"c{who}", SECRET)
    assert customer.atrn()[0] == 502
    assert customer.line.ask("MAIL FROM:<x@y.test>")[0] in (250, 550, 553)
    assert customer.atrn()[0] == 502
    customer.close()


def test_it_ends_a_group(isp):
    """What stands behind ATRN was said before anybody agreed to listen."""
    who = isp.customer()
    sent = isp.post(who, 1)
    for behind in (b"220 hello\r\n", b"QUIT\r\n", b"\r\n", b"2"):
        with isp.connect(who) as customer:
            customer.line.sock.sendall(b"ATRN\r\n" + behind)
            assert customer.line.reply()[0] == 554
            with pytest.raises(ConnectionError):
                customer.line.read()
    assert isp.pull(who, 1) == sent


def test_one_at_a_time(isp):
    """The second connection of an account finds the first one being served."""
    who = isp.customer()
    sent = isp.post(who, 2)
    with isp.turned(who) as first, isp.connect(who) as second:
        assert second.atrn()[0] == 451
        assert [number_of(m.data) for m in first.serve()] == sent
    isp.empty(who)


# ---- customers that misbehave

@pytest.mark.parametrize("words", [b"EHLO me\r\n", b"554 no\r\n", b"421 not now\r\n",
                                   b"\x00\xff\r\n", b"250 OK\r\n", b"x" * 100_000, b""])
def test_no_greeting(isp, words):
    """Commands, a refusal, nonsense or nothing instead of 220: the mail stays."""
    who = isp.customer()
    sent = isp.post(who, 1)
    with isp.turned(who) as customer:
        customer.line.sock.sendall(words)
        customer.line.sock.settimeout(20)
        while customer.line.sock.recv(4096):
            pass
    assert isp.pull(who, 1) == sent
    isp.empty(who)


def test_a_greeting_that_drips(isp):
    who = isp.customer()
    sent = isp.post(who, 1)
    with isp.turned(who) as customer:
        began = time.monotonic()
        with pytest.raises(OSError):
            for octet in b"220 " + b"x" * 200:
                customer.line.sock.sendall(bytes([octet]))
                time.sleep(0.1)
        assert time.monotonic() - began < 15
    assert isp.pull(who, 1) == sent


def test_recipients_it_does_not_take(isp):
    """5xx ends a recipient; 4xx keeps it for a later call, not for the same one."""
    who = isp.customer()
    sent = isp.post(who, 3)
    no = {f"n{sent[0]}@a{who}.test": "550 5.1.1 nobody", f"n{sent[1]}@a{who}.test": "450 later"}
    with isp.turned(who) as customer:
        assert [number_of(m.data) for m in customer.serve(rcpt_replies=no)] == sent[2:]
        assert customer.quit
        assert sum("RCPT" in c for c in customer.commands) == 3
    listed = isp.g.cli("queue", "list", f"to:a{who}.test")
    assert f"n{sent[1]}@" in listed and f"n{sent[0]}@" not in listed


# ---- cuts

def replies_of(messages):
    """Greeting, EHLO, four for each message, QUIT."""
    return 2 + 4 * messages + 1


@pytest.mark.parametrize("pipelining", [True, False])
def test_cut_at_each_reply(isp, pipelining):
    """A customer that goes before the Nth reply, whichever it is: nothing is lost, and nothing that
    it said 250 to comes again."""
    for cut in range(replies_of(2) + 1):
        who = isp.customer()
        sent = isp.post(who, 2)
        with isp.turned(who) as customer:
            got = [number_of(m.data) for m in customer.serve(cut_at=cut, pipelining=pipelining)]
        isp.pull(who, 2, got)
        assert sorted(got) == sent, f"cut at {cut}"


def test_cut_at_octets(isp):
    who = isp.customer()
    for cut in range(0, 260, 13):
        sent = isp.post(who, 2)
        with isp.turned(who) as customer:
            got = [number_of(m.data) for m in customer.serve(cut_octets=cut)]
        isp.pull(who, 2, got)
        assert sorted(got) == sent, f"cut behind {cut} octets"


@needs_processes
@pytest.mark.parametrize("role", ["smtpd", "sender", "queue"])
def test_killed_while_turned(make_godwit, role):
    """In the middle of the dialogue: what had no answer comes again, what had one does not."""
    g = make_godwit(listeners={"plain": "odmr {tls off; auth plaintext}"}, users=accounts_text(),
                    extra=provider_rules())
    g.expected_alarms = {"role.died", "role.crashed", "error"}
    isp = Isp(g)
    who = isp.customer()
    sent = isp.post(who, 6)
    customer = isp.turned(who)
    hit = threading.Event()
    answer = customer._answer

    def slowly(text):
        if text.startswith("250 taken") and len(customer.messages) == 2 and not hit.is_set():
            hit.set()
            g.kill9(role)
            time.sleep(0.3)
        answer(text)

    customer._answer = slowly
    try:
        got = [number_of(m.data) for m in customer.serve()]
    except OSError:
        got = [number_of(m.data) for m in customer.messages]
    customer.close()
    assert hit.is_set()
    ports.wait_for(lambda: ports.greets(g.port, ready=True), 15, what="the server again")
    isp.pull(who, 6, got, timeout=20)
    twice = [n for n, times in collections.Counter(got).items() if times > 1]
    # The one whose 250 was on its way when the process died may come again.
    assert sorted(set(got)) == sent and len(twice) <= 1


# ---- the customer --------------------------------------------------------------------------------

NAME = "godwit"


class Home:
    """Godwit that pulls, and what came."""

    def __init__(self, make, provider, tls="tls off", domains="a.test b.test", every="0s", ca=None,
                 kind="odmr", secret=SECRET):
        self.g = make(start=False)
        path = self.g.folder / "secret"
        path.write_text(f"{NAME}\n{secret}\n")
        path.chmod(0o600)
        authorities = f"authorities {ca.cert}\n" if ca else ""
        self.g.write_config(domains=("a.test", "b.test", "c.test"), extra=(
            f"{authorities}reply-timeout 3s\n"
            f"pull {kind} 127.0.0.1:{provider} {{ name isp; domains {domains}; "
            f"auth file:{path}; {tls}; every {every} }}"))
        self.g.start()

    def pull(self, ok=True):
        try:
            said = self.g.cli("pull", "isp", "--for", "20s")
        except RuntimeError as error:
            said = str(error)
            assert not ok, said
        else:
            assert ok is not False or "failed" in said, said
        return said

    def numbers(self):
        found = []
        for path in self.g.maildir.glob("*/*/new/*"):
            found.append(number_of(path.read_bytes()))
        return found

    def wait(self, count):
        ports.wait_for(lambda: len(self.numbers()) >= count, 10, what="the mail")
        return sorted(self.numbers())


def some_letters(count, domain="a.test", size=0):
    return [Letter("x@far.test", [f"box@{domain}"], content(next(numbers), size).encode())
            for _ in range(count)]


def numbers_of(some):
    return sorted(number_of(letter.data) for letter in some)


def test_we_pull(make_godwit):
    with Provider(NAME, SECRET, some_letters(10)) as isp:
        home = Home(make_godwit, isp.port)
        assert "done: 250" in home.pull()
        assert isp.sessions[0].turned == "a.test,b.test" and isp.sessions[0].ended == "whole"
        assert home.wait(10) == numbers_of(isp.letters) and len(isp.taken) == 10
        assert [e["result"] for e in home.g.log_lines("pull.done")] == ["done"]
        isp.atrn = "453 You have no mail"
        assert "no_mail: 453 You have no mail" in home.pull()
        accepted = home.g.log_lines("accepted")
        assert {e["listener"] for e in accepted} == {"pull"}


def test_we_pull_over_tls(make_godwit, ca):
    pair = ca.issue("127.0.0.1")
    with Provider(NAME, SECRET, some_letters(3, size=400_000), pair=pair) as isp:
        home = Home(make_godwit, isp.port, tls="tls verify", ca=ca)
        assert "done" in home.pull()
        assert isp.sessions[0].tls
        assert home.wait(3) == numbers_of(isp.letters)


def test_the_password_stays_here(make_godwit, ca, scratch):
    """A host that cannot show who it is gets no login."""
    stranger = ca.lonely("127.0.0.1")
    with Provider(NAME, SECRET, some_letters(1), pair=stranger) as isp:
        home = Home(make_godwit, isp.port, tls="tls verify", ca=ca)
        assert "failed" in home.pull(ok=None)
        assert not any("AUTH" in c for s in isp.sessions for c in s.commands)
        isp.pair = None
        assert "failed" in home.pull(ok=None)
        assert not any("AUTH" in c for s in isp.sessions for c in s.commands)
        assert SECRET not in home.g.log_text()


def test_only_what_was_asked_for(make_godwit):
    """The provider is no relay client: foreign domains, and ours that were not named."""
    some = some_letters(1)
    for domain in ("far.test", "c.test", "127.0.0.1", "example.org"):
        some += some_letters(1, domain)
    with Provider(NAME, SECRET, some) as isp:
        home = Home(make_godwit, isp.port)
        home.pull()
        assert [letter.fate for letter in some] == ["taken"] + ["refused"] * 4
        assert home.wait(1) == numbers_of(some[:1])
        reasons = {e["reason"] for e in home.g.log_lines("reject")}
        assert "not_asked_for" in reasons


@pytest.mark.parametrize("atrn", ["450 ATRN request refused", "451 not now", "502 what?",
                                  "530 Authentication required", "220 what?", "421 bye"])
def test_refusals_are_told(make_godwit, atrn):
    with Provider(NAME, SECRET, some_letters(1), atrn=atrn) as isp:
        home = Home(make_godwit, isp.port)
        assert f"failed: {atrn}" in home.pull(ok=None)
        assert home.g.log_lines("pull.failed")[-1]["code"] == atrn[:3]


def test_failures_are_told(make_godwit):
    with Provider(NAME, "another one", some_letters(1)) as isp:
        home = Home(make_godwit, isp.port)
        assert "The login was refused" in home.pull(ok=None)
    assert "Cannot connect" in home.pull(ok=None)


@pytest.mark.parametrize("early", [b"EHLO provider.test\r\n", b"QUIT\r\n" * 1000, b"\xff"],
                         ids=["ehlo", "quits", "octet"])
def test_a_provider_that_does_not_wait(make_godwit, early):
    """It speaks before our greeting: as any client that does, it is sent away."""
    with Provider(NAME, SECRET, some_letters(1), early=early) as isp:
        home = Home(make_godwit, isp.port)
        home.pull(ok=None)
        assert home.numbers() == []
        isp.early = b""
        home.pull()
        assert home.wait(1) == numbers_of(isp.letters)


def test_by_itself(make_godwit):
    with Provider(NAME, SECRET, some_letters(2)) as isp:
        home = Home(make_godwit, isp.port, every="1s")
        assert home.wait(2) == numbers_of(isp.letters)
        ports.wait_for(lambda: len(isp.sessions) >= 3, 10, what="three pulls")


def test_our_etrn(make_godwit):
    with Provider(NAME, SECRET) as isp:
        isp.etrn = {"a.test": "253 OK, 3 pending messages for node a.test started",
                    "b.test": "251 OK, no messages waiting for node b.test"}
        home = Home(make_godwit, isp.port, kind="etrn")
        assert "done: 253" in home.pull()
        assert isp.sessions[0].commands[-3:] == ["ETRN a.test", "ETRN b.test", "QUIT"]
        isp.etrn["a.test"] = isp.etrn["b.test"]
        assert "no_mail: 251" in home.pull()
        isp.etrn = {"b.test": "250 queuing"}
        assert "failed: 459" in home.pull(ok=None)
        isp.etrn["a.test"] = "458 Unable to queue messages for node a.test"
        assert "failed: 458" in home.pull(ok=None)


def cut_and_pull(home, isp, some, **cut):
    """Once with the cut, then until all is there. Those that were certainly not taken the first
    time come once."""
    isp.letters += some
    isp.cut_at, isp.cut_octets = cut.get("at"), cut.get("octets")
    home.pull(ok=None)
    ports.wait_for(lambda: isp.sessions[-1].ended, 10, what="the provider's end")
    unsure = numbers_of(letter for letter in some if letter.fate == "unknown")
    for letter in some:
        letter.fate = "" if letter.fate == "unknown" else letter.fate
    isp.cut_at = isp.cut_octets = None
    home.pull()
    assert {letter.fate for letter in some} == {"taken"}
    want = numbers_of(some)
    ports.wait_for(lambda: set(want) <= set(home.numbers()), 10, what="the mail")
    came = collections.Counter(n for n in home.numbers() if n in want)
    assert all(came[n] == 1 or (n in unsure and came[n] == 2) for n in want), (cut, came, unsure)


def test_we_are_cut_off(make_godwit):
    """The provider goes before each of its commands, and behind octets of them."""
    with Provider(NAME, SECRET) as isp:
        home = Home(make_godwit, isp.port)
        for at in range(replies_of(2)):
            cut_and_pull(home, isp, some_letters(2), at=at)
        for octets in range(0, 700, 47):
            cut_and_pull(home, isp, some_letters(2), octets=octets)


@needs_processes
@pytest.mark.parametrize("role", ["smtpd", "sender", "queue"])
def test_killed_while_we_pull(make_godwit, role):
    some = some_letters(6)
    with Provider(NAME, SECRET, some) as isp:
        home = Home(make_godwit, isp.port)
        home.g.expected_alarms = {"role.died", "role.crashed", "error"}
        send, done = isp._send, threading.Event()

        def killing(line, session, letter):
            if letter is some[2] and not done.is_set():
                done.set()
                home.g.kill9(role)
                time.sleep(0.3)
            send(line, session, letter)

        isp._send = killing
        home.pull(ok=None)
        assert done.is_set()
        ports.wait_for(lambda: isp.sessions[-1].ended, 15, what="the provider's end")
        unsure = numbers_of(letter for letter in some if letter.fate == "unknown")
        for letter in some:
            letter.fate = letter.fate if letter.fate == "taken" else ""
        ports.wait_for(lambda: ports.greets(home.g.port, ready=True), 15, what="the server again")
        end = time.monotonic() + 20
        while any(letter.fate != "taken" for letter in some) and time.monotonic() < end:
            home.pull(ok=None)
        want = numbers_of(some)
        ports.wait_for(lambda: set(want) <= set(home.numbers()), 10, what="the mail")
        came = collections.Counter(home.numbers())
        assert all(came[n] == 1 or (n in unsure and came[n] == 2) for n in want)


# ---- both ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("tls", ["tls verify", "tls off"])
def test_godwit_pulls_from_godwit(isp, make_godwit, ca, tls):
    """Every kind of content, octet for octet, over the provider's port for it."""
    who = isp.customer()
    messages = letters.letters(8, 700_000)
    for number, data in messages.items():
        letters.send(isp.g.port, {number: data}, f"box%d@b{who}.test")
    home = make_godwit(start=False)
    secret = home.folder / "secret"
    secret.write_text(f"c{who}\n{SECRET}\n")
    secret.chmod(0o600)
    port = isp.g.ports["tls" if "verify" in tls else "plain"]
    home.write_config(domains=(f"b{who}.test",), extra=(
        f"authorities {ca.cert}\n"
        f"pull odmr 127.0.0.1:{port} {{ domains b{who}.test; auth file:{secret}; {tls} }}"))
    home.start()
    assert "done: 250" in home.cli("pull", "127.0.0.1", "--for", "20s")

    def boxes():
        return list(home.maildir.glob(f"b{who}.test/*/new/*"))

    ports.wait_for(lambda: len(boxes()) == len(messages), 10, what="the mail")
    for path in boxes():
        number = int(path.parts[-3].removeprefix("box"))
        data = messages[number].replace(b"\r\n", b"\n")
        assert path.read_bytes().endswith(data), number
    assert "no_mail: 453" in home.cli("pull", "127.0.0.1", "--for", "20s")
