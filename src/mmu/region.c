// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions, and the life of struct hvx_mmu.
 *
 * Regions are an immutable sorted array that is replaced as a whole. Taking one away, moving it or
 * changing it goes in three steps:
 *   1. publish a copy in which the region is marked as going. Faults on it wait; the MMU notifier
 *      still finds it, for its entries are still there;
 *   2. remove its second-level entries and tables, and flush;
 *   3. publish the array as it is to be, and wait for the readers of the older ones.
 * A fault that began before step 1 sees invalidate_seq moved and starts over.
 *
 * After the call nobody uses the old layout any more: the VMM may reuse the memory at once.
 */
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/processor.h>
#include "ops.h"
#include "dirty.h"
#include "slots.h"

#define REGION_FLAGS	(HVX_REGION_READONLY | HVX_REGION_LOG_DIRTY)

unsigned int hvx_gpa_bits(void)
{
	/* The second-level table has four levels, whatever the processor could address */
	return min_t(unsigned int, boot_cpu_data.x86_phys_bits, 48);
}

/* ------------------------------------------------------------------------- removal */

void hvx_mmu_zap(struct hvx_vm *vm, u64 gpa, u64 end, bool may_sleep)
{
	struct hvx_mmu *mmu = &vm->mmu;

	while (gpa < end) {
		unsigned int budget = HVX_ZAP_BATCH;
		bool changed = false;

		write_lock(&mmu->lock);
		gpa = hvx_pt_unmap(&mmu->pt, gpa, end, &budget, &changed);
		if (changed)
			atomic64_inc(&mmu->tlb_gen);
		write_unlock(&mmu->lock);
		if (may_sleep)
			cond_resched();
	}
}

/* Take tables out that are empty now; processors may have their addresses cached, too */
static void prune(struct hvx_vm *vm, u64 gpa, u64 end, int levels,
		  struct hvx_pt_unhooked *unhooked)
{
	struct hvx_mmu *mmu = &vm->mmu;
	int level;

	for (level = 1; level < levels; level++) {
		u64 at = gpa;

		while (at < end) {
			unsigned int budget = HVX_ZAP_BATCH / 64;

			write_lock(&mmu->lock);
			at = hvx_pt_prune(&mmu->pt, level, at, end, &budget, unhooked);
			if (unhooked->first)
				atomic64_inc(&mmu->tlb_gen);
			write_unlock(&mmu->lock);
			cond_resched();
		}
	}
}

void hvx_mmu_flush(struct hvx_vm *vm)
{
	struct hvx_mmu *mmu = &vm->mmu;
	s64 gen = atomic64_read(&mmu->tlb_gen);
	s64 kicked = atomic64_read_acquire(&mmu->kicked_gen);

	if (kicked >= gen)
		return;
	hvx_vm_kick_all(vm);
	while (kicked < gen) {
		if (atomic64_try_cmpxchg_release(&mmu->kicked_gen, &kicked, gen))
			break;
	}
}

static u64 split_some(struct hvx_mmu *mmu, struct hvx_pt_cache *cache, u64 gpa, u64 end)
{
	unsigned int budget = HVX_ZAP_BATCH;
	bool changed = false;

	write_lock(&mmu->lock);
	gpa = hvx_pt_split(&mmu->pt, cache, gpa, end, &budget, &changed);
	if (changed)
		atomic64_inc(&mmu->tlb_gen);
	write_unlock(&mmu->lock);
	return gpa;
}

int hvx_mmu_split(struct hvx_vm *vm, u64 gpa, u64 end)
{
	struct hvx_pt_cache cache = {};
	int err = 0;

	while (gpa < end) {
		err = fatal_signal_pending(current) ? -EINTR : hvx_pt_cache_fill(&cache);
		if (err)
			break;
		gpa = split_some(&vm->mmu, &cache, gpa, end);
		cond_resched();
	}
	hvx_pt_cache_free(&cache);
	hvx_mmu_flush(vm);
	return err;
}

static void clear_tables(struct hvx_vm *vm, u64 gpa, u64 end, int levels)
{
	struct hvx_pt_unhooked unhooked = {};

	hvx_mmu_zap(vm, gpa, end, true);
	prune(vm, gpa, end, levels, &unhooked);
	hvx_mmu_flush(vm);
	hvx_pt_free_unhooked(&vm->mmu.pt, &unhooked);
}

