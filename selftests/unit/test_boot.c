// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loaders: what a good image of each kind finds in memory and registers, and what is said of
 * images that are not good: too short at every length, damaged, of a kind that is no kernel.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot_images.h"
#include "runvm_shim.h"
#include "tap.h"

#define LOW	(64ULL << 20)

struct fixture {
	struct fake_machine *f;
	struct boot b;
	uint8_t image[GOOD_MAX];
	size_t len;
};

static struct fixture *fixture(enum good_image which, uint64_t low)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->f = fake_machine_new(low, 2);
	x->len = good_image(which, x->image);
	x->b = (struct boot){
		.m = &x->f->m, .cmdline = "", .kernel = { .path = "kernel", .fd = -1 },
	};
	return x;
}

static void destroy(struct fixture *x)
{
	image_close(&x->b.kernel);
	image_close(&x->b.initrd);
	fake_machine_free(x->f);
	free(x);
}

/* What the image has become by now; in a block of exactly its size */
static bool load(struct fixture *x)
{
	free(x->b.kernel.data);
	x->b.kernel.len = x->len;
	x->b.kernel.data = malloc(x->len ? x->len : 1);
	memcpy(x->b.kernel.data, x->image, x->len);
	*x->b.error = 0;
	return boot_detect(&x->b) && boot_place(&x->b);
}

static void initrd(struct fixture *x, size_t len)
{
	free(x->b.initrd.data);
	x->b.initrd = (struct image){
		.path = "initrd", .fd = -1, .data = calloc(1, len), .len = len,
	};
	memset(x->b.initrd.data, 0x77, len);
}

static void expect_refusal(struct fixture *x, const char *words)
{
	EXPECT(!load(x), "loaded, instead of: %s", words);
	EXPECT(strstr(x->b.error, words), "'%s' has no '%s'", x->b.error, words);
	EXPECT(!strchr(x->b.error, '\n'));
}

static void *at(struct fixture *x, uint64_t gpa, uint64_t len)
{
	void *p = mem_at(&x->f->m, gpa, len);

	REQUIRE(p);
	return p;
}

static bool all(const void *p, uint8_t value, size_t len)
{
	const uint8_t *b = p;

	while (len--)
		if (*b++ != value)
			return false;
	return true;
}

static struct setup_header *header(struct fixture *x)
{
	return (struct setup_header *)(x->image + 0x1f1);
}

/* ----------------------------------------------------------------------------- bzImage */

static void check_bzimage(enum good_image which, enum start_mode mode, uint64_t entry)
{
	struct fixture *x = fixture(which, LOW);
	struct boot_params *p;

	x->b.cmdline = "console=ttyS0 quiet";
	initrd(x, 5000);
	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.mode, mode);
	EXPECT_EQ(x->b.start.entry, entry);
	p = at(x, x->b.start.gpr[HVX_RSI], sizeof(*p));
	EXPECT_EQ(p->hdr.header, 0x53726448);
	EXPECT_EQ(p->hdr.type_of_loader, 0xff);
	EXPECT_EQ(p->hdr.code32_start, GOOD_LOAD);
	EXPECT_EQ(p->acpi_rsdp_addr, ACPI_BASE);
	EXPECT(!strcmp(at(x, p->hdr.cmd_line_ptr, 32), x->b.cmdline));
	EXPECT_EQ(p->hdr.ramdisk_size, 5000);
	EXPECT_EQ(p->hdr.ramdisk_image, (LOW - 5000) & -4096ULL);
	EXPECT(all(at(x, p->hdr.ramdisk_image, 5000), 0x77, 5000));
	EXPECT(all(at(x, GOOD_LOAD, GOOD_CODE_LEN), 0x90, GOOD_CODE_LEN));
	destroy(x);
}

TEST(bzimage_64)
{
	check_bzimage(GOOD_BZIMAGE, START_LONG, GOOD_LOAD + 0x200);
}

TEST(bzimage_32)
{
	check_bzimage(GOOD_BZIMAGE32, START_PROTECTED, GOOD_LOAD);
}

