// SPDX-License-Identifier: GPL-2.0-only
/* launch.c: runvm as a child (launch.h). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

void (*launch_prepare)(void);
const char *launch_program = "runvm";

/* As a shell would search for it: the tests' own folder is not in PATH everywhere */
static const char *find_program(void)
{
	static const char *const places[] = { "/hvx/bin", "/usr/local/bin", "/usr/bin" };
	static char path[128];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], launch_program);
		if (!access(path, X_OK))
			return path;
	}
	SKIP("%s is not installed", launch_program);
}

static void make_pipe(int *read_end, int *write_end)
{
	int fds[2];

	REQUIRE(!pipe2(fds, O_CLOEXEC));
	*read_end = fds[0];
	*write_end = fds[1];
}

/* Returns the terminal's far end, which the child gets */
static int make_tty(int *near)
{
	int far;

	*near = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	REQUIRE(*near >= 0 && !grantpt(*near) && !unlockpt(*near));
	far = open(ptsname(*near), O_RDWR | O_NOCTTY | O_CLOEXEC);
	REQUIRE(far >= 0);
	return far;
}

static void become_runvm(const char *program, int in, int out, int err, bool tty,
			 const char *const *args)
{
	const char *argv[LAUNCH_MAX_ARGS + 2] = { launch_program };
	unsigned int n = 0;

	while (args[n] && n < LAUNCH_MAX_ARGS) {
		argv[n + 1] = args[n];
		n++;
	}
	if (tty) {
		setsid();
		ioctl(in, TIOCSCTTY, 0);
	}
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	if (launch_prepare)
		launch_prepare();
	execv(program, (char *const *)argv);
	_exit(127);
}

void launch(struct launch *l, enum launch_stdin kind, const char *const *args)
{
	const char *program = find_program();
	int in, out, err;

	*l = (struct launch){ .in = -1 };
	make_pipe(&l->err.fd, &err);
	if (kind == LAUNCH_TTY) {
		in = make_tty(&l->in);
		out = in;
		l->out.fd = l->in;
	} else {
		make_pipe(&l->out.fd, &out);
		if (kind == LAUNCH_PIPE)
			make_pipe(&in, &l->in);
		else
			in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	l->pid = fork();
	REQUIRE(l->pid >= 0);
	if (!l->pid)
		become_runvm(program, in, out, err, kind == LAUNCH_TTY, args);
	close(in);
	if (out != in)
		close(out);
	close(err);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* What is more than there is room for is read and forgotten */
static void collect(struct launch_text *t)
{
	size_t room = sizeof(t->text) - 1 - t->len;
	char waste[512];
	ssize_t n;

	n = room ? read(t->fd, t->text + t->len, room) : read(t->fd, waste, sizeof(waste));
	if (n <= 0)
		t->fd = -1;
	else if (room)
		t->len += n;
}

/* Reads what comes until @until; false when both ends are closed or nothing came */
static bool collect_some(struct launch *l, double until)
{
	struct pollfd fds[2] = {
		{ .fd = l->out.fd, .events = POLLIN }, { .fd = l->err.fd, .events = POLLIN },
	};
	int ms = (until - now()) * 1000;

	if ((l->out.fd < 0 && l->err.fd < 0) || poll(fds, 2, ms > 0 ? ms : 0) <= 0)
		return false;
	if (fds[0].revents)
		collect(&l->out);
	if (fds[1].revents)
		collect(&l->err);
	return true;
}

static bool wait_for(struct launch *l, struct launch_text *t, const char *text,
		     unsigned int seconds)
{
	double until = now() + seconds * tap_scale();

	while (!memmem(t->text, t->len, text, strlen(text)))
		if (!collect_some(l, until))
			return EXPECT(false, "'%s' did not come; output '%s', errors '%s'", text,
				      l->out.text, l->err.text);
	return true;
}

bool launch_out(struct launch *l, const char *text, unsigned int seconds)
{
	return wait_for(l, &l->out, text, seconds);
}

bool launch_err(struct launch *l, const char *text, unsigned int seconds)
{
	return wait_for(l, &l->err, text, seconds);
}

void launch_type(struct launch *l, const char *keys)
{
	size_t len = strlen(keys);

	EXPECT(write(l->in, keys, len) == (ssize_t)len);
}

int launch_end(struct launch *l, unsigned int seconds)
{
	double until = now() + seconds * tap_scale();
	int status;
	pid_t done;

	for (;;) {
		done = waitpid(l->pid, &status, WNOHANG);
		if (done)
			break;
		if (now() > until) {
			kill(l->pid, SIGKILL);
			waitpid(l->pid, &status, 0);
			while (collect_some(l, now()))
				;
			(void)EXPECT(false, "%s did not end; output '%s', errors '%s'",
				     launch_program, l->out.text, l->err.text);
			return -1;
		}
		if (!collect_some(l, now() + 0.02))
			usleep(5000);
	}
	while (collect_some(l, now()))
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int launch_all(struct launch *l, const char *const *args)
{
	launch(l, LAUNCH_NULL, args);
	return launch_end(l, 10);
}

const char *launch_file(const char *name, const void *data, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/tmp/launch.%d.%s", getpid(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	REQUIRE(fd >= 0 && write(fd, data, len) == (ssize_t)len, "cannot write %s", path);
	close(fd);
	return strdup(path);
}
