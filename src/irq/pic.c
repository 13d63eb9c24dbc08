// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pair of 8259A interrupt controllers: see pic.h.
 *
 *   request()		which input of one chip asks for service
 *   update()		slave's INT -> cascade input of the master -> INT of the pair
 *   command(), data()	ICW1-4 and OCW1-3
 *
 * An edge stays latched in IRR until it is acknowledged, even when the line falls before: the
 * spurious interrupt that hardware makes of it tells nobody anything. The cascade input follows the
 * slave's INT.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <uapi/linux/hvx.h>
#include "pic.h"

#define ICW1		BIT(4)	/* of a write to the command port */
#define ICW1_IC4	BIT(0)
#define ICW4_AEOI	BIT(1)
#define ICW4_SFNM	BIT(4)
#define OCW3		BIT(3)
#define OCW3_RIS	BIT(0)
#define OCW3_RR		BIT(1)
#define OCW3_P		BIT(2)
#define OCW3_SMM	BIT(5)
#define OCW3_ESMM	BIT(6)
#define POLL_REQUEST	BIT(7)

#define PORT_ELCR	0x4d0
/* Timer, keyboard and cascade, RTC and FPU are edge-triggered for ever */
static const u8 elcr_writable[2] = { 0xf8, 0xde };

/* OCW2, bits 7:5 */
enum {
	OCW2_NO_ROTATE_AUTO = 0, OCW2_EOI = 1, OCW2_SPECIFIC_EOI = 3, OCW2_ROTATE_AUTO = 4,
	OCW2_ROTATE_EOI = 5, OCW2_SET_PRIORITY = 6, OCW2_ROTATE_SPECIFIC_EOI = 7,
};

/* Rank of the foremost input in @inputs, 0 the highest; 8: none */
static unsigned int rank(const struct hvx_8259 *c, u8 inputs)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		if (inputs & BIT((c->priority_add + i) & 7))
			break;
	}
	return i;
}

static unsigned int input_of(const struct hvx_8259 *c, unsigned int r)
{
	return (c->priority_add + r) & 7;
}

/* The input that asks for service, -1 for none */
static int request(const struct hvx_8259 *c, bool master)
{
	unsigned int r = rank(c, c->irr & ~c->imr);
	u8 in_service = c->isr;

	/* Until the last ICW has come it asks for nothing */
	if (r == 8 || c->init_state)
		return -1;
	if (c->special_mask)
		in_service &= ~c->imr;
	if (c->icw4 & ICW4_SFNM && master)
		in_service &= ~BIT(HVX_PIC_CASCADE);
	return r < rank(c, in_service) ? input_of(c, r) : -1;
}

static void update(struct hvx_pic *pic)
{
	struct hvx_8259 *master = &pic->chip[0];

	if (request(&pic->chip[1], false) >= 0)
		master->irr |= BIT(HVX_PIC_CASCADE);
	else
		master->irr &= ~BIT(HVX_PIC_CASCADE);
	pic->output = request(master, true) >= 0;
}

void hvx_pic_reset(struct hvx_pic *pic)
{
	memset(pic, 0, sizeof(*pic));
	/* What it does before ICW1 is undefined: nothing, so that firmware need not know of it */
	pic->chip[0].imr = 0xff;
	pic->chip[1].imr = 0xff;
}

int hvx_pic_set_line(struct hvx_pic *pic, unsigned int pin, bool level)
{
	struct hvx_8259 *c = &pic->chip[pin >> 3 & 1];
	u8 bit = BIT(pin & 7), before = c->irr;
	bool rises = !(c->lines & bit);

	if (pin == HVX_PIC_CASCADE)
		return 0;
	if (!level) {
		c->lines &= ~bit;
		c->irr &= ~(bit & c->elcr);
		update(pic);
		return 0;
	}
	c->lines |= bit;
	if (rises || c->elcr & bit)
		c->irr |= bit;
	update(pic);
	if (c->imr & bit)
		return 0;
	return c->irr & bit && !(before & bit) ? 1 : -1;
}

