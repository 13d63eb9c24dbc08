// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID.
 *
 *   supported table	the host's answers, each feature word masked by what hvx gives to guests
 *			and by what the host's kernel uses itself; topology and the leaves of
 *			the hypervisor are made up
 *   hvx_cpuid()	the answer to one question, on the hot path: no search for common leaves
 *   hvx_cpuid_set()	a VMM's table; features that hvx cannot give are refused, since a guest
 *			that believes in them would break
 *   derived values	CR4 and EFER bits that the guest may set, parts that follow CR4 and XCR0
 *
 * Topology: one package, one thread in each core, APIC ID = vCPU ID. What depends on vCPU and VM is
 * not in the table: numbers of processors, and shifts, that are 0 there are answered with those of
 * the VM. A VMM that wants another topology writes its own numbers; with one in leaf 1 all of them
 * are its own, also those that are 0.
 */
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/tsc.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include "args.h"
#include "compat.h"
#include "cpuid.h"
#include "cr.h"
#include "vcpu/fpu.h"
#include "msr.h"
#include "pv/pv.h"

/* Feature words and the bits of them that guests can have. Bit names: Intel SDM, "CPUID". */
#define LEAF1_ECX	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | \
			 GENMASK(23, 22) | GENMASK(26, 25) | GENMASK(30, 28) | BIT(20))
#define LEAF1_EBX_APIC_ID	0xff000000u
#define LEAF1_EBX_COUNT		0x00ff0000u
#define LEAF1_EBX_COUNT_SHIFT	16
#define LEAF1_ECX_X2APIC	BIT(21)
#define LEAF1_ECX_TSC_DEADLINE	BIT(24)
#define LEAF1_ECX_OSXSAVE	BIT(27)
#define LEAF1_ECX_HYPERVISOR	BIT(31)
#define LEAF1_EDX	(GENMASK(8, 0) | BIT(11) | BIT(13) | GENMASK(17, 15) | BIT(19) | \
			 GENMASK(26, 23))
#define LEAF1_EDX_VME		BIT(1)
#define LEAF1_EDX_APIC		BIT(9)
#define LEAF1_EDX_MTRR		BIT(12)
#define LEAF1_EDX_MCA		BIT(14)
#define LEAF1_EDX_HTT		BIT(28)
#define LEAF7_EBX	(BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | \
			 BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | \
			 BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define LEAF7_ECX	(BIT(1) | BIT(2) | BIT(6) | GENMASK(12, 8) | BIT(14))
/* FSRM, MD_CLEAR; what spec.c stands behind: SPEC_CTRL, STIBP, ARCH_CAPABILITIES, SSBD */
#define LEAF7_EDX	(BIT(4) | BIT(10) | BIT(26) | BIT(27) | BIT(29) | BIT(31))
#define LEAFD1_EAX	(BIT(0) | BIT(2))
#define LEAFX1_ECX	(BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))
#define LEAFX1_ECX_CMP_LEGACY	BIT(1)
#define LEAFX1_ECX_TOPOEXT	BIT(22)
#define LEAFX1_EDX	(LEAF1_EDX | BIT(11) | BIT(20) | BIT(22) | GENMASK(27, 26) | BIT(29))
#define LEAFX7_EDX	BIT(8)		/* invariant TSC */
/* spec.c: IBPB, IBRS, STIBP, what is said of these; SSBD, SSB_NO, PSFD, BTC_NO, IBPB_RET */
#define LEAFX8_EBX	(BIT(12) | GENMASK(19, 14) | BIT(24) | BIT(26) | GENMASK(30, 28))

/* Leaves 4 and 0x8000001d: which cache, and who shares it */
#define CACHE_TYPE		0x1fu
#define CACHE_LEVEL(eax)	((eax) >> 5 & 7)
#define CACHE_TOPOLOGY		0xffffc000u
#define CACHE_SHARING_SHIFT	14
#define CACHE_CORES_SHIFT	26

/* Leaf 0xb, ECX */
#define LEVEL_THREAD	(0 | 1 << 8)
#define LEVEL_CORE	(1 | 2 << 8)

