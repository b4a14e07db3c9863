/*
 * What is remembered of recipients that somebody else knows, and of the clients that ask for them:
 * answers until they are too old, and how many unknown names an address asked for lately, so that
 * nobody's dictionary becomes a flood at the host that is asked. Pure; the time is an argument.
 *
 * Both tables have a ceiling; beyond it what was made first goes. All times in microseconds.
 */
#ifndef GW_FLOW_CALLOUT_H
#define GW_FLOW_CALLOUT_H

#include "base/span.h"
#include "config/config.h"
#include "smtp/reply.h"

enum callout_verdict { CALLOUT_KNOWN, CALLOUT_UNKNOWN, CALLOUT_AWAY };

/*
 * What the reply to RCPT means. Unknown is what speaks of this recipient: 550, 551, 553 and codes
 * of 5.1.x, but for those about the sender (5.1.7, 5.1.8); a refusal of another class (5.7.1 and
 * the like) speaks of us, or of the moment: then, as behind any 4xx, nobody can say.
 */
enum callout_verdict callout_judge(const struct reply *r);

/* ---- answers */

struct callout_cache;
struct callout_cache *callout_cache_new(size_t most, uint64_t seed) gw_checked;
void callout_cache_free(struct callout_cache **c);
/* True: *known is what was said. */
bool callout_cache_find(
    struct callout_cache *c, struct span domain, struct span addr, int64_t now, bool *known);
/* Replaces what was said before. */
void callout_cache_put(struct callout_cache *c, struct span domain, struct span addr, bool known,
    int64_t until, int64_t now);
size_t callout_cache_count(const struct callout_cache *c);
/* Is somebody asked for the recipients of both, and is it the same one, in the same way, and what
 * he says remembered as long? */
bool callout_same(const struct domain *a, const struct domain *b);
/* The statement of exactly this name ("*.example" too), or NULL. */
const struct domain *callout_domain(const struct config *c, struct span name);
/* Reload: what was said of domains for which others are asked now is void. */
void callout_cache_change(
    struct callout_cache *c, const struct config *old, const struct config *next);

/* ---- clients
 * Of an address (IPv6: its /64) so many questions may be open, and so many answers may be "unknown"
 * in a minute; then it is not asked for until that minute is over. All 0 is never limited.
 */

enum { GUESSES_OPEN = 8, GUESSES_UNKNOWN = 30 };
#define GUESSES_TIME INT64_C(60000000)

struct guesses;
struct guesses *guesses_new(size_t most, uint64_t seed) gw_checked;
void guesses_free(struct guesses **g);
/* May it ask now? Then it has one more open. */
bool guesses_begin(struct guesses *g, const uint8_t ip[16], int64_t now) gw_checked;
/* Of what began. */
void guesses_end(struct guesses *g, const uint8_t ip[16], bool unknown, int64_t now);

#endif