/* -------------------------------------------------------------- acknowledge and EOI */

static void end_of_interrupt(struct hvx_pic *pic, unsigned int n, unsigned int input)
{
	struct hvx_8259 *c = &pic->chip[n];

	if (!(c->isr & BIT(input)))
		return;
	c->isr &= ~BIT(input);
	pic->eoi |= BIT(input + 8 * n);
}

static void acknowledge(struct hvx_pic *pic, unsigned int n, unsigned int input)
{
	struct hvx_8259 *c = &pic->chip[n];

	c->irr &= ~(BIT(input) & ~c->elcr);
	c->isr |= BIT(input);
	if (!(c->icw4 & ICW4_AEOI))
		return;
	end_of_interrupt(pic, n, input);
	if (c->rotate_on_auto_eoi)
		c->priority_add = (input + 1) & 7;
}

static u8 acknowledge_slave(struct hvx_pic *pic)
{
	int input = request(&pic->chip[1], false);

	if (input < 0)
		return pic->chip[1].icw2 + HVX_PIC_SPURIOUS;
	acknowledge(pic, 1, input);
	return pic->chip[1].icw2 + input;
}

u8 hvx_pic_intack(struct hvx_pic *pic)
{
	int input = request(&pic->chip[0], true);
	u8 vector = pic->chip[0].icw2 + HVX_PIC_SPURIOUS;

	if (input >= 0) {
		acknowledge(pic, 0, input);
		vector = pic->chip[0].icw2 + input;
		if (input == HVX_PIC_CASCADE)
			vector = acknowledge_slave(pic);
	}
	update(pic);
	return vector;
}

/* ------------------------------------------------------------------------- registers */

static void icw1(struct hvx_8259 *c, u8 value)
{
	/* The edge sense is reset: a line that is high has to fall before it can ask again */
	c->irr &= c->elcr;
	c->imr = 0;
	c->isr = 0;
	c->priority_add = 0;
	c->icw4 = 0;
	c->init4 = value & ICW1_IC4;
	c->init_state = 1;
	c->read_isr = false;
	c->poll = false;
	c->special_mask = false;
	c->rotate_on_auto_eoi = false;
}

static void ocw3(struct hvx_8259 *c, u8 value)
{
	c->poll = value & OCW3_P;
	if (value & OCW3_RR)
		c->read_isr = value & OCW3_RIS;
	if (value & OCW3_ESMM)
		c->special_mask = value & OCW3_SMM;
}

