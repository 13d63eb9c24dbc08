// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches by hardware: CALL, JMP and IRET to a TSS or task gate, and events through a task
 * gate in the IDT. VT-x leaves them to the hypervisor ("Treatment of Task Switches" in the Intel
 * SDM), after it has checked privileges and the gate itself. On AMD-V they are intercepted, which
 * amounts to the same, because they change CR0 and DR7 behind the register cache and need not
 * survive a nested page fault half way.
 *
 *   leave_old()	everything that can fail in the old task: nothing has changed then, and the
 *			guest or HVX_RUN can try again
 *   commit()		the registers become the new task's
 *   enter_new()	segments of the new task, its error code, its debug trap: exceptions are the
 *			new task's. Goes by the registers alone, so that it can be repeated when the
 *			VMM lacks memory (HVX_PENDING_TASK).
 *
 * Intel SDM vol. 3A, "Task Management". Descriptors and their rules are in task_rules.c.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include "cr.h"
#include "debug.h"
#include "vcpu/event.h"
#include "emul/linear.h"
#include "task.h"
#include "task_rules.h"

#define RFLAGS_FIXED	BIT(1)
#define RFLAGS_NT	BIT(14)
#define RFLAGS_VM	BIT(17)
#define RFLAGS_KNOWN	0x3f7fd5u
#define DR6_BT		BIT(15)
/* L0 .. L3 and LE: "each task switch clears them" */
#define DR7_LOCAL	0x155u

enum source { FROM_CALL, FROM_IRET, FROM_JMP, FROM_GATE };

/* What a switch saves: in order, from the instruction pointer on */
struct tss32_saved {
	u32 eip, eflags, gpr[8], seg[6];
};

struct tss16_saved {
	u16 ip, flags, gpr[8], seg[4];
};

/* What it loads besides, as "32-Bit" and "16-Bit Task-State Segment (TSS)" have it */
struct tss32 {
	u32 link, stack[6], cr3;
	struct tss32_saved saved;
	u32 ldt, trap;
};

struct tss16 {
	u16 link, stack[6];
	struct tss16_saved saved;
	u16 ldt;
};

static_assert(sizeof(struct tss32) == TASK_TSS32_SIZE && offsetof(struct tss32, saved) == 0x20);
static_assert(sizeof(struct tss16) == TASK_TSS16_SIZE && offsetof(struct tss16, saved) == 0x0e);

struct task {
	struct hvx_vcpu *vcpu;
	const struct hvx_exit *x;
	struct hvx_segment tss;		/* the new one */
	enum hvx_next next;		/* when a step has returned false */
	union {
		struct tss32 wide;
		struct tss16 narrow;
	};
};

/* ------------------------------------------------------------------ memory, faults */

static bool ended(struct task *t, int err, const struct hvx_walk *walk, u64 gva,
		  unsigned int access)
{
	if (!err)
		return false;
	t->next = hvx_linear_fault(t->vcpu, err, walk, gva, access);
	return true;
}

static bool get(struct task *t, u64 gva, void *to, size_t len)
{
	struct hvx_walk walk;
	u64 fault;
	int err = hvx_read_gva(t->vcpu, (u32)gva, to, len, HVX_READ | HVX_IMPLICIT, &walk, &fault);

	return !ended(t, err, &walk, fault, HVX_READ);
}

static bool put(struct task *t, u64 gva, const void *from, size_t len)
{
	struct hvx_walk walk;
	u64 fault;
	int err = hvx_write_gva(t->vcpu, (u32)gva, from, len, HVX_WRITE | HVX_IMPLICIT, &walk,
				&fault);

	return !ended(t, err, &walk, fault, HVX_WRITE);
}

/* Can these bytes be written? They are at most a TSS: on two pages. */
static bool probe(struct task *t, u64 gva, size_t len)
{
	u64 ends[2] = { (u32)gva, (u32)(gva + len - 1) };
	struct hvx_walk walk;
	int i, err;

	for (i = 0; i < 2; i++) {
		err = hvx_walk_gva(t->vcpu, ends[i], HVX_WRITE | HVX_IMPLICIT, &walk);
		if (err)
			err = -EIO;
		else if (!walk.page_size)
			err = -EFAULT;
		if (ended(t, err, &walk, ends[i], HVX_WRITE))
			return false;
	}
	return true;
}

