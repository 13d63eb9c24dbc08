/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_ASM_ASM_H
#define SHIM_ASM_ASM_H

/* Instructions with an entry in the exception table are compiled, never run */
#define _ASM_EXTABLE(from, to)			""
#define _ASM_EXTABLE_TYPE(from, to, type)	""

#endif
