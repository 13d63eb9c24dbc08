// SPDX-License-Identifier: GPL-2.0-only
/* boot.c: what machine/ calls; which kind of image a file is, and what it is when it is none. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "boot/boot.h"

static struct boot the_boot;
static bool placed;			/* boot_load() has put the image there already */

bool boot_fail(struct boot *b, const struct image *img, const char *format, ...)
{
	va_list args;
	int n = 0;

	if (img)
		n = snprintf(b->error, sizeof(b->error), "%.160s: ", img->path);
	va_start(args, format);
	vsnprintf(b->error + n, sizeof(b->error) - n, format, args);
	va_end(args);
	return false;
}

#define MAGIC(offset, bytes, text)	{ offset, sizeof(bytes) - 1, bytes, text }
#define COMPRESSED(how)			"it is compressed with " how ": unpack it first"

/* What people give for a kernel by mistake; the first that fits counts */
static const struct {
	unsigned int offset;
	unsigned int len;
	const char *bytes;
	const char *text;
} others[] = {
	MAGIC(0, "\x1f\x8b", COMPRESSED("gzip")),
	MAGIC(0, "\3757zXZ\0", COMPRESSED("xz")),
	MAGIC(0, "\x28\xb5\x2f\xfd", COMPRESSED("zstd")),
	MAGIC(0, "BZh", COMPRESSED("bzip2")),
	MAGIC(0, "\x02\x21\x4c\x18", COMPRESSED("lz4")),
	MAGIC(0, "\x5d\0\0", COMPRESSED("lzma")),
	MAGIC(0, "070701", "an initramfs, not a kernel: give it with -i"),
	MAGIC(0, "070702", "an initramfs, not a kernel: give it with -i"),
	MAGIC(0, "QFI\xfb", "a disk image in qcow2 format, not a kernel"),
	MAGIC(0, "!<arch>\n", "a package or library, not a kernel"),
	MAGIC(0, "#!", "a script, not a kernel"),
	MAGIC(0x38, "ARM\x64", "a kernel for 64-bit ARM"),
	MAGIC(0x30, "RISCV", "a kernel for RISC-V"),
	MAGIC(0, "MZ", "an EFI program, which needs firmware: take the bzImage that is in it"),
	MAGIC(0x1fe, "\x55\xaa", "a boot sector or disk image, not a kernel: give disks with -d"),
	MAGIC(0x438, "\x53\xef", "an ext4 file system, not a kernel: give disks with -d"),
	MAGIC(0x8001, "CD001", "a CD image, not a kernel: give disks with -d"),
};

static const char *what_else(const struct image *img)
{
	char bytes[16];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (image_peek(img, others[i].offset, bytes, others[i].len) == others[i].len &&
		    !memcmp(bytes, others[i].bytes, others[i].len))
			return others[i].text;
	return "neither bzImage nor ELF nor multiboot (bare programs need --flat ADDR)";
}

static bool detect_elf(struct boot *b)
{
	int pvh = pvh_is(b);

	if (pvh > 0)
		b->kind = IMAGE_ELF_PVH;
	else if (!pvh && multiboot_is(&b->kernel))
		b->kind = IMAGE_MULTIBOOT;
	else if (!pvh)
		return boot_fail(b, &b->kernel,
				 "an ELF program with neither PVH note nor multiboot header: build Linux with CONFIG_PVH, or take its bzImage");
	return pvh >= 0;
}

bool boot_detect(struct boot *b)
{
	if (b->m->options->flat)
		b->kind = IMAGE_FLAT;
	else if (bzimage_is(&b->kernel))
		b->kind = IMAGE_BZIMAGE;
	else if (elf_is(&b->kernel))
		return detect_elf(b);
	else if (multiboot_is(&b->kernel))
		b->kind = IMAGE_MULTIBOOT;
	else
		return boot_fail(b, &b->kernel, "%s", what_else(&b->kernel));
	return true;
}

bool boot_place(struct boot *b)
{
	b->start = (struct start){ };
	switch (b->kind) {
	case IMAGE_BZIMAGE:
		return bzimage_load(b) && start_tables(b);
	case IMAGE_ELF_PVH:
		return pvh_load(b) && start_tables(b);
	case IMAGE_MULTIBOOT:
		return multiboot_load(b) && start_tables(b);
	case IMAGE_FLAT:
		return flat_load(b) && start_tables(b);
	}
	return false;
}

/* Whether one of the words of @line begins with @key */
static bool has_word(const char *line, const char *key)
{
	const char *p = line;

	while ((p = strstr(p, key))) {
		if (p == line || p[-1] == ' ')
			return true;
		p++;
	}
	return false;
}

/* Where Linux's messages go, unless the user has said so; other kernels are told nothing */
static void add_console(struct boot *b)
{
	static const char *const names[] = {
		[CONSOLE_SERIAL] = "ttyS0", [CONSOLE_VIRTIO] = "hvc0", [CONSOLE_NONE] = NULL,
	};
	const char *name = names[b->m->options->console];
	char *all;

	if (!name || has_word(b->cmdline, "console=") ||
	    (b->kind != IMAGE_BZIMAGE && b->kind != IMAGE_ELF_PVH))
		return;
	if (asprintf(&all, "%s%sconsole=%s", b->cmdline, *b->cmdline ? " " : "", name) < 0)
		die("not enough memory");
	b->cmdline = all;
}

void boot_load(struct machine *m)
{
	const struct options *o = m->options;
	struct boot *b = &the_boot;

	*b = (struct boot){ .m = m, .cmdline = o->cmdline ? o->cmdline : "" };
	if (!image_open(b, &b->kernel, o->kernel) ||
	    (o->initrd && !image_open(b, &b->initrd, o->initrd)) ||
	    !boot_detect(b))
		die("%s", b->error);
	add_console(b);
	if (!boot_place(b))
		die("%s", b->error);
	placed = true;
}

void boot_prepare(struct machine *m, struct vcpu *first)
{
	struct boot *b = &the_boot;

	/* The files may have changed since, so that all is checked again */
	if (!placed && (!boot_detect(b) || !boot_place(b)))
		die("%s", b->error);
	placed = false;
	acpi_build(m);
	smbios_build(m);
	mtrr_set(m);
	vcpu_get(first, HVX_REGS_ALL);
	start_registers(&b->start, first->run);
}
