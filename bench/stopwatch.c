// SPDX-License-Identifier: GPL-2.0-only
/*
 * stopwatch.c: instructions that a whole host spends between lines of a program's output.
 *
 *	stopwatch [-m MIB] COMMAND...
 *
 * Runs COMMAND, which may be a guest's launcher, and reads its output. Each of these lines makes
 * one line of its own, with ticks of the TSC, and with those of them that the CPU was not idle:
 *
 *	"guest: up ..."			boot: since the launch
 *	"work: begin NAME",
 *	"work: end NAME"		NAME: between the two
 *	"guest: status ..."		status: since the launch; COMMAND's memory and, with KVM,
 *					exits are shown, and it is ended
 *
 * In a host of one CPU whose TSC counts instructions that is all there is: the launcher, its
 * threads, the kernel and the guest. Idle time is known by hundredths of a second only.
 * -m: mappings of at least half that size hold the guest's memory, and are not counted as the
 * launcher's.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define KVM_STATS	"/sys/kernel/debug/kvm"

struct moment {
	uint64_t tsc;
	uint64_t idle;		/* USER_HZ */
};

static uint64_t tsc_per_tick;
static unsigned long guest_mib;

static void fatal(const char *what)
{
	fprintf(stderr, "stopwatch: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct moment now(void)
{
	unsigned long long user, nice, system, idle, wait;
	struct moment m = { .tsc = __rdtsc() };
	FILE *f = fopen("/proc/stat", "r");

	if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
			 &wait) != 5)
		fatal("/proc/stat");
	fclose(f);
	m.idle = idle + wait;
	return m;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* How many ticks of the TSC go into one of /proc/stat's */
static void calibrate(void)
{
	struct timespec t = { .tv_nsec = 100000000 };
	uint64_t ns = monotonic_ns(), tsc = __rdtsc();

	nanosleep(&t, NULL);
	tsc_per_tick = (double)(__rdtsc() - tsc) * 1e9 / (monotonic_ns() - ns) /
		       sysconf(_SC_CLK_TCK);
}

static void row(const char *name, struct moment from)
{
	struct moment to = now();
	uint64_t ticks = to.tsc - from.tsc, idle = (to.idle - from.idle) * tsc_per_tick;

	printf("%s %llu %llu\n", name, (unsigned long long)ticks,
	       (unsigned long long)(idle < ticks ? ticks - idle : 0));
	fflush(stdout);
}

/* Resident memory of a process that is not the guest's */
static void memory_row(pid_t pid)
{
	unsigned long from, to, rss, kib = 0;
	bool guest = false;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	if (!f)
		fatal(path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			guest = to - from >= guest_mib << 19;
		else if (!guest && sscanf(line, "Rss: %lu", &rss) == 1)
			kib += rss;
	}
	fclose(f);
	printf("resident %lu\n", kib);
}

/* KVM counts exits by kind; nothing is there with another hypervisor */
static void exit_rows(void)
{
	unsigned long long value;
	char path[512];
	struct dirent *e;
	DIR *d = opendir(KVM_STATS);
	size_t len;
	FILE *f;

	while (d && (e = readdir(d))) {
		len = strlen(e->d_name);
		if (len < 5 || strcmp(e->d_name + len - 5, "exits"))
			continue;
		snprintf(path, sizeof(path), KVM_STATS "/%s", e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &value) == 1 && value)
			printf("%s %llu\n", e->d_name, value);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
}

static void watch(FILE *out, pid_t pid, struct moment launch)
{
	struct moment begin = launch;
	char line[4096], name[64];

	while (fgets(line, sizeof(line), out)) {
		if (!strncmp(line, "guest: up", 9)) {
			row("boot", launch);
		} else if (sscanf(line, "work: begin %63s", name) == 1) {
			begin = now();
		} else if (sscanf(line, "work: end %63s", name) == 1) {
			row(name, begin);
		} else if (!strncmp(line, "guest: status", 13)) {
			row("status", launch);
			memory_row(pid);
			exit_rows();
			kill(pid, SIGTERM);
		} else if (!strncmp(line, "runvm: exits", 12)) {
			fputs(line + 7, stdout);
		}
	}
}

int main(int argc, char **argv)
{
	struct moment launch;
	int pipefd[2], status;
	pid_t pid;
	FILE *out;

	if (argc > 2 && !strcmp(argv[1], "-m")) {
		guest_mib = strtoul(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	if (argc < 2 || !guest_mib)
		guest_mib = 64;
	if (argc < 2) {
		fputs("usage: stopwatch [-m MIB] COMMAND...\n", stderr);
		return 2;
	}
	calibrate();
	if (pipe(pipefd))
		fatal("pipe");
	launch = now();
	pid = fork();
	if (pid < 0)
		fatal("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pipefd[1], 1);
		dup2(pipefd[1], 2);
		close(pipefd[0]);
		close(pipefd[1]);
		execvp(argv[1], argv + 1);
		fatal(argv[1]);
	}
	close(pipefd[1]);
	out = fdopen(pipefd[0], "r");
	if (!out)
		fatal("fdopen");
	watch(out, pid, launch);
	waitpid(pid, &status, 0);
	return 0;
}
