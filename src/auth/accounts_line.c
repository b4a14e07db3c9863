/* One line of the users file, read and written. */
#include "auth/accounts-private.h"

#include "base/base64.h"

#include <stdio.h>

const char *const account_states[ACCOUNT_STATES] = {"active", "suspended", "closed"};

enum { SHADOW_DES = 13 };

struct span account_field(struct span *line)
{
	struct span rest = span_skip_blanks(*line), field;
	size_t n = 0;

	while (n < rest.n && !ascii_isblank(rest.p[n]))
		n++;
	if (n > 0 && rest.p[0] == '#')
		n = 0;
	field = span_first(rest, n);
	*line = n > 0 ? span_skip(rest, n) : (struct span){rest.p, 0};
	return field;
}

struct span account_comment(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '#' && (i == 0 || ascii_isblank(line.p[i - 1])))
			return span_skip(line, i);
	}
	return SPAN_NONE;
}

/* ---- what a field may be ----------------------------------------------------------------------
 */

static bool all_visible(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

/* A word: what other systems take for a login name. */
static bool is_word(struct span s)
{
	if (s.n > 64 || !(ascii_isalpha(s.p[0]) || ascii_isdigit(s.p[0]) || s.p[0] == '_'))
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!ascii_isalpha(s.p[i]) && !ascii_isdigit(s.p[i]) &&
		    span_find(SPAN("._-+"), s.p[i]) < 0)
			return false;
	}
	return true;
}

const char *account_name_fault(struct span name)
{
	struct address a;

	if (name.n == 0 || name.n > ACCOUNT_NAME_MAX)
		return "an account's name has 1 to 255 octets";
	if (span_find(name, '@') < 0)
		return is_word(name) ? NULL
				     : "an account's name is local@domain, or a word of letters, "
				       "digits and . _ - +";
	/* A quoted one could be written in several ways, and is one more thing to get wrong. */
	if (span_find(name, '"') >= 0 || address_parse(name, &a) < 0 || a.kind != ADDRESS_DOMAIN ||
	    name.p[0] == '#')
		return "it is not local@domain";
	return NULL;
}

static bool is_crypt(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '.' || c == '/';
}

const char *account_hash_fault(struct span hash)
{
	if (hash.n > ACCOUNT_HASH_MAX || !all_visible(hash))
		return "a password hash has at most 255 octets, and no blanks";
	if (hash.n > 3 && hash.p[0] == '$')
		return NULL;
	for (size_t i = 0; i < hash.n; i++) {
		if (!is_crypt(hash.p[i]))
			return "a password hash begins with $";
	}
	return hash.n == SHADOW_DES ? NULL : "a password hash begins with $";
}

const char *account_pattern_fault(struct span pattern)
{
	struct span domain = span_skip(pattern, 2);
	struct address a;

	if (span_eq(pattern, SPAN("*")))
		return NULL;
	if (span_starts(pattern, SPAN("*@"))) {
		if (span_starts(domain, SPAN("*.")))
			domain = span_skip(domain, 2);
		return domain_valid(domain) ? NULL : "what follows *@ is no domain";
	}
	/* An address in a list of addresses: no blank and no comma in it. */
	if (address_parse(pattern, &a) < 0 || a.kind == ADDRESS_BARE || !all_visible(pattern) ||
	    span_find(pattern, ',') >= 0)
		return "it is not an address, *@DOMAIN, *@*.DOMAIN or *";
	return NULL;
}

/* As the configuration names things. */
const char *account_word_fault(struct span word)
{
	static const char fault[] = "a name has 1 to 32 letters, digits and . _ -";

	if (word.n == 0 || word.n > ACCOUNT_WORD_MAX)
		return fault;
	for (size_t i = 0; i < word.n; i++) {
		if (!ascii_isalpha(word.p[i]) && !ascii_isdigit(word.p[i]) &&
		    span_find(SPAN("._-"), word.p[i]) < 0)
			return fault;
	}
	return NULL;
}

const char *account_range_fault(struct span range)
{
	struct account_range r;

	return account_range_parse(range, &r);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

struct reader {
	struct arena *keep;
	struct account *a;
	struct accounts_error *e;
};

static int fail(struct reader *r, const char *what, struct span s, const char *why)
{
	snprintf(r->e->text, sizeof(r->e->text), "%s \"%.*s\": %s", what,
	    SPAN_ARG(span_first(s, 60)), why);
	return GW_EFORMAT;
}

/* What stands in the wrong place may be a hash: only what is no more than a word is shown. */
static struct span shown(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_isalpha(s.p[i]) && s.p[i] != '-')
			return SPAN("...");
	}
	return s;
}

