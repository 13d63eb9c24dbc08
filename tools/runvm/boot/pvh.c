// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvh.c: ELF programs with an entry for virtual machines, as Linux with CONFIG_PVH: 32-bit
 * protected mode, EBX points to struct hvm_start_info ("x86/HVM direct boot ABI" of Xen).
 */
#include <assert.h>
#include <string.h>

#include "boot/boot.h"

#define NOTE_NAME		"Xen"
#define NOTE_PHYS32_ENTRY	18
#define START_MAGIC		0x336ec578
#define START_VERSION		1

struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct hvm_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct hvm_memmap {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

struct info_page {
	struct hvm_start_info start;
	struct hvm_module initrd;
	struct hvm_memmap map[MAX_RANGES];
};

static_assert(sizeof(struct hvm_start_info) == 56, "HVM direct boot ABI");
static_assert(sizeof(struct hvm_module) == 32, "HVM direct boot ABI");
static_assert(sizeof(struct hvm_memmap) == 24, "HVM direct boot ABI");

int pvh_is(struct boot *b)
{
	struct elf_file elf;
	uint64_t entry;
	bool found;

	if (!elf_open(b, &elf) ||
	    !elf_find_note(b, &elf, NOTE_NAME, NOTE_PHYS32_ENTRY, &entry, &found))
		return -1;
	return found;
}

bool pvh_info(struct boot *b, uint64_t floor)
{
	struct info_page *info = layout_own(b, INFO_BASE, sizeof(*info));
	struct range map[MAX_RANGES];
	unsigned int i, n = layout_map(b->m, map);
	uint64_t initrd;

	if (!info || !layout_cmdline(b, UINT64_MAX) || !layout_initrd(b, floor, GIB_4, &initrd))
		return false;
	info->start = (struct hvm_start_info){
		.magic = START_MAGIC, .version = START_VERSION, .cmdline_paddr = CMDLINE_BASE,
		.rsdp_paddr = ACPI_BASE, .memmap_entries = n,
		.memmap_paddr = INFO_BASE + offsetof(struct info_page, map),
	};
	for (i = 0; i < n; i++)
		info->map[i] = (struct hvm_memmap){
			.addr = map[i].start, .size = map[i].end - map[i].start,
			.type = map[i].type,
		};
	if (initrd) {
		info->initrd = (struct hvm_module){ .paddr = initrd, .size = b->initrd.len };
		info->start.nr_modules = 1;
		info->start.modlist_paddr = INFO_BASE + offsetof(struct info_page, initrd);
	}
	return true;
}

bool pvh_load(struct boot *b)
{
	struct elf_file elf;
	uint64_t entry;
	bool found;

	if (!elf_open(b, &elf) ||
	    !elf_find_note(b, &elf, NOTE_NAME, NOTE_PHYS32_ENTRY, &entry, &found) ||
	    !elf_load(b, &elf))
		return false;
	if (!found || !elf_covers(b, &elf, entry))
		return boot_fail(b, &b->kernel, "damaged: its PVH entry %#llx is not in it",
				 (unsigned long long)entry);
	b->start.mode = START_PROTECTED;
	b->start.entry = entry;
	b->start.gpr[HVX_RBX] = INFO_BASE;
	return pvh_info(b, elf.end);
}
