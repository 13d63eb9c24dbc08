// SPDX-License-Identifier: GPL-2.0-only
/* memory.c: guest-physical memory, which vm.c has mapped, and which the host may lose. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

/* ------------------------------------------------------------------------- lost memory */

/* For the handler, which gets no argument */
static struct machine *watched;
static struct sigaction before;

static bool find_gpa(struct machine *m, const void *at, uint64_t *gpa)
{
	uint64_t offset = (const uint8_t *)at - m->vm.mem, low = mem_low(m);

	if (offset >= m->vm.mem_size)
		return false;
	*gpa = offset < low ? offset : MEM_HIGH_BASE + (offset - low);
	return true;
}

/*
 * A device has met a page that is no more. There is no way on behind the access, and no other
 * place that this could be said at: it is the thread's own access to the guest's memory, so that
 * none of the C library's functions is under way in it.
 */
static void on_bus_error(int signal, siginfo_t *info, void *context)
{
	uint64_t gpa;

	/* Nobody needs the page now: who does later is told then */
	if (info->si_code == BUS_MCEERR_AO)
		return;
	mem_lost();
	if (!find_gpa(watched, info->si_addr, &gpa)) {
		sigaction(signal, &before, NULL);
		raise(signal);
		return;
	}
	warn("no memory behind guest address %#llx: %s", (unsigned long long)gpa,
	     strerror(info->si_code == BUS_MCEERR_AR ? EHWPOISON : EFAULT));
	warn("the guest cannot go on");
	exit(STATUS_ERROR);
}

void mem_watch(struct machine *m)
{
	struct sigaction action = {
		.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	watched = m;
	sigaction(SIGBUS, &action, &before);
}
