// SPDX-License-Identifier: GPL-2.0-only
/*
 * How vCPUs wait and are woken, in VMs whose local APICs are in the kernel.
 *
 *   hvx_vcpu_kick()	make a vCPU look at its requests, wherever it is
 *   hvx_wait()		a vCPU in HLT or without a start: poll, then sleep
 *   hvx_take_messages()	INIT and STARTUP
 *   hvx_yield()		a vCPU that spins with PAUSE
 *
 * No wake-up is lost. Whoever has something for a vCPU stores it, sets a bit of vcpu->requests (a
 * full barrier) and kicks. The vCPU is in one of three places:
 *   asleep	it has set its task state and then (full barrier) looks for events before it
 *		calls schedule(): it sees the event, or the kick sees the task and wakes it
 *   in a window	it has published window_cpu and then (full barrier) reads requests before
 *		each entry: it sees the request, or the kick sees the window and sends an
 *		interrupt, which ends the guest at once should it be entered all the same
 *   elsewhere	it is going to do one or the other
 *
 * Polling. A vCPU that is woken soon after HLT would pay for going to sleep and back. So it first
 * looks for events for a while, as long as nobody else wants the CPU. How long adapts, between 0
 * and halt_poll_ns: longer when the event came soon after the poll had ended, not at all after a
 * sleep so long that no poll would have met its end.
 */
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>	/* smp_send_reschedule() of later kernels */
#include "compat.h"
#include "event.h"
#include "irq/lapic.h"
#include "wait.h"

#define POLL_FIRST_NS	10000U

unsigned int hvx_halt_poll_ns = 200000;
module_param_named(halt_poll_ns, hvx_halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "longest time in ns to look for events before HLT sleeps (200000)");

void hvx_vcpu_kick(struct hvx_vcpu *vcpu)
{
	int cpu;

	/* Begins with a full barrier */
	if (rcuwait_wake_up(&vcpu->wait))
		return;
	/* A CPU that goes offline waits for sections without preemption */
	preempt_disable();
	cpu = READ_ONCE(vcpu->window_cpu);
	if (cpu >= 0 && cpu != smp_processor_id() && cpu_online(cpu))
		smp_send_reschedule(cpu);
	preempt_enable();
}

void hvx_vcpu_unhalt(struct hvx_vcpu *vcpu)
{
	atomic_or(APIC_MSG_UNHALT, &vcpu->lapic->messages);
	hvx_vcpu_kick(vcpu);
}

static bool waiting(const struct hvx_vcpu *vcpu)
{
	return vcpu->halted || vcpu->activity != HVX_ACTIVE;
}

void hvx_wait_update(struct hvx_vcpu *vcpu)
{
	if (vcpu->lapic && waiting(vcpu))
		hvx_request(vcpu, HVX_REQ_BLOCK);
	else
		clear_bit(HVX_REQ_BLOCK, &vcpu->requests);
}

/* Intel SDM vol. 3A, "Processor Management and Initialization": it begins at vector * 4 KiB */
static void start(struct hvx_vcpu *vcpu, u8 vector)
{
	struct hvx_segment *cs = &vcpu->regs.seg[SEG_CS];

	/* All registers are available: INIT came before */
	hvx_need(vcpu, RM_SEG(SEG_CS));
	cs->selector = vector << 8;
	cs->base = vector << 12;
	hvx_changed(vcpu, RM_SEG(SEG_CS));
	hvx_set_rip(vcpu, 0);
	vcpu->activity = HVX_ACTIVE;
}

void hvx_take_messages(struct hvx_vcpu *vcpu)
{
	u32 messages;

	lockdep_assert_held(&vcpu->lock);
	clear_bit(HVX_REQ_MESSAGE, &vcpu->requests);
	messages = atomic_fetch_andnot(APIC_MSG_INIT | APIC_MSG_SIPI, &vcpu->lapic->messages);
	if (messages & APIC_MSG_INIT) {
		hvx_vcpu_init_signal(vcpu);
		vcpu->activity = vcpu->regs.apic_base & APIC_BASE_BSP ? HVX_ACTIVE :
									HVX_WAIT_FOR_SIPI;
	}
	/* To any other processor STARTUP means nothing */
	if (messages & APIC_MSG_SIPI && vcpu->activity == HVX_WAIT_FOR_SIPI)
		start(vcpu, messages >> APIC_MSG_VECTOR_SHIFT);
	hvx_wait_update(vcpu);
}

/* ------------------------------------------------------------------------- HLT */

static bool nmi_waits(const struct hvx_vcpu *vcpu)
{
	return vcpu->nmi_pending ||
	       (vcpu->lapic && atomic_read(&vcpu->lapic->messages) & APIC_MSG_NMI);
}

bool hvx_wakes_up(struct hvx_vcpu *vcpu)
{
	if (vcpu->inject.type != HVX_EVENT_NONE)
		return true;
	if (nmi_waits(vcpu) && hvx_nmi_open(vcpu))
		return true;
	return hvx_irq_waits(vcpu) && hvx_irq_open(vcpu);
}

static bool message_waits(const struct hvx_vcpu *vcpu)
{
	return atomic_read(&vcpu->lapic->messages) & (APIC_MSG_INIT | APIC_MSG_SIPI);
}

