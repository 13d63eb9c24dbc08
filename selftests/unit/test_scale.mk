# SPDX-License-Identifier: GPL-2.0-only
test_scale_SRCS :=
