/* Reads JSON (RFC 8259) one level at a time. What it skips it checks as well. */
#include "internal.h"

#define MAX_DEPTH 128

/* Where reading stands. The first problem stops it. */
typedef struct {
    const char *next;
    const char *end;
    const char *problem;
} reader;

static bool fail(reader *in, const char *problem) {
    if (!in->problem) in->problem = problem;
    return false;
}

static void skip_blanks(reader *in) {
    while (in->next < in->end &&
           (*in->next == ' ' || *in->next == '\n' || *in->next == '\r' || *in->next == '\t'))
        in->next++;
}

/* The next byte, or 0 at the end. */
static char peek(const reader *in) {
    return in->next < in->end ? *in->next : 0;
}

static bool accept(reader *in, char byte) {
    if (peek(in) != byte || in->next >= in->end) return false;
    in->next++;
    return true;
}

static bool accept_word(reader *in, pst_text word) {
    pst_text rest = {in->next, (size_t)(in->end - in->next)};
    if (!pst_starts_with(rest, word)) return fail(in, "expected a JSON value");
    in->next += word.length;
    return true;
}

/* ------------------------------------------------------------------------------------------------ Strings */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `hex`, or -1. */
static int32_t hex4(const char *hex, const char *end) {
    if (end - hex < 4) return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(hex[i]);
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Moves behind the closing quote of a string that has begun; tells whether it has escapes. */
static bool skip_string(reader *in, bool *escaped) {
    *escaped = false;
    while (in->next < in->end) {
        unsigned char c = (unsigned char)*in->next++;
        if (c == '"') return true;
        if (c < 0x20) return fail(in, "a control character in a string is not escaped");
        if (c != '\\') continue;
        *escaped = true;
        char kind = peek(in);
        in->next++;
        if (kind == 'u') {
            if (hex4(in->next, in->end) < 0) return fail(in, "\\u needs four hexadecimal digits");
            in->next += 4;
        } else if (kind != '"' && kind != '\\' && kind != '/' && kind != 'b' && kind != 'f' && kind != 'n' &&
                   kind != 'r' && kind != 't') {
            return fail(in, "an unknown escape in a string");
        }
    }
    return fail(in, "a string has no end");
}

/* The code point of the \u escape at *from (behind its u), which is moved behind it. */
static uint32_t unescape_code_point(const char **from, const char *end) {
    uint32_t unit = (uint32_t)hex4(*from, end);
    *from += 4;
    if (unit < 0xD800 || unit >= 0xE000) return unit;
    bool pair = unit < 0xDC00 && end - *from >= 6 && (*from)[0] == '\\' && (*from)[1] == 'u';
    int32_t low = pair ? hex4(*from + 2, end) : -1;
    if (low < 0xDC00 || low >= 0xE000) return 0xFFFD;
    *from += 6;
    return 0x10000 + ((unit & 0x3FF) << 10) + ((uint32_t)low & 0x3FF);
}

/* The text of a checked string between its quotes. No escape makes it longer. */
static pst_text unescape(const char *from, const char *end) {
    char *start = pst_alloc((size_t)(end - from));
    char *to = start;
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        char kind = from[1];
        from += 2;
        switch (kind) {
            case 'b': *to++ = '\b'; break;
            case 'f': *to++ = '\f'; break;
            case 'n': *to++ = '\n'; break;
            case 'r': *to++ = '\r'; break;
            case 't': *to++ = '\t'; break;
            case 'u': to += pst_encode_code_point(unescape_code_point(&from, end), to); break;
            default: *to++ = kind;
        }
    }
    return (pst_text){start, (size_t)(to - start)};
}

static bool read_string(reader *in, pst_text *text) {
    if (!accept(in, '"')) return fail(in, "expected a string");
    const char *start = in->next;
    bool escaped;
    if (!skip_string(in, &escaped)) return false;
    const char *end = in->next - 1;
    *text = escaped ? unescape(start, end) : (pst_text){start, (size_t)(end - start)};
    return true;
}

/* ------------------------------------------------------------------------------------------------- Values */

static bool skip_digits(reader *in) {
    const char *start = in->next;
    while (peek(in) >= '0' && peek(in) <= '9') in->next++;
    return in->next > start || fail(in, "expected a JSON value");
}

static bool skip_number(reader *in) {
    accept(in, '-');
    if (!accept(in, '0') && !skip_digits(in)) return false;
    if (accept(in, '.') && !skip_digits(in)) return false;
    if (accept(in, 'e') || accept(in, 'E')) {
        if (!accept(in, '+')) accept(in, '-');
        return skip_digits(in);
    }
    return true;
}

static bool skip_value(reader *in, int depth);

/* The rest of an array or object, whose opening bracket is read. */
static bool skip_members(reader *in, char close, int depth) {
    if (depth > MAX_DEPTH) return fail(in, "nested too deeply");
    bool escaped;
    skip_blanks(in);
    if (accept(in, close)) return true;
    do {
        skip_blanks(in);
        if (close == '}') {
            if (!accept(in, '"')) return fail(in, "expected a member's name");
            if (!skip_string(in, &escaped)) return false;
            skip_blanks(in);
            if (!accept(in, ':')) return fail(in, "expected a colon");
        }
        if (!skip_value(in, depth)) return false;
        skip_blanks(in);
    } while (accept(in, ','));
    return accept(in, close) || fail(in, "expected a comma or a closing bracket");
}

