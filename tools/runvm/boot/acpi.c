// SPDX-License-Identifier: GPL-2.0-only
/*
 * acpi.c: the ACPI tables, in ACPI_BASE .. ACPI_END, which the memory map keeps for them.
 * Names and layouts are those of the ACPI Specification, "ACPI Software Programming Model".
 *
 *	RSDP		at ACPI_BASE, where a guest would search for it as well
 *	XSDT		lists FADT, MADT, MCFG; for guests with nodes SRAT and SLIT
 *	FADT		PM1 event and control, timer, reset register; no SMI, no GPE
 *	FACS, DSDT	FADT points to them
 *	MADT		local APICs, I/O APIC, overrides
 *	MCFG		ECAM of bus 0
 *	SRAT, SLIT	nodes: srat.c
 */
#include <assert.h>
#include <string.h>

#include "boot/acpi.h"
#include "boot/aml.h"
#include "boot/boot.h"

#define PACKED __attribute__((packed))

struct rsdp {
	char signature[8];
	uint8_t checksum;		/* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

/* Generic Address Structure */
struct gas {
	uint8_t space;
	uint8_t width;
	uint8_t offset;
	uint8_t access;
	uint64_t address;
} PACKED;

#define GAS_IO		1
#define ACCESS_BYTE	1
#define ACCESS_WORD	2
#define ACCESS_DWORD	3

struct fadt {
	struct header header;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable;
	uint8_t acpi_disable;
	uint8_t s4bios_req;
	uint8_t pstate_cnt;
	uint32_t pm1a_evt_blk;
	uint32_t pm1b_evt_blk;
	uint32_t pm1a_cnt_blk;
	uint32_t pm1b_cnt_blk;
	uint32_t pm2_cnt_blk;
	uint32_t pm_tmr_blk;
	uint32_t gpe0_blk;
	uint32_t gpe1_blk;
	uint8_t pm1_evt_len;
	uint8_t pm1_cnt_len;
	uint8_t pm2_cnt_len;
	uint8_t pm_tmr_len;
	uint8_t gpe0_blk_len;
	uint8_t gpe1_blk_len;
	uint8_t gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat;
	uint16_t p_lvl3_lat;
	uint16_t flush_size;
	uint16_t flush_stride;
	uint8_t duty_offset;
	uint8_t duty_width;
	uint8_t day_alrm;
	uint8_t mon_alrm;
	uint8_t century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl;
	uint64_t x_dsdt;
	struct gas x_pm1a_evt_blk;
	struct gas x_pm1b_evt_blk;
	struct gas x_pm1a_cnt_blk;
	struct gas x_pm1b_cnt_blk;
	struct gas x_pm2_cnt_blk;
	struct gas x_pm_tmr_blk;
	struct gas x_gpe0_blk;
	struct gas x_gpe1_blk;
	struct gas sleep_control_reg;
	struct gas sleep_status_reg;
	uint64_t hypervisor_vendor;
} PACKED;

#define FADT_REVISION		6
#define PM_PROFILE_SERVER	4	/* "Enterprise Server": no lid, no battery */
#define NO_C2			101	/* latencies beyond which there is no such state */
#define NO_C3			1001
#define BOOT_LEGACY_DEVICES	(1U << 0)
#define BOOT_NO_VGA		(1U << 2)
#define BOOT_NO_ASPM		(1U << 4)
#define FADT_WBINVD		(1U << 0)
#define FADT_PROC_C1		(1U << 2)
/* Bits 4 to 6 are 0: power button, sleep button and the alarm that wakes are fixed features */
#define FADT_TMR_VAL_EXT	(1U << 8)
#define FADT_RESET_REG_SUP	(1U << 10)

struct madt {
	struct header header;
	uint32_t lapic_address;
	uint32_t flags;
} PACKED;

#define MADT_REVISION	4
#define PCAT_COMPAT	1U		/* there are two 8259 as well */

struct madt_lapic {
	uint8_t type, length;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length;
	uint8_t bus;
	uint8_t source;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_nmi {
	uint8_t type, length;
	uint8_t uid;
	uint16_t flags;
	uint8_t lint;
} PACKED;

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };

#define LAPIC_ENABLED		1U
#define ALL_PROCESSORS		0xff
#define MPS_AS_BUS		0x0
#define MPS_LEVEL_HIGH		0xd
#define TIMER_PIN		2	/* of the I/O APIC: pin 0 was for the 8259 */

struct mcfg {
	struct header header;
	uint8_t reserved[8];
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus;
	uint8_t last_bus;
	uint32_t reserved1;
} PACKED;

static_assert(sizeof(struct rsdp) == 36, "ACPI");
static_assert(sizeof(struct header) == 36, "ACPI");
static_assert(sizeof(struct fadt) == 276, "ACPI");
static_assert(offsetof(struct fadt, reset_reg) == 116, "ACPI");
static_assert(offsetof(struct fadt, x_pm1a_evt_blk) == 148, "ACPI");
static_assert(sizeof(struct facs) == 64, "ACPI");
static_assert(sizeof(struct rsdp) <= FACS_BASE - ACPI_BASE, "ACPI");
static_assert(!(FACS_BASE % 64), "ACPI");
static_assert(sizeof(struct madt) == 44, "ACPI");
static_assert(sizeof(struct madt_lapic) == 8, "ACPI");
static_assert(sizeof(struct madt_ioapic) == 12, "ACPI");
static_assert(sizeof(struct madt_override) == 10, "ACPI");
static_assert(sizeof(struct madt_nmi) == 6, "ACPI");
static_assert(sizeof(struct mcfg) == 60, "ACPI");

#define MAX_TABLES	8	/* that the XSDT lists */

/* Where the next table goes */
struct place {
	struct machine *m;
	uint64_t next;
};

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static uint64_t put(struct place *p, const void *data, size_t len, uint64_t align)
{
	uint64_t at = (p->next + align - 1) & -align;
	void *to;

	if (at > ACPI_END || len > ACPI_END - at)
		die("ACPI tables for %u vCPUs take more than %llu KiB", p->m->nr_vcpus,
		    (ACPI_END - ACPI_BASE) >> 10);
	to = mem_at(p->m, at, len);
	if (!to)
		die("a guest needs at least 1 MiB of memory: give it more with -m");
	memcpy(to, data, len);
	p->next = at + len;
	return at;
}

static struct header head(const char *signature, unsigned int revision)
{
	struct header h = {
		.revision = revision, .oem_id = "HVX   ", .oem_table_id = "RUNVM   ",
		.oem_revision = 1, .creator_id = "HVX ", .creator_revision = 1,
	};

