#include "flow/turns.h"

#include <stdlib.h>

/* What one account has of one class in one ring. */
struct turns_account {
	TAILQ_ENTRY(turns_account) link;
	TAILQ_HEAD(, turn) entries;
	enum priority class;
	size_t key_length;
	uint8_t key[]; /* the ring, the class, the name */
};

enum { KEY_HEAD = sizeof(struct turns *) + 1, KEY_MAX = KEY_HEAD + TURNS_ACCOUNT_MAX };

/* To whom each turn of the round belongs: those of the lower classes never stand side by side. */
enum { H = PRIORITY_HIGH, N = PRIORITY_NORMAL, B = PRIORITY_BULK };
static const uint8_t round_of[TURNS_ROUND] = {H, H, H, N, H, H, H, N, H, H, H, N, H, H, H, B};

static const uint8_t order[PRIORITY_COUNT] = {H, N, B};

void turns_init(struct turns *t, struct map *book)
{
	*t = (struct turns){.book = book};
	for (size_t i = 0; i < PRIORITY_COUNT; i++)
		TAILQ_INIT(&t->class[i]);
}

/* ---- accounts ------------------------------------------------------------------------------- */

static struct span key_of(
    const struct turns *t, enum priority class, struct span account, uint8_t to[KEY_MAX])
{
	account = span_first(account, TURNS_ACCOUNT_MAX);
	memcpy(to, &t, sizeof(t));
	to[KEY_HEAD - 1] = (uint8_t) class;
	if (account.n > 0)
		memcpy(to + KEY_HEAD, account.p, account.n);
	return span_of(to, KEY_HEAD + account.n);
}

static struct turns_account *account_new(struct turns *t, enum priority class, struct span key)
{
	struct turns_account *a = gw_calloc(1, sizeof(*a) + key.n);

	a->class = class;
	a->key_length = key.n;
	memcpy(a->key, key.p, key.n);
	TAILQ_INIT(&a->entries);
	TAILQ_INSERT_TAIL(&t->class[class], a, link);
	map_put(t->book, span_of(a->key, a->key_length), a);
	return a;
}

static void account_free(struct turns *t, struct turns_account *a)
{
	map_del(t->book, span_of(a->key, a->key_length));
	TAILQ_REMOVE(&t->class[a->class], a, link);
	free(a);
}

/* ---- entries -------------------------------------------------------------------------------- */

void turns_join(struct turns *t, struct turn *e, enum priority class, struct span account)
{
	uint8_t room[KEY_MAX];
	struct span key = key_of(t, class, account, room);
	struct turns_account *a = map_get(t->book, key);

	gw_assert(e->account == NULL && class < PRIORITY_COUNT);
	if (a == NULL)
		a = account_new(t, class, key);
	TAILQ_INSERT_TAIL(&a->entries, e, link);
	e->account = a;
}

void turns_leave(struct turns *t, struct turn *e)
{
	struct turns_account *a = e->account;

	if (a == NULL)
		return;
	TAILQ_REMOVE(&a->entries, e, link);
	e->account = NULL;
	if (TAILQ_EMPTY(&a->entries))
		account_free(t, a);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static struct turn *first_of(const struct turns *t, enum priority class, unsigned classes)
{
	const struct turns_account *a = TAILQ_FIRST(&t->class[class]);

	return a != NULL && (classes & 1U << class) ? TAILQ_FIRST(&a->entries) : NULL;
}

struct turn *turns_next(const struct turns *t, unsigned classes)
{
	struct turn *e = first_of(t, (enum priority)round_of[t->at], classes);

	for (size_t i = 0; e == NULL && i < PRIORITY_COUNT; i++)
		e = first_of(t, (enum priority)order[i], classes);
	return e;
}

void turns_taken(struct turns *t, struct turn *e)
{
	struct turns_account *a = e->account;

	TAILQ_REMOVE(&a->entries, e, link);
	TAILQ_INSERT_TAIL(&a->entries, e, link);
	TAILQ_REMOVE(&t->class[a->class], a, link);
	TAILQ_INSERT_TAIL(&t->class[a->class], a, link);
	t->at = (t->at + 1) % TURNS_ROUND;
}

unsigned turns_classes(const struct turns *t)
{
	unsigned mask = 0;

	for (size_t i = 0; i < PRIORITY_COUNT; i++)
		mask |= TAILQ_EMPTY(&t->class[i]) ? 0 : 1U << i;
	return mask;
}
