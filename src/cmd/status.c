/* godwit status: one screen. */
#include "cmd/flags.h"

#include "cmd/http.h"
#include "cmd/status_text.h"
#include "cmd/terminal.h"

static void print(const json_t *status, bool json)
{
	struct buf out;

	if (json) {
		json_dumpf(status, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	buf_init(&out, 1 << 20);
	status_text(status, &out);
	terminal_print(&out);
	buf_fini(&out);
}

int cmd_status(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	struct http *http;
	json_t *status;
	int code;

	if (!flags_read(&(struct flags){.verb = "status", .globals = &own}, &argc, argv, &code))
		return code;
	if (argc > 1)
		return flags_usage("status", "'%s' is one word too many", argv[1]);
	code = http_open(&http, "status", &own);
	if (code == CMD_OK)
		code = http_get(http, "/v1/status", &status);
	http_free(&http);
	if (code != CMD_OK)
		return code;
	if (!own.quiet)
		print(status, own.json);
	code = status_good(status) ? CMD_OK : CMD_NO;
	json_decref(status);
	return code;
}
