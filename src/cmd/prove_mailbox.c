/* The reader of the Maildir lane: what is in new/ goes into the ledger and is moved to cur/. */
#include "cmd/prove.h"

#include "base/clock.h"
#include "cmd/bench_message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LOOK_EVERY = 200 * 1000, /* microseconds */
	MESSAGE_MAX = 64 << 20,
	NAME_BYTES = 300,
	KEEP_SECONDS = 20, /* as long as the server may want to see that it was delivered */
};

struct mailbox {
	int new, cur;
	bool bounces;
	const char *to;
};

struct reader {
	struct ledger ledger;
	struct scan scan;
	struct buf file, wire;
};

int mailbox_transmit(struct span content, struct buf *out)
{
	while (content.n > 0) {
		ptrdiff_t lf = span_find(content, '\n');
		struct span line = span_first(content, lf < 0 ? content.n : (size_t)lf);

		if (line.n > 0 && line.p[0] == '.')
			buf_add_byte(out, '.');
		buf_add_span(out, line);
		buf_add_str(out, "\r\n");
		content = span_skip(content, line.n + 1);
	}
	buf_add_str(out, ".\r\n");
	return buf_failed(out) ? GW_EFULL : 0;
}

static bool read_file(struct reader *r, int fd)
{
	struct stat st;
	uint8_t *room;
	ssize_t n;

	buf_clear(&r->file);
	if (fstat(fd, &st) < 0 || st.st_size > MESSAGE_MAX)
		return false;
	room = buf_room(&r->file, (size_t)st.st_size + 1);
	if (room == NULL)
		return false;
	n = read(fd, room, (size_t)st.st_size);
	if (n != (ssize_t)st.st_size)
		return false;
	buf_commit(&r->file, (size_t)n);
	return true;
}

static void put_arrival(struct reader *r, const struct mailbox *m, int64_t when)
{
	const struct mark *mark = &r->scan.mark;
	struct ledger *l = &r->ledger;

	ledger_raw(l, "{");
	if (mark->found) {
		ledger_raw(l, "\"run\":");
		ledger_text(l, mark_run(mark));
		ledger_raw(l, ",\"n\":");
		ledger_number(l, mark->n);
		ledger_raw(l, ",");
	}
	ledger_raw(l, "\"to\":");
	ledger_text(l, span_str(m->to));
	ledger_raw(l, ",\"t\":");
	ledger_time(l, when);
	if (m->bounces)
		ledger_raw(l, ",\"bounce\":true}");
	else
		ledger_raw(l, scan_intact(&r->scan) ? ",\"ok\":true}" : ",\"ok\":false}");
	ledger_line(l);
}

static void take_message(struct reader *r, const struct mailbox *m, int fd)
{
	struct stat st;
	bool done;

	if (fstat(fd, &st) < 0 || !read_file(r, fd))
		die("a message in the mailbox cannot be read: %s", strerror(errno));
	buf_clear(&r->wire);
	scan_begin(&r->scan, m->bounces);
	if (mailbox_transmit(buf_view(&r->file), &r->wire) == 0)
		scan_feed(&r->scan, buf_view(&r->wire), &done);
	put_arrival(r, m, (int64_t)st.st_mtim.tv_sec * USEC_PER_SEC + st.st_mtim.tv_nsec / 1000);
}

static void take_name(struct reader *r, const struct mailbox *m, const char *name)
{
	char seen[NAME_BYTES];
	int fd = openat(m->new, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	take_message(r, m, fd);
	close(fd);
	/* In the ledger before it can be counted again. */
	ledger_flush(&r->ledger);
	snprintf(seen, sizeof(seen), "%s:2,S", name);
	if (renameat(m->new, name, m->cur, seen) < 0)
		die("a message in the mailbox cannot be moved: %s", strerror(errno));
}

static void each_name(int dir, struct reader *r, const struct mailbox *m,
    void (*fn)(struct reader *, const struct mailbox *, const char *))
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			fn(r, m, e->d_name);
	}
	if (d != NULL)
		closedir(d);
}

static void forget_old(struct reader *r, const struct mailbox *m, const char *name)
{
	struct stat st;

	(void)r;
	if (fstatat(m->cur, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    clock_wall() / USEC_PER_SEC - st.st_ctim.tv_sec > KEEP_SECONDS)
		unlinkat(m->cur, name, 0);
}

/* The server makes the Maildir at its first delivery. */
static bool open_mailbox(struct mailbox *m, const char *dir)
{
	char path[PROVE_PATH_MAX + 32];

	if (m->new >= 0 && m->cur >= 0)
		return true;
	snprintf(path, sizeof(path), "%s/%s/new", dir, m->bounces ? "bounce" : "box");
	if (m->new < 0)
		m->new = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/%s/cur", dir, m->bounces ? "bounce" : "box");
	if (m->cur < 0)
		m->cur = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return m->new >= 0 && m->cur >= 0;
}

static void look(struct reader *r, struct mailbox *m, const char *dir)
{
	if (!open_mailbox(m, dir))
		return;
	each_name(m->new, r, m, take_name);
	each_name(m->cur, r, m, forget_old);
}

int mailbox_read(const char *dir, const char *ledger)
{
	struct mailbox box = {.new = -1, .cur = -1, .to = "box@box.test"};
	struct mailbox bounces = {.new = -1, .cur = -1, .bounces = true, .to = "bounce@box.test"};
	struct reader r;
	bool last = false;

	if (ledger_open(&r.ledger, ledger) < 0)
		return BENCH_CANTCREATE;
	ledger_raw(&r.ledger, "{\"ledger\":\"sink\"}");
	ledger_line(&r.ledger);
	scan_init(&r.scan);
	buf_init(&r.file, MESSAGE_MAX);
	buf_init(&r.wire, 2 * MESSAGE_MAX);
	bench_catch_signals();
	while (!last) {
		last = bench_interrupts() > 0;
		look(&r, &box, dir);
		look(&r, &bounces, dir);
		if (!last)
			usleep(LOOK_EVERY);
	}
	buf_fini(&r.file);
	buf_fini(&r.wire);
	scan_fini(&r.scan);
	return ledger_close(&r.ledger) < 0 ? BENCH_CANTCREATE : BENCH_OK;
}
