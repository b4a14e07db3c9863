"""A certificate authority of the tests' own, and certificates from it, made with openssl.

    ca = Authority(folder)
    pair = ca.issue("mx.test", "127.0.0.1")         P-256; kind="rsa" for the other
    pair.cert, pair.key, ca.cert                    paths of PEM files

What is made lies in the folder and goes with it. An RSA key takes about a quarter of a second.
"""

import ipaddress
import os
import pathlib
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


def alternative(name):
    """One entry of subjectAltName."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
