#include "cmd/config_host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_it(const struct sockaddr *sa, int family, const uint8_t *address)
{
	if (sa == NULL || sa->sa_family != family)
		return false;
	if (family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)sa)->sin_addr, address, 4) == 0;
	return memcmp(&((const struct sockaddr_in6 *)sa)->sin6_addr, address, 16) == 0;
}

/* All of 127.0.0.0/8 is here, though one address of it is listed. */
static bool is_here(const struct ifaddrs *list, int family, const uint8_t *address)
{
	if (family == AF_INET && address[0] == IN_LOOPBACKNET)
		return true;
	for (; list != NULL; list = list->ifa_next) {
		if (is_it(list->ifa_addr, family, address))
			return true;
	}
	return false;
}

static void judge_source(const struct ifaddrs *list, const struct vmta *v, int family,
    const uint8_t *address, struct config_diags *d)
{
	char text[INET6_ADDRSTRLEN];

	if (is_here(list, family, address))
		return;
	inet_ntop(family, address, text, sizeof(text));
	config_diags_elsewhere(d, &v->place, v->name, text);
}

static void judge_sources(const struct config *c, struct config_diags *d)
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0)
		return;
	for (size_t i = 0; i < c->n_vmta; i++) {
		const struct vmta *v = &c->vmta[i];

		if (v->has_v4)
			judge_source(list, v, AF_INET, v->v4, d);
		if (v->has_v6)
			judge_source(list, v, AF_INET6, v->v6, d);
	}
	freeifaddrs(list);
}

/* ---- programs -------------------------------------------------------------------------------- */

enum { WHY_TEXT = 256 };

/* Why it cannot be run as that user, or false. */
static bool user_is_missing(const struct pipe *p, char why[WHY_TEXT])
{
	const struct passwd *user = p->user != NULL ? getpwnam(p->user) : NULL;

	if (p->user == NULL && geteuid() != 0)
		return false; /* as whoever starts the server */
	if (p->user == NULL)
		snprintf(
		    why, WHY_TEXT, "it has no user, and a server that root starts gives it none");
	else if (user == NULL)
		snprintf(why, WHY_TEXT, "there is no user %.64s", p->user);
	else if (user->pw_uid == 0)
		snprintf(why, WHY_TEXT, "%.64s is root", p->user);
	else
		return false;
	return true;
}

static bool program_is_missing(const struct pipe *p, char why[WHY_TEXT])
{
	struct stat st;

	if (access(p->arg[0], X_OK) < 0)
		snprintf(why, WHY_TEXT, "%.128s: %s", p->arg[0], strerror(errno));
	else if (stat(p->arg[0], &st) == 0 && !S_ISREG(st.st_mode))
		snprintf(why, WHY_TEXT, "%.128s is no file", p->arg[0]);
	else
		return false;
	return true;
}

static void judge_programs(const struct config *c, struct config_diags *d)
{
	for (size_t i = 0; i < c->n_domain; i++) {
		const struct domain *at = &c->domain[i];
		const struct pipe *p = at->deliver.kind == TARGET_PIPE ? at->deliver.pipe : NULL;
		char why[WHY_TEXT];

		if (p != NULL && (user_is_missing(p, why) || program_is_missing(p, why)))
			config_diags_pipe(d, &at->deliver.place, at->name, why);
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

static void judge_readable(struct config_diags *d, const char *setting, const char *path)
{
	if (path != NULL && access(path, R_OK) < 0)
		config_diags_unread(d, setting, path, strerror(errno));
}

void config_host_judge(const struct config *c, struct config_diags *d)
{
	judge_sources(c, d);
	judge_programs(c, d);
	judge_readable(d, "authorities", c->authorities);
	judge_readable(d, "trust-anchor", c->resolver.trust_anchor);
	judge_readable(d, "root-hints", c->resolver.root_hints);
}
