"""A process is held at the moment when it has read a frame of one type, or is about to write it.

    with FrameStop() as stop:
        Godwit(env=stop.env)
        stop.hold("vault", "SWITCH")           # it has read it, and does nothing with it yet
        stop.wait(); stop.go()
        stop.hold("queue", "SWITCHED", out=True)    # it is about to say it
        stop.kill()
"""

import os
import re
import signal
import subprocess

from . import ports, preload

_DIRECTION, _TYPE, _AT, _PID, _GO = range(2, 7)


def _library():
    source = ports.REPO / "tests" / "peers" / "framestop.c"
    library = ports.REPO / "build" / "framestop.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        library.parent.mkdir(exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(fresh),
                        str(source)], check=True)
        fresh.rename(library)
    return library


def _types():
    """{name: number} of the frames, as their table has them."""
    text = (ports.REPO / "src" / "net" / "messages.def").read_text()
    return {name: i for i, name in enumerate(re.findall(r"^MESSAGE\((\w+),", text, re.M), 1)}


class FrameStop(preload.Page):
    def __init__(self):
        super().__init__("framestop", "FRAMESTOP", _library())
        self.types = _types()

    def hold(self, role, frame, n=1, out=False):
        self._set(_AT, 0)
        self._page[:16] = f"gw-{role}".encode().ljust(16, b"\0")
        for index, value in ((_DIRECTION, int(out)), (_TYPE, self.types[frame]), (_PID, 0), (_GO, 0),
                             (_AT, n)):
            self._set(index, value)

    def go(self):
        self._set(_AT, 0)
        self._set(_GO, 1)

    def wait(self, timeout=10):
        """Until one is held: its pid."""
        return ports.wait_for(lambda: self._get(_PID), timeout, 0.01, what="a process at that frame")

    def kill(self, timeout=10):
        os.kill(self.wait(timeout), signal.SIGKILL)
