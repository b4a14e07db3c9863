"""The history: the story of every message, once and with its right end, whatever dies, is stopped,
is damaged or is full. Mail goes on in all of it."""

import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import needs_processes, needs_root
from peers.client import Client, Closed, simple_message
from peers.ports import wait_for

RECIPIENTS = """\
# who     what happens
legal     hold
alice
"""


def send(g, rcpts, sender="a@sender.test", size=200):
    with Client(g.port) as client:
        client.hello()
        code, text = client.message(sender, rcpts, simple_message(body="x" * size))
        assert code == 250, text
        return text.split()[-1]


def story(g, ident):
    """The story as the API tells it; None: not known (yet)."""
    status, answer = g.api(f"/v1/messages/{ident}/events")
    return answer if status == 200 and "id" in answer else None


def ended(g, ident, timeout=15):
    return wait_for(lambda: (s := story(g, ident)) and s["final"] and s, timeout,
                    what=f"the end of {ident}")


def words(s, rcpt=0):
    return [e["event"] for e in s["events"] if e["rcpt"] == rcpt]


def metric(g, name):
    text = g.api("/metrics")[1]
    return int(next(line.split()[1] for line in text.splitlines()
                    if line.startswith(f"godwit_{name} ")))


def directory(g):
    return pathlib.Path(g.folder) / "spool" / "history"


def rows(g, query):
    """Of the database of a stopped server."""
    with contextlib.closing(sqlite3.connect(directory(g) / "history.db")) as db:
        return db.execute(query).fetchall()


# ---- stories ------------------------------------------------------------------------------------

def test_delivered(relay, sink):
    ident = send(relay, ["bob@remote.test"])
    s = ended(relay, ident)
    assert s["from"] == "a@sender.test" and s["client_ip"] == "127.0.0.1"
    assert s["listener"] == "mx" and s["recipients"][0]["state"] == "delivered"
    (event,) = s["events"]
    assert event["attempt"] == 1 and event["code"] == 250 and str(sink.port) in event["host"]
    text = relay.cli("trace", ident)
    for word in ("bob@remote.test", "delivered", "attempt 1", "250", "accepted", "127.0.0.1"):
        assert word in text
    assert "next" not in text
    assert relay.run("trace", ident[:10].lower(), "--follow").returncode == 0


def test_deferred_then_delivered(relay, sink):
    sink.reply_to("bob@remote.test", "451 4.7.1 not now", times=2)
    ident = send(relay, ["bob@remote.test"])
    s = ended(relay, ident)
    assert words(s) == ["deferred", "deferred", "delivered"]
    assert [e["attempt"] for e in s["events"]] == [1, 2, 3]
    assert s["events"][0]["reply"] == "not now" and s["events"][0]["due"] > s["events"][0]["time"]
    times = [e["time"] for e in s["events"]]
    assert times == sorted(times)


def test_what_comes_next(make_godwit, sink):
    sink.reply_at("rcpt", "451 4.3.0 come back later")
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1h", expire="4d")
    ident = send(g, ["bob@remote.test"])
    g.wait_log("deferred")
    s = wait_for(lambda: (s := story(g, ident)) and s["events"] and s, 5)
    assert not s["final"] and s["queue"]["recipients"][0]["state"] == "deferred"
    text = g.cli("trace", ident)
    assert "next" in text and "attempt 2 in" in text and "come back later" in text
    assert g.run("trace", ident, json_output=True).returncode == 0


def test_bounced_with_its_report(make_godwit, sink):
    sink.reply_to("bob@remote.test", "550 5.1.1 no such user")
    g = make_godwit(relay=("127.0.0.1", sink.port))
    ident = send(g, ["bob@remote.test"], sender="me@example.net")
    s = ended(g, ident)
    assert words(s) == ["bounced"] and s["events"][0]["code"] == 550
    report = ended(g, s["events"][0]["report"])
    assert report["from"] == "" and report["origin"] == "system"
    assert report["recipients"] == [{"to": "me@example.net", "state": "delivered", "attempts": 1}]
    assert s["events"][0]["report"] in g.cli("trace", ident)
    assert g.run("trace", ident, "--follow").returncode == 2


def test_several_recipients(relay, sink):
    sink.reply_to("b@remote.test", "451 4.3.0 later", times=1)
    sink.reply_to("c@remote.test", "550 5.1.1 never")
    ident = send(relay, ["a@remote.test", "b@remote.test", "c@remote.test", "d@example.net"])
    s = ended(relay, ident)
    assert [words(s, i) for i in range(4)] == [
        ["delivered"], ["deferred", "delivered"], ["bounced"], ["delivered"]]
    text = relay.cli("trace", ident)
    assert text.index("a@remote.test") < text.index("c@remote.test") < text.index("Saved")


