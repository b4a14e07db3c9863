/*
 * Why did it die? What the dead process had in hand stands in its blotter. The
 * queue is told of jobs, receivers of addresses, the next queue of records; they see to it that the
 * same thing does not end a process a third time.
 *
 * A process that was taken over may write lies there. With each lie it dies, and it can blame no
 * more than jobs it has (the queue compares), addresses (a table with a ceiling, for a time), or
 * the records of its own spool.
 */
#include "role/master.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/proto.h"

#include <stdio.h>

enum { FRAME_ROOM = 64 };

/* ---- the log --------------------------------------------------------------------------------- */

static void log_hand(struct logline *l, const struct blotter *x)
{
	char text[BLOTTER_ADDR_TEXT];

	if (x->kind == BLOTTER_CLIENT || x->kind == BLOTTER_COMMIT) {
		blotter_addr_format(&x->addr, text);
		log_str(l, "ip", text);
	}
	if (x->kind == BLOTTER_JOB || x->kind == BLOTTER_FRAME || x->kind == BLOTTER_CLIENT)
		log_number(l, x->kind == BLOTTER_CLIENT ? "session" : "job", (int64_t)x->number);
	if (x->kind == BLOTTER_RECORD) {
		log_number(l, "segment", (int64_t)x->segment);
		log_number(l, "offset", (int64_t)x->offset);
	}
	if (x->kind == BLOTTER_JOB || x->kind == BLOTTER_COMMIT || x->kind == BLOTTER_MESSAGE ||
	    x->kind == BLOTTER_RECORD) {
		msgid_format(&x->id, text);
		log_str(l, "id", text);
	}
	if (x->stage[0] != '\0')
		log_str(l, "stage", x->stage);
	if (x->peer[0] != '\0')
		log_str(l, "host", x->peer);
}

static void log_crash(const struct slot *s, int signal, const struct blotter *x)
{
	struct logline l;

	log_begin(&l, EV_ROLE_CRASHED);
	log_str(&l, "role", role_names[s->role]);
	log_number(&l, "index", s->index);
	log_number(&l, "pid", s->child.pid);
	log_number(&l, "signal", signal);
	log_str(&l, "hand", blotter_names[x->kind]);
	log_hand(&l, x);
	log_end(&l);
}

/* ---- a worker: the queue decides --------------------------------------------------------------
 */

static void tell_queue(const struct slot *s, int signal, const struct blotter *x)
{
	struct proto_blame f = {
	    .role = (uint8_t)s->role, .index = (uint8_t)s->index, .signal = (uint8_t)signal};
	const struct slot *queue = &s->master->slot[0];
	struct span part;
	struct buf b;

	gw_assert(queue->role == ROLE_QUEUE);
	if (signal != 0 && x->kind == BLOTTER_JOB) {
		f.job = x->number;
		f.id = x->id;
		f.host = strcmp(x->stage, BLOTTER_READING) == 0;
	}
	if (queue->ipc == NULL)
		return;
	buf_init(&b, FRAME_ROOM);
	proto_put_blame(&b, &f);
	part = buf_view(&b);
	ipc_send(queue->ipc, IPC_BLAME, &part, 1, -1);
	buf_fini(&b);
}

/* ---- an address -------------------------------------------------------------------------------
 */

static void send_deny(const struct slot *s, const struct deny *d, int64_t now)
{
	struct span part;
	struct buf b;

	if ((s->role != ROLE_SMTPD && s->role != ROLE_CONTROL) || s->ipc == NULL)
		return;
	buf_init(&b, FRAME_ROOM);
	deny_put(d, now, &b);
	part = buf_view(&b);
	ipc_send(s->ipc, IPC_DENY, &part, 1, -1);
	buf_fini(&b);
}

static void log_denied(const struct deny *d, int64_t now)
{
	char text[BLOTTER_ADDR_TEXT];
	struct logline l;

	blotter_addr_format(&d->net, text);
	log_begin(&l, EV_CLIENT_DENIED);
	log_str(&l, "ip", text);
	log_number(&l, "crashes", d->crashes);
	log_seconds(&l, "for", d->until - now);
	log_end(&l);
}

