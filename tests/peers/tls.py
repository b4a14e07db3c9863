"""TLS clients of the tests: Python's ssl over STARTTLS or from the first octet, and openssl's
s_client where Python cannot ask for what is wanted (signature algorithms, old versions).

    s = connect(port, context(ca))                   implicit TLS
    s = connect(port, context(ca), starttls=True)    behind EHLO and STARTTLS
    say(s, "EHLO client.test")                       the reply's lines
"""

import socket
import ssl
import subprocess

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def context(ca=None, version=None):
    """Trusts this authority; without one anybody. version: this one alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        made.load_verify_locations(ca.cert)
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def reply(s):
    """One whole reply, as its lines."""
    data = b""
    while not data.endswith(b"\r\n") or data.rstrip(b"\r\n").rpartition(b"\n")[2][3:4] == b"-":
        more = s.recv(4096)
        if not more:
            raise ConnectionError(f"the end behind {data!r}")
        data += more
    return data.decode().splitlines()


def say(s, text):
    s.sendall(text.encode() + b"\r\n")
    return reply(s)


def plain(port, timeout=10):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def ask_starttls(port):
    """A connection on which the handshake is due."""
    s = plain(port)
    reply(s)
    assert any("STARTTLS" in line for line in say(s, "EHLO client.test"))
    assert say(s, "STARTTLS")[0].startswith("220 ")
    return s


def connect(port, ctx, name="mx.test", session=None, starttls=False, source=None):
    """A connection with TLS; implicit TLS: the greeting is read."""
    if starttls:
        s = ask_starttls(port)
    else:
        s = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=source)
    try:
        s = ctx.wrap_socket(s, server_hostname=name, session=session)
        if not starttls:
            assert reply(s)[0].startswith("220 ")
    except BaseException:
        s.close()
        raise
    return s


def s_client(port, *words, said=b"QUIT\r\n", starttls=False, listens=False, timeout=15):
    """What openssl's client tells about a connection. listens: to letters like R."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words]
    if not listens:
        command.append("-ign_eof")
    if starttls:
        command += ["-starttls", "smtp"]
    done = subprocess.run(command, input=said, capture_output=True, timeout=timeout)
    return (done.stdout + done.stderr).decode(errors="replace")
