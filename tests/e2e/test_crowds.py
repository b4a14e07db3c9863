"""Peers that do not read, clients that do not speak, more connections than wanted: each has its
ceiling, and everybody else is served."""

import contextlib
import re
import socket
import time

import pytest

from conftest import needs_processes
from peers import ledger, ports
from peers.client import Client, simple_message
from peers.godwit import make_config
from peers.limits import does_not_spin, far, probe, resident
from peers.sink import Sink

# ---- peers that do not read --------------------------------------------------------------------


@needs_processes
def test_peer_that_never_reads(make_godwit):
    """Its connection waits; memory is bounded, other mail flows, and the message comes later."""
    with Sink() as sink, socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf_port = deaf.getsockname()[1]
        extra = f"route to domain deaf.example via relay 127.0.0.1:{deaf_port}"
        g = make_godwit(start=False, relay=("127.0.0.1", sink.port), expire="10m")
        text = make_config(g.port, g.folder, relay=("127.0.0.1", sink.port), expire="10m")
        g.write_config(text.replace("route to any", extra + "\nroute to any"))
        g.start()
        pids = [pid for role in ("sender", "queue") for pid in g.roles()[role]]
        body = ("x" * 70 + "\r\n") * (20 << 20 >> 6)
        with Client(g.port, timeout=30) as client:
            client.hello()
            assert client.message("a@sender.test", ["b@deaf.example"],
                                  simple_message(body=body))[0] == 250
        peer, _ = deaf.accept()
        with peer:
            peer.sendall(b"220 deaf.example\r\n")
            while b"DATA" not in peer.recv(4096):  # no PIPELINING: a command at a time
                peer.sendall(b"250 2.0.0 Ok\r\n")
            peer.sendall(b"354 go on\r\n")
            time.sleep(0.5)
            before = resident(pids)
            book = ledger.Ledger()
            sink.on_message = book.arrived
            load = ledger.Load(book, g.port, sessions=4, recipients=far, most=300).start()
            load.join()
            ports.wait_for(lambda: not book.missing(), 10, what="the mail of others")
            assert resident(pids) - before < 16 << 20
            ports.wait_for(lambda: g.queued() == 1, 5, what="only its own message")
        g.wait_log("deferred")  # it went away in the middle
        deaf.close()
        with Sink(port=deaf_port) as healed:
            assert len(healed.wait(timeout=20)[0].data) > 20 << 20
        g.wait_idle()


