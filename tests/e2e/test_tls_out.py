"""TLS on the way out: what is offered is taken, what is demanded is had or the mail waits."""

import hashlib
import ssl

import pytest

from conftest import needs_processes
from peers import ports
from peers.certs import Authority
from peers.client import Client, simple_message
from peers.tls import V12, V13
from peers.tls_sink import TlsSink, server_context

ALICE, BOB = "alice@example.net", "bob@example.org"


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("localhost", "127.0.0.1")


def send(g, count=1, rcpt=BOB, content=None):
    for _ in range(count):
        with Client(g.port) as client:
            client.hello()
            assert client.message(ALICE, [rcpt], content or simple_message())[0] == 250


def config(sink, way=""):
    return {"relay": ("127.0.0.1", f"{sink.port} {way}".strip())}


# ---- nothing is demanded ---------------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
def test_taken_where_it_is_offered(make_godwit, pair, version):
    with TlsSink(server_context(pair, version)) as sink:
        g = make_godwit(**config(sink))
        send(g)
        message = sink.wait()[0]
        assert message.tls and message.session.name is None  # an address has no SNI
        said = [line.split()[0] for _, line in message.session.commands]
        assert said[:3] == ["EHLO", "STARTTLS", "EHLO"]
        number = {V12: "1.2", V13: "1.3"}[version]
        assert g.wait_log("delivered")[0]["tls"] == number


def test_not_offered(relay, sink):
    send(relay)
    sink.wait()
    assert relay.wait_log("delivered")[0]["tls"] == "none"


@pytest.mark.parametrize("broken,slug", [("close", "closed"), ("garbage", "not_tls"),
                                         ("half", "closed")])
def test_broken_once_and_remembered(make_godwit, pair, broken, slug):
    with TlsSink(server_context(pair), broken=broken) as sink:
        g = make_godwit(**config(sink), per_connection=1)
        send(g)
        sink.wait()
        assert not sink.messages[0].tls and len(sink.sessions) == 2
        assert g.wait_log("delivered")[0]["tls"] == f"failed:{slug}"
        assert g.wait_log("tls.out.failed")[0]["result"] == "plain_text"
        send(g)
        sink.wait(2)
        # it is not tried again for a while (by the process that knows)
        assert len(sink.sessions) <= 4
        assert not g.log_lines("deferred")


def test_refused(make_godwit, pair):
    with TlsSink(server_context(pair), starttls="454 4.7.0 not now") as sink:
        g = make_godwit(**config(sink))
        send(g)
        assert not sink.wait()[0].tls
        assert len(sink.sessions) == 1
        assert g.wait_log("delivered")[0]["tls"] == "failed:refused"


def test_words_behind_the_220_are_nobodys(make_godwit, pair):
    """CVE-2021-38371: replies that were put behind the 220 would answer what is said under TLS."""
    injected = b"250-sink.test\r\n250 AUTH PLAIN\r\n250 2.1.0 ok\r\n"
    with TlsSink(server_context(pair), behind=injected, times=1) as sink:
        g = make_godwit(**config(sink))
        send(g)
        message = sink.wait()[0]
        assert not sink.sessions[0].said("MAIL")
        assert message.session.number == 1 and not message.tls
        assert g.wait_log("delivered")[0]["tls"] == "failed:out_of_step"


@pytest.mark.parametrize("version", [V12, V13])
def test_sessions_are_resumed(make_godwit, pair, version):
    with TlsSink(server_context(pair, version)) as sink:
        g = make_godwit(**config(sink), per_connection=1, connections=1)
        for n in range(6):
            send(g)
            sink.wait(n + 1)
        resumed = [s.resumed for s in sink.sessions]
        # one for each process of the sender that met the host
        assert resumed.count(False) <= len(g.roles()["sender"])
        assert {line["tls"] for line in g.log_lines("delivered")} == {
            {V12: "1.2", V13: "1.3"}[version]}


def test_an_end_that_nobody_announced(make_godwit, pair):
    """The reply to the content, cut off without close_notify, is no reply."""
    with TlsSink(server_context(pair), cut=True) as sink:
        g = make_godwit(**config(sink))
        send(g)
        line = g.wait_log("deferred")[0]
        assert line["code"] != "250"
        assert not g.log_lines("delivered")


