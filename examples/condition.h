/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef CONDITION_H
#define CONDITION_H

#include <sys/types.h>
#include <sys/stat.h>

#include <stdbool.h>
#include <time.h>

#include "request.h"

#define DATE_SIZE 32
#define ETAG_SIZE 64

void http_date(time_t t, char date[DATE_SIZE]);
/* In each of the three forms that HTTP has had. */
bool http_date_parse(const char *date, time_t *t);
void http_etag(const struct stat *st, char etag[ETAG_SIZE]);

/* Whether the file is wanted as it is: 200, 304 or 412. */
int condition_check(const struct request *r, const struct stat *st);
/* Whether Range counts. */
bool condition_range(const struct request *r, const struct stat *st);

#endif
