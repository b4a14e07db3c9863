/* The JSON form of an envelope, from one table for both ways. */
#include "cmd/spool.h"

#include "base/cursor.h"

#include <stdlib.h>

const char *const spool_outcomes[OUTCOME_MAX + 1] = {
    [OUTCOME_NONE] = "waiting",
    [OUTCOME_DELIVERED] = "delivered",
    [OUTCOME_DEFERRED] = "deferred",
    [OUTCOME_FAILED] = "failed",
    [OUTCOME_EXPIRED] = "expired",
    [OUTCOME_DROPPED] = "dropped",
    [OUTCOME_MAYBE] = "maybe",
    [OUTCOME_HELD] = "held",
    [OUTCOME_UNTOLD] = "untold",
    [OUTCOME_EXPANDED] = "expanded",
};

static const char *const origins[] = {"smtp", "local", "api", "system", NULL};
static const char *const body_types[] = {"7bit", "8bitmime", "binarymime", NULL};
static const char *const modes[] = {"none", "return", "notify", NULL};
static const char *const rets[] = {"unset", "full", "hdrs", NULL};

enum kind { KIND_TEXT, KIND_ID, KIND_I64, KIND_U64, KIND_U32, KIND_U8, KIND_BOOL, KIND_WORD };

static const struct row {
	const char *name;
	enum kind kind;
	size_t at;
	const char *const *word;
} rows[] = {
#define ROW(name, kind, field, words) \
	{ \
		name, kind, offsetof(struct envelope, field), words \
	}
    ROW("nonce", KIND_ID, nonce, NULL),
    ROW("accepted", KIND_I64, accepted, NULL),
    ROW("from", KIND_TEXT, from, NULL),
    ROW("tenant", KIND_TEXT, tenant, NULL),
    ROW("account", KIND_TEXT, account, NULL),
    ROW("ticket", KIND_TEXT, ticket, NULL),
    ROW("priority", KIND_U8, priority, NULL),
    ROW("vmta", KIND_TEXT, vmta, NULL),
    ROW("site", KIND_TEXT, site, NULL),
    ROW("idempotency_key", KIND_TEXT, idempotency_key, NULL),
    ROW("envid", KIND_TEXT, envid, NULL),
    ROW("ret", KIND_WORD, ret, rets),
    ROW("body_type", KIND_WORD, body_type, body_types),
    ROW("smtputf8", KIND_BOOL, smtputf8, NULL),
    ROW("require_tls", KIND_BOOL, handling.require_tls, NULL),
    ROW("tls_optional", KIND_BOOL, handling.tls_optional, NULL),
    ROW("by", KIND_WORD, handling.by, modes),
    ROW("by_at", KIND_I64, handling.by_at, NULL),
    ROW("by_trace", KIND_BOOL, handling.by_trace, NULL),
    ROW("mt_priority", KIND_U32, handling.mt_priority, NULL),
    ROW("hold_until", KIND_I64, handling.hold_until, NULL),
    ROW("at_most_once", KIND_BOOL, at_most_once, NULL),
    ROW("origin", KIND_WORD, origin, origins),
    ROW("client_ip", KIND_TEXT, client_ip, NULL),
    ROW("client_helo", KIND_TEXT, client_helo, NULL),
    ROW("listener", KIND_TEXT, listener, NULL),
    ROW("head_length", KIND_U32, head_length, NULL),
    ROW("size", KIND_U64, facts.size, NULL),
    ROW("lines", KIND_U32, facts.lines, NULL),
    ROW("longest_line", KIND_U32, facts.longest_line, NULL),
    ROW("eight_bit", KIND_BOOL, facts.eight_bit, NULL),
    ROW("nul", KIND_BOOL, facts.nul, NULL),
    ROW("bare_cr", KIND_BOOL, facts.bare_cr, NULL),
    ROW("bare_lf", KIND_BOOL, facts.bare_lf, NULL),
    ROW("open_end", KIND_BOOL, facts.open_end, NULL),
#undef ROW
};

/* ---- text ------------------------------------------------------------------------------------ */

json_t *spool_text_json(struct span s)
{
	static const char digits[] = "0123456789abcdef";
	json_t *text = json_stringn(s.n ? (const char *)s.p : "", s.n);

	if (text != NULL)
		return text;
	char *hex = calloc(2, s.n + 1);
	for (size_t i = 0; hex != NULL && i < s.n; i++) {
		hex[2 * i] = digits[s.p[i] >> 4];
		hex[2 * i + 1] = digits[s.p[i] & 15];
	}
	text = json_pack("{s:s}", "hex", hex ? hex : "");
	free(hex);
	return text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *hex, size_t n, struct arena *a, struct span *out)
{
	uint8_t *to = arena_alloc(a, n / 2 + 1);

	for (size_t i = 0; to != NULL && i + 1 < n; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i / 2] = (uint8_t)(high << 4 | low);
	}
	*out = span_of(to, n / 2);
	return to != NULL && n % 2 == 0;
}