# ---- demands -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_ca():
    folder = ports.scratch("other-ca-")
    yield Authority(folder, "others")
    ports.discard(folder)


@pytest.fixture(scope="module")
def bad(ca, other_ca):
    """{what is wrong: (slug, pair)}"""
    return {
        "expired": ("expired", ca.expire(ca.issue("127.0.0.1", file="expired"))),
        "name": ("wrong_name", ca.issue("elsewhere.test", file="name")),
        "other address": ("wrong_name", ca.issue("127.0.0.2", file="address")),
        "unknown": ("unknown_authority", other_ca.issue("127.0.0.1", file="unknown")),
        "self-signed": ("self_signed", ca.lonely("127.0.0.1", file="lonely")),
    }


def fingerprint(pair):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair.cert.read_text())).hexdigest()


def start(make_godwit, sink, ca, way, **more):
    more.setdefault("retry", "1h")
    return make_godwit(**config(sink, way), extra=f"authorities {ca.cert}", **more)


def wait_deferred(g, code, *words):
    line = g.wait_log("deferred")[0]
    assert line["esc"] == code, line
    for word in words:
        assert word in line["reply"], line
    assert not g.log_lines("delivered") and not g.log_lines("bounced")
    return line


@pytest.mark.parametrize("way", ["tls opportunistic", "tls require", "tls verify"])
def test_a_good_certificate(make_godwit, ca, pair, way):
    with TlsSink(server_context(pair)) as sink:
        g = start(make_godwit, sink, ca, way)
        send(g)
        assert sink.wait()[0].tls
        assert g.wait_log("delivered")[0]["tls"] == "1.3/verified"


@pytest.mark.parametrize("what", ["expired", "name", "other address", "unknown", "self-signed"])
def test_a_bad_certificate(make_godwit, ca, bad, what):
    """It is good enough for all but who demands more; and it never says MAIL to the others."""
    slug, pair = bad[what]
    with TlsSink(server_context(pair)) as sink:
        g = start(make_godwit, sink, ca, "tls verify")
        send(g)
        line = wait_deferred(g, "4.7.5", "verified certificate", slug)
        assert line["tls"] == f"failed:{slug}"
        assert not any(s.said("MAIL") for s in sink.sessions)
        shown = g.cli("queue", "show", line["id"])
        assert f"failed:{slug}" in shown
    for way in ("tls require", "tls opportunistic"):
        with TlsSink(server_context(pair)) as sink:
            g = start(make_godwit, sink, ca, way)
            send(g)
            assert sink.wait()[0].tls
            assert g.wait_log("delivered")[0]["tls"] == "1.3"


def test_nobody_is_trusted(make_godwit, pair):
    with TlsSink(server_context(pair)) as sink:
        g = make_godwit(start=False)
        empty = g.folder / "nobody.pem"
        empty.write_text("")
        g.write_config(**config(sink, "tls verify"), retry="1h", extra=f"authorities {empty}")
        g.expected_alarms.add("error")
        g.start()
        send(g)
        wait_deferred(g, "4.7.5", "no_authorities")


def test_fingerprints(make_godwit, ca, pair, bad):
    lonely = bad["self-signed"][1]
    with TlsSink(server_context(lonely)) as sink:
        g = start(make_godwit, sink, ca, f"tls fingerprint {'00' * 32} {fingerprint(lonely)}")
        send(g)
        assert sink.wait()[0].tls
        assert g.wait_log("delivered")[0]["tls"] == "1.3/fingerprint"
    with TlsSink(server_context(pair)) as sink:
        g = start(make_godwit, sink, ca, f"tls fingerprint {fingerprint(lonely)}")
        send(g)
        line = wait_deferred(g, "4.7.5", "fingerprints")
        assert line["tls"] == "failed:wrong_fingerprint"


@pytest.mark.parametrize("way", ["require", "verify", f"fingerprint {'00' * 32}"])
@pytest.mark.parametrize("how,code,word", [
    ({"starttls": ""}, "4.7.4", "does not offer"),
    ({"starttls": "454 4.7.0 later"}, "4.7.4", "refuses"),
    ({"broken": "garbage"}, "4.7.5", "not_tls"),
    ({"broken": "close"}, "4.7.5", "closed"),
    ({"behind": b"250 2.1.0 ok\r\n"}, "4.7.5", "out_of_step"),
])
def test_stripped(make_godwit, ca, pair, way, how, code, word):
    """Whoever takes TLS away from those who demand it gets no mail."""
    with TlsSink(server_context(pair), **how) as sink:
        g = start(make_godwit, sink, ca, f"tls {way}")
        send(g)
        wait_deferred(g, code, word)
        assert not any(s.said("MAIL") for s in sink.sessions)


