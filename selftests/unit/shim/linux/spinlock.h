/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SPINLOCK_H
#define SHIM_SPINLOCK_H

#include <linux/types.h>

/* Locks do nothing: tests of several threads bring their own */
typedef struct { int unused; } rwlock_t;
typedef struct { int unused; } spinlock_t;
typedef struct { int unused; } raw_spinlock_t;

#define read_lock(l)			((void)(l))
#define read_unlock(l)			((void)(l))
#define write_lock(l)			((void)(l))
#define write_unlock(l)			((void)(l))
#define spin_lock(l)			((void)(l))
#define spin_unlock(l)			((void)(l))
#define rwlock_init(l)			((void)(l))
#define rwlock_needbreak(l)		0

#endif
