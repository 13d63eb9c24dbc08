// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory accesses that no region answers.
 *
 *   hvx_mmio()		a second-level fault: find the instruction, execute it (emul/)
 *   hvx_mmio_complete()	the VMM answered one fragment: execute it again, further
 *
 * What the emulator cannot do (an instruction that it does not know, code or page tables that are
 * not in memory, an event whose delivery met MMIO) goes to the VMM as HVX_EXIT_EMULATION.
 */
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include "vcpu/event.h"
#include "emul/insn.h"
#include "irq/lapic.h"
#include "mmio.h"
#include "mmu/slots.h"
#include "vcpu/run.h"

#define CR0_PE		BIT(0)
#define CR0_AM		BIT(18)
#define CR4_LA57	BIT(12)
#define RFLAGS_RF	BIT(16)
#define RFLAGS_VM	BIT(17)
#define RFLAGS_AC	BIT(18)

/* Iterations of a REP in one go; then the guest may take interrupts */
#define MAX_ITERATIONS	1024

/* What nearly every instruction looks at, brought in at once */
#define MMIO_REGS							\
	(RM(RIP) | RM(RSP) | RM(RFLAGS) | RM_SEG(SEG_CS) | RM_SEG(SEG_SS) | RM(CR0) | RM(CR3) |	\
	 RM(CR4) | RM(EFER))

struct mmio_env {
	struct hvx_emul_env env;
	struct hvx_vcpu *vcpu;
	u64 gpa;		/* that memory cannot be had for, after -EIO */
};

static struct mmio_env *mmio_env(struct hvx_emul_env *env)
{
	return container_of(env, struct mmio_env, env);
}

/* -------------------------------------------------------- operations of the emulator */

static int mmio_translate(struct hvx_emul_env *env, u64 gva, unsigned int access, u64 *gpa,
			  u32 *error_code)
{
	struct hvx_vcpu *vcpu = mmio_env(env)->vcpu;
	struct hvx_walk walk;
	int err;

	if (hvx_cpl(vcpu) == 3)
		access |= HVX_USER;
	err = hvx_walk_gva(vcpu, gva, access | HVX_MARK, &walk);
	/* The page tables are not in memory */
	if (err == -ENXIO)
		return -EOPNOTSUPP;
	if (err) {
		mmio_env(env)->gpa = walk.gpa;
		return -EIO;
	}
	*gpa = walk.gpa;
	*error_code = walk.error_code;
	return walk.page_size ? 0 : -EFAULT;
}

static bool mmio_is_mmio(struct hvx_emul_env *env, u64 gpa, bool write)
{
	const struct hvx_slot *slot = hvx_slot_find(hvx_slots(mmio_env(env)->vcpu->vm), gpa);

	return !slot || (write && slot->flags & HVX_REGION_READONLY);
}

static int memory_error(struct hvx_emul_env *env, u64 gpa, int err)
{
	if (!err || err == -ENXIO)
		return err;
	mmio_env(env)->gpa = gpa;
	return -EIO;
}

static int mmio_read(struct hvx_emul_env *env, u64 gpa, void *buf, unsigned int len)
{
	return memory_error(env, gpa, hvx_read_gpa(mmio_env(env)->vcpu->vm, gpa, buf, len));
}

static int mmio_write(struct hvx_emul_env *env, u64 gpa, const void *buf, unsigned int len)
{
	return memory_error(env, gpa, hvx_write_gpa(mmio_env(env)->vcpu->vm, gpa, buf, len));
}

/*
 * Intel SDM vol. 1, "XSAVE Area": XMM registers begin at byte 160 of the legacy region. Where
 * XSTATE_BV says that SSE state is in its initial configuration, the bytes there are stale.
 */
#define XSAVE_XMM	160
#define XSAVE_XSTATE_BV	512
#define XSTATE_BV_SSE	BIT_ULL(1)

static void mmio_read_xmm(struct hvx_emul_env *env, unsigned int reg, u8 *data)
{
	const u8 *area = mmio_env(env)->vcpu->fpu;
	u64 bv;

	memcpy(&bv, area + XSAVE_XSTATE_BV, sizeof(bv));
	if (bv & XSTATE_BV_SSE)
		memcpy(data, area + XSAVE_XMM + 16 * reg, 16);
	else
		memset(data, 0, 16);
}

static void mmio_write_xmm(struct hvx_emul_env *env, unsigned int reg, const u8 *data)
{
	u8 *area = mmio_env(env)->vcpu->fpu;
	u64 bv;

	memcpy(&bv, area + XSAVE_XSTATE_BV, sizeof(bv));
	if (!(bv & XSTATE_BV_SSE)) {
		memset(area + XSAVE_XMM, 0, 16 * 16);
		bv |= XSTATE_BV_SSE;
		memcpy(area + XSAVE_XSTATE_BV, &bv, sizeof(bv));
	}
	memcpy(area + XSAVE_XMM + 16 * reg, data, 16);
}

