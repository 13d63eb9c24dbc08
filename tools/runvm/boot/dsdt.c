// SPDX-License-Identifier: GPL-2.0-only
/*
 * dsdt.c: the machine's devices as ACPI names them: processors, the PCI host bridge with its
 * windows and interrupt lines, what stands at fixed ports and addresses.
 */
#include <stdio.h>

#include "boot/aml.h"
#include "boot/acpi.h"

#define PCI_SLOTS	32
#define OSC_CONTROL	8	/* _OSC's third DWORD */

static void hid_uid(struct aml *a, const char *hid, unsigned int uid)
{
	aml_name(a, "_HID");
	aml_eisa_id(a, hid);
	aml_name(a, "_UID");
	aml_int(a, uid);
}

static void sleep_state(struct aml *a, const char *name, unsigned int slp_typ)
{
	size_t mark;

	aml_name(a, name);
	mark = aml_package(a, 4);
	aml_int(a, slp_typ);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, mark);
}

static void processors(struct aml *a, unsigned int nr)
{
	unsigned int i;
	char name[8];
	size_t mark;

	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		mark = aml_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_int(a, i);
		aml_end(a, mark);
	}
}

/* INTA to INTD of slot s lead to the four lines in turn, beginning with the s-th */
static void pci_routing(struct aml *a)
{
	unsigned int slot, pin;
	size_t all, one;

	aml_name(a, "_PRT");
	all = aml_package(a, PCI_SLOTS * 4);
	for (slot = 0; slot < PCI_SLOTS; slot++) {
		for (pin = 0; pin < 4; pin++) {
			one = aml_package(a, 4);
			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, GSI_PCI + (slot + pin) % 4);
			aml_end(a, one);
		}
	}
	aml_end(a, all);
}

/* The operating system asks for control of features of PCI Express: there are none to give */
static void pci_osc(struct aml *a)
{
	size_t mark = aml_method(a, "_OSC", 4);

	aml_create_dword_field(a, 3, OSC_CONTROL, "CDW3");
	aml_and_name(a, "CDW3", 0);
	aml_return_arg(a, 3);
	aml_end(a, mark);
}

static void pci(struct aml *a, const struct machine *m)
{
	size_t dev = aml_device(a, "PCI0"), crs;

	hid_uid(a, "PNP0A08", 0);
	aml_name(a, "_CID");
	aml_eisa_id(a, "PNP0A03");
	aml_name(a, "_SEG");
	aml_int(a, 0);
	aml_name(a, "_BBN");
	aml_int(a, 0);
	aml_name(a, "_CCA");
	aml_int(a, 1);
	if (m->options->nr_nodes) {
		/* Linux complains of buses that are in no node */
		aml_name(a, "_PXM");
		aml_int(a, 0);
	}
	crs = aml_crs(a);
	aml_res_bus_window(a, 0, (ECAM_SIZE >> 20) - 1);
	aml_res_io_window(a, PCI_PORT_BASE, PCI_PORT_END - 1);
	aml_res_memory_window(a, PCI_MMIO_BASE, PCI_MMIO_END - 1);
	aml_crs_end(a, crs);
	pci_routing(a);
	pci_osc(a);
	aml_end(a, dev);
}

/* What drivers must not take for free */
static void motherboard(struct aml *a)
{
	size_t dev = aml_device(a, "MBRD"), crs;

	hid_uid(a, "PNP0C02", 0);
	crs = aml_crs(a);
	aml_res_memory(a, ECAM_BASE, ECAM_SIZE);
	aml_res_io(a, PORT_ACPI_PM1_EVT, 4);
	aml_res_io(a, PORT_ACPI_PM1_CNT, 2);
	aml_res_io(a, PORT_ACPI_PM_TIMER, 4);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void serial(struct aml *a)
{
	size_t dev = aml_device(a, "COM1"), crs;

	hid_uid(a, "PNP0501", 1);
	crs = aml_crs(a);
	aml_res_io(a, 0x3f8, 8);
	aml_res_isa_irq(a, GSI_SERIAL);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void rtc(struct aml *a)
{
	size_t dev = aml_device(a, "RTC0"), crs;

	hid_uid(a, "PNP0B00", 0);
	crs = aml_crs(a);
	aml_res_io(a, 0x70, 2);
	aml_res_isa_irq(a, GSI_RTC);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void pvpanic(struct aml *a)
{
	size_t dev = aml_device(a, "PEVT"), crs;

	aml_name(a, "_HID");
	aml_string(a, "QEMU0001");
	aml_name(a, "_UID");
	aml_int(a, 0);
	crs = aml_crs(a);
	aml_res_io(a, PORT_PVPANIC, 1);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void virtio_mmio(struct aml *a, unsigned int slot)
{
	size_t dev, crs;
	char name[8];

	snprintf(name, sizeof(name), "VR%02X", slot & 0xff);
	dev = aml_device(a, name);
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_name(a, "_UID");
	aml_int(a, slot);
	aml_name(a, "_CCA");
	aml_int(a, 1);
	crs = aml_crs(a);
	aml_res_memory(a, virtio_mmio_base(slot), VIRTIO_MMIO_STEP);
	aml_res_level_irq(a, virtio_mmio_gsi(slot));
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

void dsdt_body(struct aml *a, const struct machine *m)
{
	unsigned int i;
	size_t scope;

	sleep_state(a, "\\_S3_", ACPI_SLP_TYP_S3);
	sleep_state(a, "\\_S5_", ACPI_SLP_TYP_S5);
	scope = aml_scope(a, "\\_SB_");
	processors(a, m->nr_vcpus);
	motherboard(a);
	serial(a);
	rtc(a);
	pvpanic(a);
	for (i = 0; i < m->nr_virtio_mmio; i++)
		virtio_mmio(a, i);
	pci(a, m);
	aml_end(a, scope);
}
