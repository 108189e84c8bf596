/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_ESCAPE_H
#define HTTPD_ESCAPE_H

#include <stdio.h>

/* What others have chosen, for a page, for a URL's path and for a log. */
void escape_html(FILE *out, const char *s);
void escape_url(FILE *out, const char *s);
void escape_log(FILE *out, const char *s);

#endif
