// SPDX-License-Identifier: GPL-2.0-only
/* bus.c: who answers at which port and address. */
#include <stdlib.h>
#include <string.h>

#include "private.h"

static void init_bus(struct bus *bus, const char *name)
{
	*bus = (struct bus){ .name = name };
	pthread_rwlock_init(&bus->lock, NULL);
}

void bus_init(struct machine *m)
{
	init_bus(&m->p->pio, "port");
	init_bus(&m->p->mmio, "address");
}

static void fini_bus(struct bus *bus)
{
	pthread_rwlock_destroy(&bus->lock);
	free(bus->ranges);
}

void bus_fini(struct machine *m)
{
	fini_bus(&m->p->pio);
	fini_bus(&m->p->mmio);
}

/* How many ranges begin at @addr or before it */
static unsigned int rank(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->nr;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (bus->ranges[middle].base <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool find(const struct bus *bus, uint64_t addr, struct bus_range *found)
{
	unsigned int i = rank(bus, addr);

	if (!i || addr - bus->ranges[i - 1].base >= bus->ranges[i - 1].len)
		return false;
	*found = bus->ranges[i - 1];
	return true;
}

/* The handler is called without the lock, because it may move ranges: a BAR's, say */
void bus_access(struct bus *bus, uint64_t addr, unsigned int len, bool write, void *data)
{
	struct bus_range range;
	bool there;

	if (!write)
		memset(data, 0xff, len);
	pthread_rwlock_rdlock(&bus->lock);
	there = find(bus, addr, &range);
	pthread_rwlock_unlock(&bus->lock);
	if (there)
		range.handler(range.opaque, addr - range.base, len, write, data);
}

static bool overlaps(const struct bus *bus, unsigned int i, const struct bus_range *range)
{
	const struct bus_range *r = bus->ranges;

	return (i && range->base - r[i - 1].base < r[i - 1].len) ||
	       (i < bus->nr && r[i].base - range->base < range->len);
}

static bool add_locked(struct bus *bus, const struct bus_range *range)
{
	unsigned int i = rank(bus, range->base);
	struct bus_range *r;

	if (overlaps(bus, i, range))
		return false;
	r = realloc(bus->ranges, (bus->nr + 1) * sizeof(*r));
	if (!r)
		die("not enough memory");
	memmove(r + i + 1, r + i, (bus->nr - i) * sizeof(*r));
	r[i] = *range;
	bus->ranges = r;
	bus->nr++;
	return true;
}

static bool add(struct machine *m, struct bus *bus, struct bus_range range)
{
	bool done;

	pthread_rwlock_wrlock(&bus->lock);
	done = add_locked(bus, &range);
	pthread_rwlock_unlock(&bus->lock);
	if (!done && !m->p->nr_threads)
		die("two devices claim %s %#llx", bus->name, (unsigned long long)range.base);
	return done;
}

static void del(struct bus *bus, uint64_t base)
{
	unsigned int i;

	pthread_rwlock_wrlock(&bus->lock);
	i = rank(bus, base);
	if (i && bus->ranges[i - 1].base == base) {
		memmove(bus->ranges + i - 1, bus->ranges + i,
			(bus->nr - i) * sizeof(*bus->ranges));
		bus->nr--;
	}
	pthread_rwlock_unlock(&bus->lock);
}

bool bus_add_pio(struct machine *m, uint16_t port, uint16_t len, io_handler *handler, void *opaque)
{
	return add(m, &m->p->pio, (struct bus_range){ port, len, handler, opaque });
}

bool bus_add_mmio(struct machine *m, uint64_t gpa, uint64_t len, io_handler *handler, void *opaque)
{
	return add(m, &m->p->mmio, (struct bus_range){ gpa, len, handler, opaque });
}

void bus_remove_pio(struct machine *m, uint16_t port)
{
	del(&m->p->pio, port);
}

void bus_remove_mmio(struct machine *m, uint64_t gpa)
{
	del(&m->p->mmio, gpa);
}
