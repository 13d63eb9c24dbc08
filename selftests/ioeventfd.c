// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: guest writes that signal an eventfd instead of exiting. Without exact matching a
 * device model loses notifications or gets those of its neighbour; without care about removal an
 * eventfd is signalled that is no longer there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "irq.h"

#define PORT	0x3a0
#define PIO	HVX_IOEVENTFD_PIO
#define MATCH	HVX_IOEVENTFD_MATCH
#define REMOVE	HVX_IOEVENTFD_REMOVE

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* --------------------------------------------------------------------- which writes */

static volatile struct {
	bool pio;
	uint64_t addr, value;
	unsigned int len;
} op;

static GUEST_CODE void write_port(void)
{
	if (op.len == 1)
		asm volatile("outb %%al, %%dx" : : "a"(op.value), "d"((uint16_t)op.addr));
	else if (op.len == 2)
		asm volatile("outw %%ax, %%dx" : : "a"(op.value), "d"((uint16_t)op.addr));
	else
		asm volatile("outl %%eax, %%dx" : : "a"(op.value), "d"((uint16_t)op.addr));
}

static GUEST_CODE void write_memory(void)
{
	if (op.len == 1)
		*(volatile uint8_t *)op.addr = op.value;
	else if (op.len == 2)
		*(volatile uint16_t *)op.addr = op.value;
	else if (op.len == 4)
		*(volatile uint32_t *)op.addr = op.value;
	else
		*(volatile uint64_t *)op.addr = op.value;
}

GUEST(writer)
{
	for (;;) {
		guest_sync(1);
		if (op.pio)
			write_port();
		else
			write_memory();
	}
}

/* Does the guest's write exit? The guest is at its sync before and after. */
static bool exits(struct vcpu *v, bool pio, uint64_t addr, unsigned int len, uint64_t value)
{
	op.pio = pio;
	op.addr = addr;
	op.len = len;
	op.value = value;
	if (vcpu_ucall(v) == UC_SYNC)
		return false;
	if (pio)
		EXPECT(v->run->exit_reason == HVX_EXIT_IO && v->run->io.port == addr &&
		       v->run->io.width == len && v->run->io.write);
	else
		EXPECT(v->run->exit_reason == HVX_EXIT_MMIO && v->run->mmio.gpa == addr &&
		       v->run->mmio.len == len && v->run->mmio.write &&
		       !memcmp(v->run->mmio.data, &value, len));
	vcpu_expect_sync(v, 1);
	return true;
}

static void check_lengths(bool pio, uint64_t base)
{
	struct vcpu *v = start(writer);
	uint32_t flags = pio ? PIO : 0;
	int fd = event_create();
	unsigned int reg, len;

	vcpu_expect_sync(v, 1);
	for (reg = 1; reg <= (pio ? 4 : 8); reg *= 2) {
		EXPECT(!vm_ioeventfd(v->vm, flags, base, reg, fd, 0));
		for (len = 1; len <= (pio ? 4 : 8); len *= 2) {
			EXPECT(exits(v, pio, base, len, 0x1234) == (len != reg), "%u %u", len,
			       reg);
			EXPECT_EQ(event_count(fd), len == reg);
			EXPECT(exits(v, pio, base + 8, len, 1), "%u %u", len, reg);
			EXPECT(exits(v, pio, base - 8, len, 1), "%u %u", len, reg);
		}
		EXPECT(!vm_ioeventfd(v->vm, flags | REMOVE, base, reg, fd, 0));
		EXPECT(exits(v, pio, base, reg, 1));
	}
	EXPECT(!vm_ioeventfd(v->vm, flags, base, 0, fd, 0));
	for (len = 1; len <= (pio ? 4 : 8); len *= 2)
		EXPECT(!exits(v, pio, base, len, -1), "%u", len);
	EXPECT_EQ(event_count(fd), pio ? 3 : 4);
	EXPECT(exits(v, pio, base + 1, 1, 1));
	close(fd);
}

TEST(port_lengths)
{
	check_lengths(true, PORT);
}

TEST(memory_lengths)
{
	check_lengths(false, HOLE + 0x100);
}

