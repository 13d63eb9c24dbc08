// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm_names: guests that are found by their names: the socket that --name makes, who may have it,
 * and what commands take a name for. The guest is a bare program of guest/machine.S.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"
#include "tap.h"

extern const char m_button[], m_button_end[];

#define RUN(path)	"run", "-k", path, "--flat", "0x100000"
#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

#define NOBODY		65534
#define STATUS_QUIT	12

static struct launch l, c;

static const char *image(void)
{
	return launch_file("button", m_button, m_button_end - m_button);
}

static void start(const char *name)
{
	launch(&l, LAUNCH_NULL, ARGS(RUN(image()), "--name", name, "--balloon"));
	launch_out(&l, "ready", 5);
}

/* One line that has this part */
static void expect_refusal(int status, const char *part, const char *const *args)
{
	const char *end;

	EXPECT_EQ(launch_all(&c, args), status);
	end = strchr(c.err.text, '\n');
	EXPECT(end && !end[1] && strstr(c.err.text, part) && !*c.out.text, "'%s', '%s'",
	       c.err.text, c.out.text);
}

static void expect_mode(const char *path, unsigned int mode)
{
	struct stat st;

	if (EXPECT(!lstat(path, &st), "there is no %s", path))
		EXPECT_EQ(st.st_mode, mode);
}

TEST(by_name)
{
	start("testee");
	expect_mode("/run/runvm", S_IFDIR | 0700);
	expect_mode("/run/runvm/testee.sock", S_IFSOCK | 0600);
	EXPECT_EQ(launch_all(&c, ARGS("status", "testee")), 0);
	EXPECT(strstr(c.out.text, "name: testee\n"), "'%s'", c.out.text);
	EXPECT_EQ(launch_all(&c, ARGS("status", "/run/runvm/testee.sock")), 0);
	EXPECT_EQ(launch_all(&c, ARGS("balloon", "testee", "64M")), 0);
	EXPECT_EQ(launch_all(&c, ARGS("balloon", "testee")), 0);
	EXPECT(strstr(c.out.text, "target: 67108864\n"), "'%s'", c.out.text);
	EXPECT_EQ(launch_all(&c, ARGS("power", "testee")), 0);
	EXPECT_EQ(launch_end(&l, 5), 0);
	expect_refusal(1, "runvm: control socket /run/runvm/testee.sock: the guest is gone\n",
		       ARGS("status", "testee"));
}

/* What a guest leaves behind is replaced, a guest that runs is not */
TEST(two_of_one_name)
{
	start("twin");
	EXPECT_EQ(launch_all(&c, ARGS("quit", "twin")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	start("twin");
	expect_refusal(1, "socket /run/runvm/twin.sock: a guest of this name is running\n",
		       ARGS(RUN(image()), "--name", "twin"));
	EXPECT_EQ(launch_all(&c, ARGS("quit", "twin")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
}

TEST(no_such_name)
{
	expect_refusal(1,
		       "no guest has the name 'nobody': there is no /run/runvm/nobody.sock (runvm run --name nobody makes it)\n",
		       ARGS("status", "nobody"));
	expect_refusal(1, "runvm: control socket ./nobody: there is none (runvm run --control",
		       ARGS("balloon", "./nobody"));
	expect_refusal(1, "runvm: /etc/passwd is no control socket: give a guest's name, or what",
		       ARGS("status", "/etc/passwd"));
	REQUIRE(!chdir("/etc"));
	expect_refusal(1, "runvm: passwd is no control socket", ARGS("quit", "passwd"));
	expect_refusal(2, "status takes one argument: the guest's name, or its socket\n",
		       ARGS("status"));
	expect_refusal(2, "balloon takes GUEST [SIZE]: its name or socket", ARGS("balloon"));
}

/* An empty /run for this test alone, which is a process of its own: others have guests there */
static void have_own_run(void)
{
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
		SKIP("mounts of its own: %s", strerror(errno));
}

/* It finds what would be in the way, and changes nothing */
TEST(dry_run)
{
	have_own_run();
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "dry", "--dry-run")), 0);
	EXPECT(access("/run/runvm", F_OK), "it made /run/runvm");
	start("dry");
	expect_refusal(1, "a guest of this name is running\n",
		       ARGS(RUN(image()), "--name", "dry", "--dry-run"));
	EXPECT_EQ(launch_all(&c, ARGS("quit", "dry")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	/* What that left behind would be replaced; a name that nobody has had leaves nothing */
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "dry", "--dry-run")), 0);
	expect_mode("/run/runvm/dry.sock", S_IFSOCK | 0600);
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "new", "--dry-run")), 0);
	EXPECT(access("/run/runvm/new.sock", F_OK), "it left its socket behind");
}

