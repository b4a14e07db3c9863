/* What all roles do at their start: configuration, log, jail, the channel to master. */
#include "base/cursor.h"
#include "base/log.h"
#include "role/boot_log.h"
#include "role/maildir.h"
#include "role/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_MODE = 0640 };

/* ---- configuration and log -------------------------------------------------------------- */

int boot_log(const struct config *c, const char *role)
{
	int fd = STDERR_FILENO;

	if (c->log_path != NULL) {
		fd = open(
		    c->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, LOG_MODE);
		if (fd < 0)
			return GW_EIO;
	}
	log_setup(fd, c->log_json ? LOG_JSON : LOG_LOGFMT, role);
	return 0;
}

struct config *boot_config(struct boot *b)
{
	struct config_diags diags;
	struct config *c;

	config_diags_init(&diags);
	c = config_parse(b->bundle, b->generation, &diags);
	config_diags_fini(&diags);
	if (c == NULL)
		die("%s: the configuration from master does not parse", role_names[b->role]);
	if (b->running != NULL)
		config_freeze(c, b->running, NULL);
	if (!b->one_process && boot_log(c, role_names[b->role]) < 0)
		die("log %s: %s", c->log_path, strerror(errno));
	for (size_t i = 0; i < b->n_listen; i++) {
		gw_assert(b->listen[i].conf_index < c->n_listen);
		b->listen[i].conf = &c->listen[b->listen[i].conf_index];
	}
	return c;
}

/* ---- the jail --------------------------------------------------------------------------- */

static const struct target *target_at(const struct config *c, size_t i)
{
	if (i < c->n_domain)
		return &c->domain[i].deliver;
	i -= c->n_domain;
	return i < c->n_route ? &c->route[i].target : NULL;
}

/* A socket that has a path is out of reach from an empty root directory. */
bool boot_sends_to_path(const struct config *c)
{
	const struct target *t;

	for (size_t i = 0; (t = target_at(c, i)) != NULL; i++) {
		if ((t->kind == TARGET_LMTP || t->kind == TARGET_RELAY) && t->n_host > 0 &&
		    t->host[0].unix_path != NULL)
			return true;
	}
	for (size_t i = 0; i < c->n_domain; i++) {
		if (c->domain[i].recipients == RECIPIENTS_CALLOUT &&
		    c->domain[i].lookup->at.unix_path != NULL)
			return true;
	}
	return false;
}

static bool has_tree(char *const *tree, size_t n, const char *path, size_t length)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(tree[i]) == length && memcmp(tree[i], path, length) == 0)
			return true;
	}
	return false;
}

struct trees {
	char **tree;
	size_t n;
};

static void add_tree(struct trees *t, const char *template)
{
	size_t fixed = maildir_fixed(template);

	if (has_tree(t->tree, t->n, template, fixed))
		return;
	t->tree[t->n] = gw_calloc(1, fixed + 1);
	memcpy(t->tree[t->n++], template, fixed);
}

/* The fixed directories of all templates of Maildirs and of the users' own files, each once. */
static struct trees find_trees(const struct config *c)
{
	struct trees all = {gw_calloc(2 * c->n_domain + c->n_route + 1, sizeof(char *)), 0};
	const struct target *t;

	for (size_t i = 0; (t = target_at(c, i)) != NULL; i++) {
		if (t->kind == TARGET_MAILDIR)
			add_tree(&all, t->path);
	}
	for (size_t i = 0; i < c->n_domain; i++) {
		if (c->domain[i].forward != NULL)
			add_tree(&all, c->domain[i].forward);
	}
	return all;
}

bool boot_trees_have(const struct config *old, const struct config *next)
{
	struct trees a = find_trees(old), b = find_trees(next);
	bool all = true;

	for (size_t i = 0; i < b.n; i++) {
		all = all && has_tree(a.tree, a.n, b.tree[i], strlen(b.tree[i]));
		free(b.tree[i]);
	}
	for (size_t i = 0; i < a.n; i++)
		free(a.tree[i]);
	free(a.tree);
	free(b.tree);
	return all;
}

/* They live as long as the process. */
static void mailbox_trees(const struct config *c, struct sandbox *s)
{
	struct trees all = find_trees(c);

	s->trees = (const char *const *)all.tree;
	s->n_trees = all.n;
}

