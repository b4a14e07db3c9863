#include "auth/passhash.h"

#include <crypt.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

/*
 * argon2id, two passes over 19 MiB: what OWASP asks for at the least. More memory would make the
 * vault, which checks several at one time, the easiest process to starve.
 */
enum { PASSES = 2, MEMORY = 19 << 20 };
/* What a hash may cost at the most. Nobody means more, and a slip of the pen must not stop logins
 * for everybody. */
enum { MEMORY_MAX_KIB = 1 << 20, PASSES_MAX = 64, LANES_MAX = 16, BCRYPT_COST_MAX = 16 };
enum { ROUNDS_MAX = 5000000 };

static const char argon[] = "$argon2id$v=19$";

/* How many characters the last part has, so that one that was cut is noticed. */
static const struct method {
	const char *prefix;
	unsigned tail;
} methods[] = {{"$1$", 22}, {"$5$", 43}, {"$6$", 86}, {"$2a$", 53}, {"$2b$", 53}, {"$2y$", 53},
    {"$y$", 43}, {"$gy$", 43}, {"$7$", 43}};

/* ---- judging ------------------------------------------------------------------------------- */

/* A number of a hash's parameters: the digits behind "m=". */
static bool read_number(struct span *s, struct span name, uint64_t most)
{
	uint64_t n = 0;
	size_t i = 0;

	if (!span_starts(*s, name))
		return false;
	*s = span_skip(*s, name.n);
	while (i < s->n && i < 9 && ascii_isdigit(s->p[i]))
		n = n * 10 + (uint64_t)(s->p[i++] - '0');
	*s = span_skip(*s, i);
	return i > 0 && n > 0 && n <= most;
}

static bool is_base64_tail(struct span s, size_t least)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && c != '+' && c != '/' && c != '.' &&
		    c != '$')
			return false;
	}
	return s.n >= least;
}

static bool argon_known(struct span s)
{
	s = span_skip(s, sizeof(argon) - 1);
	return read_number(&s, SPAN("m="), MEMORY_MAX_KIB) &&
	       read_number(&s, SPAN(",t="), PASSES_MAX) &&
	       read_number(&s, SPAN(",p="), LANES_MAX) && span_starts(s, SPAN("$")) &&
	       span_find(span_skip(s, 1), '$') >= 11 && is_base64_tail(s, 1 + 11 + 1 + 22);
}

static bool cost_is_sane(struct span s)
{
	struct span rest = span_skip(s, 3);

	if (span_starts(s, SPAN("$2")) && s.n > 6)
		return (s.p[4] - '0') * 10 + s.p[5] - '0' <= BCRYPT_COST_MAX;
	if (span_starts(rest, SPAN("rounds=")))
		return read_number(&rest, SPAN("rounds="), ROUNDS_MAX);
	return true;
}

static bool crypt_known(const char *hash)
{
	struct span s = span_str(hash);
	const char *last = strrchr(hash, '$');

	for (size_t i = 0; i < GW_ARRAY_LEN(methods); i++) {
		const struct method *m = &methods[i];
		int judged;

		if (!span_starts(s, span_str(m->prefix)))
			continue;
		judged = crypt_checksalt(hash);
		return (judged == CRYPT_SALT_OK || judged == CRYPT_SALT_METHOD_LEGACY ||
			   judged == CRYPT_SALT_TOO_CHEAP) &&
		       strlen(last + 1) == m->tail && is_base64_tail(span_str(last), 0) &&
		       cost_is_sane(s);
	}
	return false;
}

/* Copied with a NUL behind; false: it has one inside, or does not fit. */
static bool to_text(struct span s, char *out, size_t size)
{
	if (s.n >= size || (s.n > 0 && memchr(s.p, 0, s.n) != NULL))
		return false;
	span_to_cstr(s, out, size);
	return true;
}

bool passhash_known(struct span hash)
{
	char text[PASSHASH_MAX];

	if (!to_text(hash, text, sizeof(text)))
		return false;
	if (span_starts(hash, span_str(argon)))
		return hash.n < crypto_pwhash_STRBYTES && argon_known(hash);
	return crypt_known(text);
}

/* ---- making and checking ------------------------------------------------------------------- */

int passhash_make(struct span password, char out[PASSHASH_MAX])
{
	_Static_assert(crypto_pwhash_STRBYTES <= PASSHASH_MAX, "a hash fits");

	if (sodium_init() < 0)
		return GW_ENOMEM;
	if (crypto_pwhash_str_alg(out, (const char *)password.p, password.n, PASSES, MEMORY,
		crypto_pwhash_ALG_ARGON2ID13) != 0)
		return GW_ENOMEM;
	return 0;
}

static enum passhash_answer check_argon(const char *hash, struct span password)
{
	errno = 0;
	if (crypto_pwhash_str_verify(hash, (const char *)password.p, password.n) == 0)
		return PASSHASH_RIGHT;
	/* EINVAL is its word for another password; anything else was no comparison. */
	return errno == EINVAL ? PASSHASH_WRONG : PASSHASH_UNKNOWN;
}

static enum passhash_answer compare(const char *got, const char *hash)
{
	size_t n = strlen(hash);

	if (got == NULL || got[0] == '*')
		return errno == ENOMEM ? PASSHASH_UNKNOWN : PASSHASH_WRONG;
	return strlen(got) == n && sodium_memcmp(got, hash, n) == 0 ? PASSHASH_RIGHT
								    : PASSHASH_WRONG;
}

static enum passhash_answer check_crypt(const char *hash, struct span password)
{
	char text[CRYPT_MAX_PASSPHRASE_SIZE];
	enum passhash_answer answer;
	struct crypt_data *d;

	/* crypt(3) would end the password at the NUL. */
	if (!to_text(password, text, sizeof(text)))
		return PASSHASH_WRONG;
	d = gw_calloc(1, sizeof(*d));
	errno = 0;
	answer = compare(crypt_rn(text, hash, d, sizeof(*d)), hash);
	sodium_memzero(d, sizeof(*d));
	sodium_memzero(text, sizeof(text));
	free(d);
	return answer;
}

enum passhash_answer passhash_check(struct span hash, struct span password)
{
	char text[PASSHASH_MAX] = "";

	if (!passhash_known(hash) || !to_text(hash, text, sizeof(text)))
		return PASSHASH_WRONG;
	if (span_starts(hash, span_str(argon)))
		return check_argon(text, password);
	return check_crypt(text, password);
}

bool passhash_verify(struct span hash, struct span password)
{
	return passhash_check(hash, password) == PASSHASH_RIGHT;
}

const char *passhash_nobody(void)
{
	return "$argon2id$v=19$m=19456,t=2,p=1$nobodyNobodyNobodyNoYQ$"
	       "nobodynobodynobodynobodynobodynobodynobodyA";
}
