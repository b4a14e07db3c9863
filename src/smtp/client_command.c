/*
 * What the client says: EHLO, MAIL, RCPT and their parameters, pipelined where the server lets
 * it.
 */
#include "smtp/client-private.h"

#include "base/utf8.h"
#include "smtp/xtext.h"

/* The longest: "RCPT TO:<>" with an address, NOTIFY and ORCPT, of which each octet may take six
 * until it is seen that it is too long. */
enum { BY_MOST = 999999999, COMMAND_MAX = CLIENT_ADDRESS_MAX + 6 * XTEXT_ORCPT_MAX + 200 };

void client_say_hello(struct client *c, int64_t now)
{
	const char *verb = "EHLO ";

	if (c->config->lmtp)
		verb = "LHLO ";
	else if (c->helo)
		verb = "HELO ";
	buf_add_str(&c->out, verb);
	buf_add_span(&c->out, c->config->hostname);
	buf_add_str(&c->out, "\r\n");
	c->state = CLIENT_S_HELO;
	c->reader.keep_all = true;
	client_set_deadline(c, now, c->config->t_helo);
	if (buf_failed(&c->out))
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
}

/* ---- steps */

size_t client_step_data(const struct client *c)
{
	return STEP_RCPT + c->txn->n_rcpt;
}

size_t client_step_from(const struct client *c, size_t step)
{
	size_t data = client_step_data(c);

	while (step >= STEP_RCPT && step < data &&
	       c->txn->rcpt[step - STEP_RCPT].state >= RCPT_BAD_SYNTAX)
		step++;
	return step;
}

size_t client_step_length(const struct client *c, size_t step)
{
	if (step == STEP_MAIL)
		return c->mail_length;
	if (step >= STEP_RCPT && step < client_step_data(c))
		return c->txn->rcpt[step - STEP_RCPT].length;
	return sizeof("RSET\r\n") - 1; /* and DATA */
}

static void add_number(struct buf *out, uint64_t v)
{
	uint8_t digits[20];
	size_t n = 0;

	do
		digits[sizeof(digits) - ++n] = (uint8_t)('0' + v % 10);
	while ((v /= 10) != 0);
	buf_add(out, digits + sizeof(digits) - n, n);
}

static bool is_binary(const struct client *c)
{
	return c->txn->body_type == BODY_BINARYMIME;
}

static void add_mail_dsn(struct client *c)
{
	const struct client_txn *txn = c->txn;
	size_t before;

	if (txn->ret != RET_UNSET)
		buf_add_str(&c->out, txn->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (txn->envid.n == 0 || txn->envid.n > XTEXT_ENVID_MAX)
		return;
	before = buf_len(&c->out);
	buf_add(&c->out, " ENVID=", 7);
	xtext_encode(txn->envid, &c->out);
	/* Too long for the parameter: better none than another. */
	if (buf_len(&c->out) - before > 7 + XTEXT_ENVID_MAX)
		buf_cut(&c->out, before);
}

static void add_by(struct client *c)
{
	const struct handling *h = &c->txn->handling;
	int32_t left = c->txn->by_left;

	if (h->by == BY_NONE)
		return;
	left = left > BY_MOST ? BY_MOST : left < -BY_MOST ? -BY_MOST : left;
	buf_addf(
	    &c->out, " BY=%d;%c%s", left, h->by == BY_RETURN ? 'R' : 'N', h->by_trace ? "T" : "");
}

static void add_mail(struct client *c)
{
	size_t before = buf_len(&c->out);

	buf_add(&c->out, "MAIL FROM:<", 11);
	buf_add_span(&c->out, c->txn->from);
	buf_add_byte(&c->out, '>');
	if ((c->extensions & EXT_BIT(SIZE)) && !c->txn->size_unknown) {
		buf_add(&c->out, " SIZE=", 6);
		add_number(&c->out, c->txn->size);
	}
	/* Whoever needs it and is not offered it was turned away in client_send. */
	if (is_binary(c))
		buf_add_str(&c->out, " BODY=BINARYMIME");
	else if (c->txn->eight_bit)
		buf_add(&c->out, " BODY=8BITMIME", 14);
	if (c->utf8)
		buf_add_str(&c->out, " SMTPUTF8");
	if (c->extensions & EXT_BIT(DSN))
		add_mail_dsn(c);
	if ((c->extensions & EXT_BIT(REQUIRETLS)) && c->txn->handling.require_tls)
		buf_add_str(&c->out, " REQUIRETLS");
	if ((c->extensions & EXT_BIT(MT_PRIORITY)) && c->txn->handling.mt_priority != 0)
		buf_addf(&c->out, " MT-PRIORITY=%d", handling_priority(&c->txn->handling));
	if ((c->extensions & EXT_BIT(FUTURERELEASE)) && c->txn->release.n > 0) {
		buf_add_byte(&c->out, ' ');
		buf_add_span(&c->out, c->txn->release);
	}
	if (c->extensions & EXT_BIT(DELIVERBY))
		add_by(c);
	buf_add(&c->out, "\r\n", 2);
	c->mail_length = (uint32_t)(buf_len(&c->out) - before);
}

static void add_notify(struct buf *out, uint8_t notify)
{
	static const char *const words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
	const char *before = " NOTIFY=";

	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (!(notify & 1u << i))
			continue;
		buf_add_str(out, before);
		buf_add_str(out, words[i]);
		before = ",";
	}
}

