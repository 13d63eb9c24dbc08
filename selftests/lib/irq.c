// SPDX-License-Identifier: GPL-2.0-only
/* irq.c: the host's side of tests of interrupt chips, see irq.h. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "irq.h"

int vm_irq_line(struct vm *vm, uint32_t gsi, uint32_t level)
{
	struct hvx_irq_line line = { .size = sizeof(line), .gsi = gsi, .level = level };

	return xioctl(vm->fd, HVX_IRQ_LINE, &line);
}

int vm_routing(struct vm *vm, const struct hvx_route *routes, uint32_t nr)
{
	struct hvx_routing routing = {
		.size = sizeof(routing), .nr = nr, .routes = (uintptr_t)routes,
	};

	return xioctl(vm->fd, HVX_SET_ROUTING, &routing);
}

int vm_irqfd(struct vm *vm, uint32_t flags, int fd, uint32_t gsi, int resample_fd)
{
	struct hvx_irqfd irqfd = {
		.size = sizeof(irqfd), .flags = flags, .fd = fd, .gsi = gsi,
		.resample_fd = resample_fd,
	};

	return xioctl(vm->fd, HVX_IRQFD, &irqfd);
}

int vm_ioeventfd(struct vm *vm, uint32_t flags, uint64_t addr, uint32_t len, int fd,
		 uint64_t match)
{
	struct hvx_ioeventfd ioeventfd = {
		.size = sizeof(ioeventfd), .flags = flags, .addr = addr, .len = len, .fd = fd,
		.match = match,
	};

	return xioctl(vm->fd, HVX_IOEVENTFD, &ioeventfd);
}

static int chip(struct vm *vm, unsigned long nr, uint32_t id, void *data, uint32_t len)
{
	struct hvx_chip args = {
		.size = sizeof(args), .chip = id, .len = len, .data = (uintptr_t)data,
	};

	return xioctl(vm->fd, nr, &args);
}

int vm_get_chip(struct vm *vm, uint32_t id, void *data, uint32_t len)
{
	return chip(vm, HVX_GET_CHIP, id, data, len);
}

int vm_set_chip(struct vm *vm, uint32_t id, const void *data, uint32_t len)
{
	return chip(vm, HVX_SET_CHIP, id, (void *)data, len);
}

int event_create(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	REQUIRE(fd >= 0, "eventfd: %s", strerror(errno));
	return fd;
}

void event_signal(int fd)
{
	uint64_t one = 1;

	REQUIRE(write(fd, &one, sizeof(one)) == sizeof(one), "eventfd: %s", strerror(errno));
}

uint64_t event_count(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}
