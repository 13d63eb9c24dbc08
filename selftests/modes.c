// SPDX-License-Identifier: GPL-2.0-only
/*
 * modes: guests in every processor mode, and one guest that goes through all of them. Without the
 * mode-dependent parts of entry and exit (CR0/CR4/EFER shadowing, PAE pointers, unrestricted
 * guest, hidden segment state) a mode fails to start or a switch loses state.
 */
#include "vm.h"

extern char modes_switch[], modes_switch_end[], modes_real[], modes_real_end[];
extern void modes_alias(void);
extern void modes_flat(void);
extern void modes_compat(void);
extern volatile uint32_t modes_alias_target, modes_compat_seen[4];

#define ALIAS	0x40000000UL

TEST(real)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *r = v->run;

	vm_load(v->vm, 0x8000, modes_real, modes_real_end);
	vcpu_setup_real(v, 0, 0x8000);
	v->run->regs.rflags |= FL_IF;
	r->regs_wanted = HVX_REGS_GPR | HVX_REGS_SEG;
	if (!vcpu_expect(v, HVX_EXIT_HLT))
		return;
	EXPECT_EQ(r->regs.gpr[HVX_RBX] & 0xffff, 0x1234 ^ 0xffff);
	EXPECT_EQ(r->regs.gpr[HVX_RDI] & (FL_IF | FL_TF), 0);
	EXPECT_EQ(r->regs.gpr[HVX_RBP], 0xcafebabe);
	EXPECT_EQ(r->regs.gpr[HVX_RDX] & 0xffff, 0xde);
	EXPECT_EQ(r->regs.gpr[HVX_RSI], 0);
	EXPECT_EQ(r->seg.seg[HVX_ES].base, 0x10000);
	EXPECT_EQ(r->seg.seg[HVX_FS].base, 0x10010);
	EXPECT_EQ(r->regs.gpr[HVX_RSP], 0x7c00);
	EXPECT_EQ(r->regs.rflags & FL_IF, FL_IF);
}

static void check32(struct vcpu *v)
{
	struct hvx_run *r = v->run;

	r->regs_wanted = HVX_REGS_ALL;
	vcpu_finish(v);
	EXPECT_EQ(r->regs.gpr[HVX_RSI], 0x600df00d);
	EXPECT(r->regs.gpr[HVX_RDI] == 2, "last of %u: %u at %#x, error %#x, cr2 %#x",
	       trap32.count, trap32.vector, trap32.eip, trap32.error, trap32.cr2);
	EXPECT_EQ(r->seg.seg[HVX_CS].selector, SEL_KCODE32);
	EXPECT_EQ(r->ctrl.efer & EFER_LMA, 0);
}

TEST(protected32)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_prot32(v, modes_flat);
	check32(v);
	EXPECT_EQ(v->run->ctrl.cr0 & (CR0_PE | CR0_PG), CR0_PE);
}

/* In both paged modes the guest's tables map ALIAS to the heap. */
static void set_alias_target(void)
{
	modes_alias_target = HEAP_BASE + 0x800000 + 0x300000;
}

TEST(paging32)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_paging32(v, modes_alias);
	v->vm->pd32[ALIAS >> 22] = (HEAP_BASE + 0x800000) | PTE_P | PTE_W | PTE_U | PTE_PS;
	set_alias_target();
	check32(v);
	EXPECT_EQ(v->run->ctrl.cr0 & CR0_PG, CR0_PG);
	EXPECT_EQ(v->run->ctrl.cr4 & (CR4_PAE | CR4_PSE), CR4_PSE);
	EXPECT_EQ(v->vm->pd32[ALIAS >> 22] & (PTE_A | PTE_D), PTE_A | PTE_D);
}

static uint64_t *pde_of(struct vm *vm, uint64_t gva)
{
	return (uint64_t *)(uintptr_t)(vm->pdpt[gva >> 30] & PTE_ADDR) + (gva >> 21 & 511);
}

/*
 * QEMU's walk sets bit 5 of PDPTEs, which is reserved: the next walk, hvx's, gives the page fault
 * that a processor would. Bochs has PAE guests on AMD-V.
 */
static bool pdptes_spoilt(void)
{
	return host_is_tcg();
}

TEST(pae)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	if (pdptes_spoilt())
		SKIP("QEMU sets a reserved bit of PDPTEs");
	vcpu_setup_pae(v, modes_alias);
	*pde_of(v->vm, ALIAS + 0x200000) = (HEAP_BASE + 0xa00000) | PTE_P | PTE_W | PTE_PS;
	set_alias_target();
	check32(v);
	EXPECT_EQ(v->run->ctrl.cr4 & CR4_PAE, CR4_PAE);
}

/* PAE pointers are read when CR3 is loaded, not when they are used. */
TEST(pae_pointers_stay)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	if (pdptes_spoilt())
		SKIP("QEMU sets a reserved bit of PDPTEs");
	vcpu_setup_pae(v, modes_alias);
	*pde_of(v->vm, ALIAS + 0x200000) = (HEAP_BASE + 0xa00000) | PTE_P | PTE_W | PTE_PS;
	set_alias_target();
	vcpu_set(v, HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL);
	v->run->regs_dirty = 0;
	check32(v);
}

