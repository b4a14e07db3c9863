"""What ends a process twice is found by what was in flight, and set aside; the rest flows on. The
crashes are planted from outside (tests/peers/poison.c): the program has no hook for them."""

import datetime
import statistics
import time

import pytest

from conftest import needs_processes, swaks
from peers import ledger, ports
from peers.client import Client, Closed, simple_message
from peers.faults import Poison
from peers.sink import Sink

pytestmark = needs_processes

DIP = 2  # seconds without a delivery, at most
CRASHED = {"role.died", "role.crashed", "error"}


def crashes(g, role, **fields):
    return g.log_lines("role.crashed", role=role, **fields)


def seconds(line):
    return datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()


def held(g):
    return g.queue("state:held")


def held_recipients(g):
    return sorted(r["to"] for m in held(g) for r in m["recipients"] if r["state"] == "held")


def wait_held(g, count, timeout=20):
    return ports.wait_for(lambda: len(held_recipients(g)) >= count and held(g), timeout,
                          what=f"{count} held recipients")


# ---- among others ---------------------------------------------------------------------------

def report_dip(book, times):
    """Prints what the others felt of each crash; the longest time without any delivery."""
    arrived = {n: min(t) for (n, _), t in book.arrivals.items()}
    order = sorted(arrived.values())
    worst = 0
    for at in times:
        near = [t for t in order if at - 1 <= t <= at + 2]
        gap = max((b - a for a, b in zip(near, near[1:])), default=0)
        delay = [arrived[n] - book.fate[n][1] for n in arrived
                 if n in book.fate and abs(book.fate[n][1] - at) < 0.5]
        if delay:
            print(f"crash at {at % 1000:.3f}: gap {gap * 1000:.0f} ms, latency of {len(delay)} "
                  f"others in the second around it: median {statistics.median(delay) * 1000:.1f} "
                  f"ms, most {max(delay) * 1000:.0f} ms")
        worst = max(worst, gap)
    return worst


def run_among_others(g, sink, poison, most):
    """`most` messages, those whose number is in `poison` crash the sender. The ledger."""
    book = ledger.Ledger()
    sink.on_message = book.arrived

    def recipients(number):
        name = f"poison{number}" if number in poison else f"box{number % 7}"
        return [f"{name}@example.org"]

    load = ledger.Load(book, g.port, sessions=4, most=most, recipients=recipients, pace=0.008)
    load.start().join(60)
    wait_held(g, len(poison))
    ports.wait_for(lambda: g.queued() == len(poison), 20, what="the delivery of the others")
    time.sleep(0.2)
    return book


@pytest.mark.parametrize("numbers", [(700,), tuple(range(700, 710))], ids=["one", "ten_at_once"])
def test_message_that_crashes_the_sender(make_godwit, numbers):
    with Poison("sender:send:<poison") as p, Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env, expire="10m")
        g.expected_alarms |= CRASHED
        book = run_among_others(g, sink, numbers, 2000)
        lines = crashes(g, "sender")
        times = [seconds(line) for line in lines]
        book.kills = [("sender", t - 0.1, t + 0.1) for t in times]
        verdict = book.verdict()
        print(f"\n{len(lines)} crashes, ledger: {dict(verdict)}")
        worst = report_dip(book, times)
        print(f"longest time without a delivery: {worst * 1000:.0f} ms")
        assert {n for n, _ in book.missing()} == set(numbers)
        assert verdict["n_acked"] == 2000
        assert not verdict["dup_unexcused"] and not verdict["corrupt"]
        assert len(lines) == 2 * len(numbers)
        assert worst < DIP
        assert not g.log_lines("site.paused")


def test_held_released_and_restarted(make_godwit):
    with Poison("sender:send:<poison") as p, Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env, expire="10s")
        g.expected_alarms |= CRASHED
        swaks(g.port, "--to", "poison@example.org", "--from", "a@sender.test")
        message, = wait_held(g, 1)
        lines = crashes(g, "sender")
        assert [line["id"] for line in lines] == [message["id"]] * 2
        assert {line["hand"] for line in lines} == {"job"}
        assert lines[0]["signal"] == "6" and lines[0]["host"].startswith("127.0.0.1:")
        assert "ended the sender twice" in message["recipients"][0]["reply"]
        assert "held" in g.cli("queue") and "HELD" in g.run("status").stdout  # 1 while a sender is away
        assert g.api("/v1/queue")[1]["held"] == 1
        assert len(g.log_lines("held", id=message["id"])) == 1
        time.sleep(11)  # longer than it would live
        g.restart()
        assert held_recipients(g) == ["poison@example.org"]
        assert len(crashes(g, "sender")) == 2
        # Released it has two lives again, and without the fault it goes out.
        assert "released: 1 recipient" in g.cli("queue", "release", message["id"])
        wait_held(g, 1)
        ports.wait_for(lambda: len(crashes(g, "sender")) == 4, 10, what="two more crashes")
        g.stop()
        g.env.pop("LD_PRELOAD")
        g.start()
        assert held_recipients(g) == ["poison@example.org"]
        g.cli("queue", "release", "all")
        sink.wait(1)
        g.wait_idle()


