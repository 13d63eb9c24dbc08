/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * aml.h: writes ACPI Machine Language (ACPI Specification, "ACPI Machine Language (AML)
 * Specification") piece by piece. What contains something is begun, which returns a mark, and ended
 * with that mark:
 *
 *	mark = aml_device(a, "COM1");
 *	aml_name(a, "_HID");
 *	aml_eisa_id(a, "PNP0501");
 *	aml_end(a, mark);
 */
#ifndef RUNVM_AML_H
#define RUNVM_AML_H

#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data;
	size_t len;
	size_t room;
};

void aml_free(struct aml *a);
void aml_bytes(struct aml *a, const void *data, size_t len);

/* Containers. Names have four characters, a scope may begin with a backslash. */
size_t aml_scope(struct aml *a, const char *name);
size_t aml_device(struct aml *a, const char *name);
size_t aml_method(struct aml *a, const char *name, unsigned int nr_args);
size_t aml_package(struct aml *a, unsigned int nr_elements);
void aml_end(struct aml *a, size_t mark);

/* Name (NAME, what is written next) */
void aml_name(struct aml *a, const char *name);
void aml_int(struct aml *a, uint64_t value);
void aml_string(struct aml *a, const char *text);
void aml_eisa_id(struct aml *a, const char *id);

/* In methods */
void aml_create_dword_field(struct aml *a, unsigned int arg, unsigned int offset, const char *name);
void aml_and_name(struct aml *a, const char *name, uint64_t mask);
void aml_return_arg(struct aml *a, unsigned int arg);

/* Name (_CRS, ResourceTemplate () { ... }) */
size_t aml_crs(struct aml *a);
void aml_crs_end(struct aml *a, size_t mark);
void aml_res_io(struct aml *a, uint16_t port, uint8_t len);
void aml_res_memory(struct aml *a, uint32_t base, uint32_t len);
void aml_res_isa_irq(struct aml *a, unsigned int irq);
/* Level-triggered, active high, shared */
void aml_res_level_irq(struct aml *a, uint32_t gsi);
void aml_res_bus_window(struct aml *a, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_res_memory_window(struct aml *a, uint32_t first, uint32_t last);

#endif
