/* "listen", "tls" and "users": who may come in, and how. */
#include "config/words.h"

#include <stdio.h>

enum { SUBMISSIONS = 465 }; /* RFC 8314 section 3.3 */
#define FUTURE_RELEASE (INT64_C(7) * 86400 * 1000000)

static const char *const kinds[] = {[LISTEN_MX] = "mx",
    [LISTEN_SUBMISSION] = "submission",
    [LISTEN_RELAY] = "relay",
    [LISTEN_ODMR] = "odmr",
    [LISTEN_LMTP] = "lmtp"};
static const char *const tls_words[] = {[LISTEN_TLS_OFF] = "off",
    [LISTEN_TLS_OFFER] = "offer",
    [LISTEN_TLS_REQUIRE] = "require",
    [LISTEN_TLS_IMPLICIT] = "implicit"};
static const char *const auth_words[] = {
    [LISTEN_AUTH_OFF] = "off", [LISTEN_AUTH_ON] = "on", [LISTEN_AUTH_PLAINTEXT] = "plaintext"};

static const char *const priorities[PRIORITY_COUNT] = {
    [PRIORITY_NORMAL] = "normal", [PRIORITY_HIGH] = "high", [PRIORITY_BULK] = "bulk"};

static const char *const checks[] = {[CHECK_DOMAINS_OFF] = "off",
    [CHECK_RECIPIENTS] = "recipients",
    [CHECK_SENDERS] = "senders",
    [CHECK_RECIPIENTS | CHECK_SENDERS] = "both"};

const char *check_domains_word(unsigned bits)
{
	return checks[bits];
}

const char *priority_word(enum priority p)
{
	return priorities[p];
}

const char *listen_kind_word(enum listen_kind k)
{
	return kinds[k];
}

const char *listen_tls_word(enum listen_tls t)
{
	return tls_words[t];
}

const char *listen_auth_word(enum listen_auth a)
{
	return auth_words[a];
}

/* ---- inside the block ---------------------------------------------------------------------- */

static void own_banner(struct builder *b, const struct word *w, struct listen *l)
{
	struct span text = span_str(w->text);

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < ' ' || text.p[i] > '~' || text.n > 200) {
			report(b->r, CE_BANNER, w, NULL, "");
			return;
		}
	}
	l->banner = must_dup(&b->c->arena, text);
}

const struct cidr *words_ranges(struct builder *b, const struct word *w, size_t *n)
{
	struct cidr *list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));

	for (; w != NULL; w = w->next) {
		if (value_cidr(&b->v, w, &list[*n]))
			++*n;
	}
	return list;
}

/* Octal digits as chmod takes them; nobody's business are the bits above 0777. */
static void own_mode(struct builder *b, const struct word *w, struct listen *l)
{
	unsigned mode = 0;
	const char *s = w->text;

	for (; *s >= '0' && *s <= '7' && mode <= 0777; s++)
		mode = mode << 3 | (unsigned)(*s - '0');
	if (*s != '\0' || mode == 0 || mode > 0777)
		report(b->r, CE_MODE, w, NULL, w->text);
	else
		l->mode = mode;
}

/* True: the setting is a list of ranges. */
static bool own_ranges(
    struct builder *b, const struct option *row, const struct word *w, struct listen *l)
{
	if (row->id == OPT_LISTEN_FROM)
		l->from = words_ranges(b, w, &l->n_from);
	else if (row->id == OPT_LISTEN_PROXY)
		l->proxy = words_ranges(b, w, &l->n_proxy);
	else if (row->id == OPT_LISTEN_XCLIENT)
		l->xclient = words_ranges(b, w, &l->n_xclient);
	else
		return false;
	return true;
}

static void own_future_release(
    struct builder *b, const struct option *row, const struct word *w, struct listen *l)
{
	uint64_t n = 0;

	if (!listen_submits(l))
		report(b->r, CE_FUTURE_RELEASE, w, NULL, "");
	else if (words_is(w, "off") || value_number(&b->v, row, TYPE_DURATION, w, &n))
		l->future_release = (int64_t)n;
}

void words_in_listen(
    struct builder *b, struct listen *l, const struct option *row, const struct word *w)
{
	size_t n;

	if (own_ranges(b, row, w, l) || build_extra(b, row, w->next))
		return;
	if (row->id == OPT_LISTEN_BANNER)
		own_banner(b, w, l);
	else if (row->id == OPT_LISTEN_MODE)
		own_mode(b, w, l);
	else if (row->id == OPT_LISTEN_TLS &&
		 words_choose(b, w, tls_words, GW_ARRAY_LEN(tls_words), &n))
		l->tls = (enum listen_tls)n;
	else if (row->id == OPT_LISTEN_AUTH &&
		 words_choose(b, w, auth_words, GW_ARRAY_LEN(auth_words), &n))
		l->auth = (enum listen_auth)n;
	else if (row->id == OPT_LISTEN_FUTURE_RELEASE)
		own_future_release(b, row, w, l);
	else if (row->id == OPT_LISTEN_PRIORITY &&
		 words_choose(b, w, priorities, PRIORITY_COUNT, &n))
		l->priority = (enum priority)n;
	else if (row->id == OPT_LISTEN_CHECK_DOMAINS &&
		 words_choose(b, w, checks, GW_ARRAY_LEN(checks), &n))
		l->check_domains = (unsigned)n;
}

