// SPDX-License-Identifier: GPL-2.0-only
/* The interrupt chips of a VM as a whole: their life. */
#include "../vm.h"

int hvx_irq_vm_init(struct hvx_vm *vm)
{
	raw_spin_lock_init(&vm->irq.lock);
	return 0;
}

void hvx_irq_vm_fini(struct hvx_vm *vm)
{
}

void hvx_irq_eoi(struct hvx_vcpu *vcpu, u8 vector)
{
}

int hvx_pic_ack(struct hvx_vm *vm)
{
	return -1;
}

bool hvx_pic_pending(struct hvx_vm *vm)
{
	return false;
}
