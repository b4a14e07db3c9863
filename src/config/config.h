/*
 * The configuration as every role sees it: an immutable snapshot with the place
 * (file:line:column) of each statement, so that every decision can name its reason.
 *
 * Text travels as a bundle (all files after include, plus the ${NAME} values
 * used): master reads files and builds it, roles parse the same bundle again
 * from a sealed memfd. Parsing is pure: bundle in, snapshot or diagnostics out.
 */
#ifndef GW_CONFIG_CONFIG_H
#define GW_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct config_index;

struct place {
	const char *file; /* NULL: nobody wrote it, it is the default */
	unsigned line, column;
};

/* ---- the snapshot; everything lives in its arena -------------------------------------- */

struct cidr {
	sa_family_t family;
	uint8_t bytes[16];
	unsigned bits;
	struct place place;
};

struct rate { /* so many in so many seconds */
	uint32_t n, seconds;
};

struct endpoint {         /* HOST:PORT, [v6]:PORT or unix:PATH */
	const char *host; /* NULL for unix */
	uint16_t port;
	const char *unix_path;
};

/*
 * What a listener is for. mx: mail for our domains from anybody, for all domains from whom we
 * trust. submission: mail of our users and networks alone, and what RFC 6409 lets us mend is
 * mended. relay: the same people, and not an octet but the trace fields is changed.
 */
enum listen_kind { LISTEN_MX, LISTEN_SUBMISSION, LISTEN_RELAY };
enum listen_tls {
	LISTEN_TLS_OFF,
	LISTEN_TLS_OFFER,   /* STARTTLS; without it: no AUTH */
	LISTEN_TLS_REQUIRE, /* no MAIL before STARTTLS */
	LISTEN_TLS_IMPLICIT /* from the first octet */
};
enum listen_auth {
	LISTEN_AUTH_OFF,
	LISTEN_AUTH_ON,       /* under TLS */
	LISTEN_AUTH_PLAINTEXT /* with TLS or without */
};
struct listen {
	enum listen_kind kind;
	const char *name; /* in logs and metrics; the word of the kind if nothing else was said */
	struct endpoint at;
	enum listen_tls tls;
	enum listen_auth auth;
	const char *banner;      /* behind the host name in the 220 */
	int64_t greet_delay;     /* microseconds before the 220 */
	const struct cidr *from; /* who may connect; n_from == 0: everybody */
	size_t n_from;
	struct place place;
};

/* Sockets of all listen statements together. */
enum { CONFIG_LISTEN_MAX = 64 };

/* A certificate chain and its private key, both PEM files. */
struct tls_pair {
	const char *certificate, *key;
	struct place place;
};

enum target_kind {
	TARGET_MAILDIR, /* path; %u local part, %d domain */
	TARGET_LMTP,    /* endpoint */
	TARGET_RELAY,   /* endpoint */
	TARGET_REJECT,  /* reply */
};
struct target {
	enum target_kind kind;
	const char *path;
	struct endpoint at;
	const char *reply; /* "550 5.1.1 text" checked at load */
	struct place place;
};

/* Which local parts of a domain are known at RCPT (config/recipients.h has the tables). */
enum recipients_kind {
	RECIPIENTS_ANY,   /* all */
	RECIPIENTS_USERS, /* the accounts of the users file with that name */
	RECIPIENTS_FILE   /* those the file lists */
};

struct domain {
	const char *name; /* lower case; "*.example" matches every name below it */
	struct target deliver;
	enum recipients_kind recipients;
	const char *recipients_file; /* RECIPIENTS_FILE */
	const char *aliases;         /* a file, or NULL */
	const char *catch_all;       /* who gets what nobody else is known for, or NULL */
	char subaddress;             /* alice+x is alice; 0: off */
	struct place place;
	struct place recipients_place, aliases_place, catch_all_place; /* no file: not said */
};

struct route {
	const char *domain; /* "any" is NULL; "*.x" as in domain */
	struct target target;
	struct place place;
};

