/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BUG_H
#define SHIM_BUG_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <stdio.h>
#include <stdlib.h>

/* A warning of the kernel is a failed test */
#define WARN_ON(cond) ({						\
	int warn_ = !!(cond);						\
									\
	if (warn_) {							\
		fprintf(stderr, "# WARN_ON(%s) at %s:%d\n", #cond, __FILE__, __LINE__); \
		abort();						\
	}								\
	warn_;								\
})
#define WARN_ON_ONCE(cond)	WARN_ON(cond)
#define WARN_ONCE(cond, ...)	WARN_ON(cond)
#define WARN(cond, ...)		WARN_ON(cond)

#endif
