"""LMTP as a server: Postfix and Exim deliver into it, one reply for each recipient; the Unix socket
belongs to whom the configuration says, and takes the place of nothing but a dead one."""

import os
import pathlib
import pwd
import re
import grp
import socket
import stat
import types

import pytest

from conftest import needs_processes, needs_root, run_as
from peers import ports
from peers.client import Client
from peers.exim import Exim
from peers.godwit import Godwit
from peers.postfix import Postfix, _accounts

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    lmtp 127.0.0.1:{tcp} unix:{path} {{ {block} }}
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
trust     127.0.0.0/8
domain    example.net {{ deliver maildir @MAIL@/%u; recipients file @DIR@/names }}
route to any via relay 127.0.0.1:1
limits    {{ recipients 2000; connections 1000 per-ip 3 }}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""


def make(folder, block="", path=None):
    tcp = ports.free_port()
    if block:  # it is about the Unix socket
        text = CONFIG.replace("listen    lmtp 127.0.0.1:{tcp} unix", "listen    lmtp unix")
    else:
        text = CONFIG
    g = Godwit(text.format(run_as=run_as(), tcp=tcp, path=path or folder / "lmtp", block=block))
    names = g.folder / "names"
    names.write_text("alice\nbob\ncarol\n")
    names.chmod(0o644)
    g.ports["tcp"], g.path = tcp, str(path or folder / "lmtp")
    return g


@pytest.fixture(scope="module")
def folder():
    made = ports.scratch("godwit-lmtp-")
    made.chmod(0o755)
    yield made
    ports.discard(made)


@pytest.fixture(scope="module")
def server(program, folder):
    g = make(folder)
    try:
        g.start()
        yield g
        assert g.stop() == 0, g.output()
        assert not g.log_lines("role.died") and not g.log_lines("error")
        assert not os.path.exists(g.path)
    finally:
        g.close()


