/* Tools that misbehave on purpose. None of them returns. */
#include <penstock.h>

#define NO_PARAMS PST_JSON({"type": "object", "properties": {}, "additionalProperties": false})

/* Written to so that the compiler takes nothing here for useless. */
static volatile uint32_t turns;

static pst_result loop(const pst_object *params) {
    (void)params;
    for (;;) turns++;
}

static pst_result hog(const pst_object *params) {
    (void)params;
    for (;;) memset(pst_alloc(1 << 20), (int)++turns, 1 << 20);
}

#pragma clang diagnostic ignored "-Winfinite-recursion"
__attribute__((noinline)) static uint32_t deeper(uint32_t depth) {
    return deeper(depth + 1) + turns;
}

static pst_result recurse(const pst_object *params) {
    (void)params;
    turns = deeper(0);
    return pst_fail(PST_EXECUTION_ERROR, "The stack has no end.");
}

static pst_result trap(const pst_object *params) {
    (void)params;
    __builtin_trap();
}

PST_PLUGIN(
    {
        .name = "loop",
        .label = "Endless loop",
        .description = "Never comes back: ends as TIMEOUT, or OUT_OF_FUEL where fuel is metered.",
        .parameters = NO_PARAMS,
        .run = loop,
    },
    {
        .name = "hog",
        .label = "Memory hog",
        .description = "Takes a megabyte after the other until the host gives no more.",
        .parameters = NO_PARAMS,
        .run = hog,
    },
    {
        .name = "recurse",
        .label = "Endless recursion",
        .description = "Calls itself until the stack is used up.",
        .parameters = NO_PARAMS,
        .run = recurse,
    },
    {
        .name = "trap",
        .label = "Trap",
        .description = "Executes the instruction that must never be reached.",
        .parameters = NO_PARAMS,
        .run = trap,
    })
