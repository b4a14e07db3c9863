/* What is done with mail: ACTION, as behind "deliver" and behind "via" of a route. */
#include "config/words.h"

#include <stdio.h>

/* "vmta NAME" is an mx target that leaves from there. */
enum { WORD_VMTA = TARGET_ODMR + 1 };
static const char *const actions[] = {[TARGET_MAILDIR] = "maildir",
    [TARGET_LMTP] = "lmtp",
    [TARGET_RELAY] = "relay",
    [TARGET_MX] = "mx",
    [TARGET_REJECT] = "reject",
    [TARGET_PIPE] = "pipe",
    [TARGET_ODMR] = "odmr",
    [WORD_VMTA] = "vmta"};

/* How each of them is written, for messages. */
#define OUTWARD "[tls MODE] [vmta NAME]"
static const struct option action_rows[] = {[TARGET_MAILDIR] = {.name = "maildir", .args = "PATH"},
    [TARGET_LMTP] = {.name = "lmtp", .args = "HOST:PORT|unix:PATH"},
    [TARGET_RELAY] = {.name = "relay",
	.args = "HOST[:PORT]... [auth file:PATH|cred:NAME] " OUTWARD},
    [TARGET_MX] = {.name = "mx", .args = "[port N] [private] " OUTWARD},
    [TARGET_REJECT] = {.name = "reject", .args = "REPLY"},
    [TARGET_PIPE] = {.name = "pipe",
	.args = "[user NAME] [timeout DURATION] [memory SIZE] PROGRAM [WORD...]"},
    [TARGET_ODMR] = {.name = "odmr", .args = "account NAME"},
    [WORD_VMTA] = {.name = "vmta", .args = "NAME [port N] [private] [tls MODE]"}};

enum way { WAY_AUTH, WAY_TLS, WAY_VMTA, WAY_PORT, WAY_PRIVATE, WAY_COUNT };
static const char *const ways[] = {[WAY_AUTH] = "auth",
    [WAY_TLS] = "tls",
    [WAY_VMTA] = "vmta",
    [WAY_PORT] = "port",
    [WAY_PRIVATE] = "private"};

/* A target whose words are read one after another. */
struct reading {
	struct builder *b;
	const struct option *row;
	const struct word *w; /* the next one */
	struct target *t;
	struct place seen[WAY_COUNT];
};

/* The way that the word begins, or WAY_COUNT. */
static enum way way_of(const struct word *w)
{
	enum way way = 0;

	while (way < WAY_COUNT && !words_is(w, ways[way]))
		way++;
	return way;
}

/* ---- tls MODE -------------------------------------------------------------------------------- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((uint8_t)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 digits, which colons may part between octets: as openssl x509 -fingerprint prints it. */
static bool read_fingerprint(const char *s, uint8_t to[32])
{
	for (size_t i = 0; i < 32; i++) {
		int high, low;

		if (i > 0 && *s == ':')
			s++;
		high = digit_of(s[0]);
		low = high >= 0 ? digit_of(s[1]) : -1;
		if (low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
		s += 2;
	}
	return *s == '\0';
}

static bool read_fingerprints(
    struct builder *b, const struct option *row, const struct word **w, struct tls_out *out)
{
	uint8_t(*list)[32] = must_alloc(&b->c->arena, words_count(*w) * sizeof(*list));
	char most[16];

	if (!words_next(b, row, *w))
		return false;
	out->fingerprint = (const uint8_t(*)[32])list;
	/* The first word behind it is one, whatever it looks like. */
	for (*w = (*w)->next; *w != NULL; *w = (*w)->next) {
		if (out->n_fingerprint > 0 && way_of(*w) != WAY_COUNT)
			break;
		if (out->n_fingerprint == TLS_FINGERPRINTS) {
			snprintf(most, sizeof(most), "%d", TLS_FINGERPRINTS);
			report(b->r, CE_MANY, *w, NULL, most, "fingerprints");
			return false;
		}
		if (!read_fingerprint((*w)->text, list[out->n_fingerprint++])) {
			report(b->r, CE_FINGERPRINT, *w, NULL, (*w)->text);
			return false;
		}
	}
	return true;
}

bool words_tls_out(
    struct builder *b, const struct option *row, const struct word **w, struct tls_out *out)
{
	const char *const *modes = &tls_out_words[OUT_TLS_OFF];
	size_t mode;

	*out = (struct tls_out){.place = (*w)->place};
	if (!words_choose(b, *w, modes, OUT_TLS_FINGERPRINT - OUT_TLS_OFF + 1, &mode))
		return false;
	out->mode = (enum out_tls)(OUT_TLS_OFF + mode);
	if (out->mode == OUT_TLS_FINGERPRINT)
		return read_fingerprints(b, row, w, out);
	*w = (*w)->next;
	return true;
}

/* ---- auth SECRET ----------------------------------------------------------------------------- */

static bool credential_good(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && strchr("-_.", c) == NULL)
			return false;
	}
	return n > 0 && n <= 128 && s[0] != '.';
}

