/*
 * The link to Dovecot's auth service, with a Dovecot at the other end of a socket pair that says
 * and does what it likes: answers of any kind for any number, lines cut anywhere, nonsense,
 * silence, hanging up, not reading. The model reads along line by line, and says:
 *   - each question is answered once, never before asking has returned, and not for ever later;
 *   - with what Dovecot said of this very question on the connection that it was asked over, or
 * with "nothing" because it is late; nothing else is ever taken for an answer;
 *   - who breaks the form is hung up on, and nobody else is but the silent;
 *   - a connection is wanted when there is none and somebody waits, once a second;
 *   - what is said there is a hello and then each question at most once, when it may be asked;
 *   - no more than DOVECOT_OPEN_MAX questions are open.
 */
#include "virtual_loop.h"

#include "auth/dovecot.h"
#include "base/log.h"
#include "role/vault_dovecot.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ASKED_MAX = 1536, STEPS_MAX = 400, USER_PATIENCE = 2 };
#define SWEEP (USEC_PER_SEC / 4)

struct asked {
	uint32_t id;
	bool open, again;
	struct span name;
	int64_t since, until;
	unsigned heard; /* the connection over which Dovecot has read it; 0: none */
};

static const uint8_t ip[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};

static struct {
	struct loop loop;
	struct span in;
	struct dovecot_link *link;
	bool login, asking, freeing;
	struct asked asked[ASKED_MAX];
	size_t n, n_open;
	/* Dovecot */
	int fd;               /* -1: none */
	unsigned connections; /* so far: its number */
	struct buf said, heard;
	size_t hello;  /* lines of it that were heard */
	size_t octets; /* that it has read */
	bool version, plain, shaken, bad;
	int64_t unshaken; /* since when */
	int64_t lonely;   /* since when somebody waits and there is no connection; 0: not so */
	int64_t wanted;
	bool silent; /* a question became too late */
} w;

static uint8_t next(void)
{
	uint8_t c = w.in.n > 0 ? w.in.p[0] : 0;

	w.in = span_skip(w.in, w.in.n > 0);
	return c;
}

static struct span next_bytes(size_t n)
{
	struct span s = span_first(w.in, n < w.in.n ? n : w.in.n);

	w.in = span_skip(w.in, s.n);
	return s;
}

static struct asked *find(uint32_t id)
{
	return id > 0 && id <= w.n ? &w.asked[id - 1] : NULL;
}

/* ---- what it means: the model's own reading ----------------------------------------------------
 */

static enum dovecot_says meaning(const struct dovecot_line *x)
{
	if (x->word == DOVECOT_OK)
		return x->nologin ? DOVECOT_SAYS_BARRED : DOVECOT_SAYS_YES;
	if (x->word == DOVECOT_USER)
		return DOVECOT_SAYS_YES;
	if (x->word == DOVECOT_NOTFOUND)
		return DOVECOT_SAYS_NO;
	if (x->word == DOVECOT_FAIL && w.login && !x->temporary)
		return x->disabled ? DOVECOT_SAYS_BARRED : DOVECOT_SAYS_NO;
	return DOVECOT_SAYS_NOTHING;
}

static bool may_answer(enum dovecot_word word)
{
	switch (word) {
	case DOVECOT_OK:
	case DOVECOT_CONT: return w.login;
	case DOVECOT_USER:
	case DOVECOT_NOTFOUND: return !w.login;
	default: return word == DOVECOT_FAIL;
	}
}

static void greet(const struct dovecot_line *x)
{
	if (x->word == DOVECOT_VERSION) {
		w.bad = x->major != DOVECOT_MAJOR;
		w.version = true;
		w.shaken = w.shaken || (!w.login && !w.bad);
	} else if (x->word == DOVECOT_MECH) {
		w.plain = w.plain || x->plain;
	} else if (x->word == DOVECOT_DONE) {
		w.bad = !w.version || !w.plain;
		w.shaken = w.shaken || !w.bad;
	}
}

/* The next line that was said and may be an answer; false: none. x->user is in "room". */
static bool read_along(struct buf *room, struct dovecot_line *x)
{
	ptrdiff_t at;

	while (!w.bad && (at = span_find(buf_view(&w.said), '\n')) >= 0) {
		w.bad = dovecot_read(span_first(buf_view(&w.said), (size_t)at), room, x) < 0;
		buf_drop(&w.said, (size_t)at + 1);
		if (w.bad)
			return false;
		if (x->word < DOVECOT_OK) {
			greet(x);
			continue;
		}
		w.bad = !w.shaken || !may_answer(x->word);
		return !w.bad;
	}
	w.bad = w.bad || buf_len(&w.said) >= DOVECOT_LINE_MAX;
	return false;
}

