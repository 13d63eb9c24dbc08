// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction decoder.
 *
 * One pass over the bytes: prefixes, opcode, table look-up (opcodes.h; ModRM is read on the way
 * when a table asks for it), displacement, immediate. Then the operands are described.
 *
 * Reading past the end is remembered in the cursor and yields zeros: every refusal first looks
 * there, so a decision that was made on such zeros is never reported.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "vcpu/exit.h"
#include "vcpu/regs.h"
#include "decode.h"
#include "opcodes.h"

struct cursor {
	const u8 *bytes;
	unsigned int n;
	unsigned int pos;
	int err;
};

static u8 next_byte(struct cursor *c)
{
	if (likely(c->pos < c->n))
		return c->bytes[c->pos++];
	c->err = c->pos < HVX_INSN_MAX ? -ENODATA : -EINVAL;
	return 0;
}

/* 1, 2, 4 or 8 bytes */
static u64 next_le(struct cursor *c, unsigned int size)
{
	const u8 *from = c->bytes + c->pos;
	u64 value = 0;

	if (unlikely(c->n - c->pos < size)) {
		c->err = c->pos + size > HVX_INSN_MAX ? -EINVAL : -ENODATA;
		return 0;
	}
	c->pos += size;
	if (size == 4)
		memcpy(&value, from, 4);
	else if (size == 1)
		value = *from;
	else
		memcpy(&value, from, size);
	return value;
}

static s64 next_signed(struct cursor *c, unsigned int size)
{
	return sign_extend64(next_le(c, size), 8 * size - 1);
}

static int refuse(const struct cursor *c, int err)
{
	return c->err ? c->err : err;
}

/*
 * Segment overrides of ES, CS, SS and DS do nothing in 64-bit mode, not even undo one of FS or GS
 * (AMD APM vol. 3, "Segment-Override Prefixes").
 */
static void override(struct hvx_insn *insn, u8 seg)
{
	if (insn->mode != HVX_INSN_64 || seg >= SEG_FS)
		insn->seg = seg;
}

static bool legacy_prefix(struct hvx_insn *insn, u8 byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		override(insn, SEG_ES + ((byte >> 3) & 3));
		return true;
	case 0x64:
	case 0x65:
		override(insn, SEG_FS + (byte & 1));
		return true;
	case 0x66:
		insn->prefix |= PFX_OPSIZE;
		return true;
	case 0x67:
		insn->prefix |= PFX_ADDRSIZE;
		return true;
	case 0xf0:
		insn->prefix |= PFX_LOCK;
		return true;
	case 0xf2:
		insn->prefix = (insn->prefix & ~PFX_REP) | PFX_REPNE;
		return true;
	case 0xf3:
		insn->prefix = (insn->prefix & ~PFX_REPNE) | PFX_REP;
		return true;
	}
	return false;
}

/* The bytes of legacy_prefix(), one bit for each */
static bool may_be_prefix(u8 byte)
{
	static const u64 prefixes[4] = {
		BIT_ULL(0x26) | BIT_ULL(0x2e) | BIT_ULL(0x36) | BIT_ULL(0x3e),
		BIT_ULL(0x24) | BIT_ULL(0x25) | BIT_ULL(0x26) | BIT_ULL(0x27),
		0,
		BIT_ULL(0x30) | BIT_ULL(0x32) | BIT_ULL(0x33),
	};

	return prefixes[byte >> 6] >> (byte & 63) & 1;
}

/* Returns the first byte of the opcode. A REX prefix counts only right before it. */
static u8 take_prefixes(struct cursor *c, struct hvx_insn *insn)
{
	u8 byte;

	for (;;) {
		byte = next_byte(c);
		if (may_be_prefix(byte) && legacy_prefix(insn, byte))
			insn->rex = 0;
		else if (insn->mode == HVX_INSN_64 && (byte & 0xf0) == 0x40)
			insn->rex = REX_PRESENT | (byte & 0xf);
		else
			return byte;
	}
}