def test_held_and_released(make_godwit):
    g = make_godwit(start=False)
    path = g.folder / "recipients"
    path.write_text(RECIPIENTS)
    path.chmod(0o644)
    text = g.config_path.read_text().replace(
        "domain example.net {", f"domain example.net {{ recipients file {path};")
    g.config_path.write_text(text)
    g.start()
    ident = send(g, ["legal@example.net"])
    s = wait_for(lambda: (s := story(g, ident)) and s["events"] and s, 5)
    assert words(s) == ["held"] and "rule" in s["events"][0]["reply"]
    assert "release" in g.cli("trace", ident)
    wait_for(lambda: g.run("queue", "release", ident).returncode == 0, 10)
    s = ended(g, ident)
    assert words(s) == ["held", "released", "delivered"]


def test_dropped_by_an_operator(make_godwit, sink):
    sink.reply_at("rcpt", "451 4.3.0 later")
    g = make_godwit(relay=("127.0.0.1", sink.port), retry="1h")
    ident = send(g, ["bob@remote.test"])
    g.wait_log("deferred")
    wait_for(lambda: g.run("queue", "drop", ident, "--yes").returncode == 0, 10)
    assert words(ended(g, ident)) == ["deferred", "dropped"]


def test_finding(relay, sink):
    one = send(relay, ["Bob@remote.test", "carol@remote.test"])
    two = send(relay, ["bob@remote.test"], sender="other@sender.test")
    ended(relay, two)
    found = [m["id"] for m in relay.cli("trace", "--to", "BOB@REMOTE.test", json_output=True)]
    assert found == [two, one]
    found = relay.cli("trace", "--from", "a@sender.test", "--since", "1h", json_output=True)
    assert [m["id"] for m in found] == [one]
    found = relay.cli("trace", "--to", "bob@remote.test", "--limit", "1", json_output=True)
    assert [m["id"] for m in found] == [two]
    assert relay.run("trace", "--to", "nobody@remote.test").returncode == 66


def test_wrong_words(relay):
    done = relay.run("trace", "01JD7ZN3V800000000000000AA")
    assert done.returncode == 66 and "--to" in done.stderr
    assert relay.run("trace", "01JD7").returncode == 64
    assert relay.run("trace").returncode == 64
    assert relay.run("trace", "--to", "bob@r.test", "--follow").returncode == 64
    assert relay.run("trace", "01JD7000000000000000000000", "--limit", "3").returncode == 64
    done = relay.run("trace", "--since", "soon", "--to", "a@b")
    assert done.returncode == 64 and "--since wants a time like 30s or 2h, not 'soon'" in done.stderr
    for path in ("/v1/messages/x/events", "/v1/messages/01JD7ZN3V8/", "/v1/messages//events",
                 "/v1/messages?q=color:red", "/v1/messages?q=to:", "/v1/messages/01JD7ZN3V8/events?q=1"):
        assert relay.api(path)[0] in (400, 404), path


def test_off(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port), extra="history off")
    ident = send(g, ["bob@remote.test"])
    g.wait_log("delivered")
    done = g.run("trace", ident)
    assert done.returncode == 66 and "history off" in done.stderr
    assert "history" not in g.roles() and not directory(g).exists()


# ---- deaths -------------------------------------------------------------------------------------

class Load:
    """Sends on several connections until it is stopped; ids: what was acknowledged."""

    def __init__(self, g, threads=4, size=500):
        self.g, self.size, self.ids, self.stopped = g, size, [], False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]

    def run(self, n):
        count = 0
        while not self.stopped:
            with contextlib.suppress(OSError, EOFError, Closed, ValueError, TimeoutError):
                with Client(self.g.port) as client:
                    client.hello()
                    while not self.stopped:
                        count += 1
                        code, text = client.message(
                            "a@sender.test", [f"u{n}-{count}@remote.test"],
                            simple_message(body="x" * self.size))
                        if code != 250:
                            break
                        self.ids.append(text.split()[-1])
            time.sleep(0.02)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        for t in self.threads:
            t.join(20)


