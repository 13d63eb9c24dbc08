// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC of a vCPU: its registers.
 *
 *   hvx_lapic_mmio()		accesses in xAPIC mode, by address
 *   hvx_lapic_msr_get(), _set()	in x2APIC mode, by MSR; reserved bits and registers: #GP
 *   hvx_lapic_set_base()	IA32_APIC_BASE: modes
 *   hvx_lapic_ack(), _eoi()	the life of an interrupt
 *   hvx_lapic_written(), _ended()	what is left to do where the processor uses the registers
 *   hvx_lapic_reset()		after RESET and INIT
 *   hvx_lapic_get_state()	for the state image
 *
 * The timer is in apic_timer.c, messages between local APICs are in ipi.c.
 */
#include <asm/tsc.h>
#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include "compat.h"
#include "cpu/cpuid.h"
#include "lapic.h"

#define SVR_RESET	0xffu
#define DFR_RESET	0xffffffffu

/* LVT entries by (offset - APIC_REG_LVT_TIMER) / 16: what can be written */
static const u32 lvt_known[APIC_NR_LVT] = {
	LVT_VECTOR | LVT_MASKED | LVT_PERIODIC | LVT_DEADLINE,
	LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
	LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
	LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	LVT_VECTOR | LVT_MASKED,
};

static bool is_lvt(unsigned int reg)
{
	return reg >= APIC_REG_LVT_TIMER && reg <= APIC_REG_LVT_ERROR;
}

static bool has_deadline(const struct hvx_vcpu *vcpu)
{
	return tsc_khz && hvx_cpuid_has(vcpu, 1, CPUID_ECX, 24);
}

static bool has_directed_eoi(const struct hvx_vcpu *vcpu)
{
	/* The I/O APIC in the kernel takes EOIs by broadcast alone */
	return !(vcpu->vm->flags & HVX_VM_IOAPIC);
}

/* Bits of a register that a guest may write; all else is reserved */
static u32 writable(const struct hvx_vcpu *vcpu, unsigned int reg)
{
	u32 known;

	switch (reg) {
	case APIC_REG_TPR:
		return 0xff;
	case APIC_REG_LDR:
		return 0xff000000;
	case APIC_REG_DFR:
		return 0xf0000000;
	case APIC_REG_SVR:
		known = 0xff | SVR_ENABLE | SVR_FOCUS;
		return known | (has_directed_eoi(vcpu) ? SVR_DIRECTED : 0);
	case APIC_REG_ICR:
		return ICR_KNOWN;
	case APIC_REG_ICR2:
		return 0xff000000;
	case APIC_REG_TMICT:
		return ~0u;
	case APIC_REG_TDCR:
		return 0xb;
	case APIC_REG_SELF_IPI:
		return 0xff;
	}
	if (!is_lvt(reg))
		return 0;
	known = lvt_known[array_index_nospec((reg - APIC_REG_LVT_TIMER) >> 4,
					     ARRAY_SIZE(lvt_known))];
	if (reg == APIC_REG_LVT_TIMER && !has_deadline(vcpu))
		known &= ~LVT_DEADLINE;
	return known;
}

/* ------------------------------------------------------------ state and modes */

/* ID and LDR have another format in each mode */
static void put_identity(struct hvx_vcpu *vcpu)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	bool x2apic = apic_x2apic(vcpu);

	apic_put(regs, APIC_REG_ID, x2apic ? vcpu->id : vcpu->id << 24);
	apic_put(regs, APIC_REG_LDR, x2apic ? apic_x2_ldr(vcpu->id) : 0);
}

/*
 * A virtual machine that boots a kernel without firmware finds the PIC connected to the first vCPU,
 * as firmware leaves it: "virtual wire mode" of the MultiProcessor Specification.
 */
static u32 lint0_reset(const struct hvx_vcpu *vcpu)
{
	if (vcpu->vm->flags & HVX_VM_PIC && vcpu->regs.apic_base & APIC_BASE_BSP)
		return HVX_DM_EXTINT << LVT_DELIVERY_SHIFT;
	return LVT_MASKED;
}

