"""The limits of the machine: processes that stand still, no descriptors, no memory, a file system
that is suddenly read-only, clocks that jump, peers that do not read, more connections than wanted.
Nothing is lost, whoever can be served is served, and everything works again without help."""

import contextlib
import ctypes
import datetime
import errno
import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import LONG, needs_processes, needs_root
from peers import faults, ledger, ports
from peers.client import Client, Closed, simple_message
from peers.godwit import make_config
from peers.inject import Machine
from peers.sink import Sink

STOP = 30 if LONG else 3
HOUR = 3600
YEARS = 20 * 365 * 86400
JUMPS = [HOUR, -HOUR, YEARS, -YEARS] if LONG else [-HOUR, YEARS]


def far(number):
    return [f"sink{number % 5}@example.org"]


def both(number):
    return far(number) if number % 3 else [f"box{number % 4}@example.net"]


def read_maildirs(g, book):
    for path in g.mail():
        found = ledger.read_message(path.read_bytes().replace(b"\n", b"\r\n"))
        if not found or not found[2]:
            book.corrupt.append(str(path))
        else:
            key = found[1], f"{path.parts[-3]}@{path.parts[-4]}"
            book.arrivals[key].append(path.stat().st_mtime)


def settle(g, book, timeout=30):
    """Everything promised has come; the verdict."""
    g.wait_idle(timeout)
    time.sleep(0.2)
    read_maildirs(g, book)
    book.stray = [s for s in book.stray if b"X-Ledger" in s]  # without probes
    verdict = book.verdict()
    print(f"\nledger: {dict(verdict)}")
    assert not book.clean(verdict), (dict(verdict), book.missing()[:3])
    return verdict


def acked_between(book, begin, end):
    return [f for f in list(book.fate.values()) if f[0] == "acked" and begin < f[1] < end]


def arrived_between(book, begin, end):
    return [t for times in list(book.arrivals.values()) for t in times if begin < t < end]


def first_ack(book, after):
    return min((f[1] for f in acked_between(book, after, 2e10)), default=None)


def probe(port, timeout=5, source=None, to="probe@example.org"):
    """A message from somebody else: the reply's code, 0 without one."""
    try:
        with Client(port, timeout=timeout, source=source) as client:
            if client.greeting[0] != 220:
                return client.greeting[0]
            client.hello()
            return client.message("a@sender.test", [to], simple_message())[0]
    except (OSError, Closed, ValueError):
        return 0


