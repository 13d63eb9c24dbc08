// SPDX-License-Identifier: GPL-2.0-only
/* memory.c: guest-physical memory, which vm.c has mapped. */
#include "private.h"

uint64_t mem_low(const struct machine *m)
{
	return m->vm.mem_size < MEM_LOW_MAX ? m->vm.mem_size : MEM_LOW_MAX;
}

uint64_t mem_high(const struct machine *m)
{
	return m->vm.mem_size - mem_low(m);
}

void *mem_at(struct machine *m, uint64_t gpa, uint64_t len)
{
	uint64_t low = mem_low(m), high = mem_high(m);

	if (gpa <= low)
		return len <= low - gpa ? m->vm.mem + gpa : NULL;
	if (gpa < MEM_HIGH_BASE)
		return NULL;
	gpa -= MEM_HIGH_BASE;
	if (gpa > high || len > high - gpa)
		return NULL;
	return m->vm.mem + low + gpa;
}
