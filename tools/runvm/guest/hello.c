// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest "hello": a freestanding 64-bit program that greets and says what its virtual CPU looks
 * like from inside.
 */
#include <cpuid.h>
#include <stdint.h>

#include "hello.h"

struct name {
	uint32_t bit;
	const char *text;
};

static void put(char c)
{
	asm volatile("out %0, %1" : : "a"(c), "Nd"((uint16_t)HELLO_PORT_SERIAL));
}

static void print(const char *text)
{
	while (*text)
		put(*text++);
}

static void print_dec(uint64_t n)
{
	char text[21], *p = text + sizeof(text) - 1;

	*p = 0;
	do {
		*--p = '0' + n % 10;
		n /= 10;
	} while (n);
	print(p);
}

static void print_hex(uint64_t n)
{
	int shift = 60;

	while (shift && !(n >> shift))
		shift -= 4;
	print("0x");
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[n >> shift & 0xf]);
}

static void print_names(uint64_t value, const struct name *name)
{
	for (; name->text; name++) {
		if (value >> name->bit & 1) {
			put(' ');
			print(name->text);
		}
	}
}

static void print_register(const char *label, uint64_t value, const struct name *names)
{
	print(label);
	print_hex(value);
	print_names(value, names);
	put('\n');
}

/* ---------------------------------------------------------------------- facts */

static const struct name cr0_names[] = {
	{ 0, "PE" }, { 1, "MP" }, { 2, "EM" }, { 3, "TS" }, { 4, "ET" }, { 5, "NE" }, { 16, "WP" },
	{ 18, "AM" }, { 29, "NW" }, { 30, "CD" }, { 31, "PG" }, { }
};

static const struct name cr4_names[] = {
	{ 3, "DE" }, { 4, "PSE" }, { 5, "PAE" }, { 6, "MCE" }, { 7, "PGE" }, { 9, "OSFXSR" },
	{ 10, "OSXMMEXCPT" }, { 13, "VMXE" }, { 16, "FSGSBASE" }, { 18, "OSXSAVE" }, { }
};

static const struct name efer_names[] = {
	{ 0, "SCE" }, { 8, "LME" }, { 10, "LMA" }, { 11, "NXE" }, { 12, "SVME" }, { }
};

/* CPUID.1:ECX, CPUID.1:EDX, CPUID.7:EBX, CPUID.80000001:EDX */
static const struct name ecx1_names[] = {
	{ 0, "sse3" }, { 9, "ssse3" }, { 12, "fma" }, { 13, "cx16" }, { 19, "sse4.1" },
	{ 20, "sse4.2" }, { 23, "popcnt" }, { 25, "aes" }, { 26, "xsave" }, { 28, "avx" },
	{ 30, "rdrand" }, { }
};

static const struct name edx1_names[] = {
	{ 0, "fpu" }, { 4, "tsc" }, { 6, "pae" }, { 8, "cx8" }, { 9, "apic" }, { 15, "cmov" },
	{ 25, "sse" }, { 26, "sse2" }, { }
};

static const struct name ebx7_names[] = {
	{ 0, "fsgsbase" }, { 3, "bmi1" }, { 5, "avx2" }, { 7, "smep" }, { 8, "bmi2" },
	{ 16, "avx512f" }, { 20, "smap" }, { 29, "sha" }, { }
};

static const struct name edxx1_names[] = {
	{ 11, "syscall" }, { 20, "nx" }, { 26, "1gb-pages" }, { 27, "rdtscp" }, { 29, "64-bit" },
	{ }
};

static void print_brand(void)
{
	uint32_t r[13] = { 0 };
	const char *p = (const char *)r;
	unsigned int i;

	if (__get_cpuid_max(0x80000000, 0) < 0x80000004)
		return;
	for (i = 0; i < 3; i++)
		__cpuid(0x80000002 + i, r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
	while (*p == ' ')
		p++;
	print("  brand       ");
	print(p);
	put('\n');
}

static void print_identity(void)
{
	uint32_t a, b, c, d, r[4] = { 0 };

	__cpuid(0, a, r[0], r[2], r[1]);
	print("  vendor      ");
	print((const char *)r);
	put('\n');
	print_brand();
	__cpuid(1, a, b, c, d);
	print("  family      ");
	print_dec((a >> 8 & 0xf) + ((a >> 8 & 0xf) == 0xf ? a >> 20 & 0xff : 0));
	print(", model ");
	print_dec((a >> 4 & 0xf) | (a >> 12 & 0xf0));
	print(", stepping ");
	print_dec(a & 0xf);
	put('\n');
}

static void print_features(void)
{
	uint32_t a, b, c, d;

	print("  features   ");
	__cpuid(1, a, b, c, d);
	print_names(d, edx1_names);
	print_names(c, ecx1_names);
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
		print_names(b, ebx7_names);
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		print_names(d, edxx1_names);
	put('\n');
	__cpuid(1, a, b, c, d);
	print(c >> 31 & 1 ? "  hypervisor  the CPU says that there is one\n" :
			    "  hypervisor  the CPU does not mention one\n");
}

static void print_registers(void)
{
	uint64_t cr0, cr4;
	uint32_t lo, hi;

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(0xc0000080));
	print_register("  CR0         ", cr0, cr0_names);
	print_register("  CR4         ", cr4, cr4_names);
	print_register("  EFER        ", lo | (uint64_t)hi << 32, efer_names);
}

static void print_tsc(const struct hello_info *info)
{
	print("  TSC         ");
	if (info->tsc_khz) {
		print_dec(info->tsc_khz / 1000);
		print(" MHz\n");
	} else {
		print("of unknown rate\n");
	}
}

/* One byte of each page, so that the memory is not only promised */
static int check_memory(uint64_t from, uint64_t to)
{
	volatile uint8_t *p;
	int bad = 0;

	for (p = (volatile uint8_t *)from; p < (volatile uint8_t *)to; p += 4096)
		*p = (uintptr_t)p >> 12;
	for (p = (volatile uint8_t *)from; p < (volatile uint8_t *)to; p += 4096)
		bad |= *p != (uint8_t)((uintptr_t)p >> 12);
	return bad;
}

static int print_memory(const struct hello_info *info)
{
	extern char image_end[];
	int bad = check_memory(((uintptr_t)image_end + 4095) & -4096UL, info->mem_size);

	print("  memory      ");
	print_dec(info->mem_size >> 20);
	print(bad ? " MiB, but it does not keep what is written\n" : " MiB, every page tried\n");
	return bad;
}

static void print_exits(void)
{
	uint32_t exits;

	asm volatile("in %1, %0" : "=a"(exits) : "Nd"((uint16_t)HELLO_PORT_EXITS));
	print("  exits       ");
	print_dec(exits);
	print(" so far\n");
}

int hello(const struct hello_info *info)
{
	int bad;

	print("Hello from 64-bit mode, inside a guest of hvx.\n");
	print_identity();
	print_features();
	print_registers();
	print_tsc(info);
	bad = print_memory(info);
	print_exits();
	return bad;
}
