/* "pipe": a program that mail is given to. */
#include "base/clock.h"
#include "config/show.h"
#include "config/words.h"

#include <stdio.h>

enum { ARGS_MAX = 64, COMMAND_MAX = 4096 };

static const char *const values[] = {[PIPE_USER] = "%u",
    [PIPE_DOMAIN] = "%d",
    [PIPE_TO] = "%to",
    [PIPE_FROM] = "%from",
    [PIPE_ID] = "%id"};

enum pipe_value pipe_value(const char *word)
{
	enum pipe_value v = 0;

	while (v < PIPE_TEXT && strcmp(word, values[v]) != 0)
		v++;
	return v;
}

static bool read_limit(struct builder *b, const struct word **w, struct pipe *p)
{
	static const struct option timeout = {
	    .name = "timeout", .min = USEC_PER_SEC, .max = 3600LL * USEC_PER_SEC};
	static const struct option memory = {.name = "memory", .min = 16 << 20, .max = 1LL << 40};
	uint64_t n;

	if (words_is(*w, "timeout")) {
		if (!value_number(&b->v, &timeout, TYPE_DURATION, (*w)->next, &n))
			return false;
		p->timeout = (int64_t)n;
		return true;
	}
	return value_number(&b->v, &memory, TYPE_SIZE, (*w)->next, &p->memory);
}

/* What is none of these words is mostly a program without its path. */
static bool choose_way(
    struct builder *b, const struct word *w, const char *const *ways, size_t n, size_t *way)
{
	bool near = nearest_word(span_str(w->text), ways, n) != NULL;

	for (*way = 0; *way < n; ++*way) {
		if (words_is(w, ways[*way]))
			return true;
	}
	words_bad_hint(b, w, ways, n,
	    near ? NULL : textf(b->r, "write the program with its path: /usr/bin/%s", w->text));
	return false;
}

/* user NAME, timeout DURATION, memory SIZE; each once. */
static bool read_ways(
    struct builder *b, const struct option *row, const struct word **w, struct pipe *p)
{
	static const char *const ways[] = {"user", "timeout", "memory"};
	static const struct option user = {.name = "user", .type = TYPE_USER};
	struct place seen[GW_ARRAY_LEN(ways)] = {{0}};
	char first[PLACE_TEXT];
	size_t way;

	while ((*w)->text[0] != '/') {
		if (!choose_way(b, *w, ways, GW_ARRAY_LEN(ways), &way) || !words_next(b, row, *w))
			return false;
		if (seen[way].line > 0) {
			report(b->r, CE_DUPLICATE, *w, NULL, (*w)->text,
			    place_text(&seen[way], first));
			return false;
		}
		seen[way] = (*w)->place;
		if (way == 0) {
			p->user = value_text(&b->v, &user, (*w)->next);
			if (p->user == NULL)
				return false;
		} else if (!read_limit(b, w, p)) {
			return false;
		}
		if (!words_next(b, row, (*w)->next))
			return false;
		*w = (*w)->next->next;
	}
	return true;
}

/* A value is a whole word: nothing that stands before it gives it another meaning. */
static bool read_args(struct builder *b, const struct word *w, struct pipe *p)
{
	const char **arg = must_alloc(&b->c->arena, words_count(w) * sizeof(*arg));
	char most[16];

	p->arg = arg;
	for (; w != NULL; w = w->next) {
		if (p->n_arg == ARGS_MAX) {
			snprintf(most, sizeof(most), "%d", ARGS_MAX);
			report(b->r, CE_MANY, w, NULL, most, "words");
			return false;
		}
		if (strchr(w->text, '%') != NULL && pipe_value(w->text) == PIPE_TEXT) {
			report(b->r, CE_PIPE_VALUE, w, NULL, w->text);
			return false;
		}
		arg[p->n_arg++] = must_dup(&b->c->arena, span_str(w->text));
	}
	return true;
}

void pipe_command(const struct pipe *p, struct buf *out)
{
	if (p->user != NULL)
		buf_addf(out, "user %s ", p->user);
	buf_add_str(out, "timeout ");
	format_duration(p->timeout, out);
	buf_add_str(out, " memory ");
	format_size(p->memory, out);
	for (size_t i = 0; i < p->n_arg; i++) {
		buf_add_byte(out, ' ');
		text_word(out, span_str(p->arg[i]));
	}
}

bool words_pipe(struct builder *b, const struct option *row, const struct word *w, struct target *t)
{
	struct pipe *p = must_alloc(&b->c->arena, sizeof(*p));
	char most[16];
	struct buf text;

	*p = (struct pipe){.timeout = 300LL * USEC_PER_SEC, .memory = 512 << 20};
	if (!read_ways(b, row, &w, p) || value_path(&b->v, w) == NULL || !read_args(b, w, p))
		return false;
	t->pipe = p;
	buf_init(&text, COMMAND_MAX);
	pipe_command(p, &text);
	if (buf_failed(&text)) {
		snprintf(most, sizeof(most), "%d", COMMAND_MAX);
		report(b->r, CE_MANY, w, NULL, most, "octets");
	} else {
		t->path = must_dup(&b->c->arena, buf_view(&text));
	}
	buf_fini(&text);
	return t->path != NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool pipe_same(const struct pipe *a, const struct pipe *b)
{
	if (!same_text(a->user, b->user) || a->timeout != b->timeout || a->memory != b->memory ||
	    a->n_arg != b->n_arg)
		return false;
	for (size_t i = 0; i < a->n_arg; i++) {
		if (strcmp(a->arg[i], b->arg[i]) != 0)
			return false;
	}
	return true;
}
