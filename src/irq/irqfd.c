// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eventfds that raise interrupts.
 *
 *   wakeup()		somebody wrote to the eventfd: deliver at once, in the writer's context
 *   assign()		add one
 *   deactivate()	take one off the list: no interrupt comes of it any more, and a work item
 *			frees it. Removal by ioctl, the end of the VM and the last close of the
 *			eventfd (which cannot sleep) all go this way.
 *   hvx_irqfd_resample()	EOI: lines of resampling irqfds fall, their second eventfds say so
 *
 * An irqfd that is on the list has not been freed, for who holds irqfd_lock. Its wait queue entry
 * is removed by the work item: until then wakeup() may run.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "vcpu/vcpu.h"
#include "chips.h"

struct irqfd {
	struct hvx_vm *vm;
	u32 gsi;
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resample;	/* NULL: edge */
	wait_queue_entry_t wait;
	poll_table pt;
	struct list_head node;		/* of irqfds; empty: deactivated. irqfd_lock */
	struct list_head resampler;	/* of resamplers. irqfd_lock, read under chips->srcu */
	struct work_struct free;
};

static struct workqueue_struct *free_wq;

static void inject(struct irqfd *irqfd)
{
	if (irqfd->resample)
		hvx_irq_set(irqfd->vm, HVX_SOURCE_RESAMPLE, irqfd->gsi, true);
	else
		hvx_irq_pulse(irqfd->vm, irqfd->gsi);
}

/* ------------------------------------------------------------------------------- end */

static bool other_resampler(struct irqfd *irqfd)
{
	struct irqfd *other;

	list_for_each_entry(other, &irqfd->vm->irq.chips->resamplers, resampler) {
		if (other->gsi == irqfd->gsi)
			return true;
	}
	return false;
}

/* wakeup() runs no more: nothing raises the line on behalf of this one */
static void remove_resampler(struct irqfd *irqfd)
{
	struct hvx_chips *chips = irqfd->vm->irq.chips;

	spin_lock_irq(&chips->irqfd_lock);
	list_del_rcu(&irqfd->resampler);
	/*
	 * Nobody is left who would lower the line. Under the lock: one that comes is on the list
	 * before it can raise it.
	 */
	if (!other_resampler(irqfd))
		hvx_irq_set(irqfd->vm, HVX_SOURCE_RESAMPLE, irqfd->gsi, false);
	spin_unlock_irq(&chips->irqfd_lock);
	synchronize_srcu_expedited(&chips->srcu);
	eventfd_ctx_put(irqfd->resample);
}

static void free_work(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, free);
	u64 count;

	/* From here on wakeup() runs no more */
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resample)
		remove_resampler(irqfd);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

static void deactivate(struct irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irq.chips->irqfd_lock);
	list_del_init(&irqfd->node);
	queue_work(free_wq, &irqfd->free);
}

/* The last descriptor of the eventfd was closed */
static void hang_up(struct irqfd *irqfd)
{
	struct hvx_chips *chips = irqfd->vm->irq.chips;
	unsigned long irqflags;

	spin_lock_irqsave(&chips->irqfd_lock, irqflags);
	if (!list_empty(&irqfd->node))
		deactivate(irqfd);
	spin_unlock_irqrestore(&chips->irqfd_lock, irqflags);
}

/* Context: the eventfd's wait-queue lock, interrupts off */
static int wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	int taken = 0;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		inject(irqfd);
		taken = 1;
	}
	if (events & EPOLLHUP)
		hang_up(irqfd);
	return taken;
}

/* ------------------------------------------------------------------------- resampling */

void hvx_irqfd_resample(struct hvx_vm *vm, enum hvx_pin_chip chip, u32 pins)
{
	struct hvx_chips *chips = vm->irq.chips;
	struct irqfd *irqfd;
	int idx;

	if (list_empty(&chips->resamplers))
		return;
	idx = srcu_read_lock(&chips->srcu);
	/* All lines fall before anybody is told: who raises one again must not see it fall */
	list_for_each_entry_srcu(irqfd, &chips->resamplers, resampler,
				 srcu_read_lock_held(&chips->srcu)) {
		if (hvx_route_leads_to(vm, irqfd->gsi, chip, pins))
			hvx_irq_set(vm, HVX_SOURCE_RESAMPLE, irqfd->gsi, false);
	}
	list_for_each_entry_srcu(irqfd, &chips->resamplers, resampler,
				 srcu_read_lock_held(&chips->srcu)) {
		if (hvx_route_leads_to(vm, irqfd->gsi, chip, pins))
			hvx_eventfd_signal(irqfd->resample);
	}
	srcu_read_unlock(&chips->srcu, idx);
}

/* ------------------------------------------------------------------------- assignment */

static void queue_proc(struct file *file, wait_queue_head_t *queue, poll_table *pt)
{
	struct irqfd *irqfd = container_of(pt, struct irqfd, pt);

	/* Before those who read the eventfd: what became an interrupt is no news for them */
	add_wait_queue_priority(queue, &irqfd->wait);
}

