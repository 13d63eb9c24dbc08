// SPDX-License-Identifier: GPL-2.0-only
/*
 * The radix table that the processor walks from guest-physical to host-physical addresses, in the
 * two formats that there are: EPT (SDM vol. 3, "The Extended Page Table Mechanism (EPT)") and
 * nested paging (APM vol. 2, "Nested Paging", which reuses the format of long-mode page tables).
 *
 * Invariants
 *   - Who changes what is told by a reader/writer lock of the caller, named "the lock" here.
 *     Read side, in parallel with each other and themselves: hvx_pt_map(), hvx_pt_clear_accessed(),
 *     hvx_pt_allow_write().
 *     Write side, alone: hvx_pt_unmap(), hvx_pt_clear_dirty(), hvx_pt_split(), hvx_pt_prune().
 *     Either side, or a window (see mmu.h): hvx_pt_lookup(), hvx_pt_test_accessed(),
 *     hvx_pt_set_dirty().
 *   - Under the read side an entry only goes from absent to present, or gains rights, or loses its
 *     accessed flag, and always by cmpxchg: the processor sets accessed and dirty flags meanwhile.
 *     (Other memory under a present leaf is an exception that hvx_pt_map() reports.)
 *   - Whatever takes rights away runs under the write side; what it took away still stands in TLBs
 *     until the caller has flushed them.
 *   - A table that became reachable stays so, and allocated, as long as it has a present entry.
 *     hvx_pt_unmap() leaves empty tables where they are, for it runs where nothing may be freed.
 *     hvx_pt_prune() takes them out of the tree; processors may walk them until the flush that
 *     follows, and only then hvx_pt_free_unhooked() gives them back.
 *   - A table is all zeroes, hence all absent, before the cmpxchg that makes it reachable.
 *   - Entries that lead to tables allow everything; rights are in leaves alone. The exception are
 *     tables that the log lets sleep: see "sleep".
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "pt.h"

/* EPT entries: SDM vol. 3, "Format of an EPT Page-Table Entry that Maps a 4-KByte Page" */
#define EPT_READ		BIT_ULL(0)
#define EPT_WRITE		BIT_ULL(1)
#define EPT_EXEC		BIT_ULL(2)
#define EPT_MT_UC		(0ULL << 3)
#define EPT_MT_WB		(6ULL << 3)
#define EPT_IPAT		BIT_ULL(6)	/* ignore the guest's PAT */
#define EPT_LARGE		BIT_ULL(7)
#define EPT_ACCESSED		BIT_ULL(8)
#define EPT_DIRTY		BIT_ULL(9)

/* Nested page-table entries: APM vol. 2, "Page-Translation-Table Entry Fields" */
#define NPT_PRESENT		BIT_ULL(0)
#define NPT_WRITE		BIT_ULL(1)
#define NPT_USER		BIT_ULL(2)	/* nested walks are user accesses: always set */
#define NPT_PWT			BIT_ULL(3)
#define NPT_PCD			BIT_ULL(4)
#define NPT_ACCESSED		BIT_ULL(5)
#define NPT_DIRTY		BIT_ULL(6)
#define NPT_LARGE		BIT_ULL(7)
#define NPT_NX			BIT_ULL(63)

/* Both formats leave these bits to software */
#define PT_SW_DEVICE		BIT_ULL(52)	/* leaf: of device memory */
#define PT_SW_MAY_WRITE		BIT_ULL(53)	/* leaf: only the log may lack the right to write */
#define PT_SW_ASLEEP		BIT_ULL(54)	/* entry that leads to a table: see "sleep" */

#define PT_ADDR_MASK		GENMASK_ULL(51, 12)

#define EPT_FORMAT							\
	.present = EPT_READ | EPT_WRITE | EPT_EXEC,			\
	.read = EPT_READ,						\
	.write = EPT_WRITE,						\
	.exec = EPT_EXEC,						\
	.leaf = EPT_MT_WB | EPT_IPAT,					\
	.device = EPT_MT_UC | EPT_IPAT | PT_SW_DEVICE,			\
	.large = EPT_LARGE,						\
	.addr_mask = PT_ADDR_MASK

