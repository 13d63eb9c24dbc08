// SPDX-License-Identifier: GPL-2.0-only
/*
 * control.c: commands by a UNIX stream socket, a line of JSON each (Documentation/runvm.md).
 *
 * All of it happens in the main thread. Clients are those whom the socket's permissions let in, but
 * what they send is checked all the same, and one that does not read its answers is hung up on.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/names.h"
#include "machine.h"

#define MAX_CLIENTS	16
#define MAX_LINE	4096

struct control;

struct client {
	struct control *control;
	int fd;			/* -1: free */
	size_t len;
	char line[MAX_LINE];
};

struct control {
	struct machine *machine;
	struct device device;
	int fd;
	struct client clients[MAX_CLIENTS];
};

/* -------------------------------------------------------------------------- commands */

static json_t *refuse(const char *why)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

/* Who is paused and asleep says that it is paused: nothing wakes it before it is resumed */
static const char *state(struct machine *m)
{
	if (!machine_is_running(m))
		return "paused";
	return machine_is_asleep(m) ? "asleep" : "running";
}

static json_t *status(struct machine *m, json_t *none)
{
	json_int_t exits = 0;
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++)
		exits += m->vcpus[i].run->exits;
	return json_pack("{s:b, s:s, s:s, s:i, s:I, s:i, s:I, s:i}", "ok", 1, "name",
			 m->options->name, "state", state(m), "cpus", m->nr_vcpus, "memory",
			 (json_int_t)m->vm.mem_size, "resets", machine_resets(m), "exits", exits,
			 "pid", (int)getpid());
}

static json_t *wake(struct machine *m, json_t *none)
{
	if (!machine_wake(m))
		return refuse("the guest is not asleep");
	return json_pack("{s:b}", "ok", 1);
}

static void reset(struct machine *m)
{
	machine_end(m, FATE_RESET, 0);
}

static void quit(struct machine *m)
{
	machine_end(m, FATE_QUIT, 0);
}

static json_t *statistics(const struct balloon_info *info)
{
	json_t *stats = json_pack("{s:I}", "age", (json_int_t)info->age);
	unsigned int i;

	/* What does not fit is nothing that a guest can have of memory */
	for (i = 0; i < info->nr_stats; i++)
		if (info->stat[i].value <= INT64_MAX)
			json_object_set_new(stats, info->stat[i].name,
					    json_integer(info->stat[i].value));
	return stats;
}

static json_t *set_balloon(struct machine *m, json_t *target)
{
	json_int_t bytes = json_integer_value(target);
	char why[128];

	if (json_is_integer(target) && bytes >= (json_int_t)MIN_MEMORY &&
	    bytes <= (json_int_t)m->vm.mem_size) {
		balloon_set_target(m, bytes);
		return json_pack("{s:b}", "ok", 1);
	}
	snprintf(why, sizeof(why),
		 "the target is a number of bytes from %llu to %llu, all the guest's memory",
		 MIN_MEMORY, (unsigned long long)m->vm.mem_size);
	return refuse(why);
}

static json_t *balloon(struct machine *m, json_t *target)
{
	struct balloon_info info;
	json_t *reply;

	if (!m->balloon)
		return refuse("the guest was started without --balloon");
	if (target)
		return set_balloon(m, target);
	balloon_query(m, &info);
	reply = json_pack("{s:b, s:I, s:I, s:I, s:b, s:I}", "ok", 1, "memory",
			  (json_int_t)m->vm.mem_size, "target", (json_int_t)info.target, "actual",
			  (json_int_t)info.actual, "driver", info.driver, "reported",
			  (json_int_t)info.reported);
	if (info.age >= 0)
		json_object_set_new(reply, "statistics", statistics(&info));
	return reply;
}

static const struct order {
	const char *name;
	void (*run)(struct machine *m);
	/* Instead, for what has an answer of its own; @value of @member, NULL if it is not there */
	json_t *(*reply)(struct machine *m, json_t *value);
	const char *member;
} commands[] = {
	{ "status", .reply = status },
	{ "pause", machine_pause },
	{ "resume", machine_resume },
	{ "power", machine_press_power },
	{ "sleep", machine_press_sleep },
	{ "wake", .reply = wake },
	{ "reset", reset },
	{ "quit", quit },
	{ "balloon", .reply = balloon, .member = "target" },
};

static json_t *carry_out(struct machine *m, const struct order *c, json_t *request)
{
	json_t *value = c->member ? json_object_get(request, c->member) : NULL;
	char why[128];

	if (json_object_size(request) != (value ? 2 : 1)) {
		snprintf(why, sizeof(why), "%s has no other member than 'command'%s%s", c->name,
			 c->member ? " and " : "", c->member ? c->member : "");
		return refuse(why);
	}
	if (c->reply)
		return c->reply(m, value);
	c->run(m);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *look_up(struct machine *m, const char *name, json_t *request)
{
	static const char none[] =
		"no such command: status, pause, resume, power, sleep, wake, reset, quit, balloon";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return carry_out(m, &commands[i], request);
	return refuse(none);
}

static json_t *answer(struct machine *m, const char *line, size_t len)
{
	json_t *request, *reply, *name;
	json_error_t error;

	request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!request)
		return refuse(error.text);
	name = json_object_get(request, "command");
	if (json_is_string(name))
		reply = look_up(m, json_string_value(name), request);
	else
		reply = refuse("an object with a string 'command' is needed");
	json_decref(request);
	return reply;
}

