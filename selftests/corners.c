// SPDX-License-Identifier: GPL-2.0-only
/*
 * corners: what else can happen where IN, OUT or a MOV to a device exits: single steps,
 * breakpoints, interrupt shadows, events, registers of the VMM, state images, other code, other
 * memory. hvx ends these instructions in short ways that look at little; whatever is not ordinary
 * has to be noticed.
 */
#include <errno.h>

#include "image.h"

#define PORT		0x3a0
#define WIN		0x40000000UL	/* linear addresses of pages that tests map themselves */
#define VECTOR		0x50

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	v->run->regs_wanted = HVX_REGS_GPR | HVX_REGS_EVENT;
	vcpu_setup_long_mode(v, fn);
	return v;
}

static void expect_io(struct vcpu *v, unsigned int width, bool write)
{
	const struct hvx_exit_io *io = &v->run->io;

	if (!vcpu_expect(v, HVX_EXIT_IO))
		tap_abort();
	REQUIRE(io->port == PORT && io->width == width && io->write == write && io->count == 1,
		"port %#x width %u write %u count %u", io->port, io->width, io->write, io->count);
}

static void expect_mmio(struct vcpu *v, uint64_t gpa, unsigned int len, bool write)
{
	const struct hvx_exit_mmio *m = &v->run->mmio;

	if (!vcpu_expect(v, HVX_EXIT_MMIO))
		tap_abort();
	REQUIRE(m->gpa == gpa && m->len == len && m->write == write,
		"gpa %#llx len %u write %u, not %#lx %u %u", m->gpa, m->len, m->write, gpa, len,
		write);
}

static void answer(struct vcpu *v, uint64_t value)
{
	if (v->run->exit_reason == HVX_EXIT_IO)
		*(uint32_t *)((uint8_t *)v->run + v->run->io.data_offset) = value;
	else
		memcpy(v->run->mmio.data, &value, sizeof(value));
}

/* The last exit is finished, and the guest does not go on */
static void finish_only(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	v->run->immediate_exit = 0;
}

/* ---------------------------------------------------------------------- four of a kind */

enum { OUT, IN, STORE, LOAD, NR_KINDS };

/*
 * Guest code with one of each, and NOPs behind them; with @sti in the shadow of STI. Labels
 * namea... are at the instructions, nameb... behind them. The compiler must not copy it.
 */
asm(".macro one name, nr, sti, insn:vararg\n"
	".if \\sti; cli; sti; .endif\n"
	"\\name\\()a\\nr: \\insn\n"
	"\\name\\()b\\nr: nop\n"
	".endm\n"
	".macro four name, sti\n"
	"one \\name, 0, \\sti, outb %al, %dx\n"
	"one \\name, 1, \\sti, inb %dx, %al\n"
	"one \\name, 2, \\sti, movl %eax, 0x10(%rbx)\n"
	"one \\name, 3, \\sti, movl 0x20(%rbx), %eax\n"
	".endm");
