/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machine.h: the virtual PC, and what its parts may ask of each other.
 *
 *	machine/	memory map, buses, vCPU threads, the main loop, the machine's fate
 *	boot/		images and ACPI tables put into memory, the first vCPU's registers
 *	dev/		what a PC has besides PCI: serial port, clock, power, debug ports
 *	pci/		host bridge, configuration space, BARs, MSI-X
 *	virtio/		transports (PCI, MMIO), virtqueues, devices
 *	control/	control socket
 *
 * Threads. One per vCPU runs HVX_RUN and calls the handlers of the buses, under no lock: a device
 * takes its own. The main thread runs the loop (files, timers, signals, control socket). Devices
 * with queues have a thread each. Set-up is done before the first vCPU thread starts, reset while
 * all vCPU threads are stopped.
 *
 * Physical memory
 *	0		RAM, up to 3 GiB; 0xa0000 .. 0xfffff holds tables, not usable RAM
 *	0xc0000000	ECAM, 1 MiB (bus 0)
 *	0xd0000000	PCI memory window, up to 0xfeb00000
 *	0xfeb00000	virtio over MMIO, a page for each slot
 *	0xfec00000	I/O APIC; 0xfee00000 local APIC
 *	4 GiB		the rest of RAM
 */
#ifndef RUNVM_MACHINE_H
#define RUNVM_MACHINE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "options.h"
#include "vm.h"

#define ECAM_BASE	0xc0000000ULL
#define ECAM_SIZE	0x00100000ULL
#define PCI_MMIO_BASE	0xd0000000ULL
#define PCI_MMIO_END	0xfeb00000ULL
#define PCI_PORT_BASE	0xc000
#define PCI_PORT_END	0x10000
#define VIRTIO_MMIO_BASE 0xfeb00000ULL
#define VIRTIO_MMIO_STEP 0x1000ULL
#define VIRTIO_MMIO_MAX	32	/* slots */
#define VIRTIO_MMIO_LINES 4
#define IOAPIC_BASE	0xfec00000ULL
#define LAPIC_BASE	0xfee00000ULL

/* Interrupt lines (GSIs). 0-15 as in a PC. */
enum {
	GSI_TIMER = 0,
	GSI_KEYBOARD = 1,
	GSI_SERIAL = 4,
	GSI_RTC = 8,
	GSI_SCI = 9,		/* ACPI: level-triggered, active high here */
	GSI_PCI = 16,		/* 16 .. 19: INTA .. INTD, level-triggered */
	GSI_VIRTIO_MMIO = 20,	/* 20 .. 23: the slots in turn, level-triggered */
	GSI_FIRST_MSI = 24,	/* machine_alloc_gsi() gives these out */
};

/* I/O ports of the machine's own, as the ACPI tables announce them */
enum {
	PORT_DEBUG_EXIT = 0xf4,		/* OUT n ends runvm with status n << 1 | 1 */
	PORT_DEBUG_CONSOLE = 0xe9,
	PORT_PVPANIC = 0x505,
	PORT_ACPI_PM1_EVT = 0x600,	/* 4 bytes */
	PORT_ACPI_PM1_CNT = 0x604,	/* 2 bytes */
	PORT_ACPI_SLEEP = 0x604,
	PORT_ACPI_PM_TIMER = 0x608,	/* 4 bytes */
	PORT_RESET = 0xcf9,		/* RESET_CONTROL_FULL: the machine is reset */
};

/*
 * What the ACPI tables say of these: no SMI_CMD, so that PM1 control always reads with SCI_EN; no
 * GPEs; the power button, the sleep button and the clock's alarm are fixed features (PWRBTN_STS,
 * PWRBTN_EN and so on); the timer has 32 bits; SLP_TYP of S3 and S5 are ACPI_SLP_TYP_S3 and
 * ACPI_SLP_TYP_S5, no other sleep states; the century is in CMOS register CMOS_CENTURY.
 */
#define ACPI_SLP_TYP_S3		3
#define ACPI_SLP_TYP_S5		5
#define RESET_CONTROL_FULL	0x06
#define CMOS_CENTURY		0x32

static inline uint64_t virtio_mmio_base(unsigned int slot)
{
	return VIRTIO_MMIO_BASE + slot * VIRTIO_MMIO_STEP;
}

static inline uint32_t virtio_mmio_gsi(unsigned int slot)
{
	return GSI_VIRTIO_MMIO + slot % VIRTIO_MMIO_LINES;
}

struct machine;

/* ------------------------------------------------------------------------------- memory */

/*
 * Guest memory as bytes; NULL where it is not RAM from beginning to end. Devices must take what
 * they get as volatile data of a hostile guest.
 */
void *mem_at(struct machine *m, uint64_t gpa, uint64_t len);
/*
 * Give the host back what of these bytes of RAM is whole pages: the guest reads zeroes there, and
 * has new memory where it writes. 0 or an error number.
 */
int mem_discard(struct machine *m, void *at, uint64_t len);

