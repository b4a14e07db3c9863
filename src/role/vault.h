/*
 * What the files of the vault share. The vault alone holds private keys and password hashes. It
 * hears of the world through its channels only: what a broken receiver can ask of it is one
 * signature of a TLS handshake, or whether one password is right.
 */
#ifndef GW_ROLE_VAULT_H
#define GW_ROLE_VAULT_H

#include "role/role.h"

struct vault {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct ipc *queue;
	struct ipc *smtpd[WORKERS_MAX];
	struct master_link master;
};

#endif
