/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AMD-V as the AMD64 Architecture Programmer's Manual, volume 2, defines it (chapter "Secure
 * Virtual Machine", appendix "Layout of VMCB"): CPUID bits, MSRs, the VMCB, intercepts, EXITCODEs,
 * event injection. Names are the manual's. No policy here.
 */
#ifndef HVX_SVM_HW_H
#define HVX_SVM_HW_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* CPUID Fn8000_000A, EDX: SVM feature identification; EBX: NASID */
#define SVM_CPUID_LEAF			0x8000000a
#define SVM_CPUID_NP			BIT(0)
#define SVM_CPUID_NRIPS			BIT(3)
#define SVM_CPUID_TSC_RATE_MSR		BIT(4)
#define SVM_CPUID_VMCB_CLEAN		BIT(5)
#define SVM_CPUID_FLUSH_BY_ASID		BIT(6)
#define SVM_CPUID_DECODE_ASSISTS	BIT(7)
#define SVM_CPUID_PAUSE_FILTER		BIT(10)
#define SVM_CPUID_PAUSE_THRESHOLD	BIT(12)

/* MSRs: section "SVM-Related MSRs" */
#define SVM_MSR_VM_CR			0xc0010114
#define SVM_VM_CR_LOCK			BIT(3)
#define SVM_VM_CR_SVMDIS		BIT(4)
#define SVM_MSR_VM_HSAVE_PA		0xc0010117
#define SVM_MSR_EFER			0xc0000080

/* "TSC Ratio MSR": fixed point, the rest is reserved; of the TSC in guests alone */
#define SVM_MSR_TSC_RATIO		0xc0000104
#define SVM_TSC_RATIO_FRACTION		32
#define SVM_TSC_RATIO_BITS		GENMASK_ULL(39, 0)
#define SVM_TSC_RATIO_1			BIT_ULL(SVM_TSC_RATIO_FRACTION)
#define SVM_EFER_SVME			BIT_ULL(12)

/* Offset 000h: intercept vectors; SVM_I(word, bit) as the index of one */
#define SVM_I(word, bit)		((word) * 32 + (bit))
#define SVM_I_CR_READ(n)		SVM_I(0, n)
#define SVM_I_CR_WRITE(n)		SVM_I(0, 16 + (n))
#define SVM_I_EXCEPTION(n)		SVM_I(2, n)
#define SVM_I_INTR			SVM_I(3, 0)
#define SVM_I_NMI			SVM_I(3, 1)
#define SVM_I_INIT			SVM_I(3, 3)
#define SVM_I_VINTR			SVM_I(3, 4)
#define SVM_I_RDPMC			SVM_I(3, 15)
#define SVM_I_PUSHF			SVM_I(3, 16)
#define SVM_I_CPUID			SVM_I(3, 18)
#define SVM_I_IRET			SVM_I(3, 20)
#define SVM_I_INVD			SVM_I(3, 22)
#define SVM_I_PAUSE			SVM_I(3, 23)
#define SVM_I_HLT			SVM_I(3, 24)
#define SVM_I_INVLPGA			SVM_I(3, 26)
#define SVM_I_IOIO_PROT			SVM_I(3, 27)
#define SVM_I_MSR_PROT			SVM_I(3, 28)
#define SVM_I_TASK_SWITCH		SVM_I(3, 29)
#define SVM_I_SHUTDOWN			SVM_I(3, 31)
#define SVM_I_VMRUN			SVM_I(4, 0)
#define SVM_I_VMMCALL			SVM_I(4, 1)
#define SVM_I_VMLOAD			SVM_I(4, 2)
#define SVM_I_VMSAVE			SVM_I(4, 3)
#define SVM_I_STGI			SVM_I(4, 4)
#define SVM_I_CLGI			SVM_I(4, 5)
#define SVM_I_SKINIT			SVM_I(4, 6)
#define SVM_I_WBINVD			SVM_I(4, 9)
#define SVM_I_MONITOR			SVM_I(4, 10)
#define SVM_I_MWAIT			SVM_I(4, 11)
#define SVM_I_MWAIT_ARMED		SVM_I(4, 12)
#define SVM_I_XSETBV			SVM_I(4, 13)
#define SVM_I_RDPRU			SVM_I(4, 14)
#define SVM_I_INVLPGB			SVM_I(5, 0)
#define SVM_I_INVLPGB_ILLEGAL		SVM_I(5, 1)
#define SVM_I_MCOMMIT			SVM_I(5, 3)
#define SVM_I_TLBSYNC			SVM_I(5, 4)

