// SPDX-License-Identifier: GPL-2.0-only
/*
 * smbios.c: SMBIOS tables, in SMBIOS_BASE .. SMBIOS_END, where guests without EFI search for them.
 * Names and layouts are those of the System Management BIOS Reference Specification 3.0; Linux
 * shows them under /sys/class/dmi.
 *
 *	entry point	the 64-bit one; the 32-bit one can be left out
 *	types 0 1 3	firmware, system, enclosure
 *	types 16 17 19	memory: how much, and where
 *	type 32		how the system has started
 *
 * What a virtual machine has not is not told: serial numbers, a UUID, a date of firmware.
 */
#include <assert.h>
#include <string.h>

#include "boot/boot.h"

#define PACKED __attribute__((packed))

/* "SMBIOS 3.0 (64-bit) Entry Point" */
struct entry_point {
	char anchor[5];
	uint8_t checksum;
	uint8_t length;
	uint8_t major, minor, docrev;
	uint8_t revision;
	uint8_t reserved;
	uint32_t max_size;
	uint64_t address;
} PACKED;
static_assert(sizeof(struct entry_point) == 24, "SMBIOS entry point");

struct header {
	uint8_t type;
	uint8_t length;
	uint16_t handle;
} PACKED;

/* Strings are numbered from 1, in the order in which they follow the structure; 0: there is none */
struct bios {
	struct header header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t extension[2];
	uint8_t major, minor, ec_major, ec_minor;
} PACKED;
static_assert(sizeof(struct bios) == 0x18, "type 0");

#define BIOS_NO_CHARACTERISTICS		(1ULL << 3)
#define BIOS_EXT2_VIRTUAL_MACHINE	(1 << 4)
#define BIOS_NO_EC			0xff

struct system {
	struct header header;
	uint8_t manufacturer, product, version, serial;
	uint8_t uuid[16];		/* all 0: there is none */
	uint8_t wake_up, sku, family;
} PACKED;
static_assert(sizeof(struct system) == 0x1b, "type 1");

#define WAKE_UP_POWER_SWITCH		6

struct enclosure {
	struct header header;
	uint8_t manufacturer, type, version, serial, asset_tag;
	uint8_t boot_state, power_state, thermal_state, security;
	uint32_t oem;
	uint8_t height, power_cords, nr_elements, element_len;
	uint8_t sku;
} PACKED;
static_assert(sizeof(struct enclosure) == 0x16, "type 3");

#define ENCLOSURE_OTHER			1
#define STATE_SAFE			3
#define SECURITY_NONE			3

struct memory_array {
	struct header header;
	uint8_t location, use, error_correction;
	uint32_t max_kib;
	uint16_t error_handle, nr_devices;
	uint64_t max_bytes;		/* if it does not fit above */
} PACKED;
static_assert(sizeof(struct memory_array) == 0x17, "type 16");

#define LOCATION_BOARD			3
#define USE_SYSTEM_MEMORY		3
#define UNKNOWN				2
#define NO_ERROR_INFORMATION		0xfffe

struct memory_device {
	struct header header;
	uint16_t array, error_handle;
	uint16_t total_width, data_width;
	uint16_t size;
	uint8_t form_factor, device_set, locator, bank_locator, type;
	uint16_t type_detail, speed;
	uint8_t manufacturer, serial, asset_tag, part, attributes;
	uint32_t extended_mib;
	uint16_t configured_speed, min_voltage, max_voltage, configured_voltage;
} PACKED;
static_assert(sizeof(struct memory_device) == 0x28, "type 17");

#define WIDTH_UNKNOWN			0xffff
#define SIZE_KIB			0x8000
#define SIZE_EXTENDED			0x7fff
#define FORM_OTHER			1
#define TYPE_RAM			7
#define TYPE_DETAIL_OTHER		(1 << 1)

struct mapped_address {
	struct header header;
	uint32_t first_kib, last_kib;
	uint16_t array;
	uint8_t width;
	uint64_t first, last;		/* if they do not fit above */
} PACKED;
static_assert(sizeof(struct mapped_address) == 0x1f, "type 19");

struct boot_information {
	struct header header;
	uint8_t reserved[6];
	uint8_t status;			/* 0: no errors detected */
} PACKED;
static_assert(sizeof(struct boot_information) == 0x0b, "type 32");

struct tables {
	uint8_t data[1024];		/* far more than the structures below have */
	size_t len;
	uint16_t next_handle;
};

