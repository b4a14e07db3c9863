/*
 * Addresses of the envelope, RFC 5321 section 4.1.2 and 4.1.3: dot-strings and
 * quoted local parts, domains, address literals, the null path and a bare
 * <postmaster>. Source routes are read and ignored (RFC 5321 appendix C). The
 * parser goes forward only, never rewrites, and stores nothing: spans point
 * into the input.
 *
 * Limits: local part 64, domain 255, label 63, path 256 octets (4.5.3.1), octets also where there
 * is UTF-8 in them (RFC 6531). In local parts UTF-8 stays as it came: nobody but their own server
 * knows what is equal to what. Of it only what can be seen is taken: no control, no blank, nothing
 * that turns or hides text. A domain is ASCII for everybody: U-labels become A-labels where an
 * address comes in.
 */
#ifndef GW_MAIL_ADDRESS_H
#define GW_MAIL_ADDRESS_H

#include "base/buf.h"

enum address_kind {
	ADDRESS_NULL,    /* <> */
	ADDRESS_BARE,    /* <postmaster>, no domain */
	ADDRESS_DOMAIN,  /* local@domain */
	ADDRESS_LITERAL, /* local@[192.0.2.1], local@[IPv6:...] */
};

struct address {
	enum address_kind kind;
	struct span local;  /* as written, with its quotes */
	struct span domain; /* as written, U-labels as A-labels; of a literal with its brackets */
};

/*
 * Reads "<path>" at the start of *in and moves *in behind the ">".
 * reverse: "<>" is allowed (MAIL); otherwise a bare postmaster is (RCPT).
 * room: NULL: all of it is ASCII; otherwise UTF-8 may stand in it, and A-labels that were made of
 * its domain are put there, out->domain then points there.
 * 0 or GW_EFORMAT, then *why is one short clause for the client.
 */
int address_parse_path(struct span *in, bool reverse, struct buf *room, struct address *out,
    const char **why) gw_checked;
/*
 * The whole span is one local@domain, or "postmaster" (ADDRESS_BARE), without <>, its domain ASCII:
 * what was read once and is stored since.
 */
int address_parse(struct span in, struct address *out) gw_checked;
/* The same as people write it, with U-labels: config, command line, headers. room as above. */
int address_read(struct span in, struct buf *room, struct address *out) gw_checked;

/* Appends the canonical form: domain in lower case, needless quotes gone, "" for null. */
void address_canonical(const struct address *a, struct buf *out);
/* The local part as it is meant: quotes and backslashes removed. */
void address_local_plain(const struct address *a, struct buf *out);

/* A host name of letters, digits, hyphens and dots within the limits; no trailing dot. */
bool domain_valid(struct span s);
/* "[...]" with a correct IPv4 or IPv6 address in it. */
bool address_literal_valid(struct span s);

#endif
