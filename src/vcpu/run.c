// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run loop, for both vendors.
 *
 *   hvx_run()		one HVX_RUN: take registers from the run page, finish what the last exit
 *			left open, then windows until something for the VMM happens
 *   run_window()	one window: interrupts off, hardware extension on, the guest's FPU state in
 *			place; enters as often as exits can be finished inside
 *   enter_once()	one entry and the decision about its exit
 *
 * A window closes for: an interrupt or NMI of the host, work of this task (signal, reschedule), an
 * exit that needs to sleep or goes to the VMM, and nothing else.
 *
 * TLB rule. Whoever removes a second-level entry moves vm->mmu.tlb_gen and then kicks. The vCPU
 * publishes window_cpu, then (full barrier) reads tlb_gen before each entry. So either the vCPU
 * sees the new generation and flushes, or the kicker sees the window and interrupts it: the
 * interrupt ends the window, and the next one compares again. Requests of others follow the same
 * rule: see wait.c.
 */
#include <linux/bitmap.h>
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/lockdep.h>
#include <linux/sched/signal.h>
#include "compat.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "cpu/entry_check.h"
#include "event.h"
#include "fpu_switch.h"
#include "io/io.h"
#include "run.h"
#include "sync.h"
#include "trace_exit.h"
#include "wait.h"

/*
 * A pending host interrupt ends the guest at an instruction boundary. A guest whose events exit
 * again and again while they are delivered has none: it must not keep interrupts off for ever.
 */
#define MAX_ENTRIES	1024

static __always_inline void sync_tlb(struct hvx_vcpu *vcpu)
{
	u64 gen = atomic64_read(&vcpu->vm->mmu.tlb_gen);

	if (unlikely(gen != vcpu->tlb_gen)) {
		hvx_op(tlb_flush)(vcpu);
		vcpu->tlb_gen = gen;
	}
}

static __always_inline enum hvx_next enter_once(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	/* First: what is chosen to go in must go in before the VMM can change the reasons */
	if (unlikely(hvx_task_work_pending()))
		return HVX_NEXT_LEAVE;
	if (unlikely(vcpu->requests)) {
		if (vcpu->requests & ~BIT(HVX_REQ_EVENT))
			return HVX_NEXT_LEAVE;
		hvx_event_prepare(vcpu);
	}
	sync_tlb(vcpu);
	if (unlikely(vcpu->pv.eoi_try))
		hvx_eoi_offer(vcpu);
	hvx_op(enter)(vcpu, x);
	vcpu->exits++;
	if (unlikely(vcpu->pv.eoi_set))
		hvx_eoi_collect(vcpu);
	if (hvx_exit_traced())
		hvx_trace_exit(vcpu, x);
	return x->kind == XK_USER ? HVX_NEXT_USER : hvx_handle_exit(vcpu, x);
}

/*
 * The host wants the CPU: the interrupt that ended the window is taken here. A guest that computes
 * for long is no reason for RCU to wait, and the time until a tick was the guest's.
 */
static void let_host_in(void)
{
	rcu_note_context_switch(false);
	current->flags |= PF_VCPU;
	local_irq_enable();
	current->flags &= ~PF_VCPU;
}

/*
 * Interrupts stay off from here to the end of the window: the FPU section, the hardware extension
 * and the CPU belong to this vCPU.
 */
static enum hvx_next run_window(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	unsigned int entries = MAX_ENTRIES;
	enum hvx_next next;
	int cpu, err;

	local_irq_disable();
	cpu = raw_smp_processor_id();
	WRITE_ONCE(vcpu->window_cpu, cpu);
	/* Pairs with the barrier in hvx_vm_kick_all(): see "TLB rule" above */
	smp_mb();
	err = hvx_op(open)(vcpu);
	if (unlikely(err)) {
		WRITE_ONCE(vcpu->window_cpu, -1);
		local_irq_enable();
		return hvx_exit_error(vcpu, HVX_EXIT_NONE, err);
	}
	if (unlikely(cpu != vcpu->last_cpu)) {
		vcpu->last_cpu = cpu;
		vcpu->tlb_gen = 0;
		hvx_pv_moved(vcpu);
		hvx_spec_moved(vcpu);
	}
	hvx_fpu_enter(vcpu);
	hvx_debug_enter(vcpu);
	do {
		next = enter_once(vcpu, x);
	} while (next == HVX_NEXT_ENTER && --entries);
	if (unlikely(next == HVX_NEXT_ENTER))
		next = HVX_NEXT_LEAVE;
	/* Outside of the window every register that is still missing costs another window */
	if (next == HVX_NEXT_USER)
		hvx_need(vcpu, vcpu->exit_mask);
	hvx_debug_leave(vcpu);
	hvx_fpu_leave(vcpu);
	hvx_op(close)(vcpu);
	WRITE_ONCE(vcpu->window_cpu, -1);
	if (next == HVX_NEXT_LEAVE)
		let_host_in();
	else
		local_irq_enable();
	return next;
}

