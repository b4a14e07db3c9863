"""A scratch Exim from the unpacked Debian package that takes mail into a Maildir, or relays it all.

    with EximServer() as mta:
        mta.port, mta.messages(), mta.log()
    with EximServer(relay=("127.0.0.1", 2525)) as mta:

It takes mail for example.org with PIPELINING, CHUNKING, SIZE and 8BITMIME; refuses refused@, and
lets grey@ wait at the first attempt. One that relays takes all mail, and tries again each second,
or what `every` says. main: more lines of its main settings, acl: of its ACLs.
"""

import os
import pwd
import subprocess

from . import exim, ports, postfix

CONFIG = """\
exim_path = {program}
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
trusted_users = Debian-exim
log_selector = +received_recipients +smtp_protocol_error +incoming_port +pipelining
message_size_limit = {size}
daemon_smtp_ports = {port}
local_interfaces = {host}
disable_ipv6
accept_8bitmime
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
tls_advertise_hosts =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 1000
acl_smtp_data = accept
acl_smtp_predata = accept
"""
TAKE = """\
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  deny    local_parts = refused
          message = 5.1.1 no such user
  defer   local_parts = grey
          condition = ${{if !exists{{{folder}/spool/grey}}}}
          message = 4.7.1 greylisted
  accept

begin routers
here:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  create_directory
  user = {user}
"""
RELAY = """\
acl_smtp_rcpt = accept

begin acl
{acl}
begin routers
onward:
  driver = accept
  transport = onward

begin transports
onward:
  driver = smtp
  hosts = {relay[0]}
  hosts_override
  port = {relay[1]}
  allow_localhost
  hosts_avoid_tls = *

begin retry
* * F,2h,{every}
"""


class EximServer:
    def __init__(self, port=None, host="127.0.0.1", relay=None, every="1s", main="", acl="",
                 size="64M"):
        self.host, self.port, self.relay = host, port or ports.free_port(host), relay
        self.every, self.main, self.acl, self.size = every, main, acl, size
        self.folder = ports.scratch("godwit-exim-")
        root = os.geteuid() == 0
        self.user = pwd.getpwnam(exim.LEAST) if root else pwd.getpwuid(os.getuid())
        self.identity = {"user": self.user.pw_uid, "group": self.user.pw_gid,
                         "extra_groups": []} if root else {}
        self.process = None

    def _write(self):
        u = self.user
        for name in ("spool", "log", "mail"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, u.pw_uid, u.pw_gid)
        os.chown(self.folder, u.pw_uid, u.pw_gid)
        self.config = self.folder / "exim.conf"
        text = CONFIG + self.main + (RELAY if self.relay else TAKE)
        self.config.write_text(text.format(
            program=exim.program(), folder=self.folder, host=self.host, port=self.port,
            user=u.pw_name, relay=self.relay, every=self.every, acl=self.acl,
            config=self.config, size=self.size))
        self.config.chmod(0o644)
        (self.folder / "passwd").write_text(
            f"Debian-exim:x:{u.pw_uid}:{u.pw_gid}::/:/bin/false\n"
            f"{u.pw_name}:x:{u.pw_uid}:{u.pw_gid}::/:/bin/false\nroot:x:0:0::/:/bin/false\n")
        (self.folder / "group").write_text(
            f"Debian-exim:x:{u.pw_gid}:\n{u.pw_name}:x:{u.pw_gid}:\nroot:x:0:\n")

    def __enter__(self):
        self._write()
        env = dict(os.environ, LD_PRELOAD=exim.preloaded(),
                   LD_LIBRARY_PATH=str(postfix.PEERS / "lib"),
                   NSS_WRAPPER_PASSWD=str(self.folder / "passwd"),
                   NSS_WRAPPER_GROUP=str(self.folder / "group"))
        self.process = subprocess.Popen(
            [exim.program(), "-C", str(self.config), "-bdf", f"-q{self.every}"], env=env, cwd="/",
            stdin=subprocess.DEVNULL, stdout=open(self.folder / "out", "wb"),
            stderr=subprocess.STDOUT, preexec_fn=ports.end_with_parent, **self.identity)
        try:
            ports.wait_greeting(self.port, self.host)
        except TimeoutError as error:
            text = (self.folder / "out").read_text(errors="replace") + self.log()
            self.__exit__()
            raise TimeoutError(f"{error}\n{text}") from None
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        ports.discard(self.folder)

    def hurry(self):
        """It does."""

    def open_the_door(self):
        """grey@ is taken from now on."""
        (self.folder / "spool" / "grey").write_text("")

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in sorted((self.folder / "log").iterdir()))

    def messages(self):
        return sorted(p for p in (self.folder / "mail" / "new").glob("*") if p.is_file())
