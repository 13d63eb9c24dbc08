// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusals at load: a processor is made up that has all, then one thing after the other is taken
 * from it. Each has to be refused with a message that names the cause and the way out, and what
 * is only of use, not needed, must not be missed. Bits are those of the manuals' tables.
 */
#include <errno.h>
#include <linux/kernel.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "svm/svm_caps.h"
#include "tap.h"
#include "vmx/vmx_caps.h"

#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <linux/smp.h>

#define MSR_VM_CR		0xc0010114
#define BASIC_TRUE		BIT_ULL(55)
#define CPUID_1_ECX_VMX		BIT(5)
#define CPUID_80000001_ECX_SVM	BIT(2)
#define LOCKED_ON		5

/* The capability MSRs of control words, in pairs: default1 and, where there is one, "true" */
static const struct word {
	const char *name;
	u32 msr, true_msr;
	u32 needed;		/* bits without which there is a refusal */
	const char *names[32];
} words[] = {
	{ "pin-based", 0x481, 0x48d, 0x29, {
		[0] = "external-interrupt exiting", [3] = "NMI exiting", [5] = "virtual NMIs" } },
	{ "primary", 0x482, 0x48e, 0xbad80c8c, {
		[2] = "interrupt-window exiting", [3] = "use TSC offsetting", [7] = "HLT exiting",
		[10] = "MWAIT exiting", [11] = "RDPMC exiting", [19] = "CR8-load exiting",
		[20] = "CR8-store exiting", [22] = "NMI-window exiting", [23] = "MOV-DR exiting",
		[25] = "use I/O bitmaps", [27] = "monitor trap flag", [28] = "use MSR bitmaps",
		[29] = "MONITOR exiting", [31] = "enable EPT" } },
	{ "secondary", 0x48b, 0x48b, 0xc2, {
		[1] = "enable EPT", [6] = "WBINVD exiting", [7] = "unrestricted guest" } },
	{ "exit", 0x483, 0x48f, 0x200204, {
		[2] = "save debug controls", [9] = "host address-space size",
		[21] = "load IA32_EFER on exit" } },
	{ "entry", 0x484, 0x490, 0x8004, {
		[2] = "load debug controls", [15] = "load IA32_EFER on entry" } },
};

#define NR_WORDS	ARRAY_SIZE(words)

/* ---------------------------------------------------------------- the processor made up */

#define NR_MSRS		24

static struct {
	struct {
		u32 index;
		u64 value;
	} msrs[NR_MSRS];
	unsigned int nr_msrs;
	u32 vmx_leaf, svm_leaf, max_leaf, svm_features;
	u64 cr4;
	bool nested;
	int cpu, odd_cpu;	/* CPU whose IA32_FEATURE_CONTROL is 0 */
} machine;

static char said[1024];
unsigned int tsc_khz = 2000000;

int shim_pr_err(const char *fmt, ...)
{
	size_t used = strlen(said);
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(said + used, sizeof(said) - used, fmt, args);
	va_end(args);
	return n;
}

static u64 *find_msr(u32 msr)
{
	unsigned int i;

	for (i = 0; i < machine.nr_msrs; i++)
		if (machine.msrs[i].index == msr)
			return &machine.msrs[i].value;
	return NULL;
}

static void set_msr(u32 msr, u64 value)
{
	u64 *slot = find_msr(msr);

	if (!slot) {
		REQUIRE(machine.nr_msrs < NR_MSRS);
		machine.msrs[machine.nr_msrs].index = msr;
		slot = &machine.msrs[machine.nr_msrs++].value;
	}
	*slot = value;
}

bool shim_msr_exists(u32 msr)
{
	return find_msr(msr);
}

/* One that is not there is #GP, which would be the end of the host */
u64 shim_rdmsr(u32 msr)
{
	if (machine.cpu == machine.odd_cpu && msr == MSR_IA32_FEAT_CTL)
		return 0;
	REQUIRE(shim_msr_exists(msr), "MSR %#x is read, which this processor does not have", msr);
	return *find_msr(msr);
}

