#include "role/queue_story.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum {
	FRAME_MAX = (4 << 20) + (256 << 10), /* octets: IPC_STORY_MAX */
	SLICE = 1 << 20,                     /* octets of the log read in one turn */
	TURN_LAST = 2000,      /* microseconds: no record is begun in a slice after so long */
	PAUSE = 2000,          /* between slices */
	COMPANY = 50 * 1000,   /* a record waits so long for others */
	AGAIN_AFTER = 1000000, /* the log could not be read */
	RECORD_HEAD = 1 + 4,
	KEEP_MIN = 4, /* segments */
};

static void turn(void *arg);

void story_init(struct story *t, struct loop *l, struct store *s, const struct config *c)
{
	uint64_t keep = STORY_OCTETS / c->store.segment;

	*t = (struct story){.loop = l, .store = s, .keep = keep > KEEP_MIN ? keep : KEEP_MIN};
	t->room = c->store.reserve + KEEP_MIN * c->store.segment;
	t->off = c->history.off;
	t->walk = store_walk_new(s);
	buf_init(&t->frame, FRAME_MAX);
	timer_start(&t->due, l, turn, t);
}

/* ---- frames ------------------------------------------------------------------------------ */

static bool may_send(const struct story *t)
{
	return t->ipc != NULL && t->begun && t->under_way < STORY_MOST && !ipc_full(t->ipc);
}

/* The head is known when the frame goes: the records are put behind room for it. */
static void frame_start(struct story *t)
{
	static const uint8_t room[STORY_HEAD];

	buf_clear(&t->frame);
	buf_add(&t->frame, room, sizeof(room));
}

static bool frame_has_records(const struct story *t)
{
	return buf_len(&t->frame) > STORY_HEAD;
}

static void fill_head(struct story *t)
{
	struct proto_story head = {
	    .epoch = t->epoch, .at = {t->next.segment, t->next.offset, t->next.mark}};
	struct buf b;

	buf_init(&b, STORY_HEAD);
	proto_put_story(&b, &head);
	memcpy(t->frame.mem + t->frame.begin, buf_view(&b).p, STORY_HEAD);
	buf_fini(&b);
}

/* The one behind what is in the frame: on the other side of the channel it counts from here on. */
static bool frame_send(struct story *t)
{
	struct span part;

	if (!may_send(t))
		return false;
	fill_head(t);
	part = buf_view(&t->frame);
	if (ipc_send(t->ipc, IPC_STORY, &part, 1, -1) < 0)
		return false;
	t->under_way++;
	t->sent = t->next;
	frame_start(t);
	return true;
}

static enum story_type type_of(enum record_type type)
{
	switch (type) {
	case REC_MESSAGE: return STORY_MESSAGE;
	case REC_RESULT:
	case REC_DEFERRED:
	case REC_HELD: return STORY_CHANGE;
	case REC_RELEASED: return STORY_RELEASED;
	case REC_PAST_DOT: return STORY_PAST_DOT;
	default: return STORY_NOTHING;
	}
}

static void frame_add(struct story *t, const struct store_record *r)
{
	enum story_type type = type_of(r->type);

	if (type == STORY_NOTHING)
		return;
	if (buf_space(&t->frame) < r->meta.n + RECORD_HEAD) {
		metric_add(METRIC_HISTORY_CUT, 1);
		return;
	}
	proto_put_story_record(&t->frame, type, r->meta);
}

/* ---- keeping up --------------------------------------------------------------------------- */

static void fall_behind(struct story *t)
{
	t->live = t->sought = false;
	t->next = t->sent;
	frame_start(t);
	metric_set(METRIC_HISTORY_BEHIND, 1);
}

void story_durable(struct story *t, const struct store_record *r)
{
	struct store_place behind;

	if (!t->live)
		return;
	behind = store_place_behind(t->store, &r->meta_at, &r->body_at);
	if (!place_before(&t->next, &behind))
		return; /* read from the log before we came here */
	if (!frame_has_records(t))
		timer_set(&t->due, loop_now(t->loop) + COMPANY);
	frame_add(t, r);
	t->next = behind;
	if (buf_len(&t->frame) >= STORY_FRAME && !frame_send(t))
		fall_behind(t);
}

/* ---- catching up -------------------------------------------------------------------------- */

static void count_cut(const struct story *t, uint64_t segments)
{
	struct logline l;

	if (segments == 0)
		return;
	metric_add(METRIC_HISTORY_CUT, (int64_t)segments);
	log_begin(&l, EV_HISTORY_CUT);
	log_number(&l, "segments", (int64_t)segments);
	log_number(&l, "from", (int64_t)t->next.segment);
	log_end(&l);
}

