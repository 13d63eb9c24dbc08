# SPDX-License-Identifier: GPL-2.0-only
test_acpi_SRCS := ../../tools/runvm/boot/acpi.c ../../tools/runvm/boot/dsdt.c \
	../../tools/runvm/boot/aml.c runvm_shim/runvm_shim.c
test_acpi_CFLAGS := -Wno-missing-field-initializers -I$(TOP)/tools/runvm -I$(HERE)/runvm_shim
