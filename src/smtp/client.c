#include "smtp/client-private.h"

/* An idle engine that nobody used for this long gives its buffers back. */
enum { KEEP_BUFFERS = 1000000 };

_Static_assert(sizeof(struct client) + CLIENT_OUT_MAX + REPLY_TOTAL_MAX <= CLIENT_MEMORY_MAX,
    "CLIENT_MEMORY_MAX does not hold");

void client_config_defaults(struct client_config *c)
{
	const int64_t minute = INT64_C(60000000);

	*c = (struct client_config){
	    .t_greeting = 5 * minute,
	    .t_helo = 5 * minute,
	    .t_mail = 5 * minute,
	    .t_rcpt = 5 * minute,
	    .t_data = 2 * minute,
	    .t_block = 3 * minute,
	    .t_end = 10 * minute,
	    .t_quit = minute / 12,
	    .t_envelope = 60 * minute,
	    .least_rate = 1024,
	    .chunks_from = CLIENT_CHUNKS_FROM,
	    .chunk = CLIENT_CHUNK,
	};
}

void client_config_hurry(struct client_config *c, int64_t most)
{
	int64_t *const waits[] = {&c->t_greeting, &c->t_helo, &c->t_mail, &c->t_rcpt, &c->t_data,
	    &c->t_block, &c->t_end, &c->t_quit};

	for (size_t i = 0; i < GW_ARRAY_LEN(waits); i++) {
		if (*waits[i] > most)
			*waits[i] = most;
	}
}

struct client *client_new(const struct client_config *config, int64_t now)
{
	struct buf home;
	struct client *c;

	buf_init(&home, sizeof(*c));
	c = (struct client *)buf_room(&home, sizeof(*c));
	gw_assert(c != NULL);
	*c = (struct client){.magic = CLIENT_MAGIC, .config = config, .home = home};
	reply_reader_init(&c->reader);
	buf_init(&c->out, CLIENT_OUT_MAX);
	client_set_deadline(c, now, config->t_greeting);
	return c;
}

/* What did not leave may be a secret. */
static void drop_output(struct client *c)
{
	if (c->state == CLIENT_S_SAID)
		buf_wipe(&c->out);
	buf_clear(&c->out);
}

void client_free(struct client **cp)
{
	struct client *c = *cp;
	struct buf home;

	if (c == NULL)
		return;
	gw_check_magic(c, CLIENT_MAGIC);
	reply_reader_fini(&c->reader);
	drop_output(c);
	buf_fini(&c->out);
	c->magic = 0;
	home = c->home;
	buf_fini(&home);
	*cp = NULL;
}

/* ---- states */

void client_set_deadline(struct client *c, int64_t now, int64_t wait)
{
	c->deadline = wait > INT64_MAX - now ? INT64_MAX : now + wait;
}

static const char *step_stage(const struct client *c)
{
	if (c->reply_at < STEP_RCPT)
		return "mail";
	return c->reply_at < client_step_data(c) ? "rcpt" : "data";
}

const char *client_stage(const struct client *c)
{
	switch (c->state) {
	case CLIENT_S_GREETING: return "greeting";
	case CLIENT_S_HELO: return "helo";
	case CLIENT_S_IDLE: return "idle";
	case CLIENT_S_SAID: return "command";
	case CLIENT_S_ENVELOPE: return step_stage(c);
	case CLIENT_S_BODY:
	case CLIENT_S_REFUSED:
	case CLIENT_S_ASK: return "body";
	case CLIENT_S_EOM: return "eom";
	case CLIENT_S_QUIT:
	case CLIENT_S_END: break;
	}
	return "quit";
}

bool client_past_dot(const struct client *c)
{
	/* Of ".\r\n" the dot itself may have left: a peer that forgives much could do with that. */
	return c->state == CLIENT_S_EOM && !c->lone_dot && buf_len(&c->out) < 3;
}

void client_fan(struct client *c, const struct verdict *v)
{
	/* A pending fan is older news about the same recipients, and stands. */
	if (c->fan_due)
		return;
	c->fan = *v;
	c->fan_at = 0;
	c->fan_due = true;
}