static void set_addr_size(struct hvx_insn *insn)
{
	static const u8 sizes[][2] = {
		[HVX_INSN_16] = { 2, 4 }, [HVX_INSN_32] = { 4, 2 }, [HVX_INSN_64] = { 8, 4 },
	};

	insn->addr_size = sizes[insn->mode][!!(insn->prefix & PFX_ADDRSIZE)];
}

static void take_modrm(struct cursor *c, struct hvx_insn *insn)
{
	if (insn->has_modrm)
		return;
	insn->modrm = next_byte(c);
	insn->has_modrm = true;
}

static unsigned int modrm_mod(const struct hvx_insn *insn)
{
	return insn->modrm >> 6;
}

static unsigned int modrm_reg(const struct hvx_insn *insn)
{
	return (insn->modrm >> 3) & 7;
}

static unsigned int modrm_rm(const struct hvx_insn *insn)
{
	return insn->modrm & 7;
}

static unsigned int mandatory_prefix(const struct hvx_insn *insn)
{
	if (insn->prefix & PFX_REPNE)
		return 3;
	if (insn->prefix & PFX_REP)
		return 2;
	return insn->prefix & PFX_OPSIZE ? 1 : 0;
}

static const struct op_entry *opcode_entry(struct cursor *c, struct hvx_insn *insn, u8 byte)
{
	insn->opcode = byte;
	if (byte != 0x0f)
		return &one_byte[byte];

	byte = next_byte(c);
	if (byte == 0x38) {
		insn->map = 2;
		insn->opcode = next_byte(c);
		return map_0f38(insn->opcode);
	}
	insn->map = 1;
	insn->opcode = byte;
	return &two_byte[byte];
}

/* Follow the tables that lead on: a chain of at most four */
static const struct op_entry *resolve(struct cursor *c, struct hvx_insn *insn,
				      const struct op_entry *e)
{
	for (;;) {
		switch (e->form) {
		case FORM_GROUP:
			take_modrm(c, insn);
			e = &groups[e->op][modrm_reg(insn)];
			break;
		case FORM_PREFIX:
			e = &prefixed[e->op][mandatory_prefix(insn)];
			break;
		case FORM_SPLIT:
			take_modrm(c, insn);
			e = &split[e->op][modrm_mod(insn) == 3];
			break;
		case FORM_RM:
			e = &rm_tables[e->op][modrm_rm(insn)];
			break;
		default:
			return e;
		}
	}
}

static u8 operand_size(const struct hvx_insn *insn, u16 flags)
{
	bool long_mode = insn->mode == HVX_INSN_64;

	if (flags & B)
		return 1;
	if (flags & (X4 | X8 | X16))
		return flags & X4 ? 4 : flags & X8 ? 8 : 16;
	if (flags & CRDR)
		return long_mode ? 8 : 4;
	if (flags & Y)
		return insn->rex & REX_W ? 8 : 4;
	if (insn->rex & REX_W)
		return flags & IO ? 4 : 8;
	if (insn->prefix & PFX_OPSIZE)
		return insn->mode == HVX_INSN_16 ? 4 : 2;
	if (insn->mode == HVX_INSN_16)
		return 2;
	return long_mode && (flags & D64) ? 8 : 4;
}

static bool lock_allowed(const struct op_entry *e)
{
	/* AMD APM vol. 3, "MOV CRn": LOCK reaches CR8 without REX */
	return e->flags & L || e->op == INSN_MOV_CR;
}

static int check_entry(const struct hvx_insn *insn, const struct op_entry *e)
{
	bool long_mode = insn->mode == HVX_INSN_64;

	/* What is O64 or NP can be another instruction elsewhere */
	if (e->form == FORM_UNKNOWN || (e->flags & O64 && !long_mode) ||
	    (e->flags & NP && mandatory_prefix(insn)))
		return -EOPNOTSUPP;
	if ((e->flags & I64 && long_mode) || (insn->prefix & PFX_LOCK && !lock_allowed(e)))
		return -EINVAL;
	return 0;
}

