/*
 * Payloads of the IPC frames (net/messages.def), encoded and decoded in the files proto_*.c and
 * nowhere else. Decoding treats the bytes as hostile: 0, or GW_EFORMAT / GW_EFULL, and the channel
 * is ended. Decoded spans point into the payload, arrays into the arena.
 *
 * Here are those of the mail itself and of the processes. Others have headers that only those
 * include who speak them: proto_callout.h, proto_dns.h, proto_reload.h, proto_secret.h,
 * proto_story.h, proto_turn.h.
 */
#ifndef GW_ROLE_PROTO_H
#define GW_ROLE_PROTO_H

#include "role/proto_ask.h"
#include "role/proto_job.h"
#include "role/proto_processes.h"
#include "role/proto_receive.h"

#endif