static const struct hvx_emul_ops mmio_ops = {
	.translate = mmio_translate,
	.is_mmio = mmio_is_mmio,
	.read = mmio_read,
	.write = mmio_write,
	.read_xmm = mmio_read_xmm,
	.write_xmm = mmio_write_xmm,
};

/* -------------------------------------------------------------------- registers */

static void load_segments(struct hvx_vcpu *vcpu, struct hvx_emul_env *env)
{
	unsigned int i, segs = hvx_emul_segments(&vcpu->emul.insn);

	for (i = SEG_ES; i <= SEG_GS; i++) {
		if (segs & BIT(i))
			env->seg[i] = *hvx_segment(vcpu, i);
	}
}

static void load_env(struct hvx_vcpu *vcpu, struct mmio_env *m)
{
	struct hvx_regs *regs = &vcpu->regs;
	struct hvx_emul_env *env = &m->env;

	/* All is set but segments that the instruction does not use */
	hvx_need(vcpu, MMIO_REGS);
	m->vcpu = vcpu;
	env->ops = &mmio_ops;
	memcpy(env->regs.gpr, regs->gpr, sizeof(env->regs.gpr));
	env->regs.rip = regs->rip;
	env->regs.rflags = regs->rflags;
	env->pe = regs->cr0 & CR0_PE;
	env->protected = env->pe && !(regs->rflags & RFLAGS_VM);
	env->check_align = regs->cr0 & CR0_AM && regs->rflags & RFLAGS_AC && hvx_cpl(vcpu) == 3;
	env->canonical_bits = regs->cr4 & CR4_LA57 ? 57 : 48;
	load_segments(vcpu, env);
}

static void store_regs(struct hvx_vcpu *vcpu, const struct hvx_emul_env *env)
{
	struct hvx_regs *regs = &vcpu->regs;
	u64 rflags = env->regs.rflags & ~(u64)RFLAGS_RF;

	if (env->regs.gpr[REG_RSP] != regs->gpr[REG_RSP])
		hvx_changed(vcpu, RM(RSP));
	memcpy(regs->gpr, env->regs.gpr, sizeof(regs->gpr));
	if (rflags != regs->rflags) {
		regs->rflags = rflags;
		hvx_changed(vcpu, RM(RFLAGS));
	}
}

/* ------------------------------------------------------------------------ exits */

static int exit_emulation(struct hvx_vcpu *vcpu, u64 gpa, bool write)
{
	struct hvx_exit_emulation *e = &vcpu->run->emulation;
	u8 insn[HVX_INSN_MAX] = { };
	unsigned int n;

	n = hvx_insn_bytes(vcpu, insn);
	*e = (struct hvx_exit_emulation) {
		.gpa = gpa,
		.rip = hvx_rip(vcpu),
		.write = write,
		.insn_len = n,
	};
	memcpy(e->insn, insn, n);
	hvx_exit_user(vcpu, HVX_EXIT_EMULATION);
	return 0;
}

static int exit_mmio(struct hvx_vcpu *vcpu)
{
	const struct hvx_emul_frag *frag = &vcpu->emul.frag[vcpu->emul.nr_frags - 1];

	vcpu->run->mmio = (struct hvx_exit_mmio) {
		.gpa = frag->gpa,
		.len = frag->len,
		.write = frag->write,
	};
	if (frag->write)
		memcpy(vcpu->run->mmio.data, frag->data, frag->len);
	vcpu->pending = HVX_PENDING_MMIO;
	hvx_exit_user(vcpu, HVX_EXIT_MMIO);
	return 0;
}

static int exit_memory(struct hvx_vcpu *vcpu, u64 gpa)
{
	vcpu->run->memory = (struct hvx_exit_memory) {
		.gpa = gpa,
		.access = HVX_ACCESS_READ,
		.error = EFAULT,
	};
	vcpu->run->exit_reason = HVX_EXIT_MEMORY_FAULT;
	return -EFAULT;
}

static void raise(struct hvx_vcpu *vcpu, const struct hvx_emul_exception *e)
{
	hvx_queue_exception(vcpu, e->vector, e->has_error, e->error, e->vector == VEC_PF, e->cr2);
}

/* -------------------------------------------------------------------- execution */

