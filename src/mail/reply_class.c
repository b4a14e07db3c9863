#include "mail/reply_class.h"

const struct reply_class_row reply_classes[REPLY_CLASSES] = {
#define REPLY_CLASS(id, word, permanent, means, advice) \
	[REPLY_##id] = {word, permanent, means, advice},
#include "mail/reply_class.def"
#undef REPLY_CLASS
};

enum reply_class reply_class_of_word(struct span word)
{
	size_t i = 0;

	while (i < REPLY_CLASSES && !span_eq(word, span_str(reply_classes[i].word)))
		i++;
	return (enum reply_class)i;
}
