// SPDX-License-Identifier: GPL-2.0-only
/*
 * elf.c: ELF programs of x86, 32- and 64-bit: program headers, notes, loading to physical
 * addresses. (System V ABI, "Program Loading and Dynamic Linking".)
 */
#include <elf.h>
#include <string.h>

#include "boot/boot.h"

#define MAX_PHNUM	128
#define MAX_NOTES	(1U << 20)

bool elf_is(const struct image *img)
{
	char magic[SELFMAG];

	return image_peek(img, 0, magic, SELFMAG) == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG);
}

static const char *wrong_machine(unsigned int machine)
{
	switch (machine) {
	case EM_AARCH64:
	case EM_ARM:
		return "an ELF program for ARM";
	case EM_RISCV:
		return "an ELF program for RISC-V";
	}
	return "an ELF program for another architecture";
}

static bool check_type(struct boot *b, const unsigned char *ident, unsigned int type,
		       unsigned int machine)
{
	if (ident[EI_DATA] != ELFDATA2LSB || (machine != EM_X86_64 && machine != EM_386))
		return boot_fail(b, &b->kernel, "%s", wrong_machine(machine));
	if (type == ET_REL)
		return boot_fail(b, &b->kernel, "an ELF object or kernel module, not a program");
	if (type != ET_EXEC && type != ET_DYN)
		return boot_fail(b, &b->kernel, "an ELF file, but not a program");
	return true;
}

bool elf_open(struct boot *b, struct elf_file *elf)
{
	size_t want;
	union {
		Elf32_Ehdr h32;
		Elf64_Ehdr h64;
	} u = { };

	image_peek(&b->kernel, 0, &u, sizeof(u));
	*elf = (struct elf_file){ .is64 = u.h32.e_ident[EI_CLASS] == ELFCLASS64 };
	if (!image_read(b, &b->kernel, 0, &u, elf->is64 ? sizeof(u.h64) : sizeof(u.h32)) ||
	    !check_type(b, u.h32.e_ident, u.h32.e_type, u.h32.e_machine))
		return false;
	elf->entry = elf->is64 ? u.h64.e_entry : u.h32.e_entry;
	elf->phoff = elf->is64 ? u.h64.e_phoff : u.h32.e_phoff;
	elf->phnum = elf->is64 ? u.h64.e_phnum : u.h32.e_phnum;
	elf->phentsize = elf->is64 ? u.h64.e_phentsize : u.h32.e_phentsize;
	want = elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (!elf->phnum || elf->phnum > MAX_PHNUM || elf->phentsize < want)
		return boot_fail(b, &b->kernel, "an ELF file with %u program headers of %u bytes",
				 elf->phnum, elf->phentsize);
	return true;
}

static bool read_phdr(struct boot *b, const struct elf_file *elf, unsigned int i, Elf64_Phdr *out)
{
	uint64_t offset = elf->phoff + (uint64_t)i * elf->phentsize;
	Elf32_Phdr p;

	if (offset < elf->phoff)
		return boot_fail(b, &b->kernel, "damaged: program headers at %#llx",
				 (unsigned long long)elf->phoff);
	if (elf->is64)
		return image_read(b, &b->kernel, offset, out, sizeof(*out));
	if (!image_read(b, &b->kernel, offset, &p, sizeof(p)))
		return false;
	*out = (Elf64_Phdr){
		.p_type = p.p_type, .p_offset = p.p_offset, .p_vaddr = p.p_vaddr,
		.p_paddr = p.p_paddr, .p_filesz = p.p_filesz, .p_memsz = p.p_memsz,
		.p_align = p.p_align,
	};
	return true;
}

/* In one PT_NOTE segment of @len bytes at @offset; sizes are of 32 bits, and sums of 64 */
static bool search_notes(struct boot *b, uint64_t offset, uint64_t len, uint64_t align,
			 const char *name, uint32_t type, uint64_t *value, bool *found)
{
	uint64_t pos = 0, desc, next;
	char got[16] = "";
	Elf64_Nhdr n;		/* the same as Elf32_Nhdr */

	while (pos + sizeof(n) <= len && !*found) {
		if (!image_read(b, &b->kernel, offset + pos, &n, sizeof(n)))
			return false;
		desc = (pos + sizeof(n) + n.n_namesz + align - 1) & -align;
		next = (desc + n.n_descsz + align - 1) & -align;
		if (n.n_type == type && n.n_namesz == strlen(name) + 1 &&
		    n.n_namesz <= sizeof(got) && (n.n_descsz == 4 || n.n_descsz == 8) &&
		    desc + n.n_descsz <= len) {
			if (!image_read(b, &b->kernel, offset + pos + sizeof(n), got, n.n_namesz))
				return false;
			*value = 0;
			*found = !memcmp(got, name, n.n_namesz);
			if (*found)
				return image_read(b, &b->kernel, offset + desc, value, n.n_descsz);
		}
		pos = next;
	}
	return true;
}

bool elf_find_note(struct boot *b, const struct elf_file *elf, const char *name, uint32_t type,
		   uint64_t *value, bool *found)
{
	unsigned int i;
	Elf64_Phdr p;

	*found = false;
	for (i = 0; i < elf->phnum && !*found; i++) {
		if (!read_phdr(b, elf, i, &p))
			return false;
		if (p.p_type != PT_NOTE)
			continue;
		if (p.p_filesz > MAX_NOTES || p.p_offset > b->kernel.len)
			return boot_fail(b, &b->kernel, "damaged: notes of %llu bytes at %#llx",
					 (unsigned long long)p.p_filesz,
					 (unsigned long long)p.p_offset);
		if (!search_notes(b, p.p_offset, p.p_filesz, p.p_align == 8 ? 8 : 4, name, type,
				  value, found))
			return false;
	}
	return true;
}

bool elf_covers(struct boot *b, const struct elf_file *elf, uint64_t gpa)
{
	unsigned int i;
	Elf64_Phdr p;

	for (i = 0; i < elf->phnum; i++)
		if (read_phdr(b, elf, i, &p) && p.p_type == PT_LOAD && gpa >= p.p_paddr &&
		    gpa - p.p_paddr < p.p_filesz)
			return true;
	return false;
}

bool elf_load(struct boot *b, struct elf_file *elf)
{
	uint64_t entry = elf->entry;
	unsigned int i;
	Elf64_Phdr p;

	for (i = 0; i < elf->phnum; i++) {
		if (!read_phdr(b, elf, i, &p))
			return false;
		if (p.p_type != PT_LOAD)
			continue;
		if (!layout_load(b, p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz))
			return false;
		if (p.p_paddr + p.p_memsz > elf->end)
			elf->end = p.p_paddr + p.p_memsz;
		/* Entries are virtual addresses */
		if (entry >= p.p_vaddr && entry - p.p_vaddr < p.p_memsz)
			elf->entry = entry - p.p_vaddr + p.p_paddr;
	}
	return elf->end || boot_fail(b, &b->kernel, "an ELF file with nothing to load");
}
