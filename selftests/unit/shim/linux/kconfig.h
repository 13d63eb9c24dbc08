/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_KCONFIG_H
#define SHIM_KCONFIG_H

/* There is no kernel configuration in user space */
#define IS_ENABLED(option)	0

#endif
