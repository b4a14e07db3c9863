"""Limits in a time and plans, as people meet them: exactly n and not one more, whoever dies; the
time that is told; mail that is held and flows by itself; two windows at once; what is not counted."""

import base64
import datetime
import os
import re
import signal
import socket
import threading
import time

import pytest

from conftest import LONG, end_of_godwit, needs_processes
from peers import godwit as godwit_peer
from peers import ports, users
from peers.client import Client, Closed, simple_message
from peers.sink import Sink

ANN, BOB, CAT, SECRET = "ann@example.net", "bob@example.net", "cat@example.net", "wide open secret"
CLEAR = {"submission": "submission {tls off; auth plaintext}"}
TO = "someone@far.example"
# one hash for all: making them is what takes time
LINE = users.line("NAME", SECRET, scram=False).strip()


def accounts(**plans):
    """ann="home tenant=acme" -> the text of a users file."""
    lines = []
    for name, words in plans.items():
        plan, *more = words.split()
        more = " ".join(more)
        lines.append(LINE.replace("NAME", f"{name}@example.net") +
                     (f" plan={plan}" if plan != "-" else "") + (f" {more}" if more else ""))
    return "\n".join(lines) + "\n"


def made(sink, rules, people=None, **options):
    return godwit_peer.Godwit(
        trust=options.pop("trust", ""), listeners=CLEAR, relay=("127.0.0.1", sink.port),
        users=people or accounts(ann="home", bob="business", cat="-"), extra=rules,
        connections=20, per_connection=10000, **options)


class Running:
    """with Running(limits) as g: a server and what it sent."""

    def __init__(self, rules, people=None, **options):
        self.sink = Sink()
        self.rules, self.people, self.options = rules, people, options

    def __enter__(self):
        self.sink.__enter__()
        self.g = made(self.sink, self.rules, self.people, **self.options)
        self.g.sink = self.sink
        self.g.expected_alarms = set()
        return self.g.start()

    def __exit__(self, *_):
        try:
            problems = end_of_godwit(self.g)
        finally:
            self.g.close()
            self.sink.__exit__(None, None, None)
        assert not problems, problems


def login(g, name, port="submission", source=None):
    client = Client(g.ports[port], source=source, timeout=30)
    client.hello()
    if name is not None:
        word = base64.b64encode(f"\0{name}\0{SECRET}".encode()).decode()
        assert client.cmd(f"AUTH PLAIN {word}")[0] == 235
    return client


def letter(sender, subject="x", size=0):
    return simple_message(subject).replace("alice@sender.test", sender) + "y" * 70 * (size // 70)


def send(client, sender=ANN, to=(TO,), subject="x", params=""):
    return client.message(sender, list(to), letter(sender, subject), params)


def told_time(text):
    """The time of release as the reply has it, as seconds since the epoch."""
    found = re.search(r"at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})", text)
    assert found, text
    return datetime.datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S %z").timestamp()


def rows(g, *words):
    """{(what, rate): {subject: row}}"""
    done = g.run("limits", *words, json_output=True)
    import json
    answer = json.loads(done.stdout)
    return {(x["what"], x["rate"]): {y["subject"]: y for y in x["nearest"]} for x in answer["limits"]}


# ---- exactly ---------------------------------------------------------------------------------


class Flood:
    """Sessions that send until they are refused, and count their 250s. What is cut off behind the
    final dot may have been taken or not."""

    def __init__(self, g, sessions, each, pause=0):
        self.pause = pause
        self.taken, self.refused, self.maybe = 0, [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(g, each)) for _ in range(sessions)]
        for t in self.threads:
            t.start()

    def run(self, g, each):
        try:
            client = login(g, ANN)
        except (Closed, OSError, AssertionError):
            return
        for _ in range(each):
            try:
                code, text = send(client)
            except (Closed, OSError):
                with self.lock:
                    self.maybe += 1
                return
            with self.lock:
                if code == 250:
                    self.taken += 1
                elif text.startswith("4.7.1"):
                    self.refused.append((code, text))
                    if len(self.refused) > 200:
                        return
            time.sleep(self.pause)

    def wait(self):
        for t in self.threads:
            t.join(60)
        return self


