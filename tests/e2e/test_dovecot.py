"""Dovecot at the end of the way: it takes mail by LMTP, and it reads the Maildirs we write, octet for
octet, with their sizes, flags, folders and quotas."""

import re

import pytest

from conftest import end_of_godwit, needs_root
from peers import godwit as godwit_peer
from peers import ports
from peers.client import Client
from peers.dovecot import Dovecot

pytestmark = needs_root

QUOTA = 40 << 10
BODIES = {
    "plain": b"Subject: plain\r\n\r\nline\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    "long": b"Subject: long\r\n\r\n" + b"x" * 900 + b"\r\n" + b"y\r\n" * 300,
    "8bit": "Subject: gr\u00fc\u00dfe\r\n\r\n\u00e4\u00f6\u00fc\r\n".encode(),
    "empty": b"Subject: empty\r\n\r\n",
    "no-header": b"\r\nonly a body\r\n",
    "no-end": b"Subject: blank\r\n\r\n   \r\n\t\r\n\r\n\r\n",
    "from": b"Subject: from\r\n\r\nFrom the beginning\r\n>From\r\n",
}


class World:
    """One Godwit and one Dovecot over the same Maildirs; lmtp.test and unix.test are Dovecot's own."""

    def __init__(self):
        self.folder = ports.scratch("godwit-imap-")
        self.folder.chmod(0o777)
        mail = self.folder / "mail"
        mail.mkdir()
        mail.chmod(0o1777)
        self.mail = mail
        users = {f"{name}@box.test": mail / "box.test" / name for name in
                 ("alice", "bob", "carol", "dave")}
        users |= {f"{name}@full.test": (mail / "full.test" / name, f"*:bytes={QUOTA}")
                  for name in ("erin", "frank", "grace")}
        for domain in ("lmtp.test", "unix.test"):
            users[f"ok@{domain}"] = self.folder / "lmtp" / domain / "ok"
            users[f"full@{domain}"] = (self.folder / "lmtp" / domain / "full", "*:bytes=100")
        (self.folder / "lmtp").mkdir()
        (self.folder / "lmtp").chmod(0o1777)
        self.d = Dovecot(users).start()
        extra = f"""
domain box.test {{ deliver maildir {mail}/%d/%u; subaddress-folder existing }}
domain make.test {{ deliver maildir {mail}/box.test/%u; subaddress-folder yes }}
domain full.test {{ deliver maildir {mail}/%d/%u; quota 40K }}
domain wait.test {{ deliver maildir {mail}/full.test/%u; quota 40K defer }}
domain lmtp.test {{ deliver lmtp 127.0.0.1:{self.d.lmtp_port} }}
domain unix.test {{ deliver lmtp unix:{self.d.lmtp_path} }}
"""
        self.g = godwit_peer.Godwit(extra=extra, retry="1h", expire="1d", relay=("127.0.0.1", 9),
                                    store="store { segment 8M; reserve 16M; spares 1 }").start()

    def close(self):
        self.d.close()
        self.g.close()
        ports.discard(self.folder)

    def send(self, to, content, sender="a@example.net"):
        with Client(self.g.port) as c:
            c.hello()
            c.begin(sender, to)
            code, text = c.data(content)[:2]
        assert code == 250, text
        return re.search(r"Ok (\S+)", str(text))[1]

    def result(self, to, ident):
        """The log line that says what became of a recipient of this message."""
        def find():
            for event in ("delivered", "deferred", "bounced"):
                lines = self.g.log_lines(event, to=to, id=ident)
                if lines:
                    return lines[-1]
            return None
        return ports.wait_for(find, 15, what=f"a result of {to}")

    def deliver(self, to, content=BODIES["plain"]):
        return self.result(to, self.send([to], content))


@pytest.fixture(scope="module")
def world(program):
    w = World()
    yield w
    try:
        w.g.expected_alarms = set()
        problems = end_of_godwit(w.g)
    finally:
        w.close()
    assert not problems, problems