/* "Local APIC State After Power-Up or Reset", "... After It Receives an INIT Reset" */
void hvx_lapic_reset(struct hvx_vcpu *vcpu)
{
	struct hvx_lapic *apic = vcpu->lapic;
	struct hvx_apic_regs *regs = apic->regs;
	unsigned int reg;

	hvx_timer_stop(apic);
	for (reg = 0; reg < APIC_REGS_END; reg += 0x10)
		apic_put(regs, reg, 0);
	apic_put(regs, APIC_REG_VERSION,
		 APIC_VERSION | (has_directed_eoi(vcpu) ? APIC_VERSION_DIRECTED : 0));
	apic_put(regs, APIC_REG_DFR, DFR_RESET);
	apic_put(regs, APIC_REG_SVR, SVR_RESET);
	for (reg = APIC_REG_LVT_TIMER; reg <= APIC_REG_LVT_ERROR; reg += 0x10)
		apic_put(regs, reg, LVT_MASKED);
	apic_put(regs, APIC_REG_LVT_LINT0, lint0_reset(vcpu));
	put_identity(vcpu);
	hvx_timer_note(apic);
	apic_drop_posted(&apic->posted);
	xchg(&apic->errors, 0);
	atomic_andnot(APIC_MSG_NMI | APIC_MSG_UNHALT, &apic->messages);
	vcpu->regs.cr8 = 0;
	hvx_request(vcpu, HVX_REQ_EVENT);
}

/* "x2APIC State Transitions": EXTD is set and cleared only on certain ways */
bool hvx_lapic_base_valid(const struct hvx_vcpu *vcpu, u64 value, bool host)
{
	u64 old = vcpu->regs.apic_base;

	if (value & ~(APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_EN | APIC_BASE_ADDRESS))
		return false;
	if (value & APIC_BASE_EXTD && !(value & APIC_BASE_EN))
		return false;
	if (host)
		return true;
	if (value & APIC_BASE_EXTD)
		return old & APIC_BASE_EN && hvx_cpuid_has(vcpu, 1, CPUID_ECX, 21);
	return !(old & APIC_BASE_EXTD) || !(value & APIC_BASE_EN);
}

void hvx_lapic_set_base(struct hvx_vcpu *vcpu, u64 value)
{
	u64 changed = vcpu->regs.apic_base ^ value;

	WRITE_ONCE(vcpu->regs.apic_base, value);
	if (changed & APIC_BASE_EN)
		hvx_lapic_reset(vcpu);
	else if (changed & APIC_BASE_EXTD)
		put_identity(vcpu);
	if (changed & (APIC_BASE_EN | APIC_BASE_EXTD))
		hvx_request(vcpu, HVX_REQ_PINS);
	hvx_request(vcpu, HVX_REQ_EVENT);
	if (changed && vcpu->vm->mmu.apic_page)
		hvx_request(vcpu, HVX_REQ_APIC_PAGE);
}

/* ------------------------------------------------------------------ interrupts */

bool hvx_lapic_takes_extint(const struct hvx_vcpu *vcpu)
{
	u32 lvt;

	/* With the local APIC switched off, LINT0 is the processor's INTR pin */
	if (!apic_hw_enabled(vcpu))
		return READ_ONCE(vcpu->regs.apic_base) & APIC_BASE_BSP;
	lvt = apic_get(vcpu->lapic->regs, APIC_REG_LVT_LINT0);
	return (lvt & (LVT_MASKED | LVT_DELIVERY)) ==
	       HVX_DM_EXTINT << LVT_DELIVERY_SHIFT;
}

bool hvx_lapic_has_extint(const struct hvx_vcpu *vcpu)
{
	return vcpu->vm->flags & HVX_VM_PIC && hvx_lapic_takes_extint(vcpu) &&
	       hvx_pic_pending(vcpu->vm);
}

bool hvx_lapic_has_irq(struct hvx_vcpu *vcpu)
{
	hvx_lapic_take_posted(vcpu);
	if (apic_hw_enabled(vcpu) && apic_deliverable(vcpu->lapic->regs) >= 0)
		return true;
	return hvx_lapic_has_extint(vcpu);
}

