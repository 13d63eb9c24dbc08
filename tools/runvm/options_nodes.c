// SPDX-License-Identifier: GPL-2.0-only
/*
 * options_nodes.c: --numa and --cpu-affinity, what of vCPUs and memory belongs where.
 *
 *	--numa cpus=0-1,mem=512M,host=0,distance=10:20		a node of the guest, once for each
 *	--cpu-affinity 2-3  or  0=2:1=3,4			all vCPUs, or some
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_nodes.h"

/* Nodes begin where large pages do */
#define NODE_STEP	(2ULL << 20)
#define DISTANCE_MAX	254	/* 255 is "cannot be reached" */

static char *copy(const char *text)
{
	char *p = strdup(text);

	if (!p)
		die("not enough memory");
	return p;
}

/* ------------------------------------------------------------------------------ lists */

static bool parse_number(const char **text, unsigned int *n)
{
	unsigned long v;
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	v = strtoul(*text, &end, 10);
	if (errno || v >= CPU_SETSIZE)
		return false;
	*text = end;
	*n = v;
	return true;
}

bool parse_list(const char *text, cpu_set_t *set)
{
	unsigned int first, last;

	for (;;) {
		if (!parse_number(&text, &first))
			return false;
		last = first;
		if (*text == '-' && (text++, !parse_number(&text, &last)))
			return false;
		if (last < first)
			return false;
		for (; first <= last; first++)
			CPU_SET(first, set);
		if (!*text)
			return true;
		if (*text++ != ',')
			return false;
	}
}

/* The next range of @set from *@at on */
static bool next_range(const cpu_set_t *set, unsigned int *at, unsigned int *last)
{
	while (*at < CPU_SETSIZE && !CPU_ISSET(*at, set))
		++*at;
	for (*last = *at; *last + 1 < CPU_SETSIZE && CPU_ISSET(*last + 1, set); ++*last)
		;
	return *at < CPU_SETSIZE;
}

static size_t print_range(char *text, size_t room, unsigned int first, unsigned int last)
{
	int n = first == last ? snprintf(text, room, "%u", first) :
				snprintf(text, room, "%u-%u", first, last);

	return n < (int)room ? n : (int)room - 1;
}

const char *list_text(const cpu_set_t *set, struct list_text *t)
{
	unsigned int first = 0, last;
	size_t len = 0;

	t->text[0] = 0;
	for (; next_range(set, &first, &last) && len < sizeof(t->text) - 12; first = last + 1) {
		if (len)
			t->text[len++] = ',';
		len += print_range(t->text + len, sizeof(t->text) - len, first, last);
	}
	return t->text;
}

/* ------------------------------------------------------------------------------- nodes */

static void set_distances(struct node_option *n, const char *text, const char *value)
{
	unsigned int d;

	n->nr_distances = 0;
	for (;;) {
		if (!parse_number(&value, &d) || d < DISTANCE_SELF || d > DISTANCE_MAX)
			usage_error("--numa '%s': distances are numbers from %d to %d, as in 10:20",
				    text, DISTANCE_SELF, DISTANCE_MAX);
		if (n->nr_distances == MAX_NODES)
			usage_error("--numa '%s': more than %d distances", text, MAX_NODES);
		n->distance[n->nr_distances++] = d;
		if (!*value)
			return;
		if (*value++ != ':')
			value = "";
	}
}

static void set_memory(struct node_option *n, const char *text, const char *value)
{
	n->memory = parse_size(value, NODE_STEP, MAX_MEMORY);
	if (n->memory % NODE_STEP)
		usage_error("--numa '%s': memory of nodes comes in pieces of 2 MiB", text);
}

static void set_cpus(struct node_option *n, const char *text, const char *value)
{
	if (!parse_list(value, &n->cpus))
		usage_error("--numa '%s': '%s' is no vCPU (0-3, say)", text, value);
}

static void set_host(struct node_option *n, const char *text, const char *value)
{
	if (!parse_list(value, &n->host))
		usage_error("--numa '%s': '%s' is no node of the host (0, or 0-1)", text, value);
}

static const struct {
	const char *key;
	void (*set)(struct node_option *n, const char *text, const char *value);
} parts[] = {
	{ "cpus=", set_cpus }, { "mem=", set_memory }, { "host=", set_host },
	{ "distance=", set_distances },
};

static void set_part(struct node_option *n, const char *text, const char *part)
{
	unsigned int i;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		len = strlen(parts[i].key);
		if (!strncmp(part, parts[i].key, len)) {
			parts[i].set(n, text, part + len);
			return;
		}
	}
	usage_error("--numa '%s': '%s' is none of cpus=, mem=, host=, distance=", text, part);
}

void set_numa(struct options *o, const char *text)
{
	struct node_option *n = &o->node[o->nr_nodes];
	char *rest = copy(text), *part, *start = rest;

	if (o->nr_nodes == MAX_NODES)
		usage_error("more than %d nodes", MAX_NODES);
	memset(n, 0, sizeof(*n));
	while ((part = strsep(&rest, ",")))
		set_part(n, text, part);
	o->nr_nodes++;
	free(start);
}

static void check_distances(const struct options *o, unsigned int node)
{
	const struct node_option *n = &o->node[node];
	unsigned int i;

	if (!n->nr_distances)
		return;
	if (n->nr_distances != o->nr_nodes)
		usage_error("--numa: node %u has %u distances, and there are %u nodes", node,
			    n->nr_distances, o->nr_nodes);
	for (i = 0; i < n->nr_distances; i++) {
		bool close = n->distance[i] == DISTANCE_SELF, self = i == node;

		if (close != self)
			usage_error("--numa: node %u: the distance to itself is %d, to others more",
				    node, DISTANCE_SELF);
	}
}

