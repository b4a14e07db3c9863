"""What the end-to-end tests share: a Godwit, a sink, swaks. Each test has its own, on free ports.

    /usr/bin/python3 -m pytest tests/e2e
    GODWIT=path       another program than build/godwit
    GODWIT_LONG=1     the full counts of the load and crash tests
    GODWIT_KEEP=1     scratch folders stay
    GODWIT_ONE_PROCESS=1   serve --one-process, as a sanitizer build needs it
"""

import os
import pathlib
import subprocess
import sys
import time
from collections import namedtuple

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from peers import godwit as godwit_peer  # noqa: E402
from peers import certs, ports, postfix  # noqa: E402
from peers.client import Client, simple_message  # noqa: E402
from peers.sink import Sink  # noqa: E402

LONG = os.environ.get("GODWIT_LONG") == "1"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_processes = pytest.mark.skipif(godwit_peer.ONE_PROCESS, reason="GODWIT_ONE_PROCESS=1")

# What must not be in the log of a server that nobody harmed.
ALARMS = ("role.died", "role.crashed", "site.paused", "client.denied", "spool.aside", "peer.ended", "spool.failed", "spool.damaged", "error")


@pytest.fixture(scope="session")
def program():
    if not os.access(godwit_peer.PROGRAM, os.X_OK):
        pytest.fail(f"{godwit_peer.PROGRAM} is missing: run make first")
    return godwit_peer.PROGRAM


@pytest.fixture
def make_godwit(program):
    """make_godwit(**options): a started Godwit. At the end of the test it must stop by itself, and
    its log must have no alarm but those named in g.expected_alarms."""
    made = []

    def make(text=None, start=True, **options):
        g = godwit_peer.Godwit(text, **options)
        g.expected_alarms = set()
        made.append(g)
        return g.start() if start else g

    yield make
    problems = []
    for g in made:
        try:
            problems += end_of_godwit(g)
        finally:
            g.close()
    assert not problems, problems


def cut_off(line, stopped_at):
    """A sender that master's patience ended: its peer, a sink of the test, was gone before it."""
    return line.get("role") == "sender" and line.get("signal") == "9" and line["time"] >= stopped_at


def end_of_godwit(g):
    stopped_at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    status = g.stop()
    problems = []
    if status not in (0, None):
        problems.append(f"exit status {status}\n{g.output()}")
    for alarm in ALARMS:
        if alarm not in g.expected_alarms:
            problems += [str(line) for line in g.log_lines(alarm) if not cut_off(line, stopped_at)]
    if problems:
        problems.append(g.output()[-3000:])
    return problems


@pytest.fixture
def sink():
    with Sink() as s:
        yield s


@pytest.fixture
def relay(make_godwit, sink):
    """A Godwit that relays to the sink, with example.net of its own."""
    return make_godwit(relay=("127.0.0.1", sink.port))


@pytest.fixture
def scratch():
    folder = ports.scratch()
    yield folder
    ports.discard(folder)


@pytest.fixture(scope="session")
def peers():
    """The unpacked packages."""
    return postfix.tree()


