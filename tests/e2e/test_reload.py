"""Reload: a configuration comes in force in all processes or in none, while mail flows."""

import os
import signal
import smtplib
import socket
import ssl
import threading
import time

import pytest

from conftest import LONG, needs_processes
from peers import certs, ledger, ports
from peers import godwit as godwit_peer
from peers.godwit import session_pids
from peers.sink import Sink

ROUNDS = 100


def edit(g, text):
    g.config_path.write_text(text)


def generation_of(g):
    """Whether all processes are there or not, which the verb would say."""
    return g.api("/v1/status")[1]["generation"]


def reload(g, *words):
    """(exit code, generation that is in force then, all that was said)"""
    done = g.run("reload", *words)
    return done.returncode, generation_of(g), done.stdout + done.stderr


def must_reload(g, text=None):
    if text is not None:
        edit(g, text)
    before = generation_of(g)
    code, generation, said = reload(g)
    assert (code, generation) == (0, before + 1), said
    return said


def must_refuse(g, text, *words):
    """Nothing changes, and it is told why: to the caller, in the log and by the metric."""
    before = generation_of(g)
    refusals = len(g.log_lines("config.refused"))
    old = g.config_path.read_text()
    edit(g, text)
    code, generation, said = reload(g)
    edit(g, old)
    assert (code, generation) == (1, before), said
    assert f"generation {before} stays in force" in said
    for word in words:
        assert word in said, said
    lines = g.log_lines("config.refused")
    assert len(lines) == refusals + 1
    assert "godwit_config_last_reload_success 0" in g.api("/metrics")[1]
    return lines[-1]["reason"]


def text_of(g):
    return g.config_path.read_text()


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def send(port, to, tls=None):
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as s:
        if tls:
            s.starttls(context=tls)
        s.sendmail("ann@src.test", [to], "Subject: test\r\n\r\nHello\r\n")


def all_there(g):
    """Every process was there once: before that a reload waits, and whoever is stopped meanwhile too."""
    g.wait_log("config.loaded", generation=1)
    return g


@pytest.fixture
def g(make_godwit):
    return all_there(make_godwit())


# ---- what is read -----------------------------------------------------------------------------


def test_files_with_mistakes(g):
    text = text_of(g)
    reason = must_refuse(g, text + "bogus 1\n", "unknown setting 'bogus'", "       = hint")
    assert reason.startswith(f"{g.config_path}:{len(text.splitlines()) + 1}:1: error: ")
    must_refuse(g, text + f"include {g.folder}/none.conf\n", "none.conf")
    must_refuse(g, text + f"aliases {g.folder}/none\n", f"{g.folder}/none")
    users = g.folder / "broken-users"
    users.write_text("ann@example.net nonsense\n")
    users.chmod(0o600)
    must_refuse(g, text + f"users file {users}\n", str(users))
    # All the same it can be asked and told: the socket is where it was.
    edit(g, "nonsense {\n" + text)
    assert "generation 1" in g.cli("status")
    edit(g, text)
    must_reload(g)
    assert "godwit_config_last_reload_success 1" in g.api("/metrics")[1]
    assert "godwit_config_generation 2" in g.api("/metrics")[1]


def test_hangup(g):
    edit(g, text_of(g) + "domain more.test { deliver reject \"550 5.1.1 no\" }\n")
    os.kill(g.pid, signal.SIGHUP)
    line = g.wait_log("config.loaded", generation=2)[0]
    assert float(line["took"]) < 5
    edit(g, "bogus\n")
    os.kill(g.pid, signal.SIGHUP)
    assert "bogus" in g.wait_log("config.refused")[0]["reason"]
    assert g.api("/v1/status")[1]["generation"] == 2


def test_confirm(g):
    text = text_of(g)
    edit(g, text + "domain more.test { deliver reject \"550 5.1.1 no\" }\n")
    code, generation, said = reload(g, "--confirm", "3s")
    assert code == 0 and generation == 2 and "goes back in 3 s" in said
    assert "more.test" in g.api("/v1/config")[1]["text"]
    g.wait_log("config.loaded", generation=3)
    assert "more.test" not in g.api("/v1/config")[1]["text"]
    code, generation, said = reload(g, "--confirm", "3s")
    assert code == 0 and generation == 4
    done = g.run("reload", "--keep")
    assert done.returncode == 0 and "generation 4 stays" in done.stdout
    assert g.run("reload", "--keep").returncode == 1
    time.sleep(3.5)
    assert generation_of(g) == 4
    assert g.log_lines("config.kept")


