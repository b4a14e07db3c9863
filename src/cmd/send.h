/*
 * What the files of "godwit send" share: send.c is told what to send, connects and sends;
 * send_report.c says what became of it. The others (send_session.h and so on) know nothing of it.
 */
#ifndef GW_CMD_SEND_H
#define GW_CMD_SEND_H

#include "cmd/flags.h"
#include "cmd/send_dsn.h"
#include "cmd/send_handling.h"
#include "cmd/send_login.h"
#include "cmd/send_release.h"
#include "cmd/send_session.h"

enum { SEND_RCPT_MAX = 1000, SEND_NAME_MAX = 256 };

struct send {
	struct cmd_globals g;
	const char *subject, *text, *file, *server, *ehlo, *show, *class;
	const char *from_flag;
	struct flag_list header;
	uint64_t size, count;
	char name[SEND_NAME_MAX]; /* of this machine */
	char from[SEND_NAME_MAX * 2];
	struct client_rcpt rcpt[SEND_RCPT_MAX];
	const char *to[SEND_RCPT_MAX];
	size_t n_rcpt;
	struct buf content;
	struct send_dsn dsn;
	struct send_release release;
	struct send_handling handling;
	struct send_login login;
	struct send_session session;
	bool connected;
	uint64_t accepted;
	bool temporary, permanent;
};

/* ---- send_report.c */

/* What was said of each recipient of a message: counted in s, and told as the user wants it. */
void send_judge(struct send *s, const struct send_verdict *v, int64_t took);

#endif
