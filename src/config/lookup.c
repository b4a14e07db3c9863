/*
 * Finding what a configuration says of a domain, a mail host or an address: exact first, then the
 * longest pattern.
 */
#include "config/index.h"
#include "config/schema.h"

enum { SEED = 0x676f6477 }; /* the keys are ours, so the seed need not be secret */

struct span index_key(const char *pattern)
{
	return span_str(pattern[0] == '*' ? pattern + 1 : pattern);
}

/* The value of the exact name, else of its longest suffix ".x". */
static void *find(const struct map *m, struct span name)
{
	void *found = map_get(m, name);

	for (size_t i = 0; found == NULL && i < name.n; i++) {
		if (name.p[i] == '.' && i > 0)
			found = map_get(m, span_skip(name, i));
	}
	return found;
}

static void put_once(struct map *m, const char *pattern, const void *value)
{
	if (map_get(m, index_key(pattern)) == NULL)
		map_put(m, index_key(pattern), (void *)value);
}

void index_build(struct config *c)
{
	struct config_index *x = c->index;

	map_init(&x->domain, SEED);
	map_init(&x->shape, SEED);
	map_init(&x->shape_mx, SEED);
	for (size_t i = 0; i < c->n_domain; i++)
		put_once(&x->domain, c->domain[i].name, &c->domain[i]);
	index_routes(c);
	for (size_t i = 0; i < c->n_shape; i++) {
		for (size_t j = 0; j < c->shape[i].n_domain; j++)
			put_once(&x->shape, c->shape[i].domain[j], &c->shape[i]);
		for (size_t j = 0; j < c->shape[i].n_mx; j++)
			put_once(&x->shape_mx, c->shape[i].mx[j], &c->shape[i]);
	}
}

const struct domain *index_domain(const struct config *c, struct span key)
{
	return find(&c->index->domain, key);
}

/* A name is no key of a pattern: ".example" is nobody's domain. */
static struct span as_name(struct span s)
{
	return s.n > 0 && s.p[0] == '.' ? SPAN_NONE : s;
}

const struct domain *config_domain(const struct config *c, struct span name)
{
	return find(&c->index->domain, as_name(name));
}

const struct shape *config_shape_domain(const struct config *c, struct span domain)
{
	return find(&c->index->shape, as_name(domain));
}

const struct shape *config_shape_mx(const struct config *c, struct span host)
{
	return find(&c->index->shape_mx, as_name(host));
}

struct place shape_place(const struct shape *s, const char *setting)
{
	static const struct place nowhere;
	const struct option *row = option_find(SCOPE_SHAPE, span_str(setting));

	gw_assert(row != NULL);
	return s->origin != NULL ? s->origin[row->id - OPT_SHAPE_DOMAIN] : nowhere;
}

const struct shape *config_shape(const struct config *c, struct span domain, struct span host)
{
	const struct shape *s = config_shape_domain(c, domain);

	if (s == NULL && host.n > 0)
		s = config_shape_mx(c, host);
	return s != NULL ? s : &c->shape[c->n_shape - 1];
}

bool config_pattern_match(const char *pattern, struct span name)
{
	struct span p = span_str(pattern);

	if (p.n < 2 || p.p[0] != '*' || p.p[1] != '.')
		return span_eq(p, name);
	p = span_skip(p, 1);
	return name.n > p.n && span_eq(span_skip(name, name.n - p.n), p);
}

/* ---- trust */

static bool inside(const struct cidr *c, const uint8_t *address)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->bytes, address, whole) != 0)
		return false;
	return rest == 0 || ((c->bytes[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

const struct cidr *cidr_find(const struct cidr *list, size_t n, const struct sockaddr *sa)
{
	const uint8_t *address;
	sa_family_t family = sa->sa_family;

	if (family == AF_INET) {
		address = (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
	} else if (family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;

		address = a->s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(a)) {
			family = AF_INET;
			address += 12;
		}
	} else {
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i].family == family && inside(&list[i], address))
			return &list[i];
	}
	return NULL;
}

const struct cidr *config_trusts(const struct config *c, const struct sockaddr *sa)
{
	return cidr_find(c->trust, c->n_trust, sa);
}

bool config_asks_dovecot(const struct config *c, bool login, struct span path)
{
	if (login)
		return c->users_dovecot != NULL && span_eq(span_str(c->users_dovecot), path);
	for (size_t i = 0; i < c->n_domain; i++) {
		const struct domain *d = &c->domain[i];

		if (d->recipients == RECIPIENTS_DOVECOT &&
		    span_eq(span_str(d->lookup->at.unix_path), path))
			return true;
	}
	return false;
}
