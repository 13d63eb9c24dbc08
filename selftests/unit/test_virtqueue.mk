# SPDX-License-Identifier: GPL-2.0-only
test_virtqueue_SRCS := ../../tools/runvm/virtio/queue.c fake_machine/fake_machine.c
test_virtqueue_USER := 1
