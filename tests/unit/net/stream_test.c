/* Streams: reads and writes that stop, the end in all its forms, nothing in the clear behind TLS.
 */
#include "unit/net/tls_fixture.h"

#include <signal.h>
#include <sys/ioctl.h>

enum { MUCH = 4 << 20, PIECE = 60000 };

static void meet(struct tls_world *w, struct tls_talk *k, int version)
{
	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	tls_begin(w, k);
	assert_true(SSL_set_min_proto_version(k->client, version) &&
		    SSL_set_max_proto_version(k->client, version));
	assert_true(tls_shake(k));
	assert_true(tls_works(k));
}

static void tell(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* ---- plain ---- */

static void plain(void **state)
{
	struct tls_talk k;
	uint8_t got[16];

	(void)state;
	tls_plain(&k);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EBUSY);
	assert_false(stream_peek(&k.s));
	assert_int_equal(stream_write(&k.s, SPAN("hello")), 5);
	assert_int_equal(read(k.fd, got, sizeof(got)), 5);
	tell(k.fd, "hi");
	assert_true(stream_peek(&k.s));
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 2);
	assert_false(stream_peek(&k.s));
	shutdown(k.fd, SHUT_WR);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 0);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 0);
	assert_int_equal(stream_write(&k.s, SPAN("bye")), 3);
	stream_shut(&k.s);
	assert_int_equal(stream_write(&k.s, SPAN("more")), GW_EIO);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	tls_end(&k);
}

static void a_plain_peer_that_is_gone(void **state)
{
	struct tls_talk k;
	int i = 0;

	(void)state;
	tls_plain(&k);
	while (stream_write(&k.s, SPAN("0123456789abcdef")) > 0)
		i++;
	assert_true(i > 100);
	assert_true(k.s.wants_write);
	assert_false(k.s.over);
	close(k.fd);
	k.fd = -1;
	signal(SIGPIPE, SIG_DFL); /* it must not even be raised */
	assert_int_equal(stream_write(&k.s, SPAN("x")), GW_EIO);
	assert_true(k.s.over);
	tls_end(&k);
}

/* ---- TLS ---- */

static uint8_t octet_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Much in both ways, with a client that reads slowly; what is written moves between two tries. */
static void much(struct tls_world *w, int version)
{
	struct tls_talk k;
	uint8_t *piece = malloc(PIECE), *moved = malloc(PIECE), got[5000];
	size_t sent = 0, seen = 0, stops = 0;

	meet(w, &k, version);
	while (seen < MUCH) {
		size_t n = MUCH - sent < PIECE ? MUCH - sent : PIECE;
		ptrdiff_t done;
		int r;

		for (size_t i = 0; i < n; i++)
			piece[i] = octet_at(sent + i);
		memcpy(moved, piece, n);
		done = n > 0 ? stream_write(&k.s, span_of(stops % 2 ? piece : moved, n)) : GW_EBUSY;
		sent += done > 0 ? (size_t)done : 0;
		assert_true(done > 0 || done == GW_EBUSY);
		assert_true(done > 0 || n == 0 || k.s.wants_write);
		stops += done < 0;
		ERR_clear_error();
		r = SSL_read(k.client, got, sizeof(got));
		for (int i = 0; i < r; i++)
			assert_int_equal(got[i], octet_at(seen + (size_t)i));
		seen += r > 0 ? (size_t)r : 0;
	}
	assert_true(stops > 10);
	assert_true(tls_works(&k));
	tls_end(&k);
	free(piece);
	free(moved);
}

static void much_over_both(void **state)
{
	much(*state, TLS1_3_VERSION);
	much(*state, TLS1_2_VERSION);
}

/* A record that is taken in pieces: the socket is empty and there is input all the same. */
static void input_that_no_event_tells(void **state)
{
	struct tls_talk k;
	uint8_t text[1000] = {0}, got[300];
	int waiting;

	meet(*state, &k, TLS1_3_VERSION);
	assert_false(stream_has_input(&k.s));
	assert_int_equal(SSL_write(k.client, text, sizeof(text)), sizeof(text));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(stream_read(&k.s, got, sizeof(got)), sizeof(got));
		assert_int_equal(ioctl(k.s.fd, FIONREAD, &waiting), 0);
		assert_int_equal(waiting, 0);
		assert_true(stream_has_input(&k.s));
		assert_true(stream_peek(&k.s));
	}
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 100);
	assert_false(stream_has_input(&k.s));
	assert_false(stream_peek(&k.s));
	tls_end(&k);
}

static void half_a_record(void **state)
{
	struct tls_talk k;
	uint8_t record[200], got[100];
	BIO *out = BIO_new(BIO_s_mem());
	int n;

	meet(*state, &k, TLS1_3_VERSION);
	SSL_set0_wbio(k.client, out);
	assert_int_equal(SSL_write(k.client, "hello", 5), 5);
	n = BIO_read(out, record, sizeof(record));
	for (int i = 0; i < n - 1; i++) {
		assert_int_equal(write(k.fd, record + i, 1), 1);
		assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EBUSY);
		assert_false(
		    stream_has_input(&k.s)); /* waiting for more is no input: no spinning */
	}
	assert_int_equal(write(k.fd, record + n - 1, 1), 1);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 5);
	tls_end(&k);
}