/* ---- the statement -------------------------------------------------------------------------- */

static void add_listener(struct builder *b, const struct listen *l, const struct word *w)
{
	const struct place *first;
	char at[PLACE_TEXT], key[300];

	if (l->at.unix_path != NULL)
		snprintf(key, sizeof(key), "unix:%s", l->at.unix_path);
	else
		snprintf(key, sizeof(key), "%s %u", l->at.host, l->at.port);
	first = build_once(b, "listen", key, &w->place);
	if (first != NULL)
		report(b->r, CE_LISTEN_TWICE, w, NULL, w->text, place_text(first, at));
	else
		b->listen[b->c->n_listen++] = *l;
}

/* What the block did not say follows from the kind, and from the port. */
static enum listen_tls usual_tls(const struct block *k, const struct listen *l)
{
	if (k->seen[OPT_LISTEN_TLS].line > 0)
		return l->tls;
	if (l->at.unix_path != NULL)
		return LISTEN_TLS_OFF;
	return l->at.port == SUBMISSIONS ? LISTEN_TLS_IMPLICIT : LISTEN_TLS_OFFER;
}

static void read_block(struct builder *b, struct block *k, struct listen *l, const struct stmt *s)
{
	build_defaults(b, SCOPE_LISTEN, l);
	build_settings(b, k, s->block);
	if (k->seen[OPT_LISTEN_FUTURE_RELEASE].line == 0 && l->kind == LISTEN_SUBMISSION)
		l->future_release = FUTURE_RELEASE;
	if (k->seen[OPT_LISTEN_AUTH].line == 0)
		l->auth = l->kind == LISTEN_MX || l->kind == LISTEN_LMTP ? LISTEN_AUTH_OFF
									 : LISTEN_AUTH_ON;
	if (k->seen[OPT_LISTEN_CHECK_DOMAINS].line == 0)
		l->check_domains =
		    l->kind == LISTEN_SUBMISSION ? CHECK_RECIPIENTS : CHECK_DOMAINS_OFF;
	if (l->kind == LISTEN_LMTP && k->seen[OPT_LISTEN_BANNER].line == 0)
		l->banner = "LMTP";
	if (l->name == NULL)
		l->name = kinds[l->kind];
}

void words_listen(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	struct listen l = {.banner = "ESMTP"};
	struct block k = {.scope = SCOPE_LISTEN, .label = "listen", .base = &l};
	size_t kind;

	if (!words_choose(b, w, kinds, GW_ARRAY_LEN(kinds), &kind) || !words_next(b, row, w))
		return;
	l.kind = (enum listen_kind)kind;
	read_block(b, &k, &l, s);
	for (w = w->next; w != NULL; w = w->next) {
		struct listen one = l;

		one.place = w->place;
		if (!value_endpoint(&b->v, w,
			l.kind == LISTEN_LMTP ? ENDPOINT_LISTEN_LMTP : ENDPOINT_LISTEN, &one.at))
			continue;
		one.tls = usual_tls(&k, &one);
		add_listener(b, &one, w);
	}
}

void words_tls(struct builder *b, const struct option *row, const struct word *w)
{
	static const char *const ways[] = {"file"};
	struct tls_pair *p = &b->tls[b->c->n_tls];
	size_t way;

	if (!words_choose(b, w, ways, 1, &way) || !words_next(b, row, w) ||
	    !words_next(b, row, w->next) || build_extra(b, row, w->next->next->next))
		return;
	p->place = w->next->place;
	p->certificate = value_path(&b->v, w->next);
	p->key = value_path(&b->v, w->next->next);
	if (p->certificate != NULL && p->key != NULL)
		b->c->n_tls++;
}

void words_users(struct builder *b, const struct option *row, const struct word *w)
{
	static const char *const ways[] = {"file", "any", "dovecot"};
	size_t way;

	if (!words_choose(b, w, ways, 3, &way))
		return;
	b->c->users_place = w->place;
	if (way == 1) {
		b->c->users_any = !build_extra(b, row, w->next);
		return;
	}
	if (!words_next(b, row, w) || build_extra(b, row, w->next->next))
		return;
	if (way == 2)
		b->c->users_dovecot = words_dovecot(b, w->next);
	else
		b->c->users = value_path(&b->v, w->next);
}
