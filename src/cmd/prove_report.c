/* What a campaign found, judged from the ledgers, for people and as JSON. */
#include "cmd/prove.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * How near to its first arrival a kill excuses a second one: a result is durable some 20 ms and one
 * flush after the dot; a killed sender's last message may lie in the sink's socket a little longer.
 */
static const int64_t window = 250 * USEC_PER_MSEC;
enum { TEXT_BYTES = 32 << 10, NAME_WIDTH = 22 };

/* ---- judging ------------------------------------------------------------------------------ */

static int unreadable(const char *path, int err)
{
	return prove_fail(
	    CMD_NO, "%s: %s", path, err == GW_EIO ? strerror(errno) : gw_strerror(err));
}

static int judge_lane(struct prove *p, struct lane *l)
{
	struct checker *c = checker_new();
	const char *path = place_path(p, l->name, ".sent");
	int err = checker_source(c, path);

	checker_window(c, window);
	if (err == 0) {
		path = place_path(p, "kills", "");
		err = checker_kills(c, path);
	}
	if (err == 0) {
		path = place_path(p, l->name, ".arrivals");
		err = checker_sink(c, path);
	}
	if (err == 0)
		l->verdict = checker_verdict(c);
	checker_free(&c);
	return err == 0 ? CMD_OK : unreadable(path, err);
}

static void add_up(struct verdict *sum, const struct verdict *v)
{
	sum->acked += v->acked;
	sum->refused += v->refused;
	sum->unknown += v->unknown;
	sum->delivered += v->delivered;
	sum->bounced += v->bounced;
	sum->lost += v->lost;
	sum->refused_seen += v->refused_seen;
	sum->unsent_seen += v->unsent_seen;
	sum->corrupt += v->corrupt;
	sum->stray += v->stray;
	sum->unknown_seen += v->unknown_seen;
	sum->unknown_gone += v->unknown_gone;
	sum->dup_excused += v->dup_excused;
	sum->dup_unexcused += v->dup_unexcused;
	sum->bad_lines += v->bad_lines;
}

int report_judge(struct prove *p)
{
	int code = CMD_OK;

	if (ledger_close(&p->kills) < 0)
		return prove_fail(CMD_NO, "%s: not written", place_path(p, "kills", ""));
	p->crashes += server_crashes(p);
	for (int i = 0; i < LANES && code == CMD_OK; i++) {
		if (p->lane[i].sessions == 0)
			continue;
		code = judge_lane(p, &p->lane[i]);
		add_up(&p->sum, &p->lane[i].verdict);
	}
	return code;
}

bool report_good(const struct prove *p)
{
	return verdict_good(&p->sum, true) && p->sum.acked > 0 && p->left == 0 && !p->failed &&
	       p->crashes == 0;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t report_share(const int64_t *sorted, size_t n, double share)
{
	size_t i = (size_t)((double)n * share);

	if (n == 0)
		return 0;
	return sorted[i < n ? i : n - 1];
}

static double seconds_of(const struct prove *p)
{
	return (double)(p->load_ended - p->load_began) / (double)USEC_PER_SEC;
}

static double rate_of(const struct prove *p)
{
	double s = seconds_of(p);

	return s > 0 ? (double)p->sum.acked / s : 0;
}

static double milli(int64_t usec)
{
	return (double)usec / 1000;
}

static void sort_back(struct prove *p)
{
	qsort(p->back, p->n_back, sizeof(p->back[0]), by_size);
}

/* ---- while it runs ------------------------------------------------------------------------ */

static void print_json(json_t *o)
{
	if (o == NULL)
		die("out of memory");
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

void report_begin(const struct prove *p)
{
	if (p->g.json)
		print_json(json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:b,s:b,s:s}", "event", "begin",
		    "tool", "prove", "directory", p->dir, "seed", (json_int_t)p->opt.seed,
		    "sessions", (json_int_t)p->opt.sessions, "size", (json_int_t)p->opt.size,
		    "power_cut", p->opt.power_cut, "tls", p->opt.tls, "sabotage",
		    disk_cut_lies[p->opt.lie]));
	else if (!p->g.quiet)
		printf("proving %s: %llu sessions, seed %llu%s%s%s%s\n", p->dir,
		    (unsigned long long)p->opt.sessions, (unsigned long long)p->opt.seed,
		    p->opt.tls ? ", TLS" : "", p->opt.power_cut ? ", power cuts" : "",
		    p->opt.lie != LIE_NONE ? ", sabotage " : "",
		    p->opt.lie != LIE_NONE ? disk_cut_lies[p->opt.lie] : "");
	if (p->in_memory && !p->g.quiet)
		fputs("godwit prove: that is memory and no disk; --dir names a directory on the "
		      "disk of the spool\n",
		    stderr);
	fflush(stdout);
}

