/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opcode tables of the decoder (decode.c, which alone includes this).
 * Source: Intel SDM vol. 2, appendix "Opcode Map", and AMD APM vol. 3, "Opcode and Operand
 * Encodings".
 *
 * An entry names an operation, a form (which operands there are) and flags; or it leads on to
 * another table, at most four times: by ModRM.reg (groups), by mandatory prefix (prefixed), by
 * ModRM.mod (split), by ModRM.rm (rm_tables). An empty entry is not known.
 */
#ifndef HVX_EMUL_OPCODES_H
#define HVX_EMUL_OPCODES_H

#include <linux/bits.h>
#include <linux/types.h>
#include "decode.h"

struct op_entry {
	u8 op;			/* enum hvx_insn_op, or index of the next table */
	u8 form;		/* enum op_form */
	u16 flags;		/* operand size and what is allowed: below */
};

#define B	BIT(0)		/* operand size 1 */
#define D64	BIT(1)		/* operand size 8 in 64-bit mode without REX.W */
#define I64	BIT(2)		/* invalid in 64-bit mode */
#define O64	BIT(3)		/* invalid outside 64-bit mode */
#define L	BIT(4)		/* LOCK allowed with memory destination */
#define M	BIT(5)		/* memory operand only */
#define Y	BIT(6)		/* operand size 8 with REX.W, else 4 */
#define X4	BIT(7)		/* operand size 4 */
#define X8	BIT(8)		/* operand size 8 */
#define X16	BIT(9)		/* operand size 16 */
#define IO	BIT(10)		/* operand size 4 at most */
#define NP	BIT(11)		/* no 66, F2, F3 */
#define CRDR	BIT(12)		/* operand size 8 in 64-bit mode, else 4; ModRM.mod ignored */

/* Kinds of operands; the letters are those of the manuals' opcode maps */
enum op_spec {
	SP_NONE,
	SP_E,			/* ModRM.rm: register or memory */
	SP_EB, SP_EW, SP_ED,	/* the same, of 1, 2, 4 bytes */
	SP_RW,			/* register of operand size, or memory of 2 bytes */
	SP_G,			/* ModRM.reg: general register */
	SP_A,			/* AL, AX, EAX, RAX */
	SP_I,			/* immediate */
	SP_Z,			/* general register in the opcode */
	SP_O,			/* memory at an immediate offset */
	SP_X, SP_Y,		/* strings at rSI, rDI */
	SP_S,			/* stack */
	SP_V, SP_W,		/* XMM register in ModRM.reg; register or memory in ModRM.rm */
	SP_SEG, SP_CR, SP_DR,	/* in ModRM.reg */
	SP_RM,			/* general register in ModRM.rm, whatever ModRM.mod */
	SP_DX,
};

enum op_imm {
	IMM_NONE,
	IMM_8,
	IMM_Z,			/* operand size, 4 at most */
	IMM_V,			/* operand size */
	IMM_OFFSET,		/* address size */
	IMM_FAR,		/* offset of operand size, selector */
};

enum op_form {
	FORM_UNKNOWN,
	FORM_GROUP, FORM_PREFIX, FORM_SPLIT, FORM_RM,	/* lead on to another table */
	FORM_VEX2, FORM_VEX3,
	FORM_NONE, FORM_E, FORM_MODRM, FORM_EG, FORM_GE, FORM_EI, FORM_EIB, FORM_AI, FORM_ZI,
	FORM_AO, FORM_OA, FORM_ZA, FORM_Z, FORM_G_EB, FORM_G_EW, FORM_G_ED,
	FORM_YX, FORM_YA, FORM_AX, FORM_AY,
	FORM_SE, FORM_SZ, FORM_SI, FORM_SIB, FORM_ES, FORM_ZS,
	FORM_VW, FORM_WV, FORM_VE, FORM_EV,
	FORM_RW_SEG, FORM_SEG_EW, FORM_RW, FORM_EW, FORM_R_CR, FORM_CR_R, FORM_R_DR, FORM_DR_R,
	FORM_A_IB, FORM_IB_A, FORM_A_DX, FORM_DX_A, FORM_Y_DX, FORM_DX_X, FORM_IB, FORM_FAR,
	NR_FORMS,
};

