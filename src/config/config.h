/*
 * The configuration as every role sees it: an immutable snapshot with the place
 * (file:line:column) of each statement, so that every decision can name its reason.
 *
 * Text travels as a bundle (all files after include, plus the ${NAME} values
 * used): master reads files and builds it, roles parse the same bundle again
 * from a sealed memfd. Parsing is pure: bundle in, snapshot or diagnostics out.
 *
 * What statements become is in the headers beside, by what they are about: where mail comes in
 * (listen.h, pull.h, limit.h), which way it goes (domain.h, target.h), how it is sent (shape.h).
 */
#ifndef GW_CONFIG_CONFIG_H
#define GW_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/diags.h"
#include "config/domain.h"
#include "config/limit.h"
#include "config/listen.h"
#include "config/pull.h"
#include "config/shape.h"
#include "config/target.h"

struct config_index;
struct dsn_texts;

/* Whom the resolver asks. */
struct dns_server {
	const char *domain; /* of a stub; "." for all */
	struct endpoint at;
	bool stub; /* authoritative for the domain; else a resolver to forward to */
	struct place place;
};

struct config {
	uint64_t generation;
	const char *hostname, *admin;
	const char *spool, *control;
	const char *run_as;   /* user name prefix of the roles' uids when started as root */
	const char *log_path; /* NULL: standard error */
	bool log_json, log_subject;
	bool allow_open_relay; /* said so: trust ranges may be as wide as they like */
	int64_t reply_timeout;
	const char *faults; /* domain of the fault addresses, or NULL */
	struct {
		uint64_t message_size, header_size;
		uint32_t recipients, connections, per_ip, per_net, transactions, bad_commands, hops,
		    mime_depth, mime_parts;
		int64_t command_timeout, data_timeout;
		int64_t deliver_by; /* the shortest that a client may demand */
		uint64_t data_rate; /* octets a second */
		struct rate connection_rate;
	} limits;
	struct {
		uint64_t segment, reserve;
		uint32_t spares;
	} store;
	const struct listen *listen;
	size_t n_listen;
	const struct tls_pair *tls; /* the first is for clients that name none of the others */
	size_t n_tls;
	const char *users;         /* the file of the accounts, or NULL */
	const char *users_dovecot; /* the socket of its auth service, or NULL */
	bool users_any;            /* godwit dev: every login is good */
	struct place users_place;  /* of the statement */
	const struct cidr *trust;
	size_t n_trust;
	const struct identify *identify; /* in order; the first that holds decides */
	size_t n_identify;
	const struct domain *domain;
	size_t n_domain;
	const char *aliases; /* of all domains, behind their own; or NULL */
	struct place aliases_place;
	const struct route *route;
	size_t n_route;
	const struct etrn_rule *etrn;
	size_t n_etrn;
	const struct shape *shape; /* in order; the last is "*" */
	size_t n_shape;
	const struct vmta *vmta; /* the first is "default" */
	size_t n_vmta;
	const struct pull *pull;
	size_t n_pull;
	const char *const *secret; /* the files of logins at other servers, each once: paths */
	const struct place *secret_place; /* where each was named first */
	size_t n_secret;
	struct {
		const struct dns_server *server; /* none: from the root down */
		size_t n_server;
		const char *trust_anchor; /* a file, or NULL: nothing is validated */
		const char *root_hints;   /* a file, or NULL: those of the library */
		int64_t timeout, retry;
	} resolver;
	const char *authorities; /* PEM file of those who are trusted to certify other servers */
	struct {
		const char *directory; /* if not said: "history" in the spool */
		bool off;
		int64_t keep;
		uint64_t size;
	} history;
	struct {
		int64_t warn; /* a message that waits so long is reported to its sender; 0: never */
		uint64_t full; /* RET=FULL is honoured up to so many octets */
		uint64_t copy; /* bits of enum reply_class: the admin hears of such failures */
		struct rate per_sender; /* reports to one sender; those beyond become a summary */
		const char *language; /* "auto", or the tag of one of ours: dsn_language_chosen() */
		const char *texts_file;        /* or NULL */
		const struct dsn_texts *texts; /* what is in it (mail/dsn_texts.h), or NULL */
	} dsn;
	const struct classify_rule
	    *classify; /* in order; those built in stand behind (classify.h) */
	size_t n_classify;
	struct {
		const char *domain;               /* NULL: nothing is rewritten */
		const char *secret, *secret_path; /* as written (file:, cred:), and where that is */
		struct place secret_place;
		int64_t age;
	} srs;
	const struct limit_rule *limit; /* of the limit statements, in order */
	size_t n_limit;
	const struct plan *plan;
	size_t n_plan;
	unsigned others;            /* private: references besides the first (config_ref) */
	struct config_index *index; /* private: tables of the look-ups, places of single settings */
	struct arena arena;
};

