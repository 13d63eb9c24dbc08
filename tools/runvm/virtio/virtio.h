/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio.h: virtio 1.x devices. Names and rules are those of "Virtual I/O Device (VIRTIO) Version
 * 1.2"; only what it calls modern is there, no legacy interface.
 *
 *	queue.c		split virtqueues: take chains of buffers, give them back, notifications
 *	device.c	status, features, queues' set-up: what every device has
 *	worker.c	the thread of a device, and who may use the device when
 *	pci.c mmio.c	transports
 *	create.c	the devices that the options ask for
 *	blk*.c net*.c console.c rng.c vsock.c fs9p.c balloon.c	the devices
 *	p9*.c		what fs9p.c serves directories by
 *	vhost.c	queues that the host's kernel serves
 *
 * Whose turn it is. A device is used by one thread at a time: by its worker, which runs the
 * handlers of queues and files, or by whoever holds virtio_lock(): vCPU threads at the registers,
 * the main thread to pause or reset. virtio_lock() waits for the handler that runs, so handlers are
 * short; what takes long is begun there and finished by an eventfd. Handlers must not call
 * virtio_lock().
 *
 * A device runs from DRIVER_OK until it is reset, breaks (DEVICE_NEEDS_RESET), is paused or may not
 * master the bus. Only then handlers are called, and only then may it touch guest memory: stop()
 * returns when nothing is under way any more, start() begins again where it was.
 *
 * Guests are hostile: what is read from their memory is read once, and checked then.
 */
#ifndef RUNVM_VIRTIO_H
#define RUNVM_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sys/uio.h>

#include "machine.h"

#define VQ_MAX_SIZE		1024	/* descriptors; IOV_MAX is the same */
#define VQ_SIZE			256
#define VIRTIO_MAX_QUEUES	16
#define VIRTIO_NO_VECTOR	0xffff

#define VIRTIO_BIT(nr)		(1ULL << (nr))

struct virtio;

/* ------------------------------------------------------------------------------- queues */

struct virtqueue {
	struct virtio *v;
	unsigned int index;
	uint16_t max_size;
	uint16_t vector;		/* of MSI-X; VIRTIO_NO_VECTOR for none */
	int kick_fd;			/* the driver's notifications; an eventfd */

	/* As the driver set it up, fixed while @enabled */
	bool enabled;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;

	/* queue.c: the rings as bytes, valid while @enabled */
	bool event_idx, indirect;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t last_avail;		/* the next one to take from the available ring */
	uint16_t used_idx;		/* the next one to fill in the used ring */
	uint16_t published;		/* how far the driver can see them */
};

/*
 * One chain: @nr_out buffers to read, then @nr_in to write; none is empty, all are RAM. @iov is the
 * caller's, with room for the queue's max_size.
 */
struct vq_chain {
	uint16_t head;
	unsigned int nr_out, nr_in;
	size_t out_len, in_len;
	struct iovec *iov;
};

static inline struct iovec *vq_in(const struct vq_chain *c)
{
	return c->iov + c->nr_out;
}

/* Begin with the rings where the driver said; false when they are not in RAM or not aligned */
bool vq_enable(struct virtqueue *vq, struct machine *m);
void vq_disable(struct virtqueue *vq);

/* The next chain: false when there is none, or when the ring is bad: then the device is broken */
bool vq_pop(struct virtqueue *vq, struct vq_chain *c);
/* Whether vq_pop() would look at something */
bool vq_pending(struct virtqueue *vq);
/* The last @nr chains were not taken: they come again, in the same order */
void vq_undo(struct virtqueue *vq, unsigned int nr);
/* Give a chain back, @len bytes of it written; the driver sees it after vq_notify() */
void vq_push(struct virtqueue *vq, uint16_t head, uint32_t len);
/* Show the driver what vq_push() gave, interrupt it if it wants that */
void vq_notify(struct virtqueue *vq);
/* The same without the interrupt; whether one is wanted */
bool vq_publish(struct virtqueue *vq);

