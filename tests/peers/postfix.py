"""A scratch Postfix from an unpacked Debian package, and its load tools smtp-source and smtp-sink.

    tools/fetch-peers                     once: unpacks the packages into build/peers
    with Postfix(relay=("127.0.0.1", 2526)) as p: ...       relays everything
    with Postfix(domains=["example.net"]) as p: ...         delivers into p.maildir
    with Sink(port) as sink: run_source(("127.0.0.1", p.port), 1000)

Postfix must be started as root (it changes to an existing unprivileged account); its own folders,
ports and log are in a scratch folder. Nothing is installed.
"""

import contextlib
import grp
import os
import pathlib
import pwd
import re
import signal
import subprocess
import time

from . import ports

PEERS = pathlib.Path(os.environ.get("GODWIT_PEERS", ports.REPO / "build" / "peers"))


def fetched(*proof):
    """The folder of the unpacked packages, fetched when one of these files is not there."""
    if not all((PEERS / name).exists() for name in proof):
        subprocess.run([str(ports.REPO / "tools/fetch-peers"), str(PEERS)], check=True)
    return PEERS


def tree():
    """Postfix's."""
    return fetched("postfix/usr/sbin/smtp-source") / "postfix"


def environment():
    libs = [tree() / "usr/lib/postfix", PEERS / "lib"]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(str(p) for p in libs))


def tool(name):
    return str(tree() / "usr/sbin" / name)


def _accounts():
    """An owner, a group and a least user that exist everywhere and are all different."""
    if _has_user("postfix") and _has_group("postdrop"):
        return "postfix", "postdrop", "nobody"
    return "mail", "uucp", "nobody"


