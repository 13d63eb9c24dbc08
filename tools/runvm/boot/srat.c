// SPDX-License-Identifier: GPL-2.0-only
/*
 * srat.c: NUMA nodes as ACPI names them ("System Resource Affinity Table", "System Locality
 * Information Table"). A node's number is its proximity domain.
 */
#include <assert.h>

#include "boot/acpi.h"
#include "boot/aml.h"
#include "boot/boot.h"
#include "options_nodes.h"

#define PACKED __attribute__((packed))

enum { SRAT_LAPIC = 0, SRAT_MEMORY = 1 };

#define SRAT_ENABLED	1U

/* What stands before the first entry */
struct srat_head {
	uint32_t one;
	uint8_t reserved[8];
} PACKED;

struct srat_lapic {
	uint8_t type, length;
	uint8_t domain;
	uint8_t apic_id;
	uint32_t flags;
	uint8_t sapic_eid;
	uint8_t domain_high[3];
	uint32_t clock_domain;
} PACKED;

struct srat_memory {
	uint8_t type, length;
	uint32_t domain;
	uint16_t reserved;
	uint64_t base;
	uint64_t size;
	uint32_t reserved1;
	uint32_t flags;
	uint64_t reserved2;
} PACKED;

static_assert(sizeof(struct srat_head) == 12, "ACPI");
static_assert(sizeof(struct srat_lapic) == 16, "ACPI");
static_assert(sizeof(struct srat_memory) == 40, "ACPI");
static_assert(MAX_NODES <= 256, "domain_high stays 0");

static void add_cpus(struct aml *a, const struct machine *m, unsigned int node)
{
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++) {
		struct srat_lapic l = {
			.type = SRAT_LAPIC, .length = sizeof(l), .domain = node, .apic_id = i,
			.flags = SRAT_ENABLED,
		};

		if (CPU_ISSET(i, &m->options->node[node].cpus))
			aml_bytes(a, &l, sizeof(l));
	}
}

static void add_range(struct aml *a, unsigned int node, uint64_t base, uint64_t size)
{
	struct srat_memory s = {
		.type = SRAT_MEMORY, .length = sizeof(s), .domain = node, .base = base,
		.size = size, .flags = SRAT_ENABLED,
	};

	if (size)
		aml_bytes(a, &s, sizeof(s));
}

/* @from, @to: in memory as a whole, which has a hole below 4 GiB */
static void add_memory(struct aml *a, const struct machine *m, unsigned int node, uint64_t from,
		       uint64_t to)
{
	uint64_t low = mem_low(m), split = from > low ? from : to < low ? to : low;

	add_range(a, node, from, split - from);
	add_range(a, node, GIB_4 + split - low, to - split);
}

void srat_body(struct aml *a, const struct machine *m)
{
	const struct options *o = m->options;
	const struct srat_head head = { .one = 1 };
	uint64_t from = 0;
	unsigned int i;

	aml_bytes(a, &head, sizeof(head));
	for (i = 0; i < o->nr_nodes; i++)
		add_cpus(a, m, i);
	for (i = 0; i < o->nr_nodes; from += o->node[i].memory, i++)
		add_memory(a, m, i, from, from + o->node[i].memory);
}

void slit_body(struct aml *a, const struct machine *m)
{
	const struct options *o = m->options;
	uint64_t nr = o->nr_nodes;
	unsigned int from, to;
	uint8_t distance;

	aml_bytes(a, &nr, sizeof(nr));
	for (from = 0; from < nr; from++) {
		for (to = 0; to < nr; to++) {
			distance = node_distance(o, from, to);
			aml_bytes(a, &distance, sizeof(distance));
		}
	}
}
