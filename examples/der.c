/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The little of ASN.1 that the examples read. */

#include <string.h>

#include "der.h"

bool
der_take(struct der *in, uint8_t *tag, struct der *content)
{
	const uint8_t *p = in->data;
	size_t left = in->len, len, bytes;

	/* Tags of more than one byte are in nothing that is read here. */
	if (left < 2 || (p[0] & 0x1f) == 0x1f)
		return false;
	len = p[1];
	left -= 2;
	p += 2;
	if (len & 0x80) {
		bytes = len & 0x7f;
		if (bytes == 0 || bytes > 4 || bytes > left)
			return false;
		left -= bytes;
		for (len = 0; bytes > 0; bytes--)
			len = len << 8 | *p++;
	}
	if (len > left)
		return false;
	*tag = in->data[0];
	content->data = p;
	content->len = len;
	in->data = p + len;
	in->len = left - len;
	return true;
}

bool
der_expect(struct der *in, uint8_t tag, struct der *content)
{
	struct der next = *in;
	uint8_t got;

	if (!der_take(&next, &got, content) || got != tag)
		return false;
	*in = next;
	return true;
}

bool
der_equals(const struct der *d, const void *data, size_t len)
{
	return d->len == len && memcmp(d->data, data, len) == 0;
}
