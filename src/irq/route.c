// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines (GSIs) and where they lead.
 *
 *   hvx_irq_set()	a source holds a line up, or no more
 *   hvx_irq_pulse()	an edge that nobody holds
 *   hvx_route_set()	a new routing table
 *
 * A line is up while any of its sources holds it, a pin while any of its lines is up. Pins count
 * their lines, so that a new table finds them right. Messages go out for each call that asserts
 * their line.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "vcpu/vcpu.h"
#include "chips.h"

#define PIC_PINS	16
#define DEFAULT_LINES	HVX_IOAPIC_PINS

struct route {
	u8 type;		/* enum hvx_route_type */
	u8 pin;
	u32 data;
	u64 address;
};

/* Replaced as a whole; the routes of a line lie together */
struct hvx_routes {
	u16 first[HVX_MAX_GSI + 2];	/* by GSI; the next one's is the end */
	struct route route[];
};

static_assert(HVX_MAX_ROUTES <= U16_MAX);

static bool to_pin(const struct route *r)
{
	return r->type == HVX_ROUTE_IOAPIC || r->type == HVX_ROUTE_PIC;
}

static enum hvx_pin_chip chip_of(const struct route *r)
{
	return r->type == HVX_ROUTE_PIC ? HVX_PINS_PIC : HVX_PINS_IOAPIC;
}

static struct hvx_routes *routes_locked(struct hvx_chips *chips)
{
	return rcu_dereference_protected(chips->routes, lockdep_is_held(&chips->vm->irq.lock));
}

/* -------------------------------------------------------------------------- delivery */

static int set_pin(struct hvx_chips *chips, enum hvx_pin_chip chip, unsigned int pin, bool level)
{
	if (chip == HVX_PINS_PIC)
		return hvx_pic_set_line(&chips->pic, pin, level);
	return hvx_ioapic_set_line(&chips->ioapic, pin, level);
}

/* Of several answers: how many took it, or else that it was merged, or else that nobody did */
static int combine(int sum, int ret)
{
	if (ret > 0)
		return sum > 0 ? sum + ret : ret;
	return sum ? sum : ret;
}

static int take_route(struct hvx_chips *chips, const struct route *r, int change, bool level)
{
	u16 *asserted;

	if (r->type == HVX_ROUTE_MSI)
		return level ? hvx_irq_deliver_msi(chips->vm, r->address, r->data) : 0;
	if (!to_pin(r))
		return 0;
	asserted = &chips->asserted[chip_of(r)][r->pin];
	*asserted += change;
	return set_pin(chips, chip_of(r), r->pin, *asserted);
}

int hvx_irq_set(struct hvx_vm *vm, u32 source, u32 gsi, bool level)
{
	struct hvx_chips *chips = vm->irq.chips;
	const struct hvx_routes *routes;
	unsigned long irqflags;
	int change, ret = 0;
	u8 before, after;
	unsigned int i;

	if (!chips || gsi > HVX_MAX_GSI)
		return -EINVAL;
	gsi = array_index_nospec(gsi, HVX_MAX_GSI + 1);
	irqflags = hvx_chips_lock(vm);
	routes = routes_locked(chips);
	before = chips->sources[gsi];
	after = level ? before | BIT(source) : before & ~BIT(source);
	chips->sources[gsi] = after;
	change = !!after - !!before;
	for (i = routes->first[gsi]; i < routes->first[gsi + 1]; i++)
		ret = combine(ret, take_route(chips, &routes->route[i], change, level));
	if (routes->first[gsi] == routes->first[gsi + 1])
		ret = -EINVAL;
	hvx_chips_unlock(vm, irqflags);
	return ret;
}

