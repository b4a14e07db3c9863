#include "role/history.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/history_write.h"
#include "role/queue_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	COMMIT_AFTER = 200 * 1000, /* microseconds */
	COMMIT_FRAMES = STORY_MOST / 2,
	COMMIT_RECORDS = 5000,
	KEEP_EVERY = 60 * 1000000,
	KEEP_PAUSE = 20 * 1000, /* between pieces of it */
	KEEP_MOST = 500,        /* messages in one piece */
	SIZE_EVERY = 1000000,
	TRY_EVERY = 1000000, /* while it cannot be written */
	ANSWER_MAX = (2 << 20) - 64,
};

/* Where the configuration says nothing. */
#define KEEP_DEFAULT (INT64_C(30) * 24 * 3600 * 1000000)
#define SIZE_DEFAULT (UINT64_C(4) << 30)

struct history {
	struct loop *loop;
	struct config *config;
	struct history_db *db;
	const char *path;
	struct queue_link queue;
	struct master_link master;
	struct ipc *control; /* NULL: not there now */
	uint32_t epoch;
	struct story_place place; /* behind the last frame that was taken */
	unsigned taken;           /* frames that are not answered yet */
	size_t records;           /* of them */
	bool stuck;               /* the disk takes nothing now */
	int64_t keep;             /* microseconds; INT64_MAX: for ever */
	struct history_room room;
	bool keeping; /* the last piece of what is to go was not the last one */
	int64_t keep_at, size_at;
	struct timer commit, house;
};

/* ---- the place ------------------------------------------------------------------------------ */

static void tell(struct history *h, enum ipc_type type, const struct story_place *at)
{
	struct proto_story s = {.epoch = h->epoch, .at = *at};
	struct span part;
	struct buf b;

	if (h->queue.ipc == NULL)
		return;
	buf_init(&b, STORY_HEAD);
	proto_put_story(&b, &s);
	part = buf_view(&b);
	ipc_send(h->queue.ipc, type, &part, 1, -1);
	buf_fini(&b);
}

static void answer_taken(struct history *h)
{
	for (; h->taken > 0; h->taken--)
		tell(h, IPC_STORY_KEPT, &h->db->place);
	h->records = 0;
}

/* From here on, once more if need be. */
static void begin(struct history *h)
{
	h->epoch++;
	h->place = h->db->place;
	tell(h, IPC_STORY_BEGIN, &h->place);
}

/* ---- when it cannot be written -------------------------------------------------------------- */

static void log_stuck(const char *why)
{
	struct logline l;

	log_begin(&l, EV_HISTORY_STUCK);
	log_str(&l, "reason", why);
	log_end(&l);
}

static void log_goes_on(const struct history *h)
{
	struct logline l;

	log_begin(&l, EV_HISTORY_GOES_ON);
	log_number(&l, "segment", (int64_t)h->db->place.segment);
	log_end(&l);
}

/* Nothing is taken until it can be written: the queue keeps the place. */
static void get_stuck(struct history *h, const char *why)
{
	if (!h->stuck)
		log_stuck(why);
	h->stuck = true;
	timer_set(&h->commit, loop_now(h->loop) + TRY_EVERY);
}

/* What is no good goes aside; the next one begins with what the log still has. */
static int set_aside(struct history *h, const char *why)
{
	struct logline l;
	char to[512] = "";

	history_db_close(&h->db);
	if (history_db_aside(h->path, clock_wall(), to, sizeof(to)) < 0) {
		log_error("the history cannot be set aside: %s", strerror(errno));
		return GW_EIO;
	}
	log_begin(&l, EV_HISTORY_ASIDE);
	log_str(&l, "file", to);
	log_str(&l, "reason", why);
	log_end(&l);
	return 0;
}

/* db is NULL while it cannot be opened. */
static bool open_database(struct history *h)
{
	char why[256] = "";
	int rc = history_db_open(&h->db, h->path, why, sizeof(why));

	if ((rc == GW_ECORRUPT || rc == GW_EVERSION) && set_aside(h, why) == 0)
		rc = history_db_open(&h->db, h->path, why, sizeof(why));
	if (rc == 0)
		rc = history_use_room(h->db, &h->room);
	if (rc < 0)
		get_stuck(h, why);
	else
		h->db->config = h->config;
	return rc == 0;
}

static void fail(struct history *h, int rc)
{
	char why[256];

	snprintf(why, sizeof(why), "%s", history_db_why(h->db));
	history_db_rollback(h->db);
	if (rc == GW_ECORRUPT)
		(void)set_aside(h, why); /* opened again in a moment */
	get_stuck(h, why);
}

