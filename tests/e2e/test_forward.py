"""Mail that goes on: lists with included members and an owner, aliases of whole addresses, return
paths that SRS makes, and files of addresses that users have themselves."""

import os
import re
import time

import pytest

from peers import godwit as godwit_peer
from peers.client import Client, simple_message
from peers.ports import wait_for

RUN_AS = "run-as nobody" if os.geteuid() == 0 and not godwit_peer.has_user("godwit") else ""

LISTS = """\
hostname  mx.ours.test
listen    mx 127.0.0.1:@PORT@
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
aliases   @DIR@/aliases.all
domain    ours.test {{ deliver maildir @MAIL@/%u; recipients file @DIR@/users
                       aliases @DIR@/aliases }}
domain    second.test {{ deliver maildir @MAIL@/second-%u; recipients file @DIR@/users }}
srs       {{ domain ours.test; secret file:@DIR@/srs.secret }}
route to domain other.test via relay 127.0.0.1:{other}
route to any via relay 127.0.0.1:{sink}
shape *   {{ retry 1s; expire 60s }}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""


def put(g, name, text, mode=0o644):
    """As an editor does it: another file in its place."""
    path = g.folder / name
    fresh = g.folder / (name + ".new")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.rename(path)


def make_lists(make_godwit, sink_port, other_port=1):
    g = make_godwit(LISTS.format(run_as=RUN_AS, sink=sink_port, other=other_port), start=False)
    put(g, "users", "alice\nbob\npostmaster\n")
    put(g, "srs.secret", "the secret of this test\n", 0o640)
    put(g, "members", "# who is in it\none@far.test, two@far.test\nalice\n\n"
        f":include:{g.folder}/more\n")
    put(g, "more", "three@far.test\n")
    put(g, "aliases", f"list: :include:{g.folder}/members\nowner-list: bob\n"
        "out: gone@far.test\n")
    put(g, "aliases.all", "staff: bob@ours.test\ninfo@second.test: alice@ours.test, bob\n"
        "@second.test: alice@ours.test\n")
    return g.start()


@pytest.fixture
def lists(make_godwit, sink):
    return make_lists(make_godwit, sink.port)


def rcpt(g, sender, address):
    with Client(g.port) as c:
        c.hello()
        assert c.cmd(f"MAIL FROM:<{sender}>")[0] == 250
        return c.cmd(f"RCPT TO:<{address}>")


def send(g, sender, *addresses, body=None):
    with Client(g.port) as c:
        c.hello()
        code, text = c.message(sender, list(addresses), body or simple_message())
        assert code == 250, (code, text)
        return text.split()[-1]


def boxes(g):
    found = {}
    for path in g.mail():
        found.setdefault(path.parts[-3], []).append(path.read_text(errors="replace"))
    return found


def test_a_list_has_included_members_and_an_owner(lists, sink):
    sink.reply_to("two@far.test", "550 5.1.1 no such user")
    send(lists, "poster@away.test", "list@ours.test")
    lists.wait_idle()
    assert sorted(sink.wait_recipients(2)) == ["one@far.test", "three@far.test"]
    assert {m.mail_from for m in sink.messages} == {"owner-list@ours.test"}
    box = wait_for(lambda: (lambda b: b if {"alice", "bob"} <= set(b) else None)(boxes(lists)),
                   what="a member and the owner have mail")
    assert "Return-Path: <owner-list@ours.test>" in box["alice"][0]
    # Who is not there any more is told to the owner, not to who wrote to the list.
    assert len(box["bob"]) == 1 and "two@far.test" in box["bob"][0]
    assert not any("poster@away.test" in m.rcpts for m in sink.messages)
    # What comes from nobody is answered to nobody.
    sink.messages.clear()
    send(lists, "", "list@ours.test")
    lists.wait_idle()
    assert {m.mail_from for m in sink.messages} == {""}


def test_an_included_file_is_watched(lists, sink):
    def reaches_four():
        """Whoever takes the message: only one of the receivers says in the log what it has read."""
        sink.messages.clear()
        send(lists, "poster@away.test", "list@ours.test")
        lists.wait_idle()
        taken = [r for m in sink.messages for r in m.rcpts]
        return taken if "four@far.test" in taken else None

    put(lists, "more", "four@far.test\n")
    assert "three@far.test" not in wait_for(reaches_four, what="the new member")
    # A mistake in it is told with its own name and line, and the members stay.
    put(lists, "more", "five@far.test\n|/bin/sh\n")
    line = lists.wait_log("recipients.refused")[0]
    assert line["file"].endswith("/more") and line["line"] == "2"
    assert "deliver pipe" in line["reason"]
    assert rcpt(lists, "x@away.test", "list@ours.test")[0] == 250
    # One that is gone: the same.
    (lists.folder / "more").unlink()
    assert "/more" in lists.wait_log("file.lost")[0]["reason"]
    assert wait_for(reaches_four, what="the member that stayed")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_list_does_not_tell_what_its_writer_may_not_read(lists):
    """The writer of a list points it at a file that only root may read: with a link, and by naming
    it in his own list."""
    put(lists, "secrets", "root-only@far.test\n", 0o600)
    (lists.folder / "more").unlink()
    (lists.folder / "more").symlink_to(lists.folder / "secrets")
    line = lists.wait_log("file.lost")[0]
    assert "not everybody may read it" in line["reason"]
    (lists.folder / "more").unlink()
    put(lists, "more", f":include:{lists.folder}/secrets\n")
    wait_for(lambda: any("only the aliases file itself" in l["reason"]
                         for l in lists.log_lines("file.lost")), what="refused")


def test_whole_addresses_and_the_rest_of_a_domain(lists):
    send(lists, "x@away.test", "info@second.test")
    send(lists, "x@away.test", "whoever@second.test")
    send(lists, "x@away.test", "staff@second.test")
    send(lists, "x@away.test", "bob@second.test")
    lists.wait_idle()
    box = {name: len(mail) for name, mail in boxes(lists).items()}
    assert box == {"alice": 2, "bob": 1, "second-bob": 2}
    assert rcpt(lists, "x@away.test", "info@ours.test")[0] == 550


def test_what_leaves_by_an_alias_has_a_return_path_of_ours(lists, sink):
    send(lists, "alice@away.test", "out@ours.test")
    send(lists, "alice@ours.test", "out@ours.test")
    lists.wait_idle()
    paths = [m.mail_from for m in sink.wait(2)]
    assert "alice@ours.test" in paths
    path = next(p for p in paths if p != "alice@ours.test")
    assert re.fullmatch(r"SRS0=[A-Za-z0-9+/]{6}=[A-Z2-7]{2}=away\.test=alice@ours\.test", path)
    # It takes reports, and nothing else.
    assert rcpt(lists, "", path)[0] == 250
    assert rcpt(lists, "x@away.test", path) == (550, "5.7.1 This return path takes reports alone, "
                                                "from the null sender")
    forged = path.replace("=away.test=", "=victim.test=")
    code, text = rcpt(lists, "", forged)
    assert code == 550 and text == "5.1.1 This return path was not made here"
    assert rcpt(lists, "", "SRS0=x@ours.test")[0] == 550
    assert rcpt(lists, "", path.replace("ours.test", "second.test"))[0] in (250, 550)
    sink.messages.clear()
    send(lists, "", path)
    lists.wait_idle()
    assert sink.messages[0].rcpts == ["alice@away.test"]


SECOND = """\
hostname  mx.other.test
listen    mx 127.0.0.1:@PORT@
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
domain    other.test {{ deliver relay 127.0.0.1:{sink}; recipients file @DIR@/users }}
route to any via relay 127.0.0.1:{first}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""


