"""The vault from outside: files it watches through master, pairs that are swapped and broken under
its eyes, accounts that change, its sudden end, and what refuses a start."""

import contextlib
import os
import pathlib
import re
import smtplib
import ssl
import stat
import time

import pytest
from conftest import needs_processes, needs_root

from peers import certs, users

ALICE, PASSWORD = "alice@example.com", "secret of alice"


@pytest.fixture
def ca(scratch):
    return certs.Authority(scratch)


def swap(new, old):
    """As a careful program does: beside its place, then moved there, the key first."""
    for source, target in ((new.key, old.key), (new.cert, old.cert)):
        beside = target.with_name(target.name + ".next")
        beside.write_bytes(source.read_bytes())
        beside.chmod(0o600)
        os.replace(beside, target)


def write(path, text):
    beside = path.with_name(path.name + ".next")
    beside.write_text(text)
    beside.chmod(0o600)
    os.replace(beside, path)


def no_questions():
    """A context that takes any certificate: which one it was is looked at afterwards."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def session(port):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as s:
        s.starttls(context=no_questions())
        s.ehlo()
        yield s


def leaf(port):
    """The certificate a new client gets, DER."""
    with session(port) as s:
        return s.sock.getpeercert(binary_form=True)


def der_of(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def wait_leaf(port, want, timeout=10):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if leaf(port) == want:
            return
        time.sleep(0.1)
    assert leaf(port) == want


def can_login(port, password=PASSWORD, name=ALICE):
    """The code of the reply to AUTH PLAIN."""
    with session(port) as s:
        try:
            return s.login(name, password, initial_response_ok=True)[0]
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code


def make(make_godwit, ca, **options):
    pair = ca.issue("mx.test")
    g = make_godwit(tls=[pair], listeners={"sub": "submission {}"},
                    users=users.line(ALICE, PASSWORD), **options)
    g.wait_log("tls.loaded")
    g.wait_log("users.loaded")
    return g, pair, g.ports["sub"]


def test_a_pair_is_swapped(make_godwit, ca):
    g, pair, port = make(make_godwit, ca)
    with session(port) as old:
        new = ca.issue("mx.test", file="second")
        swap(new, pair)
        wait_leaf(port, der_of(new.cert))
        # One who was there before goes on.
        assert old.noop()[0] == 250
        assert old.login(ALICE, PASSWORD)[0] == 235
    assert can_login(port) == 235
    assert [c["state"] for c in g.status()["certificates"]] == ["good"]


def test_a_broken_pair_is_refused_and_the_old_one_stays(make_godwit, ca):
    g, pair, port = make(make_godwit, ca)
    before = leaf(port)
    swap(certs.Pair(ca.issue("mx.test", file="second").cert, pair.key), pair)
    line = g.wait_log("tls.refused")[0]
    assert line["file"] == str(pair.cert) and line["kept"] == "yes"
    assert line["reason"] == "the key belongs to another certificate"
    assert leaf(port) == before
    shown = g.status()["certificates"]
    assert [c["state"] for c in shown] == ["kept"] and "another certificate" in shown[0]["reason"]
    assert "REFUSED" in g.cli("status")
    good = ca.issue("mx.test", file="third")
    swap(good, pair)
    wait_leaf(port, der_of(good.cert))
    assert [c["state"] for c in g.status()["certificates"]] == ["good"]


@needs_processes
def test_the_vault_dies(make_godwit, ca):
    """It comes back by itself with all it knew, and those who take mail hardly notice."""
    g, pair, port = make(make_godwit, ca)
    assert can_login(port) == 235
    assert g.status()["certificates"][0]["file"] == str(pair.cert)
    with session(port) as old:
        for round in range(3):
            g.kill9("vault")
            g.wait_log("tls.loaded", count=round + 2)
            g.wait_log("users.loaded", count=round + 2)
            assert old.noop()[0] == 250
            assert leaf(port) == der_of(pair.cert)
            assert can_login(port) == 235
            assert can_login(port, "wrong") == 535
        old.login(ALICE, PASSWORD)
        old.sendmail(ALICE, ["bob@example.net"], "Subject: hello\r\n\r\nHello\r\n")
    g.wait_mail(1)
    g.expected_alarms = {"role.died"}
    assert len(g.log_lines("role.died", role="vault")) == 3


@needs_processes
def test_without_a_vault_mail_comes_in(make_godwit, ca):
    """While it is stopped nobody can begin TLS; who needs none goes on, and who asks is not left hanging."""
    g, _, port = make(make_godwit, ca)
    pid = g.role_pid("vault")
    os.kill(pid, 19)
    try:
        began = time.monotonic()
        with pytest.raises((ssl.SSLError, OSError, smtplib.SMTPException)):
            leaf(port)
        assert time.monotonic() - began < 12
        with smtplib.SMTP("127.0.0.1", g.port, timeout=10) as s:
            s.sendmail("a@remote.test", ["bob@example.net"], "Subject: hello\r\n\r\nHello\r\n")
    finally:
        os.kill(pid, 18)
    g.wait_mail(1)
    assert can_login(port) == 235


def test_accounts_change(make_godwit, ca):
    g, _, port = make(make_godwit, ca)
    assert can_login(port) == 235
    write(g.users_path, users.line(ALICE, PASSWORD, state="suspended"))
    g.wait_log("users.loaded", count=2)
    assert can_login(port) == 535
    # A mistake: the table before it stays, and the log says where it is.
    write(g.users_path, "# people\n" + users.line(ALICE, PASSWORD) + "bob activ -\n")
    line = g.wait_log("users.refused")[0]
    assert line["line"] == "3" and line["kept"] == "yes" and line["file"] == str(g.users_path)
    assert can_login(port) == 535
    write(g.users_path, users.line(ALICE, PASSWORD))
    g.wait_log("users.loaded", count=3)
    assert can_login(port) == 235


@needs_processes
def test_a_file_goes_away(make_godwit, ca):
    """What it held stays in force, also for a vault that is started after that."""
    g, pair, port = make(make_godwit, ca)
    want = der_of(pair.cert)
    pair.key.unlink()
    g.users_path.unlink()
    assert {line["file"] for line in g.wait_log("file.lost", count=2)} == {
        str(pair.key), str(g.users_path)}
    assert leaf(port) == want and can_login(port) == 235
    g.kill9("vault")
    g.wait_log("users.loaded", count=2)
    assert leaf(port) == want and can_login(port) == 235
    assert len(g.log_lines("file.lost")) == 2
    g.expected_alarms = {"role.died"}


def test_without_a_certificate(make_godwit):
    """One of its own for who wants to hide what it says; nobody can log in with it, and status says so."""
    g = make_godwit(listeners={"sub": "submission {}"}, users=users.line(ALICE, PASSWORD))
    g.wait_log("tls.loaded", file="self-signed")
    assert leaf(g.port)
    with session(g.ports["sub"]) as s:
        assert not s.has_extn("auth")
    assert "SELF-SIGNED" in g.cli("status")
    assert g.status()["certificates"][0]["state"] == "self-signed"


def refused_start(make_godwit, **options):
    g = make_godwit(start=False, **options)
    g.start(wait=False)
    assert g.process.wait(10) == 1
    g.process = None
    return g, g.stderr_path.read_text()


def test_what_refuses_a_start(make_godwit, ca):
    pair = ca.issue("mx.test")
    missing = certs.Pair(pair.cert, pathlib.Path("/nonexistent/key.pem"))
    g, said = refused_start(make_godwit, tls=[missing])
    assert f"{g.config_path}:" in said
    number, column = re.search(r"godwit\.conf:(\d+):(\d+): error: \S*/nonexistent/key\.pem.*No such file",
                               said).groups()
    line = g.config_path.read_text().splitlines()[int(number) - 1]
    assert line.startswith("tls") and int(column) >= 1
    pair.key.chmod(0o644)
    _, said = refused_start(make_godwit, tls=[pair])
    assert str(pair.key) in said and "readable by others" in said


def test_the_key_of_the_tickets(make_godwit):
    """Made once, for nobody's eyes, and whole; not made anew while there is one."""
    g = make_godwit()
    path = g.folder / "spool" / "ticket.key"
    first = path.read_bytes()
    assert len(first) == 32 and first != bytes(32)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == os.geteuid()
    g.restart()
    assert path.read_bytes() == first
    g.stop()
    path.write_bytes(b"short")
    g.start(wait=False)
    assert g.process.wait(10) == 1
    g.process = None
    assert "ticket.key: this is no key of 32 octets" in g.stderr_path.read_text()
    path.unlink()
    g.start()
    assert path.read_bytes() != first


