/*
 * What statements are made of: where one stands, ranges of addresses, rates, endpoints. All text
 * lies in the arena of the configuration.
 */
#ifndef GW_CONFIG_ATOMS_H
#define GW_CONFIG_ATOMS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct place {
	const char *file; /* NULL: nobody wrote it, it is the default */
	unsigned line, column;
};

struct cidr {
	sa_family_t family;
	uint8_t bytes[16];
	unsigned bits;
	struct place place;
};

struct rate { /* so many in so many seconds */
	uint32_t n, seconds;
};

struct endpoint {         /* HOST:PORT, [v6]:PORT or unix:PATH */
	const char *host; /* NULL for unix */
	uint16_t port;
	const char *unix_path;
};

#endif
