"""Whose session it is: what a balancer says with PROXY, a proxy with XCLIENT, and who is recognised
as an account without a login. HAProxy and nginx stand in front, NSD has the names."""

import os
import re
import socket
import subprocess
import time

import pytest

from conftest import run_as
from peers import ports, postfix, users
from peers.balancer import Haproxy, Nginx, line, packet
from peers.client import Client
from peers.godwit import Godwit
from peers.sink import Sink
from peers.zones import Zones

CONFIG = """\
hostname  mx.test
listen    mx 127.0.0.1:@PORT@
listen    mx 127.0.0.1:{proxied} {{ name proxied; proxy 127.0.0.1 }}
listen    mx 127.0.0.1:{xclient} {{ name xclient; xclient 127.0.0.1; xclient-login yes }}
listen    submission 127.0.0.1:{submission} {{ auth off }}
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
users     file @DIR@/users
trust     127.0.0.1 127.0.0.30
identify  shop {{ ip 127.0.0.20; helo-domain own.test; account shop@own.test }}
identify  alone {{ ip 127.0.0.21; account shop@own.test }}
identify  late {{ ip 127.0.0.22; account late@own.test }}
identify  gone {{ ip 127.0.0.23; account gone@own.test }}
identify  named {{ helo-domain named.test broken.test; account shop@own.test }}
domain    example.net {{ deliver maildir @MAIL@/%u }}
route to any via relay 127.0.0.1:{sink}
limits    {{ connections 1000 per-ip 5; connection-rate 100000/m }}
store     {{ segment 8M; reserve 16M; spares 1 }}
{resolver}
"""

NAMED = """\
@ A 127.0.0.40
host A 127.0.0.40
host A 127.0.0.41
six AAAA 2001:db8::1
alias CNAME host
"""


@pytest.fixture(scope="module")
def world(program):
    """A server, what it relays to, and its ports by name."""
    own = {name: ports.free_port() for name in ("proxied", "xclient", "submission")}
    with Zones({"named.test": NAMED}) as zones, Sink() as sink:
        g = Godwit(CONFIG.format(
            run_as=run_as(), sink=sink.port,
            resolver=zones.config(f"stub broken.test 127.0.0.1:{ports.free_port()}",
                                  timeout="2s"), **own))
        (g.folder / "users").write_text(
            users.line("shop@own.test", "secret") +
            users.line("late@own.test", "secret", state="suspended"))
        (g.folder / "users").chmod(0o600)
        g.ports.update(own)
        g.sink = sink
        try:
            g.start()
            yield g
            assert g.stop() == 0, g.output()
            assert not g.log_lines("role.died") and not g.log_lines("error")
        finally:
            g.close()


def relays(c, sender="shop@own.test", name="own.test"):
    """The replies to EHLO, MAIL and RCPT of somebody far away."""
    code, _ = c.hello(name)
    assert code == 250
    mail = c.cmd(f"MAIL FROM:<{sender}>")
    return mail if mail[0] != 250 else c.cmd("RCPT TO:<far@else.test>")


def received(sink, subject):
    """The top Received field of the message that the sink got."""
    def there():
        return [m for m in sink.messages if f"Subject: {subject}".encode() in m.data]

    head = ports.wait_for(there, what=subject)[0].data.split(b"\r\n\r\n")[0]
    return b" ".join(head.split(b"\r\n\t")).split(b"\r\n")[0].decode()


def content(subject):
    return f"From: shop@own.test\r\nSubject: {subject}\r\n\r\nx\r\n"


def accepted(g, **fields):
    return g.wait_log("accepted", **fields)[0]


# ---- identify -----------------------------------------------------------------------------------


def test_a_listed_host_with_its_name_is_the_account(world):
    with Client(world.port, source="127.0.0.20") as c:
        assert relays(c)[0] == 250
        assert c.data(content("identified"))[0] == 250
    line_ = accepted(world, ip="127.0.0.20")
    assert line_["identified"] == "shop" and line_["login"] == "shop@own.test"
    assert " with ESMTP id " in received(world.sink, "identified")


@pytest.mark.parametrize("name", ["stranger.test", "xown.test", "own.test.evil.test", "[127.0.0.20]",
                                  "test", "own-test"])
