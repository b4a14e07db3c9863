"""A relay that wants a login: the mechanisms, the secret, and what becomes of mail when it is wrong."""

import os

import pytest

from conftest import needs_root
from peers import ports
from peers.client import Client, simple_message
from peers.smarthosts import EximHost, PostfixHost
from peers.tls import V12, V13
from peers.tls_sink import MECHANISMS, TlsSink, server_context

ALICE, BOB = "alice@example.net", "bob@example.org"
NAME, PASSWORD = "relay=user,1", "p\u00e4ss w\u00f6rd"
NAME_SCRAM = "relay=3Duser=2C1"


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("127.0.0.1")


def write_secret(path, name=NAME, password=PASSWORD):
    new = path.with_name(path.name + ".new")
    new.write_text(f"{name}\n{password}\n")
    new.chmod(0o600)
    os.replace(new, path)


def start(make_godwit, ca, sink, way="tls verify", secret=(NAME, PASSWORD), **more):
    g = make_godwit(start=False)
    path = g.folder / "secret"
    write_secret(path, *secret)
    more.setdefault("retry", "1s")
    g.write_config(relay=("127.0.0.1", f"{sink.port} auth file:{path} {way}".strip()),
                   extra=f"authorities {ca.cert}", **more)
    g.secret_path = path
    return g.start()


def send(g, rcpt=BOB):
    with Client(g.port) as client:
        client.hello()
        assert client.message(ALICE, [rcpt], simple_message())[0] == 250


def users(mechanism=None):
    name = NAME_SCRAM if mechanism and mechanism.startswith("SCRAM") else NAME
    return {name: PASSWORD}


def no_secrets(g, *texts):
    log = g.log_text()
    for text in (PASSWORD, *texts):
        assert text not in log


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("version", [V12, V13])
def test_mechanisms(make_godwit, ca, pair, mechanism, version):
    with TlsSink(server_context(pair, version), mechanisms=[mechanism],
                 users=users(mechanism)) as sink:
        g = start(make_godwit, ca, sink)
        send(g)
        message = sink.wait()[0]
        assert message.session.login.split()[0] == mechanism
        assert all(tls for tls, line in message.session.commands if "AUTH" in line)
        no_secrets(g)


def test_the_strongest(make_godwit, ca, pair):
    with TlsSink(server_context(pair), mechanisms=list(MECHANISMS)[::-1],
                 users=users("SCRAM")) as sink:
        g = start(make_godwit, ca, sink)
        send(g)
        assert sink.wait()[0].session.login.startswith("SCRAM-SHA-256-PLUS ")


def test_one_login_for_many_messages(make_godwit, ca, pair):
    with TlsSink(server_context(pair), mechanisms=["PLAIN"], users=users()) as sink:
        g = start(make_godwit, ca, sink, connections=1)
        for n in range(5):
            send(g)
        sink.wait(5)
        for session in sink.sessions:
            assert len(session.said("AUTH")) <= 1


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
def test_wrong_password_then_the_right_one(make_godwit, ca, pair, mechanism):
    """Our mistake ends no mail; who mends the file needs to do nothing more."""
    with TlsSink(server_context(pair), mechanisms=[mechanism], users=users(mechanism)) as sink:
        g = start(make_godwit, ca, sink, secret=(NAME, "wrong"))
        send(g)
        failed = g.wait_log("auth.out.failed")[0]
        assert failed["mech"] == mechanism and failed["reason"] == "refused"
        assert "535" in failed["reply"] and failed["file"] == str(g.secret_path)
        line = g.wait_log("deferred")[0]
        assert (line["code"], line["esc"]) == ("454", "4.7.0") and "535 5.7.8" in line["reply"]
        assert "login was refused" in g.cli("queue", "list")
        write_secret(g.secret_path)
        sink.wait(timeout=20)
        assert not g.log_lines("bounced")
        no_secrets(g, "wrong\n")


def test_later(make_godwit, ca, pair):
    with TlsSink(server_context(pair), mechanisms=["PLAIN"], users=users(),
                 auth_replies=["454 4.7.0 not now"]) as sink:
        g = start(make_godwit, ca, sink)
        send(g)
        assert g.wait_log("auth.out.failed")[0]["reason"] == "refused_for_now"
        sink.wait(timeout=20)


@pytest.mark.parametrize("mechanisms,word", [
    ([], "offers no login"), (["CRAM-MD5", "GSSAPI"], "offers no login")])
def test_nothing_to_log_in_with(make_godwit, ca, pair, mechanisms, word):
    with TlsSink(server_context(pair), mechanisms=mechanisms) as sink:
        g = start(make_godwit, ca, sink)
        send(g)
        line = g.wait_log("deferred")[0]
        assert word in line["reply"]
        assert not sink.messages


# ---- who sees the password ---------------------------------------------------------------------


def leaks(sink):
    """Was a login begun on any connection?"""
    return [s for s in sink.sessions if s.said("AUTH")]


