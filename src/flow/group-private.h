/*
 * What the files of the broker share about who may be delivered where, how fast: sites, the ways
 * they go, the groups that share limits, connections, and the names that decide which is which.
 *
 *   site:  what one account has, of one class, for one destination; has turns in its group
 *   way:   hosts that fail and recover together, and what is demanded of connections to them
 *   group: ways that share limits; a provisional one until the hosts of a domain are known
 *
 * All of them belong to the broker. A site goes when nothing is filed there, a way with its last
 * site and connection, a group with its last way and when its limits need not be remembered.
 */
#ifndef GW_FLOW_GROUP_PRIVATE_H
#define GW_FLOW_GROUP_PRIVATE_H

#include "base/heap.h"
#include "base/map.h"
#include "flow/broker.h"
#include "flow/route.h"
#include "flow/shape.h"
#include "flow/turns.h"

#include <sys/queue.h>

enum {
	WAY_MARK_MAX = 400,
	ADDRESS_TEXT_MAX = 64,
	TOLD_MAX = 64, /* addresses of a way that are remembered as bad */
};

struct parked;
struct queued;
struct task;
struct way;

struct conn {
	TAILQ_ENTRY(conn) of_way;   /* idle: among those of its way, the warmest first */
	TAILQ_ENTRY(conn) of_group; /* idle: among those of its group, the coldest first */
	uint64_t number;
	unsigned worker;
	struct way *way;
	unsigned jobs; /* 0: idle; more than one only after HOLDING: one runs, others are done */
	uint32_t messages;
	bool idle;    /* in those lists */
	bool closing; /* its worker was told to close it */
	bool bulk;    /* the job it has is of that class */
	bool stale;   /* made for what the configuration does not want any more */
};

/* What one account has, of one class, for one destination: filed, waiting, ready, crowded out. */
struct site {
	uint32_t magic;
	struct target target;
	const struct shape *shape;  /* schedule and lifetime: of its group */
	const struct shape *routed; /* as long as nothing is known of its hosts */
	enum priority priority;
	struct way *way;     /* never NULL */
	struct group *group; /* of its way */
	TAILQ_ENTRY(site) of_way;
	struct turn turn; /* in its group, while it has ready tasks that may go */
	TAILQ_HEAD(ready_list, task) ready;
	size_t n_ready, n_waiting, n_active;
	size_t n_parked;            /* recipients at rest */
	size_t n_pending;           /* messages at rest that wait to be tried */
	size_t n_crowd;             /* messages in `crowd` */
	uint32_t etrn_walk;         /* the walk of broker_etrn.c that makes them due */
	TAILQ_HEAD(, parked) crowd; /* messages that wait for room among the ready ones */
	struct turn hungry;         /* among those that have room again */
	struct names *names;        /* TARGET_MX: of its domain; else NULL */
	TAILQ_ENTRY(site) of_names;
	bool pulled; /* TARGET_ODMR: its customer is here */
	/* it stays until it is known where connections belong that were taken over for it */
	bool adopted;
	bool gone;        /* no target of the configuration in force: nothing more is filed here */
	const char *name; /* "relay 127.0.0.1:25", "mx example.com": in the key */
	size_t key_length;
	char key[]; /* name, demands, class and account */
};

/* Hosts that fail and recover together, and the same demands on the connections to them: what one
 * connection can be used for. */
struct way {
	uint32_t magic;
	struct heap_node rest; /* suspended until */
	struct group *group;
	TAILQ_ENTRY(way) of_group;
	TAILQ_HEAD(, site) sites;
	TAILQ_HEAD(, conn) idle;
	size_t n_sites, n_conns, n_busy;
	unsigned busy;     /* it stays while its lists are walked */
	unsigned failures; /* of the hosts themselves, in a row */
	int64_t rest_until;
	char (*told)[ADDRESS_TEXT_MAX]; /* addresses of its hosts that were bad; or NULL */
	size_t n_told;
	/* a worker died on the way there and nothing arrived since: one at a time */
	bool suspected;
	bool paused;         /* rests for that reason */
	bool held;           /* its sites have no turns now */
	bool stale;          /* during a reload: its connections are for nothing */
	struct conn *turned; /* the customer's connection, while there is one (broker_pull.c) */
	bool untidy;         /* there was one: what it did not take is in memory still */
	const char *name;
	char key[]; /* "shape|relay 127.0.0.1:25", and a mark of its demands */
};

