// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry rules that hold on any x86 processor, and the sentence that tells a broken one.
 *
 *   hvx_guest_rules()	control registers, MSRs, flags, segments, tables
 *   hvx_event_rules()	the event under delivery
 *   hvx_entry_sentence()	struct hvx_entry_failure in words
 *
 * No guest can bring a processor into a state that breaks one of these rules, whatever mode switch
 * it is in the middle of: each is enforced by the instruction that would cause it (Intel SDM
 * vol. 2, AMD APM vol. 3), and most are checked again at VM entry (Intel SDM vol. 3C, "Checks on
 * the Guest State Area"; AMD APM vol. 2, "Canonicalization and Consistency Checks"). Segments in
 * real mode keep what protected mode left in them, so nothing is said here of limits and types of
 * code and data.
 *
 * Pure functions; also built in user space.
 */
#include <linux/kernel.h>
#include <linux/stddef.h>
#include "cr.h"
#include "entry_check.h"
#include "entry_rules.h"

#define CR4_CET		BIT_ULL(23)
#define RFLAGS_RESERVED	(GENMASK_ULL(63, 22) | BIT_ULL(15) | BIT_ULL(5) | BIT_ULL(3))

#define APIC_BASE_X2APIC	BIT_ULL(10)
#define APIC_BASE_ENABLE	BIT_ULL(11)
#define APIC_BASE_RESERVED	(GENMASK_ULL(7, 0) | BIT_ULL(9))

/* Intel SDM vol. 1, "XSAVE-Supported Features and State-Component Bitmaps" */
#define XCR0_FP		BIT_ULL(0)
#define XCR0_SSE	BIT_ULL(1)
#define XCR0_AVX	BIT_ULL(2)
#define XCR0_MPX	GENMASK_ULL(4, 3)
#define XCR0_AVX512	GENMASK_ULL(7, 5)
#define XCR0_AMX	GENMASK_ULL(18, 17)

/* Names of the fields of each segment, by enum hvx_seg_reg */
static const struct {
	const char *selector, *attr, *limit, *base;
} seg_name[NR_SEGS] = {
	{ "ES.selector", "ES.attr", "ES.limit", "ES.base" },
	{ "CS.selector", "CS.attr", "CS.limit", "CS.base" },
	{ "SS.selector", "SS.attr", "SS.limit", "SS.base" },
	{ "DS.selector", "DS.attr", "DS.limit", "DS.base" },
	{ "FS.selector", "FS.attr", "FS.limit", "FS.base" },
	{ "GS.selector", "GS.attr", "GS.limit", "GS.base" },
	{ "TR.selector", "TR.attr", "TR.limit", "TR.base" },
	{ "LDTR.selector", "LDTR.attr", "LDTR.limit", "LDTR.base" },
};

static_assert((int)SEG_LDTR == (int)HVX_LDTR);

bool hvx_refuse(struct hvx_entry_failure *f, u32 check, u32 field, u64 value, const char *name,
		const char *rule)
{
	*f = (struct hvx_entry_failure) {
		.stage = HVX_ENTRY_GUEST,
		.check = check,
		.field = field,
		.value = value,
		.name = name,
		.rule = rule,
	};
	return true;
}

bool hvx_refuse_stage(struct hvx_entry_failure *f, u32 stage, u32 check, u64 value,
		      const char *name, const char *rule)
{
	hvx_refuse(f, check, 0, value, name, rule);
	f->stage = stage;
	return true;
}

bool hvx_refuse_attr(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
		     unsigned int seg, const char *rule)
{
	return hvx_refuse(f, check, FIELD_SEG(seg, attr), s->regs->seg[seg].attr,
			  seg_name[seg].attr, rule);
}

bool hvx_refuse_selector(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
			 unsigned int seg, const char *rule)
{
	return hvx_refuse(f, check, FIELD_SEG(seg, selector), s->regs->seg[seg].selector,
			  seg_name[seg].selector, rule);
}

bool hvx_refuse_limit(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
		      unsigned int seg, const char *rule)
{
	return hvx_refuse(f, check, FIELD_SEG(seg, limit), s->regs->seg[seg].limit,
			  seg_name[seg].limit, rule);
}

static bool refuse_base(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
			unsigned int seg, const char *rule)
{
	return hvx_refuse(f, check, FIELD_SEG(seg, base), s->regs->seg[seg].base,
			  seg_name[seg].base, rule);
}

bool hvx_pat_valid(u64 pat)
{
	unsigned int i, type;

	for (i = 0; i < 8; i++, pat >>= 8) {
		type = pat & 0xff;
		/* Intel SDM vol. 3A, "Page Attribute Table (PAT)": UC WC WT WP WB UC- */
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool cr0_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u64 cr0 = s->regs->cr0;

	if (cr0 & ~CR0_KNOWN)
		return hvx_refuse(f, HVX_CHECK_CR0_RESERVED, FIELD(ctrl.cr0), cr0, "CR0",
				  "bits 63:32, 28:19, 17 and 15:6 must be 0");
	if ((cr0 & CR0_NW) && !(cr0 & CR0_CD))
		return hvx_refuse(f, HVX_CHECK_CR0_NW, FIELD(ctrl.cr0), cr0, "CR0",
				  "NW must be 0 when CD is 0");
	if ((cr0 & CR0_PG) && !(cr0 & CR0_PE))
		return hvx_refuse(f, HVX_CHECK_CR0_PG, FIELD(ctrl.cr0), cr0, "CR0",
				  "PE must be 1 when PG is 1");
	return false;
}

static bool cr4_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u64 cr4 = s->regs->cr4;

	if (cr4 & s->cr4_reserved)
		return hvx_refuse(f, HVX_CHECK_CR4_RESERVED, FIELD(ctrl.cr4), cr4, "CR4",
				  "bits that this vCPU does not have must be 0");
	if (!(cr4 & CR4_PAE) && entry_long_mode(s))
		return hvx_refuse(f, HVX_CHECK_CR4_PAE, FIELD(ctrl.cr4), cr4, "CR4",
				  "PAE must be 1 in long mode");
	if ((cr4 & CR4_PCIDE) && !entry_long_mode(s))
		return hvx_refuse(f, HVX_CHECK_CR4_PCIDE, FIELD(ctrl.cr4), cr4, "CR4",
				  "PCIDE must be 0 outside long mode");
	if ((cr4 & CR4_CET) && !(s->regs->cr0 & CR0_WP))
		return hvx_refuse(f, HVX_CHECK_CR4_CET, FIELD(ctrl.cr4), cr4, "CR4",
				  "CET must be 0 when CR0.WP is 0");
	return false;
}

static bool efer_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u64 efer = s->regs->efer;
	bool active = (efer & EFR_LME) && (s->regs->cr0 & CR0_PG);

	if (efer & s->efer_reserved)
		return hvx_refuse(f, HVX_CHECK_EFER_RESERVED, FIELD(ctrl.efer), efer, "EFER",
				  "bits that this vCPU does not have must be 0");
	if (active != !!(efer & EFR_LMA))
		return hvx_refuse(f, HVX_CHECK_EFER_LMA, FIELD(ctrl.efer), efer, "EFER",
				  "LMA must be 1 exactly when LME and CR0.PG are 1");
	return false;
}

