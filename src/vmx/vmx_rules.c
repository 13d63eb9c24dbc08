// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry rules of VT-x: Intel SDM vol. 3C, chapter "VM Entries", as far as the shared rules have not
 * got them. Pure functions; also built in user space.
 *
 *   control_rules()	"Checks on VMX Controls"
 *   host_rules()	"Checks on Host Control Registers, MSRs, Segment and Descriptor-Table
 *			Registers", "Checks Related to Address-Space Size"
 *   register_rules()	"Checks on Guest Control Registers, Debug Registers, and MSRs"; "Checks on
 *			Guest RIP, RFLAGS, and SSP"
 *   segment_rules()	"Checks on Guest Segment Registers"
 *   state_rules()	"Checks on Guest Non-Register State"
 *   pdpte_rules()	"Checks on Guest Page-Directory-Pointer-Table Entries"
 *
 * What the manual counts among the controls but is the guest's, the event that is injected, is
 * reported as guest state.
 */
#include <linux/kernel.h>
#include <linux/stddef.h>
#include "cpu/entry_rules.h"

#define PIN_EXTINT_EXITING	BIT(0)
#define PIN_NMI_EXITING		BIT(3)
#define PIN_VIRTUAL_NMIS	BIT(5)
#define PIN_PREEMPTION_TIMER	BIT(6)
#define PROC_TPR_SHADOW		BIT(21)
#define PROC_NMI_WINDOW		BIT(22)
#define PROC_IO_BITMAPS		BIT(25)
#define PROC_MSR_BITMAPS	BIT(28)
#define PROC_SECONDARY		BIT(31)
#define PROC2_APIC_ACCESSES	BIT(0)
#define PROC2_EPT		BIT(1)
#define PROC2_X2APIC		BIT(4)
#define PROC2_VPID		BIT(5)
#define PROC2_UNRESTRICTED	BIT(7)
#define PROC2_APIC_REGISTERS	BIT(8)
#define PROC2_VIRTUAL_INTERRUPT	BIT(9)
#define EXIT_HOST_64BIT		BIT(9)
#define EXIT_LOAD_PAT		BIT(19)
#define EXIT_LOAD_EFER		BIT(21)
#define EXIT_SAVE_TIMER		BIT(22)
#define ENTRY_IA32E		BIT(9)
#define ENTRY_TO_SMM		BIT(10)
#define ENTRY_DUAL_MONITOR	BIT(11)

#define CR4_VMXE		BIT_ULL(13)
#define DEBUGCTL_BTF		BIT_ULL(1)
#define DEBUGCTL_RESERVED	(~0xffc7ULL)
#define PENDING_BS		BIT_ULL(14)
#define PENDING_RESERVED	(GENMASK_ULL(63, 17) | BIT_ULL(15) | BIT_ULL(13) | \
				 GENMASK_ULL(11, 4))
#define PDPTE_P			BIT_ULL(0)
#define PDPTE_RESERVED		(GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1))

/* Guest field "activity state" */
#define ACTIVITY_ACTIVE		0
#define ACTIVITY_HLT		1
#define ACTIVITY_SIPI		3

#define TYPE_ACCESSED		BIT(0)
#define TYPE_READABLE		BIT(1)	/* of code */
#define TYPE_CONFORMING		BIT(2)	/* of code */
#define TYPE_CODE		BIT(3)
#define TYPE_DATA_RW		3u	/* data, read/write, accessed */
#define TYPE_DATA_DOWN		7u	/* the same, expand-down */
#define TYPE_TSS16_BUSY		3u
#define TYPE_TSS_BUSY		11u
#define ATTR_V86		0xf3u
#define PAGE_LOW		0xfffu

static const char * const control_name[NR_VMX_CONTROLS] = {
	[VMX_PIN] = "the pin-based controls",
	[VMX_PROC] = "the processor-based controls",
	[VMX_PROC2] = "the secondary controls",
	[VMX_EXIT] = "the VM-exit controls",
	[VMX_ENTRY] = "the VM-entry controls",
};

static const char * const selector_name[NR_HOST_SELECTORS] = {
	"host ES", "host CS", "host SS", "host DS", "host FS", "host GS", "host TR",
};