def receivers(g):
    return len(g.roles().get("smtpd", ())) or 1


@needs_processes
def test_message_1001_of_1000_a_day():
    """Eight sessions over two receivers; after kill -9 of a receiver, of the queue, of everything."""
    with Running("plan home { limit messages 1000/d }") as g:
        g.expected_alarms |= {"role.died"}
        assert receivers(g) == 2
        began = time.time()
        first = Flood(g, 8, 60).wait()
        assert (first.taken, first.refused) == (480, [])
        g.kill9("smtpd")
        g.wait_ready()
        second = Flood(g, 8, 30).wait()
        assert (second.taken, second.refused) == (240, [])
        g.kill9("queue")
        ports.wait_for(lambda: g.roles().get("queue"), 10)
        third = Flood(g, 8, 20).wait()
        assert third.taken + len(third.refused) == 160 and third.taken == 160
        g.kill9_all()
        g.start()
        last = Flood(g, 8, 40).wait()
        taken = first.taken + second.taken + third.taken + last.taken
        assert taken == 1000
        assert len(last.refused) >= 8  # each session came to its end
        for code, text in last.refused:
            assert code == 452
            assert "1000/d messages for your account (plan home, " in text
            assert re.search(r"godwit\.conf:\d+\)", text)
            assert began + 86400 <= told_time(text) <= time.time() + 86400 * 1.06
        g.kill9_all()
        g.start()
        code, text = send(login(g, ANN))
        assert code == 452 and told_time(text) >= began + 86400
        assert send(login(g, BOB), BOB)[0] == 250
        row = rows(g, ANN)["messages", "1000/d"][ANN]
        assert (row["used"], row["full"], row["left"]) == (1000, True, 0)
        g.wait_idle(60)
        # what was under way at a kill may have come twice: these are its messages
        assert len({message.data for message in g.sink.messages}) == 1001


@needs_processes
@pytest.mark.parametrize("role", ["queue", "smtpd", "all"])
def test_kills_in_the_middle_of_a_flood(role):
    """What was acknowledged never is more than n; what no reply told of is counted if it was taken."""
    with Running("plan home { limit messages 300/d }") as g:
        g.expected_alarms |= {"role.died"}
        flood = Flood(g, 8, 100)
        time.sleep(0.15)
        if role == "all":
            g.kill9_all()
        else:
            g.kill9(role)
        flood.wait()
        if role == "all":
            g.start()
        g.wait_ready()
        rest = Flood(g, 8, 60).wait()
        assert rest.refused
        taken = flood.taken + rest.taken
        assert 300 - flood.maybe <= taken <= 300
        assert rows(g, ANN)["messages", "300/d"][ANN]["used"] == 300
        g.wait_idle(60)


# ---- the cases of one server -------------------------------------------------------------------

CASES = """\
plan home { limit messages 5/d 1000/month }
plan business { limit messages 24000/d over hold; limit recipients 30/h }
plan default { limit messages 3/1h 100/d }
plan two { limit messages 4/4s 6/d }
plan line { limit messages 2/2s over hold }
plan delay { limit messages 1/2s over delay }
plan late { limit messages 1/10m over delay }
plan heavy { limit octets 20K/d }
limit tenant acme messages 4/d
limit address messages 200/d
"""


@pytest.fixture(scope="module")
def server():
    names = [f"{kind}{i}" for kind in ("home", "business", "two", "line", "delay", "late", "heavy")
             for i in range(4)]
    people = accounts(**{name: name[:-1] for name in names}, plain="-", lost="no-such-plan",
                      acme1="free tenant=acme", acme2="free tenant=ACME", free1="free")
    with Running(CASES + "plan free { limit messages unlimited }\n", people,
                 limits="limits { message-size 1M; transactions 100000; connections 1000 per-ip 900 }") as g:
        yield g


def me(name):
    return f"{name}@example.net"


