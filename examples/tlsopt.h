/* SPDX-License-Identifier: ISC */

#ifndef TLSOPT_H
#define TLSOPT_H

#include <stddef.h>

#include <tls.h>

/*
 * Applies a list such as "cafile=ca.pem,noverifytime,protocols=tlsv1.3" to a
 * configuration; -1 with the cause in errbuf.
 */
int tlsopt_apply(struct tls_config *config, const char *list, char *errbuf,
    size_t errlen);
/* The same, but without what says who the user is: cert and key. */
int tlsopt_apply_public(struct tls_config *config, const char *list,
    char *errbuf, size_t errlen);

#endif
