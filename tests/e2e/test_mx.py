"""Where mail for a domain goes: MX, addresses, families, smarthosts. Zones are served by a name
server on loopback, the hosts are sinks on 127.0.1.x and ::1, all at one port."""

import contextlib
import email
import socket
import time

import pytest

from peers import ports
from peers.client import Client, simple_message
from peers.dns_liar import ADDRESS, DnsLiar
from peers.rude import Rude, blackhole
from peers.sink import Sink
from peers.zones import Zones

ALICE = "alice@example.net"  # local: bounces come to a Maildir


@pytest.fixture
def port():
    return ports.free_everywhere()


@pytest.fixture
def start(make_godwit, port):
    """start(zones, ...): a Godwit that sends all mail by MX, at that port."""
    def made(zones, words="private", resolver=(), timeout="1s", extra="", **options):
        return make_godwit(extra=zones.config(*resolver, timeout=timeout)
                           + f"route to any via mx port {port} {words}\n" + extra, **options)

    return made


@pytest.fixture
def hosts(port):
    """hosts(1, 2, ...): sinks at 127.0.1.1, 127.0.1.2, ..."""
    with contextlib.ExitStack() as stack:
        yield lambda *numbers: [
            stack.enter_context(Sink(host=n if isinstance(n, str) else f"127.0.1.{n}", port=port))
            for n in numbers]


def send(g, *recipients, sender=ALICE):
    with Client(g.port) as client:
        client.hello()
        reply = client.message(sender, list(recipients), simple_message())
    assert reply[0] == 250
    return time.time()


def wait_report(g, timeout=15):
    def found():
        mails = [email.message_from_bytes(p.read_bytes()) for p in g.mail()]
        return [m for m in mails if m.get_content_type() == "multipart/report"]

    report = ports.wait_for(found, timeout, what="a bounce")[0]
    status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"][0]
    return status.get_payload()[1]


def example(text):
    return Zones({"example.org": text})


# ---- which host -------------------------------------------------------------------------------


def test_in_the_order_of_preference(start, hosts):
    second, third = hosts(2, 3)
    with example("""@ MX 30 c
                    @ MX 10 a
                    @ MX 20 b
                    a A 127.0.1.1
                    b A 127.0.1.2
                    c A 127.0.1.3""") as z:
        g = start(z)
        sent = send(g, "bob@example.org")  # nobody listens at the first
        second.wait()
        delivered = g.wait_log("delivered")[0]
        assert delivered["host"] == f"b.example.org [127.0.1.2]:{second.port}"
        assert delivered["attempt"] == "1" and second.messages[0].time - sent < 2
        assert third.sessions == 0


def test_equals_share(start, hosts):
    one, two = hosts(1, 2)
    with example("""@ MX 10 a
                    @ MX 10 b
                    a A 127.0.1.1
                    b A 127.0.1.2""") as z:
        g = start(z, per_connection=1, connections=2)
        for _ in range(40):
            send(g, "bob@example.org")
        ports.wait_for(lambda: len(one.accepted()) + len(two.accepted()) == 40)
        assert min(len(one.accepted()), len(two.accepted())) >= 8, "chance of 1 in 10,000"


def test_without_mx_the_domain_itself(start, hosts):
    sink, = hosts(1)
    with example("@ A 127.0.1.1\nsub A 127.0.1.1") as z:
        g = start(z)
        send(g, "bob@example.org")
        send(g, "bob@sub.example.org")
        sink.wait(2)
        assert {line["host"] for line in g.wait_log("delivered", count=2)} == {
            f"example.org [127.0.1.1]:{sink.port}", f"sub.example.org [127.0.1.1]:{sink.port}"}


def test_null_mx_bounces_at_once(start, hosts):
    sink, = hosts(1)
    with example("@ MX 0 .\n@ A 127.0.1.1") as z:
        g = start(z)
        sent = send(g, "bob@example.org")
        report = wait_report(g)
        assert report["Status"] == "5.1.10" and time.time() - sent < 10
        assert sink.sessions == 0


