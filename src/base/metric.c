#include "base/metric.h"

const struct metric_row metric_rows[METRIC_COUNT] = {
#define COUNTER METRIC_COUNTER
#define GAUGE METRIC_GAUGE
#define METRIC(id, name, type, doc) [METRIC_##id] = {"godwit_" name, doc, type},
#include "base/metrics.def"
#undef METRIC
};

static struct metric_page own_page;
struct metric_page *metric_page = &own_page;

void metric_attach(struct metric_page *page)
{
	metric_page = page;
}