def back_within(port, seconds):
    """How long until a message is taken again."""
    begin = time.monotonic()
    ports.wait_for(lambda: probe(port) == 250, seconds, what="a 250")
    return time.monotonic() - begin


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def virtual(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


# ---- processes that stand still --------------------------------------------------------------


def lasting(g):
    """The roles, without the short-lived children of the mda."""
    return {role: pids[:1] if role == "mda" else pids for role, pids in g.roles().items()}


def pids_to_stop(g, role):
    if role == "master":
        return [g.pid]
    found = lasting(g)
    return sum(found.values(), []) if role == "all" else found[role][:1]


@needs_processes
@pytest.mark.parametrize("role", ["queue", "smtpd", "sender", "mda", "control", "master", "all"])
def test_stopped_role(make_godwit, role):
    """It goes on where it was: nothing lost, nothing twice, nobody was started anew."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        book = ledger.Ledger()
        sink.on_message = book.arrived
        # sessions stay: those of a stopped receiver wait, the others go on
        load = ledger.Load(book, g.port, sessions=12, recipients=both, pace=0.02, reuse=10**6,
                           timeout=STOP + 30).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        before = lasting(g)
        stopped = pids_to_stop(g, role)
        begin = time.time()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STOP)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        end = time.time()
        acked = acked_between(book, begin + 0.5, end)
        arrived = arrived_between(book, begin + 0.5, end)
        if role in ("queue", "all"):
            assert not acked
        elif role not in ("smtpd", "sender") or len(before[role]) > 1:
            assert len(acked) > 20 * STOP, "others wait too"
            assert len(arrived) > 10 * STOP, "others wait too"
        ports.wait_for(lambda: first_ack(book, end), 5, what="a 250")
        time.sleep(0.5)
        load.stop()
        settle(g, book)
        assert lasting(g) == before


@needs_processes
def test_connections_to_a_stopped_receiver(make_godwit):
    """One of several: each connection is served or waits, none is refused."""
    g = make_godwit(relay=("127.0.0.1", 1))
    if len(g.roles()["smtpd"]) < 2:
        pytest.skip("one processor")
    os.kill(g.role_pid("smtpd"), signal.SIGSTOP)
    clients = []
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            clients.append(stack.enter_context(Client(g.port, timeout=0.3, greet=False)))
        greeted = [c for c in clients if wait_greeting(c, 0.3)]
        assert 0 < len(greeted) < 20
        os.kill(g.role_pid("smtpd"), signal.SIGCONT)
        assert all(wait_greeting(c, 5) for c in clients)


def wait_greeting(client, timeout):
    """Was it greeted, now or before?"""
    if client.greeting is None:
        client.sock.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            client.greeting = client.reply()
    return client.greeting is not None and client.greeting[0] == 220


# ---- no descriptors --------------------------------------------------------------------------


def set_soft(pid, name, value):
    """As the user of the process: root may lack the right to set limits of others."""
    status = open(f"/proc/{pid}/status").read()
    uid, gid = (re.search(rf"^{key}:\t(\d+)", status, re.M)[1] for key in ("Uid", "Gid"))
    subprocess.run(["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "prlimit",
                    f"--pid={pid}", f"--{name}={value}:"], check=True, capture_output=True)


def soft(pid, title):
    for line in open(f"/proc/{pid}/limits"):
        if line.startswith(title):
            return line[len(title):].split()[0]
    raise KeyError(title)


TITLES = {"nofile": "Max open files", "as": "Max address space"}


@contextlib.contextmanager
def squeezed(pids, name, most):
    """most(pid): its limit as long as the block lasts, if it lives that long."""
    old = {pid: soft(pid, TITLES[name]) for pid in pids}
    for pid in pids:
        set_soft(pid, name, most(pid))
    yield
    for pid, value in old.items():
        if os.path.exists(f"/proc/{pid}"):
            set_soft(pid, name, value)


def few_files(more):
    """A limit below which so many numbers are free."""
    def most(pid):
        used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
        limit = 0
        while limit - len([fd for fd in used if fd < limit]) < more or limit in used:
            limit += 1
        return limit
    return most


@needs_root
@needs_processes
def test_receiver_without_descriptors(make_godwit):
    """Who is there goes on, who comes waits; nobody spins meanwhile."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        g.expected_alarms |= {"error"}
        pids = g.roles()["smtpd"]
        old = stack.enter_context(Client(g.port))
        old.hello()
        with squeezed(pids, "nofile", few_files(3)):
            clients = [stack.enter_context(Client(g.port, greet=False)) for _ in range(30)]
            greeted = [c for c in clients if wait_greeting(c, 0.2)]
            assert len(greeted) == 3 * len(pids)
            assert old.message("a@sender.test", ["b@example.org"], simple_message())[0] == 250
            spent = sum(map(cpu_seconds, pids))
            time.sleep(1)
            assert sum(map(cpu_seconds, pids)) - spent < 0.3, "it spins"
            for client in greeted:
                client.quit()
            waiting = [c for c in clients if c not in greeted]
            ports.wait_for(lambda: any(wait_greeting(c, 0.1) for c in waiting), 2,
                           what="a place for those who wait")
        ports.wait_for(lambda: all(wait_greeting(c, 0.5) for c in waiting), 5, what="greetings")
        assert g.log_lines("error")
        sink.wait()


@needs_root
@needs_processes
def test_sender_without_descriptors(make_godwit):
    """A connection that cannot be opened defers, and never bounces."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        book = ledger.Ledger()
        sink.on_message = book.arrived
        with squeezed(g.roles()["sender"], "nofile", few_files(0)):
            load = ledger.Load(book, g.port, sessions=4, most=200, recipients=far).start()
            load.join()
            g.wait_log("deferred", count=3)
            assert "Too many open files" in g.log_lines("deferred")[0]["reply"]
            assert not book.arrivals and not g.log_lines("bounced")
        assert book.states()["acked"] == 200
        settle(g, book)
        assert sink.most_sessions > 0 and not g.log_lines("bounced")


@needs_root
@needs_processes
def test_queue_without_descriptors(make_godwit):
    """No new segment can be opened: 451 or 452, until it can. A receiver that is started anew
    meanwhile cannot be connected to the queue; that heals itself too."""
    port = ports.free_port()
    g = make_godwit(relay=("127.0.0.1", port), expire="10m", retry="1s",
                    store="store { segment 1M; reserve 4M; spares 1 }")
    g.expected_alarms |= {"error", "spool.failed", "role.died", "peer.ended"}
    book = ledger.Ledger()
    with squeezed([g.role_pid("queue")], "nofile", few_files(0)):
        load = ledger.Load(book, g.port, sessions=4, recipients=far, size=60000, timeout=20).start()
        ports.wait_for(lambda: book.states()["refused"] > 20, 20, what="refusals")
        replies = {f[2] for f in book.fate.values() if f[0] == "refused"}
        assert all("452" in reply or "451" in reply for reply in replies), replies
        book.kills.append(("all", *g.kill9("smtpd")))
        time.sleep(1)
    back = back_within(g.port, 8)
    load.stop()
    print(f"back after {back:.1f} s")
    assert back < 5
    with Sink(port=port, on_message=book.arrived):
        settle(g, book, 60)


# ---- no memory -------------------------------------------------------------------------------


def death_times(g):
    """(role, time) of each death in the log."""
    return [(line["role"], datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
             .timestamp()) for line in g.log_lines("role.died")]


@needs_root
@needs_processes
@pytest.mark.parametrize("role", ["smtpd", "queue", "sender", "mda"])
def test_role_without_memory(make_godwit, role):
    """It refuses, or ends and is started anew; mail is taken again within 5 s."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        g.expected_alarms |= {"error", "role.died", "peer.ended"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=6, recipients=both, size=200_000,
                           timeout=20).start()
        ports.wait_for(lambda: book.states()["acked"] > 20, 20, what="some mail")
        for _ in range(6 if LONG else 2):
            with squeezed(g.roles()[role], "as",
                          lambda pid: virtual(pid) + random.randrange(1 << 20)):
                time.sleep(2)
            back = back_within(g.port, 8)
            assert back < 5, back
        load.stop()
        deaths = death_times(g)
        print(f"\ndeaths: {[what for what, _ in deaths]}")
        # what it had sent may be read by a busy sink a moment later
        book.kills += [(what, when - 0.5, when + 2) for what, when in deaths]
        assert book.states()["acked"] > 50
        settle(g, book)


