#include "role/smtpd_turn.h"

#include "base/log.h"
#include "net/pump.h"
#include "role/proto_turn.h"
#include "role/smtpd_auth.h"
#include "role/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct turn {
	struct stream pair;
	struct pump pump;
	bool on; /* octets are carried; else the queue is asked */
};

/* ---- asking -----------------------------------------------------------------------------------
 */

static const struct reply not_now =
    REPLY_INIT(451, 4, 3, 2, "Unable to process the ATRN request now, please try again later");
static const struct reply refused =
    REPLY_INIT(450, 4, 7, 1, "ATRN request refused: these domains are not all yours");
static const struct reply not_active =
    REPLY_INIT(450, 4, 7, 1, "ATRN request refused: the account is not active");
static const struct reply no_mail = REPLY_INIT(453, 4, 2, 0, "You have no mail");

static void log_refusal(struct session *s, const struct reply *r, const char *reason)
{
	session_log_reject(s, "turn", r, reason, (struct place){0}, SPAN_NONE);
}

/* It may have changed since the login. Of accounts that are elsewhere the login is all we know. */
static bool is_active(const struct session *s)
{
	struct accept_client client;

	session_client(s, &client);
	return session_config(s)->users_any ||
	       (client.account != NULL && client.account->state == ACCOUNT_ACTIVE);
}

static int ask(struct session *s, struct span domains, int fd)
{
	char who[ACCOUNT_NAME_MAX + 80];
	struct proto_turn t = {
	    .number = s->number, .account = s->login->account, .domains = domains};
	struct span part;
	struct buf b;
	int err;

	snprintf(who, sizeof(who), "%.*s [%s]", SPAN_ARG(s->login->account), s->ip);
	t.peer = span_str(who);
	buf_init(&b, 4096);
	proto_put_turn(&b, &t);
	part = buf_view(&b);
	err = buf_failed(&b) ? GW_EFULL : ipc_send(s->smtpd->queue.ipc, IPC_TURN, &part, 1, fd);
	buf_fini(&b);
	return err;
}

/* One end is kept, the other goes to the queue. */
static bool make_pair(struct session *s, struct span domains)
{
	int fd[2], err;

	if (s->smtpd->queue.ipc == NULL || s->smtpd->stopping || ipc_pair(fd) < 0)
		return false;
	err = ask(s, domains, fd[1]);
	close(fd[1]);
	if (err < 0) {
		close(fd[0]);
		return false;
	}
	s->turn = gw_calloc(1, sizeof(*s->turn));
	stream_init(&s->turn->pair, fd[0]);
	return true;
}

