# SPDX-License-Identifier: GPL-2.0-only
test_pt_SRCS := ../../src/mmu/pt.c pt_model/pt_model.c
test_pt_CFLAGS := -I$(HERE)/pt_model
