/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Messages with descriptors over one socket, and descriptors that the host
 * program may close behind our back. Knows nothing of TLS.
 */

#ifndef TLSP_CHANNEL_H
#define TLSP_CHANNEL_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <stddef.h>
#include <stdint.h>

/*
 * A descriptor of ours and the file it was opened as: a program that closes
 * all descriptors and opens its own may have put another file there.
 */
struct tlsp_handle {
	int fd;
	dev_t dev;
	ino_t ino;
};

#define TLSP_HANDLE_NONE                                                       \
	{                                                                      \
		-1, 0, 0                                                       \
	}

/* A moment of the monotonic clock, in milliseconds. */
typedef int64_t tlsp_deadline;
/*
 * For tlsp_channel_send(): as long as O_NONBLOCK, SO_SNDTIMEO and signals let
 * a send(2) wait. Then errno is EAGAIN or EINTR.
 */
#define TLSP_DEADLINE_OWN INT64_MIN

#define TLSP_REPLY_MAX	  8192 /* bytes in most replies */

/* Takes fd over. */
void tlsp_handle_set(struct tlsp_handle *handle, int fd);
/* Remembers what fd is now without owning it. */
void tlsp_handle_note(struct tlsp_handle *handle, int fd);
/* The descriptor, or -1 if there is none or it is not ours any more. */
int tlsp_handle_fd(const struct tlsp_handle *handle);
void tlsp_handle_close(struct tlsp_handle *handle);

/*
 * Moves fd out of the way of programs that count on low numbers (above 200
 * where the limit allows), close-on-exec. Returns the new number, or fd itself
 * where there is no other.
 */
int tlsp_fd_move_high(int fd);
void tlsp_fd_close(int *fd);

tlsp_deadline tlsp_deadline_in(int milliseconds);

/*
 * Waits until one of events or an end is there. Returns the events, 0 after
 * the deadline, or -1 with errno.
 */
int tlsp_wait(int fd, short events, tlsp_deadline deadline);

/* A pair of AF_UNIX sockets of the type, close-on-exec. 0, or -1 with errno. */
int tlsp_channel_pair(int type, int fds[2]);

/*
 * Sends all of buf, with copies of fds. Until the deadline it waits, whatever
 * O_NONBLOCK says. Returns 0, or -1 with errno: ETIMEDOUT after the deadline.
 * Never raises SIGPIPE.
 */
int tlsp_channel_send(int fd, const void *buf, size_t len, const int *fds,
    size_t nfds, tlsp_deadline deadline);

/*
 * Sends all of the parts on a stream, as tlsp_channel_send() without
 * descriptors. It uses iov up.
 */
int tlsp_channel_send_parts(int fd, struct iovec *iov, size_t niov,
    tlsp_deadline deadline);

/*
 * As recvmsg(2), on a channel. Linux looks into the queue of a SOCK_SEQPACKET
 * socket first, and then whether the other end is closed: a message that comes
 * in between is missed, and what seems to be the end is one only the second
 * time.
 */
ssize_t tlsp_channel_recvmsg(int fd, struct msghdr *msg, int flags);
/*
 * Receives once, as recvmsg(2) with flags. *nfds is the room in fds before
 * and the number of descriptors after; the caller owns them. A message that is
 * too long, has too many descriptors or nothing but descriptors is -1 with
 * EPROTO, and where this process had no room for descriptors -1 with EMFILE.
 * Nothing leaks.
 */
ssize_t tlsp_channel_recv(int fd, void *buf, size_t size, int *fds,
    size_t *nfds, int flags);

/*
 * Waits for one reply with this number, which comes without descriptors.
 * Strings of *message point into buf. Returns 0, or -1 with errno: ETIMEDOUT,
 * ECONNRESET where the other side has gone without an answer, EPROTO for
 * anything but that reply. *version is the version in the message's header
 * wherever one was received, else 0.
 */
int tlsp_channel_reply(int fd, unsigned int number, void *message, uint8_t *buf,
    size_t size, unsigned int *version, tlsp_deadline deadline);

void tlsp_fds_close(const int *fds, size_t nfds);

#endif
