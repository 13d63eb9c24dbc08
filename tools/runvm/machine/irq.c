// SPDX-License-Identifier: GPL-2.0-only
/* irq.c: interrupt lines, messages and eventfds of the chips in the kernel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "private.h"

#define NR_PINS		24	/* of the I/O APIC */
#define NR_PIC_PINS	16
/* Lines of both chips, line 2 of the I/O APIC alone being none, and those of the I/O APIC alone */
#define MAX_CHIP_ROUTES	(NR_PINS + NR_PIC_PINS)

_Static_assert(MAX_MSI_ROUTES + MAX_CHIP_ROUTES <= HVX_MAX_ROUTES, "the table has room for all");

void irq_init(struct machine *m)
{
	pthread_mutex_init(&m->p->irq.lock, NULL);
}

void irq_fini(struct machine *m)
{
	pthread_mutex_destroy(&m->p->irq.lock);
}

void machine_irq(struct machine *m, uint32_t gsi, bool level)
{
	struct hvx_irq_line args = { .size = sizeof(args), .gsi = gsi, .level = level };

	if (ioctl(m->vm.fd, HVX_IRQ_LINE, &args))
		die("cannot set interrupt line %u: %s", gsi, strerror(errno));
}

/* An address that is none of MSIs is what the guest wrote into a device: nobody listens there */
void machine_msi(struct machine *m, uint64_t address, uint32_t data)
{
	struct hvx_msi args = { .size = sizeof(args), .address = address, .data = data };

	if (ioctl(m->vm.fd, HVX_SIGNAL_MSI, &args) < 0 && errno != EINVAL)
		die("cannot raise a message-signalled interrupt: %s", strerror(errno));
}

/* What a VM begins with (struct hvx_routing); a table replaces it */
static unsigned int add_chip_routes(struct hvx_route *r)
{
	unsigned int gsi, n = 0;

	for (gsi = 0; gsi < NR_PINS; gsi++) {
		if (gsi == 2)	/* pin 2 is the timer's, line 0 */
			continue;
		r[n++] = (struct hvx_route){
			.gsi = gsi, .type = HVX_ROUTE_IOAPIC, .pin = gsi ? gsi : 2,
		};
		if (gsi < NR_PIC_PINS)
			r[n++] = (struct hvx_route){
				.gsi = gsi, .type = HVX_ROUTE_PIC, .pin = gsi,
			};
	}
	return n;
}

static int set_routing(struct machine *m)
{
	struct hvx_routing args = { .size = sizeof(args) };
	struct irq *irq = &m->p->irq;
	struct hvx_route *routes;
	unsigned int i, n;
	int error = 0;

	routes = calloc(MAX_CHIP_ROUTES + irq->nr, sizeof(*routes));
	if (!routes)
		die("not enough memory");
	n = add_chip_routes(routes);
	for (i = 0; i < irq->nr; i++)
		if (irq->msi[i].type != HVX_ROUTE_NONE)
			routes[n++] = irq->msi[i];
	args.nr = n;
	args.routes = (uintptr_t)routes;
	if (ioctl(m->vm.fd, HVX_SET_ROUTING, &args))
		error = errno;
	free(routes);
	return error;
}

uint32_t machine_alloc_gsi(struct machine *m)
{
	struct irq *irq = &m->p->irq;
	uint32_t i;

	pthread_mutex_lock(&irq->lock);
	i = irq->nr;
	if (i == MAX_MSI_ROUTES)
		die("the devices want more than %d interrupts: take some away", MAX_MSI_ROUTES);
	irq->nr++;
	pthread_mutex_unlock(&irq->lock);
	return GSI_FIRST_MSI + i;
}

/* A route that the kernel refuses was written by the guest: it leads nowhere */
static void set_msi(struct machine *m, uint32_t gsi, struct hvx_route new)
{
	struct irq *irq = &m->p->irq;
	struct hvx_route *old;
	int error = 0;

	new.gsi = gsi;
	pthread_mutex_lock(&irq->lock);
	old = &irq->msi[gsi - GSI_FIRST_MSI];
	if (memcmp(old, &new, sizeof(new))) {
		*old = new;
		error = set_routing(m);
	}
	if (error == EINVAL) {
		old->type = HVX_ROUTE_NONE;
		error = set_routing(m);
	}
	pthread_mutex_unlock(&irq->lock);
	if (error)
		die("cannot route interrupts: %s", strerror(error));
}

void machine_route_msi(struct machine *m, uint32_t gsi, uint64_t address, uint32_t data)
{
	set_msi(m, gsi, (struct hvx_route){
		.type = HVX_ROUTE_MSI, .address = address, .data = data,
	});
}

void machine_unroute_msi(struct machine *m, uint32_t gsi)
{
	set_msi(m, gsi, (struct hvx_route){ .type = HVX_ROUTE_NONE });
}

void irq_reset(struct machine *m)
{
	struct irq *irq = &m->p->irq;
	int error;

	pthread_mutex_lock(&irq->lock);
	memset(irq->msi, 0, sizeof(irq->msi));
	error = set_routing(m);
	pthread_mutex_unlock(&irq->lock);
	if (error)
		die("cannot route interrupts: %s", strerror(error));
}

void machine_irqfd(struct machine *m, uint32_t gsi, int fd, int resample_fd, bool add)
{
	struct hvx_irqfd args = {
		.size = sizeof(args), .fd = fd, .gsi = gsi, .resample_fd = resample_fd,
		.flags = add ? 0 : HVX_IRQFD_REMOVE,
	};

	if (resample_fd >= 0)
		args.flags |= HVX_IRQFD_RESAMPLE;
	if (ioctl(m->vm.fd, HVX_IRQFD, &args))
		die("cannot %s an eventfd and interrupt line %u: %s", add ? "connect" : "part", gsi,
		    strerror(errno));
}

bool machine_ioeventfd(struct machine *m, bool pio, uint64_t addr, uint32_t len,
		       const uint64_t *match, int fd, bool add)
{
	struct hvx_ioeventfd args = {
		.size = sizeof(args), .addr = addr, .len = len, .fd = fd,
		.match = match ? *match : 0,
		.flags = (pio ? HVX_IOEVENTFD_PIO : 0) | (match ? HVX_IOEVENTFD_MATCH : 0) |
			 (add ? 0 : HVX_IOEVENTFD_REMOVE),
	};

	return !ioctl(m->vm.fd, HVX_IOEVENTFD, &args);
}
