"""Bad habits before there is any content: connections, greetings, EHLO, MAIL, RCPT."""

import asyncio

from .habit import EXTENSIONS, Behaviour

# ---- connections ---------------------------------------------------------------------------------


class NeverSpeaks(Behaviour):
    """Accepts and says nothing, ever."""
    expect = "deferred"

    async def greeting(self, s):
        await s.silence()


class ClosesAtOnce(Behaviour):
    """Accepts and closes."""
    expect = "deferred"

    async def greeting(self, s):
        s.close()


class ResetsAtOnce(Behaviour):
    """Accepts and resets."""
    expect = "deferred"

    async def greeting(self, s):
        s.abort()


class FullBacklog(Behaviour):
    """Listens and never accepts; its backlog is full."""
    expect = "deferred"


class NobodyThere(Behaviour):
    """Does not even listen."""
    expect = "deferred"


# ---- greetings -----------------------------------------------------------------------------------


class Greeting421(Behaviour):
    """Is always too busy."""
    expect = "deferred"

    async def greeting(self, s):
        await s.say("421 4.3.2 too many connections")
        s.close()


class Greeting554(Behaviour):
    """Wants no mail from us: that may be said of us, not of the recipient."""
    expect = {"deferred", "bounced"}

    async def greeting(self, s):
        await s.say("554 5.7.1 your address is listed")
        s.close()


class Greeting554Silent(Behaviour):
    """Refuses and then neither closes nor answers."""
    expect = {"deferred", "bounced"}

    async def greeting(self, s):
        await s.say("554 go away")
        await s.silence()


class GreetingNotSmtp(Behaviour):
    """Is another protocol."""
    expect = "deferred"

    async def greeting(self, s):
        await s.raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        await s.silence()


class GreetingBinary(Behaviour):
    """Is no text at all."""
    expect = "deferred"

    async def greeting(self, s):
        await s.raw(bytes(range(256)) * 8)
        await s.silence()


class GreetingEndless(Behaviour):
    """Greets without an end, as fast as it can."""
    expect = "deferred"

    async def greeting(self, s):
        await s.endless(b"220-and another line\r\n" * 100)


class GreetingLongLine(Behaviour):
    """Greets with a line without an end."""
    expect = "deferred"

    async def greeting(self, s):
        await s.raw(b"220 ")
        await s.endless(b"x" * 1000)


class GreetingTenThousandLines(Behaviour):
    """Greets with 10,000 lines."""
    expect = "deferred"

    async def greeting(self, s):
        await s.raw(b"220-\r\n" * 10000 + b"220 at last\r\n")


class GreetingDrips(Behaviour):
    """Greets an octet at a time: each in time, all of them too late."""
    expect = "deferred"

    async def greeting(self, s):
        await s.drip(b"220 " + b"very " * 100 + b"slow\r\n")


class GreetingOctets(Behaviour):
    """Greets with NUL, escape sequences and octets above 127."""

    async def greeting(self, s):
        await s.raw(b"220 hostile\0.test \x1b[31m\xff\xfe \r\r\n")


class GreetingBareLf(Behaviour):
    """Ends all its lines with LF alone."""

    async def greeting(self, s):
        s.say = lambda *lines: s.raw("".join(f"{line}\n" for line in lines).encode())
        await s.say("220 hostile.test")


class GreetingManyLines(Behaviour):
    """Greets with 100 lines, which is odd and no harm."""

    async def greeting(self, s):
        await s.say(*["220-and a line"] * 100, "220 done")


class Greeting354(Behaviour):
    """Greets with a code that is none for it."""
    expect = "deferred"

    async def greeting(self, s):
        await s.say("354 go on")
        await s.silence()


class GreetsTwice(Behaviour):
    """Greets twice: all that follows would be one reply behind."""
    expect = "deferred"

    async def greeting(self, s):
        await s.say("220 hostile.test", "220 hostile.test")


# ---- EHLO ----------------------------------------------------------------------------------------


class EhloUnknown(Behaviour):
    """Knows HELO only."""

    async def ehlo(self, s, rest):
        await s.say("502 5.5.1 not implemented")


class EhloDrop(Behaviour):
    """Closes when it hears EHLO: HELO is tried, once."""

    async def ehlo(self, s, rest):
        s.close()


class EhloSilent(Behaviour):
    """Says nothing to EHLO."""
    expect = "deferred"

    async def ehlo(self, s, rest):
        await s.silence()


class EhloEndless(Behaviour):
    """Has extensions without an end."""
    expect = "deferred"

    async def ehlo(self, s, rest):
        await s.endless(b"250-X-ANOTHER\r\n" * 100)


class EhloTwiceListed(Behaviour):
    """Lists everything twice, once with nonsense."""
    extensions = ("SIZE 5x", "SIZE", "SIZE 100000000", "pipelining", "PIPELINING YES", "8BITMIME",
                  "8bitmime", "AUTH=LOGIN", "AUTH LOGIN", "", " ", "X" * 500, "LIMITS RCPTMAX=no")


class EhloDrips(Behaviour):
    """Lists its extensions an octet at a time."""
    expect = "deferred"

    async def ehlo(self, s, rest):
        await s.drip(b"250-hostile.test\r\n" + b"250-PIPELINING\r\n" * 30)


class EhloPermanent(Behaviour):
    """Refuses our name."""
    expect = {"deferred", "bounced"}

    async def ehlo(self, s, rest):
        await s.say("550 5.7.1 I do not know you")


class SaysSizeTen(Behaviour):
    """Says that it takes ten octets: nothing is sent."""
    expect = "bounced"
    extensions = ("PIPELINING", "SIZE 10")

    async def mail(self, s, rest):
        await s.silence()


