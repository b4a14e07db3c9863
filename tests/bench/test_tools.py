"""The load tools themselves: a generator that counts wrongly or a sink that looks away would make
every other test worthless. Servers and clients here misbehave on purpose.

    /usr/bin/python3 -m pytest tests/bench/test_tools.py
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import instructions  # noqa: E402
import load  # noqa: E402
from peers import ports  # noqa: E402

pytestmark = pytest.mark.skipif(not os.path.exists(load.TOOL), reason="not built")


class Server:
    """Threads that answer as answer(session, verb, line) says: a reply, or None to hang up.
    The verb of the message itself is "."; its mark is in session.number."""

    def __init__(self, answer, port=0):
        self.answer = answer
        self.messages = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        session = type("Session", (), {"number": None, "rcpts": 0})()
        with contextlib.suppress(OSError), s, s.makefile("rb") as f:
            s.sendall(b"220 test\r\n")
            for raw in f:
                verb = raw[:4].upper().strip().decode()
                if verb == "EHLO":
                    reply = "250-test\r\n250-PIPELINING\r\n250 X"
                else:
                    reply = self.answer(session, verb, raw.decode())
                if reply == "354":
                    s.sendall(b"354 go\r\n")
                    reply = self._message(session, f)
                if reply is None:
                    return
                s.sendall(reply.encode() + b"\r\n")
                if verb == "QUIT":
                    return

    def _message(self, session, f):
        session.number = None
        for raw in f:
            mark = re.match(rb"X-Godwit-Bench: \w+-(\d+) ", raw)
            if mark:
                session.number = int(mark[1])
            if raw == b".\r\n":
                self.messages.append(session.number)
                return self.answer(session, ".", "")
        return None

    def close(self):
        self.listener.close()


def polite(session, verb, line):
    return {"DATA": "354", "QUIT": "221 bye"}.get(verb, "250 ok")


def source(port, tmp_path, *words, timeout=30):
    """Its report, the fates by number, and its exit code."""
    ledger = tmp_path / "source.ledger"
    command = load.command("source", f"127.0.0.1:{port}", "--ledger", ledger, *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    result = load._result(done.stdout) if done.stdout else {}
    return result, fates(ledger), done.returncode


def fates(ledger):
    found = {}
    for line in map(json.loads, ledger.read_text().splitlines()):
        if "n" in line:
            assert line["n"] not in found, "a number has one fate"
            found[line["n"]] = line["s"]
    return found


def counts(result):
    return [result[k] for k in ("acked", "refused", "unknown", "unsent")]


BOTH = pytest.mark.parametrize("mode", [[], ["--pipeline"]], ids=["step", "pipelined"])


@BOTH
def test_all_taken(tmp_path, mode):
    server = Server(polite)
    result, fate, code = source(server.port, tmp_path, "--messages", 200, "--sessions", 7, *mode)
    assert code == 0 and counts(result) == [200, 0, 0, 0]
    assert sorted(server.messages) == sorted(fate) == list(range(1, 201))
    assert result["connections"] == 7


@BOTH
def test_new_connection_after_some(tmp_path, mode):
    server = Server(polite)
    result, _, code = source(server.port, tmp_path, "--messages", 50, "--sessions", 5,
                             "--per-session", 2, *mode)
    assert code == 0 and result["connections"] >= 25 and result["failures"] == 0
    assert sorted(server.messages) == list(range(1, 51))


@BOTH
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
def test_refused_at_each_stage(tmp_path, mode, stage):
    """Every third is refused; no other number may be confused by that."""
    def answer(session, verb, line):
        if verb == "RCPT":
            session.third = int(re.search(r"u(\d+)@", line)[1]) % 3 == 0
        if verb == "MAIL":
            answer.seen = getattr(answer, "seen", 0) + 1
            session.third = stage == "MAIL" and answer.seen % 3 == 0
            session.refused_mail = session.third
        refused = getattr(session, "refused_mail", False)
        if verb in ("RCPT", "DATA") and refused:
            return "503 no MAIL"
        if verb == stage and session.third:
            session.refused_mail = stage in ("RCPT",)
            return "550 not this one"
        return polite(session, verb, line)

    server = Server(answer)
    result, fate, code = source(server.port, tmp_path, "--messages", 60, "--sessions", 1,
                                "--to", "u%d@x.example", *mode)
    assert counts(result) == [40, 20, 0, 0] and code == 1
    refused = sorted(n for n, s in fate.items() if s == "refused")
    if stage != "MAIL":
        assert refused == [n for n in range(1, 61) if n % 3 == 0]
    acked = {n for n, s in fate.items() if s == "acked"}
    assert acked <= set(server.messages)
    if stage != ".":
        assert not set(refused) & set(server.messages)
    assert "550 not this one" in result["trouble"]


def test_354_though_nobody_may_get_it(tmp_path):
    """With pipelining a server may ask for a message that has no recipient left."""
    def answer(session, verb, line):
        return "550 no such user" if verb == "RCPT" else polite(session, verb, line)

    server = Server(answer)
    result, fate, _ = source(server.port, tmp_path, "--messages", 9, "--sessions", 2, "--pipeline")
    assert counts(result) == [0, 9, 0, 0]
    assert set(server.messages) == {None}


@BOTH
def test_some_recipients_refused(tmp_path, mode):
    def answer(session, verb, line):
        return "550 no" if verb == "RCPT" and "-1@" in line else polite(session, verb, line)

    server = Server(answer)
    result, _, _ = source(server.port, tmp_path, "--messages", 10, "--rcpts", 3, *mode)
    assert counts(result) == [10, 0, 0, 0]
    lines = [json.loads(line) for line in (tmp_path / "source.ledger").read_text().splitlines()]
    assert {line["ok"] for line in lines if "n" in line} == {2}


@BOTH
def test_no_reply_to_the_dot_is_unknown(tmp_path, mode):
    def answer(session, verb, line):
        return None if verb == "." and session.number % 5 == 0 else polite(session, verb, line)

    server = Server(answer)
    result, fate, _ = source(server.port, tmp_path, "--messages", 40, "--sessions", 3,
                             "--keep-going=5", *mode)
    assert sorted(n for n, s in fate.items() if s == "unknown") == list(range(5, 41, 5))
    assert len(server.messages) == len(set(server.messages)), "a number is never sent again"
    # With pipelining the envelope of the next number went with the dot and died with it.
    assert result["acked"] + result["unknown"] + result["unsent"] == 40
    assert set(server.messages) == {n for n, s in fate.items() if s != "unsent"}


def test_cut_within_the_body_is_unsent(tmp_path):
    """The server goes away when it has read a little of a body larger than the socket takes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        s, _ = listener.accept()
        s.sendall(b"220 x\r\n")
        for reply in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
            s.recv(1000)
            s.sendall(reply)
        s.recv(1000)
        s.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    result, fate, code = source(listener.getsockname()[1], tmp_path, "--messages", 1,
                                "--size", "50M")
    assert fate == {1: "unsent"} and code == 1