int hvx_lapic_ack(struct hvx_vcpu *vcpu)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	int vector;

	if (hvx_lapic_has_extint(vcpu)) {
		vector = hvx_pic_ack(vcpu->vm);
		if (vector >= 0)
			return vector;
	}
	if (!apic_hw_enabled(vcpu))
		return -1;
	vector = apic_deliverable(regs);
	if (vector >= 0)
		apic_take(regs, vector);
	return vector;
}

/* An I/O APIC asks to be told of the end of what it sent as level-triggered */
static void end_level(struct hvx_vcpu *vcpu, u8 vector)
{
	if (vcpu->vm->flags & HVX_VM_IOAPIC) {
		hvx_irq_eoi(vcpu, vector);
		return;
	}
	if (apic_get(vcpu->lapic->regs, APIC_REG_SVR) & SVR_DIRECTED)
		return;
	__set_bit(vector, vcpu->eoi_vectors);
	hvx_request(vcpu, HVX_REQ_EOI);
}

void hvx_lapic_eoi(struct hvx_vcpu *vcpu)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	int vector;

	/* The answer of an end that needed no exit waits: it came before this one */
	if (unlikely(vcpu->pv.eoi_set)) {
		vcpu->pv.eoi_set = false;
		hvx_lapic_eoi(vcpu);
	}
	vector = apic_end(regs);

	if (vector < 0)
		return;
	if (unlikely(apic_test(regs, APIC_REG_TMR, vector)))
		end_level(vcpu, vector);
	/* The processor does not know yet that ISR has changed */
	if (!apic_idle(regs) || apic_virtual(vcpu))
		hvx_request(vcpu, HVX_REQ_EVENT);
}

void hvx_lapic_ended(struct hvx_vcpu *vcpu, u8 vector)
{
	if (apic_test(vcpu->lapic->regs, APIC_REG_TMR, vector))
		end_level(vcpu, vector);
}

static void put_tpr(struct hvx_vcpu *vcpu, u32 tpr)
{
	apic_put(vcpu->lapic->regs, APIC_REG_TPR, tpr);
	vcpu->regs.cr8 = tpr >> 4;
}

static void set_tpr(struct hvx_vcpu *vcpu, u32 tpr)
{
	put_tpr(vcpu, tpr);
	if (!apic_idle(vcpu->lapic->regs))
		hvx_request(vcpu, HVX_REQ_EVENT);
}

void hvx_lapic_set_cr8(struct hvx_vcpu *vcpu, u64 cr8)
{
	if (apic_get(vcpu->lapic->regs, APIC_REG_TPR) >> 4 != cr8)
		set_tpr(vcpu, cr8 << 4);
}

/* ------------------------------------------------------------------- registers */

static void set_svr(struct hvx_vcpu *vcpu, u32 value)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	unsigned int reg;

	apic_put(regs, APIC_REG_SVR, value);
	if (value & SVR_ENABLE) {
		hvx_request(vcpu, HVX_REQ_PINS);
		return;
	}
	for (reg = APIC_REG_LVT_TIMER; reg <= APIC_REG_LVT_ERROR; reg += 0x10)
		apic_put(regs, reg, apic_get(regs, reg) | LVT_MASKED);
	hvx_timer_note(vcpu->lapic);
}

static void set_lvt(struct hvx_vcpu *vcpu, unsigned int reg, u32 value)
{
	struct hvx_lapic *apic = vcpu->lapic;

	if (!apic_sw_enabled(apic))
		value |= LVT_MASKED;
	if (reg == APIC_REG_LVT_TIMER)
		hvx_timer_set_lvt(apic, value);
	else
		apic_put(apic->regs, reg, value);
	/* LINT0 may lead to a PIC that waits */
	if (reg == APIC_REG_LVT_LINT0)
		hvx_request(vcpu, HVX_REQ_EVENT);
}

