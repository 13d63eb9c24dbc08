// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the processor. Random instructions run twice from the same state: natively,
 * on memory of this process, and emulated, where that memory is a device, or one of its pages is.
 * Registers, flags, memory and faults must come out alike.
 *
 * 64-bit code runs as it is; 32-bit code in the flat segments that Linux has for it; 16-bit code in
 * segments of the LDT.
 */
#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <linux/kernel.h>
#include "emul/alu.h"
#include "emul/emul.h"
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "tap.h"

#define PAGE		4096u
#define ARENA		0x10000000u
#define DATA		(ARENA + PAGE)		/* two pages, holes around them */
#define DATA_SIZE	(2 * PAGE)
#define CODE		(ARENA + 4 * PAGE)
#define GS_BASE		0x340u
#define POINTER		256u			/* in the code page */
#define USER32_CS	0x23
#define USER_DS		0x2b
#define LDT_CODE	0x07			/* entry 0 */
#define LDT_DATA	0x0f			/* entry 1 */

#define FLAG_AC		(1u << 18)

extern u64 native_gpr[16], native_flags, native_code;
extern u8 native_xmm[16][16];
extern struct { u32 offset; u16 selector; } __attribute__((packed)) native_far;
void native_run(void);
void native_run_far(u32 data_selector);
extern char native_back[], native_abort[];

static u8 *const data = (u8 *)(unsigned long)DATA;
static u8 *const code = (u8 *)(unsigned long)CODE;

/* What a fault said, 0 for none */
static struct {
	int signal;
	u8 vector;
	u32 error;
	u64 cr2;
} fault;

/* ---------------------------------------------------------------- the processor's side */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct sigcontext *regs = (struct sigcontext *)&((ucontext_t *)context)->uc_mcontext;

	fault.signal = sig;
	fault.vector = regs->trapno;
	fault.error = regs->err;
	fault.cr2 = regs->cr2;
	regs->rip = (u64)native_abort;
	regs->eflags &= ~(FLAG_AC | FLAG_DF);
	regs->cs = 0x33;
	regs->__pad0 = USER_DS;	/* SS */
}

static void set_ldt(unsigned int entry, u32 base, u32 limit, unsigned int contents)
{
	struct user_desc desc = {
		.entry_number = entry,
		.base_addr = base,
		.limit = limit,
		.contents = contents,
	};

	if (syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)))
		SKIP("modify_ldt: %s", strerror(errno));
}

/* Where vendors differ (what is aligned and what comes first) hvx does as AMD's processors do */
static bool like_amd, has_movbe;

static void init_features(void)
{
	__builtin_cpu_init();
	like_amd = __builtin_cpu_is("amd");
	has_movbe = __builtin_cpu_supports("movbe");
}

