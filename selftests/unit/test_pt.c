// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second-level page table: by hand, then by random operations against a model of it, in every
 * format, then by several threads at a time.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "mmu/pt.h"
#include "pt_model.h"
#include "tap.h"

#define PAGE	4096ULL
#define ALL	~0U

static const struct hvx_pt_format *const formats[] = {
	&hvx_pt_ept, &hvx_pt_ept_no_ad, &hvx_pt_npt,
};

static u64 rnd_state = 88172645463325252ULL;

static u64 rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state >> 8;
}

static enum hvx_pt_result map_clean(struct hvx_pt *pt, u64 gpa, u64 pa, int level,
				    unsigned int prot, bool clean)
{
	struct hvx_pt_leaf leaf = { .pa = pa, .level = level, .prot = prot, .clean = clean };
	struct hvx_pt_cache cache = {};
	enum hvx_pt_result result;

	REQUIRE(!hvx_pt_cache_fill(&cache));
	result = hvx_pt_map(pt, &cache, gpa, &leaf);
	hvx_pt_cache_free(&cache);
	return result;
}

static enum hvx_pt_result map_leaf(struct hvx_pt *pt, u64 gpa, u64 pa, int level,
				   unsigned int prot)
{
	return map_clean(pt, gpa, pa, level, prot, false);
}

/* Do a range operation in steps of @step entries */
static bool in_steps(u64 (*op)(struct hvx_pt *, u64, u64, unsigned int *, bool *),
		     struct hvx_pt *pt, u64 gpa, u64 end, unsigned int step)
{
	bool changed = false;

	while (gpa < end) {
		unsigned int budget = step;
		u64 next = op(pt, gpa, end, &budget, &changed);

		REQUIRE(next > gpa);
		gpa = next;
	}
	return changed;
}

static void prune(struct hvx_pt *pt, u64 gpa, u64 end, unsigned int step)
{
	struct hvx_pt_unhooked unhooked = {};

	for (int level = 1; level < pt->levels; level++) {
		u64 at = gpa;

		while (at < end) {
			unsigned int budget = step;

			at = hvx_pt_prune(pt, level, at, end, &budget, &unhooked);
		}
	}
	hvx_pt_free_unhooked(pt, &unhooked);
}

/* The entry for @gpa, found without the code under test */
static u64 *raw_entry(struct hvx_pt *pt, u64 gpa, int level)
{
	u64 *table = pt->root;

	for (int l = pt->levels; l > level; l--)
		table = (u64 *)(table[gpa >> (3 + 9 * l) & 511] & 0x000ffffffffff000ULL &
				~pt->encrypt);
	return &table[gpa >> (3 + 9 * level) & 511];
}

