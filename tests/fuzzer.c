/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzzer.h"

static uint64_t random_state;
static unsigned long ninputs;

uint64_t
fuzz_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

size_t
fuzz_below(size_t n)
{
	return (size_t)(fuzz_random() % n);
}

void
fuzz_run(const uint8_t *buf, size_t len)
{
	uint8_t *copy;

	if ((copy = malloc(len > 0 ? len : 1)) == NULL)
		abort();
	memcpy(copy, buf, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	ninputs++;
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
	fuzz_run(buf, len);
	return 0;
}

int
main(int argc, char *argv[])
{
	time_t end;
	char *rest;
	long seconds;
	int i, rv = 0;

	seconds = strtol(argc == 2 ? argv[1] : "x", &rest, 10);
	if (*rest != '\0') {
		for (i = 1; i < argc; i++)
			rv |= run_file(argv[i]) == -1;
		return rv;
	}
	/* Each time another one. */
	random_state = (uint64_t)time(NULL);
	if ((rest = getenv("FUZZ_SEED")) != NULL)
		random_state = strtoull(rest, NULL, 10);
	printf("FUZZ_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
	end = time(NULL) + seconds;
	do {
		for (i = 0; i < 100; i++)
			fuzz_round();
	} while (time(NULL) < end);
	printf("%lu inputs\n", ninputs);
	return 0;
}
