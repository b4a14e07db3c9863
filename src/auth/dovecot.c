#include "auth/dovecot.h"

#include "base/base64.h"

enum { ESCAPE = 1 };

/* ---- reading --------------------------------------------------------------------------------- */

/* The next word of the line; false at its end. */
static bool next_word(struct span *line, struct span *word)
{
	ptrdiff_t at;

	if (line->p == NULL)
		return false;
	at = span_find(*line, '\t');
	*word = at < 0 ? *line : span_first(*line, (size_t)at);
	*line = at < 0 ? SPAN_NONE : span_skip(*line, (size_t)at + 1);
	return true;
}

static int unescape(struct span in, struct buf *out)
{
	static const char said[] = "01tnr", meant[] = {'\0', ESCAPE, '\t', '\n', '\r'};

	for (size_t i = 0; i < in.n; i++) {
		const char *found;

		if (in.p[i] != ESCAPE) {
			buf_add_byte(out, in.p[i]);
			continue;
		}
		found = ++i < in.n && in.p[i] != '\0' ? strchr(said, in.p[i]) : NULL;
		if (found == NULL)
			return GW_EFORMAT;
		buf_add_byte(out, (uint8_t)meant[found - said]);
	}
	return buf_failed(out) ? GW_EFORMAT : 0;
}

/* A name: nothing that cannot be seen, as it goes into logs and the envelope. */
static int read_user(struct span in, struct buf *room, struct dovecot_line *out)
{
	struct span user;

	buf_clear(room);
	if (in.n > 2 * DOVECOT_NAME_MAX || unescape(in, room) < 0)
		return GW_EFORMAT;
	user = buf_view(room);
	for (size_t i = 0; i < user.n; i++) {
		if (user.p[i] < ' ' || user.p[i] == 0x7f)
			return GW_EFORMAT;
	}
	if (user.n > DOVECOT_NAME_MAX)
		return GW_EFORMAT;
	out->user = user;
	return 0;
}

static int read_number(struct span word, uint64_t least, uint64_t most, uint64_t *n)
{
	return span_to_u64(word, n) == 0 && *n >= least && *n <= most ? 0 : GW_EFORMAT;
}

static bool is_value(struct span word, struct span name, struct span *value)
{
	if (!span_starts(word, name))
		return false;
	*value = span_skip(word, name.n);
	return true;
}

static int read_fields(struct span line, struct buf *room, struct dovecot_line *out)
{
	struct span word, value;

	while (next_word(&line, &word)) {
		if (is_value(word, SPAN("user="), &value)) {
			if (read_user(value, room, out) < 0)
				return GW_EFORMAT;
		} else if (span_eq(word, SPAN("temp")) || span_eq(word, SPAN("code=temp_fail"))) {
			out->temporary = true;
		} else if (span_eq(word, SPAN("nologin"))) {
			out->nologin = true;
		} else if (span_eq(word, SPAN("user_disabled")) ||
			   span_eq(word, SPAN("code=user_disabled")) ||
			   span_eq(word, SPAN("pass_expired")) ||
			   span_eq(word, SPAN("code=pass_expired"))) {
			out->disabled = true;
		}
	}
	return out->word == DOVECOT_OK && out->user.n == 0 ? GW_EFORMAT : 0;
}

/* What comes with a number. */
static int read_answer(struct span line, struct buf *room, struct dovecot_line *out)
{
	struct span word;
	uint64_t id;

	if (!next_word(&line, &word) || read_number(word, 1, UINT32_MAX, &id) < 0)
		return GW_EFORMAT;
	out->id = (uint32_t)id;
	if (out->word == DOVECOT_USER)
		return next_word(&line, &word) ? read_user(word, room, out) : GW_EFORMAT;
	return out->word == DOVECOT_OK || out->word == DOVECOT_FAIL ? read_fields(line, room, out)
								    : 0;
}

static int read_version(struct span line, struct dovecot_line *out)
{
	struct span word;
	uint64_t n;

	if (!next_word(&line, &word) || read_number(word, 0, 1000, &n) < 0)
		return GW_EFORMAT;
	out->major = (unsigned)n;
	return 0;
}

int dovecot_read(struct span line, struct buf *room, struct dovecot_line *out)
{
	static const struct {
		struct span name;
		enum dovecot_word word;
	} words[] = {{SPAN("VERSION"), DOVECOT_VERSION}, {SPAN("MECH"), DOVECOT_MECH},
	    {SPAN("DONE"), DOVECOT_DONE}, {SPAN("OK"), DOVECOT_OK}, {SPAN("FAIL"), DOVECOT_FAIL},
	    {SPAN("CONT"), DOVECOT_CONT}, {SPAN("USER"), DOVECOT_USER},
	    {SPAN("NOTFOUND"), DOVECOT_NOTFOUND}};
	struct span word;

	*out = (struct dovecot_line){.word = DOVECOT_OTHER};
	if (line.n == 0 || line.n >= DOVECOT_LINE_MAX || !next_word(&line, &word))
		return GW_EFORMAT;
	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (span_eq(word, words[i].name))
			out->word = words[i].word;
	}
	switch (out->word) {
	case DOVECOT_OTHER:
	case DOVECOT_DONE: return 0;
	case DOVECOT_VERSION: return read_version(line, out);
	case DOVECOT_MECH:
		out->plain = next_word(&line, &word) && span_eq_case(word, SPAN("PLAIN"));
		return 0;
	default: return read_answer(line, room, out);
	}
}

/* ---- saying ---------------------------------------------------------------------------------- */

void dovecot_put_hello(struct buf *out, uint32_t pid)
{
	buf_addf(out, "VERSION\t%d\t1\n", DOVECOT_MAJOR);
	if (pid > 0)
		buf_addf(out, "CPID\t%u\n", pid);
}

static void put_escaped(struct buf *out, struct span word)
{
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = word.p[i];
		const char *as = c == '\0'     ? "\0010"
				 : c == ESCAPE ? "\0011"
				 : c == '\t'   ? "\001t"
				 : c == '\n'   ? "\001n"
				 : c == '\r'   ? "\001r"
					       : NULL;

		if (as != NULL)
			buf_add_str(out, as);
		else
			buf_add_byte(out, c);
	}
}

int dovecot_put_login(
    struct buf *out, uint32_t id, struct span name, struct span password, const char *ip)
{
	struct buf plain;

	if (span_find(name, 0) >= 0 || span_find(password, 0) >= 0)
		return GW_EFORMAT;
	buf_init(&plain, DOVECOT_LINE_MAX);
	if (buf_room(&plain, name.n + password.n + 2) == NULL)
		return GW_EFORMAT;
	buf_add_byte(&plain, 0);
	buf_add_span(&plain, name);
	buf_add_byte(&plain, 0);
	buf_add_span(&plain, password);
	/* Guesses are counted here; the service must not make the others wait for them. */
	buf_addf(out,
	    "AUTH\t%u\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsecured\trip=%s\tresp=", id, ip);
	base64_encode(buf_view(&plain), out);
	buf_add_byte(out, '\n');
	buf_wipe(&plain);
	return buf_failed(out) ? GW_EFORMAT : 0;
}

void dovecot_put_user(struct buf *out, uint32_t id, struct span name)
{
	buf_addf(out, "USER\t%u\t", id);
	put_escaped(out, name);
	buf_add_str(out, "\tservice=smtp\n");
}
