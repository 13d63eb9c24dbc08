// SPDX-License-Identifier: GPL-2.0-only
/*
 * net_user.c: a network behind the host's sockets. libslirp answers the guest as a router at
 * 10.0.2.2 that gives addresses out by DHCP and turns connections into sockets of runvm's own.
 *
 * libslirp has a thread of its own that waits for its sockets, since it wants to poll a different
 * set each time. Its calls are made under one lock. Frames for the guest wait in a ring until the
 * device's worker fetches them; the ring's lock is inside libslirp's.
 *
 * The library is loaded when a guest wants such a network: with GLib behind it, it takes more
 * memory than all the rest of runvm.
 *
 * Name server. libslirp would open /etc/resolv.conf while the guest runs, which the sandbox does
 * not let it do. So it is read here, and the guest is told the real server's address. A server on
 * the host's loopback (but systemd-resolved, which says whom it asks) is reached at 10.0.2.2.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "virtio/net.h"

#define RING		256
#define MAX_FRAME	1518
#define MAX_POLL	1024
#define GUEST_IP	"10.0.2.15"

struct timer {
	struct timer *next;
	SlirpTimerCb cb;
	void *opaque;
	int64_t expires_ms;		/* -1: not set */
};

struct user_net {
	struct net *net;
	struct device device;		/* to start the thread by */
	Slirp *slirp;
	pthread_t thread;
	pthread_mutex_t lock;		/* of libslirp, timers and polled */
	struct timer *timers;
	struct pollfd polled[MAX_POLL];
	unsigned int nr_polled;
	int wake_fd;			/* for the thread */
	bool started, quit;

	pthread_mutex_t ring_lock;
	struct virtio_file waiting;	/* for the worker: the ring has something */
	unsigned int head, tail;
	struct frame {
		uint16_t len;
		uint8_t data[MAX_FRAME];
	} ring[RING];
};

/* What is used of libslirp */
static struct {
	typeof(slirp_new) *new;
	typeof(slirp_cleanup) *cleanup;
	typeof(slirp_pollfds_fill) *pollfds_fill;
	typeof(slirp_pollfds_poll) *pollfds_poll;
	typeof(slirp_input) *input;
	typeof(slirp_add_hostfwd) *add_hostfwd;
} slirp;

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		die("libslirp has no %s: this one is too old or too new", name);
	return found;
}

