// SPDX-License-Identifier: GPL-2.0-only
/*
 * msr: RDMSR and WRMSR in the guest, the MSR filter, and MSRs as state for the VMM. Without it a
 * guest reads or changes the host's MSRs, or dies of an MSR that it may use.
 */
#include <errno.h>

#include "sysfiles.h"
#include "vm.h"

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_PAT			0x277
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_FMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_NONE		0x12345		/* no processor has it */

static struct vcpu *start(uint32_t flags, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(flags), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* MSRs that every x86-64 guest uses, with a value that is no CPU's default. */
static const struct {
	uint32_t msr;
	uint64_t val;
} own[] = {
	{ MSR_SYSENTER_CS, 0x18 },
	{ MSR_SYSENTER_ESP, 0xffff800000001000 },
	{ MSR_SYSENTER_EIP, 0xffff800000002000 },
	{ MSR_PAT, 0x0007010600070104 },
	{ MSR_STAR, 0x001b001000000000 },
	{ MSR_LSTAR, 0xffff800000003000 },
	{ MSR_CSTAR, 0xffff800000004000 },
	{ MSR_FMASK, 0x47700 },
	{ MSR_FS_BASE, 0xffff800000005000 },
	{ MSR_GS_BASE, 0x00007fff00006000 },
	{ MSR_KERNEL_GS_BASE, 0xffff800000007000 },
};

#define NR_OWN (sizeof(own) / sizeof(*own))

/* Another value for the second of two guests; PAT has few that are valid. */
static uint64_t own_val(unsigned int i, unsigned int guest)
{
	return own[i].val + (own[i].msr == MSR_PAT ? guest : guest * 0x1000);
}

GUEST(write_own)
{
	unsigned int i;

	for (i = 0; i < NR_OWN; i++)
		g_wrmsr(own[i].msr, own_val(i, g->arg));
	guest_sync(1);
	for (i = 0; i < NR_OWN; i++)
		GUEST_EQ(g_rdmsr(own[i].msr), own_val(i, g->arg));
}

/* Two guests and the host take turns: everybody keeps their own. */
TEST(kept_apart)
{
	struct vcpu *v[2] = { start(0, write_own), start(0, write_own) };
	unsigned int i, k;
	uint64_t val;

	v[1]->g->arg = 1;
	for (k = 0; k < 2; k++)
		vcpu_expect_sync(v[k], 1);
	for (k = 0; k < 2; k++) {
		for (i = 0; i < NR_OWN; i++) {
			EXPECT_EQ(vcpu_get_msr(v[k], own[i].msr, &val), 1);
			EXPECT(val == own_val(i, k), "guest %u, MSR %#x: %#lx", k,
			       own[i].msr, val);
		}
	}
	for (k = 0; k < 2; k++)
		vcpu_finish(v[k]);
}

static uint64_t read_back[NR_OWN];

GUEST(read_own)
{
	unsigned int i;

	for (i = 0; i < NR_OWN; i++)
		read_back[i] = g_rdmsr(own[i].msr);
}

TEST(set_by_vmm)
{
	struct vcpu *v = start(0, read_own);
	unsigned int i;

	/* The registers first: they hold the bases of FS and GS, too. */
	vcpu_set(v, HVX_REGS_SEG | HVX_REGS_GPR | HVX_REGS_CTRL);
	v->run->regs_dirty = 0;
	for (i = 0; i < NR_OWN; i++)
		EXPECT(vcpu_set_msr(v, own[i].msr, own[i].val) == 1, "MSR %#x", own[i].msr);
	vcpu_finish(v);
	for (i = 0; i < NR_OWN; i++)
		EXPECT(read_back[i] == own[i].val, "MSR %#x: %#lx", own[i].msr, read_back[i]);
}

static uint32_t list[HVX_MAX_MSRS];
static struct hvx_msr msrs[HVX_MAX_MSRS + 1];

TEST(list_round_trip)
{
	struct hvx_msr_list l = { .size = sizeof(l), .nr = 0, .indices = (uintptr_t)list };
	struct hvx_msrs m = { .size = sizeof(m), .msrs = (uintptr_t)msrs };
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int i, k;

	EXPECT_EQ(xioctl(hvx_open(), HVX_GET_MSR_LIST, &l), -E2BIG);
	REQUIRE(l.nr && l.nr <= HVX_MAX_MSRS, "%u MSRs", l.nr);
	EXPECT_EQ(xioctl(hvx_open(), HVX_GET_MSR_LIST, &l), 0);
	for (i = 0; i < l.nr; i++)
		msrs[i].index = list[i];
	for (i = 0; i < NR_OWN; i++) {
		for (k = 0; k < l.nr && list[k] != own[i].msr; k++)
			;
		EXPECT(k < l.nr, "MSR %#x is not listed", own[i].msr);
	}
	m.nr = l.nr;
	EXPECT_EQ(xioctl(v->fd, HVX_GET_MSRS, &m), l.nr);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_MSRS, &m), l.nr);
	/* An unknown one in the middle ends the call. */
	msrs[2].index = MSR_NONE;
	EXPECT_EQ(xioctl(v->fd, HVX_GET_MSRS, &m), 2);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_MSRS, &m), 2);
	/* A value that no processor takes, too. */
	msrs[2].index = MSR_PAT;
	msrs[2].data = 0x02;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_MSRS, &m), 2);
	msrs[2].index = MSR_LSTAR;
	msrs[2].data = 1UL << 63;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_MSRS, &m), 2);
	m.nr = HVX_MAX_MSRS + 1;
	EXPECT_EQ(xioctl(v->fd, HVX_GET_MSRS, &m), -E2BIG);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_MSRS, &m), -E2BIG);
}