def test_two_plans_and_the_default(server):
    home, business, plain, lost = (login(server, me(n)) for n in ("home0", "business0", "plain", "lost"))
    assert [send(home, me("home0"))[0] for _ in range(7)] == [250] * 5 + [452] * 2
    assert [send(business, me("business0"))[0] for _ in range(7)] == [250] * 7
    assert [send(plain, me("plain"))[0] for _ in range(4)] == [250] * 3 + [452]
    # A plan that is not there is the plan default, and the log says so.
    assert [send(lost, me("lost"))[0] for _ in range(4)] == [250] * 3 + [452]
    line = server.log_lines("users.plan")[0]
    assert (line["account"], line["plan"], line["instead"]) == (me("lost"), "no-such-plan", "default")
    free = login(server, me("free1"))
    assert [send(free, me("free1"))[0] for _ in range(20)] == [250] * 20


def test_both_windows_hold(server):
    """4 in 4 s and 6 a day: the fifth waits for the first, the seventh for the second."""
    name = me("two0")
    client = login(server, name)
    began = time.time()
    assert [send(client, name)[0] for _ in range(4)] == [250] * 4
    code, text = send(client, name)
    assert code == 452 and "4/4s" in text and told_time(text) <= time.time() + 6
    time.sleep(max(0, told_time(text) - time.time()))
    assert time.time() >= began + 4
    codes = [send(client, name) for _ in range(4)]
    assert [c[0] for c in codes] == [250] * 2 + [452] * 2
    assert "6/d" in codes[2][1] and told_time(codes[2][1]) > time.time() + 86000


def test_recipients_are_refused_one_by_one(server):
    """With 30 left the 31st is told to come later, and the rest of the message goes."""
    name = me("business1")
    client = login(server, name)
    mail, codes = client.begin(name, [f"r{i}@far.example" for i in range(31)])
    assert mail[0] == 250 and [c[0] for c in codes] == [250] * 30 + [452]
    assert codes[30][1].startswith("4.7.1 The limit of 30/h recipients for your account")
    assert client.data(letter(name))[0] == 250
    code, text = send(client, name)
    assert code == 452 and told_time(text) > time.time() + 3500
    line = ports.wait_for(lambda: [x for x in server.log_lines("reject", reason="limit")
                                   if x.get("subject") == name and "until" in x], what="the refusal in the log")[-1]
    assert "30 recipients" in line["limit"] and line["until"] and "godwit.conf:" in line["rule"]


def test_what_is_left_when_some_are_gone(server):
    name = me("business2")
    client = login(server, name)
    assert send(client, name, [f"r{i}@far.example" for i in range(20)])[0] == 250
    mail, codes = client.begin(name, [f"r{i}@far.example" for i in range(15)])
    assert mail[0] == 250 and [c[0] for c in codes] == [250] * 10 + [452] * 5
    assert client.data(letter(name))[0] == 250


def test_octets_by_size_and_without(server):
    name = me("heavy0")
    client = login(server, name)
    # More than all of it: never.
    code, text = client.cmd(f"MAIL FROM:<{name}> SIZE=30000")
    assert (code, text[:5]) == (552, "5.3.4") and "never" in text
    assert client.begin(name, [TO])[0][0] == 250
    assert client.data(letter(name, size=30000))[0] == 552
    assert client.begin(name, [TO])[0][0] == 250
    assert client.data(letter(name, size=19000))[0] == 250
    code, text = client.cmd(f"MAIL FROM:<{name}> SIZE=5000")
    assert code == 452 and "20K/d octets" in text
    assert client.begin(name, [TO])[0][0] == 250
    code, text = client.data(letter(name, size=5000))
    assert code == 452 and told_time(text) > time.time() + 86000


def test_a_tenant_has_one_limit_for_all_its_accounts(server):
    one, two = login(server, me("acme1")), login(server, me("acme2"))
    codes = [send(c, n)[0] for _ in range(3) for c, n in ((one, me("acme1")), (two, me("acme2")))]
    assert codes == [250] * 4 + [452] * 2


