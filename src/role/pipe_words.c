#include "role/pipe_words.h"

#include "role/maildir.h"

enum { VALUE_MAX = 2048 };

/* ---- values ----------------------------------------------------------------------------- */

static bool begins_option(struct span s)
{
	return s.n > 0 && s.p[0] == '-';
}

/* As in a path, and no option either. */
static struct span name_of(const char *template, const struct pipe_letter *l, struct arena *a)
{
	struct buf b, out;
	struct span value = SPAN_NONE;

	buf_init(&b, VALUE_MAX);
	buf_init(&out, VALUE_MAX + 2);
	if (maildir_expand(template, l->rcpt, l->subaddress, &b) == 0) {
		value = buf_view(&b);
		buf_add_str(&out, begins_option(value) ? "%2D" : "");
		buf_add_span(&out, begins_option(value) ? span_skip(value, 1) : value);
		value = arena_dup(a, buf_view(&out));
	}
	buf_fini(&out);
	buf_fini(&b);
	return value;
}

static struct span id_of(const struct pipe_letter *l, struct arena *a)
{
	char text[MSGID_TEXT + 1];

	msgid_format(&l->id, text);
	return arena_dup(a, span_str(text));
}

/* p == NULL: this must not be given. */
static struct span value_of(
    const char *word, bool operand, const struct pipe_letter *l, struct arena *a)
{
	struct span s = SPAN_NONE;

	switch (pipe_value(word)) {
	case PIPE_USER: return name_of("%u", l, a);
	case PIPE_DOMAIN: return name_of("%d", l, a);
	case PIPE_ID: return id_of(l, a);
	case PIPE_TEXT: return span_str(word);
	case PIPE_TO: s = l->rcpt; break;
	case PIPE_FROM: s = l->from; break;
	}
	return begins_option(s) && !operand ? SPAN_NONE : arena_dup(a, s);
}

/* ---- lists ------------------------------------------------------------------------------ */

char **pipe_args(const struct pipe *p, const struct pipe_letter *l, struct arena *a)
{
	char **argv = arena_alloc(a, (p->n_arg + 1) * sizeof(*argv));
	bool operand = false;

	for (size_t i = 0; argv != NULL && i < p->n_arg; i++) {
		struct span s = value_of(p->arg[i], operand, l, a);

		/* What ends early would be another word. */
		if (s.p == NULL || memchr(s.p, 0, s.n) != NULL)
			return NULL;
		argv[i] = (char *)(uintptr_t)s.p;
		operand = operand || strcmp(p->arg[i], "--") == 0;
	}
	return argv;
}

static char *setting(struct arena *a, const char *name, struct span value)
{
	size_t n = strlen(name);
	char *s = arena_alloc(a, n + value.n + 2);

	if (s == NULL)
		return NULL;
	memcpy(s, name, n);
	s[n] = '=';
	for (size_t i = 0; i < value.n; i++)
		s[n + 1 + i] = value.p[i] == '\0' ? '?' : (char)value.p[i];
	return s;
}

char **pipe_environment(const struct pipe_user *u, const struct pipe_letter *l, struct arena *a)
{
	const struct {
		const char *name;
		struct span value;
	} rows[] = {{"PATH", SPAN("/usr/local/bin:/usr/bin:/bin")}, {"HOME", span_str(u->home)},
	    {"USER", span_str(u->name)}, {"LOGNAME", span_str(u->name)}, {"SHELL", SPAN("/bin/sh")},
	    {"LANG", SPAN("C.UTF-8")}, {"SENDER", l->from}, {"RECIPIENT", l->rcpt},
	    {"MESSAGE_ID", id_of(l, a)}};
	char **env = arena_alloc(a, (GW_ARRAY_LEN(rows) + 1) * sizeof(*env));

	for (size_t i = 0; env != NULL && i < GW_ARRAY_LEN(rows); i++) {
		env[i] = setting(a, rows[i].name, rows[i].value);
		if (env[i] == NULL)
			return NULL;
	}
	return env;
}
