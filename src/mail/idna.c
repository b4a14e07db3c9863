#include "mail/idna.h"

#include "base/idn.h"
#include "base/utf8.h"
#include "mail/address.h"

enum { NAME_MAX_OCTETS = 255 };

/* In a U-label too a hyphen stands neither first nor last (RFC 5891 section 4.2.3.1), and in ASCII
 * there are letters, digits and hyphens. */
static bool label_plausible(struct span s)
{
	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c < 0x80 && !ascii_isalpha(c) && !ascii_isdigit(c) && c != '-')
			return false;
	}
	return true;
}

static bool plausible(struct span s)
{
	for (;;) {
		ptrdiff_t dot = span_find(s, '.');

		if (!label_plausible(dot < 0 ? s : span_first(s, (size_t)dot)))
			return false;
		if (dot < 0)
			return true;
		s = span_skip(s, (size_t)dot + 1);
	}
}

int domain_to_ascii(struct span name, struct buf *out)
{
	size_t before = buf_len(out);
	uint8_t lower[NAME_MAX_OCTETS];

	if (name.n > NAME_MAX_OCTETS || !plausible(name) || !utf8_valid(name))
		return GW_EFORMAT;
	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(name.p[i]);
	if (!utf8_beyond_ascii(name))
		return domain_valid(name) ? buf_add(out, lower, name.n) : GW_EFORMAT;
	/* The library's limits are those of the DNS; ours are the last word. */
	if (idn_to_ascii(span_of(lower, name.n), out) == 0 &&
	    domain_valid(span_skip(buf_view(out), before)))
		return 0;
	if (!buf_failed(out))
		buf_cut(out, before);
	return GW_EFORMAT;
}
