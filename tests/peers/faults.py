"""Faults: a flush that fails or is left out, a disk that is full, a planted crash."""

import os
import struct
import subprocess

from . import ports, preload


def _build(name, folder):
    """tests/peers/NAME.c as a library to be preloaded; plain loops, so that no call finds itself."""
    library = folder / f"{name}.so"
    source = ports.REPO / "tests" / "peers" / f"{name}.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-fno-builtin",
                    "-o", str(library), str(source)], check=True)
    return library


class Poison:
    """with Poison("sender:send:<poison") as p: Godwit(env=p.env). What crashes: poison.c."""

    def __init__(self, *rules):
        self.folder = ports.scratch("godwit-poison-")
        self.env = {"LD_PRELOAD": str(_build("poison", self.folder)), "POISON": ",".join(rules)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ports.discard(self.folder)


class FlushFault(preload.Page):
    """fault = FlushFault(); Godwit(env=fault.env); fault.fail(errno.EIO); fault.heal()"""

    def __init__(self):
        super().__init__("flush", "FLUSHFAULT", lambda folder: _build("flushfault", folder))

    def _mode(self, mode):
        self._page[0:4] = struct.pack("i", mode)

    def fail(self, error):
        self._mode(error)

    def skip(self):
        self._mode(-1)

    def heal(self):
        self._mode(0)

    @property
    def count(self):
        return struct.unpack("i", self._page[4:8])[0]


def tmpfs_wrapper(folder, size):
    """Runs a program with a small file system of its own at folder, seen by nobody else."""
    script = 'mount -t tmpfs -o "size=$1,mode=755" tmpfs "$2" && shift 2 && exec "$@"'
    return ["unshare", "-m", "--propagation", "private",
            "sh", "-ec", script, "tmpfs", size, str(folder)]


def inside(pid, path):
    """A path as the process sees it, from outside its mount namespace."""
    return f"/proc/{pid}/root{path}"