static void seek(struct story *t)
{
	count_cut(t, store_walk_seek(t->walk, &t->next));
	t->next = store_walk_at(t->walk);
	t->sought = true;
}

static void go_live(struct story *t)
{
	t->live = true;
	metric_set(METRIC_HISTORY_BEHIND, 0);
	if (frame_has_records(t) && !frame_send(t))
		fall_behind(t);
}

/* Fills the frame from the log. 1: it is full or the slice is over; else as store_walk_next(). */
static int read_slice(struct story *t)
{
	uint64_t budget = SLICE;
	int64_t until = clock_now() + TURN_LAST;
	struct store_record r;
	int rc = 1;

	while (buf_len(&t->frame) < STORY_FRAME && clock_now() < until) {
		rc = store_walk_next(t->walk, &r, &budget);
		if (rc == 1)
			frame_add(t, &r);
		t->next = store_walk_at(t->walk);
		if (rc != 1)
			break;
	}
	return rc == GW_EMORE ? 1 : rc;
}

static void catch_up(struct story *t)
{
	int64_t now = loop_now(t->loop);
	int rc;

	if (!t->sought)
		seek(t);
	rc = read_slice(t);
	if (rc == 0) {
		go_live(t);
		return;
	}
	if (rc == GW_ENOENT)
		t->sought = false;
	if (buf_len(&t->frame) >= STORY_FRAME || (rc == 1 && frame_has_records(t)))
		(void)frame_send(t);
	timer_set(&t->due, now + (rc == GW_EIO ? AGAIN_AFTER : PAUSE));
}

static void turn(void *arg)
{
	struct story *t = arg;

	if (!t->live && (t->rests || !may_send(t)))
		return; /* whatever ends that comes here again */
	if (!t->live)
		catch_up(t);
	else if (frame_has_records(t) && !frame_send(t))
		fall_behind(t);
}

/* ---- the channel --------------------------------------------------------------------------- */

void story_channel(struct story *t, struct ipc *ipc)
{
	t->ipc = ipc;
	t->begun = false;
	t->under_way = 0;
	timer_set(&t->due, INT64_MAX);
	fall_behind(t);
}

static struct store_place place_of(const struct story_place *p)
{
	return (struct store_place){p->segment, p->offset, p->mark};
}

static void begin(struct story *t, const struct proto_story *s)
{
	t->epoch = s->epoch;
	t->begun = true;
	t->kept = t->sent = place_of(&s->at);
	fall_behind(t);
	timer_set(&t->due, loop_now(t->loop));
}

static int kept(struct story *t, const struct proto_story *s)
{
	if (t->under_way == 0)
		return GW_EFORMAT;
	t->under_way--;
	if (s->epoch == t->epoch)
		t->kept = place_of(&s->at);
	if (!t->live && t->due.at == INT64_MAX)
		timer_set(&t->due, loop_now(t->loop));
	return 0;
}

int story_frame(struct story *t, const struct ipc_frame *f)
{
	struct cursor c = cursor_of(f->payload);
	struct proto_story s;

	if (proto_get_story(&c, &s) < 0 || !cursor_done(&c))
		return GW_EFORMAT;
	if (f->type == IPC_STORY_KEPT)
		return kept(t, &s);
	begin(t, &s);
	return 0;
}

/* ---- housekeeping -------------------------------------------------------------------------- */

/* What has nothing for the history moves it on all the same, so that no segment waits for that. */
static void tell_place(struct story *t)
{
	if (t->live && !frame_has_records(t) && t->sent.segment != t->next.segment)
		(void)frame_send(t);
}

void story_house(struct story *t, bool rests)
{
	t->rests = rests;
	if (t->live && rests)
		fall_behind(t);
	if (t->ipc == NULL)
		return;
	tell_place(t);
	if (!t->live && !rests && t->due.at == INT64_MAX)
		timer_set(&t->due, loop_now(t->loop));
}

/* Mail has the first right to the disk, and what a history cannot keep up with has an end. One that
 * is being started again has not said where it is: it may be where the last one was, or, behind a
 * start of ours, anywhere. */
uint64_t story_floor(const struct story *t)
{
	struct store_stat st;
	uint64_t oldest;

	if (t->off)
		return UINT64_MAX;
	store_stat(t->store, &st);
	if (!st.accepting || st.free_bytes < t->room)
		return UINT64_MAX;
	oldest = st.newest > t->keep ? st.newest - t->keep : 0;
	return t->kept.segment > oldest ? t->kept.segment : oldest;
}

void story_end(struct story *t)
{
	if (t->live && frame_has_records(t))
		(void)frame_send(t);
}
