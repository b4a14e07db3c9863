/* The pairs of certificate and key, and the keys of session tickets. */
#include "role/vault.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define ROTATE_EVERY (3600 * USEC_PER_SEC)
#define EXPIRY_EVERY (24 * 3600 * USEC_PER_SEC)
#define EXPIRY_WARNED (14 * 24 * 3600)

enum { FRAME_MAX = IPC_CHUNK, REPORT_MAX = 60000 };

/* ---- telling -------------------------------------------------------------------------------- */

static void send_pair(const struct vault_pair *p, struct vault_peer *to)
{
	struct span part = span_of(p->frame, p->n_frame);

	if (to->ipc != NULL && p->frame != NULL)
		ipc_send(to->ipc, IPC_CERTIFICATE, &part, 1, -1);
}

static void send_session_keys(struct vault *v, struct vault_peer *to)
{
	struct span part;
	struct buf b;

	if (to->ipc == NULL)
		return;
	buf_init(&b, FRAME_MAX);
	proto_put_ticket_keys(&b, &v->session_keys);
	part = buf_view(&b);
	ipc_send(to->ipc, IPC_TICKET_KEYS, &part, 1, -1);
	explicit_bzero((void *)(uintptr_t)part.p, part.n);
	buf_fini(&b);
}

static void send_all_told(const struct vault *v, struct vault_peer *to)
{
	struct proto_certificates c = {v->config->generation, (uint32_t)v->config->n_tls};
	struct span part;
	struct buf b;

	if (to->ipc == NULL)
		return;
	buf_init(&b, 32);
	proto_put_certificates(&b, &c);
	part = buf_view(&b);
	ipc_send(to->ipc, IPC_CERTIFICATES, &part, 1, -1);
	buf_fini(&b);
}

void vault_tls_tell(struct vault *v, struct vault_peer *receiver)
{
	for (size_t i = 0; i <= v->config->n_tls; i++)
		send_pair(&v->pair[i], receiver);
	send_all_told(v, receiver);
	send_session_keys(v, receiver);
}

static enum pair_state state_of(const struct vault *v, size_t i)
{
	const struct vault_pair *p = &v->pair[i];

	if (i == v->config->n_tls)
		return PAIR_SELF_SIGNED;
	if (p->frame == NULL)
		return PAIR_REFUSED;
	return p->reason[0] != '\0' ? PAIR_KEPT : PAIR_GOOD;
}

static void put_report(const struct vault *v, size_t i, struct buf *out)
{
	const struct vault_pair *p = &v->pair[i];
	struct proto_pair row = {.index = (uint32_t)i,
	    .state = (uint8_t)state_of(v, i),
	    .not_after = p->not_after,
	    .names = span_str(p->names),
	    .reason = span_str(p->reason)};

	/* Not judged yet. */
	if (p->frame != NULL || p->reason[0] != '\0')
		proto_put_pair(out, &row);
}

void vault_tls_report(struct vault *v)
{
	struct span part;
	struct buf b;

	if (v->control.ipc == NULL)
		return;
	buf_init(&b, REPORT_MAX);
	for (size_t i = 0; i <= v->config->n_tls && buf_space(&b) > PAIR_NAMES + PAIR_REASON + 64;
	     i++)
		put_report(v, i, &b);
	part = buf_view(&b);
	ipc_send(v->control.ipc, IPC_PAIRS, &part, 1, -1);
	buf_fini(&b);
}

static void measure_expiry(const struct vault *v)
{
	int64_t first = 0;

	for (size_t i = 0; i < v->config->n_tls; i++) {
		int64_t at = v->pair[i].not_after;

		if (v->pair[i].frame != NULL && (first == 0 || at < first))
			first = at;
	}
	metric_set(METRIC_TLS_EXPIRY, first);
}

