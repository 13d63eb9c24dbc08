# SPDX-License-Identifier: GPL-2.0-only
fuzz_pt_SRCS := ../../src/mmu/pt.c pt_model/pt_model.c
fuzz_pt_CFLAGS := -I$(HERE)/pt_model