def test_a_report_finds_its_way_home_through_two_servers(make_godwit, sink):
    """away.test -> ours.test -> other.test, which takes it and cannot deliver it, or refuses it."""
    text = SECOND.format(run_as=RUN_AS, sink=sink.port, first="@FIRST@")
    second = make_godwit(text, start=False)
    first = make_lists(make_godwit, sink.port, second.port)
    conf = second.folder / "godwit.conf"
    conf.write_text(conf.read_text().replace("@FIRST@", str(first.port)))
    put(second, "users", "reader\n")
    second.start()
    put(first, "aliases", "fwd: reader@other.test\nlost: nobody@other.test\n")
    wait_for(lambda: rcpt(first, "x@y.test", "fwd@ours.test")[0] == 250, what="the alias")
    sink.reply_to("reader@other.test", "550 5.2.1 mailbox closed")
    for to, words in (("fwd@ours.test", b"mailbox closed"), ("lost@ours.test", b"not known here")):
        sink.messages.clear()
        send(first, "alice@away.test", to)
        report = sink.wait(1)[0]
        assert report.rcpts == ["alice@away.test"] and report.mail_from == ""
        assert words in report.data
    assert second.log_lines("bounced") and first.log_lines("bounced")


# ---- users' own files --------------------------------------------------------------------------