def _has_user(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _has_group(name):
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


SERVICES = """\
127.0.0.1:{port} inet n - n - {smtpd_max} smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
tlsmgr    unix - - n 1000? 1 tlsmgr
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
lmtp      unix - - n - - lmtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUE_FOLDERS = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
                 "private", "saved", "trace")


# What comes in at the port of a way goes out by its transport, whatever the recipient.
WAY = """\
127.0.0.1:{port} inet n - n - - smtpd -o content_filter={name}:{nexthop}
{name} unix - - n - - smtp{settings}
"""


class Postfix:
    """One instance. relay=(host, port): everything goes there. domains=[...]: delivered here.
    ways: {name: settings} with a relayhost and more of the SMTP client's; what comes to
    ways_ports[name] goes there. wrapper: a command it is run under, such as strace; env: variables
    for all its processes."""

    def __init__(self, relay=None, domains=(), options=None, port=None, folder=None, wrapper=(),
                 env=None, ways=None):
        if os.geteuid() != 0:
            raise PermissionError("a scratch Postfix needs root")
        self.relay = relay
        self.domains = list(domains)
        self.options = dict(options or {})
        self.port = port or ports.free_port()
        self.ways = dict(ways or {})
        self.ways_ports = {name: ports.free_port() for name in self.ways}
        self.wrapper = list(wrapper)
        self.env = dict(env or {})
        self._own_folder = folder is None
        self.folder = pathlib.Path(folder) if folder else ports.scratch("godwit-postfix-")
        self.log_path = self.folder / "log" / "postfix.log"
        self.maildir = self.folder / "mail"
        self.queue = self.folder / "queue"
        self.process = None

    # ---- set up -------------------------------------------------------------------------

    def _make_folders(self):
        owner, group, _ = _accounts()
        uid = pwd.getpwnam(owner).pw_uid
        gid = grp.getgrnam(group).gr_gid
        for name in ("etc", "log", "data", "queue", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name).chmod(0o755)
        os.chown(self.folder / "data", uid, -1)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.maildir, nobody.pw_uid, nobody.pw_gid)
        for name in QUEUE_FOLDERS:
            (self.queue / name).mkdir(exist_ok=True)
            (self.queue / name).chmod(0o700)
            os.chown(self.queue / name, uid, -1)
        (self.queue / "pid").mkdir(exist_ok=True)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            (self.queue / name).mkdir(exist_ok=True)
            os.chown(self.queue / name, uid, gid)
            (self.queue / name).chmod(mode)

    def settings(self):
        root = tree()
        owner, group, least = _accounts()
        values = {
            "compatibility_level": "3.6",
            "command_directory": root / "usr/sbin",
            "daemon_directory": root / "usr/lib/postfix/sbin",
            "shlib_directory": root / "usr/lib/postfix",
            "meta_directory": root / "etc/postfix",
            "queue_directory": self.queue,
            "data_directory": self.folder / "data",
            "mail_owner": owner,
            "setgid_group": group,
            "default_privs": least,
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C "
            "POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH " + " ".join(self.env),
            "maillog_file": self.log_path,
            "maillog_file_prefixes": self.folder / "log",
            "myhostname": "postfix.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "local_transport": "error:no local mail",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
            "smtpd_tls_security_level": "none",
            "smtp_tls_security_level": "",
            "smtp_host_lookup": "native",
            "disable_dns_lookups": "yes",
            "message_size_limit": 64 * 1024 * 1024,
            "mailbox_size_limit": 0,
            "virtual_mailbox_limit": 0,
            "default_process_limit": 100,
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "4s",
            "queue_run_delay": "2s",
        }
        if self.relay:
            values["relayhost"] = f"[{self.relay[0]}]:{self.relay[1]}"
        if self.domains:
            values["virtual_mailbox_domains"] = " ".join(self.domains)
            values["virtual_mailbox_base"] = self.maildir
            values["virtual_mailbox_maps"] = "static:inbox/"
            values["virtual_uid_maps"] = f"static:{pwd.getpwnam('nobody').pw_uid}"
            values["virtual_gid_maps"] = f"static:{pwd.getpwnam('nobody').pw_gid}"
            values["virtual_minimum_uid"] = 1
        values.update(self.options)
        return values

    def _write_config(self):
        etc = self.folder / "etc"
        lines = [f"{key} = {value}\n" for key, value in self.settings().items()]
        (etc / "main.cf").write_text("".join(lines))
        smtpd_max = self.options.get("default_process_limit", 100)
        rows = SERVICES.format(port=self.port, smtpd_max=smtpd_max)
        for name, settings in self.ways.items():
            rows += WAY.format(
                name=name, port=self.ways_ports[name], nexthop=settings["relayhost"],
                settings="".join(f" -o {{ {key} = {value} }}" for key, value in settings.items()
                                 if key != "relayhost"))
        (etc / "master.cf").write_text(rows)

    # ---- life ---------------------------------------------------------------------------

    def start(self):
        self._make_folders()
        self._write_config()
        master = tree() / "usr/lib/postfix/sbin/master"
        self.process = subprocess.Popen(
            [*self.wrapper, str(master), "-c", str(self.folder / "etc"), "-d"],
            env=dict(environment(), **self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "log" / "master.err", "wb"),
            start_new_session=True, preexec_fn=ports.end_with_parent,
        )
        try:
            ports.wait_greeting(self.port, timeout=15)
        except TimeoutError:
            text = self.log() + (self.folder / "log" / "master.err").read_text()
            self.stop()
            raise RuntimeError("Postfix did not start:\n" + text) from None
        return self

    def stop(self):
        if not self.process:
            return
        process, self.process = self.process, None
        with contextlib.suppress(OSError, ValueError):  # behind a wrapper it is not the process
            os.kill(int((self.queue / "pid/master.pid").read_text()), signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
        if self._own_folder:
            ports.discard(self.folder)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- what it did --------------------------------------------------------------------

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_matches(self, pattern):
        return re.findall(pattern, self.log())

    def messages(self):
        """The files delivered so far (mode domains=)."""
        folder = self.maildir / "inbox" / "new"
        return sorted(folder.iterdir()) if folder.exists() else []

    def wait_lines(self, recipients, timeout=20):
        """The log lines that say what became of these, one for each."""
        def enough():
            found = [re.search(rf"^.* to=<{re.escape(to)}>.* status=.*$", self.log(), re.M)
                     for to in recipients]
            return all(found) and [match[0] for match in found]

        return ports.wait_for(enough, timeout, what=f"a status of {recipients}")

    def queue_length(self):
        """Messages in incoming, active and deferred."""
        count = 0
        for name in ("incoming", "active", "deferred"):
            for _, _, files in os.walk(self.queue / name):
                count += len(files)
        return count


def smarthost_options(server, mechanism=None):
    """Settings with which a Postfix sends everything to a clients.Server, by one mechanism alone."""
    values = {
        "relayhost": f"[{server.host}]:{server.port}",
        "smtp_helo_name": "postfix.test",
        "smtp_tls_security_level": "none",
        "smtp_bind_address": server.source or "",
    }
    if server.tls:
        values |= {
            "smtp_tls_security_level": "secure",
            "smtp_tls_secure_cert_match": server.name,
            "smtp_tls_CAfile": server.ca,
            "smtp_tls_wrappermode": "yes" if server.tls == "implicit" else "no",
            "smtp_tls_loglevel": 1,
        }
    if server.user:
        values |= {
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps":
                f"inline:{{{{{values['relayhost']}={server.user}:{server.password}}}}}",
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_mechanism_filter": mechanism or "",
        }
    return values


def sasl_environment():
    """Where Postfix's SASL library finds its mechanisms."""
    root = fetched("sasl") / "sasl"
    return {"SASL_PATH": ":".join(str(p) for p in root.glob("usr/lib/*/sasl2"))}


class Sink:
    """smtp-sink: accepts and forgets, as fast as it can. port None: a free one."""

    def __init__(self, port=None, host="127.0.0.1", options=(), backlog=1024):
        self.host = host
        self.port = port or ports.free_port()
        self.options = list(options)
        self.backlog = backlog
        self.process = None

    def start(self):
        command = [tool("smtp-sink"), *self.options, f"{self.host}:{self.port}", str(self.backlog)]
        if os.geteuid() == 0:
            command[1:1] = ["-u", "nobody"]
        self.process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=ports.end_with_parent,
        )
        ports.wait_greeting(self.port)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(5)
            self.process = None

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def source_command(target, messages, sessions=50, size=4096, sender="load@sender.test",
                   recipient="sink@example.net", reuse=True, options=()):
    """The command line of smtp-source; reuse: several messages per connection (-d)."""
    command = [tool("smtp-source"), "-4", "-s", str(sessions), "-m", str(messages), "-l", str(size),
               "-f", sender, "-t", recipient, "-M", "source.test"]
    if reuse:
        command.append("-d")
    return [*command, *options, f"{target[0]}:{target[1]}"]


def run_source(target, messages, timeout=60, **more):
    """Runs smtp-source to its end; seconds it took. RuntimeError when it did not succeed."""
    command = source_command(target, messages, **more)
    begin = time.monotonic()
    done = subprocess.run(command, env=environment(), timeout=timeout, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    took = time.monotonic() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return took
