/* What the runtime's files share, and a plugin does not need. */
#ifndef PENSTOCK_INTERNAL_H
#define PENSTOCK_INTERNAL_H

#include <penstock.h>

void *pst_realloc(void *old, size_t old_bytes, size_t bytes);

/* The nearest double of a number that is spelled as JSON spells numbers. */
double pst_parse_double(pst_text decimal);

/* With a C library: what was printed and does not end with a newline is logged as well. */
void pst_end_lines(void);

#endif