def check_everything(g, ids):
    """Every message once, each recipient delivered, told from the database itself."""
    g.wait_idle(30)
    last = ids[-1]
    ended(g, last)
    wait_for(lambda: metric(g, "history_behind") == 0, 20, what="a history that keeps up")
    for ident in ids[:5] + ids[-5:]:
        s = ended(g, ident)
        assert words(s)[-1] == "delivered" and words(s).count("delivered") == 1
    assert metric(g, "history_cut_segments_total") == 0
    assert g.stop() == 0
    with contextlib.closing(sqlite3.connect(directory(g) / "history.db")) as db:
        known = [r[0] for r in db.execute("SELECT hex(id) FROM message")]
        without = db.execute("SELECT count(*) FROM message m WHERE NOT EXISTS "
                             "(SELECT 1 FROM event e WHERE e.message = m.n)").fetchone()[0]
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert len(known) == len(set(known)) >= len(ids)
    assert without == 0
    assert {decode(i) for i in ids} <= set(known)


def decode(ident):
    value = 0
    for c in ident:
        value = value << 5 | "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c)
    return f"{value:032X}"


@needs_processes
@pytest.mark.parametrize("victims", [("history",), ("queue",), ("history", "queue")])
def test_killed_in_the_middle(make_godwit, sink, victims):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    g.expected_alarms |= {"role.died"}
    with Load(g) as load:
        for _ in range(4):
            time.sleep(0.6)
            for role in victims:
                g.kill9(role)
        time.sleep(0.6)
    assert len(load.ids) > 50
    check_everything(g, load.ids)


