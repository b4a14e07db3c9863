/* The exchange of one login. */
#include "role/smtpd_auth.h"

#include "base/base64.h"
#include "base/log.h"
#include "role/proto_secret.h"

#include <stdlib.h>
#include <sys/random.h>

struct auth {
	struct session *session;
	uint64_t request; /* 0: nothing is asked */
	int64_t deadline;
	struct sasl sasl;
	struct login *login; /* SCRAM: good, but the client has not judged us yet */
};

static void take_step(struct session *s, enum sasl_step step);

/* ---- log ---------------------------------------------------------------------------------------
 */

static void log_login(
    const struct session *s, enum log_event ev, const char *reason, struct span name)
{
	struct logline l;
	char sid[MSGID_TEXT + 1];

	msgid_format(&s->sid, sid);
	log_begin(&l, ev);
	log_str(&l, "sid", sid);
	log_str(&l, "listener", s->conf->name);
	log_str(&l, "ip", s->ip);
	log_str(&l, "mech", sasl_rows[s->auth->sasl.mechanism].name);
	if (reason != NULL)
		log_str(&l, "reason", reason);
	log_text(&l, "login", name);
	log_end(&l);
	metric_add(METRIC_AUTH, 1);
	if (ev == EV_AUTH_FAIL)
		metric_add(METRIC_AUTH_FAILURES, 1);
}

/* ---- ends --------------------------------------------------------------------------------------
 */

static void login_free(struct login **l)
{
	if (*l != NULL)
		explicit_bzero((*l)->bytes, (*l)->account.n + (*l)->ticket.n);
	free(*l);
	*l = NULL;
}

struct login *auth_login(struct span account, struct span ticket)
{
	struct login *l = gw_calloc(1, sizeof(*l) + account.n + ticket.n);

	memcpy(l->bytes, account.p, account.n);
	if (ticket.n > 0)
		memcpy(l->bytes + account.n, ticket.p, ticket.n);
	l->account = span_of(l->bytes, account.n);
	l->ticket = span_of(l->bytes + account.n, ticket.n);
	return l;
}

static void exchange_end(struct session *s)
{
	struct auth *a = s->auth;

	if (a == NULL)
		return;
	if (a->request != 0)
		map_del(&s->smtpd->checks, span_of(&a->request, sizeof(a->request)));
	sasl_fini(&a->sasl);
	login_free(&a->login);
	free(a);
	s->auth = NULL;
}

void auth_forget(struct session *s)
{
	exchange_end(s);
	login_free(&s->login);
}

static void fail(struct session *s, struct reply r, const char *reason)
{
	log_login(s, EV_AUTH_FAIL, reason, sasl_name(&s->auth->sasl));
	exchange_end(s);
	if (++s->auth_failures > AUTH_FAILURES_MAX)
		r = REPLY(421, 4, 7, 0, "Too many failed logins");
	session_answer(s, &r);
}

/* One text, whatever was wrong. */
static void refuse(struct session *s, const char *reason)
{
	fail(s, REPLY(535, 5, 7, 8, "Authentication failed: name or password is wrong"), reason);
}

static void not_now(struct session *s, const char *reason)
{
	fail(s, REPLY(454, 4, 7, 0, "No login possible now; please try again later"), reason);
}

static void succeed(struct session *s, struct login *l)
{
	log_login(s, EV_AUTH_OK, NULL, l->account);
	login_free(&s->login);
	s->login = l;
	session_forgive(s);
	s->auth->login = NULL;
	s->auth_failures = 0;
	exchange_end(s);
	session_answer(s, &REPLY(235, 2, 7, 0, "Authentication successful"));
}

/* ---- the vault ---------------------------------------------------------------------------------
 */

static int send_check(struct session *s, const struct proto_check *p)
{
	struct buf frame;
	int err = GW_EFULL;

	buf_init(&frame, ipc_rows[IPC_CHECK].max);
	if (buf_room(&frame, ipc_rows[IPC_CHECK].max) != NULL) { /* one piece, to be wiped */
		proto_put_check(&frame, p);
		if (!buf_failed(&frame))
			err = ipc_send(s->smtpd->vault, IPC_CHECK,
			    &(struct span){buf_view(&frame).p, buf_len(&frame)}, 1, -1);
	}
	buf_wipe(&frame);
	return err;
}

