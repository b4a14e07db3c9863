#include "auth/scram_client.h"

#include "base/base64.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <stringprep.h>

enum {
	PART_MAX = 4096,
	TEXT_MAX = 1024,
	SALT_MAX = 256,
	ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
};

/* ---- life -------------------------------------------------------------------------------------
 */

static void add_name(struct buf *out, struct span user)
{
	for (size_t i = 0; i < user.n; i++) {
		if (user.p[i] == ',')
			buf_add_str(out, "=2C");
		else if (user.p[i] == '=')
			buf_add_str(out, "=3D");
		else
			buf_add_byte(out, user.p[i]);
	}
}

void scram_client_init(struct scram_client *c, struct span user, struct span password,
    const char *gs2, struct span binding, const char nonce[SCRAM_CLIENT_NONCE + 1])
{
	*c = (struct scram_client){.password = password, .most = SCRAM_CLIENT_ITERATIONS};
	buf_init(&c->gs2, PART_MAX);
	buf_init(&c->first, PART_MAX);
	buf_init(&c->bound, PART_MAX);
	buf_init(&c->message, 4 * PART_MAX);
	memcpy(c->nonce, nonce, sizeof(c->nonce));
	buf_add_str(&c->gs2, gs2);
	buf_add_span(&c->bound, binding);
	buf_add_str(&c->first, "n=");
	add_name(&c->first, user);
	buf_addf(&c->first, ",r=%s", c->nonce);
}

void scram_client_fini(struct scram_client *c)
{
	buf_fini(&c->gs2);
	buf_fini(&c->first);
	buf_wipe(&c->bound);
	buf_fini(&c->message);
	OPENSSL_cleanse(c, sizeof(*c));
}

void scram_client_first(const struct scram_client *c, struct buf *out)
{
	buf_add_span(out, buf_view(&c->gs2));
	buf_add_span(out, buf_view(&c->first));
}

/* ---- the server's messages --------------------------------------------------------------------
 */

/* "r=..." in "r=...,s=...,i=...": the value; n 0: it is not there. */
static struct span attribute(struct span text, char name)
{
	while (text.n >= 2) {
		ptrdiff_t comma = span_find(text, ',');
		struct span part = comma < 0 ? text : span_first(text, (size_t)comma);

		if (part.n > 2 && part.p[0] == (uint8_t)name && part.p[1] == '=')
			return span_skip(part, 2);
		text = comma < 0 ? SPAN_NONE : span_skip(text, (size_t)comma + 1);
	}
	return SPAN_NONE;
}

struct challenge {
	struct span nonce;
	struct buf salt;
	uint64_t iterations;
};

static const char *read_challenge(
    const struct scram_client *c, struct span text, struct challenge *to)
{
	to->nonce = attribute(text, 'r');
	if (to->nonce.n <= SCRAM_CLIENT_NONCE || !span_starts(to->nonce, span_str(c->nonce)))
		return "the server's nonce is not ours with something behind it";
	if (base64_decode(attribute(text, 's'), &to->salt) < 0 || buf_len(&to->salt) == 0)
		return "the server's salt cannot be read";
	if (span_to_u64(attribute(text, 'i'), &to->iterations) < 0 ||
	    to->iterations < ITERATIONS_MIN || to->iterations > c->most)
		return "the server's iteration count is below 4096, or would keep us busy too long";
	return NULL;
}

/* ---- the arithmetic, RFC 5802 section 3 -------------------------------------------------------
 */

static void hmac(
    const uint8_t key[SCRAM_CLIENT_KEY], struct span text, uint8_t out[SCRAM_CLIENT_KEY])
{
	unsigned n = SCRAM_CLIENT_KEY;

	if (HMAC(EVP_sha256(), key, SCRAM_CLIENT_KEY, text.p, text.n, out, &n) == NULL)
		die("HMAC-SHA-256 cannot be computed");
}

