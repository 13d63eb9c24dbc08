// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleep of the host. Windows are closed then, as always outside of HVX_RUN, which the freezer ends
 * for all threads; what needs care is the time. A platform device without hardware is told when all
 * threads are frozen, in suspend to idle and to memory and in hibernation alike.
 */
#include <linux/err.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include "pv/clock.h"
#include "suspend.h"

static struct platform_device *device;

static int __maybe_unused hvx_suspend(struct device *dev)
{
	hvx_clock_suspend();
	return 0;
}

static int __maybe_unused hvx_resume(struct device *dev)
{
	hvx_clock_resume();
	return 0;
}

static SIMPLE_DEV_PM_OPS(pm_ops, hvx_suspend, hvx_resume);

static struct platform_driver driver = {
	.driver = {
		.name = "hvx",
		.pm = &pm_ops,
	},
};

int hvx_suspend_start(void)
{
	int err = platform_driver_register(&driver);

	if (err)
		return err;
	device = platform_device_register_simple("hvx", PLATFORM_DEVID_NONE, NULL, 0);
	if (!IS_ERR(device))
		return 0;
	platform_driver_unregister(&driver);
	return PTR_ERR(device);
}

void hvx_suspend_stop(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}