def test_the_next_host_is_better(make_godwit, ca, pair, bad):
    with TlsSink(server_context(bad["name"][1])) as worse, TlsSink(server_context(pair)) as better:
        g = start(make_godwit, worse, ca, f"127.0.0.1:{better.port} tls verify")
        send(g)
        assert better.wait()[0].tls
        assert not worse.messages
        assert g.wait_log("delivered")[0]["tls"] == "1.3/verified"


def test_off(make_godwit, ca, pair):
    with TlsSink(server_context(pair)) as sink:
        g = start(make_godwit, sink, ca, "tls off")
        send(g)
        assert not sink.wait()[0].tls and not sink.sessions[0].said("STARTTLS")


def test_no_session_for_another_demand(make_godwit, ca, pair):
    """What was made without a look at the certificate is not gone on with where it matters."""
    with TlsSink(server_context(pair)) as sink:
        g = make_godwit(extra=f"authorities {ca.cert}\n"
                        f"route to domain a.test via relay 127.0.0.1:{sink.port} tls require\n"
                        f"route to domain b.test via relay 127.0.0.1:{sink.port} tls verify\n",
                        per_connection=1)
        workers = len(g.roles()["sender"])
        for n in range(4):
            send(g, rcpt="bob@a.test")
            sink.wait(n + 1)
        before = len(sink.sessions)
        send(g, rcpt="bob@b.test")
        sink.wait(5)
        assert not sink.sessions[before].resumed
        assert workers >= 1 and any(s.resumed for s in sink.sessions[:before])


def test_big_certificate(make_godwit, ca):
    many = ca.issue("127.0.0.1", *[f"host-{n}.some-rather-long-name.test" for n in range(1000)],
                    file="many")
    with TlsSink(server_context(many)) as sink:
        g = start(make_godwit, sink, ca, "tls verify")
        send(g)
        assert sink.wait()[0].tls


def test_tls_from_the_first_octet(make_godwit, ca, pair):
    """Port 465 is another protocol; it cannot be tried without TLS."""
    with TlsSink(server_context(pair), implicit=True, port=465) as sink:
        g = start(make_godwit, sink, ca, "tls verify")
        send(g)
        assert sink.wait()[0].tls and not sink.sessions[0].said("STARTTLS")
        assert g.wait_log("delivered")[0]["tls"] == "1.3/verified"
    with TlsSink(server_context(pair), implicit=True, port=465, broken="close") as sink:
        g = start(make_godwit, sink, ca, "")
        send(g)
        wait_deferred(g, "4.7.5", "closed")
        assert not sink.sessions[0].commands


# ---- in the midst of a handshake -----------------------------------------------------------------


def begun(sink):
    return ports.wait_for(lambda: [s for s in sink.sessions if s.said("STARTTLS")], 10,
                          what="STARTTLS")


@needs_processes
def test_the_queue_dies_meanwhile(make_godwit, pair):
    """The connection is given up; the next queue sends the mail over another."""
    with TlsSink(server_context(pair), broken="silent", times=1) as sink:
        g = make_godwit(**config(sink))
        g.expected_alarms |= {"role.died"}
        # too large to be at the sender as a whole: it cannot go on without its queue
        send(g, content=simple_message(body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 60000))
        begun(sink)
        g.kill9("queue")
        assert sink.wait(timeout=30)[0].tls
        assert {line["role"] for line in g.log_lines("role.died")} == {"queue"}
        assert not g.log_lines("role.crashed")


@needs_processes
def test_stopped_meanwhile(make_godwit, pair):
    with TlsSink(server_context(pair), broken="silent", times=1) as sink:
        g = make_godwit(**config(sink))
        g.expected_alarms |= {"role.died"}  # it may be cut off: the host does not answer
        send(g)
        begun(sink)
        assert g.stop() == 0
        assert not g.log_lines("role.crashed")
        g.start()
        assert sink.wait(timeout=30)[0].tls
