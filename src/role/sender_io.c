/* Bytes between a socket and its engine. */
#include "role/sender.h"

enum { READ_STEP = 16 << 10 };

/* Who takes no more may have said why: that is read before the end is told. */
static void write_output(struct conn *c)
{
	struct span out;

	while (!c->broken && (out = client_output(c->engine)).n > 0) {
		ptrdiff_t n = stream_write(&c->stream, out);

		if (n < 0) {
			c->broken = n != GW_EBUSY;
			return;
		}
		client_sent(c->engine, (size_t)n, loop_now(c->sender->loop));
	}
}

static void read_input(struct conn *c)
{
	uint8_t *to = buf_room(&c->in, READ_STEP);
	ptrdiff_t n = to ? stream_read(&c->stream, to, READ_STEP) : 0;

	if (n > 0) {
		buf_commit(&c->in, (size_t)n);
	} else if (n != GW_EBUSY || c->broken) {
		c->hung_up = true;
		client_eof(c->engine, loop_now(c->sender->loop));
	}
}

static void set_timer(struct conn *c)
{
	int64_t at = client_deadline(c->engine);

	timer_set(&c->timer, c->limit < at ? c->limit : at);
}

/* Content goes into the engine, octets out, in, and what is said of it is heard. False: c is gone.
 * moved: there may be more to do at once. */
static bool turn(struct conn *c, int64_t now, bool *moved)
{
	size_t before = client_output(c->engine).n, given = 0, taken;

	blotter_stage("writing");
	if (c->wants_body && c->job != NULL)
		given = job_feed_engine(c->job, c->engine, now);
	if (!conn_events(c))
		return false;
	write_output(c);
	if (!conn_events(c))
		return false;
	blotter_stage(BLOTTER_READING);
	if (c->broken || stream_has_input(&c->stream))
		read_input(c);
	taken = client_feed(c->engine, buf_view(&c->in), now);
	buf_drop(&c->in, taken);
	*moved = taken > 0 || ((before > 0 || given > 0) && client_output(c->engine).n == 0);
	return conn_events(c);
}

void conn_process(struct conn *c)
{
	int64_t now = loop_now(c->sender->loop);
	bool moved = true;

	if (guard_shaking(&c->guard)) {
		guard_shake(c);
		return;
	}
	if (!conn_events(c))
		return;
	while (moved && !guard_shaking(&c->guard)) {
		if (!turn(c, now, &moved))
			return;
		if (pull_turn_due(c)) {
			pull_turn(c);
			return;
		}
	}
	buf_trim(&c->in);
	if (guard_shaking(&c->guard)) {
		guard_shake(c);
		return;
	}
	watch_want(&c->watch, true, client_output(c->engine).n > 0 || c->stream.wants_write);
	set_timer(c);
}

void conn_note(const struct conn *c, const char *stage)
{
	if (c->job != NULL)
		blotter_job(c->job->number, &c->job->id, c->peer.text, stage);
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct conn *c = arg;

	conn_note(c, BLOTTER_READING);
	if (!guard_shaking(&c->guard) && (readable || (writable && c->stream.wants_write)))
		read_input(c);
	conn_process(c);
	blotter_clear();
}

void conn_watch(struct conn *c)
{
	watch_start(&c->watch, c->sender->loop, c->stream.fd, on_io, c);
	watch_want(&c->watch, true, false);
}

static void time_passed(struct conn *c)
{
	int64_t now = loop_now(c->sender->loop);

	if (c->limit <= now && c->ready && c->job == NULL) {
		conn_quit(c);
		return;
	}
	if (!guard_shaking(&c->guard) && client_deadline(c->engine) <= now)
		client_tick(c->engine, now);
	conn_process(c);
}

void conn_on_time(void *arg)
{
	conn_note(arg, "time");
	time_passed(arg);
	blotter_clear();
}
