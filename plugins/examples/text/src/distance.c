/* distance: Levenshtein's, over code points.
 *
 * The table of distances is worked through in stripes of 64 rows, one bit each, after Myers (1999) and Hyyrö
 * (2003): the longer text goes down the rows, the shorter one along the columns, so that what is kept
 * between two stripes is one step of -1, 0 or 1 for each character of the shorter text.
 */
#include "tools.h"

#define MAX_PAIRS 100000000ull
#define STRIPE_ROWS 64

static bool is_continuation(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Takes away what both texts begin with and what both end with: it costs nothing to keep. */
static void strip_common(pst_text *a, pst_text *b) {
    size_t shorter = a->length < b->length ? a->length : b->length;
    size_t same = 0;
    while (same < shorter && a->bytes[same] == b->bytes[same]) same++;
    /* Not within a character: the next bytes may continue one. */
    while (same && ((same < a->length && is_continuation(a->bytes[same])) ||
                    (same < b->length && is_continuation(b->bytes[same]))))
        same--;
    *a = (pst_text){a->bytes + same, a->length - same};
    *b = (pst_text){b->bytes + same, b->length - same};

    shorter -= same;
    same = 0;
    while (same < shorter && a->bytes[a->length - 1 - same] == b->bytes[b->length - 1 - same]) same++;
    while (same && is_continuation(a->bytes[a->length - same])) same--;
    a->length -= same;
    b->length -= same;
}

/* The characters of the shorter text, numbered in the order of their first appearance. */
typedef struct {
    struct {
        uint32_t key; /* code point + 1; 0: free */
        uint32_t number;
    } *slots;
    uint32_t mask; /* number of slots, a power of two, less one */
    uint32_t count;
} alphabet;

static alphabet new_alphabet(size_t characters) {
    alphabet letters = {.mask = 15};
    while (letters.mask < characters * 2) letters.mask = letters.mask * 2 + 1;
    size_t bytes = ((size_t)letters.mask + 1) * sizeof *letters.slots;
    letters.slots = memset(pst_alloc(bytes), 0, bytes);
    return letters;
}

/* The slot of a code point, or the free one where it belongs. */
static uint32_t slot_of(const alphabet *letters, uint32_t code_point) {
    uint32_t slot = code_point * 2654435769u;
    slot = (slot ^ slot >> 15) & letters->mask;
    while (letters->slots[slot].key && letters->slots[slot].key != code_point + 1)
        slot = (slot + 1) & letters->mask;
    return slot;
}

static uint32_t number_of(alphabet *letters, uint32_t code_point) {
    uint32_t slot = slot_of(letters, code_point);
    if (!letters->slots[slot].key) {
        letters->slots[slot].key = code_point + 1;
        letters->slots[slot].number = letters->count++;
    }
    return letters->slots[slot].number;
}

/* One stripe over all columns. `steps[j]` is the difference between the columns j and j + 1: of the row
 * above the stripe when it begins, of its last row when it ends. `matches[c]` has a bit for each row whose
 * character has the number c. */
static void cross_stripe(
    const uint32_t *columns, size_t count, const uint64_t *matches, int rows, int8_t *steps) {
    uint64_t last_row = 1ull << (rows - 1);
    uint64_t up = ~0ull, down = 0; /* rows where the distance grows, or shrinks, from the row above */
    for (size_t j = 0; j < count; j++) {
        uint64_t match = matches[columns[j]];
        uint64_t enters_up = steps[j] > 0, enters_down = steps[j] < 0;
        uint64_t vertical = match | down;
        match |= enters_down;
        uint64_t horizontal = (((match & up) + up) ^ up) | match;
        uint64_t right_up = down | ~(horizontal | up);
        uint64_t right_down = up & horizontal;
        steps[j] = (int8_t)(((right_up & last_row) != 0) - ((right_down & last_row) != 0));
        right_up = right_up << 1 | enters_up;
        right_down = right_down << 1 | enters_down;
        up = right_down | ~(vertical | right_up);
        down = right_up & vertical;
    }
}

static uint64_t levenshtein(pst_text longer, pst_text shorter, size_t rows, size_t count) {
    alphabet letters = new_alphabet(count);
    uint32_t *columns = PST_NEW(uint32_t, count);
    int8_t *steps = memset(pst_alloc(count), 1, count); /* above the first row the distance grows by one */
    for (size_t j = 0; j < count; j++) columns[j] = number_of(&letters, pst_next_code_point(&shorter));
    size_t bytes = letters.count * sizeof(uint64_t);
    uint64_t *matches = memset(pst_alloc(bytes), 0, bytes);

    while (longer.length) {
        uint32_t touched[STRIPE_ROWS];
        int touched_count = 0, row = 0;
        for (; row < STRIPE_ROWS && longer.length; row++) {
            uint32_t slot = slot_of(&letters, pst_next_code_point(&longer));
            if (!letters.slots[slot].key) continue;
            uint32_t number = letters.slots[slot].number;
            matches[number] |= 1ull << row;
            touched[touched_count++] = number;
        }
        cross_stripe(columns, count, matches, row, steps);
        while (touched_count) matches[touched[--touched_count]] = 0;
    }
    int64_t result = (int64_t)rows; /* down the first column, then along the last row */
    for (size_t j = 0; j < count; j++) result += steps[j];
    return (uint64_t)result;
}

pst_result distance(const pst_object *params) {
    pst_text a = pst_get_text(params, "a", PST_TEXT("")), b = pst_get_text(params, "b", PST_TEXT(""));
    size_t a_length = pst_code_points(a), b_length = pst_code_points(b);
    if ((uint64_t)a_length * b_length > MAX_PAIRS)
        return pst_fail(
            PST_VALIDATION_ERROR,
            "a has %zu characters and b has %zu: the product may be at most %llu (10000 each).",
            a_length,
            b_length,
            MAX_PAIRS);

    strip_common(&a, &b);
    size_t rows = pst_code_points(a), columns = pst_code_points(b);
    uint64_t result = rows >= columns ? levenshtein(a, b, rows, columns) : levenshtein(b, a, columns, rows);
    size_t longest = a_length > b_length ? a_length : b_length;
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "distance", (int64_t)result);
    pst_field_double(
        &out, "similarity", longest ? rounded(1 - (double)result / (double)longest) : 1);
    pst_end_object(&out);
    return pst_return(&out);
}
