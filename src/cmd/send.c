/* godwit send: test messages, and the dialogue with any server. */
#include "cmd/flags.h"

#include "base/clock.h"
#include "base/json.h"
#include "cmd/send_login.h"
#include "cmd/send_message.h"
#include "cmd/send_session.h"
#include "cmd/terminal.h"
#include "mail/address.h"
#include "mail/body.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	RCPT_MAX = 1000,
	MESSAGE_MAX = 1 << 30,
	NAME_MAX_BYTES = 256,
	CONNECT_TIMEOUT = 10 * 1000000,
	REPLY_TIMEOUT = 60 * 1000000,
};

struct send {
	struct cmd_globals g;
	const char *subject, *text, *file, *server, *ehlo, *show, *class;
	const char *from_flag;
	struct flag_list header;
	uint64_t size, count;
	char name[NAME_MAX_BYTES]; /* of this machine */
	char from[NAME_MAX_BYTES * 2];
	struct client_rcpt rcpt[RCPT_MAX];
	const char *to[RCPT_MAX];
	size_t n_rcpt;
	struct buf content;
	struct send_login login;
	struct send_session session;
	bool connected;
	uint64_t accepted;
	bool temporary, permanent;
};

/* ---- what is to be sent ---------------------------------------------------------------------- */

static void find_name(struct send *s)
{
	char host[NAME_MAX_BYTES] = "";

	if (s->ehlo != NULL) {
		snprintf(s->name, sizeof(s->name), "%s", s->ehlo);
		return;
	}
	gethostname(host, sizeof(host) - 1);
	snprintf(s->name, sizeof(s->name), "%s", domain_valid(span_str(host)) ? host : "localhost");
}

/* The canonical form of an address, for the caller to free; recipients stay until the end. */
static char *canonical(const char *text)
{
	struct address a;
	struct buf b;
	char *copy;

	if (address_parse(span_str(text), &a) < 0)
		return NULL;
	buf_init(&b, 1024);
	address_canonical(&a, &b);
	buf_add_byte(&b, '\0');
	copy = buf_failed(&b) ? NULL : strdup((const char *)buf_view(&b).p);
	buf_fini(&b);
	return copy;
}

static int take_from(struct send *s)
{
	const char *user = getenv("USER"), *from = s->from_flag;
	char *copy = NULL;

	if (from == NULL)
		snprintf(s->from, sizeof(s->from), "%s@%s", user && *user ? user : "root", s->name);
	else if (strcmp(from, "<>") == 0 || from[0] == '\0')
		s->from[0] = '\0';
	else if ((copy = canonical(from)) == NULL)
		return flags_usage("send", "--from '%s' is no address", from);
	else
		snprintf(s->from, sizeof(s->from), "%s", copy);
	free(copy);
	return CMD_OK;
}

static int take_recipients(struct send *s, int argc, char **argv)
{
	if (argc < 2)
		return flags_usage("send", "to whom? write an address");
	if (argc - 1 > RCPT_MAX)
		return flags_usage("send", "more than %d recipients", RCPT_MAX);
	for (int i = 1; i < argc; i++) {
		const char *to = canonical(argv[i]);

		if (to == NULL)
			return flags_usage("send", "'%s' is no address", argv[i]);
		s->to[s->n_rcpt] = to;
		s->rcpt[s->n_rcpt++].addr = span_str(to);
	}
	return CMD_OK;
}

static int read_file(struct send *s)
{
	FILE *f = strcmp(s->file, "-") == 0 ? stdin : fopen(s->file, "rb");
	struct buf raw;
	uint8_t *to;

	if (f == NULL) {
		fprintf(stderr, "godwit send: %s: %s\n", s->file, strerror(errno));
		return CMD_NOT_FOUND;
	}
	buf_init(&raw, MESSAGE_MAX);
	while ((to = buf_room(&raw, 65536)) != NULL) {
		size_t n = fread(to, 1, 65536, f);

		buf_commit(&raw, n);
		if (n == 0)
			break;
	}
	send_lines(buf_view(&raw), &s->content);
	buf_fini(&raw);
	if (f != stdin)
		fclose(f);
	if (to != NULL && !buf_failed(&s->content))
		return CMD_OK;
	fprintf(stderr, "godwit send: %s is too large\n", s->file);
	return CMD_NO;
}

