"""What may have been delivered: the link breaks behind the final dot, or whoever waits for the answer
is killed. Normal mail comes again and is counted; at-most-once mail never comes twice."""

import collections
import random
import threading
import time

import pytest

from conftest import LONG, needs_processes
from peers import ports
from peers.client import Client
from peers.sink import Sink

CLASS = "X-Godwit-Class: at-most-once\r\n"
SHAPE = "shape once { domain once.test; at-most-once yes; retry 1s; expire 2m }"


def submit(g, to, head="", sender="home@example.net"):
    """The final reply."""
    with Client(g.port) as c:
        c.hello()
        c.begin(sender, to if isinstance(to, list) else [to])
        return c.data(f"Subject: once\r\n{head}\r\ntext\r\n")


def today(g):
    """The counts of the last two days (it may be midnight)."""
    total = collections.Counter()
    for day in g.status()["days"][:2]:
        total.update({k: v for k, v in day.items() if k != "day"})
    return total


def reports(g):
    return [p.read_text() for p in g.mail() if "Auto-Submitted: auto-replied" in p.read_text()]


def wait_report(g, count=1, timeout=10):
    return ports.wait_for(lambda: (reports(g) if len(reports(g)) >= count else None), timeout,
                          what=f"{count} reports")


def dots(sink):
    return collections.Counter(rcpt for _, rcpts in list(sink.dots) for rcpt in rcpts)


# ---- a lost reply ---------------------------------------------------------------------------

def test_normal_mail_comes_again(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="3s")
    sink.close_after_dot = 1
    assert submit(g, "bob@far.test")[0] == 250
    row = ports.wait_for(lambda: [r for m in g.queue() for r in m["recipients"]
                                  if r["state"] == "deferred"], 5, what="a deferral")[0]
    assert row["reply"].startswith("May have been delivered. No answer came")
    assert row["esc"] == "4.4.2" and "code" not in row
    assert today(g) == {"delivered": 0, "maybe": 1, "given_up": 0, "sent_again": 0, "lost": 0}
    sink.wait(1)
    g.wait_idle()
    assert dots(sink) == {"bob@far.test": 2}
    assert today(g) == {"delivered": 1, "maybe": 1, "given_up": 0, "sent_again": 1, "lost": 0}
    assert not reports(g)
    assert "today     1 delivered, 1 maybe (tried again), 1 sent again" in g.cli("status")


@pytest.mark.parametrize("head, to", [(CLASS, "bob@far.test"), ("", "bob@once.test")])
def test_at_most_once_goes_back(make_godwit, sink, head, to):
    g = make_godwit(relay=("127.0.0.1", sink.port), extra=SHAPE)
    sink.close_after_dot = 1
    assert submit(g, [to, "refused@" + to.partition("@")[2]], head)[0] == 250
    text = wait_report(g)[0]
    assert f"<{to}>" in text
    assert "Subject: Your message may not have been delivered" in text
    assert "Status: 5.4.2" in text and "is not sent again" in text.replace("\n      ", " ")
    time.sleep(2.5)
    assert dots(sink)[to] == 1
    assert today(g)["given_up"] == 2 and today(g)["maybe"] == 0


def test_lmtp_without_an_answer(make_godwit):
    with Sink(lmtp=True) as sink:
        g = make_godwit(lmtp=("127.0.0.1", sink.port), domains=("far.test",),
                        relay=("127.0.0.1", 9))
        sink.close_after_dot = 1
        assert submit(g, ["a@far.test", "b@far.test"], CLASS, sender="")[0] == 250
        ports.wait_for(lambda: today(g)["given_up"] == 2, 10, what="both given up")
        g.wait_idle()
        assert dots(sink) == {"a@far.test": 1, "b@far.test": 1}


