#include "cmd/send_session.h"

#include "base/clock.h"
#include "cmd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_STEP = 16384, LINE_MAX_BYTES = 8192, OURS = 0, THEIRS = 1 };

/* ---- connecting ----------------------------------------------------------------------------- */

int send_server_parse(const char *text, char *host, size_t size, uint16_t *port)
{
	struct span s = span_str(text), name = s, digits = SPAN_NONE;
	ptrdiff_t bracket = span_find(s, ']'), colon;
	uint64_t n = 0;

	if (s.n > 0 && s.p[0] == '[' && bracket > 0) {
		name = span_of(s.p + 1, (size_t)bracket - 1);
		s = span_skip(s, (size_t)bracket + 1);
		if (s.n > 0 && s.p[0] != ':')
			return GW_EFORMAT;
		digits = span_skip(s, 1);
	} else if ((colon = span_find(s, ':')) >= 0) {
		name = span_first(s, (size_t)colon);
		digits = span_skip(s, (size_t)colon + 1);
		if (digits.n == 0)
			return GW_EFORMAT;
	}
	if (digits.n > 0 && (span_to_u64(digits, &n) < 0 || n == 0 || n > UINT16_MAX))
		return GW_EFORMAT;
	if (name.n == 0 || name.n >= size)
		return GW_EFORMAT;
	span_to_cstr(name, host, size);
	*port = (uint16_t)n;
	return 0;
}

static int wait_connected(int fd, int64_t timeout)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t n = sizeof(err);

	if (errno != EINPROGRESS)
		return GW_ECLOSED;
	if (poll(&p, 1, (int)(timeout / USEC_PER_MSEC)) <= 0) {
		errno = ETIMEDOUT;
		return GW_ECLOSED;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 || err == 0)
		return err == 0 ? 0 : GW_ECLOSED;
	errno = err;
	return GW_ECLOSED;
}

static int connect_one(const struct addrinfo *ai, int64_t timeout)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return GW_ECLOSED;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 || wait_connected(fd, timeout) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return GW_ECLOSED;
}

int send_connect(const char *host, uint16_t port, int64_t timeout)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	int fd = GW_ECLOSED;
	char number[8];

	snprintf(number, sizeof(number), "%u", port);
	if (getaddrinfo(host, number, &hint, &list) != 0)
		return GW_ENOENT;
	for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, timeout);
	freeaddrinfo(list);
	return fd;
}

/* ---- the dialogue, shown ----------------------------------------------------------------------
 */

static void show_time(struct send_session *s, const char *arrow)
{
	int64_t past = clock_now() - s->started;

	fprintf(s->show, "%3d.%03d %s ", (int)(past / USEC_PER_SEC),
	    (int)(past % USEC_PER_SEC / USEC_PER_MSEC), arrow);
}

static void show_line(struct send_session *s, int who)
{
	struct span line = buf_view(&s->line[who]);
	struct buf b;

	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	buf_init(&b, 4 * LINE_MAX_BYTES);
	terminal_text(&b, line, 0);
	show_time(s, who == OURS ? "->" : "<-");
	fprintf(s->show, "%.*s\n", SPAN_ARG(buf_view(&b)));
	buf_fini(&b);
	buf_clear(&s->line[who]);
}

static void show_content(struct send_session *s)
{
	if (s->content > 0) {
		show_time(s, "->");
		fprintf(s->show, "(%llu octets: the content and its end)\n",
		    (unsigned long long)s->content);
	}
	s->content = 0;
	s->in_content = false;
}

static void show(struct send_session *s, int who, struct span text)
{
	if (s->show == NULL || (who == OURS && s->hidden))
		return;
	if (who == OURS && s->in_content) {
		s->content += text.n;
		return;
	}
	if (who == THEIRS)
		show_content(s);
	for (size_t i = 0; i < text.n; i++) {
		buf_add_byte(&s->line[who], text.p[i]);
		if (text.p[i] == '\n' || buf_len(&s->line[who]) >= LINE_MAX_BYTES)
			show_line(s, who);
	}
}

/* ---- the engine ---------------------------------------------------------------------------------
 */

static void keep(struct send_verdict *v, const struct reply *r)
{
	char esc[16] = "";

	if (r->esc[0] != 0)
		snprintf(esc, sizeof(esc), "%u.%u.%u ", r->esc[0], r->esc[1], r->esc[2]);
	v->code = r->code;
	snprintf(v->text, sizeof(v->text), "%s%.*s", esc, SPAN_ARG(span_first(r->text, 400)));
	for (char *c = v->text; *c != '\0'; c++)
		*c = *c == '\n' ? ' ' : *c;
}

static void take_answer(struct send_session *s, const struct reply *r)
{
	buf_clear(&s->answer);
	buf_add_span(&s->answer, span_first(r->text, SEND_ANSWER_MAX));
	s->answer_code = r->code;
	s->answered = true;
	keep(&s->why, r);
}

static void take_event(struct send_session *s, const struct client_event *e)
{
	switch (e->type) {
	case CLIENT_READY: s->ready = true; break;
	case CLIENT_WANT_BODY: s->body_wanted = true; break;
	case CLIENT_BEFORE_DOT: break; /* not asked for */
	case CLIENT_RCPT:
		if (s->verdict != NULL)
			keep(&s->verdict[e->rcpt], &e->reply);
		break;
	case CLIENT_DONE: s->done = true; break;
	case CLIENT_ANSWER: take_answer(s, &e->reply); break;
	case CLIENT_CLOSED:
		s->closed = true;
		keep(&s->why, &e->reply);
		break;
	}
}

static void drain(struct send_session *s)
{
	struct client_event e;

	while (client_next(s->engine, &e) == 1)
		take_event(s, &e);
}

