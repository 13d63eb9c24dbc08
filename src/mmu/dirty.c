// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log of a region: which pages were written to since the VMM asked last.
 *
 * Who writes, and what tells of it
 *   guest	the dirty flag of the second-level entry, or, in formats without one, the right to
 *		write, which a page gets with its first write
 *   core	hvx_write_gpa() and its like: the bit in the bitmap
 *   core	hvx_poke_gpa() in a window: the flag of the entry, as the guest
 * What an entry says moves to the bitmap when the VMM asks, and when the entry goes.
 *
 * The VMM's own writes to its memory are its own business.
 *
 * No write is missed. The flags are cleared first, then all processors forget their translations,
 * then the bits are handed over. A write through an old translation, which does not set the flag
 * again, came before that flush: the page's bit is among those that are handed over now, and the
 * VMM reads the page later than that. The core writes first and sets the bit then.
 *
 * Where nothing was written to for a while nothing needs to be read: "sleep" in pt.c.
 *
 * While a region is logged its entries are of 4 KiB; other regions keep theirs.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include "irq/lapic.h"
#include "vcpu/vcpu.h"
#include "dirty.h"
#include "slots.h"

#define WORD_PAGES	64ULL

/* Words of a bitmap that are handed over in one go, on the stack */
#define CHUNK		64

static_assert(sizeof(unsigned long) == sizeof(u64));

