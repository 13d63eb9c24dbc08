// SPDX-License-Identifier: GPL-2.0-only
/* The SMBIOS tables: found, walked and read as a guest does it. */
#include <string.h>

#include "runvm_shim.h"
#include "boot/boot.h"
#include "tap.h"

#define LOW	(4ULL << 20)
#define GIB	(1ULL << 30)

static uint64_t get(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

/* The 64-bit entry point, searched for at each paragraph; the tables' address and length */
static const uint8_t *find_tables(struct machine *m, uint32_t *len)
{
	const uint8_t *p;
	uint64_t gpa;
	unsigned int i;
	uint8_t sum = 0;

	smbios_build(m);
	for (gpa = 0xf0000; gpa < 0x100000; gpa += 16) {
		p = mem_at(m, gpa, 24);
		if (!memcmp(p, "_SM3_", 5))
			break;
	}
	REQUIRE(gpa < 0x100000);
	EXPECT_EQ(p[6], 24);
	for (i = 0; i < p[6]; i++)
		sum += p[i];
	EXPECT_EQ(sum, 0);
	EXPECT_EQ(p[7], 3);
	*len = get(p + 12, 4);
	gpa = get(p + 16, 8);
	REQUIRE(gpa >= 0xf0000 && gpa + *len <= 0x100000);
	return mem_at(m, gpa, *len);
}

/* The @nth structure of @type, its strings behind it; all are walked, up to the last byte */
static const uint8_t *find(struct machine *m, unsigned int type, unsigned int nth)
{
	const uint8_t *p, *end, *found = NULL;
	uint32_t len, handles = 0;

	p = find_tables(m, &len);
	for (end = p + len; p + 4 <= end;) {
		const uint8_t *at = p;

		REQUIRE(p[1] >= 4 && p + p[1] + 2 <= end);
		REQUIRE(get(p + 2, 2) < 32 && !(handles >> get(p + 2, 2) & 1));
		handles |= 1U << get(p + 2, 2);
		if (p[0] == type && !nth--)
			found = p;
		p += p[1];
		while (p + 1 < end && (p[0] || p[1]))
			p++;
		p += 2;
		if (at[0] == 127)
			break;
	}
	REQUIRE(p == end, "%td bytes are left", end - p);
	return found;
}

static const char *string(const uint8_t *structure, unsigned int offset)
{
	const char *s = (const char *)structure + structure[1];
	unsigned int nr = structure[offset];

	if (!nr)
		return "";
	while (--nr)
		s += strlen(s) + 1;
	return s;
}

static void expect_string(const uint8_t *structure, unsigned int offset, const char *text)
{
	EXPECT(!strcmp(string(structure, offset), text), "%s, not %s", string(structure, offset),
	       text);
}

TEST(system)
{
	struct fake_machine *f = fake_machine_new(LOW, 1);
	const uint8_t *p = find(&f->m, 0, 0);

	REQUIRE(p);
	expect_string(p, 4, "hvx");
	expect_string(p, 5, "1.2");
	expect_string(p, 8, "");
	/* "SMBIOS table describes a virtual machine" */
	EXPECT_EQ(p[0x13] & 0x10, 0x10);
	p = find(&f->m, 1, 0);
	REQUIRE(p);
	expect_string(p, 4, "hvx");
	expect_string(p, 5, "runvm");
	expect_string(p, 6, "1.2");
	expect_string(p, 7, "");
	expect_string(p, 0x1a, "Virtual Machine");
	EXPECT(!get(p + 8, 8) && !get(p + 16, 8));
	p = find(&f->m, 3, 0);
	REQUIRE(p);
	expect_string(p, 4, "hvx");
	EXPECT(find(&f->m, 32, 0) && find(&f->m, 127, 0));
	EXPECT(!find(&f->m, 0, 1) && !find(&f->m, 4, 0));
	fake_machine_free(f);
}

static void check_range(struct machine *m, unsigned int nth, uint64_t start, uint64_t len)
{
	const uint8_t *p = find(m, 19, nth);

	REQUIRE(p);
	EXPECT_EQ(get(p + 4, 4) << 10, start);
	EXPECT_EQ((get(p + 8, 4) + 1) << 10, start + len);
	EXPECT_EQ(get(p + 12, 2), get(find(m, 16, 0) + 2, 2));
}

/* @size and @extended as type 17 says how much memory there is */
static void check_memory(uint64_t low, uint64_t high, uint16_t size, uint32_t extended)
{
	struct fake_machine *f = fake_machine_new(low, 1);
	const uint8_t *p;

	fake_set_high(high);
	p = find(&f->m, 16, 0);
	REQUIRE(p);
	EXPECT_EQ(get(p + 7, 4) << 10, low + high);
	p = find(&f->m, 17, 0);
	REQUIRE(p);
	EXPECT_EQ(get(p + 4, 2), get(find(&f->m, 16, 0) + 2, 2));
	EXPECT_EQ(get(p + 12, 2), size);
	EXPECT_EQ(get(p + 0x1c, 4), extended);
	expect_string(p, 0x10, "RAM");
	check_range(&f->m, 0, 0, low);
	if (high)
		check_range(&f->m, 1, 4 * GIB, high);
	EXPECT(!find(&f->m, 19, high ? 2 : 1));
	fake_set_high(0);
	fake_machine_free(f);
}

TEST(memory)
{
	check_memory(1 << 20, 0, 1, 0);
	check_memory((1 << 20) + 4096, 0, 0x8000 | 1028, 0);
	check_memory(LOW, 0, 4, 0);
	check_memory(LOW, 28 * GIB, 28 * 1024 + 4, 0);
	check_memory(LOW, 32 * GIB - LOW - (1 << 20), 0x7fff, 0x7fff);
	check_memory(LOW, 1024 * GIB - LOW, 0x7fff, 1 << 20);
	/* No whole number of MiB, and too many KiB */
	check_memory(LOW, GIB + 4096, 1028, 0);
}

TEST(too_little)
{
	struct fake_machine *f = fake_machine_new(0xff000, 1);

	EXPECT(DIES(smbios_build(&f->m)));
	EXPECT(strstr(died, "at least 1 MiB"), "%s", died);
	fake_machine_free(f);
}
