"""Limits over reloads: not one more and not one less than n, whatever changes in the midst of it."""

import threading
import time

import pytest

from conftest import needs_processes
from peers import ports
from test_limit_windows import ANN, BOB, Flood, Running, accounts, login, rows, send


def change(g, old, new):
    text = g.config_path.read_text()
    assert old in text
    g.config_path.write_text(text.replace(old, new))
    done = g.run("reload")
    assert done.returncode == 0, done.stdout + done.stderr


def codes(client, n, sender=ANN):
    return [send(client, sender)[0] for _ in range(n)]


def used(g, rate, who=ANN):
    return rows(g, who)["messages", rate][who]["used"]


@needs_processes
def test_exactly_n_over_reloads():
    """Eight sessions over two receivers, and others come; another reload every moment."""
    with Running("plan home { limit messages 300/d }\n",
                 limits="limits { connections 1000 per-ip 500; bad-commands 1000 }") as g:
        flood, stop, reloads = Flood(g, 8, 50, pause=0.05), threading.Event(), [0]

        def reload():
            while not stop.is_set():
                reloads[0] += 1
                change(g, "plan home {", f"domain d{reloads[0]}.test {{ deliver reject \"550 5.1.1 no\" }}\nplan home {{")

        thread = threading.Thread(target=reload, daemon=True)
        thread.start()
        flood.wait()
        stop.set()
        thread.join(20)
        assert flood.taken == 300 and flood.maybe == 0, (flood.taken, flood.maybe, reloads)
        assert len(flood.refused) == 100 and reloads[0] >= 3
        assert used(g, "300/d") == 300
        g.wait_idle(60)


@needs_processes
def test_raised_and_lowered():
    with Running("plan home { limit messages 10/d }\n") as g:
        g.expected_alarms |= {"role.died"}
        old = login(g, ANN)
        assert codes(old, 12) == [250] * 10 + [452] * 2
        change(g, "messages 10/d", "messages 14/d")
        # Who is connected since then is counted by what is in force.
        assert codes(old, 2) == [250] * 2
        assert codes(login(g, ANN), 4) == [250] * 2 + [452] * 2
        change(g, "messages 14/d", "messages 4/d")
        assert codes(old, 1) == codes(login(g, ANN), 1) == [452]
        assert used(g, "4/d") == 14
        change(g, "messages 4/d", "messages 16/d")
        g.kill9("queue")
        ports.wait_for(lambda: g.roles().get("queue"), 10)
        g.wait_ready()
        assert codes(login(g, ANN), 3) == [250] * 2 + [452]
        # Another window of the same counts from now on; the one that was there goes on.
        change(g, "messages 16/d", "messages 18/d 1/2d")
        assert codes(login(g, ANN), 3) == [250, 452, 452]
        assert (used(g, "18/d"), used(g, "1/2d")) == (17, 1)
        g.wait_idle(60)


@needs_processes
def test_removed_and_put_back():
    with Running("plan home { limit messages 10/d }\n") as g:
        old = login(g, ANN)
        assert codes(old, 6) == [250] * 6
        change(g, "limit messages 10/d", "")
        assert codes(old, 6) == [250] * 6
        change(g, "plan home {  }", "plan home { limit messages 10/d }")
        # What nobody wants to know any more is forgotten: it begins anew.
        assert used(g, "10/d") == 0
        assert codes(old, 6) + codes(login(g, ANN), 6) == [250] * 10 + [452] * 2
        g.wait_idle(60)


@needs_processes
def test_another_plan():
    people = accounts(ann="home", bob="business")
    with Running("plan home { limit messages 3/d }\nplan business { limit messages 5/d }\n", people) as g:
        ann = login(g, ANN)
        assert codes(ann, 4) == [250] * 3 + [452]
        g.users_path.write_text(accounts(ann="business", bob="home"))
        g.wait_log("users.loaded", count=2)
        time.sleep(0.1)
        assert codes(ann, 3) == [250] * 2 + [452]
        assert codes(login(g, BOB), 4, BOB) == [250] * 3 + [452]
        # Another file of users, by a reload.
        more = g.folder / "more-users"
        more.write_text(accounts(ann="wide", bob="home"))
        more.chmod(0o600)
        change(g, str(g.users_path), str(more))
        assert codes(ann, 1) == [250]  # a plan that is not there, and no default
        change(g, "plan business", "plan wide { limit messages 7/d }\nplan business")
        assert codes(ann, 3).count(250) <= 1
        g.wait_idle(60)


@needs_processes
def test_what_is_held():
    with Running("plan home { limit messages 2/d over hold }\n") as g:
        ann = login(g, ANN)
        assert [send(ann, subject=f"number {i}")[0] for i in range(8)] == [250] * 8
        ports.wait_for(lambda: len(g.sink.accepted()) == 2, what="what may go")
        change(g, "messages 2/d", "messages 4/d")
        ports.wait_for(lambda: len(g.sink.accepted()) == 4, what="two more")
        change(g, "messages 4/d", "messages 3/d")
        assert send(ann, subject="number 8")[0] == 250
        change(g, "over hold", "over refuse")
        # What was taken is kept; what comes now is not taken.
        assert codes(ann, 1) == [452]
        time.sleep(0.3)
        assert len(g.sink.accepted()) == 4
        change(g, "limit messages 3/d over refuse", "")
        g.wait_idle(20)
        # All at once, over many connections.
        subjects = [m.data.partition(b"Subject: ")[2].splitlines()[0] for m in g.sink.accepted()]
        assert sorted(subjects) == [b"number %d" % i for i in range(9)]
