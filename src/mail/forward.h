/*
 * The file in which a user says where his mail goes on to, as sendmail's .forward: addresses,
 * parted by commas or on lines of their own, '#' starts a comment at the begin of a line. His own
 * address, \name, or name (his own) keeps a copy in his mailbox; another name is one of his domain.
 * Programs, files and :include: are refused, and then nothing of the file counts.
 *
 * Pure. The text is hostile: its owner wrote it, or whoever got into his account.
 */
#ifndef GW_MAIL_FORWARD_H
#define GW_MAIL_FORWARD_H

#include "base/arena.h"

enum { FORWARD_MAX = 100, FORWARD_OCTETS = 64 << 10, FORWARD_WHY = 160 };

struct forward {
	bool keep;
	struct span to[FORWARD_MAX]; /* canonical, each once, without his own */
	size_t n;
	char why[FORWARD_WHY]; /* why it is refused: one line of ASCII */
};

/*
 * own: the canonical address; subaddress: parts his name from the rest, or 0. Addresses live in the
 * arena. 0 (n == 0 and not keep: the file says nothing); GW_EFORMAT: refused, see why.
 */
int forward_parse(struct span text, struct span own, char subaddress, struct forward *f,
    struct arena *a) gw_checked;

#endif