/* An answer that is not told must be nobody's, or of a question that did not get there yet. */
static void must_be_nobodys(const struct dovecot_line *x)
{
	const struct asked *a = find(x->id);

	MUST(a == NULL || !a->open || a->heard != w.connections);
}

static void read_rest(void)
{
	struct dovecot_line x;
	struct buf room;

	buf_init(&room, DOVECOT_LINE_MAX);
	while (read_along(&room, &x))
		must_be_nobodys(&x);
	buf_fini(&room);
}

/* ---- the link's owner --------------------------------------------------------------------------
 */

static void hang_up(void)
{
	if (w.fd >= 0)
		close(w.fd);
	w.fd = -1;
	if (w.shaken)
		w.unshaken = w.loop.now;
	w.version = w.plain = w.shaken = w.bad = false;
	w.hello = 0;
	buf_clear(&w.said);
	buf_clear(&w.heard);
}

static void want(void *arg, struct dovecot_link *l)
{
	(void)arg;
	MUST(l == w.link && w.n_open + w.asking > 0);
	MUST(w.wanted == 0 || w.loop.now - w.wanted >= USEC_PER_SEC);
	w.wanted = w.loop.now;
}

/* Nobody could say: it has waited long enough for that. Behind one that was too late the link may
 * have hung up. */
static bool is_late(const struct asked *a)
{
	return w.freeing || w.loop.now >= a->until ||
	       ((!w.shaken || w.silent) && w.loop.now >= a->since + DOVECOT_PATIENCE);
}

static bool was_said(const struct asked *a, enum dovecot_says says, struct span user)
{
	struct dovecot_line x;
	struct buf room;
	bool found = false;

	buf_init(&room, DOVECOT_LINE_MAX);
	while (!found && w.fd >= 0 && read_along(&room, &x)) {
		found = x.id == a->id;
		if (found)
			MUST(says == meaning(&x) && span_eq(user, x.user));
		else
			must_be_nobodys(&x);
	}
	buf_fini(&room);
	return found;
}

static void ask(size_t n_name, size_t n_secret, bool again);

static void done(void *arg, enum dovecot_says says, struct span user)
{
	struct asked *a = arg;

	MUST(!w.asking && a->open);
	if (!was_said(a, says, user)) {
		MUST(says == DOVECOT_SAYS_NOTHING && is_late(a));
		w.silent = true;
	}
	a->open = false;
	w.n_open--;
	if (a->again && !w.freeing)
		ask(3, 3, false);
}

static bool ask_link(struct asked *a, struct span secret)
{
	bool taken;

	w.asking = true;
	taken = w.login ? dovecot_ask_login(w.link, a->name, secret, ip, done, a)
			: dovecot_ask_user(w.link, a->name, USER_PATIENCE * USEC_PER_SEC, done, a);
	w.asking = false;
	return taken;
}

static void ask(size_t n_name, size_t n_secret, bool again)
{
	struct asked *a = &w.asked[w.n];
	struct span secret;
	bool nul;

	if (w.n == ASKED_MAX)
		return;
	*a = (struct asked){.id = (uint32_t)w.n + 1, .again = again, .since = w.loop.now};
	a->name = next_bytes(n_name);
	secret = next_bytes(n_secret);
	a->until = w.loop.now + (w.login ? DOVECOT_ANSWER : USER_PATIENCE * USEC_PER_SEC);
	nul = w.login && (span_find(a->name, 0) >= 0 || span_find(secret, 0) >= 0);
	a->open = ask_link(a, secret);
	MUST(a->open ==
	     (w.n_open < DOVECOT_OPEN_MAX && !nul && (w.login || a->name.n <= DOVECOT_NAME_MAX)));
	w.n_open += a->open;
	w.n += a->open || (nul && w.n_open < DOVECOT_OPEN_MAX); /* its number is used up */
}

/* ---- Dovecot -----------------------------------------------------------------------------------
 */

