// SPDX-License-Identifier: GPL-2.0-only
/*
 * options.c: what 'runvm run' was asked for.
 *
 * One table says what there is: command line, configuration file, help and the dump of --dry-run
 * follow from it. The file is read first, so that flags have the last word; what can be given
 * several times (nodes, disks, networks, shares) adds up.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "options_nodes.h"

#define DEFAULT_MEMORY	(256ULL << 20)

/* ---------------------------------------------------------------------------- values */

static char *copy(const char *text)
{
	char *p = strdup(text);

	if (!p)
		die("not enough memory");
	return p;
}

static const char *not_empty(const char *name, const char *text)
{
	if (!*text)
		usage_error("--%s needs a value", name);
	return copy(text);
}

static unsigned long long number(const char *name, const char *text, unsigned long long min,
				 unsigned long long max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (!isdigit(*text) || *end || errno || n < min || n > max)
		usage_error("--%s '%s': not a number from %llu to %llu", name, text, min, max);
	return n;
}

static bool yes(const char *name, const char *text)
{
	if (!text || !strcmp(text, "yes"))
		return true;
	if (strcmp(text, "no"))
		usage_error("%s is 'yes' or 'no', not '%s'", name, text);
	return false;
}

/* The first part of a list with commas; the next ones come by next_part() */
static char *first_part(const char *name, const char *text, char **rest)
{
	char *p = copy(text);

	*rest = strchr(p, ',');
	if (*rest)
		*(*rest)++ = 0;
	if (!*p)
		usage_error("--%s '%s': something must stand before the comma", name, text);
	return p;
}

static char *next_part(char **rest)
{
	char *p = *rest;

	if (!p)
		return NULL;
	*rest = strchr(p, ',');
	if (*rest)
		*(*rest)++ = 0;
	return p;
}

/* The value of @part if it is @key=value */
static char *value_of(char *part, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(part, key, len) && part[len] == '=' && part[len + 1] ? part + len + 1 :
									       NULL;
}

/* --------------------------------------------------------------------------- setters */

static void set_kernel(struct options *o, const char *text)
{
	o->kernel = not_empty("kernel", text);
}

static void set_initrd(struct options *o, const char *text)
{
	o->initrd = *text ? copy(text) : NULL;
}

static void set_cmdline(struct options *o, const char *text)
{
	o->cmdline = copy(text);
}

static void set_flat(struct options *o, const char *text)
{
	o->flat = true;
	o->flat_addr = number("flat", text, 0, 0xffffffff);
}

static void set_cpus(struct options *o, const char *text)
{
	o->cpus = number("cpus", text, 1, MAX_CPUS);
}

static void set_mem(struct options *o, const char *text)
{
	o->memory = parse_size(text, MIN_MEMORY, MAX_MEMORY);
	if (o->memory & 0xfff)
		usage_error("--mem '%s': memory comes in pages of 4 KiB", text);
}

static void set_disk(struct options *o, const char *text)
{
	struct disk_option *d = &o->disk[o->nr_disks];
	char *rest, *part;

	if (o->nr_disks == MAX_DISKS)
		usage_error("more than %d disks", MAX_DISKS);
	*d = (struct disk_option){ .path = first_part("disk", text, &rest) };
	while ((part = next_part(&rest))) {
		if (!strcmp(part, "ro"))
			d->readonly = true;
		else if (!strcmp(part, "mmio"))
			d->mmio = true;
		else
			usage_error("--disk '%s': '%s' is neither ro nor mmio", text, part);
	}
	o->nr_disks++;
}

static void set_mac(struct net_option *n, const char *text)
{
	unsigned int b[6], i;
	int len = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &len) != 6 || text[len])
		usage_error("'%s' is not a MAC address (xx:xx:xx:xx:xx:xx)", text);
	if (b[0] & 1)
		usage_error("'%s' is a multicast address, not one of a card", text);
	for (i = 0; i < 6; i++)
		n->mac[i] = b[i];
	n->mac_set = true;
}

static void set_net_part(struct net_option *n, const char *text, char *part)
{
	const char *mac = value_of(part, "mac"), *forward = value_of(part, "fwd");

	if (mac)
		set_mac(n, mac);
	else if (n->kind == NET_USER && forward)
		n->forward = forward;
	else if (n->kind == NET_TAP && !strcmp(part, "vhost"))
		n->vhost = true;
	else
		usage_error("--net '%s': '%s' is none of mac=, %s", text, part,
			    n->kind == NET_USER ? "fwd=" : "vhost");
}