GUEST(bad_accesses)
{
	uint64_t val;

	GUEST_EQ(try_rdmsr(g, MSR_NONE, &val), 13);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(try_wrmsr(g, MSR_NONE, 1), 13);
	GUEST_EQ(try_rdmsr(g, 0xc0012345, &val), 13);
	GUEST_EQ(try_rdmsr(g, 0x40000f00, &val), 13);
	GUEST_EQ(try_rdmsr(g, 0xffffffff, &val), 13);
	GUEST_EQ(try_wrmsr(g, MSR_PAT, 0x02), 13);
	GUEST_EQ(try_wrmsr(g, MSR_EFER, g_rdmsr(MSR_EFER) | 1UL << 63), 13);
	/* LME cannot change while paging is on. */
	GUEST_EQ(try_wrmsr(g, MSR_EFER, g_rdmsr(MSR_EFER) & ~EFER_LME), 13);
	GUEST_EQ(g_rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	/* Neither VMX nor SVM can be switched on. */
	GUEST_EQ(try_wrmsr(g, MSR_EFER, g_rdmsr(MSR_EFER) | 1 << 12), 13);
	GUEST_EQ(try_wrmsr(g, 0xc0010117, 0x1000), 13);
	GUEST_EQ(try_rdmsr(g, 0x480, &val), 13);
}

TEST(unknown_is_gp)
{
	vcpu_finish(start(0, bad_accesses));
}

/* ------------------------------------------------------------------ processor model */

#define INTEL		(1 << HVX_VENDOR_VMX)
#define AMD		(1 << HVX_VENDOR_SVM)
#define BOTH		(INTEL | AMD)
#define ANY		~0UL
#define WB_ALL		0x0606060606060606

/* What an operating system asks of its processor at boot, beside its own MSRs. */
static const struct model {
	uint32_t msr, vendors;
	uint64_t reset;			/* ANY: not looked at */
	int read, write_good, write_bad;	/* exception, -1 for none */
	uint64_t good, bad;
	bool kept;			/* reads back as written */
} models[] = {
	/* MTRRs: caps, fixed, variable, default type */
	{ 0xfe, BOTH, 0x508, -1, 13, 13, 0x508, 0, false },
	{ 0x250, BOTH, 0, -1, -1, 13, WB_ALL, 0x0606060606060206, true },
	{ 0x258, BOTH, 0, -1, -1, 13, WB_ALL, 0x07, true },
	{ 0x26f, BOTH, 0, -1, -1, 13, 0x0504010006060606, 1UL << 60, true },
	{ 0x200, BOTH, 0, -1, -1, 13, 0xc0000000, 0xc0000002, true },
	{ 0x20e, BOTH, 0, -1, -1, 13, 0x80000006, 0x80000100, true },
	{ 0x20e, BOTH, ANY, -1, -1, 13, 0x80000006, 1UL << 60, true },
	{ 0x20f, BOTH, 0, -1, -1, 13, 0xc0000800, 0xc0000801, true },
	{ 0x210, BOTH, 0, 13, 13, 13, 0, 0, false },
	{ 0x251, BOTH, 0, 13, 13, 13, 0, 0, false },
	{ 0x2ff, BOTH, 0, -1, -1, 13, 0xc06, 0x02, true },
	{ 0x2ff, BOTH, ANY, -1, -1, 13, 0xc06, 1 << 12, true },
	/* machine checks: 10 banks of 4 */
	{ 0x179, BOTH, 0x10a, -1, 13, 13, 0, 0, false },
	{ 0x17a, BOTH, 0, -1, -1, 13, 4, 8, true },
	{ 0x17b, BOTH, 0, -1, -1, 13, ~0UL, 1, true },
	{ 0x400, BOTH, 0, -1, -1, 13, ~0UL, 1, true },
	{ 0x401, BOTH, 0, -1, -1, 13, 0, 1, true },
	{ 0x427, BOTH, 0, -1, -1, -1, 5, 0, false },
	{ 0x428, BOTH, 0, 13, 13, 13, 0, 0, false },
	/* IA32_MISC_ENABLE: no taking away of CPUID leaves, XD, MONITOR that is not there */
	{ 0x1a0, BOTH, ANY, -1, -1, 13, 0x11801, 1 << 22, true },
	{ 0x1a0, BOTH, ANY, -1, -1, 13, 0x1801, 1UL << 34, true },
	{ 0x1a0, BOTH, ANY, -1, -1, 13, 0x1800, 1 << 18, true },
	{ 0x1d9, BOTH, 0, -1, -1, 13, 2, 1 << 6, true },
	{ 0x1db, BOTH, 0, -1, 13, 13, 0, 0, false },
	/* microcode */
	{ 0x8b, BOTH, ANY, -1, -1, -1, 0, 0, false },
	{ 0x79, INTEL, 0, 13, -1, -1, 0x1000, 0, false },
	{ 0xc0010020, AMD, 0, 13, -1, -1, 0x1000, 0, false },
	{ 0x17, INTEL, 0, -1, 13, 13, 0, 0, false },
	/* locked, without VMX */
	{ 0x3a, INTEL, 1, -1, 13, 13, 1, 5, false },
	{ 0x3a, AMD, 0, 13, 13, 13, 0, 0, false },
	{ 0x34, INTEL, 0, -1, 13, 13, 0, 0, false },
	{ 0xce, INTEL, 0, -1, 13, 13, 0, 0, false },
	{ 0x140, INTEL, 0, -1, -1, 13, 0, 1, true },
	{ 0x345, INTEL, 0, -1, 13, 13, 0, 0, false },
	/* nothing there: PPIN, RAPL, thermal, FLUSH_CMD */
	{ 0x4e, BOTH, 0, 13, 13, 13, 0, 0, false },
	{ 0x606, BOTH, 0, 13, 13, 13, 0, 0, false },
	{ 0x19c, BOTH, 0, 13, 13, 13, 0, 0, false },
	{ 0x10b, BOTH, 0, 13, 13, 13, 0, 1, false },
	/* AMD: SYSCFG, HWCR, NB_CFG, counters, TOP_MEM, VM_CR, DE_CFG */
	{ 0xc0010010, AMD, 0, -1, -1, -1, 0, 0, false },
	{ 0xc0010015, AMD, 1 << 24, -1, -1, 13, 1 << 24 | 1 << 18, 1UL << 40, true },
	{ 0xc001001f, AMD, 1UL << 54, -1, -1, 13, 1UL << 54 | 1UL << 46, 1, true },
	{ 0xc0010000, AMD, 0, -1, -1, -1, 1, 2, false },
	{ 0xc0010004, AMD, 0, -1, -1, -1, 1, 2, false },
	{ 0xc001001a, AMD, 0, -1, 13, 13, 0, 0, false },
	{ 0xc0010058, AMD, 0, -1, 13, 13, 0, 0, false },
	{ 0xc0010114, AMD, 0x18, -1, 13, 13, 0x18, 0, false },
	{ 0xc0011029, AMD, ANY, -1, -1, 13, 2, 4, true },
	{ 0xc0011020, AMD, 0, 13, 13, 13, 0, 0, false },
	{ 0xc0010015, INTEL, 0, 13, 13, 13, 0, 0, false },
};

static unsigned int vendor_bit;

/* A failure has the number of the line as its value. */
GUEST(boot_accesses)
{
	unsigned int i;
	uint64_t val;

	for (i = 0; i < sizeof(models) / sizeof(*models); i++) {
		const struct model *m = &models[i];

		if (!(m->vendors & vendor_bit))
			continue;
		GUEST_EQ((uint64_t)try_rdmsr(g, m->msr, &val) << 32 | i,
			 (uint64_t)m->read << 32 | i);
		if (m->read < 0 && m->reset != ANY && val != m->reset) {
			GUEST_EQ(m->msr, 0);
			GUEST_EQ(val, m->reset);
		}
		GUEST_EQ((uint64_t)try_wrmsr(g, m->msr, m->good) << 32 | i,
			 (uint64_t)m->write_good << 32 | i);
		GUEST_EQ((uint64_t)try_wrmsr(g, m->msr, m->bad) << 32 | i,
			 (uint64_t)m->write_bad << 32 | i);
		if (m->kept && g_rdmsr(m->msr) != m->good) {
			GUEST_EQ(m->msr, 0);
			GUEST_EQ(g_rdmsr(m->msr), m->good);
		}
	}
}

TEST(processor_model)
{
	vendor_bit = 1 << hvx_vendor();
	vcpu_finish(start(0, boot_accesses));
}

/* Fast strings are on in the guest where the host's kernel found them on. */
TEST(fast_strings)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint64_t val;

	EXPECT_EQ(vcpu_get_msr(v, 0x1a0, &val), 1);
	EXPECT_EQ(val, 0x1800 | (cpuinfo_flag("rep_good") || cpuinfo_flag("erms")));
}

