"""Too few descriptors, too little memory, a file system that takes no writes: whoever can be served
is served, the others hear 4xx or wait, nobody spins, nothing is lost, and all works again without
help. A full disk is in test_faults.py.

    GODWIT_LONG=1     30 s of a read-only file system, six rounds without memory
"""

import contextlib
import ctypes
import datetime
import errno
import os
import random
import time

import pytest

from conftest import LONG, needs_processes, needs_root
from peers import faults, ledger, ports
from peers.client import Client, simple_message
from peers.limits import (acked_between, arrived_between, back_within, both, does_not_spin, far,
                          few_files, first_ack, greeted, lasting, probe, refusals,
                          refused_before_content, settle, squeezed, virtual)
from peers.machine import Machine
from peers.sink import Sink

SMALL = "store { segment 1M; reserve 4M; spares 1 }"
READ_ONLY = 30 if LONG else 2
ROUNDS = 6 if LONG else 1

# ---- no descriptors --------------------------------------------------------------------------


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
            served = greeted(clients, 1)
            assert len(served) == 3 * len(pids)
            assert old.message("a@sender.test", ["b@example.org"], simple_message())[0] == 250
            does_not_spin(pids)
            served[0].quit()
            ports.wait_for(lambda: len(greeted(clients, 0.1)) == len(served) + 1, 3,
                           what="a place for one who waits")
        ports.wait_for(lambda: len(greeted(clients, 0.1)) == len(clients), 5, what="greetings")
        assert g.log_lines("error")
        sink.wait()


@needs_root
@needs_processes
def test_workers_without_descriptors(make_godwit):
    """A connection that cannot be made waits until it can, a child that cannot be made defers;
    nobody bounces, no host is blamed, nobody spins."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        g.expected_alarms |= {"error"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        workers = lasting(g)["sender"] + lasting(g)["mda"]
        time.sleep(1)  # what master hands them at the start is closed by then
        with squeezed(workers, "nofile", few_files(0)):
            ledger.Load(book, g.port, sessions=4, most=100, recipients=both).start().join()
            replies = [line["reply"] for line in g.wait_log("deferred", count=5)]
            assert all("No pipe" in r for r in replies), replies
            assert not g.mail() and not sink.messages
            assert book.states()["acked"] == 100
            does_not_spin(lasting(g)["sender"], 2)
            errors = [e for e in g.log_lines("error") if "no socket" in e["text"]]
            assert 0 < len(errors) <= len(lasting(g)["sender"]), errors
            healed = time.time()
        ports.wait_for(lambda: arrived_between(book, healed, time.time()), 2, what="a delivery")
        settle(g, book, duplicates=False)
        assert sink.messages and g.mail() and not g.log_lines("bounced")


@needs_root
@needs_processes
def test_queue_without_descriptors(make_godwit):
    """No new segment can be opened: 451 or 452, until it can. A receiver that is started anew
    meanwhile cannot be connected to the queue; that heals itself too."""
    port = ports.free_port()
    g = make_godwit(relay=("127.0.0.1", port), expire="10m", retry="1s", store=SMALL)
    g.expected_alarms |= {"error", "spool.failed", "role.died", "peer.ended"}
    book = ledger.Ledger()
    with squeezed([g.role_pid("queue")], "nofile", few_files(0)):
        load = ledger.Load(book, g.port, sessions=4, recipients=far, size=60000, timeout=20).start()
        ports.wait_for(lambda: len(refusals(book)) > 20, 20, what="refusals")
        assert all("452" in reply or "451" in reply for reply in refusals(book))
        book.kills.append(("all", *g.kill9("smtpd")))
        time.sleep(1)
    back = back_within(g.port, 8)
    load.stop()
    print(f"\nback after {back:.1f} s")
    assert back < 5
    with Sink(port=port, on_message=book.arrived):
        settle(g, book, 60)


@needs_root
@needs_processes
def test_master_without_descriptors(make_godwit):
    """Whom it cannot start anew is missed; the others go on, and it comes when it can."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        g.expected_alarms |= {"error", "role.died"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        g.wait_log("config.loaded")  # until then it would rather end than wait
        before = lasting(g)
        with squeezed([g.pid], "nofile", few_files(0)):
            victim = before["sender"][0]
            begin = time.time()
            os.kill(victim, 9)
            os.kill(before["mda"][0], 9)
            g.wait_log("error", count=3, text="no descriptors for mda: Too many open files")
            book.kills.append(("sender", begin - 1, time.time()))
            if len(before["sender"]) > 1:
                ledger.Load(book, g.port, sessions=4, most=100, recipients=far).start().join()
                ports.wait_for(lambda: not book.missing(), 10, what="the mail of others")
            does_not_spin([g.pid], 0.5)
            now = lasting(g)
            assert "mda" not in now and victim not in now.get("sender", [])
            for role in ("queue", "smtpd", "control"):
                assert now[role] == before[role], role
        ports.wait_for(lambda: {r: len(p) for r, p in lasting(g).items()}
                       == {r: len(p) for r, p in before.items()}, 6, what="all roles")
        assert probe(g.port, to="box@example.net") == 250
        g.wait_mail()[0].unlink()
        settle(g, book)


