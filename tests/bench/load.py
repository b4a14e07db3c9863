"""Runs the load tools of the program (godwit bench source, sink, check, disk) and reads what they
report."""

import json
import os
import shlex
import signal
import subprocess

from peers.godwit import PROGRAM

# The tools may come from another build than the server under test.
TOOL = os.environ.get("GODWIT_BENCH", PROGRAM)


class Failed(Exception):
    """A run whose figures must not be believed."""


def _result(done):
    for line in done.splitlines():
        event = json.loads(line)
        if event.get("event") == "result":
            return event
    raise Failed("no result in: " + done[-500:])


def command(tool, *words):
    return [TOOL, "bench", tool, "--json", *map(str, words)]


def shown(command_line):
    """A command as a person would type it."""
    words = [os.path.basename(command_line[0])] + [w for w in command_line[1:] if w != "--json"]
    return shlex.join(words)


def source(port, *words, ledger=None, timeout=600):
    line = command("source", f"127.0.0.1:{port}", *words)
    if ledger:
        line += ["--ledger", str(ledger)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=timeout)
    if not done.stdout.strip():
        raise Failed(f"{shown(line)}: {done.stderr.strip()}")
    result = _result(done.stdout)
    result["command"] = shown(command("source", "127.0.0.1:PORT", *words))
    return result


class Sink:
    """godwit bench sink on a free port, until it has what it expects."""

    def __init__(self, expect, ledger=None, quiet_ms=300):
        words = ["127.0.0.1:0", "--expect", expect, "--quiet-time", quiet_ms]
        if ledger:
            words += ["--ledger", str(ledger)]
        self.process = subprocess.Popen(command("sink", *words), stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def wait(self, timeout):
        """Its report; when it does not get enough in time it is interrupted and reports that."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            out, _ = self.process.communicate(timeout=30)
        return _result(out)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=30)


def check(source_ledger, sink_ledger):
    done = subprocess.run(command("check", source_ledger, sink_ledger), capture_output=True,
                          text=True, timeout=300)
    if not done.stdout.strip():
        raise Failed(done.stderr.strip())
    return _result(done.stdout)


def disk(folder, count=3000):
    done = subprocess.run(command("disk", folder, "--count", count), capture_output=True, text=True,
                          timeout=120)
    result = _result(done.stdout)
    result["command"] = shown(command("disk", "DIR", "--count", count))
    return result


