/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <event2/buffer.h>
#include <tls.h>

#include "bufferevent_type.h"

/* All else is hidden; libevent's headers come before. */
#pragma GCC visibility push(default)
#include "bufferevent_tls.h"
#pragma GCC visibility pop

/* That of libtls-proxy. Another libtls has none, and is its own engine. */
int tls_engine_fd(struct tls *ctx) __attribute__((weak));

#define RECORD_MAX 16384
/* What a filter takes from, and leaves with, the bufferevent beneath it. */
#define TRANSPORT_IN_MAX (64 * 1024)
#define TRANSPORT_OUT	 (64 * 1024)

enum phase {
	PHASE_IDLE, /* no descriptor yet */
	PHASE_HANDSHAKE,
	PHASE_OPEN,
	PHASE_CLOSING,
	PHASE_ENDED, /* the handshake failed, or tls_close() was called */
};

/*
 * Beside a struct bufferevent of libevent, whose ev_read and ev_write wait for
 * the descriptor, and on a filter, which has none, only for time-outs. Freed
 * with it; the bufferevent's lock protects both.
 */
struct bufferevent_tls {
	struct bufferevent_ops ops; /* first: where libevent keeps us */
	struct bufferevent *bev;
	struct bufferevent *underlying; /* a reference; NULL on a socket */
	struct event engine;		/* instead of ev_read, see arm() */
	struct tls *ctx;		/* the connection's, or NULL */
	struct tls *given;		/* for the connection to come */
	char *servername;
	char *error;
	enum bufferevent_tls_state state; /* of given */
	enum phase phase;
	evutil_socket_t fd;
	size_t retry; /* bytes that the last tls_write() has to get again */
	int want;     /* what handshake or close are waiting for */
	int read_want, write_want;
	short finishing; /* tls_close() once the output is empty: event flags */
	short wake;	 /* events that have a time-out of zero, see wake() */

	unsigned int close_on_free : 1;
	unsigned int freed : 1; /* by the program; references may be left */
	unsigned int allow_dirty : 1;
	/* Enabled, and not suspended by a watermark or a limit. */
	unsigned int reading : 1, writing : 1;
	unsigned int more : 1; /* tls_read() may have data at once */
	unsigned int read_ended : 1;
	unsigned int closed : 1; /* tls_close() is through */
	unsigned int close_failed : 1;
	unsigned int wrote : 1; /* and a filter's program wasn't told yet */
	unsigned int transport_reading : 1;
	unsigned int fed : 1; /* transport_read() last gave data */
	unsigned int transport_eof : 1, transport_eof_read : 1;
	int transport_error;
};

static const char type_name[] = "tls";

/* Any type's table begins with its name. */
static struct bufferevent_tls *
upcast(struct bufferevent *bev)
{
	if (bev->be_ops->type != type_name)
		return NULL;
	return (struct bufferevent_tls *)bev->be_ops;
}

static struct bufferevent_private *
private_part(struct bufferevent_tls *b)
{
	return (struct bufferevent_private *)b->bev;
}

/* The first cause wins. */
static void
set_error(struct bufferevent_tls *b, const char *text)
{
	if (b->error == NULL)
		b->error = strdup(text != NULL ? text : "unknown error");
}

static size_t
output_length(struct bufferevent *bev)
{
	return evbuffer_get_length(bufferevent_get_output(bev));
}

/* Calls of the program, which may free the bufferevent. */
static void
report(struct bufferevent_tls *b, short what)
{
	bufferevent_trigger_event(b->bev, what, 0);
}

/* Waiting. */

static void
wait_for(struct event *ev, short what, int on, int refresh,
    const struct timeval *tv)
{
	if (!on)
		event_del(ev);
	else if (refresh || !event_pending(ev, what, NULL))
		event_add(ev, evutil_timerisset(tv) ? tv : NULL);
}

static void
transport_read_enable(struct bufferevent_tls *b, int on)
{
	if (b->underlying == NULL || b->transport_reading == (on != 0))
		return;
	b->transport_reading = on != 0;
	if (on)
		bufferevent_enable(b->underlying, EV_READ);
	else
		bufferevent_disable(b->underlying, EV_READ);
}

static void on_engine(evutil_socket_t fd, short what, void *bev);

/* Puts the descriptor, or -1, behind the event. */
static void
assign_engine(struct bufferevent_tls *b, evutil_socket_t fd)
{
	event_assign(&b->engine, b->bev->ev_base, fd,
	    EV_READ | EV_PERSIST | EV_FINALIZE, on_engine, b->bev);
}

