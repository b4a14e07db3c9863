/*
 * The bundle as text:
 *	godwit-config 1 files|text
 *	file PARENT LINE COLUMN NAME-LENGTH TEXT-LENGTH
 *	<name>
 *	<text>
 *	variable NAME-LENGTH VALUE-LENGTH
 *	<name>
 *	<value>
 * A file comes after the one that includes it (PARENT is its number, 0 for the main file).
 */
#include "config/parse.h"

#include <stdlib.h>

static const char head_files[] = "godwit-config 1 files\n";
static const char head_text[] = "godwit-config 1 text\n";

enum { BUNDLE_VARIABLES = 10000, NAME_LENGTH = 4096 };

void bundle_init(struct bundle *b)
{
	*b = (struct bundle){0};
}

void bundle_fini(struct bundle *b)
{
	free(b->source);
	free(b->variable);
	*b = (struct bundle){0};
}

static struct span without_bom(struct span s)
{
	return span_starts(s, SPAN("\xef\xbb\xbf")) ? span_skip(s, 3) : s;
}

struct source *bundle_add_source(struct bundle *b, const char *name, struct span text)
{
	if (b->n_source == b->cap_source) {
		b->cap_source = b->cap_source ? b->cap_source * 2 : 4;
		b->source = gw_realloc(b->source, b->cap_source * sizeof(*b->source));
	}
	b->source[b->n_source] = (struct source){.name = name, .text = without_bom(text)};
	return &b->source[b->n_source++];
}

void bundle_add_variable(struct bundle *b, const char *name, const char *value)
{
	if (b->n_variable == b->cap_variable) {
		b->cap_variable = b->cap_variable ? b->cap_variable * 2 : 4;
		b->variable = gw_realloc(b->variable, b->cap_variable * sizeof(*b->variable));
	}
	b->variable[b->n_variable++] = (struct variable){name, value};
}

const char *bundle_variable(const struct bundle *b, const char *name)
{
	for (size_t i = 0; i < b->n_variable; i++) {
		if (strcmp(b->variable[i].name, name) == 0)
			return b->variable[i].value;
	}
	return NULL;
}

void bundle_encode(const struct bundle *b, struct buf *out)
{
	buf_add_str(out, b->no_include ? head_text : head_files);
	for (size_t i = 0; i < b->n_source; i++) {
		const struct source *s = &b->source[i];

		buf_addf(out, "file %zu %u %u %zu %zu\n%s\n", s->parent, s->line, s->column,
		    strlen(s->name), s->text.n, s->name);
		buf_add_span(out, s->text);
		buf_add_byte(out, '\n');
	}
	for (size_t i = 0; i < b->n_variable; i++) {
		const struct variable *v = &b->variable[i];

		buf_addf(out, "variable %zu %zu\n%s\n%s\n", strlen(v->name), strlen(v->value),
		    v->name, v->value);
	}
}

int config_bundle_text(const char *name, struct span text, struct buf *bundle)
{
	struct bundle b;

	bundle_init(&b);
	b.no_include = true;
	bundle_add_source(&b, name, text);
	bundle_encode(&b, bundle);
	bundle_fini(&b);
	return buf_failed(bundle) ? GW_EFULL : 0;
}

/* ---- decoding: nothing of the input is believed */

static bool take(struct span *in, struct span what)
{
	if (!span_starts(*in, what))
		return false;
	*in = span_skip(*in, what.n);
	return true;
}

/* A number up to the byte that must follow it. */
static bool take_number(struct span *in, uint8_t end, uint64_t max, uint64_t *out)
{
	ptrdiff_t at = span_find(span_first(*in, 20), end);

	if (at < 0 || span_to_u64(span_first(*in, (size_t)at), out) < 0 || *out > max)
		return false;
	*in = span_skip(*in, (size_t)at + 1);
	return true;
}

/* n octets and a line end. */
static bool take_octets(struct span *in, uint64_t n, struct span *out)
{
	if (n >= in->n || in->p[n] != '\n')
		return false;
	*out = span_first(*in, (size_t)n);
	*in = span_skip(*in, (size_t)n + 1);
	return true;
}

static const char *take_string(struct span *in, uint64_t n, struct arena *a)
{
	struct span s;

	if (n > NAME_LENGTH || !take_octets(in, n, &s) || span_find(s, '\0') >= 0)
		return NULL;
	return (const char *)arena_dup(a, s).p;
}

static int decode_file(struct span *in, struct arena *a, struct bundle *b)
{
	uint64_t parent, line, column, name_n, text_n;
	const char *name;
	struct source *s;
	struct span text;

	if (b->n_source == BUNDLE_FILES || !take_number(in, ' ', b->n_source, &parent) ||
	    (parent == 0) != (b->n_source == 0) || !take_number(in, ' ', UINT32_MAX, &line) ||
	    !take_number(in, ' ', UINT32_MAX, &column) ||
	    !take_number(in, ' ', NAME_LENGTH, &name_n) ||
	    !take_number(in, '\n', CONFIG_TEXT_MAX, &text_n))
		return GW_EFORMAT;
	name = take_string(in, name_n, a);
	if (name == NULL || !take_octets(in, text_n, &text))
		return GW_EFORMAT;
	s = bundle_add_source(b, name, text);
	s->parent = (size_t)parent;
	s->line = (unsigned)line;
	s->column = (unsigned)column;
	return 0;
}

static int decode_variable(struct span *in, struct arena *a, struct bundle *b)
{
	uint64_t name_n, value_n;
	const char *name, *value;

	if (b->n_variable == BUNDLE_VARIABLES || !take_number(in, ' ', NAME_LENGTH, &name_n) ||
	    !take_number(in, '\n', NAME_LENGTH, &value_n))
		return GW_EFORMAT;
	name = take_string(in, name_n, a);
	value = name ? take_string(in, value_n, a) : NULL;
	if (value == NULL)
		return GW_EFORMAT;
	bundle_add_variable(b, name, value);
	return 0;
}

int bundle_decode(struct span in, struct arena *a, struct bundle *b)
{
	int rc = 0;

	b->no_include = take(&in, span_str(head_text));
	if (!b->no_include && !take(&in, span_str(head_files)))
		return GW_EFORMAT;
	while (rc == 0 && in.n > 0) {
		if (take(&in, SPAN("file ")))
			rc = decode_file(&in, a, b);
		else if (take(&in, SPAN("variable ")))
			rc = decode_variable(&in, a, b);
		else
			rc = GW_EFORMAT;
	}
	return rc < 0 || b->n_source == 0 ? GW_EFORMAT : 0;
}