# ---- no memory -------------------------------------------------------------------------------


def death_times(g):
    """(role, time) of each death in the log."""
    return [(line["role"], datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
             .timestamp()) for line in g.log_lines("role.died")]


@needs_root
@needs_processes
def test_roles_without_memory(make_godwit):
    """They refuse and defer, and live; mail is taken again within 5 s."""
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m")
        g.expected_alarms |= {"role.died", "error"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=6, recipients=both, size=200_000,
                           timeout=20).start()
        ports.wait_for(lambda: book.states()["acked"] > 20, 20, what="some mail")
        queue = g.role_pid("queue")
        for role in ("queue", "smtpd", "sender", "mda") * ROUNDS:
            said, low = len(refusals(book)), len(g.log_lines("memory.low", role=role))
            with squeezed(lasting(g)[role], "as",
                          lambda pid: virtual(pid) + (random.randrange(128 << 10) if LONG else 0)):
                # later its heap may have what it needs; the mda's has from the start
                if low == 0 and role != "mda":
                    g.wait_log("memory.low", role=role)
                time.sleep(0.7)
            if role == "queue" and len(g.log_lines("memory.low", role=role)) > low:
                assert len(refusals(book)) > said
            assert back_within(g.port, 8) < 5, role
            ports.wait_for(lambda: len(g.log_lines("memory.normal", role=role))
                           == len(g.log_lines("memory.low", role=role)), 5, what="its reserve")
        load.stop()
        assert all(re[:4] in ("(452", "452 ", "451 ") for re in refusals(book)), refusals(book)[:5]
        deaths = death_times(g)
        print(f"\nended: {[what for what, _ in deaths]}; {len(refusals(book))} refusals")
        # what a sender had sent may be read by a busy sink a moment later
        book.kills += [(what, when - 0.5, when + 2) for what, when in deaths]
        settle(g, book)
        assert g.role_pid("queue") == queue, "the owner of the queue ended"


