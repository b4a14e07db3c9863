/*
 * Payloads of the frames to and from the resolver: DNS_ASK and DNS_ANSWER. Decoding treats the
 * bytes as hostile, as in role/proto.h.
 */
#ifndef GW_ROLE_PROTO_DNS_H
#define GW_ROLE_PROTO_DNS_H

#include "base/buf.h"
#include "base/dns.h"

struct proto_dns_ask {
	uint64_t request; /* chosen by who asks, unique on its channel */
	enum dns_type type;
	struct span name;
};
void proto_put_dns_ask(struct buf *b, const struct proto_dns_ask *q);
int proto_get_dns_ask(struct span in, struct proto_dns_ask *q) gw_checked;

struct proto_dns_answer {
	uint64_t request;
	struct dns_answer answer;
};
void proto_put_dns_answer(struct buf *b, enum dns_type type, const struct proto_dns_answer *r);
/* type: of the question. Names are judged again: they may go into logs and sockets. */
int proto_get_dns_answer(
    struct span in, enum dns_type type, struct proto_dns_answer *r, struct arena *a) gw_checked;
/* The number alone, to find the question. */
uint64_t proto_dns_request(struct span in);

#endif
