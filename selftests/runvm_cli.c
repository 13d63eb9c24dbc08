// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_cli: the command line of 'runvm run'. Whatever is wrong has to be one line on standard
 * error, which names it, and the documented status; nothing may have been started.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

extern const char m_power_off[], m_power_off_end[];

#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })
#define FLAT		"--flat", "0x100000"

static struct launch l;

static const char *image(void)
{
	return launch_file("image", m_power_off, m_power_off_end - m_power_off);
}

static bool one_line(const char *text)
{
	const char *end = strchr(text, '\n');

	return end && !end[1] && !strncmp(text, "runvm: ", 7);
}

static void expect_refusal(int status, const char *part, const char *const *args)
{
	EXPECT_EQ(launch_all(&l, args), status);
	EXPECT(one_line(l.err.text) && strstr(l.err.text, part), "'%s' was expected, not '%s'",
	       part, l.err.text);
	EXPECT(!*l.out.text, "'%s'", l.out.text);
}

/* Wrong in themselves: the kernel is a file that there is */
TEST_TIME(wrong_flags, 90)
{
	static const struct {
		const char *flag, *value, *part;
	} bad[] = {
		{ "--nonsense", NULL, "no option '--nonsense'" },
		{ "-z", NULL, "no option '-z'" },
		{ "stray", NULL, "'stray' belongs to no option" },
		{ "--rng=7", NULL, "takes no value" },
		{ "-c", "0", "--cpus '0': not a number from 1 to 254" },
		{ "-c", "255", "--cpus '255'" },
		{ "-c", "two", "--cpus 'two'" },
		{ "-c", "-1", "--cpus '-1'" },
		{ "-c", "99999999999999999999", "--cpus" },
		{ "-c", "", "--cpus ''" },
		{ "-m", "0", "out of bounds" },
		{ "-m", "64Q", "'64Q' is not a size" },
		{ "-m", "", "is not a size" },
		{ "-m", "2000000000G", "out of bounds" },
		{ "-m", "1048577K", "--mem '1048577K': memory comes in pages of 4 KiB" },
		{ "-m", "0x100", "'0x100' is not a size: a number of MiB, or a number with K," },
		{ "-m", "+64", "is not a size" },
		{ "-m", "M", "is not a size" },
		{ "-m", "64MB", "is not a size" },
		{ "-d", "", "before the comma" },
		{ "-d", "/tmp/x,rw", "'rw' is neither ro nor mmio" },
		{ "-n", "wifi", "'wifi' is neither user nor tap=INTERFACE" },
		{ "--ne", "wifi", "'wifi' is neither user nor tap=INTERFACE" },
		{ "--n", "user", "no option '--n', or it is ambiguous" },
		{ "-n", "tap=", "neither user nor" },
		{ "-n", "user,vhost", "'vhost' is none of" },
		{ "-n", "user,mac=00:11:22:33:44", "not a MAC address" },
		{ "-n", "user,mac=00:11:22:33:44:55:66", "not a MAC address" },
		{ "-n", "user,mac=01:11:22:33:44:55", "multicast" },
		{ "-n", "tap=tap0,fwd=tcp:1:2", "is none of" },
		{ "--vsock", "2", "--vsock '2': not a number from 3" },
		{ "--ctrl-c", "host", "'host' is none of guest, power" },
		{ "--console", "vga", "'vga' is none of serial, virtio, none" },
		{ "--share", "/tmp,rw", "'rw' is neither ro nor tag=" },
		{ "--virtio-transport", "usb", "--virtio-transport 'usb' is neither pci nor mmio" },
		{ "--virtio-transport", "", "'' is neither pci nor mmio" },
		{ "--virtio-transport", "mmio,pci", "'mmio,pci' is neither pci nor mmio" },
		{ "--virtio-transport", NULL, "'--virtio-transport' needs a value" },
		{ "--numa", "", "'' is none of cpus=, mem=, host=, distance=" },
		{ "--numa", "cpus=0,node=1", "'node=1' is none of" },
		{ "--numa", "cpus=0-", "'0-' is no vCPU" },
		{ "--numa", "cpus=1-0", "'1-0' is no vCPU" },
		{ "--numa", "cpus=1024", "'1024' is no vCPU" },
		{ "--numa", "cpus=0,mem=3M", "pieces of 2 MiB" },
		{ "--numa", "cpus=0,mem=1M", "out of bounds" },
		{ "--numa", "mem=64M,host=x", "'x' is no node of the host" },
		{ "--numa", "distance=10:9", "distances are numbers from 10 to 254" },
		{ "--numa", "distance=10:", "distances are numbers from 10 to 254" },
		{ "--numa", "distance=10:255", "distances are numbers from 10 to 254" },
		{ "--numa", "cpus=0", "no node has memory" },
		{ "--numa", "mem=64M", "vCPU 0 is in no node" },
		{ "--numa", "cpus=0-1,mem=64M", "there is no vCPU 1 (--cpus 1)" },
		{ "--numa", "cpus=0,host=0", "no node has memory" },
		{ "--numa", "cpus=0,mem=64M,distance=10:20", "2 distances, and there are 1 nodes" },
		{ "--numa", "cpus=0,mem=64M,distance=11", "the distance to itself is 10" },
		{ "--cpu-affinity", "", "neither CPUs" },
		{ "--cpu-affinity", "x", "neither CPUs" },
		{ "--cpu-affinity", "0=", "neither CPUs" },
		{ "--cpu-affinity", "0=0:1", "neither CPUs" },
		{ "--cpu-affinity", "=0", "neither CPUs" },
		{ "--cpu-affinity", "0=0=0", "neither CPUs" },
		{ "--cpu-affinity", "254=0", "there is no vCPU 254" },
		{ "--cpu-affinity", "1=0", "there is no vCPU 1 (--cpus 1)" },
		{ "--flat", "here", "--flat 'here'" },
		{ "--flat", "0x100000000", "--flat" },
		{ "--name", "", "--name needs a value" },
		{ "--control", "", "--control needs a value" },
		{ "--user", "", "--user needs a value" },
		{ "--cpus", NULL, "'--cpus' needs a value" },
		{ "-d", NULL, "'-d' needs a value" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(2, bad[i].part,
			       ARGS("run", "-k", "/etc/passwd", bad[i].flag, bad[i].value));
}

TEST(no_kernel)
{
	expect_refusal(2, "run needs a kernel", ARGS("run"));
	expect_refusal(2, "'-k' needs a value", ARGS("run", "-k"));
	expect_refusal(2, "no command 'fly'", ARGS("fly"));
}

TEST(too_many)
{
	const char *args[LAUNCH_MAX_ARGS + 1] = { "run", "-k", "/etc/passwd" };
	unsigned int i;

	for (i = 3; i < 3 + 17 * 2; i += 2) {
		args[i] = "-d";
		args[i + 1] = "/tmp/disk";
	}
	expect_refusal(2, "more than 16 disks", args);
	expect_refusal(2, "two directories with tag 'share'",
		       ARGS("run", "-k", "/etc/passwd", "--share", "/tmp", "--share", "/root"));
}

/* ----------------------------------------------------------------------------- nodes */

TEST(nodes_do_not_fit)
{
	expect_refusal(2, "vCPU 1 is in several nodes",
		       ARGS("run", "-k", "/etc/passwd", "-c", "2", "--numa", "cpus=0-1,mem=64M",
			    "--numa", "cpus=1"));
	expect_refusal(2, "the nodes have 65536 KiB of memory, the guest has 131072 (--mem)",
		       ARGS("run", "-k", "/etc/passwd", "-m", "128M", "--numa", "cpus=0,mem=64M"));
	expect_refusal(2, "node 1 has no memory to put on nodes of the host",
		       ARGS("run", "-k", "/etc/passwd", "--numa", "cpus=0,mem=64M", "--numa",
			    "host=0"));
}

/* What the host does not have, it says itself */
TEST(host_has_not)
{
	const char *kernel = image();

	expect_refusal(1, "memory of node 0 on node 9: the host's nodes with memory are 0",
		       ARGS("run", "-k", kernel, FLAT, "--numa", "cpus=0,mem=64M,host=9"));
	expect_refusal(1, "vCPU 0 on CPU 0,900 of the host: runvm may use 0",
		       ARGS("run", "-k", kernel, FLAT, "--cpu-affinity", "0,900"));
}

/* ----------------------------------------------------------------------------- files */

TEST_TIME(missing_files, 60)
{
	const char *kernel = image();
	const char *empty = launch_file("empty", "", 0);
	const char *odd = launch_file("odd", "odd", 3);

	expect_refusal(1, "kernel /nowhere: No such file", ARGS("run", "-k", "/nowhere"));
	expect_refusal(1, "kernel /tmp: not a file", ARGS("run", "-k", "/tmp"));
	expect_refusal(1, "the file is empty", ARGS("run", "-k", empty));
	expect_refusal(1, "initrd /nowhere: No such file",
		       ARGS("run", "-k", kernel, "-i", "/nowhere"));
	expect_refusal(1, "initrd /dev/null: not a file",
		       ARGS("run", "-k", kernel, "-i", "/dev/null"));
	expect_refusal(1, "disk /nowhere: No such file",
		       ARGS("run", "-k", kernel, "-d", "/nowhere"));
	expect_refusal(1, "neither a file nor a block device",
		       ARGS("run", "-k", kernel, "-d", "/dev/null"));
	expect_refusal(1, "no whole number of sectors", ARGS("run", "-k", kernel, "-d", odd));
	expect_refusal(1, "directory /nowhere: No such file",
		       ARGS("run", "-k", kernel, "--share", "/nowhere"));
	expect_refusal(1, "is not a directory", ARGS("run", "-k", kernel, "--share", empty));
	expect_refusal(1, "control socket /nowhere/sock: No such file",
		       ARGS("run", "-k", kernel, FLAT, "--control", "/nowhere/sock"));
	expect_refusal(1, "there is something already",
		       ARGS("run", "-k", kernel, FLAT, "--control", empty));
	expect_refusal(1, "configuration /nowhere: No such file",
		       ARGS("run", "--config", "/nowhere"));
	expect_refusal(1, "no user 'nosuchuser'",
		       ARGS("run", "-k", kernel, FLAT, "--user", "nosuchuser"));
	expect_refusal(1, "user 'root' is root",
		       ARGS("run", "-k", kernel, FLAT, "--user", "root"));
}

/* Only to read it from several disks is no harm */
TEST(one_disk_twice)
{
	const char *kernel = image();
	char sector[1024] = "", first[128], twice[128], link[128];
	const char *disk = launch_file("disk", sector, sizeof(sector));

	snprintf(first, sizeof(first), "%s,ro", disk);
	snprintf(link, sizeof(link), "%s.link", disk);
	snprintf(twice, sizeof(twice), "%s.link,ro", disk);
	unlink(link);
	REQUIRE(!symlink(disk, link));
	expect_refusal(1, "is given twice: leave one out, or give '",
		       ARGS("run", "-k", kernel, FLAT, "-d", disk, "-d", link));
	expect_refusal(1, "is given twice",
		       ARGS("run", "-k", kernel, FLAT, "-d", first, "-d", disk));
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "-d", first, "-d", twice,
				      "--dry-run")), 0);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
}

