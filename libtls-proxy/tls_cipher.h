/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * What a cipher string and a list of curves mean. No cryptography: names and
 * numbers only, so that a setter can refuse what it must without goproxy.
 */

#ifndef TLS_CIPHER_H
#define TLS_CIPHER_H

#include <stddef.h>
#include <stdint.h>

/* What LibreSSL has without an "@SECLEVEL=" in the cipher string. */
#define TLS_SECURITY_LEVEL_DEFAULT 1

/*
 * Expands a cipher string, or a name that libtls has for one, as LibreSSL
 * does. Gives the suites in their order of preference; *ids is the caller's.
 * Returns 0, or -1 with errno: EINVAL if the string is not valid or selects
 * nothing, ENOMEM. *expanded is set in any case, for the error text: it is the
 * string itself or static.
 */
int tls_cipher_list(const char *ciphers, uint16_t **ids, size_t *nids,
    const char **expanded);

/* The level that the string asks for, from 0 to 5, or -1 if it is not valid. */
int tls_cipher_security_level(const char *ciphers);

/* Whether a suite may be negotiated at a level; a list says nothing of that. */
int tls_cipher_permitted(uint16_t id, int security_level);

/* The name as tls_conn_cipher() gives it; NULL if there is no such suite. */
const char *tls_cipher_name(uint16_t id);
/* The strength as tls_conn_cipher_strength() gives it; 0 as well if unknown. */
int tls_cipher_strength(uint16_t id);

/*
 * Turns a list of curves, or NULL or "default", into numbers of TLS groups;
 * *groups is the caller's. Returns
 *  0  if all names are groups;
 *  1  if all names are known, but one is no group: the setter of libtls takes
 *     such a list, and what uses the configuration then fails. *groups and *n
 *     are untouched;
 * -1  with errno: EINVAL with the name that is not known in bad, cut to its
 *     size, or ENOMEM.
 */
int tls_curve_list(const char *curves, uint16_t **groups, size_t *n, char *bad,
    size_t badsize);

#endif
