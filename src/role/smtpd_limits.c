#include "role/smtpd_limits.h"

#include "base/clock.h"
#include "flow/limit.h"
#include "role/limit_advice.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* ---- who asks ---------------------------------------------------------------------------------
 */

static void ask_of(const struct session *s, bool null_sender, struct limit_ask *ask)
{
	struct accept_client client;

	session_client(s, &client);
	*ask = (struct limit_ask){.account = client.login,
	    .listener = span_str(s->conf->name),
	    .client_ip = span_str(s->ip),
	    .null_sender = null_sender};
	if (client.account != NULL) {
		ask->tenant = client.account->tenant;
		ask->plan = client.account->plan;
	}
}

/* ---- words ------------------------------------------------------------------------------------
 */

enum { TIME_TEXT = 40 };
/* Waits that are no times. */
#define SOON 0
#define NEVER INT64_MAX

/* "2026-11-22 23:00:05 +0100": the first whole second at which it is open. wait: from now. */
static const char *time_text(int64_t wait, char text[TIME_TEXT])
{
	time_t seconds = (time_t)((clock_wall() + wait + USEC_PER_SEC - 1) / USEC_PER_SEC);
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&seconds, &tm) != NULL)
		strftime(text, TIME_TEXT, "%Y-%m-%d %H:%M:%S %z", &tm);
	return text;
}

/* Where a rule stands is for those who belong here. */
static bool is_insider(const struct session *s)
{
	struct accept_client client;

	session_client(s, &client);
	return accept_may_relay(&client);
}

static const char *whose(const struct limit_rule *rule)
{
	switch (rule->key) {
	case LIMIT_BY_ADDRESS: return "your address";
	case LIMIT_BY_NET: return "your network";
	case LIMIT_BY_ACCOUNT: return "your account";
	case LIMIT_BY_TENANT: return "all your accounts";
	case LIMIT_BY_LISTENER:
	case LIMIT_BY_ALL:
	case LIMIT_KEYS: break;
	}
	return "all clients";
}

/* "The limit of 1000/d messages for your account (plan home, godwit.conf:31)" */
static int put_limit(
    const struct session *s, const struct limit_rule *rule, char *text, size_t size)
{
	struct buf rate;
	int n;

	buf_init(&rate, 64);
	if (rule != NULL)
		limit_rate_text(rule, &rate);
	if (rule == NULL)
		n = snprintf(text, size, "A limit");
	else if (!is_insider(s))
		n = snprintf(
		    text, size, "The limit of %s for %s", limit_what_word(rule->what), whose(rule));
	else
		n = snprintf(text, size, "The limit of %.*s %s for %s (%s%.32s%s%.150s:%u)",
		    SPAN_ARG(buf_view(&rate)), limit_what_word(rule->what), whose(rule),
		    rule->plan != NULL ? "plan " : "", rule->plan != NULL ? rule->plan : "",
		    rule->plan != NULL ? ", " : "",
		    rule->place.file != NULL ? rule->place.file : "built in", rule->place.line);
	buf_fini(&rate);
	return n;
}

/* What the log says of the refusal that is told next; the rule is the configuration's, which may
 * go. Few sessions ever meet a limit, so only those have the memory. */
struct limit_hit {
	char limit[128], subject[LIMIT_SUBJECT_MAX], until[TIME_TEXT];
};

static void note(
    struct session *s, const struct limit_rule *rule, const char *subject, const char *until)
{
	char text[LIMIT_TEXT];
	struct limit_hit *h = s->limit_hit;

	if (h == NULL)
		h = s->limit_hit = gw_calloc(1, sizeof(*h));
	snprintf(h->limit, sizeof(h->limit), "%s", rule != NULL ? limit_text(rule, text) : "");
	snprintf(h->subject, sizeof(h->subject), "%s", subject);
	snprintf(h->until, sizeof(h->until), "%s", until);
}

/* What stands in the way: the strictest, and of those the one that opens last. */
struct obstacle {
	const struct limit_rule *rule;
	char subject[LIMIT_SUBJECT_MAX];
	int64_t wait;
};

