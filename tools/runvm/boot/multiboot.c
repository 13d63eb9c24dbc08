// SPDX-License-Identifier: GPL-2.0-only
/*
 * multiboot.c: multiboot 1 ("The Multiboot Specification version 0.6.96"): 32-bit protected mode
 * without paging, EBX points to the information structure. Loaded as ELF says, or to the addresses
 * that the header gives. The initrd becomes the one module.
 */
#include <assert.h>
#include <string.h>

#include "boot/boot.h"

#define SEARCH			8192
#define HEADER_MAGIC		0x1badb002
#define LOADER_MAGIC		0x2badb002

/* Flags of the header: bits 15:0 must be understood */
#define WANTS_PAGE_ALIGN	0x00000001
#define WANTS_MEMORY		0x00000002
#define WANTS_VIDEO		0x00000004
#define HAS_ADDRESSES		0x00010000
#define MUST_UNDERSTAND		0x0000ffff

/* Flags of the information */
#define INFO_MEMORY		0x001
#define INFO_CMDLINE		0x004
#define INFO_MODULES		0x008
#define INFO_MAP		0x040
#define INFO_LOADER_NAME	0x200

struct mb_header {
	uint32_t magic;
	uint32_t flags;
	uint32_t checksum;
	uint32_t header_addr;
	uint32_t load_addr;
	uint32_t load_end_addr;
	uint32_t bss_end_addr;
	uint32_t entry_addr;
};

struct mb_info {
	uint32_t flags;
	uint32_t mem_lower;		/* KiB */
	uint32_t mem_upper;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count;
	uint32_t mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length;
	uint32_t mmap_addr;
	uint32_t drives_length;
	uint32_t drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
};

struct mb_module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t reserved;
};

struct mb_range {
	uint32_t size;			/* of what follows */
	uint64_t addr;
	uint64_t len;
	uint32_t type;
} __attribute__((packed));

struct info_page {
	struct mb_info info;
	struct mb_module initrd;
	struct mb_range map[MAX_RANGES];
	char loader[16];
};

static_assert(sizeof(struct mb_info) == 88, "multiboot");
static_assert(sizeof(struct mb_range) == 24, "multiboot");

/* The header, and where in the file it is */
static bool find_header(const struct image *img, struct mb_header *h, uint64_t *where)
{
	uint8_t head[SEARCH + sizeof(*h)] = { };
	size_t pos, len = image_peek(img, 0, head, SEARCH);

	for (pos = 0; pos + offsetof(struct mb_header, header_addr) <= len; pos += 4) {
		memcpy(h, head + pos, sizeof(*h));
		if (h->magic == HEADER_MAGIC && !(h->magic + h->flags + h->checksum)) {
			*where = pos;
			return true;
		}
	}
	return false;
}

bool multiboot_is(const struct image *img)
{
	struct mb_header h;
	uint64_t where;

	return find_header(img, &h, &where);
}

static bool load_by_addresses(struct boot *b, const struct mb_header *h, uint64_t where,
			      uint64_t *end)
{
	uint64_t skipped = (uint64_t)h->header_addr - h->load_addr, offset, len, memsz;

	if (b->kernel.len - where < sizeof(*h))
		return boot_fail(b, &b->kernel, "truncated: it ends in its multiboot header");
	if (h->load_addr > h->header_addr || skipped > where)
		return boot_fail(b, &b->kernel,
				 "damaged: its multiboot header says that it is at %#x, and loaded to %#x",
				 h->header_addr, h->load_addr);
	offset = where - skipped;
	len = b->kernel.len - offset;
	if (h->load_end_addr) {
		if (h->load_end_addr < h->load_addr)
			return boot_fail(b, &b->kernel,
					 "damaged: it ends at %#x, and begins at %#x",
					 h->load_end_addr, h->load_addr);
		len = h->load_end_addr - h->load_addr;
	}
	memsz = len;
	if (h->bss_end_addr > h->load_addr && h->bss_end_addr - h->load_addr > len)
		memsz = h->bss_end_addr - h->load_addr;
	*end = h->load_addr + memsz;
	b->start.entry = h->entry_addr;
	if (h->entry_addr < h->load_addr || h->entry_addr >= *end)
		return boot_fail(b, &b->kernel,
				 "damaged: its entry %#x is not in it", h->entry_addr);
	return layout_load(b, offset, len, h->load_addr, memsz);
}

