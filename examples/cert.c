/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What certificates say. */

#include <arpa/inet.h>
#include <sys/socket.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cert.h"
#include "der.h"

enum {
	OBJECT = 0x06,
	OCTETS = 0x04,
	UTC_TIME = 0x17,
	TIME = 0x18,
	SEQUENCE = 0x30,
	SET = 0x31,
	VERSION = 0xa0,
	EXTENSIONS = 0xa3,
	/* In a list of names. */
	NAME_EMAIL = 0x81,
	NAME_DNS = 0x82,
	NAME_URI = 0x86,
	NAME_IP = 0x87,
};

/* A buffer that is filled as far as it goes. */
struct text {
	char *data;
	size_t size, len;
};

static const struct {
	const char *name;
	uint8_t oid[10];
	size_t len;
} attributes[] = {
	{ "CN", { 0x55, 4, 3 }, 3 },
	{ "serialNumber", { 0x55, 4, 5 }, 3 },
	{ "C", { 0x55, 4, 6 }, 3 },
	{ "L", { 0x55, 4, 7 }, 3 },
	{ "ST", { 0x55, 4, 8 }, 3 },
	{ "street", { 0x55, 4, 9 }, 3 },
	{ "O", { 0x55, 4, 10 }, 3 },
	{ "OU", { 0x55, 4, 11 }, 3 },
	{ "emailAddress", { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1 }, 9 },
	{ "DC", { 9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25 }, 10 },
};

__attribute__((format(printf, 2, 3))) static void
append(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->data + t->len, t->size - t->len, format, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
	if (t->len >= t->size)
		t->len = t->size - 1;
}

static void
append_bytes(struct text *t, const struct der *d)
{
	size_t i;

	for (i = 0; i < d->len && t->len + 1 < t->size; i++)
		append(t, "%c", isprint(d->data[i]) ? d->data[i] : '?');
}

/* "2.5.4.97" */
static void
append_object(struct text *t, const struct der *oid)
{
	unsigned long n = 0;
	bool first = true;
	size_t i;

	for (i = 0; i < oid->len; i++) {
		n = n << 7 | (oid->data[i] & 0x7f);
		if (oid->data[i] & 0x80)
			continue;
		if (first && n < 80)
			append(t, "%lu.%lu", n / 40, n % 40);
		else if (first)
			append(t, "2.%lu", n - 80);
		else
			append(t, ".%lu", n);
		first = false;
		n = 0;
	}
}

static void
append_attribute(struct text *t, const struct der *oid, const struct der *value)
{
	size_t i, count = sizeof(attributes) / sizeof(attributes[0]);

	for (i = 0; i < count; i++)
		if (der_equals(oid, attributes[i].oid, attributes[i].len))
			break;
	append(t, "/");
	if (i < count)
		append(t, "%s", attributes[i].name);
	else
		append_object(t, oid);
	append(t, "=");
	append_bytes(t, value);
}

/* "/C=XX/CN=name" */
static bool
parse_name(char *out, size_t size, struct der name)
{
	struct text t = { .data = out, .size = size };
	struct der set, pair, oid, value;
	uint8_t tag;

	*out = '\0';
	while (name.len > 0) {
		if (!der_expect(&name, SET, &set))
			return false;
		while (set.len > 0) {
			if (!der_expect(&set, SEQUENCE, &pair) ||
			    !der_expect(&pair, OBJECT, &oid) ||
			    !der_take(&pair, &tag, &value))
				return false;
			append_attribute(&t, &oid, &value);
		}
	}
	return true;
}

static time_t
parse_time(uint8_t tag, const struct der *d)
{
	char digits[16];
	struct tm tm = { 0 };
	const char *end;
	size_t i, years = tag == UTC_TIME ? 2 : 4;

	if ((tag != UTC_TIME && tag != TIME) || d->len != years + 11 ||
	    d->data[d->len - 1] != 'Z')
		return -1;
	for (i = 0; i < d->len - 1; i++)
		if (!isdigit(d->data[i]))
			return -1;
	/* RFC 5280: years of two digits go from 1950 to 2049. */
	snprintf(digits, sizeof(digits), "%s%.*s",
	    years == 4		? ""
	    : d->data[0] >= '5' ? "19"
				: "20",
	    (int)d->len - 1, (const char *)d->data);
	end = strptime(digits, "%Y%m%d%H%M%S", &tm);
	return end != NULL && *end == '\0' ? timegm(&tm) : -1;
}

