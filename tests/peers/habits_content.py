"""Bad habits about the content and behind it: DATA, the dot, chunks, QUIT, STARTTLS."""

import asyncio

from .habit import EXTENSIONS, LARGE, Behaviour

# ---- DATA ----------------------------------------------------------------------------------------


class DataReply(Behaviour):
    """Refuses after it took recipients."""
    expect = "bounced"
    reply = "554 5.7.1 no"

    async def data(self, s, rest):
        await s.say(self.reply)


class Data451(DataReply):
    """Has no time after it took recipients."""
    expect = "deferred"
    reply = "451 4.3.0 later"


class Data250(DataReply):
    """Says 250 to DATA, as if all were done."""
    expect = "deferred"
    reply = "250 2.0.0 taken"


class Data354Twice(DataReply):
    """Says 354 twice."""
    expect = "deferred"
    reply = "354 go on\r\n354 go on"


class Data354Verdict(DataReply):
    """Says 354 and the verdict at once."""
    expect = "deferred"
    reply = "354 go on\r\n250 2.0.0 taken"


class DataDrop(Behaviour):
    """Closes at DATA."""
    expect = "deferred"

    async def data(self, s, rest):
        s.close()


class DataSilent(Behaviour):
    """Says nothing to DATA."""
    expect = "deferred"

    async def data(self, s, rest):
        await s.silence()


class DataNeverReads(Behaviour):
    """Wants the content and does not read it."""
    expect = "deferred"
    size = LARGE

    async def data(self, s, rest):
        await s.say("354 go on")
        await s.stillness()


class DataSips(Behaviour):
    """Reads content, a hundred octets at a time."""
    expect = "deferred"
    size = LARGE

    async def data(self, s, rest):
        await s.say("354 go on")
        while await s.reader.read(100):
            await asyncio.sleep(0.2)


class DataReset(Behaviour):
    """Resets in the middle of the content."""
    expect = "deferred"
    size = LARGE

    async def data(self, s, rest):
        await s.say("354 go on")
        await s.reader.readexactly(100000)
        s.abort()


class DataEnough(Behaviour):
    """Has enough in the middle of the content, says 421 and closes."""
    expect = "deferred"
    size = LARGE

    async def data(self, s, rest):
        await s.say("354 go on")
        await s.reader.readexactly(100000)
        await s.say("421 4.3.1 no room")
        await s.silence()


class DataEarlyVerdict(Behaviour):
    """Takes the message before its end, and reads no more of it."""
    expect = "deferred"
    size = 8 << 20  # more than the kernel takes of us before the word comes

    async def data(self, s, rest):
        await s.say("354 go on")
        await s.reader.readexactly(100000)
        await s.say("250 2.0.0 taken")
        await s.stillness()


class DataHalfClose(Behaviour):
    """Ends its half of the connection behind 354."""
    expect = "deferred"

    async def data(self, s, rest):
        await s.say("354 go on")
        s.writer.write_eof()
        await s.silence()


# ---- the dot -------------------------------------------------------------------------------------


class DotReply(Behaviour):
    """Refuses the content."""
    expect = "bounced"
    reply = "554 5.6.0 spam"

    async def verdict(self, s, content):
        await s.say(self.reply)


class Dot451(DotReply):
    """Has no time for the content."""
    expect = "deferred"
    reply = "451 4.3.0 greylisted"


class Dot421(DotReply):
    """Goes down at the dot."""
    expect = "deferred"
    reply = "421 4.3.2 going down"


class Dot354(DotReply):
    """Wants more content behind the dot."""
    expect = "deferred"
    reply = "354 go on"


class DotNonsense(DotReply):
    """Says what is no reply."""
    expect = "deferred"
    reply = "thank you"


class DotDrop(Behaviour):
    """Has it, and closes without a word: nobody knows."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        s.close()


class DotReset(Behaviour):
    """Has it, and resets."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        s.abort()


class DotSilent(Behaviour):
    """Has it, and says nothing."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        await s.silence()


class DotHalfReply(Behaviour):
    """Begins to say 250 and closes."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        await s.raw(b"250 2.0.0 ta")
        s.close()


