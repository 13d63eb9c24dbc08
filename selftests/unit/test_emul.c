// SPDX-License-Identifier: GPL-2.0-only
/* The emulator's protocol: what is asked, in which order and how often; faults; other modes. */
#include <errno.h>
#include <string.h>
#include <linux/kernel.h>
#include "emul/emul.h"
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "tap.h"

#define MMIO		0x100000	/* linear and physical: above is a device, below memory */
#define HOLE		0x200000	/* linear: not mapped from here on */
#define READONLY	0x0f0000	/* physical: memory that cannot be written, one page */

static u8 memory[MMIO];
static unsigned int walks, reads, writes;
static u64 moved;		/* added to physical addresses */
static int read_error;

static int translate(struct hvx_emul_env *env, u64 gva, unsigned int access, u64 *gpa,
		     u32 *error_code)
{
	walks++;
	*gpa = gva + moved;
	if (gva < HOLE)
		return 0;
	*error_code = access & HVX_WRITE ? 2 : 0;
	return -EFAULT;
}

static bool is_mmio(struct hvx_emul_env *env, u64 gpa, bool write)
{
	return gpa >= MMIO || (write && gpa >= READONLY && gpa < READONLY + 4096);
}

static int read_memory(struct hvx_emul_env *env, u64 gpa, void *buf, unsigned int len)
{
	reads++;
	if (read_error)
		return read_error;
	memcpy(buf, memory + gpa, len);
	return 0;
}

static int write_memory(struct hvx_emul_env *env, u64 gpa, const void *buf, unsigned int len)
{
	writes++;
	memcpy(memory + gpa, buf, len);
	return 0;
}

static const struct hvx_emul_ops ops = {
	.translate = translate,
	.is_mmio = is_mmio,
	.read = read_memory,
	.write = write_memory,
};

static struct hvx_emul_env env;
static struct hvx_emul emul;

static void setup(enum hvx_insn_mode mode, const char *bytes, unsigned int n)
{
	memset(&env, 0, sizeof(env));
	memset(&emul, 0, sizeof(emul));
	env.ops = &ops;
	env.pe = true;
	env.protected = true;
	env.canonical_bits = 48;
	env.regs.rip = 0x1000;
	env.regs.rflags = 2;
	for (unsigned int i = 0; i <= SEG_GS; i++)
		env.seg[i] = (struct hvx_segment) { 0, 0xffffffff, 8, 0xc93 };
	REQUIRE(!hvx_decode(&emul.insn, (const u8 *)bytes, n, mode));
	REQUIRE(emul.insn.len == n);
	hvx_emul_start(&emul);
}

#define SETUP(mode, bytes)	setup(HVX_INSN_##mode, bytes, sizeof(bytes) - 1)

/* The device is asked for exactly this, and answers with @value */
static void expect_mmio(u64 gpa, unsigned int len, bool write, u64 value)
{
	struct hvx_emul_regs before = env.regs;
	struct hvx_emul_frag *frag;
	u64 data = 0;

	REQUIRE(hvx_emul_exec(&env, &emul) == HVX_EMUL_MMIO, "%#llx", gpa);
	EXPECT(!memcmp(&before, &env.regs, sizeof(before)));
	frag = &emul.frag[emul.nr_frags - 1];
	EXPECT(frag->gpa == gpa && frag->len == len && frag->write == write,
	       "%#llx %u %u, not %#llx %u %u", frag->gpa, frag->len, frag->write, gpa, len, write);
	if (write) {
		memcpy(&data, frag->data, len);
		EXPECT_EQ(data, value);
	} else {
		memcpy(frag->data, &value, 8);
	}
	frag->done = true;
}

static void expect_done(int result)
{
	EXPECT_EQ(hvx_emul_exec(&env, &emul), result);
}

static void expect_fault(u8 vector, u32 error, u64 cr2)
{
	EXPECT_EQ(hvx_emul_exec(&env, &emul), HVX_EMUL_EXCEPTION);
	EXPECT_EQ(env.exception.vector, vector);
	EXPECT_EQ(env.exception.error, error);
	EXPECT_EQ(env.exception.cr2, cr2);
	EXPECT_EQ(env.exception.has_error, env.pe || vector == VEC_PF);
	EXPECT_EQ(env.regs.rip, 0x1000);
}

