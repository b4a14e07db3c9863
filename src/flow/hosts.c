#include "flow/hosts-private.h"

#include "mail/address.h"

#include <stdio.h>

enum { REPLY_ROOM = DNS_NAME_MAX + DNS_WHY_MAX + 100, MX_QUESTION = 0 };

/* ---- the questions -------------------------------------------------------------------------- */

bool hosts_next(struct hosts *h, struct hosts_question *q)
{
	static const enum dns_type types[] = {[V6] = DNS_AAAA, [V4] = DNS_A};

	gw_check_magic(h, HOSTS_MAGIC);
	if (!h->mx_asked) {
		h->mx_asked = h->mx_waits = true;
		*q = (struct hosts_question){MX_QUESTION, DNS_MX, h->p->domain};
		return true;
	}
	for (size_t i = 0; i < FAMILIES * h->n_entry; i++) {
		struct entry *e = &h->entry[i / FAMILIES];
		struct found *f = &e->of[i % FAMILIES];

		if (f->asked)
			continue;
		f->asked = f->waits = true;
		*q = (struct hosts_question){(unsigned)i + 1, types[i % FAMILIES], e->name};
		return true;
	}
	return false;
}

bool hosts_wait(const struct hosts *h)
{
	gw_check_magic(h, HOSTS_MAGIC);
	return !h->mx_asked || h->mx_waits || h->judged < h->n_entry;
}

size_t hosts_list(const struct hosts *h, const struct host **list)
{
	*list = h->list;
	return h->n_list;
}

/* ---- this machine --------------------------------------------------------------------------- */

static bool is_self_name(const struct hosts *h, struct span name)
{
	return h->p->self != NULL && span_eq_case(h->p->self->name, name);
}

/* ---- the list of hosts ---------------------------------------------------------------------- */

static void enter(struct hosts *h, struct span name, uint16_t preference, uint16_t port)
{
	struct entry *e = &h->entry[h->n_entry++];

	*e = (struct entry){.name = name,
	    .canonical = name,
	    .preference = preference,
	    .port = port,
	    .secure = h->mx_secure,
	    .vouched = h->mx_secure || span_eq_case(name, h->p->domain)};
	e->of[V6].asked = !hosts_family(h, V6);
	e->of[V4].asked = !hosts_family(h, V4);
}

static bool make_room(struct hosts *h, size_t n)
{
	h->entry = arena_alloc(h->arena, n * sizeof(*h->entry));
	if (h->entry == NULL) {
		h->trouble = true;
		h->why = SPAN("out of memory");
	}
	return h->entry != NULL;
}

/* By preference; among equals as the dice fell (RFC 5321 section 5.1). */
struct ranked {
	uint32_t preference;
	uint64_t rank;
	const struct dns_record *record;
};

static bool comes_before(const struct ranked *a, const struct ranked *b)
{
	return a->preference != b->preference ? a->preference < b->preference : a->rank < b->rank;
}

/* Insertion: at most DNS_RECORDS_MAX, and no sort that allocates. */
static size_t rank(struct hosts *h, const struct dns_answer *a, struct ranked *to)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_record && n < DNS_RECORDS_MAX; i++) {
		struct ranked r = {a->record[i].preference, dice_roll(&h->dice), &a->record[i]};
		size_t at = n;

		if (r.record->name.n == 0)
			continue;
		for (n++; at > 0 && comes_before(&r, &to[at - 1]); at--)
			to[at] = to[at - 1];
		to[at] = r;
	}
	return n;
}

static bool is_entered(const struct hosts *h, struct span name)
{
	for (size_t i = 0; i < h->n_entry; i++) {
		if (span_eq_case(h->entry[i].name, name))
			return true;
	}
	return false;
}

/* Where the first host that has our name stands, with all of its preference. */
static size_t before_self(struct hosts *h, const struct ranked *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_self_name(h, r[i].record->name))
			continue;
		h->self_cut = true;
		while (i > 0 && r[i - 1].preference == r[i].preference)
			i--;
		return i;
	}
	return n;
}

/* RFC 5321 section 5.1: an MX names a host. One that is an address has none in DNS, and nobody need
 * be asked. */
static bool looks_like_address(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] != '.' && !ascii_isdigit(name.p[i]))
			return false;
	}
	return true;
}

