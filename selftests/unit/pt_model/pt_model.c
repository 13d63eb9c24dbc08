// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model and its operations, in this order: tree, comparison, choices, operations of the core,
 * accesses of the processor.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pt_model.h"

#define PAGE	4096ULL
#define M2	0x200000ULL
#define G1	0x40000000ULL
#define ALL	~0U

#define check(cond) do {						\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
		abort();						\
	}								\
} while (0)

enum kind { ABSENT, LEAF, TABLE };

struct entry {
	enum kind kind;
	unsigned int prot;
	bool accessed, dirty;		/* stay false where the format has no such flag */
	u64 pa;
	struct pt_model_table *table;
};

struct pt_model_table {
	struct entry entry[HVX_PT_ENTRIES];
};

/* ------------------------------------------------------------------------- tree */

static unsigned int index_of(u64 gpa, int level)
{
	return gpa / hvx_pt_level_size(level) % HVX_PT_ENTRIES;
}

static struct pt_model_table *make_table(struct pt_model *m)
{
	struct pt_model_table *t = calloc(1, sizeof(*t));

	check(t);
	m->nr_tables++;
	return t;
}

static void drop_table(struct pt_model *m, struct pt_model_table *t)
{
	for (int i = 0; i < HVX_PT_ENTRIES; i++)
		if (t->entry[i].kind == TABLE)
			drop_table(m, t->entry[i].table);
	m->nr_tables--;
	free(t);
}

static bool is_empty(const struct pt_model_table *t)
{
	for (int i = 0; i < HVX_PT_ENTRIES; i++)
		if (t->entry[i].kind != ABSENT)
			return false;
	return true;
}

/* Where the way to @gpa ends, NULL: past the limit */
static struct entry *find(struct pt_model *m, u64 gpa, int *level)
{
	struct entry *e;

	if (gpa >= hvx_pt_limit(&m->pt))
		return NULL;
	*level = HVX_PT_LEVELS;
	e = &m->root->entry[index_of(gpa, *level)];
	while (e->kind == TABLE && *level > 1)
		e = &e->table->entry[index_of(gpa, --*level)];
	return e;
}

/* Written to since the log looked last? Without a flag for it: can it be? */
static bool is_marked(const struct pt_model *m, const struct entry *e)
{
	return m->pt.format->dirty ? e->dirty : e->prot & HVX_WRITE;
}

static void clear_mark(const struct pt_model *m, struct entry *e)
{
	e->dirty = false;
	if (!m->pt.format->dirty)
		e->prot &= ~HVX_WRITE;
}

/* @visit for each leaf that maps a part of [gpa, end); true if one of them said so */
static bool for_leaves(struct pt_model *m, struct pt_model_table *t, int level, u64 base, u64 gpa,
		       u64 end, bool (*visit)(struct pt_model *, struct entry *, int, u64))
{
	u64 size = hvx_pt_level_size(level), at;
	bool any = false;

	for (int i = 0; i < HVX_PT_ENTRIES; i++) {
		struct entry *e = &t->entry[i];

		at = base + i * size;
		if (e->kind == ABSENT || at + size <= gpa || at >= end)
			continue;
		if (e->kind == TABLE)
			any |= for_leaves(m, e->table, level - 1, at, gpa, end, visit);
		else
			any |= visit(m, e, level, at);
	}
	return any;
}

static bool for_range(struct pt_model *m, u64 gpa, u64 end,
		      bool (*visit)(struct pt_model *, struct entry *, int, u64))
{
	return for_leaves(m, m->root, HVX_PT_LEVELS, 0, gpa, end, visit);
}

/* ------------------------------------------------------------------------- comparison */

