/* Writing a ledger: one line of JSON for each event, in large pieces. */
#include "cmd/bench.h"

#include "cmd/bench_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int ledger_open(struct ledger *l, const char *path)
{
	*l = (struct ledger){.fd = -1};
	if (path == NULL)
		return 0;
	l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (l->fd < 0)
		return GW_EIO;
	l->mem = gw_calloc(1, LEDGER_BUF);
	return 0;
}

static void put(struct ledger *l, const void *p, size_t n)
{
	/* ledger_line() keeps room for a whole line, so only an oversized one is cut. */
	if (n > LEDGER_BUF - l->used)
		n = LEDGER_BUF - l->used;
	memcpy(l->mem + l->used, p, n);
	l->used += n;
}

void ledger_raw(struct ledger *l, const char *s)
{
	put(l, s, strlen(s));
}

void ledger_number(struct ledger *l, uint64_t n)
{
	char digits[DECIMAL];
	struct span text = decimal(n, digits);

	put(l, text.p, text.n);
}

void ledger_time(struct ledger *l, int64_t usec)
{
	char fraction[7] = ".";
	uint64_t rest;

	if (usec < 0)
		usec = 0;
	rest = (uint64_t)usec % 1000000;
	for (size_t i = 6; i > 0; i--) {
		fraction[i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	ledger_number(l, (uint64_t)usec / 1000000);
	put(l, fraction, sizeof(fraction));
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void ledger_text(struct ledger *l, struct span s)
{
	static const char hex[] = "0123456789abcdef";
	char escape[] = "\\u00xx";
	size_t plain = 0;

	s = span_first(s, 512);
	put(l, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		if (is_plain(s.p[i]))
			continue;
		put(l, s.p + plain, i - plain);
		escape[4] = hex[s.p[i] >> 4];
		escape[5] = hex[s.p[i] & 15];
		put(l, escape, 6);
		plain = i + 1;
	}
	put(l, s.p + plain, s.n - plain);
	put(l, "\"", 1);
}

void ledger_line(struct ledger *l)
{
	put(l, "\n", 1);
	if (l->used > LEDGER_BUF - LEDGER_LINE_MAX)
		ledger_flush(l);
}

void ledger_flush(struct ledger *l)
{
	size_t done = 0;

	while (done < l->used && !l->failed) {
		ssize_t n = write(l->fd, l->mem + done, l->used - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR)
			l->failed = true;
	}
	l->used = 0;
}

int ledger_close(struct ledger *l)
{
	bool failed;

	if (l->fd < 0)
		return 0;
	ledger_flush(l);
	failed = l->failed;
	if (close(l->fd) < 0)
		failed = true;
	free(l->mem);
	*l = (struct ledger){.fd = -1};
	return failed ? GW_EIO : 0;
}