/* wait: microseconds until it opens, SOON: not known, NEVER. */
static void refuse(struct session *s, const struct limit_rule *rule, const char *subject,
    int64_t wait, struct verdict *v)
{
	char when[TIME_TEXT] = "";
	int n = put_limit(s, rule, v->text, sizeof(v->text));
	size_t at = n > 0 && (size_t)n < sizeof(v->text) ? (size_t)n : 0;

	if (wait == NEVER)
		snprintf(v->text + at, sizeof(v->text) - at, " never lets so much through at once");
	else if (wait == SOON)
		snprintf(
		    v->text + at, sizeof(v->text) - at, " is reached; please send the rest later");
	else
		snprintf(v->text + at, sizeof(v->text) - at,
		    " is reached; there is room again at %s", time_text(wait, when));
	v->ok = false;
	v->reason = "limit";
	v->place = rule != NULL ? rule->place : (struct place){0};
	v->reply = REPLY(452, 4, 7, 1, "");
	if (wait == NEVER && rule != NULL && rule->what == LIMIT_OF_OCTETS)
		v->reply = REPLY(552, 5, 3, 4, "");
	else if (wait == NEVER)
		v->reply = REPLY(550, 5, 7, 1, "");
	v->reply.text = span_str(v->text);
	note(s, rule, subject, when);
}

/* Before the queue was asked. */
static void refuse_early(struct session *s, const struct obstacle *o, struct verdict *v)
{
	refuse(s, o->rule, o->subject, o->wait, v);
	metric_add(METRIC_LIMIT_EARLY, 1);
}

void session_limits_log(const struct session *s, struct logline *l)
{
	const struct limit_hit *h = s->limit_hit;

	if (h == NULL)
		return;
	if (h->limit[0] != '\0')
		log_str(l, "limit", h->limit);
	if (h->subject[0] != '\0')
		log_str(l, "subject", h->subject);
	if (h->until[0] != '\0')
		log_str(l, "until", h->until);
}

/* ---- the table --------------------------------------------------------------------------------
 */

void smtpd_limits_start(struct smtpd *d, uint64_t seed)
{
	d->advice = limit_advice_new(seed, LIMIT_ADVICE_MAX);
}

int smtpd_limits_take(struct smtpd *d, struct span payload)
{
	return limit_advice_take(d->advice, payload, loop_now(d->loop));
}

void smtpd_limits_forget(struct smtpd *d)
{
	limit_advice_clear(d->advice);
}

/* ---- MAIL -------------------------------------------------------------------------------------
 */

static void worse(
    struct obstacle *o, const struct limit_rule *rule, const char *subject, int64_t wait)
{
	if (o->rule != NULL &&
	    (o->rule->over < rule->over || (o->rule->over == rule->over && o->wait >= wait)))
		return;
	o->rule = rule;
	o->wait = wait;
	memcpy(o->subject, subject, strlen(subject) + 1);
}

static int64_t wait_of(int64_t opens, int64_t now)
{
	return opens == INT64_MAX ? NEVER : opens > now ? opens - now : SOON;
}

/* At least that much is to come: one message, one recipient, the octets that the client said. */
static uint64_t least_amount(const struct limit_rule *rule, const struct limit_ask *ask)
{
	uint64_t n = limit_amount(rule->what, ask);

	return n > 0 ? n : 1;
}

static void look_at(struct session *s, const struct limit_rule *rule, const struct limit_ask *ask,
    bool waited, struct obstacle *o)
{
	struct smtpd *d = s->smtpd;
	uint64_t amount = least_amount(rule, ask);
	int64_t now = loop_now(d->loop), opens = 0;
	char subject[LIMIT_SUBJECT_MAX];
	bool ok;

	if (!limit_applies(rule, ask) || !limit_subject(rule->key, ask, subject))
		return;
	if (amount > rule->n) {
		worse(o, rule, subject, NEVER);
		return;
	}
	if (rule->over == LIMIT_HOLD)
		return; /* it is taken, whatever stands before it */
	if (rule->over == LIMIT_DELAY && waited)
		ok = limit_advice_admits_one(d->advice, rule, span_str(subject), now, &opens);
	else
		ok = limit_advice_admits(d->advice, rule, span_str(subject), amount, now, &opens);
	if (!ok)
		worse(o, rule, subject, wait_of(opens, now));
}

static void find_obstacle(
    struct session *s, bool null_sender, uint64_t size, bool waited, struct obstacle *o)
{
	const struct config *c = s->smtpd->config;
	const struct limit_rule *rule;
	struct limit_ask ask;
	size_t at = 0;

	*o = (struct obstacle){.rule = NULL};
	if (c->n_limit == 0 && c->n_plan == 0)
		return;
	ask_of(s, null_sender, &ask);
	ask.octets = size;
	while ((rule = limit_next(c, ask.plan, &at)) != NULL)
		look_at(s, rule, &ask, waited, o);
}

static bool may_wait(const struct session *s, const struct obstacle *o)
{
	const struct smtpd *d = s->smtpd;

	return o->rule->over == LIMIT_DELAY && o->wait != NEVER && o->wait <= LIMITS_WAIT_MAX &&
	       !d->stopping && d->n_waiting <= d->config->limits.connections / LIMITS_WAITERS;
}

bool session_limits_mail(
    struct session *s, bool null_sender, uint64_t size, struct verdict *v, bool *wait)
{
	struct obstacle o;

