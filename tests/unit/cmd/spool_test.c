#include "cmd/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEGMENT = 1 << 20 };

/* A scratch folder with spools and exports in it. */
static char root[64];

static const char *in_root(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *to = path[turn++ % 4];

	snprintf(to, sizeof(path[0]), "%s/%s", root, name);
	return to;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/spool-cmd-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_dir(const char *path)
{
	char name[600];
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlink(name) != 0)
			(void)remove_dir(name);
	}
	if (d)
		closedir(d);
	return rmdir(path);
}

static int tear_down(void **state)
{
	(void)state;
	return remove_dir(root);
}

/* ---- a spool --------------------------------------------------------------------------------- */

static struct disk *disk;
static struct store *store;

static void any_key(void *to, size_t n)
{
	static uint8_t next = 1;

	memset(to, next++, n);
}

static void open_spool(const char *name)
{
	struct store_params p = {.segment_size = SEGMENT, .random = any_key};
	struct store_damage damage;
	struct store_record r;
	char why[100];

	(void)mkdir(in_root(name), 0700);
	disk = disk_posix_new(open(in_root(name), O_RDONLY | O_DIRECTORY));
	assert_int_equal(store_open(&store, disk, &p, why, sizeof(why)), 0);
	while (store_recover(store, &r, &damage) > 0)
		continue;
}

static void close_spool(void)
{
	store_close(&store);
	disk_posix_free(&disk);
}

static struct msgid id_of(uint8_t i)
{
	struct msgid id = {{0x01, 0x8c}};

	id.b[5] = i;
	id.b[15] = 9;
	return id;
}

static const char *text_of(uint8_t i)
{
	static char text[MSGID_TEXT + 1];
	struct msgid id = id_of(i);

	msgid_format(&id, text);
	return text;
}

static void put(struct store_record *r)
{
	assert_int_equal(store_commit(store, r, 1), STORE_DONE);
	assert_int_equal(r->status, 0);
}

static const char content[] = "Subject: odd\r\nX: \xff\r\n\r\nbody \x01 of it\r\n.\r\nno end";
static const struct part no_parts[1];

/* A message with every field set, some of them not UTF-8, and two recipients. */
static struct store_record put_message(uint8_t i, const struct part *part, size_t n_part)
{
	static const struct rcpt rcpt[] = {{.addr = SPAN("one@example.org"),
					       .orcpt = SPAN("rfc822;One"),
					       .notify = 3,
					       .from = SPAN("owner@example.org")},
	    {.addr = SPAN("tw\xfc@example.org"), .kept = true}};
	static const struct span tags[] = {{(const uint8_t *)"a\"b", 3}, {(const uint8_t *)"", 0}};
	struct envelope e = {.id = id_of(i),
	    .accepted = INT64_C(1700000000000000) + i,
	    .from = SPAN("\xe2\x82\xac@example.net"),
	    .rcpt = rcpt,
	    .n_rcpt = 2,
	    .tenant = SPAN("t"),
	    .account = SPAN("acc"),
	    .ticket = SPAN("\x00\x01\x02"),
	    .priority = 7,
	    .tag = tags,
	    .n_tag = 2,
	    .vmta = SPAN("v"),
	    .site = SPAN("s"),
	    .idempotency_key = SPAN("key"),
	    .envid = SPAN("envid"),
	    .ret = RET_HDRS,
	    .body_type = BODY_BINARYMIME,
	    .smtputf8 = true,
	    .at_most_once = true,
	    .facts = {.size = sizeof(content) - 1,
		.lines = 5,
		.longest_line = 20,
		.eight_bit = true,
		.open_end = true},
	    .origin = ORIGIN_API,
	    .client_ip = SPAN("192.0.2.1"),
	    .client_helo = SPAN("helo"),
	    .listener = SPAN("mx"),
	    .head_length = 24,
	    .part = part,
	    .n_part = n_part};
	struct span body = span_of(content, sizeof(content) - 1);
	struct store_record r = {.type = REC_MESSAGE, .id = e.id, .body = &body, .n_body = 1};
	struct buf meta;

	e.nonce = e.id;
	e.nonce.b[0] = 0xee;
	buf_init(&meta, 4096);
	envelope_encode(&e, &meta);
	r.meta = buf_view(&meta);
	put(&r);
	buf_fini(&meta);
	return r;
}