/* @header begins a structure of @len bytes. Its handle is set, and returned. */
static uint16_t add(struct tables *t, struct header *header, uint8_t type, uint8_t len,
		    const char *const *strings)
{
	size_t n;

	*header = (struct header){ type, len, t->next_handle++ };
	memcpy(t->data + t->len, header, len);
	t->len += len;
	/* No string at all has two terminators, too */
	if (!strings)
		t->data[t->len++] = 0;
	for (; strings && *strings; strings++) {
		n = strlen(*strings) + 1;
		memcpy(t->data + t->len, *strings, n);
		t->len += n;
	}
	t->data[t->len++] = 0;
	return header->handle;
}

#define STRINGS(...)	((const char *const []){ __VA_ARGS__, NULL })

static void add_system(struct tables *t)
{
	struct bios bios = {
		.vendor = 1, .version = 2, .segment = SMBIOS_BASE >> 4,
		.characteristics = BIOS_NO_CHARACTERISTICS,
		.extension = { 0, BIOS_EXT2_VIRTUAL_MACHINE },
		.major = 0xff, .minor = 0xff,
		.ec_major = BIOS_NO_EC, .ec_minor = BIOS_NO_EC,
	};
	struct system system = {
		.manufacturer = 1, .product = 2, .version = 3, .wake_up = WAKE_UP_POWER_SWITCH,
		.family = 4,
	};
	struct enclosure enclosure = {
		.manufacturer = 1, .type = ENCLOSURE_OTHER, .boot_state = STATE_SAFE,
		.power_state = STATE_SAFE, .thermal_state = STATE_SAFE, .security = SECURITY_NONE,
	};

	add(t, &bios.header, 0, sizeof(bios), STRINGS("hvx", RUNVM_VERSION));
	add(t, &system.header, 1, sizeof(system),
	    STRINGS("hvx", "runvm", RUNVM_VERSION, "Virtual Machine"));
	add(t, &enclosure.header, 3, sizeof(enclosure), STRINGS("hvx"));
}

/* In MiB where that is exact, as the specification has it: in KiB if small */
static void set_size(struct memory_device *d, uint64_t bytes)
{
	uint64_t mib = bytes >> 20;

	if (bytes & (MIB_1 - 1) && bytes >> 10 < SIZE_KIB) {
		d->size = SIZE_KIB | bytes >> 10;
	} else if (mib < SIZE_EXTENDED) {
		d->size = mib;
	} else {
		d->size = SIZE_EXTENDED;
		d->extended_mib = mib;
	}
}

static void add_range(struct tables *t, uint16_t array, uint64_t start, uint64_t len)
{
	struct mapped_address range = {
		.first_kib = start >> 10, .last_kib = ((start + len) >> 10) - 1, .array = array,
		.width = 1,
	};

	add(t, &range.header, 19, sizeof(range), NULL);
}

static void add_memory(struct tables *t, const struct machine *m)
{
	uint64_t bytes = mem_low(m) + mem_high(m);
	struct memory_array array = {
		.location = LOCATION_BOARD, .use = USE_SYSTEM_MEMORY, .error_correction = UNKNOWN,
		.max_kib = bytes >> 10, .error_handle = NO_ERROR_INFORMATION, .nr_devices = 1,
	};
	struct memory_device device = {
		.error_handle = NO_ERROR_INFORMATION, .total_width = WIDTH_UNKNOWN,
		.data_width = WIDTH_UNKNOWN, .form_factor = FORM_OTHER, .locator = 1,
		.type = TYPE_RAM, .type_detail = TYPE_DETAIL_OTHER, .manufacturer = 2,
	};

	device.array = add(t, &array.header, 16, sizeof(array), NULL);
	set_size(&device, bytes);
	add(t, &device.header, 17, sizeof(device), STRINGS("RAM", "hvx"));
	add_range(t, device.array, 0, mem_low(m));
	if (mem_high(m))
		add_range(t, device.array, GIB_4, mem_high(m));
}

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

void smbios_build(struct machine *m)
{
	struct boot_information boot = { .status = 0 };
	struct header end;
	struct tables t = { };
	struct entry_point entry = {
		.anchor = { '_', 'S', 'M', '3', '_' }, .length = sizeof(entry), .major = 3,
		.revision = 1, .address = SMBIOS_BASE + 32,
	};
	uint8_t *to = mem_at(m, SMBIOS_BASE, SMBIOS_END - SMBIOS_BASE);

	static_assert(SMBIOS_END - SMBIOS_BASE >= 32 + sizeof(t.data), "room");
	if (!to)
		die("a guest needs at least 1 MiB of memory: give it more with -m");
	add_system(&t);
	add_memory(&t, m);
	add(&t, &boot.header, 32, sizeof(boot), NULL);
	add(&t, &end, 127, sizeof(end), NULL);
	entry.max_size = t.len;
	entry.checksum = checksum(&entry, sizeof(entry));
	memcpy(to, &entry, sizeof(entry));
	memcpy(to + 32, t.data, t.len);
}
