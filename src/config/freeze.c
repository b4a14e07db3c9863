/* What a reload leaves as it is. */
#include "config/build.h"

static void name_it(struct buf *names, const char *name)
{
	if (names == NULL)
		return;
	if (buf_len(names) > 0)
		buf_add_byte(names, ' ');
	buf_add_str(names, name);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void keep_text(
    struct config *c, const char **field, const char *was, const char *name, struct buf *names)
{
	if (same_text(*field, was))
		return;
	name_it(names, name);
	*field = was != NULL ? must_dup(&c->arena, span_str(was)) : NULL;
}

static void keep_bool(bool *field, bool was, const char *name, struct buf *names)
{
	if (*field != was)
		name_it(names, name);
	*field = was;
}

void config_freeze(struct config *c, const struct config *running, struct buf *names)
{
	bool off = c->history.off, log = c->log_json;
	bool moved = !same_text(c->spool, running->spool);

	keep_text(c, &c->spool, running->spool, "spool", names);
	keep_text(c, &c->control, running->control, "control", names);
	keep_text(c, &c->run_as, running->run_as, "run-as", names);
	keep_text(c, &c->log_path, running->log_path, "log", names);
	keep_bool(&c->log_json, running->log_json, "log", log != running->log_json ? names : NULL);
	keep_bool(&c->history.off, running->history.off, "history", names);
	/* Without a word it is in the spool; and of a history that is off nobody looks at it. */
	keep_text(c, &c->history.directory, running->history.directory, "history.directory",
	    off || moved || running->history.off ? NULL : names);
	if (memcmp(&c->store, &running->store, sizeof(c->store)) != 0) {
		name_it(names, "store");
		c->store = running->store;
	}
}