static void compare_leaf(const struct pt_model *m, const struct entry *e, u64 raw, int level)
{
	const struct hvx_pt_format *f = m->pt.format;
	u64 want = e->pa | f->read;

	if (e->prot & HVX_PT_DEVICE)
		want |= f->device;
	else
		want |= f->leaf | m->pt.encrypt;
	want |= e->prot & HVX_WRITE ? f->write : 0;
	want |= e->prot & HVX_EXEC ? f->exec : f->no_exec;
	want |= e->accessed ? f->accessed : 0;
	want |= e->dirty ? f->dirty : 0;
	want |= level > 1 ? f->large : 0;
	/* What software keeps in bits of its own shows in what lookups say */
	check((raw & ~GENMASK_ULL(61, 52)) == (want & ~GENMASK_ULL(61, 52)));
}

static void compare_table(const struct pt_model *m, const struct pt_model_table *t,
			  const u64 *raw, int level, u64 *leaves)
{
	const struct hvx_pt_format *f = m->pt.format;

	for (int i = 0; i < HVX_PT_ENTRIES; i++) {
		const struct entry *e = &t->entry[i];
		u64 flags = raw[i] & ~f->addr_mask & ~GENMASK_ULL(61, 52);

		if (e->kind == ABSENT) {
			check(!raw[i]);
		} else if (e->kind == LEAF) {
			compare_leaf(m, e, raw[i], level);
			leaves[level - 1]++;
		} else {
			/* Tables of pages are all that the log lets sleep */
			check((flags | (level == 2 ? f->write : 0)) == f->table);
			check((raw[i] & m->pt.encrypt) == m->pt.encrypt);
			compare_table(m, e->table,
				      (u64 *)(raw[i] & f->addr_mask & ~m->pt.encrypt), level - 1,
				      leaves);
		}
	}
}

static void compare_counts(struct pt_model *m)
{
	check(atomic64_read(&m->pt.nr_tables) == m->nr_tables);
	check(shim_allocated == m->nr_tables);
	for (int i = 0; i < HVX_PT_1G; i++)
		check(atomic64_read(&m->pt.nr_leaves[i]) == m->nr_leaves[i]);
}

void pt_model_check(struct pt_model *m)
{
	u64 leaves[HVX_PT_LEVELS] = {};

	compare_counts(m);
	compare_table(m, m->root, m->pt.root, HVX_PT_LEVELS, leaves);
	check(!memcmp(leaves, m->nr_leaves, sizeof(m->nr_leaves)));
}

static void compare_lookup(struct pt_model *m, u64 gpa)
{
	struct hvx_pt_leaf leaf;
	struct entry *e;
	int level;

	e = find(m, gpa, &level);
	check(hvx_pt_lookup(&m->pt, gpa, &leaf) == (e && e->kind == LEAF));
	if (!e || e->kind != LEAF)
		return;
	check(leaf.pa == e->pa && leaf.level == level && leaf.prot == e->prot);
}

static void expect_told(struct pt_model *m, u64 gpa, u64 size)
{
	if (!m->pt.on_dirty)
		return;
	check(m->nr_want < PT_MODEL_HEARD);
	m->want[m->nr_want].gpa = gpa;
	m->want[m->nr_want++].size = size;
}

static void on_dirty(struct hvx_pt *pt, u64 gpa, u64 size, u64 mask)
{
	struct pt_model *m = container_of(pt, struct pt_model, pt);

	for (; mask; mask >>= 1, gpa += size) {
		if (!(mask & 1))
			continue;
		check(m->nr_heard < m->nr_want);
		check(m->want[m->nr_heard].gpa == gpa && m->want[m->nr_heard].size == size);
		m->nr_heard++;
	}
}

/* ------------------------------------------------------------------------- choices */

/* Few places, so that things meet: near where tables of each level begin, and at both ends */
static u64 pick(struct pt_model *m)
{
	const u64 at[] = {
		0, G1 - 2 * M2, 2 * G1, 512 * G1 - 2 * M2, 0x123456600000, 5 * 512 * G1 + 7 * G1,
		hvx_pt_limit(&m->pt) / 2 - 2 * M2, hvx_pt_limit(&m->pt) - 4 * M2,
	};
	u8 where = m->byte(), page = m->byte();
	u64 gpa = at[where % 8] + where / 8 % 4 * M2;

	if (page < 128)
		return gpa + page % 16 * PAGE;
	if (page < 192)
		return gpa + (504 + page % 8) * PAGE;
	return gpa + page % 8 * 64 * PAGE;
}

