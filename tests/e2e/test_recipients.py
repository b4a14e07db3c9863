"""Recipients by tables: who is known at RCPT, and what becomes of mail that a rule holds, drops or
sends on. The tables change while the server runs."""

import os
import time

import pytest

from conftest import needs_processes
from peers import godwit as godwit_peer
from peers.client import Client, simple_message
from peers.ports import wait_for

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
domain    example.net {{ deliver maildir @MAIL@/%u; recipients file @DIR@/recipients
                         aliases @DIR@/aliases }}
domain    catch.test {{ deliver maildir @MAIL@/catch-%u; recipients file @DIR@/few
                        catch-all lost@catch.test; subaddress - }}
route to domain far.test via relay 127.0.0.1:{sink}
limits    {{ connections 1000 per-ip 500 }}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""

RECIPIENTS = """\
# who is known
alice
bob       reject "550 5.1.6 moved to bob@far.test"
trap      drop
legal     hold
team-*    to alice far@far.test
user??    # user01 and so on
"""

ALIASES = """\
staff: alice, carol, far@far.test,
\tstaff2
staff2: ALICE, legal, trap, gone
root: alice
"""


@pytest.fixture
def server(make_godwit, sink):
    run_as = "run-as nobody" if os.geteuid() == 0 and not godwit_peer.has_user("godwit") else ""
    g = make_godwit(CONFIG.format(run_as=run_as, sink=sink.port), start=False)
    put(g, "recipients", RECIPIENTS)
    put(g, "aliases", ALIASES)
    put(g, "few", "in\n")
    g.start()
    return g


