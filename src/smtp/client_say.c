/* The client's output, and what EHLO says of the server. */
#include "smtp/client-private.h"
#include "smtp/sasl.h"

enum { LIMIT_DIGITS_MAX = 999999 }; /* RFC 9422: up to six digits */

void client_say(struct client *c, struct span line, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	gw_assert(c->txn == NULL && !c->ready_due && !c->answer_due && !c->closed);
	gw_assert(c->state == CLIENT_S_IDLE || c->state == CLIENT_S_END);
	gw_assert(span_find(line, '\r') < 0 && span_find(line, '\n') < 0);
	if (c->state == CLIENT_S_END || c->excess)
		return;
	c->state = CLIENT_S_SAID;
	client_set_deadline(c, now, c->config->t_helo);
	/* Room for all of it at once: a buffer that grows leaves copies behind. */
	(void)!buf_room(&c->out, line.n + 2);
	buf_add_span(&c->out, line);
	buf_add_str(&c->out, "\r\n");
	if (buf_failed(&c->out))
		client_fail(c, REPLY(451, 4, 3, 0, "the line is too long"), false);
}

void client_on_answer(struct client *c, const struct verdict *v, int64_t now)
{
	client_become_idle(c, now);
	c->ready_due = false;
	c->one_verdict = *v;
	c->answer_due = true;
}

bool client_quiet(const struct client *c)
{
	bool begun = c->reader.total > 0 && !c->reader.whole;

	return c->state == CLIENT_S_IDLE && c->txn == NULL && !c->excess && !begun;
}

void client_start_over(struct client *c, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	gw_assert(!c->ready_due && !c->answer_due);
	if (c->state == CLIENT_S_END)
		return;
	gw_assert(client_quiet(c));
	c->extensions = c->mechanisms = 0;
	c->peer_size = 0;
	c->by_least = 0;
	c->limits = (struct client_limits){0};
	c->owes_rset = false;
	client_say_hello(c, now);
}

/* ---- what the peer offers */

static struct span take_word(struct span *s)
{
	struct span rest = span_trim(*s);
	ptrdiff_t at = span_find(rest, ' ');
	struct span word = at < 0 ? rest : span_first(rest, (size_t)at);

	*s = span_skip(rest, word.n);
	return word;
}

static void learn_mechanisms(struct client *c, struct span names)
{
	for (struct span name = take_word(&names); name.n > 0; name = take_word(&names)) {
		int mechanism = sasl_find(name);

		if (mechanism >= 0)
			c->mechanisms |= UINT32_C(1) << mechanism;
	}
}

/* RFC 9422 section 4: what is not known, or makes no sense, is ignored. */
static void learn_limits(struct client *c, struct span words)
{
	const struct {
		struct span name;
		uint32_t *limit;
	} known[] = {
	    {SPAN("MAILMAX="), &c->limits.mailmax},
	    {SPAN("RCPTMAX="), &c->limits.rcptmax},
	    {SPAN("RCPTDOMAINMAX="), &c->limits.rcptdomainmax},
	};

	for (struct span word = take_word(&words); word.n > 0; word = take_word(&words)) {
		for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
			uint64_t n;

			if (span_starts_case(word, known[i].name) &&
			    span_to_u64(span_skip(word, known[i].name.n), &n) == 0 &&
			    n <= LIMIT_DIGITS_MAX)
				*known[i].limit = (uint32_t)n;
		}
	}
}

void client_learn_extension(struct client *c, struct span line)
{
	int id = ehlo_find(take_word(&line));
	uint64_t size;

	if (id < 0)
		return;
	c->extensions |= UINT32_C(1) << id;
	/* RFC 1870 section 3: without a number, or 0, there is no fixed limit. */
	if (id == EXT_SIZE && span_to_u64(span_trim(line), &size) == 0)
		c->peer_size = size;
	else if (id == EXT_AUTH)
		learn_mechanisms(c, line);
	else if (id == EXT_DELIVERBY && span_to_u64(span_trim(line), &size) == 0)
		c->by_least = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
	else if (id == EXT_LIMITS)
		learn_limits(c, line);
}
