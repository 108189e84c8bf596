/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef OUTPUT_H
#define OUTPUT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define OUTPUT_PART ".ftp-part"

/*
 * A file that ftp writes. Until all of it has come it has another name, with
 * OUTPUT_PART behind it, and the time of modification that the server's has;
 * without that nobody could tell whether the rest still belongs to it.
 * Standard output, devices and the like are written to as they are.
 */
struct output {
	int dir;	  /* that name is relative to; the caller's */
	const char *name; /* "-" for standard output */
	char *part;
	int fd;
	bool direct;
	off_t start;	 /* bytes that were there before, 0 to begin anew */
	off_t have;	 /* bytes in the file */
	off_t total;	 /* -1 if unknown */
	time_t started;	 /* the time of what was there before, or -1 */
	time_t modified; /* the server's, or -1 */
	/* A whole file of that name; -1 if there is none. */
	off_t whole;
	time_t whole_modified;
};

/* Those that return int: 0, or -1 with a message. */
int output_init(struct output *o, const char *name);
/* The name is a server's: nothing but a file in dir. */
int output_init_inside(struct output *o, int dir, const char *name);
/* Finds out what there is to go on with. */
int output_measure(struct output *o);
int output_open(struct output *o);
int output_write(struct output *o, const char *data, size_t len);
/*
 * Gives the file its name if all of it is there. An opened output has to be
 * closed; output_clear is for all of them.
 */
int output_close(struct output *o, bool complete);
void output_clear(struct output *o);

#endif
