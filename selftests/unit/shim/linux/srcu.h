/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SRCU_H
#define SHIM_SRCU_H

struct srcu_struct {
	int unused;
};

#endif
