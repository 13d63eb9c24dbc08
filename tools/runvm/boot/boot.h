/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * boot/: from files to a guest that can take its first step.
 *
 *	boot.c		what machine/ calls; which kind of image a file is
 *	image.c		files, read where they are wanted
 *	layout.c	memory map, room for images
 *	start.c		the first vCPU's registers, descriptor and page tables
 *	mtrr.c		memory types, of all vCPUs
 *	bzimage.c	Linux, by its own boot protocol
 *	elf.c		ELF programs; pvh.c those that begin as PVH says
 *	multiboot.c	multiboot 1
 *	flat.c		bare programs, at an address that the user gave
 *	acpi.c, dsdt.c	ACPI tables; aml.c writes their byte code; srat.c: NUMA nodes
 *	wake.c		waking from S3
 *	smbios.c	SMBIOS tables
 *
 * Images are whatever somebody has downloaded: each size, offset and address in them is checked
 * against the file and against memory before it is used. A loader returns false after it has said
 * what is wrong with boot_fail().
 */
#ifndef RUNVM_BOOT_H
#define RUNVM_BOOT_H

#include "machine.h"

#define GIB_4			0x100000000ULL
#define MIB_1			0x100000ULL

/*
 * Below 1 MiB. Images may use what is free of RAM there; what the first step needs is in OWN_BASE
 * to LOW_END, tables are above it.
 */
#define BDA_BASE		0x400ULL	/* BIOS data area */
#define OWN_BASE		0x80000ULL
#define GDT_BASE		0x80000ULL
#define TSS_BASE		0x80080ULL
#define INFO_BASE		0x81000ULL	/* the boot protocol's own structures, one page */
#define PAGE_TABLES_BASE	0x82000ULL	/* PML4, PDPT, four page directories */
#define STACK_TOP		0x90000ULL	/* for flat programs: 32 KiB */
#define CMDLINE_BASE		0x90000ULL
#define CMDLINE_ROOM		0xf000ULL
#define LOW_END			0x9fc00ULL	/* where an EBDA would begin */
#define ACPI_BASE		0xe0000ULL
#define FACS_BASE		0xe0040ULL	/* behind the RSDP */
#define ACPI_END		0xf0000ULL
#define SMBIOS_BASE		0xf0000ULL	/* up to 1 MiB: guests look no further */
#define SMBIOS_END		0x100000ULL

struct image {
	const char *path;	/* NULL: there is none */
	int fd;			/* -1: @data holds all */
	uint8_t *data;
	uint64_t len;
};

enum start_mode {
	START_REAL,		/* CS base 0 or the entry's paragraph */
	START_VECTOR,		/* real mode, CS base always the entry's paragraph */
	START_PROTECTED,	/* flat 4 GiB segments, no paging */
	START_LONG,		/* the first 4 GiB are mapped to themselves */
};

struct start {
	enum start_mode mode;
	uint64_t entry;
	uint64_t gpr[HVX_NR_GPRS];
};

enum image_kind {
	IMAGE_BZIMAGE,
	IMAGE_ELF_PVH,
	IMAGE_MULTIBOOT,
	IMAGE_FLAT,
};

struct boot {
	struct machine *m;
	struct image kernel;
	struct image initrd;
	const char *cmdline;
	enum image_kind kind;
	struct start start;
	char error[320];
};

/* The Firmware ACPI Control Structure, which the guest writes to: see the ACPI specification */
struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));

/* boot.c */
bool boot_detect(struct boot *b);
bool boot_place(struct boot *b);
bool boot_fail(struct boot *b, const struct image *img, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* image.c */
bool image_open(struct boot *b, struct image *img, const char *path);
void image_close(struct image *img);
bool image_read(struct boot *b, const struct image *img, uint64_t offset, void *to, uint64_t len);
/* Reads what there is of @len bytes at @offset, returns how much; for looking what a file is */
size_t image_peek(const struct image *img, uint64_t offset, void *to, size_t len);

/* layout.c */
enum { RANGE_RAM = 1, RANGE_RESERVED = 2 };	/* the numbers of e820 */
#define MAX_RANGES	8

struct range {
	uint64_t start;
	uint64_t end;
	uint32_t type;
};

unsigned int layout_map(const struct machine *m, struct range out[MAX_RANGES]);
/* Room for a part of an image: in RAM, clear of the tables; NULL after boot_fail() */
void *layout_at(struct boot *b, uint64_t gpa, uint64_t len);
/* @filesz bytes of the kernel's file at @offset to @gpa, zeroes up to @memsz */
bool layout_load(struct boot *b, uint64_t offset, uint64_t filesz, uint64_t gpa, uint64_t memsz);
/* The initrd as high as possible below @most, above @floor; *@gpa is 0 if there is none */
bool layout_initrd(struct boot *b, uint64_t floor, uint64_t most, uint64_t *gpa);
/* The command line, of at most @max characters, to CMDLINE_BASE */
bool layout_cmdline(struct boot *b, uint64_t max);
/* Zeroed room among OWN_BASE .. LOW_END */
void *layout_own(struct boot *b, uint64_t gpa, uint64_t len);

/* smbios.c */
void smbios_build(struct machine *m);

/* start.c */
bool start_tables(struct boot *b);
void start_registers(const struct start *start, struct hvx_run *run);

/* wake.c: where the guest goes on; false after boot_fail() */
bool wake_vector(struct boot *b);

/* mtrr.c */
#define MTRR_COUNT	14
unsigned int mtrr_list(struct hvx_msr list[MTRR_COUNT], unsigned int gpa_bits);
void mtrr_set(struct machine *m);

/* The loaders */
bool bzimage_is(const struct image *img);
bool bzimage_load(struct boot *b);
bool elf_is(const struct image *img);
/* Whether there is a PVH entry: 1, 0, -1 after boot_fail() */
int pvh_is(struct boot *b);
bool pvh_load(struct boot *b);
bool multiboot_is(const struct image *img);
bool multiboot_load(struct boot *b);
bool flat_load(struct boot *b);

/* elf.c: for pvh.c and multiboot.c */
struct elf_file {
	bool is64;
	uint64_t entry;		/* physical, as segments translate it */
	uint64_t phoff;
	unsigned int phnum;
	unsigned int phentsize;
	uint64_t end;		/* of the highest segment; elf_load() */
};

bool elf_open(struct boot *b, struct elf_file *elf);
bool elf_find_note(struct boot *b, const struct elf_file *elf, const char *name, uint32_t type,
		   uint64_t *value, bool *found);
bool elf_load(struct boot *b, struct elf_file *elf);
/* Whether @gpa is in a segment */
bool elf_covers(struct boot *b, const struct elf_file *elf, uint64_t gpa);

/* pvh.c: hvm_start_info at INFO_BASE, for flat.c as well; @floor: end of the image */
bool pvh_info(struct boot *b, uint64_t floor);

#endif
