// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_power: runvm's fixed hardware of ACPI, against the tables of "PM1 Event Grouping" and "PM1
 * Control Grouping": buttons and alarm, the SCI, sleep and what ends it.
 */
#include <stdlib.h>

#include "dev/dev.h"
#include "tap.h"

#define PWRBTN	0x100
#define SLPBTN	0x200
#define RTC	0x400
#define WAK	0x8000
#define SLP_EN	0x2000

/* ------------------------------------------------------------------------ the machine */

static struct machine machine;
static struct device *device;
static struct {
	io_handler *handler;
	void *opaque;
} ports[16];
static bool sci;
static unsigned int slept, woken;
static enum fate fate;

void *dev_alloc(size_t size)
{
	return calloc(1, size);
}

bool bus_add_pio(struct machine *m, uint16_t first, uint16_t len, io_handler *handler, void *opaque)
{
	if (first != PORT_RESET) {
		REQUIRE(first - PORT_ACPI_PM1_EVT < 16);
		ports[first - PORT_ACPI_PM1_EVT].handler = handler;
		ports[first - PORT_ACPI_PM1_EVT].opaque = opaque;
	}
	return true;
}

void machine_irq(struct machine *m, uint32_t gsi, bool level)
{
	EXPECT_EQ(gsi, GSI_SCI);
	sci = level;
}

void machine_add_device(struct machine *m, struct device *dev)
{
	device = dev;
}

void machine_end(struct machine *m, enum fate how, int status)
{
	fate = how;
}

void machine_enter_s3(struct machine *m)
{
	slept++;
}

void machine_leave_s3(struct machine *m)
{
	woken++;
}

static void start(void)
{
	power_create(&machine);
	device->reset(device);
	sci = false;
	slept = 0;
	woken = 0;
	fate = FATE_NONE;
}

/* @reg: 0 status, 2 enable, 4 control */
static void set(unsigned int reg, uint16_t value)
{
	unsigned int base = reg & 4;

	ports[base].handler(ports[base].opaque, reg - base, 2, true, &value);
}

static uint16_t get(unsigned int reg)
{
	unsigned int base = reg & 4;
	uint16_t value = 0xffff;

	ports[base].handler(ports[base].opaque, reg - base, 2, false, &value);
	return value;
}

static void fall_asleep(void)
{
	unsigned int before = slept;

	set(4, ACPI_SLP_TYP_S3 << 10 | SLP_EN);
	EXPECT_EQ(slept, before + 1);
}

/* ------------------------------------------------------------------------------ tests */

typedef void press_fn(struct machine *m);
static press_fn *const press[] = { machine_press_power, machine_press_sleep, machine_rtc_alarm };
static const uint16_t status[] = { PWRBTN, SLPBTN, RTC };

TEST(events)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		start();
		press[i](&machine);
		EXPECT_EQ(get(0), status[i]);
		EXPECT(!sci);
		set(2, status[i]);
		EXPECT(sci);
		set(0, (uint16_t)~status[i]);
		EXPECT_EQ(get(0), status[i]);
		EXPECT(sci);
		set(0, status[i]);
		EXPECT_EQ(get(0), 0);
		EXPECT(!sci);
		EXPECT_EQ(woken, 0);
	}
}

/* The types of S3 and S5 do something, with SLP_EN, which is not kept; no others */
TEST(sleep_types)
{
	unsigned int type;

	for (type = 0; type < 8; type++) {
		start();
		set(4, type << 10);
		EXPECT_EQ(slept, 0);
		EXPECT_EQ(fate, FATE_NONE);
		set(4, type << 10 | SLP_EN);
		EXPECT_EQ(slept, type == ACPI_SLP_TYP_S3);
		EXPECT_EQ(fate, type == ACPI_SLP_TYP_S5 ? FATE_POWER_OFF : FATE_NONE);
		EXPECT_EQ(get(4), type << 10 | 1);
	}
}

/* The power button always, the others if they are enabled */
TEST(wakes)
{
	unsigned int i, enabled;

	for (i = 0; i < 3; i++) {
		for (enabled = 0; enabled < 2; enabled++) {
			bool wakes = enabled || status[i] == PWRBTN;

			start();
			set(2, enabled ? status[i] : (uint16_t)~status[i]);
			fall_asleep();
			EXPECT_EQ(woken, 0);
			press[i](&machine);
			EXPECT_EQ(woken, wakes);
			EXPECT_EQ(get(0), status[i] | (wakes ? WAK : 0));
			EXPECT_EQ(sci, enabled);
			/* Once is enough */
			press[i](&machine);
			EXPECT_EQ(woken, wakes);
		}
	}
}

/* What came before the guest was asleep, and has not been taken, wakes it if it is enabled */
TEST(wakes_at_once)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		start();
		press[i](&machine);
		fall_asleep();
		EXPECT_EQ(woken, 0);
		start();
		set(2, status[i]);
		press[i](&machine);
		fall_asleep();
		EXPECT_EQ(woken, 1);
		EXPECT_EQ(get(0), status[i] | WAK);
	}
}