static int overflow(struct reader *r)
{
	snprintf(r->e->text, sizeof(r->e->text), "the lists of all accounts take too much memory");
	return GW_EFULL;
}

static struct span until_comma(struct span *rest)
{
	ptrdiff_t at = span_find(*rest, ',');
	struct span s = at < 0 ? *rest : span_first(*rest, (size_t)at);

	*rest = at < 0 ? SPAN_NONE : span_skip(*rest, (size_t)at + 1);
	return s;
}

static int read_list(struct reader *r, struct span value, const char *(*fault)(struct span),
    const struct span **out, uint16_t *n_out)
{
	struct span rest = value, *list;
	size_t n = 1;

	if (*out != NULL)
		return fail(r, "the list", value, "it is there twice");
	for (size_t i = 0; i < value.n; i++)
		n += value.p[i] == ',';
	if (n > ACCOUNT_LIST_MAX)
		return fail(r, "the list", value, "it has more than 1000 members");
	list = arena_alloc(r->keep, n * sizeof(*list));
	if (list == NULL)
		return overflow(r);
	for (size_t i = 0; i < n; i++) {
		const char *why;

		list[i] = until_comma(&rest);
		why = fault(list[i]);
		if (why != NULL)
			return fail(r, "in a list", list[i], why);
	}
	*out = list;
	*n_out = (uint16_t)n;
	return 0;
}

/* Octets in base64, min to max of them. */
static int read_octets(struct span text, uint8_t *to, size_t min, size_t max, size_t *n)
{
	struct buf b;
	int err = GW_EFORMAT;

	buf_init(&b, SCRAM_SALT_MAX);
	if (text.n <= 4 * ((size_t)SCRAM_SALT_MAX / 3 + 1) && base64_decode(text, &b) == 0 &&
	    buf_len(&b) >= min && buf_len(&b) <= max) {
		*n = buf_len(&b);
		memcpy(to, buf_view(&b).p, *n);
		err = 0;
	}
	if (buf_len(&b) > 0)
		explicit_bzero(b.mem, b.cap);
	buf_fini(&b);
	return err;
}

static int read_scram(struct reader *r, struct span value)
{
	struct span rest = value, iterations = until_comma(&rest);
	struct {
		struct scram_verifier v;
		uint8_t salt[SCRAM_SALT_MAX];
	} * keep;
	size_t n = 0, key;
	uint64_t count;

	if (r->a->has_scram)
		return fail(r, "the key", SPAN("scram"), "it is there twice");
	r->a->has_scram = true;
	if (span_eq(value, SPAN("*")))
		return 0;
	keep = arena_alloc(r->keep, sizeof(*keep));
	if (keep == NULL)
		return overflow(r);
	keep->v.salt = span_of(keep->salt, sizeof(keep->salt));
	r->a->scram = &keep->v; /* from now on: to be wiped */
	if (span_to_u64(iterations, &count) < 0 || count < SCRAM_ITERATIONS_MIN ||
	    count > SCRAM_ITERATIONS_MAX ||
	    read_octets(until_comma(&rest), keep->salt, 1, SCRAM_SALT_MAX, &n) < 0 ||
	    read_octets(until_comma(&rest), keep->v.stored_key, SCRAM_KEY, SCRAM_KEY, &key) < 0 ||
	    read_octets(rest, keep->v.server_key, SCRAM_KEY, SCRAM_KEY, &key) < 0)
		return fail(r, "the key", SPAN("scram"), /* its value is a secret */
		    "it is not ITERATIONS,SALT,STORED,SERVER: a number from 4096 on, and base64");
	keep->v.iterations = (uint32_t)count;
	keep->v.salt.n = n;
	return 0;
}

static int read_word(struct reader *r, struct span key, struct span value, struct span *out)
{
	const char *why = out->n > 0 ? "it is there twice" : account_word_fault(value);

	if (why != NULL)
		return fail(
		    r, out->n > 0 ? "the key" : "in a field", out->n > 0 ? key : value, why);
	*out = value;
	return 0;
}

static int read_key(struct reader *r, struct span field)
{
	ptrdiff_t at = span_find(field, '=');
	struct span key = at < 0 ? field : span_first(field, (size_t)at);
	struct span value = at < 0 ? SPAN_NONE : span_skip(field, (size_t)at + 1);
	struct account *a = r->a;

	if (at < 0)
		return fail(r, "the field", shown(field), "it is not KEY=VALUE");
	if (span_eq(key, SPAN("scram")))
		return read_scram(r, value);
	if (span_eq(key, SPAN("as")))
		return read_list(r, value, account_pattern_fault, &a->as, &a->n_as);
	if (span_eq(key, SPAN("header-as")))
		return read_list(r, value, account_pattern_fault, &a->header_as, &a->n_header_as);
	if (span_eq(key, SPAN("from")))
		return read_list(r, value, account_range_fault, &a->from, &a->n_from);
	if (span_eq(key, SPAN("plan")))
		return read_word(r, key, value, &a->plan);
	if (span_eq(key, SPAN("tenant")))
		return read_word(r, key, value, &a->tenant);
	return fail(
	    r, "the key", shown(key), "it is not one of scram, as, header-as, from, plan, tenant");
}

