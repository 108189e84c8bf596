/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What nc does all day. */

#include <sys/types.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "relay.h"

static struct relay {
	const struct relay_options *how;
	struct peer *peer;
	struct buffer up, down;
	bool input, output; /* are open */
	bool peer_takes, peer_sends;
	int status;
} relay_state;

enum { INPUT, OUTPUT, NETWORK, COUNT };

/* Standard input to buffer. */
static int
read_input(struct relay *r)
{
	ssize_t n;

	r->up.off = 0;
	n = read(STDIN_FILENO, r->up.data, sizeof(r->up.data));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == -1) {
		warn("standard input");
		return -1;
	}
	r->up.len = (size_t)n;
	r->input = n > 0;
	return 0;
}

/*
 * A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking,
 * and blocking here would stop the other direction as well.
 */
static int
write_output(struct relay *r)
{
	struct buffer *b = &r->down;
	ssize_t n;

	n = write(STDOUT_FILENO, b->data + b->off,
	    b->len < PIPE_BUF ? b->len : PIPE_BUF);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == -1) {
		warn("standard output");
		return -1;
	}
	b->off += (size_t)n;
	b->len -= (size_t)n;
	return 0;
}

/* What the network can do right now. */
static void
move(struct relay *r)
{
	int n;

	if (r->peer_sends && (n = peer_read(r->peer, &r->down)) != 1) {
		r->peer_sends = false;
		if (n == -1) {
			r->peer_takes = false;
			r->status = -1;
		}
	}
	if (r->peer_takes && peer_write(r->peer, &r->up) == -1) {
		r->peer_takes = false;
		r->status = -1;
	}
	if (!r->peer_takes)
		r->up.len = 0;
}

/*
 * Without half-close it is over when the peer has ended and everything is
 * passed on. With it the directions end one by one, and each end is passed on.
 */
static bool
is_over(struct relay *r)
{
	if (!r->peer_takes || (!r->peer_sends && !r->how->half_close))
		r->input = false;
	if (!r->input && r->up.len == 0) {
		if (r->how->quit)
			r->peer_sends = false;
		if (!r->peer_sends && r->down.len == 0)
			return true;
		if (r->how->half_close && r->peer_sends && r->peer_takes) {
			/* libtls has no half-close of its own. */
			peer_shut(r->peer);
			r->peer_takes = false;
		}
	}
	if (r->how->half_close && !r->how->more && !r->peer_sends &&
	    r->down.len == 0 && r->output) {
		close(STDOUT_FILENO);
		r->output = false;
	}
	return false;
}

static void
choose_events(struct relay *r, struct pollfd *set)
{
	int i;

	memset(set, 0, sizeof(*set) * COUNT);
	set[INPUT].fd = STDIN_FILENO;
	if (r->input && r->up.len == 0)
		set[INPUT].events = POLLIN;
	set[OUTPUT].fd = STDOUT_FILENO;
	if (r->down.len > 0)
		set[OUTPUT].events = POLLOUT;
	set[NETWORK].fd = r->peer->fd;
	if (r->peer_sends && !r->peer->can_read)
		set[NETWORK].events |= r->peer->read_events;
	if (r->up.len > 0 && !r->peer->can_write)
		set[NETWORK].events |= r->peer->write_events;
	/* Without events a POLLHUP would wake us for nothing. */
	for (i = 0; i < COUNT; i++)
		if (set[i].events == 0)
			set[i].fd = -1;
}

static int
wait_and_copy(struct relay *r)
{
	struct pollfd set[COUNT];
	short events;
	int n;

	choose_events(r, set);
	if ((n = poll(set, COUNT, r->how->timeout)) == -1) {
		if (errno == EINTR)
			return 0;
		warn("poll");
		return -1;
	}
	if (n == 0) {
		warnx("%s: timed out", r->peer->name);
		return -1;
	}
	if ((set[INPUT].revents != 0 && read_input(r) == -1) ||
	    (set[OUTPUT].revents != 0 && write_output(r) == -1))
		return -1;
	events = set[NETWORK].revents;
	if (events & (POLLERR | POLLHUP | POLLNVAL))
		events |= POLLIN | POLLOUT;
	if (events & r->peer->read_events)
		r->peer->can_read = true;
	if (events & r->peer->write_events)
		r->peer->can_write = true;
	return 0;
}

int
relay(struct peer *peer, const struct relay_options *how)
{
	struct relay *r = &relay_state;

	memset(r, 0, sizeof(*r));
	r->how = how;
	r->peer = peer;
	r->input = !how->no_input;
	r->output = r->peer_takes = r->peer_sends = true;
	peer->can_read = peer->can_write = true;
	for (;;) {
		move(r);
		if (is_over(r))
			return r->status;
		if (wait_and_copy(r) == -1)
			return -1;
	}
}