const struct hvx_pt_format hvx_pt_ept = {
	EPT_FORMAT,
	.name = "EPT",
	.accessed = EPT_ACCESSED,
	.dirty = EPT_DIRTY,
	.table = EPT_READ | EPT_WRITE | EPT_EXEC | EPT_ACCESSED,
};

const struct hvx_pt_format hvx_pt_ept_no_ad = {
	EPT_FORMAT,
	.name = "EPT",
	.table = EPT_READ | EPT_WRITE | EPT_EXEC,
};

const struct hvx_pt_format hvx_pt_npt = {
	.name = "NPT",
	.present = NPT_PRESENT,
	.read = NPT_PRESENT | NPT_USER,
	.write = NPT_WRITE,
	.no_exec = NPT_NX,
	.accessed = NPT_ACCESSED,
	.dirty = NPT_DIRTY,
	.table = NPT_PRESENT | NPT_WRITE | NPT_USER | NPT_ACCESSED,
	.leaf = 0,
	/* Entry 3 of the PAT, which Linux leaves at UC: the guest's own type cannot weaken it */
	.device = NPT_PWT | NPT_PCD | PT_SW_DEVICE,
	.large = NPT_LARGE,
	.addr_mask = PT_ADDR_MASK,
};

/* ------------------------------------------------------------------------- entries */

static bool is_present(const struct hvx_pt *pt, u64 entry)
{
	return entry & pt->format->present;
}

static bool is_table(const struct hvx_pt *pt, u64 entry, int level)
{
	return level > 1 && is_present(pt, entry) && !(entry & pt->format->large);
}

static u64 entry_pa(const struct hvx_pt *pt, u64 entry)
{
	return entry & pt->format->addr_mask & ~pt->encrypt;
}

static u64 *entry_table(const struct hvx_pt *pt, u64 entry)
{
	return __va(entry_pa(pt, entry));
}

static u64 make_table(const struct hvx_pt *pt, u64 *table)
{
	return __pa(table) | pt->format->table | pt->encrypt;
}

/*
 * The processor is about to make the access that the leaf is for, so the leaf starts accessed,
 * and dirty when it can be written: flags that stand already cost it no locked update.
 */
static u64 make_leaf(const struct hvx_pt *pt, const struct hvx_pt_leaf *leaf)
{
	const struct hvx_pt_format *f = pt->format;
	u64 entry = leaf->pa | f->read | f->accessed;

	if (leaf->prot & HVX_PT_DEVICE)
		entry |= f->device;
	else
		entry |= f->leaf | pt->encrypt;
	if (leaf->prot & HVX_PT_MAY_WRITE)
		entry |= PT_SW_MAY_WRITE;
	if (leaf->prot & HVX_WRITE)
		entry |= leaf->clean ? f->write : f->write | f->dirty;
	if (leaf->prot & HVX_EXEC)
		entry |= f->exec;
	else
		entry |= f->no_exec;
	if (leaf->level > 1)
		entry |= f->large;
	return entry;
}

static unsigned int leaf_prot(const struct hvx_pt *pt, u64 entry)
{
	const struct hvx_pt_format *f = pt->format;
	unsigned int prot = 0;

	if ((entry & f->read) == f->read)
		prot |= HVX_READ;
	if (entry & f->write)
		prot |= HVX_WRITE;
	if (f->no_exec ? !(entry & f->no_exec) : entry & f->exec)
		prot |= HVX_EXEC;
	if (entry & PT_SW_DEVICE)
		prot |= HVX_PT_DEVICE;
	if (entry & PT_SW_MAY_WRITE)
		prot |= HVX_PT_MAY_WRITE;
	return prot;
}

static unsigned int entry_index(u64 gpa, int level)
{
	return (gpa >> (12 + HVX_PT_SHIFT * (level - 1))) & (HVX_PT_ENTRIES - 1);
}

/* ------------------------------------------------------------------------- tables */

/*
 * Beside the charge, tables are shown as what they are: sec_pagetables in the memory.stat of the
 * VMM's control group, SecPageTables in /proc/meminfo.
 */
