// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug registers.
 *
 * MOV DR always exits, so regs.dr[] and regs.dr7 are what the guest wrote, and DR0-3 have to be on
 * the CPU only while DR7 enables one of them (dr_armed). The VMM's breakpoints (HVX_DEBUG_HW_BP)
 * take the place of the guest's while they are set; the backend puts the DR7 in force into its
 * structure (hvx_debug_dr7()). The host's own breakpoints sleep while a window is open.
 *
 * #DB is intercepted where the hardware does not virtualize DR6 and whenever the VMM debugs.
 */
#include <linux/errno.h>
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include "debug.h"
#include "vcpu/event.h"
#include "compat.h"

#define CR4_DE		BIT(3)

#define EACH_DR(DO)	do { DO(0); DO(1); DO(2); DO(3); } while (0)

void hvx_debug_load(struct hvx_vcpu *vcpu)
{
	const u64 *dr = vcpu->debug.control & HVX_DEBUG_HW_BP ? vcpu->debug.dr : vcpu->regs.dr;

	/* The guest's addresses must not fire in the host between two entries */
	if (hw_breakpoint_active())
		set_debugreg(DR7_FIXED, 7);
#define SWAP(n)	do {				\
	get_debugreg(vcpu->host_dr[n], n);	\
	set_debugreg(dr[n], n);			\
} while (0)
	EACH_DR(SWAP);
#undef SWAP
	vcpu->host_dr_loaded = true;
}

void hvx_debug_restore(struct hvx_vcpu *vcpu)
{
#define RESTORE(n)	set_debugreg(vcpu->host_dr[n], n)
	EACH_DR(RESTORE);
#undef RESTORE
	vcpu->host_dr_loaded = false;
}

void hvx_debug_changed(struct hvx_vcpu *vcpu)
{
	u64 dr7;

	if (vcpu->debug.control & HVX_DEBUG_HW_BP) {
		dr7 = vcpu->debug.dr7;
	} else {
		hvx_need(vcpu, RM(DR7));
		dr7 = vcpu->regs.dr7;
	}
	vcpu->dr_armed = dr7 & 0xff;
	/* What is loaded in this window may be another set of addresses by now: load again */
	if (hvx_in_window(vcpu)) {
		if (vcpu->host_dr_loaded)
			hvx_debug_restore(vcpu);
		hvx_debug_enter(vcpu);
	}
}

int hvx_debug_set(struct hvx_vcpu *vcpu, const struct hvx_debug *args)
{
	const u32 known = HVX_DEBUG_ENABLE | HVX_DEBUG_STEP | HVX_DEBUG_HW_BP | HVX_DEBUG_SW_BP;
	int i;

	lockdep_assert_held(&vcpu->lock);
	if (args->flags || args->reserved || args->control & ~known)
		return -EINVAL;
	if (args->control && !(args->control & HVX_DEBUG_ENABLE))
		return -EINVAL;
	/* GD would catch the guest's MOV DR, upper bits do not exist */
	if (args->dr7 >> 32 || args->dr7 & DR7_GD)
		return -EINVAL;
	for (i = 0; i < 4; i++)
		if (((args->dr7 >> (16 + 4 * i)) & 3) == 2)	/* I/O breakpoint */
			return -EINVAL;

	vcpu->debug.control = args->control;
	memcpy(vcpu->debug.dr, args->dr, sizeof(vcpu->debug.dr));
	vcpu->debug.dr7 = args->dr7 | DR7_FIXED;
	hvx_need(vcpu, RM(DR7) | RM(RFLAGS));
	hvx_debug_changed(vcpu);
	hvx_ops->update_debug(vcpu);
	hvx_changed(vcpu, RM(DR7) | RM(RFLAGS));
	return 0;
}

static enum hvx_next debug_exit(struct hvx_vcpu *vcpu, u32 vector, u64 dr6)
{
	hvx_need(vcpu, RM(DR7));
	vcpu->run->dbg = (struct hvx_exit_debug) {
		.vector = vector,
		.dr6 = dr6,
		.dr7 = vcpu->regs.dr7,
		.pc = hvx_segment(vcpu, SEG_CS)->base + hvx_rip(vcpu),
	};
	return hvx_exit_user(vcpu, HVX_EXIT_DEBUG);
}

enum hvx_next hvx_debug_stepped(struct hvx_vcpu *vcpu)
{
	clear_bit(HVX_REQ_STEPPED, &vcpu->requests);
	return debug_exit(vcpu, VEC_DB, DR6_FIXED | DR6_BS);
}

/*
 * AMD-V steps by means of RFLAGS.TF, which a PUSHF then shows. The guest's stack was written to
 * just now: when it cannot be any more, the guest has done that to itself.
 */
