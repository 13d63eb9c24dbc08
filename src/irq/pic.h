/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pair of 8259A interrupt controllers of a PC, as logic alone: no lock, no VM. Terms are those
 * of Intel's data sheet "8259A Programmable Interrupt Controller".
 *
 * Simplifications, none of which a PC can tell: the cascade is wired (ICW3 is taken and ignored),
 * ICW1.SNGL and ICW1.LTIM are ignored (the edge/level control registers decide per input), and the
 * MCS-80 mode does not exist.
 */
#ifndef HVX_PIC_H
#define HVX_PIC_H

#include <linux/types.h>

struct hvx_pic_state;

#define HVX_PIC_CASCADE		2	/* input of the master that the slave's INT drives */
#define HVX_PIC_SPURIOUS	7

struct hvx_8259 {
	u8 irr;
	u8 imr;
	u8 isr;
	u8 lines;		/* levels of the inputs */
	u8 elcr;		/* inputs that are level-triggered */
	u8 icw2;		/* vector base */
	u8 icw4;
	u8 priority_add;	/* input of highest priority */
	u8 init_state;		/* next ICW to come as 1: ICW2, 2: ICW3, 3: ICW4; 0: initialised */
	bool init4;		/* ICW4 will come */
	bool read_isr;
	bool poll;
	bool special_mask;
	bool rotate_on_auto_eoi;
};

struct hvx_pic {
	struct hvx_8259 chip[2];	/* master, slave */
	bool output;		/* INT of the master */
	u16 eoi;		/* inputs that were EOIed since somebody last looked */
};

void hvx_pic_reset(struct hvx_pic *pic);

/* 1: the processor will hear of it; 0: masked; -1: it waits already. 0 for a level that falls. */
int hvx_pic_set_line(struct hvx_pic *pic, unsigned int pin, bool level);

/* Ports 0x20, 0x21, 0xa0, 0xa1 and 0x4d0, 0x4d1; a read may acknowledge (poll mode) */
u8 hvx_pic_read(struct hvx_pic *pic, u16 port);
void hvx_pic_write(struct hvx_pic *pic, u16 port, u8 value);

/* The two INTA cycles: a vector, spurious when nothing asks any more */
u8 hvx_pic_intack(struct hvx_pic *pic);

void hvx_pic_get_state(const struct hvx_pic *pic, struct hvx_pic_state state[2]);
/* 0, or -EINVAL for a state that no pair can be in; then nothing was changed */
int hvx_pic_set_state(struct hvx_pic *pic, const struct hvx_pic_state state[2]);

#endif
