"""Reloads that come all at once, too early, too late, or while their files change."""

import concurrent.futures
import os
import signal
import smtplib
import ssl
import subprocess
import threading
import time

from conftest import needs_processes
from peers import certs, ports
from peers.client import Client
from peers.godwit import session_pids

MORE = "domain d{n}.test {{ deliver reject \"550 5.1.1 no\" }}\n"


def edit(g, text):
    """As an editor does it: the whole file or none of it."""
    fresh = g.config_path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(g.config_path)


def in_force(g):
    return g.api("/v1/config")[1]


def generations(g):
    return {p["generation"] for p in g.api("/v1/status")[1]["processes"]}


def measure(g):
    """{pid: (kB in memory, descriptors)}"""
    found = {}
    for pid in session_pids(g.process.pid):
        status = open(f"/proc/{pid}/status").read()
        found[pid] = int(status.split("VmRSS:")[1].split()[0]), len(os.listdir(f"/proc/{pid}/fd"))
    return found


def grown(before, after):
    return {pid: (before[pid], after[pid]) for pid in before
            if after[pid][0] > before[pid][0] * 1.3 + 8192 or after[pid][1] > before[pid][1] + 5}


def test_many_signals(make_godwit):
    """Fifty in a second: what stands in the file behind the last of them is in force at the end."""
    g = make_godwit()
    text = g.config_path.read_text()
    before = measure(g)
    for n in range(50):
        edit(g, text + MORE.format(n=n))
        os.kill(g.pid, signal.SIGHUP)
        time.sleep(0.01)
    ports.wait_for(lambda: "d49.test" in in_force(g)["text"], 10, what="the last one")
    last = in_force(g)["generation"]
    time.sleep(0.3)
    assert in_force(g)["generation"] <= last + 1
    assert generations(g) == {in_force(g)["generation"]}
    assert not g.log_lines("config.refused")
    assert set(measure(g)) == set(before) and not grown(before, measure(g))


def test_many_shells(make_godwit):
    """Each is told what became of it: it is in force, or another one was under way."""
    g = make_godwit()
    text = g.config_path.read_text()
    edit(g, text + MORE.format(n=1))
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda _: g.run("reload"), range(20)))
    good = [d for d in done if d.returncode == 0]
    busy = [d for d in done if d.returncode != 0]
    assert good and all("another one is being put in its place" in d.stderr for d in busy), [d.stderr for d in busy][:2]
    said = {int(d.stdout.split()[1]) for d in good}
    assert len(said) == len(good) and max(said) == in_force(g)["generation"] == len(good) + 1
    assert generations(g) == {len(good) + 1}


@needs_processes
def test_before_it_serves(make_godwit):
    """The signal comes as soon as there is a process: it waits until all are there."""
    g = make_godwit(start=False)
    text = g.config_path.read_text()
    g.start(wait=False)
    ports.wait_for(lambda: g.roles().get("smtpd"), 10, 0.005, what="a receiver")
    edit(g, text + MORE.format(n=1))
    for _ in range(5):
        os.kill(g.pid, signal.SIGHUP)
        time.sleep(0.01)
    g.wait_ready()
    ports.wait_for(lambda: "d1.test" in in_force(g)["text"], 10, what="the new one")
    assert generations(g) == {in_force(g)["generation"]}