static void send_ipi(struct hvx_vcpu *vcpu, u32 low, u32 high)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;

	apic_put(regs, APIC_REG_ICR, low);
	apic_put(regs, APIC_REG_ICR2, high);
	hvx_lapic_send(vcpu, low, apic_x2apic(vcpu) ? high : high >> 24);
}

/* @value has writable bits alone. False: there is no such register to write to. */
static bool write_reg(struct hvx_vcpu *vcpu, unsigned int reg, u32 value)
{
	struct hvx_lapic *apic = vcpu->lapic;

	switch (reg) {
	case APIC_REG_ID:	/* fixed, as in processors since Nehalem and Zen */
		return true;
	case APIC_REG_TPR:
		set_tpr(vcpu, value);
		return true;
	case APIC_REG_EOI:
		hvx_lapic_eoi(vcpu);
		return true;
	case APIC_REG_LDR:
		apic_put(apic->regs, reg, value);
		hvx_request(vcpu, HVX_REQ_PINS);
		return true;
	case APIC_REG_DFR:
		apic_put(apic->regs, reg, value | 0x0fffffff);
		hvx_request(vcpu, HVX_REQ_PINS);
		return true;
	case APIC_REG_SVR:
		set_svr(vcpu, value);
		return true;
	case APIC_REG_ESR:
		apic_put(apic->regs, reg, xchg(&apic->errors, 0));
		return true;
	case APIC_REG_ICR:
		send_ipi(vcpu, value, apic_get(apic->regs, APIC_REG_ICR2));
		return true;
	case APIC_REG_ICR2:
		apic_put(apic->regs, reg, value);
		return true;
	case APIC_REG_TMICT:
		hvx_timer_set_count(apic, value);
		return true;
	case APIC_REG_TDCR:
		hvx_timer_set_divide(apic, value);
		return true;
	}
	if (!is_lvt(reg))
		return false;
	set_lvt(vcpu, reg, value);
	return true;
}

static bool readable(unsigned int reg)
{
	switch (reg) {
	case APIC_REG_ID:
	case APIC_REG_VERSION:
	case APIC_REG_TPR:
	case APIC_REG_PPR:
	case APIC_REG_LDR:
	case APIC_REG_SVR:
	case APIC_REG_ISR ... APIC_REG_ISR + 0x70:
	case APIC_REG_TMR ... APIC_REG_TMR + 0x70:
	case APIC_REG_IRR ... APIC_REG_IRR + 0x70:
	case APIC_REG_ESR:
	case APIC_REG_ICR:
	case APIC_REG_LVT_TIMER ... APIC_REG_LVT_ERROR:
	case APIC_REG_TMICT:
	case APIC_REG_TMCCT:
	case APIC_REG_TDCR:
		return true;
	}
	return false;
}

static u32 read_reg(struct hvx_vcpu *vcpu, unsigned int reg)
{
	struct hvx_lapic *apic = vcpu->lapic;

	switch (reg) {
	case APIC_REG_PPR:
		return apic_ppr(apic->regs);
	case APIC_REG_TMCCT:
		return hvx_timer_count(apic);
	}
	return apic_get(apic->regs, reg);
}

/* --------------------------------------------------------------- xAPIC mode */

/* Registers that xAPIC mode has besides; reserved ones read as 0 and set an error */
static bool readable_mmio(unsigned int reg)
{
	return readable(reg) || reg == APIC_REG_DFR || reg == APIC_REG_ICR2 ||
	       reg == APIC_REG_APR || reg == APIC_REG_RRD || reg == APIC_REG_EOI;
}

static void mmio_read(struct hvx_vcpu *vcpu, unsigned int offset, u32 len, void *data)
{
	unsigned int reg = offset & ~0xfu;
	u32 value = 0;

	memset(data, 0, len);
	/* "Local APIC Register Address Map": 32 bits of each 16 bytes */
	if ((offset & 0xf) >= sizeof(value))
		return;
	if (readable_mmio(reg))
		value = read_reg(vcpu, reg);
	else
		hvx_lapic_error(vcpu->lapic, ESR_REGISTER);
	value >>= 8 * (offset & 3);
	memcpy(data, &value, min_t(u32, len, sizeof(value)));
}

