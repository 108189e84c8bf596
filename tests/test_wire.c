/* SPDX-License-Identifier: ISC */
/*
 * The C codec and the golden vectors that the Go codec reads as well.
 * TEST_VECTORS in the environment is their directory; its README is the
 * format.
 */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "wire.h"

/* Those of the link between keeper and worker; the C library has none. */
static const char *const go_only[] = { "CONFIG", "CONFIG_READY",
	"CONFIG_CLOSED", "CONFIG_UPDATE", "REFRESH", "OVERFLOW",
	"OVERFLOW_REPLY", "SIGN", "SIGN_REPLY", "KEY_DONE", "DRAIN",
	"NO_WORKER", "REPORT_WORKER" };

/* Everything between "vector" and "end". */
struct vector {
	char title[256];
	const struct tlsp_message *row;
	int go_only;
	int ok; /* -1: not said */
	long fds;
	size_t nfields;
	uint8_t *fields; /* the message's structure */
	uint8_t *strings[32];
	size_t nstrings;
	uint8_t *bytes;
	size_t len;
};

struct counts {
	int ok, error;
};

/* Appends the bytes of hexadecimal digits with blanks between them. */
static void
parse_hex(const char *hex, uint8_t **bytes, size_t *len)
{
	unsigned int digit;
	int half = -1;

	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		if (*hex >= '0' && *hex <= '9')
			digit = (unsigned int)(*hex - '0');
		else if (*hex >= 'a' && *hex <= 'f')
			digit = (unsigned int)(*hex - 'a' + 10);
		else
			FAIL("not a digit: '%c'", *hex);
		if (half == -1) {
			half = (int)digit;
			continue;
		}
		CHECK((*bytes = realloc(*bytes, *len + 1)) != NULL);
		(*bytes)[(*len)++] = (uint8_t)((unsigned int)half << 4 | digit);
		half = -1;
	}
	CHECK_INT(half, -1);
}

static void
parse_number(const struct tlsp_field *f, const char *value, uint8_t *to)
{
	uint64_t number;
	char *end;

	errno = 0;
	if (f->type == TLSP_TYPE_i64)
		number = (uint64_t)strtoll(value, &end, 10);
	else
		number = strtoull(value, &end, 10);
	CHECK_INT(errno, 0);
	CHECK_STR(end, "");
	switch (f->type) {
	case TLSP_TYPE_u8:
		CHECK(number <= UINT8_MAX);
		*to = (uint8_t)number;
		break;
	case TLSP_TYPE_u16: {
		uint16_t u16 = (uint16_t)number;

		CHECK(number <= UINT16_MAX);
		memcpy(to, &u16, sizeof(u16));
		break;
	}
	case TLSP_TYPE_u32: {
		uint32_t u32 = (uint32_t)number;

		CHECK(number <= UINT32_MAX);
		memcpy(to, &u32, sizeof(u32));
		break;
	}
	default:
		memcpy(to, &number, sizeof(number));
		break;
	}
}

static void
parse_field(struct vector *v, char *line)
{
	const struct tlsp_field *f;
	struct tlsp_string string;
	uint8_t *bytes = NULL;
	size_t len = 0;
	char *value;

	CHECK((value = strchr(line, ' ')) != NULL);
	*value++ = '\0';
	if (v->go_only)
		return;
	CHECK(v->row != NULL);
	f = &v->row->fields[v->nfields++];
	CHECK(f->type != TLSP_TYPE_end);
	CHECK_STR(line, f->name);
	if (f->type != TLSP_TYPE_str && f->type != TLSP_TYPE_bytes) {
		parse_number(f, value, v->fields + f->offset);
		return;
	}
	if (strcmp(value, "-") != 0)
		parse_hex(value, &bytes, &len);
	CHECK(v->nstrings < sizeof(v->strings) / sizeof(v->strings[0]));
	v->strings[v->nstrings++] = bytes;
	string.data = bytes;
	string.len = len;
	memcpy(v->fields + f->offset, &string, sizeof(string));
}

static void
set_message(struct vector *v, const char *name)
{
	size_t i;

	CHECK(v->row == NULL && !v->go_only);
	for (i = 0; i < sizeof(go_only) / sizeof(go_only[0]); i++) {
		if (strcmp(name, go_only[i]) == 0) {
			v->go_only = 1;
			return;
		}
	}
	if ((v->row = tlsp_wire_message_named(name)) == NULL)
		FAIL("no message %s", name);
	CHECK((v->fields = calloc(1, v->row->size)) != NULL);
}

