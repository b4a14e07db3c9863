"""The servers under comparison, each in a folder of its own with ordinary settings: what an
administrator gets who only said where mail goes and how much one client may ask.

A server's folder is set aside, not deleted, until the whole run is over: deleting tens of
thousands of queue files slows the file system for whoever is measured next.
"""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from peers import ports  # noqa: E402
from peers.godwit import PROGRAM, Godwit  # noqa: E402
from peers.postfix import Postfix, tree as postfix_tree  # noqa: E402

BIG = 64 << 20


class PostfixServer:
    name = "postfix"
    # One process per session: what 24 GB hold, and what an administrator would set.
    most_sessions = 200

    def __init__(self, folder, next_hop, sessions):
        """next_hop None: mail is only taken. Postfix then puts it on hold, which spares it the
        queue manager's work: with a dead next hop it would be half as fast."""
        options = {
            "default_process_limit": max(100, sessions + 20),
            "message_size_limit": BIG,
            "smtpd_client_connection_count_limit": 0,
            # the defaults, which the test helper shortens
            "minimal_backoff_time": "300s",
            "maximal_backoff_time": "4000s",
            "queue_run_delay": "300s",
        }
        if next_hop is None:
            options["smtpd_client_restrictions"] = "check_client_access static:HOLD"
        self.folder = folder
        self.server = Postfix(relay=next_hop, options=options, folder=folder)

    def start(self):
        self.server.start()

    def stop(self):
        self.server.stop()

    @property
    def pid(self):
        return self.server.pid

    @property
    def port(self):
        return self.server.port

    def queued(self):
        held = sum(1 for path in (self.server.queue / "hold").rglob("*") if path.is_file())
        return held + self.server.queue_length()

    def trouble(self):
        return "\n".join(self.server.log().splitlines()[-10:])


class GodwitServer:
    name = "godwit"
    most_sessions = 10000
    extra = ""

    def __init__(self, folder, next_hop, sessions):
        """next_hop None: one that refuses connections, so mail is only taken."""
        next_hop = next_hop or ("127.0.0.1", ports.free_port())
        limit = max(1000, sessions + 100)
        self.server = Godwit(
            relay=next_hop, domains=(), retry="5m 15m 1h 4h", expire="4d",
            limits=f"limits {{ message-size 64M; connections {limit} per-ip {limit}; "
                   f"transactions 1000000 }}",
            store="store { segment 64M; reserve 64M; spares 2 }", extra=self.extra)
        self.folder = self.server.folder

    def start(self):
        self.server.start()

    def stop(self):
        self.server.stop()

    @property
    def pid(self):
        return self.server.pid

    @property
    def port(self):
        return self.server.port

    def queued(self):
        """Messages it says it holds; None if it does not say."""
        with contextlib.suppress(Exception):
            return _find_number(self.server.status(), ("queued", "messages", "recipients"))
        return None

    def trouble(self):
        return self.server.output()


class WithoutHistory(GodwitServer):
    """Not a server of its own: the row "history" compares with it."""
    extra = "history off"


def _find_number(status, names):
    queue = status.get("queue", status)
    for name in names:
        if isinstance(queue, dict) and isinstance(queue.get(name), (int, float)):
            return int(queue[name])
    return None


SERVERS = {server.name: server for server in (PostfixServer, GodwitServer)}


def available():
    """Names of the servers that can be run here, and why others cannot."""
    found, missing = [], {}
    try:
        postfix_tree()
        found.append("postfix")
    except Exception as error:  # no network and no cache: the rest is still worth measuring
        missing["postfix"] = str(error)
    if pathlib.Path(PROGRAM).exists():
        found.append("godwit")
    else:
        missing["godwit"] = f"{PROGRAM} is not built"
    return found, missing
