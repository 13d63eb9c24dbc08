/* SPDX-License-Identifier: GPL-2.0-only */
/* Debug registers: the guest's, the VMM's (HVX_SET_DEBUG) and the host's, kept apart. */
#ifndef HVX_DEBUG_H
#define HVX_DEBUG_H

#include <linux/percpu.h>
#include <asm/processor.h>	/* debugreg.h relies on it */
#include <asm/debugreg.h>
#include "vcpu/run.h"

#define DR6_BS		BIT(14)
#define DR6_BD		BIT(13)
#define DR6_FIXED	0xffff0ff0ULL
#define DR7_FIXED	0x400ULL
#define DR7_GD		BIT(13)

void hvx_debug_load(struct hvx_vcpu *vcpu);
void hvx_debug_restore(struct hvx_vcpu *vcpu);

/* Put the breakpoint addresses in force on the CPU. Context: window. */
static inline void hvx_debug_enter(struct hvx_vcpu *vcpu)
{
	if (unlikely(vcpu->dr_armed))
		hvx_debug_load(vcpu);
}

/* DR7 or who controls it changed: decide again what is in force. Context: vcpu->lock, any. */
void hvx_debug_changed(struct hvx_vcpu *vcpu);

/* After the last entry of a window: the host's breakpoints work again. Context: window. */
static inline void hvx_debug_leave(struct hvx_vcpu *vcpu)
{
	if (unlikely(vcpu->host_dr_loaded))
		hvx_debug_restore(vcpu);
	/* Host DR7 is as an exit leaves it: no breakpoint enabled. Give it back. */
	if (unlikely(hw_breakpoint_active()))
		set_debugreg(this_cpu_read(cpu_dr7), 7);
}

/* HVX_SET_DEBUG: 0 or -EINVAL. Context: process, vcpu->lock. */
int hvx_debug_set(struct hvx_vcpu *vcpu, const struct hvx_debug *args);

/* The instruction that the VMM stepped over was finished by hvx: exit */
enum hvx_next hvx_debug_stepped(struct hvx_vcpu *vcpu);

/* #DB or #BP was intercepted; MOV DR exited */
enum hvx_next hvx_handle_db(struct hvx_vcpu *vcpu, struct hvx_exit *x);
enum hvx_next hvx_handle_bp(struct hvx_vcpu *vcpu, struct hvx_exit *x);
enum hvx_next hvx_handle_dr(struct hvx_vcpu *vcpu, struct hvx_exit *x);

#endif