#define FOUR(name, sti) ({						\
	asm volatile("four " #name ", " #sti				\
		     : "+a"(last) : "d"(PORT), "b"(HOLE) : "memory", "cc");	\
})
#define LABELS(name)							\
	extern char name##a0[], name##a1[], name##a2[], name##a3[];	\
	extern char name##b0[], name##b1[], name##b2[], name##b3[];	\
	static inline uint64_t name##_at(unsigned int kind)		\
	{								\
		char *const at[] = { name##a0, name##a1, name##a2, name##a3 };	\
		return (uintptr_t)at[kind];				\
	}								\
	static inline uint64_t name##_behind(unsigned int kind)		\
	{								\
		char *const behind[] = { name##b0, name##b1, name##b2, name##b3 };	\
		return (uintptr_t)behind[kind];				\
	}

/* What an instruction met is known after the first times: all that is tested comes again */
#define ROUNDS		4U

static uint64_t last;

static void expect_one(struct vcpu *v, unsigned int kind)
{
	if (kind == OUT || kind == IN)
		expect_io(v, 1, kind == OUT);
	else
		expect_mmio(v, HOLE + (kind == STORE ? 0x10 : 0x20), 4, kind == STORE);
}

/* RIP at the exit: IN and OUT are over but for their data, MMIO is not */
static void expect_rip(struct vcpu *v, unsigned int kind, uint64_t at, uint64_t behind)
{
	EXPECT_EQ(v->run->regs.rip, kind < STORE ? behind : at);
}

/* ----------------------------------------------------------------------- single steps */

LABELS(step)

GUEST(steps)
{
	unsigned int i;

	for (i = 0; i < G_HIDE(ROUNDS); i++)
		FOUR(step, 0);
}

static int debug(struct vcpu *v, uint32_t control)
{
	struct hvx_debug d = { .size = sizeof(d), .control = control };

	return xioctl(v->fd, HVX_SET_DEBUG, &d);
}

/* Steps up to the next exit of another kind */
static int step_on(struct vcpu *v)
{
	unsigned int n;
	int reason = 0;

	for (n = 0; n < 50; n++) {
		reason = vcpu_run(v);
		if (reason != HVX_EXIT_DEBUG)
			break;
	}
	return reason;
}

/* The VMM's single step: the exit of the instruction, then the one of the step */
TEST(vmm_steps)
{
	struct vcpu *v = start(steps);
	unsigned int i, kind;

	if (!(hvx_cap(HVX_CAP_DEBUG) & HVX_DEBUG_STEP))
		SKIP("no single step");
	EXPECT_EQ(debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_STEP), 0);
	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			REQUIRE(step_on(v) == (kind < STORE ? HVX_EXIT_IO : HVX_EXIT_MMIO));
			expect_rip(v, kind, step_at(kind), step_behind(kind));
			answer(v, 0x60 + kind);
			if (!vcpu_expect(v, HVX_EXIT_DEBUG))
				return;
			EXPECT_EQ(v->run->dbg.pc, step_behind(kind));
			EXPECT_EQ(v->run->dbg.dr6 & 0x4000, 0x4000);
			EXPECT_EQ(v->run->regs.rip, step_behind(kind));
			if (kind == IN || kind == LOAD)
				EXPECT_EQ(v->run->regs.gpr[HVX_RAX] & 0xff, 0x60 + kind);
		}
	}
	EXPECT_EQ(debug(v, 0), 0);
	vcpu_finish(v);
	EXPECT_EQ(v->g->count[1], 0);
}

/* A step that is asked for while the instruction waits for its answer */
TEST(vmm_steps_out)
{
	struct vcpu *v = start(steps);
	unsigned int i, kind;

	if (!(hvx_cap(HVX_CAP_DEBUG) & HVX_DEBUG_STEP))
		SKIP("no single step");
	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			EXPECT_EQ(debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_STEP), 0);
			if (!vcpu_expect(v, HVX_EXIT_DEBUG))
				return;
			/* IN and OUT are over: it is the NOP's step */
			EXPECT_EQ(v->run->dbg.pc,
				  step_behind(kind) + (kind < STORE ? 1 : 0));
			EXPECT_EQ(debug(v, 0), 0);
		}
	}
	vcpu_finish(v);
	EXPECT_EQ(v->g->count[1], 0);
}

LABELS(trap)

static uint64_t traps[200];
static unsigned int nr_traps;

static GUEST_CODE void on_db(struct gcpu *g, struct gframe *f)
{
	if (nr_traps < 200)
		traps[nr_traps++] = f->rip;
}

GUEST(traps_itself)
{
	unsigned int i;

	g->handler[1] = on_db;
	for (i = 0; i < G_HIDE(ROUNDS); i++) {
		asm volatile("pushfq; orl $0x100, (%%rsp); popfq" : : : "memory", "cc");
		FOUR(trap, 0);
		asm volatile("pushfq; andl $~0x100, (%%rsp); popfq" : : : "memory", "cc");
	}
}

static unsigned int times_trapped(uint64_t at)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr_traps; i++)
		n += traps[i] == at;
	return n;
}

/* The guest's own single step: one #DB behind each */
TEST(guest_steps)
{
	struct vcpu *v = start(traps_itself);
	unsigned int i, kind;

	nr_traps = 0;
	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			EXPECT_EQ(v->run->regs.rflags & FL_TF, FL_TF);
		}
	}
	vcpu_finish(v);
	for (kind = 0; kind < NR_KINDS; kind++) {
		EXPECT(times_trapped(trap_behind(kind)) == ROUNDS, "%u: %u times", kind,
		       times_trapped(trap_behind(kind)));
		EXPECT(times_trapped(trap_behind(kind) + 1) == ROUNDS, "%u: NOP %u times", kind,
		       times_trapped(trap_behind(kind) + 1));
	}
}

/* -------------------------------------------------------------------------- RFLAGS.RF */

