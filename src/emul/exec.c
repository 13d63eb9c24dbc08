// SPDX-License-Identifier: GPL-2.0-only
/*
 * Execution of instructions that met MMIO; the protocol is in emul.h.
 *
 * One run of an instruction:
 *   1. map	both operands: segment checks, alignment, page translation. All faults come from
 *		here, before a device sees anything.
 *   2. load	read the operands; replayed from the log as far as that goes
 *   3. compute	into a copy of the registers
 *   4. store	write the destination
 *   5. commit	the copy of the registers becomes the registers
 *
 * Executed are moves (also sign- and zero-extending, byte-swapping, of strings, to and from XMM
 * registers), arithmetic and logic, bit tests, exchanges, PUSH and POP. Shifts, SETcc and CMOVcc,
 * segment registers, x87 and MMX, everything VEX-encoded and all control transfer are not; nor do
 * data breakpoints of the guest see what is executed here.
 *
 * An instruction that turns out to touch memory alone is left to the processor, which does it
 * atomically: memory is written only when something of the instruction is MMIO.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "alu.h"
#include "emul.h"

#define PAGE_BYTES	4096u
#define MAX_PIECES	3	/* of 16 bytes across a page boundary */

/* Negative, and none of errno: the run ends with an exception or because MMIO has to be asked */
enum { STOP_EXCEPTION = -4096, STOP_MMIO, STOP_RETRY };

/* A part of an operand that is one fragment */
struct piece {
	u64 gpa;
	u8 len;
};

struct opnd {
	struct hvx_operand desc;
	unsigned int nr_pieces;		/* in memory */
	struct piece piece[MAX_PIECES];
	union {
		u64 value;
		u64 half[2];		/* of 16 bytes */
		u8 bytes[16];
	};
};

struct run {
	struct hvx_emul_env *env;
	struct hvx_emul *emul;
	const struct hvx_insn *insn;
	struct hvx_emul_regs regs;	/* the copy */
	struct opnd dst, src;
	unsigned int next;		/* fragment */
};

/* -------------------------------------------------------------------- exceptions */

static int raise(struct run *r, u8 vector, u32 error)
{
	r->env->exception = (struct hvx_emul_exception) {
		.vector = vector,
		.has_error = r->env->pe,
		.error = error,
	};
	return STOP_EXCEPTION;
}

static int page_fault(struct run *r, u64 gva, u32 error)
{
	raise(r, VEC_PF, error);
	r->env->exception.has_error = true;
	r->env->exception.cr2 = gva;
	return STOP_EXCEPTION;
}

