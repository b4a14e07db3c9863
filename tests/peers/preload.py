"""A page that a test and a preloaded library share: numbered 8-octet words, in a folder of its own."""

import mmap
import struct

from . import ports

PAGE = 4096


class Page:
    """variable: where the library finds the file. library: a path, or called with the folder."""

    def __init__(self, name, variable, library):
        self.folder = ports.scratch(f"godwit-{name}-")
        control = self.folder / "control"
        control.write_bytes(bytes(PAGE))
        control.chmod(0o666)
        self._file = open(control, "r+b")
        self._page = mmap.mmap(self._file.fileno(), PAGE)
        path = library(self.folder) if callable(library) else library
        self.env = {"LD_PRELOAD": str(path), variable: str(control)}

    def _set(self, index, value):
        self._page[8 * index:8 * index + 8] = struct.pack("q", value)

    def _get(self, index):
        return struct.unpack("q", self._page[8 * index:8 * index + 8])[0]

    def close(self):
        self._page.close()
        self._file.close()
        ports.discard(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