/* All of memory is in the map, nothing twice, tables and ECAM are not for use */
TEST(bzimage_memory_map)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	uint64_t ram = 0, end = 0;
	struct boot_params *p;
	unsigned int i;

	fake_set_high(1ULL << 30);
	REQUIRE(load(x), "%s", x->b.error);
	p = at(x, INFO_BASE, sizeof(*p));
	REQUIRE(p->e820_entries > 3 && p->e820_entries <= E820_MAX_ENTRIES_ZEROPAGE);
	for (i = 0; i < p->e820_entries; i++) {
		struct boot_e820_entry *e = &p->e820_table[i];

		EXPECT(e->addr >= end && e->size, "entry %u", i);
		end = e->addr + e->size;
		if (e->type != 1)
			continue;
		ram += e->size;
		EXPECT(end <= 0xa0000 || e->addr >= 0x100000);
		EXPECT(end <= LOW || e->addr == GIB_4);
	}
	EXPECT_EQ(end, GIB_4 + (1ULL << 30));
	EXPECT_EQ(ram, LOW_END + LOW - MIB_1 + (1ULL << 30));
	fake_set_high(0);
	destroy(x);
}

TEST(bzimage_alignment)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

	header(x)->kernel_alignment = 0x1000000;
	header(x)->pref_address = 0x1200000;
	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.entry, 0x2000200);
	header(x)->relocatable_kernel = 0;
	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.entry, 0x1200200);
	destroy(x);
}

TEST(bzimage_limits)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	char line[GOOD_CMDLINE + 2];

	memset(line, 'x', sizeof(line));
	line[GOOD_CMDLINE] = 0;
	x->b.cmdline = line;
	REQUIRE(load(x), "%s", x->b.error);
	line[GOOD_CMDLINE] = 'x';
	line[GOOD_CMDLINE + 1] = 0;
	expect_refusal(x, "256 characters");
	x->b.cmdline = "";
	/* The initrd stays below what the kernel can reach */
	header(x)->initrd_addr_max = GOOD_LOAD + GOOD_INIT_SIZE + 0x2fff;
	initrd(x, 0x3000);
	REQUIRE(load(x), "%s", x->b.error);
	initrd(x, 0x3001);
	expect_refusal(x, "do not fit");
	expect_refusal(x, "take a smaller one");
	destroy(x);
}

TEST(bzimage_memory_too_small)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, GOOD_LOAD + GOOD_INIT_SIZE);

	EXPECT(load(x), "%s", x->b.error);
	header(x)->init_size += 1;
	expect_refusal(x, "give the guest 19M of memory or more with -m");
	destroy(x);
}

/* Whatever finds that memory is short, the size that is named is enough for kernel and initrd */
TEST(initrd_memory_too_small)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, GOOD_LOAD + GOOD_INIT_SIZE - 1);

	initrd(x, (1 << 20) + 1);
	expect_refusal(x, ", the initrd behind it: give the guest 20M of memory or more with -m");
	destroy(x);
	x = fixture(GOOD_BZIMAGE, GOOD_LOAD + GOOD_INIT_SIZE + (1 << 20));
	initrd(x, 1 << 20);
	EXPECT(load(x), "%s", x->b.error);
	initrd(x, (1 << 20) + 1);
	expect_refusal(x, "do not fit behind the kernel, which ends at");
	expect_refusal(x, "give the guest 20M of memory or more with -m");
	destroy(x);
	x = fixture(GOOD_BZIMAGE, 20 << 20);
	initrd(x, (1 << 20) + 1);
	EXPECT(load(x), "%s", x->b.error);
	destroy(x);
}

TEST(bzimage_refused)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

