// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm doctor: can this host run guests, and if not, what has to be done?
 *
 * The checks go from the processor up to a guest that really runs; each says what it found, and
 * what to do where it found a fault. Only faults that keep guests from running make doctor fail.
 */
#include <cpuid.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/hvx.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vm.h"

#define MSR_FEAT_CTL		0x3a		/* IA32_FEATURE_CONTROL */
#define FEAT_CTL_LOCKED		0x1
#define FEAT_CTL_VMX		0x4		/* outside SMX */
#define MSR_VM_CR		0xc0010114
#define VM_CR_SVMDIS		0x10

enum cpu { CPU_NONE, CPU_VMX, CPU_SVM };

static unsigned int nr_faults;

/* -------------------------------------------------------------------- output */

static void say(const char *mark, const char *format, va_list args)
{
	printf("%-6s", mark);
	vprintf(format, args);
	putchar('\n');
}

static void __attribute__((format(printf, 1, 2))) good(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("ok", format, args);
	va_end(args);
}

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("note", format, args);
	va_end(args);
}

static void __attribute__((format(printf, 1, 2))) fault(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("FAULT", format, args);
	va_end(args);
	nr_faults++;
}

/* What to do about the line before */
static void __attribute__((format(printf, 1, 2))) advise(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("  do", format, args);
	va_end(args);
}

/* --------------------------------------------------------------------- files */

static bool read_file(const char *path, char *text, size_t len)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return false;
	n = fread(text, 1, len - 1, f);
	fclose(f);
	text[n] = 0;
	return true;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* Has a line of /proc/cpuinfo, "flags" or "vmx flags", this word? */
static bool cpuinfo_has(const char *key, const char *word)
{
	static char text[65536];
	char *line, *end, *p;
	size_t len = strlen(word);

	if (!*text && !read_file("/proc/cpuinfo", text, sizeof(text)))
		return false;
	for (line = text; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (strncmp(line, key, strlen(key)) || !strchr("\t ", line[strlen(key)]))
			continue;
		for (p = line; (p = strstr(p, word)) && (!end || p < end); p += len)
			if (p[-1] == ' ' && isspace(p[len]))
				return true;
		return false;
	}
	return false;
}

/* ----------------------------------------------------------------- processor */

static bool in_a_guest(void)
{
	unsigned int a, b, c, d;

	__cpuid(1, a, b, c, d);
	return c >> 31 & 1;
}

/* What the processor says, whatever the kernel made of it */
static enum cpu find_cpu(char vendor[13])
{
	unsigned int a, b, c, d;

	memset(vendor, 0, 13);
	__cpuid(0, a, b, c, d);
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &c, 4);
	__cpuid(1, a, b, c, d);
	if (c >> 5 & 1)
		return CPU_VMX;
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && c >> 2 & 1)
		return CPU_SVM;
	return CPU_NONE;
}

static enum cpu check_cpu(void)
{
	char vendor[13];
	enum cpu cpu = find_cpu(vendor);

	if (cpu != CPU_NONE) {
		good("CPU: %s with %s%s", vendor, cpu == CPU_VMX ? "VT-x" : "AMD-V",
		     in_a_guest() ? ", itself inside a virtual machine" : "");
		return cpu;
	}
	fault("CPU: %s without VT-x and AMD-V", vendor);
	if (in_a_guest())
		advise("enable nested virtualization in the hypervisor that this machine runs on");
	else
		advise("enable virtualization in the firmware setup, if it has such a switch");
	return cpu;
}

static bool read_msr(unsigned int msr, uint64_t *value)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = pread(fd, value, sizeof(*value), msr) == sizeof(*value);
	close(fd);
	return done;
}

static bool check_firmware(enum cpu cpu)
{
	const char *flag = cpu == CPU_VMX ? "vmx" : "svm";
	const char *name = cpu == CPU_VMX ? "VT-x" : "AMD-V";
	uint64_t value;
	bool off;

	if (cpu == CPU_NONE)
		return false;
	if (read_msr(cpu == CPU_VMX ? MSR_FEAT_CTL : MSR_VM_CR, &value)) {
		off = cpu == CPU_VMX ? !(value & FEAT_CTL_VMX) || !(value & FEAT_CTL_LOCKED) :
				       !!(value & VM_CR_SVMDIS);
	} else {
		off = !cpuinfo_has("flags", flag);
	}
	if (off) {
		fault("firmware: %s is switched off", name);
		advise("enable it in the firmware setup: %s",
		       cpu == CPU_VMX ? "\"Virtualization Technology\"" : "\"SVM Mode\"");
	} else {
		good("firmware: %s is switched on", name);
	}
	return !off;
}

