// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of a local APIC: random messages, task priorities, interrupts taken and ended,
 * against a model that keeps vectors in plain lists and compares all with all. Then destinations,
 * against the words of the manual, and messages from several threads at a time.
 */
#define _GNU_SOURCE
#include <linux/kernel.h>
#include <pthread.h>
#include <string.h>
#include "irq/apic_regs.h"
#include "tap.h"

static u64 rnd_state = 88172645463325252ULL;

static u64 rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state >> 8;
}

static struct hvx_apic_regs regs;

/* The model: what waits, what is in service in the order in which it was taken */
static struct {
	bool waits[256], level[256];
	u8 service[256];
	unsigned int nr_service;
	u8 tpr;
} model;

static int model_highest(const bool *set)
{
	int i, highest = -1;

	for (i = 0; i < 256; i++)
		if (set[i])
			highest = i;
	return highest;
}

static u8 model_ppr(void)
{
	u8 top = model.nr_service ? model.service[model.nr_service - 1] : 0;

	return top >> 4 > model.tpr >> 4 ? top >> 4 << 4 : model.tpr;
}

static void compare(void)
{
	int v, want;

	EXPECT_EQ(apic_highest(&regs, APIC_REG_IRR), model_highest(model.waits));
	EXPECT_EQ(apic_idle(&regs), model_highest(model.waits) < 0);
	EXPECT_EQ(apic_ppr(&regs), model_ppr());
	want = model_highest(model.waits);
	if (want >= 0 && want >> 4 <= model_ppr() >> 4)
		want = -1;
	EXPECT_EQ(apic_deliverable(&regs), want);
	v = 16 + rnd() % 240;
	EXPECT_EQ(apic_test(&regs, APIC_REG_IRR, v), model.waits[v]);
	EXPECT_EQ(apic_test(&regs, APIC_REG_TMR, v), model.level[v]);
}

static void message(void)
{
	u8 vector = 16 + rnd() % 240;
	bool level = rnd() & 1;

	EXPECT_EQ(apic_accept(&regs, vector, level), !model.waits[vector]);
	model.waits[vector] = true;
	model.level[vector] = level;
}

static void take(void)
{
	int vector = apic_deliverable(&regs);

	if (vector < 0)
		return;
	apic_take(&regs, vector);
	model.waits[vector] = false;
	model.service[model.nr_service++] = vector;
	EXPECT(apic_test(&regs, APIC_REG_ISR, vector));
	/* Only higher classes come in between: 15 at most are in service */
	EXPECT(model.nr_service <= 15);
}

static void end(void)
{
	int want = model.nr_service ? model.service[--model.nr_service] : -1;

	EXPECT_EQ(apic_end(&regs), want);
}

TEST_TIME(model, 60)
{
	unsigned int i;

	memset(&regs, 0, sizeof(regs));
	for (i = 0; i < 400000 && !tap_failures(); i++) {
		switch (rnd() % 8) {
		case 0 ... 2:
			message();
			break;
		case 3 ... 4:
			take();
			break;
		case 5 ... 6:
			end();
			break;
		case 7:
			model.tpr = rnd() % 4 ? rnd() % 64 : rnd();
			apic_put(&regs, APIC_REG_TPR, model.tpr);
			break;
		}
		compare();
	}
}

TEST(borders)
{
	memset(&regs, 0, sizeof(regs));
	EXPECT_EQ(apic_deliverable(&regs), -1);
	EXPECT_EQ(apic_end(&regs), -1);
	EXPECT_EQ(apic_accept(&regs, 255, false), true);
	EXPECT_EQ(apic_accept(&regs, 16, true), true);
	EXPECT_EQ(regs.word[(APIC_REG_IRR + 0x70) / 4], 1U << 31);
	EXPECT_EQ(regs.word[APIC_REG_IRR / 4], 1U << 16);
	EXPECT_EQ(regs.word[APIC_REG_TMR / 4], 1U << 16);
	apic_put(&regs, APIC_REG_TPR, 0xff);
	EXPECT_EQ(apic_deliverable(&regs), -1);
	apic_put(&regs, APIC_REG_TPR, 0xef);
	EXPECT_EQ(apic_deliverable(&regs), 255);
	/* Nothing but what was said has changed. */
	EXPECT_EQ(regs.word[(APIC_REG_IRR + 0x74) / 4], 0);
	EXPECT_EQ(regs.word[APIC_REG_ESR / 4], 0);
}

static void identity(u32 ldr, u32 dfr)
{
	apic_put(&regs, APIC_REG_LDR, ldr);
	apic_put(&regs, APIC_REG_DFR, dfr);
}