/* Intel SDM vol. 2, "XSETBV" */
static bool xcr0_valid(u64 xcr0, u64 allowed)
{
	u64 mpx = xcr0 & XCR0_MPX, avx512 = xcr0 & XCR0_AVX512, amx = xcr0 & XCR0_AMX;

	if (!(xcr0 & XCR0_FP) || (xcr0 & ~(allowed | XCR0_FP)))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	if (avx512 && (avx512 != XCR0_AVX512 || !(xcr0 & XCR0_AVX)))
		return false;
	return (!mpx || mpx == XCR0_MPX) && (!amx || amx == XCR0_AMX);
}

static bool control_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;

	if (cr0_rules(s, f) || efer_rules(s, f) || cr4_rules(s, f))
		return true;
	if (r->cr3 & s->cr3_reserved)
		return hvx_refuse(f, HVX_CHECK_CR3_WIDTH, FIELD(ctrl.cr3), r->cr3, "CR3",
				  "bits beyond the physical-address width must be 0");
	if (r->cr8 > 15)
		return hvx_refuse(f, HVX_CHECK_CR8, FIELD(ctrl.cr8), r->cr8, "CR8",
				  "it must be 15 or less");
	if (!xcr0_valid(r->xcr0, s->xcr0_allowed))
		return hvx_refuse(f, HVX_CHECK_XCR0, FIELD(ctrl.xcr0), r->xcr0, "XCR0",
				  "it must be a value that XSETBV takes on this vCPU");
	if ((r->apic_base & (APIC_BASE_RESERVED | ~GENMASK_ULL(s->pa_bits - 1, 0))) ||
	    (r->apic_base & (APIC_BASE_X2APIC | APIC_BASE_ENABLE)) == APIC_BASE_X2APIC)
		return hvx_refuse(f, HVX_CHECK_APIC_BASE, FIELD(ctrl.apic_base), r->apic_base,
				  "APIC_BASE", "reserved bits must be 0, and EXTD needs EN");
	return false;
}

