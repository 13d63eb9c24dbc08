// SPDX-License-Identifier: GPL-2.0-only
/* runvm_shim.c: see runvm_shim.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runvm_shim.h"

char died[512];
jmp_buf *die_to;
unsigned int nr_msrs_set;
static uint64_t high;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(died, sizeof(died), format, args);
	va_end(args);
	if (!die_to) {
		fprintf(stderr, "died: %s\n", died);
		abort();
	}
	longjmp(*die_to, 1);
}

void usage_error(const char *format, ...)
{
	va_list args;
	char text[sizeof(died)];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	die("%s", text);
}

/* Numbers without a suffix */
uint64_t parse_size(const char *text, uint64_t min, uint64_t max)
{
	return strtoull(text, NULL, 10) << 20;
}

void *mem_at(struct machine *m, uint64_t gpa, uint64_t len)
{
	return gpa <= m->vm.mem_size && len <= m->vm.mem_size - gpa ? m->vm.mem + gpa : NULL;
}

uint64_t mem_low(const struct machine *m)
{
	return m->vm.mem_size;
}

uint64_t mem_high(const struct machine *m)
{
	return high;
}

void vcpu_get(struct vcpu *v, uint64_t groups)
{
	v->run->regs_valid |= groups;
}

long vm_cap(const struct vm *vm, unsigned int cap)
{
	return cap == HVX_CAP_GPA_BITS ? 40 : 0;
}

/* MTRRs only: they are all the same */
void vcpu_set_msrs(struct vcpu *v, const struct hvx_msr *msrs, unsigned int nr)
{
	nr_msrs_set += nr;
}

void fake_set_high(uint64_t bytes)
{
	high = bytes;
}

/* A page that cannot be touched follows the memory */
struct fake_machine *fake_machine_new(uint64_t low, unsigned int nr_vcpus)
{
	struct fake_machine *f = calloc(1, sizeof(*f));
	uint8_t *mem = mmap(NULL, low + PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!f || mem == MAP_FAILED || mprotect(mem, low, PROT_READ | PROT_WRITE))
		abort();
	memset(mem, 0xcc, low < 1 << 20 ? low : 1 << 20);
	f->options.cmdline = "";
	f->vcpu[0].run = &f->run;
	f->m = (struct machine){
		.vm = { .mem = mem, .mem_size = low }, .options = &f->options,
		.nr_vcpus = nr_vcpus, .vcpus = f->vcpu,
	};
	return f;
}

void fake_machine_free(struct fake_machine *f)
{
	munmap(f->m.vm.mem, f->m.vm.mem_size + PAGE_SIZE);
	free(f);
}
