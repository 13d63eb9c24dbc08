/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h: the guest's side of a test. A guest is a function of the test program itself, which
 * runs in the VM at its own addresses and so shares the program's variables with the host side.
 *
 *   GUEST(name) { ... }	defines one; it gets g, what its vCPU has for itself
 *   GUEST_ASSERT(cond)		ends the test when it is false
 *   GUEST_EQ(a, b)		the same, showing both values
 *   guest_sync(n)		hands n to the host (vcpu_ucall() there returns UC_SYNC)
 *   TRY(g, insn, out, in, clobbers)	runs an instruction and says which exception it raised
 *   guest_ring3(g, fn)		calls fn in ring 3
 *   guest_compat(fn)		calls 32-bit code from 64-bit code
 *
 * Guest code must not call libc. It may run in ring 0 or 3.
 */
#ifndef HVX_TEST_GUEST_H
#define HVX_TEST_GUEST_H

#define UCALL_PORT	0x7e0

/* What a guest tells the host, in EAX of an OUT to UCALL_PORT. */
#define UC_NONE		0	/* no such call */
#define UC_DONE		1	/* the guest function returned */
#define UC_SYNC		2
#define UC_ASSERT	3	/* file, line, text, two values */
#define UC_TRAP		4	/* an exception that nobody expected */

/* Selectors of the GDT that vcpu_setup_*() loads. */
#define SEL_KCODE64	0x08
#define SEL_KDATA	0x10
#define SEL_UCODE32	0x18	/* order of the U selectors as SYSRET wants it */
#define SEL_UDATA	0x20
#define SEL_UCODE64	0x28
#define SEL_KCODE32	0x30
#define SEL_KCODE16	0x38
#define SEL_KDATA16	0x40
#define SEL_ABSENT	0x48	/* data segment that is not present */
#define SEL_TSS		0x50	/* 16 bytes in long mode */
#define SEL_TSS32	0x60
#define SEL_LDT		0x68	/* 16 bytes in long mode */
#define SEL_TEST	0x78	/* from here on: free for tests */
#define NR_GDT		32

/* Vectors with a meaning of their own. */
#define VEC_RING3_END	0xf0	/* leaves guest_ring3() */
#define VEC_UCALL	0xf1	/* ucall from ring 3 */

/* One vCPU's area, aligned to its size so that code on its stacks finds it. */
#define GCPU_AREA	0x20000
#define GCPU_IDT	0x2000
#define GCPU_IDT32	0x3000
#define GCPU_NMI_STACK	0x6000	/* IST3 */
#define GCPU_DF_STACK	0x8000	/* IST2 */
#define GCPU_TRAP_STACK	0xc000	/* IST1 */
#define GCPU_STACK	0x18000	/* ring 0 */
#define GCPU_USER_STACK	0x20000	/* ring 3 */

