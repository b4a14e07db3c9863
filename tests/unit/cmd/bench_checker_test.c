#include "cmd/bench_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SOURCE(lines) \
	"{\"ledger\":\"source\",\"run\":\"r\",\"first\":1,\"messages\":4,\"rcpts\":1}\n" lines
#define END "{\"end\":true}\n"
#define FATE(n, s, ok) "{\"n\":" #n ",\"s\":\"" s "\",\"t\":1.0,\"ok\":" #ok "}\n"
#define CAME(n, to, t) "{\"run\":\"r\",\"n\":" #n ",\"to\":\"" to "\",\"t\":" #t ",\"ok\":true}\n"
#define SINK "{\"ledger\":\"sink\"}\n"
#define FOUR_ACKED FATE(1, "acked", 1) FATE(2, "acked", 1) FATE(3, "acked", 1) FATE(4, "acked", 1)
#define FOUR_CAME CAME(1, "a", 2.0) CAME(2, "a", 2.0) CAME(3, "a", 2.0) CAME(4, "a", 2.0)

struct paper {
	char path[32];
};

static struct paper write_paper(const char *text)
{
	struct paper p = {"/tmp/godwit-checker-XXXXXX"};
	int fd = mkstemp(p.path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return p;
}

static struct verdict verdict_of(const char *source, const char *kills, const char *sink)
{
	struct paper papers[3] = {write_paper(source), write_paper(kills), write_paper(sink)};
	struct checker *c = checker_new();
	struct verdict v;