/* Not a kernel: whatever it is, the loaders say what is wrong with it */
TEST(bad_image)
{
	expect_refusal(1, "/etc/passwd", ARGS("run", "-k", "/etc/passwd"));
}

TEST(too_much_memory)
{
	expect_refusal(1, "the host has", ARGS("run", "-k", image(), FLAT, "-m", "512G"));
}

TEST(no_device)
{
	const char *kernel = image();

	REQUIRE(!rename("/dev/hvx", "/dev/hvx.away"));
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT)), 1);
	rename("/dev/hvx.away", "/dev/hvx");
	EXPECT(one_line(l.err.text) && strstr(l.err.text, "the module hvx is not loaded"), "'%s'",
	       l.err.text);
}

static void limit(int what, rlim_t to)
{
	const struct rlimit r = { .rlim_cur = to, .rlim_max = to };

	setrlimit(what, &r);
}

static void limit_memory(void)
{
	limit(RLIMIT_AS, 128 << 20);
}

static void limit_files(void)
{
	limit(RLIMIT_NOFILE, 8);
}

static void limit_processes(void)
{
	limit(RLIMIT_NPROC, 1);
	if (setgid(65534) || setuid(65534))
		_exit(126);
}

/* Whatever the host runs out of, it is said, and nothing has started */
TEST(lack_of_resources)
{
	const char *kernel = image();

	launch_prepare = limit_memory;
	expect_refusal(1, "256 MiB of guest memory: Cannot allocate memory",
		       ARGS("run", "-k", kernel, FLAT));
	launch_prepare = limit_files;
	expect_refusal(1, "Too many open files", ARGS("run", "-k", kernel, FLAT, "-c", "16"));
	REQUIRE(!chmod("/dev/hvx", 0666));
	launch_prepare = limit_processes;
	expect_refusal(1, "cannot start a thread for vCPU",
		       ARGS("run", "-k", kernel, FLAT, "-c", "16"));
	chmod("/dev/hvx", 0660);
}