static bool skip_value(reader *in, int depth) {
    bool escaped;
    skip_blanks(in);
    switch (peek(in)) {
        case '"': in->next++; return skip_string(in, &escaped);
        case '{': in->next++; return skip_members(in, '}', depth + 1);
        case '[': in->next++; return skip_members(in, ']', depth + 1);
        case 't': return accept_word(in, PST_TEXT("true"));
        case 'f': return accept_word(in, PST_TEXT("false"));
        case 'n': return accept_word(in, PST_TEXT("null"));
        default: return skip_number(in);
    }
}

static bool read_value(reader *in, pst_value *value) {
    skip_blanks(in);
    const char *start = in->next;
    *value = (pst_value){0};
    switch (peek(in)) {
        case '"': value->kind = PST_STRING; return read_string(in, &value->text);
        case '{': value->kind = PST_OBJECT; break;
        case '[': value->kind = PST_ARRAY; break;
        case 't': value->boolean = true; /* fall through */
        case 'f': value->kind = PST_BOOLEAN; break;
        case 'n': value->kind = PST_NULL; break;
        default: value->kind = PST_NUMBER;
    }
    if (!skip_value(in, 0)) return false;
    value->text = (pst_text){start, (size_t)(in->next - start)};
    return true;
}

/* What is allocated by turns with the strings cannot grow in its place: it doubles. */
static void *grown(void *old, size_t count, size_t *capacity, size_t bytes) {
    if (count < *capacity) return old;
    size_t larger = *capacity ? *capacity * 2 : 8;
    void *fresh = pst_alloc_array(larger, bytes);
    if (old) memcpy(fresh, old, count * bytes);
    *capacity = larger;
    return fresh;
}

static const char *expect_end(reader *in) {
    skip_blanks(in);
    if (in->next < in->end) fail(in, "something follows the JSON value");
    return in->problem;
}

const char *pst_read_object(pst_text json, pst_object *object) {
    reader in = {json.bytes, json.bytes + json.length, NULL};
    pst_member *members = NULL;
    size_t count = 0, capacity = 0;
    *object = (pst_object){0};
    skip_blanks(&in);
    if (!accept(&in, '{')) return "expected a JSON object";
    skip_blanks(&in);
    if (!accept(&in, '}')) {
        do {
            members = grown(members, count, &capacity, sizeof *members);
            skip_blanks(&in);
            if (!read_string(&in, &members[count].name)) return in.problem;
            skip_blanks(&in);
            if (!accept(&in, ':')) return "expected a colon";
            if (!read_value(&in, &members[count].value)) return in.problem;
            count++;
            skip_blanks(&in);
        } while (accept(&in, ','));
        if (!accept(&in, '}')) return "expected a comma or a closing bracket";
    }
    *object = (pst_object){members, count};
    return expect_end(&in);
}

const char *pst_read_array(pst_text json, pst_array *array) {
    reader in = {json.bytes, json.bytes + json.length, NULL};
    pst_value *values = NULL;
    size_t count = 0, capacity = 0;
    *array = (pst_array){0};
    skip_blanks(&in);
    if (!accept(&in, '[')) return "expected a JSON array";
    skip_blanks(&in);
    if (!accept(&in, ']')) {
        do {
            values = grown(values, count, &capacity, sizeof *values);
            if (!read_value(&in, &values[count])) return in.problem;
            count++;
            skip_blanks(&in);
        } while (accept(&in, ','));
        if (!accept(&in, ']')) return "expected a comma or a closing bracket";
    }
    *array = (pst_array){values, count};
    return expect_end(&in);
}

/* ------------------------------------------------------------------------------------------------- Getters */

pst_value pst_get(const pst_object *object, const char *name) {
    pst_text wanted = pst_text_of(name);
    for (size_t i = object->count; i-- > 0;)
        if (pst_equal(object->members[i].name, wanted)) return object->members[i].value;
    return (pst_value){0};
}

pst_text pst_get_text(const pst_object *object, const char *name, pst_text fallback) {
    pst_value value = pst_get(object, name);
    return value.kind == PST_STRING ? value.text : fallback;
}

double pst_get_number(const pst_object *object, const char *name, double fallback) {
    pst_value value = pst_get(object, name);
    return value.kind == PST_NUMBER ? pst_number(value) : fallback;
}

int64_t pst_get_integer(const pst_object *object, const char *name, int64_t fallback) {
    pst_value value = pst_get(object, name);
    return value.kind == PST_NUMBER ? pst_integer(value) : fallback;
}

bool pst_get_boolean(const pst_object *object, const char *name, bool fallback) {
    pst_value value = pst_get(object, name);
    return value.kind == PST_BOOLEAN ? value.boolean : fallback;
}

double pst_number(pst_value value) {
    return value.kind == PST_NUMBER ? pst_parse_double(value.text) : 0;
}

int64_t pst_integer(pst_value value) {
    if (value.kind != PST_NUMBER) return 0;
    bool negative = value.text.bytes[0] == '-';
    uint64_t magnitude = 0;
    for (size_t i = negative; i < value.text.length; i++) {
        unsigned digit = (unsigned)(value.text.bytes[i] - '0');
        if (digit > 9) { /* a fraction or an exponent */
            double number = pst_parse_double(value.text);
            if (number >= 0x1p63) return INT64_MAX;
            return number < -0x1p63 ? INT64_MIN : (int64_t)number;
        }
        if (magnitude > (UINT64_MAX - digit) / 10) return negative ? INT64_MIN : INT64_MAX;
        magnitude = magnitude * 10 + digit;
    }
    if (negative) return magnitude > INT64_MAX ? INT64_MIN : -(int64_t)magnitude;
    return magnitude > INT64_MAX ? INT64_MAX : (int64_t)magnitude;
}