def test_drop_held(make_godwit):
    with Poison("sender:send:<poison") as p, Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env)
        g.expected_alarms |= CRASHED
        swaks(g.port, "--to", "poison@example.org", "--from", "a@sender.test")
        wait_held(g, 1)
        assert "dropped: 1 recipient" in g.cli("--yes", "queue", "drop", "all")
        assert g.queued() == 0
        g.restart()
        assert g.queued() == 0 and not sink.accepted()


# ---- a site -----------------------------------------------------------------------------------

def test_site_whose_replies_crash_the_sender(make_godwit):
    with Poison("sender:recv:evil greeting") as p, Sink() as good, Sink() as evil:
        evil.reply_at("greeting", "220 evil greeting")
        g = make_godwit(env=p.env, start=False, relay=("127.0.0.1", good.port))
        route = f"route to domain evil.test via relay 127.0.0.1:{evil.port}\nroute to any"
        g.config_path.write_text(g.config_path.read_text().replace("route to any", route))
        g.start()
        g.expected_alarms |= CRASHED | {"site.paused"}
        for i in range(6):
            swaks(g.port, "--to", f"b{i}@evil.test", "--from", "a@sender.test")
        paused = g.wait_log("site.paused")[0]
        assert paused["site"] and float(paused["rest"]) >= 60
        n = len(crashes(g, "sender"))
        print(f"\n{n} crashes until it was paused")
        for i in range(20):
            swaks(g.port, "--to", f"c{i}@example.org", "--from", "a@sender.test")
        good.wait(20)
        assert len(crashes(g, "sender")) <= n + 2
        sites = {s["state"]: s for s in g.api("/v1/queue")[1]["sites"]}
        assert "ended the process" in sites["paused"]["last_reply"]
        assert g.queued() == 6
        evil.heal()
        g.cli("queue", "retry", "all")
        evil.wait_recipients(6 - len(held_recipients(g)))


# ---- a client ---------------------------------------------------------------------------------

def crash_command(g, source):
    try:
        with Client(g.port, source=source) as c:
            if c.greeting[0] != 220:
                return c.greeting
            c.hello()
            return c.cmd("NOOP evil command")
    except (Closed, OSError):
        return None


def test_client_whose_command_crashes_smtpd(make_godwit):
    with Poison("smtpd:recv:evil command") as p, Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env)
        g.expected_alarms |= CRASHED | {"client.denied"}
        for n in range(2):
            assert crash_command(g, "127.0.0.9") is None
            ports.wait_for(lambda: len(crashes(g, "smtpd")) == n + 1, 5, what="the crash")
            g.wait_ready()
        assert [line["ip"] for line in crashes(g, "smtpd")] == ["127.0.0.9"] * 2
        denied = g.wait_log("client.denied")[0]
        assert denied["ip"] == "127.0.0.9" and float(denied["for"]) == pytest.approx(600, abs=2)
        for _ in range(8):  # every worker knows, also the new ones
            assert crash_command(g, "127.0.0.9")[0] == 421
        assert len(crashes(g, "smtpd")) == 2
        assert g.log_lines("reject", ip="127.0.0.9", reason="ended_a_process")
        assert g.status()["denied"][0]["ip"] == "127.0.0.9"
        assert "denied    127.0.0.9" in g.cli("status")
        with Client(g.port) as c:
            assert c.hello()[0] == 250
            assert c.message("a@sender.test", ["b@example.org"], simple_message())[0] == 250
        sink.wait(1)


# ---- the queue --------------------------------------------------------------------------------

def test_commit_that_crashes_the_queue(make_godwit):
    with Poison("queue:memcpy:X-Evil: yes") as p, Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env)
        g.expected_alarms |= CRASHED | {"client.denied"}
        evil = "X-Evil: yes\r\n" + simple_message()
        for n in range(2):
            with Client(g.port, source="127.0.0.9", timeout=70) as c:
                c.hello()
                code, _ = c.message("a@sender.test", ["b@example.org"], evil)
                assert code == 451
            g.wait_ready()
        lines = crashes(g, "queue")
        assert [(line["hand"], line["ip"]) for line in lines] == [("commit", "127.0.0.9")] * 2
        g.wait_log("client.denied", ip="127.0.0.9")
        with Client(g.port, source="127.0.0.9", greet=False) as c:
            assert c.reply()[0] == 421
        swaks(g.port, "--to", "b@example.org", "--from", "a@sender.test")
        assert len(sink.wait(1)) == 1
        assert len(crashes(g, "queue")) == 2