/* What to wait for instead of the transport's input, or -1. */
static evutil_socket_t
engine_fd(struct bufferevent_tls *b)
{
	return tls_engine_fd != NULL ? tls_engine_fd(b->ctx) : -1;
}

/*
 * Waits for what the connection needs, and for nothing else: while libtls-proxy
 * is at work, for that alone, as the state of the network does not matter. The
 * time-outs of the directions in refresh begin anew.
 */
static void
arm(struct bufferevent_tls *b, short refresh)
{
	struct bufferevent *bev = b->bev;
	evutil_socket_t engine;
	int in = 0, out = 0;

	if (b->freed)
		return;
	switch (b->phase) {
	case PHASE_HANDSHAKE:
	case PHASE_CLOSING:
		in = b->want == TLS_WANT_POLLIN;
		out = b->want == TLS_WANT_POLLOUT;
		break;
	case PHASE_OPEN:
		in = (b->reading && b->read_want != TLS_WANT_POLLOUT) ||
		     b->write_want == TLS_WANT_POLLIN;
		out = (b->writing && (output_length(bev) > 0 || b->wrote) &&
			  b->write_want != TLS_WANT_POLLIN) ||
		      b->read_want == TLS_WANT_POLLOUT;
		break;
	case PHASE_IDLE:
	case PHASE_ENDED:
		break;
	}
	engine = in ? engine_fd(b) : -1;
	if (engine != -1 && engine != event_get_fd(&b->engine)) {
		event_del(&b->engine);
		assign_engine(b, engine);
	}
	wait_for(&b->engine, EV_READ, engine != -1, refresh & EV_READ,
	    &bev->timeout_read);
	in = in && engine == -1;
	if ((b->wake & EV_READ) == 0)
		wait_for(&bev->ev_read, EV_READ, in, refresh & EV_READ,
		    &bev->timeout_read);
	if ((b->wake & EV_WRITE) == 0)
		wait_for(&bev->ev_write, EV_WRITE, out, refresh & EV_WRITE,
		    &bev->timeout_write);
	transport_read_enable(b, in && !b->transport_eof);
}

static void
disarm(struct bufferevent_tls *b)
{
	event_del(&b->bev->ev_read);
	event_del(&b->bev->ev_write);
	event_del(&b->engine);
	b->wake = 0;
	transport_read_enable(b, 0);
}

/*
 * Has the loop call run() in its next round: neither from within the program's
 * call, nor before others have had their turn.
 */
static void
wake(struct bufferevent_tls *b, short what)
{
	static const struct timeval now = { 0, 0 };

	if (b->freed)
		return;
	if (what & EV_READ)
		event_add(&b->bev->ev_read, &now);
	if (what & EV_WRITE)
		event_add(&b->bev->ev_write, &now);
	b->wake |= what;
}

/* The callbacks of libtls on a filter. */

static ssize_t
transport_read(struct tls *ctx, void *buf, size_t len, void *arg)
{
	struct bufferevent_tls *b = arg;
	struct evbuffer *input = bufferevent_get_input(b->underlying);
	int n;

	(void)ctx;
	if (len > TRANSPORT_IN_MAX)
		len = TRANSPORT_IN_MAX;
	n = evbuffer_remove(input, buf, len);
	b->fed = n > 0;
	if (n > 0 || len == 0)
		return n;
	if (n == -1 || b->transport_error != 0) {
		errno = n == -1 ? EIO : b->transport_error;
		return -1;
	}
	if (b->transport_eof) {
		b->transport_eof_read = 1;
		return 0;
	}
	return TLS_WANT_POLLIN;
}

static ssize_t
transport_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	struct bufferevent_tls *b = arg;
	size_t high = 0, used;

	(void)ctx;
	if (b->transport_error != 0) {
		errno = b->transport_error;
		return -1;
	}
	bufferevent_getwatermark(b->underlying, EV_WRITE, NULL, &high);
	if (high == 0)
		high = TRANSPORT_OUT;
	if ((used = output_length(b->underlying)) >= high)
		return TLS_WANT_POLLOUT;
	if (len > high - used)
		len = high - used;
	if (bufferevent_write(b->underlying, buf, len) == -1) {
		errno = ENOMEM;
		return -1;
	}
	return (ssize_t)len;
}

/*
 * Some libtls wants input after a record that was not the program's, such as a
 * session ticket, though the transport has more.
 */
static int
wants_more(struct bufferevent_tls *b, ssize_t rv)
{
	int fed = b->fed;

	b->fed = 0;
	return rv == TLS_WANT_POLLIN && fed &&
	       evbuffer_get_length(bufferevent_get_input(b->underlying)) > 0;
}

