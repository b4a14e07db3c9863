#include "auth/srs.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { LOCAL_MAX = 64, TEXT_MAX = 512, DIGEST = 20, DAYS = 1024, AHEAD = 1 };

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- the secret ------------------------------------------------------------------------------ */

static struct span take_line(struct span *text)
{
	ptrdiff_t end = span_find(*text, '\n');
	struct span line = end < 0 ? *text : span_first(*text, (size_t)end);

	*text = end < 0 ? SPAN_NONE : span_skip(*text, (size_t)end + 1);
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || ascii_isblank(line.p[line.n - 1])))
		line.n--;
	return line;
}

int srs_secrets(struct srs *s, struct span text)
{
	s->n_secret = 0;
	while (text.n > 0) {
		struct span line = take_line(&text);

		if (line.n == 0)
			continue;
		if (line.n < SRS_SECRET_MIN || s->n_secret == SRS_SECRETS_MAX) {
			s->n_secret = 0;
			return GW_EFORMAT;
		}
		s->secret[s->n_secret++] = line;
	}
	return s->n_secret > 0 ? 0 : GW_EFORMAT;
}

/* ---- the hash -------------------------------------------------------------------------------- */

/* Over the parts in lower case: there are hosts that change the case of what they pass on. */
static bool make_hash(struct span secret, const struct span *part, size_t n, char hash[SRS_HASH])
{
	uint8_t text[TEXT_MAX], digest[EVP_MAX_MD_SIZE];
	size_t at = 0;
	unsigned length = 0;

	for (size_t i = 0; i < n; i++) {
		if (part[i].n > sizeof(text) - at)
			return false;
		for (size_t k = 0; k < part[i].n; k++)
			text[at++] = ascii_lower(part[i].p[k]);
	}
	if (HMAC(EVP_sha1(), secret.p, (int)secret.n, text, at, digest, &length) == NULL ||
	    length != DIGEST)
		die("HMAC-SHA1 cannot be computed");
	for (size_t i = 0; i < SRS_HASH; i++) {
		size_t bit = i * 6;
		unsigned two = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

		hash[i] = base64[two >> (10 - bit % 8) & 63];
	}
	return true;
}

