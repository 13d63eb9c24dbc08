/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The register cache of a vCPU: what the neutral code sees of the guest's registers.
 *
 * Invariants
 *   - A register is *available* when regs.avail has its bit: the copy here is the truth.
 *     A register that is not available lives in the VMCS or VMCB; hvx_need() brings it in.
 *   - A register is *dirty* when regs.dirty has its bit: the copy here is newer than the hardware
 *     structure; the backend writes it back before the next entry (ops.write_regs).
 *   - Dirty implies available. Before the first entry everything is available and dirty.
 *   - After an exit only GPRs other than RSP, CR2 and what the backend chose to read are available.
 *
 * Context: owned by the thread that holds vcpu->lock. hvx_need() may be called inside a window
 * (interrupts off, VMCS loaded) and outside of it: the backend then opens one by itself.
 */
#ifndef HVX_REGS_H
#define HVX_REGS_H

#include <linux/bits.h>
#include <linux/types.h>

/* Index of hvx_regs.gpr: the order of the instruction encoding */
enum hvx_reg_index {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	NR_REGS,
};

/* Index of hvx_regs.seg: the order of the instruction encoding, then TR and LDTR */
enum hvx_seg_reg {
	SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR,
	NR_SEGS,
};

/* What moves as one piece between the cache and the hardware structure: bits of avail and dirty */
enum hvx_reg_bit {
	RB_RIP, RB_RSP, RB_RFLAGS,
	RB_SEG,				/* + enum hvx_seg_reg, NR_SEGS bits */
	RB_TABLES = RB_SEG + NR_SEGS,	/* GDTR and IDTR */
	RB_CR0, RB_CR3, RB_CR4, RB_EFER, RB_PDPTE,
	RB_DR7,				/* DR7 and, where the hardware switches it, DR6 */
	RB_SHADOW,			/* blocking by STI, MOV SS, NMI */
	RB_SYSENTER,			/* SYSENTER_CS, _ESP, _EIP */
	RB_SYSCALL,			/* STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE */
	RB_PAT,
	RB_DEBUGCTL,
	RB_TSC,				/* TSC offset, TSC_AUX */
	RB_SPEC_CTRL,			/* not the value: whether it is on the CPU, spec.own */
	NR_REG_BITS,
};

#define RM(bit)		BIT_ULL(RB_##bit)
#define RM_SEG(i)	BIT_ULL(RB_SEG + (i))
#define RM_SEGS		GENMASK_ULL(RB_SEG + NR_SEGS - 1, RB_SEG)
#define RM_ALL		GENMASK_ULL(NR_REG_BITS - 1, 0)

/* hvx_segment.attr */
#define SA_TYPE		0x000fu
#define SA_S		BIT(4)
#define SA_DPL		0x0060u
#define SA_DPL_SHIFT	5
#define SA_P		BIT(7)
#define SA_AVL		BIT(8)
#define SA_L		BIT(9)
#define SA_DB		BIT(10)
#define SA_G		BIT(11)
#define SA_UNUSABLE	BIT(12)

struct hvx_segment {
	u64 base;
	u32 limit;	/* in bytes */
	u16 selector;
	u16 attr;	/* SA_* */
};

struct hvx_desc_table {
	u64 base;
	u16 limit;
};

/* hvx_regs.shadow */
#define SHADOW_STI	BIT(0)
#define SHADOW_MOV_SS	BIT(1)
#define SHADOW_NMI	BIT(2)	/* NMIs blocked until IRET */

struct hvx_regs {
	u64 gpr[NR_REGS];	/* first: entry code uses fixed offsets; RSP only by RB_RSP */
	u64 cr2;
	u64 rip;
	u64 rflags;
	u64 avail;
	u64 dirty;
	u64 cr0, cr3, cr4, cr8, efer;
	u64 xcr0, xss;
	u64 spec_ctrl;		/* exchanged by entry code under spec.own; always available */
	u64 host_spec_ctrl;	/* ditto, window: the host's */
	u64 dr[4], dr6, dr7;
	u64 pdpte[4];
	u32 shadow;		/* SHADOW_* */
	struct hvx_segment seg[NR_SEGS];
	struct hvx_desc_table gdt, idt;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 pat;
	u64 debugctl;
	u64 tsc_aux;		/* switched by open() and close(), always available */
	u64 tsc_offset;		/* guest TSC = host TSC (see pv/clock.c) * ratio + offset */
	u64 tsc_ratio;		/* see tsc.c; 0: 1 */
	u64 apic_base;
};

#define HVX_REGS_GPR_OFFSET	0
#define HVX_REGS_CR2_OFFSET	(16 * 8)
#define HVX_REGS_SPEC_CTRL_OFFSET	(28 * 8)	/* the host's follows */

#ifndef __ASSEMBLY__
static_assert(offsetof(struct hvx_regs, gpr) == HVX_REGS_GPR_OFFSET);
static_assert(offsetof(struct hvx_regs, cr2) == HVX_REGS_CR2_OFFSET);
static_assert(offsetof(struct hvx_regs, spec_ctrl) == HVX_REGS_SPEC_CTRL_OFFSET);
static_assert(offsetof(struct hvx_regs, host_spec_ctrl) == HVX_REGS_SPEC_CTRL_OFFSET + 8);
#endif

#endif
