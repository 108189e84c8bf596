/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTP_H
#define HTTP_H

#include "conn.h"
#include "fetch.h"
#include "output.h"
#include "url.h"

/* The connection that is kept for the next URL; zero is none. */
struct http {
	struct conn *conn;
	struct url server; /* that it leads to */
	bool user;	   /* the server may know who the user is */
};

enum fetch_result http_fetch(struct fetch *f, struct http *h,
    const struct url *url, struct output *o);
void http_close(struct http *h);

#endif
