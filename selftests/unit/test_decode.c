// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction decoder against a table of known encodings, against what firmware does to devices
 * (firmware_forms.S), and against Zydis over all opcodes, ModRM bytes and prefixes, and at random.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/kernel.h>
#include "emul/decode.h"
#include "vcpu/exit.h"
#include "vcpu/regs.h"
#include "tap.h"

static int decode(struct hvx_insn *insn, enum hvx_insn_mode mode, unsigned int n, const char *bytes)
{
	return hvx_decode(insn, (const u8 *)bytes, n, mode);
}

#define DECODE(insn, mode, bytes)	decode(insn, HVX_INSN_##mode, sizeof(bytes) - 1, bytes)

/* What makes a guest exit: operation and length, in the mode where it is found most */
TEST(exits)
{
	static const struct {
		u8 len, op, mode;
		const char *bytes;
	} known[] = {
		{ 2, INSN_CPUID, HVX_INSN_64, "\x0f\xa2" },
		{ 1, INSN_HLT, HVX_INSN_16, "\xf4" },
		{ 2, INSN_RDMSR, HVX_INSN_64, "\x0f\x32" },
		{ 2, INSN_WRMSR, HVX_INSN_64, "\x0f\x30" },
		{ 3, INSN_VMCALL, HVX_INSN_64, "\x0f\x01\xc1" },
		{ 3, INSN_VMMCALL, HVX_INSN_64, "\x0f\x01\xd9" },
		{ 2, INSN_RDPMC, HVX_INSN_32, "\x0f\x33" },
		{ 3, INSN_XSETBV, HVX_INSN_64, "\x0f\x01\xd1" },
		{ 2, INSN_INVD, HVX_INSN_64, "\x0f\x08" },
		{ 2, INSN_WBINVD, HVX_INSN_64, "\x0f\x09" },
		{ 3, INSN_WBNOINVD, HVX_INSN_64, "\xf3\x0f\x09" },
		{ 2, INSN_PAUSE, HVX_INSN_64, "\xf3\x90" },
		{ 2, INSN_RDTSC, HVX_INSN_64, "\x0f\x31" },
		{ 3, INSN_RDTSCP, HVX_INSN_64, "\x0f\x01\xf9" },
		{ 3, INSN_MONITOR, HVX_INSN_64, "\x0f\x01\xc8" },
		{ 3, INSN_MWAIT, HVX_INSN_64, "\x0f\x01\xc9" },
		{ 2, INSN_IN, HVX_INSN_16, "\xe4\x60" },
		{ 1, INSN_OUT, HVX_INSN_64, "\xee" },
		{ 2, INSN_INS, HVX_INSN_64, "\xf3\x6d" },
		{ 2, INSN_OUTS, HVX_INSN_64, "\xf3\x6e" },
		{ 3, INSN_MOV_CR, HVX_INSN_64, "\x0f\x22\xd8" },
		{ 4, INSN_MOV_CR, HVX_INSN_64, "\x44\x0f\x20\xc0" },
		{ 3, INSN_MOV_DR, HVX_INSN_16, "\x0f\x23\xf8" },
		{ 2, INSN_CLTS, HVX_INSN_32, "\x0f\x06" },
		{ 3, INSN_LMSW, HVX_INSN_16, "\x0f\x01\xf0" },
		{ 4, INSN_SMSW, HVX_INSN_16, "\x0f\x01\x66\x10" },
		{ 3, INSN_INVLPG, HVX_INSN_64, "\x0f\x01\x38" },
		{ 2, INSN_IRET, HVX_INSN_64, "\x48\xcf" },
		{ 2, INSN_INT, HVX_INSN_16, "\xcd\x10" },
		{ 1, INSN_INT3, HVX_INSN_64, "\xcc" },
		{ 1, INSN_INTO, HVX_INSN_32, "\xce" },
		{ 3, INSN_VMRUN, HVX_INSN_64, "\x0f\x01\xd8" },
		{ 3, INSN_VMLOAD, HVX_INSN_64, "\x0f\x01\xda" },
		{ 3, INSN_VMSAVE, HVX_INSN_64, "\x0f\x01\xdb" },
		{ 3, INSN_STGI, HVX_INSN_64, "\x0f\x01\xdc" },
		{ 3, INSN_CLGI, HVX_INSN_64, "\x0f\x01\xdd" },
		{ 3, INSN_SKINIT, HVX_INSN_64, "\x0f\x01\xde" },
		{ 4, INSN_VMXON, HVX_INSN_64, "\xf3\x0f\xc7\x30" },
		{ 4, INSN_VMCLEAR, HVX_INSN_64, "\x66\x0f\xc7\x30" },
		{ 3, INSN_VMPTRLD, HVX_INSN_64, "\x0f\xc7\x30" },
		{ 3, INSN_VMLAUNCH, HVX_INSN_64, "\x0f\x01\xc2" },
		{ 5, INSN_JMP_FAR, HVX_INSN_16, "\xea\x5b\xe0\x00\xf0" },
	};
	struct hvx_insn insn;

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++) {
		const u8 *bytes = (const u8 *)known[i].bytes;

		EXPECT_EQ(hvx_decode(&insn, bytes, known[i].len, known[i].mode), 0);
		EXPECT_EQ(insn.op, known[i].op);
		EXPECT_EQ(insn.len, known[i].len);
		for (unsigned int n = 0; n < known[i].len; n++)
			EXPECT_EQ(hvx_decode(&insn, bytes, n, known[i].mode), -ENODATA);
	}
}

