"""The attacks of tests/attacks against the running daemon, each from an address of its own, and the
floods: while they go on a good client must be served within a second, and memory stays below the
ceiling of docs/machine.md."""

import base64
import contextlib
import os
import pathlib
import select
import socket
import statistics
import sys
import threading
import time

import pytest

ATTACKS = pathlib.Path(__file__).resolve().parent.parent / "attacks"
sys.path.insert(0, str(ATTACKS))

import attack  # noqa: E402
import daemon  # noqa: E402

SCRIPTS = attack.scripts()
ENDINGS = attack.endings()


@pytest.fixture(scope="module")
def server(program):
    with daemon.Daemon() as d:
        yield d
        found = d.problems()
        assert not found, found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: pathlib.Path(s.path).stem)
def test_attack(script, server):
    attack.play(script, server, server.new_address())
    server.good_client()


def test_there_are_attacks():
    assert len(SCRIPTS) >= 120


def test_an_attack_that_works_is_seen(server, tmp_path):
    """The runner itself: a wrong code, a missing log line and a message too many are all found."""
    head = "S: 220\nC: EHLO x\nR: 250\nC: MAIL FROM:<a@example.org>\nS: 250\n"
    tail = "C: RCPT TO:<bob@example.net>\nS: 250\nC: DATA\nS: 354\nC: x: y\nC: .\nS: 250\n"
    for text in (head + "C: NOOP\nS: 550\n", head + "L: reject reason=none\n", head + tail,
                 head + "N: 1\n"):
        path = tmp_path / "works.attack"
        path.write_text(text)
        with pytest.raises(attack.WireError):
            attack.play(attack.Script(path), server, server.new_address())


# ---- false ends of data ---------------------------------------------------------------------

def smuggled(ending):
    """Content with a false end, and a second message behind it."""
    return (b"Subject: first\r\n\r\nbody" + ending + b"MAIL FROM:<evil@example.org>\r\n"
            b"RCPT TO:<alice@example.net>\r\nDATA\r\nSubject: second\r\n\r\nevil")


@pytest.mark.parametrize("way", attack.WAYS)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda e: e[0])
def test_ending(ending, way, server):
    name, verdict, octets = ending
    for cut in range(1, len(octets)) if "cut" in way else (0,):
        address = server.new_address()
        attack.send_content(server, address, way, smuggled(octets), 
                            smuggled(b"").index(b"body") + 4 + cut, verdict)
        server.expect_messages(address, 1 if verdict == "content" else 0)
    server.good_client()


# ---- floods: a good client is served within a second, memory stays below the ceiling -------------

TRUSTED = "127.0.9.9"  # one of those for whom the last places are
OPENING = b"EHLO x\r\nMAIL FROM:<mallory@example.org>\r\nRCPT TO:<bob@example.net>\r\n"


@pytest.fixture(scope="module")
def flooded(program):
    with daemon.Daemon(connections=600, limits="per-ip 100; connection-rate 100000/m", size="35M",
                       extra=f"trust {TRUSTED}/32") as d:
        yield d
        found = d.problems()
        assert not found, found


@pytest.fixture
def bystander(flooded, request, capsys):
    """Somebody who sends mail during the flood; afterwards it must have been served well."""
    with daemon.Bystander(flooded, TRUSTED) as b:
        yield b
    with capsys.disabled():
        print(f"\n{request.node.name}: {b.sent} messages of the good client, worst {b.worst:.3f} s; "
              f"load {os.getloadavg()[0]:.1f}; memory {b.peak >> 20} MiB of {flooded.ceiling() >> 20}")
    assert not b.failures
    assert b.sent >= 2
    assert b.worst < daemon.latency_allowed()
    assert b.peak < flooded.ceiling()


