/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_PARENT_H
#define HTTPD_PARENT_H

#include "httpd_site.h"

/*
 * Starts processes that serve the site, watches over them, and does for them
 * what needs rights: new configurations and logs. Calls ready when all of them
 * serve, at first and after each reload. Takes site over; 0, or -1 after a
 * message.
 */
int parent_run(struct site *site, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *));

#endif
