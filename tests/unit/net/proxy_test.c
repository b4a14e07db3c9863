/* The PROXY header: every form the specification has, and every one it has not. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct proxy proxy;

/* Fed in pieces of that size: 1, 0 or a negative code; *rest: octets behind the header. */
static int feed(struct span in, size_t piece, size_t *rest)
{
	size_t used = 0;
	int r = 0;

	proxy_init(&proxy);
	for (*rest = in.n; r == 0 && *rest > 0; *rest -= used)
		r = proxy_feed(&proxy, span_first(span_skip(in, in.n - *rest), piece), &used);
	return r;
}

/* The same however it is cut. */
static int read_all(struct span in, size_t *rest)
{
	int whole = feed(in, SIZE_MAX, rest), r;
	size_t left;

	for (size_t piece = 1; piece < 20; piece++) {
		r = feed(in, piece, &left);
		assert_int_equal(r, whole);
		assert_int_equal(left, *rest);
	}
	return whole;
}

static void check_end(const struct sockaddr_storage *sa, const char *ip, unsigned port)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sa;
	char text[64];

	if (sa->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
	assert_string_equal(text, ip);
	assert_int_equal(ntohs(sa->ss_family == AF_INET6 ? six->sin6_port : four->sin_port), port);
}

static void good(struct span in, const char *from, unsigned port)
{
	size_t rest;

	assert_int_equal(read_all(in, &rest), 1);
	assert_int_equal(rest, 0);
	assert_true(proxy.known);
	assert_false(proxy.local);
	check_end(&proxy.from, from, port);
}

static void nobody(struct span in, bool local)
{
	size_t rest;

	assert_int_equal(read_all(in, &rest), 1);
	assert_int_equal(rest, 0);
	assert_false(proxy.known);
	assert_int_equal(proxy.local, local);
}

static void bad(struct span in, const char *why)
{
	size_t rest;

	assert_int_equal(read_all(in, &rest), GW_EFORMAT);
	assert_string_equal(proxy.why, why);
	assert_false(proxy.known);
	assert_false(proxy.local);
}

static void wanting(struct span in)
{
	size_t rest;

	assert_int_equal(read_all(in, &rest), 0);
	assert_int_equal(rest, 0);
}

/* ---- version 1 ---------------------------------------------------------------------------------
 */

