#include "net/dnsmsg.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	HEADER = 12,
	LABEL_MAX = 63,
	POINTER = 0xc0,
	JUMPS_MAX = 64, /* of one name; a name has at most 127 labels */
	CLASS_IN = 1,
	TYPE_SOA = 6,
	SOA_NUMBERS = 20,
	RCODE_NXDOMAIN = 3,
	FLAG_ANSWER = 0x8000,
	FLAG_CUT = 0x0200,
	OPCODE = 0x7800,
	RCODE = 0x000f,
};

/* A domain name as text, lower case; odd: with octets that no host name has. */
struct name {
	char text[DNS_NAME_MAX + 1];
	size_t n;
	bool odd;
};

/* Where we are in the packet. Sticky: reads behind the end give 0. */
struct reader {
	struct span packet;
	size_t at;
	bool bad;
};

/* One record, of whatever type. */
struct rr {
	struct name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t data, n_data; /* place in the packet */
};

struct message {
	struct span packet;
	uint16_t flags;
	unsigned n_answer, n_authority;
	size_t answers; /* where they begin */
	enum dns_type type;
	struct arena *arena;
	struct dns_answer *out;
	struct dns_record *record; /* those of out */
	struct name at;            /* the name asked for, then what its aliases stand for */
};

/* ---- numbers and names ---------------------------------------------------------------------- */

static uint8_t read8(struct reader *r)
{
	if (r->bad || r->at >= r->packet.n) {
		r->bad = true;
		return 0;
	}
	return r->packet.p[r->at++];
}

static uint16_t read16(struct reader *r)
{
	uint16_t high = read8(r);

	return (uint16_t)(high << 8 | read8(r));
}

static uint32_t read32(struct reader *r)
{
	uint32_t high = read16(r);

	return high << 16 | read16(r);
}

static void skip(struct reader *r, size_t n)
{
	if (r->bad || n > r->packet.n - r->at)
		r->bad = true;
	else
		r->at += n;
}

static bool host_octet(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '-' || c == '_';
}

static void read_label(struct reader *r, size_t n, struct name *out)
{
	size_t dot = out->n > 0;

	if (out->n + dot + n > DNS_NAME_MAX) {
		r->bad = true;
		return;
	}
	if (dot)
		out->text[out->n++] = '.';
	while (n-- > 0) {
		uint8_t c = read8(r);

		out->odd = out->odd || !host_octet(c);
		out->text[out->n++] = host_octet(c) ? (char)ascii_lower(c) : '?';
	}
}

/*
 * The name here, and behind it. A pointer leads to before the piece it stands in, so that each
 * jump has less of the packet to go to.
 */
static void read_name(struct reader *r, struct name *out)
{
	struct reader walk = *r;
	size_t piece = walk.at, behind = 0;
	unsigned jumps = 0;
	uint8_t n;

	*out = (struct name){.n = 0};
	while ((n = read8(&walk)) != 0 && !walk.bad) {
		if ((n & POINTER) == POINTER) {
			size_t to = (size_t)(n & ~POINTER) << 8 | read8(&walk);

			behind = jumps == 0 ? walk.at : behind;
			walk.bad = walk.bad || to >= piece || ++jumps > JUMPS_MAX;
			walk.at = piece = to;
		} else if (n > LABEL_MAX) {
			walk.bad = true; /* label types that nobody uses (RFC 6891 section 5) */
		} else {
			read_label(&walk, n, out);
		}
	}
	r->bad = r->bad || walk.bad;
	r->at = jumps > 0 ? behind : walk.at;
}

