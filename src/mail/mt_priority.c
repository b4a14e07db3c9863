#include "mail/mt_priority.h"

#include "mail/handling.h"
#include "mail/header.h"

unsigned mt_priority_parse(struct span text)
{
	bool less = text.n > 0 && text.p[0] == '-';
	struct span digit = span_skip(text, less);
	unsigned n;

	if (digit.n != 1 || !ascii_isdigit(digit.p[0]) || (less && digit.p[0] == '0'))
		return 0;
	n = (unsigned)(digit.p[0] - '0');
	return less ? MT_PRIORITY_ZERO - n : MT_PRIORITY_ZERO + n;
}

/* Without the comment that may stand behind it. */
static struct span number_of(struct span value)
{
	ptrdiff_t comment;

	value = span_trim(value);
	comment = span_find(value, '(');
	if (comment < 0 || value.p[value.n - 1] != ')')
		return value;
	return span_trim(span_first(value, (size_t)comment));
}

unsigned mt_priority_said(struct span head)
{
	if (header_count(head, SPAN("MT-Priority")) != 1)
		return 0;
	return mt_priority_parse(number_of(header_get(head, SPAN("MT-Priority"))));
}
