/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Bufferevents over TLS, both ends in one loop: on sockets, and as filters
 * over a socket's bufferevent or over one end of a bufferevent_pair. What
 * libevent tests of its bufferevent_openssl is tested here.
 */

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/thread.h>
#include <tls_proxy.h>

#include "bufferevent_tls.h"
#include "harness.h"

/* Another libtls has none of them. */
#pragma weak tls_config_set_requests
#pragma weak tls_request_default
#pragma weak tls_request_fd
#pragma weak tls_request_next

#define MIB (1024 * 1024)

enum kind { SOCKET, FILTER, PAIR };

struct side {
	struct link *link;
	struct bufferevent *bev; /* NULL when it was freed */
	struct bufferevent *under;
	int fd;
	int connected, eof, error, timeout;
	int reads, writes;
	short what; /* of the last event that isn't CONNECTED */
	char text[256];
	short free_at; /* the event, or 0 */
	int free_at_read, free_at_write;
	struct h_stream in, out;
	size_t received, to_send;
};

struct link {
	enum kind kind;
	int options;
	struct event_base *base;
	struct event *deadline;
	struct tls_config *client_config, *server_config;
	struct tls *server; /* to accept with */
	int requests;
	struct side c, s;
};

static enum kind kind;

/* The loop. */

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void
loop_once(struct link *l, const char *file, int line, const char *condition)
{
	struct timeval tv = { h_ms(20000) / 1000, 0 };

	event_add(l->deadline, &tv);
	if (event_base_loop(l->base, EVLOOP_ONCE) != 0 ||
	    event_base_got_break(l->base))
		h_fail(file, line,
		    "waited in vain for %s; client: connected %d, "
		    "events %#x '%s', received %zu; server: connected %d, "
		    "events %#x '%s', received %zu",
		    condition, l->c.connected, (unsigned int)l->c.what,
		    l->c.text, l->c.received, l->s.connected,
		    (unsigned int)l->s.what, l->s.text, l->s.received);
}

#define LOOP_UNTIL(l, condition)                                               \
	while (!(condition))                                                   \
	loop_once((l), __FILE__, __LINE__, #condition)

/* A time that passes in the loop. */
static void
loop_for(struct link *l, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_base_loopexit(l->base, &tv);
	event_base_dispatch(l->base);
}

static void
side_free(struct side *s)
{
	if (s->bev != NULL)
		bufferevent_free(s->bev);
	s->bev = NULL;
}

/* Callbacks. */

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct side *s = arg;
	const char *error = bufferevent_tls_get_error(bev);

	if (what & BEV_EVENT_CONNECTED) {
		CHECK_INT(what, BEV_EVENT_CONNECTED);
		s->connected++;
		CHECK(bufferevent_tls_get_tls(bev) != NULL);
		CHECK(tls_conn_version(bufferevent_tls_get_tls(bev)) != NULL);
	} else {
		s->what = what;
		if (error != NULL)
			snprintf(s->text, sizeof(s->text), "%s", error);
		s->eof += (what & BEV_EVENT_EOF) != 0;
		s->error += (what & BEV_EVENT_ERROR) != 0;
		s->timeout += (what & BEV_EVENT_TIMEOUT) != 0;
	}
	if (s->free_at & what)
		side_free(s);
}

/* What comes is to be the stream of the other side. */
static void
on_read(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	char buf[4096];
	size_t n;

	s->reads++;
	while ((n = bufferevent_read(bev, buf, sizeof(buf))) > 0) {
		h_stream_check(&s->in, buf, n);
		s->received += n;
	}
	if (s->free_at_read)
		side_free(s);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	char buf[10000];
	size_t n;

	s->writes++;
	if (s->to_send > 0) {
		n = s->to_send < sizeof(buf) ? s->to_send : sizeof(buf);
		h_stream_fill(&s->out, buf, n);
		s->to_send -= n;
		CHECK_INT(bufferevent_write(bev, buf, n), 0);
	}
	if (s->free_at_write)
		side_free(s);
}

static void
on_read_echo(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;

	s->reads++;
	CHECK_INT(bufferevent_write_buffer(bev, bufferevent_get_input(bev)), 0);
}

static void
side_start(struct side *s)
{
	bufferevent_setcb(s->bev, on_read, on_write, on_event, s);
	CHECK_INT(bufferevent_enable(s->bev, EV_READ | EV_WRITE), 0);
}

static void
send_stream(struct side *s, size_t len)
{
	s->to_send = len;
	on_write(s->bev, s);
	s->writes--;
}

/* Making and freeing. */

static void
side_init(struct link *l, struct side *s, uint64_t in, uint64_t out)
{
	memset(s, 0, sizeof(*s));
	s->link = l;
	s->fd = -1;
	s->in.seed = in;
	s->out.seed = out;
}

static void
link_init(struct link *l, int options)
{
	memset(l, 0, sizeof(*l));
	l->kind = kind;
	l->options = options | BEV_OPT_CLOSE_ON_FREE;
	CHECK((l->base = event_base_new()) != NULL);
	CHECK(
	    (l->deadline = evtimer_new(l->base, on_deadline, l->base)) != NULL);
	l->client_config = h_client_config();
	l->server_config = h_server_config("ecdsa");
	l->server = h_server(l->server_config);
	side_init(l, &l->c, 1, 2);
	side_init(l, &l->s, 2, 1);
}

static void
link_free(struct link *l)
{
	side_free(&l->c);
	side_free(&l->s);
	event_free(l->deadline);
	/* What libevent finishes later. */
	event_base_loop(l->base, EVLOOP_NONBLOCK);
	event_base_free(l->base);
	tls_free(l->server);
	tls_config_free(l->client_config);
	tls_config_free(l->server_config);
}

static struct bufferevent *
plain(struct link *l, int fd)
{
	struct bufferevent *bev;

	bev = bufferevent_socket_new(l->base, fd,
	    BEV_OPT_CLOSE_ON_FREE | (l->options & BEV_OPT_THREADSAFE));
	CHECK(bev != NULL);
	return bev;
}

