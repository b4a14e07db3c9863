"""Delivery status notifications as a mail program reads them: Python's email package takes them
apart, and what RFC 3461, 3464 and 6522 ask of every one of them is asserted on the way.

    r = Report(octets)
    r.actions(), r.rcpts[0]["Status"], r.words, r.returned, r.whole
"""

import email
import email.policy
import email.utils
import re

POLICY = email.policy.default.clone(raise_on_defect=False)
CLASS_OF = {"failed": "45", "delayed": "4", "delivered": "2", "relayed": "2", "expanded": "2"}
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
HEADER_TYPES = ("text/rfc822-headers", "message/global-headers")
WHOLE_TYPES = ("message/rfc822", "message/global")
FULL_DAY = re.compile(r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?$")


def xtext(value):
    """RFC 3461 section 4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in value)


def unxtext(value):
    return re.sub(r"\+([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), value)


def fields(message):
    """{name: value} of a block of a status part, unfolded; a name that occurs twice is a mistake."""
    found = {}
    for name, value in message.items():
        assert name not in found, f"{name} twice"
        found[name] = re.sub(r"\s*\r?\n\s+", " ", str(value)).strip()
    return found


def date_of(text):
    assert FULL_DAY.match(text), text
    return email.utils.parsedate_to_datetime(text)


def typed(value, kind):
    """"dns; a.test" -> "a.test" """
    got, _, rest = value.partition(";")
    assert got.strip().lower() == kind, value
    return rest.strip()


class Report:
    def __init__(self, octets):
        self.octets = octets
        self.message = email.message_from_bytes(octets, policy=POLICY)
        self._check_top()
        parts = list(self.message.iter_parts())
        assert 2 <= len(parts) <= 3, [p.get_content_type() for p in parts]
        self.words = self._words(parts[0])
        self._read_status(parts[1])
        self.whole = self.returned = None
        if len(parts) == 3:
            self._read_returned(parts[2])
        for part in self.message.walk():
            assert not part.defects, (part.get_content_type(), part.defects)

    def _check_top(self):
        m = self.message
        assert m.get_content_type() == "multipart/report"
        assert m["Content-Type"].params["report-type"] in ("delivery-status", "global-delivery-status")
        for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted"):
            assert len(m.get_all(name, [])) == 1, name
        assert m["Auto-Submitted"].split(";")[0].strip() in ("auto-replied", "auto-generated")
        date_of(str(m["Date"]))
        assert all(len(line) <= 998 for line in self.octets.replace(b"\r\n", b"\n").split(b"\n"))

    @staticmethod
    def _words(part):
        assert part.get_content_type() == "text/plain"
        return part.get_content()

    def _read_status(self, part):
        assert part.get_content_type() in STATUS_TYPES
        blocks = [fields(block) for block in part.get_payload()]
        blocks = [block for block in blocks if block]
        assert len(blocks) >= 2, "no recipient"
        self.about, *self.rcpts = blocks
        self.reporter = typed(self.about["Reporting-MTA"], "dns")
        if "Arrival-Date" in self.about:
            date_of(self.about["Arrival-Date"])
        for rcpt in self.rcpts:
            self._check_rcpt(rcpt)

    def _check_rcpt(self, rcpt):
        typed(rcpt["Final-Recipient"], "utf-8" if "utf-8" in rcpt["Final-Recipient"][:6].lower() else "rfc822")
        action = rcpt["Action"].lower()
        assert re.fullmatch(rf"[{CLASS_OF[action]}]\.\d{{1,3}}\.\d{{1,3}}", rcpt["Status"].split()[0]), rcpt
        for name in ("Last-Attempt-Date", "Will-Retry-Until"):
            if name in rcpt:
                date_of(rcpt[name])
        assert action == "delayed" or "Will-Retry-Until" not in rcpt
        if "Remote-MTA" in rcpt:
            assert re.match(r"^(dns|x-\w+); ?\S", rcpt["Remote-MTA"], re.I), rcpt
        if "Diagnostic-Code" in rcpt:
            assert re.match(r"^[A-Za-z][\w-]*; ?\S", rcpt["Diagnostic-Code"]), rcpt

    def _read_returned(self, part):
        kind = part.get_content_type()
        self.whole = kind in WHOLE_TYPES
        if self.whole:
            self.returned = part.get_payload()[0]
        else:
            assert kind in HEADER_TYPES, kind
            text = part.get_payload(decode=True)
            self.returned = email.message_from_bytes(text, policy=POLICY)

    @property
    def to(self):
        return email.utils.parseaddr(str(self.message["To"]))[1]

    @property
    def subject(self):
        return str(self.message["Subject"])

    @property
    def envid(self):
        return self.about.get("Original-Envelope-Id")

    def actions(self):
        return [rcpt["Action"].lower() for rcpt in self.rcpts]

    def final(self):
        return [rcpt["Final-Recipient"].partition(";")[2].strip() for rcpt in self.rcpts]

    def original(self):
        return [rcpt.get("Original-Recipient") for rcpt in self.rcpts]

    def returned_octets(self):
        """The message that came back whole, as it stands between its boundary lines."""
        boundary = self.message.get_boundary().encode()
        *_, part, end = re.split(rb"\r?\n--" + re.escape(boundary), self.octets)
        assert end.startswith(b"--"), end
        return re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1]
