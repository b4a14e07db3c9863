"""Programs that people send mail with, against the listeners: each with TLS both ways and with every
mechanism it knows. The message arrives as it was sent, and Received says how it came."""

import re
import smtplib
import ssl

import pytest

from conftest import assert_same_content, end_of_godwit, needs_root, split_trace
from peers import certs, clients, ports, scram, users
from peers import godwit as godwit_peer
from peers.clients import CLIENTS, Mail, Server

ALICE, SECRET = "alice@example.com", "wide open secret"
BOB, PENCIL = "bob@example.com", "pencil"

# Dots, 8-bit octets, blanks at the ends of lines, folded fields, long lines, empty lines at the end.
CONTENT = (
    "Date: Sat, 21 Nov 2026 19:00:00 +0000\r\n"
    "From: Alice <alice@example.com>\r\n"
    "To: bob@example.net,\r\n\tCarol <carol@example.net>\r\n"
    "Subject: dots, blanks \r\n  and length\r\n"
    "Message-ID: <matrix@example.com>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "X-Empty:\r\n"
    "\r\n"
    ".\r\n..\r\n.dot\r\nGrüße \t \r\n" + "x" * 990 + "\r\n.\r\n\r\nend\r\n\r\n"
).encode()

LISTENERS = {
    "submission": "submission {tls require}",
    "submissions": "submission {tls implicit}",
    "relay": "relay {tls require}",
    "relays": "relay {tls implicit}",
}
# Where each listener's TLS begins.
TLS = {"submission": "starttls", "submissions": "implicit", "relay": "starttls",
       "relays": "implicit"}

PAIRS = [(name, mechanism) for name, client in CLIENTS.items() for mechanism in client.mechanisms]


@pytest.fixture(scope="module")
def ca():
    folder = ports.scratch()
    authority = certs.Authority(folder)
    authority.pairs = [authority.issue("mx.test", "127.0.0.1", kind=kind) for kind in ("ec", "rsa")]
    yield authority
    ports.discard(folder)


@pytest.fixture(scope="module")
def server(program, ca):
    """One Godwit for all that go well: alice was made by godwit user, bob came from elsewhere."""
    g = godwit_peer.Godwit(trust="", listeners=LISTENERS, tls=ca.pairs, users={ALICE: SECRET},
                           domains=("example.net", "elsewhere.test"),
                           limits="limits { connections 1000 per-ip 500 }")
    g.expected_alarms = set()
    with g.users_path.open("a") as file:
        file.write(users.line(BOB, PENCIL))
    problems = []
    try:
        g.start()
        yield g
        problems = end_of_godwit(g)
    finally:
        g.close()
    assert not problems, problems


@pytest.fixture(scope="module")
def guarded(program, ca):
    """Another one for wrong passwords: each test has an account and comes from an address of its
    own, since both are made to wait after some."""
    g = godwit_peer.Godwit(trust="", listeners=LISTENERS, tls=ca.pairs,
                           users="".join(users.line(f"u{n}@example.com", SECRET)
                                         for n in range(len(PAIRS))))
    try:
        with g:
            yield g
    finally:
        g.close()


@pytest.fixture(scope="module")
def submit(server, guarded, ca, peers):
    """submit(client, server, mail, mechanism); all that is to go through Postfix goes through one."""
    mechanisms = CLIENTS["postfix"].mechanisms
    ways = [(door(server, ca, listener), m) for listener in LISTENERS for m in mechanisms]
    ways += [(door(server, ca, "submission"), None), (stranger(server, ca), None),
             (in_the_clear(server, ca), None)]
    ways += [(door(server, ca, "submissions", BOB, PENCIL), m) for m in mechanisms]
    ways += [(guesser(guarded, ca, "postfix", m), m) for m in mechanisms]
    with clients.Postfix(ways) as mta:
        def call(name, who, letter, mechanism=None):
            using = mta if name == "postfix" else CLIENTS[name]
            return using.submit(who, letter, mechanism)

        yield call