def test_what_needs_a_start(g):
    text = text_of(g)
    said = must_reload(g, text.replace(f"{g.folder}/spool", f"{g.folder}/spool2")
                       .replace("reserve 16M", "reserve 32M"))
    assert "takes effect at the next start: spool store" in said
    assert not (g.folder / "spool2").exists()
    # What starts again on the way goes by what runs.
    g.expected_alarms |= {"role.died"}
    g.kill9("queue")
    g.wait_log("role.started", role="queue", count=2)
    send(g.port, "bob@example.net")
    g.wait_mail(1)
    assert not (g.folder / "spool2").exists()


def test_diff(g):
    """What a reload would change, before it does."""
    text, port = text_of(g), ports.free_port()
    assert g.cli("config", "diff").strip().splitlines()[-1] == "nothing would change"
    must_reload(g, text + "vmta a { helo a.test }\n")
    edit(g, text.replace("connections 20;", "connections 10;").replace("reserve 16M", "reserve 32M")
         + f"listen mx 127.0.0.1:{port}\n")
    done = g.run("config", "diff")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    last = len(text.splitlines()) + 1
    assert any(x.startswith(f"+ listen mx 127.0.0.1:{port} ") and x.endswith(f"godwit.conf:{last}")
               for x in lines), lines
    assert any(x.startswith("- vmta a ") for x in lines), lines
    assert any(x.startswith("~ shape *: connections 20 total off -> connections 10 total off")
               for x in lines), lines
    assert any(x.startswith("~ store: reserve 16M -> reserve 32M") and "at the next start" in x
               for x in lines), lines
    assert lines[-1].startswith("1 of 4 take effect")
    found = g.cli("config", "diff", json_output=True)
    assert [x["change"] for x in found].count("~") == 2
    assert generation_of(g) == 2


# ---- listeners ---------------------------------------------------------------------------------


