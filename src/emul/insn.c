// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction at CS:RIP.
 *
 * Hot where the processor gives no instruction lengths (AMD-V without next-RIP save): code that
 * exits often is found without a page walk (code_cache.h), and decoded by one look into a table.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "code_cache.h"
#include "vcpu/event.h"
#include "insn.h"
#include "vcpu/run.h"

#define EFER_LONG	BIT_ULL(10)	/* EFER.LMA */

/* CS:RIP as a linear address, and how code there is decoded; HVX_FETCH_REGS are available */
static u64 locate(struct hvx_vcpu *vcpu, enum hvx_insn_mode *mode)
{
	const struct hvx_segment *cs = &vcpu->regs.seg[SEG_CS];
	const struct hvx_regs *regs = &vcpu->regs;

	if (likely(regs->efer & EFER_LONG && cs->attr & SA_L)) {
		*mode = HVX_INSN_64;
		return regs->rip;
	}
	*mode = cs->attr & SA_DB ? HVX_INSN_32 : HVX_INSN_16;
	return (u32)(cs->base + regs->rip);
}

/* Bytes of the page that @linear is in: what lies behind need not be mapped */
static unsigned int in_page(u64 linear)
{
	return min_t(unsigned int, HVX_INSN_MAX, PAGE_SIZE - offset_in_page(linear));
}

static int read_code(struct hvx_vcpu *vcpu, u64 linear, u8 *bytes, unsigned int n,
		     struct hvx_walk *walk, u64 *fault)
{
	unsigned int access = HVX_EXEC | (hvx_cpl(vcpu) == 3 ? HVX_USER : 0);
	int err;

	err = hvx_read_gva(vcpu, linear, bytes, n, access, walk, fault);
	if (!err && hvx_in_window(vcpu))
		hvx_code_fill(vcpu, linear, walk->gpa);
	return err;
}

static int fetch_bytes(struct hvx_vcpu *vcpu, u64 linear, u8 *bytes, unsigned int n)
{
	struct hvx_walk walk;
	u64 fault;
	int err = read_code(vcpu, linear, bytes, n, &walk, &fault);

	if (likely(!err))
		return 0;
	if (err == -EFAULT && !walk.page_size) {
		/* The processor still had a translation that the page tables no longer hold */
		if (walk.non_canonical)
			hvx_queue_gp(vcpu, 0);
		else
			hvx_queue_pf(vcpu, fault, walk.error_code);
		return 1;
	}
	return hvx_in_window(vcpu) ? -EAGAIN : err;
}

/* Outside 64-bit mode addresses wrap at 4 GiB */
static u64 wrap(struct hvx_vcpu *vcpu, u64 linear)
{
	return hvx_long_mode(vcpu) ? linear : (u32)linear;
}

/* Without a walk: all bytes that can matter are on a page that is known; NULL: they are not */
static const u8 *known_code(struct hvx_vcpu *vcpu, u64 linear)
{
	unsigned int offset = offset_in_page(linear);
	const u8 *page;

	if (!hvx_in_window(vcpu) || offset > PAGE_SIZE - HVX_INSN_MAX)
		return NULL;
	page = hvx_code_lookup(vcpu, linear);
	return page ? page + offset : NULL;
}

/* Returns how many */
static unsigned int known_bytes(struct hvx_vcpu *vcpu, u64 linear, u8 *bytes)
{
	const u8 *code = known_code(vcpu, linear);

	if (!code)
		return 0;
	memcpy(bytes, code, HVX_INSN_MAX);
	return HVX_INSN_MAX;
}

static int fetch_unknown(struct hvx_vcpu *vcpu, struct hvx_insn *insn, u64 linear,
			 enum hvx_insn_mode mode)
{
	unsigned int n = in_page(linear);
	u8 bytes[HVX_INSN_MAX];
	int err;

	err = fetch_bytes(vcpu, linear, bytes, n);
	if (err)
		return err;
	err = hvx_decode(insn, bytes, n, mode);
	if (likely(err != -ENODATA))
		return err;

	err = fetch_bytes(vcpu, wrap(vcpu, linear + n), bytes + n, HVX_INSN_MAX - n);
	return err ? err : hvx_decode(insn, bytes, HVX_INSN_MAX, mode);
}