/* ---- loading ---- */

/* The most text of all files together, and a ceiling for the buffer that takes a bundle. */
enum { CONFIG_TEXT_MAX = 4 << 20, CONFIG_BUNDLE_MAX = 6 << 20 };

/* Reads the file and its includes into a bundle; needs the file system (master, CLI).
 * 0 or GW_EFORMAT with diagnostics. */
int config_bundle_load(const char *path, struct buf *bundle, struct config_diags *d) gw_checked;
/* A bundle of one text held in memory (godwit dev, tests). */
int config_bundle_text(const char *name, struct span text, struct buf *bundle) gw_checked;

/* Parses and checks; NULL if there are errors. The diagnostics may hold warnings besides. */
struct config *config_parse(
    struct span bundle, uint64_t generation, struct config_diags *d) gw_checked;
/* Gives a reference back: the last one frees. */
void config_free(struct config **c);
/*
 * One more reference: what goes on with a configuration behind a reload (a session, a job) has its
 * own. The same pointer.
 */
struct config *config_ref(struct config *c) gw_checked;
/*
 * What a reload cannot change (class restart in options.def: spool, control and the like) is taken
 * over from the configuration that runs. The names of settings that would have changed are put into
 * `names`, a blank between them, if that is not NULL.
 */
void config_freeze(struct config *c, const struct config *running, struct buf *names);

/* The effective settings as text in the config language (origin: with "# file:line" behind each) or
 * as JSON. */
void config_show(const struct config *c, bool origin, bool json, struct buf *out);

/* ---- look-ups used by decisions ---- */

/* Is the address inside one of the trust ranges? Its place, or NULL. IPv4-mapped IPv6 counts as
 * IPv4. */
const struct cidr *config_trusts(const struct config *c, const struct sockaddr *sa);
/* The first range of a list that has the address, or NULL. */
const struct cidr *cidr_find(const struct cidr *list, size_t n, const struct sockaddr *sa);
/* The domain statement for a lower-case name: exact before wildcard, longest wildcard first. */
const struct domain *config_domain(const struct config *c, struct span name);
/*
 * What routes ask about a recipient. Domains in lower case; the local parts of addresses are
 * compared without regard to case. What is empty is unknown or not there (the sender of a bounce),
 * and no condition on it holds.
 */
struct route_query {
	struct span address, domain, from, from_domain, account;
	uint64_t size; /* octets; 0: not known yet, no larger-than holds */
};
/* The first route that matches, or NULL. */
const struct route *config_route(const struct config *c, const struct route_query *q);
/* Is there a route that asks for the size? */
bool config_routes_by_size(const struct config *c);
/* Would the answer be the same for every size? Else another route may decide once it is known. */
bool config_route_sure(const struct config *c, const struct route_query *q);
/*
 * The first rule of the group whose pattern is in a reply ("CODE ESC TEXT", as the host sent it),
 * or NULL. Whatever the host says, a rule costs a bounded number of steps: microseconds as a rule,
 * some milliseconds with the worst of patterns; a pattern that needs more does not match.
 */
const struct on_reply *on_reply_find(const struct shape *g, struct span text);
/* The shape group of a destination domain, by domain alone; NULL: no pattern says so. */
const struct shape *config_shape_domain(const struct config *c, struct span domain);
/* By its most preferred mail host, or NULL. */
const struct shape *config_shape_mx(const struct config *c, struct span host);
/* By the domain, else by the mail host (may be empty), else "*"; never NULL. */
const struct shape *config_shape(const struct config *c, struct span domain, struct span host);
/* An address as text, without brackets: its family and octets, or AF_UNSPEC. */
sa_family_t config_ip(struct span text, uint8_t bytes[16]);
/* The plan of that name; for an account without one (empty), and for a name that is not there, the
 * plan "default". NULL: there is none. */
const struct plan *config_plan(const struct config *c, struct span name);
/* Is there a plan of exactly that name? */
bool config_has_plan(const struct config *c, struct span name);
/* Is this socket of Dovecot's named in it: for logins, else for recipients? */
bool config_asks_dovecot(const struct config *c, bool login, struct span path);
/* Does a pattern ("*.x" or exact) match a lower-case name? */
bool config_pattern_match(const char *pattern, struct span name);

#endif