HOMES = """\
hostname  mx.ours.test
listen    mx 127.0.0.1:@PORT@
spool     @DIR@/spool
control   @DIR@/control.sock
log       file @DIR@/godwit.log
{run_as}
domain    ours.test {{ deliver maildir @MAIL@/%u/Maildir; recipients file @DIR@/users
                       forward @MAIL@/%u/.forward; aliases @DIR@/aliases }}
srs       {{ domain ours.test; secret file:@DIR@/srs.secret }}
route to any via relay 127.0.0.1:{sink}
shape *   {{ retry 1s; expire 60s }}
store     {{ segment 8M; reserve 16M; spares 1 }}
"""
USERS = ["alice", "bob", "carol", "dave"]
UID = {name: 30001 + i for i, name in enumerate(USERS)}


@pytest.fixture
def homes(make_godwit, sink):
    g = make_godwit(HOMES.format(run_as=RUN_AS, sink=sink.port), start=False)
    put(g, "users", "\n".join(USERS) + "\n")
    put(g, "srs.secret", "the secret of this test\n", 0o640)
    put(g, "aliases", "both: alice, bob\nown: own-nobody@far.test\n")
    g.mail_folder = next(p for p in (g.folder / "mail", g.folder) if p.exists())
    os.chmod(g.folder, 0o755)
    os.chmod(g.mail_folder, 0o755)
    for name in USERS:
        home = g.mail_folder / name
        home.mkdir()
        own(home, name)
    return g.start()


def own(path, name):
    if os.geteuid() == 0:
        os.chown(path, UID[name], UID[name], follow_symlinks=False)


def forward(g, name, text, mode=0o644):
    path = g.mail_folder / name / ".forward"
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)
    own(path, name)
    return path


def mail_of(g, name):
    return [p.read_text(errors="replace") for p in (g.mail_folder / name).glob("Maildir/new/*")]


def test_mail_goes_on_to_where_its_owner_says(homes, sink):
    forward(homes, "bob", "# on holiday\nfriend@far.test, carol\n\\bob\n")
    sent = send(homes, "x@away.test", "bob@ours.test")
    homes.wait_idle()
    taken = sink.wait(1)[0]
    assert taken.rcpts == ["friend@far.test"]
    assert re.match(r"SRS0=.*=away\.test=x@ours\.test$", taken.mail_from)
    assert taken.data.startswith(b"Delivered-To: bob@ours.test\r\n")
    kept, other = mail_of(homes, "bob"), mail_of(homes, "carol")
    assert len(kept) == len(other) == 1
    assert "Return-Path: <x@away.test>" in other[0]
    assert "Delivered-To: carol@ours.test\nDelivered-To: bob@ours.test\n" in other[0]
    assert len(homes.wait_log("expanded", id=sent)) == 1
    # A report is not rewritten, and a failure there is told to who wrote it.
    sink.messages.clear()
    sink.reply_to("friend@far.test", "550 5.1.1 no such user", times=1)
    send(homes, "", "bob@ours.test")
    send(homes, "x@away.test", "bob@ours.test")
    homes.wait_idle()
    assert len(mail_of(homes, "bob")) == 3
    for message in sink.messages:
        assert message.mail_from == "" or message.mail_from.startswith("SRS0=")


def test_two_who_send_their_mail_to_each_other(homes, sink):
    forward(homes, "alice", "bob\n")
    forward(homes, "bob", "alice@ours.test\n")
    send(homes, "x@away.test", "both@ours.test")
    homes.wait_idle()
    assert len(homes.log_lines("expanded")) == 4
    assert mail_of(homes, "alice") == mail_of(homes, "bob") == []
    reports = [m for m in sink.wait(2) if m.rcpts == ["x@away.test"]]
    assert len(reports) == 2 and all(b"5.4.6" in m.data for m in reports)
    # With a copy on the way it stays there, once.
    forward(homes, "bob", "alice@ours.test, \\bob\n")
    send(homes, "x@away.test", "alice@ours.test")
    homes.wait_idle()
    assert len(mail_of(homes, "bob")) == 1


def hostile_link(home):
    (home / ".forward").symlink_to("/etc/passwd")


def hostile_fifo(home):
    os.mkfifo(home / ".forward")


