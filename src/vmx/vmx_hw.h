/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-x as the Intel SDM, volume 3C, describes it: names and encodings, and the instructions.
 *
 *   VMCS fields			appendix "Field Encoding in VMCS"
 *   control bits		chapter "Virtual Machine Control Structures"
 *   exit reasons		appendix "VMX Basic Exit Reasons"
 *   event information		chapters "VM Entries" and "VM Exits"
 *   instructions		chapter "VMX Instruction Reference"
 *
 * Every instruction has an exception-table entry: when the host reboots or crashes, VMX operation
 * may end under a window, and the instructions then raise #UD.
 */
#ifndef HVX_VMX_HW_H
#define HVX_VMX_HW_H

/* What assembly needs of them */
#define VMCS_HOST_RSP_ENCODING		0x6c14
#define VMCS_EXIT_REASON_ENCODING	0x4402

/* hvx_vmx_enter() besides exit reasons: bit 31 is "VM-entry failure", the rest is no reason */
#define VMX_ENTER_FAILED		0x8000fffe
#define VMX_ENTER_FAULTED		0x8000ffff

/* ... and its flags: the first is shifted out into CF, so that ZF says whether there are others */
#define VMX_ENTER_RESUME		0x1	/* VMRESUME: not the first entry of the window */
#define VMX_ENTER_SPEC_CTRL		0x2	/* IA32_SPEC_CTRL is the guest's own */

#ifndef __ASSEMBLY__

#include <asm/asm.h>
#include <linux/bits.h>
#include <linux/types.h>

