// SPDX-License-Identifier: GPL-2.0-only
/*
 * state: all that a vCPU holds can be taken out and put into another one, which goes on where the
 * first one was. Without a part of it in the image a moved guest goes wrong, often much later.
 */
#include <errno.h>
#include <sys/mman.h>

#include "image.h"

#define WIN	0x40000000UL
#define WIN_GPA	(HEAP_BASE + 0x800000)

static struct image image, again;

TEST(layout)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	const struct hvx_state_header *h = &image.header;
	struct hvx_blob b = {
		.size = sizeof(b), .len = sizeof(image), .data = (uintptr_t)&image,
	};
	const uint32_t sizes[] = {
		[HVX_STATE_GPRS] = sizeof(struct hvx_gprs),
		[HVX_STATE_SEGS] = sizeof(struct hvx_segs),
		[HVX_STATE_CTRL] = sizeof(struct hvx_ctrl),
		[HVX_STATE_DREGS] = sizeof(struct hvx_dregs),
		[HVX_STATE_EVENTS] = sizeof(struct hvx_events),
	};
	unsigned int id;
	uint32_t n = 0;

	REQUIRE(!xioctl(v->fd, HVX_GET_STATE, &b));
	EXPECT(b.len <= hvx_cap(HVX_CAP_STATE_SIZE));
	EXPECT_EQ(h->magic, HVX_STATE_MAGIC);
	EXPECT_EQ(h->version, HVX_STATE_VERSION);
	EXPECT_EQ(h->len, b.len);
	for (id = HVX_STATE_GPRS; id <= HVX_STATE_XSAVE; id++) {
		EXPECT(image_section(&image, id, &n), "no section %u", id);
		EXPECT_EQ(n % 8, 0);
		if (id <= HVX_STATE_EVENTS)
			EXPECT_EQ(n, sizes[id]);
	}
}

GUEST(syncs_for_ever)
{
	for (;;)
		guest_sync(1);
}

static int set_debug(struct vcpu *v, uint32_t control)
{
	struct hvx_debug d = { .size = sizeof(d), .control = control };

	return xioctl(v->fd, HVX_SET_DEBUG, &d);
}

/* A step that was over when another state came is that state's no more. */
TEST(step_is_forgotten)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, syncs_for_ever);
	vcpu_expect_sync(v, 1);
	REQUIRE(!image_take(v, &image));
	REQUIRE(!set_debug(v, HVX_DEBUG_ENABLE | HVX_DEBUG_STEP));
	while (vcpu_run(v) == HVX_EXIT_DEBUG)
		;
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_IO);
	REQUIRE(!image_put(v, &image));
	REQUIRE(!set_debug(v, 0));
	vcpu_expect_sync(v, 1);
}

/* A calculation that keeps its state in registers of every kind. */
static uint64_t result;

GUEST(computes)
{
	uint64_t a = 1, i, x;

	g_wrmsr(0xc0000102, 1);
	G_WRITE_REG(dr1, 1);
	asm volatile("movq %0, %%xmm7; fninit; fld1" : : "r"(1UL));
	for (i = 1; i <= 64; i++) {
		a = a * 6364136223846793005 + i;
		x = g_rdmsr(0xc0000102) ^ a >> 16;
		g_wrmsr(0xc0000102, x & 0x7fffffffffff);
		G_WRITE_REG(dr1, (G_READ_REG(dr1) + a) & 0x7fffffffffff);
		asm volatile("movq %0, %%xmm0; paddq %%xmm0, %%xmm7; fld1; faddp" : : "r"(a));
		guest_sync(i);
	}
	asm volatile("movq %%xmm7, %0" : "=r"(x));
	result = a ^ g_rdmsr(0xc0000102) ^ G_READ_REG(dr1) ^ x;
	asm volatile("fistpll %0" : "=m"(x));
	result ^= x << 32;
}

static uint64_t compute_at_once(void)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, computes);
	while (vcpu_ucall(v) == UC_SYNC)
		;
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	return result;
}