/* ---- transactions --------------------------------------------------------------------------- */

static void commit(struct history *h)
{
	int rc;

	timer_set(&h->commit, INT64_MAX);
	if (h->taken == 0 && !h->db->in_transaction)
		return;
	rc = history_db_commit(h->db, &h->place);
	if (rc != 0) {
		fail(h, rc);
		return;
	}
	answer_taken(h);
	/* Not a second later: by then it could be far beyond. */
	if (!h->keeping && history_db_size(h->db) > h->room.kept)
		timer_set(&h->house, loop_now(h->loop));
}

/* Is there room again? Then the frames that were thrown away are told once more. */
static void try_again(struct history *h)
{
	struct story_place at;
	int rc;

	if (h->db == NULL && !open_database(h))
		return;
	at = h->db->place;
	rc = history_db_commit(h->db, &at);
	if (rc != 0) {
		fail(h, rc);
		return;
	}
	h->stuck = false;
	log_goes_on(h);
	answer_taken(h);
	begin(h);
}

static void commit_due(void *arg)
{
	struct history *h = arg;

	if (h->stuck)
		try_again(h);
	else
		commit(h);
}

static int write_records(struct history *h, struct cursor *c)
{
	enum story_type type;
	struct span meta;
	int more, rc = history_db_begin(h->db);

	while (rc == 0 && (more = proto_get_story_record(c, &type, &meta)) != 0) {
		if (more < 0)
			return GW_EFORMAT;
		rc = history_write(h->db, type, meta);
		h->records++;
	}
	return rc;
}

static int take_story(struct history *h, struct span in)
{
	struct cursor c = cursor_of(in);
	struct proto_story s;
	int rc;

	if (proto_get_story(&c, &s) < 0)
		return GW_EFORMAT;
	h->taken++;
	if (h->stuck)
		return 0; /* answered when it goes on */
	if (h->commit.at == INT64_MAX)
		timer_set(&h->commit, loop_now(h->loop) + COMMIT_AFTER);
	if (s.epoch != h->epoch)
		return 0;
	rc = write_records(h, &c);
	if (rc == GW_EFORMAT)
		return rc;
	if (rc != 0) {
		fail(h, rc);
		return 0;
	}
	h->place = s.at;
	if (h->taken >= COMMIT_FRAMES || h->records >= COMMIT_RECORDS)
		commit(h);
	return 0;
}

static int from_queue(void *arg, const struct ipc_frame *f)
{
	return f->type == IPC_STORY ? take_story(arg, f->payload) : 0;
}

/* What the old queue told stays; the new one is told where that ends. */
static void queue_gone(void *arg)
{
	struct history *h = arg;

	if (!h->stuck)
		commit(h);
	h->taken = 0;
}

static void queue_come(void *arg)
{
	struct history *h = arg;

	if (!h->stuck)
		begin(h);
}

/* ---- what is kept --------------------------------------------------------------------------- */

static int64_t too_old(const struct history *h)
{
	int64_t now = clock_wall();

	return h->keep < now ? now - h->keep : 0;
}

/* A piece of it in the transaction at hand, so that writing goes on in between. */
static void keep(struct history *h)
{
	int rc = history_keep(h->db, too_old(h), h->room.kept, KEEP_MOST);

	h->keeping = rc == 1;
	if (rc == 1)
		rc = history_db_commit(h->db, &h->place);
	else if (rc == 0)
		rc = history_shrink(h->db, h->room.unused);
	if (rc < 0) {
		fail(h, rc);
		return;
	}
	if (h->keeping)
		answer_taken(h);
	h->keeping = h->keeping || rc == 1;
}

static void house(void *arg)
{
	struct history *h = arg;
	int64_t now = loop_now(h->loop);
	uint64_t size = h->db != NULL ? history_db_size(h->db) : 0;

	metric_set(METRIC_HISTORY_BYTES, (int64_t)size);
	if (!h->stuck && (h->keeping || size > h->room.kept || now >= h->keep_at)) {
		keep(h);
		if (!h->keeping)
			h->keep_at = now + KEEP_EVERY;
	}
	timer_set(&h->house, now + (h->keeping ? KEEP_PAUSE : SIZE_EVERY));
}

/* ---- questions ------------------------------------------------------------------------------ */