static int take_eventfds(struct irqfd *irqfd, const struct hvx_irqfd *args, struct file *file)
{
	irqfd->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->eventfd))
		return PTR_ERR(irqfd->eventfd);
	if (!(args->flags & HVX_IRQFD_RESAMPLE))
		return 0;
	irqfd->resample = eventfd_ctx_fdget(args->resample_fd);
	if (!IS_ERR(irqfd->resample))
		return 0;
	eventfd_ctx_put(irqfd->eventfd);
	return PTR_ERR(irqfd->resample);
}

/*
 * 0, -EBUSY or -ENOSPC: the lists are bounded because they are walked with interrupts off, and
 * that of resamplers at each EOI
 */
static int publish(struct hvx_chips *chips, struct irqfd *irqfd)
{
	unsigned int nr = 0, resamplers = 0;
	struct irqfd *other;
	int err = 0;

	spin_lock_irq(&chips->irqfd_lock);
	list_for_each_entry(other, &chips->irqfds, node) {
		if (other->eventfd == irqfd->eventfd)
			err = -EBUSY;
		nr++;
		resamplers += !!other->resample;
	}
	if (!err && (nr == HVX_MAX_IRQFDS ||
		     (irqfd->resample && resamplers == HVX_MAX_RESAMPLERS)))
		err = -ENOSPC;
	if (!err) {
		list_add_tail(&irqfd->node, &chips->irqfds);
		if (irqfd->resample)
			list_add_tail_rcu(&irqfd->resampler, &chips->resamplers);
	}
	spin_unlock_irq(&chips->irqfd_lock);
	return err;
}

/* Context: vm->lock; @file is kept open, so that it cannot hang up */
static int assign(struct hvx_vm *vm, const struct hvx_irqfd *args, struct file *file)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	int err;

	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->gsi = array_index_nospec(args->gsi, HVX_MAX_GSI + 1);
	INIT_WORK(&irqfd->free, free_work);
	init_waitqueue_func_entry(&irqfd->wait, wakeup);
	init_poll_funcptr(&irqfd->pt, queue_proc);
	err = take_eventfds(irqfd, args, file);
	if (err)
		goto free;
	err = publish(vm->irq.chips, irqfd);
	if (err)
		goto put;
	/* What was counted before is an interrupt, too */
	if (vfs_poll(file, &irqfd->pt) & EPOLLIN)
		inject(irqfd);
	return 0;
put:
	eventfd_ctx_put(irqfd->eventfd);
	if (irqfd->resample)
		eventfd_ctx_put(irqfd->resample);
free:
	kfree(irqfd);
	return err;
}

static int deassign(struct hvx_vm *vm, const struct hvx_irqfd *args, struct file *file)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fileget(file);
	struct hvx_chips *chips = vm->irq.chips;
	struct irqfd *irqfd, *next;
	int err = -ENOENT;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	spin_lock_irq(&chips->irqfd_lock);
	list_for_each_entry_safe(irqfd, next, &chips->irqfds, node) {
		if (irqfd->eventfd == eventfd && irqfd->gsi == args->gsi) {
			deactivate(irqfd);
			err = 0;
		}
	}
	spin_unlock_irq(&chips->irqfd_lock);
	eventfd_ctx_put(eventfd);
	/* When this call is over no interrupt comes of it any more */
	if (!err)
		flush_workqueue(free_wq);
	return err;
}

static int check_args(const struct hvx_vm *vm, const struct hvx_irqfd *args)
{
	if (args->flags & ~(HVX_IRQFD_REMOVE | HVX_IRQFD_RESAMPLE) || args->reserved ||
	    args->gsi > HVX_MAX_GSI)
		return -EINVAL;
	if (!vm->irq.chips)
		return -EOPNOTSUPP;
	/* Nothing in the kernel that would see its EOI */
	if (args->flags & HVX_IRQFD_RESAMPLE && !(vm->flags & (HVX_VM_IOAPIC | HVX_VM_PIC)))
		return -EINVAL;
	return 0;
}

long hvx_irqfd_set(struct hvx_vm *vm, const struct hvx_irqfd *args)
{
	int err = check_args(vm, args);
	struct file *file;

	if (err)
		return err;
	file = eventfd_fget(args->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	mutex_lock(&vm->lock);
	if (args->flags & HVX_IRQFD_REMOVE)
		err = deassign(vm, args, file);
	else
		err = assign(vm, args, file);
	mutex_unlock(&vm->lock);
	fput(file);
	return err;
}

/* ------------------------------------------------------------------------------ life */

void hvx_irqfd_init(struct hvx_chips *chips)
{
	spin_lock_init(&chips->irqfd_lock);
	INIT_LIST_HEAD(&chips->irqfds);
	INIT_LIST_HEAD(&chips->resamplers);
}

/* Also waits for those that hung up before: their work needs the VM */
void hvx_irqfd_fini(struct hvx_chips *chips)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&chips->irqfd_lock);
	list_for_each_entry_safe(irqfd, next, &chips->irqfds, node)
		deactivate(irqfd);
	spin_unlock_irq(&chips->irqfd_lock);
	flush_workqueue(free_wq);
}

int hvx_irqfd_module_init(void)
{
	free_wq = alloc_workqueue("hvx-irqfd", WQ_UNBOUND, 0);
	return free_wq ? 0 : -ENOMEM;
}

void hvx_irqfd_module_exit(void)
{
	destroy_workqueue(free_wq);
}
