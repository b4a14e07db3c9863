"""Debian's HAProxy and nginx in front of a server, unpacked by tools/fetch-peers.

    with Haproxy(server_port, "send-proxy") as b:            Client(b.port, source="127.0.0.9")
    with Nginx(server_port, login="shop@own.test") as n:     its mail proxy, with XCLIENT

and the PROXY header as a test writes it: line("192.0.2.1"), packet("192.0.2.1").
"""

import contextlib
import http.server
import os
import socket
import struct
import subprocess
import threading

from . import ports, postfix

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(source, port=40000, to="127.0.0.1", to_port=25):
    return f"PROXY TCP4 {source} {to} {port} {to_port}\r\n".encode()


def packet(source=None, command=0x21, family=0x11, more=b""):
    """Version 2; without a source: no addresses."""
    ends = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(
        ">HH", 40000, 25) if source else b""
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(ends + more)) + ends + more


class Balancer:
    """A program with one configuration file, in a folder of its own."""

    def __init__(self):
        self.folder = ports.scratch("godwit-balancer-")
        self.port = ports.free_port()
        self.process = None

    def run(self, *words):
        env = dict(os.environ, LD_LIBRARY_PATH=str(postfix.PEERS / "lib"))
        self.process = subprocess.Popen(
            [str(w) for w in words], env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "out", "wb"), stderr=subprocess.STDOUT,
            preexec_fn=ports.end_with_parent)
        try:
            ports.wait_greeting(self.port)
        except TimeoutError:
            raise RuntimeError((self.folder / "out").read_text()) from None

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        ports.discard(self.folder)


HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen smtp
    bind 127.0.0.1:{port}
    server godwit 127.0.0.1:{to} {words}
"""


class Haproxy(Balancer):
    """words: "send-proxy", "send-proxy-v2 proxy-v2-options crc32c" ..."""

    def __init__(self, to, words):
        super().__init__()
        self.config = self.folder / "haproxy.cfg"
        self.config.write_text(HAPROXY.format(port=self.port, to=to, words=words))

    def __enter__(self):
        self.run(postfix.fetched("haproxy/usr/sbin/haproxy") / "haproxy/usr/sbin/haproxy", "-db",
                 "-f", self.config)
        return self


NGINX = """\
load_module {module};
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors warn;
events {{}}
mail {{
    server_name nginx.test;
    auth_http 127.0.0.1:{auth}/;
    smtp_capabilities "SIZE" "8BITMIME";
    server {{
        listen 127.0.0.1:{port};
        protocol smtp;
        smtp_auth {auth_words};
        xclient {xclient};
        proxy_protocol {proxy};
    }}
}}
"""


class Nginx(Balancer):
    """Its mail proxy. login: who logs in to it (with any password) is told to the server with
    XCLIENT LOGIN=; else nobody logs in. proxy: the PROXY header in place of XCLIENT."""

    def __init__(self, to, login=None, proxy=False):
        super().__init__()
        tree = postfix.fetched("nginx/usr/sbin/nginx") / "nginx"
        self.program = tree / "usr/sbin/nginx"

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                for name, value in (("Auth-Status", "OK"), ("Auth-Server", "127.0.0.1"),
                                    ("Auth-Port", str(to))):
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.config = self.folder / "nginx.conf"
        self.config.write_text(NGINX.format(
            module=tree / "usr/lib/nginx/modules/ngx_mail_module.so", folder=self.folder,
            auth=self.http.server_port, port=self.port, xclient="off" if proxy else "on",
            proxy="on" if proxy else "off", auth_words="plain" if login else "none"))

    def __enter__(self):
        self.run(self.program, "-p", self.folder, "-c", self.config)
        return self

    def __exit__(self, *words):
        super().__exit__(*words)
        with contextlib.suppress(OSError):
            self.http.shutdown()
        self.http.server_close()
