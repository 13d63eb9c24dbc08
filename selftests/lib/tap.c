// SPDX-License-Identifier: GPL-2.0-only
/*
 * tap.c: runs the tests of a program one after the other, each in a child process, and reports in
 * TAP. Arguments are globs of the tests to run; none means all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tap.h"

/* What a test tells the process that reports; shared with it. */
struct tap_result {
	unsigned int failures;
	char skip[160];
};

static struct tap_test *first;
static struct tap_result *result;

/* Constructors run in whatever order the linker likes: the order is that of the file. */
void tap_register(struct tap_test *test)
{
	struct tap_test **at = &first;

	while (*at && (*at)->line < test->line)
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

unsigned int tap_scale(void)
{
	const char *s = getenv("HVX_TIMEOUT_SCALE");
	int scale = s ? atoi(s) : 1;

	return scale > 0 ? scale : 1;
}

unsigned int tap_failures(void)
{
	return result->failures;
}

static void print(const char *head, const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	/* One call: tests have threads. */
	printf("# %s%s\n", head, line);
	fflush(stdout);
}

void tap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print("", fmt, ap);
	va_end(ap);
}

bool tap_failed(const char *file, int line, const char *what, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char head[256];
	va_list ap;

	__atomic_fetch_add(&result->failures, 1, __ATOMIC_RELAXED);
	snprintf(head, sizeof(head), "%s:%d: %s:", base ? base + 1 : file, line, what);
	va_start(ap, fmt);
	print(head, fmt, ap);
	va_end(ap);
	return false;
}

static void (*at_end)(void);

void tap_at_end(void (*fn)(void))
{
	at_end = fn;
}

/* Not by exit(): what main() may have registered is main()'s */
static void __attribute__((noreturn)) end(int status)
{
	void (*fn)(void) = at_end;

	/* It may end the test itself */
	at_end = NULL;
	if (fn)
		fn();
	fflush(stdout);
	_exit(status);
}

void tap_abort(void)
{
	__atomic_fetch_add(&result->failures, 1, __ATOMIC_RELAXED);
	end(TAP_FAIL);
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(result->skip, sizeof(result->skip), fmt, ap);
	va_end(ap);
	end(result->failures ? TAP_FAIL : TAP_SKIP);
}

/* Say where, then let the signal have its usual effect when the instruction is tried again. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *c = context;
	char text[120];
	int len;

	len = snprintf(text, sizeof(text), "# signal %d, code %d: address %p, instruction %#llx\n",
		       sig, info->si_code, info->si_addr,
		       (unsigned long long)c->uc_mcontext.gregs[REG_RIP]);
	if (write(STDOUT_FILENO, text, len) != len)
		_exit(TAP_FAIL);
}

static void report_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_RESETHAND };
	unsigned int i;

	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &sa, NULL);
}

static void child(struct tap_test *test)
{
	unsigned int seconds = test->seconds * tap_scale();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	report_crashes();
	alarm(seconds);
	test->fn();
	end(result->failures ? TAP_FAIL : TAP_PASS);
}

static int run(struct tap_test *test, unsigned int nr)
{
	int status, code;
	pid_t pid;

	memset(result, 0, sizeof(*result));
	fflush(stdout);
	pid = fork();
	if (!pid)
		child(test);
	if (pid < 0) {
		printf("not ok %u %s # fork: %s\n", nr, test->name, strerror(errno));
		return TAP_FAIL;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("not ok %u %s # time limit\n", nr, test->name);
	else if (WIFSIGNALED(status))
		printf("not ok %u %s # signal %d\n", nr, test->name, WTERMSIG(status));
	else if (code == TAP_SKIP && !result->failures)
		printf("ok %u %s # SKIP %s\n", nr, test->name, result->skip);
	else if (code == TAP_PASS && !result->failures)
		printf("ok %u %s\n", nr, test->name);
	else
		printf("not ok %u %s\n", nr, test->name);
	fflush(stdout);
	if (result->failures || (code != TAP_SKIP && code != TAP_PASS))
		return TAP_FAIL;
	return code;
}

static bool chosen(const struct tap_test *test, char **globs)
{
	if (!*globs)
		return true;
	for (; *globs; globs++) {
		if (!fnmatch(*globs, test->name, 0))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	unsigned int nr = 0, count[TAP_SKIP + 1] = { 0 };
	struct tap_test *test;

	(void)argc;
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED)
		return TAP_FAIL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (test = first; test; test = test->next)
		nr += chosen(test, argv + 1);
	printf("TAP version 13\n1..%u\n", nr);
	nr = 0;
	for (test = first; test; test = test->next) {
		if (chosen(test, argv + 1))
			count[run(test, ++nr)]++;
	}
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:0\n",
	       count[TAP_PASS], count[TAP_FAIL], count[TAP_SKIP]);
	if (count[TAP_FAIL] || !nr)
		return TAP_FAIL;
	return count[TAP_PASS] ? TAP_PASS : TAP_SKIP;
}
