// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory: what guest memory costs, on hvx and on KVM, with the same guest code.
 *
 *	memory [--hv NAME]	measure; one line for machines per row
 *	memory --protected	the same, of a host whose second-level entries have no dirty flags
 *	memory --table FILE...	table of such lines, with ratios
 *
 * The unit is the tick of the TSC, as in exits.c. Rows "per page" are measured by the guest around
 * its writes, the guest's 4 instructions for each included; all others are one ioctl, measured
 * around it. 1 GiB is mapped, and by 4 KiB entries, unless the row says otherwise.
 */
#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "exits.h"
#include "report.h"

#define PAGE		4096UL
#define M2		0x200000UL
#define BATCHES		41
#define BIG_PAGES	(G_BIG_SIZE / PAGE)
#define BIG		REGION_FREE	/* its region */
#define OTHER		(REGION_FREE + 1)
#define OTHER_GPA	0x90000000UL

extern const char guest_touch_4k[], guest_touch_2m[], guest_touch_64th[];

static const struct label labels[] = {
	{ "fault", "fault, per page: 4 KiB, page at hand" },
	{ "fault-new", "fault, per page: 4 KiB, new page" },
	{ "fault-2m", "fault, per page: 2 MiB, page at hand" },
	{ "fault-2m-new", "fault, per page: 2 MiB, new page" },
	{ "log-begin", "dirty log begins" },
	{ "log-write", "first write to a page since then, per page" },
	{ "harvest-all", "dirty log, all pages written" },
	{ "rewrite", "first write to a page after that, per page" },
	{ "harvest-64th", "dirty log, every 64th page written" },
	{ "harvest-none", "dirty log, nothing written for three times" },
	{ "asleep", "first write to a page after that, per page" },
	{ "log-end", "dirty log ends" },
	{ "wp-write", "no dirty flags: first write since the log began" },
	{ "wp-rewrite", "no dirty flags: first write after a harvest" },
	{ "other-add", "another region is added" },
	{ "other-delete", "another region is deleted" },
	{ "delete", "the region of 1 GiB is deleted" },
	{ "log-begin-2m", "dirty log begins, 2 MiB entries" },
	{ "delete-2m", "the region of 1 GiB is deleted, 2 MiB entries" },
	{ "host-new", "host: a program writes to a new page" },
	{ "host-2m-new", "host: a program writes to a new page of 2 MiB" },
};

static const struct hypervisor *hv;

static void one(const char *id, uint64_t ticks, unsigned int rounds)
{
	report(hv->name, id, &ticks, 1, rounds);
}

/* ------------------------------------------------------------------ memory */

