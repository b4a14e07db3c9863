"""The order trace: does a flush of the file that holds a message precede its 250?

The input is what `strace -f -y -s 100000` wrote into one file. strace writes a line when a call
ends, or a pair "<unfinished ...>" / "<... resumed>" when others came between; the order of lines is
the order in which strace, a single thread, saw them happen.
"""

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field

from . import ports

CALLS = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,sync_file_range"

_WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
_FLUSHES = {"fsync", "fdatasync"}
_LINE = re.compile(r"^(\d+) +(?:[\d:.]+ +)?(.*)$", re.S)
_BEGIN = re.compile(r"^(\w+)\((\d+)<([^>]*)>")
_RESULT = re.compile(r"\) += +(-?\d+)[^\n]*$")


def wrapper(out):
    """Runs a program and all it starts under strace."""
    return ["strace", "-f", "-y", "-s", "100000", "-o", str(out), "-e", f"trace={CALLS}",
            "-e", "signal=none"]


class Tracer:
    """strace on running processes, all their threads and what they fork, until stop()."""

    def __init__(self, pids, out, words):
        self.out = out
        attach = [word for pid in pids for word in ("-p", str(pid))]
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-y", "-s", "100000", "-o", str(out), *words, *attach],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ports.wait_for(
            lambda: self.process.poll() is not None or all(_traced(pid) for pid in pids),
            10, 0.005, what="strace")

    def stop(self):
        """Detaches; the lines it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        with open(self.out, errors="replace") as lines:
            return lines.readlines()


def _traced(pid):
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            text = open(f"/proc/{pid}/task/{task}/status").read()
            if re.search(r"^TracerPid:\t0$", text, re.M):
                return False
    except OSError:
        return False
    return True


@dataclass
class Call:
    name: str
    path: str  # what strace -y prints for the descriptor
    text: str
    begin: int  # line numbers
    end: int = -1
    result: int = -1
    injected: bool = False


@dataclass
class Verdict:
    good: list = field(default_factory=list)
    bad: list = field(default_factory=list)  # (token, why)

    def __str__(self):
        return f"{len(self.good)} flushed before their 250, {len(self.bad)} not: {self.bad[:3]}"


def parse(lines):
    """Calls in the order of their begin."""
    calls, open_calls = [], {}
    for number, line in enumerate(lines):
        match = _LINE.match(line.rstrip("\n"))
        if not match:
            continue
        pid, text = match[1], match[2]
        if text.startswith("<... "):
            call = open_calls.pop(pid, None)
            if call:
                call.text += text.partition("resumed>")[2]
                _finish(call, text, number)
            continue
        begin = _BEGIN.match(text)
        if not begin:
            continue
        call = Call(begin[1], begin[3], text, number)
        calls.append(call)
        if text.endswith("<unfinished ...>"):
            open_calls[pid] = call
        else:
            _finish(call, text, number)
    return calls


def _finish(call, text, number):
    call.end = number
    call.injected = "(INJECTED)" in text
    result = _RESULT.search(text)
    call.result = int(result[1]) if result else -1


def check(lines, tokens, spool):
    """tokens: {id in the 250: token in the message}. spool: the folder of its files.

    For each: the last write with the token into a file of the spool must have ended before a flush
    of that file began which returned 0 (and really happened) before the reply with the id began.
    """
    calls = parse(lines)
    verdict = Verdict()
    writes = [c for c in calls if c.name in _WRITES and c.path.startswith(str(spool))]
    flushes = [c for c in calls if c.name in _FLUSHES and c.result == 0 and not c.injected
               and c.path.startswith(str(spool))]
    replies = [c for c in calls if "250 2.0.0 " in c.text and not c.path.startswith(str(spool))]
    for ident, token in tokens.items():
        reply = next((c for c in replies if ident in c.text), None)
        if not reply:
            verdict.bad.append((token, "no reply seen"))
            continue
        held = [c for c in writes if token in c.text and c.begin < reply.begin]
        if not held:
            verdict.bad.append((token, "no write before the reply"))
            continue
        last = held[-1]
        if any(f.path == last.path and f.begin > last.end >= 0 and f.end < reply.begin
               for f in flushes):
            verdict.good.append(token)
        else:
            where = f"between line {last.end} and {reply.begin}"
            verdict.bad.append((token, f"no flush of {last.path} {where}"))
    return verdict