TEST(ept_bits)
{
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, &hvx_pt_ept, 0));
	map_leaf(&pt, 0x1000, 0x123456789000, 1, HVX_READ | HVX_WRITE | HVX_EXEC);
	map_leaf(&pt, 0x2000, 0x5000, 1, HVX_READ | HVX_EXEC);
	map_leaf(&pt, 0x3000, 0xfee00000, 1, HVX_READ | HVX_WRITE | HVX_PT_DEVICE);
	map_leaf(&pt, 0x200000, 0x40000000, 2, HVX_READ);
	map_leaf(&pt, 0x400000, 0xfe000000, 2, HVX_READ | HVX_WRITE | HVX_PT_DEVICE);
	map_leaf(&pt, 0x40000000, 0x4000000000, 3, HVX_READ | HVX_PT_DEVICE);
	/* RWX, WB, ignore PAT, accessed, dirty */
	EXPECT_EQ(*raw_entry(&pt, 0x1000, 1), 0x123456789000 | 0x377);
	EXPECT_EQ(*raw_entry(&pt, 0x2000, 1), 0x5000 | 0x175);
	EXPECT_EQ(*raw_entry(&pt, 0x3000, 1), 0xfee00000 | 0x343 | BIT_ULL(52));
	EXPECT_EQ(*raw_entry(&pt, 0x200000, 2), 0x40000000 | 0x1f1);
	/* A device's, large: UC, ignore PAT, as the small one */
	EXPECT_EQ(*raw_entry(&pt, 0x400000, 2), 0xfe000000 | 0x3c3 | BIT_ULL(52));
	EXPECT_EQ(*raw_entry(&pt, 0x40000000, 3), 0x4000000000 | 0x1c1 | BIT_ULL(52));
	EXPECT_EQ(*raw_entry(&pt, 0, 4) & 0xfff, 0x107);
	hvx_pt_fini(&pt);
	REQUIRE(!hvx_pt_init(&pt, &hvx_pt_ept_no_ad, 0));
	map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ | HVX_WRITE | HVX_EXEC);
	EXPECT_EQ(*raw_entry(&pt, 0x1000, 1), 0x5000 | 0x77);
	EXPECT_EQ(*raw_entry(&pt, 0, 4) & 0xfff, 0x007);
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST(npt_bits)
{
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, &hvx_pt_npt, BIT_ULL(47)));
	map_leaf(&pt, 0x1000, 0x123456789000, 1, HVX_READ | HVX_WRITE | HVX_EXEC);
	map_leaf(&pt, 0x2000, 0x5000, 1, HVX_READ);
	map_leaf(&pt, 0x3000, 0xfee00000, 1, HVX_READ | HVX_WRITE | HVX_PT_DEVICE);
	map_leaf(&pt, 0x200000, 0x40000000, 2, HVX_READ | HVX_EXEC);
	map_leaf(&pt, 0x400000, 0xfe000000, 2, HVX_READ | HVX_WRITE | HVX_PT_DEVICE);
	map_leaf(&pt, 0x40000000, 0x4000000000, 3, HVX_READ | HVX_PT_DEVICE);
	/* P, RW, US, A, D; memory is encrypted, devices are not */
	EXPECT_EQ(*raw_entry(&pt, 0x1000, 1), 0x923456789000 | 0x67);
	EXPECT_EQ(*raw_entry(&pt, 0x2000, 1), 0x800000005000 | 0x25 | BIT_ULL(63));
	EXPECT_EQ(*raw_entry(&pt, 0x3000, 1), 0xfee00000 | 0x7f | BIT_ULL(52) | BIT_ULL(63));
	EXPECT_EQ(*raw_entry(&pt, 0x200000, 2), 0x800040000000 | 0xa5);
	/* A device's, large: entry 3 of the PAT, whose bit 12 for large leaves stays 0 */
	EXPECT_EQ(*raw_entry(&pt, 0x400000, 2), 0xfe000000 | 0xff | BIT_ULL(52) | BIT_ULL(63));
	EXPECT_EQ(*raw_entry(&pt, 0x40000000, 3), 0x4000000000 | 0xbd | BIT_ULL(52) | BIT_ULL(63));
	EXPECT_EQ(*raw_entry(&pt, 0, 4) & 0xfff, 0x27);
	EXPECT(hvx_pt_root_pa(&pt) & BIT_ULL(47));
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

static void one_results(const struct hvx_pt_format *f)
{
	struct hvx_pt_leaf leaf;
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, f, 0));
	EXPECT(!hvx_pt_lookup(&pt, 0x1000, &leaf));
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ), HVX_PT_ADDED);
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ), HVX_PT_SAME);
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ | HVX_EXEC), HVX_PT_WIDENED);
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ), HVX_PT_SAME);
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, HVX_READ | HVX_WRITE), HVX_PT_WIDENED);
	REQUIRE(hvx_pt_lookup(&pt, 0x1fff, &leaf));
	EXPECT_EQ(leaf.prot, HVX_READ | HVX_WRITE | HVX_EXEC);
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x6000, 1, HVX_READ), HVX_PT_REPLACED);
	REQUIRE(hvx_pt_lookup(&pt, 0x1000, &leaf));
	EXPECT_EQ(leaf.prot, HVX_READ);
	EXPECT_EQ(leaf.pa, 0x6000);
	/* Sizes that meet */
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x200000, 2, HVX_READ), HVX_PT_TABLE_IN_USE);
	EXPECT(in_steps(hvx_pt_unmap, &pt, 0x1000, 0x2000, ALL));
	EXPECT_EQ(map_leaf(&pt, 0x1000, 0x200000, 2, HVX_READ), HVX_PT_IN_WAY);
	EXPECT_EQ(map_leaf(&pt, 0x200000, 0x200000, 2, HVX_READ), HVX_PT_ADDED);
	EXPECT_EQ(map_leaf(&pt, 0x201000, 0x201000, 1, HVX_READ), HVX_PT_SAME);
	EXPECT_EQ(map_leaf(&pt, 0x201000, 0x202000, 1, HVX_READ), HVX_PT_IN_WAY);
	EXPECT_EQ(map_leaf(&pt, 0x201000, 0x201000, 1, HVX_READ | HVX_WRITE), HVX_PT_IN_WAY);
	/* A part of a large leaf takes it as a whole */
	EXPECT(in_steps(hvx_pt_unmap, &pt, 0x300000, 0x301000, ALL));
	EXPECT(!hvx_pt_lookup(&pt, 0x200000, &leaf));
	EXPECT_EQ(map_leaf(&pt, 0x201000, 0x201000, 1, HVX_READ), HVX_PT_ADDED);
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST(results)
{
	for (int i = 0; i < ARRAY_SIZE(formats); i++)
		one_results(formats[i]);
}

