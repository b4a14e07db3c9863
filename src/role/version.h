/*
 * The version of the program, once: "godwit version", the banner of "godwit dev", the status and
 * the metrics.
 */
#ifndef GW_ROLE_VERSION_H
#define GW_ROLE_VERSION_H

#define GW_VERSION "0.1.0"

#endif