/*
 * What the recipient is known as to the sender goes on with the message. Where nobody said it,
 * RFC 3461 section 5.2.1 lets us say it was this address: of use to the sender only if
 * it asked for reports, so only then.
 */
static void add_orcpt(struct client *c, const struct client_rcpt *r)
{
	size_t before = buf_len(&c->out);
	struct buf own;
	int err;

	if (r->orcpt.n == 0 && r->notify == 0)
		return;
	buf_add(&c->out, " ORCPT=", 7);
	if (r->orcpt.n > 0) {
		err = orcpt_encode(r->orcpt, c->utf8, &c->out);
	} else {
		buf_init(&own, CLIENT_ADDRESS_MAX + 8);
		buf_add_str(&own, utf8_beyond_ascii(r->addr) ? "utf-8;" : "rfc822;");
		buf_add_span(&own, r->addr);
		err = orcpt_encode(buf_view(&own), c->utf8, &c->out);
		buf_fini(&own);
	}
	if (err != 0)
		buf_cut(&c->out, before);
}

static void add_rcpt(struct client *c, struct client_rcpt *r)
{
	size_t before = buf_len(&c->out);

	buf_add(&c->out, "RCPT TO:<", 9);
	buf_add_span(&c->out, r->addr);
	buf_add_byte(&c->out, '>');
	if (c->extensions & EXT_BIT(DSN)) {
		add_notify(&c->out, r->notify);
		add_orcpt(c, r);
	}
	buf_add(&c->out, "\r\n", 2);
	r->length = (uint16_t)(buf_len(&c->out) - before);
}

static void add_step(struct client *c, size_t step)
{
	if (step == STEP_RSET)
		buf_add(&c->out, "RSET\r\n", 6);
	else if (step == STEP_MAIL)
		add_mail(c);
	else if (step < client_step_data(c))
		add_rcpt(c, &c->txn->rcpt[step - STEP_RCPT]);
	else
		buf_add(&c->out, "DATA\r\n", 6);
	c->owes_rset = true;
}

static int64_t step_wait(const struct client *c, size_t step)
{
	if (step < STEP_RCPT)
		return c->config->t_mail;
	return step < client_step_data(c) ? c->config->t_rcpt : c->config->t_data;
}

void client_step_due(struct client *c, int64_t now)
{
	client_set_deadline(c, now, step_wait(c, c->reply_at));
}

static bool may_send(const struct client *c)
{
	bool waiting = c->reply_at != c->send_at;
	size_t data = client_step_data(c);

	if (c->chunked && c->send_at == data)
		return false;

	if (c->mail_refused || c->excess || c->send_at > data)
		return false;
	if (waiting && !(c->extensions & EXT_BIT(PIPELINING)))
		return false;
	/* DATA while nobody is accepted only if somebody still may be. */
	if (c->send_at == data && c->accepted == 0 && !waiting)
		return false;
	return buf_space(&c->out) >= COMMAND_MAX;
}

