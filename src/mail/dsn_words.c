#include "mail/dsn_words.h"

#include "mail/header.h"

#include <stdio.h>

struct meaning {
	uint8_t subject, detail; /* detail 0: any other of the subject */
	const char *means, *advice;
};

static const struct meaning meanings[] = {
    {1, 1, "There is no such mailbox at this domain.",
	"Check the spelling of the part before the @, or ask the recipient in another way."},
    {1, 2, "The domain of the address does not exist or has no mail server.",
	"Check the spelling of the part behind the @."},
    {1, 3, "The address is not written as an address must be.", "Correct the address."},
    {1, 6, "The mailbox has moved and left no new address.",
	"Ask the recipient for the new address."},
    {1, 7, "Your own address, as the sender, was not accepted.",
	"Check the sender address in your mail program, or ask your administrator."},
    {1, 8, "Your own address, as the sender, was not accepted.",
	"Check the sender address in your mail program, or ask your administrator."},
    {1, 10, "The domain says that it takes no mail at all.",
	"Check the spelling of the part behind the @."},
    {1, 0, "The address was not accepted.", "Check the spelling of the address."},
    {2, 1, "The mailbox exists but takes no mail.", "Ask the recipient in another way."},
    {2, 2, "The mailbox is full.",
	"Tell the recipient in another way, and send the message again later."},
    {2, 3, "The message is larger than this mailbox takes.",
	"Send a smaller message, or share large files in another way."},
    {2, 0, "The mailbox could not take the message.", "Send the message again later."},
    {3, 4, "The message is larger than the recipient's system takes.",
	"Send a smaller message, or share large files in another way."},
    {3, 0, "The recipient's mail system could not take the message.",
	"Send the message again later."},
    {4, 3, "The servers of the domain could not be found out.",
	"Check the spelling of the part behind the @, or send the message again later."},
    {4, 6, "The message went round in a circle between mail servers.",
	"Tell your administrator: a forwarding or a mail route is set up wrongly."},
    {4, 7, "The recipient's mail system could not be reached in time.",
	"Send the message again later, or ask the recipient in another way."},
    {4, 0, "The recipient's mail system could not be reached.",
	"Send the message again later, or ask the recipient in another way."},
    {5, 3, "The message has more recipients than the other system takes.",
	"Send it to fewer recipients at a time."},
    {5, 0, "The two mail systems did not understand each other.", "Tell your administrator."},
    {6, 0, "The form of the message was not accepted.",
	"Send the message in a simpler form: plain text, no attachments."},
    {7, 0, "The recipient's mail system does not want this message.",
	"Ask your administrator, or the recipient in another way, why it is refused."},
    {0, 0, "The reason is in the answer above.",
	"If it does not help you, show this report to your administrator."},
};

/* The dot was sent and no answer came: nothing was refused, and nothing is known. */
static const struct meaning unsure = {4, 2,
    "The connection broke before the recipient's system had answered: the message may have been "
    "delivered, or not.",
    "Ask the recipient in another way whether it is there, before you send it again."};

static const struct meaning *meaning_of(const struct change_rcpt *c)
{
	struct dsn_status s = dsn_status_of(c);
	const struct meaning *m = change_unsure(c) ? &unsure : meanings;

	while (m != &unsure && m->subject != 0 &&
	       (m->subject != s.subject || (m->detail != 0 && m->detail != s.detail)))
		m++;
	return m;
}

struct dsn_status dsn_status_of(const struct change_rcpt *c)
{
	bool expired = c->outcome == OUTCOME_EXPIRED;

	/* RFC 3463 knows 2, 4 and 5; a code of success does not explain a failure. */
	if (c->esc[0] != 4 && c->esc[0] != 5)
		return expired ? (struct dsn_status){4, 4, 7} : (struct dsn_status){5, 0, 0};
	return (struct dsn_status){expired ? 4 : 5, c->esc[1], c->esc[2]};
}