@pytest.mark.parametrize("reply", ["hello", "2", "250" + "x" * 5000, "\x00\x00\x00", "999999"])
def test_nonsense_replies(tmp_path, reply):
    def answer(session, verb, line):
        return reply if verb == "MAIL" else polite(session, verb, line)

    server = Server(answer)
    result, _, code = source(server.port, tmp_path, "--messages", 5, "--sessions", 1)
    assert result["acked"] == 0 and code == 1


def test_keeps_going_until_the_server_is_there(tmp_path):
    port = ports.free_port()
    servers = []

    def late():
        time.sleep(1)
        servers.append(Server(polite, port=port))

    threading.Thread(target=late, daemon=True).start()
    result, _, code = source(port, tmp_path, "--messages", 20, "--keep-going=10")
    assert code == 0 and result["acked"] == 20 and result["failures"] > 0


def test_gives_up_in_time(tmp_path):
    begin = time.monotonic()
    _, _, code = source(ports.free_port(), tmp_path, "--messages", 20, "--keep-going=1")
    assert code == 69 and time.monotonic() - begin < 4
    _, _, code = source(ports.free_port(), tmp_path, "--messages", 20)
    assert code == 69


def test_a_silent_server_does_not_hold_it(tmp_path):
    def answer(session, verb, line):
        if verb == ".":
            time.sleep(20)
        return polite(session, verb, line)

    server = Server(answer)
    result, fate, code = source(server.port, tmp_path, "--messages", 2, "--sessions", 2,
                                "--timeout", 1)
    assert counts(result) == [0, 0, 2, 0] and code == 1


