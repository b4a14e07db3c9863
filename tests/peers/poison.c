/*
 * A planted crash, loaded with LD_PRELOAD: a process of a chosen role aborts when a marked octet
 * string passes one of its calls. POISON is a list of "role:call:marker", comma between them; call
 * is send, recv, write, read, memcpy, or copy: a memcpy of the marker and nothing beside it. (The
 * mda writes content to its delivery child, which has the same title and reads it.)
 *
 * The role is read from the title of the process, without a system call, so it works in the jail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RULES = 16, WORD = 64 };

struct rule {
	char role[WORD], call[WORD], marker[WORD];
	size_t n;
};

static struct rule rule[RULES];
static size_t n_rule;

static void add_rule(const char *text, size_t n)
{
	char word[3 * WORD] = "";
	char *role = word, *call, *marker;

	if (n >= sizeof(word) || n_rule == RULES)
		return;
	strncpy(word, text, n);
	call = strchr(role, ':');
	marker = call ? strchr(call + 1, ':') : NULL;
	if (marker == NULL)
		return;
	*call++ = *marker++ = '\0';
	strncpy(rule[n_rule].role, role, WORD - 1);
	strncpy(rule[n_rule].call, call, WORD - 1);
	strncpy(rule[n_rule].marker, marker, WORD - 1);
	rule[n_rule].n = strlen(rule[n_rule].marker);
	n_rule++;
}

__attribute__((constructor)) static void read_rules(void)
{
	const char *text = getenv("POISON");

	while (text != NULL && *text != '\0') {
		size_t n = strcspn(text, ",");

		add_rule(text, n);
		text += n + (text[n] == ',');
	}
}

/* "godwit: sender 0" */
static int is_role(const char *role)
{
	const char *title = strstr(program_invocation_name, "godwit: ");

	return title != NULL && strncmp(title + 8, role, strlen(role)) == 0;
}

static int same(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i] != b[i])
			return 0;
	}
	return 1;
}

static void look(const char *call, const void *data, size_t n)
{
	const char *p = data;

	for (size_t k = 0; k < n_rule; k++) {
		const struct rule *r = &rule[k];

		if (strcmp(r->call, call) != 0 || n < r->n || !is_role(r->role))
			continue;
		if (strcmp(call, "copy") == 0 && n != r->n)
			continue;
		for (size_t i = 0; i + r->n <= n; i++) {
			if (p[i] == r->marker[0] && same(p + i, r->marker, r->n))
				abort();
		}
	}
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
	look("send", data, n);
	return syscall(SYS_sendto, fd, data, n, flags, NULL, 0);
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL);

	if (got > 0)
		look("recv", data, (size_t)got);
	return got;
}

ssize_t write(int fd, const void *data, size_t n)
{
	look("write", data, n);
	return syscall(SYS_write, fd, data, n);
}

ssize_t read(int fd, void *data, size_t n)
{
	ssize_t got = syscall(SYS_read, fd, data, n);

	if (got > 0)
		look("read", data, (size_t)got);
	return got;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	volatile char *d = to;
	const char *s = from;

	for (size_t i = 0; i < n; i++)
		d[i] = s[i];
	if (n_rule > 0) {
		look("memcpy", from, n);
		look("copy", from, n);
	}
	return to;
}
