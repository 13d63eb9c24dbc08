// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_doctor: what 'runvm doctor' finds, what it says is to be done, and its status.
 *
 * The child that becomes runvm gets a mount namespace of its own, in which files that doctor looks
 * at are others: so it sees hosts that this one is not.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

#define GOOD_END	"\nThis host can run guests of hvx.\n"
#define BAD_END		"\nThis host cannot run guests of hvx as it is.\n"

#define NOBODY		65534
#define GROUP		4321

static struct launch l;

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && !strcmp(text + len - n, end);
}

static void doctor(int status)
{
	EXPECT_EQ(launch_all(&l, ARGS("doctor")), status);
	EXPECT(ends_with(l.out.text, status ? BAD_END : GOOD_END), "'%s'", l.out.text);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
	/* A fault is said where the status is one, and nowhere else */
	EXPECT_EQ(!!strstr(l.out.text, "FAULT "), status);
}

static void expect(const char *part)
{
	EXPECT(strstr(l.out.text, part), "'%s' is not in '%s'", part, l.out.text);
}

/* ---------------------------------------------------------------------- another host */

static void must(int failed)
{
	if (failed)
		_exit(126);
}

static void own_mounts(void)
{
	must(unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void empty(const char *dir)
{
	must(mount("none", dir, "tmpfs", 0, NULL));
}

/* @at has this text instead of its own, or is made where it is not */
static void put(const char *at, const char *text)
{
	int fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text));
	close(fd);
}

static void replace(const char *at, const char *text)
{
	put("/tmp/instead", text);
	must(mount("/tmp/instead", at, NULL, MS_BIND, NULL));
}

static void become(unsigned int uid, unsigned int gid)
{
	must(setgroups(0, NULL) || setgid(gid) || setuid(uid));
}

/* --------------------------------------------------------------------------- command */

TEST(arguments)
{
	EXPECT_EQ(launch_all(&l, ARGS("doctor", "--help")), 0);
	EXPECT(!strncmp(l.out.text, "usage: runvm doctor", 19) && !*l.err.text, "'%s', '%s'",
	       l.out.text, l.err.text);
	EXPECT_EQ(launch_all(&l, ARGS("doctor", "-h")), 0);
	EXPECT_EQ(launch_all(&l, ARGS("doctor", "me")), 2);
	EXPECT(!strcmp(l.err.text, "runvm: doctor takes no 'me'\n") && !*l.out.text, "'%s', '%s'",
	       l.err.text, l.out.text);
}

TEST(good_host)
{
	doctor(0);
	expect("ok    CPU: ");
	expect("ok    firmware: ");
	expect("ok    the module hvx is loaded\n");
	expect("ok    /dev/hvx: this user may use it");
	expect("ok    ABI ");
	expect("ok    a guest was started, and ran\n");
}

/* ----------------------------------------------------------------------- permissions */

static void nobody_alone(void)
{
	become(NOBODY, NOBODY);
}

TEST(no_permission)
{
	REQUIRE(!chmod("/dev/hvx", 0600));
	launch_prepare = nobody_alone;
	doctor(1);
	expect("FAULT /dev/hvx: no permission (mode 0600, group root)\n"
	       "  do  be root, or install the udev rule that gives it to group hvx\n");
	EXPECT(!strstr(l.out.text, "guest was started"), "'%s'", l.out.text);
	chmod("/dev/hvx", 0660);
}

static void nobody_beside_group(void)
{
	own_mounts();
	replace("/etc/group", "root:x:0:\nhvx:x:4321:\n");
	must(setenv("USER", "nobody", 1));
	become(NOBODY, NOBODY);
}

static void nobody_in_group(void)
{
	own_mounts();
	replace("/etc/group", "root:x:0:\nhvx:x:4321:nobody\n");
	become(NOBODY, GROUP);
}

/* As the udev rule has it */
TEST(group)
{
	REQUIRE(!chmod("/dev/hvx", 0660) && !chown("/dev/hvx", 0, GROUP));
	launch_prepare = nobody_beside_group;
	doctor(1);
	expect("FAULT /dev/hvx: no permission (mode 0660, group hvx)\n"
	       "  do  join its group: 'usermod -a -G hvx nobody', then log in again\n");
	launch_prepare = nobody_in_group;
	doctor(0);
	expect("ok    /dev/hvx: this user may use it (mode 0660, group hvx)\n");
	EXPECT(!chown("/dev/hvx", 0, 0));
}

