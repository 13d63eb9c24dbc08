// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty: the dirty log of regions. What a VMM that copies a running guest relies on: a page that is
 * not reported is as it was, and what is reported once is not reported again without a write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vm.h"

#define GPA	0x40000000UL
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define PAGES	1024UL
#define LEN	(PAGES * PAGE_SIZE)
#define LOG	HVX_REGION_LOG_DIRTY

static uint64_t bitmap[PAGES / 64];

static long get_to(struct vm *vm, uint32_t flags, uint64_t first, uint64_t nr, void *to)
{
	struct hvx_dirty d = {
		.size = sizeof(d), .flags = flags, .slot = SLOT, .first = first, .nr = nr,
		.data = (uintptr_t)to,
	};

	return xioctl(vm->fd, HVX_GET_DIRTY, &d);
}

static long get(struct vm *vm, uint32_t flags, uint64_t first, uint64_t nr)
{
	return get_to(vm, flags, first, nr, bitmap);
}

static bool bit(uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static unsigned int count_bits(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < PAGES / 64; i++)
		n += __builtin_popcountll(bitmap[i]);
	return n;
}

static struct hvx_memory_info info(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i;
}

static uint64_t large_leaves(struct vm *vm)
{
	return info(vm).mapped_2m;
}

static uint8_t *memory(size_t len, int advice)
{
	uint8_t *p = mmap(NULL, len + M2, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	p = (uint8_t *)(((uintptr_t)p + M2 - 1) & -M2);
	REQUIRE(!madvise(p, len, advice));
	memset(p, 0, len);
	return p;
}

static struct vm *create(void)
{
	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	REQUIRE(!madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE));
	return vm_create(0);
}

static struct vcpu *start(guest_fn fn, uint32_t flags, uint8_t *p)
{
	struct vcpu *v = vcpu_create(create(), 0);

	REQUIRE(!vm_region(v->vm, SLOT, flags, GPA, LEN, p));
	vcpu_setup_long_mode(v, fn);
	return v;
}

static volatile uint64_t *guest_page(uint64_t i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

/* Writes every g->arg-th page, then reads all; 0 reads only */
GUEST(writes_some)
{
	uint64_t i, sum;

	for (;;) {
		sum = 0;
		for (i = 0; g->arg && i < PAGES; i += g->arg)
			++*G_HIDE(guest_page(i));
		for (i = 0; i < PAGES; i++)
			sum += *G_HIDE(guest_page(i));
		guest_sync(sum);
	}
}

static void step(struct vcpu *v, uint64_t every)
{
	v->g->arg = every;
	REQUIRE(vcpu_ucall(v) == UC_SYNC);
}

static void expect_every(struct vm *vm, unsigned int every)
{
	unsigned int i;

	EXPECT_EQ(get(vm, 0, 0, PAGES), 0);
	for (i = 0; i < PAGES; i++) {
		if (!EXPECT_EQ(bit(i), every && i % every == 0)) {
			tap_note("page %u, every %u", i, every);
			break;
		}
	}
}

static void exactly(int advice)
{
	struct vcpu *v = start(writes_some, LOG, memory(LEN, advice));

	expect_every(v->vm, 0);
	step(v, 7);
	expect_every(v->vm, 7);
	expect_every(v->vm, 0);
	/* Entries are there by now, and know of no write */
	step(v, 0);
	expect_every(v->vm, 0);
	step(v, 5);
	step(v, 10);
	expect_every(v->vm, 5);
	step(v, 1);
	expect_every(v->vm, 1);
}

/*
 * A region that nothing is written to costs its log ever less: what is written after that must be
 * seen all the same, by whatever way, and once.
 */
TEST(after_silence)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes_some, LOG, p);
	unsigned int i;

	step(v, 1);
	expect_every(v->vm, 1);
	for (i = 1; i < 8; i++) {
		unsigned int silence;

		for (silence = 0; silence < i; silence++) {
			step(v, 0);
			expect_every(v->vm, 0);
		}
		step(v, 100 * i);
		expect_every(v->vm, 100 * i);
	}
	/* One of the two blocks is written to, in the first page and in the last */
	for (i = 0; i < 4; i++)
		expect_every(v->vm, 0);
	step(v, PAGES / 2);
	expect_every(v->vm, PAGES / 2);
	/* The end of the log is not the end of writing */
	for (i = 0; i < 4; i++)
		expect_every(v->vm, 0);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p));
	*(uint64_t *)p = 0;
	step(v, 1);
	EXPECT_EQ(*(uint64_t *)p, 1);
}

