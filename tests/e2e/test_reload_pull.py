"""Mail that is pulled, in the very moment of a reload: ODMR of both sides and ETRN. Whatever becomes of
the listener, the target or the pull statement, a connection that is turned round goes on as it began, or
the mail stays where it is; none is lost and none comes twice."""

import collections
import functools
import itertools
import ssl
import threading
import time

import pytest

from conftest import needs_processes
from peers import godwit as godwit_peer
from peers import ports, users
from peers.client import Client, simple_message
from peers.odmr import Customer, Letter, Provider, plain
from peers.sink import Sink
from peers.tls import context
from test_reload_storms import edit, grown, measure

SECRET = "wide open secret"
CUSTOMERS = 40
LEAK_ROUNDS = 50
MORE = 'domain more{n}.test {{ deliver reject "550 5.1.1 no" }}\n'
LARGE = 1_000_000
numbers = itertools.count()


def content(number, size=0):
    return simple_message(f"n{number}", "x" * 70 + "\r\n" + ("." * 60 + "\r\n") * (size // 62))


def number_of(data):
    return int(data.partition(b"Subject: n")[2].split()[0])


def reload(g, text, times=1):
    """So often, each another one; the last is the text as it is. One that comes while a process starts
    again for the one before is refused."""
    def active():
        status, answer = g.api("/v1/reload", "POST", {})
        assert status == 200 and (answer["active"] or "to start again" in answer["text"]), answer
        return answer["active"]

    for i in range(times):
        edit(g, text + MORE.format(n=next(numbers)) * (i + 1 < times))
        ports.wait_for(active, what="a reload")


def all_there(g):
    g.wait_log("config.loaded", generation=1)
    return g


def once(numbers_that_came, sent):
    """Each of them came, and only once."""
    assert sorted(numbers_that_came) == sorted(sent), (
        collections.Counter(numbers_that_came), sent)


# ---- the provider --------------------------------------------------------------------------------

STAGES = ["connected", "login", "atrn", "turned", "EHLO", "MAIL", "RCPT", "DATA", "half-way", "dot",
          "between", "QUIT"]
# Nothing is agreed on: it may be for the configuration of before, or of now.
UNDECIDED = STAGES[:3]
REFUSALS = (450, 451, 453, 530)


class Halting(Customer):
    """One that does something before what it says, or reads, at a stage: once."""

    def __init__(self, port, who, stage=None, act=None, **more):
        self.stage, self.act, self.acted = stage, act, False
        super().__init__(port, **more)
        self.at("connected")
        self.known = self.line.ask("AUTH PLAIN " + plain(f"c{who}", SECRET))[0] == 235
        self.at("login")

    def at(self, stage):
        if stage == self.stage and not self.acted:
            self.acted = True
            self.act()

    def atrn(self, domains=""):
        if self.stage != "atrn":
            return super().atrn(domains)
        thread = threading.Thread(target=self.at, args=("atrn",))
        thread.start()
        reply = super().atrn(domains)
        thread.join()
        return reply

    def _answer(self, text):
        last = self.commands[-1].split(" ")[0].upper() if self.commands else "turned"
        if last == "DATA" and text.startswith("250"):
            last = "dot"
        self.at("between" if last == "MAIL" and self.messages else last)
        super()._answer(text)

    def _content(self):
        lines = [self.line.read() for _ in range(3)]
        self.at("half-way")
        return "\r\n".join(lines).encode() + b"\r\n" + super()._content()


def accounts_text():
    """One hash for all of them: making it takes the time."""
    line = users.line("NAME", SECRET)
    return "".join(line.replace("NAME", f"c{i}") for i in range(CUSTOMERS))


def domains_text():
    return "reply-timeout 10s\n" + "".join(
        f"domain {kind}{i}.test {{ deliver odmr account c{i} }}\n"
        for i in range(CUSTOMERS) for kind in "ab")


class Isp:
    """Godwit with customers."""

    def __init__(self, make, words="odmr {tls off; auth plaintext}", **options):
        self.g = all_there(make(listeners={"odmr": words}, users=accounts_text(), extra=domains_text(),
                                **options))
        self.text = self.g.config_path.read_text()
        self.port = self.g.ports["odmr"]
        self.next = itertools.count()

    def customer(self):
        return next(self.next)

    def post(self, who, count, kind="a", size=0):
        sent = []
        with Client(self.g.port) as client:
            client.hello()
            for _ in range(count):
                sent.append(next(numbers))
                assert client.message("x@far.test", [f"n{sent[-1]}@{kind}{who}.test"],
                                      content(sent[-1], size))[0] == 250
        return sent

    def pull(self, who, stage=None, act=None, **more):
        """One session: (code of ATRN, the numbers that came, whether it ended by QUIT). An earlier one
        may not be gone yet."""
        def turned():
            customer = Halting(self.port, who, stage, act, **more)
            code = customer.atrn()[0]
            if code != 451 or customer.acted:
                return customer, code
            customer.close()
            return None

        customer, code = ports.wait_for(turned, 10, what="a customer's turn")
        with customer:
            if code == 250:
                customer.serve()
        assert stage is None or customer.acted or code != 250, customer.commands
        return code, [number_of(m.data) for m in customer.messages], customer.quit

    def rest(self, who, got, count):
        """What is left, in as many sessions as it takes."""
        def whole():
            if len(got) < count:
                got.extend(self.pull(who)[1])
            return len(got) >= count

        ports.wait_for(whole, 10, what=f"{count} messages of c{who}")
        assert self.pull(who)[0] == 453
        return got


def without(text, *words):
    return "".join(line for line in text.splitlines(True) if not any(w in line for w in words))


HARMLESS = {
    "another domain": lambda isp, who: isp.text + MORE.format(n=who),
    "no listener": lambda isp, who: without(isp.text, "listen    odmr"),
    "a shape": lambda isp, who: isp.text + f"shape kept {{ domain a{who}.test; expire 30d }}\n",
}


def large_if(stage):
    return LARGE if stage == "half-way" else 0


@pytest.mark.parametrize("change", HARMLESS)
def test_it_goes_on(make_godwit, change):
    """What its target is stays: all of it comes over the connection that is open, be it one reload or
    many in a row."""
    isp = Isp(make_godwit)
    for i, stage in enumerate(STAGES):
        who = isp.customer()
        sent = isp.post(who, 2, size=large_if(stage)) + isp.post(who, 1, "b")
        act = functools.partial(reload, isp.g, HARMLESS[change](isp, who), 4 if i % 2 else 1)
        code, got, ended = isp.pull(who, stage, act)
        assert (code, ended) == (250, True), (stage, code, ended)
        once(got, sent)
        reload(isp.g, isp.text)
        assert isp.pull(who)[0] == 453, stage


def rest_for(other):
    return lambda isp, who, got, count: isp.rest(other(isp, who), got, count)


def in_maildir(isp, who, count):
    def came():
        return [number_of(p.read_bytes()) for p in isp.g.maildir.glob(f"a{who}.test/*/new/*")]

    ports.wait_for(lambda: len(came()) >= count, 10, what="the mail")
    return came()


def rest_in_maildir(isp, who, got, count):
    rest = in_maildir(isp, who, count - len(got))
    isp.g.wait_idle()
    return got + rest


def rest_when_it_is_back(isp, who, got, count):
    """Nobody has it meanwhile."""
    isp.g.users_path.write_text(accounts_text())
    reload(isp.g, isp.text)
    return isp.rest(who, got, count)


def target_of(who):
    return f"domain a{who}.test {{ deliver odmr account c{who} }}"


def to_another(isp, who):
    return isp.text.replace(target_of(who), target_of(who).replace(f"c{who} ", f"c{CUSTOMERS - 1} "))


def to_another_with_all(isp, who):
    """Nothing of the configuration is this customer's any more."""
    return to_another(isp, who).replace(f"account c{who} ", f"account c{CUSTOMERS - 1} ")


def to_maildir(isp, who):
    return isp.text.replace(target_of(who), f"domain a{who}.test {{ deliver maildir {isp.g.maildir}/%d/%u }}")


def without_a_login(isp, who):
    isp.g.users_path.write_text(without(accounts_text(), f"c{who} "))
    return isp.text + MORE.format(n=who)


def other_authorities(isp, who):
    """The senders end what they have in hand, and start again."""
    path = isp.g.folder / f"authorities{who}.pem"
    path.write_bytes(godwit_peer.one_authority(isp.g.folder).read_bytes())
    path.chmod(0o644)
    return isp.text.replace(str(godwit_peer.one_authority(isp.g.folder)), str(path))


def itself(_, who):
    return who


def the_other(_, who):
    return CUSTOMERS - 1


MOVES = {
    "another account": (to_another, rest_for(the_other)),
    "another account for all": (to_another_with_all, rest_for(the_other)),
    "a Maildir": (to_maildir, rest_in_maildir),
    "no login": (without_a_login, rest_when_it_is_back),
    "senders": (other_authorities, rest_for(itself)),
}


@pytest.mark.parametrize("change, stages", [
    *((change, STAGES) for change in list(MOVES)[:-1]),
    pytest.param("senders", STAGES[::3], marks=needs_processes)])
def test_it_goes_elsewhere(make_godwit, change, stages):
    """The message under way ends by its reply; the others go where they belong now."""
    isp = Isp(make_godwit)
    text, rest = MOVES[change]
    for stage in stages:
        who = isp.customer()
        sent = isp.post(who, 3, size=large_if(stage))
        code, got, ended = isp.pull(who, stage, lambda: reload(isp.g, text(isp, who)))
        assert ended if code == 250 else code in REFUSALS and stage in UNDECIDED, (stage, code, got)
        once(rest(isp, who, got, len(sent)), sent)
        reload(isp.g, isp.text)


@pytest.mark.parametrize("change", ["another account", "another account for all", "a Maildir"])
def test_at_rest(make_godwit, change):
    """Nobody need ask who had it before: not for what waits for him alone, nor for a message that waits
    for a second one, too."""
    isp = Isp(make_godwit)
    text, rest = MOVES[change]
    who, second = isp.customer(), isp.customer()
    sent = isp.post(who, 3)
    shared = next(numbers)
    for first in (who, second), (second, who):
        with Client(isp.g.port) as client:
            client.hello()
            rcpts = [f"n{shared}@a{w}.test" for w in first]
            assert client.message("x@far.test", rcpts, content(shared))[0] == 250
        sent.append(shared)
    reload(isp.g, text(isp, who))
    once(rest(isp, who, [], len(sent)) if change != "a Maildir" else in_maildir(isp, who, len(sent)), sent)
    assert isp.pull(who)[0] == 453
    once(isp.rest(second, [], 2), [shared] * 2)


def test_certificates_change_places(make_godwit, ca):
    """What is under TLS goes on under the one it was begun with; who comes next sees the other."""
    pairs = [ca.issue("127.0.0.1", file=f"pair{i}") for i in range(2)]
    isp = Isp(make_godwit, "odmr {tls require}", tls=[pairs[0]])
    other = isp.text.replace(str(pairs[0][0]), str(pairs[1][0])).replace(
        str(pairs[0][1]), str(pairs[1][1]))
    for i, stage in enumerate(STAGES[3:]):
        who = isp.customer()
        sent = isp.post(who, 3, size=LARGE)
        reload(isp.g, isp.text)
        act = functools.partial(reload, isp.g, other, 4 if i % 2 else 1)
        code, got, ended = isp.pull(who, stage, act, context=context(ca))
        assert (code, ended) == (250, True), (stage, code, ended)
        once(got, sent)
        with Customer(isp.port, context=context(ca)) as later:
            shown = later.line.sock.getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(pairs[1][0].read_text().partition("-----END")[0]
                                                 + "-----END CERTIFICATE-----\n"), stage


@needs_processes
def test_storm(make_godwit):
    """Many customers, and one reload behind the other that takes the listener, a target or the senders'
    authorities away and gives them back."""
    isp = Isp(make_godwit)
    who = [isp.customer() for _ in range(4)]
    sent = {w: isp.post(w, 12) + isp.post(w, 2, size=LARGE) for w in who}
    got, wrong, stop = {w: [] for w in who}, [], threading.Event()

    def customer(w):
        try:
            while len(got[w]) < len(sent[w]) and not stop.is_set():
                try:
                    got[w] += isp.pull(w)[1]
                except ConnectionRefusedError:
                    time.sleep(0.02)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=customer, args=(w,)) for w in who]
    for t in threads:
        t.start()
    texts = [without(isp.text, "listen    odmr"), isp.text, to_another(isp, who[0]), isp.text,
             HARMLESS["a shape"](isp, who[1]), other_authorities(isp, who[2]), isp.text]
    for i in range(28):
        reload(isp.g, texts[i % len(texts)])
        time.sleep(0.02)
    assert not any(t.join(60) for t in threads) and not any(t.is_alive() for t in threads)
    stop.set()
    assert not wrong, wrong
    for w in who:
        once(got[w], sent[w])
        assert isp.pull(w)[0] == 453


