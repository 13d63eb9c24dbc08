// SPDX-License-Identifier: GPL-2.0-only
/* boot_images.c: see boot_images.h. */
#include <asm/bootparam.h>
#include <elf.h>
#include <string.h>

#include "boot_images.h"

static size_t bzimage(uint8_t *out, bool is64)
{
	struct setup_header h = {
		.setup_sects = 2, .boot_flag = 0xaa55, .header = 0x53726448, .version = 0x20f,
		.loadflags = LOADED_HIGH, .initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000, .relocatable_kernel = 1, .min_alignment = 21,
		.xloadflags = is64 ? XLF_KERNEL_64 : 0, .cmdline_size = GOOD_CMDLINE,
		.pref_address = GOOD_LOAD, .init_size = GOOD_INIT_SIZE,
		.syssize = GOOD_CODE_LEN / 16, .jump = 0x66eb,
	};

	memset(out, 0x90, GOOD_CODE + GOOD_CODE_LEN);
	memcpy(out + 0x1f1, &h, sizeof(h));
	out[0x201] = 0x1f1 + sizeof(h) - 0x202;
	return GOOD_CODE + GOOD_CODE_LEN;
}

static void multiboot_header(uint8_t *at, uint32_t flags)
{
	const uint32_t header[3] = { 0x1badb002, flags, -(0x1badb002 + flags) };

	memcpy(at, header, sizeof(header));
}

static const struct {
	Elf64_Nhdr head;
	char name[4];
	uint32_t entry;
} note = { { 4, 4, 18 }, "Xen", GOOD_ELF_ENTRY };

/* One segment, at 0x1000 in the file; at 0x200 a note if @pvh */
static size_t elf64(uint8_t *out, bool pvh)
{
	Elf64_Ehdr e = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 }, .e_type = ET_EXEC,
		.e_machine = EM_X86_64, .e_version = 1, .e_entry = GOOD_ELF_ENTRY,
		.e_phoff = sizeof(e), .e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	Elf64_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = GOOD_ELF_LOAD,
		  .p_paddr = GOOD_ELF_LOAD, .p_filesz = 0x800, .p_memsz = 0x800 + GOOD_BSS },
		{ .p_type = pvh ? PT_NOTE : PT_NULL, .p_offset = 0x200, .p_filesz = sizeof(note),
		  .p_align = 4 },
	};

	memcpy(out, &e, sizeof(e));
	memcpy(out + sizeof(e), p, sizeof(p));
	memcpy(out + 0x200, &note, sizeof(note));
	memset(out + 0x1000, 0x90, 0x800);
	return 0x1800;
}

static size_t elf32(uint8_t *out, bool pvh)
{
	/* Linked for an address that it is not loaded to */
	const uint32_t virt = 0x80000000;
	Elf32_Ehdr e = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 }, .e_type = ET_EXEC,
		.e_machine = EM_386, .e_version = 1, .e_entry = virt + 0x10,
		.e_phoff = sizeof(e), .e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	Elf32_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = virt,
		  .p_paddr = GOOD_ELF_LOAD, .p_filesz = 0x800, .p_memsz = 0x800 + GOOD_BSS },
		{ .p_type = pvh ? PT_NOTE : PT_NULL, .p_offset = 0x200, .p_filesz = sizeof(note),
		  .p_align = 4 },
	};

	memcpy(out, &e, sizeof(e));
	memcpy(out + sizeof(e), p, sizeof(p));
	memcpy(out + 0x200, &note, sizeof(note));
	memset(out + 0x1000, 0x90, 0x800);
	if (!pvh)
		multiboot_header(out + 0x1004, 3);
	return 0x1800;
}

/* Loaded from 0x100 in the file on */
static size_t multiboot_flat(uint8_t *out)
{
	const uint32_t addresses[5] = {
		GOOD_ELF_LOAD + 0x20, GOOD_ELF_LOAD, GOOD_ELF_LOAD + 0x800,
		GOOD_ELF_LOAD + 0x800 + GOOD_BSS, GOOD_ELF_ENTRY,
	};

	memset(out, 0x90, 0x1000);
	multiboot_header(out + 0x120, 0x10003);
	memcpy(out + 0x12c, addresses, sizeof(addresses));
	return 0x1000;
}

size_t good_image(enum good_image which, uint8_t out[GOOD_MAX])
{
	memset(out, 0, GOOD_MAX);
	switch (which) {
	case GOOD_BZIMAGE:
		return bzimage(out, true);
	case GOOD_BZIMAGE32:
		return bzimage(out, false);
	case GOOD_PVH64:
		return elf64(out, true);
	case GOOD_PVH32:
		return elf32(out, true);
	case GOOD_MULTIBOOT_ELF:
		return elf32(out, false);
	case GOOD_MULTIBOOT_FLAT:
		return multiboot_flat(out);
	default:
		return 0;
	}
}
