/* SPDX-License-Identifier: GPL-2.0-only */
/* What a failed VM-entry check looks like to the core; each backend has its own list of checks. */
#ifndef HVX_ENTRY_CHECK_H
#define HVX_ENTRY_CHECK_H

#include <linux/types.h>

struct hvx_entry_failure {
	u32 stage;		/* enum hvx_entry_stage of the ABI */
	u32 check;		/* enum hvx_entry_check of the ABI; 0: none known failed */
	u32 field;		/* offset in struct hvx_run, 0: none */
	u64 value;
	const char *name;	/* of the field: "CS.attr" */
	const char *rule;	/* "the L and D/B bits must not both be set" */
};

#endif