/* A VMM may report a machine check, which guests may not; and restore what it has read. */
TEST(model_of_vmm)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint64_t val;

	EXPECT_EQ(vcpu_set_msr(v, 0x401, 1UL << 63 | 0x135), 1);
	EXPECT_EQ(vcpu_get_msr(v, 0x401, &val), 1);
	EXPECT_EQ(val, 1UL << 63 | 0x135);
	EXPECT_EQ(vcpu_set_msr(v, 0xfe, 0x508), 1);
	EXPECT_EQ(vcpu_set_msr(v, 0xfe, 0x509), 0);
	EXPECT_EQ(vcpu_set_msr(v, 0x2ff, 0xc06), 1);
	EXPECT_EQ(vcpu_set_msr(v, 0x2ff, 0xc07), 0);
	EXPECT_EQ(vcpu_set_msr(v, 0x1a0, 1 << 22), 0);
}

GUEST(bad_from_ring3)
{
	uint64_t val;

	GUEST_EQ(try_rdmsr(g, MSR_PAT, &val), 13);
	GUEST_EQ(try_wrmsr(g, MSR_PAT, 0), 13);
	GUEST_EQ(try_rdmsr(g, MSR_NONE, &val), 13);
}

GUEST(start_ring3)
{
	guest_ring3(g, bad_from_ring3);
}

