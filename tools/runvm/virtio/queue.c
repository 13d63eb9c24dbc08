// SPDX-License-Identifier: GPL-2.0-only
/*
 * queue.c: split virtqueues, the device's side ("Split Virtqueues").
 *
 *	set-up		the three areas, as bytes of runvm
 *	take		a chain of descriptors becomes iovecs, every field checked
 *	give		used ring, notifications to the driver and from it
 *	iovecs
 *
 * All of it is memory that the guest writes at any time. Each field is read once (read_once(),
 * read_desc()), checked, and used as read.
 */
#include <string.h>

#include "virtio/virtio.h"

#define read_once(x)		(*(const volatile typeof(x) *)&(x))
#define write_once(x, v)	(*(volatile typeof(x) *)&(x) = (v))

/* Areas of a ring of n entries, with the event fields: there or not, they are part of it */
#define AVAIL_SIZE(n)	(6 + 2 * (uint64_t)(n))
#define USED_SIZE(n)	(6 + 8 * (uint64_t)(n))

/* -------------------------------------------------------------------------------- set-up */

/* "The memory alignment and size requirements, in bytes, of each part of the virtqueue" */
static void *area(struct machine *m, uint64_t gpa, uint64_t len, uint64_t align)
{
	return gpa % align ? NULL : mem_at(m, gpa, len);
}

bool vq_enable(struct virtqueue *vq, struct machine *m)
{
	vq->desc = area(m, vq->desc_gpa, sizeof(struct vring_desc) * (uint64_t)vq->size, 16);
	vq->avail = area(m, vq->avail_gpa, AVAIL_SIZE(vq->size), 2);
	vq->used = area(m, vq->used_gpa, USED_SIZE(vq->size), 4);
	vq->last_avail = 0;
	vq->used_idx = 0;
	vq->published = 0;
	vq->enabled = vq->desc && vq->avail && vq->used;
	return vq->enabled;
}

void vq_disable(struct virtqueue *vq)
{
	vq->enabled = false;
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
}

/* The driver's wish when to be interrupted, the device's when to be notified */
static uint16_t *used_event(const struct virtqueue *vq)
{
	return &vq->avail->ring[vq->size];
}

static uint16_t *avail_event(const struct virtqueue *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

/* ---------------------------------------------------------------------------------- take */

/*
 * A walk along one chain. What each descriptor needs is here, where the compiler sees that nobody
 * else changes it: requests have hundreds of them.
 */
struct walk {
	struct virtqueue *vq;
	const struct vring_desc *table;		/* the queue's, then an indirect one */
	unsigned int entries;			/* of @table */
	unsigned int left;			/* descriptors that may still come */
	bool in_indirect;
	uint8_t *mem;				/* RAM from address 0 on */
	uint64_t low;				/* as much of it */
	struct iovec *to;			/* where the next buffer goes */
	unsigned int nr_out, nr_in;		/* as in struct vq_chain */
	size_t out_len, in_len;
};

static struct vring_desc read_desc(const struct vring_desc *from)
{
	struct vring_desc d;

	/* A table need not be aligned. The barrier keeps the compiler from reading twice. */
	memcpy(&d, from, sizeof(d));
	asm volatile("" : : : "memory");
	return d;
}

static bool bad(struct virtqueue *vq, const char *why)
{
	virtio_broken(vq->v, why);
	return false;
}

/* mem_at(), without the call where RAM is that most buffers are in */
static inline void *buffer_at(const struct walk *w, uint64_t gpa, uint32_t len)
{
	if (gpa < w->low && len <= w->low - gpa)
		return w->mem + gpa;
	return mem_at(w->vq->v->m, gpa, len);
}

static inline bool add_buffer(struct walk *w, const struct vring_desc *d)
{
	void *base;

	if (!d->len)
		return true;
	base = buffer_at(w, d->addr, d->len);
	if (!base)
		return bad(w->vq, "a buffer is not in RAM");
	*w->to++ = (struct iovec){ .iov_base = base, .iov_len = d->len };
	if (d->flags & VRING_DESC_F_WRITE) {
		w->nr_in++;
		w->in_len += d->len;
		return true;
	}
	if (w->nr_in)
		return bad(w->vq, "a buffer to read follows one to write");
	w->nr_out++;
	w->out_len += d->len;
	return true;
}

/* "Indirect Descriptors": at most one, at the end of the chain, none inside */
static inline bool enter_indirect(struct walk *w, const struct vring_desc *d)
{
	if (!w->vq->indirect || w->in_indirect)
		return bad(w->vq, "an indirect descriptor where none may be");
	if (d->flags & VRING_DESC_F_NEXT)
		return bad(w->vq, "an indirect descriptor with a next one");
	if (!d->len || d->len % sizeof(struct vring_desc))
		return bad(w->vq, "an indirect table of impossible size");
	w->table = buffer_at(w, d->addr, d->len);
	if (!w->table)
		return bad(w->vq, "an indirect table is not in RAM");
	w->entries = d->len / sizeof(struct vring_desc);
	w->in_indirect = true;
	return true;
}

/* A chain as long as the queue is the longest: one more is a loop, or against the rules */
static inline bool walk_chain(struct walk *w, unsigned int next)
{
	struct vring_desc d;

	for (;;) {
		if (next >= w->entries)
			return bad(w->vq, "a descriptor's number is too large");
		d = read_desc(&w->table[next]);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_indirect(w, &d))
				return false;
			next = 0;
			continue;
		}
		if (!w->left--)
			return bad(w->vq, "a chain of descriptors is longer than the queue");
		if (!add_buffer(w, &d))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		next = d.next;
	}
}

