// SPDX-License-Identifier: GPL-2.0-only
/* fake_machine.c: see fake_machine.h. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_machine/fake_machine.h"

#define MAX	512

#define CHECK(cond) do {							\
	if (!(cond)) {								\
		fprintf(stderr, "fake_machine.c:%d: %s\n", __LINE__, #cond);	\
		abort();							\
	}									\
} while (0)

struct range {
	uint64_t base, len;
	io_handler *handler;
	void *opaque;
};

struct bus {
	struct range range[MAX];
	unsigned int nr;
};

struct ioevent {
	uint64_t addr, match;
	uint32_t len;
	bool matched, is_pio;
	int fd;
};

struct irq {
	int fd;
	uint32_t gsi;
};

static struct {
	bool routed;
	uint64_t address;
	uint32_t data;
	unsigned int messages;
} route[MAX];

struct machine fake;
struct options fake_options = { .cpus = 2, .cmdline = "" };
char fake_console[65536];
size_t fake_console_len;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct device *devices;
static struct bus mmio, pio;
static struct ioevent ioevent[MAX];
static unsigned int nr_ioevents;
static struct irq irqfd[MAX];
static unsigned int nr_irqfds, next_gsi = GSI_FIRST_MSI;
static bool line[64];
static uint8_t *ram;
static uint64_t ram_size;
static _Atomic unsigned int discards;
static console_reader *reader;
static void *reader_opaque;
static _Atomic unsigned int pulls;

/* -------------------------------------------------------------------- memory, devices */

void fake_init(uint64_t size)
{
	ram_size = size;
	ram = calloc(1, size);
	CHECK(ram);
	fake.options = &fake_options;
	fake.vm.mem = ram;
	fake.vm.mem_size = size;
}

uint8_t *fake_ram(uint64_t gpa)
{
	return ram + gpa;
}

void *mem_at(struct machine *m, uint64_t gpa, uint64_t len)
{
	return gpa <= ram_size && len <= ram_size - gpa ? ram + gpa : NULL;
}

int mem_discard(struct machine *m, void *at, uint64_t len)
{
	uint64_t from = (uint8_t *)at - ram, to = from + len;

	CHECK(from <= ram_size && len <= ram_size - from);
	from = (from + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	to &= ~(PAGE_SIZE - 1);
	if (from < to)
		memset(ram + from, 0, to - from);
	discards++;
	return 0;
}

unsigned int fake_discards(void)
{
	return discards;
}

void machine_add_device(struct machine *m, struct device *dev)
{
	struct device **end = &devices;

	while (*end)
		end = &(*end)->next;
	dev->next = NULL;
	*end = dev;
}

void fake_start(void)
{
	struct device *d;

	for (d = devices; d; d = d->next)
		if (d->start)
			d->start(d);
}

void fake_reset(void)
{
	struct device *d;

	for (d = devices; d; d = d->next)
		if (d->reset)
			d->reset(d);
}

void fake_pause(bool pause)
{
	void (*call)(struct device *dev);
	struct device *d;

	for (d = devices; d; d = d->next) {
		call = pause ? d->pause : d->resume;
		if (call)
			call(d);
	}
}

static void close_from(struct device *d)
{
	if (!d)
		return;
	close_from(d->next);
	if (d->close)
		d->close(d);
}

void fake_close(void)
{
	close_from(devices);
	devices = NULL;
	free(ram);
}

void machine_allow_syscalls(struct machine *m, const int *syscalls, unsigned int nr)
{
}

void warn(const char *format, ...)
{
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(STATUS_FAILED);
}

/* -------------------------------------------------------------------------------- buses */

static void add(struct bus *bus, uint64_t base, uint64_t len, io_handler *handler, void *opaque)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < bus->nr; i++)
		CHECK(base + len <= bus->range[i].base ||
		      bus->range[i].base + bus->range[i].len <= base);
	CHECK(bus->nr < MAX);
	bus->range[bus->nr++] = (struct range){ base, len, handler, opaque };
	pthread_mutex_unlock(&lock);
}

