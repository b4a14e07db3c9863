#include "smtp/client-private.h"

enum { RCPT_FRAME = sizeof("RCPT TO:<>\r\n") - 1, COMMAND_MAX = CLIENT_ADDRESS_MAX + 100 };

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
		return RCPT_FRAME + c->txn->rcpt[step - STEP_RCPT].addr.n;
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

static void add_mail(struct client *c)
{
	size_t before = buf_len(&c->out);

	buf_add(&c->out, "MAIL FROM:<", 11);
	buf_add_span(&c->out, c->txn->from);
	buf_add_byte(&c->out, '>');
	if (c->extensions & EXT_BIT(SIZE)) {
		buf_add(&c->out, " SIZE=", 6);
		add_number(&c->out, c->txn->size);
	}
	/* Whoever needs it and is not offered it was turned away in client_send. */
	if (c->txn->eight_bit)
		buf_add(&c->out, " BODY=8BITMIME", 14);
	buf_add(&c->out, "\r\n", 2);
	c->mail_length = (uint32_t)(buf_len(&c->out) - before);
}

static void add_rcpt(struct client *c, struct span addr)
{
	buf_add(&c->out, "RCPT TO:<", 9);
	buf_add_span(&c->out, addr);
	buf_add(&c->out, ">\r\n", 3);
}

static void add_step(struct client *c, size_t step)
{
	if (step == STEP_RSET)
		buf_add(&c->out, "RSET\r\n", 6);
	else if (step == STEP_MAIL)
		add_mail(c);
	else if (step < client_step_data(c))
		add_rcpt(c, c->txn->rcpt[step - STEP_RCPT].addr);
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

static enum rcpt_state judge_address(struct span a)
{
	uint8_t high = 0;

	if (a.n > CLIENT_ADDRESS_MAX)
		return RCPT_BAD_SYNTAX;
	for (size_t i = 0; i < a.n; i++) {
		high |= a.p[i];
		if (a.p[i] < ' ' || a.p[i] == 127)
			return RCPT_BAD_SYNTAX;
	}
	return high & 0x80 ? RCPT_BAD_UTF8 : RCPT_OPEN;
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

		rcpt->state = (uint8_t)judge_address(rcpt->addr);
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

/* What would be refused anyway, or cannot be said to this peer. */
static bool refused_by_us(struct client *c, int64_t now)
{
	const struct client_txn *txn = c->txn;
	enum rcpt_state from = judge_address(txn->from);

	if (from == RCPT_BAD_SYNTAX)
		refuse_all(c, REPLY(501, 5, 1, 7, "the sender cannot stand in a command"), now);
	else if (from == RCPT_BAD_UTF8)
		refuse_all(c, REPLY(553, 5, 6, 7, "the peer takes ASCII senders only"), now);
	else if (c->peer_size != 0 && txn->size > c->peer_size)
		refuse_all(c, REPLY(552, 5, 3, 4, "larger than the peer takes"), now);
	else if (txn->body_type == BODY_BINARYMIME)
		refuse_all(c, REPLY(554, 5, 6, 3, "the peer takes no binary content"), now);
	else if (txn->eight_bit && !(c->extensions & EXT_BIT(EIGHTBITMIME)))
		refuse_all(c, REPLY(554, 5, 6, 3, "the peer takes no 8-bit content"), now);
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
