// SPDX-License-Identifier: GPL-2.0-only
/*
 * power.c: the fixed hardware of ACPI (ACPI specification, "ACPI Hardware Specification": PM1 event
 * and control registers, power management timer) and the reset port of PCI host bridges.
 *
 * It keeps its power while the machine is in S3: here it is known that the machine sleeps, and what
 * wakes it. machine/ stops the vCPUs and lets them go on.
 */
#include <string.h>
#include <time.h>

#include "dev.h"

#define PM_TIMER_HZ	3579545

/* PM1_STS, PM1_EN */
#define PM1_GBL		(1u << 5)
#define PM1_PWRBTN	(1u << 8)
#define PM1_SLPBTN	(1u << 9)
#define PM1_RTC		(1u << 10)
#define PM1_WAK		(1u << 15)	/* status only, and no interrupt */
#define PM1_EN_MASK	(PM1_GBL | PM1_WAKES)
/* What wakes the machine if it is enabled */
#define PM1_WAKES	(PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)
/* PM1_CNT */
#define PM1_SCI_EN	(1u << 0)
#define PM1_SLP_TYP(v)	((v) >> 10 & 7)
#define PM1_SLP_EN	(1u << 13)
/* What stays written: not SCI_EN, nor bits that are commands */
#define PM1_CNT_MASK	0x1c02u

/* Reset control register: bit 2 does it, bit 1 says how */
#define RESET_CPU	(1u << 2)

struct power {
	struct machine *machine;
	struct device device;
	pthread_mutex_t lock;		/* all that follows */
	uint8_t pm1_evt[4];		/* status, enable */
	uint16_t pm1_cnt;
	uint8_t reset_control;
	bool asleep;			/* in S3, and nothing has come yet that wakes it */
	bool waking;			/* woken, and no vCPU runs yet */
	bool power_woke;		/* PWRBTN_STS is set since it was woken: the reason */
	bool pressed_again;		/* and is to be set again once it has been cleared */
};

static uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = value & 0xff;
	p[1] = value >> 8;
}

static uint16_t enabled_events(const struct power *pw)
{
	return get16(pw->pm1_evt) & get16(pw->pm1_evt + 2) & PM1_EN_MASK;
}

/* The SCI is a level: high as long as an enabled event waits */
static void update_sci(struct power *pw)
{
	machine_irq(pw->machine, GSI_SCI, enabled_events(pw));
}

static void wake(struct power *pw)
{
	pw->asleep = false;
	pw->waking = true;
	pw->power_woke = get16(pw->pm1_evt) & PM1_PWRBTN;
	put16(pw->pm1_evt, get16(pw->pm1_evt) | PM1_WAK);
	machine_leave_s3(pw->machine);
}

/* An enabled event wakes, one that came just before the guest fell asleep as well */
static void wake_if_enabled(struct power *pw)
{
	if (pw->asleep && enabled_events(pw) & PM1_WAKES)
		wake(pw);
}

static void event(struct power *pw, uint16_t status)
{
	put16(pw->pm1_evt, get16(pw->pm1_evt) | status);
	wake_if_enabled(pw);
	update_sci(pw);
}

/*
 * This button wakes whether it is enabled or not ("PM1 Status Registers", PWRBTN_STS). The status
 * that a guest finds when it wakes is the reason of that to it and nothing else, so that a press
 * that comes before it has cleared it would be lost: it is repeated.
 */
static void press_power(struct power *pw)
{
	if (!pw->asleep && (pw->waking || pw->power_woke))
		pw->pressed_again = true;
	event(pw, PM1_PWRBTN);
	if (pw->asleep)
		wake(pw);
}

static void repeat_press(struct power *pw)
{
	bool again = pw->pressed_again;

	if (get16(pw->pm1_evt) & PM1_PWRBTN)
		return;
	pw->power_woke = false;
	pw->pressed_again = false;
	if (again)
		press_power(pw);
}

/* Registers may be accessed a byte at a time. Status bits are cleared by writing 1. */
static void pm1_evt_byte(struct power *pw, unsigned int i, bool write, uint8_t *byte)
{
	if (!write)
		*byte = pw->pm1_evt[i];
	else if (i < 2)
		pw->pm1_evt[i] &= ~*byte;
	else
		pw->pm1_evt[i] = *byte;
}

static void pm1_evt(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct power *pw = opaque;
	uint8_t *bytes = data;
	unsigned int i;

	pthread_mutex_lock(&pw->lock);
	for (i = 0; i < len && offset + i < sizeof(pw->pm1_evt); i++)
		pm1_evt_byte(pw, offset + i, write, bytes + i);
	if (write) {
		repeat_press(pw);
		update_sci(pw);
	}
	pthread_mutex_unlock(&pw->lock);
}

