/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LOCKDEP_H
#define SHIM_LOCKDEP_H

#define lockdep_assert_held(l)		((void)(l))
#define lockdep_assert_held_read(l)	((void)(l))
#define lockdep_assert_held_write(l)	((void)(l))
#define lockdep_assert_irqs_disabled()	((void)0)

#endif
