// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID.
 *
 *   supported table	the host's answers, each feature word masked by what hvx gives to guests
 *   hvx_cpuid()	the answer to one question, on the hot path: no search for common leaves
 *   hvx_cpuid_set()	a VMM's table; features that hvx cannot give are refused, since a guest
 *			that believes in them would break
 *   derived values	CR4 and EFER bits that the guest may set, parts that follow CR4 and XCR0
 */
#include <asm/cpufeature.h>
#include <linux/err.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "cpuid.h"
#include "cr.h"
#include "fpu.h"

/* Feature words and the bits of them that guests can have. Bit names: Intel SDM, "CPUID". */
#define LEAF1_ECX	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | \
			 GENMASK(23, 22) | GENMASK(26, 25) | GENMASK(30, 28) | BIT(20))
#define LEAF1_EBX_APIC_ID	0xff000000ULL
#define LEAF1_ECX_OSXSAVE	BIT(27)
#define LEAF1_ECX_HYPERVISOR	BIT(31)
#define LEAF1_EDX	(GENMASK(8, 0) | BIT(11) | BIT(13) | GENMASK(17, 15) | BIT(19) | \
			 GENMASK(26, 23))
#define LEAF7_EBX	(BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | \
			 BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | \
			 BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define LEAF7_ECX	(BIT(1) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14))
#define LEAF7_EDX	(BIT(4))
#define LEAFD1_EAX	(BIT(0) | BIT(2))
#define LEAFX1_ECX	(BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))
#define LEAFX1_EDX	(LEAF1_EDX | BIT(11) | BIT(20) | BIT(22) | GENMASK(27, 25) | BIT(29))
#define LEAFX7_EDX	BIT(8)		/* invariant TSC */

#define MAX_BASIC	0x16
#define MAX_EXTENDED	0x80000008

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

/* Bits that follow other registers instead of the table */
static void follow_registers(struct hvx_vcpu *vcpu, u32 function, u32 index)
{
	u64 *gpr = vcpu->regs.gpr;

	if (function == 1) {
		gpr[REG_RBX] = (gpr[REG_RBX] & ~LEAF1_EBX_APIC_ID) | (u64)vcpu->id << 24;
		gpr[REG_RCX] &= ~(u64)LEAF1_ECX_OSXSAVE;
		if (hvx_cr4(vcpu) & CR4_OSXSAVE)
			gpr[REG_RCX] |= LEAF1_ECX_OSXSAVE;
	} else if (index == 0 && gpr[REG_RBX]) {
		gpr[REG_RBX] = hvx_xsave_size(hvx_xcr0(vcpu));
	}
}

void hvx_cpuid(struct hvx_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	u32 function = gpr[REG_RAX], index = gpr[REG_RCX];
	const struct hvx_cpuid_entry *e = find(vcpu->cpuid, function, index);

	if (unlikely(!e)) {
		gpr[REG_RAX] = 0;
		gpr[REG_RBX] = 0;
		gpr[REG_RCX] = 0;
		gpr[REG_RDX] = 0;
		return;
	}
	gpr[REG_RAX] = e->eax;
	gpr[REG_RBX] = e->ebx;
	gpr[REG_RCX] = e->ecx;
	gpr[REG_RDX] = e->edx;
	if (function == 1 || function == 0xd)
		follow_registers(vcpu, function, index);
}

/* ------------------------------------------------------------- supported table */

static void mask_leaf(struct hvx_cpuid_entry *e)
{
	switch (e->function) {
	case 0:
		e->eax = min_t(u32, e->eax, MAX_BASIC);
		break;
	case 1:
		e->ecx = (e->ecx & LEAF1_ECX) | LEAF1_ECX_HYPERVISOR;
		e->edx &= LEAF1_EDX;
		e->ebx &= 0x0000ffff;		/* APIC ID and logical CPUs are the VMM's */
		break;
	case 7:
		e->eax = 0;
		e->ebx &= LEAF7_EBX;
		e->ecx &= LEAF7_ECX;
		e->edx &= LEAF7_EDX;
		if (!(hvx_fpu_info.features & XF_AVX512))
			e->ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));
		break;
	case 0x80000000:
		e->eax = min_t(u32, e->eax, MAX_EXTENDED);
		break;
	case 0x80000001:
		e->ebx = 0;
		e->ecx &= LEAFX1_ECX;
		e->edx &= LEAFX1_EDX;
		break;
	case 0x80000007:
		e->eax = 0;
		e->ebx = 0;
		e->ecx = 0;
		e->edx &= LEAFX7_EDX;
		break;
	case 0x80000008:
		e->eax = (e->eax & ~0xffu) | min(e->eax & 0xff, hvx_gpa_bits());
		e->ebx = 0;
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
		e->eax &= LEAFD1_EAX;
		e->ebx = 0;
		e->ecx = 0;
		e->edx = 0;
	}
}