static u64 *alloc_table(void)
{
	u64 *table = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (table)
		mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE, 1);
	return table;
}

static void free_table(u64 *table)
{
	mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE, -1);
	free_page((unsigned long)table);
}

/**
 * hvx_pt_init() - make an empty table
 * @pt: the table
 * @format: entry format
 * @encrypt: address bits to set in every entry that points to memory, 0 for none
 *
 * Context: process. Return: 0 or -ENOMEM.
 */
int hvx_pt_init(struct hvx_pt *pt, const struct hvx_pt_format *format, u64 encrypt)
{
	unsigned int i;

	pt->root = alloc_table();
	if (!pt->root)
		return -ENOMEM;
	pt->format = format;
	pt->levels = HVX_PT_LEVELS;
	pt->encrypt = encrypt;
	pt->on_dirty = NULL;
	atomic64_set(&pt->nr_tables, 1);
	for (i = 0; i < ARRAY_SIZE(pt->nr_leaves); i++)
		atomic64_set(&pt->nr_leaves[i], 0);
	return 0;
}

u64 hvx_pt_root_pa(const struct hvx_pt *pt)
{
	return __pa(pt->root) | pt->encrypt;
}

/**
 * hvx_pt_cache_fill() - have all the tables that one hvx_pt_map() can need
 * @cache: where they go
 *
 * Context: process. Return: 0 or -ENOMEM; what was allocated stays in @cache.
 */
int hvx_pt_cache_fill(struct hvx_pt_cache *cache)
{
	while (cache->nr < ARRAY_SIZE(cache->table)) {
		u64 *table = alloc_table();

		if (!table)
			return -ENOMEM;
		cache->table[cache->nr++] = table;
	}
	return 0;
}

void hvx_pt_cache_free(struct hvx_pt_cache *cache)
{
	while (cache->nr)
		free_table(cache->table[--cache->nr]);
}

/* ------------------------------------------------------------------------- iterator */

/*
 * Goes through the entries that map [gpa, end): leaves, and absent entries as high up as they are.
 * Absent entries cost one step however much they stand for.
 */
struct pt_iter {
	u64 gpa;
	u64 end;
	int level;			/* of the entry where it is */
	int bottom;			/* does not go down below */
	u64 *table[HVX_PT_LEVELS + 1];	/* by level, from .level to the root's */
};

static u64 *iter_entry(const struct pt_iter *it)
{
	return &it->table[it->level][entry_index(it->gpa, it->level)];
}

static void iter_down(struct pt_iter *it, const struct hvx_pt *pt)
{
	while (it->level > it->bottom) {
		u64 entry = READ_ONCE(*iter_entry(it));

		if (!is_table(pt, entry, it->level))
			break;
		it->table[--it->level] = entry_table(pt, entry);
	}
}

static bool iter_first(struct pt_iter *it, const struct hvx_pt *pt, u64 gpa, u64 end, int bottom)
{
	it->gpa = gpa;
	it->end = min(end, hvx_pt_limit(pt));
	it->level = pt->levels;
	it->bottom = bottom;
	it->table[it->level] = pt->root;
	if (it->gpa >= it->end)
		return false;
	iter_down(it, pt);
	return true;
}

static bool iter_next(struct pt_iter *it, const struct hvx_pt *pt)
{
	u64 size = hvx_pt_level_size(it->level);

	it->gpa = ALIGN_DOWN(it->gpa, size) + size;
	if (it->gpa >= it->end)
		return false;
	/* Index 0 is the first entry of another table */
	while (it->level < pt->levels && !entry_index(it->gpa, it->level))
		it->level++;
	iter_down(it, pt);
	return true;
}

/* ------------------------------------------------------------------------- sleep */

/*
 * The log has to look at every leaf for its dirty mark, most of them in vain. So a table of level 1
 * in which it found none loses the right to write as a whole, in the entry that leads there: the
 * next write to any of its pages exits, and wakes it. That was with the caller's flush; until then
 * translations of before let writes through. What these have marked is found when the log looks
 * again; if even then there is no mark, none can come up, and the table is left out from now on:
 * it is asleep.
 *
 * Who marks a leaf in another way (hvx_pt_map(), hvx_pt_set_dirty()) wakes its table, too.
 */

