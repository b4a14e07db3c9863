"""A machine whose limits can be moved while the program runs in it.

    with Machine() as m: Godwit(env=m.env); m.jump(3600); m.read_only(errno.EROFS); m.heal()
"""

import mmap
import os
import struct
import subprocess

from . import ports


class Machine:
    """The page that machine.c reads."""

    CLOCK, READ_ONLY, FAIL_AT, FAIL_N, ALLOCATED, REFUSED = range(6)

    def __init__(self):
        self.folder = ports.scratch("godwit-machine-")
        library = self.folder / "machine.so"
        source = ports.REPO / "tests" / "peers" / "machine.c"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(library),
                        str(source)], check=True)
        control = self.folder / "control"
        control.write_bytes(bytes(4096))
        control.chmod(0o666)
        self._file = open(control, "r+b")
        self._page = mmap.mmap(self._file.fileno(), 4096)
        self.env = {"LD_PRELOAD": str(library), "MACHINE": str(control)}

    def _set(self, index, value):
        self._page[8 * index:8 * index + 8] = struct.pack("q", value)

    def _get(self, index):
        return struct.unpack("q", self._page[8 * index:8 * index + 8])[0]

    def jump(self, seconds):
        """The wall clock is that far off, from now on."""
        self._set(self.CLOCK, seconds)

    def read_only(self, error):
        """Whatever would change a plain file fails with this error."""
        self._set(self.READ_ONLY, error)

    def fail_allocation(self, n, most=1):
        """The n-th allocation from now on fails, and the next most - 1."""
        self._set(self.FAIL_N, most)
        self._set(self.FAIL_AT, self.allocated + n)

    def heal(self):
        """Writes and allocations succeed again; the clock stays where it is."""
        self._set(self.READ_ONLY, 0)
        self._set(self.FAIL_AT, 0)

    @property
    def allocated(self):
        return self._get(self.ALLOCATED)

    @property
    def refused(self):
        return self._get(self.REFUSED)

    def close(self):
        self._page.close()
        self._file.close()
        ports.discard(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