static enum hvx_next handle_in_process(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	enum hvx_next next = hvx_handle_exit(vcpu, x);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	WARN_ON_ONCE(next == HVX_NEXT_PROCESS);
	return next;
}

/* Bits whose state belongs to the host: never a matter of the processor's checks alone */
static bool out_of_bounds(struct hvx_vcpu *vcpu)
{
	return hvx_cr4(vcpu) & ~vcpu->cr4_allowed || hvx_efer(vcpu) & ~vcpu->efer_allowed;
}

/* The VMM set registers: say what is wrong before the processor has to */
static noinline enum hvx_next check_entry(struct hvx_vcpu *vcpu)
{
	struct hvx_entry_failure failure = { };
	bool refuse = out_of_bounds(vcpu);

	clear_bit(HVX_REQ_CHECK_ENTRY, &vcpu->requests);
	if (!hvx_entry_precheck && !refuse)
		return HVX_NEXT_ENTER;
	if (!hvx_ops->check_entry(vcpu, &failure) && !refuse)
		return HVX_NEXT_ENTER;
	/* Until the VMM mends it, every HVX_RUN gets the same answer */
	hvx_request(vcpu, HVX_REQ_CHECK_ENTRY);
	hvx_entry_explain(vcpu, &failure, 0, 0);
	return hvx_exit_user(vcpu, HVX_EXIT_ENTRY_FAILED);
}

/* One at a time, the highest first */
static enum hvx_next exit_eoi(struct hvx_vcpu *vcpu)
{
	unsigned int vector = find_last_bit(vcpu->eoi_vectors, 256);

	__clear_bit(vector, vcpu->eoi_vectors);
	if (!bitmap_empty(vcpu->eoi_vectors, 256))
		hvx_request(vcpu, HVX_REQ_EOI);
	vcpu->run->eoi = (struct hvx_exit_eoi) { .vector = vector };
	return hvx_exit_user(vcpu, HVX_EXIT_EOI);
}

static noinline enum hvx_next serve_requests(struct hvx_vcpu *vcpu)
{
	enum hvx_next next;

	if (test_bit(HVX_REQ_STEPPED, &vcpu->requests))
		return hvx_debug_stepped(vcpu);
	if (test_and_clear_bit(HVX_REQ_SHUTDOWN, &vcpu->requests))
		return hvx_exit_user(vcpu, HVX_EXIT_SHUTDOWN);
	if (test_and_clear_bit(HVX_REQ_EOI, &vcpu->requests))
		return exit_eoi(vcpu);
	if (test_bit(HVX_REQ_APIC_PAGE, &vcpu->requests))
		hvx_apic_page_update(vcpu, false);
	/* What is in service has to be known before it can be said that nothing waits */
	if (unlikely(vcpu->pv.eoi_set)) {
		next = hvx_pv_serve(vcpu);
		if (next != HVX_NEXT_ENTER)
			return next;
	}
	if (test_bit(HVX_REQ_MESSAGE, &vcpu->requests))
		hvx_take_messages(vcpu);
	if (test_and_clear_bit(HVX_REQ_PINS, &vcpu->requests))
		hvx_irq_resend(vcpu->vm);
	if (test_bit(HVX_REQ_BLOCK, &vcpu->requests)) {
		next = hvx_wait(vcpu);
		if (next != HVX_NEXT_ENTER)
			return next;
	}
	if (test_bit(HVX_REQ_PV, &vcpu->requests)) {
		next = hvx_pv_serve(vcpu);
		if (next != HVX_NEXT_ENTER)
			return next;
	}
	hvx_paging_prepare(vcpu);
	if (test_bit(HVX_REQ_CHECK_ENTRY, &vcpu->requests))
		return check_entry(vcpu);
	return HVX_NEXT_ENTER;
}

/* What has to be done with interrupts on before the next window */
static enum hvx_next prepare(struct hvx_vcpu *vcpu)
{
	enum hvx_next next;

	if (unlikely(vcpu->pv.expires && time_after(jiffies, vcpu->pv.expires)))
		hvx_pv_moved(vcpu);
	if (unlikely(vcpu->requests & ~BIT(HVX_REQ_EVENT))) {
		next = serve_requests(vcpu);
		if (next != HVX_NEXT_ENTER)
			return next;
	}
	if (unlikely(hvx_task_work_pending()) && hvx_task_work())
		return hvx_exit_error(vcpu, HVX_EXIT_INTERRUPTED, -EINTR);
	return HVX_NEXT_ENTER;
}

/*
 * The first window opens without a look at what prepare() does: whatever of it waits makes
 * enter_once() leave, and what it waits for otherwise is asked for by hvx_run().
 */