static void put_change(uint8_t i, uint32_t rcpt, enum outcome o)
{
	struct change_rcpt c = {.index = rcpt,
	    .number = 4,
	    .attempts = 3,
	    .outcome = o,
	    .due = o == OUTCOME_DEFERRED ? INT64_C(1700000360000000) : 0,
	    .code = 451,
	    .esc = {4, 2, 1},
	    .host = SPAN("mx.example.org"),
	    .reply = SPAN("busy\xff")};
	struct change change = {.id = id_of(i), .when = 5, .rcpt = &c, .n_rcpt = 1};
	struct store_record r = {.type = REC_DEFERRED, .id = id_of(i), .own = true};
	struct buf meta;

	if (outcome_final(o))
		r.type = REC_RESULT;
	buf_init(&meta, 4096);
	change_encode(&change, &meta);
	r.meta = buf_view(&meta);
	put(&r);
	buf_fini(&meta);
}

/* Message 1 waits for both, 2 for its second recipient (deferred), 3 is finished. */
static void make_spool(const char *name)
{
	open_spool(name);
	put_message(1, no_parts, 0);
	put_message(2, no_parts, 0);
	put_change(2, 0, OUTCOME_DELIVERED);
	put_change(2, 1, OUTCOME_DEFERRED);
	put_message(3, no_parts, 0);
	put_change(3, 0, OUTCOME_DELIVERED);
	put_change(3, 1, OUTCOME_FAILED);
	close_spool();
}

static void flip(const char *file, off_t at)
{
	int fd = open(in_root(file), O_RDWR);
	uint8_t octet;

	assert_int_equal(pread(fd, &octet, 1, at), 1);
	octet ^= 0x20;
	assert_int_equal(pwrite(fd, &octet, 1, at), 1);
	close(fd);
}

/* ---- running a tool -------------------------------------------------------------------------- */

static char said[1 << 16];