static const struct op_form_desc {
	u8 modrm, imm, dst, src;
} forms[NR_FORMS] = {
	[FORM_E]	= { 1, IMM_NONE, SP_E },
	[FORM_MODRM]	= { 1, IMM_NONE, SP_NONE },
	[FORM_EG]	= { 1, IMM_NONE, SP_E, SP_G },
	[FORM_GE]	= { 1, IMM_NONE, SP_G, SP_E },
	[FORM_EI]	= { 1, IMM_Z, SP_E, SP_I },
	[FORM_EIB]	= { 1, IMM_8, SP_E, SP_I },
	[FORM_AI]	= { 0, IMM_Z, SP_A, SP_I },
	[FORM_ZI]	= { 0, IMM_V, SP_Z, SP_I },
	[FORM_AO]	= { 0, IMM_OFFSET, SP_A, SP_O },
	[FORM_OA]	= { 0, IMM_OFFSET, SP_O, SP_A },
	[FORM_ZA]	= { 0, IMM_NONE, SP_Z, SP_A },
	[FORM_Z]	= { 0, IMM_NONE, SP_Z },
	[FORM_G_EB]	= { 1, IMM_NONE, SP_G, SP_EB },
	[FORM_G_EW]	= { 1, IMM_NONE, SP_G, SP_EW },
	[FORM_G_ED]	= { 1, IMM_NONE, SP_G, SP_ED },
	[FORM_YX]	= { 0, IMM_NONE, SP_Y, SP_X },
	[FORM_YA]	= { 0, IMM_NONE, SP_Y, SP_A },
	[FORM_AX]	= { 0, IMM_NONE, SP_A, SP_X },
	[FORM_AY]	= { 0, IMM_NONE, SP_A, SP_Y },
	[FORM_SE]	= { 1, IMM_NONE, SP_S, SP_E },
	[FORM_SZ]	= { 0, IMM_NONE, SP_S, SP_Z },
	[FORM_SI]	= { 0, IMM_Z, SP_S, SP_I },
	[FORM_SIB]	= { 0, IMM_8, SP_S, SP_I },
	[FORM_ES]	= { 1, IMM_NONE, SP_E, SP_S },
	[FORM_ZS]	= { 0, IMM_NONE, SP_Z, SP_S },
	[FORM_VW]	= { 1, IMM_NONE, SP_V, SP_W },
	[FORM_WV]	= { 1, IMM_NONE, SP_W, SP_V },
	[FORM_VE]	= { 1, IMM_NONE, SP_V, SP_E },
	[FORM_EV]	= { 1, IMM_NONE, SP_E, SP_V },
	[FORM_RW_SEG]	= { 1, IMM_NONE, SP_RW, SP_SEG },
	[FORM_SEG_EW]	= { 1, IMM_NONE, SP_SEG, SP_EW },
	[FORM_RW]	= { 1, IMM_NONE, SP_RW },
	[FORM_EW]	= { 1, IMM_NONE, SP_EW },
	[FORM_R_CR]	= { 1, IMM_NONE, SP_RM, SP_CR },
	[FORM_CR_R]	= { 1, IMM_NONE, SP_CR, SP_RM },
	[FORM_R_DR]	= { 1, IMM_NONE, SP_RM, SP_DR },
	[FORM_DR_R]	= { 1, IMM_NONE, SP_DR, SP_RM },
	[FORM_A_IB]	= { 0, IMM_8, SP_A, SP_I },
	[FORM_IB_A]	= { 0, IMM_8, SP_I, SP_A },
	[FORM_A_DX]	= { 0, IMM_NONE, SP_A, SP_DX },
	[FORM_DX_A]	= { 0, IMM_NONE, SP_DX, SP_A },
	[FORM_Y_DX]	= { 0, IMM_NONE, SP_Y, SP_DX },
	[FORM_DX_X]	= { 0, IMM_NONE, SP_DX, SP_X },
	[FORM_IB]	= { 0, IMM_8, SP_I },
	[FORM_FAR]	= { 0, IMM_FAR, SP_I },
};

#define OP(op, form, flags)	{ INSN_##op, FORM_##form, flags }
#define GROUP(name)		{ GRP_##name, FORM_GROUP, 0 }
#define PREFIX(name)		{ PFXT_##name, FORM_PREFIX, 0 }
#define SPLIT(name)		{ SPL_##name, FORM_SPLIT, 0 }
#define RM_TABLE(name)		{ RMT_##name, FORM_RM, 0 }
#define NO_OP			{ INSN_NONE, FORM_UNKNOWN, 0 }

