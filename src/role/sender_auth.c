#include "role/sender_auth.h"

#include "auth/sasl_client.h"
#include "base/base64.h"
#include "base/log.h"
#include "role/file_read.h"
#include "role/sender.h"
#include "smtp/sasl.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { SECRET_FILE_MAX = 4096, LINE_BYTES = 12288, TEXT_MAX_OCTETS = 512 };
/* A quarter of a second; all other mail of this process waits for it. */
enum { ITERATIONS_MAX = 600000 };

/* ---- secrets ----------------------------------------------------------------------------------
 */

struct secret {
	char text[SECRET_FILE_MAX]; /* the file */
	struct span user, password; /* in it; n == 0: there is none */
	uint32_t number;
	unsigned age; /* configurations ago it was named last */
	char *path;
};

static struct secret *find_secret(const struct secrets *s, uint32_t number)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->secret[i]->number == number)
			return s->secret[i];
	}
	return NULL;
}

static void add_secret(struct secrets *s, const char *path)
{
	struct secret *x = find_secret(s, secret_number(path));

	if (x == NULL) {
		x = gw_calloc(1, sizeof(*x));
		x->number = secret_number(path);
		x->path = gw_calloc(1, strlen(path) + 1);
		memcpy(x->path, path, strlen(path));
		s->secret = gw_realloc(s->secret, (s->n + 1) * sizeof(*s->secret));
		s->secret[s->n++] = x;
	}
	x->age = 0;
}

static void forget_secret(struct secret *x)
{
	free(x->path);
	OPENSSL_cleanse(x, sizeof(*x));
	free(x);
}

void secrets_set(struct secrets *s, const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		s->secret[i]->age++;
	for (size_t i = 0; i < c->n_secret; i++)
		add_secret(s, c->secret[i]);
	for (size_t i = 0; i < s->n; i++) {
		if (s->secret[i]->age > 1)
			forget_secret(s->secret[i]);
		else
			s->secret[n++] = s->secret[i];
	}
	s->n = n;
}

static struct span take_line(struct span *rest)
{
	ptrdiff_t at = span_find(*rest, '\n');
	struct span line = at < 0 ? *rest : span_first(*rest, (size_t)at);

