"""The daemon under attack: its listeners, its log by client address, its memory, its good client."""

import contextlib
import multiprocessing
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

import attack  # noqa: E402
from peers import certs, godwit, ports, users  # noqa: E402

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    mx 127.0.0.1:{slow} {{ greet-delay 1s; name slow }}
listen    mx 127.0.0.1:{inside} {{ from 127.200.0.0/16; name inside }}
listen    submission 127.0.0.1:{submission}
listen    submission 127.0.0.1:{submissions} {{ tls implicit; name submissions }}
listen    mx 127.0.0.1:{proxied} {{ proxy 127.0.0.0/8; name proxied }}
listen    mx 127.0.0.1:{balanced} {{ proxy 127.0.0.1; name balanced }}
listen    submission 127.0.0.1:{proxied_tls} {{ proxy 127.0.0.0/8; tls implicit; name proxied-tls }}
listen    mx 127.0.0.1:{xclient} {{ xclient 127.0.0.0/8; name xclient }}
listen    lmtp 127.0.0.1:{lmtp}
listen    lmtp 127.0.0.1:{lmtp_inside} {{ from 127.0.0.1; name lmtp-inside }}
trust     10.99.0.0/16
tls       file {pair.cert} {pair.key}
users     file @DIR@/users
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
domain    example.net {{ deliver maildir @MAIL@/%u; recipients file @DIR@/names }}
domain    refused.example {{ deliver reject "550 5.1.1 no such user" }}
etrn      waiting.example from 127.0.0.0/8
etrn      inside.example from 10.0.0.0/8
limits    {{ message-size {size}; recipients 100; transactions 20; bad-commands 10; deliver-by 30s
            connections {connections} {limits} }}