enum {
	GRP_80, GRP_81, GRP_82, GRP_83, GRP_8F, GRP_C6, GRP_C7, GRP_F6, GRP_F7, GRP_FE, GRP_FF,
	GRP_0F00, GRP_0F01, GRP_0FBA, GRP_0FC7,
};

enum {
	PFXT_90, PFXT_0F09, PFXT_0F10, PFXT_0F11, PFXT_0F28, PFXT_0F29, PFXT_0F2B, PFXT_0F6E,
	PFXT_0F6F, PFXT_0F78, PFXT_0F79, PFXT_0F7E, PFXT_0F7F, PFXT_0FC7_6_MEM, PFXT_0FC7_6_REG,
	PFXT_0FC7_7_REG, PFXT_0FD6, PFXT_0FE7, PFXT_0FF0, PFXT_VMMCALL, PFXT_MCOMMIT,
	PFXT_0F382A, PFXT_0F3880, PFXT_0F3881, PFXT_0F3882, PFXT_0F38F0, PFXT_0F38F1,
};

enum {
	SPL_0F01_0, SPL_0F01_1, SPL_0F01_2, SPL_0F01_3, SPL_0F01_5, SPL_0F01_7,
	SPL_0FC7_6, SPL_0FC7_7,
};

enum {
	RMT_0F01_0, RMT_0F01_1, RMT_0F01_2, RMT_0F01_3, RMT_0F01_5, RMT_0F01_7,
};

/* By ModRM.reg */
static const struct op_entry groups[][8] = {
	[GRP_80] = {
		OP(ADD, EIB, B | L), OP(OR, EIB, B | L), OP(ADC, EIB, B | L), OP(SBB, EIB, B | L),
		OP(AND, EIB, B | L), OP(SUB, EIB, B | L), OP(XOR, EIB, B | L), OP(CMP, EIB, B),
	},
	[GRP_81] = {
		OP(ADD, EI, L), OP(OR, EI, L), OP(ADC, EI, L), OP(SBB, EI, L),
		OP(AND, EI, L), OP(SUB, EI, L), OP(XOR, EI, L), OP(CMP, EI, 0),
	},
	[GRP_82] = {
		OP(ADD, EIB, B | L | I64), OP(OR, EIB, B | L | I64),
		OP(ADC, EIB, B | L | I64), OP(SBB, EIB, B | L | I64),
		OP(AND, EIB, B | L | I64), OP(SUB, EIB, B | L | I64),
		OP(XOR, EIB, B | L | I64), OP(CMP, EIB, B | I64),
	},
	[GRP_83] = {
		OP(ADD, EIB, L), OP(OR, EIB, L), OP(ADC, EIB, L), OP(SBB, EIB, L),
		OP(AND, EIB, L), OP(SUB, EIB, L), OP(XOR, EIB, L), OP(CMP, EIB, 0),
	},
	[GRP_8F] = { OP(POP, ES, D64) },
	[GRP_C6] = { OP(MOV, EIB, B) },
	[GRP_C7] = { OP(MOV, EI, 0) },
	[GRP_F6] = {
		OP(TEST, EIB, B), OP(TEST, EIB, B), OP(NOT, E, B | L), OP(NEG, E, B | L),
	},
	[GRP_F7] = {
		OP(TEST, EI, 0), OP(TEST, EI, 0), OP(NOT, E, L), OP(NEG, E, L),
	},
	[GRP_FE] = { OP(INC, E, B | L), OP(DEC, E, B | L) },
	[GRP_FF] = {
		OP(INC, E, L), OP(DEC, E, L), NO_OP, OP(CALL_FAR, E, M),
		NO_OP, OP(JMP_FAR, E, M), OP(PUSH, SE, D64), NO_OP,
	},
	[GRP_0F00] = {
		OP(SLDT, RW, 0), OP(STR, RW, 0), OP(LLDT, EW, 0), OP(LTR, EW, 0),
		OP(VERR, EW, 0), OP(VERW, EW, 0), NO_OP, NO_OP,
	},
	[GRP_0F01] = {
		SPLIT(0F01_0), SPLIT(0F01_1), SPLIT(0F01_2), SPLIT(0F01_3),
		OP(SMSW, RW, 0), SPLIT(0F01_5), OP(LMSW, EW, 0), SPLIT(0F01_7),
	},
	[GRP_0FBA] = {
		NO_OP, NO_OP, NO_OP, NO_OP,
		OP(BT, EIB, 0), OP(BTS, EIB, L), OP(BTR, EIB, L), OP(BTC, EIB, L),
	},
	[GRP_0FC7] = {
		NO_OP, OP(CMPXCHG2, E, L | M | Y), NO_OP, OP(XRSTORS, MODRM, M | NP),
		OP(XSAVEC, MODRM, M | NP), OP(XSAVES, MODRM, M | NP),
		SPLIT(0FC7_6), SPLIT(0FC7_7),
	},
};

