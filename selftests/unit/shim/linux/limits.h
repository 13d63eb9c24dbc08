/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LIMITS_H
#define SHIM_LIMITS_H

#include <limits.h>

#define U8_MAX	((u8)~0)
#define U16_MAX	((u16)~0)
#define U32_MAX	((u32)~0)
#define U64_MAX	((u64)~0)

#endif