static uint8_t *memory(size_t len, int advice)
{
	uint8_t *p = mmap(NULL, len + M2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	p = (uint8_t *)(((uintptr_t)p + M2 - 1) & -M2);
	if (madvise(p, len, advice))
		err(1, "madvise");
	return p;
}

static void write_each(uint8_t *p, size_t len, size_t step)
{
	size_t i;

	for (i = 0; i < len; i += step)
		*(volatile uint8_t *)(p + i) = 1;
}

static void need_huge(const uint8_t *p, size_t len)
{
	unsigned long from, to, kib = 0;
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false;
	char line[256];

	if (!f)
		err(1, "/proc/self/smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			break;
	}
	fclose(f);
	if (kib < len / 1024)
		errx(1, "the host has no transparent huge pages to give; it needs 2 GiB of memory");
}

/* ------------------------------------------------------------------ guest */

static void create(struct machine *m, uint8_t *p, size_t len)
{
	machine_init(m);
	if (!hv->create(m, 0))
		errx(1, "%s has no VM for this", hv->name);
	hv->region(m, BIG, false, G_BIG, len, p);
}

static void destroy(struct machine *m)
{
	hv->destroy(m);
	machine_fini(m);
}

/* Ticks that the guest takes to write @count times */
static uint64_t touch(struct machine *m, const char *routine, uint64_t count)
{
	struct start_state s;

	machine_state(&s, routine, count);
	hv->start(m, &s);
	hv->batch(m);
	return *(volatile uint64_t *)(m->low + G_RESULT);
}

/* ------------------------------------------------------------------ faults */

#define FAULT_PAGES	128UL

static void fault_rows(void)
{
	const size_t len = FAULT_PAGES * PAGE;
	uint8_t *p = memory(len, MADV_NOHUGEPAGE);
	uint64_t hand[BATCHES], fresh[BATCHES];
	struct machine m;
	unsigned int i;

	create(&m, p, len);
	for (i = 0; i < BATCHES; i++) {
		/* The MMU notifier takes the second-level entries along */
		if (madvise(p, len, MADV_DONTNEED))
			err(1, "madvise");
		fresh[i] = touch(&m, guest_touch_4k, FAULT_PAGES);
		madvise(p, len, MADV_DONTNEED);
		write_each(p, len, PAGE);
		hand[i] = touch(&m, guest_touch_4k, FAULT_PAGES);
	}
	destroy(&m);
	munmap(p, len);
	report(hv->name, "fault", hand, BATCHES, FAULT_PAGES);
	report(hv->name, "fault-new", fresh, BATCHES, FAULT_PAGES);
}

#define HUGE_PAGES	32UL
#define HUGE_BATCHES	9

static void huge_fault_rows(void)
{
	const size_t len = HUGE_PAGES * M2;
	uint8_t *p = memory(len, MADV_HUGEPAGE);
	uint64_t hand[HUGE_BATCHES], fresh[HUGE_BATCHES];
	struct machine m;
	unsigned int i;

	write_each(p, len, M2);
	need_huge(p, len);
	create(&m, p, len);
	for (i = 0; i < HUGE_BATCHES; i++) {
		/* The pages stay; and a write makes the host's entries writable again */
		if (mprotect(p, len, PROT_READ) || mprotect(p, len, PROT_READ | PROT_WRITE))
			err(1, "mprotect");
		write_each(p, len, M2);
		hand[i] = touch(&m, guest_touch_2m, HUGE_PAGES);
		if (madvise(p, len, MADV_DONTNEED))
			err(1, "madvise");
		fresh[i] = touch(&m, guest_touch_2m, HUGE_PAGES);
		need_huge(p, len);
	}
	destroy(&m);
	munmap(p, len);
	report(hv->name, "fault-2m", hand, HUGE_BATCHES, HUGE_PAGES);
	report(hv->name, "fault-2m-new", fresh, HUGE_BATCHES, HUGE_PAGES);
}

static void host_row(const char *id, size_t page, unsigned int pages, int advice, unsigned int nr)
{
	const size_t len = pages * page;
	uint8_t *p = memory(len, advice);
	uint64_t ticks[BATCHES], start;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		madvise(p, len, MADV_DONTNEED);
		start = __rdtsc();
		write_each(p, len, page);
		ticks[i] = __rdtsc() - start;
	}
	munmap(p, len);
	report(hv->name, id, ticks, nr, pages);
}

static void host_rows(void)
{
	host_row("host-new", PAGE, FAULT_PAGES, MADV_NOHUGEPAGE, BATCHES);
	host_row("host-2m-new", M2, HUGE_PAGES, MADV_HUGEPAGE, HUGE_BATCHES);
}

/* ------------------------------------------------------------------ write protection */

#define PROTECTED_SIZE	0x4000000UL
#define PROTECTED_PAGES	(PROTECTED_SIZE / PAGE)

static uint64_t write_protected(struct machine *m)
{
	static uint64_t bitmap[PROTECTED_PAGES / 64];
	uint64_t ticks = touch(m, guest_touch_4k, PROTECTED_PAGES);
	unsigned int i, found = 0;

	hv->dirty(m, BIG, PROTECTED_SIZE, bitmap);
	for (i = 0; i < PROTECTED_PAGES / 64; i++)
		found += __builtin_popcountll(bitmap[i]);
	if (found != PROTECTED_PAGES)
		errx(1, "%u pages in the log of %s, not %lu", found, hv->name, PROTECTED_PAGES);
	return ticks;
}

/*
 * Without dirty flags, and so without page-modification logging, it takes a fault to learn of a
 * write. A host whose processor has them is told not to use them, by parameters of the modules.
 */
static void protected_rows(void)
{
	uint8_t *p = memory(PROTECTED_SIZE, MADV_NOHUGEPAGE);
	struct machine m;

	write_each(p, PROTECTED_SIZE, PAGE);
	create(&m, p, PROTECTED_SIZE);
	touch(&m, guest_touch_4k, PROTECTED_PAGES);
	hv->region(&m, BIG, true, G_BIG, PROTECTED_SIZE, p);
	one("wp-write", write_protected(&m), PROTECTED_PAGES);
	one("wp-rewrite", write_protected(&m), PROTECTED_PAGES);
	destroy(&m);
	munmap(p, PROTECTED_SIZE);
}

/* ------------------------------------------------------------------ 1 GiB */

static void region(struct machine *m, const char *id, uint32_t slot, bool log, uint64_t gpa,
		   uint64_t len, uint8_t *p)
{
	uint64_t start = __rdtsc();

	hv->region(m, slot, log, gpa, len, p);
	one(id, __rdtsc() - start, 1);
}