/* What only the log has forbidden is allowed again where it is met: no page is looked up for it */
TEST(no_faults_for_the_log)
{
	struct vcpu *v = start(writes_some, LOG, memory(LEN, MADV_NOHUGEPAGE));
	struct hvx_memory_info before, after;
	unsigned int i;

	step(v, 1);
	expect_every(v->vm, 1);
	for (i = 0; i < 4; i++)
		expect_every(v->vm, 0);
	before = info(v->vm);
	step(v, 1);
	after = info(v->vm);
	EXPECT_EQ(after.faults, before.faults);
	/* For each page, or for each of the two tables */
	EXPECT(after.rewrites >= before.rewrites + PAGES * PAGE_SIZE / M2);
	EXPECT(after.rewrites <= before.rewrites + PAGES);
	tap_note("%llu writes of %lu exited",
		 (unsigned long long)(after.rewrites - before.rewrites), PAGES);
	expect_every(v->vm, 1);
	/* The region itself does not allow it: it is as if it had never been written to */
	REQUIRE(!vm_region(v->vm, SLOT, LOG | HVX_REGION_READONLY, GPA, LEN,
			   memory(LEN, MADV_NOHUGEPAGE)));
	v->g->arg = 1;
	EXPECT(vcpu_expect(v, HVX_EXIT_MMIO));
	EXPECT_EQ(info(v->vm).rewrites, after.rewrites);
}

TEST(exact)
{
	exactly(MADV_NOHUGEPAGE);
}

TEST(exact_in_huge_pages)
{
	exactly(MADV_HUGEPAGE);
}

TEST(begins_and_ends)
{
	uint8_t *p = memory(LEN, MADV_HUGEPAGE), *other = memory(M2, MADV_HUGEPAGE);
	struct vcpu *v = start(writes_some, 0, p);
	uint64_t large;

	/* A neighbour, to see that it keeps its large entry */
	REQUIRE(!vm_region(v->vm, SLOT + 1, 0, GPA + LEN, M2, other));
	step(v, 1);
	large = large_leaves(v->vm);
	if (large != LEN / M2)
		SKIP("the host has no transparent huge pages to give");
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), -ENOENT);
	/* What was written before the log began is not in it */
	EXPECT_EQ(vm_region(v->vm, SLOT, LOG, GPA, LEN, p), 0);
	EXPECT_EQ(large_leaves(v->vm), 0);
	expect_every(v->vm, 0);
	step(v, 3);
	/* The same again changes nothing */
	EXPECT_EQ(vm_region(v->vm, SLOT, LOG, GPA, LEN, p), 0);
	expect_every(v->vm, 3);
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, LEN, p), 0);
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), -ENOENT);
	step(v, 1);
	EXPECT_EQ(large_leaves(v->vm), large);
}

/* Small entries stay when the log begins, but for what they say of earlier writes */
TEST(begins_late)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes_some, 0, p);
	uint64_t mapped;

	step(v, 1);
	mapped = info(v->vm).mapped_4k;
	REQUIRE(!vm_region(v->vm, SLOT, LOG, GPA, LEN, p));
	EXPECT_EQ(info(v->vm).mapped_4k, mapped);
	expect_every(v->vm, 0);
	step(v, 3);
	expect_every(v->vm, 3);
}

GUEST(writes_two_regions)
{
	uint64_t i;

	for (;;) {
		for (i = 0; i < PAGES + M2 / PAGE_SIZE; i++)
			++*G_HIDE(guest_page(i));
		guest_sync(0);
	}
}

TEST(neighbour_stays_large)
{
	uint8_t *p = memory(LEN, MADV_HUGEPAGE), *other = memory(M2, MADV_HUGEPAGE);
	struct vcpu *v = start(writes_two_regions, LOG, p);

	REQUIRE(!vm_region(v->vm, SLOT + 1, 0, GPA + LEN, M2, other));
	step(v, 0);
	if (!large_leaves(v->vm))
		SKIP("the host has no transparent huge pages to give");
	EXPECT_EQ(large_leaves(v->vm), 1);
	expect_every(v->vm, 1);
	step(v, 0);
	EXPECT_EQ(large_leaves(v->vm), 1);
	expect_every(v->vm, 1);
}

