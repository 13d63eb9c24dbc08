// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's clocks.
 */
#include <asm/tsc.h>
#include "pv/pv.h"
#include "vm.h"

void hvx_clock_init(struct hvx_vm *vm)
{
	struct hvx_clock_state *clock = &vm->clock;

	raw_spin_lock_init(&clock->lock);
	clock->tsc_offset = -rdtsc();
}

u64 hvx_clock_tsc_offset(struct hvx_vm *vm)
{
	struct hvx_clock_state *clock = &vm->clock;
	u64 offset;

	raw_spin_lock(&clock->lock);
	offset = clock->tsc_offset;
	raw_spin_unlock(&clock->lock);
	return offset;
}

u64 hvx_clock_match_tsc(struct hvx_vm *vm, u64 offset)
{
	struct hvx_clock_state *clock = &vm->clock;
	u64 second = (u64)tsc_khz * 1000;

	raw_spin_lock(&clock->lock);
	if (offset - clock->tsc_offset + second <= 2 * second)
		offset = clock->tsc_offset;
	else
		clock->tsc_offset = offset;
	raw_spin_unlock(&clock->lock);
	return offset;
}