static const char *salt_password(
    const struct scram_client *c, const struct challenge *ch, uint8_t out[SCRAM_CLIENT_KEY])
{
	struct span salt = buf_view(&ch->salt);
	char text[TEXT_MAX + 1], *prepared = NULL;
	int err = STRINGPREP_TOO_SMALL_BUFFER;

	if (c->password.n <= TEXT_MAX && span_find(c->password, 0) < 0) {
		span_to_cstr(c->password, text, sizeof(text));
		err = stringprep_profile(text, &prepared, "SASLprep", 0);
		OPENSSL_cleanse(text, sizeof(text));
	}
	if (err != STRINGPREP_OK)
		return "the password has characters that SCRAM does not allow";
	if (PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), salt.p, (int)salt.n,
		(int)ch->iterations, EVP_sha256(), SCRAM_CLIENT_KEY, out) != 1)
		die("PBKDF2 cannot be computed");
	OPENSSL_cleanse(prepared, strlen(prepared));
	free(prepared);
	return NULL;
}

static void make_proof(
    struct scram_client *c, const uint8_t salted[SCRAM_CLIENT_KEY], uint8_t proof[SCRAM_CLIENT_KEY])
{
	uint8_t key[SCRAM_CLIENT_KEY], stored[SCRAM_CLIENT_KEY];

	hmac(salted, SPAN("Client Key"), key);
	if (EVP_Digest(key, sizeof(key), stored, NULL, EVP_sha256(), NULL) != 1)
		die("SHA-256 cannot be computed");
	hmac(stored, buf_view(&c->message), proof);
	for (size_t i = 0; i < SCRAM_CLIENT_KEY; i++)
		proof[i] ^= key[i];
	hmac(salted, SPAN("Server Key"), key);
	hmac(key, buf_view(&c->message), c->server_signature);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(stored, sizeof(stored));
}

/* "c=...,r=..." */
static void add_without_proof(const struct scram_client *c, struct span nonce, struct buf *out)
{
	struct buf bound;

	buf_init(&bound, PART_MAX);
	buf_add_span(&bound, buf_view(&c->gs2));
	buf_add_span(&bound, buf_view(&c->bound));
	buf_add_str(out, "c=");
	base64_encode(buf_view(&bound), out);
	buf_add_str(out, ",r=");
	buf_add_span(out, nonce);
	buf_wipe(&bound);
}

static const char *answer(
    struct scram_client *c, struct span server_first, const struct challenge *ch, struct buf *out)
{
	uint8_t salted[SCRAM_CLIENT_KEY], proof[SCRAM_CLIENT_KEY];
	const char *wrong = salt_password(c, ch, salted);

	if (wrong != NULL)
		return wrong;
	add_without_proof(c, ch->nonce, out);
	buf_clear(&c->message);
	buf_add_span(&c->message, buf_view(&c->first));
	buf_add_byte(&c->message, ',');
	buf_add_span(&c->message, server_first);
	buf_add_byte(&c->message, ',');
	buf_add_span(&c->message, buf_view(out));
	make_proof(c, salted, proof);
	buf_add_str(out, ",p=");
	base64_encode(span_of(proof, sizeof(proof)), out);
	OPENSSL_cleanse(salted, sizeof(salted));
	return buf_failed(&c->message) || buf_failed(out) ? "the server's message is too long"
							  : NULL;
}

const char *scram_client_proof(struct scram_client *c, struct span server_first, struct buf *out)
{
	struct challenge ch = {.iterations = 0};
	const char *wrong;

	buf_init(&ch.salt, SALT_MAX);
	wrong = read_challenge(c, server_first, &ch);
	if (wrong == NULL)
		wrong = answer(c, server_first, &ch, out);
	buf_fini(&ch.salt);
	return wrong;
}

bool scram_client_check(const struct scram_client *c, struct span server_final)
{
	struct buf signature;
	bool good;

	buf_init(&signature, SALT_MAX);
	good = base64_decode(attribute(server_final, 'v'), &signature) == 0 &&
	       buf_len(&signature) == SCRAM_CLIENT_KEY &&
	       CRYPTO_memcmp(buf_view(&signature).p, c->server_signature, SCRAM_CLIENT_KEY) == 0;
	buf_fini(&signature);
	return good;
}
