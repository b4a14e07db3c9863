#include "spool/segment.h"

#include "base/cursor.h"

#include <stdlib.h>

static const struct span segment_magic = {(const uint8_t *)"GODWITSG", 8};
/* The checksum ends the page in every version. */
enum { SUM_AT = SPOOL_PAGE - 8, STEP = 1 << 20 };

static const char *const prefixes[] = {
    [SEGMENT_NEW] = "new-",
    [SEGMENT_SPARE] = "spare-",
    [SEGMENT_LOG] = "seg-",
    [SEGMENT_INDEX] = "idx-",
};

static const char digits[] = "0123456789abcdef";
enum { NUMBER_DIGITS = 16 };

void segment_encode(const struct segment_head *h, uint8_t page[SPOOL_PAGE])
{
	struct buf b;

	buf_init(&b, SPOOL_PAGE);
	buf_add_span(&b, segment_magic);
	put_u32(&b, SEGMENT_VERSION);
	put_u32(&b, 0);
	put_u64(&b, h->generation);
	put_u64(&b, h->size);
	put_u64(&b, h->previous);
	buf_add(&b, h->key.b, SPOOL_KEY);
	uint8_t *rest = buf_room(&b, SUM_AT - buf_len(&b));
	gw_assert(rest);
	memset(rest, 0, SUM_AT - buf_len(&b));
	buf_commit(&b, SUM_AT - buf_len(&b));
	put_u64(&b, spool_sum(buf_view(&b)));
	gw_assert(!buf_failed(&b) && buf_len(&b) == SPOOL_PAGE);
	memcpy(page, buf_view(&b).p, SPOOL_PAGE);
	buf_fini(&b);
}

static void fields_v1(struct cursor *c, struct segment_head *out)
{
	(void)get_u32(c);
	out->generation = get_u64(c);
	out->size = get_u64(c);
	out->previous = get_u64(c);
	memcpy(out->key.b, get_bytes(c, SPOOL_KEY).p, SPOOL_KEY);
}

/* Who reads which version. Rows are never removed while such segments may lie on a disk. */
static const struct {
	uint32_t version;
	void (*fields)(struct cursor *c, struct segment_head *out);
} readers[] = {
    {1, fields_v1},
};

int segment_decode(struct span page, struct segment_head *out)
{
	struct cursor c = cursor_of(span_first(page, SUM_AT));
	struct cursor sum = cursor_of(span_skip(page, SUM_AT));

	if (!span_eq(get_bytes(&c, segment_magic.n), segment_magic))
		return GW_EFORMAT;
	if (get_u64(&sum) != spool_sum(span_first(page, SUM_AT)) || !cursor_done(&sum))
		return GW_EFORMAT;
	uint32_t version = get_u32(&c);
	for (size_t i = 0; i < GW_ARRAY_LEN(readers); i++) {
		if (readers[i].version != version)
			continue;
		readers[i].fields(&c, out);
		return 0;
	}
	return GW_EVERSION;
}

void segment_format(char name[DISK_NAME_MAX], enum segment_name kind, uint64_t number)
{
	char *p = stpcpy(name, prefixes[kind]);

	for (int i = NUMBER_DIGITS - 1; i >= 0; i--)
		*p++ = digits[number >> (4 * i) & 15];
	*p = '\0';
}

/* Sixteen digits as segment_format writes them, and nothing behind them. */
static int parse_number(const char *s, uint64_t *number)
{
	int n = 0;

	*number = 0;
	for (; n < NUMBER_DIGITS; n++) {
		const char *digit = s[n] ? strchr(digits, s[n]) : NULL;

		if (!digit)
			return GW_EFORMAT;
		*number = *number << 4 | (uint64_t)(digit - digits);
	}
	return s[n] == '\0' ? 0 : GW_EFORMAT;
}

/* What does not read back the same is a stranger's file. */
int segment_parse(const char *name, enum segment_name *kind, uint64_t *number)
{
	for (size_t k = 0; k < GW_ARRAY_LEN(prefixes); k++) {
		size_t n = strlen(prefixes[k]);

		if (strncmp(name, prefixes[k], n) != 0)
			continue;
		*kind = (enum segment_name)k;
		return parse_number(name + n, number);
	}
	return GW_EFORMAT;
}

int segment_create(struct disk *d, uint64_t number, uint64_t size)
{
	char name[DISK_NAME_MAX];

	segment_format(name, SEGMENT_NEW, number);
	int h = d->ops->open(d, name, true);
	if (h < 0)
		return h;
	int err = d->ops->allocate(d, h, size);
	if (err == 0)
		return h;
	d->ops->close(d, h);
	(void)d->ops->remove(d, name);
	return err;
}

int segment_write_once(struct disk *d, int handle, uint64_t size)
{
	int err = 0;
	uint8_t *zeros = gw_calloc(1, size < STEP ? (size_t)size : STEP);

	for (uint64_t at = 0; err == 0 && at < size; at += STEP) {
		struct span v = span_of(zeros, size - at < STEP ? (size_t)(size - at) : STEP);

		err = d->ops->write(d, handle, &v, 1, at);
		if (err == 0)
			err = d->ops->sync(d, handle);
	}
	free(zeros);
	return err;
}

int segment_install(struct disk *d, int handle, const char *name, const struct segment_head *h)
{
	char final[DISK_NAME_MAX];
	uint8_t page[SPOOL_PAGE];
	struct span v = span_of(page, sizeof(page));

	segment_encode(h, page);
	segment_format(final, SEGMENT_LOG, h->generation);
	int err = d->ops->write(d, handle, &v, 1, 0);
	if (err == 0)
		err = d->ops->sync(d, handle);
	if (err == 0)
		err = d->ops->rename(d, name, final);
	if (err == 0)
		err = d->ops->sync_dir(d);
	return err;
}
