/* SPDX-License-Identifier: ISC */

#ifndef OUTPUT_H
#define OUTPUT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

/* The file that ftp writes, and how far it is. */
struct output {
	int fd;
	const char *name; /* "-" for standard output */
	off_t have;	  /* bytes in the file */
	off_t start;	  /* bytes that were there before */
	off_t total;	  /* -1 if unknown */
	long long began, shown;
};

void output_init(struct output *o, const char *name);
/* Finds out what is there already; this and the next three: 0 or -1. */
int output_measure(struct output *o);
/* Opens the file to go on behind start. */
int output_open(struct output *o);
int output_write(struct output *o, const char *data, size_t len);
int output_close(struct output *o);
/* Draws a bar if there is a terminal, the last one with the end of its line. */
void output_progress(struct output *o, bool last);

/* warnx(3) for a terminal that may have a progress bar. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

#endif
