/* stats: what can be counted in one pass over a text. */
#include "tools.h"

typedef struct {
    size_t lines;
    size_t words;
    size_t longest_line; /* in characters */
    size_t filled_lines; /* with something else than blanks */
    size_t comment_lines;
    size_t bytes_by_value[256];
} counts;

/* What is known of the line that is being read. */
typedef struct {
    size_t characters;
    bool filled;
    bool in_word;
} line;

static void end_line(counts *total, line *current) {
    total->lines++;
    total->filled_lines += current->filled;
    if (current->characters > total->longest_line) total->longest_line = current->characters;
    *current = (line){0};
}

/* Blanks are the six bytes of ASCII that C and Python call white space. Lines end with LF, CRLF or CR; the
 * last one may do without. */
static void count(counts *total, pst_text text, pst_text comment_prefix) {
    line current = {0};
    bool open = false; /* whether a line has begun that has not ended */
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];
        total->bytes_by_value[byte]++;
        if (byte == '\n' || byte == '\r') {
            bool half_of_crlf = byte == '\r' && i + 1 < text.length && text.bytes[i + 1] == '\n';
            if (!half_of_crlf) end_line(total, &current);
            open = half_of_crlf;
            continue;
        }
        open = true;
        current.characters += (byte & 0xC0) != 0x80; /* not within a character */
        if (byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f') {
            current.in_word = false;
            continue;
        }
        total->words += !current.in_word;
        current.in_word = true;
        if (current.filled) continue;
        current.filled = true;
        pst_text rest = {text.bytes + i, text.length - i};
        total->comment_lines += pst_starts_with(rest, comment_prefix);
    }
    if (open) end_line(total, &current);
}

/* The binary logarithm of a number above 0 that is not subnormal, to about 15 digits.
 *
 * number = m * 2^e with m within [sqrt(1/2), sqrt(2)); log(m) = 2 atanh(s) with s = (m - 1) / (m + 1), whose
 * series converges fast because s * s < 0.0295. */
static double binary_logarithm(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    double mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa > 1.4142135623730951) {
        mantissa /= 2;
        exponent++;
    }
    double s = (mantissa - 1) / (mantissa + 1), square = s * s, power = s, sum = 0;
    for (int k = 1; k <= 19; k += 2, power *= square) sum += power / k;
    return exponent + sum * 2.8853900817779268; /* 2 / log(2) */
}

/* Shannon entropy in bits per byte. */
static double entropy(const counts *total, size_t bytes) {
    double bits = 0;
    for (int value = 0; value < 256; value++) {
        if (!total->bytes_by_value[value]) continue;
        double share = (double)total->bytes_by_value[value] / (double)bytes;
        bits -= share * binary_logarithm(share);
    }
    return bits > 0 ? bits : 0;
}

pst_result stats(const pst_object *params) {
    pst_text text = pst_get_text(params, "text", PST_TEXT(""));
    counts total = {0};
    count(&total, text, pst_get_text(params, "comment_prefix", PST_TEXT("#")));

    double comment_ratio =
        total.filled_lines ? (double)total.comment_lines / (double)total.filled_lines : 0;
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "bytes", (int64_t)text.length);
    pst_field_integer(&out, "lines", (int64_t)total.lines);
    pst_field_integer(&out, "words", (int64_t)total.words);
    pst_field_integer(&out, "longest_line", (int64_t)total.longest_line);
    pst_field_double(&out, "comment_ratio", rounded(comment_ratio));
    pst_field_double(&out, "entropy", rounded(entropy(&total, text.length)));
    pst_end_object(&out);
    return pst_return(&out);
}