TEST(destinations)
{
	unsigned int id, dest;

	for (dest = 0; dest < 256; dest++) {
		identity(0x04000000, ~0U);
		EXPECT_EQ(apic_match_logical(&regs, false, dest), (dest & 4) || dest == 0xff);
		identity(0x32000000, 0x0fffffff);
		EXPECT_EQ(apic_match_logical(&regs, false, dest),
			  dest == 0xff || (dest >> 4 == 3 && dest & 2));
		/* a model that does not exist */
		identity(0xff000000, 0x5fffffff);
		EXPECT_EQ(apic_match_logical(&regs, false, dest), dest == 0xff);
	}
	identity(0xff000000, ~0U);
	EXPECT_EQ(apic_match_logical(&regs, false, 0x101), false);
	EXPECT_EQ(apic_match_logical(&regs, false, ~0U), true);
	for (id = 0; id < 254; id++) {
		identity(apic_x2_ldr(id), 0);
		EXPECT_EQ(apic_match_logical(&regs, true, (id / 16) << 16 | 1 << id % 16), true);
		EXPECT_EQ(apic_match_logical(&regs, true, (id / 16) << 16 | 0xffff), true);
		EXPECT_EQ(apic_match_logical(&regs, true,
					     (id / 16) << 16 | (0xffff ^ 1 << id % 16)), false);
		EXPECT_EQ(apic_match_logical(&regs, true, (id / 16 + 1) << 16 | 0xffff), false);
		EXPECT_EQ(apic_match_logical(&regs, true, ~0U), true);
	}
}

/* Messages from elsewhere while the processor takes and ends: none is lost or comes twice. */
#define THREADS	3
#define EACH	40000

static unsigned long sent[THREADS];

static void *send(void *arg)
{
	unsigned int k = (uintptr_t)arg, i;

	for (i = 0; i < EACH; i++)
		sent[k] += apic_accept(&regs, 0x40 + i % 64 * 2 + k % 2, k & 1);
	return NULL;
}

TEST_TIME(threads, 60)
{
	unsigned long taken = 0, total = 0;
	unsigned int k, running = THREADS;
	pthread_t thread[THREADS];
	int vector;

	memset(&regs, 0, sizeof(regs));
	for (k = 0; k < THREADS; k++)
		pthread_create(&thread[k], NULL, send, (void *)(uintptr_t)k);
	do {
		if (!pthread_tryjoin_np(thread[running - 1], NULL))
			running--;
		while ((vector = apic_deliverable(&regs)) >= 0) {
			apic_take(&regs, vector);
			EXPECT_EQ(apic_end(&regs), vector);
			taken++;
		}
	} while (running);
	while ((vector = apic_deliverable(&regs)) >= 0) {
		apic_take(&regs, vector);
		apic_end(&regs);
		taken++;
	}
	for (k = 0; k < THREADS; k++)
		total += sent[k];
	EXPECT_EQ(taken, total);
}

/* ---------------------------------------------------------- beside the page */

static struct hvx_apic_posted posted;

/* What was posted is in the page after it was taken in, and not before, whatever was there */
TEST(posted)
{
	unsigned int i;
	bool level;
	u8 vector;
	int top;

	memset(&regs, 0, sizeof(regs));
	memset(&model, 0, sizeof(model));
	for (i = 0; i < 20000; i++) {
		vector = 16 + rnd() % 240;
		level = rnd() & 1;
		EXPECT_EQ(apic_post(&posted, &regs, vector, level), !model.waits[vector]);
		model.waits[vector] = true;
		model.level[vector] = level;
		if (rnd() % 4)
			continue;
		apic_take_posted(&regs, &posted);
		for (vector = 16; vector; vector++) {
			EXPECT_EQ(apic_test(&regs, APIC_REG_IRR, vector), model.waits[vector]);
			if (model.waits[vector])
				EXPECT_EQ(apic_test(&regs, APIC_REG_TMR, vector),
					  model.level[vector]);
		}
		if (rnd() % 4)
			continue;
		while ((top = model_highest(model.waits)) >= 0) {
			EXPECT_EQ(apic_highest(&regs, APIC_REG_IRR), top);
			apic_take(&regs, top);
			apic_end(&regs);
			model.waits[top] = false;
		}
	}
	apic_post(&posted, &regs, 0x41, false);
	apic_drop_posted(&posted);
	memset(&regs, 0, sizeof(regs));
	apic_take_posted(&regs, &posted);
	EXPECT_EQ(apic_idle(&regs), true);
}

static void *post(void *arg)
{
	unsigned int k = (uintptr_t)arg, i;

	for (i = 0; i < EACH; i++)
		sent[k] += apic_post(&posted, &regs, 0x40 + i % 64 * 2 + k % 2, k & 1);
	return NULL;
}

/* Senders say "new" at most once for each one that is taken, and what they sent last gets there */
TEST_TIME(posted_by_threads, 60)
{
	unsigned long taken = 0, total = 0;
	unsigned int k, running = THREADS;
	pthread_t thread[THREADS];
	int vector;

	memset(&regs, 0, sizeof(regs));
	memset(sent, 0, sizeof(sent));
	for (k = 0; k < THREADS; k++)
		pthread_create(&thread[k], NULL, post, (void *)(uintptr_t)k);
	do {
		if (running && !pthread_tryjoin_np(thread[running - 1], NULL))
			running--;
		apic_take_posted(&regs, &posted);
		while ((vector = apic_deliverable(&regs)) >= 0) {
			apic_take(&regs, vector);
			EXPECT_EQ(apic_end(&regs), vector);
			taken++;
		}
	} while (running);
	apic_take_posted(&regs, &posted);
	for (; (vector = apic_deliverable(&regs)) >= 0; taken++) {
		apic_take(&regs, vector);
		apic_end(&regs);
	}
	for (k = 0; k < THREADS; k++)
		total += sent[k];
	EXPECT(total <= taken && taken, "%lu said to be new, %lu taken", total, taken);
	for (k = 0; k < ARRAY_SIZE(posted.irr); k++)
		EXPECT_EQ(posted.irr[k], 0);
}