@needs_processes
def test_all_killed_at_once(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    with Load(g, threads=2) as load:
        time.sleep(1.5)
        load.stopped = True
        g.kill9_all()
    g.start()
    check_everything(g, load.ids)


def segments(g):
    return len(list((g.folder / "spool").glob("seg-*")))


@needs_processes
def test_stopped_for_long(make_godwit, sink):
    """It stands still while segments are used up: mail goes on, the log does not grow without
    end, and what the history missed is counted."""
    sink.keep = False
    g = make_godwit(relay=("127.0.0.1", sink.port),
                    limits="limits { connections 1000 per-ip 500; transactions 100000 }")
    first = send(g, ["bob@remote.test"])
    ended(g, first)
    pid = g.role_pid("history")
    os.kill(pid, signal.SIGSTOP)
    try:
        body = (b"x" * 76 + b"\r\n") * 13000
        with Client(g.port) as client:
            client.hello()
            # What is on its way to it counts as told: until that is full nothing is cut.
            until = time.monotonic() + 60
            while metric(g, "history_behind") == 0:
                assert time.monotonic() < until
                for _ in range(50):
                    assert client.message("a@sender.test", ["s@remote.test"],
                                          simple_message())[0] == 250
            for n in range(360):
                code, _ = client.message("a@sender.test", [f"u{n}@remote.test"],
                                         simple_message(body=body.decode()))
                assert code == 250
        g.wait_idle(60)
        # As much as it may hold back, and no more: the queue looks once a second which segments may
        # go, and a thread takes them away one by one.
        wait_for(lambda: segments(g) <= (256 >> 3) + 3, 20, what="an end of what waits for it")
        assert segments(g) >= 20
    finally:
        os.kill(pid, signal.SIGCONT)
    last = send(g, ["bob@remote.test"])
    ended(g, last, 30)
    ended(g, first)
    wait_for(lambda: metric(g, "history_behind") == 0, 20)
    assert metric(g, "history_cut_segments_total") > 0
    assert g.log_lines("history.cut")
    # What was told need not be kept yet; when it is, the segments go.
    wait_for(lambda: segments(g) < 10, 20, what="segments that go")


@needs_processes
def test_damaged_on_disk(make_godwit, sink):
    g = make_godwit(relay=("127.0.0.1", sink.port))
    first = send(g, ["bob@remote.test"])
    ended(g, first)
    g.stop()
    path = directory(g) / "history.db"
    data = bytearray(path.read_bytes())
    data[0:4096] = os.urandom(4096)
    path.write_bytes(data)
    g.start()
    (line,) = g.wait_log("history.aside")
    assert (directory(g) / line["file"]).exists()
    # The log still has it all.
    assert words(ended(g, first)) == ["delivered"]
    assert words(ended(g, send(g, ["bob@remote.test"]))) == ["delivered"]


@needs_processes
def test_damaged_in_the_middle(make_godwit, sink):
    """Pages of tables are torn while it is stopped; it finds that out by itself."""
    g = make_godwit(relay=("127.0.0.1", sink.port))
    ids = [send(g, [f"u{n}@remote.test"], size=10) for n in range(120)]
    ended(g, ids[-1])
    g.stop()
    path = directory(g) / "history.db"
    data = bytearray(path.read_bytes())
    for at in range(4096 * 3, len(data), 4096):
        data[at:at + 200] = os.urandom(200)
    path.write_bytes(data)
    g.start()
    new = send(g, ["bob@remote.test"])
    for ident in [ids[0]]:
        g.run("trace", ident)
    g.wait_log("history.aside")
    wait_for(lambda: g.run("trace", new).returncode == 0, 20)
    for ident in (ids[0], new):
        assert words(ended(g, ident)) == ["delivered"]


@needs_root
@needs_processes
def test_its_disk_is_full(make_godwit, sink, scratch):
    """Its own disk: it stands still, mail goes on, and when there is room it has everything."""
    place = scratch / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(place)],
                   check=True)
    try:
        g = make_godwit(relay=("127.0.0.1", sink.port), extra=f"history {{ directory {place}/h }}")
        filler = place / "filler"
        first = send(g, ["bob@remote.test"])
        ended(g, first)
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while f.write(bytes(4096)):
                pass
        ids = []
        with Client(g.port) as client:
            client.hello()
            for n in range(2000):
                code, text = client.message("a@sender.test", [f"user{n}@remote.test"],
                                            simple_message())
                assert code == 250
                ids.append(text.split()[-1])
                if n % 50 == 0 and g.log_lines("history.stuck"):
                    break
        g.wait_log("history.stuck")
        wait_for(lambda: len(sink.messages) >= len(ids) + 1, 20)
        filler.unlink()
        g.wait_log("history.goes_on")
        for ident in (ids[0], ids[len(ids) // 2], ids[-1]):
            assert words(ended(g, ident)) == ["delivered"]
        assert g.stop() == 0
        shutil.copytree(place / "h", scratch / "copy")
        with contextlib.closing(sqlite3.connect(scratch / "copy" / "history.db")) as db:
            assert db.execute("SELECT count(*) FROM message").fetchone()[0] == len(ids) + 1
    finally:
        g.stop()
        subprocess.run(["umount", "-l", str(place)], check=True)


@needs_root
@needs_processes
def test_handed_to_its_user(make_godwit, sink):
    """Made by another user (an earlier run-as): it is the history's from the start."""
    g = make_godwit(relay=("127.0.0.1", sink.port))
    first = send(g, ["bob@remote.test"])
    ended(g, first)
    g.stop()
    for path in (directory(g), *directory(g).iterdir()):
        os.chown(path, 12345, 12345)
    g.start()
    ended(g, send(g, ["bob@remote.test"]))
    assert words(ended(g, first)) == ["delivered"]
    assert directory(g).stat().st_mode & 0o777 == 0o700
    # A link is no directory of ours.
    g.stop()
    directory(g).rename(directory(g).with_name("elsewhere"))
    directory(g).symlink_to("elsewhere")
    with pytest.raises(RuntimeError, match="history directory"):
        g.start()
    directory(g).unlink()
    directory(g).with_name("elsewhere").rename(directory(g))
    g.start()
    assert words(ended(g, first)) == ["delivered"]


def test_kept_by_size(make_godwit, sink):
    """The oldest go when it is larger than it may be, and the file becomes smaller, bit by bit."""
    g = make_godwit(relay=("127.0.0.1", sink.port), extra="history { size 16M }")
    ended(g, send(g, ["bob@remote.test"]))
    g.stop()
    # As if 100,000 had come before, of a year ago and of today.
    now = int(time.time() * 1e6)
    with contextlib.closing(sqlite3.connect(directory(g) / "history.db")) as db:
        db.executemany(
            "INSERT INTO message(id, accepted, size, class, origin, sender, rcpts, rcpt) "
            "VALUES(?,?,1,0,0,x'6140622e63',1,?)",
            ((os.urandom(16), now - (365 * 86400 * 10**6 if n < 1000 else 0),
              bytes([200]) + b"\x01" + os.urandom(200)) for n in range(100000)))
        db.commit()
    shutil.chown(directory(g) / "history.db", *owner_of(directory(g)))
    g.start()
    wait_for(lambda: sum(f.stat().st_size for f in directory(g).iterdir()) <= 16 << 20, 60,
             what="a smaller history")
    assert 8 << 20 < metric(g, "history_bytes") < 16 << 20
    ended(g, send(g, ["bob@remote.test"]))
    g.stop()
    assert rows(g, "SELECT min(n) FROM message")[0][0] > 1001
    assert (directory(g) / "history.db").stat().st_size <= 16 << 20


def owner_of(path):
    st = path.stat()
    return st.st_uid, st.st_gid
