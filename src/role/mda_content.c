#include "role/mda_content.h"

#include <errno.h>
#include <unistd.h>

/* ---- reading ---------------------------------------------------------------------------- */

static bool read_all(int fd, void *to, size_t n)
{
	uint8_t *p = to;

	while (n > 0) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static int read_chunk(int fd, uint32_t n, int (*take)(void *, struct span), void *arg)
{
	static uint8_t chunk[CONTENT_CHUNK];
	int err = 0;

	while (n > 0 && err >= 0) {
		uint32_t part = n < sizeof(chunk) ? n : (uint32_t)sizeof(chunk);

		if (!read_all(fd, chunk, part))
			return GW_ECLOSED;
		err = take(arg, span_of(chunk, part));
		n -= part;
	}
	return err < 0 ? err : 0;
}

int content_read(int fd, int (*take)(void *, struct span), void *arg)
{
	for (;;) {
		uint8_t head[4];
		uint32_t n;
		int err;

		if (!read_all(fd, head, sizeof(head)))
			return GW_ECLOSED;
		n = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
		    (uint32_t)head[3] << 24;
		if (n == 0)
			return 0;
		err = read_chunk(fd, n, take, arg);
		if (err < 0)
			return err;
	}
}

/* ---- writing ---------------------------------------------------------------------------- */

void writer_init(struct writer *w, int fd)
{
	w->fd = fd;
	w->err = 0;
	w->cr = w->was_cr = false;
	w->size = w->wire = 0;
	w->n = 0;
}

static void write_out(struct writer *w)
{
	size_t done = 0;

	while (done < w->n && w->err == 0) {
		ssize_t n = write(w->fd, w->out + done, w->n - done);

		if (n < 0 && errno != EINTR)
			w->err = errno;
		else if (n > 0)
			done += (size_t)n;
	}
	w->n = 0;
}

static void put(struct writer *w, uint8_t c)
{
	if (w->n == sizeof(w->out))
		write_out(w);
	w->out[w->n++] = c;
	w->size++;
	w->wire += c == '\n' && !w->was_cr ? 2 : 1;
	w->was_cr = c == '\r';
}

int writer_put(struct writer *w, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (w->cr && s.p[i] != '\n')
			put(w, '\r');
		w->cr = s.p[i] == '\r';
		if (!w->cr)
			put(w, s.p[i]);
	}
	return w->err == 0 ? 0 : GW_EIO;
}

static void put_text(struct writer *w, const char *text)
{
	for (; *text != '\0'; text++)
		put(w, (uint8_t)*text);
}

void writer_field(struct writer *w, const char *before, struct span value, const char *after)
{
	put_text(w, before);
	for (size_t i = 0; i < value.n; i++)
		put(w, value.p[i] < ' ' || value.p[i] == 0x7f ? '?' : value.p[i]);
	put_text(w, after);
}

int writer_end(struct writer *w)
{
	if (w->cr)
		put(w, '\r');
	w->cr = false;
	write_out(w);
	return w->err == 0 ? 0 : GW_EIO;
}
