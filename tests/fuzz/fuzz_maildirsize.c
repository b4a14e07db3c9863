/*
 * The file maildirsize of a mailbox without messages, as its owner may have left it; an odd first
 * octet: behind the first line that is ours. What is said rests on the sum of its lines, or the
 * file was made anew and says that nothing is there; asked again, the answer is the same.
 */
#include "role/maildir_quota.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT "1000S,10C\n"

enum { ROOM = 8192, MORE = 100 };

static char top[64];
static int box = -1;

static void check(bool good)
{
	if (!good)
		abort();
}

static void remove_box(void)
{
	unlinkat(box, "maildirsize", 0);
	unlinkat(box, "tmp", AT_REMOVEDIR);
	rmdir(top);
}

static void make_box(void)
{
	snprintf(top, sizeof(top), "/tmp/gw-fuzz-quota-XXXXXX");
	check(mkdtemp(top) != NULL);
	box = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(box >= 0 && mkdirat(box, "tmp", 0700) == 0);
	atexit(remove_box);
}

static void put(struct span text)
{
	int fd = openat(box, "maildirsize", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
	close(fd);
}

static struct span get(char room[ROOM])
{
	int fd = openat(box, "maildirsize", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, room, ROOM - 1);

	check(fd >= 0 && n >= 0);
	close(fd);
	room[n] = '\0';
	return span_of(room, (size_t)n);
}

/* All numbers behind the first line, in turns. */
static bool sum_fits(const char *text)
{
	__int128 sum[2] = {0};
	const char *at = strchr(text, '\n');
	char *end;

	check(at != NULL);
	for (unsigned i = 0;; i++, at = end) {
		long long n = strtoll(at, &end, 10);

		if (end == at)
			break;
		sum[i % 2] += n;
	}
	check(sum[0] >= 0 && sum[1] >= 0);
	return sum[0] + MORE <= 1000 && sum[1] + 1 <= 10;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct quota q = {.octets = 1000, .messages = 10};
	char room[ROOM];
	enum quota_answer answer;
	struct span now;
	struct buf b;

	if (size == 0 || size > ROOM - sizeof(LIMIT) - 1)
		return 0;
	if (box < 0)
		make_box();
	buf_init(&b, ROOM);
	buf_add_str(&b, data[0] % 2 == 1 ? LIMIT : "");
	buf_add(&b, data + 1, size - 1);
	put(buf_view(&b));
	answer = quota_ask(box, &q, MORE);
	check(answer == QUOTA_FITS || answer == QUOTA_FULL);
	now = get(room);
	if (span_eq(now, buf_view(&b)))
		check(sum_fits(room) == (answer == QUOTA_FITS));
	else
		check(answer == QUOTA_FITS && span_eq(now, SPAN(LIMIT "0 0\n")));
	check(quota_ask(box, &q, MORE) == answer);
	quota_add(box, &q, MORE);
	buf_fini(&b);
	return 0;
}
