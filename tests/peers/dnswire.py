"""DNS messages as the tests need them: a question out, an answer apart, an answer made."""

import random
import socket
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28,
         "DS": 43, "DNSKEY": 48, "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080


def pack_name(name):
    labels = [part for part in name.rstrip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part.encode("ascii") for part in labels) + b"\0"


def unpack_name(packet, at):
    """The name at this place, lower case without the last dot, and the place behind it."""
    labels, behind = [], None
    for _ in range(200):
        n = packet[at]
        if n >= 0xC0:
            behind = behind or at + 2
            at = (n & 0x3F) << 8 | packet[at + 1]
        elif n == 0:
            return ".".join(labels), behind or at + 1
        else:
            labels.append(packet[at + 1:at + 1 + n].decode("latin-1").lower())
            at += 1 + n
    raise ValueError("a name without an end")


def question(name, kind, number=None):
    number = random.randrange(65536) if number is None else number
    return (struct.pack(">HHHHHH", number, RD, 1, 0, 0, 0) + pack_name(name) +
            struct.pack(">HH", TYPES[kind], 1))


def parse_question(packet):
    """(number, name, type as a word or a number)."""
    number = struct.unpack_from(">H", packet)[0]
    name, at = unpack_name(packet, 12)
    kind = struct.unpack_from(">H", packet, at)[0]
    return number, name, NAMES.get(kind, kind)


def data_of(kind, value):
    """The octets of a record's data from the words of a zone file."""
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind in ("CNAME", "NS", "PTR"):
        return pack_name(value)
    if kind == "MX":
        preference, _, host = value.partition(" ")
        return struct.pack(">H", int(preference)) + pack_name(host)
    if kind == "TXT":
        raw = value.encode()
        parts = [raw[i:i + 255] for i in range(0, len(raw), 255)] or [b""]
        return b"".join(bytes([len(part)]) + part for part in parts)
    if kind == "SOA":
        return pack_name("ns." + value) + pack_name("admin." + value) + struct.pack(
            ">IIIII", 1, 3600, 600, 86400, 60)
    raise ValueError(kind)


def record(name, kind, value, ttl=60):
    data = value if isinstance(value, bytes) else data_of(kind, value)
    return pack_name(name) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(data)) + data


def answer(number, name, kind, answers=(), authority=(), additional=(), rcode=NOERROR, flags=AA):
    """A whole message. Records are (name, type, value) or octets."""
    def pack(records):
        return b"".join(r if isinstance(r, bytes) else record(*r) for r in records)

    kind = TYPES.get(kind, kind)
    head = struct.pack(">HHHHHH", number, QR | flags | rcode, 1, len(answers), len(authority),
                       len(additional))
    return (head + pack_name(name) + struct.pack(">HH", kind, 1) + pack(answers) +
            pack(authority) + pack(additional))


def ask(port, name, kind, host="127.0.0.1", timeout=1.0):
    """(rcode, the SOA's serial or None, number of answers) of a server, or None if none came."""
    packet = question(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.sendto(packet, (host, port))
            reply = s.recv(65535)
        except OSError:
            return None
    flags, _, n_answer = struct.unpack_from(">HHH", reply, 2)
    serial = None
    if kind == "SOA" and n_answer:
        _, at = unpack_name(reply, 12)
        at += 4
        _, at = unpack_name(reply, at)
        at += 10
        _, at = unpack_name(reply, at)
        _, at = unpack_name(reply, at)
        serial = struct.unpack_from(">I", reply, at)[0]
    return flags & 15, serial, n_answer