static const char * const address_name[NR_HOST_ADDRESSES] = {
	[HOST_FS_BASE] = "host FS.base",
	[HOST_GS_BASE] = "host GS.base",
	[HOST_TR_BASE] = "host TR.base",
	[HOST_GDTR_BASE] = "host GDTR.base",
	[HOST_IDTR_BASE] = "host IDTR.base",
	[HOST_SYSENTER_ESP] = "host IA32_SYSENTER_ESP",
	[HOST_SYSENTER_EIP] = "host IA32_SYSENTER_EIP",
	[HOST_RIP] = "host RIP",
};

static const char * const pdpte_name[4] = { "PDPTE0", "PDPTE1", "PDPTE2", "PDPTE3" };

static bool on(const struct hvx_entry_state *s, enum hvx_vmx_control_index i, u32 bit)
{
	/* Without their activation the secondary controls are as good as 0 */
	if (i == VMX_PROC2 && !(s->vmx.control[VMX_PROC].value & PROC_SECONDARY))
		return false;
	return s->vmx.control[i].value & bit;
}

static bool unrestricted(const struct hvx_entry_state *s)
{
	return on(s, VMX_PROC2, PROC2_UNRESTRICTED);
}

static bool refuse_control(struct hvx_entry_failure *f, u32 check, u64 value, const char *name,
			   const char *rule)
{
	return hvx_refuse_stage(f, HVX_ENTRY_CONTROLS, check, value, name, rule);
}

static bool refuse_word(const struct hvx_entry_state *s, struct hvx_entry_failure *f, u32 check,
			enum hvx_vmx_control_index i, const char *rule)
{
	return refuse_control(f, check, s->vmx.control[i].value, control_name[i], rule);
}

static bool word_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	unsigned int i;

	for (i = 0; i < NR_VMX_CONTROLS; i++) {
		const struct hvx_vmx_control *c = &s->vmx.control[i];

		if (i == VMX_PROC2 && !on(s, VMX_PROC, PROC_SECONDARY))
			continue;
		if ((~c->value & c->must) || (c->value & ~c->may))
			return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, i,
					   "they must keep to their capability MSR");
	}
	if (on(s, VMX_ENTRY, ENTRY_TO_SMM | ENTRY_DUAL_MONITOR))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_ENTRY,
				   "bits 10 and 11 must be 0 outside SMM");
	return false;
}

/* Memory type WB or UC, 4 levels, within the physical-address width */
static bool eptp_valid(const struct hvx_entry_state *s)
{
	u64 eptp = s->vmx.eptp, type = eptp & 7, levels = (eptp >> 3 & 7) + 1;

	return (type == 0 || type == 6) && levels == 4 && !(eptp & GENMASK_ULL(11, 8)) &&
	       entry_page(s, eptp & ~0xfffULL);
}

static bool table_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_vmx_entry *vmx = &s->vmx;
	unsigned int i;

	for (i = 0; i < 2 && on(s, VMX_PROC, PROC_IO_BITMAPS); i++) {
		if (!entry_page(s, vmx->io_bitmap[i]))
			return refuse_control(f, HVX_CHECK_CTL_ADDRESS, vmx->io_bitmap[i],
					      i ? "I/O bitmap B" : "I/O bitmap A",
					      "it must be a page in physical memory");
	}
	if (on(s, VMX_PROC, PROC_MSR_BITMAPS) && !entry_page(s, vmx->msr_bitmap))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, vmx->msr_bitmap, "the MSR bitmap",
				      "it must be a page in physical memory");
	if (on(s, VMX_PROC2, PROC2_EPT) && !eptp_valid(s))
		return refuse_control(f, HVX_CHECK_CTL_EPT, vmx->eptp, "the EPT pointer",
				      "memory type, walk length or address is invalid");
	if (!on(s, VMX_PROC2, PROC2_EPT) && unrestricted(s))
		return refuse_word(s, f, HVX_CHECK_CTL_EPT, VMX_PROC2,
				   "an unrestricted guest needs EPT");
	if (on(s, VMX_PROC2, PROC2_VPID) && !vmx->vpid)
		return refuse_control(f, HVX_CHECK_CTL_VPID, 0, "the VPID", "it must not be 0");
	return false;
}