void report_strike(const struct prove *p, const char *who, bool cut, int64_t back)
{
	json_t *o;

	if (!p->g.json)
		return;
	o = json_pack("{s:s,s:I,s:s,s:b}", "event", "kill", "n", (json_int_t)p->count.strikes,
	    "who", who, "power_cut", cut);
	if (back >= 0)
		json_object_set_new(o, "back_ms", json_real(milli(back)));
	print_json(o);
}

/* ---- the end, as JSON --------------------------------------------------------------------- */

static json_t *json_roles(const struct prove *p)
{
	json_t *o = json_object();

	for (int r = 0; r < ROLE_COUNT; r++) {
		if (p->count.role[r] > 0)
			json_object_set_new(
			    o, role_names[r], json_integer((json_int_t)p->count.role[r]));
	}
	json_object_set_new(o, "all", json_integer((json_int_t)p->count.all));
	return o;
}

static json_t *json_cuts(const struct prove *p)
{
	const struct disk_cut_tally *t = &p->count.lost;

	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "cuts", (json_int_t)p->count.cuts,
	    "writes_lost", (json_int_t)t->writes_lost, "writes_torn", (json_int_t)t->writes_torn,
	    "writes_kept", (json_int_t)t->writes_kept, "names_lost", (json_int_t)t->names_lost,
	    "names_kept", (json_int_t)t->names_kept);
}

static void end_json(const struct prove *p, bool kept)
{
	const struct verdict *v = &p->sum;
	json_t *o =
	    json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "event",
		"result", "tool", "prove", "good", report_good(p), "acked", (json_int_t)v->acked,
		"delivered", (json_int_t)v->delivered, "lost", (json_int_t)v->lost, "refused",
		(json_int_t)v->refused, "refused_seen", (json_int_t)v->refused_seen, "unsent_seen",
		(json_int_t)v->unsent_seen, "corrupt", (json_int_t)v->corrupt, "stray",
		(json_int_t)v->stray, "dup_excused", (json_int_t)v->dup_excused, "dup_unexcused",
		(json_int_t)v->dup_unexcused, "unknown_seen", (json_int_t)v->unknown_seen,
		"unknown_gone", (json_int_t)v->unknown_gone, "bounced", (json_int_t)v->bounced);

	if (o == NULL)
		die("out of memory");
	json_object_set_new(o, "left", json_integer((json_int_t)p->left));
	json_object_set_new(o, "crashes", json_integer((json_int_t)p->crashes));
	json_object_set_new(o, "kills", json_integer((json_int_t)p->count.strikes));
	json_object_set_new(o, "killed", json_roles(p));
	json_object_set_new(o, "power", json_cuts(p));
	json_object_set_new(o, "seconds", json_real(seconds_of(p)));
	json_object_set_new(o, "rate", json_real(rate_of(p)));
	json_object_set_new(
	    o, "back_p50_ms", json_real(milli(report_share(p->back, p->n_back, 0.5))));
	json_object_set_new(
	    o, "back_max_ms", json_real(milli(report_share(p->back, p->n_back, 1))));
	json_object_set_new(o, "seed", json_integer((json_int_t)p->opt.seed));
	if (p->trouble[0] != '\0')
		json_object_set_new(o, "trouble", json_string_nocheck(p->trouble));
	if (kept)
		json_object_set_new(o, "directory", json_string_nocheck(p->dir));
	print_json(o);
}

/* ---- the end, for people ------------------------------------------------------------------ */

static void row(struct buf *b, const char *name, uint64_t n, const char *note)
{
	char text[32];

	buf_addf(b, "%-*s %9s", NAME_WIDTH, name, progress_count((int64_t)n, text, sizeof(text)));
	buf_addf(b, "%s%s\n", note[0] != '\0' ? "   " : "", note);
}