LABELS(bp)

static GUEST_CODE void on_bp(struct gcpu *g, struct gframe *f)
{
	on_db(g, f);
	f->rflags |= FL_RF;
	G_WRITE_REG(dr6, 0xffff0ff0);
}

GUEST(breakpoints)
{
	unsigned int i, kind;

	g->handler[1] = on_bp;
	for (i = 0; i < G_HIDE(ROUNDS); i++) {
		for (kind = 0; kind < G_HIDE((unsigned int)NR_KINDS); kind++) {
			G_WRITE_REG(dr0, bp_at(kind));
			G_WRITE_REG(dr1, bp_behind(kind));
			G_WRITE_REG(dr7, 0x40a);
			FOUR(bp, 0);
			G_WRITE_REG(dr7, 0x400);
		}
	}
}

/* The handler of a breakpoint goes on with RF, which is good for one instruction */
TEST(resume_flag)
{
	struct vcpu *v = start(breakpoints);
	unsigned int i, kind;

	if (host_is_tcg())
		SKIP("this QEMU does not arm a DR7 that VMRUN loads");
	nr_traps = 0;
	for (i = 0; i < ROUNDS * NR_KINDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			if (kind < STORE)
				EXPECT_EQ(v->run->regs.rflags & FL_RF, 0);
		}
	}
	vcpu_finish(v);
	for (kind = 0; kind < NR_KINDS; kind++) {
		EXPECT(times_trapped(bp_at(kind)) == ROUNDS, "at %u: %u times", kind,
		       times_trapped(bp_at(kind)));
		EXPECT(times_trapped(bp_behind(kind)) == ROUNDS, "behind %u: %u times", kind,
		       times_trapped(bp_behind(kind)));
	}
}

LABELS(rf)

GUEST(flagged)
{
	unsigned int i;

	for (i = 0; i < G_HIDE(ROUNDS); i++)
		FOUR(rf, 0);
}

/* The same where the VMM has set it */
TEST(resume_flag_of_the_vmm)
{
	struct vcpu *v = start(flagged);
	unsigned int i, kind;

	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			v->run->regs.rip = rf_at(kind);
			v->run->regs.rflags |= FL_RF;
			v->run->regs_dirty = HVX_REGS_GPR;
			/* IN and OUT are executed again, MMIO is still under way */
			if (kind < STORE)
				expect_one(v, kind);
			finish_only(v);
			EXPECT_EQ(v->run->regs.rip, rf_behind(kind));
			EXPECT(!(v->run->regs.rflags & FL_RF), "RF behind %u", kind);
		}
	}
	vcpu_finish(v);
}

/* ----------------------------------------------------------------- shadows and events */

LABELS(sti)

GUEST(behind_sti)
{
	unsigned int i;

	for (i = 0; i < G_HIDE(ROUNDS); i++)
		FOUR(sti, 1);
	asm volatile("cli" : : : "memory");
}

/* The shadow of STI ends with the instruction behind it, whoever ends that */
TEST(shadow_ends)
{
	struct vcpu *v = start(behind_sti);
	struct hvx_run *run = v->run;
	unsigned int i, kind;

	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			expect_rip(v, kind, sti_at(kind), sti_behind(kind));
			EXPECT_EQ(run->event.shadow, kind < STORE ? 0 : HVX_SHADOW_STI);
			EXPECT_EQ(run->irq_ready, kind < STORE);
			EXPECT_EQ(run->if_flag, 1);
			finish_only(v);
			EXPECT_EQ(run->regs.rip, sti_behind(kind));
			EXPECT_EQ(run->event.shadow, 0);
			EXPECT_EQ(run->irq_ready, 1);
		}
	}
	vcpu_finish(v);
}

static GUEST_CODE void on_interrupt(struct gcpu *g, struct gframe *f)
{
	on_db(g, f);
}

LABELS(irq)

GUEST(interrupted)
{
	unsigned int i;

	g->handler[VECTOR] = on_interrupt;
	for (i = 0; i < G_HIDE(ROUNDS); i++) {
		FOUR(irq, 1);
		GUEST_EQ(last & 0xff, 0x40 + LOAD);
	}
	asm volatile("cli" : : : "memory");
}