static void
link_transport(struct link *l)
{
	struct bufferevent *pair[2];

	if (l->kind == PAIR) {
		CHECK_INT(bufferevent_pair_new(l->base,
			      l->options & BEV_OPT_THREADSAFE, pair),
		    0);
		l->c.under = pair[0];
		l->s.under = pair[1];
		return;
	}
	h_tcp_pair(&l->c.fd, &l->s.fd);
	h_nonblock(l->c.fd, 1);
	h_nonblock(l->s.fd, 1);
	if (l->kind == FILTER) {
		l->c.under = plain(l, l->c.fd);
		l->s.under = plain(l, l->s.fd);
	}
}

static struct bufferevent *
make(struct link *l, struct side *s, struct tls *ctx,
    enum bufferevent_tls_state state, const char *name)
{
	if (s->under != NULL)
		return bufferevent_tls_filter_new(l->base, s->under, ctx, state,
		    name, l->options);
	return bufferevent_tls_socket_new(l->base, s->fd, ctx, state, name,
	    l->options);
}

static void
open_client(struct link *l)
{
	struct tls *ctx = h_client(l->client_config);

	l->c.bev = make(l, &l->c, ctx, BUFFEREVENT_TLS_CONNECTING, "localhost");
	if (l->c.bev == NULL)
		FAIL("client: %s", tls_error(ctx));
	bufferevent_setcb(l->c.bev, on_read, on_write, on_event, &l->c);
}

static void
open_server(struct link *l)
{
	l->s.bev = make(l, &l->s, l->server, BUFFEREVENT_TLS_ACCEPTING, NULL);
	if (l->s.bev == NULL)
		FAIL("server: %s", tls_error(l->server));
	bufferevent_setcb(l->s.bev, on_read, on_write, on_event, &l->s);
}

static void
link_start(struct link *l, int options)
{
	link_init(l, options);
	link_transport(l);
	open_client(l);
	open_server(l);
}

static void
link_open(struct link *l, int options)
{
	link_start(l, options);
	LOOP_UNTIL(l, l->c.connected && l->s.connected);
	side_start(&l->c);
	side_start(&l->s);
}

/* The tests. */

static const struct {
	const char *name;
	int options;
} variants[] = {
	{ "at once", 0 },
	{ "deferred", BEV_OPT_DEFER_CALLBACKS },
	{ "threadsafe", BEV_OPT_THREADSAFE },
	{ "threadsafe, deferred, unlocked", BEV_OPT_THREADSAFE |
						BEV_OPT_DEFER_CALLBACKS |
						BEV_OPT_UNLOCK_CALLBACKS },
};

#define EACH_VARIANT(i)                                                        \
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]) &&       \
			   (h_case = variants[i].name) != NULL;                \
	     i++)

/* Each reads a number, writes the next one, and never does both at once. */
static void
on_number(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	char *line;
	int n;

	line =
	    evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF);
	if (line == NULL)
		return;
	n = atoi(line);
	free(line);
	CHECK_INT(n, s->received + 1);
	s->received += 2;
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	evbuffer_add_printf(bufferevent_get_output(bev), "%d\n", n + 1);
	bufferevent_enable(bev, EV_WRITE);
}

static void
on_number_written(struct bufferevent *bev, void *arg)
{
	(void)arg;
	CHECK_INT(evbuffer_get_length(bufferevent_get_output(bev)), 0);
	bufferevent_disable(bev, EV_WRITE);
	bufferevent_enable(bev, EV_READ);
}

static void
test_dialogue(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_start(&l, variants[i].options);
		bufferevent_setcb(l.c.bev, on_number, on_number_written,
		    on_event, &l.c);
		bufferevent_setcb(l.s.bev, on_number, on_number_written,
		    on_event, &l.s);
		if (kind == SOCKET)
			CHECK_INT(bufferevent_getfd(l.c.bev), l.c.fd);
		if (kind == FILTER)
			CHECK_INT(bufferevent_getfd(l.c.bev), l.c.fd);
		CHECK(bufferevent_get_underlying(l.c.bev) == l.c.under);
		CHECK(bufferevent_tls_get_error(l.c.bev) == NULL);
		/* Before the handshake. */
		l.c.received = 1;
		evbuffer_add(bufferevent_get_output(l.c.bev), "1\n", 2);
		bufferevent_enable(l.s.bev, EV_READ);
		LOOP_UNTIL(&l, l.c.received > 200);
		CHECK_INT(l.c.connected, 1);
		CHECK_INT(l.s.connected, 1);
		CHECK_INT(l.c.what | l.s.what, 0);
		link_free(&l);
	}
}

static void
test_echo(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_open(&l, variants[i].options);
		bufferevent_setcb(l.s.bev, on_read_echo, NULL, on_event, &l.s);
		l.c.in.seed = l.c.out.seed;
		send_stream(&l.c, MIB);
		LOOP_UNTIL(&l, l.c.received == MIB);
		CHECK_INT(l.c.what | l.s.what, 0);
		link_free(&l);
	}
}

static void
bulk(struct link *l)
{
	l->c.received = l->s.received = 0;
	send_stream(&l->c, MIB);
	send_stream(&l->s, MIB + 12345);
	LOOP_UNTIL(l, l->s.received == MIB && l->c.received == MIB + 12345);
	CHECK_INT(l->c.what | l->s.what, 0);
}

static void
on_read_watermark(struct bufferevent *bev, void *arg)
{
	size_t len = evbuffer_get_length(bufferevent_get_input(bev));

	CHECK(len >= 1000);
	CHECK(len <= 5000);
	on_read(bev, arg);
}

static void
test_watermarks(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_open(&l, variants[i].options);
		bufferevent_setwatermark(l.c.bev, EV_READ, 1000, 5000);
		bufferevent_setwatermark(l.s.bev, EV_WRITE, 3000, 0);
		bufferevent_setcb(l.c.bev, on_read_watermark, on_write,
		    on_event, &l.c);
		send_stream(&l.c, MIB);
		send_stream(&l.s, MIB);
		LOOP_UNTIL(&l,
		    l.s.received == MIB && l.c.received >= MIB - 1000);
		link_free(&l);
	}
}