static int pulse_pins(struct hvx_chips *chips, u32 gsi)
{
	unsigned long irqflags = hvx_chips_lock(chips->vm);
	const struct hvx_routes *routes = routes_locked(chips);
	unsigned int i;
	int ret = 0;

	for (i = routes->first[gsi]; i < routes->first[gsi + 1]; i++) {
		const struct route *r = &routes->route[i];

		if (!to_pin(r))
			continue;
		/* Up already: nothing rises */
		if (chips->asserted[chip_of(r)][r->pin]) {
			ret = combine(ret, -1);
			continue;
		}
		ret = combine(ret, set_pin(chips, chip_of(r), r->pin, true));
		set_pin(chips, chip_of(r), r->pin, false);
	}
	hvx_chips_unlock(chips->vm, irqflags);
	return ret;
}

int hvx_irq_pulse(struct hvx_vm *vm, u32 gsi)
{
	struct hvx_chips *chips = vm->irq.chips;
	const struct hvx_routes *routes;
	bool pins = false;
	int ret = 0, idx;
	unsigned int i;

	if (gsi > HVX_MAX_GSI)
		return -EINVAL;
	gsi = array_index_nospec(gsi, HVX_MAX_GSI + 1);
	/* Messages need no lock: most pulses are an MSI of a virtual device */
	idx = srcu_read_lock(&chips->srcu);
	routes = srcu_dereference(chips->routes, &chips->srcu);
	if (routes->first[gsi] == routes->first[gsi + 1])
		ret = -EINVAL;
	for (i = routes->first[gsi]; i < routes->first[gsi + 1]; i++) {
		const struct route *r = &routes->route[i];

		pins |= to_pin(r);
		if (r->type == HVX_ROUTE_MSI)
			ret = combine(ret, hvx_irq_deliver_msi(vm, r->address, r->data));
	}
	srcu_read_unlock(&chips->srcu, idx);
	return pins ? combine(ret, pulse_pins(chips, gsi)) : ret;
}