/* An interrupt that comes while the VMM answers goes in behind the instruction */
TEST(interrupt_comes)
{
	struct vcpu *v = start(interrupted);
	unsigned int i, kind;

	nr_traps = 0;
	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			answer(v, 0x40 + kind);
			EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, VECTOR), 0);
		}
	}
	vcpu_finish(v);
	EXPECT_EQ(nr_traps, ROUNDS * NR_KINDS);
	for (kind = 0; kind < NR_KINDS; kind++)
		EXPECT(times_trapped(irq_behind(kind)) == ROUNDS, "%u: %u times", kind,
		       times_trapped(irq_behind(kind)));
}

/* ------------------------------------------------------------------ registers of the VMM */

LABELS(regs)

static uint64_t after[NR_KINDS];

GUEST(registers)
{
	unsigned int i;

	for (i = 0; i < G_HIDE(ROUNDS); i++) {
		FOUR(regs, 0);
		guest_sync(i);
	}
}

/* What the VMM puts into the registers comes first, the answer into them after that */
TEST(registers_first)
{
	struct vcpu *v = start(registers);
	struct hvx_run *run = v->run;
	unsigned int i, kind;

	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			EXPECT_EQ(run->regs_valid, HVX_REGS_GPR | HVX_REGS_EVENT);
			EXPECT_EQ(run->regs.gpr[HVX_RDX], PORT);
			EXPECT_EQ(run->regs.gpr[HVX_RBX], HOLE);
			EXPECT(run->regs.rflags & 2);
			run->regs.gpr[HVX_RAX] = 0x1122334455667700;
			run->regs.gpr[HVX_R13] = 0x5151 + kind;
			run->regs_dirty = HVX_REGS_GPR;
			answer(v, 0x80 + kind);
			finish_only(v);
			EXPECT_EQ(run->regs_dirty, 0);
			after[kind] = run->regs.gpr[HVX_RAX];
			EXPECT_EQ(run->regs.gpr[HVX_R13], 0x5151 + kind);
			/* Taken in: what the page says now is no answer */
			answer(v, 0x99);
		}
		EXPECT_EQ(after[OUT], 0x1122334455667700);
		EXPECT_EQ(after[IN], 0x1122334455667780 + IN);
		EXPECT_EQ(after[STORE], 0x1122334455667700);
		EXPECT_EQ(after[LOAD], 0x80 + LOAD);
		vcpu_expect_sync(v, i);
	}
	vcpu_finish(v);
}

/* A state image ends what is open: IN and OUT are over in it, MMIO has not begun */
TEST(image)
{
	static struct image open;
	struct vcpu *v = start(registers);
	unsigned int i, kind;

	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < NR_KINDS; kind++) {
			expect_one(v, kind);
			REQUIRE(!image_take(v, &open));
			answer(v, 0x99);
			EXPECT_EQ(image_put(v, &open), 0);
			if (kind >= STORE)
				expect_one(v, kind);
			answer(v, 0x20 + kind);
			finish_only(v);
			EXPECT_EQ(v->run->regs.rip, regs_behind(kind));
			if (kind == LOAD)
				EXPECT_EQ(v->run->regs.gpr[HVX_RAX], 0x20 + LOAD);
		}
		vcpu_expect_sync(v, i);
	}
	vcpu_finish(v);
}

/* ------------------------------------------------------------------------- other code */

/* A page of code, and where its instruction is in it */
static uint8_t *code;
static unsigned int code_at;

struct access {
	uint8_t bytes[3];
	uint8_t offset, len;
	bool write;
	uint32_t data;		/* of a write */
};

/* With RAX 0x44332211, RBX at the device and RCX 8 behind it */
static const struct access accesses[] = {
	{ { 0x88, 0x03, 0xc3 }, 0, 1, true, 0x11 },		/* mov %al, (%rbx) */
	{ { 0x89, 0x03, 0xc3 }, 0, 4, true, 0x44332211 },	/* mov %eax, (%rbx) */
	{ { 0x88, 0x23, 0xc3 }, 0, 1, true, 0x22 },		/* mov %ah, (%rbx) */
	{ { 0x89, 0x01, 0xc3 }, 8, 4, true, 0x44332211 },	/* mov %eax, (%rcx) */
	{ { 0x8a, 0x03, 0xc3 }, 0, 1, false, 0 },		/* mov (%rbx), %al */
	{ { 0x8b, 0x01, 0xc3 }, 8, 4, false, 0 },		/* mov (%rcx), %eax */
	{ { 0x3a, 0x03, 0xc3 }, 0, 1, false, 0 },		/* cmp (%rbx), %al */
	{ { 0x8b, 0x13, 0xc3 }, 0, 4, false, 0 },		/* mov (%rbx), %edx */
};

