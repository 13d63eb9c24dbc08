// SPDX-License-Identifier: GPL-2.0-only
/*
 * machine.c: set-up, the main loop, and how it ends.
 *
 *	machine_create()	everything opened and checked; no guest code, no thread
 *	machine_run()		privileges dropped, threads, the loop, until the end
 *	machine_destroy()
 *
 * Whoever learns that the machine ends calls machine_end(), which stops the vCPUs and wakes the
 * loop; the main thread does the rest.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "private.h"

#define VM_FLAGS	(HVX_VM_LAPIC | HVX_VM_IOAPIC | HVX_VM_PIC | HVX_VM_PIT)

/* --------------------------------------------------------------------------- devices */

void machine_add_device(struct machine *m, struct device *dev)
{
	struct device **end = &m->p->devices;

	while (*end)
		end = &(*end)->next;
	dev->next = NULL;
	*end = dev;
}

static void reset_devices(struct machine *m)
{
	struct device *dev;

	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->reset)
			dev->reset(dev);
}

static void start_devices(struct machine *m)
{
	struct device *dev;

	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->start)
			dev->start(dev);
}

static void close_devices(struct device *dev)
{
	if (!dev)
		return;
	close_devices(dev->next);
	if (dev->close)
		dev->close(dev);
}

/* -------------------------------------------------------------------- pause, resume */

bool machine_is_running(const struct machine *m)
{
	return m->p->running;
}

void machine_pause(struct machine *m)
{
	struct device *dev;

	if (!m->p->running)
		return;
	m->p->running = false;
	vcpus_stop(m);
	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->pause)
			dev->pause(dev);
	clock_stop(m);
}

static void resume_devices(struct machine *m)
{
	struct device *dev;

	if (m->p->running)
		return;
	m->p->running = true;
	clock_go(m);
	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->resume)
			dev->resume(dev);
}

void machine_resume(struct machine *m)
{
	if (m->p->running)
		return;
	resume_devices(m);
	vcpus_go(m);
}

/* ------------------------------------------------------------------------------ fate */

/* Something has changed that the loop is to look at */
static void wake_loop(struct machine *m)
{
	uint64_t one = 1;

	if (write(m->p->wake_fd, &one, sizeof(one)) != sizeof(one))
		die("cannot wake the main thread: %s", strerror(errno));
}

void machine_end(struct machine *m, enum fate how, int status)
{
	struct machine_private *p = m->p;
	bool first;

	pthread_mutex_lock(&p->lock);
	first = p->fate == FATE_NONE;
	if (first) {
		p->fate = how;
		p->status = status;
	}
	pthread_mutex_unlock(&p->lock);
	if (!first)
		return;
	vcpus_halt(m);
	wake_loop(m);
}

static enum fate fate_of(struct machine *m)
{
	enum fate fate;

	pthread_mutex_lock(&m->p->lock);
	fate = m->p->fate;
	pthread_mutex_unlock(&m->p->lock);
	return fate;
}

/* What each fate is called, and the status that runvm ends with */
static const struct {
	int status;
	const char *text;
} fates[] = {
	[FATE_POWER_OFF] = { 0, "the guest powered off" },
	[FATE_RESET] = { STATUS_RESET, "the guest wants a reset (--no-reboot)" },
	[FATE_PANIC] = { STATUS_PANIC, "the guest's kernel panicked" },
	[FATE_TRIPLE_FAULT] = { STATUS_TRIPLE_FAULT, "the guest took a triple fault" },
	[FATE_DEBUG_EXIT] = { 0, "the guest ended by its debug port" },
	[FATE_ERROR] = { STATUS_ERROR, "the guest cannot go on" },
	[FATE_QUIT] = { STATUS_QUIT, "ended from outside" },
};

static void say_exits(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++)
		warn("vCPU %u: %llu exits", i, (unsigned long long)m->vcpus[i].run->exits);
}

static int say_fate(struct machine *m, enum fate fate)
{
	if (m->options->verbose)
		say_exits(m);
	if (fate == FATE_DEBUG_EXIT) {
		warn("%s, with status %d", fates[fate].text, m->p->status);
		return m->p->status;
	}
	warn("%s", fates[fate].text);
	return fates[fate].status;
}

/*
 * Start anew, with empty memory. Devices come first, so that none of them touches it any more; the
 * chips after them, because a device that lets its line fall speaks to them.
 */
static void reset_machine(struct machine *m)
{
	struct machine_private *p = m->p;
	int error;

	vcpus_stop(m);
	if (m->options->verbose)
		warn("the guest restarts");
	resume_devices(m);
	reset_devices(m);
	irq_reset(m);
	error = mem_discard(m, m->vm.mem, m->vm.mem_size);
	if (error)
		die("cannot clear the guest's memory: %s", strerror(error));
	chips_reset(m);
	vcpus_reset(m);
	boot_prepare(m, &m->vcpus[0]);
	p->nr_resets++;
	pthread_mutex_lock(&p->lock);
	p->fate = FATE_NONE;
	p->asleep = false;
	pthread_mutex_unlock(&p->lock);
	vcpus_go(m);
}

unsigned int machine_resets(const struct machine *m)
{
	return m->p->nr_resets;
}

/* ----------------------------------------------------------------------------- sleep */

void machine_enter_s3(struct machine *m)
{
	pthread_mutex_lock(&m->p->lock);
	m->p->asleep = true;
	m->p->wake = false;
	pthread_mutex_unlock(&m->p->lock);
	vcpus_halt(m);
}

void machine_leave_s3(struct machine *m)
{
	pthread_mutex_lock(&m->p->lock);
	m->p->wake = true;
	pthread_mutex_unlock(&m->p->lock);
	wake_loop(m);
}