#define REFUSED(what, value, words) do {		\
	good_image(GOOD_BZIMAGE, x->image);		\
	what = (value);					\
	expect_refusal(x, words);			\
} while (0)
	REFUSED(header(x)->version, 0x209, "older than 2.10");
	REFUSED(header(x)->loadflags, 0, "zImage");
	REFUSED(header(x)->kernel_alignment, 0, "alignment");
	REFUSED(header(x)->kernel_alignment, 0x300000, "alignment");
	REFUSED(header(x)->pref_address, 0, "damaged");
	REFUSED(header(x)->pref_address, ~0ULL, "damaged");
	REFUSED(header(x)->pref_address, 1ULL << 40, "damaged");
	REFUSED(header(x)->pref_address, 0xfffff000, "4 GiB");
	REFUSED(header(x)->init_size, ~0U, "4 GiB");
	REFUSED(header(x)->syssize, ~0U, "truncated");
	REFUSED(header(x)->syssize, 0, "truncated");
	REFUSED(header(x)->setup_sects, 255, "truncated");
	REFUSED(header(x)->syssize, 0x20, "no room");
	good_image(GOOD_BZIMAGE, x->image);
	header(x)->relocatable_kernel = 0;
	header(x)->pref_address = -1ULL << 12;
	expect_refusal(x, "4 GiB");
	good_image(GOOD_BZIMAGE, x->image);
	x->image[0x201] = 0x10;
	expect_refusal(x, "header ends");
	destroy(x);
}

/* What an old, short header does not have is not taken from the code behind it */
TEST(bzimage_short_header)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	struct boot_params *p;

	x->image[0x201] = 0x268 - 0x202;
	REQUIRE(load(x), "%s", x->b.error);
	p = at(x, INFO_BASE, sizeof(*p));
	EXPECT_EQ(p->hdr.init_size, GOOD_INIT_SIZE);
	EXPECT(all(&p->hdr.kernel_info_offset, 0, 4));
	destroy(x);
}

/* --------------------------------------------------------------------------------- PVH */

static void check_pvh(enum good_image which)
{
	struct fixture *x = fixture(which, LOW);
	const uint32_t *info;
	uint64_t v[7];

	x->b.cmdline = "some words";
	initrd(x, 100);
	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.kind, IMAGE_ELF_PVH);
	EXPECT_EQ(x->b.start.mode, START_PROTECTED);
	EXPECT_EQ(x->b.start.entry, GOOD_ELF_ENTRY);
	EXPECT(all(at(x, GOOD_ELF_LOAD, 0x800), 0x90, 0x800));
	EXPECT(all(at(x, GOOD_ELF_LOAD + 0x800, GOOD_BSS), 0, GOOD_BSS));
	info = at(x, x->b.start.gpr[HVX_RBX], 56);
	memcpy(v, info, 56);
	EXPECT_EQ(info[0], 0x336ec578);
	EXPECT_EQ(info[3], 1);
	EXPECT(!strcmp(at(x, v[3], 16), "some words"));
	EXPECT_EQ(v[4], ACPI_BASE);
	memcpy(v, at(x, v[2], 32), 32);
	EXPECT_EQ(v[1], 100);
	EXPECT(all(at(x, v[0], 100), 0x77, 100));
	destroy(x);
}

TEST(pvh_64)
{
	check_pvh(GOOD_PVH64);
}

TEST(pvh_32)
{
	check_pvh(GOOD_PVH32);
}

static Elf64_Phdr *phdr(struct fixture *x, unsigned int i)
{
	return (Elf64_Phdr *)(x->image + sizeof(Elf64_Ehdr)) + i;
}