def test_no_such_domain(start):
    with example("@ TXT x") as z:
        g = start(z)
        send(g, "bob@nowhere.test")
        assert wait_report(g)["Status"] == "5.1.2"


def test_neither_mx_nor_address(start):
    with example("@ TXT x") as z:
        g = start(z)
        send(g, "bob@example.org")
        report = wait_report(g)
        assert report["Status"] == "5.1.2" and "neither" in report["Diagnostic-Code"]


def test_no_mail_host_has_an_address(start):
    with example("@ MX 10 a\n@ MX 20 b\na TXT x") as z:
        g = start(z)
        send(g, "bob@example.org")
        assert wait_report(g)["Status"] == "5.4.4"


def test_mx_is_an_alias(start, hosts):
    sink, = hosts(1)
    with example("@ MX 10 a\na CNAME b\nb CNAME c\nc A 127.0.1.1") as z:
        g = start(z)
        send(g, "bob@example.org")
        sink.wait()
        assert g.wait_log("delivered")[0]["host"].startswith("a.example.org [127.0.1.1]")


def test_four_hundred_mx(start, hosts):
    sink, = hosts(1)
    many = "\n".join(f"@ MX {100 + n} m{n}\nm{n} A 127.0.1.9" for n in range(400))
    with example(many + "\n@ MX 5 z\nz A 127.0.1.1") as z:
        g = start(z)
        sent = send(g, "bob@example.org")
        assert sink.wait()[0].time - sent < 5


def test_address_literals(start, hosts):
    sink, six = hosts(1, "::1")
    with example("@ TXT x") as z:
        g = start(z)
        send(g, "bob@[127.0.1.1]")
        send(g, "bob@[IPv6:::1]")
        assert sink.wait()[0].rcpts == ["bob@[127.0.1.1]"]
        assert six.wait()[0].rcpts == ["bob@[IPv6:::1]"]


def test_many_hosts_that_are_not_theirs(start, port):
    """Who names hosts of others as his own makes us knock at some doors, not at all of them."""
    with contextlib.ExitStack() as stack:
        rude = [stack.enter_context(Rude(f"127.0.1.{n}", port, greeting="554 5.7.1 not me"))
                for n in range(1, 41)]
        z = stack.enter_context(example("".join(
            f"@ MX 10 m{n}\n" + "".join(f"m{n} A 127.0.1.{20 * n + k}\n" for k in range(1, 21))
            for n in range(2))))
        g = start(z, retry="1h")
        send(g, "bob@example.org")
        g.wait_log("deferred")
        knocks = [host.connections for host in rude]
        assert max(knocks) == 1 and sum(knocks) == 8


def test_private_addresses_are_passed_over(start, hosts):
    sink, = hosts(1)
    with example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z, words="")
        send(g, "bob@example.org")
        report = wait_report(g)
        assert report["Status"] == "5.4.4" and "private" in report["Diagnostic-Code"]
        assert sink.sessions == 0


# ---- never to ourselves ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["name", "address"])
def test_backup_mx(make_godwit, hosts, how):
    """The backup keeps the mail while the primary is down; it never gives it to itself, nor to a
    host that is worse than it, and delivers when the primary is back."""
    g = make_godwit(relay=("127.0.0.1", 1), start=False)  # for its port
    own = {"name": "mx.test. ", "address": "self"}[how]
    with contextlib.ExitStack() as stack, Zones({"test": "mx A 127.0.0.1", "example.org": f"""
            @ MX 10 primary
            @ MX 20 {own}
            @ MX 20 equal
            @ MX 30 worse
            primary A 127.0.1.1
            self A 127.0.0.1
            equal A 127.0.1.2
            worse A 127.0.1.3"""}) as z:
        others = [stack.enter_context(Sink(host=f"127.0.1.{n}", port=g.port)) for n in (2, 3)]
        g.write_config(extra=z.config() + f"route to any via mx port {g.port} private\n")
        g.start()
        send(g, "bob@example.org")
        assert g.wait_log("deferred")[0]["esc"] == "4.4.1"
        time.sleep(2)
        primary = stack.enter_context(Sink(host="127.0.1.1", port=g.port))
        back = time.time()
        message = primary.wait(timeout=20)[0]
        print(f"primary back: mail after {message.time - back:.1f} s")
        assert all(other.sessions == 0 for other in others)
        assert len(g.log_lines("accepted")) == 1 and not g.log_lines("bounced")


