/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bochs includes this as its instrumentation: hooks before each instruction, after each
 * iteration of a repeated one, and at each OUT. All others are as without instrumentation.
 */
#undef BX_INSTRUMENTATION
#define BX_INSTRUMENTATION 0
#include "../stubs/instrument.h"
#undef BX_INSTRUMENTATION
#define BX_INSTRUMENTATION 1

extern bool trace_on;

void trace_instruction(unsigned cpu);
void trace_iteration(unsigned cpu);
void trace_out(unsigned port, unsigned value);

/* What Bochs puts behind the last instruction of a stretch has no length, and no tick */
#undef BX_INSTR_BEFORE_EXECUTION
#define BX_INSTR_BEFORE_EXECUTION(cpu_id, i) \
	do { if (trace_on && (i)->ilen()) trace_instruction(cpu_id); } while (0)
#undef BX_INSTR_REPEAT_ITERATION
#define BX_INSTR_REPEAT_ITERATION(cpu_id, i) \
	do { if (trace_on) trace_iteration(cpu_id); } while (0)
#undef BX_INSTR_OUTP
#define BX_INSTR_OUTP(addr, len, val) trace_out(addr, val)
