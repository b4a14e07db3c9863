"""A server with no bad habit, and what one needs to have some: see hostile.py.

Those that can be imported from here: Behaviour (a good server, whose methods answer one command
each), Session (one connection to it), Over (raise it, and the connection is closed).
"""

import asyncio
import re
import socket
import struct

EXTENSIONS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 100000000")
LARGE = 3 << 20


class Over(Exception):
    """The conversation ends here."""


class Session:
    """One connection, seen from the server."""

    def __init__(self, world, behaviour, reader, writer):
        self.world, self.behaviour = world, behaviour
        self.reader, self.writer = reader, writer
        self.number = behaviour.sessions
        self.reset()

    def reset(self):
        self.rcpts, self.chunks = [], b""

    # ---- speaking ---------------------------------------------------------------------------

    async def raw(self, octets):
        self.writer.write(octets)
        await self.writer.drain()

    async def say(self, *lines):
        """"250 ok", or several lines of which each has its code."""
        await self.raw("".join(line + "\r\n" for line in lines).encode("latin-1"))

    async def drip(self, octets, pause=0.3):
        for octet in octets:
            await self.raw(bytes([octet]))
            await asyncio.sleep(pause)

    async def endless(self, line, pause=0.0):
        while True:
            await self.raw(line)
            await asyncio.sleep(pause)

    async def silence(self):
        """Whatever comes is read, nothing is said."""
        while await self.reader.read(65536):
            pass
        raise Over

    async def stillness(self):
        """Nothing is read either, for as long as anybody could wait."""
        await asyncio.sleep(3600)

    def close(self):
        raise Over

    def abort(self):
        """RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Over

    # ---- hearing ----------------------------------------------------------------------------

    async def line(self):
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise Over
        return line.decode("latin-1").rstrip("\r\n")

    async def content(self):
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise Over
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def took(self, content, rcpts=None):
        number = re.search(rb"^X-Ledger: (\d+)", content, re.M)
        with self.world.lock:
            for rcpt in self.rcpts if rcpts is None else rcpts:
                self.world.taken.append((self.behaviour.name, rcpt,
                                         int(number[1]) if number else None))


class Behaviour:
    """A good server: what the others are but for their habit."""

    expect = "delivered"
    size = 500
    extensions = EXTENSIONS
    maybe = False  # what it took need not be known to us
    times = 1  # messages sent to it, one behind the other

    def __init__(self):
        self.name = type(self).__name__
        self.sessions = 0
        self.messages = 0

    async def talk(self, s):
        await self.greeting(s)
        while True:
            line = await s.line()
            verb, _, rest = line.partition(" ")
            await getattr(self, verb.lower(), self.unknown)(s, rest)

    async def greeting(self, s):
        await s.say("220 hostile.test ESMTP")

    async def ehlo(self, s, rest):
        lines = ["hostile.test", *self.extensions]
        await s.say(*[f"250-{line}" for line in lines[:-1]], f"250 {lines[-1]}")

    async def helo(self, s, rest):
        await s.say("250 hostile.test")

    async def mail(self, s, rest):
        s.reset()
        await s.say("250 2.1.0 ok")

    async def rcpt(self, s, rest):
        address = rest.partition("<")[2].partition(">")[0]
        reply = self.judge(address[0], len(s.rcpts))
        if reply.startswith("2"):
            s.rcpts.append(address)
        await s.say(reply)

    def judge(self, who, count):
        return "250 2.1.5 ok"

    async def data(self, s, rest):
        if not s.rcpts:
            await s.say("554 5.5.1 nobody")
            return
        await s.say("354 go on")
        await self.verdict(s, await s.content())

    async def bdat(self, s, rest):
        number, _, last = rest.partition(" ")
        s.chunks += await s.reader.readexactly(int(number))
        if last:
            await self.verdict(s, s.chunks)
            s.chunks = b""
        else:
            await s.say(f"250 {number} octets")

    async def verdict(self, s, content):
        await self.take(s, content)

    async def take(self, s, content, reply="250 2.0.0 taken"):
        self.messages += 1
        s.took(content)
        await s.say(reply)

    async def rset(self, s, rest):
        s.reset()
        await s.say("250 2.0.0 ok")

    async def noop(self, s, rest):
        await s.say("250 2.0.0 ok")

    async def quit(self, s, rest):
        await s.say("221 2.0.0 bye")
        s.close()

    async def unknown(self, s, rest):
        await s.say("500 5.5.2 what?")