/* Nothing is read beyond the mark, and all of it later. */
static void
test_watermark_stops(void)
{
	struct link l;
	char buf[5000];

	link_open(&l, 0);
	bufferevent_setwatermark(l.c.bev, EV_READ, 0, 5000);
	bufferevent_setcb(l.c.bev, NULL, NULL, on_event, &l.c);
	send_stream(&l.s, 100000);
	LOOP_UNTIL(&l,
	    evbuffer_get_length(bufferevent_get_input(l.c.bev)) == 5000);
	loop_for(&l, 50);
	CHECK_INT(evbuffer_get_length(bufferevent_get_input(l.c.bev)), 5000);
	bufferevent_setcb(l.c.bev, on_read, NULL, on_event, &l.c);
	CHECK_INT(bufferevent_read(l.c.bev, buf, sizeof(buf)), 5000);
	h_stream_check(&l.c.in, buf, sizeof(buf));
	LOOP_UNTIL(&l, l.c.received == 95000);
	link_free(&l);
}

static void
test_bulk(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_open(&l, variants[i].options);
		bulk(&l);
		link_free(&l);
	}
}

/* What the handshake asks is answered from the loop. */
static void
on_request(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct tls_request *request;

	(void)fd;
	(void)what;
	while ((request = tls_request_next(l->server)) != NULL) {
		CHECK_INT(tls_request_default(request), 0);
		l->requests++;
	}
}

static void
test_requests(void)
{
	struct event *event;
	struct link l;

	PROXY_ONLY();
	EACH_VARIANT(i)
	{
		link_init(&l, variants[i].options);
		CHECK_CONFIG(l.server_config,
		    tls_config_set_requests(l.server_config,
			TLS_REQUEST_CERTIFICATE, 60000));
		CHECK_TLS(l.server, tls_configure(l.server, l.server_config));
		event = event_new(l.base, tls_request_fd(l.server),
		    EV_READ | EV_PERSIST, on_request, &l);
		CHECK(event != NULL);
		event_add(event, NULL);
		link_transport(&l);
		open_client(&l);
		open_server(&l);
		LOOP_UNTIL(&l, l.c.connected && l.s.connected);
		CHECK_INT(l.requests, 1);
		side_start(&l.c);
		side_start(&l.s);
		bulk(&l);
		CHECK_INT(l.c.what | l.s.what, 0);
		event_free(event);
		link_free(&l);
	}
}

/* Disabled directions rest, and go on when enabled, with nothing new. */
static void
test_enable(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_open(&l, variants[i].options);
		bufferevent_disable(l.c.bev, EV_WRITE);
		send_stream(&l.c, 5000);
		loop_for(&l, 30);
		CHECK_INT(l.s.received, 0);
		CHECK_INT(evbuffer_get_length(bufferevent_get_output(l.c.bev)),
		    5000);
		bufferevent_enable(l.c.bev, EV_WRITE);
		LOOP_UNTIL(&l, l.s.received == 5000);

		bufferevent_disable(l.s.bev, EV_READ);
		send_stream(&l.c, 70000);
		loop_for(&l, 30);
		CHECK_INT(l.s.received, 5000);
		CHECK_INT(evbuffer_get_length(bufferevent_get_input(l.s.bev)),
		    0);
		bufferevent_enable(l.s.bev, EV_READ);
		LOOP_UNTIL(&l, l.s.received == 75000);
		CHECK_INT(bufferevent_get_enabled(l.s.bev), EV_READ | EV_WRITE);
		link_free(&l);
	}
}

/* A read callback that stops reading after each call. */
static void
on_read_stop(struct bufferevent *bev, void *arg)
{
	on_read(bev, arg);
	bufferevent_disable(bev, EV_READ);
}

static void
test_read_stop(void)
{
	struct link l;
	int rounds = 0;

	link_open(&l, 0);
	bufferevent_setcb(l.s.bev, on_read_stop, NULL, on_event, &l.s);
	bufferevent_set_max_single_read(l.s.bev, 1000);
	send_stream(&l.c, 100000);
	while (l.s.received < 100000) {
		size_t before = l.s.received;

		CHECK(++rounds <= 2000);
		/* Whatever was under way is over. */
		loop_for(&l, 1);
		bufferevent_enable(l.s.bev, EV_READ);
		LOOP_UNTIL(&l, l.s.received > before);
		CHECK(l.s.received - before <= 1000);
	}
	link_free(&l);
}

static void
test_rate_limit(void)
{
	const struct timeval tick = { 0, 20000 };
	struct ev_token_bucket_cfg *cfg;
	struct bufferevent_rate_limit_group *group;
	struct link l;
	int64_t began;
	int i;

	/* 200 kB a second. */
	cfg = ev_token_bucket_cfg_new(4000, 4000, 4000, 4000, &tick);
	CHECK(cfg != NULL);
	for (i = 0; i < 3; i++) {
		h_case = i == 0 ? "read" : i == 1 ? "write" : "group";
		link_open(&l, 0);
		group = NULL;
		if (i == 0) {
			CHECK_INT(bufferevent_set_rate_limit(l.s.bev, cfg), 0);
		} else if (i == 1) {
			CHECK_INT(bufferevent_set_rate_limit(l.c.bev, cfg), 0);
		} else {
			group = bufferevent_rate_limit_group_new(l.base, cfg);
			CHECK(group != NULL);
			CHECK_INT(
			    bufferevent_add_to_rate_limit_group(l.s.bev, group),
			    0);
		}
		began = h_now();
		send_stream(&l.c, 100000);
		LOOP_UNTIL(&l, l.s.received == 100000);
		CHECK(h_now() - began >= 300);
		if (i == 0) {
			bufferevent_set_rate_limit(l.s.bev, NULL);
		} else if (i == 1) {
			bufferevent_set_rate_limit(l.c.bev, NULL);
		} else {
			bufferevent_remove_from_rate_limit_group(l.s.bev);
			bufferevent_rate_limit_group_free(group);
		}
		bulk(&l);
		link_free(&l);
	}
	ev_token_bucket_cfg_free(cfg);
}

