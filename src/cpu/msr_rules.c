// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that are a value and nothing else: the lines that both vendors share, and the machinery.
 *
 * MTRRs are kept and checked, and have no effect: guest memory is RAM of the host, and write-back
 * (devices that are assigned get their type from the second-level tables). Machine checks of the
 * host are not the guest's; its banks are there for a VMM that wants to report one.
 */
#include <asm/msr-index.h>
#include <linux/bits.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include "msr.h"
#include "msr_rules.h"

#define IA32_MTRRCAP		0xfe
#define IA32_MTRR_PHYSBASE0	0x200
#define IA32_MTRR_FIX64K_00000	0x250
#define IA32_MTRR_FIX16K_80000	0x258
#define IA32_MTRR_FIX4K_C0000	0x268
#define IA32_MTRR_DEF_TYPE	0x2ff

#define MTRR_VARIABLE	8
#define MTRR_CAP	(MTRR_VARIABLE | BIT_ULL(8) /* fixed */ | BIT_ULL(10) /* WC */)
#define MTRR_DEF_KNOWN	(0xff | BIT_ULL(10) | BIT_ULL(11))
#define MTRR_MASK_VALID	BIT_ULL(11)

#define MC_BANKS	10
#define MC_CAP		(MC_BANKS | BIT_ULL(8) /* MCG_CTL_P */)

/* Intel SDM vol. 3A, "Memory Cache Control": UC, WC, WT, WP, WB */
static bool memory_type(u8 type)
{
	return type < 8 && BIT(type) & (BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6));
}

static bool mtrr_fixed(u32 index, u64 value, bool host)
{
	int i;

	for (i = 0; i < 64; i += 8)
		if (!memory_type(value >> i))
			return false;
	return true;
}

static bool mtrr_default(u32 index, u64 value, bool host)
{
	return memory_type(value);
}

static bool mtrr_variable(u32 index, u64 value, bool host)
{
	if (value >> hvx_gpa_bits())
		return false;
	if (index & 1)
		return !(value & (MTRR_MASK_VALID - 1));
	return !(value & 0xf00) && memory_type(value);
}

bool hvx_msr_zero_or_ones(u32 index, u64 value, bool host)
{
	return !value || !~value;
}

/* Intel SDM vol. 3B, "Error-Reporting Register Banks": CTL, STATUS, ADDR, MISC of each bank */
static bool mc_bank(u32 index, u64 value, bool host)
{
	switch (index & 3) {
	case 0:
		return hvx_msr_zero_or_ones(index, value, host);
	case 1:
		return host || !value;
	}
	return true;
}

/*
 * IA32_MISC_ENABLE: switches that do nothing here may be thrown. Not those that take features away
 * (limit CPUID, disable XD) or stand for ones that there are none (MONITOR).
 */
#define MISC_ENABLE_RESET	(MSR_IA32_MISC_ENABLE_FAST_STRING | \
				 MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | \
				 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)
#define MISC_ENABLE_WRITABLE	(MSR_IA32_MISC_ENABLE_FAST_STRING | MSR_IA32_MISC_ENABLE_TM1 | \
				 MSR_IA32_MISC_ENABLE_PREFETCH_DISABLE | \
				 MSR_IA32_MISC_ENABLE_TM2 | \
				 MSR_IA32_MISC_ENABLE_ENHANCED_SPEEDSTEP | \
				 MSR_IA32_MISC_ENABLE_ADJ_PREF_DISABLE | \
				 MSR_IA32_MISC_ENABLE_XTPR_DISABLE | \
				 MSR_IA32_MISC_ENABLE_DCU_PREF_DISABLE | \
				 MSR_IA32_MISC_ENABLE_TURBO_DISABLE)

static struct hvx_msr_rule common[] = {
	/* Who reads or writes it stands behind each line; "firmware": SeaBIOS, OVMF */
	{ MSR_IA32_MISC_ENABLE, 1, MSR_STORED,			/* Linux and Windows at boot */
	  .reset = MISC_ENABLE_RESET, .writable = MISC_ENABLE_WRITABLE },
	{ 0x00, 2, MSR_DEAF },			/* P5_MC_ADDR, _TYPE: old machine-check handlers */
	{ IA32_MTRRCAP, 1, MSR_FIXED, .reset = MTRR_CAP },	/* all systems */
	{ MSR_IA32_MCG_CAP, 1, MSR_FIXED, .reset = MC_CAP },	/* all systems */
	{ MSR_IA32_MCG_STATUS, 1, MSR_STORED, .writable = 7 },	/* ditto, machine checks */
	{ MSR_IA32_MCG_CTL, 1, MSR_STORED, .writable = ~0ULL, .valid = hvx_msr_zero_or_ones },
	{ MSR_IA32_LASTBRANCHFROMIP, 4, MSR_FIXED },		/* debuggers; there is no LBR */
	{ IA32_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE, MSR_STORED,	/* firmware, all systems */
	  .writable = ~0ULL, .valid = mtrr_variable },
	{ IA32_MTRR_FIX64K_00000, 1, MSR_STORED, .writable = ~0ULL, .valid = mtrr_fixed },
	{ IA32_MTRR_FIX16K_80000, 2, MSR_STORED, .writable = ~0ULL, .valid = mtrr_fixed },
	{ IA32_MTRR_FIX4K_C0000, 8, MSR_STORED, .writable = ~0ULL, .valid = mtrr_fixed },
	{ IA32_MTRR_DEF_TYPE, 1, MSR_STORED, .writable = MTRR_DEF_KNOWN, .valid = mtrr_default },
	{ MSR_IA32_MC0_CTL, 4 * MC_BANKS, MSR_STORED,		/* all systems at boot */
	  .writable = ~0ULL, .valid = mc_bank },
};