static u8 default_segment(const struct hvx_insn *insn, u8 seg)
{
	return insn->seg != HVX_NO_REG ? insn->seg : seg;
}

/* Intel SDM vol. 2, "16-Bit Addressing Forms with the ModR/M Byte" */
static void memory_16(struct cursor *c, struct hvx_insn *insn)
{
	static const u8 base[8] = {
		REG_RBX, REG_RBX, REG_RBP, REG_RBP, REG_RSI, REG_RDI, REG_RBP, REG_RBX,
	};
	static const u8 index[8] = {
		REG_RSI, REG_RDI, REG_RSI, REG_RDI, HVX_NO_REG, HVX_NO_REG, HVX_NO_REG, HVX_NO_REG,
	};
	unsigned int mod = modrm_mod(insn), rm = modrm_rm(insn);
	struct hvx_mem_operand *mem = &insn->mem;

	if (mod == 0 && rm == 6) {
		mem->disp = next_signed(c, 2);
		mem->seg = default_segment(insn, SEG_DS);
		return;
	}
	mem->base = base[rm];
	mem->index = index[rm];
	mem->seg = default_segment(insn, mem->base == REG_RBP ? SEG_SS : SEG_DS);
	if (mod)
		mem->disp = next_signed(c, mod);
}

static void take_sib(struct cursor *c, struct hvx_insn *insn)
{
	struct hvx_mem_operand *mem = &insn->mem;
	unsigned int base, index;

	insn->sib = next_byte(c);
	base = insn->sib & 7;
	index = (insn->sib >> 3) & 7;
	if (insn->rex & REX_X)
		index |= 8;
	if (index != REG_RSP) {
		mem->index = index;
		mem->scale = insn->sib >> 6;
	}
	if (base != REG_RBP || modrm_mod(insn))
		mem->base = base | (insn->rex & REX_B ? 8 : 0);
	else
		mem->disp = next_signed(c, 4);
}

/* Intel SDM vol. 2, "32-Bit Addressing Forms with the ModR/M Byte" and "RIP-Relative Addressing" */
static void memory_32(struct cursor *c, struct hvx_insn *insn)
{
	unsigned int mod = modrm_mod(insn), rm = modrm_rm(insn);
	struct hvx_mem_operand *mem = &insn->mem;

	if (rm == REG_RSP) {
		take_sib(c, insn);
	} else if (rm == REG_RBP && mod == 0) {
		mem->disp = next_signed(c, 4);
		mem->rip = insn->mode == HVX_INSN_64;
	} else {
		mem->base = rm | (insn->rex & REX_B ? 8 : 0);
	}
	if (mod)
		mem->disp = next_signed(c, mod == 1 ? 1 : 4);
	mem->seg = default_segment(insn, mem->base == REG_RSP || mem->base == REG_RBP ?
				   SEG_SS : SEG_DS);
}

static void take_memory(struct cursor *c, struct hvx_insn *insn)
{
	if (insn->addr_size == 2)
		memory_16(c, insn);
	else
		memory_32(c, insn);
}

static void take_immediate(struct cursor *c, struct hvx_insn *insn, enum op_imm imm)
{
	unsigned int z = min_t(unsigned int, insn->op_size, 4);

	switch (imm) {
	case IMM_NONE:
		break;
	case IMM_8:
		insn->imm = next_signed(c, 1);
		break;
	case IMM_Z:
		insn->imm = next_signed(c, z);
		break;
	case IMM_V:
		insn->imm = next_signed(c, insn->op_size);
		break;
	case IMM_OFFSET:
		insn->mem.disp = next_le(c, insn->addr_size);
		insn->mem.seg = default_segment(insn, SEG_DS);
		break;
	case IMM_FAR:
		insn->imm = next_le(c, z);
		insn->imm |= next_le(c, 2) << 32;
		break;
	}
}

static struct hvx_operand gpr_operand(const struct hvx_insn *insn, u8 reg, u8 size)
{
	if (size == 1 && !insn->rex && reg >= 4)
		return (struct hvx_operand) { OPD_GPR_HIGH, reg & 3, 1 };
	return (struct hvx_operand) { OPD_GPR, reg, size };
}

