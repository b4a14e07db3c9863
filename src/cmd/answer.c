#include "cmd/answer.h"

#include "cmd/terminal.h"

struct span answer_text(const json_t *from, const char *key)
{
	const json_t *v = json_object_get(from, key);

	return span_of(json_string_value(v), json_string_length(v));
}

int64_t answer_number(const json_t *from, const char *key)
{
	return json_integer_value(json_object_get(from, key));
}

int64_t answer_time(const json_t *from, const char *key)
{
	return terminal_time(json_string_value(json_object_get(from, key)));
}