void client_pump(struct client *c, int64_t now)
{
	while (may_send(c)) {
		if (c->reply_at == c->send_at)
			client_step_due(c, now);
		add_step(c, c->send_at);
		c->send_at = client_step_from(c, c->send_at + 1);
	}
	if (buf_failed(&c->out))
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
}

/* ---- a new transaction */

bool client_takes_utf8(const struct client *c)
{
	uint32_t both = EXT_BIT(SMTPUTF8) | EXT_BIT(EIGHTBITMIME);

	return (c->extensions & both) == both;
}

static enum rcpt_state judge_address(const struct client *c, struct span a)
{
	if (a.n > CLIENT_ADDRESS_MAX || !utf8_valid(a))
		return RCPT_BAD_SYNTAX;
	for (size_t i = 0; i < a.n; i++) {
		if (a.p[i] < ' ' || a.p[i] == 127)
			return RCPT_BAD_SYNTAX;
	}
	return utf8_beyond_ascii(a) && !client_takes_utf8(c) ? RCPT_BAD_UTF8 : RCPT_OPEN;
}

/* RFC 6531 section 3.4: is there anything that needs it? */
static bool needs_utf8(const struct client_txn *txn)
{
	bool need = txn->smtputf8 || utf8_beyond_ascii(txn->from);

	for (size_t i = 0; i < txn->n_rcpt && !need; i++)
		need = txn->rcpt[i].state == RCPT_OPEN && utf8_beyond_ascii(txn->rcpt[i].addr);
	return need;
}

static struct span domain_of(struct span addr)
{
	size_t at = addr.n;

	while (at > 0 && addr.p[at - 1] != '@')
		at--;
	return span_skip(addr, at);
}

/* Is a recipient before i, who is to be sent, at the same domain? */
static bool domain_seen(const struct client_txn *txn, size_t i)
{
	struct span domain = domain_of(txn->rcpt[i].addr);

	for (size_t k = 0; k < i; k++) {
		if (txn->rcpt[k].state == RCPT_OPEN &&
		    span_eq_case(domain_of(txn->rcpt[k].addr), domain))
			return true;
	}
	return false;
}

/* One more: is it within the limits of the peer? */
static bool within_limits(const struct client *c, size_t i, size_t good, size_t *domains)
{
	if (c->limits.rcptmax != 0 && good >= c->limits.rcptmax)
		return false;
	if (c->limits.rcptdomainmax == 0 || domain_seen(c->txn, i))
		return true;
	if (*domains >= c->limits.rcptdomainmax)
		return false;
	++*domains;
	return true;
}

static size_t judge_recipients(struct client *c)
{
	size_t good = 0, domains = 0;

	for (size_t i = 0; i < c->txn->n_rcpt; i++) {
		struct client_rcpt *rcpt = &c->txn->rcpt[i];

		rcpt->state = (uint8_t)judge_address(c, rcpt->addr);
		/* RCPT TO:<> means nothing. */
		if (rcpt->addr.n == 0)
			rcpt->state = RCPT_BAD_SYNTAX;
		if (rcpt->state == RCPT_OPEN && !within_limits(c, i, good, &domains))
			rcpt->state = RCPT_BEYOND;
		if (rcpt->state == RCPT_OPEN)
			good++;
		else
			c->bad_due = true;
	}
	return good;
}

static void fan_all(struct client *c, struct reply r, bool site)
{
	struct verdict v = {.reply = r, .stage = "mail", .source = CLIENT_FROM_US, .site = site};

	for (size_t i = 0; i < c->txn->n_rcpt; i++)
		c->txn->rcpt[i].state = RCPT_OPEN;
	client_fan(c, &v);
}

static void refuse_all(struct client *c, struct reply r, int64_t now)
{
	fan_all(c, r, false);
	client_txn_over(c, now);
}

/* The end came between CLIENT_READY and client_send, and was not taken yet. */
static void too_late(struct client *c)
{
	fan_all(c, REPLY(451, 4, 4, 2, "the connection ended before the message"), true);
	c->done_due = true;
}