TEST(no_table)
{
	struct hvx_pt_leaf leaf = { .pa = 0x5000, .level = 1, .prot = HVX_READ };
	struct hvx_pt_cache cache = {};
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, &hvx_pt_ept, 0));
	EXPECT_EQ(hvx_pt_map(&pt, &cache, 0x1000, &leaf), HVX_PT_NO_TABLE);
	/* Fails at the third table: what was there until then is used and kept */
	shim_alloc_fail = 3;
	EXPECT(hvx_pt_cache_fill(&cache));
	EXPECT_EQ(cache.nr, 2);
	EXPECT_EQ(hvx_pt_map(&pt, &cache, 0x1000, &leaf), HVX_PT_NO_TABLE);
	EXPECT_EQ(cache.nr, 0);
	EXPECT(!hvx_pt_cache_fill(&cache));
	EXPECT_EQ(hvx_pt_map(&pt, &cache, 0x1000, &leaf), HVX_PT_ADDED);
	EXPECT_EQ(cache.nr, 2);
	EXPECT_EQ(atomic64_read(&pt.nr_tables), 4);
	hvx_pt_cache_free(&cache);
	hvx_pt_fini(&pt);
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
	shim_alloc_fail = 1;
	EXPECT_EQ(hvx_pt_init(&pt, &hvx_pt_ept, 0), -ENOMEM);
}

TEST(ends_of_the_address_space)
{
	struct hvx_pt_leaf leaf;
	struct hvx_pt pt;
	u64 last;

	REQUIRE(!hvx_pt_init(&pt, &hvx_pt_npt, 0));
	last = hvx_pt_limit(&pt) - PAGE;
	EXPECT_EQ(last, 0xfffffffff000ULL);
	EXPECT_EQ(map_leaf(&pt, 0, 0x5000, 1, HVX_READ), HVX_PT_ADDED);
	EXPECT_EQ(map_leaf(&pt, last, 0x6000, 1, HVX_READ), HVX_PT_ADDED);
	EXPECT(!hvx_pt_lookup(&pt, hvx_pt_limit(&pt), &leaf));
	EXPECT(!hvx_pt_lookup(&pt, ~0ULL, &leaf));
	EXPECT(hvx_pt_lookup(&pt, last, &leaf));
	EXPECT(in_steps(hvx_pt_unmap, &pt, last, ~0ULL, ALL));
	EXPECT(!hvx_pt_lookup(&pt, last, &leaf));
	EXPECT(hvx_pt_lookup(&pt, 0, &leaf));
	prune(&pt, 0, ~0ULL, ALL);
	EXPECT_EQ(atomic64_read(&pt.nr_tables), 4);
	EXPECT(in_steps(hvx_pt_unmap, &pt, 0, ~0ULL, 1));
	prune(&pt, 0, ~0ULL, 1);
	EXPECT_EQ(atomic64_read(&pt.nr_tables), 1);
	hvx_pt_fini(&pt);
}

/* ------------------------------------------------------------------ written to */

