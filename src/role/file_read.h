/*
 * Files that master opened and handed on. Whoever else has such a descriptor moves the same
 * offset, so it is not used.
 */
#ifndef GW_ROLE_FILE_READ_H
#define GW_ROLE_FILE_READ_H

#include "base/base.h"

#include <stddef.h>

/* From the start, at most n octets; less if the file ends before. GW_EIO: it cannot be read. */
ptrdiff_t file_read_all(int fd, void *to, size_t n) gw_checked;

#endif
