// SPDX-License-Identifier: GPL-2.0-only
/*
 * bar: memory of a PCI device as guest memory, mapped into the VMM by vfio-pci. Since Linux 6.12
 * that maps BARs by entries of 2 MiB and 1 GiB, which second-level entries follow; what then takes
 * the VMM's entries away, or a right in them, takes the large second-level ones, too.
 *
 * The device is the NVMe controller of QEMU, whose controller memory buffer is memory that nobody
 * else uses while no driver has it. No other device is taken from its driver:
 *
 *	lab/run --cpu svm --kernel 6.12 --flavour cloud --iommu intel \
 *		--device nvme,serial=hvx,cmb_size_mb=1024 -- run bar
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define GPA	0x40000000UL	/* aligned for all sizes; linear is the same */
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define PER_M2	(M2 / PAGE_SIZE)
#define G1	0x40000000UL

#define PCI	"/sys/bus/pci/devices"
#define VENDOR	0x1b36		/* Red Hat */
#define DEVICE	0x0010		/* QEMU's NVMe controller */
#define BAR	VFIO_PCI_BAR2_REGION_INDEX

/* ------------------------------------------------------------------ the device */

static int device;			/* what VFIO gave for it */
static struct vfio_region_info bar;

static long sysfs_number(const char *dev, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI "/%s/%s", dev, name);
	return strtol(file_read(path), NULL, 16);
}

static const char *find_device(void)
{
	static char found[NAME_MAX];
	DIR *dir = opendir(PCI);
	struct dirent *e;

	while (dir && !*found && (e = readdir(dir))) {
		if (*e->d_name != '.' && sysfs_number(e->d_name, "vendor") == VENDOR &&
		    sysfs_number(e->d_name, "device") == DEVICE)
			strcpy(found, e->d_name);
	}
	if (dir)
		closedir(dir);
	if (!*found)
		SKIP("no NVMe controller of QEMU's here");
	return found;
}

/* What the link @name of the device leads to, without its path; NULL: there is none */
static const char *link_of(const char *dev, const char *name)
{
	static char target[PATH_MAX];
	char path[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), PCI "/%s/%s", dev, name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return NULL;
	target[n] = 0;
	return basename(target);
}

static void bind_device(const char *dev)
{
	char path[PATH_MAX];
	const char *driver;

	if (system("modprobe -a vfio-pci vfio_iommu_type1 >/dev/null 2>&1"))
		SKIP("no vfio-pci here");
	driver = link_of(dev, "driver");
	if (driver && !strcmp(driver, "vfio-pci"))
		return;
	snprintf(path, sizeof(path), PCI "/%s/driver_override", dev);
	REQUIRE(file_write(path, "vfio-pci"));
	snprintf(path, sizeof(path), PCI "/%s/driver/unbind", dev);
	if (driver)
		REQUIRE(file_write(path, dev));
	REQUIRE(file_write("/sys/bus/pci/drivers_probe", dev));
	driver = link_of(dev, "driver");
	REQUIRE(driver && !strcmp(driver, "vfio-pci"));
}

static void open_device(void)
{
	const char *dev = find_device(), *name = link_of(dev, "iommu_group");
	int group, container = open("/dev/vfio/vfio", O_RDWR);
	char path[PATH_MAX];

	if (!name)
		SKIP("no IOMMU here");
	snprintf(path, sizeof(path), "/dev/vfio/%s", name);
	bind_device(dev);
	if (container < 0)
		container = open("/dev/vfio/vfio", O_RDWR);
	group = open(path, O_RDWR);
	REQUIRE(container >= 0 && group >= 0, "%s", strerror(errno));
	REQUIRE(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "%s", strerror(errno));
	REQUIRE(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "%s", strerror(errno));
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, dev);
	REQUIRE(device >= 0, "%s", strerror(errno));
}

/* The device answers at the addresses of its BARs, or not: then VFIO lets nobody have them */
static void decode(bool on)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command;

	REQUIRE(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config));
	REQUIRE(pread(device, &command, 2, config.offset + PCI_COMMAND) == 2);
	command &= ~PCI_COMMAND_MEMORY;
	command |= on ? PCI_COMMAND_MEMORY : 0;
	REQUIRE(pwrite(device, &command, 2, config.offset + PCI_COMMAND) == 2);
}

static void map_at(uint8_t *p, size_t offset, size_t len)
{
	REQUIRE(mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device,
		     bar.offset + offset) == p, "%s", strerror(errno));
}