TEST(parts)
{
	struct vcpu *v = start(writes_some, LOG, memory(LEN, MADV_NOHUGEPAGE));

	step(v, 1);
	memset(bitmap, 0, sizeof(bitmap));
	EXPECT_EQ(get(v->vm, HVX_DIRTY_KEEP, 0, PAGES), 0);
	EXPECT_EQ(count_bits(), PAGES);
	memset(bitmap, 0, sizeof(bitmap));
	EXPECT_EQ(get(v->vm, 0, 128, 70), 0);
	EXPECT_EQ(bitmap[0], ~0ULL);
	EXPECT_EQ(bitmap[1], 0x3f);
	EXPECT_EQ(bitmap[2], 0);
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), 0);
	EXPECT_EQ(count_bits(), PAGES - 70);
	EXPECT_EQ(bit(128) | bit(197), 0);
	EXPECT_EQ(bit(127) & bit(198), 1);
	expect_every(v->vm, 0);
}

#define MANY	9000UL		/* more than what is handed over in one piece */

static uint8_t truth[MANY];

/* Pages that look random, so that no two parts of the log are alike; with stretches of none */
static bool in_pattern(uint64_t page, uint64_t seed)
{
	return (page + seed) * 0x9e3779b97f4a7c15ULL >> 61 == 0 && page / 1500 % 2 == seed % 2;
}

GUEST(writes_pattern)
{
	uint64_t i;

	for (;;) {
		for (i = 0; i < MANY; i++) {
			if (in_pattern(i, g->arg))
				++*G_HIDE(guest_page(i));
		}
		guest_sync(0);
	}
}

/* Word by word against @truth; what is beyond the answer must not be touched */
static void expect_part(struct vm *vm, uint32_t flags, uint64_t first, uint64_t nr)
{
	static uint64_t answer[MANY / 64 + 4];
	uint64_t i, words = (nr + 63) / 64;

	memset(answer, 0xa5, sizeof(answer));
	EXPECT_EQ(get_to(vm, flags, first, nr, answer), 0);
	for (i = 0; i < 64 * words; i++) {
		if (!EXPECT_EQ(answer[i / 64] >> i % 64 & 1, i < nr && truth[first + i])) {
			tap_note("page %lu, of %lu from %lu on", i, nr, first);
			break;
		}
	}
	EXPECT_EQ(answer[words], 0xa5a5a5a5a5a5a5a5);
	if (!(flags & HVX_DIRTY_KEEP))
		memset(truth + first, 0, nr);
}

/* Any page can be the first of a bitmap: no bit is lost, reported twice, or that of a neighbour */
TEST_TIME(parts_from_any_page, 60)
{
	static const uint64_t part[][2] = {
		{ 1, 1 }, { 1, 63 }, { 1, 64 }, { 63, 1 }, { 63, 2 }, { 63, 66 }, { 65, 127 },
		{ 67, 500 }, { 100, 4096 }, { 1, MANY - 1 }, { 31, 8000 }, { 4095, 4097 },
		{ MANY - 1, 1 }, { MANY - 65, 65 }, { MANY - 70, 64 }, { 2999, 3002 }, { 5, 0 },
	};
	struct vcpu *v = vcpu_create(create(), 0);
	unsigned int i;
	uint64_t k;

	REQUIRE(!vm_region(v->vm, SLOT, LOG, GPA, MANY * PAGE_SIZE,
			   memory(MANY * PAGE_SIZE, MADV_NOHUGEPAGE)));
	vcpu_setup_long_mode(v, writes_pattern);
	for (i = 0; i < sizeof(part) / sizeof(*part); i++) {
		step(v, i);
		for (k = 0; k < MANY; k++)
			truth[k] |= in_pattern(k, i);
		expect_part(v->vm, HVX_DIRTY_KEEP, part[i][0], part[i][1]);
		/* A bad pointer, from this page on, loses nothing either */
		if (part[i][1])
			EXPECT_EQ(get_to(v->vm, 0, part[i][0], part[i][1], NULL), -EFAULT);
		expect_part(v->vm, 0, part[i][0], part[i][1]);
		expect_part(v->vm, HVX_DIRTY_KEEP, 0, MANY);
	}
	expect_part(v->vm, 0, 3, MANY - 3);
	expect_part(v->vm, 0, 0, MANY);
	expect_part(v->vm, 0, 0, MANY);
}

