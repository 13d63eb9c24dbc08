// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry rules over made-up states: each rule broken once, by the least that breaks it, and the
 * states next to it that must pass.
 *
 * A row starts from a processor mode, changes its state by a statement and names what has to come
 * out, for each vendor. In the statement @r is the registers, @e the event, @s the rest.
 */
#include <linux/kernel.h>
#include <string.h>

#include "cpu/entry_rules.h"
#include "tap.h"

enum cpu_mode { REAL, BIG_REAL, PROT16, PROT32, PAE, V86, COMPAT, LONG };
enum { VMX = 1, SVM = 2, BOTH = 3, NEITHER = 0 };

struct state {
	struct hvx_entry_state s;
	struct hvx_regs r;
	struct hvx_inject e;
};

#define CODE		(0xb | SA_S | SA_P)
#define DATA		(0x3 | SA_S | SA_P)
#define DPL3		SA_DPL
#define NONCANONICAL	0x800000000000ULL
#define ADDR(n)		((u64)(n) << 12)

static struct hvx_segment seg(u16 selector, u64 base, u32 limit, u16 attr)
{
	return (struct hvx_segment){ base, limit, selector, attr };
}

static void all_segments(struct hvx_regs *r, u16 selector, u64 base, u32 limit, u16 attr)
{
	unsigned int i;

	for (i = SEG_ES; i <= SEG_GS; i++)
		r->seg[i] = seg(selector, base, limit, attr);
}

static void fill_registers(struct hvx_regs *r)
{
	*r = (struct hvx_regs) {
		.rflags = 2, .rip = 0x1000, .cr0 = 0x60000010, .xcr0 = 1, .dr6 = 0xffff0ff0,
		.dr7 = 0x400, .pat = 0x0007040600070406ULL, .apic_base = 0xfee00900,
		.gdt = { 0x1000, 0xffff }, .idt = { 0, 0x3ff },
	};
	r->seg[SEG_TR] = seg(0, 0, 0xffff, 0xb | SA_P);
	r->seg[SEG_LDTR] = seg(0, 0, 0xffff, 0x2 | SA_P);
	all_segments(r, 0x100, 0x1000, 0xffff, DATA);
	r->seg[SEG_CS].attr = CODE;
}

static void protected_mode(struct hvx_regs *r)
{
	r->cr0 = 0x11 | BIT(5);
	all_segments(r, 0x10, 0, ~0u, DATA | SA_DB | SA_G);
	r->seg[SEG_CS] = seg(0x8, 0, ~0u, CODE | SA_DB | SA_G);
}

static void long_mode(struct hvx_regs *r)
{
	protected_mode(r);
	r->cr0 |= BIT_ULL(31) | BIT(16);
	r->cr4 = BIT(5);
	r->cr3 = 0x2000;
	r->efer = BIT(0) | BIT(8) | BIT(10) | BIT(11);
}

static void enter_mode(struct hvx_regs *r, enum cpu_mode which)
{
	fill_registers(r);
	switch (which) {
	case REAL:
		break;
	case BIG_REAL:
		/* Limits and granularity of protected mode, selectors and bases of real mode */
		all_segments(r, 0x100, 0x1000, ~0u, DATA | SA_DB | SA_G);
		r->seg[SEG_CS] = seg(0x800, 0x8000, 0xffff, CODE);
		break;
	case PROT16:
		/* CR0.PE was just set: everything is as in real mode */
		r->cr0 |= BIT(0);
		r->seg[SEG_CS] = seg(0xf000, 0xf0000, 0xffff, DATA);
		break;
	case PROT32:
		protected_mode(r);
		break;
	case PAE:
		protected_mode(r);
		r->cr0 |= BIT_ULL(31);
		r->cr4 = BIT(5);
		break;
	case V86:
		protected_mode(r);
		r->rflags |= BIT(17);
		all_segments(r, 0x1234, 0x12340, 0xffff, 0xf3);
		break;
	case COMPAT:
		long_mode(r);
		break;
	case LONG:
		long_mode(r);
		r->rip = 0xffffffff81000000ULL;
		r->seg[SEG_CS] = seg(0x8, 0, ~0u, CODE | SA_L | SA_G);
		r->seg[SEG_FS].base = 0xffff888000000000ULL;
		r->seg[SEG_GS].base = 0xffffc90000000000ULL;
		break;
	}
}

static void fill_vmx(struct hvx_entry_state *s)
{
	struct hvx_vmx_entry *x = &s->vmx;

	x->control[VMX_PIN] = (struct hvx_vmx_control){ 0x69 | 0x16, 0x16, 0x7f };
	x->control[VMX_PROC] = (struct hvx_vmx_control){ BIT(31) | BIT(28) | BIT(25) | 0x6172,
							 0x6172, ~0u };
	x->control[VMX_PROC2] = (struct hvx_vmx_control){ BIT(1) | BIT(5) | BIT(7), 0, 0xfff };
	x->control[VMX_EXIT] = (struct hvx_vmx_control){ BIT(9) | BIT(19) | BIT(21) | BIT(22), 0,
							 0x7fffff };
	x->control[VMX_ENTRY] = (struct hvx_vmx_control){ BIT(2), 0, 0xffff };
	x->cr0_fixed0 = 0x80000021;
	x->cr0_fixed1 = 0xffffffff;
	x->cr4_fixed0 = 0x2000;
	x->cr4_fixed1 = 0x3727ff;
	x->io_bitmap[0] = ADDR(1);
	x->io_bitmap[1] = ADDR(2);
	x->msr_bitmap = ADDR(3);
	x->eptp = ADDR(4) | 0x5e;
	x->link_pointer = ~0ULL;
	x->vpid = 1;
	x->host_known = true;
	x->host.cr0 = 0x80050033;
	x->host.cr3 = ADDR(5);
	x->host.cr4 = 0x3626e0;
	x->host.efer = 0xd01;
	x->host.pat = 0x0407050600070106ULL;
	x->host.selector[HOST_CS] = 0x10;
	x->host.selector[HOST_SS] = 0x18;
	x->host.selector[HOST_TR] = 0x40;
	x->host.address[HOST_RIP] = 0xffffffffc0000000ULL;
}

