#include "config/files.h"

static struct config_file of_tls(const struct config *c, size_t i)
{
	const struct tls_pair *p = &c->tls[i / 2];
	bool key = i % 2 == 1;

	return (struct config_file){.kind = key ? CONFIG_FILE_KEY : CONFIG_FILE_CERTIFICATE,
	    .index = (uint32_t)(i / 2),
	    .path = key ? p->key : p->certificate,
	    .place = p->place};
}

/* The i-th file of the domains; a domain has none, one or two. */
static bool of_domains(const struct config *c, size_t *i, struct config_file *file)
{
	for (size_t d = 0; d < c->n_domain; d++) {
		const struct domain *x = &c->domain[d];

		file->index = (uint32_t)d;
		file->kind = CONFIG_FILE_RECIPIENTS;
		file->path = x->recipients_file;
		file->place = x->recipients_place;
		if (file->path != NULL && (*i)-- == 0)
			return true;
		file->kind = CONFIG_FILE_ALIASES;
		file->path = x->aliases;
		file->place = x->aliases_place;
		if (file->path != NULL && (*i)-- == 0)
			return true;
	}
	if (c->aliases == NULL || (*i)-- > 0)
		return false;
	*file = (struct config_file){.kind = CONFIG_FILE_ALIASES,
	    .index = (uint32_t)c->n_domain,
	    .path = c->aliases,
	    .place = c->aliases_place};
	return true;
}

/* The last one. */
static bool of_srs(const struct config *c, struct config_file *file)
{
	if (c->srs.secret_path == NULL)
		return false;
	*file = (struct config_file){
	    .kind = CONFIG_FILE_SRS, .path = c->srs.secret_path, .place = c->srs.secret_place};
	return true;
}

bool config_files(const struct config *c, size_t i, struct config_file *file)
{
	if (i < 2 * c->n_tls) {
		*file = of_tls(c, i);
		return true;
	}
	i -= 2 * c->n_tls;
	if (c->users != NULL && i-- == 0) {
		*file = (struct config_file){
		    .kind = CONFIG_FILE_USERS, .path = c->users, .place = c->users_place};
		return true;
	}
	if (of_domains(c, &i, file))
		return true;
	if (i >= c->n_secret)
		return i == c->n_secret && of_srs(c, file);
	*file = (struct config_file){.kind = CONFIG_FILE_SECRET,
	    .index = (uint32_t)i,
	    .path = c->secret[i],
	    .place = c->secret_place[i]};
	return true;
}
