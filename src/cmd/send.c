/* godwit send: test messages, and the dialogue with any server. */
#include "cmd/send.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "cmd/send_message.h"
#include "mail/address.h"
#include "mail/body.h"
#include "mail/header.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	MESSAGE_MAX = 1 << 30,
	CONNECT_TIMEOUT = 10 * 1000000,
	REPLY_TIMEOUT = 60 * 1000000,
};

/* ---- what is to be sent ---------------------------------------------------------------------- */

static void find_name(struct send *s)
{
	char host[SEND_NAME_MAX] = "";

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
	struct buf b, room;
	char *copy = NULL;

	buf_init(&b, 1024);
	buf_init(&room, 256);
	if (address_read(span_str(text), &room, &a) == 0) {
		address_canonical(&a, &b);
		buf_add_byte(&b, '\0');
		copy = buf_failed(&b) ? NULL : strdup((const char *)buf_view(&b).p);
	}
	buf_fini(&room);
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
	if (argc - 1 > SEND_RCPT_MAX)
		return flags_usage("send", "more than %d recipients", SEND_RCPT_MAX);
	for (int i = 1; i < argc; i++) {
		const char *to = canonical(argv[i]);

		if (to == NULL)
			return flags_usage("send", "'%s' is no address", argv[i]);
		s->to[s->n_rcpt] = to;
		s->rcpt[s->n_rcpt].notify = s->dsn.notify;
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

/* A message that demands it has to have it on the first step, too. */
static int demand_tls(struct send *s)
{
	bool off = s->login.tls != NULL && strcmp(s->login.tls, "off") == 0;

	if (!s->handling.require_tls)
		return CMD_OK;
	if (s->login.insecure || off)
		return flags_usage("send",
		    "--require-tls wants a server with a good certificate: not with %s (--tls-ca "
		    "says who "
		    "may sign it)",
		    off ? "--tls off" : "--tls-insecure");
	s->login.verify = true;
	return CMD_OK;
}

static int prepare(struct send *s, int argc, char **argv)
{
	int code = check_flags(s);

	find_name(s);
	if (code == CMD_OK)
		code = send_dsn_prepare(&s->dsn);
	if (code == CMD_OK)
		code = send_release_prepare(&s->release);
	if (code == CMD_OK)
		code = send_handling_prepare(&s->handling);
	if (code == CMD_OK)
		code = take_from(s);
	if (code == CMD_OK)
		code = take_recipients(s, argc, argv);
	if (code == CMD_OK)
		code = demand_tls(s);
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

static int connect_server(struct send *s, char host[SEND_NAME_MAX], uint16_t *port, int *fd)
{
	if (s->server == NULL) {
		snprintf(host, SEND_NAME_MAX, "127.0.0.1");
		*fd = connect_default(port);
		return *fd < 0 ? CMD_AWAY : CMD_OK;
	}
	if (send_server_parse(s->server, host, SEND_NAME_MAX, port) < 0)
		return flags_usage("send", "--server '%s' is not HOST or HOST:PORT", s->server);
	*port = *port ? *port : send_login_port(&s->login);
	*fd = send_connect(host, *port, s->g.timeout ? s->g.timeout : CONNECT_TIMEOUT);
	return *fd < 0 ? not_reached(host, *port, *fd) : CMD_OK;
}

static int connect_and_greet(struct send *s)
{
	FILE *show = s->show == NULL ? NULL : s->g.json ? stderr : stdout;
	int64_t timeout = s->g.timeout ? s->g.timeout : REPLY_TIMEOUT;
	char host[SEND_NAME_MAX];
	uint16_t port = 0;
	int fd = -1, code = connect_server(s, host, &port, &fd);

	if (code != CMD_OK)
		return code;
	send_session_start(&s->session, fd, s->name, timeout, show);
	code = send_login_greet(&s->login, &s->session, host, port, timeout);
	s->connected = code == CMD_OK && !s->session.closed;
	if (s->connected && !send_release_offered(&s->release, s->session.engine))
		code = CMD_NEVER;
	if (s->connected && code == CMD_OK)
		code = send_handling_check(&s->handling, &s->session, s->g.quiet);
	if (code != CMD_OK)
		send_session_end(&s->session);
	return code;
}

/* ---- the work ----------------------------------------------------------------------------------
 */

/* UTF-8 in the header is announced to a server that wants to know; to others it goes as it is. */
static bool header_is_utf8(const struct send *s)
{
	struct header_scan scan;
	struct span head;

	header_scan_init(&scan);
	head = span_first(buf_view(&s->content), header_scan_feed(&scan, buf_view(&s->content)));
	return utf8_beyond_ascii(head) && utf8_valid(head);
}

/* True: the connection can take another message. */
static bool send_one(struct send *s)
{
	struct send_verdict *v = gw_calloc(s->n_rcpt, sizeof(*v));
	struct client_txn txn = {.from = span_str(s->from),
	    .rcpt = s->rcpt,
	    .n_rcpt = s->n_rcpt,
	    .ret = s->dsn.ret,
	    .envid = span_str(s->dsn.envid),
	    .release = span_str(s->release.parameter)};
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
	send_handling_put(&s->handling, &txn);
	txn.smtputf8 = s->connected && client_takes_utf8(s->session.engine) && header_is_utf8(s);
	if (s->connected)
		open = send_session_message(&s->session, &txn, buf_view(&s->content), v);
	for (size_t i = 0; i < s->n_rcpt && !s->connected; i++)
		v[i] = s->session.why;
	send_judge(s, v, clock_now() - start);
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
	    {"--notify", FLAG_TEXT, &s.dsn.notify_flag},
	    {"--ret", FLAG_TEXT, &s.dsn.ret_flag},
	    {"--envid", FLAG_TEXT, &s.dsn.envid},
	    {"--at", FLAG_TEXT, &s.release.at},
	    {"--in", FLAG_TIME, &s.release.in},
	    {"--deliver-by", FLAG_TEXT, &s.handling.deliver_by},
	    {"--priority", FLAG_TEXT, &s.handling.priority},
	    {"--require-tls", FLAG_ON, &s.handling.require_tls},
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
