/* What a refusal means (reply_class.def): one vocabulary for log, reports, metrics and patterns. */
#ifndef GW_MAIL_REPLY_CLASS_H
#define GW_MAIL_REPLY_CLASS_H

#include "base/span.h"

enum reply_class {
#define REPLY_CLASS(id, word, permanent, means, advice) REPLY_##id,
#include "mail/reply_class.def"
#undef REPLY_CLASS
	REPLY_CLASSES
};

struct reply_class_row {
	const char *word;
	bool permanent;
	const char *means, *advice;
};
extern const struct reply_class_row reply_classes[REPLY_CLASSES];

/* By an enhanced code alone (RFC 3463, the registry of RFC 5248, RFC 7505); REPLY_OTHER: it says
 * nothing. */
enum reply_class reply_class_of_status(const uint8_t esc[3]);
/* By a basic code alone (RFC 5321, RFC 4954, RFC 7504). */
enum reply_class reply_class_of_code(uint16_t code);
/* REPLY_CLASSES: there is no such word. */
enum reply_class reply_class_of_word(struct span word);

#endif