static void pick_range(struct pt_model *m, u64 *gpa, u64 *end)
{
	u8 how = m->byte();

	*gpa = pick(m);
	switch (how % 4) {
	case 0:
		*end = *gpa + (1 + how / 4) * PAGE;
		break;
	case 1:
		*gpa = ALIGN_DOWN(*gpa, M2);
		*end = *gpa + (1 + how / 4 % 4) * M2;
		break;
	case 2:
		/* Leaves that lie partly inside */
		*gpa += 0xfff & how << 4;
		*end = *gpa + 1 + (u64)how * how * 128;
		break;
	default:
		*end = how & 4 ? ~0ULL : *gpa + G1;
		*gpa = how & 8 ? *gpa : 0;
	}
}

static unsigned int pick_budget(struct pt_model *m)
{
	u8 n = m->byte();

	return n < 32 ? ALL : 1 + n % 40;
}

/* ------------------------------------------------------------------------- operations */

static enum hvx_pt_result model_leaf(struct pt_model *m, struct entry *e,
				     const struct hvx_pt_leaf *leaf)
{
	const struct hvx_pt_format *f = m->pt.format;
	bool dirty = f->dirty && leaf->prot & HVX_WRITE && !leaf->clean;
	bool there = e->kind == LEAF;

	if (there && e->pa == leaf->pa && !((e->prot ^ leaf->prot) & HVX_PT_DEVICE)) {
		if (!(leaf->prot & ~e->prot))
			return HVX_PT_SAME;
		e->prot |= leaf->prot;
		e->accessed = !!f->accessed;
		e->dirty |= dirty;
		return HVX_PT_WIDENED;
	}
	*e = (struct entry){
		.kind = LEAF, .prot = leaf->prot, .pa = leaf->pa, .accessed = !!f->accessed,
		.dirty = dirty,
	};
	m->nr_leaves[leaf->level - 1] += !there;
	return there ? HVX_PT_REPLACED : HVX_PT_ADDED;
}

/* @spare: tables at hand; how many are left */
static enum hvx_pt_result model_map(struct pt_model *m, unsigned int *spare, u64 gpa,
				    const struct hvx_pt_leaf *leaf)
{
	struct pt_model_table *t = m->root;
	struct entry *e;

	for (int level = HVX_PT_LEVELS; ; level--) {
		e = &t->entry[index_of(gpa, level)];
		if (level == leaf->level)
			break;
		if (e->kind == LEAF) {
			u64 inside = ALIGN_DOWN(gpa % hvx_pt_level_size(level),
						hvx_pt_level_size(leaf->level));

			return e->pa + inside == leaf->pa && !(leaf->prot & ~e->prot) ?
			       HVX_PT_SAME : HVX_PT_IN_WAY;
		}
		if (e->kind == ABSENT) {
			if (!*spare)
				return HVX_PT_NO_TABLE;
			--*spare;
			e->kind = TABLE;
			e->table = make_table(m);
		}
		t = e->table;
	}
	if (e->kind == TABLE)
		return is_empty(e->table) ? HVX_PT_IN_WAY : HVX_PT_TABLE_IN_USE;
	return model_leaf(m, e, leaf);
}

static enum hvx_pt_result map_leaf(struct pt_model *m, u64 gpa, const struct hvx_pt_leaf *leaf,
				   unsigned int tables)
{
	struct hvx_pt_cache cache = {};
	enum hvx_pt_result want, got;

	/* The allocation after so many fails */
	shim_alloc_fail = tables < ARRAY_SIZE(cache.table) ? tables + 1 : 0;
	check(!hvx_pt_cache_fill(&cache) == (tables == ARRAY_SIZE(cache.table)));
	check(cache.nr == tables);
	want = model_map(m, &tables, gpa, leaf);
	got = hvx_pt_map(&m->pt, &cache, gpa, leaf);
	check(got == want);
	check(cache.nr == tables);
	hvx_pt_cache_free(&cache);
	return got;
}