TEST(page_crossing)
{
	/* mov %rax, (%rbx); mov (%rbx), %rax */
	SETUP(64, "\x48\x89\x03");
	env.regs.gpr[REG_RAX] = 0x8877665544332211;
	env.regs.gpr[REG_RBX] = MMIO + 0xffd;
	expect_mmio(MMIO + 0xffd, 3, true, 0x332211);
	expect_mmio(MMIO + 0x1000, 5, true, 0x8877665544);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.rip, 0x1003);

	SETUP(64, "\x48\x8b\x03");
	env.regs.gpr[REG_RBX] = MMIO + 0xffd;
	expect_mmio(MMIO + 0xffd, 3, false, 0x332211);
	expect_mmio(MMIO + 0x1000, 5, false, 0x8877665544);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RAX], 0x8877665544332211);
}

TEST(device_to_device)
{
	/* movsq over two page boundaries */
	SETUP(64, "\x48\xa5");
	env.regs.gpr[REG_RSI] = MMIO + 0xfff;
	env.regs.gpr[REG_RDI] = MMIO + 0x5ffe;
	expect_mmio(MMIO + 0xfff, 1, false, 0x11);
	expect_mmio(MMIO + 0x1000, 7, false, 0x88776655443322);
	expect_mmio(MMIO + 0x5ffe, 2, true, 0x2211);
	expect_mmio(MMIO + 0x6000, 6, true, 0x887766554433);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RSI], MMIO + 0x1007);
	EXPECT_EQ(walks, 4);
}

/* Half memory, half device: memory is read once and written once, whatever changes meanwhile */
TEST(memory_counts_once)
{
	u32 value = 0xfffffff0;

	/* addl $0x20, (%rbx) */
	SETUP(64, "\x83\x03\x20");
	env.regs.gpr[REG_RBX] = MMIO - 2;
	memcpy(memory + MMIO - 2, &value, 2);
	expect_mmio(MMIO, 2, false, 0xffff);
	memset(memory + MMIO - 2, 0x55, 2);
	expect_mmio(MMIO, 2, true, 0);
	EXPECT(reads == 1 && writes == 1);
	EXPECT_EQ(memory[MMIO - 2], 0x10);
	memset(memory + MMIO - 2, 0x66, 2);
	expect_done(HVX_EMUL_DONE);
	EXPECT(reads == 1 && writes == 1);
	EXPECT_EQ(memory[MMIO - 2], 0x66);
	EXPECT_EQ(env.regs.rflags & 1, 1);
}

TEST(translation_counts_once)
{
	/* xchg %eax, (%rbx) */
	SETUP(64, "\x87\x03");
	env.regs.gpr[REG_RBX] = MMIO + 8;
	env.regs.gpr[REG_RAX] = 5;
	expect_mmio(MMIO + 8, 4, false, 7);
	moved = 0x10000;
	expect_mmio(MMIO + 8, 4, true, 5);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RAX], 7);
	EXPECT_EQ(walks, 1);
}

/* The exit said where one access went: no walk for that page, one for the other */
TEST(hint)
{
	SETUP(64, "\x48\x8b\x03");
	env.regs.gpr[REG_RBX] = MMIO + 0xffd;
	emul.hint = (struct hvx_emul_hint) { MMIO + 0x8000, HVX_READ };
	expect_mmio(MMIO + 0xffd, 3, false, 0);
	expect_mmio(MMIO + 0x8000, 5, false, 0);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(walks, 1);
	/* Read-modify-write asks for the right to write */
	SETUP(64, "\xff\x03");
	env.regs.gpr[REG_RBX] = MMIO + 8;
	emul.hint = (struct hvx_emul_hint) { MMIO + 0x8008, HVX_READ };
	expect_mmio(MMIO + 8, 4, false, 0);
	EXPECT_EQ(walks, 2);
	/* Of a REP the first iteration alone */
	SETUP(64, "\xf3\xaa");
	env.regs.gpr[REG_RCX] = 2;
	env.regs.gpr[REG_RDI] = MMIO + 0x2000;
	env.regs.rflags |= 1 << 10;
	emul.hint = (struct hvx_emul_hint) { MMIO + 0x9000, HVX_READ | HVX_WRITE };
	expect_mmio(MMIO + 0x9000, 1, true, 0);
	expect_done(HVX_EMUL_MORE);
	hvx_emul_start(&emul);
	expect_mmio(MMIO + 0x1fff, 1, true, 0);
	EXPECT_EQ(walks, 3);
}

