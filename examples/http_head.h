/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <sys/types.h>

#include <stdbool.h>
#include <time.h>

#include "conn.h"

/* What comes before the data of a reply. */
struct http_head {
	int status;
	char reason[128];
	char location[CONN_LINE];
	bool keep; /* the connection */
	bool chunked;
	off_t length;		  /* of the data, -1 if unknown */
	off_t first, last, total; /* from Content-Range, -1 if unknown */
	time_t modified;	  /* -1 if unknown */
};

/* Parsers of a line; false if it is invalid. */
bool http_head_status(struct http_head *h, const char *line);
bool http_head_field(struct http_head *h, char *line);
/* Digits of that base at *s, which is moved behind them. */
bool http_number(const char **s, int base, off_t *number);

/* The head of the final reply: 1, 0 if the connection ends before, or -1. */
int http_head_read(struct conn *c, struct http_head *h, bool verbose);
/* A reply like that has data. */
bool http_head_has_body(const struct http_head *h);

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void http_date(time_t t, char *text, size_t size);

#endif