TEST(registers_of_cr_and_dr)
{
	struct hvx_insn insn;

	EXPECT_EQ(DECODE(&insn, 64, "\x0f\x22\xd8"), 0);
	EXPECT(insn.dst.kind == OPD_CR && insn.dst.reg == 3 && insn.src.reg == REG_RAX);
	EXPECT_EQ(DECODE(&insn, 64, "\x45\x0f\x20\xc1"), 0);
	EXPECT(insn.src.kind == OPD_CR && insn.src.reg == 8 && insn.dst.reg == REG_R9);
	/* ModRM.mod is ignored: no displacement follows */
	EXPECT_EQ(DECODE(&insn, 32, "\x0f\x20\x05"), 0);
	EXPECT(insn.len == 3 && insn.dst.kind == OPD_GPR && insn.dst.reg == REG_RBP);
	/* LOCK makes CR8 of CR0 */
	EXPECT_EQ(DECODE(&insn, 32, "\xf0\x0f\x22\xc0"), 0);
	EXPECT(insn.dst.kind == OPD_CR && insn.dst.reg == 8);
	EXPECT_EQ(DECODE(&insn, 64, "\x0f\x22\xc8"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, "\x44\x0f\x23\xc0"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, "\x0f\x23\xf8"), 0);
	EXPECT(insn.dst.kind == OPD_DR && insn.dst.reg == 7);
}

TEST(memory_operands)
{
	struct hvx_insn insn;

	/* mov %eax, 0x12345678(%r13,%r12,4) */
	EXPECT_EQ(DECODE(&insn, 64, "\x43\x89\x84\xa5\x78\x56\x34\x12"), 0);
	EXPECT(insn.mem.base == REG_R13 && insn.mem.index == REG_R12 && insn.mem.scale == 2);
	EXPECT_EQ(insn.mem.disp, 0x12345678);
	EXPECT(insn.access == HVX_WRITE && insn.op_size == 4 && insn.mem.seg == SEG_DS);
	/* mov -1(%rip), %rax */
	EXPECT_EQ(DECODE(&insn, 64, "\x48\x8b\x05\xff\xff\xff\xff"), 0);
	EXPECT(insn.mem.rip && insn.mem.disp == -1 && insn.op_size == 8 && insn.access == HVX_READ);
	/* mov %ah, %gs:(%ebp) */
	EXPECT_EQ(DECODE(&insn, 32, "\x65\x88\x65\x00"), 0);
	EXPECT(insn.src.kind == OPD_GPR_HIGH && insn.src.reg == REG_RAX && insn.mem.seg == SEG_GS);
	/* 16-bit: mov %ax, 2(%bp,%di) */
	EXPECT_EQ(DECODE(&insn, 16, "\x89\x43\x02"), 0);
	EXPECT(insn.mem.base == REG_RBP && insn.mem.index == REG_RDI && insn.mem.seg == SEG_SS);
	/* movabs %al, moffs */
	EXPECT_EQ(DECODE(&insn, 64, "\xa2\x01\x02\x03\x04\x05\x06\x07\x88"), 0);
	EXPECT_EQ(insn.mem.disp, (s64)0x8807060504030201);
	EXPECT(insn.dst.kind == OPD_MEM && insn.src.size == 1);
}