static void init(void)
{
	stack_t alt = { .ss_size = 65536 };
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };

	REQUIRE(mmap((void *)(unsigned long)DATA, DATA_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == data);
	REQUIRE(mmap((void *)(unsigned long)CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == code);
	init_features();
	/* Above 4 GiB: were ESP to lie in it by chance, the kernel would take it for in use */
	alt.ss_sp = mmap(NULL, alt.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	REQUIRE((u64)alt.ss_sp >> 32 && alt.ss_sp != MAP_FAILED);
	sigaltstack(&alt, NULL);
	sa.sa_sigaction = on_fault;
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, GS_BASE);
}

/* The instruction, and a jump back to 64-bit code behind it */
static void place_code(const struct hvx_insn *insn, const u8 *bytes)
{
	struct { u16 opcode; u32 disp; } __attribute__((packed)) near = {
		0x25ff, POINTER - insn->len - sizeof(near),
	};
	u64 back = (u64)native_back;
	struct { u8 prefix, opcode; u32 to; u16 selector; } __attribute__((packed)) far = {
		0x66, 0xea, (u32)(unsigned long)native_back, 0x33,
	};

	/* RFLAGS.AC may be set: what the jump reads has to be aligned */
	memcpy(code + POINTER, &back, sizeof(back));
	memcpy(code, bytes, insn->len);
	if (insn->mode == HVX_INSN_64)
		memcpy(code + insn->len, &near, sizeof(near));
	else if (insn->mode == HVX_INSN_16)
		memcpy(code + insn->len, &far, sizeof(far));
	else
		memcpy(code + insn->len, &far.opcode, sizeof(far) - 1);
}

static void run_native(const struct hvx_insn *insn, const u8 *bytes)
{
	memset(&fault, 0, sizeof(fault));
	place_code(insn, bytes);
	native_code = CODE;
	native_far.offset = insn->mode == HVX_INSN_16 ? 0 : CODE;
	native_far.selector = insn->mode == HVX_INSN_16 ? LDT_CODE : USER32_CS;
	if (insn->mode == HVX_INSN_64)
		native_run();
	else
		native_run_far(insn->mode == HVX_INSN_16 ? LDT_DATA : USER_DS);
}

/* ---------------------------------------------------------------- the emulator's side */

static u8 dev[DATA_SIZE];		/* what data[] is for the processor */
static bool page_is_mmio[2];
static u8 xmm[16][16];
static unsigned int fragments, reads_of_memory;

static int emu_translate(struct hvx_emul_env *env, u64 gva, unsigned int access, u64 *gpa,
			 u32 *error_code)
{
	/* Another base, so that linear and physical addresses cannot be confused */
	*gpa = gva - DATA;
	if (*gpa < DATA_SIZE)
		return 0;
	*error_code = 4 | (access & HVX_WRITE ? 2 : 0);
	/* Linux says of all addresses that are not for user space that they are mapped */
	if (gva >= (1ULL << 47) - PAGE)
		*error_code |= 1;
	return -EFAULT;
}

static bool emu_is_mmio(struct hvx_emul_env *env, u64 gpa, bool write)
{
	return page_is_mmio[gpa / PAGE];
}

static int emu_read(struct hvx_emul_env *env, u64 gpa, void *buf, unsigned int len)
{
	REQUIRE(gpa + len <= DATA_SIZE && !page_is_mmio[gpa / PAGE]);
	memcpy(buf, dev + gpa, len);
	reads_of_memory++;
	return 0;
}

static int emu_write(struct hvx_emul_env *env, u64 gpa, const void *buf, unsigned int len)
{
	REQUIRE(gpa + len <= DATA_SIZE && !page_is_mmio[gpa / PAGE]);
	memcpy(dev + gpa, buf, len);
	return 0;
}

static void emu_read_xmm(struct hvx_emul_env *env, unsigned int reg, u8 *to)
{
	memcpy(to, xmm[reg], 16);
}

static void emu_write_xmm(struct hvx_emul_env *env, unsigned int reg, const u8 *from)
{
	memcpy(xmm[reg], from, 16);
}

static const struct hvx_emul_ops emu_ops = {
	.translate = emu_translate,
	.is_mmio = emu_is_mmio,
	.read = emu_read,
	.write = emu_write,
	.read_xmm = emu_read_xmm,
	.write_xmm = emu_write_xmm,
};

static void answer(struct hvx_emul *emul)
{
	struct hvx_emul_frag *frag = &emul->frag[emul->nr_frags - 1];

	REQUIRE(frag->mmio && !frag->done && frag->len >= 1 && frag->len <= 8);
	REQUIRE(frag->gpa / PAGE == (frag->gpa + frag->len - 1) / PAGE);
	REQUIRE(page_is_mmio[frag->gpa / PAGE]);
	if (frag->write)
		memcpy(dev + frag->gpa, frag->data, frag->len);
	else
		memcpy(frag->data, dev + frag->gpa, frag->len);
	frag->done = true;
	fragments++;
}

static int run_emulated(struct hvx_emul_env *env, struct hvx_emul *emul)
{
	struct hvx_emul_regs before;
	int ret;

	emul->nr_pages = 0;
	for (;;) {
		hvx_emul_start(emul);
		do {
			before = env->regs;
			ret = hvx_emul_exec(env, emul);
			if (ret == HVX_EMUL_MMIO) {
				/* Nothing has happened yet */
				REQUIRE(!memcmp(&before, &env->regs, sizeof(before)));
				answer(emul);
			}
		} while (ret == HVX_EMUL_MMIO);
		if (ret != HVX_EMUL_MORE)
			return ret;
	}
}

static void init_env(struct hvx_emul_env *env, const struct hvx_insn *insn)
{
	static const u8 data_regs[] = { SEG_ES, SEG_SS, SEG_DS };

	memset(env, 0, sizeof(*env));
	env->ops = &emu_ops;
	env->pe = true;
	env->protected = true;
	env->canonical_bits = 48;
	env->seg[SEG_GS].base = GS_BASE;
	env->seg[SEG_CS] = (struct hvx_segment) { 0, 0xffffffff, USER32_CS, 0xcfb };
	for (unsigned int i = 0; i < ARRAY_SIZE(data_regs); i++)
		env->seg[data_regs[i]] = (struct hvx_segment) { 0, 0xffffffff, USER_DS, 0xcf3 };
	if (insn->mode != HVX_INSN_16)
		return;
	env->seg[SEG_CS] = (struct hvx_segment) { CODE, 0xfff, LDT_CODE, 0x0fb };
	for (unsigned int i = 0; i < ARRAY_SIZE(data_regs); i++)
		env->seg[data_regs[i]] =
			(struct hvx_segment) { DATA, DATA_SIZE - 1, LDT_DATA, 0x0f3 };
}

/* ------------------------------------------------------------------ random instructions */

static u64 seed = 0x2545f4914f6cdd1d;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dULL;
}

