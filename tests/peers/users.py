"""Lines of a users file, made without Godwit: that it reads what others made is a part of the tests.

    users.line("alice@example.com", "secret", lists={"as": ["*@example.com"]})

The hash is crypt(3)'s SHA-512 and the verifier SCRAM-SHA-256 (RFC 5802, RFC 7677).
"""

import base64
import hashlib
import hmac
import os
import subprocess

ITERATIONS = 4096


def crypt_hash(password):
    """$6$, by openssl."""
    done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password + "\n", check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


def verifier(password, salt=None, iterations=ITERATIONS):
    """ITERATIONS,SALT,STORED,SERVER"""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return ",".join([str(iterations), *(base64.b64encode(b).decode() for b in (salt, stored, server))])


def line(name, password, state="active", scram=True, lists=None):
    """lists: {"as": [...], "header-as": [...], "from": [...]}"""
    words = [name, state, crypt_hash(password)]
    if scram:
        words.append("scram=" + verifier(password))
    words += [f"{key}={','.join(values)}" for key, values in (lists or {}).items()]
    return " ".join(words) + "\n"
