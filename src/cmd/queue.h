/* What the files of "godwit queue" share. queue.c: summary, list, show; queue_act.c: what is done
 * to recipients; queue_order.c: what is ordered of groups, and hosts. */
#ifndef GW_CMD_QUEUE_H
#define GW_CMD_QUEUE_H

#include "cmd/cmd.h"
#include "cmd/http.h"
#include "mail/msgid.h"

enum { QUEUE_WORDS_MAX = 4096 };

struct queue_cmd {
	struct cmd_globals g;
	struct http *http;
	/* flags */
	uint64_t limit;
	bool dry;
	int64_t time;
	const char *reason, *clear;
};

void queue_print_json(const json_t *j);
/* The words as one text. CMD_OK, or an exit code (told). */
int queue_words(int argc, char **argv, char *to, size_t size) gw_checked;
/* The whole id of what the user wrote. */
int queue_resolve(struct queue_cmd *q, const char *text, char id[MSGID_TEXT + 1]) gw_checked;

/* Verbs; argv holds the words behind them. */
int queue_act(struct queue_cmd *q, const char *verb, int argc, char **argv);
int queue_order(struct queue_cmd *q, const char *verb, int argc, char **argv);
int queue_rules(struct queue_cmd *q, const char *verb, int argc, char **argv);
int queue_hosts(struct queue_cmd *q, const char *verb, int argc, char **argv);

#endif
