// SPDX-License-Identifier: GPL-2.0-only
/* aml.c: writes ACPI Machine Language. Encodings are named as in the ACPI Specification. */
#include <stdlib.h>
#include <string.h>

#include "boot/aml.h"
#include "runvm.h"

#define ZERO_OP		0x00
#define ONE_OP		0x01
#define NAME_OP		0x08
#define BYTE_PREFIX	0x0a
#define WORD_PREFIX	0x0b
#define DWORD_PREFIX	0x0c
#define STRING_PREFIX	0x0d
#define QWORD_PREFIX	0x0e
#define SCOPE_OP	0x10
#define BUFFER_OP	0x11
#define PACKAGE_OP	0x12
#define METHOD_OP	0x14
#define EXT_OP_PREFIX	0x5b
#define ARG0_OP		0x68
#define AND_OP		0x7b
#define CREATE_DWORD_FIELD_OP 0x8a
#define RETURN_OP	0xa4
#define DEVICE_EXT_OP	0x82

/* Resource descriptors ("Resource Data Types for ACPI") */
#define RES_IRQ_NO_FLAGS	0x22
#define RES_IO			0x47
#define RES_END_TAG		0x79
#define RES_MEMORY32_FIXED	0x86
#define RES_DWORD_SPACE		0x87
#define RES_WORD_SPACE		0x88
#define RES_EXTENDED_IRQ	0x89

#define SPACE_MEMORY		0
#define SPACE_IO		1
#define SPACE_BUS		2
#define SPACE_FIXED		0x0c	/* minimum and maximum are; producer, positive decode */
#define SPACE_IO_ENTIRE		0x03
#define SPACE_MEMORY_RW		0x01	/* not cacheable */

static void insert(struct aml *a, size_t at, const void *data, size_t len)
{
	if (a->room - a->len < len) {
		a->room = 2 * (a->len + len) + 256;
		a->data = realloc(a->data, a->room);
		if (!a->data)
			die("not enough memory for ACPI tables");
	}
	memmove(a->data + at + len, a->data + at, a->len - at);
	memcpy(a->data + at, data, len);
	a->len += len;
}

void aml_free(struct aml *a)
{
	free(a->data);
	*a = (struct aml){ };
}

void aml_bytes(struct aml *a, const void *data, size_t len)
{
	insert(a, a->len, data, len);
}

static void byte(struct aml *a, uint8_t value)
{
	aml_bytes(a, &value, 1);
}

static void name_string(struct aml *a, const char *name)
{
	aml_bytes(a, name, strlen(name));
}

/* PkgLength counts its own bytes */
void aml_end(struct aml *a, size_t mark)
{
	size_t len = a->len - mark;
	unsigned int more, i;
	uint8_t enc[4];

	if (len + 1 < 1 << 6) {
		enc[0] = len + 1;
		insert(a, mark, enc, 1);
		return;
	}
	for (more = 1; len + 1 + more >= (size_t)1 << (4 + 8 * more); more++)
		;
	len += 1 + more;
	enc[0] = more << 6 | (len & 0xf);
	for (i = 0; i < more; i++)
		enc[1 + i] = len >> (4 + 8 * i);
	insert(a, mark, enc, 1 + more);
}

size_t aml_scope(struct aml *a, const char *name)
{
	size_t mark;

	byte(a, SCOPE_OP);
	mark = a->len;
	name_string(a, name);
	return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
	size_t mark;

	byte(a, EXT_OP_PREFIX);
	byte(a, DEVICE_EXT_OP);
	mark = a->len;
	name_string(a, name);
	return mark;
}

size_t aml_method(struct aml *a, const char *name, unsigned int nr_args)
{
	size_t mark;

	byte(a, METHOD_OP);
	mark = a->len;
	name_string(a, name);
	byte(a, nr_args);
	return mark;
}

size_t aml_package(struct aml *a, unsigned int nr_elements)
{
	size_t mark;

	byte(a, PACKAGE_OP);
	mark = a->len;
	byte(a, nr_elements);
	return mark;
}

void aml_name(struct aml *a, const char *name)
{
	byte(a, NAME_OP);
	name_string(a, name);
}

void aml_int(struct aml *a, uint64_t value)
{
	if (value <= 1) {
		byte(a, value ? ONE_OP : ZERO_OP);
	} else if (value <= UINT8_MAX) {
		byte(a, BYTE_PREFIX);
		aml_bytes(a, &value, 1);
	} else if (value <= UINT16_MAX) {
		byte(a, WORD_PREFIX);
		aml_bytes(a, &value, 2);
	} else if (value <= UINT32_MAX) {
		byte(a, DWORD_PREFIX);
		aml_bytes(a, &value, 4);
	} else {
		byte(a, QWORD_PREFIX);
		aml_bytes(a, &value, 8);
	}
}

