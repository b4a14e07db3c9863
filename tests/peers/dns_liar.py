"""A DNS server that misbehaves as the name asked for says, on UDP and TCP at one port.

    with DnsLiar() as liar:
        Godwit(extra=zones.config(liar.stub()))     # it serves liar.test
        # mail to x@servfail.liar.test, x@slow3.liar.test ...
        liar.asked["slow3.liar.test"]               # questions that came, by name

The last label before the domain says what happens to MX, A and AAAA questions:

    good            MX 10 mx.good.liar.test, A 127.0.0.1
    servfail, refused, formerr, notimp, nxdomain, nodata
    silent          nothing is answered
    held            nothing is answered until release()
    slowN           as good, after N seconds
    cut             truncated over UDP, good over TCP
    cutalways       truncated over TCP as well
    wrongid, wrongname, wrongtype, wrongaddress (from another port)
    garbage         octets that are no message
    shortdata       an A record of 3 octets
    loop            a CNAME to itself; chainN: N CNAMEs, then as good
    poison          as good, with records of victim.example.test beside it
    many            400 MX records
    odd             MX names with octets that no host has
    null            a null MX
"""

import collections
import re
import socket
import struct
import threading
import time

from . import dnswire, ports
from .dnswire import NOERROR, NXDOMAIN, REFUSED, SERVFAIL

ADDRESS = "127.0.0.1"
VICTIM = "victim.example.test"
CODES = {"servfail": SERVFAIL, "refused": REFUSED, "formerr": 1, "notimp": 4, "nxdomain": NXDOMAIN}


