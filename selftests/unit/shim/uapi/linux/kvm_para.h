/* SPDX-License-Identifier: GPL-2.0-only */
/* User space has this header under its own name */
#include <linux/kvm_para.h>
