/* The resolver, for status: whom it asks and how it goes. */
#include "role/control.h"

#include "base/json.h"
#include "role/control_metrics.h"

#include <stdio.h>

static void put_servers(const struct config *c, struct buf *out)
{
	char at[300];

	json_open(out, "servers", '[');
	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const struct dns_server *s = &c->resolver.server[i];

		snprintf(at, sizeof(at), strchr(s->at.host, ':') ? "[%s]:%u" : "%s:%u", s->at.host,
		    s->at.port);
		json_open(out, NULL, '{');
		json_str(out, "domain", s->domain);
		json_str(out, "at", at);
		json_str(out, "kind", s->stub ? "stub" : "forward");
		json_close(out, '}');
	}
	json_close(out, ']');
}

void control_put_names(const struct control *c, struct buf *out)
{
	static const struct {
		const char *key;
		enum metric metric;
	} rows[] = {
	    {"queries", METRIC_DNS_QUERIES},
	    {"found", METRIC_DNS_FOUND},
	    {"none", METRIC_DNS_NONE},
	    {"trouble", METRIC_DNS_TROUBLE},
	    {"bogus", METRIC_DNS_BOGUS},
	    {"lookups", METRIC_DNS_LOOKUPS},
	    {"open", METRIC_DNS_OPEN},
	};

	json_open(out, "dns", '{');
	put_servers(c->config, out);
	json_bool(out, "validates", c->config->resolver.trust_anchor != NULL);
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		json_number(out, rows[i].key,
		    control_metric_sum(c->boot->all_metrics, c->boot->n_metrics, rows[i].metric));
	json_close(out, '}');
}