/* Steps of a connection; after each, b->freed says whether to go on. */

static void
handshake(struct bufferevent_tls *b)
{
	b->want = tls_handshake(b->ctx);
	if (wants_more(b, b->want))
		wake(b, EV_READ);
	if (b->want == TLS_WANT_POLLIN || b->want == TLS_WANT_POLLOUT)
		return;
	if (b->want != 0) {
		/* The number may be another file now: the network's again. */
		disarm(b);
		b->phase = PHASE_ENDED;
		set_error(b, tls_error(b->ctx));
		report(b, BEV_EVENT_ERROR | BEV_EVENT_READING);
		return;
	}
	b->phase = PHASE_OPEN;
	b->more = 1;
	if (b->reading)
		wake(b, EV_READ);
	if (b->writing && output_length(b->bev) > 0)
		wake(b, EV_WRITE);
	report(b, BEV_EVENT_CONNECTED);
}

/* How much may be read now. */
static size_t
read_room(struct bufferevent_tls *b)
{
	ev_ssize_t max = bufferevent_get_max_to_read(b->bev);
	size_t room = max > 0 ? (size_t)max : 0;
	size_t high = 0, used;

	bufferevent_getwatermark(b->bev, EV_READ, NULL, &high);
	if (high != 0) {
		used = evbuffer_get_length(bufferevent_get_input(b->bev));
		if (used >= high)
			return 0;
		if (room > high - used)
			room = high - used;
	}
	return room;
}

/* Adds at most len bytes to the input; *rv is what tls_read() said last. */
static size_t
read_chunk(struct bufferevent_tls *b, size_t len, ssize_t *rv)
{
	struct evbuffer *input = bufferevent_get_input(b->bev);
	struct evbuffer_iovec space[2];
	size_t total = 0;
	int i, n, used = 0;

	*rv = -1;
	n = evbuffer_reserve_space(input, (ev_ssize_t)len, space, 2);
	for (i = 0; i < n && total < len; i++) {
		if (space[i].iov_len > len - total)
			space[i].iov_len = len - total;
		*rv = tls_read(b->ctx, space[i].iov_base, space[i].iov_len);
		if (*rv <= 0)
			break;
		used++;
		total += (size_t)*rv;
		if ((size_t)*rv < space[i].iov_len) {
			space[i].iov_len = (size_t)*rv;
			break;
		}
	}
	if (used > 0)
		evbuffer_commit_space(input, space, used);
	return total;
}

static void
read_ended(struct bufferevent_tls *b)
{
	b->read_ended = 1;
	bufferevent_disable(b->bev, EV_READ);
	if (b->underlying == NULL && !b->allow_dirty) {
		/* Only tls_close() tells which end of file it was. */
		b->finishing |= BEV_EVENT_READING;
	} else if (b->transport_eof_read && !b->allow_dirty) {
		set_error(b, "EOF without close notify");
		report(b, BEV_EVENT_ERROR | BEV_EVENT_READING);
	} else {
		report(b, BEV_EVENT_EOF | BEV_EVENT_READING);
	}
}

static void
read_some(struct bufferevent_tls *b)
{
	struct evbuffer *input = bufferevent_get_input(b->bev);
	size_t room = read_room(b), total = 0, n = 0, got = 0;
	ssize_t rv = 1;

	b->read_want = 0;
	evbuffer_unfreeze(input, 0);
	/* Not beyond what there was at once: the program may have enough. */
	while (rv > 0 && total < room && got == n) {
		n = room - total < RECORD_MAX ? room - total : RECORD_MAX;
		got = read_chunk(b, n, &rv);
		total += got;
	}
	evbuffer_freeze(input, 0);
	if (rv > 0 && got < n) /* libtls has no more than its transport */
		b->more = b->underlying != NULL;
	else
		b->more = rv > 0 || wants_more(b, rv);
	if (rv == TLS_WANT_POLLOUT)
		b->read_want = TLS_WANT_POLLOUT;
	if (rv == -1 && b->transport_eof_read)
		rv = 0; /* for OpenSSL 3 it is an error */
	if (rv == -1)
		set_error(b, tls_error(b->ctx));
	if (total > 0)
		bufferevent_decrement_read_buckets_(private_part(b),
		    (ev_ssize_t)total);
	if (b->more && b->reading)
		wake(b, EV_READ);
	if (total > 0)
		bufferevent_trigger(b->bev, EV_READ, 0);
	if (b->freed || b->phase != PHASE_OPEN)
		return;
	if (rv == 0) {
		read_ended(b);
	} else if (rv == -1) {
		bufferevent_disable(b->bev, EV_READ);
		report(b, BEV_EVENT_ERROR | BEV_EVENT_READING);
	}
}

