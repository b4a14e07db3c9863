"""A wire between a client and a server that remembers what the client said.

    with Tap(("127.0.0.1", g.port)) as tap:
        ... connect to 127.0.0.1:tap.port ...
        tap.writes()     octets of each read from a client
        tap.text()       all of them, a connection behind the other
"""

import contextlib
import socket
import threading

PIECE = 65536


class Tap:
    def __init__(self, target):
        self.target = target
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        self._lock = threading.Lock()
        self._connections = []

    def writes(self):
        with self._lock:
            return [data for said in self._connections for data in said]

    def text(self):
        return b"".join(self.writes())

    def _carry(self, source, to, note):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                note(data)
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def _connection(self, client):
        said = []
        with self._lock:
            self._connections.append(said)
        with client:
            try:
                server = socket.create_connection(self.target, timeout=60)
            except OSError:
                return  # nobody there: the client sees the end
            with server:
                back = threading.Thread(target=self._carry, args=(server, client, lambda _: None),
                                        daemon=True)
                back.start()
                self._carry(client, server, said.append)
                back.join()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.server.accept()[0]
                threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