class Flooder:
    """Many connections that say the same and may not listen to what is answered."""

    def __init__(self, server, count, per_address=20):
        base = server.addresses
        server.addresses += 1 + count // per_address
        self.server, self.sockets = server, []
        for i in range(count):
            n = base + 1 + i // per_address
            self.connect(f"127.{10 + n // 250}.{1 + n % 250}.1")

    def connect(self, source):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.bind((source, 0))
        s.settimeout(5)
        s.connect(("127.0.0.1", self.server.ports["mx"]))
        s.setblocking(False)
        self.sockets.append(s)

    def wait_greeted(self):
        """Each was told something. Who talks before is sent away at once."""
        waiting, end = set(self.sockets), time.monotonic() + 10
        while waiting and time.monotonic() < end:
            for s in select.select(list(waiting), [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    s.recv(512)
                waiting.discard(s)
        assert not waiting, f"{len(waiting)} were not greeted"
        return self

    def push(self, data, seconds):
        """Each gets data as fast as it takes it, until all is sent or the time is over."""
        todo = {s.fileno(): (s, memoryview(data)) for s in self.sockets}
        poll, end = select.poll(), time.monotonic() + seconds
        for fd in todo:
            poll.register(fd, select.POLLOUT)
        while todo and time.monotonic() < end:
            for fd, event in poll.poll(100):
                s, rest = todo[fd]
                try:
                    rest = rest[s.send(rest[:65536]):]
                except BlockingIOError:
                    pass
                except OSError:
                    rest = b""
                todo[fd] = (s, rest)
                if not rest:
                    poll.unregister(fd)
                    del todo[fd]
        return len(todo)

    def replies(self, seconds=5):
        """All that each of them heard, up to its end."""
        heard = {s: b"" for s in self.sockets}
        waiting, end = set(self.sockets), time.monotonic() + seconds
        while waiting and time.monotonic() < end:
            for s in select.select(list(waiting), [], [], 0.2)[0]:
                try:
                    data = s.recv(65536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                heard[s] += data
                if not data:
                    waiting.discard(s)
        return list(heard.values())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()


def test_flood_of_idle_clients(flooded, bystander):
    with Flooder(flooded, 300):
        time.sleep(1.5)


def test_flood_that_takes_all_places(flooded, bystander):
    """Idle clients have all places but the reserve; strangers are let in again when those are idle
    for long, and trusted clients at any time."""
    with Flooder(flooded, 800):
        time.sleep(2.5)
        for i in range(5):
            assert flooded.good_client(f"127.0.{20 + i}.1") < daemon.latency_allowed()


def test_flood_of_connections(flooded, bystander):
    """As fast as four threads can: connect, and away."""
    end = time.monotonic() + 3

    def hammer(n):
        i = 0
        while time.monotonic() < end:
            i += 1
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s, contextlib.suppress(OSError):
                s.bind((f"127.{50 + n}.{1 + i % 250}.{1 + i // 250 % 250}", 0))
                s.connect(("127.0.0.1", flooded.ports["mx"]))

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


CONTENT = {
    "headers-120000": (b"".join(b"X-%d: y\r\n" % i for i in range(120000)) + b"\r\nbody\r\n.\r\n",
                       b"552 5.3.4"),
    "header-24M": (b"X: " + b"a" * 990 + (b"\r\n " + b"a" * 990) * 25000 + b"\r\n\r\n.\r\n", b"552 5.3.4"),
    "header-without-end": (b"X: " + b"a" * (2 << 20) + b"\r\n\r\n.\r\n", b"552 5.3.4"),
    "mime-20000-deep": (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" +
                        b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" %
                                 (i, i + 1) for i in range(20000)) + b".\r\n", b"554 5.6.0"),
    "line-32M": (b"Subject: x\r\n\r\n" + b"a" * (32 << 20) + b"\r\n.\r\n", b"250 2.0.0"),
    "dots": (b"Subject: x\r\n\r\n" + b"..\r\n" * 500000 + b".\r\n", b"250 2.0.0"),
    "too-big": (b"Subject: x\r\n\r\n" + (b"a" * 990 + b"\r\n") * 40000 + b".\r\n", b"552 5.3.4"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_flood_of_content(name, flooded, bystander):
    content, code = CONTENT[name]
    with Flooder(flooded, 4, per_address=2).wait_greeted() as f:
        f.push(OPENING, 5)
        time.sleep(0.2)
        f.push(b"DATA\r\n", 5)
        time.sleep(0.2)
        assert f.push(content, 20) == 0
        f.push(b"QUIT\r\n", 5)
        for heard in f.replies(15):
            assert heard.count(b"\r\n" + code) == 1, heard[-300:]
            assert heard.rstrip().rpartition(b"\r\n")[2].startswith(b"221"), heard[-300:]


def test_flood_of_headers_at_once(flooded, bystander):
    """Hundreds of messages with headers as large as they may be, and never an end."""
    with Flooder(flooded, 450).wait_greeted() as f:
        f.push(OPENING, 5)
        time.sleep(0.5)
        f.push(b"DATA\r\n", 5)
        time.sleep(0.5)
        f.push(b"X: " + b"a" * 990 + (b"\r\n " + b"a" * 990) * 245, 15)
        time.sleep(1)


def test_flood_of_recipients(flooded, bystander):
    """Each as many recipients with names as long as they may be."""
    commands = b"".join(b"RCPT TO:<bob+%s%06d@example.net>\r\n" % (b"d" * 50, i) for i in range(20000))
    with Flooder(flooded, 40).wait_greeted() as f:
        f.push(OPENING, 5)
        f.push(commands, 6)
        time.sleep(1)


def test_flood_without_listening(flooded, bystander):
    """Commands whose replies nobody reads: what cannot be sent stops what is read."""
    with Flooder(flooded, 200).wait_greeted() as f:
        f.push(OPENING + b"RCPT TO:<x@other.example>\r\n" * 50000, 5)


def test_flood_of_a_line(flooded, bystander):
    """32 MiB without a line break, as a command, and QUIT behind it."""
    with Flooder(flooded, 6, per_address=2).wait_greeted() as f:
        assert f.push(b"A" * (32 << 20) + b"\r\nQUIT\r\n", 30) == 0
        for heard in f.replies(10):
            assert heard.startswith(b"500 5.5.2")
            assert b"\r\n221 2.0.0" in heard


# ---- slowloris -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def hasty(program):
    with daemon.Daemon(limits="per-ip 100; command-timeout 2s; data-timeout 2s; data-rate 1K") as d:
        yield d
        found = d.problems()
        assert not found, found


# what was said before, and what comes one octet at a time
DRIPS = {
    "command": (b"", b"EHLO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "mail": (b"EHLO x\r\n", b"MAIL FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "rcpt": (b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n", b"RCPT TO:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "long-line": (b"EHLO x\r\n" + b"A" * 5000, b"A" * 100),
    "header": (OPENING + b"DATA\r\n", b"Subject: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "body": (OPENING + b"DATA\r\n", b"a: b\r\n\r\n" + b"a\r\n" * 100),
    "dots": (OPENING + b"DATA\r\n", b"..\r\n" * 100),
    "nothing": (b"", b""),
    "nothing-behind-data": (OPENING + b"DATA\r\n", b""),
}


@pytest.mark.parametrize("name", DRIPS)
def test_drip(name, hasty):
    """One octet each fifth of a second does not keep the session: it has its time in all."""
    before, drip = DRIPS[name]
    player = attack.Player(hasty, "mx", hasty.new_address())
    player.read_line()
    begin = time.monotonic()
    for line in before.splitlines(keepends=True):
        player.send(line)
        time.sleep(0.05)
    player.sock.settimeout(0.2)
    for i in range(40):
        if i < len(drip):
            with contextlib.suppress(OSError):
                player.sock.send(drip[i:i + 1])
        player.drain()
        if player.closed:
            break
    took = time.monotonic() - begin
    assert player.closed and took > 1.5, (player.closed, took)
    assert player.input.rstrip().rpartition(b"\r\n")[2].startswith(b"421 4.4.2"), player.input
    player.close()
    hasty.good_client()


def test_the_end_while_clients_linger(program):
    """Who was sent away and does not close is waited for a moment; an end in that moment is an end."""
    with daemon.Daemon() as d:
        players = [attack.Player(d, "mx", d.new_address()) for _ in range(4)]
        for player in players:
            player.read_line()
            player.send(b"NOOP\nNOOP\r\n")
            player.read_line()
        found = d.problems()
        assert not found, found


def test_drip_of_a_handshake(hasty):
    """The hello of TLS, one octet at a time: it ends with the time, and without a word in the clear."""
    player = attack.Player(hasty, "mx", hasty.new_address())
    player.read_line()
    begin = time.monotonic()
    for words in (b"EHLO x\r\n", b"STARTTLS\r\n"):
        player.send(words)
        player.expect(attack.wire.Step(0, "R: 2"))
    player.sock.settimeout(0.2)
    for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 40:
        with contextlib.suppress(OSError):
            player.sock.send(bytes([octet]))
        player.drain()
        if player.closed:
            break
    assert player.closed and time.monotonic() - begin > 1.5
    assert player.input == b""
    player.close()
    hasty.good_client()


# ---- logins --------------------------------------------------------------------------------------

def login(server, source, name, password):
    """(reply, seconds) of one AUTH PLAIN under TLS."""
    player = attack.Player(server, "submissions", source)
    try:
        player.expect(attack.wire.Step(0, "S: 220"))
        player.send(b"EHLO x\r\n")
        player.expect(attack.wire.Step(0, "R: 250"))
        text = base64.b64encode(b"\0" + name.encode() + b"\0" + password.encode())
        begin = time.monotonic()
        player.send(b"AUTH PLAIN " + text + b"\r\n")
        reply = player.read_line()
        return reply, time.monotonic() - begin
    finally:
        player.close()


@pytest.fixture
def logins(program):
    with daemon.Daemon() as d:
        yield d
        found = d.problems()
        assert not found, found


def test_nobody_learns_which_names_exist(logins):
    """A wrong password, a name that is not there, one that is suspended, with its password or not:
    one text, and the same time."""
    kinds = {"wrong": lambda i: ("alice@example.net", f"wrong{i}"),
             "unknown": lambda i: (f"nobody{i}@example.net", "wrong"),
             "foreign": lambda i: (f"x{i}@other.example", "wrong"),
             "suspended": lambda i: ("bob@example.net", "terces")}
    took, texts = {kind: [] for kind in kinds}, set()
    for i in range(5):
        for kind, make in kinds.items():
            reply, seconds = login(logins, logins.new_address(), *make(i))
            texts.add(reply)
            took[kind].append(seconds)
    medians = {kind: statistics.median(seconds) for kind, seconds in took.items()}

    assert len(texts) == 1 and texts.pop().startswith("535 5.7.8")
    assert max(medians.values()) < 1.5 * min(medians.values()) + 0.02, medians
    reply, _ = login(logins, logins.new_address(), "alice@example.net", "secret")
    assert reply.startswith("235 2.7.0")


def test_guesses_do_not_lock_out_the_good_user(logins):
    """Thirty wrong guesses from one address: it has to wait or is sent away, and the owner logs in at
    once from where he did before."""
    owner, guesser, replies = logins.new_address(), logins.new_address(), []
    assert login(logins, owner, "alice@example.net", "secret")[0].startswith("235")
    end = time.monotonic() + 12
    for i in range(30):
        with contextlib.suppress(attack.WireError, OSError):
            replies.append(login(logins, guesser, "alice@example.net", f"guess{i}")[0])
        if time.monotonic() > end:
            break
    assert not [reply for reply in replies if reply.startswith("2")]
    assert replies[-1].startswith("454"), replies
    reply, seconds = login(logins, owner, "alice@example.net", "secret")
    assert reply.startswith("235 2.7.0") and seconds < 5  # the guesser waits for half a minute


def test_broken_logins_hurt_nobody_else(logins):
    """Bad base64 and broken exchanges, while others log in (CVE-2025-59028)."""
    over, failures = threading.Event(), []

    def break_things():
        lines = (b"AUTH PLAIN !!!!\r\n", b"AUTH PLAIN\r\n====\r\n", b"AUTH SCRAM-SHA-256 AAAA\r\n",
                 b"AUTH LOGIN\r\n\xff\xff\r\n", b"AUTH SCRAM-SHA-256 biwsbj0scj0=\r\nAA\r\n")
        while not over.is_set():
            for line in lines:
                with contextlib.suppress(attack.WireError, OSError):
                    player = attack.Player(logins, "submissions", logins.new_address())
                    player.read_line()
                    player.send(b"EHLO x\r\n" + line)
                    player.drain()
                    player.close()

    breaker = threading.Thread(target=break_things)
    breaker.start()
    good = logins.new_address()
    for _ in range(8):
        reply, seconds = login(logins, good, "alice@example.net", "secret")
        if not reply.startswith("235") or seconds > 2:
            failures.append((reply, seconds))
    over.set()
    breaker.join()
    assert not failures
