#include "mail/received.h"

#include "base/utf8.h"
#include "mail/fold.h"
#include "mail/header.h"

enum { HELO_SHOWN = 512, CLAUSE_MAX = 1024, COLUMN_WISH = 76 };

static const char *keyword(const struct received *r)
{
	static const char *const words[2][2] = {{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}};
	static const char *const utf8[2][2] = {
	    {"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}};

	static const char *const lmtp[2][2] = {{"LMTP", "UTF8LMTP"}, {"LMTPS", "UTF8LMTPS"}};

	if (r->lmtp)
		return lmtp[r->tls_version.n > 0][r->smtputf8];
	if (r->smtputf8)
		return utf8[r->tls_version.n > 0][r->authenticated];
	return r->esmtp ? words[r->tls_version.n > 0][r->authenticated] : "SMTP";
}

/* Lines are broken between clauses, so that each can be searched for. */
struct writer {
	struct buf *out;
	struct buf clause; /* the one that is being made */
	size_t column;
};

static void end_clause(struct writer *w)
{
	size_t n = buf_len(&w->clause);

	gw_assert(!buf_failed(&w->clause));
	if (w->column + 1 + n > COLUMN_WISH) {
		buf_add_str(w->out, "\r\n\t");
		w->column = 1;
	} else {
		buf_add_byte(w->out, ' ');
		w->column++;
	}
	fold_clean(w->out, buf_view(&w->clause), n);
	w->column += n;
	buf_clear(&w->clause);
}

static void put(struct writer *w, const char *before, struct span text, const char *behind)
{
	buf_add_str(&w->clause, before);
	buf_add_span(&w->clause, text);
	buf_add_str(&w->clause, behind);
}

static void put_clauses(struct writer *w, const struct received *r)
{
	char id[MSGID_TEXT + 1];
	bool name_it = r->only_rcpt.n > 0 && !utf8_beyond_ascii(r->only_rcpt);
	bool priority = r->handling != NULL && r->handling->mt_priority != 0;

	put(w, "from ", span_first(r->helo, HELO_SHOWN), " ([");
	put(w, span_find(r->ip, ':') >= 0 ? "IPv6:" : "", r->ip, "])");
	end_clause(w);
	put(w, "by ", r->hostname, " with ");
	buf_add_str(&w->clause, keyword(r));
	end_clause(w);
	if (r->tls_version.n > 0) {
		buf_addf(&w->clause, "(version=%.*s cipher=%.*s)", SPAN_ARG(r->tls_version),
		    SPAN_ARG(r->tls_cipher));
		end_clause(w);
	}
	msgid_format(&r->id, id);
	put(w, "id ", span_str(id), name_it || priority ? "" : ";");
	end_clause(w);
	if (name_it) {
		put(w, "for <", r->only_rcpt, priority ? ">" : ">;");
		end_clause(w);
	}
	if (priority) {
		buf_addf(&w->clause, "PRIORITY %d;", handling_priority(r->handling));
		end_clause(w);
	}
	header_date(r->wall, &w->clause);
	end_clause(w);
}

void received_put(const struct received *r, struct buf *out)
{
	static const struct span name = SPAN("Received:");
	struct writer w = {.out = out, .column = name.n};

	buf_init(&w.clause, CLAUSE_MAX);
	buf_add_span(out, name);
	put_clauses(&w, r);
	buf_add_str(out, "\r\n");
	buf_fini(&w.clause);
}
