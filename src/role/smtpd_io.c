/* One client: its bytes between socket and engine, its handshake, its time and its end. */
#include "role/smtpd_auth.h"
#include "role/smtpd_limits.h"
#include "role/smtpd_tls.h"
#include "role/smtpd_turn.h"

#include "base/clock.h"
#include "base/log.h"

enum {
	READ_STEP = 16 << 10,
	LINGER = 2000000,
	LINGER_MAX = 1 << 20,
	LINGERERS_MAX = 1000,
	LAST_WORDS =
	    5000000, /* for what is still to be read by the client of a session that is over */
};

static void process(struct session *s);

/* False when the connection is broken. */
static bool write_output(struct session *s)
{
	struct span out;

	while ((out = server_output(&s->engine)).n > 0) {
		ptrdiff_t n = stream_write(&s->io, out);

		if (n < 0)
			return n == GW_EBUSY;
		server_sent(&s->engine, (size_t)n);
	}
	return true;
}

static void take_events(struct session *s, size_t unread)
{
	struct server_event ev;

	while (server_next(&s->engine, &ev) == 1)
		session_on_event(s, &ev, unread);
}

/* Before the greeting the client has nothing to say: server_early() is a no-op later on. */
static void judge_early(struct session *s, int64_t now)
{
	if (s->engine.state == SERVER_S_CONNECT && buf_len(&s->in) > 0) {
		server_early(&s->engine, now);
		take_events(s, 0);
	}
}

static void feed_all(struct session *s)
{
	int64_t now = loop_now(s->smtpd->loop);
	size_t n;

	judge_early(s, now);
	session_limits_time(s, now);
	do {
		struct span in = buf_view(&s->in);

		n = server_feed(&s->engine, in, now);
		take_events(s, in.n - n);
		buf_drop(&s->in, n);
	} while (n > 0);
	if (s->eof && !s->engine.verdict_due) {
		server_eof(&s->engine, now);
		take_events(s, 0);
	}
}

static void set_timer(struct session *s)
{
	int64_t at = server_deadline(&s->engine);
	const struct transaction *t = s->txn;

	if (s->delayed_until > 0 && s->delayed_until < at)
		at = s->delayed_until;
	if (t != NULL && t->committed && t->committed_at + SMTPD_VERDICT_MAX * USEC_PER_SEC < at)
		at = t->committed_at + SMTPD_VERDICT_MAX * USEC_PER_SEC;
	if (session_is_shaking(s))
		at = s->shake_until;
	if (auth_deadline(s) < at)
		at = auth_deadline(s);
	if (s->waiting.until > 0 && s->waiting.until < at)
		at = s->waiting.until;
	if (session_limits_deadline(s) < at)
		at = session_limits_deadline(s);
	/* It has no deadline any more, and must not stay for as long as nobody reads. */
	if (s->engine.ended && s->gone_by == 0)
		s->gone_by = loop_now(s->smtpd->loop) + LAST_WORDS;
	if (s->gone_by > 0 && s->gone_by < at)
		at = s->gone_by;
	timer_set(&s->timer, at);
}

static bool is_over(struct session *s)
{
	struct server_event ev;

	return server_next(&s->engine, &ev) < 0 && server_output(&s->engine).n == 0;
}

/*
 * The last reply is written. Closing with unread input would reset the
 * connection and could cost the client that reply: it is told that no more comes, and
 * what it still sends is read and forgotten for a moment.
 */
void session_linger(struct session *s)
{
	if (s->eof || s->smtpd->n_lingering >= LINGERERS_MAX) {
		session_free(s);
		return;
	}
	s->lingering = true;
	s->smtpd->n_lingering++;
	session_uncount(s); /* it takes nobody's place any more */
	buf_fini(&s->in);
	stream_shut(&s->io);
	watch_want(&s->watch, true, false);
	timer_set(&s->timer, loop_now(s->smtpd->loop) + LINGER);
}

static void read_and_forget(struct session *s)
{
	ptrdiff_t n = stream_forget(&s->io);

	s->forgotten += n > 0 ? (size_t)n : 0;
	if (n == 0 || (n < 0 && n != GW_EBUSY) || s->forgotten > LINGER_MAX)
		session_free(s);
}

/* What a crash from here on is to be blamed on. */
static void note_client(const struct session *s, const char *stage)
{
	blotter_client(&s->from, s->number, stage);
}