/* By mandatory prefix: none, 66, F3, F2. F3 and F2 win over 66 */
static const struct op_entry prefixed[][4] = {
	[PFXT_90]	= { OP(XCHG, ZA, 0), OP(XCHG, ZA, 0), OP(PAUSE, NONE, 0), OP(XCHG, ZA, 0) },
	[PFXT_0F09]	= { OP(WBINVD, NONE, 0), OP(WBINVD, NONE, 0), OP(WBNOINVD, NONE, 0),
			    OP(WBINVD, NONE, 0) },
	[PFXT_0F10]	= { OP(MOVX, VW, X16), OP(MOVX, VW, X16), OP(MOVX, VW, X4),
			    OP(MOVX, VW, X8) },
	[PFXT_0F11]	= { OP(MOVX, WV, X16), OP(MOVX, WV, X16), OP(MOVX, WV, X4),
			    OP(MOVX, WV, X8) },
	[PFXT_0F28]	= { OP(MOVX_ALIGNED, VW, X16), OP(MOVX_ALIGNED, VW, X16), NO_OP, NO_OP },
	[PFXT_0F29]	= { OP(MOVX_ALIGNED, WV, X16), OP(MOVX_ALIGNED, WV, X16), NO_OP, NO_OP },
	[PFXT_0F2B]	= { OP(MOVX_ALIGNED, WV, X16 | M), OP(MOVX_ALIGNED, WV, X16 | M),
			    NO_OP, NO_OP },
	[PFXT_0F6E]	= { NO_OP, OP(MOVX, VE, Y), NO_OP, NO_OP },
	[PFXT_0F6F]	= { NO_OP, OP(MOVX_ALIGNED, VW, X16), OP(MOVX, VW, X16), NO_OP },
	[PFXT_0F78]	= { OP(VMREAD, EG, CRDR), NO_OP, NO_OP, NO_OP },
	[PFXT_0F79]	= { OP(VMWRITE, GE, CRDR), NO_OP, NO_OP, NO_OP },
	[PFXT_0F7E]	= { NO_OP, OP(MOVX, EV, Y), OP(MOVX, VW, X8), NO_OP },
	[PFXT_0F7F]	= { NO_OP, OP(MOVX_ALIGNED, WV, X16), OP(MOVX, WV, X16), NO_OP },
	[PFXT_0FC7_6_MEM] = { OP(VMPTRLD, E, X8), OP(VMCLEAR, E, X8), OP(VMXON, E, X8), NO_OP },
	[PFXT_0FC7_6_REG] = { OP(RDRAND, E, 0), OP(RDRAND, E, 0), NO_OP, NO_OP },
	[PFXT_0FC7_7_REG] = { OP(RDSEED, E, 0), OP(RDSEED, E, 0), OP(RDPID, E, CRDR), NO_OP },
	[PFXT_0FD6]	= { NO_OP, OP(MOVX, WV, X8), NO_OP, NO_OP },
	[PFXT_0FE7]	= { NO_OP, OP(MOVX_ALIGNED, WV, X16 | M), NO_OP, NO_OP },
	[PFXT_0FF0]	= { NO_OP, NO_OP, NO_OP, OP(MOVX, VW, X16 | M) },
	[PFXT_VMMCALL]	= { OP(VMMCALL, MODRM, 0), NO_OP, OP(VMGEXIT, MODRM, 0),
			    OP(VMGEXIT, MODRM, 0) },
	[PFXT_MCOMMIT]	= { OP(MONITORX, MODRM, 0), NO_OP, OP(MCOMMIT, MODRM, 0), NO_OP },
	[PFXT_0F382A]	= { NO_OP, OP(MOVX_ALIGNED, VW, X16 | M), NO_OP, NO_OP },
	[PFXT_0F3880]	= { NO_OP, OP(INVEPT, MODRM, M), NO_OP, NO_OP },
	[PFXT_0F3881]	= { NO_OP, OP(INVVPID, MODRM, M), NO_OP, NO_OP },
	[PFXT_0F3882]	= { NO_OP, OP(INVPCID, MODRM, M), NO_OP, NO_OP },
	[PFXT_0F38F0]	= { OP(MOVBE, GE, M), OP(MOVBE, GE, M), NO_OP, NO_OP },
	[PFXT_0F38F1]	= { OP(MOVBE, EG, M), OP(MOVBE, EG, M), NO_OP, NO_OP },
};