/* EXT of an error code: it was not the program that asked for this */
static u32 external(const struct task *t)
{
	return t->x->task.external;
}

static bool fault(struct task *t, u8 vector, u16 selector)
{
	if (!vector)
		return false;
	hvx_queue_exception(t->vcpu, vector, true, (selector & 0xfffc) | external(t), false, 0);
	t->next = HVX_NEXT_ENTER;
	return true;
}

/* @beyond: the exception for a selector that is not in its table */
static bool get_descriptor(struct task *t, u16 selector, u8 beyond, struct hvx_segment *s)
{
	const struct hvx_regs *regs = &t->vcpu->regs;
	const struct hvx_segment *ldt = &regs->seg[SEG_LDTR];
	u64 base = regs->gdt.base, descriptor;
	u32 limit = regs->gdt.limit;

	if (selector & 4) {
		if (ldt->attr & SA_UNUSABLE)
			return !fault(t, beyond, selector);
		base = ldt->base;
		limit = ldt->limit;
	}
	if ((selector | 7u) > limit)
		return !fault(t, beyond, selector);
	if (!get(t, base + (selector & ~7u), &descriptor, sizeof(descriptor)))
		return false;
	*s = hvx_task_unpack(selector, descriptor);
	return true;
}

/* ------------------------------------------------------------------- the old task */

static bool find_tss(struct task *t)
{
	bool iret = t->x->task.source == FROM_IRET;
	u16 selector = t->x->task.selector;

	/* Only the GDT has TSSs */
	if (selector & 4)
		return !fault(t, iret ? VEC_TS : VEC_GP, selector);
	return get_descriptor(t, selector, iret ? VEC_TS : VEC_GP, &t->tss) &&
	       !fault(t, hvx_task_check_tss(&t->tss, iret), selector);
}

static u64 access_byte(const struct task *t, u16 selector)
{
	return t->vcpu->regs.gdt.base + (selector & ~7u) + 5;
}

static bool set_busy(struct task *t, u16 selector, bool busy)
{
	u8 type;

	if (!get(t, access_byte(t, selector), &type, 1))
		return false;
	type = busy ? type | TASK_BUSY : type & ~TASK_BUSY;
	return put(t, access_byte(t, selector), &type, 1);
}

static bool nests(const struct task *t)
{
	return t->x->task.source == FROM_CALL || t->x->task.source == FROM_GATE;
}

/* All pages that are written to before the point of no return */
static bool probe_all(struct task *t)
{
	const struct hvx_segment *old = &t->vcpu->regs.seg[SEG_TR];

	if (old->limit < hvx_task_size(old) - 1)
		return !fault(t, VEC_TS, old->selector);
	return probe(t, old->base, hvx_task_size(old)) &&
	       probe(t, t->tss.base, hvx_task_size(&t->tss)) &&
	       (nests(t) || probe(t, access_byte(t, old->selector), 1)) &&
	       (t->x->task.source == FROM_IRET ||
		probe(t, access_byte(t, t->tss.selector), 1));
}

static bool save_wide(struct task *t, u32 eip, u32 eflags)
{
	const struct hvx_regs *regs = &t->vcpu->regs;
	struct tss32_saved saved = { .eip = eip, .eflags = eflags };
	int i;

	for (i = 0; i < 8; i++)
		saved.gpr[i] = regs->gpr[i];
	for (i = 0; i < 6; i++)
		saved.seg[i] = regs->seg[i].selector;
	return put(t, regs->seg[SEG_TR].base + offsetof(struct tss32, saved), &saved,
		   sizeof(saved));
}

static bool save_narrow(struct task *t, u16 ip, u16 flags)
{
	const struct hvx_regs *regs = &t->vcpu->regs;
	struct tss16_saved saved = { .ip = ip, .flags = flags };
	int i;

	for (i = 0; i < 8; i++)
		saved.gpr[i] = regs->gpr[i];
	for (i = 0; i < 4; i++)
		saved.seg[i] = regs->seg[i].selector;
	return put(t, regs->seg[SEG_TR].base + offsetof(struct tss16, saved), &saved,
		   sizeof(saved));
}

