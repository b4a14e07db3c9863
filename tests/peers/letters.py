"""Numbered messages that are hard to carry, and whether they arrived octet for octet."""

import collections
import hashlib
import re

from .client import Client, simple_message

ALICE = "alice@example.net"
LINES = ["plain text\r\n", ".\r\n", "..dots\r\n", "\r\n", "x" * 900 + "\r\n", " \t\r\n"]


def content(number, size):
    """Lines of every kind, and "gr\u00fc\u00df" for the eighth bit."""
    body, at = "gr\u00fc\u00df\r\n", number
    while len(body) < size:
        body += LINES[at % len(LINES)]
        at += 1
    return f"X-Number: {number}\r\n".encode() + simple_message(f"n{number}", body).encode()


def letters(count, *large):
    """{number: content} of so many small ones, and one more of each of these sizes."""
    messages = {n: content(n, 100 + 37 * n) for n in range(count)}
    return messages | {n: content(n, size) for n, size in enumerate(large, count)}


def send(port, messages, to):
    """Number 7 goes to, for example, box7@example.org: to is "box%d@example.org". A command at a
    time, as not every server pipelines."""
    with Client(port, timeout=60) as client:
        client.hello()
        for number, data in messages.items():
            rcpt = to.replace("%d", str(number))
            commands = [f"MAIL FROM:<{ALICE}> BODY=8BITMIME", f"RCPT TO:<{rcpt}>"]
            replies = [client.cmd(command) for command in commands] + [client.data(data)]
            assert all(code == 250 for code, _ in replies), replies


def _digest(data):
    return hashlib.sha256(data.rstrip(b"\n")).hexdigest()


def arrived(paths):
    """{number: digests of everything from X-Number on}, one for each copy"""
    found = collections.defaultdict(list)
    for path in paths:
        data = path.read_bytes()
        match = re.search(rb"^X-Number: (\d+)$", data, re.M)
        if match:
            found[int(match[1])].append(_digest(data[match.start():]))
    return dict(found)


def digests(messages):
    return {n: [_digest(data.replace(b"\r\n", b"\n"))] for n, data in messages.items()}
