/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <string.h>

#include "trace.h"
#include "wire.h"

#define F(name, type, field)                                                   \
	{ TLSP_TYPE_##type, offsetof(struct tlsp_##name, field), #field },
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	static const struct tlsp_field name##_fields[] = { fields{             \
	    TLSP_TYPE_end, 0, NULL } };
TLSP_MESSAGES(M, F)
#undef M

static const struct tlsp_message messages[] = {
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	{ number, #NAME, min, max, sizeof(struct tlsp_##name), name##_fields },
	TLSP_MESSAGES(M, F)
#undef M
#undef F
};

#define NMESSAGES (sizeof(messages) / sizeof(messages[0]))

/* Reads or writes a message; the first mistake sticks in bad. */
struct coder {
	const uint8_t *in;
	uint8_t *out;
	size_t size;
	size_t pos;
	int bad;
};

const struct tlsp_message *
tlsp_wire_message(unsigned int number)
{
	size_t i;

	for (i = 0; i < NMESSAGES; i++) {
		if (messages[i].number == number)
			return &messages[i];
	}
	return NULL;
}

const struct tlsp_message *
tlsp_wire_message_named(const char *name)
{
	size_t i;

	for (i = 0; i < NMESSAGES; i++) {
		if (strcmp(messages[i].name, name) == 0)
			return &messages[i];
	}
	return NULL;
}

static uint64_t
get_int(struct coder *c, size_t width)
{
	uint64_t value = 0;

	if (c->size - c->pos < width) {
		c->bad = 1;
		return 0;
	}
	while (width-- > 0)
		value = value << 8 | c->in[c->pos++];
	return value;
}

static struct tlsp_string
get_string(struct coder *c)
{
	struct tlsp_string s = { NULL, 0 };
	size_t len;

	len = (size_t)get_int(c, 4);
	if (c->bad || c->size - c->pos < len) {
		c->bad = 1;
		return s;
	}
	s.data = c->in + c->pos;
	s.len = len;
	c->pos += len;
	return s;
}

/* Counts what does not fit, so that the caller learns the length. */
static void
put_bytes(struct coder *c, const void *data, size_t len)
{
	if (len > 0 && c->pos <= c->size && c->size - c->pos >= len)
		memcpy(c->out + c->pos, data, len);
	c->pos += len;
}

static void
put_int(struct coder *c, uint64_t value, size_t width)
{
	uint8_t buf[8];
	size_t i;

	for (i = width; i > 0; i--) {
		buf[i - 1] = (uint8_t)value;
		value >>= 8;
	}
	put_bytes(c, buf, width);
}

static int
has_nul(const struct tlsp_string *s)
{
	return s->len > 0 && memchr(s->data, '\0', s->len) != NULL;
}

static void
put_string(struct coder *c, const struct tlsp_string *s)
{
	if (s->len > UINT32_MAX) {
		c->bad = 1;
		return;
	}
	put_int(c, s->len, 4);
	put_bytes(c, s->data, s->len);
}

size_t
tlsp_wire_encode(uint8_t *buf, size_t size, unsigned int number,
    const void *message)
{
	struct coder c = { NULL, buf, size, 0, 0 };
	const struct tlsp_message *row = tlsp_wire_message(number);
	const struct tlsp_field *f;

	if (row == NULL)
		return 0;
	if (row->fields[0].type == TLSP_TYPE_mark) {
		put_int(&c, number, 1);
		return c.pos;
	}
	put_int(&c, TLSP_WIRE_VERSION, 2);
	put_int(&c, number, 2);
	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		const void *p = (const uint8_t *)message + f->offset;

		switch (f->type) {
		case TLSP_TYPE_u8:
			put_int(&c, *(const uint8_t *)p, 1);
			break;
		case TLSP_TYPE_u16:
			put_int(&c, *(const uint16_t *)p, 2);
			break;
		case TLSP_TYPE_u32:
			put_int(&c, *(const uint32_t *)p, 4);
			break;
		case TLSP_TYPE_u64:
			put_int(&c, *(const uint64_t *)p, 8);
			break;
		case TLSP_TYPE_i64:
			put_int(&c, (uint64_t) * (const int64_t *)p, 8);
			break;
		case TLSP_TYPE_str:
			if (has_nul(p))
				c.bad = 1;
			put_string(&c, p);
			break;
		case TLSP_TYPE_bytes:
			put_string(&c, p);
			break;
		case TLSP_TYPE_mark:
		case TLSP_TYPE_end:
			c.bad = 1;
			break;
		}
	}
	return c.bad ? 0 : c.pos;
}

int
tlsp_wire_decode(const uint8_t *buf, size_t len, size_t nfds,
    unsigned int number, void *message)
{
	struct coder c = { buf, NULL, len, 0, 0 };
	const struct tlsp_message *row = tlsp_wire_message(number);
	const struct tlsp_field *f;

	int rv;

	if (row == NULL || nfds < row->min_fds || nfds > row->max_fds)
		return -1;
	if (row->fields[0].type == TLSP_TYPE_mark)
		return len == 1 && buf[0] == number ? 0 : -1;
	if (get_int(&c, 2) != TLSP_WIRE_VERSION || get_int(&c, 2) != number)
		return -1;
	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		void *p = (uint8_t *)message + f->offset;

		switch (f->type) {
		case TLSP_TYPE_u8:
			*(uint8_t *)p = (uint8_t)get_int(&c, 1);
			break;
		case TLSP_TYPE_u16:
			*(uint16_t *)p = (uint16_t)get_int(&c, 2);
			break;
		case TLSP_TYPE_u32:
			*(uint32_t *)p = (uint32_t)get_int(&c, 4);
			break;
		case TLSP_TYPE_u64:
			*(uint64_t *)p = get_int(&c, 8);
			break;
		case TLSP_TYPE_i64:
			*(int64_t *)p = (int64_t)get_int(&c, 8);
			break;
		case TLSP_TYPE_str:
			*(struct tlsp_string *)p = get_string(&c);
			if (has_nul(p))
				c.bad = 1;
			break;
		case TLSP_TYPE_bytes:
			*(struct tlsp_string *)p = get_string(&c);
			break;
		case TLSP_TYPE_mark:
		case TLSP_TYPE_end:
			c.bad = 1;
			break;
		}
	}
	rv = c.bad || c.pos != len ? -1 : 0;
	tlsp_trace_received(number, message, len, nfds, rv);
	return rv;
}

int
tlsp_wire_header(const uint8_t *buf, size_t len, unsigned int *version,
    unsigned int *number)
{
	if (len < TLSP_WIRE_HEADER)
		return -1;
	*version = (unsigned int)buf[0] << 8 | buf[1];
	*number = (unsigned int)buf[2] << 8 | buf[3];
	return 0;
}

uint32_t
tlsp_get_u32(const uint8_t *buf)
{
	struct coder c = { buf, NULL, 4, 0, 0 };

	return (uint32_t)get_int(&c, 4);
}

void
tlsp_put_u32(uint8_t *buf, uint32_t value)
{
	struct coder c = { NULL, buf, 4, 0, 0 };

	put_int(&c, value, 4);
}

struct tlsp_string
tlsp_string(const char *s)
{
	struct tlsp_string string = { s, s == NULL ? 0 : strlen(s) };

	return string;
}
