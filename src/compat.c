// SPDX-License-Identifier: GPL-2.0-only
/* What compat.h cannot do inline. */
#include "compat.h"

#ifdef HVX_TASK_WORK_TAKES_VCPU
#include <linux/kvm_host.h>

/*
 * For a signal, older kernels note an exit reason and count in KVM's vCPU. This one is for all
 * tasks to scribble on; nobody reads it.
 */
int hvx_task_work(void)
{
	static struct kvm_vcpu vcpu;
	static struct kvm_run run;

	WRITE_ONCE(vcpu.run, &run);
	return xfer_to_guest_mode_handle_work(&vcpu);
}
#endif
