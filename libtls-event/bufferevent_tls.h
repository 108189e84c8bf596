/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Bufferevents of libevent that speak TLS through any libtls; see
 * bufferevent_tls(3). What is true of libevent's bufferevents is true of
 * these: one thread at a time, unless made with BEV_OPT_THREADSAFE.
 */

#ifndef BUFFEREVENT_TLS_H
#define BUFFEREVENT_TLS_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tls;

/* What a context that is given to a bufferevent is, and is to do. */
enum bufferevent_tls_state {
	BUFFEREVENT_TLS_OPEN,	    /* has a connection already */
	BUFFEREVENT_TLS_CONNECTING, /* a client's, to start one */
	BUFFEREVENT_TLS_ACCEPTING,  /* a server's, to accept one */
};

/*
 * Return NULL on failure, and leave everything to the caller then. The name is
 * copied; only CONNECTING uses it.
 */
struct bufferevent *bufferevent_tls_socket_new(struct event_base *_base,
    evutil_socket_t _fd, struct tls *_ctx, enum bufferevent_tls_state _state,
    const char *_servername, int _options);
struct bufferevent *bufferevent_tls_filter_new(struct event_base *_base,
    struct bufferevent *_underlying, struct tls *_ctx,
    enum bufferevent_tls_state _state, const char *_servername, int _options);

/*
 * Starts anew on the same transport after a failed handshake. Returns 0 or -1.
 */
int bufferevent_tls_renew(struct bufferevent *_bev, struct tls *_ctx,
    enum bufferevent_tls_state _state, const char *_servername);

/* The connection's context; NULL if there is none, or for other types. */
struct tls *bufferevent_tls_get_tls(struct bufferevent *_bev);

/* The cause of the first error event, or NULL; valid until the next renewal. */
const char *bufferevent_tls_get_error(struct bufferevent *_bev);

/* Whether an end of the transport without close_notify is an EOF event. */
int bufferevent_tls_get_allow_dirty_shutdown(struct bufferevent *_bev);
void bufferevent_tls_set_allow_dirty_shutdown(struct bufferevent *_bev,
    int _allow);

#ifdef __cplusplus
}
#endif

#endif
