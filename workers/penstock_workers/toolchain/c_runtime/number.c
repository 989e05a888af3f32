/* Doubles to decimals and back, both exact: what is written is the shortest decimal that reads back as the
 * same double, and what is read is the nearest double. Plain long arithmetic instead of tables: small, and
 * fast enough for the few numbers of a result.
 *
 * Writing is after R. Burger and R. Dybvig, "Printing Floating-Point Numbers Quickly and Accurately", 1996.
 */
#include "internal.h"

/* Few numbers are written and many plugins carry this: small is better than fast here. */
#pragma clang attribute push(__attribute__((minsize, noinline)), apply_to = function)

/* ------------------------------------------------------------------------------------------- Long naturals */

/* The largest number here is 10^1101 shifted by 55 (see pst_parse_double): 3,713 bits. */
#define MAX_WORDS 120

typedef struct {
    int count; /* words in use; the highest one is not 0 */
    uint32_t words[MAX_WORDS];
} natural;

static void set(natural *n, uint64_t value) {
    n->words[0] = (uint32_t)value;
    n->words[1] = (uint32_t)(value >> 32);
    n->count = value >> 32 ? 2 : value ? 1 : 0;
}

static void multiply_add(natural *n, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (int i = 0; i < n->count; i++) {
        carry += (uint64_t)n->words[i] * factor;
        n->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) n->words[n->count++] = (uint32_t)carry;
}

static void multiply_by_power_of_10(natural *n, int exponent) {
    for (; exponent >= 9; exponent -= 9) multiply_add(n, 1000000000u, 0);
    uint32_t rest = 1;
    for (; exponent > 0; exponent--) rest *= 10;
    multiply_add(n, rest, 0);
}

static void shift_left(natural *n, int bits) {
    int words = bits / 32;
    bits %= 32;
    if (!n->count) return;
    if (bits) multiply_add(n, 1u << bits, 0);
    if (!words) return;
    memmove(n->words + words, n->words, (size_t)n->count * sizeof(uint32_t));
    memset(n->words, 0, (size_t)words * sizeof(uint32_t));
    n->count += words;
}

static int bit_length(const natural *n) {
    return n->count ? n->count * 32 - __builtin_clz(n->words[n->count - 1]) : 0;
}