void dsn_add_reply(struct fold *f, const struct change_rcpt *c)
{
	char codes[32];

	if (c->code != 0) {
		snprintf(codes, sizeof(codes), "%u ", (unsigned)c->code);
		fold_add(f, span_str(codes));
	}
	if (c->code != 0 && c->esc[0] != 0) {
		snprintf(codes, sizeof(codes), "%u.%u.%u ", c->esc[0], c->esc[1], c->esc[2]);
		fold_add(f, span_str(codes));
	}
	fold_add(f, span_first(c->reply, DSN_REPLY_MAX));
}

static void add_line(struct buf *out, const char *label, const char *text)
{
	struct fold f = fold_begin(out, 4, "      ");

	buf_add_str(out, "    ");
	fold_add(&f, span_str(label));
	fold_add(&f, span_str(text));
	buf_add_str(out, "\r\n");
}

static void add_said(struct buf *out, const struct change_rcpt *c)
{
	struct fold f = fold_begin(out, 4, "      ");

	buf_add_str(out, "    ");
	if (c->host.n > 0) {
		fold_add(&f, SPAN("The host "));
		fold_add(&f, span_first(c->host, DSN_ADDRESS_MAX));
		fold_add(&f, c->code != 0 ? SPAN(" said: ") : SPAN(" was tried: "));
	} else {
		fold_add(&f, SPAN("This system found: "));
	}
	if (c->code == 0 && c->reply.n == 0)
		fold_add(&f, SPAN("no answer was recorded"));
	dsn_add_reply(&f, c);
	buf_add_str(out, "\r\n");
}

static void add_expired(struct buf *out, const struct change_rcpt *c, int64_t usec)
{
	int64_t minutes = usec > 0 ? usec / 60000000 : 0;
	const char *unit = minutes >= 2880 ? "days" : minutes >= 120 ? "hours" : "minutes";
	int64_t n = minutes >= 2880 ? minutes / 1440 : minutes >= 120 ? minutes / 60 : minutes;

	buf_addf(out, "    Tried for %lld %s (attempts: %lu), then given up. The last time:\r\n",
	    (long long)n, unit, (unsigned long)c->attempts);
}

static void add_rcpt(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	const struct meaning *m = meaning_of(r->change);

	buf_add_str(out, "<");
	fold_clean(out, r->addr, DSN_ADDRESS_MAX);
	buf_add_str(out, ">\r\n");
	if (r->change->outcome == OUTCOME_EXPIRED)
		add_expired(out, r->change, d->now - d->arrived);
	add_said(out, r->change);
	add_line(out, "What it means: ", m->means);
	add_line(out, "What to do: ", m->advice);
	buf_add_str(out, "\r\n");
}

static void add_about(const struct dsn *d, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&d->id, id);
	buf_addf(out, "Your message had the id %s here.\r\nIt arrived at ", id);
	header_date(d->arrived, out);
	buf_add_str(out, ".\r\n");
	if (d->original_head.n > 0)
		buf_add_str(out, "Its header is attached; its text is not.\r\n");
}

bool dsn_unsure(const struct dsn *d)
{
	for (size_t i = 0; i < d->n_rcpt; i++) {
		if (!change_unsure(d->rcpt[i].change))
			return false;
	}
	return d->n_rcpt > 0;
}

void dsn_words(const struct dsn *d, struct buf *out)
{
	size_t listed = d->n_rcpt < DSN_LISTED_MAX ? d->n_rcpt : DSN_LISTED_MAX;

	buf_add_str(out, "This is the mail system at ");
	fold_clean(out, d->reporting_host, DSN_ADDRESS_MAX);
	buf_addf(out,
	    ".\r\n\r\n%s to %s named below.\r\n"
	    "It will not be tried again.\r\n\r\n",
	    dsn_unsure(d) ? "Your message may or may not have been delivered"
			  : "Your message could not be delivered",
	    d->n_rcpt == 1 ? "the recipient" : "the recipients");
	for (size_t i = 0; i < listed; i++)
		add_rcpt(d, &d->rcpt[i], out);
	if (listed < d->n_rcpt)
		buf_addf(out,
		    "... and %zu more: the second part of this report names them.\r\n\r\n",
		    d->n_rcpt - listed);
	add_about(d, out);
}
