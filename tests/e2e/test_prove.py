"""godwit prove: kills and power cuts cost nothing, and a disk that lies is found out."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import LONG, needs_processes, needs_root
from peers import ports

pytestmark = needs_processes

LIES = ("flush", "dir-sync", "header", "late", "once")
NOBODY = 65534


@pytest.fixture
def place():
    folder = ports.scratch("godwit-prove-test-")
    folder.chmod(0o711)
    yield folder
    ports.discard(folder)


def start(program, place, *words, **options):
    return subprocess.Popen([str(program), "prove", "--dir", str(place), "--json", *words],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            stdin=subprocess.DEVNULL, **options)


def finish(process, timeout=60):
    """(exit status, events); within the time, or it is killed and the test fails."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    print(err)
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def result_of(events):
    assert events[-1]["event"] == "result", events[-3:]
    print(json.dumps(events[-1], indent=1))
    return events[-1]


def assert_clean(result):
    for name in ("lost", "refused_seen", "unsent_seen", "corrupt", "stray", "dup_unexcused", "left",
                 "crashes"):
        assert result[name] == 0, result
    assert result["good"] and "directory" not in result
    assert result["acked"] > 500, "too little load to prove anything"


def left_behind(place):
    """Processes that name the folder in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if str(place).encode() in f.read():
                    found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("mode", [(), ("--power-cut",), ("--tls",)], ids=["kill", "power", "tls"])
def test_nothing_is_lost(program, place, mode):
    status, events = finish(start(program, place, "--kills", "12", "--seed", "1", *mode))
    result = result_of(events)
    assert_clean(result)
    assert status == 0
    assert result["kills"] == 12
    kills = [e for e in events if e["event"] == "kill"]
    assert len(kills) == 12
    assert any(e["power_cut"] for e in kills) == ("--power-cut" in mode)
    assert result["power"]["cuts"] == sum(e["power_cut"] for e in kills)
    assert not os.listdir(place)
    assert not left_behind(place)


@pytest.mark.parametrize("lie", LIES)
def test_each_sabotage_is_found(program, place, lie):
    status, events = finish(start(program, place, "--sabotage", lie, "--seed", "1"))
    result = result_of(events)
    assert status == 1
    assert not result["good"]
    assert result["lost"] > 0
    kept = {path.name for path in next(place.iterdir()).iterdir()}
    assert str(next(place.iterdir())) == result["directory"]
    assert {"spool", "mail", "kills", "godwit.conf", "godwit.log", "relay.sent",
            "relay.arrivals"} <= kept
    assert not left_behind(place)


def test_interrupted(program, place):
    """^C: what was done is reported, and the rest is drained."""
    process = start(program, place, "--kills", "1000")
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    status, events = finish(process)
    assert_clean(result_of(events))
    assert status == 130
    assert 0 < events[-1]["kills"] < 30
    assert not os.listdir(place)
    assert not left_behind(place)


def test_text_for_people(program, place):
    done = subprocess.run([str(program), "prove", "--dir", str(place), "--for", "4s", "--keep"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PROVEN: nothing that was acknowledged was lost." in done.stdout
    folder = next(place.iterdir())
    assert f"are kept in {folder}" in done.stdout
    seed = done.stdout.split("seed ")[1].split()[0].rstrip(",")
    assert seed.isdigit()


@needs_root
def test_by_a_plain_user(program, place):
    os.chown(place, NOBODY, NOBODY)
    process = start(program, place, "--kills", "4", "--power-cut", "--seed", "2", user=NOBODY,
                    group=NOBODY, extra_groups=())
    status, events = finish(process)
    assert_clean(result_of(events))
    assert status == 0


def test_a_real_spool_is_refused(make_godwit):
    """What only prove may ask for does nothing to the spool of somebody who did not make it so."""
    g = make_godwit(env={"GODWIT_PROVE_CUT": "0123456789abcdef"}, start=False)
    g.expected_alarms |= {"role.died", "role.crashed"}
    done = subprocess.run(g.command(), env=g.env, capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 1
    assert "is no scratch spool" in done.stderr
    assert not [name for name in os.listdir(g.folder / "spool") if name.startswith(".cut")]


def test_too_small_a_disk_and_bad_places(program, place):
    for bad in (place / "missing", place / 'a"b'):
        done = subprocess.run([str(program), "prove", "--dir", str(bad)], capture_output=True,
                              text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "godwit prove: " in done.stderr
    assert not os.listdir(place)


@pytest.mark.skipif(not LONG, reason="GODWIT_LONG=1")
@pytest.mark.parametrize("words", [("--kills", "1000"), ("--kills", "300", "--power-cut")],
                         ids=["kill", "power"])
def test_long_campaign(program, place, words):
    status, events = finish(start(program, place, *words), timeout=3600)
    assert_clean(result_of(events))
    assert status == 0