def test_while_it_stops(make_godwit):
    g = make_godwit()
    text = g.config_path.read_text()
    shells = []
    with Client(g.port) as client:
        client.hello()
        for n in range(3):
            edit(g, text + MORE.format(n=n))
            shells.append(subprocess.Popen(
                [*g.command()[:3], "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            os.kill(g.pid, signal.SIGHUP)
        os.kill(g.pid, signal.SIGTERM)
        os.kill(g.pid, signal.SIGHUP)
    assert g.process.wait(10) == 0
    for shell in shells:  # none hangs
        shell.communicate(timeout=10)
        assert shell.returncode in (0, 1, 69, 75)
    g.process = None
    g.start()
    assert "d2.test" in in_force(g)["text"]


def test_large(make_godwit):
    """Thousands of statements, again and again: nobody keeps what is over."""
    g = make_godwit()
    text = g.config_path.read_text()
    large = text + "".join(f"domain d{i}.example.test {{ deliver reject \"550 5.1.1 no such {i}\" }}\n"
                           for i in range(1500))
    assert len(large) > 90_000
    for n in range(4):
        edit(g, large + MORE.format(n=n))
        assert g.run("reload").returncode == 0
        if n == 1:
            before = measure(g)
    after = measure(g)
    assert not grown(before, after)
    edit(g, text)
    assert g.run("reload").returncode == 0


def test_confirm_among_others(make_godwit):
    """It runs out while another reload is under way, or just behind one: what goes back is the last
    one that nobody doubted, once, and all of it."""
    g = make_godwit()
    text = g.config_path.read_text()
    edit(g, text + MORE.format(n=1))
    assert g.run("reload", "--confirm", "1s").returncode == 0
    stop = threading.Event()
    edit(g, text + MORE.format(n=2))

    def signals():
        while not stop.is_set():
            os.kill(g.pid, signal.SIGHUP)
            time.sleep(0.02)

    thread = threading.Thread(target=signals, daemon=True)
    thread.start()
    # Whoever asks without a doubt does not confirm, and does not hold up the way back.
    back = {"reason": "the one before was not confirmed"}
    g.wait_log("config.loaded", **back)
    stop.set()
    thread.join()
    os.kill(g.pid, signal.SIGHUP)
    # Behind the way back the signals went on: what stands in the file is in force, for good.
    ports.wait_for(lambda: "d2.test" in in_force(g)["text"], 10, what="what stands in the file")
    time.sleep(1.5)
    assert len(g.log_lines("config.loaded", **back)) == 1
    last = in_force(g)
    assert "d2.test" in last["text"]
    assert generations(g) == {last["generation"]}
    time.sleep(1)
    assert in_force(g)["generation"] == last["generation"]
    assert g.run("reload", "--keep").returncode == 1
    # It was in force in between.
    edit(g, text + MORE.format(n=3))
    assert g.run("reload", "--confirm", "1s").returncode == 0
    edit(g, "nonsense\n")
    assert g.run("reload").returncode == 1
    ports.wait_for(lambda: "d3.test" not in in_force(g)["text"], 5, what="the way back")
    assert "d2.test" in in_force(g)["text"]
    assert generations(g) == {in_force(g)["generation"]}


def test_files_that_change_meanwhile(make_godwit, tmp_path):
    """A file of recipients and the configuration are replaced over and over while reloads read them:
    what is in force is one of the states they had, and at last the last."""
    listed, fresh = tmp_path / "listed", tmp_path / "fresh"
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    listed.write_text("box0\n")
    g = make_godwit(extra=f"domain l.test {{ deliver lmtp 127.0.0.1:9; recipients file {listed} }}\n")
    text, stop = g.config_path.read_text(), threading.Event()
    states = [0]

    def writes():
        while not stop.is_set():
            states[0] += 1
            fresh.write_text(f"box{states[0]}\n" + "".join(f"more{i}\n" for i in range(500)))
            fresh.chmod(0o644)
            fresh.replace(listed)
            edit(g, text + MORE.format(n=states[0]))

    thread = threading.Thread(target=writes, daemon=True)
    thread.start()
    codes = [g.run("reload") for _ in range(8)]
    stop.set()
    thread.join()
    assert all(d.returncode == 0 for d in codes), [d.stderr for d in codes if d.returncode][:2]
    assert g.run("reload").returncode == 0
    assert f"d{states[0]}.test" in in_force(g)["text"]
    with Client(g.port) as client:
        client.hello()
        client.cmd("MAIL FROM:<a@src.test>")
        assert client.cmd(f"RCPT TO:<box{states[0]}@l.test>")[0] == 250
        assert client.cmd(f"RCPT TO:<box{states[0] + 1}@l.test>")[0] == 550


# ---- certificates ---------------------------------------------------------------------------------


def test_half_of_a_pair(make_godwit, tmp_path):
    """A reload between the two writes of whoever renews a certificate: it is refused, and says why; what
    was in force stays, and the other half needs no reload."""
    ca = certs.Authority(tmp_path)
    first, second = ca.issue("one.test", file="first"), ca.issue("two.test", file="second")
    g = make_godwit(tls=[first])
    text = g.config_path.read_text()

    def name():
        context = ssl.create_default_context(cafile=str(ca.cert))
        context.check_hostname = False
        with smtplib.SMTP("127.0.0.1", g.port, timeout=10) as s:
            s.ehlo()
            s.docmd("STARTTLS")
            with context.wrap_socket(s.sock) as t:
                return t.getpeercert()["subjectAltName"][0][1]

    assert name() == "one.test"
    first[0].write_bytes(second[0].read_bytes())
    edit(g, text + MORE.format(n=1))
    done = g.run("reload")
    assert done.returncode == 1 and str(first[0]) in done.stderr, done.stderr
    assert "generation 1 stays in force" in done.stdout + done.stderr
    assert name() == "one.test"
    first[1].write_bytes(second[1].read_bytes())
    assert g.run("reload").returncode == 0
    assert name() == "two.test" and "d1.test" in in_force(g)["text"]
    # And the other way round, without a reload: the watch does not take half of it either.
    third = ca.issue("three.test", file="third")
    first[1].write_bytes(third[1].read_bytes())
    g.wait_log("tls.refused", timeout=15)
    assert name() == "two.test"
    first[0].write_bytes(third[0].read_bytes())
    ports.wait_for(lambda: name() == "three.test", 15, what="the whole pair")