static void harvest(struct machine *m, const char *id, uint64_t *bitmap, unsigned int expected)
{
	uint64_t start, ticks;
	unsigned int i, found = 0;

	start = __rdtsc();
	hv->dirty(m, BIG, G_BIG_SIZE, bitmap);
	ticks = __rdtsc() - start;
	for (i = 0; i < BIG_PAGES / 64; i++)
		found += __builtin_popcountll(bitmap[i]);
	if (found != expected)
		errx(1, "%s: %u pages in the log of %s, not %u", id, found, hv->name, expected);
	if (id)
		one(id, ticks, 1);
}

static void log_rows(struct machine *m, uint8_t *p)
{
	static uint64_t bitmap[BIG_PAGES / 64];

	memset(bitmap, 0, sizeof(bitmap));
	region(m, "log-begin", BIG, true, G_BIG, G_BIG_SIZE, p);
	one("log-write", touch(m, guest_touch_4k, BIG_PAGES), BIG_PAGES);
	harvest(m, "harvest-all", bitmap, BIG_PAGES);
	one("rewrite", touch(m, guest_touch_4k, BIG_PAGES), BIG_PAGES);
	harvest(m, NULL, bitmap, BIG_PAGES);
	touch(m, guest_touch_64th, BIG_PAGES / 64);
	harvest(m, "harvest-64th", bitmap, BIG_PAGES / 64);
	harvest(m, NULL, bitmap, 0);
	harvest(m, NULL, bitmap, 0);
	harvest(m, "harvest-none", bitmap, 0);
	one("asleep", touch(m, guest_touch_4k, BIG_PAGES), BIG_PAGES);
	region(m, "log-end", BIG, false, G_BIG, G_BIG_SIZE, p);
}

static void region_rows(struct machine *m)
{
	uint8_t *other = memory(PAGE, MADV_NOHUGEPAGE);

	*other = 1;
	touch(m, guest_touch_4k, BIG_PAGES);
	region(m, "other-add", OTHER, false, OTHER_GPA, PAGE, other);
	region(m, "other-delete", OTHER, false, 0, 0, NULL);
	touch(m, guest_touch_4k, BIG_PAGES);
	region(m, "delete", BIG, false, 0, 0, NULL);
	munmap(other, PAGE);
}

static void gib_rows(void)
{
	uint8_t *p = memory(G_BIG_SIZE, MADV_NOHUGEPAGE);
	struct machine m;

	write_each(p, G_BIG_SIZE, PAGE);
	create(&m, p, G_BIG_SIZE);
	touch(&m, guest_touch_4k, BIG_PAGES);
	log_rows(&m, p);
	region_rows(&m);
	destroy(&m);
	munmap(p, G_BIG_SIZE);
}

static void huge_gib_rows(void)
{
	uint8_t *p = memory(G_BIG_SIZE, MADV_HUGEPAGE);
	struct machine m;

	write_each(p, G_BIG_SIZE, M2);
	need_huge(p, G_BIG_SIZE);
	create(&m, p, G_BIG_SIZE);
	touch(&m, guest_touch_2m, G_BIG_SIZE / M2);
	region(&m, "log-begin-2m", BIG, true, G_BIG, G_BIG_SIZE, p);
	hv->region(&m, BIG, false, G_BIG, G_BIG_SIZE, p);
	touch(&m, guest_touch_2m, G_BIG_SIZE / M2);
	region(&m, "delete-2m", BIG, false, 0, 0, NULL);
	destroy(&m);
	munmap(p, G_BIG_SIZE);
}

/* ------------------------------------------------------------------ main */

static void measure(void)
{
	fault_rows();
	huge_fault_rows();
	host_rows();
	gib_rows();
	huge_gib_rows();
}

static const char usage[] =
	"usage: memory [--hv hvx|kvm] [--protected]\n"
	"       memory --table FILE...\n";

static void (*rows)(void) = measure;

static const char *parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "hv", required_argument, NULL, 'h' },
		{ "protected", no_argument, NULL, 'p' },
		{ "table", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, '?' },
		{ }
	};
	const char *name = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 'h':
			name = optarg;
			break;
		case 'p':
			rows = protected_rows;
			break;
		case 't':
			print_table(labels, ARRAY_SIZE(labels), "TSC ticks", argv + optind);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	return name;
}

int main(int argc, char **argv)
{
	static const struct hypervisor *const all[] = { &kvm_hypervisor, &hvx_hypervisor };
	const char *name = parse(argc, argv);
	unsigned int i, found = 0;

	stay_on_cpu();
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		hv = all[i];
		if (name ? strcmp(name, hv->name) : access(hv->device, F_OK))
			continue;
		found++;
		rows();
	}
	if (!found)
		errx(1, "neither /dev/hvx nor /dev/kvm is here, or no such hypervisor");
	return 0;
}