static bool
parse_validity(struct cert *c, struct der validity)
{
	struct der before, after;
	uint8_t before_tag, after_tag;

	if (!der_take(&validity, &before_tag, &before) ||
	    !der_take(&validity, &after_tag, &after))
		return false;
	c->not_before = parse_time(before_tag, &before);
	c->not_after = parse_time(after_tag, &after);
	return true;
}

static void
append_address(struct text *t, const struct der *d)
{
	char address[INET6_ADDRSTRLEN];

	if ((d->len == 4 || d->len == 16) &&
	    inet_ntop(d->len == 4 ? AF_INET : AF_INET6, d->data, address,
		sizeof(address)) != NULL)
		append(t, "%s", address);
}

static bool
parse_names(struct cert *c, struct der octets)
{
	struct text t = { .data = c->names, .size = sizeof(c->names) };
	struct der list, name;
	uint8_t tag;

	if (!der_expect(&octets, SEQUENCE, &list))
		return false;
	while (list.len > 0) {
		if (!der_take(&list, &tag, &name))
			return false;
		if (tag != NAME_DNS && tag != NAME_IP && tag != NAME_EMAIL &&
		    tag != NAME_URI)
			continue;
		append(&t, "%s%s:", t.len > 0 ? " " : "",
		    tag == NAME_DNS	? "DNS"
		    : tag == NAME_IP	? "IP"
		    : tag == NAME_EMAIL ? "email"
					: "URI");
		if (tag == NAME_IP)
			append_address(&t, &name);
		else
			append_bytes(&t, &name);
	}
	return true;
}

static bool
parse_extensions(struct cert *c, struct der wrapped)
{
	static const uint8_t alt_name[] = { 0x55, 0x1d, 0x11 };
	struct der list, extension, oid, value;
	uint8_t tag;

	if (!der_expect(&wrapped, SEQUENCE, &list))
		return false;
	while (list.len > 0) {
		if (!der_expect(&list, SEQUENCE, &extension) ||
		    !der_expect(&extension, OBJECT, &oid))
			return false;
		/* Whether it is critical may stand in between. */
		do
			if (!der_take(&extension, &tag, &value))
				return false;
		while (tag != OCTETS);
		if (der_equals(&oid, alt_name, sizeof(alt_name)) &&
		    !parse_names(c, value))
			return false;
	}
	return true;
}

bool
cert_parse(struct cert *c, const uint8_t *der, size_t len)
{
	struct der in = { .data = der, .len = len };
	struct der all, tbs, part, issuer, validity, subject;
	uint8_t tag;

	memset(c, 0, sizeof(*c));
	c->not_before = c->not_after = -1;
	if (!der_expect(&in, SEQUENCE, &all) || in.len > 0 ||
	    !der_expect(&all, SEQUENCE, &tbs))
		return false;
	(void)der_expect(&tbs, VERSION, &part);
	if (!der_take(&tbs, &tag, &part) || /* serial number */
	    !der_take(&tbs, &tag, &part) || /* signature's algorithm */
	    !der_expect(&tbs, SEQUENCE, &issuer) ||
	    !der_expect(&tbs, SEQUENCE, &validity) ||
	    !der_expect(&tbs, SEQUENCE, &subject) ||
	    !der_take(&tbs, &tag, &part) || /* public key */
	    !parse_name(c->issuer, sizeof(c->issuer), issuer) ||
	    !parse_validity(c, validity) ||
	    !parse_name(c->subject, sizeof(c->subject), subject))
		return false;
	while (tbs.len > 0) {
		if (!der_take(&tbs, &tag, &part) ||
		    (tag == EXTENSIONS && !parse_extensions(c, part)))
			return false;
	}
	return true;
}

static int
digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

bool
cert_next(char **pem, size_t *len, uint8_t **der, size_t *der_len)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	static const char end[] = "-----END CERTIFICATE-----";
	char *p, *stop, *out;
	unsigned int bits = 0;
	int value, have = 0;

	if ((p = memmem(*pem, *len, begin, strlen(begin))) == NULL)
		return false;
	p += strlen(begin);
	stop = memmem(p, *len - (size_t)(p - *pem), end, strlen(end));
	if (stop == NULL)
		return false;
	*der = (uint8_t *)p;
	for (out = p; p < stop; p++) {
		if ((value = digit(*p)) == -1)
			continue;
		bits = bits << 6 | (unsigned int)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*out++ = (char)(bits >> have);
		}
	}
	*der_len = (size_t)(out - (char *)*der);
	*len -= (size_t)(stop - *pem);
	*pem = stop;
	return true;
}
