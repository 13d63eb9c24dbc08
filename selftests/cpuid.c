// SPDX-License-Identifier: GPL-2.0-only
/*
 * cpuid: the guest sees the table that the VMM set and nothing else, apart from the few bits that
 * follow its own registers. Without it a guest finds features that hvx cannot give it.
 */
#include <errno.h>

#include "sysfiles.h"
#include "vm.h"

static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
static unsigned int nr;
static uint32_t seen[HVX_MAX_CPUID][4];
static bool upper_halves;

static struct hvx_cpuid_entry *find(uint32_t leaf)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (table[i].function == leaf)
			return &table[i];
	}
	return NULL;
}

GUEST(ask_all)
{
	uint64_t a, b, c, d;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		a = 0xffffffff00000000 | table[i].function;
		c = 0xffffffff00000000 | table[i].index;
		b = ~0UL;
		d = ~0UL;
		asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
		upper_halves |= (a | b | c | d) >> 32;
		seen[i][0] = a;
		seen[i][1] = b;
		seen[i][2] = c;
		seen[i][3] = d;
	}
}

/* Bits that follow the guest's registers or its ID, not the table. */
static uint32_t dynamic(const struct hvx_cpuid_entry *e, unsigned int reg)
{
	if (e->function == 1 && reg == 1)
		return 0xff000000;	/* APIC ID */
	if (e->function == 1 && reg == 2)
		return 1u << 27;	/* OSXSAVE */
	if (e->function == 1 && reg == 3)
		return 1u << 9;		/* APIC, by its enable bit */
	if (e->function == 7 && reg == 2)
		return 1u << 4;		/* OSPKE */
	if (e->function == 0xd && e->index < 2 && reg == 1)
		return ~0u;		/* size for what XCR0 enables */
	if (e->function == 0xb && reg == 3)
		return ~0u;		/* x2APIC ID */
	if (e->function == 0xb && e->index == 1 && reg < 2)
		return ~0u;		/* how many vCPUs there are */
	if (e->function == 0x8000001e)
		return reg == 0 ? ~0u : reg == 1 ? 0xff : 0;
	if (e->function == 0x80000001 && reg == 3)
		return 1u << 9 | 1u << 11;	/* APIC; SYSCALL outside long mode */
	return 0;
}

TEST(guest_sees_table)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int i, k;

	nr = supported_cpuid(table);
	EXPECT(nr > 4);
	vcpu_setup_long_mode(v, ask_all);
	vcpu_finish(v);
	EXPECT(!upper_halves);
	for (i = 0; i < nr; i++) {
		const uint32_t want[] = { table[i].eax, table[i].ebx, table[i].ecx, table[i].edx };

		for (k = 0; k < 4; k++)
			EXPECT(!((want[k] ^ seen[i][k]) & ~dynamic(&table[i], k)),
			       "leaf %#x.%u, e%cx: %#x, not %#x", table[i].function,
			       table[i].index, "abcd"[k], seen[i][k], want[k]);
	}
}

TEST(supported_is_sane)
{
	unsigned int i, k;

	nr = supported_cpuid(table);
	EXPECT(find(0) && find(1) && find(0x80000000) && find(0x80000001));
	/* No nested virtualization, hence no such feature. */
	EXPECT_EQ(find(1)->ecx & 1u << 5, 0);
	EXPECT_EQ(find(0x80000001)->ecx & 1u << 2, 0);
	EXPECT(find(0x80000001)->edx & 1u << 29, "no long mode");
	EXPECT(find(1)->edx & 1u << 6, "no PAE");
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(table[i].reserved, 0);
		EXPECT_EQ(table[i].flags & ~HVX_CPUID_INDEXED, 0);
		for (k = 0; k < i; k++)
			EXPECT(table[k].function != table[i].function ||
			       table[k].index != table[i].index, "twice: leaf %#x.%u",
			       table[i].function, table[i].index);
	}
}