def test_another_name_is_told_what_to_say(world, name):
    with Client(world.port, source="127.0.0.20") as c:
        code, text = relays(c, name=name)
        assert code == 550 and text.startswith("5.7.1 ")
        assert "own.test" in text and "EHLO" in text and "logs in" in text
        assert c.cmd("RCPT TO:<here@example.net>")[0] == 250  # as for anybody


@pytest.mark.parametrize("name", ["own.test", "OWN.test", "mail.own.test"])
def test_names_within_the_domain(world, name):
    with Client(world.port, source="127.0.0.20") as c:
        assert relays(c, name=name)[0] == 250


def test_a_second_ehlo_counts_anew(world):
    with Client(world.port, source="127.0.0.20") as c:
        assert relays(c)[0] == 250
        assert relays(c, name="stranger.test")[0] == 550
        assert relays(c)[0] == 250


def test_a_stranger_with_the_name_is_a_stranger(world):
    with Client(world.port, source="127.0.0.50") as c:
        code, text = relays(c)
        assert code == 550 and text.startswith("5.7.1 Relay denied")
    with Client(world.ports["submission"], source="127.0.0.50") as c:
        assert relays(c) == (530, "5.7.0 Authentication required")


def test_the_rights_are_those_of_the_account(world):
    with Client(world.port, source="127.0.0.20") as c:
        code, text = relays(c, sender="boss@else.test")
        assert code == 550 and "shop@own.test may not send as boss@else.test" in text
    with Client(world.port, source="127.0.0.20") as c:
        assert relays(c)[0] == 250
        code, text = c.data("From: boss@else.test\r\nSubject: x\r\n\r\nx\r\n")
        assert code == 550 and "may not write From" in text
    with Client(world.port, source="127.0.0.22") as c:
        assert relays(c, "late@own.test") == (550, "5.7.1 This account is suspended")
    with Client(world.port, source="127.0.0.23") as c:
        assert relays(c, "gone@own.test") == (550, "5.7.1 This account is no longer there")


def test_an_address_alone(world):
    with Client(world.ports["submission"], source="127.0.0.21") as c:
        assert relays(c, name="whatever")[0] == 250
        assert c.data(content("alone"))[0] == 250
    assert accepted(world, ip="127.0.0.21")["identified"] == "alone"


@pytest.mark.parametrize("source, name", [("40", "named.test"), ("40", "host.named.test"),
                                          ("41", "host.named.test"), ("41", "alias.named.test")])
def test_a_name_that_leads_to_the_host(world, source, name):
    with Client(world.port, source=f"127.0.0.{source}") as c:
        assert relays(c, name=name)[0] == 250


@pytest.mark.parametrize("source, name", [("42", "host.named.test"), ("41", "named.test"),
                                          ("40", "six.named.test"), ("40", "none.named.test")])
def test_a_name_that_leads_elsewhere(world, source, name):
    with Client(world.port, source=f"127.0.0.{source}") as c:
        code, text = relays(c, name=name)
        assert code == 550 and text.startswith("5.7.1 ")
        assert name in text and "does not lead to the address" in text


def test_what_dns_cannot_say_is_for_later(world):
    begin = time.monotonic()
    with Client(world.port, source="127.0.0.40", timeout=15) as c:
        code, text = relays(c, name="a.broken.test")
        assert code == 451 and text.startswith("4.4.3 ")
        assert c.cmd("RCPT TO:<here@example.net>")[0] == 250
    with Client(world.ports["submission"], source="127.0.0.40", timeout=15) as c:
        assert relays(c, name="a.broken.test")[0] == 451
    assert time.monotonic() - begin < 14


def test_a_client_that_does_not_wait_for_dns(world):
    """It is gone, or says the next thing: neither harms anybody."""
    c = Client(world.port, source="127.0.0.40")
    c.send("EHLO b.broken.test\r\n")
    c.sock.close()
    with Client(world.port, source="127.0.0.40") as c:
        c.send("EHLO host.named.test\r\nMAIL FROM:<shop@own.test>\r\nRCPT TO:<far@else.test>\r\n")
        assert [c.reply()[0] for _ in range(3)] == [250, 250, 250]