/* In special mask mode an input that is masked keeps its ISR bit: "Special Mask Mode" */
static void nonspecific_eoi(struct hvx_pic *pic, unsigned int n, bool rotate)
{
	struct hvx_8259 *c = &pic->chip[n];
	unsigned int r = rank(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	if (r == 8)
		return;
	r = input_of(c, r);
	end_of_interrupt(pic, n, r);
	if (rotate)
		c->priority_add = (r + 1) & 7;
}

static void ocw2(struct hvx_pic *pic, unsigned int n, u8 value)
{
	struct hvx_8259 *c = &pic->chip[n];
	unsigned int input = value & 7;

	switch (value >> 5) {
	case OCW2_NO_ROTATE_AUTO:
	case OCW2_ROTATE_AUTO:
		c->rotate_on_auto_eoi = value >> 5 == OCW2_ROTATE_AUTO;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		nonspecific_eoi(pic, n, value >> 5 == OCW2_ROTATE_EOI);
		break;
	case OCW2_SPECIFIC_EOI:
		end_of_interrupt(pic, n, input);
		break;
	case OCW2_ROTATE_SPECIFIC_EOI:
		end_of_interrupt(pic, n, input);
		fallthrough;
	case OCW2_SET_PRIORITY:
		c->priority_add = (input + 1) & 7;
		break;
	}
}

static void command(struct hvx_pic *pic, unsigned int n, u8 value)
{
	if (value & ICW1)
		icw1(&pic->chip[n], value);
	else if (value & OCW3)
		ocw3(&pic->chip[n], value);
	else
		ocw2(pic, n, value);
}

static void data(struct hvx_8259 *c, u8 value)
{
	switch (c->init_state) {
	case 0:
		c->imr = value;
		return;
	case 1:
		c->icw2 = value & ~7;
		c->init_state = 2;
		return;
	case 2:
		c->init_state = c->init4 ? 3 : 0;
		return;
	default:
		c->icw4 = value;
		c->init_state = 0;
	}
}

static void write_elcr(struct hvx_pic *pic, unsigned int n, u8 value)
{
	struct hvx_8259 *c = &pic->chip[n];

	c->elcr = value & elcr_writable[n];
	c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
}

void hvx_pic_write(struct hvx_pic *pic, u16 port, u8 value)
{
	unsigned int n = port >> 7 & 1;

	if ((port & ~1) == PORT_ELCR)
		write_elcr(pic, port & 1, value);
	else if (port & 1)
		data(&pic->chip[n], value);
	else
		command(pic, n, value);
	update(pic);
}

static u8 poll(struct hvx_pic *pic, unsigned int n)
{
	int input = request(&pic->chip[n], n == 0);

	pic->chip[n].poll = false;
	if (input < 0)
		return 0;
	acknowledge(pic, n, input);
	update(pic);
	return POLL_REQUEST | input;
}

u8 hvx_pic_read(struct hvx_pic *pic, u16 port)
{
	unsigned int n = port >> 7 & 1;
	struct hvx_8259 *c = &pic->chip[n];

	if ((port & ~1) == PORT_ELCR)
		return pic->chip[port & 1].elcr;
	if (c->poll)
		return poll(pic, n);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

/* ----------------------------------------------------------------------------- state */

static void get_chip(const struct hvx_8259 *c, struct hvx_pic_state *s)
{
	*s = (struct hvx_pic_state) {
		.irr = c->irr, .imr = c->imr, .isr = c->isr, .lines = c->lines, .elcr = c->elcr,
		.icw2 = c->icw2, .icw4 = c->icw4, .priority_add = c->priority_add,
		.init_state = c->init_state, .read_isr = c->read_isr, .poll = c->poll,
		.special_mask = c->special_mask, .rotate_on_auto_eoi = c->rotate_on_auto_eoi,
		.init4 = c->init4,
	};
}

void hvx_pic_get_state(const struct hvx_pic *pic, struct hvx_pic_state state[2])
{
	get_chip(&pic->chip[0], &state[0]);
	get_chip(&pic->chip[1], &state[1]);
}

static bool possible(const struct hvx_pic_state *s, u8 elcr)
{
	return !(s->elcr & ~elcr) && !(s->icw2 & 7) && s->priority_add < 8 && s->init_state < 4 &&
	       s->read_isr < 2 && s->poll < 2 && s->special_mask < 2 &&
	       s->rotate_on_auto_eoi < 2 && s->init4 < 2 && !s->reserved[0] && !s->reserved[1];
}

static void set_chip(struct hvx_8259 *c, const struct hvx_pic_state *s)
{
	*c = (struct hvx_8259) {
		.irr = s->irr, .imr = s->imr, .isr = s->isr, .lines = s->lines, .elcr = s->elcr,
		.icw2 = s->icw2, .icw4 = s->icw4, .priority_add = s->priority_add,
		.init_state = s->init_state, .read_isr = s->read_isr, .poll = s->poll,
		.special_mask = s->special_mask, .rotate_on_auto_eoi = s->rotate_on_auto_eoi,
		.init4 = s->init4,
	};
}

int hvx_pic_set_state(struct hvx_pic *pic, const struct hvx_pic_state state[2])
{
	if (!possible(&state[0], elcr_writable[0]) || !possible(&state[1], elcr_writable[1]))
		return -EINVAL;
	set_chip(&pic->chip[0], &state[0]);
	set_chip(&pic->chip[1], &state[1]);
	update(pic);
	return 0;
}
