#include "sim/judge.h"

#include "sim/people.h"

#include "sim/peers.h"
#include "sim/trace.h"

#include <stdlib.h>

enum { SCRATCH = 1 << 20, KEPT = 64 << 20, CHUNK = 64 << 10 };
/* After so long everything that was deferred is due, and nothing has expired. */
enum { TURNS = 8, TOLD_MOST = 64 };
#define UNTIL_DUE INT64_C(100000000)

/* What the records of this image say about one message, merged without the program's help. */
struct said_rcpt {
	enum outcome outcome;
	uint32_t number, attempts;
	unsigned handed;
};

struct said {
	uint64_t image; /* which this is about; else nothing was said */
	bool finished;  /* it came as a nonce only */
	struct said_rcpt rcpt[MAIL_RCPTS];
};

struct known_change {
	const struct mail *about;
	struct change_rcpt *rcpt; /* their texts are gone */
	size_t n;
};

/* A record that came back before, by the checksum of its meta. */
struct known {
	uint64_t sum;
	struct known_change change[2];
	size_t n;
};

struct judge {
	struct world *w;
	struct store *store;
	struct broker *broker;
	struct accounts *accounts;
	uint64_t image;
	struct said *said; /* beside the mail of the book */
	size_t cap;
	struct arena scratch, kept; /* for an envelope; for the history */
	struct map known;
	uint8_t *buffer;
	struct buf meta; /* of the record that was read back last */
	/* The job whose content comes. */
	uint64_t job;
	const struct mail *mail;
	uint64_t sent;
	/* Jobs that were handed out and are not over. */
	struct judged_job {
		uint64_t number;
		unsigned worker;
		struct msgid id;
	} * jobs;
	size_t n_jobs, cap_jobs;
	char told[TOLD_MOST][64]; /* in summaries, or copies */
	size_t n_told;
	int64_t now;
	int answer;
};

struct judge *judge_new(void)
{
	struct judge *j = gw_calloc(1, sizeof(*j));

	arena_init(&j->scratch, SCRATCH);
	arena_init(&j->kept, KEPT);
	map_init(&j->known, 11);
	j->buffer = gw_calloc(1, CHUNK);
	buf_init(&j->meta, SCRATCH);
	return j;
}

/* A broken promise leaves them behind. */
static void end(struct judge *j)
{
	broker_free(&j->broker);
	accounts_free(&j->accounts);
	store_close(&j->store);
}

void judge_free(struct judge **pj)
{
	struct judge *j = *pj;

	if (!j)
		return;
	arena_reset(&j->scratch);
	arena_reset(&j->kept);
	map_fini(&j->known);
	free(j->said);
	free(j->jobs);
	free(j->buffer);
	buf_fini(&j->meta);
	free(j);
	*pj = NULL;
}

void judge_begin(struct judge *j)
{
	j->broker = NULL;
	j->store = NULL;
	j->n_jobs = j->n_told = 0;
	map_fini(&j->known);
	arena_reset(&j->kept);
}

static struct said *said_of(struct judge *j, const struct mail *m)
{
	return &j->said[m->index];
}

