#include "mail/address.h"

#include "base/utf8.h"
#include "mail/idna.h"

enum {
	LOCAL_MAX = 64,
	DOMAIN_MAX = 255,
	LABEL_MAX = 63,
	PATH_MAX_OCTETS = 256, /* with its angle brackets */
	IPV6_GROUPS = 8,
};

struct parser {
	struct span rest;
	const char *why;
	bool utf8;        /* may stand in local parts */
	struct buf *room; /* for A-labels; NULL: there are no U-labels */
};

static bool peek(const struct parser *p, uint8_t c)
{
	return p->rest.n > 0 && p->rest.p[0] == c;
}

static bool take(struct parser *p, uint8_t c)
{
	if (!peek(p, c))
		return false;
	p->rest = span_skip(p->rest, 1);
	return true;
}

/* The octet that stopped the parser often says more than the rule it broke. */
static int refuse(struct parser *p, const char *why)
{
	uint8_t c = p->rest.n > 0 ? p->rest.p[0] : 'x';

	if (c < ' ' || c == 127)
		why = "control character in the address";
	else if (c > 127 && !p->utf8)
		why = "8-bit octet in the address";
	else if (c > 127)
		why = "a character that cannot stand in an address";
	p->why = why;
	return GW_EFORMAT;
}

static bool is_alnum(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c);
}