/* All faults come before a device sees anything */
TEST(faults_first)
{
	/* movsl to what is not mapped */
	SETUP(64, "\xa5");
	env.regs.gpr[REG_RSI] = MMIO;
	env.regs.gpr[REG_RDI] = HOLE - 2;
	expect_fault(VEC_PF, 2, HOLE);
	EXPECT_EQ(emul.nr_frags, 0);
	/* push (%rbx), on a stack that is not canonical */
	SETUP(64, "\xff\x33");
	env.regs.gpr[REG_RBX] = MMIO;
	env.regs.gpr[REG_RSP] = 0x8000000000000000;
	expect_fault(VEC_SS, 0, 0);
	/* movaps */
	SETUP(64, "\x0f\x28\x03");
	env.regs.gpr[REG_RBX] = MMIO + 8;
	expect_fault(VEC_GP, 0, 0);
	/* With 57 bits this is canonical, and not mapped */
	SETUP(64, "\x8b\x03");
	env.canonical_bits = 57;
	env.regs.gpr[REG_RBX] = 1ULL << 50;
	expect_fault(VEC_PF, 0, 1ULL << 50);
	env.canonical_bits = 48;
	expect_fault(VEC_GP, 0, 0);
}

TEST(memory_is_left_alone)
{
	/* lock incl (%rbx) */
	SETUP(64, "\xf0\xff\x03");
	env.regs.gpr[REG_RBX] = 0x8000;
	expect_done(HVX_EMUL_RETRY);
	EXPECT_EQ(memory[0x8000], 0);
	EXPECT_EQ(env.regs.rip, 0x1000);
	EXPECT_EQ(writes, 0);
	/* mov %eax, (%rbx) */
	SETUP(64, "\x89\x03");
	env.regs.gpr[REG_RBX] = 0x8000;
	expect_done(HVX_EMUL_RETRY);
	EXPECT_EQ(writes, 0);
	/* add %eax, %ebx has no memory at all */
	SETUP(64, "\x01\xc3");
	expect_done(HVX_EMUL_RETRY);
	/* Read-only memory is read, its writes are the device's */
	SETUP(64, "\x80\x0b\x01");
	env.regs.gpr[REG_RBX] = READONLY;
	memory[READONLY] = 0x40;
	expect_mmio(READONLY, 1, true, 0x41);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(memory[READONLY], 0x40);
}

TEST(registers_changed_under_way)
{
	SETUP(64, "\x8b\x03");
	env.regs.gpr[REG_RBX] = MMIO;
	expect_mmio(MMIO, 4, false, 7);
	env.regs.gpr[REG_RBX] = MMIO + 16;
	expect_done(HVX_EMUL_RETRY);
	EXPECT_EQ(env.regs.gpr[REG_RAX], 0);
}

TEST(errors_of_memory)
{
	/* movsb from memory to the device */
	SETUP(64, "\xa4");
	env.regs.gpr[REG_RSI] = 0x5000;
	env.regs.gpr[REG_RDI] = MMIO;
	read_error = -EIO;
	expect_done(-EIO);
	/* The region went away between the two looks */
	read_error = -ENXIO;
	expect_mmio(0x5000, 1, false, 0x33);
	expect_mmio(MMIO, 1, true, 0x33);
	expect_done(HVX_EMUL_DONE);
}