class DnsLiar:
    def __init__(self, domain="liar.test", host="127.0.0.1"):
        self.domain = domain
        self.host = host
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.asked = collections.Counter()
        self.kinds = collections.Counter()
        self.port = None
        self._udp = self._tcp = None
        self._closing = False
        self._released = threading.Event()
        self._lock = threading.Lock()

    # ---- what it says -------------------------------------------------------------------------

    def _records(self, name, kind):
        if kind == "A":
            return [(name, "A", ADDRESS)]
        if kind == "MX" and not name.startswith("mx."):
            return [(name, "MX", f"10 mx.{name}")]
        return []

    def _soa(self):
        return [(self.domain, "SOA", self.domain)]

    def _plain(self, number, name, kind, **more):
        answers = self._records(name, kind)
        return dnswire.answer(number, name, kind, answers, () if answers else self._soa(), **more)

    def _chain(self, number, name, kind, length):
        """The first alias alone: who wants the end asks for each."""
        to = f"chain{length - 1}.{self.domain}" if length > 1 else f"good.{self.domain}"
        return dnswire.answer(number, name, kind, [(name, "CNAME", to)])

    def _special(self, number, name, kind, what):
        """The octets to be sent for this word, or None if it is no special one."""
        good = self._records(name, kind)
        if what in CODES:
            return dnswire.answer(number, name, kind, (), self._soa(), rcode=CODES[what])
        if what == "nodata":
            return dnswire.answer(number, name, kind, (), self._soa())
        if what == "wrongid":
            return self._plain(number ^ 1, name, kind)
        if what == "wrongname":
            return self._plain(number, "good." + self.domain, kind)
        if what == "wrongtype":
            return dnswire.answer(number, name, "TXT", [(name, "TXT", "x")])
        if what == "garbage":
            return struct.pack(">H", number) + b"\xc0" * 60
        if what == "shortdata":
            return dnswire.answer(number, name, kind, [dnswire.record(name, "A", b"\x7f\0\0")])
        if what == "loop":
            return dnswire.answer(number, name, kind, [(name, "CNAME", name)])
        if what == "poison":
            extra = [(VICTIM, "A", "127.0.0.66"), (VICTIM, "MX", "1 evil.liar.test")]
            return dnswire.answer(number, name, kind, good + extra, extra, extra)
        if what == "many" and kind == "MX":
            return dnswire.answer(number, name, kind,
                                  [(name, "MX", f"{i} mx{i}.{name}") for i in range(400, 0, -1)])
        if what == "odd" and kind == "MX":
            host = b"\x00\x0a" + b"\x04a b\n" + dnswire.pack_name(self.domain)
            return dnswire.answer(number, name, kind, [dnswire.record(name, "MX", host)])
        if what == "null" and kind == "MX":
            return dnswire.answer(number, name, kind, [(name, "MX", "0 .")])
        return None

    def reply(self, packet, tcp):
        """What is sent for this question, or None."""
        number, name, kind = dnswire.parse_question(packet)
        with self._lock:
            self.asked[name] += 1
            self.kinds[name, kind] += 1
        labels = name[:-len(self.domain)].rstrip(".").split(".")
        what = labels[-1] if labels else ""
        if what == "silent":
            return None
        if what == "held" and not self._released.is_set():
            return None
        if what in ("cut", "cutalways") and (what == "cutalways" or not tcp):
            return dnswire.answer(number, name, kind, flags=dnswire.AA | dnswire.TC)
        slow = re.fullmatch(r"slow(\d+)", what)
        if slow:
            time.sleep(int(slow[1]))
        chain = re.fullmatch(r"chain(\d+)", what)
        if chain:
            return self._chain(number, name, kind, int(chain[1]))
        if not what:
            return dnswire.answer(number, name, kind, (), self._soa(), rcode=NOERROR)
        return self._special(number, name, kind, what) or self._plain(number, name, kind)

    # ---- how it says it -----------------------------------------------------------------------

    def _answer_udp(self, packet, peer):
        try:
            reply = self.reply(packet, False)
        except (ValueError, IndexError, struct.error):
            return
        if reply is None:
            return
        if len(reply) > 1232:
            number, name, kind = dnswire.parse_question(packet)
            reply = dnswire.answer(number, name, kind, flags=dnswire.AA | dnswire.TC)
        try:
            if b"\x0cwrongaddress" in packet:
                with socket.socket(self.family, socket.SOCK_DGRAM) as other:
                    other.bind((self.host, 0))
                    other.sendto(reply, peer)
            else:
                self._udp.sendto(reply, peer)
        except OSError:
            pass

    def _serve_udp(self):
        while not self._closing:
            try:
                packet, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            if b"slow" in packet:
                threading.Thread(target=self._answer_udp, args=(packet, peer), daemon=True).start()
            else:  # a thread for each loses datagrams on a busy machine
                self._answer_udp(packet, peer)

    def _answer_tcp(self, conn):
        with conn:
            conn.settimeout(20)
            try:
                while head := conn.recv(2):
                    n = struct.unpack(">H", head)[0]
                    packet = b""
                    while len(packet) < n:
                        packet += conn.recv(n - len(packet))
                    reply = self.reply(packet, True)
                    if reply is not None:
                        conn.sendall(struct.pack(">H", len(reply)) + reply)
            except (OSError, ValueError, IndexError, struct.error):
                return

    def _serve_tcp(self):
        while not self._closing:
            try:
                conn, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_tcp, args=(conn,), daemon=True).start()

    # ---- start and end ------------------------------------------------------------------------

    def start(self):
        self._closing = False
        for _ in range(20):
            port = self.port or ports.free_port()
            self._udp = socket.socket(self.family, socket.SOCK_DGRAM)
            self._tcp = socket.socket(self.family, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            try:
                self._udp.bind((self.host, port))
                self._tcp.bind((self.host, port))
                break
            except OSError:
                self._udp.close()
                self._tcp.close()
        self.port = port
        self._tcp.listen(100)
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()
        return self

    def stop(self):
        self._closing = True
        for s in (self._udp, self._tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def release(self):
        """From now on "held" is good."""
        self._released.set()

    def stub(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"stub {self.domain} {host}:{self.port}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
