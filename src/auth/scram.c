#include "auth/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <stringprep.h>

enum { PASSWORD_MAX = 1024, ITERATIONS_MAX = 10000000 };

static void hmac(const uint8_t *key, size_t n, struct span text, uint8_t out[SCRAM_KEY])
{
	unsigned len = SCRAM_KEY;

	if (HMAC(EVP_sha256(), key, (int)n, text.p, text.n, out, &len) == NULL || len != SCRAM_KEY)
		die("HMAC-SHA-256 cannot be computed");
}

static void sha256(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY])
{
	unsigned len = SCRAM_KEY;

	if (EVP_Digest(in, SCRAM_KEY, out, &len, EVP_sha256(), NULL) != 1 || len != SCRAM_KEY)
		die("SHA-256 cannot be computed");
}

/* The password as both sides write it (RFC 4013), in memory of its own; NULL: there is none. */
static char *prepare(struct span password)
{
	char text[PASSWORD_MAX + 1];
	char *out = NULL;
	int err;

	if (password.n == 0 || password.n > PASSWORD_MAX || span_find(password, 0) >= 0)
		return NULL;
	span_to_cstr(password, text, sizeof(text));
	err = stringprep_profile(text, &out, "SASLprep", 0);
	OPENSSL_cleanse(text, sizeof(text));
	return err == STRINGPREP_OK ? out : NULL;
}

static void derive(const uint8_t salted[SCRAM_KEY], struct scram_verifier *v)
{
	uint8_t client_key[SCRAM_KEY];

	hmac(salted, SCRAM_KEY, SPAN("Client Key"), client_key);
	sha256(client_key, v->stored_key);
	hmac(salted, SCRAM_KEY, SPAN("Server Key"), v->server_key);
	OPENSSL_cleanse(client_key, sizeof(client_key));
}

int scram_make(
    struct span password, struct span salt, uint32_t iterations, struct scram_verifier *v)
{
	uint8_t salted[SCRAM_KEY];
	char *text = prepare(password);

	if (text == NULL)
		return GW_EFORMAT;
	gw_assert(iterations > 0 && iterations <= ITERATIONS_MAX && salt.n <= SCRAM_SALT_MAX);
	*v = (struct scram_verifier){.iterations = iterations, .salt = salt};
	if (PKCS5_PBKDF2_HMAC(text, (int)strlen(text), salt.p, (int)salt.n, (int)iterations,
		EVP_sha256(), SCRAM_KEY, salted) != 1)
		die("PBKDF2 cannot be computed");
	derive(salted, v);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	return 0;
}

/* RFC 5802 section 3: ClientKey := ClientProof XOR ClientSignature; H(ClientKey) is StoredKey. */
bool scram_verify(const struct scram_verifier *v, struct span auth_message, struct span proof)
{
	uint8_t key[SCRAM_KEY], stored[SCRAM_KEY];
	bool same;

	if (proof.n != SCRAM_KEY)
		return false;
	hmac(v->stored_key, SCRAM_KEY, auth_message, key);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		key[i] ^= proof.p[i];
	sha256(key, stored);
	same = CRYPTO_memcmp(stored, v->stored_key, SCRAM_KEY) == 0;
	OPENSSL_cleanse(key, sizeof(key));
	return same && v->iterations > 0;
}

void scram_server_signature(
    const struct scram_verifier *v, struct span auth_message, uint8_t signature[SCRAM_KEY])
{
	hmac(v->server_key, SCRAM_KEY, auth_message, signature);
}

void scram_fake_salt(const uint8_t secret[32], struct span name, uint8_t salt[16])
{
	uint8_t text[ACCOUNT_NAME_MAX], out[SCRAM_KEY];
	size_t n = name.n < sizeof(text) ? name.n : sizeof(text);

	/* Names are compared without regard to case, so their salts must be too. */
	for (size_t i = 0; i < n; i++)
		text[i] = ascii_lower(name.p[i]);
	hmac(secret, 32, span_of(text, n), out);
	memcpy(salt, out, 16);
}