@pytest.mark.parametrize("count", [1, 10])
def test_record_that_crashes_the_queue(make_godwit, count):
    """Stored by a queue that could; the next one cannot read them, and starts all the same."""
    with Poison("queue:copy:evil@sender.test") as p, Sink() as sink:
        sink.reply_at("rcpt", "451 4.3.0 later")
        g = make_godwit(relay=("127.0.0.1", sink.port), retry="3s")
        g.expected_alarms |= CRASHED | {"spool.aside"}
        for i in range(count):
            swaks(g.port, "--to", f"v{i}@example.org", "--from", "evil@sender.test")
        swaks(g.port, "--to", "good@example.org", "--from", "a@sender.test")
        g.stop()
        segments = sorted((g.folder / "spool").glob("*"))
        g.env.update(p.env)
        sink.heal()
        g.start(timeout=20)
        # Read back when they are due: two deaths for each, and the next queue passes it over.
        ports.wait_for(lambda: len(crashes(g, "queue")) == 2 * count, 30, what="the crashes")
        assert {line["hand"] for line in crashes(g, "queue")} == {"message"}
        g.wait_log("spool.aside", count=count)
        g.wait_ready()
        assert g.status()["spool"]["aside"] == count
        assert "SET ASIDE" in g.cli("status")
        assert [m.rcpts for m in sink.wait(1, 20)] == [["good@example.org"]]
        assert len(crashes(g, "queue")) == 2 * count
        swaks(g.port, "--to", "new@example.org", "--from", "a@sender.test")
        sink.wait(2)
        g.stop()
        # The records are still there: a queue that can read them delivers them.
        assert {s.name for s in segments} & {s.name for s in (g.folder / "spool").glob("*")}
        g.env.pop("LD_PRELOAD")
        g.start()
        sink.wait_recipients(2 + count, 20)


def test_result_that_crashes_the_queue(make_godwit):
    """The sender repeats to each new queue what was not confirmed; that must have an end, and not
    by delivering again and again."""
    with Poison("queue:copy:evil reply") as p, Sink() as sink:
        sink.reply_at("dot", "250 2.0.0 evil reply", times=1)
        g = make_godwit(relay=("127.0.0.1", sink.port), env=p.env)
        g.expected_alarms |= CRASHED | {"spool.aside"}
        swaks(g.port, "--to", "first@example.org", "--from", "a@sender.test")
        aside = g.wait_log("spool.aside")[0]
        lines = crashes(g, "queue")
        assert [(line["hand"], line["id"]) for line in lines] == [("message", aside["id"])] * 2
        g.wait_ready()
        swaks(g.port, "--to", "second@example.org", "--from", "a@sender.test")
        sink.wait(2)
        g.wait_idle()
        assert [m.rcpts[0] for m in sink.accepted()] == ["first@example.org", "second@example.org"]
        assert len(crashes(g, "queue")) == 2


# ---- local delivery ---------------------------------------------------------------------------

def test_delivery_child_that_crashes(make_godwit):
    with Poison("mda:read:evil body") as p:
        g = make_godwit(env=p.env)
        g.expected_alarms |= {"error"}
        with Client(g.port) as c:
            c.hello()
            assert c.message("a@sender.test", ["b@example.net"],
                             simple_message(body="evil body\r\n"))[0] == 250
            for i in range(20):
                assert c.message("a@sender.test", [f"u{i}@example.net"],
                                 simple_message(f"m{i}"))[0] == 250
        message, = wait_held(g, 1)
        assert "twice the process that delivers it crashed" in message["recipients"][0]["reply"]
        assert message["recipients"][0]["attempts"] == 2
        g.wait_mail(20)
        assert len(g.log_lines("deferred", id=message["id"])) == 1
        assert not crashes(g, "mda")
        g.stop()
        g.env.pop("LD_PRELOAD")
        g.start()
        g.cli("queue", "release", "all")
        g.wait_mail(21)


def test_message_that_crashes_the_mda(make_godwit):
    with Poison("mda:write:evil body") as p:
        g = make_godwit(env=p.env)
        g.expected_alarms |= CRASHED
        with Client(g.port) as c:
            c.hello()
            assert c.message("a@sender.test", ["b@example.net"],
                             simple_message(body="evil body\r\n"))[0] == 250
            for i in range(20):
                assert c.message("a@sender.test", [f"u{i}@example.net"],
                                 simple_message(f"m{i}"))[0] == 250
        message, = wait_held(g, 1)
        assert message["recipients"][0]["to"] == "b@example.net"
        assert "ended the delivery twice" in message["recipients"][0]["reply"]
        assert [line["id"] for line in crashes(g, "mda")] == [message["id"]] * 2
        g.wait_mail(20)
