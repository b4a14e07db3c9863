"""Delivery status notifications over two hops: Godwit to Godwit, Godwit to Postfix to Godwit, and
Godwit to a host that cannot DSN. Every combination of NOTIFY with every outcome is sent at once,
each from a sender of its own; when all queues are empty each sender has exactly the reports that
RFC 3461 gives him. The reports are read by Python's email package (peers/reports.py)."""

import contextlib
import itertools
from dataclasses import dataclass, field

import pytest

from conftest import needs_root
from peers import ports, postfix
from peers.client import Client, simple_message
from peers.godwit import Godwit
from peers.reports import Report, unxtext, xtext
from peers.sink import DEFAULT_EXTENSIONS, Sink

pytestmark = needs_root

BASE = """
hostname {name}.test
listen   mx 127.0.0.1:@PORT@
spool    @DIR@/spool
control  @DIR@/control.sock
log      file @DIR@/godwit.log
store    {{ segment 8M; reserve 16M; spares 1 }}
limits   {{ connections 1000 per-ip 500 }}
trust    127.0.0.0/8
run-as   nobody
admin    root@admin.test
dsn      {{ warn 2s; per-sender 1000/h; full 1M }}
shape *  {{ retry 1s; expire 2m }}
"""

# What is sent to ok-far.test goes over Postfix to the second Godwit and is delivered there;
# bad-: the last hop refuses it; late-: the last hop takes it and the sink behind it does not;
# slow-: that sink takes it later. Reports go the same way back.
FIRST = BASE + """
domain sender.test {{ deliver maildir @MAIL@/%d/%u }}
domain ok-here.test {{ deliver maildir @MAIL@/%d/%u }}
{ways}
route to domain dsn.test via relay 127.0.0.1:{dsn_sink}
route to any via relay 127.0.0.1:{sink}
"""
SECOND = BASE + """
{domains}
route to domain sender.test via relay 127.0.0.1:{first}
route to any via relay 127.0.0.1:{sink}
"""
OUTCOMES = ("ok", "bad", "late", "slow")

NOTIFY = (None, "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "FAILURE,DELAY",
          "SUCCESS,DELAY", "SUCCESS,FAILURE,DELAY")
REPORTER = {"near": "a.test", "far": "postfix.test", "plain": "a.test"}


@dataclass
class Case:
    number: int
    notify: str
    path: str  # here near far plain
    outcome: str
    ret: str
    odd: bool  # with ENVID and ORCPT
    reports: list = field(default_factory=list)

    @property
    def sender(self):
        return f"s{self.number}@sender.test"

    @property
    def rcpt(self):
        return f"r{self.number}@{self.outcome}-{self.path}.test"

    @property
    def envid(self):
        return f"Q={self.number}+(a b)!~" if self.odd else None

    @property
    def orcpt(self):
        return f"rfc822;o+{self.number}=x#y(z)@orig.test" if self.odd else None

    def asks(self, what):
        """RFC 3461 section 4.1; without NOTIFY a sender hears of failures and of long delays."""
        return what in (self.notify or "FAILURE,DELAY").split(",")

    def expected(self):
        """[(action, who reports it)]"""
        due = []
        end = "b.test" if self.path in ("near", "far") else "a.test"
        if self.outcome == "slow" and self.asks("DELAY"):
            due.append(("delayed", end))
        if self.outcome in ("ok", "slow") and self.asks("SUCCESS"):
            last = self.path == "plain" or self.outcome == "slow"
            due.append(("relayed" if last else "delivered", end))
        if self.outcome in ("bad", "late") and self.asks("FAILURE"):
            due.append(("failed", end if self.outcome == "late" else REPORTER[self.path]))
        return sorted(due)

    def mail_words(self):
        words = f" RET={self.ret}" if self.ret else ""
        return words + (f" ENVID={xtext(self.envid)}" if self.odd else "")

    def rcpt_words(self):
        words = f" NOTIFY={self.notify}" if self.notify else ""
        if self.odd:
            kind, _, value = self.orcpt.partition(";")
            words += f" ORCPT={kind};{xtext(value)}"
        return words