/* Some that kernels switch off: for an erratum, or where firmware or the command line did */
static const struct {
	const char *flag;
	uint32_t leaf;
	unsigned int reg, bit;
} kernel_flags[] = {
	{ "pcid", 1, 2, 17 }, { "aes", 1, 2, 25 }, { "avx", 1, 2, 28 }, { "f16c", 1, 2, 29 },
	{ "rdrand", 1, 2, 30 }, { "fsgsbase", 7, 1, 0 }, { "bmi1", 7, 1, 3 }, { "avx2", 7, 1, 5 },
	{ "smep", 7, 1, 7 }, { "bmi2", 7, 1, 8 }, { "erms", 7, 1, 9 }, { "invpcid", 7, 1, 10 },
	{ "rdseed", 7, 1, 18 }, { "adx", 7, 1, 19 }, { "smap", 7, 1, 20 }, { "fsrm", 7, 3, 4 },
	{ "lahf_lm", 0x80000001, 2, 0 }, { "pdpe1gb", 0x80000001, 3, 26 },
	{ "rdtscp", 0x80000001, 3, 27 }, { "md_clear", 7, 3, 10 },
	{ NULL, 0, 0, 0 },
};

/*
 * What the host's kernel leaves alone, guests are not offered, whatever the processor says; what it
 * uses they are.
 */
TEST(follows_kernel)
{
	unsigned int i;

	nr = supported_cpuid(table);
	for (i = 0; kernel_flags[i].flag; i++) {
		const struct hvx_cpuid_entry *e = find(kernel_flags[i].leaf);
		const uint32_t reg[] = { e ? e->eax : 0, e ? e->ebx : 0, e ? e->ecx : 0,
					 e ? e->edx : 0 };

		EXPECT((reg[kernel_flags[i].reg] >> kernel_flags[i].bit & 1) ==
		       cpuinfo_flag(kernel_flags[i].flag), "%s", kernel_flags[i].flag);
	}
}

static uint32_t leaf[4];

GUEST(ask_one)
{
	g_cpuid(g->arg, 0, leaf);
}

TEST(custom_leaf)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_cpuid_entry e;

	nr = supported_cpuid(table);
	if (!find(0x40000100))
		table[nr++].function = 0x40000100;
	*find(0x40000100) = (struct hvx_cpuid_entry){
		.function = 0x40000100, .eax = 1, .ebx = 0x61626364, .ecx = 3, .edx = ~0u,
	};
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	EXPECT(vcpu_cpuid(v, 0x40000100, 0, &e) && e.ebx == 0x61626364);
	v->g->arg = 0x40000100;
	vcpu_setup_long_mode(v, ask_one);
	vcpu_finish(v);
	EXPECT(leaf[0] == 1 && leaf[1] == 0x61626364 && leaf[2] == 3 && leaf[3] == ~0u,
	       "%#x %#x %#x %#x", leaf[0], leaf[1], leaf[2], leaf[3]);
}

GUEST(ask_twice)
{
	uint32_t r[4];

	g_cpuid(1, 0, r);
	GUEST_EQ(r[2] & 1u << 27, 0);
	GUEST_EQ(r[1] >> 24, 3);
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_OSXSAVE);
	g_cpuid(1, 0, r);
	GUEST_EQ(r[2] & 1u << 27, 1u << 27);
	G_WRITE_REG(cr4, G_READ_REG(cr4) & ~CR4_OSXSAVE);
	g_cpuid(1, 0, r);
	GUEST_EQ(r[2] & 1u << 27, 0);
}

/* OSXSAVE follows CR4 and the APIC ID follows the vCPU, whatever the table says. */
TEST(own_bits)
{
	struct vcpu *v = vcpu_create(vm_create(0), 3);

	nr = supported_cpuid(table);
	if (!(find(1)->ecx & 1u << 26))
		SKIP("no XSAVE");
	vcpu_setup_long_mode(v, ask_twice);
	vcpu_finish(v);
}

TEST(feature_removed)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	nr = supported_cpuid(table);
	/* XSAVE and what needs it: AVX, FMA, F16C */
	find(1)->ecx &= ~(1u << 26 | 1u << 28 | 1u << 12 | 1u << 29);
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	v->g->arg = 1;
	vcpu_setup_long_mode(v, ask_one);
	vcpu_finish(v);
	EXPECT_EQ(leaf[2] & (1u << 26 | 1u << 28), 0);
}

/* ------------------------------------------------------------------ topology */

#define VCPUS	3

/* What each vCPU sees: leaves 1, 4.3, 0xb.0, 0xb.1, 0xb.2, 0x80000001, 0x80000008, 0x8000001e */
static struct view {
	uint32_t one[4], l3[4], thread[4], core[4], none[4], ext1[4], ext8[4], topo[4];
} view[VCPUS];