def test_held_mail_flows_in_order(server):
    """Two in two seconds: eight are taken at once, and go in their order, as the windows open."""
    name = me("line0")
    client = login(server, name)
    before = time.time()
    for i in range(8):
        assert send(client, name, subject=f"number {i}")[0] == 250
    assert time.time() - before < 5  # in their windows it would be six
    held = [m for m in server.queue() if m["from"] == name]
    assert len(held) >= 5
    states = {r["state"] for m in held for r in m["recipients"]}
    assert "limited" in states, states
    row = rows(server, name)["messages", "2/2s"][name]
    assert row["full"] and row["held"] >= 5
    summary = server.api("/v1/queue")[1]
    assert summary["held_by_limits"] >= 4 and summary["held"] == summary["held_by_limits"], summary

    def got():
        return [(m.time, re.search(rb"Subject: number (\d)", m.data)[1]) for m in server.sink.messages
                if m.mail_from == name]

    ports.wait_for(lambda: len(got()) == 8, 20, what="all eight")
    order = [int(n) for _, n in got()]
    # the two of one window go at the same time, by two senders
    assert [sorted(order[i:i + 2]) for i in range(0, 8, 2)] == [[0, 1], [2, 3], [4, 5], [6, 7]], order
    times = [t for t, _ in got()]
    # Never more than two in any two seconds; a delivery may come late, and then the next is near.
    assert times[6] - times[0] > 4, times
    assert all(times[i + 2] - times[i] > 0.5 for i in range(6)), times


def test_delay_keeps_the_client_waiting(server):
    name = me("delay0")
    client = login(server, name)
    before = time.time()
    assert send(client, name)[0] == 250
    assert client.cmd(f"MAIL FROM:<{name}>")[0] == 250
    assert 1.5 < time.time() - before < 15
    assert client.cmd(f"RCPT TO:<{TO}>")[0] == 250
    assert client.data(letter(name))[0] == 250


def test_too_long_a_delay_is_a_refusal(server):
    name = me("late0")
    client = login(server, name)
    assert send(client, name)[0] == 250
    before = time.time()
    code, text = send(client, name)
    assert code == 452 and told_time(text) > time.time() + 500 and time.time() - before < 8


def test_who_hangs_up_while_it_waits_leaves_nothing(server):
    name = me("delay1")
    client = login(server, name)
    assert send(client, name)[0] == 250
    client.send(f"MAIL FROM:<{name}>\r\nRCPT TO:<{TO}>\r\n")
    time.sleep(0.2)
    client.sock.close()
    other = login(server, name)
    assert send(other, name)[0] == 250
    assert send(other, name)[0] == 250


