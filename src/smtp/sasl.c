#include "smtp/sasl.h"

const struct sasl_row sasl_rows[SASL_COUNT] = {
#define MECHANISM(id, name, rfc, doc) [SASL_##id] = {name, rfc, doc},
#include "smtp/sasl.def"
#undef MECHANISM
};

int sasl_find(struct span name)
{
	for (int i = 0; i < SASL_COUNT; i++) {
		if (span_eq_case(name, span_str(sasl_rows[i].name)))
			return i;
	}
	return -1;
}
