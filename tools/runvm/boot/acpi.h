/* SPDX-License-Identifier: GPL-2.0-only */
/* acpi.h: what acpi.c, dsdt.c and srat.c share. */
#ifndef RUNVM_ACPI_H
#define RUNVM_ACPI_H

#include "machine.h"

struct aml;

/* What follows the header of these */
void dsdt_body(struct aml *a, const struct machine *m);
void srat_body(struct aml *a, const struct machine *m);
void slit_body(struct aml *a, const struct machine *m);

#endif