static void fill_svm(struct hvx_entry_state *s)
{
	s->svm = (struct hvx_svm_entry) {
		.efer = s->regs->efer | BIT(12), .iopm = ADDR(1), .msrpm = ADDR(4),
		.ncr3 = ADDR(8), .asid = 1, .nr_asids = 16, .vmrun_intercept = true, .npt = true,
	};
}

static void fill(struct state *t, enum cpu_mode mode, unsigned int vendor)
{
	memset(t, 0, sizeof(*t));
	enter_mode(&t->r, mode);
	t->s = (struct hvx_entry_state) {
		.regs = &t->r, .inject = &t->e, .pa_bits = 40, .la_bits = 48,
		.cr3_reserved = ~GENMASK_ULL(39, 0), .cr4_reserved = ~0xfb07ffULL,
		.efer_reserved = ~0xd01ULL, .xcr0_allowed = 0x600e7,
	};
	if (vendor == VMX)
		fill_vmx(&t->s);
	else
		fill_svm(&t->s);
}

struct row {
	const char *what;
	enum cpu_mode mode;
	unsigned int vendors;	/* that refuse */
	unsigned int only;	/* to be tried on; 0: those that refuse */
	u32 check;
	u32 stage;
	u32 field;
	const char *name;	/* part of the sentence */
	void (*change)(struct hvx_entry_state *s, struct hvx_regs *r, struct hvx_inject *e);
};

#define CHANGE(statement) ({						\
	void change_(struct hvx_entry_state *s, struct hvx_regs *r, struct hvx_inject *e) \
	{								\
		(void)s; (void)r; (void)e;				\
		statement;						\
	}								\
	change_;							\
})

static u64 value_at(const struct state *t, u32 field)
{
	unsigned int i;

	switch (field) {
	case FIELD(ctrl.cr0):
		return t->r.cr0;
	case FIELD(ctrl.cr3):
		return t->r.cr3;
	case FIELD(ctrl.cr4):
		return t->r.cr4;
	case FIELD(ctrl.cr8):
		return t->r.cr8;
	case FIELD(ctrl.efer):
		return t->r.efer;
	case FIELD(ctrl.xcr0):
		return t->r.xcr0;
	case FIELD(ctrl.apic_base):
		return t->r.apic_base;
	case FIELD(debug.dr6):
		return t->r.dr6;
	case FIELD(debug.dr7):
		return t->r.dr7;
	case FIELD(regs.rip):
		return t->r.rip;
	case FIELD(regs.rflags):
		return t->r.rflags;
	case FIELD(seg.gdt.base):
		return t->r.gdt.base;
	case FIELD(seg.idt.base):
		return t->r.idt.base;
	case FIELD(event.vector):
		return t->e.vector;
	case FIELD(event.error_code):
		return t->e.error;
	case FIELD(event.insn_len):
		return t->e.insn_len;
	case FIELD(event.type):
		return t->e.type;
	case FIELD(event.shadow):
		return t->r.shadow & 3;
	case FIELD(event.nmi_masked):
		return !!(t->r.shadow & SHADOW_NMI);
	}
	for (i = 0; i < NR_SEGS; i++) {
		if (field == FIELD_SEG(i, selector))
			return t->r.seg[i].selector;
		if (field == FIELD_SEG(i, attr))
			return t->r.seg[i].attr;
		if (field == FIELD_SEG(i, limit))
			return t->r.seg[i].limit;
		if (field == FIELD_SEG(i, base))
			return t->r.seg[i].base;
	}
	return ~0ULL;
}

static bool run_rules(struct state *t, unsigned int vendor, struct hvx_entry_failure *f)
{
	/* What the backends derive from the registers at every entry */
	if (vendor == VMX && (t->r.efer & BIT(10)))
		t->s.vmx.control[VMX_ENTRY].value ^= BIT(9);
	return vendor == VMX ? hvx_vmx_rules(&t->s, f) : hvx_svm_rules(&t->s, f);
}

static void try_row(const struct row *row, unsigned int vendor)
{
	const char *on = vendor == VMX ? "VT-x" : "AMD-V";
	struct hvx_entry_failure f = { };
	struct state t;
	char text[176];
	bool refused;

	fill(&t, row->mode, vendor);
	row->change(&t.s, &t.r, &t.e);
	refused = run_rules(&t, vendor, &f);
	EXPECT(refused == !!(row->vendors & vendor), "%s, %s: %s %s", row->what, on,
	       refused ? "refused for" : "accepted", refused ? f.rule : "");
	if (!refused || !(row->vendors & vendor))
		return;
	EXPECT(f.check == row->check, "%s, %s: check %u, not %u (%s)", row->what, on, f.check,
	       row->check, f.rule);
	EXPECT(f.stage == row->stage, "%s, %s: stage %u", row->what, on, f.stage);
	EXPECT(f.field == row->field, "%s, %s: field %#x, not %#x", row->what, on, f.field,
	       row->field);
	if (row->field)
		EXPECT(f.value == value_at(&t, row->field), "%s, %s: value %#llx", row->what, on,
		       f.value);
	hvx_entry_sentence(text, sizeof(text), &f, true, 0, 0);
	EXPECT(strstr(text, row->name), "%s, %s: '%s' does not name %s", row->what, on, text,
	       row->name);
	EXPECT(strlen(text) < sizeof(text) - 1, "cut off: '%s'", text);
	hvx_entry_sentence(text, sizeof(text), &f, false, 0x80000021, 0);
	EXPECT(strlen(text) < sizeof(text) - 1, "cut off: '%s'", text);
}

