// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-level faults: region, page of the VMM, entry.
 *
 * The entry is added under the read side of mmu.lock, so faults of different vCPUs run in parallel.
 * What keeps a stale page out of the table:
 *   1. invalidate_seq is read, with acquire, then the region is looked up,
 *   2. mmu.lock is taken for reading; when invalidate_seq has moved (an invalidation has ended, or
 *      regions were replaced) or an invalidation of this address is under way, start over,
 *   3. the page is what the VMM's own page tables lead to: who takes it away has to begin an
 *      invalidation first, and waits for the lock,
 *   4. the entry is added, and the lock dropped: from now on the MMU notifier is what keeps entry
 *      and page together.
 *
 * Where the VMM has no such page, it takes the fault that a program would, and looks again. What
 * then still is out of the ordinary is asked of get_user_pages(), between 1 and 2, with a reference
 * to the page until 4; it also knows what is wrong with an address.
 *
 * Pages are not pinned. A read is given a writable entry only where the VMM's own entry is writable
 * already: anything else would bypass copy on write.
 */
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/sched/signal.h>
#include "compat.h"
#include "vcpu/vcpu.h"
#include "slots.h"

struct fault {
	struct hvx_vm *vm;
	u64 gpa;
	unsigned int access;		/* HVX_READ, HVX_WRITE, HVX_EXEC */
	bool allocate;			/* a page that can be written to, though nobody writes */
	bool absent;			/* the window has looked for the page in vain */
	bool hole;			/* no region is there ... */
	u64 slots_gen;			/* ... as of then */
	bool read_only;			/* the region is */
	bool logged;			/* the region is */
	const struct hvx_slot *slot;	/* the region */
	int max_level;			/* of the leaf, as processor and memory type allow */
	int level;			/* of the leaf */
	unsigned long hva;		/* of the page */
	unsigned long seq;
	bool found;			/* what follows was looked up without mmu.lock */
	struct page *page;		/* with a reference; NULL: no page that can be counted */
	u64 pa;
	bool writable;
	bool device;
	struct hvx_pt_cache cache;
};

/* ------------------------------------------------------------------ holes */

bool hvx_mmu_known_hole(struct hvx_vcpu *vcpu, u64 gpa)
{
	const struct hvx_holes *holes = &vcpu->holes;

	if (holes->gen != READ_ONCE(vcpu->vm->mmu.slots_gen))
		return false;
	return holes->page[gpa >> PAGE_SHIFT & (HVX_HOLES - 1)] == ((gpa & PAGE_MASK) | 1);
}

/* @gen was read, with acquire, before the search: should regions have changed since, it is old */
static void remember_hole(struct hvx_vcpu *vcpu, u64 gpa, u64 gen)
{
	struct hvx_holes *holes = &vcpu->holes;

	if (holes->gen != gen)
		*holes = (struct hvx_holes) { .gen = gen, .found = holes->found };
	holes->found++;
	holes->page[gpa >> PAGE_SHIFT & (HVX_HOLES - 1)] = (gpa & PAGE_MASK) | 1;
}

bool hvx_mmu_hole(struct hvx_vcpu *vcpu, u64 gpa)
{
	struct hvx_vm *vm = vcpu->vm;
	bool hole;
	u64 gen;
	int idx;

	if (likely(hvx_mmu_known_hole(vcpu, gpa)))
		return true;
	/* Pairs with the release in publish() */
	gen = smp_load_acquire(&vm->mmu.slots_gen);
	idx = srcu_read_lock(&vm->srcu);
	hole = !hvx_slot_find(hvx_slots(vm), gpa);
	srcu_read_unlock(&vm->srcu, idx);
	if (hole)
		remember_hole(vcpu, gpa, gen);
	return hole;
}

/* ------------------------------------------------------------------ steps */

/* What the steps say: done, from the start again, no page, or one of the results of the fault */
enum step { STEP_DONE, STEP_AGAIN, STEP_ABSENT, STEP_MMIO, STEP_ERROR };

static bool is_invalidated(const struct fault *f)
{
	const struct hvx_mmu *mmu = &f->vm->mmu;

	return READ_ONCE(mmu->invalidate_count) && f->hva < READ_ONCE(mmu->invalidate_end) &&
	       f->hva + PAGE_SIZE > READ_ONCE(mmu->invalidate_start);
}

