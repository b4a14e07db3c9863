"""A machine whose limits can be moved while the program runs in it.

    with Machine() as m: Godwit(env=m.env); m.jump(3600); m.read_only(errno.EROFS); m.heal()
"""

import os
import subprocess

from . import ports, preload


def _build(folder):
    library = folder / "machine.so"
    source = ports.REPO / "tests" / "peers" / "machine.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(library),
                    str(source)], check=True)
    return library


class Machine(preload.Page):
    """The page that machine.c reads."""

    CLOCK, READ_ONLY, FAIL_AT, FAIL_N, ALLOCATED, REFUSED = range(6)

    def __init__(self):
        super().__init__("machine", "MACHINE", _build)

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