/* By ModRM.mod: memory, register */
static const struct op_entry split[][2] = {
	[SPL_0F01_0]	= { OP(SGDT, MODRM, 0), RM_TABLE(0F01_0) },
	[SPL_0F01_1]	= { OP(SIDT, MODRM, 0), RM_TABLE(0F01_1) },
	[SPL_0F01_2]	= { OP(LGDT, MODRM, 0), RM_TABLE(0F01_2) },
	[SPL_0F01_3]	= { OP(LIDT, MODRM, 0), RM_TABLE(0F01_3) },
	[SPL_0F01_5]	= { NO_OP, RM_TABLE(0F01_5) },
	[SPL_0F01_7]	= { OP(INVLPG, MODRM, 0), RM_TABLE(0F01_7) },
	[SPL_0FC7_6]	= { PREFIX(0FC7_6_MEM), PREFIX(0FC7_6_REG) },
	[SPL_0FC7_7]	= { OP(VMPTRST, E, X8 | NP), PREFIX(0FC7_7_REG) },
};

/* By ModRM.rm, with ModRM.mod 3 */
static const struct op_entry rm_tables[][8] = {
	[RMT_0F01_0] = {
		OP(ENCLV, MODRM, NP), OP(VMCALL, MODRM, NP), OP(VMLAUNCH, MODRM, NP),
		OP(VMRESUME, MODRM, NP), OP(VMXOFF, MODRM, NP), NO_OP, NO_OP, NO_OP,
	},
	[RMT_0F01_1] = {
		OP(MONITOR, MODRM, NP), OP(MWAIT, MODRM, NP), OP(CLAC, MODRM, NP),
		OP(STAC, MODRM, NP), NO_OP, NO_OP, NO_OP, OP(ENCLS, MODRM, NP),
	},
	[RMT_0F01_2] = {
		OP(XGETBV, MODRM, NP), OP(XSETBV, MODRM, NP), NO_OP, NO_OP,
		OP(VMFUNC, MODRM, NP), OP(XEND, MODRM, NP), OP(XTEST, MODRM, NP),
		OP(ENCLU, MODRM, NP),
	},
	[RMT_0F01_3] = {
		OP(VMRUN, MODRM, 0), PREFIX(VMMCALL), OP(VMLOAD, MODRM, 0), OP(VMSAVE, MODRM, 0),
		OP(STGI, MODRM, 0), OP(CLGI, MODRM, 0), OP(SKINIT, MODRM, 0),
		OP(INVLPGA, MODRM, 0),
	},
	[RMT_0F01_5] = {
		OP(SERIALIZE, MODRM, NP), NO_OP, NO_OP, NO_OP,
		NO_OP, NO_OP, OP(RDPKRU, MODRM, NP), OP(WRPKRU, MODRM, NP),
	},
	[RMT_0F01_7] = {
		OP(SWAPGS, MODRM, O64), OP(RDTSCP, MODRM, 0), PREFIX(MCOMMIT),
		OP(MWAITX, MODRM, NP), OP(CLZERO, MODRM, 0), OP(RDPRU, MODRM, 0),
		OP(INVLPGB, MODRM, NP), OP(TLBSYNC, MODRM, NP),
	},
};

