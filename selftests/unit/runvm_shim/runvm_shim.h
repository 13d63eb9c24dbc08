/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * runvm_shim.h: a machine without /dev/hvx, for tests of tools/runvm: memory in an array, die() and
 * the vCPU's registers under the test's eyes.
 */
#ifndef HVX_UNIT_RUNVM_SHIM_H
#define HVX_UNIT_RUNVM_SHIM_H

#include <setjmp.h>

#include "machine.h"

struct fake_machine {
	struct machine m;
	struct options options;
	struct hvx_run run;
	struct vcpu vcpu[16];		/* of which the first has registers */
};

/* @low bytes of memory below 4 GiB, filled with 0xcc; what is said to be above is not there */
struct fake_machine *fake_machine_new(uint64_t low, unsigned int nr_vcpus);
void fake_machine_free(struct fake_machine *f);
void fake_set_high(uint64_t bytes);
/* By vcpu_set_msrs(), of all vCPUs */
extern unsigned int nr_msrs_set;

/* What die() said last; DIES() is whether a statement ends in it */
extern char died[512];
extern jmp_buf *die_to;

#define DIES(statement) ({						\
	jmp_buf buf_;							\
	volatile bool dead_ = true;					\
	die_to = &buf_;							\
	if (!setjmp(buf_)) {						\
		statement;						\
		dead_ = false;						\
	}								\
	die_to = NULL;							\
	dead_;								\
})

#endif
