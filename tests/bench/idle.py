#!/usr/bin/python3
"""Many idle sessions, and messages past them: idle.py [--sessions N] [--tls] [--messages N]

Prints the memory of all processes for each session, and how the messages fared. The clients come
from many loopback addresses, as clients do.
"""

import argparse
import pathlib
import re
import resource
import select
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "attacks"))
sys.path.insert(0, str(HERE.parent))

import attack  # noqa: E402
import daemon  # noqa: E402

PER_ADDRESS, BATCH = 20, 200


class Idle:
    """The sessions: connected, greeted, EHLO said; with tls: in TLS."""

    def __init__(self, server, count, tls=False):
        self.server, self.count, self.tls = server, count, tls
        self.sockets = []

    def address(self, i):
        net = i // PER_ADDRESS
        return f"127.{100 + net // 250}.{1 + net % 250}.1"

    def open(self):
        for first in range(0, self.count, BATCH):
            batch = [self.connect(i) for i in range(first, min(first + BATCH, self.count))]
            self.expect(batch, b"220")
            if self.tls:
                self.say(batch, b"EHLO idle.test\r\n", b"250")
                self.say(batch, b"STARTTLS\r\n", b"220")
                batch = [self.wrap(s) for s in batch]
            self.say(batch, b"EHLO idle.test\r\n", b"250")
            self.sockets += batch
        return self

    def connect(self, i):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(20)
        s.bind((self.address(i), 0))
        s.connect(("127.0.0.1", self.server.ports["mx"]))
        return s

    def wrap(self, s):
        if not hasattr(self, "context"):
            self.context = attack.trusting()
        return self.context.wrap_socket(s, server_hostname="mx.test")

    def say(self, batch, words, code):
        for s in batch:
            s.sendall(words)
        self.expect(batch, code)

    @staticmethod
    def expect(batch, code):
        """A whole reply on each."""
        for s in batch:
            data = b""
            while not re.search(rb"(^|\n)\d{3} [^\n]*\r\n$", data):
                piece = s.recv(4096)
                assert piece, f"closed behind {data!r}"
                data += piece
            assert data.startswith(code), data

    def alive(self):
        """How many are still open, and were told nothing."""
        waiting = select.poll()
        for s in self.sockets:
            waiting.register(s, select.POLLIN | select.POLLHUP)
        return len(self.sockets) - len(waiting.poll(0))

    def close(self):
        for s in self.sockets:
            s.close()


def send_messages(server, count, threads=4):
    """(seconds for each message, failures)"""
    took, failures, lock = [], [], threading.Lock()

    def some(n, address):
        for _ in range(n):
            try:
                seconds = server.good_client(address)
                with lock:
                    took.append(seconds)
            except (attack.WireError, OSError) as error:
                failures.append(repr(error))

    workers = [threading.Thread(target=some, args=(count // threads, f"127.0.0.{i + 1}"))
               for i in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return took, failures


def warm_up(server, tls):
    server.good_client()
    some = Idle(server, 100, tls).open()
    some.close()
    time.sleep(0.3)


def measure(sessions, messages, tls=False):
    """A dict of figures."""
    need = sessions + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(need, hard), hard))
    with daemon.Daemon(connections=sessions * 2, limits="per-ip 100; connection-rate 100000/m") as server:
        # What the first sessions set up for all others is no part of each.
        warm_up(server, tls)
        before, begin = server.memory(), time.monotonic()
        idle = Idle(server, sessions, tls).open()
        opened = time.monotonic() - begin
        after = server.memory()
        begin = time.monotonic()
        took, failures = send_messages(server, messages)
        seconds = time.monotonic() - begin
        alive = idle.alive()
        idle.close()
        return {"sessions": sessions, "tls": tls, "alive": alive, "opened": opened,
                "octets": (after - before) / sessions, "messages": len(took), "failures": failures,
                "seconds": seconds, "worst": max(took, default=0), "problems": server.problems()}


def line(figures):
    return ("{sessions} idle sessions{}: opened in {opened:.1f} s, {octets:.0f} octets of ours each; "
            "{messages} messages past them in {seconds:.1f} s, worst {worst:.3f} s, "
            "{} failures; {alive} sessions still there").format(
                " in TLS" if figures["tls"] else "", len(figures["failures"]), **figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    figures = measure(options.sessions, options.messages, options.tls)
    print(line(figures))
    for failure in figures["failures"] + figures["problems"]:
        print(failure)
    return 1 if figures["failures"] or figures["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