	find_obstacle(s, null_sender, size, false, &o);
	*wait = o.rule != NULL && may_wait(s, &o);
	if (o.rule == NULL || *wait)
		return true;
	refuse_early(s, &o, v);
	return false;
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

void session_limits_wait(struct session *s, uint64_t size)
{
	int64_t now = loop_now(s->smtpd->loop);

	s->limit_wait.size = size;
	s->limit_wait.until = now + LIMITS_WAIT_MAX;
	s->limit_wait.look = now + LIMITS_LOOK;
	s->smtpd->n_waiting++;
	metric_add(METRIC_LIMIT_WAITS, 1);
}

void session_limits_wait_end(struct session *s)
{
	if (s->limit_wait.until == 0)
		return;
	s->limit_wait.until = 0;
	s->smtpd->n_waiting--;
}

int64_t session_limits_deadline(const struct session *s)
{
	return s->limit_wait.until > 0 ? s->limit_wait.look : INT64_MAX;
}

static void give_up(struct session *s, const struct obstacle *o)
{
	struct verdict v = {.ok = false};

	session_limits_wait_end(s);
	refuse_early(s, o, &v);
	session_log_reject(s, "mail", &v.reply, v.reason, v.place, SPAN_NONE);
	session_say(s, &v.reply);
	txn_free(&s->txn);
}

/* Who hung up waits for nothing, and takes a place. */
static bool is_in_vain(const struct session *s)
{
	return s->eof || s->smtpd->stopping;
}

void session_limits_time(struct session *s, int64_t now)
{
	struct obstacle o;

	if (s->limit_wait.until == 0 || (now < s->limit_wait.look && !is_in_vain(s)))
		return;
	find_obstacle(s, s->txn->from.n == 0, s->limit_wait.size, true, &o);
	if (o.rule == NULL) {
		session_limits_wait_end(s);
		session_begun(s);
	} else if (now >= s->limit_wait.until || is_in_vain(s) || o.rule->over != LIMIT_DELAY) {
		give_up(s, &o);
	} else {
		s->limit_wait.look = now + LIMITS_LOOK;
	}
}

/* ---- RCPT -------------------------------------------------------------------------------------
 */

static void look_at_rcpts(const struct transaction *t, const struct limit_rule *rule,
    const struct limit_ask *ask, struct obstacle *o)
{
	struct smtpd *d = t->session->smtpd;
	int64_t now = loop_now(d->loop), opens = 0;
	char subject[LIMIT_SUBJECT_MAX];

	if (rule->what != LIMIT_OF_RECIPIENTS || !limit_applies(rule, ask) ||
	    !limit_subject(rule->key, ask, subject))
		return;
	if (t->n_rcpt > rule->n) /* of a message that has others, the rest is for another one */
		worse(o, rule, subject, t->n_named > 0 ? SOON : NEVER);
	else if (rule->over != LIMIT_HOLD &&
		 !limit_advice_admits(d->advice, rule, span_str(subject), t->n_rcpt, now, &opens))
		worse(o, rule, subject, wait_of(opens, now));
}

void txn_limits_rcpt(const struct transaction *t, struct verdict *v)
{
	struct session *s = t->session;
	const struct config *c = s->smtpd->config;
	const struct limit_rule *rule;
	struct obstacle o = {.rule = NULL};
	struct limit_ask ask;
	size_t at = 0;

	if (c->n_limit == 0 && c->n_plan == 0)
		return;
	ask_of(s, t->from.n == 0, &ask);
	while ((rule = limit_next(c, ask.plan, &at)) != NULL)
		look_at_rcpts(t, rule, &ask, &o);
	if (o.rule != NULL)
		refuse_early(s, &o, v);
}

/* ---- the end of data --------------------------------------------------------------------------
 */

static const struct limit_rule *rule_of(const struct transaction *t, const struct proto_limit *l)
{
	const struct limit_rule *rule;
	struct limit_ask ask;
	size_t at = 0;

	ask_of(t->session, t->from.n == 0, &ask);
	while ((rule = limit_next(t->session->smtpd->config, ask.plan, &at)) != NULL) {
		if (limit_advice_is_of(l, rule))
			return rule;
	}
	return NULL;
}

void txn_limits_committed(const struct transaction *t, struct span payload, struct verdict *v)
{
	char subject[LIMIT_SUBJECT_MAX];
	struct proto_limit l;

	*v = (struct verdict){.ok = false};
	if (proto_get_limit(payload, &l) < 0) {
		refuse(t->session, NULL, "", SOON, v);
		return;
	}
	span_to_cstr(l.subject, subject, sizeof(subject));
	refuse(t->session, rule_of(t, &l), subject, l.opens_in, v);
}
