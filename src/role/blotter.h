/*
 * The blotter: what this process is working on right now, in a page that master maps too. When
 * the process crashes, master reads from it what it had in hand. Plain stores, no system call: a
 * role writes when it begins with an event of one client, job or record and clears it before it
 * goes back to the loop, so that a crash is blamed on one thing or on none.
 *
 * Master maps the pages before it forks; each child keeps its own alone. To master what stands
 * there is hostile: blotter_read() copies, checks and cleans it. Before blotter_attach(), and in
 * tests, a process writes into a page of its own.
 */
#ifndef GW_ROLE_BLOTTER_H
#define GW_ROLE_BLOTTER_H

#include "mail/msgid.h"

#include <sys/socket.h>

enum blotter_kind {
	BLOTTER_NOTHING,
	BLOTTER_CLIENT,  /* smtpd: address, number of the session */
	BLOTTER_JOB,     /* sender, mda: number of the job, message, host */
	BLOTTER_COMMIT,  /* queue: a message that is being taken in: id, address of its client */
	BLOTTER_MESSAGE, /* queue: a message it has: id */
	BLOTTER_RECORD,  /* queue, at its start: a record of the log: id, place */
	BLOTTER_FRAME,   /* queue: a frame of a worker: its role and index, the job */
	BLOTTER_KINDS,
};
extern const char *const blotter_names[BLOTTER_KINDS];

enum { BLOTTER_PAGE = 4096, BLOTTER_STAGE = 16, BLOTTER_PEER = 64 };

/* The stage of a sender that reads and understands what the host says. */
#define BLOTTER_READING "reading"

/* An address as 16 octets: IPv4 as ::ffff:a.b.c.d, all zero for a local client. */
struct blotter_addr {
	uint8_t b[16];
};

struct blotter {
	uint32_t kind;
	uint64_t number;          /* of the session, or the job */
	uint64_t segment, offset; /* of a record; role and index of a frame's sender */
	struct msgid id;
	struct blotter_addr addr;
	char stage[BLOTTER_STAGE], peer[BLOTTER_PEER];
};

void blotter_attach(struct blotter *page);
/* A child that is none of master's gives the page up. */
void blotter_detach(void);

void blotter_client(const struct blotter_addr *addr, uint64_t session, const char *stage);
void blotter_job(uint64_t job, const struct msgid *id, const char *peer, const char *stage);
void blotter_commit(const struct msgid *id, const struct blotter_addr *addr);
void blotter_message(const struct msgid *id);
void blotter_record(const struct msgid *id, uint64_t segment, uint64_t offset);
void blotter_frame(unsigned role, unsigned index, uint64_t job, const char *type);
/* The same thing, at another stage. */
void blotter_stage(const char *stage);
void blotter_clear(void);

/* ---- master ---- */

/* A page that children inherit. Dies. */
struct blotter *blotter_map(void) gw_checked;
void blotter_unmap(struct blotter **page);
/* What stood there, made presentable; BLOTTER_NOTHING if it makes no sense. Wipes the page. */
void blotter_read(struct blotter *page, struct blotter *out);
/* Did the process end (status as from waitpid) by a fault of its own? The signal, or 0. */
int blotter_crash(int status);

struct blotter_addr blotter_addr_of(const struct sockaddr_storage *sa);
/* The same of a text; all zero if it is no address. */
struct blotter_addr blotter_addr_parse(struct span text);
bool blotter_addr_local(const struct blotter_addr *a);
enum { BLOTTER_ADDR_TEXT = 64 };
void blotter_addr_format(const struct blotter_addr *a, char out[BLOTTER_ADDR_TEXT]);

#endif
