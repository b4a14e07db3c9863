"""Mail that is given to programs: what they get, what they may do, and what their end means."""

import json
import os
import pathlib
import signal
import sys
import time

import pytest

from conftest import end_of_godwit, needs_processes, needs_root
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client

# What each program does with the message it has as `mail`.
PROGRAMS = {
    "keep": "save()",
    "dash": "save()",
    "operand": "save()",
    "sub": "save()",
    "nouser": "print('no such customer\\n\\x1b[31m second line'); sys.exit(67)",
    "tempfail": "sys.exit(75)",
    "noperm": "sys.stderr.write('go away'); sys.exit(77)",
    "oops": "raise SystemExit(1)",
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "deaf": "os.close(0); save()",
    "loud": "print('x' * 5000000); sys.exit(70)",
    "slow": "save(); time.sleep(60)",
    "family": ("save()\n"
               "if os.fork() == 0:\n    os.setsid()\n    os.fork()\n    time.sleep(60)\n"),
    "chatter": ("if os.fork() == 0:\n    os.setsid()\n    signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
                    "    while True:\n        os.write(1, b'x' * 65536)\nsys.exit(67)\n"),
    "hungry": "save(); x = bytearray(300 << 20); x[::4096] = b'x' * len(x[::4096])",
    "walls": "save(walls())",
    "stopper": ("try:\n    os.kill(os.getppid(), signal.SIGSTOP)\n"
                "except PermissionError:\n    sys.exit(0)\nsys.exit(77)\n"),
}
# The program's words in its domain; otherwise none.
WORDS = {"keep": "%u %d -- %to %from %id", "dash": "%to", "operand": "-- %to", "sub": "%u"}
LIMITS = {"slow": "timeout 1s", "chatter": "timeout 5s", "hungry": "memory 128M"}

SCRIPT = """#!{python}
import json, os, pathlib, resource, signal, stat, sys, time
name = pathlib.Path(sys.argv[0]).name
mail = sys.stdin.buffer.read()

def walls():
    import ctypes, socket
    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *args):
        ctypes.set_errno(0)
        return libc.syscall(number, *args), ctypes.get_errno()
    found = {{}}
    found["unshare"] = call(272, 0x10000000)
    found["ptrace"] = call(101, 0, 0, 0, 0)
    found["clone_newuser"] = call(56, 0x10000000 | 17, 0, 0, 0, 0)
    found["nnp"] = [l for l in open("/proc/self/status") if l.startswith(("NoNewPrivs", "CapEff", "CapPrm", "CapBnd"))]
    found["limits"] = {{n: resource.getrlimit(getattr(resource, n))[1]
                       for n in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE")}}
    return found

def save(more=None):
    out = pathlib.Path("{out}") / f"{{name}}-{{time.time_ns()}}"
    out.with_suffix(".tmp").write_text(json.dumps(dict(
        argv=sys.argv, env=dict(os.environ), mail=mail.decode("latin-1"), uid=os.getresuid(),
        gid=os.getresgid(), groups=os.getgroups(), cwd=os.getcwd(), pid=os.getpid(), sid=os.getsid(0),
        fds=sorted(f for f in os.listdir("/proc/self/fd") if f != "3"), umask=os.umask(0), more=more,
        ignored=[l for l in open("/proc/self/status") if l.startswith(("SigIgn", "SigBlk"))])))
    out.with_suffix(".tmp").rename(out.with_suffix(".json"))

{code}
"""

USER = "nobody" if os.geteuid() == 0 else None
USERS = {"stopper": "daemon"}  # "nobody" may be the server's own


class World:
    """One server with a domain per program."""

    def __init__(self):
        self.folder = ports.scratch("godwit-pipe-")
        self.folder.chmod(0o755)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.out.chmod(0o1777)
        extra = []
        for name, code in PROGRAMS.items():
            path = self.folder / name
            path.write_text(SCRIPT.format(python=sys.executable, out=self.out, code=code))
            path.chmod(0o755)
            words = f"user {USERS.get(name, USER)} " if USER else ""
            words += LIMITS.get(name, "") + f" {path} " + WORDS.get(name, "")
            extra.append(f"domain {name}.test {{ deliver pipe {words} }}")
        extra.append(f"domain missing.test {{ deliver pipe {'user ' + USER if USER else ''} "
                     f"{self.folder}/missing }}")
        extra.append("domain rootly.test { deliver pipe /bin/true }")
        extra.append("domain root.test { deliver pipe user root /bin/true }")
        self.g = godwit_peer.Godwit(extra="\n".join(extra), retry="1h", expire="1d", relay=("127.0.0.1", 9))
        self.g.start()

    def send(self, to, sender="a@example.net", text="Subject: x\r\n\r\nbody\r\n.dot\r\n"):
        with Client(self.g.port) as c:
            c.hello()
            c.begin(sender, [to])
            return c.data(text)

    def result(self, to):
        """What became of the recipient: a line of the log."""
        for event in ("delivered", "deferred", "bounced"):
            lines = self.g.log_lines(event, to=to)
            if lines:
                return lines[-1]
        return None

    def deliver(self, to, **more):
        code = self.send(to, **more)[0]
        assert code == 250
        return ports.wait_for(lambda: self.result(to), 15, what=f"a result of {to}")

    def saved(self, name):
        return [json.loads(p.read_text()) for p in sorted(self.out.glob(f"{name}-*.json"))]


