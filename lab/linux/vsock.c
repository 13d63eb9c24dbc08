// SPDX-License-Identifier: GPL-2.0-only
/*
 * vsock: one stream between host and guest, which busybox cannot open.
 *
 *	vsock listen PORT	wait for one, from whoever calls
 *	vsock connect CID PORT	call one; CID 2 is the host
 *
 * Standard input is sent, and its end is told; what comes goes to standard output, to its end.
 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int new_socket(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("vsock: socket");
	return fd;
}

static int listen_at(unsigned int port)
{
	struct sockaddr_vm at = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port,
	};
	int fd = new_socket(), peer;

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1))
		fail("vsock: listen");
	peer = accept(fd, NULL, NULL);
	if (peer < 0)
		fail("vsock: accept");
	close(fd);
	return peer;
}

static int connect_to(unsigned int cid, unsigned int port)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	int fd = new_socket();

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("vsock: connect");
	return fd;
}

static void write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (; len; data += n, len -= n) {
		n = write(fd, data, len);
		if (n <= 0)
			fail("vsock: write");
	}
}

static void copy(int from, int to)
{
	char data[65536];
	ssize_t n;

	while ((n = read(from, data, sizeof(data))) > 0)
		write_all(to, data, n);
	if (n)
		fail("vsock: read");
}

int main(int argc, char **argv)
{
	int fd, status = 1;
	pid_t sender;

	if (argc == 3 && !strcmp(argv[1], "listen")) {
		fd = listen_at(strtoul(argv[2], NULL, 0));
	} else if (argc == 4 && !strcmp(argv[1], "connect")) {
		fd = connect_to(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	} else {
		fprintf(stderr, "usage: vsock listen PORT | vsock connect CID PORT\n");
		return 2;
	}
	sender = fork();
	if (sender < 0)
		fail("vsock: fork");
	if (!sender) {
		copy(0, fd);
		shutdown(fd, SHUT_WR);
		return 0;
	}
	copy(fd, 1);
	waitpid(sender, &status, 0);
	return status ? 1 : 0;
}