/* Memory is where it was, most often: then sizes can stand for each other */
static struct hvx_pt_leaf pick_leaf(struct pt_model *m, u64 gpa)
{
	u8 how = m->byte(), prot = m->byte();
	struct hvx_pt_leaf leaf = { .prot = HVX_READ };

	leaf.level = how % 8 < 5 ? HVX_PT_4K : how % 8 < 7 ? HVX_PT_2M : HVX_PT_1G;
	leaf.pa = ALIGN_DOWN(gpa & GENMASK_ULL(44, 0), hvx_pt_level_size(leaf.level));
	if (how / 8 % 8 == 0)
		leaf.pa |= BIT_ULL(45);
	leaf.prot |= prot & (HVX_WRITE | HVX_EXEC);
	leaf.prot |= prot & 0x10 ? HVX_PT_MAY_WRITE : 0;
	leaf.prot |= prot / 32 == 7 ? HVX_PT_DEVICE : 0;
	leaf.clean = m->pt.format->dirty && prot & 8;
	return leaf;
}

static void step_map(struct pt_model *m)
{
	u64 gpa = pick(m);
	struct hvx_pt_leaf leaf = pick_leaf(m, gpa);
	u8 tables = m->byte();

	map_leaf(m, gpa, &leaf, tables < 224 ? 3 : tables % 3);
	compare_lookup(m, gpa);
}

/* Do a range operation in steps of a few entries; whatever has to be told of was told */
static bool in_steps(struct pt_model *m,
		     u64 (*op)(struct hvx_pt *, u64, u64, unsigned int *, bool *), u64 gpa, u64 end)
{
	unsigned int step = pick_budget(m);
	bool changed = false;

	while (gpa < end) {
		unsigned int budget = step;
		u64 next = op(&m->pt, gpa, end, &budget, &changed);

		check(next > gpa && next <= end);
		gpa = next;
	}
	check(m->nr_heard == m->nr_want);
	m->nr_heard = 0;
	m->nr_want = 0;
	return changed;
}

static bool unmap_one(struct pt_model *m, struct entry *e, int level, u64 gpa)
{
	if (is_marked(m, e))
		expect_told(m, gpa, hvx_pt_level_size(level));
	m->nr_leaves[level - 1]--;
	e->kind = ABSENT;
	return true;
}

static void unmap(struct pt_model *m, u64 gpa, u64 end)
{
	bool want = for_range(m, gpa, end, unmap_one);

	check(in_steps(m, hvx_pt_unmap, gpa, end) == want);
}

static void step_unmap(struct pt_model *m)
{
	u64 gpa, end;

	pick_range(m, &gpa, &end);
	unmap(m, gpa, end);
	compare_lookup(m, gpa);
}

static void model_prune(struct pt_model *m, struct pt_model_table *t, int level, u64 base, u64 gpa,
			u64 end)
{
	u64 size = hvx_pt_level_size(level), at;

	for (int i = 0; i < HVX_PT_ENTRIES; i++) {
		struct entry *e = &t->entry[i];

		at = base + i * size;
		if (e->kind != TABLE || at + size <= gpa || at >= end)
			continue;
		model_prune(m, e->table, level - 1, at, gpa, end);
		if (!is_empty(e->table))
			continue;
		drop_table(m, e->table);
		e->kind = ABSENT;
	}
}

static void prune(struct pt_model *m, u64 gpa, u64 end)
{
	struct hvx_pt_unhooked unhooked = {};
	unsigned int step = pick_budget(m);

	for (int level = 1; level < HVX_PT_LEVELS; level++) {
		u64 at = gpa;

		while (at < end) {
			unsigned int budget = step;
			u64 next = hvx_pt_prune(&m->pt, level, at, end, &budget, &unhooked);

			check(next > at && next <= end);
			at = next;
		}
	}
	hvx_pt_free_unhooked(&m->pt, &unhooked);
	model_prune(m, m->root, HVX_PT_LEVELS, 0, gpa, end);
}

