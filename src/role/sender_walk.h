/*
 * What the files of a walk share: sender_walk.c has the way from host to host, sender_pick.c what
 * is known of the names and which address is next.
 */
#ifndef GW_ROLE_SENDER_WALK_H
#define GW_ROLE_SENDER_WALK_H

#include "role/sender_try.h"

#define WALK_MAGIC GW_MAGIC('W', 'A', 'L', 'K')

enum {
	WALK_ATTEMPTS = 3, /* at one time */
	/* In one walk: whoever sends us mail chooses these hosts, and may choose those of others.
	   The next attempt goes on with those that were not tried. */
	WALK_TRIES_MAX = 32,
	WALK_SESSIONS_MAX = 8,
};

struct question {
	struct walk *walk;
	struct question *next;
	unsigned number;
	uint64_t asked; /* 0: answered */
};

struct walk {
	uint32_t magic;
	struct conn *conn;
	struct sender *sender;
	struct arena arena;
	struct hosts_params params;
	struct hosts *hosts; /* NULL: a Unix socket */
	struct question *questions;
	uint16_t done[HOSTS_MAX], avoid[HOSTS_MAX]; /* bits of addresses */
	size_t n_seen;                              /* hosts whose "avoid" is known */
	struct attempt attempt[WALK_ATTEMPTS];
	struct spot last; /* that was connected, or is to be tried again */
	struct peer peer; /* who was tried last */
	struct timer timer;
	int64_t deadline, next_start;
	bool busy;  /* connected: the host is talking */
	bool again; /* "last" is to be tried next */
	bool helo;  /* with HELO */
	bool helo_next;
	bool away_v6; /* IPv6 was refused: IPv4 of the same preference comes first */
	bool v4_only; /* nothing else any more */
	unsigned tries, sessions;
	unsigned failures;
	struct client_event why; /* of the last failure; texts in the arena */
	const char *why_host;
	struct buf before; /* the failures before it, in words */
};

static inline const struct proto_target *walk_target(const struct walk *w)
{
	return &w->conn->job->order.target;
}

static inline int64_t walk_now(const struct walk *w)
{
	return loop_now(w->sender->loop);
}

/* Starts what may be started; then waits, or is at its end (w may be gone then). */
void walk_step(struct walk *w);

/* ---- sender_pick.c */
enum found { FOUND_ONE, FOUND_NONE, FOUND_LATER };

/* Questions are asked, if there are any. */
void walk_names(struct walk *w);
/* Which address is next; LATER: names are still asked for. */
enum found walk_pick(struct walk *w, struct spot *out) gw_checked;
/* NULL, and host NULL: the path of a Unix socket. */
const struct host_address *walk_address(
    const struct walk *w, const struct spot *s, const struct host **host);

#endif