# ---- a file system that takes no writes --------------------------------------------------------


@needs_processes
def test_read_only_while_running(make_godwit):
    """Every write, flush, open and rename says EROFS: no 250 while it lasts."""
    with Sink() as sink, Machine() as machine:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=machine.env, expire="10m",
                        store="store { segment 1M; reserve 4M; spares 1 }")
        g.expected_alarms |= {"error", "spool.failed", "spool.low"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=8, pace=0.005, recipients=far, size=20000,
                           timeout=40).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        machine.read_only(errno.EROFS)
        begin = time.time()
        time.sleep(STOP)
        assert probe(g.port) == 452
        machine.heal()
        healed = time.time()
        assert machine.refused > 0
        ports.wait_for(lambda: first_ack(book, healed), 6, what="a 250")
        back = first_ack(book, healed) - healed
        time.sleep(1)
        load.stop()
        assert back < 5
        assert not acked_between(book, begin + 0.2, healed)
        book.kills.append(("eio", begin, healed))
        settle(g, book)


def remount(pid, path, read_only):
    """In the mount namespace of another process; False while something is open for writing."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        done = False
        with contextlib.suppress(BaseException):
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
            remount_flag = 32
            end = time.monotonic() + 5
            if libc.setns(fd, 0) == 0:
                while not done and time.monotonic() < end:
                    done = libc.mount(b"tmpfs", str(path).encode(), b"tmpfs",
                                      remount_flag | read_only, None) == 0
        os._exit(0 if done else 1)
    return lambda: os.waitpid(child, 0)[1] == 0


@needs_root
@needs_processes
def test_read_only_at_start(make_godwit):
    """The queue is killed, and finds its file system remounted: nothing is accepted until it is
    writable again, and then by itself."""
    with Sink() as sink:
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port), expire="10m",
                        store="store { segment 1M; reserve 4M; spares 1 }")
        g.expected_alarms |= {"error", "role.died", "peer.ended", "spool.failed"}
        spool = g.folder / "spool"
        spool.mkdir()
        g.wrapper = faults.tmpfs_wrapper(spool, "64m")
        g.start()
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=4, pace=0.01, recipients=far, timeout=20).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        is_done = remount(g.pid, spool, read_only=True)  # tries until no file is open
        for _ in range(20):
            book.kills.append(("queue", *g.kill9("queue")))
            time.sleep(0.1)
            if "ro" in mount_options(g.pid, spool):
                break
        assert is_done(), "it could not be remounted"
        begin = time.time()
        time.sleep(STOP)
        assert remount(g.pid, spool, read_only=False)()
        healed = time.time()
        assert not acked_between(book, begin + 0.2, healed)
        ports.wait_for(lambda: first_ack(book, healed), 10, what="a 250")
        back = first_ack(book, healed) - healed
        load.stop()
        print(f"\nback after {back:.1f} s")
        book.kills.append(("queue", begin - 1, time.time()))
        settle(g, book)
        assert back < 5


def mount_options(pid, path):
    for line in open(f"/proc/{pid}/mountinfo"):
        words = line.split()
        if words[4] == str(path):
            return words[5].split(",") + words[-1].split(",")
    return []


# ---- the clock -------------------------------------------------------------------------------


class Deferred:
    """Mail that waits for a sink which says 451, and what became of it."""

    def __init__(self, make_godwit, sink, machine, count=10, retry="1s", expire="2h"):
        self.g = make_godwit(relay=("127.0.0.1", sink.port), env=machine.env, retry=retry,
                             expire=expire)
        self.sink = sink
        self.book = ledger.Ledger()
        sink.on_message = self.book.arrived
        sink.reply_at("rcpt", "451 4.3.0 not now")
        load = ledger.Load(self.book, self.g.port, sessions=2, most=count,
                           recipients=lambda n: [f"late{n}@example.org"])
        load.start().join()
        self.addresses = [f"late{n}@example.org" for n in range(count)]
        self.wait_attempts(1)

    def wait_attempts(self, count, timeout=10, after=0.0):
        ports.wait_for(lambda: all(len(self.attempts(a, after)) >= count for a in self.addresses),
                       timeout, what=f"{count} attempts of each")

    def attempts(self, address, after):
        return [t for t in self.sink.attempts(address) if t > after]

    def no_storm(self, begin, step=1.0):
        """No more attempts than the schedule allows, no bounce, all still queued."""
        most = (time.time() - begin) / (step * 0.9) + 1
        for address in self.addresses:
            assert len(self.attempts(address, begin)) <= most, address
        assert not self.g.log_lines("expired") and not self.g.log_lines("bounced")
        assert self.g.queued() == len(self.addresses)

    def finish(self):
        self.sink.heal()
        settle(self.g, self.book, 20)
        assert not self.book.bounces


@needs_processes
@pytest.mark.parametrize("jump", JUMPS)
def test_clock_jumps_while_running(make_godwit, jump):
    """Times are counted on a clock that nobody sets: due times stay, new mail is taken."""
    with Sink() as sink, Machine() as machine:
        world = Deferred(make_godwit, sink, machine)
        pids = sum(lasting(world.g).values(), [])
        spent = sum(map(cpu_seconds, pids))
        begin = time.time()
        machine.jump(jump)
        assert probe(world.g.port, to="box@example.net") == 250
        world.wait_attempts(2, after=begin)
        world.no_storm(begin)
        assert sum(map(cpu_seconds, pids)) - spent < 0.5, "it spins"
        machine.jump(0)
        begin = time.time()
        world.wait_attempts(2, after=begin)
        world.no_storm(begin)
        for path in world.g.mail():
            path.unlink()  # the probe's
        world.finish()


@needs_processes
@pytest.mark.parametrize("jump", JUMPS)
def test_clock_jumps_and_queue_dies(make_godwit, jump):
    """A role that is started anew counts on as the others do."""
    with Sink() as sink, Machine() as machine:
        world = Deferred(make_godwit, sink, machine)
        world.g.expected_alarms |= {"role.died"}
        machine.jump(jump)
        begin = time.time()
        world.book.kills.append(("queue", *world.g.kill9("queue")))
        world.wait_attempts(2, after=begin)
        world.no_storm(begin)
        assert probe(world.g.port, to="box@example.net") == 250
        for path in world.g.wait_mail():
            path.unlink()
        world.finish()


@needs_processes
@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEARS, -YEARS])
def test_clock_jumps_between_two_lives(make_godwit, jump):
    """The next start believes the wall clock: mail is tried, not sent back, and does not wait for
    the years to come round."""
    with Sink() as sink, Machine() as machine:
        world = Deferred(make_godwit, sink, machine)
        assert world.g.stop() == 0
        begin = time.time()
        machine.jump(jump)
        world.g.start()
        world.wait_attempts(2, after=begin)
        world.no_storm(begin)
        world.finish()


# ---- peers that do not read --------------------------------------------------------------------




@needs_processes
def test_peer_that_never_reads(make_godwit):
    """Its connection waits; memory is bounded, other mail flows, and the message comes later."""
    with Sink() as sink, socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf_port = deaf.getsockname()[1]
        extra = f"route to domain deaf.example via relay 127.0.0.1:{deaf_port}"
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port), expire="10m")
        text = make_config(g.port, g.folder, relay=("127.0.0.1", sink.port), expire="10m")
        g.write_config(text.replace("route to any", extra + "\nroute to any"))
        g.start()
        pids = [pid for role in ("sender", "queue") for pid in g.roles()[role]]
        body = ("x" * 70 + "\r\n") * (20 << 20 >> 6)
        with Client(g.port, timeout=30) as client:
            client.hello()
            assert client.message("a@sender.test", ["b@deaf.example"],
                                  simple_message(body=body))[0] == 250
        peer, _ = deaf.accept()
        with peer:
            peer.sendall(b"220 deaf.example\r\n")
            while b"DATA" not in peer.recv(4096):  # no PIPELINING: a command at a time
                peer.sendall(b"250 2.0.0 Ok\r\n")
            peer.sendall(b"354 go on\r\n")
            time.sleep(0.5)
            before = sum(map(resident, pids))
            book = ledger.Ledger()
            sink.on_message = book.arrived
            load = ledger.Load(book, g.port, sessions=4, recipients=far, most=300).start()
            load.join()
            ports.wait_for(lambda: not book.missing(), 10, what="the mail of others")
            assert sum(map(resident, pids)) - before < 16 << 20
            ports.wait_for(lambda: g.queued() == 1, 5, what="only its own message")
        g.wait_log("deferred")  # it went away in the middle
        deaf.close()
        with Sink(port=deaf_port) as healed:
            assert len(healed.wait(timeout=20)[0].data) > 20 << 20
        g.wait_idle()


def test_client_that_never_reads(relay):
    """Commands without end, replies unread: it is stopped, others are served."""
    with socket.create_connection(("127.0.0.1", relay.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(1)
        pids = relay.roles().get("smtpd") or [relay.pid]
        before = sum(map(resident, pids))
        sent = 0
        with contextlib.suppress(OSError):
            deaf.sendall(b"EHLO deaf.test\r\n")
            while sent < 64 << 20:
                sent += deaf.send(b"NOOP\r\n" * 10000)
        assert sent < 64 << 20, "everything was taken"
        assert sum(map(resident, pids)) - before < 8 << 20
        spent = sum(map(cpu_seconds, pids))
        time.sleep(1)
        assert sum(map(cpu_seconds, pids)) - spent < 0.3, "it spins"
        assert probe(relay.port) == 250
    relay.wait_idle()


# ---- more connections than wanted --------------------------------------------------------------


def is_served(port, source, within=1.0):
    begin = time.monotonic()
    assert probe(port, source=source) == 250
    assert time.monotonic() - begin < within


@needs_processes
def test_two_thousand_connections(make_godwit):
    """One address has as many connections as it may; another one is served at once."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port),
                        limits="limits { connections 4000 per-ip 2000 }", trust="127.0.0.3")
        sockets, most = [], 2000 * len(g.roles()["smtpd"])
        while len(sockets) < 2000:
            sockets.append(stack.enter_context(socket.create_connection(
                ("127.0.0.1", g.port), timeout=5, source_address=("127.0.0.2", 0))))
        for sock in sockets:
            assert sock.recv(100).startswith(b"220")
        is_served(g.port, "127.0.0.3")
        refused = 0
        while refused < 100 and len(sockets) < most + 200:
            sockets.append(stack.enter_context(socket.create_connection(
                ("127.0.0.1", g.port), timeout=5, source_address=("127.0.0.2", 0))))
            refused += sockets[-1].recv(100).startswith(b"421")
        assert refused == 100
        is_served(g.port, "127.0.0.3")
        sink.wait(2)