# ---- the customer --------------------------------------------------------------------------------

NAME = "godwit"
HOME_STAGES = ["EHLO", "AUTH", "ATRN", "greeting", "MAIL", "RCPT", "DATA", "half-way", "dot",
               "between", "QUIT"]


class Pausing(Provider):
    """One that does something at a stage: once, each time it is armed."""

    stage, act = None, None

    def arm(self, stage, act):
        self.stage, self.act, self.acted = stage, act, False

    def at(self, stage):
        if stage == self.stage and not self.acted:
            self.act()
            self.acted = True

    def _first(self, line, session):
        read = line.read

        def hear():
            text = read()
            self.at(text.split(" ")[0].upper())
            return text

        line.read = hear
        try:
            return super()._first(line, session)
        finally:
            line.read = read

    def _ask(self, line, session, text):
        verb = text.split(" ")[0].upper()
        self.at("between" if verb == "MAIL" and self.letters[0].fate == "taken" else verb)
        return super()._ask(line, session, text)

    def _second(self, line, session):
        send = line.send

        def say(data):
            half = len(data) // 2 if len(data) > 1000 else 0
            send(data[:half])
            if half:
                self.at("half-way")
            send(data[half:])
            if data == b".\r\n":
                self.at("dot")

        line.send = say
        self.at("greeting")
        super()._second(line, session)