enum vmcs_field {
	/* 16-bit control fields */
	VMCS_VPID				= 0x0000,
	/* 16-bit guest-state fields: one each for ES CS SS DS FS GS LDTR TR */
	VMCS_GUEST_ES_SELECTOR			= 0x0800,
	VMCS_GUEST_INTERRUPT_STATUS		= 0x0810,
	/* 16-bit host-state fields */
	VMCS_HOST_ES_SELECTOR			= 0x0c00,
	VMCS_HOST_CS_SELECTOR			= 0x0c02,
	VMCS_HOST_SS_SELECTOR			= 0x0c04,
	VMCS_HOST_DS_SELECTOR			= 0x0c06,
	VMCS_HOST_FS_SELECTOR			= 0x0c08,
	VMCS_HOST_GS_SELECTOR			= 0x0c0a,
	VMCS_HOST_TR_SELECTOR			= 0x0c0c,
	/* 64-bit control fields */
	VMCS_IO_BITMAP_A			= 0x2000,
	VMCS_IO_BITMAP_B			= 0x2002,
	VMCS_MSR_BITMAPS			= 0x2004,
	VMCS_TSC_OFFSET				= 0x2010,
	VMCS_VIRTUAL_APIC_ADDRESS		= 0x2012,
	VMCS_APIC_ACCESS_ADDRESS		= 0x2014,
	VMCS_EPT_POINTER			= 0x201a,
	VMCS_EOI_EXIT_BITMAP0			= 0x201c,	/* four of them */
	VMCS_XSS_EXITING_BITMAP			= 0x202c,
	VMCS_ENCLS_EXITING_BITMAP		= 0x202e,
	VMCS_TSC_MULTIPLIER			= 0x2032,
	VMCS_ENCLV_EXITING_BITMAP		= 0x2036,
	/* 64-bit read-only data field */
	VMCS_GUEST_PHYSICAL_ADDRESS		= 0x2400,
	/* 64-bit guest-state fields */
	VMCS_LINK_POINTER			= 0x2800,
	VMCS_GUEST_IA32_DEBUGCTL		= 0x2802,
	VMCS_GUEST_IA32_PAT			= 0x2804,
	VMCS_GUEST_IA32_EFER			= 0x2806,
	VMCS_GUEST_IA32_PERF_GLOBAL_CTRL	= 0x2808,
	VMCS_GUEST_PDPTE0			= 0x280a,
	/* 64-bit host-state fields */
	VMCS_HOST_IA32_PAT			= 0x2c00,
	VMCS_HOST_IA32_EFER			= 0x2c02,
	VMCS_HOST_IA32_PERF_GLOBAL_CTRL		= 0x2c04,
	/* 32-bit control fields */
	VMCS_PIN_CONTROLS			= 0x4000,
	VMCS_PRIMARY_CONTROLS			= 0x4002,
	VMCS_EXCEPTION_BITMAP			= 0x4004,
	VMCS_PAGE_FAULT_ERROR_MASK		= 0x4006,
	VMCS_PAGE_FAULT_ERROR_MATCH		= 0x4008,
	VMCS_CR3_TARGET_COUNT			= 0x400a,
	VMCS_EXIT_CONTROLS			= 0x400c,
	VMCS_EXIT_MSR_STORE_COUNT		= 0x400e,
	VMCS_EXIT_MSR_LOAD_COUNT		= 0x4010,
	VMCS_ENTRY_CONTROLS			= 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT		= 0x4014,
	VMCS_ENTRY_INTERRUPTION_INFO		= 0x4016,
	VMCS_ENTRY_EXCEPTION_ERROR		= 0x4018,
	VMCS_ENTRY_INSTRUCTION_LENGTH		= 0x401a,
	VMCS_TPR_THRESHOLD			= 0x401c,
	VMCS_SECONDARY_CONTROLS			= 0x401e,
	VMCS_PLE_GAP				= 0x4020,
	VMCS_PLE_WINDOW				= 0x4022,
	/* 32-bit read-only data fields */
	VMCS_INSTRUCTION_ERROR			= 0x4400,
	VMCS_EXIT_REASON			= VMCS_EXIT_REASON_ENCODING,
	VMCS_EXIT_INTERRUPTION_INFO		= 0x4404,
	VMCS_EXIT_INTERRUPTION_ERROR		= 0x4406,
	VMCS_IDT_VECTORING_INFO			= 0x4408,
	VMCS_IDT_VECTORING_ERROR		= 0x440a,
	VMCS_EXIT_INSTRUCTION_LENGTH		= 0x440c,
	VMCS_EXIT_INSTRUCTION_INFO		= 0x440e,
	/* 32-bit guest-state fields: limits and access rights in the order of the selectors */
	VMCS_GUEST_ES_LIMIT			= 0x4800,
	VMCS_GUEST_GDTR_LIMIT			= 0x4810,
	VMCS_GUEST_IDTR_LIMIT			= 0x4812,
	VMCS_GUEST_ES_ACCESS_RIGHTS		= 0x4814,
	VMCS_GUEST_INTERRUPTIBILITY		= 0x4824,
	VMCS_GUEST_ACTIVITY			= 0x4826,
	VMCS_GUEST_IA32_SYSENTER_CS		= 0x482a,
	VMCS_PREEMPTION_TIMER			= 0x482e,
	/* 32-bit host-state field */
	VMCS_HOST_IA32_SYSENTER_CS		= 0x4c00,
	/* Natural-width control fields */
	VMCS_CR0_MASK				= 0x6000,
	VMCS_CR4_MASK				= 0x6002,
	VMCS_CR0_READ_SHADOW			= 0x6004,
	VMCS_CR4_READ_SHADOW			= 0x6006,
	/* Natural-width read-only data fields */
	VMCS_EXIT_QUALIFICATION			= 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS		= 0x640a,
	/* Natural-width guest-state fields: bases in the order of the selectors */
	VMCS_GUEST_CR0				= 0x6800,
	VMCS_GUEST_CR3				= 0x6802,
	VMCS_GUEST_CR4				= 0x6804,
	VMCS_GUEST_ES_BASE			= 0x6806,
	VMCS_GUEST_GDTR_BASE			= 0x6816,
	VMCS_GUEST_IDTR_BASE			= 0x6818,
	VMCS_GUEST_DR7				= 0x681a,
	VMCS_GUEST_RSP				= 0x681c,
	VMCS_GUEST_RIP				= 0x681e,
	VMCS_GUEST_RFLAGS			= 0x6820,
	VMCS_GUEST_PENDING_DEBUG		= 0x6822,
	VMCS_GUEST_IA32_SYSENTER_ESP		= 0x6824,
	VMCS_GUEST_IA32_SYSENTER_EIP		= 0x6826,
	/* Natural-width host-state fields */
	VMCS_HOST_CR0				= 0x6c00,
	VMCS_HOST_CR3				= 0x6c02,
	VMCS_HOST_CR4				= 0x6c04,
	VMCS_HOST_FS_BASE			= 0x6c06,
	VMCS_HOST_GS_BASE			= 0x6c08,
	VMCS_HOST_TR_BASE			= 0x6c0a,
	VMCS_HOST_GDTR_BASE			= 0x6c0c,
	VMCS_HOST_IDTR_BASE			= 0x6c0e,
	VMCS_HOST_IA32_SYSENTER_ESP		= 0x6c10,
	VMCS_HOST_IA32_SYSENTER_EIP		= 0x6c12,
	VMCS_HOST_RSP				= VMCS_HOST_RSP_ENCODING,
	VMCS_HOST_RIP				= 0x6c16,
	VMCS_HOST_IA32_S_CET			= 0x6c18,
	VMCS_HOST_SSP				= 0x6c1a,
	VMCS_HOST_IA32_INTERRUPT_SSP_TABLE	= 0x6c1c,
};

