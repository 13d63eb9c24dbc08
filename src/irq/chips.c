// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt chips of a VM as a whole: their life, their lock, their state, their ioctls.
 */
#include <linux/errno.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "args.h"
#include "compat.h"
#include "vcpu/vcpu.h"
#include "chips.h"

/* ------------------------------------------------------------------------------ lock */

unsigned long hvx_chips_lock(struct hvx_vm *vm)
	__acquires(&vm->irq.lock)
{
	unsigned long irqflags;

	raw_spin_lock_irqsave(&vm->irq.lock, irqflags);
	return irqflags;
}

void hvx_chips_unlock(struct hvx_vm *vm, unsigned long irqflags)
	__releases(&vm->irq.lock)
{
	struct hvx_chips *chips = vm->irq.chips;
	bool output = chips->pic.output;
	bool rises = output && !chips->pic_output;
	u32 eoi = chips->pic.eoi;

	chips->pic.eoi = 0;
	if (output != chips->pic_output)
		WRITE_ONCE(chips->pic_output, output);
	raw_spin_unlock_irqrestore(&vm->irq.lock, irqflags);
	if (rises)
		hvx_lapic_pic_changed(vm);
	if (eoi)
		hvx_irqfd_resample(vm, HVX_PINS_PIC, eoi);
}

/* --------------------------------------------------------- asked for by local APICs */

bool hvx_pic_pending(struct hvx_vm *vm)
{
	return vm->flags & HVX_VM_PIC && READ_ONCE(vm->irq.chips->pic_output);
}

int hvx_pic_ack(struct hvx_vm *vm)
{
	struct hvx_chips *chips = vm->irq.chips;
	unsigned long irqflags;
	int vector = -1;

	if (!(vm->flags & HVX_VM_PIC))
		return -1;
	irqflags = hvx_chips_lock(vm);
	if (chips->pic.output) {
		vector = hvx_pic_intack(&chips->pic);
		/* One that asks still, or again, is news */
		WRITE_ONCE(chips->pic_output, false);
	}
	hvx_chips_unlock(vm, irqflags);
	return vector;
}

void hvx_ioapic_end(struct hvx_vm *vm, u8 vector)
{
	struct hvx_chips *chips = vm->irq.chips;
	unsigned long irqflags;
	u32 pins;

	irqflags = hvx_chips_lock(vm);
	pins = hvx_ioapic_pins_of(&chips->ioapic, vector);
	hvx_chips_unlock(vm, irqflags);
	if (!pins)
		return;
	/* Lines fall first: what is still asserted afterwards is sent again */
	hvx_irqfd_resample(vm, HVX_PINS_IOAPIC, pins);
	irqflags = hvx_chips_lock(vm);
	if (hvx_ioapic_eoi(&chips->ioapic, vector))
		hrtimer_start(&chips->eoi_timer, ns_to_ktime(HVX_IOAPIC_DELAY_NS),
			      HRTIMER_MODE_REL);
	hvx_chips_unlock(vm, irqflags);
}

void hvx_irq_eoi(struct hvx_vcpu *vcpu, u8 vector)
{
	if (vcpu->vm->flags & HVX_VM_IOAPIC)
		hvx_ioapic_end(vcpu->vm, vector);
}

void hvx_irq_resend(struct hvx_vm *vm)
{
	unsigned long irqflags;

	if (!(vm->flags & HVX_VM_IOAPIC))
		return;
	irqflags = hvx_chips_lock(vm);
	hvx_ioapic_resume(&vm->irq.chips->ioapic);
	hvx_chips_unlock(vm, irqflags);
}

static enum hrtimer_restart eoi_timer_fires(struct hrtimer *timer)
{
	struct hvx_chips *chips = container_of(timer, struct hvx_chips, eoi_timer);

	hvx_irq_resend(chips->vm);
	return HRTIMER_NORESTART;
}

/* ------------------------------------------------------------------------------ life */