/* Which hosts take the mail of a domain: what is known of it, or asked (broker_names.c). */
struct names {
	uint32_t magic;
	TAILQ_ENTRY(names) link; /* among those to be asked, or those without mail */
	TAILQ_HEAD(, site) sites;
	size_t n_sites;
	bool known, asked, waits, unused;
	bool adopted; /* connections there were taken over, and nobody knows of which group */
	enum mx_kind kind;
	int64_t until; /* from then on it is asked again */
	const struct shape *shape;
	char *set;      /* names of the hosts, sorted; NULL: none */
	char *first;    /* behind the set: the most preferred one, as DNS has it */
	char text[140]; /* how the hosts are called in a list; or why there are none */
	char domain[];
};

/* What keeps a group from having more given out. */
enum limit {
	LIMIT_NONE,
	LIMIT_CONNECTIONS,
	LIMIT_CONNECTIONS_TOTAL,
	LIMIT_GROWN, /* fewer connections than are allowed: those the hosts can bear */
	LIMIT_MESSAGES,
	LIMIT_MESSAGES_TOTAL,
	LIMIT_SLOW,
	LIMIT_PAUSE,
};

/* What a rule, or an operator, decided of a group for a time. */
struct ruling {
	int64_t until;      /* 0: not in force; INT64_MAX: until it is taken back */
	struct place place; /* of the rule; file NULL: an operator; else: the next field */
	char file[160];
	struct rate rate; /* slow */
	char why[160];
};

struct rulings {
	struct ruling pause, slow;
	struct window window; /* slow */
};

/* Of all sources together: the groups that differ in nothing else. */
struct whole {
	TAILQ_HEAD(, group) groups;
	size_t n_groups, n_conns;
	uint32_t connections; /* 0: no limit */
	struct window messages;
	char key[];
};

/* Destinations that share limits: those of a named shape, or the same hosts; from one source. */
struct group {
	uint32_t magic;
	const struct shape *shape;
	TAILQ_HEAD(, way) ways;
	struct turns turns; /* of its sites */
	TAILQ_HEAD(group_conns, conn) idle;
	size_t n_ways, n_conns, n_closing;
	size_t n_bulk;           /* connections with a job of that class */
	bool provisional;        /* nothing goes until names are known */
	bool by_pull;            /* its one way is of mail that waits to be pulled */
	struct heap_node wake;   /* to be looked at again then */
	struct grower grower;    /* of connections */
	struct window *messages; /* NULL: no limit */
	struct rulings *rulings; /* NULL: none */
	struct whole *whole;     /* NULL: no limit over all sources */
	size_t whole_length;     /* of the key of that, if it has or had one */
	bool grows;              /* connections are not all allowed from the start */
	TAILQ_ENTRY(group) of_whole;
	TAILQ_ENTRY(group) of_starved; /* waits for a worker with room for a connection */
	bool starved;
	enum limit limit; /* what stopped it last */
	int64_t opens;    /* when that is over; INT64_MAX: not by time */
	unsigned busy;    /* it stays while its lists are walked */
	char said[160];   /* the last temporary or permanent reply */
	size_t row;       /* while a summary is made */
	const char *name; /* behind the key: for people */
	char key[];       /* "*|relay 127.0.0.1:25", "google|all|bulk-a" */
};

/* broker_group.c */
/* Where a site belongs as far as that is known now. */
struct belongs {
	const struct shape *shape;
	const struct target *target;
	const char *name;     /* of the way, for people */
	const char *set;      /* names of its hosts, or NULL: they are in the name */
	struct names *asking; /* provisional until these are known */
};
struct group *group_get(struct broker *b, const struct belongs *in);
/* Looked at again at the next groups_wake(). */
void group_soon(struct broker *b, struct group *g);
void groups_soon(struct broker *b); /* all */
/* No worker has room for one more connection; it is looked at again when one has. */
void group_starves(struct broker *b, struct group *g);
void group_fed(struct broker *b, struct group *g);
void groups_wake(struct broker *b, int64_t now);
void group_release(struct broker *b, struct group *g); /* frees it if empty */
/* Gives out what may go now. */
void group_pump(struct broker *b, struct group *g, int64_t now);
void group_pump_all(struct broker *b, int64_t now);
/* A site has a ready task that may go, or none any more. */
void group_joins(struct site *s);
void group_leaves(struct site *s);

