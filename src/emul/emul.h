/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Execution of instructions that met MMIO.
 *
 * Protocol: run again until done. hvx_emul_exec() changes nothing that the guest can see before the
 * instruction (or one iteration of a REP) is complete. Every access to memory that it makes is a
 * fragment: at most 8 bytes, never across a page. Fragments are logged in struct hvx_emul. At the
 * first that is MMIO it stops with HVX_EMUL_MMIO; whoever answers fills in the fragment's data,
 * marks it done and calls again: the fragments in the log are replayed in order, their data and
 * their translations as they were, and execution goes on to the next.
 *
 * So guest memory is read once and written once for each instruction, however often it is run
 * again, and what the guest changes meanwhile makes no difference.
 */
#ifndef HVX_EMUL_H
#define HVX_EMUL_H

#include <linux/types.h>
#include "vcpu/regs.h"
#include "decode.h"

/* 16 bytes read and written across a page boundary: 3 fragments each */
#define HVX_EMUL_MAX_FRAGS	8
/* Two operands, each across a page boundary, twice */
#define HVX_EMUL_MAX_PAGES	8

struct hvx_emul_frag {
	u64 gpa;
	u8 len;			/* 1 .. 8 */
	bool write;
	bool mmio;
	bool done;
	u8 data[8];
};

/* A translation that counts until the instruction is complete, as one in a TLB would */
struct hvx_emul_page {
	u64 gva;
	u64 gpa;
	unsigned int access;	/* HVX_READ, HVX_WRITE */
};

#define HVX_CODE_PAGES		4

/* Where a page of code is: see ../code_cache.h */
struct hvx_code_page {
	u64 gva;
	u64 gen;		/* of the second-level table; 0: empty */
	u64 cr3, cr4, efer;
	bool paging;		/* CR0.PG */
	u8 nr;			/* page-table entries that lead there */
	const u64 *entry[5];
	u64 value[5];
	const u8 *page;
};

/*
 * Where the access of the exit went, of an instruction that accesses one place alone: the page of
 * the linear address that has the same offset, even though nobody says which address that is
 */
struct hvx_emul_hint {
	u64 gpa;
	unsigned int access;	/* HVX_READ, HVX_WRITE that are known to be allowed; 0: no hint */
};

/* An instruction, and the bytes that it was decoded from */
struct hvx_decoded {
	u8 mode;		/* enum hvx_insn_mode; HVX_NO_MODE: none */
	u8 bytes[HVX_INSN_MAX];
	struct hvx_insn insn;
};

#define HVX_NO_MODE		0xff

/* What a vCPU keeps about instructions; above all the one under way, which mmio.c has set up */
struct hvx_emul {
	struct hvx_code_page code[HVX_CODE_PAGES];
	u64 slow_fetch;		/* linear address of code that MMIO had to fetch the long way */
	struct hvx_decoded last;	/* that met MMIO in the window */
	struct hvx_insn insn;
	u64 rip;
	unsigned int nr_frags;	/* all done but perhaps the last */
	unsigned int nr_pages;
	struct hvx_emul_hint hint;
	struct hvx_emul_frag frag[HVX_EMUL_MAX_FRAGS];
	struct hvx_emul_page page[HVX_EMUL_MAX_PAGES];
};

struct hvx_emul_regs {
	u64 gpr[NR_REGS];
	u64 rip;
	u64 rflags;
};

struct hvx_emul_exception {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2;		/* #PF */
};

struct hvx_emul_env;

/*
 * What execution asks of its surroundings. Errors end it and are handed through, with the
 * exceptions named here.
 *
 * @translate: linear to guest-physical address for @access (HVX_READ, HVX_WRITE) at the guest's
 *	privilege level; -EFAULT: the guest gets #PF with @error_code
 * @is_mmio: is this address none of memory (none that can be written)?
 * @read: guest-physical memory; -ENXIO: it has just become MMIO
 * @write: ditto
 * @read_xmm: 16 bytes of an XMM register; NULL: XMM registers cannot be had
 * @write_xmm: ditto
 */
struct hvx_emul_ops {
	int (*translate)(struct hvx_emul_env *env, u64 gva, unsigned int access, u64 *gpa,
			 u32 *error_code);
	bool (*is_mmio)(struct hvx_emul_env *env, u64 gpa, bool write);
	int (*read)(struct hvx_emul_env *env, u64 gpa, void *buf, unsigned int len);
	int (*write)(struct hvx_emul_env *env, u64 gpa, const void *buf, unsigned int len);
	void (*read_xmm)(struct hvx_emul_env *env, unsigned int reg, u8 *data);
	void (*write_xmm)(struct hvx_emul_env *env, unsigned int reg, const u8 *data);
};

/* The processor around the instruction; @regs changes when it completes */
struct hvx_emul_env {
	const struct hvx_emul_ops *ops;
	struct hvx_emul_regs regs;
	struct hvx_segment seg[SEG_GS + 1];	/* those of hvx_emul_segments() */
	bool pe;		/* CR0.PE: exceptions have error codes */
	bool protected;		/* CR0.PE without virtual-8086 mode: segment types count */
	bool check_align;	/* CR0.AM and RFLAGS.AC at CPL 3 */
	u8 canonical_bits;	/* of a linear address in 64-bit mode: 48 or 57 */
	struct hvx_emul_exception exception;	/* after HVX_EMUL_EXCEPTION */
};

enum hvx_emul_result {
	HVX_EMUL_DONE,		/* complete, RIP is past it */
	HVX_EMUL_MORE,		/* one iteration of a REP is complete: RIP still at it */
	HVX_EMUL_MMIO,		/* the last fragment of the log waits for an answer */
	HVX_EMUL_EXCEPTION,	/* raise env->exception; nothing has changed */
	HVX_EMUL_RETRY,		/* nothing of it is MMIO: let the processor run it */
};

/* Segment registers whose hidden part the instruction needs: bits of enum hvx_seg_reg */
unsigned int hvx_emul_segments(const struct hvx_insn *insn);

/* Offset of the memory operand in its segment; @rip is that of the instruction */
u64 hvx_emul_offset(const struct hvx_insn *insn, const u64 *gpr, u64 rip);

/* Does it access one operand in memory and nothing else? Then a hint can be had */
static inline bool hvx_emul_one_operand(const struct hvx_insn *insn)
{
	return insn->op != INSN_MOVS && insn->op != INSN_CMPS && insn->op != INSN_PUSH &&
	       insn->op != INSN_POP;
}

/* Before an instruction and before each further iteration */
static inline void hvx_emul_start(struct hvx_emul *emul)
{
	emul->nr_frags = 0;
	emul->hint.access = 0;
	if (emul->nr_pages > HVX_EMUL_MAX_PAGES / 2)
		emul->nr_pages = 0;
}

/*
 * Execute emul->insn: enum hvx_emul_result or negative errno, -EOPNOTSUPP when it is none of those
 * that are executed. Context: that of the operations.
 */
int hvx_emul_exec(struct hvx_emul_env *env, struct hvx_emul *emul);

#endif
