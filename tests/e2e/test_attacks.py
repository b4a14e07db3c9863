"""The attacks of tests/attacks against the running daemon, each from an address of its own, and the
floods: while they go on a good client must be served within a second, and memory stays below the
ceiling of docs/machine.md."""

import pathlib
import sys

import pytest

ATTACKS = pathlib.Path(__file__).resolve().parent.parent / "attacks"
sys.path.insert(0, str(ATTACKS))

import attack  # noqa: E402
import daemon  # noqa: E402

SCRIPTS = attack.scripts()
ENDINGS = attack.endings()


@pytest.fixture(scope="module")
def server(program):
    with daemon.Daemon() as d:
        yield d
        assert not d.problems(), d.problems()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: pathlib.Path(s.path).stem)
def test_attack(script, server):
    attack.play(script, server, server.new_address())
    server.good_client()


def test_there_are_attacks():
    assert len(SCRIPTS) >= 120


def test_an_attack_that_works_is_seen(server, tmp_path):
    """The runner itself: a wrong code, a missing log line and a message too many are all found."""
    head = "S: 220\nC: EHLO x\nR: 250\nC: MAIL FROM:<a@example.org>\nS: 250\n"
    tail = "C: RCPT TO:<bob@example.net>\nS: 250\nC: DATA\nS: 354\nC: x: y\nC: .\nS: 250\n"
    for text in (head + "C: NOOP\nS: 550\n", head + "L: reject reason=none\n", head + tail,
                 head + "N: 1\n"):
        path = tmp_path / "works.attack"
        path.write_text(text)
        with pytest.raises(attack.WireError):
            attack.play(attack.Script(path), server, server.new_address())


# ---- false ends of data ---------------------------------------------------------------------

def smuggled(ending):
    """Content with a false end, and a second message behind it."""
    return (b"Subject: first\r\n\r\nbody" + ending + b"MAIL FROM:<evil@example.org>\r\n"
            b"RCPT TO:<alice@example.net>\r\nDATA\r\nSubject: second\r\n\r\nevil")


@pytest.mark.parametrize("way", attack.WAYS)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda e: e[0])
def test_ending(ending, way, server):
    name, verdict, octets = ending
    for cut in range(1, len(octets)) if "cut" in way else (0,):
        address = server.new_address()
        attack.send_content(server, address, way, smuggled(octets), 
                            smuggled(b"").index(b"body") + 4 + cut, verdict)
        server.expect_messages(address, 1 if verdict == "content" else 0)
    server.good_client()
