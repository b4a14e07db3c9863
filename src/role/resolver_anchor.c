#include "role/resolver_anchor.h"

#include "base/dns.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 8192, NAME = DNS_NAME_MAX + 2 };

/* Lower case, with a last dot; false: too long. */
static bool whole(const char *name, char out[NAME])
{
	size_t n = strlen(name);

	if (n == 0 || n + 2 > NAME)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)ascii_lower((uint8_t)name[i]);
	if (out[n - 1] != '.')
		out[n++] = '.';
	out[n] = '\0';
	return true;
}

/* Of a line in zone format: what it begins with, if that is an owner. */
static bool owner_of(char *line, char out[NAME])
{
	if (isspace((unsigned char)line[0]) || line[0] == ';' || line[0] == '$' || line[0] == '\0')
		return false;
	line[strcspn(line, " \t\r\n;")] = '\0';
	return whole(line, out);
}

int anchors_read(struct anchors *a, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[LINE], name[NAME];

	*a = (struct anchors){.n = 0};
	if (f == NULL)
		return GW_EIO;
	while (a->n < ANCHORS_MAX && fgets(line, sizeof(line), f) != NULL) {
		if (!owner_of(line, name))
			continue;
		a->name[a->n] = gw_calloc(1, strlen(name) + 1);
		memcpy(a->name[a->n++], name, strlen(name));
	}
	fclose(f);
	return 0;
}

void anchors_free(struct anchors *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->name[i]);
	a->n = 0;
}

bool anchors_below(const char *name, const char *other)
{
	size_t n = strlen(name), m = strlen(other);

	if (strcmp(other, ".") == 0)
		return true;
	return n >= m && strcmp(name + n - m, other) == 0 && (n == m || name[n - m - 1] == '.');
}

static bool served(const struct config *c, const char *anchor)
{
	char zone[NAME];

	for (size_t i = 0; i < c->resolver.n_server; i++) {
		if (c->resolver.server[i].stub && whole(c->resolver.server[i].domain, zone) &&
		    anchors_below(anchor, zone))
			return true;
	}
	return false;
}

bool anchors_reach(const struct anchors *a, const struct config *c, const char *domain)
{
	char zone[NAME];

	if (!whole(domain, zone))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (anchors_below(a->name[i], zone))
			return true;
		if (anchors_below(zone, a->name[i]) && served(c, a->name[i]))
			return true;
	}
	return false;
}