	assert_int_equal(checker_source(c, papers[0].path), 0);
	assert_int_equal(checker_kills(c, papers[1].path), 0);
	assert_int_equal(checker_sink(c, papers[2].path), 0);
	v = checker_verdict(c);
	checker_free(&c);
	for (size_t i = 0; i < 3; i++)
		unlink(papers[i].path);
	return v;
}

static void all_is_well(void **state)
{
	struct verdict v = verdict_of(SOURCE(FOUR_ACKED END), "", SINK FOUR_CAME);

	(void)state;
	assert_int_equal(v.acked, 4);
	assert_int_equal(v.delivered, 4);
	assert_true(verdict_good(&v, true));
}

static void a_lost_message(void **state)
{
	struct verdict v = verdict_of(
	    SOURCE(FOUR_ACKED END), "", SINK CAME(1, "a", 2.0) CAME(2, "a", 2.0) CAME(4, "a", 2.0));

	(void)state;
	assert_int_equal(v.lost, 1);
	assert_int_equal(v.lost_first[0], 3);
	assert_false(verdict_good(&v, false));
}

static void a_bounce_is_not_a_loss(void **state)
{
	struct verdict v = verdict_of(SOURCE(FATE(1, "acked", 1) END), "",
	    SINK "{\"run\":\"r\",\"n\":1,\"to\":\"a\",\"t\":2.0,\"bounce\":true}\n");

	(void)state;
	assert_int_equal(v.lost, 0);
	assert_int_equal(v.bounced, 1);
	assert_true(verdict_good(&v, true));
}

static void what_must_not_come(void **state)
{
	struct verdict refused =
	    verdict_of(SOURCE(FATE(1, "refused", 0) END), "", SINK CAME(1, "a", 2.0));
	struct verdict unsent = verdict_of(SOURCE(END), "", SINK CAME(2, "a", 2.0));
	struct verdict other = verdict_of(SOURCE(END), "", SINK CAME(9, "a", 2.0));
	struct verdict run = verdict_of(
	    SOURCE(FOUR_ACKED END), "", SINK FOUR_CAME "{\"run\":\"q\",\"n\":1,\"to\":\"a\"}\n");
	struct verdict bare =
	    verdict_of(SOURCE(END), "", SINK "{\"to\":\"a\",\"t\":1.0,\"ok\":true}\n");
	struct verdict torn = verdict_of(SOURCE(FOUR_ACKED END), "",
	    SINK FOUR_CAME "{\"run\":\"r\",\"n\":1,\"to\":\"b\",\"t\":2.0,\"ok\":false}\n");

	(void)state;
	assert_int_equal(refused.refused_seen, 1);
	assert_int_equal(unsent.unsent_seen, 1);
	assert_int_equal(other.stray, 1);
	assert_int_equal(run.stray, 1);
	assert_int_equal(bare.stray, 1);
	assert_int_equal(torn.corrupt, 1);
	assert_false(verdict_good(&refused, false) || verdict_good(&unsent, false) ||
		     verdict_good(&other, false) || verdict_good(&run, false) ||
		     verdict_good(&bare, false) || verdict_good(&torn, false));
}

/* Three recipients, two accepted: two must arrive, a third must not. */
static void counted_by_recipient(void **state)
{
	struct verdict one =
	    verdict_of(SOURCE(FATE(1, "acked", 2) END), "", SINK CAME(1, "a", 2.0));
	struct verdict two = verdict_of(
	    SOURCE(FATE(1, "acked", 2) END), "", SINK CAME(1, "a", 2.0) CAME(1, "b", 2.0));
	struct verdict three = verdict_of(SOURCE(FATE(1, "acked", 2) END), "",
	    SINK CAME(1, "a", 2.0) CAME(1, "b", 2.0) CAME(1, "c", 2.0));

	(void)state;
	assert_int_equal(one.lost, 1);
	assert_true(verdict_good(&two, true));
	assert_int_equal(three.refused_seen, 1);
}

static void unknown_may_go_either_way(void **state)
{
	struct verdict v = verdict_of(
	    SOURCE(FATE(1, "unknown", 0) FATE(2, "unknown", 0) END), "", SINK CAME(1, "a", 2.0));

	(void)state;
	assert_int_equal(v.unknown_seen, 1);
	assert_int_equal(v.unknown_gone, 1);
	assert_true(verdict_good(&v, true));
}

/* A source that was killed: what it has no line for was perhaps on its way. */
static void a_killed_source(void **state)
{
	struct verdict v = verdict_of(SOURCE(FATE(1, "acked", 1) "{\"n\":2,\"s\":\"ack"), "",
	    SINK CAME(1, "a", 2.0) CAME(2, "a", 2.0));

	(void)state;
	assert_int_equal(v.unknown_seen, 1);
	assert_int_equal(v.unsent_seen, 0);
	assert_int_equal(v.bad_lines, 0);
	assert_true(verdict_good(&v, true));
}

static void duplicates_near_a_kill_are_excused(void **state)
{
	const char *twice = SINK FOUR_CAME CAME(2, "a", 9.0);
	struct verdict near =
	    verdict_of(SOURCE(FOUR_ACKED END), "{\"begin\":2.5,\"end\":2.6}\n", twice);
	struct verdict before =
	    verdict_of(SOURCE(FOUR_ACKED END), "{\"begin\":1.4,\"end\":1.5}\n", twice);
	struct verdict far =
	    verdict_of(SOURCE(FOUR_ACKED END), "{\"begin\":4.5,\"end\":4.6}\n", twice);

	(void)state;
	assert_int_equal(near.dup_excused, 1);
	assert_true(verdict_good(&near, true));
	assert_int_equal(before.dup_excused, 1);
	assert_int_equal(far.dup_unexcused, 1);
	assert_false(verdict_good(&far, true));
	assert_true(verdict_good(&far, false));
}

/* A tool that must find loss must not be fooled by its own ledgers. */
static void doubtful_ledgers(void **state)
{
	struct verdict twice = verdict_of(
	    SOURCE(FATE(1, "acked", 1) FATE(1, "refused", 0) END), "", SINK CAME(1, "a", 2.0));
	struct verdict noise = verdict_of(SOURCE(FOUR_ACKED END), "", SINK FOUR_CAME "not json\n");
	struct paper none = write_paper("");
	struct checker *c = checker_new();

	(void)state;
	assert_int_equal(twice.bad_lines, 1);
	assert_false(verdict_good(&twice, false));
	assert_int_equal(noise.bad_lines, 1);
	assert_false(verdict_good(&noise, false));
	assert_int_equal(checker_source(c, none.path), GW_EFORMAT);
	assert_int_equal(checker_source(c, "/nonexistent/ledger"), GW_EIO);
	checker_free(&c);
	unlink(none.path);
}

static void the_wrong_way_round(void **state)
{
	struct paper sink = write_paper(SINK FOUR_CAME);
	struct paper source = write_paper(SOURCE(FOUR_ACKED END));
	struct checker *c = checker_new();

	(void)state;
	assert_int_equal(checker_source(c, sink.path), GW_EFORMAT);
	assert_int_equal(checker_source(c, source.path), 0);
	assert_int_equal(checker_sink(c, source.path), GW_EFORMAT);
	checker_free(&c);
	unlink(sink.path);
	unlink(source.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_is_well),
	    cmocka_unit_test(a_lost_message),
	    cmocka_unit_test(a_bounce_is_not_a_loss),
	    cmocka_unit_test(what_must_not_come),
	    cmocka_unit_test(counted_by_recipient),
	    cmocka_unit_test(unknown_may_go_either_way),
	    cmocka_unit_test(a_killed_source),
	    cmocka_unit_test(duplicates_near_a_kill_are_excused),
	    cmocka_unit_test(doubtful_ledgers),
	    cmocka_unit_test(the_wrong_way_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
