/* SPDX-License-Identifier: GPL-2.0-only */
/* private.h: what the files of machine/ share among themselves. */
#ifndef RUNVM_MACHINE_PRIVATE_H
#define RUNVM_MACHINE_PRIVATE_H

#include <sys/types.h>

#include "machine.h"

/* ------------------------------------------------------------------------------- bus.c */

struct bus_range {
	uint64_t base;
	uint64_t len;
	io_handler *handler;
	void *opaque;
};

/* Sorted by base, without overlaps. @lock: held for a look-up, not while a handler runs. */
struct bus {
	const char *name;
	pthread_rwlock_t lock;
	struct bus_range *ranges;
	unsigned int nr;
};

void bus_init(struct machine *m);
void bus_fini(struct machine *m);
/* One access of the guest; what nobody claims reads as all ones */
void bus_access(struct bus *bus, uint64_t addr, unsigned int len, bool write, void *data);

/* ------------------------------------------------------------------------------- irq.c */

/* MSIs that can be routed; with the lines of the chips they fit into HVX_MAX_ROUTES */
#define MAX_MSI_ROUTES	2048

struct irq {
	pthread_mutex_t lock;
	struct hvx_route msi[MAX_MSI_ROUTES];	/* of line GSI_FIRST_MSI + index; type NONE: no */
	unsigned int nr;
};

void irq_init(struct machine *m);
/* All MSI routes away, as after a reset */
void irq_reset(struct machine *m);
void irq_fini(struct machine *m);

/* ------------------------------------------------------------------------------ loop.c */

struct loop_entry {
	loop_handler *handler;	/* NULL: free */
	void *opaque;
	uint32_t generation;	/* tells events of an fd that was removed since */
};

struct loop {
	int epoll;
	pthread_mutex_t lock;
	struct loop_entry *entries;	/* by fd */
	unsigned int nr;
};

void loop_init(struct machine *m);
/* Waits for events, calls their handlers */
void loop_once(struct machine *m);
void loop_fini(struct machine *m);

/* ------------------------------------------------------------------------------ vcpu.c */

struct vcpu_thread {
	struct machine *machine;
	unsigned int index;
	pthread_t thread;
	/* exits that came here; of the thread */
	uint64_t nr_port;
	uint64_t nr_memory;
};

void vcpus_create(struct machine *m);
/* The threads, which wait for vcpus_go() */
void vcpus_start(struct machine *m);
/* Let them run guest code, if the machine is not asleep. Main thread. */
void vcpus_go(struct machine *m);
/* Ask all to stop; any thread, theirs included */
void vcpus_halt(struct machine *m);
/* Ask, and wait until all have. Main thread. */
void vcpus_stop(struct machine *m);
/* To the state after power-on. Stopped. */
void vcpus_reset(struct machine *m);
/* End the threads, if there are any */
void vcpus_join(struct machine *m);
void vcpus_destroy(struct machine *m);

/* ------------------------------------------------------------------------------ numa.c */

/* Guest memory on the nodes of the host that were asked for. Before anything has touched it. */
void numa_bind(struct machine *m);
/* A topology for the guest's nodes, in a table that hvx supports */
void numa_cpuid(struct machine *m, struct hvx_cpuid_entry *entries, unsigned int nr);

/* ---------------------------------------------------------------------------- memory.c */

/* A line and an end where a device meets memory that the host has lost. After start_devices(). */
void mem_watch(struct machine *m);

/* ----------------------------------------------------------------------------- chips.c */

/* State of the chips in the kernel: as at the beginning */
void chips_save(struct machine *m);
void chips_reset(struct machine *m);
/* The paravirtual clock: the guest does not see the time for which it was paused */
void clock_stop(struct machine *m);
void clock_go(struct machine *m);

/* --------------------------------------------------------------------------- sandbox.c */

#define MAX_SYSCALLS	256

struct sandbox {
	uid_t uid;		/* whom to become; 0: stay */
	gid_t gid;
	int syscalls[MAX_SYSCALLS];
	unsigned int nr;
	struct {
		int fd;
		bool readonly;
	} directory[MAX_SHARES];
	unsigned int nr_directories;
};

/* Whom to become, while the list of users can be read */
void sandbox_init(struct machine *m);
/* Become nobody, for good. Before there are threads. */
void sandbox_drop_privileges(struct machine *m);
/* landlock.c: no files but those that devices need. Then, and still before there are threads. */
void landlock_enter(struct machine *m);
/* The system call filter, for all threads */
void sandbox_enter(struct machine *m);

/* --------------------------------------------------------------------------- machine.c */

struct machine_private {
	struct bus pio, mmio;
	struct irq irq;
	struct loop loop;
	struct sandbox sandbox;
	struct device *devices;		/* in the order of registration */

	pthread_mutex_t lock;		/* all that follows, but for atomics */
	pthread_cond_t parked;		/* nr_parked has grown */
	pthread_cond_t go;		/* stop is false now, or quit is true */
	struct vcpu_thread *threads;
	unsigned int nr_threads;
	unsigned int nr_parked;
	bool stop;
	bool quit;
	bool asleep;			/* in S3: stop stays true */
	bool wake;			/* and to be woken by the main thread */

	int wake_fd;			/* eventfd: the main loop shall look at fate */
	int signal_fd;
	unsigned int nr_signals;	/* that asked for the end */
	bool signal_woke;		/* one before them woke the guest, uncounted */
	enum fate fate;
	int status;			/* of FATE_DEBUG_EXIT */
	bool running;			/* guest code may run: not paused; main thread */
	struct hvx_clock clock;		/* the guest's, when it was paused */
	unsigned int nr_resets;

	void *initial_state;		/* of each vCPU, one behind the other */
	uint32_t state_size;		/* room for one */
	uint32_t *state_len;
	struct hvx_pic_state pic[2];
	struct hvx_ioapic_state ioapic;
	struct hvx_pit_state pit;
};

#endif