def test_interrupt_ends_cleanly(tmp_path):
    def answer(session, verb, line):
        if verb == ".":
            time.sleep(0.05)
        return polite(session, verb, line)

    server = Server(answer)
    ledger = tmp_path / "source.ledger"
    process = subprocess.Popen(load.command("source", f"127.0.0.1:{server.port}", "--messages",
                                            100000, "--ledger", ledger),
                               stdout=subprocess.PIPE, text=True)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    result = load._result(out)
    assert process.returncode == 130
    assert result["unknown"] == 0 and result["acked"] > 0
    fate = fates(ledger)
    assert set(server.messages) == {n for n, s in fate.items() if s == "acked"}
    assert json.loads(ledger.read_text().splitlines()[-1])["end"] is True


@pytest.mark.parametrize("tool, words", [
    ("source", ["192.0.2.1:25"]), ("source", ["[2001:db8::1]:25"]), ("sink", ["0.0.0.0:2600"]),
    ("sink", ["[::]:2600"]),
])
def test_outside_loopback_is_refused(tool, words):
    done = subprocess.run(load.command(tool, *words), capture_output=True, text=True, timeout=10)
    assert done.returncode == 77 and "--i-own-the-target" in done.stderr


@pytest.mark.parametrize("words", [
    [], ["source"], ["source", "127.0.0.1:1", "--sessions", "0"], ["nonsense"],
    ["source", "127.0.0.1:1", "--from", "a>b@c"], ["source", "127.0.0.1:1", "--to", "nobody"],
    ["source", "127.0.0.1:1", "--run", "a b"], ["source", "127.0.0.1:1", "--ehlo", "a b"],
    ["source", "127.0.0.1:1", "--what"], ["sink", "127.0.0.1:1", "2"], ["check", "one"],
    ["source", "nowhere"], ["source", "127.0.0.1:1", "--sessions", "49999"],
])
def test_usage(words):
    done = subprocess.run([load.TOOL, "bench", *words], capture_output=True, text=True, timeout=10)
    assert done.returncode == 64 and done.stderr


# ---- the sink ---------------------------------------------------------------------------------

def message(number):
    """With a sum that is wrong."""
    return f"X-Godwit-Bench: handmade-{number} {'0' * 16}\r\n\r\nhello\r\n.\r\n".encode()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            line = self.file.readline()
            if not line or line[3:4] != b"-":
                return line[:3].decode()

    def say(self, *lines, replies=None):
        self.socket.sendall(b"".join(x if isinstance(x, bytes) else x.encode() + b"\r\n"
                                     for x in lines))
        return [self.reply() for _ in range(len(lines) if replies is None else replies)]


@pytest.fixture
def sink(tmp_path):
    made = load.Sink(1000000, tmp_path / "sink.ledger")
    yield made
    made.close()


def arrivals(tmp_path):
    lines = [json.loads(line) for line in (tmp_path / "sink.ledger").read_text().splitlines()]
    return [line for line in lines if "to" in line]


def test_sink_speaks_smtp(sink, tmp_path):
    c = Client(sink.port)
    assert c.say("RCPT TO:<a@b>", "DATA", "EHLO x", "DATA", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>",
                 "RCPT TO:<>", "RCPT TO:<\"a>b\"@c> X=Y", "DATA") == [
        "503", "503", "250", "503", "250", "503", "501", "250", "354"]
    assert c.say(message(1)) == ["250"]
    assert c.say("RSET", "NOOP", "VRFY x", "FOO", "HELO x", "LHLO x", "QUIT") == [
        "250", "250", "252", "500", "250", "500", "221"]
    assert c.reply() == ""
    assert [a["to"] for a in arrivals(tmp_path)] == ['"a>b"@c']
    assert arrivals(tmp_path)[0]["ok"] is False, "a wrong sum is seen"


def test_sink_ledger_is_ahead_of_its_replies(sink, tmp_path):
    """Killed at any moment, the sink has written down all it said 250 to."""
    c = Client(sink.port)
    c.say("EHLO x")
    for n in range(1, 51):
        assert c.say("MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", message(n)) == [
            "250", "250", "354", "250"]
        if n == 50:
            sink.process.kill()
    assert [a["n"] for a in arrivals(tmp_path)] == list(range(1, 51))


def test_sink_does_not_count_half_messages(sink, tmp_path):
    c = Client(sink.port)
    c.say("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", message(1)[:-3], replies=4)
    c.socket.close()
    c = Client(sink.port)
    c.say("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", b"a\n.\nb\r\n.\nc\r\n", replies=4)
    c.socket.close()
    Client(sink.port).say("NOOP")
    assert arrivals(tmp_path) == []