TEST(elf_refused)
{
	struct fixture *x = fixture(GOOD_PVH64, LOW);
	Elf64_Ehdr *e = (Elf64_Ehdr *)x->image;
	uint32_t *note = (uint32_t *)(x->image + 0x200);

#define SPOILED(what, value, words) do {		\
	good_image(GOOD_PVH64, x->image);		\
	what = (value);					\
	expect_refusal(x, words);			\
} while (0)
	SPOILED(e->e_machine, EM_AARCH64, "for ARM");
	SPOILED(e->e_machine, EM_S390, "another architecture");
	SPOILED(e->e_type, ET_REL, "module");
	SPOILED(e->e_type, ET_CORE, "not a program");
	SPOILED(e->e_phnum, 0, "0 program headers");
	SPOILED(e->e_phnum, 0xffff, "65535 program headers");
	SPOILED(e->e_phentsize, 8, "of 8 bytes");
	SPOILED(e->e_phoff, -8ULL, "truncated");
	SPOILED(e->e_phoff, 1ULL << 40, "truncated");
	SPOILED(phdr(x, 0)->p_filesz, 0x801, "truncated");
	SPOILED(phdr(x, 0)->p_offset, -1ULL, "truncated");
	SPOILED(phdr(x, 0)->p_filesz, -1ULL, "4 GiB");
	SPOILED(phdr(x, 0)->p_memsz, -1ULL, "4 GiB");
	SPOILED(phdr(x, 0)->p_memsz, LOW, "-m");
	SPOILED(phdr(x, 0)->p_paddr, -0x1000ULL, "4 GiB");
	SPOILED(phdr(x, 0)->p_paddr, GIB_4, "4 GiB");
	SPOILED(phdr(x, 0)->p_paddr, 0xe0000, "runvm's own");
	SPOILED(phdr(x, 0)->p_paddr, OWN_BASE - 8, "runvm's own");
	SPOILED(phdr(x, 0)->p_type, PT_NULL, "nothing to load");
	SPOILED(phdr(x, 1)->p_filesz, -1ULL, "notes");
	SPOILED(phdr(x, 1)->p_offset, -1ULL, "notes");
	SPOILED(phdr(x, 1)->p_type, PT_NULL, "CONFIG_PVH");
	SPOILED(note[2], 19, "CONFIG_PVH");
	SPOILED(note[0], ~0U, "CONFIG_PVH");
	SPOILED(note[1], ~0U, "CONFIG_PVH");
	SPOILED(note[4], 0x100000, "not in it");
	SPOILED(note[4], GOOD_ELF_LOAD + 0x800, "not in it");
	destroy(x);
}

/* A note of another owner is gone past */
TEST(pvh_second_note)
{
	struct fixture *x = fixture(GOOD_PVH64, LOW);
	static const uint32_t first[] = { 4, 5, 18, 0x554e47, 0, 0 };

	memmove(x->image + 0x200 + sizeof(first), x->image + 0x200, 20);
	memcpy(x->image + 0x200, first, sizeof(first));
	phdr(x, 1)->p_filesz += sizeof(first);
	EXPECT(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.entry, GOOD_ELF_ENTRY);
	destroy(x);
}

/* --------------------------------------------------------------------------- multiboot */

static void check_multiboot(enum good_image which)
{
	struct fixture *x = fixture(which, LOW);
	uint32_t *info, *module;

	x->b.cmdline = "words";
	initrd(x, 100);
	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.kind, IMAGE_MULTIBOOT);
	EXPECT_EQ(x->b.start.mode, START_PROTECTED);
	EXPECT_EQ(x->b.start.entry, GOOD_ELF_ENTRY);
	EXPECT_EQ(x->b.start.gpr[HVX_RAX], 0x2badb002);
	EXPECT(all(at(x, GOOD_ELF_LOAD + 0x40, 0x7c0), 0x90, 0x7c0));
	EXPECT(all(at(x, GOOD_ELF_LOAD + 0x800, GOOD_BSS), 0, GOOD_BSS));
	info = at(x, x->b.start.gpr[HVX_RBX], 88);
	EXPECT_EQ(info[0] & 0x4d, 0x4d);
	EXPECT_EQ(info[1], 639);
	EXPECT_EQ(info[2], (LOW - MIB_1) >> 10);
	EXPECT(!strcmp(at(x, info[4], 8), "words"));
	EXPECT_EQ(info[5], 1);
	module = at(x, info[6], 16);
	EXPECT_EQ(module[1] - module[0], 100);
	EXPECT(all(at(x, module[0], 100), 0x77, 100));
	EXPECT(info[11] && !(info[11] % 24));
	EXPECT_EQ(*(uint32_t *)at(x, info[12], 24), 20);
	EXPECT(!strcmp(at(x, info[16], 8), "runvm"));
	destroy(x);
}

TEST(multiboot_elf)
{
	check_multiboot(GOOD_MULTIBOOT_ELF);
}

TEST(multiboot_addresses)
{
	check_multiboot(GOOD_MULTIBOOT_FLAT);
}

