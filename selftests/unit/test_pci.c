// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus of runvm, as a guest sees it: configuration space both ways, BARs, MSI-X, lines. Then
 * a guest that writes at random, against the rules of who answers where.
 */
#include <string.h>
#include <unistd.h>

#include "fake_machine/fake_machine.h"
#include "pci/pci.h"
#include "tap.h"

#define NR_DEVICES	5
#define VECTORS		3
#define BAR_SIZE	0x2000u
#define PORTS		16u

#define MSI_ADDRESS	0xfee01000u

static struct pci_device device[NR_DEVICES];
static uint64_t moved_to[NR_DEVICES], moved_to_port[NR_DEVICES];
static unsigned int masters[NR_DEVICES];

static void access_bar(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	uint32_t value = ((struct pci_device *)opaque)->slot << 16 | offset;

	if (!write)
		memcpy(data, &value, len < 4 ? len : 4);
}

static void moved(struct pci_device *d, uint64_t gpa, bool here)
{
	EXPECT(here ? !moved_to[d->slot - 1] : moved_to[d->slot - 1] == gpa);
	moved_to[d->slot - 1] = here ? gpa : 0;
}

static void moved_port(struct pci_device *d, uint64_t port, bool here)
{
	EXPECT(here ? !moved_to_port[d->slot - 1] : moved_to_port[d->slot - 1] == port);
	moved_to_port[d->slot - 1] = here ? port : 0;
}

static void bus_master(struct pci_device *d, bool on)
{
	masters[d->slot - 1] = on;
}

static void set_up(void)
{
	const struct pci_id id = {
		.vendor = 0x1af4, .device = 0x1042, .subsystem_vendor = 0x1234, .subsystem = 0x5678,
		.class = 0x010203, .revision = 9,
	};
	const uint8_t cap[] = { PCI_CAP_ID_VNDR, 0, 6, 1, 2, 3 };
	unsigned int i;

	fake_init(4096);
	pci_create(&fake);
	for (i = 0; i < NR_DEVICES; i++) {
		struct pci_device *d = &device[i];

		pci_init(d, &fake, "test", &id);
		pci_add_bar(d, 0, BAR_SIZE, access_bar, d);
		d->bar[0].moved = moved;
		pci_add_io_bar(d, 3, PORTS, access_bar, d);
		d->bar[3].moved = moved_port;
		d->bus_master = bus_master;
		pci_add_cap(d, cap, sizeof(cap));
		pci_add_msix(d, 1, VECTORS);
		pci_add(d, true);
	}
	fake_start();
}

/* ------------------------------------------------------------------------------- access */

static uint64_t at(unsigned int slot, unsigned int reg)
{
	return ECAM_BASE + (slot << 15) + reg;
}

static uint32_t get(unsigned int slot, unsigned int reg, unsigned int len)
{
	return fake_read(at(slot, reg), len);
}

static void set(unsigned int slot, unsigned int reg, unsigned int len, uint32_t value)
{
	fake_write(at(slot, reg), len, value);
}

static uint32_t get_by_port(unsigned int slot, unsigned int reg, unsigned int len)
{
	fake_out(0xcf8, 4, 1u << 31 | slot << 11 | (reg & ~3u));
	return fake_in(0xcfc + (reg & 3), len);
}

static uint32_t bar_of(unsigned int slot, unsigned int nr)
{
	return get(slot, PCI_BASE_ADDRESS_0 + 4 * nr, 4);
}

