// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steal time: how long a vCPU wanted to run and could not, and whether it is running now.
 *
 * A preempt notifier of the thread that is in HVX_RUN sees it lose the CPU, wherever that happens:
 * in HLT, when its time slice ends, at an interrupt. Then struct kvm_steal_time says "preempted",
 * and other vCPUs neither spin for this one nor send it an interrupt to flush its TLB: they leave a
 * note, KVM_VCPU_FLUSH_TLB. Before this vCPU enters the guest again the mark is taken back, with
 * the note, in one go; then the time is brought up to date if it has grown by STEAL_STEP. The
 * thread that loses the CPU cannot wait for a page: where there is none the mark is left out, which
 * only costs the others.
 *
 * Time is counted where the kernel counts it (CONFIG_SCHEDSTATS, or delayacct).
 */
#include <linux/errno.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include "pv.h"
#include "vcpu/run.h"

#define STEAL_ADDRESS	(~63ULL)
#define PREEMPTED	offsetof(struct kvm_steal_time, preempted)

/* Guests account for it once a tick: less than this waits until it is more, and is not lost */
#define STEAL_STEP	(100 * NSEC_PER_USEC)

static_assert(IS_ALIGNED(PREEMPTED, sizeof(u32)));
static_assert(sizeof(struct kvm_steal_time) == 64);

#ifdef HVX_STEAL_TIME

static u64 run_delay(void)
{
	return current->sched_info.run_delay;
}

/* Context: the scheduler, interrupts off, run queue locked; current is the vCPU's thread */
static void sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct hvx_vcpu *vcpu = container_of(notifier, struct hvx_vcpu, pv.notifier);
	const u8 preempted = KVM_VCPU_PREEMPTED;
	u64 gpa = (vcpu->pv.steal_time & STEAL_ADDRESS) + PREEMPTED;
	int idx;

	WRITE_ONCE(vcpu->pv.preempted, task_is_running(current));
	if (vcpu->pv.marked || !vcpu->pv.steal_time)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (!hvx_write_gpa_nofault(vcpu->vm, gpa, &preempted, sizeof(preempted)))
		vcpu->pv.marked = true;
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/* Context: the scheduler, preemption off */
static void sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct hvx_vcpu *vcpu = container_of(notifier, struct hvx_vcpu, pv.notifier);

	WRITE_ONCE(vcpu->pv.preempted, false);
	WRITE_ONCE(vcpu->pv.steal_due, true);
	hvx_request(vcpu, HVX_REQ_PV);
}

static struct preempt_ops steal_ops = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

/*
 * The scheduler looks for notifiers only where code was patched for it, which stops all CPUs. That
 * is done once: from the first vCPU that wants it until the module goes.
 */
static DEFINE_MUTEX(notifiers_lock);
static bool notifiers_on;

static noinline void notifiers_enable(void)
{
	mutex_lock(&notifiers_lock);
	if (!notifiers_on) {
		preempt_notifier_inc();
		/* Pairs with the one in watch(): who sees this may register */
		smp_store_release(&notifiers_on, true);
	}
	mutex_unlock(&notifiers_lock);
}

static void watch(struct hvx_vcpu *vcpu)
{
	/* Pairs with the one in notifiers_enable() */
	if (unlikely(!smp_load_acquire(&notifiers_on)))
		notifiers_enable();
	preempt_notifier_init(&vcpu->pv.notifier, &steal_ops);
	preempt_notifier_register(&vcpu->pv.notifier);
	vcpu->pv.watched = true;
	WRITE_ONCE(vcpu->pv.running, current);
}

/* Or another thread runs this vCPU now, which may have waited for less than the one before */
static bool grew(const struct hvx_vcpu *vcpu)
{
	return vcpu->pv.runner != current || run_delay() - vcpu->pv.run_delay >= STEAL_STEP;
}

void hvx_steal_begin(struct hvx_vcpu *vcpu)
{
	watch(vcpu);
	/* What was lost to the VMM's own work counts, too */
	if (grew(vcpu)) {
		vcpu->pv.steal_due = true;
		hvx_request(vcpu, HVX_REQ_PV);
	}
}

