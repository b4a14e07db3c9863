/* How a message asks to be handled (mail/handling.h): what of it this client gets. */
#ifndef GW_ROLE_SMTPD_HANDLING_H
#define GW_ROLE_SMTPD_HANDLING_H

#include "role/smtpd.h"

/* At MAIL: the reply, which says what was granted where that is less. */
struct reply txn_grant(struct transaction *t);
/* At the end of data: what the header says. */
void txn_read_handling(struct transaction *t);

#endif
