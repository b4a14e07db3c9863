/*
 * godwit user suspend, activate, close, plan, tenant: what is known of an account, but its
 * password.
 */
#include "cmd/user.h"

#include <stddef.h>

/* ---- states ---- */

/* Was this comment made by us, at an earlier change of the state? */
static bool is_reason(struct span comment)
{
	char start[32];

	for (size_t i = 0; i < ACCOUNT_STATES; i++) {
		snprintf(start, sizeof(start), "# %s: ", account_states[i]);
		if (span_starts(comment, span_str(start)))
			return true;
	}
	return false;
}

/* The reason stands behind the account as a comment: "# suspended: did not pay". */
static int read_reason(const struct user_options *o, enum account_state state, struct buf *out)
{
	struct span reason = o->reason != NULL ? span_str(o->reason) : SPAN_NONE;

	for (size_t i = 0; i < reason.n; i++) {
		if (reason.p[i] < ' ' || reason.p[i] == 0x7f)
			return flags_usage(o->verb, "--reason is one line of text");
	}
	if (o->reason == NULL)
		return CMD_OK;
	buf_addf(out, "# %s: ", account_states[state]);
	buf_add_span(out, reason);
	return buf_failed(out) ? flags_usage(o->verb, "--reason has 1000 octets at most") : CMD_OK;
}

/* An old reason goes, what people wrote there stays. */
static struct span new_comment(const struct user_file *f, unsigned line, const struct buf *reason)
{
	if (buf_len(reason) == 0 && is_reason(user_file_comment(f, line)))
		return SPAN("");
	return buf_view(reason);
}

static int set_state(const struct user_options *o, const char *name, enum account_state state)
{
	struct account a;
	struct user_file f;
	struct buf reason;
	int code;

	buf_init(&reason, 1020);
	code = read_reason(o, state, &reason);
	if (code == CMD_OK) {
		code = user_open(o, &f, true);
		if (code == CMD_OK)
			code = user_find(o, &f, name, &a);
		if (code == CMD_OK) {
			a.state = state;
			code = user_put(&f, a.line, &a, new_comment(&f, a.line, &reason));
		}
		user_file_close(&f);
	}
	if (code == CMD_OK)
		user_say(o, "account %s: %s", name, account_states[state]);
	buf_fini(&reason);
	return code;
}

int user_suspend(const struct user_options *o, char **word)
{
	return set_state(o, word[0], ACCOUNT_SUSPENDED);
}

int user_activate(const struct user_options *o, char **word)
{
	return set_state(o, word[0], ACCOUNT_ACTIVE);
}

int user_close(const struct user_options *o, char **word)
{
	return set_state(o, word[0], ACCOUNT_CLOSED);
}

/* ---- plans and tenants ---- */

/* Changes one word of an account; "none" takes it away. */
static int set_word(const struct user_options *o, const char *key, char **word, size_t field)
{
	bool none = strcmp(word[1], "none") == 0;
	struct span value = none ? SPAN_NONE : span_str(word[1]);
	const char *why = none ? NULL : account_word_fault(value);
	struct account a;
	struct user_file f;
	int code;

	if (why != NULL)
		return flags_usage(o->verb, "\"%s\": %s", word[1], why);
	code = user_open(o, &f, true);
	if (code == CMD_OK)
		code = user_find(o, &f, word[0], &a);
	if (code == CMD_OK) {
		*(struct span *)((uint8_t *)&a + field) = value;
		code = user_put(&f, a.line, &a, SPAN_NONE);
	}
	user_file_close(&f);
	if (code == CMD_OK)
		user_say(o, "account %s: %s %s", word[0], key, word[1]);
	return code;
}

int user_plan(const struct user_options *o, char **word)
{
	struct user_options with_plan = *o;

	with_plan.plan = strcmp(word[1], "none") == 0 ? NULL : word[1];
	return set_word(&with_plan, "plan", word, offsetof(struct account, plan));
}

int user_tenant(const struct user_options *o, char **word)
{
	return set_word(o, "tenant", word, offsetof(struct account, tenant));
}