/* Where systemd puts the credentials of the service, also for who is not started by it. */
static const char *credential_path(struct builder *b, const char *name)
{
	const char *directory = bundle_variable(b->r->bundle, CREDENTIALS);

	if (directory == NULL || directory[0] != '/')
		directory = "/run/credentials/godwit.service";
	return textf(b->r, "%s/%s", directory, name);
}

const char *words_secret_path(struct builder *b, const struct word *w)
{
	struct word path = *w;

	if (strncmp(w->text, "file:", 5) == 0) {
		path.text += 5;
		return value_path(&b->v, &path);
	}
	if (strncmp(w->text, "cred:", 5) == 0 && credential_good(w->text + 5)) {
		path.text = credential_path(b, w->text + 5);
		return value_path(&b->v, &path);
	}
	report_at(b->r, CE_SECRET, &w->place, 0, NULL, "");
	return NULL;
}

static bool read_secret(struct builder *b, const struct word *w, struct target *t)
{
	const char *path = words_secret_path(b, w);
	size_t number;

	if (path == NULL)
		return false;
	number = build_number(b, "secret", path);
	if (number == SIZE_MAX) {
		number = b->c->n_secret++;
		b->secret[number] = path;
		b->secret_place[number] = w->place;
		build_set_number(b, "secret", path, number);
	}
	t->secret = must_dup(&b->c->arena, span_str(w->text));
	t->secret_index = number;
	t->secret_path = b->secret[number];
	return true;
}

/* ---- the words behind the target ------------------------------------------------------------- */

static bool fits(enum target_kind kind, enum way way)
{
	if (way == WAY_TLS || way == WAY_VMTA)
		return kind == TARGET_RELAY || kind == TARGET_MX;
	return way == WAY_AUTH ? kind == TARGET_RELAY
			       : kind == TARGET_MX && (way == WAY_PORT || way == WAY_PRIVATE);
}

static bool read_port(struct reading *r)
{
	static const struct option row = {.name = "port", .min = 1, .max = UINT16_MAX};
	uint64_t port;

	if (!value_number(&r->b->v, &row, TYPE_NUMBER, r->w, &port))
		return false;
	r->t->port = (uint16_t)port;
	return true;
}

static bool read_way(struct reading *r, enum way way)
{
	if (way == WAY_PRIVATE) {
		r->t->private_ok = true;
		r->w = r->w->next;
		return true;
	}
	if (!words_next(r->b, r->row, r->w))
		return false;
	r->w = r->w->next;
	if (way == WAY_TLS)
		return words_tls_out(r->b, r->row, &r->w, &r->t->tls);
	if (way == WAY_AUTH && !read_secret(r->b, r->w, r->t))
		return false;
	if (way == WAY_PORT && !read_port(r))
		return false;
	if (way == WAY_VMTA)
		r->t->vmta = words_find_vmta(r->b, r->w);
	r->w = r->w->next;
	return r->t->vmta != NULL;
}

static bool read_ways(struct reading *r)
{
	while (r->w != NULL) {
		const struct word *w = r->w;
		enum way way = way_of(w);
		char first[PLACE_TEXT];

		if (way == WAY_COUNT || !fits(r->t->kind, way))
			return !build_extra(r->b, r->row, w);
		if (r->seen[way].line > 0) {
			report(r->b->r, CE_DUPLICATE, w, NULL, w->text,
			    place_text(&r->seen[way], first));
			return false;
		}
		r->seen[way] = w->place;
		if (!read_way(r, way))
			return false;
	}
	return true;
}

