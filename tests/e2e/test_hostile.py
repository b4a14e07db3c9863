"""Mail to servers with every bad habit there is (tests/peers/hostile.py), all at once: each recipient
has the right fate, nobody is counted as delivered who was not, other mail meanwhile is on time, and the
senders neither grow nor spin.

    GODWIT_LONG=1     drips of 60 s, and more connections
"""

import pathlib
import sys
import threading
import time

import pytest

from conftest import LONG, needs_processes
from peers import godwit, hostile, ports
from peers.client import Client, simple_message
from peers.limits import cpu_seconds, does_not_spin
from peers.sink import Sink

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "attacks"))

from daemon import latency_allowed  # noqa: E402

ALICE = "alice@example.net"
FATES = ("delivered", "deferred", "bounced")
KINDS = hostile.everything()
# A connection to a host that does not answer is given up after 30 s.
PATIENCE = 60
# docs/machine.md, "Senders"
PER_SENDER, PER_CONNECTION = 24 << 20, 832 << 10


def domain(name):
    return f"{name.lower()}.example"


def routes(world, good, timeout):
    lines = [f"reply-timeout {timeout}"]
    lines += [f"route to domain {domain(b.name)} via relay 127.0.0.1:{world.port(b.name)}"
             for b in world.behaviours()]
    lines.append(f"route to domain good.example via relay 127.0.0.1:{good.port}")
    return "\n".join(lines)


