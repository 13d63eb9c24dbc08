// SPDX-License-Identifier: GPL-2.0-only
/*
 * exits: what a round trip out of a guest costs, on hvx and on KVM, with the same guest code.
 *
 *	exits [--hv NAME] [--row ROW]...
 *				measure; one line for machines per row
 *	exits --table FILE...	table of such lines, with ratios
 *	exits --count-path ROW [--hv NAME] [-n N]
 *				N round trips of one kind, between two lines, for those who trace
 *				where the instructions go
 *
 * The unit is the tick of the TSC. Where an emulator counts one tick an instruction ("lab/run
 * --icount", or Bochs with one CPU) it is the instruction. The guest reads the TSC before and after
 * a batch of rounds; the median of the batches is reported, with the guest's 4 instructions per
 * round in it. Rows marked "host" are measured outside of a guest.
 */
#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>

#include "exits.h"
#include "report.h"

#define MAX_BATCHES	401
#define MAX_ROWS	32
#define ROUNDS		128	/* of one batch */

enum prepare {
	PREPARE_NOTHING,
	PREPARE_UNMAPPED,	/* second-level entries are gone, the pages are there */
	PREPARE_FRESH,		/* the pages are gone, too */
	ON_HOST,		/* no guest: @host is called */
};

struct row {
	const char *id;
	const char *what;
	const char *guest;	/* routine in guest.S */
	const char *guest_amd;	/* on AMD, where that differs */
	unsigned int need;
	enum prepare prepare;
	void (*host)(const struct hypervisor *hv, struct machine *m);
};

static void host_ioctl(const struct hypervisor *hv, struct machine *m)
{
	hv->nothing(m);
}

static void host_syscall(const struct hypervisor *hv, struct machine *m)
{
	(void)hv;
	(void)m;
	syscall(SYS_getppid);
}

extern const char guest_cpuid[], guest_vmcall[], guest_vmmcall[], guest_vmcall_user[],
	guest_vmmcall_user[], guest_rdmsr[], guest_wrmsr[], guest_rdmsr_user[], guest_wrmsr_user[],
	guest_in_pit[], guest_out_event[], guest_mmio_event[], guest_in[], guest_out[],
	guest_mmio_read[], guest_mmio_write[], guest_hlt[], guest_fault[];

static const struct row rows[] = {
	{ "cpuid", "CPUID", guest_cpuid },
	{ "hypercall", "hypercall, unknown number", guest_vmcall, guest_vmmcall },
	{ "rdmsr", "RDMSR", guest_rdmsr },
	{ "wrmsr", "WRMSR", guest_wrmsr },
	{ "in-kernel", "IN, device in the kernel", guest_in_pit, .need = NEED_PORTS },
	{ "out-kernel", "OUT, eventfd", guest_out_event, .need = NEED_PORTS },
	{ "mmio-kernel", "MMIO write, eventfd", guest_mmio_event, .need = NEED_PORTS },
	{ "fault", "second-level fault, page at hand", guest_fault, .prepare = PREPARE_UNMAPPED },
	{ "fault-fresh", "second-level fault, new page", guest_fault, .prepare = PREPARE_FRESH },
	{ "in", "IN, to user space", guest_in },
	{ "out", "OUT, to user space", guest_out },
	{ "mmio-read", "MMIO read, to user space", guest_mmio_read },
	{ "mmio-write", "MMIO write, to user space", guest_mmio_write },
	{ "rdmsr-user", "RDMSR, to user space", guest_rdmsr_user, .need = NEED_MSR },
	{ "wrmsr-user", "WRMSR, to user space", guest_wrmsr_user, .need = NEED_MSR },
	{ "hypercall-user", "hypercall, to user space", guest_vmcall_user, guest_vmmcall_user,
	  NEED_HYPERCALL },
	{ "hlt", "HLT, interrupt from user space", guest_hlt },
	{ "ioctl", "host: empty ioctl of the vCPU", .prepare = ON_HOST, .host = host_ioctl },
	{ "syscall", "host: getppid()", .prepare = ON_HOST, .host = host_syscall },
};

static const struct hypervisor *const hypervisors[] = { &kvm_hypervisor, &hvx_hypervisor };

static const struct row *find_row(const char *id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].id, id))
			return &rows[i];
	fprintf(stderr, "exits: no row '%s'; there are:", id);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(stderr, " %s", rows[i].id);
	fputc('\n', stderr);
	exit(2);
}

/* ------------------------------------------------------------------ measuring */

static void prepare(const struct row *row, struct machine *m)
{
	const size_t len = ROUNDS * 4096UL;
	size_t i;

	if (row->prepare != PREPARE_UNMAPPED && row->prepare != PREPARE_FRESH)
		return;
	/* The notifier takes the second-level entries along */
	if (madvise(m->fresh, len, MADV_DONTNEED))
		err(1, "madvise");
	if (row->prepare == PREPARE_UNMAPPED)
		for (i = 0; i < len; i += 4096)
			*(volatile uint8_t *)(m->fresh + i) = 1;
}

static uint64_t host_batch(const struct row *row, const struct hypervisor *hv, struct machine *m)
{
	uint64_t start = __rdtsc();
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		row->host(hv, m);
	return __rdtsc() - start;
}