class Home:
    """Godwit that pulls, and what came."""

    def __init__(self, make, provider, kind="odmr"):
        self.g = make(start=False)
        path = self.g.folder / "secret"
        path.write_text(f"{NAME}\n{SECRET}\n")
        path.chmod(0o600)
        self.g.write_config(domains=("a.test", "b.test"), extra=(
            f"reply-timeout 10s\npull {kind} 127.0.0.1:{provider.port} {{ name isp; "
            f"domains a.test b.test; auth file:{path}; tls off; every 0s }}\n"))
        all_there(self.g.start())
        self.text = self.g.config_path.read_text()
        self.isp = provider

    def pull(self):
        """Until the provider's side is over."""
        before = len(self.isp.sessions)

        def asked():
            return self.g.api("/v1/pull", "POST", {"pull": "isp"})[0] == 200 and (
                len(self.isp.sessions) > before or ports.wait_for(
                    lambda: len(self.isp.sessions) > before or not self.active(), what="a pull"))

        ports.wait_for(lambda: not self.active(), what="the end of the pull before")
        ports.wait_for(asked, what="a pull")
        ports.wait_for(lambda: all(s.ended for s in self.isp.sessions), what="its end")

    def active(self):
        return any(p["state"] == "active" for p in self.g.api("/v1/pulls")[1]["pulls"])

    def has(self, sent):
        """Each of them, once."""
        def came():
            return [number_of(p.read_bytes()) for p in self.g.maildir.glob("*/*/new/*")]

        ports.wait_for(lambda: len(came()) >= len(sent), what="the mail")
        self.g.wait_idle()
        once(came(), sent)


