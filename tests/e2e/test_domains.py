"""Domains of recipients and senders, asked of DNS while the client is there (check-domains)."""

import contextlib
import socket
import time

import pytest

from conftest import end_of_godwit, needs_processes
from peers import ports
from peers.client import Client
from peers.godwit import Godwit
from peers.zones import Zones

ZONES = {"example.org": """
         @ MX 10 mx
         mx A 127.0.1.1
         null MX 0 .
         plain A 127.0.1.1
         six AAAA ::1
         void TXT "nothing"
         """}


@pytest.fixture(scope="module")
def zones():
    with Zones(ZONES) as z:
        yield z


def options(z, dead_port=None):
    stubs = () if dead_port is None else (f"stub silent.test 127.0.0.1:{dead_port}",)
    return {
        "extra": z.config(*stubs, timeout="1s") + "route to domain routed.test via relay 127.0.0.1:9\n"
                 "route to any via mx port 9 private\n",
        "listeners": {"submission": "submission {tls off; auth off; name inside}",
                      "off": "submission {tls off; auth off; name unchecked; check-domains off}",
                      "senders": "mx {name strict; check-domains senders}"},
        "trust": "127.0.0.1/32"}


@pytest.fixture(scope="module")
def server(zones, program):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:  # takes questions, says nothing
        silent.bind(("127.0.0.1", 0))
        g = Godwit(**options(zones, silent.getsockname()[1]))
        g.expected_alarms = set()
        with contextlib.closing(g):
            g.start()
            yield g
            problems = end_of_godwit(g)
            assert not problems, problems


def said(reply):
    return f"{reply[0]} {reply[1]}"


def rcpt(g, listener, address, sender="alice@example.net", source="127.0.0.1"):
    """What MAIL, and RCPT if that was taken, is answered."""
    with Client(g.ports[listener], source=source) as client:
        client.hello()
        mail = client.cmd(f"MAIL FROM:<{sender}>")
        return mail if mail[0] >= 400 else client.cmd(f"RCPT TO:<{address}>")


@pytest.mark.parametrize("domain, want", [
    ("example.org", "250"), ("plain.example.org", "250"), ("six.example.org", "250"),
    ("EXAMPLE.org", "250"),
    ("exampel.org", "550 5.1.2 There is no domain exampel.org"),
    ("null.example.org", "556 5.1.10 null.example.org takes no mail (null MX)"),
    ("void.example.org", "550 5.1.2 void.example.org has neither a mail host nor an address"),
    ("[192.0.2.1]", "250"),
])
def test_recipients_of_submission(server, domain, want):
    assert said(rcpt(server, "submission", f"bob@{domain}")).startswith(want)
    assert rcpt(server, "off", f"bob@{domain}")[0] == 250


@pytest.mark.parametrize("sender, want", [
    ("bob@example.org", "250"), ("", "250"), ("bob@example.net", "250"),
    ("bob@exampel.org", "550 5.1.8 There is no domain of the sender, exampel.org"),
    ("bob@null.example.org", "550 5.7.27"), ("bob@void.example.org", "550 5.1.8"),
])
def test_senders_of_strangers(server, sender, want):
    assert said(rcpt(server, "senders", "alice@example.net", sender, "127.0.0.2")).startswith(want)
    assert rcpt(server, "senders", "alice@example.net", sender, "127.0.0.1")[0] == 250  # trusted


def test_what_a_route_names_needs_no_dns(server):
    assert rcpt(server, "submission", "bob@routed.test")[0] == 250


def test_trouble_refuses_nobody(server):
    began = time.monotonic()
    assert rcpt(server, "submission", "bob@silent.test")[0] == 250
    assert time.monotonic() - began < 15


def test_others_do_not_wait(server):
    """Sessions are held by their own questions alone, and one that leaves takes its with it."""
    took = []
    while not took or (took[-1] >= 0.8 and len(took) < 5):
        with contextlib.ExitStack() as stack:
            for n in range(20):
                client = stack.enter_context(Client(server.ports["submission"]))
                client.hello()
                client.cmd("MAIL FROM:<alice@example.net>")
                client.send(f"RCPT TO:<bob@x{len(took)}-{n}.silent.test>\r\n")
            began = time.monotonic()
            assert rcpt(server, "submission", "bob@example.org")[0] == 250
            took.append(time.monotonic() - began)
    assert took[-1] < 0.8, took
    assert rcpt(server, "submission", "bob@example.org")[0] == 250


def test_in_a_pipeline(server):
    """What stands behind the recipient that waits is answered behind it, each by its own verdict."""
    with Client(server.ports["submission"]) as client:
        client.hello()
        names = ["example.org", "exampel.org", "silent.test", "null.example.org", "plain.example.org"]
        mail, rcpts = client.begin("alice@example.net", [f"bob@{name}" for name in names])
        assert mail[0] == 250
        assert [code for code, _ in rcpts] == [250, 550, 250, 556, 250]
    line = server.log_lines("reject")[-1]
    assert line["reason"] == "null_mx" and line["stage"] == "rcpt" and line["listener"] == "inside"


@needs_processes
def test_the_resolver_dies(make_godwit, zones):
    """A question that waits is put to the next resolver; nobody is refused meanwhile."""
    g = make_godwit(**options(zones))
    g.expected_alarms.add("role.died")
    for _ in range(3):
        g.kill9("resolver")
        assert rcpt(g, "submission", "bob@example.org")[0] == 250
        ports.wait_for(lambda: rcpt(g, "submission", "bob@exampel.org")[0] == 550, 10,
                       what="the next resolver")