/* The program gets its write callback. A filter's has written only when the
 * transport has. */
static void
written(struct bufferevent_tls *b)
{
	if (b->underlying != NULL && output_length(b->underlying) > 0) {
		b->wrote = 1;
		return;
	}
	b->wrote = 0;
	bufferevent_trigger(b->bev, EV_WRITE, 0);
}

static void
write_some(struct bufferevent_tls *b)
{
	struct evbuffer *output = bufferevent_get_output(b->bev);
	ev_ssize_t max = bufferevent_get_max_to_write(b->bev);
	size_t budget = max > 0 ? (size_t)max : 0, total = 0, len;
	unsigned char *data;
	ssize_t rv = 1;

	b->write_want = 0;
	evbuffer_unfreeze(output, 1);
	while (rv > 0 && total < budget && !b->freed &&
	       (len = evbuffer_get_length(output)) > 0) {
		if (b->retry > 0) {
			len = b->retry;
		} else {
			if (len > budget - total)
				len = budget - total;
			if (len > RECORD_MAX)
				len = RECORD_MAX;
		}
		if ((data = evbuffer_pullup(output, (ev_ssize_t)len)) == NULL) {
			rv = -1;
			break;
		}
		rv = tls_write(b->ctx, data, len);
		b->retry = 0;
		if (rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT) {
			b->retry = len;
			b->write_want = (int)rv;
			if (wants_more(b, rv))
				wake(b, EV_READ);
		}
		if (rv > 0) {
			total += (size_t)rv;
			evbuffer_drain(output, (size_t)rv);
		}
	}
	evbuffer_freeze(output, 1);
	if (rv == 0 || rv == -1)
		set_error(b, tls_error(b->ctx));
	if (total > 0) {
		bufferevent_decrement_write_buckets_(private_part(b),
		    (ev_ssize_t)total);
		/* On a socket the descriptor wakes us. */
		if (b->underlying != NULL && b->writing && rv > 0 &&
		    evbuffer_get_length(output) > 0)
			wake(b, EV_WRITE);
		written(b);
	}
	if (b->freed || b->phase != PHASE_OPEN)
		return;
	if (rv == 0 || rv == -1) {
		b->finishing = 0;
		bufferevent_disable(b->bev, EV_WRITE);
		report(b, BEV_EVENT_ERROR | BEV_EVENT_WRITING);
	}
}

static void
finish(struct bufferevent_tls *b)
{
	int rv;

	if (!b->closed) {
		/* It may put another file on the number. */
		disarm(b);
		rv = tls_close(b->ctx);
		b->want = rv;
		if (wants_more(b, rv))
			wake(b, EV_READ);
		if (rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT)
			return;
		b->closed = 1;
		b->close_failed = rv != 0 && !(b->allow_dirty && b->read_ended);
		if (b->close_failed)
			set_error(b, tls_error(b->ctx));
	}
	/* The close_notify is to be on its way. */
	if (b->underlying != NULL && b->transport_error == 0 &&
	    output_length(b->underlying) > 0)
		return;
	b->phase = PHASE_ENDED;
	report(b, (short)((b->close_failed ? BEV_EVENT_ERROR : BEV_EVENT_EOF) |
			  b->finishing));
}

static void
run(struct bufferevent_tls *b, short what)
{
	if (b->phase == PHASE_HANDSHAKE) {
		handshake(b);
	} else if (b->phase == PHASE_OPEN) {
		if (b->reading &&
		    (what & (b->read_want == TLS_WANT_POLLOUT ? EV_WRITE
							      : EV_READ)) != 0)
			read_some(b);
		if (!b->freed && b->phase == PHASE_OPEN && b->writing &&
		    (what & (b->write_want == TLS_WANT_POLLIN ? EV_READ
							      : EV_WRITE)) != 0)
			write_some(b);
	}
	if (!b->freed && b->phase == PHASE_OPEN && b->finishing != 0 &&
	    output_length(b->bev) == 0)
		b->phase = PHASE_CLOSING;
	if (!b->freed && b->phase == PHASE_CLOSING)
		finish(b);
	arm(b, 0);
}

/* What wakes a connection up. */

static void
timed_out(struct bufferevent_tls *b, short direction)
{
	if (b->phase == PHASE_OPEN)
		bufferevent_disable(b->bev,
		    direction == BEV_EVENT_READING ? EV_READ : EV_WRITE);
	report(b, BEV_EVENT_TIMEOUT | direction);
	arm(b, 0);
}

