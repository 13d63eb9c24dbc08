/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_RCUPDATE_H
#define SHIM_RCUPDATE_H

#define rcu_dereference_protected(p, c)	(p)
#define srcu_dereference(p, s)		(p)
#define rcu_assign_pointer(p, v)	smp_store_release(&(p), v)

#endif