/* The end of a side: with close_notify, or the bare transport's. */
static void
end(struct side *s, int dirty)
{
	if (!dirty) {
		CHECK_INT(bufferevent_flush(s->bev, EV_WRITE, BEV_FINISHED), 0);
		return;
	}
	if (s->link->kind == PAIR)
		CHECK_INT(bufferevent_flush(s->under, EV_WRITE, BEV_FINISHED),
		    0);
	side_free(s);
}

static void
close_one(int options, int by_server, int dirty, int allow)
{
	struct link l;
	struct side *first, *second;
	short want = BEV_EVENT_EOF;

	/* OpenSSL 3 has an error for it, which LibreTLS passes on. */
	if (dirty && allow && kind == SOCKET && !h_proxy)
		return;
	link_open(&l, options);
	first = by_server ? &l.s : &l.c;
	second = by_server ? &l.c : &l.s;
	bufferevent_tls_set_allow_dirty_shutdown(second->bev, allow);
	CHECK_INT(bufferevent_tls_get_allow_dirty_shutdown(second->bev), allow);
	send_stream(first, 5000);
	if (dirty) {
		/* What was not sent or not read is nothing for free(). */
		send_stream(second, 1);
		LOOP_UNTIL(&l, second->received == 5000 && first->received > 0);
	}
	end(first, dirty);
	LOOP_UNTIL(&l, second->what != 0);
	if (dirty && !allow) {
		want = BEV_EVENT_ERROR;
		if (h_proxy || kind != SOCKET)
			CHECK_HAS(second->text, "EOF without close notify");
	}
	CHECK_INT(second->what, want | BEV_EVENT_READING);
	CHECK_INT(second->received, 5000);
	if (!dirty) {
		LOOP_UNTIL(&l, first->what != 0);
		CHECK_INT(bufferevent_tls_renew(first->bev, l.server,
			      BUFFEREVENT_TLS_ACCEPTING, NULL),
		    -1);
		CHECK_INT(first->what & (BEV_EVENT_EOF | BEV_EVENT_ERROR),
		    BEV_EVENT_EOF);
		CHECK(first->what & BEV_EVENT_WRITING);
	}
	CHECK_INT(second->eof + second->error, 1);
	link_free(&l);
}

static void
test_close(void)
{
	int bits;

	EACH_VARIANT(i)
	{
		for (bits = 0; bits < 8; bits++)
			close_one(variants[i].options, bits & 1, bits & 2,
			    (bits & 4) != 0);
	}
}