static void say(const void *p, size_t n)
{
	ssize_t sent = w.fd >= 0 ? send(w.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (sent > 0)
		buf_add(&w.said, p, (size_t)sent);
}

static void say_str(const char *s)
{
	say(s, strlen(s));
}

static void hear_hello(struct span line)
{
	MUST(w.hello == 0 ? span_eq(line, SPAN("VERSION\t1\t1"))
			  : span_starts(line, SPAN("CPID\t")));
	w.hello++;
}

static void hear_question(struct span line)
{
	struct span word = span_starts(line, SPAN("USER\t")) ? SPAN("USER\t") : SPAN("AUTH\t");
	struct span rest = span_skip(line, word.n);
	ptrdiff_t tab = span_find(rest, '\t');
	struct asked *a;
	uint64_t id;

	MUST(span_starts(line, word) && span_eq(word, SPAN("AUTH\t")) == w.login && w.shaken);
	MUST(tab > 0 && span_to_u64(span_first(rest, (size_t)tab), &id) == 0);
	a = find((uint32_t)id);
	MUST(a != NULL && a->heard != w.connections);
	a->heard = w.connections;
}

/* One line that says what was asked, no more. */
static void check_user(struct span line)
{
	struct span rest = span_skip(line, 5);
	struct buf b;
	uint64_t id;

	MUST(span_to_u64(span_first(rest, (size_t)span_find(rest, '\t')), &id) == 0);
	buf_init(&b, DOVECOT_LINE_MAX);
	dovecot_put_user(&b, (uint32_t)id, find((uint32_t)id)->name);
	MUST(buf_len(&b) == line.n + 1 && memcmp(buf_view(&b).p, line.p, line.n) == 0);
	buf_fini(&b);
}

static void hear_lines(void)
{
	ptrdiff_t at;

	while ((at = span_find(buf_view(&w.heard), '\n')) >= 0) {
		struct span line = span_first(buf_view(&w.heard), (size_t)at);

		if (w.hello < 1u + w.login) {
			hear_hello(line);
		} else {
			hear_question(line);
			if (!w.login)
				check_user(line);
		}
		buf_drop(&w.heard, (size_t)at + 1);
	}
}

/* False: the link hung up. */
static bool hear(void)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(w.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		buf_add(&w.heard, bytes, (size_t)n);
		w.octets += (size_t)n;
		hear_lines();
	}
	return n < 0 && errno == EAGAIN;
}

static bool is_hung_up(void)
{
	struct pollfd p = {.fd = w.fd, .events = POLLRDHUP};

	return w.fd >= 0 && poll(&p, 1, 0) > 0;
}

/* All that was said has arrived. */
static void settle(void)
{
	virtual_settle(&w.loop);
	if (w.fd < 0)
		return;
	read_rest();
	MUST(is_hung_up() == w.bad || w.silent);
	if (is_hung_up())
		hang_up();
	w.silent = false;
}

/* What may be asked was asked, on each connection anew. */
static void hear_all(void)
{
	size_t before;

	do {
		before = w.octets;
		settle();
		if (w.fd < 0 || !hear())
			return;
	} while (w.octets > before);
	settle();
	for (size_t i = 0; i < w.n && w.fd >= 0 && w.shaken; i++)
		MUST(!w.asked[i].open || w.asked[i].heard == w.connections);
}

static void connect_link(uint8_t how)
{
	int fd[2], small = 1;

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	if (how & 1)
		setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	dovecot_link_take(w.link, fd[1]);
	if (w.fd >= 0) { /* one is enough */
		MUST(recv(fd[0], &small, 1, MSG_DONTWAIT) == 0);
		close(fd[0]);
		return;
	}
	w.fd = fd[0];
	w.connections++;
}

static void greet_link(uint8_t how)
{
	if ((how & 1) == 0)
		say_str("VERSION\t1\t2\n");
	say_str(how & 2 ? "MECH\tLOGIN\tplaintext\n" : "MECH\tPLAIN\tplaintext\n");
	if (w.login && (how & 4) == 0)
		say_str("SPID\t1\nCUID\t2\nDONE\n");
}

static uint32_t some_id(uint8_t what)
{
	size_t i = w.n, skip = what % 8;

	if (what >= 0xf8)
		return (uint32_t)(w.n + what - 0xf7);
	while (i > 0 && (!w.asked[i - 1].open || skip-- > 0))
		i--;
	return i > 0 ? (uint32_t)i : what;
}