static bool is_memory(const struct hvx_insn *insn)
{
	return insn->has_modrm && modrm_mod(insn) != 3;
}

static struct hvx_operand rm_operand(const struct hvx_insn *insn, u8 size)
{
	if (is_memory(insn))
		return (struct hvx_operand) { OPD_MEM, 0, size };
	return gpr_operand(insn, modrm_rm(insn) | (insn->rex & REX_B ? 8 : 0), size);
}

static void string_memory(struct hvx_insn *insn, u8 base, u8 seg)
{
	insn->mem.base = base;
	insn->mem.seg = seg;
}

static struct hvx_operand operand(struct hvx_insn *insn, enum op_spec spec)
{
	u8 reg = modrm_reg(insn) | (insn->rex & REX_R ? 8 : 0);
	u8 rm = modrm_rm(insn) | (insn->rex & REX_B ? 8 : 0);
	u8 size = insn->op_size;

	switch (spec) {
	case SP_E:
		return rm_operand(insn, size);
	case SP_EB:
		return rm_operand(insn, 1);
	case SP_EW:
		return rm_operand(insn, 2);
	case SP_ED:
		return rm_operand(insn, is_memory(insn) ? 4 : min_t(u8, size, 4));
	case SP_RW:
		return rm_operand(insn, is_memory(insn) ? 2 : size);
	case SP_G:
		return gpr_operand(insn, reg, size);
	case SP_A:
		return (struct hvx_operand) { OPD_GPR, REG_RAX, size };
	case SP_I:
		return (struct hvx_operand) { OPD_IMM, 0, size };
	case SP_Z:
		return gpr_operand(insn, (insn->opcode & 7) | (insn->rex & REX_B ? 8 : 0), size);
	case SP_O:
		return (struct hvx_operand) { OPD_MEM, 0, size };
	case SP_X:
		string_memory(insn, REG_RSI, default_segment(insn, SEG_DS));
		return (struct hvx_operand) { OPD_STR_SRC, REG_RSI, size };
	case SP_Y:
		if (insn->mem.base == HVX_NO_REG)
			string_memory(insn, REG_RDI, SEG_ES);
		return (struct hvx_operand) { OPD_STR_DST, REG_RDI, size };
	case SP_S:
		return (struct hvx_operand) { OPD_STACK, REG_RSP, size };
	case SP_V:
		return (struct hvx_operand) { OPD_XMM, reg, size };
	case SP_W:
		if (is_memory(insn))
			return (struct hvx_operand) { OPD_MEM, 0, size };
		return (struct hvx_operand) { OPD_XMM, rm, size };
	case SP_SEG:
		return (struct hvx_operand) { OPD_SREG, modrm_reg(insn), 2 };
	case SP_CR:
		return (struct hvx_operand) { OPD_CR, reg, size };
	case SP_DR:
		return (struct hvx_operand) { OPD_DR, reg, size };
	case SP_RM:
		return (struct hvx_operand) { OPD_GPR, rm, size };
	case SP_DX:
		return (struct hvx_operand) { OPD_DX, REG_RDX, 2 };
	case SP_NONE:
		break;
	}
	return (struct hvx_operand) { OPD_NONE };
}

/* XCHG and XADD write their source, too, but that is a register */
static u8 dst_access(u8 op)
{
	switch (op) {
	case INSN_CMP:
	case INSN_TEST:
	case INSN_BT:
	case INSN_CMPS:
	case INSN_SCAS:
		return HVX_READ;
	case INSN_MOV:
	case INSN_MOVZX:
	case INSN_MOVSX:
	case INSN_MOVBE:
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_LODS:
	case INSN_PUSH:
	case INSN_POP:
	case INSN_MOVX:
	case INSN_MOVX_ALIGNED:
	case INSN_MOV_SREG:
	case INSN_INS:
	case INSN_SLDT:
	case INSN_STR:
	case INSN_SMSW:
	case INSN_VMPTRST:
	case INSN_VMREAD:
		return HVX_WRITE;
	default:
		return op < INSN_MOV || op <= INSN_CMPXCHG2 ? HVX_READ | HVX_WRITE : HVX_READ;
	}
}

