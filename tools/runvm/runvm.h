/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * runvm: start virtual machines on hvx.
 *
 *	main.c		command line, the list of commands
 *	cmd_*.c		one command each
 *	options.c	what 'runvm run' was asked for; options_file.c: in a file;
 *			options_nodes.c: NUMA nodes, affinity
 *	vm.c		the ABI of /dev/hvx, with failures in words
 *	machine.h	the virtual PC and its rooms, one folder each
 *	guest/		guest programs that are built in
 */
#ifndef RUNVM_H
#define RUNVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* How runvm ends, unless a guest says otherwise */
#define STATUS_FAILED	1
#define STATUS_USAGE	2
/* 'runvm run'; even, because debug ports end with odd ones */
#define STATUS_PANIC		4
#define STATUS_TRIPLE_FAULT	6
#define STATUS_RESET		8
#define STATUS_ERROR		10
#define STATUS_QUIT		12

struct command {
	const char *name;
	const char *args;
	const char *help;
	int (*run)(int argc, char **argv);	/* argv[0] is the command's name */
};

int cmd_run(int argc, char **argv);
int cmd_control(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_hello(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* One line to standard error */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, then the end */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void usage_error(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/*
 * A number of MiB, or a number with a suffix K, M or G, in bytes; a usage error when it is none or
 * out of bounds.
 */
uint64_t parse_size(const char *text, uint64_t min, uint64_t max);

/* Of guests that 'runvm run' starts */
#define MIN_MEMORY	(1ULL << 20)
#define MAX_MEMORY	(1ULL << 40)

#endif
