/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_RCUWAIT_H
#define SHIM_RCUWAIT_H

struct rcuwait {
	void *task;
};

#endif