/* RFC 2852 section 4.1: what is to come back is passed on to those who see to that. */
bool client_keeps_time(const struct client *c, const struct client_txn *txn, struct reply *why)
{
	if (txn->handling.by != BY_RETURN)
		return true;
	if (txn->by_left <= 0)
		*why = REPLY(554, 5, 4, 7, "the time in which it was to be delivered is over");
	else if (txn->final)
		return true;
	else if (!(c->extensions & EXT_BIT(DELIVERBY)))
		*why = REPLY(554, 5, 4, 7,
		    "delivery in time cannot be guaranteed: the peer does not offer DELIVERBY");
	else if (c->by_least > (uint32_t)txn->by_left)
		*why = REPLY(554, 5, 4, 7,
		    "delivery in time cannot be guaranteed: the peer wants more time");
	else
		return true;
	return false;
}

/* What would be refused anyway, or cannot be said to this peer. */
static bool refused_by_us(struct client *c, int64_t now)
{
	const struct client_txn *txn = c->txn;
	enum rcpt_state from = judge_address(c, txn->from);
	struct reply late;

	if (from == RCPT_BAD_SYNTAX)
		refuse_all(c, REPLY(501, 5, 1, 7, "the sender cannot stand in a command"), now);
	else if (from == RCPT_BAD_UTF8)
		refuse_all(c, REPLY(553, 5, 6, 7, "the peer takes ASCII senders only"), now);
	else if (txn->unfit.n > 0)
		refuse_all(c, (struct reply){554, {5, 6, 3}, txn->unfit}, now);
	else if (txn->smtputf8 && !client_takes_utf8(c))
		refuse_all(c, REPLY(554, 5, 6, 9, "the peer takes ASCII headers only"), now);
	else if (c->peer_size != 0 && txn->size > c->peer_size)
		refuse_all(c, REPLY(552, 5, 3, 4, "larger than the peer takes"), now);
	else if (is_binary(c) && !client_takes_binary(c))
		refuse_all(c, REPLY(554, 5, 6, 3, "the peer takes no binary content"), now);
	else if (txn->eight_bit && !is_binary(c) && !(c->extensions & EXT_BIT(EIGHTBITMIME)))
		refuse_all(c, REPLY(554, 5, 6, 3, "the peer takes no 8-bit content"), now);
	else if (!client_keeps_time(c, txn, &late))
		refuse_all(c, late, now);
	else
		return false;
	return true;
}

static void begin(struct client *c, int64_t now)
{
	c->state = CLIENT_S_ENVELOPE;
	c->send_at = c->reply_at = c->owes_rset ? STEP_RSET : STEP_MAIL;
	c->reply_mark = c->sent + buf_len(&c->out);
	c->accepted = 0;
	c->mail_refused = c->lone_dot = false;
	c->chunked = client_chunks_fit(c);
	c->utf8 = needs_utf8(c->txn);
	c->txn_limit =
	    c->config->t_envelope > INT64_MAX - now ? INT64_MAX : now + c->config->t_envelope;
	client_pump(c, now);
}

void client_send(struct client *c, struct client_txn *txn, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	gw_assert(c->txn == NULL && !c->ready_due && !c->closed);
	gw_assert(c->state == CLIENT_S_IDLE || c->state == CLIENT_S_END);
	c->txn = txn;
	c->fan_at = 0;
	if (c->state == CLIENT_S_END)
		too_late(c);
	else if (refused_by_us(c, now))
		return;
	else if (judge_recipients(c) > 0)
		begin(c, now);
	else
		client_txn_over(c, now);
}

void client_quit(struct client *c, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state == CLIENT_S_QUIT || c->state == CLIENT_S_END)
		return;
	if (c->state != CLIENT_S_IDLE || c->txn != NULL) {
		client_fail(c, REPLY(451, 4, 3, 2, "the session was ended by us"), false);
		return;
	}
	c->ready_due = false;
	buf_add(&c->out, "QUIT\r\n", 6);
	c->state = CLIENT_S_QUIT;
	client_set_deadline(c, now, c->config->t_quit);
	if (buf_failed(&c->out))
		client_fail(c, REPLY(221, 2, 0, 0, "closed by us"), false);
}
