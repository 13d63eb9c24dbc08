/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A second-level page table beside a plain model of it: a tree of entries with a field for each
 * thing that a bit says. Bytes from somewhere choose operations, which are done to both; what the
 * table answers, and what is in it, has to be what the model says. Where it is not, the program
 * ends by abort().
 */
#ifndef PT_MODEL_H
#define PT_MODEL_H

#include <stddef.h>
#include "mmu/pt.h"

#define PT_MODEL_HEARD	8192

struct pt_model_table;

struct pt_model {
	struct hvx_pt pt;
	u8 (*byte)(void);		/* where choices come from */
	struct pt_model_table *root;
	u64 nr_tables;
	u64 nr_leaves[HVX_PT_1G];
	/* Leaves that .on_dirty has to tell of in this operation, in this order */
	struct {
		u64 gpa, size;
	} want[PT_MODEL_HEARD];
	unsigned int nr_want, nr_heard;
};

void pt_model_init(struct pt_model *m, const struct hvx_pt_format *format, u64 encrypt,
		   u8 (*byte)(void));
void pt_model_step(struct pt_model *m);		/* one operation */
void pt_model_check(struct pt_model *m);	/* every entry of the tree */
void pt_model_fini(struct pt_model *m);		/* everything was given back */

#endif
