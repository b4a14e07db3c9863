#include "mail/received.h"

#include "mail/fold.h"
#include "mail/header.h"

enum { HELO_SHOWN = 512, CLAUSE_MAX = 1024, COLUMN_WISH = 76 };

static const char *keyword(const struct received *r)
{
	static const char *const words[2][2] = {{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}};

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

static void put_clauses(struct writer *w, const struct received *r)
{
	char id[MSGID_TEXT + 1];

	buf_addf(&w->clause, "from %.*s ([%s%.*s])", SPAN_ARG(span_first(r->helo, HELO_SHOWN)),
	    span_find(r->ip, ':') >= 0 ? "IPv6:" : "", SPAN_ARG(r->ip));
	end_clause(w);
	buf_addf(&w->clause, "by %.*s with %s", SPAN_ARG(r->hostname), keyword(r));
	end_clause(w);
	if (r->tls_version.n > 0) {
		buf_addf(&w->clause, "(version=%.*s cipher=%.*s)", SPAN_ARG(r->tls_version),
		    SPAN_ARG(r->tls_cipher));
		end_clause(w);
	}
	msgid_format(&r->id, id);
	buf_addf(&w->clause, "id %s%s", id, r->only_rcpt.n > 0 ? "" : ";");
	end_clause(w);
	if (r->only_rcpt.n > 0) {
		buf_addf(&w->clause, "for <%.*s>;", SPAN_ARG(r->only_rcpt));
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
