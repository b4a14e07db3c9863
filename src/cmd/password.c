#include "cmd/password.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>

/* One line, without its end, character by character: stdio keeps copies. */
static int take_line(FILE *f, struct buf *out)
{
	int c;

	setvbuf(f, NULL, _IONBF, 0);
	while ((c = getc(f)) != EOF && c != '\n')
		buf_add_byte(out, (uint8_t)c);
	return buf_failed(out) || (c == EOF && buf_len(out) == 0) ? GW_ENOENT : 0;
}

static int from_file(const char *verb, const char *file, struct buf *out)
{
	FILE *f = strcmp(file, "-") == 0 ? stdin : fopen(file, "rb");
	int err;

	if (f == NULL) {
		fprintf(stderr, "godwit %s: %s: %s\n", verb, file, strerror(errno));
		return GW_ENOENT;
	}
	err = take_line(f, out);
	if (f != stdin)
		fclose(f);
	if (err < 0)
		fprintf(stderr, "godwit %s: %s has no password in its first line\n", verb, file);
	return err;
}

static int from_terminal(const char *prompt, struct buf *out)
{
	FILE *tty = fopen("/dev/tty", "r+");
	struct termios as_it_was, unseen;
	int err;

	if (tty == NULL)
		return GW_ENOENT;
	if (tcgetattr(fileno(tty), &as_it_was) < 0) {
		fclose(tty);
		return GW_ENOENT;
	}
	unseen = as_it_was;
	unseen.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(tty), TCSAFLUSH, &unseen);
	fputs(prompt, tty);
	fflush(tty);
	err = take_line(tty, out);
	tcsetattr(fileno(tty), TCSAFLUSH, &as_it_was);
	fputc('\n', tty);
	fclose(tty);
	return err;
}

int password_get(
    const char *verb, const char *file, const char *variable, const char *prompt, struct buf *out)
{
	const char *value = getenv(variable);

	buf_init(out, PASSWORD_BYTES);
	/* Room for all of it at once: a buffer that grows leaves copies behind. */
	(void)!buf_room(out, PASSWORD_BYTES);
	if (file != NULL)
		return from_file(verb, file, out);
	if (value != NULL)
		return buf_add_str(out, value) < 0 ? GW_ENOENT : 0;
	if (from_terminal(prompt, out) == 0)
		return 0;
	fprintf(stderr, "godwit %s: no terminal to ask for the password: --password-file or %s\n",
	    verb, variable);
	return GW_ENOENT;
}
