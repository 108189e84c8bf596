/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FTP_LIST_H
#define FTP_LIST_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum ftp_list_type {
	FTP_LIST_FILE,
	FTP_LIST_DIRECTORY,
	FTP_LIST_OTHER, /* links and the like, and the directory itself */
};

struct ftp_list_entry {
	enum ftp_list_type type;
	const char *name; /* in the line that it comes from */
	off_t size;	  /* -1 if unknown */
	time_t modified;  /* -1 if unknown */
};

/* A line of MLSD; false if it is none. */
bool ftp_list_mlsd(struct ftp_list_entry *e, char *line);
/* A line of LIST as servers on Unix and Windows send it. */
bool ftp_list_list(struct ftp_list_entry *e, char *line);
/* Whether a name from a server is that of something in a directory. */
bool ftp_list_is_name(const char *name);
/* "20260131235959", as in MLSD and MDTM; -1 if it is none. */
time_t ftp_list_time(const char *s);

#endif
