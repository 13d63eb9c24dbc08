/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * launch.h: runvm as a child, with its terminal or pipes in the test's hands.
 *
 * Standard output and standard error are kept apart and whole; times are in seconds, before
 * tap_scale().
 */
#ifndef HVX_TEST_LAUNCH_H
#define HVX_TEST_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum launch_stdin {
	LAUNCH_NULL,		/* /dev/null */
	LAUNCH_PIPE,
	LAUNCH_TTY,		/* standard input and output are a terminal */
};

struct launch_text {
	int fd;
	size_t len;
	char text[32768];	/* always ends with NUL */
};

struct launch {
	pid_t pid;
	int in;			/* -1 for LAUNCH_NULL */
	struct launch_text out, err;
};

#define LAUNCH_MAX_ARGS	40

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Starts 'runvm ARG...'; the list ends with NULL. Skips the test where there is no runvm. */
void launch(struct launch *l, enum launch_stdin in, const char *const *args);
/* Waits until @text has been written to standard output, or error */
bool launch_out(struct launch *l, const char *text, unsigned int seconds);
bool launch_err(struct launch *l, const char *text, unsigned int seconds);
void launch_type(struct launch *l, const char *keys);
/* Waits for the end; the exit status, 1000 + signal, or -1 when it had to be killed */
int launch_end(struct launch *l, unsigned int seconds);
/* Starts, waits for the end */
int launch_all(struct launch *l, const char *const *args);

/* What the child does before it becomes runvm; NULL: nothing. Each test begins without. */
extern void (*launch_prepare)(void);
/* Another program next to runvm that it becomes instead; each test begins with "runvm" */
extern const char *launch_program;

/* A file of its own for each name, in a directory that goes with the host */
const char *launch_file(const char *name, const void *data, size_t len);

#endif
