"""Attacks on a page (README.md): the transcripts of tests/wire with a few lines more."""

import contextlib
import os
import pathlib
import re
import socket
import ssl
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "wire"))

import wire  # noqa: E402

WireError = wire.WireError


class Script(wire.Script):
    def __init__(self, path):
        self.to, self.own, self.messages = "mx", [], 0
        super().__init__(path)

    def add(self, number, line):
        match = re.match(r"(to|P|T|L|N|A|O): (.*)$", line)
        if not match:
            super().add(number, line)
        elif match[1] == "to":
            self.to = match[2]
        elif match[1] == "N":
            self.messages = int(match[2])
        else:
            self.steps.append(Own(number, line, match[1], match[2]))


class Own:
    """A line that the transcripts of tests/wire do not have."""

    def __init__(self, number, line, kind, text):
        self.number, self.line, self.kind, self.text = number, line, "own " + kind, text


def trusting():
    """Encrypts and believes every certificate: the server's is self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Player(wire.Player):
    """A connection that comes from an address of its own."""

    def __init__(self, server, to, source, timeout=20):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", server.ports[to]))
        self.server, self.source, self.timeout = server, source, timeout
        self.input, self.closed = b"", False
        if to == "submissions":
            self.start_tls()

    def start_tls(self):
        self.sock = trusting().wrap_socket(self.sock, server_hostname="mx.test")

    def end_tls(self):
        """Says that TLS is over, and goes on in the clear over the same connection."""
        below = socket.socket(fileno=os.dup(self.sock.fileno()))
        below.settimeout(self.timeout)
        with contextlib.suppress(OSError):
            self.sock.settimeout(0.2)
            self.sock.unwrap()
        self.sock = below

    def own(self, kind, text):
        if kind == "own P":
            time.sleep(float(text))
        elif kind == "own A":
            self.source = text
        elif kind == "own O":
            for octet in wire.unescape(text):
                self.send(bytes([octet]))
                time.sleep(0.002)
        elif kind == "own T" and text == "end":
            self.end_tls()
        elif kind == "own T":
            self.start_tls()
        else:
            self.server.expect_log(self.source, text)


def play(script, server, source):
    """Raises WireError with file and line when the server does something else."""
    player, pending, step = Player(server, script.to, source), b"", None
    try:
        for step in script.steps:
            if step.kind == "C":
                pending += step.data
                continue
            player.send(pending)
            pending = b""
            if step.kind.startswith("own"):
                player.own(step.kind, step.text)
            elif step.kind in "SR":
                player.expect(step)
            elif step.kind == "EOF":
                player.expect_eof()
        player.send(pending)
    except WireError as error:
        raise WireError(f"{script.path}:{step.number}: {error} ({step.line})") from None
    finally:
        player.close()
    server.expect_messages(player.source, script.messages)


def endings():
    """(name, verdict, octets) of each false end of data."""
    found = []
    for line in (HERE / "endings.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, verdict, text = line.split()
            found.append((name, verdict, wire.unescape(text)))
    return found


def scripts():
    return [Script(path) for path in sorted(HERE.glob("*.attack"))]


# ---- content with a false end ---------------------------------------------------------------

# as DATA or as chunks; "cut": the ending in two segments, or two chunks; over TLS or not.
WAYS = ["data", "data-cut", "data-tls", "bdat", "bdat-cut", "bdat-tls"]


def send_content(server, address, way, content, cut_at, verdict):
    """One message whose content has a false end at cut_at. verdict: refused or content."""
    player = Player(server, "mx", address)
    say = lambda words, reply: (player.send(words), player.expect(wire.Step(0, reply)))  # noqa: E731
    try:
        say(b"", "S: 220")
        say(b"EHLO client.test\r\n", "R: 250")
        if way.endswith("tls"):
            say(b"STARTTLS\r\n", "S: 220")
            player.start_tls()
            say(b"EHLO client.test\r\n", "R: 250")
        say(b"MAIL FROM:<mallory@example.org>\r\n", "S: 250")
        say(b"RCPT TO:<bob@example.net>\r\n", "S: 250")
        if way.startswith("data"):
            say(b"DATA\r\n", "S: 354")
            content += b"\r\n.\r\n"
            parts = [content[:cut_at], content[cut_at:]] if "cut" in way else [content]
        else:
            content += b"\r\n"
            parts = [content[:cut_at], content[cut_at:]] if "cut" in way else [content]
            parts = [b"BDAT %d%s\r\n" % (len(p), b" LAST" * (i == len(parts) - 1)) + p
                     for i, p in enumerate(parts)]
        for part in parts:
            player.send(part)
            if len(parts) > 1:
                time.sleep(0.01)
        finish(player, way, verdict, len(parts))
    finally:
        player.close()


def finish(player, way, verdict, parts):
    """A refused message ends the session at once behind its reply, and nothing else was answered."""
    if verdict == "content":
        for _ in range(parts if way.startswith("bdat") else 1):
            player.expect(wire.Step(0, "S: 250"))
        player.send(b"QUIT\r\n")
        player.expect(wire.Step(0, "S: 221"))
        player.expect_eof()
        return
    codes = []
    while True:
        try:
            line = player.read_line()
        except WireError:
            break
        codes.append(line[:3])
    if not codes or any(code not in ("550", "554", "421", "250") for code in codes):
        raise WireError(f"replies {codes}")
    if codes[-1] == "250" or codes.count("250") > (parts - 1 if way.startswith("bdat") else 0):
        raise WireError(f"replies {codes}: something was accepted")
