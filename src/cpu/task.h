/* SPDX-License-Identifier: GPL-2.0-only */
/* Task switches by hardware, which both vendors leave to the hypervisor. */
#ifndef HVX_TASK_H
#define HVX_TASK_H

#include "vcpu/run.h"

/* XK_TASK_SWITCH. Context: process, vm->srcu; in a window the answer is HVX_NEXT_PROCESS. */
enum hvx_next hvx_task_switch(struct hvx_vcpu *vcpu, const struct hvx_exit *x);

/* HVX_PENDING_TASK: the new task's segments or stack were not in memory. Context: ditto. */
enum hvx_next hvx_task_complete(struct hvx_vcpu *vcpu);

/* HVX_STATE_TASK, of a vCPU under HVX_PENDING_TASK. Context: process, vcpu->lock. */
void hvx_task_get_state(const struct hvx_vcpu *vcpu, struct hvx_task_state *state);
bool hvx_task_state_valid(const struct hvx_task_state *state);
void hvx_task_set_state(struct hvx_vcpu *vcpu, const struct hvx_task_state *state);

#endif