/* In the time of all secrets, whichever it was. */
static bool hash_good(const struct srs *s, struct span said, const struct span *part, size_t n)
{
	uint8_t lower[SRS_HASH];
	bool good = false;

	if (said.n != SRS_HASH)
		return false;
	for (size_t i = 0; i < SRS_HASH; i++)
		lower[i] = ascii_lower(said.p[i]);
	for (size_t i = 0; i < s->n_secret; i++) {
		char hash[SRS_HASH];
		bool made = make_hash(s->secret[i], part, n, hash);

		for (size_t k = 0; made && k < SRS_HASH; k++)
			hash[k] = (char)ascii_lower((uint8_t)hash[k]);
		good = (made && CRYPTO_memcmp(hash, lower, SRS_HASH) == 0) || good;
	}
	return good;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_separator(uint8_t c)
{
	return c == '=' || c == '+' || c == '-';
}

/* "SRS0=" and the like. */
static bool is_kind(struct span local, char kind)
{
	return local.n > 5 && span_eq_case(span_first(local, 3), SPAN("SRS")) &&
	       local.p[3] == (uint8_t)kind && is_separator(local.p[4]);
}

bool srs_looks(struct span local)
{
	return is_kind(local, '0') || is_kind(local, '1');
}

/* What stands in front of the next '='. */
static bool take_part(struct span *rest, struct span *part)
{
	ptrdiff_t at = span_find(*rest, '=');

	if (at <= 0)
		return false;
	*part = span_first(*rest, (size_t)at);
	*rest = span_skip(*rest, (size_t)at + 1);
	return true;
}

static int base32_value(uint8_t c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (uint8_t)(c - 'a' + 'A');
	at = c != '\0' ? strchr(base32, c) : NULL;
	return at != NULL ? (int)(at - base32) : -1;
}

static bool day_good(const struct srs *s, struct span stamp, int64_t day, bool *old)
{
	int high, low;
	int64_t passed;

	if (stamp.n != 2)
		return false;
	high = base32_value(stamp.p[0]);
	low = base32_value(stamp.p[1]);
	if (high < 0 || low < 0)
		return false;
	passed = (day - (high << 5 | low)) % DAYS;
	passed = passed < 0 ? passed + DAYS : passed;
	*old = passed > (int64_t)s->age && passed < DAYS - AHEAD;
	return true;
}

/* ---- there ----------------------------------------------------------------------------------- */

/* The new local part as it is meant; quotes are put around it where it needs them. */
static int finish(const struct srs *s, const struct buf *local, struct buf *out)
{
	struct span text = buf_view(local);
	struct address a;
	struct buf whole;
	int err = GW_EFORMAT;

	if (buf_failed(local) || text.n > LOCAL_MAX)
		return GW_EFULL;
	buf_init(&whole, TEXT_MAX);
	buf_add_byte(&whole, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			buf_add_byte(&whole, '\\');
		buf_add_byte(&whole, text.p[i]);
	}
	buf_add_str(&whole, "\"@");
	buf_add_span(&whole, s->domain);
	if (!buf_failed(&whole) && address_parse(buf_view(&whole), &a) == 0) {
		address_canonical(&a, out);
		err = 0;
	} else if (text.n > LOCAL_MAX - 2) {
		err = GW_EFULL; /* with its quotes */
	}
	buf_fini(&whole);
	return err;
}

static int forward_first(
    const struct srs *s, struct span user, struct span host, int64_t day, struct buf *local)
{
	char stamp[2] = {base32[day >> 5 & 31], base32[day & 31]}, hash[SRS_HASH];
	struct span part[] = {span_of(stamp, sizeof(stamp)), host, user};

	if (!make_hash(s->secret[0], part, GW_ARRAY_LEN(part), hash))
		return GW_EFULL;
	buf_addf(local, "SRS0=%.*s=%.*s=%.*s=%.*s", SRS_HASH, hash, 2, stamp, SPAN_ARG(host),
	    SPAN_ARG(user));
	return 0;
}

/* From the forwarder in front of us: SRS0...@host, or SRS1 of one whose first was another. */
static int forward_again(const struct srs *s, struct span user, struct span host, struct buf *local)
{
	struct span rest = span_skip(user, 4), part[2] = {host, rest}; /* "=HHHH=TT=..." */
	char hash[SRS_HASH];

	if (is_kind(user, '1')) {
		struct span skipped;

		rest = span_skip(user, 5);
		if (!take_part(&rest, &skipped) || !take_part(&rest, &part[0]) ||
		    !domain_valid(part[0]) || rest.n < 2 || !is_separator(rest.p[0]))
			return GW_EFORMAT;
		part[1] = rest;
	}
	if (!make_hash(s->secret[0], part, GW_ARRAY_LEN(part), hash))
		return GW_EFULL;
	buf_addf(
	    local, "SRS1=%.*s=%.*s=%.*s", SRS_HASH, hash, SPAN_ARG(part[0]), SPAN_ARG(part[1]));
	return 0;
}

int srs_forward(const struct srs *s, struct span from, int64_t day, struct buf *out)
{
	struct buf user, local;
	struct address a;
	int err;

	if (s->n_secret == 0 || address_parse(from, &a) < 0 || a.kind != ADDRESS_DOMAIN)
		return GW_EFORMAT;
	buf_init(&user, TEXT_MAX);
	buf_init(&local, TEXT_MAX);
	address_local_plain(&a, &user);
	if (srs_looks(buf_view(&user)))
		err = forward_again(s, buf_view(&user), a.domain, &local);
	else
		err = forward_first(s, buf_view(&user), a.domain, day, &local);
	/* What only looks like one is somebody's name. */
	if (err == GW_EFORMAT)
		err = forward_first(s, buf_view(&user), a.domain, day, &local);
	if (err == 0)
		err = finish(s, &local, out);
	buf_fini(&local);
	buf_fini(&user);
	return err;
}

/* ---- and back -------------------------------------------------------------------------------- */

static bool put_address(struct span user, struct span host, struct buf *out)
{
	struct srs at = {.domain = host};
	struct buf local;
	bool good;

	buf_init(&local, TEXT_MAX);
	buf_add_span(&local, user);
	good = domain_valid(host) && finish(&at, &local, out) == 0;
	buf_fini(&local);
	return good;
}

static enum srs_verdict reverse_first(
    const struct srs *s, struct span rest, int64_t day, struct buf *out)
{
	struct span hash, stamp, host;
	bool old = false;

	/* What is left is the name; that of ""@there.example is empty. */
	if (!take_part(&rest, &hash) || !take_part(&rest, &stamp) || !take_part(&rest, &host))
		return SRS_BROKEN;
	if (!hash_good(s, hash, (struct span[]){stamp, host, rest}, 3))
		return SRS_FORGED;
	if (!day_good(s, stamp, day, &old))
		return SRS_BROKEN;
	if (old)
		return SRS_OLD;
	return put_address(rest, host, out) ? SRS_GOOD : SRS_BROKEN;
}

static enum srs_verdict reverse_again(const struct srs *s, struct span rest, struct buf *out)
{
	struct span hash, host;
	struct buf user;
	bool good;

	if (!take_part(&rest, &hash) || !take_part(&rest, &host) || rest.n < 2 ||
	    !is_separator(rest.p[0]))
		return SRS_BROKEN;
	if (!hash_good(s, hash, (struct span[]){host, rest}, 2))
		return SRS_FORGED;
	/* Its day is the first forwarder's to judge, who can see whether it is his. */
	buf_init(&user, TEXT_MAX);
	buf_add_str(&user, "SRS0");
	buf_add_span(&user, rest);
	good = !buf_failed(&user) && put_address(buf_view(&user), host, out);
	buf_fini(&user);
	return good ? SRS_GOOD : SRS_BROKEN;
}

enum srs_verdict srs_reverse(const struct srs *s, struct span local, int64_t day, struct buf *out)
{
	if (!srs_looks(local))
		return SRS_NONE;
	if (s->n_secret == 0)
		return SRS_FORGED;
	if (is_kind(local, '0'))
		return reverse_first(s, span_skip(local, 5), day, out);
	return reverse_again(s, span_skip(local, 5), out);
}