static void check_match(bool pio, uint64_t base, unsigned int len)
{
	static const uint64_t values[] = {
		0, 1, 0x7f, 0xff, 0x1234, 0xffff, 0xdeadbeef, 0xffffffff, 0x123456789abcdef0, ~0ULL,
	};
	const unsigned int nr = sizeof(values) / sizeof(*values);
	const uint64_t mask = ~0ULL >> (64 - 8 * len);
	struct vcpu *v = start(writer);
	uint32_t flags = MATCH | (pio ? PIO : 0);
	unsigned int i, k, n = 0;
	int fd[nr];

	vcpu_expect_sync(v, 1);
	for (i = 0; i < nr; i++)
		fd[i] = event_create();
	/* Added back to front and with gaps: order must not matter */
	for (i = nr; i-- > 0;) {
		if (i % 3 && values[i] <= mask)
			EXPECT(!vm_ioeventfd(v->vm, flags, base, len, fd[i], values[i]), "%u", i);
	}
	for (i = 0; i < nr; i++) {
		if (values[i] > mask)
			continue;
		EXPECT(exits(v, pio, base, len, values[i]) == (i % 3 == 0), "%#lx", values[i]);
		n += i % 3 != 0;
		for (k = 0; k < nr; k++)
			EXPECT(event_count(fd[k]) == (k == i && i % 3), "%u %u", i, k);
	}
	EXPECT(exits(v, pio, base, len, 0x55));
	EXPECT(n > 0);
}

TEST(port_match)
{
	check_match(true, PORT, 1);
	check_match(true, PORT, 2);
	check_match(true, PORT, 4);
}

TEST(memory_match)
{
	check_match(false, HOLE, 1);
	check_match(false, HOLE + 0x7f8, 2);
	check_match(false, HOLE, 4);
	check_match(false, HOLE + 0xff8, 8);
}

/* Unaligned and other than plain moves: what counts is address, length and value */
GUEST(odd_writes)
{
	uint64_t to = HOLE + 0x20, n = 2;

	asm volatile("movb $7, (%0)" : : "r"(HOLE + 3) : "memory");
	asm volatile("movw $7, (%0)" : : "r"(HOLE + 5) : "memory");
	asm volatile("movq $-2, (%0)" : : "r"(HOLE + 9) : "memory");
	asm volatile("stosl" : "+D"(to) : "a"(7) : "memory");
	to -= 4;
	asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(7) : "memory");
}

TEST(odd_writes)
{
	struct vcpu *v = start(odd_writes);
	int fd = event_create();

	EXPECT(!vm_ioeventfd(v->vm, 0, HOLE + 3, 1, fd, 0));
	EXPECT(!vm_ioeventfd(v->vm, 0, HOLE + 5, 2, fd, 0));
	EXPECT(!vm_ioeventfd(v->vm, MATCH, HOLE + 9, 8, fd, -2ULL));
	EXPECT(!vm_ioeventfd(v->vm, 0, HOLE + 0x20, 4, fd, 0));
	EXPECT(!vm_ioeventfd(v->vm, MATCH, HOLE + 0x24, 4, fd, 7));
	vcpu_finish(v);
	EXPECT_EQ(event_count(fd), 6);
}

/* A read is none of its business, and a read-modify-write is a read first */
GUEST(reads)
{
	(void)*(volatile uint32_t *)G_HIDE((uint32_t *)HOLE);
	asm volatile("inl %%dx, %%eax" : : "d"(PORT) : "eax");
	asm volatile("lock orl $1, (%0)" : : "r"(HOLE) : "memory");
}

TEST(reads_exit)
{
	struct vcpu *v = start(reads);
	int fd = event_create();

	EXPECT(!vm_ioeventfd(v->vm, 0, HOLE, 4, fd, 0));
	EXPECT(!vm_ioeventfd(v->vm, PIO, PORT, 4, fd, 0));
	if (vcpu_expect(v, HVX_EXIT_MMIO))
		EXPECT(!v->run->mmio.write);
	if (vcpu_expect(v, HVX_EXIT_IO))
		EXPECT(!v->run->io.write);
	EXPECT_EQ(event_count(fd), 0);
	if (vcpu_expect(v, HVX_EXIT_MMIO))
		EXPECT(!v->run->mmio.write);
	memset(v->run->mmio.data, 0, 8);
	vcpu_finish(v);
	EXPECT_EQ(event_count(fd), 1);
}

/* REP OUTS: each element counts by itself, and those that nobody takes exit in between. */
static uint16_t elements[] = { 1, 1, 2, 1, 3, 3, 1, 1 };

GUEST(string_out)
{
	const void *from = elements;
	uint64_t n = 8;

	asm volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(PORT) : "memory");
	GUEST_EQ(n, 0);
	GUEST_EQ((uintptr_t)from, (uintptr_t)(elements + 8));
}

TEST(string_out)
{
	static const uint16_t others[] = { 2, 3, 3 };
	struct vcpu *v = start(string_out);
	int fd = event_create();
	unsigned int i;

	EXPECT(!vm_ioeventfd(v->vm, PIO | MATCH, PORT, 2, fd, 1));
	for (i = 0; i < 3; i++) {
		if (!vcpu_expect(v, HVX_EXIT_IO))
			return;
		EXPECT_EQ(v->run->io.count, 1);
		EXPECT_EQ(*(uint16_t *)((char *)v->run + v->run->io.data_offset), others[i]);
	}
	vcpu_finish(v);
	EXPECT_EQ(event_count(fd), 5);
}