def hostile_folder(home):
    (home / ".forward").mkdir()


def hostile_large(home):
    (home / ".forward").write_text("x@far.test\n" * 1_000_000)


def hostile_program(home):
    (home / ".forward").write_text("ok@far.test\n\"|/bin/sh -c id\"\n")


def hostile_file(home):
    (home / ".forward").write_text("/etc/shadow\n")


def hostile_include(home):
    (home / ".forward").write_text(":include:/etc/shadow\n")


def hostile_octets(home):
    (home / ".forward").write_bytes(bytes(range(256)) * 8)


def hostile_many(home):
    (home / ".forward").write_text("".join(f"u{i}@far.test\n" for i in range(101)))


def hostile_writable(home):
    (home / ".forward").write_text("thief@far.test\n")
    (home / ".forward").chmod(0o666)


def hostile_stranger(home):
    (home / ".forward").write_text("nosuch@ours.test\n")


HOSTILE = {hostile_link: "symbolic link", hostile_fifo: "not a plain file",
           hostile_folder: "not a plain file", hostile_large: "larger than 64 KiB",
           hostile_program: "programs are not run", hostile_file: "files are not written",
           hostile_include: ":include: is not read", hostile_octets: "no text",
           hostile_many: "more than 100", hostile_writable: "others may write to it",
           hostile_stranger: "not known here"}


def test_hostile_files_keep_the_mail_where_it_is(homes, sink):
    """Nothing of them is followed, and nobody hears what is in them: not the sender, not the log."""
    path = homes.mail_folder / "dave" / ".forward"
    for number, (make, reason) in enumerate(HOSTILE.items(), 1):
        make(path.parent)
        if make is not hostile_link:
            own(path, "dave")
        sent = send(homes, "x@away.test", "dave@ours.test")
        homes.wait_idle()
        assert reason in homes.wait_log("forward.ignored", id=sent)[0]["reason"], make
        assert len(mail_of(homes, "dave")) == number, make
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    # Of another user, and in a folder that others may write to.
    if os.geteuid() == 0:
        own(forward(homes, "dave", "thief@far.test\n"), "bob")
        sent = send(homes, "x@away.test", "dave@ours.test")
        assert "somebody else" in homes.wait_log("forward.ignored", id=sent)[0]["reason"]
    forward(homes, "dave", "thief@far.test\n")
    path.parent.chmod(0o777)
    sent = send(homes, "x@away.test", "dave@ours.test")
    assert "its directory" in homes.wait_log("forward.ignored", id=sent)[0]["reason"]
    homes.wait_idle()
    assert sink.messages == []
    assert "root:" not in homes.log_text()


@pytest.mark.skipif(godwit_peer.ONE_PROCESS, reason="GODWIT_ONE_PROCESS=1")
def test_each_target_once_whoever_is_killed(homes, sink):
    """The queue and the mda are killed while mail goes on: each message is at each of its targets,
    in a mailbox exactly once, at the sink once unless a sender or the queue died over it."""
    count = 200 if os.environ.get("GODWIT_LONG") == "1" else 100
    homes.expected_alarms |= {"role.died"}
    forward(homes, "bob", "friend@far.test\ncarol\n\\bob\n")
    sent = []
    for number in range(count):
        body = simple_message(f"number {number}") if number % 2 else (
            f"Subject: number {number}\r\n\r\n" + "x" * 70 + "\r\n")
        try:
            sent.append((number, send(homes, f"s{number}@away.test", "bob@ours.test", body=body)))
        except (OSError, EOFError, AssertionError):
            time.sleep(0.1)
        if number % 12 == 5:
            homes.kill9(("mda", "queue")[number // 12 % 2])
    homes.wait_idle(40)
    assert len(sent) > count / 2
    expanded = {line["id"] for line in homes.log_lines("expanded")}
    assert {id for _, id in sent} <= expanded
    for name in ("bob", "carol"):
        senders = [re.search(r"Return-Path: <(s\d+)@", text).group(1)
                   for text in mail_of(homes, name)]
        assert len(senders) == len(set(senders))
        assert {f"s{number}" for number, _ in sent} <= set(senders)
    arrived = [re.search(r"=(s\d+)@", m.mail_from).group(1) for m in sink.accepted()]
    assert {f"s{number}" for number, _ in sent} <= set(arrived)
    assert len(arrived) - len(set(arrived)) <= count // 12 * 4
