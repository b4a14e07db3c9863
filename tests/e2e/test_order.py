"""The order trace: a 250 is written only after the flush of the file that holds its message.

kill -9 cannot show this, since the page cache survives it; here strace watches every process from
outside. The same check must fail when the flush is left out, or it proves nothing."""

import os
import signal
import threading

from conftest import needs_root
from peers import postfix, trace
from peers.client import Client, simple_message
from peers.faults import FlushFault

pytestmark = needs_root

MESSAGES = 120
SESSIONS = 4


def send_all(port, messages=MESSAGES):
    """Messages from several sessions at once; {id: token}."""
    tokens, errors = {}, []

    def session(first):
        try:
            with Client(port, timeout=30) as client:
                client.hello()
                for n in range(first, messages, SESSIONS):
                    token = f"token-{n:06d}-end"
                    code, text = client.message("a@sender.test", ["bob@example.net"],
                                                simple_message(body=f"{token}\r\n"))
                    assert code == 250, text
                    tokens[text.split()[-1]] = token
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=session, args=(n,)) for n in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors
    return tokens


def judge(out, tokens, spool):
    with open(out, errors="replace") as lines:
        return trace.check(lines, tokens, spool)


def traced_run(make_godwit, out, env=None):
    g = make_godwit(wrapper=trace.wrapper(out), env=env, start=False)
    g.start(timeout=30)
    tokens = send_all(g.port)
    os.kill(g.pid, signal.SIGTERM)  # strace ends with it
    g.process.wait(20)
    return judge(out, tokens, g.folder / "spool")


def test_flush_before_each_250(make_godwit, scratch):
    verdict = traced_run(make_godwit, scratch / "trace")
    assert not verdict.bad, str(verdict)
    assert len(verdict.good) == MESSAGES >= 100


def test_checker_fails_without_flush(make_godwit, scratch):
    with FlushFault() as fault:
        fault.skip()
        verdict = traced_run(make_godwit, scratch / "trace", env=fault.env)
        assert fault.count > 0, "no flush was intercepted: the sabotage did not happen"
    assert not verdict.good, str(verdict)
    assert len(verdict.bad) == MESSAGES


def traced_postfix(out, env=None):
    with postfix.Postfix(domains=["example.net"], wrapper=trace.wrapper(out), env=env) as mta:
        tokens = send_all(mta.port, 20)
        queue = mta.queue
    return judge(out, tokens, queue)


def test_checker_agrees_with_postfix(peers, scratch):
    """A server known to keep the order passes, and fails without its flush."""
    assert len(traced_postfix(scratch / "trace").good) == 20
    with FlushFault() as fault:
        fault.skip()
        verdict = traced_postfix(scratch / "trace", fault.env)
        assert fault.count >= 20
    assert len(verdict.bad) == 20 and not verdict.good