static bool in_memory(u8 kind)
{
	return kind == OPD_MEM || kind == OPD_STR_SRC || kind == OPD_STR_DST;
}

static void describe_operands(struct hvx_insn *insn, const struct op_form_desc *form)
{
	/* Source first: of two strings the memory operand described is the source */
	if (form->src != SP_NONE)
		insn->src = operand(insn, form->src);
	if (form->dst == SP_NONE)
		return;
	insn->dst = operand(insn, form->dst);
	insn->dst_access = dst_access(insn->op);
	if (insn->op == INSN_CMPXCHG2)
		insn->dst.size *= 2;
	if (in_memory(insn->src.kind))
		insn->access |= HVX_READ;
	if (in_memory(insn->dst.kind))
		insn->access |= insn->dst_access;
}

/*
 * Numbers that do not exist. CS cannot be loaded, there are six segment registers and CR0, CR2 to
 * CR4 and CR8; debug registers end at DR7 (DR4 and DR5 depend on CR4.DE: left to the caller).
 */
static bool number_exists(const struct hvx_insn *insn)
{
	const struct hvx_operand *opd = &insn->dst;

	if (insn->op == INSN_MOV_SREG) {
		if (opd->kind == OPD_SREG && opd->reg == SEG_CS)
			return false;
		return (opd->kind == OPD_SREG ? opd->reg : insn->src.reg) <= SEG_GS;
	}
	if (opd->kind != OPD_CR && opd->kind != OPD_DR)
		opd = &insn->src;
	if (opd->kind == OPD_CR)
		return opd->reg == 0 || (opd->reg >= 2 && opd->reg <= 4) || opd->reg == 8;
	return opd->kind != OPD_DR || opd->reg < 8;
}

static void lock_cr8(struct hvx_insn *insn)
{
	if (!(insn->prefix & PFX_LOCK))
		return;
	if (insn->dst.kind == OPD_CR)
		insn->dst.reg |= 8;
	else
		insn->src.reg |= 8;
}

static int decode_operands(struct cursor *c, struct hvx_insn *insn, const struct op_entry *e)
{
	const struct op_form_desc *form = &forms[e->form];

	insn->op = e->op;
	insn->op_size = operand_size(insn, e->flags);
	if (form->modrm) {
		take_modrm(c, insn);
		if (e->flags & CRDR && e->form >= FORM_R_CR && e->form <= FORM_DR_R)
			insn->modrm |= 0xc0;
		if (is_memory(insn))
			take_memory(c, insn);
		else if (e->flags & M)
			return refuse(c, -EINVAL);
	}
	take_immediate(c, insn, form->imm);
	if (c->err)
		return c->err;

	describe_operands(insn, form);
	if (insn->op == INSN_MOV_CR)
		lock_cr8(insn);
	if (insn->op >= INSN_MOV_SREG && insn->op <= INSN_MOV_DR && !number_exists(insn))
		return -EINVAL;
	if ((insn->prefix & PFX_LOCK) && (e->flags & L) && insn->dst.kind != OPD_MEM)
		return -EINVAL;
	insn->len = c->pos;
	return 0;
}

/*
 * VEX: in 16-bit and 32-bit code C4 and C5 are LES and LDS unless the next byte looks like a ModRM
 * with a register operand. Length and memory operand only.
 */