	*rest = at < 0 ? SPAN_NONE : span_skip(*rest, (size_t)at + 1);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Line 1 the name, line 2 the password. NULL, or what is wrong. */
static const char *parse(struct secret *x, size_t n)
{
	struct span rest = span_of(x->text, n);

	x->user = take_line(&rest);
	x->password = take_line(&rest);
	if (x->user.n == 0 || x->user.n > SASL_NAME_MAX)
		return "the first line has to be a name";
	if (x->password.n == 0 || x->password.n > SASL_SECRET_MAX)
		return "the second line has to be a password";
	if (span_find(x->user, 0) >= 0 || span_find(x->password, 0) >= 0)
		return "name or password with an octet 0";
	return NULL;
}

static const char *read_secret(struct secret *x, int fd)
{
	ptrdiff_t n = file_read_all(fd, x->text, sizeof(x->text));

	if (n < 0)
		return "the file cannot be read";
	if ((size_t)n == sizeof(x->text))
		return "the file is too large for a name and a password";
	return parse(x, (size_t)n);
}

static void log_secret(enum log_event event, const char *path, const char *why)
{
	struct logline l;

	log_begin(&l, event);
	log_str(&l, "file", path);
	if (why != NULL)
		log_str(&l, "reason", why);
	log_end(&l);
}

/* The spans of the copy point into it. */
static void replace(struct secret *to, struct secret *from)
{
	OPENSSL_cleanse(to->text, sizeof(to->text));
	memcpy(to->text, from->text, sizeof(to->text));
	to->user = span_of(to->text + ((const char *)from->user.p - from->text), from->user.n);
	to->password =
	    span_of(to->text + ((const char *)from->password.p - from->text), from->password.n);
}

void secrets_take(struct secrets *s, int fd, const char *path)
{
	struct secret fresh = {.user = SPAN_NONE}, *x = find_secret(s, secret_number(path));
	const char *why;

	if (x == NULL)
		die("sender: master sent a file that the configuration does not name");
	why = read_secret(&fresh, fd);
	close(fd);
	if (why == NULL)
		replace(x, &fresh);
	log_secret(why == NULL ? EV_SECRET_LOADED : EV_SECRET_REFUSED, path, why);
	OPENSSL_cleanse(&fresh, sizeof(fresh));
}

/* ---- one exchange -----------------------------------------------------------------------------
 */

struct login {
	struct sasl_client client;
	char text[SECRET_FILE_MAX]; /* name and password as they were when it began */
	struct span user, password;
};

void login_free(struct login **pl)
{
	struct login *l = *pl;

	if (l == NULL)
		return;
	sasl_client_fini(&l->client);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
	*pl = NULL;
}

static uint32_t offered(const struct conn *c)
{
	static const uint32_t bits[LOGIN_MECHANISMS] = {
	    [LOGIN_SCRAM_PLUS] = SASL_BIT(SCRAM_SHA_256_PLUS),
	    [LOGIN_SCRAM] = SASL_BIT(SCRAM_SHA_256),
	    [LOGIN_PLAIN] = SASL_BIT(PLAIN),
	    [LOGIN_LOGIN] = SASL_BIT(LOGIN)};
	uint32_t is = client_mechanisms(c->engine), all = 0;

	for (int m = 0; m < LOGIN_MECHANISMS; m++)
		all |= is & bits[m] ? LOGIN_BIT(m) : 0;
	return all;
}

static size_t get_binding(const struct conn *c, struct login_binding *b)
{
	b->name = "tls-exporter";
	b->n = stream_tls_binding(&c->stream, true, b->octets);
	if (b->n > 0)
		return b->n;
	b->name = "tls-unique";
	b->n = stream_tls_binding(&c->stream, false, b->octets);
	return b->n;
}

static void log_failed(
    const struct conn *c, const char *mechanism, const char *why, struct span said)
{
	const struct secret *x = find_secret(&c->sender->secrets, c->guard.secret);
	struct logline l;

	log_begin(&l, EV_AUTH_OUT_FAILED);
	log_str(&l, "file", x != NULL ? x->path : "-");
	log_str(&l, "mech", mechanism);
	log_str(&l, "reason", why);
	log_str(&l, "host", c->peer.text);
	log_text(&l, "reply", said);
	log_end(&l);
}

/* Our mistakes must not end mail, and theirs may pass: deferred, and said loudly. */
static void fail(struct conn *c, const char *mechanism, const char *why, struct span said)
{
	char text[TEXT_MAX_OCTETS];
	struct reply r = {.code = 454, .esc = {4, 7, 0}};

	if (said.n > 0)
		snprintf(text, sizeof(text), "The login was refused: %.*s",
		    SPAN_ARG(span_first(said, 400)));
	else
		snprintf(text, sizeof(text), "The login is not possible: %s", why);
	r.text = span_str(text);
	metric_add(METRIC_SENDER_LOGINS_FAILED, 1);
	log_failed(c, mechanism, why, said);
	login_free(&c->guard.exchange);
	conn_unfit(c, &r, "auth");
}

/* Behind the command, if there is one, in base64 (RFC 4954 section 4: an empty one is "="). */
static void say(struct conn *c, const char *command, struct span message)
{
	struct buf line;

	buf_init(&line, LINE_BYTES);
	(void)!buf_room(&line, LINE_BYTES);
	if (command != NULL)
		buf_addf(&line, "AUTH %s%s", command, message.p != NULL ? " " : "");
	base64_encode(message, &line);
	client_say(c->engine, buf_view(&line), loop_now(c->sender->loop));
	buf_wipe(&line);
}

static struct login *login_new(const struct secret *x)
{
	struct login *l = gw_calloc(1, sizeof(*l));

