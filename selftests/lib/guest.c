// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c: what guests share at run time: the one handler behind all vectors, and the few string
 * functions that they cannot take from libc. Compiled without vector registers, which may belong
 * to the code that was interrupted.
 */
#include "guest.h"

static void record(volatile struct gtrap *t, const struct gframe *f)
{
	t->vector = f->vector;
	t->error = f->error;
	t->rip = f->rip;
	t->rsp = f->rsp;
	t->rflags = f->rflags;
	t->cs = f->cs;
	t->ss = f->ss;
	if (f->vector == 14)
		t->cr2 = G_READ_REG(cr2);
	/* Reading DR6 can itself be what a test is about: only #DB needs it. */
	if (f->vector == 1)
		t->dr6 = G_READ_REG(dr6);
}

static void leave_ring3(struct gcpu *g, struct gframe *f)
{
	extern char guest_ring3_back[];

	f->rip = (uintptr_t)guest_ring3_back;
	f->cs = SEL_KCODE64;
	f->rflags = 2 | (f->rflags & 0x200);	/* IF */
	f->rsp = g->ring3_rsp;
	f->ss = SEL_KDATA;
}

static void forward_ucall(struct gframe *f)
{
	register uint64_t r8 asm("r8") = f->r8;

	asm volatile("outl %%eax, %%dx" : "+a"(f->rax) : "d"(UCALL_PORT), "D"(f->rdi), "S"(f->rsi),
		     "b"(f->rbx), "c"(f->rcx), "r"(r8) : "memory");
}

void guest_trap(struct gframe *f, struct gcpu *g)
{
	unsigned int vec = f->vector;

	if (vec == VEC_UCALL)
		return forward_ucall(f);
	record(&g->trap, f);
	g->count[vec]++;
	if (vec == VEC_RING3_END)
		return leave_ring3(g, f);
	if (g->handler[vec])
		return g->handler[vec](g, f);
	if (vec >= 32 || vec == 2)
		return;
	if (g->resume) {
		f->rip = g->resume;
		g->resume = 0;
		return;
	}
	for (;;)
		ucall(UC_TRAP, vec, f->error, f->rip, g->trap.cr2, f->rsp);
}

void guest_memset(void *to, int byte, size_t len)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
}

void guest_memcpy(void *to, const void *from, size_t len)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

int guest_memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *p = a, *q = b;

	for (; len; len--, p++, q++) {
		if (*p != *q)
			return *p - *q;
	}
	return 0;
}