/* Values near the edges are where flags go wrong */
static u64 value(void)
{
	static const u64 edges[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x0f, 0x10,
	};

	return rnd() & 1 ? edges[rnd() % ARRAY_SIZE(edges)] : rnd();
}

struct guess {
	u8 bytes[32];
	unsigned int disp;	/* where a displacement is, if there is one */
};

static void random_bytes(struct guess *g, enum hvx_insn_mode mode)
{
	static const u8 prefixes[] = {
		0x66, 0x66, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0xf3, 0x65, 0x2e, 0x36, 0x3e, 0x26,
	};
	unsigned int n = 0;
	u8 modrm;

	while (rnd() % 3 == 0 && n < 3)
		g->bytes[n++] = prefixes[rnd() % ARRAY_SIZE(prefixes)];
	if (mode == HVX_INSN_64 && rnd() & 1)
		g->bytes[n++] = 0x40 | (rnd() & 0xf);
	if (rnd() & 1)
		g->bytes[n++] = 0x0f;
	if (rnd() % 16 == 0) {
		g->bytes[n++] = 0x38;
		g->bytes[n++] = 0xf0 | (rnd() & 1);
	} else {
		g->bytes[n++] = rnd() >> 20;
	}
	modrm = rnd() >> 20;
	if (modrm >= 0xc0)
		modrm -= 0x40 * (1 + rnd() % 3);
	g->bytes[n++] = modrm;
	/* A displacement comes behind SIB; 16-bit addressing has none */
	g->disp = n + ((modrm & 7) == 4);
	while (n < sizeof(g->bytes))
		g->bytes[n++] = rnd() >> 20;
}

static u64 random_target(const struct hvx_insn *insn)
{
	u64 base = insn->mode == HVX_INSN_16 ? 0 : DATA;

	switch (rnd() % 16) {
	case 0:		/* around the ends */
		return base - 20 + rnd() % 40;
	case 1:
		return base + DATA_SIZE - 20 + rnd() % 40;
	case 2:		/* not canonical, or nearly */
		if (insn->mode == HVX_INSN_64 && insn->addr_size == 8)
			return (1ULL << 47) - 8 + rnd() % 16;
		fallthrough;
	case 3 ... 7:
		return base + PAGE - 20 + rnd() % 40;
	}
	return base + rnd() % (DATA_SIZE - 16);
}

static u64 junk_above(const struct hvx_insn *insn, u64 address)
{
	u64 mask = hvx_size_mask(insn->addr_size);

	return (address & mask) | (rnd() & ~mask);
}

static u64 segment_base(const struct hvx_insn *insn)
{
	return insn->mode == HVX_INSN_64 && insn->mem.seg == SEG_GS ? GS_BASE : 0;
}

