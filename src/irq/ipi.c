// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages to local APICs: who is meant, and what it does there.
 *
 * A vCPU's APIC ID is its id and cannot be changed, so that an APIC ID is looked up in the VM's
 * table of vCPUs. Other destinations are found by asking all. Nobody is waited for: a message is
 * bits set in the destination, a request, and a kick (see hvx_vcpu_kick()).
 */
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include "lapic.h"

/* Address of a message: Intel SDM vol. 3A, "Message Address Register Format" */
#define MSI_ADDRESS		0xfee00000ULL
#define MSI_ADDRESS_MASK	(GENMASK_ULL(39, 20))
#define MSI_DEST_SHIFT		12
#define MSI_HIGH_DEST_SHIFT	40
#define MSI_REDIRECT		BIT(3)
#define MSI_LOGICAL		BIT(2)
/* "Message Data Register Format" */
#define MSI_DELIVERY_SHIFT	8
#define MSI_ASSERT		BIT(14)
#define MSI_LEVEL		BIT(15)

#define BROADCAST		0xffu
#define BROADCAST_X2		0xffffffffu

struct hvx_vcpu *hvx_vcpu_by_apic_id(struct hvx_vm *vm, u32 id)
{
	if (id >= HVX_MAX_VCPUS)
		return NULL;
	return rcu_dereference(vm->vcpus[array_index_nospec(id, HVX_MAX_VCPUS)]);
}

static void send_event(struct hvx_vcpu *vcpu)
{
	hvx_request(vcpu, HVX_REQ_EVENT);
	hvx_vcpu_kick(vcpu);
}

static int accept(struct hvx_vcpu *vcpu, u8 vector, bool level)
{
	struct hvx_lapic *apic = vcpu->lapic;
	bool fresh;

	if (vector < 16) {
		hvx_lapic_error(apic, ESR_RECEIVE_VECTOR);
		return 0;
	}
	if (apic->posting)
		fresh = apic_post(&apic->posted, apic->regs, vector, level);
	else
		fresh = apic_accept(apic->regs, vector, level);
	send_event(vcpu);
	return fresh ? 1 : -1;
}

/* INIT makes a STARTUP that came before it void: the processor starts from INIT again */
void hvx_lapic_send_init(struct hvx_vcpu *vcpu)
{
	atomic_t *messages = &vcpu->lapic->messages;
	int old = atomic_read(messages);

	do {
	} while (!atomic_try_cmpxchg(messages, &old, (old & ~APIC_MSG_SIPI) | APIC_MSG_INIT));
	hvx_request(vcpu, HVX_REQ_MESSAGE);
	hvx_vcpu_kick(vcpu);
}

void hvx_lapic_send_startup(struct hvx_vcpu *vcpu, u8 vector)
{
	atomic_t *messages = &vcpu->lapic->messages;
	int old = atomic_read(messages), new;

	do {
		new = old & ~(0xff << APIC_MSG_VECTOR_SHIFT);
		new |= APIC_MSG_SIPI | vector << APIC_MSG_VECTOR_SHIFT;
	} while (!atomic_try_cmpxchg(messages, &old, new));
	hvx_request(vcpu, HVX_REQ_MESSAGE);
	hvx_vcpu_kick(vcpu);
}

static int send_nmi(struct hvx_vcpu *vcpu)
{
	int old = atomic_fetch_or(APIC_MSG_NMI, &vcpu->lapic->messages);

	send_event(vcpu);
	return old & APIC_MSG_NMI ? -1 : 1;
}