static void put_verdict(const struct prove *p, struct buf *b)
{
	const struct verdict *v = &p->sum;
	char note[128], n[2][32];

	snprintf(note, sizeof(note), "with 250, %s/s over %.0f s",
	    progress_count((int64_t)rate_of(p), n[0], sizeof(n[0])), seconds_of(p));
	row(b, "acknowledged", v->acked, note);
	row(b, "delivered", v->delivered, "");
	row(b, "lost", v->lost, "acknowledged, and neither arrived nor came back");
	row(b, "refused, delivered", v->refused_seen + v->unsent_seen,
	    "arrived, though it was refused or never sent whole");
	row(b, "corrupt", v->corrupt, "");
	row(b, "stray", v->stray, "of no number, or another run's");
	row(b, "duplicated, excused", v->dup_excused,
	    "a kill came between the delivery and its durable result");
	row(b, "duplicated, unexcused", v->dup_unexcused, "");
	snprintf(note, sizeof(note), "no answer came: %s arrived, %s did not, both are right",
	    progress_count((int64_t)v->unknown_seen, n[0], sizeof(n[0])),
	    progress_count((int64_t)v->unknown_gone, n[1], sizeof(n[1])));
	row(b, "unknown", v->unknown_seen + v->unknown_gone, note);
	if (p->left != 0)
		row(b, "still queued", p->left > 0 ? (uint64_t)p->left : 0,
		    p->left > 0 ? "the queue did not become empty" : "the queue did not answer");
	if (p->crashes != 0)
		row(b, "crashed", p->crashes, "processes that ended without being killed");
}

static void put_kills(const struct prove *p, struct buf *b)
{
	const struct disk_cut_tally *t = &p->count.lost;

	buf_addf(b, "%-*s %9llu   all %llu", NAME_WIDTH, "kills",
	    (unsigned long long)p->count.strikes, (unsigned long long)p->count.all);
	for (int r = 0; r < ROLE_COUNT; r++) {
		if (p->count.role[r] > 0)
			buf_addf(
			    b, ", %s %llu", role_names[r], (unsigned long long)p->count.role[r]);
	}
	if (p->count.cuts > 0)
		buf_addf(b,
		    "\n%-*s %9llu   un-flushed writes %llu lost, %llu torn, %llu kept; names "
		    "%llu lost, %llu kept",
		    NAME_WIDTH, "power cuts", (unsigned long long)p->count.cuts,
		    (unsigned long long)t->writes_lost, (unsigned long long)t->writes_torn,
		    (unsigned long long)t->writes_kept, (unsigned long long)t->names_lost,
		    (unsigned long long)t->names_kept);
	buf_addf(b, "\n%-*s %9s   p50 %.0f ms, max %.0f ms from the kill to the greeting\n",
	    NAME_WIDTH, "restart", "", milli(report_share(p->back, p->n_back, 0.5)),
	    milli(report_share(p->back, p->n_back, 1)));
}

static void put_numbers(const struct prove *p, struct buf *b)
{
	for (int i = 0; i < LANES; i++) {
		const struct lane *l = &p->lane[i];

		for (size_t k = 0; k < l->verdict.n_lost_first; k++)
			buf_addf(b, "%s%llu", k == 0 ? "lost numbers of " : " ",
			    (unsigned long long)l->verdict.lost_first[k]);
		if (l->verdict.n_lost_first > 0)
			buf_addf(b, " (%s)\n", l->name);
	}
}

static void put_judgement(const struct prove *p, struct buf *b, bool kept)
{
	put_numbers(p, b);
	if (p->trouble[0] != '\0')
		buf_addf(b, "TROUBLE: %s\n", p->trouble);
	if (report_good(p))
		buf_add_str(b, "PROVEN: nothing that was acknowledged was lost.\n");
	else
		buf_add_str(b, "NOT PROVEN.\n");
	if (kept)
		buf_addf(b,
		    "Spool, mail, ledgers (*.sent, *.arrivals, kills) and logs (godwit.log, *.err) "
		    "are kept in %s\n",
		    p->dir);
}

void report_end(const struct prove *p, bool kept)
{
	struct buf b;

	sort_back((struct prove *)(uintptr_t)p);
	if (p->g.json) {
		end_json(p, kept);
		return;
	}
	if (p->g.quiet && report_good(p))
		return;
	buf_init(&b, TEXT_BYTES);
	put_verdict(p, &b);
	put_kills(p, &b);
	put_judgement(p, &b, kept);
	fwrite(buf_view(&b).p, 1, buf_len(&b), stdout);
	fflush(stdout);
	buf_fini(&b);
}
