#include "mail/mailbox.h"

#include "base/utf8.h"

enum { ASCII_DOMAIN_MAX = 255 };

/* ---- tokens; each takes what it reads from the front of *s ---------------------------------- */

static bool peek(struct span s, uint8_t c)
{
	return s.n > 0 && s.p[0] == c;
}

static bool is_control(uint8_t c)
{
	return c == 127 || (c < ' ' && c != '\t');
}

/* RFC 5322 section 3.2.3, and the 8-bit octets that display names have in practice. */
static bool is_word_octet(uint8_t c)
{
	return c > 127 || ascii_isalpha(c) || ascii_isdigit(c) ||
	       (c > ' ' && c < 127 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* A blank, or a line end that is a fold. */
static bool take_blank(struct span *s)
{
	size_t n = 0;

	if (s->n > 0 && ascii_isblank(s->p[0]))
		n = 1;
	else if (s->n > 2 && s->p[0] == '\r' && s->p[1] == '\n' && ascii_isblank(s->p[2]))
		n = 3;
	*s = span_skip(*s, n);
	return n > 0;
}

/* One octet inside a comment, a quoted string or a literal, a quoted pair counting as one. */
static int take_inner(struct span *s)
{
	if (take_blank(s))
		return 0;
	if (peek(*s, '\\'))
		*s = span_skip(*s, 1);
	if (s->n == 0 || is_control(s->p[0]))
		return GW_EFORMAT;
	*s = span_skip(*s, 1);
	return 0;
}

/* RFC 5322 section 3.2.2. Comments nest; that is counted and not recursed into. */
static int take_comment(struct span *s)
{
	unsigned depth = 0;

	do {
		int err = 0;

		if (peek(*s, '(') || peek(*s, ')')) {
			depth = peek(*s, '(') ? depth + 1 : depth - 1;
			*s = span_skip(*s, 1);
		} else {
			err = take_inner(s);
		}
		if (err < 0 || depth > MAILBOX_COMMENT_DEPTH)
			return GW_EFORMAT;
	} while (depth > 0);
	return 0;
}

static int skip_space(struct span *s)
{
	for (;;) {
		if (peek(*s, '(')) {
			if (take_comment(s) < 0)
				return GW_EFORMAT;
		} else if (!take_blank(s)) {
			return 0;
		}
	}
}

/* From open to close, neither nested. */
static int take_enclosed(struct span *s, uint8_t open, uint8_t close)
{
	gw_assert(peek(*s, open));
	*s = span_skip(*s, 1);
	while (!peek(*s, close)) {
		if (peek(*s, open) || take_inner(s) < 0)
			return GW_EFORMAT;
	}
	*s = span_skip(*s, 1);
	return 0;
}

static struct span take_atom(struct span *s)
{
	struct span atom = *s;
	size_t n = 0;

	while (n < s->n && is_word_octet(s->p[n]))
		n++;
	*s = span_skip(*s, n);
	return span_first(atom, n);
}

/* RFC 6532 section 3.2: beyond ASCII an address is of UTF-8, and of characters that show. */
static bool is_of_address(struct span s)
{
	while (s.n > 0) {
		uint32_t point = s.p[0];
		size_t n = point > 127 ? utf8_take(s, &point) : 1;

		if (n == 0 || (point > 127 && !utf8_visible(point)))
			return false;
		s = span_skip(s, n);
	}
	return true;
}

/* ---- words: a display name, or a local part; what follows decides --------------------------- */

struct words {
	struct span all;    /* first to last, without blanks and comments at the ends */
	bool word;          /* there is one, besides dots and brackets */
	bool behind_word;   /* nothing but blanks since the last one */
	bool only_a_phrase; /* no local part could look like this */
	bool encoded;       /* one begins like an encoded word */
};

/* One word, dot or bracket. 0: there is none. */
static int take_word(struct span *s, struct words *w)
{
	struct span begun = *s, atom;

	if (peek(*s, '.') || peek(*s, '[') || peek(*s, ']')) {
		w->only_a_phrase |= !peek(*s, '.');
		w->behind_word = false;
		*s = span_skip(*s, 1);
		return 1;
	}
	if (peek(*s, '"')) {
		if (take_enclosed(s, '"', '"') < 0)
			return GW_EFORMAT;
		atom = span_first(begun, begun.n - s->n);
	} else {
		atom = take_atom(s);
	}
	if (atom.n == 0)
		return 0;
	w->only_a_phrase |= w->behind_word || !is_of_address(atom);
	w->encoded |= span_starts(atom, SPAN("=?"));
	w->word = w->behind_word = true;
	return 1;
}

static int take_words(struct span *s, struct words *w)
{
	struct span begun;
	int got;

	memset(w, 0, sizeof(*w));
	if (skip_space(s) < 0)
		return GW_EFORMAT;
	begun = *s;
	while ((got = take_word(s, w)) > 0) {
		w->all = span_first(begun, begun.n - s->n);
		if (skip_space(s) < 0)
			return GW_EFORMAT;
	}
	return got;
}

static bool is_local(const struct words *w)
{
	return w->word && !w->only_a_phrase;
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* RFC 5322 section 4.4: blanks and comments may stand around the dots of a domain. */
static int take_domain(struct span *s, struct span *domain)
{
	struct span begun, atom;

	if (skip_space(s) < 0)
		return GW_EFORMAT;
	begun = *s;
	if (peek(*s, '[')) {
		if (take_enclosed(s, '[', ']') < 0)
			return GW_EFORMAT;
		*domain = span_first(begun, begun.n - s->n);
		return skip_space(s);
	}
	for (;;) {
		atom = take_atom(s);
		if (atom.n == 0 || !is_of_address(atom))
			return GW_EFORMAT;
		*domain = span_first(begun, begun.n - s->n);
		if (skip_space(s) < 0)
			return GW_EFORMAT;
		if (!peek(*s, '.'))
			return 0;
		*s = span_skip(*s, 1);
		if (skip_space(s) < 0)
			return GW_EFORMAT;
	}
}

static int take_address(struct span *s, const struct words *w, struct mailbox *m)
{
	if (!is_local(w))
		return GW_EFORMAT;
	*m = (struct mailbox){.addr = w->all, .local = w->all};
	if (!peek(*s, '@'))
		return w->encoded || utf8_beyond_ascii(w->all) ? GW_EFORMAT : 0;
	*s = span_skip(*s, 1);
	if (take_domain(s, &m->domain) < 0)
		return GW_EFORMAT;
	m->addr.n = (size_t)(m->domain.p + m->domain.n - m->addr.p);
	return 0;
}

/* RFC 5322 section 4.4, obs-route: "@one,@two:" has no meaning any more. */
static int skip_route(struct span *s)
{
	struct span ignored;

	if (!peek(*s, '@'))
		return 0;
	while (!peek(*s, ':')) {
		if (peek(*s, '@')) {
			*s = span_skip(*s, 1);
			if (take_domain(s, &ignored) < 0)
				return GW_EFORMAT;
			if (!peek(*s, ',') && !peek(*s, ':'))
				return GW_EFORMAT;
		} else {
			if (!peek(*s, ','))
				return GW_EFORMAT;
			*s = span_skip(*s, 1);
			if (skip_space(s) < 0)
				return GW_EFORMAT;
		}
	}
	*s = span_skip(*s, 1);
	return 0;
}

static int take_angle(struct span *s, struct mailbox *m)
{
	struct words w;

	*s = span_skip(*s, 1);
	if (skip_space(s) < 0 || skip_route(s) < 0 || take_words(s, &w) < 0 ||
	    take_address(s, &w, m) < 0 || !peek(*s, '>'))
		return GW_EFORMAT;
	*s = span_skip(*s, 1);
	return skip_space(s);
}

/* "me@example.com <me@example.com>", as many programs write it. */
static int take_repeated(struct span *s, struct mailbox *m)
{
	struct span name = m->addr;

	if (m->domain.n == 0 || take_angle(s, m) < 0)
		return GW_EFORMAT;
	return span_eq_case(name, m->addr) ? 0 : GW_EFORMAT;
}

static bool at_end_of_mailbox(struct span s)
{
	return s.n == 0 || s.p[0] == ',' || s.p[0] == ';';
}

static int take_mailbox(struct span *s, const struct words *w, struct mailbox *m)
{
	int err;

	if (peek(*s, '<')) {
		err = take_angle(s, m);
	} else {
		err = take_address(s, w, m);
		if (err == 0 && peek(*s, '<'))
			err = take_repeated(s, m);
	}
	return err == 0 && at_end_of_mailbox(*s) ? 1 : GW_EFORMAT;
}

/* ---- the list ------------------------------------------------------------------------------- */

struct mailbox_walk mailbox_walk_of(struct span value)
{
	return (struct mailbox_walk){.rest = value};
}

/* Commas, with nothing between them too (obs-mbox-list), and ends of groups. */
static int skip_separators(struct mailbox_walk *w)
{
	for (;;) {
		if (skip_space(&w->rest) < 0)
			return GW_EFORMAT;
		if (peek(w->rest, ';'))
			w->in_group = false;
		else if (!peek(w->rest, ','))
			return 0;
		w->rest = span_skip(w->rest, 1);
	}
}

static int next(struct mailbox_walk *w, struct mailbox *m)
{
	for (;;) {
		struct words words;

		if (skip_separators(w) < 0)
			return GW_EFORMAT;
		if (w->rest.n == 0)
			return 0;
		if (take_words(&w->rest, &words) < 0)
			return GW_EFORMAT;
		if (!peek(w->rest, ':'))
			return take_mailbox(&w->rest, &words, m);
		/* A group has a name, and groups do not nest. */
		if (w->in_group || !words.word)
			return GW_EFORMAT;
		w->in_group = true;
		w->rest = span_skip(w->rest, 1);
	}
}

int mailbox_next(struct mailbox_walk *w, struct mailbox *m)
{
	int got = next(w, m);

	if (got < 0)
		w->rest = span_skip(w->rest, w->rest.n);
	return got;
}

/* ---- as an address of the envelope ---------------------------------------------------------- */

/* Blanks and comments are gone outside quotes, folds also inside. */
static void add_plain(struct span s, struct buf *out)
{
	bool quoted = false;

	while (s.n > 0) {
		if (!quoted && (peek(s, '(') || ascii_isblank(s.p[0]) || peek(s, '\r'))) {
			if (skip_space(&s) < 0)
				return;
			continue;
		}
		if (quoted && peek(s, '\\') && s.n > 1) {
			buf_add_byte(out, '\\');
			s = span_skip(s, 1);
		} else if (peek(s, '"')) {
			quoted = !quoted;
		}
		if (s.p[0] != '\r' && s.p[0] != '\n')
			buf_add_byte(out, s.p[0]);
		s = span_skip(s, 1);
	}
}

int mailbox_address(const struct mailbox *m, struct buf *room, struct address *a)
{
	buf_clear(room);
	add_plain(m->local, room);
	if (m->domain.n > 0) {
		buf_add_byte(room, '@');
		add_plain(m->domain, room);
	}
	/* Room for its A-labels, so that what is there does not move. */
	if (buf_failed(room) || buf_room(room, ASCII_DOMAIN_MAX) == NULL)
		return GW_EFORMAT;
	return address_read(buf_view(room), room, a);
}