#define SIX_66	"\x66\x66\x66\x66\x66\x66"

TEST(refusals)
{
	struct hvx_insn insn;

	/* Longer than 15 bytes, and exactly 15 */
	EXPECT_EQ(DECODE(&insn, 64, SIX_66 SIX_66 "\x66\x66\x0f\xa2"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, SIX_66 SIX_66 "\x66\x0f\xa2"), 0);
	EXPECT_EQ(insn.len, 15);
	/* LOCK without a memory destination, or with an operation that does not take it */
	EXPECT_EQ(DECODE(&insn, 64, "\xf0\x01\xc0"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, "\xf0\x8b\x00"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, "\xf0\x01\x00"), 0);
	/* Not in 64-bit mode; not known */
	EXPECT_EQ(DECODE(&insn, 64, "\xce"), -EINVAL);
	EXPECT_EQ(DECODE(&insn, 64, "\xd9\x00"), -EOPNOTSUPP);
}

/* Operations by the names that Zydis has for them; several where operand size or more is in it */
static const char *const names[NR_INSN_OPS] = {
	[INSN_ADD] = "add", [INSN_OR] = "or", [INSN_ADC] = "adc", [INSN_SBB] = "sbb",
	[INSN_AND] = "and", [INSN_SUB] = "sub", [INSN_XOR] = "xor", [INSN_CMP] = "cmp",
	[INSN_BT] = "bt", [INSN_BTS] = "bts", [INSN_BTR] = "btr", [INSN_BTC] = "btc",
	[INSN_TEST] = "test", [INSN_NOT] = "not", [INSN_NEG] = "neg", [INSN_INC] = "inc",
	[INSN_DEC] = "dec", [INSN_MOV] = "mov movnti", [INSN_MOVZX] = "movzx",
	[INSN_MOVSX] = "movsx movsxd", [INSN_MOVBE] = "movbe", [INSN_XCHG] = "xchg nop",
	[INSN_XADD] = "xadd", [INSN_CMPXCHG] = "cmpxchg", [INSN_CMPXCHG2] = "cmpxchg8b cmpxchg16b",
	[INSN_MOVS] = "movsb movsw movsd movsq", [INSN_CMPS] = "cmpsb cmpsw cmpsd cmpsq",
	[INSN_STOS] = "stosb stosw stosd stosq", [INSN_LODS] = "lodsb lodsw lodsd lodsq",
	[INSN_SCAS] = "scasb scasw scasd scasq", [INSN_PUSH] = "push", [INSN_POP] = "pop",
	[INSN_MOVX] = "movups movupd movss movsd movd movq movdqu lddqu",
	[INSN_MOVX_ALIGNED] = "movaps movapd movdqa movntps movntpd movntdq movntdqa",
	[INSN_MOV_SREG] = "mov", [INSN_MOV_CR] = "mov", [INSN_MOV_DR] = "mov", [INSN_CLTS] = "clts",
	[INSN_LMSW] = "lmsw", [INSN_SMSW] = "smsw", [INSN_IN] = "in", [INSN_OUT] = "out",
	[INSN_INS] = "insb insw insd", [INSN_OUTS] = "outsb outsw outsd", [INSN_HLT] = "hlt",
	[INSN_PAUSE] = "pause", [INSN_NOP] = "nop", [INSN_CPUID] = "cpuid", [INSN_RDMSR] = "rdmsr",
	[INSN_WRMSR] = "wrmsr", [INSN_RDPMC] = "rdpmc", [INSN_RDTSC] = "rdtsc",
	[INSN_RDTSCP] = "rdtscp", [INSN_RDPID] = "rdpid", [INSN_RDRAND] = "rdrand",
	[INSN_RDSEED] = "rdseed", [INSN_RDPRU] = "rdpru", [INSN_XGETBV] = "xgetbv",
	[INSN_XSETBV] = "xsetbv", [INSN_XSAVES] = "xsaves xsaves64",
	[INSN_XRSTORS] = "xrstors xrstors64", [INSN_XSAVEC] = "xsavec xsavec64",
	[INSN_INVD] = "invd", [INSN_WBINVD] = "wbinvd", [INSN_WBNOINVD] = "wbnoinvd wbinvd",
	[INSN_INVLPG] = "invlpg", [INSN_INVPCID] = "invpcid", [INSN_INVLPGA] = "invlpga",
	[INSN_INVLPGB] = "invlpgb", [INSN_TLBSYNC] = "tlbsync", [INSN_MONITOR] = "monitor",
	[INSN_MWAIT] = "mwait", [INSN_MONITORX] = "monitorx", [INSN_MWAITX] = "mwaitx",
	[INSN_SGDT] = "sgdt", [INSN_SIDT] = "sidt", [INSN_LGDT] = "lgdt", [INSN_LIDT] = "lidt",
	[INSN_SLDT] = "sldt", [INSN_STR] = "str", [INSN_LLDT] = "lldt", [INSN_LTR] = "ltr",
	[INSN_VERR] = "verr", [INSN_VERW] = "verw", [INSN_CLI] = "cli", [INSN_STI] = "sti",
	[INSN_CLAC] = "clac", [INSN_STAC] = "stac", [INSN_PUSHF] = "pushf pushfd pushfq",
	[INSN_POPF] = "popf popfd popfq", [INSN_IRET] = "iret iretd iretq", [INSN_INT] = "int",
	[INSN_INT1] = "int1", [INSN_INT3] = "int3", [INSN_INTO] = "into", [INSN_UD] = "ud2",
	[INSN_CALL_FAR] = "call", [INSN_JMP_FAR] = "jmp", [INSN_SYSCALL] = "syscall",
	[INSN_SYSRET] = "sysret", [INSN_SYSENTER] = "sysenter", [INSN_SYSEXIT] = "sysexit",
	[INSN_RSM] = "rsm", [INSN_SWAPGS] = "swapgs", [INSN_GETSEC] = "getsec",
	[INSN_ENCLS] = "encls", [INSN_ENCLU] = "enclu", [INSN_ENCLV] = "enclv",
	[INSN_VMCALL] = "vmcall", [INSN_VMLAUNCH] = "vmlaunch", [INSN_VMRESUME] = "vmresume",
	[INSN_VMXOFF] = "vmxoff", [INSN_VMXON] = "vmxon", [INSN_VMPTRLD] = "vmptrld",
	[INSN_VMPTRST] = "vmptrst", [INSN_VMCLEAR] = "vmclear", [INSN_VMREAD] = "vmread",
	[INSN_VMWRITE] = "vmwrite", [INSN_VMFUNC] = "vmfunc", [INSN_INVEPT] = "invept",
	[INSN_INVVPID] = "invvpid", [INSN_VMMCALL] = "vmmcall", [INSN_VMRUN] = "vmrun",
	[INSN_VMGEXIT] = "vmgexit vmmcall",
	[INSN_VMLOAD] = "vmload", [INSN_VMSAVE] = "vmsave", [INSN_STGI] = "stgi",
	[INSN_CLGI] = "clgi", [INSN_SKINIT] = "skinit", [INSN_CLZERO] = "clzero",
	[INSN_XEND] = "xend", [INSN_XTEST] = "xtest", [INSN_RDPKRU] = "rdpkru",
	[INSN_WRPKRU] = "wrpkru", [INSN_SERIALIZE] = "serialize", [INSN_MCOMMIT] = "mcommit",
};

