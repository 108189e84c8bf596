/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_REASON_H
#define HTTPD_REASON_H

#include <stdbool.h>

/* The words that go with a status. */
const char *reason(int status);
bool reason_is_known(int status);

#endif