/*
 * Step 1. While an invalidation is under way nothing can come of step 4: take no reference to a
 * page then, for who migrates or splits it gives up when it finds one. Without the lock that is a
 * guess, which step 2 makes good.
 */
static enum step find_region(struct fault *f)
{
	const struct hvx_slot *slot;

	/* Pairs with the releases in publish() and invalidate_range_end() */
	f->seq = smp_load_acquire(&f->vm->mmu.invalidate_seq);
	/* Pairs with the release in publish() */
	f->slots_gen = smp_load_acquire(&f->vm->mmu.slots_gen);
	slot = hvx_slot_find(hvx_slots(f->vm), f->gpa);
	f->hole = !slot;
	if (!slot)
		return STEP_MMIO;
	if (unlikely(slot->going))
		return STEP_AGAIN;
	f->read_only = slot->flags & HVX_REGION_READONLY;
	if (f->read_only && f->access & HVX_WRITE)
		return STEP_MMIO;
	f->hva = hvx_slot_hva(slot, f->gpa) & PAGE_MASK;
	if (unlikely(is_invalidated(f)))
		return STEP_AGAIN;
	f->slot = slot;
	f->logged = slot->dirty;
	f->max_level = f->logged ? HVX_PT_4K : f->vm->mmu.max_level;
	f->found = false;
	return STEP_DONE;
}

/* The VMM's own entry has to allow writes */
static bool needs_write(const struct fault *f)
{
	return f->access & HVX_WRITE || (f->allocate && !f->read_only);
}

/*
 * A leaf has one memory type: without struct page none is larger than the block around the address
 * that is memory as a whole, or nowhere, as far as the host knows.
 */
static void limit_level(struct fault *f)
{
	int kind = f->device ? REGION_DISJOINT : REGION_INTERSECTS;

	for (; f->max_level > HVX_PT_4K; f->max_level--) {
		u64 size = hvx_pt_level_size(f->max_level);

		if (region_intersects(ALIGN_DOWN(f->pa, size), size, IORESOURCE_SYSTEM_RAM,
				      IORES_DESC_NONE) == kind)
			break;
	}
}

/*
 * A large entry that leads to no page, where the kernel tells no module where it does. No driver
 * makes one there, since those kernels themselves take it for one to a page; if one did,
 * follow_pte() would fail as if nothing were mapped, and so would every attempt after it.
 */
static bool cannot_follow(const struct fault *f)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	int level;

	if (HVX_FOLLOWS_LARGE)
		return false;
	read_lock(&mmu->lock);
	level = hvx_level_of_host(f->vm, f->hva);
	read_unlock(&mmu->lock);
	return level > HVX_PT_4K;
}

/* An address without struct page: device memory, or memory that a driver keeps for itself */
static int get_pfn(struct fault *f)
{
	unsigned int flags = needs_write(f) ? FAULT_FLAG_WRITE : 0;
	struct mm_struct *mm = f->vm->mm;
	struct vm_area_struct *vma;
	unsigned long pfn = 0;
	bool unlocked = false;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, f->hva);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)) || cannot_follow(f))
		goto unlock;
	err = hvx_follow_pfn(vma, f->hva, &pfn, &f->writable);
	if (!err && (f->writable || !flags))
		goto unlock;
	err = fixup_user_fault(mm, f->hva, flags, &unlocked);
	/* The VMA may be another by now, or none */
	if (!err)
		err = -EAGAIN;
unlock:
	mmap_read_unlock(mm);
	if (err)
		return err;
	f->pa = PFN_PHYS(pfn);
	f->writable &= !f->read_only;
	f->device = !page_is_ram(pfn);
	limit_level(f);
	return 0;
}

/* Who has to be told of writes may want to delay the writer, with mmap_lock released meanwhile */
static bool may_fault_in(const struct vm_area_struct *vma, unsigned long right)
{
	return vma->vm_flags & right && !(vma->vm_flags & (VM_IO | VM_PFNMAP)) &&
	       !(vma->vm_ops && vma->vm_ops->page_mkwrite);
}

/*
 * The fault that the VMM itself would take, as far as it can be had without releasing mmap_lock.
 * What is out of the ordinary is left to get_user_pages(), which looks for the page before and
 * after it.
 */