/* A new vCPU, in a new VM, at every fourth step. */
TEST(moved_while_computing)
{
	const uint64_t want = compute_at_once();
	struct vcpu *v = vcpu_create(vm_create(0), 0), *next;
	unsigned int i, moves = 0;

	result = 0;
	vcpu_setup_long_mode(v, computes);
	for (i = 1; vcpu_ucall(v) == UC_SYNC; i++) {
		EXPECT_EQ(v->uc.arg[0], i);
		if (i % 4)
			continue;
		REQUIRE(!image_take(v, &image));
		next = vcpu_create(vm_create(0), 0);
		REQUIRE(!image_put(next, &image));
		vm_destroy(v->vm);
		vcpu_destroy(v);
		v = next;
		moves++;
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	EXPECT_EQ(moves, 16);
	EXPECT(result == want, "%#lx, not %#lx", result, want);
}

/* What is set comes out again, byte for byte but for the clock. */
TEST(round_trip)
{
	struct vcpu *a = vcpu_create(vm_create(0), 0), *b = vcpu_create(vm_create(0), 0);
	uint32_t n = 0, n2 = 0, id, i;
	uint8_t *p, *q;

	vcpu_setup_long_mode(a, computes);
	for (i = 0; i < 5; i++)
		vcpu_ucall(a);
	REQUIRE(!image_take(a, &image));
	REQUIRE(!image_put(b, &image));
	REQUIRE(!image_take(b, &again));
	EXPECT_EQ(image.header.len, again.header.len);
	for (id = HVX_STATE_GPRS; id <= HVX_STATE_XSAVE; id++) {
		p = image_section(&image, id, &n);
		q = image_section(&again, id, &n2);
		REQUIRE(p && q && n == n2, "section %u", id);
		for (i = 0; i < n; i++) {
			if (id == HVX_STATE_MSRS && ((struct hvx_msr *)p)[i / 16].index == 0x10)
				continue;
			if (!EXPECT(p[i] == q[i], "section %u, byte %u: %#x, %#x", id, i, p[i],
				    q[i]))
				break;
		}
	}
}

GUEST(waits_with_events)
{
	asm volatile("cli" : : : "memory");
	guest_sync(1);
	GUEST_EQ(g->count[0x44], 0);
	GUEST_EQ(g->count[2], 1);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	GUEST_EQ(g->count[0x44], 1);
	asm volatile("hlt" : : : "memory");
}

/* Events that wait move along. */
TEST(pending_events)
{
	struct vcpu *a = vcpu_create(vm_create(0), 0), *b;

	vcpu_setup_long_mode(a, waits_with_events);
	vcpu_expect_sync(a, 1);
	EXPECT_EQ(vcpu_inject(a, HVX_EVENT_INTERRUPT, 0x44), 0);
	EXPECT_EQ(vcpu_inject(a, HVX_EVENT_NMI, 0), 0);
	REQUIRE(!image_take(a, &image));
	b = vcpu_create(vm_create(0), 0);
	REQUIRE(!image_put(b, &image));
	EXPECT_EQ(vcpu_inject(b, HVX_EVENT_INTERRUPT, 0x45), -EBUSY);
	EXPECT_EQ(vcpu_inject(b, HVX_EVENT_NMI, 0), -EBUSY);
	/* The guest's stacks, which are shared here, name the first vCPU's area: it is that one. */
	vcpu_expect(b, HVX_EXIT_HLT);
}

GUEST(in_nmi)
{
	guest_sync(1);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[2], 2);
}

static unsigned int depth;

static GUEST_CODE void on_nmi(struct gcpu *g, struct gframe *f)
{
	GUEST_EQ(depth++, 0);
	if (g->count[2] == 1)
		guest_sync(2);
	depth--;
}

/* NMIs stay masked in a handler that moved. */
TEST(nmi_mask)
{
	struct vcpu *a = vcpu_create(vm_create(0), 0), *b;

	vcpu_setup_long_mode(a, in_nmi);
	a->g->handler[2] = on_nmi;
	vcpu_expect_sync(a, 1);
	EXPECT_EQ(vcpu_inject(a, HVX_EVENT_NMI, 0), 0);
	vcpu_expect_sync(a, 2);
	REQUIRE(!image_take(a, &image));
	b = vcpu_create(vm_create(0), 0);
	REQUIRE(!image_put(b, &image));
	EXPECT_EQ(vcpu_inject(b, HVX_EVENT_NMI, 0), 0);
	vcpu_finish(b);
}

/* ------------------------------------------------------------------ XSAVE */

