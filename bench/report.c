// SPDX-License-Identifier: GPL-2.0-only
/* report.c: output of the benchmarks. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MAX_RESULTS	64

struct result {
	char hv[8], id[24];
	double median;
};

bool is_amd(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_AMD_ebx;
}

/* One of those that there are for this */
void stay_on_cpu(void)
{
	cpu_set_t cpu;
	int n = sched_getcpu();

	CPU_ZERO(&cpu);
	CPU_SET(n, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void report(const char *hv, const char *id, uint64_t *ticks, unsigned int nr, unsigned int rounds)
{
	qsort(ticks, nr, sizeof(ticks[0]), compare);
	printf("bench: hv=%s row=%s rounds=%u batches=%u median=%.1f min=%.1f max=%.1f\n", hv, id,
	       rounds, nr, (double)ticks[nr / 2] / rounds, (double)ticks[0] / rounds,
	       (double)ticks[nr - 1] / rounds);
	fflush(stdout);
}

static unsigned int read_results(const char *path, struct result *r, unsigned int nr)
{
	FILE *f = fopen(path, "r");
	char line[256];

	if (!f)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f) && nr < MAX_RESULTS)
		if (sscanf(line, "bench: hv=%7s row=%23s rounds=%*u batches=%*u median=%lf",
			   r[nr].hv, r[nr].id, &r[nr].median) == 3)
			nr++;
	fclose(f);
	return nr;
}

static const struct result *find_result(const struct result *r, unsigned int nr, const char *hv,
					const char *id)
{
	for (; nr; nr--, r++)
		if (!strcmp(r->hv, hv) && !strcmp(r->id, id))
			return r;
	return NULL;
}

static void print_number(const struct result *r)
{
	if (r)
		printf("%12.0f", r->median);
	else
		printf("%12s", "-");
}

void print_table(const struct label *labels, unsigned int nr, const char *unit, char **paths)
{
	struct result r[MAX_RESULTS];
	const struct result *hvx, *kvm;
	unsigned int found = 0;

	for (; *paths; paths++)
		found = read_results(*paths, r, found);
	printf("%-48s%12s%12s%8s\n", unit, "hvx", "KVM", "ratio");
	for (; nr; nr--, labels++) {
		hvx = find_result(r, found, "hvx", labels->id);
		kvm = find_result(r, found, "kvm", labels->id);
		if (!hvx && !kvm)
			continue;
		printf("%-48s", labels->what);
		print_number(hvx);
		print_number(kvm);
		if (hvx && kvm)
			printf("%8.3f\n", hvx->median / kvm->median);
		else
			printf("%8s\n", "-");
	}
}
