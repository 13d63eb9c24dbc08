/* SPDX-License-Identifier: GPL-2.0-only */
/* Arithmetic of the processor, with its flags. */
#ifndef HVX_EMUL_ALU_H
#define HVX_EMUL_ALU_H

#include <linux/bits.h>
#include <linux/types.h>

#define FLAG_CF		BIT(0)
#define FLAG_PF		BIT(2)
#define FLAG_AF		BIT(4)
#define FLAG_ZF		BIT(6)
#define FLAG_SF		BIT(7)
#define FLAG_DF		BIT(10)
#define FLAG_OF		BIT(11)
#define FLAGS_ARITH	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static inline u64 hvx_size_mask(unsigned int size)
{
	return size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1;
}

/*
 * Result of a two-operand operation (INSN_ADD to INSN_CMP, INSN_TEST, INSN_BT to INSN_BTC) or a
 * one-operand one (INSN_NOT, INSN_NEG, INSN_INC, INSN_DEC: @b is ignored) on operands of @size
 * bytes; *rflags is read and changed. CMP, TEST and BT give @a back.
 */
u64 hvx_alu(unsigned int op, u64 a, u64 b, unsigned int size, u64 *rflags);

#endif
