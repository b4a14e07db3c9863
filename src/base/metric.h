/*
 * Counters and gauges, one row each in metrics.def. A process counts in a page
 * that master made and control reads (metric_attach); before that, and in
 * tests, in a page of its own.
 */
#ifndef GW_BASE_METRIC_H
#define GW_BASE_METRIC_H

#include "base/base.h"

enum metric {
#define METRIC(id, name, type, doc) METRIC_##id,
#include "base/metrics.def"
#undef METRIC
	METRIC_COUNT
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_row {
	const char *name, *doc;
	enum metric_type type;
};

struct metric_page {
	int64_t value[METRIC_COUNT];
};

extern const struct metric_row metric_rows[METRIC_COUNT];
extern struct metric_page *metric_page;

/* Count in this page from now on; it must live as long as the process. */
void metric_attach(struct metric_page *page);

static inline void metric_add(enum metric m, int64_t n)
{
	__atomic_fetch_add(&metric_page->value[m], n, __ATOMIC_RELAXED);
}

static inline void metric_set(enum metric m, int64_t n)
{
	__atomic_store_n(&metric_page->value[m], n, __ATOMIC_RELAXED);
}

static inline int64_t metric_get(const struct metric_page *page, enum metric m)
{
	return __atomic_load_n(&page->value[m], __ATOMIC_RELAXED);
}

#endif
