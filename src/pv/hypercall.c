// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of paravirtual services: number in RAX, arguments in RBX, RCX, RDX, RSI, the answer in
 * RAX. Only the kernel of a guest may use them. One whose service the guest was not told of is not
 * known here, and goes the way of all others.
 */
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include "irq/irq.h"
#include "pv.h"
#include "vcpu/run.h"

/* ICR, as far as it makes sense for a set of processors */
#define ICR_VECTOR	0xffu
#define ICR_MODE_SHIFT	8
#define ICR_ASSERT	BIT(14)
#define ICR_LEVEL	BIT(15)
#define ICR_SHORTHAND	(BIT(18) | BIT(19))

struct call {
	u64 nr;
	u64 arg[4];
	bool wide;
};

static struct call read_call(struct hvx_vcpu *vcpu)
{
	const u64 *gpr = vcpu->regs.gpr;
	struct call c = {
		.nr = gpr[REG_RAX],
		.arg = { gpr[REG_RBX], gpr[REG_RCX], gpr[REG_RDX], gpr[REG_RSI] },
		.wide = hvx_long_mode(vcpu),
	};
	int i;

	if (!c.wide) {
		c.nr = (u32)c.nr;
		for (i = 0; i < 4; i++)
			c.arg[i] = (u32)c.arg[i];
	}
	return c;
}

/* KVM_HC_KICK_CPU: end the HLT of a vCPU that waits for a lock */
static void kick(struct hvx_vm *vm, u32 apic_id)
{
	struct hvx_vcpu *target;

	rcu_read_lock();
	target = hvx_vcpu_by_apic_id(vm, apic_id);
	if (target)
		hvx_vcpu_unhalt(target);
	rcu_read_unlock();
}

static unsigned int send_word(struct hvx_vm *vm, struct hvx_irq_msg *msg, u64 map, u64 first)
{
	unsigned int bit, taken = 0;

	for (; map; map &= map - 1) {
		bit = __ffs64(map);
		if (first + bit >= HVX_MAX_VCPUS)
			break;
		msg->dest = first + bit;
		taken += hvx_irq_deliver(vm, msg) != 0;
	}
	return taken;
}

/* KVM_HC_SEND_IPI: two words of a bitmap of APIC IDs, the first ID, ICR */
static long send_ipi(struct hvx_vm *vm, const struct call *c)
{
	u32 icr = c->arg[3], bits = c->wide ? 64 : 32;
	struct hvx_irq_msg msg = {
		.vector = icr & ICR_VECTOR,
		.delivery = icr >> ICR_MODE_SHIFT & 7,
		.level = icr & ICR_LEVEL,
		.assert = icr & ICR_ASSERT,
	};
	u64 first = (u32)c->arg[2];

	if (icr & ICR_SHORTHAND)
		return -KVM_EINVAL;
	if (msg.delivery != HVX_DM_FIXED && msg.delivery != HVX_DM_NMI)
		return -KVM_EINVAL;
	return send_word(vm, &msg, c->arg[0], first) +
	       send_word(vm, &msg, c->arg[1], first + bits);
}

/*
 * The thread of a vCPU that wants to run and cannot. It ended its use of HVX_RUN before it could
 * end itself, so its struct is there as long as the RCU section in which it was seen.
 */
static struct task_struct *get_preempted(struct hvx_vm *vm, u32 apic_id)
{
	struct task_struct *task = NULL;
	struct hvx_vcpu *target;

	rcu_read_lock();
	target = hvx_vcpu_by_apic_id(vm, apic_id);
	if (target && READ_ONCE(target->pv.preempted))
		task = READ_ONCE(target->pv.running);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	return task;
}

/* KVM_HC_SCHED_YIELD: let the vCPU run that this one waits for */
static void yield_cpu(struct hvx_vm *vm, u32 apic_id)
{
	struct task_struct *task = get_preempted(vm, apic_id);

	if (!task)
		return;
	yield_to(task, true);
	put_task_struct(task);
}

static u32 feature_of(u64 nr)
{
	switch (nr) {
	case KVM_HC_KICK_CPU:
		return BIT(KVM_FEATURE_PV_UNHALT);
	case KVM_HC_SEND_IPI:
		return BIT(KVM_FEATURE_PV_SEND_IPI);
	case KVM_HC_SCHED_YIELD:
		return BIT(KVM_FEATURE_PV_SCHED_YIELD);
	}
	return 0;
}

int hvx_pv_hypercall(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	struct call c = read_call(vcpu);
	long ret = 0;

	if (!(vcpu->pv_features & feature_of(c.nr)))
		return -1;
	/* Giving the CPU away is not for a window */
	if (c.nr == KVM_HC_SCHED_YIELD && hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	if (hvx_cpl(vcpu))
		ret = -KVM_EPERM;
	else if (c.nr == KVM_HC_KICK_CPU)
		kick(vcpu->vm, c.arg[1]);
	else if (c.nr == KVM_HC_SEND_IPI)
		ret = send_ipi(vcpu->vm, &c);
	else
		yield_cpu(vcpu->vm, c.arg[0]);
	vcpu->regs.gpr[REG_RAX] = c.wide ? (u64)ret : (u32)ret;
	return hvx_skip(vcpu, x);
}