void boot_sandbox(const struct boot *b, const struct config *c, struct sandbox *s)
{
	*s = (struct sandbox){.role = b->role,
	    .enabled = b->jail && !b->one_process,
	    .user = c->run_as,
	    .root = "",
	    .filters = b->filters};
	if (b->role == ROLE_QUEUE) {
		s->root = c->spool;
		s->writable = c->spool;
	}
	if (b->role == ROLE_HISTORY)
		s->root = s->writable = c->history.directory;
	if (b->role == ROLE_SENDER && boot_sends_to_path(c))
		s->root = NULL;
	if (b->role == ROLE_MDA) {
		s->root = NULL;
		mailbox_trees(c, s);
	}
}

/* ---- the channel to master --------------------------------------------------------------- */

static void take_peer(struct master_link *m, struct ipc_frame *f)
{
	struct cursor c = cursor_of(f->payload);
	uint8_t role = get_u8(&c), index = get_u8(&c);

	if (m->peer != NULL)
		m->peer(m->arg, (enum role)role, index, f->fd);
	else
		close(f->fd);
}

static void stop(struct master_link *m)
{
	if (m->stop != NULL)
		m->stop(m->arg);
	else
		master_link_done(m);
}

static void take_signer(struct master_link *m, struct ipc_frame *f)
{
	struct cursor c = cursor_of(f->payload);
	uint8_t index;

	(void)get_u8(&c);
	index = get_u8(&c);
	if (m->signer != NULL)
		m->signer(m->arg, index, f->fd);
	else
		close(f->fd);
}

static void take_file(struct master_link *m, struct ipc_frame *f)
{
	struct proto_file file;

	if (proto_get_file(f->payload, &file) < 0)
		die("master sent a FILE frame that makes no sense");
	if (reload_keeps_file(m, &file, f->fd))
		return;
	if (m->file != NULL)
		m->file(m->arg, &file, f->fd);
	else
		close(f->fd);
}

static void take_dovecot(struct master_link *m, struct ipc_frame *f)
{
	if (m->dovecot != NULL)
		m->dovecot(m->arg, f->payload, f->fd);
	else
		close(f->fd);
}

static void from_master(void *arg, struct ipc *ipc, struct ipc_frame *f)
{
	struct master_link *m = arg;

	(void)ipc;
	if (reload_frame(m, f))
		return;
	if (f->type == IPC_PEER)
		take_peer(m, f);
	else if (f->type == IPC_STOP)
		stop(m);
	else if (f->type == IPC_ROLES && m->roles != NULL)
		m->roles(m->arg, f->payload);
	else if (f->type == IPC_BLAME && m->blame != NULL)
		m->blame(m->arg, f->payload);
	else if (f->type == IPC_DENY && m->deny != NULL)
		m->deny(m->arg, f->payload);
	else if (f->type == IPC_SIGNER)
		take_signer(m, f);
	else if (f->type == IPC_FILE)
		take_file(m, f);
	else if (f->type == IPC_DOVECOT)
		take_dovecot(m, f);
	else if (f->type == IPC_RELOADED && m->reloaded != NULL)
		m->reloaded(m->arg, f->payload);
}

static void master_gone(void *arg, struct ipc *ipc, const char *why)
{
	struct master_link *m = arg;

	(void)ipc;
	(void)why;
	ipc_free(&m->ipc);
	/* Nobody would start again what dies from now on, and a new master wants our place. */
	if (!m->one_process)
		loop_stop(m->loop, 1);
}

void master_link_start(struct master_link *m, struct loop *l, struct boot *b)
{
	struct ipc_owner owner = {.frame = from_master, .closed = master_gone, .arg = m};
	uint8_t generation[8];

	m->loop = l;
	m->one_process = b->one_process;
	m->ipc = ipc_new(l, b->master_fd, b->role, ROLE_MASTER, 0, &owner);
	for (size_t i = 0; i < sizeof(generation); i++)
		generation[i] = (uint8_t)(b->generation >> 8 * i);
	if (ipc_send(m->ipc, IPC_READY, &(struct span){generation, sizeof(generation)}, 1, -1) < 0)
		die("%s: cannot tell master that it is ready", role_names[b->role]);
}

void master_link_done(struct master_link *m)
{
	if (!m->one_process)
		loop_stop(m->loop, 0);
	else if (m->ipc != NULL) /* what ends behind the end says so again */
		ipc_end(m->ipc, "done");
}
