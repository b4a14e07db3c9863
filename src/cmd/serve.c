#include "cmd/config_files.h"
#include "cmd/flags.h"

#include "config/config.h"
#include "role/role.h"

#include <stdio.h>

static void print_diags(const struct config_diags *d)
{
	struct buf text;
	struct span s;

	buf_init(&text, 1 << 20);
	config_diags_format(d, &text);
	s = buf_view(&text);
	fprintf(stderr, "%.*s", SPAN_ARG(s));
	buf_fini(&text);
}

/* Reads and checks; what there is to say goes to standard error. */
static bool load(const char *path, struct buf *bundle)
{
	struct config_diags d;
	struct config *c = NULL;
	bool good;

	config_diags_init(&d);
	if (config_bundle_load(path, bundle, &d) == 0)
		c = config_parse(buf_view(bundle), 1, &d);
	good = c != NULL && config_files_good(c, &d);
	print_diags(&d);
	if (good && c->n_listen == 0)
		fprintf(
		    stderr, "godwit serve: %s has no listen statement: no mail comes in\n", path);
	config_free(&c);
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
	struct master_options o = {.jail = true, .ready_fd = -1};
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