/* One read, one record: a client that sends nothing but key updates cannot keep us in a call. */
static void key_updates(void **state)
{
	struct tls_talk k;
	uint8_t got[100];
	int calls = 0;
	ptrdiff_t n;

	meet(*state, &k, TLS1_3_VERSION);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(SSL_key_update(k.client, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(k.client), 1);
	}
	assert_int_equal(SSL_write(k.client, "hello", 5), 5);
	while ((n = stream_read(&k.s, got, sizeof(got))) == GW_EBUSY && calls < 100)
		calls++;
	assert_int_equal(n, 5);
	assert_in_range(calls, 20, 60);
	assert_true(tls_works(&k));
	tls_end(&k);
}

/* ---- the end ---- */

static void close_notify(void **state)
{
	struct tls_talk k;
	uint8_t got[16];

	meet(*state, &k, TLS1_3_VERSION);
	assert_true(SSL_shutdown(k.client) >= 0);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 0);
	/* What an attacker says behind it in the clear is nothing. */
	tell(k.fd, "RSET\r\n");
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 0);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), 0);
	assert_int_equal(stream_write(&k.s, SPAN("221 bye")), 7); /* our half stands */
	assert_int_equal(SSL_read(k.client, got, sizeof(got)), 7);
	stream_shut(&k.s);
	assert_int_equal(SSL_read(k.client, got, sizeof(got)), 0);
	assert_int_equal(SSL_get_error(k.client, 0), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_int_equal(stream_write(&k.s, SPAN("x")), GW_EIO);
	assert_int_equal(stream_forget(&k.s), 6);
	tls_end(&k);
}

static void an_end_without_close_notify(void **state)
{
	struct tls_talk k;
	uint8_t got[16];

	meet(*state, &k, TLS1_3_VERSION);
	shutdown(k.fd, SHUT_WR);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_true(k.s.over);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_int_equal(stream_write(&k.s, SPAN("x")), GW_EIO);
	tls_end(&k);
}

static void spoil(struct tls_world *w, int version)
{
	struct tls_talk k;
	uint8_t got[16];

	meet(w, &k, version);
	tell(k.fd, "MAIL FROM:<a@example.org>\r\n");
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	tell(k.fd, "RSET\r\n");
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_int_equal(stream_write(&k.s, SPAN("250 Ok")), GW_EIO);
	assert_false(stream_has_input(&k.s));
	assert_false(stream_peek(&k.s));
	stream_shut(&k.s); /* says nothing more, and does not fall */
	stream_shut(&k.s);
	tls_end(&k);
}

static void plaintext_in_the_middle(void **state)
{
	spoil(*state, TLS1_3_VERSION);
	spoil(*state, TLS1_2_VERSION);
}

/* From the start of TLS to the end of the handshake there is no other way in or out. */
static void nothing_before_the_handshake(void **state)
{
	struct tls_world *w = *state;
	struct tls_talk k;
	uint8_t got[64];

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	tls_begin(w, &k);
	tell(k.fd, "NOOP\r\n");
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_int_equal(stream_write(&k.s, SPAN("250")), GW_EIO);
	assert_true(stream_handshake(&k.s, &k.why) < 0);
	assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EIO);
	assert_int_equal(stream_write(&k.s, SPAN("250")), GW_EIO);
	assert_true(stream_handshake(&k.s, &k.why) < 0);
	assert_string_equal(stream_tls_version(&k.s), "");
	assert_int_equal(stream_tls_binding(&k.s, true, got), 0);
	stream_shut(&k.s);
	tls_end(&k);
}

/* ---- bindings ---- */

static void bindings(void **state)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	uint8_t ours[STREAM_BINDING_MAX], theirs[STREAM_BINDING_MAX];
	struct tls_talk k;
	size_t n;

	meet(*state, &k, TLS1_3_VERSION);
	assert_int_equal(stream_tls_binding(&k.s, false, ours), 0);
	assert_int_equal(stream_tls_binding(&k.s, true, ours), 32);
	/* RFC 9266: the context is the empty string. */
	assert_int_equal(SSL_export_keying_material(
			     k.client, theirs, 32, label, strlen(label), (const uint8_t *)"", 0, 1),
	    1);
	assert_memory_equal(ours, theirs, 32);
	tls_end(&k);
	meet(*state, &k, TLS1_2_VERSION);
	assert_int_equal(stream_tls_binding(&k.s, true, ours), 0);
	n = stream_tls_binding(&k.s, false, ours);
	assert_int_equal(n, 12);
	assert_int_equal(SSL_get_finished(k.client, theirs, sizeof(theirs)), n);
	assert_memory_equal(ours, theirs, n);
	tls_end(&k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(plain), T(a_plain_peer_that_is_gone),
	    T(much_over_both), T(input_that_no_event_tells), T(half_a_record), T(key_updates),
	    T(close_notify), T(an_end_without_close_notify), T(plaintext_in_the_middle),
	    T(nothing_before_the_handshake), T(bindings)};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
