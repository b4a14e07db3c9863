/*
 * The files a configuration names, in one list: what master opens, watches and hands to the roles,
 * and what "config check" looks at. Pure: no file is touched here.
 */
#ifndef GW_CONFIG_FILES_H
#define GW_CONFIG_FILES_H

#include "config/config.h"

/* The numbers are those of enum file_kind in role/proto_secret.h. */
enum config_file_kind {
	CONFIG_FILE_CERTIFICATE, /* index in config.tls */
	CONFIG_FILE_KEY,         /* the same */
	CONFIG_FILE_USERS,       /* index 0 */
	CONFIG_FILE_RECIPIENTS,  /* index in config.domain */
	CONFIG_FILE_ALIASES,     /* the same; config.n_domain: that of all domains */
	CONFIG_FILE_SECRET,      /* index in config.secret */
	CONFIG_FILE_SRS,         /* index 0 */
	CONFIG_FILE_KINDS,
};

struct config_file {
	enum config_file_kind kind;
	uint32_t index;
	const char *path; /* the snapshot's; absolute */
	struct place place;
};

/* File i of the list, which has a fixed order: certificates each followed by its key, users, the
 * domains' files, that of all domains, the logins at other servers, the secret of srs. False behind
 * the last. */
bool config_files(const struct config *c, size_t i, struct config_file *file) gw_checked;

#endif