GUEST(swaps_xmm)
{
	uint64_t x, y;

	asm volatile("movq %2, %%xmm3; movq %3, %%xmm15" : "=m"(x), "=m"(y) :
		     "r"(0x1111222233334444), "r"(0x5555666677778888));
	guest_sync(1);
	asm volatile("movq %%xmm3, %0; movq %%xmm15, %1" : "=r"(x), "=r"(y));
	GUEST_EQ(x, 0xaaaabbbbccccdddd);
	GUEST_EQ(y, 0x5555666677778888);
}

TEST(xsave)
{
	static uint8_t xsave[0x4000] __attribute__((aligned(64)));
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_blob b = {
		.size = sizeof(b), .len = sizeof(xsave), .data = (uintptr_t)xsave,
	};
	uint64_t *xmm = (uint64_t *)(xsave + 160);

	vcpu_setup_long_mode(v, swaps_xmm);
	vcpu_expect_sync(v, 1);
	REQUIRE(!xioctl(v->fd, HVX_GET_XSAVE, &b));
	EXPECT_EQ(xmm[2 * 3], 0x1111222233334444);
	EXPECT_EQ(xmm[2 * 15], 0x5555666677778888);
	EXPECT_EQ(*(uint64_t *)(xsave + 512) & 2, 2);
	xmm[2 * 3] = 0xaaaabbbbccccdddd;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_XSAVE, &b), 0);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ translation */

static struct hvx_translate translate(struct vcpu *v, uint64_t gva, uint32_t access, uint32_t user)
{
	struct hvx_translate t = {
		.size = sizeof(t), .gva = gva, .access = access, .user = user,
	};

	EXPECT_EQ(xioctl(v->fd, HVX_TRANSLATE, &t), 0);
	return t;
}

static void expect_page(struct vcpu *v, uint64_t gva, uint32_t access, uint32_t user, uint64_t gpa,
			uint64_t size)
{
	struct hvx_translate t = translate(v, gva, access, user);

	EXPECT(t.gpa == gpa && t.page_size == size, "%#lx: gpa %#llx, page of %#llx, error %#x",
	       gva, t.gpa, t.page_size, t.error_code);
}

static void expect_error(struct vcpu *v, uint64_t gva, uint32_t access, uint32_t user,
			 uint32_t error)
{
	struct hvx_translate t = translate(v, gva, access, user);

	EXPECT(!t.page_size && t.error_code == error, "%#lx: page of %#llx, error %#x, not %#x",
	       gva, t.page_size, t.error_code, error);
}

GUEST(nothing)
{
}

TEST(translation)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_translate t = { .size = sizeof(t), .gva = WIN };
	void *tables;

	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W | PTE_U;
	*vm_pte(v->vm, WIN + 0x1000) = WIN_GPA | PTE_P | PTE_NX;
	*vm_pte(v->vm, WIN + 0x2000) = 0;
	vcpu_setup_long_mode(v, nothing);
	vcpu_set(v, HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL);
	v->run->regs_dirty = 0;
	expect_page(v, WIN + 0x123, HVX_ACCESS_READ, 0, WIN_GPA + 0x123, 0x1000);
	expect_page(v, WIN, HVX_ACCESS_READ | HVX_ACCESS_WRITE | HVX_ACCESS_EXEC, 1, WIN_GPA,
		    0x1000);
	expect_page(v, WIN + 0x1fff, HVX_ACCESS_READ, 0, WIN_GPA + 0xfff, 0x1000);
	expect_error(v, WIN + 0x1000, HVX_ACCESS_WRITE, 0, 3);
	expect_error(v, WIN + 0x1000, HVX_ACCESS_EXEC, 0, 0x11);
	expect_error(v, WIN + 0x1000, HVX_ACCESS_READ, 1, 5);
	expect_error(v, WIN + 0x2000, HVX_ACCESS_READ, 0, 0);
	expect_error(v, WIN + 0x2000, HVX_ACCESS_WRITE, 1, 6);
	/* 2 MiB pages elsewhere, and nothing above the first 512 GiB */
	expect_page(v, 0x80212345, HVX_ACCESS_READ, 0, 0x80212345, 0x200000);
	expect_error(v, 1UL << 40, HVX_ACCESS_READ, 0, 0);
	t.access = 1 << 5;
	EXPECT_EQ(xioctl(v->fd, HVX_TRANSLATE, &t), -EINVAL);
	/* tables where no memory is */
	v->vm->pml4[1] = HOLE | PTE_P | PTE_W | PTE_U;
	t.access = HVX_ACCESS_READ;
	t.gva = 1UL << 39;
	EXPECT_EQ(xioctl(v->fd, HVX_TRANSLATE, &t), -EFAULT);
	/* ... and where a region is, but the VMM has nothing behind it */
	tables = host_pages(PAGE_SIZE);
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, HOLE, PAGE_SIZE, tables));
	EXPECT_EQ(xioctl(v->fd, HVX_TRANSLATE, &t), 0);
	EXPECT_EQ(t.page_size, 0);
	REQUIRE(!munmap(tables, PAGE_SIZE));
	EXPECT_EQ(xioctl(v->fd, HVX_TRANSLATE, &t), -EFAULT);
}

