"""Idle sessions cost little and keep nobody from sending."""

import pathlib
import sys

import pytest

from conftest import LONG

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

import idle  # noqa: E402

SESSIONS, MESSAGES = (10000, 1000) if LONG else (1000, 200)
TLS_SESSIONS = 5000 if LONG else 1000


@pytest.mark.parametrize("tls, sessions, most", [(False, SESSIONS, 6 << 10), (True, TLS_SESSIONS, 24 << 10)],
                         ids=["plain", "tls"])
def test_idle_sessions(tls, sessions, most, program, capsys):
    figures = idle.measure(sessions, MESSAGES, tls)
    with capsys.disabled():
        print("\n" + idle.line(figures))
    assert not figures["problems"]
    assert not figures["failures"]
    assert figures["messages"] == MESSAGES
    assert figures["alive"] == sessions
    assert figures["worst"] < idle.daemon.latency_allowed()
    assert figures["octets"] < most