int hvx_insn_fetch(struct hvx_vcpu *vcpu, struct hvx_insn *insn)
{
	enum hvx_insn_mode mode;
	u8 bytes[HVX_INSN_MAX];
	u64 linear;

	hvx_need(vcpu, HVX_FETCH_REGS);
	linear = locate(vcpu, &mode);
	if (likely(known_bytes(vcpu, linear, bytes)))
		return hvx_decode(insn, bytes, HVX_INSN_MAX, mode);
	return fetch_unknown(vcpu, insn, linear, mode);
}

/*
 * Most faults are of memory, and what their instructions are does not matter: only where MMIO had
 * to fetch the long way before is a page of code worth a walk.
 */
void hvx_insn_prefetch(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	enum hvx_insn_mode mode;
	struct hvx_walk walk;
	u64 linear, fault;

	if (x->nr_insn)
		return;
	hvx_need(vcpu, HVX_FETCH_REGS);
	linear = locate(vcpu, &mode);
	if (unlikely(vcpu->emul.slow_fetch == linear)) {
		vcpu->emul.slow_fetch = 0;
		/* For the cache alone: a fault is for process context to raise */
		read_code(vcpu, linear, x->insn, in_page(linear), &walk, &fault);
	}
	x->nr_insn = known_bytes(vcpu, linear, x->insn);
}

static u64 eight_bytes(const u8 *at)
{
	u64 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Two overlapping loads have all 15 bytes of an instruction */
static bool same_bytes(const u8 *a, const u8 *b)
{
	const unsigned int second = HVX_INSN_MAX - sizeof(u64);

	return eight_bytes(a) == eight_bytes(b) &&
	       eight_bytes(a + second) == eight_bytes(b + second);
}

static noinline const struct hvx_insn *decode_at_hand(struct hvx_vcpu *vcpu, struct hvx_exit *x,
						      enum hvx_insn_mode mode)
{
	struct hvx_decoded *last = &vcpu->emul.last;

	/* From a copy: other vCPUs may write to the code */
	hvx_insn_prefetch(vcpu, x);
	if (x->nr_insn < HVX_INSN_MAX)
		return NULL;
	last->mode = HVX_NO_MODE;
	if (hvx_decode(&last->insn, x->insn, HVX_INSN_MAX, mode))
		return NULL;
	memcpy(last->bytes, x->insn, HVX_INSN_MAX);
	last->mode = mode;
	return &last->insn;
}

/* The same instruction meets MMIO again and again: its bytes are compared, not decoded */
const struct hvx_insn *hvx_insn_at_hand(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	const struct hvx_decoded *last = &vcpu->emul.last;
	enum hvx_insn_mode mode;
	const u8 *code = x->insn;
	u64 linear;

	hvx_need(vcpu, HVX_FETCH_REGS);
	linear = locate(vcpu, &mode);
	if (x->nr_insn < HVX_INSN_MAX)
		code = known_code(vcpu, linear);
	if (likely(code && last->mode == mode && same_bytes(last->bytes, code)))
		return &last->insn;
	return decode_at_hand(vcpu, x, mode);
}

int hvx_insn_decode(struct hvx_vcpu *vcpu, struct hvx_insn *insn, const u8 *bytes, unsigned int nr)
{
	enum hvx_insn_mode mode;
	u64 linear;
	int err;

	hvx_need(vcpu, HVX_FETCH_REGS);
	linear = locate(vcpu, &mode);
	if (nr) {
		err = hvx_decode(insn, bytes, nr, mode);
		if (err != -ENODATA)
			return err;
	}
	vcpu->emul.slow_fetch = linear;
	return fetch_unknown(vcpu, insn, linear, mode);
}

unsigned int hvx_insn_bytes(struct hvx_vcpu *vcpu, u8 *bytes)
{
	enum hvx_insn_mode mode;
	struct hvx_walk walk;
	u64 linear, fault;
	unsigned int n;

	hvx_need(vcpu, HVX_FETCH_REGS);
	linear = locate(vcpu, &mode);
	n = in_page(linear);
	if (read_code(vcpu, linear, bytes, n, &walk, &fault))
		return 0;
	if (n < HVX_INSN_MAX && !read_code(vcpu, wrap(vcpu, linear + n), bytes + n,
					   HVX_INSN_MAX - n, &walk, &fault))
		n = HVX_INSN_MAX;
	return n;
}

u64 hvx_insn_offset(struct hvx_vcpu *vcpu, const struct hvx_insn *insn)
{
	hvx_need(vcpu, RM(RIP) | RM(RSP));
	return hvx_emul_offset(insn, vcpu->regs.gpr, vcpu->regs.rip);
}