void hvx_mmu_clear_block(struct hvx_vm *vm, u64 gpa, int level)
{
	u64 size = hvx_pt_level_size(level), block = ALIGN_DOWN(gpa, size);

	clear_tables(vm, block, block + size, level);
}

void hvx_mmu_clear_range(struct hvx_vm *vm, u64 gpa, u64 end)
{
	clear_tables(vm, gpa, end, vm->mmu.pt.levels);
}

/* ------------------------------------------------------------------------- regions */

static struct hvx_slots *slots_of(struct hvx_vm *vm)
{
	return rcu_dereference_protected(vm->mmu.slots, lockdep_is_held(&vm->lock));
}

static const struct hvx_slot *find_id(const struct hvx_slots *slots, u32 id)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	}
	return NULL;
}

/* A copy without region @id, with @add where that is not NULL */
static struct hvx_slots *copy_slots(const struct hvx_slots *old, u32 id, const struct hvx_slot *add)
{
	struct hvx_slots *new;
	unsigned int i;

	new = kvzalloc(struct_size(new, slot, old->nr + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	for (i = 0; i < old->nr; i++) {
		const struct hvx_slot *slot = &old->slot[i];

		if (slot->id == id)
			continue;
		if (add && add->gpa < slot->gpa) {
			new->slot[new->nr++] = *add;
			add = NULL;
		}
		new->slot[new->nr++] = *slot;
	}
	if (add)
		new->slot[new->nr++] = *add;
	for (i = 0; i < new->nr; i++)
		new->logged |= !!new->slot[i].dirty;
	return new;
}

/*
 * Faults read invalidate_seq before the array and compare it before they add an entry: one that
 * has the old array then sees the sequence moved.
 */
static void publish(struct hvx_vm *vm, struct hvx_slots *slots)
{
	struct hvx_mmu *mmu = &vm->mmu;

	write_lock(&mmu->lock);
	rcu_assign_pointer(mmu->slots, slots);
	/* Pairs with find_region(): who sees the new value sees the new array */
	smp_store_release(&mmu->invalidate_seq, mmu->invalidate_seq + 1);
	/* Pairs with hvx_mmu_hole() and find_region(), in the same way */
	smp_store_release(&mmu->slots_gen, mmu->slots_gen + 1);
	write_unlock(&mmu->lock);
}

/* Step 1 and 2 of the file header */
static void retire(struct hvx_vm *vm, struct hvx_slots *marked, const struct hvx_slot *slot)
{
	publish(vm, marked);
	hvx_mmu_clear_range(vm, slot->gpa, slot->gpa + slot->len);
}

/* @old becomes @new; one of them may be NULL */
static int replace(struct hvx_vm *vm, const struct hvx_slot *old, const struct hvx_slot *new)
{
	struct hvx_slots *slots = slots_of(vm), *marked = NULL, *final;

	final = copy_slots(slots, old ? old->id : new->id, new);
	if (!final)
		return -ENOMEM;
	if (old) {
		struct hvx_slot going = *old;

		going.going = true;
		marked = copy_slots(slots, old->id, &going);
		if (!marked) {
			kvfree(final);
			return -ENOMEM;
		}
		retire(vm, marked, old);
	}
	publish(vm, final);
	if (new)
		hvx_apic_page_hide(vm, new);
	synchronize_srcu_expedited(&vm->srcu);
	if (old)
		kvfree(old->dirty);
	kvfree(marked);
	kvfree(slots);
	return 0;
}

/* The region stays what it is and where it is: only its log begins or ends */
static int change_log(struct hvx_vm *vm, const struct hvx_slot *old, const struct hvx_slot *new)
{
	struct hvx_slots *slots = slots_of(vm), *final = copy_slots(slots, old->id, new);

	if (!final)
		return -ENOMEM;
	publish(vm, final);
	if (new->dirty)
		hvx_dirty_start(vm, new);
	else
		hvx_dirty_stop(vm, new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old->dirty);
	kvfree(slots);
	return 0;
}

const struct hvx_slot *hvx_slot_by_id(struct hvx_vm *vm, u32 id)
{
	return find_id(slots_of(vm), id);
}

static int check(const struct hvx_region *args)
{
	u64 limit = 1ULL << hvx_gpa_bits();

	if (args->flags & ~REGION_FLAGS || args->reserved || args->slot >= HVX_MAX_REGIONS)
		return -EINVAL;
	if (!args->len)
		return 0;
	if ((args->gpa | args->len | args->hva) & ~PAGE_MASK)
		return -EINVAL;
	if (args->gpa >= limit || args->len > limit - args->gpa)
		return -EINVAL;
	/* Wrap, and the kernel's half */
	if (!access_ok((void __user *)(unsigned long)args->hva, args->len))
		return -EINVAL;
	return 0;
}

static bool overlaps(const struct hvx_slots *slots, const struct hvx_slot *new)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		const struct hvx_slot *slot = &slots->slot[i];

		if (slot->id != new->id && slot->gpa < new->gpa + new->len &&
		    new->gpa < slot->gpa + slot->len)
			return true;
	}
	return false;
}

