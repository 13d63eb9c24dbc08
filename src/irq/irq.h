/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt controllers in the kernel: what the rest of the core may ask of src/irq/, and what its
 * files ask of each other.
 *
 *   lapic.c	local APIC of a vCPU: registers, priorities, EOI, x2APIC, LVT
 *   apic_timer.c	its timer: one-shot, periodic, TSC-deadline
 *   ipi.c	messages to local APICs: destination match, delivery modes, INIT and SIPI
 *   ioapic.c	I/O APIC
 *   pic.c	8259 pair
 *   i8254.c	8254 with the speaker gate	pit.c	its interrupt
 *   chips.c	these three in a VM: lock, state, ioctls
 *   route.c	GSI -> pins of the chips, or a message (MSI)
 *   irqfd.c	eventfd -> GSI, with resampling
 *   bus.c	who answers a port or a guest-physical address: the chips and ioeventfd
 *
 * Locks. vm->irq.lock is a raw spinlock taken with interrupts off: it guards the state of PIC,
 * I/O APIC and PIT, and is the innermost lock but for those of timers and wait queues. A local
 * APIC is owned by its vCPU (vcpu->lock) but for IRR, TMR and the pending bits, which anybody sets
 * atomically. Tables (routes, bus) are replaced as a whole: written under vm->lock, read under
 * vm->srcu, in a window, or under rcu as the field says.
 */
#ifndef HVX_IRQ_H
#define HVX_IRQ_H

#include <linux/spinlock.h>
#include <linux/types.h>

struct hvx_vm;
struct hvx_vcpu;

struct hvx_bus;
struct hvx_chips;

/* Interrupt chips of a VM, embedded in struct hvx_vm */
struct hvx_irq {
	raw_spinlock_t lock;		/* state of the chips, see above */
	struct hvx_chips *chips;	/* [I] NULL without HVX_VM_LAPIC */
	struct hvx_bus __rcu *bus;	/* [s] NULL: nobody answers */
};

/* Delivery modes of messages: Intel SDM vol. 3A, "Interrupt Command Register" */
enum hvx_delivery {
	HVX_DM_FIXED = 0, HVX_DM_LOWEST = 1, HVX_DM_SMI = 2, HVX_DM_NMI = 4, HVX_DM_INIT = 5,
	HVX_DM_STARTUP = 6, HVX_DM_EXTINT = 7,
};

/* A message to local APICs, as the interrupt bus would carry it */
struct hvx_irq_msg {
	u32 dest;		/* APIC ID or logical destination */
	u8 vector;
	u8 delivery;		/* enum hvx_delivery */
	bool logical;		/* destination mode */
	bool level;		/* trigger mode: level */
	bool assert;		/* level of INIT; true else */
};

/* ------------------------------------------------------------- local APIC (lapic.c, ipi.c) */

/* 0 or -ENOMEM; nothing for VMs without HVX_VM_LAPIC. Context: process. */
int hvx_lapic_init(struct hvx_vcpu *vcpu);
void hvx_lapic_fini(struct hvx_vcpu *vcpu);

/*
 * Deliver to every local APIC that the destination names. Returns how many took it, 0 for none
 * (masked, switched off, no such APIC), -1 when it was merged with one that was still pending.
 * Context: any, interrupts on or off, window included.
 */
int hvx_irq_deliver(struct hvx_vm *vm, const struct hvx_irq_msg *msg);

/* Is this an address that devices send messages to? */
bool hvx_msi_address_valid(u64 address);

/* MSI as a device writes it; the same return values. Context: any. */
int hvx_irq_deliver_msi(struct hvx_vm *vm, u64 address, u32 data);

/* The vCPU with this APIC ID, or NULL. Context: rcu_read_lock() or interrupts off. */
struct hvx_vcpu *hvx_vcpu_by_apic_id(struct hvx_vm *vm, u32 id);

/* The output of the 8259 pair changed: vCPUs that take ExtINT look at it. Context: any. */
void hvx_lapic_pic_changed(struct hvx_vm *vm);

/* --------------------------------------------------------------- chips (route.c and others) */

int hvx_irq_module_init(void);
void hvx_irq_module_exit(void);

/* The ioctls of a VM's descriptor that are about chips, lines and eventfds; else -ENOTTY */
long hvx_irq_ioctl(struct hvx_vm *vm, unsigned int cmd, void __user *argp);

int hvx_irq_vm_init(struct hvx_vm *vm);
/* Context: process; no vCPU runs any more, descriptors of irqfds may still signal until it ends */
void hvx_irq_vm_fini(struct hvx_vm *vm);

/*
 * Set a line by its GSI. The level of a line is the OR over its sources. Returns as
 * hvx_irq_deliver() does; -EINVAL for a GSI without route. Context: any.
 */
int hvx_irq_set(struct hvx_vm *vm, u32 source, u32 gsi, bool level);

/* A level-triggered vector was EOIed by a local APIC. Context: any. */
void hvx_irq_eoi(struct hvx_vcpu *vcpu, u8 vector);

/*
 * HVX_REQ_PINS: send what waits at pins of the I/O APIC, because a local APIC may take it now.
 * Context: any.
 */
void hvx_irq_resend(struct hvx_vm *vm);

/* The vector of an interrupt that the 8259 pair offers, acknowledged; -1: none. Context: any. */
int hvx_pic_ack(struct hvx_vm *vm);
bool hvx_pic_pending(struct hvx_vm *vm);

/* ------------------------------------------------------------------------------------- bus */

/*
 * An access that a device in the kernel may answer. True when it did; @data is little-endian.
 * Context: vm->srcu or window; -EAGAIN-like needs do not exist: devices answer from any context.
 */
bool hvx_bus_pio(struct hvx_vcpu *vcpu, u16 port, u32 width, bool write, void *data);
/* Might a device in the kernel take some accesses to this guest-physical address? */
bool hvx_bus_covers(const struct hvx_vm *vm, u64 gpa);

/* IN or OUT of one value with RAX, for fast.h: true when it is over. The VM has a bus. */
bool hvx_bus_fast_io(struct hvx_vcpu *vcpu, u16 port, u32 width, bool in);
/* Might a device in the kernel take some accesses to this port? */
bool hvx_bus_has_port(const struct hvx_vm *vm, u16 port);
bool hvx_bus_mmio(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, void *data);

#endif
