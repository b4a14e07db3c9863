#!/usr/bin/python3
"""Plays transcripts (README.md) against a running server: wire.py HOST PORT FILE..."""

import re
import socket
import ssl
import sys

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


class WireError(Exception):
    """The server did not do what the transcript says."""


def unescape(text):
    def one(match):
        escape = match.group(1)
        if escape.startswith("x"):
            return bytes([int(escape[1:], 16)]).decode("latin-1")
        if escape not in ESCAPES:
            raise ValueError("unknown escape \\%s" % escape)
        return ESCAPES[escape].decode("latin-1")

    return re.sub(r"\\(x[0-9A-Fa-f]{2}|.)", one, text, flags=re.S).encode("latin-1")


class Step:
    """kind: C send, S one line, R a whole reply, EOF, T time, E result, H handshake."""

    def __init__(self, number, line):
        self.number, self.line = number, line
        match = re.match(r"([CSRTEH])(-|:)?(?:\* ?(\d+))? ?(.*)$", line, re.S)
        if not match:
            raise ValueError("line %d is not understood: %s" % (number, line))
        self.kind, raw, times, self.text = match.groups()
        self.times = int(times or 1)
        if self.kind == "C":
            self.data = (unescape(self.text) + (b"" if raw == "-" else b"\r\n")) * self.times
        elif self.kind == "S" and self.text == "EOF":
            self.kind = "EOF"

    def matches(self, line):
        if len(self.text) > 1 and self.text.startswith("/") and self.text.endswith("/"):
            return re.search(self.text[1:-1], line) is not None
        return line.startswith(unescape(self.text).decode("latin-1"))


class Script:
    def __init__(self, path):
        self.path, self.modes, self.steps = str(path), set(), []
        with open(path, encoding="latin-1", newline="\n") as file:
            for number, line in enumerate(file, 1):
                self.add(number, line.rstrip("\n"))

    def add(self, number, line):
        if line.startswith("mode: "):
            self.modes.add(line[6:])
        elif line and not line.startswith("#"):
            self.steps.append(Step(number, line))

    @property
    def engine_only(self):
        return "engine" in self.modes

    @property
    def profile(self):
        """What the server is: "plain", "submission", "lmtp", "xclient", "odmr"."""
        return next((mode for mode in ("submission", "lmtp", "xclient", "odmr") if mode in self.modes),
                    "plain")


class Player:
    """One connection. What is sent may be much while the server answers, so both go on at once."""

    def __init__(self, host, port, timeout=20):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.raw = self.sock
        self.input = b""
        self.closed = False

    def receive(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        self.closed = self.closed or not data
        self.input += data

    def send(self, data):
        """A server that has closed may refuse the rest: its replies say whether that was right."""
        view = memoryview(data)
        while view and not self.closed:
            self.sock.settimeout(0.05)
            try:
                view = view[self.sock.send(view):]
            except (socket.timeout, ssl.SSLWantWriteError):
                self.drain()
            except (ConnectionError, ssl.SSLEOFError):
                break
        self.sock.settimeout(self.timeout)

    def drain(self):
        try:
            self.receive()
        except socket.timeout:
            pass

    def handshake(self):
        """What the server said in the clear behind its 220 would be an injection of its own."""
        if self.input:
            raise WireError("more than 220 in front of the handshake: %r" % self.input[:200])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            self.sock = context.wrap_socket(self.raw, server_hostname="mx.test")
        except (OSError, ssl.SSLError) as error:
            raise WireError("no handshake: %s" % error) from None

    def read_line(self):
        while b"\n" not in self.input:
            if self.closed:
                raise WireError("expected a reply, but the server closed")
            try:
                self.receive()
            except socket.timeout:
                raise WireError("no reply") from None
        line, _, self.input = self.input.partition(b"\n")
        if not line.endswith(b"\r") or (len(line) > 511 and line[:4] != b"334 "):
            raise WireError("not a line of SMTP: %r" % line)
        return line[:-1].decode("latin-1")

    def expect(self, step):
        for _ in range(step.times):
            line = self.read_line()
            while step.kind == "R" and line[3:4] == "-":
                line = self.read_line()
            if not step.matches(line):
                raise WireError("the server said: %s" % line)

    def expect_eof(self):
        while not self.closed and not self.input:
            try:
                self.receive()
            except socket.timeout:
                raise WireError("the server did not close") from None
        if self.input:
            raise WireError("the server says more than expected: %r" % self.input[:200])

    def close(self):
        self.sock.close()


def play(script, host, port, timeout=20):
    """Raises WireError with file and line when the server does something else."""
    player, pending, step = Player(host, port, timeout), b"", None
    try:
        for step in script.steps:
            if step.kind == "C":
                pending += step.data
                continue
            player.send(pending)
            pending = b""
            if step.kind in "SR":
                player.expect(step)
            elif step.kind == "H":
                player.handshake()
            elif step.kind == "EOF":
                player.expect_eof()
        player.send(pending)
    except WireError as error:
        raise WireError("%s:%d: %s (%s)" % (script.path, step.number, error, step.line)) from None
    finally:
        player.close()


def main(argv):
    if len(argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    host, port, played, failed = argv[1], int(argv[2]), 0, 0
    for path in argv[3:]:
        script = Script(path)
        if script.engine_only:
            continue
        played += 1
        try:
            play(script, host, port)
        except (WireError, OSError) as error:
            print(error)
            failed += 1
    print("wire: %d transcripts, %d failed" % (played, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
