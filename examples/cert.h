/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef CERT_H
#define CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * What a certificate says, for people: nothing is verified here. Texts that
 * are too long are cut, and have no characters that cannot be printed.
 */
struct cert {
	char subject[512], issuer[512];
	time_t not_before, not_after; /* -1 if not understood */
	char names[2048];	      /* "DNS:a.example IP:192.0.2.1" */
};

/* False if it cannot be read. */
bool cert_parse(struct cert *c, const uint8_t *der, size_t len);
/*
 * Decodes the next certificate of PEM in place: false if there is none. *der
 * then points to *der_len bytes, and *pem and *len to what comes behind.
 */
bool cert_next(char **pem, size_t *len, uint8_t **der, size_t *der_len);

#endif