bool machine_is_asleep(struct machine *m)
{
	bool asleep;

	pthread_mutex_lock(&m->p->lock);
	asleep = m->p->asleep;
	pthread_mutex_unlock(&m->p->lock);
	return asleep;
}

static bool is_to_wake(struct machine *m)
{
	bool wake;

	pthread_mutex_lock(&m->p->lock);
	wake = m->p->asleep && m->p->wake;
	pthread_mutex_unlock(&m->p->lock);
	return wake;
}

static void reset_what_had_no_power(struct machine *m)
{
	struct device *dev;

	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->reset && !dev->after_s3)
			dev->reset(dev);
	irq_reset(m);
	chips_reset(m);
	vcpus_reset(m);
	for (dev = m->p->devices; dev; dev = dev->next)
		if (dev->after_s3)
			dev->after_s3(dev);
}

/*
 * Devices and chips are reset, because in S3 of a PC they are without power and operating systems
 * count on no more than that: Linux puts back what it has saved of PCI configuration, chips and
 * clocks, and its drivers set their devices up anew. A device that kept its state would answer a
 * driver that takes it for new, and have queues in memory that is used for something else by now.
 * Time goes on: the paravirtual clock is not stopped, and the clock has its battery.
 */
static void wake_machine(struct machine *m)
{
	struct machine_private *p = m->p;

	vcpus_stop(m);
	reset_what_had_no_power(m);
	if (!boot_wake(m, &m->vcpus[0])) {
		machine_end(m, FATE_ERROR, 0);
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->asleep = false;
	pthread_mutex_unlock(&p->lock);
	vcpus_go(m);
}

/* --------------------------------------------------------------------------- signals */

/*
 * A guest that sleeps cannot be asked: it is woken, and that does not count. But only once: one
 * that goes back to sleep after each wake could not be ended otherwise.
 */
static bool is_free_wake(struct machine *m)
{
	struct machine_private *p = m->p;

	return machine_is_asleep(m) && !is_to_wake(m) && !p->nr_signals && !p->signal_woke;
}

/*
 * The first one asks the guest to power off, the next one does not ask. The button that asks is the
 * one that wakes.
 */
void machine_take_signal(struct machine *m, int signal)
{
	if (signal == SIGCONT) {
		console_continue(m);
		return;
	}
	if (is_free_wake(m)) {
		m->p->signal_woke = true;
		warn("%s: waking the guest; once more presses the power button",
		     sigabbrev_np(signal));
		machine_press_power(m);
		return;
	}
	if (m->p->nr_signals++) {
		machine_end(m, FATE_QUIT, 0);
		return;
	}
	warn("%s: pressing the power button; once more ends the guest at once",
	     sigabbrev_np(signal));
	machine_press_power(m);
}

static void read_signals(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	struct signalfd_siginfo info;

	while (read(m->p->signal_fd, &info, sizeof(info)) == sizeof(info))
		machine_take_signal(m, info.ssi_signo);
}

/* All threads inherit the mask */
static void catch_signals(struct machine *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->p->signal_fd < 0)
		die("cannot take signals: %s", strerror(errno));
	loop_add(m, m->p->signal_fd, EPOLLIN, read_signals, m);
}

/* ------------------------------------------------------------------------ life of it */

static void wake_up(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	uint64_t count;

	if (read(m->p->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		die("cannot wake the main thread: %s", strerror(errno));
}

static void create_wake_fd(struct machine *m)
{
	m->p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->p->wake_fd < 0)
		die("cannot create an eventfd: %s", strerror(errno));
	loop_add(m, m->p->wake_fd, EPOLLIN, wake_up, m);
}

/*
 * Stacks of threads. glibc's 8 MiB are room for huge pages, which a host that gives these to all
 * programs puts there for the sake of a few KiB.
 */
#define STACK_SIZE	(512 << 10)

static void set_stack_size(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

void machine_create(struct machine *m, const struct options *options)
{
	struct machine_private *p = calloc(1, sizeof(*p));

	if (!p)
		die("not enough memory");
	*m = (struct machine){ .options = options, .p = p };
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->parked, NULL);
	pthread_cond_init(&p->go, NULL);
	set_stack_size();
	sandbox_init(m);
	vm_create(&m->vm, VM_FLAGS, options->memory);
	numa_bind(m);
	bus_init(m);
	irq_init(m);
	loop_init(m);
	create_wake_fd(m);
	boot_load(m);
	vcpus_create(m);
	dev_create(m);
	pci_create(m);
	virtio_create(m);
	control_create(m);
}

int machine_run(struct machine *m)
{
	struct machine_private *p = m->p;
	enum fate fate;

	catch_signals(m);
	chips_save(m);
	boot_prepare(m, &m->vcpus[0]);
	if (!m->options->no_sandbox) {
		sandbox_drop_privileges(m);
		landlock_enter(m);
	}
	vcpus_start(m);
	start_devices(m);
	mem_watch(m);
	if (!m->options->no_sandbox)
		sandbox_enter(m);
	p->running = true;
	vcpus_go(m);
	for (;;) {
		loop_once(m);
		fate = fate_of(m);
		if (fate == FATE_RESET && !m->options->no_reboot)
			reset_machine(m);
		else if (fate != FATE_NONE)
			break;
		else if (p->running && is_to_wake(m))
			wake_machine(m);
	}
	vcpus_stop(m);
	return say_fate(m, fate);
}

void machine_destroy(struct machine *m)
{
	struct machine_private *p = m->p;

	vcpus_join(m);
	close_devices(p->devices);
	vcpus_destroy(m);
	loop_fini(m);
	irq_fini(m);
	bus_fini(m);
	vm_destroy(&m->vm);
	close(p->wake_fd);
	if (p->signal_fd)
		close(p->signal_fd);
	free(p);
}
