/* Files of the configuration that are part of the program: src/config/builtin_NAME.conf. */
#include "config/parse.h"

/* The assembler reads the file; the Makefile says that this one depends on it. */
__asm__(".section .rodata\n"
	".global builtin_shaping\n"
	"builtin_shaping:\n"
	".incbin \"src/config/builtin_shaping.conf\"\n"
	".global builtin_shaping_end\n"
	"builtin_shaping_end:\n"
	".byte 0\n"
	".global builtin_replies\n"
	"builtin_replies:\n"
	".incbin \"src/config/builtin_replies.conf\"\n"
	".global builtin_replies_end\n"
	"builtin_replies_end:\n"
	".byte 0\n"
	".previous\n");
extern const uint8_t builtin_shaping[], builtin_shaping_end[];
extern const uint8_t builtin_replies[], builtin_replies_end[];

bool is_builtin_name(const char *name)
{
	return strncmp(name, BUILTIN_PREFIX, strlen(BUILTIN_PREFIX)) == 0;
}

bool builtin_find(const char *name, struct source *out)
{
	static const struct {
		const char *name;
		const uint8_t *begin, *end;
	} files[] = {{BUILTIN_PREFIX "shaping", builtin_shaping, builtin_shaping_end},
	    {BUILTIN_PREFIX "replies", builtin_replies, builtin_replies_end}};

	for (size_t i = 0; i < GW_ARRAY_LEN(files); i++) {
		size_t n = (size_t)(files[i].end - files[i].begin);

		if (strcmp(name, files[i].name) == 0) {
			*out = (struct source){
			    .name = files[i].name, .text = span_of(files[i].begin, n)};
			return true;
		}
	}
	return false;
}