static void step_prune(struct pt_model *m)
{
	u64 gpa, end;

	pick_range(m, &gpa, &end);
	prune(m, gpa, end);
}

/* What makes one large leaf of small ones */
static void step_collapse(struct pt_model *m)
{
	u64 gpa = ALIGN_DOWN(pick(m), M2);
	struct hvx_pt_leaf leaf = pick_leaf(m, gpa), there;
	enum hvx_pt_result result;

	leaf.level = HVX_PT_2M;
	leaf.pa = ALIGN_DOWN(leaf.pa, M2);
	unmap(m, gpa, gpa + M2);
	prune(m, gpa, gpa + M2);
	check(!hvx_pt_lookup(&m->pt, gpa, &there));
	result = map_leaf(m, gpa, &leaf, 3);
	check(result == HVX_PT_ADDED);
}

static void split_one(struct pt_model *m, struct entry *e, int level)
{
	struct entry small = *e;

	clear_mark(m, &small);
	e->kind = TABLE;
	e->table = make_table(m);
	for (int i = 0; i < HVX_PT_ENTRIES; i++) {
		e->table->entry[i] = small;
		small.pa += hvx_pt_level_size(level - 1);
	}
	m->nr_leaves[level - 1]--;
	m->nr_leaves[level - 2] += HVX_PT_ENTRIES;
}

static bool model_split(struct pt_model *m, struct pt_model_table *t, int level, u64 base, u64 gpa,
			u64 end)
{
	u64 size = hvx_pt_level_size(level), at;
	bool any = false;

	for (int i = 0; level > 1 && i < HVX_PT_ENTRIES; i++) {
		struct entry *e = &t->entry[i];

		at = base + i * size;
		if (e->kind == ABSENT || at + size <= gpa || at >= end)
			continue;
		if (e->kind == LEAF) {
			split_one(m, e, level);
			any = true;
		}
		any |= model_split(m, e->table, level - 1, at, gpa, end);
	}
	return any;
}

static void step_split(struct pt_model *m)
{
	u64 gpa = pick(m), end = gpa + 1 + m->byte() * 17 * PAGE;
	bool changed = false, want = model_split(m, m->root, HVX_PT_LEVELS, 0, gpa, end);
	unsigned int step = pick_budget(m);
	struct hvx_pt_cache cache = {};

	while (gpa < end) {
		unsigned int budget = step;
		u64 next;

		check(!hvx_pt_cache_fill(&cache));
		next = hvx_pt_split(&m->pt, &cache, gpa, end, &budget, &changed);
		check(next > gpa || cache.nr < ARRAY_SIZE(cache.table));
		gpa = next;
	}
	hvx_pt_cache_free(&cache);
	check(changed == want);
}

static bool age_one(struct pt_model *m, struct entry *e, int level, u64 gpa)
{
	bool young = e->accessed;

	e->accessed = false;
	return young;
}

static bool is_young(struct pt_model *m, struct entry *e, int level, u64 gpa)
{
	return e->accessed || !m->pt.format->accessed;
}

static void step_age(struct pt_model *m)
{
	bool want;
	u64 gpa, end;

	pick_range(m, &gpa, &end);
	check(hvx_pt_test_accessed(&m->pt, gpa, end) == for_range(m, gpa, end, is_young));
	want = for_range(m, gpa, end, age_one);
	check(in_steps(m, hvx_pt_clear_accessed, gpa, end) == want);
}

/* ------------------------------------------------------------------------- log and writes */

/* The entry for @gpa, found without the code under test */
static u64 *raw_entry(struct pt_model *m, u64 gpa, int level)
{
	u64 *table = m->pt.root;

	for (int l = HVX_PT_LEVELS; l > level; l--)
		table = (u64 *)(table[index_of(gpa, l)] & m->pt.format->addr_mask &
				~m->pt.encrypt);
	return &table[index_of(gpa, level)];
}

/* Does the processor find the right to write all the way down? */
static bool may_write(struct pt_model *m, u64 gpa, int level)
{
	u64 rights = m->pt.format->write;

	for (int l = level; l <= HVX_PT_LEVELS; l++)
		rights &= *raw_entry(m, gpa, l);
	return rights;
}

