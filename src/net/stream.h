/*
 * A connected socket, with TLS or without: the one owner of the connection's state. While TLS is
 * starting or standing nothing is ever read from or written to the bare socket; what ends once is
 * ended for good.
 */
#ifndef GW_NET_STREAM_H
#define GW_NET_STREAM_H

#include "base/span.h"

struct tls_server;
struct ssl_st;

enum { STREAM_BINDING_MAX = 64 };

struct stream {
	int fd;
	struct ssl_st *ssl; /* NULL: no TLS */
	bool tls;           /* it was started, whatever became of it */
	bool shaken;        /* the handshake is done */
	bool ended;         /* the peer closed its side: every read says so */
	bool over;          /* it broke or was shut: nothing can be read or written any more */
	bool wants_write;   /* what stopped the last call waits for the socket to be writable */
};

/* Non-blocking; owned from here on. */
void stream_init(struct stream *s, int fd);
void stream_close(struct stream *s);

/* Octets read; 0: the peer closed its side (TLS: with close_notify); GW_EBUSY (not now); GW_EIO:
 * broken, also an end without close_notify. */
ptrdiff_t stream_read(struct stream *s, uint8_t *to, size_t n) gw_checked;
/* Octets written; GW_EBUSY (not now; call again with the same octets in front); GW_EIO. */
ptrdiff_t stream_write(struct stream *s, struct span data) gw_checked;
/* There is input that no event on the socket will announce: read before you wait. */
bool stream_has_input(const struct stream *s);
/* As stream_read(), and the octets are still there afterwards. Not with TLS. */
ptrdiff_t stream_look(const struct stream *s, uint8_t *to, size_t n) gw_checked;
/* Is there unread input of any kind? Looks at the socket. */
bool stream_peek(const struct stream *s);
/* close_notify and the end of our output; nothing can be read any more. */
void stream_shut(struct stream *s);
/* Behind stream_shut(): takes what still comes and forgets it. Octets; 0: the peer closed its side;
 * GW_EBUSY; GW_EIO. */
ptrdiff_t stream_forget(struct stream *s) gw_checked;

/* ---- TLS as a server */

/* From now on TLS. 0, or GW_ENOMEM. */
int stream_start_tls(struct stream *s, struct tls_server *t) gw_checked;
/*
 * Of both sides (net/tls_client.h has the other one).
 * 1: done; 0: call again when the socket is readable (wants_write: writable); GW_EIO: failed, *why
 * a slug for the log: "not_tls", "old_version", "no_shared_cipher", "no_shared_algorithm",
 * "certificate_refused" (by the client), "no_signature" (the signer), "refused" (the peer says no
 * more than that), "unknown_name", "too_large", "closed", "bad_handshake".
 */
int stream_handshake(struct stream *s, const char **why) gw_checked;
/* "TLSv1.3", "TLS_AES_256_GCM_SHA384", the name the client asked for; "" if there is none. */
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);
const char *stream_tls_name(const struct stream *s);
/* Without a new signature, by a ticket. */
bool stream_tls_resumed(const struct stream *s);
/* RFC 9266 (TLS 1.3) and RFC 5929 (TLS 1.2 without resumption): octets written to `to`; 0 if
 * there is none. exporter: tls-exporter, else tls-unique. */
size_t stream_tls_binding(const struct stream *s, bool exporter, uint8_t to[STREAM_BINDING_MAX]);

#endif