static void set_net(struct options *o, const char *text)
{
	struct net_option *n = &o->net[o->nr_nets];
	char *rest, *part, *kind = first_part("net", text, &rest);

	if (o->nr_nets == MAX_NETS)
		usage_error("more than %d networks", MAX_NETS);
	*n = (struct net_option){ .kind = NET_USER };
	n->tap = value_of(kind, "tap");
	if (n->tap)
		n->kind = NET_TAP;
	else if (strcmp(kind, "user"))
		usage_error("--net '%s': '%s' is neither user nor tap=INTERFACE", text, kind);
	while ((part = next_part(&rest)))
		set_net_part(n, text, part);
	o->nr_nets++;
}

static void set_share(struct options *o, const char *text)
{
	struct share_option *s = &o->share[o->nr_shares];
	char *rest, *part, *value;

	if (o->nr_shares == MAX_SHARES)
		usage_error("more than %d shared directories", MAX_SHARES);
	*s = (struct share_option){ .path = first_part("share", text, &rest), .tag = "share" };
	while ((part = next_part(&rest))) {
		value = value_of(part, "tag");
		if (value)
			s->tag = value;
		else if (!strcmp(part, "ro"))
			s->readonly = true;
		else
			usage_error("--share '%s': '%s' is neither ro nor tag=", text, part);
	}
	o->nr_shares++;
}

static void set_transport(struct options *o, const char *text)
{
	o->virtio_mmio = !strcmp(text, "mmio");
	if (!o->virtio_mmio && strcmp(text, "pci"))
		usage_error("--virtio-transport '%s' is neither pci nor mmio", text);
}

static void set_rng(struct options *o, const char *text)
{
	o->rng = yes("rng", text);
}

static void set_balloon(struct options *o, const char *text)
{
	o->balloon = yes("balloon", text);
}

static void set_vsock(struct options *o, const char *text)
{
	o->vsock_cid = number("vsock", text, 3, 0xfffffffe);
}

static const char *const consoles[] = {
	[CONSOLE_SERIAL] = "serial", [CONSOLE_VIRTIO] = "virtio", [CONSOLE_NONE] = "none",
};

static void set_console(struct options *o, const char *text)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(consoles); i++) {
		if (!strcmp(text, consoles[i])) {
			o->console = i;
			return;
		}
	}
	usage_error("--console '%s' is none of serial, virtio, none", text);
}

static void set_ctrl_c(struct options *o, const char *text)
{
	o->ctrl_c_power = !strcmp(text, "power");
	if (!o->ctrl_c_power && strcmp(text, "guest"))
		usage_error("--ctrl-c '%s' is none of guest, power", text);
}

static void set_name(struct options *o, const char *text)
{
	o->name = not_empty("name", text);
	o->named = true;
}

static void set_control(struct options *o, const char *text)
{
	o->control = not_empty("control", text);
}

static void set_user(struct options *o, const char *text)
{
	o->user = not_empty("user", text);
}

static void set_no_reboot(struct options *o, const char *text)
{
	o->no_reboot = yes("no-reboot", text);
}

static void set_no_sandbox(struct options *o, const char *text)
{
	o->no_sandbox = yes("no-sandbox", text);
}

static void set_verbose(struct options *o, const char *text)
{
	o->verbose = yes("verbose", text);
}

static void set_dry_run(struct options *o, const char *text)
{
	o->dry_run = true;
}

/* ----------------------------------------------------------------------------- table */

struct flag {
	const char *name;
	char letter;			/* 0: none */
	const char *arg;		/* NULL: none */
	void (*set)(struct options *o, const char *text);	/* NULL: not in a file */
	const char *help;
};