/* The privilege check comes before all else: no exit. */
TEST(ring3_is_gp)
{
	struct vcpu *v = start(HVX_VM_MSR_EXIT, start_ring3);

	EXPECT_EQ(vm_msr_filter(v->vm, MSR_PAT, 1, HVX_MSR_EXIT_READ | HVX_MSR_EXIT_WRITE), 0);
	vcpu_finish(v);
}

static uint64_t got;

GUEST(exit_accesses)
{
	GUEST_EQ(try_rdmsr(g, MSR_NONE, &got), -1);
	GUEST_EQ(got, 0x1122334455667788);
	GUEST_EQ(try_wrmsr(g, MSR_NONE, 0x8877665544332211), -1);
	GUEST_EQ(try_rdmsr(g, MSR_NONE + 1, &got), 13);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(try_wrmsr(g, MSR_NONE + 1, 1), 13);
	/* RDMSR clears the upper halves. */
	asm volatile("mov $-1, %%rax; mov $-1, %%rdx; rdmsr; shr $32, %%rax; shr $32, %%rdx;"
		     "or %%rdx, %%rax" : "=a"(got) : "c"(MSR_NONE) : "rdx");
	GUEST_EQ(got, 0);
}

static void expect_msr(struct vcpu *v, bool write, uint32_t msr)
{
	vcpu_expect(v, write ? HVX_EXIT_MSR_WRITE : HVX_EXIT_MSR_READ);
	EXPECT_EQ(v->run->msr.index, msr);
	EXPECT_EQ(v->run->msr.error, 0);
}