# ---- PROXY --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2",
                                   "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy(world, words):
    source = f"127.0.1.{len(words)}"
    with Haproxy(world.ports["proxied"], words) as b:
        with Client(b.port, source=source) as c:
            assert relays(c)[0] == 550
            assert c.cmd("RCPT TO:<here@example.net>")[0] == 250
            assert c.data(content("balanced"))[0] == 250
        with Client(b.port, source="127.0.0.30") as c:
            assert relays(c)[0] == 250
        with Client(b.port, source="127.0.0.20") as c:
            assert relays(c)[0] == 250
    assert accepted(world, listener="proxied", ip=source)
    ports.wait_for(lambda: any(f"from own.test ([{source}])" in p.read_text()
                               for p in world.mail()), what="the message")


def test_nginx_says_proxy(world):
    with Nginx(world.ports["proxied"], proxy=True) as n, Client(n.port, source="127.0.1.90") as c:
        c.hello()
        assert c.cmd("MAIL FROM:<a@b.test>")[0] == 250
        assert c.cmd("RCPT TO:<here@example.net>")[0] == 250
        assert c.data(content("nginx proxy"))[0] == 250
    assert accepted(world, listener="proxied", ip="127.0.1.90")


def proxied(world, header, **options):
    c = Client(world.ports["proxied"], greet=False, **options)
    c.send(header)
    c.greeting = c.reply()
    return c


def test_a_balancer_is_not_one_busy_address(world):
    """It brings as many as it likes, and each of its clients has the limits of anybody."""
    open_ = [proxied(world, line(f"127.2.{i}.1")) for i in range(1, 40)]
    assert all(c.greeting[0] == 220 for c in open_)
    mine = [proxied(world, packet("127.0.3.1")) for _ in range(6)]
    assert [c.greeting[0] for c in mine] == [220] * 5 + [421]
    mine[0].cmd("QUIT")
    assert mine[0].at_end()
    with proxied(world, packet("127.0.3.1")) as c:
        assert c.greeting[0] == 220
    for c in open_ + mine:
        c.sock.close()


def test_whose_client_nobody_knows_is_trusted_by_nobody(world):
    """The balancer itself is trusted; who comes through it is not, when it does not say who."""
    for header, code in ((b"PROXY UNKNOWN\r\n", 550), (packet(family=0), 550),
                         (packet(command=0x20, family=0), 250)):
        with proxied(world, header) as c:
            assert relays(c)[0] == code, header


def test_those_whom_nobody_knows_are_many(world):
    """They are not one busy address, by PROXY as by XCLIENT."""
    many = [proxied(world, b"PROXY UNKNOWN\r\n") for _ in range(8)]
    assert [c.greeting[0] for c in many] == [220] * 8
    more = [xclient(world, "ADDR=[UNAVAILABLE]") for _ in range(8)]
    assert [reply[0] for _, reply in more] == [220] * 8
    for c in many + [c for c, _ in more]:
        c.sock.close()


def test_a_header_that_does_not_come(world):
    begin = time.monotonic()
    with Client(world.ports["proxied"], greet=False) as c:
        c.send(line("127.0.4.1")[:-3])
        assert c.at_end(20)
    assert time.monotonic() - begin > 4
    assert world.wait_log("reject", reason="proxy_timeout", ip="127.0.0.1")


def test_a_balancer_that_only_looks(world):
    """A health check is no event."""
    before = len(world.log_lines("reject"))
    for _ in range(5):
        socket.create_connection(("127.0.0.1", world.ports["proxied"])).close()
    with proxied(world, line("127.0.4.2")) as c:
        assert c.greeting[0] == 220
    assert len(world.log_lines("reject")) == before


# ---- XCLIENT ------------------------------------------------------------------------------------


def xclient(world, words):
    c = Client(world.ports["xclient"])
    c.hello("proxy.test")
    return c, c.cmd("XCLIENT " + words)


def test_nginx_says_xclient(world):
    with Nginx(world.ports["xclient"]) as n, Client(n.port, source="127.0.5.1") as c:
        c.hello("client.test")
        assert c.cmd("MAIL FROM:<a@b.test>")[0] == 250
        assert c.cmd("RCPT TO:<far@else.test>")[0] == 550
        assert c.cmd("RCPT TO:<here@example.net>")[0] == 250
        assert c.cmd("XCLIENT ADDR=127.0.0.30")[0] == 503
        assert c.data(content("nginx xclient"))[0] == 250
        assert c.cmd("XCLIENT ADDR=127.0.0.30") == (550, "5.7.0 Whose session this is was said already")
        assert relays(c)[0] == 550
    assert accepted(world, listener="xclient", ip="127.0.5.1")