static bool debug_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;

	if (r->dr6 & HIGH_HALF)
		return hvx_refuse(f, HVX_CHECK_DR6_HIGH, FIELD(debug.dr6), r->dr6, "DR6",
				  "bits 63:32 must be 0");
	if (r->dr7 & HIGH_HALF)
		return hvx_refuse(f, HVX_CHECK_DR7_HIGH, FIELD(debug.dr7), r->dr7, "DR7",
				  "bits 63:32 must be 0");
	return false;
}

static bool msr_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;
	const struct {
		u64 value;
		const char *name;
	} address[] = {
		{ r->lstar, "IA32_LSTAR" },
		{ r->cstar, "IA32_CSTAR" },
		{ r->kernel_gs_base, "IA32_KERNEL_GS_BASE" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(address); i++) {
		if (!entry_canonical(s, address[i].value))
			return hvx_refuse(f, HVX_CHECK_MSR_CANONICAL, 0, address[i].value,
					  address[i].name, "it must be canonical");
	}
	if (!hvx_pat_valid(r->pat))
		return hvx_refuse(f, HVX_CHECK_PAT, 0, r->pat, "IA32_PAT",
				  "each byte must be 0, 1, 4, 5, 6 or 7");
	return false;
}

static bool flag_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;

	if ((r->rflags & RFLAGS_RESERVED) || !(r->rflags & RFLAGS_FIXED))
		return hvx_refuse(f, HVX_CHECK_RFLAGS_RESERVED, FIELD(regs.rflags), r->rflags,
				  "RFLAGS", "bit 1 must be 1, bits 63:22, 15, 5 and 3 must be 0");
	if (entry_v86(s) && (entry_long_mode(s) || !(r->cr0 & CR0_PE)))
		return hvx_refuse(f, HVX_CHECK_RFLAGS_VM, FIELD(regs.rflags), r->rflags, "RFLAGS",
				  "VM must be 0 in long mode and in real mode");
	if ((r->rip & HIGH_HALF) && !entry_64bit(s))
		return hvx_refuse(f, HVX_CHECK_RIP_HIGH, FIELD(regs.rip), r->rip, "RIP",
				  "bits 63:32 must be 0 outside 64-bit mode");
	return false;
}

