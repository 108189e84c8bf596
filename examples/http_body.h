/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "conn.h"
#include "fetch.h"
#include "http_head.h"
#include "output.h"

/* The data of a reply to a file that is open, checked for its end. */
enum fetch_result http_body_copy(struct conn *c, const struct http_head *h,
    struct output *o);
/*
 * Reads what nobody wants, so that the connection can be used again: whether
 * it can.
 */
bool http_body_skip(struct conn *c, const struct http_head *h);

#endif
