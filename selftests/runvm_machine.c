// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_machine: the machine that 'runvm run' makes: how it ends and with which status, reset,
 * console, control socket, signals, sandbox. The guests are bare programs of guest/machine.S.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

#define IMAGE(name)							\
	extern const char m_##name[], m_##name##_end[];			\
	static const char *image_##name(void)				\
	{								\
		return launch_file(#name, m_##name, m_##name##_end - m_##name);	\
	}

IMAGE(power_off)
IMAGE(debug_exit)
IMAGE(panic)
IMAGE(triple_fault)
IMAGE(error)
IMAGE(reboot)
IMAGE(button)
IMAGE(sleep)
IMAGE(sleep_protected)
IMAGE(sleep_nowhere)
IMAGE(sleep_astray)
IMAGE(echo)
IMAGE(deaf)
IMAGE(flood)
IMAGE(probe)

#define RUN(path)	"run", "-k", path, "--flat", "0x100000"
#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

#define STATUS_PANIC		4
#define STATUS_TRIPLE_FAULT	6
#define STATUS_RESET		8
#define STATUS_ERROR		10
#define STATUS_QUIT		12

static struct launch l;

/* ----------------------------------------------------------------------------- fates */

static void expect_fate(const char *image, int status, const char *line)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image))), status);
	EXPECT(strstr(l.err.text, line), "'%s' is not in '%s'", line, l.err.text);
}

TEST(power_off)
{
	expect_fate(image_power_off(), 0, "runvm: the guest powered off\n");
	EXPECT(!strcmp(l.out.text, "going down\n"), "'%s'", l.out.text);
}

TEST(debug_exit)
{
	expect_fate(image_debug_exit(), 43, "debug port, with status 43\n");
}

TEST(panic)
{
	expect_fate(image_panic(), STATUS_PANIC, "panicked\n");
}

TEST(triple_fault)
{
	expect_fate(image_triple_fault(), STATUS_TRIPLE_FAULT, "triple fault\n");
}

TEST(error)
{
	expect_fate(image_error(), STATUS_ERROR, "does not emulate");
}

TEST(no_reboot)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image_reboot()), "--no-reboot")), STATUS_RESET);
	EXPECT(strstr(l.err.text, "reset (--no-reboot)\n"), "'%s'", l.err.text);
	EXPECT(!strcmp(l.out.text, "."), "'%s'", l.out.text);
}

/* By every way that there is; the guest checks that memory is empty and its image is fresh */
TEST(reboot)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image_reboot()))), 0);
	EXPECT(!strcmp(l.out.text, "........................"), "'%s'", l.out.text);
}

TEST(reboot_with_more_vcpus)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image_reboot()), "-c", "4")), 0);
	EXPECT(!strcmp(l.out.text, "........................"), "'%s'", l.out.text);
}

/* --------------------------------------------------------------------------- devices */

TEST(probe)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image_probe()))), 0);
	EXPECT(!strcmp(l.out.text, "fine !"), "'%s'", l.out.text);
}

TEST(console_none)
{
	EXPECT_EQ(launch_all(&l, ARGS(RUN(image_power_off()), "--console", "none")), 0);
	EXPECT(!*l.out.text, "'%s'", l.out.text);
}

/* --------------------------------------------------------------------------- console */

TEST(pipe)
{
	char many[200], want[200];
	unsigned int i;

	for (i = 0; i < sizeof(many) - 1; i++) {
		many[i] = 'a' + i % 10;
		want[i] = 'b' + i % 10;
	}
	many[i] = 0;
	want[i] = 0;
	launch(&l, LAUNCH_PIPE, ARGS(RUN(image_echo())));
	launch_out(&l, "ready\n", 5);
	launch_type(&l, many);
	launch_out(&l, want, 5);
	launch_type(&l, "\x01xq");	/* no escape key but on a terminal */
	EXPECT_EQ(launch_end(&l, 5), 0);
	EXPECT(strstr(l.out.text, "\x02y"), "'%s'", l.out.text);
}