static void become_nobody(void)
{
	if (setgid(65534) || setuid(65534))
		_exit(126);
}

/* Whom the device lets in needs no other right */
TEST(no_root)
{
	const char *kernel = image();
	char sector[1024] = "";
	const char *disk = launch_file("disk", sector, sizeof(sector));

	launch_prepare = become_nobody;
	REQUIRE(!chmod("/dev/hvx", 0600));
	expect_refusal(1, "/dev/hvx: no permission", ARGS("run", "-k", kernel, FLAT));
	chmod("/dev/hvx", 0666);
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "-d", disk, "--rng")), 1);
	EXPECT(one_line(l.err.text) && strstr(l.err.text, ",ro needs no permission"), "'%s'",
	       l.err.text);
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "--rng", "-c", "2")), 0);
	EXPECT(!strcmp(l.out.text, "going down\n"), "'%s', '%s'", l.out.text, l.err.text);
	chmod("/dev/hvx", 0660);
}

/* --------------------------------------------------------------------- configuration */

/* What --dry-run prints, --config takes and prints again */
TEST(dry_run)
{
	const char *kernel = image(), *disk, *config;
	static char text[8192];
	char sector[1024] = "";

	disk = launch_file("disk", sector, sizeof(sector));
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "-c", "3", "-m", "64M", "-d", disk,
				      "--rng", "--name", "testee", "--no-reboot", "-v", "--control",
				      "/tmp/launch.dry", "--dry-run")), 0);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
	EXPECT(strstr(l.out.text, "name = testee\n"));
	EXPECT(strstr(l.out.text, "cpus = 3\n"));
	EXPECT(strstr(l.out.text, "mem = 65536K\n"));
	EXPECT(strstr(l.out.text, disk));
	EXPECT(strstr(l.out.text, "no-reboot = yes\n"));
	EXPECT(strstr(l.out.text, "verbose = yes\n"));
	EXPECT(access("/tmp/launch.dry", F_OK), "it left its socket behind");
	EXPECT(!strstr(l.out.text, "going down"), "it was started");
	strcpy(text, l.out.text);
	config = launch_file("config", text, strlen(text));
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config, "--dry-run")), 0);
	EXPECT(!strcmp(l.out.text, text), "'%s' from '%s'", l.out.text, text);
	/* Flags have the last word */
	EXPECT_EQ(launch_all(&l, ARGS("run", "-c", "1", "--config", config, "--dry-run")), 0);
	EXPECT(strstr(l.out.text, "cpus = 1\n"));
}