/* The first @len bytes of the BAR, aligned to @align */
static uint8_t *map_bar(size_t len, size_t align)
{
	uint8_t *p;

	open_device();
	bar = (struct vfio_region_info){ .argsz = sizeof(bar), .index = BAR };
	REQUIRE(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar));
	if (bar.size < len || !(bar.flags & VFIO_REGION_INFO_FLAG_MMAP))
		SKIP("its memory has %llu bytes only", (unsigned long long)bar.size);
	decode(true);
	p = mmap(NULL, len + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED);
	p = (uint8_t *)(((uintptr_t)p + align - 1) & -align);
	map_at(p, 0, len);
	return p;
}

/* Does the kernel map BARs by large entries? */
static bool has_large(void)
{
	unsigned int major, minor;
	struct utsname name;

	REQUIRE(!uname(&name));
	REQUIRE(sscanf(name.release, "%u.%u", &major, &minor) == 2);
	return major * 1000 + minor >= 6012 &&
	       strstr(file_read("/sys/kernel/mm/transparent_hugepage/enabled"), "[always]");
}

/* ------------------------------------------------------------------ the guest */

static struct vcpu *start(guest_fn fn, size_t len, uint8_t *p)
{
	struct vcpu *v;

	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	REQUIRE(!madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE));
	v = vcpu_create(vm_create(0), 0);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, len, p));
	vcpu_setup_long_mode(v, fn);
	v->g->arg = len / PAGE_SIZE;
	return v;
}

static struct hvx_memory_info info(struct vcpu *v)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(v->vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i;
}

/* @n leaves, where the host has large ones */
static void expect_large(struct vcpu *v, uint64_t n)
{
	EXPECT_EQ(info(v).mapped_2m, has_large() ? n : 0);
}

static volatile uint64_t *guest_page(uint64_t i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

/* Reads the first word of each page and tells the sum, then adds 1 to each */
GUEST(sums_and_adds)
{
	uint64_t i, sum;

	for (;;) {
		for (sum = 0, i = 0; i < g->arg; i++)
			sum += *G_HIDE(guest_page(i));
		guest_sync(sum);
		for (i = 0; i < g->arg; i++)
			++*G_HIDE(guest_page(i));
		guest_sync(0);
	}
}

static void round_of(struct vcpu *v, uint64_t value)
{
	vcpu_expect_sync(v, v->g->arg * value);
	vcpu_expect_sync(v, 0);
}

static void expect_fault(struct vcpu *v, uint64_t gpa, uint32_t access)
{
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
		exit_name(v->run->exit_reason));
	EXPECT_EQ(v->run->memory.gpa & -PAGE_SIZE, gpa);
	EXPECT_EQ(v->run->memory.access & access, access);
	EXPECT_EQ(v->run->memory.error, EFAULT);
}

/* Pages of the guest's program, its stack and its page tables */
#define OWN	16

TEST(large_entries)
{
	const size_t len = 2 * M2;
	uint8_t *p = map_bar(len, M2);
	struct vcpu *v = start(sums_and_adds, len, p);
	uint64_t before = info(v).faults, faults;

	set_pages(p, len, 10);
	round_of(v, 10);
	expect_large(v, 2);
	faults = info(v).faults - before;
	EXPECT(faults <= (has_large() ? 2 : len / PAGE_SIZE) + OWN, "%lu", faults);
	tap_note("%lu faults for %zu pages", faults, len / PAGE_SIZE);
	expect_pages(p, len, 11);
	/* One half goes, and comes again */
	munmap(p + M2, M2);
	expect_large(v, 1);
	expect_fault(v, GPA + M2, HVX_ACCESS_READ);
	map_at(p + M2, M2, M2);
	round_of(v, 11);
	expect_large(v, 2);
	expect_pages(p, len, 12);
}

/* By what Linux says of the processor, not by what hvx makes of it */
static bool has_1g_entries(void)
{
	return cpuinfo_flag(hvx_vendor() == HVX_VENDOR_SVM ? "pdpe1gb" : "ept_1gb");
}

