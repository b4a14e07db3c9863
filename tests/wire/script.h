/* A transcript as steps; README.md describes the form. Owned by the caller of script_read. */
#ifndef GW_TESTS_WIRE_SCRIPT_H
#define GW_TESTS_WIRE_SCRIPT_H

#include "base/buf.h"

enum step_type {
	STEP_SEND,     /* C: */
	STEP_EXPECT,   /* S: and R: */
	STEP_EOF,      /* S: EOF */
	STEP_TIME,     /* T: */
	STEP_ACCEPTED, /* E: accepted N, E: nothing */
	STEP_CONTENT,  /* E: content ... */
	STEP_ENVELOPE, /* E: envelope ... */
	STEP_TLS,      /* H: tls */
};

struct step {
	enum step_type type;
	unsigned line;
	size_t times; /* how often, or how many */
	int64_t time; /* microseconds */
	bool regex;
	bool whole;      /* a reply of any number of lines; its last has to match */
	struct buf text; /* unescaped; of a regex as written */
};

struct script {
	const char *path;
	bool lockstep, engine_only, submission, lmtp, xclient, xclient_login, odmr;
	struct step *step;
	size_t n;
};

/* 0, or -1 with the reason on standard error. */
int script_read(struct script *s, const char *path) gw_checked;
void script_free(struct script *s);
/* Does a line of the server match a STEP_EXPECT? */
bool step_matches(const struct step *st, const char *line);

#endif
