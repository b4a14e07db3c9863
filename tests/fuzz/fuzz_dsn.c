/*
 * Reports: the texts of a report come from the input, parted by the octet 0xFF,
 * as peers and senders would choose them. Whatever they are, the report is 7-bit
 * CRLF lines within the limit, and only our own lines begin like a boundary.
 */
#include "mail/dsn.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

#define DELIMITER "--=_report_00000000000000000000000000"

static struct span next_text(struct span *in)
{
	ptrdiff_t end = span_find(*in, 0xff);
	struct span text = end < 0 ? *in : span_first(*in, (size_t)end);

	*in = span_skip(*in, text.n + 1);
	return text;
}

static size_t check_line(struct span line)
{
	MUST(line.n <= 998);
	for (size_t i = 0; i < line.n; i++)
		MUST(line.p[i] == '\t' || (line.p[i] >= ' ' && line.p[i] < 127));
	if (!span_starts(line, SPAN("--")))
		return 0;
	MUST(span_eq(line, SPAN(DELIMITER)) || span_eq(line, SPAN(DELIMITER "--")));
	return 1;
}

static size_t check_lines(struct span text)
{
	size_t delimiters = 0;

	while (text.n > 0) {
		ptrdiff_t end = span_find(text, '\r');

		MUST(end >= 0 && (size_t)end + 1 < text.n && text.p[end + 1] == '\n');
		delimiters += check_line(span_first(text, (size_t)end));
		text = span_skip(text, (size_t)end + 2);
	}
	return delimiters;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct change_rcpt c = {.outcome = size % 2 ? OUTCOME_FAILED : OUTCOME_EXPIRED,
	    .code = (uint16_t)(size % 3 ? 550 : 0)};
	struct dsn_rcpt r = {.change = &c, .last_attempt = (int64_t)size};
	struct dsn d = {.rcpt = &r, .n_rcpt = 1};
	struct buf b;
	size_t head;

	r.addr = next_text(&in);
	r.orcpt = next_text(&in);
	c.host = next_text(&in);
	c.reply = next_text(&in);
	d.to = next_text(&in);
	d.envid = next_text(&in);
	d.reporting_host = next_text(&in);
	d.original_head = in;
	buf_init(&b, 1 << 20);
	head = dsn_compose(&d, &b);
	MUST(head > 0 && !buf_failed(&b) && buf_len(&b) < 100000);
	MUST(memcmp(buf_view(&b).p + head - 4, "\r\n\r\n", 4) == 0);
	MUST(check_lines(buf_view(&b)) == (in.n > 0 ? 4 : 3));
	buf_fini(&b);
	return 0;
}