def test_listeners(g):
    text, port = text_of(g), ports.free_port()
    must_reload(g, text + f"listen mx 127.0.0.1:{port} {{ banner first }}\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as open_one:
        assert f"127.0.0.1:{port}" in g.status()["listen"]
        send(port, "bob@example.net")
        must_reload(g, text)
        assert refused(port)
        # Who is in stays, and goes by what was.
        assert open_one.noop()[0] == 250
        open_one.sendmail("ann@src.test", ["bob@example.net"], "Subject: x\r\n\r\nx\r\n")
    must_reload(g, text + f"listen mx 127.0.0.1:{port} {{ banner second }}\n")
    s = smtplib.SMTP()
    assert b"second" in s.connect("127.0.0.1", port)[1]
    # Its socket stays, what is said there changes.
    must_reload(g, text + f"listen mx 127.0.0.1:{port} {{ banner third }}\n")
    t = smtplib.SMTP()
    assert b"third" in t.connect("127.0.0.1", port)[1]
    assert s.noop()[0] == 250
    g.wait_mail(2)


def test_wider_address(g):
    """From one address to all of them: our own socket is in nobody's way."""
    text, port = text_of(g), ports.free_port()
    must_reload(g, text + f"listen mx 127.0.0.1:{port}\n")
    must_reload(g, text + f"listen mx 0.0.0.0:{port}\n")
    send(port, "bob@example.net")
    must_reload(g, text + f"listen mx 127.0.0.1:{port}\n")
    send(port, "bob@example.net")


def test_port_in_use(g):
    text, free = text_of(g), ports.free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        line = f"listen mx 127.0.0.1:{taken}\n"
        must_refuse(g, text + f"listen mx 127.0.0.1:{free}\n" + line, "cannot listen", str(taken))
    assert refused(free)
    must_reload(g, text + line)


# ---- certificates -------------------------------------------------------------------------------


def test_certificates(make_godwit, tmp_path):
    ca = certs.Authority(tmp_path)
    first, second, third = (ca.issue(f"{n}.mx.test", file=n) for n in ("one", "two", "three"))
    g = make_godwit(tls=[first])
    text = text_of(g)

    def names(server):
        context = ssl.create_default_context(cafile=str(ca.cert))
        context.check_hostname = False
        with smtplib.SMTP("127.0.0.1", g.port, timeout=10) as s:
            s.ehlo()
            s.docmd("STARTTLS")
            with context.wrap_socket(s.sock, server_hostname=server) as t:
                return [v for _, v in t.getpeercert()["subjectAltName"]]

    context = ssl._create_unverified_context()
    with smtplib.SMTP("127.0.0.1", g.port, timeout=10) as open_one:
        open_one.starttls(context=context)
        assert names("one.mx.test") == ["one.mx.test"]
        must_reload(g, text.replace(str(first[0]), str(second[0])).replace(str(first[1]), str(second[1])))
        assert names("one.mx.test") == ["two.mx.test"]
        # The numbers of the pairs change places, and one more comes.
        must_reload(g, text + f"tls file {third[0]} {third[1]}\ntls file {second[0]} {second[1]}\n")
        assert [names(f"{n}.mx.test")[0][:3] for n in ("one", "two", "three")] == ["one", "two", "thr"]
        must_refuse(g, text + f"tls file {first[0]} {second[1]}\n", str(first[0]), "error: ")
        assert [names(f"{n}.mx.test")[0][:3] for n in ("one", "two", "three")] == ["one", "two", "thr"]
        assert open_one.noop()[0] == 250
        open_one.sendmail("ann@src.test", ["bob@example.net"], "Subject: x\r\n\r\nx\r\n")
    must_reload(g, text)
    assert names("two.mx.test") == ["one.mx.test"]


# ---- mail that waits ------------------------------------------------------------------------------


def certificate_of(g):
    """The one that is shown, whoever signed it."""
    stranger = ssl._create_unverified_context()
    with smtplib.SMTP("127.0.0.1", g.port, timeout=20) as client:
        client.starttls(context=stranger)
        return client.sock.getpeercert(binary_form=True)


def test_the_certificate_of_its_own(g):
    """Who pinned it notices nothing of a reload; another name is another certificate."""
    first = certificate_of(g)
    must_reload(g, text_of(g) + "vmta other { helo other.test }\n")
    assert certificate_of(g) == first
    must_reload(g, text_of(g).replace("mx.test", "mail.test", 1))
    ports.wait_for(lambda: certificate_of(g) != first, 10, what="a certificate of the new name")


def test_routed_anew(make_godwit):
    with Sink() as first, Sink() as second:
        first.reply_at("rcpt", "451 4.3.0 not now")
        g = make_godwit(relay=("127.0.0.1", first.port), retry="2s")
        send(g.port, "bob@far.test")
        g.wait_log("deferred")
        must_reload(g, text_of(g).replace(str(first.port), str(second.port)))
        second.wait(1)
        g.wait_idle()


@needs_processes
def test_new_places(g):
    """Directories and programs that the mda could not reach before: it starts again by itself."""
    text = text_of(g)
    mda = g.role_pid("mda")
    program = g.folder / "took"
    must_reload(g, text + f"domain new.test {{ deliver maildir {g.folder}/more/%u }}\n"
                f"domain pipe.test {{ deliver pipe /bin/sh -c \"cat >{program}\" }}\n"
                if os.geteuid() != 0 else
                text + f"domain new.test {{ deliver maildir {g.maildir}/more/%d/%u }}\n"
                f"domain other.test {{ deliver maildir {g.folder}/other/%u }}\n")
    send(g.port, "bob@new.test")
    g.wait_log("delivered", to="bob@new.test")
    assert g.role_pid("mda") != mda
    assert not g.log_lines("role.died")


@needs_processes
def test_resolver(g):
    """Its library is set up before its jail: another server means another process."""
    pid, sender = g.role_pid("resolver"), g.role_pid("sender")
    said = must_reload(g, text_of(g) + "resolver { forward 127.0.0.1:5399 }\n")
    # It is there when the operator hears of it; if that takes long, he hears so.
    if "resolver 0 is started again for this" not in said:
        assert g.run("status").returncode == 0
        assert g.roles()["resolver"] != [pid]
    ports.wait_for(lambda: g.roles().get("resolver", [pid]) != [pid], 10, what="another resolver")
    assert g.role_pid("sender") == sender
    assert not g.log_lines("role.died")


@needs_processes
def test_sender_that_is_busy(make_godwit):
    """It ends what it has in hand before it starts again: a reload does not wait for that, and says so."""
    with Sink(dot_delay=3) as sink:
        g = all_there(make_godwit(relay=("127.0.0.1", sink.port)))
        before = set(g.roles()["sender"])
        send(g.port, "bob@far.test")
        ports.wait_for(lambda: sink.dots, what="a message in hand")
        other = g.folder / "other.pem"
        other.write_bytes(godwit_peer.one_authority(g.folder).read_bytes())
        other.chmod(0o644)
        begin = time.monotonic()
        said = must_reload(g, text_of(g).replace(str(godwit_peer.one_authority(g.folder)), str(other)))
        assert "is started again for this, and ends what it has in hand first" in said
        assert not sink.accepted() or time.monotonic() - begin > 2.5
        sink.wait(1)
        g.wait_idle()
        ports.wait_for(lambda: len(g.roles()["sender"]) == len(before)
                       and not before & set(g.roles()["sender"]), what="other senders")
        assert len(sink.accepted()) == 1
        ports.wait_for(lambda: g.run("status").returncode == 0, what="all of them")


# ---- processes that do not do their part -------------------------------------------------------------


@needs_processes
@pytest.mark.parametrize("role", ["vault", "sender", "queue"])
def test_no_answer(g, role):
    pid = g.role_pid(role)
    before = generation_of(g)
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    done = g.run("reload", timeout=60)
    assert time.monotonic() - started > 4
    again = g.run("reload", timeout=60)
    assert again.returncode == 1 and "the last configuration is not answered yet" in again.stderr
    threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
    # Whoever comes now waits for the answer that is owed.
    assert g.run("reload", timeout=60).returncode == 0
    assert done.returncode == 1 and f"{role} 0" in done.stderr + done.stdout
    assert "no answer within 5 seconds" in done.stderr
    assert generation_of(g) == before + 1
    assert g.role_pid(role) == pid
    send(g.port, "bob@example.net")
    g.wait_mail(1)


@needs_processes
def test_end_while_an_answer_is_owed(g):
    """Master waits for who owes an answer; then it is told to end, and the debtor ends first."""
    g.expected_alarms |= {"role.died"}
    debtor, slow, process = g.role_pid("mda"), g.role_pid("sender"), g.process
    os.kill(debtor, signal.SIGSTOP)
    assert "no answer within 5 seconds" in g.run("reload", timeout=60).stderr
    os.kill(slow, signal.SIGSTOP)
    os.kill(g.pid, signal.SIGHUP)
    os.kill(g.pid, signal.SIGTERM)
    ports.wait_for(lambda: not g.roles().get("smtpd"), what="the end of those who take mail in")
    os.kill(debtor, signal.SIGKILL)
    # The one that stands still is killed when its time is over, long after the answer's.
    assert process.wait(30) == 0
    assert len(g.log_lines("config.loaded")) == 1


@needs_processes
@pytest.mark.parametrize("role", ["smtpd", "queue", "mda", "control"])
def test_death_in_the_middle(g, role):
    g.expected_alarms |= {"role.died"}

    def decided():
        return len(g.log_lines("config.loaded")) + len(g.log_lines("config.refused"))

    # Nobody says that all are asked now. One that ends before is started again, and asked then.
    for pause in (0.3, 1, 3):
        before, pid = decided(), g.role_pid(role)
        os.kill(pid, signal.SIGSTOP)
        os.kill(g.pid, signal.SIGHUP)
        time.sleep(pause)
        os.kill(pid, signal.SIGKILL)
        ports.wait_for(lambda n=before: decided() > n, 20, what="an end of the reload")
        if g.log_lines("config.refused"):
            break
    assert "ended meanwhile" in g.log_lines("config.refused")[0]["reason"]
    g.wait_ready()
    ports.wait_for(lambda: g.run("reload").returncode == 0, 10, what="a reload after that")
    send(g.port, "bob@example.net")
    g.wait_mail(1)
    assert generation_of(g) == len(g.log_lines("config.loaded"))


# ---- all of it, many times -----------------------------------------------------------------------------


class Sessions(ledger.Load):
    """Counts the connections it lost."""
    lost = 0

    def _connection(self):
        try:
            super()._connection()
        except (OSError, ledger.Closed):
            self.lost += 1
            raise


def measure(g):
    """{pid: (kB in memory, descriptors)}"""
    found = {}
    for pid in session_pids(g.process.pid):
        try:
            status = open(f"/proc/{pid}/status").read()
            rss = int(status.split("VmRSS:")[1].split()[0])
            found[pid] = rss, len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, IndexError):
            pass
    return found


