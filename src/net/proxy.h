/*
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): what a load balancer says of
 * a connection before anything else, so that the server behind it knows the client. Pure: octets
 * in, the two ends out. Every octet is hostile; it is for the caller to believe only senders he
 * chose.
 *
 * What does not match the specification to the letter is refused. Of version 2 the TLVs must be
 * well-formed and the checksum, where there is one, right; nothing else in them is looked at. Of a
 * header without addresses (LOCAL, UNKNOWN, UNSPEC, a Unix socket) nothing is known but its length.
 */
#ifndef GW_NET_PROXY_H
#define GW_NET_PROXY_H

#include "base/span.h"

#include <sys/socket.h>

enum {
	PROXY_LINE_MAX = 107, /* section 2.1: version 1 with its CRLF */
	PROXY_MAX = 4096,     /* version 2 with its TLVs; the protocol would allow 65551 */
};

struct proxy {
	uint8_t in[PROXY_MAX];
	size_t n, whole; /* octets so far; of all of it, 0: not known yet */
	/* Behind the end. */
	bool local; /* LOCAL: the sender speaks for itself, its own address is the client's */
	bool known; /* from and to are the ends; false and not local: nobody knows who it is */
	struct sockaddr_storage from, to; /* AF_INET or AF_INET6; IPv4-mapped ones as IPv4 */
	const char *why; /* it was refused: slug for the log, "no_header", "bad_checksum" ... */
};

void proxy_init(struct proxy *p);
/*
 * Takes what of `in` belongs to the header, *used octets; what follows is the client's. 1: whole;
 * 0: more is wanted; GW_EFORMAT: refused, see why. Not called again behind 1 or GW_EFORMAT.
 */
int proxy_feed(struct proxy *p, struct span in, size_t *used) gw_checked;

#endif