static bool halt_ends(struct hvx_vcpu *vcpu)
{
	return atomic_read(&vcpu->lapic->messages) & APIC_MSG_UNHALT || hvx_wakes_up(vcpu);
}

/* Is there anything to do but wait? */
static bool look(struct hvx_vcpu *vcpu)
{
	return message_waits(vcpu) || test_bit(HVX_REQ_PINS, &vcpu->requests) ||
	       (vcpu->activity == HVX_ACTIVE && halt_ends(vcpu));
}

static bool poll(struct hvx_vcpu *vcpu, u64 end)
{
	do {
		if (look(vcpu))
			return true;
		cpu_relax();
	} while (!need_resched() && !hvx_task_work_pending() && single_task_running() &&
		 ktime_get_ns() < end);
	return false;
}

static void sleep(struct hvx_vcpu *vcpu)
{
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (look(vcpu) || hvx_task_work_pending())
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

/* What the last wait says about the next one */
static void adapt(struct hvx_vcpu *vcpu, u64 waited)
{
	u32 max = READ_ONCE(hvx_halt_poll_ns), now = vcpu->halt_poll_ns;

	if (now > max)
		now = max;
	else if (waited <= now)
		return;
	else if (waited > max)
		now = 0;
	else
		now = clamp_t(u64, 2ULL * now, min(POLL_FIRST_NS, max), max);
	vcpu->halt_poll_ns = now;
}

/* One wait: for an event, or for work of this task */
static void wait_once(struct hvx_vcpu *vcpu)
{
	u64 begin;

	if (vcpu->activity != HVX_ACTIVE) {
		sleep(vcpu);
		return;
	}
	begin = ktime_get_ns();
	if (!vcpu->halt_poll_ns || !(vcpu->pv.poll_control & KVM_MSR_ENABLED) ||
	    !poll(vcpu, begin + vcpu->halt_poll_ns))
		sleep(vcpu);
	adapt(vcpu, ktime_get_ns() - begin);
}

/* A window that the VMM asked for is open: it must not have to wait for the end of HLT */
static bool window_wanted(struct hvx_vcpu *vcpu)
{
	if (vcpu->activity != HVX_ACTIVE)
		return false;
	if (vcpu->want_irq_window && hvx_irq_open(vcpu))
		vcpu->run->exit_reason = HVX_EXIT_IRQ_WINDOW;
	else if (vcpu->want_nmi_window && hvx_nmi_open(vcpu))
		vcpu->run->exit_reason = HVX_EXIT_NMI_WINDOW;
	else
		return false;
	return true;
}

enum hvx_next hvx_wait(struct hvx_vcpu *vcpu)
{
	lockdep_assert_held(&vcpu->lock);
	/* What look() asks for: it runs where no window can be opened */
	hvx_need(vcpu, RM(RFLAGS) | RM(SHADOW));
	for (;;) {
		if (message_waits(vcpu))
			hvx_take_messages(vcpu);
		if (test_and_clear_bit(HVX_REQ_PINS, &vcpu->requests))
			hvx_irq_resend(vcpu->vm);
		if (!waiting(vcpu))
			return HVX_NEXT_ENTER;
		if (vcpu->activity == HVX_ACTIVE && halt_ends(vcpu))
			break;
		if (window_wanted(vcpu))
			return HVX_NEXT_USER;
		if (hvx_task_work_pending() && hvx_task_work())
			return hvx_exit_error(vcpu, HVX_EXIT_INTERRUPTED, -EINTR);
		wait_once(vcpu);
	}
	atomic_andnot(APIC_MSG_UNHALT, &vcpu->lapic->messages);
	vcpu->halted = false;
	hvx_wait_update(vcpu);
	return HVX_NEXT_ENTER;
}

/* ----------------------------------------------------------------------- PAUSE */

/* Would it run if it had a CPU? Then it may hold what the others spin for. Context: RCU. */
static struct task_struct *preempted_task(struct hvx_vcpu *vcpu)
{
	struct task_struct *task = READ_ONCE(vcpu->runner);

	if (!task || READ_ONCE(vcpu->window_cpu) >= 0 || rcuwait_active(&vcpu->wait) ||
	    !task_is_running(task) || READ_ONCE(task->on_cpu))
		return NULL;
	return task;
}

/* The next one in the circle of ids, so that all get their turn; with a reference */
static struct task_struct *next_preempted(struct hvx_vcpu *vcpu)
{
	struct hvx_vm *vm = vcpu->vm;
	u32 limit = READ_ONCE(vm->vcpu_limit), last = READ_ONCE(vm->last_yield), i, id;
	struct task_struct *task = NULL;
	struct hvx_vcpu *other;

	rcu_read_lock();
	for (i = 1; i <= limit && !task; i++) {
		id = (last + i) % limit;
		other = rcu_dereference(vm->vcpus[id]);
		if (!other || other == vcpu)
			continue;
		/* A task is freed a grace period after its last HVX_RUN at the soonest */
		task = preempted_task(other);
		if (task) {
			get_task_struct(task);
			WRITE_ONCE(vm->last_yield, id);
		}
	}
	rcu_read_unlock();
	return task;
}

void hvx_yield(struct hvx_vcpu *vcpu)
{
	struct task_struct *task = next_preempted(vcpu);
	bool yielded = false;

	if (task) {
		yielded = yield_to(task, true) > 0;
		put_task_struct(task);
	}
	if (!yielded)
		cond_resched();
}
