// SPDX-License-Identifier: GPL-2.0-only
/*
 * samples: what a reader tries first: the VMM in the README, samples/hello.c, 'runvm hello'.
 * What they print has to be what the documentation says, to the letter.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })
#define NO_ARGS		((const char *const[]){ NULL })

static struct launch l;

static void expect_output(const char *program, const char *text)
{
	launch_program = program;
	EXPECT_EQ(launch_all(&l, NO_ARGS), 0);
	EXPECT(!strcmp(l.out.text, text) && !*l.err.text, "'%s', '%s'", l.out.text, l.err.text);
}

TEST(readme)
{
	expect_output("hi", "Hi\n");
}

TEST(hello)
{
	expect_output("hello", "Hello from a guest of hvx.\n");
}

static void become_nobody(void)
{
	if (setgid(65534) || setuid(65534))
		_exit(126);
}

/* Where the device cannot be opened each says so, by its status at least */
TEST(no_permission)
{
	launch_prepare = become_nobody;
	launch_program = "hi";
	EXPECT_EQ(launch_all(&l, NO_ARGS), 1);
	EXPECT(!*l.out.text, "'%s'", l.out.text);
	launch_program = "hello";
	EXPECT_EQ(launch_all(&l, NO_ARGS), 1);
	EXPECT(!strcmp(l.err.text, "hello: /dev/hvx: Permission denied\n") && !*l.out.text,
	       "'%s', '%s'", l.out.text, l.err.text);
}

/* ----------------------------------------------------------------------- runvm hello */

TEST(runvm_hello)
{
	EXPECT_EQ(launch_all(&l, ARGS("hello")), 0);
	EXPECT(!*l.err.text, "'%s'", l.err.text);
	EXPECT(strstr(l.out.text, "\n  EFER        "), "'%s'", l.out.text);
	EXPECT(strstr(l.out.text, " LMA"), "'%s'", l.out.text);
	EXPECT(strstr(l.out.text, "  memory      16 MiB, every page tried\n"), "'%s'", l.out.text);
}

TEST(runvm_hello_memory)
{
	EXPECT_EQ(launch_all(&l, ARGS("hello", "--memory", "3M")), 0);
	EXPECT(strstr(l.out.text, "  memory      3 MiB, every page tried\n"), "'%s'", l.out.text);
	/* As 'runvm run' takes it */
	EXPECT_EQ(launch_all(&l, ARGS("hello", "-m", "3")), 0);
	EXPECT(strstr(l.out.text, "  memory      3 MiB, every page tried\n"), "'%s'", l.out.text);
	EXPECT_EQ(launch_all(&l, ARGS("hello", "-m", "4097K")), 2);
	EXPECT(strstr(l.err.text, "'4097K': memory comes in pages of 4 KiB"), "'%s'", l.err.text);
}

TEST(runvm_hello_arguments)
{
	EXPECT_EQ(launch_all(&l, ARGS("hello", "-m", "1M")), 2);
	EXPECT(!strcmp(l.err.text, "runvm: '1M' is out of bounds: 2M to 1024M\n"), "'%s'",
	       l.err.text);
	EXPECT_EQ(launch_all(&l, ARGS("hello", "world")), 2);
	EXPECT(!strcmp(l.err.text, "runvm: hello takes no 'world'\n"), "'%s'", l.err.text);
	EXPECT(!*l.out.text, "'%s'", l.out.text);
}
