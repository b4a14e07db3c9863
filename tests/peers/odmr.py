"""Customer and provider of RFC 2645 (On-Demand Mail Relay), written from the RFC alone.

    c = Customer(port, "alice@example.org", "secret")      connects, says EHLO and AUTH
    c.atrn("a.test,b.test")                                the reply
    c.serve()                                              greets, takes mail until QUIT: c.messages

    with Provider("alice@example.org", "secret", [Letter(sender, [rcpt], content)]) as p:
        p.port, p.sessions, p.taken

Both can be told to end the connection anywhere: cut_at=N behind the Nth reply of the turned dialogue
(0: before the greeting), cut_octets=N behind so many octets that they said there.
"""

import base64
import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field

from . import ports


class Cut(Exception):
    """The connection was ended on purpose."""


class Line:
    """Lines over a socket, with a place where it is cut."""

    def __init__(self, sock):
        self.sock = sock
        self.pending, self.at = b"", 0
        self.said = 0
        self.cut_octets = None

    def read(self):
        while (end := self.pending.find(b"\r\n", self.at)) < 0:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("the end")
            self.pending, self.at = self.pending[self.at:] + more, 0
        line, self.at = self.pending[self.at:end], end + 2
        return line.decode("utf-8", "surrogateescape")

    def send(self, data):
        if self.cut_octets is not None and self.said + len(data) > self.cut_octets:
            self.sock.sendall(data[:self.cut_octets - self.said])
            raise Cut
        self.sock.sendall(data)
        self.said += len(data)

    def say(self, text):
        self.send(text.encode() + b"\r\n")

    def reply(self):
        lines = [self.read()]
        while lines[-1][3:4] == "-":
            lines.append(self.read())
        return int(lines[-1][:3]), "\n".join(lines)

    def ask(self, text):
        self.say(text)
        return self.reply()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()


def plain(name, password):
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


@dataclass
class Got:
    sender: str
    rcpts: list
    data: bytes


class Customer:
    """context: an ssl.SSLContext: STARTTLS first."""

    def __init__(self, port, name=None, password=None, context=None, host="127.0.0.1", timeout=15):
        self.line = Line(socket.create_connection((host, port), timeout=timeout))
        self.greeting = self.line.reply()
        self.offers = self.line.ask("EHLO customer.test")[1]
        self.messages, self.commands, self.maybe = [], [], []
        self.quit = False
        if context:
            assert self.line.ask("STARTTLS")[0] == 220
            self.line.sock = context.wrap_socket(self.line.sock, server_hostname=host)
            self.offers = self.line.ask("EHLO customer.test")[1]
        if name:
            self.login = self.line.ask("AUTH PLAIN " + plain(name, password))
            assert self.login[0] == 235, self.login

    def atrn(self, domains=""):
        return self.line.ask(f"ATRN {domains}".rstrip())

    # ---- the turned dialogue: we are the server

    def _answer(self, text):
        if self.cut_at is not None and self.replies >= self.cut_at:
            raise Cut
        self.replies += 1
        self.line.say(text)

    def _content(self):
        lines = []
        while True:
            line = self.line.read().encode("utf-8", "surrogateescape")
            if line == b".":
                return b"".join(lines)
            lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")

    def _one(self):
        """True until QUIT."""
        line = self.line.read()
        self.commands.append(line)
        verb = line.split(" ")[0].upper()
        if verb == "EHLO":
            self._answer("250-customer.test\r\n250 PIPELINING" if self.pipelining
                         else "250 customer.test")
        elif verb == "MAIL":
            self.sender, self.rcpts = line.split("<")[1].split(">")[0], []
            self._answer("250 OK")
        elif verb == "RCPT":
            address = line.split("<")[1].split(">")[0]
            reply = self.rcpt_replies.get(address, "250 OK")
            if reply.startswith("2"):
                self.rcpts.append(address)
            self._answer(reply)
        elif verb == "DATA" and not self.rcpts:
            self._answer("503 nobody is there")
        elif verb == "DATA":
            self._answer("354 go on")
            got = Got(self.sender, self.rcpts, self._content())
            try:
                self._answer("250 taken")
            except Cut:
                self.maybe.append(got)
                raise
            self.messages.append(got)
        elif verb == "QUIT":
            self.quit = True
            self._answer("221 bye")
            return False
        else:
            self._answer("250 OK")
        return True

    def serve(self, cut_at=None, cut_octets=None, pipelining=True, rcpt_replies=None):
        """The mail that came; how it ended is in .quit. .maybe: whole, but not answered."""
        self.cut_at, self.replies = cut_at, 0
        self.line.said, self.line.cut_octets = 0, cut_octets
        self.pipelining, self.rcpt_replies = pipelining, rcpt_replies or {}
        try:
            self._answer("220 customer.test ready to receive mail")
            while self._one():
                pass
        except Cut:
            self.line.sock.close()
        except ConnectionError:
            pass
        return self.messages

    def close(self):
        self.line.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass
