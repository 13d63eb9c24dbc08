/* SPDX-License-Identifier: GPL-2.0-only */
/* What fuzz targets take their decisions from. */
#ifndef HVX_UNIT_FUZZ_INPUT_H
#define HVX_UNIT_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static const uint8_t *input;
static size_t left;

static inline void input_begin(const uint8_t *data, size_t size)
{
	input = data;
	left = size;
}

/* 0 without end behind the input */
static inline uint8_t byte(void)
{
	if (!left)
		return 0;
	left--;
	return *input++;
}

/* Where the program that finds a fault is to end */
static inline void check(bool ok)
{
	if (!ok)
		abort();
}

#endif
