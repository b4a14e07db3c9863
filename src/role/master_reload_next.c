/*
 * Reload, the configuration that comes: it is read and parsed, and what no role can open in its
 * jail is opened for it. Nothing here is in force yet, and all of it can be given up again.
 */
#include "role/master.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse(struct master *m, struct span text)
{
	struct reloading *r = &m->reload;
	struct config_diags diags;

	if (master_seal(text, &r->bundle) < 0) {
		buf_addf(&r->said, "godwit: error: no memory for it: %s\n", strerror(errno));
		return false;
	}
	config_diags_init(&diags);
	r->config = config_parse(r->bundle.text, m->config->generation + 1, &diags);
	if (r->config == NULL)
		config_diags_format(&diags, &r->said);
	config_diags_fini(&diags);
	return r->config != NULL;
}

static bool read_files(struct master *m)
{
	struct reloading *r = &m->reload;
	struct buf bundle;
	bool good;

	if (r->back)
		return parse(m, r->kept.text);
	if (m->options.load == NULL) {
		buf_add_str(&r->said, "godwit: error: this server was started without a file\n");
		return false;
	}
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	good = m->options.load(m->options.config_path, &bundle, &r->said) &&
	       parse(m, buf_view(&bundle));
	buf_fini(&bundle);
	return good;
}

static void keep_frozen(struct master *m)
{
	struct reloading *r = &m->reload;
	struct buf names;

	buf_init(&names, 1024);
	config_freeze(r->config, m->first, &names);
	if (buf_len(&names) > 0)
		buf_addf(&r->said,
		    "godwit: warning: what changed here takes effect at the next start: %.*s\n",
		    SPAN_ARG(buf_view(&names)));
	buf_fini(&names);
}

static bool open_listeners(struct master *m, FILE *say)
{
	struct reloading *r = &m->reload;
	struct listeners_change x = {&m->listeners, m->config, r->config};
	unsigned gid;

	if (listeners_prepare(&x, m->workers, master_group(m, &gid), say, &r->listeners) < 0)
		return false;
	if (listeners_of_worker(&r->listeners, 0) <= BOOT_LISTEN_MAX)
		return true;
	fprintf(say, "godwit: error: more than %d listening addresses\n", BOOT_LISTEN_MAX);
	return false;
}

/* What roles cannot open in their jails. */
static bool open_files(struct master *m)
{
	struct reloading *r = &m->reload;
	char *text = NULL;
	size_t n = 0;
	FILE *say = open_memstream(&text, &n);
	bool good;

	if (say == NULL)
		return false;
	good = file_watch_open(&r->files, r->config, say) == 0 && open_listeners(m, say);
	fclose(say);
	buf_add(&r->said, text, n < RELOAD_SAID_MAX / 2 ? n : RELOAD_SAID_MAX / 2);
	free(text);
	return good;
}

/* Without processes of their own nobody is started again. */
static bool can_restart(struct master *m)
{
	struct reloading *r = &m->reload;

	for (size_t i = 0; i < m->n_slot && m->options.one_process; i++) {
		if (reload_restarts(m->slot[i].role, m->config, r->config)) {
			buf_addf(&r->said,
			    "godwit: error: with --one-process this needs a new start: %s\n",
			    role_names[m->slot[i].role]);
			return false;
		}
	}
	return true;
}

bool reload_read(struct master *m)
{
	if (!read_files(m))
		return false;
	keep_frozen(m);
	return can_restart(m) && open_files(m);
}

void reload_forget_next(struct master *m)
{
	struct reloading *r = &m->reload;

	file_watch_close(&r->files);
	if (r->config != NULL)
		listeners_abandon(&r->listeners, r->config, &m->listeners);
	config_free(&r->config);
	master_unseal(&r->bundle);
	file_watch_rest(&m->files, false);
}
