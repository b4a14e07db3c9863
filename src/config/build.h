/*
 * Private to config/: from the tree to the snapshot. build.c walks statements by
 * the table and stores simple values; words.c has the settings with a grammar of
 * their own; check.c looks at the whole.
 */
#ifndef GW_CONFIG_BUILD_H
#define GW_CONFIG_BUILD_H

#include "config/index.h"
#include "config/value.h"

struct builder {
	struct reader *r;
	struct values v;
	struct config *c;
	struct config_index *x;
	/* The growing ends of the snapshot's arrays, which have room for all statements. */
	struct listen *listen;
	struct tls_pair *tls;
	struct cidr *trust;
	struct identify *identify;
	struct domain *domain;
	struct route *route;
	struct etrn_rule *etrn;
	struct shape *shape;
	struct shape star;
	struct place star_origin[SHAPE_OPTIONS];
	struct vmta *vmta;
	struct dns_server *server;
	struct classify_rule *classify;
	struct limit_rule *limit, *plan_limit; /* the latter: of the plan that is being read */
	struct plan *plan;
	struct pull *pull;
	const char **secret;
	struct place *secret_place;
	/* Of the shape that is being read: where its waits were said, by class, then for all. */
	struct place retry_said[PRIORITY_COUNT + 1];
	struct on_reply *rules; /* of that shape; NULL: it has said none itself */
	/* Of the vmta that is being read. */
	enum family_wish vmta_prefers;
	size_t vmta_family; /* both, v4, v6 */
	/* The first place of everything that may be said once: "domain example.com". */
	struct map once;
	struct map named; /* "shape x", "vmta x", "secret /path": its number and one */
};

/* A block (or the top, or a tail of words) whose settings are being read. */
struct block {
	enum option_scope scope;
	const char *label;    /* for messages: "shape google" */
	void *base;           /* the struct whose fields are set */
	struct place *origin; /* where places go, that of option "first" in front; or NULL */
	size_t first;
	struct place seen[OPT_COUNT];
};

/* ---- build.c */
void build_settings(struct builder *b, struct block *k, const struct stmt *list);
void build_defaults(struct builder *b, enum option_scope scope, void *base);
/* The words behind a value: "per-ip 20". */
void build_tail(
    struct builder *b, struct block *k, const struct option *row, const struct word *rest);
/* Reports the word as one too many; true if there is one. */
bool build_extra(struct builder *b, const struct option *row, const struct word *w);
/* The place where this was said before, or NULL; remembers it. */
const struct place *build_once(
    struct builder *b, const char *kind, const char *name, const struct place *at);

/* Where it was said, or NULL. */
const struct place *build_said(const struct builder *b, const char *kind, const char *name);
/* Is this place in a file that is part of the program? */
bool is_builtin(const struct place *at);
/* The number that was given to a thing of this kind and name, or SIZE_MAX. */
size_t build_number(const struct builder *b, const char *kind, const char *name);
void build_set_number(struct builder *b, const char *kind, const char *name, size_t number);

/* ---- words.c: settings of type OWN; the first word is the setting's name. */
void build_own(struct builder *b, struct block *k, const struct option *row, const struct stmt *s);

/* ---- check.c */
void check_whole(struct builder *b);
/* ---- check_listen.c: a part of it */
void check_listeners(struct builder *b);
/* ---- check_limit.c */
void check_limits(struct builder *b);
/* ---- words_pull.c: likewise */
void check_pulls(struct builder *b);

#endif