static void lines(void **state)
{
	(void)state;
	good(SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"), "192.0.2.1", 56324);
	check_end(&proxy.to, "198.51.100.2", 25);
	good(SPAN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255",
	    65535);
	good(SPAN("PROXY TCP6 2001:db8::1 2001:db8::2 0 1\r\n"), "2001:db8::1", 0);
	check_end(&proxy.to, "2001:db8::2", 1);
	good(SPAN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	/* One client is one address. */
	good(SPAN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1", 1);
	nobody(SPAN("PROXY UNKNOWN\r\n"), false);
	nobody(SPAN("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    false);
}

static void what_follows_a_line_is_the_clients(void **state)
{
	const struct span in = SPAN(
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1 25\r\nPROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n");
	size_t rest;

	(void)state;
	assert_int_equal(read_all(in, &rest), 1);
	assert_int_equal(rest, 36);
	check_end(&proxy.from, "192.0.2.1", 1);
}

static void lines_that_are_none(void **state)
{
	static const char *const list[] = {"PROXY TCP4 192.0.2.1 198.51.100.2 1 25\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1 25\r\r\n",
	    "PROXY TCP4 192.0.2.1\r 198.51.100.2 1 2\r\n",
	    "PROXY TCP4  192.0.2.1 198.51.100.2 1 25\r\n",
	    "PROXY  TCP4 192.0.2.1 198.51.100.2 1 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1 25 \r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1 25 7\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 01 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 0x1 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 000001 25\r\n",
	    "PROXY TCP4 192.0.2.256 198.51.100.2 1 25\r\n",
	    "PROXY TCP4 192.0.2 198.51.100.2 1 25\r\n",
	    "PROXY TCP4 3221225985 198.51.100.2 1 25\r\n",
	    "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2x 1 25\r\n",
	    "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
	    "PROXY TCP6 192.0.2.1 198.51.100.2 1 25\r\n", "PROXY TCP6 2001:db8::1%lo ::1 1 25\r\n",
	    "PROXY TCP6 [2001:db8::1] [::1] 1 25\r\n", "PROXY TCP6 2001:db8:::1 ::1 1 25\r\n",
	    "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 25\r\n",
	    "PROXY TCP4 localhost 198.51.100.2 1 25\r\n",
	    "PROXY tcp4 192.0.2.1 198.51.100.2 1 25\r\n",
	    "PROXY UDP4 192.0.2.1 198.51.100.2 1 25\r\n",
	    "PROXY TCP5 192.0.2.1 198.51.100.2 1 25\r\n", "PROXY UNKNOWNS\r\n", "PROXY unknown\r\n",
	    "PROXY UNKNOWN \t\r\n", "PROXY UNKNOWN \x80\r\n", "PROXY \r\n", "PROXY TCP4\r\n",
	    "PROXY TCP4 \r\n", "PROXY TCP4 192.0.2.1,198.51.100.2,1,25\r\n", "PROXY \n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(list); i++)
		bad(span_str(list[i]), "bad_line");
	bad(SPAN("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 25\r\n"), "bad_line");
}

static void no_header(void **state)
{
	static const char *const list[] = {"EHLO x\r\n", "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
	    " PROXY", "PROXYTCP4", "PROXY\tTCP4", "PROXY\r\n", "\n", "\r\n\r\nQUIT", "\x16\x03\x01",
	    "P", "\r"};

	(void)state;
	for (size_t i = 0; i + 2 < GW_ARRAY_LEN(list); i++)
		bad(span_str(list[i]), "no_header");
	wanting(SPAN("P"));
	wanting(SPAN("\r"));
	wanting(SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 25\r"));
	bad(SPAN("\0"), "no_header");
}

static void a_line_has_107_octets_at_most(void **state)
{
	char in[200];

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, "PROXY UNKNOWN ", 14);
	in[105] = '\r';
	in[106] = '\n';
	nobody(span_of(in, 107), false);
	in[105] = 'x';
	in[106] = '\r';
	in[107] = '\n';
	bad(span_of(in, 108), "too_long");
	bad(span_of(in, 107), "too_long");
	wanting(span_of(in, 106));
}

/* ---- version 2 ---------------------------------------------------------------------------------
 */

static uint8_t packet[PROXY_MAX + 64];
static size_t packet_n;

static void put(const void *octets, size_t n)
{
	memcpy(packet + packet_n, octets, n);
	packet_n += n;
}

static void set_length(size_t n)
{
	packet[14] = (uint8_t)(n >> 8);
	packet[15] = (uint8_t)n;
}

static void begin(uint8_t command, uint8_t family)
{
	packet_n = 0;
	put("\r\n\r\n\0\r\nQUIT\n", 12);
	put(&command, 1);
	put(&family, 1);
	put("\0\0", 2);
}

static void four(void)
{
	put("\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\0\x19",
	    12); /* 192.0.2.1 198.51.100.2 56324 25 */
}

static void tlv(uint8_t type, const char *value, size_t n)
{
	uint8_t head[3] = {type, (uint8_t)(n >> 8), (uint8_t)n};

	put(head, 3);
	put(value, n);
}

static struct span end(void)
{
	set_length(packet_n - 16);
	return span_of(packet, packet_n);
}

/* The simple way, octet by octet of the definition. */
static uint32_t sum(void)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < packet_n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			uint32_t in = (uint32_t)packet[i] >> bit & 1;

			crc = (crc & 1) != in ? crc >> 1 ^ UINT32_C(0x82f63b78) : crc >> 1;
		}
	}
	return ~crc;
}

static void put_sum(uint32_t flip)
{
	size_t at = packet_n + 3;
	uint32_t crc;

	tlv(3, "\0\0\0\0", 4);
	tlv(4, "xx", 2);
	end();
	crc = sum() ^ flip;
	for (int i = 0; i < 4; i++)
		packet[at + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void packets(void **state)
{
	(void)state;
	begin(0x21, 0x11);
	four();
	good(end(), "192.0.2.1", 56324);
	check_end(&proxy.to, "198.51.100.2", 25);
	begin(0x21, 0x21);
	put("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	put("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x07\0\x19", 20);
	good(end(), "2001:db8::1", 7);
	check_end(&proxy.to, "2001:db8::2", 25);
	begin(0x21, 0x21);
	put("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01", 16);
	put("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x07\0\x19", 20);
	good(end(), "192.0.2.1", 7);
}

static void packets_of_nobody(void **state)
{
	(void)state;
	begin(0x20, 0);
	nobody(end(), true);
	begin(0x20, 0x11);
	four();
	nobody(end(), true);
	begin(0x20, 0xff); /* the family is ignored */
	put("xyz", 3);
	nobody(end(), true);
	begin(0x21, 0);
	nobody(end(), false);
	begin(0x21, 0);
	put("whatever", 8);
	nobody(end(), false);
	begin(0x21, 0x31);
	packet_n += 216;
	nobody(end(), false);
}

static void tlvs(void **state)
{
	(void)state;
	begin(0x21, 0x11);
	four();
	tlv(1, "h2", 2);
	tlv(4, "", 0);
	tlv(0xee, "\0\0\0", 3);
	good(end(), "192.0.2.1", 56324);
	begin(0x21, 0x11);
	four();
	put("\x04\0", 2);
	bad(end(), "bad_tlv");
	begin(0x21, 0x11);
	four();
	put("\x04\0\x02z", 4);
	bad(end(), "bad_tlv");
	begin(0x21, 0x11);
	four();
	put("\x04\xff\xff", 3);
	bad(end(), "bad_tlv");
}

static void checksums(void **state)
{
	(void)state;
	/* RFC 9260 appendix A and everybody else: of "123456789". */
	memcpy(packet, "123456789", 9);
	packet_n = 9;
	assert_int_equal(sum(), 0xe3069283);
	begin(0x21, 0x11);
	four();
	put_sum(0);
	good(span_of(packet, packet_n), "192.0.2.1", 56324);
	for (int bit = 0; bit < 32; bit++) {
		begin(0x21, 0x11);
		four();
		put_sum(UINT32_C(1) << bit);
		bad(span_of(packet, packet_n), "bad_checksum");
	}
	/* Octets of the address count. */
	begin(0x21, 0x11);
	four();
	put_sum(0);
	packet[16] ^= 1;
	bad(span_of(packet, packet_n), "bad_checksum");
	begin(0x21, 0x11);
	four();
	tlv(3, "\0\0\0", 3);
	bad(end(), "bad_tlv");
	begin(0x21, 0x11);
	four();
	put_sum(0);
	tlv(3, "\0\0\0\0", 4);
	end();
	bad(span_of(packet, packet_n), "bad_checksum"); /* the first one is of a shorter header */
}

static void packets_that_are_none(void **state)
{
	(void)state;
	for (unsigned command = 0; command < 256; command++) {
		begin((uint8_t)command, 0);
		if (command != 0x20 && command != 0x21)
			bad(end(), "bad_command");
	}
	for (unsigned family = 0; family < 256; family++) {
		begin(0x21, (uint8_t)family);
		packet_n += 216;
		if (family != 0 && family != 0x11 && family != 0x21 && family != 0x31)
			bad(end(), "bad_family");
	}
	begin(0x21, 0x11);
	put("\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\0", 11);
	bad(end(), "too_short");
	begin(0x21, 0x11);
	bad(end(), "too_short");
	begin(0x21, 0x21);
	four();
	bad(end(), "too_short");
	for (size_t i = 1; i < 12; i++) {
		begin(0x21, 0x11);
		four();
		packet[i] ^= 1;
		bad(end(), "no_header");
	}
}

static void lengths(void **state)
{
	(void)state;
	begin(0x21, 0x11);
	set_length(65535);
	bad(span_of(packet, packet_n), "too_long");
	begin(0x20, 0);
	set_length(PROXY_MAX - 16 + 1);
	bad(span_of(packet, packet_n), "too_long");
	begin(0x20, 0);
	packet_n = PROXY_MAX;
	nobody(end(), true);
	begin(0x21, 0x11);
	four();
	end();
	wanting(span_of(packet, packet_n - 1));
	wanting(span_of(packet, 15));
}

static void what_follows_a_packet_is_the_clients(void **state)
{
	size_t rest;

	(void)state;
	begin(0x21, 0x11);
	four();
	end();
	put("EHLO x\r\n", 8);
	assert_int_equal(read_all(span_of(packet, packet_n), &rest), 1);
	assert_int_equal(rest, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines),
	    cmocka_unit_test(what_follows_a_line_is_the_clients),
	    cmocka_unit_test(lines_that_are_none), cmocka_unit_test(no_header),
	    cmocka_unit_test(a_line_has_107_octets_at_most), cmocka_unit_test(packets),
	    cmocka_unit_test(packets_of_nobody), cmocka_unit_test(tlvs),
	    cmocka_unit_test(checksums), cmocka_unit_test(packets_that_are_none),
	    cmocka_unit_test(lengths), cmocka_unit_test(what_follows_a_packet_is_the_clients)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