static int compare(const natural *a, const natural *b) {
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

/* a += b */
static void add(natural *a, const natural *b) {
    uint64_t carry = 0;
    for (int i = 0; i < b->count || carry; i++) {
        if (i >= a->count) a->words[a->count++] = 0;
        carry += (uint64_t)a->words[i] + (i < b->count ? b->words[i] : 0);
        a->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* a -= b, where a >= b */
static void subtract(natural *a, const natural *b) {
    uint64_t borrow = 0;
    for (int i = 0; i < a->count; i++) {
        uint64_t difference = (uint64_t)a->words[i] - (i < b->count ? b->words[i] : 0) - borrow;
        a->words[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    while (a->count && !a->words[a->count - 1]) a->count--;
}

/* -1, 0 or 1 as a + b is less than, equal to or greater than c. */
static int compare_sum(const natural *a, const natural *b, const natural *c) {
    natural sum = *a;
    add(&sum, b);
    return compare(&sum, c);
}

/* ------------------------------------------------------------------------------------------------ Writing */

#define FRACTION_BITS 52
#define MIN_EXPONENT (-1074)

/* The shortest digits of a positive finite double, which is 0.d1d2d3… × 10^*exponent. Returns their count,
 * at most 17. */
static int shortest_digits(uint64_t bits, char digits[17], int *exponent) {
    uint64_t fraction = bits & ((1ull << FRACTION_BITS) - 1);
    int biased = (int)(bits >> FRACTION_BITS & 0x7FF);
    uint64_t significand = biased ? fraction | 1ull << FRACTION_BITS : fraction;
    int binary = biased ? biased - 1075 : MIN_EXPONENT;
    bool even = !(significand & 1);
    /* A power of two is twice as near to the double below it as to the one above. */
    int uneven = biased > 1 && !fraction;

    /* The number is rest / scale; half the way to its neighbours is above / scale and below / scale. */
    natural rest, scale, above, below;
    set(&rest, significand);
    shift_left(&rest, (binary > 0 ? binary : 0) + 1 + uneven);
    set(&scale, 1);
    shift_left(&scale, (binary < 0 ? -binary : 0) + 1 + uneven);
    set(&below, 1);
    shift_left(&below, binary > 0 ? binary : 0);
    above = below;
    shift_left(&above, uneven);

    int magnitude = binary + 63 - __builtin_clzll(significand); /* floor of the binary logarithm */
    double estimate = magnitude * 0.30102999566398114 - 1e-10;
    int decimal = (int)estimate + (estimate > (int)estimate); /* at most 1 too small */
    if (decimal >= 0) {
        multiply_by_power_of_10(&scale, decimal);
    } else {
        multiply_by_power_of_10(&rest, -decimal);
        multiply_by_power_of_10(&above, -decimal);
        multiply_by_power_of_10(&below, -decimal);
    }
    if (compare_sum(&rest, &above, &scale) >= (even ? 0 : 1)) {
        decimal++;
    } else {
        multiply_add(&rest, 10, 0);
        multiply_add(&above, 10, 0);
        multiply_add(&below, 10, 0);
    }
    *exponent = decimal;

    for (int count = 0;;) {
        int digit = 0;
        for (; compare(&rest, &scale) >= 0; digit++) subtract(&rest, &scale);
        bool low = compare(&rest, &below) < (even ? 1 : 0);
        bool high = compare_sum(&rest, &above, &scale) >= (even ? 0 : 1);
        if (low || high) {
            /* Where both digits read back, the nearer one; of two as near, the even one. */
            int half = compare_sum(&rest, &rest, &scale);
            if (high && (!low || half > 0 || (half == 0 && digit % 2))) digit++;
            digits[count++] = (char)('0' + digit);
            return count;
        }
        digits[count++] = (char)('0' + digit);
        multiply_add(&rest, 10, 0);
        multiply_add(&above, 10, 0);
        multiply_add(&below, 10, 0);
    }
}

void pst_append_double(pst_buffer *buffer, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (number != number) {
        pst_append(buffer, PST_TEXT("nan"));
        return;
    }
    if (bits >> 63) pst_append_byte(buffer, '-');
    bits &= ~(1ull << 63);
    if (bits == 0x7FFull << FRACTION_BITS) {
        pst_append(buffer, PST_TEXT("inf"));
        return;
    }
    char digits[17] = "0";
    int point = 1; /* of the digits, how many stand before the decimal point */
    int count = bits ? shortest_digits(bits, digits, &point) : 1;
    if (point < -3 || point > 16) {
        pst_append_byte(buffer, digits[0]);
        if (count > 1) pst_append_byte(buffer, '.');
        pst_append(buffer, (pst_text){digits + 1, (size_t)count - 1});
        pst_append(buffer, point > 0 ? PST_TEXT("e+") : PST_TEXT("e"));
        pst_append_integer(buffer, point - 1);
        return;
    }
    if (point <= 0) pst_append(buffer, PST_TEXT("0"));
    for (int i = 0; i < point; i++) pst_append_byte(buffer, i < count ? digits[i] : '0');
    pst_append_byte(buffer, '.');
    for (int i = point; i < 0; i++) pst_append_byte(buffer, '0');
    for (int i = point > 0 ? point : 0; i < count; i++) pst_append_byte(buffer, digits[i]);
    if (point >= count) pst_append_byte(buffer, '0');
}

/* ------------------------------------------------------------------------------------------------ Reading */

/* No point halfway between two doubles has more significant digits than 767. */
#define MAX_DIGITS 770
#define MAX_EXPONENT 100000

/* Digits that stand for 0.d1d2d3… × 10^point. */
typedef struct {
    int count;
    int point;
    char digits[MAX_DIGITS + 1];
} decimal;

static void push_digit(decimal *d, char digit) {
    if (d->count == 0 && digit == '0') return;
    if (d->count < MAX_DIGITS)
        d->digits[d->count++] = digit;
    else if (digit != '0')
        d->digits[MAX_DIGITS] = '1'; /* more than what is kept: enough to know on which side of a half it is */
}

static void read_decimal(pst_text text, decimal *d) {
    d->count = 0;
    d->point = 0;
    d->digits[MAX_DIGITS] = '0';
    size_t i = 0;
    bool fraction = false;
    for (; i < text.length && (text.bytes[i] | 0x20) != 'e'; i++) {
        char c = text.bytes[i];
        if (c == '.') {
            fraction = true;
            continue;
        }
        push_digit(d, c);
        /* A digit before the point moves it right; a leading zero behind the point moves it left. */
        if (!fraction && (d->count || c != '0') && d->point < MAX_EXPONENT) d->point++;
        if (fraction && !d->count && d->point > -MAX_EXPONENT) d->point--;
    }
    if (i >= text.length) return;
    i++;
    bool negative = text.bytes[i] == '-';
    if (negative || text.bytes[i] == '+') i++;
    int exponent = 0;
    for (; i < text.length; i++)
        if (exponent < MAX_EXPONENT) exponent = exponent * 10 + (text.bytes[i] - '0');
    d->point += negative ? -exponent : exponent;
}

static double from_bits(uint64_t bits) {
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* The nearest double, ties to even, by dividing long naturals. */
static double nearest(const decimal *d) {
    if (d->point > 310) return from_bits(0x7FFull << FRACTION_BITS);
    if (d->point < -325) return 0;
    natural numerator, denominator;
    set(&numerator, 0);
    int count = d->count;
    if (count == MAX_DIGITS && d->digits[MAX_DIGITS] == '1') count++;
    for (int i = 0; i < count; i++) {
        if (!numerator.count)
            set(&numerator, (uint64_t)(d->digits[i] - '0'));
        else
            multiply_add(&numerator, 10, (uint32_t)(d->digits[i] - '0'));
    }
    set(&denominator, 1);
    int exponent = d->point - count;
    multiply_by_power_of_10(exponent >= 0 ? &numerator : &denominator, exponent >= 0 ? exponent : -exponent);

    /* Scale so that the quotient has 54 or 55 bits: one more than a double, to round by. */
    int shift = 54 - (bit_length(&numerator) - bit_length(&denominator));
    if (shift >= 0)
        shift_left(&numerator, shift);
    else
        shift_left(&denominator, -shift);
    shift_left(&denominator, 55);
    uint64_t quotient = 0;
    for (int i = 0; i < 56; i++) {
        quotient <<= 1;
        if (compare(&numerator, &denominator) >= 0) {
            subtract(&numerator, &denominator);
            quotient |= 1;
        }
        shift_left(&numerator, 1);
    }
    bool more = numerator.count > 0;

    int length = 64 - __builtin_clzll(quotient);
    int lowest = length - 53 - shift; /* binary exponent of the result's last bit */
    if (lowest < MIN_EXPONENT) lowest = MIN_EXPONENT;
    int dropped = lowest + shift;
    if (dropped > 60) return 0;
    uint64_t significand = quotient >> dropped;
    uint64_t remainder = quotient & ((1ull << dropped) - 1);
    uint64_t half = 1ull << (dropped - 1);
    if (remainder > half || (remainder == half && (more || (significand & 1)))) significand++;
    if (significand >> 53) {
        significand >>= 1;
        lowest++;
    }
    if (lowest > 971) return from_bits(0x7FFull << FRACTION_BITS);
    if (!(significand >> FRACTION_BITS)) return from_bits(significand); /* subnormal */
    return from_bits((uint64_t)(lowest + 1075) << FRACTION_BITS | (significand & ((1ull << FRACTION_BITS) - 1)));
}

double pst_parse_double(pst_text text) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    bool negative = text.length && text.bytes[0] == '-';
    if (negative) text = (pst_text){text.bytes + 1, text.length - 1};
    decimal d;
    read_decimal(text, &d);
    double number = 0;
    int exponent = d.point - d.count;
    if (d.count > 0 && d.count <= 15 && exponent >= -22 && exponent <= 22) {
        /* Both are exact doubles, so that one operation rounds correctly. */
        for (int i = 0; i < d.count; i++) number = number * 10 + (d.digits[i] - '0');
        number = exponent < 0 ? number / powers[-exponent] : number * powers[exponent];
    } else if (d.count > 0) {
        number = nearest(&d);
    }
    return negative ? -number : number;
}

#pragma clang attribute pop
