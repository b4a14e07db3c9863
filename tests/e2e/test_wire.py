"""Every transcript of tests/wire that a network can play, against the running daemon."""

import pathlib
import sys

import pytest

WIRE = pathlib.Path(__file__).resolve().parent.parent / "wire"
sys.path.insert(0, str(WIRE))

import wire  # noqa: E402

SCRIPTS = [wire.Script(path) for path in sorted(WIRE.glob("*.wire"))]


def played(profile):
    return pytest.mark.parametrize(
        "script",
        [s for s in SCRIPTS if not s.engine_only and s.profile == profile],
        ids=lambda s: pathlib.Path(s.path).stem,
    )


@played("plain")
def test_transcript(script, wire_daemon):
    wire.play(script, *wire_daemon["mx"])


@played("lmtp")
def test_lmtp(script, wire_daemon):
    wire.play(script, *wire_daemon["lmtp"])


@played("xclient")
def test_xclient(script, wire_daemon):
    wire.play(script, *wire_daemon["xclient"])


@played("submission")
def test_submission(script, wire_submission):
    wire.play(script, *wire_submission)


@played("odmr")
def test_odmr(script, wire_odmr):
    wire.play(script, *wire_odmr)


def test_there_are_transcripts():
    assert len(SCRIPTS) >= 150


def test_a_wrong_transcript_fails(wire_daemon, tmp_path):
    path = tmp_path / "wrong.wire"
    path.write_text("S: 220\nC: NOOP\nS: 550\n")
    with pytest.raises(wire.WireError):
        wire.play(wire.Script(path), *wire_daemon["mx"])