@pytest.fixture(scope="module")
def world(program):
    w = World()
    w.g.expected_alarms = {"error"}
    yield w
    try:
        problems = end_of_godwit(w.g)
    finally:
        w.g.close()
        ports.discard(w.folder)
    assert not problems, problems


# ---- what it gets ---------------------------------------------------------------------------

def test_message_words_and_environment(world):
    line = world.deliver("Bob+x@keep.test", sender="alice@example.net")
    assert line["ev"] == "delivered" and line["reply"].endswith("Given to keep")
    got, = world.saved("keep")
    head, _, body = got["mail"].partition("\n\n")
    assert head.startswith("Return-Path: <alice@example.net>\nDelivered-To: Bob+x@keep.test\n")
    assert "\r" not in got["mail"] and body == "body\n.dot\n"
    assert got["argv"][1:] == ["Bob", "keep.test", "--", "Bob+x@keep.test", "alice@example.net",
                               line["id"]]
    assert got["env"].pop("HOME") and got["env"].pop("USER") == got["env"].pop("LOGNAME")
    got["env"].pop("LC_CTYPE", None)  # Python's own
    assert got["env"] == {"PATH": "/usr/local/bin:/usr/bin:/bin", "SHELL": "/bin/sh",
                          "LANG": "C.UTF-8", "SENDER": "alice@example.net",
                          "RECIPIENT": "Bob+x@keep.test", "MESSAGE_ID": line["id"]}


def test_nothing_of_ours_is_open_or_ignored(world):
    world.deliver("fds@keep.test")
    got = world.saved("keep")[-1]
    assert got["fds"] == ["0", "1", "2"]
    assert got["sid"] == got["pid"] and got["umask"] == 0o77
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25); 32 and 33 are the C library's own.
    others = ~(1 << 12 | 1 << 24 | 1 << 31 | 1 << 32)
    assert [int(line.split()[1], 16) & others for line in got["ignored"]] == [0, 0]


@needs_root
def test_it_is_somebody_else(world):
    world.deliver("uid@keep.test")
    got = world.saved("keep")[-1]
    assert got["uid"] == [65534] * 3 and got["gid"] == [65534] * 3 and got["groups"] == []


def test_the_null_sender_is_an_empty_word(world):
    world.deliver("null@keep.test", sender="")
    got = world.saved("keep")[-1]
    assert got["argv"][5] == "" and got["env"]["SENDER"] == ""


@pytest.mark.parametrize("local", ["-rf", "--delete", "-", "-oX"])
def test_an_address_is_no_option(world, local):
    before = len(world.saved("dash"))
    line = world.deliver(f"{local}@dash.test")
    assert line["ev"] == "bounced" and (line["code"], line["esc"]) == ("550", "5.1.3")
    assert len(world.saved("dash")) == before
    assert world.deliver(f"{local}@operand.test")["ev"] == "delivered"
    assert world.saved("operand")[-1]["argv"][1:] == ["--", f"{local}@operand.test"]
    assert world.deliver(f"{local}@sub.test")["ev"] == "delivered"
    assert world.saved("sub")[-1]["argv"][1:] == ["%2D" + local[1:]]


@pytest.mark.parametrize("local, word", [
    ('";touch${IFS}x;"', "%3Btouch%24%7BIFS%7Dx%3B"), ('"../../etc"', "%2E.%2F..%2Fetc"),
    ('"|cat x"', "%7Ccat%20x"), ('"a b"', "a%20b"), ("$(id)`id`".replace("(", "").replace(")", ""),
                                              "%24id%60id%60")])
def test_an_address_is_one_plain_word(world, local, word):
    assert world.deliver(f"{local}@sub.test")["ev"] == "delivered"
    assert world.saved("sub")[-1]["argv"][1:] == [word]


# ---- what its end means ---------------------------------------------------------------------

@pytest.mark.parametrize("name, event, code, esc, text", [
    ("nouser", "bounced", "550", "5.1.1", "nouser ended with status 67: no such customer [31m second line"),
    ("noperm", "bounced", "550", "5.7.1", "noperm ended with status 77: go away"),
    ("tempfail", "deferred", "451", "4.3.0", "tempfail ended with status 75"),
    ("oops", "deferred", "451", "4.3.0", "oops ended with status 1"),
    ("crash", "deferred", "451", "4.3.0", "crash was ended by signal 11"),
    ("missing", "deferred", "451", "4.3.0", "Cannot start "),
    ("loud", "bounced", "554", "5.3.0", "loud ended with status 70: xxxx"),
    ("slow", "deferred", "451", "4.3.0", "slow did not end in time"),
    ("hungry", "deferred", "451", "4.3.0", "hungry ended with status 1: Traceback"),
    ("deaf", "delivered", "250", "2.0.0", "Given to deaf"),
])
def test_exit_status(world, name, event, code, esc, text):
    line = world.deliver(f"x@{name}.test")
    assert (line["ev"], line["code"], line["esc"]) == (event, code, esc), line
    assert text in line["reply"]


