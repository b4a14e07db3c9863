/* Return paths of recipients: the owner of a list, and our own for what is forwarded (SRS). */
#include "flow/recipient-private.h"

/* Does it leave us by an alias, with a sender that is not ours to vouch for? */
static bool wants_srs(const struct walk *w, const struct step *s)
{
	const struct known *k = w->k;
	struct address a;

	return k->srs != NULL && s->ours == NULL && (s->from != NULL || k->forwards) &&
	       k->from.n > 0 && address_parse(k->from, &a) == 0 && a.kind == ADDRESS_DOMAIN &&
	       config_domain(k->config, a.domain) == NULL;
}

struct span path_of(struct walk *w, const struct step *s)
{
	struct buf path;
	struct span kept = SPAN_NONE;

	if (w->k->from.n == 0)
		return SPAN_NONE;
	if (s->owner.n > 0 || !wants_srs(w, s))
		return s->owner;
	buf_init(&path, RECIPIENT_NAME_MAX);
	/* One that is too long for it goes out as it came in: the better half of two. */
	if (srs_forward(w->k->srs, w->k->from, w->k->day, &path) == 0 && !buf_failed(&path))
		kept = arena_dup(w->arena, buf_view(&path));
	buf_fini(&path);
	return kept;
}

bool path_is_srs(const struct walk *w, const struct step *s)
{
	const struct srs *srs = w->k->srs;

	return srs != NULL && span_eq(s->domain, srs->domain) && srs_looks(s->local);
}

struct reply path_refusal(enum srs_verdict v)
{
	if (v == SRS_OLD)
		return REPLY(550, 5, 1, 1, "This return path is too old");
	if (v == SRS_FORGED)
		return REPLY(550, 5, 1, 1, "This return path was not made here");
	return REPLY(550, 5, 1, 1, "This return path is not whole");
}

struct span path_owner(struct walk *w, const struct step *s, const struct recipient_rule *rule)
{
	static const struct span prefix = SPAN("owner-");
	struct span name = span_str(rule->pattern), owner = s->owner;
	ptrdiff_t at = span_find(name, '@');
	struct buf text, local;
	struct address a;

	if (at > 0 && span_eq(span_skip(name, (size_t)at + 1), s->domain))
		name = span_first(name, (size_t)at); /* of a whole address */
	if (!rule->alias || at == 0 || span_starts(name, prefix))
		return owner;
	buf_init(&local, RECIPIENT_NAME_MAX);
	buf_init(&text, RECIPIENT_NAME_MAX);
	buf_add_span(&local, prefix);
	buf_add_span(&local, name);
	buf_addf(&text, "\"%.*s\"@%.*s", SPAN_ARG(buf_view(&local)), SPAN_ARG(s->domain));
	if ((table_says(w, s, TABLE_OWN, buf_view(&local)) != NULL ||
		table_says(w, s, TABLE_COMMON, buf_view(&local)) != NULL) &&
	    address_parse(buf_view(&text), &a) == 0) {
		buf_clear(&local);
		address_canonical(&a, &local);
		owner = arena_dup(w->arena, buf_view(&local));
	}
	buf_fini(&local);
	buf_fini(&text);
	return owner;
}
