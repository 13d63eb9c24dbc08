// SPDX-License-Identifier: GPL-2.0-only
/*
 * serial.c: a 16550A at 0x3f8, line 4 (National Semiconductor, PC16550D data sheet).
 *
 * The other end is the console. What is transmitted is gone at once, so the transmitter is always
 * empty; what is received waits in the FIFO, and the console waits when that is full.
 */
#include <string.h>

#include "dev.h"

#define PORT		0x3f8
#define FIFO_SIZE	16

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR, NR_REGS };

#define IER_RDI		0x01	/* received data */
#define IER_THRI	0x02	/* transmitter empty */
#define IER_MASK	0x0f

#define IIR_NONE	0x01
#define IIR_THRI	0x02
#define IIR_RDI		0x04
#define IIR_TIMEOUT	0x0c	/* received data, less than the trigger level */
#define IIR_FIFO	0xc0

#define FCR_ENABLE	0x01
#define FCR_CLEAR_RCVR	0x02
#define FCR_TRIGGER(v)	((v) >> 6)

#define LCR_DLAB	0x80

#define MCR_DTR		0x01
#define MCR_RTS		0x02
#define MCR_OUT1	0x04
#define MCR_OUT2	0x08	/* in a PC: lets the interrupt through */
#define MCR_LOOP	0x10
#define MCR_MASK	0x1f

#define LSR_DR		0x01
#define LSR_THRE	0x20
#define LSR_TEMT	0x40

#define MSR_CTS		0x10
#define MSR_DSR		0x20
#define MSR_RI		0x40
#define MSR_DCD		0x80

struct serial {
	struct machine *machine;
	struct device device;
	pthread_mutex_t lock;		/* all that follows */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t divisor[2];
	bool thri;			/* the transmitter became empty, and nobody has looked */
	bool line;			/* level of the interrupt line */
	uint8_t fifo[FIFO_SIZE];
	unsigned int head, used;
};

/* ------------------------------------------------------------------------- receiving */

static unsigned int fifo_size(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static bool receive(struct serial *s, uint8_t byte)
{
	if (s->used >= fifo_size(s))
		return false;
	s->fifo[(s->head + s->used++) % FIFO_SIZE] = byte;
	return true;
}

static uint8_t take(struct serial *s)
{
	uint8_t byte;

	if (!s->used)
		return 0;
	byte = s->fifo[s->head];
	s->head = (s->head + 1) % FIFO_SIZE;
	s->used--;
	return byte;
}

/* ------------------------------------------------------------------------ interrupts */

static uint8_t pending(const struct serial *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	if (s->ier & IER_RDI && s->used) {
		if (!(s->fcr & FCR_ENABLE) || s->used >= trigger[FCR_TRIGGER(s->fcr)])
			return IIR_RDI;
		return IIR_TIMEOUT;	/* four characters' time is no time here */
	}
	if (s->ier & IER_THRI && s->thri)
		return IIR_THRI;
	return IIR_NONE;
}

static void update_line(struct serial *s)
{
	bool level = pending(s) != IIR_NONE && s->mcr & MCR_OUT2 && !(s->mcr & MCR_LOOP);

	if (level == s->line)
		return;
	s->line = level;
	machine_irq(s->machine, GSI_SERIAL, level);
}

/* ------------------------------------------------------------------------- registers */

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = pending(s);

	if (iir == IIR_THRI)
		s->thri = false;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* In loopback, modem control lines are wired to modem status lines */
static uint8_t read_msr(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static uint8_t read_reg(struct serial *s, unsigned int reg)
{
	if (reg <= IER && s->lcr & LCR_DLAB)
		return s->divisor[reg];
	switch (reg) {
	case RBR_THR:
		return take(s);
	case IER:
		return s->ier;
	case IIR_FCR:
		return read_iir(s);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return LSR_THRE | LSR_TEMT | (s->used ? LSR_DR : 0);
	case MSR:
		return read_msr(s);
	}
	return s->scr;
}

/* The byte goes to the console after the lock: console_write() may wait */
static bool transmit(struct serial *s, uint8_t byte)
{
	s->thri = true;
	if (!(s->mcr & MCR_LOOP))
		return true;
	receive(s, byte);
	return false;
}

static void write_fcr(struct serial *s, uint8_t value)
{
	/* The FIFO is emptied by command, and when it is switched on or off */
	if (value & FCR_CLEAR_RCVR || (value ^ s->fcr) & FCR_ENABLE)
		s->used = 0;
	s->fcr = value & FCR_ENABLE ? value : 0;
}

static void write_ier(struct serial *s, uint8_t value)
{
	/* An empty transmitter interrupts as soon as it may */
	if (value & ~s->ier & IER_THRI)
		s->thri = true;
	s->ier = value & IER_MASK;
}

/* True: @value is to be sent */
static bool write_reg(struct serial *s, unsigned int reg, uint8_t value)
{
	if (reg <= IER && s->lcr & LCR_DLAB) {
		s->divisor[reg] = value;
		return false;
	}
	switch (reg) {
	case RBR_THR:
		return transmit(s, value);
	case IER:
		write_ier(s, value);
		break;
	case IIR_FCR:
		write_fcr(s, value);
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		s->mcr = value & MCR_MASK;
		break;
	case SCR:
		s->scr = value;
		break;
	}
	return false;
}

/* For input: a whole FIFO at a time */
static bool has_room(const struct serial *s)
{
	return !s->used && !(s->mcr & MCR_LOOP);
}

static void access_port(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct serial *s = opaque;
	uint8_t *value = data;
	bool send = false, room, had_room;

	pthread_mutex_lock(&s->lock);
	had_room = has_room(s);
	if (write)
		send = write_reg(s, offset, *value);
	else
		*value = read_reg(s, offset);
	room = has_room(s);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	if (send)
		console_write(s->machine, value, 1);
	if (room && !had_room)
		console_pull(s->machine);
}

/* --------------------------------------------------------------------------- its life */

/* The console's reader */
static size_t take_input(void *opaque, const void *data, size_t len)
{
	struct serial *s = opaque;
	const uint8_t *bytes = data;
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (!(s->mcr & MCR_LOOP))
		while (n < len && receive(s, bytes[n]))
			n++;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void reset(struct device *dev)
{
	struct serial *s = (struct serial *)((char *)dev - offsetof(struct serial, device));

	pthread_mutex_lock(&s->lock);
	s->ier = 0;
	s->fcr = 0;
	s->lcr = 0;
	s->mcr = 0;
	s->scr = 0;
	memset(s->divisor, 0, sizeof(s->divisor));
	s->thri = false;
	s->used = 0;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	console_pull(s->machine);
}

void serial_create(struct machine *m)
{
	struct serial *s = dev_alloc(sizeof(*s));

	s->machine = m;
	s->device = (struct device){ .name = "serial", .reset = reset };
	pthread_mutex_init(&s->lock, NULL);
	bus_add_pio(m, PORT, NR_REGS, access_port, s);
	if (m->options->console == CONSOLE_SERIAL)
		console_set_reader(m, take_input, s);
	machine_add_device(m, &s->device);
}