/* Virtual-8086 mode keeps nothing of a descriptor (Intel SDM vol. 3B, "8086 Emulation") */
static bool v86_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
		      unsigned int i)
{
	const struct hvx_segment *seg = &s->regs->seg[i];

	if (seg->base != (u64)seg->selector << 4)
		return refuse_base(f, HVX_CHECK_V86_BASE, s, i,
				   "it must be the selector times 16 in virtual-8086 mode");
	if (seg->limit != 0xffff)
		return hvx_refuse_limit(f, HVX_CHECK_V86_LIMIT, s, i,
					"it must be 0xffff in virtual-8086 mode");
	if (i == SEG_SS && (seg->attr & SA_DPL) != SA_DPL)
		return hvx_refuse_attr(f, HVX_CHECK_V86_ATTR, s, i,
				       "the DPL must be 3 in virtual-8086 mode");
	return false;
}

static bool segment_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
			  unsigned int i)
{
	const struct hvx_segment *seg = &s->regs->seg[i];
	bool fs_gs = i == SEG_FS || i == SEG_GS;

	if (i == SEG_CS && (seg->attr & SA_UNUSABLE))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_USABLE, s, i, "CS must be usable");
	/* The bases of FS and GS are MSRs, too: they hold without a segment */
	if (fs_gs && !entry_canonical(s, seg->base))
		return refuse_base(f, HVX_CHECK_SEG_BASE, s, i, "it must be canonical");
	/* CPL, which hvx keeps here, is 0 in real mode */
	if (i == SEG_SS && !(s->regs->cr0 & CR0_PE) && (seg->attr & SA_DPL))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_DPL, s, i,
				       "the DPL must be 0 in real mode");
	if (seg->attr & SA_UNUSABLE)
		return false;
	if (!fs_gs && (seg->base & HIGH_HALF))
		return refuse_base(f, HVX_CHECK_SEG_BASE, s, i, "bits 63:32 must be 0");
	if (!(seg->attr & SA_S))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_SYSTEM, s, i,
				       "S must be 1, it is no system segment");
	if (!(seg->attr & SA_P))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_PRESENT, s, i,
				       "P must be 1, or the segment unusable");
	return false;
}

static bool system_segment_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
				 unsigned int i)
{
	const struct hvx_segment *seg = &s->regs->seg[i];
	unsigned int type = seg->attr & SA_TYPE;

	if (seg->attr & SA_UNUSABLE) {
		if (i == SEG_LDTR)
			return false;
		return hvx_refuse_attr(f, HVX_CHECK_SEG_USABLE, s, i, "TR must be usable");
	}
	if (seg->selector & 4)
		return hvx_refuse_selector(f, HVX_CHECK_SEG_TI, s, i, "TI must be 0");
	if (!entry_canonical(s, seg->base))
		return refuse_base(f, HVX_CHECK_SEG_BASE, s, i, "it must be canonical");
	if (seg->attr & SA_S)
		return hvx_refuse_attr(f, HVX_CHECK_SEG_SYSTEM, s, i, "S must be 0");
	if (!(seg->attr & SA_P))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_PRESENT, s, i, "P must be 1");
	if (i == SEG_LDTR && type != 2)
		return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, i, "the type must be 2 (LDT)");
	/* Not all processors keep the busy bit */
	if (i == SEG_TR && (type | 2) != 3 && (type | 2) != 11)
		return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, i,
				       "the type must be that of a TSS");
	return false;
}

static bool all_segment_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_segment *seg = s->regs->seg;
	const u16 known = SA_UNUSABLE | (SA_UNUSABLE - 1);
	unsigned int i;

	for (i = 0; i < NR_SEGS; i++) {
		if (seg[i].attr & ~known)
			return hvx_refuse_attr(f, HVX_CHECK_SEG_ATTR, s, i,
					       "bits 15:13 must be 0");
	}
	for (i = SEG_ES; i <= SEG_GS; i++) {
		if (entry_v86(s) ? v86_rules(s, f, i) : segment_rules(s, f, i))
			return true;
	}
	if (entry_64bit(s) && (seg[SEG_CS].attr & SA_DB))
		return hvx_refuse_attr(f, HVX_CHECK_CS_L_DB, s, SEG_CS,
				       "L and D/B must not both be 1 in long mode");
	return system_segment_rules(s, f, SEG_TR) || system_segment_rules(s, f, SEG_LDTR);
}