def some_letters(size=0):
    return [Letter("x@far.test", [f"box@{domain}"], content(next(numbers), size).encode())
            for domain in ("a.test", "b.test", "a.test")]


HOME_CHANGES = {
    "another domain": lambda home: home.text + MORE.format(n=1),
    "no pull": lambda home: without(home.text, "pull odmr"),
    "another host": lambda home: home.text.replace(f"127.0.0.1:{home.isp.port}", "127.0.0.1:9"),
    "fewer domains": lambda home: home.text.replace("domains a.test b.test", "domains a.test"),
    "another kind": lambda home: home.text.replace("pull odmr", "pull etrn"),
}


def took_all(home, stage):
    """What was agreed on is taken; of the rest nothing was refused, and it is there for the next time."""
    home.pull()
    isp = home.isp
    assert isp.acted, (stage, isp.sessions[-1])
    fates = {letter.fate for letter in isp.letters}
    assert fates == {"taken"} or fates == {""} and stage in HOME_STAGES[:4], (stage, fates)
    reload(home.g, home.text)
    if fates == {""}:
        home.pull()
    assert {letter.fate for letter in isp.letters} == {"taken"}, stage


@pytest.mark.parametrize("change, stages", [
    ("another domain", HOME_STAGES), ("no pull", HOME_STAGES), ("fewer domains", HOME_STAGES),
    ("another host", HOME_STAGES[1::2]), ("another kind", HOME_STAGES[::2])])
def test_we_pull(make_godwit, change, stages):
    """What was agreed on is taken; what was not stays with the provider, who hears no word that would
    end it."""
    with Pausing(NAME, SECRET) as isp:
        home = Home(make_godwit, isp)
        sent = []
        for i, stage in enumerate(stages):
            isp.letters = some_letters(LARGE if stage == "half-way" else 0)
            sent += [number_of(letter.data) for letter in isp.letters]
            text = HOME_CHANGES[change](home)
            isp.arm(stage, functools.partial(reload, home.g, text, 4 if i % 2 else 1))
            took_all(home, stage)
        home.has(sent)


