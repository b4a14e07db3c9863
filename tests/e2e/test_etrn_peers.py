"""ETRN (RFC 1985) with servers and clients of others: Postfix and Exim keep mail for a Godwit that was
away, and bring it when it asks."""

import collections
import contextlib
import re
import time

import pytest

from conftest import end_of_godwit, needs_root
from peers import ports
from peers.client import Client, simple_message
from peers.cutter import Cutter
from peers.exim_server import EximServer
from peers.godwit import Godwit
from peers.opensmtpd import OpenSmtpd
from peers.postfix import Postfix

pytestmark = needs_root

# Replies to one message, and from which on it may be here though it is not known there: Postfix waits
# for that to DATA, Exim sends all behind EHLO at once, its end as well.
REPLIES = {"postfix": (7, 5), "exim": (6, 2)}
# Exim's own command is told apart from any other by the file of its settings.
EXIM = "acl_smtp_etrn = etrn\n"
EXIM_COMMAND = EXIM + "smtp_etrn_command = {program} -C {config} -R a.test\n"
EXIM_ACL = """\
etrn:
  deny   condition = ${if match{$smtp_command_argument}{b.test}}
         message = not for you
  accept
"""
POSTFIX = {"relay_domains": "a.test b.test", "fast_flush_domains": "a.test",
           "minimal_backoff_time": "1h", "maximal_backoff_time": "1h", "queue_run_delay": "1h"}


def postfix(relay):
    return Postfix(relay=relay, options=POSTFIX)


def exim(relay, main=EXIM_COMMAND):
    return EximServer(relay=relay, every="1h", main=main, acl=EXIM_ACL)


def exim_without_command(relay):
    return exim(relay, EXIM)


class Home:
    """Godwit behind a wire that can break, and a provider that tries once an hour by itself."""

    def __init__(self, provider):
        self.g = Godwit(domains=("a.test", "b.test"))
        self.g.expected_alarms = set()
        self.wire = Cutter(("127.0.0.1", self.g.port))
        self.provider = provider(("127.0.0.1", self.wire.port))
        self.asked = Cutter(("127.0.0.1", self.provider.port))
        self.count = 0

    def __enter__(self):
        for each in (self.wire, self.provider, self.asked):
            each.__enter__()
        self.g.write_config(domains=("a.test", "b.test"), extra="".join(
            f"pull etrn 127.0.0.1:{self.asked.port} {{ name {name}; domains {what}; every 0s; "
            "tls off }\n" for name, what in (
                ("isp", "a.test"), ("below", "@a.test"), ("queue", '"#a.test"'),
                ("wrong", "b.test"), ("both", "b.test a.test"))))
        self.g.start()
        return self

    def __exit__(self, *_):
        problems = end_of_godwit(self.g)
        self.g.close()
        for each in (self.provider, self.wire, self.asked):
            each.__exit__()
        assert not problems, problems

    def tries(self):
        return len(re.findall(r"status=deferred|== \S+ .*defer", self.provider.log()))

    def is_empty(self):
        """It knows of all of them that they are here."""
        return len(re.findall(r"(?m): removed$| Completed$", self.provider.log())) == self.count

    def queue(self, count):
        """So many messages come to the provider while nobody is at home: their names."""
        names = [f"n{self.count + i}" for i in range(count)]
        self.count += count
        before, self.wire.down, self.end = self.tries(), True, time.monotonic() + 60
        with Client(self.provider.port) as client:
            client.hello()
            for name in names:
                assert client.message("x@far.test", ["box@a.test"], simple_message(name))[0] == 250
        ports.wait_for(lambda: self.tries() >= before + count, 60, what="tries in vain")
        self.wire.down = False
        return names

    def pull(self, name="isp"):
        try:
            return self.g.cli("pull", name, "--for", "20s")
        except RuntimeError as error:
            return str(error)

    def came(self):
        found = [re.search(rb"(?m)^Subject: (n\d+)", path.read_bytes())
                 for path in self.g.maildir.glob("a.test/*/new/*")]
        return collections.Counter(m[1].decode() for m in found)