/* One group of destinations and how it is treated. The built-in "*" is always last. */
struct shape {
	const char *name;          /* "*" or the group's name */
	const char *const *domain; /* patterns; n == 0 only for "*" */
	size_t n_domain;
	uint32_t connections;    /* at one time, per site */
	uint32_t per_connection; /* messages */
	const int64_t *retry;    /* microseconds; the last one repeats */
	size_t n_retry;
	int64_t expire;    /* microseconds since acceptance */
	bool at_most_once; /* all mail to it is: never sent twice */
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
	const char *faults;    /* domain of the fault addresses, or NULL */
	struct {
		uint64_t message_size, header_size;
		uint32_t recipients, connections, per_ip, per_net, transactions, bad_commands, hops,
		    mime_depth, mime_parts;
		int64_t command_timeout, data_timeout;
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
	const char *users;        /* the file of the accounts, or NULL */
	bool users_any;           /* godwit dev: every login is good */
	struct place users_place; /* of the statement */
	const struct cidr *trust;
	size_t n_trust;
	const struct domain *domain;
	size_t n_domain;
	const struct route *route;
	size_t n_route;
	const struct shape *shape; /* in order; the last is "*" */
	size_t n_shape;
	struct config_index *index; /* private: tables of the look-ups, places of single settings */
	struct arena arena;
};

/* ---- diagnostics -------------------------------------------------------------------- */

struct config_diag {
	bool error;    /* else a warning */
	unsigned code; /* E0142: godwit config explain E0142 */
	struct place place;
	unsigned width;   /* characters under the caret */
	const char *text; /* the sentence */
	const char *hint; /* may be NULL */
	const char *line; /* the source line */
};

enum { CONFIG_DIAG_MAX = 20 };
struct config_diags {
	struct config_diag d[CONFIG_DIAG_MAX];
	size_t n;
	size_t errors, warnings; /* also those beyond the first 20 */
	struct arena arena;
};
void config_diags_init(struct config_diags *d);
void config_diags_fini(struct config_diags *d);
/* Adds what is wrong with a file that the configuration names: that it cannot be used, at the
 * statement; or a mistake in it, at its own place. */
void config_diags_unusable(
    struct config_diags *d, const struct place *statement, const char *path, const char *why);
void config_diags_content(struct config_diags *d, const struct place *at, const char *text);
/* "file:line:col: error: sentence", the line, the caret, the hint, as ux.md 2.4 shows. */
void config_diags_format(const struct config_diags *d, struct buf *out);

/* The most text of all files together, and a ceiling for the buffer that takes a bundle. */
enum { CONFIG_TEXT_MAX = 4 << 20, CONFIG_BUNDLE_MAX = 6 << 20 };

/* ---- loading ------------------------------------------------------------------------ */

/* Reads the file and its includes into a bundle; needs the file system (master, CLI).
 * 0 or GW_EFORMAT with diagnostics. */
int config_bundle_load(const char *path, struct buf *bundle, struct config_diags *d) gw_checked;
/* A bundle of one text held in memory (godwit dev, tests). */
int config_bundle_text(const char *name, struct span text, struct buf *bundle) gw_checked;

/* Parses and checks; NULL if there are errors. The diagnostics may hold warnings besides. */
struct config *config_parse(
    struct span bundle, uint64_t generation, struct config_diags *d) gw_checked;
void config_free(struct config **c);

/* The effective settings as text in the config language (origin: with "# file:line" behind each) or
 * as JSON. */
void config_show(const struct config *c, bool origin, bool json, struct buf *out);

/* ---- look-ups used by decisions ------------------------------------------------------- */

/* Is the address inside one of the trust ranges? Its place, or NULL. IPv4-mapped IPv6 counts as
 * IPv4. */
const struct cidr *config_trusts(const struct config *c, const struct sockaddr *sa);
/* The first range of a list that has the address, or NULL. */
const struct cidr *cidr_find(const struct cidr *list, size_t n, const struct sockaddr *sa);
/* The domain statement for a lower-case name: exact before wildcard, longest wildcard first. */
const struct domain *config_domain(const struct config *c, struct span name);
/* The first route that matches the recipient's domain, or NULL. */
const struct route *config_route(const struct config *c, struct span domain);
/* The shape group of a destination domain; never NULL. */
const struct shape *config_shape(const struct config *c, struct span domain);
/* Does a pattern ("*.x" or exact) match a lower-case name? */
bool config_pattern_match(const char *pattern, struct span name);

#endif