u32 shim_cpuid(u32 leaf, int reg)
{
	switch (leaf) {
	case 1:
		return reg == 2 ? machine.vmx_leaf : 0;
	case 0x80000000:
		return reg == 0 ? machine.max_leaf : 0;
	case 0x80000001:
		return reg == 2 ? machine.svm_leaf : 0;
	case 0x8000000a:
		return reg == 3 ? machine.svm_features : reg == 1 ? 8 : 0;
	}
	return 0;
}

u64 shim_cr4(void)
{
	return machine.cr4;
}

bool shim_cpu_has(int feature)
{
	return feature == X86_FEATURE_HYPERVISOR && machine.nested;
}

int raw_smp_processor_id(void)
{
	return machine.cpu;
}

void on_each_cpu(void (*fn)(void *arg), void *arg, int wait)
{
	for (machine.cpu = 3; machine.cpu >= 0; machine.cpu--)
		fn(arg);
	machine.cpu = 0;
}

void vmx_apicv_choose(struct vmx_caps *caps)
{
}

/* All bits of @word may be 1, but for those in @missing; none must */
static void set_word(const struct word *word, bool exact, u32 missing)
{
	set_msr(exact ? word->true_msr : word->msr, (u64)~missing << 32);
}

/* @exact: with the "true" MSRs. The others are all 0 then, and are not to be asked. */
static void make_vmx(bool exact)
{
	unsigned int i;

	memset(&machine, 0, sizeof(machine));
	machine.odd_cpu = -1;
	machine.vmx_leaf = CPUID_1_ECX_VMX;
	set_msr(MSR_IA32_FEAT_CTL, LOCKED_ON);
	set_msr(MSR_IA32_VMX_BASIC, 0x12 | BIT_ULL(54) | (exact ? BASIC_TRUE : 0));
	set_msr(MSR_IA32_VMX_MISC, 0);
	set_msr(MSR_IA32_VMX_CR0_FIXED0, 0x80000021);
	set_msr(MSR_IA32_VMX_CR0_FIXED1, ~0u);
	set_msr(MSR_IA32_VMX_CR4_FIXED0, 0x2000);
	set_msr(MSR_IA32_VMX_CR4_FIXED1, ~0u);
	set_msr(MSR_IA32_VMX_EPT_VPID_CAP, ~0ULL);
	for (i = 0; i < NR_WORDS; i++) {
		if (exact)
			set_msr(words[i].msr, 0);
		set_word(&words[i], exact, 0);
	}
}

static void make_svm(void)
{
	memset(&machine, 0, sizeof(machine));
	machine.svm_leaf = CPUID_80000001_ECX_SVM;
	machine.max_leaf = 0x8000001f;
	machine.svm_features = ~0u;
	set_msr(MSR_VM_CR, 0);
}

static void expect_refusal(int (*check)(void), int err, const char *cause, const char *way_out)
{
	int got;

	said[0] = '\0';
	got = check();
	EXPECT(got == err, "%d, not %d: %s", got, err, cause);
	EXPECT(strstr(said, cause), "'%s' says nothing of '%s'", said, cause);
	EXPECT(strstr(said, way_out), "'%s' says nothing of '%s'", said, way_out);
	EXPECT(strchr(said, '\n') == said + strlen(said) - 1, "not one line: '%s'", said);
}

static void expect_accepted(int (*check)(void), const char *what, unsigned int bit)
{
	int got;

	said[0] = '\0';
	got = check();
	EXPECT(!got, "%s bit %u: %d, %s", what, bit, got, said);
	EXPECT(!said[0], "%s bit %u: says %s", what, bit, said);
}

/* ---------------------------------------------------------------- VT-x */

TEST(vmx_absent)
{
	make_vmx(true);
	machine.vmx_leaf = 0;
	expect_refusal(vmx_check, -ENODEV, "this processor has no VT-x", "");
	machine.nested = true;
	expect_refusal(vmx_check, -ENODEV, "no VT-x",
		       "enable nested virtualization");
}