static void
on_ready(struct bufferevent *bev, short direction, short what)
{
	struct bufferevent_tls *b = upcast(bev);
	short woken;

	bufferevent_lock(bev);
	woken = b->wake & direction;
	b->wake &= (short)~direction;
	if (b->freed) {
		/* Another thread was faster. */
	} else if (what == EV_TIMEOUT && !woken) {
		timed_out(b, direction == EV_READ ? BEV_EVENT_READING
						  : BEV_EVENT_WRITING);
	} else {
		run(b, direction);
		/* The program's time-out instead of that of zero. */
		if (woken)
			arm(b, direction);
	}
	bufferevent_unlock(bev);
}

static void
on_readable(evutil_socket_t fd, short what, void *bev)
{
	(void)fd;
	on_ready(bev, EV_READ, what);
}

static void
on_writable(evutil_socket_t fd, short what, void *bev)
{
	(void)fd;
	on_ready(bev, EV_WRITE, what);
}

static void
on_engine(evutil_socket_t fd, short what, void *arg)
{
	struct bufferevent *bev = arg;
	struct bufferevent_tls *b = upcast(bev);

	(void)fd;
	bufferevent_lock(bev);
	if (!b->freed && what == EV_TIMEOUT)
		timed_out(b, BEV_EVENT_READING);
	else if (!b->freed)
		run(b, EV_READ);
	bufferevent_unlock(bev);
}

static void
on_transport_read(struct bufferevent *underlying, void *arg)
{
	struct bufferevent_tls *b = arg;
	struct bufferevent *bev = b->bev;

	(void)underlying;
	bufferevent_lock(bev);
	b->more = 1;
	if (!b->freed)
		run(b, EV_READ);
	arm(b, EV_READ);
	bufferevent_unlock(bev);
}

static void
on_transport_write(struct bufferevent *underlying, void *arg)
{
	struct bufferevent_tls *b = arg;
	struct bufferevent *bev = b->bev;

	(void)underlying;
	bufferevent_lock(bev);
	if (!b->freed && b->wrote)
		written(b);
	if (!b->freed)
		run(b, EV_WRITE);
	arm(b, EV_WRITE);
	bufferevent_unlock(bev);
}

static void
on_transport_event(struct bufferevent *underlying, short what, void *arg)
{
	struct bufferevent_tls *b = arg;
	struct bufferevent *bev = b->bev;
	int error = EVUTIL_SOCKET_ERROR();

	(void)underlying;
	bufferevent_lock(bev);
	if (what & BEV_EVENT_EOF)
		b->transport_eof = 1;
	if (what & BEV_EVENT_ERROR)
		b->transport_error = error != 0 ? error : EIO;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		b->transport_reading = 0; /* libevent has disabled it */
	b->more = 1;
	if (!b->freed && (what & BEV_EVENT_TIMEOUT))
		report(b, what);
	if (!b->freed)
		run(b, EV_READ);
	if (!b->freed && b->phase == PHASE_OPEN && (what & BEV_EVENT_ERROR) &&
	    b->error == NULL && !(b->reading && b->more)) {
		/* Nobody reads, or nothing came of it. */
		set_error(b, evutil_socket_error_to_string(b->transport_error));
		bufferevent_disable(bev, EV_READ | EV_WRITE);
		report(b, BEV_EVENT_ERROR |
			      (what & (BEV_EVENT_READING | BEV_EVENT_WRITING)));
	}
	bufferevent_unlock(bev);
}

/* libevent waits for a socket itself then, in bufferevent_socket_new(). */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info,
    void *arg)
{
	struct bufferevent_tls *b = arg;

	(void)output;
	if (info->n_added > 0 && b->underlying != NULL && b->writing &&
	    b->write_want == 0 && b->phase == PHASE_OPEN)
		wake(b, EV_WRITE);
}

/* The type. */

static int
tls_enable(struct bufferevent *bev, short events)
{
	struct bufferevent_tls *b = upcast(bev);

	if (events & EV_READ)
		b->reading = 1;
	if (events & EV_WRITE)
		b->writing = 1;
	arm(b, events);
	if (b->phase == PHASE_OPEN && !b->freed) {
		if ((events & EV_READ) && b->more)
			wake(b, EV_READ);
		if ((events & EV_WRITE) && b->underlying != NULL &&
		    output_length(bev) > 0)
			wake(b, EV_WRITE);
	}
	return 0;
}

static int
tls_disable(struct bufferevent *bev, short events)
{
	struct bufferevent_tls *b = upcast(bev);

	if (events & EV_READ)
		b->reading = 0;
	if (events & EV_WRITE)
		b->writing = 0;
	arm(b, 0);
	return 0;
}