class DotDrips(Behaviour):
    """Takes the content an octet at a time."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        await s.drip(b"250-" + b"x" * 200)


class DotSlowly(Behaviour):
    """Takes the content an octet at a time, within the time."""

    async def verdict(self, s, content):
        s.took(content)
        await s.drip(b"250 ok\r\n", 0.1)


class DotTwice(Behaviour):
    """Answers the content twice."""
    times = 3

    async def verdict(self, s, content):
        await self.take(s, content, "250 2.0.0 taken\r\n250 2.0.0 taken I said")


class DotContradicts(Behaviour):
    """Takes the content and then refuses it: the first word counts."""

    async def verdict(self, s, content):
        await self.take(s, content, "250 2.0.0 taken\r\n550 5.0.0 no")


class DotGarbage(Behaviour):
    """Takes it with garbage behind the 250."""

    async def verdict(self, s, content):
        s.took(content)
        await s.raw(b"250 2.0.0 ok\0\xff\x1b[2J\x07 id=\"x\" ev=bounced\r\n")


class DotLong(Behaviour):
    """Takes it with 100 lines."""

    async def verdict(self, s, content):
        s.took(content)
        await s.raw(b"250-2.0.0 " + b"y" * 400 + b"\r\n" + b"250-z\r\n" * 99 + b"250 \r\n")


class DotThenDrop(Behaviour):
    """Takes it and closes."""
    times = 3

    async def verdict(self, s, content):
        await self.take(s, content)
        s.close()


class DotThenReset(Behaviour):
    """Takes it, and resets a moment later."""
    times = 3

    async def verdict(self, s, content):
        await self.take(s, content)
        await asyncio.sleep(0.05)
        s.abort()


class DotThen421(Behaviour):
    """Says 421 after each message."""
    times = 3

    async def verdict(self, s, content):
        await self.take(s, content, "250 2.0.0 taken\r\n421 4.7.0 one is enough")
        s.close()


# ---- chunks --------------------------------------------------------------------------------------


class Chunks(Behaviour):
    """Takes chunks, as it should."""
    extensions = (*EXTENSIONS, "CHUNKING")
    size = LARGE


class ChunksStepByStep(Chunks):
    """Takes chunks, without PIPELINING."""
    extensions = ("CHUNKING", "8BITMIME")


class ChunksUnknown(Chunks):
    """Offers CHUNKING, does not know BDAT, and takes the content for commands."""
    expect = "deferred"

    async def bdat(self, s, rest):
        await s.say("502 5.5.1 not implemented")

    async def unknown(self, s, rest):
        await s.say("502 5.5.1 not implemented")


class ChunksRefused(Chunks):
    """Has enough after three chunks."""
    expect = "bounced"
    reply = "552 5.2.2 mailbox full"

    async def bdat(self, s, rest):
        number = int(rest.partition(" ")[0])
        s.chunks += await s.reader.readexactly(number)
        await s.say(self.reply if len(s.chunks) > 300000 else "250 ok")


class ChunksLater(ChunksRefused):
    """Has no room after three chunks."""
    expect = "deferred"
    reply = "452 4.3.1 no room"


class ChunksLastRefused(Chunks):
    """Takes every chunk and refuses the message."""
    expect = "bounced"

    async def verdict(self, s, content):
        await s.say("554 5.7.1 no")


class ChunksDrop(Chunks):
    """Closes between chunks."""
    expect = "deferred"

    async def bdat(self, s, rest):
        if len(s.chunks) > 300000:
            s.close()
        await super().bdat(s, rest)


class ChunksSilent(Chunks):
    """Does not answer the second chunk."""
    expect = "deferred"

    async def bdat(self, s, rest):
        if s.chunks:
            await s.silence()
        await super().bdat(s, rest)


class ChunksLastSilent(Chunks):
    """Does not answer the last chunk."""
    expect = "deferred"
    maybe = True

    async def verdict(self, s, content):
        s.took(content)
        await s.silence()


class ChunksAnsweredTwice(Chunks):
    """Answers each chunk twice: one of them could pass for the verdict."""
    expect = "deferred"

    async def bdat(self, s, rest):
        await s.reader.readexactly(int(rest.partition(" ")[0]))
        await s.say("250 2.0.0 ok", "250 2.0.0 ok")


# ---- after it ------------------------------------------------------------------------------------


class QuitSilent(Behaviour):
    """Does not answer QUIT."""

    async def quit(self, s, rest):
        await s.silence()


class QuitEndless(Behaviour):
    """Does not stop to answer QUIT."""

    async def quit(self, s, rest):
        await s.endless(b"221-and goodbye\r\n" * 100)


class ChattersIdle(Behaviour):
    """Has something to say when nobody asked, or when somebody asked something else."""
    expect = {"delivered", "deferred"}
    times = 3

    async def verdict(self, s, content):
        await self.take(s, content)
        await asyncio.sleep(0.1)
        await s.say("250 and by the way")


class ClosesAfterTwo(Behaviour):
    """Closes after two messages of a connection, without a word."""
    times = 5

    async def mail(self, s, rest):
        s.count = getattr(s, "count", 0) + 1
        if s.count > 2:
            s.close()
        await super().mail(s, rest)


class RsetRefused(Behaviour):
    """Refuses the first message, then RSET."""
    expect = "deferred"
    times = 2

    def judge(self, who, count):
        return "451 4.2.1 later"

    async def rset(self, s, rest):
        await s.say("502 5.5.1 no")


# ---- TLS (plain delivery is right where the sender does not use it) -------------------------------


class Starttls(Behaviour):
    """Offers STARTTLS and closes when it is used."""
    expect = {"delivered", "deferred"}
    extensions = (*EXTENSIONS, "STARTTLS")

    async def starttls(self, s, rest):
        s.close()


class StarttlsRefused(Starttls):
    """Offers STARTTLS and has no time for it."""

    async def starttls(self, s, rest):
        await s.say("454 4.7.0 not now")


class StarttlsDrop(Starttls):
    """Closes where the handshake begins."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead")
        s.close()


class StarttlsSilent(Starttls):
    """Says nothing in the handshake."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead")
        await s.silence()


class StarttlsGarbage(Starttls):
    """Says what is no handshake."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead")
        await s.reader.read(16)
        await s.raw(b"220 what handshake?\r\n" * 10)
        await s.silence()


class StarttlsHalfRecord(Starttls):
    """Begins a record of the handshake and closes."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead")
        await s.reader.read(16)
        await s.raw(b"\x16\x03\x03\x40\x00\x02\x00")
        s.close()


class StarttlsDrips(Starttls):
    """Sends the handshake an octet at a time."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead")
        await s.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(200))
        await s.silence()


class StarttlsInjected(Starttls):
    """What follows the 220 was said before there was TLS: nothing of it may be believed."""

    async def starttls(self, s, rest):
        await s.say("220 go ahead", "250-injected", "250 PIPELINING")
        await s.silence()