static void mmio_write(struct hvx_vcpu *vcpu, unsigned int reg, u32 len, const void *data)
{
	u32 value, known;

	/* Other widths and places are undefined */
	if (reg & 0xf || len != sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	known = writable(vcpu, reg);
	/* A timer mode that does not exist: the write is lost */
	if (reg == APIC_REG_LVT_TIMER &&
	    !(~value & (LVT_PERIODIC | LVT_DEADLINE)))
		return;
	if (reg == APIC_REG_SELF_IPI || !write_reg(vcpu, reg, value & known))
		hvx_lapic_error(vcpu->lapic, ESR_REGISTER);
}

bool hvx_lapic_mmio(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, void *data)
{
	u64 offset = gpa - (vcpu->regs.apic_base & APIC_BASE_ADDRESS);

	if (!hvx_lapic_covers(vcpu, gpa))
		return false;
	if (write)
		mmio_write(vcpu, offset, len, data);
	else
		mmio_read(vcpu, offset, len, data);
	return true;
}

/*
 * Judge the value as any write. What is there already must not look as if it had been there before:
 * the ID cannot be changed, and what a write to the timer does depends on the registers in force.
 */
void hvx_lapic_written(struct hvx_vcpu *vcpu, unsigned int offset)
{
	struct hvx_lapic *apic = vcpu->lapic;
	unsigned int reg = offset & 0xff0;
	u32 value;

	if (reg >= APIC_REGS_END || apic_x2apic(vcpu)) {
		/* SELF IPI, the one write of x2APIC mode that ends so, with a vector below 16 */
		hvx_lapic_error(apic, ESR_SEND_VECTOR);
		return;
	}
	value = apic_get(apic->regs, reg);
	apic_put(apic->regs, APIC_REG_ID, vcpu->id << 24);
	hvx_timer_put_back(apic);
	mmio_write(vcpu, reg, sizeof(value), &value);
}

/* ------------------------------------------------------------------------ MSRs */

static unsigned int x2apic_reg(u32 index)
{
	return (index - MSR_X2APIC_FIRST) << 4;
}

bool hvx_lapic_msr_get(struct hvx_vcpu *vcpu, u32 index, u64 *value)
{
	struct hvx_lapic *apic = vcpu->lapic;
	unsigned int reg = x2apic_reg(index);

	if (index == MSR_IA32_TSC_DEADLINE) {
		*value = READ_ONCE(apic->tsc_deadline);
		return has_deadline(vcpu);
	}
	if (!apic_x2apic(vcpu) || !readable(reg))
		return false;
	*value = read_reg(vcpu, reg);
	if (reg == APIC_REG_ICR)
		*value |= (u64)apic_get(apic->regs, APIC_REG_ICR2) << 32;
	return true;
}

/* "x2APIC Register Address Space": which MSRs can be written */
static bool x2apic_writable(unsigned int reg)
{
	switch (reg) {
	case APIC_REG_TPR:
	case APIC_REG_EOI:
	case APIC_REG_SVR:
	case APIC_REG_ESR:
	case APIC_REG_ICR:
	case APIC_REG_LVT_TIMER ... APIC_REG_LVT_ERROR:
	case APIC_REG_TMICT:
	case APIC_REG_TDCR:
	case APIC_REG_SELF_IPI:
		return true;
	}
	return false;
}

/* Bits that are there to be read alone: systems write back what they read, or nearly so */
static u32 read_only(unsigned int reg)
{
	if (!is_lvt(reg))
		return 0;
	return LVT_PENDING | (reg == APIC_REG_LVT_LINT0 || reg == APIC_REG_LVT_LINT1 ?
			      LVT_REMOTE_IRR : 0);
}

static bool x2apic_set(struct hvx_vcpu *vcpu, unsigned int reg, u64 value)
{
	u32 low = value & ~read_only(reg);

	if (!x2apic_writable(reg) || low & ~writable(vcpu, reg))
		return false;
	if (reg == APIC_REG_ICR) {
		send_ipi(vcpu, low, value >> 32);
		return true;
	}
	if (value >> 32)
		return false;
	if (reg == APIC_REG_LVT_TIMER && !(~low & (LVT_PERIODIC | LVT_DEADLINE)))
		return false;
	if (reg == APIC_REG_SELF_IPI) {
		hvx_lapic_send(vcpu, low | 1 << ICR_SHORTHAND_SHIFT, 0);
		return true;
	}
	return write_reg(vcpu, reg, low);
}

bool hvx_lapic_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value)
{
	if (index == MSR_IA32_TSC_DEADLINE) {
		if (!has_deadline(vcpu))
			return false;
		hvx_timer_set_deadline(vcpu->lapic, value);
		return true;
	}
	return apic_x2apic(vcpu) && x2apic_set(vcpu, x2apic_reg(index), value);
}