TEST(multiboot_refused)
{
	struct fixture *x = fixture(GOOD_MULTIBOOT_FLAT, LOW);
	uint32_t *h = (uint32_t *)(x->image + 0x120);

#define BAD(index, value, words) do {			\
	good_image(GOOD_MULTIBOOT_FLAT, x->image);	\
	h[index] = (value);				\
	h[2] = -(h[0] + h[1]);				\
	expect_refusal(x, words);			\
} while (0)
	BAD(1, 0x10004, "video");
	BAD(1, 0x10010, "does not know");
	BAD(1, 0x3, "no ELF");
	BAD(3, GOOD_ELF_LOAD - 4, "damaged");
	BAD(3, GOOD_ELF_LOAD + 0x200, "damaged");
	BAD(4, 0, "damaged");
	BAD(5, GOOD_ELF_LOAD - 1, "damaged");
	BAD(5, GOOD_ELF_LOAD + 0x10000, "truncated");
	BAD(5, ~0U, "4 GiB");
	BAD(6, ~0U, "4 GiB");
	BAD(7, 0, "not in it");
	BAD(7, ~0U, "not in it");
	good_image(GOOD_MULTIBOOT_FLAT, x->image);
	h[2]++;
	expect_refusal(x, "--flat");
	destroy(x);
}

TEST(multiboot_elf64)
{
	struct fixture *x = fixture(GOOD_PVH64, LOW);
	static const uint32_t h[3] = { 0x1badb002, 0, -0x1badb002U };

	phdr(x, 1)->p_type = PT_NULL;
	memcpy(x->image + 0x1004, h, sizeof(h));
	expect_refusal(x, "objcopy");
	destroy(x);
}

/* -------------------------------------------------------------------------------- flat */

static struct fixture *flat(uint64_t addr)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

	memset(x->image, 0x90, 512);
	x->len = 512;
	x->f->options.flat = true;
	x->f->options.flat_addr = addr;
	return x;
}

TEST(flat_real)
{
	struct fixture *x = flat(0x7c00);

	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.mode, START_REAL);
	start_registers(&x->b.start, &x->f->run);
	EXPECT_EQ(x->f->run.regs.rip, 0x7c00);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].base, 0);
	EXPECT_EQ(x->f->run.ctrl.cr0 & 1, 0);
	x->f->options.flat_addr = 0x20000;
	REQUIRE(load(x), "%s", x->b.error);
	start_registers(&x->b.start, &x->f->run);
	EXPECT_EQ(x->f->run.regs.rip, 0);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].base, 0x20000);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].selector, 0x2000);
	x->f->options.flat_addr = 0x20008;
	expect_refusal(x, "multiples of 16");
	x->f->options.flat_addr = 0x7c00;
	x->b.cmdline = "words";
	expect_refusal(x, "command line");
	destroy(x);
}

TEST(flat_long)
{
	struct fixture *x = flat(0x200000);
	const uint64_t *pml4, *pdpt, *pd;

	REQUIRE(load(x), "%s", x->b.error);
	EXPECT_EQ(x->b.start.mode, START_LONG);
	start_registers(&x->b.start, &x->f->run);
	EXPECT_EQ(x->f->run.regs.rip, 0x200000);
	EXPECT_EQ(x->f->run.ctrl.efer, 0x500);
	EXPECT_EQ(*(uint32_t *)at(x, x->f->run.regs.gpr[HVX_RDI], 4), 0x336ec578);
	/* 0xfee00000 at itself */
	pml4 = at(x, x->f->run.ctrl.cr3, 4096);
	pdpt = at(x, pml4[0] & ~0xfffULL, 4096);
	pd = at(x, pdpt[3] & ~0xfffULL, 4096);
	EXPECT_EQ(pd[0xfee00000 >> 21 & 511], 0xfee00083);
	EXPECT_EQ(pml4[1] | pdpt[4], 0);
	destroy(x);
}

