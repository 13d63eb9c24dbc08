// SPDX-License-Identifier: GPL-2.0-only
/*
 * task: task switches by hardware in a 32-bit guest: CALL, JMP and IRET between TSSs, task gates
 * for faults and interrupts, and what a bad TSS raises, in which of the two tasks. Without them a
 * 32-bit kernel whose double fault handler is a task dies of the first stack overflow, and older
 * systems do not boot.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "image.h"

#define SEL_B		SEL_TEST
#define SEL_C		(SEL_TEST + 8)
#define WINDOW		0x50000000UL
#define ATTR_TSS32	(0x9 | HVX_SEG_P)
#define ATTR_TSS16	(0x1 | HVX_SEG_P)
#define BUSY		2
#define SHORT_CODE	0x8000

/* guest/task.S */
void task_calls(void);
void task_jumps(void);
void task_faults(void);
void task_loses_stack(void);
void task_interrupts(void);
void task_tries(void);
void task_traps(void);
void task_bad_return(void);
extern char task_returns[], task_jumps_back[], task_reads[], task_handles[], task_stops[];
extern char task_short[], task_short_end[], task_lost[];
extern volatile struct {
	uint32_t flags, tr, cr0, dr7, count, error, word;
} task_seen;
extern volatile uint32_t task_of_a, task_touch[16];

struct tss32 {
	uint32_t link, stack[6], cr3, eip, eflags, gpr[8], seg[6], ldt, trap;
};

struct tss16 {
	uint16_t link, stack[6], ip, flags, gpr[8], seg[4], ldt;
};

_Static_assert(sizeof(struct tss32) == 104 && sizeof(struct tss16) == 44, "layout of a TSS");

static struct tss32 b __attribute__((aligned(128))), c __attribute__((aligned(128)));
static struct tss16 narrow __attribute__((aligned(64)));
static uint8_t stacks[2][4096] __attribute__((aligned(4096)));
static struct vcpu *v;

/* How tasks page, and the CR3 of all of them */
static void (*setup_paging)(struct vcpu *v, void (*fn)(void)) = vcpu_setup_paging32;
static uint64_t root;

static volatile struct tss32 *a(void)
{
	return (void *)v->g->tss32;
}

static void make_tss(struct tss32 *t, unsigned int stack, void *eip)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->cr3 = root;
	t->eip = (uintptr_t)eip;
	t->eflags = FL_FIXED;
	t->gpr[4] = (uintptr_t)stacks[stack] + sizeof(stacks[0]);
	for (i = 0; i < 6; i++)
		t->seg[i] = i == 1 ? SEL_KCODE32 : SEL_KDATA;
	t->trap = sizeof(*t) << 16;
}

static void set_gdt(uint16_t selector, void *base, uint32_t limit, uint16_t attr)
{
	v->g->gdt[selector / 8] = gdt_make((uintptr_t)base, limit, attr);
}

static unsigned int type_of(uint16_t selector)
{
	return v->g->gdt[selector / 8] >> 40 & 15;
}

static void task_gate(unsigned int vector, uint16_t selector)
{
	((volatile uint64_t *)((char *)v->g + GCPU_IDT32))[vector] =
		(uint64_t)selector << 16 | 0x8500ULL << 32;
}

/* A runs @fn; B and C are there to be switched to */
static void start(void (*fn)(void), void *eip_b, void *eip_c)
{
	v = vcpu_create(vm_create(0), 0);
	setup_paging(v, fn);
	root = v->run->ctrl.cr3;
	make_tss(&b, 0, eip_b);
	make_tss(&c, 1, eip_c);
	set_gdt(SEL_B, &b, sizeof(b) - 1, ATTR_TSS32);
	set_gdt(SEL_C, &c, sizeof(c) - 1, ATTR_TSS32);
	((struct tss32 *)v->g->tss32)->cr3 = root;
	task_of_a = (uintptr_t)v->g->tss32;
	task_touch[0] = (uintptr_t)&b;
	task_touch[1] = (uintptr_t)&c;
	task_touch[2] = (uintptr_t)&narrow;
	task_touch[3] = (uintptr_t)stacks[0] + sizeof(stacks[0]) - 4;
	task_touch[4] = (uintptr_t)stacks[1] + sizeof(stacks[1]) - 4;
	task_touch[5] = (uintptr_t)v->g->tss32;
	task_touch[6] = (uintptr_t)v->g->gdt;
	task_touch[7] = (uintptr_t)v->g + GCPU_IDT32;
	task_touch[8] = 0;
}