/*
 * A persistent event that has timed out keeps its time-out for the next time
 * that it is added, and only one that is pending can be rid of it.
 */
static void
forget_timeout(struct event *ev)
{
	static const struct timeval later = { 3600, 0 };

	event_add(ev, &later);
	event_remove_timer(ev);
}

static int
tls_adj_timeouts(struct bufferevent *bev)
{
	struct bufferevent_tls *b = upcast(bev);

	if ((b->wake & EV_READ) == 0)
		forget_timeout(&bev->ev_read);
	if ((b->wake & EV_WRITE) == 0)
		forget_timeout(&bev->ev_write);
	forget_timeout(&b->engine);
	arm(b, EV_READ | EV_WRITE);
	return 0;
}

/* The end of writing is close_notify; there is nothing else to flush. */
static int
tls_flush(struct bufferevent *bev, short iotype,
    enum bufferevent_flush_mode mode)
{
	struct bufferevent_tls *b = upcast(bev);

	if ((iotype & EV_WRITE) == 0 || mode != BEV_FINISHED)
		return 0;
	if (b->phase == PHASE_IDLE || b->phase == PHASE_ENDED)
		return -1;
	b->finishing |= BEV_EVENT_WRITING;
	wake(b, EV_WRITE);
	return 0;
}

/* Puts the descriptor, or -1, behind the events. */
static void
assign(struct bufferevent_tls *b, evutil_socket_t fd)
{
	const short flags = EV_PERSIST | EV_FINALIZE;
	struct bufferevent *bev = b->bev;

	b->fd = fd;
	/* When libevent frees it, it finds it in their arguments. */
	event_assign(&bev->ev_read, bev->ev_base, fd, EV_READ | flags,
	    on_readable, bev);
	event_assign(&bev->ev_write, bev->ev_base, fd, EV_WRITE | flags,
	    on_writable, bev);
}

/* Starts what was given. On failure the context has the error. */
static int
start(struct bufferevent_tls *b)
{
	struct tls *ctx = NULL;
	int rv = -1;

	if (b->underlying == NULL &&
	    evutil_make_socket_nonblocking(b->fd) == -1)
		return -1;
	switch (b->state) {
	case BUFFEREVENT_TLS_OPEN:
		ctx = b->given;
		rv = 0;
		break;
	case BUFFEREVENT_TLS_CONNECTING:
		ctx = b->given;
		if (b->underlying != NULL)
			rv = tls_connect_cbs(ctx, transport_read,
			    transport_write, b, b->servername);
		else
			rv = tls_connect_socket(ctx, b->fd, b->servername);
		break;
	case BUFFEREVENT_TLS_ACCEPTING:
		if (b->underlying != NULL)
			rv = tls_accept_cbs(b->given, &ctx, transport_read,
			    transport_write, b);
		else
			rv = tls_accept_socket(b->given, &ctx, b->fd);
		break;
	}
	if (rv == -1)
		return -1;
	b->given = NULL;
	b->ctx = ctx;
	b->want = TLS_WANT_POLLIN;
	b->more = 1;
	b->phase =
	    b->state == BUFFEREVENT_TLS_OPEN ? PHASE_OPEN : PHASE_HANDSHAKE;
	arm(b, 0);
	wake(b, EV_READ);
	return 0;
}

static int
set_fd(struct bufferevent_tls *b, evutil_socket_t fd)
{
	if (b->underlying != NULL)
		return bufferevent_setfd(b->underlying, fd);
	if (fd >= 0 && b->phase != PHASE_IDLE)
		return -1; /* a context is for one connection */
	disarm(b);
	assign(b, fd);
	if (fd == -1) {
		if (b->phase != PHASE_IDLE)
			b->phase = PHASE_ENDED;
		return 0;
	}
	if (start(b) == -1) {
		b->phase = PHASE_ENDED;
		set_error(b, tls_error(b->given));
		bufferevent_trigger_event(b->bev,
		    BEV_EVENT_ERROR | BEV_EVENT_READING,
		    BEV_TRIG_DEFER_CALLBACKS);
	}
	return 0;
}

static int
tls_ctrl(struct bufferevent *bev, enum bufferevent_ctrl_op op,
    union bufferevent_ctrl_data *data)
{
	struct bufferevent_tls *b = upcast(bev);