static bool save(struct task *t)
{
	const struct hvx_regs *regs = &t->vcpu->regs;
	u32 eip = regs->rip + t->x->insn_len, eflags = regs->rflags;

	if (t->x->task.source == FROM_IRET)
		eflags &= ~RFLAGS_NT;
	if (hvx_task_is_wide(&regs->seg[SEG_TR]))
		return save_wide(t, eip, eflags);
	return save_narrow(t, eip, eflags);
}

/*
 * What comes first can be done again: the registers are the old task's until commit(). That the new
 * TSS is busy comes last, since it would be in the way then.
 */
static bool leave_old(struct task *t)
{
	u16 old = t->vcpu->regs.seg[SEG_TR].selector;

	if (!find_tss(t) || !probe_all(t) || !save(t) ||
	    !get(t, t->tss.base, &t->wide, hvx_task_size(&t->tss)))
		return false;
	if (nests(t) ? !put(t, t->tss.base, &old, sizeof(old)) : !set_busy(t, old, false))
		return false;
	return t->x->task.source == FROM_IRET || set_busy(t, t->tss.selector, true);
}

/* ------------------------------------------------------------------- registers */

/* Selectors alone: nothing can be accessed through them yet */
static void set_selectors(struct hvx_vcpu *vcpu, const u16 *selectors, u16 ldt, bool vm86)
{
	u16 dpl = vm86 ? SA_DPL : (selectors[SEG_CS] & 3) << SA_DPL_SHIFT;
	struct hvx_segment *seg = vcpu->regs.seg;
	int i;

	for (i = 0; i < 6; i++) {
		seg[i] = (struct hvx_segment) {
			.selector = selectors[i], .attr = SA_UNUSABLE | dpl,
		};
		if (vm86) {
			seg[i].base = selectors[i] << 4;
			seg[i].limit = 0xffff;
			seg[i].attr = 3 | SA_S | SA_P | SA_DPL;
		}
	}
	/* No processor is without a code segment: this one is left before it is used */
	if (!vm86) {
		seg[SEG_CS].limit = 0xffffffff;
		seg[SEG_CS].attr = 0xb | SA_S | SA_P | SA_DB | SA_G | dpl;
	}
	seg[SEG_LDTR] = (struct hvx_segment) { .selector = ldt, .attr = SA_UNUSABLE };
	hvx_changed(vcpu, RM_SEGS);
}

static void load_wide(struct task *t)
{
	const struct tss32_saved *from = &t->wide.saved;
	struct hvx_vcpu *vcpu = t->vcpu;
	u16 selectors[6];
	int i;

	vcpu->regs.rip = from->eip;
	vcpu->regs.rflags = from->eflags & RFLAGS_KNOWN;
	for (i = 0; i < 8; i++)
		vcpu->regs.gpr[i] = from->gpr[i];
	for (i = 0; i < 6; i++)
		selectors[i] = from->seg[i];
	set_selectors(vcpu, selectors, t->wide.ldt, from->eflags & RFLAGS_VM);
}

static void load_narrow(struct task *t)
{
	const struct tss16_saved *from = &t->narrow.saved;
	struct hvx_vcpu *vcpu = t->vcpu;
	u16 selectors[6] = { };
	int i;

	vcpu->regs.rip = from->ip;
	vcpu->regs.rflags = from->flags & RFLAGS_KNOWN;
	for (i = 0; i < 8; i++)
		vcpu->regs.gpr[i] = from->gpr[i];
	for (i = 0; i < 4; i++)
		selectors[i] = from->seg[i];
	set_selectors(vcpu, selectors, t->narrow.ldt, false);
}

/* Through a gate an NMI blocks others, and the IRET of its task ends that, as without a switch */
static void set_shadow(struct task *t)
{
	struct hvx_regs *regs = &t->vcpu->regs;

	regs->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
	if (t->x->task.source == FROM_IRET)
		regs->shadow &= ~SHADOW_NMI;
	else if (t->vcpu->inject.type == HVX_EVENT_NMI)
		regs->shadow |= SHADOW_NMI;
	hvx_changed(t->vcpu, RM(SHADOW));
}

