/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What libtls-proxy adds to the interface of libtls. */

#ifndef TLS_PROXY_H
#define TLS_PROXY_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of this library, such as "0.1.0"; static. A program that runs
 * with any libtls can look the symbol up with dlsym(3) to learn which it has.
 */
const char *tls_proxy_version(void);

#ifdef __cplusplus
}
#endif

#endif