bool spool_text_read(const json_t *value, struct arena *a, struct span *out)
{
	const json_t *hex = json_object_get(value, "hex");

	*out = SPAN_NONE;
	if (value == NULL)
		return true;
	if (json_is_string(hex))
		return read_hex(json_string_value(hex), json_string_length(hex), a, out);
	if (!json_is_string(value))
		return false;
	*out = span_of(json_string_value(value), json_string_length(value));
	return true;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static json_t *row_json(const struct row *row, const void *field)
{
	char id[MSGID_TEXT + 1];

	switch (row->kind) {
	case KIND_TEXT: return spool_text_json(*(const struct span *)field);
	case KIND_ID: msgid_format(field, id); return json_string(id);
	case KIND_I64: return json_integer(*(const int64_t *)field);
	case KIND_U64: return json_integer((json_int_t) * (const uint64_t *)field);
	case KIND_U32: return json_integer(*(const uint32_t *)field);
	case KIND_U8: return json_integer(*(const uint8_t *)field);
	case KIND_BOOL: return json_boolean(*(const bool *)field);
	case KIND_WORD: return json_string(row->word[*(const unsigned *)field]);
	}
	return NULL;
}

static bool read_word(const struct row *row, const json_t *value, unsigned *to)
{
	const char *text = json_string_value(value);

	for (unsigned i = 0; text != NULL && row->word[i] != NULL; i++) {
		if (strcmp(row->word[i], text) == 0) {
			*to = i;
			return true;
		}
	}
	return false;
}

static bool read_number(const struct row *row, const json_t *value, void *to)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || (n < 0 && row->kind != KIND_I64))
		return false;
	switch (row->kind) {
	case KIND_I64: *(int64_t *)to = n; return true;
	case KIND_U64: *(uint64_t *)to = (uint64_t)n; return true;
	case KIND_U32: *(uint32_t *)to = (uint32_t)n; return n <= UINT32_MAX;
	default: *(uint8_t *)to = (uint8_t)n; return n <= UINT8_MAX;
	}
}

/* A row that is missing has its zero value. */
static bool read_row(const struct row *row, const json_t *value, struct arena *a, void *to)
{
	if (value == NULL)
		return true;
	switch (row->kind) {
	case KIND_TEXT: return spool_text_read(value, a, to);
	case KIND_ID:
		return json_is_string(value) &&
		       msgid_parse(span_str(json_string_value(value)), to) == 0;
	case KIND_BOOL: *(bool *)to = json_is_true(value); return json_is_boolean(value);
	case KIND_WORD: return read_word(row, value, to);
	default: return read_number(row, value, to);
	}
}

/* ---- the envelope ---------------------------------------------------------------------------- */

static json_t *recipient_json(const struct rcpt *r)
{
	return json_pack("{s:o, s:o, s:i, s:o, s:b}", "address", spool_text_json(r->addr), "orcpt",
	    spool_text_json(r->orcpt), "notify", (int)r->notify, "from", spool_text_json(r->from),
	    "kept", (int)r->kept);
}

json_t *spool_envelope_json(const struct envelope *e)
{
	json_t *out = json_object(), *rcpt = json_array(), *tags = json_array();
	char id[MSGID_TEXT + 1];

	msgid_format(&e->id, id);
	json_object_set_new(out, "id", json_string(id));
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		json_object_set_new(
		    out, rows[i].name, row_json(&rows[i], (const uint8_t *)e + rows[i].at));
	for (size_t i = 0; i < e->n_tag; i++)
		json_array_append_new(tags, spool_text_json(e->tag[i]));
	for (size_t i = 0; i < e->n_rcpt; i++)
		json_array_append_new(rcpt, recipient_json(&e->rcpt[i]));
	json_object_set_new(out, "tags", tags);
	json_object_set_new(out, "recipients", rcpt);
	return out;
}

static bool read_recipient(const json_t *object, struct arena *a, struct rcpt *r)
{
	const json_t *notify = json_object_get(object, "notify"),
		     *from = json_object_get(object, "from");
	json_int_t n = json_integer_value(notify);

	r->notify = (uint8_t)n;
	r->from = SPAN_NONE;
	r->kept = json_is_true(json_object_get(object, "kept"));
	if (from != NULL && !spool_text_read(from, a, &r->from)) /* older files have none */
		return false;
	return spool_text_read(json_object_get(object, "address"), a, &r->addr) && r->addr.n > 0 &&
	       spool_text_read(json_object_get(object, "orcpt"), a, &r->orcpt) && n >= 0 &&
	       n <= UINT8_MAX;
}

static bool read_recipients(const json_t *list, struct arena *a, struct envelope *e)
{
	size_t n = json_array_size(list);
	struct rcpt *rcpt =
	    n > 0 && n <= ENVELOPE_RCPT_MAX ? arena_alloc(a, n * sizeof(*rcpt)) : NULL;

	for (size_t i = 0; rcpt != NULL && i < n; i++) {
		if (!read_recipient(json_array_get(list, i), a, &rcpt[i]))
			return false;
	}
	e->rcpt = rcpt;
	e->n_rcpt = n;
	return rcpt != NULL;
}

static bool read_tags(const json_t *list, struct arena *a, struct envelope *e)
{
	size_t n = json_array_size(list);
	struct span *tag = arena_alloc(a, (n + 1) * sizeof(*tag));

	for (size_t i = 0; tag != NULL && i < n; i++) {
		if (!spool_text_read(json_array_get(list, i), a, &tag[i]))
			return false;
	}
	e->tag = tag;
	e->n_tag = n;
	return tag != NULL;
}

int spool_envelope_read(
    const json_t *object, struct arena *a, struct envelope *e, const char **what)
{
	const char *id = json_string_value(json_object_get(object, "id"));

	*e = (struct envelope){.n_rcpt = 0};
	*what = "id";
	if (id == NULL || msgid_parse(span_str(id), &e->id) != 0)
		return GW_EFORMAT;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		const json_t *value = json_object_get(object, rows[i].name);

		*what = rows[i].name;
		if (!read_row(&rows[i], value, a, (uint8_t *)e + rows[i].at))
			return GW_EFORMAT;
	}
	*what = "tags";
	if (!read_tags(json_object_get(object, "tags"), a, e))
		return GW_EFORMAT;
	*what = "recipients";
	return read_recipients(json_object_get(object, "recipients"), a, e) ? 0 : GW_EFORMAT;
}