static void wake(const struct hvx_pt *pt, u64 *entry, int level)
{
	u64 write = pt->format->write, old = READ_ONCE(*entry);

	do {
		if (!is_table(pt, old, level) || old & write)
			return;
	} while (!try_cmpxchg64(entry, &old, (old | write) & ~PT_SW_ASLEEP));
}

/* There is no mark in the table that @old leads to. True: the caller has to flush */
static bool doze_off(const struct hvx_pt *pt, u64 *entry, u64 old)
{
	u64 write = pt->format->write;

	/* If it was woken meanwhile, it stays so */
	if (old & write)
		return try_cmpxchg64(entry, &old, old & ~write);
	try_cmpxchg64(entry, &old, old | PT_SW_ASLEEP);
	return false;
}

/* ------------------------------------------------------------------------- mapping */

/* Has one of 8 entries one of these bits? What is found is read again, and then only once. */
static bool any_of_8(const u64 *entry, u64 bits)
{
	/* As said above: only a reason to look again */
	return data_race(entry[0] | entry[1] | entry[2] | entry[3] |
			 entry[4] | entry[5] | entry[6] | entry[7]) & bits;
}

static bool is_empty(const struct hvx_pt *pt, const u64 *table)
{
	unsigned int i;

	for (i = 0; i < HVX_PT_ENTRIES; i += 8) {
		if (any_of_8(&table[i], pt->format->present))
			return false;
	}
	return true;
}

/* Make an absent entry lead to a table; the entry afterwards, 0 when the cache is empty */
static u64 install_table(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 *entry)
{
	u64 old = 0, new;

	if (!cache->nr)
		return 0;
	new = make_table(pt, cache->table[cache->nr - 1]);
	if (!try_cmpxchg64(entry, &old, new))
		return old;
	cache->nr--;
	atomic64_inc(&pt->nr_tables);
	return new;
}

static enum hvx_pt_result install_leaf(struct hvx_pt *pt, u64 *entry,
				       const struct hvx_pt_leaf *leaf)
{
	const struct hvx_pt_format *f = pt->format;
	u64 add = make_leaf(pt, leaf);
	/* What makes two leaves map the same memory in the same way */
	u64 same = f->addr_mask | f->leaf | f->device | f->large;
	u64 old = READ_ONCE(*entry);
	enum hvx_pt_result result;
	u64 new;

	do {
		if (is_table(pt, old, leaf->level))
			return is_empty(pt, entry_table(pt, old)) ? HVX_PT_IN_WAY :
								    HVX_PT_TABLE_IN_USE;
		new = add;
		if (!is_present(pt, old)) {
			result = HVX_PT_ADDED;
			continue;
		}
		if ((old ^ add) & same) {
			result = HVX_PT_REPLACED;
			continue;
		}
		if (!(leaf->prot & ~leaf_prot(pt, old)))
			return HVX_PT_SAME;
		result = HVX_PT_WIDENED;
		new = (old | add) & ~f->no_exec;
		new |= old & add & f->no_exec;
	} while (!try_cmpxchg64(entry, &old, new));
	if (result == HVX_PT_ADDED)
		atomic64_inc(&pt->nr_leaves[leaf->level - 1]);
	return result;
}

/* A leaf above the level that is asked for: another processor was faster, or it is in the way */
static enum hvx_pt_result meet_leaf(const struct hvx_pt *pt, u64 entry, int level, u64 gpa,
				    const struct hvx_pt_leaf *leaf)
{
	u64 offset = gpa & (hvx_pt_level_size(level) - 1) & ~(hvx_pt_level_size(leaf->level) - 1);

	if (entry_pa(pt, entry) + offset != leaf->pa || leaf->prot & ~leaf_prot(pt, entry))
		return HVX_PT_IN_WAY;
	return HVX_PT_SAME;
}

/**
 * hvx_pt_map() - map one leaf
 * @pt: the table
 * @cache: tables to use where the tree lacks them
 * @gpa: any guest-physical address that the leaf maps
 * @leaf: what to map; .pa is aligned to the size of .level
 *
 * Rights that stand already stay: they are added to, never taken away.
 *
 * Context: read side of the lock.
 */
