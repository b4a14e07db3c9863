/* The pure half: from a template, an address and a message id to names. */
#include "role/maildir.h"

#include "mail/address.h"

#include <stdio.h>

enum { PLAIN_MAX = 1024 };

/* ---- names ------------------------------------------------------------------------------ */

static bool is_plain(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || (c != 0 && strchr("._+=-", c) != NULL);
}

static void add_encoded(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (is_plain(s.p[i]) && !(i == 0 && s.p[i] == '.'))
			buf_add_byte(out, s.p[i]);
		else
			buf_addf(out, "%%%02X", s.p[i]);
	}
}

static int split_address(struct span addr, struct buf *local, struct span *domain)
{
	struct address a;

	if (address_parse(addr, &a) < 0)
		return GW_EFORMAT;
	address_local_plain(&a, local);
	*domain = a.domain;
	return 0;
}

static int add_part(struct buf *out, struct span part)
{
	if (part.n == 0)
		return GW_EFORMAT;
	add_encoded(out, part);
	return 0;
}

static int add_template(
    struct buf *out, const char *template, struct span local, struct span domain)
{
	int err = 0;

	for (const char *t = template; *t != '\0' && err == 0; t++) {
		if (t[0] == '%' && t[1] == 'u')
			err = add_part(out, local);
		else if (t[0] == '%' && t[1] == 'd')
			err = add_part(out, domain);
		else
			buf_add_byte(out, (uint8_t)*t);
		if (t[0] == '%' && (t[1] == 'u' || t[1] == 'd'))
			t++;
	}
	return err;
}

/* alice of alice+x: the mailbox is hers, whatever stands behind. */
static struct span owner(struct span local, char subaddress)
{
	ptrdiff_t at = subaddress != 0 ? span_find(local, (uint8_t)subaddress) : -1;

	return at > 0 ? span_first(local, (size_t)at) : local;
}

int maildir_expand(const char *template, struct span addr, char subaddress, struct buf *out)
{
	struct buf local;
	struct span domain;
	int err;

	buf_init(&local, PLAIN_MAX);
	err = split_address(addr, &local, &domain);
	if (err == 0)
		err = add_template(out, template, owner(buf_view(&local), subaddress), domain);
	buf_fini(&local);
	if (err == 0 && buf_failed(out))
		err = GW_EFULL;
	return err;
}

void maildir_detail(struct span addr, char subaddress, struct buf *out)
{
	struct buf local;
	struct span domain, name;

	buf_init(&local, PLAIN_MAX);
	if (split_address(addr, &local, &domain) == 0) {
		name = owner(buf_view(&local), subaddress);
		if (name.n < buf_len(&local))
			buf_add_span(out, span_skip(buf_view(&local), name.n + 1));
	}
	buf_fini(&local);
}

size_t maildir_fixed(const char *template)
{
	size_t n = strcspn(template, "%");

	while (n > 0 && template[n - 1] != '/')
		n--;
	return n > 1 ? n - 1 : n;
}

void maildir_name(const struct msgid *id, uint32_t index, char name[MAILDIR_NAME_MAX])
{
	char text[MSGID_TEXT + 1];
	uint64_t msec = 0;

	for (size_t i = 0; i < 6; i++)
		msec = msec << 8 | id->b[i];
	msgid_format(id, text);
	snprintf(name, MAILDIR_NAME_MAX, "%llu.%s_%u.godwit", (unsigned long long)(msec / 1000),
	    text, index);
}