TEST(vmx_firmware)
{
	u32 value;

	/* Lock, inside SMX, outside SMX: only 1 and 4 together will do */
	for (value = 0; value < 8; value++) {
		make_vmx(true);
		set_msr(MSR_IA32_FEAT_CTL, value);
		if ((value & LOCKED_ON) == LOCKED_ON)
			expect_accepted(vmx_check, "IA32_FEATURE_CONTROL", value);
		else if (value & FEAT_CTL_LOCKED)
			expect_refusal(vmx_check, -ENODEV,
				       "firmware switched VT-x off (IA32_FEATURE_CONTROL)",
				       "in the firmware setup");
		else
			expect_refusal(vmx_check, -ENODEV, "IA32_FEATURE_CONTROL is not locked",
				       "in the firmware setup");
	}
}

TEST(vmx_fred)
{
	make_vmx(true);
	machine.cr4 = BIT_ULL(32);
	expect_refusal(vmx_check, -EOPNOTSUPP, "FRED", "fred=off");
}

/* Each bit of each control word taken away alone, with and without the "true" MSRs */
TEST(vmx_controls)
{
	unsigned int exact, i, bit;

	for (exact = 0; exact < 2; exact++)
		for (i = 0; i < NR_WORDS; i++)
			for (bit = 0; bit < 32; bit++) {
				make_vmx(exact);
				set_word(&words[i], exact, BIT(bit));
				if (words[i].needed & BIT(bit))
					expect_refusal(vmx_check, -EOPNOTSUPP, words[i].names[bit],
						       "Westmere");
				else
					expect_accepted(vmx_check, words[i].name, bit);
			}
}

/* The way out is another one in a virtual machine */
TEST(vmx_controls_nested)
{
	unsigned int i;

	for (i = 0; i < NR_WORDS; i++) {
		make_vmx(true);
		machine.nested = true;
		set_word(&words[i], true, words[i].needed);
		expect_refusal(vmx_check, -EOPNOTSUPP, "VT-x without \"",
			       "the hypervisor below does not offer it");
	}
}

/* A processor of before EPT lacks much; what it hears of is EPT */
TEST(vmx_before_ept)
{
	make_vmx(false);
	set_word(&words[1], false, BIT(27));
	set_word(&words[2], false, ~0x41u);
	set_word(&words[3], false, BIT(21));
	set_word(&words[4], false, BIT(15));
	expect_refusal(vmx_check, -EOPNOTSUPP, "enable EPT", "Westmere");
}

/* Exits that the processor does not let be switched off */
TEST(vmx_must)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		make_vmx(true);
		set_msr(0x48e, (u64)~0u << 32 | BIT(bit));
		if (bit == 9 || bit == 15 || bit == 16)
			expect_refusal(vmx_check, -EOPNOTSUPP,
				       "MOV to CR3 and INVLPG without exits", "Westmere");
		else
			expect_accepted(vmx_check, "must be 1:", bit);
	}
}

TEST(vmx_basic)
{
	make_vmx(true);
	set_msr(MSR_IA32_VMX_BASIC, 0x12 | BASIC_TRUE);
	expect_refusal(vmx_check, -EOPNOTSUPP, "instruction information for INS and OUTS",
		       "Westmere");
}

TEST(vmx_ept_capabilities)
{
	const u64 needed = BIT_ULL(6) | BIT_ULL(14) | BIT_ULL(20);
	const u64 either = BIT_ULL(25) | BIT_ULL(26);
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		make_vmx(true);
		set_msr(MSR_IA32_VMX_EPT_VPID_CAP, ~BIT_ULL(bit));
		if (needed & BIT_ULL(bit))
			expect_refusal(vmx_check, -EOPNOTSUPP,
				       "EPT with 4 levels, write-back memory and INVEPT",
				       "Westmere");
		else
			expect_accepted(vmx_check, "IA32_VMX_EPT_VPID_CAP", bit);
	}
	make_vmx(true);
	set_msr(MSR_IA32_VMX_EPT_VPID_CAP, ~either);
	expect_refusal(vmx_check, -EOPNOTSUPP, "INVEPT", "Westmere");
}