static bool fault_in(struct fault *f)
{
	unsigned int flags = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
	unsigned long right = VM_READ;
	struct mm_struct *mm = f->vm->mm;
	vm_fault_t fault = VM_FAULT_SIGSEGV;
	struct vm_area_struct *vma;

	if (needs_write(f)) {
		flags |= FAULT_FLAG_WRITE;
		right = VM_WRITE;
	}
	if (mmap_read_lock_killable(mm))
		return false;
	vma = vma_lookup(mm, f->hva);
	if (vma && may_fault_in(vma, right))
		fault = handle_mm_fault(vma, f->hva, flags, NULL);
	mmap_read_unlock(mm);
	return !(fault & (VM_FAULT_ERROR | VM_FAULT_RETRY));
}

/* 0, -EAGAIN to start over, -EINTR for a signal, or what is wrong with the address */
static int get_page_of(struct fault *f)
{
	unsigned int flags = FOLL_HWPOISON | HVX_FOLL_INTERRUPTIBLE | HVX_FOLL_NUMA;
	long got;

	f->found = true;
	f->writable = needs_write(f);
	if (f->writable)
		flags |= FOLL_WRITE;
	got = get_user_pages_unlocked(f->hva, 1, &f->page, flags);
	if (got == 1) {
		f->pa = PFN_PHYS(page_to_pfn(f->page));
		f->device = false;
		return 0;
	}
	f->page = NULL;
	if (signal_pending(current))
		return -EINTR;
	return got == -EFAULT ? get_pfn(f) : got ?: -EAGAIN;
}

/*
 * The guest may write from now on, and the host's own entry knows nothing of it. That the page is
 * in use is told by the entry's accessed flag, when the host asks the MMU notifier. While mmu.lock
 * is held: later the host may have written the page back, and would not look at it again.
 */
static void mark_dirty(struct page *page)
{
	if (!PageReserved(page))
		SetPageDirty(page);
}

static void put_fault_page(struct fault *f)
{
	if (f->page)
		put_page(f->page);
	f->page = NULL;
}

static bool is_stale(const struct fault *f)
{
	const struct hvx_mmu *mmu = &f->vm->mmu;

	lockdep_assert_held_read(&mmu->lock);
	return is_invalidated(f) || mmu->invalidate_seq != f->seq;
}

static int choose_level(const struct fault *f, int host)
{
	int max = min(f->max_level, host);

	if (max == HVX_PT_4K)
		return HVX_PT_4K;
	if (f->vm->mmu.large_no_exec && f->access & HVX_EXEC)
		return HVX_PT_4K;
	return hvx_level_of_region(f->slot, f->gpa, max);
}

/* In a format without dirty flag the right to write is what tells the log */
static bool may_write(const struct fault *f)
{
	return f->access & HVX_WRITE || !f->logged || f->vm->mmu.pt.format->dirty;
}

static enum hvx_pt_result map_at(struct fault *f, int level)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	struct hvx_pt_leaf leaf = {
		.pa = ALIGN_DOWN(f->pa, hvx_pt_level_size(level)),
		.level = level,
		.prot = HVX_READ,
	};

	if (f->writable)
		leaf.prot |= may_write(f) ? HVX_WRITE | HVX_PT_MAY_WRITE : HVX_PT_MAY_WRITE;
	leaf.clean = f->logged && !(f->access & HVX_WRITE);
	if (level == HVX_PT_4K || !mmu->large_no_exec)
		leaf.prot |= HVX_EXEC;
	if (f->device)
		leaf.prot |= HVX_PT_DEVICE;
	f->level = level;
	return hvx_pt_map(&mmu->pt, &f->cache, f->gpa, &leaf);
}

/* Step 3, where nobody has done it in another way. *@level: of the VMM's own entry. */
static bool find_page(struct fault *f, int *level)
{
	struct hvx_host_entry host;

	if (f->found) {
		*level = hvx_level_of_host(f->vm, f->hva);
		return true;
	}
	if (!hvx_host_entry(f->vm, f->hva, &host) || (needs_write(f) && !host.writable))
		return false;
	*level = host.level;
	f->pa = host.pa;
	f->writable = host.writable && !f->read_only;
	f->device = false;
	return true;
}

/*
 * Steps 2 to 4. A block of which parts are mapped by smaller leaves goes on so: they are there for
 * a reason, such as code in it. Only when all of them are gone it becomes one leaf.
 * Context: read side of mmu.lock.
 */