/*
 * Memory may go while it is accessed: a page that the host loses, the end of a file that is mapped.
 * False when that happened in @access; it is left wherever it was then.
 */
bool mem_try(void (*access)(void *data), void *data);
/*
 * For handlers of SIGBUS that can be interrupted by it (SA_NODEFER): does not return if this thread
 * is in mem_try().
 */
void mem_lost(void);

/*
 * What a device's thread blocks: the main thread's signals, but not those that tell of its own
 * accesses, of which memory that was lost is one. Blocked they would end runvm without a word.
 */
static inline void signals_of_others(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGILL);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGSYS);
}

/* Bytes of RAM below 4 GiB, and above */
uint64_t mem_low(const struct machine *m);
uint64_t mem_high(const struct machine *m);

/* -------------------------------------------------------------------------------- buses */

/*
 * One access of @len bytes (1, 2, 4 or 8), @offset from where the handler was added; @data is
 * little-endian: read it when @write, else fill it in (it is all ones before). Called by vCPU
 * threads, several at a time.
 */
typedef void io_handler(void *opaque, uint64_t offset, unsigned int len, bool write, void *data);

/*
 * Any thread, from handlers too. An access belongs to whom its first byte belongs to; it may reach
 * beyond the range. Ranges do not overlap (the PCI address port is 0xcf8 with @len 1, as 0xcf9 is
 * PORT_RESET): adding one that does is false once the guest runs, and a fault before. An access of
 * eight bytes or less comes as one call, REP I/O as one call each.
 * Removing does not wait for a call that is under way in another thread.
 */
bool bus_add_pio(struct machine *m, uint16_t port, uint16_t len, io_handler *handler, void *opaque);
bool bus_add_mmio(struct machine *m, uint64_t gpa, uint64_t len, io_handler *handler, void *opaque);
void bus_remove_pio(struct machine *m, uint16_t port);
void bus_remove_mmio(struct machine *m, uint64_t gpa);

/* --------------------------------------------------------------------------- interrupts */

/* Any thread */
void machine_irq(struct machine *m, uint32_t gsi, bool level);
void machine_msi(struct machine *m, uint64_t address, uint32_t data);

/*
 * MSI routes. A device with MSI-X takes a GSI for each vector and binds an eventfd to it; writing
 * the eventfd then raises the message without a system call of this VM's. machine_route_msi() may
 * be called at any time, by any thread.
 */
uint32_t machine_alloc_gsi(struct machine *m);
void machine_route_msi(struct machine *m, uint32_t gsi, uint64_t address, uint32_t data);
/* Take the route away: the vector is masked */
void machine_unroute_msi(struct machine *m, uint32_t gsi);
/* @resample_fd -1: edge-triggered */
void machine_irqfd(struct machine *m, uint32_t gsi, int fd, int resample_fd, bool add);
/*
 * Guest writes of @len bytes (0: any) to @addr signal @fd. @match NULL: any value. False when that
 * cannot be had, because something else takes these writes, say: they then go to the bus.
 */
bool machine_ioeventfd(struct machine *m, bool pio, uint64_t addr, uint32_t len,
		       const uint64_t *match, int fd, bool add);

/* ---------------------------------------------------------------------------- main loop */

/* @events: EPOLLIN ...; called in the main thread. loop_add() changes what an fd has already. */
typedef void loop_handler(void *opaque, uint32_t events);
void loop_add(struct machine *m, int fd, uint32_t events, loop_handler *handler, void *opaque);
/* The same, but a failure (EPERM: a file that is always ready) is returned */
int loop_try_add(struct machine *m, int fd, uint32_t events, loop_handler *handler, void *opaque);
void loop_remove(struct machine *m, int fd);

/* ------------------------------------------------------------------------ life of a machine */

/* How it ends. Exit status of runvm: 0 for POWER_OFF, else as the manual page says. */
enum fate {
	FATE_NONE,
	FATE_POWER_OFF,
	FATE_RESET,		/* starts anew, or ends with --no-reboot */
	FATE_PANIC,		/* pvpanic, HVX_SYSTEM_CRASH */
	FATE_TRIPLE_FAULT,
	FATE_DEBUG_EXIT,	/* status from the guest */
	FATE_ERROR,		/* an exit nobody knows: said on standard error */
	FATE_QUIT,		/* control socket, second signal */
};

/* Any thread: the first one counts. Returns at once; the main thread does the rest. */
void machine_end(struct machine *m, enum fate how, int status);

/* Press the power button: any thread. One that sleeps wakes. */
void machine_press_power(struct machine *m);
/* As if this signal had come: see machine.c. Main thread. */
void machine_take_signal(struct machine *m, int signal);
/*
 * S3, in which all but memory and what has an after_s3() is without power (dev/power.c). The guest
 * goes there by itself; what wakes it is the power button, the following, or machine_wake(), which
 * is false where nobody sleeps. Any thread.
 */
