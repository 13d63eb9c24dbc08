// SPDX-License-Identifier: GPL-2.0-only
/*
 * numa.c: the guest's nodes and vCPUs on those of the host.
 *
 *	numa_check()	are there such nodes and CPUs, before anything is set up
 *	numa_bind()	memory: a policy, before anything has touched it. Pages that the guest
 *			gives back and touches again follow it, too.
 *	numa_cpuid()	packages of CPUs, none of which is in two nodes
 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "options_nodes.h"
#include "private.h"

#define CPUID1_EDX_HTT		(1U << 28)
#define CPUID_EXT1_ECX_CMP_LEGACY (1U << 1)
#define CPUID_EXT1_ECX_TOPOEXT	(1U << 22)

/* ------------------------------------------------------------------------------- host */

/* Nodes of the host that have memory; none: its kernel knows none */
static void host_nodes(cpu_set_t *set)
{
	FILE *f = fopen("/sys/devices/system/node/has_memory", "re");
	char line[1024];

	CPU_ZERO(set);
	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!parse_list(line, set))
			CPU_ZERO(set);
	}
	fclose(f);
}

/* Bytes of memory that a node of the host has */
static uint64_t host_memory(unsigned int node)
{
	unsigned long long kib = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node);
	f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Node %*u MemTotal: %llu kB", &kib) == 1)
			break;
	fclose(f);
	return kib << 10;
}

static void check_host_nodes(const struct options *o, unsigned int node, const cpu_set_t *there)
{
	struct list_text text, have;
	cpu_set_t missing;

	CPU_XOR(&missing, &o->node[node].host, there);
	CPU_AND(&missing, &missing, &o->node[node].host);
	if (!CPU_COUNT(&missing))
		return;
	if (!CPU_COUNT(there))
		die("memory of node %u on node %s: this host's kernel knows no nodes", node,
		    list_text(&missing, &text));
	die("memory of node %u on node %s: the host's nodes with memory are %s", node,
	    list_text(&missing, &text), list_text(there, &have));
}

/* As with memory as a whole: more than there is would be found too late */
static void check_host_memory(const struct options *o, unsigned int node)
{
	const cpu_set_t *host = &o->node[node].host;
	unsigned long long want = 0, have = 0;
	struct list_text text;
	struct sysinfo info;
	unsigned int i;

	for (i = 0; i < o->nr_nodes; i++)
		if (CPU_EQUAL(&o->node[i].host, host))
			want += o->node[i].memory;
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, host))
			have += host_memory(i);
	if (!sysinfo(&info))
		have += (unsigned long long)info.totalswap * info.mem_unit;
	if (want > have)
		die("%llu MiB of guest memory on node %s: it has %llu MiB, swap included",
		    want >> 20, list_text(host, &text), have >> 20);
}

static void check_memory(const struct options *o)
{
	cpu_set_t there;
	unsigned int i;

	host_nodes(&there);
	for (i = 0; i < o->nr_nodes; i++) {
		if (!CPU_COUNT(&o->node[i].host))
			continue;
		check_host_nodes(o, i, &there);
		check_host_memory(o, i);
	}
}

/* The kernel leaves out what is offline or forbidden, so that only trying tells */
static void check_cpus(const struct options *o)
{
	cpu_set_t before, got, all;
	struct list_text want, may;
	unsigned int i;

	if (!o->affinity)
		return;
	memset(&all, 0xff, sizeof(all));
	if (sched_getaffinity(0, sizeof(before), &before) ||
	    sched_setaffinity(0, sizeof(all), &all) || sched_getaffinity(0, sizeof(all), &all))
		die("cannot learn what CPUs runvm may use: %s", strerror(errno));
	for (i = 0; i < o->cpus; i++) {
		const cpu_set_t *set = affinity_of(o, i);

		if (!set)
			continue;
		CPU_AND(&got, set, &all);
		if (!CPU_EQUAL(&got, set))
			die("vCPU %u on CPU %s of the host: runvm may use %s", i,
			    list_text(set, &want), list_text(&all, &may));
	}
	if (sched_setaffinity(0, sizeof(before), &before))
		die("cannot go back to CPU %s: %s", list_text(&before, &want), strerror(errno));
}

void numa_check(const struct options *o)
{
	check_memory(o);
	check_cpus(o);
}

void numa_bind(struct machine *m)
{
	const struct options *o = m->options;
	const struct node_option *n;
	struct list_text text;
	uint8_t *at = m->vm.mem;

	for (n = o->node; n < o->node + o->nr_nodes; at += n->memory, n++)
		if (CPU_COUNT(&n->host) && syscall(SYS_mbind, at, n->memory, MPOL_BIND, &n->host,
						   CPU_SETSIZE + 1UL, MPOL_MF_STRICT))
			die("memory of node %td on node %s of the host: %s", n - o->node,
			    list_text(&n->host, &text), strerror(errno));
}

/* ------------------------------------------------------------------------------ guest */

/* Whether vCPUs whose APIC IDs differ in the last @shift bits only are in the same node */
static bool nodes_hold(const struct options *o, unsigned int shift)
{
	unsigned int node, cpu;

	for (node = 0; node < o->nr_nodes; node++)
		for (cpu = 0; cpu < o->cpus; cpu++)
			if (!CPU_ISSET(cpu, &o->node[node].cpus) !=
			    !CPU_ISSET(cpu >> shift << shift, &o->node[node].cpus))
				return false;
	return true;
}

static bool has_topoext(const struct hvx_cpuid_entry *e, unsigned int nr)
{
	for (; nr; e++, nr--)
		if (e->function == 0x80000001)
			return e->ecx & CPUID_EXT1_ECX_TOPOEXT;
	return false;
}

/* Leaves of AMD's, without the extended topology */
static void set_amd_package(struct hvx_cpuid_entry *e, unsigned int shift)
{
	if (e->function == 0x80000001) {
		e->ecx &= ~CPUID_EXT1_ECX_TOPOEXT;
		e->ecx |= shift ? CPUID_EXT1_ECX_CMP_LEGACY : 0;
	} else if (e->function == 0x80000008) {
		e->ecx = shift << 12 | ((1U << shift) - 1);
	}
}

static void set_package(struct hvx_cpuid_entry *e, unsigned int shift)
{
	unsigned int nr = 1U << shift;

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & ~0xff0000U) | nr << 16;
		e->edx |= nr > 1 ? CPUID1_EDX_HTT : 0;
		break;
	case 4:
		if (e->eax & 0x1f)
			e->eax |= (nr - 1) << 26 | ((e->eax >> 5 & 7) >= 3 ? (nr - 1) << 14 : 0);
		break;
	case 0xb:
		if (e->index == 1) {
			e->eax = shift;
			e->ebx = nr;
		}
	}
}

/*
 * Packages are as large as they can be, with as many APIC IDs as a power of two. AMD's extended
 * topology is left out: of early Zen processors Linux takes each eight APIC IDs for one level 3
 * cache, whatever CPUID says.
 */
void numa_cpuid(struct machine *m, struct hvx_cpuid_entry *entries, unsigned int nr)
{
	bool amd = has_topoext(entries, nr);
	unsigned int shift = 6, i;

	if (!m->options->nr_nodes)
		return;
	while (shift && !nodes_hold(m->options, shift))
		shift--;
	for (i = 0; i < nr; i++) {
		set_package(&entries[i], shift);
		if (amd)
			set_amd_package(&entries[i], shift);
	}
}