/* Not even for a moment, in which another could find a socket there that is not to be */
TEST(dry_run_touches_nothing)
{
	static const char *const wrong[][2] = {
		{ "/tmp/watched/none/sock", ": No such file or directory\n" },
		{ "/tmp/watched/there", ": there is something already\n" },
		{ "/tmp/watched/there/sock", ": Not a directory\n" },
		{ "/tmp/watched/none/", ": No such file or directory\n" },
	};
	int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd;
	char event[4096];
	unsigned int i;

	have_own_run();
	REQUIRE(!mkdir("/run/runvm", 0700) && !mkdir("/tmp/watched", 0700));
	fd = open("/tmp/watched/there", O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	REQUIRE(events >= 0 && fd >= 0);
	for (i = 0; i < 2; i++)
		REQUIRE(inotify_add_watch(events, i ? "/run/runvm" : "/tmp/watched",
					  IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB) >= 0);
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--control", "/tmp/watched/sock", "--dry-run")),
		  0);
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "watched", "--dry-run")), 0);
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		expect_refusal(1, wrong[i][1],
			       ARGS(RUN(image()), "--control", wrong[i][0], "--dry-run"));
	EXPECT(read(events, event, sizeof(event)) < 0 && errno == EAGAIN,
	       "it changed '%s'", ((struct inotify_event *)event)->name);
	/* The watch does see what a guest makes */
	start("watched");
	EXPECT_EQ(launch_all(&c, ARGS("quit", "watched")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	EXPECT(read(events, event, sizeof(event)) > 0);
	close(fd);
	close(events);
	unlink("/tmp/watched/there");
	rmdir("/tmp/watched");
}

/* A path by --control instead; one in the working directory needs no slash */
TEST(by_path)
{
	REQUIRE(!chdir("/tmp"));
	launch(&l, LAUNCH_NULL, ARGS(RUN(image()), "--name", "apart", "--control", "apart.here"));
	launch_out(&l, "ready", 5);
	EXPECT(access("/run/runvm/apart.sock", F_OK));
	EXPECT_EQ(launch_all(&c, ARGS("status", "apart.here")), 0);
	EXPECT_EQ(launch_all(&c, ARGS("quit", "./apart.here")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
}

/* No file can have it: the guest runs, without a socket */
TEST(name_with_slash)
{
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "../up", "--dry-run")), 0);
	EXPECT(strstr(c.out.text, "name = ../up\n"), "'%s'", c.out.text);
	EXPECT(strstr(c.err.text, "no control socket: its name has a slash (--control SOCKET"),
	       "'%s'", c.err.text);
	EXPECT(access("/run/up.sock", F_OK));
	/* A name that was not given is none to be kept in a configuration */
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--dry-run")), 0);
	EXPECT(!strstr(c.out.text, "name = "), "'%s'", c.out.text);
}

/* A root directory that has all but /run: what it is made in is mounted there */
static void have_no_run(void)
{
	char path[512], at[288], target[256];
	struct dirent *e;
	ssize_t len;
	DIR *root;

	have_own_run();
	root = opendir("/");
	REQUIRE(root);
	while ((e = readdir(root))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !strcmp(e->d_name, "run"))
			continue;
		snprintf(at, sizeof(at), "/%s", e->d_name);
		snprintf(path, sizeof(path), "/run%s", at);
		if (e->d_type == DT_DIR) {
			REQUIRE(!mkdir(path, 0755));
			REQUIRE(!mount(at, path, NULL, MS_BIND | MS_REC, NULL));
		} else if (e->d_type == DT_LNK) {
			len = readlink(at, target, sizeof(target) - 1);
			REQUIRE(len > 0);
			target[len] = 0;
			REQUIRE(!symlink(target, path));
		}
	}
	closedir(root);
	REQUIRE(!chroot("/run") && !chdir("/"));
}

/* Systems without /run: guests run there, and it is said that nobody can find them by name */
TEST(no_run)
{
	have_no_run();
	EXPECT(access("/run", F_OK) && !access("/proc/self", F_OK));
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "testee", "--dry-run")), 0);
	EXPECT(strstr(c.err.text, "'testee' gets no control socket: there is no directory /run"),
	       "'%s'", c.err.text);
	expect_refusal(1, "no guest has the name 'testee': there is no directory /run",
		       ARGS("status", "testee"));
}

static const char *runtime_dir;

static void become_nobody(void)
{
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY) ||
	    (runtime_dir ? setenv("XDG_RUNTIME_DIR", runtime_dir, 1) : unsetenv("XDG_RUNTIME_DIR")))
		_exit(126);
}

/* Whoever is not root has them elsewhere, or not at all */
TEST(of_a_user)
{
	mkdir("/tmp/names", 0700);
	REQUIRE(!chown("/tmp/names", NOBODY, NOBODY) && !chmod("/dev/hvx", 0666));
	launch_prepare = become_nobody;
	runtime_dir = "/tmp/names";
	start("mine");
	expect_mode("/tmp/names/runvm/mine.sock", S_IFSOCK | 0600);
	EXPECT_EQ(launch_all(&c, ARGS("quit", "mine")), 0);
	EXPECT_EQ(launch_end(&l, 5), STATUS_QUIT);
	/* A directory that others can write to is not trusted */
	REQUIRE(!chmod("/tmp/names/runvm", 0777));
	expect_refusal(1, "/tmp/names/runvm must be a directory of this user with mode 0700",
		       ARGS(RUN(image()), "--name", "mine"));
	runtime_dir = NULL;
	EXPECT_EQ(launch_all(&c, ARGS(RUN(image()), "--name", "mine", "--dry-run")), 0);
	EXPECT(strstr(c.err.text, "no control socket: XDG_RUNTIME_DIR names no directory"),
	       "'%s'", c.err.text);
	expect_refusal(1, "no guest has the name 'mine': XDG_RUNTIME_DIR names no directory",
		       ARGS("status", "mine"));
	chmod("/dev/hvx", 0660);
}