def all_cases():
    rets = itertools.cycle([None, "HDRS", "FULL"])
    odd = itertools.cycle([True, True, False, True])
    combos = itertools.product(NOTIFY, ("near", "far", "plain"), OUTCOMES)
    combos = [c for c in combos if c[1:] != ("plain", "late")]
    combos += [(notify, "here", "ok") for notify in NOTIFY]
    return [Case(n, *combo, next(rets), next(odd)) for n, combo in enumerate(combos)]


class Net:
    """a.test, postfix.test, b.test, and two sinks: one that can DSN and one that cannot."""

    def __init__(self, stack):
        self.sink = stack.enter_context(Sink())
        self.dsn_sink = stack.enter_context(Sink(extensions=(*DEFAULT_EXTENSIONS, "DSN")))
        ports_of = {"sink": self.sink.port, "dsn_sink": self.dsn_sink.port}
        self.second = Godwit("#")
        self.first = Godwit("#")
        self.mta = postfix.Postfix(relay=("127.0.0.1", self.second.port))
        self.first.write_config(FIRST.format(name="a", ways=self.ways(), **ports_of))
        self.second.write_config(SECOND.format(name="b", domains=self.domains(),
                                               first=self.first.port, **ports_of))
        for part in (self.first, self.second, self.mta):
            stack.enter_context(part)

    def ways(self):
        to = {"far": self.mta.port, "near": self.second.port}
        return "".join(f"route to domain {outcome}-{path}.test via relay 127.0.0.1:{port}\n"
                       for path, port in to.items() for outcome in OUTCOMES)

    @staticmethod
    def domains():
        does = {"ok": "maildir @MAIL@/%d/%u", "bad": 'reject "550 5.1.1 no such user"'}
        return "".join(f"domain {outcome}-{path}.test {{ deliver {what} }}\n"
                       for path in ("near", "far") for outcome, what in does.items())

    def idle(self):
        return self.first.queued() == 0 and self.second.queued() == 0 and self.mta.queue_length() == 0

    def wait_idle(self, timeout=20):
        """Empty twice: a message between two of them is in none."""
        ports.wait_for(lambda: self.idle() and self.idle(), timeout, 0.2, what="empty queues")

    def reports(self, user):
        folder = self.first.maildir / "sender.test" / user / "new"
        found = [Report(path.read_bytes()) for path in folder.iterdir()] if folder.exists() else []
        return sorted(found, key=lambda r: r.actions())


def give(client, case):
    assert client.cmd(f"MAIL FROM:<{case.sender}>{case.mail_words()}")[0] == 250
    assert client.cmd(f"RCPT TO:<{case.rcpt}>{case.rcpt_words()}")[0] == 250
    assert client.data(simple_message(f"case-{case.number}", f"Body {case.number}\r\n"))[0] == 250


@pytest.fixture(scope="module")
def net(program, peers):
    with contextlib.ExitStack() as stack:
        yield Net(stack)


@pytest.fixture(scope="module")
def cases(net):
    """All of them, sent and settled."""
    made = all_cases()
    for case in made:
        refusal = {"bad": "550 5.1.1 no such user", "late": "550 5.1.1 no such user",
                   "slow": "451 4.2.0 not now"}.get(case.outcome)
        if refusal:
            net.sink.reply_to(case.rcpt, refusal)
    with Client(net.first.port, timeout=30) as client:
        client.hello()
        for case in made:
            give(client, case)
    late = [c for c in made if c.outcome == "slow" and c.asks("DELAY")]
    try:
        ports.wait_for(lambda: all(net.reports(c.sender.partition("@")[0]) for c in late), 15, 0.3,
                       what="warnings")
    except TimeoutError:
        pass  # the tests say which are missing
    net.sink.heal()
    net.wait_idle()
    for case in made:
        case.reports = net.reports(case.sender.partition("@")[0])
    return made


