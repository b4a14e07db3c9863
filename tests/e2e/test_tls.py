"""TLS on the receiving side: versions, names, keys of two kinds, resumption, swaps, attacks."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from peers import certs, ports, tls

LONG = os.environ.get("GODWIT_LONG") == "1"
LISTENERS = {"smtps": "submission { tls implicit }", "required": "mx { tls require }"}
LIMITS = "limits { connections 12000 per-ip 12000; command-timeout 3s }"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pairs(ca):
    """The first one for everybody; one of RSA for the same name; two further names."""
    return [ca.issue("mx.test", file="first"), ca.issue("mx.test", kind="rsa", file="rsa"),
            ca.issue("other.test", "*.wild.test", file="other")]


def copy_pair(pair, folder, stem):
    """A pair of the test's own, to be replaced."""
    own = certs.Pair(folder / f"{stem}.pem", folder / f"{stem}.key")
    put_pair(pair, own)
    return own


def put_pair(pair, at):
    """As an administrator's tool does it: written beside, then moved, the key first."""
    for source, target in ((pair.key, at.key), (pair.cert, at.cert)):
        new = target.with_name(target.name + ".new")
        shutil.copyfile(source, new)
        new.chmod(0o600)
        os.replace(new, target)


@pytest.fixture
def server(make_godwit, pairs):
    return make_godwit(listeners=LISTENERS, tls=pairs, limits=LIMITS)


def serial_of(pair):
    out = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", str(pair.cert)],
                         capture_output=True, text=True, check=True).stdout
    return out.strip().partition("=")[2]


def served(port, ctx, name="mx.test"):
    with tls.connect(port, ctx, name) as s:
        return s.getpeercert()["serialNumber"]


def metric(g, name):
    return g.status()["counters"][name]


# ---- what works ----------------------------------------------------------------------------------

@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
@pytest.mark.parametrize("version", [tls.V12, tls.V13], ids=["1.2", "1.3"])
def test_a_message(server, ca, version, starttls):
    port = server.port if starttls else server.ports["smtps"]
    with tls.connect(port, tls.context(ca, version), starttls=starttls) as s:
        offered = tls.say(s, "EHLO client.test")
        assert not any("STARTTLS" in line for line in offered)
        assert tls.say(s, "STARTTLS")[0].startswith("503 5.5.1")
        for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>"):
            assert tls.say(s, line)[0].startswith("250 ")
        assert tls.say(s, "DATA")[0].startswith("354 ")
        body = "".join(f"line {i} of it\r\n" for i in range(20000))
        assert tls.say(s, f"Subject: x\r\n\r\n{body}.")[0].startswith("250 ")
        assert tls.say(s, "QUIT")[0].startswith("221 ")
        assert s.recv(10) == b""  # close_notify: anything less would be an error
    done = server.wait_log("tls")[-1]
    assert (done["ver"], done["name"], done["resumed"]) == (s_version(version), "mx.test", "no")
    server.wait_log("delivered")
    mail = next(pathlib.Path(server.maildir).rglob("new/*")).read_bytes()
    assert mail.endswith(body.encode().replace(b"\r\n", b"\n")) or mail.endswith(body.encode())
    assert re.search(rb"\swith\s+ESMTPS\s", mail)
    assert s_version(version).encode() in mail


def s_version(version):
    return "TLSv1.2" if version == tls.V12 else "TLSv1.3"


EC, RSA = "ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256"


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name, algorithms, which, digest", [
    ("mx.test", EC, 0, "ECDSA"), ("mx.test", RSA, 1, "RSA-PSS"), ("other.test", EC, 2, "ECDSA"),
    ("a.wild.test", EC, 2, "ECDSA"), ("a.b.wild.test", EC, 0, "ECDSA"), (None, RSA, 1, "RSA-PSS"),
    ("unknown.test", EC, 0, "ECDSA"),
])
def test_names_and_keys(server, pairs, flag, name, algorithms, which, digest):
    words = [flag, "-sigalgs", algorithms]
    words += ["-servername", name] if name else ["-noservername"]
    out = tls.s_client(server.ports["smtps"], *words)
    assert f"Peer signature type: {digest}" in out
    assert pathlib.Path(pairs[which].cert).read_text().split("-----")[2] in out
    assert "X25519" in out
    assert "Secure Renegotiation IS supported" in out or flag == "-tls1_3"


