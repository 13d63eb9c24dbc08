# SPDX-License-Identifier: GPL-2.0-only
test_pci_SRCS := ../../tools/runvm/pci/host.c ../../tools/runvm/pci/config.c \
	../../tools/runvm/pci/msix.c fake_machine/fake_machine.c
test_pci_USER := 1