static void del(struct bus *bus, uint64_t base)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < bus->nr && bus->range[i].base != base; i++)
		;
	CHECK(i < bus->nr);
	bus->range[i] = bus->range[--bus->nr];
	pthread_mutex_unlock(&lock);
}

bool bus_add_mmio(struct machine *m, uint64_t gpa, uint64_t len, io_handler *handler, void *opaque)
{
	CHECK(gpa >= MEM_LOW_MAX && gpa + len <= IOAPIC_BASE);
	add(&mmio, gpa, len, handler, opaque);
	return true;
}

void bus_remove_mmio(struct machine *m, uint64_t gpa)
{
	del(&mmio, gpa);
}

bool bus_add_pio(struct machine *m, uint16_t port, uint16_t len, io_handler *handler, void *opaque)
{
	add(&pio, port, len, handler, opaque);
	return true;
}

void bus_remove_pio(struct machine *m, uint16_t port)
{
	del(&pio, port);
}

static bool find(const struct bus *bus, uint64_t addr, struct range *found)
{
	bool there = false;
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < bus->nr && !there; i++) {
		there = addr - bus->range[i].base < bus->range[i].len;
		*found = bus->range[i];
	}
	pthread_mutex_unlock(&lock);
	return there;
}

/* @data in a block of its own size: what a handler must not leave */
static uint64_t access_bus(const struct bus *bus, uint64_t addr, unsigned int len, bool write,
			   uint64_t value)
{
	uint8_t *data = malloc(len);
	struct range r;

	CHECK(data);
	memset(data, 0xff, len);
	if (write)
		memcpy(data, &value, len);
	if (find(bus, addr, &r))
		r.handler(r.opaque, addr - r.base, len, write, data);
	value = 0;
	memcpy(&value, data, len);
	free(data);
	return value;
}

bool fake_answers(uint64_t gpa)
{
	struct range r;

	return find(&mmio, gpa, &r);
}

uint64_t fake_read(uint64_t gpa, unsigned int len)
{
	return access_bus(&mmio, gpa, len, false, 0);
}

static bool signal_ioevent(bool is_pio, uint64_t addr, unsigned int len, uint64_t value)
{
	const uint64_t one = 1;
	unsigned int i;
	int fd = -1;

	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_ioevents; i++) {
		const struct ioevent *e = &ioevent[i];

		if (e->is_pio == is_pio && e->addr == addr && (!e->len || e->len == len) &&
		    (!e->matched || e->match == value))
			fd = e->fd;
	}
	pthread_mutex_unlock(&lock);
	if (fd < 0)
		return false;
	CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
	return true;
}

void fake_write(uint64_t gpa, unsigned int len, uint64_t value)
{
	if (len < 8)
		value &= (1ULL << (8 * len)) - 1;
	if (!signal_ioevent(false, gpa, len, value))
		access_bus(&mmio, gpa, len, true, value);
}

uint32_t fake_in(uint16_t port, unsigned int len)
{
	return access_bus(&pio, port, len, false, 0);
}

void fake_out(uint16_t port, unsigned int len, uint32_t value)
{
	if (len < 4)
		value &= (1u << (8 * len)) - 1;
	if (!signal_ioevent(true, port, len, value))
		access_bus(&pio, port, len, true, value);
}

bool machine_ioeventfd(struct machine *m, bool is_pio, uint64_t addr, uint32_t len,
		       const uint64_t *match, int fd, bool on)
{
	struct ioevent e = { addr, match ? *match : 0, len, match, is_pio, fd };
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_ioevents; i++)
		if (ioevent[i].is_pio == is_pio && ioevent[i].addr == addr &&
		    ioevent[i].matched == e.matched && ioevent[i].match == e.match)
			break;
	if (on) {
		CHECK(i == nr_ioevents && nr_ioevents < MAX);
		ioevent[nr_ioevents++] = e;
	} else {
		CHECK(i < nr_ioevents && ioevent[i].fd == fd);
		ioevent[i] = ioevent[--nr_ioevents];
	}
	pthread_mutex_unlock(&lock);
	return true;
}

