/* "recipients": who is known in a domain, and who says so. */
#include "config/words.h"

static const char *const ways[] = {[RECIPIENTS_ANY] = "any",
    [RECIPIENTS_USERS] = "users",
    [RECIPIENTS_FILE] = "file",
    [RECIPIENTS_CALLOUT] = "callout",
    [RECIPIENTS_DOVECOT] = "dovecot"};

/* How the last two are written, for messages. */
#define TIMES "[cache DURATION] [negative DURATION] [timeout DURATION] [away accept|defer]"
static const struct option rows[] = {
    [RECIPIENTS_CALLOUT] = {.name = "recipients callout",
	.args = "lmtp HOST:PORT|unix:PATH | smtp HOST[:PORT] [from ADDRESS] " TIMES},
    [RECIPIENTS_DOVECOT] = {.name = "recipients dovecot", .args = "unix:PATH " TIMES}};

#define SEC INT64_C(1000000)
static const struct recipients_lookup usual = {
    .from = "", .cache = 600 * SEC, .negative = 60 * SEC, .timeout = 10 * SEC};

const char *recipients_word(enum recipients_kind k)
{
	return ways[k];
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

enum lookup_word { WORD_CACHE, WORD_NEGATIVE, WORD_TIMEOUT, WORD_AWAY, WORD_FROM, WORD_COUNT };
static const char *const words[] = {[WORD_CACHE] = "cache",
    [WORD_NEGATIVE] = "negative",
    [WORD_TIMEOUT] = "timeout",
    [WORD_AWAY] = "away",
    [WORD_FROM] = "from"};
static const struct option limits[] = {
    [WORD_CACHE] = {.name = "cache", .min = 1 * SEC, .max = 7 * 86400 * SEC},
    [WORD_NEGATIVE] = {.name = "negative", .min = 1 * SEC, .max = 86400 * SEC},
    [WORD_TIMEOUT] = {.name = "timeout", .min = 1 * SEC, .max = 60 * SEC}};

static bool read_value(
    struct builder *b, enum lookup_word which, const struct word *w, struct recipients_lookup *k)
{
	static const char *const fates[] = {"defer", "accept"};
	int64_t *times[] = {&k->cache, &k->negative, &k->timeout};
	uint64_t n;
	size_t fate;

	if (which == WORD_FROM) {
		k->from = value_address(&b->v, w);
		return k->from != NULL;
	}
	if (which == WORD_AWAY) {
		if (!words_choose(b, w, fates, GW_ARRAY_LEN(fates), &fate))
			return false;
		k->away_accepts = fate == 1;
		return true;
	}
	if (!value_number(&b->v, &limits[which], TYPE_DURATION, w, &n))
		return false;
	*times[which] = (int64_t)n;
	return true;
}

/* Words and their values, in any order. */
static bool read_words(
    struct builder *b, const struct option *row, const struct word *w, struct recipients_lookup *k)
{
	struct place seen[WORD_COUNT] = {{0}};
	char first[PLACE_TEXT];
	size_t n = row == &rows[RECIPIENTS_CALLOUT] ? WORD_COUNT : WORD_FROM, which;

	for (; w != NULL; w = w->next->next) {
		if (!words_choose(b, w, words, n, &which) || !words_next(b, row, w))
			return false;
		if (seen[which].line > 0) {
			report(
			    b->r, CE_DUPLICATE, w, NULL, w->text, place_text(&seen[which], first));
			return false;
		}
		seen[which] = w->place;
		if (!read_value(b, (enum lookup_word)which, w->next, k))
			return false;
	}
	return true;
}

static bool read_callout(
    struct builder *b, const struct option *row, const struct word *w, struct recipients_lookup *k)
{
	static const char *const protocols[] = {"smtp", "lmtp"};
	size_t which;

	if (!words_choose(b, w, protocols, GW_ARRAY_LEN(protocols), &which) ||
	    !words_next(b, row, w))
		return false;
	k->lmtp = which == 1;
	w = w->next;
	return value_endpoint(&b->v, w, k->lmtp ? ENDPOINT_LMTP : ENDPOINT_RELAY, &k->at) &&
	       read_words(b, row, w->next, k);
}

const char *words_dovecot(struct builder *b, const struct word *w)
{
	if (strncmp(w->text, "unix:", 5) == 0)
		return value_socket_path(&b->v, w, w->text + 5);
	report(b->r, CE_DOVECOT_PATH, w, NULL, w->text);
	return NULL;
}

static bool read_dovecot(
    struct builder *b, const struct option *row, const struct word *w, struct recipients_lookup *k)
{
	k->at.unix_path = words_dovecot(b, w);
	return k->at.unix_path != NULL && read_words(b, row, w->next, k);
}

static void elsewhere(
    struct builder *b, enum recipients_kind way, const struct word *w, struct domain *d)
{
	const struct option *row = &rows[way];
	struct recipients_lookup *k = must_alloc(&b->c->arena, sizeof(*k));

	*k = usual;
	d->lookup = k; /* whatever is wrong with it was reported */
	if (!words_next(b, row, w))
		return;
	if (way == RECIPIENTS_CALLOUT)
		(void)read_callout(b, row, w->next, k);
	else
		(void)read_dovecot(b, row, w->next, k);
}

/* ---- the statement --------------------------------------------------------------------------- */

void words_recipients(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	size_t way;

	if (!words_choose(b, w, ways, GW_ARRAY_LEN(ways), &way))
		return;
	d->recipients = (enum recipients_kind)way;
	d->recipients_place = w->place;
	if (way == RECIPIENTS_CALLOUT || way == RECIPIENTS_DOVECOT) {
		elsewhere(b, d->recipients, w, d);
	} else if (way != RECIPIENTS_FILE) {
		build_extra(b, row, w->next);
	} else if (words_next(b, row, w) && !build_extra(b, row, w->next->next)) {
		d->recipients_file = value_path(&b->v, w->next);
		d->recipients_place = w->next->place;
	}
}
