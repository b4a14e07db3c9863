#include "role/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Arguments and environment lie behind each other, where the kernel reads the command line. */
static struct {
	char *begin;
	size_t size;
	char *
	    *moved; /* the environment's new place, also when setenv() leaves it for a third one */
} area;

static size_t count(char **list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

static void extend(char **list, size_t n)
{
	for (size_t i = 0; i < n && list[i] == area.begin + area.size; i++)
		area.size += strlen(list[i]) + 1;
}

static void move_environment(char **envp, size_t n)
{
	char **copy = gw_calloc(n + 1, sizeof(*copy));

	for (size_t i = 0; i < n; i++) {
		copy[i] = gw_calloc(1, strlen(envp[i]) + 1);
		strcpy(copy[i], envp[i]);
	}
	area.moved = copy;
	environ = copy;
}

/* The C library passes main's arguments to constructors too. */
__attribute__((constructor)) static void find_area(int argc, char **argv, char **envp)
{
	if (argc < 1)
		return;
	area.begin = argv[0];
	extend(argv, (size_t)argc);
	extend(envp, count(envp));
	move_environment(envp, count(envp));
}

void title_set(const char *fmt, ...)
{
	va_list ap;

	if (area.size == 0)
		return;
	memset(area.begin, 0, area.size);
	va_start(ap, fmt);
	vsnprintf(area.begin, area.size, fmt, ap);
	va_end(ap);
}