@pytest.mark.parametrize("way", ["", "tls verify"])
@pytest.mark.parametrize("how", [{"starttls": ""}, {"starttls": "454 4.7.0 no"},
                                 {"broken": "garbage"}])
def test_no_password_in_the_clear(make_godwit, ca, pair, way, how):
    """A login demands a verified host, also where the route says nothing of TLS."""
    with TlsSink(server_context(pair), mechanisms=["PLAIN", "LOGIN", "SCRAM-SHA-256"],
                 users=users(), clear_auth=True, **how) as sink:
        g = start(make_godwit, ca, sink, way=way, retry="1h")
        send(g)
        g.wait_log("deferred")
        assert not leaks(sink) and not sink.messages


@pytest.mark.parametrize("way", ["", "tls verify"])
def test_no_password_for_a_stranger(make_godwit, ca, way):
    with TlsSink(server_context(ca.lonely("127.0.0.1")), mechanisms=["PLAIN"],
                 users=users()) as sink:
        g = start(make_godwit, ca, sink, way=way, retry="1h")
        send(g)
        line = g.wait_log("deferred")[0]
        assert "self_signed" in line["reply"]
        assert not leaks(sink)


@pytest.mark.parametrize("way,context", [("tls off", False), ("tls opportunistic", False),
                                         ("tls require", True)])
def test_less_where_the_route_says_so(make_godwit, ca, way, context):
    made = server_context(ca.lonely("127.0.0.1")) if context else None
    with TlsSink(made, mechanisms=["PLAIN"], users=users(), clear_auth=True) as sink:
        g = start(make_godwit, ca, sink, way=way)
        send(g)
        assert sink.wait()[0].session.login == f"PLAIN {NAME}"


# ---- servers that are not what they say ----------------------------------------------------------


def test_a_server_that_knows_no_password(make_godwit, ca, pair):
    """It says 235 without having shown anything."""
    with TlsSink(server_context(pair), mechanisms=["SCRAM-SHA-256"], users=users("SCRAM"),
              auth_replies=["235 2.7.0 of course"] * 20) as sink:
        g = start(make_godwit, ca, sink, retry="1h")
        send(g)
        line = g.wait_log("deferred")[0]
        assert "does not prove" in line["reply"]
        assert not sink.messages


@pytest.mark.parametrize("challenge", ["334 !!!", "334 ", "334 " + "QUFB" * 2000, "334"],
                         ids=["no base64", "empty", "long", "bare"])
def test_challenges_without_sense(make_godwit, ca, pair, challenge):
    with TlsSink(server_context(pair), mechanisms=["SCRAM-SHA-256"], users=users("SCRAM"),
                 auth_replies=[challenge] * 20) as sink:
        g = start(make_godwit, ca, sink, retry="1h")
        send(g)
        g.wait_log("deferred")
        assert not sink.messages and not g.log_lines("role.died")


def test_endless_work_is_refused(make_godwit, ca, pair):
    """A server that wants us to count to ten million keeps all other mail waiting."""
    with TlsSink(server_context(pair), mechanisms=["SCRAM-SHA-256"],
                 users=users("SCRAM")) as sink:
        sink.iterations = 9_000_000
        g = start(make_godwit, ca, sink, retry="1h")
        send(g)
        line = g.wait_log("deferred", timeout=3)[0]
        assert "iteration count" in line["reply"]


def test_two_logins_at_one_host(make_godwit, ca, pair):
    """A connection that logged in as one is never used for the other."""
    both = {"one": PASSWORD, "two": PASSWORD}
    with TlsSink(server_context(pair), mechanisms=["PLAIN"], users=both) as sink:
        g = make_godwit(start=False)
        for name in both:
            write_secret(g.folder / name, name)
        relay = f"relay 127.0.0.1:{sink.port} auth file:{g.folder}"
        g.write_config(extra=f"authorities {ca.cert}\n"
                       f"route to domain one.test via {relay}/one tls verify\n"
                       f"route to domain two.test via {relay}/two tls verify\n")
        g.start()
        for _ in range(4):
            for name in both:
                send(g, f"bob@{name}.test")
        for message in sink.wait(8, timeout=20):
            assert message.session.login == "PLAIN " + message.rcpts[0][4:7]


# ---- servers that others wrote -------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kind", [EximHost, PostfixHost])
def test_real_smarthosts(make_godwit, ca, pair, kind, mechanism):
    with kind(pair, {"relay-user": "right/Password+1"}, [mechanism]) as host:
        g = start(make_godwit, ca, host, secret=("relay-user", "not this one"))
        send(g)
        failed = g.wait_log("auth.out.failed", timeout=20)[0]
        assert failed["mech"] == mechanism and "535" in failed["reply"]
        write_secret(g.secret_path, "relay-user", "right/Password+1")
        assert len(host.wait(timeout=30)) == 1
        line = g.wait_log("delivered")[0]
        assert line["tls"].endswith("/verified")
        for _ in range(3):
            send(g)
        host.wait(4, timeout=30)
