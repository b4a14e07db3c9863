"""An SMTP server with TLS and AUTH that can be told to do it wrong; a thread for each connection.

    with TlsSink(server_context(pair)) as sink:            STARTTLS
    with TlsSink(server_context(pair), implicit=True):     TLS from the first octet
        sink.wait()[0].data; sink.sessions[0].version, .resumed, .name, .commands, .login

What it does wrong: starttls="454 4.7.0 not now" (or None: not offered), behind=b"..." sent in one
write with the 220, broken="close" | "garbage" | "half" | "silent" instead of a handshake (the first
`times` times), cut=True: the end of the reply to the content is cut off without close_notify.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from . import ports

MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


def server_context(pair, version=None, tickets=2, ciphers=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pair.cert, pair.key)
    made.num_tickets = tickets
    if version:
        made.minimum_version = made.maximum_version = version
    if ciphers:
        made.set_ciphers(ciphers)
    return made


@dataclass
class Session:
    number: int
    commands: list = field(default_factory=list)  # (under TLS?, line)
    version: str = None
    resumed: bool = False
    name: str = None  # SNI
    login: str = None  # "PLAIN alice"
    error: str = None  # of the handshake

    def said(self, verb):
        return [line for _, line in self.commands if line.upper().startswith(verb)]


@dataclass
class Message:
    mail_from: str
    rcpts: list
    data: bytes
    session: Session
    tls: bool


class TlsSink:
    def __init__(self, context=None, implicit=False, port=None, extensions=("PIPELINING", "8BITMIME"),
                 starttls="220 2.0.0 go on", behind=b"", broken=None, times=None, cut=False,
                 users=None, mechanisms=(), auth_replies=None, clear_auth=False, host="127.0.0.1"):
        self.context, self.implicit, self.host = context, implicit, host
        self.port = port or ports.free_port(host)
        self.extensions, self.starttls = list(extensions), starttls
        self.behind, self.broken, self.times, self.cut = behind, broken, times, cut
        self.users, self.mechanisms = dict(users or {}), list(mechanisms)
        self.auth_replies, self.clear_auth = list(auth_replies or ()), clear_auth
        self.sessions, self.messages = [], []
        self.iterations = 4096
        self.names = {}
        if context is not None:
            context.sni_callback = lambda s, name, _: self.names.__setitem__(id(s), name)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.listener = socket.create_server((self.host, self.port), backlog=128)
        self.stopped = False
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self.stopped = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in list(self.open):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while not self.stopped:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            session = Session(len(self.sessions))
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(s, session), daemon=True).start()

    def wait(self, count=1, timeout=10):
        return ports.wait_for(
            lambda: list(self.messages) if len(self.messages) >= count else None, timeout,
            what=f"{count} messages at the sink")

    def wait_sessions(self, count=1, timeout=10):
        return ports.wait_for(
            lambda: list(self.sessions) if len(self.sessions) >= count else None, timeout,
            what=f"{count} connections at the sink")

    def _serve(self, s, session):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.add(s)
        talk = _Talk(self, s, session)
        try:
            talk.run()
        except (OSError, EOFError, ssl.SSLError, ValueError):
            pass
        finally:
            self.open.discard(s)
            with contextlib.suppress(OSError):
                talk.s.close()

    def break_now(self):
        """Is this handshake to go wrong?"""
        if self.broken is None or self.times == 0:
            return None
        if self.times is not None:
            self.times -= 1
        return self.broken


class _Talk:
    def __init__(self, sink, s, session):
        self.sink, self.s, self.session = sink, s, session
        self.buffer = b""
        self.tls = False
        self.mail, self.rcpts, self.user = None, [], None

    # ---- octets ----

    def line(self):
        while b"\n" not in self.buffer:
            data = self.s.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def say(self, *lines):
        code = lines[0][:3]
        texts = [lines[0][4:], *lines[1:]]
        out = "".join(f"{code}-{t}\r\n" for t in texts[:-1]) + f"{code} {texts[-1]}\r\n"
        self.s.sendall(out.encode())

    def shake(self):
        """False: it was made to fail."""
        how = self.sink.break_now()
        if how == "close":
            return False
        if how == "garbage":
            self.s.recv(65536)
            self.s.sendall(b"500 5.5.1 what is that\r\n" * 20)
            while self.s.recv(65536):
                pass
            return False
        if how == "half":
            self.s.recv(65536)
            self.s.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + os.urandom(20))
            return False
        if how == "silent":
            time.sleep(120)
            return False
        try:
            self.s = self.sink.context.wrap_socket(self.s, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.session.error = str(error)
            raise
        self.tls = True
        self.session.version = self.s.version()
        self.session.resumed = self.s.session_reused
        self.session.name = self.sink.names.pop(id(self.s), None)
        return True

    # ---- the dialogue ----

    def run(self):
        if self.sink.implicit and not self.shake():
            return
        self.say("220 sink.test ESMTP")
        while True:
            line = self.line()
            self.session.commands.append((self.tls, line))
            verb, _, rest = line.partition(" ")
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler is None:
                self.say("500 5.5.2 what?")
            elif handler(rest) is False:
                return

    def do_ehlo(self, rest):
        words = list(self.sink.extensions)
        if self.sink.starttls and self.sink.context and not self.tls:
            words.append("STARTTLS")
        if self.sink.mechanisms and (self.tls or self.sink.clear_auth):
            words.append("AUTH " + " ".join(self.sink.mechanisms))
        self.mail, self.rcpts = None, []
        self.say("250 sink.test", *words)

    def do_helo(self, rest):
        self.say("250 sink.test")

    def do_starttls(self, rest):
        if not self.sink.starttls.startswith("220"):
            self.say(self.sink.starttls)
            return None
        self.s.sendall(f"{self.sink.starttls}\r\n".encode() + self.sink.behind)
        self.buffer = b""
        return self.shake()

    def do_mail(self, rest):
        if self.sink.users and self.user is None:
            self.say("530 5.7.0 log in first")
            return
        self.mail, self.rcpts = rest.partition("<")[2].partition(">")[0], []
        self.say("250 2.1.0 ok")

    def do_rcpt(self, rest):
        self.rcpts.append(rest.partition("<")[2].partition(">")[0])
        self.say("250 2.1.5 ok")

    def do_data(self, rest):
        self.say("354 go on")
        lines = []
        while (line := self.line()) != ".":
            lines.append(line.removeprefix(".").encode() + b"\r\n")
        data = b"".join(lines)
        if self.sink.cut:
            self.s.sendall(b"250 2.0.0 tak")
            # No close_notify, and no reset either: the socket's own end.
            raw = socket.socket(fileno=self.s.detach()) if self.tls else self.s
            raw.shutdown(socket.SHUT_RDWR)
            raw.close()
            return False
        self.sink.messages.append(Message(self.mail, self.rcpts, data, self.session, self.tls))
        self.say("250 2.0.0 taken")
        return None

    def do_rset(self, rest):
        self.say("250 2.0.0 ok")

    do_noop = do_rset

    def do_quit(self, rest):
        self.say("221 2.0.0 bye")
        if self.tls:
            with contextlib.suppress(OSError):
                self.s.unwrap()
        return False

    # ---- login ----

    def do_auth(self, rest):
        mechanism, _, initial = rest.partition(" ")
        if self.sink.auth_replies:
            self.say(self.sink.auth_replies.pop(0))
            return
        if mechanism not in self.sink.mechanisms:
            self.say("504 5.5.4 no such mechanism")
            return
        how = {"PLAIN": self.plain, "LOGIN": self.login}.get(mechanism, self.scram)
        user = how(initial, mechanism)
        if user is None:
            self.say("535 5.7.8 wrong name or password")
            return
        self.user = user
        self.session.login = f"{mechanism} {user}"
        self.say("235 2.7.0 welcome")

    def ask(self, text):
        self.say("334 " + base64.b64encode(text).decode())
        answer = self.line()
        self.session.commands.append((self.tls, answer))
        return base64.b64decode(answer)

    def plain(self, initial, _):
        _, user, password = base64.b64decode(initial).decode().split("\0")
        return user if self.sink.users.get(user) == password else None

    def login(self, initial, _):
        user = self.ask(b"Username:").decode()
        password = self.ask(b"Password:").decode()
        return user if self.sink.users.get(user) == password else None

    def scram(self, initial, mechanism):
        first = base64.b64decode(initial).decode()
        bound = mechanism.endswith("-PLUS")
        gs2, bare = first.split(",", 2)[0] + ",,", first.split(",", 2)[2]
        if bound != gs2.startswith("p="):
            return None
        fields = dict(part.split("=", 1) for part in bare.split(","))
        user, password = fields["n"], self.sink.users.get(fields["n"], "?")
        nonce, salt = fields["r"] + base64.b64encode(os.urandom(9)).decode(), os.urandom(16)
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={self.sink.iterations}"
        final = self.ask(server_first.encode()).decode()
        without, _, proof = final.rpartition(",p=")
        channel = base64.b64decode(without.partition(",")[0][2:])
        expected = gs2.encode()
        if bound:
            kind = gs2[2:-2]
            expected += self.binding(kind)
        if channel != expected:
            return None
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, self.sink.iterations)
        auth = f"{bare},{server_first},{without}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")
        if bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature)) != key:
            return None
        ours = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
        self.ask(b"v=" + base64.b64encode(ours))
        return user

    def binding(self, kind):
        if kind == "tls-unique":
            return self.s.get_channel_binding("tls-unique")
        return exporter(self.s)


def exporter(s):
    """RFC 9266. Python has no call for it: OpenSSL is asked for the object behind the socket."""
    import ctypes
    import ctypes.util
    lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
    # PyObject_HEAD, then Socket, then SSL *: as CPython 3.11 lays out PySSLSocket.
    inner = s._sslobj
    address = struct.unpack_from("P", ctypes.string_at(id(inner), 64), 24)[0]
    out = ctypes.create_string_buffer(32)
    label = b"EXPORTER-Channel-Binding"
    done = lib.SSL_export_keying_material(ctypes.c_void_p(address), out, ctypes.c_size_t(32), label,
                                          ctypes.c_size_t(len(label)), None, ctypes.c_size_t(0), 0)
    return out.raw if done == 1 else b"?"
