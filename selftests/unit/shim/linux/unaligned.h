/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_UNALIGNED_H
#define SHIM_UNALIGNED_H

#include <linux/types.h>

#define get_unaligned(p) ({						\
	typeof(*(p)) v_;						\
									\
	__builtin_memcpy(&v_, p, sizeof(v_));				\
	v_;								\
})
#define put_unaligned(v, p) ({						\
	typeof(*(p)) v_ = (v);						\
									\
	__builtin_memcpy(p, &v_, sizeof(v_));				\
})

#endif
