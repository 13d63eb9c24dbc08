// SPDX-License-Identifier: GPL-2.0-only
/*
 * bzimage.c: Linux, by its boot protocol (Documentation/arch/x86/boot.rst of Linux). The kernel is
 * entered in 64-bit mode where it has such an entry, else in protected mode; its 16-bit set-up
 * code, which would ask a BIOS, is left out, and boot_params say what it would have found.
 */
#include <asm/bootparam.h>
#include <assert.h>
#include <string.h>

#include "boot/boot.h"

#define SETUP_HEADER		0x1f1
#define SETUP_JUMP_LEN		0x201		/* the header ends that far behind 0x202 */
#define SETUP_HEADER_MIN	0x268		/* ends after init_size */
#define BOOT_FLAG		0xaa55
#define HEADER_MAGIC		0x53726448	/* "HdrS" */
#define VERSION_INIT_SIZE	0x020a
#define VERSION_XLOADFLAGS	0x020c
#define LOADER_UNDEFINED	0xff
#define ENTRY_64		0x200
#define SECTOR			512
#define DEFAULT_SETUP_SECTS	4

static_assert(offsetof(struct boot_params, hdr) == SETUP_HEADER, "boot protocol");
static_assert(sizeof(struct boot_params) == PAGE_SIZE, "boot protocol");

struct bzimage {
	struct setup_header hdr;
	uint64_t code;		/* in the file: 32- and 64-bit code */
	uint64_t code_len;
	uint64_t load;
	bool is64;
};

bool bzimage_is(const struct image *img)
{
	struct setup_header hdr;

	return image_peek(img, SETUP_HEADER, &hdr, sizeof(hdr)) == sizeof(hdr) &&
	       hdr.boot_flag == BOOT_FLAG && hdr.header == HEADER_MAGIC;
}

static bool read_header(struct boot *b, struct bzimage *bz)
{
	struct setup_header *hdr = &bz->hdr;
	uint64_t end;
	uint8_t jump;

	if (!image_read(b, &b->kernel, SETUP_HEADER, hdr, sizeof(*hdr)) ||
	    !image_read(b, &b->kernel, SETUP_JUMP_LEN, &jump, 1))
		return false;
	if (hdr->version < VERSION_INIT_SIZE)
		return boot_fail(b, &b->kernel,
				 "a Linux kernel of boot protocol %u.%02u, older than 2.10 (Linux 2.6.31)",
				 hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH))
		return boot_fail(b, &b->kernel,
				 "a Linux kernel for low memory (zImage): build a bzImage");
	end = 0x202 + jump;
	if (end < SETUP_HEADER_MIN)
		return boot_fail(b, &b->kernel, "damaged: its header ends at %#llx",
				 (unsigned long long)end);
	/* What a shorter header does not have is code */
	if (end < SETUP_HEADER + sizeof(*hdr))
		memset((char *)hdr + end - SETUP_HEADER, 0, SETUP_HEADER + sizeof(*hdr) - end);
	return true;
}

static bool find_code(struct boot *b, struct bzimage *bz)
{
	unsigned int sects = bz->hdr.setup_sects ? bz->hdr.setup_sects : DEFAULT_SETUP_SECTS;

	bz->code = (sects + 1) * SECTOR;
	bz->code_len = (uint64_t)bz->hdr.syssize * 16;
	if (bz->code >= b->kernel.len || !bz->code_len)
		return boot_fail(b, &b->kernel, "truncated: it has only its set-up code");
	/* The last paragraph need not be whole */
	if (bz->code_len > b->kernel.len - bz->code &&
	    bz->code_len - (b->kernel.len - bz->code) < 16)
		bz->code_len = b->kernel.len - bz->code;
	if (bz->code_len > b->kernel.len - bz->code)
		return boot_fail(b, &b->kernel, "truncated: it has %llu bytes of %llu",
				 (unsigned long long)b->kernel.len,
				 (unsigned long long)(bz->code + bz->code_len));
	bz->is64 = bz->hdr.version >= VERSION_XLOADFLAGS && bz->hdr.xloadflags & XLF_KERNEL_64;
	if (bz->is64 && bz->code_len <= ENTRY_64)
		return boot_fail(b, &b->kernel, "damaged: it has no room for its 64-bit entry");
	return true;
}

/*
 * A kernel below pref_address would move itself there, so there is nothing to gain from another
 * place: it has to be memory up to the end of init_size, which is all that it uses early.
 */
static bool place_code(struct boot *b, struct bzimage *bz)
{
	uint64_t align = bz->hdr.kernel_alignment, room = bz->hdr.init_size;

	bz->load = bz->hdr.pref_address;
	if (bz->hdr.relocatable_kernel) {
		if (!align || align & (align - 1))
			return boot_fail(b, &b->kernel, "damaged: an alignment of %#llx",
					 (unsigned long long)align);
		if (bz->load > GIB_4)
			return boot_fail(b, &b->kernel, "damaged: to be loaded at %#llx",
					 (unsigned long long)bz->load);
		bz->load = (bz->load + align - 1) & -align;
	}
	if (bz->load < MIB_1)
		return boot_fail(b, &b->kernel, "damaged: to be loaded at %#llx",
				 (unsigned long long)bz->load);
	if (room < bz->code_len)
		room = bz->code_len;
	bz->hdr.init_size = room;
	return layout_at(b, bz->load, room) &&
	       layout_load(b, bz->code, bz->code_len, bz->load, bz->code_len);
}

static void fill_e820(struct boot_params *params, const struct machine *m)
{
	struct range map[MAX_RANGES];
	unsigned int i, n = layout_map(m, map);

	for (i = 0; i < n; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = map[i].start, .size = map[i].end - map[i].start,
			.type = map[i].type,
		};
	params->e820_entries = n;
}

static bool fill_params(struct boot *b, const struct bzimage *bz)
{
	struct boot_params *params = layout_own(b, INFO_BASE, sizeof(*params));
	uint64_t initrd;

	if (!params || !layout_cmdline(b, bz->hdr.cmdline_size) ||
	    !layout_initrd(b, bz->load + bz->hdr.init_size, (uint64_t)bz->hdr.initrd_addr_max + 1,
			   &initrd))
		return false;
	params->hdr = bz->hdr;
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.code32_start = bz->load;
	params->hdr.cmd_line_ptr = CMDLINE_BASE;
	params->hdr.ramdisk_image = initrd;
	params->hdr.ramdisk_size = initrd ? b->initrd.len : 0;
	params->hdr.setup_data = 0;
	params->acpi_rsdp_addr = ACPI_BASE;
	fill_e820(params, b->m);
	return true;
}

bool bzimage_load(struct boot *b)
{
	struct bzimage bz = { };

	if (!read_header(b, &bz) || !find_code(b, &bz) || !place_code(b, &bz) ||
	    !fill_params(b, &bz))
		return false;
	b->start.mode = bz.is64 ? START_LONG : START_PROTECTED;
	b->start.entry = bz.load + (bz.is64 ? ENTRY_64 : 0);
	b->start.gpr[HVX_RSI] = INFO_BASE;
	return true;
}