#define MAX_BASIC	0x16
#define MAX_EXTENDED	0x80000008
#define MAX_TOPOEXT	0x8000001e

/* KVM_SIGNATURE, "KVMKVMKVM" */
static const u32 signature[3] = { 0x4b4d564b, 0x564b4d56, 0x0000004d };

static int class_of(u32 function)
{
	switch (function >> 28) {
	case 0:
		return 0;
	case 4:
		return 1;
	case 8:
		return 2;
	}
	return -1;
}

static const struct hvx_cpuid_entry *find(const struct hvx_cpuid_table *table, u32 function,
					  u32 index)
{
	u32 leaf = function & 0x0fffffff, i = 0;
	int class = class_of(function);

	if (likely(class >= 0 && leaf < CPUID_DIRECT)) {
		i = table->first[class][array_index_nospec(leaf, CPUID_DIRECT)];
		if (!i--)
			return NULL;
	}
	for (; i < table->nr && table->entry[i].function <= function; i++) {
		const struct hvx_cpuid_entry *e = &table->entry[i];

		if (e->function == function &&
		    (!(e->flags & HVX_CPUID_INDEXED) || e->index == index))
			return e;
	}
	return NULL;
}

/* The answer as it is in the table, to be changed */
struct answer { u32 eax, ebx, ecx, edx; };

static void follow_leaf1(struct hvx_vcpu *vcpu, struct answer *a, u32 count)
{
	a->ebx = (a->ebx & ~LEAF1_EBX_APIC_ID) | vcpu->id << 24;
	if (count > 1 && !(a->ebx & LEAF1_EBX_COUNT)) {
		a->ebx |= count << LEAF1_EBX_COUNT_SHIFT;
		a->edx |= LEAF1_EDX_HTT;
	}
	a->ecx &= ~LEAF1_ECX_OSXSAVE;
	if (hvx_cr4(vcpu) & CR4_OSXSAVE)
		a->ecx |= LEAF1_ECX_OSXSAVE;
	if (!(vcpu->regs.apic_base & APIC_BASE_ENABLE))
		a->edx &= ~LEAF1_EDX_APIC;
}

/* Level 3 belongs to all, the others to a core */
static void follow_cache(struct answer *a, u32 count)
{
	u32 ids = roundup_pow_of_two(count);

	if (!(a->eax & CACHE_TYPE) || a->eax & CACHE_TOPOLOGY)
		return;
	a->eax |= (min(ids, 64u) - 1) << CACHE_CORES_SHIFT;
	if (CACHE_LEVEL(a->eax) >= 3)
		a->eax |= (ids - 1) << CACHE_SHARING_SHIFT;
}

static void follow_cache_ext(struct answer *a, u32 count)
{
	if (a->eax & CACHE_TYPE && !(a->eax & CACHE_TOPOLOGY) && CACHE_LEVEL(a->eax) >= 3)
		a->eax |= (count - 1) << CACHE_SHARING_SHIFT;
}

static void follow_level(struct hvx_vcpu *vcpu, struct answer *a, u32 count)
{
	if (a->ecx >> 8 && !a->ebx) {
		a->eax = order_base_2(count);
		a->ebx = count;
	}
	a->edx = vcpu->id;
}

/* AMD APM vol. 3, "Function 8000_001Eh": extended APIC ID, core ID */
static void follow_topoext(struct hvx_vcpu *vcpu, struct answer *a)
{
	u32 threads = (a->ebx >> 8 & 0xff) + 1;

	a->eax = vcpu->id;
	a->ebx = (a->ebx & ~0xffu) | (vcpu->id >> order_base_2(threads));
}