static void warn_of_expiry(const struct vault *v, size_t i)
{
	const struct vault_pair *p = &v->pair[i];
	int64_t now = clock_wall() / USEC_PER_SEC;
	struct logline l;

	if (p->frame == NULL || (now >= p->not_before && now + EXPIRY_WARNED < p->not_after))
		return;
	log_begin(&l, EV_TLS_EXPIRES);
	log_str(&l, "file", v->config->tls[i].certificate);
	log_number(&l, "days", (p->not_after - now) / (24 * 3600));
	log_str(&l, "names", p->names);
	log_end(&l);
}

static void look_at_expiry(void *arg)
{
	struct vault *v = arg;

	for (size_t i = 0; i < v->config->n_tls; i++)
		warn_of_expiry(v, i);
	timer_set(&v->look_at_expiry, loop_now(v->loop) + EXPIRY_EVERY);
}

/* ---- a pair comes in force ------------------------------------------------------------------- */

/* Its octets may be those of the frame before. */
static void keep_frame(struct vault_pair *p, const struct proto_certificate *c)
{
	struct span s;
	struct buf b;

	buf_init(&b, FRAME_MAX);
	proto_put_certificate(&b, c);
	gw_assert(!buf_failed(&b));
	s = buf_view(&b);
	p->frame = gw_realloc(p->frame, s.n);
	memcpy(p->frame, s.p, s.n);
	p->n_frame = s.n;
	buf_fini(&b);
}

static void tell_pair(struct vault *v, const struct vault_pair *p)
{
	for (size_t k = 0; k < WORKERS_MAX; k++)
		send_pair(p, &v->smtpd[k]);
}

static bool fits_in_frame(const struct pair *p)
{
	size_t n = 16;

	for (size_t i = 0; i < p->n_chain; i++)
		n += 4 + p->chain[i].n;
	return n <= FRAME_MAX;
}

/* The key of the pair before stays for those who began with it; the one before that goes. */
static void put_in_force(struct vault *v, size_t i, struct pair *loaded, uint32_t key)
{
	struct vault_pair *p = &v->pair[i];
	struct proto_certificate c = {.generation = v->config->generation,
	    .index = i == v->config->n_tls ? PROTO_SELF_SIGNED : (uint32_t)i,
	    .key = key,
	    .n_chain = loaded->n_chain};

	if (p->old_key != 0)
		vault_keys_drop(v->keys, p->old_key);
	p->old_key = p->key;
	p->key = key;
	p->not_before = loaded->not_before;
	p->not_after = loaded->not_after;
	memcpy(p->names, loaded->names, sizeof(p->names));
	p->reason[0] = '\0';
	memcpy(c.chain, loaded->chain, sizeof(c.chain));
	keep_frame(p, &c);
	tell_pair(v, p);
	measure_expiry(v);
}

static void log_loaded(const struct vault *v, size_t i)
{
	struct logline l;

	log_begin(&l, EV_TLS_LOADED);
	log_str(&l, "file", i == v->config->n_tls ? "self-signed" : v->config->tls[i].certificate);
	log_number(&l, "days", (v->pair[i].not_after - clock_wall() / USEC_PER_SEC) / (24 * 3600));
	log_str(&l, "names", v->pair[i].names);
	log_end(&l);
}

static void log_refused(const struct vault *v, size_t i)
{
	struct logline l;

	log_begin(&l, EV_TLS_REFUSED);
	log_str(&l, "file", v->config->tls[i].certificate);
	log_str(&l, "key", v->config->tls[i].key);
	log_str(&l, "kept", v->pair[i].frame != NULL ? "yes" : "no");
	log_str(&l, "reason", v->pair[i].reason);
	log_end(&l);
}

/* Without a certificate from outside: better a stranger's word than none. Nobody can log in with
 * it.
 */
static void sign_for_self(struct vault *v)
{
	size_t i = v->config->n_tls;
	struct pair loaded;
	uint32_t key;

	pair_self_signed(v->config->hostname, clock_wall() / USEC_PER_SEC, &loaded);
	key = vault_keys_add(v->keys, loaded.key);
	loaded.key = NULL;
	if (key != 0) {
		put_in_force(v, i, &loaded, key);
		log_loaded(v, i);
	}
	pair_free(&loaded);
}