static enum step add_entry(struct fault *f, enum hvx_pt_result *result)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	int level;

	if (is_stale(f))
		return STEP_AGAIN;
	if (!find_page(f, &level))
		return STEP_ABSENT;
	for (level = choose_level(f, level); ; level--) {
		*result = map_at(f, level);
		if (*result != HVX_PT_TABLE_IN_USE)
			break;
	}
	if (*result == HVX_PT_REPLACED)
		atomic64_inc(&mmu->tlb_gen);
	if (*result == HVX_PT_NO_TABLE || *result == HVX_PT_IN_WAY)
		return STEP_ERROR;
	if (f->writable && (!f->found || f->page))
		mark_dirty(pfn_to_page(PHYS_PFN(f->pa)));
	return STEP_DONE;
}

/*
 * An empty table, or a large leaf that lacks a right, stands where the new leaf belongs: the next
 * attempt finds room. A large leaf is split, not removed: while its parts are mapped nobody makes
 * it large again, so that two vCPUs that want different rights do not undo each other's work.
 */
static void make_room(struct fault *f)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	struct hvx_pt_leaf leaf;
	bool large;

	read_lock(&mmu->lock);
	large = hvx_pt_lookup(&mmu->pt, f->gpa, &leaf) && leaf.level > f->level;
	read_unlock(&mmu->lock);
	if (large && !hvx_mmu_split(f->vm, f->gpa, f->gpa + 1))
		return;
	hvx_mmu_clear_block(f->vm, f->gpa, large ? leaf.level : f->level);
}

static enum step install(struct fault *f, int *err)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	enum hvx_pt_result result;
	enum step step;

	for (;;) {
		result = HVX_PT_SAME;
		read_lock(&mmu->lock);
		step = add_entry(f, &result);
		read_unlock(&mmu->lock);
		if (likely(result != HVX_PT_NO_TABLE))
			break;
		*err = hvx_pt_cache_fill(&f->cache);
		if (*err)
			return STEP_ERROR;
	}
	if (unlikely(result == HVX_PT_IN_WAY)) {
		make_room(f);
		return STEP_AGAIN;
	}
	/* Replaced here, or by a window that could not wait */
	hvx_mmu_flush(f->vm);
	return step;
}

static enum step try_fault(struct fault *f, int *err)
{
	enum step step = find_region(f);

	if (step == STEP_DONE)
		step = f->absent ? STEP_ABSENT : install(f, err);
	f->absent = false;
	if (step == STEP_ABSENT && fault_in(f))
		step = install(f, err);
	if (step != STEP_ABSENT)
		return step;
	*err = get_page_of(f);
	if (*err)
		return *err == -EAGAIN ? STEP_AGAIN : STEP_ERROR;
	step = install(f, err);
	put_fault_page(f);
	return step;
}

/* Context: process, vm->srcu. *@err: why, for STEP_ERROR. f->cache is left to the caller. */
static enum step resolve(struct fault *f, int *err)
{
	enum step step;

	while ((step = try_fault(f, err)) == STEP_AGAIN) {
		/* Somebody is changing the VMM's mapping or the regions right now */
		if (signal_pending(current)) {
			*err = -EINTR;
			return STEP_ERROR;
		}
		cond_resched();
	}
	return step;
}

enum hvx_fault_result hvx_mmu_fault(struct hvx_vcpu *vcpu, u64 gpa, unsigned int access,
				    struct hvx_fault_info *info)
{
	struct fault f = {
		.vm = vcpu->vm, .gpa = gpa, .access = access, .absent = vcpu->page_absent,
	};
	enum step step;
	int err = 0;

	if (unlikely(gpa >= hvx_pt_limit(&f.vm->mmu.pt)))
		return HVX_FAULT_MMIO;
	step = resolve(&f, &err);
	hvx_pt_cache_free(&f.cache);
	if (likely(step == STEP_DONE)) {
		vcpu->faults++;
		return HVX_FAULT_MAPPED;
	}
	if (f.hole)
		remember_hole(vcpu, gpa, f.slots_gen);
	if (step == STEP_MMIO)
		return HVX_FAULT_MMIO;
	if (err == -EINTR)
		return HVX_FAULT_RETRY;
	info->hva = f.hva | (gpa & ~PAGE_MASK);
	info->error = err;
	return HVX_FAULT_NO_MEMORY;
}

/* ------------------------------------------------------------------ in advance */