#define VMCS_NO_LINK		(~0ULL)	/* VMCS link pointer without a shadow VMCS */
#define VMCS_NONE		(~0ULL)	/* VMPTRST without a current VMCS */

/* "Pin-Based VM-Execution Controls" */
#define PIN_EXTERNAL_INTERRUPT_EXITING	BIT(0)
#define PIN_NMI_EXITING			BIT(3)
#define PIN_VIRTUAL_NMIS		BIT(5)
#define PIN_PREEMPTION_TIMER		BIT(6)

/* "Processor-Based VM-Execution Controls": primary */
#define PRI_INTERRUPT_WINDOW_EXITING	BIT(2)
#define PRI_TSC_OFFSETTING		BIT(3)
#define PRI_HLT_EXITING			BIT(7)
#define PRI_INVLPG_EXITING		BIT(9)
#define PRI_MWAIT_EXITING		BIT(10)
#define PRI_RDPMC_EXITING		BIT(11)
#define PRI_RDTSC_EXITING		BIT(12)
#define PRI_CR3_LOAD_EXITING		BIT(15)
#define PRI_CR3_STORE_EXITING		BIT(16)
#define PRI_CR8_LOAD_EXITING		BIT(19)
#define PRI_CR8_STORE_EXITING		BIT(20)
#define PRI_USE_TPR_SHADOW		BIT(21)
#define PRI_NMI_WINDOW_EXITING		BIT(22)
#define PRI_MOV_DR_EXITING		BIT(23)
#define PRI_USE_IO_BITMAPS		BIT(25)
#define PRI_MONITOR_TRAP_FLAG		BIT(27)
#define PRI_USE_MSR_BITMAPS		BIT(28)
#define PRI_MONITOR_EXITING		BIT(29)
#define PRI_ACTIVATE_SECONDARY		BIT(31)

/* ... and secondary */
#define SEC_VIRTUALIZE_APIC_ACCESSES	BIT(0)
#define SEC_ENABLE_EPT			BIT(1)
#define SEC_ENABLE_RDTSCP		BIT(3)
#define SEC_VIRTUALIZE_X2APIC_MODE	BIT(4)
#define SEC_ENABLE_VPID			BIT(5)
#define SEC_WBINVD_EXITING		BIT(6)
#define SEC_UNRESTRICTED_GUEST		BIT(7)
#define SEC_APIC_REGISTER_VIRTUALIZATION BIT(8)
#define SEC_VIRTUAL_INTERRUPT_DELIVERY	BIT(9)
#define SEC_PAUSE_LOOP_EXITING		BIT(10)
#define SEC_ENABLE_INVPCID		BIT(12)
#define SEC_ENCLS_EXITING		BIT(15)
#define SEC_ENABLE_XSAVES		BIT(20)
#define SEC_USE_TSC_SCALING		BIT(25)
#define SEC_ENCLV_EXITING		BIT(28)

/* "VM-Exit Controls" */
#define EXIT_SAVE_DEBUG_CONTROLS	BIT(2)
#define EXIT_HOST_ADDRESS_SPACE_SIZE	BIT(9)
#define EXIT_LOAD_PERF_GLOBAL_CTRL	BIT(12)
#define EXIT_SAVE_PAT			BIT(18)
#define EXIT_LOAD_PAT			BIT(19)
#define EXIT_LOAD_EFER			BIT(21)
#define EXIT_LOAD_CET_STATE		BIT(28)

/* "VM-Entry Controls" */
#define ENTRY_LOAD_DEBUG_CONTROLS	BIT(2)
#define ENTRY_IA32E_MODE_GUEST		BIT(9)
#define ENTRY_LOAD_PERF_GLOBAL_CTRL	BIT(13)
#define ENTRY_LOAD_PAT			BIT(14)
#define ENTRY_LOAD_EFER			BIT(15)

