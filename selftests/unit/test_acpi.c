// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables: found and summed as a guest does it, for 1 to 254 vCPUs; then read by iasl, the
 * reference disassembler, where that is installed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/boot.h"
#include "options_nodes.h"
#include "runvm_shim.h"
#include "tap.h"

#define LOW	(4ULL << 20)
#define HEADER	36

static const unsigned int sizes[] = { 1, 2, 16, 63, 64, 254 };

static uint64_t get(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static unsigned int sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

/* A table at @gpa, checked as far as all tables are alike */
static const uint8_t *table(struct machine *m, uint64_t gpa, const char *signature)
{
	const uint8_t *t = mem_at(m, gpa, HEADER);
	uint32_t len;

	REQUIRE(t && gpa >= 0xe0000 && gpa < 0x100000);
	REQUIRE(!memcmp(t, signature, 4), "%.4s, not %s", (const char *)t, signature);
	len = get(t + 4, 4);
	REQUIRE(len >= HEADER && gpa + len <= 0x100000, "%s: %u bytes", signature, len);
	if (strcmp(signature, "FACS"))
		EXPECT_EQ(sum(t, len), 0);
	return t;
}

/* The table that the XSDT lists as @signature */
static const uint8_t *find(struct machine *m, const char *signature)
{
	const uint8_t *rsdp = mem_at(m, acpi_build(m), HEADER), *xsdt, *t;
	unsigned int i, n;

	REQUIRE(rsdp && !memcmp(rsdp, "RSD PTR ", 8));
	EXPECT_EQ(sum(rsdp, 20), 0);
	EXPECT_EQ(sum(rsdp, 36), 0);
	xsdt = table(m, get(rsdp + 24, 8), "XSDT");
	n = (get(xsdt + 4, 4) - HEADER) / 8;
	for (i = 0; i < n; i++) {
		t = mem_at(m, get(xsdt + HEADER + 8 * i, 8), HEADER);
		REQUIRE(t);
		if (!memcmp(t, signature, 4))
			return table(m, get(xsdt + HEADER + 8 * i, 8), signature);
	}
	tap_failed(__FILE__, __LINE__, "find", " no %s", signature);
	tap_abort();
}

TEST(rsdp_in_bios_area)
{
	struct fake_machine *f = fake_machine_new(LOW, 1);
	uint64_t at = acpi_build(&f->m);

	EXPECT(at >= 0xe0000 && at < 0x100000 && !(at & 15));
	fake_machine_free(f);
}

TEST(fadt)
{
	struct fake_machine *f = fake_machine_new(LOW, 2);
	const uint8_t *t = find(&f->m, "FACP");

	EXPECT_EQ(get(t + 4, 4), 276);
	table(&f->m, get(t + 36, 4), "FACS");
	EXPECT_EQ(get(t + 36, 4) % 64, 0);
	table(&f->m, get(t + 40, 4), "DSDT");
	EXPECT_EQ(get(t + 140, 8), get(t + 40, 4));
	EXPECT_EQ(get(t + 46, 2), GSI_SCI);
	EXPECT_EQ(get(t + 48, 4), 0);		/* no SMI_CMD: always in ACPI mode */
	EXPECT_EQ(get(t + 56, 4), PORT_ACPI_PM1_EVT);
	EXPECT_EQ(get(t + 64, 4), PORT_ACPI_PM1_CNT);
	EXPECT_EQ(get(t + 76, 4), PORT_ACPI_PM_TIMER);
	EXPECT_EQ(get(t + 108, 1), CMOS_CENTURY);
	/* The power button, the sleep button and the alarm that wakes are fixed features */
	EXPECT(!(get(t + 112, 4) & 7 << 4));
	EXPECT(get(t + 112, 4) & 1 << 10);	/* there is a reset register: */
	EXPECT_EQ(get(t + 116, 1), 1);
	EXPECT_EQ(get(t + 120, 8), PORT_RESET);
	EXPECT_EQ(get(t + 128, 1), RESET_CONTROL_FULL);
	fake_machine_free(f);
}

/* SLP_TYP as the DSDT has it for this state, -1 without the state */
static int slp_typ(struct machine *m, const char *name)
{
	const uint8_t *t = mem_at(m, get(find(m, "FACP") + 40, 4), HEADER);
	const uint8_t *p, *end = t + get(t + 4, 4);

	/* NameOp, '\\', the name, PackageOp of four elements, of which the first is a byte */
	for (p = t + HEADER; p + 12 <= end; p++)
		if (p[0] == 0x08 && p[1] == '\\' && !memcmp(p + 2, name, 4) && p[6] == 0x12 &&
		    p[8] == 4 && p[9] == 0x0a)
			return p[10];
	return -1;
}

TEST(sleep_states)
{
	struct fake_machine *f = fake_machine_new(LOW, 2);

	EXPECT_EQ(slp_typ(&f->m, "_S1_"), -1);
	EXPECT_EQ(slp_typ(&f->m, "_S2_"), -1);
	EXPECT_EQ(slp_typ(&f->m, "_S3_"), ACPI_SLP_TYP_S3);
	EXPECT_EQ(slp_typ(&f->m, "_S4_"), -1);
	EXPECT_EQ(slp_typ(&f->m, "_S5_"), ACPI_SLP_TYP_S5);
	fake_machine_free(f);
}

/* Where the guest puts the waking vector is where it is looked for */
TEST(facs)
{
	struct fake_machine *f = fake_machine_new(LOW, 2);
	uint64_t at = get(find(&f->m, "FACP") + 36, 4);
	struct facs *facs = mem_at(&f->m, at, sizeof(*facs));

	EXPECT_EQ(at, FACS_BASE);
	EXPECT(!memcmp(facs->signature, "FACS", 4));
	EXPECT_EQ(facs->length, 64);
	EXPECT_EQ(facs->waking_vector, 0);
	EXPECT_EQ(facs->x_waking_vector, 0);
	EXPECT_EQ(facs->flags, 0);
	fake_machine_free(f);
}

static void check_madt(unsigned int nr)
{
	struct fake_machine *f = fake_machine_new(LOW, nr);
	unsigned int lapics = 0, ioapics = 0, timer = 0, sci = 0, others = 0, nmi = 0;
	const uint8_t *t, *p, *end;

	f->m.nr_virtio_mmio = VIRTIO_MMIO_MAX;
	t = find(&f->m, "APIC");
	end = t + get(t + 4, 4);
	for (p = t + 44; p < end; p += p[1]) {
		REQUIRE(p + 2 <= end && p[1] >= 2 && p + p[1] <= end);
		if (p[0] == 0) {
			EXPECT_EQ(p[3], lapics);
			EXPECT_EQ(get(p + 4, 4), 1);
			lapics++;
		} else if (p[0] == 1) {
			EXPECT_EQ(get(p + 4, 4), IOAPIC_BASE);
			EXPECT_EQ(get(p + 8, 4), 0);
			ioapics++;
		} else if (p[0] == 2) {
			timer += p[3] == 0 && get(p + 4, 4) == 2 && get(p + 8, 2) == 0;
			sci += p[3] == 9 && get(p + 4, 4) == 9 && get(p + 8, 2) == 0xd;
			others += p[3] != 0 && p[3] != 9;
		} else if (p[0] == 4) {
			nmi += p[2] == 0xff && p[5] == 1;
		}
	}
	EXPECT_EQ(lapics, nr);
	EXPECT_EQ(ioapics, 1);
	EXPECT_EQ(timer, 1);
	EXPECT_EQ(sci, 1);
	EXPECT_EQ(others, 0);
	EXPECT_EQ(nmi, 1);
	fake_machine_free(f);
}

TEST(madt)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		check_madt(sizes[i]);
}