static void hide_pushed_tf(struct hvx_vcpu *vcpu)
{
	const struct hvx_segment *ss = hvx_segment(vcpu, SEG_SS);
	u64 at = hvx_gpr(vcpu, REG_RSP), fault;
	struct hvx_walk walk;
	u8 flags;

	if (!hvx_long_mode(vcpu))
		at = (u32)(ss->base + (ss->attr & SA_DB ? (u32)at : (u16)at));
	/* TF is in the second byte of an image of any size */
	if (hvx_read_gva(vcpu, at + 1, &flags, 1, HVX_READ, &walk, &fault))
		return;
	flags &= ~1;
	hvx_write_gva(vcpu, at + 1, &flags, 1, HVX_WRITE, &walk, &fault);
}

enum hvx_next hvx_handle_db(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 mine = 0;

	if (x->exc.payload & XDB_PUSHED_TF) {
		if (hvx_in_window(vcpu))
			return HVX_NEXT_PROCESS;
		hide_pushed_tf(vcpu);
		x->exc.payload &= ~XDB_PUSHED_TF;
	}
	if (vcpu->debug.control & HVX_DEBUG_STEP)
		mine |= DR6_BS;
	if (vcpu->debug.control & HVX_DEBUG_HW_BP)
		mine |= 0xf;
	if (x->exc.payload & mine)
		return debug_exit(vcpu, VEC_DB, DR6_FIXED | x->exc.payload);
	hvx_queue_exception(vcpu, VEC_DB, false, 0, true, x->exc.payload);
	/* It may exit again in its own delivery, for ever: let the host in between */
	return HVX_NEXT_LEAVE;
}

enum hvx_next hvx_handle_bp(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	if (vcpu->debug.control & HVX_DEBUG_SW_BP)
		return debug_exit(vcpu, VEC_BP, DR6_FIXED);
	/* Nobody wants it: give it back to the guest as the INT3 that it was */
	vcpu->inject = (struct hvx_inject) {
		.type = HVX_EVENT_SOFT_INT,
		.vector = VEC_BP,
		.insn_len = x->insn_len ?: 1,
	};
	return HVX_NEXT_ENTER;
}

static bool read_dr(struct hvx_vcpu *vcpu, unsigned int dr, u64 *value)
{
	hvx_need(vcpu, RM(DR7));
	switch (dr) {
	case 0 ... 3:
		*value = vcpu->regs.dr[dr];
		return true;
	case 6:
		*value = vcpu->regs.dr6;
		return true;
	case 7:
		*value = vcpu->regs.dr7;
		return true;
	}
	return false;
}

static bool write_dr(struct hvx_vcpu *vcpu, unsigned int dr, u64 value)
{
	hvx_need(vcpu, RM(DR7));
	switch (dr) {
	case 0 ... 3:
		vcpu->regs.dr[dr] = value;
		break;
	case 6:
		if (value >> 32)
			return false;
		vcpu->regs.dr6 = (value & 0xe00f) | DR6_FIXED;
		break;
	case 7:
		if (value >> 32)
			return false;
		vcpu->regs.dr7 = (value & 0xffff2bff) | DR7_FIXED;
		break;
	default:
		return false;
	}
	hvx_changed(vcpu, RM(DR7));
	hvx_debug_changed(vcpu);
	return true;
}

/* Intel SDM vol. 3B, "Debug Registers": what MOV DR checks before it does anything */
static bool dr_access_faults(struct hvx_vcpu *vcpu, unsigned int *dr)
{
	if (*dr == 4 || *dr == 5) {
		if (hvx_cr4(vcpu) & CR4_DE) {
			hvx_queue_ud(vcpu);
			return true;
		}
		*dr += 2;
	}
	if (hvx_cpl(vcpu) > 0) {
		hvx_queue_gp(vcpu, 0);
		return true;
	}
	hvx_need(vcpu, RM(DR7));
	if (vcpu->regs.dr7 & DR7_GD) {
		hvx_queue_exception(vcpu, VEC_DB, false, 0, true, DR6_BD);
		return true;
	}
	return false;
}

enum hvx_next hvx_handle_dr(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	unsigned int dr = x->dr.dr;
	u64 value;

	if (dr_access_faults(vcpu, &dr))
		return HVX_NEXT_ENTER;
	if (x->dr.write) {
		value = hvx_gpr(vcpu, x->dr.gpr);
		if (!hvx_long_mode(vcpu))
			value = (u32)value;
		if (!write_dr(vcpu, dr, value)) {
			hvx_queue_gp(vcpu, 0);
			return HVX_NEXT_ENTER;
		}
	} else if (read_dr(vcpu, dr, &value)) {
		hvx_set_gpr(vcpu, x->dr.gpr, hvx_long_mode(vcpu) ? value : (u32)value);
	} else {
		hvx_queue_ud(vcpu);
		return HVX_NEXT_ENTER;
	}
	return hvx_skip(vcpu, x);
}