static u32 chosen_word(unsigned int i)
{
	const u32 chosen[] = {
		vmx_caps.pin, vmx_caps.primary, vmx_caps.secondary, vmx_caps.exit, vmx_caps.entry,
	};

	return chosen[i];
}

/* @bit is not there: no vCPU may have it. Then it is always there: each must. */
static void expect_chosen(unsigned int i, unsigned int bit)
{
	unsigned int k;

	make_vmx(true);
	set_word(&words[i], true, BIT(bit));
	vmx_caps_start();
	EXPECT(!(chosen_word(i) & BIT(bit)), "%s bit %u is set", words[i].name, bit);
	for (k = 0; k < NR_WORDS; k++)
		EXPECT_EQ(chosen_word(k) & words[k].needed, words[k].needed);
	set_msr(words[i].true_msr, (u64)~0u << 32 | BIT(bit));
	vmx_caps_start();
	EXPECT(chosen_word(i) & BIT(bit), "%s bit %u is not set", words[i].name, bit);
}

/* The words that vCPUs get: nothing that the processor does not allow, all that it insists on */
TEST(vmx_chosen)
{
	unsigned int i, bit;

	for (i = 0; i < NR_WORDS; i++)
		for (bit = 0; bit < 32; bit++)
			if (!(words[i].needed & BIT(bit)))
				expect_chosen(i, bit);
}

TEST(vmx_cpus_differ)
{
	make_vmx(true);
	vmx_caps_start();
	expect_accepted(vmx_check_all_cpus, "CPUs", 0);
	machine.odd_cpu = 2;
	expect_refusal(vmx_check_all_cpus, -ENODEV, "1 CPUs differ",
		       "update firmware or microcode");
}

/* ---------------------------------------------------------------- AMD-V */

TEST(svm_absent)
{
	make_svm();
	machine.svm_leaf = 0;
	expect_refusal(svm_check, -ENODEV, "no AMD-V",
		       "the hypervisor that this machine runs on hides it");
}

TEST(svm_firmware)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		make_svm();
		set_msr(MSR_VM_CR, BIT_ULL(bit));
		if (bit == 4)
			expect_refusal(svm_check, -EOPNOTSUPP, "VM_CR.SVMDIS", "enable SVM");
		else
			expect_accepted(svm_check, "VM_CR", bit);
	}
	/* Locked besides; and a processor without the register */
	set_msr(MSR_VM_CR, BIT(3) | BIT(4));
	expect_refusal(svm_check, -EOPNOTSUPP, "VM_CR.SVMDIS", "enable SVM");
	machine.nr_msrs = 0;
	expect_refusal(svm_check, -EOPNOTSUPP, "firmware", "enable SVM");
}

/* Nested paging is needed, nothing else */
TEST(svm_nested_paging)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		make_svm();
		machine.svm_features = ~BIT(bit);
		if (bit == 0)
			expect_refusal(svm_check, -EOPNOTSUPP, "AMD-V without nested paging",
				       "needs a later one");
		else
			expect_accepted(svm_check, "CPUID 8000000A EDX", bit);
	}
	make_svm();
	machine.max_leaf = 0x80000009;
	expect_refusal(svm_check, -EOPNOTSUPP, "AMD-V without nested paging",
		       "needs a later one");
}

TEST(svm_features)
{
	make_svm();
	machine.svm_features = BIT(0);
	svm_caps_start();
	EXPECT(!svm_has_nrip && !svm_features.decode);
	EXPECT(!svm_features.flush_asid && !svm_features.clean);
	machine.svm_features = BIT(0) | BIT(3) | BIT(5) | BIT(6) | BIT(7);
	svm_caps_start();
	EXPECT(svm_has_nrip && svm_features.decode);
	EXPECT(svm_features.flush_asid && svm_features.clean);
	EXPECT_EQ(svm_features.nr_asids, 8);
}