static void try_rows(const struct row *rows, size_t n)
{
	for (; n; n--, rows++) {
		unsigned int on = rows->only ?: rows->vendors;

		if (on & VMX)
			try_row(rows, VMX);
		if (on & SVM)
			try_row(rows, SVM);
	}
}

#define G(v, m, c, f, n, statement)					\
	{ #statement, m, v, BOTH, HVX_CHECK_##c, HVX_ENTRY_GUEST, f, n, CHANGE(statement) }
#define OK(m, statement)	G(NEITHER, m, NONE, 0, "", statement)
#define ON(v, st, c, n, statement)					\
	{ #statement, LONG, v, 0, HVX_CHECK_##c, HVX_ENTRY_##st, 0, n, CHANGE(statement) }

TEST(modes_pass)
{
	const struct row rows[] = {
		OK(REAL, ;),
		OK(BIG_REAL, ;),
		OK(PROT16, ;),
		OK(PROT32, ;),
		OK(PAE, ;),
		OK(V86, ;),
		OK(COMPAT, ;),
		OK(LONG, ;),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

TEST(control_registers)
{
	const struct row rows[] = {
		G(BOTH, REAL, CR0_RESERVED, FIELD(ctrl.cr0), "CR0", r->cr0 |= BIT_ULL(32)),
		G(BOTH, REAL, CR0_RESERVED, FIELD(ctrl.cr0), "CR0", r->cr0 |= BIT_ULL(6)),
		G(BOTH, REAL, CR0_NW, FIELD(ctrl.cr0), "CR0", r->cr0 &= ~BIT_ULL(30)),
		OK(REAL, r->cr0 &= ~BIT_ULL(29)),
		OK(REAL, r->cr0 &= ~(BIT_ULL(29) | BIT_ULL(30))),
		G(BOTH, REAL, CR0_PG, FIELD(ctrl.cr0), "CR0", r->cr0 |= BIT_ULL(31)),
		OK(REAL, r->cr0 &= ~BIT(4)),
		G(BOTH, LONG, CR3_WIDTH, FIELD(ctrl.cr3), "CR3", r->cr3 |= BIT_ULL(40)),
		G(BOTH, LONG, CR3_WIDTH, FIELD(ctrl.cr3), "CR3", r->cr3 |= BIT_ULL(63)),
		OK(LONG, r->cr3 |= BIT_ULL(39) | 0xfff),
		G(BOTH, LONG, CR4_RESERVED, FIELD(ctrl.cr4), "CR4", r->cr4 |= BIT(13)),
		G(BOTH, LONG, CR4_RESERVED, FIELD(ctrl.cr4), "CR4", r->cr4 |= BIT_ULL(63)),
		G(BOTH, LONG, CR4_PAE, FIELD(ctrl.cr4), "CR4", r->cr4 &= ~BIT(5)),
		G(BOTH, PAE, CR4_PCIDE, FIELD(ctrl.cr4), "CR4", r->cr4 |= BIT(17)),
		OK(LONG, r->cr4 |= BIT(17)),
		G(BOTH, LONG, CR4_CET, FIELD(ctrl.cr4), "CR4",
		  r->cr4 |= BIT(23); r->cr0 &= ~BIT(16)),
		G(BOTH, LONG, EFER_RESERVED, FIELD(ctrl.efer), "EFER", r->efer |= BIT(12)),
		G(BOTH, LONG, EFER_RESERVED, FIELD(ctrl.efer), "EFER", r->efer |= BIT(1)),
		G(BOTH, LONG, EFER_LMA, FIELD(ctrl.efer), "EFER", r->efer &= ~BIT(10)),
		G(BOTH, LONG, EFER_LMA, FIELD(ctrl.efer), "EFER", r->efer &= ~BIT(8)),
		G(BOTH, PROT32, EFER_LMA, FIELD(ctrl.efer), "EFER", r->efer = BIT(10)),
		OK(PROT32, r->efer = BIT(8)),
		G(BOTH, LONG, CR8, FIELD(ctrl.cr8), "CR8", r->cr8 = 16),
		OK(LONG, r->cr8 = 15),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 0),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 5),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 0x207),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 0x27),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 0xe3),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", r->xcr0 = 0x20007),
		G(BOTH, LONG, XCR0, FIELD(ctrl.xcr0), "XCR0", s->xcr0_allowed = 0; r->xcr0 = 3),
		OK(LONG, r->xcr0 = 0x600e7),
		OK(LONG, s->xcr0_allowed = 0; r->xcr0 = 1),
		G(BOTH, LONG, APIC_BASE, FIELD(ctrl.apic_base), "APIC_BASE",
		  r->apic_base |= BIT(9)),
		G(BOTH, LONG, APIC_BASE, FIELD(ctrl.apic_base), "APIC_BASE",
		  r->apic_base |= BIT_ULL(40)),
		G(BOTH, LONG, APIC_BASE, FIELD(ctrl.apic_base), "APIC_BASE",
		  r->apic_base = 0xfee00400),
		OK(LONG, r->apic_base = 0xfee00d00),
		OK(LONG, r->apic_base = 0),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

TEST(flags_and_pointers)
{
	const struct row rows[] = {
		G(BOTH, LONG, DR6_HIGH, FIELD(debug.dr6), "DR6", r->dr6 |= BIT_ULL(32)),
		G(BOTH, LONG, DR7_HIGH, FIELD(debug.dr7), "DR7", r->dr7 |= BIT_ULL(63)),
		G(BOTH, LONG, RFLAGS_RESERVED, FIELD(regs.rflags), "RFLAGS", r->rflags = 0),
		G(BOTH, LONG, RFLAGS_RESERVED, FIELD(regs.rflags), "RFLAGS", r->rflags |= BIT(3)),
		G(BOTH, LONG, RFLAGS_RESERVED, FIELD(regs.rflags), "RFLAGS", r->rflags |= BIT(15)),
		G(BOTH, LONG, RFLAGS_RESERVED, FIELD(regs.rflags), "RFLAGS",
		  r->rflags |= BIT_ULL(22)),
		OK(LONG, r->rflags = 0x3d7fd7),
		G(BOTH, LONG, RFLAGS_VM, FIELD(regs.rflags), "RFLAGS", r->rflags |= BIT(17)),
		G(BOTH, REAL, RFLAGS_VM, FIELD(regs.rflags), "RFLAGS", r->rflags |= BIT(17)),
		G(BOTH, PROT32, RIP_HIGH, FIELD(regs.rip), "RIP", r->rip = BIT_ULL(32)),
		G(BOTH, COMPAT, RIP_HIGH, FIELD(regs.rip), "RIP", r->rip = BIT_ULL(32)),
		OK(LONG, r->rip = BIT_ULL(32)),
		OK(REAL, r->rip = 0xffffffff),
		G(BOTH, LONG, RIP_CANONICAL, FIELD(regs.rip), "RIP", r->rip = BIT_ULL(63)),
		G(VMX, LONG, RIP_CANONICAL, FIELD(regs.rip), "RIP", r->rip = NONCANONICAL),
		G(VMX, LONG, RIP_CANONICAL, FIELD(regs.rip), "RIP", r->rip = BIT_ULL(63);
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 13; e->has_error = true),
		OK(LONG, s->la_bits = 57; r->rip = NONCANONICAL),
		G(BOTH, LONG, TABLE_BASE, FIELD(seg.gdt.base), "GDTR", r->gdt.base = NONCANONICAL),
		G(BOTH, LONG, TABLE_BASE, FIELD(seg.idt.base), "IDTR", r->idt.base = NONCANONICAL),
		G(BOTH, LONG, MSR_CANONICAL, 0, "IA32_LSTAR", r->lstar = NONCANONICAL),
		G(BOTH, LONG, MSR_CANONICAL, 0, "IA32_CSTAR", r->cstar = NONCANONICAL),
		G(BOTH, LONG, MSR_CANONICAL, 0, "KERNEL_GS_BASE", r->kernel_gs_base = NONCANONICAL),
		G(VMX, LONG, MSR_CANONICAL, 0, "SYSENTER_ESP", r->sysenter_esp = NONCANONICAL),
		G(VMX, LONG, MSR_CANONICAL, 0, "SYSENTER_EIP", r->sysenter_eip = NONCANONICAL),
		G(BOTH, LONG, PAT, 0, "IA32_PAT", r->pat = 0x0007040600070402ULL),
		G(BOTH, LONG, PAT, 0, "IA32_PAT", r->pat |= 0x8ULL << 56),
		G(VMX, LONG, DEBUGCTL, 0, "DEBUGCTL", r->debugctl = BIT(3)),
		OK(LONG, r->debugctl = 3),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

TEST(segments)
{
	const struct row rows[] = {
		G(BOTH, LONG, SEG_ATTR, FIELD_SEG(SEG_ES, attr), "ES",
		  r->seg[SEG_ES].attr |= BIT(13)),
		G(BOTH, LONG, SEG_USABLE, FIELD_SEG(SEG_CS, attr), "CS",
		  r->seg[SEG_CS].attr |= SA_UNUSABLE),
		G(BOTH, LONG, SEG_USABLE, FIELD_SEG(SEG_TR, attr), "TR",
		  r->seg[SEG_TR].attr = SA_UNUSABLE),
		OK(LONG, r->seg[SEG_LDTR].attr = SA_UNUSABLE),
		OK(LONG, r->seg[SEG_ES].attr = SA_UNUSABLE),
		OK(LONG, r->seg[SEG_SS].attr = SA_UNUSABLE),
		OK(LONG, r->seg[SEG_DS] = seg(0, ~0ULL, ~0u, SA_UNUSABLE | 0xfff)),
		G(BOTH, PROT32, SEG_PRESENT, FIELD_SEG(SEG_CS, attr), "CS.attr",
		  r->seg[SEG_CS].attr &= ~SA_P),
		G(BOTH, PROT32, SEG_PRESENT, FIELD_SEG(SEG_GS, attr), "GS",
		  r->seg[SEG_GS].attr &= ~SA_P),
		G(BOTH, PROT32, SEG_PRESENT, FIELD_SEG(SEG_TR, attr), "TR",
		  r->seg[SEG_TR].attr &= ~SA_P),
		G(BOTH, PROT32, SEG_PRESENT, FIELD_SEG(SEG_LDTR, attr), "LDTR",
		  r->seg[SEG_LDTR].attr &= ~SA_P),
		G(BOTH, PROT32, SEG_SYSTEM, FIELD_SEG(SEG_SS, attr), "SS",
		  r->seg[SEG_SS].attr &= ~SA_S),
		G(BOTH, PROT32, SEG_SYSTEM, FIELD_SEG(SEG_TR, attr), "TR",
		  r->seg[SEG_TR].attr |= SA_S),
		G(BOTH, PROT32, SEG_SYSTEM, FIELD_SEG(SEG_LDTR, attr), "LDTR",
		  r->seg[SEG_LDTR].attr |= SA_S),
		G(BOTH, PROT32, SEG_TYPE, FIELD_SEG(SEG_LDTR, attr), "LDTR",
		  r->seg[SEG_LDTR].attr ^= 1),
		G(BOTH, PROT32, SEG_TYPE, FIELD_SEG(SEG_TR, attr), "TR", r->seg[SEG_TR].attr ^= 4),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_TR, attr), "TR", r->seg[SEG_TR].attr ^= 2),
		G(VMX, LONG, SEG_TYPE, FIELD_SEG(SEG_TR, attr), "TR", r->seg[SEG_TR].attr ^= 8),
		OK(PROT32, r->seg[SEG_TR].attr ^= 8),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_CS].attr ^= 1),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_CS].attr ^= 10),
		OK(PROT32, r->seg[SEG_CS].attr ^= 8),
		OK(PROT32, r->seg[SEG_CS].attr ^= 4),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_SS, attr), "SS", r->seg[SEG_SS].attr ^= 2),
		OK(PROT32, r->seg[SEG_SS].attr ^= 4),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_DS, attr), "DS", r->seg[SEG_DS].attr ^= 1),
		G(VMX, PROT32, SEG_TYPE, FIELD_SEG(SEG_DS, attr), "DS", r->seg[SEG_DS].attr ^= 10),
		OK(PROT32, r->seg[SEG_DS].attr ^= 8),
		OK(PROT32, r->seg[SEG_DS].attr ^= 2),
		G(VMX, PROT32, SEG_DPL, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_CS].attr |= DPL3),
		G(VMX, PROT32, SEG_DPL, FIELD_SEG(SEG_CS, attr), "CS",
		  r->seg[SEG_CS].attr |= DPL3 | 4),
		OK(PROT32, r->seg[SEG_CS].attr |= 4; r->seg[SEG_SS].attr |= DPL3),
		G(VMX, PROT32, SEG_DPL, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_SS].attr |= DPL3),
		G(BOTH, REAL, SEG_DPL, FIELD_SEG(SEG_SS, attr), "SS", r->seg[SEG_SS].attr |= DPL3),
		G(VMX, PROT16, SEG_DPL, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_CS].attr |= DPL3),
		G(VMX, PROT16, SEG_DPL, FIELD_SEG(SEG_SS, attr), "SS", r->seg[SEG_SS].attr |= DPL3),
		OK(REAL, r->seg[SEG_DS].attr |= DPL3),
		G(BOTH, LONG, SEG_TI, FIELD_SEG(SEG_TR, selector), "TR",
		  r->seg[SEG_TR].selector |= 4),
		G(BOTH, LONG, SEG_TI, FIELD_SEG(SEG_LDTR, selector), "LDTR",
		  r->seg[SEG_LDTR].selector |= 4),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_CS, base), "CS",
		  r->seg[SEG_CS].base = BIT_ULL(32)),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_DS, base), "DS", r->seg[SEG_DS].base = ~0ULL),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_FS, base), "FS",
		  r->seg[SEG_FS].base = NONCANONICAL),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_GS, base), "GS",
		  r->seg[SEG_GS] = seg(0, NONCANONICAL, 0, SA_UNUSABLE)),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_TR, base), "TR",
		  r->seg[SEG_TR].base = NONCANONICAL),
		G(BOTH, LONG, SEG_BASE, FIELD_SEG(SEG_LDTR, base), "LDTR",
		  r->seg[SEG_LDTR].base = NONCANONICAL),
		OK(LONG, r->seg[SEG_LDTR] = seg(4, NONCANONICAL, 0, SA_UNUSABLE)),
		G(VMX, PROT32, SEG_LIMIT, FIELD_SEG(SEG_CS, limit), "CS",
		  r->seg[SEG_CS].limit = 0xffffffee),
		G(VMX, PROT32, SEG_LIMIT, FIELD_SEG(SEG_FS, limit), "FS",
		  r->seg[SEG_FS].attr &= ~SA_G),
		G(VMX, PROT32, SEG_LIMIT, FIELD_SEG(SEG_TR, limit), "TR",
		  r->seg[SEG_TR].limit = BIT(20)),
		G(VMX, PROT32, SEG_LIMIT, FIELD_SEG(SEG_LDTR, limit), "LDTR",
		  r->seg[SEG_LDTR].attr |= SA_G; r->seg[SEG_LDTR].limit = 0),
		OK(PROT32, r->seg[SEG_FS] = seg(0, 0, 0xfffff, DATA)),
		OK(PROT32, r->seg[SEG_FS] = seg(0, 0, 0xfff, DATA | SA_G)),
		G(BOTH, LONG, CS_L_DB, FIELD_SEG(SEG_CS, attr), "CS", r->seg[SEG_CS].attr |= SA_DB),
		OK(PROT32, r->seg[SEG_CS].attr |= SA_L),
		G(BOTH, V86, V86_BASE, FIELD_SEG(SEG_CS, base), "CS", r->seg[SEG_CS].base++),
		G(BOTH, V86, V86_LIMIT, FIELD_SEG(SEG_GS, limit), "GS", r->seg[SEG_GS].limit = ~0u),
		G(BOTH, V86, V86_ATTR, FIELD_SEG(SEG_SS, attr), "SS", r->seg[SEG_SS].attr = 0x93),
		G(VMX, V86, V86_ATTR, FIELD_SEG(SEG_ES, attr), "ES", r->seg[SEG_ES].attr |= SA_DB),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

