"""Logged-in clients under TLS, while processes are killed: what was accepted arrives, whoever was
logged in may go on or log in again, and nobody's message comes twice without a reason."""

import re
import smtplib
import threading
import time
from collections import Counter

import pytest

from conftest import LONG, needs_processes
from peers import certs, clients, ports
from peers import godwit as godwit_peer

ALICE, SECRET = "alice@example.com", "wide open secret"
CLIENTS, SECONDS = 4, 30 if LONG else 4


class Sender(threading.Thread):
    """Sends numbered messages, over as many connections as it takes, until it is told to stop."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        self.server, self.label = server, name
        self.accepted, self.unknown, self.logins, self.stop = set(), set(), 0, False
        self.surprises = []

    def run(self):
        number = 0
        while not self.stop:
            try:
                with clients.smtplib_session(self.server) as session:
                    session.login(ALICE, SECRET)
                    self.logins += 1
                    for _ in range(20):
                        number += 1
                        self.send(session, f"{self.label}-{number}")
                        if self.stop:
                            break
            except smtplib.SMTPAuthenticationError as error:
                if error.smtp_code != 454:  # nobody there to ask, for a moment
                    self.surprises.append(error)
                time.sleep(0.05)
            except (smtplib.SMTPException, OSError):
                time.sleep(0.05)

    def send(self, session, mark):
        content = (f"From: {ALICE}\r\nTo: bob@example.net\r\nDate: Sat, 21 Nov 2026 19:00:00 +0000\r\n"
                   f"Message-ID: <{mark}@example.com>\r\nX-Mark: {mark}.\r\n\r\n{mark}\r\n")
        try:
            session.sendmail(ALICE, ["bob@example.net"], content.encode())
        except (smtplib.SMTPServerDisconnected, OSError):
            self.unknown.add(mark)  # perhaps between the dot and its reply
            raise
        self.accepted.add(mark)
        time.sleep(0.01)


@needs_processes
@pytest.mark.parametrize("victim", ["vault", "smtpd", "queue", None])
def test_logged_in_while_processes_die(make_godwit, scratch, victim):
    ca = certs.Authority(scratch)
    g = make_godwit(trust="", tls=[ca.issue("mx.test", "127.0.0.1")], users={ALICE: SECRET},
                    listeners={"submissions": "submission {tls implicit}"})
    # An end of a channel is told by whoever is left at its other end.
    g.expected_alarms = {"role.died", "role.crashed", "peer.ended", "error"} if victim else set()
    server = clients.Server(g.ports["submissions"], "implicit", ca.cert, ALICE, SECRET)
    senders = [Sender(server, f"c{n}") for n in range(CLIENTS)]
    for sender in senders:
        sender.start()
    kills = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(1)
        if victim:
            g.kill9(victim)
            kills += 1
    before = [len(sender.accepted) for sender in senders]
    ports.wait_for(lambda: all(len(s.accepted) > n for s, n in zip(senders, before)), 20,
                   what="every client going on after the last kill")
    for sender in senders:
        sender.stop = True
    for sender in senders:
        sender.join(clients.PATIENCE + 5)
    g.wait_idle()
    check(g, senders)
    assert kills >= 2 or not victim
    if not victim:
        assert not any(sender.unknown for sender in senders)


def check(g, senders):
    marks = Counter()
    for path in godwit_peer.finished_mail(g.maildir):
        marks[re.search(rb"^X-Mark: (.*)\.$", path.read_bytes(), re.M)[1].decode()] += 1
    accepted = set().union(*(sender.accepted for sender in senders))
    unknown = set().union(*(sender.unknown for sender in senders))
    assert not [s.surprises for s in senders if s.surprises]
    assert len(accepted) > 20
    assert not accepted - set(marks), "lost"
    assert not set(marks) - accepted - unknown, "from nowhere"
    assert not {mark for mark, n in marks.items() if n > 1}, "twice"
