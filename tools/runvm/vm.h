/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm.h: the ABI of /dev/hvx, thinly wrapped. What cannot go wrong in a working VMM ends the program
 * with a sentence; vcpu_run() returns, because its caller knows what an exit means.
 */
#ifndef RUNVM_VM_H
#define RUNVM_VM_H

#include <linux/hvx.h>

#include "runvm.h"

#define PAGE_SIZE	4096UL

/* Memory beyond MEM_LOW_MAX bytes continues at 4 GiB: the hole between is for devices */
#define MEM_LOW_MAX	0xc0000000ULL
#define MEM_HIGH_BASE	0x100000000ULL

struct vm {
	int dev;
	int fd;
	uint8_t *mem;		/* all of it in one piece */
	uint64_t mem_size;
};

struct vcpu {
	int fd;
	struct hvx_run *run;
	size_t run_size;
};

/* /dev/hvx with an ABI that this program knows */
int vm_open_device(void);

void vm_create(struct vm *vm, uint32_t flags, uint64_t mem_size);
void vm_destroy(struct vm *vm);
long vm_cap(const struct vm *vm, unsigned int cap);
/* Memory below the hole as an array, or the end of the program where there is none */
void *vm_at(const struct vm *vm, uint64_t gpa, uint64_t len);

void vcpu_create(struct vcpu *v, const struct vm *vm, uint32_t id);
void vcpu_destroy(struct vcpu *v);
void vcpu_set_msrs(struct vcpu *v, const struct hvx_msr *msrs, unsigned int nr);
/* Fills register groups of the run page in */
void vcpu_get(struct vcpu *v, uint64_t groups);
/* enum hvx_exit_reason; HVX_EXIT_INTERRUPTED for a signal; a negative errno when it failed */
int vcpu_try_run(struct vcpu *v);
/* The same, but ends the program for a failure */
int vcpu_run(struct vcpu *v);
/* The data of a HVX_EXIT_IO */
void *vcpu_io_data(struct vcpu *v);

/* A sentence about an exit that nobody handles */
void vcpu_explain(struct vcpu *v, int reason, char *text, size_t len);
/* Ends the program with it */
void vcpu_give_up(struct vcpu *v, int reason) __attribute__((noreturn));

#endif