void aml_string(struct aml *a, const char *text)
{
	byte(a, STRING_PREFIX);
	aml_bytes(a, text, strlen(text) + 1);
}

static unsigned int hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Three letters of five bits, four hexadecimal digits, stored with the highest byte first */
void aml_eisa_id(struct aml *a, const char *id)
{
	uint32_t v = (id[0] & 0x1f) << 26 | (id[1] & 0x1f) << 21 | (id[2] & 0x1f) << 16 |
		     hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 |
		     hex_digit(id[6]);

	v = __builtin_bswap32(v);
	byte(a, DWORD_PREFIX);
	aml_bytes(a, &v, 4);
}

void aml_create_dword_field(struct aml *a, unsigned int arg, unsigned int offset, const char *name)
{
	byte(a, CREATE_DWORD_FIELD_OP);
	byte(a, ARG0_OP + arg);
	aml_int(a, offset);
	name_string(a, name);
}

/* And (NAME, MASK, NAME) */
void aml_and_name(struct aml *a, const char *name, uint64_t mask)
{
	byte(a, AND_OP);
	name_string(a, name);
	aml_int(a, mask);
	name_string(a, name);
}

void aml_return_arg(struct aml *a, unsigned int arg)
{
	byte(a, RETURN_OP);
	byte(a, ARG0_OP + arg);
}

size_t aml_crs(struct aml *a)
{
	aml_name(a, "_CRS");
	byte(a, BUFFER_OP);
	return a->len;
}

void aml_crs_end(struct aml *a, size_t mark)
{
	struct aml size = { };

	byte(a, RES_END_TAG);
	byte(a, 0);		/* no checksum */
	aml_int(&size, a->len - mark);
	insert(a, mark, size.data, size.len);
	aml_free(&size);
	aml_end(a, mark);
}

void aml_res_io(struct aml *a, uint16_t port, uint8_t len)
{
	byte(a, RES_IO);
	byte(a, 1);		/* all 16 bits are decoded */
	aml_bytes(a, &port, 2);
	aml_bytes(a, &port, 2);
	byte(a, 1);
	byte(a, len);
}

void aml_res_memory(struct aml *a, uint32_t base, uint32_t len)
{
	byte(a, RES_MEMORY32_FIXED);
	byte(a, 9);
	byte(a, 0);
	byte(a, 1);		/* writable */
	aml_bytes(a, &base, 4);
	aml_bytes(a, &len, 4);
}

/* Edge-triggered, active high, alone */
void aml_res_isa_irq(struct aml *a, unsigned int irq)
{
	uint16_t mask = 1U << irq;

	byte(a, RES_IRQ_NO_FLAGS);
	aml_bytes(a, &mask, 2);
}

void aml_res_level_irq(struct aml *a, uint32_t gsi)
{
	byte(a, RES_EXTENDED_IRQ);
	byte(a, 6);
	byte(a, 0);
	byte(a, 0x09);		/* shared; active high, level, consumer */
	byte(a, 1);
	aml_bytes(a, &gsi, 4);
}

static void word_space(struct aml *a, uint8_t type, uint8_t flags, uint16_t first, uint16_t last)
{
	uint16_t words[5] = { 0, first, last, 0, last - first + 1 };

	byte(a, RES_WORD_SPACE);
	byte(a, 3 + sizeof(words));
	byte(a, 0);
	byte(a, type);
	byte(a, SPACE_FIXED);
	byte(a, flags);
	aml_bytes(a, words, sizeof(words));
}

void aml_res_bus_window(struct aml *a, uint16_t first, uint16_t last)
{
	word_space(a, SPACE_BUS, 0, first, last);
}

void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last)
{
	word_space(a, SPACE_IO, SPACE_IO_ENTIRE, first, last);
}

void aml_res_memory_window(struct aml *a, uint32_t first, uint32_t last)
{
	uint32_t words[5] = { 0, first, last, 0, last - first + 1 };

	byte(a, RES_DWORD_SPACE);
	byte(a, 3 + sizeof(words));
	byte(a, 0);
	byte(a, SPACE_MEMORY);
	byte(a, SPACE_FIXED);
	byte(a, SPACE_MEMORY_RW);
	aml_bytes(a, words, sizeof(words));
}