#define OLD_OK(m, statement)	OLD_ROW(NEITHER, m, NONE, 0, "", statement)
#define OLD_ROW(v, m, c, f, n, statement)				\
	{ #statement, m, v, VMX, HVX_CHECK_##c, HVX_ENTRY_GUEST, f, n,	\
	  CHANGE(s->vmx.control[VMX_PROC2].value &= ~BIT(7); statement) }

TEST(restricted_guest)
{
	const struct row rows[] = {
		OLD_OK(PAE, ;),
		OLD_OK(LONG, ;),
		OLD_ROW(VMX, PROT32, CR0_FIXED, FIELD(ctrl.cr0), "CR0", ;),
		OLD_ROW(VMX, REAL, CR0_FIXED, FIELD(ctrl.cr0), "CR0", ;),
		OLD_ROW(VMX, PAE, SEG_RPL, FIELD_SEG(SEG_SS, selector), "SS",
			r->seg[SEG_SS].selector |= 3),
		OLD_ROW(VMX, PAE, SEG_RPL, FIELD_SEG(SEG_DS, selector), "DS",
			r->seg[SEG_DS].selector |= 3),
		OLD_ROW(VMX, PAE, SEG_TYPE, FIELD_SEG(SEG_CS, attr), "CS",
			r->seg[SEG_CS].attr ^= 8),
		OLD_OK(PAE, r->seg[SEG_DS].selector |= 3; r->seg[SEG_DS].attr |= 12),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

TEST(events)
{
	const struct row rows[] = {
		G(BOTH, LONG, EVENT_TYPE, FIELD(event.type), "event.type", e->type = 9),
		G(BOTH, LONG, EVENT_VECTOR, FIELD(event.vector), "event.vector",
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 2),
		G(BOTH, LONG, EVENT_VECTOR, FIELD(event.vector), "event.vector",
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 32),
		G(VMX, LONG, EVENT_VECTOR, FIELD(event.vector), "event.vector",
		  e->type = HVX_EVENT_NMI; e->vector = 3),
		G(BOTH, LONG, EVENT_ERROR, FIELD(event.vector), "event.vector",
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 13),
		G(BOTH, LONG, EVENT_ERROR, FIELD(event.vector), "event.vector",
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 6; e->has_error = true),
		G(BOTH, LONG, EVENT_ERROR, FIELD(event.error_code), "event.error_code",
		  e->type = HVX_EVENT_EXCEPTION; e->vector = 14; e->has_error = true;
		  e->error = BIT(16)),
		OK(LONG, e->type = HVX_EVENT_EXCEPTION; e->vector = 14; e->has_error = true;
		   e->error = 0xffff),
		OK(REAL, e->type = HVX_EVENT_EXCEPTION; e->vector = 13),
		OK(REAL, e->type = HVX_EVENT_EXCEPTION; e->vector = 13; e->has_error = true),
		OK(LONG, e->type = HVX_EVENT_EXCEPTION; e->vector = 3; e->insn_len = 1),
		G(BOTH, LONG, RFLAGS_IF, FIELD(regs.rflags), "RFLAGS",
		  e->type = HVX_EVENT_INTERRUPT; e->vector = 32),
		OK(LONG, e->type = HVX_EVENT_INTERRUPT; e->vector = 32; r->rflags |= BIT(9)),
		OK(LONG, e->type = HVX_EVENT_NMI; e->vector = 2),
		G(BOTH, LONG, EVENT_LENGTH, FIELD(event.insn_len), "event.insn_len",
		  e->type = HVX_EVENT_SOFT_INT; e->insn_len = 16),
		G(VMX, LONG, EVENT_LENGTH, FIELD(event.insn_len), "event.insn_len",
		  e->type = HVX_EVENT_SOFT_INT),
		OK(LONG, e->type = HVX_EVENT_SOFT_INT; e->insn_len = 2; e->vector = 0x80),
	};
	const struct row more[] = {
		{ "length 0", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(e->type = HVX_EVENT_SOFT_INT; s->vmx.zero_length = true) },
	};

	try_rows(rows, ARRAY_SIZE(rows));
	try_rows(more, ARRAY_SIZE(more));
}

TEST(shadow)
{
	const struct row rows[] = {
		G(VMX, LONG, SHADOW, FIELD(event.shadow), "shadow",
		  r->rflags |= BIT(9); r->shadow = SHADOW_STI | SHADOW_MOV_SS),
		G(VMX, LONG, SHADOW_IF, FIELD(event.shadow), "shadow", r->shadow = SHADOW_STI),
		OK(LONG, r->rflags |= BIT(9); r->shadow = SHADOW_STI),
		OK(LONG, r->shadow = SHADOW_MOV_SS),
		G(VMX, LONG, SHADOW_EVENT, FIELD(event.shadow), "shadow",
		  r->rflags |= BIT(9); r->shadow = SHADOW_STI;
		  e->type = HVX_EVENT_INTERRUPT; e->vector = 32),
		G(VMX, LONG, SHADOW_EVENT, FIELD(event.shadow), "shadow",
		  r->shadow = SHADOW_MOV_SS; e->type = HVX_EVENT_NMI; e->vector = 2),
		OK(LONG, r->rflags |= BIT(9); r->shadow = SHADOW_STI;
		   e->type = HVX_EVENT_NMI; e->vector = 2),
		G(VMX, LONG, NMI_MASKED, FIELD(event.nmi_masked), "nmi_masked",
		  r->shadow = SHADOW_NMI; e->type = HVX_EVENT_NMI; e->vector = 2),
		OK(LONG, r->shadow = SHADOW_NMI),
	};

	try_rows(rows, ARRAY_SIZE(rows));
}

#define X	(s->vmx)
#define H	(s->vmx.host)

TEST(vmx_state)
{
	const struct row rows[] = {
		{ "CR4 fixed to 1", LONG, VMX, VMX, HVX_CHECK_CR4_FIXED, HVX_ENTRY_GUEST,
		  FIELD(ctrl.cr4), "CR4", CHANGE(X.cr4_fixed0 |= BIT(0); H.cr4 |= BIT(0)) },
		{ "CR4 fixed to 0", LONG, VMX, VMX, HVX_CHECK_CR4_FIXED, HVX_ENTRY_GUEST,
		  FIELD(ctrl.cr4), "CR4",
		  CHANGE(r->cr4 |= BIT(16); X.cr4_fixed1 &= ~BIT(16); H.cr4 &= ~BIT(16)) },
		ON(VMX, GUEST, ACTIVITY, "activity", X.activity = 4),
		ON(VMX, GUEST, ACTIVITY, "activity",
		   X.activity = 1; r->seg[SEG_SS].attr |= DPL3; r->seg[SEG_CS].attr |= DPL3),
		ON(VMX, GUEST, ACTIVITY, "activity", X.activity = 1; r->shadow = SHADOW_MOV_SS),
		ON(VMX, GUEST, PENDING_DEBUG, "pending", X.pending_debug = BIT(13)),
		ON(VMX, GUEST, PENDING_DEBUG, "pending",
		   r->shadow = SHADOW_MOV_SS; r->rflags |= BIT(8)),
		ON(VMX, GUEST, PENDING_DEBUG, "pending",
		   r->shadow = SHADOW_MOV_SS; X.pending_debug = BIT(14)),
		ON(VMX, GUEST, LINK_POINTER, "link pointer", X.link_pointer = 0),
	};
	const struct row more[] = {
		{ "PDPTE", PAE, VMX, VMX, HVX_CHECK_PDPTE, HVX_ENTRY_GUEST, 0, "PDPTE2",
		  CHANGE(r->pdpte[2] = 3) },
		{ "PDPTE", PAE, VMX, VMX, HVX_CHECK_PDPTE, HVX_ENTRY_GUEST, 0, "PDPTE0",
		  CHANGE(r->pdpte[0] = BIT_ULL(40) | 1) },
		{ "PDPTE", PAE, NEITHER, BOTH, 0, 0, 0, "",
		  CHANGE(r->pdpte[0] = 0x2001; r->pdpte[1] = ~1ULL) },
		{ "single step in a shadow", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(r->shadow = SHADOW_MOV_SS; r->rflags |= BIT(8);
			 X.pending_debug = BIT(14)) },
		{ "halted", LONG, NEITHER, VMX, 0, 0, 0, "", CHANGE(X.activity = 1) },
	};

	try_rows(rows, ARRAY_SIZE(rows));
	try_rows(more, ARRAY_SIZE(more));
}

TEST(vmx_controls)
{
	const struct row rows[] = {
		ON(VMX, CONTROLS, CTL_RESERVED, "pin-based", X.control[VMX_PIN].must |= BIT(8)),
		ON(VMX, CONTROLS, CTL_RESERVED, "processor-based",
		   X.control[VMX_PROC].may &= ~BIT(28)),
		ON(VMX, CONTROLS, CTL_RESERVED, "secondary", X.control[VMX_PROC2].may = 0),
		ON(VMX, CONTROLS, CTL_RESERVED, "VM-exit", X.control[VMX_EXIT].must = BIT(0)),
		ON(VMX, CONTROLS, CTL_RESERVED, "VM-exit", X.control[VMX_EXIT].value &= ~BIT(9)),
		ON(VMX, CONTROLS, CTL_RESERVED, "VM-entry", X.control[VMX_ENTRY].value |= BIT(10)),
		ON(VMX, CONTROLS, CTL_RESERVED, "VM-entry", X.control[VMX_ENTRY].value |= BIT(9)),
		ON(VMX, CONTROLS, CTL_NMI, "pin-based", X.control[VMX_PIN].value &= ~BIT(3)),
		ON(VMX, CONTROLS, CTL_NMI, "processor-based",
		   X.control[VMX_PIN].value &= ~BIT(5); X.control[VMX_PROC].value |= BIT(22)),
		ON(VMX, CONTROLS, CTL_TIMER, "VM-exit", X.control[VMX_PIN].value &= ~BIT(6)),
		ON(VMX, CONTROLS, CTL_ADDRESS, "I/O bitmap A", X.io_bitmap[0] = 1),
		ON(VMX, CONTROLS, CTL_ADDRESS, "I/O bitmap B", X.io_bitmap[1] = BIT_ULL(40)),
		ON(VMX, CONTROLS, CTL_ADDRESS, "MSR bitmap", X.msr_bitmap = 0x800),
		ON(VMX, CONTROLS, CTL_EPT, "EPT pointer", X.eptp = 0),
		ON(VMX, CONTROLS, CTL_EPT, "EPT pointer", X.eptp |= BIT_ULL(40)),
		ON(VMX, CONTROLS, CTL_EPT, "EPT pointer", X.eptp ^= 7),
		ON(VMX, CONTROLS, CTL_ADDRESS, "virtual-APIC page", X.virtual_apic = 8;
		   X.control[VMX_PROC].value |= BIT(21)),
		ON(VMX, CONTROLS, CTL_RESERVED, "secondary", X.control[VMX_PROC2].value |= BIT(4)),
		ON(VMX, CONTROLS, CTL_RESERVED, "secondary", X.control[VMX_PROC2].value |= BIT(8)),
		ON(VMX, CONTROLS, CTL_RESERVED, "secondary", X.control[VMX_PROC2].value |= BIT(9)),
		ON(VMX, CONTROLS, CTL_RESERVED, "pin-based", X.virtual_apic = ADDR(9);
		   X.control[VMX_PROC].value |= BIT(21); X.control[VMX_PROC2].value |= BIT(9);
		   X.control[VMX_PIN].value &= ~BIT(0); X.control[VMX_PIN].must = 0),
		ON(VMX, CONTROLS, CTL_RESERVED, "secondary", X.virtual_apic = ADDR(9);
		   X.apic_access = ADDR(10); X.control[VMX_PROC].value |= BIT(21);
		   X.control[VMX_PROC2].value |= BIT(0) | BIT(4)),
		ON(VMX, CONTROLS, CTL_ADDRESS, "APIC-access page", X.apic_access = BIT_ULL(40);
		   X.control[VMX_PROC2].value |= BIT(0)),
		ON(VMX, CONTROLS, CTL_EPT, "secondary", X.control[VMX_PROC2].value &= ~BIT(1)),
		ON(VMX, CONTROLS, CTL_VPID, "VPID", X.vpid = 0),
		ON(VMX, HOST, HOST_CR0, "host CR0", H.cr0 &= ~BIT(0)),
		ON(VMX, HOST, HOST_CR0, "host CR0", H.cr0 |= BIT_ULL(32)),
		ON(VMX, HOST, HOST_CR3, "host CR3", H.cr3 |= BIT_ULL(63)),
		ON(VMX, HOST, HOST_CR4, "host CR4", H.cr4 &= ~BIT(13)),
		ON(VMX, HOST, HOST_CR4, "host CR4", H.cr4 &= ~BIT(5)),
		ON(VMX, HOST, HOST_EFER, "host EFER", H.efer &= ~BIT(10)),
		ON(VMX, HOST, HOST_PAT, "host IA32_PAT", H.pat = 2),
		ON(VMX, HOST, HOST_SELECTOR, "host DS", H.selector[HOST_DS] = 3),
		ON(VMX, HOST, HOST_SELECTOR, "host TR", H.selector[HOST_TR] = 0),
		ON(VMX, HOST, HOST_SELECTOR, "host CS", H.selector[HOST_CS] = 0),
		ON(VMX, HOST, HOST_ADDRESS, "host RIP", H.address[HOST_RIP] = NONCANONICAL),
		ON(VMX, HOST, HOST_ADDRESS, "host FS.base", H.address[HOST_FS_BASE] = BIT_ULL(63)),
	};
	const struct row more[] = {
		{ "no window yet", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(X.host_known = false; H.cr0 = 0) },
		{ "no PAT", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(H.pat = 2; X.control[VMX_EXIT].value &= ~BIT(19)) },
		{ "no VPID", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(X.vpid = 0; X.control[VMX_PROC2].value &= ~BIT(5)) },
		{ "no secondary controls", LONG, NEITHER, VMX, 0, 0, 0, "",
		  CHANGE(X.control[VMX_PROC].value &= ~BIT(31); X.control[VMX_PROC2].may = 0;
			 X.vpid = 0; X.eptp = 0) },
	};

	try_rows(rows, ARRAY_SIZE(rows));
	try_rows(more, ARRAY_SIZE(more));
}

TEST(svm_controls)
{
	const struct row rows[] = {
		ON(SVM, CONTROLS, CTL_VMRUN, "VMRUN", s->svm.vmrun_intercept = false),
		ON(SVM, CONTROLS, CTL_ASID, "ASID", s->svm.asid = 0),
		ON(SVM, CONTROLS, CTL_ASID, "ASID", s->svm.asid = 16),
		ON(SVM, CONTROLS, CTL_ADDRESS, "MSRPM", s->svm.msrpm = BIT_ULL(40) - 0x1000),
		ON(SVM, CONTROLS, CTL_ADDRESS, "IOPM", s->svm.iopm = BIT_ULL(40) - 0x2000),
		ON(SVM, CONTROLS, CTL_ADDRESS, "N_CR3", s->svm.ncr3 = BIT_ULL(40)),
		ON(SVM, CONTROLS, CTL_SVME, "EFER", s->svm.efer &= ~BIT(12)),
	};
	const struct row more[] = {
		{ "last pages", LONG, NEITHER, SVM, 0, 0, 0, "",
		  CHANGE(s->svm.msrpm = BIT_ULL(40) - 0x2000; s->svm.iopm = BIT_ULL(40) - 0x3000) },
		{ "no NPT", LONG, NEITHER, SVM, 0, 0, 0, "",
		  CHANGE(s->svm.npt = false; s->svm.ncr3 = ~0ULL) },
	};

	try_rows(rows, ARRAY_SIZE(rows));
	try_rows(more, ARRAY_SIZE(more));
}

TEST(sentences)
{
	struct hvx_entry_failure f = { };
	char text[176], small[20];

	hvx_entry_sentence(text, sizeof(text), &f, false, 0x80000021, 3);
	EXPECT(strstr(text, "0x80000021") && strstr(text, "0x3"), "'%s'", text);
	EXPECT(strlen(text) < sizeof(text) - 1, "'%s'", text);
	f = (struct hvx_entry_failure){ .name = "CS.attr", .rule = "it must be", .value = 0x77 };
	hvx_entry_sentence(text, sizeof(text), &f, true, 0, 0);
	EXPECT(!strcmp(text, "hvx did not enter the guest: CS.attr is 0x77, but it must be"),
	       "'%s'", text);
	memset(small, 'x', sizeof(small));
	hvx_entry_sentence(small, sizeof(small), &f, true, 0, 0);
	EXPECT_EQ(small[sizeof(small) - 1], 0);
}