/* Offset 05Ch: TLB_CONTROL */
#define SVM_TLB_NOTHING			0
#define SVM_TLB_FLUSH_ALL		1
#define SVM_TLB_FLUSH_ASID		3

/* Offset 060h: virtual interrupts */
#define SVM_V_IRQ			BIT(8)
#define SVM_V_INTR_PRIO			(0xfu << 16)
#define SVM_V_IGN_TPR			BIT(20)
#define SVM_V_INTR_MASKING		BIT(24)

/* Offset 068h */
#define SVM_INTERRUPT_SHADOW		BIT(0)

/* Offset 090h */
#define SVM_NP_ENABLE			BIT(0)

/* Offset 0C0h: VMCB clean bits */
#define SVM_CLEAN_I			BIT(0)	/* intercepts, TSC_OFFSET, pause filter */
#define SVM_CLEAN_IOPM			BIT(1)	/* IOPM_BASE_PA, MSRPM_BASE_PA */
#define SVM_CLEAN_ASID			BIT(2)
#define SVM_CLEAN_TPR			BIT(3)	/* V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR, ... */
#define SVM_CLEAN_NP			BIT(4)	/* N_CR3, G_PAT, NP_ENABLE */
#define SVM_CLEAN_CRX			BIT(5)	/* CR0, CR3, CR4, EFER */
#define SVM_CLEAN_DRX			BIT(6)	/* DR6, DR7 */
#define SVM_CLEAN_DT			BIT(7)	/* GDT, IDT */
#define SVM_CLEAN_SEG			BIT(8)	/* CS, DS, SS, ES, CPL */
#define SVM_CLEAN_CR2			BIT(9)

/* Offsets 088h EXITINTINFO and 0A8h EVENTINJ: section "Event Injection" */
#define SVM_EVENT_VECTOR		0xffu
#define SVM_EVENT_TYPE			(7u << 8)
#define SVM_EVENT_INTR			(0u << 8)
#define SVM_EVENT_NMI			(2u << 8)
#define SVM_EVENT_EXCEPTION		(3u << 8)
#define SVM_EVENT_SOFT_INT		(4u << 8)
#define SVM_EVENT_EV			BIT(11)	/* the error code is pushed */
#define SVM_EVENT_V			BIT(31)

/* EXITINFO1 of IOIO: section "IOIO Intercept Information" */
#define SVM_IOIO_TYPE			BIT(0)	/* 1: IN */
#define SVM_IOIO_STR			BIT(2)
#define SVM_IOIO_REP			BIT(3)
#define SVM_IOIO_SZ_SHIFT		4	/* three bits: 8, 16, 32 */
#define SVM_IOIO_A_SHIFT		7	/* three bits: 16, 32, 64 */
#define SVM_IOIO_SEG_SHIFT		10
#define SVM_IOIO_PORT_SHIFT		16

/* EXITINFO1 of MOV CR and MOV DR with decode assists: section "Decode Assists" */
#define SVM_CR_VALID			BIT_ULL(63)	/* MOV, neither LMSW nor CLTS nor SMSW */
#define SVM_CR_GPR			0xf

/* EXITINFO1 of nested page faults: section "Nested versus Guest Page Faults, Fault Ordering" */
#define SVM_NPF_P			BIT_ULL(0)
#define SVM_NPF_RW			BIT_ULL(1)
#define SVM_NPF_ID			BIT_ULL(4)
#define SVM_NPF_WALK			BIT_ULL(33)

/* EXITINFO2 of task switches: section "Task Switches" */
#define SVM_TASK_IRET			BIT_ULL(36)
#define SVM_TASK_JMP			BIT_ULL(38)
#define SVM_TASK_ERROR			BIT_ULL(44)