TEST(unknown_exits)
{
	struct vcpu *v = start(HVX_VM_MSR_EXIT, exit_accesses);

	expect_msr(v, false, MSR_NONE);
	v->run->msr.data = 0x1122334455667788;
	expect_msr(v, true, MSR_NONE);
	EXPECT_EQ(v->run->msr.data, 0x8877665544332211);
	expect_msr(v, false, MSR_NONE + 1);
	v->run->msr.error = 1;
	expect_msr(v, true, MSR_NONE + 1);
	v->run->msr.error = 1;
	expect_msr(v, false, MSR_NONE);
	v->run->msr.data = 5;
	vcpu_finish(v);
}

GUEST(filtered)
{
	g_wrmsr(MSR_LSTAR, 0x1000);			/* exits, does nothing */
	GUEST_EQ(g_rdmsr(MSR_LSTAR), 0x2000);		/* exits */
	g_wrmsr(MSR_CSTAR, 0x3000);			/* does not exit */
	GUEST_EQ(g_rdmsr(MSR_STAR), 0);			/* exits: read only */
	g_wrmsr(MSR_STAR, 0x4000);			/* does not */
	guest_sync(1);
	g_wrmsr(MSR_LSTAR, 0x5000);
	GUEST_EQ(g_rdmsr(MSR_LSTAR), 0x5000);
	GUEST_EQ(g_rdmsr(MSR_CSTAR), 0x3000);
	GUEST_EQ(g_rdmsr(MSR_STAR), 0x4000);
}

TEST(filter)
{
	struct vcpu *v = start(0, filtered);
	struct hvx_msr_range ranges[] = {
		{ .first = MSR_LSTAR, .nr = 1, .flags = HVX_MSR_EXIT_READ | HVX_MSR_EXIT_WRITE },
		{ .first = MSR_STAR, .nr = 1, .flags = HVX_MSR_EXIT_READ },
		/* Unknown ones: the filter comes first. */
		{ .first = 0, .nr = 2, .flags = HVX_MSR_EXIT_WRITE },
	};
	struct hvx_msr_filter f = {
		.size = sizeof(f), .nr = 3, .ranges = (uintptr_t)ranges,
	};
	uint64_t val;

	if (!hvx_cap(HVX_CAP_MSR_FILTER))
		SKIP("no MSR filter");
	REQUIRE(!xioctl(v->vm->fd, HVX_SET_MSR_FILTER, &f));
	expect_msr(v, true, MSR_LSTAR);
	EXPECT_EQ(v->run->msr.data, 0x1000);
	EXPECT_EQ(vcpu_get_msr(v, MSR_LSTAR, &val), 1);
	EXPECT_EQ(val, 0);
	expect_msr(v, false, MSR_LSTAR);
	v->run->msr.data = 0x2000;
	expect_msr(v, false, MSR_STAR);
	v->run->msr.data = 0;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vm_msr_filter(v->vm, 0, 0, 0), 0);
	vcpu_finish(v);
}

