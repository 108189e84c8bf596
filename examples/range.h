/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef RANGE_H
#define RANGE_H

#include <sys/types.h>

#include <stddef.h>

#define RANGES_MAX 32

struct range {
	off_t first, count;
};

/*
 * The parts of a file of that size which the field wants: 206 with at least
 * one, 416, or 200 where it is not understood, wants more than RANGES_MAX or
 * more than all of it.
 */
int range_parse(const char *field, off_t size, struct range ranges[RANGES_MAX],
    size_t *n);

#endif