static void blame_address(struct master *m, const struct blotter_addr *addr)
{
	int64_t now = loop_now(m->loop);
	const struct deny *d = deny_blame(&m->deny, addr, now);

	if (d == NULL)
		return;
	log_denied(d, now);
	for (size_t i = 0; i < m->n_slot; i++)
		send_deny(&m->slot[i], d, now);
}

/* ---- a record, a message
 * --------------------------------------------------------------------------------- */

static struct suspect *suspect_of(struct master *m, const struct blotter *x)
{
	uint64_t segment = x->kind == BLOTTER_RECORD ? x->segment : 0;
	uint64_t offset = x->kind == BLOTTER_RECORD ? x->offset : 0;
	struct suspect *r;

	for (size_t i = 0; i < m->n_record; i++) {
		r = &m->record[i];
		if (r->segment == segment && r->offset == offset &&
		    (segment != 0 || msgid_eq(&r->id, &x->id)))
			return r;
	}
	if (m->n_record == BOOT_ASIDE_MAX)
		return NULL;
	r = &m->record[m->n_record++];
	*r = (struct suspect){.segment = segment, .offset = offset, .id = x->id};
	return r;
}

/* With more of them than have room, or one that is not passed over, its start is paced. */
static bool blame_record(struct master *m, const struct blotter *x)
{
	struct suspect *r = suspect_of(m, x);

	return r != NULL && ++r->deaths <= 2;
}

void master_blame_boot(const struct slot *s, struct boot *b)
{
	const struct master *m = s->master;

	for (size_t i = 0; i < m->n_record && s->role == ROLE_QUEUE; i++) {
		const struct suspect *r = &m->record[i];

		if (r->deaths < 2)
			continue;
		b->aside[b->n_aside].segment = r->segment;
		b->aside[b->n_aside].offset = r->offset;
		b->aside[b->n_aside++].id = r->id;
	}
}

/* ---- a frame ----------------------------------------------------------------------------------
 */

/* A worker repeats to each new queue what was not confirmed: after the second time it goes too. */
static void blame_feeder(struct master *m, const struct blotter *x)
{
	struct slot *feeder = NULL;

	for (size_t i = 0; i < m->n_slot; i++) {
		if ((uint64_t)m->slot[i].role == x->segment && m->slot[i].index == x->offset)
			feeder = &m->slot[i];
	}
	if (feeder == NULL || (feeder->role != ROLE_SENDER && feeder->role != ROLE_MDA))
		return;
	if (m->feeder == feeder)
		slot_kill(feeder);
	m->feeder = m->feeder == feeder ? NULL : feeder;
}

/* ---- all together -----------------------------------------------------------------------------
 */

static bool blame_in_hand(struct slot *s, const struct blotter *x)
{
	bool is_queue = s->role == ROLE_QUEUE;
	bool is_worker = s->role == ROLE_SENDER || s->role == ROLE_MDA;

	if (is_queue && x->kind == BLOTTER_FRAME)
		blame_feeder(s->master, x);
	else if (is_queue && (x->kind == BLOTTER_RECORD || x->kind == BLOTTER_MESSAGE))
		return blame_record(s->master, x);
	else if ((s->role == ROLE_SMTPD && x->kind == BLOTTER_CLIENT) ||
		 (is_queue && x->kind == BLOTTER_COMMIT))
		blame_address(s->master, &x->addr);
	else
		return is_worker && x->kind == BLOTTER_JOB;
	return true;
}

bool master_blame(struct slot *s, int status)
{
	int signal = blotter_crash(status);
	struct blotter x;

	blotter_read(s->blotter, &x);
	if (signal != 0) {
		metric_add(METRIC_ROLE_CRASHES, 1);
		log_crash(s, signal, &x);
	}
	if (s->role == ROLE_SENDER || s->role == ROLE_MDA)
		tell_queue(s, signal, &x);
	return signal != 0 && blame_in_hand(s, &x);
}

void master_blame_tell(struct slot *s)
{
	const struct master *m = s->master;
	int64_t now = loop_now(m->loop);

	for (size_t i = 0; i < m->deny.n; i++) {
		if (m->deny.row[i].until > now)
			send_deny(s, &m->deny.row[i], now);
	}
}
