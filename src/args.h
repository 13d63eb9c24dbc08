/* SPDX-License-Identifier: GPL-2.0-only */
/* Extensible argument structs: leading size, unknown tail must be zero. */
#ifndef HVX_ARGS_H
#define HVX_ARGS_H

#include <linux/minmax.h>
#include <linux/uaccess.h>

/*
 * Copy a struct whose first member is its __u32 size. The caller's may be larger (then its tail
 * has to be zero) but not smaller than @min, the size in the first version of the ABI.
 * 0, -EFAULT, -EINVAL, -E2BIG. Context: process.
 */
static inline int hvx_get_args(void *to, size_t size, size_t min, const void __user *from)
{
	u32 given;
	int err;

	if (get_user(given, (const u32 __user *)from))
		return -EFAULT;
	if (given < min)
		return -EINVAL;
	/* A page holds every struct to come, and bounds the check of the tail */
	if (given > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(to, size, from, given);
	if (err)
		return err;
	/* The second read may have seen another size: the first one was checked */
	*(u32 *)to = given;
	return 0;
}

/* Give the struct back, as much of it as the caller knows */
static inline int hvx_put_args(void __user *to, const void *from, size_t size)
{
	return copy_to_user(to, from, min_t(size_t, size, *(const u32 *)from)) ? -EFAULT : 0;
}

#define HVX_GET_ARGS(args, from)	hvx_get_args(args, sizeof(*(args)), sizeof(*(args)), from)
#define HVX_PUT_ARGS(to, args)		hvx_put_args(to, args, sizeof(*(args)))

#endif