static void ask(struct session *s, enum check_kind kind)
{
	struct smtpd *d = s->smtpd;
	struct auth *a = s->auth;
	struct proto_check p = {.request = ++d->next_check,
	    .kind = (uint8_t)kind,
	    .name = sasl_name(&a->sasl),
	    .secret = kind == CHECK_SCRAM_FIRST ? SPAN_NONE : sasl_secret(&a->sasl),
	    .proof = kind == CHECK_SCRAM_FINAL ? sasl_proof(&a->sasl) : SPAN_NONE};

	memcpy(p.ip, s->from.b, sizeof(p.ip));
	if (d->vault == NULL || send_check(s, &p) < 0) {
		not_now(s, d->vault == NULL ? "no_vault" : "busy");
		return;
	}
	a->request = p.request;
	a->deadline = loop_now(d->loop) + AUTH_PATIENCE;
	map_put(&d->checks, span_of(&a->request, sizeof(a->request)), a);
}

/* godwit dev: whoever it is, by any password. */
static void take_anybody(struct session *s)
{
	struct span name = sasl_name(&s->auth->sasl);

	succeed(
	    s, auth_login(account_name_fault(name) == NULL ? name : SPAN("anybody"), SPAN_NONE));
}

static void good(struct session *s, const struct proto_checked *p)
{
	struct auth *a = s->auth;
	struct login *l = auth_login(p->account, p->ticket);

	if (a->sasl.mechanism == SASL_PLAIN || a->sasl.mechanism == SASL_LOGIN) {
		succeed(s, l);
		return;
	}
	login_free(&a->login);
	a->login = l;
	take_step(s, sasl_signature(&a->sasl, p->signature));
}

static void take_answer(struct session *s, const struct proto_checked *p)
{
	char reason[32];

	span_to_cstr(p->reason, reason, sizeof(reason));
	switch (p->status) {
	case CHECK_GOOD: good(s, p); break;
	case CHECK_SALT: take_step(s, sasl_salt(&s->auth->sasl, p->salt, p->iterations)); break;
	case CHECK_WRONG: refuse(s, reason); break;
	default: not_now(s, reason); break;
	}
}

static bool is_answer(const struct auth *a, const struct proto_checked *p)
{
	bool scram = a->sasl.mechanism != SASL_PLAIN && a->sasl.mechanism != SASL_LOGIN;

	if (p->status == CHECK_GOOD)
		return account_name_fault(p->account) == NULL;
	return p->status != CHECK_SALT || scram;
}

int auth_checked(struct smtpd *d, struct span payload)
{
	struct proto_checked p;
	struct auth *a;

	if (proto_get_checked(payload, &p) < 0)
		return GW_EFORMAT;
	a = map_del(&d->checks, span_of(&p.request, sizeof(p.request)));
	if (a == NULL)
		return 0; /* its session is gone, or did not wait */
	if (!is_answer(a, &p))
		return GW_EFORMAT;
	a->request = 0;
	take_answer(a->session, &p);
	return 0;
}

void auth_vault_gone(struct smtpd *d)
{
	struct auth *a;
	size_t at = 0;

	while ((a = map_next(&d->checks, &at)) != NULL)
		not_now(a->session, "no_vault");
}

int64_t auth_deadline(const struct session *s)
{
	return s->auth != NULL && s->auth->request != 0 ? s->auth->deadline : INT64_MAX;
}

void auth_time(struct session *s, int64_t now)
{
	if (now >= auth_deadline(s))
		not_now(s, "timeout");
}

/* ---- the client --------------------------------------------------------------------------------
 */

static void challenge(struct session *s)
{
	struct reply r = {.code = 334};
	struct buf text;

	buf_init(&text, SERVER_CHALLENGE_MAX);
	base64_encode(sasl_message(&s->auth->sasl), &text);
	r.text = buf_view(&text);
	session_answer(s, &r);
	buf_wipe(&text);
}

static void malformed(struct session *s, const char *why)
{
	fail(s, (struct reply){501, {5, 5, 2}, span_str(why)}, "malformed");
}

static void ask_password(struct session *s)
{
	if (session_config(s)->users_any)
		take_anybody(s);
	else
		ask(s, CHECK_PASSWORD);
}

static void take_step(struct session *s, enum sasl_step step)
{
	struct auth *a = s->auth;

	switch (step) {
	case SASL_CHALLENGE: challenge(s); break;
	case SASL_ASK_PASSWORD: ask_password(s); break;
	case SASL_ASK_SALT: ask(s, CHECK_SCRAM_FIRST); break;
	case SASL_ASK_PROOF: ask(s, CHECK_SCRAM_FINAL); break;
	case SASL_DONE:
		if (a->login != NULL)
			succeed(s, a->login);
		else
			refuse(s, "no_answer");
		break;
	case SASL_MALFORMED: malformed(s, sasl_why(&a->sasl)); break;
	case SASL_REFUSED: /* seen before anybody was asked: it tells nothing of accounts */
		fail(s, (struct reply){535, {5, 7, 8}, span_str(sasl_why(&a->sasl))}, "refused");
		break;
	}
}