static void fall_asleep(struct power *pw)
{
	pw->asleep = true;
	machine_enter_s3(pw->machine);
	wake_if_enabled(pw);
}

static void write_pm1_cnt(struct power *pw, uint16_t value)
{
	pw->pm1_cnt = value & PM1_CNT_MASK;
	if (!(value & PM1_SLP_EN))
		return;
	if (PM1_SLP_TYP(value) == ACPI_SLP_TYP_S5)
		machine_end(pw->machine, FATE_POWER_OFF, 0);
	else if (PM1_SLP_TYP(value) == ACPI_SLP_TYP_S3)
		fall_asleep(pw);
}

static void pm1_cnt(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct power *pw = opaque;
	uint8_t reg[4] = { 0 };
	unsigned int i;

	pthread_mutex_lock(&pw->lock);
	put16(reg, pw->pm1_cnt | PM1_SCI_EN);
	for (i = 0; i < len && offset + i < sizeof(reg); i++) {
		if (write)
			reg[offset + i] = ((uint8_t *)data)[i];
		else
			((uint8_t *)data)[i] = reg[offset + i];
	}
	if (write)
		write_pm1_cnt(pw, get16(reg));
	pthread_mutex_unlock(&pw->lock);
}

static uint32_t pm_timer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * PM_TIMER_HZ +
	       (uint64_t)now.tv_nsec * PM_TIMER_HZ / 1000000000;
}

static void pm_timer(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	uint32_t now = pm_timer_now() >> 8 * offset;

	if (!write)
		memcpy(data, &now, len < sizeof(now) ? len : sizeof(now));
}

static void reset_port(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct power *pw = opaque;
	uint8_t *value = data;

	pthread_mutex_lock(&pw->lock);
	if (!write) {
		*value = pw->reset_control;
	} else {
		pw->reset_control = *value & ~RESET_CPU;
		if (*value & RESET_CPU)
			machine_end(pw->machine, FATE_RESET, 0);
	}
	pthread_mutex_unlock(&pw->lock);
}

void machine_press_power(struct machine *m)
{
	struct power *pw = m->power;

	pthread_mutex_lock(&pw->lock);
	press_power(pw);
	pthread_mutex_unlock(&pw->lock);
}

void machine_press_sleep(struct machine *m)
{
	struct power *pw = m->power;

	pthread_mutex_lock(&pw->lock);
	event(pw, PM1_SLPBTN);
	pthread_mutex_unlock(&pw->lock);
}

void machine_rtc_alarm(struct machine *m)
{
	struct power *pw = m->power;

	pthread_mutex_lock(&pw->lock);
	event(pw, PM1_RTC);
	pthread_mutex_unlock(&pw->lock);
}

bool machine_wake(struct machine *m)
{
	struct power *pw = m->power;
	bool asleep;

	pthread_mutex_lock(&pw->lock);
	asleep = pw->asleep;
	if (asleep)
		wake(pw);
	pthread_mutex_unlock(&pw->lock);
	return asleep;
}

static struct power *power_of(struct device *dev)
{
	return (struct power *)((char *)dev - offsetof(struct power, device));
}

/*
 * The I/O APIC has forgotten the level of the line. A vCPU may have asked for sleep once more while
 * the others were stopped to wake the machine: all are parked now, and it does wake.
 */
static void after_s3(struct device *dev)
{
	struct power *pw = power_of(dev);

	pthread_mutex_lock(&pw->lock);
	pw->asleep = false;
	pw->waking = false;
	update_sci(pw);
	pthread_mutex_unlock(&pw->lock);
}

static void reset(struct device *dev)
{
	struct power *pw = power_of(dev);

	pthread_mutex_lock(&pw->lock);
	memset(pw->pm1_evt, 0, sizeof(pw->pm1_evt));
	pw->pm1_cnt = 0;
	pw->reset_control = 0;
	pw->asleep = false;
	pw->waking = false;
	pw->power_woke = false;
	pw->pressed_again = false;
	update_sci(pw);
	pthread_mutex_unlock(&pw->lock);
}

void power_create(struct machine *m)
{
	struct power *pw = dev_alloc(sizeof(*pw));

	pw->machine = m;
	pw->device = (struct device){ .name = "power", .reset = reset, .after_s3 = after_s3 };
	pthread_mutex_init(&pw->lock, NULL);
	m->power = pw;
	bus_add_pio(m, PORT_ACPI_PM1_EVT, 4, pm1_evt, pw);
	bus_add_pio(m, PORT_ACPI_PM1_CNT, 2, pm1_cnt, pw);
	bus_add_pio(m, PORT_ACPI_PM_TIMER, 4, pm_timer, pw);
	bus_add_pio(m, PORT_RESET, 1, reset_port, pw);
	machine_add_device(m, &pw->device);
}
