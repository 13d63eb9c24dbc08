/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_CONTAINER_OF_H
#define SHIM_CONTAINER_OF_H

#include <stddef.h>

#define container_of(p, type, member)	((type *)((char *)(p) - offsetof(type, member)))

#endif
