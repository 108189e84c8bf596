/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * A keeper of a later release, which answers every HELLO on descriptor 3 with
 * a version that the library does not speak. Static, as it may be started in
 * an empty root.
 */

#include <sys/socket.h>

#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { CONTROL = 3 };

int
main(void)
{
	static const uint8_t reply[] = { 0x00, 0x02, 0x00, 0x81, 0x00, 0x00,
		0x00, 0x05, '9', '.', '9', '.', '9' };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t buf[64];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	int fd;

	for (;;) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		if (recvmsg(CONTROL, &msg, MSG_CMSG_CLOEXEC) <= 0)
			return 0;
		if ((cmsg = CMSG_FIRSTHDR(&msg)) == NULL)
			return 1;
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		if (send(fd, reply, sizeof(reply), MSG_NOSIGNAL) == -1)
			return 1;
		close(fd);
	}
}
