/*
 * Where mail goes to: mailboxes, programs, other hosts; from which of our addresses, and how well
 * the channel there must be protected.
 */
#ifndef GW_CONFIG_TARGET_H
#define GW_CONFIG_TARGET_H

#include "base/base.h"
#include "base/buf.h"
#include "config/atoms.h"

#include <stdbool.h>
#include <stddef.h>

/* How well the channel to the next host must be protected (auth/tlspolicy judges). */
enum out_tls {
	OUT_TLS_UNSAID,        /* the shape of the destination says, else opportunistic */
	OUT_TLS_OFF,           /* never */
	OUT_TLS_OPPORTUNISTIC, /* where it is offered, with any certificate, else in plain text */
	OUT_TLS_REQUIRE,       /* always, with any certificate */
	OUT_TLS_VERIFY,        /* always, with a certificate of the host's name that is trusted */
	OUT_TLS_FINGERPRINT    /* always, with one of these certificates */
};
struct tls_out {
	enum out_tls mode;
	const uint8_t (*fingerprint)[32]; /* SHA-256 of the certificate, DER */
	size_t n_fingerprint;
	struct place place;
};

/* Which family of addresses is wanted where a host has both. */
enum family_wish { FAMILY_V6_FIRST, FAMILY_V4_FIRST, FAMILY_V4_ONLY, FAMILY_V6_ONLY };

/* A virtual MTA: the addresses mail leaves from, and what they are called there. */
struct vmta {
	const char *name;    /* "default" is there always, and the first */
	bool has_v4, has_v6; /* none: whatever the system chooses */
	uint8_t v4[4], v6[16];
	const char *helo; /* the hostname if nothing else was said */
	enum family_wish wish;
	struct place place;
};

enum target_kind {
	TARGET_MAILDIR, /* path; %u local part, %d domain */
	TARGET_LMTP,    /* host[0] */
	TARGET_RELAY,   /* host, in the order in which they are tried */
	TARGET_MX,      /* the hosts that DNS names for the recipient's domain */
	TARGET_REJECT,  /* reply */
	TARGET_PIPE,    /* a program; path is its command as text */
	/* kept until the account that path names pulls it (RFC 2645): no connection is made */
	TARGET_ODMR,
};
enum { TARGET_HOSTS_MAX = 16 };

/* A program that mail is given to. */
struct pipe {
	const char *user;       /* whose uid it runs with; NULL: that of the server, never root */
	int64_t timeout;        /* microseconds from its start to its end */
	uint64_t memory;        /* octets, of each of its processes */
	const char *const *arg; /* the first is the program, an absolute path */
	size_t n_arg;
};
/* What a word behind the program stands for. */
enum pipe_value { PIPE_USER, PIPE_DOMAIN, PIPE_TO, PIPE_FROM, PIPE_ID, PIPE_TEXT };
enum pipe_value pipe_value(const char *word);
/* The same program, with the same words, under the same conditions? */
bool pipe_same(const struct pipe *a, const struct pipe *b) gw_checked;
/* Everything behind "pipe", in one spelling. */
void pipe_command(const struct pipe *p, struct buf *out);

struct target {
	enum target_kind kind;
	const char *path;
	const struct endpoint *host;
	size_t n_host;
	const char *reply; /* "550 5.1.1 text" checked at load */
	const struct pipe *pipe;
	/* LMTP, RELAY and MX */
	struct tls_out tls;
	/* RELAY and MX */
	const struct vmta *vmta; /* never NULL */
	const char *secret;      /* RELAY: where the login is, as written (file:, cred:), or NULL */
	size_t secret_index;     /* its path among config->secret */
	const char *secret_path; /* the same */
	uint16_t port;           /* MX: 25 if nothing else was said */
	bool private_ok;         /* MX: addresses of private ranges too */
	struct place place;
};

/* Is it this machine's: one recipient at a time, by the mda? */
static inline bool target_is_local(const struct target *t)
{
	return t->kind == TARGET_MAILDIR || t->kind == TARGET_PIPE;
}

#endif
