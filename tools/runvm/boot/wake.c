// SPDX-License-Identifier: GPL-2.0-only
/*
 * wake.c: what firmware does when the machine wakes from S3 (ACPI specification, "Waking and
 * Sleeping", "Firmware ACPI Control Structure"): memory types, and the first processor at the
 * vector that the guest has put into the FACS. The other processors wait for a SIPI, as after a
 * reset. There is no A20 gate to open.
 */
#include "boot/boot.h"

static bool is_ram(const struct machine *m, uint64_t gpa)
{
	struct range range[MAX_RANGES];
	unsigned int n = layout_map(m, range), i;

	for (i = 0; i < n; i++)
		if (range[i].type == RANGE_RAM && gpa >= range[i].start && gpa < range[i].end)
			return true;
	return false;
}

/*
 * The 64-bit field counts if it is not 0, and is entered in protected mode; the other one in real
 * mode. START_PROTECTED names a descriptor table that the guest may have written over: segments
 * are loaded already, and it is to load a table of its own.
 */
bool wake_vector(struct boot *b)
{
	const struct facs *facs = mem_at(b->m, FACS_BASE, sizeof(*facs));
	uint64_t x = facs->x_waking_vector, vector = x ? x : facs->waking_vector;

	if (!vector)
		return boot_fail(b, NULL,
				 "the guest cannot wake: it sleeps without a waking vector in the FACS");
	if (vector >= (x ? GIB_4 : MIB_1) || !is_ram(b->m, vector))
		return boot_fail(b, NULL,
				 "the guest cannot wake: the waking vector in the FACS, %#llx, is not in RAM below %s",
				 (unsigned long long)vector, x ? "4 GiB" : "1 MiB");
	b->start = (struct start){ .mode = x ? START_PROTECTED : START_VECTOR, .entry = vector };
	return true;
}

bool boot_wake(struct machine *m, struct vcpu *first)
{
	struct boot b = { .m = m };

	if (!wake_vector(&b)) {
		warn("%s", b.error);
		return false;
	}
	mtrr_set(m);
	vcpu_get(first, HVX_REGS_ALL);
	start_registers(&b.start, first->run);
	return true;
}
