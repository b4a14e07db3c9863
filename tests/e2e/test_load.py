"""Many messages from Postfix's smtp-source: each arrives exactly once."""

import re
from collections import Counter

from conftest import LONG
from peers import ports, postfix
from peers.sink import Sink

MESSAGES = 20000 if LONG else 3000


class Ids:
    """Counts Message-IDs as they arrive, without keeping content."""

    pattern = re.compile(rb"^Message-Id: <([^>]+)>", re.M | re.I)

    def __init__(self):
        self.count = Counter()

    def arrived(self, message):
        match = self.pattern.search(message.data)
        self.count[match[1] if match else None] += 1
        message.data = b""


def test_source_through_godwit(make_godwit, peers):
    ids = Ids()
    with Sink(on_message=ids.arrived) as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port))
        postfix.run_source(("127.0.0.1", g.port), MESSAGES, sessions=50, size=4096, timeout=300,
                           recipient="sink@example.org")
        ports.wait_for(lambda: len(ids.count) >= MESSAGES, 120, what="all messages at the sink")
        g.wait_idle()
        assert len(ids.count) == MESSAGES and set(ids.count.values()) == {1}
        assert not sink.violations
        assert len(g.log_lines("accepted")) == MESSAGES
        assert len(g.log_lines("delivered")) == MESSAGES


def test_source_to_smtp_sink(make_godwit, peers):
    """The same with Postfix's own sink; new connections for each message on the way in."""
    with postfix.Sink() as out:
        g = make_godwit(relay=("127.0.0.1", out.port))
        postfix.run_source(("127.0.0.1", g.port), MESSAGES // 5, sessions=20, reuse=False,
                           timeout=120, recipient="sink@example.org")
        g.wait_log("delivered", count=MESSAGES // 5, timeout=60)
        assert len(g.log_lines("delivered")) == MESSAGES // 5
