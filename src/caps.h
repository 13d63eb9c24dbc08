/* SPDX-License-Identifier: GPL-2.0-only */
/* What this build on this host can do: HVX_CHECK_CAP and HVX_GET_HOST_INFO. */
#ifndef HVX_CAPS_H
#define HVX_CAPS_H

/* Value of an enum hvx_cap of the ABI, 0 for absent or unknown. Context: any. */
long hvx_check_cap(unsigned long cap);

#define HVX_RUN_SIZE	(2 * PAGE_SIZE)

#endif