/* ---------------------------------------------------------------------------- module */

static void without_module(void)
{
	own_mounts();
	empty("/sys/module");
}

TEST(no_module)
{
	launch_prepare = without_module;
	doctor(1);
	expect("FAULT the module hvx is not loaded\n");
	expect("  do  it is not installed for kernel ");
	EXPECT(!strstr(l.out.text, "guest was started"), "'%s'", l.out.text);
}

static void without_device(void)
{
	own_mounts();
	empty("/dev");
}

TEST(no_device)
{
	launch_prepare = without_device;
	doctor(1);
	expect("FAULT /dev/hvx: No such file or directory\n  do  it appears with the module");
}

/* What there is to see of KVM; doctor believes it whatever the processor is */
static void with_kvm_amd(void)
{
	own_mounts();
	empty("/sys/module");
	must(mkdir("/sys/module/hvx", 0755) || mkdir("/sys/module/kvm_amd", 0755));
}

TEST(beside_kvm)
{
	launch_prepare = with_kvm_amd;
	doctor(0);
	expect("note  kvm_amd is loaded; it holds AMD-V while a guest of KVM runs\n"
	       "  do  if hvx says busy: end KVM's guests, then 'rmmod kvm_amd'\n");
}

/* ----------------------------------------------------------------------------- IOMMU */

/* The directory is not there where the kernel has found none */
static unsigned int nr_iommus(void)
{
	DIR *dir = opendir("/sys/class/iommu");
	unsigned int n = 0;
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		n += *d->d_name != '.';
	if (dir)
		closedir(dir);
	return n;
}

TEST(iommu_here)
{
	char line[64];

	doctor(0);
	snprintf(line, sizeof(line), "ok    IOMMU: the kernel uses %u (", nr_iommus());
	expect(nr_iommus() ? line : "note  IOMMU: the kernel uses none; guests do not need it");
	if (!nr_iommus())
		expect("  do  to have one: ");
}

static void with_iommus(void)
{
	own_mounts();
	empty("/sys/class");
	must(mkdir("/sys/class/iommu", 0755) || mkdir("/sys/class/iommu/dmar0", 0755));
}

static const char *cmdline, *table;

static void without_iommu(void)
{
	char path[64];

	own_mounts();
	empty("/sys/class");
	empty("/sys/firmware");
	must(mkdir("/sys/firmware/acpi", 0755) || mkdir("/sys/firmware/acpi/tables", 0755));
	if (table) {
		snprintf(path, sizeof(path), "/sys/firmware/acpi/tables/%s", table);
		put(path, "");
	}
	replace("/proc/cmdline", cmdline);
}

TEST_TIME(iommu_elsewhere, 60)
{
	static const struct {
		const char *table, *cmdline, *advice;
	} hosts[] = {
		{ "DMAR", "quiet\n", "boot the kernel with 'intel_iommu=on'\n" },
		{ "DMAR", "intel_iommu=off a\n", "boot the kernel without 'intel_iommu=off'\n" },
		{ "DMAR", "intel_iommu=igfx_off\n", "boot the kernel with 'intel_iommu=on'\n" },
		{ "DMAR", "quiet iommu=pt,off\n", "boot the kernel without 'iommu=pt,off'\n" },
		{ "IVRS", "amd_iommu=off\n", "boot the kernel without 'amd_iommu=off'\n" },
		{ "IVRS", "iommu=pt\n", "'dmesg | grep AMD-Vi' says why" },
		{ NULL, "x_iommu=off iommu= off\n", "to have one: " },
	};
	unsigned int i;

	launch_prepare = with_iommus;
	doctor(0);
	expect("ok    IOMMU: the kernel uses 1 (dmar0)\n");
	launch_prepare = without_iommu;
	for (i = 0; i < ARRAY_SIZE(hosts); i++) {
		cmdline = hosts[i].cmdline;
		table = hosts[i].table;
		doctor(0);
		expect("note  IOMMU: the kernel uses none");
		expect(hosts[i].advice);
	}
	EXPECT(!strstr(l.out.text, "boot the kernel without"), "'%s'", l.out.text);
}
