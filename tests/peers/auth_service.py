"""Something that speaks Dovecot's protocols of auth-client and auth-userdb, and knows few users.

    with AuthService(path, {"alice@a.test": "secret"}) as service:
        service.hold()      # questions wait for an answer from here on
        service.go()
        service.asked       # the names it was asked for, in order

One socket for both: who shakes hands as a client gets the mechanisms.
"""

import base64
import contextlib
import socket
import threading


class AuthService:
    def __init__(self, path, users):
        self.path, self.users = str(path), dict(users)
        self.asked, self.open = [], set()
        self._may_answer = threading.Event()
        self._may_answer.set()

    def hold(self):
        self._may_answer.clear()

    def go(self):
        self._may_answer.set()

    def __enter__(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        self.open.add(connection)
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            # A master client speaks as soon as it has this; another one after DONE.
            connection.sendall(b"VERSION\t1\t2\n")
            for line in lines:
                words = line.decode().rstrip("\n").split("\t")
                answer = self._answer(words)
                if answer:
                    connection.sendall(answer.encode() + b"\n")
        self.open.discard(connection)

    def _answer(self, words):
        if words[0] == "CPID":
            return "MECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE"
        if words[0] == "USER":
            name, verdict = words[2], "USER\t{id}\t{name}"
            missing = "NOTFOUND\t{id}"
        elif words[0] == "AUTH":
            resp = next(word[5:] for word in words if word.startswith("resp="))
            _, name, password = base64.b64decode(resp).decode().split("\0")
            verdict, missing = "OK\t{id}\tuser={name}", "FAIL\t{id}\tuser={name}"
            if self.users.get(name) != password:
                verdict = missing
        else:
            return None
        self.asked.append(name)
        self._may_answer.wait(20)
        text = verdict if name in self.users else missing
        return text.format(id=words[1], name=name)
