"""Free ports, waiting, and scratch folders that other users can enter."""

import contextlib
import ctypes
import os
import pathlib
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


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait_for(condition, timeout=10.0, step=0.05, what="condition"):
    """Calls condition until it is true; its value, or TimeoutError."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(step)


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