/* Two messages of a row have the same fields. */
static void
check_fields(const struct tlsp_message *row, const uint8_t *got,
    const uint8_t *want)
{
	const struct tlsp_string *a, *b;
	const struct tlsp_field *f;

	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		switch (f->type) {
		case TLSP_TYPE_u8:
			CHECK_MEM(got + f->offset, want + f->offset, 1);
			break;
		case TLSP_TYPE_u16:
			CHECK_MEM(got + f->offset, want + f->offset, 2);
			break;
		case TLSP_TYPE_u32:
			CHECK_MEM(got + f->offset, want + f->offset, 4);
			break;
		case TLSP_TYPE_u64:
		case TLSP_TYPE_i64:
			CHECK_MEM(got + f->offset, want + f->offset, 8);
			break;
		case TLSP_TYPE_str:
		case TLSP_TYPE_bytes:
			a = (const void *)(got + f->offset);
			b = (const void *)(want + f->offset);
			CHECK_INT(a->len, b->len);
			CHECK_MEM(a->data, b->data, a->len);
			break;
		case TLSP_TYPE_mark:
		case TLSP_TYPE_end:
			break;
		}
	}
}

/*
 * Decodes a copy that is exactly as long, so that a sanitizer sees a read
 * beyond its end.
 */
static int
decode(const struct tlsp_message *row, const uint8_t *bytes, size_t len,
    size_t nfds, uint8_t *message)
{
	uint8_t *copy;
	int rv;

	CHECK((copy = malloc(len > 0 ? len : 1)) != NULL);
	memcpy(copy, bytes, len);
	rv = tlsp_wire_decode(copy, len, nfds, row->number, message);
	free(copy);
	return rv;
}

static void
check_good(const struct vector *v)
{
	const struct tlsp_field *last = &v->row->fields[v->nfields];
	uint8_t *message, *longer, *encoded;
	size_t len;
	int byte;

	CHECK(last->type == TLSP_TYPE_end || last->type == TLSP_TYPE_mark);
	CHECK((message = calloc(1, v->row->size)) != NULL);
	CHECK_INT(tlsp_wire_decode(v->bytes, v->len, (size_t)v->fds,
		      v->row->number, message),
	    0);
	check_fields(v->row, message, v->fields);

	CHECK((encoded = malloc(v->len)) != NULL);
	CHECK_INT(tlsp_wire_encode(encoded, v->len, v->row->number, v->fields),
	    v->len);
	CHECK_MEM(encoded, v->bytes, v->len);
	/* The length is known without room for it. */
	CHECK_INT(tlsp_wire_encode(NULL, 0, v->row->number, v->fields), v->len);
	free(encoded);

	for (len = 0; len < v->len; len++)
		CHECK_INT(
		    decode(v->row, v->bytes, len, (size_t)v->fds, message), -1);
	CHECK((longer = malloc(v->len + 1)) != NULL);
	memcpy(longer, v->bytes, v->len);
	for (byte = 0; byte < 256; byte++) {
		longer[v->len] = (uint8_t)byte;
		CHECK_INT(
		    decode(v->row, longer, v->len + 1, (size_t)v->fds, message),
		    -1);
	}
	free(longer);
	CHECK_INT(
	    decode(v->row, v->bytes, v->len, v->row->max_fds + 1, message), -1);
	if (v->row->min_fds > 0)
		CHECK_INT(decode(v->row, v->bytes, v->len, v->row->min_fds - 1,
			      message),
		    -1);
	free(message);
}

static void
end_vector(struct vector *v, struct counts *counts)
{
	uint8_t *message;

	CHECK(v->ok != -1);
	CHECK(v->fds >= 0);
	CHECK(v->row != NULL || v->go_only);
	if (!v->go_only && v->ok) {
		check_good(v);
		counts[v->row->number].ok++;
	} else if (!v->go_only) {
		CHECK_INT(v->nfields, 0);
		CHECK((message = calloc(1, v->row->size)) != NULL);
		CHECK_INT(
		    decode(v->row, v->bytes, v->len, (size_t)v->fds, message),
		    -1);
		free(message);
		counts[v->row->number].error++;
	}
	while (v->nstrings > 0)
		free(v->strings[--v->nstrings]);
	free(v->fields);
	free(v->bytes);
}

