"""A certificate authority of the tests' own, and certificates from it, made with openssl.

    ca = Authority(folder)
    pair = ca.issue("mx.test", "127.0.0.1")         P-256; kind="rsa" for the other
    pair.cert, pair.key, ca.cert                    paths of PEM files

What is made lies in the folder and goes with it. An RSA key takes about a quarter of a second.
"""

import ipaddress
import os
import pathlib
import ssl
import subprocess
from collections import namedtuple

Pair = namedtuple("Pair", "cert key")

KINDS = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-newkey", "rsa:2048"],
}


class Authority:
    """One self-signed CA; every server certificate is signed by it directly."""

    def __init__(self, folder, name="tests"):
        self.folder = pathlib.Path(folder)
        self.cert = self.folder / f"{name}-ca.pem"
        self.key = self.folder / f"{name}-ca.key"
        self._make("ec", self.cert, self.key, f"/CN=CA of the {name}", 3650, [
            "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"])

    def issue(self, *names, kind="ec", days=30, file=None):
        """A pair for host names and addresses; the first one names the files, unless file does."""
        stem = file or f"{names[0]}-{kind}"
        pair = Pair(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        self._make(kind, *pair, f"/CN={names[0]}", days, [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature" + (",keyEncipherment" if kind == "rsa" else ""),
            "extendedKeyUsage=serverAuth",
            "subjectAltName=" + ",".join(map(alternative, names)),
        ], signer=["-CA", str(self.cert), "-CAkey", str(self.key)])
        return pair

    def lonely(self, *names, kind="ec", days=30, file="lonely"):
        """A pair that nobody but itself has signed."""
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        self._make(kind, *pair, f"/CN={names[0]}", days, [
            "basicConstraints=critical,CA:FALSE",
            "subjectAltName=" + ",".join(map(alternative, names))])
        return pair

    def expire(self, pair):
        """Its time is over since long; openssl makes no such certificate, so it is signed again."""
        der = ssl.PEM_cert_to_DER_cert(pair.cert.read_text())
        head = 4 if der[1] == 0x82 else 3
        tbs = bytearray(der[head:head + element(der, head)])
        at = tbs.find(b"\x17\x0d", tbs.find(b"\x17\x0d") + 1)  # the second UTCTime
        first = tbs.find(b"\x17\x0d")
        tbs[first + 2:first + 4], tbs[at + 2:at + 4] = b"19", b"20"
        rest = der[head + len(tbs):]
        algorithm = rest[:element(rest, 0)]
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)],
                                input=bytes(tbs), capture_output=True, check=True).stdout
        whole = bytes(tbs) + algorithm + wrap(0x03, b"\0" + signed)
        pair.cert.write_text(ssl.DER_cert_to_PEM_cert(wrap(0x30, whole)))
        return pair

    def _make(self, kind, cert, key, subject, days, extensions, signer=()):
        """Writes beside the place and moves there, the key first: a watcher never sees half."""
        new = [path.with_name(path.name + ".new") for path in (cert, key)]
        settings = self.folder / "openssl.cnf"  # nothing is taken from the machine's own
        settings.write_text("[req]\ndistinguished_name=dn\n[dn]\n")
        command = ["openssl", "req", "-config", str(settings), "-x509", "-nodes", *KINDS[kind],
                   "-subj", subject, "-days", str(days), *signer,
                   "-out", str(new[0]), "-keyout", str(new[1])]
        for extension in extensions:
            command += ["-addext", extension]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        new[1].chmod(0o600)
        os.replace(new[1], key)
        os.replace(new[0], cert)


def element(der, at):
    """Octets of the DER element there."""
    first = der[at + 1]
    if first < 0x80:
        return 2 + first
    n = first & 0x7f
    return 2 + n + int.from_bytes(der[at + 2:at + 2 + n], "big")


def wrap(tag, content):
    n = len(content)
    if n < 0x80:
        length = bytes([n])
    else:
        length = bytes([0x82]) + n.to_bytes(2, "big")
    return bytes([tag]) + length + content


def alternative(name):
    """One entry of subjectAltName."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