def test_mail_loops_back(start, port):
    with Zones({"test": "mx A 127.0.0.1", "example.org": "@ MX 10 mx.test."}) as z:
        g = start(z)
        send(g, "bob@example.org")
        assert wait_report(g)["Status"] == "5.4.6"


# ---- what a host says before MAIL -----------------------------------------------------------


TURNED_AWAY = {
    "greeting-554": dict(greeting="554 5.7.1 no mail here"),
    "greeting-421": dict(greeting="421 4.3.2 too busy"),
    "greeting-450": dict(greeting="450 4.3.2 later"),
    "no-greeting": dict(greeting=None),
    "nonsense": dict(greeting="HTTP/1.1 400 Bad Request"),
    "ehlo-550": dict(words={"EHLO": "550 5.7.1 your name is bad", "HELO": "550 5.7.1 too"}),
    "ehlo-421": dict(words={"EHLO": "421 4.3.2 bye"}),
    "ehlo-closed": dict(words={"EHLO": None, "HELO": None}),
    "mail-closed": dict(words={"MAIL": None}),
    "mail-421": dict(words={"MAIL": "421 4.3.2 bye"}),
}


@pytest.mark.parametrize("what", TURNED_AWAY)
def test_turned_away_by_the_first(start, hosts, port, what):
    second, = hosts(2)
    with Rude("127.0.1.1", port, **TURNED_AWAY[what]) as rude, example("""@ MX 10 a
            @ MX 20 b
            a A 127.0.1.1
            b A 127.0.1.2""") as z:
        g = start(z)
        sent = send(g, "bob@example.org")
        assert second.wait()[0].time - sent < 2
        assert g.wait_log("delivered")[0]["attempt"] == "1"
        assert not g.log_lines("deferred") and rude.connections <= 2 and not rude.bodies


@pytest.mark.parametrize("words", [{"EHLO": None}, {"EHLO": "502 5.5.1 what?"}])
def test_helo_for_who_knows_no_ehlo(start, port, words):
    with Rude("127.0.1.1", port, words=words) as rude, example("@ A 127.0.1.1") as z:
        g = start(z)
        send(g, "bob@example.org")
        g.wait_log("delivered", attempt="1")
        assert "HELO mx.test" in rude.seen and len(rude.bodies) == 1


def test_all_are_named_when_nobody_takes_it(start, port):
    with Rude("127.0.1.2", port, greeting="554 5.7.1 go away") as rude, example("""@ MX 10 a
            @ MX 20 b
            a A 127.0.1.1
            b A 127.0.1.2""") as z:
        g = start(z)
        send(g, "bob@example.org")
        line = g.wait_log("deferred")[0]  # what it says to everybody ends no message
        assert line["code"] == "554" and line["host"].startswith("b.example.org")
        assert "go away" in line["reply"] and "a.example.org [127.0.1.1]" in line["reply"]
        assert not g.log_lines("bounced") and rude.connections >= 1


def test_a_verdict_stays(start, hosts):
    """Who heard of a recipient decides; no other host is asked."""
    first, second = hosts(1, 2)
    first.reply_to("bob@example.org", "550 5.1.1 no bob")
    first.reply_to("carol@example.org", "451 4.2.1 later", times=1)
    with example("@ MX 10 a\n@ MX 20 b\na A 127.0.1.1\nb A 127.0.1.2") as z:
        g = start(z)
        send(g, "bob@example.org", "carol@example.org")
        assert wait_report(g)["Status"] == "5.1.1"
        first.wait()
        assert second.sessions == 0


