"""Real servers that want TLS and a login before they relay: Exim (GnuTLS) and Postfix (OpenSSL).

    with EximHost(pair, {"user": "password"}, ["LOGIN"]) as host: host.port, host.wait()

Both deliver what they take into a folder of theirs. Postfix asks for passwords at a socket that
speaks Dovecot's protocol; that one is here.
"""

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading

from . import exim, ports, postfix

EXIM = """\
exim_path = {program}
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  accept authenticated = *
  deny message = log in first

begin routers
all:
  driver = accept
  transport = inbox

begin transports
inbox:
  driver = appendfile
  directory = {folder}/inbox
  maildir_format
  user = Debian-exim

begin retry

begin authenticators
{authenticators}
"""

AUTHENTICATORS = {
    "PLAIN": """\
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
""",
    "LOGIN": """\
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
""",
}


class EximHost(exim.Exim):
    """One daemon; users: one name and its password."""

    def __init__(self, pair, users, mechanisms=("PLAIN", "LOGIN")):
        super().__init__(None)
        self.pair, self.mechanisms = pair, mechanisms
        (self.name, self.password), = users.items()
        self.port = ports.free_port()

    def __enter__(self):
        for name in ("spool", "log", "inbox"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, self.user.pw_uid, self.user.pw_gid)
        for path, name in ((self.pair.cert, "cert.pem"), (self.pair.key, "key.pem")):
            shutil.copy(path, self.folder / name)
            os.chown(self.folder / name, self.user.pw_uid, self.user.pw_gid)
        self.config.write_text(EXIM.format(
            program=exim.program(), folder=self.folder, port=self.port,
            authenticators="".join(AUTHENTICATORS[m].format(user=self.name, password=self.password)
                                   for m in self.mechanisms)))
        self.config.chmod(0o644)
        u = self.user
        (self.folder / "passwd").write_text(
            f"Debian-exim:x:{u.pw_uid}:{u.pw_gid}::/:/bin/false\nroot:x:0:0::/:/bin/false\n")
        (self.folder / "group").write_text(f"Debian-exim:x:{u.pw_gid}:\nroot:x:0:\n")
        self.process = subprocess.Popen(
            [exim.program(), "-C", str(self.config), "-bdf"], env=self.environment(), cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "stderr", "wb"), start_new_session=True,
            preexec_fn=ports.end_with_parent, **self.identity)
        ports.wait_for(lambda: ports.greets(self.port), 10, what="Exim's greeting")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        super().__exit__()

    def wait(self, count=1, timeout=15):
        folder = self.folder / "inbox" / "new"
        return ports.wait_for(
            lambda: (sorted(folder.iterdir()) if folder.exists()
                     and len(list(folder.iterdir())) >= count else None),
            timeout, what="mail at Exim")


class Passwords:
    """The server's side of Dovecot's authentication protocol, for PLAIN and LOGIN."""

    def __init__(self, path, users, mechanisms):
        self.users, self.mechanisms = dict(users), mechanisms
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o666)
        self.listener.listen(16)
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        out = s.makefile("w")
        out.write("VERSION\t1\t1\n" + "".join(f"MECH\t{m}\tplaintext\n" for m in self.mechanisms)
                  + f"SPID\t{os.getpid()}\nCUID\t1\nCOOKIE\t{'0' * 32}\nDONE\n")
        out.flush()
        names = {}
        with contextlib.suppress(OSError):
            for line in s.makefile("r"):
                word, number, *rest = line.rstrip("\n").split("\t")
                if word in ("AUTH", "CONT"):
                    out.write(self._answer(word, number, rest, names))
                    out.flush()

    def _answer(self, word, number, rest, names):
        if word == "AUTH" and rest[0] == "PLAIN":
            text = next(r[5:] for r in rest if r.startswith("resp="))
            _, user, password = base64.b64decode(text).decode().split("\0")
        elif word == "AUTH":
            names[number] = None
            return f"CONT\t{number}\t{base64.b64encode(b'Username:').decode()}\n"
        elif names[number] is None:
            names[number] = base64.b64decode(rest[0]).decode()
            return f"CONT\t{number}\t{base64.b64encode(b'Password:').decode()}\n"
        else:
            user, password = names.pop(number), base64.b64decode(rest[0]).decode()
        good = self.users.get(user) == password
        return f"{'OK' if good else 'FAIL'}\t{number}\tuser={user}\n"


class PostfixHost(postfix.Postfix):
    def __init__(self, pair, users, mechanisms=("PLAIN", "LOGIN"), domains=("example.org",)):
        super().__init__(domains=list(domains), options={
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": pair.cert,
            "smtpd_tls_key_file": pair.key,
            "smtpd_tls_auth_only": "yes",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
            "virtual_mailbox_domains": " ".join(domains),
        })
        self.options["smtpd_sasl_path"] = self.folder / "passwords"
        self.users, self.mechanisms = users, mechanisms

    def __enter__(self):
        self.passwords = Passwords(self.folder / "passwords", self.users, self.mechanisms)
        return super().__enter__()

    def __exit__(self, *words):
        self.passwords.close()
        return super().__exit__(*words)

    def wait(self, count=1, timeout=15):
        return ports.wait_for(
            lambda: (list((self.maildir / "inbox" / "new").glob("*"))
                     if len(list((self.maildir / "inbox" / "new").glob("*"))) >= count else None),
            timeout, what="mail at Postfix")
