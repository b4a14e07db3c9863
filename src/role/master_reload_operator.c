/*
 * Reload, the operator: what he asks for and is answered, what the log says of a refusal, and the
 * time he has to confirm a configuration before the one he had comes back.
 */
#include "role/master.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/reload.h"

enum { LINE_MAX_OCTETS = 900 };

/* ---- what he is told ------------------------------------------------------------------------ */

static struct slot *control_of(struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].role == ROLE_CONTROL)
			return &m->slot[i];
	}
	return NULL;
}

static uint64_t seconds_left(const struct master *m)
{
	const struct reloading *r = &m->reload;

	if (r->goes_back == 0)
		return 0;
	return r->goes_back > reload_now(m)
		   ? (uint64_t)((r->goes_back - reload_now(m) + USEC_PER_SEC - 1) / USEC_PER_SEC)
		   : 1;
}

void reload_tell_operator(
    struct master *m, uint64_t request, enum reload_status status, struct span text)
{
	struct slot *control = control_of(m);
	struct proto_reloaded a = {.request = request,
	    .status = (uint8_t)status,
	    .generation = m->config->generation,
	    .took = (uint64_t)(reload_now(m) - m->reload.since),
	    .goes_back = seconds_left(m),
	    .text = span_first(text, RELOAD_SAID_MAX)};
	struct span part;
	struct buf b;

	if (control == NULL || control->ipc == NULL || !control->ready)
		return;
	buf_init(&b, RELOAD_SAID_MAX + 64);
	proto_put_reloaded(&b, &a);
	part = buf_view(&b);
	ipc_send(control->ipc, IPC_RELOADED, &part, 1, -1);
	buf_fini(&b);
}

/* The first line that says what is wrong; warnings may stand before it. */
static struct span first_line(struct span text)
{
	struct span first = SPAN_NONE;

	while (text.n > 0) {
		ptrdiff_t at = span_find(text, '\n');
		struct span line = at < 0 ? text : span_first(text, (size_t)at);

		if (first.n == 0)
			first = line;
		for (size_t i = 0; i < line.n; i++) {
			if (span_starts(span_skip(line, i), SPAN(": error: ")))
				return line;
		}
		text = at < 0 ? SPAN_NONE : span_skip(text, (size_t)at + 1);
	}
	return first;
}

void reload_log_refused(const struct master *m, struct span why)
{
	struct logline l;

	log_begin(&l, EV_CONFIG_REFUSED);
	log_number(&l, "generation", (int64_t)m->config->generation);
	log_text(&l, "reason", span_first(first_line(why), LINE_MAX_OCTETS));
	log_end(&l);
	metric_set(METRIC_CONFIG_LAST_RELOAD, 0);
}

/* ---- what goes back ---------------------------------------------------------------------- */

static void forget_kept(struct master *m)
{
	master_unseal(&m->reload.kept);
	m->reload.goes_back = 0;
	m->reload.back_waits = false;
	timer_set(&m->reload.unconfirmed, INT64_MAX);
}

/* r->bundle is that of the configuration before. */
void reload_note_confirm(struct master *m)
{
	struct reloading *r = &m->reload;

	if (r->back) {
		forget_kept(m);
	} else if (r->confirm > 0) {
		/* The last one that was confirmed stays the one to go back to. */
		if (r->kept.fd < 0) {
			r->kept = r->bundle;
			r->bundle = (struct bundle_file){.fd = -1};
		}
		r->goes_back = reload_now(m) + r->confirm;
		r->back_waits = false;
		timer_set(&r->unconfirmed, r->goes_back);
	}
	master_unseal(&r->bundle);
}

/* ---- who asks for it ------------------------------------------------------------------------- */

static void keep(struct master *m, uint64_t request)
{
	bool nothing = m->reload.goes_back == 0;
	struct logline l;

	m->reload.since = reload_now(m);
	if (!nothing) {
		forget_kept(m);
		log_begin(&l, EV_CONFIG_KEPT);
		log_number(&l, "generation", (int64_t)m->config->generation);
		log_end(&l);
	}
	reload_tell_operator(m, request, nothing ? RELOAD_NOTHING : RELOAD_DONE, SPAN_NONE);
}

void reload_wanted(struct master *m, const struct proto_reload *p)
{
	struct reloading *r = &m->reload;

	if (r->phase != RELOAD_IDLE || r->asked || m->phase != STOP_NOT) {
		reload_tell_operator(m, p->request, RELOAD_BUSY, SPAN_NONE);
		return;
	}
	if (p->verb == RELOAD_KEEP) {
		keep(m, p->request);
		return;
	}
	r->asked = true;
	r->request = p->request;
	r->confirm = p->verb == RELOAD_CONFIRM ? (int64_t)p->seconds * USEC_PER_SEC : 0;
	reload_hangup(m);
}

/* One that comes before all are there for the first time, or behind another, waits for that. */
void reload_hangup(struct master *m)
{
	struct reloading *r = &m->reload;

	if (m->phase != STOP_NOT)
		return;
	r->once_more = r->phase != RELOAD_IDLE || !m->served;
	if (!r->once_more)
		reload_begin(m);
}

void reload_served(struct master *m)
{
	if (m->reload.once_more)
		reload_hangup(m);
}

void reload_go_back(void *arg)
{
	struct master *m = arg;
	struct reloading *r = &m->reload;

	timer_set(&r->unconfirmed, INT64_MAX);
	if (m->phase != STOP_NOT || r->goes_back == 0)
		return;
	r->back_waits = r->phase != RELOAD_IDLE;
	if (r->back_waits)
		return;
	r->back = true;
	reload_begin(m);
}

/* The way back is first: signals that never end would hold it up for ever. */
void reload_next(struct master *m)
{
	struct reloading *r = &m->reload;

	if (r->back_waits)
		reload_go_back(m);
	if (r->phase == RELOAD_IDLE && r->once_more) {
		r->once_more = false;
		reload_hangup(m);
	}
}