static void enable(unsigned int slot)
{
	set(slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

TEST(header)
{
	unsigned int reg;

	set_up();
	EXPECT_EQ(get(0, 0, 4), 0x00081b36);
	EXPECT_EQ(get(0, PCI_CLASS_DEVICE, 2), 0x0600);
	EXPECT_EQ(get(1, PCI_VENDOR_ID, 4), 0x10421af4);
	EXPECT_EQ(get(1, PCI_CLASS_REVISION, 4), 0x01020309);
	EXPECT_EQ(get(1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x56781234);
	EXPECT_EQ(get(1, PCI_INTERRUPT_PIN, 1), 1);
	EXPECT_EQ(get(0, PCI_INTERRUPT_PIN, 1), 0);
	/* All widths, all places, both ways */
	for (reg = 0; reg < 256; reg++) {
		EXPECT_EQ(get(1, reg, 1), get(1, reg & ~3u, 4) >> 8 * (reg & 3) & 0xff);
		EXPECT_EQ(get_by_port(1, reg, 1), get(1, reg, 1));
		if (!(reg & 1))
			EXPECT_EQ(get_by_port(1, reg, 2), get(1, reg, 2));
		if (!(reg & 3))
			EXPECT_EQ(get_by_port(1, reg, 4), get(1, reg, 4));
	}
	EXPECT_EQ(fake_read(at(1, 0), 8), 0x10421af4 | (uint64_t)get(1, 4, 4) << 32);
}

TEST(nobody_there)
{
	set_up();
	EXPECT_EQ(get(NR_DEVICES + 1, 0, 4), 0xffffffff);
	EXPECT_EQ(get(31, 0, 2), 0xffff);
	EXPECT_EQ(fake_read(at(1, 0) + 0x1000, 4), 0xffffffff);	/* function 1 */
	EXPECT_EQ(get(1, 256, 4), 0);				/* no extended capabilities */
	EXPECT_EQ(get(1, 254, 4), 0);
	EXPECT_EQ(get(1, 0xffe, 4), 0xffffffff);		/* into the next function */
	EXPECT_EQ(get_by_port(31, 0, 4), 0xffffffff);
	fake_out(0xcf8, 4, 1u << 11);				/* not enabled */
	EXPECT_EQ(fake_in(0xcfc, 4), 0xffffffff);
	EXPECT_EQ(fake_in(0xcf8, 4), 1u << 11);
	fake_out(0xcf8, 2, 0xffff);				/* no double word: not for it */
	fake_out(0xcf8, 1, 0xff);
	EXPECT_EQ(fake_in(0xcf8, 4), 1u << 11);
	fake_out(0xcf8, 4, 1u << 31 | 1u << 16 | 1u << 11);	/* bus 1 */
	EXPECT_EQ(fake_in(0xcfc, 4), 0xffffffff);
	fake_out(0xcf8, 4, 1u << 31 | 1u << 11 | 1u << 8);	/* function 1 */
	EXPECT_EQ(fake_in(0xcfc, 4), 0xffffffff);
	fake_out(0xcf8, 4, 1u << 31 | 1u << 11);
	EXPECT_EQ(fake_in(0xcff, 4), 0xffffffff);		/* past the port */
	fake_out(0xcff, 4, 0);
	set(31, PCI_COMMAND, 2, 0xffff);
	set(1, 0xffe, 4, 0);
	set(1, 0x800, 4, 0);
}

TEST(read_only)
{
	uint8_t before[256], writable[256] = { 0 };
	unsigned int reg, cap;

	set_up();
	for (reg = 0; reg < 256; reg++)
		before[reg] = get(1, reg, 1);
	for (reg = 0; reg < 256; reg++)
		set(1, reg, 1, (uint8_t)~before[reg]);
	writable[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
	writable[PCI_CACHE_LINE_SIZE] = 0xff;
	writable[PCI_INTERRUPT_LINE] = 0xff;
	memcpy(writable + PCI_BASE_ADDRESS_0, (uint8_t[]){ 0, 0xe0, 0xff, 0xff }, 4);
	memcpy(writable + PCI_BASE_ADDRESS_1, (uint8_t[]){ 0, 0xf0, 0xff, 0xff }, 4);
	memcpy(writable + PCI_BASE_ADDRESS_3, (uint8_t[]){ 0xf0, 0xff, 0xff, 0xff }, 4);
	cap = get(1, get(1, PCI_CAPABILITY_LIST, 1) + PCI_CAP_LIST_NEXT, 1);
	EXPECT_EQ(get(1, cap, 1), PCI_CAP_ID_MSIX);
	writable[cap + PCI_MSIX_FLAGS + 1] = 0xc0;
	for (reg = 0; reg < 256; reg++)
		EXPECT((before[reg] ^ get(1, reg, 1)) == writable[reg], "register %#x", reg);
	fake_reset();
	for (reg = 0; reg < 256; reg++)
		EXPECT(before[reg] == get(1, reg, 1), "register %#x after reset", reg);
}

TEST(capabilities)
{
	unsigned int cap, n = 0, seen = 0;

	set_up();
	EXPECT(get(1, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	EXPECT(!(get(0, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST));
	for (cap = get(1, PCI_CAPABILITY_LIST, 1); cap && n < 9; n++) {
		EXPECT(cap >= 0x40 && !(cap & 3));
		seen |= 1u << get(1, cap, 1);
		cap = get(1, cap + PCI_CAP_LIST_NEXT, 1);
	}
	EXPECT(n == 2 && seen == (1u << PCI_CAP_ID_VNDR | 1u << PCI_CAP_ID_MSIX));
}

/* --------------------------------------------------------------------------------- BARs */

TEST(bars)
{
	uint32_t first, second;

	set_up();
	first = bar_of(1, 0);
	second = bar_of(2, 0);
	EXPECT(first >= PCI_MMIO_BASE && !(first % BAR_SIZE) && second >= first + BAR_SIZE);
	EXPECT(!fake_answers(first));
	enable(1);
	EXPECT_EQ(fake_read(first + 0x1ffc, 4), 0x11ffc);
	EXPECT(!fake_answers(second));
	/* Size, with decoding on: the address that is tried is out of the window */
	set(1, PCI_BASE_ADDRESS_0, 4, ~0u);
	EXPECT_EQ(bar_of(1, 0), -BAR_SIZE);
	EXPECT(!fake_answers(first) && !fake_answers(-BAR_SIZE));
	set(1, PCI_BASE_ADDRESS_2, 4, ~0u);
	EXPECT_EQ(bar_of(1, 2), 0);
	/* Elsewhere, byte by byte */
	set(1, PCI_BASE_ADDRESS_0, 2, 0);
	set(1, PCI_BASE_ADDRESS_0 + 2, 1, 0);
	set(1, PCI_BASE_ADDRESS_0 + 3, 1, 0xe8);
	EXPECT_EQ(fake_read(0xe8000004, 4), 0x10004);
	EXPECT_EQ(moved_to[0], 0xe8000000);
	set(1, PCI_COMMAND, 2, 0);
	EXPECT(!fake_answers(0xe8000000) && !moved_to[0]);
	/* The last place of the window, and the first one behind it */
	enable(1);
	set(1, PCI_BASE_ADDRESS_0, 4, PCI_MMIO_END - BAR_SIZE);
	EXPECT(fake_answers(PCI_MMIO_END - 1));
	set(1, PCI_BASE_ADDRESS_0, 4, PCI_MMIO_END);
	EXPECT(!moved_to[0]);
	set(1, PCI_BASE_ADDRESS_0, 4, PCI_MMIO_BASE - BAR_SIZE);
	EXPECT(!moved_to[0]);
	set(1, PCI_BASE_ADDRESS_0, 4, 0);
	EXPECT(!moved_to[0]);
	fake_reset();
	EXPECT(bar_of(1, 0) == first && !get(1, PCI_COMMAND, 2) && !fake_answers(first));
}

TEST(ports)
{
	uint32_t first, second;

	set_up();
	first = bar_of(1, 3);
	second = bar_of(2, 3);
	EXPECT((first & 3) == PCI_BASE_ADDRESS_SPACE_IO && first > PCI_PORT_BASE &&
	       second == first + PORTS);
	first &= ~3u;
	second &= ~3u;
	enable(1);
	EXPECT_EQ(fake_in(first, 4), ~0u);
	set(1, PCI_COMMAND, 2, PCI_COMMAND_IO);
	EXPECT_EQ(fake_in(first + 12, 4), 0x1000c);
	EXPECT_EQ(fake_in(first + PORTS, 4), ~0u);
	EXPECT(!moved_to[0] && moved_to_port[0] == first);
	/* Size; memory at the same number is not in the way */
	set(1, PCI_BASE_ADDRESS_3, 4, ~0u);
	EXPECT_EQ(bar_of(1, 3), -PORTS | PCI_BASE_ADDRESS_SPACE_IO);
	EXPECT(!moved_to_port[0]);
	set(1, PCI_BASE_ADDRESS_3, 4, PCI_PORT_END - PORTS);
	EXPECT_EQ(fake_in(0xffff, 1), 0xf);
	set(1, PCI_BASE_ADDRESS_3, 4, PCI_PORT_END);
	EXPECT(!moved_to_port[0]);
	set(1, PCI_BASE_ADDRESS_3, 4, 0xcf0);
	EXPECT(!moved_to_port[0] && fake_in(0xcf0, 4) == ~0u);
	/* The lower slot has it, and gives it back */
	set(2, PCI_COMMAND, 2, PCI_COMMAND_IO);
	set(1, PCI_BASE_ADDRESS_3, 4, second);
	EXPECT_EQ(fake_in(second, 4), 0x10000);
	set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(fake_in(second, 4), 0x20000);
	fake_reset();
	EXPECT(!moved_to_port[1] && bar_of(1, 3) == (first | PCI_BASE_ADDRESS_SPACE_IO));
}

TEST(overlap)
{
	uint32_t second;

	set_up();
	enable(1);
	enable(2);
	second = bar_of(2, 0);
	/* The lower slot has it, and gives it back */
	set(1, PCI_BASE_ADDRESS_0, 4, second);
	EXPECT_EQ(fake_read(second, 4), 0x10000);
	EXPECT(moved_to[0] == second && !moved_to[1]);
	set(1, PCI_COMMAND, 2, 0);
	EXPECT_EQ(fake_read(second, 4), 0x20000);
	set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(fake_read(second, 4), 0x10000);
	/* Two of one function */
	set(1, PCI_BASE_ADDRESS_1, 4, second + 0x1000);
	EXPECT_EQ(fake_read(second + 0x1000, 4), 0x11000);
	/* The other one's is larger and has it only in part */
	set(1, PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	set(1, PCI_BASE_ADDRESS_1, 4, second + 0x1000);
	EXPECT(!moved_to[1] && !fake_answers(second) && fake_answers(second + 0x1000));
}

/* -------------------------------------------------------------------------------- MSI-X */

static unsigned int msix_flags;

static uint64_t set_up_msix(unsigned int slot)
{
	unsigned int cap = get(slot, PCI_CAPABILITY_LIST, 1);

	while (cap && get(slot, cap, 1) != PCI_CAP_ID_MSIX)
		cap = get(slot, cap + PCI_CAP_LIST_NEXT, 1);
	REQUIRE(cap);
	msix_flags = cap + PCI_MSIX_FLAGS;
	EXPECT_EQ(get(slot, msix_flags, 2), VECTORS - 1);
	EXPECT_EQ(get(slot, cap + PCI_MSIX_TABLE, 4), 1);
	EXPECT_EQ(get(slot, cap + PCI_MSIX_PBA, 4), 0x801);
	enable(slot);
	return bar_of(slot, 1);
}

static void set_vector(uint64_t table, unsigned int i, uint32_t data, uint32_t control)
{
	fake_write(table + 16 * i, 8, MSI_ADDRESS);
	fake_write(table + 16 * i + 8, 4, data);
	fake_write(table + 16 * i + 12, 4, control);
}

TEST(msix)
{
	uint64_t table, pba;
	unsigned int i;

	set_up();
	table = set_up_msix(1);
	pba = table + 0x800;
	for (i = 0; i < VECTORS; i++)
		EXPECT_EQ(fake_read(table + 16 * i + 12, 4), 1);
	set_vector(table, 0, 100, 0);
	set_vector(table, 1, 101, 1);
	set_vector(table, 2, 102, 0xfffffffe);
	EXPECT_EQ(fake_read(table, 8), MSI_ADDRESS);
	EXPECT_EQ(fake_read(table + 40, 8), 102);	/* reserved bits of the control are 0 */
	EXPECT(!pci_msix_enabled(&device[0]));
	set(1, msix_flags, 2, PCI_MSIX_FLAGS_ENABLE);
	EXPECT(pci_msix_enabled(&device[0]));
	for (i = 0; i < VECTORS; i++)
		pci_raise(&device[0], i);
	pci_raise(&device[0], VECTORS);
	pci_raise(&device[0], 0xffff);
	EXPECT_EQ(pci_vector_fd(&device[0], VECTORS), -1ULL);
	EXPECT_EQ(fake_messages(100, 0), 1);
	EXPECT_EQ(fake_messages(101, 0), 0);
	EXPECT_EQ(fake_messages(102, 0), 1);
	EXPECT_EQ(fake_read(pba, 8), 2);
	EXPECT_EQ(fake_read(pba + 4, 4), 0);
	/* A new message while it is masked; unmasked, it comes once */
	pci_raise(&device[0], 1);
	fake_write(table + 24, 4, 201);
	fake_write(table + 28, 4, 0);
	EXPECT_EQ(fake_messages(201, 0), 1);
	EXPECT_EQ(fake_messages(201, 0), 0);
	EXPECT_EQ(fake_read(pba, 8), 0);
	/* A new message while it is not: affinity */
	fake_write(table + 24, 4, 301);
	pci_raise(&device[0], 1);
	EXPECT_EQ(fake_messages(301, 0), 1);
}

TEST(msix_masks)
{
	uint64_t table, pba;

	set_up();
	table = set_up_msix(2);
	pba = table + 0x800;
	set_vector(table, 0, 100, 0);
	set(2, msix_flags, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_raise(&device[1], 0);
	EXPECT_EQ(fake_messages(100, 0), 0);
	EXPECT_EQ(fake_read(pba, 4), 1);
	fake_write(pba, 4, 0);				/* read-only */
	EXPECT_EQ(fake_read(pba, 4), 1);
	set(2, msix_flags, 2, PCI_MSIX_FLAGS_ENABLE);
	EXPECT_EQ(fake_messages(100, 0), 1);
	/* No bus master, no messages */
	set(2, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_raise(&device[1], 0);
	EXPECT(!fake_messages(100, 0) && fake_read(pba, 4) == 1);
	enable(2);
	EXPECT_EQ(fake_messages(100, 0), 1);
	/* Accesses that software must not make */
	fake_write(table, 2, 0x1234);
	fake_write(table + 1, 4, 0x1234);
	fake_write(table + 4, 8, 0x1234);
	EXPECT_EQ(fake_read(table, 8), MSI_ADDRESS);
	EXPECT_EQ(fake_read(table, 2), 0);
	EXPECT_EQ(fake_read(table + 16 * VECTORS, 8), 0);
	fake_write(table + 16 * VECTORS, 8, -1);
	EXPECT_EQ(fake_read(table + 0xff8, 8), 0);
	/* Reset forgets what is pending */
	set(2, msix_flags, 2, 0);
	pci_raise(&device[1], 0);
	fake_reset();
	table = set_up_msix(2);
	set_vector(table, 0, 100, 0);
	set(2, msix_flags, 2, PCI_MSIX_FLAGS_ENABLE);
	EXPECT_EQ(fake_messages(100, 0), 0);
}

/* -------------------------------------------------------------------------------- lines */

TEST(lines)
{
	set_up();
	/* INTA of slot n leads to line n & 3; slots 1 and 5 share one */
	EXPECT_EQ(get(1, PCI_INTERRUPT_LINE, 1), GSI_PCI + 1);
	EXPECT_EQ(get(5, PCI_INTERRUPT_LINE, 1), GSI_PCI + 1);
	pci_set_intx(&device[0], true);
	EXPECT(fake_line(GSI_PCI + 1) && !fake_line(GSI_PCI + 2));
	EXPECT(get(1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	EXPECT(get(1, PCI_COMMAND, 4) & PCI_STATUS_INTERRUPT << 16);
	EXPECT(!(get(5, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT));
	pci_set_intx(&device[4], true);
	pci_set_intx(&device[0], false);
	EXPECT(fake_line(GSI_PCI + 1));
	set(5, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	EXPECT(!fake_line(GSI_PCI + 1));
	EXPECT(get(5, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	set(5, PCI_COMMAND, 2, 0);
	EXPECT(fake_line(GSI_PCI + 1));
	/* With MSI-X the pin is not used */
	set_up_msix(5);
	set(5, msix_flags, 2, PCI_MSIX_FLAGS_ENABLE);
	EXPECT(!fake_line(GSI_PCI + 1));
	set(5, msix_flags, 2, 0);
	EXPECT(fake_line(GSI_PCI + 1));
	fake_reset();
	EXPECT(!fake_line(GSI_PCI + 1) && !(get(5, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT));
}

TEST(bus_masters)
{
	set_up();
	enable(3);
	EXPECT(masters[2] && !masters[1]);
	set(3, PCI_COMMAND, 1, 0);
	EXPECT(!masters[2]);
	enable(3);
	fake_reset();
	EXPECT(!masters[2]);
}

/* ------------------------------------------------------------------------------- random */

static uint64_t state = 88172645463325252;

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

static void write_somewhere(void)
{
	static const unsigned int lens[] = { 1, 2, 4, 8 };
	static const uint32_t places[] = {
		0xe0000000, 0xe0001000, 0xe0002000, 0xfeaff000, 0xfeb00000
	};
	unsigned int slot = 1 + below(NR_DEVICES), len = lens[below(4)];

	switch (below(6)) {
	case 0:
		set(slot, PCI_COMMAND, 2, below(8) ? PCI_COMMAND_MEMORY : below(0x10000));
		break;
	case 1:
	case 2:
		set(slot, PCI_BASE_ADDRESS_0 + 4 * below(2), 4, places[below(ARRAY_SIZE(places))]);
		break;
	case 3:
		fake_write(at(slot, below(256)), len, below(~0u));
		break;
	case 4:
		fake_write(places[below(3)] + below(0x1000), len, below(~0u));
		break;
	default:
		pci_raise(&device[slot - 1], below(VECTORS));
		pci_set_intx(&device[slot - 1], below(2));
	}
}

/* Who answers: the first in order that is enabled and in the window, and whom none before hides */
static void check_places(void)
{
	uint64_t taken[2 * NR_DEVICES][2];
	unsigned int slot, nr, i, n = 0;

	for (slot = 1; slot <= NR_DEVICES; slot++) {
		for (nr = 0; nr < 2; nr++) {
			uint64_t size = nr ? MSIX_BAR_SIZE : BAR_SIZE, gpa = bar_of(slot, nr);
			bool here = get(slot, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY &&
				    gpa >= PCI_MMIO_BASE && gpa + size <= PCI_MMIO_END;

			if (here) {
				taken[n][0] = gpa;
				taken[n++][1] = gpa + size;
			}
			for (i = 0; here && i + 1 < n; i++)
				here = gpa >= taken[i][1] || gpa + size <= taken[i][0];
			EXPECT_EQ(device[slot - 1].bar[nr].mapped, here ? gpa : 0);
			if (here && !nr)
				EXPECT_EQ(fake_read(gpa, 4), slot << 16);
		}
	}
}

TEST_TIME(random_writes, 60)
{
	unsigned int i;

	set_up();
	for (i = 0; i < 100000 && !tap_failures(); i++) {
		write_somewhere();
		if (i % 8 == 0)
			check_places();
		if (i % 1000 == 0)
			fake_reset();
	}
	fake_close();
}
