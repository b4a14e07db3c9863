"""A scratch Exim from an unpacked Debian package, that sends everything to one server.

    with Exim(clients.Server(port=2587, tls="starttls", ...), "PLAIN") as mta:
        ok, log = mta.submit(mail)

Nothing is installed. It runs as one least user throughout: libnss_wrapper shows it the user
"Debian-exim" that it is built to look for.
"""

import os
import pwd
import subprocess

from . import ports, postfix

LEAST = "mail"

CONFIG = """\
exim_path = {program}
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +smtp_confirmation +tls_certificate_verified +outgoing_port
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
trusted_users = Debian-exim
message_size_limit = 64M
disable_ipv6

begin routers
smarthost:
  driver = accept
  transport = smarthost

begin transports
smarthost:
  driver = smtp
  hosts = {host}
  hosts_override
  port = {port}
  allow_localhost
{settings}

begin retry
* * F,2h,5s

begin authenticators
{authenticators}
"""

PLAIN = """\
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"""
LOGIN = """\
login:
  driver = plaintext
  public_name = LOGIN
  client_send = : {user} : {password}
"""


def program():
    return str(postfix.fetched("exim/usr/sbin/exim4") / "exim/usr/sbin/exim4")


def preloaded():
    """The machine's own libnss_wrapper, or the fetched one."""
    fetched = postfix.PEERS / "lib" / "libnss_wrapper.so"
    return str(fetched) if fetched.exists() else fetched.name


class Exim:
    """One queue and one configuration; a process only while it submits."""

    def __init__(self, server, mechanism=None):
        self.server, self.mechanism = server, mechanism
        self.folder = ports.scratch("godwit-exim-")
        root = os.geteuid() == 0
        self.user = pwd.getpwnam(LEAST) if root else pwd.getpwuid(os.getuid())
        self.identity = {"user": self.user.pw_uid, "group": self.user.pw_gid,
                         "extra_groups": []} if root else {}
        self.config = self.folder / "exim.conf"

    def _settings(self):
        s, lines = self.server, []
        if s.tls:
            lines += ["hosts_require_tls = *", f"tls_verify_certificates = {s.ca}",
                      "tls_verify_hosts = *", "tls_verify_cert_hostnames = *"]
        else:
            lines.append("hosts_avoid_tls = *")
        if s.tls == "implicit":
            lines.append("protocol = smtps")
        if s.user:
            lines.append("hosts_require_auth = *")
        if getattr(s, "lmtp", False):
            lines.append("protocol = lmtp")
        if s.source:
            lines.append(f"interface = {s.source}")
        return "\n".join("  " + line for line in lines)

    def _authenticators(self):
        if not self.server.user:
            return ""
        known = {"PLAIN": PLAIN, "LOGIN": LOGIN}
        wanted = [known[self.mechanism]] if self.mechanism else known.values()
        return "\n".join(text.format(user=self.server.user, password=self.server.password)
                         for text in wanted)

    def __enter__(self):
        for name in ("spool", "log"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, self.user.pw_uid, self.user.pw_gid)
        self.config.write_text(CONFIG.format(
            program=program(), folder=self.folder, host=self.server.host, port=self.server.port,
            settings=self._settings(), authenticators=self._authenticators()))
        self.config.chmod(0o644)
        u = self.user
        (self.folder / "passwd").write_text(
            f"Debian-exim:x:{u.pw_uid}:{u.pw_gid}::/:/bin/false\nroot:x:0:0::/:/bin/false\n")
        (self.folder / "group").write_text(f"Debian-exim:x:{u.pw_gid}:\nroot:x:0:\n")
        return self

    def __exit__(self, *_):
        ports.discard(self.folder)

    def environment(self):
        return dict(os.environ, LD_PRELOAD=preloaded(),
                    LD_LIBRARY_PATH=str(postfix.PEERS / "lib"),
                    NSS_WRAPPER_PASSWD=str(self.folder / "passwd"),
                    NSS_WRAPPER_GROUP=str(self.folder / "group"))

    def submit(self, mail, timeout=30):
        """Queues one message and delivers it at once; (all of it arrived, the log)."""
        done = subprocess.run(
            [program(), "-C", str(self.config), "-odf", "-i", "-f", mail.sender, "--",
             *mail.recipients],
            input=mail.content.replace(b"\r\n", b"\n"), capture_output=True, timeout=timeout,
            env=self.environment(), cwd="/", **self.identity)
        said = (done.stdout + done.stderr).decode(errors="replace") + self.log()
        return done.returncode == 0 and " Completed" in said and " => " in said \
            and " ** " not in said, said

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in sorted((self.folder / "log").iterdir()))