/* All pairs were tried, and none was good. */
static bool stands_alone(const struct vault *v)
{
	for (size_t i = 0; i < v->config->n_tls; i++) {
		if (v->pair[i].tried == 0 || v->pair[i].frame != NULL)
			return false;
	}
	return v->pair[v->config->n_tls].frame == NULL;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int read_pair(struct vault_pair *p, struct pair *loaded)
{
	struct span text[2] = {SPAN_NONE, SPAN_NONE};
	const char *why = NULL;
	int err = vault_read(p->fd[0], PAIR_TEXT_MAX, &text[0], &why);

	if (err == 0)
		err = vault_read(p->fd[1], PAIR_TEXT_MAX, &text[1], &why);
	if (err < 0)
		span_to_cstr(span_str(why), p->reason, sizeof(p->reason));
	else
		err = pair_load(text[0], text[1], loaded, p->reason);
	vault_unread(&text[0]);
	vault_unread(&text[1]);
	if (err == 0 && !fits_in_frame(loaded)) {
		pair_free(loaded);
		span_to_cstr(SPAN("the chain is larger than 64 kB"), p->reason, sizeof(p->reason));
		err = GW_EFORMAT;
	}
	return err;
}

static void try_pair(struct vault *v, size_t i)
{
	struct vault_pair *p = &v->pair[i];
	struct pair loaded;
	uint32_t key;

	p->tried = p->stamp[0];
	if (read_pair(p, &loaded) < 0) {
		log_refused(v, i);
		return;
	}
	key = vault_keys_add(v->keys, loaded.key);
	loaded.key = NULL;
	if (key == 0) {
		span_to_cstr(SPAN("there are too many keys"), p->reason, sizeof(p->reason));
		log_refused(v, i);
	} else {
		put_in_force(v, i, &loaded, key);
		log_loaded(v, i);
		warn_of_expiry(v, i);
	}
	pair_free(&loaded);
}

static void close_files(struct vault_pair *p)
{
	for (size_t k = 0; k < 2; k++) {
		if (p->fd[k] >= 0)
			close(p->fd[k]);
		p->fd[k] = -1;
	}
}

void vault_tls_file(struct vault *v, const struct proto_file *f, int fd)
{
	size_t half = f->kind == FILE_KEY;
	struct vault_pair *p;

	if (f->index >= v->config->n_tls) {
		close(fd);
		return;
	}
	p = &v->pair[f->index];
	if (p->fd[half] >= 0)
		close(p->fd[half]);
	p->fd[half] = fd;
	p->stamp[half] = f->stamp;
	if (p->fd[0] < 0 || p->fd[1] < 0 || p->stamp[0] != p->stamp[1])
		return;
	try_pair(v, f->index);
	close_files(p);
	if (stands_alone(v))
		sign_for_self(v);
	vault_tls_report(v);
}

/* ---- reload ---------------------------------------------------------------------------------- */

static const struct reload_file *file_of(
    const struct reload *r, enum file_kind kind, uint32_t index)
{
	for (size_t i = 0; i < r->n_file; i++) {
		if (r->file[i].file.kind == kind && r->file[i].file.index == index)
			return &r->file[i];
	}
	return NULL;
}

/* Tried and given up again: what it has is in force only at the switch. */
static bool pair_is_good(const struct reload *r, uint32_t i, struct vault_pair *p)
{
	const struct reload_file *chain = file_of(r, FILE_CERTIFICATE, i);
	const struct reload_file *key = file_of(r, FILE_KEY, i);
	struct pair loaded;

	span_to_cstr(SPAN("its files did not come"), p->reason, sizeof(p->reason));
	if (chain == NULL || key == NULL)
		return false;
	p->fd[0] = chain->fd;
	p->fd[1] = key->fd;
	if (read_pair(p, &loaded) < 0)
		return false;
	pair_free(&loaded);
	return true;
}

bool vault_tls_check(struct reload *r)
{
	for (size_t i = 0; i < r->config->n_tls; i++) {
		const struct tls_pair *t = &r->config->tls[i];
		struct vault_pair p = {.fd = {-1, -1}};

		if (pair_is_good(r, (uint32_t)i, &p))
			continue;
		snprintf(r->why, sizeof(r->why), "%s:%u:%u: error: %s: %s",
		    t->place.file != NULL ? t->place.file : "-", t->place.line, t->place.column,
		    t->certificate, p.reason);
		return false;
	}
	return true;
}

static void retire_key(struct vault *v, uint32_t key)
{
	if (key == 0)
		return;
	v->retired = gw_realloc(v->retired, (v->n_retired + 1) * sizeof(*v->retired));
	v->retired[v->n_retired++] = key;
}

static void make_pairs(struct vault *v)
{
	v->pair = gw_calloc(v->config->n_tls + 1, sizeof(*v->pair));
	for (size_t i = 0; i <= v->config->n_tls; i++)
		v->pair[i].fd[0] = v->pair[i].fd[1] = -1;
}

/* What signs itself is as good as before: whoever pinned it notices nothing. */
static bool keep_own(struct vault *v, const struct config *old)
{
	struct vault_pair *own = &v->pair[0];
	struct proto_certificate c;

	if (old->n_tls > 0 || v->config->n_tls > 0 || own->frame == NULL ||
	    strcmp(old->hostname, v->config->hostname) != 0 ||
	    proto_get_certificate(span_of(own->frame, own->n_frame), &c) < 0)
		return false;
	c.generation = v->config->generation;
	keep_frame(own, &c);
	tell_pair(v, own);
	return true;
}

static void retire_pair(struct vault *v, struct vault_pair *p)
{
	retire_key(v, p->key);
	if (p->old_key != 0)
		vault_keys_drop(v->keys, p->old_key);
	close_files(p);
	free(p->frame);
}

/* Handshakes under way go on with the keys they began with, until the next reload. */
void vault_tls_change(struct vault *v, const struct config *old)
{
	for (size_t i = 0; i < v->n_retired; i++)
		vault_keys_drop(v->keys, v->retired[i]);
	v->n_retired = 0;
	if (keep_own(v, old))
		return;
	for (size_t i = 0; i <= old->n_tls; i++)
		retire_pair(v, &v->pair[i]);
	free(v->pair);
	make_pairs(v);
}

void vault_tls_changed(struct vault *v)
{
	if (stands_alone(v))
		sign_for_self(v);
	for (size_t i = 0; i < WORKERS_MAX; i++)
		send_all_told(v, &v->smtpd[i]);
	vault_tls_report(v);
	measure_expiry(v);
}

/* ---- session tickets ------------------------------------------------------------------------- */

/* A new key to encrypt with; those before it still decrypt. */
static void rotate(void *arg)
{
	struct vault *v = arg;
	struct proto_ticket_keys *k = &v->session_keys;

	memmove(&k->key[1], &k->key[0], sizeof(k->key[0]) * (TICKET_KEYS_MAX - 1));
	if (getrandom(&k->key[0], sizeof(k->key[0]), 0) != (ssize_t)sizeof(k->key[0]))
		die("vault: no random bytes");
	k->n += k->n < TICKET_KEYS_MAX;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		send_session_keys(v, &v->smtpd[i]);
	timer_set(&v->rotate, loop_now(v->loop) + ROTATE_EVERY);
}

/* ---- start ----------------------------------------------------------------------------------- */

void vault_tls_prepare(struct vault *v)
{
	make_pairs(v);
	for (unsigned i = 0; i < v->boot->workers; i++)
		v->signer[i] = signer_start(vault_keys_sign, v->keys);
}

void vault_tls_start(struct vault *v)
{
	timer_start(&v->rotate, v->loop, rotate, v);
	timer_start(&v->look_at_expiry, v->loop, look_at_expiry, v);
	timer_set(&v->look_at_expiry, loop_now(v->loop) + EXPIRY_EVERY);
	rotate(v);
	if (stands_alone(v))
		sign_for_self(v);
}