static bool same_place(const struct hvx_slot *a, const struct hvx_slot *b)
{
	return a->gpa == b->gpa && a->len == b->len && a->hva == b->hva;
}

/**
 * hvx_region_set() - add, change, move or delete a region
 * @vm: the VM
 * @args: of HVX_SET_REGION; @args->size was checked
 *
 * Context: process, vm->lock held, vm->srcu not. Return: 0 or an error that the ABI documents.
 */
int hvx_region_set(struct hvx_vm *vm, const struct hvx_region *args)
{
	struct hvx_slots *slots = slots_of(vm);
	struct hvx_slot new = {
		.gpa = args->gpa,
		.len = args->len,
		.hva = args->hva,
		.id = args->slot,
		.flags = args->flags,
	};
	const struct hvx_slot *old;
	int err = check(args);

	lockdep_assert_held(&vm->lock);
	if (err)
		return err;
	old = find_id(slots, new.id);
	if (!new.len)
		return old ? replace(vm, old, NULL) : -ENOENT;
	if (overlaps(slots, &new))
		return -EEXIST;
	if (old && same_place(old, &new) && old->flags == new.flags)
		return 0;
	if (new.flags & HVX_REGION_LOG_DIRTY) {
		err = hvx_dirty_alloc(&new);
		if (err)
			return err;
	}
	if (old && same_place(old, &new) && (old->flags ^ new.flags) == HVX_REGION_LOG_DIRTY)
		err = change_log(vm, old, &new);
	else
		err = replace(vm, old, &new);
	if (err)
		kvfree(new.dirty);
	return err;
}

/* ------------------------------------------------------------------------- life */

/**
 * hvx_mmu_init() - no regions, an empty second-level table, and the MMU notifier
 * @vm: vm->srcu is initialized, vm->mm is current->mm
 *
 * Context: process. Return: 0 or negative errno.
 */
int hvx_mmu_init(struct hvx_vm *vm)
{
	struct hvx_mmu *mmu = &vm->mmu;
	struct hvx_slots *slots;
	int err;

	rwlock_init(&mmu->lock);
	/* A vCPU starts with 0: its first entry flushes */
	atomic64_set(&mmu->tlb_gen, 1);
	atomic64_set(&mmu->kicked_gen, 1);
	/* A vCPU knows of no holes at 0 */
	mmu->slots_gen = 1;
	slots = kvzalloc(sizeof(*slots), GFP_KERNEL_ACCOUNT);
	if (!slots)
		return -ENOMEM;
	RCU_INIT_POINTER(mmu->slots, slots);
	/* With memory encryption of the host on, entries carry the C-bit like the host's own */
	err = hvx_pt_init(&mmu->pt, hvx_ops->pt_format, sme_me_mask);
	if (err)
		goto free_slots;
	hvx_dirty_init(vm);
	mmu->max_level = hvx_ops->pt_max_level;
	mmu->large_no_exec = hvx_large_no_exec();
	mmu->notifier.ops = &hvx_notifier_ops;
	err = mmu_notifier_register(&mmu->notifier, vm->mm);
	if (err)
		goto free_pt;
	return 0;

free_pt:
	hvx_pt_fini(&mmu->pt);
free_slots:
	kvfree(slots);
	RCU_INIT_POINTER(mmu->slots, NULL);
	return err;
}

static void free_logs(const struct hvx_slots *slots)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++)
		kvfree(slots->slot[i].dirty);
}

/* Context: process; no vCPU can run any more, and hvx_mmu_init() succeeded. */
void hvx_mmu_fini(struct hvx_vm *vm)
{
	struct hvx_mmu *mmu = &vm->mmu;

	mmu_notifier_unregister(&mmu->notifier, vm->mm);
	hvx_pt_fini(&mmu->pt);
	free_logs(rcu_dereference_protected(mmu->slots, true));
	kvfree(rcu_dereference_protected(mmu->slots, true));
	RCU_INIT_POINTER(mmu->slots, NULL);
}
