/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * What takes libFuzzer's place where a fuzz target is a program of its own,
 * with FUZZ_STANDALONE: "TARGET SECONDS" makes inputs up, "TARGET FILE..."
 * repeats what was found. The environment's FUZZ_SEED repeats a run.
 */

#ifndef FUZZER_H
#define FUZZER_H

#include <stddef.h>
#include <stdint.h>

/* The target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The target's as well: makes up an input, or a few, for fuzz_run(). */
void fuzz_round(void);

uint64_t fuzz_random(void);
/* 0 to n - 1. */
size_t fuzz_below(size_t n);
/* On a copy that is exactly as long, so that a sanitizer sees its end. */
void fuzz_run(const uint8_t *buf, size_t len);

#endif