int hvx_dirty_alloc(struct hvx_slot *slot)
{
	u64 words = DIV_ROUND_UP(slot->len >> PAGE_SHIFT, WORD_PAGES);

	/* How long a region is only costs addresses: no word in the log when that is too much */
	slot->dirty = kvcalloc(words, sizeof(u64), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	return slot->dirty ? 0 : -ENOMEM;
}

void hvx_dirty_mark(const struct hvx_slot *slot, u64 gpa, u64 len)
{
	u64 page = (gpa - slot->gpa) >> PAGE_SHIFT;
	u64 last = (gpa + len - 1 - slot->gpa) >> PAGE_SHIFT;

	for (; page <= last; page++)
		set_bit(page, slot->dirty);
}

/* Small pages from @gpa on, all of them in @slot; the first bit is set. Once for 64 of them. */
static __always_inline void mark_pages(const struct hvx_slot *slot, u64 gpa, u64 mask)
{
	u64 page = (gpa - slot->gpa) >> PAGE_SHIFT;
	atomic64_t *word = (atomic64_t *)&slot->dirty[page / WORD_PAGES];
	unsigned int shift = page % WORD_PAGES;

	atomic64_or(mask << shift, word);
	if (shift && mask >> (WORD_PAGES - shift))
		atomic64_or(mask >> (WORD_PAGES - shift), word + 1);
}

/* The first page of @mask and those in the same region. Returns what is left of @mask. */
static u64 mark_first(const struct hvx_slots *slots, u64 gpa, u64 mask)
{
	unsigned int first = __ffs(mask);
	const struct hvx_slot *slot;
	u64 left, part = mask;

	gpa += first * PAGE_SIZE;
	slot = hvx_slot_find(slots, gpa);
	/* The page of local APICs is in no region */
	if (!slot) {
		WARN_ON_ONCE(gpa != APIC_BASE_RESET);
		return mask & (mask - 1);
	}
	left = (slot->gpa + slot->len - gpa) >> PAGE_SHIFT;
	if (first + left < WORD_PAGES)
		part &= BIT_ULL(first + left) - 1;
	if (slot->dirty)
		mark_pages(slot, gpa, part >> first);
	return mask & ~part;
}

/* Entries lose their marks. The array cannot be replaced meanwhile: that takes mmu.lock, too. */
static void on_dirty(struct hvx_pt *pt, u64 gpa, u64 size, u64 mask)
{
	struct hvx_vm *vm = container_of(pt, struct hvx_vm, mmu.pt);
	const struct hvx_slots *slots;
	const struct hvx_slot *slot;

	slots = rcu_dereference_protected(vm->mmu.slots, lockdep_is_held(&vm->mmu.lock));
	if (likely(!slots->logged))
		return;
	while (size == PAGE_SIZE && mask)
		mask = mark_first(slots, gpa, mask);
	if (!mask)
		return;
	/* A large leaf, which lies in one region */
	slot = hvx_slot_find(slots, gpa);
	if (slot && slot->dirty)
		hvx_dirty_mark(slot, gpa, size);
}

/* ------------------------------------------------------------------ start and end */

/*
 * What was written before is no news: nobody is told. Under the lock nobody else changes entries,
 * so that no other mark is lost.
 */
static u64 clean_some(struct hvx_mmu *mmu, u64 gpa, u64 end)
{
	unsigned int budget = HVX_ZAP_BATCH;
	bool changed = false;

	write_lock(&mmu->lock);
	mmu->pt.on_dirty = NULL;
	gpa = hvx_pt_clear_dirty(&mmu->pt, gpa, end, &budget, &changed);
	mmu->pt.on_dirty = on_dirty;
	if (changed)
		atomic64_inc(&mmu->tlb_gen);
	write_unlock(&mmu->lock);
	return gpa;
}

void hvx_dirty_start(struct hvx_vm *vm, const struct hvx_slot *slot)
{
	u64 at = slot->gpa, end = slot->gpa + slot->len;

	lockdep_assert_held(&vm->lock);
	/* Where there is no memory for the smaller entries now, faults bring them */
	if (hvx_mmu_split(vm, at, end))
		hvx_mmu_clear_range(vm, at, end);
	while (at < end) {
		at = clean_some(&vm->mmu, at, end);
		cond_resched();
	}
	hvx_mmu_flush(vm);
}

#define RUN_BLOCKS	64	/* in one hold of mmu.lock */

/*
 * From @gpa on, as many blocks as are alike: the VMM maps each by a large entry, or none of them.
 * Returns where they end.
 */
static u64 alike(struct hvx_vm *vm, const struct hvx_slot *slot, u64 gpa, u64 end, bool *large)
{
	const u64 block = hvx_pt_level_size(HVX_PT_2M);
	u64 at = gpa;

	end = min(end, gpa + RUN_BLOCKS * block);
	read_lock(&vm->mmu.lock);
	for (; at < end; at += block) {
		bool is = hvx_level_of_host(vm, slot->hva + (at - slot->gpa)) > HVX_PT_4K;

		if (at == gpa)
			*large = is;
		if (is != *large)
			break;
	}
	read_unlock(&vm->mmu.lock);
	return at;
}

/*
 * Blocks that could be large give their small entries up, so that faults bring large ones. What
 * the host maps by small entries now stays; should it make them large, the MMU notifier tells.
 */
void hvx_dirty_stop(struct hvx_vm *vm, const struct hvx_slot *slot)
{
	const u64 block = hvx_pt_level_size(HVX_PT_2M);
	u64 at = ALIGN(slot->gpa, block), end = ALIGN_DOWN(slot->gpa + slot->len, block), next;
	bool large;

	lockdep_assert_held(&vm->lock);
	/* What is true of one block is true of all that lie in the region as a whole */
	if (at >= end || hvx_level_of_region(slot, at, vm->mmu.max_level) == HVX_PT_4K)
		return;
	for (; at < end; at = next) {
		next = alike(vm, slot, at, end, &large);
		if (large)
			hvx_mmu_clear_range(vm, at, next);
		cond_resched();
	}
}

/* ------------------------------------------------------------------ handing over */

struct harvest {
	struct hvx_vm *vm;
	const struct hvx_slot *slot;
	u64 first, end;			/* pages of the region */
	bool keep;			/* look only */
};

static void collect(const struct harvest *h)
{
	u64 at = h->slot->gpa + (h->first << PAGE_SHIFT);
	u64 end = h->slot->gpa + (h->end << PAGE_SHIFT);
	struct hvx_mmu *mmu = &h->vm->mmu;

	while (at < end) {
		unsigned int budget = HVX_ZAP_BATCH;
		bool changed = false;

		write_lock(&mmu->lock);
		at = hvx_pt_clear_dirty(&mmu->pt, at, end, &budget, &changed);
		if (changed)
			atomic64_inc(&mmu->tlb_gen);
		write_unlock(&mmu->lock);
		cond_resched();
	}
	hvx_mmu_flush(h->vm);
}

/* Bits of pages that were asked for in word @i of the bitmap */
static u64 word_mask(const struct harvest *h, u64 i)
{
	u64 mask = ~0ULL;

	if (i == h->first / WORD_PAGES)
		mask <<= h->first % WORD_PAGES;
	if (i == h->end / WORD_PAGES)
		mask &= (1ULL << h->end % WORD_PAGES) - 1;
	return mask;
}

/* Those of @bits, which stood in word @i just now */
static __always_inline u64 take_bits(const struct harvest *h, u64 i, u64 bits)
{
	if (bits && !h->keep)
		bits = atomic64_fetch_andnot(bits, (atomic64_t *)&h->slot->dirty[i]) & bits;
	return bits;
}

static __always_inline u64 take_word(const struct harvest *h, u64 i)
{
	u64 bits = READ_ONCE(h->slot->dirty[i]);

	/* Most often nothing was written to */
	return bits ? take_bits(h, i, bits & word_mask(h, i)) : 0;
}

/* The VMM did not get those of @bits, of which bit 0 is for @page */
static noinline void give_back(const struct harvest *h, u64 page, u64 bits)
{
	if (bits && !h->keep)
		mark_pages(h->slot, h->slot->gpa + (page << PAGE_SHIFT), bits);
}

/* 64 pages from @page on, which begins no word: what is left of that one, and a part of the next */
static u64 take_across(const struct harvest *h, u64 page)
{
	unsigned int shift = page % WORD_PAGES;
	u64 i = page / WORD_PAGES, mask = ~0ULL << shift, low, high;

	low = take_bits(h, i, READ_ONCE(h->slot->dirty[i]) & word_mask(h, i) & mask);
	if (++i * WORD_PAGES >= h->end)
		return low >> shift;
	high = take_bits(h, i, READ_ONCE(h->slot->dirty[i]) & word_mask(h, i) & ~mask);
	return low >> shift | high << (WORD_PAGES - shift);
}

static const u64 zeroes[512];

/* Words from @i on in which nothing stands, by eights, as many as @zeroes has */
static unsigned int clean_words(const struct harvest *h, u64 i, u64 last)
{
	unsigned int n, max = min_t(u64, last - i, ARRAY_SIZE(zeroes));
	const unsigned long *w = &h->slot->dirty[i];

	/* A bit that is set meanwhile is for the next call */
	for (n = 0; n + 8 <= max; n += 8, w += 8) {
		/* A look without order: words that are not 0 are taken with xchg() */
		if (data_race(w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]))
			break;
	}
	return n;
}

