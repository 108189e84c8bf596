/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef PROXY_H
#define PROXY_H

#include "url.h"

/*
 * The proxy that the environment has for url: 1, 0 if there is none, or -1
 * with a message.
 */
int proxy_find(const struct url *url, struct url *proxy);
/* Whether the host of url is in a list as in no_proxy. */
bool proxy_excepts(const char *list, const struct url *url);

#endif