/* Offsets into struct gcpu for assembly. */
#define GCPU_RING3_RSP	0

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the stubs in entry.S push. */
struct gframe {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct gtss64 {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap;
} __attribute__((packed));

struct gcpu;
typedef void (*guest_fn)(struct gcpu *g);
typedef void (*guest_handler)(struct gcpu *g, struct gframe *f);

/* What the last exception or interrupt brought. */
struct gtrap {
	int vector;
	uint64_t error, cr2, dr6, rip, rsp, rflags;
	uint16_t cs, ss;
};

struct gcpu {
	uint64_t ring3_rsp;		/* where guest_ring3() came from */
	struct gcpu *self;
	unsigned int id;
	uint64_t arg;			/* for the test */
	volatile uint64_t resume;	/* where to go on after an exception */
	volatile struct gtrap trap;
	volatile uint32_t count[256];	/* traps by vector */
	guest_handler handler[256];	/* instead of what guest_trap() does */
	uint64_t gdt[NR_GDT];
	struct gtss64 tss;
	uint8_t tss32[104];
	uint64_t ldt[4];
};

_Static_assert(sizeof(struct gcpu) <= GCPU_IDT, "struct gcpu runs into the IDT");
_Static_assert(offsetof(struct gcpu, ring3_rsp) == GCPU_RING3_RSP, "offset for assembly");

#define GUEST_CODE	__attribute__((noinline, used, target("general-regs-only")))
#define GUEST(name)	static GUEST_CODE void name(struct gcpu *g __attribute__((unused)))

/* What 32-bit guests recorded; set .resume before an instruction that raises an exception. */
struct trap32 {
	uint32_t vector, error, eip, cr2, cs, resume, count, reserved;
};

extern volatile struct trap32 trap32;

/* entry.S */
extern char guest_start[], guest_stubs[], guest_stubs_end[];
void guest_ring3(struct gcpu *g, guest_fn fn);
void guest_compat(void (*fn32)(void), struct gcpu *g);
/* guest.c */
void guest_trap(struct gframe *f, struct gcpu *g);
void guest_memset(void *to, int byte, size_t len);
void guest_memcpy(void *to, const void *from, size_t len);
int guest_memcmp(const void *a, const void *b, size_t len);

static inline unsigned int guest_cpl(void)
{
	uint16_t cs;

	asm("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

static inline void ucall(uint64_t cmd, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	register uint64_t r8 asm("r8") = e;

	if (guest_cpl() == 3)
		asm volatile("int %[vec]" : "+a"(cmd) : [vec] "i"(VEC_UCALL), "D"(a), "S"(b),
			     "b"(c), "c"(d), "r"(r8) : "memory");
	else
		asm volatile("outl %%eax, %%dx" : "+a"(cmd) : "d"(UCALL_PORT), "D"(a), "S"(b),
			     "b"(c), "c"(d), "r"(r8) : "memory");
}

static inline void guest_sync(uint64_t n)
{
	ucall(UC_SYNC, n, 0, 0, 0, 0);
}

static inline void guest_failed(const char *file, int line, const char *what, uint64_t a,
				uint64_t b)
{
	ucall(UC_ASSERT, (uintptr_t)file, line, (uintptr_t)what, a, b);
}

#define GUEST_ASSERT(cond) do {						\
	if (!(cond))							\
		guest_failed(__FILE__, __LINE__, #cond, 0, 0);		\
} while (0)
#define GUEST_EQ(a, b) do {						\
	uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);		\
	if (a_ != b_)							\
		guest_failed(__FILE__, __LINE__, #a " == " #b, a_, b_);	\
} while (0)

#define GUEST_UNWRAP(...) __VA_ARGS__
#define GUEST_LIST(...)	GUEST_UNWRAP(__VA_OPT__(, __VA_ARGS__))
/*
 * Runs @insn with operands @out and @in (each a list in parentheses) and returns the vector of the
 * exception that it raised, -1 for none. The exception's details are in g->trap.
 */
#define TRY(g, insn, out, in, ...) ({					\
	struct gcpu *g_ = (g);						\
	g_->trap.vector = -1;						\
	asm volatile("movq $1f, %[resume]\n\t" insn "\n1:"		\
		     : [resume] "+m"(g_->resume) GUEST_LIST out		\
		     : GUEST_UNWRAP in					\
		     : "memory", "cc" GUEST_LIST(__VA_ARGS__));		\
	g_->resume = 0;							\
	g_->trap.vector;						\
})

static inline int try_rdmsr(struct gcpu *g, uint32_t msr, uint64_t *val)
{
	uint32_t lo = 0, hi = 0;
	int ret = TRY(g, "rdmsr", ("=a"(lo), "=d"(hi)), ("c"(msr)));

	*val = lo | (uint64_t)hi << 32;
	return ret;
}

static inline int try_wrmsr(struct gcpu *g, uint32_t msr, uint64_t val)
{
	return TRY(g, "wrmsr", (), ("c"(msr), "a"((uint32_t)val), "d"((uint32_t)(val >> 32))));
}

static inline uint64_t g_rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}

static inline void g_wrmsr(uint32_t msr, uint64_t val)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)val), "d"((uint32_t)(val >> 32)) :
		     "memory");
}

static inline void g_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) :
		     "a"(leaf), "c"(sub));
}

static inline void g_outl(uint16_t port, uint32_t val)
{
	asm volatile("outl %0, %1" : : "a"(val), "d"(port) : "memory");
}

#define G_READ_REG(reg) ({						\
	uint64_t v_;							\
	asm volatile("mov %%" #reg ", %0" : "=r"(v_) : : "memory");	\
	v_;								\
})
#define G_WRITE_REG(reg, val) ({					\
	asm volatile("mov %0, %%" #reg : : "r"((uint64_t)(val)) : "memory"); \
})

static inline uint64_t g_flags(void)
{
	uint64_t f;

	asm volatile("pushfq; popq %0" : "=r"(f) : : "memory");
	return f;
}

/* An index that the compiler cannot look through, so that accesses happen as written. */
#define G_HIDE(p) ({ __typeof__(p) p_ = (p); asm("" : "+r"(p_)); p_; })

#endif /* __ASSEMBLER__ */
#endif