static u64 told[2048];
static unsigned int nr_told;

static void hear(struct hvx_pt *pt, u64 gpa, u64 size, u64 mask)
{
	for (; mask; mask >>= 1, gpa += size) {
		for (u64 at = gpa; mask & 1 && at < gpa + size; at += PAGE)
			told[nr_told++ % ARRAY_SIZE(told)] = at;
	}
}

static void split_range(struct hvx_pt *pt, u64 gpa, u64 end)
{
	struct hvx_pt_cache cache = {};
	bool changed = false;

	while (gpa < end) {
		unsigned int budget = 3;

		REQUIRE(!hvx_pt_cache_fill(&cache));
		gpa = hvx_pt_split(pt, &cache, gpa, end, &budget, &changed);
	}
	hvx_pt_cache_free(&cache);
	EXPECT(changed);
}

static void one_dirty(const struct hvx_pt_format *f)
{
	const unsigned int rw = HVX_READ | HVX_WRITE;
	struct hvx_pt_leaf leaf;
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, f, 0));
	pt.on_dirty = hear;
	nr_told = 0;
	map_leaf(&pt, 0x1000, 0x5000, 1, rw);
	map_leaf(&pt, 0x2000, 0x6000, 1, HVX_READ);
	map_leaf(&pt, 0x3000, 0x7000, 1, rw);
	EXPECT(in_steps(hvx_pt_clear_dirty, &pt, 0, 0x3000, 1));
	EXPECT_EQ(nr_told, 1);
	EXPECT_EQ(told[0], 0x1000);
	EXPECT(!in_steps(hvx_pt_clear_dirty, &pt, 0, 0x3000, 1));
	/* Who lost its right to write gets it back with the next write, and is told of again */
	if (f->dirty)
		EXPECT(hvx_pt_set_dirty(&pt, 0x1008));
	else
		EXPECT_EQ(map_leaf(&pt, 0x1000, 0x5000, 1, rw), HVX_PT_WIDENED);
	/* Nothing is there: whoever would write must not */
	EXPECT(!hvx_pt_set_dirty(&pt, 0x9000));
	EXPECT(in_steps(hvx_pt_unmap, &pt, 0, 0x4000, 1));
	EXPECT_EQ(nr_told, 3);
	EXPECT_EQ(told[1], 0x1000);
	EXPECT_EQ(told[2], 0x3000);
	REQUIRE(!hvx_pt_lookup(&pt, 0x1000, &leaf));
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST(dirty)
{
	for (int i = 0; i < ARRAY_SIZE(formats); i++)
		one_dirty(formats[i]);
}

static u64 clear_all(struct hvx_pt *pt, u64 gpa, u64 end)
{
	unsigned int budget = ALL;
	bool changed = false;

	nr_told = 0;
	hvx_pt_clear_dirty(pt, gpa, end, &budget, &changed);
	return changed;
}

