/* The configuration: what is in force, and that it is read anew, which is master's to do. */
#include "role/control.h"

#include "base/json.h"

#include <stdio.h>

enum { CONFIG_TEXT_ROOM = 64 << 20, ANSWER_ROOM = 1 << 20 };

void control_config(struct request *r)
{
	const struct config *c = r->control->config;
	struct buf text, out;

	buf_init(&text, CONFIG_TEXT_ROOM);
	buf_init(&out, CONFIG_TEXT_ROOM);
	config_show(c, true, false, &text);
	buf_add_byte(&text, '\0');
	json_open(&out, NULL, '{');
	json_number(&out, "generation", (int64_t)c->generation);
	json_str(&out, "text", (const char *)buf_view(&text).p);
	json_close(&out, '}');
	request_json(r, 200, buf_view(&out));
	buf_fini(&text);
	buf_fini(&out);
}

/* ---- reload ------------------------------------------------------------------------------- */

static void refuse(struct request *r, const struct proto_reloaded *a)
{
	struct control_problem p;
	char text[64];

	snprintf(
	    text, sizeof(text), "generation %llu is in force", (unsigned long long)a->generation);
	if (a->status == RELOAD_BUSY)
		control_problem_set(&p, 409, "reload-busy", "A reload is under way",
		    "try again when it is through: that takes a second, or five if a process does "
		    "not answer",
		    "%s, and another one is being put in its place", text);
	else
		control_problem_set(&p, 409, "nothing-to-keep", "Nothing would go back", NULL,
		    "nothing would go back: %s, and stays", text);
	request_problem(r, &p);
}

/* Of a refusal too: what there is to say is more than a problem has room for. */
static void reply(struct request *r, const struct proto_reloaded *a)
{
	struct buf out, text;

	buf_init(&out, ANSWER_ROOM);
	buf_init(&text, ANSWER_ROOM);
	buf_add_span(&text, a->text);
	buf_add_byte(&text, '\0');
	json_open(&out, NULL, '{');
	json_bool(&out, "active", a->status == RELOAD_DONE);
	json_number(&out, "generation", (int64_t)a->generation);
	json_number(&out, "took_usec", (int64_t)a->took);
	json_number(&out, "goes_back", (int64_t)a->goes_back);
	json_str(&out, "text", (const char *)buf_view(&text).p);
	json_close(&out, '}');
	request_json(r, 200, buf_view(&out));
	buf_fini(&out);
	buf_fini(&text);
}

static void answered(struct request *r, int status, struct span payload)
{
	struct proto_reloaded a;

	(void)status;
	if (proto_get_reloaded(payload, &a) < 0)
		die("control: master sent a RELOADED frame that makes no sense");
	if (a.status == RELOAD_BUSY || a.status == RELOAD_NOTHING)
		refuse(r, &a);
	else
		reply(r, &a);
}

void control_reloaded(void *arg, struct span payload)
{
	struct control *c = arg;
	struct proto_reloaded a;
	struct request *r;

	if (proto_get_reloaded(payload, &a) < 0)
		die("control: master sent a RELOADED frame that makes no sense");
	TAILQ_FOREACH(r, &c->waiting, link)
	{
		if (r->number == a.request && r->of_master) {
			control_forget(r);
			r->answered(r, 200, payload);
			return;
		}
	}
}

static void away(struct request *r)
{
	struct control_problem p;

	control_problem_set(&p, 503, "master-away", "Master cannot be asked",
	    "try again in a second", "the server ends, or has too many questions before it");
	request_problem(r, &p);
}

void control_reload(struct request *r)
{
	struct control *c = r->control;
	bool keep = r->ask.route->action == ACTION_KEEP;
	struct proto_reload want = {.request = ++c->next_request,
	    .verb = keep              ? RELOAD_KEEP
		    : r->ask.time > 0 ? RELOAD_CONFIRM
				      : RELOAD_NOW,
	    .seconds = (uint32_t)(r->ask.time / 1000000),
	    .who = span_str(r->who)};
	struct span part;
	struct buf b;
	int err = GW_ECLOSED;

	buf_init(&b, 256);
	proto_put_reload(&b, &want);
	part = buf_view(&b);
	if (c->master.ipc != NULL)
		err = ipc_send(c->master.ipc, IPC_RELOAD, &part, 1, -1);
	buf_fini(&b);
	if (err < 0) {
		away(r);
		return;
	}
	r->of_master = true;
	control_wait(r, false, want.request, answered);
}
