/* SPDX-License-Identifier: GPL-2.0-only */
/* Instruction decoder and MMIO emulator: what the core sees of them. */
#ifndef HVX_EMUL_H
#define HVX_EMUL_H

#include <linux/types.h>

/* State of an instruction that waits for MMIO: see the file header of exec.c */
struct hvx_emul {
	u8 nr_insn;
	u8 insn[15];
};

#endif