static bool uses_stack(const struct hvx_insn *insn)
{
	return insn->op == INSN_PUSH || insn->op == INSN_POP;
}

/* Registers (or a displacement) such that the memory operand is at @target */
static bool aim(struct guess *g, const struct hvx_insn *insn, u64 *gpr, u64 target)
{
	const struct hvx_mem_operand *mem = &insn->mem;
	u64 index = 0;

	target -= segment_base(insn);
	if (insn->dst.kind == OPD_STR_DST || insn->src.kind == OPD_STR_DST)
		gpr[REG_RDI] = junk_above(insn, random_target(insn));
	if (insn->src.kind == OPD_STR_SRC)
		gpr[REG_RSI] = junk_above(insn, target);
	if (insn->dst.kind != OPD_MEM && insn->src.kind != OPD_MEM)
		return true;

	if (mem->index != HVX_NO_REG) {
		if (mem->index == mem->base)
			return false;
		gpr[mem->index] = rnd() % 64;
		index = gpr[mem->index] << mem->scale;
	}
	if (mem->base != HVX_NO_REG) {
		gpr[mem->base] = junk_above(insn, target - mem->disp - index);
		return mem->base != REG_RSP || insn->mode != HVX_INSN_16;
	}
	if (!insn->has_modrm) {
		memcpy(g->bytes + g->disp, &target, insn->addr_size);
		return true;
	}
	target -= mem->rip ? CODE + insn->len : index;
	memcpy(g->bytes + g->disp, &target, insn->addr_size == 2 ? 2 : 4);
	return true;
}

/* A displacement where there is no ModRM follows the opcode, one byte earlier */
static void fix_disp(struct guess *g, const struct hvx_insn *insn)
{
	if (!insn->has_modrm)
		g->disp = insn->len - insn->addr_size;
	else if (insn->addr_size == 2)
		g->disp -= (insn->modrm & 7) == 4;
}

static void random_gprs(const struct hvx_insn *insn, u64 *gpr)
{
	for (unsigned int i = 0; i < NR_REGS; i++)
		gpr[i] = value();
	if (insn->op >= INSN_BT && insn->op <= INSN_BTC && insn->src.kind == OPD_GPR)
		gpr[insn->src.reg] = (s64)(rnd() % 4096) - 2048;
	if (insn->op >= INSN_MOVS && insn->op <= INSN_SCAS)
		gpr[REG_RCX] = junk_above(insn, rnd() % 6);
	if (uses_stack(insn))
		gpr[REG_RSP] = insn->mode == HVX_INSN_16 ? (rnd() & ~0xffffULL) | (rnd() % 0x2010)
							 : random_target(insn);
}

/* Half of the comparisons should find what they compare with */
static void expect_equal(const struct hvx_insn *insn, u64 *gpr, u64 target)
{
	u64 at = target - DATA;
	u64 v[2];

	if (insn->mode == HVX_INSN_16)
		at = target;
	if (at > DATA_SIZE - 16 || rnd() & 1)
		return;
	memcpy(v, data + at, 16);
	if (insn->op == INSN_CMPXCHG) {
		gpr[REG_RAX] = v[0];
	} else if (insn->op == INSN_CMPXCHG2) {
		gpr[REG_RAX] = v[0];
		gpr[REG_RDX] = insn->op_size == 8 ? v[1] : v[0] >> 32;
	}
}

/* Instructions of this process that would do more than is compared here */
static bool wanted(const struct hvx_insn *insn)
{
	if (insn->op == INSN_NONE || insn->op > INSN_LAST_EXECUTED || insn->seg == SEG_FS)
		return false;
	if (insn->mode != HVX_INSN_64 && insn->seg == SEG_GS)
		return false;
	if (insn->op == INSN_MOVBE && !has_movbe)
		return false;
	/* MOVSXD to 16 bits reads 4 bytes or 2 */
	if (insn->op == INSN_MOVSX && insn->opcode == 0x63 && insn->op_size == 2 && !like_amd)
		return false;
	/* There the code is elsewhere, and not known to the emulator's side */
	if (insn->mode == HVX_INSN_16 && insn->mem.seg == SEG_CS &&
	    (insn->dst.kind != OPD_MEM || !(insn->dst_access & HVX_WRITE)))
		return false;
	return insn->access || uses_stack(insn);
}

