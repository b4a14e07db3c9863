/*
 * What is wrong with a configuration, in sentences for people: with the place, the line and a hint.
 */
#ifndef GW_CONFIG_DIAGS_H
#define GW_CONFIG_DIAGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/atoms.h"

struct config_diag {
	bool error;    /* else a warning */
	unsigned code; /* E0142: godwit config explain E0142 */
	struct place place;
	unsigned width;   /* characters under the caret */
	const char *text; /* the sentence */
	const char *hint; /* may be NULL */
	const char *line; /* the source line */
};

enum { CONFIG_DIAG_MAX = 20 };
struct config_diags {
	struct config_diag d[CONFIG_DIAG_MAX];
	size_t n;
	size_t errors, warnings; /* also those beyond the first 20 */
	struct arena arena;
};
void config_diags_init(struct config_diags *d);
void config_diags_fini(struct config_diags *d);
/* Adds what is wrong with a file that the configuration names: that it cannot be used, at the
 * statement; or a mistake in it, at its own place. */
void config_diags_unusable(
    struct config_diags *d, const struct place *statement, const char *path, const char *why);
void config_diags_content(struct config_diags *d, const struct place *at, const char *text);
/* Warnings about this machine: it does not have the address of a vmta; a file is not there. */
void config_diags_elsewhere(
    struct config_diags *d, const struct place *at, const char *vmta, const char *address);
/* ... or a program that mail is given to, or its user. */
void config_diags_pipe(
    struct config_diags *d, const struct place *at, const char *domain, const char *why);
/* A line of the users file names a plan that is not there. */
void config_diags_plan(
    struct config_diags *d, const struct place *at, const char *account, const char *plan);
/* A statement names an account, or a tenant, that the users file does not have. */
void config_diags_account(
    struct config_diags *d, const struct place *at, const char *account, const char *users);
void config_diags_tenant(
    struct config_diags *d, const struct place *at, const char *tenant, const char *users);
void config_diags_unread(
    struct config_diags *d, const char *setting, const char *path, const char *why);
/* "file:line:col: error: sentence", the line, the caret, the hint, as ux.md 2.4 shows. */
void config_diags_format(const struct config_diags *d, struct buf *out);

#endif