/* 1: taken, -1: taken together with one that waited, 0: not taken */
static int deliver_to(struct hvx_vcpu *vcpu, const struct hvx_irq_msg *msg)
{
	if (!apic_hw_enabled(vcpu))
		return 0;
	switch (msg->delivery) {
	case HVX_DM_FIXED:
	case HVX_DM_LOWEST:
		if (!apic_sw_enabled(vcpu->lapic))
			return 0;
		return accept(vcpu, msg->vector, msg->level);
	case HVX_DM_NMI:
		return send_nmi(vcpu);
	case HVX_DM_INIT:
		/* "INIT Level De-assert" does nothing to processors of today */
		if (msg->level && !msg->assert)
			return 0;
		hvx_lapic_send_init(vcpu);
		return 1;
	case HVX_DM_STARTUP:
		hvx_lapic_send_startup(vcpu, msg->vector);
		return 1;
	case HVX_DM_EXTINT:
		if (!hvx_lapic_takes_extint(vcpu))
			return 0;
		send_event(vcpu);
		return 1;
	}
	return 0;
}

static bool matches(const struct hvx_vcpu *vcpu, const struct hvx_irq_msg *msg)
{
	if (msg->logical)
		return apic_match_logical(vcpu->lapic->regs, apic_x2apic(vcpu), msg->dest);
	return msg->dest == vcpu->id || msg->dest == BROADCAST || msg->dest == BROADCAST_X2;
}

/* The first vCPU whose id is *@i or above, which *@i then is; NULL: none */
static struct hvx_vcpu *vcpu_from(struct hvx_vm *vm, unsigned int *i)
{
	struct hvx_vcpu *vcpu;

	for (; *i < READ_ONCE(vm->vcpu_limit); ++*i) {
		vcpu = rcu_dereference(vm->vcpus[*i]);
		if (vcpu)
			return vcpu;
	}
	return NULL;
}

/* @i is counted in the loop */
#define for_each_vcpu(vm, vcpu, i)	\
	for (i = 0; (vcpu = vcpu_from(vm, &i)); i++)

static bool could_take(const struct hvx_vcpu *vcpu, const struct hvx_irq_msg *msg)
{
	return matches(vcpu, msg) && apic_hw_enabled(vcpu) && apic_sw_enabled(vcpu->lapic);
}

/*
 * "Lowest Priority Delivery Mode": which of those that could take it is up to the system. The
 * vector decides, so that the interrupts of one device stay on one vCPU.
 */
static int deliver_lowest(struct hvx_vm *vm, const struct hvx_irq_msg *msg)
{
	struct hvx_vcpu *vcpu, *last = NULL;
	unsigned int i, nr = 0, chosen;

	for_each_vcpu(vm, vcpu, i)
		nr += could_take(vcpu, msg);
	if (!nr)
		return 0;
	chosen = msg->vector % nr;
	for_each_vcpu(vm, vcpu, i) {
		if (!could_take(vcpu, msg))
			continue;
		last = vcpu;
		if (!chosen--)
			break;
	}
	/* One of them may have been switched off in between */
	return last ? deliver_to(last, msg) : 0;
}

/* @except: not to this one */
static int deliver_all(struct hvx_vm *vm, const struct hvx_irq_msg *msg,
		       const struct hvx_vcpu *except)
{
	bool merged = false;
	struct hvx_vcpu *vcpu;
	int taken = 0, ret;
	unsigned int i;

	for_each_vcpu(vm, vcpu, i) {
		if (vcpu == except || !matches(vcpu, msg))
			continue;
		ret = deliver_to(vcpu, msg);
		taken += ret > 0;
		merged |= ret < 0;
	}
	return taken ?: (merged ? -1 : 0);
}

int hvx_irq_deliver(struct hvx_vm *vm, const struct hvx_irq_msg *msg)
{
	struct hvx_vcpu *vcpu;
	int ret;

	if (!(vm->flags & HVX_VM_LAPIC))
		return 0;
	rcu_read_lock();
	if (!msg->logical && msg->dest != BROADCAST && msg->dest != BROADCAST_X2) {
		vcpu = hvx_vcpu_by_apic_id(vm, msg->dest);
		ret = vcpu ? deliver_to(vcpu, msg) : 0;
	} else if (msg->delivery == HVX_DM_LOWEST) {
		ret = deliver_lowest(vm, msg);
	} else {
		ret = deliver_all(vm, msg, NULL);
	}
	rcu_read_unlock();
	return ret;
}

bool hvx_msi_address_valid(u64 address)
{
	return (address & MSI_ADDRESS_MASK) == MSI_ADDRESS;
}

