/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_SERVE_H
#define HTTPD_SERVE_H

#include <sys/queue.h>

#include <stdbool.h>

#include <event2/event.h>

#include "httpd_site.h"

struct client;

/* A process that serves. */
struct serve {
	struct event_base *base;
	struct site *site; /* for new clients; its listeners are accepted on */
	struct accepting *accepting; /* one for each listener */
	size_t naccepting;
	struct event *resume; /* after a pause of accepting */
	struct event *grace;  /* the end of the last clients' time */
	struct event *signals[4];
	struct event *on_control;
	int control; /* the channel to the parent, or -1 */
	int (*ready)(struct site *);
	struct site *(*reload)(const struct site *old);
	bool draining; /* ends when the last client has gone */
	int nclients;
	LIST_HEAD(, client) clients;
};

/*
 * Serves until told to end. With a parent, to which control leads, it says
 * that it is ready; without one, when control is -1, ready is called, and
 * reload makes another site at SIGHUP, for which ready is called again. Takes
 * site over; 0, or -1 after a message.
 */
int serve_run(struct site *site, int control, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *));

/* A client has left the list. */
void serve_client_gone(struct serve *serve);

#endif
