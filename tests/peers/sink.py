"""A programmable SMTP or LMTP server that records what it gets.

    with Sink() as sink:
        sink.reply_to("bob@example.net", "451 4.3.0 later", times=2)
        ...
        sink.messages[0].rcpts, .data, .sha256, .time

With CHUNKING among its extensions it takes BDAT, with BINARYMIME content that is no lines.

It runs on an asyncio loop in a thread. A rule is used up `times` times (None: always). What a peer
must not do (bare CR or LF, 8-bit it was not offered, pipelining it was not offered) is in
message.violations and sink.violations.
"""

import asyncio
import hashlib
import socket
import threading
import time
from dataclasses import dataclass, field

from . import ports

DEFAULT_EXTENSIONS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600")


@dataclass
class Message:
    mail_from: str
    mail_params: list
    rcpts: list
    data: bytes
    sha256: str
    time: float  # just before its final reply was written
    session: int
    replies: list  # final replies: one, or one per recipient (LMTP)
    violations: list = field(default_factory=list)
    rcpt_params: dict = field(default_factory=dict)  # of each recipient

    @property
    def accepted(self):
        return any(reply.startswith("2") for reply in self.replies)


@dataclass
class Rule:
    stage: str  # greeting helo mail rcpt data dot
    reply: str
    times: object = None
    address: str = None

    def take(self, stage, address=None):
        if self.stage != stage or self.times == 0:
            return None
        if self.address is not None and self.address != address:
            return None
        if self.times is not None:
            self.times -= 1
        return self.reply