static void check_node_cpus(const struct options *o)
{
	unsigned int cpu, i, found;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		for (i = found = 0; i < o->nr_nodes; i++)
			found += !!CPU_ISSET(cpu, &o->node[i].cpus);
		if (cpu >= o->cpus && found)
			usage_error("--numa: there is no vCPU %u (--cpus %u)", cpu, o->cpus);
		if (cpu < o->cpus && found != 1)
			usage_error("--numa: vCPU %u is in %s", cpu,
				    found ? "several nodes" : "no node (cpus=)");
	}
}

/* The memory of all nodes is the guest's: without --mem it says how much that is */
static void check_node_memory(struct options *o)
{
	unsigned long long sum = 0;
	unsigned int i;

	for (i = 0; i < o->nr_nodes; i++)
		sum += o->node[i].memory;
	if (!sum)
		usage_error("--numa: no node has memory (mem=)");
	if (sum > MAX_MEMORY)
		usage_error("--numa: %llu MiB of memory are more than %llu", sum >> 20,
			    MAX_MEMORY >> 20);
	if (!o->memory)
		o->memory = sum;
	if (o->memory != sum)
		usage_error("--numa: the nodes have %llu KiB of memory, the guest has %llu (--mem)",
			    sum >> 10, (unsigned long long)o->memory >> 10);
	for (i = 0; i < o->nr_nodes; i++)
		if (CPU_COUNT(&o->node[i].host) && !o->node[i].memory)
			usage_error("--numa: node %u has no memory to put on nodes of the host", i);
}

/* ---------------------------------------------------------------------------- affinity */

static void check_vcpus(const char *text, const cpu_set_t *vcpus)
{
	unsigned int i;

	for (i = MAX_CPUS; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, vcpus))
			usage_error("--cpu-affinity '%s': there is no vCPU %u", text, i);
}

static void bad_affinity(const char *text)
{
	usage_error("--cpu-affinity '%s': neither CPUs (0-3, say) nor vCPU=CPUs[:vCPU=CPUs...]",
		    text);
}

/* @vcpus NULL: all */
static void give(struct affinity *a, const cpu_set_t *vcpus, const cpu_set_t *cpus)
{
	unsigned int i;

	for (i = 0; i < MAX_CPUS; i++)
		if (!vcpus || CPU_ISSET(i, vcpus))
			a->cpus[i] = *cpus;
	if (vcpus)
		CPU_OR(&a->named, &a->named, vcpus);
}

static void set_assignment(struct affinity *a, const char *text, char *part)
{
	cpu_set_t vcpus, cpus;
	char *equals = strchr(part, '=');

	CPU_ZERO(&vcpus);
	CPU_ZERO(&cpus);
	if (!equals)
		bad_affinity(text);
	*equals = 0;
	if (!parse_list(part, &vcpus) || !parse_list(equals + 1, &cpus))
		bad_affinity(text);
	check_vcpus(text, &vcpus);
	give(a, &vcpus, &cpus);
}

void set_affinity(struct options *o, const char *text)
{
	char *rest = copy(text), *part, *start = rest;
	cpu_set_t cpus;

	if (!o->affinity)
		o->affinity = calloc(1, sizeof(*o->affinity));
	if (!o->affinity)
		die("not enough memory");
	CPU_ZERO(&cpus);
	if (parse_list(text, &cpus))
		give(o->affinity, NULL, &cpus);
	else
		while ((part = strsep(&rest, ":")))
			set_assignment(o->affinity, text, part);
	free(start);
}

const cpu_set_t *affinity_of(const struct options *o, unsigned int vcpu)
{
	if (!o->affinity || !CPU_COUNT(&o->affinity->cpus[vcpu]))
		return NULL;
	return &o->affinity->cpus[vcpu];
}

/* ------------------------------------------------------------------------- all of them */

void check_nodes(struct options *o)
{
	unsigned int i;

	for (i = o->cpus; o->affinity && i < MAX_CPUS; i++)
		if (CPU_ISSET(i, &o->affinity->named))
			usage_error("--cpu-affinity: there is no vCPU %u (--cpus %u)", i, o->cpus);
	if (!o->nr_nodes)
		return;
	check_node_cpus(o);
	check_node_memory(o);
	for (i = 0; i < o->nr_nodes; i++)
		check_distances(o, i);
}

static void print_node(const struct options *o, unsigned int node)
{
	const struct node_option *n = &o->node[node];
	unsigned int first, last, i;
	const char *comma = "";

	printf("numa = ");
	for (first = 0; next_range(&n->cpus, &first, &last); first = last + 1, comma = ",")
		printf("%scpus=%u-%u", comma, first, last);
	if (n->memory) {
		printf("%smem=%lluK", comma, (unsigned long long)n->memory >> 10);
		comma = ",";
	}
	for (first = 0; next_range(&n->host, &first, &last); first = last + 1)
		printf(",host=%u-%u", first, last);
	for (i = 0; i < o->nr_nodes; i++)
		printf("%s%u", i ? ":" : *comma ? ",distance=" : "distance=",
		       node_distance(o, node, i));
	putchar('\n');
}

static void print_affinity(const struct options *o)
{
	struct list_text t;
	const char *before = "cpu-affinity = ";
	unsigned int i;

	for (i = 0; i < o->cpus; i++) {
		if (!affinity_of(o, i))
			continue;
		printf("%s%u=%s", before, i, list_text(affinity_of(o, i), &t));
		before = ":";
	}
	putchar('\n');
}

void print_nodes(const struct options *o)
{
	unsigned int i;

	for (i = 0; i < o->nr_nodes; i++)
		print_node(o, i);
	if (o->affinity)
		print_affinity(o);
}