static void build(struct send *s)
{
	uint8_t random[MSGID_RANDOM];
	struct send_message m = {.from = s->from,
	    .to = s->to,
	    .n_to = s->n_rcpt,
	    .host = s->name,
	    .subject = s->subject ? s->subject : "Test message of godwit send",
	    .text = s->text ? s->text : "This is a test message. It was made by godwit send.\n",
	    .class = s->class,
	    .header = s->header.value,
	    .n_header = s->header.n,
	    .size = s->size,
	    .when = clock_wall()};

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		die("no random bytes");
	m.id = msgid_make(m.when, random);
	buf_clear(&s->content);
	send_message_build(&m, &s->content);
}

static int check_flags(struct send *s)
{
	if (s->file != NULL && (s->subject || s->text || s->size || s->class || s->header.n > 0))
		return flags_usage("send", "--file is sent as it is: --subject, --text, --size, "
					   "--class and --header have no place");
	if (s->class != NULL && strcmp(s->class, "at-most-once") != 0 &&
	    strcmp(s->class, "normal") != 0)
		return flags_usage("send", "--class is normal or at-most-once, not '%s'", s->class);
	for (size_t i = 0; i < s->header.n; i++) {
		if (!send_header_valid(s->header.value[i]))
			return flags_usage("send", "--header '%s' is not of the form 'Name: value'",
			    s->header.value[i]);
	}
	if (s->subject != NULL && strpbrk(s->subject, "\r\n") != NULL)
		return flags_usage("send", "--subject must be one line");
	if (s->show != NULL && strcmp(s->show, "smtp") != 0)
		return flags_usage("send", "--show knows 'smtp' only, not '%s'", s->show);
	if (s->count == 0)
		return flags_usage("send", "--count 0 leaves nothing to do");
	if (s->size > MESSAGE_MAX / 2)
		return flags_usage("send", "--size is at most 512m");
	return CMD_OK;
}

static int prepare(struct send *s, int argc, char **argv)
{
	int code = check_flags(s);

	find_name(s);
	if (code == CMD_OK)
		code = take_from(s);
	if (code == CMD_OK)
		code = take_recipients(s, argc, argv);
	if (code == CMD_OK)
		code = send_login_prepare(&s->login);
	buf_init(&s->content, MESSAGE_MAX);
	if (code == CMD_OK && s->file != NULL)
		code = read_file(s);
	return code;
}

/* ---- connection ------------------------------------------------------------------------------ */

static int not_reached(const char *host, unsigned port, int err)
{
	fprintf(stderr, "godwit send: %s port %u cannot be reached: %s\n", host, port,
	    err == GW_ENOENT ? "there is no such host" : strerror(errno));
	return CMD_AWAY;
}

static int connect_default(uint16_t *port)
{
	static const uint16_t ports[] = {2525, 1025, 25};

	for (size_t i = 0; i < GW_ARRAY_LEN(ports); i++) {
		int fd = send_connect("127.0.0.1", ports[i], CONNECT_TIMEOUT);

		*port = ports[i];
		if (fd >= 0)
			return fd;
	}
	fputs("godwit send: no server answers at 127.0.0.1 port 2525, 1025 or 25\n"
	      "start one with \"godwit dev\", or name one with --server HOST:PORT\n",
	    stderr);
	return GW_ECLOSED;
}

static int connect_server(struct send *s, char host[NAME_MAX_BYTES], uint16_t *port, int *fd)
{
	if (s->server == NULL) {
		snprintf(host, NAME_MAX_BYTES, "127.0.0.1");
		*fd = connect_default(port);
		return *fd < 0 ? CMD_AWAY : CMD_OK;
	}
	if (send_server_parse(s->server, host, NAME_MAX_BYTES, port) < 0)
		return flags_usage("send", "--server '%s' is not HOST or HOST:PORT", s->server);
	*port = *port ? *port : send_login_port(&s->login);
	*fd = send_connect(host, *port, s->g.timeout ? s->g.timeout : CONNECT_TIMEOUT);
	return *fd < 0 ? not_reached(host, *port, *fd) : CMD_OK;
}