TEST(flat_refused)
{
	static const uint64_t bad[] = { OWN_BASE, 0xa0000, 0xfff00, OWN_BASE - 16, 0x480, LOW - 16,
					LOW, -16ULL, GIB_4 };
	struct fixture *x = flat(0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		x->f->options.flat_addr = bad[i];
		EXPECT(!load(x), "%#llx", (unsigned long long)bad[i]);
		EXPECT(strstr(x->b.error, "goes to"), "%s", x->b.error);
	}
	destroy(x);
}

/* ------------------------------------------------------------------------- waking from S3 */

static bool wake(struct fixture *x, uint32_t vector, uint64_t x_vector)
{
	struct facs *facs = at(x, FACS_BASE, sizeof(*facs));

	facs->waking_vector = vector;
	facs->x_waking_vector = x_vector;
	*x->b.error = 0;
	if (!wake_vector(&x->b))
		return false;
	start_registers(&x->b.start, &x->f->run);
	return true;
}

static void expect_vector(struct fixture *x, uint32_t vector, uint16_t cs, uint16_t ip)
{
	REQUIRE(wake(x, vector, 0), "%s", x->b.error);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].selector, cs);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].base, (uint64_t)cs << 4);
	EXPECT_EQ(x->f->run.regs.rip, ip);
	EXPECT_EQ(x->f->run.ctrl.cr0, 0x10);
	EXPECT_EQ(x->f->run.ctrl.efer, 0);
}

/* The paragraph and what is left of it: not the offset in the first 64 KiB */
TEST(wake_real)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

	expect_vector(x, 0x12345, 0x1234, 5);
	expect_vector(x, 0x9a000, 0x9a00, 0);
	expect_vector(x, 0x8000, 0x800, 0);
	expect_vector(x, 1, 0, 1);
	expect_vector(x, LOW_END - 1, (LOW_END - 1) >> 4, 0xf);
	destroy(x);
}

TEST(wake_protected)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

	REQUIRE(wake(x, 0x12345, LOW - 1), "%s", x->b.error);
	EXPECT_EQ(x->f->run.regs.rip, LOW - 1);
	EXPECT_EQ(x->f->run.ctrl.cr0, 0x11);
	EXPECT_EQ(x->f->run.seg.seg[HVX_CS].base, 0);
	EXPECT_EQ(x->f->run.seg.seg[HVX_SS].limit, ~0U);
	destroy(x);
}

TEST(wake_nowhere)
{
	static const struct {
		uint32_t vector;
		uint64_t x_vector;
		const char *words;
	} bad[] = {
		{ 0, 0, "without a waking vector" },
		{ LOW_END, 0, "0x9fc00, is not in RAM below 1 MiB" },
		{ ACPI_BASE, 0, "not in RAM" },
		{ MIB_1, 0, "not in RAM below 1 MiB" },
		{ ~0U, 0, "not in RAM" },
		{ 0x12345, LOW, "not in RAM below 4 GiB" },
		{ 0x12345, ACPI_BASE, "not in RAM" },
		{ 0x12345, GIB_4, "0x100000000, is not in RAM below 4 GiB" },
		{ 0x12345, GIB_4 + 0x12345, "not in RAM" },
		{ 0x12345, ~0ULL, "not in RAM" },
	};
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	unsigned int i;

	fake_set_high(1 << 20);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(!wake(x, bad[i].vector, bad[i].x_vector));
		EXPECT(strstr(x->b.error, bad[i].words), "'%s' has no '%s'", x->b.error,
		       bad[i].words);
	}
	fake_set_high(0);
	destroy(x);
}

/* ------------------------------------------------------------------- every kind, no kind */

TEST(prefixes)
{
	static const size_t least[NR_GOOD_IMAGES] = {
		GOOD_CODE + GOOD_CODE_LEN - 15, GOOD_CODE + GOOD_CODE_LEN - 15, 0x1800, 0x1800,
		0x1800, 0x900,
	};
	struct fixture *x;
	unsigned int i;
	size_t len;

	for (i = 0; i < NR_GOOD_IMAGES; i++) {
		x = fixture(i, LOW);
		for (len = 1; len < least[i]; len++) {
			x->len = len;
			if (!EXPECT(!load(x), "kind %u, %zu bytes", i, len) ||
			    !EXPECT(*x->b.error, "kind %u, %zu bytes", i, len))
				break;
		}
		x->len = least[i];
		EXPECT(load(x), "%u: %s", i, x->b.error);
		destroy(x);
	}
}

