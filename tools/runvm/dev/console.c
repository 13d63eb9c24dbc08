// SPDX-License-Identifier: GPL-2.0-only
/*
 * console.c: the terminal, or whatever standard input and output are.
 *
 * Output goes through a ring that a thread of its own empties, so that a vCPU never waits in a
 * write() for somebody to read. When the ring is full it waits a little; after that, what it writes
 * is lost until there is room again.
 *
 * Input is read by the main thread, when the reader (serial port, virtio console) has room. A
 * terminal is in raw mode while the guest runs, all keys but the escape key are the guest's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "dev.h"

#define RING_SIZE	(64 * 1024)
#define STALL_SECONDS	1	/* how long a vCPU waits for room, and the end for the last words */
#define ESCAPE		('a' & 0x1f)
#define CTRL_C		('c' & 0x1f)

struct console {
	struct machine *machine;
	struct device device;
	bool on;			/* --console none: nothing is read or written */

	pthread_mutex_t lock;		/* the ring */
	pthread_cond_t filled, emptied;
	char ring[RING_SIZE];
	size_t head, used;
	bool stalled;			/* waited in vain */
	bool thread_on;

	/* main thread */
	console_reader *reader;
	void *opaque;
	int pull_fd;			/* eventfd: the reader has room */
	char input[256];
	size_t input_len;
	bool always_ready;		/* a file, which epoll does not take */
	bool eof;
	bool escaped;			/* the escape key was hit */
};

/* --------------------------------------------------------------------- terminal mode */

/* For handlers of signals and exit(), which get no argument */
static struct termios saved;
static volatile sig_atomic_t raw;

static void restore_terminal(void)
{
	if (!raw)
		return;
	raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void restore_and_die(int signal)
{
	restore_terminal();
	raise(signal);		/* SA_RESETHAND: this time it kills */
}

static void restore_at_every_end(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT };
	struct sigaction action = {
		.sa_handler = restore_and_die, .sa_flags = SA_RESETHAND | SA_NODEFER,
	};
	unsigned int i;

	atexit(restore_terminal);
	for (i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &action, NULL);
}

/* Output stays processed: lines of runvm itself are to begin at the left */
static void make_raw(void)
{
	struct termios t = saved;

	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static bool own_terminal(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void take_terminal(void)
{
	if (!own_terminal() || tcgetattr(STDIN_FILENO, &saved))
		return;
	restore_at_every_end();
	make_raw();
	fputs("runvm: Ctrl-A x leaves, Ctrl-A h helps\n", stderr);
}

void console_continue(struct machine *m)
{
	if (raw && own_terminal())
		make_raw();
}

/* ---------------------------------------------------------------------------- output */

static struct timespec in_seconds(unsigned int seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	return t;
}

/* False: no room came */
static bool wait_for_room(struct console *c)
{
	const struct timespec until = in_seconds(STALL_SECONDS);

	while (c->used == RING_SIZE && !c->stalled)
		if (pthread_cond_timedwait(&c->emptied, &c->lock, &until) == ETIMEDOUT)
			c->stalled = true;
	return c->used < RING_SIZE;
}

void console_write(struct machine *m, const void *data, size_t len)
{
	struct console *c = m->console;
	const char *p = data;

	if (!c->on)
		return;
	pthread_mutex_lock(&c->lock);
	while (len && wait_for_room(c)) {
		if (!c->used)
			pthread_cond_signal(&c->filled);
		c->ring[(c->head + c->used) % RING_SIZE] = *p++;
		c->used++;
		len--;
	}
	pthread_mutex_unlock(&c->lock);
}

static void write_all(const char *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(STDOUT_FILENO, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;		/* nobody reads any more: the guest need not know */
		p += n;
		len -= n;
	}
}

/* The part of the ring that is written stays used until it is, for the others it is not there */
static void *write_output(void *opaque)
{
	struct console *c = opaque;
	size_t len;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->used)
			pthread_cond_wait(&c->filled, &c->lock);
		len = c->used < RING_SIZE - c->head ? c->used : RING_SIZE - c->head;
		pthread_mutex_unlock(&c->lock);
		write_all(c->ring + c->head, len);
		pthread_mutex_lock(&c->lock);
		c->head = (c->head + len) % RING_SIZE;
		c->used -= len;
		c->stalled = false;
		pthread_cond_broadcast(&c->emptied);
	}
	return NULL;
}