/* Two looks without a mark, with a flush between them, and the third leaves the table out */
static void let_sleep(struct hvx_pt *pt)
{
	EXPECT(clear_all(pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 0);
	EXPECT(!clear_all(pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 0);
	EXPECT(!(*raw_entry(pt, 0x1000, 2) & pt->format->write));
}

static void one_sleep(const struct hvx_pt_format *f)
{
	const unsigned int rw = HVX_READ | HVX_WRITE | HVX_PT_MAY_WRITE;
	u64 mark = f->dirty ?: f->write;
	struct hvx_pt pt;

	REQUIRE(!hvx_pt_init(&pt, f, 0));
	pt.on_dirty = hear;
	map_leaf(&pt, 0x1000, 0x5000, 1, rw);
	map_leaf(&pt, 0x5000, 0x9000, 1, HVX_READ);
	EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 1);
	/* A part of a table says nothing of the rest */
	EXPECT(!clear_all(&pt, 0, 0x100000));
	EXPECT(*raw_entry(&pt, 0x1000, 2) & f->write);
	EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT(!(*raw_entry(&pt, 0x1000, 2) & f->write));
	/* A write through a translation that was not flushed yet is found the next time */
	*raw_entry(&pt, 0x1000, 1) |= mark;
	EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 1);
	EXPECT(!clear_all(&pt, 0, BIT_ULL(21)));
	/* Asleep: what nothing can have set is not looked for */
	*raw_entry(&pt, 0x1000, 1) |= mark;
	EXPECT(!clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 0);
	*raw_entry(&pt, 0x1000, 1) &= ~mark;
	/* Each way to wake it */
	EXPECT(!hvx_pt_allow_write(&pt, 0x5000));
	EXPECT(!hvx_pt_allow_write(&pt, 0x6000));
	EXPECT(!(*raw_entry(&pt, 0x1000, 2) & f->write));
	EXPECT(hvx_pt_allow_write(&pt, 0x1000));
	EXPECT(*raw_entry(&pt, 0x1000, 2) & *raw_entry(&pt, 0x1000, 1) & f->write);
	*raw_entry(&pt, 0x1000, 1) |= mark;
	EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 1);
	let_sleep(&pt);
	map_leaf(&pt, 0x7000, 0xb000, 1, HVX_READ);
	EXPECT(!(*raw_entry(&pt, 0x1000, 2) & f->write));
	map_leaf(&pt, 0x8000, 0xc000, 1, rw);
	EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
	EXPECT_EQ(nr_told, 1);
	EXPECT_EQ(told[0], 0x8000);
	if (f->dirty) {
		let_sleep(&pt);
		/* Read for the first time: nobody writes */
		map_clean(&pt, 0x9000, 0xd000, 1, rw, true);
		EXPECT(!(*raw_entry(&pt, 0x1000, 2) & f->write));
		EXPECT(hvx_pt_set_dirty(&pt, 0x9010));
		EXPECT(clear_all(&pt, 0, BIT_ULL(21)));
		EXPECT_EQ(nr_told, 1);
		EXPECT_EQ(told[0], 0x9000);
	}
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST(sleep)
{
	for (int i = 0; i < ARRAY_SIZE(formats); i++)
		one_sleep(formats[i]);
}