@needs_processes
def test_we_pull_and_senders_start_again(make_godwit):
    """Each ends what it has in hand first."""
    with Pausing(NAME, SECRET) as isp:
        home = Home(make_godwit, isp)
        sent = []
        for stage in HOME_STAGES[::3]:
            isp.letters = some_letters()
            sent += [number_of(letter.data) for letter in isp.letters]
            isp.arm(stage, functools.partial(reload, home.g, other_authorities(home, next(numbers))))
            took_all(home, stage)
        home.has(sent)


def test_our_etrn(make_godwit):
    """It asks for all it was to ask for, though the statement is gone meanwhile."""
    with Pausing(NAME, SECRET, etrn={f"{d}.test": "253 OK, 3 pending" for d in "ab"}) as isp:
        home = Home(make_godwit, isp, kind="etrn")
        for i, stage in enumerate(["EHLO", "AUTH", "ETRN", "QUIT"]):
            isp.arm(stage, functools.partial(reload, home.g, without(home.text, "pull etrn"), 4 if i % 2 else 1))
            home.pull()
            assert isp.acted
            assert isp.sessions[-1].commands[-3:] == ["ETRN a.test", "ETRN b.test", "QUIT"]
            assert home.g.api("/v1/pull", "POST", {"pull": "isp"})[0] == 404
            reload(home.g, home.text)


# ---- ETRN ------------------------------------------------------------------------------------------

AWAY = 6


def test_etrn(make_godwit):
    """Asked in the moment of a reload, by who was in when it began: all that waits comes, and comes once,
    though its statement is there no more. Who connects then is told no."""
    gates = [ports.free_port() for _ in range(AWAY)]
    g = all_there(make_godwit(retry="1h", expire="1d", extra="".join(
        f"route to domain e{i}.test via relay 127.0.0.1:{port}\netrn e{i}.test from 127.0.0.1\n"
        for i, port in enumerate(gates))))
    text = g.config_path.read_text()
    sent = {i: [next(numbers) for _ in range(5)] for i in range(AWAY)}
    with Client(g.port) as client:
        client.hello()
        for i, number in ((i, n) for i in sent for n in sent[i]):
            assert client.message("x@far.test", [f"u@e{i}.test"], content(number))[0] == 250
    ports.wait_for(lambda: len({line["to"] for line in g.log_lines("deferred")}) == AWAY
                   and not any(r["state"] == "active" for m in g.queue() for r in m["recipients"]),
                   20, what="a failure of each")
    for i, port in enumerate(gates):
        change = without(text, f"etrn e{i}.test") if i % 2 else text + MORE.format(n=i)
        with Sink(port=port) as sink, Client(g.port) as client:
            client.hello()
            thread = threading.Thread(target=reload, args=(g, change, 1 + i))
            thread.start()
            assert client.cmd(f"ETRN e{i}.test") == (
                253, f"2.0.0 OK, 5 pending messages for node e{i}.test started")
            thread.join()
            assert client.cmd(f"ETRN e{i}.test")[0] in (251, 252)
            sink.wait(5)
            once([number_of(m.data) for m in sink.accepted()], sent[i])
        with Client(g.port) as client:
            client.hello()
            assert client.cmd(f"ETRN e{i}.test")[0] in ((459,) if i % 2 else (251, 252))
    g.wait_idle()


# ---- nothing is kept -------------------------------------------------------------------------------

def test_nothing_is_kept(make_godwit):
    """Neither side keeps memory or descriptors of what was open while fifty configurations came."""
    isp = Isp(make_godwit)
    with Pausing(NAME, SECRET) as provider:
        home = Home(make_godwit, provider)
        for i in range(6 + LEAK_ROUNDS // 2):
            if i == 6:
                before = measure(isp.g), measure(home.g)
            who = isp.customer()
            sent = isp.post(who, 2, size=LARGE // 4)
            act = functools.partial(reload, isp.g, isp.text + MORE.format(n=i), 2)
            once(isp.pull(who, STAGES[i % len(STAGES)], act)[1], sent)
            provider.letters = some_letters(LARGE // 4)
            text = without(home.text, "pull odmr") if i % 2 else home.text + MORE.format(n=i)
            stage = HOME_STAGES[i % len(HOME_STAGES)]
            provider.arm(stage, functools.partial(reload, home.g, text, 2))
            took_all(home, stage)
        for g, first in zip((isp.g, home.g), before):
            assert set(measure(g)) == set(first), "a process was replaced"
            ports.wait_for(lambda: not grown(first, measure(g)), what=f"no more than {first}")