void turn_event(struct session *s, const struct server_event *ev, size_t unread)
{
	if (unread > 0 || stream_peek(&s->io)) {
		server_early(&s->engine, loop_now(s->smtpd->loop));
	} else if (s->login == NULL || !is_active(s)) {
		log_refusal(s, &not_active, "account_not_active");
		session_say(s, &not_active);
	} else if (!make_pair(s, ev->name)) {
		log_refusal(s, &not_now, "not_now");
		session_say(s, &not_now);
	}
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static struct session *find(struct smtpd *d, uint64_t number)
{
	struct session *s;

	TAILQ_FOREACH(s, &d->sessions, link)
	{
		if (s->number == number && s->turn != NULL && !s->turn->on)
			return s;
	}
	return NULL;
}

static void begin_line(const struct session *s, struct logline *l, enum log_event event)
{
	char sid[MSGID_TEXT + 1];

	msgid_format(&s->sid, sid);
	log_begin(l, event);
	log_str(l, "sid", sid);
	log_str(l, "listener", s->conf->name);
	log_str(l, "ip", s->ip);
	log_text(l, "login", s->login->account);
}

static void agree(struct session *s)
{
	struct logline l;

	/* What it sent meanwhile was not said to a client. */
	if (buf_len(&s->in) > 0 || stream_peek(&s->io)) {
		turn_forget(s);
		session_early(s);
		return;
	}
	begin_line(s, &l, EV_ODMR_STARTED);
	log_end(&l);
	metric_add(METRIC_TURNED, 1);
	session_answer(s, &REPLY(250, 2, 0, 0, "OK, now reversing the connection"));
}

static void disagree(struct session *s, enum turn_status status)
{
	const struct reply *r = status == TURN_REFUSED   ? &refused
				: status == TURN_NO_MAIL ? &no_mail
							 : &not_now;

	turn_forget(s);
	if (status != TURN_NO_MAIL)
		log_refusal(s, r, status == TURN_REFUSED ? "not_its_domains" : "not_now");
	session_answer(s, r);
}

int turn_answered(struct smtpd *d, struct span payload)
{
	enum turn_status status;
	struct session *s;
	uint64_t number;

	if (proto_get_turned(payload, &number, &status) < 0)
		return GW_EFORMAT;
	s = find(d, number);
	if (s != NULL && status == TURN_OK)
		agree(s);
	else if (s != NULL)
		disagree(s, status);
	return 0;
}

/* One that waits for the queue. What it goes on with when it is told may be the end of others, so
 * nobody walks on from it. */
static struct session *asking(struct smtpd *d)
{
	struct session *s;

	TAILQ_FOREACH(s, &d->sessions, link)
	{
		if (s->turn != NULL && !s->turn->on && s->engine.verdict_due)
			return s;
	}
	return NULL;
}

void turn_queue_gone(struct smtpd *d)
{
	struct session *s;

	while ((s = asking(d)) != NULL)
		disagree(s, TURN_BUSY);
}

/* ---- octets -----------------------------------------------------------------------------------
 */

static void over(void *arg)
{
	struct session *s = arg;
	struct turn *t = s->turn;
	struct logline l;

	begin_line(s, &l, EV_ODMR_ENDED);
	log_number(&l, "octets", (int64_t)t->pump.out.carried);
	log_end(&l);
	s->eof = s->eof || t->pump.in.from_ended;
	turn_forget(s);
	session_linger(s);
}

bool turn_begins(struct session *s)
{
	struct turn *t = s->turn;

	if (t == NULL || t->on || !server_turned(&s->engine) || server_output(&s->engine).n > 0)
		return false;
	t->on = true;
	watch_stop(&s->watch);
	timer_set(&s->timer, INT64_MAX);
	pump_start(&t->pump, s->smtpd->loop, &s->io, &t->pair, buf_view(&s->in), over, s);
	buf_fini(&s->in);
	return true;
}

bool turn_is_on(const struct session *s)
{
	return s->turn != NULL && s->turn->on;
}

void turn_forget(struct session *s)
{
	struct turn *t = s->turn;

	if (t == NULL)
		return;
	if (t->on)
		pump_stop(&t->pump);
	stream_close(&t->pair);
	free(t);
	s->turn = NULL;
}

/* ---- mail that we pull ------------------------------------------------------------------------
 */

static void set_address(struct span text, struct sockaddr_storage *to)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
	struct sockaddr_in *four = (struct sockaddr_in *)to;
	uint8_t bytes[16];
	sa_family_t family = config_ip(text, bytes);

	*to = (struct sockaddr_storage){.ss_family = AF_UNIX};
	if (family == AF_INET) {
		four->sin_family = AF_INET;
		memcpy(&four->sin_addr, bytes, sizeof(four->sin_addr));
	} else if (family == AF_INET6) {
		six->sin6_family = AF_INET6;
		memcpy(&six->sin6_addr, bytes, sizeof(six->sin6_addr));
	}
}

int turn_client(struct smtpd *d, const struct ipc_frame *f)
{
	struct sockaddr_storage addr;
	struct proto_given g;
	const struct pull *pull;
	struct listener *l;

	if (proto_get_given(f->payload, &g) < 0) {
		close(f->fd);
		return GW_EFORMAT;
	}
	pull = pull_of_number(d->config, g.pull);
	if (pull == NULL || d->stopping || !d->has_queue || !tables_there(d->rules->tables)) {
		close(f->fd); /* it is asked for again */
		return 0;
	}
	l = listener_without_socket(d, &pull->listen);
	set_address(g.peer, &addr);
	session_new(l, f->fd, &addr);
	listener_drop(&l);
	return 0;
}
