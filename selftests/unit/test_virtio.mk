# SPDX-License-Identifier: GPL-2.0-only
include $(HERE)/fake_machine/virtio.mk
test_virtio_SRCS := $(virtio_SRCS) fake_machine/fake_driver.c
test_virtio_USER := 1
test_virtio_PACKAGES := liburing
test_virtio_LIBS := -Wl,--wrap=io_uring_queue_init,--wrap=preadv,--wrap=pwritev2