/* Slots of virtio over MMIO as the DSDT announces them: a bit for each */
static uint32_t announced(struct machine *m)
{
	const uint8_t *t = mem_at(m, get(find(m, "FACP") + 40, 4), HEADER);
	const uint8_t *p, *end = t + get(t + 4, 4);
	uint32_t slots = 0;

	for (p = t + HEADER; p + 21 <= end; p++) {
		uint64_t slot = (get(p + 4, 4) - VIRTIO_MMIO_BASE) / VIRTIO_MMIO_STEP;

		/* "32-Bit Fixed Memory Range Descriptor", then "Extended Interrupt Descriptor" */
		if (memcmp(p, "\x86\x09\x00\x01", 4) || slot >= VIRTIO_MMIO_MAX)
			continue;
		EXPECT_EQ(get(p + 4, 4), virtio_mmio_base(slot));
		EXPECT_EQ(get(p + 8, 4), VIRTIO_MMIO_STEP);
		EXPECT(!memcmp(p + 12, "\x89\x06\x00\x09\x01", 5));
		EXPECT_EQ(get(p + 17, 4), virtio_mmio_gsi(slot));
		EXPECT(!(slots & 1u << slot));
		slots |= 1u << slot;
	}
	return slots;
}

TEST(virtio_mmio)
{
	static const unsigned int nr[] = { 0, 1, 5, VIRTIO_MMIO_MAX };
	struct fake_machine *f = fake_machine_new(LOW, 2);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		f->m.nr_virtio_mmio = nr[i];
		EXPECT_EQ(announced(&f->m), (1ULL << nr[i]) - 1);
	}
	fake_machine_free(f);
}