def resume(port, ctx, session=None):
    """(was it resumed, the session for the next time)"""
    with tls.connect(port, ctx, session=session) as s:
        tls.say(s, "EHLO client.test")
        reused, newest = s.session_reused, s.session
        tls.say(s, "QUIT")
        with contextlib.suppress(OSError):
            s.unwrap()
    return reused, newest


@pytest.mark.parametrize("version", [tls.V12, tls.V13], ids=["1.2", "1.3"])
def test_resumption(server, ca, version):
    """All processes that take mail have the same keys; those of a new vault are new."""
    ctx, port = tls.context(ca, version), server.ports["smtps"]
    _, session = resume(port, ctx)
    for _ in range(8):
        reused, session = resume(port, ctx, session)
        assert reused
    assert metric(server, "tls_sessions_resumed_total") == 8
    server.expected_alarms |= {"role.died"}
    restart_vault(server)

    def forgotten():
        # What the old vault was to sign fails, and its client comes again.
        with contextlib.suppress(ssl.SSLError):
            return not resume(port, ctx, session)[0]
        return False

    ports.wait_for(forgotten, 5, what="new keys")
    assert resume(port, ctx)[0] is False


def restart_vault(g):
    old = g.role_pid("vault")
    g.kill9("vault")
    ports.wait_for(lambda: g.roles().get("vault", [old])[0] != old, 5, what="a new vault")


def test_nobody_but_a_stranger_without_certificate(make_godwit):
    """Self-signed for who does not look; never for a login."""
    g = make_godwit(listeners=LISTENERS, limits=LIMITS)
    for starttls, port in ((True, g.port), (False, g.ports["smtps"])):
        with tls.connect(port, tls.context(), starttls=starttls) as s:
            assert not any("AUTH" in line for line in tls.say(s, "EHLO client.test"))


def test_require(server, ca):
    with tls.plain(server.ports["required"]) as s:
        tls.reply(s)
        tls.say(s, "EHLO client.test")
        assert tls.say(s, "MAIL FROM:<a@example.org>")[0].startswith("530 5.7.0")
    with tls.connect(server.ports["required"], tls.context(ca), starttls=True) as s:
        tls.say(s, "EHLO client.test")
        assert tls.say(s, "MAIL FROM:<a@example.org>")[0].startswith("250 ")


def test_off(make_godwit, pairs):
    g = make_godwit(listeners={"off": "mx { tls off }"}, tls=pairs[:1])
    with tls.plain(g.ports["off"]) as s:
        tls.reply(s)
        assert not any("STARTTLS" in line for line in tls.say(s, "EHLO client.test"))
        assert tls.say(s, "STARTTLS")[0].startswith("502 5.5.1")


# ---- what is refused ------------------------------------------------------------------------------

@pytest.mark.parametrize("flag", ["-tls1", "-tls1_1"])
def test_old_versions(server, flag):
    out = tls.s_client(server.ports["smtps"], flag, "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in out and "protocol version" in out
    assert server.wait_log("tls.failed")[0]["reason"] == "old_version"


@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ADH",
                                    "ECDHE-RSA-AES256-SHA", "DHE-RSA-AES128-GCM-SHA256"])
def test_weak_ciphers(server, cipher):
    out = tls.s_client(server.ports["smtps"], "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")
    assert "Cipher is (NONE)" in out
    assert server.wait_log("tls.failed")[0]["reason"] == "no_shared_cipher"


def test_renegotiation(server):
    """The greeting may come into it, of which openssl makes an error of its own."""
    for n in range(1, 6):
        out = tls.s_client(server.ports["smtps"], "-tls1_2", said=b"R\n", listens=True)
        assert "RENEGOTIATING" in out and metric(server, "tls_sessions_total") == n
        if "unexpected record" not in out:
            break
    assert "no renegotiation" in out


def until_end(s):
    data = b""
    with contextlib.suppress(ConnectionError):
        while True:
            more = s.recv(4096)
            if not more:
                break
            data += more
    return data


@pytest.mark.parametrize("said", [b"EHLO client.test\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64,
                                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 600])
def test_garbage(server, said):
    """Who does not speak TLS is gone at once, and not a word is said in the clear."""
    began = time.monotonic()
    with tls.plain(server.ports["smtps"]) as s:
        s.sendall(said)
        assert until_end(s)[:1] in (b"", b"\x15")  # nothing, or an alert
    assert time.monotonic() - began < 2.5  # before the time for a handshake is over
    assert server.wait_log("tls.failed")[0]["reason"] in ("not_tls", "bad_handshake")


