/*
 * What a refusal means: statements "classify CLASS REGEX", the first whose pattern is in the reply
 * decides; behind them the enhanced code (mail/reply_class.h), then the basic code. The rules that
 * are built in (builtin_replies.conf) stand behind those of the configuration, or where it includes
 * builtin:replies.
 *
 * A pattern sees "CODE ESC TEXT" in small letters, with 0.0.0 where there is no enhanced code, 000
 * where there is no reply at all, one blank for any run of blanks and line ends, and a bare @ for
 * each address: who a message is for must not decide what is thought of its refusal. It is compared
 * without regard to case.
 *
 * Whatever a host says costs a bounded time: the beginning is looked at alone, most rules are
 * passed by for want of a text they need (literal.h), and of the others so many are tried; then the
 * codes decide. The rules that are built in are read at the first call, a few milliseconds, and
 * kept with the configuration: most processes never ask. Else no call keeps memory.
 */
#ifndef GW_CONFIG_CLASSIFY_H
#define GW_CONFIG_CLASSIFY_H

#include "config/config.h"

enum {
	CLASSIFY_RULES = 2000, /* in one configuration */
	CLASSIFY_TRIED = 128   /* patterns that are searched for in one reply */
};

/* What decided. */
enum classified_by {
	CLASSIFIED_OURSELVES, /* the content was sent and no reply came */
	CLASSIFIED_RULE,
	CLASSIFIED_STATUS, /* the enhanced code */
	CLASSIFIED_CODE,
	CLASSIFIED_NOTHING /* REPLY_OTHER */
};
struct classified {
	enum reply_class class;
	enum classified_by by;
	const struct classify_rule *rule; /* CLASSIFIED_RULE, else NULL */
	uint8_t esc[3]; /* CLASSIFIED_STATUS: that one; it may have stood in the text */
};

/* code 0: no reply, the text is ours. esc may be {0,0,0}. */
enum reply_class classify_reply(
    const struct config *c, uint16_t code, const uint8_t esc[3], struct span text);
void classify_explain(const struct config *c, uint16_t code, const uint8_t esc[3], struct span text,
    struct classified *out);

/* "550-5.1.1 words", as logs and people write it: what of it is there. Text is borrowed. */
void classify_split(struct span line, uint16_t *code, uint8_t esc[3], struct span *text);

#endif