struct feature {
	const char *key, *word, *name;
	bool required;
};

static const struct feature vmx_features[] = {
	{ "flags", "xsave", "XSAVE", true },
	{ "vmx flags", "vnmi", "virtual NMIs", true },
	{ "vmx flags", "ept", "EPT", true },
	{ "vmx flags", "unrestricted_guest", "unrestricted guest", true },
	{ "vmx flags", "vpid", "VPID" },
	{ "vmx flags", "preemption_timer", "preemption timer" },
	{ "vmx flags", "ept_ad", "EPT accessed and dirty flags" },
	{ "vmx flags", "vid", "virtual-interrupt delivery" },
	{ "vmx flags", "tsc_scaling", "TSC scaling" },
	{ }
};

static const struct feature svm_features[] = {
	{ "flags", "xsave", "XSAVE", true },
	{ "flags", "npt", "nested paging", true },
	{ "flags", "nrip_save", "next-RIP save" },
	{ "flags", "decodeassists", "decode assists" },
	{ "flags", "flushbyasid", "flush by ASID" },
	{ "flags", "vmcb_clean", "VMCB clean bits" },
	{ "flags", "tsc_scale", "TSC scaling" },
	{ }
};

/* What firmware has switched off the kernel does not list */
static void check_features(enum cpu cpu)
{
	const struct feature *f = cpu == CPU_VMX ? vmx_features : svm_features;
	char have[256] = "";

	for (; f->word; f++) {
		if (cpuinfo_has(f->key, f->word)) {
			strcat(have, *have ? ", " : "");
			strcat(have, f->name);
		} else if (f->required) {
			fault("the CPU has no %s, or the kernel does not use it", f->name);
			advise(in_a_guest() ?
			       "the hypervisor that this machine runs on has to offer it" :
			       "get another CPU, unless the kernel's command line hides it");
		}
	}
	note("CPU features: %s", *have ? have : "none of those that hvx uses");
}

/* --------------------------------------------------------------------- IOMMU */

/* What makes the kernel leave IOMMUs alone: KEY=[...,]off on its command line */
static bool switched_off(char word[64])
{
	static const char *const keys[] = { "intel_iommu=", "amd_iommu=", "iommu=" };
	char text[4096], *p, *at, *end;
	unsigned int i;

	if (!read_file("/proc/cmdline", text, sizeof(text)))
		return false;
	for (p = strtok_r(text, "\n ", &at); p; p = strtok_r(NULL, "\n ", &at)) {
		for (i = 0; i < ARRAY_SIZE(keys); i++) {
			if (strncmp(p, keys[i], strlen(keys[i])))
				continue;
			end = p + strlen(p) - 3;
			if (!strcmp(end, "off") && (end[-1] == '=' || end[-1] == ',')) {
				snprintf(word, 64, "%s", p);
				return true;
			}
		}
	}
	return false;
}

/* How many there are, and the first one's name */
static unsigned int count_iommus(char *name, size_t len)
{
	DIR *dir = opendir("/sys/class/iommu");
	unsigned int n = 0;
	struct dirent *d;

	if (!dir)
		return 0;
	while ((d = readdir(dir))) {
		if (*d->d_name == '.')
			continue;
		if (!n++)
			snprintf(name, len, "%s", d->d_name);
	}
	closedir(dir);
	return n;
}

/* The tables are named in the ACPI specification: of VT-d DMAR, of AMD's IOMMU IVRS */
static void advise_iommu(enum cpu cpu)
{
	bool dmar = exists("/sys/firmware/acpi/tables/DMAR");
	bool ivrs = exists("/sys/firmware/acpi/tables/IVRS");
	char word[64];

	if (switched_off(word))
		advise("to have one: boot the kernel without '%s'", word);
	else if (dmar)
		advise("to have one: boot the kernel with 'intel_iommu=on'");
	else if (ivrs)
		advise("firmware has one to offer: 'dmesg | grep AMD-Vi' says why it is not used");
	else if (in_a_guest())
		advise("to have one: the hypervisor that this machine runs on has to offer it");
	else
		advise("to have one: enable it in the firmware setup: %s",
		       cpu == CPU_SVM ? "\"IOMMU\" or \"AMD-Vi\"" : "\"VT-d\"");
}

