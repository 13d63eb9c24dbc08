/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_PRINTK_H
#define SHIM_PRINTK_H

#include <stdio.h>

#ifdef SHIM_PR_ERR
/* For tests of messages */
int shim_pr_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define pr_err(...)		shim_pr_err(__VA_ARGS__)
#else
#define pr_err(...)		printf("# " __VA_ARGS__)
#endif
#define pr_err_once(...)	printf("# " __VA_ARGS__)
#define pr_warn(...)		printf("# " __VA_ARGS__)
#define pr_info(...)		printf("# " __VA_ARGS__)
#define pr_debug(...)		((void)0)
#define pr_err_ratelimited(...)	printf("# " __VA_ARGS__)
#define printk(...)		printf("# " __VA_ARGS__)

#endif
