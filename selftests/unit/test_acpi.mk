# SPDX-License-Identifier: GPL-2.0-only
test_acpi_SRCS := ../../tools/runvm/boot/acpi.c ../../tools/runvm/boot/dsdt.c \
	../../tools/runvm/boot/aml.c ../../tools/runvm/boot/srat.c \
	../../tools/runvm/options_nodes.c runvm_shim/runvm_shim.c
test_acpi_CFLAGS := -D_GNU_SOURCE= -Wno-missing-field-initializers -I$(TOP)/tools/runvm -I$(HERE)/runvm_shim