/* Nothing waits for the end of the interrupt, neither another one nor an I/O APIC */
static bool fast_eoi(struct hvx_vcpu *vcpu, u64 value)
{
	struct hvx_apic_regs *regs = vcpu->lapic->regs;
	int vector = apic_highest(regs, APIC_REG_ISR);

	if (value || !apic_idle(regs) || apic_virtual(vcpu))
		return false;
	if (vector < 0)
		return true;
	if (apic_test(regs, APIC_REG_TMR, vector))
		return false;
	apic_end_vector(regs, vector);
	return true;
}

static bool fast_tpr(struct hvx_vcpu *vcpu, u64 value)
{
	if (value > 0xff || !apic_idle(vcpu->lapic->regs))
		return false;
	put_tpr(vcpu, value);
	return true;
}

/* A fixed interrupt that is not for the sender */
static bool fast_icr(struct hvx_vcpu *vcpu, u64 value)
{
	u32 low = value, dest = value >> 32;

	if (low & ~(0xffu | ICR_ASSERT | ICR_LOGICAL) || (u8)low < 16 || dest == ~0u)
		return false;
	if (low & ICR_LOGICAL ? apic_match_logical(vcpu->lapic->regs, true, dest) :
				dest == vcpu->id)
		return false;
	send_ipi(vcpu, low, dest);
	return true;
}

bool hvx_lapic_fast_write(struct hvx_vcpu *vcpu, u32 index, u64 value)
{
	if (index == MSR_IA32_TSC_DEADLINE)
		return hvx_timer_arm_deadline(vcpu->lapic, value);
	if (!apic_x2apic(vcpu))
		return false;
	switch (index) {
	case MSR_X2APIC_FIRST + (APIC_REG_EOI >> 4):
		return fast_eoi(vcpu, value);
	case MSR_X2APIC_FIRST + (APIC_REG_TPR >> 4):
		return fast_tpr(vcpu, value);
	case MSR_X2APIC_FIRST + (APIC_REG_ICR >> 4):
		return fast_icr(vcpu, value);
	}
	return false;
}

/* ----------------------------------------------------------------- state image */

/* Registers of the image that are not derived from others, with the bits that they can have */
static u32 image_bits(const struct hvx_vcpu *vcpu, unsigned int reg)
{
	switch (reg) {
	case APIC_REG_DFR:
		return ~0u;
	case APIC_REG_ESR:
		return 0xff;
	case APIC_REG_ICR2:
		return ~0u;		/* as x2APIC mode has it */
	case APIC_REG_ISR:
	case APIC_REG_TMR:
	case APIC_REG_IRR:
		return 0xffff0000;	/* vectors 0 .. 15 are exceptions */
	case APIC_REG_ISR + 0x10 ... APIC_REG_ISR + 0x70:
	case APIC_REG_TMR + 0x10 ... APIC_REG_TMR + 0x70:
	case APIC_REG_IRR + 0x10 ... APIC_REG_IRR + 0x70:
		return ~0u;
	case APIC_REG_SELF_IPI:
	case APIC_REG_LDR:
		return 0;
	}
	return writable(vcpu, reg);
}

static bool is_derived(unsigned int reg)
{
	return reg == APIC_REG_ID || reg == APIC_REG_VERSION || reg == APIC_REG_PPR ||
	       reg == APIC_REG_LDR || reg == APIC_REG_TMCCT;
}