static bool same_name(const struct name *a, const struct name *b)
{
	return !a->odd && !b->odd && a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

static bool name_is(const struct name *a, struct span text)
{
	return !a->odd && span_eq_case(span_of(a->text, a->n), text);
}

/* ---- what is said --------------------------------------------------------------------------- */

static int put_why(struct dns_answer *out, struct arena *a, const char *fmt, va_list args)
{
	char text[DNS_WHY_MAX + 1];

	vsnprintf(text, sizeof(text), fmt, args);
	out->why = arena_dup(a, span_str(text));
	return a->overflow ? GW_EFULL : 0;
}

int dnsmsg_trouble(struct arena *a, struct span name, struct dns_answer *out, const char *fmt, ...)
{
	va_list args;
	int err;

	*out = (struct dns_answer){.status = DNS_TROUBLE, .canonical = arena_dup(a, name)};
	va_start(args, fmt);
	err = put_why(out, a, fmt, args);
	va_end(args);
	return err;
}

#define TROUBLE(m, ...) dnsmsg_trouble((m)->arena, (m)->out->canonical, (m)->out, __VA_ARGS__)

/* The packet is not what it claims to be. */
static int broken(struct message *m, const char *what)
{
	int err =
	    TROUBLE(m, "the answer for %.*s is broken: %s", SPAN_ARG(m->out->canonical), what);

	return err < 0 ? err : GW_EFORMAT;
}

static int refused(struct message *m, unsigned rcode)
{
	static const char *const words[] = {
	    [1] = "FORMERR", [2] = "SERVFAIL", [4] = "NOTIMP", [5] = "REFUSED", [9] = "NOTAUTH"};
	struct span name = m->out->canonical;

	if (rcode < GW_ARRAY_LEN(words) && words[rcode] != NULL)
		return TROUBLE(m, "%s for %.*s", words[rcode], SPAN_ARG(name));
	return TROUBLE(m, "error %u for %.*s", rcode, SPAN_ARG(name));
}

/* ---- records -------------------------------------------------------------------------------- */

/* The record here, and behind it. A length that lies leads out of the packet or into nonsense. */
static void read_rr(struct reader *r, struct rr *rr)
{
	read_name(r, &rr->owner);
	rr->type = read16(r);
	rr->class = read16(r);
	rr->ttl = read32(r);
	rr->n_data = read16(r);
	rr->data = r->at;
	skip(r, rr->n_data);
	if (rr->ttl > INT32_MAX)
		rr->ttl = 0; /* RFC 2181 section 8 */
}

/* A name that is the record's data from here on, to the last octet. */
static bool data_name(const struct message *m, const struct rr *rr, size_t before, struct name *out)
{
	struct reader r = {.packet = m->packet, .at = rr->data + before};

	read_name(&r, out);
	return !r.bad && rr->n_data > before && r.at == rr->data + rr->n_data;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Where the next record goes. Of too many MX the worst one makes room; NULL: it is left out. */
static struct dns_record *place_for(struct message *m, uint16_t preference)
{
	struct dns_record *worst = &m->record[0];

	if (m->out->n_record < DNS_RECORDS_MAX)
		return &m->record[m->out->n_record++];
	m->out->cut = true;
	if (m->type != DNS_MX)
		return NULL;
	for (size_t i = 1; i < DNS_RECORDS_MAX; i++) {
		if (m->record[i].preference > worst->preference)
			worst = &m->record[i];
	}
	return worst->preference > preference ? worst : NULL;
}

static int take_name(struct message *m, const struct rr *rr)
{
	size_t before = m->type == DNS_MX ? 2 : 0;
	struct reader r = {.packet = m->packet, .at = rr->data};
	uint16_t preference = before > 0 ? read16(&r) : 0;
	struct dns_record *to;
	struct name name;
	struct span text;

	if (!data_name(m, rr, before, &name))
		return GW_EFORMAT;
	text = span_of(name.text, name.n);
	if (name.odd || (name.n == 0 && m->type != DNS_MX)) {
		m->out->cut = true; /* a null MX beside it is none (RFC 7505 section 3) */
		return 0;
	}
	to = place_for(m, preference);
	if (to != NULL)
		*to = (struct dns_record){
		    .preference = preference, .name = arena_dup(m->arena, text)};
	return 0;
}

static int take_address(struct message *m, const struct rr *rr)
{
	struct dns_record *to;
	const uint8_t *data = m->packet.p + rr->data;

	if (rr->n_data != (m->type == DNS_A ? 4 : 16))
		return GW_EFORMAT;
	to = place_for(m, 0);
	if (to == NULL)
		return 0;
	if (m->type == DNS_A)
		memcpy(&to->address.a, data, 4);
	else
		memcpy(&to->address.aaaa, data, 16);
	return 0;
}

/* The strings of a TXT record put together (RFC 7208 section 3.3). */
static int take_text(struct message *m, const struct rr *rr)
{
	struct reader r = {.packet = span_first(m->packet, rr->data + rr->n_data), .at = rr->data};
	uint8_t text[DNSMSG_DATA_MAX];
	struct dns_record *to;
	size_t n = 0;

	while (r.at < r.packet.n) {
		uint8_t part = read8(&r);
		size_t from = r.at;

		skip(&r, part);
		if (r.bad)
			return GW_EFORMAT;
		if (n + part > sizeof(text)) {
			m->out->cut = true;
			return 0;
		}
		memcpy(text + n, m->packet.p + from, part);
		n += part;
	}
	to = place_for(m, 0);
	if (to != NULL)
		to->data = arena_dup(m->arena, span_of(text, n));
	return 0;
}

/* As it is: what is too short to be used must still count (RFC 7672 section 2.2). */
static int take_data(struct message *m, const struct rr *rr)
{
	struct span data = span_of(m->packet.p + rr->data, rr->n_data);
	struct dns_record *to;

	if (data.n > DNSMSG_DATA_MAX) {
		m->out->cut = true;
		return 0;
	}
	to = place_for(m, 0);
	if (to != NULL)
		to->data = arena_dup(m->arena, data);
	return 0;
}

static int take(struct message *m, const struct rr *rr)
{
	switch (m->type) {
	case DNS_A:
	case DNS_AAAA: return take_address(m, rr);
	case DNS_MX:
	case DNS_PTR:
	case DNS_CNAME: return take_name(m, rr);
	case DNS_TXT: return take_text(m, rr);
	case DNS_TLSA: return take_data(m, rr);
	}
	return GW_EFORMAT;
}

/* ---- the answer section --------------------------------------------------------------------- */

/* One look at all answers: takes the records of the name we are at. seen: how many there were;
 * alias: its first CNAME, if it has one. */
static int look(struct message *m, unsigned *seen, struct rr *alias, bool *has_alias)
{
	struct reader r = {.packet = m->packet, .at = m->answers};
	struct rr rr;

	*seen = 0;
	*has_alias = false;
	for (unsigned i = 0; i < m->n_answer; i++) {
		read_rr(&r, &rr);
		if (r.bad)
			return GW_EFORMAT;
		if (rr.class != CLASS_IN || !same_name(&rr.owner, &m->at))
			continue;
		if (rr.type == (uint16_t)m->type) {
			++*seen;
			m->out->ttl = least(m->out->ttl, rr.ttl);
			if (take(m, &rr) < 0)
				return GW_EFORMAT;
		} else if (rr.type == DNS_CNAME && !*has_alias) {
			*has_alias = true;
			*alias = rr;
		}
	}
	return 0;
}

/* How long a "no" holds: the SOA says so (RFC 2308 section 5). */
static uint32_t negative_ttl(const struct message *m)
{
	struct reader r = {.packet = m->packet, .at = m->answers};
	uint32_t ttl = DNSMSG_NEGATIVE_TTL;
	struct rr rr;

	for (unsigned i = 0; i < m->n_answer + m->n_authority && !r.bad; i++) {
		read_rr(&r, &rr);
		if (r.bad || i < m->n_answer || rr.type != TYPE_SOA || rr.n_data < SOA_NUMBERS)
			continue;
		r.at = rr.data + rr.n_data - 4;
		ttl = least(rr.ttl, read32(&r));
		break;
	}
	return ttl;
}

static int conclude(struct message *m, unsigned seen)
{
	bool no_name = (m->flags & RCODE) == RCODE_NXDOMAIN;
	struct dns_answer *out = m->out;

	if (seen > 0 && no_name)
		return broken(m, "records of a name that is said not to be there");
	if (out->n_record == 0 && m->flags & FLAG_CUT)
		return TROUBLE(m, "the answer for %.*s was cut", SPAN_ARG(out->canonical));
	if (out->n_record == 0 && seen > 0 && m->type != DNS_PTR)
		return TROUBLE(
		    m, "none of the records of %.*s can be used", SPAN_ARG(out->canonical));
	out->cut = out->cut || m->flags & FLAG_CUT;
	if (out->n_record > 0)
		out->status = DNS_FOUND;
	else
		out->status = no_name ? DNS_NXDOMAIN : DNS_NODATA;
	if (seen == 0)
		out->ttl = least(out->ttl, negative_ttl(m));
	out->canonical = arena_dup(m->arena, span_of(m->at.text, m->at.n));
	return m->arena->overflow ? GW_EFULL : 0;
}

/* From the question over its aliases to the records. */
static int follow(struct message *m)
{
	struct rr alias = {.ttl = 0};
	bool has_alias;
	unsigned seen;

	for (int step = 0; step <= DNSMSG_CHAIN_MAX; step++) {
		if (look(m, &seen, &alias, &has_alias) < 0)
			return broken(m, "a record");
		if (m->arena->overflow)
			return GW_EFULL;
		if (seen > 0 || !has_alias)
			return conclude(m, seen);
		m->out->ttl = least(m->out->ttl, alias.ttl);
		if (!data_name(m, &alias, 0, &m->at))
			return broken(m, "an alias");
		if (m->at.odd || m->at.n == 0)
			return TROUBLE(m, "%.*s is an alias of what cannot be a host",
			    SPAN_ARG(m->out->canonical));
	}
	return TROUBLE(m, "%.*s is an alias of more than %d others", SPAN_ARG(m->out->canonical),
	    DNSMSG_CHAIN_MAX);
}

/* ---- header and question -------------------------------------------------------------------- */

static int read_head(struct message *m)
{
	struct reader r = {.packet = m->packet};
	unsigned questions;

	(void)read16(&r);
	m->flags = read16(&r);
	questions = read16(&r);
	m->n_answer = read16(&r);
	m->n_authority = read16(&r);
	(void)read16(&r);
	if (r.bad || !(m->flags & FLAG_ANSWER) || (m->flags & OPCODE) != 0)
		return broken(m, "the header");
	if (questions != 1)
		return broken(m, "not one question");
	read_name(&r, &m->at);
	if (!name_is(&m->at, m->out->canonical) || read16(&r) != (uint16_t)m->type ||
	    read16(&r) != CLASS_IN || r.bad)
		return broken(m, "another question");
	m->answers = r.at;
	return 0;
}

int dnsmsg_read(struct span packet, enum dns_type type, struct span name, struct arena *a,
    struct dns_answer *out)
{
	struct message m = {.packet = packet, .type = type, .arena = a, .out = out};
	unsigned rcode;
	int err;

	*out = (struct dns_answer){.ttl = DNS_TTL_MAX, .canonical = arena_dup(a, name)};
	m.record = arena_alloc(a, DNS_RECORDS_MAX * sizeof(*m.record));
	if (m.record == NULL || a->overflow)
		return GW_EFULL;
	out->record = m.record;
	err = read_head(&m);
	if (err < 0)
		return err;
	rcode = m.flags & RCODE;
	if (rcode != 0 && rcode != RCODE_NXDOMAIN)
		return refused(&m, rcode);
	return follow(&m);
}