def fetched(box, folder="INBOX"):
    """[(flags, size, content)] of all messages of a folder."""
    status, (count,) = box.select(folder)
    assert status == "OK"
    if count == b"0":
        return []
    answer = box.fetch("1:*", "(FLAGS RFC822.SIZE BODY.PEEK[])")[1]
    found = []
    for part in answer:
        if isinstance(part, tuple):
            head = part[0].decode()
            flags = re.search(r"FLAGS \(([^)]*)\)", head)[1]
            found.append((flags, int(re.search(r"RFC822.SIZE (\d+)", head)[1]), part[1]))
    return found


def without_trace(content):
    """What was sent: without the three fields in front."""
    names = []
    while True:
        line, _, rest = content.partition(b"\r\n")
        if not line.startswith((b"Return-Path:", b"Delivered-To:", b"Received:", b" ", b"\t")):
            return names, content
        if not line.startswith((b" ", b"\t")):
            names.append(line.partition(b":")[0])
        content = rest


# ---- Maildir over IMAP ----------------------------------------------------------------------

def test_octet_for_octet(world):
    for content in BODIES.values():
        assert world.deliver("alice@box.test", content)["ev"] == "delivered"
    box = world.d.imap("alice@box.test")
    messages = fetched(box)
    assert len(messages) == len(BODIES)
    for (flags, size, content), sent in zip(messages, BODIES.values()):
        names, rest = without_trace(content)
        assert names == [b"Return-Path", b"Delivered-To", b"Received"]
        # A message that is a body alone gets its empty line behind our fields.
        assert rest == sent
        assert size == len(content)
        assert "\\Recent" in flags and "\\Seen" not in flags
    box.logout()
    for path in (world.mail / "box.test" / "alice").glob("???/*"):
        data = path.read_bytes()
        size, wire = re.search(r",S=(\d+),W=(\d+)", path.name).groups()
        assert int(size) == len(data) and int(wire) == len(data.replace(b"\n", b"\r\n"))
        assert path.stat().st_mode & 0o7777 == 0o600


def test_flags_and_moves_stay(world):
    ident = world.send(["bob@box.test"], BODIES["plain"])
    world.result("bob@box.test", ident)
    box = world.d.imap("bob@box.test")
    assert box.select()[1] == [b"1"]
    box.store("1", "+FLAGS", "(\\Seen \\Flagged)")
    box.logout()
    box = world.d.imap("bob@box.test")
    assert "\\Seen" in fetched(box)[0][0] and "\\Flagged" in fetched(box)[0][0]
    world.deliver("bob@box.test", BODIES["dots"])
    assert box.noop()[0] == "OK"
    assert len(fetched(box)) == 2
    box.logout()


def test_folders_of_subaddresses(world):
    world.deliver("carol@box.test")
    box = world.d.imap("carol@box.test")
    for name in ("lists", "lists/dev", "Sent"):
        assert box.create(name)[0] == "OK"
    for local in ("carol+lists", "carol+Lists", "carol+lists.dev", "carol+Sent", "carol+sent",
                  "carol+nowhere", '"carol+../dave"', "carol+/etc", '"carol+."', "carol+"):
        assert world.deliver(f"{local}@box.test")["ev"] == "delivered", local
    assert len(fetched(box, "lists")) == 2
    assert len(fetched(box, "lists/dev")) == 1
    assert fetched(box, "Sent") == []
    assert len(fetched(box)) == 8
    box.logout()
    assert not (world.mail / "box.test" / "dave").exists()


def test_folders_are_made_if_asked(world):
    for local in ("dave+new", "dave+a.b", "dave+Trash", "dave+new"):
        assert world.deliver(f"{local}@make.test")["ev"] == "delivered"
    box = world.d.imap("dave@box.test")
    assert len(fetched(box, "new")) == 2 and len(fetched(box, "a/b")) == 1
    assert len(fetched(box)) == 1
    box.logout()
    folder = world.mail / "box.test" / "dave" / ".new"
    assert (folder / "maildirfolder").exists() and folder.stat().st_mode & 0o7777 == 0o700


# ---- quota ----------------------------------------------------------------------------------

def used(box):
    """Octets, as IMAP tells them."""
    text = str(box.getquotaroot("INBOX"))
    return int(re.search(r"STORAGE (\d+) (\d+)", text)[1]) * 1024


