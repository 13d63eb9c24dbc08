/* SPDX-License-Identifier: GPL-2.0-only */
/* The dirty log of regions: what vm.c asks of dirty.c. */
#ifndef HVX_DIRTY_H
#define HVX_DIRTY_H

struct hvx_vm;
struct hvx_dirty;

/* HVX_GET_DIRTY. Context: process, vm->lock. 0 or an error that the ABI documents. */
int hvx_dirty_get(struct hvx_vm *vm, struct hvx_dirty *args);

/* After hvx_pt_init() */
void hvx_dirty_init(struct hvx_vm *vm);

#endif