	memcpy(l->text, x->text, sizeof(l->text));
	l->user = span_of(l->text + ((const char *)x->user.p - x->text), x->user.n);
	l->password = span_of(l->text + ((const char *)x->password.p - x->text), x->password.n);
	return l;
}

static const char *choose(struct conn *c, struct login_wish *w, struct login_binding *b)
{
	uint32_t is = offered(c);
	int best = login_best(is, UINT32_MAX, get_binding(c, b) > 0);

	if (best < 0)
		return is != 0 ? "the host offers no login that is possible here"
			       : "the host offers no login that we know";
	w->mechanism = (enum login_mechanism)best;
	w->tls = c->stream.tls;
	w->plus_offered = is & LOGIN_BIT(LOGIN_SCRAM_PLUS);
	w->binding = b;
	if (getrandom(w->random, sizeof(w->random), 0) != (ssize_t)sizeof(w->random))
		die("no random bytes");
	return NULL;
}

void login_begin(struct conn *c)
{
	const struct secret *x = find_secret(&c->sender->secrets, c->guard.secret);
	struct login_wish w = {.iterations = ITERATIONS_MAX};
	struct login_binding binding;
	const char *why = NULL;
	struct login *l;
	struct buf out;

	if (x == NULL || x->user.n == 0) {
		fail(c, "", "the file with name and password was not read", SPAN_NONE);
		return;
	}
	l = c->guard.exchange = login_new(x);
	w.user = l->user;
	w.password = l->password;
	why = choose(c, &w, &binding);
	if (why == NULL)
		why = sasl_client_init(&l->client, &w);
	if (why != NULL) {
		fail(c, "", why, SPAN_NONE);
		return;
	}
	buf_init(&out, LOGIN_MESSAGE_MAX);
	(void)!buf_room(&out, LOGIN_MESSAGE_MAX);
	say(c, login_name(w.mechanism),
	    sasl_client_first(&l->client, &out) ? buf_view(&out) : SPAN_NONE);
	buf_wipe(&out);
}

static void challenged(struct conn *c, struct span text)
{
	struct login *l = c->guard.exchange;
	const char *name = login_name(l->client.mechanism), *why = NULL;
	struct buf in, out;

	buf_init(&in, LOGIN_MESSAGE_MAX);
	buf_init(&out, LOGIN_MESSAGE_MAX);
	(void)!buf_room(&out, LOGIN_MESSAGE_MAX);
	/* What LOGIN asks with means nothing, and some servers do not encode it. */
	if (l->client.mechanism != LOGIN_LOGIN && base64_decode(span_trim(text), &in) < 0)
		why = "the challenge is not base64";
	else
		why = sasl_client_answer(&l->client, buf_view(&in), &out);
	if (why == NULL)
		say(c, NULL, buf_view(&out));
	buf_fini(&in);
	buf_wipe(&out);
	if (why != NULL)
		fail(c, name, why, SPAN_NONE);
}

static void succeeded(struct conn *c)
{
	struct login *l = c->guard.exchange;

	if (!sasl_client_proven(&l->client)) {
		fail(c, login_name(l->client.mechanism),
		    "the server does not prove that it knows the password", SPAN_NONE);
		return;
	}
	login_free(&c->guard.exchange);
	c->guard.state = GUARD_DONE;
	metric_add(METRIC_SENDER_LOGINS, 1);
	conn_next_job(c);
}

static void refused(struct conn *c, const struct reply *r)
{
	char said[TEXT_MAX_OCTETS];
	int n = snprintf(said, sizeof(said), "%u %u.%u.%u %.*s", r->code, r->esc[0], r->esc[1],
	    r->esc[2], SPAN_ARG(span_first(r->text, 400)));

	fail(c, login_name(c->guard.exchange->client.mechanism),
	    reply_permanent(r) ? "refused" : "refused_for_now", span_of(said, (size_t)n));
}

void login_answer(struct conn *c, const struct reply *r)
{
	if (c->guard.exchange == NULL)
		return;
	if (r->code == 235)
		succeeded(c);
	else if (r->code == 334)
		challenged(c, r->text);
	else
		refused(c, r);
}
