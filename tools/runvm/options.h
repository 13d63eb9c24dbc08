/* SPDX-License-Identifier: GPL-2.0-only */
/* options.h: what 'runvm run' was asked for, from flags and --config. Immutable once parsed. */
#ifndef RUNVM_OPTIONS_H
#define RUNVM_OPTIONS_H

#include <sched.h>

#include "runvm.h"

enum net_kind { NET_USER, NET_TAP };
enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_NONE };

struct disk_option {
	const char *path;
	bool readonly;
	bool mmio;		/* ,mmio: virtio over MMIO instead of PCI */
};

struct net_option {
	enum net_kind kind;
	const char *tap;	/* interface name */
	bool vhost;		/* tap: vhost-net where the host has it */
	uint8_t mac[6];
	bool mac_set;
	const char *forward;	/* user: "tcp:HOSTPORT:GUESTPORT[;...]", NULL for none */
};

struct share_option {
	const char *path;
	const char *tag;	/* default "share" */
	bool readonly;
};

#define MAX_CPUS	254
#define MAX_NODES	32

/* A NUMA node of the guest. Memory is given to nodes in their order. */
struct node_option {
	cpu_set_t cpus;		/* vCPUs */
	cpu_set_t host;		/* nodes of the host that its memory is on; none: any */
	uint64_t memory;	/* bytes */
	uint8_t distance[MAX_NODES];
	unsigned int nr_distances;	/* all nodes, or none: 10 and 20 */
};

/* CPUs of the host for each vCPU; none: any */
struct affinity {
	cpu_set_t named;	/* vCPUs that were named */
	cpu_set_t cpus[MAX_CPUS];
};

#define MAX_DISKS	16
#define MAX_NETS	8
#define MAX_SHARES	4

struct options {
	const char *name;
	const char *kernel;
	const char *initrd;
	const char *cmdline;	/* "" for none */
	bool flat;		/* --flat ADDR: @kernel is a bare program, to be loaded at: */
	uint64_t flat_addr;
	unsigned int cpus;	/* 1 .. MAX_CPUS */
	uint64_t memory;	/* bytes */
	struct node_option node[MAX_NODES];
	unsigned int nr_nodes;	/* 0: the guest is told of none */
	struct affinity *affinity;	/* NULL: any; see affinity_of() */
	struct disk_option disk[MAX_DISKS];
	unsigned int nr_disks;
	struct net_option net[MAX_NETS];
	unsigned int nr_nets;
	struct share_option share[MAX_SHARES];
	unsigned int nr_shares;
	bool virtio_mmio;	/* all virtio devices are over MMIO, none on PCI */
	bool rng;
	bool balloon;
	uint32_t vsock_cid;	/* 0: none */
	enum console_kind console;
	bool ctrl_c_power;	/* Ctrl-C on a terminal presses the power button */
	bool no_reboot;
	bool no_sandbox;
	bool dry_run;
	bool verbose;
	bool named;		/* @name was given */
	const char *control;	/* path of the control socket, NULL: by @name if that was given */
	const char *user;	/* whom root becomes before the guest runs */
};

/* Fill in from argv (argv[0] is the command's name); ends the program with a line for bad input */
void options_parse(struct options *o, int argc, char **argv);
/* One option by its long name; @value NULL for a switch */
void options_set(struct options *o, const char *name, const char *value);
/* Those in a file; ends the program with a line for what is wrong */
void options_read_file(struct options *o, const char *path);
/* In the form that --config takes */
void options_print(const struct options *o);

#endif
