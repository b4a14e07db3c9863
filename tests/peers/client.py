"""A plain SMTP client that sends exactly the bytes it is told, for tests."""

import socket


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """with Client(port) as c: c.hello(); c.cmd("NOOP"); c.send(b"..."); c.reply()"""

    def __init__(self, port, host="127.0.0.1", source=None, timeout=30, greet=True):
        bind = (source, 0) if source else None
        self.sock = socket.create_connection((host, port), timeout=timeout, source_address=bind)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed(f"closed; unread: {self.buffer!r}")
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def reply(self):
        """A whole reply as (code, text); the lines of a long one are joined by newlines."""
        lines = []
        while True:
            line = self.line()
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)

    def cmd(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def hello(self, name="client.test"):
        return self.cmd(f"EHLO {name}")

    def begin(self, sender, recipients, params=""):
        """MAIL and RCPTs in one write; (reply of MAIL, replies of RCPT)."""
        lines = [f"MAIL FROM:<{sender}>{params}"] + [f"RCPT TO:<{r}>" for r in recipients]
        self.send("".join(line + "\r\n" for line in lines))
        return self.reply(), [self.reply() for _ in recipients]

    def data(self, content):
        """DATA and the content (dots are stuffed here); the final reply."""
        code, text = self.cmd("DATA")
        if code != 354:
            return code, text
        self.send(stuff(content))
        return self.reply()

    def message(self, sender, recipients, content, params=""):
        """A whole transaction; the final reply, or the first refusal of all recipients."""
        mail, rcpts = self.begin(sender, recipients, params)
        if mail[0] != 250:
            return mail
        if all(code >= 400 for code, _ in rcpts):
            self.cmd("RSET")
            return rcpts[0]
        return self.data(content)

    def at_end(self, timeout=15):
        """Does the server close (after whatever it still says)?"""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.sock.close()

    def quit(self):
        try:
            self.cmd("QUIT")
        except (OSError, Closed):
            pass
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stuff(content):
    """Content (CRLF lines) as DATA wants it, with the final dot."""
    if isinstance(content, str):
        content = content.encode()
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def simple_message(subject="test", body="Hello.\r\n"):
    return (f"From: alice@sender.test\r\nTo: bob@example.net\r\nSubject: {subject}\r\n"
            "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\n"
            f"Message-ID: <{subject}@sender.test>\r\n\r\n{body}")