/* EXITCODEs: appendix "SVM Intercept Exit Codes" */
#define SVM_VMEXIT_CR_READ		0x00
#define SVM_VMEXIT_CR_WRITE		0x10
#define SVM_VMEXIT_DR_READ		0x20
#define SVM_VMEXIT_DR_WRITE		0x30
#define SVM_VMEXIT_EXCP			0x40
#define SVM_VMEXIT_INTR			0x60
#define SVM_VMEXIT_NMI			0x61
#define SVM_VMEXIT_SMI			0x62
#define SVM_VMEXIT_INIT			0x63
#define SVM_VMEXIT_VINTR		0x64
#define SVM_VMEXIT_RDPMC		0x6f
#define SVM_VMEXIT_PUSHF		0x70
#define SVM_VMEXIT_CPUID		0x72
#define SVM_VMEXIT_IRET			0x74
#define SVM_VMEXIT_INVD			0x76
#define SVM_VMEXIT_PAUSE		0x77
#define SVM_VMEXIT_HLT			0x78
#define SVM_VMEXIT_INVLPGA		0x7a
#define SVM_VMEXIT_IOIO			0x7b
#define SVM_VMEXIT_MSR			0x7c
#define SVM_VMEXIT_TASK_SWITCH		0x7d
#define SVM_VMEXIT_SHUTDOWN		0x7f
#define SVM_VMEXIT_VMRUN		0x80
#define SVM_VMEXIT_VMMCALL		0x81
#define SVM_VMEXIT_VMLOAD		0x82
#define SVM_VMEXIT_VMSAVE		0x83
#define SVM_VMEXIT_STGI			0x84
#define SVM_VMEXIT_CLGI			0x85
#define SVM_VMEXIT_SKINIT		0x86
#define SVM_VMEXIT_WBINVD		0x89
#define SVM_VMEXIT_MONITOR		0x8a
#define SVM_VMEXIT_MWAIT		0x8b
#define SVM_VMEXIT_MWAIT_ARMED		0x8c
#define SVM_VMEXIT_XSETBV		0x8d
#define SVM_VMEXIT_RDPRU		0x8e
#define SVM_VMEXIT_INVLPGB		0xa0
#define SVM_VMEXIT_INVLPGB_ILLEGAL	0xa1
#define SVM_VMEXIT_MCOMMIT		0xa3
#define SVM_VMEXIT_TLBSYNC		0xa4
#define SVM_NR_EXITCODES		0xa5	/* of those that are numbered densely */
#define SVM_VMEXIT_NPF			0x400
#define SVM_VMEXIT_INVALID		0xffffffffu	/* bits 63:32 are not always set */

/* Segment attributes in the VMCB: descriptor bits 55:52 and 47:40, packed */
#define SVM_ATTRIB			0x0fff

struct vmcb_seg {
	u16 selector;
	u16 attrib;
	u32 limit;
	u64 base;
};

struct vmcb {
	/* Control area */
	u32 intercept[6];
	u8 reserved_018[0x24];
	u16 pause_filter_threshold;
	u16 pause_filter_count;
	u64 iopm_base_pa;
	u64 msrpm_base_pa;
	u64 tsc_offset;
	u32 guest_asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u32 v_intr;			/* V_TPR, V_IRQ, V_INTR_PRIO, V_INTR_MASKING, ... */
	u32 v_intr_vector;
	u64 interrupt_shadow;
	u64 exitcode;
	u64 exitinfo1;
	u64 exitinfo2;
	u32 exitintinfo;
	u32 exitintinfo_error;
	u64 np_enable;
	u64 avic_apic_bar;
	u64 ghcb_pa;
	u32 eventinj;
	u32 eventinj_error;
	u64 n_cr3;
	u64 lbr_virtualization_enable;
	u32 clean;
	u32 reserved_0c4;
	u64 nrip;
	u8 nr_insn;			/* number of bytes fetched */
	u8 insn[15];			/* guest instruction bytes */
	u8 reserved_0e0[0x320];

	/* State save area */
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x2b];
	u8 cpl;
	u8 reserved_4cc[4];
	u64 efer;
	u8 reserved_4d8[0x70];
	u64 cr4;
	u64 cr3;
	u64 cr0;
	u64 dr7;
	u64 dr6;
	u64 rflags;
	u64 rip;
	u8 reserved_580[0x58];
	u64 rsp;
	u64 s_cet;
	u64 ssp;
	u64 isst_addr;
	u64 rax;
	u64 star;
	u64 lstar;
	u64 cstar;
	u64 sfmask;
	u64 kernel_gs_base;
	u64 sysenter_cs;
	u64 sysenter_esp;
	u64 sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x20];
	u64 g_pat;
	u64 dbgctl;
	u64 br_from;
	u64 br_to;
	u64 last_excp_from;
	u64 last_excp_to;
	u8 reserved_698[0x48];
	u64 spec_ctrl;
	u8 reserved_6e8[0x918];
};

