"""Free ports, waiting, and scratch folders that other users can enter."""

import collections
import contextlib
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_parent():
    """preexec_fn: when the tests are killed, what they started gets SIGTERM."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _own_range():
    """The ports to choose from: below those that the kernel gives to whoever asks for any, so that
    no connection of another test has one between our look and the listening; and each worker of
    pytest has its own, so that no two choose the same. None: the kernel has them all."""
    try:
        first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return None
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw15").removeprefix("gw")
    each = (first - FIRST_PORT) // WORKERS_MAX
    if each < PORTS_LEAST or not worker.isdigit():
        return None
    begin = FIRST_PORT + int(worker) % WORKERS_MAX * each
    return range(begin, begin + each)


FIRST_PORT, WORKERS_MAX, PORTS_LEAST = 10240, 16, 1000
_range = _own_range()
_given = collections.deque(maxlen=500)


def _free(family, host):
    """None that was given lately: who got it may not listen there yet."""
    while True:
        wanted = random.choice(_range) if _range else 0
        if wanted in _given:
            continue
        with socket.socket(family, socket.SOCK_STREAM) as s, contextlib.suppress(OSError):
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.bind((host, wanted))
            port = s.getsockname()[1]
            if port not in _given:
                _given.append(port)
                return port


def free_port(host="127.0.0.1"):
    return _free(socket.AF_INET, host)


def free_everywhere():
    """A port that is free at all addresses of this machine."""
    return _free(socket.AF_INET6, "::")


# A machine that has other things to do is so much slower. Who wants to know how long something takes
# asks the clock.
SLOWER = 3


def wait_for(condition, timeout=10.0, step=0.05, what="condition"):
    """Calls condition until it is true; its value, or TimeoutError: after timeout seconds on a machine
    that is ours alone."""
    timeout *= SLOWER
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(step)


def quickest(action, good, tries=5):
    """The shortest time of action(), in seconds; again while it is not below good. What else the
    machine does makes one longer, never shorter."""
    best = None
    for _ in range(tries):
        begin = time.monotonic()
        action()
        took = time.monotonic() - begin
        best = took if best is None else min(best, took)
        if best < good:
            break
    return best


def greets(port, host="127.0.0.1", timeout=1.0, ready=False):
    """Does an SMTP server greet there? ready: and take MAIL."""
    words = (b"EHLO probe.test", b"MAIL FROM:<>") if ready else ()
    try:
        with socket.create_connection((host, port), timeout=timeout) as s:
            s.settimeout(timeout)
            answers = [s.recv(512)]
            for word in words:
                s.sendall(word + b"\r\n")
                answers.append(s.recv(512))
            with contextlib.suppress(OSError):
                s.sendall(b"QUIT\r\n")
                s.recv(512)
            return all(answer.startswith(b"2") for answer in answers)
    except OSError:
        return False


def wait_greeting(port, host="127.0.0.1", timeout=10.0):
    wait_for(lambda: greets(port, host), timeout, what=f"greeting on port {port}")


def scratch(prefix="godwit-e2e-"):
    """A new folder that daemons with their own uid may enter (pytest's own are private)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    return path


def discard(path):
    if os.environ.get("GODWIT_KEEP"):
        print(f"kept: {path}")
        return
    shutil.rmtree(path, ignore_errors=True)