void client_become_idle(struct client *c, int64_t now)
{
	c->state = CLIENT_S_IDLE;
	c->ready_due = true;
	client_set_deadline(c, now, KEEP_BUFFERS);
}

void client_txn_over(struct client *c, int64_t now)
{
	c->done_due = true;
	client_become_idle(c, now);
}

void client_end(struct client *c, const struct verdict *v)
{
	if (c->state == CLIENT_S_END)
		return;
	if (c->txn != NULL) {
		client_fan(c, v);
		c->done_due = true;
	}
	c->end = *v;
	drop_output(c);
	c->state = CLIENT_S_END;
	c->body_due = c->ask_due = c->ready_due = false;
	c->closed_due = true;
	c->deadline = INT64_MAX;
}

void client_fail(struct client *c, struct reply r, bool site)
{
	struct verdict v = {.reply = r,
	    .stage = client_stage(c),
	    .source = CLIENT_FROM_US,
	    .past_dot = client_past_dot(c),
	    .site = site};

	client_end(c, &v);
}

/* ---- events */

static bool events_due(const struct client *c)
{
	return c->bad_due || c->one_due || c->fan_due || c->done_due || c->body_due || c->ask_due ||
	       c->answer_due || c->ready_due || c->closed_due;
}

static int rcpt_event(struct client_event *ev, size_t i, const struct verdict *v)
{
	*ev = (struct client_event){.type = CLIENT_RCPT,
	    .rcpt = i,
	    .reply = v->reply,
	    .source = v->source,
	    .stage = v->stage,
	    .past_dot = v->past_dot,
	    .site = v->site};
	return 1;
}

static int bad_event(struct client *c, struct client_event *ev, size_t i)
{
	struct client_rcpt *rcpt = &c->txn->rcpt[i];
	struct verdict v = {.stage = "rcpt", .source = CLIENT_FROM_US};

	if (rcpt->state == RCPT_BEYOND)
		v.reply = REPLY(452, 4, 5, 3, "more recipients than the peer takes at a time");
	else if (rcpt->state == RCPT_BAD_UTF8)
		v.reply = REPLY(553, 5, 6, 7, "the peer takes ASCII addresses only");
	else
		v.reply = REPLY(501, 5, 1, 3, "the address cannot stand in a command");
	rcpt->state = RCPT_SKIPPED;
	return rcpt_event(ev, i, &v);
}

static int next_bad(struct client *c, struct client_event *ev)
{
	for (size_t i = c->fan_at; i < c->txn->n_rcpt; i++) {
		uint8_t state = c->txn->rcpt[i].state;

		if (state >= RCPT_BAD_SYNTAX && state < RCPT_SKIPPED) {
			c->fan_at = i + 1;
			return bad_event(c, ev, i);
		}
	}
	c->bad_due = false;
	c->fan_at = 0;
	return 0;
}

static int next_fan(struct client *c, struct client_event *ev)
{
	while (c->fan_at < c->txn->n_rcpt) {
		size_t i = c->fan_at++;

		if (c->txn->rcpt[i].state < RCPT_DONE) {
			c->txn->rcpt[i].state = RCPT_DONE;
			return rcpt_event(ev, i, &c->fan);
		}
	}
	c->fan_due = false;
	return 0;
}

static int next_rcpt(struct client *c, struct client_event *ev)
{
	if (c->bad_due && next_bad(c, ev) == 1)
		return 1;
	if (c->one_due) {
		c->one_due = false;
		return rcpt_event(ev, c->one, &c->one_verdict);
	}
	return c->fan_due ? next_fan(c, ev) : 0;
}

static int simple_event(struct client_event *ev, enum client_event_type type, bool *due)
{
	*due = false;
	*ev = (struct client_event){.type = type};
	return 1;
}

static int answer_event(struct client *c, struct client_event *ev)
{
	c->answer_due = false;
	(void)rcpt_event(ev, 0, &c->one_verdict);
	ev->type = CLIENT_ANSWER;
	return 1;
}