static __always_inline enum hvx_next run_until_exit(struct hvx_vcpu *vcpu)
{
	struct hvx_exit *x = &vcpu->exit;
	enum hvx_next next;

	for (;;) {
		next = run_window(vcpu, x);
		if (likely(next == HVX_NEXT_USER))
			return next;
		if (next == HVX_NEXT_PROCESS)
			next = handle_in_process(vcpu, x);
		if (next == HVX_NEXT_USER || next == HVX_NEXT_ERROR)
			return next;
		next = prepare(vcpu);
		if (next != HVX_NEXT_ENTER)
			return next;
	}
}

/* The first word of the run page: immediate_exit, irq_window and nmi_window */
static_assert(offsetof(struct hvx_run, immediate_exit) == 0 &&
	      offsetof(struct hvx_run, nmi_window) < sizeof(u64));

#define IMMEDIATE_EXIT	0xffULL

static void take_windows(struct hvx_vcpu *vcpu)
{
	bool irq = READ_ONCE(vcpu->run->irq_window);
	bool nmi = READ_ONCE(vcpu->run->nmi_window);

	if (irq == vcpu->want_irq_window && nmi == vcpu->want_nmi_window)
		return;
	vcpu->want_irq_window = irq;
	vcpu->want_nmi_window = nmi;
	hvx_request(vcpu, HVX_REQ_EVENT);
}

/* As take_input(). immediate_exit is not remembered, and so looked at each time. */
static noinline int take_changes(struct hvx_vcpu *vcpu, u64 head, u64 wanted, u64 dirty)
{
	int err;

	if (wanted & ~HVX_REGS_ALL)
		return -EINVAL;
	vcpu->exit_mask = hvx_sync_mask(wanted);
	vcpu->wanted = wanted;
	if (dirty) {
		err = hvx_sync_from_user(vcpu, dirty);
		if (err)
			return err;
		vcpu->run->regs_dirty = 0;
	}
	vcpu->run_head = head & ~IMMEDIATE_EXIT;
	take_windows(vcpu);
	return head & IMMEDIATE_EXIT ? 1 : 0;
}

/* What the VMM wrote before HVX_RUN: nothing, most often. 0; 1 for immediate_exit; or -EINVAL. */
static __always_inline int take_input(struct hvx_vcpu *vcpu)
{
	struct hvx_run *run = vcpu->run;
	u64 head = READ_ONCE(*(u64 *)run);
	u64 wanted = READ_ONCE(run->regs_wanted);
	u64 dirty = READ_ONCE(run->regs_dirty);
	int ret = 0;

	if (unlikely((head ^ vcpu->run_head) | (wanted ^ vcpu->wanted) | dirty)) {
		ret = take_changes(vcpu, head, wanted, dirty);
		if (ret < 0)
			return ret;
	}
	/* Without a local APIC HLT is the VMM's, and over when it runs the vCPU again */
	if (unlikely(vcpu->halted) && !vcpu->lapic)
		vcpu->halted = false;
	vcpu->has_run = true;
	return ret;
}

static __always_inline enum hvx_next finish_last_exit(struct hvx_vcpu *vcpu)
{
	if (likely(vcpu->pending == HVX_PENDING_NONE))
		return HVX_NEXT_ENTER;
	if (vcpu->pending != HVX_PENDING_IO_IN)
		return hvx_complete(vcpu);
	vcpu->pending = HVX_PENDING_NONE;
	hvx_io_in_complete(vcpu);
	return HVX_NEXT_ENTER;
}

/* What is rare before the first window */
static noinline enum hvx_next prepare_first(struct hvx_vcpu *vcpu, enum hvx_next next,
					    bool immediate_exit)
{
	if (vcpu->pv.steal_time)
		hvx_steal_begin(vcpu);
	if (next != HVX_NEXT_ENTER)
		return next;
	if (immediate_exit)
		return hvx_exit_error(vcpu, HVX_EXIT_INTERRUPTED, -EINTR);
	return prepare(vcpu);
}

int hvx_run(struct hvx_vcpu *vcpu)
{
	enum hvx_next next;
	int input;

	lockdep_assert_held(&vcpu->lock);
	input = take_input(vcpu);
	if (unlikely(input < 0))
		return input;
	WRITE_ONCE(vcpu->runner, current);
	if (unlikely(vcpu->sleeps != READ_ONCE(hvx_sleeps)))
		hvx_clock_slept(vcpu);
	next = finish_last_exit(vcpu);
	if (unlikely((vcpu->requests & ~BIT(HVX_REQ_EVENT)) | vcpu->pv.expires |
		     vcpu->pv.steal_time | input))
		next = prepare_first(vcpu, next, input);
	if (likely(next == HVX_NEXT_ENTER))
		next = run_until_exit(vcpu);
	if (unlikely(vcpu->pv.watched))
		hvx_steal_end(vcpu);
	WRITE_ONCE(vcpu->runner, NULL);
	hvx_sync_to_user(vcpu, vcpu->wanted);
	if (hvx_user_exit_traced())
		hvx_trace_user_exit(vcpu, next == HVX_NEXT_ERROR ? vcpu->run_error : 0);
	return unlikely(next == HVX_NEXT_ERROR) ? vcpu->run_error : 0;
}