	memcpy(h.signature, signature, sizeof(h.signature));
	return h;
}

/* A table that begins with struct header: length and checksum are filled in */
static uint64_t put_table(struct place *p, void *table, size_t len)
{
	struct header *h = table;

	h->length = len;
	h->checksum = 0;
	h->checksum = checksum(table, len);
	return put(p, table, len, 16);
}

/* A table whose @body follows its header */
static uint64_t put_body(struct place *p, const char *signature, unsigned int revision,
			 void (*body)(struct aml *a, const struct machine *m))
{
	struct header h = head(signature, revision);
	struct aml a = { };
	uint64_t at;

	aml_bytes(&a, &h, sizeof(h));
	body(&a, p->m);
	at = put_table(p, a.data, a.len);
	aml_free(&a);
	return at;
}

static uint64_t put_facs(struct place *p)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs), .version = 2 };

	return put(p, &facs, sizeof(facs), 64);
}

static struct gas gas_io(uint16_t port, unsigned int bytes, unsigned int access)
{
	return (struct gas){
		.space = GAS_IO, .width = 8 * bytes, .access = access, .address = port,
	};
}

static uint64_t put_fadt(struct place *p, uint64_t dsdt, uint64_t facs)
{
	struct fadt f = {
		.header = head("FACP", FADT_REVISION),
		.firmware_ctrl = facs,
		.dsdt = dsdt,
		.x_dsdt = dsdt,
		.preferred_pm_profile = PM_PROFILE_SERVER,
		.sci_int = GSI_SCI,
		.pm1a_evt_blk = PORT_ACPI_PM1_EVT,
		.pm1_evt_len = 4,
		.x_pm1a_evt_blk = gas_io(PORT_ACPI_PM1_EVT, 4, ACCESS_WORD),
		.pm1a_cnt_blk = PORT_ACPI_PM1_CNT,
		.pm1_cnt_len = 2,
		.x_pm1a_cnt_blk = gas_io(PORT_ACPI_PM1_CNT, 2, ACCESS_WORD),
		.pm_tmr_blk = PORT_ACPI_PM_TIMER,
		.pm_tmr_len = 4,
		.x_pm_tmr_blk = gas_io(PORT_ACPI_PM_TIMER, 4, ACCESS_DWORD),
		.p_lvl2_lat = NO_C2,
		.p_lvl3_lat = NO_C3,
		.century = CMOS_CENTURY,
		.iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
		.reset_reg = gas_io(PORT_RESET, 1, ACCESS_BYTE),
		.reset_value = RESET_CONTROL_FULL,
	};

	return put_table(p, &f, sizeof(f));
}