static const struct op_entry one_byte[256] = {
	[0x00] = OP(ADD, EG, B | L), OP(ADD, EG, L), OP(ADD, GE, B), OP(ADD, GE, 0),
	[0x04] = OP(ADD, AI, B), OP(ADD, AI, 0),
	[0x08] = OP(OR, EG, B | L), OP(OR, EG, L), OP(OR, GE, B), OP(OR, GE, 0),
	[0x0c] = OP(OR, AI, B), OP(OR, AI, 0),
	[0x10] = OP(ADC, EG, B | L), OP(ADC, EG, L), OP(ADC, GE, B), OP(ADC, GE, 0),
	[0x14] = OP(ADC, AI, B), OP(ADC, AI, 0),
	[0x18] = OP(SBB, EG, B | L), OP(SBB, EG, L), OP(SBB, GE, B), OP(SBB, GE, 0),
	[0x1c] = OP(SBB, AI, B), OP(SBB, AI, 0),
	[0x20] = OP(AND, EG, B | L), OP(AND, EG, L), OP(AND, GE, B), OP(AND, GE, 0),
	[0x24] = OP(AND, AI, B), OP(AND, AI, 0),
	[0x28] = OP(SUB, EG, B | L), OP(SUB, EG, L), OP(SUB, GE, B), OP(SUB, GE, 0),
	[0x2c] = OP(SUB, AI, B), OP(SUB, AI, 0),
	[0x30] = OP(XOR, EG, B | L), OP(XOR, EG, L), OP(XOR, GE, B), OP(XOR, GE, 0),
	[0x34] = OP(XOR, AI, B), OP(XOR, AI, 0),
	[0x38] = OP(CMP, EG, B), OP(CMP, EG, 0), OP(CMP, GE, B), OP(CMP, GE, 0),
	[0x3c] = OP(CMP, AI, B), OP(CMP, AI, 0),
	/* In 64-bit mode REX prefixes, taken before this table is looked at */
	[0x40 ... 0x47] = OP(INC, Z, I64),
	[0x48 ... 0x4f] = OP(DEC, Z, I64),
	[0x50 ... 0x57] = OP(PUSH, SZ, D64),
	[0x58 ... 0x5f] = OP(POP, ZS, D64),
	[0x63] = OP(MOVSX, G_ED, O64),
	[0x68] = OP(PUSH, SI, D64),
	[0x6a] = OP(PUSH, SIB, D64),
	[0x6c] = OP(INS, Y_DX, B), OP(INS, Y_DX, IO), OP(OUTS, DX_X, B), OP(OUTS, DX_X, IO),
	[0x80] = GROUP(80), GROUP(81), GROUP(82), GROUP(83),
	[0x84] = OP(TEST, EG, B), OP(TEST, EG, 0), OP(XCHG, EG, B | L), OP(XCHG, EG, L),
	[0x88] = OP(MOV, EG, B), OP(MOV, EG, 0), OP(MOV, GE, B), OP(MOV, GE, 0),
	[0x8c] = OP(MOV_SREG, RW_SEG, 0),
	[0x8e] = OP(MOV_SREG, SEG_EW, 0),
	[0x8f] = GROUP(8F),
	[0x90] = PREFIX(90),
	[0x91 ... 0x97] = OP(XCHG, ZA, 0),
	[0x9a] = OP(CALL_FAR, FAR, I64),
	[0x9c] = OP(PUSHF, NONE, D64), OP(POPF, NONE, D64),
	[0xa0] = OP(MOV, AO, B), OP(MOV, AO, 0), OP(MOV, OA, B), OP(MOV, OA, 0),
	[0xa4] = OP(MOVS, YX, B), OP(MOVS, YX, 0), OP(CMPS, YX, B), OP(CMPS, YX, 0),
	[0xa8] = OP(TEST, AI, B), OP(TEST, AI, 0),
	[0xaa] = OP(STOS, YA, B), OP(STOS, YA, 0), OP(LODS, AX, B), OP(LODS, AX, 0),
	[0xae] = OP(SCAS, AY, B), OP(SCAS, AY, 0),
	[0xb0 ... 0xb7] = OP(MOV, ZI, B),
	[0xb8 ... 0xbf] = OP(MOV, ZI, 0),
	/* LES and LDS are not known, but for what they are in VEX */
	[0xc4] = { 0, FORM_VEX3, 0 },
	[0xc5] = { 0, FORM_VEX2, 0 },
	[0xc6] = GROUP(C6), GROUP(C7),
	[0xcc] = OP(INT3, NONE, 0), OP(INT, IB, B), OP(INTO, NONE, I64), OP(IRET, NONE, 0),
	[0xe4] = OP(IN, A_IB, B), OP(IN, A_IB, IO), OP(OUT, IB_A, B), OP(OUT, IB_A, IO),
	[0xea] = OP(JMP_FAR, FAR, I64),
	[0xec] = OP(IN, A_DX, B), OP(IN, A_DX, IO), OP(OUT, DX_A, B), OP(OUT, DX_A, IO),
	[0xf1] = OP(INT1, NONE, 0),
	[0xf4] = OP(HLT, NONE, 0),
	[0xf6] = GROUP(F6), GROUP(F7),
	[0xfa] = OP(CLI, NONE, 0), OP(STI, NONE, 0),
	[0xfe] = GROUP(FE), GROUP(FF),
};