/* An entry is there, and allows what is asked for */
static bool is_mapped(struct fault *f)
{
	struct hvx_mmu *mmu = &f->vm->mmu;
	struct hvx_pt_leaf leaf;
	bool mapped;

	read_lock(&mmu->lock);
	mapped = hvx_pt_lookup(&mmu->pt, f->gpa, &leaf);
	read_unlock(&mmu->lock);
	if (!mapped || (f->allocate && !(leaf.prot & HVX_PT_MAY_WRITE)))
		return false;
	f->level = leaf.level;
	return true;
}

/* 0, and f->level says how much was mapped */
static int prefault_one(struct fault *f)
{
	enum step step = STEP_DONE;
	int idx, err = 0;

	/* For one page only: who changes regions waits for it */
	idx = srcu_read_lock(&f->vm->srcu);
	/* There may be an entry without a region: see apic_page.c */
	if (!hvx_slot_find(hvx_slots(f->vm), f->gpa))
		step = STEP_MMIO;
	else if (!is_mapped(f))
		step = resolve(f, &err);
	srcu_read_unlock(&f->vm->srcu, idx);
	return step == STEP_MMIO ? -ENOENT : err;
}

int hvx_mmu_prefault(struct hvx_vm *vm, struct hvx_prefault *args)
{
	struct fault f = { .vm = vm, .access = HVX_READ };
	u64 end = args->gpa + args->len, next;
	int err = 0;

	if (args->flags & ~HVX_PREFAULT_WRITE || (args->gpa | args->len) & ~PAGE_MASK ||
	    end < args->gpa)
		return -EINVAL;
	f.allocate = args->flags & HVX_PREFAULT_WRITE;
	while (args->gpa < end) {
		if (signal_pending(current))
			err = -EINTR;
		else if (args->gpa >= hvx_pt_limit(&vm->mmu.pt))
			err = -ENOENT;
		f.gpa = args->gpa;
		err = err ?: prefault_one(&f);
		if (err)
			break;
		next = ALIGN_DOWN(f.gpa, hvx_pt_level_size(f.level)) + hvx_pt_level_size(f.level);
		args->gpa = min(next, end);
		args->len = end - args->gpa;
		cond_resched();
	}
	hvx_pt_cache_free(&f.cache);
	return err;
}

/* ------------------------------------------------------------------ in a window */

/*
 * A window holds no lock and interrupts are off: the lock is only tried, because its holder may
 * be long at work, and nothing is allocated.
 */
static enum step try_add_entry(struct fault *f, enum hvx_pt_result *result)
{
	enum step step;

	if (!read_trylock(&f->vm->mmu.lock))
		return STEP_AGAIN;
	step = add_entry(f, result);
	read_unlock(&f->vm->mmu.lock);
	return step;
}

bool hvx_mmu_allow_write(struct hvx_vcpu *vcpu, u64 gpa)
{
	struct hvx_mmu *mmu = &vcpu->vm->mmu;
	bool allowed;

	lockdep_assert_irqs_disabled();
	if (!read_trylock(&mmu->lock))
		return false;
	allowed = hvx_pt_allow_write(&mmu->pt, gpa);
	read_unlock(&mmu->lock);
	vcpu->rewrites += allowed;
	return allowed;
}

static enum step try_fault_window(struct fault *f)
{
	enum hvx_pt_result result = HVX_PT_SAME;
	enum step step = find_region(f);

	if (step != STEP_DONE)
		return step;
	step = try_add_entry(f, &result);
	/* Other memory was there: the flush waits for windows, so hvx_mmu_fault() has to do it */
	return result == HVX_PT_REPLACED ? STEP_AGAIN : step;
}

enum hvx_fault_result hvx_mmu_fault_window(struct hvx_vcpu *vcpu, u64 gpa, unsigned int access)
{
	struct fault f = { .vm = vcpu->vm, .gpa = gpa, .access = access };
	enum step step;
	int idx;

	lockdep_assert_irqs_disabled();
	if (unlikely(gpa >= hvx_pt_limit(&f.vm->mmu.pt)))
		return HVX_FAULT_MMIO;
	idx = srcu_read_lock(&f.vm->srcu);
	step = try_fault_window(&f);
	srcu_read_unlock(&f.vm->srcu, idx);
	vcpu->page_absent = step == STEP_ABSENT;
	if (likely(step == STEP_DONE)) {
		vcpu->faults++;
		return HVX_FAULT_MAPPED;
	}
	if (f.hole)
		remember_hole(vcpu, gpa, f.slots_gen);
	return step == STEP_MMIO ? HVX_FAULT_MMIO : HVX_FAULT_RETRY;
}