def put(g, name, text):
    """As an editor does it: another file in its place."""
    path = g.folder / name
    fresh = g.folder / (name + ".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(path)


def rcpt(g, *addresses):
    """The replies to RCPT, in one transaction that is given up."""
    with Client(g.port) as c:
        c.hello()
        assert c.cmd("MAIL FROM:<a@sender.test>")[0] == 250
        return [c.cmd(f"RCPT TO:<{address}>") for address in addresses]


def send(g, *addresses):
    """The id of a message to them all."""
    with Client(g.port) as c:
        c.hello()
        code, text = c.message("a@sender.test", list(addresses), simple_message())
        assert code == 250, (code, text)
        return text.split()[-1]


def boxes(g):
    """How many messages each mailbox has."""
    found = {}
    for path in g.mail():
        found[path.parts[-3]] = found.get(path.parts[-3], 0) + 1
    return found


def states(g, query):
    return [(r["to"], r["state"]) for row in g.queue(query) for r in row["recipients"]]


def test_unknown_is_refused_and_nobody_is_told(server):
    code, text = rcpt(server, "Nobody@example.net")[0]
    assert code == 550 and "5.1.1 <Nobody@example.net> is not known here" in text
    line = server.wait_log("reject", reason="unknown_user")[0]
    assert line["rule"].endswith("godwit.conf:7") and line["to"] == "Nobody@example.net"
    codes = [code for code, _ in rcpt(server, "alice@example.net", "ALICE+x@example.net",
                                      "user07@example.net", "user7@example.net",
                                      "postmaster@example.net", "bob@example.net", "x@far.test",
                                      "postmaster")]
    assert codes == [250, 250, 250, 550, 250, 550, 550, 250]
    assert rcpt(server, "bob@example.net")[0][1].endswith("5.1.6 moved to bob@far.test")
    assert server.queued() == 0 and server.mail() == []


def test_three_of_a_hundred_are_bad(server):
    good = [f"user{n:02d}@example.net" for n in range(97)]
    addresses = good[:40] + ["nobody@example.net"] + good[40:70] + ["bob@example.net",
                                                                     "else@sender.test"] + good[70:]
    with Client(server.port) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@sender.test>")
        codes = [c.cmd(f"RCPT TO:<{address}>")[0] for address in addresses]
        assert codes.count(250) == 97 and codes.count(550) == 3
        assert c.data(simple_message())[0] == 250
    server.wait_mail(97)
    server.wait_idle()
    assert boxes(server) == {f"user{n:02d}": 1 for n in range(97)}


def test_dropped_is_answered_and_gone(server):
    number = send(server, "trap@example.net")
    line = server.wait_log("dropped", id=number)[0]
    assert line["to"] == "trap@example.net" and line["rule"].endswith("/recipients:4")
    number = send(server, "trap@example.net", "alice@example.net", "TRAP+x@example.net")
    server.wait_mail(1)
    assert len(server.wait_log("dropped", id=number, count=2)) == 2
    server.wait_idle()
    assert boxes(server) == {"alice": 1}
    assert "godwit_dropped_total 3" in server.api("/metrics")[1]
    # Large content is not kept either, and what is wrong with it is still said.
    with Client(server.port) as c:
        c.hello()
        big = "Subject: big\r\n\r\n" + ("x" * 998 + "\r\n") * 3000
        assert c.message("a@sender.test", ["trap@example.net"], big)[0] == 250
        loop = "Received: by x\r\n" * 120 + "Subject: loop\r\n\r\nx\r\n"
        assert c.message("a@sender.test", ["trap@example.net"], loop)[0] == 554
    assert server.queued() == 0 and boxes(server) == {"alice": 1}


def test_held_waits_for_its_operator(server):
    number = send(server, "legal@example.net", "alice@example.net")
    server.wait_mail(1)
    assert ("legal@example.net", "held") in states(server, "state:held")
    assert "Held by the rule at" in server.cli("queue", "list", "state:held")
    time.sleep(1)
    assert boxes(server) == {"alice": 1}
    server.cli("queue", "release", number)
    server.wait_mail(2)
    server.wait_idle()
    assert boxes(server) == {"alice": 1, "legal": 1}


@needs_processes
def test_held_outlives_kills(server):
    server.expected_alarms |= {"role.died", "role.crashed"}
    numbers = [send(server, "legal@example.net") for _ in range(5)]
    server.kill9("queue")
    server.wait_log("spool.recovered", count=2)
    numbers.append(send(server, "legal@example.net"))
    server.kill9_all()
    server.start()
    wait_for(lambda: len(states(server, "state:held")) == 6, 10)
    time.sleep(1)
    assert boxes(server) == {}
    for number in numbers[:3]:
        server.cli("queue", "release", number)
    server.cli("queue", "drop", "--yes", numbers[3])
    server.wait_mail(3)
    server.kill9("queue")
    wait_for(lambda: len(states(server, "state:held")) == 2, 10)
    assert boxes(server) == {"legal": 3}


def test_alias_stands_for_several(server, sink):
    number = send(server, "Staff@example.net", "alice@example.net")
    server.wait_mail(1)
    assert sink.wait(1)[0].rcpts == ["far@far.test"]
    wait_for(lambda: ("legal@example.net", "held") in states(server, "state:held"), 10)
    server.wait_log("dropped", id=number)
    # Two of its names are nobody's, which is said and does not keep the mail from the others.
    gone = {line["to"] for line in server.wait_log("reject", stage="alias", count=2)}
    assert gone == {"carol@example.net", "gone@example.net"}
    time.sleep(0.5)
    assert boxes(server) == {"alice": 1}  # three times named, one copy
    server.cli("queue", "drop", "--yes", number)
    server.wait_idle()


def test_a_bounce_names_what_was_written(server, sink):
    sink.reply_to("far@far.test", "550 5.1.1 not me")
    with Client(server.port) as c:
        c.hello()
        assert c.message("alice@example.net", ["team-x@example.net"], simple_message())[0] == 250
    server.wait_mail(2)
    server.wait_idle()
    report = [p.read_text() for p in server.mail() if "report-type=delivery-status" in p.read_text()]
    assert len(report) == 1
    assert "Original-Recipient: rfc822;team-x@example.net" in report[0]
    assert "Final-Recipient: rfc822; far@far.test" in report[0].replace("rfc822;far", "rfc822; far")


def test_catch_all_and_subaddress(server):
    send(server, "who.ever@catch.test", "IN-box@catch.test", "lost@catch.test")
    server.wait_mail(2)
    send(server, "alice+shop@example.net")
    server.wait_mail(3)
    server.wait_idle()
    assert boxes(server) == {"catch-lost": 1, "catch-in": 1, "alice": 1}
    text = next(p.read_text() for p in server.mail() if p.parts[-3] == "catch-in")
    assert "Delivered-To: in-box@catch.test" in text


def test_tables_change_while_it_runs(server):
    assert rcpt(server, "dora@example.net")[0][0] == 550
    put(server, "recipients", RECIPIENTS + "dora\n")
    wait_for(lambda: rcpt(server, "dora@example.net")[0][0] == 250, 15)
    # A mistake in one of the two files: both stay as they were.
    put(server, "aliases", ALIASES + "eve: |/bin/sh\n")
    line = server.wait_log("recipients.refused")[0]
    assert line["file"].endswith("/aliases") and line["line"] == "5" and line["column"] == "6"
    assert [c for c, _ in rcpt(server, "dora@example.net", "root@example.net",
                               "eve@example.net")] == [250, 250, 550]
    put(server, "aliases", "eve: dora\n")
    wait_for(lambda: [c for c, _ in rcpt(server, "eve@example.net", "root@example.net")] ==
             [250, 550], 5)
    # It goes away: what it held stays.
    (server.folder / "aliases").unlink()
    server.wait_log("file.lost")
    assert rcpt(server, "eve@example.net")[0][0] == 250


def test_check_and_start_judge_the_files(server):
    config = str(server.config_path)
    assert server.run("config", "check", config).returncode == 0
    put(server, "few", "in\nout of range\n")
    done = server.run("config", "check", config)
    assert done.returncode == 1
    assert f"{server.folder}/few:2:5: error: not usable: 'of' is not one of" in done.stderr
    server.stop()
    started = server.run("serve", "--check-only")
    assert started.returncode == 1 and "/few:2:5: error" in started.stderr
    (server.folder / "few").unlink()
    done = server.run("config", "check", config)
    assert "/few cannot be used: No such file" in done.stderr


def test_expansion_cannot_be_used_to_flood(server):
    """A hundred names that stand for hundreds each: taken within the ceiling, or refused whole."""
    names = "".join(f"big{n}: " + ", ".join(f"b{n}.{k}@far.test" for k in range(900)) + "\n"
                    for n in range(80))
    put(server, "aliases", names)
    wait_for(lambda: rcpt(server, "big0@example.net")[0][0] == 250, 6)
    replies = rcpt(server, *[f"big{n}@example.net" for n in range(80)])
    codes = [code for code, _ in replies]
    assert set(codes) == {250, 452} and codes.index(452) > 5
    assert "4.5.3" in replies[codes.index(452)][1]
    # Those that fit are still there.
    assert codes[codes.index(452):].count(250) == 0
    assert rcpt(server, "alice@example.net")[0][0] == 250
