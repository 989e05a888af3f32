/* The plugin's tools, one file each. */
#ifndef TEXT_TOOLS_H
#define TEXT_TOOLS_H

#include <penstock.h>

pst_result stats(const pst_object *params);
pst_result slug(const pst_object *params);
pst_result distance(const pst_object *params);

/* Rounded to six decimals, which is what people and tables want to see. For 0 <= number < 2^33. */
static inline double rounded(double number) {
    return (double)(uint64_t)(number * 1e6 + 0.5) / 1e6;
}

#endif