enum hvx_pt_result hvx_pt_map(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 gpa,
			      const struct hvx_pt_leaf *leaf)
{
	u64 *table = pt->root;
	int level;

	if (WARN_ON_ONCE(gpa >= hvx_pt_limit(pt) || leaf->pa & ~pt->format->addr_mask))
		return HVX_PT_IN_WAY;

	for (level = pt->levels; level > leaf->level; level--) {
		u64 *entry = &table[entry_index(gpa, level)];
		u64 value = READ_ONCE(*entry);

		if (!is_present(pt, value))
			value = install_table(pt, cache, entry);
		if (!value)
			return HVX_PT_NO_TABLE;
		if (!is_table(pt, value, level))
			return meet_leaf(pt, value, level, gpa, leaf);
		if (unlikely(!(value & pt->format->write)) && leaf->prot & HVX_WRITE &&
		    !leaf->clean)
			wake(pt, entry, level);
		table = entry_table(pt, value);
	}
	return install_leaf(pt, &table[entry_index(gpa, level)], leaf);
}

/**
 * hvx_pt_lookup() - what the processor would find
 * @pt: the table
 * @gpa: guest-physical address
 * @leaf: result
 *
 * Context: either side of the lock, or a window. Return: true when a leaf maps @gpa.
 */
bool hvx_pt_lookup(const struct hvx_pt *pt, u64 gpa, struct hvx_pt_leaf *leaf)
{
	struct pt_iter it;
	u64 entry;

	if (!iter_first(&it, pt, gpa, gpa + 1, 1))
		return false;
	entry = READ_ONCE(*iter_entry(&it));
	if (!is_present(pt, entry))
		return false;
	leaf->pa = entry_pa(pt, entry);
	leaf->level = it.level;
	leaf->prot = leaf_prot(pt, entry);
	return true;
}

/* ------------------------------------------------------------------------- ranges */

/* What shows that a leaf was written to: in formats without a dirty flag, that it can be */
static u64 dirty_mark(const struct hvx_pt *pt)
{
	return pt->format->dirty ?: pt->format->write;
}

/* What to change in leaves: those that have one of .any lose .bits, all of it with ~0 */
struct change {
	struct hvx_pt *pt;
	u64 any;
	u64 bits;
	bool done;		/* something was changed; the caller flushes */
};

static bool is_log(const struct change *c)
{
	return c->bits == dirty_mark(c->pt);
}

static void tell_dirty(const struct change *c, u64 gpa, u64 size, u64 mask)
{
	if (mask && c->pt->on_dirty)
		c->pt->on_dirty(c->pt, gpa, size, mask);
}

/*
 * Change one leaf; what it was, 0 when nothing was to be changed. Atomically, because the processor
 * sets flags meanwhile and other faults add rights. A dirty mark that comes between the two
 * accesses stays for the next time.
 */
static u64 change_leaf(const struct change *c, u64 *entry)
{
	u64 old = READ_ONCE(*entry);

	if (!(old & c->any))
		return 0;
	if (c->bits == ~0ULL)
		return xchg(entry, 0);
	atomic64_andnot(c->bits, (atomic64_t *)entry);
	return old;
}

/* The first of [@i, @end) with one of @bits, or @end */
static unsigned int find_any(const u64 *table, unsigned int i, unsigned int end, u64 bits)
{
	while (i < end) {
		if (!(i % 8) && i + 8 <= end && !any_of_8(&table[i], bits)) {
			i += 8;
			continue;
		}
		if (READ_ONCE(table[i]) & bits)
			break;
		i++;
	}
	return i;
}

/*
 * Leaves [@first, @end) of the table of level 1 that maps @gpa and what follows. Marks are told of
 * by words of 64, as the log keeps them.
 */
