"""The n-th call of a kind in one role of a running program fails or kills it.

    with NthCall() as nth:
        Godwit(env=nth.env)
        nth.arm("queue", "fdatasync", 2, "EIO")      # or "KILL"; role "any": whoever makes it
        nth.hits, nth.counts()
"""

import errno
import os
import subprocess

from . import ports, preload

# As nthcall.c has them. "new": a process of master's that has no name yet; "delivery": a child of
# the mda.
ROLES = ("master", "new", "smtpd", "queue", "sender", "mda", "delivery", "control")
CALLS = ("malloc", "mmap", "read", "write", "pread64", "pwritev", "fdatasync", "fsync", "fallocate",
         "openat", "renameat", "renameat2", "unlinkat", "mkdirat", "fstat", "newfstatat", "fstatfs",
         "getdents64", "fcntl", "socket", "socketpair", "connect", "accept4", "getsockopt",
         "setsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "shutdown", "epoll_create1",
         "epoll_ctl", "epoll_wait", "eventfd2", "pipe2", "clone", "pidfd_open", "wait4")
_ROLE, _CALL, _AT, _FAULT, _HITS, _COUNT = range(6)


def _library():
    """The preloaded part, compiled once for the thousands that use it."""
    source = ports.REPO / "tests" / "peers" / "nthcall.c"
    library = ports.REPO / "build" / "nthcall.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        library.parent.mkdir(exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(fresh),
                        str(source)], check=True)
        fresh.rename(library)
    return library


class NthCall(preload.Page):
    def __init__(self):
        super().__init__("nthcall", "NTHCALL", _library())

    def arm(self, role, call, n, fault):
        self.heal()
        self._set(_ROLE, -1 if role == "any" else ROLES.index(role))
        self._set(_CALL, CALLS.index(call))
        self._set(_FAULT, -1 if fault == "KILL" else getattr(errno, fault))
        self._set(_AT, n)

    def heal(self):
        self._set(_AT, 0)

    @property
    def hits(self):
        return self._get(_HITS)

    def counts(self):
        """{(role, call): how many there were since the last time this was asked}"""
        found = {}
        for i in range(len(ROLES) * len(CALLS)):
            n = self._get(_COUNT + i)
            if n:
                found[ROLES[i // len(CALLS)], CALLS[i % len(CALLS)]] = n
                self._set(_COUNT + i, 0)
        return found