/* No guest depends on it: what is missing here is no fault */
static void check_iommu(enum cpu cpu)
{
	char name[256] = "";
	unsigned int n = count_iommus(name, sizeof(name));

	if (n) {
		good("IOMMU: the kernel uses %u (%s%s)", n, name, n > 1 ? ", ..." : "");
		return;
	}
	note("IOMMU: the kernel uses none; guests do not need it, devices are not confined");
	advise_iommu(cpu);
}

/* -------------------------------------------------------------------- kernel */

/* Who else uses the extension. hvx shares VT-x; AMD-V it does not share by itself. */
static void check_kvm(enum cpu cpu)
{
	char at_load[8] = "";

	if (exists("/sys/module/kvm_intel")) {
		note("kvm_intel is loaded; hvx runs beside it");
	} else if (exists("/sys/module/kvm_amd")) {
		read_file("/sys/module/kvm/parameters/enable_virt_at_load", at_load,
			  sizeof(at_load));
		if (*at_load == 'Y')
			note("kvm_amd is loaded and holds AMD-V all the time");
		else
			note("kvm_amd is loaded; it holds AMD-V while a guest of KVM runs");
		advise("if hvx says busy: end KVM's guests, then 'rmmod kvm_amd'");
	} else if (cpu != CPU_NONE) {
		good("no other hypervisor module is loaded");
	}
}

/* Where installed modules are, relative to /lib/modules/RELEASE */
static const char *const module_paths[] = {
	"updates/hvx.ko", "updates/dkms/hvx.ko", "updates/dkms/hvx.ko.xz",
	"updates/dkms/hvx.ko.zst", "extra/hvx.ko",
};

static bool find_module(const char *release, char *path, size_t len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(module_paths); i++) {
		snprintf(path, len, "/lib/modules/%s/%s", release, module_paths[i]);
		if (exists(path))
			return true;
	}
	return false;
}

static bool locked_down(void)
{
	char text[128];

	return read_file("/sys/kernel/security/lockdown", text, sizeof(text)) &&
	       !strstr(text, "[none]");
}

/* The last lines of the kernel's log that are from hvx */
static void show_log(void)
{
	int size = klogctl(10, NULL, 0), n;
	const char *last[3] = { };
	char *text, *line, *p;
	unsigned int i;

	text = size > 0 ? malloc(size + 1) : NULL;
	if (!text)
		return;
	n = klogctl(3, text, size);
	if (n < 0) {
		note("this user may not read the kernel log: 'sudo dmesg | grep hvx'");
		free(text);
		return;
	}
	text[n] = 0;
	for (line = strtok_r(text, "\n", &p); line; line = strtok_r(NULL, "\n", &p)) {
		line = strstr(line, "hvx: ");
		/* That it was loaded once, and comes from outside of the kernel, is no news */
		if (!line || strstr(line, "taint") || strstr(line, "ready"))
			continue;
		last[0] = last[1];
		last[1] = last[2];
		last[2] = line;
	}
	for (i = 0; i < ARRAY_SIZE(last); i++)
		if (last[i])
			note("kernel log: %s", last[i]);
	free(text);
}

static bool check_module(void)
{
	struct utsname u;
	char path[256];

	if (exists("/sys/module/hvx")) {
		good("the module hvx is loaded");
		return true;
	}
	fault("the module hvx is not loaded");
	show_log();
	uname(&u);
	if (find_module(u.release, path, sizeof(path))) {
		advise("'modprobe hvx' (%s)", path);
		if (locked_down())
			advise("the kernel is locked down: sign it with an enrolled key (mokutil)");
	} else {
		advise("it is not installed for kernel %s: 'make install' in its sources, or DKMS",
		       u.release);
	}
	return false;
}

static void advise_access(const struct stat *st)
{
	struct group *group = getgrgid(st->st_gid);

	if (st->st_gid && group && st->st_mode & 060)
		advise("join its group: 'usermod -a -G %s %s', then log in again", group->gr_name,
		       getenv("USER") ?: "USER");
	else
		advise("be root, or install the udev rule that gives it to group hvx");
}