/* Parts that follow other registers, vCPU and VM instead of the table */
static void follow(struct hvx_vcpu *vcpu, u32 function, u32 index, struct answer *a)
{
	u32 count = max(READ_ONCE(vcpu->vm->nr_vcpus), 1u);

	switch (function) {
	case 1:
		follow_leaf1(vcpu, a, count);
		break;
	case 4:
		if (!vcpu->own_topology)
			follow_cache(a, count);
		break;
	case 0xb:
		follow_level(vcpu, a, count);
		break;
	case 0xd:
		if (index == 0 && a->ebx)
			a->ebx = hvx_xsave_size(vcpu->regs.xcr0);
		break;
	case 0x80000001:
		if (count > 1 && a->ecx & LEAFX1_ECX_TOPOEXT && !vcpu->own_topology)
			a->ecx |= LEAFX1_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		if (!a->ecx && vcpu->topoext && !vcpu->own_topology)
			a->ecx = order_base_2(count) << 12 | (count - 1);
		break;
	case 0x8000001d:
		if (!vcpu->own_topology)
			follow_cache_ext(a, count);
		break;
	case 0x8000001e:
		follow_topoext(vcpu, a);
		break;
	}
}

void hvx_cpuid(struct hvx_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	u32 function = gpr[REG_RAX], index = gpr[REG_RCX];
	const struct hvx_cpuid_entry *e = find(vcpu->cpuid, function, index);
	struct answer a = { };

	if (likely(e)) {
		a = (struct answer) { e->eax, e->ebx, e->ecx, e->edx };
		follow(vcpu, function, index, &a);
	} else if (function == 0xb) {
		/* No such level: only the ID is there */
		a.ecx = index & 0xff;
		a.edx = find(vcpu->cpuid, function, 0) ? vcpu->id : 0;
	}
	gpr[REG_RAX] = a.eax;
	gpr[REG_RBX] = a.ebx;
	gpr[REG_RCX] = a.ecx;
	gpr[REG_RDX] = a.edx;
}

/* ------------------------------------------------------------- supported table */

static u32 max_extended(void)
{
	return hvx_ops->traits & HVX_TRAIT_TOPOEXT ? MAX_TOPOEXT : MAX_EXTENDED;
}

/*
 * What the kernel found out, or was told, not to use: features with an erratum, switched off by
 * microcode or firmware, or on the command line. CPUID goes on announcing them.
 */
static u32 kernel_has(enum cpuid_leafs word)
{
	return boot_cpu_data.x86_capability[word];
}

static void mask_leaf1(struct hvx_cpuid_entry *e, u32 vm_flags)
{
	e->ebx &= 0x0000ffff;		/* APIC ID and number of processors: follow_leaf1() */
	e->ecx &= LEAF1_ECX & kernel_has(CPUID_1_ECX);
	e->ecx |= LEAF1_ECX_HYPERVISOR;
	/* A kernel of 64 bits has no use for VME, which says nothing of the processor */
	e->edx &= LEAF1_EDX & (kernel_has(CPUID_1_EDX) | LEAF1_EDX_VME);
	/* Whatever the host has, these are made of software */
	e->edx |= LEAF1_EDX_MTRR | LEAF1_EDX_MCA;
	if (vm_flags & HVX_VM_LAPIC) {
		e->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE;
		e->edx |= LEAF1_EDX_APIC;
	}
}

static void mask_leaf(struct hvx_cpuid_entry *e, u32 vm_flags)
{
	switch (e->function) {
	case 0:
		e->eax = min_t(u32, e->eax, MAX_BASIC);
		break;
	case 1:
		mask_leaf1(e, vm_flags);
		break;
	case 7:
		e->eax = 0;
		e->ebx &= LEAF7_EBX & kernel_has(CPUID_7_0_EBX);
		e->ecx &= LEAF7_ECX & kernel_has(CPUID_7_ECX);
		e->edx &= LEAF7_EDX & kernel_has(CPUID_7_EDX);
		if (!(hvx_fpu_info.features & XF_AVX512))
			e->ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));
		break;
	case 0x80000000:
		e->eax = max_extended();
		break;
	case 0x80000001:
		e->ebx = 0;
		e->ecx &= LEAFX1_ECX & kernel_has(CPUID_8000_0001_ECX);
		e->edx &= LEAFX1_EDX & kernel_has(CPUID_8000_0001_EDX);
		if (hvx_ops->traits & HVX_TRAIT_TOPOEXT)
			e->ecx |= LEAFX1_ECX_TOPOEXT;
		/* AMD repeats words of leaf 1 here */
		if (e->edx & GENMASK(8, 0)) {
			e->edx |= LEAF1_EDX_MTRR | LEAF1_EDX_MCA;
			e->edx |= vm_flags & HVX_VM_LAPIC ? LEAF1_EDX_APIC : 0;
		}
		break;
	case 0x80000007:
		e->eax = 0;
		e->ebx = 0;
		e->ecx = 0;
		e->edx &= LEAFX7_EDX;
		break;
	case 0x80000008:
		/* Linear addresses have 48 bits: no LA57 */
		e->eax = 48 << 8 | min(e->eax & 0xff, hvx_gpa_bits());
		e->ebx &= LEAFX8_EBX & kernel_has(CPUID_8000_0008_EBX);
		e->ecx = 0;
		e->edx = 0;
		break;
	}
}