/* Commands and replies until nothing more can be done. False: the connection is broken. */
static bool converse(struct session *s)
{
	bool waits;

	/* What the engine left because nobody had read its replies is due when they are written: no
	 * event will tell of it. */
	do {
		s->in_process = true;
		feed_all(s);
		s->in_process = false;
		waits = server_is_full(&s->engine);
		if (!write_output(s))
			return false;
	} while (waits && server_output(&s->engine).n == 0);
	return true;
}

/* It is time for a handshake: the client connected to speak TLS, or 220 to its STARTTLS is written.
 */
static bool is_handshake_due(struct session *s)
{
	if (session_is_shaking(s) || is_over(s))
		return false;
	return session_needs_handshake(s) ||
	       (server_tls_due(&s->engine) && server_output(&s->engine).n == 0);
}

static int begin_handshake(struct session *s)
{
	/* Came behind STARTTLS while 220 could not be written. */
	if (buf_len(&s->in) > 0) {
		server_early(&s->engine, loop_now(s->smtpd->loop));
		return 1;
	}
	if (!s->helo_given)
		buf_clear(&s->helo);
	return session_begin_tls(s);
}

enum shake { SHAKE_NONE, SHAKE_WAIT, SHAKE_DONE, SHAKE_FAILED };

static enum shake handshake(struct session *s)
{
	int status = is_handshake_due(s) ? begin_handshake(s) : 0;

	if (status == 0 && !session_is_shaking(s))
		return SHAKE_NONE;
	if (status == 0) {
		note_client(s, "handshake");
		status = session_shake(s);
		/* Implicit TLS: what stood still at session_greet() goes on. */
		if (status == 1 && s->engine.verdict_due)
			session_greet(s);
	}
	if (status < 0)
		return SHAKE_FAILED;
	return status == 0 ? SHAKE_WAIT : SHAKE_DONE;
}

/* False: the session is gone, or lingers. */
static bool go_on(struct session *s)
{
	enum shake shake;

	do {
		if (!session_is_shaking(s) && !converse(s)) {
			session_free(s);
			return false;
		}
		shake = handshake(s);
	} while (shake == SHAKE_DONE);
	if (shake == SHAKE_FAILED || is_over(s)) {
		session_linger(s);
		return false;
	}
	return !turn_begins(s);
}

/* Between 220 and the handshake nothing is read in the clear. */
static bool can_read(const struct session *s)
{
	return !s->eof && !session_is_shaking(s) && !server_tls_due(&s->engine) &&
	       !server_turned(&s->engine) && buf_space(&s->in) >= READ_STEP;
}

/* False at the end of the connection. */
static bool read_input(struct session *s)
{
	uint8_t *to = buf_room(&s->in, READ_STEP);
	ptrdiff_t n;

	if (to == NULL)
		return true;
	n = stream_read(&s->io, to, READ_STEP);
	s->reads_by_write = n == GW_EBUSY && s->io.wants_write;
	if (n > 0)
		buf_commit(&s->in, (size_t)n);
	else if (n == 0)
		s->eof = true;
	return n >= 0 || n == GW_EBUSY;
}

/* TLS may hold input that no event announces. False: the session is gone, or lingers. */
static bool go_on_all(struct session *s)
{
	while (go_on(s)) {
		if (!can_read(s) || !stream_has_input(&s->io))
			return true;
		if (!read_input(s)) {
			session_free(s);
			return false;
		}
	}
	return false;
}

static void wait_for_client(struct session *s)
{
	bool writes = s->io.wants_write;

	if (session_is_shaking(s))
		watch_want(&s->watch, !writes, writes);
	else
		watch_want(
		    &s->watch, can_read(s), server_output(&s->engine).n > 0 || s->reads_by_write);
	set_timer(s);
}

static void process(struct session *s)
{
	if (turn_is_on(s))
		return; /* it is the pump's */
	if (s->in_process)
		return; /* called back from within: go_on() goes on */
	note_client(s, s->txn != NULL ? "message" : "commands");
	if (go_on_all(s)) {
		buf_trim(&s->in);
		wait_for_client(s);
	}
	blotter_clear();
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct session *s = arg;

	gw_check_magic(s, SESSION_MAGIC);
	(void)writable;
	note_client(s, "read");
	if (s->proxy != NULL) {
		session_read_proxy(s);
		blotter_clear();
		return;
	}
	if (s->lingering) {
		read_and_forget(s);
		return;
	}
	if ((readable || s->reads_by_write) && can_read(s) && !read_input(s)) {
		session_free(s);
		return;
	}
	process(s);
}