static bool apic_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const u32 need_shadow = PROC2_X2APIC | PROC2_APIC_REGISTERS | PROC2_VIRTUAL_INTERRUPT;

	if (on(s, VMX_PROC, PROC_TPR_SHADOW) && !entry_page(s, s->vmx.virtual_apic))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, s->vmx.virtual_apic,
				      "the virtual-APIC page",
				      "it must be a page in physical memory");
	if (!on(s, VMX_PROC, PROC_TPR_SHADOW) && on(s, VMX_PROC2, need_shadow))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_PROC2,
				   "APIC virtualization needs the TPR shadow");
	if (on(s, VMX_PROC2, PROC2_VIRTUAL_INTERRUPT) && !on(s, VMX_PIN, PIN_EXTINT_EXITING))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_PIN,
				   "virtual-interrupt delivery needs external-interrupt exiting");
	if (!on(s, VMX_PROC2, PROC2_APIC_ACCESSES))
		return false;
	if (on(s, VMX_PROC2, PROC2_X2APIC))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_PROC2,
				   "APIC accesses are not virtualized in x2APIC mode");
	if (!entry_page(s, s->vmx.apic_access))
		return refuse_control(f, HVX_CHECK_CTL_ADDRESS, s->vmx.apic_access,
				      "the APIC-access page",
				      "it must be a page in physical memory");
	return false;
}

static bool control_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	if (word_rules(s, f))
		return true;
	if (on(s, VMX_PIN, PIN_VIRTUAL_NMIS) && !on(s, VMX_PIN, PIN_NMI_EXITING))
		return refuse_word(s, f, HVX_CHECK_CTL_NMI, VMX_PIN,
				   "virtual NMIs need NMI exiting");
	if (on(s, VMX_PROC, PROC_NMI_WINDOW) && !on(s, VMX_PIN, PIN_VIRTUAL_NMIS))
		return refuse_word(s, f, HVX_CHECK_CTL_NMI, VMX_PROC,
				   "NMI-window exiting needs virtual NMIs");
	if (on(s, VMX_EXIT, EXIT_SAVE_TIMER) && !on(s, VMX_PIN, PIN_PREEMPTION_TIMER))
		return refuse_word(s, f, HVX_CHECK_CTL_TIMER, VMX_EXIT,
				   "the preemption timer is saved but not activated");
	return table_rules(s, f) || apic_rules(s, f);
}

static bool refuse_host(struct hvx_entry_failure *f, u32 check, u64 value, const char *name,
			const char *rule)
{
	return hvx_refuse_stage(f, HVX_ENTRY_HOST, check, value, name, rule);
}

static bool host_register_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_vmx_host *h = &s->vmx.host;
	const struct hvx_vmx_entry *vmx = &s->vmx;
	const u64 lm = EFR_LMA | EFR_LME;

	if ((~h->cr0 & vmx->cr0_fixed0) || (h->cr0 & ~vmx->cr0_fixed1))
		return refuse_host(f, HVX_CHECK_HOST_CR0, h->cr0, "host CR0",
				   "it must keep to the fixed bits of VMX operation");
	if (h->cr3 & ~GENMASK_ULL(s->pa_bits - 1, 0))
		return refuse_host(f, HVX_CHECK_HOST_CR3, h->cr3, "host CR3",
				   "bits beyond the physical-address width must be 0");
	if ((~h->cr4 & vmx->cr4_fixed0) || (h->cr4 & ~vmx->cr4_fixed1) || !(h->cr4 & CR4_PAE))
		return refuse_host(f, HVX_CHECK_HOST_CR4, h->cr4, "host CR4",
				   "it must keep to the fixed bits of VMX operation, with PAE");
	if (!on(s, VMX_EXIT, EXIT_HOST_64BIT))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_EXIT,
				   "the host is in long mode");
	if (on(s, VMX_EXIT, EXIT_LOAD_EFER) && (h->efer & lm) != lm)
		return refuse_host(f, HVX_CHECK_HOST_EFER, h->efer, "host EFER",
				   "LME and LMA must be 1");
	if (on(s, VMX_EXIT, EXIT_LOAD_PAT) && !hvx_pat_valid(h->pat))
		return refuse_host(f, HVX_CHECK_HOST_PAT, h->pat, "host IA32_PAT",
				   "each byte must be 0, 1, 4, 5, 6 or 7");
	return false;
}

static bool host_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_vmx_host *h = &s->vmx.host;
	unsigned int i;

	if (!s->vmx.host_known)
		return false;
	if (host_register_rules(s, f))
		return true;
	for (i = 0; i < NR_HOST_SELECTORS; i++) {
		if (h->selector[i] & 7)
			return refuse_host(f, HVX_CHECK_HOST_SELECTOR, h->selector[i],
					   selector_name[i], "RPL and TI must be 0");
		if ((i == HOST_CS || i == HOST_TR) && !h->selector[i])
			return refuse_host(f, HVX_CHECK_HOST_SELECTOR, 0, selector_name[i],
					   "it must not be 0");
	}
	for (i = 0; i < NR_HOST_ADDRESSES; i++) {
		if (!entry_canonical(s, h->address[i]))
			return refuse_host(f, HVX_CHECK_HOST_ADDRESS, h->address[i],
					   address_name[i], "it must be canonical");
	}
	return false;
}

