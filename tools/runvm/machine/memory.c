// SPDX-License-Identifier: GPL-2.0-only
/* memory.c: guest-physical memory, which vm.c has mapped. */
#include <errno.h>
#include <sys/mman.h>

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

int mem_discard(struct machine *m, void *at, uint64_t len)
{
	uint64_t from = (uint8_t *)at - m->vm.mem, to = from + len;

	from = (from + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	to &= ~(PAGE_SIZE - 1);
	if (from >= to)
		return 0;
	return madvise(m->vm.mem + from, to - from, MADV_DONTNEED) ? errno : 0;
}
