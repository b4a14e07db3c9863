/*
 * How a message of the load tools is marked and known again. Its header says
 *
 *	X-Godwit-Bench: RUN-NUMBER SUM
 *
 * RUN names the run of the source, NUMBER the message, SUM is the XXH3 (64 bits,
 * hex) of the body as it is transmitted: with dots doubled and all line ends,
 * up to the CRLF before the final dot. That form is the same on every hop, so
 * neither end has to rewrite a byte to compare it.
 *
 * Bytes in, bytes out. A scan is embedded by its session and is of constant
 * size; a pool belongs to the source.
 */
#ifndef GW_CMD_BENCH_MESSAGE_H
#define GW_CMD_BENCH_MESSAGE_H

#include "base/buf.h"

#include <xxhash.h>

enum {
	POOL_OFFSETS = 509, /* different bodies of a run */
	POOL_LINE = 78,
	POOL_SIZE_MAX = 256 << 20,
	RUN_MAX = 16,
	SCAN_LINE_MAX = 200,
};

/* ---- making ------------------------------------------------------------------------------ */

struct bench_pool {
	char *text;
	size_t window; /* bytes of text in a body; CRLF follows */
	uint64_t sum[POOL_OFFSETS];
	bool have_sum[POOL_OFFSETS];
};

/* Bodies of size bytes (2 .. POOL_SIZE_MAX), a byte less where a line end would be torn. */
void bench_pool_init(struct bench_pool *p, size_t size);
void bench_pool_fini(struct bench_pool *p);
/* The body of number n but for its last CRLF, ready to be transmitted; lives as long as the pool.
 */
struct span bench_pool_body(const struct bench_pool *p, uint64_t n);
/* The checksum of that body and its CRLF. */
uint64_t bench_pool_sum(struct bench_pool *p, uint64_t n);

/* The mark line of a number. */
void mark_put(struct buf *b, struct span run, uint64_t n, uint64_t sum);
/* A number as text, at the end of `digits`. */
enum { DECIMAL = 20 };
struct span decimal(uint64_t n, char digits[DECIMAL]);
void decimal_put(struct buf *b, uint64_t n);

/* ---- reading ----------------------------------------------------------------------------- */

struct mark {
	char run[RUN_MAX];
	uint8_t run_len;
	bool found;
	uint64_t n, sum;
};

struct scan {
	XXH3_state_t *hash;
	struct mark mark;
	bool in_body, everywhere, after_crlf;
	uint8_t match; /* how much of CRLF.CRLF the body's last bytes are */
	uint8_t held;  /* of them, not hashed yet */
	uint16_t line_len;
	char line[SCAN_LINE_MAX];
};

void scan_init(struct scan *s);
void scan_fini(struct scan *s);
/*
 * Reads one message as it is transmitted after DATA. everywhere: the mark is
 * also looked for in the body (a report that quotes the header), which is then
 * not summed.
 */
void scan_begin(struct scan *s, bool everywhere);
/* Takes bytes up to the end of the message at most; *done: the final dot was among them. */
size_t scan_feed(struct scan *s, struct span in, bool *done);
/* After the end: does the body have the sum its mark says? */
bool scan_intact(const struct scan *s);
static inline struct span mark_run(const struct mark *m)
{
	return span_of(m->run, m->run_len);
}

#endif