static int take_mx(struct hosts *h, const struct dns_answer *a)
{
	struct ranked r[DNS_RECORDS_MAX];
	size_t n = before_self(h, r, rank(h, a, r));

	h->mx_secure = a->secure;
	h->cut_off = a->cut;
	if (n == 0)
		h->loops = true;
	if (!make_room(h, n < HOSTS_MAX ? n : HOSTS_MAX))
		return GW_EFULL;
	for (size_t i = 0; i < n && h->n_entry < HOSTS_MAX; i++) {
		struct span name = r[i].record->name;

		if (is_entered(h, name))
			continue;
		name = arena_dup(h->arena, name);
		if (name.n == 0)
			return GW_EFULL;
		enter(h, name, (uint16_t)r[i].preference, h->p->port);
		if (looks_like_address(name)) {
			struct entry *e = &h->entry[h->n_entry - 1];

			e->of[V6].asked = e->of[V4].asked = true;
		}
	}
	return 0;
}

static int take_implicit(struct hosts *h, const struct dns_answer *a)
{
	h->mx_secure = a->secure;
	if (is_self_name(h, h->p->domain))
		h->loops = true;
	else if (!make_room(h, 1))
		return GW_EFULL;
	else
		enter(h, h->p->domain, 0, h->p->port);
	return 0;
}

void hosts_trouble(struct hosts *h, struct span why)
{
	h->trouble = true;
	if (h->why.n == 0)
		h->why = arena_dup(h->arena, span_first(why, DNS_WHY_MAX));
}

static int on_mx(struct hosts *h, const struct dns_answer *a)
{
	h->kind = mx_kind_of(a);
	if (h->kind == MX_HOSTS)
		return take_mx(h, a);
	if (h->kind == MX_IMPLICIT)
		return take_implicit(h, a);
	if (h->kind == MX_TROUBLE)
		hosts_trouble(h, a->why);
	return 0;
}

/* ---- what is known enters the list ---------------------------------------------------------- */

static bool is_known(const struct entry *e)
{
	return e->of[V6].asked && !e->of[V6].waits && e->of[V4].asked && !e->of[V4].waits;
}

/* How far the entries of one preference reach. */
static size_t level_end(const struct hosts *h, size_t from)
{
	size_t to = from + 1;

	while (to < h->n_entry && h->entry[to].preference == h->entry[from].preference)
		to++;
	return to;
}

static bool level_known(const struct hosts *h, size_t from, size_t to, bool *self)
{
	*self = false;
	for (size_t i = from; i < to; i++) {
		if (!is_known(&h->entry[i]))
			return false;
		*self = *self || h->entry[i].self;
	}
	return true;
}

static void judge(struct hosts *h)
{
	bool self;

	while (h->judged < h->n_entry) {
		size_t to = level_end(h, h->judged);

		if (!level_known(h, h->judged, to, &self))
			return;
		if (self) {
			h->loops = h->loops || h->judged == 0;
			h->self_cut = true;
			h->n_entry = h->judged;
			return;
		}
		for (; h->judged < to; h->judged++)
			entry_list(h, &h->entry[h->judged]);
	}
}

static int on_addresses(struct hosts *h, size_t number, const struct dns_answer *a)
{
	struct entry *e = &h->entry[number / FAMILIES];
	enum family f = number % FAMILIES;

	e->of[f].waits = false;
	e->secure = e->secure && a->secure;
	if (a->status == DNS_TROUBLE)
		hosts_trouble(h, a->why);
	if (a->status == DNS_NODATA && !hosts_family(h, f == V4 ? V6 : V4))
		h->family_missing = true;
	if (a->status != DNS_FOUND)
		return 0;
	if (a->canonical.n > 0 && !span_eq_case(a->canonical, e->name)) {
		e->canonical = arena_dup(h->arena, span_first(a->canonical, DNS_NAME_MAX));
		if (e->canonical.n == 0)
			return GW_EFULL;
	}
	return entry_take(h, e, f, a);
}

static bool is_open(const struct hosts *h, unsigned number)
{
	if (number == MX_QUESTION)
		return h->mx_waits;
	number -= 1;
	return number / FAMILIES < h->n_entry &&
	       h->entry[number / FAMILIES].of[number % FAMILIES].waits;
}

