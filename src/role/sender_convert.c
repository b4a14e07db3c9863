/* Content on its way to a host that takes less than it needs: mail/convert.h, between the job's
 * content and the engine. What the host offers is known once EHLO is answered, so it is decided for
 * each connection anew, and nothing of it is remembered. */
#include "role/sender.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is to be done ------------------------------------------------------------------------
 */

static unsigned modes(const struct job *j, const struct client *engine)
{
	uint32_t offered = client_extensions(engine);
	bool binary = j->order.body_type == BODY_BINARYMIME;
	unsigned mode = 0;

	if (binary && !client_takes_binary(engine))
		mode |= CONVERT_BINARY;
	if (j->order.eight_bit && !(offered & EXT_BIT(EIGHTBITMIME)) &&
	    (!binary || (mode & CONVERT_BINARY)))
		mode |= CONVERT_7BIT;
	if (j->order.eight_bit && j->order.smtputf8 && !client_takes_utf8(engine))
		mode |= CONVERT_HEADER; /* addresses are the engine's to judge */
	return mode;
}

static void set_facts(struct job *j, unsigned mode)
{
	struct client_txn *txn = &j->txn;

	txn->size_unknown = mode != 0;
	txn->eight_bit = j->order.eight_bit && !(mode & CONVERT_7BIT);
	/* Where no octet is above 127 its addresses alone can need it, and speak for themselves. */
	txn->smtputf8 =
	    j->order.smtputf8 && j->order.eight_bit && !(mode & (CONVERT_7BIT | CONVERT_HEADER));
	txn->body_type = (enum body_type)j->order.body_type;
	if (mode & CONVERT_BINARY)
		txn->body_type = txn->eight_bit ? BODY_8BITMIME : BODY_7BIT;
	txn->unfit = SPAN_NONE;
}

/* ---- what cannot be done -----------------------------------------------------------------------
 */

static struct span say_unfit(struct job *j, const struct convert *c)
{
	int n = snprintf(j->unfit, sizeof(j->unfit), "the peer takes no %s content, and %s",
	    c->mode & CONVERT_7BIT     ? "8-bit"
	    : c->mode & CONVERT_BINARY ? "binary"
				       : "UTF-8",
	    c->why);

	return span_of(j->unfit, (size_t)n);
}

/* All of it is here: whether it can be done is known before anything is said to the host. */
static void try_all(struct job *j)
{
	struct span rest = buf_view(&j->body);
	struct convert c;

	if (!j->body_last || j->body_broken || j->body_started)
		return;
	convert_init(&c, j->convert->mode);
	while (rest.n > 0) {
		rest = span_skip(rest, convert_feed(&c, rest));
		buf_drop(&c.out, buf_len(&c.out));
	}
	convert_end(&c);
	if (c.verdict == CONVERT_IMPOSSIBLE)
		j->txn.unfit = say_unfit(j, &c);
	convert_fini(&c);
}

/* ---- for a connection -------------------------------------------------------------------------
 */

void job_unconvert(struct job *j)
{
	if (j->convert == NULL)
		return;
	convert_fini(j->convert);
	free(j->convert);
	j->convert = NULL;
}

void job_fit(struct job *j, const struct client *engine)
{
	unsigned mode = modes(j, engine);

	job_unconvert(j);
	set_facts(j, mode);
	if (mode == 0)
		return;
	j->convert = gw_calloc(1, sizeof(*j->convert));
	convert_init(j->convert, mode);
	try_all(j);
}

static void log_converted(const struct job *j)
{
	unsigned mode = j->convert->mode;
	char id[MSGID_TEXT + 1];
	struct logline l;

	msgid_format(&j->id, id);
	metric_add(METRIC_SENDER_CONVERTED, 1);
	log_begin(&l, EV_CONVERTED);
	log_str(&l, "id", id);
	log_str(&l, "from",
	    mode & CONVERT_BINARY ? "binary"
	    : mode & CONVERT_7BIT ? "8bit"
				  : "utf8_header");
	log_str(&l, "to",
	    mode & CONVERT_7BIT     ? "7bit"
	    : mode & CONVERT_BINARY ? "8bit"
				    : "ascii_header");
	if (j->conn != NULL)
		log_str(&l, "host", j->conn->peer.text);
	log_end(&l);
}

/* ---- content ----------------------------------------------------------------------------------
 */

static size_t give_output(struct job *j, struct client *engine, int64_t now)
{
	struct buf *out = &j->convert->out;
	size_t n, given = 0;

	/* What came out in front of the part that cannot be converted must not look like more. */
	while (j->convert->verdict == CONVERT_FINE && buf_len(out) > 0 &&
	       (n = client_body(engine, buf_view(out), now)) > 0) {
		buf_drop(out, n);
		given += n;
	}
	return given;
}

/* The end is said only when all that was announced went through. */
static void end(struct job *j, struct client *engine, int64_t now)
{
	struct reply r = REPLY(554, 5, 6, 3, "");

	j->ended = true;
	if (j->convert->verdict == CONVERT_IMPOSSIBLE) {
		r.text = say_unfit(j, j->convert);
		client_body_refuse(engine, &r, now);
	} else if (j->body_broken || j->convert->taken != j->order.size) {
		client_body_abort(engine, now);
	} else {
		if (j->convert->changed)
			log_converted(j);
		client_body_end(engine, now);
	}
}

static bool is_over(const struct job *j)
{
	const struct convert *c = j->convert;

	return c->verdict == CONVERT_IMPOSSIBLE || (j->body_broken && buf_len(&j->body) == 0) ||
	       (c->ended && buf_len(&c->out) == 0);
}

size_t job_feed_converted(struct job *j, struct client *engine, int64_t now)
{
	struct convert *c = j->convert;
	size_t given = 0, n;

	do {
		size_t taken = c->ended ? 0 : convert_feed(c, buf_view(&j->body));

		buf_drop(&j->body, taken);
		j->used += (uint32_t)taken;
		if (buf_len(&j->body) == 0 && j->body_last && !c->ended)
			convert_end(c);
		n = give_output(j, engine, now);
		given += n;
	} while (n > 0 && buf_len(&j->body) > 0);
	if (!j->ended && is_over(j))
		end(j, engine, now);
	return given;
}