void machine_press_sleep(struct machine *m);
void machine_rtc_alarm(struct machine *m);
bool machine_wake(struct machine *m);
/* From dev/power.c; any thread. The main thread wakes the machine, not before it may run. */
void machine_enter_s3(struct machine *m);
void machine_leave_s3(struct machine *m);
/* Main thread only */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
/* Not paused; it may be asleep */
bool machine_is_running(const struct machine *m);
bool machine_is_asleep(struct machine *m);
/* How often the guest was reset */
unsigned int machine_resets(const struct machine *m);

/*
 * A device: what the machine calls. Register with machine_add_device() at set-up; members may be
 * NULL. Order: as registered; close() in reverse.
 */
struct device {
	const char *name;
	void (*reset)(struct device *dev);	/* all vCPU threads stopped */
	/*
	 * Instead of reset(), for what has power in S3: the chips are as after a reset, so that the
	 * device must tell them the levels of its lines again
	 */
	void (*after_s3)(struct device *dev);
	void (*start)(struct device *dev);	/* before guest code: threads may start */
	void (*pause)(struct device *dev);	/* no access to guest memory until resume() */
	void (*resume)(struct device *dev);
	void (*close)(struct device *dev);
	struct device *next;			/* the machine's */
};

void machine_add_device(struct machine *m, struct device *dev);

/*
 * The sandbox kills runvm for system calls that nobody asked for here, at set-up. What threads,
 * eventfds, timers and I/O on open files take is allowed already; opening files, sockets and
 * starting threads once the guest runs is not. @syscalls: __NR_*.
 */
void machine_allow_syscalls(struct machine *m, const int *syscalls, unsigned int nr);
/*
 * Of files only those below directories that are named here may be opened, made, renamed or removed
 * by devices that asked for these calls. @fd stays open. At most MAX_SHARES of them.
 */
void machine_allow_directory(struct machine *m, int fd, bool readonly);

/* ---------------------------------------------------------------- rooms, called by machine/ */

/*
 * boot/: put the image and its tables into memory and set the first vCPU's registers. boot_load()
 * opens the files and puts the image into memory, which is there by then, so that whatever is
 * wrong with it ends the program before anything has started. boot_prepare() comes at the start,
 * when all devices are there, and after each reset, when it loads again from the open files.
 * boot_wake() does what firmware does after S3; false, after a line that says why, if the guest
 * cannot be woken.
 */
void boot_load(struct machine *m);
void boot_prepare(struct machine *m, struct vcpu *first);
bool boot_wake(struct machine *m, struct vcpu *first);

/* boot/acpi.c: RSDP's address */
uint64_t acpi_build(struct machine *m);

/* dev/, pci/, virtio/, control/: devices that the options ask for */
void dev_create(struct machine *m);
void pci_create(struct machine *m);
void virtio_create(struct machine *m);
void control_create(struct machine *m);

/*
 * virtio/balloon.c: memory that the guest gives back. Main thread, and only where there is
 * machine::balloon. balloon_query() asks the guest for newer statistics, too: a later call has
 * them.
 */
#define BALLOON_STATS	16
struct balloon_info {
	uint64_t target;	/* bytes that the guest shall have, */
	uint64_t actual;	/* and has, if its driver is right */
	bool driver;		/* there is one */
	uint64_t reported;	/* bytes of free pages that it has given back so far */
	int64_t age;		/* of the statistics, in ms; -1: there are none */
	unsigned int nr_stats;
	struct {
		const char *name;
		uint64_t value;	/* as the guest says */
	} stat[BALLOON_STATS];
};

void balloon_query(struct machine *m, struct balloon_info *info);
/* @bytes: at most all of memory */
void balloon_set_target(struct machine *m, uint64_t bytes);

/* What the guest writes to its console, and what is typed there; dev/console.c */
void console_write(struct machine *m, const void *data, size_t len);
/* The console's reader: called in the main thread with what was typed; returns how much it took */
typedef size_t console_reader(void *opaque, const void *data, size_t len);
void console_set_reader(struct machine *m, console_reader *reader, void *opaque);
/* The reader has room again. Any thread. */
void console_pull(struct machine *m);
/* runvm was stopped and continues: take the terminal again */
void console_continue(struct machine *m);

/* ---------------------------------------------------------------------------- the machine */

/* machine/numa.c: does the host have the nodes and CPUs that were asked for? Or the end. */
void numa_check(const struct options *o);

/* Open and check all that the options ask for; ends the program with a line for what is wrong */
void machine_create(struct machine *m, const struct options *options);
/* Run the guest to its end; returns the exit status */
int machine_run(struct machine *m);
void machine_destroy(struct machine *m);

struct machine {
	struct vm vm;			/* memory: see vm.h */
	const struct options *options;
	unsigned int nr_vcpus;
	struct vcpu *vcpus;
	unsigned int nr_virtio_mmio;	/* devices over MMIO: they have the first slots */
	struct console *console;	/* dev/console.c */
	struct power *power;		/* dev/power.c */
	struct balloon *balloon;	/* virtio/balloon.c, or NULL */
	/* machine/private.h */
	struct machine_private *p;
};

#endif
