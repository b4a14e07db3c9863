#!/usr/bin/python3
"""A deep queue: what so many deferred recipients cost.

    tests/bench/deep.py                       a million, each deferred once (a fault address) (4 minutes)
    tests/bench/deep.py --messages 100k       a quick look
    tests/bench/deep.py --waiting             never tried yet: their host refuses connections

Memory is what the queue process has more than when it was empty. The rate of intake is measured on
the empty and on the deep queue with the same command, in pairs. The restart begins with kill -9 of all
processes and ends with the 250 of a new message. docs/bench.md says how to read the figures.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load  # noqa: E402
from peers import ports  # noqa: E402
from peers.client import Client, simple_message  # noqa: E402
from peers.godwit import Godwit  # noqa: E402

DEFER = "faults later.test"
RETRY = "1h 4h"


def number(text):
    unit = {"k": 1000, "m": 1000000}.get(text[-1].lower(), 1)
    return int(float(text.rstrip("kKmM")) * unit)


def server(waiting):
    address = ("127.0.0.1", ports.free_port())  # nobody listens there
    limits = "limits { connections 1000 per-ip 1000; transactions 1000000 }"
    return Godwit(relay=address, domains=(), retry=RETRY, expire="4d", limits=limits,
                  store="store { segment 64M; reserve 64M; spares 2 }",
                  extra="" if waiting else DEFER)


def fill(g, messages, to, size):
    result = load.source(g.port, "--messages", messages, "--size", size, "--to", to,
                         timeout=3600)
    if result["acked"] != messages:
        raise load.Failed(f"{result['acked']} of {messages} were taken")
    return result


def private_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M)) * 1024


def settle(g, messages, timeout=600):
    """Until everything has been tried once and the queue is at rest."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        queue = g.api("/v1/queue")[1]
        busy = queue["active"] + sum(site["active"] for site in queue["sites"])
        ready = sum(site["ready"] for site in queue["sites"] if site["state"] != "unreachable")
        if queue["recipients"] >= messages and not busy and not ready:
            time.sleep(11)  # every 10 s what is free in the heap is given back
            return queue
        time.sleep(0.2)
    raise load.Failed(f"not at rest: {queue}")


def queue_times(g, n=9):
    times = []
    for _ in range(n):
        begin = time.monotonic()
        g.cli("queue")
        times.append((time.monotonic() - begin) * 1000)
    return statistics.median(times), max(times)


def restart(g):
    """Seconds from the kill to the 250 of a new message, and what the log says of the recovery."""
    g.kill9_all()
    begin = time.monotonic()
    g.start(wait=False)
    while True:
        try:
            with Client(g.port, timeout=30) as client:
                client.hello()
                code, _ = client.message("a@example.org", ["defer@later.test"], simple_message("x"))
                if code == 250:
                    break
        except (OSError, ValueError):
            time.sleep(0.005)
    took = time.monotonic() - begin
    return took, float(g.log_lines("spool.recovered")[-1]["took"].rstrip("s"))


def rate(g, to, messages):
    return fill(g, messages, to, 1000)["rate"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=number, default=number("1m"))
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--waiting", action="store_true")
    parser.add_argument("--pairs", type=int, default=5)
    o = parser.parse_args()
    to = "u%d@example.net" if o.waiting else "defer@later.test"
    sample = max(1000, min(50000, o.messages // 10))
    empty_rates, deep_rates = [], []
    with server(o.waiting) as deep:
        base = private_bytes(deep.role_pid("queue"))
        filled = fill(deep, o.messages, to, o.size)
        settle(deep, o.messages)
        memory = private_bytes(deep.role_pid("queue")) - base
        print(f"filled             {o.messages} messages of {o.size} octets at {filled['rate']:.0f}/s")
        print(f"memory             {memory / o.messages:.0f} octets a recipient ({memory >> 20} MiB)")
        median, worst = queue_times(deep)
        print(f"godwit queue       {median:.0f} ms, at most {worst:.0f} ms")
        for _ in range(o.pairs):  # one after the other, so that the machine is the same for both
            with server(o.waiting) as empty:
                empty_rates.append(rate(empty, to, sample))
            deep_rates.append(rate(deep, to, sample))
        share = statistics.median(deep_rates) / statistics.median(empty_rates)
        print(f"intake             {statistics.median(empty_rates):.0f}/s empty, "
              f"{statistics.median(deep_rates):.0f}/s deep: {share:.0%}")
        settle(deep, o.messages)
        took, recovery = restart(deep)
        after = private_bytes(deep.role_pid("queue")) - base
        held = deep.api("/v1/queue")[1]["recipients"]
        print(f"restart            {took:.2f} s to the 250 of a new message, recovery {recovery:.2f} s "
              f"({held} recipients)")
        print(f"memory after it    {after / held:.0f} octets a recipient ({after >> 20} MiB)")
        median, worst = queue_times(deep)
        print(f"godwit queue       {median:.0f} ms, at most {worst:.0f} ms")


if __name__ == "__main__":
    try:
        main()
    except (load.Failed, subprocess.SubprocessError) as error:
        sys.exit(f"deep.py: {error}")
