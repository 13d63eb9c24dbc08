// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests control of speculation (Intel, "Speculative Execution Side Channel Mitigations"; AMD,
 * "Software Techniques for Managing Speculation on AMD Processors").
 *
 *   IA32_SPEC_CTRL	the bits that the guest's CPUID announces. Until the first that is set the
 *			host's value stays on the CPU, and the MSR exits: guests that do without it
 *			pay nothing, and run with whatever the host protects itself by. From then
 *			on the guest's value is on the CPU while it runs; entry code exchanges the
 *			two (svm_entry.S, vmx_entry.S). Where the processor would take no other bit
 *			than the guest may set, the MSR then exits no more.
 *   IA32_PRED_CMD	IBPB, done on the CPU. A guest orders it for the one that it runs on: the
 *			others are remembered by a barrier at each arrival on a CPU.
 *   IA32_ARCH_CAPABILITIES
 *			what the host's processor says of itself and of VERW, as far as it holds in
 *			a guest; the VMM may take away from that. Nothing that stands for another
 *			MSR (TSX_CTRL, GDS_CTRL, FB_CLEAR_CTRL, XAPIC_DISABLE) or is for those who
 *			run guests (SKIP_L1DFL_VMENTRY).
 *
 * The VMM can always read and write SPEC_CTRL and ARCH_CAPABILITIES, so that images have the same
 * MSRs on all hosts; values that the vCPU cannot have are refused.
 */
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <linux/bits.h>
#include <linux/kernel.h>
#include "compat.h"
#include "cpuid.h"
#include "spec.h"
#include "vcpu/vcpu.h"

#define LEAF7_EDX_SPEC_CTRL		26	/* IBRS and IBPB */
#define LEAF7_EDX_ARCH_CAPABILITIES	29
#define LEAFX8_EBX_IBPB			12

/* Leaf 7, subleaf 2, EDX: more bits of IA32_SPEC_CTRL, which guests do not get */
#define LEAF72_EDX_CONTROLS	GENMASK(4, 0)

/* Bits of IA32_SPEC_CTRL, and where CPUID announces them: leaf 7 is Intel's, the other AMD's */
static const struct {
	u32 function;
	u8 reg, bit;
	u8 control;
} controls[] = {
	{ 7, CPUID_EDX, LEAF7_EDX_SPEC_CTRL, BIT(0) /* IBRS */ },
	{ 7, CPUID_EDX, 27, BIT(1) /* STIBP */ },
	{ 7, CPUID_EDX, 31, BIT(2) /* SSBD */ },
	{ 0x80000008, CPUID_EBX, 14, BIT(0) },
	{ 0x80000008, CPUID_EBX, 15, BIT(1) },
	{ 0x80000008, CPUID_EBX, 24, BIT(2) },
	{ 0x80000008, CPUID_EBX, 28, BIT(7) /* PSFD */ },
};

/* RDCL_NO, IBRS_ALL, RSBA; SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO; ... */
#define ARCH_CAPS	(GENMASK_ULL(2, 0) | GENMASK_ULL(6, 4) |			\
			 BIT_ULL(8) /* TAA_NO */ |					\
			 GENMASK_ULL(15, 13) /* SBDR_SSDP_NO, FBSDP_NO, PSDP_NO */ |	\
			 BIT_ULL(17) /* FB_CLEAR */ |					\
			 GENMASK_ULL(20, 19) /* RRSBA, BHI_NO */ |			\
			 BIT_ULL(24) /* PBRSB_NO */ |					\
			 GENMASK_ULL(28, 26) /* GDS_NO, RFDS_NO, RFDS_CLEAR */ |	\
			 BIT_ULL(62) /* ITS_NO */)

/* Of the host's processor: immutable after load */
static u64 host_arch_caps;
static u64 host_controls;	/* what guests may have */
static bool more_controls;	/* ... and there are others */

static bool host_has(u32 function, u32 index, int reg, u32 bits)
{
	u32 r[4];

	if (cpuid_eax(function & 0x80000000) < function)
		return false;
	cpuid_count(function, index, &r[CPUID_EAX], &r[CPUID_EBX], &r[CPUID_ECX], &r[CPUID_EDX]);
	return r[reg] & bits;
}