TEST(little_memory)
{
	static const uint64_t lows[] = { 0, 4096, 1 << 19, 1 << 20, (1 << 20) + 4096 };
	struct fixture *x;
	unsigned int i, j;

	for (i = 0; i < NR_GOOD_IMAGES; i++) {
		for (j = 0; j < ARRAY_SIZE(lows); j++) {
			x = fixture(i, lows[j]);
			expect_refusal(x, "-m");
			destroy(x);
		}
	}
}

TEST(not_a_kernel)
{
	static const struct { unsigned int offset; const char *bytes, *words; } kinds[] = {
		{ 0, "\x1f\x8b", "gzip" }, { 0, "\3757zXZ", "xz" },
		{ 0, "\x28\xb5\x2f\xfd", "zstd" },
		{ 0, "BZh9", "bzip2" }, { 0, "070701", "-i" }, { 0, "QFI\xfb", "qcow2" },
		{ 0, "#!/bin/sh", "script" }, { 0, "MZ", "EFI" }, { 0x1fe, "\x55\xaa", "-d" },
		{ 0x38, "ARM\x64", "ARM" }, { 0, "hello", "neither" },
	};
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		memset(x->image, 0, sizeof(x->image));
		strcpy((char *)x->image + kinds[i].offset, kinds[i].bytes);
		x->len = kinds[i].offset + 16;
		expect_refusal(x, kinds[i].words);
	}
	destroy(x);
}

/* ---------------------------------------------------------------------- memory types */

/* All of 3 GiB .. 4 GiB is covered by the one variable range, and nothing else is */
TEST(mtrrs)
{
	struct hvx_msr list[MTRR_COUNT];
	unsigned int i, bits;

	for (bits = 36; bits <= 52; bits += 4) {
		REQUIRE(mtrr_list(list, bits) == MTRR_COUNT);
		EXPECT_EQ(list[0].data, 0xc0000000);
		EXPECT_EQ(list[1].data, ((1ULL << bits) - 1 - 0x3fffffff) | 0x800);
		EXPECT_EQ(list[MTRR_COUNT - 1].index, 0x2ff);
		EXPECT_EQ(list[MTRR_COUNT - 1].data, 0xc06);
		for (i = 2; i < MTRR_COUNT - 1; i++)
			EXPECT_EQ(list[i].data,
				  list[i].index == 0x259 ? 0 : 0x0606060606060606);
	}
}

/* ------------------------------------------------------------------------- files, resets */

static char *write_file(char *path, const void *data, size_t len)
{
	int fd = mkstemp(path);

	REQUIRE(fd >= 0 && write(fd, data, len) == (ssize_t)len && !close(fd));
	return path;
}

static unsigned int open_files(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The second start finds what the first found, whatever the guest did to its memory */
TEST(reset)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, 24 << 20);
	char kernel[] = "/tmp/hvx-kernel-XXXXXX", ramdisk[] = "/tmp/hvx-initrd-XXXXXX";
	struct machine *m = &x->f->m;
	struct hvx_run first;
	unsigned int files, i;
	uint8_t *before = malloc(24 << 20);

	x->f->options.kernel = write_file(kernel, x->image, x->len);
	x->f->options.initrd = write_file(ramdisk, "ramdisk", 8);
	memset(m->vm.mem, 0, 24 << 20);
	boot_load(m);
	files = open_files();
	boot_prepare(m, m->vcpus);
	memcpy(before, m->vm.mem, 24 << 20);
	first = x->f->run;
	EXPECT(!memcmp(before + (24 << 20) - 4096, "ramdisk", 8));
	/* Replaced, as a package manager does it: the open file is still the old one */
	unlink(kernel);
	unlink(ramdisk);
	for (i = 0; i < 30; i++) {
		memset(m->vm.mem + 0x80000, 0x5a, 0x10000);
		memset(m->vm.mem + 0xe0024, 0, 0x4000);
		memset(m->vm.mem + GOOD_LOAD, 0, GOOD_CODE_LEN);
		memset(m->vm.mem + (24 << 20) - 4096, 0, 4096);
		x->f->run.regs.rip = 0;
		boot_prepare(m, m->vcpus);
		memset(m->vm.mem + 0x80028, 0, 0x58);
		memset(m->vm.mem + 0x800e8, 0, 0xf18);
		memset(m->vm.mem + 0x88000, 0, 0x8000);
	}
	EXPECT(!memcmp(before, m->vm.mem, 24 << 20));
	EXPECT(!memcmp(&first.regs, &x->f->run.regs, sizeof(first.regs)));
	EXPECT_EQ(open_files(), files);
	EXPECT_EQ(nr_msrs_set, 31 * 2 * MTRR_COUNT);
	free(before);
	destroy(x);
}