/* IA32_VMX_BASIC, IA32_VMX_MISC, IA32_VMX_EPT_VPID_CAP: "VMX Capability Reporting Facility" */
#define BASIC_REVISION			GENMASK_ULL(30, 0)
#define BASIC_INS_OUTS_INFO		BIT_ULL(54)
#define BASIC_TRUE_CONTROLS		BIT_ULL(55)
#define BASIC_ANY_ERROR_CODE		BIT_ULL(56)
#define MISC_TIMER_SHIFT		GENMASK_ULL(4, 0)
#define MISC_PT_IN_VMX			BIT_ULL(14)
#define MISC_ZERO_LENGTH		BIT_ULL(30)
#define EPT_CAP_WALK_4			BIT_ULL(6)
#define EPT_CAP_WRITE_BACK		BIT_ULL(14)
#define EPT_CAP_2M			BIT_ULL(16)
#define EPT_CAP_1G			BIT_ULL(17)
#define EPT_CAP_INVEPT			BIT_ULL(20)
#define EPT_CAP_ACCESSED_DIRTY		BIT_ULL(21)
#define EPT_CAP_INVEPT_SINGLE		BIT_ULL(25)
#define EPT_CAP_INVEPT_ALL		BIT_ULL(26)
#define VPID_CAP_INVVPID		BIT_ULL(32)
#define VPID_CAP_INVVPID_SINGLE		BIT_ULL(41)

/* "Extended-Page-Table Pointer" */
#define EPTP_WRITE_BACK			6
#define EPTP_WALK(levels)		(((levels) - 1) << 3)
#define EPTP_ACCESSED_DIRTY		BIT_ULL(6)

/* "Basic VM-Exit Information": what else the exit reason says */
#define ER_BASIC			0xffff
#define ER_ENTRY_FAILURE		BIT(31)

enum vmx_exit_reason {
	ER_EXCEPTION_OR_NMI		= 0,
	ER_EXTERNAL_INTERRUPT		= 1,
	ER_TRIPLE_FAULT			= 2,
	ER_INIT				= 3,
	ER_INTERRUPT_WINDOW		= 7,
	ER_NMI_WINDOW			= 8,
	ER_TASK_SWITCH			= 9,
	ER_CPUID			= 10,
	ER_GETSEC			= 11,
	ER_HLT				= 12,
	ER_INVD				= 13,
	ER_RDPMC			= 15,
	ER_VMCALL			= 18,
	ER_VMCLEAR			= 19,
	ER_VMLAUNCH			= 20,
	ER_VMPTRLD			= 21,
	ER_VMPTRST			= 22,
	ER_VMREAD			= 23,
	ER_VMRESUME			= 24,
	ER_VMWRITE			= 25,
	ER_VMXOFF			= 26,
	ER_VMXON			= 27,
	ER_CR_ACCESS			= 28,
	ER_MOV_DR			= 29,
	ER_IO				= 30,
	ER_RDMSR			= 31,
	ER_WRMSR			= 32,
	ER_ENTRY_GUEST_STATE		= 33,
	ER_ENTRY_MSR_LOADING		= 34,
	ER_MWAIT			= 36,
	ER_MONITOR_TRAP_FLAG		= 37,
	ER_MONITOR			= 39,
	ER_PAUSE			= 40,
	ER_ENTRY_MACHINE_CHECK		= 41,
	ER_TPR_BELOW_THRESHOLD		= 43,
	ER_APIC_ACCESS			= 44,
	ER_VIRTUALIZED_EOI		= 45,
	ER_EPT_VIOLATION		= 48,
	ER_EPT_MISCONFIGURATION		= 49,
	ER_INVEPT			= 50,
	ER_PREEMPTION_TIMER		= 52,
	ER_INVVPID			= 53,
	ER_WBINVD			= 54,
	ER_XSETBV			= 55,
	ER_APIC_WRITE			= 56,
	ER_VMFUNC			= 59,
	ER_ENCLS			= 60,
	ER_ENCLV			= 70,
	NR_EXIT_REASONS,
};

/* "Exit Qualification for I/O Instructions" */
#define IO_IN				BIT(3)
#define IO_STRING			BIT(4)
#define IO_REP				BIT(5)

/* "Exit Qualification for EPT Violations" */
#define EPTQ_READ			BIT(0)
#define EPTQ_WRITE			BIT(1)
#define EPTQ_FETCH			BIT(2)
#define EPTQ_READABLE			BIT(3)	/* all entries that were used allow reading */
#define EPTQ_LINEAR_VALID		BIT(7)
#define EPTQ_FINAL			BIT(8)	/* not on a paging-structure entry */
#define EPTQ_NMI_UNBLOCKED		BIT(12)

/* "Exit Qualification for APIC-Access VM Exits" */
#define APICQ_OFFSET			GENMASK(11, 0)
#define APICQ_TYPE(q)			((q) >> 12 & 0xf)
#define APICQ_READ			0
#define APICQ_WRITE			1
#define APICQ_FETCH			2
#define APICQ_DELIVERY			3	/* of an event; linear, as those above */

