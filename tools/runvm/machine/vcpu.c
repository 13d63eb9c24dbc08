// SPDX-License-Identifier: GPL-2.0-only
/*
 * vcpu.c: a thread for each vCPU, which runs it and carries out what it asks for.
 *
 * Stopping: immediate_exit is set in the run page, which ends HVX_RUN now or as soon as it is
 * called, and a signal gets the thread out of the kernel. HVX_RUN first takes in the answer to the
 * exit before, so that a vCPU is parked at the boundary of an instruction.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "options_nodes.h"
#include "private.h"

#define SIG_KICK	SIGUSR1

/* ----------------------------------------------------------------------------- exits */

static void handle_io(struct machine *m, struct vcpu *v)
{
	const struct hvx_exit_io io = v->run->io;
	uint8_t *data = vcpu_io_data(v);
	uint32_t i;

	for (i = 0; i < io.count; i++)
		bus_access(&m->p->pio, io.port, io.width, io.write, data + i * io.width);
}

static void handle_mmio(struct machine *m, struct vcpu *v)
{
	struct hvx_exit_mmio *mmio = &v->run->mmio;

	bus_access(&m->p->mmio, mmio->gpa, mmio->len, mmio->write, mmio->data);
}

static void handle_system_event(struct machine *m, const struct hvx_exit_system *event)
{
	switch (event->type) {
	case HVX_SYSTEM_POWER_OFF:
		machine_end(m, FATE_POWER_OFF, 0);
		break;
	case HVX_SYSTEM_RESET:
		machine_end(m, FATE_RESET, 0);
		break;
	default:
		machine_end(m, FATE_PANIC, 0);
	}
}

static void give_up(struct vcpu_thread *t, struct vcpu *v, int reason)
{
	char text[256];

	vcpu_explain(v, reason, text, sizeof(text));
	warn("vCPU %u: %s", t->index, text);
	machine_end(t->machine, FATE_ERROR, 0);
}

/* False: it cannot go on */
static bool handle_exit(struct vcpu_thread *t, struct vcpu *v, int reason)
{
	struct machine *m = t->machine;

	switch (reason) {
	case HVX_EXIT_IO:
		t->nr_port++;
		handle_io(m, v);
		return true;
	case HVX_EXIT_MMIO:
		t->nr_memory++;
		handle_mmio(m, v);
		return true;
	case HVX_EXIT_SYSTEM_EVENT:
		handle_system_event(m, &v->run->system);
		return true;
	case HVX_EXIT_SHUTDOWN:
		machine_end(m, FATE_TRIPLE_FAULT, 0);
		return false;
	}
	give_up(t, v, reason);
	return false;
}

/* --------------------------------------------------------------------------- threads */

/* Waits as long as the machine shall not run. False: the thread shall end. */
static bool park(struct vcpu_thread *t)
{
	struct machine_private *p = t->machine->p;
	bool quit;

	pthread_mutex_lock(&p->lock);
	p->nr_parked++;
	pthread_cond_signal(&p->parked);
	while (p->stop && !p->quit)
		pthread_cond_wait(&p->go, &p->lock);
	p->nr_parked--;
	quit = p->quit;
	pthread_mutex_unlock(&p->lock);
	return !quit;
}

static void *vcpu_main(void *opaque)
{
	struct vcpu_thread *t = opaque;
	struct vcpu *v = &t->machine->vcpus[t->index];
	bool on = park(t);
	int reason;

	while (on) {
		reason = vcpu_try_run(v);
		if (reason == HVX_EXIT_INTERRUPTED)
			on = !v->run->immediate_exit || park(t);
		else if (!handle_exit(t, v, reason))
			on = park(t);
	}
	return NULL;
}

static void ignore(int signal)
{
}

static int start_thread(struct vcpu_thread *t)
{
	const cpu_set_t *cpus = affinity_of(t->machine->options, t->index);
	pthread_attr_t attr;
	int error;

	pthread_attr_init(&attr);
	error = cpus ? pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus) : 0;
	if (!error)
		error = pthread_create(&t->thread, &attr, vcpu_main, t);
	pthread_attr_destroy(&attr);
	return error;
}

void vcpus_start(struct machine *m)
{
	struct sigaction kick = { .sa_handler = ignore, .sa_flags = SA_RESTART };
	struct machine_private *p = m->p;
	char name[16];
	unsigned int i;
	int error;

	sigaction(SIG_KICK, &kick, NULL);
	p->stop = true;
	for (i = 0; i < m->nr_vcpus; i++) {
		struct vcpu_thread *t = &p->threads[i];

		*t = (struct vcpu_thread){ .machine = m, .index = i };
		error = start_thread(t);
		if (error)
			die("cannot start a thread for vCPU %u: %s", i, strerror(error));
		snprintf(name, sizeof(name), "vcpu%u", i);
		pthread_setname_np(t->thread, name);
		p->nr_threads++;
	}
}

