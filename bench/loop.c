/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The event loop: one thread, many connections. */

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define EVENTS 256
#define MAXFD  65536
/* A connection gives way to others after so many calls. */
#define TURN 64

enum state { HANDSHAKE, READY, RUN, CLOSE, DRAIN };

struct conn {
	struct io *io;
	struct conn *hot_next;
	char *pending; /* what echo could not write */
	size_t npending;
	uint64_t start;
	uint32_t events; /* that epoll waits for */
	int fd;
	enum state state;
	int hot;     /* has more to do without an event */
	int writing; /* a write waits to be repeated */
};

static struct conn *conns[MAXFD]; /* by descriptor */
static struct conn *hot;	  /* those that need no event */
static int epfd, live, nready, going, finished;

static void
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		fail("fcntl: %s", strerror(errno));
}

static void
watch(struct conn *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };
	int op = EPOLL_CTL_MOD;

	if (c->events == events)
		return;
	if (c->events == 0)
		op = EPOLL_CTL_ADD;
	else if (events == 0)
		op = EPOLL_CTL_DEL;
	if (epoll_ctl(epfd, op, c->fd, &event) == -1)
		fail("epoll_ctl: %s", strerror(errno));
	c->events = events;
}

static void
warm(struct conn *c)
{
	if (c->hot)
		return;
	c->hot = 1;
	c->hot_next = hot;
	hot = c;
}

static void conn_open(int);

static void
conn_end(struct conn *c, int failed)
{
	const int again = opt.activity == SHAKE && !failed;

	if (failed && stats.errors++ == 0)
		complain(c->io);
	if (c->fd < MAXFD)
		conns[c->fd] = NULL;
	if (c->io != NULL)
		io_free(c->io);
	close(c->fd);
	live--;
	if (again) {
		sample(now() - c->start);
		stats.count++;
	}
	free(c->pending);
	free(c);
	if (opt.activity == SHAKE && now() < deadline && stats.errors < 100)
		conn_open(connect_to_server());
	else if (going && live == 0 && opt.activity != ECHO)
		finished = 1;
}

static void
conn_close(struct conn *c)
{
	stats.end = now();
	c->state = CLOSE;
}

static ssize_t
echo(struct conn *c)
{
	ssize_t n;

	if (c->npending > 0) {
		n = io_write(c->io, c->pending, c->npending);
		if (n <= 0)
			return n;
		c->npending -= (size_t)n;
		memmove(c->pending, c->pending + n, c->npending);
		if (c->npending > 0)
			return n;
		free(c->pending);
		c->pending = NULL;
		return n;
	}
	if ((n = io_read(c->io, buffer, sizeof(buffer))) <= 0)
		return n;
	if ((c->pending = malloc((size_t)n)) == NULL)
		return IO_FAILED;
	memcpy(c->pending, buffer, (size_t)n);
	c->npending = (size_t)n;
	return n;
}

/* One call of the library. */
static ssize_t
conn_step(struct conn *c)
{
	ssize_t n;

	switch (c->state) {
	case HANDSHAKE:
		return io_handshake(c->io);
	case RUN:
		if (opt.activity == SEND) {
			/* What was begun has to be finished. */
			if (!c->writing && now() >= deadline)
				return 0;
			n = io_write(c->io, buffer, opt.size);
			c->writing = wanted(n);
			return n;
		}
		if (opt.activity == RECV)
			return io_read(c->io, buffer, opt.size);
		return echo(c);
	case CLOSE:
		/* The descriptor may become another file. */
		watch(c, 0);
		return io_close(c->io);
	case DRAIN:
		n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		return n == -1 && errno == EAGAIN ? IO_WANT_IN : n > 0;
	case READY:
		break;
	}
	return IO_WANT_IN;
}