def guesser(g, ca, name, mechanism):
    n = PAIRS.index((name, mechanism))
    return door(g, ca, "submission", f"u{n}@example.com", "wrong", source=f"127.0.2.{n + 1}")


def stranger(g, ca):
    return door(g, ca, "submission", user=None, password=None)


def in_the_clear(g, ca):
    return Server(g.ports["submission"], None, None, ALICE, SECRET)


def door(g, ca, listener, user=ALICE, password=SECRET, **more):
    return Server(g.ports[listener], TLS[listener], ca.cert, user, password, **more)


def mail(to="bob@example.net", sender=ALICE):
    return Mail(sender, [to], CONTENT)


_numbers = iter(range(1, 10000))


def fresh():
    """A recipient of its own for each message: its Maildir has that message alone."""
    return f"r{next(_numbers)}@example.net"


def delivered(g, to):
    local, domain = to.split("@")
    path = ports.wait_for(
        lambda: godwit_peer.finished_mail(g.maildir / domain / local), 10, what=f"mail to {to}")
    return path[0].read_bytes()


def received(data):
    """The topmost Received field, ours, on one line."""
    field = re.search(rb"^Received: .*\n(?:[ \t].*\n)*", data, re.M)[0]
    return re.sub(r"\s+", " ", field.decode())


# ---- what must work ------------------------------------------------------------------------------

@needs_root
@pytest.mark.parametrize("name", CLIENTS)
def test_trusted_in_the_clear(make_godwit, peers, name):
    g = make_godwit()
    sent = CLIENTS[name].submit(Server(g.port), mail())
    assert sent.ok, sent.said
    assert_same_content(g.wait_mail()[0].read_bytes(), CONTENT)


@needs_root
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name, mechanism", PAIRS)
def test_matrix(server, submit, ca, name, mechanism, listener):
    to = fresh()
    sent = submit(name, door(server, ca, listener), mail(to), mechanism)
    assert sent.ok, sent.said
    data = delivered(server, to)
    assert_same_content(data, CONTENT)
    assert " with ESMTPSA " in received(data), received(data)
    assert ALICE not in received(data)


@needs_root
@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "scram"])
def test_mechanism_of_its_own_choice(server, submit, ca, name):
    """As people set it up: name and password, nothing else."""
    to = fresh()
    sent = submit(name, door(server, ca, "submission"), mail(to))
    assert sent.ok, sent.said
    assert_same_content(delivered(server, to), CONTENT)


@needs_root
@pytest.mark.parametrize("name, mechanism", PAIRS)
def test_account_from_elsewhere(server, submit, ca, name, mechanism):
    """A crypt(3) hash and a verifier that other software made."""
    to = fresh()
    letter = Mail(BOB, [to], CONTENT.replace(b"alice@", b"bob@"))
    sent = submit(name, door(server, ca, "submissions", BOB, PENCIL), letter, mechanism)
    assert sent.ok, sent.said
    assert " with ESMTPSA " in received(delivered(server, to))


@pytest.mark.parametrize("source", ["127.0.0.9", "127.0.1.9"])
@pytest.mark.parametrize("name", ["msmtp", "smtplib", "nodemailer", "curl", "swaks"])
def test_same_settings_on_every_network(server, ca, name, source):
    """Requirement D6: nothing that the user set up depends on where he is."""
    to = fresh()
    sent = CLIENTS[name].submit(door(server, ca, "submission", source=source), mail(to))
    assert sent.ok, sent.said
    assert f"[{source}]" in received(delivered(server, to))


# ---- what must not -------------------------------------------------------------------------------

# The words in which each says that name or password are wrong.
REFUSALS = {
    "swaks": r"535 5\.7\.8", "msmtp": "authentication failed", "curl": "535 5.7.8|Login denied",
    "smtplib": "SMTPAuthenticationError: \\(535", "scram": "535 ", "nodemailer": "EAUTH: .*535",
    "exim": "535", "postfix": "535 5.7.8", "godwit": "no login as .*535",
}