/* broker_limit.c */
void limit_init(struct broker *b, struct group *g, const struct belongs *in);
void limit_fini(struct broker *b, struct group *g);
/* May one more message be given out? Else the reason is noted, and when to look again. */
bool limit_open(struct group *g, int64_t now) gw_checked;
/* One more connection? The same. */
bool limit_connection(struct group *g) gw_checked;
/* Has bulk mail all connections that it may have: all but one? */
bool limit_bulk(struct group *g) gw_checked;
void limit_take(struct group *g);
void limit_back(struct broker *b, struct group *g, bool sent, int64_t started, int64_t now);
/* Its shape, or that of all of them, is another one: counts go on. First the wholes. */
void limit_wholes_reconfigure(struct broker *b, int64_t now);
void limit_reconfigure(struct broker *b, struct group *g, int64_t now);
/* How many connections it may have now. */
size_t limit_most(const struct group *g) gw_checked;
void limit_good(struct group *g, int64_t now);
void limit_refused(
    struct broker *b, struct group *g, int64_t started, struct span why, int64_t now);
void limit_unreachable(struct broker *b, struct group *g, int64_t started, int64_t now);
/* Rulings whose time is over end; then says when to look at it again. */
void limit_refresh(struct group *g, int64_t now);
void limit_schedule(struct broker *b, struct group *g);
/* Until when it must be remembered though nothing goes there; 0: no need. */
int64_t limit_remembers(struct group *g, int64_t now) gw_checked;
/* A group of another source may use what this one gave back. */
void limit_others(struct broker *b, struct group *g);

/* broker_rule.c: rules and operators. place NULL: an operator. until INT64_MAX: until resumed. */
void group_pause(struct broker *b, struct group *g, int64_t until, const char *why,
    const struct place *place, int64_t now);
void group_slow(struct broker *b, struct group *g, struct rate rate, int64_t until, const char *why,
    const struct place *place, int64_t now);
void group_resume(struct broker *b, struct group *g, int64_t now);
/* What the rules of its shape make of a reply: pauses or slows the group; what is to become of the
 * recipient is the caller's. NULL: no rule. */
const struct on_reply *rule_of(
    struct broker *b, struct group *g, const struct change_rcpt *c, int64_t now) gw_checked;
/* The same of what a host said instead of a greeting. */
void rule_on_greeting(struct broker *b, struct group *g, struct span said, int64_t now);
/* "godwit.conf:48", as long as the broker lives. */
struct span rule_place(const struct broker *b, const struct on_reply *rule) gw_checked;
void rules_init(struct broker *b);
void rules_fini(struct broker *b);

/* broker_hosts.c */
/* The addresses of its hosts that rest, copied to "text" where there is room for TOLD_MAX. */
size_t bad_hosts_of(struct broker *b, struct way *w, char (*text)[ADDRESS_TEXT_MAX], int64_t now);
/* A way that had no mail for a while is there again: which of its hosts were bad. */
void bad_hosts_recall(const struct broker *b, struct way *w);
void bad_hosts_init(struct broker *b, uint64_t seed);
void bad_hosts_fini(struct broker *b);

/* The bad ones of them are tried like all others again. */
void bad_hosts_pardon(struct broker *b, struct way *w);