GUEST(look)
{
	struct view *s = &view[g->id];

	g_cpuid(1, 0, s->one);
	g_cpuid(4, 3, s->l3);
	g_cpuid(0xb, 0, s->thread);
	g_cpuid(0xb, 1, s->core);
	g_cpuid(0xb, 2, s->none);
	g_cpuid(0x80000001, 0, s->ext1);
	g_cpuid(0x80000008, 0, s->ext8);
	g_cpuid(0x8000001e, 0, s->topo);
}

static void check_levels(const struct view *s, unsigned int id, unsigned int vcpus,
			 unsigned int shift)
{
	EXPECT_EQ(s->thread[0], 0);
	EXPECT_EQ(s->thread[1], 1);
	EXPECT_EQ(s->thread[2], 0x100);
	EXPECT_EQ(s->thread[3], id);
	EXPECT_EQ(s->core[0], shift);
	EXPECT_EQ(s->core[1], vcpus);
	EXPECT_EQ(s->core[2], 0x201);
	EXPECT_EQ(s->core[3], id);
	EXPECT_EQ(s->none[0] | s->none[1] | s->none[2] >> 8, 0);
	EXPECT_EQ(s->none[3], id);
}

static void check_view(const struct view *s, unsigned int id)
{
	EXPECT_EQ(s->one[1] >> 24, id);
	EXPECT_EQ(s->one[1] >> 16 & 0xff, VCPUS);
	EXPECT_EQ(s->one[3] >> 28 & 1, 1);
	check_levels(s, id, VCPUS, 2);
	if (s->l3[0] & 0x1f) {
		EXPECT_EQ(s->l3[0] >> 26, 3);
		EXPECT_EQ(s->l3[0] >> 14 & 0xfff, (s->l3[0] >> 5 & 7) == 3 ? 3 : 0);
	}
	if (hvx_vendor() == HVX_VENDOR_SVM) {
		EXPECT_EQ(s->ext1[2] & 0x400002, 0x400002);
		EXPECT_EQ(s->ext8[2], 2 << 12 | (VCPUS - 1));
		EXPECT_EQ(s->topo[0], id);
		EXPECT_EQ(s->topo[1], id);
		EXPECT_EQ(s->topo[2], 0);
	}
}

/* With the table that hvx gives, unchanged, N vCPUs are N cores of one package. */
TEST(topology)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[VCPUS];
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		v[i] = vcpu_create(vm, i);
	for (i = 0; i < VCPUS; i++) {
		vcpu_setup_long_mode(v[i], look);
		vcpu_finish(v[i]);
		check_view(&view[i], i);
	}
}

static struct hvx_cpuid_entry *find_index(uint32_t leaf, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (table[i].function == leaf && table[i].index == index)
			return &table[i];
	}
	return NULL;
}

/* Numbers that the VMM writes are its own matter. */
TEST(own_topology)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 2);

	nr = vm_supported_cpuid(vm, table);
	find(1)->ebx |= 8 << 16;
	find(1)->edx |= 1 << 28;
	find_index(0xb, 0)->eax = 1;
	find_index(0xb, 0)->ebx = 2;
	find_index(0xb, 1)->eax = 3;
	find_index(0xb, 1)->ebx = 8;
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	vcpu_setup_long_mode(v, look);
	v->g->id = 0;
	vcpu_finish(v);
	EXPECT_EQ(view[0].one[1] >> 16, 2 << 8 | 8);
	EXPECT_EQ(view[0].one[3] >> 28 & 1, 1);
	EXPECT_EQ(view[0].thread[0], 1);
	EXPECT_EQ(view[0].thread[1], 2);
	EXPECT_EQ(view[0].core[0], 3);
	EXPECT_EQ(view[0].core[1], 8);
	EXPECT_EQ(view[0].core[3], 2);
}

/* Who says that a package has one processor means that nothing is shared. */
TEST(own_package)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 1);

	vcpu_create(vm, 0);
	nr = vm_supported_cpuid(vm, table);
	find(1)->ebx |= 1 << 16;
	find_index(0xb, 1)->ebx = 1;
	REQUIRE(!vcpu_set_cpuid(v, table, nr));
	vcpu_setup_long_mode(v, look);
	v->g->id = 0;
	vcpu_finish(v);
	EXPECT_EQ(view[0].one[1] >> 16, 1 << 8 | 1);
	EXPECT_EQ(view[0].one[3] >> 28 & 1, 0);
	check_levels(&view[0], 1, 1, 0);
	EXPECT_EQ(view[0].l3[0] >> 14, 0);
	EXPECT_EQ(view[0].ext1[2] & 2, 0);
	EXPECT_EQ(view[0].ext8[2], 0);
}