/* hvx itself sets CR0.NE and CR4.VMXE, whatever the guest sees of them */
static bool fixed_bit_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u64 must0 = s->vmx.cr0_fixed0 & ~CR0_NE, must4 = s->vmx.cr4_fixed0 & ~CR4_VMXE;
	const struct hvx_regs *r = s->regs;

	if (unrestricted(s))
		must0 &= ~(CR0_PE | CR0_PG);
	if ((~r->cr0 & must0) || (r->cr0 & ~s->vmx.cr0_fixed1))
		return hvx_refuse(f, HVX_CHECK_CR0_FIXED, FIELD(ctrl.cr0), r->cr0, "CR0",
				  "it must keep to the fixed bits of VMX operation");
	if ((~r->cr4 & must4) || (r->cr4 & ~s->vmx.cr4_fixed1))
		return hvx_refuse(f, HVX_CHECK_CR4_FIXED, FIELD(ctrl.cr4), r->cr4, "CR4",
				  "it must keep to the fixed bits of VMX operation");
	return false;
}

static bool register_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;

	if (fixed_bit_rules(s, f))
		return true;
	if (on(s, VMX_ENTRY, ENTRY_IA32E) != entry_long_mode(s))
		return refuse_word(s, f, HVX_CHECK_CTL_RESERVED, VMX_ENTRY,
				   "IA-32e mode guest must be what EFER.LMA is");
	if (entry_64bit(s) && !entry_canonical(s, r->rip))
		return hvx_refuse(f, HVX_CHECK_RIP_CANONICAL, FIELD(regs.rip), r->rip, "RIP",
				  "it must be canonical in 64-bit mode");
	if (!entry_canonical(s, r->sysenter_esp))
		return hvx_refuse(f, HVX_CHECK_MSR_CANONICAL, 0, r->sysenter_esp,
				  "IA32_SYSENTER_ESP", "it must be canonical");
	if (!entry_canonical(s, r->sysenter_eip))
		return hvx_refuse(f, HVX_CHECK_MSR_CANONICAL, 0, r->sysenter_eip,
				  "IA32_SYSENTER_EIP", "it must be canonical");
	if (r->debugctl & DEBUGCTL_RESERVED)
		return hvx_refuse(f, HVX_CHECK_DEBUGCTL, 0, r->debugctl, "IA32_DEBUGCTL",
				  "reserved bits must be 0");
	return false;
}

static bool limit_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
			unsigned int i)
{
	const struct hvx_segment *seg = &s->regs->seg[i];

	if ((seg->attr & SA_G) && (seg->limit & PAGE_LOW) != PAGE_LOW)
		return hvx_refuse_limit(f, HVX_CHECK_SEG_LIMIT, s, i,
					"bits 11:0 must be 1 when G is 1");
	if (!(seg->attr & SA_G) && seg->limit >> 20)
		return hvx_refuse_limit(f, HVX_CHECK_SEG_LIMIT, s, i,
					"bits 31:20 must be 0 when G is 0");
	return false;
}

static bool type_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
		       unsigned int i)
{
	unsigned int type = s->regs->seg[i].attr & SA_TYPE;

	if (i == SEG_CS) {
		/* Right after real mode: a data segment that executes */
		if (type == TYPE_DATA_RW && unrestricted(s))
			return false;
		if (!(type & TYPE_CODE) || !(type & TYPE_ACCESSED))
			return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, i,
					       "the type must be accessed code, or 3");
	} else if (i == SEG_SS) {
		if (type != TYPE_DATA_RW && type != TYPE_DATA_DOWN)
			return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, i,
					       "the type must be 3 or 7 (writable, accessed)");
	} else if (!(type & TYPE_ACCESSED) || ((type & TYPE_CODE) && !(type & TYPE_READABLE))) {
		return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, i,
				       "the type must be readable and accessed");
	}
	return false;
}