int hosts_answer(struct hosts *h, unsigned number, const struct dns_answer *a)
{
	int err;

	gw_check_magic(h, HOSTS_MAGIC);
	if (!is_open(h, number))
		return 0;
	if (number == MX_QUESTION) {
		h->mx_waits = false;
		err = on_mx(h, a);
	} else {
		err = on_addresses(h, number - 1, a);
	}
	if (err < 0)
		hosts_trouble(h, SPAN("out of memory"));
	judge(h);
	return err;
}

/* ---- the start ------------------------------------------------------------------------------ */

static bool start_given(struct hosts *h)
{
	size_t n = h->p->n_given < HOSTS_MAX ? h->p->n_given : HOSTS_MAX;

	h->mx_asked = true;
	h->kind = MX_HOSTS;
	if (!make_room(h, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct hosts_given *g = &h->p->given[i];
		struct entry *e = &h->entry[i];

		enter(h, g->name, (uint16_t)i, g->port);
		(void)entry_take_literal(h, e);
	}
	judge(h);
	return true;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool start_literal(struct hosts *h)
{
	struct span text = h->p->domain;

	h->mx_asked = true;
	h->kind = MX_IMPLICIT;
	if (!make_room(h, 1))
		return false;
	text = span_first(span_skip(text, 1), text.n - 2);
	if (span_starts_case(text, SPAN("IPv6:")))
		text = span_skip(text, 5);
	enter(h, text, 0, h->p->port);
	(void)entry_take_literal(h, &h->entry[0]);
	judge(h);
	return true;
}

struct hosts *hosts_start(const struct hosts_params *p, struct arena *a)
{
	struct hosts *h = arena_alloc(a, sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct hosts){.magic = HOSTS_MAGIC, .arena = a, .p = p, .dice = {p->seed}};
	if (hosts_given(h))
		return start_given(h) ? h : NULL;
	if (address_literal_valid(p->domain))
		return start_literal(h) ? h : NULL;
	h->kind = MX_TROUBLE;
	if (!dns_name_good(p->domain)) { /* nothing can have this name */
		h->mx_asked = true;
		h->kind = MX_NO_DOMAIN;
	}
	return h;
}

/* ---- nothing was found ---------------------------------------------------------------------- */

static struct reply say(struct hosts *h, struct reply r, const char *before, const char *behind)
{
	char text[REPLY_ROOM];
	struct span name = hosts_given(h) ? h->p->given[0].name : h->p->domain;

	snprintf(text, sizeof(text), "%s%.*s%s", before, SPAN_ARG(span_first(name, DNS_NAME_MAX)),
	    behind);
	r.text = arena_dup(h->arena, span_str(text));
	return r;
}

/* Every answer came and was sure. */
static struct reply say_sure(struct hosts *h)
{
	static const struct reply loops = {554, {5, 4, 6}, {0}}, unroutable = {550, {5, 4, 4}, {0}},
				  nowhere = {550, {5, 1, 2}, {0}}, waits = {451, {4, 4, 4}, {0}};

	if (h->loops)
		return say(h, loops, "Mail for ", " loops back to this machine");
	if (h->self_cut)
		return say(h, waits, "No better mail host of ", " than this one has an address");
	if (h->family_missing)
		return say(h, waits, "", " has no address of a family that can be used here");
	if (h->only_private)
		return say(h, unroutable, "The mail hosts of ",
		    " have private addresses only (allowed by: via mx private)");
	if (hosts_given(h)) /* a mistake in the configuration should cost no mail */
		return say(h, waits, "", " has no address");
	if (h->kind == MX_IMPLICIT)
		return say(h, nowhere, "", " has neither a mail host nor an address");
	return say(h, unroutable, "No mail host of ", " has an address");
}

struct reply hosts_reply(struct hosts *h)
{
	char text[REPLY_ROOM];
	struct reply r;

	gw_check_magic(h, HOSTS_MAGIC);
	gw_assert(h->n_list == 0 && !hosts_wait(h));
	if (!h->trouble && h->cut_off) {
		h->trouble = true;
		h->why = SPAN("more mail hosts than can be looked at");
	}
	if (h->trouble)
		r = mx_reply(MX_TROUBLE, hosts_given(h) ? h->p->given[0].name : h->p->domain,
		    h->why, text, sizeof(text));
	else if (h->kind == MX_NULL || h->kind == MX_NO_DOMAIN)
		r = mx_reply(h->kind, h->p->domain, h->why, text, sizeof(text));
	else
		return say_sure(h);
	r.text = arena_dup(h->arena, r.text);
	return r;
}
