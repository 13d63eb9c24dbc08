/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_MATH64_H
#define SHIM_MATH64_H

#include <linux/types.h>

#define div64_u64(a, b)		((u64)(a) / (u64)(b))

#endif