@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
def test_silence(server, starttls):
    began = time.monotonic()
    s = tls.ask_starttls(server.port) if starttls else tls.plain(server.ports["smtps"])
    with s:
        s.sendall(b"\x16\x03\x01")  # a handshake that never goes on
        assert until_end(s) == b""
    assert time.monotonic() - began > 2.5
    assert server.wait_log("tls.failed")[0]["reason"] == "timeout"


def test_octet_by_octet(server):
    """The whole handshake has the deadline, not each octet of it."""
    began = time.monotonic()
    with tls.plain(server.ports["smtps"], timeout=0.1) as s:
        for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 600:
            s.sendall(bytes([octet]))
            with contextlib.suppress(TimeoutError):
                assert s.recv(10) == b""
                break
    assert 2.5 < time.monotonic() - began < 20  # each octet for itself: a minute and more


def test_handshakes_that_go_nowhere(server, ca):
    """Nine octets that announce a message of 130 kB cost us up to 175 kB (OpenSSL 3.0.19). There is a
    ceiling of 128 for each receiver; who takes longest goes, and a good client still comes through."""
    begin = b"\x16\x03\x01\x00\x04" + b"\x01\x02\x00\x00"
    before, ctx = private_bytes(server.roles()["smtpd"]), tls.context(ca)
    with contextlib.ExitStack() as held:
        for i in range(1200):
            s = held.enter_context(tls.plain(server.ports["smtps"]))
            s.sendall(begin)
        time.sleep(1)
        began = time.monotonic()
        ports.wait_for(lambda: works(server.ports["smtps"], ctx), 10, 0.1, what="a handshake")
        took = time.monotonic() - began
        grown = private_bytes(server.roles()["smtpd"]) - before
    print(f"\n{grown / 1e6:.0f} MB for 1200 handshakes that go nowhere; a good one took {took:.2f} s")
    assert grown < 128 * 175e3 * len(server.roles()["smtpd"])
    reasons = {line["reason"] for line in server.log_lines("tls.failed")}
    assert "too_many_handshakes" in reasons or "timeout" in reasons


# ---- STARTTLS and what was said in the clear ------------------------------------------------------

@pytest.mark.parametrize("behind", [b"RSET\r\n", b"MAIL FROM:<evil@example.org>\r\n", b"MAI", b"\r",
                                    b"\x16\x03\x01"])
def test_injection_in_one_segment(server, behind):
    with tls.plain(server.port) as s:
        tls.reply(s)
        tls.say(s, "EHLO client.test")
        s.sendall(b"STARTTLS\r\n" + behind)
        said = until_end(s)
    assert said.startswith(b"554 5.5.0") and said.count(b"\r\n") == 1
    assert not server.log_lines("tls")


def test_injection_in_the_next_segment(server, ca):
    """It comes while 220 is on its way: refused, or no handshake; never a command."""
    for pause in (0, 0.0005, 0.002, 0.05):
        with tls.plain(server.port) as s:
            tls.reply(s)
            tls.say(s, "EHLO client.test")
            s.sendall(b"STARTTLS\r\n")
            time.sleep(pause)
            s.sendall(b"RSET\r\n")
            said = until_end(s)
        assert b"250" not in said
        lines = said.split(b"\r\n")
        assert lines[0][:3] in (b"554", b"220") and b"554" in said or lines[1][:1] in (b"\x15", b"")
    assert not server.log_lines("tls")
    assert served(server.ports["smtps"], tls.context(ca))


def test_what_was_said_before_is_forgotten(server, ca):
    with tls.plain(server.port) as s:
        tls.reply(s)
        tls.say(s, "EHLO before.test")
        tls.say(s, "MAIL FROM:<a@example.org>")
        tls.say(s, "RCPT TO:<b@example.net>")
        assert tls.say(s, "STARTTLS")[0].startswith("220 ")
        with tls.context(ca).wrap_socket(s, server_hostname="mx.test") as t:
            assert tls.say(t, "DATA")[0].startswith("503 5.5.1")
            assert tls.say(t, "RCPT TO:<b@example.net>")[0].startswith("503 5.5.1")
            assert tls.say(t, "MAIL FROM:<a@example.org>")[0].startswith("503 5.5.1")
            assert tls.say(t, "EHLO after.test")[0].startswith("250")


