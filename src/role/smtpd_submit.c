/* What is mended in the header of a message on a listener for submission. */
#include "role/smtpd_auth.h"

#include "base/clock.h"
#include "base/memory.h"
#include "mail/submit.h"

static struct span domain_of(struct span account)
{
	ptrdiff_t at = span_find(account, '@');

	return at < 0 ? SPAN_NONE : span_skip(account, (size_t)at + 1);
}

/* Who writes "ann" means the Ann of his own domain, which is that of his account. */
static struct submit_context context_of(const struct transaction *t)
{
	struct span hostname = span_str(session_config(t->session)->hostname);
	struct span account = session_account(t->session);
	struct span domain = domain_of(account);

	return (struct submit_context){.hostname = hostname,
	    .domain = domain.n > 0 ? domain : hostname,
	    .account = account,
	    .from = t->from,
	    .id = t->id,
	    .wall = clock_wall()};
}

static int refuse(int err, const char *why, struct reply *r, const char **reason)
{
	if (err == GW_EFULL && memory_low()) {
		*r = REPLY(452, 4, 3, 1, "No room for this message now; please try again later");
		*reason = "no_memory";
	} else if (err == GW_EFULL) {
		*r = REPLY(552, 5, 3, 4, "The header of this message is too large");
		*reason = "header_too_large";
	} else {
		*r = (struct reply){550, {5, 6, 0}, span_str(why)};
		*reason = "header_unreadable";
	}
	return err;
}

int txn_mend(struct transaction *t, struct reply *r, const char **reason)
{
	const struct submit_context c = context_of(t);
	size_t before = buf_len(&t->head);
	const char *why = "";
	struct buf mended;
	int fixes;

	if (t->session->conf->kind != LISTEN_SUBMISSION)
		return 0;
	buf_init_soft(&mended, session_config(t->session)->limits.header_size + SMTPD_ADDED_MAX);
	fixes = submit_mend(&c, buf_view(&t->head), &mended, &why);
	if (fixes <= 0) {
		buf_fini(&mended);
		return fixes == 0 ? 0 : refuse(fixes, why, r, reason);
	}
	buf_fini(&t->head);
	t->head = mended;
	t->fixes = (unsigned)fixes;
	/* The other facts stay upper bounds: what is added is short lines of ASCII. */
	t->facts.size += buf_len(&t->head) - before;
	return 0;
}

void txn_log_fixes(const struct transaction *t, struct logline *l)
{
	struct buf words;

	if (t->fixes == 0)
		return;
	buf_init(&words, 200);
	submit_fix_words(t->fixes, &words);
	log_text(l, "fixed", buf_view(&words));
	buf_fini(&words);
}
