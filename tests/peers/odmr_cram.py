"""What lets a customer with CRAM-MD5 alone speak to a provider that does not have it.

    with Interpreter(g.ports["odmr"], "alice", "secret") as between:
        between.cut_at = 3       of the replies that the customer gives in its next turned dialogue
                                 three get through, then both connections end
        ... connect to 127.0.0.1:between.port ...
"""

import base64
import contextlib
import hmac
import re
import socket
import threading

from .odmr import Line, plain


class Interpreter:
    """Knows the password, as a server with CRAM-MD5 (RFC 2195) has to. Behind ATRN it carries octets.
    cuts: how often it ended a connection."""

    CHALLENGE = "<1.2@provider.test>"

    def __init__(self, port, name, password):
        self.target, self.name, self.password = ("127.0.0.1", port), name, password
        self.cut_at, self.cuts = None, 0
        self.server = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.server.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.server.accept()
                cut_at, self.cut_at = self.cut_at, None
                threading.Thread(target=self._session, args=(sock, cut_at), daemon=True).start()

    def _session(self, sock, cut_at):
        sock.settimeout(20)
        customer = Line(sock)
        with contextlib.suppress(OSError), socket.create_connection(self.target, 20) as far:
            provider = Line(far)
            customer.say(provider.reply()[1].replace("\n", "\r\n"))
            if self._first(customer, provider):
                threading.Thread(target=self._forth, args=(provider, customer), daemon=True).start()
                self._back(customer, provider, cut_at)
        customer.close()

    def _first(self, customer, provider):
        while True:
            line = customer.read()
            if line.upper() == "AUTH CRAM-MD5":
                customer.say("334 " + base64.b64encode(self.CHALLENGE.encode()).decode())
                line = self._judge(base64.b64decode(customer.read()).decode())
            code, text = provider.ask(line)
            customer.say(re.sub(r"(?m)^(250.)AUTH .*", r"\1AUTH CRAM-MD5", text)
                         .replace("\n", "\r\n"))
            if line.upper().startswith("ATRN") and code == 250:
                return True

    def _judge(self, answer):
        proof = hmac.new(self.password.encode(), self.CHALLENGE.encode(), "md5").hexdigest()
        good = answer == f"{self.name} {proof}"
        return "AUTH PLAIN " + plain(self.name, self.password if good else "wrong")

    def _forth(self, provider, customer):
        with contextlib.suppress(OSError):
            data = provider.pending[provider.at:]
            while data or (data := provider.sock.recv(65536)):
                customer.sock.sendall(data)
                data = b""
        with contextlib.suppress(OSError):
            customer.sock.shutdown(socket.SHUT_WR)

    def _back(self, customer, provider, left):
        while True:
            if left == 0:
                customer.read()
                self.cuts += 1
                for end in (customer, provider):
                    end.sock.shutdown(socket.SHUT_RDWR)
                return
            line = customer.read()
            provider.say(line)
            if left is not None and line[3:4] != "-":
                left -= 1
