/*
 * What the queue told this receiver of limits (LIMIT frames): who is near one or over it, and until
 * when. It is advice, so that a client hears early what the COMMIT would say; the verdict on the
 * COMMIT counts. So a table that is full, or old, costs a client nothing but a later refusal.
 *
 * A rule is known by its values: key, what, window, n and plan. What was told of a rule that is in
 * the configuration no longer is never asked for. Times are loop_now(). Owned by the role.
 */
#ifndef GW_ROLE_LIMIT_ADVICE_H
#define GW_ROLE_LIMIT_ADVICE_H

#include "config/config.h"
#include "role/proto.h"

struct limit_advice;

/* Beyond it the new one takes the place of another, of one that says nothing any more if there is.
 */
enum { LIMIT_ADVICE_MAX = 1 << 13 };

/* rows: LIMIT_ADVICE_MAX, or less in tests. */
struct limit_advice *limit_advice_new(uint64_t seed, size_t rows) gw_checked;
void limit_advice_free(struct limit_advice **a);
/* Another queue: it tells all that stands. */
void limit_advice_clear(struct limit_advice *a);
/* The payload of LIMIT: 0 or GW_EFORMAT. */
int limit_advice_take(struct limit_advice *a, struct span payload, int64_t now) gw_checked;
/* Does a frame speak of this rule? */
bool limit_advice_is_of(const struct proto_limit *l, const struct limit_rule *rule) gw_checked;

/* May `amount` more of what the rule counts come now? *opens: if not, when there will be room for
 * one; 0: nobody knows. */
bool limit_advice_admits(struct limit_advice *a, const struct limit_rule *rule, struct span subject,
    uint64_t amount, int64_t now, int64_t *opens) gw_checked;
/* The same for one that waited until the limit opened: of those that wait together one at a time
 * is let through, until the queue says how it stands now. */
bool limit_advice_admits_one(struct limit_advice *a, const struct limit_rule *rule,
    struct span subject, int64_t now, int64_t *opens) gw_checked;

size_t limit_advice_rows(const struct limit_advice *a) gw_checked;

#endif
