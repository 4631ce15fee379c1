/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef GUEST_H
#define GUEST_H

/* Writes a line to the driver, and prints the record that it answers. */
void command(const char *line);
/* The same without an answer. */
void quietly(const char *line);

/* What a process does to its own memory, step by step. */
void user_steps(unsigned long start, unsigned long page, unsigned long pmd, int thp, int mthp);

#endif