void vcpus_go(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	pthread_mutex_lock(&p->lock);
	p->stop = p->asleep;
	for (i = 0; i < m->nr_vcpus && !p->stop; i++)
		m->vcpus[i].run->immediate_exit = 0;
	pthread_cond_broadcast(&p->go);
	pthread_mutex_unlock(&p->lock);
}

static void halt_locked(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	p->stop = true;
	for (i = 0; i < p->nr_threads; i++) {
		m->vcpus[i].run->immediate_exit = 1;
		pthread_kill(p->threads[i].thread, SIG_KICK);
	}
}

void vcpus_halt(struct machine *m)
{
	pthread_mutex_lock(&m->p->lock);
	halt_locked(m);
	pthread_mutex_unlock(&m->p->lock);
}

void vcpus_stop(struct machine *m)
{
	struct machine_private *p = m->p;

	pthread_mutex_lock(&p->lock);
	halt_locked(m);
	while (p->nr_parked < p->nr_threads)
		pthread_cond_wait(&p->parked, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

/* What all vCPUs have exited for; their threads have ended */
static void count_exits(struct machine *m)
{
	unsigned long long all = 0, port = 0, memory = 0;
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++) {
		all += m->vcpus[i].run->exits;
		port += m->p->threads[i].nr_port;
		memory += m->p->threads[i].nr_memory;
	}
	warn("exits: %llu, to runvm for ports %llu, for memory %llu", all, port, memory);
}

void vcpus_join(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	pthread_mutex_lock(&p->lock);
	halt_locked(m);
	p->quit = true;
	pthread_cond_broadcast(&p->go);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->nr_threads; i++)
		pthread_join(p->threads[i].thread, NULL);
	if (m->options->verbose && p->nr_threads)
		count_exits(m);
	p->nr_threads = 0;
}

/* ----------------------------------------------------------------------------- state */

static void *alloc(size_t nr, size_t size)
{
	void *p = calloc(nr, size);

	if (!p)
		die("not enough memory");
	return p;
}

/* The CPU that hvx can give, unchanged but for its place among others */
static void set_cpuid(struct machine *m, struct vcpu *v)
{
	struct hvx_cpuid_entry *entries = alloc(HVX_MAX_CPUID, sizeof(*entries));
	struct hvx_cpuid args = {
		.size = sizeof(args), .nr = HVX_MAX_CPUID, .entries = (uintptr_t)entries,
	};

	if (ioctl(m->vm.fd, HVX_GET_SUPPORTED_CPUID, &args))
		die("cannot learn what the CPU can do: %s", strerror(errno));
	numa_cpuid(m, entries, args.nr);
	if (ioctl(v->fd, HVX_SET_CPUID, &args))
		die("cannot set what the CPU can do: %s", strerror(errno));
	free(entries);
}

static void save_state(struct machine *m, unsigned int i)
{
	struct machine_private *p = m->p;
	struct hvx_blob args = {
		.size = sizeof(args), .len = p->state_size,
		.data = (uintptr_t)p->initial_state + (size_t)i * p->state_size,
	};

	if (ioctl(m->vcpus[i].fd, HVX_GET_STATE, &args))
		die("cannot read the state of vCPU %u: %s", i, strerror(errno));
	p->state_len[i] = args.len;
}

void vcpus_reset(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++) {
		struct hvx_blob args = {
			.size = sizeof(args), .len = p->state_len[i],
			.data = (uintptr_t)p->initial_state + (size_t)i * p->state_size,
		};

		if (ioctl(m->vcpus[i].fd, HVX_SET_STATE, &args))
			die("cannot reset vCPU %u: %s", i, strerror(errno));
	}
}

void vcpus_create(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	m->nr_vcpus = m->options->cpus;
	m->vcpus = alloc(m->nr_vcpus, sizeof(*m->vcpus));
	p->threads = alloc(m->nr_vcpus, sizeof(*p->threads));
	p->state_size = vm_cap(&m->vm, HVX_CAP_STATE_SIZE);
	p->initial_state = alloc(m->nr_vcpus, p->state_size);
	p->state_len = alloc(m->nr_vcpus, sizeof(*p->state_len));
	for (i = 0; i < m->nr_vcpus; i++) {
		vcpu_create(&m->vcpus[i], &m->vm, i);
		set_cpuid(m, &m->vcpus[i]);
		save_state(m, i);
	}
}

void vcpus_destroy(struct machine *m)
{
	struct machine_private *p = m->p;
	unsigned int i;

	for (i = 0; i < m->nr_vcpus; i++)
		vcpu_destroy(&m->vcpus[i]);
	free(p->state_len);
	free(p->initial_state);
	free(p->threads);
	free(m->vcpus);
}