static bool is_given(struct judge *j, const struct mail *m)
{
	return said_of(j, m)->image == j->image;
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* A finished recipient is never undone, else the higher number counts (mail/change.h). */
static void merge(struct said_rcpt *r, const struct change_rcpt *c)
{
	if (outcome_final(r->outcome) || (!outcome_final(c->outcome) && c->number <= r->number))
		return;
	r->outcome = c->outcome;
	r->number = c->number;
	r->attempts = c->attempts;
}

/* The same record comes back in thousands of images: its changes are decoded once. */
static void keep_change(struct judge *j, struct known *k, struct span in)
{
	struct known_change *to = &k->change[k->n++];
	struct change c;

	if (change_decode(&c, in, &j->kept) != 0)
		sim_fail("a change that cannot be read survived");
	to->about = book_find(&j->w->book, &c.id);
	if (to->about == NULL)
		sim_fail("a change of a message that was never made survived");
	to->rcpt = c.rcpt;
	to->n = c.n_rcpt;
	for (size_t i = 0; i < c.n_rcpt; i++) {
		if (c.rcpt[i].index >= to->about->n_rcpt)
			sim_fail("mail %d: a change of recipient %u survived", to->about->index,
			    c.rcpt[i].index);
	}
}

static void keep_message(struct judge *j, struct known *k, const struct store_record *r)
{
	struct envelope e;

	arena_reset(&j->scratch);
	if (envelope_decode(&e, r->meta, &j->scratch) != 0)
		sim_fail("an envelope that cannot be read survived");
	if (e.ends.n > 0 && r->body_at.length > 0)
		keep_change(j, k, e.ends);
	if (e.state.n > 0)
		keep_change(j, k, e.state);
	if (e.held.n > 0)
		keep_change(j, k, e.held);
}

static const struct known *known_record(struct judge *j, const struct store_record *r)
{
	uint64_t sum = r->meta_at.sum ^ (uint64_t)r->type << 56;
	struct known *k = map_get(&j->known, span_of(&sum, sizeof(sum)));

	if (k != NULL)
		return k;
	k = arena_alloc(&j->kept, sizeof(*k));
	gw_assert(k != NULL);
	*k = (struct known){.sum = sum};
	if (r->type == REC_MESSAGE)
		keep_message(j, k, r);
	else
		keep_change(j, k, r->meta);
	map_put(&j->known, span_of(&k->sum, sizeof(k->sum)), k);
	return k;
}

static void take_change(struct judge *j, const struct known_change *c, bool with_report)
{
	const struct mail *m = c->about;

	for (size_t i = 0; i < c->n; i++) {
		uint32_t index = c->rcpt[i].index;

		if (!with_report && m->rcpt[index].final == OUTCOME_NONE &&
		    book_wants_report(m, index, c->rcpt[i].outcome) &&
		    !book_summed(&j->w->book, m, index))
			sim_fail("mail %d recipient %u: its failure survived without its report",
			    m->index, index);
		if (is_given(j, m))
			merge(&said_of(j, m)->rcpt[index], &c->rcpt[i]);
	}
}

static void take_message(struct judge *j, const struct store_record *r)
{
	const struct mail *m = book_find(&j->w->book, &r->id);

	if (m == NULL)
		sim_fail("a message that was never made survived");
	if (m->state == MAIL_REFUSED || m->state == MAIL_OPEN)
		sim_fail("mail %d was %s and survived", m->index,
		    m->state == MAIL_OPEN ? "never committed" : "refused");
	if (is_given(j, m))
		return;
	*said_of(j, m) = (struct said){.image = j->image};
	said_of(j, m)->finished = r->body_at.length == 0;
}

static void take_record(struct judge *j, const struct store_record *r)
{
	struct part at = {r->body_at.segment, r->body_at.offset, r->body_at.length, r->body_at.sum};
	enum broker_record type = world_record(r->type);
	struct record_place place = {r->meta_at.segment, r->meta_at.offset};
	static const struct known nothing;
	const struct known *k;

	if (type == BROKER_PART)
		return;
	k = type == BROKER_COUNTERS || type == BROKER_COUNTED ? &nothing : known_record(j, r);
	if (type == BROKER_MESSAGE)
		take_message(j, r);
	for (size_t i = 0; i < k->n; i++)
		take_change(j, &k->change[i], type == BROKER_MESSAGE);
	if (broker_recover(j->broker, type, r->meta, &place, &at) < 0)
		sim_fail("a record of the image makes no sense to the broker");
}

/* ---- what the new broker reads back -----------------------------------------------------------
 */

static int log_record(void *arg, const struct record_place *at, enum broker_record *type,
    struct span *meta, struct part *body)
{
	struct judge *j = arg;
	struct store_record r;

	if (store_read_record(j->store, at->segment, at->offset, &r, &j->meta) != 0)
		sim_fail("a record of the image cannot be read back");
	*type = world_record(r.type);
	*meta = r.meta;
	*body = (struct part){r.body_at.segment, r.body_at.offset, r.body_at.length, r.body_at.sum};
	return 0;
}

static int log_content(void *arg, const struct part *piece, uint8_t *to)
{
	struct judge *j = arg;
	struct extent at = {piece->segment, piece->offset, piece->length, piece->sum};

	if (store_read_at(j->store, &at, 0, to, piece->length) != (int64_t)piece->length)
		sim_fail("content of the image cannot be read back");
	return 0;
}

static void recover(struct judge *j, struct disk *image)
{
	struct broker_params p = {.config = j->w->config,
	    .seed = j->image,
	    .first_number = (uint64_t)j->w->now << 8,
	    .ready_max = j->image % 2 ? 2 : 4096,
	    .log = {.record = log_record, .content = log_content, .arg = j}};
	struct store_damage damage = {0};
	struct store_record r;
	char why[100] = "";
	int more;

	if (store_open(&j->store, image, &j->w->params, why, sizeof(why)) != 0)
		sim_fail("the image cannot be opened: %s", why);
	j->broker = broker_new(&p);
	j->accounts = people_table(0);
	while ((more = store_recover(j->store, &r, &damage)) == 1)
		take_record(j, &r);
	if (more != 0 || damage.records > 0 || damage.strangers > 0)
		sim_fail("recovery of the image: %d, %llu damaged, %llu strangers", more,
		    (unsigned long long)damage.records, (unsigned long long)damage.strangers);
}

/* ---- what the new broker does ------------------------------------------------------------------
 */

static void end_of_job(struct judge *j)
{
	if (j->mail != NULL && j->sent != j->mail->size)
		sim_fail("mail %d: %llu of %zu octets are handed out", j->mail->index,
		    (unsigned long long)j->sent, j->mail->size);
	j->mail = NULL;
}

static void note_job(struct judge *j, const struct broker_effect *e)
{
	if (j->n_jobs == j->cap_jobs) {
		j->cap_jobs = j->cap_jobs ? 2 * j->cap_jobs : 64;
		j->jobs = gw_realloc(j->jobs, j->cap_jobs * sizeof(*j->jobs));
	}
	j->jobs[j->n_jobs++] = (struct judged_job){e->number, e->peer, e->id};
}

static void take_job(struct judge *j, const struct broker_effect *e)
{
	struct mail *m = book_find(&j->w->book, &e->id);

	end_of_job(j);
	if (m != NULL)
		book_check_release(m, j->now);
	if (m == NULL || !is_given(j, m))
		sim_fail("mail %d is handed out and did not survive", m ? m->index : -1);
	for (size_t i = 0; i < e->n_rcpt; i++) {
		uint32_t index = e->rcpt[i].index;
		struct said_rcpt *r = &said_of(j, m)->rcpt[index < MAIL_RCPTS ? index : 0];

		if (index >= m->n_rcpt || !span_eq(e->rcpt[i].addr, span_str(m->rcpt[index].addr)))
			sim_fail("mail %d: a wrong recipient", m->index);
		if (outcome_final(r->outcome) || r->handed++ > 0)
			sim_fail(
			    "mail %d recipient %u has ended and is handed out", m->index, index);
		if (e->rcpt[i].attempts < m->rcpt[index].attempts)
			sim_fail("mail %d recipient %u: attempt %u was durable, %u is known",
			    m->index, index, m->rcpt[index].attempts, e->rcpt[i].attempts);
	}
	note_job(j, e);
	j->job = e->number;
	j->mail = m;
	j->sent = 0;
}

static struct span stored(struct judge *j, const struct broker_effect *e)
{
	struct extent at = {e->piece.segment, e->piece.offset, e->piece.length, e->piece.sum};

	if (e->octets > CHUNK)
		sim_fail("%u octets asked for at once", e->octets);
	if (store_read_at(j->store, &at, e->from_octet, j->buffer, e->octets) != (int64_t)e->octets)
		sim_fail("stored content cannot be read");
	return span_of(j->buffer, e->octets);
}

static void take_body(struct judge *j, const struct broker_effect *e)
{
	if (e->number != j->job)
		return;
	book_content(j->mail, j->sent, e->data.p ? e->data : stored(j, e));
	j->sent += e->octets;
}

static void tell_hosts(struct judge *j, struct span domain)
{
	struct span host = SPAN("mx.a.test");
	struct broker_mx mx = {.kind = MX_HOSTS, .host = &host, .n_host = 1, .ttl = 60};

	broker_resolved(j->broker, domain, &mx, j->now);
}

/* Who is told in a summary; appends are never answered here. */
static void take_append(struct judge *j, const struct broker_effect *e)
{
	struct envelope env;

	arena_reset(&j->scratch);
	if (e->record != BROKER_MESSAGE || envelope_decode(&env, e->meta, &j->scratch) != 0 ||
	    env.ends.n > 0 || env.state.n > 0 || j->n_told == TOLD_MOST)
		return;
	span_to_cstr(env.rcpt[0].addr, j->told[j->n_told++], sizeof(j->told[0]));
}

static bool is_told(const struct judge *j, const char *whom)
{
	for (size_t i = 0; i < j->n_told; i++) {
		if (strcmp(j->told[i], whom) == 0)
			return true;
	}
	return false;
}

static void carry_out(struct judge *j)
{
	struct broker_effect e;

	while (broker_next(j->broker, &e) == 1) {
		switch (e.type) {
		case EFFECT_JOB: take_job(j, &e); break;
		case EFFECT_BODY: take_body(j, &e); break;
		case EFFECT_HOLD: store_hold(j->store, e.segment); break;
		case EFFECT_RELEASE: store_release(j->store, e.segment); break;
		case EFFECT_COMMITTED: j->answer = e.status; break;
		case EFFECT_RESOLVE: tell_hosts(j, e.data); break;
		case EFFECT_READ_HEAD:
			broker_head(j->broker, e.token, stored(j, &e), j->w->now);
			break;
		case EFFECT_APPEND: take_append(j, &e); break;
		case EFFECT_PART_CREDIT:
		case EFFECT_INTAKE:
		case EFFECT_CONFIRM:
		case EFFECT_GO:
		case EFFECT_CLOSE:
		case EFFECT_LIMIT:
		case EFFECT_INDEX:
		case EFFECT_ANSWER: break;
		}
	}
	end_of_job(j);
}

/* What operators paused in this history would stay where it is. */
static void resume_all(struct judge *j, int64_t now)
{
	const struct broker_order all = {.group = SPAN("all"), .who = SPAN("judge")};
	struct buf out;

	buf_init(&out, 1024);
	(void)!broker_resume(j->broker, &all, &out, now);
	buf_fini(&out);
}

/* Where something waits for its turn with the loop, it comes at once. */
static void turn(struct judge *j)
{
	for (int i = 0; i == 0 || (i < TURNS && broker_deadline(j->broker) <= j->now); i++) {
		broker_tick(j->broker, j->now);
		carry_out(j);
	}
}

/* Groups begin with few connections: what is under way gives way to the rest, until all was. The
 * time for a second try does not come. */
static void hand_out_the_rest(struct judge *j)
{
	while (j->n_jobs > 0) {
		struct judged_job done = j->jobs[--j->n_jobs];
		struct change nothing_said = {.id = done.id, .when = j->now};

		if (broker_result(
			j->broker, done.worker, done.number, false, &nothing_said, j->now))
			sim_fail("a result is refused");
		carry_out(j);
		turn(j);
	}
}

static void hand_out(struct judge *j)
{
	int64_t now = j->now = j->w->now;

	broker_recovered(j->broker, now);
	carry_out(j);
	resume_all(j, now);
	carry_out(j);
	broker_accounts(j->broker, j->accounts, now);
	for (unsigned i = 0; i < WORKERS; i++)
		broker_worker_up(j->broker, i, i == MDA ? WORKER_MDA : WORKER_SENDER);
	for (unsigned i = 0; i < WORKERS; i++)
		broker_holding_done(j->broker, i, now);
	carry_out(j);
	/* Who is to be told of what failed before is known at once: not behind what fails later. */
	turn(j);
	j->now += UNTIL_DUE;
	turn(j);
	hand_out_the_rest(j);
}

/* ---- the book ---------------------------------------------------------------------------------
 */

/* At most once, and a worker had leave to send the dot. */
static bool never_again(const struct said_rcpt *r, const struct mail *m, uint32_t index)
{
	return book_at_most_once(m, index) && r->outcome == OUTCOME_MAYBE;
}

static void check_rcpt(struct judge *j, const struct mail *m, uint32_t index)
{
	const struct mail_rcpt *had = &m->rcpt[index];
	const struct said_rcpt *r = &said_of(j, m)->rcpt[index];
	bool ended = outcome_final(r->outcome);

	if (said_of(j, m)->finished) {
		if (had->final == OUTCOME_NONE)
			sim_fail("mail %d recipient %u is open, and finished in the image",
			    m->index, index);
		return;
	}
	if (had->final != OUTCOME_NONE && r->outcome != had->final)
		sim_fail("mail %d recipient %u had ended (%d), and has not in the image (%d)",
		    m->index, index, had->final, r->outcome);
	if (!ended && r->number < had->number)
		sim_fail("mail %d recipient %u: change %u was durable, %u is in the image",
		    m->index, index, had->number, r->number);
	if (never_again(r, m, index) && r->handed > 0)
		sim_fail("mail %d recipient %u: its dot may have been sent, and it is handed out",
		    m->index, index);
	if (r->outcome == OUTCOME_UNTOLD && r->handed > 0)
		sim_fail("mail %d recipient %u failed, and is handed out", m->index, index);
	if (r->outcome == OUTCOME_UNTOLD && !is_told(j, book_teller(m, index)))
		sim_fail("mail %d recipient %u failed, and nobody is told", m->index, index);
	if (r->outcome == OUTCOME_HELD && r->handed > 0)
		sim_fail(
		    "mail %d recipient %u is held in the image, and handed out", m->index, index);
	if (!ended && r->outcome != OUTCOME_HELD && r->outcome != OUTCOME_UNTOLD &&
	    r->handed == 0 && book_has_host(m, index) && !never_again(r, m, index) &&
	    (m->by == 0 || j->now < m->by_at)) /* else it has come back meanwhile */
		sim_fail("mail %d recipient %u is open and not handed out", m->index, index);
}

static bool nonce_known(struct judge *j, const struct mail *m)
{
	j->answer = -1;
	broker_ask(j->broker, 0, 1, &m->nonce);
	carry_out(j);
	return j->answer == 0;
}

static void check_mail(struct judge *j, const struct mail *m, bool kill)
{
	bool owed = m->is_report ? m->durable : m->state == MAIL_OK || m->durable;

	if (!is_given(j, m)) {
		if (owed && book_has_open(m))
			sim_fail("mail %d (%s) did not survive", m->index,
			    m->is_report ? "a report" : "acknowledged or durable");
	} else {
		for (uint32_t i = 0; i < m->n_rcpt; i++)
			check_rcpt(j, m, i);
	}
	if (kill && m->state == MAIL_SENT && nonce_known(j, m) != is_given(j, m))
		sim_fail("mail %d: a receiver that asks is told the contrary of what is in the log",
		    m->index);
}

static void make_room(struct judge *j)
{
	size_t n = j->w->book.cap;

	if (n <= j->cap)
		return;
	j->said = gw_realloc(j->said, n * sizeof(*j->said));
	memset(j->said + j->cap, 0, (n - j->cap) * sizeof(*j->said));
	j->cap = n;
}

void judge_image(struct judge *j, struct world *w, struct disk *image, bool kill)
{
	j->w = w;
	j->image++;
	j->n_told = 0;
	j->mail = NULL;
	make_room(j);
	recover(j, image);
	hand_out(j);
	for (size_t i = 0; i < w->book.n; i++)
		check_mail(j, w->book.mail[i], kill);
	end(j);
}
