#include "mail/forward.h"

#include "mail/address.h"

#include <stdarg.h>
#include <stdio.h>

enum { ITEM_MAX = 320 };

struct parse {
	struct forward *f;
	struct arena *arena;
	struct span local, base, domain; /* of the owner; base: without the subaddress */
	unsigned line;
};

static gw_printf(2, 3) int refuse(struct parse *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(p->f->why, sizeof(p->f->why), "line %u: ", p->line);

	va_start(ap, fmt);
	vsnprintf(p->f->why + n, sizeof(p->f->why) - (size_t)n, fmt, ap);
	va_end(ap);
	p->f->n = 0;
	p->f->keep = false;
	return GW_EFORMAT;
}

static bool is_own(const struct parse *p, struct span local, struct span domain)
{
	return span_eq_case(domain, p->domain) &&
	       (span_eq_case(local, p->local) || span_eq_case(local, p->base));
}

static bool is_there(const struct forward *f, struct span addr)
{
	for (size_t i = 0; i < f->n; i++) {
		if (span_eq(f->to[i], addr))
			return true;
	}
	return false;
}

static int add(struct parse *p, const struct address *a)
{
	struct buf b;
	struct span kept;

	if (is_own(p, a->local, a->domain)) {
		p->f->keep = true;
		return 0;
	}
	buf_init(&b, 2 * ITEM_MAX);
	address_canonical(a, &b);
	kept = is_there(p->f, buf_view(&b)) ? SPAN_NONE : arena_dup(p->arena, buf_view(&b));
	buf_fini(&b);
	if (p->arena->overflow || (kept.n > 0 && p->f->n == FORWARD_MAX))
		return refuse(p, "more than %d addresses", FORWARD_MAX);
	if (kept.n > 0)
		p->f->to[p->f->n++] = kept;
	return 0;
}

/* "name" stands for name@domain. */
static int take_address(struct parse *p, struct span s)
{
	char text[2 * ITEM_MAX];
	bool bare = span_find(s, '@') < 0 || s.p[s.n - 1] == '"';
	struct address a;
	int n = snprintf(text, sizeof(text), "%.*s%s%.*s", SPAN_ARG(s), bare ? "@" : "",
	    bare ? (int)p->domain.n : 0, (const char *)p->domain.p);

	if (n < 0 || (size_t)n >= sizeof(text) || address_parse(span_of(text, (size_t)n), &a) < 0 ||
	    (a.kind != ADDRESS_DOMAIN && a.kind != ADDRESS_LITERAL))
		return refuse(p, "this is no address");
	return add(p, &a);
}

static int take_item(struct parse *p, struct span s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' &&
	    span_find(span_first(span_skip(s, 1), s.n - 2), '"') < 0 &&
	    (s.p[1] == '|' || s.p[1] == '/' || s.p[1] == ':' || s.p[1] == '\\'))
		s = span_first(span_skip(s, 1), s.n - 2);
	if (s.n > 1 && s.p[0] == '\\')
		s = span_skip(s, 1);
	if (s.n > ITEM_MAX)
		return refuse(p, "an address longer than %d characters", ITEM_MAX);
	if (s.p[0] == '|')
		return refuse(p, "programs are not run from here");
	if (s.p[0] == '/')
		return refuse(p, "files are not written from here");
	if (s.p[0] == ':')
		return refuse(p, ":include: is not read from here");
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = span_first(span_skip(s, 1), s.n - 2);
	return s.n > 0 ? take_address(p, s) : refuse(p, "an address is missing");
}

static struct span trim(struct span s)
{
	s = span_skip_blanks(s);
	while (s.n > 0 && (ascii_isblank(s.p[s.n - 1]) || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* Up to a comma that is not in quotes. */
static size_t item_length(struct span s)
{
	bool quoted = false;
	size_t n = 0;

	while (n < s.n && (quoted || s.p[n] != ',')) {
		if (s.p[n] == '\\' && quoted)
			n++;
		else if (s.p[n] == '"')
			quoted = !quoted;
		n++;
	}
	return n < s.n ? n : s.n;
}

static int take_line(struct parse *p, struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if ((line.p[i] < ' ' && line.p[i] != '\t' && line.p[i] != '\r') || line.p[i] > '~')
			return refuse(p, "this is no text of ASCII");
	}
	while (line.n > 0) {
		size_t n = item_length(line);
		struct span item = trim(span_first(line, n));
		int err = item.n > 0 ? take_item(p, item) : 0;

		if (err < 0)
			return err;
		line = span_skip(line, n < line.n ? n + 1 : n);
	}
	return 0;
}

/* Its last '@' parts an address: a quoted local part may have others. */
static void set_own(struct parse *p, struct span own, char subaddress)
{
	size_t at = own.n;
	ptrdiff_t mark;

	while (at > 0 && own.p[at - 1] != '@')
		at--;
	p->domain = span_skip(own, at);
	p->local = p->base = span_first(own, at > 0 ? at - 1 : 0);
	mark = subaddress != 0 ? span_find(p->local, (uint8_t)subaddress) : -1;
	if (mark > 0)
		p->base = span_first(p->local, (size_t)mark);
}

int forward_parse(
    struct span text, struct span own, char subaddress, struct forward *f, struct arena *a)
{
	struct parse p = {.f = f, .arena = a, .line = 1};
	int err = 0;

	f->n = 0;
	f->keep = false;
	f->why[0] = '\0';
	set_own(&p, own, subaddress);
	if (text.n > FORWARD_OCTETS)
		return refuse(&p, "the file is larger than 64 KiB");
	for (; text.n > 0 && err == 0; p.line++) {
		ptrdiff_t end = span_find(text, '\n');
		struct span line = trim(end < 0 ? text : span_first(text, (size_t)end));

		text = end < 0 ? SPAN_NONE : span_skip(text, (size_t)end + 1);
		if (line.n > 0 && line.p[0] != '#')
			err = take_line(&p, line);
	}
	return err;
}
