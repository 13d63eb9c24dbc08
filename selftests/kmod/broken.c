// SPDX-License-Identifier: GPL-2.0-only
/*
 * broken: makes one of the mistakes that the debug kernel is there to find, when it is loaded. For
 * lab/checkers: a checker that got lost from the configuration, or that the lab does not hear,
 * would make all runs under that kernel worthless.
 *
 *	insmod broken.ko mistake=kasan
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *mistake = "";
module_param(mistake, charp, 0);

static DEFINE_MUTEX(outer);
static DEFINE_MUTEX(inner);
static DEFINE_SPINLOCK(spin);

/* What the compiler must not work out, and then leave out or warn of */
static volatile unsigned int forty = 40, seen;

static int use_after_free(void)
{
	u32 *freed = kmalloc(sizeof(*freed), GFP_KERNEL);

	if (!freed)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(freed);
	kfree(freed);
	OPTIMIZER_HIDE_VAR(freed);
	seen = READ_ONCE(*freed);
	return 0;
}

/* The address stays nowhere */
static int leak(void)
{
	void *lost;
	int i;

	for (i = 0; i < 8; i++) {
		lost = kmalloc(192, GFP_KERNEL);
		if (!lost)
			return -ENOMEM;
		OPTIMIZER_HIDE_VAR(lost);
	}
	return 0;
}

static int shift(void)
{
	seen = 1U << forty;
	return 0;
}

static int sleep_in_atomic(void)
{
	spin_lock(&spin);
	might_sleep();
	spin_unlock(&spin);
	return 0;
}

static int which_cpu(void)
{
	seen = smp_processor_id();
	return 0;
}

static int delete_twice(void)
{
	LIST_HEAD(head);
	struct list_head entry;

	list_add(&entry, &head);
	list_del(&entry);
	list_del(&entry);
	return 0;
}

static int get_from_zero(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
	return 0;
}

static void lock_both(struct mutex *first, struct mutex *second)
{
	mutex_lock(first);
	mutex_lock(second);
	mutex_unlock(second);
	mutex_unlock(first);
}

static int lock_both_ways(void)
{
	lock_both(&outer, &inner);
	lock_both(&inner, &outer);
	return 0;
}

static const struct {
	const char *name;
	int (*make)(void);
} mistakes[] = {
	{ "kasan", use_after_free },
	{ "kmemleak", leak },
	{ "ubsan", shift },
	{ "atomic", sleep_in_atomic },
	{ "preempt", which_cpu },
	{ "list", delete_twice },
	{ "refcount", get_from_zero },
	{ "lockdep", lock_both_ways },
};

static int __init broken_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(mistakes); i++)
		if (!strcmp(mistake, mistakes[i].name))
			return mistakes[i].make();
	return -EINVAL;
}

static void __exit broken_exit(void)
{
}

module_init(broken_init);
module_exit(broken_exit);
MODULE_DESCRIPTION("Makes a mistake for the checkers of a debug kernel to find");
MODULE_LICENSE("GPL");
