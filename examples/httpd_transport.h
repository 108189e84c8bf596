/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_TRANSPORT_H
#define HTTPD_TRANSPORT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include <tls.h>

/*
 * Has connections' descriptors carry plaintext where libtls can do that and
 * the environment does not say otherwise; false where it is to be left to
 * tls_write(3).
 */
bool transport_set_plaintext(struct tls_config *config);
/* sendfile(2) from an offset; -1 and ENOSYS where there is none. */
ssize_t transport_sendfile(int to, int from, off_t offset, size_t size);
bool transport_has_sendfile(void);

#endif