static int connect_and_greet(struct send *s)
{
	FILE *show = s->show == NULL ? NULL : s->g.json ? stderr : stdout;
	int64_t timeout = s->g.timeout ? s->g.timeout : REPLY_TIMEOUT;
	char host[NAME_MAX_BYTES];
	uint16_t port = 0;
	int fd = -1, code = connect_server(s, host, &port, &fd);

	if (code != CMD_OK)
		return code;
	send_session_start(&s->session, fd, s->name, timeout, show);
	code = send_login_greet(&s->login, &s->session, host, port, timeout);
	s->connected = code == CMD_OK && !s->session.closed;
	if (code != CMD_OK)
		send_session_end(&s->session);
	return code;
}

/* ---- results -----------------------------------------------------------------------------------
 */

static bool is_ok(const struct send_verdict *v)
{
	return v->code >= 200 && v->code < 300;
}

/* Our own servers answer with the id of the message. */
static struct span id_in(const struct send_verdict *v)
{
	struct span rest = span_str(v->text);
	struct msgid id;

	while (rest.n >= MSGID_TEXT) {
		if (msgid_parse(span_first(rest, MSGID_TEXT), &id) == 0)
			return span_first(rest, MSGID_TEXT);
		rest = span_skip(rest, 1);
	}
	return SPAN_NONE;
}

static void print_verdict(
    const char *word, const struct send_verdict *v, const char *to, int64_t took)
{
	struct span id = is_ok(v) ? id_in(v) : SPAN_NONE;
	struct buf b;

	buf_init(&b, 8192);
	buf_addf(&b, "%-9s  ", word);
	if (to != NULL) {
		terminal_text(&b, span_str(to), 0);
		buf_add_str(&b, "  ");
	}
	if (id.n > 0) {
		buf_add_span(&b, id);
	} else {
		buf_addf(&b, "%u ", v->code);
		terminal_text(&b, span_str(v->text), 0);
	}
	if (is_ok(v))
		buf_addf(&b, "  %d.%03d s", (int)(took / USEC_PER_SEC),
		    (int)(took % USEC_PER_SEC / USEC_PER_MSEC));
	buf_add_byte(&b, '\n');
	terminal_print(&b);
	buf_fini(&b);
}

static const char *word_for(const struct send_verdict *v)
{
	return is_ok(v) ? "accepted" : v->code < 500 ? "deferred" : "refused";
}

/* One line for the message when all recipients fared alike, else one for each. */
static void print_text(const struct send *s, const struct send_verdict *v, int64_t took)
{
	bool alike = true;

	for (size_t i = 1; i < s->n_rcpt; i++)
		alike = alike && v[i].code == v[0].code && strcmp(v[i].text, v[0].text) == 0;
	for (size_t i = 0; i < (alike ? 1 : s->n_rcpt); i++)
		print_verdict(word_for(&v[i]), &v[i], alike && is_ok(v) ? NULL : s->to[i], took);
}

static void put_json_verdict(struct buf *b, const struct send_verdict *v)
{
	json_bool(b, "accepted", is_ok(v));
	json_number(b, "code", v->code);
	json_str(b, "reply", v->text);
}

static void print_json(const struct send *s, const struct send_verdict *v, int64_t took)
{
	struct span id = is_ok(&v[0]) ? id_in(&v[0]) : SPAN_NONE;
	struct buf b;

	buf_init(&b, 4 << 20);
	json_open(&b, NULL, '{');
	if (id.n > 0)
		json_text(&b, "id", id);
	json_number(&b, "microseconds", took);
	json_open(&b, "recipients", '[');
	for (size_t i = 0; i < s->n_rcpt; i++) {
		json_open(&b, NULL, '{');
		json_str(&b, "to", s->to[i]);
		put_json_verdict(&b, &v[i]);
		json_close(&b, '}');
	}
	json_close(&b, ']');
	json_close(&b, '}');
	buf_add_byte(&b, '\n');
	terminal_print(&b);
	buf_fini(&b);
}

