/* Texts that come often: numbers in the rows of a block, each with one row of its own. */
#include "role/history_db.h"

#include <stdlib.h>

enum {
	TEXTS_MAX = 4096,   /* with a number, in one block: the others stand in their rows */
	TEXT_LONGEST = 256, /* octets of one with a number */
	CACHED_MAX = 8192,
};

/* A text with a number: the key in the map is the block and the text. */
struct text {
	uint32_t number;
	size_t n;
	uint8_t key[];
};

void history_db_forget_texts(struct history_db *db)
{
	struct text *t;
	size_t at = 0;

	while ((t = map_next(&db->texts, &at)) != NULL)
		free(t);
	map_fini(&db->texts);
	map_init(&db->texts, db->seed);
	memset(db->counts, 0xff, HISTORY_COUNTS * sizeof(*db->counts));
}

static int64_t *count_of(struct history_db *db, int64_t block)
{
	struct text_count *c = &db->counts[block % HISTORY_COUNTS];
	sqlite3_stmt *st;

	if (c->block == block)
		return &c->n;
	st = history_db_use(db, HDB_TEXT_COUNT);
	sqlite3_bind_int64(st, 1, block);
	c->block = block;
	c->n = history_db_step(db, st) == 1 ? sqlite3_column_int64(st, 0) : TEXTS_MAX;
	sqlite3_reset(st);
	return &c->n;
}

static bool add_text(struct history_db *db, int64_t block, uint32_t number, struct span text)
{
	int64_t *n = count_of(db, block);
	sqlite3_stmt *st;

	if (*n >= TEXTS_MAX)
		return false;
	st = history_db_use(db, HDB_TEXT_ADD);
	sqlite3_bind_int64(st, 1, block);
	sqlite3_bind_int64(st, 2, (int32_t)number);
	bind_span(st, 3, text);
	if (history_db_run(db, st) != 0)
		return false; /* what is wrong shows itself at the row */
	++*n;
	return true;
}

/* The text of a number, as the database has it; the statement is to be reset. */
static bool stored_text(struct history_db *db, int64_t block, uint32_t number, struct span *text)
{
	sqlite3_stmt *st = history_db_use(db, HDB_TEXT_GET);

	sqlite3_bind_int64(st, 1, block);
	sqlite3_bind_int64(st, 2, (int32_t)number);
	if (history_db_step(db, st) != 1)
		return false;
	*text = column_span(st, 0);
	return true;
}

static void remember(struct history_db *db, struct span key, uint32_t number)
{
	struct text *t = gw_calloc(1, sizeof(*t) + key.n);

	if (map_len(&db->texts) >= CACHED_MAX)
		history_db_forget_texts(db);
	t->number = number;
	t->n = key.n;
	memcpy(t->key, key.p, key.n);
	map_put(&db->texts, span_of(t->key, t->n), t);
}

static bool text_number(void *arg, struct span text, uint32_t *number)
{
	struct history_db *db = arg;
	uint8_t bytes[sizeof(int64_t) + TEXT_LONGEST];
	struct span key = span_of(bytes, sizeof(int64_t) + text.n), there;
	const struct text *t;

	if (text.n > TEXT_LONGEST)
		return false;
	memcpy(bytes, &db->text_block, sizeof(int64_t));
	memcpy(bytes + sizeof(int64_t), text.p, text.n);
	t = map_get(&db->texts, key);
	if (t != NULL) {
		*number = t->number;
		return true;
	}
	*number = (uint32_t)map_hash(text, db->seed);
	if (stored_text(db, db->text_block, *number, &there)) {
		bool same = span_eq(there, text);

		sqlite3_reset(db->st[HDB_TEXT_GET]);
		if (!same)
			return false;
	} else if (!add_text(db, db->text_block, *number, text)) {
		return false;
	}
	remember(db, key, *number);
	return true;
}

static struct span text_of(void *arg, uint32_t number)
{
	struct history_db *db = arg;
	struct span text = SPAN_NONE;

	(void)stored_text(db, db->text_block, number, &text);
	return text;
}

struct row_texts history_db_texts(struct history_db *db, int64_t message)
{
	db->text_block = history_block(message);
	return (struct row_texts){.number = text_number, .text = text_of, .arg = db};
}
