// SPDX-License-Identifier: GPL-2.0-only
/*
 * hello: a complete virtual machine monitor, against <linux/hvx.h> alone.
 *
 * One VM with one page of memory and one vCPU runs 16-bit code that prints through I/O port 0xe9
 * and halts. Build: cc -I<hvx>/include/uapi hello.c. Run: as a member of group hvx.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/hvx.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE	4096
#define LOAD	0x1000	/* guest-physical address of the guest's only page */
#define PORT	0xe9

extern const char guest[], guest_end[];

/* The guest: CS = DS = LOAD / 16, so that its first byte is at offset 0. */
asm(".pushsection .rodata\n\t.code16\n"
	"guest:	mov	$(text - guest), %si\n"
	"	cld\n"
	"1:	lodsb\n"
	"	test	%al, %al\n"
	"	jz	2f\n"
	"	out	%al, $0xe9\n"
	"	jmp	1b\n"
	"2:	hlt\n"
	"text:	.asciz	\"Hello from a guest of hvx.\\n\"\n"
	"guest_end:\n\t.code64\n\t.popsection");

static int check(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static void *map(size_t len, int flags, int fd)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

int main(void)
{
	/* Three kinds of descriptors: the device makes VMs, a VM makes vCPUs. */
	int hvx = check(open("/dev/hvx", O_RDWR | O_CLOEXEC), "/dev/hvx");
	struct hvx_create_vm vm_args = { .size = sizeof(vm_args) };
	int vm = check(ioctl(hvx, HVX_CREATE_VM, &vm_args), "HVX_CREATE_VM");

	/* Guest memory is memory of this process; it is not pinned and needs no copying. */
	char *mem = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct hvx_region region = {
		.size = sizeof(region), .gpa = LOAD, .len = PAGE, .hva = (uintptr_t)mem,
	};
	memcpy(mem, guest, guest_end - guest);
	check(ioctl(vm, HVX_SET_REGION, &region), "HVX_SET_REGION");

	/* A vCPU begins in the state after RESET and talks to us through its run page. */
	struct hvx_create_vcpu vcpu_args = { .size = sizeof(vcpu_args), .id = 0 };
	int vcpu = check(ioctl(vm, HVX_CREATE_VCPU, &vcpu_args), "HVX_CREATE_VCPU");
	struct hvx_run *run = map(ioctl(hvx, HVX_CHECK_CAP, HVX_CAP_RUN_SIZE), MAP_SHARED, vcpu);

	/* Real mode at LOAD: fetch the registers, change some, let HVX_RUN take them back. */
	struct hvx_seg *seg = run->seg.seg;

	check(ioctl(vcpu, HVX_GET_REGS, HVX_REGS_GPR | HVX_REGS_SEG), "HVX_GET_REGS");
	seg[HVX_CS].base = LOAD;
	seg[HVX_DS].base = LOAD;
	seg[HVX_CS].selector = LOAD / 16;
	seg[HVX_DS].selector = LOAD / 16;
	run->regs.rip = 0;
	run->regs_dirty = HVX_REGS_GPR | HVX_REGS_SEG;

	for (;;) {
		check(ioctl(vcpu, HVX_RUN, 0), "HVX_RUN");
		switch (run->exit_reason) {
		case HVX_EXIT_IO:	/* data lies in the run page */
			if (run->io.port == PORT && run->io.write)
				putchar(((char *)run)[run->io.data_offset]);
			break;
		case HVX_EXIT_HLT:	/* nothing will ever wake this guest */
			return 0;
		case HVX_EXIT_ENTRY_FAILED:
			errx(1, "%s", run->entry.text);
		default:
			errx(1, "unexpected exit %u", run->exit_reason);
		}
	}
}