static void take_chunk(const struct harvest *h, u64 page, unsigned int n, u64 *words)
{
	unsigned int k;

	if (page % WORD_PAGES) {
		for (k = 0; k < n; k++)
			words[k] = take_across(h, page + k * WORD_PAGES);
		return;
	}
	for (k = 0; k < n; k++)
		words[k] = take_word(h, page / WORD_PAGES + k);
}

static int give_chunk(const struct harvest *h, u64 page, unsigned int n, u64 __user *to)
{
	u64 words[CHUNK];
	unsigned int k;

	take_chunk(h, page, n, words);
	if (!copy_to_user(to, words, n * sizeof(u64)))
		return 0;
	for (k = 0; k < n; k++)
		give_back(h, page + k * WORD_PAGES, words[k]);
	return -EFAULT;
}

/* Bit 0 of the answer is page h->first. Where that begins no word of the log, answers go across. */
static int give_bitmap(const struct harvest *h, u64 __user *to)
{
	u64 page = h->first, last = DIV_ROUND_UP(h->end, WORD_PAGES);
	bool across = page % WORD_PAGES;
	unsigned int n;
	int err;

	for (; page < h->end; page += n * WORD_PAGES, to += n) {
		n = clean_words(h, page / WORD_PAGES, last);
		/* The answer that begins in the last of them has bits of the next word, too */
		if (n && across)
			n--;
		if (n) {
			err = copy_to_user(to, zeroes, n * sizeof(u64)) ? -EFAULT : 0;
		} else {
			n = min_t(u64, DIV_ROUND_UP(h->end - page, WORD_PAGES), CHUNK);
			err = give_chunk(h, page, n, to);
		}
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* The pages of one word as addresses; what does not fit stays */
static int give_word(const struct harvest *h, u64 i, u64 __user *to, u64 room, u64 *given)
{
	u64 bits = take_word(h, i);

	while (bits) {
		u64 page = i * WORD_PAGES + __ffs(bits);

		if (*given == room) {
			give_back(h, i * WORD_PAGES, bits);
			return -ENOSPC;
		}
		if (put_user(h->slot->gpa + (page << PAGE_SHIFT), &to[*given])) {
			give_back(h, i * WORD_PAGES, bits);
			return -EFAULT;
		}
		++*given;
		bits &= bits - 1;
	}
	return 0;
}

static int give_list(struct harvest *h, struct hvx_dirty *args)
{
	u64 __user *to = u64_to_user_ptr(args->data);
	u64 i, room = args->room;
	int err = 0;

	args->room = 0;
	for (i = h->first / WORD_PAGES; i < DIV_ROUND_UP(h->end, WORD_PAGES); i++) {
		err = give_word(h, i, to, room, &args->room);
		if (err)
			break;
		cond_resched();
	}
	/* Full is no error: the VMM asks again */
	return err == -ENOSPC ? 0 : err;
}

static int check(const struct hvx_dirty *args, const struct hvx_slot *slot)
{
	u64 pages = slot->len >> PAGE_SHIFT;

	if (args->first > pages || args->nr > pages - args->first)
		return -EINVAL;
	return 0;
}

int hvx_dirty_get(struct hvx_vm *vm, struct hvx_dirty *args)
{
	struct harvest h = { .vm = vm, .keep = args->flags & HVX_DIRTY_KEEP };
	int err;

	lockdep_assert_held(&vm->lock);
	if (args->flags & ~(HVX_DIRTY_LIST | HVX_DIRTY_KEEP) || args->reserved)
		return -EINVAL;
	h.slot = hvx_slot_by_id(vm, args->slot);
	if (!h.slot || !h.slot->dirty)
		return -ENOENT;
	err = check(args, h.slot);
	if (err || !args->nr)
		return err;
	h.first = args->first;
	h.end = args->first + args->nr;
	collect(&h);
	if (args->flags & HVX_DIRTY_LIST)
		return give_list(&h, args);
	return give_bitmap(&h, u64_to_user_ptr(args->data));
}

void hvx_dirty_init(struct hvx_vm *vm)
{
	vm->mmu.pt.on_dirty = on_dirty;
}
