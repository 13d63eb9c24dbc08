// SPDX-License-Identifier: GPL-2.0-only
/* team.c: see team.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "team.h"

#define WORDS	512	/* of a page */

GUEST(team_counts)
{
	struct team *t = (struct team *)g->arg;
	uint64_t i, round = 0;

	while (!t->stop) {
		const bool write = !t->read_only;
		const uint64_t pages = t->pages;

		for (i = g->id; i < pages; i += t->nr) {
			volatile uint64_t *p = G_HIDE((uint64_t *)(t->gpa + i * PAGE_SIZE));

			GUEST_EQ(p[0], TEAM_WORD(i, round));
			GUEST_EQ(p[WORDS - 1], ~TEAM_WORD(i, round));
			if (write) {
				p[0]++;
				p[WORDS - 1]--;
			}
		}
		round += write;
		t->done[g->id] = round;
		t->looks[g->id]++;
	}
}

void team_fill(void *hva, uint64_t pages)
{
	uint64_t i, *p = hva;

	for (i = 0; i < pages; i++) {
		p[WORDS * i] = TEAM_WORD(i, 0);
		p[WORDS * i + WORDS - 1] = ~TEAM_WORD(i, 0);
	}
}

/* The memory is on its way: the exit names what the guest wanted */
static bool is_away(struct team *t, const struct hvx_exit_memory *m)
{
	uint64_t page = (m->gpa - t->gpa) / PAGE_SIZE;

	if (!t->moving)
		return false;
	t->faults++;
	usleep(100);
	return EXPECT(page < t->pages && m->error == EFAULT, "gpa %#llx, error %u",
		      (unsigned long long)m->gpa, m->error);
}

static void *run(void *arg)
{
	struct vcpu *v = arg;
	struct team *t = (struct team *)v->g->arg;

	pin_to(v->id % nr_cpus());
	while (vcpu_ucall(v) == UC_NONE) {
		if (v->run->exit_reason == HVX_EXIT_MEMORY_FAULT && is_away(t, &v->run->memory))
			continue;
		vcpu_describe(v, v->run->exit_reason);
		tap_failed(__FILE__, __LINE__, "exit", " unexpected");
		return NULL;
	}
	return NULL;
}

void team_start(struct team *t, struct vm *vm, unsigned int nr, uint64_t gpa, void *hva,
		uint64_t pages)
{
	unsigned int i;

	t->gpa = gpa;
	t->hva = hva;
	t->pages = pages;
	t->nr = nr;
	REQUIRE(nr <= TEAM_MAX);
	REQUIRE(!vm_region(vm, SLOT_FREE, 0, gpa, pages * PAGE_SIZE, hva));
	for (i = 0; i < nr; i++) {
		t->v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(t->v[i], team_counts);
		t->v[i]->g->arg = (uintptr_t)t;
	}
	for (i = 0; i < nr; i++)
		REQUIRE(!pthread_create(&t->thread[i], NULL, run, t->v[i]));
}

bool team_rounds(struct team *t, unsigned int n, unsigned int seconds)
{
	unsigned long long end = now_ms() + 1000ULL * seconds * tap_scale();
	uint64_t from[TEAM_MAX];
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		from[i] = t->looks[i];
	for (i = 0; i < t->nr; i++) {
		while (t->looks[i] - from[i] < n) {
			if (tap_failures())
				return false;
			if (now_ms() > end)
				return EXPECT(false, "vCPU %u: %lu rounds of %u", i,
					      t->looks[i] - from[i], n);
			usleep(500);
		}
	}
	return true;
}

void team_stop(struct team *t)
{
	unsigned int i;

	t->stop = true;
	for (i = 0; i < t->nr; i++)
		pthread_join(t->thread[i], NULL);
}

void team_end(struct team *t)
{
	uint64_t i;

	team_stop(t);
	for (i = 0; i < t->pages && !tap_failures(); i++) {
		const uint64_t *p = t->hva + WORDS * i;
		const uint64_t want = TEAM_WORD(i, t->done[i % t->nr]);

		EXPECT(p[0] == want && p[WORDS - 1] == ~want, "page %lu: %#lx, %#lx, not %#lx", i,
		       p[0], p[WORDS - 1], want);
	}
}
