/* What this machine is called, and which addresses it takes mail at. */
#include "role/sender.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

enum { SELF_MAX = 1024 };

struct list {
	struct host_address *address;
	size_t n;
};

static void add(struct list *l, const struct host_address *a)
{
	if (l->n < SELF_MAX)
		l->address[l->n++] = *a;
}

static bool from_socket(const struct sockaddr *sa, uint16_t port, struct host_address *a)
{
	if (sa == NULL || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	*a = (struct host_address){.family = sa->sa_family, .port = port};
	if (a->family == AF_INET)
		memcpy(a->bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else
		memcpy(a->bytes, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	return true;
}

/* All addresses of this family, and for "::" the others too: it takes both. */
static void add_interfaces(
    struct list *l, const struct ifaddrs *all, sa_family_t family, uint16_t port)
{
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		struct host_address a;

		if (from_socket(i->ifa_addr, port, &a) &&
		    (family == AF_INET6 || a.family == AF_INET))
			add(l, &a);
	}
}

static bool is_any(const struct host_address *a)
{
	static const uint8_t none[16];

	return memcmp(a->bytes, none, sizeof(none)) == 0;
}

static void add_listener(struct list *l, const struct endpoint *e, const struct ifaddrs *all)
{
	struct host_address a = {.family = AF_INET, .port = e->port};

	if (e->host == NULL)
		return;
	if (inet_pton(AF_INET, e->host, a.bytes) != 1) {
		a.family = AF_INET6;
		if (inet_pton(AF_INET6, e->host, a.bytes) != 1)
			return;
	}
	if (is_any(&a))
		add_interfaces(l, all, a.family, a.port);
	add(l, &a); /* 0.0.0.0 too: connected to, it is this machine */
}

void sender_interfaces(struct sender *s)
{
	if (getifaddrs(&s->interfaces) < 0)
		log_error("sender: addresses of the interfaces: %s", strerror(errno));
}

void sender_self(struct sender *s)
{
	struct list l = {gw_calloc(SELF_MAX, sizeof(*l.address)), 0};
	const struct config *c = s->config;

	for (size_t i = 0; i < c->n_listen; i++)
		add_listener(&l, &c->listen[i].at, s->interfaces);
	free((void *)(uintptr_t)s->self.address);
	s->self = (struct hosts_self){
	    .name = span_str(c->hostname), .address = l.address, .n_address = l.n};
}