GUEST(long_guest)
{
	volatile uint64_t *a = G_HIDE((uint64_t *)(ALIAS + 8));
	volatile uint64_t *b = G_HIDE((uint64_t *)(0xffffff8000000000UL + ALIAS + 8));
	uint64_t x;

	*a = 0x1122334455667788;
	GUEST_EQ(*(volatile uint64_t *)(HEAP_BASE + 0xc00008), 0x1122334455667788);
	GUEST_EQ(*b, 0x1122334455667788);
	asm volatile("mov $0x8000000000000001, %%r9; mov %%r9, %%r14; lea 1(%%r14), %0"
		     : "=r"(x) : : "r9", "r14");
	GUEST_EQ(x, 0x8000000000000002);
	GUEST_EQ(G_READ_REG(cr8), 0);
	GUEST_EQ(TRY(g, "ud2", (), ()), 6);
	/* INTO does not exist here, and a SYSENTER-less 0x06 (push es) neither. */
	GUEST_EQ(TRY(g, ".byte 0xce", (), ()), 6);
}

TEST(long_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, long_guest);
	*vm_pte(v->vm, ALIAS) = (HEAP_BASE + 0xc00000) | PTE_P | PTE_W;
	v->vm->pml4[511] = v->vm->pml4[0];
	vcpu_finish(v);
}

GUEST(compat_guest)
{
	guest_compat(modes_compat, g);
	GUEST_EQ(modes_compat_seen[0], SEL_KCODE32);
	GUEST_EQ(modes_compat_seen[1], 0);
	GUEST_ASSERT(modes_compat_seen[2] > (uintptr_t)g &&
		     modes_compat_seen[2] < (uintptr_t)g + GCPU_STACK);
	GUEST_EQ(modes_compat_seen[3], 0x5eed);
}

TEST(compatibility)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, compat_guest);
	vcpu_finish(v);
}

static bool ring3_reached;

GUEST(ring3_user)
{
	ring3_reached = guest_cpl() == 3;
	GUEST_EQ(TRY(g, "hlt", (), ()), 13);
	GUEST_EQ(g->trap.cs, SEL_UCODE64 | 3);
	GUEST_EQ(TRY(g, "mov %%cr0, %%rax", (), (), "rax"), 13);
}

GUEST(ring3_guest)
{
	GUEST_EQ(guest_cpl(), 0);
	guest_ring3(g, ring3_user);
	GUEST_EQ(guest_cpl(), 0);
	GUEST_ASSERT(ring3_reached);
}

TEST(ring3)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, ring3_guest);
	vcpu_finish(v);
}

static void check_step(struct vcpu *v, unsigned int step)
{
	static const struct {
		uint64_t cr0, lma;
		uint16_t cs_attr;
	} want[] = {
		[1] = { 0, 0, 0 },
		[2] = { CR0_PE, 0, HVX_SEG_DB },
		[3] = { CR0_PE | CR0_PG, 0, HVX_SEG_DB },
		[4] = { CR0_PE | CR0_PG, 0, HVX_SEG_DB },
		[5] = { CR0_PE | CR0_PG, EFER_LME | EFER_LMA, HVX_SEG_DB },
		[6] = { CR0_PE | CR0_PG, EFER_LME | EFER_LMA, HVX_SEG_L },
		[7] = { CR0_PE | CR0_PG, EFER_LME | EFER_LMA, HVX_SEG_DB },
		[8] = { CR0_PE, 0, HVX_SEG_DB },
		[9] = { CR0_PE, 0, 0 },
	};
	struct hvx_run *r = v->run;

	EXPECT_EQ(r->ctrl.cr0 & (CR0_PE | CR0_PG), want[step].cr0);
	EXPECT_EQ(r->ctrl.efer & (EFER_LME | EFER_LMA), want[step].lma);
	EXPECT_EQ(r->seg.seg[HVX_CS].attr & (HVX_SEG_DB | HVX_SEG_L), want[step].cs_attr);
	if (step == 6)
		EXPECT_EQ(r->regs.gpr[HVX_R15], 0x123456789abcdef0);
	if (step == 1)
		EXPECT_EQ(r->seg.seg[HVX_DS].base, 0);
}

TEST(all_modes_and_back)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *r = v->run;
	uint8_t *low = v->vm->low;
	unsigned int round, step;
	const int rounds = 3;

	/* Each setup leaves its tables behind; the last one counts. */
	vcpu_setup_paging32(v, modes_flat);
	*(uint32_t *)(low + 0x7000) = r->ctrl.cr3;
	vcpu_setup_pae(v, modes_flat);
	*(uint32_t *)(low + 0x7004) = r->ctrl.cr3;
	*(uint32_t *)(low + 0x7008) = (uintptr_t)v->vm->pml4;
	*(uint16_t *)(low + 0x7010) = sizeof(v->g->gdt) - 1;
	*(uint32_t *)(low + 0x7012) = (uintptr_t)v->g->gdt;
	low[0x7018] = rounds;
	low[0x7019] = pdptes_spoilt();
	vm_load(v->vm, 0x8000, modes_switch, modes_switch_end);
	vcpu_setup_real(v, 0, 0x8000);
	r->regs_wanted = HVX_REGS_ALL;
	for (round = 0; round < rounds; round++) {
		for (step = 1; step <= 9; step++) {
			if (step == 4 && pdptes_spoilt())
				continue;
			if (!vcpu_expect(v, HVX_EXIT_IO))
				tap_abort();
			REQUIRE(r->io.port == 0x80, "step %u: port %#x", step, r->io.port);
			EXPECT_EQ(*((uint8_t *)r + r->io.data_offset), step);
			check_step(v, step);
		}
	}
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(r->ctrl.cr0 & CR0_PE, 0);
}
