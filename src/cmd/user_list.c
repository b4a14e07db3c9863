/* godwit user list. */
#include "cmd/terminal.h"
#include "cmd/user.h"

#include <jansson.h>

enum { NAME_MIN = 4, STATE = 10, LOGIN = 9, TEXT_MAX = 64 << 20, PAGE = 1 << 20 };

static json_t *array_of(const struct span *list, size_t n)
{
	json_t *j = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(j, json_stringn((const char *)list[i].p, list[i].n));
	return j;
}

static void put_word(json_t *j, const char *key, struct span word)
{
	if (word.n > 0)
		json_object_set_new(j, key, json_stringn((const char *)word.p, word.n));
}

static void json_line(const struct account *a)
{
	json_t *j = json_pack("{s:o, s:s, s:b, s:b, s:o, s:o, s:o}", "name",
	    json_stringn((const char *)a->name.p, a->name.n), "state", account_states[a->state],
	    "password", a->has_hash, "scram", a->has_scram, "as", array_of(a->as, a->n_as),
	    "header_as", array_of(a->header_as, a->n_header_as), "from",
	    array_of(a->from, a->n_from));

	put_word(j, "plan", a->plan);
	put_word(j, "tenant", a->tenant);
	if (j != NULL)
		json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

static void put_list(struct buf *out, const char *key, const struct span *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_add_str(out, i > 0 ? "," : key);
		buf_add_span(out, list[i]);
	}
}

static void text_line(const struct account *a, size_t width, struct buf *out)
{
	const char *login = a->has_scram ? "scram" : a->has_hash ? "password" : "none";

	terminal_left(out, a->name, width);
	buf_add_str(out, "  ");
	terminal_left(out, span_str(account_states[a->state]), STATE);
	buf_add_str(out, login);
	if (a->n_as + a->n_header_as + a->n_from + a->plan.n + a->tenant.n > 0)
		terminal_left(out, SPAN(""), LOGIN - strlen(login));
	put_list(out, " as=", a->as, a->n_as);
	put_list(out, " header-as=", a->header_as, a->n_header_as);
	put_list(out, " from=", a->from, a->n_from);
	put_list(out, " plan=", &a->plan, a->plan.n > 0);
	put_list(out, " tenant=", &a->tenant, a->tenant.n > 0);
	buf_add_byte(out, '\n');
}

static void text_table(const struct accounts *a, struct buf *out)
{
	size_t width = NAME_MIN, n = accounts_count(a);

	for (size_t i = 0; i < n; i++)
		width = accounts_at(a, i)->name.n > width ? accounts_at(a, i)->name.n : width;
	terminal_left(out, SPAN("NAME"), width);
	buf_add_str(out, "  STATE     LOGIN\n");
	for (size_t i = 0; i < n; i++) {
		text_line(accounts_at(a, i), width, out);
		if (buf_len(out) > PAGE)
			terminal_print(out);
	}
}

int user_list(const struct user_options *o)
{
	struct user_file f;
	struct buf out;
	int code = user_open(o, &f, false);

	buf_init(&out, TEXT_MAX);
	if (code == CMD_OK && o->g.json) {
		for (size_t i = 0; i < accounts_count(f.accounts); i++)
			json_line(accounts_at(f.accounts, i));
	} else if (code == CMD_OK) {
		text_table(f.accounts, &out);
		terminal_print(&out);
	}
	buf_fini(&out);
	user_file_close(&f);
	return code;
}