@needs_root
@pytest.mark.parametrize("name, mechanism", PAIRS)
def test_wrong_password(guarded, submit, ca, name, mechanism):
    who = guesser(guarded, ca, name, mechanism)
    sent = submit(name, who, mail(fresh(), sender=who.user), mechanism)
    assert not sent.ok
    assert re.search(REFUSALS[name], sent.said), sent.said
    assert not guarded.mail() and guarded.queued() == 0


@pytest.mark.parametrize("listener", LISTENERS)
def test_unknown_mechanism(server, ca, listener):
    with clients.smtplib_session(door(server, ca, listener)) as session:
        code, text = session.docmd("AUTH", "CRAM-MD5")
    assert (code, text[:5]) == (504, b"5.5.4")


def test_mechanisms_offered(server, ca):
    """-PLUS only where the client can bind to something, nothing before TLS."""
    with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as session:
        session.ehlo()
        assert "starttls" in session.esmtp_features and "auth" not in session.esmtp_features
    with clients.smtplib_session(door(server, ca, "submission")) as session:
        assert session.esmtp_features["auth"].split() == [
            "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert "starttls" not in session.esmtp_features


def test_login_without_tls(server):
    with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as session:
        session.ehlo()
        code, text = session.docmd("AUTH", "PLAIN AGEAYg==")
        assert (code, text[:4]) in ((538, b"5.7."), (530, b"5.7."))
        code, text = session.docmd("MAIL", f"FROM:<{ALICE}>")
        assert (code, text[:5]) == (530, b"5.7.0")


@needs_root
@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "scram"])
def test_clients_that_were_told_no_tls(server, submit, ca, name):
    """Nothing is offered that would let them show their password, and none gets mail in without."""
    sent = submit(name, in_the_clear(server, ca), mail(fresh()))
    assert not sent.ok, sent.said


def test_login_where_none_is_possible(server):
    """The listener for other servers offers none (requirement B1)."""
    with smtplib.SMTP("127.0.0.1", server.port) as session:
        session.ehlo()
        assert "auth" not in session.esmtp_features
        assert session.docmd("AUTH", "PLAIN AGEAYg==")[0] in (502, 503)


@needs_root
@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "scram"])
def test_stranger_under_tls(server, submit, ca, name):
    """TLS alone is no leave to send."""
    sent = submit(name, stranger(server, ca), mail(f"x{fresh()}"))
    assert not sent.ok
    assert re.search(r"530|authentication required|5\.7\.", sent.said), sent.said


# ---- the binding of SCRAM to its connection ------------------------------------------------------

def bound_session(server, ca):
    """TLS 1.2, whose binding Python can tell."""
    session = clients.smtplib_session(door(server, ca, "submission"), ssl.TLSVersion.TLSv1_2)
    return session, session.sock.get_channel_binding("tls-unique")


def test_binding_of_another_connection(server, ca):
    """Who sits in the middle passes on a login that was bound to the client's connection to him."""
    one, _ = bound_session(server, ca)
    other, octets = bound_session(server, ca)
    with one, other, pytest.raises(scram.Refused) as refused:
        scram.login(one.docmd, ALICE, SECRET, ("tls-unique", octets))
    assert refused.value.code == 535


def test_offer_of_binding_taken_away(server, ca):
    """"y": the client could bind, and saw no offer; the server knows that it made one."""
    session, _ = bound_session(server, ca)
    with session, pytest.raises(scram.Refused) as refused:
        exchange = scram.Exchange(ALICE, SECRET, gs2="y,,")
        scram.login(session.docmd, ALICE, SECRET, exchange=exchange)
    assert refused.value.code == 535


@pytest.mark.parametrize("initial", [True, False])
def test_scram_with_and_without_initial_response(server, ca, initial):
    with clients.smtplib_session(door(server, ca, "submissions")) as session:
        scram.login(session.docmd, ALICE, SECRET, initial=initial)