TEST(wake_command)
{
	start();
	EXPECT(!machine_wake(&machine));
	EXPECT_EQ(get(0), 0);
	fall_asleep();
	EXPECT(machine_wake(&machine));
	EXPECT_EQ(woken, 1);
	EXPECT_EQ(get(0), WAK);
	EXPECT(!machine_wake(&machine));
	/* WAK_STS is no interrupt */
	set(2, 0xffff);
	EXPECT(!sci);
	set(0, WAK);
	EXPECT_EQ(get(0), 0);
}

/* All vCPUs are parked, and may run from now on */
static void run(void)
{
	device->after_s3(device);
}

/* Cleared, the status is set again for a press that waited; once */
static void expect_repeated(bool enabled)
{
	EXPECT_EQ(get(0) & PWRBTN, PWRBTN);
	set(0, PWRBTN | WAK);
	EXPECT_EQ(get(0), PWRBTN);
	EXPECT_EQ(sci, enabled);
	set(0, PWRBTN);
	EXPECT_EQ(get(0), 0);
	EXPECT(!sci);
}

/* Pressed again before the guest runs, or before it has cleared the status that woke it */
TEST(pressed_again)
{
	unsigned int enabled, runs;

	for (enabled = 0; enabled < 2; enabled++) {
		for (runs = 0; runs < 2; runs++) {
			start();
			set(2, enabled ? PWRBTN : 0);
			fall_asleep();
			machine_press_power(&machine);
			if (runs)
				run();
			set(0, WAK);
			machine_press_power(&machine);
			machine_press_power(&machine);
			if (!runs)
				run();
			expect_repeated(enabled);
			EXPECT_EQ(woken, 1);
		}
	}
}

/* Woken by something else, the guest takes a press for the reason if it comes before it runs */
TEST(pressed_while_woken)
{
	start();
	fall_asleep();
	EXPECT(machine_wake(&machine));
	machine_press_power(&machine);
	run();
	expect_repeated(false);
	fall_asleep();
	EXPECT(machine_wake(&machine));
	run();
	machine_press_power(&machine);
	set(0, PWRBTN | WAK);
	EXPECT_EQ(get(0), 0);
}

/* What finds the guest asleep again wakes it, and is not repeated */
TEST(pressed_asleep_again)
{
	start();
	fall_asleep();
	machine_press_power(&machine);
	run();
	fall_asleep();
	machine_press_power(&machine);
	run();
	EXPECT_EQ(woken, 2);
	set(0, PWRBTN | WAK);
	EXPECT_EQ(get(0), 0);
}

/* What is repeated while the guest is asleep again wakes it */
TEST(repeated_asleep)
{
	start();
	fall_asleep();
	machine_press_power(&machine);
	machine_press_power(&machine);
	run();
	fall_asleep();
	set(0, PWRBTN | WAK);
	EXPECT_EQ(woken, 2);
	EXPECT_EQ(get(0), PWRBTN | WAK);
	run();
	set(0, PWRBTN | WAK);
	EXPECT_EQ(get(0), 0);
}

/* Not where the guest has never slept, or has cleared the status, or was reset */
TEST(pressed_once)
{
	unsigned int i;

	start();
	for (i = 0; i < 3; i++) {
		machine_press_power(&machine);
		machine_press_power(&machine);
		set(0, PWRBTN);
		EXPECT_EQ(get(0), 0);
		fall_asleep();
		machine_press_power(&machine);
		if (!i)
			run();
		if (i == 1)
			machine_press_power(&machine);
		if (i)
			device->reset(device);
		if (i == 2)
			machine_press_power(&machine);
		set(0, PWRBTN | WAK);
		EXPECT_EQ(get(0), 0);
	}
}

/* A reset has a guest that slept run: nothing is left to wake it for */
TEST(reset)
{
	start();
	set(2, SLPBTN);
	fall_asleep();
	device->reset(device);
	EXPECT_EQ(get(2), 0);
	machine_press_power(&machine);
	EXPECT_EQ(woken, 0);
	EXPECT_EQ(get(0), PWRBTN);
}

/* The chips that have forgotten the line hear of it again, and registers are kept */
TEST(after_s3)
{
	start();
	set(2, PWRBTN);
	fall_asleep();
	machine_press_power(&machine);
	sci = false;
	device->after_s3(device);
	EXPECT(sci);
	EXPECT_EQ(get(0), PWRBTN | WAK);
	EXPECT_EQ(get(2), PWRBTN);
}

/* Another vCPU asks for sleep while the machine is being woken: it is awake all the same */
TEST(after_s3_is_awake)
{
	start();
	fall_asleep();
	machine_press_sleep(&machine);
	EXPECT(machine_wake(&machine));
	fall_asleep();
	run();
	EXPECT(!machine_wake(&machine));
	machine_press_power(&machine);
	EXPECT_EQ(woken, 1);
	EXPECT_EQ(get(0), PWRBTN | SLPBTN | WAK);
}