static int closed_event(struct client *c, struct client_event *ev)
{
	c->closed_due = false;
	c->closed = true;
	(void)rcpt_event(ev, 0, &c->end);
	ev->type = CLIENT_CLOSED;
	return 1;
}

int client_next(struct client *c, struct client_event *ev)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->closed)
		return -1;
	if (next_rcpt(c, ev) == 1)
		return 1;
	if (c->done_due) {
		c->txn = NULL;
		return simple_event(ev, CLIENT_DONE, &c->done_due);
	}
	if (c->body_due)
		return simple_event(ev, CLIENT_WANT_BODY, &c->body_due);
	if (c->ask_due)
		return simple_event(ev, CLIENT_BEFORE_DOT, &c->ask_due);
	if (c->answer_due)
		return answer_event(c, ev);
	if (c->ready_due)
		return simple_event(ev, CLIENT_READY, &c->ready_due);
	return c->closed_due ? closed_event(c, ev) : 0;
}

/* ---- input */

static void talk_nonsense(struct client *c, ptrdiff_t err)
{
	if (c->state == CLIENT_S_QUIT)
		client_fail(c, REPLY(221, 2, 0, 0, "nonsense in answer to QUIT"), false);
	else if (err == GW_ENOMEM)
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
	else if (err == GW_EFULL)
		client_fail(c, REPLY(451, 4, 5, 0, "the peer's reply has no end"), true);
	else
		client_fail(c, REPLY(451, 4, 5, 0, "the peer does not speak SMTP"), true);
}

/* Octets wait: they must belong to a reply that is due, or the events that led to that moment
 * (READY, WANT_BODY) are taken back and nothing more is sent. */
static void expect_reply(struct client *c, int64_t now)
{
	bool inside = c->reader.total > 0 && !c->reader.whole;

	if (!inside && !client_reply_due(c))
		client_excess(c, now);
}

size_t client_feed(struct client *c, struct span in, int64_t now)
{
	struct span rest = in;
	struct reply r;
	bool done;

	gw_check_magic(c, CLIENT_MAGIC);
	if (rest.n != 0 && !events_due(c))
		expect_reply(c, now);
	while (rest.n != 0 && !events_due(c) && c->state != CLIENT_S_END) {
		ptrdiff_t n = reply_reader_feed(&c->reader, rest, &done, &r);

		rest = span_skip(rest, n > 0 ? (size_t)n : 0);
		if (n < 0)
			talk_nonsense(c, n);
		else if (done)
			client_on_reply(c, &r, now);
		if (rest.n != 0)
			expect_reply(c, now);
	}
	return c->state == CLIENT_S_END ? in.n : in.n - rest.n;
}

void client_eof(struct client *c, int64_t now)
{
	(void)now;
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state == CLIENT_S_QUIT)
		client_fail(c, REPLY(221, 2, 0, 0, "closed by the peer"), false);
	else
		client_fail(c, REPLY(451, 4, 4, 2, "the peer closed the connection"),
		    c->state != CLIENT_S_IDLE);
}

/* ---- output and time */

struct span client_output(const struct client *c)
{
	return buf_view(&c->out);
}

/* RFC 5321 section 4.5.3.2.5: content must keep leaving, CLIENT_BLOCK octets at a time. Once all
 * of it left, the answer to CLIENT_BEFORE_DOT has as long. */
static void block_sent(struct client *c, int64_t now)
{
	if (buf_len(&c->out) == 0 && (c->state == CLIENT_S_ASK || c->chunks_due > 0))
		client_set_deadline(c, now, c->config->t_block);
	else if (buf_len(&c->out) == 0)
		c->deadline = INT64_MAX;
	else if (c->sent - c->block_mark < CLIENT_BLOCK)
		return;
	else
		client_set_deadline(c, now, c->config->t_block);
	c->block_mark = c->sent;
}