static bool is_raw(int tty)
{
	struct termios t;

	return !tcgetattr(tty, &t) && !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static int other_end(const struct launch *of)
{
	return open(ptsname(of->in), O_RDWR | O_NOCTTY | O_CLOEXEC);
}

TEST(terminal)
{
	int tty;

	launch(&l, LAUNCH_TTY, ARGS(RUN(image_echo())));
	tty = other_end(&l);
	launch_err(&l, "Ctrl-A x leaves", 5);
	launch_out(&l, "ready", 5);
	EXPECT(is_raw(tty));
	launch_type(&l, "\x03");	/* Ctrl-C is the guest's */
	launch_out(&l, "\x04", 5);
	launch_type(&l, "\x01\x01");
	launch_out(&l, "\x02", 5);
	launch_type(&l, "\x01h");
	launch_err(&l, "presses the power button", 5);
	launch_type(&l, "\x01x");
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	EXPECT(!is_raw(tty));
}

TEST(terminal_power_button)
{
	int tty;

	launch(&l, LAUNCH_TTY, ARGS(RUN(image_button())));
	tty = other_end(&l);
	launch_out(&l, "ready", 5);
	launch_type(&l, "\x01p");
	EXPECT_EQ(launch_end(&l, 5), 0);
	EXPECT(!is_raw(tty));
}

/* As SIGINT: the second one does not ask. With the escape key before it is nobody's. */
TEST(terminal_ctrl_c)
{
	launch(&l, LAUNCH_TTY, ARGS(RUN(image_button()), "--ctrl-c", "power"));
	launch_out(&l, "ready", 5);
	launch_type(&l, "\x01\x03");
	launch_type(&l, "\x03");
	launch_err(&l, "INT: pressing the power button", 5);
	EXPECT_EQ(launch_end(&l, 5), 0);
	launch(&l, LAUNCH_TTY, ARGS(RUN(image_deaf()), "--ctrl-c", "power"));
	launch_out(&l, "ready", 5);
	launch_type(&l, "\x03\x03");
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
}

TEST(terminal_is_restored_by_signals)
{
	static const int signals[] = { SIGSEGV, SIGABRT, SIGQUIT };
	unsigned int i;
	int tty;

	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		launch(&l, LAUNCH_TTY, ARGS(RUN(image_deaf())));
		tty = other_end(&l);
		launch_out(&l, "ready", 5);
		EXPECT(is_raw(tty));
		kill(l.pid, signals[i]);
		EXPECT_EQ(launch_end(&l, 5), 1000 + signals[i]);
		EXPECT(!is_raw(tty), "signal %d", signals[i]);
		close(tty);
	}
}

/* Nobody reads what the guest writes: it must be possible to end it all the same */
TEST_TIME(flood, 30)
{
	struct launch_text *out = &l.out;
	int fd;

	launch(&l, LAUNCH_NULL, ARGS(RUN(image_flood())));
	fd = out->fd;
	out->fd = -1;
	sleep(2);
	kill(l.pid, SIGTERM);
	kill(l.pid, SIGTERM);
	launch_err(&l, "power button", 5);
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 10), STATUS_QUIT);
	close(fd);
}

/* --------------------------------------------------------------------------- signals */

static void press_by(int signal)
{
	launch(&l, LAUNCH_NULL, ARGS(RUN(image_button())));
	launch_out(&l, "ready", 5);
	kill(l.pid, signal);
	launch_out(&l, "button", 5);
	EXPECT_EQ(launch_end(&l, 5), 0);
}

TEST(sigterm_presses_the_button)
{
	press_by(SIGTERM);
}

TEST(sigint_presses_the_button)
{
	press_by(SIGINT);
}

TEST(second_signal_ends)
{
	launch(&l, LAUNCH_NULL, ARGS(RUN(image_deaf())));
	launch_out(&l, "ready", 5);
	kill(l.pid, SIGTERM);
	launch_err(&l, "once more", 5);
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
}