/* One instruction, or one iteration of a REP, is complete */
static void completed(struct hvx_vcpu *vcpu, const struct hvx_emul_env *env, bool past)
{
	struct hvx_exit x = { .insn_len = past ? vcpu->emul.insn.len : 0 };

	store_regs(vcpu, env);
	hvx_skip(vcpu, &x);
}

/* Between two iterations: single step, interrupts and the VMM's wishes come first */
static bool go_on(struct hvx_vcpu *vcpu, unsigned int done)
{
	return done < MAX_ITERATIONS && !READ_ONCE(vcpu->requests) &&
	       vcpu->inject.type == HVX_EVENT_NONE;
}

/* The fragment that waits is for a device in the kernel: true, and it is done */
static bool answer(struct hvx_vcpu *vcpu)
{
	struct hvx_emul_frag *frag = &vcpu->emul.frag[vcpu->emul.nr_frags - 1];

	frag->done = hvx_lapic_mmio(vcpu, frag->gpa, frag->len, frag->write, frag->data) ||
		     hvx_bus_mmio(vcpu, frag->gpa, frag->len, frag->write, frag->data);
	return frag->done;
}

static int execute(struct hvx_vcpu *vcpu)
{
	struct hvx_emul *emul = &vcpu->emul;
	unsigned int done = 0;
	struct mmio_env m;
	int ret;

	load_env(vcpu, &m);
	for (;;) {
		ret = hvx_emul_exec(&m.env, emul);
		if (ret == HVX_EMUL_MMIO && answer(vcpu))
			continue;
		if (ret != HVX_EMUL_MORE)
			break;
		completed(vcpu, &m.env, false);
		hvx_emul_start(emul);
		if (!go_on(vcpu, ++done))
			return 1;
	}

	switch (ret) {
	case HVX_EMUL_DONE:
		completed(vcpu, &m.env, true);
		return 1;
	case HVX_EMUL_RETRY:
		return 1;
	case HVX_EMUL_MMIO:
		return exit_mmio(vcpu);
	case HVX_EMUL_EXCEPTION:
		raise(vcpu, &m.env.exception);
		return 1;
	case -EIO:
		return exit_memory(vcpu, m.gpa);
	}
	return ret;
}

/* The processor has walked the page tables already, for the access that faulted */
static void seed_translation(struct hvx_emul *emul, const struct hvx_exit *x)
{
	unsigned int access = x->fault.access & HVX_WRITE ? HVX_READ | HVX_WRITE : HVX_READ;
	u64 mask = ~0xfffULL;

	emul->nr_pages = 0;
	if (x->fault.gva_valid)
		emul->page[emul->nr_pages++] = (struct hvx_emul_page) {
			.gva = x->fault.gva & mask,
			.gpa = x->fault.gpa & mask,
			.access = access,
		};
	else if (hvx_emul_one_operand(&emul->insn))
		emul->hint = (struct hvx_emul_hint) { x->fault.gpa, access };
}

int hvx_mmio(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	struct hvx_emul *emul = &vcpu->emul;
	bool write = x->fault.access & HVX_WRITE;
	int err;

	hvx_need(vcpu, MMIO_REGS);
	/* Not an access that the instruction at CS:RIP made */
	if (x->fault.walk || x->fault.access & HVX_EXEC || vcpu->inject.type != HVX_EVENT_NONE)
		return exit_emulation(vcpu, x->fault.gpa, write);

	err = hvx_insn_decode(vcpu, &emul->insn, x->insn, x->nr_insn);
	if (err > 0)
		return 1;
	if (!err) {
		emul->rip = vcpu->regs.rip;
		hvx_emul_start(emul);
		seed_translation(emul, x);
		err = execute(vcpu);
	}
	if (err == -EOPNOTSUPP || err == -EINVAL || err == -ENXIO || err == -EIO)
		return exit_emulation(vcpu, x->fault.gpa, write);
	return err;
}

int hvx_mmio_complete(struct hvx_vcpu *vcpu)
{
	struct hvx_emul *emul = &vcpu->emul;
	struct hvx_emul_frag *frag;
	int ret;

	/* The VMM sent the guest elsewhere */
	if (hvx_rip(vcpu) != emul->rip)
		return 1;
	/*
	 * The last fragment is what the VMM answered, unless this was tried before and memory was
	 * missing: then all of them are done, or a REP has none yet.
	 */
	frag = emul->nr_frags ? &emul->frag[emul->nr_frags - 1] : NULL;
	if (frag && !frag->done) {
		if (!frag->write)
			memcpy(frag->data, vcpu->run->mmio.data, sizeof(frag->data));
		frag->done = true;
	}
	ret = execute(vcpu);
	/* It was executable when it began: only the registers can have changed under way */
	return ret == -EOPNOTSUPP ? 1 : ret;
}