TEST(list)
{
	struct vcpu *v = start(writes_some, LOG, memory(LEN, MADV_NOHUGEPAGE));
	uint64_t pages[PAGES];
	struct hvx_dirty d = {
		.size = sizeof(d), .flags = HVX_DIRTY_LIST, .slot = SLOT, .nr = PAGES,
		.data = (uintptr_t)pages, .room = 10,
	};
	unsigned int i, seen = 0;

	step(v, 9);
	/* By tens, until one is not full */
	do {
		d.room = 10;
		REQUIRE(!xioctl(v->vm->fd, HVX_GET_DIRTY, &d));
		for (i = 0; i < d.room; i++)
			EXPECT_EQ(pages[i], GPA + 9 * PAGE_SIZE * (seen + i));
		seen += d.room;
	} while (d.room == 10 && seen < PAGES);
	EXPECT_EQ(seen, (PAGES + 8) / 9);
	d.room = 10;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), 0);
	EXPECT_EQ(d.room, 0);
	/* From the middle of a word */
	step(v, 1);
	d.first = 100;
	d.nr = 7;
	d.room = PAGES;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), 0);
	EXPECT_EQ(d.room, 7);
	EXPECT_EQ(pages[0], GPA + 100 * PAGE_SIZE);
	EXPECT_EQ(pages[6], GPA + 106 * PAGE_SIZE);
}

TEST(errors)
{
	struct vcpu *v = start(writes_some, LOG, memory(LEN, MADV_NOHUGEPAGE));
	struct hvx_dirty d = { .size = sizeof(d), .slot = SLOT, .nr = 64 };

	EXPECT_EQ(get(v->vm, 0, 0, PAGES + 1), -EINVAL);
	EXPECT_EQ(get(v->vm, 0, PAGES, 1), -EINVAL);
	EXPECT_EQ(get(v->vm, 0, PAGES + 64, 0), -EINVAL);
	EXPECT_EQ(get(v->vm, 0, 64, -64ULL), -EINVAL);
	EXPECT_EQ(get(v->vm, 1 << 2, 0, 1), -EINVAL);
	EXPECT_EQ(get(v->vm, 0, 0, 0), 0);
	d.reserved = 1;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), -EINVAL);
	d.reserved = 0;
	d.slot = SLOT + 1;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), -ENOENT);
	d.slot = ~0u;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), -ENOENT);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, NULL), -EFAULT);
	/* A bad pointer loses nothing */
	step(v, 1);
	d.slot = SLOT;
	d.nr = PAGES;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), -EFAULT);
	d.flags = HVX_DIRTY_LIST;
	d.room = PAGES;
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), -EFAULT);
	expect_every(v->vm, 1);
}

/* INSB: the kernel writes what the VMM answered */
GUEST(string_input)
{
	void *to = (void *)(GPA + 5 * PAGE_SIZE + 100);
	uint64_t n = 8;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x1234) : "memory");
	guest_sync(0);
}

TEST(written_by_the_kernel)
{
	struct vcpu *v = start(string_input, LOG, memory(LEN, MADV_NOHUGEPAGE));

	REQUIRE(vcpu_expect(v, HVX_EXIT_IO));
	expect_every(v->vm, 0);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), 0);
	EXPECT_EQ(count_bits(), 1);
	EXPECT_EQ(bit(5), 1);
}

#define TABLES	0xc0000000UL	/* linear: page 0 of the region has the table for it */

/* The walk for what the kernel writes sets flags in the guest's tables: that is a write, too */
GUEST(string_input_by_table)
{
	void *to = (void *)(TABLES + 3 * PAGE_SIZE);
	uint64_t n = 8;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x1234) : "memory");
	guest_sync(0);
}