/* --------------------------------------------------------------------------- control */

static const char *const sock = "/tmp/launch.sock";

static int connect_control(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, sock);
	REQUIRE(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* One answer, without its end of line */
static const char *ask(int fd, const char *line)
{
	static char reply[1024];
	size_t n = 0;

	EXPECT(write(fd, line, strlen(line)) == (ssize_t)strlen(line));
	while (n < sizeof(reply) - 1 && read(fd, reply + n, 1) == 1 && reply[n] != '\n')
		n++;
	reply[n] = 0;
	return reply;
}

static void expect_answer(int fd, const char *line, const char *part)
{
	const char *reply = ask(fd, line);

	EXPECT(strstr(reply, part), "'%s' was answered by '%s'", line, reply);
}

static void launch_controlled(const char *image)
{
	launch(&l, LAUNCH_NULL, ARGS(RUN(image), "--control", sock, "--name", "testee", "-c", "2"));
	launch_out(&l, "ready", 5);
}

TEST(control)
{
	char before[1024];
	int a, b;

	launch_controlled(image_button());
	a = connect_control();
	b = connect_control();
	expect_answer(a, "{\"command\":\"status\"}\n", "\"state\":\"running\"");
	expect_answer(b, "{\"command\":\"status\"}\n", "\"name\":\"testee\"");
	expect_answer(b, "{\"command\":\"status\"}\n", "\"cpus\":2");
	expect_answer(a, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	expect_answer(a, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	expect_answer(b, "{\"command\":\"status\"}\n", "\"state\":\"paused\"");
	strcpy(before, ask(b, "{\"command\":\"status\"}\n"));
	expect_answer(a, "{\"command\":\"power\"}\n", "{\"ok\":true}");
	usleep(200000);
	EXPECT(!strcmp(before, ask(b, "{\"command\":\"status\"}\n")));
	expect_answer(b, "{\"command\":\"resume\"}\n", "{\"ok\":true}");
	launch_out(&l, "button", 5);
	EXPECT_EQ(launch_end(&l, 5), 0);
	close(a);
	close(b);
}

TEST(control_paused_guest_stands_still)
{
	char before[1024];
	int fd;

	launch_controlled(image_button());
	fd = connect_control();
	expect_answer(fd, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	strcpy(before, ask(fd, "{\"command\":\"status\"}\n"));
	usleep(300000);
	EXPECT(!strcmp(before, ask(fd, "{\"command\":\"status\"}\n")));
	expect_answer(fd, "{\"command\":\"quit\"}\n", "{\"ok\":true}");
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

TEST(control_reset)
{
	int fd;

	launch_controlled(image_deaf());
	fd = connect_control();
	expect_answer(fd, "{\"command\":\"reset\"}\n", "{\"ok\":true}");
	launch_out(&l, "ready\nready\n", 5);
	expect_answer(fd, "{\"command\":\"status\"}\n", "\"resets\":1");
	expect_answer(fd, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	expect_answer(fd, "{\"command\":\"reset\"}\n", "{\"ok\":true}");
	launch_out(&l, "ready\nready\nready\n", 5);
	expect_answer(fd, "{\"command\":\"status\"}\n", "\"state\":\"running\"");
	expect_answer(fd, "{\"command\":\"quit\"}\n", "{\"ok\":true}");
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

TEST(control_refuses)
{
	static const char *const bad[] = {
		"\n", "{}\n", "[]\n", "1\n", "nonsense\n", "{\"command\":1}\n",
		"{\"command\":\"fly\"}\n", "{\"command\":\"quit\",\"force\":1}\n",
		"{\"command\":\"quit\",\"command\":\"quit\"}\n", "{\"command\":\"quit\"} x\n",
		"{\"command\":\"qu\\u0000it\"}\n",
	};
	char *line = malloc(6000);
	unsigned int i;
	int fd;

	launch_controlled(image_deaf());
	fd = connect_control();
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_answer(fd, bad[i], "{\"ok\":false,\"error\":\"");
	close(fd);
	fd = connect_control();
	memset(line, '[', 5000);
	strcpy(line + 5000, "\n");
	expect_answer(fd, line, "{\"ok\":false,\"error\":\"the line is too long\"}");
	close(fd);
	fd = connect_control();		/* that one was hung up on, others are served */
	expect_answer(fd, "{\"command\":\"status\"}\n", "\"ok\":true");
	expect_answer(fd, "{\"command\":\"quit\"}\n", "{\"ok\":true}");
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

TEST(control_commands)
{
	static struct launch c;

	launch_controlled(image_button());
	EXPECT_EQ(launch_all(&c, ARGS("status", sock)), 0);
	EXPECT(strstr(c.out.text, "state: running\n"), "'%s'", c.out.text);
	EXPECT_EQ(launch_all(&c, ARGS("pause", sock)), 0);
	EXPECT_EQ(launch_all(&c, ARGS("status", sock)), 0);
	EXPECT(strstr(c.out.text, "state: paused\n"), "'%s'", c.out.text);
	EXPECT_EQ(launch_all(&c, ARGS("resume", sock)), 0);
	EXPECT_EQ(launch_all(&c, ARGS("power", sock)), 0);
	EXPECT_EQ(launch_end(&l, 5), 0);
	EXPECT_EQ(launch_all(&c, ARGS("status", sock)), 1);
	EXPECT(strstr(c.err.text, "the guest is gone\n"), "'%s'", c.err.text);
	EXPECT_EQ(launch_all(&c, ARGS("status")), 2);
	/* The name that is left does not keep the next guest from starting; a live one does */
	launch_controlled(image_deaf());
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image_deaf()), "--control", sock)), 1);
	EXPECT(strstr(c.err.text, "there is something already\n"), "'%s'", c.err.text);
	EXPECT_EQ(launch_all(&c, ARGS("quit", sock)), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
}

/* ----------------------------------------------------------------------------- sleep */

static const char status_line[] = "{\"command\":\"status\"}\n";
static const char ok[] = "{\"ok\":true}";

/* Until it has the state: the guest goes to sleep by itself */
static bool is_in(int fd, const char *state)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		if (strstr(ask(fd, status_line), state))
			return true;
		usleep(10000);
	}
	return false;
}

static int launch_sleeper(const char *image)
{
	int fd;

	launch(&l, LAUNCH_PIPE, ARGS(RUN(image), "--control", sock, "-c", "2"));
	launch_out(&l, "ready\n", 5);
	fd = connect_control();
	EXPECT(is_in(fd, "\"asleep\""));
	return fd;
}

/* The guest does as @keys say and falls asleep */
static void send_to_sleep(int fd, const char *keys)
{
	launch_type(&l, keys);
	EXPECT(is_in(fd, "\"asleep\""));
}

static void quit_sleeper(int fd)
{
	expect_answer(fd, "{\"command\":\"quit\"}\n", ok);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

TEST(sleep_wakes)
{
	int fd = launch_sleeper(image_sleep());

	/* The power button although it is not enabled, the sleep button only if it is */
	expect_answer(fd, "{\"command\":\"power\"}\n", ok);
	launch_out(&l, "ready\nWp\n", 5);
	EXPECT(is_in(fd, "\"running\""));
	expect_answer(fd, "{\"command\":\"wake\"}\n", "the guest is not asleep");
	send_to_sleep(fd, "z");
	expect_answer(fd, "{\"command\":\"sleep\"}\n", ok);
	usleep(200000);
	expect_answer(fd, status_line, "\"asleep\"");
	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	launch_out(&l, "Wp\nWs\n", 5);
	send_to_sleep(fd, "ez");
	expect_answer(fd, "{\"command\":\"sleep\"}\n", ok);
	launch_out(&l, "Ws\nWs\n", 5);
	send_to_sleep(fd, "z");
	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	launch_out(&l, "Ws\nWs\nW\n", 5);
	/* It may be awake before anybody sees that it was asleep */
	launch_type(&l, "a");
	launch_out(&l, "W\nWr\n", 5);
	quit_sleeper(fd);
}

/* Woken while it is paused it does nothing before it is resumed: no exits */
TEST(sleep_and_pause)
{
	int fd = launch_sleeper(image_sleep());
	char before[1024];

	expect_answer(fd, "{\"command\":\"pause\"}\n", ok);
	expect_answer(fd, status_line, "\"paused\"");
	expect_answer(fd, "{\"command\":\"resume\"}\n", ok);
	expect_answer(fd, status_line, "\"asleep\"");
	expect_answer(fd, "{\"command\":\"pause\"}\n", ok);
	strcpy(before, ask(fd, status_line));
	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	usleep(200000);
	EXPECT(!strcmp(before, ask(fd, status_line)));
	EXPECT(strstr(before, "\"paused\""), "'%s'", before);
	expect_answer(fd, "{\"command\":\"resume\"}\n", ok);
	launch_out(&l, "ready\nW\n", 5);
	expect_answer(fd, status_line, "\"running\"");
	quit_sleeper(fd);
}

/* The first signal wakes, the second presses the button of a guest that is awake */
TEST(sleep_and_signals)
{
	int fd = launch_sleeper(image_sleep());

	kill(l.pid, SIGTERM);
	launch_err(&l, "waking the guest; once more presses the power button", 5);
	launch_out(&l, "ready\nWp\n", 5);
	kill(l.pid, SIGTERM);
	launch_out(&l, "Wp\nb", 5);
	EXPECT_EQ(launch_end(&l, 5), 0);
	close(fd);
}

/* Nobody is woken for free for ever: a guest that always goes back to sleep is ended */
TEST(sleep_and_three_signals)
{
	int fd = launch_sleeper(image_sleep());

	kill(l.pid, SIGTERM);
	launch_out(&l, "ready\nWp\n", 5);
	send_to_sleep(fd, "z");
	kill(l.pid, SIGTERM);
	launch_err(&l, "pressing the power button; once more ends the guest at once", 5);
	launch_out(&l, "Wp\nWp\n", 5);
	send_to_sleep(fd, "z");
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

/* Nor one that was asked while it was awake: to this one the button says that it shall sleep */
TEST(signal_then_sleep)
{
	int fd = launch_sleeper(image_sleep());

	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	launch_out(&l, "ready\nW\n", 5);
	launch_type(&l, "d");
	launch_out(&l, "W\nd", 5);
	kill(l.pid, SIGTERM);
	EXPECT(is_in(fd, "\"asleep\""));
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	close(fd);
}

/* It is paused and woken: to press the button now is asking it to power off, once it runs */
static void expect_press_after_resume(int fd)
{
	kill(l.pid, SIGTERM);
	launch_err(&l, "pressing the power button; once more ends the guest at once", 5);
	expect_answer(fd, "{\"command\":\"resume\"}\n", ok);
	launch_out(&l, "ready\nWp\nb", 5);
	EXPECT_EQ(launch_end(&l, 5), 0);
	close(fd);
}

/* The guest does not run between the two, but both presses arrive */
TEST(signals_before_it_runs)
{
	int fd = launch_sleeper(image_sleep());

	expect_answer(fd, "{\"command\":\"pause\"}\n", ok);
	kill(l.pid, SIGTERM);
	launch_err(&l, "waking the guest; once more presses the power button", 5);
	expect_press_after_resume(fd);
}

/* Nor is the one lost that comes after another command has woken it */
TEST(wake_and_signal_before_it_runs)
{
	int fd = launch_sleeper(image_sleep());

	expect_answer(fd, "{\"command\":\"pause\"}\n", ok);
	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	expect_press_after_resume(fd);
}

TEST(sleep_and_reset)
{
	int fd = launch_sleeper(image_sleep());

	expect_answer(fd, "{\"command\":\"reset\"}\n", ok);
	launch_out(&l, "ready\nready\n", 5);
	expect_answer(fd, status_line, "\"resets\":1");
	EXPECT(is_in(fd, "\"asleep\""));
	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	launch_out(&l, "ready\nready\nW\n", 5);
	send_to_sleep(fd, "z");
	quit_sleeper(fd);
}

TEST(sleep_protected)
{
	int fd = launch_sleeper(image_sleep_protected());

	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	EXPECT_EQ(launch_end(&l, 5), 0);
	close(fd);
}

static void expect_no_waking(const char *image, const char *line)
{
	int fd = launch_sleeper(image);

	expect_answer(fd, "{\"command\":\"wake\"}\n", ok);
	EXPECT_EQ(launch_end(&l, 5), STATUS_ERROR);
	EXPECT(strstr(l.err.text, line), "'%s'", l.err.text);
	close(fd);
}

TEST(sleep_without_vector)
{
	expect_no_waking(image_sleep_nowhere(), "without a waking vector in the FACS\n");
}

TEST(sleep_with_bad_vector)
{
	expect_no_waking(image_sleep_astray(), "0xb8000, is not in RAM below 1 MiB\n");
}

/* --------------------------------------------------------------------------- sandbox */

static unsigned long long status_field(const char *path, const char *field, int base)
{
	char line[256];
	unsigned long long value = ~0ULL;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			value = strtoull(line + strlen(field) + 1, NULL, base);
	if (f)
		fclose(f);
	return value;
}

/* Of all threads: a filter that misses one is none */
TEST(sandbox)
{
	char path[300];
	struct dirent *e;
	unsigned int n = 0;
	DIR *tasks;

	launch(&l, LAUNCH_NULL, ARGS(RUN(image_button()), "-c", "2"));
	launch_out(&l, "ready", 5);
	snprintf(path, sizeof(path), "/proc/%d/task", l.pid);
	tasks = opendir(path);
	while (tasks && (e = readdir(tasks))) {
		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", l.pid, e->d_name);
		EXPECT_EQ(status_field(path, "Seccomp", 10), 2);
		EXPECT_EQ(status_field(path, "NoNewPrivs", 10), 1);
		EXPECT_EQ(status_field(path, "CapEff", 16), 0);
		EXPECT_EQ(status_field(path, "CapPrm", 16), 0);
		EXPECT_EQ(status_field(path, "Uid", 10), 65534);
		n++;
	}
	if (tasks)
		closedir(tasks);
	EXPECT(n >= 4, "%u threads: the main one, two vCPUs, the console", n);
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 5), 0);
}

TEST(no_sandbox)
{
	char path[64];

	launch(&l, LAUNCH_NULL, ARGS(RUN(image_button()), "--no-sandbox"));
	launch_out(&l, "ready", 5);
	snprintf(path, sizeof(path), "/proc/%d/status", l.pid);
	EXPECT_EQ(status_field(path, "Seccomp", 10), 0);
	EXPECT_EQ(status_field(path, "Uid", 10), getuid());
	kill(l.pid, SIGTERM);
	EXPECT_EQ(launch_end(&l, 5), 0);
}

/* ------------------------------------------------------------------------ two at once */

TEST(two_guests)
{
	static struct launch other;

	launch(&l, LAUNCH_PIPE, ARGS(RUN(image_echo()), "-c", "2"));
	launch(&other, LAUNCH_PIPE, ARGS(RUN(image_echo())));
	launch_out(&l, "ready", 5);
	launch_out(&other, "ready", 5);
	launch_type(&l, "AAAA");
	launch_type(&other, "YYYY");
	launch_out(&l, "BBBB", 5);
	launch_out(&other, "ZZZZ", 5);
	launch_type(&other, "q");
	EXPECT_EQ(launch_end(&other, 5), 0);
	launch_type(&l, "Cq");
	EXPECT_EQ(launch_end(&l, 5), 0);
	EXPECT(!strcmp(l.out.text, "ready\nBBBBD"), "'%s'", l.out.text);
}