/* Leaves of the hypervisor: Linux finds KVM's, and no service that is not there. */
TEST(hypervisor)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	struct hvx_cpuid_entry *e;

	nr = vm_supported_cpuid(vm, table);
	e = find(0x40000000);
	REQUIRE(e && find(0x40000001));
	EXPECT(e->eax == 0x40000001 && !memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12), "%.12s",
	       (char *)&e->ebx);
	EXPECT_EQ(find(1)->ecx >> 31, 1);
	/* async page faults, and what nobody has heard of */
	EXPECT_EQ(find(0x40000001)->eax & (1u << 4 | 1u << 31), 0);
	find(0x40000001)->eax |= 1u << 31;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
	/* Under another name the leaf means something else. */
	e->ebx = 0x7263694d;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), 0);
	e->ebx = 0x4b4d564b;
	find(0x40000001)->eax = 0;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), 0);
	/* No hypervisor at all */
	*e = table[--nr];
	*find(0x40000001) = table[--nr];
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), 0);
	v->g->arg = 0x40000000;
	vcpu_setup_long_mode(v, ask_one);
	vcpu_finish(v);
	EXPECT_EQ(leaf[0] | leaf[1], 0);
}

/* What hvx makes of software is there on every host; what it does not have is not. */
TEST(made_and_hidden)
{
	unsigned int i;

	nr = supported_cpuid(table);
	EXPECT_EQ(find(1)->edx & 0x5000, 0x5000);	/* MTRR, MCA */
	/* MONITOR, VMX, SMX, EST, TM2, PDCM; DS, ACPI, TM, PBE */
	EXPECT_EQ(find(1)->ecx & (1u << 3 | 7u << 5 | 1u << 8 | 1u << 15), 0);
	EXPECT_EQ(find(1)->edx & (1u << 21 | 1u << 22 | 1u << 29 | 1u << 31), 0);
	for (i = 0; i < nr; i++) {
		uint32_t leaf = table[i].function;

		EXPECT(leaf != 5 && leaf != 6 && leaf != 0xa && leaf != 0x12 && leaf != 0x14 &&
		       leaf != 0x15 && leaf != 0x8000000a && leaf != 0x8000001f, "leaf %#x", leaf);
	}
	if (find(7))
		/* HLE, RTM, MPX, SGX, PT, L1D_FLUSH, CORE_CAPABILITIES */
		EXPECT(!(find(7)->ebx & (1u << 2 | 1u << 4 | 1u << 11 | 1u << 14 | 1u << 25)) &&
		       !(find(7)->edx & (1u << 28 | 1u << 30)),
		       "%#x %#x", find(7)->ebx, find(7)->edx);
}

TEST(errors)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_cpuid c = { .size = sizeof(c), .entries = (uintptr_t)table };

	EXPECT_EQ(xioctl(hvx_open(), HVX_GET_SUPPORTED_CPUID, &c), -E2BIG);
	nr = supported_cpuid(table);
	EXPECT_EQ(c.nr, nr);
	c.nr = 1;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_SUPPORTED_CPUID, &c), -E2BIG);
	EXPECT(c.nr > 1);
	c.nr = 1;
	EXPECT_EQ(xioctl(v->fd, HVX_GET_CPUID, &c), -E2BIG);
	EXPECT(c.nr > 1);
	/* two answers for one question */
	table[nr] = table[0];
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr + 1), -EINVAL);
	/* what hvx cannot give */
	find(1)->ecx ^= 1u << 5;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
	find(1)->ecx ^= 1u << 5;
	find(0x80000001)->ecx ^= 1u << 2;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
	find(0x80000001)->ecx ^= 1u << 2;
	EXPECT_EQ(vcpu_set_cpuid(v, table, HVX_MAX_CPUID + 1), -E2BIG);
	EXPECT_EQ(vcpu_set_cpuid(v, (void *)8, nr), -EFAULT);
	table[0].reserved = 1;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
	table[0].reserved = 0;
	table[0].flags |= 1u << 31;
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EINVAL);
	table[0].flags &= ~(1u << 31);
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), 0);
	v->g->arg = 0;
	vcpu_setup_long_mode(v, ask_one);
	vcpu_finish(v);
	EXPECT_EQ(vcpu_set_cpuid(v, table, nr), -EBUSY);
}
