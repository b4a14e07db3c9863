"""The ledger: what was promised against what arrived.

Every message has a number, is offered once and never again, and carries a checksum over itself; so
every extra arrival is the server's doing. The load generator notes the fate of each number as the
client saw it; the sink notes each arrival; the test notes each kill. verdict() compares.

    acked    the server answered 250 to the end of data: it must arrive or be bounced
    refused  the server answered 4xx or 5xx: it must not arrive
    unknown  the connection died after the end of data was (perhaps) sent: it may arrive or not
    unsent   the connection died before: it must not arrive
"""

import hashlib
import json
import random
import re
import threading
import time
from collections import Counter, defaultdict

from .client import Client, Closed, stuff

# A delivery is recorded within 20 ms of the peer's 250; two busy cores and the way through two
# processes are added. A sender killed just after its dot leaves a copy that the sink may take a
# little later.
EXCUSE_AFTER = 0.5
EXCUSE_BEFORE = 1.0
# Whose death may leave a delivery unrecorded; that of a receiver never excuses a second copy.
EXCUSES = ("queue", "sender", "all", "eio")

_HEADER = re.compile(rb"^X-Ledger: (\S+) (\d+) ([0-9a-f]{64})\r$", re.M)


LINE_ENDS = (b"\r\n", b" .\r\n", b"\r\n.\r\n", b"\r\n..x\r\n")


def make_message(run, number, size=1000, sender="ledger@sender.test", to="sink@example.org"):
    """A message whose first field has the checksum of everything behind that field."""
    rng = random.Random(f"{run}-{number}")
    body = bytearray()
    while len(body) < size:
        body += f"{rng.getrandbits(240):060x}".encode() + rng.choice(LINE_ENDS)
    rest = (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: ledger {number}\r\n"
            "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\n"
            f"Message-ID: <{run}.{number}@sender.test>\r\n\r\n").encode() + bytes(body)
    check = hashlib.sha256(rest).hexdigest()
    return f"X-Ledger: {run} {number} {check}\r\n".encode() + rest


def read_message(data):
    """(run, number, whole) of a message that came through; None if it is none of ours."""
    match = _HEADER.search(data)
    if not match:
        return None
    rest = data[match.end() + 1:]
    return match[1].decode(), int(match[2]), hashlib.sha256(rest).hexdigest() == match[3].decode()


class Ledger:
    def __init__(self, run=None):
        self.run = run or f"r{random.getrandbits(32):08x}"
        self.lock = threading.Lock()
        self.next = 0
        self.fate = {}  # number -> (state, time, reply, recipients)
        self.arrivals = defaultdict(list)  # (number, recipient) -> [time]
        self.bounces = defaultdict(int)  # (number, recipient) -> reports
        self.stray = []
        self.corrupt = []
        self.faults = set()  # numbers the sink itself mistreated
        self.kills = []  # (what, begin, end)
        self.slow_starts = 0

    def number(self):
        with self.lock:
            self.next += 1
            return self.next - 1

    def note(self, number, state, recipients, reply=""):
        with self.lock:
            self.fate[number] = (state, time.time(), reply, tuple(recipients))

    # ---- the sink's side ----------------------------------------------------------------

    def arrived(self, message):
        """For Sink(on_message=...): called just before the sink's reply."""
        found = read_message(message.data)
        with self.lock:
            if message.mail_from == "":
                self._bounce(message)
            elif not found or found[0] != self.run:
                self.stray.append(message.data[:500])
            elif not found[2]:
                self.corrupt.append(found[1])
            elif message.accepted:
                for rcpt in message.rcpts:
                    self.arrivals[found[1], rcpt].append(message.time)
            else:
                self.faults.add(found[1])

    def _bounce(self, message):
        match = _HEADER.search(message.data)
        failed = re.findall(rb"^Final-Recipient: *rfc822; *(\S+)\r$", message.data, re.M | re.I)
        if not match or match[1].decode() != self.run or not failed:
            self.stray.append(message.data[:2000])
            return
        for rcpt in failed:
            self.bounces[int(match[2]), rcpt.decode()] += 1

    # ---- the verdict --------------------------------------------------------------------

    def states(self):
        with self.lock:
            return Counter(fate[0] for fate in self.fate.values())

    def missing(self):
        """(number, recipient) that were acknowledged and have neither arrived nor bounced."""
        with self.lock:
            acked = [(n, r) for n, (state, _, _, rcpts) in self.fate.items() if state == "acked"
                     for r in rcpts]
            return [k for k in acked if not self.arrivals.get(k) and not self.bounces.get(k)]

    def _excused(self, number, times):
        if number in self.faults:
            return True
        return any(begin <= t + EXCUSE_AFTER and end >= t - EXCUSE_BEFORE
                   for t in times[:-1] for what, begin, end in self.kills if what in EXCUSES)

    def verdict(self):
        lost = self.missing()
        out = Counter(lost=len(lost), stray=len(self.stray), corrupt=len(self.corrupt),
                      slow_starts=self.slow_starts, kills=len(self.kills))
        for key in ("refused_seen", "unsent_seen", "unknown_seen", "unknown_gone", "dup_excused",
                    "dup_unexcused", "bounce_dup", "delivered", "bounced"):
            out[key] = 0
        with self.lock:
            states = Counter(fate[0] for fate in self.fate.values())
            out.update({f"n_{state}": n for state, n in states.items()})
            for number, (state, _, _, rcpts) in self.fate.items():
                seen = any(self.arrivals.get((number, r)) for r in rcpts)
                if state in ("refused", "unsent") and seen:
                    out[f"{state}_seen"] += 1
                if state == "unknown":
                    out["unknown_seen" if seen else "unknown_gone"] += 1
            for (number, rcpt), times in self.arrivals.items():
                out["delivered"] += 1
                known = self.fate.get(number)
                if not known or rcpt not in known[3]:
                    out["stray"] += 1
                if len(times) > 1:
                    excused = self._excused(number, sorted(times))
                    out["dup_excused" if excused else "dup_unexcused"] += len(times) - 1
            for count in self.bounces.values():
                out["bounced"] += 1
                out["bounce_dup"] += count - 1
        return out

    def clean(self, verdict=None):
        """The counters that must be zero and are not."""
        verdict = verdict or self.verdict()
        must = ("lost", "refused_seen", "unsent_seen", "corrupt", "stray", "dup_unexcused")
        return {key: verdict[key] for key in must if verdict[key]}

    def dump(self, path):
        """One JSON line per number, arrival and kill, for a closer look at a failure."""
        with open(path, "w") as out, self.lock:
            for number, (state, when, reply, rcpts) in sorted(self.fate.items()):
                arrived = {r: self.arrivals.get((number, r), []) for r in rcpts}
                out.write(json.dumps(dict(number=number, state=state, time=when, reply=reply,
                                          arrived=arrived)) + "\n")
            for what, begin, end in self.kills:
                out.write(json.dumps(dict(kill=what, begin=begin, end=end)) + "\n")


