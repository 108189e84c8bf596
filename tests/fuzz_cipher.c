/* SPDX-License-Identifier: ISC */
/*
 * Cipher strings and lists of curves of any bytes. What a string expands to
 * must be suites that exist, each once, and must survive being spelled out.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzer.h"
#include "tls_cipher.h"

static void
require(int cond)
{
	if (!cond)
		abort();
}

static void
fuzz_ciphers(const char *string)
{
	uint16_t *ids, *again;
	const char *expanded, *name;
	/* Room for all suites and what comes in front. */
	char spelled[4096] = "";
	size_t n, nagain, i, j, used = 0;
	int level, tls13 = 0;

	level = tls_cipher_security_level(string);
	require(level >= -1 && level <= 5);
	if (tls_cipher_list(string, &ids, &n, &expanded) == -1) {
		require(level == -1);
		return;
	}
	require(level != -1 && n > 0);
	for (i = 0; i < n; i++) {
		for (j = 0; j < i; j++)
			require(ids[i] != ids[j]);
		tls13 |= ids[i] >> 8 == 0x13;
	}
	/* Else those of TLS 1.3 would be back. */
	if (!tls13)
		used = (size_t)sprintf(spelled, "!TLSv1.3:");
	for (i = 0; i < n; i++) {
		require((name = tls_cipher_name(ids[i])) != NULL);
		used += (size_t)snprintf(spelled + used, sizeof(spelled) - used,
		    "%s:", name);
		require(used < sizeof(spelled));
	}
	require(tls_cipher_list(spelled, &again, &nagain, &expanded) == 0);
	require(nagain == n && memcmp(ids, again, n * sizeof(*ids)) == 0);
	free(again);
	free(ids);
}

static void
fuzz_curves(const char *string)
{
	uint16_t *groups = NULL;
	char bad[16];
	size_t n = 0, i;

	memset(bad, 'x', sizeof(bad));
	switch (tls_curve_list(string, &groups, &n, bad, sizeof(bad))) {
	case 0:
		require(n > 0);
		for (i = 0; i < n; i++)
			require(groups[i] != 0);
		free(groups);
		break;
	case 1:
		require(groups == NULL && n == 0);
		break;
	default:
		require(groups == NULL && n == 0);
		require(memchr(bad, '\0', sizeof(bad)) != NULL);
		require(strstr(string, bad) != NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *string;

	/* On the heap, so that a read beyond the end is seen. */
	if ((string = malloc(size + 1)) == NULL)
		return 0;
	memcpy(string, data, size);
	string[size] = '\0';
	fuzz_ciphers(string);
	fuzz_curves(string);
	free(string);
	return 0;
}
