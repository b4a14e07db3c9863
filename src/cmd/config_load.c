#include "cmd/config_load.h"

#include <stdio.h>

enum { DIAGS_TEXT = 1 << 20 };

void cmd_config_print(const struct config_diags *d)
{
	struct buf text;

	buf_init(&text, DIAGS_TEXT);
	config_diags_format(d, &text);
	fprintf(stderr, "%.*s", SPAN_ARG(buf_view(&text)));
	buf_fini(&text);
}

struct config *cmd_config_load(const char *path, bool loud)
{
	struct config_diags d;
	struct config *c = NULL;
	struct buf bundle;

	config_diags_init(&d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	if (config_bundle_load(path, &bundle, &d) == 0)
		c = config_parse(buf_view(&bundle), 1, &d);
	if (c == NULL && loud)
		cmd_config_print(&d);
	buf_fini(&bundle);
	config_diags_fini(&d);
	return c;
}