unsigned int fake_ioeventfds(void)
{
	return nr_ioevents;
}

/* --------------------------------------------------------------------------- interrupts */

void machine_irq(struct machine *m, uint32_t gsi, bool level)
{
	CHECK(gsi < 24);
	__atomic_store_n(&line[gsi], level, __ATOMIC_SEQ_CST);
}

bool fake_line(unsigned int gsi)
{
	return __atomic_load_n(&line[gsi], __ATOMIC_SEQ_CST);
}

uint32_t machine_alloc_gsi(struct machine *m)
{
	CHECK(next_gsi < MAX);
	return next_gsi++;
}

void machine_route_msi(struct machine *m, uint32_t gsi, uint64_t address, uint32_t data)
{
	CHECK(gsi >= GSI_FIRST_MSI && gsi < next_gsi);
	pthread_mutex_lock(&lock);
	route[gsi].routed = true;
	route[gsi].address = address;
	route[gsi].data = data;
	pthread_mutex_unlock(&lock);
}

void machine_unroute_msi(struct machine *m, uint32_t gsi)
{
	CHECK(gsi >= GSI_FIRST_MSI && gsi < next_gsi && route[gsi].routed);
	pthread_mutex_lock(&lock);
	route[gsi].routed = false;
	pthread_mutex_unlock(&lock);
}

/* As in hvx: what is in the eventfd becomes a message when somebody looks. Under the lock. */
static void collect(const struct irq *i)
{
	uint64_t count;

	if (read(i->fd, &count, sizeof(count)) == sizeof(count)) {
		CHECK(route[i->gsi].routed);
		route[i->gsi].messages++;
	}
}

void machine_irqfd(struct machine *m, uint32_t gsi, int fd, int resample_fd, bool on)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_irqfds && irqfd[i].fd != fd; i++)
		;
	if (on) {
		CHECK(i == nr_irqfds && nr_irqfds < MAX);
		irqfd[nr_irqfds++] = (struct irq){ fd, gsi };
	} else {
		CHECK(i < nr_irqfds && irqfd[i].gsi == gsi);
		collect(&irqfd[i]);
		irqfd[i] = irqfd[--nr_irqfds];
	}
	pthread_mutex_unlock(&lock);
}

static unsigned int take_messages(uint32_t data)
{
	unsigned int i, n = 0;

	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_irqfds; i++)
		collect(&irqfd[i]);
	for (i = GSI_FIRST_MSI; i < next_gsi; i++) {
		if (route[i].data == data) {
			n += route[i].messages;
			route[i].messages = 0;
		}
	}
	pthread_mutex_unlock(&lock);
	return n;
}

unsigned int fake_messages(uint32_t data, int ms)
{
	unsigned int n;

	for (;;) {
		n = take_messages(data);
		if (n || ms-- <= 0)
			return n;
		usleep(1000);
	}
}

/* ------------------------------------------------------------------------------ console */

void console_write(struct machine *m, const void *data, size_t len)
{
	if (len > sizeof(fake_console) - fake_console_len)
		len = sizeof(fake_console) - fake_console_len;
	memcpy(fake_console + fake_console_len, data, len);
	__atomic_fetch_add(&fake_console_len, len, __ATOMIC_SEQ_CST);
}

void console_set_reader(struct machine *m, console_reader *r, void *opaque)
{
	reader = r;
	reader_opaque = opaque;
}

size_t fake_type(const void *data, size_t len)
{
	return reader(reader_opaque, data, len);
}

void console_pull(struct machine *m)
{
	pulls++;
}

unsigned int fake_pulls(void)
{
	return pulls;
}