static void on_time(void *arg)
{
	struct session *s = arg;
	int64_t now = loop_now(s->smtpd->loop);
	const struct transaction *t = s->txn;

	gw_check_magic(s, SESSION_MAGIC);
	if (s->lingering) {
		session_free(s);
		return;
	}
	if (s->proxy != NULL) {
		session_proxy_late(s);
		return;
	}
	if (s->gone_by > 0 && now >= s->gone_by) {
		session_free(s);
		return;
	}
	if (session_is_shaking(s) && now >= s->shake_until) {
		session_shake_late(s);
		session_linger(s);
		return;
	}
	if (t != NULL && t->committed &&
	    now >= t->committed_at + SMTPD_VERDICT_MAX * USEC_PER_SEC) {
		session_abandon(s);
		return;
	}
	if (s->delayed_until > 0 && now >= s->delayed_until) {
		s->delayed_until = 0;
		session_say(s, &s->delayed);
	}
	auth_time(s, now);
	if (s->waiting.until > 0 && now >= s->waiting.until) {
		s->waiting.late(s); /* answers: the session may be gone */
		return;
	}
	if (!session_is_shaking(s) && now >= server_deadline(&s->engine)) {
		server_tick(&s->engine, now);
		take_events(s, 0);
	}
	process(s);
}

void session_answer(struct session *s, const struct reply *r)
{
	txn_free(&s->txn);
	if (reply_ok(r))
		session_useful(s);
	session_say(s, r);
	process(s);
}

void session_reply(struct session *s, const struct reply *r)
{
	session_say(s, r);
	process(s);
}

void session_resume(struct session *s)
{
	process(s);
}

void session_wait(struct session *s, const struct waiting *w)
{
	gw_assert(s->waiting.until == 0 && w->until > 0);
	s->waiting = *w;
}

void session_waited(struct session *s)
{
	s->waiting = (struct waiting){.until = 0};
}

void session_early(struct session *s)
{
	server_early(&s->engine, loop_now(s->smtpd->loop));
	take_events(s, 0);
	process(s);
}

void session_abandon(struct session *s)
{
	struct logline l;
	char sid[MSGID_TEXT + 1];

	msgid_format(&s->sid, sid);
	log_begin(&l, EV_DISCONNECT);
	log_str(&l, "sid", sid);
	log_str(&l, "listener", s->conf->name);
	log_str(&l, "ip", s->ip);
	log_str(&l, "reason", "verdict_unknown");
	log_end(&l);
	session_free(s);
}

void session_evict(struct session *s)
{
	/* Who does not read what was said cannot be told this, either. */
	if (s->proxy != NULL || server_output(&s->engine).n > 0) {
		session_free(s);
		return;
	}
	if (session_is_shaking(s)) {
		session_shake_late(s);
		session_free(s);
		return;
	}
	server_evict(&s->engine,
	    &REPLY(421, 4, 3, 2, "Too busy for idle clients, please come again later"),
	    "idle_under_pressure");
	process(s);
}

void session_shutdown(struct session *s)
{
	if (s->lingering)
		return; /* all is said; it counts for nobody any more */
	if (session_is_shaking(s) || s->proxy != NULL) {
		session_free(s); /* nothing was said yet that could be lost */
		return;
	}
	server_shutdown(&s->engine, loop_now(s->smtpd->loop));
	take_events(s, 0);
	process(s);
}

void session_hold(struct session *s, bool hold)
{
	if (s->held == hold)
		return;
	s->held = hold;
	server_hold(&s->engine, hold, loop_now(s->smtpd->loop));
	if (!hold)
		process(s);
}

void session_begin(struct session *s)
{
	struct loop *l = s->smtpd->loop;

	watch_start(&s->watch, l, s->io.fd, on_io, s);
	timer_start(&s->timer, l, on_time, s);
	if (s->proxy == NULL) {
		process(s);
		return;
	}
	watch_want(&s->watch, true, false);
	timer_set(&s->timer, s->proxy_until);
}

void session_go_on(struct session *s)
{
	process(s);
}
