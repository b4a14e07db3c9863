"""Whoever dies in the midst of a reload, and when: no mail is lost, and behind it the whole server goes
by one configuration."""

import os
import signal
import time

import pytest

from conftest import needs_processes
from peers import ledger, ports
from peers.framestop import FrameStop
from peers.godwit import session_pids
from peers.sink import Sink

pytestmark = needs_processes
MORE = "domain d{n}.test {{ deliver reject \"550 5.1.1 no\" }}\n"


@pytest.fixture
def stop():
    with FrameStop() as s:
        yield s


class World:
    """A Godwit under load, and what became of its mail."""

    def __init__(self, make_godwit, stop, sink):
        self.sink, self.book = sink, ledger.Ledger()
        sink.on_message = self.book.arrived
        self.g = make_godwit(relay=("127.0.0.1", sink.port), expire="10m", env=stop.env)
        self.g.expected_alarms |= {"role.died"}
        self.load = ledger.Load(self.book, self.g.port, sessions=2, pace=0.02, reuse=5)
        self.load.start()
        self.text, self.n = self.g.config_path.read_text(), 0

    def change(self):
        self.n += 1
        self.g.config_path.write_text(self.text + MORE.format(n=self.n))

    def hangup(self):
        self.change()
        os.kill(self.g.pid, signal.SIGHUP)

    def generations(self):
        return {p["generation"] for p in self.g.api("/v1/status")[1]["processes"]}

    def one_generation(self, n):
        """All of them say so, and the log."""
        ports.wait_for(lambda: self.generations() == {n}, 10, what=f"generation {n} everywhere")

    def end(self):
        ports.wait_for(lambda: self.book.verdict()["n_acked"] > 10, 10, what="mail that is taken")
        self.load.stop()
        self.g.wait_idle(30)
        verdict = self.book.verdict()
        wrong = self.book.clean(verdict)
        # Who was killed behind the dot is what at-least-once is for.
        wrong.pop("dup_unexcused", None)
        assert not wrong, (wrong, self.book.missing()[:5])


@pytest.fixture
def world(make_godwit, stop):
    with Sink() as sink:
        w = World(make_godwit, stop, sink)
        yield w
        w.end()


CHILDREN = ["vault", "sender", "mda", "resolver", "history", "queue", "smtpd", "control"]


@pytest.mark.parametrize("role", CHILDREN)
def test_told_to_switch(world, stop, role):
    """It agreed, and dies when it is told, or with the word that it has switched on its lips."""
    for out, frame in ((False, "SWITCH"), (True, "SWITCHED")):
        before = world.g.api("/v1/status")[1]["generation"]
        stop.hold(role, frame, out=out)
        world.hangup()
        stop.kill()
        world.g.wait_log("config.loaded", generation=before + 1)
        world.one_generation(before + 1)
    assert not world.g.log_lines("config.refused")


@pytest.mark.parametrize("held, frame, victim", [
    ("vault", "SWITCHED", "queue"),   # agreed, and is to switch behind it
    ("sender", "SWITCHED", "smtpd"),
    ("queue", "SWITCH", "vault"),     # has switched
    ("queue", "SWITCHED", "sender"),
    ("smtpd", "SWITCH", "queue"),
    ("control", "SWITCH", "mda"),
])
def test_beside_one_that_switches(world, stop, held, frame, victim):
    stop.hold(held, frame, out=frame == "SWITCHED")
    world.hangup()
    stop.wait()
    world.g.kill9(victim)
    ports.wait_for(lambda: world.g.log_lines("role.died", role=victim), what="a death")
    stop.go()
    world.g.wait_log("config.loaded", generation=2)
    world.one_generation(2)
    assert not world.g.log_lines("config.refused")


@pytest.mark.parametrize("victim", ["queue", "smtpd", "vault"])
def test_agreed_and_gone(world, stop, victim):
    """Not all have agreed: nobody has switched, and nobody does."""
    stop.hold("mda", "PREPARE")
    world.hangup()
    stop.wait()
    time.sleep(0.1)  # all others have agreed
    world.g.kill9(victim)
    assert "ended meanwhile" in world.g.wait_log("config.refused")[0]["reason"]
    stop.go()
    world.one_generation(1)
    world.change()
    ports.wait_for(lambda: world.g.run("reload").returncode == 0, 10, what="a reload after that")
    world.one_generation(2)


def test_does_not_switch(world, stop):
    """It agreed and says nothing more: it is ended, and starts with what it agreed to."""
    stop.hold("mda", "SWITCH")
    world.hangup()
    stop.wait()
    world.g.wait_log("config.loaded", generation=2)
    assert len(world.g.log_lines("role.died", role="mda")) == 1
    world.one_generation(2)


@pytest.mark.parametrize("held, frame", [("vault", "PREPARE"), ("vault", "SWITCH"),
                                         ("queue", "SWITCH"), ("smtpd", "SWITCHED")])
def test_master_dies(world, stop, held, frame):
    """Whatever the others were told: all of them end, and what they took is there behind it."""
    g = world.g
    stop.hold(held, frame, out=frame == "SWITCHED")
    world.hangup()
    stop.wait()
    left = session_pids(g.process.pid)
    os.kill(g.pid, signal.SIGKILL)
    stop.go()
    g.process.wait(10)
    ports.wait_for(lambda: not [p for p in left if p in session_pids(g.process.pid)], 10,
                   what="the end of all")
    g.process = None
    g.start()
    world.one_generation(1)
    assert "d1.test" in g.api("/v1/config")[1]["text"]