/* The driver need not notify: the queue is being looked at anyway */
void vq_quiet(struct virtqueue *vq);
/* It shall notify from now on. True when something came meanwhile: look again */
bool vq_listen(struct virtqueue *vq);

/*
 * What a handler mostly does: @one for chains as they come, until the queue is empty or it was its
 * turn for long enough, then vq_notify(). @one may keep the chain for later; false: it was not
 * taken, wait for virtio_kick().
 */
void vq_each(struct virtqueue *vq, struct vq_chain *c,
	     bool (*one)(struct virtqueue *vq, struct vq_chain *c));

/* Copies between buffers and memory of runvm, from @offset on; how many bytes that were */
size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *to, size_t len);
size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *from,
		 size_t len);
/* Cut @len bytes off the beginning; returns how many of the iovecs are now empty: skip those */
unsigned int iov_advance(struct iovec *iov, unsigned int nr, size_t len);

/* ------------------------------------------------------------------------------ devices */

/* A file that the worker watches. The struct is the device's and lives as long as it. */
struct virtio_file {
	int fd;
	void (*ready)(struct virtio *v, struct virtio_file *file, uint32_t events);
	bool watched;			/* worker.c */
};

struct virtio_ops {
	const char *name;		/* "virtio-blk" */
	uint16_t id;			/* VIRTIO_ID_* */
	uint32_t pci_class;		/* base class, subclass, interface */
	/* The worker's turn. May be NULL as the others, if all kicks are given away. */
	void (*handle)(struct virtio *v, struct virtqueue *vq);	/* notified */
	/* Under virtio_lock(), not running. Then all enabled queues are handled. */
	void (*start)(struct virtio *v);
	/* Under virtio_lock(). Nothing touches guest memory or queues when it returns. */
	void (*stop)(struct virtio *v);
	/* Under virtio_lock(), stopped: forget the driver */
	void (*reset)(struct virtio *v);
	/* Under virtio_lock(): the driver wrote to the configuration, bounds are checked */
	void (*write_config)(struct virtio *v, unsigned int offset, unsigned int len,
			     const void *data);
	/* At the end: the worker is gone */
	void (*close)(struct virtio *v);
};

/* Why a device does not run though the driver is there (struct virtio::held) */
#define HELD_PAUSE	(1u << 0)
#define HELD_BUS_MASTER	(1u << 1)

/* What device.c asks of a transport. Any thread. */
struct virtio_transport {
	/* Buffers of @vq were used; NULL: the configuration changed */
	void (*interrupt)(struct virtio *v, struct virtqueue *vq);
	/* The eventfd that does the same for @vq when written, or -1 */
	int (*interrupt_fd)(struct virtio *v, struct virtqueue *vq);
	/* Forget interrupts that the driver has not seen; virtio_lock() is held */
	void (*reset)(struct virtio *v);
};

struct virtio {
	struct machine *m;
	const struct virtio_ops *ops;
	const struct virtio_transport *transport;
	void *transport_data;
	struct device dev;

	uint64_t offered;		/* features of the device */
	uint64_t features;		/* and what the driver takes of them */
	uint8_t status;
	uint16_t config_vector;
	uint32_t generation;		/* of the configuration */
	void *config;			/* the device's own, little-endian */
	unsigned int config_len;
	unsigned int nr_queues;
	struct virtqueue vq[VIRTIO_MAX_QUEUES];
	/* Registers that select what others show */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;

	/* worker.c */
	int epoll;			/* -1 after virtio_only_queues() */
	pthread_t thread;
	bool threaded;
	pthread_mutex_t lock;		/* of all the state here, together with @working */
	pthread_cond_t changed;
	unsigned int waiting;		/* threads in virtio_lock() */
	bool working;			/* it is the worker's turn */
	bool running;			/* see above */
	bool broken;			/* the worker found the driver to break the rules */
	bool quit;
	unsigned int held;
	struct virtio_file wake, intx, kick[VIRTIO_MAX_QUEUES];
};

