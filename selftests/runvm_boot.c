// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm run with small images of each kind, which are put together here around the code in
 * guest/runvm_boot.S: that code says whether it was started as its boot protocol promises. Then
 * what runvm says of images that it cannot start.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <string.h>

#include "launch.h"
#include "tap.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

#define PROGRAM(name) extern const char boot_##name[], boot_##name##_end[]
PROGRAM(linux64);
PROGRAM(linux32);
PROGRAM(flat64);
PROGRAM(pvh);
PROGRAM(multiboot);
PROGRAM(real);

#define INITRD	"-i", launch_file("initrd", "from the initrd", sizeof("from the initrd"))
#define CMDLINE	"these are words console=no"	/* or Linux is told of one */
#define SAID	CMDLINE "|from the initrd|"
#define EXIT(n)	((n) << 1 | 1)		/* what the debug port makes of it */

#define LOAD	0x200000
#define OFFSET	0x1000			/* of the code in an ELF file */

static struct launch l;

static void expect(const char *const *args, int status, const char *said)
{
	EXPECT_EQ(launch_all(&l, args), status);
	EXPECT(!strcmp(l.out.text, said), "it said '%s'", l.out.text);
	if (tap_failures())
		tap_note("standard error: %s", l.err.text);
}

static void start(const void *image, size_t len, int status)
{
	expect(ARGS("run", "-k", launch_file("kernel", image, len), INITRD, "-p", CMDLINE, "-m",
		    "16M"), status, SAID);
}

/* ------------------------------------------------------------------------------- images */

static void bzimage(const char *code, size_t len, bool is64)
{
	static uint8_t image[3 * 512 + 4096];
	struct setup_header h = {
		.setup_sects = 2, .syssize = 4096 / 16, .boot_flag = 0xaa55, .jump = 0x66eb,
		.header = 0x53726448, .version = 0x20f, .loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff, .kernel_alignment = LOAD, .relocatable_kernel = 1,
		.xloadflags = is64 ? XLF_KERNEL_64 : 0, .cmdline_size = 255, .pref_address = LOAD,
		.init_size = 0x10000,
	};

	memset(image, 0, sizeof(image));
	memcpy(image + 0x1f1, &h, sizeof(h));
	image[0x201] = 0x1f1 + sizeof(h) - 0x202;
	memcpy(image + 3 * 512 + (is64 ? 0x200 : 0), code, len);
	start(image, sizeof(image), EXIT(is64 ? 0x11 : 0x13));
}

TEST_TIME(bzimage_64, 40)
{
	bzimage(boot_linux64, boot_linux64_end - boot_linux64, true);
}

TEST_TIME(bzimage_32, 40)
{
	bzimage(boot_linux32, boot_linux32_end - boot_linux32, false);
}

TEST_TIME(pvh, 40)
{
	static const struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note = { { 4, 4, 18 }, "Xen", LOAD };
	Elf64_Ehdr e = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 }, .e_type = ET_EXEC,
		.e_machine = EM_X86_64, .e_version = 1, .e_phoff = sizeof(e), .e_phnum = 2,
		.e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr),
	};
	const Elf64_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = OFFSET, .p_paddr = LOAD, .p_filesz = 0x400,
		  .p_memsz = 0x2000 },
		{ .p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = sizeof(note), .p_align = 4 },
	};
	static uint8_t image[OFFSET + 0x400];

	memcpy(image, &e, sizeof(e));
	memcpy(image + sizeof(e), p, sizeof(p));
	memcpy(image + 0x200, &note, sizeof(note));
	memcpy(image + OFFSET, boot_pvh, boot_pvh_end - boot_pvh);
	start(image, sizeof(image), EXIT(0x14));
}

static void multiboot_header(uint8_t *at, uint32_t flags)
{
	const uint32_t header[3] = { 0x1badb002, flags, -(0x1badb002 + flags) };

	memcpy(at, header, sizeof(header));
}

TEST_TIME(multiboot_elf, 40)
{
	const Elf32_Ehdr e = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 }, .e_type = ET_EXEC,
		.e_machine = EM_386, .e_version = 1, .e_entry = LOAD, .e_phoff = sizeof(e),
		.e_phnum = 1, .e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf32_Phdr),
	};
	const Elf32_Phdr p = {
		.p_type = PT_LOAD, .p_offset = OFFSET, .p_vaddr = LOAD, .p_paddr = LOAD,
		.p_filesz = 0x400, .p_memsz = 0x400,
	};
	static uint8_t image[OFFSET + 0x400];

	memcpy(image, &e, sizeof(e));
	memcpy(image + sizeof(e), &p, sizeof(p));
	memcpy(image + OFFSET, boot_multiboot, boot_multiboot_end - boot_multiboot);
	multiboot_header(image + OFFSET + 0x300, 3);
	start(image, sizeof(image), EXIT(0x15));
}

TEST_TIME(multiboot_addresses, 40)
{
	const uint32_t addresses[] = { LOAD, LOAD, 0, 0, LOAD + 0x20 };
	static uint8_t image[0x400];

	multiboot_header(image, 0x10003);
	memcpy(image + 12, addresses, sizeof(addresses));
	memcpy(image + 0x20, boot_multiboot, boot_multiboot_end - boot_multiboot);
	start(image, sizeof(image), EXIT(0x15));
}

#define CODE(name)	launch_file("code", boot_##name, boot_##name##_end - boot_##name)

TEST_TIME(flat_long_mode, 40)
{
	expect(ARGS("run", "-k", CODE(flat64), INITRD, "-p", CMDLINE, "-m", "16M", "--flat",
		    "0x200000"), EXIT(0x12), SAID);
}

/* Started five times by four resets, from an image that is as new each time */
TEST_TIME(flat_real_mode_reset, 40)
{
	expect(ARGS("run", "-k", CODE(real), "-m", "16M", "--flat", "0x7c00"), EXIT(0x16),
	       ".....");
}

/* ----------------------------------------------------------------------------- refusals */

static void refused(const char *const *args, const char *words)
{
	EXPECT_EQ(launch_all(&l, args), 1);
	EXPECT(!*l.out.text, "it said '%s'", l.out.text);
	EXPECT(strstr(l.err.text, words), "'%s' has no '%s'", l.err.text, words);
	EXPECT(strchr(l.err.text, '\n') == l.err.text + l.err.len - 1, "more than a line: %s",
	       l.err.text);
}

TEST_TIME(not_an_image, 60)
{
	static const struct { const char *bytes, *words; } files[] = {
		{ "\x1f\x8b and more of it", "gzip" }, { "#!/bin/sh\n", "script" },
		{ "\177ELF", "truncated" }, { "hello", "--flat" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		refused(ARGS("run", "-m", "16M", "-k",
			     launch_file("none", files[i].bytes, strlen(files[i].bytes))),
			files[i].words);
}

TEST_TIME(does_not_fit, 60)
{
	refused(ARGS("run", "-k", CODE(real), "-m", "1M", "--flat", "0x200000"), "-m");
	refused(ARGS("run", "-k", CODE(real), "-m", "4M", "--flat", "0xf0000"), "runvm's own");
}