static const struct flag flags[] = {
	{ "kernel", 'k', "FILE", set_kernel, "bzImage, ELF (PVH, multiboot) or flat image" },
	{ "initrd", 'i', "FILE", set_initrd, "initial RAM disk, or the multiboot module" },
	{ "cmdline", 'p', "TEXT", set_cmdline, "kernel command line" },
	{ "flat", 0, "ADDR", set_flat, "the kernel is a bare program, to be loaded at ADDR" },
	{ "cpus", 'c', "N", set_cpus, "vCPUs, 1 to 254 (1)" },
	{ "mem", 'm', "SIZE", set_mem, "memory, with K, M or G; a bare number is MiB (256M)" },
	{ "numa", 0, "[cpus=LIST][,mem=SIZE][,host=NODES]...", set_numa, "a node of the guest" },
	{ "cpu-affinity", 0, "CPUS|VCPU=CPUS[:...]", set_affinity, "CPUs that vCPUs may run on" },
	{ "disk", 'd', "FILE[,ro][,mmio]", set_disk, "raw image or block device" },
	{ "net", 'n', "user[,fwd=tcp:HOST:GUEST[;...]][,mac=]", set_net, "network without rights" },
	{ "net", 'n', "tap=IF[,vhost][,mac=]", set_net, "network by a tap interface" },
	{ "rng", 0, NULL, set_rng, "source of random numbers" },
	{ "balloon", 0, NULL, set_balloon, "let the guest give memory back (runvm balloon)" },
	{ "vsock", 0, "CID", set_vsock, "sockets between host and guest" },
	{ "share", 0, "DIR[,tag=TAG][,ro]", set_share, "directory of the host for the guest" },
	{ "virtio-transport", 0, "pci|mmio", set_transport, "bus of all virtio devices (pci)" },
	{ "console", 0, "serial|virtio|none", set_console, "what the terminal is for (serial)" },
	{ "ctrl-c", 0, "guest|power", set_ctrl_c, "what Ctrl-C on the terminal goes to (guest)" },
	{ "name", 0, "NAME", set_name, "name of the guest, for commands to it" },
	{ "control", 0, "SOCKET", set_control, "socket for commands, instead of that name" },
	{ "user", 0, "USER", set_user, "whom root becomes before the guest starts (nobody)" },
	{ "no-reboot", 0, NULL, set_no_reboot, "end when the guest resets" },
	{ "no-sandbox", 0, NULL, set_no_sandbox, "keep privileges and system calls" },
	{ "verbose", 'v', NULL, set_verbose, "say when the guest resets, count its exits" },
	{ "dry-run", 0, NULL, set_dry_run, "check everything, show the options, start nothing" },
	{ "config", 0, "FILE", NULL, "options from a file, 'name = value' lines" },
	{ "help", 'h', NULL, NULL, "this text" },
};

#define HELP_COLUMN	32

static void print_help(void)
{
	const struct flag *f;
	char left[80];

	puts("usage: runvm run -k KERNEL [OPTION...]\n");
	for (f = flags; f < flags + ARRAY_SIZE(flags); f++) {
		snprintf(left, sizeof(left), "%s%c%s --%s%s%s", f->letter ? "-" : " ",
			 f->letter ? f->letter : ' ', f->letter ? "," : " ", f->name,
			 f->arg ? " " : "", f->arg ? f->arg : "");
		if (strlen(left) > HELP_COLUMN)
			printf("  %s\n  %*s  %s\n", left, HELP_COLUMN, "", f->help);
		else
			printf("  %-*s  %s\n", HELP_COLUMN, left, f->help);
	}
	puts("\nThe manual page runvm(1) says more.");
	exit(0);
}

void options_set(struct options *o, const char *name, const char *value)
{
	const struct flag *f;

	for (f = flags; f < flags + ARRAY_SIZE(flags); f++) {
		if (strcmp(f->name, name) || !f->set || f->set == set_dry_run)
			continue;
		f->set(o, value);
		return;
	}
	usage_error("there is no option '%s' (runvm run --help lists them)", name);
}

/* ---------------------------------------------------------------------- command line */

/* What getopt_long() returns for flag i */
#define CODE(i)	(0x100 + (int)(i))

static void make_getopt_tables(struct option *longs, char *shorts)
{
	unsigned int i;

	*shorts++ = ':';	/* a missing argument is told from an unknown option */
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		/* A second line of help: a name that is there twice has ambiguous beginnings */
		if (i && !strcmp(flags[i].name, flags[i - 1].name))
			continue;
		*longs++ = (struct option){
			.name = flags[i].name, .val = CODE(i),
			.has_arg = flags[i].arg ? required_argument : no_argument,
		};
		if (!flags[i].letter)
			continue;
		*shorts++ = flags[i].letter;
		if (flags[i].arg)
			*shorts++ = ':';
	}
	*longs = (struct option){ NULL };
	*shorts = 0;
}

static const struct flag *flag_of(int code)
{
	unsigned int i;

	if (code >= CODE(0))
		return &flags[code - CODE(0)];
	for (i = 0; flags[i].letter != code; i++)
		;
	return &flags[i];
}