static bool generate(struct guess *g, struct hvx_insn *insn, u64 *gpr, enum hvx_insn_mode mode)
{
	struct hvx_insn first;
	u64 target;

	random_bytes(g, mode);
	if (hvx_decode(insn, g->bytes, 15, mode) || !wanted(insn))
		return false;
	first = *insn;
	fix_disp(g, insn);
	target = random_target(insn);
	random_gprs(insn, gpr);
	expect_equal(insn, gpr, target);
	if (!aim(g, insn, gpr, target))
		return false;
	if (hvx_decode(insn, g->bytes, 15, mode))
		return false;
	/* Where prefixes were drawn as opcode, the displacement is elsewhere */
	return insn->op == first.op && insn->len == first.len && insn->modrm == first.modrm &&
	       insn->sib == first.sib;
}

/* ------------------------------------------------------------------------- comparison */

static const char *hex(const u8 *bytes, unsigned int n)
{
	static char text[64];

	text[0] = 0;
	for (unsigned int i = 0; i < n; i++)
		sprintf(text + 3 * i, "%02x ", bytes[i]);
	return text;
}

static bool same_fault(const struct hvx_insn *insn, const struct hvx_emul_env *env, int ret)
{
	const struct hvx_emul_exception *e = &env->exception;

	if (!fault.signal)
		return ret != HVX_EMUL_EXCEPTION;
	if (ret != HVX_EMUL_EXCEPTION)
		return false;
	/* Out of limits and not aligned: #SS or #GP */
	if (insn->op == INSN_MOVX_ALIGNED && e->vector == VEC_SS && fault.vector == VEC_GP)
		return true;
	if (fault.vector != e->vector || fault.error != e->error)
		return false;
	return e->vector != VEC_PF || fault.cr2 == e->cr2;
}

/*
 * Which operand of CMPS is accessed first is the processor's choice, and AMD's of family 19h take
 * the second: a fault of the second one will do, too. It is the one that SCAS has there.
 */
static bool second_operand_faults(const struct guess *g, const struct hvx_insn *insn,
				  const struct hvx_emul_env *env, int ret)
{
	struct hvx_emul_env scas_env = *env;
	struct hvx_emul scas = { };
	u8 bytes[15];

	if (insn->op != INSN_CMPS || ret != HVX_EMUL_EXCEPTION)
		return false;
	memcpy(bytes, g->bytes, sizeof(bytes));
	bytes[insn->len - 1] |= 0xae & ~0xa6;
	if (hvx_decode(&scas.insn, bytes, sizeof(bytes), insn->mode))
		return false;
	ret = run_emulated(&scas_env, &scas);
	return same_fault(insn, &scas_env, ret);
}

static unsigned long done[NR_INSN_OPS], faults, retries;

#define WRONG(what, fmt, ...)						\
	tap_failed(__FILE__, __LINE__, what, " %d-bit %s(op %d): " fmt,		\
		   16 << insn->mode, text, insn->op, __VA_ARGS__)

static void compare_registers(const struct hvx_insn *insn, const struct hvx_emul_env *env,
			      const char *text)
{
	u64 mask = insn->mode == HVX_INSN_64 ? ~0ULL : 0xffffffff;
	unsigned int nr = insn->mode == HVX_INSN_64 ? 16 : 8;
	u64 flags = FLAGS_ARITH | FLAG_DF;

	for (unsigned int i = 0; i < nr; i++) {
		if ((env->regs.gpr[i] ^ native_gpr[i]) & mask)
			WRONG("register", "%u: %#llx, not %#llx", i, env->regs.gpr[i],
			      native_gpr[i]);
	}
	if ((env->regs.rflags ^ native_flags) & flags)
		WRONG("flags", "%#llx, not %#llx", env->regs.rflags & flags, native_flags & flags);
	if (env->regs.rip != CODE + insn->len)
		WRONG("RIP", "%#llx", env->regs.rip);
}

