/*
 * The content of a delivery on its way through the child: chunks from the parent are read, each
 * goes to one function, and in the end stands the writer. What changes content on the way (a
 * conversion) takes the place of that function and passes on to the writer what it makes:
 *
 *	content_read(fd, step, &state)  ->  writer_put(&writer, octets)
 */
#ifndef GW_ROLE_MDA_CONTENT_H
#define GW_ROLE_MDA_CONTENT_H

#include "base/span.h"

enum { CONTENT_CHUNK = 64 << 10, WRITER_ROOM = CONTENT_CHUNK + 4096 };

/* Chunks behind a length (u32, little-endian) up to one of length 0. 0; GW_ECLOSED: the end did not
 * come; or the first negative value that take() returned. */
int content_read(int fd, int (*take)(void *arg, struct span octets), void *arg) gw_checked;

/*
 * Writes lines that end with LF: CRLF becomes LF, a CR alone stays. The first error is kept and
 * ends all writing.
 */
struct writer {
	int fd, err;   /* errno of the first failure, 0 */
	bool cr;       /* the last octet was a CR that is not written yet */
	bool was_cr;   /* the last octet that was written is one */
	uint64_t size; /* octets written or about to be */
	uint64_t wire; /* the same with CRLF at the end of each line */
	size_t n;
	uint8_t out[WRITER_ROOM];
};
void writer_init(struct writer *w, int fd);
/* 0, or GW_EIO. */
int writer_put(struct writer *w, struct span content) gw_checked;
/* A field of ours; what is no printable octet of the value cannot end its line. */
void writer_field(struct writer *w, const char *before, struct span value, const char *after);
/* Everything is with the kernel: 0, or GW_EIO. */
int writer_end(struct writer *w) gw_checked;

#endif
