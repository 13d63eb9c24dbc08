// SPDX-License-Identifier: GPL-2.0-only
/*
 * pressure: the host has less memory than its guests use. Pages of guests go to swap and come back
 * while several vCPUs write to them, and those that are in use stay: the host learns from the
 * accessed flags of second-level entries which these are.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sysfiles.h"
#include "team.h"

#define GPA	0x40000000UL
#define MB	(1UL << 20)
#define PER_M2	(2 * MB / PAGE_SIZE)

static struct team team;

static struct vm *create(void)
{
	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE);
	return vm_create(0);
}

static void limit_to(long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", bytes);
	REQUIRE(cgroup_write("memory.max", text));
}

/* The guest looks at the first @nr pages only, until it uses all again: none falls behind */
static void use_part(uint64_t nr)
{
	team_rounds(&team, 1, 20);
	team.read_only = true;
	team_rounds(&team, 2, 20);
	team.pages = nr;
	team_rounds(&team, 2, 20);
}

static void use_all(uint64_t pages)
{
	team.pages = pages;
	team_rounds(&team, 2, 20);
	team.read_only = false;
	team_rounds(&team, 2, 20);
	team_end(&team);
}

/*
 * Half of the guest's memory does not fit into the VMM's group. While the limit is set, the guest
 * leaves most of it alone: where all pages are always in use the kernel kills, and may.
 */
TEST_TIME(swapped, 150)
{
	const uint64_t pages = 512;
	const long half = pages * PAGE_SIZE / 2;
	unsigned long long start;
	long in, out, limit;
	uint8_t *p;

	if (!swap_on())
		SKIP("no swap");
	cgroup_enter();
	p = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	team_fill(p, pages);
	in = vmstat("pswpin");
	out = vmstat("pswpout");
	start = now_ms();
	team_start(&team, create(), 2, GPA, p, pages);
	use_part(pages / 8);
	limit = cgroup_number("memory.current") - half;
	limit_to(limit);
	EXPECT(cgroup_number("memory.current") <= limit, "%ld", cgroup_number("memory.current"));
	EXPECT(cgroup_number("memory.swap.current") >= half / 2, "%ld",
	       cgroup_number("memory.swap.current"));
	use_all(pages);
	in = vmstat("pswpin") - in;
	out = vmstat("pswpout") - out;
	EXPECT(in >= (long)pages / 4 && out >= (long)pages / 2, "%ld in, %ld out", in, out);
	EXPECT(cgroup_number("memory.current") <= limit, "%ld", cgroup_number("memory.current"));
	tap_note("%lu pages, %ld swapped out, %ld in, %llu ms", pages, out, in, now_ms() - start);
}

/* What the guest leaves alone are whole huge pages: the host takes them one by one */
TEST_TIME(huge_pages_swapped, 150)
{
	const uint64_t pages = 4 * PER_M2;
	unsigned long long end;
	long in, out, whole;
	uint8_t *p;

	if (!swap_on())
		SKIP("no swap");
	cgroup_enter();
	if (cgroup_number("memory.reclaim") < 0 && !cgroup_write("memory.reclaim", "0"))
		SKIP("no memory.reclaim");
	p = aligned_pages(pages * PAGE_SIZE, MADV_HUGEPAGE);
	team_fill(p, pages);
	if (smaps_kib(p, "AnonHugePages") != (long)(pages * PAGE_SIZE / 1024))
		SKIP("the host has too few transparent huge pages");
	in = vmstat("pswpin");
	out = vmstat("pswpout");
	whole = vmstat("thp_swpout");
	team_start(&team, create(), 2, GPA, p, pages);
	use_part(PER_M2);
	for (end = now_ms() + 60000 * tap_scale(); now_ms() < end;) {
		cgroup_write("memory.reclaim", "2097152");
		team_rounds(&team, 1, 20);
		if (pages_in_swap(p, pages) >= 2 * PER_M2)
			break;
	}
	EXPECT(pages_in_swap(p, pages) >= 2 * PER_M2, "%zu", pages_in_swap(p, pages));
	use_all(pages);
	in = vmstat("pswpin") - in;
	out = vmstat("pswpout") - out;
	EXPECT(in >= (long)pages / 2 && out >= (long)pages / 2, "%ld in, %ld out", in, out);
	tap_note("%ld pages swapped out, %ld of them in %ld huge pages, %ld in", out,
		 (vmstat("thp_swpout") - whole) * (long)PER_M2, vmstat("thp_swpout") - whole, in);
}

/* Take 64 pages away at a time until @nr of the @n at @p are out; the guest looks in between */
static size_t take_away(void *p, size_t n, size_t nr)
{
	const unsigned long long end = now_ms() + 60000 * tap_scale();
	size_t out;

	while ((out = pages_in_swap(p, n)) < nr && now_ms() < end) {
		cgroup_write("memory.reclaim", "262144");
		team_rounds(&team, 2, 20);
	}
	return out;
}

/*
 * The guest goes on with a quarter of its memory. When the host takes away more than half of the
 * rest, that quarter must not be what it takes. What comes back from swap was in use: the rest is
 * not touched any more. At first all pages have been in use, so that the host cannot know better:
 * what it does then does not count.
 */
TEST_TIME(ageing, 150)
{
	const uint64_t pages = 4 * MB / PAGE_SIZE, hot = pages / 4, cold = pages - hot;
	size_t before, out;
	uint64_t i, *p;
	long in;

	if (!swap_on())
		SKIP("no swap");
	cgroup_enter();
	if (cgroup_number("memory.reclaim") < 0 && !cgroup_write("memory.reclaim", "0"))
		SKIP("no memory.reclaim");
	p = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	team_fill(p, pages);
	team_start(&team, create(), 2, GPA, p, pages);
	team_rounds(&team, 2, 20);
	team.pages = hot;
	team_rounds(&team, 2, 20);
	before = take_away(p + 512 * hot, cold, cold / 4);
	in = vmstat("pswpin");
	out = take_away(p + 512 * hot, cold, before + cold / 2);
	in = vmstat("pswpin") - in;
	team_end(&team);
	EXPECT(out >= before + cold / 2, "%zu, then %zu of %lu unused pages were out", before, out,
	       cold);
	out -= before;
	/* Of them less than half as many, in proportion */
	EXPECT((size_t)in * cold * 2 <= out * hot, "%ld of %lu used pages went out, too", in, hot);
	tap_note("%zu of %lu unused pages went out, and used ones %ld times", out, cold, in);
	for (i = hot; i < pages; i++) {
		if (!EXPECT_EQ(p[512 * i + 511], ~p[512 * i]))
			break;
	}
}
