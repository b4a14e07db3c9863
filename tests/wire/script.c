#include "script.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 20, SCRIPT_STEPS = 1000 };

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at;

	at = c ? strchr(digits, ascii_lower((uint8_t)c)) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* One escape behind the backslash: moves *p behind it; false if it is none. */
static bool unescape_one(const char **p, struct buf *out)
{
	static const char names[] = "rnt0\\", octets[] = "\r\n\t\0\\";
	const char *at = **p ? strchr(names, **p) : NULL;
	int high, low;

	if (at) {
		buf_add_byte(out, (uint8_t)octets[at - names]);
		(*p)++;
		return true;
	}
	if (**p != 'x' || (high = hex((*p)[1])) < 0 || (low = hex((*p)[2])) < 0)
		return false;
	buf_add_byte(out, (uint8_t)(high * 16 + low));
	*p += 3;
	return true;
}

static bool unescape(const char *p, struct buf *out)
{
	while (*p) {
		if (*p != '\\')
			buf_add_byte(out, (uint8_t)*p++);
		else if (p++, !unescape_one(&p, out))
			return false;
	}
	return !buf_failed(out);
}

/* "* N " behind the letter: how often; 1 if it is not there. */
static size_t take_times(const char **p)
{
	char *end;
	size_t n;

	if (**p != '*')
		return 1;
	n = strtoul(*p + 1, &end, 10);
	*p = end;
	return n;
}

/* "C: text"  "C- raw"  "C* 10 text"  "C-* 10 raw" */
static bool read_send(struct step *st, const char *p)
{
	bool raw = *p == '-';

	st->type = STEP_SEND;
	p += raw || *p == ':';
	st->times = take_times(&p);
	p += *p == ' ';
	return unescape(p, &st->text) && st->times > 0 &&
	       (raw || buf_add_str(&st->text, "\r\n") == 0);
}

/* "S: prefix"  "S: /regex/"  "S* 10 prefix"  "S: EOF"; the same with R */
static bool read_expect(struct step *st, const char *p)
{
	size_t n;

	st->type = STEP_EXPECT;
	p += *p == ':';
	st->times = take_times(&p);
	p += *p == ' ';
	n = strlen(p);
	if (strcmp(p, "EOF") == 0)
		st->type = STEP_EOF;
	st->regex = n > 1 && p[0] == '/' && p[n - 1] == '/';
	if (!st->regex)
		return unescape(p, &st->text) && st->times > 0;
	return buf_add(&st->text, p + 1, n - 2) == 0 && buf_add_byte(&st->text, 0) == 0;
}

static bool read_time(struct step *st, const char *p)
{
	double seconds;

	st->type = STEP_TIME;
	if (sscanf(p, ": +%lfs", &seconds) != 1)
		return false;
	st->time = (int64_t)(seconds * 1e6);
	return true;
}

static bool read_result(struct step *st, const char *p)
{
	st->type = STEP_ACCEPTED;
	if (strcmp(p, ": nothing") == 0)
		return true;
	if (sscanf(p, ": accepted %zu", &st->times) == 1)
		return true;
	st->type = strncmp(p, ": envelope ", 11) == 0 ? STEP_ENVELOPE : STEP_CONTENT;
	if (st->type == STEP_ENVELOPE)
		return unescape(p + 11, &st->text);
	return strncmp(p, ": content ", 10) == 0 && unescape(p + 10, &st->text);
}

static bool read_line(struct script *s, const char *p, unsigned line)
{
	struct step *st = &s->step[s->n];

	if (*p == '#' || *p == '\0')
		return true;
	if (strcmp(p, "mode: lockstep") == 0)
		return s->lockstep = true;
	if (strcmp(p, "mode: engine") == 0)
		return s->engine_only = true;
	if (strcmp(p, "mode: odmr") == 0)
		return s->odmr = true;
	if (strcmp(p, "mode: submission") == 0)
		return s->submission = true;
	if (strcmp(p, "mode: lmtp") == 0)
		return s->lmtp = true;
	if (strcmp(p, "mode: xclient") == 0)
		return s->xclient = true;
	if (strcmp(p, "mode: xclient-login") == 0)
		return s->xclient = s->xclient_login = true;
	if (s->n == SCRIPT_STEPS)
		return false;
	*st = (struct step){.line = line};
	buf_init(&st->text, TEXT_MAX);
	s->n++;
	switch (*p) {
	case 'C': return read_send(st, p + 1);
	case 'S': return read_expect(st, p + 1);
	case 'R': st->whole = true; return read_expect(st, p + 1);
	case 'T': return read_time(st, p + 1) && s->engine_only;
	case 'E': return read_result(st, p + 1);
	case 'H': st->type = STEP_TLS; return strcmp(p, "H: tls") == 0;
	default: return false;
	}
}

int script_read(struct script *s, const char *path)
{
	char text[8192];
	FILE *f = fopen(path, "r");
	unsigned line = 0;
	bool ok = f != NULL;

	*s = (struct script){.path = path, .step = gw_calloc(SCRIPT_STEPS, sizeof(struct step))};
	while (ok && fgets(text, sizeof(text), f)) {
		text[strcspn(text, "\n")] = '\0';
		ok = read_line(s, text, ++line);
	}
	if (!ok || s->n == 0)
		fprintf(stderr, "%s:%u: not understood\n", path, line);
	if (f)
		fclose(f);
	return ok && s->n ? 0 : -1;
}

void script_free(struct script *s)
{
	for (size_t i = 0; i < s->n; i++)
		buf_fini(&s->step[i].text);
	free(s->step);
}

bool step_matches(const struct step *st, const char *line)
{
	struct span want = buf_view(&st->text);
	regex_t re;
	bool match;

	if (!st->regex)
		return span_starts(span_str(line), want);
	if (regcomp(&re, (const char *)want.p, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	match = regexec(&re, line, 0, NULL, 0) == 0;
	regfree(&re);
	return match;
}
