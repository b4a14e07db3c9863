#include "mail/tls_required.h"

#include "mail/header.h"

bool tls_required_no(struct span head)
{
	struct span value = header_get(head, SPAN("TLS-Required"));

	return span_eq_case(span_trim(value), SPAN("No")) &&
	       header_count(head, SPAN("TLS-Required")) == 1;
}
