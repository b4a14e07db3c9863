"""A scratch OpenSMTPD from the unpacked Debian package: takes mail, or sends it all to one server.

    with OpenSmtpd() as mta:
        mta.port, mta.messages(), mta.log()
    with OpenSmtpd(relay=("127.0.0.1", 2525)) as mta:
        mta.hurry()      what waits is tried again now

It takes mail for example.org, refuses refused@ and lets grey@ wait; open_the_door() ends that.
Its folders, its users and its certificates are compiled in. So it runs as root in a mount namespace
of its own, where those paths are scratch folders and /etc/passwd has its users; nothing outside
changes, and all of it is gone with the last process. No name server is asked: there is none.
"""

import os
import pathlib
import pwd
import signal
import subprocess

from . import exim, ports, postfix

# Free numbers: no account of the machine has a right that they could use.
USERS = {"opensmtpd": 65531, "opensmtpq": 65530}

CONFIG = """\
smtp max-message-size {size}
smtp limit max-mails 1000
table boxes {{ "@example.org" = "keeper" }}
table grey {{ {grey} }}
filter "door" phase rcpt-to match rcpt-to <grey> reject "451 4.7.1 greylisted"
listen on 127.0.0.1 port {port} hostname opensmtpd.test filter "door"
action "in" maildir "{folder}/mail" virtual <boxes>
match from any for rcpt-to "refused@example.org" reject
match from any for domain "example.org" action "in"
"""
RELAY = """\
smtp max-message-size 64M
smtp limit max-mails 1000
listen on 127.0.0.1 port {port} hostname opensmtpd.test
action "out" relay host "smtp://{relay}" helo opensmtpd.test
match from any for any action "out"
"""

# Each is in the scratch folder what it is in the namespace.
MOUNTS = {"spool": "/var/spool", "lib": "/var/lib", "run": "/run", "passwd": "/etc/passwd",
          "group": "/etc/group", "resolv.conf": "/etc/resolv.conf"}


def tree():
    return postfix.fetched("opensmtpd/usr/sbin/smtpd") / "opensmtpd"


class OpenSmtpd:
    def __init__(self, relay=None, port=None, size="64M"):
        if os.geteuid() != 0:
            raise PermissionError("a scratch OpenSMTPD needs root")
        self.relay, self.size = relay, size
        self.port = port or ports.free_port()
        self.folder = ports.scratch("godwit-opensmtpd-")
        self.process = None

    # ---- set up -------------------------------------------------------------------------

    def _make_folders(self):
        for name, mode in (("spool/smtpd", 0o711), ("lib/opensmtpd/empty", 0o755), ("run", 0o755),
                           ("mail", 0o755)):
            path = self.folder / name
            path.mkdir(parents=True)
            path.chmod(mode)
        self.keeper = pwd.getpwnam(exim.LEAST)
        os.chown(self.folder / "mail", self.keeper.pw_uid, self.keeper.pw_gid)

    def _write(self):
        k = self.keeper
        users = "".join(f"{name}:x:{uid}:{uid}::/var/lib/opensmtpd/empty:/bin/false\n"
                        for name, uid in USERS.items())
        users += f"keeper:x:{k.pw_uid}:{k.pw_gid}::{self.folder}/mail:/bin/false\n"
        groups = "".join(f"{name}:x:{uid}:\n" for name, uid in USERS.items())
        texts = {"passwd": pathlib.Path("/etc/passwd").read_text() + users,
                 "group": pathlib.Path("/etc/group").read_text() + groups,
                 "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}
        for name, text in texts.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o644)
        self._write_config('"grey@example.org"')

    def _write_config(self, grey):
        path = self.folder / "smtpd.conf"
        if self.relay:
            text = RELAY.format(port=self.port, relay="%s:%d" % self.relay)
        else:
            text = CONFIG.format(port=self.port, folder=self.folder, grey=grey, size=self.size)
        path.write_text(text)
        path.chmod(0o644)

    # ---- life ---------------------------------------------------------------------------

    def _script(self):
        mounts = [f"mount --bind {self.folder / name} {path}" for name, path in MOUNTS.items()]
        mounts.append(f"mount --bind {tree()}/usr/libexec /usr/libexec")
        return "\n".join([*mounts, f"exec {tree()}/usr/sbin/smtpd -d -f {self.folder}/smtpd.conf"])

    def start(self):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", self._script()], cwd="/",
            stdin=subprocess.DEVNULL, stdout=open(self.folder / "log", "ab"),
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=ports.end_with_parent)
        try:
            ports.wait_greeting(self.port)
        except TimeoutError as error:
            text = self.log()
            self.__exit__()
            raise TimeoutError(f"{error}\n{text}") from None
        return self

    def stop(self):
        if not self.process:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

    def __enter__(self):
        self._make_folders()
        self._write()
        return self.start()

    def __exit__(self, *_):
        self.stop()
        ports.discard(self.folder)

    # ---- orders and what it did ---------------------------------------------------------

    def open_the_door(self):
        """grey@ is taken from now on. It reads its configuration at a start alone."""
        self.stop()
        self._write_config('"nobody@example.org"')
        self.start()

    def control(self, *words):
        """What smtpctl prints. It is setgid where it is installed."""
        return subprocess.run(
            ["nsenter", "--mount", "-t", str(self.process.pid), f"{tree()}/usr/sbin/smtpctl",
             *words], group=USERS["opensmtpq"], extra_groups=[], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10).stdout

    def hurry(self):
        self.control("schedule", "all")

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def messages(self):
        return sorted(p for p in (self.folder / "mail" / "new").glob("*") if p.is_file())