bool hvx_route_leads_to(struct hvx_vm *vm, u32 gsi, enum hvx_pin_chip chip, u32 pins)
{
	struct hvx_chips *chips = vm->irq.chips;
	const struct hvx_routes *routes = srcu_dereference(chips->routes, &chips->srcu);
	unsigned int i;

	for (i = routes->first[gsi]; i < routes->first[gsi + 1]; i++) {
		const struct route *r = &routes->route[i];

		if (to_pin(r) && chip_of(r) == chip && pins & BIT(r->pin))
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------------------- table */

static bool valid(const struct hvx_vm *vm, const struct hvx_route *r)
{
	if (r->gsi > HVX_MAX_GSI)
		return false;
	switch (r->type) {
	case HVX_ROUTE_NONE:
		return true;
	case HVX_ROUTE_IOAPIC:
		return vm->flags & HVX_VM_IOAPIC && r->pin < HVX_IOAPIC_PINS;
	case HVX_ROUTE_PIC:
		return vm->flags & HVX_VM_PIC && r->pin < PIC_PINS && r->pin != HVX_PIC_CASCADE;
	case HVX_ROUTE_MSI:
		return hvx_msi_address_valid(r->address);
	}
	return false;
}

/* Count the routes of each line, then put each where its line's are */
static struct hvx_routes *build(const struct hvx_vm *vm, const struct hvx_route *from, u32 nr)
{
	struct hvx_routes *to = kvzalloc(struct_size(to, route, nr), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!to)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++) {
		if (!valid(vm, &from[i]) ||
		    to->first[from[i].gsi + 1]++ == HVX_MAX_ROUTES_PER_GSI) {
			kvfree(to);
			return ERR_PTR(-EINVAL);
		}
	}
	for (i = 0; i <= HVX_MAX_GSI; i++)
		to->first[i + 1] += to->first[i];
	/* Backwards, from the end of each line's: first[] is right when all are in place */
	for (i = nr; i-- > 0;) {
		const struct hvx_route *r = &from[i];

		to->route[--to->first[r->gsi + 1]] = (struct route) {
			.type = r->type, .pin = r->pin, .data = r->data, .address = r->address,
		};
	}
	/* Each end has moved down to its line's beginning: entry i + 1 holds that of line i */
	memmove(&to->first[0], &to->first[1], sizeof(to->first) - sizeof(to->first[0]));
	to->first[HVX_MAX_GSI + 1] = nr;
	return to;
}

/* Pins as the new table has them: lines keep their levels */
static void recount(struct hvx_chips *chips, const struct hvx_routes *routes)
{
	unsigned int gsi, i, chip, pin;

	memset(chips->asserted, 0, sizeof(chips->asserted));
	for (gsi = 0; gsi <= HVX_MAX_GSI; gsi++) {
		if (!chips->sources[gsi])
			continue;
		for (i = routes->first[gsi]; i < routes->first[gsi + 1]; i++) {
			const struct route *r = &routes->route[i];

			if (to_pin(r))
				chips->asserted[chip_of(r)][r->pin]++;
		}
	}
	for (chip = 0; chip < HVX_PINS_CHIPS; chip++) {
		for (pin = 0; pin < (chip == HVX_PINS_PIC ? PIC_PINS : HVX_IOAPIC_PINS); pin++)
			set_pin(chips, chip, pin, chips->asserted[chip][pin]);
	}
}

static void publish(struct hvx_vm *vm, struct hvx_routes *routes)
{
	struct hvx_chips *chips = vm->irq.chips;
	struct hvx_routes *old;
	unsigned long irqflags;

	mutex_lock(&vm->lock);
	irqflags = hvx_chips_lock(vm);
	old = routes_locked(chips);
	rcu_assign_pointer(chips->routes, routes);
	recount(chips, routes);
	hvx_chips_unlock(vm, irqflags);
	/*
	 * When this call is over no interrupt takes an old route any more. RCU would have to
	 * interrupt all CPUs for it, as often as an unprivileged caller likes.
	 */
	synchronize_srcu_expedited(&chips->srcu);
	mutex_unlock(&vm->lock);
	kvfree(old);
}

long hvx_route_set(struct hvx_vm *vm, const struct hvx_routing *args)
{
	struct hvx_routes *routes;
	struct hvx_route *from;

	if (args->flags || args->reserved)
		return -EINVAL;
	if (!vm->irq.chips)
		return -EOPNOTSUPP;
	if (args->nr > HVX_MAX_ROUTES)
		return -E2BIG;
	from = vmemdup_user(u64_to_user_ptr(args->routes), args->nr * sizeof(*from));
	if (IS_ERR(from))
		return PTR_ERR(from);
	routes = build(vm, from, args->nr);
	kvfree(from);
	if (IS_ERR(routes))
		return PTR_ERR(routes);
	publish(vm, routes);
	return 0;
}

/* ------------------------------------------------------------------------------ life */

/* Line 0 is the timer's, which goes to pin 2 of the I/O APIC where the 8259s have their cascade */
static u32 default_routes(const struct hvx_vm *vm, struct hvx_route *to)
{
	u32 gsi, nr = 0;

	for (gsi = 0; gsi < DEFAULT_LINES; gsi++) {
		if (vm->flags & HVX_VM_IOAPIC && gsi != 2)
			to[nr++] = (struct hvx_route) {
				.gsi = gsi, .type = HVX_ROUTE_IOAPIC, .pin = gsi ? gsi : 2,
			};
		if (vm->flags & HVX_VM_PIC && gsi < PIC_PINS && gsi != HVX_PIC_CASCADE)
			to[nr++] = (struct hvx_route) {
				.gsi = gsi, .type = HVX_ROUTE_PIC, .pin = gsi,
			};
	}
	return nr;
}

int hvx_route_init(struct hvx_chips *chips)
{
	struct hvx_route *from = kcalloc(2 * DEFAULT_LINES, sizeof(*from), GFP_KERNEL);
	struct hvx_routes *routes;

	if (!from)
		return -ENOMEM;
	routes = build(chips->vm, from, default_routes(chips->vm, from));
	kfree(from);
	if (IS_ERR(routes))
		return PTR_ERR(routes);
	RCU_INIT_POINTER(chips->routes, routes);
	return 0;
}

void hvx_route_fini(struct hvx_chips *chips)
{
	kvfree(rcu_dereference_protected(chips->routes, true));
}