/* ----------------------------------------------------------------------------- errors */

static int add(struct vm *vm, uint32_t flags, uint64_t addr, uint32_t len, uint64_t match)
{
	static int fd = -1;

	if (fd < 0)
		fd = event_create();
	return vm_ioeventfd(vm, flags, addr, len, fd, match);
}

TEST(wrong_arguments)
{
	struct vm *vm = vm_create(0);
	int file = open("/dev/null", O_RDWR);

	EXPECT_EQ(vm_ioeventfd(vm, 0, HOLE, 4, -1, 0), -EBADF);
	EXPECT_EQ(vm_ioeventfd(vm, 0, HOLE, 4, 1000, 0), -EBADF);
	EXPECT_EQ(vm_ioeventfd(vm, 0, HOLE, 4, file, 0), -EINVAL);
	EXPECT_EQ(vm_ioeventfd(vm, 0, HOLE, 4, vm->fd, 0), -EINVAL);
	EXPECT_EQ(add(vm, 1 << 3, HOLE, 4, 0), -EINVAL);
	EXPECT_EQ(add(vm, 1U << 31, HOLE, 4, 0), -EINVAL);
	EXPECT_EQ(add(vm, 0, HOLE, 3, 0), -EINVAL);
	EXPECT_EQ(add(vm, 0, HOLE, 16, 0), -EINVAL);
	EXPECT_EQ(add(vm, 0, HOLE, ~0U, 0), -EINVAL);
	EXPECT_EQ(add(vm, 0, ~0ULL, 2, 0), -EINVAL);
	EXPECT_EQ(add(vm, 0, HOLE, 4, 1), -EINVAL);
	EXPECT_EQ(add(vm, MATCH, HOLE, 0, 1), -EINVAL);
	EXPECT_EQ(add(vm, MATCH, HOLE, 1, 0x100), -EINVAL);
	EXPECT_EQ(add(vm, MATCH, HOLE, 4, 1ULL << 32), -EINVAL);
	EXPECT_EQ(add(vm, PIO, PORT, 8, 0), -EINVAL);
	EXPECT_EQ(add(vm, PIO, 0x10000, 1, 0), -EINVAL);
	EXPECT_EQ(add(vm, PIO, 0x1000000000000ULL | PORT, 1, 0), -EINVAL);
	EXPECT_EQ(add(vm, PIO, 0xffff, 2, 0), -EINVAL);
	EXPECT_EQ(add(vm, PIO, 0xffff, 1, 0), 0);
	EXPECT_EQ(add(vm, 0, ~0ULL - 8, 8, 0), 0);
	close(file);
}

TEST(conflicts)
{
	struct vm *vm = vm_create(0);

	EXPECT_EQ(add(vm, 0, HOLE, 4, 0), 0);
	EXPECT_EQ(add(vm, 0, HOLE, 4, 0), -EEXIST);
	EXPECT_EQ(add(vm, MATCH, HOLE, 4, 1), -EEXIST);
	EXPECT_EQ(add(vm, 0, HOLE, 0, 0), -EEXIST);
	EXPECT_EQ(add(vm, 0, HOLE, 2, 0), 0);
	EXPECT_EQ(add(vm, 0, HOLE + 4, 4, 0), 0);
	EXPECT_EQ(add(vm, MATCH, HOLE + 8, 4, 1), 0);
	EXPECT_EQ(add(vm, MATCH, HOLE + 8, 4, 1), -EEXIST);
	EXPECT_EQ(add(vm, MATCH, HOLE + 8, 4, 2), 0);
	EXPECT_EQ(add(vm, 0, HOLE + 8, 4, 0), -EEXIST);
	EXPECT_EQ(add(vm, 0, HOLE + 16, 0, 0), 0);
	EXPECT_EQ(add(vm, 0, HOLE + 16, 4, 0), -EEXIST);
	EXPECT_EQ(add(vm, MATCH, HOLE + 16, 1, 0), -EEXIST);
	/* Ports are another address space */
	EXPECT_EQ(add(vm, PIO, PORT, 4, 0), 0);
	EXPECT_EQ(add(vm, 0, PORT, 4, 0), 0);
	EXPECT_EQ(add(vm, PIO, PORT, 4, 0), -EEXIST);
}

