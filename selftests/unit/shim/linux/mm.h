/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_MM_H
#define SHIM_MM_H

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/sched.h>

/* "Physical" addresses are addresses of the program */
#define __pa(p)		((u64)(unsigned long)(p))
#define __va(pa)	((void *)(unsigned long)(pa))
#define virt_to_phys(p)	__pa(p)
#define phys_to_virt(p)	__va(p)
#define virt_to_page(p)	(p)

/* Nobody counts pages here but shim_allocated */
#define mod_lruvec_page_state(page, item, n)	((void)(page))

#endif