static void expect_cmdline(enum good_image which, enum console_kind console, const char *given,
			   const char *want)
{
	struct fixture *x = fixture(which, LOW);
	char kernel[] = "/tmp/hvx-kernel-XXXXXX";

	x->f->options.kernel = write_file(kernel, x->image, x->len);
	x->f->options.console = console;
	x->f->options.cmdline = given;
	boot_load(&x->f->m);
	EXPECT(!strcmp(at(x, CMDLINE_BASE, 64), want), "'%s', not '%s'",
	       (char *)at(x, CMDLINE_BASE, 64), want);
	unlink(kernel);
	destroy(x);
}

/* Linux learns of its console, if the user says nothing of it */
TEST(console)
{
	expect_cmdline(GOOD_BZIMAGE, CONSOLE_SERIAL, "", "console=ttyS0");
	expect_cmdline(GOOD_BZIMAGE, CONSOLE_SERIAL, "netconsole=x", "netconsole=x console=ttyS0");
	expect_cmdline(GOOD_BZIMAGE, CONSOLE_SERIAL, "quiet console=tty1", "quiet console=tty1");
	expect_cmdline(GOOD_PVH64, CONSOLE_VIRTIO, "quiet", "quiet console=hvc0");
	expect_cmdline(GOOD_BZIMAGE, CONSOLE_NONE, "quiet", "quiet");
	expect_cmdline(GOOD_MULTIBOOT_ELF, CONSOLE_SERIAL, "quiet", "quiet");
}

TEST(file_becomes_shorter)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	char kernel[] = "/tmp/hvx-kernel-XXXXXX";
	struct machine *m = &x->f->m;

	x->f->options.kernel = write_file(kernel, x->image, x->len);
	boot_load(m);
	boot_prepare(m, m->vcpus);
	EXPECT(!truncate(kernel, GOOD_CODE + 100));
	EXPECT(DIES(boot_prepare(m, m->vcpus)));
	EXPECT(strstr(died, "shorter"), "%s", died);
	unlink(kernel);
	destroy(x);
}

static void expect_no_file(const char *path, const char *words)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);

	x->f->options.kernel = path;
	EXPECT(DIES(boot_load(&x->f->m)));
	EXPECT(strstr(died, words), "'%s' has no '%s'", died, words);
	EXPECT(strstr(died, path));
	destroy(x);
}

TEST(no_file)
{
	char empty[] = "/tmp/hvx-kernel-XXXXXX";

	expect_no_file("/nonexistent/vmlinuz", "No such file");
	expect_no_file("/tmp", "directory");
	expect_no_file(write_file(empty, "", 0), "empty");
	unlink(empty);
}

TEST(pipe)
{
	struct fixture *x = fixture(GOOD_BZIMAGE, LOW);
	char path[32];
	int fd[2];

	REQUIRE(!pipe(fd) && write(fd[1], x->image, x->len) == (ssize_t)x->len);
	close(fd[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd[0]);
	x->f->options.kernel = path;
	boot_load(&x->f->m);
	boot_prepare(&x->f->m, x->f->m.vcpus);
	boot_prepare(&x->f->m, x->f->m.vcpus);
	EXPECT(all(at(x, GOOD_LOAD, GOOD_CODE_LEN), 0x90, GOOD_CODE_LEN));
	destroy(x);
}
