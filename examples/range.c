/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The parts of a file that a client wants. */

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "range.h"

static bool
parse_number(const char **s, off_t *number)
{
	const char *p = *s;
	off_t n = 0;

	while (isdigit((unsigned char)*p)) {
		if (n > (INT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (*p++ - '0');
	}
	if (p == *s)
		return false;
	*s = p;
	*number = n;
	return true;
}

/*
 * One of "first-last", "first-" or "-count". Its count is 0 where the file has
 * nothing of it; false if it is none of the three.
 */
static bool
parse_one(const char **s, off_t size, struct range *range)
{
	off_t from, to = size - 1;

	range->first = range->count = 0;
	if (**s == '-') {
		++*s;
		if (!parse_number(s, &to))
			return false;
		range->count = to < size ? to : size;
		range->first = size - range->count;
		return true;
	}
	if (!parse_number(s, &from) || *(*s)++ != '-')
		return false;
	if (isdigit((unsigned char)**s) && (!parse_number(s, &to) || to < from))
		return false;
	if (from >= size)
		return true;
	if (to >= size)
		to = size - 1;
	range->first = from;
	range->count = to - from + 1;
	return true;
}

int
range_parse(const char *s, off_t size, struct range ranges[RANGES_MAX],
    size_t *n)
{
	struct range range;
	off_t total = 0;

	*n = 0;
	if (s == NULL || strncasecmp(s, "bytes=", 6) != 0)
		return 200;
	s += 6;
	for (;;) {
		s += strspn(s, " \t");
		if (!parse_one(&s, size, &range))
			return 200;
		if (range.count > 0) {
			/* Who asks for much more than there is means harm. */
			if (*n == RANGES_MAX || range.count > size - total)
				return 200;
			ranges[(*n)++] = range;
			total += range.count;
		}
		s += strspn(s, " \t");
		if (*s == '\0')
			return *n > 0 ? 206 : 416;
		if (*s++ != ',')
			return 200;
	}
}