static const struct op_entry two_byte[256] = {
	[0x00] = GROUP(0F00), GROUP(0F01),
	[0x05] = OP(SYSCALL, NONE, 0), OP(CLTS, NONE, 0), OP(SYSRET, NONE, 0), OP(INVD, NONE, 0),
	[0x09] = PREFIX(0F09),
	[0x0b] = OP(UD, NONE, 0),
	[0x10] = PREFIX(0F10), PREFIX(0F11),
	[0x1f] = OP(NOP, MODRM, 0),
	[0x20] = OP(MOV_CR, R_CR, CRDR), OP(MOV_DR, R_DR, CRDR),
	[0x22] = OP(MOV_CR, CR_R, CRDR), OP(MOV_DR, DR_R, CRDR),
	[0x28] = PREFIX(0F28), PREFIX(0F29),
	[0x2b] = PREFIX(0F2B),
	[0x30] = OP(WRMSR, NONE, 0), OP(RDTSC, NONE, 0), OP(RDMSR, NONE, 0), OP(RDPMC, NONE, 0),
	[0x34] = OP(SYSENTER, NONE, 0), OP(SYSEXIT, NONE, 0),
	[0x37] = OP(GETSEC, NONE, NP),
	[0x6e] = PREFIX(0F6E), PREFIX(0F6F),
	[0x78] = PREFIX(0F78), PREFIX(0F79),
	[0x7e] = PREFIX(0F7E), PREFIX(0F7F),
	[0xa2] = OP(CPUID, NONE, 0), OP(BT, EG, 0),
	[0xaa] = OP(RSM, NONE, 0), OP(BTS, EG, L),
	[0xb0] = OP(CMPXCHG, EG, B | L), OP(CMPXCHG, EG, L),
	[0xb3] = OP(BTR, EG, L),
	[0xb6] = OP(MOVZX, G_EB, 0), OP(MOVZX, G_EW, 0),
	[0xba] = GROUP(0FBA), OP(BTC, EG, L),
	[0xbe] = OP(MOVSX, G_EB, 0), OP(MOVSX, G_EW, 0),
	[0xc0] = OP(XADD, EG, B | L), OP(XADD, EG, L),
	[0xc3] = OP(MOV, EG, Y | M | NP),
	[0xc7] = GROUP(0FC7),
	[0xd6] = PREFIX(0FD6),
	[0xe7] = PREFIX(0FE7),
	[0xf0] = PREFIX(0FF0),
};

/* The few of map 0F 38 */
static const struct op_entry *map_0f38(u8 opcode)
{
	static const struct op_entry movntdqa = PREFIX(0F382A);
	static const struct op_entry inv[] = { PREFIX(0F3880), PREFIX(0F3881), PREFIX(0F3882) };
	static const struct op_entry movbe[] = { PREFIX(0F38F0), PREFIX(0F38F1) };
	static const struct op_entry none = NO_OP;

	if (opcode == 0x2a)
		return &movntdqa;
	if (opcode >= 0x80 && opcode <= 0x82)
		return &inv[opcode - 0x80];
	if (opcode == 0xf0 || opcode == 0xf1)
		return &movbe[opcode - 0xf0];
	return &none;
}

#endif
