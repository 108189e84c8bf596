/* SPDX-License-Identifier: ISC */
/*
 * Whatever bytes come, a decoder accepts nothing that its encoder would not
 * have written. For libFuzzer, or fuzzer.c.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzer.h"
#include "wire.h"

static const unsigned int numbers[] = {
#define F(name, type, field)
#define M(NAME, name, number, sender, channel, min, max, fields) number,
	TLSP_MESSAGES(M, F)
#undef F
#undef M
};

#define NNUMBERS (sizeof(numbers) / sizeof(numbers[0]))

union message {
#define F(name, type, field)
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	struct tlsp_##name name;
	TLSP_MESSAGES(M, F)
#undef F
#undef M
};

static void
expect(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_wire: %s\n", what);
	abort();
}

static void
check_strings(const struct tlsp_message *row, const union message *message,
    const uint8_t *data, size_t size)
{
	const struct tlsp_string *s;
	const struct tlsp_field *f;

	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		if (f->type != TLSP_TYPE_str && f->type != TLSP_TYPE_bytes)
			continue;
		s = (const void *)((const uint8_t *)message + f->offset);
		if (s->len == 0)
			continue;
		expect((const uint8_t *)s->data >= data &&
			   (const uint8_t *)s->data + s->len <= data + size,
		    "a string outside of the message");
		expect(f->type == TLSP_TYPE_bytes ||
			   memchr(s->data, '\0', s->len) == NULL,
		    "a str with a NUL byte");
	}
}

/* The first byte is the number of descriptors, the rest a message. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tlsp_message *row;
	union message message;
	unsigned int version, number;
	uint8_t *again;
	size_t i, nfds;

	if (size == 0)
		return 0;
	nfds = *data++ % (TLSP_WIRE_FDS_MAX + 2);
	size--;
	tlsp_wire_header(data, size, &version, &number);
	for (i = 0; i < NNUMBERS; i++) {
		memset(&message, 0xaa, sizeof(message));
		if (tlsp_wire_decode(data, size, nfds, numbers[i], &message) ==
		    -1)
			continue;
		row = tlsp_wire_message(numbers[i]);
		expect(nfds >= row->min_fds && nfds <= row->max_fds,
		    "a wrong number of descriptors");
		check_strings(row, &message, data, size);
		if ((again = malloc(size)) == NULL)
			abort();
		expect(tlsp_wire_encode(again, size, numbers[i], &message) ==
			       size &&
			   memcmp(again, data, size) == 0,
		    "the message is encoded in another way");
		free(again);
	}
	return 0;
}

#ifdef FUZZ_STANDALONE

/* A message with fields of any value, in the form of an input. */
static size_t
make_message(uint8_t *buf, size_t size)
{
	static char text[64];
	const struct tlsp_message *row;
	const struct tlsp_field *f;
	struct tlsp_string string;
	union message message;
	size_t i, len;

	row = tlsp_wire_message(numbers[fuzz_below(NNUMBERS)]);
	for (i = 0; i < sizeof(message); i++)
		((uint8_t *)&message)[i] = (uint8_t)fuzz_random();
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)(1 + fuzz_below(255));
	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		if (f->type != TLSP_TYPE_str && f->type != TLSP_TYPE_bytes)
			continue;
		string.data = text;
		string.len = fuzz_below(4) == 0 ? 0 : fuzz_below(sizeof(text));
		memcpy((uint8_t *)&message + f->offset, &string,
		    sizeof(string));
	}
	buf[0] = (uint8_t)(row->min_fds +
			   fuzz_below(row->max_fds - row->min_fds + 1));
	len = tlsp_wire_encode(buf + 1, size - 1, row->number, &message);
	expect(len > 0 && len < size, "a message cannot be encoded");
	return len + 1;
}

static size_t
mutate(uint8_t *buf, size_t len, size_t size)
{
	size_t n, at;

	for (n = fuzz_below(4); n > 0 && len > 0; n--) {
		at = fuzz_below(len);
		switch (fuzz_below(6)) {
		case 0:
			buf[at] ^= (uint8_t)(1 << fuzz_below(8));
			break;
		case 1:
			buf[at] = (uint8_t)fuzz_random();
			break;
		case 2: /* the ends of a range */
			buf[at] = fuzz_below(2) ? 0xff : 0;
			break;
		case 3:
			len = at;
			break;
		case 4:
			memmove(buf + at, buf + at + 1, len - at - 1);
			len--;
			break;
		case 5:
			if (len == size)
				break;
			memmove(buf + at + 1, buf + at, len - at);
			buf[at] = (uint8_t)fuzz_random();
			len++;
			break;
		}
	}
	return len;
}

void
fuzz_round(void)
{
	static uint8_t buf[4096];
	size_t len;

	len = make_message(buf, sizeof(buf));
	fuzz_run(buf, len);
	fuzz_run(buf, mutate(buf, len, sizeof(buf)));
}

#endif
