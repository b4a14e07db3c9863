"""godwit send with TLS and logins: against Postfix, and against Godwit's own listeners."""

import base64
import os
import re
import socket
import subprocess
import threading

import pytest

from conftest import needs_root
from peers import certs, godwit, ports, postfix

ALICE, SECRET = "alice@example.com", "wide open secret"


@pytest.fixture(scope="module")
def ca():
    folder = ports.scratch()
    authority = certs.Authority(folder)
    authority.pair = authority.issue("mx.test", "localhost", "127.0.0.1")
    authority.elsewhere = authority.issue("other.test")
    yield authority
    ports.discard(folder)


def send(port, *words, password=SECRET, **more):
    """The completed process of godwit send to bob."""
    env = {key: value for key, value in os.environ.items() if key != "GODWIT_PASSWORD"}
    if password is not None:
        env["GODWIT_PASSWORD"] = password
    command = [godwit.PROGRAM, "send", "bob@example.net", "--from", ALICE, "--server",
               f"127.0.0.1:{port}", "--show", "smtp", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=env,
                          start_new_session=True, **{"stdin": subprocess.DEVNULL, **more})


# ---- a server that is not ours -----------------------------------------------------------------

@pytest.fixture(scope="module")
def mta(ca):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with postfix.Postfix(domains=["example.net"], options={
            "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": ca.pair.cert,
            "smtpd_tls_key_file": ca.pair.key}) as made:
        yield made


@needs_root
@pytest.mark.parametrize("words, code, said", [
    ([], 0, "-- TLSv1.3, .*not verified"),
    (["--tls", "off"], 0, None),
    (["--tls", "require"], 0, "-- TLSv1.3, "),
    (["--tls-verify"], 69, "not verified for 127.0.0.1: unable to get local issuer"),
    (["--tls-verify", "--tls-ca", "CA"], 0, "certificate of 127.0.0.1 verified"),
    (["--tls", "opportunistic", "--tls-verify"], 69, "not verified"),
    (["--tls", "implicit"], 69, "TLS failed: "),
    (["--auth", ALICE], 69, "not verified"),
    (["--auth", ALICE, "--tls-ca", "CA"], 2, "offers no login"),
])
def test_tls_with_postfix(mta, ca, words, code, said):
    done = send(mta.port, *[ca.cert if word == "CA" else word for word in words])
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert ("-- TLS" in text) == (code != 69 and words != ["--tls", "off"])
    assert said is None or re.search(said, text), text
    assert SECRET not in text and "AUTH" not in text


@needs_root
def test_certificate_of_another_host(ca):
    with postfix.Postfix(options={
            "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": ca.elsewhere.cert,
            "smtpd_tls_key_file": ca.elsewhere.key}) as mta:
        done = send(mta.port, "--tls-verify", "--tls-ca", ca.cert)
    assert done.returncode == 69
    assert "IP address mismatch" in done.stderr


# ---- servers that lie ----------------------------------------------------------------------------

class Script:
    """A server that says these answers, one for each line it hears, and keeps the lines."""

    def __init__(self, *answers):
        self.answers, self.heard = list(answers), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(self.answers.pop(0).encode())
            while self.answers:
                self.heard.append(lines.readline().decode().strip())
                connection.sendall(self.answers.pop(0).encode())
            connection.settimeout(10)
            try:
                while lines.readline():
                    pass
            except OSError:
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(15)


GREETING = "220 mx.test ESMTP\r\n"


def test_answers_put_in_before_tls_count_for_nothing():
    with Script(GREETING, "250-mx.test\r\n250 STARTTLS\r\n",
                "220 go\r\n250-mx.test\r\n250 AUTH PLAIN\r\n") as server:
        done = send(server.port, "--auth", ALICE, "--tls-insecure")
    assert done.returncode == 69, done.stdout + done.stderr
    assert server.heard == [server.heard[0], "STARTTLS"]


def test_starttls_taken_away_by_someone_on_the_line():
    with Script(GREETING, "250-mx.test\r\n250 AUTH PLAIN\r\n", "221 bye\r\n") as server:
        done = send(server.port, "--auth", ALICE)
    assert done.returncode == 69 and "offers no TLS" in done.stderr
    assert not any("AUTH" in line for line in server.heard)


def test_starttls_refused():
    with Script(GREETING, "250-mx.test\r\n250 STARTTLS\r\n", "454 4.7.0 not now\r\n",
                "221 bye\r\n") as server:
        done = send(server.port, "--tls", "require")
    assert done.returncode == 69 and "does not start TLS now" in done.stderr


