// SPDX-License-Identifier: GPL-2.0-only
/*
 * chips.c: the interrupt chips, the timer and the paravirtual clock in the kernel. The state of the
 * chips after power-on is kept, so that a reset can bring it back.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "private.h"

static void move(struct machine *m, unsigned long request, unsigned int chip, void *data,
		 uint32_t len)
{
	struct hvx_chip args = {
		.size = sizeof(args), .chip = chip, .len = len, .data = (uintptr_t)data,
	};

	if (ioctl(m->vm.fd, request, &args))
		die("cannot %s interrupt chip %u: %s",
		    request == HVX_GET_CHIP ? "read" : "reset", chip, strerror(errno));
}

static void move_all(struct machine *m, unsigned long request)
{
	struct machine_private *p = m->p;

	move(m, request, HVX_CHIP_PIC, p->pic, sizeof(p->pic));
	move(m, request, HVX_CHIP_IOAPIC, &p->ioapic, sizeof(p->ioapic));
	move(m, request, HVX_CHIP_PIT, &p->pit, sizeof(p->pit));
}

void chips_save(struct machine *m)
{
	move_all(m, HVX_GET_CHIP);
}

void chips_reset(struct machine *m)
{
	move_all(m, HVX_SET_CHIP);
}

void clock_stop(struct machine *m)
{
	m->p->clock = (struct hvx_clock){ .size = sizeof(m->p->clock) };
	if (ioctl(m->vm.fd, HVX_GET_CLOCK, &m->p->clock))
		die("cannot read the guest's clock: %s", strerror(errno));
}

void clock_go(struct machine *m)
{
	struct hvx_clock clock = { .size = sizeof(clock), .ns = m->p->clock.ns };

	if (ioctl(m->vm.fd, HVX_SET_CLOCK, &clock))
		die("cannot set the guest's clock: %s", strerror(errno));
}