#define NR_ACCESSES	(sizeof(accesses) / sizeof(*accesses))

GUEST(calls_code)
{
	unsigned int i;

	for (i = 0; i < NR_ACCESSES * ROUNDS; i++) {
		uint64_t a = 0x44332211;

		asm volatile("call *%1" : "+a"(a) : "r"(g->arg), "b"(HOLE), "c"(HOLE + 8) :
			     "memory", "cc", "rdx");
		/* The page tables changed, if they did */
		asm volatile("invlpg (%0)" : : "r"(g->arg) : "memory");
	}
}

static void expect_access(struct vcpu *v, const struct access *a)
{
	expect_mmio(v, HOLE + a->offset, a->len, a->write);
	if (a->write)
		EXPECT_EQ(*(uint64_t *)v->run->mmio.data, a->data);
}

static struct vcpu *start_code(unsigned int at)
{
	struct vcpu *v = start(calls_code);

	code = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	code_at = at;
	memcpy(code + at, accesses[0].bytes, 3);
	*vm_pte(v->vm, WIN) = (uintptr_t)code | PTE_P | PTE_W;
	*vm_pte(v->vm, WIN + PAGE_SIZE) = 0;
	v->g->arg = WIN + at;
	return v;
}

/* As another CPU would: the instruction that waits is what it was, the next is another */
static void rewrite_code(unsigned int at)
{
	struct vcpu *v = start_code(at);
	unsigned int i, r;

	for (i = 0; i < NR_ACCESSES; i++) {
		for (r = 0; r < ROUNDS; r++) {
			expect_access(v, &accesses[i]);
			answer(v, 0x61);
		}
		if (i + 1 < NR_ACCESSES)
			memcpy(code + at, accesses[i + 1].bytes, 3);
		finish_only(v);
		EXPECT_EQ(v->run->regs.rip, WIN + at + 2);
		if (accesses[i].bytes[0] == 0x8b && accesses[i].bytes[1] == 0x01)
			EXPECT_EQ(v->run->regs.gpr[HVX_RAX], 0x61);
	}
	vcpu_finish(v);
}

TEST(other_code)
{
	rewrite_code(0x100);
}

/* The page behind it is not there */
TEST(other_code_at_page_end)
{
	rewrite_code(PAGE_SIZE - 3);
}

/* The same linear address is other code when the page tables say so */
TEST(other_page_of_code)
{
	struct vcpu *v = start_code(0x100);
	uint8_t *pages = heap_alloc(NR_ACCESSES * PAGE_SIZE, PAGE_SIZE);
	unsigned int i, r;

	for (i = 0; i < NR_ACCESSES; i++)
		memcpy(pages + i * PAGE_SIZE + code_at, accesses[i].bytes, 3);
	for (i = 0; i < NR_ACCESSES; i++) {
		for (r = 0; r < ROUNDS; r++) {
			expect_access(v, &accesses[i]);
			answer(v, 0x61);
		}
		if (i + 1 < NR_ACCESSES)
			*vm_pte(v->vm, WIN) = (uintptr_t)(pages + (i + 1) * PAGE_SIZE) | PTE_P;
	}
	vcpu_finish(v);
}

/* ----------------------------------------------------------------------- other memory */

static volatile uint64_t seen;

GUEST(same_place)
{
	unsigned int i;

	for (i = 0; i < 6 * ROUNDS; i++) {
		asm volatile("movl %0, 0x10(%1)" : : "r"(i), "r"(HOLE) : "memory");
		asm volatile("movl 0x20(%1), %k0" : "=r"(seen) : "r"(HOLE) : "memory");
		guest_sync(i);
	}
}

static void rounds_of_mmio(struct vcpu *v, unsigned int first)
{
	unsigned int i;

	for (i = first; i < first + ROUNDS; i++) {
		expect_mmio(v, HOLE + 0x10, 4, 1);
		EXPECT_EQ(*(uint64_t *)v->run->mmio.data, i);
		expect_mmio(v, HOLE + 0x20, 4, 0);
		answer(v, 0xffffffff00000000 + i + 7);
		vcpu_expect_sync(v, i);
		EXPECT_EQ(seen, i + 7);
	}
}