TEST(call)
{
	start(task_calls, task_returns, NULL);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 2);
	EXPECT_EQ(task_seen.flags & FL_NT, FL_NT);
	EXPECT_EQ(task_seen.tr, SEL_B);
	EXPECT_EQ(task_seen.cr0 >> 3 & 1, 1);
	/* Local breakpoints are the old task's. QEMU does not exit: the module does not know. */
	if (!host_is_tcg())
		EXPECT_EQ(task_seen.dr7 & 0x155, 0);
	EXPECT_EQ(task_seen.dr7 & 0x200, 0x200);
	EXPECT_EQ(task_seen.error, 0x11223344);
	EXPECT_EQ(task_seen.word, 0x55667788);
	EXPECT_EQ(b.link, SEL_TSS32);
	EXPECT_EQ(b.eflags & FL_NT, 0);
	EXPECT_EQ(type_of(SEL_B), 9);
	EXPECT_EQ(type_of(SEL_TSS32), 0xb);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->seg.seg[HVX_TR].selector, SEL_TSS32);
	EXPECT_EQ(v->run->regs.rflags & FL_NT, 0);
	EXPECT_EQ(v->run->regs.gpr[HVX_RBX], (uintptr_t)v->g);
	vcpu_finish(v);
}

TEST(jump)
{
	unsigned int i;

	start(task_jumps, NULL, task_jumps_back);
	for (i = 1; i <= 2; i++) {
		vcpu_expect_sync(v, i);
		EXPECT_EQ(task_seen.count, i);
		EXPECT_EQ(task_seen.tr, SEL_C);
		EXPECT_EQ(task_seen.flags & FL_NT, 0);
		EXPECT_EQ(c.link, 0);
		EXPECT_EQ(type_of(SEL_C), 9);
		EXPECT_EQ(type_of(SEL_TSS32), 0xb);
	}
	vcpu_finish(v);
}

TEST(address_space)
{
	static uint32_t directory[1024] __attribute__((aligned(4096)));
	uint32_t *pages = heap_alloc(8 << 20, 4 << 20);
	const uint32_t flags = PTE_P | PTE_W | 1 << 7;

	start(task_calls, task_reads, NULL);
	memcpy(directory, v->vm->pd32, sizeof(directory));
	v->vm->pd32[WINDOW >> 22] = (uintptr_t)pages | flags;
	directory[WINDOW >> 22] = ((uintptr_t)pages + (4 << 20)) | flags;
	pages[0] = 1;
	pages[1 << 20] = 2;
	b.cr3 = (uintptr_t)directory;
	task_touch[8] = (uintptr_t)directory;
	task_touch[9] = (uintptr_t)pages;
	task_touch[10] = 0;
	vcpu_expect_sync(v, 1);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->ctrl.cr3, (uintptr_t)v->vm->pd32);
	EXPECT_EQ(b.gpr[0], 2);
	vcpu_finish(v);
}

/* A fault's task: the error code is on its stack, and it can have the old task go on. */
TEST(fault_gate)
{
	start(task_faults, task_handles, NULL);
	task_gate(13, SEL_B);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 2);
	EXPECT_EQ(task_seen.error, 0x1f8);
	EXPECT_EQ(task_seen.tr, SEL_B);
	EXPECT_EQ(task_seen.flags & FL_NT, FL_NT);
	vcpu_finish(v);
}

TEST(double_fault_gate)
{
	start(task_loses_stack, task_stops, NULL);
	v->vm->pd32[WINDOW >> 22] = 0;
	task_gate(8, SEL_B);
	task_seen.error = 1;
	vcpu_expect_sync(v, 100);
	EXPECT_EQ(task_seen.error, 0);
	EXPECT_EQ(task_seen.tr, SEL_B);
	EXPECT_EQ(b.link, SEL_TSS32);
	EXPECT_EQ(a()->eip, (uintptr_t)task_lost);
	EXPECT_EQ(a()->gpr[4], WINDOW + 0x1000);
	EXPECT_EQ(type_of(SEL_TSS32), 0xb);
	EXPECT_EQ(type_of(SEL_B), 0xb);
}

