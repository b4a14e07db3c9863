/* Content on its way in: the header stays here until COMMIT, what is large goes ahead in parts. */
#include "role/smtpd.h"

enum { FIRST_LINE_MAX = 1000 };

static bool may_send_part(const struct transaction *t)
{
	struct smtpd *d = t->session->smtpd;

	return d->queue.ipc != NULL && !ipc_full(d->queue.ipc) && t->window >= SMTPD_PART &&
	       d->parts_in_flight < SMTPD_PARTS_TOTAL;
}

/* It can only be refused now; what still comes is read and forgotten. */
static void parts_fail(struct transaction *t, int status)
{
	t->parts_failed = true;
	t->status = status;
}

static void send_part(struct transaction *t)
{
	struct smtpd *d = t->session->smtpd;
	struct span part[2] = {
	    span_of(&t->number, sizeof(t->number)), span_first(buf_view(&t->rest), SMTPD_PART)};

	if (ipc_send(d->queue.ipc, IPC_PART, part, 2, -1) < 0) {
		t->parts_failed = true;
		return;
	}
	t->in_parts += part[1].n;
	t->window -= (uint32_t)part[1].n;
	d->parts_in_flight += part[1].n;
	buf_drop(&t->rest, part[1].n);
}

/* What this message holds in memory, as part of what all hold. */
void txn_count_memory(struct transaction *t)
{
	struct smtpd *d = t->session->smtpd;
	size_t n = t->head.cap + t->rest.cap + t->arena.used + t->cap_rcpt * sizeof(*t->rcpt) +
		   t->cap_held * sizeof(*t->held) + t->cap_dropped * sizeof(*t->dropped);

	d->in_memory += n;
	d->in_memory -= t->counted;
	t->counted = n;
}

bool txn_over_share(const struct transaction *t)
{
	return t->session->smtpd->in_memory > SMTPD_MEMORY_MAX && t->counted > SMTPD_MEMORY_SHARE;
}

/* Large content goes ahead in parts; when much is in memory already, smaller content too. */
static size_t whole_max(const struct transaction *t)
{
	return t->session->smtpd->in_memory > SMTPD_MEMORY_HIGH ? SMTPD_PART : SMTPD_WHOLE_MAX;
}

void txn_send_parts(struct transaction *t)
{
	size_t most = whole_max(t);

	while (!t->parts_failed && buf_len(&t->rest) > most && may_send_part(t))
		send_part(t);
	if (t->parts_failed) /* it will be refused: what still comes is not kept */
		buf_fini(&t->rest);
	txn_count_memory(t);
	session_hold(t->session, buf_len(&t->rest) > most);
}

void txn_forget_content(struct transaction *t)
{
	buf_fini(&t->head);
	buf_fini(&t->rest);
	mime_scan_fini(&t->mime);
	txn_count_memory(t);
}

/* Content whose first line is no header field has no header: it must not run into ours. */
static bool starts_with_field(struct span head)
{
	struct header_walk w = header_walk_of(head);
	struct header_field f;

	return span_starts(head, SPAN("\r\n")) || header_next(&w, &f) == 1;
}

/* Without a header all of it is body. */
static void judge_first_line(struct transaction *t)
{
	struct span head = buf_view(&t->head);

	t->judged = true;
	if (starts_with_field(head))
		return;
	t->scan.done = true;
	if (buf_add_span(&t->rest, head) < 0)
		parts_fail(t, GW_ENOMEM);
	buf_clear(&t->head);
	t->headless = true;
}

static bool has_first_line(const struct transaction *t)
{
	return span_find(buf_view(&t->head), '\n') >= 0 || buf_len(&t->head) >= FIRST_LINE_MAX;
}

static bool is_refused(const struct transaction *t)
{
	return t->parts_failed || t->too_big_header;
}

static void add_to_head(struct transaction *t, struct span piece)
{
	size_t n = buf_len(&t->head) + piece.n;

	if (n > session_config(t->session)->limits.header_size && t->judged)
		t->too_big_header = true;
	else if (txn_over_share(t))
		parts_fail(t, GW_ENOSPC);
	else if (buf_add_span(&t->head, piece) < 0)
		parts_fail(t, GW_ENOMEM);
	if (is_refused(t)) /* it is not kept, nor what still comes */
		buf_fini(&t->head);
}

static void take_header(struct transaction *t, struct span *data)
{
	size_t n = header_scan_feed(&t->scan, *data);

	if (!is_refused(t))
		add_to_head(t, span_first(*data, n));
	*data = span_skip(*data, n);
	txn_count_memory(t);
	if (!t->judged && has_first_line(t))
		judge_first_line(t);
	if (t->scan.done && !t->headless)
		mime_scan_start(&t->mime, buf_view(&t->head));
}

void txn_body(struct transaction *t, struct span data)
{
	if (!t->scan.done)
		take_header(t, &data);
	if (is_refused(t)) {
		txn_count_memory(t);
		return;
	}
	mime_scan_feed(&t->mime, data);
	if (t->n_rcpt == 0) /* all were dropped: it is judged, and nothing kept */
		data = SPAN_NONE;
	if (data.n > 0 && buf_add_span(&t->rest, data) < 0)
		parts_fail(t, GW_EFULL);
	if (buf_len(&t->rest) > whole_max(t))
		txn_send_parts(t);
	else
		txn_count_memory(t);
}

void txn_body_end(struct transaction *t)
{
	if (!t->judged && buf_len(&t->head) > 0 && !is_refused(t))
		judge_first_line(t);
}

void txn_credit(struct transaction *t, uint32_t octets, int status)
{
	struct smtpd *d = t->session->smtpd;
	uint32_t most = SMTPD_PART_WINDOW - t->window;

	if (octets > most)
		octets = most;
	t->window += octets;
	d->parts_in_flight -= octets;
	if (status != COMMIT_OK && !t->committed) {
		t->parts_failed = true;
		t->status = status == COMMIT_FULL ? GW_ENOSPC : GW_EIO;
	}
	txn_send_parts(t);
}