def test_a_refused_mail_stays(start, hosts):
    first, second = hosts(1, 2)
    first.reply_at("mail", "550 5.7.1 not from you")
    with example("@ MX 10 a\n@ MX 20 b\na A 127.0.1.1\nb A 127.0.1.2") as z:
        g = start(z)
        send(g, "bob@example.org")
        assert wait_report(g)["Status"] == "5.7.1" and second.sessions == 0


# ---- families -------------------------------------------------------------------------------


def test_v6_first(start, hosts):
    six, four = hosts("::1", 1)
    with example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z)
        send(g, "bob@example.org")
        six.wait()
        assert four.sessions == 0
        assert g.wait_log("delivered")[0]["host"] == f"a.example.org [::1]:{six.port}"


@pytest.mark.parametrize("family, expected", [("prefer v4", "four"), ("family v4", "four"),
                                              ("family v6", "six")])
def test_the_wish_of_the_source(start, hosts, family, expected):
    sinks = dict(zip(("six", "four"), hosts("::1", 1)))
    with example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z, extra=f"vmta default {{ {family} }}\n")
        send(g, "bob@example.org")
        sinks.pop(expected).wait()
        assert sinks.popitem()[1].sessions == 0


def test_v6_that_leads_nowhere(start, hosts, port):
    """Row H6: the same attempt succeeds over IPv4 in less than three seconds."""
    four, = hosts(1)
    with blackhole("::1", port), example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z)
        sent = send(g, "bob@example.org")
        took = four.wait()[0].time - sent
        print(f"IPv6 leads nowhere: delivered over IPv4 after {took:.2f} s")
        assert 0.2 < took < 5  # three, and what a busy machine adds
        assert g.wait_log("delivered")[0]["attempt"] == "1"


def test_two_of_v6_that_lead_nowhere_and_a_worse_host(start, hosts, port):
    """No worse host is tried while a better one may answer."""
    four, worse = hosts(1, 2)
    with blackhole("::1", port), example("""@ MX 10 a
            @ MX 20 b
            a AAAA ::1
            a AAAA ::ffff:127.0.1.7
            a A 127.0.1.1
            b A 127.0.1.2""") as z:
        g = start(z)
        sent = send(g, "bob@example.org")
        assert four.wait()[0].time - sent < 3 and worse.sessions == 0


@pytest.mark.parametrize("stage", ["greeting", "helo", "mail"])
def test_v6_is_refused_for_its_reputation(start, hosts, stage):
    six, four = hosts("::1", 1)
    six.reply_at(stage, "550 5.7.1 [::1] no PTR record for this IPv6 address")
    with example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z)
        send(g, "bob@example.org")
        four.wait()
        assert g.wait_log("delivered")[0]["attempt"] == "1" and not g.log_lines("bounced")


def test_refused_over_both_families(start, hosts):
    six, four = hosts("::1", 1)
    six.reply_at("mail", "550 5.7.1 no PTR")
    four.reply_at("mail", "550 5.7.2 no from here either")
    with example("@ MX 10 a\na A 127.0.1.1\na AAAA ::1") as z:
        g = start(z)
        send(g, "bob@example.org")
        assert wait_report(g)["Status"] == "5.7.2"
        assert (six.sessions, four.sessions) == (1, 1)


def test_the_verdict_over_v6_stands_if_v4_is_dead(start, hosts):
    six, worse = hosts("::1", 2)
    six.reply_at("mail", "550 5.7.1 no PTR")
    with example("@ MX 10 a\n@ MX 20 b\na A 127.0.1.1\na AAAA ::1\nb A 127.0.1.2") as z:
        g = start(z)
        send(g, "bob@example.org")
        assert wait_report(g)["Status"] == "5.7.1"
        assert six.sessions == 1 and worse.sessions == 0


