# SPDX-License-Identifier: GPL-2.0-only
# The decoder is compared with Zydis where that is installed (libzydis-dev).
test_decode_SRCS := ../../src/emul/decode.c firmware_forms.S
ZYDIS := $(wildcard /usr/include/Zydis/Zydis.h)
test_decode_CFLAGS := -Wno-missing-field-initializers $(if $(ZYDIS),-DHAVE_ZYDIS)
test_decode_LIBS := $(if $(ZYDIS),-lZydis)