	switch (op) {
	case BEV_CTRL_SET_FD:
		return set_fd(b, data->fd);
	case BEV_CTRL_GET_FD:
		data->fd = b->underlying == NULL
			       ? b->fd
			       : bufferevent_getfd(b->underlying);
		return 0;
	case BEV_CTRL_GET_UNDERLYING:
		data->ptr = b->underlying;
		return 0;
	case BEV_CTRL_CANCEL_ALL:
		disarm(b);
		b->freed = 1;
		return 0;
	}
	return -1;
}

/* libevent itself drops the reference to the underlying bufferevent later. */
static void
tls_unlink(struct bufferevent *bev)
{
	struct bufferevent_tls *b = upcast(bev);
	void *arg = NULL;

	if (b->underlying == NULL)
		return;
	bufferevent_getcb(b->underlying, NULL, NULL, NULL, &arg);
	if (arg == b) {
		bufferevent_setcb(b->underlying, NULL, NULL, NULL, NULL);
		bufferevent_setwatermark(b->underlying, EV_READ, 0, 0);
	}
	if (b->close_on_free)
		bufferevent_free(b->underlying);
}

static const struct bufferevent_ops tls_ops;

static void
tls_destruct(struct bufferevent *bev)
{
	struct bufferevent_tls *b = upcast(bev);

	if (b->close_on_free) {
		if (b->state != BUFFEREVENT_TLS_ACCEPTING)
			tls_free(b->given);
		tls_free(b->ctx);
		if (b->underlying == NULL && b->fd >= 0)
			evutil_closesocket(b->fd);
	}
	free(b->servername);
	free(b->error);
	bev->be_ops = &tls_ops; /* libevent needs the offset once more */
	free(b);
}

static const struct bufferevent_ops tls_ops = {
	.type = type_name,
	.mem_offset = 0,
	.enable = tls_enable,
	.disable = tls_disable,
	.unlink = tls_unlink,
	.destruct = tls_destruct,
	.adj_timeouts = tls_adj_timeouts,
	.flush = tls_flush,
	.ctrl = tls_ctrl,
};

/* Whether a new socket bufferevent is what we take it for. */
static int
type_verify(struct bufferevent *bev)
{
	const struct bufferevent_ops *ops = bev->be_ops;
	union bufferevent_ctrl_data data = { .fd = -2 };

	return event_get_version_number() >> 16 ==
		   LIBEVENT_VERSION_NUMBER >> 16 &&
	       strcmp(ops->type, "socket") == 0 &&
	       ops->mem_offset == tls_ops.mem_offset && ops->enable != NULL &&
	       ops->disable != NULL && ops->unlink == NULL &&
	       ops->destruct != NULL && ops->adj_timeouts != NULL &&
	       ops->flush != NULL && ops->ctrl != NULL &&
	       ops->ctrl(bev, BEV_CTRL_GET_FD, &data) == 0 && data.fd == -1;
}

static int
set_given(struct bufferevent_tls *b, struct tls *ctx,
    enum bufferevent_tls_state state, const char *servername)
{
	char *name = NULL;

	if (ctx == NULL ||
	    (state != BUFFEREVENT_TLS_OPEN &&
		state != BUFFEREVENT_TLS_CONNECTING &&
		state != BUFFEREVENT_TLS_ACCEPTING) ||
	    (state == BUFFEREVENT_TLS_OPEN &&
		(b->underlying != NULL || b->fd == -1))) {
		errno = EINVAL;
		return -1;
	}
	if (servername != NULL && (name = strdup(servername)) == NULL)
		return -1;
	free(b->servername);
	b->servername = name;
	b->given = ctx;
	b->state = state;
	return 0;
}

static struct bufferevent *
tls_new(struct event_base *base, struct bufferevent *underlying,
    evutil_socket_t fd, struct tls *ctx, enum bufferevent_tls_state state,
    const char *servername, int options)
{
	struct bufferevent_tls *b = NULL;
	struct bufferevent *bev;
	size_t high = 0;

	/* Its lock may have to be that of the underlying one. */
	bev = bufferevent_socket_new(base, -1, options & ~BEV_OPT_THREADSAFE);
	if (bev == NULL)
		return NULL;
	if (!type_verify(bev)) {
		errno = ENOTSUP;
		goto err;
	}
	if ((b = calloc(1, sizeof(*b))) == NULL)
		goto err;
	b->ops = tls_ops;
	b->bev = bev;
	b->underlying = underlying;
	b->writing = 1; /* as the new bufferevent */
	assign(b, fd);
	assign_engine(b, -1);
	if (underlying != NULL) {
		bufferevent_incref(underlying);
		b->transport_reading =
		    (bufferevent_get_enabled(underlying) & EV_READ) != 0;
	}
	bev->be_ops = &b->ops;

	/* From here on bufferevent_free() frees all that is ours. */
	if ((options & BEV_OPT_THREADSAFE) &&
	    bufferevent_enable_locking_(bev, NULL) == -1)
		goto err;
	if (evbuffer_add_cb(bufferevent_get_output(bev), on_output, b) ==
		NULL ||
	    set_given(b, ctx, state, servername) == -1)
		goto err;
	if ((underlying != NULL || fd != -1) && start(b) == -1)
		goto err;
	if (underlying != NULL) {
		bufferevent_getwatermark(underlying, EV_WRITE, NULL, &high);
		bufferevent_setwatermark(underlying, EV_WRITE, 0, high);
		bufferevent_setwatermark(underlying, EV_READ, 0,
		    TRANSPORT_IN_MAX);
		bufferevent_enable(underlying, EV_WRITE);
		bufferevent_setcb(underlying, on_transport_read,
		    on_transport_write, on_transport_event, b);
	}
	b->close_on_free = (options & BEV_OPT_CLOSE_ON_FREE) != 0;
	return bev;

err:
	bufferevent_free(bev);
	return NULL;
}