/*
 * Set-up, in this order: virtio_init() with the zeroed struct virtio of a device, then
 * virtio_attach(). @features: the device's own; what queues can do is added. @queue_size: a power
 * of two, at most VQ_MAX_SIZE. @mmio: over MMIO, even where the options put devices on PCI.
 */
void virtio_init(struct virtio *v, struct machine *m, const struct virtio_ops *ops,
		 unsigned int nr_queues, uint16_t queue_size, uint64_t features);
void virtio_attach(struct virtio *v, bool mmio);
/*
 * Between the two: the device watches no file, and gives no kicks away. handle() then is called for
 * queues that have something, and not for those that are merely notified.
 */
void virtio_only_queues(struct virtio *v);

static inline bool virtio_has(const struct virtio *v, unsigned int feature)
{
	return v->features >> feature & 1;
}

/* Threads that are not the worker: take the device, wait for the handler that runs. Not nested. */
void virtio_lock(struct virtio *v);
void virtio_unlock(struct virtio *v);

/* Under virtio_lock() or in the worker's turn: */

/* The driver broke the rules: DEVICE_NEEDS_RESET, nothing runs until then */
void virtio_broken(struct virtio *v, const char *why);
/* The configuration changed: a new generation, and an interrupt */
void virtio_config_changed(struct virtio *v);
/* Handle @vq again soon, as if notified */
void virtio_kick(struct virtqueue *vq);
/* Watch a file for EPOLLIN ..., level-triggered without EPOLLET; 0 to leave it alone */
void virtio_watch(struct virtio *v, struct virtio_file *file, uint32_t events);

/*
 * For queues that the host's kernel serves (vhost): whether the worker looks at notifications of
 * @vq, or leaves @vq->kick_fd to somebody else; and the eventfd to write for an interrupt, as of
 * start() (-1: the driver wants none).
 */
void virtio_own_kicks(struct virtqueue *vq, bool own);
int virtio_interrupt_fd(struct virtqueue *vq);

/* --------------------------------------------- registers, for transports; virtio_lock() is held */

/* Any write to device_status; 0 resets */
void virtio_set_status(struct virtio *v, uint8_t status);
void virtio_reset(struct virtio *v);
uint32_t virtio_get_features(const struct virtio *v);		/* of the device, by its select */
uint32_t virtio_get_driver_features(const struct virtio *v);
void virtio_set_features(struct virtio *v, uint32_t features);	/* of the driver */
/* The queue that is selected, or NULL */
struct virtqueue *virtio_queue(struct virtio *v);
void virtio_set_queue_size(struct virtio *v, uint32_t size);
void virtio_set_queue_enable(struct virtio *v, bool enable);
/* Replaces 32 bits of an address of the selected queue */
enum virtio_area { VQ_DESC, VQ_AVAIL, VQ_USED };
void virtio_set_queue_addr(struct virtio *v, enum virtio_area area, bool high, uint32_t value);
void virtio_read_config(struct virtio *v, uint64_t offset, unsigned int len, void *data);
void virtio_write_config(struct virtio *v, uint64_t offset, unsigned int len, const void *data);
/* Set and clear reasons not to run */
void virtio_hold(struct virtio *v, unsigned int why, bool hold);

/* worker.c, for device.c */
void worker_init(struct virtio *v);
void worker_start(struct virtio *v);
void worker_stop(struct virtio *v);	/* for good */

/* Transports, called by virtio_attach() */
void virtio_pci_attach(struct virtio *v);
void virtio_mmio_attach(struct virtio *v);

/* Devices, called by virtio_create() */
void blk_create(struct machine *m, const struct disk_option *disk, unsigned int index);
void virtio_console_create(struct machine *m);
void rng_create(struct machine *m);
void net_create(struct machine *m, const struct net_option *option, unsigned int index);
void vsock_create(struct machine *m, uint32_t cid);
void fs9p_create(struct machine *m, const struct share_option *option);
void balloon_create(struct machine *m);

#endif
