/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_NOSPEC_H
#define SHIM_NOSPEC_H

#define array_index_nospec(i, n)	(i)
#define barrier_nospec()		((void)0)

#endif