/* What older processors want, which do not know the unrestricted guest */
static bool rpl_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f,
		      unsigned int i)
{
	const struct hvx_segment *seg = &s->regs->seg[i];
	unsigned int type = seg->attr & SA_TYPE, dpl = (seg->attr & SA_DPL) >> SA_DPL_SHIFT;
	unsigned int rpl = seg->selector & 3;

	if (i == SEG_SS && (rpl != (s->regs->seg[SEG_CS].selector & 3) || rpl != dpl))
		return hvx_refuse_selector(f, HVX_CHECK_SEG_RPL, s, i,
					   "the RPL must be that of CS and SS.DPL");
	if (i == SEG_CS || i == SEG_SS || (seg->attr & SA_UNUSABLE))
		return false;
	if (type < (TYPE_CODE | TYPE_CONFORMING) && dpl < rpl)
		return hvx_refuse_selector(f, HVX_CHECK_SEG_RPL, s, i,
					   "the RPL must not exceed the DPL");
	return false;
}

static bool dpl_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_segment *cs = &s->regs->seg[SEG_CS], *ss = &s->regs->seg[SEG_SS];
	unsigned int type = cs->attr & SA_TYPE, dpl = cs->attr & SA_DPL, cpl = ss->attr & SA_DPL;

	if (type == TYPE_DATA_RW) {
		if (dpl)
			return hvx_refuse_attr(f, HVX_CHECK_SEG_DPL, s, SEG_CS,
					       "the DPL must be 0 when the type is 3");
		if (cpl)
			return hvx_refuse_attr(f, HVX_CHECK_SEG_DPL, s, SEG_SS,
					       "the DPL must be 0 when the type of CS is 3");
	} else if (type & TYPE_CONFORMING) {
		if (dpl > cpl)
			return hvx_refuse_attr(f, HVX_CHECK_SEG_DPL, s, SEG_CS,
					       "the DPL must not exceed SS.DPL (conforming code)");
	} else if (dpl != cpl) {
		return hvx_refuse_attr(f, HVX_CHECK_SEG_DPL, s, SEG_CS,
				       "the DPL must be SS.DPL");
	}
	return false;
}

static bool code_and_data_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	unsigned int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		if (!(s->regs->seg[i].attr & SA_UNUSABLE) &&
		    (type_rules(s, f, i) || limit_rules(s, f, i)))
			return true;
		if (!unrestricted(s) && rpl_rules(s, f, i))
			return true;
	}
	return dpl_rules(s, f);
}

static bool v86_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	unsigned int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		if (s->regs->seg[i].attr != ATTR_V86)
			return hvx_refuse_attr(f, HVX_CHECK_V86_ATTR, s, i,
					       "it must be 0xf3 in virtual-8086 mode");
	}
	return false;
}

static bool segment_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_segment *tr = &s->regs->seg[SEG_TR], *ldtr = &s->regs->seg[SEG_LDTR];
	unsigned int type = tr->attr & SA_TYPE;

	if (entry_v86(s) ? v86_rules(s, f) : code_and_data_rules(s, f))
		return true;
	if (type != TYPE_TSS_BUSY && (type != TYPE_TSS16_BUSY || entry_long_mode(s)))
		return hvx_refuse_attr(f, HVX_CHECK_SEG_TYPE, s, SEG_TR,
				       entry_long_mode(s) ? "the type must be 11 (busy TSS)" :
				       "the type must be 3 or 11 (busy TSS)");
	return limit_rules(s, f, SEG_TR) ||
	       (!(ldtr->attr & SA_UNUSABLE) && limit_rules(s, f, SEG_LDTR));
}

static bool activity_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u32 activity = s->vmx.activity;

	if (activity > ACTIVITY_SIPI)
		return hvx_refuse(f, HVX_CHECK_ACTIVITY, 0, activity, "the activity state",
				  "it must be 3 or less");
	if (activity == ACTIVITY_HLT && (s->regs->seg[SEG_SS].attr & SA_DPL))
		return hvx_refuse(f, HVX_CHECK_ACTIVITY, 0, activity, "the activity state",
				  "HLT needs SS.DPL 0");
	if (activity != ACTIVITY_ACTIVE && (s->regs->shadow & (SHADOW_STI | SHADOW_MOV_SS)))
		return hvx_refuse(f, HVX_CHECK_ACTIVITY, 0, activity, "the activity state",
				  "it must be active in the shadow of STI or MOV SS");
	return false;
}