TEST(mcfg)
{
	struct fake_machine *f = fake_machine_new(LOW, 1);
	const uint8_t *t = find(&f->m, "MCFG");

	EXPECT_EQ(get(t + 44, 8), ECAM_BASE);
	EXPECT_EQ(t[54], 0);
	EXPECT_EQ((t[55] + 1ULL) << 20, ECAM_SIZE);
	fake_machine_free(f);
}

/* ------------------------------------------------------------------------------ nodes */

#define MAX_SEEN	8

static struct seen {
	unsigned int cpus[256];		/* times that an APIC ID was named, its node + 1 */
	struct { uint64_t base, end; unsigned int node; } range[MAX_SEEN];
	unsigned int ranges;
} seen;

static void see_srat(const uint8_t *t)
{
	const uint8_t *p, *end = t + get(t + 4, 4);

	memset(&seen, 0, sizeof(seen));
	EXPECT_EQ(get(t + 36, 4), 1);
	for (p = t + 48; p < end; p += p[1]) {
		REQUIRE(p + 2 <= end && p[1] >= 2 && p + p[1] <= end);
		if (p[0] == 0) {
			EXPECT_EQ(p[1], 16);
			EXPECT_EQ(get(p + 4, 4), 1);
			EXPECT_EQ(seen.cpus[p[3]], 0);
			seen.cpus[p[3]] = p[2] + 1;
		} else {
			REQUIRE(p[0] == 1 && p[1] == 40 && seen.ranges < MAX_SEEN);
			EXPECT_EQ(get(p + 28, 4), 1);
			seen.range[seen.ranges].base = get(p + 8, 8);
			seen.range[seen.ranges].end = get(p + 8, 8) + get(p + 16, 8);
			seen.range[seen.ranges++].node = get(p + 2, 4);
		}
	}
}

static void expect_range(unsigned int i, unsigned int node, uint64_t base, uint64_t end)
{
	EXPECT_EQ(seen.range[i].node, node);
	EXPECT_EQ(seen.range[i].base, base);
	EXPECT_EQ(seen.range[i].end, end);
}

/* The second node lies around the hole below 4 GiB, the third has no memory */
static struct fake_machine *three_nodes(unsigned int nr_vcpus)
{
	struct fake_machine *f = fake_machine_new(LOW, nr_vcpus);
	unsigned int i;

	fake_set_high(12ULL << 20);
	set_numa(&f->options, "cpus=0-1,mem=2,distance=10:15:30");
	set_numa(&f->options, "cpus=3-253,mem=12");
	set_numa(&f->options, "cpus=2");
	set_numa(&f->options, "mem=2");
	f->options.node[0].distance[3] = 40;
	f->options.node[0].nr_distances = 4;
	for (i = nr_vcpus; i < CPU_SETSIZE; i++)
		CPU_CLR(i, &f->options.node[1].cpus);
	return f;
}

