"""Routes in the running program: by recipient, sender, account and size; from which vmta; what is
refused while the client is there. And the files that the configuration names for the way out."""

import socket
import subprocess

import pytest

from peers import ports
from peers.client import Client, simple_message
from peers.sink import Sink

BASE = """
hostname mx.test
listen   mx 127.0.0.1:@PORT@
spool    @DIR@/spool
control  @DIR@/control.sock
log      file @DIR@/godwit.log
store    {{ segment 8M; reserve 16M; spares 1 }}
trust    127.0.0.0/8
run-as   nobody
domain   example.net {{ deliver maildir @MAIL@/%d/%u }}
vmta     news {{ address 127.0.0.7; helo news.example.net }}
route to address one@far.test via relay 127.0.0.1:{a}
route to domain shut.test via reject "550 5.7.1 nobody writes to them"
route from domain news.test via relay 127.0.0.1:{b} vmta news
route to domain small.test larger-than 20K via reject "552 5.3.4 too large for them"
route larger-than 20K via relay 127.0.0.1:{b}
route to any via relay 127.0.0.1:{a}
shape *  {{ retry 1s; expire 2m }}
"""


@pytest.fixture
def sinks():
    with Sink() as a, Sink() as b:
        yield a, b


@pytest.fixture
def routed(make_godwit, sinks):
    return make_godwit(BASE.format(a=sinks[0].port, b=sinks[1].port))


def send(g, rcpt, sender="x@example.net", size=0):
    content = simple_message(body="x" * 76 + "\r\n" if size == 0 else ("x" * 76 + "\r\n") * (size // 78))
    with Client(g.port) as client:
        client.hello()
        return client.message(sender, [rcpt], content)


def where(sinks, rcpt):
    """0 or 1: the sink that got it."""
    def look():
        return [i for i, s in enumerate(sinks) if rcpt in [r for m in s.messages for r in m.rcpts]]
    return ports.wait_for(look, 10, what=rcpt)[0]


def test_conditions(routed, sinks):
    assert send(routed, "One@far.test", "x@news.test", size=30000)[0] == 250  # the first route
    assert send(routed, "two@far.test", "x@news.test")[0] == 250
    assert send(routed, "large@far.test", size=30000)[0] == 250
    assert send(routed, "usual@far.test")[0] == 250
    assert where(sinks, "One@far.test") == 0
    assert where(sinks, "two@far.test") == 1
    assert where(sinks, "large@far.test") == 1
    assert where(sinks, "usual@far.test") == 0


def test_vmta_is_the_source(make_godwit):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        g = make_godwit(BASE.format(a=port, b=port))
        server.settimeout(10)
        for sender, source, helo in (("x@news.test", "127.0.0.7", b"news.example.net"),
                                     ("x@example.net", "127.0.0.1", b"mx.test")):
            assert send(g, "two@far.test", sender)[0] == 250
            connection, peer = server.accept()
            with connection:
                connection.settimeout(10)
                connection.sendall(b"220 here\r\n")
                assert connection.recv(1000) == b"EHLO " + helo + b"\r\n"
                connection.sendall(b"554 5.3.2 enough\r\n")
            assert peer[0] == source


def test_refused_at_rcpt(routed):
    code, text = send(routed, "bob@shut.test")
    assert code == 550 and "nobody writes to them" in str(text)


def test_refused_by_its_size(routed, sinks):
    code, text = send(routed, "bob@small.test", size=30000)
    assert code == 552 and "too large for them" in str(text)
    assert send(routed, "bob@small.test")[0] == 250
    assert where(sinks, "bob@small.test") == 0
    reject = routed.log_lines("reject", stage="eom")[0]
    assert reject["reason"] == "route_rejects"


# ---- the file of a login ----------------------------------------------------------------------


@pytest.fixture
def login(make_godwit, sinks):
    g = make_godwit(BASE.format(a=sinks[0].port, b=sinks[1].port), start=False)
    path = g.folder / "login"
    path.write_text("alice\nsesame\n")
    path.chmod(0o600)
    text = g.config_path.read_text()
    g.config_path.write_text(text.replace(
        "route to any", f"route to domain p.test via relay 127.0.0.1:1 auth file:{path} tls verify\n"
        "route to any"))
    return g, path


def check(g):
    return subprocess.run([*g.command()[:1], "config", "check", str(g.config_path)],
                          capture_output=True, text=True)


def test_login_file(login):
    g, path = login
    assert check(g).returncode == 0
    path.chmod(0o644)
    done = check(g)
    assert done.returncode == 1 and "readable by others" in done.stderr
    path.chmod(0o600)
    path.write_text("alice\n")
    done = check(g)
    assert done.returncode == 1 and "second line" in done.stderr and ":2:1:" in done.stderr
    path.write_text("\nsesame\n")
    assert "first line" in check(g).stderr
    path.unlink()
    assert "No such file" in check(g).stderr


def test_what_the_machine_does_not_have(login):
    g, _ = login
    text = g.config_path.read_text()
    assert check(g).stderr.count("warning") == 0
    g.config_path.write_text(text.replace("address 127.0.0.7", "address 192.0.2.77 2001:db8::7") +
                             "authorities /nowhere/certs.pem\n")
    done = check(g)
    assert done.returncode == 0
    assert "192.0.2.77, which this machine does not have [W0314]" in done.stderr
    assert "2001:db8::7, which" in done.stderr
    assert "/nowhere/certs.pem, the file of 'authorities'" in done.stderr


def test_programs_that_cannot_be_run(login):
    """Mail for them would wait until it expires: said before that."""
    g, _ = login
    text = g.config_path.read_text()
    for pipe, why in (("user no-such-user /bin/cat", "there is no user no-such-user"),
                      ("user root /bin/cat", "root is root"),
                      ("user nobody /no/such/program", "/no/such/program: No such file or directory"),
                      ("user nobody /bin", "/bin is no file"),
                      ("user nobody /bin/cat", None)):
        g.config_path.write_text(text + f"domain pipe.test {{ deliver pipe {pipe} }}\n")
        done = check(g)
        assert done.returncode == 0
        assert done.stderr.count("W0316") == (why is not None), done.stderr
        assert why is None or f"the program of pipe.test cannot be run: {why} [W0316]" in done.stderr


def test_login_file_refuses_the_start(login):
    g, path = login
    path.chmod(0o644)
    with pytest.raises(RuntimeError, match="readable by others"):
        g.start(timeout=3)
    path.chmod(0o600)
    g.start()