@needs_processes
def test_what_the_vault_can_reach(make_godwit, ca):
    """No file, no socket beyond its channels, no other user's rights; as root and as somebody."""
    g, pair, _ = make(make_godwit, ca)
    folder = pathlib.Path("/proc") / str(g.role_pid("vault"))
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines()
                  if ":\t" in line)
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert status["Uid"].split()[0] != "0" and int(status["CapPrm"], 16) == 0
        assert not list((folder / "root").iterdir())
        open_files = [os.readlink(p) for p in (folder / "fd").iterdir()]
        assert not [f for f in open_files if str(pair.key) in f or "users" in f]
    limits = (folder / "limits").read_text()
    assert "Max core file size        0 " in limits


def test_expiry_is_a_metric(make_godwit, ca):
    g, _, _ = make(make_godwit, ca)
    text = g.api("/metrics")[1]
    value = int(next(line for line in text.splitlines()
                     if line.startswith("godwit_tls_certificate_expiry_timestamp_seconds ")).split()[1])
    assert 28 * 86400 < value - time.time() < 31 * 86400


def test_nearly_expired_is_said_and_used(make_godwit, ca):
    pair = ca.issue("mx.test", days=3)
    g = make_godwit(tls=[pair])
    line = g.wait_log("tls.expires")[0]
    assert line["file"] == str(pair.cert) and int(line["days"]) <= 3
    assert leaf(g.port) == der_of(pair.cert)


@needs_root
@needs_processes
def test_started_as_somebody(make_godwit, ca, scratch):
    """A plain user's server has its vault behind the same walls, but for uid and root directory."""
    pair = ca.issue("mx.test")
    for path in (pair.cert, pair.key, scratch):
        os.chown(path, 65534, 65534)
    g = make_godwit(start=False, tls=[pair],
                    wrapper=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    for path in (g.folder, g.maildir, g.config_path):
        os.chown(path, 65534, 65534)
    g.config_path.write_text(g.config_path.read_text().replace("run-as    nobody\n", ""))
    g.start()
    g.wait_log("tls.loaded")
    assert leaf(g.port) == der_of(pair.cert)
    status = (pathlib.Path("/proc") / str(g.role_pid("vault")) / "status").read_text()
    assert "Seccomp:\t2" in status
