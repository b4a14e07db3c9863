/*
 * The table of extensions (ehlo.def) as an enum and rows: one source for what
 * the server offers, what the client understands, and docs/extensions.md.
 */
#ifndef GW_SMTP_EHLO_H
#define GW_SMTP_EHLO_H

#include "base/span.h"

enum extension {
#define EXTENSION(id, keyword, rfc, doc) EXT_##id,
#include "smtp/ehlo.def"
#undef EXTENSION
	EXT_COUNT
};

struct ehlo_row {
	const char *keyword;
	unsigned rfc;
	const char *doc;
};
extern const struct ehlo_row ehlo_rows[EXT_COUNT];

/* The extension of a keyword (any case), or -1. */
int ehlo_find(struct span keyword);

#define EXT_BIT(id) (UINT32_C(1) << EXT_##id)
/* All rows of the table. */
#define EXT_ALL ((UINT32_C(1) << EXT_COUNT) - 1)
/* Those that a client has only when the owner says so (server_grant). */
#define EXT_GRANTED EXT_BIT(ETRN)

#endif