static void
conn_handshaken(struct conn *c)
{
	char facts[128];

	switch (opt.activity) {
	case SHAKE:
		stats.resumed += (uint64_t)io_resumed(c->io);
		conn_close(c);
		break;
	case SEND:
	case RECV:
		c->state = READY;
		watch(c, 0);
		if (++nready == opt.conns) {
			io_facts(c->io, facts, sizeof(facts));
			say("ready %s\n", facts);
		}
		break;
	default:
		c->state = RUN;
	}
}

/* Goes on with a connection as far as it goes. */
static void
conn_run(struct conn *c)
{
	ssize_t n;
	int i;

	for (i = 0; i < TURN && c->state != READY; i++) {
		n = conn_step(c);
		if (wanted(n)) {
			watch(c, n == IO_WANT_IN ? EPOLLIN : EPOLLOUT);
			return;
		}
		if (n < 0) {
			conn_end(c, 1);
			return;
		}
		if (c->state == RUN && n > 0)
			stats.bytes += (uint64_t)n;
		if (n > 0)
			continue;
		switch (c->state) {
		case HANDSHAKE:
			conn_handshaken(c);
			break;
		case CLOSE:
			io_free(c->io);
			c->io = NULL;
			if (!opt.io.server) {
				c->state = DRAIN;
				break;
			}
			/* FALLTHROUGH */
		case DRAIN:
			conn_end(c, 0);
			return;
		default:
			conn_close(c);
		}
	}
	if (c->state != READY)
		warm(c);
}

static void
conn_open(int fd)
{
	struct conn *c;

	if (fd == -1) {
		stats.errors++;
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fail("out of memory");
	c->fd = fd;
	c->start = now();
	live++;
	no_delay(fd);
	set_nonblocking(fd);
	if ((c->io = io_new(fd)) == NULL) {
		conn_end(c, 1);
		return;
	}
	if (fd < MAXFD)
		conns[fd] = c;
	warm(c);
}

static void
accept_all(void)
{
	int fd, i;

	for (i = 0; i < TURN; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1)
			return;
		conn_open(fd);
	}
}

static void
go(void)
{
	char line[16];
	int i;

	if (!command(line, sizeof(line)) || strcmp(line, "go") != 0) {
		finished = 1;
		return;
	}
	begin();
	going = 1;
	for (i = 0; i < MAXFD; i++) {
		if (conns[i] != NULL && conns[i]->state == READY) {
			conns[i]->state = RUN;
			warm(conns[i]);
		}
	}
}

static void
add(int fd, void *data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == -1)
		fail("epoll_ctl: %s", strerror(errno));
}

static void
loop(void)
{
	struct epoll_event events[EVENTS];
	struct conn *c, *next;
	uint64_t woken, pause;
	int i, n;

	while (!finished) {
		n = epoll_wait(epfd, events, EVENTS, hot != NULL ? 0 : -1);
		if (n == -1 && errno != EINTR)
			fail("epoll_wait: %s", strerror(errno));
		woken = now();
		next = hot;
		hot = NULL;
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr == &listener)
				accept_all();
			else if (events[i].data.ptr == &going)
				go();
			else if (!((struct conn *)events[i].data.ptr)->hot)
				conn_run(events[i].data.ptr);
		}
		while ((c = next) != NULL) {
			next = c->hot_next;
			c->hot = 0;
			conn_run(c);
		}
		pause = now() - woken;
		if (pause > stats.pause)
			stats.pause = pause;
		if (opt.io.server)
			sample(pause);
	}
}

void
run_loop(void)
{
	int i;

	if ((epfd = epoll_create1(EPOLL_CLOEXEC)) == -1)
		fail("epoll_create1: %s", strerror(errno));
	if (opt.io.server) {
		set_nonblocking(listener);
		add(listener, &listener);
		add(STDIN_FILENO, &going);
	} else if (opt.activity == SHAKE) {
		shake_ready();
		going = 1;
		for (i = 0; i < opt.conns; i++)
			conn_open(connect_to_server());
	} else {
		add(STDIN_FILENO, &going);
		for (i = 0; i < opt.conns; i++)
			conn_open(connect_to_server());
	}
	loop();
}
