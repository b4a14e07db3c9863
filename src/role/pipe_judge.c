/* What the end of a program means for the message. */
#include "role/maildir-private.h"
#include "role/pipe_run.h"

#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>

/* What is not here is tried again: a mistake of the configuration, a bug or a machine in need must
 * not send mail back. */
static const struct verdict {
	int status;
	uint16_t code;
	uint8_t esc[3];
} verdicts[] = {
    {EX_OK, 250, {2, 0, 0}}, {EX_DATAERR, 554, {5, 6, 0}}, {EX_NOINPUT, 554, {5, 3, 0}},
    {EX_NOUSER, 550, {5, 1, 1}}, {EX_NOHOST, 550, {5, 1, 2}}, {EX_UNAVAILABLE, 554, {5, 3, 0}},
    {EX_SOFTWARE, 554, {5, 3, 0}}, {EX_CANTCREAT, 450, {4, 2, 0}}, {EX_PROTOCOL, 554, {5, 5, 0}},
    {EX_NOPERM, 550, {5, 7, 1}}, {EX_CONFIG, 451, {4, 3, 5}},
    {100, 554, {5, 3, 0}}, /* qmail's word for it */
};

static const struct verdict *verdict_of(int status)
{
	static const struct verdict later = {0, 451, {4, 3, 0}};

	for (size_t i = 0; i < GW_ARRAY_LEN(verdicts); i++) {
		if (verdicts[i].status == status)
			return &verdicts[i];
	}
	return &later;
}

/* In one line: what is no printable octet is a blank, of several one. */
static void add_clean(char *to, size_t size, struct span s)
{
	size_t n = strlen(to);
	bool blank = true;

	for (size_t i = 0; i < s.n && n + 1 < size; i++) {
		bool is_blank = s.p[i] <= ' ' || s.p[i] >= 0x7f;

		if (!is_blank)
			to[n++] = (char)s.p[i];
		else if (!blank)
			to[n++] = ' ';
		blank = is_blank;
	}
	while (n > 0 && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static enum outcome outcome_of(uint16_t code)
{
	if (code / 100 == 2)
		return OUTCOME_DELIVERED;
	return code / 100 == 5 ? OUTCOME_FAILED : OUTCOME_DEFERRED;
}

void pipe_judge(int status, const char *program, struct span said, struct maildir_result *r)
{
	const struct verdict *v = verdict_of(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	char text[MAILDIR_TEXT_MAX];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "%.100s was ended by signal %d", base_of(program),
		    WTERMSIG(status));
	else if (v->code == 250)
		snprintf(text, sizeof(text), "Given to %.100s", base_of(program));
	else
		snprintf(text, sizeof(text), "%.100s ended with status %d", base_of(program),
		    WEXITSTATUS(status));
	if (said.n > 0) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ": ");
		add_clean(text, sizeof(text), said);
	}
	maildir_say(r, outcome_of(v->code), v->code, v->esc, text);
}