static void change_table(struct change *c, u64 *table, unsigned int first, unsigned int end,
			 u64 gpa)
{
	u64 marks = c->bits & dirty_mark(c->pt), dirty = 0, old;
	unsigned int i, word = first / 64, changed = 0;

	for (i = first; (i = find_any(table, i, end, c->any)) < end; i++) {
		if (i / 64 != word) {
			tell_dirty(c, gpa + word * 64 * PAGE_SIZE, PAGE_SIZE, dirty);
			dirty = 0;
			word = i / 64;
		}
		old = change_leaf(c, &table[i]);
		changed += !!old;
		if (old & marks)
			dirty |= BIT_ULL(i % 64);
	}
	tell_dirty(c, gpa + word * 64 * PAGE_SIZE, PAGE_SIZE, dirty);
	c->done = changed;
	if (c->bits == ~0ULL)
		atomic64_sub(changed, &c->pt->nr_leaves[HVX_PT_4K - 1]);
}

static void change_large(struct change *c, u64 *entry, int level, u64 gpa)
{
	u64 size = hvx_pt_level_size(level), old = change_leaf(c, entry);

	if (!old)
		return;
	c->done = true;
	if (c->bits == ~0ULL)
		atomic64_dec(&c->pt->nr_leaves[level - 1]);
	tell_dirty(c, ALIGN_DOWN(gpa, size), size, !!(old & c->bits & dirty_mark(c->pt)));
}

/* What of its table the entry of level 2 at @it stands for: [*first, return value) */
static unsigned int part_of_table(const struct pt_iter *it, unsigned int *first)
{
	u64 left = it->end - ALIGN_DOWN(it->gpa, hvx_pt_level_size(HVX_PT_2M));

	*first = entry_index(it->gpa, HVX_PT_4K);
	return min_t(u64, DIV_ROUND_UP(left, PAGE_SIZE), HVX_PT_ENTRIES);
}

/* A table is changed in one go, and costs the budget its leaves */
static void change_part(struct change *c, const struct pt_iter *it, unsigned int *budget)
{
	u64 *entry = iter_entry(it), value = READ_ONCE(*entry);
	u64 block = ALIGN_DOWN(it->gpa, hvx_pt_level_size(HVX_PT_2M));
	bool log = is_log(c), before = c->done;
	unsigned int first, end = part_of_table(it, &first);

	if (log && value & PT_SW_ASLEEP)
		return;
	*budget -= min(*budget, end - first);
	change_table(c, entry_table(c->pt, value), first, end, block);
	if (log && !c->done && end - first == HVX_PT_ENTRIES)
		c->done = doze_off(c->pt, entry, value);
	c->done |= before;
}

/* Go on to the next entry that matters: most often nothing is there, or all of it sleeps */
static bool next_awake(const struct change *c, struct pt_iter *it)
{
	const u64 size = hvx_pt_level_size(HVX_PT_2M);
	unsigned int i = entry_index(it->gpa, HVX_PT_2M) + 1, from = i;
	const u64 *table = it->table[HVX_PT_2M];
	u64 value;

	if (it->level != HVX_PT_2M || !is_log(c))
		return iter_next(it, c->pt);
	for (; i < HVX_PT_ENTRIES; i++) {
		value = READ_ONCE(table[i]);
		if (value && !(value & PT_SW_ASLEEP))
			break;
	}
	/* iter_next() goes one further, and to the next table if need be */
	it->gpa = ALIGN_DOWN(it->gpa, size) + (i - from) * size;
	return iter_next(it, c->pt);
}

static u64 change_range(struct change *c, u64 gpa, u64 end, unsigned int *budget)
{
	struct pt_iter it;
	bool more;

	for (more = iter_first(&it, c->pt, gpa, end, HVX_PT_2M); more; more = next_awake(c, &it)) {
		u64 value = READ_ONCE(*iter_entry(&it));

		if (!*budget)
			return it.gpa;
		--*budget;
		if (is_table(c->pt, value, it.level))
			change_part(c, &it, budget);
		else if (value)
			change_large(c, iter_entry(&it), it.level, it.gpa);
	}
	return end;
}

static u64 clear_range(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, u64 any,
		       u64 bits, bool *changed)
{
	struct change c = { .pt = pt, .any = any, .bits = bits };
	u64 at = change_range(&c, gpa, end, budget);

	*changed |= c.done;
	return at;
}

