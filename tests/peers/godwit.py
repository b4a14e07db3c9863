"""The program under test: its configuration, its processes, its log.

    with Godwit(relay=("127.0.0.1", sink.port)) as g:
        g.port, g.maildir, g.log_lines("delivered"), g.kill9("queue"), g.restart()

    with Godwit(listeners={"smtps": "submission {tls implicit}"}, tls=[ca.issue("mx.test")],
                users={"alice@example.com": "secret"}) as g:
        g.ports["smtps"]

The configuration is made from options, or given as text in which @PORT@, @DIR@ and @MAIL@
are replaced. Everything it writes is in a scratch folder of its own.
"""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

from . import ports

PROGRAM = os.environ.get("GODWIT", str(ports.REPO / "build" / "godwit"))
# For sanitizers and debuggers: all roles in one process, without the jail.
ONE_PROCESS = os.environ.get("GODWIT_ONE_PROCESS") == "1"

_FIELD = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')


def parse_logfmt(line):
    """One log line as a dict; "time" is its first word. Later fields never replace earlier ones:
    ours come first, the peer's last."""
    time_word, _, rest = line.partition(" ")
    fields = {"time": time_word}
    for key, value in _FIELD.findall(rest):
        if value.startswith('"') and len(value) > 1:
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        fields.setdefault(key, value)
    return fields


LIMITS = "limits { connections 1000 per-ip 500 }"
# small: each start writes its segments in advance
STORE = "store { segment 8M; reserve 16M; spares 1 }"


# The authorities of a Debian are a hundred and forty: a sender that speaks TLS reads them, for longer than
# all else at its start takes. Tests that trust nobody in particular name one of them.
BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
END = "-----END CERTIFICATE-----\n"


def one_authority(folder):
    path = pathlib.Path(folder) / "authority.pem"
    if not path.exists():
        path.write_text(BUNDLE.read_text().partition(END)[0] + END)
        path.chmod(0o644)
    return path


def make_config(port, folder, relay=None, lmtp=None, domains=("example.net",), trust="127.0.0.0/8",
                retry="1s", expire="2m", connections=20, per_connection=100, host_rest="1m",
                limits=LIMITS, store=STORE, extra="", hostname="mx.test", address="127.0.0.1", listeners=(),
                tls=(), users=False):
    """The text of a configuration: domains go to Maildirs (or lmtp), the rest to relay.
    listeners: lines "KIND ADDRESS:PORT {...}" besides the mx at port; tls: pairs of files."""
    lines = [
        f"hostname  {hostname}",
        f"listen    mx {address}:{port}",
        f"spool     {folder}/spool",
        f"control   {folder}/control.sock",
        f"log       file {folder}/godwit.log",
        limits,
        store,
    ]
    if os.geteuid() == 0 and not has_user("godwit"):
        lines.append("run-as    nobody")
    lines += [f"listen    {line}" for line in listeners]
    lines += [f"tls       file {pair[0]} {pair[1]}" for pair in tls]
    if users:
        lines.append(f"users     file {folder}/users")
    if trust:
        lines.append(f"trust     {trust}")
    target = f"lmtp {lmtp[0]}:{lmtp[1]}" if lmtp else f"maildir {folder}/mail/%d/%u"
    lines += [f"domain {name} {{ deliver {target} }}" for name in domains]
    if relay:
        lines.append(f"route to any via relay {relay[0]}:{relay[1]}")
    lines.append(f"shape * {{ connections {connections}; per-connection {per_connection}; "
                 f"retry {retry}; expire {expire}; host-rest {host_rest} }}")
    if "authorities " not in extra:
        lines.append(f"authorities {one_authority(folder)}")
    if "dsn {" not in extra:  # each failure is told at once: few senders have many
        lines.append("dsn { per-sender 100000/s }")
    return "\n".join(lines) + "\n" + extra + "\n"


