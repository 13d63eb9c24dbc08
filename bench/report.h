/* SPDX-License-Identifier: GPL-2.0-only */
/* report.h: what the benchmarks print: lines for machines, and tables of them with ratios. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct label {
	const char *id;
	const char *what;
};

bool is_amd(void);
void stay_on_cpu(void);

/* One line: the median of @nr measurements of @rounds rounds each, per round. Sorts @ticks. */
void report(const char *hv, const char *id, uint64_t *ticks, unsigned int nr, unsigned int rounds);

/* The lines of @paths, a list that ends with NULL, hvx beside KVM */
void print_table(const struct label *labels, unsigned int nr, const char *unit, char **paths);

#endif
