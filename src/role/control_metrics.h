/*
 * The counters of all processes, added up: as Prometheus text and as JSON. Pure. A counter of
 * microseconds is told in seconds, as the naming rules of Prometheus want.
 */
#ifndef GW_ROLE_CONTROL_METRICS_H
#define GW_ROLE_CONTROL_METRICS_H

#include "base/buf.h"
#include "base/metric.h"

struct control_facts {
	const char *version;
	int64_t started; /* wall clock, microseconds; 0: not known yet */
	uint64_t generation;
};

int64_t control_metric_sum(const struct metric_page *const *page, size_t n, enum metric m);
void control_metrics_text(const struct metric_page *const *page, size_t n,
    const struct control_facts *facts, struct buf *out);
/* The members of an object that is open: "messages_received_total": 12, ... Those with labels are
 * objects: "failures_by_class_total": {"full": 3, ...}. */
void control_metrics_json(const struct metric_page *const *page, size_t n, struct buf *out);

#endif