static void mark(struct pt_model *m, struct entry *e, u64 gpa, int level)
{
	*raw_entry(m, gpa, level) |= m->pt.format->accessed | m->pt.format->dirty;
	e->accessed = !!m->pt.format->accessed;
	e->dirty = !!m->pt.format->dirty;
}

/* The core writes; or the processor does, and when it must not, exits */
static void write_to(struct pt_model *m, struct entry *e, u64 gpa, int level)
{
	bool allowed = e->prot & (HVX_WRITE | HVX_PT_MAY_WRITE);

	if (e->prot & HVX_WRITE && m->byte() % 4 == 0) {
		check(hvx_pt_set_dirty(&m->pt, gpa));
		e->dirty = !!m->pt.format->dirty;
		return;
	}
	if (!may_write(m, gpa, level)) {
		check(hvx_pt_allow_write(&m->pt, gpa) == allowed);
		if (!allowed)
			return;
		e->prot |= HVX_WRITE;
		check(may_write(m, gpa, level));
	}
	mark(m, e, gpa, level);
}

static void step_access(struct pt_model *m)
{
	u64 gpa = pick(m);
	struct entry *e;
	int level;

	e = find(m, gpa, &level);
	if (e->kind != LEAF) {
		check(!hvx_pt_set_dirty(&m->pt, gpa));
		check(!hvx_pt_allow_write(&m->pt, gpa));
		return;
	}
	*raw_entry(m, gpa, level) |= m->pt.format->accessed;
	e->accessed = !!m->pt.format->accessed;
	if (m->byte() % 4)
		write_to(m, e, gpa, level);
	compare_lookup(m, gpa);
}

static bool log_one(struct pt_model *m, struct entry *e, int level, u64 gpa)
{
	if (!is_marked(m, e))
		return false;
	expect_told(m, gpa, hvx_pt_level_size(level));
	clear_mark(m, e);
	return true;
}

/*
 * The log tells of exactly what was written to since it was asked last, whatever tables it has let
 * sleep meanwhile. Until the flush that it asks for, a translation of before lets a write through.
 */
static void step_log(struct pt_model *m)
{
	u64 gpa, end, written = pick(m);
	struct entry *e;
	bool stale, want, changed;
	int level;

	e = find(m, written, &level);
	stale = m->pt.format->dirty && e->kind == LEAF && may_write(m, written, level);
	pick_range(m, &gpa, &end);
	want = for_range(m, gpa, end, log_one);
	changed = in_steps(m, hvx_pt_clear_dirty, gpa, end);
	check(changed || !want);
	if (changed && stale)
		mark(m, e, written, level);
}

void pt_model_step(struct pt_model *m)
{
	u8 what = m->byte() % 32;

	if (what < 14)
		step_map(m);
	else if (what < 22)
		step_access(m);
	else if (what < 25)
		step_log(m);
	else if (what < 27)
		step_unmap(m);
	else if (what < 28)
		step_prune(m);
	else if (what < 29)
		step_split(m);
	else if (what < 30)
		step_collapse(m);
	else
		step_age(m);
	compare_counts(m);
}

void pt_model_init(struct pt_model *m, const struct hvx_pt_format *format, u64 encrypt,
		   u8 (*byte)(void))
{
	/* .want says nothing before it is filled */
	memset(m, 0, offsetof(struct pt_model, want));
	m->nr_want = 0;
	m->nr_heard = 0;
	m->byte = byte;
	check(!hvx_pt_init(&m->pt, format, encrypt));
	m->pt.on_dirty = on_dirty;
	m->root = make_table(m);
}

void pt_model_fini(struct pt_model *m)
{
	pt_model_check(m);
	unmap(m, 0, ~0ULL);
	prune(m, 0, ~0ULL);
	check(m->nr_tables == 1);
	pt_model_check(m);
	hvx_pt_fini(&m->pt);
	check(!shim_allocated);
	drop_table(m, m->root);
}
