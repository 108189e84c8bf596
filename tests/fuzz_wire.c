/* SPDX-License-Identifier: ISC */
/*
 * Whatever bytes come, a decoder accepts nothing that its encoder would not
 * have written. For libFuzzer; with FUZZ_STANDALONE a program that mutates
 * messages by itself: "fuzz_wire SECONDS", or "fuzz_wire FILE..." to repeat
 * what was found.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static uint64_t random_state;

static uint64_t
next_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static size_t
below(size_t n)
{
	return (size_t)(next_random() % n);
}

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

	row = tlsp_wire_message(numbers[below(NNUMBERS)]);
	for (i = 0; i < sizeof(message); i++)
		((uint8_t *)&message)[i] = (uint8_t)next_random();
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)(1 + below(255));
	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		if (f->type != TLSP_TYPE_str && f->type != TLSP_TYPE_bytes)
			continue;
		string.data = text;
		string.len = below(4) == 0 ? 0 : below(sizeof(text));
		memcpy((uint8_t *)&message + f->offset, &string,
		    sizeof(string));
	}
	buf[0] =
	    (uint8_t)(row->min_fds + below(row->max_fds - row->min_fds + 1));
	len = tlsp_wire_encode(buf + 1, size - 1, row->number, &message);
	expect(len > 0 && len < size, "a message cannot be encoded");
	return len + 1;
}

static size_t
mutate(uint8_t *buf, size_t len, size_t size)
{
	size_t n, at;

	for (n = below(4); n > 0 && len > 0; n--) {
		at = below(len);
		switch (below(6)) {
		case 0:
			buf[at] ^= (uint8_t)(1 << below(8));
			break;
		case 1:
			buf[at] = (uint8_t)next_random();
			break;
		case 2: /* the ends of a range */
			buf[at] = below(2) ? 0xff : 0;
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
			buf[at] = (uint8_t)next_random();
			len++;
			break;
		}
	}
	return len;
}

/* A copy that is exactly as long, so that a sanitizer sees its end. */
static void
run(const uint8_t *buf, size_t len)
{
	uint8_t *copy;

	if ((copy = malloc(len > 0 ? len : 1)) == NULL)
		abort();
	memcpy(copy, buf, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static int
run_file(const char *path)
{
	static uint8_t buf[1 << 20];
	size_t len;
	FILE *f;

	if ((f = fopen(path, "rb")) == NULL) {
		perror(path);
		return -1;
	}
	len = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	run(buf, len);
	return 0;
}

int
main(int argc, char **argv)
{
	static uint8_t buf[4096];
	unsigned long n = 0;
	time_t end;
	char *rest;
	long seconds;
	size_t len;
	int i, rv = 0;

	seconds = strtol(argc == 2 ? argv[1] : "x", &rest, 10);
	if (*rest != '\0') {
		for (i = 1; i < argc; i++)
			rv |= run_file(argv[i]) == -1;
		return rv;
	}
	/* Each time another one; to have it again: FUZZ_SEED. */
	random_state = (uint64_t)time(NULL);
	if ((rest = getenv("FUZZ_SEED")) != NULL)
		random_state = strtoull(rest, NULL, 10);
	printf("FUZZ_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
	end = time(NULL) + seconds;
	do {
		for (i = 0; i < 1000; i++, n++) {
			len = make_message(buf, sizeof(buf));
			run(buf, len);
			run(buf, mutate(buf, len, sizeof(buf)));
		}
	} while (time(NULL) < end);
	printf("%lu messages\n", n);
	return 0;
}

#endif