#define SVM_AT(field, offset)	static_assert(offsetof(struct vmcb, field) == (offset))

static_assert(sizeof(struct vmcb) == 4096);
SVM_AT(intercept, 0x000);
SVM_AT(pause_filter_threshold, 0x03c);
SVM_AT(pause_filter_count, 0x03e);
SVM_AT(iopm_base_pa, 0x040);
SVM_AT(msrpm_base_pa, 0x048);
SVM_AT(tsc_offset, 0x050);
SVM_AT(guest_asid, 0x058);
SVM_AT(tlb_control, 0x05c);
SVM_AT(v_intr, 0x060);
SVM_AT(v_intr_vector, 0x064);
SVM_AT(interrupt_shadow, 0x068);
SVM_AT(exitcode, 0x070);
SVM_AT(exitinfo1, 0x078);
SVM_AT(exitinfo2, 0x080);
SVM_AT(exitintinfo, 0x088);
SVM_AT(exitintinfo_error, 0x08c);
SVM_AT(np_enable, 0x090);
SVM_AT(avic_apic_bar, 0x098);
SVM_AT(ghcb_pa, 0x0a0);
SVM_AT(eventinj, 0x0a8);
SVM_AT(eventinj_error, 0x0ac);
SVM_AT(n_cr3, 0x0b0);
SVM_AT(lbr_virtualization_enable, 0x0b8);
SVM_AT(clean, 0x0c0);
SVM_AT(nrip, 0x0c8);
SVM_AT(nr_insn, 0x0d0);
SVM_AT(insn, 0x0d1);
SVM_AT(es, 0x400 + 0x000);
SVM_AT(cs, 0x400 + 0x010);
SVM_AT(ss, 0x400 + 0x020);
SVM_AT(ds, 0x400 + 0x030);
SVM_AT(fs, 0x400 + 0x040);
SVM_AT(gs, 0x400 + 0x050);
SVM_AT(gdtr, 0x400 + 0x060);
SVM_AT(ldtr, 0x400 + 0x070);
SVM_AT(idtr, 0x400 + 0x080);
SVM_AT(tr, 0x400 + 0x090);
SVM_AT(cpl, 0x400 + 0x0cb);
SVM_AT(efer, 0x400 + 0x0d0);
SVM_AT(cr4, 0x400 + 0x148);
SVM_AT(cr3, 0x400 + 0x150);
SVM_AT(cr0, 0x400 + 0x158);
SVM_AT(dr7, 0x400 + 0x160);
SVM_AT(dr6, 0x400 + 0x168);
SVM_AT(rflags, 0x400 + 0x170);
SVM_AT(rip, 0x400 + 0x178);
SVM_AT(rsp, 0x400 + 0x1d8);
SVM_AT(s_cet, 0x400 + 0x1e0);
SVM_AT(ssp, 0x400 + 0x1e8);
SVM_AT(isst_addr, 0x400 + 0x1f0);
SVM_AT(rax, 0x400 + 0x1f8);
SVM_AT(star, 0x400 + 0x200);
SVM_AT(lstar, 0x400 + 0x208);
SVM_AT(cstar, 0x400 + 0x210);
SVM_AT(sfmask, 0x400 + 0x218);
SVM_AT(kernel_gs_base, 0x400 + 0x220);
SVM_AT(sysenter_cs, 0x400 + 0x228);
SVM_AT(sysenter_esp, 0x400 + 0x230);
SVM_AT(sysenter_eip, 0x400 + 0x238);
SVM_AT(cr2, 0x400 + 0x240);
SVM_AT(g_pat, 0x400 + 0x268);
SVM_AT(dbgctl, 0x400 + 0x270);
SVM_AT(br_from, 0x400 + 0x278);
SVM_AT(br_to, 0x400 + 0x280);
SVM_AT(last_excp_from, 0x400 + 0x288);
SVM_AT(last_excp_to, 0x400 + 0x290);
SVM_AT(spec_ctrl, 0x400 + 0x2e0);

static inline void svm_vmload(u64 pa)
{
	asm volatile("vmload %%rax" : : "a" (pa) : "memory");
}

static inline void svm_vmsave(u64 pa)
{
	asm volatile("vmsave %%rax" : : "a" (pa) : "memory");
}

static inline void svm_clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

static inline void svm_stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

#endif
