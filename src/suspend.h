/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HVX_SUSPEND_H
#define HVX_SUSPEND_H

/* Be told of the host's sleep. Context: load and unload of the module. 0 or negative errno. */
int hvx_suspend_start(void);
void hvx_suspend_stop(void);

#endif
