/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct hvx_exit: why the guest stopped, in terms of the architecture and of no vendor.
 *
 * A backend's enter() fills in @kind and what belongs to it; it reads from the hardware structure
 * only what that kind needs. exit.c decides what happens, once for both vendors.
 */
#ifndef HVX_EXIT_H
#define HVX_EXIT_H

#include <linux/types.h>

enum hvx_exit_kind {
	XK_INTR,		/* host interrupt: leave the window, let the host take it */
	XK_NMI,			/* host NMI: ditto */
	XK_CPUID,
	XK_HLT,
	XK_PAUSE,
	XK_RDMSR,		/* index in RCX */
	XK_WRMSR,
	XK_HYPERCALL,
	XK_IO,			/* .io */
	XK_FAULT,		/* second-level fault: .fault */
	XK_CR,			/* .cr */
	XK_DR,			/* .dr */
	XK_EXCEPTION,		/* .exc */
	XK_XSETBV,
	XK_RDPMC,
	XK_INVD,		/* INVD and WBINVD: nothing to do but skip */
	XK_MWAIT,		/* MONITOR and MWAIT: #UD */
	XK_UNDEFINED,		/* an instruction that a guest does not have: #UD */
	XK_TASK_SWITCH,		/* .task */
	XK_IRQ_WINDOW,
	XK_NMI_WINDOW,
	XK_IRET,		/* SVM: IRET while NMIs are blocked */
	XK_SHUTDOWN,		/* triple fault */
	XK_TIMER,		/* preemption timer */
	XK_APIC_WRITE,		/* .apic: the guest wrote to its local APIC's page */
	XK_APIC_EOI,		/* .apic: the processor ended an interrupt */
	XK_TPR,			/* the guest lowered its task priority */
	XK_DONE,		/* answered by fast.h, but something else waits: enter again */
	XK_USER,		/* fast.h filled in the run page: never handled, the VMM is next */
	XK_ENTRY_FAILED,	/* .raw */
	XK_UNKNOWN,		/* .raw */
	NR_EXIT_KINDS,
};

/* Access bits of second-level faults and page walks */
#define HVX_READ	BIT(0)
#define HVX_WRITE	BIT(1)
#define HVX_EXEC	BIT(2)
#define HVX_USER	BIT(3)	/* page walks only */

enum hvx_cr_op { CR_OP_WRITE, CR_OP_READ, CR_OP_CLTS, CR_OP_LMSW, CR_OP_SMSW };

/* exit.decode: what the processor did not tell and the instruction must */
#define XD_OPERANDS	BIT(0)	/* .cr, .dr: op, register number and GPR */
#define XD_IO		BIT(1)	/* .io: segment of OUTS, address width */
#define XD_LENGTH	BIT(2)	/* .insn_len, where only some exits of a kind need it */

/* exit.exc.payload of #DB besides DR6: a step over PUSHF, whose image shows the step's TF */
#define XDB_PUSHED_TF	BIT_ULL(32)

struct hvx_exit {
	u8 kind;		/* enum hvx_exit_kind */
	u8 insn_len;		/* 0: the processor does not say, decode */
	u8 nr_insn;		/* bytes in insn[] that the processor gave, 0 for none */
	u8 decode;		/* XD_* */
	union {
		struct {
			u64 gpa;
			u64 gva;
			u8 access;	/* HVX_READ, HVX_WRITE, HVX_EXEC */
			bool gva_valid;
			bool walk;	/* on a guest page table, not on the final address */
			bool present;	/* an entry is there, and lacks a right */
		} fault;
		struct {
			u16 port;
			u8 width;	/* bytes: 1, 2, 4 */
			bool in;
			bool string;
			bool rep;
			u8 addr_width;	/* bytes: 2, 4, 8; for string */
			u8 seg;		/* enum hvx_seg_reg; for OUTS */
		} io;
		struct {
			u8 cr;
			u8 gpr;
			u8 op;		/* enum hvx_cr_op */
			u16 msw;	/* for LMSW */
		} cr;
		struct {
			u8 dr;
			u8 gpr;
			bool write;
		} dr;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload;	/* CR2 for #PF, DR6 bits for #DB */
		} exc;
		struct {
			u16 selector;
			u8 source;	/* 0 CALL, 1 IRET, 2 JMP, 3 task gate in the IDT */
			bool has_error;
			bool external;	/* through a gate, and not for an instruction's sake */
			u32 error;
		} task;
		struct {
			u16 offset;	/* of the register */
			u8 vector;
		} apic;
		struct {
			u64 reason;
			u64 detail;
			u64 detail2;
		} raw;
	};
	u8 insn[16];
};

#endif
