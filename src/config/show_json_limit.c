/* "config show --json": limits in a time, and plans. */
#include "config/show_json.h"

static void limit(struct json *j, const struct limit_rule *r)
{
	struct buf rate;

	buf_init(&rate, 64);
	limit_rate_text(r, &rate);
	js_next(j);
	js_open(j, '{');
	js_text(j, "key", span_str(limit_key_word(r->key)));
	if (r->only != NULL)
		js_text(j, "only", span_str(r->only));
	js_text(j, "what", span_str(limit_what_word(r->what)));
	js_text(j, "rate", buf_view(&rate));
	js_number(j, "n", r->n);
	if (r->seconds > 0)
		js_number(j, "seconds", r->seconds);
	js_flag(j, "calendar", r->seconds == 0);
	js_text(j, "over", span_str(limit_over_word(r->over)));
	js_origin(j, &r->place);
	js_close(j, '}');
	buf_fini(&rate);
}

void js_limits(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_limit; i++)
		limit(j, &c->limit[i]);
}

void js_plans(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_plan; i++) {
		const struct plan *p = &c->plan[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "name", span_str(p->name));
		js_key(j, "limits");
		js_open(j, '[');
		for (size_t k = 0; k < p->n_limit; k++)
			limit(j, &p->limit[k]);
		js_close(j, ']');
		js_origin(j, &p->place);
		js_close(j, '}');
	}
}
