// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who in the kernel answers a port or a guest-physical address: the chips, and eventfds that count
 * writes.
 *
 * One sorted table, replaced as a whole under vm->lock. Readers are in vm->srcu or in a window: who
 * replaces it kicks the windows and waits for srcu, as for the MSR filter.
 *
 * At most one entry takes a write: at one address either an ioeventfd for all lengths, or for each
 * length one without match, or any number with different ones. So the table has an order in which
 * compare() finds the taker by bisection.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/ktime.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "compat.h"
#include "io/io.h"
#include "chips.h"

enum bus_device { DEV_IOEVENTFD, DEV_PIC, DEV_PIT, DEV_IOAPIC };

struct entry {
	u64 first, last;
	u64 match;
	struct eventfd_ctx *eventfd;	/* DEV_IOEVENTFD */
	u8 device;			/* enum bus_device */
	u8 len;				/* 0: any */
	bool has_match;
	bool pio;
};

#define HINTS		256
#define HINT_SEVERAL	U16_MAX

struct hvx_bus {
	u32 nr_pio;			/* ports come first */
	u32 nr;
	u64 pages;			/* bit (page frame % 64): an entry is there */
	u16 hint[HINTS];		/* by low byte of the port: index of its only entry + 1 */
	struct entry entry[];
};

static_assert(HVX_MAX_IOEVENTFDS + 16 < HINT_SEVERAL);

/* Ports of the chips, in order: with the flag of the VM that puts the chip into the kernel */
static const struct {
	u16 first, last;
	u8 device;
	u32 flag;
} chip_ports[] = {
	{ 0x20, 0x21, DEV_PIC, HVX_VM_PIC },
	{ 0x40, 0x43, DEV_PIT, HVX_VM_PIT },
	{ 0x61, 0x61, DEV_PIT, HVX_VM_PIT },
	{ 0xa0, 0xa1, DEV_PIC, HVX_VM_PIC },
	{ 0x4d0, 0x4d1, DEV_PIC, HVX_VM_PIC },
};

/* -------------------------------------------------------------------------- look-up */

/* Where an access lies: before the entry (< 0), behind it (> 0), or it is the entry's (0) */
static int compare(const struct entry *e, u64 addr, u32 len, u64 value)
{
	if (addr < e->first || addr > e->last)
		return addr < e->first ? -1 : 1;
	if (!e->len)
		return 0;
	if (len != e->len)
		return len < e->len ? -1 : 1;
	if (!e->has_match || value == e->match)
		return 0;
	return value < e->match ? -1 : 1;
}

