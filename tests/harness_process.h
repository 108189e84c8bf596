/* SPDX-License-Identifier: ISC */
/* What the parts of the harness need from each other. */

#ifndef TESTS_HARNESS_PROCESS_H
#define TESTS_HARNESS_PROCESS_H

void h_process_init(void);
int h_process_teardown(void **state);
int h_relay_peer(int argc, char **argv);

#endif
