// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfiles.c: see sysfiles.h. Files are read anew each time: they are counters.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfiles.h"
#include "tap.h"

#define PAGE		4096UL
#define HUGE		0x200000UL
#define CGROUPS		"/sys/fs/cgroup"
#define PM_SWAPPED	(1ULL << 62)	/* of an entry of pagemap */

/* ------------------------------------------------------------------ files */

bool file_write(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/* As long as the file says more; NULL where there is none */
static char *read_all(const char *name)
{
	static char text[65536];
	size_t len = 0;
	ssize_t got;
	int fd = open(name, O_RDONLY);

	if (fd < 0)
		return NULL;
	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += got;
	close(fd);
	text[len] = 0;
	return got < 0 ? NULL : text;
}

char *file_read(const char *name)
{
	char *text = read_all(name);

	REQUIRE(text, "%s: %s", name, strerror(errno));
	return text;
}

long file_number(const char *name)
{
	const char *text = read_all(name);
	char *end;
	long n;

	if (!text)
		return -1;
	n = strtol(text, &end, 10);
	return end == text ? -1 : n;
}

long file_field(const char *name, const char *key)
{
	const char *at = read_all(name);
	size_t len = strlen(key);

	while (at && *at) {
		if (!strncmp(at, key, len) && strchr(": \t", at[len]) && at[len])
			return strtol(at + len + strspn(at + len, ": \t"), NULL, 10);
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return -1;
}

unsigned long interrupts(const char *name, unsigned int cpu)
{
	char *at = file_read("/proc/interrupts");
	size_t len = strlen(name);

	do {
		at = strchr(at, '\n');
		REQUIRE(at, "/proc/interrupts has no %s", name);
		at += 1 + strspn(at + 1, " ");
	} while (strncmp(at, name, len) || at[len] != ':');
	for (at += len + 1; cpu--;)
		strtoul(at, &at, 10);
	return strtoul(at, NULL, 10);
}

long vmstat(const char *key)
{
	return file_field("/proc/vmstat", key);
}

bool cpuinfo_flag(const char *name)
{
	char *flags = strstr(file_read("/proc/cpuinfo"), "\nflags"), *rest, *word;

	REQUIRE(flags, "/proc/cpuinfo without flags");
	flags[1 + strcspn(flags + 1, "\n")] = 0;
	for (word = strtok_r(flags, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest))
		if (!strcmp(word, name))
			return true;
	return false;
}

long smaps_kib(const void *p, const char *key)
{
	bool here = false;
	char line[256];
	long kib = -1;
	FILE *f = fopen("/proc/self/smaps", "r");

	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && !strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			kib = atol(line + strlen(key) + 1);
	}
	fclose(f);
	return kib;
}

/* ------------------------------------------------------------------ swap */

bool swap_on(void)
{
	static const char used[] = "grep -q zram0 /proc/swaps";

	return !system(used) ||
	       (!system("modprobe -a lzo-rle zram >/dev/null 2>&1") &&
		!system("echo 64M >/sys/block/zram0/disksize") &&
		!system("mkswap /dev/zram0 >/dev/null 2>&1 && swapon /dev/zram0") &&
		!system(used));
}

size_t pages_in_swap(const void *p, size_t nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t i, n = 0;
	uint64_t entry;

	REQUIRE(fd >= 0);
	for (i = 0; i < nr; i++) {
		off_t at = ((uintptr_t)p / PAGE + i) * sizeof(entry);

		REQUIRE(pread(fd, &entry, sizeof(entry), at) == sizeof(entry));
		n += !!(entry & PM_SWAPPED);
	}
	close(fd);
	return n;
}

/* ------------------------------------------------------------------ control groups */

static char group[64];

void cgroup_enter(void)
{
	if (access(CGROUPS "/cgroup.controllers", R_OK) ||
	    !strstr(file_read(CGROUPS "/cgroup.controllers"), "memory"))
		SKIP("no memory control groups");
	REQUIRE(file_write(CGROUPS "/cgroup.subtree_control", "+memory"), "%s", strerror(errno));
	snprintf(group, sizeof(group), CGROUPS "/hvx-%d", getpid());
	REQUIRE(!mkdir(group, 0755) || errno == EEXIST, "%s: %s", group, strerror(errno));
	REQUIRE(cgroup_write("cgroup.procs", "0"), "%s", strerror(errno));
}

static const char *group_file(const char *file)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s/%s", group, file);
	return name;
}

bool cgroup_write(const char *file, const char *text)
{
	return file_write(group_file(file), text);
}

long cgroup_number(const char *file)
{
	return file_number(group_file(file));
}

long cgroup_field(const char *file, const char *key)
{
	return file_field(group_file(file), key);
}

/* ------------------------------------------------------------------ memory */

/* Off by default in hosts with less than 512 MiB */
static void allow_huge_pages(void)
{
	static const char name[] = "/sys/kernel/mm/transparent_hugepage/enabled";

	if (!access(name, W_OK) && strstr(file_read(name), "[never]"))
		file_write(name, "madvise");
}

void *aligned_pages(size_t len, int advice)
{
	uintptr_t p = (uintptr_t)mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	REQUIRE((void *)p != MAP_FAILED, "mmap: %s", strerror(errno));
	p = (p + HUGE - 1) & -HUGE;
	if (advice == MADV_HUGEPAGE)
		allow_huge_pages();
	/* A kernel without huge pages knows no such advice, and needs none */
	madvise((void *)p, len, advice);
	return (void *)p;
}