TEST(repeated)
{
	/* rep stosw with DF */
	SETUP(64, "\x66\xf3\xab");
	env.regs.gpr[REG_RAX] = 0x1234;
	env.regs.gpr[REG_RCX] = 2;
	env.regs.gpr[REG_RDI] = MMIO + 8;
	env.regs.rflags |= 1 << 10;
	expect_mmio(MMIO + 8, 2, true, 0x1234);
	expect_done(HVX_EMUL_MORE);
	EXPECT_EQ(env.regs.gpr[REG_RCX], 1);
	EXPECT_EQ(env.regs.gpr[REG_RDI], MMIO + 6);
	EXPECT_EQ(env.regs.rip, 0x1000);
	hvx_emul_start(&emul);
	expect_mmio(MMIO + 6, 2, true, 0x1234);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RCX], 0);
	EXPECT_EQ(env.regs.rip, 0x1003);
	/* None at all, by 16 bits of CX */
	SETUP(16, "\xf3\xaa");
	env.regs.gpr[REG_RCX] = 0x50000;
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.rip, 0x1002);
}

TEST(segments)
{
	/* Real mode: no error codes, limits count, types do not */
	SETUP(16, "\x8b\x07");
	env.pe = false;
	env.protected = false;
	env.seg[SEG_DS] = (struct hvx_segment) { MMIO - 0x10000, 0xffff, 0xf000, 0x9b };
	env.regs.gpr[REG_RBX] = 0x1ffff;
	expect_fault(VEC_GP, 0, 0);
	env.seg[SEG_DS].base = MMIO;
	env.regs.gpr[REG_RBX] = 0x10010;
	expect_mmio(MMIO + 0x10, 2, false, 0xbeef);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RAX], 0xbeef);

	/* Protected: null, code, not readable, not writable, expand-down */
	SETUP(32, "\x89\x03");
	env.regs.gpr[REG_RBX] = MMIO;
	env.seg[SEG_DS].attr = SA_UNUSABLE;
	expect_fault(VEC_GP, 0, 0);
	env.seg[SEG_DS].attr = 0xc9b;
	expect_fault(VEC_GP, 0, 0);
	env.seg[SEG_DS].attr = 0xc91;
	expect_fault(VEC_GP, 0, 0);
	env.seg[SEG_DS] = (struct hvx_segment) { 0, MMIO + 1, 8, 0xc97 };
	expect_fault(VEC_GP, 0, 0);
	env.seg[SEG_DS].limit = MMIO - 1;
	expect_mmio(MMIO, 4, true, 0);
	expect_done(HVX_EMUL_DONE);
	/* %ebp is in the stack segment */
	SETUP(32, "\x8b\x45\x00");
	env.regs.gpr[REG_RBP] = MMIO;
	env.seg[SEG_SS].limit = 0xffff;
	expect_fault(VEC_SS, 0, 0);
	SETUP(32, "\x2e\x8b\x03");
	env.regs.gpr[REG_RBX] = MMIO;
	env.seg[SEG_CS].attr = 0xc99;
	expect_fault(VEC_GP, 0, 0);
}

/* A linear address wraps at 4 GiB outside 64-bit mode */
TEST(wrap)
{
	SETUP(32, "\x8b\x03");
	env.seg[SEG_DS].base = 0xfffff000;
	env.regs.gpr[REG_RBX] = MMIO + 0x1ffe;
	expect_mmio(MMIO + 0xffe, 2, false, 0x2211);
	expect_mmio(MMIO + 0x1000, 2, false, 0x4433);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.gpr[REG_RAX], 0x44332211);
	/* RIP, too */
	SETUP(32, "\x8b\x03");
	env.regs.rip = 0xffffffff;
	env.regs.gpr[REG_RBX] = MMIO;
	expect_mmio(MMIO, 4, false, 0);
	expect_done(HVX_EMUL_DONE);
	EXPECT_EQ(env.regs.rip, 1);
}

TEST(not_executed)
{
	SETUP(64, "\x0f\xa2");
	expect_done(-EOPNOTSUPP);
	SETUP(64, "\x8e\x1b");
	expect_done(-EOPNOTSUPP);
	/* No XMM registers here */
	SETUP(64, "\x0f\x11\x03");
	env.regs.gpr[REG_RBX] = MMIO;
	expect_done(-EOPNOTSUPP);
}
