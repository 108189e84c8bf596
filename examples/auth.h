/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef AUTH_H
#define AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "url.h"

#define AUTH_BASIC_MAX 400

/*
 * Looks in path, or in .netrc of the home directory if that is NULL, for who
 * the user is for a server, and puts it into url. A user that is there already
 * is the one to look for. 0, whether or not there was one, or -1 with a
 * message.
 */
int auth_netrc(const char *path, struct url *url);
/* "Basic ..." of url's user and password. */
void auth_basic(const struct url *url, char text[AUTH_BASIC_MAX]);

#endif
