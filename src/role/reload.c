#include "role/reload.h"

#include "role/file_read.h"
#include "role/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what is kept ------------------------------------------------------------------------- */

void reload_forget(struct reload *r)
{
	for (size_t i = 0; i < r->n_file; i++)
		close(r->file[i].fd);
	for (size_t i = 0; i < r->n_socket; i++) {
		if (r->socket[i].fd >= 0)
			close(r->socket[i].fd);
	}
	free(r->file);
	config_free(&r->config);
	*r = (struct reload){0};
}

static void refuse(struct reload *r, const char *why)
{
	if (r->why[0] == '\0')
		snprintf(r->why, sizeof(r->why), "%s", why);
}

bool reload_keeps_file(struct master_link *m, const struct proto_file *f, int fd)
{
	struct reload *r = &m->next;

	if (r->generation == 0 || f->generation != r->generation)
		return false;
	if (r->n_file == RELOAD_FILES_MAX) {
		refuse(r, "the configuration names too many files");
		close(fd);
		return true;
	}
	r->file = gw_realloc(r->file, (r->n_file + 1) * sizeof(*r->file));
	r->file[r->n_file++] = (struct reload_file){*f, fd};
	return true;
}

static void take_listen(struct master_link *m, struct ipc_frame *f)
{
	struct reload *r = &m->next;
	struct proto_listen l;

	if (proto_get_listen(f->payload, &l) < 0)
		die("master sent a LISTEN frame that makes no sense");
	if (l.generation != r->generation || r->config == NULL || l.conf >= r->config->n_listen) {
		close(f->fd);
		return;
	}
	if (r->n_socket == GW_ARRAY_LEN(r->socket)) {
		refuse(r, "the configuration has too many listening addresses");
		close(f->fd);
		return;
	}
	r->socket[r->n_socket++] = (struct reload_socket){l, f->fd};
}

/* ---- the configuration -------------------------------------------------------------------- */

/* The sealed file is read, not mapped: a jail has its rules on maps. NULL: no memory, or the file
 * cannot be read. */
static struct config *read_config(int fd, uint64_t generation)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct config_diags diags;
	struct config *c = NULL;
	uint8_t *text;

	if (size < 0 || size > CONFIG_BUNDLE_MAX)
		return NULL;
	text = gw_calloc(1, (size_t)size + 1);
	config_diags_init(&diags);
	if (file_read_all(fd, text, (size_t)size) == size)
		c = config_parse(span_of(text, (size_t)size), generation, &diags);
	config_diags_fini(&diags);
	free(text);
	return c;
}

static void take_config(struct master_link *m, struct ipc_frame *f)
{
	struct reload *r = &m->next;
	uint64_t generation;

	reload_forget(r);
	if (proto_get_generation(f->payload, &generation) < 0 || generation == 0)
		die("master sent a CONFIG frame that makes no sense");
	r->generation = generation;
	r->config = read_config(f->fd, generation);
	close(f->fd);
	if (r->config == NULL)
		refuse(r, "the configuration from master does not parse");
	else
		config_freeze(r->config, *m->config, NULL);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void say(struct master_link *m, enum ipc_type type, uint64_t generation)
{
	struct span part;
	struct buf b;

	buf_init(&b, 16);
	proto_put_generation(&b, generation);
	part = buf_view(&b);
	if (m->ipc != NULL)
		ipc_send(m->ipc, type, &part, 1, -1);
	buf_fini(&b);
}

static void say_refused(struct master_link *m, const struct reload *r)
{
	struct proto_refused refused = {r->generation, span_str(r->why)};
	struct span part;
	struct buf b;

	buf_init(&b, RELOAD_WHY + 16);
	proto_put_refused(&b, &refused);
	part = buf_view(&b);
	if (m->ipc != NULL)
		ipc_send(m->ipc, IPC_REFUSED, &part, 1, -1);
	buf_fini(&b);
}

static void prepare(struct master_link *m, uint64_t generation)
{
	struct reload *r = &m->next;

	if (generation != r->generation)
		return;
	if (r->why[0] == '\0' && m->check != NULL && !m->check(m->arg, r))
		refuse(r, "it cannot be put in force here");
	if (r->why[0] != '\0')
		say_refused(m, r);
	else
		say(m, IPC_READY, generation);
}

/* The last one of a process that stops has nobody to tell. */
static void give_files(struct master_link *m, struct reload *r)
{
	for (size_t i = 0; i < r->n_file; i++) {
		if (m->file != NULL)
			m->file(m->arg, &r->file[i].file, r->file[i].fd);
		else
			close(r->file[i].fd);
	}
	r->n_file = 0;
}

static void switch_over(struct master_link *m, uint64_t generation)
{
	struct reload *r = &m->next;
	struct config *old = *m->config;

	if (generation != r->generation || r->why[0] != '\0')
		die("master switches to a configuration that was not prepared");
	*m->config = r->config;
	r->config = NULL;
	if (m->change != NULL)
		m->change(m->arg, r, old);
	give_files(m, r);
	if (m->changed != NULL)
		m->changed(m->arg);
	reload_forget(r);
	config_free(&old);
	say(m, IPC_SWITCHED, generation);
}

bool reload_frame(struct master_link *m, struct ipc_frame *f)
{
	uint64_t generation = 0;

	if (f->type == IPC_CONFIG) {
		take_config(m, f);
		return true;
	}
	if (f->type == IPC_LISTEN) {
		take_listen(m, f);
		return true;
	}
	if (f->type != IPC_PREPARE && f->type != IPC_SWITCH && f->type != IPC_ABANDON)
		return false;
	if (proto_get_generation(f->payload, &generation) < 0)
		die("master sent a frame of a reload that makes no sense");
	if (f->type == IPC_PREPARE)
		prepare(m, generation);
	else if (f->type == IPC_SWITCH)
		switch_over(m, generation);
	else if (generation == m->next.generation)
		reload_forget(&m->next);
	return true;
}