class Load:
    """Sessions that send numbered messages until told to stop (or until `most` numbers are used).

    recipients(number) gives the recipients of a message. pace: seconds each session rests between
    messages.
    """

    def __init__(self, ledger, port, sessions=8, most=None, size=1000, recipients=None, pace=0.0,
                 sender="ledger@sender.test", timeout=30, host="127.0.0.1", reuse=20):
        self.ledger, self.port, self.host, self.most = ledger, port, host, most
        self.size, self.pace, self.sender = size, pace, sender
        self.timeout, self.reuse = timeout, reuse
        self.recipients = recipients or (lambda number: [f"sink{number % 7}@example.org"])
        self.stopping = threading.Event()
        self.took = []  # (session, begin, seconds) of each message
        self.errors = []
        self.threads = [threading.Thread(target=self._session, daemon=True)
                        for _ in range(sessions)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self, timeout=60):
        self.stopping.set()
        return self.join(timeout)

    def join(self, timeout=60):
        end = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0.1, end - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            raise TimeoutError("load sessions did not end")
        if self.errors:
            raise self.errors[0]

    def done(self):
        return self.stopping.is_set() or (self.most is not None and self.ledger.next >= self.most)

    def _session(self):
        try:
            while not self.done():
                try:
                    self._connection()
                except (OSError, Closed):
                    time.sleep(0.05)
        except Exception as error:  # a defect of the generator must not look like a quiet server
            self.errors.append(error)

    def _connection(self):
        with Client(self.port, self.host, timeout=self.timeout) as client:
            if client.greeting[0] != 220 or client.hello()[0] != 250:
                time.sleep(0.05)
                return
            for _ in range(self.reuse):
                if self.done():
                    break
                number = self.ledger.number()
                if self.most is not None and number >= self.most:
                    break
                self._send(client, number)
                if self.pace:
                    time.sleep(self.pace)
            client.quit()

    def _send(self, client, number):
        rcpts = self.recipients(number)
        content = make_message(self.ledger.run, number, self.size, self.sender, rcpts[0])
        state, reply, taken = "unsent", "", rcpts
        begin = time.time()
        try:
            mail, answers = client.begin(self.sender, rcpts)
            taken = [r for r, (code, _) in zip(rcpts, answers) if code == 250]
            if mail[0] != 250 or not taken:
                state, reply = "refused", str(mail if mail[0] != 250 else answers[0])
                client.cmd("RSET")
                return
            code, text = client.cmd("DATA")
            if code != 354:
                state, reply = "refused", f"{code} {text}"
                return
            state = "unknown"
            client.send(stuff(content))
            code, text = client.reply()
            state, reply = ("acked" if code == 250 else "refused"), f"{code} {text}"
        finally:
            self.ledger.note(number, state, taken or rcpts, reply)
            self.took.append((threading.get_ident(), begin, time.time() - begin))