def test_mail_and_rset_charge_nothing(server):
    name = me("home1")
    client = login(server, name)
    turns = 10000 if LONG else 2000
    for _ in range(turns // 100):
        client.send(f"MAIL FROM:<{name}>\r\nRCPT TO:<{TO}>\r\nRSET\r\n" * 100)
        assert [client.reply()[0] for _ in range(300)] == [250] * 300
    assert rows(server, name)["messages", "5/d"][name]["used"] == 0
    assert [send(client, name)[0] for _ in range(6)] == [250] * 5 + [452]


def test_strangers_learn_no_numbers(server):
    """Who did not log in hears that there is a limit and until when, not where it stands."""
    address = "127.9.9.9"
    client = Client(server.port, source=address)
    client.hello()
    codes = []
    for _ in range(201):
        codes.append(client.message("x@far.example", ["ann@example.net"], simple_message("x")))
    assert [c[0] for c in codes] == [250] * 200 + [452]
    text = codes[-1][1]
    assert told_time(text) > time.time() + 86000
    assert "your address" in text and "200" not in text and "conf" not in text


def test_limits_of_accounts_do_not_hit_what_comes_in(server):
    """U7: mail for an account, bounces, and reports to it are not its sending."""
    name = me("home2")
    client = login(server, name)
    assert [send(client, name)[0] for _ in range(6)] == [250] * 5 + [452]
    outside = Client(server.port, source="127.9.9.10")
    outside.hello()
    for i in range(8):
        assert outside.message("x@far.example", [name], simple_message(f"in {i}"))[0] == 250
    for i in range(8):
        assert outside.message("", [name], simple_message(f"bounce {i}"))[0] == 250
    assert rows(server, name)["messages", "5/d"][name]["used"] == 5
    folder = server.maildir / "example.net" / "home2" / "new"
    ports.wait_for(lambda: folder.exists() and len(list(folder.iterdir())) == 16, 20)


def test_reports_are_never_counted(server):
    name = me("home3")
    client = login(server, name)
    server.sink.reply_to("gone@far.example", "550 5.1.1 no such user")
    assert [send(client, name, ["gone@far.example"])[0] for _ in range(5)] == [250] * 5
    folder = server.maildir / "example.net" / "home3" / "new"
    ports.wait_for(lambda: folder.exists() and len(list(folder.iterdir())) == 5, 20, what="reports")
    assert rows(server, name)["messages", "5/d"][name]["used"] == 5


def test_what_operators_see(server):
    name = me("late1")
    client = login(server, name)
    assert send(client, name)[0] == 250
    assert send(client, name)[0] == 452
    done = server.run("limits", name)
    assert done.returncode == 1
    assert re.search(r"plan late messages 1/10m over delay \(\S*godwit.conf:\d+\)", done.stdout)
    assert re.search(rf"{name}\s+1 of 1  FULL, opens \d{{4}}-\d\d-\d\d .* \(in \d+m", done.stdout)
    assert server.run("limits", me("free1")).returncode == 0
    everything = server.cli("limits")
    for word in ("plan home messages 5/d", "plan home messages 1000/month", "tenant acme messages 4/d"):
        assert word in everything, everything
    assert server.api("/v1/limits?q=" + name)[0] == 200
    assert server.api("/v1/limits?cursor=x")[0] == 400
    assert re.search(r"^  limits +\d+ .*at (a|their) limit", server.cli("status"), re.M)
    hit = server.log_lines("limit.hit", subject=name)
    assert len(hit) == 1 and "godwit.conf:" in hit[0]["rule"]


# ---- over a restart ----------------------------------------------------------------------------


def test_another_n_keeps_what_was_counted():
    with Running("plan home { limit messages 10/d }") as g:
        client = login(g, ANN)
        assert [send(client)[0] for _ in range(8)] == [250] * 8
        client.sock.close()
        text = g.config_path.read_text()
        g.stop()
        g.config_path.write_text(text.replace("10/d", "9/d"))
        g.start()
        client = login(g, ANN)
        assert [send(client)[0] for _ in range(2)] == [250, 452]
        g.stop()
        g.config_path.write_text(text.replace("10/d", "12/d"))
        g.start()
        client = login(g, ANN)
        assert [send(client)[0] for _ in range(4)] == [250] * 3 + [452]


def test_held_mail_over_a_restart():
    """It waits in its order, through kill -9, and goes when there is room."""
    with Running("plan home { limit messages 2/3s over hold }") as g:
        if not godwit_peer.ONE_PROCESS:
            g.expected_alarms |= {"role.died"}
        client = login(g, ANN)
        for i in range(6):
            assert send(client, subject=f"number {i}")[0] == 250
        g.kill9_all()
        g.start()
        ports.wait_for(lambda: len(g.sink.messages) >= 6, 25, what="all six")
        order = [int(re.search(rb"Subject: number (\d)", m.data)[1]) for m in g.sink.messages]
        assert sorted(set(order)) == list(range(6))
        first = [order.index(i) for i in range(6)]
        assert max(first[2:4]) < min(first[4:])  # the two of one window go at the same time


# ---- attacks -----------------------------------------------------------------------------------


def test_a_crowd_of_addresses_does_not_eat_memory():
    """Every address of a network sends: the receivers' and the queue's tables stay bounded."""
    with Running("limit address messages 2/d", trust="127.0.0.0/8") as g:
        def send_from(address):
            client = Client(g.port, source=address)
            client.hello()
            return [client.message("x@y.example", ["ann@example.net"], simple_message("x"))[0]
                    for _ in range(3)]

        many = 1000 if LONG else 150
        for i in range(many):
            assert send_from(f"127.10.{i // 250}.{i % 250 + 1}") == [250, 250, 452]
        answer = g.api("/v1/limits?limit=5")[1]["limits"][0]
        assert (answer["subjects"], answer["full"], len(answer["nearest"])) == (many, many, 5)
