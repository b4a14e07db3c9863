/* godwit serve: reads and judges the configuration, then becomes master. */
#include "cmd/config_files.h"
#include "cmd/flags.h"

#include "cmd/config_load.h"
#include "config/config.h"
#include "role/role.h"

#include <stdio.h>

/* Reads and checks; false: it cannot be used. *d says why not, and what else there is to say. */
static bool judge(const char *path, struct buf *bundle, struct config_diags *d, bool *hears)
{
	struct config *c = NULL;
	bool good;

	if (config_bundle_load(path, bundle, d) == 0)
		c = config_parse(buf_view(bundle), 1, d);
	good = c != NULL && config_files_good(c, d);
	*hears = c != NULL && c->n_listen > 0;
	config_free(&c);
	return good;
}

static bool load(const char *path, struct buf *bundle)
{
	struct config_diags d;
	bool hears, good;

	config_diags_init(&d);
	good = judge(path, bundle, &d, &hears);
	cmd_config_print(&d);
	if (good && !hears)
		fprintf(
		    stderr, "godwit serve: %s has no listen statement: no mail comes in\n", path);
	config_diags_fini(&d);
	return good;
}

/* The same in the running server: what there is to say is for whoever wants the reload. */
static bool load_again(const char *path, struct buf *bundle, struct buf *said)
{
	struct config_diags d;
	bool hears, good;

	config_diags_init(&d);
	good = judge(path, bundle, &d, &hears);
	config_diags_format(&d, said);
	config_diags_fini(&d);
	return good;
}

int cmd_serve(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	bool one_process = false, check_only = false;
	const struct flag rows[] = {
	    {"--one-process", FLAG_ON, &one_process}, {"--check-only", FLAG_ON, &check_only}};
	struct flags f = {"serve", rows, GW_ARRAY_LEN(rows), &own, false};
	struct master_options o = {.jail = true, .ready_fd = -1, .load = load_again};
	struct buf bundle;
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 1)
		return flags_usage("serve", "'%s' is one word too many", argv[1]);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	o.config_path = own.config ? own.config : CMD_DEFAULT_CONFIG;
	o.one_process = one_process;
	if (!load(o.config_path, &bundle))
		code = CMD_NO;
	else
		code = check_only ? CMD_OK : master_run(buf_view(&bundle), &o);
	buf_fini(&bundle);
	return code;
}
