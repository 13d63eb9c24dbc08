/* SPDX-License-Identifier: GPL-2.0-only */
/* options_nodes.h: --numa and --cpu-affinity, for options.c and for those who carry them out. */
#ifndef RUNVM_OPTIONS_NODES_H
#define RUNVM_OPTIONS_NODES_H

#include "options.h"

/* For options.c */
void set_numa(struct options *o, const char *text);
void set_affinity(struct options *o, const char *text);
/* What only all options together tell; memory that was not told is that of the nodes */
void check_nodes(struct options *o);
void print_nodes(const struct options *o);

/* Distances are those of the SLIT */
#define DISTANCE_SELF	10
#define DISTANCE_OTHER	20	/* if not told */

static inline uint8_t node_distance(const struct options *o, unsigned int from, unsigned int to)
{
	if (o->node[from].nr_distances)
		return o->node[from].distance[to];
	return from == to ? DISTANCE_SELF : DISTANCE_OTHER;
}

/* NULL: any */
const cpu_set_t *affinity_of(const struct options *o, unsigned int vcpu);

/* A list as the kernel writes it: "0-3,5". False: it is none. */
bool parse_list(const char *text, cpu_set_t *set);

struct list_text {
	char text[256];
};

/* The same backwards, cut if it is very long */
const char *list_text(const cpu_set_t *set, struct list_text *t);

#endif
