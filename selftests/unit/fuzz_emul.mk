# SPDX-License-Identifier: GPL-2.0-only
fuzz_emul_SRCS := ../../src/emul/decode.c ../../src/emul/exec.c ../../src/emul/alu.c
fuzz_emul_CFLAGS := -Wno-missing-field-initializers
