/*
 * What limits promise, counted once more beside the queue: of one account no more than so many are
 * taken in any window, over crashes of every kind, and none is refused while there is room; of
 * another one the mail beyond the limit is held, leaves in the order in which it was committed, and
 * no more of it in any window than there may be; nothing passes what waits. That all of it flows is
 * the book's to check (book_final).
 */
#ifndef GW_TESTS_SIM_TALLY_H
#define GW_TESTS_SIM_TALLY_H

#include "sim/world.h"

/* The statements of the configuration. */
#define TALLY_LIMITS \
	"limit account ann@src.test messages 6/5s\n" \
	"limit account ben messages 4/3s over hold\n"

/* The queue judges this COMMIT now; and refuses it for a limit. */
void tally_commit(struct world *w, struct mail *m);
void tally_refused(struct world *w, const struct mail *m);
/* A record is asked for; is durable; a mail was refused; its record could not be written, and
 * whoever waits for that may be dead; all that was under way is lost. */
void tally_asked(struct world *w, const struct broker_effect *e);
void tally_durable(
    struct book *l, enum broker_record type, const struct msgid *id, struct span meta);
void tally_failed(struct mail *m);
void tally_unwritten(struct book *l, const struct msgid *id);
void tally_lost(struct book *l);

#endif
