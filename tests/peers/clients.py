"""Mail clients that people use, each as one function that submits one message and tells what became
of it.

    server = Server(port=g.ports["smtps"], tls="implicit", ca=ca.cert, user="alice@example.com",
                    password="secret")
    sent = CLIENTS["msmtp"].submit(server, mail, "SCRAM-SHA-256")
    sent.ok, sent.said

They check the server's certificate against the CA of the tests and nothing else. What they need is
installed by "make test-deps" and fetched by tools/fetch-peers.
"""

import contextlib
import json
import os
import pathlib
import smtplib
import ssl
import subprocess
from collections import namedtuple

from . import exim, godwit, ports, postfix, scram
from .client import stuff

HERE = pathlib.Path(__file__).resolve().parent

# tls: "starttls", "implicit" or None. source: the address it connects from, or None.
# name: of its certificate.
Server = namedtuple("Server", "port tls ca user password host source name",
                    defaults=(None, None, None, None, "127.0.0.1", None, "mx.test"))
Mail = namedtuple("Mail", "sender recipients content")  # content: bytes with CRLF
# ok: taken for all recipients. said: what a person would see, or find in the client's log.
Sent = namedtuple("Sent", "ok said")
# mechanisms: all it knows of those that Godwit has.
Client = namedtuple("Client", "submit mechanisms")

PATIENCE = 30  # seconds for one message


