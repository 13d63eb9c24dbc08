// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arithmetic of the processor, with its flags (Intel SDM vol. 1, "Status Flags").
 *
 * Flags that the manuals leave undefined are as processors of both vendors set them: AF is 0 after
 * logic, and BT changes CF alone.
 */
#include <linux/kernel.h>
#include "alu.h"
#include "decode.h"

static u64 set_flags(u64 rflags, u64 mask, u64 flags)
{
	return (rflags & ~mask) | (flags & mask);
}

static bool msb(u64 value, unsigned int size)
{
	return value >> (8 * size - 1) & 1;
}

/* SF, ZF, PF of a result */
static u64 result_flags(u64 result, unsigned int size)
{
	u64 flags = 0;

	if (!(result & hvx_size_mask(size)))
		flags |= FLAG_ZF;
	if (msb(result, size))
		flags |= FLAG_SF;
	if (!(hweight32(result & 0xff) & 1))
		flags |= FLAG_PF;
	return flags;
}

/* @carry has at each bit the carry out of it, @overflow counts at the highest */
static u64 carry_flags(u64 carry, u64 overflow, unsigned int size)
{
	u64 flags = 0;

	if (msb(carry, size))
		flags |= FLAG_CF;
	if (carry & BIT(3))
		flags |= FLAG_AF;
	if (msb(overflow, size))
		flags |= FLAG_OF;
	return flags;
}

static u64 add(u64 a, u64 b, bool carry, unsigned int size, u64 *flags)
{
	u64 r = a + b + carry;

	*flags = result_flags(r, size) |
		 carry_flags((a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r), size);
	return r;
}

static u64 sub(u64 a, u64 b, bool borrow, unsigned int size, u64 *flags)
{
	u64 r = a - b - borrow;

	*flags = result_flags(r, size) |
		 carry_flags((~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r), size);
	return r;
}

static u64 bit_test(unsigned int op, u64 a, u64 b, unsigned int size, u64 *rflags)
{
	u64 bit = 1ULL << (b & (8 * size - 1));

	*rflags = set_flags(*rflags, FLAG_CF, a & bit ? FLAG_CF : 0);
	switch (op) {
	case INSN_BTS:
		return a | bit;
	case INSN_BTR:
		return a & ~bit;
	case INSN_BTC:
		return a ^ bit;
	}
	return a;
}

u64 hvx_alu(unsigned int op, u64 a, u64 b, unsigned int size, u64 *rflags)
{
	bool cf = *rflags & FLAG_CF;
	u64 mask = FLAGS_ARITH;
	u64 r, flags;

	switch (op) {
	case INSN_ADD:
		r = add(a, b, false, size, &flags);
		break;
	case INSN_ADC:
		r = add(a, b, cf, size, &flags);
		break;
	case INSN_SUB:
		r = sub(a, b, false, size, &flags);
		break;
	case INSN_SBB:
		r = sub(a, b, cf, size, &flags);
		break;
	case INSN_CMP:
		sub(a, b, false, size, &flags);
		r = a;
		break;
	case INSN_NEG:
		r = sub(0, a, false, size, &flags);
		break;
	case INSN_INC:
		r = add(a, 1, false, size, &flags);
		mask &= ~FLAG_CF;
		break;
	case INSN_DEC:
		r = sub(a, 1, false, size, &flags);
		mask &= ~FLAG_CF;
		break;
	case INSN_AND:
		r = a & b;
		flags = result_flags(r, size);
		break;
	case INSN_TEST:
		r = a;
		flags = result_flags(a & b, size);
		break;
	case INSN_OR:
		r = a | b;
		flags = result_flags(r, size);
		break;
	case INSN_XOR:
		r = a ^ b;
		flags = result_flags(r, size);
		break;
	case INSN_NOT:
		return ~a;
	default:
		return bit_test(op, a, b, size, rflags);
	}
	*rflags = set_flags(*rflags, mask, flags);
	return r;
}
