/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_COMPAT_H
#define SHIM_COMPAT_H

/* In the place of src/compat.h: the processor is made up by the test */
#include <asm/msr.h>
#include <asm/processor.h>

#define hvx_rdmsr	shim_rdmsr

#endif