void hvx_steal_end(struct hvx_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->pv.running, NULL);
	preempt_notifier_unregister(&vcpu->pv.notifier);
	WRITE_ONCE(vcpu->pv.preempted, false);
	vcpu->pv.watched = false;
}

void hvx_steal_module_exit(void)
{
	if (notifiers_on)
		preempt_notifier_dec();
}

void hvx_steal_changed(struct hvx_vcpu *vcpu)
{
	/* A note at the old address is lost */
	vcpu->tlb_gen = 0;
	/* A vCPU that was moved here may have been preempted when its memory was saved */
	vcpu->pv.marked = vcpu->pv.steal_time;
	vcpu->pv.runner = NULL;
	vcpu->pv.steal_due = vcpu->pv.steal_time;
}

/* Take the mark back, and the note that others may have left beside it */
static int unmark(struct hvx_vcpu *vcpu, u64 gpa)
{
	u64 old = KVM_VCPU_PREEMPTED;
	int err;

	do {
		err = hvx_cmpxchg_gpa(vcpu->vm, gpa + PREEMPTED, &old, old & ~0xffULL, sizeof(u32));
	} while (err == -EAGAIN);
	if (err == -EFAULT)
		return err;
	if (err || old & KVM_VCPU_FLUSH_TLB)
		vcpu->tlb_gen = 0;
	/* Not before: until then it is enough that the mark is there */
	WRITE_ONCE(vcpu->pv.marked, false);
	return 0;
}

static u64 lost_time(struct hvx_vcpu *vcpu)
{
	u64 now = run_delay(), lost = 0;

	/* Another thread may have the address of one that is gone, and has waited less */
	if (vcpu->pv.runner == current && now > vcpu->pv.run_delay)
		lost = now - vcpu->pv.run_delay;
	vcpu->pv.runner = current;
	vcpu->pv.run_delay = now;
	return lost;
}

/* The version is behind what it guards, unlike the clock's */
static int write_time(struct hvx_vcpu *vcpu, u64 gpa)
{
	struct hvx_vm *vm = vcpu->vm;
	struct kvm_steal_time st;
	int err;

	err = hvx_read_gpa(vm, gpa, &st, sizeof(st));
	if (err)
		return err;
	st.version |= 1;
	err = hvx_write_gpa(vm, gpa + offsetof(typeof(st), version), &st.version, sizeof(u32));
	if (err)
		return err;
	/* Odd before the time changes ... */
	smp_wmb();
	st.steal += lost_time(vcpu);
	err = hvx_write_gpa(vm, gpa, &st.steal, sizeof(st.steal));
	if (err)
		return err;
	/* ... and even after */
	smp_wmb();
	st.version++;
	return hvx_write_gpa(vm, gpa + offsetof(typeof(st), version), &st.version, sizeof(u32));
}

int hvx_steal_update(struct hvx_vcpu *vcpu, u64 *gpa)
{
	int err;

	/* First: the thread may lose the CPU again at any moment, and set it again */
	WRITE_ONCE(vcpu->pv.steal_due, false);
	barrier();
	if (!vcpu->pv.steal_time)
		return 0;
	*gpa = vcpu->pv.steal_time & STEAL_ADDRESS;
	if (!vcpu->pv.watched)
		watch(vcpu);
	err = READ_ONCE(vcpu->pv.marked) ? unmark(vcpu, *gpa) : 0;
	if (!err && grew(vcpu))
		err = write_time(vcpu, *gpa);
	if (err != -EFAULT)
		return 0;
	WRITE_ONCE(vcpu->pv.steal_due, true);
	return err;
}

#else

void hvx_steal_begin(struct hvx_vcpu *vcpu) { }
void hvx_steal_end(struct hvx_vcpu *vcpu) { }
void hvx_steal_module_exit(void) { }
void hvx_steal_changed(struct hvx_vcpu *vcpu) { }

int hvx_steal_update(struct hvx_vcpu *vcpu, u64 *gpa)
{
	return 0;
}

#endif