static bool commit(struct task *t)
{
	struct hvx_vcpu *vcpu = t->vcpu;
	struct hvx_regs *regs = &vcpu->regs;
	bool wide = hvx_task_is_wide(&t->tss), paging_ok = true;

	set_shadow(t);
	/* This was its delivery */
	vcpu->inject.type = HVX_EVENT_NONE;
	if (wide && regs->cr0 & CR0_PG)
		paging_ok = hvx_load_cr3(vcpu, t->wide.cr3);
	if (wide)
		load_wide(t);
	else
		load_narrow(t);
	regs->rflags |= RFLAGS_FIXED | (nests(t) ? RFLAGS_NT : 0);
	regs->seg[SEG_TR] = t->tss;
	regs->seg[SEG_TR].attr |= TASK_BUSY;
	regs->cr0 |= CR0_TS;
	regs->dr7 &= ~(u64)DR7_LOCAL;
	hvx_changed(vcpu, RM(RIP) | RM(RSP) | RM(RFLAGS) | RM_SEGS | RM(CR0) | RM(DR7));
	hvx_debug_changed(vcpu);
	/* PDPTEs that MOV CR3 would refuse */
	if (!paging_ok) {
		hvx_queue_gp(vcpu, 0);
		t->next = HVX_NEXT_ENTER;
	}
	return paging_ok;
}

/* ------------------------------------------------------------------- the new task */

static bool load_ldt(struct task *t)
{
	struct hvx_segment *ldtr = &t->vcpu->regs.seg[SEG_LDTR], s;
	u16 selector = ldtr->selector;

	if (TASK_NULL(selector))
		return true;
	if (selector & 4)
		return !fault(t, VEC_TS, selector);
	if (!get_descriptor(t, selector, VEC_TS, &s) ||
	    fault(t, hvx_task_check_ldt(&s), selector))
		return false;
	*ldtr = s;
	return true;
}

/* The processor notes in the descriptor that a segment was loaded */
static bool mark_accessed(struct task *t, const struct hvx_segment *s)
{
	const struct hvx_regs *regs = &t->vcpu->regs;
	u64 table = s->selector & 4 ? regs->seg[SEG_LDTR].base : regs->gdt.base;
	u8 type = s->attr | 1;

	return s->attr & 1 || put(t, table + (s->selector & ~7u) + 5, &type, 1);
}

static u8 check_segment(enum hvx_seg_reg i, const struct hvx_segment *s, unsigned int cpl)
{
	switch (i) {
	case SEG_CS:
		return hvx_task_check_code(s);
	case SEG_SS:
		return hvx_task_check_stack(s, cpl);
	default:
		return hvx_task_check_data(s, cpl);
	}
}

static bool load_segment(struct task *t, enum hvx_seg_reg i, unsigned int cpl)
{
	struct hvx_segment *seg = &t->vcpu->regs.seg[i], s;
	u16 selector = seg->selector;

	if (TASK_NULL(selector))
		return i == SEG_CS || i == SEG_SS ? !fault(t, VEC_TS, selector) : true;
	if (!get_descriptor(t, selector, VEC_TS, &s) ||
	    fault(t, check_segment(i, &s, cpl), selector) || !mark_accessed(t, &s))
		return false;
	s.attr |= 1;
	*seg = s;
	return true;
}