@pytest.mark.parametrize("name, event, text", [
    ("crash", "bounced", "crash was ended by signal 11"),
    ("slow", "bounced", "slow did not end in time"),
    ("tempfail", "deferred", "tempfail ended with status 75"),
    ("missing", "deferred", "Cannot start "),
])
def test_at_most_once(world, name, event, text):
    """A program that did not say how it ended may have done its work: it does not get that again."""
    line = world.deliver(f"once@{name}.test", text="Subject: x\r\nX-Godwit-Class: at-most-once\r\n\r\nx\r\n")
    assert (line["ev"], "May have been delivered" in line["reply"]) == (event, event == "bounced"), line
    assert text in line["reply"]


@needs_root
@pytest.mark.parametrize("domain", ["rootly.test", "root.test"])
def test_never_root(world, domain):
    line = world.deliver(f"x@{domain}")
    assert (line["ev"], line["esc"]) == ("deferred", "4.3.5")
    assert line["class"] == "system", "the sender is not told to look for another mailbox"
    assert any("gets no mail: it would run as root" in str(e) for e in world.g.log_lines("error"))


def test_a_loop_ends_before_the_program(world):
    line = world.deliver("loop@keep.test", text="Received: x\r\nDelivered-To: <LOOP@Keep.TEST>\r\n\r\nx\r\n")
    assert (line["ev"], line["code"], line["esc"]) == ("bounced", "554", "5.4.6")
    assert not [s for s in world.saved("keep") if s["argv"][1] == "loop"]
    # Somebody else's, one in the body, and one that only looks like it are none.
    text = ("Delivered-To: other@keep.test\r\nX-Delivered-To: fine@keep.test\r\n\r\n"
            "Delivered-To: fine@keep.test\r\n")
    assert world.deliver("fine@keep.test", text=text)["ev"] == "delivered"


# ---- what it may not ------------------------------------------------------------------------

def gone(sid):
    """No process of this session is left."""
    return not godwit_peer.session_pids(sid)


def runs_in(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command and b"--config" not in command:
            found.append(int(pid))
    return found


def test_what_it_starts_ends_with_it(world):
    """Also what made a session of its own."""
    assert world.deliver("x@family.test")["ev"] == "delivered"
    ports.wait_for(lambda: gone(world.saved("family")[0]["sid"]), 5, what="the end of the family")
    assert not [p for p in runs_in(world.folder) if "family" in pathlib.Path(f"/proc/{p}/cmdline").read_text()]


def test_a_child_that_never_stops_talking(world):
    started = time.monotonic()
    line = world.deliver("x@chatter.test")
    assert line["ev"] == "bounced" and "status 67" in line["reply"]
    assert time.monotonic() - started < 20


@needs_root
@needs_processes
def test_it_cannot_stop_who_watches_over_it(world):
    """Its place would be taken for ever, and there are 16 for all programs."""
    assert world.deliver("x@stopper.test")["ev"] == "delivered"


@needs_processes
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
def test_walls(world):
    world.deliver("x@walls.test")
    more = world.saved("walls")[0]["more"]
    for name in ("unshare", "ptrace", "clone_newuser"):
        assert more[name] == [-1, 1], (name, more)
    assert "NoNewPrivs:\t1\n" in more["nnp"]
    limits = more["limits"]
    assert limits["RLIMIT_AS"] == 512 << 20 and limits["RLIMIT_CORE"] == 0
    assert 0 < limits["RLIMIT_CPU"] <= 301 and 0 < limits["RLIMIT_FSIZE"] < 2 << 30
    if os.geteuid() == 0:
        assert limits["RLIMIT_NPROC"] == 128
        for line in more["nnp"][:2]:
            assert line.startswith("NoNewPrivs") or int(line.split()[1], 16) == 0


@needs_processes
def test_the_mda_itself_starts_nothing(world):
    """Its jail is as tight as without programs; a launcher beside it has none of the mail."""
    mda = world.g.role_pid("mda")
    status = pathlib.Path(f"/proc/{mda}/status").read_text()
    assert "Seccomp:\t2" in status and "Seccomp_filters:\t1" in status
    launcher = world.g.role_pid("programs")
    assert "Seccomp:\t2" in pathlib.Path(f"/proc/{launcher}/status").read_text()


@needs_processes
def test_both_come_back(world):
    world.g.expected_alarms |= {"role.died"}
    for role in ("programs", "mda"):
        old = world.g.role_pid(role)
        os.kill(old, signal.SIGKILL)

        def another(old=old):
            roles = world.g.roles()
            return "programs" in roles and old not in roles["programs"] + roles.get("mda", [])

        ports.wait_for(another, 10, what="another launcher")
        assert world.deliver(f"after-{role}@keep.test")["ev"] == "delivered"