static void answer(struct history *h, uint64_t request, int status, struct span json)
{
	struct proto_answer a = {.request = request, .status = (uint16_t)status, .json = json};
	struct span part;
	struct buf b;

	buf_init(&b, ANSWER_MAX + 64);
	proto_put_answer(&b, &a);
	part = buf_view(&b);
	ipc_send(h->control, IPC_TRACED, &part, 1, -1);
	buf_fini(&b);
}

static void take_trace(struct history *h, struct span in)
{
	struct proto_trace t;
	struct buf out;
	int status;

	if (proto_get_trace(in, &t) < 0) {
		ipc_end(h->control, "bad_payload");
		return;
	}
	buf_init(&out, ANSWER_MAX);
	status = h->db != NULL ? history_answer(h->db, &t, &out) : GW_ENOSPC;
	if (status == GW_ECORRUPT)
		fail(h, status);
	answer(h, t.request, status < 0 ? 503 : status, status < 0 ? SPAN_NONE : buf_view(&out));
	buf_fini(&out);
}

static void from_control(void *arg, struct ipc *ipc, struct ipc_frame *f)
{
	(void)ipc;
	if (f->type == IPC_TRACE)
		take_trace(arg, f->payload);
}

static void control_gone(void *arg, struct ipc *ipc, const char *why)
{
	struct history *h = arg;

	(void)ipc;
	(void)why;
	ipc_free(&h->control);
}

static void control_come(struct history *h, int fd)
{
	struct ipc_owner owner = {.frame = from_control, .closed = control_gone, .arg = h};

	ipc_free(&h->control); /* its end was not seen yet */
	h->control = ipc_new(h->loop, fd, ROLE_HISTORY, ROLE_CONTROL, 0, &owner);
}

/* ---- start and end -------------------------------------------------------------------------- */

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct history *h = arg;

	(void)index;
	if (role == ROLE_CONTROL)
		control_come(h, fd);
	else
		queue_link_peer(&h->queue, role, fd);
}

static void stop(void *arg)
{
	struct history *h = arg;

	if (!h->stuck)
		commit(h);
	h->stuck = true; /* what comes now is told to the next one */
	history_db_close(&h->db);
	timer_stop(&h->commit);
	timer_stop(&h->house);
	master_link_done(&h->master);
}

/* In a process of its own it stands in the directory, which may become the root. */
static const char *path_of(const struct config *c, const struct sandbox *box)
{
	const char *dir = c->history.directory;
	char *path;
	size_t n;

	if (box->enabled && chdir(dir) < 0)
		die("the history directory %s cannot be entered: %s", dir, strerror(errno));
	if (box->enabled)
		return HISTORY_FILE;
	n = strlen(dir) + sizeof("/" HISTORY_FILE);
	path = gw_calloc(1, n);
	snprintf(path, n, "%s/" HISTORY_FILE, dir);
	return path;
}

static void take_limits(struct history *h)
{
	const struct config *c = h->config;

	h->keep = c->history.keep > 0 ? c->history.keep : KEEP_DEFAULT;
	h->room = history_room(c->history.size > 0 ? c->history.size : SIZE_DEFAULT);
}

static void change(void *arg, struct reload *r, struct config *old)
{
	struct history *h = arg;

	(void)r;
	(void)old;
	take_limits(h);
	if (h->db == NULL)
		return;
	h->db->config = h->config;
	if (history_use_room(h->db, &h->room) < 0)
		log_error("the history cannot be told its room: %s", history_db_why(h->db));
}

static void start_links(struct history *h, struct boot *b)
{
	struct queue_link_owner owner = {
	    .frame = from_queue, .gone = queue_gone, .come = queue_come, .arg = h};

	queue_link_start(&h->queue, h->loop, b, &owner);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_CONTROL)
			control_come(h, b->peer[i].fd);
	}
	h->master = (struct master_link){
	    .peer = new_peer, .stop = stop, .config = &h->config, .change = change, .arg = h};
	master_link_start(&h->master, h->loop, b);
}

int role_history(struct loop *l, struct boot *b)
{
	struct history *h = gw_calloc(1, sizeof(*h));
	const struct config *c = h->config = boot_config(b);
	struct sandbox box;

	h->loop = l;
	take_limits(h);
	/* One thread uses it, and the ceilings of its caches bound its memory. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	boot_sandbox(b, c, &box);
	h->path = path_of(c, &box);
	sandbox_confine(&box);
	timer_start(&h->commit, l, commit_due, h);
	(void)open_database(h);
	sandbox_seal(&box);
	timer_start(&h->house, l, house, h);
	start_links(h, b);
	house(h);
	return 0;
}