static bool refuse_shadow(const struct hvx_entry_state *s, struct hvx_entry_failure *f, u32 check,
			  const char *rule)
{
	return hvx_refuse(f, check, FIELD(event.shadow),
			  s->regs->shadow & (SHADOW_STI | SHADOW_MOV_SS), "event.shadow", rule);
}

static bool shadow_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	u32 shadow = s->regs->shadow & (SHADOW_STI | SHADOW_MOV_SS);
	u8 event = s->inject->type;

	if (shadow == (SHADOW_STI | SHADOW_MOV_SS))
		return refuse_shadow(s, f, HVX_CHECK_SHADOW, "not both shadows at once");
	if ((shadow & SHADOW_STI) && !(s->regs->rflags & RFLAGS_IF))
		return refuse_shadow(s, f, HVX_CHECK_SHADOW_IF,
				     "the shadow of STI needs RFLAGS.IF");
	/* Whether STI holds back an NMI is up to the processor */
	if ((event == HVX_EVENT_INTERRUPT && shadow) ||
	    (event == HVX_EVENT_NMI && (shadow & SHADOW_MOV_SS)))
		return refuse_shadow(s, f, HVX_CHECK_SHADOW_EVENT,
				     "no interrupt or NMI is delivered in a shadow");
	if (event == HVX_EVENT_NMI && (s->regs->shadow & SHADOW_NMI) &&
	    on(s, VMX_PIN, PIN_VIRTUAL_NMIS))
		return hvx_refuse(f, HVX_CHECK_NMI_MASKED, FIELD(event.nmi_masked), 1,
				  "event.nmi_masked",
				  "no NMI is delivered while NMIs are blocked");
	return false;
}

static bool pending_debug_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	bool step = (s->regs->rflags & RFLAGS_TF) && !(s->regs->debugctl & DEBUGCTL_BTF);
	u64 pending = s->vmx.pending_debug;

	if (pending & PENDING_RESERVED)
		return hvx_refuse(f, HVX_CHECK_PENDING_DEBUG, 0, pending,
				  "the pending debug exceptions", "reserved bits must be 0");
	if (!(s->regs->shadow & (SHADOW_STI | SHADOW_MOV_SS)) && s->vmx.activity != ACTIVITY_HLT)
		return false;
	if (!!(pending & PENDING_BS) != step)
		return hvx_refuse(f, HVX_CHECK_PENDING_DEBUG, 0, pending,
				  "the pending debug exceptions",
				  "in a shadow BS must be 1 exactly when the guest single-steps");
	return false;
}

static bool state_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	if (activity_rules(s, f) || shadow_rules(s, f) || pending_debug_rules(s, f))
		return true;
	if (s->vmx.link_pointer != ~0ULL)
		return hvx_refuse(f, HVX_CHECK_LINK_POINTER, 0, s->vmx.link_pointer,
				  "the VMCS link pointer", "it must be all ones");
	return false;
}

static bool pdpte_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_regs *r = s->regs;
	u64 reserved = PDPTE_RESERVED | ~GENMASK_ULL(s->pa_bits - 1, 0);
	unsigned int i;

	if (!(r->cr0 & CR0_PG) || !(r->cr4 & CR4_PAE) || entry_long_mode(s))
		return false;
	for (i = 0; i < ARRAY_SIZE(pdpte_name); i++) {
		if ((r->pdpte[i] & PDPTE_P) && (r->pdpte[i] & reserved))
			return hvx_refuse(f, HVX_CHECK_PDPTE, 0, r->pdpte[i], pdpte_name[i],
					  "reserved bits must be 0");
	}
	return false;
}

static bool injection_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	const struct hvx_inject *e = s->inject;

	if (e->type == HVX_EVENT_NMI && e->vector != 2)
		return hvx_refuse(f, HVX_CHECK_EVENT_VECTOR, FIELD(event.vector), e->vector,
				  "event.vector", "that of an NMI is 2");
	if (e->type != HVX_EVENT_SOFT_INT || e->insn_len || s->vmx.zero_length)
		return false;
	return hvx_refuse(f, HVX_CHECK_EVENT_LENGTH, FIELD(event.insn_len), 0, "event.insn_len",
			  "an instruction has a length");
}

bool hvx_vmx_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f)
{
	return control_rules(s, f) || host_rules(s, f) ||
	       hvx_guest_rules(s, f) || register_rules(s, f) || segment_rules(s, f) ||
	       hvx_event_rules(s, f) || injection_rules(s, f) ||
	       state_rules(s, f) || pdpte_rules(s, f);
}