void client_sent(struct client *c, size_t n, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	buf_drop(&c->out, n);
	c->sent += n;
	if (n == 0)
		return;
	if (c->state == CLIENT_S_SAID) {
		if (buf_len(&c->out) == 0)
			buf_wipe(&c->out);
	} else if (c->state == CLIENT_S_ENVELOPE) {
		client_pump(c, now);
	} else if (c->state == CLIENT_S_BODY || c->state == CLIENT_S_REFUSED ||
		   c->state == CLIENT_S_ASK) {
		block_sent(c, now);
	} else if (c->state == CLIENT_S_EOM && !c->excess) {
		block_sent(c, now);
		if (buf_len(&c->out) == 0)
			client_set_deadline(c, now, c->config->t_end);
	}
}

/* The transaction as a whole has an end, until it is for the peer alone to say what became of
 * it. */
static int64_t limit_of(const struct client *c)
{
	switch (c->state) {
	case CLIENT_S_ENVELOPE:
	case CLIENT_S_BODY:
	case CLIENT_S_REFUSED:
	case CLIENT_S_ASK: return c->txn_limit;
	case CLIENT_S_EOM: return buf_len(&c->out) > 0 ? c->txn_limit : INT64_MAX;
	case CLIENT_S_GREETING:
	case CLIENT_S_HELO:
	case CLIENT_S_IDLE:
	case CLIENT_S_SAID:
	case CLIENT_S_QUIT:
	case CLIENT_S_END: break;
	}
	return INT64_MAX;
}

int64_t client_deadline(const struct client *c)
{
	int64_t limit = limit_of(c);

	return limit < c->deadline ? limit : c->deadline;
}

/* Content, or leave to end it, is what is missing. */
static bool waits_for_owner(const struct client *c)
{
	return (c->state == CLIENT_S_BODY || c->state == CLIENT_S_ASK) && buf_len(&c->out) == 0 &&
	       c->chunks_due == 0;
}

static void too_slow(struct client *c)
{
	if (waits_for_owner(c))
		client_fail(c, REPLY(451, 4, 3, 2, "the message was not sent in time"), false);
	else if (c->state == CLIENT_S_ENVELOPE)
		client_fail(
		    c, REPLY(451, 4, 4, 2, "the peer takes too long over the envelope"), true);
	else
		client_fail(c, REPLY(451, 4, 4, 2, "the peer takes the content too slowly"), true);
}

static void give_memory_back(struct client *c, int64_t now)
{
	/* An event that waits may hold text of the last reply. */
	if (events_due(c)) {
		client_set_deadline(c, now, KEEP_BUFFERS);
		return;
	}
	c->deadline = INT64_MAX;
	buf_trim(&c->out);
	if (c->reader.whole) {
		reply_reader_fini(&c->reader);
		reply_reader_init(&c->reader);
	}
}

static bool content_leaves(const struct client *c)
{
	return buf_len(&c->out) > 0 && (c->state == CLIENT_S_BODY || c->state == CLIENT_S_REFUSED ||
					   c->state == CLIENT_S_ASK || c->state == CLIENT_S_EOM);
}

void client_tick(struct client *c, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (now < client_deadline(c) || c->state == CLIENT_S_END)
		return;
	if (now < c->deadline)
		too_slow(c);
	else if (c->state == CLIENT_S_IDLE && !c->excess)
		give_memory_back(c, now);
	else if (c->state == CLIENT_S_QUIT)
		client_fail(c, REPLY(221, 2, 0, 0, "no answer to QUIT"), false);
	else if (c->state == CLIENT_S_ASK && buf_len(&c->out) == 0)
		client_fail(c, REPLY(451, 4, 3, 2, "no leave to end the message in time"), false);
	else if (content_leaves(c))
		client_fail(c, REPLY(451, 4, 4, 2, "the peer takes no more of the content"), true);
	else
		client_fail(c, REPLY(451, 4, 4, 2, "no reply in time"), true);
}

uint32_t client_extensions(const struct client *c)
{
	return c->extensions;
}

struct client_limits client_peer_limits(const struct client *c)
{
	return c->limits;
}

uint64_t client_peer_size(const struct client *c)
{
	return c->peer_size;
}

uint32_t client_mechanisms(const struct client *c)
{
	return c->mechanisms;
}

bool client_chunks_unknown(const struct client *c)
{
	return c->chunk_unknown;
}
