/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "wire.h"

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * TLSP_WIRE_FDS_MAX)];
};

void
tlsp_handle_note(struct tlsp_handle *handle, int fd)
{
	struct stat sb;

	if (fd == -1 || fstat(fd, &sb) == -1) {
		handle->fd = -1;
		return;
	}
	handle->fd = fd;
	handle->dev = sb.st_dev;
	handle->ino = sb.st_ino;
}

void
tlsp_handle_set(struct tlsp_handle *handle, int fd)
{
	tlsp_handle_note(handle, fd);
	if (handle->fd == -1 && fd != -1)
		close(fd);
}

int
tlsp_handle_fd(const struct tlsp_handle *handle)
{
	struct tlsp_handle now;

	if (handle->fd == -1)
		return -1;
	tlsp_handle_note(&now, handle->fd);
	if (now.fd == -1 || now.dev != handle->dev || now.ino != handle->ino)
		return -1;
	return handle->fd;
}

void
tlsp_handle_close(struct tlsp_handle *handle)
{
	int fd = tlsp_handle_fd(handle);

	tlsp_fd_close(&fd);
	handle->fd = -1;
}

int
tlsp_fd_move_high(int fd)
{
	static const int floors[] = { 201, 64, 10 };
	size_t i;
	int high = -1;

	for (i = 0; i < 3 && high == -1; i++) {
		if (fd >= floors[i])
			return fd;
		high = fcntl(fd, F_DUPFD_CLOEXEC, floors[i]);
	}
	if (high == -1)
		return fd;
	close(fd);
	return high;
}

void
tlsp_fd_close(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void
tlsp_fds_close(const int *fds, size_t nfds)
{
	while (nfds-- > 0) {
		int fd = fds[nfds];

		tlsp_fd_close(&fd);
	}
}

tlsp_deadline
tlsp_deadline_in(int milliseconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (tlsp_deadline)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 +
	       milliseconds;
}

int
tlsp_wait(int fd, short events, tlsp_deadline deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	tlsp_deadline left;
	int n;

	do {
		left = deadline - tlsp_deadline_in(0);
		if (left < 0)
			left = 0;
		if (left > INT_MAX)
			left = INT_MAX;
		n = poll(&pfd, 1, (int)left);
	} while (n == -1 && errno == EINTR);
	return n == 1 ? pfd.revents : n;
}

int
tlsp_channel_pair(int type, int fds[2])
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds);
}

/* Sends once, as soon as it goes. */
static ssize_t
send_when_ready(int fd, const struct msghdr *msg, tlsp_deadline deadline)
{
	ssize_t n;
	int ready;

	if (deadline == TLSP_DEADLINE_OWN)
		return sendmsg(fd, msg, MSG_NOSIGNAL);
	while ((n = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT)) == -1) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -1;
		ready = tlsp_wait(fd, POLLOUT, deadline);
		if (ready == -1)
			return -1;
		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return n;
}

int
tlsp_channel_send(int fd, const void *buf, size_t len, const int *fds,
    size_t nfds, tlsp_deadline deadline)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (nfds > TLSP_WIRE_FDS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
	}
	if ((n = send_when_ready(fd, &msg, deadline)) == -1)
		return -1;
	if ((size_t)n != len) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}

int
tlsp_channel_send_parts(int fd, struct iovec *iov, size_t niov,
    tlsp_deadline deadline)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = niov };
	size_t sent, part;
	ssize_t n;

	while (msg.msg_iovlen > 0) {
		if ((n = send_when_ready(fd, &msg, deadline)) == -1)
			return -1;
		for (sent = (size_t)n; msg.msg_iovlen > 0; sent -= part) {
			part = msg.msg_iov->iov_len;
			if (sent < part) {
				msg.msg_iov->iov_base =
				    (uint8_t *)msg.msg_iov->iov_base + sent;
				msg.msg_iov->iov_len -= sent;
				break;
			}
			msg.msg_iov++;
			msg.msg_iovlen--;
		}
	}
	return 0;
}

ssize_t
tlsp_channel_recvmsg(int fd, struct msghdr *msg, int flags)
{
	const size_t room = msg->msg_controllen;
	ssize_t n;

	if ((n = recvmsg(fd, msg, flags)) == 0 && msg->msg_controllen == 0) {
		msg->msg_controllen = room;
		n = recvmsg(fd, msg, flags);
	}
	return n;
}

ssize_t
tlsp_channel_recv(int fd, void *buf, size_t size, int *fds, size_t *nfds,
    int flags)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	/* Alignment may make room for one more than was meant. */
	int received[sizeof(control.buf) / sizeof(int)];
	size_t room = *nfds, count = 0;
	ssize_t n;

	*nfds = 0;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	n = tlsp_channel_recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n == -1)
		return -1;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* One message has one such header, which fits the array. */
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(received, CMSG_DATA(cmsg), count * sizeof(int));
	}
	if (count > room || (n == 0 && count > 0) ||
	    (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
		tlsp_fds_close(received, count);
		/* The buffer has room for all that anybody may send. */
		errno = (msg.msg_flags & MSG_CTRUNC) != 0 ? EMFILE : EPROTO;
		return -1;
	}
	if (count > 0)
		memcpy(fds, received, count * sizeof(int));
	*nfds = count;
	return n;
}

int
tlsp_channel_reply(int fd, unsigned int number, void *message, uint8_t *buf,
    size_t size, unsigned int *version, tlsp_deadline deadline)
{
	unsigned int seen;
	size_t none = 0;
	ssize_t n;
	int ready;

	*version = 0;
	ready = tlsp_wait(fd, POLLIN, deadline);
	if (ready == -1)
		return -1;
	if (ready == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	n = tlsp_channel_recv(fd, buf, size, NULL, &none, MSG_DONTWAIT);
	if (n == -1)
		return -1;
	if (n == 0) {
		errno = ECONNRESET;
		return -1;
	}
	if (tlsp_wire_header(buf, (size_t)n, version, &seen) == -1)
		*version = 0;
	if (tlsp_wire_decode(buf, (size_t)n, 0, number, message) == -1) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}