static int decode_vex(struct cursor *c, struct hvx_insn *insn, bool three)
{
	u8 p1 = next_byte(c), p2 = three ? next_byte(c) : 0;
	u8 map = three ? p1 & 0x1f : 1;
	u8 rxb = (u8)~p1 >> 5;
	bool imm;

	if (insn->mode != HVX_INSN_64 && (p1 & 0xc0) != 0xc0)
		return refuse(c, -EOPNOTSUPP);
	if (insn->rex || insn->prefix & (PFX_LOCK | PFX_REP | PFX_REPNE | PFX_OPSIZE))
		return refuse(c, -EINVAL);
	if (map < 1 || map > 3)
		return refuse(c, -EOPNOTSUPP);

	insn->prefix |= PFX_VEX;
	if (insn->mode == HVX_INSN_64)
		insn->rex = three ? rxb : rxb & REX_R;
	if (p2 & 0x80)
		insn->rex |= REX_W;
	insn->map = map;
	insn->op = INSN_VEX;
	insn->opcode = next_byte(c);
	imm = map == 3 || (map == 1 && ((insn->opcode & 0xfc) == 0x70 || insn->opcode == 0xc2 ||
					(insn->opcode & 0xfe) == 0xc4 || insn->opcode == 0xc6));
	/* VZEROUPPER and VZEROALL stand alone */
	if (map == 1 && insn->opcode == 0x77) {
		imm = false;
	} else {
		take_modrm(c, insn);
		if (is_memory(insn)) {
			take_memory(c, insn);
			insn->dst = (struct hvx_operand) { OPD_MEM };
		}
	}
	if (imm)
		insn->imm = next_signed(c, 1);
	insn->len = c->pos;
	return c->err;
}

/* 0F 01 with a register for ModRM.rm, without prefix: VMMCALL, RDTSCP, XSETBV and such */
static const struct op_entry *system_entry(struct hvx_insn *insn, u8 modrm)
{
	const struct op_entry *e;

	insn->modrm = modrm;
	insn->has_modrm = true;
	e = &groups[GRP_0F01][modrm_reg(insn)];
	if (e->form == FORM_SPLIT)
		e = &split[e->op][1];
	if (e->form == FORM_RM)
		e = &rm_tables[e->op][modrm_rm(insn)];
	return e->form == FORM_PREFIX ? &prefixed[e->op][0] : e;
}

/*
 * Most of what makes a guest exit is an opcode and nothing more: spare it the general way. Returns
 * false, with @insn as it was but for the address size, for all else.
 */
static bool decode_plain(struct hvx_insn *insn, const u8 *bytes, unsigned int n)
{
	const struct op_entry *e;

	if (n < 3)
		return false;
	if (bytes[0] != 0x0f) {
		e = &one_byte[bytes[0]];
		insn->len = 1;
	} else if (bytes[1] != 0x01 || bytes[2] < 0xc0) {
		e = &two_byte[bytes[1]];
		insn->len = 2;
	} else {
		e = system_entry(insn, bytes[2]);
		insn->len = 3;
	}
	if (likely(!(e->flags & ~NP) && e->form == (insn->has_modrm ? FORM_MODRM : FORM_NONE))) {
		insn->op = e->op;
		insn->map = insn->len > 1;
		insn->opcode = bytes[insn->map];
		insn->op_size = insn->mode == HVX_INSN_16 ? 2 : 4;
		return true;
	}
	insn->has_modrm = false;
	return false;
}

int hvx_decode(struct hvx_insn *insn, const u8 *bytes, unsigned int n, enum hvx_insn_mode mode)
{
	struct cursor c = { .bytes = bytes, .n = min_t(unsigned int, n, HVX_INSN_MAX) };
	const struct op_entry *e;
	int err;
	u8 byte;

	*insn = (struct hvx_insn) {
		.mode = mode,
		.seg = HVX_NO_REG,
		.mem = { .seg = SEG_DS, .base = HVX_NO_REG, .index = HVX_NO_REG },
	};
	set_addr_size(insn);
	if (decode_plain(insn, bytes, n))
		return 0;
	byte = take_prefixes(&c, insn);
	set_addr_size(insn);
	e = opcode_entry(&c, insn, byte);
	if (e->form == FORM_VEX2 || e->form == FORM_VEX3)
		return decode_vex(&c, insn, e->form == FORM_VEX3);
	e = resolve(&c, insn, e);
	err = check_entry(insn, e);
	if (c.err || err)
		return refuse(&c, err);
	return decode_operands(&c, insn, e);
}