def test_sink_counts_twice_what_comes_twice(sink):
    c = Client(sink.port)
    c.say("EHLO x")
    for _ in range(3):
        c.say("MAIL FROM:<a@b>", "RCPT TO:<c@d>", "RCPT TO:<e@f>", "DATA", message(7))
    sink.process.send_signal(signal.SIGINT)
    result = sink.wait(10)
    assert (result["arrived"], result["distinct"], result["duplicates"]) == (6, 2, 4)


def test_sink_knows_bounces(sink, tmp_path):
    c = Client(sink.port)
    report = b"Subject: failed\r\n\r\nsee below\r\n\r\n" + message(9)
    c.say("EHLO x", "MAIL FROM:<>", "RCPT TO:<c@d>", "DATA", report)
    assert arrivals(tmp_path)[0]["bounce"] is True and arrivals(tmp_path)[0]["n"] == 9


@pytest.mark.parametrize("junk", [b"x" * 100000, b"\0" * 5000, b"\r\n" * 30000, b"\n" * 30000,
                                  b"MAIL FROM:<" + b"a" * 3000 + b">\r\n"])
def test_sink_survives_junk(sink, junk):
    c = Client(sink.port)
    with contextlib.suppress(OSError):
        c.socket.sendall(junk)
        c.socket.shutdown(socket.SHUT_WR)
        while c.file.read(65536):
            pass
    assert Client(sink.port).say("NOOP") == ["250"]


def test_sink_bounds_recipients(sink):
    c = Client(sink.port)
    c.say("EHLO x", "MAIL FROM:<a@b>")
    codes = [c.say(f"RCPT TO:<{'r' * 60}{n}@d>")[0] for n in range(1100)]
    assert codes[0] == "250" and codes[-1] == "452"


def test_lmtp_answers_for_each_recipient(tmp_path):
    process = subprocess.Popen(load.command("sink", "127.0.0.1:0", "--lmtp"),
                               stdout=subprocess.PIPE, text=True)
    try:
        c = Client(json.loads(process.stdout.readline())["port"])
        assert c.say("EHLO x", "LHLO x") == ["500", "250"]
        c.say("MAIL FROM:<a@b>", "RCPT TO:<c@d>", "RCPT TO:<e@f>", "DATA")
        assert c.say(message(1), replies=2) == ["250", "250"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


@pytest.mark.parametrize("words", [[], ["--pipeline"], ["--per-session", 3], ["--rcpts", 4],
                                   ["--size", 300000, "--messages", 100], ["--lone"]])
def test_both_ends_agree(tmp_path, words):
    n = 100 if "--messages" in words else 2000
    sink = load.Sink(n * (4 if "--rcpts" in words else 1), tmp_path / "sink.ledger")
    result, _, code = source(sink.port, tmp_path, "--messages", n, *words)
    assert code == 0 and result["acked"] == n
    got = sink.wait(20)
    assert got["corrupt"] == got["duplicates"] == got["unnumbered"] == 0
    verdict = load.check(tmp_path / "source.ledger", tmp_path / "sink.ledger")
    assert verdict["good"] and verdict["delivered"] == got["distinct"]


def test_check_sees_what_is_missing(tmp_path):
    sink = load.Sink(100, tmp_path / "sink.ledger")
    source(sink.port, tmp_path, "--messages", 100)
    sink.wait(20)
    ledger = tmp_path / "sink.ledger"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if '"n":42,' not in line))
    verdict = load.check(tmp_path / "source.ledger", ledger)
    assert not verdict["good"] and verdict["lost"] == 1 and verdict["lost_first"] == [42]
    done = subprocess.run([load.TOOL, "bench", "check", tmp_path / "source.ledger", ledger])
    assert done.returncode == 1


# ---- instructions ----------------------------------------------------------------------------

BEFORE = """events: Ir
fl=(1) a.c
fn=(1) main
+1 10
cfn=(2) work
calls=1 5
* 90
fn=(2)
1 90
"""
AFTER = """fn=(1)
1 4
cfn=(2)
calls=3 5
+2 60
cfi=(3) b.c
cfn=(3) deep
calls=1 +7
* 6
fn=(2)
5 40
-1 20
"""


def test_a_profile_is_what_came_between_two_dumps(tmp_path):
    (tmp_path / "1").write_text(BEFORE)
    (tmp_path / "2").write_text(AFTER)
    profile = instructions.Profile(tmp_path / "1", tmp_path / "2")
    assert profile.own == {"main": 4, "work": 60}
    assert profile.inclusive() == {"main": 70, "work": 60}
    assert profile.calls == {("main", "work"): 3, ("main", "deep"): 1}