def has_user(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def listener_line(words, port, address="127.0.0.1"):
    """"submission {tls implicit}" with the place between the kind and the block."""
    kind, _, block = words.partition(" ")
    return f"{kind} {address}:{port} {block}".rstrip()


class Godwit:
    """One running program. text: a configuration of the test's own; else made from options.
    listeners: {name: "KIND {...}"}, each at a free port of its own, ports[name]; users: {name:
    password} for accounts that "godwit user add" makes, {name: (password, flag...)}, or the text of
    the file."""

    def __init__(self, text=None, one_process=False, env=None, wrapper=(), arguments=(),
                 listeners=None, users=None, **options):
        self.folder = ports.scratch("godwit-")
        self.port = ports.free_port()
        self.ports = {name: ports.free_port() for name in listeners or ()}
        self.users_path = self.folder / "users"
        self.maildir = self.folder / "mail"
        self.maildir.mkdir()
        self.maildir.chmod(0o1777)
        self.log_path = self.folder / "godwit.log"
        self.control = self.folder / "control.sock"
        self.config_path = self.folder / "godwit.conf"
        self.one_process = one_process or ONE_PROCESS
        self.env = dict(os.environ, **(env or {}))
        self.wrapper = list(wrapper)
        self.arguments = list(arguments)
        self.process = None
        if listeners:
            options["listeners"] = [listener_line(words, self.ports[name])
                                    for name, words in listeners.items()]
        if users:
            options["users"] = True
            self.users_path.touch(0o600)
            if isinstance(users, str):
                self.users_path.write_text(users)
                users = {}
        self.write_config(text, **options)
        for name, password in (users or {}).items():
            self.add_user(name, *([password] if isinstance(password, str) else password))

    def add_user(self, name, password, *flags):
        return self.cli("user", "add", name, "--stdin", *flags, input=password + "\n")

    def write_config(self, text=None, **options):
        if text is None:
            text = make_config(self.port, self.folder, **options)
        else:
            text = text.replace("@PORT@", str(self.port)).replace("@DIR@", str(self.folder))
            text = text.replace("@MAIL@", str(self.maildir))
        self.config_path.write_text(text)
        self.config_path.chmod(0o644)

    # ---- life ---------------------------------------------------------------------------

    def command(self):
        command = [PROGRAM, "--config", str(self.config_path), "serve", *self.arguments]
        if self.one_process:
            command.append("--one-process")
        return [*self.wrapper, *command]

    def start(self, timeout=10, wait=True):
        self.stderr_path = self.folder / "stderr"
        self.process = subprocess.Popen(
            self.command(), env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "stdout", "ab"), stderr=open(self.stderr_path, "ab"),
            start_new_session=True, preexec_fn=ports.end_with_parent,
        )
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=10):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"godwit ended with {self.process.returncode}:\n{self.output()}")
            return ports.greets(self.port, ready=True)

        try:
            ports.wait_for(ready, timeout, what="godwit's greeting")
        except TimeoutError:
            text = self.output()
            self.stop()
            raise RuntimeError("godwit did not greet:\n" + text) from None

    def stop(self):
        """SIGTERM; SIGKILL after 30 s. The exit status, or None when it was not running."""
        if not self.process:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            self._kill_session(process.pid)
            return process.wait(5)
        finally:
            self._kill_session(process.pid)

    def close(self):
        self.stop()
        ports.discard(self.folder)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        self.close()

    def restart(self, timeout=10):
        self.stop()
        return self.start(timeout)

    # ---- processes ----------------------------------------------------------------------

    @property
    def pid(self):
        """Master's pid (behind a wrapper: the first process whose program is godwit)."""
        if not self.wrapper:
            return self.process.pid
        for pid in session_pids(self.process.pid):
            if os.path.basename(_exe(pid)) == os.path.basename(PROGRAM):
                return pid
        raise ProcessLookupError("no godwit process")

    def roles(self):
        """{role: [pids]} of the processes that run now, by the names they show."""
        found = {}
        for pid in session_pids(self.process.pid):
            role = process_role(pid)
            if role:
                found.setdefault(role, []).append(pid)
        return found

    def role_pid(self, role, timeout=5):
        return ports.wait_for(lambda: self.roles().get(role), timeout, what=f"role {role}")[0]

    def kill9(self, role):
        """SIGKILL to every process of one role; (begin, end) of the kill."""
        pids = ports.wait_for(lambda: self.roles().get(role), 5, what=f"role {role}")
        begin = time.time()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return begin, time.time()

    def kill9_all(self):
        """SIGKILL to all processes at once; (begin, end)."""
        process, self.process = self.process, None
        begin = time.time()
        self._kill_session(process.pid)
        process.wait(10)
        ports.wait_for(lambda: not session_pids(process.pid), 5, what="end of all processes")
        return begin, time.time()

    @staticmethod
    def _kill_session(sid):
        for pid in sorted(session_pids(sid), key=lambda pid: pid != sid):  # master sees none die
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ---- asking -------------------------------------------------------------------------

    def cli(self, *words, json_output=False, check=True, timeout=45, input=None):
        """Runs a command of the program against this instance; its standard output."""
        done = self.run(*words, json_output=json_output, timeout=timeout, input=input)
        if check and done.returncode != 0:
            raise RuntimeError(f"godwit {' '.join(words)}: {done.returncode}\n"
                               f"{done.stdout}{done.stderr}")
        if not json_output:
            return done.stdout
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def run(self, *words, json_output=False, timeout=45, input=None):
        flags = ["--json"] if json_output else []
        return subprocess.run([PROGRAM, "--config", str(self.config_path), *flags, *words],
                              capture_output=True, text=True, timeout=timeout, input=input)

    def api(self, path, method="GET", body=None):
        """(status, decoded JSON or text) of a request to the control socket."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(30)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.control))
            text, headers = None, {}
            if body is not None:
                text, headers = json.dumps(body), {"Content-Type": "application/json"}
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = "json" in answer.getheader("Content-Type", "")
            return answer.status, json.loads(text) if is_json else text

    def status(self):
        return self.cli("status", json_output=True)[0]

    def queue(self, *query):
        """The queued recipients, one dict each."""
        return self.cli("queue", "list", *query, json_output=True)

    def queued(self):
        """How many recipients are queued."""
        return self.api("/v1/queue")[1]["recipients"]

    def is_idle(self):
        """Nothing is queued; no when the queue, or who answers for it, is away just now."""
        try:
            status, answer = self.api("/v1/queue")
        except OSError:
            return False
        return status == 200 and answer["recipients"] == 0

    def wait_idle(self, timeout=20):
        """Until nothing is queued; else it says what is."""
        try:
            ports.wait_for(self.is_idle, timeout, 0.2, what="an empty queue")
        except TimeoutError as e:
            raise TimeoutError(f"{e}: {self.api('/v1/queue')[1]} {self.queue()[:3]}") from e

    # ---- what it did --------------------------------------------------------------------

    def output(self):
        text = ""
        for name in ("stdout", "stderr", "godwit.log"):
            path = self.folder / name
            if path.exists():
                text += f"--- {name}\n" + path.read_text(errors="replace")[-4000:]
        return text

    def log_text(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_lines(self, event=None, **fields):
        """Parsed log lines, of one event and with these field values."""
        text = self.log_text().splitlines()
        if event:
            text = [line for line in text if f" ev={event} " in line]
        lines = [parse_logfmt(line) for line in text]
        return [line for line in lines if (event is None or line.get("ev") == event)
                and all(line.get(k) == str(v) for k, v in fields.items())]

    def wait_log(self, event, timeout=10, count=1, **fields):
        def enough():
            lines = self.log_lines(event, **fields)
            return lines if len(lines) >= count else None

        try:
            return ports.wait_for(enough, timeout, what=f"log event {event} {fields}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()[-3000:]}") from None

    def mail(self):
        """The files in all Maildirs, finished deliveries only."""
        return finished_mail(self.maildir)

    def wait_mail(self, count=1, timeout=10):
        return ports.wait_for(lambda: (self.mail() if len(self.mail()) >= count else None), timeout,
                              what=f"{count} messages in the Maildir")


class Dev:
    """godwit dev: what it prints is in lines(); what it caught in mail() (needs data)."""

    def __init__(self, data=None, arguments=(), user=None):
        self.folder = ports.scratch("godwit-dev-")
        self.tmp = self.folder / "tmp"
        self.tmp.mkdir()
        self.port = ports.free_port()
        self.data = data
        self.arguments = list(arguments)
        self.user = user  # a uid to run as
        self.process = None

    def start(self, wait=True):
        command = [PROGRAM, "dev", "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        if self.data:
            command += ["--data", str(self.data)]
        if self.user is not None:
            os.chown(self.tmp, self.user, self.user)
            os.chown(self.folder, self.user, self.user)
            ids = ["--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"]
            command = ["setpriv", *ids, *command]
        env = dict(os.environ, TMPDIR=str(self.tmp), HOME=str(self.folder))
        self.process = subprocess.Popen(
            command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "stdout", "ab"), stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=ports.end_with_parent,
        )
        if wait:
            ports.wait_for(self._ready, 10, what="greeting of godwit dev")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"godwit dev ended with {self.process.returncode}:\n{self.text()}")
        return ports.greets(self.port, ready=True)

    def text(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def wait_line(self, *words, timeout=10):
        """A line of the output that has all these words."""
        def find():
            for line in self.text().splitlines():
                if all(word in line for word in words):
                    return line
            return None

        try:
            return ports.wait_for(find, timeout, what=f"a line with {words}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.text()}") from None

    def mail(self):
        return finished_mail(self.data)

    def wait_mail(self, count=1, timeout=10):
        return ports.wait_for(lambda: (self.mail() if len(self.mail()) >= count else None), timeout,
                              what=f"{count} caught messages")

    def pids(self):
        return session_pids(self.process.pid)

    def interrupt(self, timeout=10):
        """^C: the signal goes to every process, as from a terminal. The exit status."""
        process, self.process = self.process, None
        os.killpg(process.pid, signal.SIGINT)
        try:
            return process.wait(timeout)
        finally:
            Godwit._kill_session(process.pid)

    def close(self):
        if self.process:
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                self.interrupt()
        ports.discard(self.folder)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        self.close()


def finished_mail(folder):
    """The files of all Maildirs below a folder, without those still being written."""
    return sorted(p for p in pathlib.Path(folder).rglob("*")
                  if p.is_file() and p.parent.name in ("new", "cur"))


# ---- /proc ----------------------------------------------------------------------------------

def session_pids(sid):
    """Live processes (no zombies) of a session."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in "ZX" and int(fields[3]) == sid:
            found.append(int(entry.name))
    return sorted(found)


def _exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def process_role(pid):
    """The role a process shows in its title or name ("godwit: queue"), or None."""
    for name in ("cmdline", "comm"):
        try:
            text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ")
        except OSError:
            return None
        match = re.search(rb"godwit: (\w+)", text)
        if match:
            return match[1].decode()
    return None
