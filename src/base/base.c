#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *gw_strerror(int err)
{
	switch ((enum gw_err)err) {
	case GW_OK: return "no error";
	case GW_EFULL: return "a ceiling was reached";
	case GW_EFORMAT: return "malformed";
	case GW_EMORE: return "more input needed";
	case GW_ENOENT: return "not found";
	case GW_EPERM: return "not permitted";
	case GW_EIO: return "input/output error";
	case GW_ENOSPC: return "no space left";
	case GW_ECORRUPT: return "stored data is damaged";
	case GW_ECLOSED: return "closed by the other side";
	case GW_EBUSY: return "busy";
	case GW_ENOMEM: return "out of memory";
	case GW_EVERSION: return "unknown format version";
	}
	return "unknown error";
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("godwit: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}
