#include "base/dns.h"

enum { LABEL_MAX = 63 };

static bool label_octet(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '-' || c == '_';
}

bool dns_name_good(struct span name)
{
	size_t label = 0;

	if (name.n == 0 || name.n > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '.' ? label == 0 : !label_octet(name.p[i]))
			return false;
		label = name.p[i] == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0;
}
