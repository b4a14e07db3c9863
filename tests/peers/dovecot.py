"""A scratch Dovecot from unpacked Debian packages: it reads Maildirs over IMAP and takes mail by LMTP.

    tools/fetch-peers                     once: unpacks the packages into build/peers
    with Dovecot({"alice@example.net": "/path/of/maildir"}) as d:
        d.imap("alice@example.net").select()
        d.lmtp_port, d.lmtp_path

Its folders, ports and log are in a scratch folder; nothing is installed. Paths of its programs and
modules are built in, so it sees its packages as if they were, in a mount namespace of its own. It is
started as root; mail belongs to the uid and gid given.
"""

import contextlib
import imaplib
import os
import signal
import socket
import subprocess

from . import ports, postfix

PASSWORD = "secret"
CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {name}
log_path = {folder}/dovecot.log
import_environment = LD_LIBRARY_PATH={libs}
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = nobody
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:%h
mail_fsync = never
lmtp_save_to_detail_mailbox = no
recipient_delimiter = +
passdb {{
	driver = passwd-file
	args = {folder}/users
}}
userdb {{
	driver = passwd-file
	args = {folder}/users
}}
mail_plugins = quota
protocol imap {{
	mail_plugins = quota imap_quota
}}
plugin {{
	quota = maildir:User quota
	quota_rule = {quota_rule}
	quota_grace = 0
}}
quota_full_tempfail = yes
namespace inbox {{
	inbox = yes
	separator = /
}}
service anvil {{
	chroot =
}}
service auth {{
	unix_listener {folder}/auth-client {{
		mode = 0666
	}}
	unix_listener {folder}/auth-userdb {{
		mode = 0600
	}}
}}
service imap-login {{
	chroot =
	inet_listener imap {{
		port = {imap_port}
	}}
	inet_listener imaps {{
		port = 0
	}}
}}
service lmtp {{
	inet_listener lmtp {{
		port = {lmtp_port}
	}}
	unix_listener {folder}/lmtp {{
		mode = 0666
	}}
}}
{more}
"""

AS_INSTALLED = 'mount -t overlay overlay -o "lowerdir=$1:/usr" /usr && shift && exec "$@"'


def tree():
    return postfix.fetched("dovecot/usr/sbin/dovecot", "dovecot/usr/lib/dovecot/imap",
                           "dovecot/usr/lib/dovecot/lmtp") / "dovecot"


def speaks(port, greeting):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.settimeout(2)
            return s.recv(512).startswith(greeting)
    except OSError:
        return False


class Dovecot:
    """users: {address: folder of the mailbox} or {address: (folder, quota rule)}; uid and gid: whose
    the mail is."""

    def __init__(self, users, uid=65534, gid=65534, quota_rule="*:storage=0", more=""):
        if os.geteuid() != 0:
            raise PermissionError("a scratch Dovecot needs root")
        self.folder = ports.scratch("godwit-dovecot-")
        self.folder.chmod(0o755)
        self.imap_port, self.lmtp_port = ports.free_port(), ports.free_port()
        self.lmtp_path = self.folder / "lmtp"
        self.auth_path, self.userdb_path = self.folder / "auth-client", self.folder / "auth-userdb"
        self.env = dict(os.environ, LD_LIBRARY_PATH=str(postfix.PEERS / "lib"))
        internal, group = ("dovecot", "dovecot") if postfix._has_user("dovecot") else ("mail", "mail")
        (self.folder / "dovecot.conf").write_text(CONFIG.format(
            folder=self.folder, name=self.folder.name, libs=self.env["LD_LIBRARY_PATH"],
            imap_port=self.imap_port, lmtp_port=self.lmtp_port, quota_rule=quota_rule, more=more,
            internal=internal, internal_group=group))
        self.users, self.uid, self.gid, self.passwords, self.extra = users, uid, gid, {}, {}
        self.write_users()
        self.process = None

    def write_users(self):
        """passwords and extra (fields of the line): of single users."""
        lines = []
        for name, box in self.users.items():
            box, rule = (box, None) if not isinstance(box, tuple) else box
            extra = [f"userdb_quota_rule={rule}"] if rule else []
            extra += self.extra.get(name, [])
            lines.append(f"{name}:{{PLAIN}}{self.passwords.get(name, PASSWORD)}:{self.uid}:{self.gid}"
                         f"::{box}::{' '.join(extra)}")
        new = self.folder / "users.new"
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.folder / "users")

    def log(self):
        path = self.folder / "dovecot.log"
        return path.read_text() if path.exists() else ""

    def start(self):
        command = ["unshare", "--mount", "sh", "-c", AS_INSTALLED, "sh", str(tree() / "usr"),
                   "/usr/sbin/dovecot", "-F", "-c", str(self.folder / "dovecot.conf")]
        self.process = subprocess.Popen(command, env=self.env, cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True,
                                        preexec_fn=ports.end_with_parent)

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"dovecot ended: {self.process.stdout.read()}\n{self.log()}")
            return speaks(self.imap_port, b"* OK") and speaks(self.lmtp_port, b"220")

        ports.wait_for(ready, 15, what="dovecot's greeting")
        return self

    def imap(self, user):
        box = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=15)
        box.login(user, PASSWORD)
        return box

    def stop(self):
        """As close(), but the folder stays and start() begins again."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
            self.process = None

    def close(self):
        self.stop()
        ports.discard(self.folder)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