static bool check_device(void)
{
	struct group *group;
	struct stat st;

	if (stat("/dev/hvx", &st)) {
		fault("/dev/hvx: %s", strerror(errno));
		advise("it appears with the module; outside of the host's namespaces, pass it in");
		return false;
	}
	group = getgrgid(st.st_gid);
	if (access("/dev/hvx", R_OK | W_OK)) {
		fault("/dev/hvx: no permission (mode %04o, group %s)", st.st_mode & 07777,
		      group ? group->gr_name : "unknown");
		advise_access(&st);
		return false;
	}
	good("/dev/hvx: this user may use it (mode %04o, group %s)", st.st_mode & 07777,
	     group ? group->gr_name : "unknown");
	return true;
}

/* ------------------------------------------------------------------- a guest */

static bool check_abi(int dev)
{
	struct hvx_host_info info = { .size = sizeof(info) };
	int version = ioctl(dev, HVX_GET_API_VERSION, 0);

	if (version != HVX_API_VERSION) {
		fault("the module has ABI %d, runvm knows %d", version, HVX_API_VERSION);
		advise("install both from one version");
		return false;
	}
	if (!ioctl(dev, HVX_GET_HOST_INFO, &info))
		good("ABI %d, backend %.16s%s", version, info.backend,
		     info.features & HVX_HOST_SHARED ? ", shared with another hypervisor" : "");
	return true;
}

/* The state after RESET begins 16 bytes below 4 GiB */
static bool run_hlt(int vm)
{
	struct hvx_create_vcpu vcpu_args = { .size = sizeof(vcpu_args) };
	uint8_t *rom = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hvx_region region = {
		.size = sizeof(region), .gpa = 0xfffff000, .len = PAGE_SIZE,
		.hva = (uintptr_t)rom,
	};
	struct hvx_run *run;
	int vcpu;

	if (rom == MAP_FAILED)
		return false;
	rom[0xff0] = 0xf4;
	if (ioctl(vm, HVX_SET_REGION, &region))
		return false;
	vcpu = ioctl(vm, HVX_CREATE_VCPU, &vcpu_args);
	if (vcpu < 0)
		return false;
	run = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, HVX_RUN, 0))
		return false;
	errno = 0;
	if (run->exit_reason == HVX_EXIT_ENTRY_FAILED)
		note("%.*s", (int)sizeof(run->entry.text), run->entry.text);
	return run->exit_reason == HVX_EXIT_HLT;
}

static void check_guest(void)
{
	struct hvx_create_vm args = { .size = sizeof(args) };
	int dev = open("/dev/hvx", O_RDWR | O_CLOEXEC), vm;

	if (dev < 0) {
		fault("/dev/hvx: %s", strerror(errno));
		return;
	}
	if (!check_abi(dev))
		return;
	vm = ioctl(dev, HVX_CREATE_VM, &args);
	if (vm < 0) {
		fault("a VM cannot be created: %s", strerror(errno));
		if (errno == EBUSY)
			advise("end the guests of the other hypervisor, then unload its module");
		show_log();
	} else if (run_hlt(vm)) {
		good("a guest was started, and ran");
	} else {
		fault("a guest was started, but did not run%s%s", errno ? ": " : "",
		      errno ? strerror(errno) : "");
		show_log();
	}
	if (vm >= 0)
		close(vm);
	close(dev);
}

static void parse(int argc, char **argv)
{
	if (argc < 2)
		return;
	if (strcmp(argv[1], "--help") && strcmp(argv[1], "-h"))
		usage_error("doctor takes no '%s'", argv[1]);
	puts("usage: runvm doctor   (can this host run guests, and what is to be done if not?)");
	exit(0);
}

int cmd_doctor(int argc, char **argv)
{
	enum cpu cpu;

	parse(argc, argv);
	cpu = check_cpu();
	if (check_firmware(cpu))
		check_features(cpu);
	check_iommu(cpu);
	check_kvm(cpu);
	if (check_module() && check_device())
		check_guest();
	printf("\n%s\n", nr_faults ? "This host cannot run guests of hvx as it is." :
				     "This host can run guests of hvx.");
	return nr_faults ? STATUS_FAILED : 0;
}