/* Context: write side of the lock. The caller flushes when *@changed. */
u64 hvx_pt_unmap(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed)
{
	return clear_range(pt, gpa, end, budget, pt->format->present, ~0ULL, changed);
}

/*
 * Context: either side of the lock. A TLB may go on without setting the flag again for as long as
 * it holds the translation: that makes memory look a little older than it is, which is allowed.
 */
u64 hvx_pt_clear_accessed(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed)
{
	u64 accessed = pt->format->accessed;

	return clear_range(pt, gpa, end, budget, accessed, accessed, changed);
}

/* Context: write side of the lock. The caller flushes when *@changed. */
u64 hvx_pt_clear_dirty(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed)
{
	return clear_range(pt, gpa, end, budget, dirty_mark(pt), dirty_mark(pt), changed);
}

/* The leaf of @gpa, and the entry that leads to its table (NULL: it is large). NULL: no leaf. */
static u64 *find_leaf(const struct hvx_pt *pt, u64 gpa, u64 **parent)
{
	struct pt_iter it;

	if (!iter_first(&it, pt, gpa, gpa + 1, 1))
		return NULL;
	*parent = NULL;
	if (it.level == HVX_PT_4K)
		*parent = &it.table[HVX_PT_2M][entry_index(gpa, HVX_PT_2M)];
	return iter_entry(&it);
}

bool hvx_pt_set_dirty(struct hvx_pt *pt, u64 gpa)
{
	u64 dirty = pt->format->dirty, old, *entry, *parent;

	entry = find_leaf(pt, gpa, &parent);
	if (!entry)
		return false;
	old = READ_ONCE(*entry);
	do {
		if (!is_present(pt, old))
			return false;
		if ((old & dirty) == dirty)
			break;
	} while (!try_cmpxchg64(entry, &old, old | dirty));
	/* After the mark: see "sleep". Without one in the format no sleeping table comes here. */
	if (parent)
		wake(pt, parent, HVX_PT_2M);
	return true;
}

bool hvx_pt_allow_write(struct hvx_pt *pt, u64 gpa)
{
	u64 write = pt->format->write, old, *entry, *parent;

	entry = find_leaf(pt, gpa, &parent);
	if (!entry)
		return false;
	old = READ_ONCE(*entry);
	do {
		if (!is_present(pt, old))
			return false;
		if (old & write)
			break;
		if (!(old & PT_SW_MAY_WRITE))
			return false;
	} while (!try_cmpxchg64(entry, &old, old | write));
	if (parent)
		wake(pt, parent, HVX_PT_2M);
	return true;
}

/* A table of leaves that say together what @leaf, of @level, says alone */
static void fill_split(const struct hvx_pt *pt, u64 *table, u64 leaf, int level)
{
	u64 step = hvx_pt_level_size(level - 1), entry = leaf & ~dirty_mark(pt);
	unsigned int i;

	if (level - 1 == HVX_PT_4K)
		entry &= ~pt->format->large;
	for (i = 0; i < HVX_PT_ENTRIES; i++)
		table[i] = entry + i * step;
}

static void split_leaf(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 *entry, int level)
{
	u64 *table = cache->table[--cache->nr], old = READ_ONCE(*entry);

	/* The processor may set flags in the leaf meanwhile */
	do {
		fill_split(pt, table, old, level);
	} while (!try_cmpxchg64(entry, &old, make_table(pt, table)));
	atomic64_inc(&pt->nr_tables);
	atomic64_dec(&pt->nr_leaves[level - 1]);
	atomic64_add(HVX_PT_ENTRIES, &pt->nr_leaves[level - 2]);
}

static bool is_large(const struct hvx_pt *pt, const struct pt_iter *it)
{
	u64 entry = READ_ONCE(*iter_entry(it));

	return it->level > HVX_PT_4K && is_present(pt, entry) && entry & pt->format->large;
}

/* Context: write side of the lock. The caller flushes when *@changed. */
u64 hvx_pt_split(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 gpa, u64 end,
		 unsigned int *budget, bool *changed)
{
	struct pt_iter it;
	bool more;

	for (more = iter_first(&it, pt, gpa, end, HVX_PT_2M); more; more = iter_next(&it, pt)) {
		while (is_large(pt, &it)) {
			if (!cache->nr)
				return it.gpa;
			split_leaf(pt, cache, iter_entry(&it), it.level);
			*changed = true;
			iter_down(&it, pt);
		}
		if (!*budget)
			return it.gpa;
		--*budget;
	}
	return end;
}