TEST(interrupt_gates)
{
	start(task_interrupts, task_returns, NULL);
	task_gate(0x40, SEL_B);
	task_gate(0x41, SEL_B);
	task_gate(2, SEL_B);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 2);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x41), 0);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(task_seen.count, 3);
	EXPECT_EQ(task_seen.flags & FL_IF, 0);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	vcpu_expect_sync(v, 4);
	EXPECT_EQ(task_seen.count, 4);
	/* Its IRET was that of the NMI */
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->event.nmi_masked, 0);
	vcpu_finish(v);
}

/* What is wrong with the TSS itself is the old task's fault. */
static void try_call(unsigned int vector, unsigned int error)
{
	trap32.vector = ~0;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(trap32.vector, vector);
	EXPECT_EQ(trap32.error, error);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->seg.seg[HVX_TR].selector, SEL_TSS32);
	EXPECT_EQ(type_of(SEL_TSS32), 0xb);
	EXPECT_EQ(task_seen.count, 0);
}

TEST(bad_tss)
{
	start(task_tries, task_returns, NULL);
	set_gdt(SEL_B, &b, sizeof(b) - 2, ATTR_TSS32);
	try_call(10, SEL_B);
	set_gdt(SEL_B, &b, sizeof(b) - 1, ATTR_TSS32 & ~HVX_SEG_P);
	try_call(11, SEL_B);
	set_gdt(SEL_B, &b, sizeof(b) - 1, ATTR_TSS32 | BUSY);
	try_call(13, SEL_B);
	set_gdt(SEL_B, &narrow, sizeof(narrow) - 2, ATTR_TSS16);
	try_call(10, SEL_B);
	set_gdt(SEL_B, &b, sizeof(b) - 1, ATTR_TSS32);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 1);
}

/* A TSS that is not in memory: the page fault is the old task's, which can try again. */
TEST(absent_tss)
{
	start(task_tries, task_returns, NULL);
	v->vm->pd32[WINDOW >> 22] = 0;
	set_gdt(SEL_B, (void *)WINDOW, sizeof(b) - 1, ATTR_TSS32);
	trap32.vector = ~0;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(trap32.vector, 14);
	EXPECT_EQ(trap32.cr2 & -PAGE_SIZE, WINDOW);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->seg.seg[HVX_TR].selector, SEL_TSS32);
	EXPECT_EQ(type_of(SEL_B) & ~BUSY, 9);
	set_gdt(SEL_B, &b, sizeof(b) - 1, ATTR_TSS32);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 1);
}

/* What is wrong with the new task's segments is the new task's: its handler is a third task. */
static void expect_third(const char *what, uint16_t selector, unsigned int vector)
{
	task_gate(vector, SEL_C);
	task_seen.error = ~0;
	trap32.vector = ~0;
	if (!vcpu_expect_sync(v, 100))
		tap_note("%s %#x", what, selector);
	EXPECT(task_seen.error == (selector & 0xfffcU), "%s %#x: %#x", what, selector,
	       task_seen.error);
	EXPECT_EQ(task_seen.tr, SEL_C);
	EXPECT(c.link == SEL_B, "%s %#x: link %#x", what, selector, c.link);
	EXPECT_EQ(type_of(SEL_B), 0xb);
	EXPECT_EQ(b.eip, (uintptr_t)task_returns);
	vcpu_destroy(v);
}

#define BAD(field, selector, vector) do {				\
	unsigned int bad = (selector);					\
									\
	start(task_tries, task_returns, task_stops);			\
	b.field = bad;							\
	expect_third(#field, bad, (vector));				\
} while (0)

TEST_TIME(bad_segments, 60)
{
	if (host_is_tcg())
		SKIP("QEMU's TCG begins the new task anew when one of its segments is bad");
	BAD(ldt, SEL_KDATA, 10);
	BAD(ldt, SEL_TEST + 0x200, 10);
	BAD(seg[1], SEL_KDATA, 10);
	BAD(seg[1], 0, 10);
	BAD(seg[2], 0, 10);
	BAD(seg[2], SEL_KCODE32, 10);
	BAD(seg[2], SEL_UDATA | 3, 10);
	BAD(seg[2], SEL_ABSENT, 12);
	BAD(seg[0], SEL_TEST + 0x200, 10);
	BAD(seg[3], SEL_TSS32, 10);
	BAD(seg[4], SEL_ABSENT, 11);
}