/* broker_way.c */
struct way *way_get(struct broker *b, const struct belongs *in);
/* Tells ways apart as long as the program runs, and longer than they live. */
void way_mark(const struct way *w, char to[WAY_MARK_MAX]);
struct way *way_of_mark(const struct broker *b, const char *mark) gw_checked;
void way_release(struct broker *b, struct way *w); /* and its group, if they are empty */
/* The hosts themselves failed: it rests. */
void way_failed(struct broker *b, struct way *w, int64_t now);
/* A dialogue with them came to its end. */
void way_works(struct broker *b, struct way *w);
void way_wakes(struct broker *b, struct way *w, int64_t now);
/* Gives out what may go now in its group; the way itself goes, if it is empty. */
void way_pump(struct broker *b, struct way *w, int64_t now);
/* It rests for some other reason, until then. */
void way_rest(struct broker *b, struct way *w, int64_t until);
/* Something changed that decides whether its sites have turns. */
void way_review(struct way *w);
/* Its mark among ways and sites to the same hosts; 0: it demands nothing. */
uint64_t way_demands(const struct target *t) gw_checked;
void site_enters(struct site *s, struct way *w);
void site_parts(struct site *s);
/* A stored due time, as sched_stored() has it. */
int64_t site_stored(const struct broker *b, const struct site *s, uint32_t attempts, int64_t due,
    int64_t now) gw_checked;
/* To where it belongs by now. */
void site_moves(struct broker *b, struct site *s);
/* It has its first ready task, or no more. */
void site_offers(struct site *s);
void site_withdraws(struct site *s);

/* broker_names.c */
void names_join(struct broker *b, struct site *s, struct span domain);
void names_leave(struct broker *b, struct site *s);
void names_want(struct broker *b, struct names *d);
/* Is it known that there are no hosts? Else they are asked for. */
bool names_end(struct broker *b, struct names *d, int64_t now) gw_checked;
/* What is said to its recipients then; the text may lie in `text`. */
struct reply names_reply(const struct names *d, char *text, size_t n);
bool names_have_hosts(const struct names *d);
/* Other shapes: which one these hosts are of. */
void names_reconfigure(struct broker *b);
/* A connection to it was taken over. */
void names_adopted(struct broker *b, struct site *s);
/* That there are none, or that nobody knew, is asked anew with the next mail. */
void names_doubt(struct names *d, int64_t now);
void names_fini(struct broker *b);

/* broker_pull.c: what waits until its customer comes. */
#define PULL_WAY "odmr for "
/* It has no turn, and nothing of it is taken into memory, as nobody pulls it now. */
bool site_waits(const struct site *s) gw_checked;
/* The configuration in force keeps the mail of its domain for another customer, or for none. */
bool pull_ends(const struct broker *b, const struct site *s) gw_checked;
/* The customer for whom this site has just joined its way is here already. */
bool pull_is_on(const struct site *s) gw_checked;
/* It is gone: what rests in the crowd of another customer, and for it, too, is routed anew. */
void pull_disband(struct broker *b, const struct site *s);
/* The customer's connection is no use any more. */
void pull_over(struct broker *b, struct way *w);
/* Behind a pump: it ends if there is nothing left for it. */
void pull_look(struct broker *b, struct group *g);
/* When what the customer did not take may be given out again. */
int64_t pull_again(const struct site *s, int64_t now) gw_checked;

/* broker_conn.c */
/* Its worker is told to close it; the slot is free when that is done. */
void conn_dismiss(struct broker *b, struct conn *c);
/* The coldest ones go, until there are no more than the group may have. */
void conns_thin(struct broker *b, struct group *g);
/* All connections of a way are those of another one from now on. */
void conns_move(struct broker *b, struct way *from, struct way *to);
struct conn *conn_new(struct broker *b, struct way *w, unsigned worker, uint64_t number);
/* That of a customer, ready to be used. */
struct conn *conn_turned(struct broker *b, struct way *w, unsigned worker, uint64_t number);
/* One for the next job of this site, or NULL: none can be had now. */
struct conn *conn_get(struct broker *b, const struct site *s) gw_checked;
/* The worker of that kind with the fewest connections, or -1. */
int conn_worker(const struct broker *b, enum broker_worker_kind kind) gw_checked;
void conn_busy(struct conn *c, enum priority class);
void conn_idle(struct broker *b, struct conn *c);
/* Its job is lost with its worker. */
void conn_rests(struct conn *c);
void conn_free(struct broker *b, struct conn *c);

#endif