def swaks(port, *words, timeout=30, check=True, host="127.0.0.1"):
    """Runs swaks; its completed process (0: the message was accepted for all recipients)."""
    done = subprocess.run(["swaks", "--server", f"{host}:{port}", *words], capture_output=True,
                          text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


TRACE_FIELDS = ("return-path", "delivered-to", "received", "authentication-results",
                "x-original-to")


def split_trace(data):
    """(names of the trace fields on top, the rest) of a delivered message, as bytes."""
    names, lines = [], data.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        name = lines[at].partition(b":")[0].decode("latin-1").lower()
        if lines[at][:1] in b" \t" and names:
            at += 1
        elif name in TRACE_FIELDS:
            names.append(name)
            at += 1
        else:
            break
    return names, b"".join(lines[at:])


def assert_same_content(delivered, sent):
    """Delivered is trace fields and then sent, octet for octet (a Maildir has LF line ends)."""
    names, rest = split_trace(delivered)
    if isinstance(sent, str):
        sent = sent.encode()
    if b"\r\n" not in rest:
        sent = sent.replace(b"\r\n", b"\n")
    assert "received" in names
    assert rest == sent


Endpoint = namedtuple("Endpoint", "host port")

WIRE_CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    lmtp 127.0.0.1:{lmtp}
listen    mx 127.0.0.1:{xclient} {{ name proxied; xclient 127.0.0.1; from 192.0.2.0/26 2001:db8::/32 }}
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
domain    example.net {{ deliver maildir @MAIL@/%u }}
domain    refused.example {{ deliver reject "550 5.1.1 no such user" }}
etrn      waiting.example from 127.0.0.0/8
limits    {{ message-size 1M; recipients 100; transactions 20; bad-commands 10; deliver-by 30s
            connections 1000 per-ip 500 }}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""


def run_as():
    """The statement for configurations of a test's own, where this machine has no user godwit."""
    needed = os.geteuid() == 0 and not godwit_peer.has_user("godwit")
    return "run-as nobody" if needed else ""


@pytest.fixture(scope="module")
def wire_submission(program):
    """(host, port) of a server for mail programs: TLS and the login of alice, then all mail."""
    folder = ports.scratch()
    pair = certs.Authority(folder).issue("mx.test", "127.0.0.1")
    g = godwit_peer.Godwit(
        trust="", listeners={"submission": "submission {tls require}"}, tls=[pair],
        users={"alice@example.net": "wire secret"}, domains=("example.net", "elsewhere.example"),
        limits="limits { message-size 1M; recipients 100; transactions 20; bad-commands 10\n"
               "deliver-by 30s\n"
               "connections 1000 per-ip 500 }",
        extra='domain refused.example { deliver reject "550 5.1.1 no such user" }\n'
              'etrn waiting.example from 127.0.0.0/8')
    g.expected_alarms = set()
    problems = []
    try:
        g.start()
        yield Endpoint("127.0.0.1", g.ports["submission"])
        problems = end_of_godwit(g)
    finally:
        g.close()
        ports.discard(folder)
    assert not problems, problems


@pytest.fixture(scope="module")
def wire_odmr(program):
    """(host, port) of a server that gives mail out: a.example of alice has some, b.example none."""
    folder = ports.scratch()
    pair = certs.Authority(folder).issue("mx.test", "127.0.0.1")
    g = godwit_peer.Godwit(
        listeners={"odmr": "odmr {tls require}"}, tls=[pair],
        users={"alice@example.net": "wire secret"},
        limits="limits { bad-commands 10\nconnections 1000 per-ip 500 }",
        extra="".join(f"domain {name}.example {{ deliver odmr account {who}@example.net }}\n"
                      for name, who in (("a", "alice"), ("b", "alice"), ("c", "carol"))))
    g.expected_alarms = set()
    problems = []
    try:
        g.start()
        with Client(g.port) as client:
            client.hello()
            for name in "ac":
                assert client.message("x@far.test", [f"box@{name}.example"],
                                      simple_message())[0] == 250
        yield Endpoint("127.0.0.1", g.ports["odmr"])
        problems = end_of_godwit(g)
    finally:
        g.close()
        ports.discard(folder)
    assert not problems, problems


@pytest.fixture(scope="module")
def wire_daemon(program):
    """{listener: (host, port)} of a server for the transcripts: example.net is its own, nobody is
    trusted."""
    own = {name: ports.free_port() for name in ("lmtp", "xclient")}
    g = godwit_peer.Godwit(WIRE_CONFIG.format(run_as=run_as(), **own))
    g.expected_alarms = set()
    problems = []
    try:
        g.start()
        yield {name: Endpoint("127.0.0.1", port) for name, port in dict(own, mx=g.port).items()}
        problems = end_of_godwit(g)
    finally:
        g.close()
    assert not problems, problems


@pytest.fixture(scope="module")
def ca():
    """An authority of the module's own; one that needs more of it has a fixture of this name."""
    folder = ports.scratch("ca-")
    yield certs.Authority(folder)
    ports.discard(folder)
