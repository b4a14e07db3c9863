/* What the codes of a refusal say by themselves, where nobody knows its words. */
#include "mail/reply_class.h"

struct status_row {
	uint8_t subject, detail; /* ANY: all that no row before it names */
	enum reply_class class;
};
enum { ANY = 255 };

static const struct status_row statuses[] = {
    {1, 2, REPLY_BAD_DOMAIN},
    {1, 3, REPLY_BAD_ADDRESS},
    {1, 6, REPLY_MOVED},
    {1, 7, REPLY_SENDER},
    {1, 8, REPLY_SENDER},
    {1, 9, REPLY_OTHER},
    {1, 10, REPLY_BAD_DOMAIN}, /* RFC 7505: null MX */
    {1, ANY, REPLY_BAD_MAILBOX},
    {2, 2, REPLY_FULL},
    {2, 3, REPLY_TOO_LARGE},
    {2, 4, REPLY_SYSTEM},
    {2, 1, REPLY_DISABLED},
    {3, 3, REPLY_CONVERSION},
    {3, 4, REPLY_TOO_LARGE},
    {3, ANY, REPLY_SYSTEM},
    {4, 3, REPLY_DNS},
    {4, 4, REPLY_DNS},
    {4, 5, REPLY_SYSTEM},
    {4, 6, REPLY_LOOP},
    {4, 7, REPLY_TIMEOUT},
    {4, ANY, REPLY_UNREACHABLE},
    {5, 3, REPLY_RECIPIENTS},
    {5, ANY, REPLY_PROTOCOL},
    {6, 6, REPLY_SYSTEM},
    {6, ANY, REPLY_CONVERSION},
    {7, 3, REPLY_CONVERSION},
    {7, 4, REPLY_TLS},
    {7, 5, REPLY_TLS},
    {7, 6, REPLY_TLS},
    {7, 8, REPLY_LOGIN},
    {7, 9, REPLY_LOGIN},
    {7, 10, REPLY_TLS},
    {7, 11, REPLY_TLS},
    {7, 12, REPLY_LOGIN},
    {7, 13, REPLY_DISABLED},
    {7, 15, REPLY_RATE},
    {7, 16, REPLY_TOO_LARGE},
    {7, 17, REPLY_BAD_MAILBOX}, /* RFC 7293: it has another owner now */
    {7, 18, REPLY_BAD_DOMAIN},
    {7, 20, REPLY_AUTHENTICATION}, /* RFC 7372 */
    {7, 21, REPLY_AUTHENTICATION},
    {7, 22, REPLY_AUTHENTICATION},
    {7, 23, REPLY_AUTHENTICATION},
    {7, 24, REPLY_AUTHENTICATION},
    {7, 25, REPLY_BLOCKED_IP}, /* its address has no name */
    {7, 26, REPLY_AUTHENTICATION},
    {7, 27, REPLY_SENDER}, /* RFC 7505: nobody could answer it */
    {7, 28, REPLY_RATE},
    {7, 29, REPLY_AUTHENTICATION}, /* RFC 8617 */
    {7, 30, REPLY_TLS},            /* RFC 8689 */
    {7, ANY, REPLY_POLICY},
};

enum reply_class reply_class_of_status(const uint8_t esc[3])
{
	if (esc[0] != 4 && esc[0] != 5)
		return REPLY_OTHER;
	for (size_t i = 0; i < GW_ARRAY_LEN(statuses); i++) {
		if (statuses[i].subject == esc[1] &&
		    (statuses[i].detail == esc[2] || statuses[i].detail == ANY))
			return statuses[i].class;
	}
	return REPLY_OTHER;
}

enum reply_class reply_class_of_code(uint16_t code)
{
	switch (code) {
	case 421:
	case 451:
	case 452: return REPLY_SYSTEM;
	case 454: return REPLY_TLS;
	case 455:
	case 500:
	case 501:
	case 502:
	case 503:
	case 504:
	case 555: return REPLY_PROTOCOL;
	case 521: /* RFC 7504 */
	case 556: return REPLY_BAD_DOMAIN;
	case 525:
	case 530:
	case 534:
	case 535:
	case 538: return REPLY_LOGIN; /* RFC 4954 */
	case 523: return REPLY_TOO_LARGE;
	case 541: return REPLY_BLOCKED_CONTENT;
	case 551: return REPLY_MOVED;
	case 552: return REPLY_FULL;
	case 553: return REPLY_BAD_ADDRESS;
	default: return REPLY_OTHER;
	}
}