static void add(struct hvx_cpuid_table *table, u32 function, u32 index, u32 flags)
{
	struct hvx_cpuid_entry *e = &table->entry[table->nr];

	if (WARN_ON_ONCE(table->nr >= HVX_MAX_CPUID))
		return;
	*e = (struct hvx_cpuid_entry) { .function = function, .index = index, .flags = flags };
	cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	if (function == 0xd)
		mask_xsave(e);
	else
		mask_leaf(e);
	table->nr++;
}

static void add_indexed(struct hvx_cpuid_table *table, u32 function)
{
	u32 i;

	if (function == 7) {
		add(table, 7, 0, HVX_CPUID_INDEXED);
	} else if (function == 4) {
		for (i = 0; i < 8; i++) {
			add(table, 4, i, HVX_CPUID_INDEXED);
			table->entry[table->nr - 1].eax &= 0x3fff;	/* sharing is topology */
			if (!(table->entry[table->nr - 1].eax & 0x1f))
				break;
		}
	} else {
		for (i = 0; i < 63; i++)
			if (i < 2 || hvx_fpu_info.features & BIT_ULL(i))
				add(table, 0xd, i, HVX_CPUID_INDEXED);
	}
}

/* Leaves of the basic range that say something about a processor that hvx can give */
static bool leaf_given(u32 function)
{
	return function <= 2 || function == 0x15 || function == 0x16;
}

static void fill_supported(struct hvx_cpuid_table *table)
{
	u32 max = min_t(u32, cpuid_eax(0), MAX_BASIC), f;

	for (f = 0; f <= max; f++) {
		if (f == 4 || f == 7 || f == 0xd)
			add_indexed(table, f);
		else if (leaf_given(f))
			add(table, f, 0, 0);
	}
	max = min_t(u32, cpuid_eax(0x80000000), MAX_EXTENDED);
	for (f = 0x80000000; f <= max; f++)
		add(table, f, 0, 0);
}

/* No index, and nothing that follow_registers() changes */
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

struct hvx_cpuid_table *hvx_cpuid_supported(void)
{
	struct hvx_cpuid_table *table = alloc_table(HVX_MAX_CPUID);

	if (!IS_ERR(table)) {
		fill_supported(table);
		index_table(table);
	}
	return table;
}

/* ------------------------------------------------------------------ vCPU table */

static u32 word(const struct hvx_cpuid_table *table, u32 function, u32 index, int reg)
{
	const struct hvx_cpuid_entry *e = find(table, function, index);

	return e ? (&e->eax)[reg] : 0;
}

struct feature_bit { u32 function; u8 reg, bit; u64 grants; };

/* CR4 bits that a CPUID feature makes settable */
static const struct feature_bit cr4_features[] = {
	{ 1, 3, 1, CR4_VME | CR4_PVI }, { 1, 3, 4, CR4_TSD }, { 1, 3, 2, CR4_DE },
	{ 1, 3, 3, CR4_PSE }, { 1, 3, 6, CR4_PAE }, { 1, 3, 7, CR4_MCE }, { 1, 3, 13, CR4_PGE },
	{ 1, 3, 24, CR4_OSFXSR }, { 1, 3, 25, CR4_OSXMMEXCPT }, { 1, 2, 26, CR4_OSXSAVE },
	{ 1, 2, 17, CR4_PCIDE }, { 7, 1, 0, CR4_FSGSBASE }, { 7, 1, 7, CR4_SMEP },
	{ 7, 1, 20, CR4_SMAP },
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

static void install(struct hvx_vcpu *vcpu, struct hvx_cpuid_table *table)
{
	u64 xcr0 = word(table, 0xd, 0, 0) | (u64)word(table, 0xd, 0, 3) << 32;

	kvfree(vcpu->cpuid);
	vcpu->cpuid = table;
	vcpu->cr4_allowed = CR4_PCE | granted(table, cr4_features, ARRAY_SIZE(cr4_features));
	vcpu->efer_allowed = granted(table, efer_features, ARRAY_SIZE(efer_features));
	vcpu->guest_xcr0 = (xcr0 & hvx_fpu_info.features) | XF_X87;
}

int hvx_cpuid_init(struct hvx_vcpu *vcpu)
{
	struct hvx_cpuid_table *table = hvx_cpuid_supported();

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
		{ 1, 0, 2, LEAF1_ECX_OSXSAVE | LEAF1_ECX_HYPERVISOR | BIT(21) | BIT(24) },
		{ 1, 0, 3, BIT(9) | BIT(12) | BIT(14) | BIT(28) },
		{ 7, 0, 1 }, { 7, 0, 2 }, { 7, 0, 3 },
		{ 7, 1, 0 }, { 7, 1, 1 }, { 7, 1, 2 }, { 7, 1, 3 },
		{ 0xd, 0, 0 }, { 0xd, 0, 3 }, { 0xd, 1, 0 },
		{ 0x80000001, 0, 2, BIT(1) | BIT(3) | BIT(22) }, { 0x80000001, 0, 3, BIT(9) },
		{ 0x80000007, 0, 3 },
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

static int check_table(struct hvx_cpuid_table *table)
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
	supported = hvx_cpuid_supported();
	if (IS_ERR(supported))
		return PTR_ERR(supported);
	given = features_given(table, supported);
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
	err = check_table(table);
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