static int segment_fault(struct run *r, u8 seg)
{
	return raise(r, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* --------------------------------------------------------------------- addresses */

static u64 get_reg(const u64 *gpr, u8 reg)
{
	return reg == HVX_NO_REG ? 0 : gpr[reg];
}

u64 hvx_emul_offset(const struct hvx_insn *insn, const u64 *gpr, u64 rip)
{
	const struct hvx_mem_operand *mem = &insn->mem;
	u64 offset = mem->disp + get_reg(gpr, mem->base) + (get_reg(gpr, mem->index) << mem->scale);

	if (mem->rip)
		offset += rip + insn->len;
	return offset & hvx_size_mask(insn->addr_size);
}

static bool is_string(u8 op)
{
	return op >= INSN_MOVS && op <= INSN_SCAS;
}

unsigned int hvx_emul_segments(const struct hvx_insn *insn)
{
	unsigned int segs = BIT(insn->mem.seg);

	if (insn->mode == HVX_INSN_64)
		return insn->mem.seg >= SEG_FS ? segs : 0;
	if (is_string(insn->op))
		segs |= BIT(SEG_ES);
	if (insn->op == INSN_PUSH || insn->op == INSN_POP)
		segs |= BIT(SEG_SS);
	return segs;
}

/* Bits 3:0 of the type of a code or data segment; Intel SDM vol. 3A, "Code- and Data-Segment..." */
#define TYPE_RW		BIT(1)	/* data: writable; code: readable */
#define TYPE_DOWN	BIT(2)	/* data: expand-down */
#define TYPE_CODE	BIT(3)

static bool type_allows(const struct hvx_segment *s, bool write)
{
	if (s->attr & SA_UNUSABLE)
		return false;
	if (s->attr & TYPE_CODE)
		return !write && s->attr & TYPE_RW;
	return !write || s->attr & TYPE_RW;
}

static bool within_limit(const struct hvx_segment *s, u64 offset, unsigned int size)
{
	u64 last = offset + size - 1;

	if ((s->attr & (SA_S | TYPE_CODE | TYPE_DOWN)) == (SA_S | TYPE_DOWN))
		return offset > s->limit && last <= (s->attr & SA_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static bool canonical(const struct hvx_emul_env *env, u64 address)
{
	return sign_extend64(address, env->canonical_bits - 1) == (s64)address;
}

static int linear_64(struct run *r, u8 seg, u64 offset, unsigned int size, u64 *linear)
{
	*linear = offset;
	if (seg >= SEG_FS)
		*linear += r->env->seg[seg].base;
	if (canonical(r->env, *linear) && canonical(r->env, *linear + size - 1))
		return 0;
	return segment_fault(r, seg);
}

static int to_linear(struct run *r, u8 seg, u64 offset, unsigned int size, bool write, u64 *linear)
{
	const struct hvx_segment *s = &r->env->seg[seg];

	if (r->insn->mode == HVX_INSN_64)
		return linear_64(r, seg, offset, size, linear);
	*linear = (u32)(s->base + offset);
	if (r->env->protected && !type_allows(s, write))
		return segment_fault(r, seg);
	return within_limit(s, offset, size) ? 0 : segment_fault(r, seg);
}

/* ------------------------------------------------------------------- translation */

static bool fits_hint(const struct hvx_emul_hint *hint, u64 offset, unsigned int access)
{
	return hint->access && !(access & ~hint->access) &&
	       (hint->gpa & (PAGE_BYTES - 1)) == offset;
}

static int translate(struct run *r, u64 gva, unsigned int access, u64 *gpa)
{
	u64 offset = gva & (PAGE_BYTES - 1);
	struct hvx_emul *emul = r->emul;
	struct hvx_emul_page *page;
	u32 error_code = 0;
	unsigned int i;
	int err;

	for (i = 0; i < emul->nr_pages; i++) {
		page = &emul->page[i];
		if (page->gva == gva - offset && !(access & ~page->access)) {
			*gpa = page->gpa + offset;
			return 0;
		}
	}
	if (fits_hint(&emul->hint, offset, access)) {
		*gpa = emul->hint.gpa;
	} else {
		err = r->env->ops->translate(r->env, gva, access, gpa, &error_code);
		if (err)
			return err == -EFAULT ? page_fault(r, gva, error_code) : err;
	}
	if (emul->nr_pages < HVX_EMUL_MAX_PAGES)
		emul->page[emul->nr_pages++] =
			(struct hvx_emul_page) { gva - offset, *gpa - offset, access };
	return 0;
}

static u64 wrap(const struct run *r, u64 linear)
{
	return r->insn->mode == HVX_INSN_64 ? linear : (u32)linear;
}

/* Cut an operand into fragments */
static int map_pieces(struct run *r, struct opnd *o, u64 linear, unsigned int access)
{
	unsigned int size = o->desc.size, done = 0, end = 0, len;
	u64 gpa = 0;
	int err;

	while (done < size) {
		if (done == end) {
			u64 at = wrap(r, linear + done);

			err = translate(r, at, access, &gpa);
			if (err)
				return err;
			end = min_t(u64, size, done + PAGE_BYTES - (at & (PAGE_BYTES - 1)));
		}
		len = min(end - done, 8u);
		o->piece[o->nr_pieces++] = (struct piece) { gpa, len };
		gpa += len;
		done += len;
	}
	return 0;
}

static bool needs_alignment(const struct hvx_insn *insn)
{
	return insn->op == INSN_MOVX_ALIGNED || (insn->op == INSN_CMPXCHG2 && insn->op_size == 8);
}

static int map_at(struct run *r, struct opnd *o, u8 seg, u64 offset, unsigned int access)
{
	unsigned int size = o->desc.size;
	u64 linear;
	int err;

	err = to_linear(r, seg, offset, size, access & HVX_WRITE, &linear);
	if (err)
		return err;
	if (needs_alignment(r->insn) && linear & (size - 1))
		return raise(r, VEC_GP, 0);
	/* Processors look at the alignment before they look at the page tables */
	if (r->env->check_align && linear & (size - 1))
		return raise(r, VEC_AC, 0);
	return map_pieces(r, o, linear, access);
}

/* --------------------------------------------------------------------- registers */

static u64 merge(u64 old, u64 value, unsigned int size)
{
	/* 32-bit results clear the upper half */
	u64 mask = size == 4 ? ~0ULL : hvx_size_mask(size);

	return (old & ~mask) | (value & hvx_size_mask(size) & mask);
}

static void set_reg(struct run *r, u8 reg, u64 value, unsigned int size)
{
	r->regs.gpr[reg] = merge(r->regs.gpr[reg], value, size);
}

static unsigned int stack_size(const struct run *r)
{
	if (r->insn->mode == HVX_INSN_64)
		return 8;
	return r->env->seg[SEG_SS].attr & SA_DB ? 4 : 2;
}

static u64 move_stack(struct run *r, int by)
{
	unsigned int size = stack_size(r);

	set_reg(r, REG_RSP, r->regs.gpr[REG_RSP] + by, size);
	return r->regs.gpr[REG_RSP] & hvx_size_mask(size);
}

/* ----------------------------------------------------------------------- mapping */

static bool is_bit_test(u8 op)
{
	return op >= INSN_BT && op <= INSN_BTC;
}

/* With the bit number in a register the operand can lie anywhere around the address */
static u64 bit_offset(const struct run *r)
{
	const struct hvx_operand *src = &r->insn->src;
	s64 bit;

	if (src->kind != OPD_GPR)
		return 0;
	bit = sign_extend64(r->regs.gpr[src->reg], 8 * src->size - 1);
	return (bit >> (3 + __ffs(src->size))) * src->size;
}

static int map_memory(struct run *r, struct opnd *o, unsigned int access)
{
	u64 offset = hvx_emul_offset(r->insn, r->regs.gpr, r->regs.rip);

	if (is_bit_test(r->insn->op))
		offset = (offset + bit_offset(r)) & hvx_size_mask(r->insn->addr_size);
	return map_at(r, o, r->insn->mem.seg, offset, access);
}

static int map_operand(struct run *r, struct opnd *o, unsigned int access)
{
	u64 mask = hvx_size_mask(r->insn->addr_size);

	switch (o->desc.kind) {
	case OPD_MEM:
		return map_memory(r, o, access);
	case OPD_STR_SRC:
		return map_at(r, o, r->insn->mem.seg, r->regs.gpr[REG_RSI] & mask, access);
	case OPD_STR_DST:
		return map_at(r, o, SEG_ES, r->regs.gpr[REG_RDI] & mask, access);
	}
	return 0;
}

/* PUSH addresses its operand with RSP as it was */
static int map_push(struct run *r)
{
	int err = map_operand(r, &r->src, HVX_READ);

	return err ? err : map_at(r, &r->dst, SEG_SS, move_stack(r, -r->dst.desc.size), HVX_WRITE);
}

/* POP with RSP as it will be */
static int map_pop(struct run *r)
{
	u64 sp = r->regs.gpr[REG_RSP] & hvx_size_mask(stack_size(r));
	int err = map_at(r, &r->src, SEG_SS, sp, HVX_READ);

	if (err)
		return err;
	move_stack(r, r->src.desc.size);
	return map_operand(r, &r->dst, HVX_WRITE);
}

static int map(struct run *r)
{
	int err;

	if (r->insn->op == INSN_PUSH)
		return map_push(r);
	if (r->insn->op == INSN_POP)
		return map_pop(r);
	err = map_operand(r, &r->src, HVX_READ);
	return err ? err : map_operand(r, &r->dst, r->insn->dst_access);
}

/* --------------------------------------------------------------------- fragments */

static bool log_has_mmio(const struct hvx_emul *emul)
{
	unsigned int i;

	for (i = 0; i < emul->nr_frags; i++) {
		if (emul->frag[i].mmio)
			return true;
	}
	return false;
}

static bool touches_mmio(struct run *r, const struct opnd *o)
{
	unsigned int i;

	if (log_has_mmio(r->emul))
		return true;
	for (i = 0; i < o->nr_pieces; i++) {
		if (r->env->ops->is_mmio(r->env, o->piece[i].gpa, true))
			return true;
	}
	return false;
}

static int replay(struct hvx_emul_frag *frag, const struct piece *p, bool write, u8 *data)
{
	/* The registers were changed under way: what is in the log is of another access */
	if (frag->gpa != p->gpa || frag->len != p->len || frag->write != write)
		return STOP_RETRY;
	if (!frag->done)
		return STOP_MMIO;
	if (!write)
		memcpy(data, frag->data, p->len);
	return 0;
}

static int access_memory(struct run *r, struct hvx_emul_frag *frag, u8 *data)
{
	const struct hvx_emul_ops *ops = r->env->ops;

	if (frag->write)
		return ops->write(r->env, frag->gpa, data, frag->len);
	return ops->read(r->env, frag->gpa, data, frag->len);
}

static int fragment(struct run *r, const struct piece *p, bool write, u8 *data)
{
	struct hvx_emul *emul = r->emul;
	struct hvx_emul_frag *frag;
	int err;

	if (r->next >= HVX_EMUL_MAX_FRAGS)
		return -EOPNOTSUPP;
	frag = &emul->frag[r->next++];
	if (r->next <= emul->nr_frags)
		return replay(frag, p, write, data);

	*frag = (struct hvx_emul_frag) { .gpa = p->gpa, .len = p->len, .write = write };
	frag->mmio = r->env->ops->is_mmio(r->env, p->gpa, write);
	if (!frag->mmio) {
		err = access_memory(r, frag, data);
		if (err && err != -ENXIO)
			return err;
		frag->done = !err;
		frag->mmio = err;
	}
	if (frag->done || write)
		memcpy(frag->data, data, p->len);
	emul->nr_frags = r->next;
	return frag->done ? 0 : STOP_MMIO;
}

static int access_pieces(struct run *r, struct opnd *o, bool write)
{
	unsigned int i, at = 0;
	int err;

	for (i = 0; i < o->nr_pieces; i++) {
		err = fragment(r, &o->piece[i], write, o->bytes + at);
		if (err)
			return err;
		at += o->piece[i].len;
	}
	return 0;
}

/* ---------------------------------------------------------------- load and store */

static int load(struct run *r, struct opnd *o)
{
	const struct hvx_operand *desc = &o->desc;
	/* PUSH stores RSP as it was */
	const u64 *gpr = r->env->regs.gpr;

	switch (desc->kind) {
	case OPD_GPR:
		o->value = gpr[desc->reg] & hvx_size_mask(desc->size);
		return 0;
	case OPD_GPR_HIGH:
		o->value = (gpr[desc->reg] >> 8) & 0xff;
		return 0;
	case OPD_IMM:
		o->value = r->insn->imm & hvx_size_mask(desc->size);
		return 0;
	case OPD_XMM:
		if (!r->env->ops->read_xmm)
			return -EOPNOTSUPP;
		r->env->ops->read_xmm(r->env, desc->reg, o->bytes);
		return 0;
	case OPD_MEM:
	case OPD_STR_SRC:
	case OPD_STR_DST:
	case OPD_STACK:
		return access_pieces(r, o, false);
	}
	return -EOPNOTSUPP;
}

/* XMM registers are not in the copy: see commit() */
static int store(struct run *r, struct opnd *o)
{
	const struct hvx_operand *desc = &o->desc;
	u64 *reg;

	switch (desc->kind) {
	case OPD_GPR:
		set_reg(r, desc->reg, o->value, desc->size);
		return 0;
	case OPD_GPR_HIGH:
		reg = &r->regs.gpr[desc->reg];
		*reg = (*reg & ~0xff00ULL) | (o->value & 0xff) << 8;
		return 0;
	case OPD_XMM:
		return r->env->ops->write_xmm ? 0 : -EOPNOTSUPP;
	}
	if (!o->nr_pieces)
		return -EOPNOTSUPP;
	if (!touches_mmio(r, o))
		return STOP_RETRY;
	return access_pieces(r, o, true);
}

static int load_operands(struct run *r)
{
	int err = 0;

	if (r->src.desc.kind != OPD_NONE)
		err = load(r, &r->src);
	if (!err && r->insn->dst_access & HVX_READ)
		err = load(r, &r->dst);
	return err;
}

/* ----------------------------------------------------------------------- compute */

static u64 byte_swap(u64 value, unsigned int size)
{
	u64 swapped = 0;
	unsigned int i;

	for (i = 0; i < size; i++)
		swapped |= (value >> (8 * i) & 0xff) << (8 * (size - 1 - i));
	return swapped;
}

/* A failed comparison writes the destination back as it was */
static void compare_exchange(struct run *r)
{
	unsigned int size = r->insn->op_size;
	u64 acc = r->regs.gpr[REG_RAX] & hvx_size_mask(size);

	hvx_alu(INSN_CMP, acc, r->dst.value, size, &r->regs.rflags);
	if (acc == r->dst.value)
		r->dst.value = r->src.value;
	else
		set_reg(r, REG_RAX, r->dst.value, size);
}

/* CMPXCHG8B and CMPXCHG16B; halves of op_size bytes */
static void compare_exchange_pair(struct run *r)
{
	unsigned int size = r->insn->op_size;
	u64 mask = hvx_size_mask(size), low, high;

	low = r->dst.half[0] & mask;
	high = size == 8 ? r->dst.half[1] : r->dst.half[0] >> 32;
	if (low == (r->regs.gpr[REG_RAX] & mask) && high == (r->regs.gpr[REG_RDX] & mask)) {
		low = r->regs.gpr[REG_RBX] & mask;
		high = r->regs.gpr[REG_RCX] & mask;
		r->dst.half[0] = size == 8 ? low : low | high << 32;
		r->dst.half[1] = high;
		r->regs.rflags |= FLAG_ZF;
	} else {
		set_reg(r, REG_RAX, low, size);
		set_reg(r, REG_RDX, high, size);
		r->regs.rflags &= ~FLAG_ZF;
	}
}

static int compute(struct run *r)
{
	struct opnd *dst = &r->dst, *src = &r->src;
	u8 op = r->insn->op;

	switch (op) {
	case INSN_ADD ... INSN_DEC:
		dst->value = hvx_alu(op, dst->value, src->value, dst->desc.size, &r->regs.rflags);
		return 0;
	case INSN_CMPS:
		/* Of the two the source comes first */
		hvx_alu(INSN_CMP, src->value, dst->value, dst->desc.size, &r->regs.rflags);
		return 0;
	case INSN_SCAS:
		hvx_alu(INSN_CMP, dst->value, src->value, dst->desc.size, &r->regs.rflags);
		return 0;
	case INSN_MOV:
	case INSN_MOVZX:
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_LODS:
	case INSN_PUSH:
	case INSN_POP:
		dst->value = src->value;
		return 0;
	case INSN_MOVSX:
		dst->value = sign_extend64(src->value, 8 * src->desc.size - 1);
		return 0;
	case INSN_MOVBE:
		dst->value = byte_swap(src->value, src->desc.size);
		return 0;
	case INSN_MOVX:
	case INSN_MOVX_ALIGNED:
		/* What is not loaded is 0 already */
		memcpy(dst->bytes, src->bytes, src->desc.size);
		return 0;
	case INSN_XADD:
		swap(dst->value, src->value);
		dst->value = hvx_alu(INSN_ADD, src->value, dst->value, dst->desc.size,
				     &r->regs.rflags);
		return store(r, src);
	case INSN_XCHG:
		swap(dst->value, src->value);
		return store(r, src);
	case INSN_CMPXCHG:
		compare_exchange(r);
		return 0;
	case INSN_CMPXCHG2:
		compare_exchange_pair(r);
		return 0;
	}
	return -EOPNOTSUPP;
}

/* ----------------------------------------------------------------------- strings */

#define PFX_ANY_REP	(PFX_REP | PFX_REPNE)

static void advance(struct run *r, u8 reg, int by)
{
	set_reg(r, reg, r->regs.gpr[reg] + by, r->insn->addr_size);
}

static void advance_strings(struct run *r)
{
	int by = r->insn->op_size;

	if (r->regs.rflags & FLAG_DF)
		by = -by;
	if (r->insn->op != INSN_STOS && r->insn->op != INSN_SCAS)
		advance(r, REG_RSI, by);
	if (r->insn->op != INSN_LODS)
		advance(r, REG_RDI, by);
}

static u64 rep_count(const struct run *r)
{
	return r->regs.gpr[REG_RCX] & hvx_size_mask(r->insn->addr_size);
}

/* Is there another iteration after this one? */
static bool rep_goes_on(struct run *r)
{
	bool zf = r->regs.rflags & FLAG_ZF;

	if (!(r->insn->prefix & PFX_ANY_REP))
		return false;
	advance(r, REG_RCX, -1);
	if (!rep_count(r))
		return false;
	if (r->insn->op != INSN_CMPS && r->insn->op != INSN_SCAS)
		return true;
	return zf == !!(r->insn->prefix & PFX_REP);
}

/* ------------------------------------------------------------------------ the run */

static void next_instruction(struct run *r)
{
	r->regs.rip = wrap(r, r->regs.rip + r->insn->len);
}

static int commit(struct run *r)
{
	bool more = false;

	if (is_string(r->insn->op)) {
		advance_strings(r);
		more = rep_goes_on(r);
	}
	if (!more)
		next_instruction(r);
	if (r->dst.desc.kind == OPD_XMM)
		r->env->ops->write_xmm(r->env, r->dst.desc.reg, r->dst.bytes);
	r->env->regs = r->regs;
	return more ? HVX_EMUL_MORE : HVX_EMUL_DONE;
}

static int run(struct run *r)
{
	int err;

	if (is_string(r->insn->op) && r->insn->prefix & PFX_ANY_REP && !rep_count(r)) {
		next_instruction(r);
		r->env->regs = r->regs;
		return HVX_EMUL_DONE;
	}
	err = map(r);
	if (!err)
		err = load_operands(r);
	if (!err)
		err = compute(r);
	if (!err && r->insn->dst_access & HVX_WRITE)
		err = store(r, &r->dst);
	if (err)
		return err;
	return log_has_mmio(r->emul) ? commit(r) : STOP_RETRY;
}

int hvx_emul_exec(struct hvx_emul_env *env, struct hvx_emul *emul)
{
	const struct hvx_insn *insn = &emul->insn;
	struct run r = {
		.env = env,
		.emul = emul,
		.insn = insn,
		.regs = env->regs,
		.dst.desc = insn->dst,
		.src.desc = insn->src,
	};
	int ret;

	if (insn->op == INSN_NONE || insn->op > INSN_LAST_EXECUTED)
		return -EOPNOTSUPP;
	ret = run(&r);
	switch (ret) {
	case STOP_EXCEPTION:
		return HVX_EMUL_EXCEPTION;
	case STOP_MMIO:
		return HVX_EMUL_MMIO;
	case STOP_RETRY:
		return HVX_EMUL_RETRY;
	}
	return ret;
}