def test_nginx_logs_in(world):
    with Nginx(world.ports["xclient"], login="shop@own.test") as n, \
            Client(n.port, source="127.0.5.2") as c:
        c.hello("client.test")
        assert c.cmd("AUTH PLAIN AHNob3BAb3duLnRlc3QAd2hhdGV2ZXI=")[0] == 235
        assert c.cmd("MAIL FROM:<shop@own.test>")[0] == 250
        assert c.cmd("RCPT TO:<far@else.test>")[0] == 250
        assert c.data(content("nginx login"))[0] == 250
    line_ = accepted(world, ip="127.0.5.2")
    assert line_["login"] == "shop@own.test" and "identified" not in line_
    assert " with ESMTPA id " in received(world.sink, "nginx login")


@pytest.mark.parametrize("login", ["nobody@own.test", "late@own.test"])
def test_a_login_that_is_none(world, login):
    c, reply = xclient(world, f"ADDR=127.0.5.3 LOGIN={login}")
    assert reply[0] == 554 and c.at_end()


def test_what_counts_is_who_it_is_for(world):
    for words, code in (("ADDR=127.0.5.4", 550), ("ADDR=127.0.0.30", 250), ("ADDR=127.0.0.20", 250),
                        ("HELO=own.test", 550), ("ADDR=[UNAVAILABLE]", 550),
                        ("ADDR=IPV6:::ffff:127.0.0.30", 250)):
        c, reply = xclient(world, words)
        assert reply[0] == 220, words
        assert relays(c)[0] == code, words
        c.sock.close()


def test_one_client_is_one_address(world):
    """An IPv4 address that is written as one of IPv6 is the same in limits and logs."""
    kept = [xclient(world, f"ADDR={clothes}127.0.6.3") for clothes in ("", "IPV6:::ffff:", "", "IPV6:::ffff:", "")]
    assert all(reply[0] == 220 for _, reply in kept)
    c, reply = xclient(world, "ADDR=IPV6:::ffff:127.0.6.3")
    assert reply[0] == 421 and c.at_end()
    assert relays(kept[1][0])[0] == 550
    assert world.wait_log("reject", stage="rcpt", ip="127.0.6.3")
    for other, _ in kept:
        other.sock.close()


def test_the_proxy_itself_is_trusted(world):
    with Client(world.ports["xclient"]) as c:
        assert relays(c)[0] == 250


def test_limits_of_who_it_is_for(world):
    kept = [xclient(world, "ADDR=127.0.6.1") for _ in range(5)]
    assert all(reply[0] == 220 for _, reply in kept)
    c, reply = xclient(world, "ADDR=127.0.6.1")
    assert reply[0] == 421 and c.at_end()
    c, reply = xclient(world, "ADDR=127.0.6.2")
    assert reply[0] == 220
    for other, _ in [*kept, (c, reply)]:
        other.sock.close()


def test_what_it_said_is_in_the_trace(world):
    c, reply = xclient(world, "ADDR=127.0.0.30 HELO=real.test PROTO=SMTP")
    assert reply[0] == 220 and relays(c, name="proxy.test")[0] == 250
    assert c.data(content("said"))[0] == 250
    assert "from real.test ([127.0.0.30]) by mx.test with SMTP id " in received(world.sink, "said")


# ---- the guide ----------------------------------------------------------------------------------


def test_the_configurations_of_the_guide(peers, scratch):
    """docs/proxies.md: HAProxy and nginx take what stands there."""
    text = (ports.REPO / "docs/proxies.md").read_text()
    block = {kind: re.search(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)[1] for kind in ("haproxy", "nginx")}
    env = dict(os.environ, LD_LIBRARY_PATH=str(postfix.PEERS / "lib"))
    (scratch / "haproxy.cfg").write_text(block["haproxy"])
    tree = postfix.fetched("nginx/usr/sbin/nginx") / "nginx"
    (scratch / "nginx.conf").write_text(
        f"load_module {tree}/usr/lib/nginx/modules/ngx_mail_module.so;\npid {scratch}/pid;\n"
        f"error_log {scratch}/errors;\nevents {{}}\n" + block["nginx"])
    for words in ([postfix.fetched("haproxy/usr/sbin/haproxy") / "haproxy/usr/sbin/haproxy", "-c", "-f",
                   scratch / "haproxy.cfg"],
                  [tree / "usr/sbin/nginx", "-t", "-p", scratch, "-c", scratch / "nginx.conf"]):
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