TEST(srat)
{
	struct fake_machine *f = three_nodes(254);
	unsigned int i;

	see_srat(find(&f->m, "SRAT"));
	for (i = 0; i < 256; i++)
		EXPECT_EQ(seen.cpus[i], i >= 254 ? 0 : i < 2 ? 1 : i == 2 ? 3 : 2);
	EXPECT_EQ(seen.ranges, 4);
	expect_range(0, 0, 0, 2 << 20);
	expect_range(1, 1, 2 << 20, LOW);
	expect_range(2, 1, 4ULL << 30, (4ULL << 30) + (10 << 20));
	expect_range(3, 3, (4ULL << 30) + (10 << 20), (4ULL << 30) + (12 << 20));
	fake_set_high(0);
	fake_machine_free(f);
}

TEST(slit)
{
	static const uint8_t matrix[16] = {
		10, 15, 30, 40, 20, 10, 20, 20, 20, 20, 10, 20, 20, 20, 20, 10,
	};
	struct fake_machine *f = three_nodes(4);
	const uint8_t *t = find(&f->m, "SLIT");

	EXPECT_EQ(get(t + 4, 4), 36 + 8 + 16);
	EXPECT_EQ(get(t + 36, 8), 4);
	EXPECT(!memcmp(t + 44, matrix, sizeof(matrix)));
	fake_set_high(0);
	fake_machine_free(f);
}

/* Built anew over what a guest left there, the tables are the same */
TEST(again)
{
	struct fake_machine *f = fake_machine_new(LOW, 16);
	static uint8_t before[0x20000];
	uint8_t *area = mem_at(&f->m, 0xe0000, sizeof(before));

	memset(area, 0, sizeof(before));
	acpi_build(&f->m);
	memcpy(before, area, sizeof(before));
	memset(area + 36, 0, 8192);
	acpi_build(&f->m);
	EXPECT(!memcmp(before, area, sizeof(before)));
	fake_machine_free(f);
}

TEST(too_little_memory)
{
	struct fake_machine *f = fake_machine_new(1 << 19, 1);

	EXPECT(DIES(acpi_build(&f->m)));
	EXPECT(strstr(died, "-m"), "%s", died);
	fake_machine_free(f);
}

static void write_table(const char *dir, const char *name, const uint8_t *t)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	file = fopen(path, "wb");
	REQUIRE(file && fwrite(t, get(t + 4, 4), 1, file) == 1 && !fclose(file));
}

/* iasl takes the table apart and, for the DSDT, puts it together to the same bytes again */
static void check_iasl(const char *dir, const char *name, bool again)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd),
		 "cd %s && iasl -d %s.dat >%s.log 2>&1 && ! grep -Ei 'error|warning|invalid' %s.log %s.dsl",
		 dir, name, name, name, name);
	EXPECT(!system(cmd), "%s: see what iasl says above", name);
	if (!again)
		return;
	snprintf(cmd, sizeof(cmd),
		 "cd %s && iasl -we -oa -p new %s.dsl >new.log 2>&1 && tail -c +37 new.aml >new.body && tail -c +37 %s.dat | cmp - new.body || { cat new.log; false; }",
		 dir, name, name);
	EXPECT(!system(cmd), "%s: assembles to something else", name);
}

TEST_TIME(iasl, 180)
{
	char dir[] = "/tmp/hvx-acpi-XXXXXX", cmd[64];
	struct fake_machine *f;
	const uint8_t *t;
	unsigned int i;

	if (system("iasl -v >/dev/null 2>&1"))
		SKIP("no iasl: apt-get install acpica-tools");
	REQUIRE(mkdtemp(dir));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		f = three_nodes(sizes[i]);
		f->m.nr_virtio_mmio = i ? VIRTIO_MMIO_MAX : 1;
		t = find(&f->m, "FACP");
		write_table(dir, "facp", t);
		write_table(dir, "dsdt", mem_at(&f->m, get(t + 40, 4), HEADER));
		write_table(dir, "apic", find(&f->m, "APIC"));
		write_table(dir, "mcfg", find(&f->m, "MCFG"));
		write_table(dir, "srat", find(&f->m, "SRAT"));
		write_table(dir, "slit", find(&f->m, "SLIT"));
		check_iasl(dir, "srat", false);
		check_iasl(dir, "slit", false);
		check_iasl(dir, "facp", false);
		check_iasl(dir, "apic", false);
		check_iasl(dir, "mcfg", false);
		check_iasl(dir, "dsdt", true);
		fake_set_high(0);
		fake_machine_free(f);
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (!tap_failures())
		EXPECT(!system(cmd));
}
