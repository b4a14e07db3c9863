#include "mail/etrn.h"

#include "mail/address.h"

static bool group_good(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return s.n > 0 && s.n <= ETRN_GROUP_MAX;
}

bool etrn_name_good(enum etrn_kind kind, struct span name)
{
	if (kind == ETRN_GROUP)
		return group_good(name);
	return name.n <= ETRN_NAME_MAX && domain_valid(name);
}

int etrn_parse(struct span args, enum etrn_kind *kind, struct span *name)
{
	uint8_t mark = args.n > 0 ? args.p[0] : 0;

	*kind = mark == '@' ? ETRN_BELOW : mark == '#' ? ETRN_GROUP : ETRN_NODE;
	*name = span_skip(args, *kind != ETRN_NODE);
	return etrn_name_good(*kind, *name) ? 0 : GW_EFORMAT;
}

const char *etrn_text(enum etrn_kind kind, struct span name, char to[ETRN_TEXT_MAX])
{
	static const char marks[] = {[ETRN_BELOW] = '@', [ETRN_GROUP] = '#'};
	size_t n = 0;

	if (kind != ETRN_NODE)
		to[n++] = marks[kind];
	for (size_t i = 0; i < name.n && n < ETRN_TEXT_MAX - 1; i++)
		to[n++] = (char)(kind == ETRN_GROUP ? name.p[i] : ascii_lower(name.p[i]));
	to[n] = '\0';
	return to;
}