/* RFC 5322 section 3.2.3. */
static bool is_atext(uint8_t c)
{
	return is_alnum(c) || (c > ' ' && c < 127 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_domain_octet(const struct parser *p, uint8_t c)
{
	return is_alnum(c) || c == '-' || c == '.' || (p->room != NULL && c > 127);
}

static bool is_blank(uint32_t c)
{
	return c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

/* RFC 6531 section 3.3: the octets of a character beyond ASCII that begins here; 0: there is none
 * that may stand here. */
static size_t beyond_ascii(const struct parser *p)
{
	uint32_t c;
	size_t n = p->utf8 ? utf8_take(p->rest, &c) : 0;

	return n > 1 && utf8_visible(c) && !is_blank(c) ? n : 0;
}

/* The octets at the start that are atext. */
static size_t take_atext(struct parser *p)
{
	size_t all = 0, n = 1;

	while (n > 0) {
		n = p->rest.n > 0 && is_atext(p->rest.p[0]) ? 1 : beyond_ascii(p);
		p->rest = span_skip(p->rest, n);
		all += n;
	}
	return all;
}

/* The octets from the start of "begun" to where the parser stands now. */
static struct span taken_since(struct span begun, const struct parser *p)
{
	return span_first(begun, begun.n - p->rest.n);
}

static int take_dot_string(struct parser *p)
{
	for (;;) {
		size_t n = take_atext(p);

		if (n == 0 && peek(p, '.'))
			return refuse(p, "misplaced dot in the local part");
		if (n == 0)
			return refuse(p, "bad character in the local part");
		if (!take(p, '.'))
			return 0;
		if (peek(p, '@'))
			return refuse(p, "misplaced dot in the local part");
	}
}

/* RFC 5321 section 4.1.2: qtextSMTP is printable, a quoted pair hides any printable octet. */
static int take_quoted(struct parser *p)
{
	p->rest = span_skip(p->rest, 1);
	while (!take(p, '"')) {
		size_t n = take(p, '\\') ? 0 : beyond_ascii(p);

		if (n == 0 && p->rest.n > 0 && p->rest.p[0] >= ' ' && p->rest.p[0] <= '~')
			n = 1;
		if (n == 0)
			return refuse(p, "unfinished quoted string");
		p->rest = span_skip(p->rest, n);
	}
	return 0;
}

static int take_local(struct parser *p, struct span *local)
{
	struct span begun = p->rest;
	int err;

	if (peek(p, '@'))
		return refuse(p, "the local part is missing");
	err = peek(p, '"') ? take_quoted(p) : take_dot_string(p);
	if (err != 0)
		return err;
	*local = taken_since(begun, p);
	return local->n > LOCAL_MAX ? refuse(p, "local part longer than 64 octets") : 0;
}

/* A name with U-labels: what is looked up and compared is its A-labels. */
static int turn_host(struct parser *p, struct span *host)
{
	size_t before = buf_len(p->room);

	if (domain_to_ascii(*host, p->room) != 0) {
		p->why = "the domain is not correct";
		return GW_EFORMAT;
	}
	*host = span_skip(buf_view(p->room), before);
	return 0;
}

static int take_host(struct parser *p, struct span *host)
{
	size_t n = 0;

	while (n < p->rest.n && is_domain_octet(p, p->rest.p[n]))
		n++;
	*host = span_first(p->rest, n);
	p->rest = span_skip(p->rest, n);
	if (n == 0)
		return refuse(p, "the domain is missing");
	if (host->p[n - 1] == '.')
		return refuse(p, "the domain ends in a dot");
	if (utf8_beyond_ascii(*host))
		return turn_host(p, host);
	return domain_valid(*host) ? 0 : refuse(p, "the domain is not correct");
}

static int take_literal(struct parser *p, struct span *literal)
{
	ptrdiff_t end = span_find(p->rest, ']');

	if (end < 0)
		return refuse(p, "unfinished address literal");
	*literal = span_first(p->rest, (size_t)end + 1);
	if (!address_literal_valid(*literal))
		return refuse(p, "the address literal is not correct");
	p->rest = span_skip(p->rest, literal->n);
	return 0;
}

static int take_mailbox(struct parser *p, struct address *out)
{
	int err = take_local(p, &out->local);

	if (err != 0)
		return err;
	if (!take(p, '@'))
		return refuse(p, p->rest.n == 0 || peek(p, '>')
				     ? "the domain is missing"
				     : "bad character in the local part");
	if (peek(p, '[')) {
		out->kind = ADDRESS_LITERAL;
		return take_literal(p, &out->domain);
	}
	out->kind = ADDRESS_DOMAIN;
	return take_host(p, &out->domain);
}

/* RFC 5321 appendix C: "@one,@two:" in front of the mailbox has no meaning any more. */
static int skip_route(struct parser *p)
{
	struct buf *room = p->room;
	struct span ignored;

	if (!peek(p, '@'))
		return 0;
	p->room = NULL;
	do {
		if (!take(p, '@'))
			return refuse(p, "the source route is not correct");
		if (take_host(p, &ignored) != 0)
			return GW_EFORMAT;
	} while (take(p, ','));
	p->room = room;
	return take(p, ':') ? 0 : refuse(p, "the source route is not correct");
}

static bool take_postmaster(struct parser *p, struct address *out)
{
	struct span word = span_first(p->rest, SPAN("postmaster").n);

	if (!span_eq_case(word, SPAN("postmaster")))
		return false;
	if (p->rest.n > word.n && p->rest.p[word.n] != '>')
		return false;
	*out = (struct address){.kind = ADDRESS_BARE, .local = word};
	p->rest = span_skip(p->rest, word.n);
	return true;
}

static int take_path(struct parser *p, bool reverse, struct address *out)
{
	if (!take(p, '<'))
		return refuse(p, "the address must stand in <>");
	if (peek(p, '>'))
		return reverse ? 0 : refuse(p, "the null address cannot be a recipient");
	if (!reverse && take_postmaster(p, out))
		return 0;
	if (skip_route(p) != 0)
		return GW_EFORMAT;
	return take_mailbox(p, out);
}

/* With A-labels too it has to be an address: that is what is stored, and read again. */
static bool too_long(const struct address *a)
{
	return a->local.n + 1 + a->domain.n > PATH_MAX_OCTETS - 2;
}

int address_parse_path(
    struct span *in, bool reverse, struct buf *room, struct address *out, const char **why)
{
	struct parser p = {.rest = *in, .why = "", .utf8 = room != NULL, .room = room};
	int err;

	*out = (struct address){.kind = ADDRESS_NULL};
	err = take_path(&p, reverse, out);
	if (err == 0 && !take(&p, '>'))
		err = refuse(&p, peek(&p, '@') ? "two @ in the address" : "the > is missing");
	if (err == 0 && (taken_since(*in, &p).n > PATH_MAX_OCTETS || too_long(out)))
		err = refuse(&p, "address longer than 256 octets");
	*why = p.why;
	if (err == 0)
		*in = p.rest;
	return err;
}

int address_parse(struct span in, struct address *out)
{
	return address_read(in, NULL, out);
}

int address_read(struct span in, struct buf *room, struct address *out)
{
	struct parser p = {.rest = in, .utf8 = true, .room = room};

	*out = (struct address){.kind = ADDRESS_NULL};
	if (in.n > PATH_MAX_OCTETS - 2)
		return GW_EFORMAT;
	if (!take_postmaster(&p, out) && take_mailbox(&p, out) != 0)
		return GW_EFORMAT;
	return p.rest.n == 0 && !too_long(out) ? 0 : GW_EFORMAT;
}

/* The local part as it is meant, in the array. */
static struct span unquote(struct span local, uint8_t plain[LOCAL_MAX])
{
	size_t n = 0;

	gw_assert(local.n <= LOCAL_MAX);
	if (local.n < 2 || local.p[0] != '"')
		return local;
	local = span_first(span_skip(local, 1), local.n - 2);
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '\\' && i + 1 < local.n)
			i++;
		plain[n++] = local.p[i];
	}
	return span_of(plain, n);
}

void address_local_plain(const struct address *a, struct buf *out)
{
	uint8_t plain[LOCAL_MAX];

	buf_add_span(out, unquote(a->local, plain));
}

static bool is_dot_string(struct span s)
{
	struct parser p = {.rest = s, .utf8 = true};

	return take_dot_string(&p) == 0 && p.rest.n == 0;
}

static void add_local(struct span local, struct buf *out)
{
	uint8_t array[LOCAL_MAX];
	struct span plain = unquote(local, array);

	if (is_dot_string(plain)) {
		buf_add_span(out, plain);
		return;
	}
	buf_add_byte(out, '"');
	for (size_t i = 0; i < plain.n; i++) {
		if (plain.p[i] == '"' || plain.p[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, plain.p[i]);
	}
	buf_add_byte(out, '"');
}

static void add_domain(struct span domain, struct buf *out)
{
	/* The tag of a literal keeps its usual spelling for the peers' sake. */
	if (span_starts_case(domain, SPAN("[ipv6:"))) {
		buf_add_str(out, "[IPv6:");
		domain = span_skip(domain, 6);
	}
	for (size_t i = 0; i < domain.n; i++)
		buf_add_byte(out, ascii_lower(domain.p[i]));
}

void address_canonical(const struct address *a, struct buf *out)
{
	switch (a->kind) {
	case ADDRESS_NULL: break;
	case ADDRESS_BARE: buf_add_str(out, "postmaster"); break;
	case ADDRESS_DOMAIN:
	case ADDRESS_LITERAL:
		add_local(a->local, out);
		buf_add_byte(out, '@');
		add_domain(a->domain, out);
		break;
	}
}

static bool label_valid(struct span s)
{
	if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	}
	return true;
}

bool domain_valid(struct span s)
{
	if (s.n > DOMAIN_MAX)
		return false;
	for (;;) {
		ptrdiff_t dot = span_find(s, '.');

		if (dot < 0)
			return label_valid(s);
		if (!label_valid(span_first(s, (size_t)dot)))
			return false;
		s = span_skip(s, (size_t)dot + 1);
	}
}

/* A number without leading zeros: some readers take those for octal. */
static bool take_octet(struct span *s)
{
	unsigned v = 0;
	size_t n = 0;

	while (n < s->n && n < 4 && ascii_isdigit(s->p[n]))
		v = v * 10 + (s->p[n++] - '0');
	if (n == 0 || v > 255 || (n > 1 && s->p[0] == '0'))
		return false;
	*s = span_skip(*s, n);
	return true;
}

static bool ipv4_valid(struct span s)
{
	for (int i = 0; i < 4; i++) {
		if (i > 0) {
			if (s.n == 0 || s.p[0] != '.')
				return false;
			s = span_skip(s, 1);
		}
		if (!take_octet(&s))
			return false;
	}
	return s.n == 0;
}

static bool is_hex(uint8_t c)
{
	c = ascii_lower(c);
	return ascii_isdigit(c) || (c >= 'a' && c <= 'f');
}

/* Counts the 16-bit groups of a run without "::"; an IPv4 tail counts two. -1: not correct. */
static int count_groups(struct span s, bool tail)
{
	int groups = 0;

	if (s.n == 0)
		return 0;
	for (;;) {
		size_t n = 0;

		if (tail && span_find(s, ':') < 0 && span_find(s, '.') >= 0)
			return ipv4_valid(s) ? groups + 2 : -1;
		while (n < s.n && is_hex(s.p[n]))
			n++;
		if (n == 0 || n > 4 || ++groups > IPV6_GROUPS)
			return -1;
		s = span_skip(s, n);
		if (s.n == 0)
			return groups;
		if (s.p[0] != ':')
			return -1;
		s = span_skip(s, 1);
	}
}

/* RFC 4291 section 2.2: "::" stands at most once, for one group or more. */
static bool ipv6_valid(struct span s)
{
	int before, behind;

	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != ':' || s.p[i + 1] != ':')
			continue;
		before = count_groups(span_first(s, i), false);
		behind = count_groups(span_skip(s, i + 2), true);
		return before >= 0 && behind >= 0 && before + behind < IPV6_GROUPS;
	}
	return count_groups(s, true) == IPV6_GROUPS;
}

bool address_literal_valid(struct span s)
{
	if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = span_first(span_skip(s, 1), s.n - 2);
	if (span_starts_case(s, SPAN("ipv6:")))
		return ipv6_valid(span_skip(s, 5));
	return ipv4_valid(s);
}
