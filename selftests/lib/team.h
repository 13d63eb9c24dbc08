/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * team.h: vCPUs of one VM that write to the pages of a region without a pause, while the host does
 * something to that memory. A page that is lost, doubled or somebody else's is seen at once by the
 * vCPU that it belongs to, and at the end by the VMM.
 *
 * Page i belongs to vCPU i % nr. After r rounds it begins with TEAM_WORD(i, r) and ends with its
 * complement; team_fill() makes that for r = 0. No two pages are ever the same.
 */
#ifndef HVX_TEST_TEAM_H
#define HVX_TEST_TEAM_H

#include <pthread.h>

#include "vm.h"

#define TEAM_MAX	4
#define TEAM_WORD(page, round)	((uint64_t)(page) << 32 | (round))

/* Of static storage: the guest reads it */
struct team {
	uint64_t gpa;
	uint64_t *hva;
	volatile uint64_t pages;	/* may be made less while it runs */
	unsigned int nr;
	volatile bool stop;
	volatile bool read_only;	/* rounds look only */
	bool moving;			/* exits for memory that is not there are no failure */
	volatile unsigned int faults;	/* how many there were */
	volatile uint64_t done[TEAM_MAX];	/* rounds that wrote */
	volatile uint64_t looks[TEAM_MAX];	/* all rounds */
	struct vcpu *v[TEAM_MAX];
	pthread_t thread[TEAM_MAX];
};

void team_fill(void *hva, uint64_t pages);
/* @nr vCPUs on @pages at @hva, which is in @vm at @gpa; the region is set here, as SLOT_FREE */
void team_start(struct team *t, struct vm *vm, unsigned int nr, uint64_t gpa, void *hva,
		uint64_t pages);
/* Until each vCPU has gone round @n times more; false and a failure after @seconds */
bool team_rounds(struct team *t, unsigned int n, unsigned int seconds);
/* Ends the guests and looks through all pages in the VMM's own mapping */
void team_end(struct team *t);
/* Ends the guests */
void team_stop(struct team *t);

#endif