/* Where the VMM was asked there is memory, read-only memory, and nothing again */
TEST(other_memory)
{
	struct vcpu *v = start(same_place);
	uint32_t *page = host_pages(PAGE_SIZE);
	unsigned int i = 0;

	rounds_of_mmio(v, i);
	i += ROUNDS;
	page[8] = 0x7777;
	EXPECT_EQ(vm_region(v->vm, SLOT_FREE, 0, HOLE, PAGE_SIZE, page), 0);
	for (; i < 2 * ROUNDS; i++) {
		vcpu_expect_sync(v, i);
		EXPECT_EQ(page[4], i);
		EXPECT_EQ(seen, 0x7777);
	}
	EXPECT_EQ(vm_region(v->vm, SLOT_FREE, 0, HOLE, 0, NULL), 0);
	rounds_of_mmio(v, i);
	i += ROUNDS;
	EXPECT_EQ(vm_region(v->vm, SLOT_FREE, HVX_REGION_READONLY, HOLE, PAGE_SIZE, page), 0);
	for (; i < 4 * ROUNDS; i++) {
		expect_mmio(v, HOLE + 0x10, 4, 1);
		vcpu_expect_sync(v, i);
		EXPECT_EQ(page[4], 2 * ROUNDS - 1);
		EXPECT_EQ(seen, 0x7777);
	}
	EXPECT_EQ(vm_region(v->vm, SLOT_FREE, 0, HOLE, 0, NULL), 0);
	rounds_of_mmio(v, i);
	i += ROUNDS;
	/* While the instruction waits: it ends as it began */
	expect_mmio(v, HOLE + 0x10, 4, 1);
	EXPECT_EQ(vm_region(v->vm, SLOT_FREE, 0, HOLE, PAGE_SIZE, page), 0);
	vcpu_expect_sync(v, i++);
	EXPECT_EQ(page[4], 2 * ROUNDS - 1);
	EXPECT_EQ(seen, 0x7777);
	for (; i < 6 * ROUNDS; i++)
		vcpu_expect_sync(v, i);
	vcpu_finish(v);
}

static const uint16_t places[] = {
	0x10, 0x18, 0xffc, 0x10, 0xffd, 0x11, 0x18, 0xff8, 0x1000, 0xfff,
};

#define NR_PLACES	(sizeof(places) / sizeof(*places))

GUEST(everywhere)
{
	unsigned int i, r;

	for (r = 0; r < ROUNDS; r++) {
		for (i = 0; i < NR_PLACES; i++) {
			uint64_t v = 0x8877665544332211;

			asm volatile("movq %0, (%1)" : : "r"(v), "r"(HOLE + places[i]) : "memory");
		}
	}
}

/* One instruction, at any alignment and over the end of a page */
TEST(page_end)
{
	struct vcpu *v = start(everywhere);
	unsigned int i, r;

	for (r = 0; r < ROUNDS; r++) {
		for (i = 0; i < NR_PLACES; i++) {
			unsigned int at = places[i], n = 8;

			if (at < PAGE_SIZE && at + 8 > PAGE_SIZE)
				n = PAGE_SIZE - at;
			expect_mmio(v, HOLE + at, n, 1);
			EXPECT_EQ(v->run->mmio.data[0], 0x11);
			if (n == 8)
				continue;
			expect_mmio(v, HOLE + PAGE_SIZE, 8 - n, 1);
			EXPECT_EQ(v->run->mmio.data[0], 0x11 * (n + 1));
		}
	}
	vcpu_finish(v);
}

static GUEST_CODE int store(struct gcpu *g)
{
	return TRY(g, "movl %%eax, (%%rbx)", (), ("a"(5), "b"(WIN)));
}

static struct gtrap user_trap;

GUEST(user_store)
{
	store(g);
	user_trap = g->trap;
}

GUEST(stores)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		GUEST_EQ(store(g), -1);
		guest_ring3(g, user_store);
		GUEST_EQ(user_trap.vector, 14);
		GUEST_EQ(user_trap.error, 7);
		GUEST_EQ(user_trap.cr2, WIN);
		GUEST_EQ(user_trap.cs & 3, 3);
	}
}

/* What ring 0 may do, and is known, ring 3 may not */
TEST(ring3)
{
	struct vcpu *v = start(stores);
	unsigned int i;

	*vm_pte(v->vm, WIN) = HOLE | PTE_P | PTE_W;
	for (i = 0; i < ROUNDS; i++)
		expect_mmio(v, HOLE, 4, 1);
	vcpu_finish(v);
}
