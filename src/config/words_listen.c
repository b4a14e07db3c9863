/* "listen", "tls" and "users": who may come in, and how. */
#include "config/words.h"

#include <stdio.h>

enum { SUBMISSIONS = 465 }; /* RFC 8314 section 3.3 */

static const char *const kinds[] = {
    [LISTEN_MX] = "mx", [LISTEN_SUBMISSION] = "submission", [LISTEN_RELAY] = "relay"};
static const char *const tls_words[] = {[LISTEN_TLS_OFF] = "off",
    [LISTEN_TLS_OFFER] = "offer",
    [LISTEN_TLS_REQUIRE] = "require",
    [LISTEN_TLS_IMPLICIT] = "implicit"};
static const char *const auth_words[] = {
    [LISTEN_AUTH_OFF] = "off", [LISTEN_AUTH_ON] = "on", [LISTEN_AUTH_PLAINTEXT] = "plaintext"};

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

static void own_from(struct builder *b, const struct word *w, struct listen *l)
{
	struct cidr *list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));

	l->from = list;
	for (; w != NULL; w = w->next) {
		if (value_cidr(&b->v, w, &list[l->n_from]))
			l->n_from++;
	}
}

void words_in_listen(
    struct builder *b, struct listen *l, const struct option *row, const struct word *w)
{
	size_t n;

	if (row->id == OPT_LISTEN_FROM) {
		own_from(b, w, l);
		return;
	}
	if (build_extra(b, row, w->next))
		return;
	if (row->id == OPT_LISTEN_BANNER)
		own_banner(b, w, l);
	else if (row->id == OPT_LISTEN_TLS &&
		 words_choose(b, w, tls_words, GW_ARRAY_LEN(tls_words), &n))
		l->tls = (enum listen_tls)n;
	else if (row->id == OPT_LISTEN_AUTH &&
		 words_choose(b, w, auth_words, GW_ARRAY_LEN(auth_words), &n))
		l->auth = (enum listen_auth)n;
}

/* ---- the statement -------------------------------------------------------------------------- */

static void add_listener(struct builder *b, const struct listen *l, const struct word *w)
{
	const struct place *first;
	char at[PLACE_TEXT], key[300];

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
	return l->at.port == SUBMISSIONS ? LISTEN_TLS_IMPLICIT : LISTEN_TLS_OFFER;
}

static void read_block(struct builder *b, struct block *k, struct listen *l, const struct stmt *s)
{
	build_defaults(b, SCOPE_LISTEN, l);
	build_settings(b, k, s->block);
	if (k->seen[OPT_LISTEN_AUTH].line == 0)
		l->auth = l->kind == LISTEN_MX ? LISTEN_AUTH_OFF : LISTEN_AUTH_ON;
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
		if (!value_endpoint(&b->v, w, ENDPOINT_LISTEN, &one.at))
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
	static const char *const ways[] = {"file", "any"};
	size_t way;

	if (!words_choose(b, w, ways, 2, &way))
		return;
	b->c->users_place = w->place;
	if (way == 1) {
		b->c->users_any = !build_extra(b, row, w->next);
		return;
	}
	if (words_next(b, row, w) && !build_extra(b, row, w->next->next))
		b->c->users = value_path(&b->v, w->next);
}