class LiesPipelining(Behaviour):
    """Offers PIPELINING, and hears the first command of a segment only."""
    expect = "deferred"

    async def talk(self, s):
        await self.greeting(s)
        while segment := await s.reader.read(65536):
            verb, _, rest = segment.decode("latin-1").partition("\r\n")[0].partition(" ")
            await getattr(self, verb.lower(), self.unknown)(s, rest)


class LiesLimits(Behaviour):
    """Says that it takes one recipient at a time, and would take more."""
    expect = {"a": "delivered", "b": {"delivered", "deferred"}, "c": {"delivered", "deferred"}}
    extensions = (*EXTENSIONS, "LIMITS RCPTMAX=1 MAILMAX=0")


class No8bitNoSize(Behaviour):
    """Offers nothing."""
    extensions = ()


# ---- MAIL ----------------------------------------------------------------------------------------


class Mail550(Behaviour):
    """Refuses the sender."""
    expect = "bounced"

    async def mail(self, s, rest):
        await s.say("550 5.7.1 not you")


class MailDrop(Behaviour):
    """Closes at MAIL."""
    expect = "deferred"

    async def mail(self, s, rest):
        s.close()


class MailReset(Behaviour):
    """Resets at MAIL."""
    expect = "deferred"

    async def mail(self, s, rest):
        s.abort()


class MailSilent(Behaviour):
    """Says nothing to MAIL."""
    expect = "deferred"

    async def mail(self, s, rest):
        await s.silence()


class Mail354(Behaviour):
    """Answers MAIL as if it were DATA."""
    expect = "deferred"

    async def mail(self, s, rest):
        await s.say("354 go on")


class Mail421(Behaviour):
    """Goes down at MAIL."""
    expect = "deferred"

    async def mail(self, s, rest):
        await s.say("421 4.3.2 going down")
        s.close()


class MailRefusedRcptTaken(Behaviour):
    """Refuses the sender, then takes the recipients."""
    expect = "bounced"

    async def mail(self, s, rest):
        await s.say("553 5.1.8 no such sender")


# ---- RCPT ----------------------------------------------------------------------------------------


class RcptMixed(Behaviour):
    """Takes a, refuses b, has no time for c."""
    expect = {"a": "delivered", "b": "bounced", "c": "deferred"}

    def judge(self, who, count):
        return {"a": "250 2.1.5 ok", "b": "550 5.1.1 no such user", "c": "451 4.2.1 later"}[who]


class RcptOneOnly(Behaviour):
    """Takes the first recipient and has 452 for all others."""
    expect = {"a": "delivered", "b": "deferred", "c": "deferred"}

    def judge(self, who, count):
        return "452 4.5.3 too many" if count else "250 2.1.5 ok"


class Rcpt552(Behaviour):
    """Says 552 for too many recipients, as RFC 821 did: that is for now."""
    expect = {"a": "delivered", "b": "deferred", "c": "deferred"}

    def judge(self, who, count):
        return "552 too many recipients" if count else "250 2.1.5 ok"


class Rcpt251(Behaviour):
    """Takes recipients with 251 and 252."""

    def judge(self, who, count):
        return {"a": "251 will forward", "b": "252 who knows", "c": "299 well"}[who]


class Rcpt551(Behaviour):
    """Knows where they are, and does not forward."""
    expect = "bounced"

    def judge(self, who, count):
        return "551 5.1.6 try <other@elsewhere.example>"


class RcptCode(Behaviour):
    """Has a code that does not exist."""
    expect = "deferred"
    code = "650 no"

    async def rcpt(self, s, rest):
        await s.say(self.code)


class RcptCode1(RcptCode):
    """Says 1xx."""
    code = "150 wait"


class RcptCode3(RcptCode):
    """Says 3xx."""
    code = "354 go on"


class RcptLetters(RcptCode):
    """Says words."""
    code = "OK then"


class RcptFourDigits(RcptCode):
    """Says four digits."""
    code = "2500 ok"


class RcptTwoCodes(RcptCode):
    """Begins a reply with 250 and ends it with 550."""
    code = "250-well\r\n550 no"


class RcptDrop(Behaviour):
    """Closes after the second recipient."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        await super().rcpt(s, rest)
        if len(s.rcpts) == 2:
            s.close()


class RcptReset(Behaviour):
    """Takes the first recipient and resets."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        await super().rcpt(s, rest)
        await asyncio.sleep(0.1)
        s.abort()


class RcptDrips(Behaviour):
    """Answers recipients an octet at a time, with many words."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        await s.drip(b"250 " + b"y" * 100)


class RcptEndless(Behaviour):
    """Has more and more to say of a recipient."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        await s.endless(b"250-and he says\r\n" * 50)


class RepliesTooMany(Behaviour):
    """Answers each recipient twice: the rest is out of step."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        await super().rcpt(s, rest)
        await s.say("250 2.1.5 I said ok")


class RepliesTooFew(Behaviour):
    """Forgets to answer the second recipient."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        s.rcpts.append(rest[4:].partition(">")[0])
        if len(s.rcpts) != 2:
            await s.say("250 2.1.5 ok")


class RepliesSwapped(Behaviour):
    """Answers DATA before the recipients."""
    expect = "deferred"

    async def rcpt(self, s, rest):
        s.rcpts.append(rest[4:].partition(">")[0])

    async def data(self, s, rest):
        await s.say("354 go on", *["250 2.1.5 ok"] * len(s.rcpts))
        await s.silence()


class RepliesEarly(Behaviour):
    """Has all the replies of a message ready before it hears of it."""
    expect = "deferred"
    extensions = ("SIZE",)

    async def ehlo(self, s, rest):
        await s.say("250 hostile.test", *["250 ok"] * 4, "354 go on", "250 2.0.0 taken")