TEST(dry_run_transport)
{
	const char *kernel = image(), *disk, *config;
	char sector[1024] = "", line[128];
	static char text[8192];

	disk = launch_file("disk", sector, sizeof(sector));
	snprintf(line, sizeof(line), "disk = %s\n", disk);
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "--dry-run")), 0);
	EXPECT(strstr(l.out.text, "virtio-transport = pci\n"), "'%s'", l.out.text);
	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "-d", disk, "--rng", "--balloon",
				      "--virtio-transport", "mmio", "--dry-run")), 0);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
	EXPECT(strstr(l.out.text, "virtio-transport = mmio\n"), "'%s'", l.out.text);
	EXPECT(strstr(l.out.text, line), "'%s'", l.out.text);
	strcpy(text, l.out.text);
	config = launch_file("config", text, strlen(text));
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config, "--dry-run")), 0);
	EXPECT(!strcmp(l.out.text, text), "'%s' from '%s'", l.out.text, text);
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config)), 0);
	EXPECT(!strcmp(l.out.text, "going down\n"), "'%s', '%s'", l.out.text, l.err.text);
	/* Flags have the last word */
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config, "--virtio-transport", "pci",
				      "--dry-run")), 0);
	EXPECT(strstr(l.out.text, "virtio-transport = pci\n"), "'%s'", l.out.text);
}

