/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_SITE_H
#define HTTPD_SITE_H

#include <sys/queue.h>

#include <stdbool.h>

#include "httpd_config.h"

/*
 * A configuration at work: its listeners are open, its logs as well, and keys
 * are where libtls keeps them. A server goes on with it until the last
 * connection that began with it has ended.
 */
struct site {
	LIST_ENTRY(site) entry;
	struct config *config; /* its own */
	struct tls **contexts; /* in the order of listeners, or NULL */
	bool sendfile;	       /* into the descriptors of TLS connections */
	int users;
};

/*
 * Where a listener of old has the same address and port it is taken over, as
 * a copy of the descriptor. NULL after a message; the configuration is freed
 * then as well.
 */
struct site *site_new(struct config *config, const struct site *old);
/* Everything but listeners and logs, to see whether it would work; 0 or -1. */
int site_check(struct config *config);
void site_ref(struct site *site);
void site_unref(struct site *site);
/* In a new process: frees all others, whoever uses them. */
void site_keep_only(const struct site *site);
/* Opens the logs of all sites again. */
void site_reopen_logs(void);
/* The descriptors alone: nobody listens any more. */
void site_close_listeners(struct site *site);

#endif