static int chips_init(struct hvx_vm *vm)
{
	struct hvx_chips *chips = kvzalloc(sizeof(*chips), GFP_KERNEL_ACCOUNT);
	int err;

	if (!chips)
		return -ENOMEM;
	chips->vm = vm;
	chips->ioapic.vm = vm;
	hvx_pic_reset(&chips->pic);
	hvx_ioapic_reset(&chips->ioapic);
	hvx_hrtimer_setup(&chips->eoi_timer, eoi_timer_fires, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	hvx_pit_init(chips);
	hvx_irqfd_init(chips);
	err = init_srcu_struct(&chips->srcu);
	if (err)
		goto free;
	err = hvx_route_init(chips);
	if (err)
		goto cleanup;
	vm->irq.chips = chips;
	return 0;
cleanup:
	cleanup_srcu_struct(&chips->srcu);
free:
	kvfree(chips);
	return err;
}

static void chips_fini(struct hvx_vm *vm)
{
	struct hvx_chips *chips = vm->irq.chips;

	if (!chips)
		return;
	/* Whoever could still raise a line goes first */
	hvx_irqfd_fini(chips);
	hvx_pit_fini(chips);
	hrtimer_cancel(&chips->eoi_timer);
	hvx_route_fini(chips);
	cleanup_srcu_struct(&chips->srcu);
	kvfree(chips);
}

int hvx_irq_vm_init(struct hvx_vm *vm)
{
	int err = 0;

	raw_spin_lock_init(&vm->irq.lock);
	if (vm->flags & HVX_VM_LAPIC)
		err = chips_init(vm);
	if (err)
		return err;
	err = hvx_bus_init(vm);
	if (err)
		chips_fini(vm);
	return err;
}

void hvx_irq_vm_fini(struct hvx_vm *vm)
{
	hvx_bus_fini(vm);
	chips_fini(vm);
}

int hvx_irq_module_init(void)
{
	return hvx_irqfd_module_init();
}

void hvx_irq_module_exit(void)
{
	hvx_irqfd_module_exit();
}

/* ----------------------------------------------------------------------------- state */

union chip_state {
	struct hvx_pic_state pic[2];
	struct hvx_ioapic_state ioapic;
	struct hvx_pit_state pit;
};

/* Bytes of a chip's state; negative errno when there is no such chip */
static int state_size(const struct hvx_vm *vm, const struct hvx_chip *args)
{
	static const struct {
		u32 flag;
		u32 size;
	} chips[] = {
		[HVX_CHIP_PIC] = { HVX_VM_PIC, sizeof(struct hvx_pic_state[2]) },
		[HVX_CHIP_IOAPIC] = { HVX_VM_IOAPIC, sizeof(struct hvx_ioapic_state) },
		[HVX_CHIP_PIT] = { HVX_VM_PIT, sizeof(struct hvx_pit_state) },
	};
	u32 id = args->chip;

	if (args->flags || id >= ARRAY_SIZE(chips))
		return -EINVAL;
	id = array_index_nospec(id, ARRAY_SIZE(chips));
	return vm->flags & chips[id].flag ? chips[id].size : -EOPNOTSUPP;
}

long hvx_chip_get(struct hvx_vm *vm, struct hvx_chip *args)
{
	struct hvx_chips *chips = vm->irq.chips;
	int size = state_size(vm, args);
	union chip_state state = { };
	unsigned long irqflags;
	u32 room = args->len;

	if (size < 0)
		return size;
	args->len = size;
	if (room < size)
		return -E2BIG;
	irqflags = hvx_chips_lock(vm);
	if (args->chip == HVX_CHIP_PIC)
		hvx_pic_get_state(&chips->pic, state.pic);
	else if (args->chip == HVX_CHIP_IOAPIC)
		hvx_ioapic_get_state(&chips->ioapic, &state.ioapic);
	else
		hvx_8254_get_state(&chips->pit, &state.pit, ktime_get_ns());
	hvx_chips_unlock(vm, irqflags);
	return copy_to_user(u64_to_user_ptr(args->data), &state, size) ? -EFAULT : 0;
}

/* Whoever runs next sends what waits at the pins */
static void request_resend(struct hvx_vm *vm)
{
	struct hvx_vcpu *vcpu;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < READ_ONCE(vm->vcpu_limit); i++) {
		vcpu = rcu_dereference(vm->vcpus[i]);
		if (vcpu) {
			hvx_request(vcpu, HVX_REQ_PINS);
			hvx_vcpu_kick(vcpu);
		}
	}
	rcu_read_unlock();
}

long hvx_chip_set(struct hvx_vm *vm, const struct hvx_chip *args)
{
	struct hvx_chips *chips = vm->irq.chips;
	int err, size = state_size(vm, args);
	unsigned long irqflags;
	union chip_state state;

	if (size < 0)
		return size;
	if (args->len != size)
		return -EINVAL;
	if (copy_from_user(&state, u64_to_user_ptr(args->data), size))
		return -EFAULT;
	if (args->chip == HVX_CHIP_IOAPIC)
		hrtimer_cancel(&chips->eoi_timer);
	irqflags = hvx_chips_lock(vm);
	if (args->chip == HVX_CHIP_PIC) {
		err = hvx_pic_set_state(&chips->pic, state.pic);
	} else if (args->chip == HVX_CHIP_IOAPIC) {
		err = hvx_ioapic_set_state(&chips->ioapic, &state.ioapic);
	} else {
		err = hvx_8254_set_state(&chips->pit, &state.pit, ktime_get_ns());
		hvx_pit_update(chips);
	}
	hvx_chips_unlock(vm, irqflags);
	if (!err && args->chip == HVX_CHIP_IOAPIC)
		request_resend(vm);
	return err;
}

/* ---------------------------------------------------------------------------- ioctls */

static long irq_line(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_irq_line args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags || args.level > 1)
		return -EINVAL;
	if (!vm->irq.chips)
		return -EOPNOTSUPP;
	err = hvx_irq_set(vm, HVX_SOURCE_USER, args.gsi, args.level);
	return err == -EINVAL ? err : 0;
}

static long set_routing(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_routing args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_route_set(vm, &args);
}

static long irqfd(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_irqfd args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_irqfd_set(vm, &args);
}

static long ioeventfd(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_ioeventfd args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_ioeventfd_set(vm, &args);
}

static long get_chip(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_chip args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	err = hvx_chip_get(vm, &args);
	if (err && err != -E2BIG)
		return err;
	return HVX_PUT_ARGS(argp, &args) ?: err;
}

static long set_chip(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_chip args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_chip_set(vm, &args);
}

long hvx_irq_ioctl(struct hvx_vm *vm, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case HVX_IRQ_LINE:
		return irq_line(vm, argp);
	case HVX_SET_ROUTING:
		return set_routing(vm, argp);
	case HVX_IRQFD:
		return irqfd(vm, argp);
	case HVX_IOEVENTFD:
		return ioeventfd(vm, argp);
	case HVX_GET_CHIP:
		return get_chip(vm, argp);
	case HVX_SET_CHIP:
		return set_chip(vm, argp);
	}
	return -ENOTTY;
}
