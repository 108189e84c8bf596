/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Starts goproxy's keeper, and a worker whenever the keeper asks for one. A Go
 * program cannot start another by descriptor, and in a chroot there is no path
 * to it; with this process the keeper and the worker also need neither fork
 * nor exec. Holds no secret, parses nothing but the four bytes of SPAWN, and
 * ends with the keeper.
 *
 * Started by the library with descriptor 3 the control channel, 4 goproxy's
 * binary, 5 a pipe that ends when the keeper runs or says why it does not, and
 * an empty environment. The keeper gets 3 the control channel, 4 the
 * supervisor channel; a worker gets 3 its link.
 */

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
	CONTROL = 3,
	GOPROXY = 4,
	STATUS = 5,
	FIRST_FREE = 6,
};

/* As the library reads it from the pipe. */
struct failure {
	int32_t stage;
	int32_t errnum;
};

/*
 * Go's runtime overwrites what its garbage collector frees. It leaves no copy
 * of a stack behind by moving it to a smaller one, and none of registers by
 * interrupting who uses them.
 */
static const char keeper_variable[] =
    "GODEBUG=clobberfree=1,gcshrinkstackoff=1,asyncpreemptoff=1";

/* The message SPAWN of goproxy-protocol(7). */
static const uint8_t spawn[] = { 0x00, 0x01, 0x00, 0x20 };

/*
 * In the child: makes the nfds descriptors 3, 4, ... and becomes goproxy, with
 * one variable in its environment or NULL for none. All other descriptors are
 * close-on-exec. Returns only on failure.
 */
static void
become(int goproxy, const char *role, const char *variable, const int *fds,
    int nfds)
{
	char *const argv[] = { (char *)"goproxy", (char *)role, NULL };
	char *const envp[] = { (char *)variable, NULL };
	int high[2], i;

	signal(SIGCHLD, SIG_DFL);
	for (i = 0; i < nfds; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
		if (high[i] == -1)
			return;
	}
	for (i = 0; i < nfds; i++) {
		if (dup2(high[i], 3 + i) == -1)
			return;
	}
	syscall(SYS_execveat, goproxy, "", argv, envp, AT_EMPTY_PATH);
}

/* Returns the link that came with SPAWN; -1 at the end or for anything else. */
static int
receive_spawn(int channel)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t buf[sizeof(spawn) + 1];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;
	int fd;

	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n != sizeof(spawn) || memcmp(buf, spawn, sizeof(spawn)) != 0 ||
	    (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

int
main(void)
{
	const struct rlimit none = { 0, 0 };
	struct failure failure = { 1, 0 };
	int channel[2], keeper_fds[2], goproxy, link;

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	/* Workers that end are reaped by the kernel. */
	signal(SIGCHLD, SIG_IGN);

	goproxy = fcntl(GOPROXY, F_DUPFD_CLOEXEC, FIRST_FREE);
	if (goproxy == -1 || fcntl(CONTROL, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(STATUS, F_SETFD, FD_CLOEXEC) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) ==
		-1)
		goto err;
	close(GOPROXY);

	switch (fork()) {
	case -1:
		goto err;
	case 0:
		keeper_fds[0] = CONTROL;
		keeper_fds[1] = channel[1];
		become(goproxy, "keeper", keeper_variable, keeper_fds, 2);
		goto err;
	}
	close(CONTROL);
	close(STATUS);
	close(channel[1]);

	/* A link that gets no worker ends, which the keeper sees. */
	while ((link = receive_spawn(channel[0])) != -1) {
		if (fork() == 0) {
			become(goproxy, "worker", NULL, &link, 1);
			_exit(127);
		}
		close(link);
	}
	return 0;

err:
	failure.errnum = errno;
	if (write(STATUS, &failure, sizeof(failure)) == -1)
		_exit(127); /* the library has gone */
	_exit(1);
}
