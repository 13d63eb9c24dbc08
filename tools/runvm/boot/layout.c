// SPDX-License-Identifier: GPL-2.0-only
/* layout.c: what lies where in guest memory, and which part of it images may have. */
#include <string.h>

#include "boot/boot.h"

unsigned int layout_map(const struct machine *m, struct range out[MAX_RANGES])
{
	unsigned int n = 0;

	out[n++] = (struct range){ 0, LOW_END, RANGE_RAM };
	out[n++] = (struct range){ LOW_END, 0xa0000, RANGE_RESERVED };
	out[n++] = (struct range){ ACPI_BASE, SMBIOS_END, RANGE_RESERVED };
	if (mem_low(m) > MIB_1)
		out[n++] = (struct range){ MIB_1, mem_low(m), RANGE_RAM };
	/* Linux takes ECAM only from a range that firmware keeps for itself */
	out[n++] = (struct range){ ECAM_BASE, ECAM_BASE + ECAM_SIZE, RANGE_RESERVED };
	if (mem_high(m))
		out[n++] = (struct range){ GIB_4, GIB_4 + mem_high(m), RANGE_RAM };
	return n;
}

static bool overlaps(uint64_t start, uint64_t len, uint64_t from, uint64_t to)
{
	return len && start < to && start + len > from;
}

/* Memory with which the initrd fits behind what ends at @end, in MiB */
static unsigned long long enough_for(const struct boot *b, uint64_t end)
{
	if (b->initrd.path)
		end = ((end + PAGE_SIZE - 1) & -PAGE_SIZE) + b->initrd.len;
	return (end + MIB_1 - 1) >> 20;
}

static void say_too_little(struct boot *b, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa + len;

	if (end < gpa || end > MEM_LOW_MAX)
		boot_fail(b, &b->kernel,
			  "it goes to %#llx and %#llx bytes from there, and memory below 4 GiB ends at %#llx",
			  (unsigned long long)gpa, (unsigned long long)len,
			  (unsigned long long)MEM_LOW_MAX);
	else
		boot_fail(b, &b->kernel,
			  "it goes to %#llx .. %#llx%s: give the guest %lluM of memory or more with -m",
			  (unsigned long long)gpa, (unsigned long long)end,
			  b->initrd.path ? ", the initrd behind it" : "", enough_for(b, end));
}

void *layout_at(struct boot *b, uint64_t gpa, uint64_t len)
{
	void *at;

	if (gpa + len < gpa || gpa + len > mem_low(b->m)) {
		say_too_little(b, gpa, len);
		return NULL;
	}
	if (overlaps(gpa, len, OWN_BASE, MIB_1) || overlaps(gpa, len, BDA_BASE, BDA_BASE + 0x100)) {
		boot_fail(b, &b->kernel, "it goes to %#llx .. %#llx, where runvm's own tables are",
			  (unsigned long long)gpa, (unsigned long long)(gpa + len));
		return NULL;
	}
	at = mem_at(b->m, gpa, len);
	if (!at)
		boot_fail(b, &b->kernel, "it goes to %#llx .. %#llx, where there is no memory",
			  (unsigned long long)gpa, (unsigned long long)(gpa + len));
	return at;
}

bool layout_load(struct boot *b, uint64_t offset, uint64_t filesz, uint64_t gpa, uint64_t memsz)
{
	char *to;

	if (filesz > memsz)
		memsz = filesz;
	if (!memsz)
		return true;
	to = layout_at(b, gpa, memsz);
	if (!to || !image_read(b, &b->kernel, offset, to, filesz))
		return false;
	memset(to + filesz, 0, memsz - filesz);
	return true;
}

static bool say_no_room(struct boot *b, uint64_t floor, uint64_t limit)
{
	unsigned long long mib = enough_for(b, floor);
	const struct image *img = &b->initrd;

	if (mib <= limit >> 20)
		return boot_fail(b, img,
				 "its %llu KiB do not fit behind the kernel, which ends at %#llx: give the guest %lluM of memory or more with -m",
				 (unsigned long long)img->len >> 10, (unsigned long long)floor,
				 mib);
	return boot_fail(b, img,
			 "its %llu KiB do not fit between the kernel, which ends at %#llx, and %#llx, beyond which it cannot be: take a smaller one",
			 (unsigned long long)img->len >> 10, (unsigned long long)floor,
			 (unsigned long long)limit);
}

bool layout_initrd(struct boot *b, uint64_t floor, uint64_t most, uint64_t *gpa)
{
	uint64_t limit = most < mem_low(b->m) ? most : mem_low(b->m);
	const struct image *img = &b->initrd;
	void *to;

	*gpa = 0;
	if (!img->path)
		return true;
	if (floor < MIB_1)
		floor = MIB_1;
	if (limit < floor || img->len > limit - floor ||
	    ((limit - img->len) & -PAGE_SIZE) < floor)
		return say_no_room(b, floor, most < MEM_LOW_MAX ? most : MEM_LOW_MAX);
	*gpa = (limit - img->len) & -PAGE_SIZE;
	to = layout_at(b, *gpa, img->len);
	return to && image_read(b, img, 0, to, img->len);
}

void *layout_own(struct boot *b, uint64_t gpa, uint64_t len)
{
	void *at = mem_at(b->m, gpa, len);

	if (!at) {
		boot_fail(b, NULL, "a guest needs at least 1 MiB of memory: give it more with -m");
		return NULL;
	}
	memset(at, 0, len);
	return at;
}

bool layout_cmdline(struct boot *b, uint64_t max)
{
	size_t len = strlen(b->cmdline);
	char *to;

	if (max > CMDLINE_ROOM - 1)
		max = CMDLINE_ROOM - 1;
	if (len > max)
		return boot_fail(b, NULL,
				 "the command line has %zu characters, and this kernel takes %llu",
				 len, (unsigned long long)max);
	to = layout_own(b, CMDLINE_BASE, len + 1);
	if (to)
		memcpy(to, b->cmdline, len);
	return to;
}