TEST(removal)
{
	struct vm *vm = vm_create(0);
	int other = event_create();

	EXPECT_EQ(add(vm, REMOVE, HOLE, 4, 0), -ENOENT);
	EXPECT_EQ(add(vm, MATCH, HOLE, 4, 1), 0);
	EXPECT_EQ(add(vm, REMOVE, HOLE, 4, 0), -ENOENT);
	EXPECT_EQ(add(vm, REMOVE | MATCH, HOLE, 4, 2), -ENOENT);
	EXPECT_EQ(add(vm, REMOVE | MATCH, HOLE, 2, 1), -ENOENT);
	EXPECT_EQ(add(vm, REMOVE | MATCH | PIO, PORT, 4, 1), -ENOENT);
	EXPECT_EQ(vm_ioeventfd(vm, REMOVE | MATCH, HOLE, 4, other, 1), -ENOENT);
	EXPECT_EQ(add(vm, REMOVE | MATCH, HOLE, 4, 1), 0);
	EXPECT_EQ(add(vm, REMOVE | MATCH, HOLE, 4, 1), -ENOENT);
	EXPECT_EQ(add(vm, MATCH, HOLE, 4, 1), 0);
}

TEST(table_is_full)
{
	struct vm *vm = vm_create(0);
	unsigned int i;

	for (i = 0; i < HVX_MAX_IOEVENTFDS; i++)
		EXPECT(!add(vm, i % 2 ? MATCH : 0, HOLE + 8 * (i * 7 % 1024), 4, i % 2 ? i : 0));
	EXPECT_EQ(add(vm, 0, HOLE + 0x10000, 4, 0), -ENOSPC);
	EXPECT_EQ(add(vm, REMOVE, HOLE, 4, 0), 0);
	EXPECT_EQ(add(vm, 0, HOLE + 0x10000, 4, 0), 0);
}

TEST(chip_is_there)
{
	struct vm *vm = vm_create(VM_CHIPS);

	EXPECT_EQ(add(vm, PIO, 0x20, 1, 0), -EEXIST);
	EXPECT_EQ(add(vm, PIO, 0x43, 0, 0), -EEXIST);
	EXPECT_EQ(add(vm, PIO, 0x61, 1, 0), -EEXIST);
	EXPECT_EQ(add(vm, PIO, 0x62, 1, 0), 0);
	EXPECT_EQ(add(vm, 0, IOAPIC + 0x10, 4, 0), -EEXIST);
	EXPECT_EQ(add(vm, 0, IOAPIC + 0x1000, 4, 0), 0);
}

/* ------------------------------------------------------------------------------- load */

#define VCPUS	2
#define ROUNDS	20000

GUEST(load)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		asm volatile("outw %%ax, %%dx" : : "a"(i & 3), "d"(PORT));
		if (i % 8 == 0)
			*(volatile uint32_t *)(HOLE + 4 * g->id) = i;
	}
}

static void *run_it(void *arg)
{
	vcpu_finish(arg);
	return NULL;
}

/* Every write of every vCPU is counted once, while the table changes all the time. */
TEST_TIME(exact_under_load, 60)
{
	struct vm *vm = vm_create(0);
	int port[4], memory[VCPUS], other = event_create();
	struct vcpu *v[VCPUS];
	pthread_t thread[VCPUS];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		port[i] = event_create();
		REQUIRE(!vm_ioeventfd(vm, PIO | MATCH, PORT, 2, port[i], i));
	}
	for (i = 0; i < VCPUS; i++) {
		memory[i] = event_create();
		REQUIRE(!vm_ioeventfd(vm, 0, HOLE + 4 * i, 4, memory[i], 0));
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], load);
	}
	for (i = 0; i < VCPUS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run_it, v[i]));
	for (i = 0; i < 200; i++) {
		EXPECT(!vm_ioeventfd(vm, PIO, PORT + i % 7 - 8, 1, other, 0));
		EXPECT(!vm_ioeventfd(vm, PIO | REMOVE, PORT + i % 7 - 8, 1, other, 0));
	}
	for (i = 0; i < VCPUS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(event_count(port[i]), VCPUS * ROUNDS / 4);
	for (i = 0; i < VCPUS; i++)
		EXPECT_EQ(event_count(memory[i]), ROUNDS / 8);
	EXPECT_EQ(event_count(other), 0);
}

/* The descriptor goes before the VM: the VM still holds the eventfd */
TEST(closed_in_use)
{
	struct vcpu *v = start(writer);
	int fd = event_create();

	vcpu_expect_sync(v, 1);
	EXPECT(!vm_ioeventfd(v->vm, PIO, PORT, 1, fd, 0));
	close(fd);
	EXPECT(!exits(v, true, PORT, 1, 1));
	vcpu_destroy(v);
}