static void one_split(const struct hvx_pt_format *f)
{
	const unsigned int prot = HVX_READ | (f->dirty ? HVX_WRITE : 0) | HVX_EXEC;
	struct hvx_pt_leaf leaf;
	struct hvx_pt pt;
	u64 at;

	REQUIRE(!hvx_pt_init(&pt, f, 0));
	nr_told = 0;
	map_leaf(&pt, 0x40000000, 0x80000000, 3, prot);
	map_leaf(&pt, 0x80000000, 0x40000000, 2, prot);
	map_leaf(&pt, 0x80201000, 0x40201000, 1, prot);
	pt.on_dirty = hear;
	/* From the middle of a block to the middle of another: both are split as wholes */
	split_range(&pt, 0x40301000, 0x80001000);
	EXPECT_EQ(atomic64_read(&pt.nr_leaves[2]), 0);
	EXPECT_EQ(atomic64_read(&pt.nr_leaves[0]) + atomic64_read(&pt.nr_leaves[1]) * 512,
		  512 * 512 + 512 + 1);
	for (at = 0x40000000; at < 0x80002000; at += 13 * PAGE) {
		REQUIRE(hvx_pt_lookup(&pt, at, &leaf));
		EXPECT_EQ(leaf.pa + (at & (hvx_pt_level_size(leaf.level) - 1)),
			  at < 0x80000000 ? at + 0x40000000 : at - 0x40000000);
		EXPECT_EQ(leaf.prot, prot);
		if (at >= 0x40301000)
			EXPECT_EQ(leaf.level, HVX_PT_4K);
	}
	/* Nobody has written to the small ones; the one page that was mapped small has been */
	in_steps(hvx_pt_clear_dirty, &pt, 0, 0x90000000, 100);
	EXPECT_EQ(nr_told, f->dirty ? 1 : 0);
	EXPECT(in_steps(hvx_pt_unmap, &pt, 0, ~0ULL, 100));
	EXPECT_EQ(atomic64_read(&pt.nr_leaves[0]) + atomic64_read(&pt.nr_leaves[1]), 0);
	hvx_pt_fini(&pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST(split)
{
	for (int i = 0; i < ARRAY_SIZE(formats); i++)
		one_split(formats[i]);
}

/* ------------------------------------------------------------------ against a model */

static u8 random_byte(void)
{
	return rnd();
}

/* fuzz_pt's operations, in one long run: what one leaves behind meets the next ones */
static void random_run(const struct hvx_pt_format *format)
{
	static struct pt_model m;

	pt_model_init(&m, format, rnd() % 2 ? BIT_ULL(47) : 0, random_byte);
	for (int i = 0; i < 60000; i++) {
		pt_model_step(&m);
		if (i % 512 == 0)
			pt_model_check(&m);
	}
	pt_model_fini(&m);
}

TEST_TIME(random_ept, 60)
{
	random_run(&hvx_pt_ept);
}

TEST_TIME(random_ept_no_ad, 60)
{
	random_run(&hvx_pt_ept_no_ad);
}

TEST_TIME(random_npt, 60)
{
	random_run(&hvx_pt_npt);
}

/* ------------------------------------------------------------------ threads */

/*
 * Three threads map under the read side, one takes away under the write side. The address of each
 * page is a function of its gpa, so that any leaf can be judged at any time.
 */
static struct {
	struct hvx_pt pt;
	pthread_rwlock_t lock;
	bool stop;
} shared;

#define SPAN	BIT_ULL(32)

static u64 pa_of(u64 gpa)
{
	return (gpa ^ 0x5a5a5000ULL) & ~(PAGE - 1);
}

static void *mapper(void *arg)
{
	u64 state = (u64)(unsigned long)arg;

	for (int i = 0; i < 60000; i++) {
		struct hvx_pt_cache cache = {};
		struct hvx_pt_leaf leaf;
		u64 gpa;

		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		gpa = (state >> 20) % SPAN & ~0x3ff000ULL & ~(PAGE - 1);
		leaf = (struct hvx_pt_leaf){ .pa = pa_of(gpa), .level = 1, .prot = HVX_READ };
		if (state >> 63)
			leaf.prot |= HVX_WRITE;
		if (hvx_pt_cache_fill(&cache))
			abort();
		pthread_rwlock_rdlock(&shared.lock);
		EXPECT(hvx_pt_map(&shared.pt, &cache, gpa, &leaf) <= HVX_PT_SAME);
		EXPECT(hvx_pt_lookup(&shared.pt, gpa, &leaf));
		EXPECT_EQ(leaf.pa, pa_of(gpa));
		pthread_rwlock_unlock(&shared.lock);
		hvx_pt_cache_free(&cache);
	}
	return NULL;
}

static void *remover(void *arg)
{
	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		u64 gpa = rnd() % SPAN, end = gpa + rnd() % (SPAN / 8);
		struct hvx_pt_unhooked unhooked = {};
		unsigned int budget = ALL;
		bool changed = false;

		pthread_rwlock_wrlock(&shared.lock);
		hvx_pt_unmap(&shared.pt, gpa, end, &budget, &changed);
		for (int level = 1; level < HVX_PT_LEVELS; level++)
			hvx_pt_prune(&shared.pt, level, gpa, end, &budget, &unhooked);
		pthread_rwlock_unlock(&shared.lock);
		hvx_pt_free_unhooked(&shared.pt, &unhooked);
	}
	return NULL;
}

static void threads(const struct hvx_pt_format *format)
{
	pthread_t map[3], remove;

	REQUIRE(!hvx_pt_init(&shared.pt, format, 0));
	pthread_rwlock_init(&shared.lock, NULL);
	shared.stop = false;
	for (unsigned long i = 0; i < 3; i++)
		pthread_create(&map[i], NULL, mapper, (void *)(i + 1));
	pthread_create(&remove, NULL, remover, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(map[i], NULL);
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELAXED);
	pthread_join(remove, NULL);
	EXPECT_EQ(shim_allocated, atomic64_read(&shared.pt.nr_tables));
	hvx_pt_fini(&shared.pt);
	EXPECT_EQ(shim_allocated, 0);
}

TEST_TIME(threads_ept, 60)
{
	threads(&hvx_pt_ept);
}

TEST_TIME(threads_npt, 60)
{
	threads(&hvx_pt_npt);
}
