/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instruction decoder: bytes in, struct hvx_insn out.
 *
 * A pure function over tables (opcodes.h): no allocation, no recursion, at most 15 bytes looked at.
 * It knows what can meet MMIO (see exec.c) and what makes a guest exit, so that an exit whose
 * instruction the processor does not describe can be skipped. All else is -EOPNOTSUPP.
 */
#ifndef HVX_EMUL_DECODE_H
#define HVX_EMUL_DECODE_H

#include <linux/bits.h>
#include <linux/types.h>

#define HVX_INSN_MAX	15	/* bytes */
#define HVX_NO_REG	0xff

/* Default operand and address size of the code: CS.L and CS.D */
enum hvx_insn_mode {
	HVX_INSN_16,		/* real mode and virtual-8086 mode, too */
	HVX_INSN_32,
	HVX_INSN_64,
};

/* What the instruction does */
enum hvx_insn_op {
	INSN_NONE,
	/* Order of the arithmetic operations is that of the encoding */
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP,
	INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC,
	INSN_TEST, INSN_NOT, INSN_NEG, INSN_INC, INSN_DEC,
	INSN_MOV, INSN_MOVZX, INSN_MOVSX, INSN_MOVBE,
	INSN_XCHG, INSN_XADD, INSN_CMPXCHG, INSN_CMPXCHG2,
	INSN_MOVS, INSN_CMPS, INSN_STOS, INSN_LODS, INSN_SCAS,
	INSN_PUSH, INSN_POP,
	INSN_MOVX,		/* to XMM from memory: rest of the register becomes 0; and back */
	INSN_MOVX_ALIGNED,	/* the same, 16 bytes, aligned */
	INSN_LAST_EXECUTED = INSN_MOVX_ALIGNED,	/* the rest is decoded only */

	INSN_MOV_SREG, INSN_MOV_CR, INSN_MOV_DR, INSN_CLTS, INSN_LMSW, INSN_SMSW,
	INSN_IN, INSN_OUT, INSN_INS, INSN_OUTS,
	INSN_HLT, INSN_PAUSE, INSN_NOP, INSN_CPUID, INSN_RDMSR, INSN_WRMSR, INSN_RDPMC,
	INSN_RDTSC, INSN_RDTSCP, INSN_RDPID, INSN_RDRAND, INSN_RDSEED, INSN_RDPRU,
	INSN_XGETBV, INSN_XSETBV, INSN_XSAVES, INSN_XRSTORS, INSN_XSAVEC,
	INSN_INVD, INSN_WBINVD, INSN_WBNOINVD,
	INSN_INVLPG, INSN_INVPCID, INSN_INVLPGA, INSN_INVLPGB, INSN_TLBSYNC,
	INSN_MONITOR, INSN_MWAIT, INSN_MONITORX, INSN_MWAITX,
	INSN_SGDT, INSN_SIDT, INSN_LGDT, INSN_LIDT,
	INSN_SLDT, INSN_STR, INSN_LLDT, INSN_LTR, INSN_VERR, INSN_VERW,
	INSN_CLI, INSN_STI, INSN_CLAC, INSN_STAC, INSN_PUSHF, INSN_POPF, INSN_IRET,
	INSN_INT, INSN_INT1, INSN_INT3, INSN_INTO, INSN_UD,
	INSN_CALL_FAR, INSN_JMP_FAR, INSN_SYSCALL, INSN_SYSRET, INSN_SYSENTER, INSN_SYSEXIT,
	INSN_RSM, INSN_SWAPGS, INSN_GETSEC, INSN_ENCLS, INSN_ENCLU, INSN_ENCLV,
	INSN_VMCALL, INSN_VMLAUNCH, INSN_VMRESUME, INSN_VMXOFF, INSN_VMXON, INSN_VMPTRLD,
	INSN_VMPTRST, INSN_VMCLEAR, INSN_VMREAD, INSN_VMWRITE, INSN_VMFUNC,
	INSN_INVEPT, INSN_INVVPID,
	INSN_VMMCALL, INSN_VMRUN, INSN_VMLOAD, INSN_VMSAVE, INSN_STGI, INSN_CLGI, INSN_SKINIT,
	INSN_VMGEXIT,
	INSN_CLZERO, INSN_XEND, INSN_XTEST, INSN_RDPKRU, INSN_WRPKRU, INSN_SERIALIZE,
	INSN_MCOMMIT,
	INSN_VEX,		/* any VEX-encoded instruction: length and memory operand only */
	NR_INSN_OPS,
};

/* hvx_insn.prefix */
#define PFX_LOCK	BIT(0)
#define PFX_REP		BIT(1)	/* F3; of F2 and F3 the last counts */
#define PFX_REPNE	BIT(2)	/* F2 */
#define PFX_OPSIZE	BIT(3)	/* 66 */
#define PFX_ADDRSIZE	BIT(4)	/* 67 */
#define PFX_VEX		BIT(5)

/* hvx_insn.rex; the same bits for VEX */
#define REX_B		BIT(0)
#define REX_X		BIT(1)
#define REX_R		BIT(2)
#define REX_W		BIT(3)
#define REX_PRESENT	BIT(6)

enum hvx_operand_kind {
	OPD_NONE,
	OPD_GPR,
	OPD_GPR_HIGH,		/* AH, CH, DH, BH: bits 15:8 of @reg */
	OPD_MEM,		/* hvx_insn.mem */
	OPD_IMM,		/* hvx_insn.imm */
	OPD_XMM,
	OPD_SREG,
	OPD_CR,
	OPD_DR,
	OPD_DX,			/* the port in DX */
	OPD_STR_SRC,		/* DS:rSI or with override; hvx_insn.mem */
	OPD_STR_DST,		/* ES:rDI */
	OPD_STACK,		/* SS:rSP */
};

struct hvx_operand {
	u8 kind;		/* enum hvx_operand_kind */
	u8 reg;			/* number in the encoding */
	u8 size;		/* bytes */
};

struct hvx_mem_operand {
	s64 disp;
	u8 seg;			/* enum hvx_seg_reg */
	u8 base;		/* enum hvx_reg_index or HVX_NO_REG */
	u8 index;
	u8 scale;		/* shift: 0 .. 3 */
	bool rip;		/* base is the address of the next instruction */
};

struct hvx_insn {
	u8 len;
	u8 op;			/* enum hvx_insn_op */
	u8 mode;		/* enum hvx_insn_mode */
	u8 map;			/* 0 one byte, 1 0F, 2 0F 38, 3 0F 3A */
	u8 opcode;
	u8 modrm;		/* with @has_modrm */
	u8 sib;
	u8 prefix;		/* PFX_* */
	u8 rex;			/* REX_* */
	u8 seg;			/* override: enum hvx_seg_reg or HVX_NO_REG */
	u8 op_size;		/* bytes */
	u8 addr_size;		/* bytes */
	u8 access;		/* to memory operands: HVX_READ, HVX_WRITE */
	u8 dst_access;		/* to the destination, wherever it is; the source is read */
	bool has_modrm;
	struct hvx_operand dst, src;
	struct hvx_mem_operand mem;
	u64 imm;		/* sign-extended; of a far pointer selector:offset */
};

/*
 * Decode the instruction at @bytes. 0; -ENODATA: it goes on behind @n bytes; -EINVAL: #UD, or
 * longer than 15 bytes; -EOPNOTSUPP: not known here. @insn is meaningful only after 0.
 * Context: any.
 */
int hvx_decode(struct hvx_insn *insn, const u8 *bytes, unsigned int n, enum hvx_insn_mode mode);

#endif
