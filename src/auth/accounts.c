/* The table of accounts. */
#include "auth/accounts-private.h"

#include <stdio.h>
#include <stdlib.h>

struct accounts {
	uint8_t *text; /* the file; names and hashes point into it */
	size_t n_text;
	struct account *row;
	uint32_t *order; /* of the rows, by name */
	size_t n;
	bool all_scram;
	struct arena keep;
};

static int name_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower(a.p[i]) - ascii_lower(b.p[i]);

		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static int order_cmp(const void *a, const void *b, void *arg)
{
	const struct account *row = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return name_cmp(row[x].name, row[y].name);
}

static struct span next_line(struct span *rest)
{
	ptrdiff_t at = span_find(*rest, '\n');
	struct span line = at < 0 ? *rest : span_first(*rest, (size_t)at);

	*rest = at < 0 ? SPAN_NONE : span_skip(*rest, (size_t)at + 1);
	return line;
}

static bool says_something(struct span line)
{
	return account_field(&line).n > 0;
}

static size_t count_lines(struct span text)
{
	size_t n = 0;

	while (text.n > 0)
		n += says_something(next_line(&text));
	return n;
}

static int read_rows(struct accounts *a, struct accounts_error *e)
{
	struct span rest = span_of(a->text, a->n_text);

	for (uint32_t number = 1; rest.n > 0; number++) {
		struct span line = next_line(&rest);
		struct account *row = &a->row[a->n];
		int err;

		if (!says_something(line))
			continue;
		e->line = number;
		err = account_parse(line, &a->keep, row, e);
		if (err < 0)
			return err;
		row->line = number;
		a->order[a->n] = (uint32_t)a->n;
		a->n++;
	}
	return 0;
}

static bool is_sorted(const struct accounts *a)
{
	for (size_t i = 1; i < a->n; i++) {
		if (name_cmp(a->row[i - 1].name, a->row[i].name) >= 0)
			return false;
	}
	return true;
}

/* Sorts the look-up table; each name is there once. */
static int put_in_order(struct accounts *a, struct accounts_error *e)
{
	if (is_sorted(a))
		return 0;
	qsort_r(a->order, a->n, sizeof(*a->order), order_cmp, a->row);
	for (size_t i = 1; i < a->n; i++) {
		const struct account *x = &a->row[a->order[i - 1]], *y = &a->row[a->order[i]];

		if (name_cmp(x->name, y->name) != 0)
			continue;
		e->line = x->line > y->line ? x->line : y->line;
		snprintf(e->text, sizeof(e->text),
		    "the account \"%.*s\" is there already, in line %u",
		    SPAN_ARG(span_first(y->name, 100)), x->line < y->line ? x->line : y->line);
		return GW_EFORMAT;
	}
	return 0;
}

static bool judge_scram(const struct accounts *a)
{
	bool some = false;

	for (size_t i = 0; i < a->n; i++) {
		const struct account *x = &a->row[i];

		if (x->state != ACCOUNT_ACTIVE)
			continue;
		if (x->has_hash && !x->has_scram)
			return false;
		some = some || x->has_scram;
	}
	return some;
}

static int fill(struct accounts *a, struct span text, struct accounts_error *e)
{
	size_t lines = count_lines(text);
	int err;

	if (lines > ACCOUNTS_MAX) {
		snprintf(e->text, sizeof(e->text), "there are more than %d accounts", ACCOUNTS_MAX);
		return GW_EFULL;
	}
	a->text = gw_calloc(1, text.n + 1);
	a->n_text = text.n;
	if (text.n > 0)
		memcpy(a->text, text.p, text.n);
	a->row = gw_calloc(lines + 1, sizeof(*a->row));
	a->order = gw_calloc(lines + 1, sizeof(*a->order));
	err = read_rows(a, e);
	if (err == 0)
		err = put_in_order(a, e);
	a->all_scram = judge_scram(a);
	return err;
}

struct accounts *accounts_parse(struct span text, struct accounts_error *e)
{
	struct accounts *a = gw_calloc(1, sizeof(*a));

	*e = (struct accounts_error){.line = 0};
	arena_init(&a->keep, ACCOUNTS_TEXT_MAX);
	if (text.n > ACCOUNTS_TEXT_MAX) {
		snprintf(e->text, sizeof(e->text), "the file is larger than 512 megabytes");
		accounts_free(&a);
	} else if (fill(a, text, e) < 0) {
		accounts_free(&a);
	}
	return a;
}

/* The bytes are the arena's own, lent out as const. */
static void wipe_scram(const struct scram_verifier *v)
{
	explicit_bzero((void *)v->salt.p, v->salt.n);
	explicit_bzero((void *)v, sizeof(*v));
}

void accounts_free(struct accounts **pa)
{
	struct accounts *a = *pa;

	if (a == NULL)
		return;
	/* One more: a line that could not be read to its end has a row too. */
	for (size_t i = 0; a->row != NULL && i <= a->n; i++) {
		if (a->row[i].scram != NULL)
			wipe_scram(a->row[i].scram);
	}
	arena_reset(&a->keep);
	if (a->text != NULL)
		explicit_bzero(a->text, a->n_text);
	free(a->text);
	free(a->row);
	free(a->order);
	free(a);
	*pa = NULL;
}

size_t accounts_count(const struct accounts *a)
{
	return a != NULL ? a->n : 0;
}

const struct account *accounts_at(const struct accounts *a, size_t i)
{
	return i < accounts_count(a) ? &a->row[i] : NULL;
}

const struct account *accounts_find(const struct accounts *a, struct span name)
{
	size_t low = 0, high = accounts_count(a);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct account *x = &a->row[a->order[middle]];
		int d = name_cmp(name, x->name);

		if (d == 0)
			return x;
		if (d < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool accounts_all_scram(const struct accounts *a)
{
	return a != NULL && a->all_scram;
}

void accounts_public(const struct accounts *a, struct buf *out)
{
	/* In order: who reads it needs not sort. */
	for (size_t i = 0; i < accounts_count(a); i++)
		account_format(&a->row[a->order[i]], false, out);
}