def send_by_tls(g, stop, book, failures):
    context = ssl._create_unverified_context()
    while not stop.is_set():
        try:
            with smtplib.SMTP("127.0.0.1", g.port, timeout=20) as s:
                s.starttls(context=context)
                for _ in range(5):
                    s.sendmail("ann@src.test", [f"tls{len(book)}@example.org"],
                               f"Subject: {len(book)}\r\n\r\nx\r\n")
                    book.append(len(book))
        except (OSError, smtplib.SMTPException) as e:
            failures.append(e)


def test_under_load(make_godwit, tmp_path):
    ca = certs.Authority(tmp_path)
    pairs = [ca.issue("mx.test", file=f"pair{i}") for i in range(2)]
    with Sink() as sink:
        g = make_godwit(relay=("127.0.0.1", sink.port), tls=[pairs[0]], expire="10m")
        text = text_of(g)
        book = ledger.Ledger()
        by_tls, failures, stop = [], [], threading.Event()
        tls_arrived = []

        def arrived(message):
            if message.rcpts and message.rcpts[0].startswith("tls"):
                tls_arrived.append(message.rcpts[0])
            else:
                book.arrived(message)

        sink.on_message = arrived
        load = Sessions(book, g.port, sessions=3, pace=0.01, reuse=20)
        threads = [threading.Thread(target=send_by_tls, args=(g, stop, by_tls, failures), daemon=True)]
        idle = [smtplib.SMTP("127.0.0.1", g.port, timeout=60) for _ in range(3)]
        load.start()
        threads[0].start()
        generation, port, before, took = 1, ports.free_port(), None, []
        for i in range(ROUNDS if not os.environ.get("GODWIT_ONE_PROCESS") else 30):
            if i == 20:
                before = measure(g)
            kind = i % 4
            if kind == 1:
                edit(g, text + f"listen mx 127.0.0.1:{port}\nlisten mx 127.0.0.1:{port + 1}\n"
                     .replace(str(port + 1), str(ports.free_port())))
            elif kind == 2:
                edit(g, text + f"listen mx 127.0.0.1:{port}\nbogus {i}\n")
            elif kind == 3:
                edit(g, text.replace(str(pairs[0][0]), str(pairs[1][0]))
                     .replace(str(pairs[0][1]), str(pairs[1][1]))
                     + f"domain d{i}.test {{ deliver reject \"550 5.1.1 no\" }}\n")
            else:
                edit(g, text + "shape far { domain far.test; connections 3 }\n" * (i % 8 == 0))
            status, answer = g.api("/v1/reload", "POST", {})
            assert status == 200
            assert answer["active"] == (kind != 2), answer
            generation += kind != 2
            assert answer["generation"] == generation
            took.append(answer["took_usec"])
            if kind == 1:
                send(port, "bob@example.net")
            if kind == 3:
                assert refused(port)
            time.sleep(0.02)
        # Within a second; a single one may be held up by what else the machine has to do.
        assert sorted(took)[len(took) * 9 // 10] < 1000000, took
        assert generation_of(g) == generation
        after = measure(g)
        load.stop()
        stop.set()
        threads[0].join(30)
        assert [s.noop()[0] for s in idle] == [250] * 3
        for s in idle:
            s.sendmail("ann@src.test", ["bob@example.net"], "Subject: x\r\n\r\nx\r\n")
            s.quit()
        g.wait_idle(60)
        verdict = book.verdict()
        assert not book.clean(verdict), (dict(verdict), book.missing()[:5])
        assert load.lost == 0 and not failures, (load.lost, failures[:3])
        assert verdict["n_acked"] > 100 and len(by_tls) > 20
        ports.wait_for(lambda: len(tls_arrived) >= len(by_tls), 10, what="all by TLS")
        assert sorted(set(tls_arrived)) == sorted(tls_arrived)
        assert not sink.violations
        # Nobody keeps what is over: neither memory nor descriptors grow with the reloads.
        assert set(after) == set(before), "a process was replaced"
        grown = {pid: (after[pid], before[pid]) for pid in after
                 if after[pid][0] > before[pid][0] * 1.3 + 8192
                 or after[pid][1] > before[pid][1] + 25}
        assert not grown, grown
        assert set(session_pids(g.process.pid)) == set(before) or not LONG