static void mask_xsave(struct hvx_cpuid_entry *e)
{
	if (e->index == 0) {
		e->eax = hvx_fpu_info.features;
		e->ebx = hvx_fpu_info.size;
		e->ecx = hvx_fpu_info.size;
		e->edx = hvx_fpu_info.features >> 32;
	} else if (e->index == 1) {
		e->eax &= LEAFD1_EAX & kernel_has(CPUID_D_1_EAX);
		e->ebx = 0;
		e->ecx = 0;
		e->edx = 0;
	}
}

static struct hvx_cpuid_entry *add_empty(struct hvx_cpuid_table *table, u32 function, u32 index,
					 u32 flags)
{
	struct hvx_cpuid_entry *e = &table->entry[table->nr];

	if (!WARN_ON_ONCE(table->nr >= HVX_MAX_CPUID - 1))
		table->nr++;
	*e = (struct hvx_cpuid_entry) { .function = function, .index = index, .flags = flags };
	return e;
}

static struct hvx_cpuid_entry *add(struct hvx_cpuid_table *table, u32 function, u32 index,
				   u32 flags)
{
	struct hvx_cpuid_entry *e = add_empty(table, function, index, flags);

	if (function < 0x80000000 || function <= cpuid_eax(0x80000000))
		cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

/* Leaves 4 and 0x8000001d, to the first that describes no cache */
static void add_caches(struct hvx_cpuid_table *table, u32 function)
{
	struct hvx_cpuid_entry *e;
	u32 i;

	for (i = 0; i < 8; i++) {
		e = add(table, function, i, HVX_CPUID_INDEXED);
		e->eax &= ~CACHE_TOPOLOGY;
		if (!(e->eax & CACHE_TYPE))
			break;
	}
}

static void add_topology(struct hvx_cpuid_table *table)
{
	struct hvx_cpuid_entry *e;

	e = add_empty(table, 0xb, 0, HVX_CPUID_INDEXED);
	e->ebx = 1;
	e->ecx = LEVEL_THREAD;
	e = add_empty(table, 0xb, 1, HVX_CPUID_INDEXED);
	e->ecx = LEVEL_CORE;
}

static void add_xsave(struct hvx_cpuid_table *table)
{
	u32 i;

	for (i = 0; i < 63; i++)
		if (i < 2 || hvx_fpu_info.features & BIT_ULL(i))
			mask_xsave(add(table, 0xd, i, HVX_CPUID_INDEXED));
}

/* Leaves that begin with a name, and what of it Linux knows */
static void add_hypervisor(struct hvx_cpuid_table *table, u32 vm_flags)
{
	struct hvx_cpuid_entry *e = add_empty(table, KVM_CPUID_SIGNATURE, 0, 0);

	e->eax = KVM_CPUID_FEATURES;
	e->ebx = signature[0];
	e->ecx = signature[1];
	e->edx = signature[2];
	e = add_empty(table, KVM_CPUID_FEATURES, 0, 0);
	e->eax = hvx_pv_features(vm_flags);
}

static void add_basic(struct hvx_cpuid_table *table, u32 function, u32 vm_flags)
{
	switch (function) {
	case 0 ... 2:
	case 0x16:
		mask_leaf(add(table, function, 0, 0), vm_flags);
		break;
	case 4:
		add_caches(table, 4);
		break;
	case 7:
		mask_leaf(add(table, 7, 0, HVX_CPUID_INDEXED), vm_flags);
		break;
	case 0xb:
		add_topology(table);
		break;
	case 0xd:
		add_xsave(table);
		break;
	}
	/*
	 * Not 0x15, by which systems would take the local APIC's timer to run at the rate of a
	 * crystal, nor 0xa: there are no counters
	 */
}

static void add_extended(struct hvx_cpuid_table *table, u32 function, u32 vm_flags)
{
	switch (function) {
	case 0x80000000 ... 0x80000008:
	case 0x80000019:		/* TLB of 1 GiB pages */
	case 0x8000001a:		/* what is fast */
		mask_leaf(add(table, function, 0, 0), vm_flags);
		break;
	case 0x8000001d:
		add_caches(table, function);
		break;
	case 0x8000001e:
		add_empty(table, function, 0, 0);
		break;
	}
}

/* "Processor Frequency Information Leaf", by which Linux knows its TSC when nothing else tells */
static void set_frequency(struct hvx_cpuid_table *table, u32 khz)
{
	u32 i;

	if (khz == tsc_khz)
		return;
	for (i = 0; i < table->nr; i++) {
		struct hvx_cpuid_entry *e = &table->entry[i];

		if (e->function == 0x16 && e->eax) {
			e->eax = DIV_ROUND_CLOSEST(khz, 1000);
			e->ebx = e->eax;
		}
	}
}

static void fill_supported(struct hvx_cpuid_table *table, u32 vm_flags)
{
	u32 max = min_t(u32, cpuid_eax(0), MAX_BASIC), f;

	for (f = 0; f <= max; f++)
		add_basic(table, f, vm_flags);
	add_hypervisor(table, vm_flags);
	for (f = 0x80000000; f <= max_extended(); f++)
		add_extended(table, f, vm_flags);
}

/* No index, and nothing that follow() changes */
static bool always_the_same(const struct hvx_cpuid_entry *e)
{
	return e->function < CPUID_DIRECT && e->function != 1 && e->function != 0xd && !e->flags;
}

static void index_table(struct hvx_cpuid_table *table)
{
	u32 i;

	memset(table->first, 0, sizeof(table->first));
	memset(table->fast, 0, sizeof(table->fast));
	for (i = table->nr; i-- > 0;) {
		u32 leaf = table->entry[i].function & 0x0fffffff;
		int class = class_of(table->entry[i].function);

		if (class >= 0 && leaf < CPUID_DIRECT)
			table->first[class][leaf] = i + 1;
		if (always_the_same(&table->entry[i]))
			table->fast[leaf] = i + 1;
	}
}

static struct hvx_cpuid_table *alloc_table(u32 nr)
{
	struct hvx_cpuid_table *table;

	table = kvzalloc(struct_size(table, entry, nr), GFP_KERNEL_ACCOUNT);
	return table ?: ERR_PTR(-ENOMEM);
}

struct hvx_cpuid_table *hvx_cpuid_supported(u32 vm_flags, u32 khz)
{
	struct hvx_cpuid_table *table = alloc_table(HVX_MAX_CPUID);

	if (!IS_ERR(table)) {
		fill_supported(table, vm_flags);
		index_table(table);
		set_frequency(table, khz);
	}
	return table;
}

/* ------------------------------------------------------------------ vCPU table */

static u32 word(const struct hvx_cpuid_table *table, u32 function, u32 index, int reg)
{
	const struct hvx_cpuid_entry *e = find(table, function, index);

	return e ? (&e->eax)[reg] : 0;
}

bool hvx_cpuid_has(const struct hvx_vcpu *vcpu, u32 function, int reg, int bit)
{
	return word(vcpu->cpuid, function, 0, reg) & BIT(bit);
}

struct feature_bit { u32 function; u8 reg, bit; u64 grants; };

/* CR4 bits that a CPUID feature makes settable */
static const struct feature_bit cr4_features[] = {
	{ 1, 3, 1, CR4_VME | CR4_PVI }, { 1, 3, 4, CR4_TSD }, { 1, 3, 2, CR4_DE },
	{ 1, 3, 3, CR4_PSE }, { 1, 3, 6, CR4_PAE }, { 1, 3, 7, CR4_MCE }, { 1, 3, 13, CR4_PGE },
	{ 1, 3, 24, CR4_OSFXSR }, { 1, 3, 25, CR4_OSXMMEXCPT }, { 1, 2, 26, CR4_OSXSAVE },
	{ 1, 2, 17, CR4_PCIDE }, { 7, 1, 0, CR4_FSGSBASE }, { 7, 1, 7, CR4_SMEP },
	{ 7, 1, 20, CR4_SMAP }, { 7, 2, 2, CR4_UMIP },
};

static const struct feature_bit efer_features[] = {
	{ 0x80000001, 3, 11, EFR_SCE }, { 0x80000001, 3, 29, EFR_LME | EFR_LMA },
	{ 0x80000001, 3, 20, EFR_NX },
};

static u64 granted(const struct hvx_cpuid_table *table, const struct feature_bit *f, size_t n)
{
	u64 bits = 0;

	for (; n--; f++)
		if (word(table, f->function, 0, f->reg) & BIT(f->bit))
			bits |= f->grants;
	return bits;
}

/* The same leaf of another hypervisor's is another matter, and the VMM's */
static bool is_kvm(const struct hvx_cpuid_table *table)
{
	const struct hvx_cpuid_entry *e = find(table, KVM_CPUID_SIGNATURE, 0);

	return e && e->ebx == signature[0] && e->ecx == signature[1] && e->edx == signature[2];
}

static void install(struct hvx_vcpu *vcpu, struct hvx_cpuid_table *table)
{
	u64 xcr0 = word(table, 0xd, 0, 0) | (u64)word(table, 0xd, 0, 3) << 32;

	kvfree(vcpu->cpuid);
	vcpu->cpuid = table;
	vcpu->cr4_allowed = CR4_PCE | granted(table, cr4_features, ARRAY_SIZE(cr4_features));
	vcpu->efer_allowed = granted(table, efer_features, ARRAY_SIZE(efer_features));
	vcpu->guest_xcr0 = (xcr0 & hvx_fpu_info.features) | XF_X87;
	vcpu->topoext = word(table, 0x80000001, 0, 2) & LEAFX1_ECX_TOPOEXT;
	vcpu->own_topology = word(table, 1, 0, CPUID_EBX) & LEAF1_EBX_COUNT;
	vcpu->pv_features = is_kvm(table) ? word(table, KVM_CPUID_FEATURES, 0, 0) : 0;
	hvx_spec_cpuid(vcpu);
}

int hvx_cpuid_init(struct hvx_vcpu *vcpu)
{
	const struct hvx_vm *vm = vcpu->vm;
	struct hvx_cpuid_table *table;

	table = hvx_cpuid_supported(vm->flags, READ_ONCE(vm->clock.tsc_khz));
	if (IS_ERR(table))
		return PTR_ERR(table);
	install(vcpu, table);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct hvx_cpuid_entry *x = a, *y = b;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return 0;
}

static bool entry_valid(const struct hvx_cpuid_entry *e)
{
	return !(e->flags & ~HVX_CPUID_INDEXED) && !e->reserved &&
	       (e->flags & HVX_CPUID_INDEXED || !e->index);
}

/* A guest would use these and fail: refuse what the host or hvx does not have */
static bool features_given(const struct hvx_cpuid_table *table,
			   const struct hvx_cpuid_table *supported)
{
	static const struct { u32 function, index; u8 reg; u32 free; } words[] = {
		/* free: bits that a VMM's own devices or its topology stand behind */
		{ 1, 0, 2, LEAF1_ECX_OSXSAVE | LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC |
		  LEAF1_ECX_TSC_DEADLINE },
		{ 1, 0, 3, LEAF1_EDX_APIC | LEAF1_EDX_HTT },
		{ 7, 0, 1 }, { 7, 0, 2 }, { 7, 0, 3 },
		{ 7, 1, 0 }, { 7, 1, 1 }, { 7, 1, 2 }, { 7, 1, 3 },
		{ 0xd, 0, 0 }, { 0xd, 0, 3 }, { 0xd, 1, 0 },
		{ 0x80000001, 0, 2, LEAFX1_ECX_CMP_LEGACY | BIT(3) | LEAFX1_ECX_TOPOEXT },
		{ 0x80000001, 0, 3, LEAF1_EDX_APIC },
		{ 0x80000007, 0, 3 }, { 0x80000008, 0, 1 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		u32 want = word(table, words[i].function, words[i].index, words[i].reg);
		u32 have = word(supported, words[i].function, words[i].index, words[i].reg);

		if (want & ~have & ~words[i].free)
			return false;
	}
	return true;
}

static bool pv_given(const struct hvx_cpuid_table *table, const struct hvx_cpuid_table *supported)
{
	return !is_kvm(table) || !(word(table, KVM_CPUID_FEATURES, 0, 0) &
				   ~word(supported, KVM_CPUID_FEATURES, 0, 0));
}

static int check_table(struct hvx_cpuid_table *table, u32 vm_flags)
{
	struct hvx_cpuid_table *supported;
	bool given;
	u32 i;

	for (i = 0; i < table->nr; i++) {
		const struct hvx_cpuid_entry *e = &table->entry[i];

		if (!entry_valid(e))
			return -EINVAL;
		if (i && e[-1].function == e->function &&
		    (e[-1].index == e->index || e[-1].flags != e->flags))
			return -EINVAL;
	}
	supported = hvx_cpuid_supported(vm_flags, tsc_khz);
	if (IS_ERR(supported))
		return PTR_ERR(supported);
	given = features_given(table, supported) && pv_given(table, supported);
	kvfree(supported);
	return given ? 0 : -EINVAL;
}

long hvx_cpuid_set(struct hvx_vcpu *vcpu, const struct hvx_cpuid *args)
{
	struct hvx_cpuid_table *table;
	int err = -EFAULT;

	lockdep_assert_held(&vcpu->lock);
	if (args->flags || args->reserved)
		return -EINVAL;
	if (args->nr > HVX_MAX_CPUID)
		return -E2BIG;
	if (vcpu->has_run)
		return -EBUSY;
	table = alloc_table(args->nr);
	if (IS_ERR(table))
		return PTR_ERR(table);
	table->nr = args->nr;
	if (copy_from_user(table->entry, u64_to_user_ptr(args->entries),
			   flex_array_size(table, entry, args->nr)))
		goto fail;
	sort(table->entry, table->nr, sizeof(table->entry[0]), compare, NULL);
	index_table(table);
	err = check_table(table, vcpu->vm->flags);
	if (err)
		goto fail;
	install(vcpu, table);
	return 0;
fail:
	kvfree(table);
	return err;
}

long hvx_cpuid_copy(const struct hvx_cpuid_table *table, struct hvx_cpuid *args)
{
	u32 room = args->nr;

	if (args->flags || args->reserved)
		return -EINVAL;
	args->nr = table->nr;
	if (room < table->nr)
		return -E2BIG;
	if (copy_to_user(u64_to_user_ptr(args->entries), table->entry,
			 flex_array_size(table, entry, table->nr)))
		return -EFAULT;
	return 0;
}

long hvx_cpuid_get_supported(u32 vm_flags, u32 khz, void __user *argp)
{
	struct hvx_cpuid_table *table;
	struct hvx_cpuid args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	table = hvx_cpuid_supported(vm_flags, khz);
	if (IS_ERR(table))
		return PTR_ERR(table);
	err = hvx_cpuid_copy(table, &args);
	kvfree(table);
	if (err && err != -E2BIG)
		return err;
	return HVX_PUT_ARGS(argp, &args) ?: err;
}
