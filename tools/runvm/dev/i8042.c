// SPDX-License-Identifier: GPL-2.0-only
/*
 * i8042.c: the keyboard controller (IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device
 * Controller"), with nothing connected: kernels probe it, and reset the machine through it.
 */
#include "dev.h"

#define PORT_DATA	0x60
#define PORT_STATUS	0x64

#define STATUS_OBF	0x01	/* a byte waits */
#define STATUS_SYSTEM	0x04	/* self test passed */
#define STATUS_COMMAND	0x08	/* the last byte was a command */
#define STATUS_UNLOCKED	0x10
#define STATUS_TIMEOUT	0x40	/* the device did not answer */

#define CONFIG_SYSTEM	0x04
#define CONFIG_KBD_OFF	0x10
#define CONFIG_AUX_OFF	0x20

enum {
	CMD_READ_CONFIG = 0x20,
	CMD_WRITE_CONFIG = 0x60,
	CMD_AUX_OFF = 0xa7,
	CMD_AUX_ON = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_OFF = 0xad,
	CMD_KBD_ON = 0xae,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_LOOP_KBD = 0xd2,
	CMD_TO_AUX = 0xd4,
	CMD_PULSE = 0xf0,	/* .. 0xff: bits 3:0 are the output port's lines not to pulse */
};

#define SELF_TEST_PASSED	0x55
#define TEST_PASSED		0x00
#define DEVICE_RESEND		0xfe	/* what comes in place of an answer */
#define OUTPUT_RUN		0x01	/* low: the processor is in reset */
#define OUTPUT_A20		0x02

struct i8042 {
	struct machine *machine;
	struct device device;
	pthread_mutex_t lock;		/* all that follows */
	uint8_t status;
	uint8_t config;
	uint8_t output;			/* the byte that waits */
	uint8_t command;		/* that waits for its data, 0 for none */
};

static void answer(struct i8042 *k, uint8_t byte)
{
	k->output = byte;
	k->status |= STATUS_OBF;
}

static void write_command(struct i8042 *k, uint8_t command)
{
	k->status |= STATUS_COMMAND;
	k->command = 0;
	switch (command) {
	case CMD_READ_CONFIG:
		answer(k, k->config);
		break;
	case CMD_SELF_TEST:
		answer(k, SELF_TEST_PASSED);
		break;
	case CMD_KBD_TEST:
	case CMD_AUX_TEST:
		answer(k, TEST_PASSED);
		break;
	case CMD_AUX_OFF:
		k->config |= CONFIG_AUX_OFF;
		break;
	case CMD_AUX_ON:
		k->config &= ~CONFIG_AUX_OFF;
		break;
	case CMD_KBD_OFF:
		k->config |= CONFIG_KBD_OFF;
		break;
	case CMD_KBD_ON:
		k->config &= ~CONFIG_KBD_OFF;
		break;
	case CMD_READ_OUTPUT:
		answer(k, OUTPUT_RUN | OUTPUT_A20);
		break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KBD:
	case CMD_TO_AUX:
		k->command = command;
		break;
	default:
		if (command >= CMD_PULSE && !(command & OUTPUT_RUN))
			machine_end(k->machine, FATE_RESET, 0);
	}
}

static void write_data(struct i8042 *k, uint8_t byte)
{
	uint8_t command = k->command;

	k->status &= ~STATUS_COMMAND;
	k->command = 0;
	switch (command) {
	case CMD_WRITE_CONFIG:
		k->config = byte;
		break;
	case CMD_WRITE_OUTPUT:
		if (!(byte & OUTPUT_RUN))
			machine_end(k->machine, FATE_RESET, 0);
		break;
	case CMD_LOOP_KBD:
		answer(k, byte);
		break;
	default:
		/* For a device: there is none */
		k->status |= STATUS_TIMEOUT;
		answer(k, DEVICE_RESEND);
	}
}

static uint8_t read_data(struct i8042 *k)
{
	k->status &= ~(STATUS_OBF | STATUS_TIMEOUT);
	return k->output;
}

static void access_data(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct i8042 *k = opaque;
	uint8_t *byte = data;

	pthread_mutex_lock(&k->lock);
	if (write)
		write_data(k, *byte);
	else
		*byte = read_data(k);
	pthread_mutex_unlock(&k->lock);
}

static void access_status(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct i8042 *k = opaque;
	uint8_t *byte = data;

	pthread_mutex_lock(&k->lock);
	if (write)
		write_command(k, *byte);
	else
		*byte = k->status;
	pthread_mutex_unlock(&k->lock);
}

static void reset(struct device *dev)
{
	struct i8042 *k = (struct i8042 *)((char *)dev - offsetof(struct i8042, device));

	pthread_mutex_lock(&k->lock);
	k->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	k->config = CONFIG_SYSTEM | CONFIG_KBD_OFF | CONFIG_AUX_OFF;
	k->output = 0;
	k->command = 0;
	pthread_mutex_unlock(&k->lock);
}

void i8042_create(struct machine *m)
{
	struct i8042 *k = dev_alloc(sizeof(*k));

	k->machine = m;
	k->device = (struct device){ .name = "i8042", .reset = reset };
	pthread_mutex_init(&k->lock, NULL);
	reset(&k->device);
	bus_add_pio(m, PORT_DATA, 1, access_data, k);
	bus_add_pio(m, PORT_STATUS, 1, access_status, k);
	machine_add_device(m, &k->device);
}
