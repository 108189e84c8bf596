/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * How libevent defines a type of bufferevents. 2.1 and 2.2 export this for
 * their own libevent_openssl and declare it in no header that they install, so
 * this file alone depends on their insides, and what it says is verified when
 * a bufferevent is made: see type_verify().
 */

#ifndef BUFFEREVENT_TYPE_H
#define BUFFEREVENT_TYPE_H

#include <sys/types.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
/* Needs the one before. */
#include <event2/bufferevent_struct.h>

#if LIBEVENT_VERSION_NUMBER < 0x02010000 ||                                    \
    LIBEVENT_VERSION_NUMBER >= 0x02030000
#error "libtls_event knows the bufferevents of libevent 2.1 and 2.2"
#endif

enum bufferevent_ctrl_op {
	BEV_CTRL_SET_FD,
	BEV_CTRL_GET_FD,
	BEV_CTRL_GET_UNDERLYING,
	BEV_CTRL_CANCEL_ALL, /* the program has freed its reference */
};

union bufferevent_ctrl_data {
	void *ptr;
	evutil_socket_t fd;
};

/* All are called with the bufferevent's lock held. */
struct bufferevent_ops {
	const char *type;
	off_t mem_offset; /* of struct bufferevent in what was allocated */
	/* Also for what suspends and resumes: watermarks, rate limits. */
	int (*enable)(struct bufferevent *, short);
	int (*disable)(struct bufferevent *, short);
	void (*unlink)(struct bufferevent *);	/* no reference is left */
	void (*destruct)(struct bufferevent *); /* and no callback runs */
	int (*adj_timeouts)(struct bufferevent *);
	int (*flush)(struct bufferevent *, short, enum bufferevent_flush_mode);
	int (*ctrl)(struct bufferevent *, enum bufferevent_ctrl_op,
	    union bufferevent_ctrl_data *);
};

/* Begins with a struct bufferevent, as mem_offset says. */
struct bufferevent_private;

int bufferevent_decrement_read_buckets_(struct bufferevent_private *bev,
    ev_ssize_t bytes);
int bufferevent_decrement_write_buckets_(struct bufferevent_private *bev,
    ev_ssize_t bytes);
/* With NULL: the lock of the underlying bufferevent, or a new one for both. */
int bufferevent_enable_locking_(struct bufferevent *bev, void *lock);

#endif
