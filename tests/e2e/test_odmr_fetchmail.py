"""fetchmail as the customer of a Godwit that keeps mail (RFC 2645), with an Exim at home that it hands
the turned connection to: neither was written by us."""

import collections
import re
import subprocess

import pytest

from peers import ports, users
from peers.client import Client, simple_message
from peers.exim_server import EximServer
from peers.godwit import Godwit
from peers.odmr_cram import Interpreter

FETCHMAIL = ports.REPO / "build" / "peers" / "fetchmail" / "usr" / "bin" / "fetchmail"
SECRET = "wide open secret"
# Greeting, EHLO, MAIL, RCPT, DATA, its end, QUIT.
REPLIES, END = 7, 5


class Home:
    """fetchmail and Exim, and the Godwit that has their mail."""

    def __init__(self, g, exim, between):
        self.g, self.exim, self.between, self.count = g, exim, between, 0

    def post(self, count):
        names = [f"n{self.count + i}" for i in range(count)]
        self.count += count
        with Client(self.g.port) as client:
            client.hello()
            for name in names:
                assert client.message("x@far.test", [f"{name}@a.test"],
                                      simple_message(name))[0] == 250
        return names

    def fetch(self, port=None):
        folder = ports.scratch("fetchmail-")
        rc = folder / "rc"
        rc.write_text(f'poll 127.0.0.1 protocol ODMR service {port or self.between.port}\n'
                      f'user "home" password "{SECRET}" smtphost 127.0.0.1/{self.exim.port} '
                      "fetchdomains a.test\n")
        rc.chmod(0o600)
        done = subprocess.run([FETCHMAIL, "-f", rc, "-v", "--nodetach", "--nosyslog", "--pidfile",
                               folder / "pid"], env={"LC_ALL": "C", "FETCHMAILHOME": str(folder),
                                                     "PATH": "/usr/bin"},
                              capture_output=True, text=True, timeout=60)
        ports.discard(folder)
        return done

    def waiting(self):
        return self.g.cli("queue", "list", "domain:a.test").count("@a.test")

    def came(self):
        found = [re.search(rb"(?m)^Subject: (n\d+)", p.read_bytes()) for p in self.exim.messages()]
        return collections.Counter(m[1].decode() for m in found)


@pytest.fixture(scope="module")
def home(program, peers):
    with Godwit(listeners={"odmr": "odmr {tls off; auth plaintext}"},
                users=users.line("home", SECRET),
                extra="reply-timeout 3s\ndomain a.test { deliver odmr account home }") as g, \
            EximServer() as exim, Interpreter(g.ports["odmr"], "home", SECRET) as between:
        yield Home(g, exim, between)


def test_all_of_it(home):
    names = home.post(5)
    done = home.fetch()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Turnaround now" in done.stdout
    ports.wait_for(lambda: set(names) <= set(home.came()), 60, what="the mail")
    assert set(home.came().values()) == {1} and home.waiting() == 0
    again = home.fetch()
    assert "453 4.2.0 You have no mail" in again.stdout, again.stdout


def test_without_what_it_needs(home):
    """fetchmail logs in by CRAM-MD5, whatever is offered; that needs the password itself, which we do
    not keep. It says so, and the mail stays."""
    names = home.post(1)
    done = home.fetch(home.g.ports["odmr"])
    assert done.returncode == 3 and "AUTHFAIL" in done.stdout
    assert "ODMR> AUTH CRAM-MD5" in done.stdout and "ODMR< 504 5.5.4 Mechanism" in done.stdout
    assert home.waiting() == 1 and not set(names) & set(home.came())
    assert home.fetch().returncode == 0


def test_cut_at_each_reply(home):
    """Of what Exim said to Godwit: nothing is lost; twice comes what Exim took and Godwit did not hear
    of."""
    for replies in range(REPLIES):
        name, = home.post(1)
        cuts, home.between.cut_at = home.between.cuts, replies
        home.fetch()
        assert home.between.cuts == cuts + 1

        def all_told():
            return home.waiting() == 0 or (home.fetch(), home.waiting() == 0)[1]

        ports.wait_for(all_told, 60, what="an empty queue")
        ports.wait_for(lambda: name in home.came(), 60, what="the mail")
        times = home.came()[name]
        assert times == 1 or (times == 2 and replies == END), (replies, times)
