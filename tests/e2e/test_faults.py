"""Wrong configurations, wrong SMTP, a full disk, a disk that cannot flush: a clear answer, no
crash, nothing lost, and back to work without help."""

import contextlib
import errno
import os
import re
import socket
import subprocess
import time

import pytest

from conftest import LONG, needs_processes, needs_root
from peers import faults, ledger, ports
from peers.client import Client, Closed, simple_message
from peers.sink import Sink

# ---- configuration ---------------------------------------------------------------------------

GOOD = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
spool     @DIR@/spool
control   @DIR@/control.sock
domain example.net { deliver maildir @DIR@/mail/%u }
"""

# what is appended (or replaced), the line of the error, words the message must have
WRONG = {
    "unknown statement": (lambda t: t + "lissten mx 127.0.0.1:26\n", 6, ["lissten", "listen"]),
    "unknown setting in a block": (lambda t: t + "shape * { conections 5 }\n", 6,
                                   ["conections", "did you mean 'connections'"]),
    "block never closed": (lambda t: t + "domain x.example {\n deliver maildir /m/%u\n", 6,
                           ["closed"]),
    "string never closed": (lambda t: t + 'domain x.example { deliver reject "550 5.1.1 no\n}\n', 6,
                            ["closed"]),
    "duration without unit": (lambda t: t + "shape * { retry 30 }\n", 6, ["30"]),
    "port out of range": (lambda t: t.replace("@PORT@", "70000"), 2, ["70000"]),
    "value below its range": (lambda t: t + "limits { recipients 5 }\n", 6, ["5", "100"]),
    "not an address range": (lambda t: t + "trust 10.0.0.0/33\n", 6, ["10.0.0.0/33"]),
    "an open relay": (lambda t: t + "trust 0.0.0.0/0\n", 6, ["allow-open-relay"]),
    "said twice": (lambda t: t + "hostname other.test\n", 6, ["hostname"]),
    "no host name": (lambda t: t.replace("hostname  mx.test\n", ""), None, ["hostname"]),
    "unknown kind of target": (lambda t: t.replace("maildir", "mailbox"), 5, ["mailbox"]),
    "include that is not there": (lambda t: t + "include /nonexistent/godwit.conf\n", 6,
                                  ["/nonexistent/godwit.conf"]),
    "block where there is none": (lambda t: t + "admin a@example.net { x y }\n", 6, ["admin"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_config(make_godwit, program, name):
    change, line, words = WRONG[name]
    g = make_godwit(change(GOOD), start=False)
    for command in (["config", "check"], ["serve"]):
        done = g.run(*command)
        text = done.stdout + done.stderr
        assert done.returncode == 1, (command, text)
        place = re.search(r"^(\S+?)(?::(\d+):(\d+))?: error: .+$", text, re.M)
        assert place and place[1].endswith("godwit.conf"), text
        if line:
            assert place[2] and int(place[2]) == line, text
            assert "^" in text, text
        for word in words:
            assert word in text, text
    assert not (g.folder / "spool").exists()


def test_all_errors_at_once(make_godwit):
    g = make_godwit(GOOD + "foo 1\nbar 2\nbaz 3\n", start=False)
    done = g.run("config", "check")
    assert len(re.findall(r": error: ", done.stdout + done.stderr)) == 3


def test_a_log_file_that_cannot_be(make_godwit):
    """It is said, and the start ends as godwit(8) has it, not as a crash."""
    g = make_godwit(GOOD + "log file @DIR@/nowhere/log\n", start=False)
    done = g.run("serve")
    assert done.returncode == 1, done.stderr
    assert "nowhere/log: No such file or directory" in done.stderr


def test_good_config(make_godwit):
    g = make_godwit(GOOD, start=False)
    done = g.run("config", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mx.test" in g.cli("config", "show")


def test_missing_config(program, scratch):
    done = subprocess.run([program, "--config", str(scratch / "none.conf"), "serve"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert "none.conf" in done.stderr


def test_port_in_use(make_godwit):
    with Sink() as other:
        g = make_godwit(GOOD.replace("@PORT@", str(other.port)), start=False)
        done = g.run("serve")
        assert done.returncode == 1
        assert str(other.port) in done.stdout + done.stderr


# ---- SMTP ------------------------------------------------------------------------------------


def works(port):
    """A session of somebody else is served."""
    with Client(port, timeout=5) as client:
        client.hello()
        return client.message("a@sender.test", ["ok@example.net"], simple_message())[0] == 250


def test_unknown_verbs(relay):
    with Client(relay.port) as client:
        for verb in ("FOO", "", " NOOP", "MAILFROM:<a@b.test>", "\x7f\x01"):
            assert client.cmd(verb)[0] // 100 == 5
        assert client.hello()[0] == 250
        assert client.cmd("RCPT TO:<a@example.net>")[0] == 503
        assert client.cmd("DATA")[0] == 503


def test_endless_unknown_verbs_end_the_session(relay):
    with Client(relay.port) as client:
        client.hello()
        codes = []
        try:
            for _ in range(100):
                codes.append(client.cmd("BOGUS")[0])
                if codes[-1] == 421:
                    break
            assert codes[-1] == 421 and client.at_end()
        except (Closed, OSError):
            assert codes[-1] == 421
    assert works(relay.port)


def test_line_of_100_kb(relay):
    with Client(relay.port) as client:
        client.hello()
        client.send(b"NOOP " + b"x" * 100_000 + b"\r\nNOOP\r\n")
        assert client.reply()[0] == 500
        assert client.reply()[0] == 250
        assert client.message("a@sender.test", ["bob@example.net"], simple_message())[0] == 250


@needs_processes
def test_line_that_never_ends(relay):
    with Client(relay.port) as client:
        client.hello()
        before = memory(relay)
        try:
            for _ in range(320):
                client.send(b"x" * 100_000)
        except OSError:
            pass
        assert memory(relay) - before < 8 << 20
    assert works(relay.port)


def memory(g):
    """Resident octets of the receivers."""
    total = 0
    for pid in g.roles()["smtpd"]:
        total += int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


@pytest.mark.parametrize("command", [
    b"MAIL FROM:<a\0b@sender.test>\r\n", b"NOOP\0\r\n", b"\0\r\n",
    b"MAIL FROM:<a@sender.test>\nNOOP\r\n", b"NOOP\rNOOP\r\n",
    b"MAIL FROM:<a@sender.test>\r\0\n\r\n"])
def test_nul_and_bare_line_ends_in_commands(relay, command):
    with Client(relay.port) as client:
        client.hello()
        client.send(command)
        assert client.reply()[0] // 100 == 5
    assert works(relay.port)


FALSE_ENDS = ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n",
              "\r\n\0.\r\n", "\r\n.\0\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\n\n.\n\n",
              "\n\r.\n\r"]


@pytest.mark.parametrize("end", FALSE_ENDS, ids=repr)
def test_only_the_true_end_ends(relay, sink, end):
    """Smuggling: what stands behind a false end of data is never a second message."""
    with Client(relay.port) as client:
        client.hello()
        client.begin("a@sender.test", ["bob@example.org"])
        client.cmd("DATA")
        inner = simple_message("smuggled")
        client.send(f"Subject: outer\r\n\r\nx{end}MAIL FROM:<evil@sender.test>\r\n"
                    f"RCPT TO:<eve@example.org>\r\nDATA\r\n{inner}\r\n.\r\n")
        code, _ = client.reply()
        accepted = code == 250
        if "\0" not in end:
            assert code // 100 == 5
    assert works(relay.port)
    relay.wait_mail()
    if accepted:
        sink.wait()
    assert all(m.mail_from == "a@sender.test" for m in sink.messages)
    assert len(sink.messages) == int(accepted)
    assert not sink.violations


def test_early_talkers(relay, sink):
    """Commands before the greeting, and a body before 354: in order or refused; a body is never run
    as commands."""
    with Client(relay.port, greet=False) as client:
        client.send("EHLO early.test\r\nMAIL FROM:<a@sender.test>\r\n"
                    "RCPT TO:<bob@example.org>\r\nDATA\r\n"
                    "Subject: early\r\n\r\nMAIL FROM:<evil@sender.test>\r\n.\r\nQUIT\r\n")
        codes = []
        try:
            while True:
                codes.append(client.reply()[0])
        except (Closed, OSError):
            pass
    assert codes[0] in (220, 554, 421)
    if 354 in codes:
        assert codes == [220, 250, 250, 250, 354, 250, 221]
        assert sink.wait()[0].data.endswith(b"MAIL FROM:<evil@sender.test>\r\n")
    assert works(relay.port)
    assert all(m.mail_from == "a@sender.test" for m in sink.messages)


def test_refused_data_is_not_a_body(relay, sink):
    """DATA pipelined behind refused recipients, with content: nothing of it is run or delivered."""
    with Client(relay.port) as client:
        client.hello()
        client.send("MAIL FROM:<a@sender.test>\r\nRCPT TO:<>\r\nDATA\r\n"
                    "Subject: x\r\n\r\nbody\r\n.\r\nNOOP\r\n")
        codes = [client.reply()[0] for _ in range(3)]
        assert codes[0] == 250 and codes[1] // 100 == 5 and codes[2] in (503, 554)
        assert client.at_end()
    assert works(relay.port)
    assert not sink.messages


def test_half_a_message_is_nothing(relay, sink):
    head = b"Subject: x\r\n"
    for cut in (head, head + b"\r\nbody\r\n.", head + b"\r\nbody\r\n.\r"):
        with Client(relay.port) as client:
            client.hello()
            client.begin("a@sender.test", ["bob@example.org"])
            client.cmd("DATA")
            client.send(cut)
    assert works(relay.port)
    relay.wait_mail()
    time.sleep(0.3)
    assert not sink.messages


# ---- full disk -------------------------------------------------------------------------------


def free_space(path):
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def fill(path, leave):
    """Takes all but `leave` octets of a file system, while others write there."""
    with open(path, "wb") as out:
        for _ in range(100):
            more = free_space(os.path.dirname(path)) - leave
            if more <= 0:
                return
            with contextlib.suppress(OSError):  # less is left by now
                os.posix_fallocate(out.fileno(), os.fstat(out.fileno()).st_size, more)
    raise AssertionError("the file system does not fill")


def try_send(port):
    """The reply to a small message."""
    with Client(port, timeout=10) as client:
        client.hello()
        return client.message("a@sender.test", ["probe@example.org"], simple_message())


@needs_root
def test_full_disk(make_godwit):
    """A tmpfs filled from outside: 452 while it is full, 250 within 5 s when it is not."""
    with Sink() as sink:
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port),
                        store="store { segment 1M; reserve 4M; spares 1 }")
        g.expected_alarms |= {"error", "spool.failed"}
        spool = g.folder / "spool"
        spool.mkdir()
        g.wrapper = faults.tmpfs_wrapper(spool, "32m")
        g.start()
        book = ledger.Ledger()
        sink.on_message = book.arrived
        sink.reply_at("rcpt", "451 4.3.0 not now")  # what comes stays in the queue
        inside = faults.inside(g.pid, spool)
        load = ledger.Load(book, g.port, sessions=4, size=8000, pace=0.01).start()
        ports.wait_for(lambda: book.states()["acked"] > 50, 20, what="some mail")
        fill(f"{inside}/filler", 0)
        ports.wait_for(lambda: book.states()["refused"] > 50, 20, what="refusals")
        g.wait_log("spool.low")
        load.stop()
        refusals = {fate[2][:10] for fate in book.fate.values() if fate[0] == "refused"}
        with Client(g.port) as client:  # nobody sends content in vain
            client.hello()
            assert client.begin("a@sender.test", ["probe@example.org"])[0][0] == 452
        assert all("452" in r or "451" in r for r in refusals), refusals
        queued = g.queued()
        sink.heal()
        ports.wait_for(lambda: g.queued() < queued / 2, 10, what="results in the reserve")
        os.unlink(f"{inside}/filler")
        freed = time.monotonic()
        ports.wait_for(lambda: try_send(g.port)[0] == 250, 15, what="250 after space was freed")
        assert time.monotonic() - freed < 10  # the queue looks once a second
        ports.wait_for(lambda: not book.missing(), 60, what="all that was taken")
        time.sleep(1)
        # try_send's own message is no number of the ledger
        book.stray = [s for s in book.stray if b"X-Ledger" in s]
        assert not book.clean(), book.verdict()


@needs_root
def test_disk_filled_by_mail(make_godwit):
    """The queue itself fills the disk; when it drains, mail is taken again; nothing was lost."""
    port = ports.free_port()
    g = make_godwit(start=False, relay=("127.0.0.1", port), retry="1s", expire="10m",
                    store="store { segment 1M; reserve 4M; spares 1 }")
    g.expected_alarms |= {"error", "spool.failed"}
    spool = g.folder / "spool"
    spool.mkdir()
    g.wrapper = faults.tmpfs_wrapper(spool, "24m")
    g.start()
    book = ledger.Ledger()
    load = ledger.Load(book, g.port, sessions=4, size=60000).start()
    ports.wait_for(lambda: book.states()["refused"] > 50, 30, what="a full disk")
    load.stop()
    assert book.states()["acked"] * 60000 > 10 << 20
    assert try_send(g.port)[0] == 452
    with Sink(port=port, on_message=book.arrived):
        ports.wait_for(lambda: not book.missing(), 60, what="all that was taken")
        ports.wait_for(lambda: try_send(g.port)[0] == 250, 10, what="mail is taken again")
        time.sleep(1)
    book.stray = [s for s in book.stray if b"X-Ledger" in s]
    assert not book.clean(), book.verdict()


# ---- a flush that fails ----------------------------------------------------------------------


def first_ack(book, after):
    """The time of the first 250 after a time."""
    times = [t for state, t, _, _ in list(book.fate.values()) if state == "acked" and t > after]
    return min(times, default=None)


def test_flush_fails_for_a_while(make_godwit):
    """EIO on each flush: no 250 while it lasts, 250 within 5 s afterwards; what was refused never
    arrives."""
    with Sink() as sink, faults.FlushFault() as fault:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=fault.env, expire="10m")
        g.expected_alarms |= {"error", "spool.failed", "spool.low"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=8, pace=0.005, timeout=90).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        fault.fail(errno.EIO)
        begin = time.time()
        time.sleep(1)
        assert try_send(g.port)[0] == 452  # who comes now is told at once
        time.sleep(29 if LONG else 3)
        fault.heal()
        healed = time.time()
        assert fault.count > 0
        first = ports.wait_for(lambda: first_ack(book, healed), 6, what="a 250")
        assert first - healed < 5
        time.sleep(1)
        load.stop(100)
        during = [f for f in book.fate.values() if f[0] == "acked" and begin + 0.2 < f[1] < healed]
        assert not during, during[:3]
        assert g.log_lines("spool.failed")
        ports.wait_for(lambda: not book.missing(), 60, what="all that was taken")
        g.wait_idle()
        time.sleep(0.5)
        book.stray = [s for s in book.stray if b"X-Ledger" in s]
        verdict = book.verdict()
        print(f"\nledger: {dict(verdict)}")
        # results that could not be recorded may come twice, as after a kill
        book.kills.append(("eio", begin, healed))
        assert not book.clean(), verdict


def test_refused_by_eio_stays_refused_after_restart(make_godwit):
    """The page cache still has what a failed flush was to keep: a restart must not deliver it."""
    with Sink() as sink, faults.FlushFault() as fault:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=fault.env)
        g.expected_alarms |= {"error", "spool.failed", "spool.low", "role.died"}
        book = ledger.Ledger()
        sink.on_message = book.arrived
        load = ledger.Load(book, g.port, sessions=8, timeout=5).start()
        ports.wait_for(lambda: book.states()["acked"] > 100, 20, what="some mail")
        fault.fail(errno.EIO)
        time.sleep(1)
        g.kill9_all()
        fault.heal()
        book.kills.append(("all", time.time() - 2, time.time()))
        load.stop()
        g.start()
        ports.wait_for(lambda: not book.missing(), 30, what="all that was taken")
        g.wait_idle()
        time.sleep(1)
        assert not book.clean(), book.verdict()


def test_connections_per_address(make_godwit, sink):
    """One address has its limit; who is beyond it hears 421, other addresses are served."""
    g = make_godwit(relay=("127.0.0.1", sink.port), limits="limits { connections 100 per-ip 5 }")
    held = [socket.create_connection(("127.0.0.1", g.port), timeout=10) for _ in range(60)]
    try:
        greetings = [s.recv(200)[:9] for s in held]
        # each receiving process counts for itself
        assert greetings.count(b"421 4.7.0") >= 60 - 5 * os.cpu_count()
        assert sum(x.startswith(b"220 ") for x in greetings) >= 5
        with Client(g.port, source="127.0.0.9") as other:
            assert other.greeting[0] == 220
    finally:
        for s in held:
            s.close()