TEST(narrow_tss)
{
	unsigned int i;

	start(task_calls, NULL, NULL);
	memset(&narrow, 0, sizeof(narrow));
	vm_load(v->vm, SHORT_CODE, task_short, task_short_end);
	narrow.ip = SHORT_CODE;
	narrow.flags = FL_FIXED;
	narrow.gpr[4] = 0x7000;
	for (i = 0; i < 4; i++)
		narrow.seg[i] = i == 1 ? SEL_KCODE16 : SEL_KDATA;
	set_gdt(SEL_B, &narrow, sizeof(narrow) - 1, ATTR_TSS16);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 2);
	EXPECT_EQ(task_seen.tr & 0xffff, SEL_B);
	EXPECT_EQ(task_seen.error, 0x11223344);
	EXPECT_EQ(narrow.link, SEL_TSS32);
	EXPECT_EQ(narrow.gpr[1], SEL_B);
	EXPECT_EQ(type_of(SEL_B), 1);
	vcpu_finish(v);
}

TEST(trap_flag)
{
	if (host_is_tcg())
		SKIP("QEMU's TCG does not know the T flag of a TSS");
	start(task_traps, task_returns, NULL);
	b.trap |= 1;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(trap32.vector, 1);
	EXPECT_EQ(task_seen.count, 1);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->debug.dr6 >> 15 & 1, 1);
	vcpu_finish(v);
}

TEST(bad_return)
{
	start(task_bad_return, task_returns, NULL);
	a()->link = SEL_B;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(trap32.vector, 10);
	EXPECT_EQ(trap32.error, SEL_B);
	EXPECT_EQ(task_seen.count, 0);
	EXPECT_EQ(type_of(SEL_TSS32), 0xb);
	vcpu_finish(v);
}

static void expect_missing(uint16_t tr)
{
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->seg.seg[HVX_TR].selector, tr);
}

/* #GP by a gate whose task has a TSS and a stack in memory that is not there */
static struct tss32 *start_missing(void)
{
	struct tss32 *t = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	if (host_is_tcg())
		SKIP("QEMU's TCG does not survive a nested page fault in a task switch");
	start(task_faults, task_handles, NULL);
	task_touch[3] = (uintptr_t)&b;
	*t = b;
	set_gdt(SEL_B, t, sizeof(*t) - 1, ATTR_TSS32);
	task_gate(13, SEL_B);
	mprotect(t, PAGE_SIZE, PROT_NONE);
	mprotect(stacks[0], PAGE_SIZE, PROT_NONE);
	return t;
}

static void expect_switched(const struct tss32 *t)
{
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(task_seen.count, 2);
	EXPECT_EQ(task_seen.error, 0x1f8);
	EXPECT_EQ(t->link, SEL_TSS32);
	vcpu_finish(v);
}

/* The VMM's memory comes late: for the TSS, and in the new task for its stack. */
TEST(memory_comes_late)
{
	struct tss32 *t = start_missing();

	expect_missing(SEL_TSS32);
	expect_missing(SEL_TSS32);
	mprotect(t, PAGE_SIZE, PROT_READ | PROT_WRITE);
	expect_missing(SEL_B);
	expect_missing(SEL_B);
	mprotect(stacks[0], PAGE_SIZE, PROT_READ | PROT_WRITE);
	expect_switched(t);
}

/* ------------------------------------------------------------------ half-way, in an image */

static struct image image;

/* This vCPU's image goes into a new one, which is @v from now on. */
static void move(void)
{
	struct vcpu *next = vcpu_create(vm_create(0), 0);

	REQUIRE(!image_take(v, &image));
	REQUIRE(!image_put(next, &image));
	next->g = v->g;
	v = next;
}

