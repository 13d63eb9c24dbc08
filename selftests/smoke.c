// SPDX-License-Identifier: GPL-2.0-only
/*
 * smoke: the shortest way through all of hvx: device, VM, vCPU, memory, entry, exit, registers.
 * What fails here is broken everywhere, so that this is what runs on every kernel and processor.
 */
#include "vm.h"

extern char smoke_real[], smoke_real_end[];	/* guest/smoke.S */

TEST(device)
{
	struct hvx_host_info info = { .size = sizeof(info) };
	int fd = hvx_open();

	EXPECT_EQ(xioctl(fd, HVX_GET_API_VERSION, NULL), HVX_API_VERSION);
	EXPECT(hvx_cap(HVX_CAP_RUN_SIZE) >= (long)sizeof(struct hvx_run));
	EXPECT_EQ(hvx_cap(HVX_CAP_RUN_SIZE) % PAGE_SIZE, 0);
	EXPECT(hvx_cap(HVX_CAP_MAX_VCPUS) >= 2);
	EXPECT(hvx_cap(HVX_CAP_MAX_REGIONS) >= 32);
	EXPECT(hvx_cap(HVX_CAP_GPA_BITS) >= 36);
	EXPECT(hvx_cap(HVX_CAP_XSAVE_SIZE) >= 576);
	EXPECT(hvx_cap(HVX_CAP_STATE_SIZE) >= (long)sizeof(struct hvx_state_header));
	EXPECT_EQ(hvx_cap(0), 0);
	EXPECT_EQ(hvx_cap(0x7fffffff), 0);
	EXPECT_EQ(xioctl(fd, HVX_GET_HOST_INFO, &info), 0);
	EXPECT_EQ(info.vendor, hvx_vendor());
	EXPECT(!strcmp(info.backend, info.vendor == HVX_VENDOR_SVM ? "svm" : "vmx"),
	       "backend '%.16s'", info.backend);
	tap_note("backend %.16s, features %#llx", info.backend, info.features);
}

static uint32_t seen[4];

GUEST(cpuid_out_hlt)
{
	g_cpuid(0, 0, seen);
	g_outl(0x5a5, 0x12345678);
	asm volatile("hlt");
	guest_sync(7);
}

TEST(long_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *r = v->run;
	struct hvx_cpuid_entry e;

	vcpu_setup_long_mode(v, cpuid_out_hlt);
	r->regs_wanted = HVX_REGS_ALL;
	if (!vcpu_expect(v, HVX_EXIT_IO))
		return;
	EXPECT_EQ(r->io.port, 0x5a5);
	EXPECT_EQ(r->io.width, 4);
	EXPECT_EQ(r->io.write, 1);
	EXPECT_EQ(r->io.count, 1);
	EXPECT_EQ(*(uint32_t *)((char *)r + r->io.data_offset), 0x12345678);
	EXPECT_EQ(r->regs_valid & HVX_REGS_ALL, HVX_REGS_ALL);
	EXPECT_EQ(r->regs_dirty, 0);
	EXPECT_EQ((uint32_t)r->regs.gpr[HVX_RAX], 0x12345678);
	EXPECT_EQ(r->ctrl.cr3, (uintptr_t)v->vm->pml4);
	EXPECT_EQ(r->ctrl.efer & EFER_LMA, EFER_LMA);
	EXPECT_EQ(r->seg.seg[HVX_CS].selector, SEL_KCODE64);
	EXPECT_EQ(r->regs.rflags & FL_IF, 0);
	vcpu_cpuid(v, 0, 0, &e);
	EXPECT(e.eax == seen[0] && e.ebx == seen[1] && e.ecx == seen[2] && e.edx == seen[3],
	       "CPUID 0: %#x %#x %#x %#x", seen[0], seen[1], seen[2], seen[3]);
	vcpu_expect(v, HVX_EXIT_HLT);
	vcpu_expect_sync(v, 7);
	vcpu_finish(v);
	EXPECT(r->exits >= 4, "%llu exits", r->exits);
}

TEST(real_mode)
{
	static const char greeting[] = "Hello from real mode\n";
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *r = v->run;
	char text[64] = "";
	size_t n = 0;

	vm_load(v->vm, 0x8000, smoke_real, smoke_real_end);
	vcpu_setup_real(v, 0x800, 0);
	while (n < sizeof(text) - 1) {
		int reason = vcpu_run(v);

		if (reason == HVX_EXIT_HLT)
			break;
		REQUIRE(reason == HVX_EXIT_IO && r->io.port == 0xe9 && r->io.width == 1 &&
			r->io.write, "%s", exit_name(reason));
		text[n++] = *((char *)r + r->io.data_offset);
	}
	EXPECT(!strcmp(text, greeting), "'%s'", text);
	EXPECT_EQ(r->regs.gpr[HVX_RBX], 0xbeef);
}

TEST(reset_state)
{
	struct vm *vm = vm_create_bare(0);
	struct vcpu *v = vcpu_create_bare(vm, 0);
	uint8_t *rom = host_pages(PAGE_SIZE);
	struct hvx_run *r = v->run;

	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(r->regs.rip, 0xfff0);
	EXPECT_EQ(r->regs.rflags, 2);
	EXPECT_EQ(r->seg.seg[HVX_CS].selector, 0xf000);
	EXPECT_EQ(r->seg.seg[HVX_CS].base, 0xffff0000);
	EXPECT_EQ(r->ctrl.cr0, CR0_CD | CR0_NW | CR0_ET);
	EXPECT_EQ(r->ctrl.cr3, 0);
	EXPECT_EQ(r->ctrl.cr4, 0);
	EXPECT_EQ(r->ctrl.efer, 0);
	EXPECT_EQ(r->ctrl.xcr0, 1);
	EXPECT_EQ(r->debug.dr7, 0x400);
	EXPECT_EQ(r->debug.dr6, 0xffff0ff0);
	rom[0xff0] = 0xf4;	/* hlt */
	EXPECT_EQ(vm_region(vm, 0, HVX_REGION_READONLY, 0xfffff000, PAGE_SIZE, rom), 0);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->regs.rip, 0xfff1);
}
