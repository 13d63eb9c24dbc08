// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm run: start a guest.
 *
 * Whatever can be wrong is found before the guest runs: what is cheap to look at first, then, by
 * opening it, everything else. --dry-run ends there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "machine.h"

static void check_file(const char *what, const char *path)
{
	struct stat st;

	if (stat(path, &st) || access(path, R_OK))
		die("%s %s: %s", what, path, strerror(errno));
	/* A pipe is read whole; what is in it can be seen only once */
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		die("%s %s: not a file", what, path);
	if (S_ISREG(st.st_mode) && !st.st_size)
		die("%s %s: the file is empty", what, path);
}

static void check_disk(const struct disk_option *d)
{
	struct stat st;

	if (stat(d->path, &st))
		die("disk %s: %s", d->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		die("disk %s: neither a file nor a block device", d->path);
	if (access(d->path, d->readonly ? R_OK : R_OK | W_OK))
		die("disk %s: %s%s", d->path, strerror(errno),
		    d->readonly ? "" : " (,ro needs no permission to write)");
	if (S_ISREG(st.st_mode) && (!st.st_size || st.st_size % 512))
		die("disk %s: %lld bytes are no whole number of sectors of 512 bytes", d->path,
		    (long long)st.st_size);
}

static bool same_disk(const struct disk_option *a, const struct disk_option *b)
{
	struct stat x, y;

	if (stat(a->path, &x) || stat(b->path, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Two disks of one guest on one image destroy what is on it, as two guests would */
static void check_once(const struct options *o, unsigned int nr)
{
	const struct disk_option *d = &o->disk[nr], *e;

	for (e = o->disk; e < d; e++)
		if (!(d->readonly && e->readonly) && same_disk(d, e))
			die("disk %s is given twice: leave one out, or give '%s,ro' both times",
			    d->path, d->path);
}

static void check_share(const struct share_option *s)
{
	struct stat st;

	if (stat(s->path, &st))
		die("directory %s: %s", s->path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		die("%s is not a directory", s->path);
	if (access(s->path, R_OK | X_OK))
		die("directory %s: %s", s->path, strerror(errno));
}

/* Guest memory comes page by page: more than the host has would be found too late */
static void check_memory(uint64_t memory)
{
	struct sysinfo info;
	uint64_t host;

	if (sysinfo(&info))
		die("cannot learn how much memory the host has: %s", strerror(errno));
	host = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
	if (memory > host)
		die("%llu MiB of guest memory: the host has %llu MiB, swap included",
		    (unsigned long long)memory >> 20, (unsigned long long)host >> 20);
}

static void check(const struct options *o)
{
	unsigned int i;

	check_file("kernel", o->kernel);
	if (o->initrd)
		check_file("initrd", o->initrd);
	for (i = 0; i < o->nr_disks; i++) {
		check_disk(&o->disk[i]);
		check_once(o, i);
	}
	for (i = 0; i < o->nr_shares; i++)
		check_share(&o->share[i]);
	check_memory(o->memory);
	numa_check(o);
}

int cmd_run(int argc, char **argv)
{
	struct options o;
	struct machine m;
	int status = 0;

	options_parse(&o, argc, argv);
	check(&o);
	machine_create(&m, &o);
	if (o.dry_run)
		options_print(&o);
	else
		status = machine_run(&m);
	machine_destroy(&m);
	return status;
}