class Lmtp(Client):
    """Over the Unix socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.buffer = b""
        self.greeting = self.reply()
        assert self.cmd("LHLO client.test")[0] == 250


CONTENT = "From: a@b.test\r\nSubject: lmtp\r\n\r\nx\r\n"


def test_a_reply_for_each_recipient(server):
    with Lmtp(server.path) as c:
        assert c.greeting == (220, "mx.test LMTP")
        mail, rcpts = c.begin("a@b.test", ["alice@example.net", "nobody@example.net",
                                           "bob@example.net"])
        assert mail[0] == 250 and [code for code, _ in rcpts] == [250, 550, 250]
        first = c.data(CONTENT)
        assert first[0] == 250 and c.reply() == first
        assert c.cmd("NOOP")[0] == 250
        number = first[1].split()[-1]
    line = server.wait_log("accepted", listener="lmtp")[0]
    assert line["ip"] == "local" and line["id"] == number and line["rcpts"] == "2"
    text = next(p.read_text() for p in server.wait_mail(2) if "/alice/" in str(p))
    assert " with LMTP id " in text.replace("\n\t", " ")


def test_2000_replies_to_one_that_reads_late(server):
    with Lmtp(server.path) as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mail, rcpts = c.begin("a@b.test", ["alice@example.net"] * 2000)
        assert mail[0] == 250 and all(code == 250 for code, _ in rcpts)
        first = c.data(CONTENT)
        assert first[0] == 250 and all(c.reply() == first for _ in range(1999))
        assert c.cmd("NOOP")[0] == 250


def test_nobody_relays(server):
    """This machine is trusted: by LMTP that counts for nothing."""
    with Client(server.port) as c:
        c.hello()
        assert c.begin("a@b.test", ["far@else.test"])[1][0][0] == 250
    with Client(server.ports["tcp"]) as c:
        assert c.cmd("EHLO x")[0] == 500 and c.cmd("LHLO x")[0] == 250
        assert c.begin("a@b.test", ["far@else.test"])[1][0][0] == 550


def test_the_socket_has_no_busy_address(server):
    with Lmtp(server.path), Lmtp(server.path), Lmtp(server.path), Lmtp(server.path):
        with Lmtp(server.path) as c:
            assert c.cmd("NOOP")[0] == 250


# ---- Postfix and Exim -----------------------------------------------------------------------------


def before(g):
    return {str(p) for p in g.mail()}


def new_mail(g, old, count):
    return ports.wait_for(lambda: (found if len(found := before(g) - old) >= count else None),
                          15, what=f"{count} messages")


@needs_root
def test_postfix_delivers(program):
    """Its own user opens the socket; of three recipients one is not there."""
    owner = _accounts()[0]
    with ports_folder() as folder, make(folder, f"owner {owner}; mode 0600") as g:
        options = {"default_transport": f"lmtp:unix:{g.path}"}
        with Postfix(options=options) as mta:
            with Client(mta.port) as c:
                c.hello()
                assert c.message("a@b.test", ["alice@example.net", "nobody@example.net",
                                              "bob@example.net"], CONTENT)[0] == 250
            new_mail(g, set(), 2)

            def told():
                log = mta.log()
                return log.count("status=sent (250 ") >= 2 and log.count("status=bounced") >= 1

            ports.wait_for(told, 10, what="Postfix's log")
        assert g.log_lines("accepted")[0]["rcpts"] == "2"


@needs_root
def test_exim_delivers(server):
    old = before(server)
    to = types.SimpleNamespace(host="127.0.0.1", port=server.ports["tcp"], tls=None, user=None,
                               source=None, lmtp=True)
    with Exim(to) as mta:
        mail = types.SimpleNamespace(
            sender="a@b.test", content=CONTENT.encode(),
            recipients=["bob@example.net", "nobody@example.net", "carol@example.net"])
        _, log = mta.submit(mail)
    found = new_mail(server, old, 2)
    assert {pathlib.Path(p).parts[-3] for p in found} == {"bob", "carol"}, log
    assert "** nobody@example.net" in log and log.count("=> ") >= 1


# ---- the socket -----------------------------------------------------------------------------------


class ports_folder:
    def __enter__(self):
        self.folder = ports.scratch("godwit-lmtp-")
        self.folder.chmod(0o755)
        return self.folder

    def __exit__(self, *_):
        ports.discard(self.folder)


def refused(folder, path=None, block="mode 0600"):
    g = make(folder, block, path)
    try:
        with pytest.raises(RuntimeError) as error:
            g.start()
        return str(error.value)
    finally:
        g.close()


@needs_root
def test_owner_group_and_mode(program):
    with ports_folder() as folder, make(folder, "owner mail; group uucp; mode 0620") as g:
        st = os.stat(g.path)
        assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o620
        assert st.st_uid == pwd.getpwnam("mail").pw_uid
        assert st.st_gid == grp.getgrnam("uucp").gr_gid
        assert os.listdir(folder) == ["lmtp"]


@needs_processes
def test_a_dead_socket_is_replaced(program):
    with ports_folder() as folder, make(folder, "mode 0600") as g:
        first = os.stat(g.path).st_ino
        g.kill9_all()
        assert os.path.exists(g.path)
        g.start()
        assert os.stat(g.path).st_ino != first
        with Lmtp(g.path) as c:
            assert c.cmd("NOOP")[0] == 250
        assert os.listdir(folder) == ["lmtp"]


def test_what_is_no_socket_stays(program):
    with ports_folder() as folder:
        path = folder / "lmtp"
        path.write_text("precious")
        assert "something is there that is no socket" in refused(folder)
        assert path.read_text() == "precious"
        path.unlink()
        (folder / "victim").write_text("precious")
        path.symlink_to(folder / "victim")
        assert "something is there that is no socket" in refused(folder)
        assert (folder / "victim").read_text() == "precious"
        assert path.is_symlink() and sorted(os.listdir(folder)) == ["lmtp", "victim"]


def test_a_live_socket_stays(program):
    with ports_folder() as folder, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "lmtp"))
        other.listen(1)
        assert "in use: somebody answers there" in refused(folder)
        assert os.listdir(folder) == ["lmtp"]


def test_nobody_of_that_name(program):
    with ports_folder() as folder:
        said = refused(folder, block="owner no-such-user")
        assert re.search(r"godwit\.conf:\d+:\d+: cannot listen on \S+/lmtp: there is no user no-such-user ", said)
        assert "there is no group" in refused(folder, block="group no-such-group")
        assert os.listdir(folder) == []


# ---- who does not wait ----------------------------------------------------------------------------


def test_commands_behind_the_dot(server):
    """What came with the end of the message is read when its replies are written, not when the client
    says more."""
    with Lmtp(server.path) as c:
        c.begin("a@b.test", ["bob@example.net"] * 2000)
        assert c.cmd("DATA")[0] == 354
        c.send(CONTENT + ".\r\nNOOP\r\nMAIL FROM:<c@d.test>\r\n")
        assert [c.reply()[0] for _ in range(2002)] == [250] * 2002


def test_more_commands_than_replies_fit(server):
    """The same of SMTP."""
    with Client(server.port) as c:
        c.hello()
        c.send("MAIL FROM:<a@b.test>\r\n" + "RCPT TO:<bob@example.net>\r\n" * 4000 + "NOOP\r\n")
        assert [c.reply()[0] for _ in range(4002)] == [250] * 2001 + [452] * 2000 + [250]