static void test_moved(void)
{
	struct tss32 *t = start_missing();
	struct hvx_task_state *task;

	expect_missing(SEL_TSS32);
	move();
	EXPECT(!image_section(&image, HVX_STATE_TASK, NULL), "nothing has changed yet");
	expect_missing(SEL_TSS32);
	mprotect(t, PAGE_SIZE, PROT_READ | PROT_WRITE);
	expect_missing(SEL_B);
	move();
	task = image_section(&image, HVX_STATE_TASK, NULL);
	REQUIRE(task, "the image has no section of it");
	EXPECT_EQ(task->source, 3);
	EXPECT_EQ(task->has_error, 1);
	EXPECT_EQ(task->error, 0x1f8);
	expect_missing(SEL_B);
	move();
	mprotect(stacks[0], PAGE_SIZE, PROT_READ | PROT_WRITE);
	expect_switched(t);
	move();
	EXPECT(!image_section(&image, HVX_STATE_TASK, NULL), "it is over");
}

TEST(moved_half_way)
{
	test_moved();
}

/* VT-x has the PDPTEs in registers, which the new vCPU loads before it goes on. */
TEST(moved_half_way_pae)
{
	setup_paging = vcpu_setup_pae;
	test_moved();
}

static struct hvx_task_state *with_task(void)
{
	REQUIRE(!image_take(v, &image));
	EXPECT(!image_section(&image, HVX_STATE_TASK, NULL), "nothing is under way");
	return image_add(&image, HVX_STATE_TASK, sizeof(struct hvx_task_state));
}

/* The rest of a switch alone: an error code that is to be pushed, and segments to be loaded */
TEST(rest_of_a_switch)
{
	uint32_t *sp = (uint32_t *)(stacks[1] + sizeof(stacks[1]));
	struct hvx_task_state *task;
	struct hvx_segs *segs;

	start(task_calls, task_returns, NULL);
	vcpu_get(v, HVX_REGS_GPR);
	v->run->regs.gpr[HVX_RSP] = (uintptr_t)sp;
	vcpu_set(v, HVX_REGS_GPR);
	task = with_task();
	task->source = 3;
	task->has_error = 1;
	task->error = 0x1234;
	segs = image_section(&image, HVX_STATE_SEGS, NULL);
	segs->seg[HVX_DS] = seg_make(SEL_KDATA, 0, 0, 0);
	REQUIRE(!image_put(v, &image));
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	v->run->immediate_exit = 0;
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->regs.gpr[HVX_RSP], (uintptr_t)(sp - 1));
	EXPECT_EQ(sp[-1], 0x1234);
	EXPECT_EQ(v->run->seg.seg[HVX_DS].limit, ~0u);
	with_task();
	/* What is loaded is looked at */
	segs = image_section(&image, HVX_STATE_SEGS, NULL);
	segs->seg[HVX_DS].selector = 0x1f8;
	REQUIRE(!image_put(v, &image));
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	v->run->immediate_exit = 0;
	vcpu_get(v, HVX_REGS_EVENT);
	EXPECT_EQ(v->run->event.type, HVX_EVENT_EXCEPTION);
	EXPECT_EQ(v->run->event.vector, 10);
	EXPECT_EQ(v->run->event.error_code, 0x1f8);
}

static void expect_refused(const char *what, struct hvx_task_state bad)
{
	*with_task() = bad;
	EXPECT(image_put(v, &image) == -EINVAL, "%s", what);
}

TEST(bad_section)
{
	start(task_calls, task_returns, NULL);
	expect_refused("source 4", (struct hvx_task_state) { .source = 4 });
	expect_refused("external 2", (struct hvx_task_state) { .external = 2 });
	expect_refused("has_error 2", (struct hvx_task_state) { .has_error = 2 });
	expect_refused("reserved", (struct hvx_task_state) { .reserved = 1 });
	expect_refused("an error code that is none", (struct hvx_task_state) { .error = 1 });
	with_task();
	image_add(&image, HVX_STATE_TASK, sizeof(struct hvx_task_state));
	EXPECT_EQ(image_put(v, &image), -EINVAL);
	REQUIRE(!image_take(v, &image));
	image_add(&image, HVX_STATE_TASK, 2 * sizeof(struct hvx_task_state));
	EXPECT_EQ(image_put(v, &image), -EINVAL);
}