static void flush(struct console *c)
{
	const struct timespec until = in_seconds(STALL_SECONDS);

	pthread_mutex_lock(&c->lock);
	while (c->used)
		if (pthread_cond_timedwait(&c->emptied, &c->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&c->lock);
}

/* ----------------------------------------------------------------------------- input */

static void help(void)
{
	fputs("\nrunvm: Ctrl-A and then\n"
	      "  x       leaves: the guest is gone at once\n"
	      "  p       presses the power button\n"
	      "  h       shows this\n"
	      "  Ctrl-A  sends Ctrl-A to the guest\n", stderr);
}

/* The key after the escape key. True: it is for the guest. */
static bool take_command(struct console *c, char key)
{
	switch (key) {
	case ESCAPE:
		return true;
	case 'x':
		machine_end(c->machine, FATE_QUIT, 0);
		break;
	case 'p':
		machine_press_power(c->machine);
		break;
	case 'h':
	case '?':
		help();
		break;
	}
	return false;
}

/* What remains for the guest, in place */
static size_t filter_keys(struct console *c, char *keys, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (c->escaped) {
			c->escaped = false;
			if (take_command(c, keys[i]))
				keys[n++] = keys[i];
		} else if (keys[i] == ESCAPE) {
			c->escaped = true;
		} else if (keys[i] == CTRL_C && c->machine->options->ctrl_c_power) {
			/* Not by the terminal: it would signal whoever reads the output, too */
			machine_take_signal(c->machine, SIGINT);
		} else {
			keys[n++] = keys[i];
		}
	}
	return n;
}

/* Keys of a terminal are always read, so that the escape key works: what has no room is lost */
static void read_input(struct console *c)
{
	size_t room = sizeof(c->input) - c->input_len;
	char keys[sizeof(c->input)];
	ssize_t n;

	n = read(STDIN_FILENO, keys, raw ? sizeof(keys) : room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		c->eof = true;
		return;
	}
	if (raw)
		n = filter_keys(c, keys, n);
	if ((size_t)n > room)
		n = room;
	memcpy(c->input + c->input_len, keys, n);
	c->input_len += n;
}

static void offer_input(struct console *c)
{
	size_t n = c->input_len;

	if (c->reader && n)
		n = c->reader(c->opaque, c->input, n);
	c->input_len -= n;
	memmove(c->input, c->input + n, c->input_len);
}

static void pump(struct console *c);

static void input_ready(void *opaque, uint32_t events)
{
	struct console *c = opaque;

	read_input(c);
	pump(c);
}

/* Gives the reader what there is, then waits for it or for more input, whichever lacks */
static void pump(struct console *c)
{
	offer_input(c);
	while (c->always_ready && !c->eof && !c->input_len) {
		read_input(c);
		offer_input(c);
	}
	if (c->always_ready)
		return;
	if (c->eof || (c->input_len && !raw))
		loop_remove(c->machine, STDIN_FILENO);
	else if (loop_try_add(c->machine, STDIN_FILENO, EPOLLIN, input_ready, c))
		c->always_ready = true;
}

static void pull(void *opaque, uint32_t events)
{
	struct console *c = opaque;
	uint64_t count;

	if (read(c->pull_fd, &count, sizeof(count)) > 0)
		pump(c);
}

void console_pull(struct machine *m)
{
	uint64_t one = 1;
	ssize_t n;

	/* It fails only when it has been said 2^64 times already */
	n = write(m->console->pull_fd, &one, sizeof(one));
	(void)n;
}

void console_set_reader(struct machine *m, console_reader *reader, void *opaque)
{
	m->console->reader = reader;
	m->console->opaque = opaque;
	console_pull(m);
}

/* --------------------------------------------------------------------------- its life */

static struct console *console_of(struct device *dev)
{
	return (struct console *)((char *)dev - offsetof(struct console, device));
}

static void start(struct device *dev)
{
	struct console *c = console_of(dev);
	pthread_t thread;
	int error;

	if (!c->on)
		return;
	signal(SIGTTIN, SIG_IGN);	/* in the background there is just no input */
	signal(SIGTTOU, SIG_IGN);
	error = pthread_create(&thread, NULL, write_output, c);
	if (error)
		die("cannot start a thread for the console: %s", strerror(error));
	pthread_setname_np(thread, "console");
	pthread_detach(thread);
	c->thread_on = true;
	take_terminal();
	console_pull(c->machine);
}

/* The thread may be in a write() that never ends: it goes with the process */
static void close_console(struct device *dev)
{
	struct console *c = console_of(dev);

	if (c->thread_on)
		flush(c);
	restore_terminal();
}

void console_create(struct machine *m)
{
	struct console *c = dev_alloc(sizeof(*c));

	c->machine = m;
	c->on = m->options->console != CONSOLE_NONE;
	c->device = (struct device){ .name = "console", .start = start, .close = close_console };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->filled, NULL);
	pthread_cond_init(&c->emptied, NULL);
	c->pull_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->pull_fd < 0)
		die("cannot create an eventfd: %s", strerror(errno));
	if (c->on)
		loop_add(m, c->pull_fd, EPOLLIN, pull, c);
	m->console = c;
	machine_add_device(m, &c->device);
}
