/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop, and what the handlers of exits tell it. */
#ifndef HVX_RUN_H
#define HVX_RUN_H

#include "vcpu.h"

enum hvx_next {
	HVX_NEXT_ENTER,		/* finished: enter the guest again */
	HVX_NEXT_LEAVE,		/* leave the window first: the host has something to do */
	HVX_NEXT_PROCESS,	/* process context: leave the window and ask the handler again */
	HVX_NEXT_USER,		/* the run page is filled in: return to user space */
	HVX_NEXT_ERROR,		/* ditto, and HVX_RUN fails with vcpu->run_error */
};

static inline bool hvx_in_window(const struct hvx_vcpu *vcpu)
{
	return vcpu->window_cpu >= 0;
}

/* HVX_RUN. Context: process, vcpu->lock held. 0 or negative errno. */
int hvx_run(struct hvx_vcpu *vcpu);

/*
 * Decide what an exit means. Context: window first; in process context (vm->srcu held) again when
 * the answer was HVX_NEXT_PROCESS.
 */
enum hvx_next hvx_handle_exit(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* Finish what the last exit left open, but for IN. HVX_NEXT_ENTER, _USER or _ERROR. */
enum hvx_next hvx_complete(struct hvx_vcpu *vcpu);

/*
 * Go past the instruction that exited: RIP, RF, shadow, single step. hvx_handle_exit() has made
 * sure that its length is known. HVX_NEXT_ENTER, or HVX_NEXT_LEAVE when the VMM steps.
 */
enum hvx_next hvx_skip(struct hvx_vcpu *vcpu, const struct hvx_exit *x);

/* Exit to user space with a reason */
static inline enum hvx_next hvx_exit_user(struct hvx_vcpu *vcpu, u32 reason)
{
	vcpu->run->exit_reason = reason;
	return HVX_NEXT_USER;
}

static inline enum hvx_next hvx_exit_error(struct hvx_vcpu *vcpu, u32 reason, int error)
{
	vcpu->run_error = error;
	vcpu->run->exit_reason = reason;
	return HVX_NEXT_ERROR;
}

#endif