static bool load_segments(struct task *t)
{
	static const u8 order[] = { SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	const struct hvx_regs *regs = &t->vcpu->regs;
	unsigned int i, cpl = regs->seg[SEG_CS].selector & 3;

	if (!load_ldt(t))
		return false;
	for (i = 0; i < ARRAY_SIZE(order) && !(regs->rflags & RFLAGS_VM); i++) {
		if (!load_segment(t, order[i], cpl))
			return false;
	}
	return true;
}

/* As wide as the TSS, at the width of the stack */
static bool push_error(struct task *t)
{
	u32 width = hvx_task_is_wide(&t->vcpu->regs.seg[SEG_TR]) ? 4 : 2;
	u64 sp = hvx_gpr(t->vcpu, REG_RSP), linear, at, mask = 0xffff;
	unsigned int user = hvx_cpl(t->vcpu) == 3 ? HVX_USER : 0;
	u32 error = t->x->task.error;
	struct hvx_walk walk;
	int err;

	if (!t->x->task.has_error)
		return true;
	if (hvx_segment(t->vcpu, SEG_SS)->attr & SA_DB)
		mask = 0xffffffff;
	t->next = HVX_NEXT_ENTER;
	if (!hvx_linear(t->vcpu, SEG_SS, (sp - width) & mask, width, true, &linear))
		return false;
	err = hvx_write_gva(t->vcpu, linear, &error, width, HVX_WRITE | user, &walk, &at);
	if (ended(t, err, &walk, at, HVX_WRITE))
		return false;
	hvx_set_gpr(t->vcpu, REG_RSP, (sp & ~mask) | ((sp - width) & mask));
	return true;
}

/* The T flag of a 32-bit TSS: #DB before the first instruction */
static bool get_trap_flag(struct task *t, bool *trap)
{
	const struct hvx_segment *tr = &t->vcpu->regs.seg[SEG_TR];
	u8 flag = 0;

	if (hvx_task_is_wide(tr) && !get(t, tr->base + offsetof(struct tss32, trap), &flag, 1))
		return false;
	*trap = flag & 1;
	return true;
}

static enum hvx_next enter_new(struct task *t)
{
	struct hvx_vcpu *vcpu = t->vcpu;
	bool trap, done;

	/* The push comes last: it alone must not be repeated once it is done */
	done = load_segments(t) && get_trap_flag(t, &trap) && push_error(t);
	hvx_changed(vcpu, RM_SEGS);
	if (!done) {
		if (t->next == HVX_NEXT_ERROR)
			vcpu->pending = HVX_PENDING_TASK;
		return t->next;
	}
	if (trap)
		hvx_queue_exception(vcpu, VEC_DB, false, 0, true, DR6_BT);
	if (t->x->task.source != FROM_GATE && vcpu->debug.control & HVX_DEBUG_STEP)
		hvx_request(vcpu, HVX_REQ_STEPPED);
	/* A guest can do this for ever, each time with some memory to be read: let the host in */
	return HVX_NEXT_LEAVE;
}

static void need_registers(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(RIP) | RM(RSP) | RM(RFLAGS) | RM_SEGS | RM(TABLES) | RM(CR0) | RM(CR3) |
		       RM(CR4) | RM(EFER) | RM(DR7) | RM(SHADOW));
}

enum hvx_next hvx_task_switch(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	struct task t = { .vcpu = vcpu, .x = x };

	if (hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	need_registers(vcpu);
	if (!leave_old(&t) || !commit(&t))
		return t.next;
	return enter_new(&t);
}

enum hvx_next hvx_task_complete(struct hvx_vcpu *vcpu)
{
	struct task t = { .vcpu = vcpu, .x = &vcpu->exit };
	enum hvx_next next;

	/* An image may have brought no registers, only this */
	need_registers(vcpu);
	next = enter_new(&t);
	return next == HVX_NEXT_LEAVE ? HVX_NEXT_ENTER : next;
}

/* ------------------------------------------------------------------- state image */

void hvx_task_get_state(const struct hvx_vcpu *vcpu, struct hvx_task_state *state)
{
	const struct hvx_exit *x = &vcpu->exit;

	lockdep_assert_held(&vcpu->lock);
	*state = (struct hvx_task_state) {
		.source = x->task.source,
		.external = x->task.external,
		.has_error = x->task.has_error,
		.error = x->task.has_error ? x->task.error : 0,
	};
}

bool hvx_task_state_valid(const struct hvx_task_state *state)
{
	return state->source <= FROM_GATE && state->external <= 1 && state->has_error <= 1 &&
	       !state->reserved && (state->has_error || !state->error);
}

void hvx_task_set_state(struct hvx_vcpu *vcpu, const struct hvx_task_state *state)
{
	lockdep_assert_held(&vcpu->lock);
	vcpu->exit = (struct hvx_exit) {
		.kind = XK_TASK_SWITCH,
		.task.source = state->source,
		.task.external = state->external,
		.task.has_error = state->has_error,
		.task.error = state->error,
	};
	vcpu->pending = HVX_PENDING_TASK;
}
