"""SMTP servers that nobody wishes for, each with one bad habit.

    with Hostile() as world:                 # a port for each behaviour
        world.port("DotDrop"), world.behaviours()
        world.taken                          # [(behaviour, recipient, X-Ledger number or None)]

A behaviour is a class: its docstring is its habit, `expect` what must become of the recipients a, b and c
of a message of `size` octets after one attempt: "delivered", "deferred" or "bounced", a set where either is right, a
dict where they differ. `taken` has whoever was given a 2xx behind the whole content, whether that
reply could be read or not.
"""

import asyncio
import contextlib
import socket
import threading

from . import habits_content, habits_envelope  # noqa: F401: their classes are found by everything()
from .habit import Behaviour, Over, Session


def everything():
    """The classes of all behaviours, by name."""
    found, todo = {}, [Behaviour]
    while todo:
        kind = todo.pop()
        found[kind.__name__] = kind
        todo += kind.__subclasses__()
    return dict(sorted(found.items()))


class Hostile:
    """All of them, or those named, each on a port of its own, in one thread. copies: of each, with
    a number behind the name."""

    def __init__(self, *names, copies=1):
        self.lock = threading.Lock()
        self.taken = []
        kinds = everything()
        self.all = {}
        for name in names or kinds:
            for copy in range(copies):
                behaviour = kinds[name]()
                behaviour.name += str(copy) if copies > 1 else ""
                self.all[behaviour.name] = behaviour
        self._sockets = {}
        self._held = []
        self._tasks = set()
        for name in self.all:
            self._sockets[name] = self._listen(name)

    def _listen(self, name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # little, so that what is not read has not left the sender either
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        sock.bind(("127.0.0.1", 0))
        if name == "NobodyThere":
            return sock
        sock.listen(0 if name == "FullBacklog" else 512)
        while name == "FullBacklog":
            other = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            other.settimeout(0.3)
            self._held.append(other)
            try:
                other.connect(sock.getsockname())
            except OSError:
                break
        return sock

    def port(self, name):
        return self._sockets[name].getsockname()[1]

    def behaviours(self):
        return list(self.all.values())

    def took(self, name):
        with self.lock:
            return [(rcpt, number) for who, rcpt, number in self.taken if who == name]

    # ---- life -------------------------------------------------------------------------------

    async def _serve(self, behaviour, reader, writer):
        behaviour.sessions += 1
        self._tasks.add(asyncio.current_task())
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await behaviour.talk(Session(self, behaviour, reader, writer))
        except (Over, OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()

    async def _open(self):
        for name, behaviour in self.all.items():
            if name not in ("FullBacklog", "NobodyThere"):
                await asyncio.start_server(
                    lambda r, w, b=behaviour: self._serve(b, r, w), sock=self._sockets[name],
                    limit=1 << 20)

    def _run(self, started):
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._open())
        started.set()
        self._loop.run_forever()
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(RuntimeError):
            self._loop.run_until_complete(asyncio.sleep(0.05))

    def __enter__(self):
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(5)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        for sock in [*self._sockets.values(), *self._held]:
            sock.close()
