/*
 * Between the files of the server engine: server.c (session, feed), server_answer.c (verdicts),
 * server_command.c (verbs), server_mail.c (MAIL and RCPT), server_parameter.c (their parameters),
 * server_ehlo.c (what is offered), server_etrn.c (ETRN), server_auth.c (STARTTLS and AUTH),
 * server_turn.c (ATRN), server_body.c (content, the dot machine), server_chunk.c (BDAT),
 * server_xclient.c (XCLIENT), server_each.c (the replies of LMTP).
 */
#ifndef GW_SMTP_SERVER_PRIVATE_H
#define GW_SMTP_SERVER_PRIVATE_H

#include "smtp/server.h"

enum {
	SERVER_MAGIC = GW_MAGIC('S', 'r', 'v', 'r'),
	/* Ceiling of one verdict's text: the worst of it, a line per octet, still fits above HIGH.
	 */
	ANSWER_TEXT_MAX = 1024,
	LATE_MAX = ANSWER_TEXT_MAX * 24,
};

/* Why the content is refused: server.refuse, the graver the higher. */
enum server_refuse {
	REFUSE_NOT,
	REFUSE_SIZE,
	REFUSE_NUL,
	REFUSE_BARE,
	REFUSE_CHUNK, /* server.late says why */
};

/* In server.eom. */
enum server_eom { EOM_NOT, EOM_LINE /* the last line lacks its CRLF */, EOM_DUE };

/* Puts a reply into the output. A failed output ends the session, and keeps what it had before. */
void server_settle(struct server *s, size_t before);
void server_say(struct server *s, const struct reply *r);
/* The same without enhanced codes: to EHLO and HELO. */
void server_say_plain(struct server *s, const struct reply *r);
/* The same with the host name in front of the text: greeting, 221, 421. */
void server_say_host(struct server *s, const struct reply *r);

/* One line of any length: "334 " and what is not to be folded. */
void server_say_line(struct server *s, const char *code, struct span text);
/* What waits in server.late, for n recipients. */
void server_say_late(struct server *s, uint32_t n);
/* The same to each recipient of the message; to all at once where it is not LMTP. */
void server_say_each(struct server *s, const struct reply *r);
/* There is room again: what is still due. */
void server_repeat(struct server *s);

/* The next event; its verdict is due. */
struct server_event *server_ask(struct server *s, enum server_event_type type);
/* Says no, tells the owner; repeated without progress it ends the session. */
void server_refuse(struct server *s, const struct reply *r, const char *stage, const char *reason);
/* Tells the owner of a refusal without a reply to the client. */
void server_note(struct server *s, const struct reply *r, const char *stage, const char *reason);
/* Refuses with those words and ends the session for that reason. */
void server_expel(struct server *s, const struct reply *r, const char *stage, const char *reason);
/* One more command without progress: false if that was one too many (then all is said). */
bool server_tolerate(struct server *s, const char *stage);
/* The open transaction, if any, is forgotten. */
void server_forget(struct server *s);
/* The session is over. */
void server_finish(struct server *s, const char *reason);

/* At the boundary of commands: time begins anew, a wish to end is granted. */
void server_boundary(struct server *s, int64_t now);

/* One whole line without its CRLF; waiting: there is input behind it. */
void server_command(struct server *s, struct span line, bool waiting);

/* Printable ASCII and blanks only. */
bool server_plain(struct span line);

/* What is offered now, after the configuration and what was agreed on. */
bool server_offers(const struct server *s, enum extension e);
/* Bits 1 << SASL_...: those a client may use now. */
uint32_t server_mechanisms(const struct server *s);
/* " A B C" */
void server_list_mechanisms(const struct server *s, struct buf *text);
/* "\nKEYWORD ..." for each. */
void server_ehlo(const struct server *s, struct buf *text);

/* 501 5.5.4 */
void server_bad_argument(struct server *s, const char *stage);

/* The parameters of ev->type, MAIL or RCPT, into ev. False: one made no sense, all is said. */
bool server_take_parameters(struct server *s, struct span rest, struct server_event *ev);
void server_run_mail(struct server *s, struct span args);
void server_run_rcpt(struct server *s, struct span args);
void server_run_starttls(struct server *s, struct span args);
void server_run_auth(struct server *s, struct span args);
/* The line behind a 334. */
void server_auth_line(struct server *s, struct span line);
/* An AUTH command, or the line behind a 334, that was longer than SERVER_AUTH_LINE_MAX. */
void server_auth_too_long(struct server *s);
void server_run_etrn(struct server *s, struct span args);
void server_answer_etrn(struct server *s, const struct reply *r);
void server_answer_tls(struct server *s, const struct reply *r);
/* server_turn.c */
void server_run_atrn(struct server *s, struct span args);
void server_answer_atrn(struct server *s, const struct reply *r);
void server_answer_auth(struct server *s, const struct reply *r);

/* Behind 354. */
void server_body_start(struct server *s);
size_t server_body_feed(struct server *s, struct span in);
/* A piece of the content: scanned, judged, given out. */
void server_content(struct server *s, struct span piece);
void server_refuse_content(struct server *s, enum server_refuse why);
/* The content that was refused is over: the reply, and the end if it was for a bare CR or LF. */
void server_body_refused(struct server *s);
/* When the content falls behind data_rate; INT64_MAX if nobody asks for one. */
int64_t server_body_floor(const struct server *s);
/* More than this is not worth reading only to refuse it; 0: no limit. */
uint64_t server_swallow_max(const struct server *s);

void server_run_xclient(struct server *s, struct span args);
void server_answer_xclient(struct server *s, const struct reply *r);
/* "\nXCLIENT ...", where it may be said. */
void server_ehlo_xclient(const struct server *s, struct buf *text);

void server_run_bdat(struct server *s, struct span args);
/* A BDAT that cannot be understood: what follows it could be anything. */
void server_chunk_lost(struct server *s);
/* The verdict on the first chunk. */
void server_answer_chunk(struct server *s, const struct reply *r);
size_t server_chunk_feed(struct server *s, struct span in);
/* Behind the last piece: the CRLF it lacks, then EOM; into server.pending. */
void server_chunk_eom(struct server *s);

/* Why DATA or BDAT may not come now; NULL if it may. */
const struct reply *server_no_data(const struct server *s, const char **reason);
/* What follows is somebody's content or a web form, never our commands. */
void server_run_foreign(struct server *s, struct span args);

#endif