TEST(filter_errors)
{
	struct vm *vm = vm_create_bare(0);
	struct hvx_msr_range r[HVX_MAX_MSR_RANGES + 1];
	struct hvx_msr_filter f = { .size = sizeof(f), .ranges = (uintptr_t)r };
	unsigned int i;

	for (i = 0; i <= HVX_MAX_MSR_RANGES; i++)
		r[i] = (struct hvx_msr_range){ .first = i * 4, .nr = 2, .flags = 3 };
	f.nr = HVX_MAX_MSR_RANGES + 1;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_MSR_FILTER, &f), -E2BIG);
	f.nr = HVX_MAX_MSR_RANGES;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_MSR_FILTER, &f), 0);
	EXPECT_EQ(vm_msr_filter(vm, 0xffffffff, 2, 1), -EINVAL);
	EXPECT_EQ(vm_msr_filter(vm, 0xffffffff, 1, 1), 0);
	EXPECT_EQ(vm_msr_filter(vm, 5, 1, 4), -EINVAL);
	EXPECT_EQ(vm_msr_filter(vm, 5, 1, 0), -EINVAL);
	r[0].nr = 0;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_MSR_FILTER, &f), -EINVAL);
	r[0].nr = 1;
	r[0].reserved = 1;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_MSR_FILTER, &f), -EINVAL);
	f.ranges = 8;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_MSR_FILTER, &f), -EFAULT);
}

/* ------------------------------------------------------------------ what they do */

extern char msr_syscall_entry[];	/* guest/msr.S */
uint64_t msr_syscall_rcx, msr_syscall_r11;

GUEST(user_syscall)
{
	extern char after_syscall[];
	uint64_t a = 41;

	asm volatile("syscall\nafter_syscall:" : "+a"(a) : : "rcx", "r11", "memory");
	GUEST_EQ(a, 42);
	GUEST_EQ(guest_cpl(), 3);
	GUEST_EQ(msr_syscall_rcx, (uintptr_t)after_syscall);
	GUEST_EQ(msr_syscall_r11 & 2, 2);
}

GUEST(use_syscall)
{
	g_wrmsr(MSR_EFER, g_rdmsr(MSR_EFER) | EFER_SCE);
	g_wrmsr(MSR_STAR, (uint64_t)SEL_KCODE64 << 32 | (uint64_t)(SEL_UCODE32 | 3) << 48);
	g_wrmsr(MSR_LSTAR, (uintptr_t)msr_syscall_entry);
	g_wrmsr(MSR_FMASK, FL_TF | FL_IF | FL_DF | FL_AC);
	guest_ring3(g, user_syscall);
	g_wrmsr(MSR_EFER, g_rdmsr(MSR_EFER) & ~EFER_SCE);
	GUEST_EQ(TRY(g, "syscall", (), (), "rcx", "r11"), 6);
}

TEST(syscall)
{
	vcpu_finish(start(0, use_syscall));
}

