/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BUILD_BUG_H
#define SHIM_BUILD_BUG_H

#include <assert.h>

#define BUILD_BUG_ON(cond)		_Static_assert(!(cond), #cond)
#define BUILD_BUG_ON_ZERO(cond)		((int)(sizeof(struct { int : (-!!(cond)); })))
#define BUILD_BUG_ON_MSG(cond, msg)	_Static_assert(!(cond), msg)
#undef static_assert
#define static_assert(cond, ...)	_Static_assert(cond, #cond)

#endif