TEST(entry_of_1g)
{
	const size_t used = M2 + 7 * PAGE_SIZE;
	uint8_t *p = map_bar(G1, G1);
	struct vcpu *v = start(sums_and_adds, G1, p);

	v->g->arg = used / PAGE_SIZE;
	set_pages(p, used, 20);
	round_of(v, 20);
	EXPECT_EQ(info(v).mapped_1g, has_large() && has_1g_entries());
	tap_note("%llu entries of 1 GiB", info(v).mapped_1g);
	expect_pages(p, used, 21);
	/* Half of it may only be read: what the host splits is split here */
	REQUIRE(!mprotect(p + G1 / 2, G1 / 2, PROT_READ));
	round_of(v, 21);
	EXPECT_EQ(info(v).mapped_1g, 0);
	expect_large(v, 2);
	munmap(p, G1);
	EXPECT_EQ(info(v).mapped_2m, 0);
	expect_fault(v, GPA, HVX_ACCESS_READ);
}

TEST(not_congruent)
{
	const size_t len = M2;
	uint8_t *p = map_bar(2 * M2, M2) + PAGE_SIZE;
	struct vcpu *v = start(sums_and_adds, len, p);

	set_pages(p, len, 30);
	round_of(v, 30);
	EXPECT_EQ(info(v).mapped_2m, 0);
	expect_pages(p, len, 31);
}

TEST(in_advance)
{
	const size_t len = 2 * M2;
	uint8_t *p = map_bar(len, M2);
	struct vcpu *v = start(sums_and_adds, len, p);
	struct hvx_prefault pre = {
		.size = sizeof(pre), .flags = HVX_PREFAULT_WRITE, .gpa = GPA, .len = len,
	};

	set_pages(p, len, 40);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_PREFAULT, &pre), 0);
	EXPECT_EQ(pre.len, 0);
	expect_large(v, 2);
	round_of(v, 40);
	expect_pages(p, len, 41);
}

TEST(protected)
{
	const size_t len = 2 * M2, at = 5 * PAGE_SIZE;
	uint8_t *p = map_bar(len, M2);
	struct vcpu *v = start(sums_and_adds, len, p);

	set_pages(p, len, 50);
	round_of(v, 50);
	/* A block as a whole: it stays large, whatever it allows */
	REQUIRE(!mprotect(p + M2, M2, PROT_READ));
	expect_large(v, 1);
	vcpu_expect_sync(v, 51 * v->g->arg);
	expect_large(v, 2);
	expect_fault(v, GPA + M2, HVX_ACCESS_WRITE);
	REQUIRE(!mprotect(p + M2, M2, PROT_READ | PROT_WRITE));
	vcpu_expect_sync(v, 0);
	expect_large(v, 2);
	expect_pages(p, len, 52);
	/* A part of one: the host makes small entries of it, for good */
	REQUIRE(!mprotect(p + at, PAGE_SIZE, PROT_READ));
	vcpu_expect_sync(v, 52 * v->g->arg);
	expect_large(v, 1);
	expect_fault(v, GPA + at, HVX_ACCESS_WRITE);
	REQUIRE(!mprotect(p + at, PAGE_SIZE, PROT_READ | PROT_WRITE));
	vcpu_expect_sync(v, 0);
	expect_pages(p, len, 53);
}

TEST(logged)
{
	const size_t len = 2 * M2;
	uint8_t *p = map_bar(len, M2);
	struct vcpu *v = start(sums_and_adds, len, p);
	uint64_t bitmap[2 * PER_M2 / 64];
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SLOT, .nr = 2 * PER_M2, .data = (uintptr_t)bitmap,
	};
	unsigned int i;

	set_pages(p, len, 60);
	round_of(v, 60);
	REQUIRE(!vm_region(v->vm, SLOT, HVX_REGION_LOG_DIRTY, GPA, len, p));
	EXPECT_EQ(info(v).mapped_2m, 0);
	round_of(v, 61);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_GET_DIRTY, &d), 0);
	for (i = 0; i < d.nr / 64; i++)
		EXPECT_EQ(bitmap[i], ~0ULL);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, len, p));
	round_of(v, 62);
	expect_large(v, 2);
	expect_pages(p, len, 63);
}

/* The device no longer answers: VFIO takes the memory from everybody */
TEST(switched_off)
{
	const size_t len = 2 * M2;
	uint8_t *p = map_bar(len, M2);
	struct vcpu *v = start(sums_and_adds, len, p);

	set_pages(p, len, 70);
	round_of(v, 70);
	expect_large(v, 2);
	decode(false);
	EXPECT_EQ(info(v).mapped_2m, 0);
	expect_fault(v, GPA, HVX_ACCESS_READ);
	decode(true);
	round_of(v, 71);
	expect_large(v, 2);
	expect_pages(p, len, 72);
}