static bool table_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;

	if (!entry_canonical(s, r->gdt.base))
		return hvx_refuse(f, HVX_CHECK_TABLE_BASE, FIELD(seg.gdt.base), r->gdt.base,
				  "GDTR.base", "it must be canonical");
	if (!entry_canonical(s, r->idt.base))
		return hvx_refuse(f, HVX_CHECK_TABLE_BASE, FIELD(seg.idt.base), r->idt.base,
				  "IDTR.base", "it must be canonical");
	return false;
}

bool hvx_guest_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	return control_rules(s, f) || debug_rules(s, f) || flag_rules(s, f) ||
	       all_segment_rules(s, f) || table_rules(s, f) || msr_rules(s, f);
}

/* Vectors with an error code; #CP, #VC and #SX are of one vendor or the other */
static bool pushes_error(u8 vector)
{
	const u32 vectors = BIT(8) | GENMASK(14, 10) | BIT(17) | BIT(21) | BIT(29) | BIT(30);

	return vectors & BIT(vector);
}

static bool exception_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_inject *e = s->inject;

	if (e->vector > 31 || e->vector == 2)
		return hvx_refuse(f, HVX_CHECK_EVENT_VECTOR, FIELD(event.vector), e->vector,
				  "event.vector", "that of an exception is 0 to 31 and not 2");
	/* In real mode a CPU may or may not have put one in: nothing is pushed */
	if ((s->regs->cr0 & CR0_PE) && e->has_error != pushes_error(e->vector))
		return hvx_refuse(f, HVX_CHECK_EVENT_ERROR, FIELD(event.vector), e->vector,
				  "event.vector", e->has_error ?
				  "this exception has no error code" :
				  "this exception has an error code");
	if (e->has_error && (e->error & GENMASK(31, 16)))
		return hvx_refuse(f, HVX_CHECK_EVENT_ERROR, FIELD(event.error_code), e->error,
				  "event.error_code", "bits 31:16 must be 0");
	return false;
}

bool hvx_event_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_inject *e = s->inject;

	switch (e->type) {
	case HVX_EVENT_NONE:
	case HVX_EVENT_NMI:
		return false;
	case HVX_EVENT_INTERRUPT:
		if (!(s->regs->rflags & RFLAGS_IF))
			return hvx_refuse(f, HVX_CHECK_RFLAGS_IF, FIELD(regs.rflags),
					  s->regs->rflags, "RFLAGS",
					  "IF must be 1 while an interrupt is delivered");
		return false;
	case HVX_EVENT_EXCEPTION:
		return exception_rules(s, f);
	case HVX_EVENT_SOFT_INT:
		if (e->insn_len > 15)
			return hvx_refuse(f, HVX_CHECK_EVENT_LENGTH, FIELD(event.insn_len),
					  e->insn_len, "event.insn_len", "it must be 15 or less");
		return false;
	default:
		return hvx_refuse(f, HVX_CHECK_EVENT_TYPE, FIELD(event.type), e->type,
				  "event.type", "there is no such event");
	}
}

void hvx_entry_sentence(char *text, size_t len, const struct hvx_entry_failure *f, bool by_hvx,
			u64 hw_reason, u64 hw_detail)
{
	const char *who = by_hvx ? "hvx did not enter the guest" :
				   "the processor refused to enter the guest";

	if (f->name)
		scnprintf(text, len, "%s: %s is %#llx, but %s", who, f->name,
			  (unsigned long long)f->value, f->rule);
	else
		scnprintf(text, len, "%s (reason %#llx, detail %#llx): no known rule is broken",
			  who, (unsigned long long)hw_reason, (unsigned long long)hw_detail);
}