def test_scram_server_that_knows_no_password():
    """It takes any proof and says so, but cannot prove itself."""
    challenge = "334 cj1ub3Qtb3VycyxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=\r\n"
    with Script(GREETING, "250-mx.test\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n", challenge,
                "221 bye\r\n") as server:
        done = send(server.port, "--auth", ALICE, "--tls", "off")
    assert done.returncode == 2 and "nonce is not ours" in done.stderr
    assert server.heard[1].startswith("AUTH SCRAM-SHA-256 ")


# ---- flags ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, said", [
    (["--tls", "maybe"], "--tls is off, opportunistic, require or implicit"),
    (["--auth-mech", "PLAIN"], "--auth-mech needs --auth"),
    (["--auth", ALICE, "--auth-mech", "CRAM-MD5"], "is not known"),
    (["--auth", ""], "1 to 255 octets"),
    (["--tls", "off", "--tls-verify"], "without TLS"),
    (["--tls-verify", "--tls-insecure"], "exclude each other"),
    (["--require-tls", "--tls-insecure"], "--require-tls wants a server with a good certificate"),
    (["--require-tls", "--tls", "off"], "not with --tls off"),
    (["--password-file", "x"], "needs --auth"),
])
def test_wrong_flags(words, said):
    done = send(1, *words)
    assert done.returncode == 64 and said in done.stderr, done.stderr


def test_nowhere_to_get_the_password():
    done = send(1, "--auth", ALICE, password=None)
    assert done.returncode == 66 and "GODWIT_PASSWORD" in done.stderr


def test_password_file(scratch):
    (scratch / "empty").touch()
    done = send(1, "--auth", ALICE, "--password-file", scratch / "none", password=None)
    assert done.returncode == 66 and "No such file" in done.stderr
    done = send(1, "--auth", ALICE, "--password-file", scratch / "empty", password=None)
    assert done.returncode == 66 and "no password" in done.stderr


# ---- our own listeners ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def server(program, ca):
    g = godwit.Godwit(trust="", tls=[ca.pair], users={ALICE: SECRET}, listeners={
        "submission": "submission", "submissions": "submission {tls implicit}"})
    try:
        yield g.start()
    finally:
        g.close()


def secrets():
    """The password as any mechanism would show it."""
    words = [SECRET, base64.b64encode(SECRET.encode()).decode(),
             base64.b64encode(f"\0{ALICE}\0{SECRET}".encode()).decode()]
    return words + [word.rstrip("=") for word in words]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_dialogue_shows_nothing_secret(server, ca, mechanism):
    done = send(server.ports["submission"], "--auth", ALICE, "--auth-mech", mechanism, "--tls-ca",
                ca.cert)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert f"-> AUTH {mechanism}" in text and "(hidden)" in text and "<- 235 2.7.0" in text
    assert not [word for word in secrets() if word in text], text
    assert not re.search(r"-> .*,p=", text)


def test_the_strongest_is_chosen(server, ca):
    done = send(server.ports["submissions"], "--tls", "implicit", "--auth", ALICE, "--tls-ca",
                ca.cert)
    assert done.returncode == 0 and "-> AUTH SCRAM-SHA-256-PLUS (hidden)" in done.stdout


def test_login_for_each_connection_of_a_long_run(server, ca, scratch):
    """The password is asked for once; --count goes on over the same connection."""
    (scratch / "password").write_text(SECRET + "\nno part of it\n")
    done = send(server.ports["submission"], "--auth", ALICE, "--tls-ca", ca.cert, "--count", "20",
                "--password-file", scratch / "password", password=None)
    assert done.returncode == 0 and done.stdout.count("<- 235 ") == 1
    assert "20 of 20 accepted" in done.stdout


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_wrong_password(server, ca, mechanism):
    done = send(server.ports["submission"], "--auth", ALICE, "--auth-mech", mechanism, "--tls-ca",
                ca.cert, password="not it")
    assert done.returncode == 2
    assert "no login as alice@example.com: 535 5.7.8" in done.stderr, done.stderr


def test_password_from_standard_input(server, ca):
    read, write = os.pipe()
    os.write(write, f"{SECRET}\n".encode())
    os.close(write)
    with open(read) as stdin:
        done = send(server.ports["submission"], "--auth", ALICE, "--tls-ca", ca.cert,
                    "--password-file", "-", password="another", stdin=stdin)
    assert done.returncode == 0, done.stderr