/* It stays: a guest has at most a few networks, and the library knows no end */
static void load_slirp(void)
{
	void *library = dlopen("libslirp.so.0", RTLD_NOW);

	if (!library)
		die("no libslirp: %s (apt install libslirp0, or --net tap=INTERFACE)", dlerror());
	slirp.new = symbol(library, "slirp_new");
	slirp.cleanup = symbol(library, "slirp_cleanup");
	slirp.pollfds_fill = symbol(library, "slirp_pollfds_fill");
	slirp.pollfds_poll = symbol(library, "slirp_pollfds_poll");
	slirp.input = symbol(library, "slirp_input");
	slirp.add_hostfwd = symbol(library, "slirp_add_hostfwd");
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: it is signalled already */
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("an eventfd cannot be written: %s", strerror(errno));
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		die("an eventfd cannot be read: %s", strerror(errno));
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* -------------------------------------------------------- callbacks of libslirp, under lock */

/* A full ring loses frames, as networks do: TCP comes back to it */
static ssize_t to_guest(const void *data, size_t len, void *opaque)
{
	struct user_net *u = opaque;
	struct frame *f;

	if (len > MAX_FRAME)
		return len;
	pthread_mutex_lock(&u->ring_lock);
	if (u->head - u->tail < RING) {
		f = &u->ring[u->head++ % RING];
		memcpy(f->data, data, len);
		f->len = len;
	}
	pthread_mutex_unlock(&u->ring_lock);
	signal_fd(u->waiting.fd);
	return len;
}

static void guest_error(const char *what, void *opaque)
{
	struct user_net *u = opaque;

	if (u->net->v.m->options->verbose)
		fprintf(stderr, "runvm: network: %s\n", what);
}

static int64_t clock_ns(void *opaque)
{
	return now_ns();
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	struct user_net *u = opaque;
	struct timer *t = malloc(sizeof(*t));

	if (!t)
		die("network: not enough memory");
	*t = (struct timer){ .next = u->timers, .cb = cb, .opaque = cb_opaque, .expires_ms = -1 };
	u->timers = t;
	return t;
}

static void timer_free(void *timer, void *opaque)
{
	struct user_net *u = opaque;
	struct timer **at = &u->timers;

	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = (*at)->next;
	free(timer);
}

static void timer_mod(void *timer, int64_t expires_ms, void *opaque)
{
	((struct timer *)timer)->expires_ms = expires_ms;
}

/* The set is made anew each time */
static void ignore_fd(int fd, void *opaque)
{
}

static void wake_thread(void *opaque)
{
	struct user_net *u = opaque;

	signal_fd(u->wake_fd);
}

/* ---------------------------------------------------------------------------- the thread */

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *u = opaque;
	short wanted = (events & SLIRP_POLL_IN ? POLLIN : 0) |
		       (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
		       (events & SLIRP_POLL_PRI ? POLLPRI : 0);

	if (u->nr_polled == MAX_POLL)
		return -1;
	u->polled[u->nr_polled] = (struct pollfd){ .fd = fd, .events = wanted };
	return u->nr_polled++;
}

static int get_events(int index, void *opaque)
{
	struct user_net *u = opaque;
	short got;

	if (index < 0 || (unsigned int)index >= u->nr_polled)
		return 0;
	got = u->polled[index].revents;
	return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void run_timers(struct user_net *u)
{
	int64_t now = now_ns() / 1000000;
	struct timer *t, *next;

	for (t = u->timers; t; t = next) {
		next = t->next;
		if (t->expires_ms < 0 || t->expires_ms > now)
			continue;
		t->expires_ms = -1;
		t->cb(t->opaque);
	}
}

static void *serve(void *data)
{
	struct user_net *u = data;
	uint32_t timeout;
	int ready;

	pthread_mutex_lock(&u->lock);
	while (!u->quit) {
		timeout = 1000;
		u->nr_polled = 0;
		add_poll(u->wake_fd, SLIRP_POLL_IN, u);
		slirp.pollfds_fill(u->slirp, &timeout, add_poll, u);
		pthread_mutex_unlock(&u->lock);
		ready = poll(u->polled, u->nr_polled, timeout);
		pthread_mutex_lock(&u->lock);
		drain(u->wake_fd);
		slirp.pollfds_poll(u->slirp, ready < 0, get_events, u);
		run_timers(u);
	}
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* ---------------------------------------------------------------------------- the device */

static void transmit(struct net *net, struct vq_chain *c)
{
	struct user_net *u = net->data;
	uint8_t frame[MAX_FRAME];
	size_t len = c->out_len - NET_HEADER;

	if (len > sizeof(frame))
		return;
	iov_read(c->iov, c->nr_out, NET_HEADER, frame, len);
	pthread_mutex_lock(&u->lock);
	slirp.input(u->slirp, frame, len);
	pthread_mutex_unlock(&u->lock);
}

/* New sockets may be there to be waited for */
static void transmitted(struct net *net)
{
	wake_thread(net->data);
}

static void give_frame(struct net *net, struct vq_chain *c, const struct frame *f)
{
	const struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
	size_t len = NET_HEADER + f->len;

	/* Smaller than a driver's buffers must be: the frame is lost */
	if (c->in_len < len) {
		vq_push(&net->v.vq[NET_RX], c->head, 0);
		return;
	}
	iov_write(vq_in(c), c->nr_in, 0, &header, NET_HEADER);
	iov_write(vq_in(c), c->nr_in, NET_HEADER, f->data, f->len);
	vq_push(&net->v.vq[NET_RX], c->head, len);
}

static void receive(struct net *net)
{
	struct user_net *u = net->data;
	struct vq_chain c;

	pthread_mutex_lock(&u->ring_lock);
	while (u->tail != u->head && net_rx_buffers(net, &c))
		give_frame(net, &c, &u->ring[u->tail++ % RING]);
	pthread_mutex_unlock(&u->ring_lock);
	net_received(net);
}

static void ring_ready(struct virtio *v, struct virtio_file *file, uint32_t events)
{
	drain(file->fd);
	receive((struct net *)v);
}

static void start(struct net *net)
{
	struct user_net *u = net->data;

	virtio_watch(&net->v, &u->waiting, EPOLLIN);
	signal_fd(u->waiting.fd);
}

static void stop(struct net *net)
{
	struct user_net *u = net->data;

	virtio_watch(&net->v, &u->waiting, 0);
}

static void stop_thread(struct net *net)
{
	struct user_net *u = net->data;

	pthread_mutex_lock(&u->lock);
	u->quit = true;
	pthread_mutex_unlock(&u->lock);
	signal_fd(u->wake_fd);
	if (u->started)
		pthread_join(u->thread, NULL);
	slirp.cleanup(u->slirp);
	close(u->wake_fd);
	close(u->waiting.fd);
}

static struct user_net *user_net_of(struct device *dev)
{
	return (struct user_net *)((char *)dev - offsetof(struct user_net, device));
}

/* This device is older than the one on the bus, so it goes later */
static void forget(struct device *dev)
{
	free(user_net_of(dev));
}

/* -------------------------------------------------------------------------------- set-up */

/* The first name server that @path names, of this family; false for none */
static bool read_nameserver(const char *path, struct in_addr *server)
{
	char line[256], text[64];
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, " nameserver %63s", text) == 1 &&
			inet_pton(AF_INET, text, server) == 1;
	fclose(f);
	return found;
}

static bool is_loopback(struct in_addr a)
{
	return ntohl(a.s_addr) >> 24 == 127;
}

static void choose_nameserver(SlirpConfig *config)
{
	struct in_addr server;

	if (!read_nameserver("/etc/resolv.conf", &server) ||
	    (is_loopback(server) &&
	     !read_nameserver("/run/systemd/resolve/resolv.conf", &server)) ||
	    is_loopback(server)) {
		config->disable_dns = true;
		return;
	}
	config->vnameserver = server;
}

static bool parse_port(const char **at, char end, int *port)
{
	char *rest;
	long n = strtol(*at, &rest, 10);

	if (rest == *at || *rest != end || n < 1 || n > 65535)
		return false;
	*port = n;
	*at = rest + (end != '\0');
	return true;
}

static void forward(struct user_net *u, const char *text)
{
	struct in_addr host = { .s_addr = htonl(INADDR_LOOPBACK) }, guest;
	bool udp = !strncmp(text, "udp:", 4);
	const char *at = text + 4;
	int from, to;

	inet_pton(AF_INET, GUEST_IP, &guest);
	if ((!udp && strncmp(text, "tcp:", 4)) || !parse_port(&at, ':', &from) ||
	    !parse_port(&at, '\0', &to))
		usage_error("--net: '%s' is not tcp:HOSTPORT:GUESTPORT or udp:HOSTPORT:GUESTPORT",
			    text);
	if (slirp.add_hostfwd(u->slirp, udp, host, from, guest, to))
		die("port %d of this host cannot be had for the guest: %s", from, strerror(errno));
}

static void add_forwards(struct user_net *u, const char *list)
{
	char *copy = strdup(list), *rest = copy, *one;

	if (!copy)
		die("network: not enough memory");
	while ((one = strsep(&rest, ";")))
		forward(u, one);
	free(copy);
}

static Slirp *new_slirp(struct user_net *u)
{
	static const SlirpCb callbacks = {
		.send_packet = to_guest,
		.guest_error = guest_error,
		.clock_get_ns = clock_ns,
		.timer_new = timer_new,
		.timer_free = timer_free,
		.timer_mod = timer_mod,
		.register_poll_fd = ignore_fd,
		.unregister_poll_fd = ignore_fd,
		.notify = wake_thread,
	};
	SlirpConfig config = { .version = 3, .in_enabled = true };

	inet_pton(AF_INET, "10.0.2.0", &config.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &config.vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &config.vhost);
	inet_pton(AF_INET, "10.0.2.3", &config.vnameserver);
	inet_pton(AF_INET, GUEST_IP, &config.vdhcp_start);
	choose_nameserver(&config);
	return slirp.new(&config, &callbacks, u);
}

/* Not before all that the thread must not have is given up */
static void start_thread(struct device *dev)
{
	struct user_net *u = user_net_of(dev);
	sigset_t others, old;
	int error;

	signals_of_others(&others);
	pthread_sigmask(SIG_SETMASK, &others, &old);
	error = pthread_create(&u->thread, NULL, serve, u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		die("network: no thread: %s", strerror(error));
	u->started = true;
}

uint64_t net_user_init(struct net *net, const struct net_option *option)
{
	static const struct net_ops ops = {
		.transmit = transmit,
		.transmitted = transmitted,
		.receive = receive,
		.start = start,
		.stop = stop,
		.close = stop_thread,
	};
	static const int syscalls[] = {
		SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_getsockopt,
		SYS_setsockopt, SYS_getsockname, SYS_getpeername, SYS_shutdown,
	};
	struct user_net *u = calloc(1, sizeof(*u));

	if (!u)
		die("network: not enough memory");
	load_slirp();
	u->net = net;
	pthread_mutex_init(&u->lock, NULL);
	pthread_mutex_init(&u->ring_lock, NULL);
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->waiting = (struct virtio_file){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					   .ready = ring_ready };
	if (u->wake_fd < 0 || u->waiting.fd < 0)
		die("network: no eventfd: %s", strerror(errno));
	u->slirp = new_slirp(u);
	if (!u->slirp)
		die("network: libslirp does not start");
	if (option->forward)
		add_forwards(u, option->forward);
	machine_allow_syscalls(net->v.m, syscalls, ARRAY_SIZE(syscalls));
	net->ops = &ops;
	net->data = u;
	u->device = (struct device){
		.name = "user network", .start = start_thread, .close = forget,
	};
	machine_add_device(net->v.m, &u->device);
	return 0;
}
