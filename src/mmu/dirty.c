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
 * While a region is logged its entries are of 4 KiB; other regions keep theirs.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include "../vcpu.h"
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

/* An entry loses its mark. The array cannot be replaced meanwhile: that takes mmu.lock, too. */
static void on_dirty(struct hvx_pt *pt, u64 gpa, u64 size)
{
	struct hvx_vm *vm = container_of(pt, struct hvx_vm, mmu.pt);
	const struct hvx_slots *slots;
	const struct hvx_slot *slot;

	slots = rcu_dereference_protected(vm->mmu.slots, lockdep_is_held(&vm->mmu.lock));
	if (likely(!slots->logged))
		return;
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

void hvx_dirty_stop(struct hvx_vm *vm, const struct hvx_slot *slot)
{
	lockdep_assert_held(&vm->lock);
	/* Faults bring entries back, as large as they may be */
	hvx_mmu_clear_range(vm, slot->gpa, slot->gpa + slot->len);
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

static u64 take_word(const struct harvest *h, u64 i)
{
	u64 mask = word_mask(h, i), bits = READ_ONCE(h->slot->dirty[i]) & mask;

	if (bits && !h->keep)
		bits = atomic64_fetch_andnot(bits, (atomic64_t *)&h->slot->dirty[i]) & bits;
	return bits;
}

/* The VMM did not get them */
static void give_back(const struct harvest *h, u64 i, u64 bits)
{
	if (bits && !h->keep)
		atomic64_or(bits, (atomic64_t *)&h->slot->dirty[i]);
}

static int give_bitmap(const struct harvest *h, u64 __user *to)
{
	u64 i = h->first / WORD_PAGES, last = DIV_ROUND_UP(h->end, WORD_PAGES);
	u64 words[CHUNK];
	unsigned int n, k;

	while (i < last) {
		n = min_t(u64, last - i, CHUNK);
		for (k = 0; k < n; k++)
			words[k] = take_word(h, i + k);
		if (copy_to_user(to, words, n * sizeof(u64))) {
			for (k = 0; k < n; k++)
				give_back(h, i + k, words[k]);
			return -EFAULT;
		}
		to += n;
		i += n;
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
			give_back(h, i, bits);
			return -ENOSPC;
		}
		if (put_user(h->slot->gpa + (page << PAGE_SHIFT), &to[*given])) {
			give_back(h, i, bits);
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
	if (!(args->flags & HVX_DIRTY_LIST) && args->first % WORD_PAGES)
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
