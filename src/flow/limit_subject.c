/* Whom a limit concerns, how much of a message it counts, and what it is called. */
#include "base/utf8.h"
#include "config/value.h"
#include "flow/limit-private.h"

#include <stdio.h>
#include <string.h>

static bool by_login(enum limit_key key)
{
	return key == LIMIT_BY_ACCOUNT || key == LIMIT_BY_TENANT;
}

/* ---- subjects ----------------------------------------------------------------------------------
 */

static bool put_lower(struct span s, char out[LIMIT_SUBJECT_MAX])
{
	if (s.n == 0 || s.n >= LIMIT_SUBJECT_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		out[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	out[s.n] = '\0';
	return true;
}

static bool put_address(struct span ip, bool net, char out[LIMIT_SUBJECT_MAX])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t bytes[16];
	sa_family_t family = config_ip(ip, bytes);
	struct cidr range = {0};
	char text[CIDR_TEXT];

	if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		family = AF_INET;
		memmove(bytes, bytes + sizeof(mapped), 4);
	}
	if (family != AF_INET && family != AF_INET6)
		return false;
	range.family = family;
	range.bits = family == AF_INET ? (net ? 24 : 32) : (net ? 64 : 128);
	memset(bytes + (net ? range.bits / 8 : 16), 0, net ? 16 - range.bits / 8 : 0);
	memcpy(range.bytes, bytes, sizeof(range.bytes));
	snprintf(out, LIMIT_SUBJECT_MAX, "%s", cidr_text(&range, text));
	return true;
}

bool limit_subject(enum limit_key key, const struct limit_ask *ask, char out[LIMIT_SUBJECT_MAX])
{
	switch (key) {
	case LIMIT_BY_ADDRESS: return put_address(ask->client_ip, false, out);
	case LIMIT_BY_NET: return put_address(ask->client_ip, true, out);
	case LIMIT_BY_ACCOUNT: return put_lower(ask->account, out);
	case LIMIT_BY_TENANT: return put_lower(ask->tenant, out);
	case LIMIT_BY_LISTENER: return put_lower(ask->listener, out);
	case LIMIT_BY_ALL: out[0] = '\0'; return true;
	case LIMIT_KEYS: break;
	}
	return false;
}

/* ---- rules -------------------------------------------------------------------------------------
 */

bool limit_applies(const struct limit_rule *rule, const struct limit_ask *ask)
{
	char subject[LIMIT_SUBJECT_MAX];

	if (ask->null_sender && !by_login(rule->key))
		return false;
	if (rule->plan != NULL && ask->account.n == 0)
		return false;
	if (!limit_subject(rule->key, ask, subject))
		return false;
	return rule->only == NULL || strcmp(rule->only, subject) == 0;
}

uint64_t limit_amount(enum limit_what what, const struct limit_ask *ask)
{
	switch (what) {
	case LIMIT_OF_MESSAGES: return 1;
	case LIMIT_OF_RECIPIENTS: return ask->recipients;
	case LIMIT_OF_OCTETS: return ask->octets;
	case LIMIT_WHATS: break;
	}
	return 0;
}

bool limit_is_near(const struct limit_rule *rule, uint64_t left)
{
	if (rule->what == LIMIT_OF_RECIPIENTS && left < LIMIT_NEAR_RECIPIENTS && left < rule->n)
		return true;
	return left <= rule->n / LIMIT_NEAR_PART;
}

bool limit_same_counter(const struct limit_rule *a, const struct limit_rule *b)
{
	return a->key == b->key && a->what == b->what && a->seconds == b->seconds &&
	       (a->seconds > 0 || a->calendar == b->calendar);
}

const struct limit_rule *limit_next(const struct config *c, struct span plan, size_t *at)
{
	const struct plan *p;
	size_t i = *at;

	if (i < c->n_limit) {
		++*at;
		return &c->limit[i];
	}
	if (c->n_plan == 0)
		return NULL;
	p = config_plan(c, plan);
	if (p == NULL || i - c->n_limit >= p->n_limit)
		return NULL;
	++*at;
	return &p->limit[i - c->n_limit];
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void window_words(const struct limit_rule *r, char to[32])
{
	static const char *const units[LIMIT_CALENDARS] = {"hour", "day", "month"};
	static const struct {
		uint32_t seconds;
		const char *letter;
	} lengths[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	size_t i = 0;

	if (r->seconds == 0) {
		snprintf(to, 32, "calendar %s", units[r->calendar]);
		return;
	}
	while (r->seconds % lengths[i].seconds != 0)
		i++;
	snprintf(to, 32, "%u%s", r->seconds / lengths[i].seconds, lengths[i].letter);
}

const char *limit_text(const struct limit_rule *rule, char out[LIMIT_TEXT])
{
	static const char *const whats[LIMIT_WHATS] = {"messages", "recipients", "octets"};
	static const char *const keys[LIMIT_KEYS] = {
	    " per address", " per net", " per account", " per tenant", " per listener", ""};
	char window[32];

	window_words(rule, window);
	snprintf(out, LIMIT_TEXT, "%llu %s in %s%s", (unsigned long long)rule->n, whats[rule->what],
	    window, keys[rule->key]);
	return out;
}