/* State MSRs that have a case of their own in msr.c */
static const u32 special[] = {
	MSR_IA32_TSC, MSR_IA32_APICBASE, MSR_IA32_TSC_ADJUST, MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_IA32_CR_PAT, MSR_IA32_DEBUGCTLMSR,
	MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW,
	MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL, MSR_IA32_SPEC_CTRL,
	MSR_IA32_ARCH_CAPABILITIES,
};

u32 hvx_msr_list[HVX_MAX_MSRS];
u32 hvx_nr_msrs;

#define HINT_BITS	10
#define HINT_SEVERAL	U8_MAX

/* By hash of the MSR: number of the only rule that has one with it, + 1. Immutable after load. */
static u8 hint[1 << HINT_BITS];

/* Rules are numbered: the common ones, then the vendor's */
static const struct hvx_msr_rule *rule_at(unsigned int nr)
{
	return nr < ARRAY_SIZE(common) ? &common[nr] : &hvx_ops->msr_rules[nr - ARRAY_SIZE(common)];
}

static void fill_hints(void)
{
	unsigned int nr, i;

	for (nr = 0; nr < ARRAY_SIZE(common) + hvx_ops->nr_msr_rules; nr++) {
		const struct hvx_msr_rule *rule = rule_at(nr);

		for (i = 0; i < rule->nr; i++) {
			u8 *h = &hint[hash_32(rule->first + i, HINT_BITS)];

			*h = *h || nr + 1 >= HINT_SEVERAL ? HINT_SEVERAL : nr + 1;
		}
	}
}

static void list_msr(u32 index)
{
	if (!WARN_ON_ONCE(hvx_nr_msrs >= HVX_MAX_MSRS))
		hvx_msr_list[hvx_nr_msrs++] = index;
}

static unsigned int take_slots(struct hvx_msr_rule *rule, size_t n, unsigned int slot)
{
	u32 i;

	for (; n--; rule++) {
		if (rule->kind != MSR_STORED)
			continue;
		if (WARN_ON_ONCE(slot + rule->nr > HVX_MSR_VALUES))
			rule->nr = 0;
		rule->slot = slot;
		slot += rule->nr;
		for (i = 0; i < rule->nr; i++)
			list_msr(rule->first + i);
	}
	return slot;
}

void hvx_msr_rules_start(void)
{
	unsigned int slot, i;

	for (i = 0; i < ARRAY_SIZE(special); i++)
		list_msr(special[i]);
	WARN_ON_ONCE(common[0].first != MSR_IA32_MISC_ENABLE);
	/*
	 * Where REP MOVS and REP STOS are slow by a switch of the host's, guests are to know. The
	 * kernel then has neither; of some processors it never says REP_GOOD.
	 */
	if (!boot_cpu_has(X86_FEATURE_REP_GOOD) && !boot_cpu_has(X86_FEATURE_ERMS))
		common[0].reset &= ~(u64)MSR_IA32_MISC_ENABLE_FAST_STRING;
	slot = take_slots(common, ARRAY_SIZE(common), 0);
	take_slots(hvx_ops->msr_rules, hvx_ops->nr_msr_rules, slot);
	fill_hints();
}

static bool covers(const struct hvx_msr_rule *rule, u32 index)
{
	return index - rule->first < rule->nr;
}

static const struct hvx_msr_rule *find_in(const struct hvx_msr_rule *rule, size_t n, u32 index)
{
	for (; n--; rule++)
		if (covers(rule, index))
			return rule;
	return NULL;
}

/* Guests ask for MSRs that there are not: most often no rule has the same hash */
static const struct hvx_msr_rule *find(u32 index)
{
	u8 nr = hint[hash_32(index, HINT_BITS)];

	if (likely(!nr))
		return NULL;
	if (nr != HINT_SEVERAL)
		return covers(rule_at(nr - 1), index) ? rule_at(nr - 1) : NULL;
	return find_in(common, ARRAY_SIZE(common), index) ?:
	       find_in(hvx_ops->msr_rules, hvx_ops->nr_msr_rules, index);
}

static unsigned int slot_of(const struct hvx_msr_rule *rule, u32 index)
{
	return array_index_nospec(rule->slot + (index - rule->first), HVX_MSR_VALUES);
}

static void reset_all(struct hvx_vcpu *vcpu, const struct hvx_msr_rule *rule, size_t n)
{
	u32 i;

	for (; n--; rule++)
		for (i = 0; rule->kind == MSR_STORED && i < rule->nr; i++)
			vcpu->msr_values[rule->slot + i] = rule->reset;
}

void hvx_msr_rules_reset(struct hvx_vcpu *vcpu)
{
	reset_all(vcpu, common, ARRAY_SIZE(common));
	reset_all(vcpu, hvx_ops->msr_rules, hvx_ops->nr_msr_rules);
}

bool hvx_msr_rule_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value)
{
	const struct hvx_msr_rule *rule = find(index);

	if (!rule || rule->kind == MSR_COMMAND)
		return false;
	*value = rule->kind == MSR_STORED ? vcpu->msr_values[slot_of(rule, index)] : rule->reset;
	return true;
}

bool hvx_msr_rule_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host)
{
	const struct hvx_msr_rule *rule = find(index);

	if (!rule)
		return false;
	switch (rule->kind) {
	case MSR_DEAF:
	case MSR_COMMAND:
		return true;
	case MSR_FIXED:
		/* A VMM may write what it has read */
		return host && value == rule->reset;
	}
	if ((value ^ rule->reset) & ~rule->writable ||
	    (rule->valid && !rule->valid(index, value, host)))
		return false;
	vcpu->msr_values[slot_of(rule, index)] = value;
	return true;
}
