/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One radix page table for both second-level formats. What differs is in struct hvx_pt_format.
 * Builds in user space, too: nothing here knows a VM. Invariants and contexts: pt.c.
 */
#ifndef HVX_PT_H
#define HVX_PT_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/types.h>
#include "vcpu/exit.h"

#define HVX_PT_LEVELS		4	/* of both formats; the root is at this level */
#define HVX_PT_SHIFT		9	/* address bits that one level resolves */
#define HVX_PT_ENTRIES		BIT(HVX_PT_SHIFT)

/* Levels that can hold leaves */
#define HVX_PT_4K		1
#define HVX_PT_2M		2
#define HVX_PT_1G		3

struct hvx_pt_format {
	const char *name;
	u64 present;		/* any of these bits: entry is present */
	u64 read, write, exec;	/* permission bits that allow */
	u64 no_exec;		/* permission bit that forbids */
	u64 accessed, dirty;	/* set by the processor; 0: it does not */
	u64 table;		/* bits of an entry that points to a table */
	u64 leaf;		/* bits of every leaf of memory: memory type and such */
	u64 device;		/* the same for a leaf of device memory */
	u64 large;		/* bit of a leaf above level 1 */
	u64 addr_mask;
};

struct hvx_pt {
	const struct hvx_pt_format *format;
	u64 *root;
	int levels;
	u64 encrypt;			/* address bits that say "encrypted", set in every entry */
	/*
	 * Under the lock: hears of every leaf that was written to when it loses that mark. Leaves
	 * are of @size, bit i of @mask is for the one at @gpa + i * @size. NULL: nobody asks.
	 */
	void (*on_dirty)(struct hvx_pt *pt, u64 gpa, u64 size, u64 mask);
	atomic64_t nr_tables;		/* root included */
	atomic64_t nr_leaves[HVX_PT_1G];	/* present ones, by level - 1 */
};

/* What a leaf says: @prot of HVX_READ, HVX_WRITE, HVX_EXEC and these */
#define HVX_PT_DEVICE		BIT(8)	/* not memory: mapped uncached, never read by the host */
#define HVX_PT_MAY_WRITE	BIT(9)	/* hvx_pt_allow_write() may add HVX_WRITE */

struct hvx_pt_leaf {
	u64 pa;			/* of the first byte of the leaf */
	int level;
	unsigned int prot;
	bool clean;		/* for hvx_pt_map(): not written to yet */
};

/* Tables for hvx_pt_map(), allocated where that can sleep */
struct hvx_pt_cache {
	unsigned int nr;
	u64 *table[HVX_PT_LEVELS - 1];
};

/* Tables that are out of the tree and wait until no processor can be walking them */
struct hvx_pt_unhooked {
	u64 *first;
};

enum hvx_pt_result {
	HVX_PT_ADDED,		/* was absent */
	HVX_PT_WIDENED,		/* the same memory, now with more rights; no flush needed */
	HVX_PT_SAME,		/* nothing to do: another processor was faster */
	HVX_PT_REPLACED,	/* other memory was there: the caller must flush */
	HVX_PT_NO_TABLE,	/* fill @cache and try again; nothing was changed that matters */
	HVX_PT_TABLE_IN_USE,	/* smaller leaves are there */
	HVX_PT_IN_WAY,		/* an empty table, or a larger leaf without the rights asked for */
};

extern const struct hvx_pt_format hvx_pt_ept;		/* EPT with accessed and dirty flags on */
extern const struct hvx_pt_format hvx_pt_ept_no_ad;	/* EPT of processors without them */
extern const struct hvx_pt_format hvx_pt_npt;

static inline u64 hvx_pt_level_size(int level)
{
	return 1ULL << (12 + HVX_PT_SHIFT * (level - 1));
}

/* First address that the table cannot map */
static inline u64 hvx_pt_limit(const struct hvx_pt *pt)
{
	return hvx_pt_level_size(pt->levels + 1);
}

int hvx_pt_init(struct hvx_pt *pt, const struct hvx_pt_format *format, u64 encrypt);
void hvx_pt_fini(struct hvx_pt *pt);
/* What EPTP and nCR3 hold apart from their flags */
u64 hvx_pt_root_pa(const struct hvx_pt *pt);

int hvx_pt_cache_fill(struct hvx_pt_cache *cache);
void hvx_pt_cache_free(struct hvx_pt_cache *cache);

enum hvx_pt_result hvx_pt_map(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 gpa,
			      const struct hvx_pt_leaf *leaf);
bool hvx_pt_lookup(const struct hvx_pt *pt, u64 gpa, struct hvx_pt_leaf *leaf);

/*
 * Work on [gpa, end), at most *@budget entries of it and the rest of the last table. They return
 * where they stopped, @end when all is done; *@changed becomes true when an entry changed, and
 * stays as it is otherwise. Leaves that lie partly inside are taken as a whole.
 */
u64 hvx_pt_unmap(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed);
u64 hvx_pt_clear_accessed(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed);

/*
 * Take the mark of having been written to away, and tell .on_dirty. The mark is the dirty flag, or
 * the right to write in a format without one: such a leaf is to be mapped without it.
 */
u64 hvx_pt_clear_dirty(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int *budget, bool *changed);

/*
 * Do what the processor does before it writes. false: the entry has gone, and so has the memory as
 * soon as the window closes. Context: either side of the lock, or a window.
 */
bool hvx_pt_set_dirty(struct hvx_pt *pt, u64 gpa);

/*
 * Give the right to write back where nothing but the log has taken it. false: that is not what
 * stands against it. Context: read side of the lock.
 */
bool hvx_pt_allow_write(struct hvx_pt *pt, u64 gpa);

/*
 * Replace large leaves by tables of smaller ones with the same rights, not written to. Stops, like
 * the functions above, also when @cache is empty.
 */
u64 hvx_pt_split(struct hvx_pt *pt, struct hvx_pt_cache *cache, u64 gpa, u64 end,
		 unsigned int *budget, bool *changed);

/* Was something in [gpa, end) accessed? Without accessed flags: is something mapped? */
bool hvx_pt_test_accessed(const struct hvx_pt *pt, u64 gpa, u64 end);

/* Unhook empty tables of @level that map a part of [gpa, end); free them after the flush */
u64 hvx_pt_prune(struct hvx_pt *pt, int level, u64 gpa, u64 end, unsigned int *budget,
		 struct hvx_pt_unhooked *unhooked);
void hvx_pt_free_unhooked(struct hvx_pt *pt, struct hvx_pt_unhooked *unhooked);

#endif