def content(number, size):
    line = "0123456789abcdef" * 4 + "\r\n"
    text = simple_message(body=line * (size // len(line) + 1))
    return f"X-Ledger: {number}\r\n{text}".encode()


class Good:
    """Mail to a server without habits, while others have theirs: how long each takes."""

    def __init__(self, g, pause=0.1):
        self.g, self.pause, self.sink = g, pause, None
        self.sent, self.came = {}, {}
        self.over = threading.Event()

    def arrived(self, message):
        number = int(message.data.partition(b"X-Ledger: ")[2].partition(b"\r")[0])
        self.came[number] = time.monotonic()

    def run(self):
        with Client(self.g.port, timeout=30) as client:
            client.hello()
            while not self.over.is_set():
                number = len(self.sent)
                self.sent[number] = time.monotonic()
                reply = client.message(ALICE, ["x@good.example"], content(number, 500))
                assert reply[0] == 250, reply
                self.over.wait(self.pause)

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(30)
        if kind is None:
            ports.wait_for(lambda: self.came.keys() >= self.sent.keys(), 10, what="good mail")

    def worst(self):
        return max(self.came[n] - at for n, at in self.sent.items())


class World:
    """The daemon, the hostile servers, and what became of each recipient."""

    def __init__(self, *names, copies=1, per_name=1, timeout="2s", **options):
        self.hostile = hostile.Hostile(*names, copies=copies)
        self.sink = Sink()
        self.g = godwit.Godwit(
            retry=options.pop("retry", "1h"), expire="1d", connections=options.pop("connections", 20),
            limits="limits { connections 1000 per-ip 500; message-size 35M }",
            extra=routes(self.hostile, self.sink, timeout), **options)
        self.good = Good(self.g)
        self.sink.on_message = self.good.arrived
        self.per_name = per_name
        self.sent = {}  # (behaviour, number): recipients
        self.ids = {}

    def __enter__(self):
        self.hostile.__enter__()
        self.sink.start()
        self.g.start()
        return self

    def __exit__(self, *_):
        self.g.close()
        self.sink.stop()
        self.hostile.__exit__()

    def send_all(self):
        number = 0
        with Client(self.g.port, timeout=60) as client:
            client.hello()
            for behaviour in self.hostile.behaviours():
                for _ in range(behaviour.times * self.per_name):
                    rcpts = [f"{who}@{domain(behaviour.name)}" for who in "abc"]
                    code, text = client.message(ALICE, rcpts, content(number, behaviour.size))
                    assert code == 250, text
                    self.sent[behaviour.name, number] = rcpts
                    self.ids[text.split()[-1]] = behaviour.name, number
                    number += 1

    def fates(self):
        """{(behaviour, number, recipient): [(fate, log line)]}, by attempt"""
        found = {}
        for event in FATES:
            for line in self.g.log_lines(event):
                if line.get("id") in self.ids:
                    key = (*self.ids[line["id"]], line["to"])
                    found.setdefault(key, []).append((event, line))
        for lines in found.values():
            lines.sort(key=lambda known: int(known[1]["attempt"]))
        return found

    def wait_fates(self, timeout=PATIENCE):
        wanted = {(*key, rcpt) for key, rcpts in self.sent.items() for rcpt in rcpts}

        def all_known():
            known = self.fates()
            return known if wanted <= known.keys() else None

        try:
            return ports.wait_for(all_known, timeout, 0.2, what="the fate of every recipient")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {sorted(wanted - self.fates().keys())}") from None


# ---- all at once ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(program):
    with World() as w:
        # so that its own start is not measured
        with Client(w.g.port) as client:
            client.hello()
            assert client.message(ALICE, ["x@good.example"], content(0, 10))[0] == 250
        w.sink.wait()
        senders = w.g.roles().get("sender", [])
        before = time.monotonic(), cpu_seconds(senders)
        with w.good:
            w.send_all()
            w.known = w.wait_fates()
        w.seconds, w.cpu = time.monotonic() - before[0], cpu_seconds(senders) - before[1]
        yield w


@pytest.mark.parametrize("name", list(KINDS))
def test_habit(world, name):
    expected = KINDS[name].expect
    for (who, number, rcpt), lines in sorted(world.known.items()):
        if who != name:
            continue
        right = expected[rcpt[0]] if isinstance(expected, dict) else expected
        right = right if isinstance(right, set) else {right}
        assert lines[0][0] in right, (rcpt, number, lines)


def test_nobody_is_counted_who_did_not_get_it(world):
    taken = set(world.hostile.taken)
    delivered = {key for key, lines in world.fates().items() if lines[-1][0] == "delivered"}
    counted = {(who, rcpt, number) for who, number, rcpt in delivered}
    assert counted <= taken, counted - taken
    unknown = {t for t in taken - counted if not KINDS[t[0]].maybe}
    assert not unknown, f"taken, and not known of: {unknown}"


def test_nobody_got_it_twice(world):
    """After one attempt. (A second one is only for those of whom nothing is known.)"""
    taken = [t for t in world.hostile.taken if not KINDS[t[0]].maybe]
    assert len(taken) == len(set(taken))


def test_good_mail_is_on_time(world):
    print(f"\n{len(world.good.sent)} messages beside {len(world.sent)} to the others, "
          f"the slowest {world.good.worst():.3f} s")
    assert len(world.good.sent) > 50
    assert world.good.worst() <= latency_allowed()


def test_senders_do_not_spin(world):
    """In all, with three megabytes sent to each of a dozen; then nothing at all."""
    print(f"\n{world.cpu:.2f} s of processor time in {world.seconds:.1f} s")
    if world.g.one_process:
        pytest.skip("all roles are one process")
    assert world.cpu < 5 + world.seconds / 10
    does_not_spin(world.g.roles()["sender"], 2)


def test_every_message_is_somewhere(world):
    """The ledger: delivered, bounced, or queued."""
    over = {"delivered", "bounced"}
    waiting = {key for key, lines in world.fates().items() if not over & {f for f, _ in lines}}
    assert world.g.queued() == len(waiting)
    reports = [p for p in world.g.mail() if b"multipart/report" in p.read_bytes()]
    bounced = {key[:2] for key, lines in world.fates().items() if lines[0][0] == "bounced"}
    assert len(reports) == len(bounced)


def test_what_they_said_is_harmless(world):
    """No octets of theirs but visible ones in log and reports, no field of theirs before ours."""
    for line in world.g.log_text().splitlines():
        assert line.isascii() and line.isprintable(), line
    for line in world.g.log_lines("delivered"):
        assert line["ev"] == "delivered" and len(line["id"]) == 26, line
    for path in world.g.mail():
        text = path.read_bytes().replace(b"\n", b"").replace(b"\r", b"").replace(b"\t", b"")
        assert all(32 <= c < 127 for c in text), path


def test_nothing_went_wrong_inside(world):
    for event in ("role.died", "role.crashed", "peer.ended", "site.paused", "error"):
        assert not world.g.log_lines(event), world.g.log_lines(event)


# ---- what it costs -------------------------------------------------------------------------------


def pss(pids):
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(text.partition("\nPss:")[2].split()[0]) * 1024
    return total


@needs_processes
def test_memory_of_senders_has_a_ceiling():
    """Content that nobody reads, and replies without an end, on as many connections as may be."""
    connections = 100 if LONG else 40
    names = ("DataNeverReads", "GreetingLongLine", "EhloDrips", "RcptDrips")
    with World(*names, copies=connections, timeout="30s") as w:
        w.send_all()
        ports.wait_for(lambda: all(b.sessions for b in w.hostile.behaviours()), 30,
                       what="many connections")
        senders = w.g.roles()["sender"]
        peak = 0
        for _ in range(20):
            peak = max(peak, pss(senders))
            time.sleep(0.1)
        ceiling = len(senders) * PER_SENDER + len(names) * connections * PER_CONNECTION
        print(f"\n{peak >> 10} KiB of {ceiling >> 10} for {len(names) * connections} connections")
        assert peak < ceiling


@needs_processes
def test_drips_cost_no_time():
    """Every reply an octet at a time: the senders wake for it, and that is all."""
    names = ("GreetingDrips", "EhloDrips", "RcptDrips", "DotDrips", "DataSips")
    with World(*names, per_name=10, timeout="2m") as w:
        w.send_all()
        ports.wait_for(lambda: all(b.sessions for b in w.hostile.behaviours()), 20, what="sessions")
        senders = w.g.roles()["sender"]
        before, seconds = cpu_seconds(senders), 60 if LONG else 10
        time.sleep(seconds)
        spent = cpu_seconds(senders) - before
        print(f"\n{spent:.2f} s of processor time in {seconds} s of 50 drips")
        assert spent < 0.02 * seconds
        assert not w.g.log_lines("delivered")


# ---- what comes of it later ----------------------------------------------------------------------


def test_chunks_that_are_not_known_are_not_sent_again():
    """CHUNKING is offered and BDAT refused: after an attempt of each sender it goes by DATA."""
    with World("ChunksUnknown", retry="1s") as w:
        w.send_all()
        (key, rcpts), = w.sent.items()

        def all_delivered():
            fates = w.fates()
            return all(fates.get((*key, rcpt), [("", 0)])[-1][0] == "delivered" for rcpt in rcpts)

        ports.wait_for(all_delivered, 20, what="delivery")
        assert sorted(rcpt for rcpt, _ in w.hostile.took("ChunksUnknown")) == rcpts
        attempts = [int(line["attempt"]) for line in w.g.log_lines("delivered")]
        assert max(attempts) <= 1 + len(w.g.roles().get("sender", [0, 0])), attempts