void hvx_lapic_get_state(struct hvx_vcpu *vcpu, struct hvx_lapic_state *state)
{
	struct hvx_lapic *apic = vcpu->lapic;
	unsigned int reg;

	memset(state, 0, sizeof(*state));
	hvx_lapic_take_posted(vcpu);
	/* No register: the processor may leave there what a guest sent to itself */
	apic_put(apic->regs, APIC_REG_SELF_IPI, 0);
	for (reg = 0; reg < APIC_REGS_END; reg += 0x10)
		state->regs[reg / sizeof(u32)] = read_reg(vcpu, reg);
	state->timer_remaining_ns = hvx_timer_remaining(apic);
	state->tsc_deadline = READ_ONCE(apic->tsc_deadline);
	state->unhalt = !!(atomic_read(&apic->messages) & APIC_MSG_UNHALT);
}

bool hvx_lapic_state_valid(const struct hvx_vcpu *vcpu, const struct hvx_lapic_state *state)
{
	u32 id = state->regs[APIC_REG_ID / sizeof(u32)];
	unsigned int i, reg;

	if (id != vcpu->id && id != vcpu->id << 24)
		return false;
	for (i = 0; i < ARRAY_SIZE(state->regs); i++) {
		reg = i * sizeof(u32);
		if (!is_derived(reg) && state->regs[i] & ~image_bits(vcpu, reg))
			return false;
	}
	return state->unhalt <= 1 && state->pv_eoi <= 1 &&
	       !memchr_inv(state->reserved, 0, sizeof(state->reserved));
}

/* Mode and identity come from IA32_APIC_BASE, which is in force already */
void hvx_lapic_set_state(struct hvx_vcpu *vcpu, const struct hvx_lapic_state *state)
{
	struct hvx_lapic *apic = vcpu->lapic;
	unsigned int reg;

	hvx_timer_stop(apic);
	xchg(&apic->errors, 0);
	/* NMI and STARTUP that wait come with the events */
	atomic_set(&apic->messages, state->unhalt ? APIC_MSG_UNHALT : 0);
	for (reg = 0; reg < APIC_REGS_END; reg += 0x10)
		if (!is_derived(reg))
			apic_put(apic->regs, reg, state->regs[reg / sizeof(u32)]);
	if (!apic_x2apic(vcpu))
		apic_put(apic->regs, APIC_REG_LDR,
			 state->regs[APIC_REG_LDR / sizeof(u32)] & 0xff000000);
	apic_drop_posted(&apic->posted);
	hvx_timer_note(apic);
	/* Ends that the VMM has not been told of were those of the state that is gone */
	bitmap_zero(vcpu->eoi_vectors, 256);
	clear_bit(HVX_REQ_EOI, &vcpu->requests);
	vcpu->regs.cr8 = apic_get(apic->regs, APIC_REG_TPR) >> 4;
	hvx_timer_restore(apic, state->timer_remaining_ns, state->tsc_deadline);
	hvx_request(vcpu, HVX_REQ_EVENT);
}

/* -------------------------------------------------------------------- lifetime */

int hvx_lapic_init(struct hvx_vcpu *vcpu)
{
	struct hvx_lapic *apic;

	if (!(vcpu->vm->flags & HVX_VM_LAPIC))
		return 0;
	apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);
	if (!apic)
		return -ENOMEM;
	apic->regs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->regs) {
		kfree(apic);
		return -ENOMEM;
	}
	apic->vcpu = vcpu;
	apic->posting = hvx_ops->traits & HVX_TRAIT_APIC_PAGE;
	vcpu->lapic = apic;
	hvx_timer_init(apic);
	hvx_lapic_reset(vcpu);
	return 0;
}

void hvx_lapic_fini(struct hvx_vcpu *vcpu)
{
	struct hvx_lapic *apic = vcpu->lapic;

	if (!apic)
		return;
	hrtimer_cancel(&apic->timer);
	free_page((unsigned long)apic->regs);
	kfree(apic);
	vcpu->lapic = NULL;
}
