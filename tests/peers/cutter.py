"""A wire that breaks at a reply: for what becomes of mail when a connection ends anywhere.

    with Cutter(("127.0.0.1", g.port)) as wire:
        wire.cut_at = 3      of the next connection the first three replies come through, then it ends
        ... connect to 127.0.0.1:wire.port ...
        wire.cuts            how many connections ended so
    wire.down = True     nobody answers
"""

import contextlib
import re
import socket
import threading

LAST_LINE = re.compile(rb"\d\d\d( |\r?$)")


class Cutter:
    def __init__(self, target, port=0):
        self.target = target
        self.server = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.server.getsockname()[1]
        self.cut_at, self.cuts, self.down = None, 0, False

    def _forth(self, client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _back(self, server, client, left):
        with server.makefile("rb") as lines:
            for line in lines:
                if left == 0:
                    self.cuts += 1
                    return
                client.sendall(line)
                if left is not None and LAST_LINE.match(line):
                    left -= 1

    def _connection(self, client, left):
        with client, contextlib.suppress(OSError):
            if self.down:
                return
            with socket.create_connection(self.target, timeout=20) as server:
                threading.Thread(target=self._forth, args=(client, server), daemon=True).start()
                with contextlib.suppress(OSError):
                    self._back(server, client, left)
                for end in (client, server):  # the other thread still reads from one
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.server.accept()[0]
                left, self.cut_at = self.cut_at, None
                threading.Thread(target=self._connection, args=(client, left),
                                 daemon=True).start()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