static void give_body(struct send_session *s)
{
	size_t n;

	if (!s->body_wanted)
		return;
	s->in_content = true;
	n = client_body(s->engine, s->body, clock_now());
	s->body = span_skip(s->body, n);
	if (s->body.n == 0) {
		client_body_end(s->engine, clock_now());
		s->body_wanted = false;
	}
	drain(s);
}

/* True: something went out. */
static bool write_some(struct send_session *s)
{
	struct span out = client_output(s->engine);
	ssize_t n;

	if (out.n == 0)
		return false;
	n = s->tls != NULL ? send_tls_write(s->tls, out) : send(s->fd, out.p, out.n, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		client_eof(s->engine, clock_now());
		drain(s);
		return true;
	}
	show(s, OURS, span_first(out, (size_t)n));
	client_sent(s->engine, (size_t)n, clock_now());
	drain(s);
	return true;
}

static void feed(struct send_session *s, struct span in)
{
	while (in.n > 0) {
		size_t n = client_feed(s->engine, in, clock_now());

		drain(s);
		in = span_skip(in, n);
		while (write_some(s))
			continue;
		if (n == 0 && s->closed)
			return;
	}
}

static void read_some(struct send_session *s)
{
	uint8_t in[READ_STEP];
	ssize_t n =
	    s->tls != NULL ? send_tls_read(s->tls, in, sizeof(in)) : recv(s->fd, in, sizeof(in), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_eof(s->engine, clock_now());
		drain(s);
		return;
	}
	s->heard = true;
	show(s, THEIRS, span_of(in, (size_t)n));
	feed(s, span_of(in, (size_t)n));
}

static int patience(const struct send_session *s)
{
	int64_t at = client_deadline(s->engine), left = at - clock_now();

	if (at == INT64_MAX)
		return -1;
	return left > 0 ? (int)(left / USEC_PER_MSEC) + 1 : 0;
}

static void turn(struct send_session *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	give_body(s);
	if (write_some(s) || s->closed)
		return;
	if (client_output(s->engine).n > 0)
		p.events |= POLLOUT;
	if (s->tls != NULL && send_tls_pending(s->tls))
		p.revents = POLLIN;
	else
		poll(&p, 1, patience(s));
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		read_some(s);
	if (!s->closed) {
		client_tick(s->engine, clock_now());
		drain(s);
	}
}

/* ---- the steps ---------------------------------------------------------------------------------
 */

static void set_times(struct client_config *c, int64_t timeout)
{
	c->t_greeting = c->t_helo = c->t_mail = c->t_rcpt = c->t_data = timeout;
	c->t_block = c->t_end = timeout;
}

void send_session_start(struct send_session *s, int fd, const char *name, int64_t timeout, FILE *to)
{
	*s = (struct send_session){.fd = fd, .show = to, .started = clock_now()};
	buf_init(&s->line[OURS], LINE_MAX_BYTES);
	buf_init(&s->line[THEIRS], LINE_MAX_BYTES);
	buf_init(&s->answer, SEND_ANSWER_MAX);
	client_config_defaults(&s->config);
	s->config.hostname = span_str(name);
	set_times(&s->config, timeout);
	s->engine = client_new(&s->config, clock_now());
}

bool send_session_greet(struct send_session *s)
{
	while (!s->ready && !s->closed)
		turn(s);
	return s->ready;
}

bool send_session_tls(struct send_session *s, const struct send_tls_wish *wish)
{
	char why[SEND_TLS_WHY];

	s->tls = send_tls_new(s->fd, wish, why);
	if (s->tls == NULL) {
		s->closed = true;
		s->ready = false;
		snprintf(s->why.text, sizeof(s->why.text), "%s", why);
		s->why.code = 0;
	} else if (s->show != NULL) {
		show_time(s, "--");
		fprintf(s->show, "%s\n", send_tls_about(s->tls));
	}
	return s->tls != NULL;
}

bool send_session_starttls(struct send_session *s, const struct send_tls_wish *wish)
{
	unsigned code = send_session_say(s, SPAN("STARTTLS"), NULL);

	if (code / 100 != 2)
		return !s->closed;
	/* What came behind the 220 was put there by whoever sits on the line. */
	while (!s->closed && !client_quiet(s->engine))
		turn(s);
	if (s->closed || !send_session_tls(s, wish))
		return false;
	s->ready = false;
	client_start_over(s->engine, clock_now());
	return send_session_greet(s);
}

unsigned send_session_say(struct send_session *s, struct span line, const char *shown)
{
	if (s->closed)
		return 0;
	s->answered = false;
	s->hidden = shown != NULL;
	if (s->show != NULL && shown != NULL) {
		show_time(s, "->");
		fprintf(s->show, "%s\n", shown);
	}
	client_say(s->engine, line, clock_now());
	drain(s);
	while (!s->answered && !s->closed)
		turn(s);
	s->hidden = false;
	return s->answered ? s->answer_code : 0;
}

bool send_session_message(
    struct send_session *s, struct client_txn *txn, struct span body, struct send_verdict *verdict)
{
	s->ready = s->done = false;
	s->body = body;
	s->verdict = verdict;
	client_send(s->engine, txn, clock_now());
	drain(s);
	while (!s->done && !s->closed)
		turn(s);
	s->verdict = NULL;
	s->body_wanted = false;
	while (!s->ready && !s->closed)
		turn(s);
	return !s->closed;
}

void send_session_end(struct send_session *s)
{
	if (!s->closed)
		client_quit(s->engine, clock_now());
	drain(s);
	while (!s->closed)
		turn(s);
	client_free(&s->engine);
	send_tls_free(&s->tls);
	close(s->fd);
	buf_fini(&s->answer);
	buf_fini(&s->line[OURS]);
	buf_fini(&s->line[THEIRS]);
}