def test_plaintext_behind_close_notify(server, ca):
    """CVE-2026-45185: what comes in the clear when TLS has ended is read by nobody."""
    with tls.ask_starttls(server.port) as raw:
        inner, outer = ssl.MemoryBIO(), ssl.MemoryBIO()
        t = tls.context(ca).wrap_bio(inner, outer, server_hostname="mx.test")

        def pump(call, *arguments):
            while True:
                try:
                    value = call(*arguments)
                    raw.sendall(outer.read())
                    return value
                except ssl.SSLWantReadError:
                    raw.sendall(outer.read())
                    more = raw.recv(4096)
                    if not more:
                        raise ConnectionError from None
                    inner.write(more)

        def ask(text):
            pump(t.write, text + b"\r\n")
            return pump(t.read, 4096)

        pump(t.do_handshake)
        ask(b"EHLO client.test")
        ask(b"MAIL FROM:<a@example.org>")
        ask(b"RCPT TO:<b@example.net>")
        assert ask(b"DATA").startswith(b"354 ")
        with contextlib.suppress(ssl.SSLWantReadError):
            t.unwrap()
        raw.sendall(outer.read() + b"Subject: in the clear\r\n\r\nx\r\n.\r\nRSET\r\n")
        said = until_end(raw)
    assert b"250" not in said and b"\r\n" not in said
    time.sleep(0.3)
    assert not server.log_lines("accepted")


def test_cut_off_without_close_notify(server, ca):
    """A message that an attacker cuts short is none."""
    s = tls.connect(server.ports["smtps"], tls.context(ca))
    for line in ("EHLO client.test", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>",
                 "DATA"):
        tls.say(s, line)
    s.sendall(b"Subject: half\r\n\r\nx\r\n")
    raw = socket.socket(fileno=os.dup(s.fileno()))
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    time.sleep(0.3)
    s.close()
    assert not server.log_lines("accepted")


# ---- swaps ---------------------------------------------------------------------------------------

class Load(threading.Thread):
    """Sessions over STARTTLS, a message each, some of them long, until told to stop."""

    def __init__(self, port, ctx):
        super().__init__(daemon=True)
        self.port, self.ctx = port, ctx
        self.done, self.failed, self.enough = 0, [], threading.Event()

    def run(self):
        while not self.enough.is_set():
            try:
                self.one()
                self.done += 1
            except Exception as error:  # each one is a lost session
                self.failed.append(repr(error))

    def one(self):
        with tls.connect(self.port, self.ctx, starttls=True) as s:
            tls.say(s, "EHLO client.test")
            for _ in range(1 + self.done % 5):
                for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"):
                    assert tls.say(s, line)[0][:1] in "23"
                assert tls.say(s, "Subject: x\r\n\r\nx\r\n.")[0].startswith("250 ")
            assert tls.say(s, "QUIT")[0].startswith("221 ")