/* "Guest Non-Register State": guest interrupt status, requesting and servicing virtual interrupt */
#define INTERRUPT_STATUS(rvi, svi)	((u8)(rvi) | (u8)(svi) << 8)

/* "Information for VM Exits Due to Vectored Events", "VM-Entry Controls for Event Injection" */
#define EI_VECTOR			0xff
#define EI_TYPE				GENMASK(10, 8)
#define EI_TYPE_EXTERNAL_INTERRUPT	(0 << 8)
#define EI_TYPE_NMI			(2 << 8)
#define EI_TYPE_HARDWARE_EXCEPTION	(3 << 8)
#define EI_TYPE_SOFTWARE_INTERRUPT	(4 << 8)
#define EI_TYPE_PRIVILEGED_EXCEPTION	(5 << 8)	/* INT1 */
#define EI_TYPE_SOFTWARE_EXCEPTION	(6 << 8)	/* INT3, INTO */
#define EI_ERROR_VALID			BIT(11)
#define EI_NMI_UNBLOCKED		BIT(12)
#define EI_VALID			BIT(31)

/* "Guest Non-Register State": interruptibility state */
#define INTERRUPTIBILITY_STI		BIT(0)
#define INTERRUPTIBILITY_MOV_SS		BIT(1)
#define INTERRUPTIBILITY_NMI		BIT(3)

#define PENDING_DEBUG_BS		BIT(14)

/* Operands of INVEPT and INVVPID */
enum invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum invvpid_type { INVVPID_SINGLE = 1 };

struct invept_desc {
	u64 eptp;
	u64 reserved;
};

static_assert(sizeof(struct invept_desc) == 16);

struct invvpid_desc {
	u64 vpid;	/* 16 bits, the rest is reserved */
	u64 linear;
};

static_assert(sizeof(struct invvpid_desc) == 16);

/*
 * Reads and writes of fields that are known to exist do not look at VMfail. A fault reads zero.
 * Context: window.
 */
static __always_inline u64 vmcs_read(enum vmcs_field field)
{
	u64 value;

	asm volatile("1:	vmread %[field], %[value]\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE(1b, 2b, EX_TYPE_DEFAULT | EX_FLAG_CLEAR_AX)
		     : [value] "=&a" (value) : [field] "r" ((u64)field) : "cc");
	return value;
}

static __always_inline void vmcs_write(enum vmcs_field field, u64 value)
{
	asm volatile("1:	vmwrite %[value], %[field]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     :: [value] "r" (value), [field] "r" ((u64)field) : "cc");
}

/*
 * Instructions with one operand in memory; they fail with CF or ZF (VMfail). A fault leaves CF as
 * it was, and means that the processor is not in VMX operation or does not allow it.
 */
#define VMX_MEMORY_INSN(insn, pa) ({					\
	bool failed;							\
									\
	asm volatile("	stc\n"						\
		     "1:	" insn " %0\n"				\
		     "2:\n"						\
		     _ASM_EXTABLE(1b, 2b)				\
		     : "+m" (*(pa)), "=@ccna" (failed) :: "memory");	\
	failed;								\
})

static __always_inline bool vmx_on(u64 *pa)
{
	return VMX_MEMORY_INSN("vmxon", pa);
}

static __always_inline bool vmcs_load(u64 *pa)
{
	return VMX_MEMORY_INSN("vmptrld", pa);
}

/* Which VMCS is current, VMCS_NONE for none */
static __always_inline bool vmcs_store(u64 *pa)
{
	return VMX_MEMORY_INSN("vmptrst", pa);
}

static __always_inline bool vmcs_clear(u64 *pa)
{
	return VMX_MEMORY_INSN("vmclear", pa);
}

static __always_inline void vmx_off(void)
{
	asm volatile("1:	vmxoff\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     ::: "cc", "memory");
}

static inline void ept_flush(enum invept_type type, u64 eptp)
{
	struct invept_desc desc = { .eptp = eptp };

	asm volatile("1:	invept %[desc], %[type]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     :: [desc] "m" (desc), [type] "r" ((u64)type) : "cc", "memory");
}

static inline void vpid_flush(enum invvpid_type type, u16 vpid)
{
	struct invvpid_desc desc = { .vpid = vpid };

	asm volatile("1:	invvpid %[desc], %[type]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     :: [desc] "m" (desc), [type] "r" ((u64)type) : "cc", "memory");
}

#endif /* __ASSEMBLY__ */
#endif