TEST(table_written_by_the_kernel)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(string_input_by_table, LOG, p);
	uint64_t *pd = (uint64_t *)p;

	*pd = (GPA + M2) | PTE_P | PTE_W | PTE_U | PTE_PS;
	v->vm->pdpt[TABLES >> 30] = GPA | PTE_P | PTE_W | PTE_U | PTE_A;
	REQUIRE(vcpu_expect(v, HVX_EXIT_IO));
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), 0);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(*pd & (PTE_A | PTE_D), PTE_A | PTE_D);
	EXPECT_EQ(get(v->vm, 0, 0, PAGES), 0);
	EXPECT_EQ(count_bits(), 2);
	EXPECT_EQ(bit(0) & bit(M2 / PAGE_SIZE + 3), 1);
}

TEST(page_goes_meanwhile)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes_some, LOG, p);

	step(v, 3);
	/* The entries go, and what they knew must not go with them */
	REQUIRE(!mprotect(p, LEN, PROT_READ));
	REQUIRE(!mprotect(p, LEN, PROT_READ | PROT_WRITE));
	expect_every(v->vm, 3);
	REQUIRE(!madvise(p, LEN, MADV_DONTNEED));
	step(v, 0);
	expect_every(v->vm, 0);
}

/* ------------------------------------------------------------------ against the truth */

#define WRITERS	4

static struct {
	struct vcpu *v[WRITERS];
	volatile bool stop;
} race;

/* Pseudo-random pages, each writer its own word of them */
GUEST(writes_at_random)
{
	uint64_t x = g->id * 0x9e3779b97f4a7c15ULL + 1, n = 0;

	while (!g->arg) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		G_HIDE(guest_page(x % PAGES))[8 * g->id] = ++n;
	}
	guest_sync(n);
}

static void *writer(void *arg)
{
	struct vcpu *v = arg;

	while (vcpu_ucall(v) != UC_SYNC)
		;
	return NULL;
}

/*
 * What live migration does: copy what is reported, again and again, at last with the guest at
 * rest. A page that was missed once is different in the end.
 */
static void migrate(int advice, uint32_t flags)
{
	uint8_t *p = memory(LEN, advice), *copy = host_pages(LEN);
	pthread_t thread[WRITERS];
	struct vm *vm = create();
	unsigned long long begin;
	unsigned int i, k, rounds = 0;
	uint64_t copied = 0;

	REQUIRE(!vm_region(vm, SLOT, flags, GPA, LEN, p));
	for (i = 0; i < WRITERS; i++) {
		race.v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(race.v[i], writes_at_random);
	}
	for (i = 0; i < WRITERS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, writer, race.v[i]));
	begin = now_ms();
	if (!flags) {
		while (keep_on(begin, 100, true))
			;
		EXPECT_EQ(vm_region(vm, SLOT, LOG, GPA, LEN, p), 0);
		memcpy(copy, p, LEN);
		begin = now_ms();
	}
	for (;;) {
		bool more = keep_on(begin, 2000, rounds > 20);

		if (!more) {
			for (i = 0; i < WRITERS; i++)
				*(volatile uint64_t *)&race.v[i]->g->arg = 1;
			for (i = 0; i < WRITERS; i++)
				pthread_join(thread[i], NULL);
		} else if (rounds % 7 == 3) {
			/* The host takes entries away in between */
			mprotect(p + LEN / 2, LEN / 4, PROT_READ);
			mprotect(p + LEN / 2, LEN / 4, PROT_READ | PROT_WRITE);
		}
		REQUIRE(!get(vm, 0, 0, PAGES));
		for (k = 0; k < PAGES; k++) {
			if (bit(k)) {
				memcpy(copy + k * PAGE_SIZE, p + k * PAGE_SIZE, PAGE_SIZE);
				copied++;
			}
		}
		rounds++;
		if (!more)
			break;
	}
	for (k = 0; k < PAGES; k++) {
		if (!EXPECT_EQ(memcmp(copy + k * PAGE_SIZE, p + k * PAGE_SIZE, PAGE_SIZE), 0)) {
			tap_note("page %u was missed", k);
			break;
		}
	}
	tap_note("%u rounds, %llu pages copied", rounds, (unsigned long long)copied);
}

TEST_TIME(never_missed, 60)
{
	migrate(MADV_NOHUGEPAGE, LOG);
}

TEST_TIME(never_missed_from_huge_pages, 60)
{
	migrate(MADV_HUGEPAGE, 0);
}
