/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Commands between parent and server processes, with descriptors. */

#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "httpd_config.h"
#include "httpd_control.h"

union control_space {
	struct cmsghdr align;
	char space[CMSG_SPACE(CONFIG_LOGS_MAX * sizeof(int))];
};

int
control_pair(int pair[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

int
control_send(int fd, char command, const int *fds, size_t nfds)
{
	struct iovec iov = { .iov_base = &command, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control_space control;
	struct cmsghdr *cmsg;

	if (nfds > CONFIG_LOGS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int
control_recv(int fd, int *fds, size_t *nfds)
{
	char command;
	struct iovec iov = { .iov_base = &command, .iov_len = 1 };
	union control_space control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	size_t i, room = *nfds, count;
	struct cmsghdr *cmsg;
	ssize_t n;
	int one;

	*nfds = 0;
	if ((n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) <= 0)
		return (int)n;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(one));
			if (*nfds < room)
				fds[(*nfds)++] = one;
			else
				close(one);
		}
	}
	return command;
}