static void
read_vectors(FILE *f, const char *file, struct counts *counts)
{
	static char line[65536], where[512];
	struct vector v;
	char *key, *value;
	int open = 0, number = 0;

	while (fgets(line, sizeof(line), f) != NULL) {
		number++;
		CHECK(strchr(line, '\n') != NULL || feof(f));
		line[strcspn(line, "#\n")] = '\0';
		for (key = line + strlen(line); key > line && key[-1] == ' ';)
			*--key = '\0';
		if (*line == '\0')
			continue;
		snprintf(where, sizeof(where), "%s:%d: %.200s", file, number,
		    open ? v.title : "");
		h_case = where;
		key = line;
		if ((value = strchr(line, ' ')) != NULL)
			*value++ = '\0';
		if (strcmp(key, "vector") == 0) {
			CHECK(!open && value != NULL);
			memset(&v, 0, sizeof(v));
			v.ok = -1;
			v.fds = -1;
			snprintf(v.title, sizeof(v.title), "%.250s", value);
			open = 1;
			continue;
		}
		CHECK(open);
		if (strcmp(key, "end") == 0 && value == NULL) {
			end_vector(&v, counts);
			open = 0;
			continue;
		}
		CHECK(value != NULL || strcmp(key, "bytes") == 0);
		if (strcmp(key, "message") == 0)
			set_message(&v, value);
		else if (strcmp(key, "expect") == 0) {
			v.ok = strcmp(value, "ok") == 0;
			CHECK(v.ok || strcmp(value, "error") == 0);
		} else if (strcmp(key, "fds") == 0)
			v.fds = strtol(value, NULL, 10);
		else if (strcmp(key, "field") == 0)
			parse_field(&v, value);
		else if (strcmp(key, "bytes") == 0)
			parse_hex(value != NULL ? value : "", &v.bytes, &v.len);
		else
			FAIL("unknown key %s", key);
	}
	CHECK(!open);
	h_case = NULL;
}

static void
vectors(void **state)
{
	static struct counts counts[65536];
	const struct tlsp_message *row;
	char path[1024];
	struct dirent *e;
	const char *dir, *dot;
	unsigned int number;
	int files = 0;
	DIR *d;
	FILE *f;

	(void)state;
	if ((dir = getenv("TEST_VECTORS")) == NULL)
		FAIL("TEST_VECTORS is not set");
	if ((d = opendir(dir)) == NULL)
		FAIL("%s: %s", dir, strerror(errno));
	while ((e = readdir(d)) != NULL) {
		dot = strrchr(e->d_name, '.');
		if (dot == NULL || strcmp(dot, ".txt") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if ((f = fopen(path, "re")) == NULL)
			FAIL("%s: %s", path, strerror(errno));
		read_vectors(f, e->d_name, counts);
		fclose(f);
		files++;
	}
	closedir(d);
	CHECK(files > 0);
	for (number = 0; number < 65536; number++) {
		if ((row = tlsp_wire_message(number)) == NULL)
			continue;
		h_case = row->name;
		CHECK(counts[number].ok > 0);
		CHECK(counts[number].error > 0);
	}
	h_case = NULL;
}

/* A str is a C string: what has a NUL byte is not sent. */
static void
unencodable(void **state)
{
	static const char text[] = "a\0b";
	struct tlsp_failed failed = { .error = { text, 3 } };
	struct tlsp_keypair keypair = { .certificate = { text, 3 } };
	uint8_t buf[64];

	(void)state;
	CHECK_INT(tlsp_wire_encode(buf, sizeof(buf), TLSP_FAILED, &failed), 0);
	failed.error.len = 1;
	CHECK_INT(tlsp_wire_encode(buf, sizeof(buf), TLSP_FAILED, &failed), 9);
	CHECK_INT(tlsp_wire_encode(buf, sizeof(buf), TLSP_KEYPAIR, &keypair),
	    15);
	CHECK_INT(tlsp_wire_encode(buf, sizeof(buf), 0x7fff, &failed), 0);
	CHECK(tlsp_wire_message(0x7fff) == NULL);
	CHECK(tlsp_wire_message_named("NO_SUCH") == NULL);
}

/* A version that is not ours can be read, so that it can be named. */
static void
header(void **state)
{
	static const uint8_t buf[] = { 0x12, 0x34, 0x56, 0x78 };
	unsigned int version = 0, number = 0;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(buf); len++)
		CHECK_INT(tlsp_wire_header(buf, len, &version, &number), -1);
	CHECK_INT(tlsp_wire_header(buf, sizeof(buf), &version, &number), 0);
	CHECK_INT(version, 0x1234);
	CHECK_INT(number, 0x5678);
	CHECK_INT(tlsp_get_u32(buf), 0x12345678);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(vectors),
	cmocka_unit_test(unencodable),
	cmocka_unit_test(header),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