static void judge(struct send *s, const struct send_verdict *v, int64_t took)
{
	bool any = false;

	for (size_t i = 0; i < s->n_rcpt; i++) {
		any = any || is_ok(&v[i]);
		s->permanent = s->permanent || v[i].code >= 500;
		s->temporary = s->temporary || (!is_ok(&v[i]) && v[i].code < 500);
	}
	s->accepted += any;
	if (s->g.json)
		print_json(s, v, took);
	else if (!s->g.quiet)
		print_text(s, v, took);
}

/* ---- the work ----------------------------------------------------------------------------------
 */

/* True: the connection can take another message. */
static bool send_one(struct send *s)
{
	struct send_verdict *v = gw_calloc(s->n_rcpt, sizeof(*v));
	struct client_txn txn = {.from = span_str(s->from), .rcpt = s->rcpt, .n_rcpt = s->n_rcpt};
	int64_t start = clock_now();
	struct body_scan scan;
	bool open = false;

	if (s->file == NULL)
		build(s);
	body_scan_init(&scan);
	body_scan_feed(&scan, buf_view(&s->content));
	txn.size = buf_len(&s->content);
	txn.eight_bit = body_scan_end(&scan)->eight_bit;
	txn.body_type = txn.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	if (s->connected)
		open = send_session_message(&s->session, &txn, buf_view(&s->content), v);
	for (size_t i = 0; i < s->n_rcpt && !s->connected; i++)
		v[i] = s->session.why;
	judge(s, v, clock_now() - start);
	free(v);
	return open;
}

/* A server may end the connection between messages; one that took nothing is not asked again. */
static int send_all(struct send *s)
{
	uint64_t sent = 0, before;
	bool open;

	do {
		int code = connect_and_greet(s);

		if (code != CMD_OK)
			return code;
		before = s->accepted;
		do {
			open = send_one(s);
			sent++;
		} while (open && sent < s->count);
		send_session_end(&s->session);
	} while (sent < s->count && s->accepted > before);
	return CMD_OK;
}

static void print_total(const struct send *s, int64_t took)
{
	if (s->count < 2 || s->g.json || s->g.quiet)
		return;
	printf("%llu of %llu accepted in %d.%03d s\n", (unsigned long long)s->accepted,
	    (unsigned long long)s->count, (int)(took / USEC_PER_SEC),
	    (int)(took % USEC_PER_SEC / USEC_PER_MSEC));
}

static int run(struct send *s)
{
	int64_t start = clock_now();
	int code = send_all(s);

	if (code != CMD_OK)
		return code;
	print_total(s, clock_now() - start);
	if (s->permanent)
		return CMD_NEVER;
	return s->temporary || s->accepted < s->count ? CMD_NO : CMD_OK;
}

int cmd_send(const struct cmd_globals *g, int argc, char **argv)
{
	static struct send s;
	const struct flag rows[] = {
	    {"--from", FLAG_TEXT, &s.from_flag},
	    {"--subject", FLAG_TEXT, &s.subject},
	    {"--text", FLAG_TEXT, &s.text},
	    {"--file", FLAG_TEXT, &s.file},
	    {"--class", FLAG_TEXT, &s.class},
	    {"--header", FLAG_LIST, &s.header},
	    {"--size", FLAG_SIZE, &s.size},
	    {"--server", FLAG_TEXT, &s.server},
	    {"--ehlo", FLAG_TEXT, &s.ehlo},
	    {"--count", FLAG_NUMBER, &s.count},
	    {"--show", FLAG_TEXT, &s.show},
	    {"--tls", FLAG_TEXT, &s.login.tls},
	    {"--tls-verify", FLAG_ON, &s.login.verify},
	    {"--tls-insecure", FLAG_ON, &s.login.insecure},
	    {"--tls-ca", FLAG_TEXT, &s.login.ca_file},
	    {"--auth", FLAG_TEXT, &s.login.user},
	    {"--auth-mech", FLAG_TEXT, &s.login.mech},
	    {"--password-file", FLAG_TEXT, &s.login.password_file},
	};
	struct flags f = {"send", rows, GW_ARRAY_LEN(rows), &s.g, false};
	int code;

	s.g = *g;
	s.count = 1;
	if (!flags_read(&f, &argc, argv, &code))
		return code;
	code = prepare(&s, argc, argv);
	if (code == CMD_OK)
		code = run(&s);
	send_login_fini(&s.login);
	buf_fini(&s.content);
	return code;
}
