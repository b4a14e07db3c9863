"""A host that does one thing wrong and nothing else, each connection the same.

    with Rude("127.0.1.1", port, greeting="554 5.7.1 go away") as rude:
    with Rude(..., words={"EHLO": None}): hangs up on EHLO, takes HELO
    with blackhole("::1", port): connections are neither taken nor refused

words: the reply to a verb, in which None is the end of the connection; "" says nothing at all.
Besides them it takes whatever comes. rude.seen: the lines of all connections; rude.connections.
"""

import contextlib
import socket
import threading
import time

DEFAULTS = {"EHLO": "250 rude.test", "HELO": "250 rude.test", "LHLO": "250 rude.test",
            "MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok", "DATA": "354 go on",
            "RSET": "250 Ok", "QUIT": "221 bye", ".": "250 2.0.0 Ok"}


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Rude:
    def __init__(self, host, port, greeting="220 rude.test", words=None):
        self.greeting, self.words = greeting, {**DEFAULTS, **(words or {})}
        self.seen, self.bodies, self.connections = [], [], 0
        self.socket = socket.socket(family_of(host), socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.socket.listen(64)
        self.threads, self.open = [], []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            if self.greeting is None:
                return
            if self.greeting:
                connection.sendall(self.greeting.encode() + b"\r\n")
            for raw in lines:
                line = raw.decode("latin-1").rstrip("\r\n")
                self.seen.append(line)
                reply = self.words.get(line[:4].upper(), "250 Ok")
                if reply is None:
                    return
                if reply:
                    connection.sendall(reply.encode() + b"\r\n")
                if reply.startswith("354"):
                    self.bodies.append(self._body(lines))
                    if self.words["."] is None:
                        return
                    connection.sendall(self.words["."].encode() + b"\r\n")
                if reply.startswith(("221", "421")):
                    return

    def _body(self, lines):
        body = b""
        for raw in lines:
            if raw == b".\r\n":
                break
            body += raw
        return body


@contextlib.contextmanager
def blackhole(host, port):
    """Nobody is refused and nobody is let in: the row of those who wait for accept() is full, and
    the kernel forgets whoever comes then."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family_of(host), socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(family_of(host), socket.SOCK_STREAM))
            filler.setblocking(False)
            filler.connect_ex((host, port))
        time.sleep(0.05)
        probe = stack.enter_context(socket.socket(family_of(host), socket.SOCK_STREAM))
        probe.settimeout(0.3)
        with contextlib.suppress(socket.timeout, TimeoutError):
            probe.connect((host, port))
            raise AssertionError(f"{host}:{port} still takes connections")
        yield