def _run(command, content=None, env=None):
    done = subprocess.run(command, input=content, capture_output=True, timeout=PATIENCE,
                          env=dict(os.environ, **(env or {})),
                          stdin=None if content is not None else subprocess.DEVNULL)
    return Sent(done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace"))


@contextlib.contextmanager
def _folder():
    folder = ports.scratch("godwit-client-")
    try:
        yield folder
    finally:
        ports.discard(folder)


# ---- programs --------------------------------------------------------------------------------

def swaks(server, mail, mechanism=None):
    with _folder() as folder:
        (folder / "mail").write_bytes(stuff(mail.content))  # left to itself it adds a line
        command = ["swaks", "--server", f"{server.host}:{server.port}", "--from", mail.sender,
                   "--to", ",".join(mail.recipients), "--data", f"@{folder}/mail",
                   "--helo", "swaks.test", "--suppress-data", "--no-data-fixup"]
        if server.tls:
            command += ["-tls" if server.tls == "starttls" else "-tlsc", "--tls-verify",
                        "--tls-ca-path", str(server.ca)]
        if server.user:
            command += ["--auth-user", server.user, "--auth-password", server.password]
        if mechanism:
            command += ["--auth", mechanism]
        if server.source:
            command += ["--local-interface", server.source]
        return _run(command)


def msmtp(server, mail, mechanism=None):
    with _folder() as folder:
        lines = [f"host {server.host}", f"port {server.port}", f"from {mail.sender}",
                 "account default", "domain msmtp.test", "set_date_header off",
                 "set_msgid_header off", "set_from_header off", "undisclosed_recipients off"]
        if server.tls:
            lines += ["tls on", f"tls_starttls {'on' if server.tls == 'starttls' else 'off'}",
                      f"tls_trust_file {server.ca}"]
        if server.user:
            lines += [f"auth {mechanism.lower() if mechanism else 'on'}", f"user {server.user}",
                      f'password "{server.password}"']
        if server.source:
            lines.append(f"source_ip {server.source}")
        lines.insert(0, lines.pop(lines.index("account default")))
        (folder / "msmtprc").write_text("\n".join(lines) + "\n")
        (folder / "msmtprc").chmod(0o600)
        return _run(["msmtp", "-C", str(folder / "msmtprc"), "--", *mail.recipients],
                    mail.content.replace(b"\r\n", b"\n"))


def curl(server, mail, mechanism=None):
    scheme = "smtps" if server.tls == "implicit" else "smtp"
    command = ["curl", "--silent", "--show-error", "--verbose", "--disable", "--noproxy", "*",
               f"{scheme}://{server.host}:{server.port}/curl.test", "--mail-from", mail.sender,
               "--upload-file", "-"]
    for recipient in mail.recipients:
        command += ["--mail-rcpt", recipient]
    if server.tls:
        command += ["--ssl-reqd", "--cacert", str(server.ca)]
    if server.user:
        command += ["--user", f"{server.user}:{server.password}"]
    if mechanism:
        command += ["--login-options", f"AUTH={mechanism}"]
    if server.source:
        command += ["--interface", server.source]
    return _run(command, mail.content)


def nodemailer(server, mail, mechanism=None):
    wish = {
        "host": server.host, "port": server.port, "secure": server.tls == "implicit",
        "requireTLS": server.tls == "starttls", "ca": str(server.ca) if server.ca else None,
        "user": server.user, "pass": server.password, "method": mechanism,
        "localAddress": server.source, "from": mail.sender, "to": list(mail.recipients),
        "raw": mail.content.decode("latin-1"),
    }
    return _run(["node", str(HERE / "node" / "mail.js")], json.dumps(wish).encode(),
                {"NODE_PATH": str(postfix.PEERS / "node" / "node_modules")})


def godwit_send(server, mail, mechanism=None):
    """Our own; -PLUS also over TLS 1.3."""
    with _folder() as folder:
        (folder / "mail").write_bytes(mail.content)
        command = [godwit.PROGRAM, "send", "--server", f"{server.host}:{server.port}", "--from",
                   mail.sender, "--file", str(folder / "mail"), "--ehlo", "godwit.test",
                   "--show", "smtp", *mail.recipients]
        words = {"implicit": "implicit", "starttls": "require", None: "off"}
        command += ["--tls", words[server.tls]]
        if server.tls:
            command += ["--tls-verify", "--tls-ca", str(server.ca)]
        if server.user:
            command += ["--auth", server.user]
        if mechanism:
            command += ["--auth-mech", mechanism]
        return _run(command, env={"GODWIT_PASSWORD": server.password or ""})


# ---- Python's smtplib ------------------------------------------------------------------------

def context(server, newest=None):
    made = ssl.create_default_context(cafile=str(server.ca))
    if newest:
        made.maximum_version = newest
    return made


def smtplib_session(server, newest=None):
    """A connection that has greeted, and has its TLS."""
    source = (server.source, 0) if server.source else None
    if server.tls == "implicit":
        session = smtplib.SMTP_SSL(server.host, server.port, "smtplib.test", timeout=PATIENCE,
                                   source_address=source, context=context(server, newest))
    else:
        session = smtplib.SMTP(server.host, server.port, "smtplib.test", timeout=PATIENCE,
                               source_address=source)
        if server.tls:
            session.starttls(context=context(server, newest))
    session.ehlo()
    return session


def _with_smtplib(server, mail, login, newest=None):
    session = None
    try:
        session = smtplib_session(server, newest)
        if server.user:
            login(session)
        session.sendmail(mail.sender, list(mail.recipients), mail.content)
        session.quit()
        return Sent(True, "")
    except (smtplib.SMTPException, OSError, scram.Refused) as error:
        return Sent(False, f"{type(error).__name__}: {error}")
    finally:
        if session:
            session.close()


def python(server, mail, mechanism=None):
    """smtplib, which has PLAIN and LOGIN."""
    def login(session):
        if not mechanism:
            session.login(server.user, server.password)
            return
        session.user, session.password = server.user, server.password
        method = getattr(session, "auth_" + mechanism.lower().replace("-", "_"))
        session.auth(mechanism, method)

    return _with_smtplib(server, mail, login)


def python_scram(server, mail, mechanism=None):
    """smtplib with a SCRAM of our own; -PLUS over TLS 1.2, whose binding Python can tell."""
    plus = mechanism == "SCRAM-SHA-256-PLUS"

    def login(session):
        binding = ("tls-unique", session.sock.get_channel_binding("tls-unique")) if plus else None
        scram.login(lambda line: session.docmd(line), server.user, server.password, binding)

    return _with_smtplib(server, mail, login, ssl.TLSVersion.TLSv1_2 if plus else None)


# ---- servers that send everything on ---------------------------------------------------------

def exim_smarthost(server, mail, mechanism=None):
    with exim.Exim(server, mechanism) as mta:
        return Sent(*mta.submit(mail))


class Postfix:
    """One Postfix that sends on in many ways: each (server, mechanism) has a port of its own."""

    def __init__(self, ways):
        self.names = {way: f"way{n}" for n, way in enumerate(ways)}
        self.mta = postfix.Postfix(
            env=postfix.sasl_environment(),
            ways={name: postfix.smarthost_options(*way) for way, name in self.names.items()})

    def submit(self, server, mail, mechanism=None):
        name = self.names[server, mechanism]
        first = swaks(Server(self.mta.ways_ports[name]), mail)
        if not first.ok:
            return first
        lines = self.mta.wait_lines(mail.recipients)
        return Sent(all(" status=sent " in line for line in lines), "\n".join(lines))

    def __enter__(self):
        self.mta.start()
        return self

    def __exit__(self, *_):
        self.mta.stop()


def postfix_smarthost(server, mail, mechanism=None):
    with Postfix([(server, mechanism)]) as mta:
        return mta.submit(server, mail, mechanism)


CLIENTS = {
    "swaks": Client(swaks, ("PLAIN", "LOGIN")),
    "msmtp": Client(msmtp, ("PLAIN", "LOGIN", "SCRAM-SHA-256")),
    "curl": Client(curl, ("PLAIN", "LOGIN")),
    "smtplib": Client(python, ("PLAIN", "LOGIN")),
    "scram": Client(python_scram, ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")),
    "nodemailer": Client(nodemailer, ("PLAIN", "LOGIN")),
    "exim": Client(exim_smarthost, ("PLAIN", "LOGIN")),
    "postfix": Client(postfix_smarthost, ("PLAIN", "LOGIN", "SCRAM-SHA-256")),
    "godwit": Client(godwit_send, ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")),
}