void hvx_spec_start(void)
{
	int i;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		host_arch_caps = hvx_rdmsr(MSR_IA32_ARCH_CAPABILITIES) & ARCH_CAPS;
	for (i = 0; i < ARRAY_SIZE(controls); i++)
		if (host_has(controls[i].function, 0, controls[i].reg, BIT(controls[i].bit)))
			host_controls |= controls[i].control;
	/* A subleaf that there is not reads as zeroes */
	more_controls = host_has(7, 2, CPUID_EDX, LEAF72_EDX_CONTROLS);
}

bool hvx_spec_can_pass(void)
{
	return host_controls && !more_controls;
}

void hvx_spec_reset(struct hvx_vcpu *vcpu)
{
	vcpu->regs.spec_ctrl = 0;
	vcpu->spec.arch_caps = host_arch_caps;
}

static void set_ctrl(struct hvx_vcpu *vcpu, u64 value, bool own)
{
	vcpu->regs.spec_ctrl = value;
	if (own == vcpu->spec.own)
		return;
	vcpu->spec.own = own;
	hvx_changed(vcpu, RM(SPEC_CTRL));
}

void hvx_spec_cpuid(struct hvx_vcpu *vcpu)
{
	struct hvx_spec *spec = &vcpu->spec;
	int i;

	spec->ctrl = 0;
	for (i = 0; i < ARRAY_SIZE(controls); i++)
		if (hvx_cpuid_has(vcpu, controls[i].function, controls[i].reg, controls[i].bit))
			spec->ctrl |= controls[i].control;
	spec->pass = hvx_spec_can_pass() && spec->ctrl == host_controls;
	spec->has_barrier = hvx_cpuid_has(vcpu, 7, CPUID_EDX, LEAF7_EDX_SPEC_CTRL) ||
			    hvx_cpuid_has(vcpu, 0x80000008, CPUID_EBX, LEAFX8_EBX_IBPB);
	spec->has_arch_caps = hvx_cpuid_has(vcpu, 7, CPUID_EDX, LEAF7_EDX_ARCH_CAPABILITIES);
	if (vcpu->regs.spec_ctrl & ~spec->ctrl)
		set_ctrl(vcpu, 0, false);
}

void hvx_spec_moved(struct hvx_vcpu *vcpu)
{
	if (vcpu->spec.barrier)
		hvx_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
}

/* In a window at once; else before the next entry, as for a CPU that it comes to */
static void order_barrier(struct hvx_vcpu *vcpu)
{
	vcpu->spec.barrier = true;
	if (vcpu->window_cpu >= 0)
		hvx_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	else
		vcpu->last_cpu = -1;
}

bool hvx_spec_msr_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value, bool host)
{
	switch (index) {
	case MSR_IA32_SPEC_CTRL:
		*value = vcpu->regs.spec_ctrl;
		return host || vcpu->spec.ctrl;
	case MSR_IA32_ARCH_CAPABILITIES:
		*value = vcpu->spec.has_arch_caps ? vcpu->spec.arch_caps : 0;
		return host || vcpu->spec.has_arch_caps;
	}
	return false;
}

bool hvx_spec_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host)
{
	const struct hvx_spec *spec = &vcpu->spec;

	switch (index) {
	case MSR_IA32_SPEC_CTRL:
		if (value & ~spec->ctrl || !(host || spec->ctrl))
			return false;
		set_ctrl(vcpu, value, value || (spec->own && !host));
		return true;
	case MSR_IA32_PRED_CMD:
		if (host || !spec->has_barrier || value & ~PRED_CMD_IBPB)
			return false;
		if (value)
			order_barrier(vcpu);
		return true;
	case MSR_IA32_ARCH_CAPABILITIES:
		if (!host || value & ~(spec->has_arch_caps ? host_arch_caps : 0))
			return false;
		if (spec->has_arch_caps)
			vcpu->spec.arch_caps = value;
		return true;
	}
	return false;
}