def test_a_definite_answer_is_no_maybe(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    sink.reply_at("dot", "451 4.3.0 not now", times=1)
    assert submit(g, "bob@far.test", CLASS)[0] == 250
    sink.wait(1)
    g.wait_idle()
    assert dots(sink) == {"bob@far.test": 2}
    assert today(g) == {"delivered": 1, "maybe": 0, "given_up": 0, "sent_again": 0, "lost": 0}


def test_maybe_is_shown(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    sink.dot_delay = 3
    assert submit(g, "bob@far.test", CLASS)[0] == 250
    ports.wait_for(lambda: sink.dots, 5, what="the dot")
    [message] = g.queue("state:maybe")
    assert message["recipients"][0]["since"].startswith("20")
    assert " maybe for " in g.cli("queue", "show", message["id"])
    g.wait_idle()
    assert today(g)["delivered"] == 1 and today(g)["given_up"] == 0


# ---- who chooses ----------------------------------------------------------------------------

def test_the_class_is_for_trusted_clients(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    reply = submit(g, "bob@far.test", "X-Godwit-Class: twice\r\n")
    assert reply[0] == 550 and reply[1].startswith("5.6.0") and "at-most-once" in reply[1]
    assert submit(g, "bob@far.test", CLASS + CLASS)[0] == 550
    assert submit(g, "bob@far.test", "x-godwit-class:  Normal \r\n")[0] == 250
    assert g.run("send", "--server", f"127.0.0.1:{g.port}", "--class", "at-most-once",
                 "bob@far.test").returncode == 0
    assert g.run("send", "--class", "never", "bob@far.test").returncode not in (0, 1, 2)
    arrived = sink.wait(2)  # in either order: two senders take them
    assert len(arrived) == 2
    assert [b"X-Godwit-Class: at-most-once\r\n" in message.data for message in arrived].count(True) == 1
    [refused] = g.log_lines("reject", reason="class_unknown")
    assert refused["code"] == "550"


def test_strangers_have_no_class(make_godwit):
    with Sink(lmtp=True) as sink:
        g = make_godwit(lmtp=("127.0.0.1", sink.port), trust=None)
        assert submit(g, "a@example.net", "X-Godwit-Class: nonsense\r\n")[0] == 250
        sink.wait(1)
        sink.close_after_dot = 1
        assert submit(g, "b@example.net", CLASS)[0] == 250
        sink.wait(2)  # it is normal mail: it comes again
        assert dots(sink) == {"a@example.net": 1, "b@example.net": 2}


# ---- counts that last -----------------------------------------------------------------------

@needs_processes
def test_counts_survive(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    g.expected_alarms |= {"role.died", "error"}
    sink.close_after_dot = 3
    for n in range(20):
        assert submit(g, f"u{n}@far.test", CLASS if n % 2 else "")[0] == 250
        if n < 3:
            ports.wait_for(lambda want=n + 1: len(sink.dots) >= want, 5, what="the dot")
    sink.wait(19)
    wait_report(g)
    g.wait_idle()
    before = today(g)
    assert before["delivered"] == 20  # and the report
    assert (before["maybe"], before["sent_again"], before["given_up"]) == (2, 2, 1)
    time.sleep(0.2)
    g.kill9_all()  # the record of the counts is not written yet: the changes are added
    g.start()
    assert today(g) == before
    g.kill9("queue")
    g.wait_ready(20)
    ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="the queue")
    assert today(g) == before
    g.restart()
    assert today(g) == before


# ---- kill -9 around the dot -----------------------------------------------------------------

class Load:
    """Sends to u0@..., u1@..., every other one at most once; what was answered with 250."""

    def __init__(self, g):
        self.g, self.acked, self.n = g, [], 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(4)]
        self.lock = threading.Lock()

    def run(self):
        while not self.over.is_set():
            with self.lock:
                self.n += 1
                number = self.n
            to = f"u{number}@{'far.test' if number % 2 else 'once.test'}"
            try:
                if submit(self.g, to)[0] == 250:
                    self.acked.append(to)
            except Exception:  # it was killed, or is not there yet
                time.sleep(0.1)
            time.sleep(0.02)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join(20)


@needs_processes
@pytest.mark.parametrize("victim", ["sender", "queue", "all"])
def test_at_most_once_over_kills(make_godwit, sink, victim):
    rng = random.Random(victim)
    g = make_godwit(relay=("127.0.0.1", sink.port), extra=SHAPE, expire="10m")
    g.expected_alarms |= {"role.died", "error"}
    sink.dot_delay = 0.05
    with Load(g) as load:
        for _ in range(12 if LONG else 4):
            time.sleep(rng.uniform(0.4, 1.2))
            sink.close_after_dot = rng.choice((0, 1, 2))
            if victim == "all":
                g.kill9_all()
                g.start(wait=False)
            else:
                g.kill9(victim)
            g.wait_ready(20)
    sink.heal()
    ports.wait_for(lambda: g.api("/v1/queue")[0] == 200, 10, what="the queue")
    g.wait_idle(60)
    came, counts = dots(sink), today(g)
    told = "".join(reports(g))
    once = [to for to in load.acked if to.endswith("once.test")]
    taken = {rcpt for m in sink.accepted() for rcpt in m.rcpts}
    twice = sum(n - 1 for to, n in came.items() if n > 1)
    print(f"\n{len(load.acked)} accepted, {twice} normal ones twice, counts {dict(counts)}")
    assert not [to for to, n in came.items() if n > 1 and to.endswith("once.test")]
    assert not [to for to in load.acked if to not in taken and f"<{to}>" not in told]
    assert not [to for to in load.acked if to.endswith("far.test") and to not in taken]
    given_up = [to for to in once if f"<{to}>" in told]
    assert len(given_up) <= counts["given_up"] <= len(given_up) + load.n - len(load.acked)
    assert len(once) >= 40, "too little load to prove anything"