struct bufferevent *
bufferevent_tls_socket_new(struct event_base *base, evutil_socket_t fd,
    struct tls *ctx, enum bufferevent_tls_state state, const char *servername,
    int options)
{
	return tls_new(base, NULL, fd < 0 ? -1 : fd, ctx, state, servername,
	    options);
}

struct bufferevent *
bufferevent_tls_filter_new(struct event_base *base,
    struct bufferevent *underlying, struct tls *ctx,
    enum bufferevent_tls_state state, const char *servername, int options)
{
	if (underlying == NULL) {
		errno = EINVAL;
		return NULL;
	}
	return tls_new(base, underlying, -1, ctx, state, servername, options);
}

int
bufferevent_tls_renew(struct bufferevent *bev, struct tls *ctx,
    enum bufferevent_tls_state state, const char *servername)
{
	struct bufferevent_tls *b;
	struct tls *old_ctx, *old_given;
	enum bufferevent_tls_state old_state;
	int rv = -1;

	bufferevent_lock(bev);
	if ((b = upcast(bev)) == NULL ||
	    (b->phase != PHASE_IDLE && b->phase != PHASE_ENDED) || b->closed) {
		errno = EINVAL;
		goto done;
	}
	old_ctx = b->ctx;
	old_given = b->given;
	old_state = b->state;
	if (set_given(b, ctx, state, servername) == -1)
		goto done;
	b->ctx = NULL;
	b->phase = PHASE_IDLE;
	if ((b->underlying != NULL || b->fd != -1) && start(b) == -1) {
		b->ctx = old_ctx;
		b->given = old_given;
		b->state = old_state;
		b->phase = PHASE_ENDED;
		goto done;
	}
	if (b->close_on_free) {
		if (old_ctx != ctx)
			tls_free(old_ctx);
		if (old_given != ctx && old_state != BUFFEREVENT_TLS_ACCEPTING)
			tls_free(old_given);
	}
	free(b->error);
	b->error = NULL;
	b->retry = 0;
	b->read_want = b->write_want = 0;
	b->finishing = 0;
	b->read_ended = 0;
	b->transport_eof_read = 0;
	rv = 0;

done:
	bufferevent_unlock(bev);
	return rv;
}

struct tls *
bufferevent_tls_get_tls(struct bufferevent *bev)
{
	struct bufferevent_tls *b;
	struct tls *ctx = NULL;

	bufferevent_lock(bev);
	if ((b = upcast(bev)) != NULL)
		ctx = b->ctx;
	bufferevent_unlock(bev);
	return ctx;
}

const char *
bufferevent_tls_get_error(struct bufferevent *bev)
{
	struct bufferevent_tls *b;
	const char *error = NULL;

	bufferevent_lock(bev);
	if ((b = upcast(bev)) != NULL)
		error = b->error;
	bufferevent_unlock(bev);
	return error;
}

int
bufferevent_tls_get_allow_dirty_shutdown(struct bufferevent *bev)
{
	struct bufferevent_tls *b;
	int allow = -1;

	bufferevent_lock(bev);
	if ((b = upcast(bev)) != NULL)
		allow = b->allow_dirty;
	bufferevent_unlock(bev);
	return allow;
}

void
bufferevent_tls_set_allow_dirty_shutdown(struct bufferevent *bev, int allow)
{
	struct bufferevent_tls *b;

	bufferevent_lock(bev);
	if ((b = upcast(bev)) != NULL)
		b->allow_dirty = allow != 0;
	bufferevent_unlock(bev);
}