static void answer(uint8_t how, uint8_t what)
{
	static const char *const words[] = {"OK\t%u\tuser=%c\n", "USER\t%u\t%c\thome=x\n",
	    "OK\t%u\tuser=%c\tnologin\n", "FAIL\t%u\tuser=%c\n", "FAIL\t%u\tuser=%c\ttemp\n",
	    "FAIL\t%u\tuser=%c\tcode=user_disabled\n", "NOTFOUND\t%u\t%c\n", "CONT\t%u\t%c\n",
	    "OK\t%u\t%c\n", "USER\t%u\n"};
	struct buf b;

	buf_init(&b, 256);
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
	buf_addf(&b, words[how % GW_ARRAY_LEN(words)], some_id(what), 'a' + how % 26);
#pragma clang diagnostic pop
	say(buf_view(&b).p, buf_len(&b));
	buf_fini(&b);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void check_waiting(void)
{
	size_t n = 0;

	for (size_t i = 0; i < w.n; i++) {
		const struct asked *a = &w.asked[i];
		int64_t unshaken = a->since + DOVECOT_PATIENCE;

		n += a->open;
		if (!a->open)
			continue;
		unshaken = unshaken > w.unshaken ? unshaken : w.unshaken;
		MUST(w.loop.now <= a->until + SWEEP);
		MUST(w.shaken || w.loop.now <= unshaken + SWEEP);
	}
	w.lonely = w.fd >= 0 || n == 0 ? 0 : w.lonely > 0 ? w.lonely : w.loop.now;
	MUST(w.lonely == 0 ||
	     w.loop.now - (w.wanted > w.lonely ? w.wanted : w.lonely) <= USEC_PER_SEC + SWEEP);
	MUST(n == w.n_open && n <= DOVECOT_OPEN_MAX && dovecot_link_idle(w.link) == (n == 0));
}

static void pass(int64_t usec)
{
	int64_t until = w.loop.now + usec;

	while (w.loop.now < until) { /* in steps, to see who hangs up */
		virtual_forward(&w.loop, until - w.loop.now < SWEEP ? until - w.loop.now : SWEEP);
		settle();
		check_waiting();
	}
}

/* ---- the history -------------------------------------------------------------------------------
 */

static void step(uint8_t op)
{
	uint8_t how = next();
	struct span raw;

	switch (op % 12) {
	case 0:
	case 1: ask(how % 8, how / 8 % 8, how & 0x80); break;
	case 2: ask(how * 2, next() * 4u, how & 1); break;
	case 3: connect_link(how); break;
	case 4: greet_link(how); break;
	case 5:
	case 6: answer(how, next()); break;
	case 7:
		raw = next_bytes(how);
		say(raw.p, raw.n);
		break;
	case 8: hear_all(); break;
	case 9:
		settle();
		pass((int64_t)how * how * 200);
		break;
	case 10:
		settle();
		hang_up();
		settle();
		break;
	case 11:
		for (size_t i = 0; i < how * 3u; i++)
			ask(0, 0, false);
		break;
	}
	if ((op & 0x80) == 0)
		settle();
}

static void begin(struct span in)
{
	struct dovecot_link_owner owner = {.want = want};

	memset(&w, 0, sizeof(w));
	virtual_init(&w.loop, 1000 * USEC_PER_SEC);
	w.in = in;
	w.login = next() & 1;
	w.fd = -1;
	w.unshaken = w.loop.now;
	buf_init(&w.said, 1 << 20);
	buf_init(&w.heard, 4 << 20);
	w.link = dovecot_link_new(&w.loop, "/run/auth", w.login, &owner);
}

static void end(bool gone)
{
	settle();
	if (gone) { /* nobody waits for ever for who is gone */
		hang_up();
		pass(DOVECOT_ANSWER * 2);
		MUST(w.n_open == 0);
	}
	w.freeing = true;
	dovecot_link_free(&w.link);
	MUST(w.n_open == 0 && w.loop.n_watch == 0 && w.loop.n_timer == 0);
	hang_up();
	buf_fini(&w.said);
	buf_fini(&w.heard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	log_setup(STDERR_FILENO, LOG_NONE, "fuzz");
	begin(span_of(data, size));
	for (unsigned i = 0; i < STEPS_MAX && w.in.n > 0; i++)
		step(next());
	end(data[0] & 2);
	return 0;
}