static int run_words(int argc, char **argv)
{
	struct cmd_globals g = {.json = false};
	int old = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int fd = open(in_root("out"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	int code = cmd_spool(&g, argc, argv);
	fflush(stdout);
	dup2(old, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(old);
	close(err);
	ssize_t n = pread(fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	return code;
}

static int run_tool(const char *spool, const char *tool, const char *with, const char *flag)
{
	char path[256], dir[256];
	char *argv[] = {(char *)"spool", (char *)(uintptr_t)tool, NULL, NULL, NULL, NULL, NULL};
	int n = 2;

	snprintf(path, sizeof(path), "--spool=%s", in_root(spool));
	if (with) {
		snprintf(dir, sizeof(dir), "%s", in_root(with));
		argv[n++] = dir;
	}
	argv[n++] = path;
	if (flag)
		argv[n++] = (char *)(uintptr_t)flag;
	return run_words(n, argv);
}

static json_t *run_json(const char *spool, const char *tool, const char *with, int want)
{
	assert_int_equal(run_tool(spool, tool, with, "--json"), want);
	char *line = strstr(said, "{\"spool\"");
	assert_non_null(line);
	json_t *out = json_loads(line, 0, NULL);
	assert_non_null(out);
	return out;
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void good_spool_is_good(void **state)
{
	(void)state;
	make_spool("a");
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_OK);
	assert_non_null(strstr(said, "7 good records in 1 segments, 0 damaged"));
	json_t *o = run_json("a", "stats", NULL, CMD_OK);
	assert_int_equal(number(o, "messages"), 2);
	assert_int_equal(number(o, "recipients"), 3);
	assert_int_equal(number(o, "deferred"), 1);
	assert_int_equal(number(o, "finished"), 1);
	assert_int_equal(number(o, "octets"), SEGMENT);
	assert_int_equal(number(o, "needed") + number(o, "dead"), number(o, "used"));
	assert_true(number(o, "needed") > 2 * (json_int_t)sizeof(content));
	json_decref(o);
	assert_int_equal(run_tool("a", "stats", NULL, NULL), CMD_OK);
	assert_non_null(strstr(said, "2 messages wait for 3 recipients (1 deferred)"));
}

/* Every damaged record is named, with its message. */
static void damage_is_named(void **state)
{
	struct store_record r;

	(void)state;
	open_spool("a");
	put_message(1, no_parts, 0);
	r = put_message(2, no_parts, 0);
	put_message(3, no_parts, 0);
	close_spool();
	flip("a/seg-0000000000000001", (off_t)r.body_at.offset + 3);
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_NO);
	assert_non_null(strstr(said, "damaged: seg-0000000000000001, offset 8192"));
	assert_non_null(strstr(said, "body of MESSAGE"));
	assert_non_null(strstr(said, text_of(2)));
	json_t *o = run_json("a", "verify", NULL, CMD_NO);
	json_t *d = json_array_get(json_object_get(o, "damaged"), 0);
	assert_int_equal(number(d, "offset"), 8192);
	assert_string_equal(json_string_value(json_object_get(d, "id")), text_of(2));
	assert_true(json_is_false(json_object_get(o, "good")));
	json_decref(o);
	/* And not saved, which is told with its people. */
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_NO);
	assert_non_null(strstr(said, "its content is damaged (from <"));
	assert_non_null(strstr(said, "2 messages saved"));
}

static int count_files(const char *dir)
{
	DIR *d = opendir(in_root(dir));
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static json_t *load(const char *dir, const char *id)
{
	char name[100];

	snprintf(name, sizeof(name), "%s/%s.json", dir, id);
	json_t *o = json_load_file(in_root(name), JSON_ALLOW_NUL, NULL);
	assert_non_null(o);
	return o;
}

static void compare_content(const char *dir, const char *id, const char *want, size_t n)
{
	static char have[1 << 23];
	char name[100];

	snprintf(name, sizeof(name), "%s/%s.eml", dir, id);
	FILE *f = fopen(in_root(name), "rb");
	assert_non_null(f);
	assert_int_equal(fread(have, 1, sizeof(have), f), n);
	assert_memory_equal(have, want, n);
	fclose(f);
}

/* From spool to spool and out again: nothing has changed but who is finished. */
static void round_trip(void **state)
{
	(void)state;
	make_spool("a");
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_OK);
	assert_int_equal(count_files("x"), 4);
	compare_content("x", text_of(1), content, sizeof(content) - 1);
	assert_int_equal(run_tool("b", "import", "x", NULL), CMD_OK);
	assert_non_null(strstr(said, "2 messages imported"));
	assert_int_equal(run_tool("b", "export", "y", NULL), CMD_OK);
	assert_int_equal(count_files("y"), 4);
	compare_content("y", text_of(2), content, sizeof(content) - 1);
	json_t *x = load("x", text_of(1)), *y = load("y", text_of(1));
	assert_true(json_equal(x, y));
	json_decref(x);
	json_decref(y);
	x = load("x", text_of(2));
	y = load("y", text_of(2));
	json_t *left = json_object_get(y, "recipients"), *was = json_object_get(x, "recipients");
	assert_int_equal(json_array_size(left), 1);
	json_t *one = json_array_get(left, 0), *before = json_array_get(was, 1);
	assert_string_equal(json_string_value(json_object_get(one, "state")), "deferred");
	assert_int_equal(number(one, "attempts"), 3);
	assert_int_equal(number(one, "due"), INT64_C(1700000360000000));
	assert_true(json_equal(json_object_get(one, "reply"), json_object_get(before, "reply")));
	assert_true(
	    json_equal(json_object_get(one, "address"), json_object_get(before, "address")));
	json_decref(x);
	json_decref(y);
}

static const char *state_in(const char *dir, uint8_t i, size_t rcpt, char to[16])
{
	json_t *x = load(dir, text_of(i));
	json_t *r = json_array_get(json_object_get(x, "recipients"), rcpt);

	snprintf(to, 16, "%s", json_string_value(json_object_get(r, "state")));
	json_decref(x);
	return to;
}

/* What was sent at most once is not sent again elsewhere, nor what was refused. */
static void what_must_not_be_tried(void **state)
{
	char text[16];

	(void)state;
	open_spool("n");
	put_message(7, no_parts, 0);
	put_change(7, 0, OUTCOME_MAYBE);
	put_change(7, 1, OUTCOME_UNTOLD);
	close_spool();
	assert_int_equal(run_tool("n", "export", "n1", NULL), CMD_OK);
	assert_int_equal(run_tool("n2", "import", "n1", NULL), CMD_OK);
	assert_int_equal(run_tool("n2", "export", "n3", NULL), CMD_OK);
	assert_string_equal(state_in("n1", 7, 0, text), "maybe");
	assert_string_equal(state_in("n3", 7, 0, text), "maybe");
	assert_string_equal(state_in("n3", 7, 1, text), "untold");
}

/* A copy that was kept beside forwarding is not forwarded once more. */
static void a_kept_copy(void **state)
{
	(void)state;
	open_spool("k");
	put_message(8, no_parts, 0);
	close_spool();
	assert_int_equal(run_tool("k", "export", "k1", NULL), CMD_OK);
	assert_int_equal(run_tool("k2", "import", "k1", NULL), CMD_OK);
	assert_int_equal(run_tool("k2", "export", "k3", NULL), CMD_OK);

	json_t *x = load("k3", text_of(8)), *list = json_object_get(x, "recipients");

	assert_true(json_is_false(json_object_get(json_array_get(list, 0), "kept")));
	assert_true(json_is_true(json_object_get(json_array_get(list, 1), "kept")));
	json_decref(x);
}

static void import_twice(void **state)
{
	(void)state;
	make_spool("a");
	assert_int_equal(run_tool("a", "export", "x", "--all"), CMD_OK);
	assert_int_equal(count_files("x"), 6);
	json_t *o = run_json("b", "import", "x", CMD_OK);
	assert_int_equal(number(o, "imported"), 2);
	assert_int_equal(number(o, "finished"), 1);
	json_decref(o);
	o = run_json("b", "import", "x", CMD_OK);
	assert_int_equal(number(o, "imported"), 0);
	assert_int_equal(number(o, "present"), 2);
	json_decref(o);
	/* Into the spool it came from: what is finished there is not sent again. */
	o = run_json("a", "import", "x", CMD_OK);
	assert_int_equal(number(o, "imported"), 0);
	assert_int_equal(number(o, "present"), 3);
	json_decref(o);
	o = run_json("b", "stats", NULL, CMD_OK);
	assert_int_equal(number(o, "messages"), 2);
	json_decref(o);
}

/* Content in pieces comes out in one, and goes in in pieces. */
static void large_content(void **state)
{
	enum { PIECE = 300000 };
	static char big[PIECE], whole[2 * PIECE + sizeof(content)];
	struct part part[2];

	(void)state;
	for (size_t i = 0; i < PIECE; i++)
		big[i] = (char)(i * 31);
	open_spool("a");
	for (int i = 0; i < 2; i++) {
		struct span v = span_of(big, PIECE);
		struct store_record r = {.type = REC_PART, .body = &v, .n_body = 1};

		put(&r);
		part[i] = (struct part){
		    r.body_at.segment, r.body_at.offset, r.body_at.length, r.body_at.sum};
	}
	put_message(1, part, 2);
	close_spool();
	memcpy(whole, content, 24);
	memcpy(whole + 24, big, PIECE);
	memcpy(whole + 24 + PIECE, big, PIECE);
	memcpy(whole + 24 + 2 * PIECE, content + 24, sizeof(content) - 25);
	size_t n = 2 * PIECE + sizeof(content) - 1;
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_OK);
	compare_content("x", text_of(1), whole, n);
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_OK);
	/* Small segments, so that it does not fit into one record. */
	open_spool("b");
	put_message(9, no_parts, 0);
	close_spool();
	assert_int_equal(run_tool("b", "import", "x", NULL), CMD_OK);
	assert_int_equal(run_tool("b", "verify", NULL, NULL), CMD_OK);
	assert_int_equal(run_tool("b", "export", "y", NULL), CMD_OK);
	compare_content("y", text_of(1), whole, n);
	/* A damaged part is told with its message. */
	flip("a/seg-0000000000000001", (off_t)part[1].offset + 7);
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_NO);
	assert_non_null(strstr(said, "a part of its content is missing or damaged"));
	assert_int_equal(run_tool("a", "export", "z", NULL), CMD_NO);
	assert_non_null(strstr(said, text_of(1)));
}