class Sink:
    """keep: keep the content of messages. on_message(message): called before the final reply.
    drip: seconds between octets of a reply. dot_delay: seconds before the final reply."""

    def __init__(self, port=None, host="127.0.0.1", lmtp=False, extensions=DEFAULT_EXTENSIONS,
                 keep=True, on_message=None, drip=0, dot_delay=0):
        self.host, self.lmtp, self.keep = host, lmtp, keep
        self.port = port or ports.free_port(host)
        self.extensions = list(extensions)
        self.on_message = on_message
        self.drip, self.dot_delay = drip, dot_delay
        self.close_after_dot = 0  # this many times: no reply at end of data, the connection closes
        self.silent_after_dot = 0  # this many times: no reply at end of data, the connection stays
        self.rules, self.messages, self.violations, self.commands = [], [], [], []
        self.rcpt_attempts = []  # (time, address, reply)
        self.dots = []  # (time, recipients) of each content that came whole, answered or not
        self.sessions = self.open_sessions = self.most_sessions = 0
        self.peers = []  # the address that each session came from
        self.room = None  # connections at one time; one more is greeted with 421
        self.refused = 0  # so many were
        self.pipelined = 0  # commands that came before the reply to the one before
        self.lock = threading.Lock()
        self._thread = self._loop = self._server = None

    # ---- programming it -----------------------------------------------------------------

    def reply_at(self, stage, reply, times=None):
        self.rules.append(Rule(stage, reply, times))

    def reply_to(self, address, reply, times=None):
        self.rules.append(Rule("rcpt", reply, times, address))

    def dot_reply_to(self, address, reply, times=None):
        """LMTP: the reply at end of data for one recipient."""
        self.rules.append(Rule("dot", reply, times, address))

    def heal(self):
        with self.lock:
            self.rules.clear()
            self.close_after_dot = self.silent_after_dot = 0

    def rule(self, stage, address=None):
        with self.lock:
            for rule in self.rules:
                reply = rule.take(stage, address)
                if reply:
                    return reply
        return None

    # ---- what it got --------------------------------------------------------------------

    def accepted(self):
        return [m for m in list(self.messages) if m.accepted]

    def wait(self, count=1, timeout=10):
        """Waits for that many accepted messages."""
        def enough():
            taken = self.accepted()
            return taken if len(taken) >= count else None

        return ports.wait_for(enough, timeout, what=f"{count} messages at the sink")

    def wait_recipients(self, count, timeout=10):
        """Waits until messages for that many recipients were accepted; the recipients."""
        def enough():
            taken = [rcpt for message in self.accepted() for rcpt in message.rcpts]
            return taken if len(taken) >= count else None

        return ports.wait_for(enough, timeout, what=f"{count} recipients at the sink")

    def attempts(self, address):
        return [t for t, a, _ in list(self.rcpt_attempts) if a == address]

    # ---- life ---------------------------------------------------------------------------

    def start(self):
        started = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(5)
        if self._failed:
            raise self._failed
        return self

    def _run(self, started):
        self._loop = asyncio.new_event_loop()
        self._transports = set()
        try:
            self._server = self._loop.run_until_complete(self._loop.create_server(
                lambda: _Session(self), self.host, self.port, backlog=4096,
                reuse_address=True))
        except OSError as error:
            self._failed = error
            started.set()
            return
        started.set()
        self._loop.run_forever()
        self._server.close()
        for transport in list(self._transports):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def stop(self):
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        self._thread = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class _Session(asyncio.Protocol):
    def __init__(self, sink):
        self.sink = sink
        self.buffer = bytearray()
        self.body = None  # bytearray while data is read
        self.chunk = None  # octets of a chunk that are still to come
        self.closed = self.paused = False
        self.mail = None
        self.rcpts, self.params, self.problems, self.rcpt_params = [], [], [], {}

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sink = self.sink
        sink._transports.add(transport)
        sink.sessions += 1
        sink.peers.append(transport.get_extra_info("peername")[0])
        self.number = sink.sessions
        sink.open_sessions += 1
        sink.most_sessions = max(sink.most_sessions, sink.open_sessions)
        reply = sink.rule("greeting") or "220 sink.test ready"
        if sink.room is not None and sink.open_sessions > sink.room:
            sink.refused += 1
            reply = "421 4.7.0 Too many connections"
        self.say(reply)

    def connection_lost(self, exc):
        self.closed = True
        self.sink._transports.discard(self.transport)
        self.sink.open_sessions -= 1

    # ---- writing ------------------------------------------------------------------------

    def say(self, reply, extra=()):
        """One reply; extra lines make it a multi-line EHLO reply."""
        code, _, text = reply.partition(" ")
        *first, last = [text, *extra]
        out = "".join(f"{code}-{line}\r\n" for line in first) + f"{code} {last}\r\n"
        if self.sink.drip:
            self.paused = True
            self.sink._loop.create_task(self._drip(out.encode(), code))
            return
        self.transport.write(out.encode())
        if code == "421":
            self.transport.close()

    async def _drip(self, out, code):
        for i in range(len(out)):
            if self.closed:
                return
            self.transport.write(out[i:i + 1])
            await asyncio.sleep(self.sink.drip)
        self.paused = False
        if code == "421":
            self.transport.close()
        self.work()

    # ---- reading ------------------------------------------------------------------------

    def data_received(self, data):
        self.buffer += data
        self.work()

    def work(self):
        while not self.closed and not self.paused:
            if self.chunk is not None:
                if not self.read_chunk():
                    return
                continue
            if self.body is not None:
                if not self.read_body():
                    return
                continue
            end = self.buffer.find(b"\n")
            if end < 0:
                return
            line = bytes(self.buffer[:end + 1])
            del self.buffer[:end + 1]
            if self.buffer:
                self.sink.pipelined += 1
                if "PIPELINING" not in self.sink.extensions:
                    self.sink.violations.append(f"pipelining not offered: {line!r}")
            if not line.endswith(b"\r\n"):
                self.sink.violations.append(f"bare LF in a command: {line!r}")
            self.command(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))

    def command(self, line):
        verb, _, rest = line.partition(" ")
        verb = verb.upper()
        self.sink.commands.append(line)
        handler = getattr(self, "do_" + verb.lower(), None)
        if not handler:
            self.say("500 5.5.2 what?")
            return
        handler(rest)

    def do_ehlo(self, rest):
        if self.sink.lmtp:
            self.say("500 5.5.1 this is LMTP")
            return
        self.hello()

    def do_lhlo(self, rest):
        if not self.sink.lmtp:
            self.say("500 5.5.1 this is SMTP")
            return
        self.hello()

    def hello(self):
        reply = self.sink.rule("helo")
        if reply:
            self.say(reply)
            return
        self.reset()
        self.say("250 sink.test", self.sink.extensions)

    def do_helo(self, rest):
        self.reset()
        self.say(self.sink.rule("helo") or "250 sink.test")

    def reset(self):
        self.mail = None
        self.rcpts, self.params, self.problems, self.rcpt_params = [], [], [], {}
        self.chunks = b""

    def offers(self, name):
        return any(e.split()[0] == name for e in self.sink.extensions)

    def do_mail(self, rest):
        address, params = _path(rest)
        if self.mail is not None:
            self.say("503 5.5.1 nested MAIL")
            return
        reply = self.sink.rule("mail", address) or "250 2.1.0 Ok"
        if reply.startswith("2"):
            self.mail, self.params = address, params
        for param in params:
            name = param.partition("=")[0].upper()
            offered = {"BODY": "8BITMIME", "RET": "DSN", "ENVID": "DSN"}.get(name, name)
            offered = "BINARYMIME" if param.upper() == "BODY=BINARYMIME" else offered
            if not self.offers(offered):
                self.sink.violations.append(f"parameter not offered: {param}")
        self.say(reply)

    def check_offered(self, name, param):
        offered = {"BODY": "8BITMIME", "RET": "DSN", "ENVID": "DSN", "NOTIFY": "DSN",
                   "ORCPT": "DSN"}.get(name, name)
        if not any(e.split()[0] == offered for e in self.sink.extensions):
            self.sink.violations.append(f"parameter not offered: {param}")

    def do_rcpt(self, rest):
        address, params = _path(rest)
        if params and not self.offers("DSN"):
            self.sink.violations.append(f"parameters not offered: {params}")
        reply = "503 5.5.1 need MAIL"
        if self.mail is not None:
            reply = self.sink.rule("rcpt", address) or "250 2.1.5 Ok"
        self.sink.rcpt_attempts.append((time.time(), address, reply))
        if reply.startswith("2"):
            self.rcpts.append(address)
            self.rcpt_params[address] = params
        self.say(reply)

    def do_data(self, rest):
        if not self.rcpts:
            self.say("503 5.5.1 no valid recipients")
            return
        reply = self.sink.rule("data") or "354 go on"
        self.say(reply)
        if reply.startswith("354"):
            self.body = bytearray(b"\r\n")
            self.scanned = 0

    def do_bdat(self, rest):
        if not self.offers("CHUNKING"):
            self.say("500 5.5.2 what?")
            return
        words = rest.split()
        self.chunk, self.last_chunk = int(words[0]), len(words) > 1

    def read_chunk(self):
        taken = bytes(self.buffer[:self.chunk])
        del self.buffer[:len(taken)]
        self.chunks += taken
        self.chunk -= len(taken)
        if self.chunk > 0:
            return False
        self.chunk = None
        if not self.rcpts:
            self.say("503 5.5.1 no valid recipients")
        elif self.last_chunk:
            self.message(self.chunks)
        else:
            self.say("250 2.0.0 chunk")
        return True

    def do_rset(self, rest):
        self.reset()
        self.say("250 2.0.0 Ok")

    def do_noop(self, rest):
        self.say("250 2.0.0 Ok")

    def do_quit(self, rest):
        self.say("221 2.0.0 bye")
        self.transport.close()

    # ---- a message ----------------------------------------------------------------------

    def read_body(self):
        self.body += self.buffer
        self.buffer.clear()
        end = self.body.find(b"\r\n.\r\n", max(0, self.scanned - 5))
        self.scanned = len(self.body)
        if end < 0:
            return False
        self.buffer += self.body[end + 5:]
        raw = bytes(self.body[2:end + 2]) if end else b""
        self.body = None
        self.message((b"\r\n" + raw).replace(b"\r\n..", b"\r\n.")[2:])
        return True

    def message(self, data):
        problems = list(self.problems)
        rest = data.replace(b"\r\n", b"")
        binary = "BODY=BINARYMIME" in self.params
        if not binary and (b"\r" in rest or b"\n" in rest):
            problems.append("bare CR or LF")
        if "8BITMIME" not in self.sink.extensions and not data.isascii():
            problems.append("8-bit content not offered")
        self.sink.violations.extend(problems)
        self.sink.dots.append((time.time(), list(self.rcpts)))
        if self.sink.lmtp:
            replies = [self.sink.rule("dot", r) or "250 2.0.0 Ok" for r in self.rcpts]
        else:
            replies = [self.sink.rule("dot") or "250 2.0.0 Ok taken"]
        message = Message(self.mail, self.params, list(self.rcpts), data if self.sink.keep else b"",
                          hashlib.sha256(data).hexdigest(), 0, self.number, replies, problems,
                          self.rcpt_params)
        self.reset()
        if self.sink.dot_delay:
            self.paused = True
            self.sink._loop.call_later(self.sink.dot_delay, self._late, message)
        else:
            self.finish(message)

    def _late(self, message):
        self.paused = False
        if not self.closed:
            self.finish(message)
            self.work()

    def finish(self, message):
        sink = self.sink
        if sink.close_after_dot > 0 or sink.silent_after_dot > 0:
            message.replies = ["000 none"]
        message.time = time.time()
        if sink.on_message:
            sink.on_message(message)
        sink.messages.append(message)
        if sink.close_after_dot > 0:
            sink.close_after_dot -= 1
            self.transport.abort()
        elif sink.silent_after_dot > 0:
            sink.silent_after_dot -= 1
        else:
            for reply in message.replies:
                self.say(reply)


def _path(rest):
    """("FROM:<a@b> SIZE=1") -> ("a@b", ["SIZE=1"])"""
    begin = rest.find("<")
    end, quoted = begin + 1, False
    while end < len(rest) and (quoted or rest[end] != ">"):
        if rest[end] == "\\":
            end += 1
        elif rest[end] == '"':
            quoted = not quoted
        end += 1
    return rest[begin + 1:end], rest[end + 1:].split()