static void feed(struct session *s, struct span data)
{
	struct buf plain;

	buf_init(&plain, SERVER_AUTH_LINE_MAX);
	if (buf_room(&plain, SERVER_AUTH_LINE_MAX) == NULL || base64_decode(data, &plain) < 0)
		malformed(s, "This is not base64");
	else
		take_step(s, sasl_feed(&s->auth->sasl, buf_view(&plain)));
	buf_wipe(&plain);
}

/* Printable: base64 of a little more than is needed, cut before its padding. */
static void make_nonce(uint8_t nonce[SASL_NONCE])
{
	uint8_t random[SASL_NONCE / 4 * 3 + 3];
	struct buf text;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		die("smtpd: no random bytes");
	buf_init(&text, 2 * sizeof(random));
	base64_encode(span_of(random, sizeof(random)), &text);
	gw_assert(buf_len(&text) >= SASL_NONCE);
	memcpy(nonce, buf_view(&text).p, SASL_NONCE);
	buf_fini(&text);
}

/* What a login can be bound to. "Offered" is what EHLO says (smtp/server_ehlo.c). */
static void start_machine(struct session *s, enum sasl_mechanism mechanism)
{
	const struct server *e = &s->engine;
	uint8_t nonce[SASL_NONCE], exporter[STREAM_BINDING_MAX], unique[STREAM_BINDING_MAX];
	struct sasl_binding binding = {
	    .exporter = span_of(exporter, stream_tls_binding(&s->io, true, exporter)),
	    .unique = span_of(unique, stream_tls_binding(&s->io, false, unique)),
	    .offered = e->binds && (e->config->mechanisms & SASL_BIT(SCRAM_SHA_256_PLUS)),
	};

	make_nonce(nonce);
	sasl_init(&s->auth->sasl, mechanism, &binding, nonce);
	explicit_bzero(exporter, sizeof(exporter));
	explicit_bzero(unique, sizeof(unique));
}

static void begin(struct session *s, const struct server_event *ev)
{
	exchange_end(s);
	s->auth = gw_calloc(1, sizeof(*s->auth));
	s->auth->session = s;
	start_machine(s, (enum sasl_mechanism)ev->mechanism);
	if (ev->has_initial)
		feed(s, ev->data);
	else
		take_step(s, sasl_start(&s->auth->sasl));
}

void auth_event(struct session *s, const struct server_event *ev)
{
	if (ev->type == SERVER_AUTH)
		begin(s, ev);
	else if (ev->type == SERVER_AUTH_GONE)
		exchange_end(s);
	else
		feed(s, ev->data);
	/* The octets are those of our own input, which goes on living. */
	if (ev->data.n > 0)
		explicit_bzero((void *)ev->data.p, ev->data.n);
}

/* ---- what is offered ---------------------------------------------------------------------------
 */

/* elsewhere: the accounts are not those of the table. */
static uint32_t mechanisms(const struct smtpd *d, bool elsewhere)
{
	uint32_t plain = SASL_BIT(PLAIN) | SASL_BIT(LOGIN);

	if (elsewhere)
		return plain;
	if (d->accounts == NULL)
		return 0;
	return accounts_all_scram(d->accounts)
		   ? plain | SASL_BIT(SCRAM_SHA_256) | SASL_BIT(SCRAM_SHA_256_PLUS)
		   : plain;
}

void auth_offer(struct smtpd *d)
{
	struct listener *l;

	TAILQ_FOREACH(l, &d->listeners, link)
	{
		const struct config *c = l->rules->config;
		bool any = c->users_any, elsewhere = any || c->users_dovecot != NULL;
		bool users = elsewhere || c->users != NULL;
		bool clear = l->conf->auth == LISTEN_AUTH_PLAINTEXT;

		l->engine.auth = !users || l->conf->auth == LISTEN_AUTH_OFF ? SERVER_AUTH_NEVER
				 : clear                                    ? SERVER_AUTH_ALWAYS
									    : SERVER_AUTH_TLS;
		/* Behind a certificate that nobody can check there may be somebody else. */
		l->engine.mechanisms =
		    clear || any || d->tls_trusted ? mechanisms(d, elsewhere) : 0;
	}
}
