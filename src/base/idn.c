#include "base/idn.h"

#include <idn2.h>

enum { NAME_OCTETS = 255 };

int idn_to_ascii(struct span name, struct buf *out)
{
	char text[NAME_OCTETS + 1];
	uint8_t *ascii = NULL;
	int err;

	if (name.n > NAME_OCTETS || span_find(name, 0) >= 0)
		return GW_EFORMAT;
	span_to_cstr(name, text, sizeof(text));
	err = idn2_lookup_u8((const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NO_TR46);
	if (err == IDN2_MALLOC)
		return GW_ENOMEM;
	if (err != IDN2_OK)
		return GW_EFORMAT;
	err = buf_add_str(out, (const char *)ascii);
	idn2_free(ascii);
	return err;
}
