/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_STRING_H
#define SHIM_STRING_H

#include <string.h>

#define strscpy(d, s, n)	snprintf(d, n, "%s", s)
#define memzero_explicit(p, n)	memset(p, 0, n)

#endif