/* All that was written before the end arrives before it. */
static void
test_close_flushes(void)
{
	struct link l;

	link_open(&l, 0);
	bufferevent_setcb(l.c.bev, NULL, NULL, on_event, &l.c);
	l.c.to_send = MIB;
	while (l.c.to_send > 0)
		on_write(l.c.bev, &l.c);
	end(&l.c, 0);
	LOOP_UNTIL(&l, l.s.what != 0 && l.c.what != 0);
	CHECK_INT(l.s.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	CHECK(l.c.what & BEV_EVENT_EOF);
	CHECK_INT(l.s.received, MIB);
	link_free(&l);
}

/* The peer has said its last word, and is still answered. */
static void
test_half_close(void)
{
	struct link l;

	link_open(&l, 0);
	bufferevent_tls_set_allow_dirty_shutdown(l.s.bev, 1);
	send_stream(&l.c, 100);
	end(&l.c, 0);
	LOOP_UNTIL(&l, l.s.what != 0);
	CHECK_INT(l.s.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	CHECK_INT(bufferevent_get_enabled(l.s.bev), EV_WRITE);
	l.s.what = 0;
	end(&l.s, 0);
	/* Nobody is there to take it from a pair. */
	if (kind != PAIR) {
		LOOP_UNTIL(&l, l.s.what != 0);
		CHECK_INT(l.s.what, BEV_EVENT_EOF | BEV_EVENT_WRITING);
	}
	link_free(&l);
}

static void
test_timeouts(void)
{
	const struct timeval tv = { 0, 50000 };
	struct link l;

	EACH_VARIANT(i)
	{
		link_open(&l, variants[i].options);
		send_stream(&l.c, 100);
		LOOP_UNTIL(&l, l.s.received == 100);
		/* Neither has anything to write. */
		bufferevent_set_timeouts(l.s.bev, &tv, &tv);
		LOOP_UNTIL(&l, l.s.timeout > 0);
		CHECK_INT(l.s.what, BEV_EVENT_TIMEOUT | BEV_EVENT_READING);
		CHECK_INT(bufferevent_get_enabled(l.s.bev), EV_WRITE);
		loop_for(&l, 150);
		CHECK_INT(l.s.timeout, 1);
		/* The connection is as good as before. */
		bufferevent_set_timeouts(l.s.bev, NULL, NULL);
		bufferevent_enable(l.s.bev, EV_READ);
		l.s.what = 0;
		bulk(&l);
		loop_for(&l, 150);
		CHECK_INT(l.s.timeout, 1);

		bufferevent_disable(l.s.bev, EV_READ);
		bufferevent_set_timeouts(l.c.bev, NULL, &tv);
		send_stream(&l.c, 100 * MIB);
		LOOP_UNTIL(&l, l.c.timeout > 0);
		CHECK_INT(l.c.what, BEV_EVENT_TIMEOUT | BEV_EVENT_WRITING);
		CHECK_INT(bufferevent_get_enabled(l.c.bev), EV_READ);
		link_free(&l);
	}
}

static void
test_handshake_timeout(void)
{
	const struct timeval tv = { 0, 50000 };
	struct link l;

	link_init(&l, 0);
	link_transport(&l);
	open_server(&l);
	bufferevent_set_timeouts(l.s.bev, &tv, &tv);
	LOOP_UNTIL(&l, l.s.timeout > 0);
	CHECK_INT(l.s.what, BEV_EVENT_TIMEOUT | BEV_EVENT_READING);
	/* A late client is served nevertheless. */
	bufferevent_set_timeouts(l.s.bev, NULL, NULL);
	l.s.what = 0;
	open_client(&l);
	LOOP_UNTIL(&l, l.c.connected && l.s.connected);
	side_start(&l.c);
	side_start(&l.s);
	bulk(&l);
	link_free(&l);
}

/* The transport is still to come about. */
static void
test_connecting(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct bufferevent *bev;
	struct link l;
	char port[8];
	int listener, way;

	for (way = 0; way < 3; way++) {
		h_case = way == 0   ? "no descriptor yet"
			 : way == 1 ? "the underlying one connects"
				    : "in progress";
		if ((way == 1) != (kind == FILTER) && way != 0)
			continue;
		link_init(&l, BEV_OPT_DEFER_CALLBACKS);
		listener = h_listen(port, sizeof(port));
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sin.sin_port = htons((in_port_t)atoi(port));
		if (kind == FILTER)
			l.c.under = plain(&l, -1);
		if (way == 2) {
			l.c.fd = socket(AF_INET,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
			CHECK(connect(l.c.fd, (struct sockaddr *)&sin,
				  sizeof(sin)) == 0 ||
			      errno == EINPROGRESS);
		}
		open_client(&l);
		bev = way == 1 ? l.c.under : l.c.bev;
		if (way != 2)
			CHECK_INT(bufferevent_socket_connect(bev,
				      (struct sockaddr *)&sin, sizeof(sin)),
			    0);
		l.s.fd = h_accept(listener);
		h_nonblock(l.s.fd, 1);
		if (kind == FILTER)
			l.s.under = plain(&l, l.s.fd);
		open_server(&l);
		LOOP_UNTIL(&l, l.c.connected && l.s.connected);
		CHECK(bufferevent_getfd(l.c.bev) >= 0);
		side_start(&l.c);
		side_start(&l.s);
		bulk(&l);
		close(listener);
		link_free(&l);
	}
}

static void
test_connect_refused(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct link l;
	char port[8];

	close(h_listen(port, sizeof(port)));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((in_port_t)atoi(port));
	link_init(&l, 0);
	if (kind == FILTER)
		l.c.under = plain(&l, -1);
	open_client(&l);
	l.c.free_at = BEV_EVENT_ERROR;
	CHECK_INT(bufferevent_socket_connect(l.c.bev, (struct sockaddr *)&sin,
		      sizeof(sin)),
	    0);
	LOOP_UNTIL(&l, l.c.bev == NULL);
	CHECK_INT(l.c.connected, 0);
	CHECK(l.c.what & BEV_EVENT_ERROR);
	link_free(&l);
}

/* A context whose connection is there already. */
static void
test_open(void)
{
	struct link l;
	struct h_pair p = { 0 };

	EACH_VARIANT(i)
	{
		link_init(&l, variants[i].options);
		h_pair_open(&p);
		l.c.fd = p.cfd;
		l.s.fd = p.sfd;
		l.c.bev = make(&l, &l.c, p.client, BUFFEREVENT_TLS_OPEN, NULL);
		l.s.bev = make(&l, &l.s, p.server, BUFFEREVENT_TLS_OPEN, NULL);
		CHECK(l.c.bev != NULL);
		CHECK(l.s.bev != NULL);
		CHECK(bufferevent_tls_get_tls(l.c.bev) == p.client);
		side_start(&l.c);
		side_start(&l.s);
		bulk(&l);
		CHECK_INT(l.c.connected + l.s.connected, 0);
		link_free(&l);
		tls_free(p.base);
	}
}

/* Without CLOSE_ON_FREE all is left to the program, also the connection. */
static void
test_no_close(void)
{
	struct link l;
	struct tls *client, *server;

	link_init(&l, 0);
	l.options = 0;
	link_transport(&l);
	open_client(&l);
	open_server(&l);
	LOOP_UNTIL(&l, l.c.connected && l.s.connected);
	client = bufferevent_tls_get_tls(l.c.bev);
	server = bufferevent_tls_get_tls(l.s.bev);
	side_free(&l.c);
	side_free(&l.s);
	event_base_loop(l.base, EVLOOP_NONBLOCK);
	if (kind != PAIR)
		CHECK(fcntl(l.c.fd, F_GETFD) != -1);
	if (kind == SOCKET) {
		l.c.bev = make(&l, &l.c, client, BUFFEREVENT_TLS_OPEN, NULL);
		l.s.bev = make(&l, &l.s, server, BUFFEREVENT_TLS_OPEN, NULL);
		side_start(&l.c);
		side_start(&l.s);
		bulk(&l);
		close(l.c.fd);
		close(l.s.fd);
	} else {
		CHECK(bufferevent_get_enabled(l.c.under) & EV_WRITE);
		bufferevent_free(l.c.under);
		bufferevent_free(l.s.under);
	}
	link_free(&l);
	tls_free(client);
	tls_free(server);
}

/* A handshake that fails, on both sides. */
static void
fail_both(struct link *l)
{
	link_transport(l);
	open_client(l);
	open_server(l);
	LOOP_UNTIL(l, l->c.what != 0 && l->s.what != 0);
	CHECK_INT(l->c.what, BEV_EVENT_ERROR | BEV_EVENT_READING);
	CHECK_INT(l->s.what, BEV_EVENT_ERROR | BEV_EVENT_READING);
	CHECK_INT(l->c.connected + l->s.connected, 0);
	CHECK(l->c.text[0] != '\0');
	CHECK(l->s.text[0] != '\0');
}

static void
test_verification(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_init(&l, variants[i].options);
		tls_config_free(l.client_config);
		CHECK((l.client_config = tls_config_new()) != NULL);
		CHECK_CONFIG(l.client_config,
		    tls_config_set_ca_file(l.client_config,
			h_cert("other-root.pem")));
		fail_both(&l);
		CHECK_HAS(l.c.text, "certificate");
		link_free(&l);
	}
}

static void
test_renew(void)
{
	struct link l;
	struct tls_config *config;
	struct tls *ctx;

	EACH_VARIANT(i)
	{
		link_init(&l, variants[i].options);
		/* The server says no to the first record. */
		CHECK_CONFIG(l.client_config,
		    tls_config_set_protocols(l.client_config,
			TLS_PROTOCOL_TLSv1_3));
		CHECK_CONFIG(l.server_config,
		    tls_config_set_protocols(l.server_config,
			TLS_PROTOCOL_TLSv1_2));
		CHECK_TLS(l.server, tls_configure(l.server, l.server_config));
		fail_both(&l);
		l.c.what = l.s.what = 0;
		config = h_client_config();
		ctx = h_client(config);
		tls_config_free(config);
		CHECK_INT(bufferevent_tls_renew(l.c.bev, ctx,
			      BUFFEREVENT_TLS_CONNECTING, "localhost"),
		    0);
		CHECK(bufferevent_tls_get_tls(l.c.bev) == ctx);
		CHECK(bufferevent_tls_get_error(l.c.bev) == NULL);
		CHECK_INT(bufferevent_tls_renew(l.s.bev, l.server,
			      BUFFEREVENT_TLS_ACCEPTING, NULL),
		    0);
		LOOP_UNTIL(&l, l.c.connected && l.s.connected);
		if (kind != PAIR)
			CHECK_INT(bufferevent_getfd(l.c.bev), l.c.fd);
		side_start(&l.c);
		side_start(&l.s);
		bulk(&l);
		/* One that works is not to be lost by mistake. */
		CHECK_INT(bufferevent_tls_renew(l.c.bev, ctx,
			      BUFFEREVENT_TLS_CONNECTING, "localhost"),
		    -1);
		bufferevent_setcb(l.c.bev, NULL, NULL, NULL, NULL);
		link_free(&l);
	}
}

/* Freed in each callback: the peer sees an end, and nothing is touched. */
static void
test_free_in_callbacks(void)
{
	struct link l;
	int where;

	EACH_VARIANT(i)
	{
		for (where = 0; where < 5; where++) {
			link_start(&l, variants[i].options);
			bufferevent_enable(l.s.bev, EV_READ);
			bufferevent_enable(l.c.bev, EV_READ);
			switch (where) {
			case 0:
				l.s.free_at = BEV_EVENT_CONNECTED;
				LOOP_UNTIL(&l, l.s.bev == NULL);
				break;
			case 1:
				l.s.free_at_read = 1;
				send_stream(&l.c, 50000);
				LOOP_UNTIL(&l, l.s.bev == NULL);
				break;
			case 2:
				l.c.free_at_write = 1;
				send_stream(&l.c, 1);
				LOOP_UNTIL(&l, l.c.bev == NULL);
				break;
			case 3:
				LOOP_UNTIL(&l, l.c.connected && l.s.connected);
				l.s.free_at = BEV_EVENT_EOF;
				end(&l.c, 0);
				LOOP_UNTIL(&l, l.s.bev == NULL);
				break;
			case 4:
				LOOP_UNTIL(&l, l.c.connected && l.s.connected);
				l.c.free_at = BEV_EVENT_EOF;
				end(&l.c, 0);
				LOOP_UNTIL(&l, l.c.bev == NULL);
				break;
			}
			loop_for(&l, 1);
			link_free(&l);
		}
	}
}

/* Freed at each step of the loop. */
static void
test_free_any_time(void)
{
	struct link l;
	int steps, i;

	for (steps = 0; steps < 20; steps++) {
		link_start(&l, steps & 1 ? BEV_OPT_DEFER_CALLBACKS : 0);
		bufferevent_enable(l.s.bev, EV_READ);
		send_stream(&l.c, 30000);
		for (i = 0; i < steps; i++)
			event_base_loop(l.base, EVLOOP_NONBLOCK);
		link_free(&l);
	}
}

/*
 * STARTTLS: the client's first record comes with its last line of plaintext.
 * The line is for the bufferevent that is there, the rest for TLS.
 */
static void
on_line(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	struct link *l = s->link;
	char *line;

	line = evbuffer_readln(bufferevent_get_input(bev), NULL,
	    EVBUFFER_EOL_CRLF);
	if (line == NULL)
		return;
	CHECK_STR(line, "STARTTLS");
	free(line);
	CHECK(evbuffer_get_length(bufferevent_get_input(bev)) > 0);
	open_server(l);
	side_start(s);
}

static int
unread(int fd)
{
	int n;

	CHECK_INT(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

static void
test_starttls(void)
{
	struct link l;

	EACH_VARIANT(i)
	{
		link_init(&l, variants[i].options);
		link_transport(&l);
		bufferevent_setcb(l.s.under, on_line, NULL, NULL, &l.s);
		CHECK_INT(bufferevent_write(l.c.under, "STARTTLS\r\n", 10), 0);
		open_client(&l);
		side_start(&l.c);
		/* Both are there before anything is read. */
		if (kind == FILTER)
			LOOP_UNTIL(&l, unread(l.s.fd) > 10);
		else
			loop_for(&l, 1);
		bufferevent_enable(l.s.under, EV_READ);
		LOOP_UNTIL(&l, l.c.connected && l.s.connected);
		bulk(&l);
		link_free(&l);
	}
}

/* STARTTLS on a socket: the lines are exchanged one by one before. */
static void
test_starttls_socket(void)
{
	struct link l;
	struct bufferevent *c, *s;
	char *line;

	link_init(&l, 0);
	link_transport(&l);
	CHECK((c = bufferevent_socket_new(l.base, l.c.fd, 0)) != NULL);
	CHECK((s = bufferevent_socket_new(l.base, l.s.fd, 0)) != NULL);
	bufferevent_enable(s, EV_READ);
	CHECK_INT(bufferevent_write(c, "STARTTLS\r\n", 10), 0);
	LOOP_UNTIL(&l, evbuffer_get_length(bufferevent_get_input(s)) == 10);
	line =
	    evbuffer_readln(bufferevent_get_input(s), NULL, EVBUFFER_EOL_CRLF);
	CHECK_STR(line, "STARTTLS");
	free(line);
	bufferevent_free(c);
	bufferevent_free(s);
	open_client(&l);
	open_server(&l);
	LOOP_UNTIL(&l, l.c.connected && l.s.connected);
	side_start(&l.c);
	side_start(&l.s);
	bulk(&l);
	link_free(&l);
}

/* The transport breaks. */
static void
test_reset(void)
{
	struct link l;

	link_open(&l, 0);
	bulk(&l);
	h_reset_on_close(l.c.fd);
	if (kind == SOCKET && h_proxy) {
		/* The number is a channel; goproxy ends with the program. */
		link_free(&l);
		return;
	}
	side_free(&l.c);
	LOOP_UNTIL(&l, l.s.what != 0);
	CHECK_INT(l.s.what, BEV_EVENT_ERROR | BEV_EVENT_READING);
	CHECK(l.s.text[0] != '\0');
	link_free(&l);
}

static void
test_worker_killed(void)
{
	struct link l;

	PROXY_ONLY();
	link_open(&l, 0);
	bulk(&l);
	h_kill(h_helper("worker"));
	/* Without goproxy's descriptor it is the next call that notices. */
	if (kind != SOCKET || h_app) {
		CHECK_INT(bufferevent_write(l.c.bev, "x", 1), 0);
		CHECK_INT(bufferevent_write(l.s.bev, "x", 1), 0);
	}
	LOOP_UNTIL(&l, l.c.what != 0 && l.s.what != 0);
	CHECK((l.c.what & BEV_EVENT_ERROR) != 0);
	CHECK((l.s.what & BEV_EVENT_ERROR) != 0);
	CHECK_HAS(l.c.text, "goproxy");
	CHECK_HAS(l.s.text, "goproxy");
	link_free(&l);
}

static void
test_misuse(void)
{
	struct link l;
	struct bufferevent *bev;
	struct tls *ctx;

	link_init(&l, 0);
	bev = plain(&l, -1);
	CHECK(bufferevent_tls_get_tls(bev) == NULL);
	CHECK(bufferevent_tls_get_error(bev) == NULL);
	CHECK_INT(bufferevent_tls_get_allow_dirty_shutdown(bev), -1);
	bufferevent_tls_set_allow_dirty_shutdown(bev, 1);
	CHECK_INT(bufferevent_tls_renew(bev, l.server,
		      BUFFEREVENT_TLS_ACCEPTING, NULL),
	    -1);
	CHECK(bufferevent_tls_filter_new(l.base, bev, l.server,
		  BUFFEREVENT_TLS_OPEN, NULL, BEV_OPT_CLOSE_ON_FREE) == NULL);
	bufferevent_free(bev);
	CHECK(bufferevent_tls_filter_new(l.base, NULL, l.server,
		  BUFFEREVENT_TLS_ACCEPTING, NULL, 0) == NULL);
	CHECK(bufferevent_tls_socket_new(l.base, -1, NULL,
		  BUFFEREVENT_TLS_ACCEPTING, NULL, 0) == NULL);
	CHECK(bufferevent_tls_socket_new(l.base, -1, l.server,
		  BUFFEREVENT_TLS_OPEN, NULL, 0) == NULL);

	/* A failure leaves everything to the caller. */
	link_transport(&l);
	ctx = h_client(l.client_config);
	CHECK(bufferevent_tls_socket_new(l.base, l.c.fd, ctx,
		  BUFFEREVENT_TLS_ACCEPTING, NULL,
		  BEV_OPT_CLOSE_ON_FREE) == NULL);
	CHECK_STR(tls_error(ctx), "not a server context");
	event_base_loop(l.base, EVLOOP_NONBLOCK);
	CHECK(fcntl(l.c.fd, F_GETFD) != -1);
	tls_free(ctx);

	/* Never used. */
	ctx = h_client(l.client_config);
	bev = bufferevent_tls_socket_new(l.base, -1, ctx,
	    BUFFEREVENT_TLS_CONNECTING, "localhost", BEV_OPT_CLOSE_ON_FREE);
	CHECK(bev != NULL);
	CHECK_INT(bufferevent_getfd(bev), -1);
	CHECK_INT(bufferevent_flush(bev, EV_WRITE, BEV_FINISHED), -1);
	bufferevent_free(bev);

	/* Another descriptor is not talked to in plaintext. */
	open_client(&l);
	open_server(&l);
	LOOP_UNTIL(&l, l.c.connected && l.s.connected);
	CHECK_INT(bufferevent_setfd(l.c.bev, l.s.fd), -1);
	CHECK_INT(bufferevent_setfd(l.c.bev, -1), 0);
	CHECK_INT(bufferevent_getfd(l.c.bev), -1);
	CHECK_INT(bufferevent_write(l.c.bev, "x", 1), 0);
	loop_for(&l, 10);
	CHECK_INT(evbuffer_get_length(bufferevent_get_output(l.c.bev)), 1);
	close(l.c.fd);
	link_free(&l);
}

/* libevent's own user of such bufferevents. */
static struct bufferevent *
https_bufferevent(struct event_base *base, void *arg)
{
	struct link *l = arg;

	return bufferevent_tls_socket_new(base, -1, l->server,
	    BUFFEREVENT_TLS_ACCEPTING, NULL, BEV_OPT_CLOSE_ON_FREE);
}

static void
on_https_request(struct evhttp_request *request, void *arg)
{
	struct evbuffer *buf = evbuffer_new();
	struct link *l = arg;
	char data[5000];
	int i;

	CHECK(buf != NULL);
	for (i = 0; i < 20; i++) {
		h_stream_fill(&l->s.out, data, sizeof(data));
		CHECK_INT(evbuffer_add(buf, data, sizeof(data)), 0);
	}
	evhttp_send_reply(request, 200, "OK", buf);
	evbuffer_free(buf);
}

static void
on_https_reply(struct evhttp_request *request, void *arg)
{
	struct link *l = arg;
	struct evbuffer *in;
	char data[5000];
	int n;

	CHECK(request != NULL);
	CHECK_INT(evhttp_request_get_response_code(request), 200);
	in = evhttp_request_get_input_buffer(request);
	while ((n = evbuffer_remove(in, data, sizeof(data))) > 0) {
		h_stream_check(&l->c.in, data, (size_t)n);
		l->c.received += (size_t)n;
	}
	l->c.connected++;
}

static void
test_evhttp(void)
{
	struct link l;
	struct evhttp *http;
	struct evhttp_connection *connection;
	struct evhttp_request *request;
	char port[8];
	int i;

	link_init(&l, 0);
	CHECK((http = evhttp_new(l.base)) != NULL);
	evhttp_set_bevcb(http, https_bufferevent, &l);
	evhttp_set_gencb(http, on_https_request, &l);
	l.s.fd = h_listen(port, sizeof(port));
	h_nonblock(l.s.fd, 1);
	CHECK_INT(evhttp_accept_socket(http, l.s.fd), 0);
	l.c.bev =
	    bufferevent_tls_socket_new(l.base, -1, h_client(l.client_config),
		BUFFEREVENT_TLS_CONNECTING, "localhost", BEV_OPT_CLOSE_ON_FREE);
	connection = evhttp_connection_base_bufferevent_new(l.base, NULL,
	    l.c.bev, "127.0.0.1", (ev_uint16_t)atoi(port));
	CHECK(connection != NULL);
	l.c.bev = NULL;
	for (i = 1; i <= 3; i++) {
		request = evhttp_request_new(on_https_reply, &l);
		evhttp_add_header(evhttp_request_get_output_headers(request),
		    "Host", "localhost");
		CHECK_INT(evhttp_make_request(connection, request,
			      EVHTTP_REQ_GET, "/"),
		    0);
		LOOP_UNTIL(&l, l.c.connected == i);
	}
	CHECK_INT(l.c.received, 300000);
	evhttp_connection_free(connection);
	evhttp_free(http);
	link_free(&l);
}

/* TLS through TLS. */
static void
test_nested(void)
{
	struct link l;
	struct bufferevent *c, *s;

	link_start(&l, 0);
	c = l.c.bev;
	s = l.s.bev;
	l.c.under = c;
	l.s.under = s;
	open_client(&l);
	open_server(&l);
	LOOP_UNTIL(&l, l.c.connected && l.s.connected);
	side_start(&l.c);
	side_start(&l.s);
	bulk(&l);
	end(&l.c, 0);
	LOOP_UNTIL(&l, l.s.what != 0);
	CHECK_INT(l.s.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	link_free(&l);
}

#define ON(fn, KIND)                                                           \
	static void fn##_##KIND(void **state)                                  \
	{                                                                      \
		(void)state;                                                   \
		h_case = NULL;                                                 \
		kind = KIND;                                                   \
		/* libevent's own sockets raise it. */                         \
		signal(SIGPIPE,                                                \
		    kind == SOCKET && h_proxy ? SIG_DFL : SIG_IGN);            \
		fn();                                                          \
	}
#define ON_TWO(fn) ON(fn, SOCKET) ON(fn, FILTER)
#define ON_ALL(fn) ON_TWO(fn) ON(fn, PAIR)

ON_ALL(test_dialogue)
ON_ALL(test_echo)
ON_ALL(test_requests)
ON_ALL(test_bulk)
ON_ALL(test_watermarks)
ON_ALL(test_watermark_stops)
ON_ALL(test_enable)
ON_ALL(test_read_stop)
ON_ALL(test_rate_limit)
ON_ALL(test_close)
ON_ALL(test_close_flushes)
ON_ALL(test_half_close)
ON_ALL(test_timeouts)
ON_ALL(test_handshake_timeout)
ON_TWO(test_connecting)
ON_TWO(test_connect_refused)
ON(test_open, SOCKET)
ON_ALL(test_no_close)
ON_ALL(test_verification)
ON_ALL(test_renew)
ON_ALL(test_free_in_callbacks)
ON_ALL(test_free_any_time)
ON(test_starttls, FILTER)
ON(test_starttls, PAIR)
ON(test_starttls_socket, SOCKET)
ON_TWO(test_reset)
ON_TWO(test_worker_killed)
ON(test_misuse, SOCKET)
ON(test_evhttp, SOCKET)
ON(test_nested, FILTER)

#define TEST(fn, KIND) cmocka_unit_test(fn##_##KIND)
#define TEST_TWO(fn)   TEST(fn, SOCKET), TEST(fn, FILTER)
#define TEST_ALL(fn)   TEST_TWO(fn), TEST(fn, PAIR)

static const struct CMUnitTest tests[] = {
	TEST_ALL(test_dialogue),
	TEST_ALL(test_echo),
	TEST_ALL(test_requests),
	TEST_ALL(test_bulk),
	TEST_ALL(test_watermarks),
	TEST_ALL(test_watermark_stops),
	TEST_ALL(test_enable),
	TEST_ALL(test_read_stop),
	TEST_ALL(test_rate_limit),
	TEST_ALL(test_close),
	TEST_ALL(test_close_flushes),
	TEST_ALL(test_half_close),
	TEST_ALL(test_timeouts),
	TEST_ALL(test_handshake_timeout),
	TEST_TWO(test_connecting),
	TEST_TWO(test_connect_refused),
	TEST(test_open, SOCKET),
	TEST_ALL(test_no_close),
	TEST_ALL(test_verification),
	TEST_ALL(test_renew),
	TEST_ALL(test_free_in_callbacks),
	TEST_ALL(test_free_any_time),
	TEST(test_starttls, FILTER),
	TEST(test_starttls, PAIR),
	TEST(test_starttls_socket, SOCKET),
	TEST_TWO(test_reset),
	TEST_TWO(test_worker_killed),
	TEST(test_misuse, SOCKET),
	TEST(test_evhttp, SOCKET),
	TEST(test_nested, FILTER),
};

static const struct h_peer peers[] = { { NULL, NULL } };

int
main(int argc, char **argv)
{
	if (evthread_use_pthreads() == -1)
		return 1;
	return h_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]),
	    peers, 0);
}