class Letter:
    sender: str
    rcpts: list
    data: bytes
    fate: str = ""  # "taken", "refused", "unknown" (the connection ended behind its dot)


@dataclass
class Session:
    commands: list = field(default_factory=list)
    turned: str = ""  # the argument of ATRN
    tls: bool = False
    ended: str = ""
    replies: list = field(default_factory=list)


class Provider:
    """letters: what waits for the customer; those without a fate are sent in the next session.
    pair: certificate and key: STARTTLS is offered. atrn: the reply to ATRN, if not 250."""

    def __init__(self, name, password, letters=(), pair=None, atrn=None, early=b"", etrn=None):
        self.name, self.password, self.letters = name, password, list(letters)
        self.pair, self.atrn, self.early, self.etrn = pair, atrn, early, etrn or {}
        self.sessions, self.cut_at, self.cut_octets = [], None, None
        self.silent = False  # says nothing behind the 250
        self.server = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.server.getsockname()[1]
        self._stop = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self):
        while not self._stop:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(sock,), daemon=True).start()

    def _session(self, sock):
        sock.settimeout(20)
        session = Session()
        self.sessions.append(session)
        line = Line(sock)
        try:
            line.say("220 provider.test on-demand mail relay server ready")
            if self._first(line, session):
                self._second(line, session)
            session.ended = "whole"
        except Cut:
            session.ended = "cut"
        except (ConnectionError, OSError) as error:
            session.ended = f"lost: {error}"
        finally:
            line.close()

    def _first(self, line, session):
        """True when the connection is turned round."""
        known = False
        while True:
            text = line.read()
            session.commands.append(text)
            verb, _, argument = text.partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                offers = ["AUTH PLAIN", "ATRN", "ETRN"]
                if self.pair and not session.tls:
                    offers.append("STARTTLS")
                line.say("\r\n".join(["250-provider.test"] + [f"250-{o}" for o in offers[:-1]]
                                     + [f"250 {offers[-1]}"]))
            elif verb == "STARTTLS":
                line.say("220 go on")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.pair)
                line.sock = context.wrap_socket(line.sock, server_side=True)
                session.tls = True
            elif verb == "AUTH":
                known = argument == "PLAIN " + plain(self.name, self.password)
                line.say("235 welcome" if known else "535 no")
            elif verb == "ETRN":
                line.say(self.etrn.get(argument, "459 not for you"))
            elif verb == "ATRN" and not known:
                line.say("530 Authentication required")
            elif verb == "ATRN":
                session.turned = argument
                if self.atrn:
                    line.say(self.atrn)
                    continue
                line.send(b"250 OK now reversing the connection\r\n" + self.early)
                return True
            elif verb == "QUIT":
                line.say("221 bye")
                return False
            else:
                line.say("502 not here")

    def _ask(self, line, session, text):
        if self.cut_at is not None and len(session.replies) >= self.cut_at:
            raise Cut
        reply = line.ask(text)
        session.replies.append(reply)
        return reply[0]

    def _send(self, line, session, letter):
        if self._ask(line, session, f"MAIL FROM:<{letter.sender}>") != 250:
            letter.fate = "refused"
            return
        good = [self._ask(line, session, f"RCPT TO:<{r}>") for r in letter.rcpts]
        if 250 not in good:
            letter.fate = "refused"
            self._ask(line, session, "RSET")
            return
        assert self._ask(line, session, "DATA") == 354
        letter.fate = "unknown"
        stuffed = letter.data.replace(b"\r\n.", b"\r\n..")
        try:
            line.send(stuffed)
        except Cut:
            letter.fate = ""
            raise
        if self.cut_at is not None and len(session.replies) >= self.cut_at:
            letter.fate = ""
            raise Cut
        # An octet less than the whole end is no end.
        try:
            line.send(b".\r\n")
        except Cut:
            letter.fate = ""
            raise
        reply = line.reply()
        session.replies.append(reply)
        letter.fate = "taken" if reply[0] == 250 else "refused"

    def _second(self, line, session):
        line.said, line.cut_octets = 0, self.cut_octets
        if self.silent:
            line.read()
            line.read()
            return
        session.replies.append(line.reply())
        self._ask(line, session, "EHLO provider.test")
        for letter in self.letters:
            if not letter.fate:
                self._send(line, session, letter)
        self._ask(line, session, "QUIT")

    @property
    def taken(self):
        return [letter for letter in self.letters if letter.fate == "taken"]