static bool word_in(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p && *p; p += strcspn(p, " "), p += *p == ' ') {
		if (strcspn(p, " ") == len && !memcmp(p, word, len))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------------- firmware */

struct firmware_form {
	const u8 *bytes;
	const char *text, *op;
	u8 len, mode, access, size;
};

extern const struct firmware_form firmware_forms[], firmware_forms_end[];

static u8 memory_size(const struct hvx_insn *insn)
{
	return insn->dst.kind == OPD_MEM ? insn->dst.size :
	       insn->src.kind == OPD_MEM ? insn->src.size : 0;
}

static bool executed(const struct firmware_form *f, const struct hvx_insn *insn)
{
	return insn->op && insn->op <= INSN_LAST_EXECUTED && word_in(names[insn->op], f->op) &&
	       insn->access == f->access && memory_size(insn) == f->size;
}

/* The emulator does all but VEX (see selftests/mmio.c), which goes to user space with its bytes */
TEST(firmware)
{
	const struct firmware_form *f;

	for (f = firmware_forms; f < firmware_forms_end; f++) {
		u8 bytes[HVX_INSN_MAX] = { 0 };
		struct hvx_insn insn = { 0 };
		int err;

		memcpy(bytes, f->bytes, f->len);
		err = hvx_decode(&insn, bytes, f->len, f->mode);
		if (!EXPECT(!err && insn.len == f->len, "%s: %d, length %u, not %u", f->text, err,
			    insn.len, f->len))
			continue;
		if (!strcmp(f->op, "VEX"))
			EXPECT(insn.op == INSN_VEX, "%s: operation %u", f->text, insn.op);
		else
			EXPECT(executed(f, &insn), "%s: operation %u, access %u, %u bytes",
			       f->text, insn.op, insn.access, memory_size(&insn));
	}
	EXPECT(f - firmware_forms > 200);
}

/* ------------------------------------------------------------------------------- Zydis */

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>

static ZydisDecoder decoders[3];

static void init_zydis(void)
{
	ZydisDecoderInit(&decoders[HVX_INSN_16], ZYDIS_MACHINE_MODE_LEGACY_16,
			 ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[HVX_INSN_32], ZYDIS_MACHINE_MODE_LEGACY_32,
			 ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[HVX_INSN_64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static u8 gpr_of(ZydisRegister reg)
{
	ZydisRegister large;

	if (reg == ZYDIS_REGISTER_NONE || reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return HVX_NO_REG;
	large = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return large - ZYDIS_REGISTER_RAX;
}

static u8 kind_of(const ZydisDecodedOperand *o)
{
	switch (o->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return OPD_MEM;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return OPD_IMM;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		break;
	default:
		return OPD_NONE;
	}
	if (o->reg.value >= ZYDIS_REGISTER_AH && o->reg.value <= ZYDIS_REGISTER_BH)
		return OPD_GPR_HIGH;
	switch (ZydisRegisterGetClass(o->reg.value)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return OPD_GPR;
	case ZYDIS_REGCLASS_XMM:
		return OPD_XMM;
	case ZYDIS_REGCLASS_SEGMENT:
		return OPD_SREG;
	case ZYDIS_REGCLASS_CONTROL:
		return OPD_CR;
	case ZYDIS_REGCLASS_DEBUG:
		return OPD_DR;
	default:
		return OPD_NONE;
	}
}

static bool same_memory(const struct hvx_insn *insn, const ZydisDecodedOperand *o)
{
	const ZydisDecodedOperandMem *m = &o->mem;
	bool rip = m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP;
	u64 mask = insn->addr_size == 8 ? ~0ULL : (1ULL << (8 * insn->addr_size)) - 1;
	u8 seg = m->segment - ZYDIS_REGISTER_ES;

	/* Zydis 4.0 has R13D as base there; the processor has none (see test_exec) */
	if (insn->addr_size == 4 && insn->rex & REX_B && insn->modrm >> 6 == 0 &&
	    (insn->modrm & 7) == 4 && (insn->sib & 7) == 5)
		return true;
	if (insn->mem.rip != rip || insn->mem.base != gpr_of(m->base) ||
	    insn->mem.index != gpr_of(m->index))
		return false;
	if (m->index != ZYDIS_REGISTER_NONE && 1 << insn->mem.scale != m->scale)
		return false;
	if (m->disp.has_displacement && (insn->mem.disp & mask) != (m->disp.value & mask))
		return false;
	/* In 64-bit mode the two differ over overrides that mean nothing */
	if (insn->mode == HVX_INSN_64 && seg < SEG_FS)
		return insn->mem.seg < SEG_FS || insn->prefix;
	return insn->mem.seg == seg || insn->mode == HVX_INSN_64;
}

static bool same_access(const struct hvx_insn *insn, const ZydisDecodedOperand *o)
{
	u8 access = 0;

	if (o->actions & (ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD))
		access |= HVX_READ;
	if (o->actions & (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE))
		access |= HVX_WRITE;
	return insn->access == access;
}

static bool same_operand(const struct hvx_insn *insn, const struct hvx_operand *opd,
			 const ZydisDecodedOperand *o)
{
	u8 kind = kind_of(o);

	switch (opd->kind) {
	case OPD_MEM:
		return kind == OPD_MEM && opd->size * 8 == o->size && same_memory(insn, o);
	case OPD_GPR:
		return kind == OPD_GPR && opd->size * 8 == o->size &&
		       opd->reg == gpr_of(o->reg.value);
	case OPD_GPR_HIGH:
		return kind == OPD_GPR_HIGH && opd->reg == o->reg.value - ZYDIS_REGISTER_AH;
	case OPD_IMM: {
		unsigned int size = o->imm.is_signed ? opd->size : o->size / 8;
		u64 mask = size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1;

		return kind == OPD_IMM && (insn->imm & mask) == (o->imm.value.u & mask);
	}
	case OPD_XMM:
		return kind == OPD_XMM && opd->reg == o->reg.value - ZYDIS_REGISTER_XMM0;
	case OPD_SREG:
		return kind == OPD_SREG && opd->reg == o->reg.value - ZYDIS_REGISTER_ES;
	case OPD_CR:
		return kind == OPD_CR && opd->reg == o->reg.value - ZYDIS_REGISTER_CR0;
	case OPD_DR:
		return kind == OPD_DR && opd->reg == o->reg.value - ZYDIS_REGISTER_DR0;
	default:
		return true;
	}
}

/* Operands that both sides have, of what is executed and of moves to and from system registers */
static bool same_operands(const struct hvx_insn *insn, const ZydisDecodedInstruction *z,
			  const ZydisDecodedOperand *o)
{
	const struct hvx_operand *opds[2] = { &insn->dst, &insn->src };
	unsigned int at = 0;

	if (insn->op > INSN_MOV_DR || z->mnemonic == ZYDIS_MNEMONIC_NOP)
		return true;
	for (unsigned int i = 0; i < 2; i++) {
		if (opds[i]->kind == OPD_NONE || opds[i]->kind == OPD_STACK)
			continue;
		if (opds[i]->kind == OPD_STR_SRC || opds[i]->kind == OPD_STR_DST) {
			at++;
			continue;
		}
		if (at >= z->operand_count || !same_operand(insn, opds[i], &o[at]))
			return false;
		if (opds[i]->kind == OPD_MEM && !same_access(insn, &o[at]))
			return false;
		at++;
	}
	return true;
}

static void complain(const char *what, const u8 *bytes, enum hvx_insn_mode mode, int err,
		     const struct hvx_insn *insn, ZyanStatus status,
		     const ZydisDecodedInstruction *z)
{
	static u8 seen[4][256];
	char hex[64] = "";

	/* A few of a kind are enough */
	if (!err && seen[insn->map][insn->opcode]++ > 2)
		return;
	for (int i = 0; i < 15; i++)
		sprintf(hex + 3 * i, "%02x ", bytes[i]);
	tap_failed(__FILE__, __LINE__, what, " mode %d: %s: decoder %d len %d op %d, Zydis %s %d",
		   16 << mode, hex, err, err ? 0 : insn->len, err ? 0 : insn->op,
		   ZYAN_SUCCESS(status) ? ZydisMnemonicGetString(z->mnemonic) : "none",
		   ZYAN_SUCCESS(status) ? z->length : 0);
}

static unsigned long compared, known;

static void compare(const u8 *bytes, enum hvx_insn_mode mode)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct hvx_insn insn;
	ZyanStatus status;
	int err;

	compared++;
	err = hvx_decode(&insn, bytes, 15, mode);
	if (err == -EOPNOTSUPP)
		return;
	status = ZydisDecoderDecodeFull(&decoders[mode], bytes, 15, &z, operands);
	if (err) {
		if (ZYAN_SUCCESS(status))
			complain("refused", bytes, mode, err, &insn, status, &z);
		return;
	}
	known++;
	if (!ZYAN_SUCCESS(status)) {
		/* CR8 by LOCK is not known there */
		if (insn.op != INSN_VEX && !(insn.op == INSN_MOV_CR && insn.prefix & PFX_LOCK))
			complain("accepted", bytes, mode, err, &insn, status, &z);
		return;
	}
	/* Of a processor that was never sold */
	if (z.mnemonic == ZYDIS_MNEMONIC_JKZD || z.mnemonic == ZYDIS_MNEMONIC_JKNZD)
		return;
	if (insn.len != z.length)
		complain("length", bytes, mode, err, &insn, status, &z);
	else if (insn.op != INSN_VEX &&
		 !word_in(names[insn.op], ZydisMnemonicGetString(z.mnemonic)))
		complain("operation", bytes, mode, err, &insn, status, &z);
	else if (!same_operands(&insn, &z, operands))
		complain("operands", bytes, mode, err, &insn, status, &z);
	for (unsigned int n = 0; n < insn.len; n += 1 + (compared & 3))
		EXPECT_EQ(hvx_decode(&insn, bytes, n, mode), -ENODATA);
}

static u64 seed = 88172645463325252ULL;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill(u8 *bytes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		bytes[i] = rnd() >> 13;
}

/* Every opcode of the maps with every ModRM, behind each of these prefixes */
static void sweep(enum hvx_insn_mode mode, unsigned int step)
{
	static const char *const prefixes[] = {
		"", "\x66", "\x67", "\xf2", "\xf3", "\xf0", "\x66\xf3", "\xf2\x66", "\xf3\xf2",
		"\x66\x67", "\x2e", "\x36", "\x64", "\x65", "\xf0\xf2", "\xf0\x66",
	};
	static const char *const maps[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };
	static const u8 rex[] = { 0, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f };
	u8 bytes[16];

	for (unsigned int p = 0; p < ARRAY_SIZE(prefixes) * ARRAY_SIZE(rex); p++) {
		const char *prefix = prefixes[p % ARRAY_SIZE(prefixes)];
		u8 r = rex[p / ARRAY_SIZE(prefixes)];

		if (r && mode != HVX_INSN_64)
			break;
		for (unsigned int i = 0; i < 4 * 65536; i += 1 + rnd() % step) {
			const char *map = maps[i >> 16];
			unsigned int n = strlen(prefix);

			memcpy(bytes, prefix, n);
			if (r)
				bytes[n++] = r;
			memcpy(bytes + n, map, strlen(map));
			n += strlen(map);
			bytes[n++] = i >> 8;
			bytes[n++] = i;
			fill(bytes + n, 15 - n);
			compare(bytes, mode);
			if (tap_failures() > 40)
				return;
		}
	}
	tap_note("%lu compared, %lu known", compared, known);
}

/* Operands, too */
TEST(zydis_firmware)
{
	init_zydis();
	for (const struct firmware_form *f = firmware_forms; f < firmware_forms_end; f++) {
		u8 bytes[16] = { 0 };
		unsigned int before = tap_failures();

		memcpy(bytes, f->bytes, f->len);
		compare(bytes, f->mode);
		if (tap_failures() != before)
			tap_note("%s", f->text);
	}
	EXPECT_EQ(known, firmware_forms_end - firmware_forms);
}

/* HVX_DECODE_ALL=1 leaves no ModRM byte out */
static unsigned int step(void)
{
	return getenv("HVX_DECODE_ALL") ? 1 : 8;
}

TEST_TIME(zydis_16, 120)
{
	init_zydis();
	sweep(HVX_INSN_16, step());
}

TEST_TIME(zydis_32, 120)
{
	init_zydis();
	sweep(HVX_INSN_32, step());
}

TEST_TIME(zydis_64, 240)
{
	init_zydis();
	sweep(HVX_INSN_64, step());
}

TEST_TIME(zydis_random, 120)
{
	u8 bytes[16];

	init_zydis();
	for (unsigned int i = 0; i < 3000000 && tap_failures() < 40; i++) {
		fill(bytes, 15);
		/* Prefixes are rare among random bytes */
		if (i & 1)
			bytes[0] = "\x66\x67\xf0\xf2\xf3\x64\x2e\x48"[rnd() >> 61];
		if (i & 2)
			bytes[1] = "\x66\x67\xf0\xf2\xf3\x0f\x0f\x4f"[rnd() >> 61];
		compare(bytes, rnd() % 3);
	}
	tap_note("%lu compared, %lu known", compared, known);
}
#else
TEST(zydis)
{
	SKIP("libzydis-dev is not installed: the decoder is compared with known encodings only");
}
#endif