TEST(dry_run_nodes)
{
	const char *kernel = image(), *config;
	static char text[8192];

	EXPECT_EQ(launch_all(&l, ARGS("run", "-k", kernel, FLAT, "-c", "4", "--numa",
				      "cpus=0,cpus=2-3,mem=32M,host=0", "--numa",
				      "cpus=1,mem=64M,distance=30:10", "--cpu-affinity", "0",
				      "--dry-run")), 0);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
	EXPECT(strstr(l.out.text, "mem = 98304K\n"));
	EXPECT(strstr(l.out.text,
		      "numa = cpus=0-0,cpus=2-3,mem=32768K,host=0-0,distance=10:20\n"));
	EXPECT(strstr(l.out.text, "numa = cpus=1-1,mem=65536K,distance=30:10\n"));
	EXPECT(strstr(l.out.text, "cpu-affinity = 0=0:1=0:2=0:3=0\n"), "'%s'", l.out.text);
	strcpy(text, l.out.text);
	config = launch_file("config", text, strlen(text));
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config, "--dry-run")), 0);
	EXPECT(!strcmp(l.out.text, text), "'%s' from '%s'", l.out.text, text);
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config)), 0);
	EXPECT(!strcmp(l.out.text, "going down\n"), "'%s', '%s'", l.out.text, l.err.text);
}

TEST(dry_run_finds_faults)
{
	expect_refusal(1, "kernel /nowhere", ARGS("run", "-k", "/nowhere", "--dry-run"));
	expect_refusal(2, "--cpus", ARGS("run", "-k", image(), "-c", "0", "--dry-run"));
}

static void expect_bad_config(const char *text, size_t len, const char *part)
{
	const char *config = launch_file("config", text, len);

	expect_refusal(2, part, ARGS("run", "--config", config));
}

TEST(wrong_config)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "cpus 2\n", "line 1: 'cpus 2' is not 'name = value'" },
		{ "# comment\n\ncpu = 2\n", "no option 'cpu'" },
		{ "config = x\n", "no option 'config'" },
		{ "dry-run = yes\n", "no option 'dry-run'" },
		{ "help = yes\n", "no option 'help'" },
		{ "rng = maybe\n", "rng is 'yes' or 'no', not 'maybe'" },
		{ "cpus = 0\n", "--cpus '0'" },
		{ "kernel =\n", "--kernel needs a value" },
		{ "virtio-transport = yes\n", "--virtio-transport 'yes' is neither pci nor mmio" },
		{ "= x\n", "no option ''" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_bad_config(bad[i].text, strlen(bad[i].text), bad[i].part);
	expect_bad_config("rng\0 = yes\n", 12, "not a text file");
}

TEST(config_file)
{
	const char *kernel = image(), *config;
	char text[512];

	snprintf(text, sizeof(text),
		 "# a guest\n\n  kernel = %s\nflat=0x100000\n\tcmdline = a=b c = d\t\nrng = no\nmem = 64\n",
		 kernel);
	config = launch_file("config", text, strlen(text));
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config, "--dry-run")), 0);
	EXPECT(strstr(l.out.text, "cmdline = a=b c = d\n"), "'%s'", l.out.text);
	EXPECT(strstr(l.out.text, "mem = 65536K\n"));
	EXPECT(!strstr(l.out.text, "rng"));
	EXPECT_EQ(launch_all(&l, ARGS("run", "--config", config)), 0);
	EXPECT(!strcmp(l.out.text, "going down\n"), "'%s'", l.out.text);
}

TEST(help)
{
	EXPECT_EQ(launch_all(&l, ARGS("run", "--help")), 0);
	EXPECT(strstr(l.out.text, "--no-sandbox"));
	EXPECT(!*l.err.text);
}