@needs_root
@needs_processes
def test_connection_without_memory(make_godwit):
    """A receiver that lives on its reserve turns away who comes, and goes on with who is there."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        pids = g.roles()["smtpd"]
        olds = [stack.enter_context(Client(g.port)) for _ in range(48)]
        under_way = []
        with squeezed(pids, "as", lambda pid: virtual(pid)):
            for client in olds:  # unfinished messages, until the reserve of each is touched
                if len(g.log_lines("memory.low", role="smtpd")) >= len(pids):
                    break
                client.hello()
                mail, _ = client.begin("a@sender.test", ["b@example.org"])
                if mail[0] == 250 and client.cmd("DATA")[0] == 354:
                    client.send("Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 3000)
                    under_way.append(client)
            g.wait_log("memory.low", role="smtpd", count=len(pids))
            codes = {probe(g.port) for _ in range(20)}
            assert codes <= {421, 452}, codes
            ends = []
            for client in under_way:
                client.send(".\r\n")
                ends.append(client.reply()[0])
            assert ends and set(ends) <= {250, 452}, ends
            does_not_spin(pids)
        assert back_within(g.port, 5) < 5
        g.wait_idle()


@needs_root
@needs_processes
def test_whom_the_kernel_ends_first(make_godwit):
    """Where the kernel chooses, the queue is the last of the roles."""
    g = make_godwit(relay=("127.0.0.1", 1))
    score = {role: {int(open(f"/proc/{pid}/oom_score_adj").read()) for pid in pids}
             for role, pids in lasting(g).items()}
    own = int(open("/proc/self/oom_score_adj").read())
    assert score["queue"] == {own}
    assert all(min(score[role]) > own for role in ("smtpd", "sender", "mda", "control")), score


# ---- a file system that takes no writes --------------------------------------------------------


@needs_processes
def test_read_only_while_running(make_godwit):
    """Every write, flush, open and rename says EROFS: no 250 while it lasts, and no deliveries
    whose results could not be kept."""
    with Sink() as sink, Machine() as machine:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=machine.env, expire="10m", store=SMALL)
        g.expected_alarms |= {"error", "spool.failed", "spool.low"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        sink.reply_at("rcpt", "451 4.3.0 not now")
        load = ledger.Load(book, g.port, sessions=8, pace=0.005, recipients=far, size=20000,
                           timeout=40).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="a queue")
        machine.read_only(errno.EROFS)
        begin = time.time()
        time.sleep(0.3)
        sink.heal()
        time.sleep(READ_ONLY)
        assert refused_before_content(g.port) == 452
        does_not_spin(g.roles()["queue"], 0.5)
        healed = time.time()
        machine.heal()
        assert machine.refused > 0
        ports.wait_for(lambda: first_ack(book, healed), 6, what="a 250")
        back = first_ack(book, healed) - healed
        load.stop()
        came = arrived_between(book, begin, healed)
        print(f"\n{len(came)} came meanwhile, back after {back:.1f} s")
        assert back < 5
        assert not acked_between(book, begin + 0.2, healed)
        assert len(came) <= 40, "results that were not kept"
        settle(g, book, duplicates=False)


def remount(pid, path, read_only):
    """In the mount namespace of another process, as soon as nothing is open for writing. A function
    that waits for it and says whether it could be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        done = False
        with contextlib.suppress(BaseException):
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
            ms_remount, ms_rdonly = 32, 1
            end = time.monotonic() + 5
            if libc.setns(fd, 0) == 0:
                while not done and time.monotonic() < end:
                    done = libc.mount(b"tmpfs", str(path).encode(), b"tmpfs",
                                      ms_remount | (ms_rdonly if read_only else 0), None) == 0
        os._exit(0 if done else 1)
    return lambda: os.waitpid(child, 0)[1] == 0


def is_read_only(pid, path):
    for line in open(f"/proc/{pid}/mountinfo"):
        words = line.split()
        if words[4] == str(path):
            return "ro" in words[5].split(",") + words[-1].split(",")
    return False


@needs_root
@needs_processes
def test_read_only_at_start(make_godwit):
    """The queue is killed, and finds its file system remounted: nothing is accepted until it is
    writable again, and then by itself."""
    with Sink() as sink:
        # What has a file open for writing there keeps it from being remounted.
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port), expire="10m", store=SMALL,
                        extra="history off\n")
        g.expected_alarms |= {"error", "role.died", "role.crashed", "peer.ended", "spool.failed"}
        spool = g.folder / "spool"
        spool.mkdir()
        g.wrapper = faults.tmpfs_wrapper(spool, "64m")
        g.start()
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=4, pace=0.01, recipients=far, timeout=20).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        is_done = remount(g.pid, spool, read_only=True)
        for _ in range(20):
            book.kills.append(("queue", *g.kill9("queue")))
            time.sleep(0.1)
            if is_read_only(g.pid, spool):
                break
        assert is_done(), "it could not be remounted"
        begin = time.time()
        time.sleep(READ_ONLY)
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
