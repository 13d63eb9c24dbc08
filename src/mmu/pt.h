/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One radix page table for both second-level formats. What differs is in struct hvx_pt_format.
 * Builds in user space, too: nothing here knows a VM.
 */
#ifndef HVX_PT_H
#define HVX_PT_H

#include <linux/types.h>

struct hvx_pt_format {
	const char *name;
	u64 present;		/* any of these bits: entry is present */
	u64 read, write, exec;	/* permission bits that allow */
	u64 no_exec;		/* permission bit that forbids */
	u64 table;		/* bits of an entry that points to a table */
	u64 leaf;		/* bits of every leaf: memory type and such */
	u64 large;		/* bit of a leaf above level 1 */
	u64 addr_mask;
};

struct hvx_pt {
	const struct hvx_pt_format *format;
	u64 *root;
	int levels;
	long nr_tables;
};

extern const struct hvx_pt_format hvx_pt_ept;
extern const struct hvx_pt_format hvx_pt_npt;

#endif