TEST(translation_other_modes)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_real(v, 0, 0);
	vcpu_set(v, HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL);
	expect_page(v, 0x12345, HVX_ACCESS_WRITE, 0, 0x12345, 0x1000);
	vcpu_setup_paging32(v, (void (*)(void))nothing);
	v->vm->pd32[0x100] = 0x00800000 | PTE_P | PTE_PS;
	vcpu_set(v, HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL);
	expect_page(v, 0x40012345, HVX_ACCESS_READ, 0, 0x00812345, 0x400000);
	expect_error(v, 0x40012345, HVX_ACCESS_WRITE, 0, 3);
	vcpu_setup_pae(v, (void (*)(void))nothing);
	vcpu_set(v, HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL);
	expect_page(v, 0x80212345, HVX_ACCESS_READ, 0, 0x80212345, 0x200000);
	v->run->regs_dirty = 0;
}

static void send_message(struct vm *vm, unsigned int id, uint32_t data)
{
	struct hvx_msi msi = {
		.size = sizeof(msi),
		.address = 0xfee00000 | id << 12,
		.data = data,
	};

	EXPECT_EQ(xioctl(vm->fd, HVX_SIGNAL_MSI, &msi), 1);
}

/* All that one vCPU has, by its run page, to another one of the same id in a new VM. */
static struct vcpu *copy_regs(struct vcpu *v)
{
	struct vcpu *w = vcpu_create_bare(vm_create_bare(HVX_VM_LAPIC), v->id);

	vcpu_get(v, HVX_REGS_ALL);
	w->run->regs = v->run->regs;
	w->run->seg = v->run->seg;
	w->run->ctrl = v->run->ctrl;
	w->run->debug = v->run->debug;
	w->run->event = v->run->event;
	vcpu_set(w, HVX_REGS_ALL);
	return w;
}

/* A STARTUP that waits, also for the page at 0, is among what moves. */
TEST(startup_at_zero)
{
	struct vcpu *v = vcpu_create_bare(vm_create_bare(HVX_VM_LAPIC), 3), *w;

	send_message(v->vm, 3, 0x4500);
	REQUIRE(!image_take(v, &image));
	send_message(v->vm, 3, 0x4600);
	w = copy_regs(v);
	EXPECT_EQ(w->run->event.activity, HVX_WAIT_FOR_SIPI);
	EXPECT_EQ(w->run->event.sipi_pending, 1);
	EXPECT_EQ(w->run->event.sipi_vector, 0);
	/* Taken for the image */
	REQUIRE(!image_take(w, &image));
	vcpu_get(w, HVX_REGS_ALL);
	EXPECT_EQ(w->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(w->run->event.sipi_pending, 0);
	EXPECT_EQ(w->run->seg.seg[HVX_CS].selector, 0);
	EXPECT_EQ(w->run->regs.rip, 0);
}

/* And so is an INIT, with the STARTUP behind it. */
TEST(init_that_waits)
{
	struct vcpu *v = vcpu_create_bare(vm_create_bare(HVX_VM_LAPIC), 3), *w;

	send_message(v->vm, 3, 0x4500);
	send_message(v->vm, 3, 0x4612);
	w = copy_regs(v);
	EXPECT_EQ(w->run->event.activity, HVX_WAIT_FOR_INIT);
	EXPECT_EQ(w->run->event.init_pending, 1);
	EXPECT_EQ(w->run->event.sipi_pending, 1);
	EXPECT_EQ(w->run->event.sipi_vector, 0x12);
	REQUIRE(!image_take(w, &image));
	vcpu_get(w, HVX_REGS_ALL);
	EXPECT_EQ(w->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(w->run->seg.seg[HVX_CS].selector, 0x1200);
}