/* --------------------------------------------------------------------------- clients */

static void hang_up(struct client *c)
{
	loop_remove(c->control->machine, c->fd);
	close(c->fd);
	c->fd = -1;
}

/* False: the client is gone */
static bool send_reply(struct client *c, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	size_t len;
	bool sent;

	if (!text)
		die("not enough memory");
	len = strlen(text);
	text[len] = '\n';	/* in place of the NUL: it is sent by its length */
	sent = send(c->fd, text, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len + 1;
	free(text);
	json_decref(reply);
	return sent;
}

static bool take_lines(struct client *c)
{
	char *end;

	while ((end = memchr(c->line, '\n', c->len))) {
		if (!send_reply(c, answer(c->control->machine, c->line, end - c->line)))
			return false;
		c->len -= end + 1 - c->line;
		memmove(c->line, end + 1, c->len);
	}
	if (c->len < MAX_LINE)
		return true;
	send_reply(c, refuse("the line is too long"));
	return false;
}

static void client_ready(void *opaque, uint32_t events)
{
	struct client *c = opaque;
	ssize_t n;

	n = read(c->fd, c->line + c->len, MAX_LINE - c->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->len += n;
	if (n <= 0 || !take_lines(c))
		hang_up(c);
}

static void accept_client(void *opaque, uint32_t events)
{
	struct control *ctl = opaque;
	struct client *c;
	int fd;

	fd = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (c = ctl->clients; c < ctl->clients + MAX_CLIENTS; c++) {
		if (c->fd >= 0)
			continue;
		c->fd = fd;
		c->len = 0;
		loop_add(ctl->machine, fd, EPOLLIN, client_ready, c);
		return;
	}
	close(fd);
}

/* -------------------------------------------------------------------------- its life */

/* A socket that nobody listens at is what an earlier runvm has left */
static bool is_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_socket(int fd, const struct sockaddr_un *addr)
{
	mode_t mask = umask(0177);
	int error = 0;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		error = errno;
	if (error == EADDRINUSE && is_stale(addr) && !unlink(addr->sun_path))
		error = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	umask(mask);
	return error;
}

static void set_address(struct sockaddr_un *addr, const char *path)
{
	if (strlen(path) >= sizeof(addr->sun_path))
		die("control socket %s: the path has more than %zu characters", path,
		    sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
}

/* Whether a file of this name could be made in its directory. It is not: others may look there. */
static int try_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
	int error = 0;
	struct stat st;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (!lstat(path, &st))
		error = EADDRINUSE;
	else if (errno != ENOENT || faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS))
		error = errno;
	return error;
}

static void die_of(int error, const char *path, const char *why_in_use)
{
	die("control socket %s: %s", path, error == EADDRINUSE ? why_in_use : strerror(error));
}

/* What open_socket() would die of */
static void try_socket(const char *path, const char *why_in_use)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int error;

	set_address(&addr, path);
	error = is_stale(&addr) ? 0 : try_file(path);
	if (error)
		die_of(error, path, why_in_use);
}

static int open_socket(const char *path, const char *why_in_use)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, error;

	set_address(&addr, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("control socket: %s", strerror(errno));
	error = bind_socket(fd, &addr);
	if (!error && listen(fd, MAX_CLIENTS))
		error = errno;
	if (error)
		die_of(error, path, why_in_use);
	return fd;
}

static int open_or_try(const char *path, const char *why_in_use, bool dry_run)
{
	if (!dry_run)
		return open_socket(path, why_in_use);
	try_socket(path, why_in_use);
	return -1;
}

/* -1: there is no place for it, or it was only tried */
static int open_named_socket(const char *name, bool dry_run)
{
	int lock, fd;
	char *path = control_path_make(name, dry_run, &lock);

	if (!path)
		return -1;
	fd = open_or_try(path, "a guest of this name is running", dry_run);
	close(lock);
	free(path);
	return fd;
}

/* The socket's name stays: removing files is nothing that the sandbox allows */
static void close_control(struct device *dev)
{
	struct control *ctl = (struct control *)((char *)dev - offsetof(struct control, device));
	struct client *c;

	for (c = ctl->clients; c < ctl->clients + MAX_CLIENTS; c++)
		if (c->fd >= 0)
			hang_up(c);
	close(ctl->fd);
	free(ctl);
}

void control_create(struct machine *m)
{
	const struct options *o = m->options;
	struct control *ctl;
	struct client *c;
	int fd = -1;

	if (o->control)
		fd = open_or_try(o->control, "there is something already", o->dry_run);
	else if (o->named)
		fd = open_named_socket(o->name, o->dry_run);
	if (fd < 0)
		return;
	ctl = calloc(1, sizeof(*ctl));
	if (!ctl)
		die("not enough memory");
	json_object_seed(0);	/* jansson would open /dev/urandom for that later */
	ctl->machine = m;
	ctl->device = (struct device){ .name = "control", .close = close_control };
	for (c = ctl->clients; c < ctl->clients + MAX_CLIENTS; c++)
		*c = (struct client){ .control = ctl, .fd = -1 };
	ctl->fd = fd;
	loop_add(m, ctl->fd, EPOLLIN, accept_client, ctl);
	machine_add_device(m, &ctl->device);
}
