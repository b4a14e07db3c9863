/* One message that export saved: read from its two files, and what remains to be done of it. */
#include "cmd/spool_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading one ----------------------------------------------------------------------------- */

static int read_all(int dir, const char *name, uint8_t **to, size_t *n)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t have = 0;

	*to = NULL;
	if (fd < 0)
		return GW_ENOENT;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > UINT32_MAX) {
		close(fd);
		return GW_EFORMAT;
	}
	*to = malloc((size_t)st.st_size + 1);
	while (*to != NULL && have < (size_t)st.st_size) {
		ssize_t got = read(fd, *to + have, (size_t)st.st_size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	close(fd);
	*n = have;
	return *to != NULL && have == (size_t)st.st_size ? 0 : GW_EIO;
}

static bool content_matches(const struct incoming *in)
{
	const json_t *c = json_object_get(in->json, "content");
	const char *want = json_string_value(json_object_get(c, "xxh3"));
	struct store_read *sum = NULL;
	char hex[17];

	if (c == NULL)
		return true;
	store_sum_feed(&sum, span_of(in->content, in->n));
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)store_sum_end(&sum));
	return want != NULL && strcmp(want, hex) == 0;
}

const char *import_read_incoming(struct import *x, const char *name, struct incoming *in)
{
	static char why[80];
	char eml[IMPORT_NAME_SIZE], id[MSGID_TEXT + 1];
	const char *what;
	uint8_t *text;
	size_t n;

	if (read_all(x->dir, name, &text, &n) != 0) {
		free(text);
		return "cannot be read";
	}
	in->json = json_loadb((const char *)text, n, JSON_ALLOW_NUL, NULL);
	free(text);
	if (in->json == NULL)
		return "is no JSON";
	if (spool_envelope_read(in->json, &x->arena, &in->e, &what) != 0) {
		snprintf(why, sizeof(why), "its \"%s\" makes no sense", what);
		return why;
	}
	msgid_format(&in->e.id, id);
	snprintf(eml, sizeof(eml), "%s.eml", id);
	if (read_all(x->dir, eml, &in->content, &in->n) != 0)
		return "its .eml file cannot be read";
	if (!content_matches(in))
		return "its .eml file is not what was exported (remove \"content\" to take it all "
		       "the "
		       "same)";
	return in->e.head_length > in->n ? "its \"head_length\" makes no sense" : NULL;
}

/* ---- what remains of it ---------------------------------------------------------------------- */

static enum outcome state_of(const json_t *recipient)
{
	const char *state = json_string_value(json_object_get(recipient, "state"));

	for (size_t i = 0; state != NULL && i <= OUTCOME_MAX; i++) {
		if (strcmp(spool_outcomes[i], state) == 0)
			return (enum outcome)i;
	}
	return OUTCOME_NONE;
}

static uint64_t number_of(const json_t *recipient, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(recipient, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* A state that is not the first one, and why. */
static struct change_rcpt put_off(
    const json_t *recipient, enum outcome state, size_t index, struct arena *a)
{
	const char *enhanced = json_string_value(json_object_get(recipient, "enhanced"));
	struct change_rcpt c = {.index = (uint32_t)index, .number = 1, .outcome = state};
	unsigned esc[3];

	c.attempts = (uint32_t)number_of(recipient, "attempts");
	c.due = (int64_t)number_of(recipient, "due");
	c.code = (uint16_t)number_of(recipient, "code");
	if (enhanced != NULL && sscanf(enhanced, "%u.%u.%u", &esc[0], &esc[1], &esc[2]) == 3) {
		for (size_t i = 0; i < GW_ARRAY_LEN(esc); i++)
			c.esc[i] = (uint8_t)esc[i];
	}
	(void)!spool_text_read(json_object_get(recipient, "host"), a, &c.host);
	(void)!spool_text_read(json_object_get(recipient, "reply"), a, &c.reply);
	c.host = span_first(c.host, UINT16_MAX);
	c.reply = span_first(c.reply, UINT16_MAX);
	return c;
}

/* Who is deferred is tried again at the worst. Who is held, or may have it already, or cannot get
 * it, must not be: that is in the record of the message. */
bool import_keep_open(struct import *x, struct incoming *in)
{
	const json_t *list = json_object_get(in->json, "recipients");
	struct rcpt *rcpt = arena_alloc(&x->arena, in->e.n_rcpt * sizeof(*rcpt));
	struct change c = {.id = in->e.id, .when = in->e.accepted}, held = c;
	size_t n = 0;

	c.rcpt = arena_alloc(&x->arena, in->e.n_rcpt * sizeof(*c.rcpt));
	held.rcpt = arena_alloc(&x->arena, in->e.n_rcpt * sizeof(*held.rcpt));
	for (size_t i = 0; rcpt != NULL && c.rcpt != NULL && held.rcpt != NULL && i < in->e.n_rcpt;
	     i++) {
		const json_t *object = json_array_get(list, i);
		enum outcome state = state_of(object);

		if (outcome_final(state))
			continue;
		if (state == OUTCOME_DEFERRED)
			c.rcpt[c.n_rcpt++] = put_off(object, state, n, &x->arena);
		else if (state != OUTCOME_NONE)
			held.rcpt[held.n_rcpt++] = put_off(object, state, n, &x->arena);
		rcpt[n++] = in->e.rcpt[i];
	}
	in->e.rcpt = rcpt;
	in->e.n_rcpt = n;
	if (c.n_rcpt > 0)
		change_encode(&c, &in->change);
	if (held.n_rcpt > 0)
		change_encode(&held, &in->held);
	in->e.held = buf_view(&in->held);
	return n > 0;
}
