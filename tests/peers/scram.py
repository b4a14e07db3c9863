"""The client's side of SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), for tests of Godwit's.

    login(say, "alice@example.com", "secret", binding=("tls-unique", octets))

say: sends one line without its end and returns (code, text) of the reply, both as smtplib has them.
"""

import base64
import hashlib
import hmac
import os


class Refused(Exception):
    """code and text of the server; or what is wrong with what it said."""

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


def pack(octets):
    return base64.b64encode(octets).decode()


def expect(reply, code):
    got, text = reply
    text = text.decode() if isinstance(text, bytes) else text
    if got != code:
        raise Refused(got, text)
    return text


def attributes(text):
    """{"r": ..., "s": ..., "i": ...} of a server's message; the first nine characters of a reply
    cannot be code and text here: a challenge is only base64."""
    return dict(part.split("=", 1) for part in text.split(","))


def xor(one, two):
    return bytes(a ^ b for a, b in zip(one, two))


class Exchange:
    """The messages, each a str. Parts may be changed between the steps, for attacks."""

    def __init__(self, user, password, binding=None, gs2=None):
        self.password, self.binding = password, binding
        self.nonce = pack(os.urandom(18))
        self.gs2 = gs2 or (f"p={binding[0]},," if binding else "n,,")
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.first_bare = f"n={name},r={self.nonce}"

    def first(self):
        return self.gs2 + self.first_bare

    def final(self, server_first):
        said = attributes(server_first)
        if not said["r"].startswith(self.nonce) or len(said["r"]) <= len(self.nonce):
            raise Refused(0, "the server's nonce does not begin with ours")
        if int(said["i"]) < 4096:
            raise Refused(0, "fewer than 4096 iterations (RFC 7677 section 4)")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(),
                                     base64.b64decode(said["s"]), int(said["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bound = pack(self.gs2.encode() + (self.binding[1] if self.binding else b""))
        without_proof = f"c={bound},r={said['r']}"
        message = f"{self.first_bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        self.expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{without_proof},p={pack(xor(key, signature))}"

    def check(self, server_final):
        if base64.b64decode(attributes(server_final).get("v", "")) != self.expected:
            raise Refused(0, "the server does not know the password")


def login(say, user, password, binding=None, initial=True, exchange=None):
    """initial: the first message goes with the command (RFC 4954 section 4)."""
    x = exchange or Exchange(user, password, binding)
    command = "AUTH SCRAM-SHA-256" + ("-PLUS" if binding else "")
    if initial:
        answer = say(f"{command} {pack(x.first().encode())}")
    else:
        assert expect(say(command), 334).strip() == ""
        answer = say(pack(x.first().encode()))
    server_first = base64.b64decode(expect(answer, 334)).decode()
    server_final = base64.b64decode(expect(say(pack(x.final(server_first).encode())), 334)).decode()
    x.check(server_final)
    return expect(say(""), 235)