def test_source_address_and_name(start, hosts):
    four, six = hosts(1, "::1")
    with Zones({"example.org": "@ A 127.0.1.1", "six.test": "@ AAAA ::1\n@ MX 10 @"}) as z:
        g = start(z, extra="vmta default { address 127.0.5.5; helo out.mx.test }\n")
        send(g, "bob@example.org")
        four.wait()
        assert four.peers == ["127.0.5.5"] and "EHLO out.mx.test" in four.commands
        # No source of that family: it is not used.
        send(g, "bob@six.test")
        assert g.wait_log("deferred")[0]["esc"] == "4.4.4" and six.sessions == 0


def test_both_source_addresses(start, hosts):
    six, = hosts("::1")
    with example("@ AAAA ::1") as z:
        g = start(z, extra="vmta default { address 127.0.5.5 ::1 }\n")
        send(g, "bob@example.org")
        six.wait()
        assert six.peers == ["::1"]


# ---- DNS has trouble ------------------------------------------------------------------------


def test_name_server_stopped(start, hosts):
    sink, = hosts(1)
    with example("@ MX 10 a\na A 127.0.1.1") as z:
        g = start(z, resolver=["retry 2s"])
        z.stop()
        send(g, "bob@example.org")
        assert g.wait_log("deferred", timeout=30)[0]["esc"] == "4.4.3"
        z.start()
        back = time.time()
        print(f"names back: mail after {sink.wait(timeout=90)[0].time - back:.1f} s")
        assert not g.log_lines("bounced")


@pytest.mark.parametrize("how", ["servfail", "refused", "wrongid", "garbage", "loop"])
def test_name_server_lies(start, hosts, how):
    """Never the end of a message, and never in the way of other mail."""
    sink, = hosts(1)
    with DnsLiar() as liar, example("@ A 127.0.1.1") as z:
        g = start(z, resolver=[liar.stub()])
        send(g, f"bob@{how}.liar.test")
        sent = send(g, "bob@example.org")
        assert sink.wait()[0].time - sent < 1
        assert g.wait_log("deferred", timeout=40)[0]["esc"][0] == "4"
        assert not g.log_lines("bounced")


def test_name_server_is_slow(start, port, hosts):
    other, = hosts(1)
    with Sink(host=ADDRESS, port=port) as sink, DnsLiar() as liar, \
            example("@ A 127.0.1.1") as z:
        g = start(z, resolver=[liar.stub(), "retry 2s"], timeout="5s")
        slow = send(g, "bob@slow1.liar.test")
        sent = send(g, "bob@example.org")
        assert other.wait()[0].time - sent < 1
        # One answer that comes too late is trouble, and after that two seconds pass.
        took = sink.wait(timeout=150)[0].time - slow
        assert not g.log_lines("bounced")
        print(f"a second for each answer: delivered after {took:.1f} s")


def test_a_dead_name_server_of_a_worse_host(start, hosts):
    """Only those behind it wait for it."""
    sink, = hosts(1)
    with DnsLiar() as liar, example("@ MX 10 a\n@ MX 20 silent.liar.test.\na A 127.0.1.1") as z:
        g = start(z, resolver=[liar.stub()], timeout="5s")
        sent = send(g, "bob@example.org")
        assert sink.wait()[0].time - sent < 1


def test_resolver_dies(start, hosts):
    """The question is asked again."""
    sink, = hosts(1)
    with DnsLiar() as liar, example("@ MX 10 slow1.liar.test.") as z:
        g = start(z, resolver=[liar.stub()], timeout="5s")
        g.expected_alarms = {"role.died", "role.crashed"}
        send(g, "bob@example.org")
        ports.wait_for(lambda: liar.asked["slow1.liar.test"], what="the question")
        g.kill9("resolver")
        assert g.wait_log("deferred", timeout=30)[0]["esc"] == "4.4.1"  # nobody listens
        assert sink.sessions == 0 and not g.log_lines("bounced")