bool vq_pending(struct virtqueue *vq)
{
	return vq->enabled &&
	       __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE) != vq->last_avail;
}

bool vq_pop(struct virtqueue *vq, struct vq_chain *c)
{
	const struct vm *vm = &vq->v->m->vm;
	struct walk w = {
		.vq = vq, .table = vq->desc, .entries = vq->size, .left = vq->size, .to = c->iov,
		.mem = vm->mem, .low = vm->mem_size < MEM_LOW_MAX ? vm->mem_size : MEM_LOW_MAX,
	};
	uint16_t idx, head;

	if (!vq->enabled || vq->v->broken)
		return false;
	/* Acquire: the entries and descriptors are read after the index that announces them */
	idx = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	if (idx == vq->last_avail)
		return false;
	if ((uint16_t)(idx - vq->last_avail) > vq->size)
		return bad(vq, "more buffers are available than the queue has");
	head = read_once(vq->avail->ring[vq->last_avail & (vq->size - 1)]);
	if (!walk_chain(&w, head))
		return false;
	*c = (struct vq_chain){
		.head = head, .nr_out = w.nr_out, .nr_in = w.nr_in, .out_len = w.out_len,
		.in_len = w.in_len, .iov = c->iov,
	};
	vq->last_avail++;
	return true;
}

void vq_undo(struct virtqueue *vq, unsigned int nr)
{
	vq->last_avail -= nr;
}

/* ---------------------------------------------------------------------------------- give */

void vq_push(struct virtqueue *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem;

	if (!vq->enabled)
		return;
	elem = &vq->used->ring[vq->used_idx & (vq->size - 1)];
	write_once(elem->id, head);
	write_once(elem->len, len);
	vq->used_idx++;
}

/* "Used Buffer Notification Suppression", "Available Buffer Notification Suppression" */
static bool wants_event(const struct virtqueue *vq, uint16_t old, uint16_t new)
{
	if (!vq->event_idx)
		return !(read_once(vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(read_once(*used_event(vq)), new, old);
}

bool vq_publish(struct virtqueue *vq)
{
	uint16_t old = vq->published;

	if (!vq->enabled || old == vq->used_idx)
		return false;
	__atomic_store_n(&vq->used->idx, vq->used_idx, __ATOMIC_RELEASE);
	vq->published = vq->used_idx;
	/*
	 * The driver sets its event and then looks at the index; here it is the other way round.
	 * With both in order one of the two sees the other.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return wants_event(vq, old, vq->used_idx);
}

void vq_quiet(struct virtqueue *vq)
{
	/* With the event index nothing is to be done: the event stays where it is, behind */
	if (vq->enabled && !vq->event_idx)
		write_once(vq->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool vq_listen(struct virtqueue *vq)
{
	if (!vq->enabled)
		return false;
	if (vq->event_idx)
		write_once(*avail_event(vq), vq->last_avail);
	else
		write_once(vq->used->flags, 0);
	/* As in vq_publish(): the wish first, then the look */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq_pending(vq);
}

/* -------------------------------------------------------------------------------- iovecs */

/* One pass over the part of @iov that is at @offset, @len bytes at most */
static size_t copy(const struct iovec *iov, unsigned int nr, size_t offset, uint8_t *bytes,
		   size_t len, bool write)
{
	size_t done = 0, part;
	uint8_t *at;

	for (; nr && done < len; iov++, nr--) {
		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		at = (uint8_t *)iov->iov_base + offset;
		part = iov->iov_len - offset;
		if (part > len - done)
			part = len - done;
		if (write)
			memcpy(at, bytes + done, part);
		else
			memcpy(bytes + done, at, part);
		done += part;
		offset = 0;
	}
	/* What was read is not read again when it is checked and used */
	asm volatile("" : : : "memory");
	return done;
}

size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *to, size_t len)
{
	return copy(iov, nr, offset, to, len, false);
}

size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *from,
		 size_t len)
{
	return copy(iov, nr, offset, (uint8_t *)from, len, true);
}

unsigned int iov_advance(struct iovec *iov, unsigned int nr, size_t len)
{
	unsigned int skip = 0;

	while (skip < nr && len >= iov[skip].iov_len)
		len -= iov[skip++].iov_len;
	if (skip < nr) {
		iov[skip].iov_base = (uint8_t *)iov[skip].iov_base + len;
		iov[skip].iov_len -= len;
	}
	return skip;
}
