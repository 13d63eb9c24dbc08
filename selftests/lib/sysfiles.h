/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sysfiles.h: the files by which the host's kernel counts memory and is told what to do with it:
 * /proc, /sys, control groups, swap.
 */
#ifndef HVX_TEST_SYSFILES_H
#define HVX_TEST_SYSFILES_H

#include <stdbool.h>
#include <stddef.h>

bool file_write(const char *name, const char *text);
/* The whole file as text; ends the test when it cannot be read */
char *file_read(const char *name);
/* The number that a file is, or that stands behind @key at the beginning of a line; -1 without */
long file_number(const char *name);
long file_field(const char *name, const char *key);
/* A counter of /proc/vmstat */
long vmstat(const char *key);
/* How often @name ("NMI") has come to a CPU of the host: /proc/interrupts, all CPUs online */
unsigned long interrupts(const char *name, unsigned int cpu);
/* Whether the host's kernel uses a feature: a word of "flags" in /proc/cpuinfo */
bool cpuinfo_flag(const char *name);
/* KiB of a line of /proc/self/smaps, of the mapping that holds @p */
long smaps_kib(const void *p, const char *key);

/* 64 MiB of swap in compressed memory; false: this host has none to give */
bool swap_on(void);
/* How many of @nr pages from @p are swapped out */
size_t pages_in_swap(const void *p, size_t nr);

/*
 * A new memory control group with this process in it. Skips the test where the host has none.
 * What cgroup_*() read and write are its files.
 */
void cgroup_enter(void);
bool cgroup_write(const char *file, const char *text);
long cgroup_number(const char *file);
long cgroup_field(const char *file, const char *key);

/* Memory of @len bytes, aligned to 2 MiB, with this advice (MADV_HUGEPAGE, MADV_NOHUGEPAGE) */
void *aligned_pages(size_t len, int advice);

#endif