/* The header page of the segment is gone: everything is saved all the same. */
static void headless(void **state)
{
	(void)state;
	make_spool("a");
	flip("a/seg-0000000000000001", 40);
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_NO);
	assert_non_null(strstr(said, "segment header"));
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_OK);
	assert_int_equal(count_files("x"), 4);
}

/* Nothing is written into a spool that is in use, and only what is safe is read. */
static void in_use(void **state)
{
	(void)state;
	make_spool("a");
	int fd = open(in_root("a"), O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	(void)mkdir(in_root("x"), 0700);
	assert_int_equal(run_tool("a", "import", "x", NULL), CMD_LATER);
	assert_non_null(strstr(said, "is in use by a running godwit: stop it first\n"));
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_LATER);
	assert_int_equal(run_tool("a", "verify", NULL, NULL), CMD_LATER);
	assert_non_null(strstr(said, "or look at it with --read-only"));
	assert_int_equal(run_tool("a", "verify", NULL, "--read-only"), CMD_OK);
	assert_int_equal(run_tool("a", "stats", NULL, "--read-only"), CMD_OK);
	assert_int_equal(run_tool("a", "import", "x", "--read-only"), CMD_USAGE);
	close(fd);
}

static void copy_file(const char *from, const char *to)
{
	static char mem[1 << 16];
	FILE *f = fopen(in_root(from), "rb");

	assert_non_null(f);
	size_t n = fread(mem, 1, sizeof(mem), f);
	fclose(f);
	f = fopen(in_root(to), "wb");
	assert_int_equal(fwrite(mem, 1, n, f), n);
	fclose(f);
}