static void refuse(int code, char **argv)
{
	if (code == ':')
		usage_error("'%s' needs a value (runvm run --help)", argv[optind - 1]);
	if (optopt && optopt < CODE(0))
		usage_error("there is no option '-%c' (runvm run --help lists them)", optopt);
	if (optopt)
		usage_error("'%s' takes no value", argv[optind - 1]);
	usage_error("there is no option '%s', or it is ambiguous (runvm run --help lists them)",
		    argv[optind - 1]);
}

/* Calls @take for each flag. Twice: the configuration file comes before all others. */
static void walk(struct options *o, int argc, char **argv,
		 void (*take)(struct options *o, const struct flag *f, const char *value))
{
	struct option longs[ARRAY_SIZE(flags) + 1];
	char shorts[2 * ARRAY_SIZE(flags) + 2];
	int code;

	make_getopt_tables(longs, shorts);
	opterr = 0;
	optind = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		if (code == ':' || code == '?')
			refuse(code, argv);
		take(o, flag_of(code), optarg);
	}
	if (optind < argc)
		usage_error("'%s' belongs to no option (a command line for the kernel is -p '...')",
			    argv[optind]);
}

static void take_config(struct options *o, const struct flag *f, const char *value)
{
	if (!strcmp(f->name, "help"))
		print_help();
	if (!strcmp(f->name, "config"))
		options_read_file(o, value);
}

static void take_flag(struct options *o, const struct flag *f, const char *value)
{
	if (f->set)
		f->set(o, value);
}

/* ------------------------------------------------------------------------- all of it */

static void check_together(struct options *o)
{
	unsigned int i, j;

	if (!o->kernel)
		usage_error("run needs a kernel: -k FILE");
	for (i = 0; i < o->nr_shares; i++)
		for (j = 0; j < i; j++)
			if (!strcmp(o->share[i].tag, o->share[j].tag))
				usage_error("two directories with tag '%s': set one by ,tag=",
					    o->share[i].tag);
	check_nodes(o);
	if (!o->memory)
		o->memory = DEFAULT_MEMORY;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){
		.cpus = 1, .cmdline = "", .user = "nobody",
		.console = CONSOLE_SERIAL,
	};
	walk(o, argc, argv, take_config);
	walk(o, argc, argv, take_flag);
	check_together(o);
	if (!o->name)
		o->name = base_name(o->kernel);
}

/* ------------------------------------------------------------------------------ dump */

static void print_mac(const uint8_t *b)
{
	printf(",mac=%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

static void print_lists(const struct options *o)
{
	const struct disk_option *d;
	const struct net_option *n;
	const struct share_option *s;

	for (d = o->disk; d < o->disk + o->nr_disks; d++)
		printf("disk = %s%s%s\n", d->path, d->readonly ? ",ro" : "",
		       d->mmio ? ",mmio" : "");
	for (n = o->net; n < o->net + o->nr_nets; n++) {
		printf("net = %s%s%s", n->kind == NET_USER ? "user" : "tap=", n->tap ? n->tap : "",
		       n->vhost ? ",vhost" : "");
		if (n->forward)
			printf(",fwd=%s", n->forward);
		if (n->mac_set)
			print_mac(n->mac);
		putchar('\n');
	}
	for (s = o->share; s < o->share + o->nr_shares; s++)
		printf("share = %s,tag=%s%s\n", s->path, s->tag, s->readonly ? ",ro" : "");
}

void options_print(const struct options *o)
{
	if (o->named)
		printf("name = %s\n", o->name);
	printf("kernel = %s\n", o->kernel);
	if (o->flat)
		printf("flat = %#llx\n", (unsigned long long)o->flat_addr);
	if (o->initrd)
		printf("initrd = %s\n", o->initrd);
	if (*o->cmdline)
		printf("cmdline = %s\n", o->cmdline);
	printf("cpus = %u\nmem = %lluK\n", o->cpus, (unsigned long long)o->memory >> 10);
	print_nodes(o);
	print_lists(o);
	printf("virtio-transport = %s\n", o->virtio_mmio ? "mmio" : "pci");
	if (o->rng)
		puts("rng = yes");
	if (o->balloon)
		puts("balloon = yes");
	if (o->vsock_cid)
		printf("vsock = %u\n", o->vsock_cid);
	printf("console = %s\nctrl-c = %s\n", consoles[o->console],
	       o->ctrl_c_power ? "power" : "guest");
	if (o->control)
		printf("control = %s\n", o->control);
	printf("user = %s\nno-reboot = %s\nno-sandbox = %s\nverbose = %s\n", o->user,
	       o->no_reboot ? "yes" : "no", o->no_sandbox ? "yes" : "no",
	       o->verbose ? "yes" : "no");
}