static void compare(const struct guess *g, const struct hvx_insn *insn,
		    const struct hvx_emul_env *env, int ret)
{
	const char *text = hex(g->bytes, insn->len);
	unsigned int at = 0;

	if (ret < 0 || (!same_fault(insn, env, ret) && !second_operand_faults(g, insn, env, ret))) {
		WRONG("fault", "%d: %u %x %#llx, not %d: %u %x %#llx", ret, env->exception.vector,
		      env->exception.error, env->exception.cr2, fault.signal, fault.vector,
		      fault.error, fault.cr2);
		return;
	}
	/* A fault in the middle of a REP leaves what was done before; memory is compared alone */
	if (!fault.signal)
		compare_registers(insn, env, text);
	if (memcmp(dev, data, DATA_SIZE)) {
		while (dev[at] == data[at])
			at++;
		WRONG("memory", "at %#x: %#x, not %#x", at, dev[at], data[at]);
	}
	if (memcmp(xmm, native_xmm, sizeof(xmm)))
		WRONG("XMM", "%u bytes", insn->op_size);
}

static void one(const struct guess *g, const struct hvx_insn *insn, const u64 *gpr, u64 flags)
{
	struct hvx_emul_env env;
	struct hvx_emul emul = { .insn = *insn };
	int ret;

	init_env(&env, insn);
	memcpy(env.regs.gpr, gpr, sizeof(env.regs.gpr));
	memcpy(native_gpr, gpr, sizeof(native_gpr));
	memcpy(native_xmm, xmm, sizeof(xmm));
	memcpy(dev, data, DATA_SIZE);
	env.regs.rflags = flags;
	env.regs.rip = CODE;
	env.check_align = flags & FLAG_AC;
	native_flags = flags;

	ret = run_emulated(&env, &emul);
	if (ret == HVX_EMUL_RETRY) {
		/* Memory alone: left to the processor, and to be found as it was */
		retries++;
		if (!(insn->prefix & (PFX_REP | PFX_REPNE)))
			EXPECT(!memcmp(dev, data, DATA_SIZE) && env.regs.rip == CODE);
		return;
	}
	run_native(insn, g->bytes);
	compare(g, insn, &env, ret);
	memcpy(xmm, native_xmm, sizeof(xmm));
	memcpy(data, dev, DATA_SIZE);
	done[insn->op]++;
	faults += !!fault.signal;
}

static void run_random(enum hvx_insn_mode mode, unsigned long count)
{
	struct hvx_insn insn;
	struct guess g;
	u64 gpr[NR_REGS];
	unsigned long i = 0;

	for (unsigned int k = 0; k < DATA_SIZE; k++)
		data[k] = value();
	for (unsigned int k = 0; k < 256; k++)
		xmm[k / 16][k % 16] = rnd() >> 9;
	while (i < count && tap_failures() < 40) {
		u64 flags = 0x202 | (rnd() & FLAGS_ARITH) | (rnd() & FLAG_DF);

		if (!generate(&g, &insn, gpr, mode))
			continue;
		i++;
		if (rnd() % 64 == 0)
			data[rnd() % DATA_SIZE] = value();
		if (rnd() % 8 == 0 && like_amd)
			flags |= FLAG_AC;
		page_is_mmio[0] = rnd() & 3;
		page_is_mmio[1] = !page_is_mmio[0] || rnd() & 3;
		one(&g, &insn, gpr, flags);
	}
	for (unsigned int op = 1; op <= INSN_LAST_EXECUTED; op++)
		EXPECT(done[op] > 0 || op == INSN_MOVBE, "operation %u never ran", op);
	tap_note("%lu instructions, %lu of them faulted, %lu left to the processor", i, faults,
		 retries);
}

TEST_TIME(native_64, 120)
{
	init();
	run_random(HVX_INSN_64, 1000000);
}

TEST_TIME(native_32, 120)
{
	init();
	run_random(HVX_INSN_32, 300000);
}

TEST_TIME(native_16, 120)
{
	init();
	set_ldt(0, CODE, 0xfff, 2);
	set_ldt(1, DATA, DATA_SIZE - 1, 0);
	run_random(HVX_INSN_16, 300000);
}
