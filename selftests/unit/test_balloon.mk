# SPDX-License-Identifier: GPL-2.0-only
include $(HERE)/fake_machine/virtio.mk
test_balloon_SRCS := $(virtio_SRCS) fake_machine/fake_driver.c
test_balloon_USER := 1
test_balloon_PACKAGES := liburing
