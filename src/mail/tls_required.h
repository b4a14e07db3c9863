/*
 * The header field TLS-Required (RFC 8689 section 3): "No" asks that the message goes out also
 * where what a receiving domain publishes about TLS could not be kept. Pure.
 */
#ifndef GW_MAIL_TLS_REQUIRED_H
#define GW_MAIL_TLS_REQUIRED_H

#include "base/span.h"

/* Is the field there, once, and says it "No"? Any other value, and a second field, mean nothing. */
bool tls_required_no(struct span head);

#endif