@contextlib.contextmanager
def load(port, ctx, n=3):
    threads = [Load(port, ctx) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.enough.set()
        for thread in threads:
            thread.join(20)


def test_a_hundred_swaps_under_load(make_godwit, ca, scratch):
    """Ten pairs at a time, each with a name of its own, as files are not looked at all the time."""
    names = ["mx.test"] + [f"n{i}.test" for i in range(9)]
    rounds = 10 if LONG else 3
    made = [[ca.issue(name, file=f"{name}-{turn}") for name in names] for turn in range(2)]
    own = [copy_pair(pair, scratch, name) for name, pair in zip(names, made[0])]
    g = make_godwit(listeners=LISTENERS, tls=own)
    ctx, port = tls.context(ca), g.ports["smtps"]
    standing = tls.connect(port, ctx)
    with load(g.port, ctx) as threads:
        for turn in range(1, rounds + 1):
            for name, pair, at in zip(names, made[turn % 2], own):
                put_pair(pair, at)
            for name, pair in zip(names, made[turn % 2]):
                ports.wait_for(lambda: served(port, ctx, name) == serial_of(pair), 10, 0.02,
                               what=f"the new certificate of {name}")
            assert tls.say(standing, "NOOP")[0].startswith("250 ")
    done = sum(thread.done for thread in threads)
    print(f"\n{rounds * 10} swaps, {done} sessions of the load beside them")
    assert not any(thread.failed for thread in threads), [t.failed[:3] for t in threads]
    assert done > 20
    standing.close()


def test_a_broken_pair_is_refused(make_godwit, ca, pairs, scratch):
    own = copy_pair(pairs[0], scratch, "own")
    g = make_godwit(listeners=LISTENERS, tls=[own], limits=LIMITS)
    g.expected_alarms |= {"tls.refused"}
    ctx, port, was = tls.context(ca), g.ports["smtps"], serial_of(pairs[0])
    broken = certs.Pair(pairs[0].cert, scratch / "broken.key")
    broken.key.write_text("no key at all\n")
    put_pair(broken, own)
    assert g.wait_log("tls.refused")[-1]["kept"] == "yes"
    assert served(port, ctx) == was
    put_pair(certs.Pair(pairs[2].cert, pairs[0].key), own)  # two that do not belong together
    g.wait_log("tls.refused", count=2)
    assert served(port, ctx) == was
    put_pair(pairs[2], own)
    ports.wait_for(lambda: works(port, ctx, "other.test") == serial_of(pairs[2]), 10,
                   what="the good one")


# ---- the vault dies ------------------------------------------------------------------------------

def test_the_vault_dies_under_handshakes(server, ca):
    server.expected_alarms |= {"role.died"}
    ctx, port = tls.context(ca), server.ports["smtps"]
    standing = tls.connect(port, ctx)
    receivers = sorted(server.roles()["smtpd"])
    for _ in range(3):
        with load(server.port, ctx, 2) as threads:
            time.sleep(0.2)
            restart_vault(server)
            ports.wait_for(lambda: works(port, ctx), 5, 0.02, what="handshakes again")
            before = sum(thread.done for thread in threads)
            ports.wait_for(lambda: sum(t.done for t in threads) > before, 5, what="the load")
        assert tls.say(standing, "NOOP")[0].startswith("250 ")
    assert sorted(server.roles()["smtpd"]) == receivers
    standing.close()


def works(port, ctx, name="mx.test"):
    try:
        return served(port, ctx, name)
    except (OSError, ConnectionError):
        return None


# ---- what it costs -------------------------------------------------------------------------------

def cpu_of(pids):
    """Seconds of CPU."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def private_bytes(pids):
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M)) * 1024
    return total


def handshakes(g, seconds, *words):
    """(how many, CPU seconds of the receivers and the vault)"""
    pids = g.roles()["smtpd"] + g.roles()["vault"]
    before = cpu_of(pids)
    out = subprocess.run(["openssl", "s_time", "-connect", f"127.0.0.1:{g.ports['smtps']}",
                          "-time", str(seconds), *words], capture_output=True, text=True).stdout
    return int(re.findall(r"(\d+) connections in \d+ real", out)[-1]), cpu_of(pids) - before


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_handshakes_a_second(make_godwit, ca, kind):
    g = make_godwit(listeners=LISTENERS, limits=LIMITS,
                    tls=[ca.issue("mx.test", kind=kind, file=f"cost-{kind}")])
    seconds = 5 if LONG else 1
    print()
    for what, words in (("TLS 1.3, full", ["-new"]), ("TLS 1.2, full", ["-new", "-tls1_2"]),
                        ("TLS 1.2, resumed", ["-reuse", "-tls1_2"])):
        n, cpu = handshakes(g, seconds, *words)
        print(f"{kind}: {what}: {n / cpu:.0f} handshakes a second and core")
        assert n > 20


@pytest.mark.parametrize("version", [tls.V12, tls.V13], ids=["1.2", "1.3"])
def test_an_idle_session_costs(server, ca, version):
    """Our memory, without that of the kernel."""
    ctx, n = tls.context(ca, version), 5000 if LONG else 400
    with contextlib.ExitStack() as held:
        for i in range(n + 100):
            if i == 100:  # what the first ones brought about is no session's own
                before = private_bytes(server.roles()["smtpd"])
            tls.say(held.enter_context(tls.connect(server.ports["smtps"], ctx)), "NOOP")
        time.sleep(0.5)
        each = (private_bytes(server.roles()["smtpd"]) - before) / n
    print(f"\n{each:.0f} bytes for an idle session, {s_version(version)}")
    assert each < 20000
