/* The names that the broker asks for: which hosts take the mail of a domain. */
#include "role/queue.h"

#include <stdlib.h>

struct name_asked {
	struct queue *queue;
	size_t n;
	uint8_t domain[];
};

static bool comes_before(const struct dns_record *a, const struct dns_record *b)
{
	if (a->preference != b->preference)
		return a->preference < b->preference;
	return span_cmp(a->name, b->name) < 0;
}

/* The most preferred first, equal ones in the order of their names: a group is to be the same one
 * at each answer. */
static size_t sort(const struct dns_answer *a, struct span *host)
{
	const struct dns_record *by[DNS_RECORDS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < a->n_record && n < DNS_RECORDS_MAX; i++) {
		const struct dns_record *r = &a->record[i];
		size_t at = n;

		if (r->name.n == 0)
			continue;
		for (n++; at > 0 && comes_before(r, by[at - 1]); at--)
			by[at] = by[at - 1];
		by[at] = r;
	}
	for (size_t i = 0; i < n; i++)
		host[i] = by[i]->name;
	return n;
}

static void answered(void *arg, const struct dns_answer *a)
{
	struct name_asked *x = arg;
	struct queue *q = x->queue;
	struct span host[DNS_RECORDS_MAX], domain = span_of(x->domain, x->n);
	struct broker_mx mx = {.kind = mx_kind_of(a), .host = host, .ttl = a->ttl, .why = a->why};

	if (mx.kind == MX_HOSTS)
		mx.n_host = sort(a, host);
	else if (mx.kind == MX_IMPLICIT)
		host[mx.n_host++] = domain;
	broker_resolved(q->broker, domain, &mx, loop_now(q->loop));
	free(x);
	queue_run(q);
	blotter_clear();
}

void queue_ask_names(struct queue *q, const struct broker_effect *e)
{
	struct name_asked *x = gw_calloc(1, sizeof(*x) + e->data.n);

	x->queue = q;
	x->n = e->data.n;
	memcpy(x->domain, e->data.p, e->data.n);
	(void)dns_ask(&q->dns, DNS_MX, e->data, answered, x);
}