GUEST(use_swapgs)
{
	static uint64_t a = 0xa, b = 0xb;
	uint64_t x, y, z;

	g_wrmsr(MSR_GS_BASE, (uintptr_t)&a);
	g_wrmsr(MSR_KERNEL_GS_BASE, (uintptr_t)&b);
	asm volatile("mov %%gs:0, %0; swapgs; mov %%gs:0, %1; swapgs; mov %%gs:0, %2"
		     : "=&r"(x), "=&r"(y), "=&r"(z));
	GUEST_EQ(x, 0xa);
	GUEST_EQ(y, 0xb);
	GUEST_EQ(z, 0xa);
	asm volatile("swapgs");
	GUEST_EQ(g_rdmsr(MSR_GS_BASE), (uintptr_t)&b);
	GUEST_EQ(g_rdmsr(MSR_KERNEL_GS_BASE), (uintptr_t)&a);
}

TEST(swapgs)
{
	vcpu_finish(start(0, use_swapgs));
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

GUEST(use_tsc)
{
	uint64_t t, m;

	t = rdtsc();
	GUEST_ASSERT(t >= 1UL << 40 && t < 1UL << 41);
	m = g_rdmsr(MSR_TSC);
	GUEST_ASSERT(m >= t && m < 1UL << 41);
	guest_sync(1);
	t = rdtsc();
	GUEST_ASSERT(t > m);
	g_wrmsr(MSR_TSC, 1UL << 50);
	t = rdtsc();
	GUEST_ASSERT(t >= 1UL << 50 && t < 1UL << 51);
}

TEST(tsc)
{
	struct vcpu *v = start(0, use_tsc);
	uint64_t val;

	EXPECT_EQ(vcpu_set_msr(v, MSR_TSC, 1UL << 40), 1);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_get_msr(v, MSR_TSC, &val), 1);
	EXPECT(val > 1UL << 40 && val < 1UL << 41, "%#lx", val);
	vcpu_finish(v);
}

GUEST(use_apic_base)
{
	/* vCPU 0 is the bootstrap processor; the APIC is enabled at its usual place. */
	GUEST_EQ(g_rdmsr(MSR_APIC_BASE) & ~0x800UL, 0xfee00100);
}

GUEST(read_tsc)
{
	guest_sync(rdtsc());
	guest_sync(g_rdmsr(0x3b));
	g_wrmsr(MSR_TSC, rdtsc() + (1UL << 40));
	guest_sync(g_rdmsr(0x3b));
}

static uint64_t next_sync(struct vcpu *v)
{
	EXPECT_EQ(vcpu_ucall(v), UC_SYNC);
	return v->uc.arg[0];
}

/*
 * All vCPUs of a VM begin with one TSC, whenever they are made; and a VMM that sets it for one
 * after the other sets it to one value.
 */
TEST(one_tsc)
{
	struct vm *vm = vm_create(0);
	struct vcpu *a, *b;
	uint64_t t, val_of_b, khz = hvx_cap(HVX_CAP_TSC_KHZ);

	if (!khz)
		SKIP("the rate of the TSC is not known");
	a = vcpu_create(vm, 0);
	vcpu_setup_long_mode(a, read_tsc);
	t = next_sync(a);
	b = vcpu_create(vm, 1);
	vcpu_setup_long_mode(b, read_tsc);
	EXPECT(next_sync(b) > t, "the TSC of a new vCPU is behind");

	EXPECT_EQ(vcpu_set_msr(a, MSR_TSC, 1UL << 50), 1);
	EXPECT_EQ(vcpu_get_msr(a, MSR_TSC, &t), 1);
	/* What b would have with an offset of its own is less than a's by now. */
	EXPECT_EQ(vcpu_set_msr(b, MSR_TSC, 1UL << 50), 1);
	EXPECT_EQ(vcpu_get_msr(b, MSR_TSC, &val_of_b), 1);
	EXPECT(val_of_b > t, "%#lx is not after %#lx", val_of_b, t);
	/* A guest that writes means what it writes, and IA32_TSC_ADJUST shows it. */
	EXPECT_EQ(next_sync(a), 0);
	t = next_sync(a);
	/* less what passed between the two */
	EXPECT(t > (1UL << 40) - khz * 1000 && t <= 1UL << 40, "%#lx", t);
}

TEST(apic_base)
{
	vcpu_finish(start(0, use_apic_base));
}
