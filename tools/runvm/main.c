// SPDX-License-Identifier: GPL-2.0-only
/* main.c: the command line of runvm. */
#include <ctype.h>
#include <errno.h>
#include <linux/hvx.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runvm.h"

static const struct command commands[] = {
	{ "run", "-k KERNEL [...]", "start a guest (runvm run --help lists the options)", cmd_run },
	{ "hello", "[--memory SIZE]",
	  "start a small 64-bit guest that greets and describes its CPU", cmd_hello },
	{ "doctor", "", "say whether this host can run guests, and what to do if not", cmd_doctor },
	{ "status", "GUEST", "say how a guest that was started with --name does", cmd_control },
	{ "pause", "GUEST", "stop its vCPUs", cmd_control },
	{ "resume", "GUEST", "let them go on", cmd_control },
	{ "power", "GUEST", "press its power button", cmd_control },
	{ "sleep", "GUEST", "press its sleep button", cmd_control },
	{ "wake", "GUEST", "wake it from suspend-to-RAM", cmd_control },
	{ "reset", "GUEST", "reset it", cmd_control },
	{ "quit", "GUEST", "end it at once", cmd_control },
	{ "balloon", "GUEST [SIZE]", "say what memory it has, or what it shall have",
	  cmd_balloon },
};

static void complain(const char *format, va_list args)
{
	fflush(stdout);
	fputs("runvm: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	exit(STATUS_FAILED);
}

void usage_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	exit(STATUS_USAGE);
}

static unsigned int shift_of(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	}
	return 0;
}

uint64_t parse_size(const char *text, uint64_t min, uint64_t max)
{
	unsigned long long n;
	unsigned int shift;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	shift = shift_of(*end ? *end : 'M');
	if (!isdigit(*text) || errno || !shift || (*end && end[1]))
		usage_error("'%s' is not a size: a number of MiB, or a number with K, M or G",
			    text);
	if (n > max >> shift || n << shift < min)
		usage_error("'%s' is out of bounds: %lluM to %lluM", text,
			    (unsigned long long)min >> 20, (unsigned long long)max >> 20);
	return n << shift;
}

static void print_help(FILE *to)
{
	unsigned int i;

	fputs("runvm starts virtual machines on hvx.\n\n", to);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  runvm %-8s%-17s %s\n", commands[i].name, commands[i].args,
			commands[i].help);
	fputs("  runvm --help, runvm --version\n\n"
	      "Exit status: 1 for a failure, 2 for wrong arguments; of guests see runvm(1).\n", to);
}

static const struct command *find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout))
		die("standard output: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(stdout);
		return finish(0);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("runvm %s (ABI %d)\n", RUNVM_VERSION, HVX_API_VERSION);
		return finish(0);
	}
	command = find(argv[1]);
	if (!command)
		usage_error("no command '%s' (runvm --help lists them)", argv[1]);
	return finish(command->run(argc - 1, argv + 1));
}