def on_disk(world, name):
    return sum(p.stat().st_size for p in (world.mail / "full.test" / name).rglob("*")
               if p.parent.name in ("new", "cur"))


def in_file(world, name):
    lines = (world.mail / "full.test" / name / "maildirsize").read_text().splitlines()
    assert lines[0] == f"{QUOTA}S"
    return sum(int(line.split()[0]) for line in lines[1:])


def test_quota_is_shared_with_dovecot(world):
    big = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 105
    lines = [world.deliver("erin@full.test", big) for _ in range(4)]
    assert [line["ev"] for line in lines] == ["delivered"] * 3 + ["bounced"]
    assert (lines[3]["code"], lines[3]["esc"]) == ("552", "5.2.2")
    assert on_disk(world, "erin") == in_file(world, "erin") <= QUOTA
    box = world.d.imap("erin@full.test")
    assert abs(used(box) - on_disk(world, "erin")) < 1024
    # Dovecot keeps to it too, and what it writes counts for us.
    assert box.append("INBOX", None, None, big)[0] == "NO"
    assert box.append("INBOX", None, None, b"Subject: y\r\n\r\n" + b"y" * 5000)[0] == "OK"
    assert world.deliver("erin@full.test", big[:6000] + b"\r\n")["ev"] == "bounced"
    # What it removes makes room.
    box.select()
    box.store("1:2", "+FLAGS", "(\\Deleted)")
    box.expunge()
    box.logout()
    assert world.deliver("erin@full.test", big)["ev"] == "delivered"
    assert abs(on_disk(world, "erin") - in_file(world, "erin")) < 200


def test_full_for_now_or_for_ever(world):
    big = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 300
    assert world.deliver("frank@wait.test", big)["ev"] == "delivered"
    line = world.deliver("frank@wait.test", big)
    assert (line["ev"], line["code"], line["esc"]) == ("deferred", "452", "4.2.2")
    line = world.deliver("frank@wait.test", big + big[14:])
    assert (line["ev"], line["code"], line["esc"]) == ("bounced", "552", "5.2.3")
    assert not list((world.mail / "full.test" / "frank" / "tmp").iterdir())


def test_a_quota_file_that_lies(world):
    """It is the user's own: it can cheat nobody else, nor hurt us."""
    box = world.mail / "full.test" / "grace"
    assert world.deliver("grace@full.test")["ev"] == "delivered"
    mine = (box / "maildirsize").stat()
    for text in ("", "\n", "x" * 6000, f"{QUOTA}S\n-99999 1\n", f"{QUOTA}S\n1 1", "999999999999999999999S\n0 0\n",
                 f"{QUOTA}S\n9223372036854775807 1\n9223372036854775807 1\n", f"{QUOTA}S\n\0\n"):
        (box / "maildirsize").write_text(text)
        assert world.deliver("grace@full.test")["ev"] == "delivered", text
        assert in_file(world, "grace") == on_disk(world, "grace")
    (box / "maildirsize").unlink()
    (box / "maildirsize").symlink_to("/etc/passwd")
    assert world.deliver("grace@full.test")["ev"] == "delivered"
    assert in_file(world, "grace") == on_disk(world, "grace")
    assert not (box / "maildirsize").is_symlink()
    assert (box / "maildirsize").stat().st_uid == mine.st_uid != 0


# ---- LMTP -----------------------------------------------------------------------------------

@pytest.mark.parametrize("domain", ["lmtp.test", "unix.test"])
def test_one_reply_for_each_recipient(world, domain):
    to = [f"ok@{domain}", f"full@{domain}", f"nobody@{domain}"]
    ident = world.send(to, b"Subject: mixed\r\n\r\n" + b"x" * 500 + b"\r\n")
    ok, full, nobody = (world.result(name, ident) for name in to)
    assert (ok["ev"], ok["code"]) == ("delivered", "250")
    assert (full["ev"], full["code"], full["esc"]) == ("deferred", "452", "4.2.2")
    assert (nobody["ev"], nobody["code"], nobody["esc"]) == ("bounced", "550", "5.1.1")
    box = world.d.imap(to[0])
    (_, _, content), = fetched(box)
    assert b"Subject: mixed\r\n\r\n" + b"x" * 500 + b"\r\n" in content
    box.logout()
