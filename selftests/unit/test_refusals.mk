# SPDX-License-Identifier: GPL-2.0-only
test_refusals_SRCS := ../../src/vmx/vmx_caps.c ../../src/svm/svm_caps.c
test_refusals_CFLAGS := -DSHIM_PR_ERR