static void add_override(struct aml *a, uint8_t source, uint32_t gsi, uint16_t flags)
{
	struct madt_override o = {
		.type = MADT_OVERRIDE, .length = sizeof(o), .source = source, .gsi = gsi,
		.flags = flags,
	};

	aml_bytes(a, &o, sizeof(o));
}

static void add_lapics(struct aml *a, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct madt_lapic l = {
			.type = MADT_LAPIC, .length = sizeof(l), .uid = i, .apic_id = i,
			.flags = LAPIC_ENABLED,
		};

		aml_bytes(a, &l, sizeof(l));
	}
}

static uint64_t put_madt(struct place *p)
{
	struct madt madt = {
		.header = head("APIC", MADT_REVISION), .lapic_address = LAPIC_BASE,
		.flags = PCAT_COMPAT,
	};
	struct madt_ioapic ioapic = {
		.type = MADT_IOAPIC, .length = sizeof(ioapic), .address = IOAPIC_BASE,
	};
	struct madt_nmi nmi = {
		.type = MADT_LAPIC_NMI, .length = sizeof(nmi), .uid = ALL_PROCESSORS, .lint = 1,
	};
	struct aml a = { };
	uint64_t at;

	aml_bytes(&a, &madt, sizeof(madt));
	add_lapics(&a, p->m->nr_vcpus);
	aml_bytes(&a, &ioapic, sizeof(ioapic));
	add_override(&a, GSI_TIMER, TIMER_PIN, MPS_AS_BUS);
	add_override(&a, GSI_SCI, GSI_SCI, MPS_LEVEL_HIGH);
	aml_bytes(&a, &nmi, sizeof(nmi));
	at = put_table(p, a.data, a.len);
	aml_free(&a);
	return at;
}

static uint64_t put_mcfg(struct place *p)
{
	struct mcfg mcfg = {
		.header = head("MCFG", 1), .base = ECAM_BASE,
		.last_bus = (ECAM_SIZE >> 20) - 1,
	};

	return put_table(p, &mcfg, sizeof(mcfg));
}

static uint64_t put_xsdt(struct place *p, const uint64_t *tables, size_t len)
{
	struct {
		struct header header;
		uint64_t entry[MAX_TABLES];
	} PACKED xsdt = { .header = head("XSDT", 1) };

	memcpy(xsdt.entry, tables, len);
	return put_table(p, &xsdt, sizeof(xsdt.header) + len);
}

uint64_t acpi_build(struct machine *m)
{
	struct rsdp rsdp = { .signature = "RSD PTR ", .oem_id = "HVX   ", .revision = 2 };
	struct place root = { m, ACPI_BASE };
	struct place p = { m, FACS_BASE };
	uint64_t tables[MAX_TABLES], facs, dsdt;
	unsigned int n = 0;

	facs = put_facs(&p);
	dsdt = put_body(&p, "DSDT", 2, dsdt_body);
	tables[n++] = put_fadt(&p, dsdt, facs);
	tables[n++] = put_madt(&p);
	tables[n++] = put_mcfg(&p);
	if (m->options->nr_nodes) {
		tables[n++] = put_body(&p, "SRAT", 3, srat_body);
		tables[n++] = put_body(&p, "SLIT", 1, slit_body);
	}
	rsdp.xsdt = put_xsdt(&p, tables, n * sizeof(tables[0]));
	rsdp.length = sizeof(rsdp);
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	return put(&root, &rsdp, sizeof(rsdp), 16);
}
