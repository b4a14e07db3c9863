#!/usr/bin/python3
"""Godwit beside Postfix: both measured in turn, in one run, with one load generator and one sink.

    make bench                                     all rows, medians of 3
    tests/bench/run.py --only relay --rounds 1     a quick look
    tests/bench/run.py --servers godwit --messages 50k --only accept,relay

Rates alone prove nothing: each row has CPU and flushes per message beside it, and a run in which a
message was lost, came twice or came damaged, or in which nobody flushed, fails. docs/bench.md says
how to read the table.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load  # noqa: E402
import measure  # noqa: E402
from peers import ports  # noqa: E402
from servers import SERVERS, WithoutHistory, available  # noqa: E402

MIB = 1 << 20
SESSIONS = 50
# Postfix gets a quarter of the messages, so that both are measured for about as long.
SHARE = {"postfix": 4, "godwit": 1}


class Bench:
    """One run of everything: folders, what was measured, what went wrong."""

    def __init__(self, options):
        self.options = options
        self.aside = ports.scratch("godwit-bench-")
        self.aside_more = []
        self.figures = {}  # (row, server) -> [{figure: value}]
        self.commands = {}  # row -> command
        self.failures = []
        self.serial = 0

    def messages(self, row, server):
        return max(10, row.messages * self.options.scale // SHARE.get(server, 1) // 100)

    def folder(self, name):
        self.serial += 1
        path = self.aside / f"{self.serial:02}-{name}"
        path.mkdir()
        path.chmod(0o755)
        return path

    def keep(self, row, server, figures):
        self.figures.setdefault((row, server), []).append(figures)

    def fail(self, row, server, text):
        self.failures.append(f"{row} {server}: {text}")
        print(f"  FAILED: {text}", file=sys.stderr)


# ---- one measurement --------------------------------------------------------------------------

def started(bench, name, next_hop, sessions=SESSIONS):
    make = WithoutHistory if name == "nohistory" else SERVERS[name]
    server = make(bench.folder(name), next_hop, sessions)
    server.start()
    bench.aside_more.append(server.folder)
    measure.settle(server.pid)
    return server


def watched(server, work):
    """Runs work(); its value, CPU seconds and the flush counter over that time."""
    before = measure.cpu_seconds(server.pid)
    with measure.Flushes(server.pid, server.folder) as flushes:
        value = work()
        cpu = measure.cpu_seconds(server.pid) - before
    return value, cpu, flushes


def costs(messages, cpu, flushes):
    if not flushes.count:
        raise load.Failed("nothing was flushed: what it acknowledges is not durable")
    return {"cpu": cpu / messages * 1000, "flushes": flushes.count / messages,
            "flushes_of": flushes.what}


def measure_accept(bench, row, name):
    """Nothing can leave, so all that happens is taking mail."""
    n = bench.messages(row, name)
    server = started(bench, name, None)
    try:
        sent, cpu, flushes = watched(server, lambda: load.source(
            server.port, "--messages", n, *row.words))
        bench.commands[row.name] = sent["command"]
        if sent["acked"] != n:
            raise load.Failed(f"{sent['acked']} of {n} taken: {sent['trouble']}")
        expect_queued(server, n)
        return dict(costs(n, cpu, flushes), rate=sent["rate"], p50=sent["p50_ms"],
                    p99=sent["p99_ms"])
    finally:
        server.stop()


def expect_queued(server, n):
    for _ in range(20):
        queued = server.queued()
        if queued is None or queued == n:
            return
        time.sleep(0.25)
    raise load.Failed(f"{n} acknowledged, {queued} in the queue")


def measure_relay(bench, row, name):
    n = bench.messages(row, name)
    ledgers = bench.folder("ledgers")
    sink = load.Sink(n, ledgers / "sink")
    server = None
    try:
        server = started(bench, name, ("127.0.0.1", sink.port))
        (sent, got), cpu, flushes = watched(server, lambda: relay_once(server, sink, n, row,
                                                                       ledgers))
        bench.commands[row.name] = sent["command"]
        expect_once(ledgers, sent, n)
        seconds = got["last"] - sent["began"]
        return dict(costs(n, cpu, flushes), rate=n / seconds, mib=n * row.size / MIB / seconds,
                    p50=sent["p50_ms"], p99=sent["p99_ms"])
    finally:
        sink.close()
        if server:
            server.stop()


def measure_history(bench, row, name):
    """What the history costs: the same load with it and without it, in turn, twice."""
    if name != "godwit":
        return {}  # it has none
    runs = {"godwit": [], "nohistory": []}
    for which in ("godwit", "nohistory", "nohistory", "godwit"):
        runs[which].append(measure_relay(bench, row, which))
    rate, cpu = ({s: statistics.mean(r[f] for r in runs[s]) for s in runs} for f in ("rate", "cpu"))
    return {"flushes_of": "", "rate": rate["godwit"], "rate_off": rate["nohistory"],
            "kept": rate["godwit"] / rate["nohistory"], "cpu": cpu["godwit"],
            "cpu_off": cpu["nohistory"]}


def relay_once(server, sink, n, row, ledgers):
    sent = load.source(server.port, "--messages", n, *row.words, ledger=ledgers / "source")
    return sent, sink.wait(max(60, n / 50))


def expect_once(ledgers, sent, n):
    """Every number that was acknowledged arrived, whole and once."""
    verdict = load.check(ledgers / "source", ledgers / "sink")
    if sent["acked"] != n:
        raise load.Failed(f"{sent['acked']} of {n} acknowledged: {sent['trouble']}")
    if not verdict["good"] or verdict["duplicates"]:
        bad = {k: v for k, v in verdict.items() if v and k not in ("event", "tool", "acked",
                                                                  "delivered")}
        raise load.Failed(f"the ledgers do not agree: {bad}")


def measure_idle(bench, row, name):
    """Sessions that said EHLO and wait: what each takes of the server's memory."""
    wanted = min(SERVERS[name].most_sessions, row.messages * bench.options.scale // 100)
    server = started(bench, name, None, wanted)
    held = []
    try:
        held += measure.hold_sessions(server.port, 1)
        before = measure.memory_bytes(server.pid)
        held += measure.hold_sessions(server.port, wanted)
        time.sleep(0.5)
        after = measure.memory_bytes(server.pid)
        if len(held) < wanted:
            raise load.Failed(f"only {len(held)} of {wanted} sessions were held")
        return {"bytes": (after - before) / (len(held) - 1), "held": len(held)}
    finally:
        for s in held:
            s.close()
        server.stop()


def measure_ceiling(bench, row):
    """Generator and sink alone: what the machine can do at most with this load."""
    n = row.messages * bench.options.scale // 100
    sink = load.Sink(n)
    try:
        sent = load.source(sink.port, "--messages", n, *row.words)
        sink.wait(30)
    finally:
        sink.close()
    bench.commands["ceiling " + row.name] = sent["command"]
    return {"rate": sent["rate"], "mib": sent["rate"] * row.size / MIB, "p50": sent["p50_ms"],
            "p99": sent["p99_ms"]}


# ---- rows -------------------------------------------------------------------------------------

class Row:
    def __init__(self, name, title, messages, run, words=(), size=4096, figures=(), ceiling=True):
        self.name, self.title, self.messages, self.run = name, title, messages, run
        sessions = [] if {"--lone", "--sessions"} & set(words) else ["--sessions", SESSIONS]
        self.words = [*sessions, "--size", size, *words]
        self.size, self.figures, self.ceiling = size, figures, ceiling


COST = ("cpu", "flushes", "p50", "p99")
ROWS = [
    Row("accept", "ACCEPT, 50 sessions reused, 4 KiB", 20000, measure_accept,
        figures=("rate", *COST)),
    Row("relay", "RELAY, 50 sessions reused, 4 KiB", 20000, measure_relay, figures=("rate", *COST)),
    Row("pipelined", "RELAY, the same, envelopes pipelined", 20000, measure_relay, ["--pipeline"],
        figures=("rate", *COST)),
    Row("persession", "RELAY, one session per message", 12000, measure_relay, ["--per-session", 1],
        figures=("rate", *COST)),
    Row("lone", "RELAY, a lone client, one after another", 2000, measure_relay, ["--lone"],
        figures=("p50", "p99", "rate", "cpu", "flushes")),
    Row("history", "RELAY, with the history and without it", 20000, measure_history,
        figures=("rate", "rate_off", "kept", "cpu", "cpu_off"), ceiling=False),
    Row("large", "RELAY, 10 MiB messages", 160, measure_relay, ["--sessions", 8], size=10 * MIB,
        figures=("mib", "cpu", "flushes")),
    Row("idle", "idle sessions", 10000, measure_idle, figures=("bytes", "held"), ceiling=False),
]

NAMES = {
    "rate": ("msg/s", "{:,.0f}", "godwit/postfix"),
    "mib": ("MiB/s", "{:,.0f}", "godwit/postfix"),
    "cpu": ("CPU s per 1000 messages", "{:.3f}", "postfix/godwit"),
    "flushes": ("flushes per message", "{:.3f}", None),
    "p50": ("final reply p50 ms", "{:.3f}", "postfix/godwit"),
    "p99": ("final reply p99 ms", "{:.3f}", "postfix/godwit"),
    "rate_off": ("msg/s without the history", "{:,.0f}", None),
    "kept": ("with it / without it", "{:.3f}", None),
    "cpu_off": ("CPU without the history", "{:.3f}", None),
    "bytes": ("memory per session, bytes", "{:,.0f}", "postfix/godwit"),
    "held": ("sessions held", "{:,.0f}", None),
}


def median(bench, row, server, figure):
    runs = [r[figure] for r in bench.figures.get((row, server), ()) if figure in r]
    return statistics.median(runs) if runs else None


def cell(figure, value):
    return "-" if value is None else NAMES[figure][1].format(value)


def ratio(figure, postfix, godwit):
    way = NAMES[figure][2]
    if way is None or not postfix or not godwit:
        return ""
    return f"{godwit / postfix if way.startswith('godwit') else postfix / godwit:.1f} x"


def print_row(bench, row):
    print(f"\n{row.title}")
    for figure in row.figures:
        values = [median(bench, row.name, s, figure) for s in ("postfix", "godwit", "ceiling")]
        cells = [cell(figure, value) for value in values]
        print(f"  {NAMES[figure][0]:<28}{cells[0]:>12}{cells[1]:>12}"
              f"{ratio(figure, *values[:2]):>10}{cells[2]:>14}")
    if row.name in bench.commands:
        print(f"    {bench.commands[row.name]}")


def print_table(bench, rows, disk):
    print(f"\n{'':30}{'Postfix':>12}{'Godwit':>12}{'better':>10}{'no server':>14}")
    for row in rows:
        print_row(bench, row)
    if disk:
        print(f"\nThis disk: 4 KiB write + fdatasync p50 {disk['p50_ms']:.3f} ms, "
              f"p99 {disk['p99_ms']:.3f} ms; sequential {disk['mib_per_s']:,.0f} MiB/s"
              f"\n    {disk['command']}")
        lone = median(bench, "lone", "godwit", "p50")
        if lone:
            print(f"Godwit's lone client waits {lone / disk['p50_ms']:.2f} x one such flush")
    if any(r.get("flushes_of") == "disk" for runs in bench.figures.values() for r in runs):
        print("perf could not count flush calls: the flushes are all of this disk")
    print(f"\nMedians of {bench.options.rounds}. Repeat one row: "
          "tests/bench/run.py --only ROW (" + ",".join(r.name for r in ROWS) + ")")
    for failure in bench.failures:
        print("FAILED " + failure)


# ---- the run ----------------------------------------------------------------------------------

def one(bench, row, name):
    print(f"{row.name:<12}{name:<10}", end="", flush=True, file=sys.stderr)
    begin = time.monotonic()
    try:
        figures = (measure_ceiling(bench, row) if name == "ceiling"
                   else row.run(bench, row, name))
        bench.keep(row.name, name, figures)
        text = "  ".join(f"{NAMES[f][0]} {cell(f, figures.get(f))}" for f in row.figures[:3])
        print(f"{text}  ({time.monotonic() - begin:.0f} s)", file=sys.stderr)
    except (load.Failed, RuntimeError, TimeoutError, OSError) as error:
        bench.fail(row.name, name, error)


def run_all(bench, rows, servers):
    disk = load.disk(bench.aside) if not bench.options.no_disk else None
    for _ in range(bench.options.rounds):
        for row in rows:
            for name in servers:
                one(bench, row, name)
            if row.ceiling:
                one(bench, row, "ceiling")
    return disk


def tidy(bench):
    """Only now: what deleting queues costs the file system must not be in anybody's figures."""
    for folder in [*bench.aside_more, bench.aside]:
        ports.discard(folder)


def scale_of(text):
    """--messages as percent of the ordinary 20000."""
    number = int(text[:-1]) * 1000 if text.endswith("k") else int(text)
    return max(1, number * 100 // 20000)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="rows, with commas: " + ",".join(r.name for r in ROWS))
    parser.add_argument("--servers", help="postfix,godwit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", dest="scale", type=scale_of, default=100,
                        help="of the accept row; the other rows follow (20000)")
    parser.add_argument("--no-disk", action="store_true")
    parser.add_argument("--json", help="write all figures of all rounds to this file")
    return parser.parse_args()


def main():
    options = arguments()
    rows = [r for r in ROWS if not options.only or r.name in options.only.split(",")]
    servers, missing = available()
    servers = [s for s in servers if not options.servers or s in options.servers.split(",")]
    for name, why in missing.items():
        print(f"without {name}: {why}", file=sys.stderr)
    if not pathlib.Path(load.TOOL).exists():
        print(f"no {load.TOOL}: make first, the load tools are part of it", file=sys.stderr)
        return 69
    bench = Bench(options)
    try:
        disk = run_all(bench, rows, servers)
        print_table(bench, rows, disk)
        if options.json:
            figures = [{"row": r, "server": s, "rounds": f}
                       for (r, s), f in bench.figures.items()]
            pathlib.Path(options.json).write_text(json.dumps(
                {"figures": figures, "disk": disk, "failures": bench.failures}, indent=1))
    finally:
        tidy(bench)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