@pytest.fixture(scope="module", params=[postfix, exim])
def home(request, program, peers):
    with Home(request.param) as h:
        yield h


def pull_until(home, condition, name="isp"):
    """As an operator or `every` would: Exim passes by what it still has in hand."""
    while not condition():
        said = home.pull(name)
        with contextlib.suppress(TimeoutError):
            ports.wait_for(condition, 1.5)
        assert time.monotonic() < home.end, said + home.provider.log() + home.g.log_text()


def pull_all(home, name="isp"):
    """Until the provider knows that we have all of it, and it is in the mailbox."""
    pull_until(home, home.is_empty, name)
    home.g.wait_idle(60)


# ---- we ask --------------------------------------------------------------------------------------


def test_what_waited_comes(home):
    names = home.queue(5)
    time.sleep(0.3)
    assert not set(names) & set(home.came())  # not by itself
    said = home.pull()
    assert said.startswith("done: 250 "), said + home.provider.log()
    pull_all(home)
    assert set(names) <= set(home.came())
    assert all(times == 1 for times in home.came().values())
    assert home.g.log_lines("pull.done")[-1]["reply"] in said
    assert home.pull().startswith("done: 250 ")  # they count nothing


@pytest.mark.parametrize("form", ["below", "queue"])
def test_other_forms(home, form):
    home.queue(1)
    assert home.pull(form).startswith("done: 250 ")
    pull_all(home, form)


def test_not_for_us(home):
    """The provider's words; the other domains are asked for all the same."""
    refused = ("failed: 459 <b.test>: service unavailable" if isinstance(home.provider, Postfix)
               else "failed: 458 not for you")
    assert refused in home.pull("wrong")
    home.queue(1)
    assert refused in home.pull("both")
    assert home.g.log_lines("pull.failed")[-1]["code"] == refused.split()[1]
    pull_all(home, "both")


def test_cut_while_we_ask(home):
    for replies in range(4):  # greeting, EHLO, ETRN, QUIT
        name, = home.queue(1)
        home.asked.cut_at = replies
        said = home.pull()
        # A host that ends at EHLO is asked again, with HELO.
        assert ("done: 250" if replies % 2 else "failed: 451 the peer closed") in said, replies
        pull_all(home)
        assert home.came()[name] == 1


def test_cut_while_it_comes(home):
    """It comes twice where our 250 got lost, else once."""
    end, unsure = REPLIES[type(home.provider).__name__.lower().removesuffix("server")]
    for replies in range(end):
        name, = home.queue(1)
        cuts, home.wire.cut_at = home.wire.cuts, replies
        pull_until(home, lambda: home.wire.cuts > cuts)
        pull_all(home)
        times = home.came()[name]
        assert times == 1 or (times == 2 and unsure <= replies < end - 1), (replies, times)


def test_exim_by_itself():
    """Without a command of the operator it takes #NAME alone."""
    with Home(exim_without_command) as home:
        home.queue(2)
        assert "failed: 501 argument must begin with #" in home.pull()
        assert home.pull("queue").startswith("done: 250 ")
        pull_all(home, "queue")
        assert len(home.came()) == 2


def test_without_etrn(make_godwit):
    """What the host says ("Invalid command") would tell an operator little."""
    with OpenSmtpd() as mta:
        g = make_godwit(extra=f"pull etrn 127.0.0.1:{mta.port} {{ name isp; every 0s; tls off; "
                        "domains example.net }")
        done = g.run("pull", "isp")
        assert done.returncode == 1 and done.stdout.startswith(
            "failed: 500 The host offers no ETRN: "), done.stdout
        assert "offers no ETRN" in g.log_lines("pull.failed")[0]["reply"]