# ---- who is served where -------------------------------------------------------------------------

def test_listener_for_some_networks(make_godwit, ca):
    """Requirement D5: from 127.0.0.2 allowed, from 127.0.0.3 refused."""
    g = make_godwit(trust="", tls=ca.pairs, users={ALICE: SECRET}, listeners={
        "submission": "submission {from 127.0.0.2/32}"})
    sent = clients.python(door(g, ca, "submission", source="127.0.0.2"), mail())
    assert sent.ok, sent.said
    refused = clients.python(door(g, ca, "submission", source="127.0.0.3"), mail())
    assert not refused.ok and "554" in refused.said, refused.said


def test_account_for_some_networks(make_godwit, ca):
    text = users.line(ALICE, SECRET, lists={"from": ["127.0.0.2/32"]})
    g = make_godwit(trust="", tls=ca.pairs, users=text, listeners={"submission": "submission"})
    sent = clients.python(door(g, ca, "submission", source="127.0.0.2"), mail())
    assert sent.ok, sent.said
    refused = clients.python(door(g, ca, "submission", source="127.0.0.3"), mail())
    assert not refused.ok and "535" in refused.said, refused.said


def test_trusted_under_tls(make_godwit, ca):
    """ESMTPS: TLS and no login."""
    g = make_godwit(tls=ca.pairs, users={ALICE: SECRET}, listeners=LISTENERS)
    sent = clients.python(door(g, ca, "relay", user=None), mail())
    assert sent.ok, sent.said
    data = g.wait_mail()[0].read_bytes()
    assert " with ESMTPS " in received(data)
    assert split_trace(data)[0].count("received") == 1


# ---- what the messages are -----------------------------------------------------------------------

BARE = (
    "From: Alice <alice@example.com>\r\n"
    "To: bob\r\n"
    "Bcc: carol@example.net\r\n"
    "Subject: as a program wrote it\r\n"
    "\r\n"
    "Hello.\r\n"
).encode()


@needs_root
@pytest.mark.parametrize("name", ["swaks", "smtplib", "curl", "nodemailer"])
def test_submission_mends(server, submit, ca, name):
    """What RFC 6409 section 8 lets it, and not a character more."""
    to = fresh()
    sent = submit(name, door(server, ca, "submissions"), Mail(ALICE, [to], BARE))
    assert sent.ok, sent.said
    _, rest = split_trace(delivered(server, to))
    head, _, body = rest.partition(b"\n\n")
    names = [line.partition(b":")[0].decode() for line in head.split(b"\n") if line[:1] not in b" \t"]
    assert sorted(names) == ["Date", "From", "Message-ID", "Subject", "To"], head
    assert b"\nTo: bob@example.com" in b"\n" + head and body == b"Hello.\n"


@needs_root
@pytest.mark.parametrize("name", ["swaks", "smtplib", "curl", "nodemailer"])
def test_relay_mends_nothing(server, submit, ca, name):
    to = fresh()
    sent = submit(name, door(server, ca, "relays"), Mail(ALICE, [to], BARE))
    assert sent.ok, sent.said
    assert_same_content(delivered(server, to), BARE)


@needs_root
@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "postfix"])
def test_large_message(server, submit, ca, name):
    to = fresh()
    line = b"0123456789abcdefghijklmnopqrstuvwxyz+" * 2 + b"\r\n"
    content = CONTENT + b"".join(b"%06d " % n + line for n in range(60000))
    sent = submit(name, door(server, ca, "submissions"), Mail(ALICE, [to], content))
    assert sent.ok, sent.said[-2000:]
    assert_same_content(delivered(server, to), content)


def test_many_messages_in_one_session(server, ca):
    people = [fresh() for _ in range(150)]
    with clients.smtplib_session(door(server, ca, "submission")) as session:
        session.login(ALICE, SECRET)
        for to in people:
            session.sendmail(ALICE, [to], CONTENT)
    for to in people:
        assert_same_content(delivered(server, to), CONTENT)