/* What was put together by hand, or by somebody who means harm. */
static void hostile_imports(void **state)
{
	char from[100], to[100];

	(void)state;
	make_spool("a");
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_OK);
	/* The same message under another file name comes once. */
	snprintf(from, sizeof(from), "x/%s.json", text_of(1));
	snprintf(to, sizeof(to), "x/%s.json", text_of(200));
	copy_file(from, to);
	/* A link to a file of somebody else is not followed. */
	snprintf(to, sizeof(to), "x/%s.json", text_of(201));
	assert_int_equal(symlink("/etc/passwd", in_root(to)), 0);
	snprintf(to, sizeof(to), "x/%s.json", text_of(202));
	FILE *f = fopen(in_root(to), "w");
	fputs("{\"id\":\"../../../../../etc/passwd\",\"recipients\":[]}", f);
	fclose(f);
	snprintf(to, sizeof(to), "x/%s.json", text_of(203));
	f = fopen(in_root(to), "w");
	fputs("[[[[", f);
	fclose(f);
	/* Content that was cut is not taken for the message. */
	snprintf(from, sizeof(from), "x/%s.eml", text_of(2));
	assert_int_equal(truncate(in_root(from), 20), 0);
	json_t *o = run_json("b", "import", "x", CMD_NO);
	assert_int_equal(number(o, "imported"), 1);
	assert_int_equal(number(o, "present"), 1);
	assert_int_equal(json_array_size(json_object_get(o, "refused")), 4);
	json_decref(o);
}

/* An address with a line end would become two commands to the next server. */
static void no_control_octets(void **state)
{
	char name[100];

	(void)state;
	make_spool("a");
	assert_int_equal(run_tool("a", "export", "x", NULL), CMD_OK);
	json_t *o = load("x", text_of(1));
	json_object_set_new(o, "from", json_string("a@b>\r\nRCPT TO:<c@d"));
	snprintf(name, sizeof(name), "x/%s.json", text_of(1));
	assert_int_equal(json_dump_file(o, in_root(name), 0), 0);
	json_decref(o);
	o = run_json("b", "import", "x", CMD_NO);
	assert_int_equal(number(o, "imported"), 1);
	json_decref(o);
}

static void usage(void **state)
{
	char *none[] = {(char *)"spool", NULL};
	char *odd[] = {(char *)"spool", (char *)"repair", NULL};

	(void)state;
	assert_int_equal(run_words(1, none), CMD_USAGE);
	assert_int_equal(run_words(2, odd), CMD_USAGE);
	assert_int_equal(run_tool("nowhere", "verify", NULL, NULL), CMD_NOT_FOUND);
	make_spool("a");
	assert_int_equal(run_tool("a", "export", NULL, NULL), CMD_USAGE);
	assert_int_equal(run_tool("a", "verify", "x", NULL), CMD_USAGE);
	assert_int_equal(run_tool("a", "verify", NULL, "--all"), CMD_USAGE);
	/* An export does not mix with what is there. */
	assert_int_equal(run_tool("a", "export", "a", NULL), CMD_NO);
	assert_int_equal(run_tool("a", "import", "nowhere", NULL), CMD_NOT_FOUND);
}

#define SPOOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SPOOL_TEST(good_spool_is_good),
	    SPOOL_TEST(damage_is_named),
	    SPOOL_TEST(round_trip),
	    SPOOL_TEST(what_must_not_be_tried),
	    SPOOL_TEST(a_kept_copy),
	    SPOOL_TEST(import_twice),
	    SPOOL_TEST(large_content),
	    SPOOL_TEST(headless),
	    SPOOL_TEST(in_use),
	    SPOOL_TEST(hostile_imports),
	    SPOOL_TEST(no_control_octets),
	    SPOOL_TEST(usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