def test_client_that_never_reads(relay):
    """Commands without end, replies unread: it is stopped, others are served."""
    with socket.create_connection(("127.0.0.1", relay.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(1)
        pids = relay.roles().get("smtpd") or [relay.pid]
        before = resident(pids)
        sent = 0
        with contextlib.suppress(OSError):
            deaf.sendall(b"EHLO deaf.test\r\n")
            while sent < 64 << 20:
                sent += deaf.send(b"NOOP\r\n" * 10000)
        assert sent < 64 << 20, "everything was taken"
        assert resident(pids) - before < 8 << 20
        does_not_spin(pids, 0.5)
        assert probe(relay.port) == 250
    relay.wait_idle()


# ---- more connections than wanted --------------------------------------------------------------


def is_served(port, source, within=1.0):
    begin = time.monotonic()
    assert probe(port, source=source) == 250
    assert time.monotonic() - begin < within


@needs_processes
def test_two_thousand_connections(make_godwit):
    """One address has as many connections as it may; another one is served at once."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port),
                        limits="limits { connections 4000 per-ip 2000 }", trust="127.0.0.3")
        sockets, most = [], 2000 * len(g.roles()["smtpd"])
        while len(sockets) < 2000:
            sockets.append(stack.enter_context(socket.create_connection(
                ("127.0.0.1", g.port), timeout=5, source_address=("127.0.0.2", 0))))
        for sock in sockets:
            assert sock.recv(100).startswith(b"220")
        is_served(g.port, "127.0.0.3")
        refused = 0
        while refused < 100 and len(sockets) < most + 200:
            sockets.append(stack.enter_context(socket.create_connection(
                ("127.0.0.1", g.port), timeout=5, source_address=("127.0.0.2", 0))))
            refused += sockets[-1].recv(100).startswith(b"421")
        assert refused == 100
        is_served(g.port, "127.0.0.3")
        sink.wait(2)


def drip(sockets, octets, seconds, pause=0.1):
    """An octet now and then from each; {socket: when it was found closed}."""
    closed, end, at = {}, time.monotonic() + seconds, 0
    while time.monotonic() < end and len(closed) < len(sockets):
        for sock in sockets:
            if sock in closed:
                continue
            try:
                sock.send(octets[at % len(octets):][:1])
                if not sock.recv(4096):
                    closed[sock] = time.monotonic()
            except BlockingIOError:
                continue
            except OSError:
                closed[sock] = time.monotonic()
        at += 1
        time.sleep(pause)
    return closed


@pytest.mark.parametrize("place", ["command", "data"])
def test_slowloris(make_godwit, place):
    """An octet now and then keeps nobody's place for ever."""
    with Sink() as sink, contextlib.ExitStack() as stack:
        g = make_godwit(relay=("127.0.0.1", sink.port),
                        limits="limits { connections 1000 per-ip 500; command-timeout 2s; "
                               "data-timeout 2s }")
        sockets = {}
        for _ in range(200):
            begin = time.monotonic()
            client = stack.enter_context(Client(g.port, source="127.0.0.2"))
            if place == "data":
                client.hello()
                client.begin("a@sender.test", ["b@example.org"])
                assert client.cmd("DATA")[0] == 354
            client.sock.setblocking(False)
            sockets[client.sock] = begin
        closed = drip(sockets, b"NOOP x", 0.5)
        is_served(g.port, "127.0.0.3")
        closed |= drip(sockets.keys() - closed, b"x" * 60 + b"\r\n", 30)
        assert len(closed) == len(sockets), f"{len(closed)} closed"
        assert all(closed[sock] - begin >= 2 for sock, begin in sockets.items()), "too early"
        assert [m for m in sink.wait() if m.mail_from == "a@sender.test"]
        assert len(sink.messages) == 1, "half a message was delivered"


def open_now(g):
    return int(re.search(r"^godwit_connections (\d+)", g.api("/metrics")[1], re.M)[1])


def unread(g, source):
    """A client that pipelines for as long as it is heard, and reads nothing of the replies."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.bind((source, 0))
    s.connect(("127.0.0.1", g.port))
    s.settimeout(0.5)
    group = b"MAIL FROM:<x@y.test>\r\n" + b"RCPT TO:<a@foreign.test>\r\n" * 700 + b"RSET\r\n"
    time.sleep(0.2)  # it does not speak before the greeting
    with contextlib.suppress(OSError):
        s.sendall(b"EHLO x\r\n")
        while True:
            s.sendall(group)
    return s


def greeted(g, source):
    """A connection that was greeted; None: it was turned away."""
    client = socket.create_connection(("127.0.0.1", g.port), 5, (source, 0))
    if client.recv(3) == b"220":
        return client
    client.close()
    return None


def test_who_reads_nothing_keeps_no_place(make_godwit):
    """Its session ends, and its place is free although it still does not read."""
    g = make_godwit(trust="", limits="limits { command-timeout 1s; connections 100 per-ip 50; transactions 10000 }")
    with contextlib.closing(unread(g, "127.0.0.5")):
        assert open_now(g) == 1
        ports.wait_for(lambda: open_now(g) == 0, 20, what="its place")


def test_who_reads_nothing_goes_for_others(make_godwit):
    """It cannot be told so, and goes all the same; there are never more than there are places."""
    g = make_godwit(trust="", limits="limits { connections 2 per-ip 2; transactions 10000 }")
    with contextlib.ExitStack() as stack:
        for n in range(2):
            stack.enter_context(contextlib.closing(unread(g, f"127.0.1.{n}")))
        for n in range(2):  # as soon as each of them has done nothing for two seconds
            client = ports.wait_for(lambda n=n: greeted(g, f"127.0.2.{n}"), 15, what="a place")
            stack.enter_context(contextlib.closing(client))
            assert open_now(g) <= 2