int hvx_irq_deliver_msi(struct hvx_vm *vm, u64 address, u32 data)
{
	struct hvx_irq_msg msg = {
		.dest = (u8)(address >> MSI_DEST_SHIFT) |
			(u32)(address >> MSI_HIGH_DEST_SHIFT << 8),
		.vector = data,
		.delivery = data >> MSI_DELIVERY_SHIFT & 7,
		.logical = address & MSI_LOGICAL,
		.level = data & MSI_LEVEL,
		.assert = data & MSI_ASSERT,
	};

	if (!hvx_msi_address_valid(address))
		return 0;
	/* Redirection hint: to one of those that the destination names */
	if (address & MSI_REDIRECT && msg.delivery == HVX_DM_FIXED)
		msg.delivery = HVX_DM_LOWEST;
	return hvx_irq_deliver(vm, &msg);
}

void hvx_lapic_pic_changed(struct hvx_vm *vm)
{
	struct hvx_vcpu *vcpu;
	unsigned int i;

	rcu_read_lock();
	for_each_vcpu(vm, vcpu, i) {
		if (hvx_lapic_takes_extint(vcpu))
			send_event(vcpu);
	}
	rcu_read_unlock();
}

bool hvx_lapic_local(struct hvx_lapic *apic, unsigned int reg)
{
	u32 lvt = apic_get(apic->regs, reg);
	u8 vector = lvt & LVT_VECTOR;

	if (lvt & LVT_MASKED)
		return false;
	switch ((lvt & LVT_DELIVERY) >> LVT_DELIVERY_SHIFT) {
	case HVX_DM_FIXED:
		/* An error about the error interrupt would be its own reason */
		if (vector < 16 && reg == APIC_REG_LVT_ERROR)
			return false;
		return accept(apic->vcpu, vector, lvt & LVT_LEVEL);
	case HVX_DM_NMI:
		send_nmi(apic->vcpu);
		return true;
	case HVX_DM_EXTINT:
		send_event(apic->vcpu);
		return true;
	}
	return false;
}

void hvx_lapic_error(struct hvx_lapic *apic, unsigned int bit)
{
	if (!test_and_set_bit(bit, &apic->errors))
		hvx_lapic_local(apic, APIC_REG_LVT_ERROR);
}

/* ------------------------------------------------------------------------- ICR */

enum shorthand { SH_NONE, SH_SELF, SH_ALL, SH_OTHERS };

void hvx_lapic_send(struct hvx_vcpu *vcpu, u32 low, u32 dest)
{
	struct hvx_irq_msg msg = {
		.dest = dest,
		.vector = low,
		.delivery = (low & ICR_DELIVERY) >> ICR_DELIVERY_SHIFT,
		.logical = low & ICR_LOGICAL,
		.level = low & ICR_LEVEL,
		.assert = low & ICR_ASSERT,
	};
	u32 shorthand = (low & ICR_SHORTHAND) >> ICR_SHORTHAND_SHIFT;

	if ((msg.delivery == HVX_DM_FIXED || msg.delivery == HVX_DM_LOWEST) && msg.vector < 16) {
		hvx_lapic_error(vcpu->lapic, ESR_SEND_VECTOR);
		return;
	}
	/* Fixed interrupts between processors are edge-triggered, whatever the bit says */
	if (msg.delivery != HVX_DM_INIT)
		msg.level = false;
	if (shorthand == SH_NONE) {
		/* No vCPU has the ID 255, which only eight bits mean to be all */
		if (msg.dest != BROADCAST || !apic_x2apic(vcpu) || msg.logical)
			hvx_irq_deliver(vcpu->vm, &msg);
		return;
	}
	if (shorthand == SH_SELF) {
		deliver_to(vcpu, &msg);
		return;
	}
	msg.logical = false;
	msg.dest = BROADCAST_X2;
	rcu_read_lock();
	deliver_all(vcpu->vm, &msg, shorthand == SH_OTHERS ? vcpu : NULL);
	rcu_read_unlock();
}