@pytest.mark.parametrize("role", ["queue", "sender"])
def test_killed_on_the_way_to_a_host(start, hosts, port, role):
    """Hosts are tried again, and the message comes once."""
    four, = hosts(1)
    with blackhole("127.0.1.2", port), example("""@ MX 10 b
            @ MX 20 a
            a A 127.0.1.1
            b A 127.0.1.2""") as z:
        g = start(z)
        g.expected_alarms = {"role.died", "role.crashed"}
        send(g, "bob@example.org")
        time.sleep(1)  # it waits for the first
        g.kill9(role)
        sent = time.time()
        took = four.wait(timeout=40)[0].time - sent
        print(f"{role} killed: delivered {took:.1f} s later")
        time.sleep(1)
        assert len(four.messages) == 1


# ---- hosts that the configuration names -----------------------------------------------------


SMARTHOSTS = "one A 127.0.1.1\ntwo A 127.0.1.2"


def test_smarthosts_fail_over_and_return(make_godwit, hosts, port):
    second, = hosts(2)
    with example(SMARTHOSTS) as z:
        g = make_godwit(per_connection=1, host_rest="5s", extra=z.config() + "route to any via relay "
                        f"one.example.org:{port} two.example.org:{port}\n")
        sent = send(g, "bob@example.com")
        took = second.wait()[0].time - sent
        assert g.wait_log("delivered")[0]["attempt"] == "1"
        first, = hosts(1)
        back, n = time.time(), 1
        while not first.accepted():
            send(g, "bob@example.com")
            n += 1
            time.sleep(0.25)
            assert time.time() - back < 90
        again = first.accepted()[0].time - back
        assert first.accepted()[0].time - sent > 4.9  # it was left alone for a time
        print(f"fail-over after {took:.2f} s, return {again:.1f} s after the first was back")
        ports.wait_for(lambda: len(first.accepted()) + len(second.accepted()) == n)
        # From then on the first has all of it.
        had = len(second.accepted())
        for _ in range(5):
            send(g, "bob@example.com")
        first.wait(len(first.accepted()) + 1)
        ports.wait_for(lambda: len(first.accepted()) + len(second.accepted()) == n + 5)
        assert len(second.accepted()) == had


def test_a_dead_host_is_not_tried_first_again(start, hosts, port):
    """Only the first message waits for it."""
    second, = hosts(2)
    with blackhole("127.0.1.1", port), example("""@ MX 10 a
            @ MX 20 b
            a A 127.0.1.1
            b A 127.0.1.2""") as z:
        g = start(z, per_connection=1)
        took = []
        for n in range(1, 4):
            sent = send(g, "bob@example.org")
            took.append(second.wait(n, timeout=30)[-1].time - sent)
        print("first host leads nowhere: delivered after", *(f"{t:.2f} s" for t in took))
        # A worse host does not overtake a better one that is silent.
        assert 5 < took[0] < 20 and max(took[1:]) < 4
        assert {line["attempt"] for line in g.wait_log("delivered", count=3)} == {"1"}


def test_a_smarthost_without_a_name_costs_no_mail(make_godwit, hosts, port, monkeypatch):
    sink, = hosts(1)
    monkeypatch.setattr("peers.zones.TTL", 3)  # so long it is known that there is no such name
    with example("other A 127.0.1.1") as z:
        g = make_godwit(extra=z.config() + f"route to any via relay late.example.org:{port}\n")
        send(g, "bob@example.com")
        assert g.wait_log("deferred")[0]["esc"] == "4.4.4"
        z.change("example.org", "late A 127.0.1.1")
        sink.wait(timeout=90)


def test_lmtp_by_name(make_godwit, port):
    with Sink(host="127.0.1.1", port=port, lmtp=True) as sink, example("box A 127.0.1.1") as z:
        g = make_godwit(lmtp=("box.example.org", port), extra=z.config())
        send(g, "bob@example.net", sender="carol@example.com")
        sink.wait()
        assert g.wait_log("delivered")[0]["host"] == f"box.example.org [127.0.1.1]:{port}"