store     {{ segment 8M; reserve 16M; spares 1 }}
{extra}
"""

GOOD = "127.0.0.1"
# docs/machine.md, "Memory": all processes, each receiver, each connection that is allowed
BASE, PER_RECEIVER, PER_CONNECTION = 128 << 20, 96 << 20, 320 << 10
# What must not be in the log: nothing an attacker sends may end or stop anything.
ALARMS = ("role.died", "role.crashed", "client.denied", "spool.failed", "error")


class Daemon:
    """with Daemon() as d: d.ports["mx"], d.new_address(), d.good_client()"""

    def __init__(self, size="1M", connections=1000, limits="", extra=""):
        self.ports = {name: ports.free_port() for name in
                      ("slow", "inside", "submission", "submissions", "proxied", "balanced",
                       "proxied_tls", "xclient", "lmtp", "lmtp_inside")}
        self.connections = connections
        run_as = "run-as nobody" if os.geteuid() == 0 and not godwit.has_user("godwit") else ""
        text = CONFIG.format(run_as=run_as, size=size, connections=connections, limits=limits,
                             extra=extra, pair=self.pair(), **self.ports)
        self.godwit = godwit.Godwit(text)
        self.ports["mx"] = self.godwit.port
        self.ports["submissions-plain"] = self.ports["submissions"]
        names = self.godwit.folder / "names"
        names.write_text("alice\nbob\n")
        names.chmod(0o644)
        accounts = self.godwit.folder / "users"
        accounts.write_text(users.line("alice@example.net", "secret") +
                            users.line("bob@example.net", "terces", state="suspended"))
        accounts.chmod(0o600)
        self.addresses = 0
        self.log_end = 0
        self.lines = {}

    def pair(self):
        """A certificate of the tests' own."""
        self.keys = ports.scratch("godwit-keys-")
        return certs.Authority(self.keys).issue("mx.test")

    def __enter__(self):
        self.godwit.start()
        return self

    def __exit__(self, *_):
        self.godwit.close()
        ports.discard(self.keys)

    def new_address(self):
        """One that no attack had yet; each in a /24 of its own."""
        self.addresses += 1
        return f"127.{10 + self.addresses // 250}.{1 + self.addresses % 250}.1"

    # ---- the log ------------------------------------------------------------------------

    def read_log(self):
        """Sorts what came to the log since the last time by client address."""
        with contextlib.suppress(FileNotFoundError), open(self.godwit.log_path, "rb") as file:
            file.seek(self.log_end)
            data = file.read()
            whole = data[:data.rfind(b"\n") + 1]
            self.log_end += len(whole)
            for line in whole.decode("latin-1").split("\n"):
                assert all(" " <= c <= "~" for c in line), f"control octets in the log: {line!r}"
                fields = godwit.parse_logfmt(line)
                self.lines.setdefault(fields.get("ip"), []).append(fields)

    def log_of(self, address):
        self.read_log()
        return self.lines.get(address, [])

    def expect_log(self, address, text):
        event, *wanted = text.split()
        wanted = dict(word.split("=", 1) for word in wanted)

        def there():
            return any(line.get("ev") == event and wanted.items() <= line.items()
                       for line in self.log_of(address))

        try:
            ports.wait_for(there, 3, step=0.01, what=text)
        except TimeoutError:
            raise attack.WireError(f"not in the log: {text}; {self.log_of(address)}") from None

    def expect_messages(self, address, count):
        """The log is written at the end of the turn in which a 250 was sent."""
        def accepted_now():
            return [line for line in self.log_of(address) if line.get("ev") == "accepted"]

        with contextlib.suppress(TimeoutError):
            ports.wait_for(lambda: len(accepted_now()) >= count, 3, step=0.01)
        time.sleep(0.01)
        accepted = accepted_now()
        if len(accepted) != count:
            raise attack.WireError(f"{len(accepted)} messages were accepted, not {count}: {accepted}")

    def problems(self):
        found = []
        status = self.godwit.stop()
        if status != 0:
            found.append(f"exit status {status}")
        for alarm in ALARMS:
            found += self.godwit.log_lines(alarm)
        return found and found + [self.godwit.output()]

    # ---- memory ---------------------------------------------------------------------------

    def memory(self):
        """Octets of ours: private and shared of all processes, shared ones in proportion."""
        total = 0
        for pids in self.godwit.roles().values():
            for pid in pids:
                with contextlib.suppress(OSError):
                    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                    total += int(text.partition("\nPss:")[2].split()[0]) * 1024
        return total

    def ceiling(self):
        """What docs/machine.md says all processes together may have at most."""
        receivers = len(self.godwit.roles().get("smtpd", ())) or 1
        return (BASE + receivers * PER_RECEIVER + self.connections * PER_CONNECTION)

    # ---- the good client ------------------------------------------------------------------

    def good_client(self, address=GOOD):
        """One message over a new connection; seconds until its 250."""
        begin = time.monotonic()
        player = attack.Player(self, "mx", address, timeout=10)
        try:
            for words, code in ((b"", "220"), (b"EHLO good.test\r\n", "250"),
                                (b"MAIL FROM:<good@example.org>\r\n", "250"),
                                (b"RCPT TO:<alice@example.net>\r\n", "250"), (b"DATA\r\n", "354"),
                                (b"Subject: good\r\n\r\nbody\r\n.\r\n", "250")):
                player.send(words)
                player.expect(attack.wire.Step(0, f"R: {code}"))
            took = time.monotonic() - begin
            player.send(b"QUIT\r\n")
            return took
        finally:
            player.close()


def latency_allowed():
    """A second, on a machine that does nothing else. Where others keep all its processors busy
    besides us, what is measured is their work too."""
    return 1.0 if os.getloadavg()[0] < 2 * os.cpu_count() else 3.0


class Bystander:
    """A good client that sends message after message while something else goes on: a process of its
    own, as what is measured is the server and not the flooder. Afterwards: sent, worst, failures,
    peak (octets)."""

    def __init__(self, daemon, address=GOOD, pause=0.05):
        self.server, self.address, self.pause = daemon, address, pause
        self.worst, self.sent, self.failures, self.peak = 0.0, 0, [], 0
        fork = multiprocessing.get_context("fork")
        self.over, self.first, self.found = fork.Event(), fork.Event(), fork.SimpleQueue()
        self.process = fork.Process(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            try:
                self.worst = max(self.worst, self.server.good_client(self.address))
                self.sent += 1
            except (attack.WireError, OSError) as error:
                self.failures.append(repr(error))
            self.peak = max(self.peak, self.server.memory())
            self.first.set()
            self.over.wait(self.pause)
        self.found.put((self.worst, self.sent, self.failures, self.peak))

    def __enter__(self):
        self.process.start()
        assert self.first.wait(15), "the good client's first message took too long"
        return self

    def __exit__(self, *_):
        self.over.set()
        self.worst, self.sent, self.failures, self.peak = self.found.get()
        self.process.join(10)