/* ---- the target ------------------------------------------------------------------------------ */

/* HOST[:PORT]..., up to a word that says how. */
static bool read_hosts(struct reading *r)
{
	struct endpoint *list = must_alloc(&r->b->c->arena, words_count(r->w) * sizeof(*list));
	char most[16];

	r->t->host = list;
	for (; r->w != NULL && (r->t->n_host == 0 || way_of(r->w) == WAY_COUNT);
	     r->w = r->w->next) {
		if (r->t->n_host == TARGET_HOSTS_MAX) {
			snprintf(most, sizeof(most), "%d", TARGET_HOSTS_MAX);
			report(r->b->r, CE_MANY, r->w, NULL, most, "hosts");
			return false;
		}
		if (!value_endpoint(&r->b->v, r->w, ENDPOINT_RELAY, &list[r->t->n_host++]))
			return false;
	}
	return true;
}

static bool read_lmtp(struct reading *r)
{
	struct endpoint *one = must_alloc(&r->b->c->arena, sizeof(*one));

	r->t->host = one;
	r->t->n_host = 1;
	return value_endpoint(&r->b->v, r->w, ENDPOINT_LMTP, one);
}

/* "account NAME", in lower case; r->w is its last word then. */
static bool read_account(struct reading *r)
{
	static const char *const words[] = {"account"};
	size_t which;
	char *name;

	if (!words_choose(r->b, r->w, words, 1, &which) || !words_next(r->b, r->row, r->w))
		return false;
	r->w = r->w->next;
	name = (char *)(uintptr_t)must_dup(&r->b->c->arena, span_str(r->w->text));
	r->t->path = name;
	for (; *name != '\0'; name++)
		*name = (char)ascii_lower((uint8_t)*name);
	return true;
}

/* The argument of its kind; r->w is moved behind it. */
static bool read_argument(struct reading *r, size_t action)
{
	struct target *t = r->t;

	if (action == TARGET_RELAY)
		return read_hosts(r);
	if (action == TARGET_PIPE) {
		const struct word *w = r->w;

		r->w = NULL;
		return words_pipe(r->b, r->row, w, t);
	}
	if (action == TARGET_MAILDIR)
		t->path = value_maildir(&r->b->v, r->w);
	else if (action == TARGET_REJECT)
		t->reply = value_reply(&r->b->v, r->w);
	else if (action == WORD_VMTA)
		t->vmta = words_find_vmta(r->b, r->w);
	if (action == TARGET_LMTP && !read_lmtp(r))
		return false;
	if (action == TARGET_ODMR && !read_account(r))
		return false;
	if (action == WORD_VMTA)
		r->seen[WAY_VMTA] = r->w->place;
	r->w = r->w->next;
	return t->path != NULL || t->reply != NULL || t->n_host > 0 ||
	       (action == WORD_VMTA && t->vmta != NULL);
}

bool words_pull_target(struct builder *b, const struct word *w, uint16_t port, struct target *t)
{
	struct endpoint *one = must_alloc(&b->c->arena, sizeof(*one));

	*t = (struct target){.kind = TARGET_RELAY,
	    .host = one,
	    .n_host = 1,
	    .port = 25,
	    .vmta = b->c->vmta,
	    .place = w->place};
	if (!value_endpoint(&b->v, w, ENDPOINT_RELAY, one))
		return false;
	if (strchr(w->text, ':') == NULL || (w->text[0] == '[' && strstr(w->text, "]:") == NULL))
		one->port = port;
	return true;
}

bool words_secret(struct builder *b, const struct word *w, struct target *t)
{
	return read_secret(b, w, t);
}

bool words_target(struct builder *b, const struct word *w, struct target *t)
{
	struct reading r = {.b = b, .w = w->next, .t = t};
	size_t action;

	if (!words_choose(b, w, actions, GW_ARRAY_LEN(actions), &action))
		return false;
	r.row = &action_rows[action];
	*t = (struct target){.kind = action == WORD_VMTA ? TARGET_MX : (enum target_kind)action,
	    .port = 25,
	    .vmta = b->c->vmta,
	    .place = w->place};
	if (action != TARGET_MX && (!words_next(b, r.row, w) || !read_argument(&r, action)))
		return false;
	return read_ways(&r);
}