def wrong(cases, judge):
    """What judge has to say against each case; all of it, to see the pattern in it."""
    said = [(c.number, c.notify, c.path, c.outcome, c.ret, said) for c in cases if (said := judge(c))]
    assert not said, "\n".join(map(str, said))


# ---- the matrix ---------------------------------------------------------------------------------


def test_each_sender_hears_what_he_asked_for_and_nothing_else(cases):
    def judge(case):
        got = sorted((action, r.reporter) for r in case.reports for action in r.actions())
        return got != case.expected() and (got, "not", case.expected())

    assert len(cases) == 108
    assert sum(len(c.expected()) for c in cases) == 68
    wrong(cases, judge)


def test_reports_name_the_recipient_as_the_sender_knew_him(cases):
    """Two hops and Postfix in between: the address of the first RCPT, octet for octet."""
    def judge(case):
        for r in case.reports:
            orcpt = [case.orcpt] if case.odd else [None, f"rfc822;{case.rcpt}"]
            if r.final() != [case.rcpt] or r.original()[0] not in orcpt:
                return r.final(), r.original()
            if r.to != case.sender or r.envid != case.envid:
                return r.to, r.envid
        return None

    wrong(cases, judge)


def test_what_comes_back(cases):
    """RFC 3461 section 4.3: RET counts for failures; else, and without it, the header alone."""
    def judge(case):
        for r in case.reports:
            if r.returned is None or str(r.returned["Subject"]) != f"case-{case.number}":
                return "another header"
            full = case.ret == "FULL" and r.actions() == ["failed"]
            free = case.ret is None and r.reporter == "postfix.test"
            if r.whole != full and not free:
                return r.whole
            if r.whole and f"Body {case.number}" not in r.returned.get_content():
                return "another body"
        return None

    wrong(cases, judge)


def test_fields_of_our_reports(cases):
    def judge(case):
        for r in (r for r in case.reports if r.reporter != "postfix.test"):
            rcpt = r.rcpts[0]
            action = rcpt["Action"]
            need = {"failed": ("Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"),
                    "delayed": ("Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until"),
                    "relayed": ("Remote-MTA",), "delivered": ()}[action]
            missing = [name for name in need if name not in rcpt]
            if missing or "Arrival-Date" not in r.about:
                return action, missing, r.about
            if case.rcpt not in r.words:
                return "words", r.words
        return None

    wrong(cases, judge)


def test_warnings_say_that_it_goes_on_and_failures_why(cases):
    for case in cases:
        for r in case.reports:
            if r.actions() == ["failed"] and r.reporter != "postfix.test":
                assert "There is no such mailbox at this domain." in r.words
                assert r.rcpts[0]["Status"] == "5.1.1"
            elif r.actions() == ["delayed"]:
                assert "could not be delivered" not in r.subject
    subjects = {(r.actions()[0], r.subject) for c in cases for r in c.reports if r.reporter == "a.test"}
    assert len({subject for _, subject in subjects}) == len({action for action, _ in subjects}) == 4


def test_reports_have_no_return_path_and_are_never_reported(cases, net):
    for path in (net.first.maildir / "sender.test").glob("*/new/*"):
        assert path.read_bytes().startswith(b"Return-Path: <>\n")
    assert not net.sink.violations


def test_each_recipient_of_one_message_has_a_notify_of_its_own(cases, net):
    """One message, each with another wish: what is reported names exactly who asked."""
    wishes = {"never": ("NEVER", "550 5.1.1 no"), "failure": ("FAILURE", "550 5.1.1 no"),
              "unasked": ("SUCCESS", "550 5.1.1 no"), "success": ("SUCCESS", None),
              "silent": ("FAILURE", None), "both": ("SUCCESS,FAILURE", "550 5.2.2 full")}
    with Client(net.first.port) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<mixed@sender.test>")[0] == 250
        for name, (notify, refusal) in wishes.items():
            if refusal:
                net.sink.reply_to(f"{name}@mixed.test", refusal)
            assert client.cmd(f"RCPT TO:<{name}@mixed.test> NOTIFY={notify}")[0] == 250
        assert client.data(simple_message("mixed"))[0] == 250
    net.wait_idle()
    got = sorted((to, action) for r in net.reports("mixed") for to, action in zip(r.final(), r.actions()))
    assert got == [("both@mixed.test", "failed"), ("failure@mixed.test", "failed"),
                   ("success@mixed.test", "relayed")]


