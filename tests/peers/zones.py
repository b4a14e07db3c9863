"""Zones on an authoritative server (NSD, unpacked by tools/fetch-peers), for tests that need DNS.

    with Zones({"example.test": '''
            @      MX    10 mx1
            @      MX    20 mx2.other.test.
            mx1    A     127.0.0.2
            '''}, signed=["safe.test"]) as z:
        Godwit(extra=z.config())        # "resolver { stub ... ; trust-anchor ... }"
        z.change("example.test", "@ MX 10 mx3\n mx3 A 127.0.0.3")
        z.stop(); z.start()             # nobody answers meanwhile
        z.break_signatures("safe.test") # what comes now is bogus

A zone is a dict entry: its name without the last dot, and its records as in a zone file, a line each
that begins with the owner (relative to the zone, "@" is the zone itself), without
SOA and NS (they are added) and with a TTL of 60 s unless they say another. Zones in "signed" that
are not in the dict are an error. The root zone "." is always there and empty: whatever no zone has
is NXDOMAIN, and config() names this server for it, so that nobody else in the world is asked. For
names that nobody answers give an extra stub to config(), e.g. a dns_liar.
"""

import os
import signal
import subprocess

from . import dnswire, ports

PEERS = ports.REPO / "build" / "peers"
NSD = PEERS / "nsd" / "usr" / "sbin" / "nsd"
LDNS = PEERS / "ldns" / "usr" / "bin"
ALGORITHM = "ECDSAP256SHA256"
TTL = 60

CONFIG = """
server:
    ip-address: 127.0.0.1@{port}
    do-ip6: no
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    logfile: "{folder}/nsd.log"
    zonefiles-check: yes
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    tcp-count: 100
remote-control:
    control-enable: no
"""


def environment():
    return dict(os.environ, LD_LIBRARY_PATH=str(PEERS / "lib"))


class Zones:
    def __init__(self, zones, signed=(), folder=None):
        self.folder = folder or ports.scratch("godwit-zones-")
        self.zones = {".": ""}
        self.zones.update(zones)
        self.signed = {name: self._make_key(name) for name in signed}
        missing = set(self.signed) - set(self.zones)
        assert not missing, f"no zone to sign: {missing}"
        self.serial = 1
        self.port = ports.free_port()
        self.process = None
        self.anchor = self.folder / "anchors"
        self.anchor.write_text("".join(self._public(name) for name in self.signed))
        for name in self.zones:
            self._write(name)
        conf = CONFIG.format(port=self.port, folder=self.folder)
        for name in self.zones:
            conf += f'zone:\n    name: "{name}"\n    zonefile: "{self._file(name).name}"\n'
        (self.folder / "nsd.conf").write_text(conf)

    # ---- files ------------------------------------------------------------------------------

    def _file(self, name):
        return self.folder / f"zone.{'root' if name == '.' else name}"

    def _make_key(self, name):
        """The path of a new key, without its suffix."""
        out = subprocess.run([LDNS / "ldns-keygen", "-k", "-a", ALGORITHM, name],
                             cwd=self.folder, env=environment(), check=True, text=True,
                             capture_output=True)
        return self.folder / out.stdout.strip()

    def _public(self, name):
        path = self.signed[name]
        return path.with_name(path.name + ".key").read_text()

    def _text(self, name):
        origin = "." if name == "." else name + "."
        server = "ns.invalid."
        return (f"$ORIGIN {origin}\n$TTL {TTL}\n"
                f"@ SOA {server} admin.invalid. {self.serial} 3600 600 86400 {TTL}\n"
                f"@ NS {server}\n"
                + "".join(line.strip() + "\n" for line in self.zones[name].splitlines()))

    def _write(self, name):
        path = self._file(name)
        path.write_text(self._text(name))
        if name in self.signed:
            out = path.with_name(path.name + ".signed")
            subprocess.run([LDNS / "ldns-signzone", "-f", out, path, self.signed[name]],
                           env=environment(), check=True, capture_output=True)
            out.replace(path)

    # ---- the server -------------------------------------------------------------------------

    def start(self):
        self.process = subprocess.Popen(
            [NSD, "-d", "-c", self.folder / "nsd.conf"], env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=ports.end_with_parent)
        self._wait_served()
        return self

    def _wait_served(self):
        def served():
            return all(self._serial(name) == self.serial for name in self.zones)

        ports.wait_for(served, timeout=20, what=f"zones, see {self.folder}/nsd.log")

    def _serial(self, name):
        found = dnswire.ask(self.port, name, "SOA", timeout=0.3)
        return found and found[1]

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self._wait_served()

    def change(self, name, text):
        """Other records for a zone that is there."""
        assert name in self.zones
        self.zones[name] = text
        self.serial += 1
        for each in self.zones:
            self._write(each)
        if self.process is not None:
            self.reload()

    def break_signatures(self, name):
        """From now on a key signs that nobody trusts."""
        self.signed[name] = self._make_key(name)
        self.change(name, self.zones[name])

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        ports.discard(self.folder)

    # ---- for the program under test -----------------------------------------------------------

    def config(self, *more, timeout="5s"):
        """The resolver statement; more: statements of the block besides, each a text."""
        lines = [f"stub {name} 127.0.0.1:{self.port}" for name in self.zones]
        lines += more
        lines.append(f"trust-anchor {self.anchor if self.signed else 'off'}")
        lines.append(f"timeout {timeout}")
        return "resolver {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"