static int read_state(struct reader *r, struct span state)
{
	for (size_t i = 0; i < ACCOUNT_STATES; i++) {
		if (span_eq(state, span_str(account_states[i]))) {
			r->a->state = (enum account_state)i;
			return 0;
		}
	}
	return fail(r, "the state", shown(state), "it is not one of active, suspended, closed");
}

static int read_hash(struct reader *r, struct span hash)
{
	const char *why;

	r->a->has_hash = !span_eq(hash, SPAN("-"));
	if (!r->a->has_hash || span_eq(hash, SPAN("*")))
		return 0;
	why = hash.n == 0 ? "the line ends before it; \"-\" is for none" : account_hash_fault(hash);
	if (why != NULL)
		return fail(r, "the hash of", r->a->name, why); /* it is not shown */
	r->a->hash = hash;
	return 0;
}

static int read_name(struct reader *r, struct span name)
{
	ptrdiff_t colon = span_find(name, ':');
	const char *why = account_name_fault(name);

	r->a->name = name;
	if (why == NULL)
		return 0;
	/* A line of another system's file; what follows is a secret. */
	if (colon >= 0)
		return fail(r, "the name", span_first(name, (size_t)colon),
		    "a colon is behind it; godwit user import reads NAME:HASH");
	return fail(r, "the name", name, why);
}

static bool has_odd_octet(struct span line)
{
	struct span said = span_first(line, line.n - account_comment(line).n);

	for (size_t i = 0; i < said.n; i++) {
		if ((said.p[i] < ' ' && said.p[i] != '\t') || said.p[i] > '~')
			return true;
	}
	return false;
}

int account_parse(struct span line, struct arena *keep, struct account *a, struct accounts_error *e)
{
	struct reader r = {keep, a, e};
	struct span field;
	int err;

	*a = (struct account){.name = SPAN_NONE};
	if (line.n > ACCOUNT_LINE_MAX || has_odd_octet(line)) {
		snprintf(e->text, sizeof(e->text), "%s",
		    line.n > ACCOUNT_LINE_MAX
			? "the line is longer than 16384 octets"
			: "there is an octet that is no printable ASCII character");
		return GW_EFORMAT;
	}
	err = read_name(&r, account_field(&line));
	if (err == 0)
		err = read_state(&r, account_field(&line));
	if (err == 0)
		err = read_hash(&r, account_field(&line));
	while (err == 0 && (field = account_field(&line)).n > 0)
		err = read_key(&r, field);
	return err;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void put_list(struct buf *out, const char *key, const struct span *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_add_str(out, i == 0 ? " " : ",");
		if (i == 0)
			buf_add_str(out, key);
		buf_add_span(out, list[i]);
	}
}

static void put_word(struct buf *out, const char *key, struct span word)
{
	if (word.n == 0)
		return;
	buf_add_str(out, key);
	buf_add_span(out, word);
}

static void put_scram(struct buf *out, const struct scram_verifier *v)
{
	buf_addf(out, " scram=%u,", v->iterations);
	base64_encode(v->salt, out);
	buf_add_byte(out, ',');
	base64_encode(span_of(v->stored_key, SCRAM_KEY), out);
	buf_add_byte(out, ',');
	base64_encode(span_of(v->server_key, SCRAM_KEY), out);
}

void account_format(const struct account *a, bool secrets, struct buf *out)
{
	buf_add_span(out, a->name);
	buf_add_byte(out, ' ');
	buf_add_str(out, account_states[a->state]);
	buf_add_byte(out, ' ');
	if (secrets && a->hash.n > 0)
		buf_add_span(out, a->hash);
	else
		buf_add_byte(out, a->has_hash ? '*' : '-');
	if (secrets && a->scram != NULL)
		put_scram(out, a->scram);
	else if (a->has_scram)
		buf_add_str(out, " scram=*");
	put_list(out, "as=", a->as, a->n_as);
	put_list(out, "header-as=", a->header_as, a->n_header_as);
	put_list(out, "from=", a->from, a->n_from);
	put_word(out, " plan=", a->plan);
	put_word(out, " tenant=", a->tenant);
	buf_add_byte(out, '\n');
}