# ---- parameters on the wire ----------------------------------------------------------------------


def wire(net, rcpt, mail_words, rcpt_words):
    with Client(net.first.port) as client:
        code, text = client.hello()
        assert "DSN" in text.split("\n")
        assert client.cmd(f"MAIL FROM:<w@sender.test>{mail_words}")[0] == 250
        assert client.cmd(f"RCPT TO:<{rcpt}>{rcpt_words}")[0] == 250
        assert client.data(simple_message("wire"))[0] == 250
    sink = net.dsn_sink
    return ports.wait_for(lambda: [m for m in sink.messages if rcpt in m.rcpts], what=rcpt)[0]


def words_of(params):
    return dict(param.split("=", 1) for param in params if "=" in param)


@pytest.mark.parametrize("notify", [n for n in NOTIFY if n])
def test_parameters_are_passed_on(net, notify):
    envid, orcpt = "a+b=c d\\\"<>~", "p q+=(e)"
    rcpt = f"{notify.replace(',', '-').lower()}@dsn.test"
    m = wire(net, rcpt, f" RET=FULL ENVID={xtext(envid)}", f" NOTIFY={notify} ORCPT=rfc822;{xtext(orcpt)}@x.test")
    mail, to = words_of(m.mail_params), words_of(m.rcpt_params[m.rcpts[0]])
    assert mail["RET"] == "FULL" and unxtext(mail["ENVID"]) == envid
    assert sorted(to["NOTIFY"].split(",")) == sorted(notify.split(","))
    kind, _, value = to["ORCPT"].partition(";")
    assert (kind.lower(), unxtext(value)) == ("rfc822", orcpt + "@x.test")
    assert not net.dsn_sink.violations


def test_what_was_not_given_is_not_made_up(net):
    m = wire(net, "plain@dsn.test", "", "")
    assert not {"RET", "ENVID"} & set(words_of(m.mail_params))
    to = words_of(m.rcpt_params[m.rcpts[0]])
    assert "NOTIFY" not in to and to.get("ORCPT", "rfc822;plain@dsn.test") == "rfc822;plain@dsn.test"


def test_other_kinds_of_addresses_pass(net):
    m = wire(net, "fax@dsn.test", "", " ORCPT=x400;/c+3Dxx/o+3Da+20b/")
    assert words_of(m.rcpt_params[m.rcpts[0]])["ORCPT"].lower() == "x400;/c+3dxx/o+3da+20b/"


@pytest.mark.parametrize("mail, rcpt", [
    ("RET=SOME", ""), ("RET=FULL RET=HDRS", ""), ("ENVID=a=b", ""), ("ENVID=+0", ""),
    ("ENVID=+0D+0ARCPT", ""), ("ENVID=" + "x" * 101, ""), ("", "NOTIFY=NEVER,SUCCESS"),
    ("", "NOTIFY="), ("", "NOTIFY=OFTEN"), ("", "ORCPT=nokind"), ("", "ORCPT=rfc822;a+0D+0ADATA"),
    ("", "ORCPT=rfc822;" + "x" * 501),
])
def test_broken_parameters_are_refused(net, mail, rcpt):
    with Client(net.first.port) as client:
        client.hello()
        code, text = client.cmd("MAIL FROM:<w@sender.test> " + mail)
        if not mail:
            assert code == 250
            code, text = client.cmd("RCPT TO:<x@dsn.test> " + rcpt)
        assert code in (501, 555) and text.startswith("5.5.4"), (code, text)
