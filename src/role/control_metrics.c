#include "role/control_metrics.h"

#include "base/json.h"

#include <stdio.h>

enum { NAME_MAX_BYTES = 96 };

static const char prefix[] = "godwit_";
static const char micro[] = "_microseconds_total";

int64_t control_metric_sum(const struct metric_page *const *page, size_t n, enum metric m)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += metric_get(page[i], m);
	return sum;
}

/* The name as it is told, without the prefix: true if the value is to be told in seconds. */
static bool told_name(enum metric m, char name[NAME_MAX_BYTES])
{
	struct span own = span_skip(span_str(metric_rows[m].name), sizeof(prefix) - 1);
	size_t n = sizeof(micro) - 1;

	if (own.n > n && memcmp(own.p + own.n - n, micro, n) == 0) {
		snprintf(name, NAME_MAX_BYTES, "%.*s_seconds_total", (int)(own.n - n),
		    (const char *)own.p);
		return true;
	}
	span_to_cstr(own, name, NAME_MAX_BYTES);
	return false;
}

/* The name without labels. */
static struct span family(const char *name)
{
	struct span s = span_str(name);
	ptrdiff_t label = span_find(s, '{');

	return label < 0 ? s : span_first(s, (size_t)label);
}

static void put_number(struct buf *out, int64_t value, bool seconds)
{
	int64_t size = value < 0 ? -value : value;

	if (seconds)
		buf_addf(out, "%s%lld.%06lld", value < 0 ? "-" : "", (long long)(size / 1000000),
		    (long long)(size % 1000000));
	else
		buf_addf(out, "%lld", (long long)value);
}

static void put_head(struct buf *out, struct span name, const char *doc, enum metric_type type)
{
	buf_addf(out, "# HELP %s%.*s ", prefix, SPAN_ARG(name));
	for (const char *c = doc; *c != '\0'; c++) {
		if (*c == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, (uint8_t)*c);
	}
	buf_addf(out, "\n# TYPE %s%.*s %s\n", prefix, SPAN_ARG(name),
	    type == METRIC_COUNTER ? "counter" : "gauge");
}

static void put_facts(struct buf *out, const struct control_facts *f)
{
	put_head(out, SPAN("build_info"), "The version of the program; always 1.", METRIC_GAUGE);
	buf_addf(out, "%sbuild_info{version=\"%s\"} 1\n", prefix, f->version);
	put_head(
	    out, SPAN("config_generation"), "The configuration in force, counted.", METRIC_GAUGE);
	buf_addf(out, "%sconfig_generation %llu\n", prefix, (unsigned long long)f->generation);
	if (f->started == 0)
		return;
	put_head(out, SPAN("start_time_seconds"), "When the program was started, unix time.",
	    METRIC_GAUGE);
	buf_addf(out, "%sstart_time_seconds %lld.%03d\n", prefix, (long long)(f->started / 1000000),
	    (int)(f->started % 1000000 / 1000));
}

void control_metrics_text(const struct metric_page *const *page, size_t n,
    const struct control_facts *facts, struct buf *out)
{
	char name[NAME_MAX_BYTES], before[NAME_MAX_BYTES] = "";

	put_facts(out, facts);
	for (int m = 0; m < METRIC_COUNT; m++) {
		bool seconds = told_name((enum metric)m, name);

		if (!span_eq(family(name), family(before)))
			put_head(out, family(name), metric_rows[m].doc, metric_rows[m].type);
		memcpy(before, name, sizeof(before));
		buf_addf(out, "%s%s ", prefix, name);
		put_number(out, control_metric_sum(page, n, (enum metric)m), seconds);
		buf_add_byte(out, '\n');
	}
}

/* "full" of 'x{class="full"}'; the name has its '}' no more then. */
static const char *label_of(char *name)
{
	char *value = strchr(name, '"') + 1;

	value[strcspn(value, "\"")] = '\0';
	return value;
}

/* Those of one family with labels stand in an object: open is its name, "" between them. */
static void put_labelled(struct buf *out, const char *name, char open[NAME_MAX_BYTES])
{
	struct span own = family(name);
	bool labelled = own.n < strlen(name);

	if (open[0] != '\0' && (!labelled || !span_eq(own, span_str(open)))) {
		json_close(out, '}');
		open[0] = '\0';
	}
	if (labelled && open[0] == '\0') {
		span_to_cstr(own, open, NAME_MAX_BYTES);
		json_open(out, open, '{');
	}
}

void control_metrics_json(const struct metric_page *const *page, size_t n, struct buf *out)
{
	char name[NAME_MAX_BYTES], open[NAME_MAX_BYTES] = "";

	for (int m = 0; m < METRIC_COUNT; m++) {
		int64_t value = control_metric_sum(page, n, (enum metric)m);

		if (!told_name((enum metric)m, name)) {
			put_labelled(out, name, open);
			json_number(out, open[0] != '\0' ? label_of(name) : name, value);
			continue;
		}
		put_labelled(out, name, open);
		json_number(out, name, 0);
		buf_cut(out, buf_len(out) - 1);
		put_number(out, value, true);
	}
	put_labelled(out, "", open);
}