static __always_inline const struct entry *find(const struct hvx_bus *bus, u32 low, u32 high,
						u64 addr, u32 len, u64 value)
{
	while (low < high) {
		u32 middle = (low + high) / 2;
		const struct entry *e = &bus->entry[middle];
		int where = compare(e, addr, len, value);

		if (!where)
			return e;
		if (where < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* As find(), and most often without a search */
static __always_inline const struct entry *find_port(const struct hvx_bus *bus, u16 port,
						     u32 width, u32 value)
{
	u16 hint = bus->hint[port % HINTS];
	const struct entry *e = &bus->entry[hint - 1];

	if (unlikely(hint == HINT_SEVERAL))
		return find(bus, 0, bus->nr_pio, port, width, value);
	return hint && !compare(e, port, width, value) ? e : NULL;
}

static const struct hvx_bus *bus_of(const struct hvx_vm *vm)
{
	return rcu_dereference_raw(vm->irq.bus);
}

/* ------------------------------------------------------------------------------ chips */

static u8 read_port(struct hvx_vm *vm, const struct entry *e, u16 port)
{
	unsigned long irqflags = hvx_chips_lock(vm);
	struct hvx_chips *chips = vm->irq.chips;
	u8 value;

	if (e->device == DEV_PIC)
		value = hvx_pic_read(&chips->pic, port);
	else
		value = hvx_8254_read(&chips->pit, port, ktime_get_ns());
	hvx_chips_unlock(vm, irqflags);
	return value;
}

static void write_port(struct hvx_vm *vm, const struct entry *e, u16 port, u8 value)
{
	unsigned long irqflags = hvx_chips_lock(vm);
	struct hvx_chips *chips = vm->irq.chips;

	if (e->device == DEV_PIC) {
		hvx_pic_write(&chips->pic, port, value);
	} else {
		hvx_8254_write(&chips->pit, port, value, ktime_get_ns());
		hvx_pit_update(chips);
	}
	hvx_chips_unlock(vm, irqflags);
}

/* Chips are 8 bits wide: a wider access is one for each of its bytes that the chip has */
static void access_ports(struct hvx_vm *vm, const struct entry *e, u16 port, u32 width, bool write,
			 u8 *data)
{
	u32 i;

	for (i = 0; i < width; i++) {
		bool there = port + i <= e->last;

		if (!write)
			data[i] = there ? read_port(vm, e, port + i) : 0xff;
		else if (there)
			write_port(vm, e, port + i, data[i]);
	}
}

/* Its registers are 32 bits wide; of a wider access the rest is lost */
static void access_ioapic(struct hvx_vm *vm, u32 offset, u32 len, bool write, void *data)
{
	struct hvx_ioapic *io = &vm->irq.chips->ioapic;
	unsigned long irqflags;
	u32 value = 0;

	if (write) {
		memcpy(&value, data, min_t(u32, len, sizeof(value)));
		if (hvx_ioapic_is_eoi(offset)) {
			hvx_ioapic_end(vm, value);
			return;
		}
	}
	irqflags = hvx_chips_lock(vm);
	if (write)
		hvx_ioapic_write(io, offset, value);
	else
		value = hvx_ioapic_read(io, offset);
	hvx_chips_unlock(vm, irqflags);
	if (!write) {
		memset(data, 0, len);
		memcpy(data, &value, min_t(u32, len, sizeof(value)));
	}
}

/* ----------------------------------------------------------------------------- access */

/* The length is 1 to 8, and most often one for which this is a single load */
static u64 value_of(const void *data, u32 len)
{
	u64 value = 0;

	if (len == 4)
		memcpy(&value, data, 4);
	else if (len == 2)
		memcpy(&value, data, 2);
	else
		memcpy(&value, data, len);
	return value;
}

bool hvx_bus_pio(struct hvx_vcpu *vcpu, u16 port, u32 width, bool write, void *data)
{
	const struct hvx_bus *bus = bus_of(vcpu->vm);
	const struct entry *e;

	if (!bus)
		return false;
	e = find_port(bus, port, width, write ? value_of(data, width) : 0);
	if (!e)
		return false;
	if (e->device == DEV_IOEVENTFD) {
		if (write)
			hvx_eventfd_signal(e->eventfd);
		return write;
	}
	access_ports(vcpu->vm, e, port, width, write, data);
	return true;
}

static bool is_chip_port(const struct entry *e, u16 port)
{
	return e->device != DEV_IOEVENTFD && port >= e->first && port <= e->last;
}

/* What takes a search, or is a chip; @e is the entry that the hint names, NULL: several */
static noinline bool fast_io(struct hvx_vcpu *vcpu, const struct entry *e, u16 port, u32 width,
			     bool in)
{
	u32 data = vcpu->regs.gpr[REG_RAX];

	/* The most frequent of these: drivers poll chips */
	if (e && in && width == 1 && is_chip_port(e, port))
		data = read_port(vcpu->vm, e, port);
	else if (!hvx_bus_pio(vcpu, port, width, !in, &data))
		return false;
	if (in)
		hvx_io_put(vcpu, width, data);
	vcpu->exits++;
	return true;
}

/* Hot: an OUT that signals an eventfd, found by its hint */
bool hvx_bus_fast_io(struct hvx_vcpu *vcpu, u16 port, u32 width, bool in)
{
	const struct hvx_bus *bus = bus_of(vcpu->vm);
	u16 hint = bus->hint[port % HINTS];
	const struct entry *e = &bus->entry[hint - 1];

	if (!hint)
		return false;
	if (unlikely(hint == HINT_SEVERAL))
		return fast_io(vcpu, NULL, port, width, in);
	if (unlikely(in || e->device != DEV_IOEVENTFD))
		return fast_io(vcpu, e, port, width, in);
	if (unlikely(e->first != port || (e->len && e->len != width)))
		return false;
	if (unlikely(e->has_match && (vcpu->regs.gpr[REG_RAX] ^ e->match) << (64 - 8 * width)))
		return false;
	vcpu->exits++;
	hvx_eventfd_signal(e->eventfd);
	return true;
}

bool hvx_bus_has_port(const struct hvx_vm *vm, u16 port)
{
	const struct hvx_bus *bus = bus_of(vm);
	u32 i;

	for (i = 0; bus && i < bus->nr_pio; i++) {
		if (port >= bus->entry[i].first && port <= bus->entry[i].last)
			return true;
	}
	return false;
}

bool hvx_bus_covers(const struct hvx_vm *vm, u64 gpa)
{
	const struct hvx_bus *bus = bus_of(vm);
	u32 low, high;

	if (!bus || !(bus->pages & BIT_ULL(gpa / PAGE_SIZE % 64)))
		return false;
	low = bus->nr_pio;
	high = bus->nr;
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (bus->entry[middle].last < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low < bus->nr && bus->entry[low].first <= gpa;
}

bool hvx_bus_mmio(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, void *data)
{
	const struct hvx_bus *bus = bus_of(vcpu->vm);
	const struct entry *e;

	if (!bus)
		return false;
	e = find(bus, bus->nr_pio, bus->nr, gpa, len, write ? value_of(data, len) : 0);
	if (!e)
		return false;
	if (likely(e->device == DEV_IOEVENTFD)) {
		if (write)
			hvx_eventfd_signal(e->eventfd);
		return write;
	}
	access_ioapic(vcpu->vm, gpa - e->first, len, write, data);
	return true;
}

/* ------------------------------------------------------------------------------ table */

static const struct hvx_bus *bus_locked(struct hvx_vm *vm)
{
	return rcu_dereference_protected(vm->irq.bus, lockdep_is_held(&vm->lock));
}

static struct hvx_bus *bus_alloc(u32 nr)
{
	struct hvx_bus *bus;

	return kvzalloc(struct_size(bus, entry, nr), GFP_KERNEL_ACCOUNT);
}

static void append(struct hvx_bus *bus, const struct entry *e)
{
	bus->entry[bus->nr++] = *e;
	bus->nr_pio += e->pio;
}

/* Would both take one and the same write? */
static bool collide(const struct entry *a, const struct entry *b)
{
	if (a->pio != b->pio || a->first > b->last || b->first > a->last)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (!a->has_match || !b->has_match || a->match == b->match);
}

static bool same(const struct entry *a, const struct entry *b)
{
	return a->device == b->device && a->pio == b->pio && a->first == b->first &&
	       a->len == b->len && a->has_match == b->has_match && a->match == b->match &&
	       a->eventfd == b->eventfd;
}

/* Order of the table */
static bool before(const struct entry *a, const struct entry *b)
{
	if (a->pio != b->pio)
		return a->pio;
	return compare(b, a->first, a->len, a->match) < 0;
}

static struct hvx_bus *with(const struct hvx_bus *old, const struct entry *new)
{
	u32 i, nr = old ? old->nr : 0, eventfds = 0;
	struct hvx_bus *bus;
	bool placed = false;

	for (i = 0; i < nr; i++) {
		if (collide(&old->entry[i], new))
			return ERR_PTR(-EEXIST);
		eventfds += old->entry[i].device == DEV_IOEVENTFD;
	}
	if (eventfds >= HVX_MAX_IOEVENTFDS)
		return ERR_PTR(-ENOSPC);
	bus = bus_alloc(nr + 1);
	if (!bus)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++) {
		if (!placed && before(new, &old->entry[i])) {
			append(bus, new);
			placed = true;
		}
		append(bus, &old->entry[i]);
	}
	if (!placed)
		append(bus, new);
	return bus;
}

static struct hvx_bus *without(const struct hvx_bus *old, const struct entry *gone)
{
	u32 i, nr = old ? old->nr : 0;
	struct hvx_bus *bus;

	for (i = 0; i < nr; i++) {
		if (same(&old->entry[i], gone))
			break;
	}
	if (i == nr)
		return ERR_PTR(-ENOENT);
	bus = bus_alloc(nr);
	if (!bus)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++) {
		if (!same(&old->entry[i], gone))
			append(bus, &old->entry[i]);
	}
	return bus;
}

/* ----------------------------------------------------------------------- ioeventfds */

static int check_args(const struct hvx_ioeventfd *args)
{
	const u32 known = HVX_IOEVENTFD_REMOVE | HVX_IOEVENTFD_PIO | HVX_IOEVENTFD_MATCH;
	bool match = args->flags & HVX_IOEVENTFD_MATCH;
	u64 end;

	if (args->flags & ~known || args->len > 8 || (args->len & (args->len - 1)))
		return -EINVAL;
	if (check_add_overflow(args->addr, (u64)args->len, &end))
		return -EINVAL;
	if (args->flags & HVX_IOEVENTFD_PIO &&
	    (args->len == 8 || args->addr > 0xffff || end > 0x10000))
		return -EINVAL;
	if (match ? !args->len : args->match)
		return -EINVAL;
	return match && args->len < 8 && args->match >> (8 * args->len) ? -EINVAL : 0;
}

static void fill_hints(struct hvx_bus *bus)
{
	u64 port;
	u32 i;

	for (i = 0; i < bus->nr_pio; i++) {
		const struct entry *e = &bus->entry[i];

		for (port = e->first; port <= e->last; port++) {
			u16 *hint = &bus->hint[port % HINTS];

			*hint = *hint ? HINT_SEVERAL : i + 1;
		}
	}
	/* None goes over the end of its page */
	for (; i < bus->nr; i++)
		bus->pages |= BIT_ULL(bus->entry[i].first / PAGE_SIZE % 64);
}

static int replace(struct hvx_vm *vm, const struct entry *e, bool remove)
{
	const struct hvx_bus *old = bus_locked(vm);
	struct hvx_bus *bus = remove ? without(old, e) : with(old, e);

	if (IS_ERR(bus))
		return PTR_ERR(bus);
	fill_hints(bus);
	rcu_assign_pointer(vm->irq.bus, bus);
	/* Window readers are not in the srcu section: the kick waits for them */
	hvx_vm_kick_all(vm);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
	return 0;
}

long hvx_ioeventfd_set(struct hvx_vm *vm, const struct hvx_ioeventfd *args)
{
	bool remove = args->flags & HVX_IOEVENTFD_REMOVE;
	struct entry e = {
		.device = DEV_IOEVENTFD,
		.first = args->addr,
		.last = args->addr,
		.len = args->len,
		.pio = args->flags & HVX_IOEVENTFD_PIO,
		.has_match = args->flags & HVX_IOEVENTFD_MATCH,
		.match = args->match,
	};
	int err = check_args(args);

	if (err)
		return err;
	e.eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(e.eventfd))
		return PTR_ERR(e.eventfd);
	mutex_lock(&vm->lock);
	err = replace(vm, &e, remove);
	mutex_unlock(&vm->lock);
	/* The table's own reference: taken over, or given up */
	if (remove && !err)
		eventfd_ctx_put(e.eventfd);
	if (remove || err)
		eventfd_ctx_put(e.eventfd);
	return err;
}

/* ------------------------------------------------------------------------------- life */

int hvx_bus_init(struct hvx_vm *vm)
{
	struct hvx_bus *bus;
	unsigned int i;

	if (!(vm->flags & (HVX_VM_PIC | HVX_VM_PIT | HVX_VM_IOAPIC)))
		return 0;
	bus = bus_alloc(ARRAY_SIZE(chip_ports) + 1);
	if (!bus)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(chip_ports); i++) {
		if (vm->flags & chip_ports[i].flag)
			append(bus, &(struct entry) {
				.device = chip_ports[i].device, .pio = true,
				.first = chip_ports[i].first, .last = chip_ports[i].last,
			});
	}
	if (vm->flags & HVX_VM_IOAPIC)
		append(bus, &(struct entry) {
			.device = DEV_IOAPIC, .first = HVX_IOAPIC_BASE,
			.last = HVX_IOAPIC_BASE + HVX_IOAPIC_SIZE - 1,
		});
	fill_hints(bus);
	RCU_INIT_POINTER(vm->irq.bus, bus);
	return 0;
}

void hvx_bus_fini(struct hvx_vm *vm)
{
	const struct hvx_bus *bus = rcu_dereference_protected(vm->irq.bus, true);
	u32 i;

	for (i = 0; bus && i < bus->nr; i++) {
		if (bus->entry[i].device == DEV_IOEVENTFD)
			eventfd_ctx_put(bus->entry[i].eventfd);
	}
	kvfree(bus);
}
