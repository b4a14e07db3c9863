#include "smtp/ehlo.h"

const struct ehlo_row ehlo_rows[EXT_COUNT] = {
#define EXTENSION(id, keyword, rfc, doc) [EXT_##id] = {keyword, rfc, doc},
#include "smtp/ehlo.def"
#undef EXTENSION
};

int ehlo_find(struct span keyword)
{
	for (int i = 0; i < EXT_COUNT; i++) {
		if (span_eq_case(keyword, span_str(ehlo_rows[i].keyword)))
			return i;
	}
	return -1;
}
