/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * usage: memscan pid <secret
 *
 * Prints how often the bytes of the secret lie in the memory of a process.
 * Backwards counts as well: big numbers are kept the other way round. Exits
 * with 0 if that is never, 1 if it is found, 2 on failure and 3 if the kernel
 * does not let the memory be read.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (1 << 20)

static char secret[2][4096];
static size_t secret_len;

static FILE *
open_proc(const char *pid, const char *name)
{
	char path[64];
	FILE *fp;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	if ((fp = fopen(path, "r")) == NULL) {
		int refused = errno == EACCES || errno == EPERM;

		warn("%s", path);
		exit(refused ? 3 : 2);
	}
	return fp;
}

static size_t
count(const char *buf, size_t len, const char *bytes)
{
	const char *at;
	size_t n = 0;

	while ((at = memmem(buf, len, bytes, secret_len)) != NULL) {
		n++;
		len -= (size_t)(at + 1 - buf);
		buf = at + 1;
	}
	return n;
}

int
main(int argc, char *argv[])
{
	static char buf[CHUNK + sizeof(secret[0])];
	FILE *maps, *mem;
	char line[512], perms[5];
	uint64_t start, end, at, size = 0;
	size_t found = 0, i, kept;
	ssize_t n;

	if (argc != 2)
		errx(2, "usage: memscan pid <secret");
	secret_len = fread(secret[0], 1, sizeof(secret[0]), stdin);
	if (secret_len < 16 || secret_len == sizeof(secret[0]))
		errx(2, "the secret must have 16 to 4095 bytes");
	for (i = 0; i < secret_len; i++)
		secret[1][i] = secret[0][secret_len - 1 - i];

	maps = open_proc(argv[1], "maps");
	mem = open_proc(argv[1], "mem");
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end,
			perms) != 3 ||
		    perms[0] != 'r')
			continue;
		kept = 0;
		for (at = start; at < end; at += (uint64_t)n) {
			n = pread(fileno(mem), buf + kept,
			    end - at < CHUNK ? end - at : CHUNK, (off_t)at);
			/* Device memory, or unmapped meanwhile. */
			if (n <= 0)
				break;
			size += (uint64_t)n;
			kept += (size_t)n;
			found += count(buf, kept, secret[0]);
			found += count(buf, kept, secret[1]);
			/* What may be the beginning of a match. */
			if (kept >= secret_len) {
				memmove(buf, buf + kept - (secret_len - 1),
				    secret_len - 1);
				kept = secret_len - 1;
			}
		}
	}
	fclose(mem);
	fclose(maps);
	if (size == 0) {
		warnx("nothing could be read");
		return 2;
	}
	printf("%zu\n", found);
	return found != 0;
}
