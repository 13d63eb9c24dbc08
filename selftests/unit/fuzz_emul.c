// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoder and emulator among hostile surroundings: any bytes as instruction, any registers and
 * segments, and callbacks that answer as the input says, consistent or not.
 */
#include <errno.h>
#include <string.h>
#include <linux/kernel.h>
#include "emul/emul.h"
#include "fuzz_input.h"
#include "vcpu/exit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u64 quad(void)
{
	u64 value = 0;

	/* Short inputs should reach far: one byte says how the rest is made */
	switch (byte() & 7) {
	case 0:
		for (int i = 0; i < 8; i++)
			value = value << 8 | byte();
		return value;
	case 1:
		return -1ULL - byte();
	case 2:
		return 0xffffffff - byte();
	case 3:
		return 0x7fffffffffff - byte();
	case 4:
		return 0xff8 + (byte() & 15);
	case 5:
		return 0xffff - (byte() & 15);
	}
	return byte();
}

static int translate(struct hvx_emul_env *env, u64 gva, unsigned int access, u64 *gpa,
		     u32 *error_code)
{
	u8 b = byte();

	*gpa = (u64)b << 12 | (gva & 0xfff);
	*error_code = b;
	return b == 0xff ? -EFAULT : b == 0xfe ? -EIO : 0;
}

static bool is_mmio(struct hvx_emul_env *env, u64 gpa, bool write)
{
	return !(byte() & 1);
}

static int access_error(u64 gpa, unsigned int len)
{
	u8 b = byte();

	check(len >= 1 && len <= 8 && gpa >> 12 == (gpa + len - 1) >> 12);
	return b == 0xff ? -ENXIO : b == 0xfe ? -EIO : 0;
}

static int read_memory(struct hvx_emul_env *env, u64 gpa, void *buf, unsigned int len)
{
	memset(buf, byte(), len);
	return access_error(gpa, len);
}

static int write_memory(struct hvx_emul_env *env, u64 gpa, const void *buf, unsigned int len)
{
	const volatile u8 *p = buf;

	for (unsigned int i = 0; i < len; i++)
		(void)p[i];
	return access_error(gpa, len);
}

static void read_xmm(struct hvx_emul_env *env, unsigned int reg, u8 *to)
{
	check(reg < 16);
	memset(to, byte(), 16);
}

static void write_xmm(struct hvx_emul_env *env, unsigned int reg, const u8 *from)
{
	check(reg < 16);
}

static const struct hvx_emul_ops ops = {
	.translate = translate,
	.is_mmio = is_mmio,
	.read = read_memory,
	.write = write_memory,
	.read_xmm = read_xmm,
	.write_xmm = write_xmm,
};

static void fill_env(struct hvx_emul_env *env)
{
	u8 flags = byte();

	env->ops = &ops;
	env->pe = flags & 1;
	env->protected = env->pe && flags & 2;
	env->check_align = flags & 4;
	env->canonical_bits = flags & 8 ? 57 : 48;
	for (int i = 0; i < NR_REGS; i++)
		env->regs.gpr[i] = quad();
	env->regs.rip = quad();
	env->regs.rflags = quad();
	for (int i = 0; i <= SEG_GS; i++) {
		env->seg[i] = (struct hvx_segment) {
			.base = quad(), .limit = quad(), .attr = quad(),
		};
	}
}

static void answer(struct hvx_emul *emul)
{
	struct hvx_emul_frag *frag;

	check(emul->nr_frags >= 1 && emul->nr_frags <= HVX_EMUL_MAX_FRAGS);
	frag = &emul->frag[emul->nr_frags - 1];
	check(frag->mmio && !frag->done && frag->len >= 1 && frag->len <= 8);
	check(frag->gpa >> 12 == (frag->gpa + frag->len - 1) >> 12);
	if (!frag->write)
		memset(frag->data, byte(), sizeof(frag->data));
	frag->done = true;
}

static void run(struct hvx_emul_env *env, struct hvx_emul *emul)
{
	struct hvx_emul_regs before;
	int ret;

	for (int i = 0; i < 200; i++) {
		before = env->regs;
		ret = hvx_emul_exec(env, emul);
		check(emul->nr_pages <= HVX_EMUL_MAX_PAGES);
		if (ret != HVX_EMUL_DONE && ret != HVX_EMUL_MORE)
			check(!memcmp(&before, &env->regs, sizeof(before)));
		if (ret == HVX_EMUL_MMIO)
			answer(emul);
		else if (ret == HVX_EMUL_MORE)
			hvx_emul_start(emul);
		else
			break;
		/* Somebody changes a register between two runs */
		if (byte() == 0x77)
			env->regs.gpr[byte() & 15] ^= quad();
	}
	check(ret >= HVX_EMUL_DONE && ret <= HVX_EMUL_RETRY ? true :
	      ret == -EOPNOTSUPP || ret == -EIO);
}

static void check_insn(const struct hvx_insn *insn, unsigned int n)
{
	check(insn->len >= 1 && insn->len <= n && insn->op > INSN_NONE && insn->op < NR_INSN_OPS);
	check(insn->mem.seg <= SEG_GS);
	check(insn->mem.base < NR_REGS || insn->mem.base == HVX_NO_REG);
	check(insn->mem.index < NR_REGS || insn->mem.index == HVX_NO_REG);
	check(insn->mem.scale <= 3);
	check(insn->dst.reg < 16 && insn->src.reg < 16);
	check(!(hvx_emul_segments(insn) & ~0x3fu));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hvx_emul_env env;
	struct hvx_emul emul = { };
	unsigned int n, mode;
	u8 *bytes;
	int err;

	input_begin(data, size);
	mode = byte() % 3;
	n = min_t(size_t, left, 16);
	/* A block of its own, so that a byte too many is seen */
	bytes = malloc(n ? n : 1);
	if (!bytes)
		return 0;
	memcpy(bytes, input, n);
	input += n;
	left -= n;
	err = hvx_decode(&emul.insn, bytes, n, mode);
	free(bytes);
	if (err) {
		check(err == -ENODATA ? n < HVX_INSN_MAX : err == -EINVAL || err == -EOPNOTSUPP);
		return 0;
	}
	check_insn(&emul.insn, n);
	fill_env(&env);
	run(&env, &emul);
	return 0;
}