bool hvx_pt_test_accessed(const struct hvx_pt *pt, u64 gpa, u64 end)
{
	u64 accessed = pt->format->accessed ?: pt->format->present;
	struct pt_iter it;
	bool more;

	for (more = iter_first(&it, pt, gpa, end, 1); more; more = iter_next(&it, pt)) {
		u64 entry = READ_ONCE(*iter_entry(&it));

		if (is_present(pt, entry) && entry & accessed)
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------- giving tables back */

/*
 * The chain goes through the first entry of each table. Processors may still walk the table: the
 * address of a page has neither a present bit of EPT nor that of NPT, the entry stays absent.
 */
static void unhook(struct hvx_pt *pt, u64 *entry, struct hvx_pt_unhooked *unhooked)
{
	u64 *table = entry_table(pt, READ_ONCE(*entry));

	WRITE_ONCE(*entry, 0);
	WRITE_ONCE(table[0], (u64)(unsigned long)unhooked->first);
	unhooked->first = table;
	atomic64_dec(&pt->nr_tables);
}

/**
 * hvx_pt_prune() - take empty tables out of the tree
 * @pt: the table
 * @level: of the tables; from 1 upwards, so that those above become empty in turn
 * @gpa: first address
 * @end: behind the last address
 * @budget: tables to look at; see hvx_pt_unmap()
 * @unhooked: where they go, for hvx_pt_free_unhooked() after the flush
 *
 * Context: write side of the lock. Return: where it stopped, @end when all is done.
 */
u64 hvx_pt_prune(struct hvx_pt *pt, int level, u64 gpa, u64 end, unsigned int *budget,
		 struct hvx_pt_unhooked *unhooked)
{
	struct pt_iter it;
	bool more;

	for (more = iter_first(&it, pt, gpa, end, level + 1); more; more = iter_next(&it, pt)) {
		u64 *entry = iter_entry(&it);
		u64 value = READ_ONCE(*entry);

		if (!*budget)
			return it.gpa;
		--*budget;
		if (it.level == level + 1 && is_table(pt, value, it.level) &&
		    is_empty(pt, entry_table(pt, value)))
			unhook(pt, entry, unhooked);
	}
	return end;
}

/* Context: process; no processor can walk the tables any more. */
void hvx_pt_free_unhooked(struct hvx_pt *pt, struct hvx_pt_unhooked *unhooked)
{
	while (unhooked->first) {
		u64 *table = unhooked->first;

		unhooked->first = (u64 *)(unsigned long)table[0];
		free_table(table);
		/* A terabyte has half a million of them */
		cond_resched();
	}
}

/* All tables of @level, whatever they hold */
static void unhook_level(struct hvx_pt *pt, int level, struct hvx_pt_unhooked *unhooked)
{
	u64 end = hvx_pt_limit(pt);
	struct pt_iter it;
	bool more;

	for (more = iter_first(&it, pt, 0, end, level + 1); more; more = iter_next(&it, pt)) {
		u64 *entry = iter_entry(&it);

		if (it.level == level + 1 && is_table(pt, READ_ONCE(*entry), it.level))
			unhook(pt, entry, unhooked);
		cond_resched();
	}
}

/**
 * hvx_pt_fini() - give everything back
 * @pt: the table; one that hvx_pt_init() failed for or that is gone already is fine
 *
 * Context: process; nobody uses the table any more.
 */
void hvx_pt_fini(struct hvx_pt *pt)
{
	struct hvx_pt_unhooked unhooked = {};
	int level;

	if (!pt->root)
		return;
	for (level = 1; level < pt->levels; level++)
		unhook_level(pt, level, &unhooked);
	hvx_pt_free_unhooked(pt, &unhooked);
	free_table(pt->root);
	pt->root = NULL;
	atomic64_set(&pt->nr_tables, 0);
}
