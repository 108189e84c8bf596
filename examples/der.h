/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef DER_H
#define DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of ASN.1 in DER; BER's indefinite lengths are errors. */
struct der {
	const uint8_t *data;
	size_t len;
};

/*
 * Takes the next element from in, which is left as it was if there is none
 * that is whole.
 */
bool der_take(struct der *in, uint8_t *tag, struct der *content);
/* The same for one that has to have that tag. */
bool der_expect(struct der *in, uint8_t tag, struct der *content);
bool der_equals(const struct der *d, const void *data, size_t len);

#endif
