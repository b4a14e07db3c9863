/*
 * What every file may rely on: error codes, the checked-result attribute,
 * object magics and die(). Nothing here allocates or does I/O except die().
 *
 * Functions return 0 (or a count) or one of the negative GW_E* codes. die() is
 * for the impossible and for memory running out at set-up: the process ends
 * and master starts it again (crash-only).
 */
#ifndef GW_BASE_BASE_H
#define GW_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define gw_checked __attribute__((warn_unused_result))
#define gw_printf(fmt, args) __attribute__((format(printf, fmt, args)))

#define GW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum gw_err {
	GW_OK = 0,
	GW_EFULL = -1,     /* a ceiling was reached; nothing was stored */
	GW_EFORMAT = -2,   /* the input is not of the expected form */
	GW_EMORE = -3,     /* more input is needed */
	GW_ENOENT = -4,    /* no such thing */
	GW_EPERM = -5,     /* not permitted */
	GW_EIO = -6,       /* the disk failed; see errno where it is known */
	GW_ENOSPC = -7,    /* no room on the disk */
	GW_ECORRUPT = -8,  /* a checksum or an invariant of stored data does not hold */
	GW_ECLOSED = -9,   /* the peer is gone */
	GW_EBUSY = -10,    /* not now */
	GW_ENOMEM = -11,   /* memory ran out */
	GW_EVERSION = -12, /* a format this program does not know */
};

/* One lower-case sentence fragment for a code; never NULL. */
const char *gw_strerror(int err);

/* Prints "godwit: ..." to standard error and aborts. */
_Noreturn void die(const char *fmt, ...) gw_printf(1, 2);

/* Objects that live across events start with a magic, checked on entry. */
#define GW_MAGIC(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define gw_assert(cond) \
	do { \
		if (!(cond)) \
			die("%s:%d: %s: broken: %s", __FILE__, __LINE__, __func__, #cond); \
	} while (0)
#define gw_check_magic(obj, want) gw_assert((obj) != NULL && (obj)->magic == (want))

/* Memory at set-up and for long-lived objects: never NULL, zeroed; die() when out. */
void *gw_calloc(size_t n, size_t size) gw_checked;
void *gw_realloc(void *p, size_t size) gw_checked;

#endif