static bool load_by_elf(struct boot *b, uint64_t *end)
{
	struct elf_file elf;

	if (!elf_is(&b->kernel))
		return boot_fail(b, &b->kernel,
				 "a multiboot kernel that says no addresses and is no ELF program");
	if (!elf_open(b, &elf))
		return false;
	if (elf.is64)
		return boot_fail(b, &b->kernel,
				 "a 64-bit ELF program with a multiboot header, which starts 32-bit programs: 'objcopy -O elf32-i386' makes one");
	if (!elf_load(b, &elf))
		return false;
	if (!elf_covers(b, &elf, elf.entry))
		return boot_fail(b, &b->kernel, "damaged: its entry %#llx is not in it",
				 (unsigned long long)elf.entry);
	b->start.entry = elf.entry;
	*end = elf.end;
	return true;
}

static void fill_map(struct boot *b, struct info_page *page)
{
	struct range map[MAX_RANGES];
	unsigned int i, n = layout_map(b->m, map);

	for (i = 0; i < n; i++)
		page->map[i] = (struct mb_range){
			.size = sizeof(page->map[i]) - sizeof(page->map[i].size),
			.addr = map[i].start, .len = map[i].end - map[i].start,
			.type = map[i].type,
		};
	page->info.mmap_addr = INFO_BASE + offsetof(struct info_page, map);
	page->info.mmap_length = n * sizeof(page->map[0]);
	page->info.mem_lower = LOW_END >> 10;
	page->info.mem_upper = mem_low(b->m) > MIB_1 ? (mem_low(b->m) - MIB_1) >> 10 : 0;
}

static bool fill_info(struct boot *b, uint64_t end)
{
	struct info_page *page = layout_own(b, INFO_BASE, sizeof(*page));
	uint64_t initrd;

	if (!page || !layout_cmdline(b, UINT64_MAX) || !layout_initrd(b, end, GIB_4, &initrd))
		return false;
	fill_map(b, page);
	page->info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER_NAME;
	page->info.cmdline = CMDLINE_BASE;
	page->info.boot_loader_name = INFO_BASE + offsetof(struct info_page, loader);
	memcpy(page->loader, "runvm", sizeof("runvm"));
	page->info.mods_addr = INFO_BASE + offsetof(struct info_page, initrd);
	if (initrd) {
		page->info.mods_count = 1;
		page->initrd = (struct mb_module){
			.start = initrd, .end = initrd + b->initrd.len, .string = CMDLINE_BASE,
		};
	}
	return true;
}

bool multiboot_load(struct boot *b)
{
	struct mb_header h;
	uint64_t where, end = 0;
	bool loaded;

	if (!find_header(&b->kernel, &h, &where))
		return boot_fail(b, &b->kernel, "no multiboot header any more");
	if (h.flags & WANTS_VIDEO)
		return boot_fail(b, &b->kernel,
				 "a multiboot kernel that wants a video mode; there is no display here");
	if (h.flags & MUST_UNDERSTAND & ~(WANTS_PAGE_ALIGN | WANTS_MEMORY))
		return boot_fail(b, &b->kernel,
				 "a multiboot kernel that wants what runvm does not know (flags %#x)",
				 h.flags);
	if (h.flags & HAS_ADDRESSES)
		loaded = load_by_addresses(b, &h, where, &end);
	else
		loaded = load_by_elf(b, &end);
	if (!loaded)
		return false;
	b->start.mode = START_PROTECTED;
	b->start.gpr[HVX_RAX] = LOADER_MAGIC;
	b->start.gpr[HVX_RBX] = INFO_BASE;
	return fill_info(b, end);
}