static uint64_t guest_batch(const struct row *row, const struct hypervisor *hv, struct machine *m)
{
	prepare(row, m);
	hv->batch(m);
	return *(volatile uint64_t *)(m->low + G_RESULT);
}

static uint64_t batch(const struct row *row, const struct hypervisor *hv, struct machine *m)
{
	return row->prepare == ON_HOST ? host_batch(row, hv, m) : guest_batch(row, hv, m);
}

static bool set_up(const struct row *row, const struct hypervisor *hv, struct machine *m,
		   unsigned int rounds)
{
	struct start_state s;
	const char *routine;

	machine_init(m);
	if (!hv->create(m, row->need)) {
		machine_fini(m);
		return false;
	}
	if (row->prepare != ON_HOST) {
		routine = is_amd() && row->guest_amd ? row->guest_amd : row->guest;
		machine_state(&s, routine, rounds);
		hv->start(m, &s);
	}
	return true;
}

static void tear_down(const struct hypervisor *hv, struct machine *m)
{
	hv->destroy(m);
	machine_fini(m);
}

static void measure(const struct row *row, const struct hypervisor *hv, unsigned int batches)
{
	uint64_t ticks[MAX_BATCHES];
	struct machine m;
	unsigned int i;

	/* The table shows that there is no such path */
	if (!set_up(row, hv, &m, ROUNDS))
		return;
	for (i = 0; i < batches; i++)
		ticks[i] = batch(row, hv, &m);
	tear_down(hv, &m);
	report(hv->name, row->id, ticks, batches, ROUNDS);
}

/* In batches as measure() does, so that rows which prepare memory can be counted, too */
static void count_path(const struct row *row, const struct hypervisor *hv, unsigned int rounds)
{
	struct machine m;
	unsigned int i;

	if (!set_up(row, hv, &m, ROUNDS)) {
		printf("exits: %s has no such path: %s\n", hv->name, row->id);
		return;
	}
	batch(row, hv, &m);
	printf("exits: begin: hv=%s row=%s\n", hv->name, row->id);
	fflush(stdout);
	/* It has to be out before the path begins: an execution log begins with it */
	tcdrain(STDOUT_FILENO);
	for (i = 0; i < rounds; i += ROUNDS)
		batch(row, hv, &m);
	printf("exits: end\n");
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	tear_down(hv, &m);
}

static int table(char **paths)
{
	struct label labels[ARRAY_SIZE(rows)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		labels[i] = (struct label){ rows[i].id, rows[i].what };
	print_table(labels, ARRAY_SIZE(rows), "TSC ticks per round trip", paths);
	printf("4 guest instructions are included; '-': there is no such path.\n");
	return 0;
}

/* ----------------------------------------------------------------------- main */

struct options {
	const char *hv;
	const struct row *row[MAX_ROWS];
	unsigned int nr_rows;
	const struct row *path;
	unsigned int rounds, batches;
};

static const char usage[] =
	"usage: exits [--hv hvx|kvm] [--row ROW]... [--batches N]\n"
	"       exits --table FILE...\n"
	"       exits --count-path ROW [--hv hvx|kvm] [-n ROUNDS]\n";

static unsigned int parse_number(const char *text, unsigned int max)
{
	unsigned long n = strtoul(text, NULL, 0);

	if (!n || n > max)
		errx(2, "'%s' is not a number from 1 to %u", text, max);
	return n;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "hv", required_argument, NULL, 'h' },
		{ "row", required_argument, NULL, 'r' },
		{ "batches", required_argument, NULL, 'b' },
		{ "table", no_argument, NULL, 't' },
		{ "count-path", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, '?' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:", longs, NULL)) >= 0) {
		switch (c) {
		case 'h':
			o->hv = optarg;
			break;
		case 'r':
			if (o->nr_rows == MAX_ROWS)
				errx(2, "too many rows");
			o->row[o->nr_rows++] = find_row(optarg);
			break;
		case 'b':
			o->batches = parse_number(optarg, MAX_BATCHES);
			break;
		case 't':
			exit(table(argv + optind));
		case 'c':
			o->path = find_row(optarg);
			break;
		case 'n':
			o->rounds = parse_number(optarg, 1000000);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
}

static void measure_all(const struct hypervisor *hv, const struct options *o)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows) && !o->nr_rows; i++)
		measure(&rows[i], hv, o->batches);
	for (i = 0; i < o->nr_rows; i++)
		measure(o->row[i], hv, o->batches);
}

int main(int argc, char **argv)
{
	struct options o = { .rounds = 1000, .batches = 41 };
	unsigned int i, found = 0;

	parse(argc, argv, &o);
	stay_on_cpu();
	for (i = 0; i < ARRAY_SIZE(hypervisors); i++) {
		const struct hypervisor *hv = hypervisors[i];

		if (o.hv ? strcmp(o.hv, hv->name) : access(hv->device, F_OK))
			continue;
		found++;
		if (o.path)
			count_path(o.path, hv, o.rounds);
		else
			measure_all(hv, &o);
	}
	if (!found)
		errx(1, "neither /dev/hvx nor /dev/kvm is here, or no such hypervisor");
	return 0;
}
