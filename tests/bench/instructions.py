#!/usr/bin/python3
"""How many instructions of ours one relayed message costs, and in which functions.

    tests/bench/instructions.py                      all, by function
    tests/bench/instructions.py --by inclusive       what is called from a function counts there
    tests/bench/instructions.py --callers buf_room   who calls it, and whom it calls

The program runs with --one-process under valgrind's callgrind, so nothing that others do on the
machine is in the figures: two runs differ by about 1 %, by how many messages share a batch. The kernel's part
is not counted, and a copy of more than 2 KiB counts an instruction for each octet; time it with
tests/bench/run.py before you believe in a gain. The first half of the messages warms up.
"""

import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load  # noqa: E402
from peers import ports  # noqa: E402
from peers.godwit import Godwit  # noqa: E402

LIMITS = "limits { message-size 64M; connections 1000 per-ip 1000; transactions 1000000 }"
STORE = "store { segment 64M; reserve 64M; spares 2 }"


class Profile:
    """What callgrind counted between two dumps: its files refer to names of the one before."""

    def __init__(self, before, after):
        self.names = {}
        self.own = collections.Counter()
        self.calls = collections.Counter()  # (from, to) -> times
        self.spent = collections.Counter()  # (from, to) -> instructions
        self._read(before)
        self.own.clear()
        self.calls.clear()
        self.spent.clear()
        self._read(after)

    def _name(self, text):
        number, name = re.fullmatch(r"\((\d+)\)(?: (.*))?", text).groups()
        if name:
            self.names[number] = name
        return self.names[number]

    def _read(self, path):
        function = called = None
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("fn="):
                function = self._name(line[3:])
            elif line.startswith("cfn="):
                called = self._name(line[4:])
            elif line.startswith("calls="):
                self.calls[function, called] += int(line[6:].split()[0])
            elif re.match(r"[\d+*-]", line):
                cost = int(line.split()[1])
                if called:
                    self.spent[function, called] += cost
                else:
                    self.own[function] += cost
                called = None

    def inclusive(self):
        total = collections.Counter(self.own)
        for (caller, callee), cost in self.spent.items():
            if caller != callee:
                total[caller] += cost
        return total


def dump(g, folder, number):
    """Writes what was counted so far, and begins anew."""
    subprocess.run(["callgrind_control", f"--dump=part{number}", str(g.process.pid)],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    path = folder / f"out.{number}-01"
    return ports.wait_for(lambda: path.exists() and path.stat().st_size and path, 60, what=path.name)


def settle(g):
    """Until nothing is queued and no spare segment is being written."""
    ports.wait_for(lambda: g.status()["queue"]["messages"] == 0, 120, what="an empty queue")
    time.sleep(1)


def measure(messages, words, extra):
    folder = ports.scratch("godwit-instructions-")
    sink = load.Sink(2 * messages)
    g = Godwit(relay=("127.0.0.1", sink.port), domains=(), one_process=True, limits=LIMITS, store=STORE,
               extra=extra,
               wrapper=["valgrind", "--tool=callgrind", "--separate-threads=yes",
                        f"--callgrind-out-file={folder}/out", f"--log-file={folder}/log"])
    dumps = []
    try:
        g.start(timeout=120)
        for number in (1, 2):
            sent = load.source(g.port, "--messages", messages, *words)
            if sent["acked"] != messages:
                raise load.Failed(f"{sent['acked']} of {messages} taken: {sent['trouble']}")
            settle(g)
            dumps.append(dump(g, folder, number))
        time.sleep(1)
        return Profile(*dumps)
    finally:
        sink.close()
        g.close()
        ports.discard(folder)


def show(profile, n, by, top):
    times = collections.Counter()
    for (_, callee), count in profile.calls.items():
        times[callee] += count
    table = profile.inclusive() if by == "inclusive" else profile.own
    print(f"{sum(profile.own.values()) / n:,.0f} instructions a message")
    for name, cost in table.most_common(top):
        print(f"{cost / n:>10,.0f}  {times[name] / n:>8.2f} calls  {name}")


def show_callers(profile, n, function):
    print(f"{profile.own[function] / n:,.0f} in {function}, "
          f"{profile.inclusive()[function] / n:,.0f} with what it calls")
    for at, word in ((1, "from"), (0, "to")):
        for pair, cost in profile.spent.most_common():
            if pair[at] == function:
                print(f"{cost / n:>10,.0f}  {profile.calls[pair] / n:>8.2f} calls  {word} {pair[1 - at]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--by", choices=("own", "inclusive"), default="own")
    parser.add_argument("--callers", metavar="FUNCTION")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--config", default="", help="more lines of configuration: 'history off'")
    o = parser.parse_args()
    profile = measure(o.messages, ["--sessions", o.sessions, "--size", o.size], o.config)
    if o.callers:
        show_callers(profile, o.messages, o.callers)
    else:
        show(profile, o.messages, o.by, o.top)


if __name__ == "__main__":
    try:
        main()
    except (load.Failed, TimeoutError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"instructions.py: {error} (GODWIT={os.environ.get('GODWIT', 'build/godwit')})")