def drip(sockets, octets, seconds, pause=0.1):
    """An octet now and then from each; those that were closed meanwhile."""
    closed, end, at = set(), time.monotonic() + seconds, 0
    while time.monotonic() < end and len(closed) < len(sockets):
        for sock in sockets:
            if sock in closed:
                continue
            try:
                sock.send(octets[at % len(octets):][:1])
                if not sock.recv(4096):
                    closed.add(sock)
            except BlockingIOError:
                continue
            except OSError:
                closed.add(sock)
        at += 1
        time.sleep(pause)
    return closed


@pytest.mark.parametrize("place", ["command", "data"])
def test_slowloris(make_godwit, place):
    """An octet now and then keeps nobody's place for ever."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port),
                        limits="limits { connections 1000 per-ip 500; command-timeout 2s; "
                               "data-timeout 2s }")
        sockets = []
        for _ in range(200):
            client = stack.enter_context(Client(g.port, source="127.0.0.2"))
            if place == "data":
                client.hello()
                client.begin("a@sender.test", ["b@example.org"])
                assert client.cmd("DATA")[0] == 354
            client.sock.setblocking(False)
            sockets.append(client.sock)
        begin = time.monotonic()
        assert not drip(sockets, b"NOOP x", 0.5)
        is_served(g.port, "127.0.0.3")
        closed = drip(sockets, b"x" * 60 + b"\r\n", 8)
        assert len(closed) == len(sockets), f"{len(closed)} closed"
        assert time.monotonic() - begin < 8
        assert [m for m in sink.wait() if m.mail_from == "a@sender.test"]
        assert len(sink.messages) == 1, "half a message was delivered"
