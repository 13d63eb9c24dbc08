/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fake_machine.h: tools/runvm/machine.h without vCPUs: memory, buses, lines, messages and eventfds,
 * for tests of devices that play the guest's driver. It aborts when a device does what the machine
 * does not allow: ranges that overlap, eventfds bound twice.
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include "machine.h"

extern struct machine fake;
extern struct options fake_options;

/* @ram bytes at 0; blocks of their own, so that AddressSanitizer sees what leaves them */
void fake_init(uint64_t ram);
uint8_t *fake_ram(uint64_t gpa);
/* How often devices have given memory back, whole pages or none */
unsigned int fake_discards(void);

/* All devices */
void fake_start(void);
void fake_reset(void);
void fake_pause(bool pause);
void fake_close(void);

/* The guest's accesses; ioeventfds come first, as in hvx */
uint64_t fake_read(uint64_t gpa, unsigned int len);
void fake_write(uint64_t gpa, unsigned int len, uint64_t value);
uint32_t fake_in(uint16_t port, unsigned int len);
void fake_out(uint16_t port, unsigned int len, uint32_t value);
/* Whether something answers at @gpa */
bool fake_answers(uint64_t gpa);
unsigned int fake_ioeventfds(void);

bool fake_line(unsigned int gsi);
/* Messages with @data that have come since the last call; @ms: wait for one */
unsigned int fake_messages(uint32_t data, int ms);

/* What the console wrote; what is typed into it */
extern char fake_console[65536];
extern size_t fake_console_len;
size_t fake_type(const void *data, size_t len);
unsigned int fake_pulls(void);

#endif
